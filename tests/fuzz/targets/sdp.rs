//! Offers and trickle fragments (RFC 8866, RFC 8840) as clients may send them.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| appliance::media::fuzzing::sdp(text));
