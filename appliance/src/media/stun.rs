//! A first look at STUN, before anything is spent on it (RFC 8489 §5, RFC 8445 §7.2.2).

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0, 1];
const USERNAME: [u8; 2] = [0, 6];
const HEADER: usize = 20;

/// Whether it is a STUN message by its first bytes.
pub(super) fn is_stun(packet: &[u8]) -> bool {
    packet.len() >= HEADER && packet[0] < 2 && packet[4..8] == COOKIE
}

/// The box's own ufrag in a binding request: the part of USERNAME before the colon. `None` for everything else.
pub(super) fn request_for(packet: &[u8]) -> Option<&str> {
    if !is_stun(packet) || packet[..2] != BINDING_REQUEST {
        return None;
    }
    let mut rest = &packet[HEADER..];
    while let [type_high, type_low, high, low, value @ ..] = rest {
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        if [*type_high, *type_low] == USERNAME {
            let name = std::str::from_utf8(value.get(..size)?).ok()?;
            return name.split_once(':').map(|(own, _)| own);
        }
        rest = value.get(size.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut packet = vec![0, 1, 0, attributes.len() as u8];
        packet.extend(COOKIE);
        packet.extend([7; 12]);
        packet.extend(attributes);
        packet
    }

    #[test]
    fn finds_the_name_behind_other_attributes() {
        let packet = request(b"\x00\x24\x00\x04\x01\x02\x03\x04\x80\x22\x00\x03abc\0\x00\x06\x00\x09abcd:efgh\0\0\0");
        assert_eq!(request_for(&packet), Some("abcd"));
        assert_eq!(request_for(&request(b"\x00\x06\x00\xffabcd")), None);
        assert_eq!(request_for(&[0; 4]), None);
        let mut response = packet;
        response[0] = 1;
        assert!(is_stun(&response));
        assert_eq!(request_for(&response), None);
    }

    proptest! {
        #[test]
        fn never_panics(attributes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = request_for(&request(&attributes));
            let _ = request_for(&attributes);
        }
    }
}
