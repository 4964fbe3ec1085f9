//! The room's owner: one task holds the core's [`Room`], everyone else sends it inputs and watches the outcome.

use std::sync::Arc;

use appliance_core::room::{Effect, Input, Room};
use classroom_protocol::{Millis, ProblemCode};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use crate::clock;

/// Inputs that may wait; the task does no I/O, so a full queue means a flood, and callers wait their turn.
const INPUTS: usize = 256;
/// The clock was set when it moved by more than this beside the time that has passed.
const CLOCK_SET_MS: u64 = 60_000;
/// Effects that may wait for the disk; when it is full the room waits, because evidence and audit are never dropped.
const EFFECTS: usize = 1024;

type Reply = oneshot::Sender<Result<Vec<Effect>, ProblemCode>>;

/// Talks to the room; cheap to clone.
#[derive(Clone)]
pub struct RoomHandle {
    inputs: mpsc::Sender<(Input, Reply)>,
    state: watch::Receiver<Arc<Room>>,
}

impl RoomHandle {
    /// Lets `input` happen now and waits until it has.
    ///
    /// # Errors
    /// Why it may not happen; `internal` when the box is shutting down.
    pub async fn apply(&self, input: Input) -> Result<Vec<Effect>, ProblemCode> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send((input, reply)).await.map_err(|_| ProblemCode::Internal)?;
        answer.await.map_err(|_| ProblemCode::Internal)?
    }

    /// The room as it is now.
    pub fn now(&self) -> Arc<Room> {
        self.state.borrow().clone()
    }

    /// The room as it is and as it becomes. A slow reader skips states and sees the newest.
    pub fn watch(&self) -> watch::Receiver<Arc<Room>> {
        self.state.clone()
    }
}

/// The task and what it gives out.
pub struct RoomTask {
    room: Room,
    inputs: mpsc::Receiver<(Input, Reply)>,
    state: watch::Sender<Arc<Room>>,
    effects: mpsc::Sender<Effect>,
}

/// Makes the room's task, its handle, and the effects that the shell has to execute in their order.
pub fn open(room: Room) -> (RoomTask, RoomHandle, mpsc::Receiver<Effect>) {
    let (inputs_tx, inputs) = mpsc::channel(INPUTS);
    let (effects, effects_rx) = mpsc::channel(EFFECTS);
    let (state, state_rx) = watch::channel(Arc::new(room.clone()));
    (RoomTask { room, inputs, state, effects }, RoomHandle { inputs: inputs_tx, state: state_rx }, effects_rx)
}

impl RoomTask {
    /// Runs until every handle is gone or nobody executes the effects any more.
    pub async fn run(mut self) {
        // A kept state is taken up before anything else happens to it.
        for effect in self.room.standing() {
            if self.effects.send(effect).await.is_err() {
                return;
            }
        }
        let mut watched = Watched::default();
        loop {
            let deadline = self.room.next_deadline().map(|at| Instant::now() + clock::until(at));
            let (input, reply) = tokio::select! {
                next = self.inputs.recv() => match next {
                    Some((input, reply)) => (input, Some(reply)),
                    None => return,
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => (Input::Tick, None),
            };
            let now = clock::now();
            if let Some((before, ms)) = watched.look(now, Instant::now()) {
                // What ends now and began before ends at its beginning at the earliest (core): this line says why.
                tracing::error!(before, now, ms, lesson = self.room.lesson_id(), "the clock was set");
            }
            let outcome = self.room.apply(input, now);
            if let Ok(effects) = &outcome {
                self.state.send_replace(Arc::new(self.room.clone()));
                for effect in effects {
                    if self.effects.send(effect.clone()).await.is_err() {
                        return;
                    }
                }
            }
            if let Some(reply) = reply {
                // The caller may have hung up; what it asked for has happened all the same.
                let _ = reply.send(outcome);
            }
        }
    }
}

/// Tells when the box's clock was set, by the time that has passed.
#[derive(Debug, Default)]
struct Watched(Option<(Millis, Instant)>);

impl Watched {
    /// What the clock should have said and by how much it is off, if it was set since the last look.
    fn look(&mut self, now: Millis, moment: Instant) -> Option<(Millis, i128)> {
        let (then, at) = self.0.replace((now, moment))?;
        let passed = u64::try_from(moment.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
        let expected = then.saturating_add(passed);
        let off = i128::from(now) - i128::from(expected);
        (now.abs_diff(expected) > CLOCK_SET_MS).then_some((expected, off))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_once_and_time_that_passes_is_not() {
        let (begin, mut watched) = (Instant::now(), Watched::default());
        let hours = |n: u64| n * 3_600_000;
        assert_eq!(watched.look(hours(100), begin), None);
        let later = begin + Duration::from_millis(hours(20));
        assert_eq!(watched.look(hours(120), later), None, "a long night");
        assert_eq!(watched.look(hours(95), later), Some((hours(120), -25 * 3_600_000)));
        assert_eq!(watched.look(hours(95), later), None);
        assert_eq!(watched.look(hours(96), later), Some((hours(95), 3_600_000)));
    }
}
