//! Keeps one cast's pictures coming: opens a WHEP session, watches the age of its pictures, and opens another one when
//! they stop although they should flow. The old session is kept until the new one is answered: when the line
//! comes back, whichever is quicker wins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use classroom_protocol::SourceId;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    hub::{Hub, Refusal, Session},
    rig::{Rig, RigEvent},
    slot::Slot,
    spare::Spares,
    stage::{Layer, Play},
};

/// Longest pause between two tries: a source that comes up is seen within this time even if the hub's word is late.
const RETRY: Duration = Duration::from_millis(500);
/// Shortest pause between two tries.
const RETRY_SOON: Duration = Duration::from_millis(100);
/// Pictures that should flow and do not for this long: try another session. Longer each time it did not help.
const STALL: Duration = Duration::from_millis(2_500);
const STALL_MAX: Duration = Duration::from_secs(10);
/// The source or the hub came up anew: a session that brings a picture within this time is still good.
const DOUBT: Duration = Duration::from_millis(150);
/// How often the age of the pictures is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A session is ended politely within this time or left to the hub's own timeout.
const FAREWELL: Duration = Duration::from_secs(1);

/// A cast being played, until it is dropped.
#[derive(Debug)]
pub(crate) struct Player {
    /// Its newest picture.
    pub(crate) slot: Arc<Slot>,
    want: watch::Sender<Play>,
    hurry: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Player {
    /// Starts to play. Errors are the task's own business: it tries again until it is dropped.
    pub(crate) fn start(hub: Hub, spares: Spares, slot: Arc<Slot>, play: Play) -> Self {
        let (want, wanted) = watch::channel(play);
        let hurry = Arc::new(Notify::new());
        let player = Work { hub, spares, slot: slot.clone(), wanted, hurry: hurry.clone() };
        Self { slot, want, hurry, task: tokio::spawn(player.run()) }
    }

    /// What is wanted of it now.
    pub(crate) fn want(&self, play: Play) {
        let came_up = play.live && !self.want.borrow().live;
        self.want.send_if_modified(|now| {
            let changed = *now != play;
            *now = play;
            changed
        });
        if came_up {
            self.hurry.notify_one();
        }
    }

    /// The hub has been away: it may have forgotten the session.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Ends it; the hub is told in the background.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.task
    }
}

struct Work {
    hub: Hub,
    spares: Spares,
    slot: Arc<Slot>,
    wanted: watch::Receiver<Play>,
    hurry: Arc<Notify>,
}

/// A session that the hub has answered.
struct Live {
    rig: Rig,
    session: Session,
    since: Instant,
    pictures_before: u64,
}

/// What ended the look at a session.
enum End {
    /// Nobody wants the cast any more.
    Unwanted,
    /// The session is of no use.
    Broken(String),
    /// No pictures; another session may help.
    Stalled,
}

impl Work {
    async fn run(mut self) {
        let source = self.wanted.borrow().source.clone();
        let mut live: Option<Live> = None;
        let mut stall = STALL;
        loop {
            // With a stalled session still open, its next picture ends the search for a new one.
            let pictures = self.slot.count();
            let found = tokio::select! {
                found = self.open(&source) => found,
                () = self.revived(pictures), if live.is_some() => None,
                () = unwanted(self.wanted.clone()) => break,
            };
            if let Some(new) = found
                && let Some(old) = live.replace(new)
            {
                self.part(old);
            }
            let Some(current) = &mut live else { continue };
            match self.look_after(current, stall).await {
                End::Unwanted => break,
                End::Broken(why) => {
                    tracing::info!(%source, "the session ended: {why}");
                    if let Some(old) = live.take() {
                        self.part(old);
                    }
                }
                End::Stalled => {
                    let helped = self.slot.count() > current.pictures_before;
                    stall = if helped { STALL } else { (stall * 2).min(STALL_MAX) };
                    tracing::info!(%source, "no pictures: trying another session");
                }
            }
        }
        if let Some(old) = live.take() {
            farewell(self.hub, old).await;
        }
    }

    /// Tries until the hub answers an offer.
    async fn open(&self, source: &SourceId) -> Option<Live> {
        loop {
            match self.try_open(source).await {
                Ok(live) => return Some(live),
                Err(error) => {
                    tracing::warn!(%source, "can't play: {error:#}");
                    sleep(RETRY * 2).await;
                }
            }
        }
    }

    async fn try_open(&self, source: &SourceId) -> Result<Live> {
        let begun = Instant::now();
        let rig = self.spares.take().await?;
        let prepared = begun.elapsed();
        let session = loop {
            match self.hub.watch(source, rig.offer.clone()).await {
                Ok(session) => break session,
                Err(refusal) => {
                    let pause = match refusal {
                        Refusal::Silent(wait) => wait.clamp(RETRY_SOON, RETRY),
                        Refusal::Away(_) => RETRY_SOON * 2,
                        ref other => {
                            tracing::warn!(%source, "WHEP: {other}");
                            RETRY * 2
                        }
                    };
                    // A hint of the hub's view cuts the pause short, but not to nothing.
                    sleep(RETRY_SOON.min(pause)).await;
                    let rest = pause.saturating_sub(RETRY_SOON);
                    if timeout(rest, self.hurry.notified()).await.is_ok() {
                        tracing::debug!(%source, "trying at once");
                    }
                }
            }
        };
        let pictures_before = self.slot.count();
        let answer = session.answer.clone();
        let slot = self.slot.clone();
        let rig = spawn_blocking(move || rig.accept(&answer, slot).map(|()| rig)).await??;
        tracing::info!(%source, prepared_ms = prepared.as_millis(), ms = begun.elapsed().as_millis(), "session opened");
        Ok(Live { rig, session, since: Instant::now(), pictures_before })
    }

    /// Waits for a picture after number `pictures`.
    async fn revived(&self, pictures: u64) {
        while self.slot.count() == pictures {
            sleep(LOOK).await;
        }
    }

    /// Watches a session until it is of no use.
    async fn look_after(&mut self, live: &mut Live, stall: Duration) -> End {
        // A new session starts with the highest layer.
        let mut layer = Layer::High;
        let mut pictures = self.slot.count();
        let mut last = Instant::now();
        let mut first = true;
        let mut doubt: Option<Instant> = None;
        loop {
            let want = self.wanted.borrow_and_update().clone();
            if layer != want.layer {
                layer = want.layer;
                let source = &want.source;
                if let Err(refusal) = self.hub.limit(&live.session, want.layer).await {
                    tracing::debug!(%source, "layer: {refusal}");
                }
            }
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() {
                    return End::Unwanted;
                },
                event = live.rig.events.recv() => match event {
                    Some(RigEvent::Broken(why)) => return End::Broken(why),
                    Some(RigEvent::Connected) => {
                        tracing::debug!(source = %want.source, ms = live.since.elapsed().as_millis(), "connected");
                    }
                    None => return End::Broken("the session is gone".into()),
                },
                // The source came up anew, or the hub did: a session without pictures is of before.
                () = self.hurry.notified() => doubt = Some(Instant::now()),
                () = sleep(LOOK) => {}
            }
            let count = self.slot.count();
            if count != pictures {
                doubt = None;
            } else if doubt.is_some_and(|since| since.elapsed() > DOUBT) {
                return End::Stalled;
            }
            if count != pictures || !want.expected {
                if first && count > live.pictures_before {
                    first = false;
                    tracing::info!(source = %want.source, ms = live.since.elapsed().as_millis(), "first picture");
                }
                (pictures, last) = (count, Instant::now());
            } else if last.elapsed() > stall {
                return End::Stalled;
            }
        }
    }

    /// Closes a session without anyone waiting for it.
    fn part(&self, live: Live) {
        tokio::spawn(farewell(self.hub.clone(), live));
    }
}

/// Closes a session here and at the hub.
async fn farewell(hub: Hub, live: Live) {
    let closed = spawn_blocking(move || live.rig.close());
    match timeout(FAREWELL, hub.leave(live.session)).await {
        Ok(Err(refusal)) => tracing::debug!("the session was not ended: {refusal}"),
        Err(_) => tracing::debug!("the session was not ended in time"),
        Ok(Ok(())) => {}
    }
    if closed.await.is_err() {
        tracing::warn!("a session did not close");
    }
}

/// Returns when nobody wants the cast any more.
async fn unwanted(mut wanted: watch::Receiver<Play>) {
    while wanted.changed().await.is_ok() {}
}
