//! A first look at STUN, before anything is spent on it (RFC 8489 §5, RFC 8445 §7.2.2).

use std::net::SocketAddr;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_SUCCESS: [u8; 2] = [1, 1];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0, 0x20];
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
    let name = std::str::from_utf8(attribute(packet, USERNAME)?).ok()?;
    name.split_once(':').map(|(own, _)| own)
}

fn attribute(packet: &[u8], wanted: [u8; 2]) -> Option<&[u8]> {
    let mut rest = packet.get(HEADER..)?;
    while let [type_high, type_low, high, low, value @ ..] = rest {
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        if [*type_high, *type_low] == wanted {
            return value.get(..size);
        }
        rest = value.get(size.next_multiple_of(4)..)?;
    }
    None
}

/// A binding request without any attribute: "which address do I have?".
pub(super) fn question(transaction: &[u8; 12]) -> [u8; HEADER] {
    let mut packet = [0; HEADER];
    packet[..2].copy_from_slice(&BINDING_REQUEST);
    packet[4..8].copy_from_slice(&COOKIE);
    packet[8..].copy_from_slice(transaction);
    packet
}

/// Whether it is the good answer to that question, and the address that it tells, if it tells one.
pub(super) fn answer(packet: &[u8], transaction: &[u8; 12]) -> Option<Option<SocketAddr>> {
    is_answer(packet, transaction).then(|| mapped_address(packet))
}

fn is_answer(packet: &[u8], transaction: &[u8; 12]) -> bool {
    is_stun(packet) && packet[..2] == BINDING_SUCCESS && packet[8..HEADER] == transaction[..]
}

/// The address that the answer tells (RFC 8489 §14.2); IPv4 only, as relays for homes are reached by it.
fn mapped_address(packet: &[u8]) -> Option<SocketAddr> {
    let [_, 1, port_high, port_low, address @ ..] = attribute(packet, XOR_MAPPED_ADDRESS)? else { return None };
    let port = u16::from_be_bytes([port_high ^ COOKIE[0], port_low ^ COOKIE[1]]);
    let address: [u8; 4] = address.try_into().ok()?;
    let address = std::array::from_fn::<u8, 4, _>(|at| address[at] ^ COOKIE[at]);
    Some(SocketAddr::from((address, port)))
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

    #[test]
    fn the_outer_address_is_read_from_the_answer_to_our_own_question() {
        let transaction = [9; 12];
        let mut answer = question(&transaction).to_vec();
        answer[0] = 1;
        // 203.0.113.2:8801
        answer.extend([0, 0x20, 0, 8, 0, 1, 0x22 ^ 0x21, 0x61 ^ 0x12, 203 ^ 0x21, 0x12, 113 ^ 0xa4, 2 ^ 0x42]);
        assert!(is_answer(&answer, &transaction) && !is_answer(&answer, &[8; 12]));
        assert_eq!(super::answer(&answer, &transaction), Some(Some(SocketAddr::from(([203, 0, 113, 2], 8801)))));
        assert_eq!(super::answer(&answer, &[8; 12]), None);
        assert_eq!(mapped_address(&answer[..answer.len() - 1]), None);
        assert!(!is_answer(&question(&transaction), &transaction));
    }

    proptest! {
        #[test]
        fn never_panics(attributes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = request_for(&request(&attributes));
            let _ = request_for(&attributes);
            let _ = mapped_address(&request(&attributes));
            let _ = mapped_address(&attributes);
        }
    }
}
