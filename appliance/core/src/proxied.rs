//! The PROXY protocol, version 2 (HAProxy's `send-proxy-v2`): the gateway's first bytes on a connection say from where in the
//! world it comes. Only TCP, only the binary form; further fields (TLVs) are passed over.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The fixed part.
pub const FIXED: usize = 16;
/// A longer header is not read: a sender has to put it into one packet of the smallest size that every line carries.
pub const MOST: usize = 536;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The connection comes from there.
    From(SocketAddr),
    /// The gateway asks for itself whether someone listens.
    Own,
}

/// Why a header is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The first bytes are not those of a header.
    Missing,
    /// Another version, or a command that is not known.
    Version,
    /// Longer than [`MOST`].
    Long,
    /// No connection of TCP over IPv4 or IPv6.
    Family,
    /// Too short for its addresses.
    Short,
    /// An address that no home has: loopback, none, or many.
    Address,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no PROXY header; the gateway's HAProxy needs send-proxy-v2",
            Self::Version => "not version 2 of the PROXY protocol",
            Self::Long => "a PROXY header of more than 536 bytes",
            Self::Family => "a PROXY header that is not about TCP over IPv4 or IPv6",
            Self::Short => "a PROXY header without whole addresses",
            Self::Address => "a PROXY header with an address that no home has",
        })
    }
}

impl std::error::Error for Malformed {}

/// How many bytes follow the fixed part.
///
/// # Errors
/// [`Malformed`].
pub fn rest(fixed: &[u8; FIXED]) -> Result<usize, Malformed> {
    if !fixed.starts_with(SIGNATURE) {
        return Err(Malformed::Missing);
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MOST - FIXED { Err(Malformed::Long) } else { Ok(length) }
}

/// What a whole header says: its fixed part and what follows.
///
/// # Errors
/// [`Malformed`].
pub fn parse(fixed: &[u8; FIXED], rest: &[u8]) -> Result<Header, Malformed> {
    match fixed[12] {
        0x20 => return Ok(Header::Own),
        0x21 => {}
        _ => return Err(Malformed::Version),
    }
    // The sender's address, the one that it called, and the ports of both.
    let (address, port): (IpAddr, [u8; 2]) = match fixed[13] {
        0x11 => {
            let whole = rest.first_chunk::<12>().ok_or(Malformed::Short)?;
            (Ipv4Addr::new(whole[0], whole[1], whole[2], whole[3]).into(), [whole[8], whole[9]])
        }
        0x21 => {
            let whole = rest.first_chunk::<36>().ok_or(Malformed::Short)?;
            let address = whole.first_chunk::<16>().ok_or(Malformed::Short)?;
            (Ipv6Addr::from(*address).into(), [whole[32], whole[33]])
        }
        _ => return Err(Malformed::Family),
    };
    let address = address.to_canonical();
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(Malformed::Address);
    }
    Ok(Header::From(SocketAddr::new(address, u16::from_be_bytes(port))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// A header as HAProxy writes it.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    fn v4(address: [u8; 4]) -> Vec<u8> {
        [&address[..], &[192, 0, 2, 10], &[0xc0, 0x01], &[0x01, 0xbb]].concat()
    }

    /// What is said by these bytes, and how many of them are the header.
    fn said(bytes: &[u8]) -> Result<(Header, usize), Malformed> {
        let (fixed, following) = bytes.split_first_chunk::<FIXED>().ok_or(Malformed::Short)?;
        let length = rest(fixed)?;
        Ok((parse(fixed, following.get(..length).ok_or(Malformed::Short)?)?, FIXED + length))
    }

    #[test]
    fn the_address_is_taken_and_what_follows_is_left() {
        let hello = b"\x16\x03\x01";
        for more in [&[][..], b"\x03\x00\x04\x01\x02\x03\x04", &[4; MOST - FIXED - 12]] {
            let bytes = [header(0x21, 0x11, &[&v4([203, 0, 113, 2]), more].concat()), hello.to_vec()].concat();
            let from = "203.0.113.2:49153".parse().unwrap();
            assert_eq!(said(&bytes).unwrap(), (Header::From(from), bytes.len() - hello.len()));
        }
        let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let rest = [&v6.octets()[..], &Ipv6Addr::LOCALHOST.octets(), &[0xc0, 0x01, 0x01, 0xbb]].concat();
        let from = "[2001:db8::7]:49153".parse().unwrap();
        assert_eq!(said(&header(0x21, 0x21, &rest)).unwrap().0, Header::From(from));
        // However it is written, it is one address.
        let rest = [&Ipv4Addr::new(203, 0, 113, 2).to_ipv6_mapped().octets()[..], &rest[16..]].concat();
        let from = "203.0.113.2:49153".parse().unwrap();
        assert_eq!(said(&header(0x21, 0x21, &rest)).unwrap().0, Header::From(from));
    }

    #[test]
    fn the_gateway_may_look_whether_someone_listens() {
        for rest in [vec![], v4([127, 0, 0, 1])] {
            assert_eq!(said(&header(0x20, 0, &rest)).unwrap().0, Header::Own);
        }
    }

    #[test]
    fn whatever_else_comes_is_told_apart() {
        let good = header(0x21, 0x11, &v4([203, 0, 113, 2]));
        for (bytes, wrong) in [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03TLS hello".to_vec(), Malformed::Missing),
            (b"PROXY TCP4 203.0.113.2 192.0.2.10 49153 443\r\n".to_vec(), Malformed::Missing),
            (header(0x11, 0x11, &v4([203, 0, 113, 2])), Malformed::Version),
            (header(0x22, 0x11, &v4([203, 0, 113, 2])), Malformed::Version),
            (header(0x21, 0x11, &[0; MOST - FIXED + 1]), Malformed::Long),
            (header(0x21, 0x12, &v4([203, 0, 113, 2])), Malformed::Family),
            (header(0x21, 0x31, &[0; 216]), Malformed::Family),
            (header(0x21, 0x00, &[]), Malformed::Family),
            (header(0x21, 0x11, &v4([203, 0, 113, 2])[..11]), Malformed::Short),
            (header(0x21, 0x21, &v4([203, 0, 113, 2])), Malformed::Short),
            (header(0x21, 0x11, &v4([127, 0, 0, 1])), Malformed::Address),
            (header(0x21, 0x11, &v4([0, 0, 0, 0])), Malformed::Address),
            (header(0x21, 0x11, &v4([224, 0, 0, 251])), Malformed::Address),
        ] {
            assert_eq!(said(&bytes).unwrap_err(), wrong, "{bytes:?}");
            assert!(!wrong.to_string().is_empty());
        }
        for cut in 0..good.len() {
            assert!(said(&good[..cut]).is_err(), "{cut} bytes");
        }
    }
}
