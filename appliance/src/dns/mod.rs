//! The room's names, in a process of its own (`appliance resolver`): decided for each device, lesson and time by the
//! hub's last snapshot, answered from the box, the cache or the school's name servers.

mod cache;
mod handler;
pub mod lists;
pub mod names;
mod notices;
mod state;
mod upstream;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

pub use state::{Copies, Rules, Verdict};

use hickory_server::Server;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinSet,
};

use handler::Handler;
use notices::Notices;
use upstream::Upstream;

/// A TCP connection without a question ends after so long.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers of a TCP connection that may wait to be sent.
const TCP_ANSWERS: usize = 32;

/// The rules as the snapshot and the lists in `folder` say, and the task that keeps them so.
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
    /// The name servers above; those of the machine when none is named.
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
    /// Starts to answer.
    ///
    /// # Errors
    /// When no name server is known or a socket can't be used.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        let own: Vec<SocketAddr> = settings.udp.iter().filter_map(|socket| socket.local_addr().ok()).collect();
        let servers = if settings.upstream.is_empty() {
            let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            upstream::of_the_machine(&text, |address| {
                own.iter().any(|own| {
                    own.port() == address.port()
                        && (own.ip().is_unspecified() && address.ip().is_loopback() || own.ip() == address.ip())
                })
            })
        } else {
            settings.upstream
        };
        tracing::info!(?servers, "the name servers above");
        let upstream = Upstream::new(&servers)?;
        let (state, follow) = rules(settings.folder.clone(), Copies::Elsewhere)?;
        let (notices, sender) = Notices::new(settings.folder.join("notices.sock"));
        let mut tasks = JoinSet::new();
        tasks.spawn(sender);
        tasks.spawn(follow);
        let mut server = Server::new(Handler::new(state, upstream, notices));
        for socket in settings.udp {
            socket.set_nonblocking(true)?;
            server.register_socket(UdpSocket::from_std(socket)?);
        }
        for listener in settings.tcp {
            listener.set_nonblocking(true)?;
            server.register_listener(TcpListener::from_std(listener)?, TCP_IDLE, TCP_ANSWERS);
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
