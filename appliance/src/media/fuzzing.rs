//! Entry points for the fuzz targets: bytes in, nothing out, no panic.

use super::{sdp, stun, tcp};

/// An offer or a trickle fragment.
pub fn sdp(text: &str) {
    // Refusals are what is wanted of most of these; only a panic is a finding.
    let _ = sdp::offered(text);
    let _ = sdp::parse_fragment(text);
    sdp::fragment_of(text);
    sdp::with_credentials(text, "ufrag", "password");
}

/// A datagram of nobody known, and what a STUN server or someone in its place answers.
pub fn datagram(bytes: &[u8]) {
    stun::request_for(bytes);
    // The question's own number, so that more than its check is reached.
    let transaction = bytes.get(8..20).and_then(|part| part.try_into().ok()).unwrap_or_default();
    stun::answer(bytes, &transaction);
}

/// A stream of ICE-TCP, all at once and in two pieces: both give the same packets, none larger than the stream.
///
/// # Panics
/// When they do not: that is the finding.
pub fn stream(bytes: &[u8], cut: usize) {
    let mut whole = Vec::new();
    let all = tcp::frames(bytes, |packet| whole.push(packet));
    let (mut waiting, mut pieces) = (Vec::new(), Vec::new());
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    for piece in [first, second] {
        waiting.extend_from_slice(piece);
        let Ok(taken) = tcp::frames(&waiting, |packet| pieces.push(packet.to_vec())) else {
            assert!(all.is_err());
            return;
        };
        waiting.drain(..taken);
    }
    assert_eq!(all.map(|taken| bytes.len() - taken), Ok(waiting.len()));
    assert_eq!(whole, pieces);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{datagram, sdp, stream};

    proptest! {
        #[test]
        fn each_entry_takes_whatever_comes(bytes in prop::collection::vec(0u8..8, 0..200), cut in 0usize..250) {
            // Small numbers, so that many frames are whole.
            stream(&bytes, cut);
            datagram(&bytes);
            let answer = [&[1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42][..], &bytes].concat();
            datagram(&answer);
            sdp(&String::from_utf8_lossy(&bytes));
        }
    }
}
