//! The room's owner: one task holds the core's [`Room`], everyone else sends it inputs and watches the outcome.

use std::sync::Arc;

use appliance_core::room::{Effect, Input, Room};
use classroom_protocol::ProblemCode;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use crate::clock;

/// Inputs that may wait; the task does no I/O, so a full queue means a flood, and callers wait their turn.
const INPUTS: usize = 256;
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
        loop {
            let deadline = self.room.next_deadline().map(|at| Instant::now() + clock::until(at));
            let (input, reply) = tokio::select! {
                next = self.inputs.recv() => match next {
                    Some((input, reply)) => (input, Some(reply)),
                    None => return,
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => (Input::Tick, None),
            };
            let outcome = self.room.apply(input, clock::now());
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
