//! The way into the forwarder for the rest of the box.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use appliance_core::home::Program;
use classroom_protocol::SourceId;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Layer, MediaConfig, MediaError, MediaEvent, MediaStats, SessionId, hub::Hub};

/// Commands that may wait. A command waits for at most one batch of packets, so a full queue means that the thread is dead or
/// drowned; callers then wait.
const COMMANDS: usize = 256;
/// Events that may wait; see [`MediaEvent`].
const EVENTS: usize = 1024;

type Reply<T> = oneshot::Sender<T>;

/// What the thread is asked to do.
pub(super) enum Command {
    Publish { source: SourceId, offer: String, replace: bool, reply: Reply<Result<Answer, MediaError>> },
    View { source: SourceId, offer: String, reply: Reply<Result<Answer, MediaError>> },
    ViewProgram { offer: String, own: Option<SourceId>, reply: Reply<Result<Answer, MediaError>> },
    SetProgram { program: Program, reply: Reply<()> },
    CloseFollowers { own: Option<SourceId>, reply: Reply<()> },
    AskOutside { server: SocketAddr, reply: Reply<()> },
    Trickle { session: SessionId, etag: String, fragment: String, reply: Reply<Result<(), MediaError>> },
    Restart { session: SessionId, fragment: String, reply: Reply<Result<(String, String), MediaError>> },
    SwitchSource { session: SessionId, source: SourceId, reply: Reply<Result<(), MediaError>> },
    Close { session: SessionId, reply: Reply<Result<(), MediaError>> },
    CloseSource { source: SourceId, reply: Reply<()> },
    SetMaxLayer { session: SessionId, max: Layer, reply: Reply<Result<(), MediaError>> },
    PauseSource { source: SourceId, paused: bool, reply: Reply<()> },
    SetAddresses { addresses: Vec<IpAddr>, reply: Reply<()> },
    Stats { reply: Reply<MediaStats> },
    Stop { reply: Reply<()> },
}

/// Talks to the forwarder; cheap to clone. When the last one is dropped the forwarder ends.
#[derive(Clone)]
pub struct MediaHandle {
    commands: mpsc::Sender<Command>,
    // Dropped after the sender: the thread wakes and finds the queue closed.
    waker: Arc<WakeOnDrop>,
}

struct WakeOnDrop(mio::Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        if let Err(error) = self.0.wake() {
            tracing::warn!(%error, "the media thread could not be woken");
        }
    }
}

/// Binds the sockets, loads or makes the DTLS certificate and starts the thread.
///
/// # Errors
/// When an address can't be bound, the certificate can't be read or written, or the thread can't be started.
pub fn start(config: MediaConfig) -> std::io::Result<(MediaHandle, mpsc::Receiver<MediaEvent>)> {
    let (commands, command_queue) = mpsc::channel(COMMANDS);
    let (events, event_queue) = mpsc::channel(EVENTS);
    let (hub, waker) = Hub::new(config, command_queue, events)?;
    std::thread::Builder::new().name("media".into()).spawn(move || hub.run())?;
    Ok((MediaHandle { commands, waker: Arc::new(WakeOnDrop(waker)) }, event_queue))
}

impl MediaHandle {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, MediaError> {
        let gone = || MediaError::Internal("the media thread has ended".into());
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        self.waker.0.wake().map_err(|error| MediaError::Internal(error.to_string()))?;
        answer.await.map_err(|_| gone())
    }

    /// Takes a WHIP offer for `source`. With `replace` a publisher of the same source is closed first; whether that is
    /// allowed is the caller's decision.
    ///
    /// # Errors
    /// `BadSdp`, `SourceBusy` (without `replace`), `Full`, `Internal`.
    pub async fn publish(&self, source: SourceId, offer: String, replace: bool) -> Result<Answer, MediaError> {
        self.ask(|reply| Command::Publish { source, offer, replace, reply }).await?
    }

    /// Takes a WHEP offer for `source`. The viewer stays with the source while its publishers come and go.
    ///
    /// # Errors
    /// `BadSdp` (also when the viewer lacks the source's codec), `SourceSilent` when nobody publishes now, `Full`, `Internal`.
    pub async fn view(&self, source: SourceId, offer: String) -> Result<Answer, MediaError> {
        self.ask(|reply| Command::View { source, offer, reply }).await?
    }

    /// Takes a WHEP offer for the program: one video track and up to two sound tracks, first the room's, then the speaker's.
    /// What they carry is [`Self::set_program`]'s business. `own` is what the same client may publish; it does not hear
    /// itself.
    ///
    /// # Errors
    /// `BadSdp`, `Full`, `Internal`.
    pub async fn view_program(&self, offer: String, own: Option<SourceId>) -> Result<Answer, MediaError> {
        self.ask(|reply| Command::ViewProgram { offer, own, reply }).await?
    }

    /// From now on this is the program. All its viewers go over to it without a new negotiation, their picture at the new
    /// source's next keyframe, which is asked for.
    ///
    /// # Errors
    /// `Internal` when the thread is gone.
    pub async fn set_program(&self, program: Program) -> Result<(), MediaError> {
        self.ask(|reply| Command::SetProgram { program, reply }).await
    }

    /// Ends the program sessions of the client that may publish `own`; everyone's when `own` is not named.
    ///
    /// # Errors
    /// `Internal` when the thread is gone.
    pub async fn close_followers(&self, own: Option<SourceId>) -> Result<(), MediaError> {
        self.ask(|reply| Command::CloseFollowers { own, reply }).await
    }

    /// Asks the gateway's STUN server which address the media port has outside the school (RFC 8489). Sessions made after
    /// its answer offer that address too. Asked again and again it also keeps the translator's entry alive.
    ///
    /// # Errors
    /// `Internal` when the thread is gone.
    pub async fn ask_outside(&self, server: SocketAddr) -> Result<(), MediaError> {
        self.ask(|reply| Command::AskOutside { server, reply }).await
    }

    /// Adds the candidates of an `application/trickle-ice-sdpfrag` body (RFC 9725 §4.3.1) to the ICE session named by `etag`
    /// (the `If-Match` header, with its quotes).
    ///
    /// # Errors
    /// `NotFound`, `StaleEtag`, `BadSdp`.
    pub async fn trickle(&self, session: SessionId, etag: &str, fragment: String) -> Result<(), MediaError> {
        let etag = etag.to_owned();
        self.ask(|reply| Command::Trickle { session, etag, fragment, reply }).await?
    }

    /// Restarts ICE with the client's new credentials (RFC 9725 §4.3.2, `If-Match: *`). Gives the box's own new fragment and
    /// the new entity tag. Media go on over the old path until the new one is up.
    ///
    /// # Errors
    /// `NotFound`, `BadSdp` when the fragment has no new `ice-ufrag` and `ice-pwd`.
    pub async fn restart(&self, session: SessionId, fragment: String) -> Result<(String, String), MediaError> {
        self.ask(|reply| Command::Restart { session, fragment, reply }).await?
    }

    /// Lets a viewer see another source without a new negotiation. The old picture stays until the new source's next
    /// keyframe, which is asked for.
    ///
    /// # Errors
    /// `NotFound` when there is no such viewer.
    pub async fn switch_source(&self, session: SessionId, source: SourceId) -> Result<(), MediaError> {
        self.ask(|reply| Command::SwitchSource { session, source, reply }).await?
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn close(&self, session: SessionId) -> Result<(), MediaError> {
        self.ask(|reply| Command::Close { session, reply }).await?
    }

    /// Ends the publisher and all viewers of a source. Whether it is paused stays as it is.
    ///
    /// # Errors
    /// `Internal` when the thread is gone.
    pub async fn close_source(&self, source: SourceId) -> Result<(), MediaError> {
        self.ask(|reply| Command::CloseSource { source, reply }).await
    }

    /// The highest simulcast layer that this viewer wants.
    ///
    /// # Errors
    /// `NotFound` when there is no such viewer.
    pub async fn set_max_layer(&self, session: SessionId, max: Layer) -> Result<(), MediaError> {
        self.ask(|reply| Command::SetMaxLayer { session, max, reply }).await?
    }

    /// While paused nothing of the source is forwarded; the sessions stay. Holds for later publishers and viewers too.
    ///
    /// # Errors
    /// `Internal` when the thread is gone.
    pub async fn pause_source(&self, source: SourceId, paused: bool) -> Result<(), MediaError> {
        self.ask(|reply| Command::PauseSource { source, paused, reply }).await
    }

    /// The box's addresses changed: sessions made from now on offer these. Sessions that live find out by themselves whether
    /// their path still works, and clients restart ICE or come anew when it does not.
    ///
    /// # Errors
    /// `Internal` when the thread is gone.
    pub async fn set_addresses(&self, addresses: Vec<IpAddr>) -> Result<(), MediaError> {
        self.ask(|reply| Command::SetAddresses { addresses, reply }).await
    }

    /// Everything the forwarder counts, now.
    ///
    /// # Errors
    /// `Internal` when the thread is gone.
    pub async fn stats(&self) -> Result<MediaStats, MediaError> {
        self.ask(|reply| Command::Stats { reply }).await
    }

    /// Says goodbye to all sessions and ends the thread.
    ///
    /// # Errors
    /// `Internal` when the thread is gone already.
    pub async fn stop(&self) -> Result<(), MediaError> {
        self.ask(|reply| Command::Stop { reply }).await
    }
}
