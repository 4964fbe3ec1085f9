//! The room's names, in a process of its own (`appliance resolver`): decided for each device, lesson and time by the
//! hub's last snapshot, answered from the box, the cache or the school's name servers.

mod above;
mod cache;
mod handler;
pub mod lists;
pub mod names;
mod notices;
mod state;
mod tcp;
mod upstream;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

pub use above::servers;
pub use state::{Copies, Rules, Verdict};

use hickory_server::Server;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinSet,
};

use handler::Handler;
use notices::Notices;

use crate::places::Doors;

/// The rules as the snapshot and the lists in `folder` say, and the task that keeps them so. There are none before both
/// were read: what a list closes is open at no time.
///
/// # Errors
/// When the machine has no randomness to give.
pub fn rules(
    folder: PathBuf,
    copies: Copies,
) -> anyhow::Result<(watch::Receiver<Option<Arc<Rules>>>, impl Future<Output = ()> + Send)> {
    let key = names::Key::random()?;
    let (sender, rules) = watch::channel(None);
    Ok((rules, state::follow(folder, key, copies, sender)))
}

/// What the resolver needs.
#[derive(Debug)]
pub struct Settings {
    /// `policy` in the data folder: the hub's snapshot, the lists, the socket for notices.
    pub folder: PathBuf,
    /// The name servers above; those of the machine when none is named. The box itself is left out ([`servers`]).
    pub upstream: Vec<SocketAddr>,
    /// Where it listens.
    pub udp: Vec<std::net::UdpSocket>,
    /// Where it listens too.
    pub tcp: Vec<std::net::TcpListener>,
}

/// A running resolver. Ends when dropped.
pub struct Resolver {
    server: Server<Handler>,
    tasks: JoinSet<()>,
}

impl Resolver {
    /// Starts to answer. Where there is no name server above, the rules are answered for and the rest fails at once.
    ///
    /// # Errors
    /// When a socket can't be used.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        let udp = settings.udp.iter().filter_map(|socket| socket.local_addr().ok());
        let tcp = settings.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        let (upstream, own, follow_servers) = above::keep(settings.upstream, udp.chain(tcp).collect());
        let (state, follow) = rules(settings.folder.clone(), Copies::Elsewhere)?;
        let (notices, sender) = Notices::new(settings.folder.join("notices.sock"));
        let mut tasks = JoinSet::new();
        tasks.spawn(sender);
        tasks.spawn(follow);
        tasks.spawn(follow_servers);
        let handler = Handler::new(state, upstream, own, notices);
        let mut server = Server::new(handler.clone());
        for socket in settings.udp {
            socket.set_nonblocking(true)?;
            server.register_socket(UdpSocket::from_std(socket)?);
        }
        let doors = Doors::default();
        for listener in settings.tcp {
            listener.set_nonblocking(true)?;
            tasks.spawn(tcp::serve(TcpListener::from_std(listener)?, handler.clone(), doors.clone()));
        }
        Ok(Self { server, tasks })
    }

    /// Ends in order.
    pub async fn stop(mut self) {
        if let Err(error) = self.server.shutdown_gracefully().await {
            tracing::warn!(%error, "a listener of the resolver ended badly");
        }
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
