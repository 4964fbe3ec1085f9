//! Which name servers the box asks: never itself, or a question goes round until everyone has given it up.

use std::net::{IpAddr, SocketAddr};

/// The name servers that are named to the box, parted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    /// Those that are asked, in their order.
    pub above: Vec<SocketAddr>,
    /// Those that are the box itself: left out.
    pub itself: Vec<SocketAddr>,
}

impl Servers {
    /// Parts `named`. The box itself is where it listens: at that very address or, where it listens at all of
    /// them (a wildcard), at the loopback and every address of `machine`. Another port is another program.
    pub fn part(named: &[SocketAddr], listening: &[SocketAddr], machine: &[IpAddr]) -> Self {
        let itself = |server: &SocketAddr| {
            let at = server.ip().to_canonical();
            // Who sends to "no address" sends to the machine itself.
            let here = at.is_loopback() || at.is_unspecified() || machine.iter().any(|own| own.to_canonical() == at);
            listening.iter().any(|own| {
                let ip = own.ip().to_canonical();
                own.port() == server.port() && (ip == at || ip.is_unspecified() && here)
            })
        };
        let (itself, above) = named.iter().partition(|server| itself(server));
        Self { above, itself }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn part(named: &[&str], listening: &[&str]) -> (Vec<String>, Vec<String>) {
        let addresses = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let machine: Vec<IpAddr> =
            ["127.0.0.1", "::1", "10.1.2.3", "fd00::3", "fe80::3"].iter().map(|ip| ip.parse().unwrap()).collect();
        let Servers { above, itself } = Servers::part(&addresses(named), &addresses(listening), &machine);
        let text = |all: Vec<SocketAddr>| all.iter().map(ToString::to_string).collect();
        (text(above), text(itself))
    }

    #[test]
    fn who_listens_everywhere_is_at_each_address_of_the_machine() {
        let own =
            ["10.1.2.3:53", "127.0.0.1:53", "127.0.0.53:53", "[fd00::3]:53", "[::ffff:10.1.2.3]:53", "0.0.0.0:53"];
        let others = ["10.1.0.1:53", "[fd00::1]:53", "10.1.2.3:5353"];
        let named = [&own[..], &others[..]].concat();
        for listening in [&["0.0.0.0:53"][..], &["[::]:53"], &["0.0.0.0:53", "[::]:53"]] {
            let (above, itself) = part(&named, listening);
            assert_eq!((above, itself), (others.map(String::from).into(), own.map(String::from).into()));
        }
    }

    #[test]
    fn who_listens_at_one_address_leaves_the_machine_its_other_programs() {
        let (above, itself) = part(&["127.0.0.53:53", "10.1.2.3:53", "10.1.0.1:53"], &["10.1.2.3:53"]);
        assert_eq!((above, itself), (vec!["127.0.0.53:53".into(), "10.1.0.1:53".into()], vec!["10.1.2.3:53".into()]));
        let (above, itself) = part(&["127.0.0.1:5353"], &["0.0.0.0:53"]);
        assert_eq!((above.len(), itself.len()), (1, 0), "a program of its own on another port");
        assert_eq!(part(&[], &["0.0.0.0:53"]), (vec![], vec![]));
    }
}
