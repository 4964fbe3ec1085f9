//! Bearer tokens: none is good that this box did not sign.
#![no_main]

use std::sync::LazyLock;

use appliance::staff::BoxKey;

static KEY: LazyLock<BoxKey> = LazyLock::new(|| BoxKey::random().expect("random bytes"));

libfuzzer_sys::fuzz_target!(|text: &str| {
    assert!(KEY.verify(text, 0).is_err());
    KEY.hash_code(text);
});
