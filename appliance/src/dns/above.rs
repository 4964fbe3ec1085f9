//! Which name servers are asked: those of the configuration, else those of the machine; never the box itself, which a
//! school's DHCP hands out to the box, too. Looked at again and again, as both lists come and change with the network.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use appliance_core::servers::Servers;
use tokio::{sync::watch, time::MissedTickBehavior};

use super::upstream::Upstream;

/// The name servers that the machine itself asks (resolv.conf(5)).
const MACHINE: &str = "/etc/resolv.conf";
/// The port of name servers in `resolv.conf`.
const PORT: u16 = 53;
/// How often the machine's name servers and addresses are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The name servers for a resolver that listens at `listening`: `named`, or those of the machine when none is named.
pub fn servers(named: &[SocketAddr], listening: &[SocketAddr]) -> Servers {
    servers_by(Path::new(MACHINE), named, listening)
}

fn servers_by(resolv_conf: &Path, named: &[SocketAddr], listening: &[SocketAddr]) -> Servers {
    // When the kernel does not tell, the loopback is known all the same.
    let machine: Vec<IpAddr> = machine().into_iter().collect();
    if named.is_empty() {
        // Before the network is there, so may be the file.
        let text = std::fs::read_to_string(resolv_conf).unwrap_or_default();
        return Servers::part(&of_the_machine(&text), listening, &machine);
    }
    Servers::part(named, listening, &machine)
}

/// Every address that this machine has now.
fn machine() -> BTreeSet<IpAddr> {
    if_addrs::get_if_addrs().unwrap_or_default().iter().map(|own| own.ip().to_canonical()).collect()
}

/// The name servers that a `resolv.conf` names.
fn of_the_machine(resolv_conf: &str) -> Vec<SocketAddr> {
    let addresses = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
    });
    addresses.map(|address| SocketAddr::new(address, PORT)).collect()
}

/// Who asks from the box itself: its own addresses.
pub(super) type Own = watch::Receiver<Arc<BTreeSet<IpAddr>>>;

/// Who is asked from now on, the box's own addresses, and the task that keeps both so until it is dropped. Nobody is asked
/// while there is nobody but the box itself; the log says so and how to mend it, once for each change.
pub(super) fn keep(
    named: Vec<SocketAddr>,
    listening: Vec<SocketAddr>,
) -> (watch::Receiver<Option<Arc<Upstream>>>, Own, impl Future<Output = ()> + Send) {
    let mut known = servers(&named, &listening);
    let (sender, upstream) = watch::channel(asked(&known));
    let (tell_own, own) = watch::channel(Arc::new(machine()));
    let follow = async move {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let addresses = machine();
            tell_own.send_if_modified(|own| {
                let new = **own != addresses;
                if new {
                    *own = Arc::new(addresses);
                }
                new
            });
            let now = servers(&named, &listening);
            if now != known {
                sender.send_replace(asked(&now));
                known = now;
            }
        }
    };
    (upstream, own, follow)
}

fn asked(servers: &Servers) -> Option<Arc<Upstream>> {
    let Servers { above, itself } = servers;
    if !itself.is_empty() {
        tracing::warn!(
            ?itself,
            "these name servers are the box itself and are not asked; name the school's name servers in [resolver] upstream"
        );
    }
    if above.is_empty() {
        tracing::error!(
            "there is no name server to ask, so nothing outside of the box is found; name the school's name servers in \
             [resolver] upstream"
        );
        return None;
    }
    tracing::info!(servers = ?above, "the name servers above");
    match Upstream::new(above) {
        Ok(upstream) => Some(Arc::new(upstream)),
        Err(error) => {
            tracing::error!(%error, "the name servers above can't be asked");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_machines_servers_without_ourselves() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "# x\nsearch school.example\nnameserver 127.0.0.1\nnameserver 10.1.0.1 \nnameserver fe80::1\noptions x\nnameserver";
        std::fs::write(file.path(), text).unwrap();
        let everywhere: SocketAddr = "0.0.0.0:53".parse().unwrap();
        let found = servers_by(file.path(), &[], &[everywhere]);
        let text = |all: Vec<SocketAddr>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (text(found.above), text(found.itself)),
            (vec!["10.1.0.1:53".into(), "[fe80::1]:53".into()], vec!["127.0.0.1:53".into()])
        );
        // Every address that this machine has now, as DHCP hands them out.
        let own: String =
            if_addrs::get_if_addrs().unwrap().iter().map(|i| format!("nameserver {}\n", i.ip())).collect();
        std::fs::write(file.path(), own).unwrap();
        let found = servers_by(file.path(), &[], &[everywhere]);
        assert!(found.above.is_empty() && !found.itself.is_empty(), "{found:?}");
        assert!(asked(&found).is_none(), "nobody is left, and that is no reason to end");
        // What is named counts alone, and is looked at in the same way.
        let named: Vec<SocketAddr> = ["127.0.0.1:53", "10.1.0.1:53"].map(|one| one.parse().unwrap()).into();
        let found = servers_by(file.path(), &named, &[everywhere]);
        assert_eq!((found.itself, found.above), (named[..1].to_vec(), named[1..].to_vec()));
        assert_eq!(servers_by(Path::new("/nowhere"), &[], &[everywhere]), Servers::default());
    }
}
