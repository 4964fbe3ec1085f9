//! `Range`, `If-None-Match` and `Content-Range`: a part is never empty nor outside.
#![no_main]

use appliance_core::library::{origin::content_range, range};

libfuzzer_sys::fuzz_target!(|input: (u64, &str)| {
    let (size, text) = input;
    if let range::Answer::Part(from, to) = range::answer(Some(text), size) {
        assert!(from < to && to <= size);
        assert!(text.trim_start().starts_with('b') || text.trim_start().starts_with('B'));
    }
    range::begins(Some(text));
    range::none_match(Some(text), "\"tag\"");
    range::if_range(Some(text), "\"tag\"");
    if let Some((from, to, size)) = content_range(text) {
        assert!(from < to && size.is_none_or(|size| to <= size));
    }
});
