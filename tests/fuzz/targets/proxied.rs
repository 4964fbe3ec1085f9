//! What the gateway, or whoever reaches the tunnel's end, sends before TLS (PROXY protocol, version 2).
#![no_main]

use appliance_core::proxied::{FIXED, Header, MOST, parse, rest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((fixed, following)) = bytes.split_first_chunk::<FIXED>() else { return };
    let Ok(length) = rest(fixed) else { return };
    assert!(FIXED + length <= MOST);
    let Some(following) = following.get(..length) else { return };
    if let Ok(Header::From(home)) = parse(fixed, following) {
        let ip = home.ip();
        assert!(!ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() && ip == ip.to_canonical());
    }
});
