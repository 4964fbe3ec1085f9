//! What the resolver decides with: the snapshot that the hub wrote and the lists, swapped whole.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use appliance_core::policy::{
    Decision, Document, Lesson, Marks, Policy, Query, Snapshot, Surroundings, decide, overview,
};
use classroom_protocol::{Millis, policy::PolicyView};
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    lists::{self, Lists},
    names::Key,
};

/// How often the snapshot's file is looked at: a teacher's tap must count within 2 seconds.
const LOOK: Duration = Duration::from_millis(200);
/// How often the lists' folder is looked at.
const LOOK_LISTS: Duration = Duration::from_secs(2);
/// The largest snapshot that is read, in bytes: 4,000 devices take about 1 MB.
const LARGEST: u64 = 32 << 20;

/// Everything for a decision about a name: the newest snapshot and the lists.
#[derive(Debug)]
pub struct Rules {
    policy: Policy,
    around: Surroundings,
    addresses: Vec<IpAddr>,
    lists: Arc<Lists>,
    marks: Vec<(String, Marks)>,
}

/// A decision with what the answer needs beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Refused names are answered with "no such name".
    pub silent: bool,
}

impl Rules {
    pub(super) fn new(snapshot: Snapshot, lists: Arc<Lists>) -> Result<Self, String> {
        let names: Vec<String> = snapshot.names;
        let policy = Policy::new(snapshot.document)
            .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?
            .with_own(names.iter().map(String::as_str));
        let around = Surroundings::new(snapshot.lesson, snapshot.register_in_use, snapshot.devices);
        Ok(Self::made(policy, around, snapshot.addresses, lists))
    }

    fn made(policy: Policy, around: Surroundings, addresses: Vec<IpAddr>, lists: Arc<Lists>) -> Self {
        let known = |(id, _): (&str, usize)| policy.category(id).map(|marks| (id.to_owned(), marks));
        let marks = lists.counts().filter_map(known).collect();
        Self { policy, around, addresses, lists, marks }
    }

    fn with_lists(&self, lists: Arc<Lists>) -> Self {
        Self::made(self.policy.clone(), self.around.clone(), self.addresses.clone(), lists)
    }

    /// Decides about a name in lower case, without a dot at its end, for who asks from `address`.
    pub fn decide(&self, name: &str, address: IpAddr, now: Millis) -> Verdict {
        let listed = self.lists.categories_of(name).fold(Marks::NONE, |all, id| {
            let mark = self.marks.iter().find(|(known, _)| known == id);
            mark.map_or(all, |(_, mark)| all.with(*mark))
        });
        let context = self.around.context(address);
        let decision = decide(&self.policy, &Query::Host { name, listed }, &context, now);
        let silent = !decision.allow && self.policy.is_silent(self.policy.marks_of_host(name).with(listed));
        Verdict { decision, silent }
    }

    /// What applies now to who asks from `address`, subject by subject.
    pub fn view(&self, address: IpAddr, now: Millis) -> PolicyView {
        let context = self.around.context(address);
        PolicyView {
            revision: self.policy.document().revision.clone(),
            now,
            lesson: self.around.lesson().is_some(),
            device: context.device,
            permits: self.around.lesson().map(|lesson| lesson.permits.clone()).unwrap_or_default(),
            rows: overview(&self.policy, &context, now),
        }
    }

    /// Whether it is a name of the box itself.
    pub fn is_own(&self, name: &str) -> bool {
        self.policy.is_own(name)
    }

    /// The opaque code of the device at this address (R-POL-1).
    pub fn device_code(&self, address: IpAddr) -> Option<&str> {
        self.around.device(address).map(|known| known.code.as_str())
    }

    /// The school's rules, as agents of take-home devices are given them.
    pub fn document(&self) -> &Document {
        self.policy.document()
    }

    /// The running lesson with what the teacher has opened for it.
    pub fn running(&self) -> Option<&Lesson> {
        self.around.lesson()
    }

    /// Id of the running lesson.
    pub fn lesson(&self) -> Option<&str> {
        self.around.lesson().map(|lesson| lesson.id.as_str())
    }

    /// The box's address of the asker's family that is nearest to the asker's.
    pub fn portal(&self, asker: IpAddr, v4: bool) -> Option<IpAddr> {
        let family = self.addresses.iter().filter(|address| address.is_ipv4() == v4);
        family.max_by_key(|address| common_bits(**address, asker)).copied()
    }
}

fn common_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a.to_canonical(), b.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// Reads the snapshot's file.
fn read(path: &Path) -> Result<Snapshot, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err(format!("{size} bytes are more than the {LARGEST} that are read"));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let snapshot: Snapshot = serde_path_to_error::deserialize(&mut reader).map_err(|error| error.to_string())?;
    if snapshot.schema != Snapshot::SCHEMA {
        return Err(format!("its form is {}, this program knows {}", snapshot.schema, Snapshot::SCHEMA));
    }
    Ok(snapshot)
}

type Seen = Option<(SystemTime, u64)>;

fn seen(path: &Path) -> Seen {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// Keeps the state as the hub's snapshot and the lists say. What can't be read changes nothing: the last good one
/// stays, and the log says so once. Runs until dropped.
pub(super) async fn follow(folder: PathBuf, key: Key, state: watch::Sender<Option<Arc<Rules>>>) {
    let (path, lists_folder) = (folder.join("snapshot.json"), folder.join("lists"));
    let mut lists = Arc::new(Lists::none(key));
    let (mut snapshot_seen, mut lists_seen): (Seen, Option<Vec<lists::Found>>) = (None, None);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0_u32;
    let lists_every = u32::try_from(LOOK_LISTS.as_millis() / LOOK.as_millis()).unwrap_or(1).max(1);
    loop {
        ticks.tick().await;
        let now_seen = seen(&path);
        if now_seen.is_some() && now_seen != snapshot_seen {
            snapshot_seen = now_seen;
            match read(&path).and_then(|snapshot| Rules::new(snapshot, lists.clone())) {
                Ok(new) => drop(state.send_replace(Some(Arc::new(new)))),
                Err(reason) => tracing::error!(reason, "the hub's snapshot can't be used; the last good one stays"),
            }
        }
        if round.is_multiple_of(lists_every) {
            let found = lists::look(&lists_folder);
            if lists_seen.as_ref() != Some(&found) {
                lists_seen = Some(found);
                let from = lists_folder.clone();
                if let Ok(loaded) = tokio::task::spawn_blocking(move || Lists::load(key, &from)).await {
                    lists = Arc::new(loaded);
                    let with = state.borrow().as_ref().map(|old| Arc::new(old.with_lists(lists.clone())));
                    if with.is_some() {
                        state.send_replace(with);
                    }
                }
            }
        }
        round = round.wrapping_add(1);
    }
}
