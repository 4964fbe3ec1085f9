//! The recorder of what happened: every part of the hub that sees something which counts has a [`Recorder`].

use std::{fmt, path::Path, sync::Arc};

use appliance_core::usage::{
    BadEvent, Event,
    key::{Fingerprint, Standing},
};
use aws_lc_rs::{digest, hmac};
use tokio::sync::watch;

use crate::{
    clock,
    keyfile::{self, KeyError},
    presence::Known,
    store::{KeptEvent, NotedKey, Recorded, SchoolKeys, StoreError, UsageLog},
};

/// Name of the school's key in the data folder.
const FILE: &str = "school.key";
/// Name of the key under which events have ids while the school's key is gone.
const MEANWHILE: &str = "school-meanwhile.key";

/// Most events that one call of [`Recorder::record_all`] takes: they are one transaction.
pub const MOST: usize = 1000;

/// The school's secret, under which students have pseudonyms and events have ids. It never leaves the school
/// (R-DATA-2); boxes of one school that shall tell the same pseudonyms are given the same file.
#[derive(Clone)]
pub struct SchoolKey([u8; 32]);

impl SchoolKey {
    /// Reads `school.key` in `folder`, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        keyfile::load_or_create(folder, FILE).map(Self)
    }

    /// Reads `school.key` in `folder` and says how it stands with what the store has noted. One that is gone although there
    /// are records under it is not made anew; events have their ids under another key meanwhile. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(folder: &Path, noted: NotedKey) -> Result<(Self, Standing), KeyError> {
        let found = keyfile::load(folder, FILE)?.map(Self);
        let standing =
            Standing::of(found.as_ref().map(Self::fingerprint).as_ref(), noted.fingerprint.as_ref(), noted.records);
        let key = match found {
            Some(key) => key,
            None if standing == Standing::Gone => keyfile::load_or_create(folder, MEANWHILE).map(Self)?,
            None => Self::load_or_create(folder)?,
        };
        Ok((key, standing))
    }

    /// How the key in `folder` stands with what the store has noted, without making one. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn standing(folder: &Path, noted: NotedKey) -> Result<Standing, KeyError> {
        let found = keyfile::load(folder, FILE)?.map(|key| Self(key).fingerprint());
        Ok(Standing::of(found.as_ref(), noted.fingerprint.as_ref(), noted.records))
    }

    /// What tells it from other keys.
    pub fn fingerprint(&self) -> Fingerprint {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hmac::sign(&key, b"fingerprint of the school's key").as_ref());
        bytes
    }

    /// Makes the key under which the box works now the school's. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn keep(&self, folder: &Path) -> Result<(), KeyError> {
        keyfile::save(folder, FILE, &self.0)
    }

    /// The bytes, for [`appliance_core`] to make pseudonyms with.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The UUIDv5 of `identity` (RFC 9562, 5.5). The name space is a secret of the school: the identity of an event holds
    /// few unknown digits, and under a public name space whoever reads the id could try them all.
    pub fn event_id(&self, identity: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let space = hmac::sign(&key, b"name space of event ids");
        let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(&space.as_ref()[..16]);
        hash.update(identity.as_bytes());
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
        uuid::Builder::from_sha1_bytes(bytes).into_uuid().to_string()
    }
}

/// The school's key in `folder`, and how it stands with the records. Trouble is told and stops the delivery, nothing else.
///
/// # Errors
/// [`KeyError`], and as all of the store.
pub async fn school_key(folder: &Path, store: &SchoolKeys) -> anyhow::Result<(SchoolKey, Standing)> {
    let (key, standing) = SchoolKey::open(folder, store.noted().await?)?;
    match standing {
        Standing::Good => {}
        Standing::First | Standing::Make => store.note(key.fingerprint(), clock::now()).await?,
        Standing::Gone => tracing::error!(
            "school.key is gone: nothing is delivered upstream, because it would count twice under another key; put it \
             back from a backup and start again"
        ),
        Standing::Other => tracing::error!(
            "school.key is not the key under which the records are: nothing is delivered upstream, because it would count \
             twice; put the right one back and start again"
        ),
    }
    Ok((key, standing))
}

impl fmt::Debug for SchoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SchoolKey(…)")
    }
}

/// Keeps events. Cheap to clone.
///
/// What it has acknowledged is on the disk. It drops nothing: there is no queue here, and a caller waits while the
/// store's queue (1,024 pieces of work) is full. When the disk refuses, the caller is told; it logs that and goes on,
/// because a full disk must not stop a class.
#[derive(Clone)]
pub struct Recorder {
    log: UsageLog,
    key: Arc<SchoolKey>,
    /// Who sits where, for events that name only class and seat.
    people: Option<watch::Receiver<Arc<Known>>>,
}

/// Why an event is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// One has not its form; the same event will never be kept.
    Bad {
        /// Which of the events, from 0.
        index: usize,
        /// The field.
        bad: BadEvent,
    },
    /// More than [`MOST`] events at once.
    TooMany(usize),
    /// The store refused; the same event may be kept later.
    Store(StoreError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad { index, bad } => write!(f, "usage event {index}: {bad}"),
            Self::TooMany(count) => write!(f, "{count} usage events at once; deliver at most {MOST}"),
            Self::Store(error) => write!(f, "the usage event is not kept: {error}"),
        }
    }
}

impl std::error::Error for RecordError {}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Recorder {
    /// Keeps events in `log`, with ids under `key`.
    pub fn new(log: UsageLog, key: Arc<SchoolKey>) -> Self {
        Self { log, key, people: None }
    }

    /// Completes events that name a class and a seat: 學號 from the register, the device that is in use there.
    #[must_use]
    pub fn knowing(self, people: watch::Receiver<Arc<Known>>) -> Self {
        Self { people: Some(people), ..self }
    }

    /// The event with what is known now of who it names. Doing it twice changes nothing.
    pub fn complete(&self, mut event: Event) -> Event {
        let who = &mut event.who;
        if let (Some(people), Some(class), Some(seat), None) = (&self.people, who.class, who.seat, &who.student) {
            let (student, device) = people.borrow().subject(class, seat);
            who.student = student;
            who.device = who.device.take().or(device);
        }
        event
    }

    /// Keeps one event: it is on the disk when this returns. [`Recorded::Known`] when it was kept before.
    ///
    /// # Errors
    /// [`RecordError`]; then nothing is kept.
    pub async fn record(&self, event: Event) -> Result<Recorded, RecordError> {
        let all = self.record_all(vec![event]).await?;
        Ok(all.first().copied().unwrap_or(Recorded::Known))
    }

    /// Keeps all of `events`, at most [`MOST`], or none: for deliveries that are acknowledged as a whole.
    ///
    /// # Errors
    /// [`RecordError`]; then none is kept.
    pub async fn record_all(&self, events: Vec<Event>) -> Result<Vec<Recorded>, RecordError> {
        if events.len() > MOST {
            return Err(RecordError::TooMany(events.len()));
        }
        let kept: Result<Vec<KeptEvent>, RecordError> = events
            .into_iter()
            .enumerate()
            .map(|(index, event)| {
                let event = self.complete(event);
                match event.check() {
                    Ok(()) => Ok(KeptEvent { id: self.key.event_id(&event.identity()), event }),
                    Err(bad) => Err(RecordError::Bad { index, bad }),
                }
            })
            .collect();
        Ok(self.log.append(kept?, clock::now()).await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use appliance_core::usage::{Fact, Place, Subject};

    use super::*;
    use crate::store::{self, Keeper};

    fn event(at: u64) -> Event {
        let who = Subject::device("D-7", Some("1100207".into()));
        let fact = Fact::Used { platform: "adl".into(), seconds: 60 };
        Event { at, who, place: Place::Home, lesson: None, fact, origin: None }
    }

    async fn close(keeper: Keeper) {
        tokio::task::spawn_blocking(|| keeper.close()).await.unwrap();
    }

    #[test]
    fn an_id_is_a_uuid_5_and_of_this_school_alone() {
        let (ours, theirs) = (SchoolKey([1; 32]), SchoolKey([2; 32]));
        let id = ours.event_id("a");
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 5);
        assert_eq!(id, ours.event_id("a"));
        assert_ne!(id, ours.event_id("b"));
        assert_ne!(id, theirs.event_id("a"));
        assert_eq!(format!("{ours:?}"), "SchoolKey(…)");
    }

    #[test]
    fn a_key_that_is_gone_is_not_made_anew_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = NotedKey::default();
        let (first, standing) = SchoolKey::open(folder.path(), fresh).unwrap();
        assert_eq!(standing, Standing::Make);
        let noted = NotedKey { fingerprint: Some(first.fingerprint()), records: true };
        let (again, standing) = SchoolKey::open(folder.path(), noted).unwrap();
        assert_eq!((again.bytes(), standing), (first.bytes(), Standing::Good));
        std::fs::rename(folder.path().join(FILE), folder.path().join("lost")).unwrap();
        let (meanwhile, standing) = SchoolKey::open(folder.path(), noted).unwrap();
        assert_eq!(standing, Standing::Gone);
        assert!(!folder.path().join(FILE).exists() && meanwhile.bytes() != first.bytes());
        let (same, _) = SchoolKey::open(folder.path(), noted).unwrap();
        assert_eq!(same.bytes(), meanwhile.bytes(), "ids stay the same over restarts");
        meanwhile.keep(folder.path()).unwrap();
        assert_eq!(SchoolKey::standing(folder.path(), noted).unwrap(), Standing::Other);
        std::fs::rename(folder.path().join("lost"), folder.path().join(FILE)).unwrap();
        assert_eq!(SchoolKey::open(folder.path(), noted).unwrap().1, Standing::Good);
    }

    #[tokio::test]
    async fn what_is_acknowledged_survives_and_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let key = Arc::new(SchoolKey::load_or_create(folder.path()).unwrap());
        for round in 0..2 {
            let opened = store::open(folder.path(), 1).unwrap();
            let recorder = Recorder::new(opened.store.usage(), key.clone());
            let all = recorder.record_all((0..MOST as u64).map(event).collect()).await.unwrap();
            let expected = if round == 0 { Recorded::New } else { Recorded::Known };
            assert!(all.len() == MOST && all.iter().all(|one| *one == expected));
            drop(recorder);
            close(opened.keeper).await;
        }
    }

    #[tokio::test]
    async fn a_wrong_event_keeps_its_whole_delivery_out() {
        let folder = tempfile::tempdir().unwrap();
        let opened = store::open(folder.path(), 1).unwrap();
        let key = Arc::new(SchoolKey::load_or_create(folder.path()).unwrap());
        let recorder = Recorder::new(opened.store.usage(), key);
        let wrong = Event { fact: Fact::Used { platform: "https://x/".into(), seconds: 1 }, ..event(2) };
        let refused = recorder.record_all(vec![event(1), wrong]).await.unwrap_err();
        assert!(refused.to_string().contains("usage event 1: fact.platform must be"), "{refused}");
        assert_eq!(recorder.record(event(1)).await, Ok(Recorded::New));
        let many = recorder.record_all((0..=MOST as u64).map(event).collect()).await;
        assert_eq!(many, Err(RecordError::TooMany(MOST + 1)));
        drop(recorder);
        close(opened.keeper).await;
    }

    #[tokio::test]
    async fn a_clock_set_back_loses_no_event_and_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let opened = store::open(folder.path(), 1).unwrap();
        let key = Arc::new(SchoolKey::load_or_create(folder.path()).unwrap());
        let log = opened.store.usage();
        assert_eq!(log.latest().await, Ok(None));
        let tomorrow = clock::now() + 86_400_000;
        let kept = |at| vec![KeptEvent { id: key.event_id(&event(at).identity()), event: event(at) }];
        assert_eq!(log.append(kept(tomorrow), tomorrow).await, Ok(vec![Recorded::New]));
        assert_eq!(log.latest().await, Ok(Some(tomorrow)), "later than now");
        let recorder = Recorder::new(log.clone(), key.clone());
        assert_eq!(recorder.record(event(clock::now())).await, Ok(Recorded::New), "an earlier time is no reason");
        let waiting = opened.store.outbox().waiting(0, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|one| one.seq).collect::<Vec<_>>(), [1, 2], "sent in the order they were kept");
        drop((recorder, log));
        close(opened.keeper).await;
    }

    #[tokio::test]
    async fn a_thousand_callers_wait_their_turn_and_none_is_turned_away() {
        let folder = tempfile::tempdir().unwrap();
        let opened = store::open(folder.path(), 1).unwrap();
        let key = Arc::new(SchoolKey::load_or_create(folder.path()).unwrap());
        let recorder = Recorder::new(opened.store.usage(), key);
        let mut callers = tokio::task::JoinSet::new();
        for at in 0..3000 {
            let recorder = recorder.clone();
            callers.spawn(async move { recorder.record(event(at)).await });
        }
        assert!(callers.join_all().await.into_iter().all(|one| one == Ok(Recorded::New)));
        drop(recorder);
        close(opened.keeper).await;
    }
}
