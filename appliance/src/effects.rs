//! Executes what the core decided, in its order, and keeps the room's state for the next start.

use std::{sync::Arc, time::Duration};

use appliance_core::room::{Effect, Room};
use classroom_protocol::Millis;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{
    clock,
    media::{MediaError, MediaHandle},
    store::{Lessons, NewLesson, Rooms, SavedRoom, Showing, StoreError},
    thumbnails::Thumbnails,
    usage::{RecordError, Recorder},
};

/// The room's state is written at most this often: a burst of taps costs one write.
const TOGETHER: Duration = Duration::from_millis(100);
/// Effects that may wait for the disk; when it is full the room waits, because evidence is never dropped.
const KEPT: usize = 1024;

/// Executes effects until the room's task ends.
///
/// A write that the disk refuses is told at error level and the lesson goes on: a full disk must not stop a class.
pub(crate) async fn execute(
    mut effects: mpsc::Receiver<Effect>,
    media: MediaHandle,
    lessons: Lessons,
    recorder: Recorder,
    thumbnails: Thumbnails,
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
        while let Some(effect) = keep.recv().await {
            let what = format!("{effect:?}");
            if let Err(error) = one(effect, &lessons, &recorder).await {
                tracing::error!(%error, what, "the store could not keep this");
            }
        }
    };
    tokio::join!(forward, write);
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
    loop {
        let (open, room) = (state.changed().await.is_ok(), state.borrow_and_update().clone());
        match serde_json::to_string(&*room) {
            // The sequence number alone is no reason to write; a restart is ahead of any number, also of one not kept.
            Ok(snapshot) if without_seq(&snapshot) != without_seq(&kept) => {
                let save = SavedRoom { seq: room.seq(), snapshot: snapshot.clone(), saved_at: clock::now() };
                match rooms.save(save).await {
                    Ok(()) => kept = snapshot,
                    Err(error) => tracing::error!(%error, "the room's state could not be kept"),
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
