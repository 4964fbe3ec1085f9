//! HLS and DASH manifests: whatever they say, what is written anew leads nowhere but below the item's own address.
#![no_main]

use std::sync::LazyLock;

use appliance::cache::manifest::{self, Hls};

static BASE: LazyLock<manifest::Url> =
    LazyLock::new(|| manifest::Url::parse("https://media.example/a/b").expect("an address"));

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let plan = if text.starts_with(b"#") {
        let Ok(mut stream) = Hls::begin(text, &BASE) else { return };
        while stream.wants().is_some() {
            if stream.take(text, &BASE).is_err() {
                return;
            }
        }
        stream.done()
    } else {
        let Ok(plan) = manifest::dash(text, &BASE) else { return };
        plan
    };
    for part in &plan.parts {
        assert!(!part.name.contains(['/', '\\', '?', '#']) && !part.name.contains(".."), "{}", part.name);
    }
});
