//! What arrives on the media port: the first look at STUN and the answers of a STUN server (RFC 8489), and TCP frames
//! (RFC 4571).
#![no_main]

use appliance::media::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::datagram(bytes);
    fuzzing::stream(bytes, bytes.len() / 2);
    fuzzing::stream(bytes, usize::from(bytes.first().copied().unwrap_or_default()));
});
