//! Executes what the core decided, in its order, and keeps the room's state for the next start.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use appliance_core::room::{Effect, Room};
use classroom_protocol::Millis;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    clock,
    keeping::Keeping,
    media::{MediaError, MediaHandle},
    store::{Lessons, NewLesson, Rooms, SavedRoom, Showing, StoreError},
    thumbnails::Thumbnails,
    usage::{RecordError, Recorder},
};

/// The room's state is written at most this often: a burst of taps costs one write.
const TOGETHER: Duration = Duration::from_millis(100);
/// Effects on their way to the writer, which takes them in at once; when it is full the room waits.
const KEPT: usize = 1024;
/// Effects that wait while the disk refuses them: a lesson of 40 leaves a few hundred, so these are more than a hundred
/// lessons, in some 20 MB. When it is full the newest are lost, counted and told: a class does not stop for its records.
const WAITING: usize = 50_000;
/// How long until what the disk has refused is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Executes effects until the room's task ends.
///
/// What the disk refuses waits, is told to the room and tried again in its order until it is written; the lesson goes on
/// meanwhile. What is wrong in itself is told at error level and left out.
pub(crate) async fn execute(
    mut effects: mpsc::Receiver<Effect>,
    media: MediaHandle,
    lessons: Lessons,
    recorder: Recorder,
    thumbnails: Thumbnails,
    keeping: Keeping,
) {
    // What the forwarder has to do does not wait for the disk: a seat that was just given away is closed before its new
    // student publishes. Each kind stays in its order.
    let (to_keep, mut keep) = mpsc::channel(KEPT);
    let forward = async move {
        while let Some(effect) = effects.recv().await {
            match effect {
                Effect::CloseSource(source) => executed(media.close_source(source).await),
                Effect::Pause { source, paused } => executed(media.pause_source(source, paused).await),
                Effect::ForgetThumbnail { seat, version } => thumbnails.forget(seat, version),
                Effect::Program(program) => executed(media.set_program(program).await),
                Effect::CloseHome(seat) => {
                    executed(media.close_followers(seat.map(classroom_protocol::Seat::home_source)).await);
                }
                other => {
                    if to_keep.send(other).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let write = async {
        let mut records = Records { waiting: VecDeque::new(), again: None, lessons, recorder, keeping };
        loop {
            let again = records.again.unwrap_or_else(Instant::now);
            tokio::select! {
                next = keep.recv() => match next {
                    Some(effect) => records.take_in(effect),
                    None => break,
                },
                () = sleep_until(again), if records.again.is_some() => records.again = None,
            }
            records.write().await;
        }
        records.write_last().await;
    };
    tokio::join!(forward, write);
}

/// Effects on their way to the disk.
struct Records {
    waiting: VecDeque<Effect>,
    /// When the first of them is tried again, if the disk has refused it.
    again: Option<Instant>,
    lessons: Lessons,
    recorder: Recorder,
    keeping: Keeping,
}

impl Records {
    fn take_in(&mut self, effect: Effect) {
        if self.waiting.len() >= WAITING {
            tracing::error!(?effect, "the disk has refused records for too long: this one is lost");
            return self.keeping.records(self.waiting.len(), 1);
        }
        // Who sat where is known now and not when there is room again.
        self.waiting.push_back(match effect {
            Effect::Happened(event) => Effect::Happened(self.recorder.complete(event)),
            other => other,
        });
    }

    /// Writes what waits, in its order, until the disk refuses.
    async fn write(&mut self) {
        if self.again.is_some() {
            return self.keeping.records(self.waiting.len(), 0);
        }
        while let Some(effect) = self.waiting.front() {
            match one(effect.clone(), &self.lessons, &self.recorder).await {
                Err(RecordError::Store(error)) if error.may_pass() => {
                    if self.keeping.now().records == 0 {
                        tracing::error!(%error, "the disk takes no records: they wait until it does");
                    }
                    self.again = Some(Instant::now() + AGAIN);
                    return self.keeping.records(self.waiting.len(), 0);
                }
                Err(error) => tracing::error!(%error, ?effect, "the store could not keep this"),
                Ok(()) => {}
            }
            self.waiting.pop_front();
        }
        if self.keeping.now().records > 0 {
            tracing::info!("the disk takes records again; none waits any more");
        }
        self.keeping.records(0, 0);
    }

    /// The box stops: one more try.
    async fn write_last(mut self) {
        self.again = None;
        self.write().await;
        if !self.waiting.is_empty() {
            tracing::error!(lost = self.waiting.len(), "the box stops before the disk has taken these records");
        }
    }
}

async fn one(effect: Effect, lessons: &Lessons, recorder: &Recorder) -> Result<(), RecordError> {
    let kept = match effect {
        Effect::LessonStarted { lesson, class, class_name, by, at } => {
            let new = NewLesson { id: lesson, class, class_name, started_at: at, started_by: by.name };
            lessons.begin(new).await
        }
        Effect::LessonEnded { lesson, at } => lessons.end(lesson, at).await,
        Effect::Seen { lesson, source, label, at } => {
            let seat = source.seat();
            lessons.show(lesson, Showing { source, label, seat, from: at, to: None }).await
        }
        Effect::Hidden { lesson, source, from: _, at } => lessons.hide(lesson, source, at).await,
        Effect::Happened(event) => return recorder.record(event).await.map(|_| ()),
        // The forwarder's are done; the others are answered by the handler that asked for them.
        Effect::CloseSource(_)
        | Effect::ForgetThumbnail { .. }
        | Effect::Pause { .. }
        | Effect::Program(_)
        | Effect::CloseHome(_)
        | Effect::SeatGiven { .. }
        | Effect::HomeLink { .. }
        | Effect::HomeGiven { .. } => Ok(()),
    };
    Ok(kept?)
}

fn executed(result: Result<(), MediaError>) {
    if let Err(error) = result {
        tracing::error!(%error, "the forwarder did not do what the room decided");
    }
}

/// Writes the room's state whenever what must survive a restart has changed. Ends with the room's task.
pub(crate) async fn keep(mut state: watch::Receiver<Arc<Room>>, rooms: Rooms) {
    let mut kept = String::new();
    let mut refused = false;
    loop {
        // What the disk has refused is tried again also when nothing changes any more.
        let open = if refused {
            timeout(AGAIN, state.changed()).await.map_or(true, |changed| changed.is_ok())
        } else {
            state.changed().await.is_ok()
        };
        let room = state.borrow_and_update().clone();
        refused = false;
        match serde_json::to_string(&*room) {
            // The sequence number alone is no reason to write; a restart is ahead of any number, also of one not kept.
            Ok(snapshot) if without_seq(&snapshot) != without_seq(&kept) => {
                let save = SavedRoom { seq: room.seq(), snapshot: snapshot.clone(), saved_at: clock::now() };
                match rooms.save(save).await {
                    Ok(()) => kept = snapshot,
                    Err(error) => {
                        tracing::error!(%error, "the room's state could not be kept");
                        refused = true;
                    }
                }
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the room's state has no JSON form"),
        }
        if !open {
            return;
        }
        sleep(TOGETHER).await;
    }
}

fn without_seq(snapshot: &str) -> &str {
    // The core writes it first: {"seq":12,…
    snapshot.split_once(',').map_or("", |(_, rest)| rest)
}

/// The room as it was kept, ready to go on at `now`; a new one when nothing was kept or it can't be read.
///
/// # Errors
/// When the store fails.
pub(crate) async fn restore(rooms: &Rooms, lessons: &Lessons, now: Millis) -> Result<Room, StoreError> {
    let saved = rooms.load().await?;
    let saved_at = saved.as_ref().map_or(now, |saved| saved.saved_at.min(now));
    let room = match saved.map(|saved| serde_json::from_str::<Room>(&saved.snapshot)) {
        Some(Ok(room)) => room.restored(now),
        Some(Err(error)) => {
            tracing::error!(%error, "the kept state of the room can't be read; it starts empty");
            Room::new(now)
        }
        None => Room::new(now),
    };
    let ended = lessons.end_all_but(room.lesson_id().map(str::to_owned), saved_at).await?;
    if ended > 0 {
        tracing::warn!(ended, "lessons were open whose end was lost; they end when the box was last seen");
    }
    Ok(room)
}
