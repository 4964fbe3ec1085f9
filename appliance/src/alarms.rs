//! Hands what students and devices have told to who is to hear of it: the room's teacher and the office. Who that is
//! decides the core.

use std::time::Duration;

use appliance_core::{
    alarm::{Alarm, FRESH},
    room::Input,
};
use classroom_protocol::Millis;
use tokio::time::sleep;

use crate::{
    clock,
    room::RoomHandle,
    store::{AlarmLog, StoreError},
};

/// Reports grow old by the clock alone; so often the room is told anew.
const AGAIN: Duration = Duration::from_secs(600);
/// Reports that the room is told at once; a school's week has a few.
const MOST: u32 = 500;
/// The office sees so far back: a semester.
const KEPT_IN_SIGHT: Millis = 190 * 86_400_000;

/// Reads the alarms and tells the room. Cheap to clone.
#[derive(Clone)]
pub struct Alarms {
    log: AlarmLog,
    room: RoomHandle,
}

impl Alarms {
    /// Those of `log`, for `room`.
    pub fn new(log: AlarmLog, room: RoomHandle) -> Self {
        Self { log, room }
    }

    /// Tells the room what is told now. It is kept already: when the store or the room does not answer, the log says so
    /// and the next time does.
    pub async fn tell(&self) {
        let told = match self.log.since(clock::now().saturating_sub(FRESH), MOST).await {
            Ok(told) => told,
            Err(error) => return tracing::error!(%error, "what students have told can't be read"),
        };
        if let Err(code) = self.room.apply(Input::Alarms(told)).await {
            tracing::warn!(code = code.as_str(), "the room did not hear what students have told");
        }
    }

    /// For the office: all that is told, the newest first.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn all(&self) -> Result<Vec<Alarm>, StoreError> {
        self.log.since(clock::now().saturating_sub(KEPT_IN_SIGHT), MOST).await
    }

    /// `by` has taken note of `id`. Says whether there is such an alarm.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn note(&self, id: i64, by: &str) -> Result<bool, StoreError> {
        let there = self.log.note(id, clock::now(), by.to_owned()).await?;
        self.tell().await;
        Ok(there)
    }
}

/// Tells the room at the start, and again when reports grow old.
pub(crate) async fn keep(alarms: Alarms) {
    loop {
        alarms.tell().await;
        sleep(AGAIN).await;
    }
}
