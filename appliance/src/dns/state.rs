//! What the resolver decides with: the snapshot that the hub wrote and the lists, swapped whole.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use appliance_core::policy::{
    Context, Decision, Document, Lesson, Marks, Permission, Policy, Query, Snapshot, Surroundings, decide, host_name,
    overview,
    permits::{self, Closed},
};
use classroom_protocol::{
    Millis,
    policy::{ListFault, PolicyList, PolicyView, RuleId},
};
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
        let known = |id: &str| policy.category(id).map(|marks| (id.to_owned(), marks));
        let marks = lists.categories().filter_map(known).collect();
        Self { policy, around, addresses, lists, marks }
    }

    fn with_lists(&self, lists: Arc<Lists>) -> Self {
        Self::made(self.policy.clone(), self.around.clone(), self.addresses.clone(), lists)
    }

    fn listed(&self, name: &str) -> Marks {
        self.lists.categories_of(name).fold(Marks::NONE, |all, id| {
            let mark = self.marks.iter().find(|(known, _)| known == id);
            mark.map_or(all, |(_, mark)| all.with(*mark))
        })
    }

    /// Decides about a name in lower case, without a dot at its end, for who asks from `address`.
    pub fn decide(&self, name: &str, address: IpAddr, now: Millis) -> Verdict {
        let listed = self.listed(name);
        let context = self.around.context(address);
        let decision = decide(&self.policy, &Query::Host { name, listed }, &context, now);
        let silent = !decision.allow && self.policy.is_silent(self.policy.marks_of_host(name).with(listed));
        Verdict { decision, silent }
    }

    /// Decides about a name for a device of the class.
    pub fn decide_for_class(&self, name: &str, now: Millis) -> Decision {
        decide(&self.policy, &Query::Host { name, listed: self.listed(name) }, &self.around.class(), now)
    }

    /// The clause that a rule follows, for people.
    pub fn clause(&self, rule: &RuleId) -> String {
        self.policy.clause(rule).to_owned()
    }

    /// Whether a teacher's permit opens this for the class.
    ///
    /// # Errors
    /// Why it does not.
    pub fn opens(&self, what: &Permission, now: Millis) -> Result<(), Closed> {
        let listed = match what {
            Permission::Host(host) => host_name(host).map_or(Marks::NONE, |name| self.listed(&name)),
            Permission::Category(_) | Permission::Action(_) => Marks::NONE,
        };
        permits::opens(&self.policy, what, listed, now)
    }

    /// What applies now to who asks from `address`, subject by subject.
    pub fn view(&self, address: IpAddr, now: Millis) -> PolicyView {
        self.seen(&self.around.context(address), now)
    }

    /// What applies now to a device of the class: what the teacher's switches are about, whatever device the teacher has.
    pub fn class_view(&self, now: Millis) -> PolicyView {
        self.seen(&self.around.class(), now)
    }

    fn seen(&self, context: &Context<'_>, now: Millis) -> PolicyView {
        PolicyView {
            revision: self.policy.document().revision.clone(),
            now,
            lesson: self.around.lesson().is_some(),
            device: context.device,
            permits: self.around.lesson().map(|lesson| lesson.permits.clone()).unwrap_or_default(),
            rows: overview(&self.policy, context, now),
        }
    }

    /// What has become of each file among the lists.
    pub fn lists(&self) -> Vec<PolicyList> {
        self.lists.told(|id| self.policy.category(id).is_some())
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

/// Who looks after the copies of good lists, for the time after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// This process.
    Kept,
    /// Another one.
    Elsewhere,
}

/// Keeps the state as the hub's snapshot and the lists say; there is none before both were read. What can't be read changes
/// nothing: the last good one stays, and the log says so once. Runs until dropped.
pub(super) async fn follow(folder: PathBuf, key: Key, copies: Copies, state: watch::Sender<Option<Arc<Rules>>>) {
    let (path, lists_folder, good) = (folder.join("snapshot.json"), folder.join("lists"), folder.join("good"));
    let mut lists = Arc::new(Lists::none(key));
    let mut snapshot_seen: Seen = None;
    // What was loaded, and what was seen at the last look.
    let (mut loaded, mut before): (Option<Vec<lists::Found>>, Vec<lists::Found>) = (None, Vec::new());
    let mut strangers = Vec::new();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0_u32;
    let lists_every = u32::try_from(LOOK_LISTS.as_millis() / LOOK.as_millis()).unwrap_or(1).max(1);
    loop {
        ticks.tick().await;
        let look_at_lists = round.is_multiple_of(lists_every);
        let mut to_be_kept = None;
        // Before the snapshot: there are no rules for anyone until the lists were read once.
        if look_at_lists {
            let found = lists::look(&lists_folder);
            // A file that is just being written is looked at when it rests, so that its half counts at no time.
            let rests = loaded.is_none() || found == before;
            if rests && loaded.as_ref() != Some(&found) {
                let (from, good, old) = (lists_folder.clone(), good.clone(), lists.clone());
                match tokio::task::spawn_blocking(move || Lists::load(key, &from, &good, &old)).await {
                    Ok(new) => {
                        loaded = Some(found.clone());
                        lists = Arc::new(new);
                        to_be_kept = (copies == Copies::Kept).then(|| lists.clone());
                        let with = state.borrow().as_ref().map(|old| Arc::new(old.with_lists(lists.clone())));
                        if with.is_some() {
                            state.send_replace(with);
                        }
                    }
                    Err(error) => tracing::error!(%error, "the lists could not be read; tried again"),
                }
            }
            before = found;
        }
        let now_seen = seen(&path);
        if loaded.is_some() && now_seen.is_some() && now_seen != snapshot_seen {
            snapshot_seen = now_seen;
            match read(&path).and_then(|snapshot| Rules::new(snapshot, lists.clone())) {
                Ok(new) => drop(state.send_replace(Some(Arc::new(new)))),
                Err(reason) => tracing::error!(reason, "the hub's snapshot can't be used; the last good one stays"),
            }
        }
        // After both: nobody waits for copies.
        if let Some(new) = to_be_kept {
            let (from, good) = (lists_folder.clone(), good.clone());
            let kept = tokio::task::spawn_blocking(move || lists::keep_good(&new, &from, &good)).await;
            if let Err(error) = kept.map_err(std::io::Error::other).flatten() {
                tracing::error!(%error, "the good lists can't be kept for after a restart");
            }
        }
        if look_at_lists {
            tell_strangers(&state, &mut strangers);
        }
        round = round.wrapping_add(1);
    }
}

/// Says which lists close nothing because the rules have no category of their name. Once for each change.
fn tell_strangers(state: &watch::Sender<Option<Arc<Rules>>>, told: &mut Vec<String>) {
    let lists = state.borrow().as_ref().map(|rules| rules.lists()).unwrap_or_default();
    let strangers = lists.into_iter().filter(|list| list.fault == Some(ListFault::NoCategory));
    let strangers: Vec<String> = strangers.map(|list| list.file).collect();
    if *told != strangers {
        if !strangers.is_empty() {
            tracing::warn!(files = strangers.join(", "), "these lists close nothing: the rules have no such category");
        }
        *told = strangers;
    }
}
