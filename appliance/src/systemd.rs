//! What systemd and the hub tell each other: sockets handed over by name, ready, still alive, stopping.

use std::{
    env, fmt, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::SockRef;
use tokio::time::MissedTickBehavior;

use crate::config::Listen;

/// What was sent and not acknowledged for so long has nobody at its other end (TCP_USER_TIMEOUT, RFC 5482). Pages that are
/// alive acknowledge each sign of life within a round trip, and come back by themselves after a worse gap.
const UNANSWERED: Duration = Duration::from_secs(20);

/// Sockets that systemd has opened for us (`Sockets=`, `FileDescriptorName=`; sd_listen_fds(3)). Each is taken once.
pub struct Sockets {
    fds: ListenFd,
    names: Vec<String>,
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Why there is no socket.
#[derive(Debug)]
pub enum SocketError {
    /// systemd has handed over none of this name, or it was taken already.
    NotHandedOver(String),
    /// The address can't be used.
    Address(SocketAddr, io::Error),
    /// What was handed over is of another kind.
    WrongKind(String, io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHandedOver(name) => write!(
                f,
                "systemd has handed over no socket named {name}; set FileDescriptorName={name} in the .socket unit, or \
                 name an address instead"
            ),
            Self::Address(address, error) => match error.kind() {
                io::ErrorKind::AddrInUse => write!(f, "{address} is in use by another program"),
                io::ErrorKind::PermissionDenied => {
                    write!(f, "{address} needs the right to open low ports (systemd socket)")
                }
                io::ErrorKind::AddrNotAvailable => write!(f, "{address} is not an address of this machine"),
                _ => write!(f, "{address}: {error}"),
            },
            Self::WrongKind(name, error) => write!(f, "the socket {name} is of the wrong kind: {error}"),
        }
    }
}

impl std::error::Error for SocketError {}

impl Sockets {
    /// Takes what was handed over. Call it once and early: it clears the environment for child processes.
    pub fn from_environment() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let fds = ListenFd::from_env();
        let mut names: Vec<String> = names.split(':').map(str::to_owned).collect();
        names.resize(fds.len(), String::new());
        Self { fds, names }
    }

    /// The TCP listener for an entry of the configuration: opened here, or handed over.
    ///
    /// # Errors
    /// [`SocketError`], to be shown to the person as it is.
    pub fn listen(&mut self, listen: &Listen) -> Result<TcpListener, SocketError> {
        let listener = match listen {
            Listen::Address(address) => TcpListener::bind(address).map_err(|e| SocketError::Address(*address, e))?,
            Listen::Systemd(name) => self.tcp(name)?,
        };
        // Who has left the network without a word is gone after this; the sign of life of each page asks for an answer.
        SockRef::from(&listener)
            .set_tcp_user_timeout(Some(UNANSWERED))
            .map_err(|e| SocketError::WrongKind(listen.to_string(), e))?;
        // tokio asks for it.
        listener.set_nonblocking(true).map_err(|e| SocketError::WrongKind(listen.to_string(), e))?;
        Ok(listener)
    }

    /// The UDP socket of this name.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn udp(&mut self, name: &str) -> Result<UdpSocket, SocketError> {
        self.take(name, ListenFd::take_udp_socket)
    }

    /// The TCP listener of this name.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn tcp(&mut self, name: &str) -> Result<TcpListener, SocketError> {
        self.take(name, ListenFd::take_tcp_listener)
    }

    /// The first of this name that is of the wanted kind: one unit may open a port by UDP and by TCP.
    fn take<T>(
        &mut self,
        name: &str,
        take: impl Fn(&mut ListenFd, usize) -> io::Result<Option<T>>,
    ) -> Result<T, SocketError> {
        let mut why = SocketError::NotHandedOver(name.into());
        for place in 0..self.names.len() {
            if self.names[place] != name {
                continue;
            }
            match take(&mut self.fds, place) {
                Ok(Some(socket)) => {
                    self.names[place].clear();
                    return Ok(socket);
                }
                Ok(None) => {}
                Err(error) => why = SocketError::WrongKind(name.into(), error),
            }
        }
        Err(why)
    }
}

/// Tells systemd that the hub serves. Nothing happens where systemd does not ask.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells systemd that the hub ends in order.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// How often the watchdog must be told, if systemd watches.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Tells systemd every `interval` that the hub is alive, as long as `alive` says so within that time: a hub whose parts
/// do not answer is not alive, and systemd starts it again. Runs until dropped.
pub async fn watchdog<F: Future<Output = bool>>(interval: Duration, alive: impl Fn() -> F) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match tokio::time::timeout(interval, alive()).await {
            Ok(true) => tell(&[NotifyState::Watchdog]),
            Ok(false) | Err(_) => tracing::error!("a part of the hub does not answer: the watchdog is not told"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn none() -> Sockets {
        Sockets { fds: ListenFd::empty(), names: vec![] }
    }

    #[test]
    fn an_address_is_opened_and_one_in_use_is_told() {
        let first = none().listen(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = none().listen(&Listen::Address(address)).unwrap_err().to_string();
        assert_eq!(error, format!("{address} is in use by another program"));
        let error = none().listen(&"192.0.2.1:80".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("not an address of this machine"), "{error}");
        let error = none().listen(&Listen::Systemd("https".into())).unwrap_err().to_string();
        assert!(error.contains("FileDescriptorName=https"), "{error}");
    }

    #[test]
    fn one_name_may_stand_for_udp_and_tcp() {
        use std::os::fd::AsRawFd;
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let script = format!(
            "exec 3<&{} 4<&{}; LISTEN_PID=$$ exec \"$0\" --exact systemd::tests::child --test-threads=1",
            nix::unistd::dup(&udp).map(keep).unwrap(),
            nix::unistd::dup(&tcp).map(keep).unwrap(),
        );
        fn keep(fd: impl AsRawFd) -> i32 {
            let number = fd.as_raw_fd();
            std::mem::forget(fd);
            number
        }
        let child = std::process::Command::new("bash")
            .args(["-c", &script])
            .arg(env::current_exe().unwrap())
            .env(CHILD, "same")
            .env("LISTEN_FDS", "2")
            .env("LISTEN_FDNAMES", "media:media")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(child.success());
    }

    const CHILD: &str = "CLASSROOM_TEST_SYSTEMD_CHILD";

    /// What the child of the test below does: this very program, started as systemd would.
    #[test]
    fn child() {
        let Ok(kind) = env::var(CHILD) else { return };
        let mut sockets = Sockets::from_environment();
        if kind == "same" {
            // The TCP listener lies behind the UDP socket of the same name.
            assert!(sockets.tcp("media").is_ok() && sockets.udp("media").is_ok() && sockets.tcp("media").is_err());
            return;
        }
        assert!(matches!(sockets.udp("https"), Err(SocketError::WrongKind(..))) || kind != "wrong");
        if kind == "wrong" {
            return;
        }
        let https = sockets.listen(&Listen::Systemd("https".into())).unwrap();
        let media = sockets.udp("media").unwrap();
        assert!(matches!(sockets.udp("media"), Err(SocketError::NotHandedOver(_))), "taken once");
        assert!(env::var("LISTEN_FDS").is_err(), "children do not inherit it");
        let at = media.local_addr().unwrap();
        media.send_to(b"media", at).unwrap();
        ready("serving");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let https = tokio::net::TcpListener::from_std(https).unwrap();
            let interval = watchdog_interval().expect("systemd watches");
            assert_eq!(interval, Duration::from_millis(50));
            tokio::select! {
                // Alive until the parent has seen it and calls.
                () = watchdog(interval, || std::future::ready(true)) => {}
                call = https.accept() => drop(call.unwrap()),
            }
        });
        stopping();
    }

    /// Descriptors 3 and 4 can only be given in order by a shell; `systemd-socket-activate` is not everywhere.
    #[test]
    fn systemd_hands_over_and_is_told() {
        use std::os::{fd::AsRawFd, unix::net::UnixDatagram};
        let folder = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let https = TcpListener::bind("127.0.0.1:0").unwrap();
        let media = UdpSocket::bind("127.0.0.1:0").unwrap();
        let start = |kind: &str| {
            // Rust opens descriptors close-on-exec; dup2 by the shell clears that.
            for fd in [https.as_raw_fd(), media.as_raw_fd()] {
                let path = format!("/proc/self/fd/{fd}");
                assert!(std::fs::read_link(path).is_ok());
            }
            let (a, b) = (nix::unistd::dup(&https).unwrap(), nix::unistd::dup(&media).unwrap());
            let script = format!(
                "exec 3<&{} 4<&{}; LISTEN_PID=$$ exec \"$0\" --exact systemd::tests::child --test-threads=1",
                a.as_raw_fd(),
                b.as_raw_fd()
            );
            let child = std::process::Command::new("bash")
                .args(["-c", &script])
                .arg(env::current_exe().unwrap())
                .env(CHILD, kind)
                .env("LISTEN_FDS", "2")
                .env("LISTEN_FDNAMES", "https:media")
                .env("NOTIFY_SOCKET", folder.path().join("notify"))
                .env("WATCHDOG_USEC", "100000")
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            drop((a, b));
            child
        };
        assert!(start("wrong").wait().unwrap().success());
        let mut child = start("right");
        let heard = || {
            let mut buffer = [0; 200];
            let size = notify.recv(&mut buffer).expect("the child tells something in time");
            String::from_utf8_lossy(&buffer[..size]).into_owned()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=serving\n");
        assert_eq!((heard(), heard()), ("WATCHDOG=1\n".into(), "WATCHDOG=1\n".into()));
        drop(std::net::TcpStream::connect(https.local_addr().unwrap()).unwrap());
        let last = std::iter::repeat_with(heard).find(|said| said != "WATCHDOG=1\n").unwrap();
        assert_eq!(last, "STOPPING=1\n");
        assert!(child.wait().unwrap().success());
        let mut buffer = [0; 10];
        media.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(media.recv(&mut buffer).unwrap(), 5, "it was our socket");
    }

    #[tokio::test]
    async fn a_part_that_does_not_answer_does_not_stop_the_watch() {
        // Without NOTIFY_SOCKET nothing is told; what counts here is that it asks again.
        let asked = std::cell::Cell::new(0);
        let again = tokio::sync::Notify::new();
        let stuck = watchdog(Duration::from_millis(5), || {
            asked.set(asked.get() + 1);
            if asked.get() == 4 {
                again.notify_one();
            }
            std::future::pending()
        });
        let seen = async {
            tokio::select! {
                () = stuck => {}
                () = again.notified() => {}
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.expect("it asks again");
    }
}
