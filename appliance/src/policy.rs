//! The hub's side of the policy: reads the school's document, writes the snapshot for the resolver, hears what was
//! refused. Deciding is the core's.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use appliance_core::{
    policy::{Document, Known, Snapshot},
    room::Room,
};
use classroom_protocol::{
    Millis,
    catalogue::{Lang, fill},
    policy::{AccessLine, Noted, Notice, UnusedDocument},
};
use tokio::{
    net::UnixDatagram,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use crate::{clock, dns::Rules, keeping::Keeping, store::AccessLog};

pub mod document;
mod record;

use document::InUse;
use record::{Lines, TOGETHER};

/// How often the document's file is looked at when nothing else happens.
const LOOK: Duration = Duration::from_secs(2);
/// Refusals of one address that are remembered; the oldest goes first.
const REFUSALS: usize = 20;
/// Addresses whose refusals are remembered; when there are more all are forgotten.
const ADDRESSES: usize = 1_024;
/// The longest notice, in bytes.
const NOTICE: usize = 4_096;
/// The record of network access is kept for half a year and some days (R-POL-20), then erased: as soon as its order proves
/// that so much time has passed.
const KEPT_FOR: Millis = 190 * DAY;
const DAY: Millis = 86_400_000;
/// How often what is old is erased.
const ERASE: Duration = Duration::from_secs(24 * 3600);

/// The devices that are in the room now, as the register knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// Whether the school keeps its devices in the register at all.
    pub in_use: bool,
    /// Those with an address.
    pub devices: Vec<Known>,
}

/// What was refused lately, by who asked. In memory only: it is for the student who asked.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<IpAddr, VecDeque<Notice>>>>);

impl Refusals {
    /// The latest refusals of an address since `since`, the newest first; each name once.
    pub fn of(&self, address: IpAddr, since: Millis) -> Vec<Notice> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Notice> = Vec::new();
        for notice in all.get(&address.to_canonical()).into_iter().flatten().rev().filter(|notice| notice.at >= since) {
            if found.iter().all(|before| before.name != notice.name) {
                found.push(notice.clone());
            }
        }
        found
    }

    fn keep(&self, notice: Notice) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES && !all.contains_key(&notice.address) {
            all.clear();
        }
        let of = all.entry(notice.address.to_canonical()).or_default();
        if of.len() >= REFUSALS {
            of.pop_front();
        }
        of.push_back(notice);
    }
}

/// What the snapshot is made of.
pub struct Sources {
    /// `policy` in the data folder.
    pub folder: PathBuf,
    /// The box's own names.
    pub names: Vec<String>,
    /// The room: lesson and permits.
    pub room: watch::Receiver<Arc<Room>>,
    /// The register's devices.
    pub registered: watch::Receiver<Arc<Registered>>,
    /// The box's addresses.
    pub addresses: watch::Receiver<Vec<IpAddr>>,
    /// Told why the document in the file is not the one that counts.
    pub unused: watch::Sender<Option<UnusedDocument>>,
}

/// Makes the folder that hub and resolver share.
///
/// # Errors
/// When it can't be made.
pub fn folder(data: &Path) -> std::io::Result<PathBuf> {
    let folder = data.join("policy");
    fs::create_dir_all(folder.join("lists"))?;
    Ok(folder)
}

/// Checks the document in a file: what is wrong with it, all of it, or that it is good. Without a file gives the one
/// that comes with the box, to be copied and changed.
///
/// # Errors
/// When the file can't be read.
pub fn examine(file: Option<&Path>, lang: Lang) -> anyhow::Result<(String, bool)> {
    use anyhow::Context as _;
    let Some(file) = file else { return Ok((Document::standard()?.to_json()?, true)) };
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| name.clone())?;
    Ok(match document::checked(&text, lang) {
        Ok(document) => {
            let values = [("file", name.as_str()), ("count", &document.rules.len().to_string())];
            (fill(lang, "policy.doc.good", &values), true)
        }
        Err(found) => (found.iter().map(|one| format!("{name}: {one}")).collect::<Vec<_>>().join("\n"), false),
    })
}

/// Keeps `snapshot.json` as the room, the register and the document say. Ends with the room's task.
pub async fn keep(mut sources: Sources) {
    let (mut document, mut seen) = (None, None);
    let mut written: Option<Snapshot> = None;
    loop {
        let now_seen =
            fs::metadata(sources.folder.join("document.json")).ok().map(|meta| (meta.modified().ok(), meta.len()));
        let mut new = written.is_none();
        if document.is_none() || now_seen != seen {
            seen = now_seen;
            match document::in_use(&sources.folder, document.as_ref()) {
                Ok(InUse { document: read, unused }) => {
                    if let Some(UnusedDocument { reason, instead }) = &unused {
                        tracing::error!(reason, ?instead, "policy/document.json can't be used");
                    }
                    sources.unused.send_replace(unused);
                    new |= document.as_ref() != Some(&read);
                    document = Some(read);
                }
                Err(error) => tracing::error!(%error, "the standard document"),
            }
        }
        // The room changes with every thumbnail; only a new lesson or permit is news here. What was written is compared, as
        // waiting for a change already counts as having seen it.
        let lesson = sources.room.borrow_and_update().policy_lesson();
        let registered = sources.registered.borrow_and_update().clone();
        let addresses = sources.addresses.borrow_and_update().clone();
        new |= written.as_ref().is_some_and(|before| {
            before.lesson != lesson
                || before.addresses != addresses
                || before.register_in_use != registered.in_use
                || before.devices != registered.devices
        });
        if let Some(document) = document.as_ref().filter(|_| new) {
            let snapshot = Snapshot {
                schema: Snapshot::SCHEMA,
                written_at: clock::now(),
                names: sources.names.clone(),
                addresses,
                lesson,
                register_in_use: registered.in_use,
                devices: registered.devices.clone(),
                document: document.clone(),
            };
            match write(&sources.folder, &snapshot) {
                Ok(()) => written = Some(snapshot),
                Err(error) => {
                    tracing::error!(%error, "the resolver's snapshot can't be written");
                    written = None;
                }
            }
        }
        let changed = async {
            tokio::select! {
                done = sources.room.changed() => done.is_ok(),
                Ok(()) = sources.registered.changed() => true,
                Ok(()) = sources.addresses.changed() => true,
            }
        };
        if timeout(LOOK, changed).await == Ok(false) {
            return;
        }
    }
}

/// Writes beside, then puts in place: a reader sees the old one or the new one, whole.
fn write(folder: &Path, snapshot: &Snapshot) -> std::io::Result<()> {
    let (path, new) = (folder.join("snapshot.json"), folder.join("snapshot.new"));
    let text = serde_json::to_vec(snapshot)?;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    fs::rename(&new, &path)
}

/// Hears the resolver's notices: refusals are shown to who asked, what the school keeps goes to the log; while the disk
/// refuses it, it waits and `keeping` says so. Runs until dropped.
///
/// # Errors
/// When the socket can't be made.
pub async fn hear(
    folder: PathBuf,
    rules: watch::Receiver<Option<Arc<Rules>>>,
    refusals: Refusals,
    log: AccessLog,
    keeping: Keeping,
) -> std::io::Result<()> {
    let path = folder.join("notices.sock");
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let socket = UnixDatagram::bind(&path)?;
    let mut buffer = vec![0; NOTICE];
    let mut lines = Lines::new(keeping);
    let mut erase = interval(ERASE);
    erase.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = lines.due();
        tokio::select! {
            size = socket.recv(&mut buffer) => {
                let mut size = size?;
                // The socket's own queue holds what comes meanwhile.
                for more in (0..TOGETHER).rev() {
                    if let Some(notice) = read(&buffer[..size]) {
                        if !notice.decision.allow {
                            refusals.keep(notice.clone());
                        }
                        lines.take_in(line(notice, rules.borrow().as_deref()));
                    }
                    if more == 0 {
                        break;
                    }
                    match socket.try_recv(&mut buffer) {
                        Ok(next) => size = next,
                        Err(_) => break,
                    }
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            _ = erase.tick() => match log.erase_older(KEPT_FOR, clock::now()).await {
                Ok(lines) if lines > 0 => tracing::info!(lines, "old records of network access were erased"),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "old records of network access can't be erased"),
            },
        }
        lines.write(|first| log.keep(first)).await;
    }
}

fn read(datagram: &[u8]) -> Option<Notice> {
    match serde_json::from_slice::<Notice>(datagram) {
        Ok(notice) => {
            if notice.lost > 0 {
                tracing::error!(lost = notice.lost, "the resolver lost notices while the hub was away");
            }
            Some(notice)
        }
        Err(error) => {
            tracing::warn!(%error, "a notice of the resolver can't be read");
            None
        }
    }
}

/// The line for a notice. Lesson and device are those that the resolver has noted, as it may have waited since; of a
/// resolver that notes none they are those of now.
fn line(notice: Notice, rules: Option<&Rules>) -> AccessLine {
    /// The database takes no larger time.
    const LATEST: Millis = Millis::MAX >> 1;
    let Noted { lesson, device } = notice.noted.unwrap_or_else(|| Noted {
        lesson: rules.and_then(Rules::lesson).map(str::to_owned),
        device: rules.and_then(|rules| rules.device_code(notice.address)).map(str::to_owned),
    });
    AccessLine {
        at: notice.at.min(LATEST),
        device,
        address: notice.address.to_canonical().to_string(),
        lesson,
        name: notice.name,
        allow: notice.decision.allow,
        rule: notice.decision.rule.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use appliance_core::policy::{Changer, Decision, Reason, RuleId};

    use super::*;

    fn notice(at: Millis, address: [u8; 4], name: &str) -> Notice {
        let decision = Decision {
            allow: false,
            rule: RuleId::new(3),
            reason: Reason::Games,
            changer: Changer::Teacher,
            until: None,
            record: false,
            alert: None,
        };
        Notice { at, address: address.into(), name: name.into(), decision, lost: 0, noted: None }
    }

    #[test]
    fn a_line_has_the_lesson_in_which_was_asked() {
        let noted = Noted { lesson: Some("first".into()), device: Some("ABCDEFGH".into()) };
        let waited = line(Notice { noted: Some(noted), ..notice(5, [10, 0, 0, 1], "a.tw") }, None);
        assert_eq!((waited.lesson.as_deref(), waited.device.as_deref()), (Some("first"), Some("ABCDEFGH")));
        let older = line(notice(Millis::MAX, [10, 0, 0, 1], "a.tw"), None);
        assert_eq!((older.at, older.lesson, older.device), (Millis::MAX >> 1, None, None));
    }

    #[test]
    fn a_student_is_shown_the_own_refusals_only_and_each_name_once() {
        let refusals = Refusals::default();
        for at in 0..100 {
            refusals.keep(notice(at, [10, 0, 0, 1], if at % 2 == 0 { "a.tw" } else { "b.tw" }));
        }
        refusals.keep(notice(200, [10, 0, 0, 2], "c.tw"));
        let of = |address: [u8; 4], since| {
            refusals.of(address.into(), since).into_iter().map(|notice| notice.name).collect::<Vec<_>>()
        };
        assert_eq!(of([10, 0, 0, 1], 0), ["b.tw", "a.tw"]);
        assert_eq!(of([10, 0, 0, 1], 99), ["b.tw"]);
        assert_eq!(of([10, 0, 0, 2], 0), ["c.tw"]);
        assert!(of([10, 0, 0, 3], 0).is_empty());
        for n in 0..2_000_u32 {
            refusals.keep(notice(1, n.to_be_bytes(), "x.tw"));
        }
        assert!(refusals.0.lock().unwrap().len() <= ADDRESSES);
    }
}
