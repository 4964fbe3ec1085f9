//! Entry points for the fuzz targets: bytes in, nothing out, no panic.

use super::{sdp, stun};

/// An offer or a trickle fragment.
pub fn sdp(text: &str) {
    // Refusals are what is wanted of most of these; only a panic is a finding.
    let _ = sdp::offered(text);
    let _ = sdp::parse_fragment(text);
    sdp::fragment_of(text);
    sdp::with_credentials(text, "ufrag", "password");
}

/// A datagram of nobody known.
pub fn datagram(bytes: &[u8]) {
    stun::request_for(bytes);
}
