//! What arrives on the media port: the first look at STUN (RFC 8489), and TCP frames (RFC 4571).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| appliance::media::fuzzing::datagram(bytes));
