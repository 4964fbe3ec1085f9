//! `box.toml`.
#![no_main]

use std::path::Path;

use appliance::config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text, Path::new("/etc/classroom/box.toml")) {
        assert!(!error.to_string().is_empty());
    }
});
