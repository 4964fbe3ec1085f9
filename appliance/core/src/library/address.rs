//! Which hosts the box may fetch from. A teacher names the address, so it must not become a way into the school's network.

use std::net::IpAddr;

/// What `[library]` says about hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// If there are any: only these, and those of `private`.
    pub only: Vec<String>,
    /// Hosts that may have an address which is not public: the school's own media server.
    pub private: Vec<String>,
}

/// Why an address is not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Not `http` or `https`.
    Scheme,
    /// It carries a user name or password.
    Credentials,
    /// The configuration does not name the host.
    Host,
    /// The host's address is not public.
    NotPublic,
}

impl Hosts {
    fn listed(list: &[String], host: &str, port: u16) -> bool {
        let with_port = format!("{host}:{port}");
        list.iter().any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(&with_port))
    }

    /// Whether the host may have any address at all.
    pub fn private(&self, host: &str, port: u16) -> bool {
        Self::listed(&self.private, host, port)
    }

    /// Whether an address with these parts may be fetched, before its name is looked up. IPv6 hosts stand without
    /// brackets.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, scheme: &str, host: &str, port: u16, credentials: bool) -> Result<(), Refused> {
        if !matches!(scheme, "http" | "https") {
            return Err(Refused::Scheme);
        }
        if credentials {
            return Err(Refused::Credentials);
        }
        if self.private(host, port) {
            return Ok(());
        }
        // Named with another port only: its private addresses are not for this one.
        let bare = |known: &String| known.rsplit_once(':').is_some_and(|(bare, _)| bare.eq_ignore_ascii_case(host));
        if self.private.iter().any(bare) {
            return Err(Refused::Host);
        }
        if !self.only.is_empty() && !Self::listed(&self.only, host, port) {
            return Err(Refused::Host);
        }
        match host.parse::<IpAddr>() {
            Ok(ip) if !public(ip) => Err(Refused::NotPublic),
            _ => Ok(()),
        }
    }
}

/// Whether an address belongs to the public internet (IANA special-purpose registries, RFC 6890 and its updates).
pub fn public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(a == 0
                || a == 10
                || a == 127
                || (a == 100 && (64..128).contains(&b))
                || (a == 169 && b == 254)
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 0 && c == 2)
                || (a == 192 && b == 88 && c == 99)
                || (a == 192 && b == 168)
                || (a == 198 && (18..20).contains(&b))
                || (a == 198 && b == 51 && c == 100)
                || (a == 203 && b == 0 && c == 113)
                || a >= 224)
        }
        IpAddr::V6(v6) => {
            let s = v6.segments();
            // Only 2000::/3 is given out; within it not: 2001::/23 (protocols, Teredo), documentation, 6to4.
            (s[0] & 0xe000) == 0x2000
                && !(s[0] == 0x2001 && s[1] < 0x0200)
                && !(s[0] == 0x2001 && s[1] == 0x0db8)
                && s[0] != 0x2002
                && !(s[0] == 0x3fff && s[1] < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for (address, is) in [
            ("8.8.8.8", true),
            ("140.111.1.1", true),
            ("2404:6800::1", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fc00::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(public(address.parse().unwrap()), is, "{address}");
        }
    }

    #[test]
    fn hosts_are_checked_before_they_are_asked() {
        let open = Hosts::default();
        let check = |hosts: &Hosts, scheme: &str, host: &str, port| hosts.check(scheme, host, port, false);
        assert_eq!(check(&open, "https", "video.cloud.edu.tw", 443), Ok(()));
        assert_eq!(check(&open, "file", "x", 0), Err(Refused::Scheme));
        assert_eq!(open.check("https", "x", 443, true), Err(Refused::Credentials));
        assert_eq!(check(&open, "http", "127.0.0.1", 80), Err(Refused::NotPublic));
        let school = Hosts { only: vec!["video.cloud.edu.tw".into()], private: vec!["127.0.0.1:9000".into()] };
        assert_eq!(check(&school, "https", "VIDEO.cloud.edu.tw", 443), Ok(()));
        assert_eq!(check(&school, "https", "evil.example", 443), Err(Refused::Host));
        assert_eq!(check(&school, "http", "127.0.0.1", 9000), Ok(()));
        assert!(check(&school, "http", "127.0.0.1", 9001).is_err());
    }
}
