//! `classroom.toml` of the card, which anyone may have written on any computer.
#![no_main]

use appliance::card;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match card::read(text) {
        // Nothing comes of nothing.
        Ok(table) => assert!(table.is_empty() || !text.trim().is_empty()),
        Err(reason) => assert!(!reason.is_empty()),
    }
});
