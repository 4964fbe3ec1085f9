//! Everything that the agent knows, behind one lock that is held for moments only and never across a wait.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use appliance_core::{
    agent::{
        Contact, Jump, JumpWatch, Meter, Missed, Orders, Program, RefusalCount, Report, Situation, Today, Use, accept,
        judge, unreadable,
    },
    policy::{Decision, Lesson, Policy},
    usage::{Fact, Place},
};
use classroom_protocol::{
    Millis,
    agent::Signed,
    policy::{self, Link},
};

use crate::{
    clock::{Clock, steady},
    keep::{Identity, Keep},
    spool::Spool,
    trust,
};

/// What was refused lately, for the student's page. The oldest goes first.
const SHOWN: usize = 20;
/// The same name refused again within this time is one refusal. Milliseconds.
const SAME: Millis = 60_000;

/// A refusal, as the student sees it. Names stay on the device; the school is told the rule only.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) at: Millis,
    pub(crate) name: String,
    pub(crate) program: bool,
    pub(crate) ended: bool,
    pub(crate) decision: Decision,
}

/// How the last contact went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// Not tried yet.
    NotYet,
    /// Well.
    Well,
    /// Not: why.
    Not(Missed),
}

/// Everything.
pub(crate) struct State {
    pub(crate) identity: Identity,
    pub(crate) orders: Orders,
    pub(crate) policy: Policy,
    /// The orders as the box signed them: files that are damaged while the agent runs are written anew. With none nothing
    /// opens until the box brings them again.
    kept: Option<Signed>,
    pub(crate) situation: Situation,
    pub(crate) spool: Spool,
    pub(crate) refusals: VecDeque<Refusal>,
    /// What was told to the school of the agent itself, with the time.
    pub(crate) told: VecDeque<(Millis, String)>,
    /// Uses of today as the page shows them, also those before a restart.
    pub(crate) today: Today,
    pub(crate) met: Met,
    pub(crate) met_at: Option<Millis>,
    /// Nobody has touched the device for so long, if the machine can say.
    pub(crate) idle: Option<Millis>,
    servers: Vec<SocketAddr>,
    meter: Meter,
    counted: RefusalCount,
    reported_at: Option<Millis>,
    jumps: JumpWatch,
    seen: BTreeSet<(u32, u64)>,
    keep: Keep,
    clock: Clock,
}

/// Handle to it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<State>>);

/// What follows from a question for a name.
pub(crate) struct Asked {
    /// None: the room's resolver decides.
    pub(crate) decision: Option<Decision>,
    /// The name belongs to a platform whose hours are counted.
    pub(crate) platform: bool,
    pub(crate) servers: Vec<SocketAddr>,
    /// When it was asked, by the device's clock.
    pub(crate) now: Millis,
}

impl State {
    /// Opens what is kept. Orders that are not good are told and replaced by their copy; without one nothing opens.
    pub(crate) fn open(keep: Keep, identity: Identity, clock: Clock) -> anyhow::Result<Self> {
        let (spool, gone) = Spool::open(&keep.path(crate::spool::FILE), clock.now())?;
        let (kept, damaged) = kept_orders(&keep, &identity);
        let (kept, orders, policy) = match kept {
            Some((signed, orders, policy)) => (Some(signed), orders, policy),
            None => {
                tracing::error!("no orders can be read: nothing opens until the box brings them again");
                let (orders, policy) = unreadable(&identity.device)?;
                (None, orders, policy)
            }
        };
        let today = keep.today().unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "the page's sums of today begin anew");
            None
        });
        let today = today.unwrap_or_else(|| Today::new(clock.now()));
        let mut state = Self {
            identity,
            orders,
            policy,
            kept,
            situation: Situation::unknown(),
            spool,
            refusals: VecDeque::new(),
            told: VecDeque::new(),
            today,
            met: Met::NotYet,
            met_at: None,
            idle: None,
            servers: vec![],
            meter: Meter::default(),
            counted: RefusalCount::default(),
            reported_at: None,
            jumps: JumpWatch::default(),
            seen: BTreeSet::new(),
            keep,
            clock,
        };
        if damaged {
            state.tampered("orders");
        }
        if gone {
            state.tampered("records");
        }
        Ok(state)
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(crate) fn place(&self) -> Place {
        if self.situation.place() == policy::Place::School { Place::School } else { Place::Home }
    }

    /// Keeps a record. A disk that refuses does not stop the device; the log says so.
    pub(crate) fn record(&mut self, at: Millis, fact: Fact) {
        let place = self.place();
        if let Err(error) = self.spool.push(|id| Report { id, at, place, fact }) {
            tracing::error!(%error, "a record could not be kept");
        }
    }

    /// Something was done to the agent: the school is told, nothing else follows. The same within a minute is told once.
    pub(crate) fn tampered(&mut self, what: &str) {
        let now = self.now();
        if self.told.iter().any(|(at, before)| before == what && at.abs_diff(now) < SAME) {
            return;
        }
        tracing::warn!(what, "changed since the last look; the school is told");
        self.told.push_back((now, what.to_owned()));
        if self.told.len() > SHOWN {
            self.told.pop_front();
        }
        self.record(now, Fact::Tampered { what: what.to_owned() });
    }

    /// The student tells of a bad site (R-POL-19). No address is asked for or kept. A second tap tells of the same.
    pub(crate) fn report_site(&mut self) {
        let now = self.now();
        if self.reported_at.is_some_and(|before| before.abs_diff(now) < SAME) {
            return;
        }
        self.reported_at = Some(now);
        self.record(now, Fact::ReportedSite {});
    }

    fn used(&mut self, uses: Vec<Use>) {
        if uses.is_empty() {
            return;
        }
        let now = self.now();
        for one in uses {
            self.today.add(&one, now);
            let Use { platform, at, seconds } = one;
            let fact = match platform {
                Some(platform) => Fact::Used { platform, seconds },
                None => Fact::Active { seconds },
            };
            self.record(at, fact);
        }
        if let Err(error) = self.keep.save_today(&self.today) {
            tracing::error!(error = format!("{error:#}"), "the page's sums of today can't be kept");
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        let again = self.refusals.iter().any(|before| {
            before.name == refusal.name && before.program == refusal.program && before.at.abs_diff(refusal.at) < SAME
        });
        if again {
            return;
        }
        let counted = self.counted.refused(&refusal.decision.rule.to_string(), refusal.at);
        self.keep_refusals(counted);
        self.refusals.push_back(refusal);
        if self.refusals.len() > SHOWN {
            self.refusals.pop_front();
        }
    }

    fn keep_refusals(&mut self, counted: impl IntoIterator<Item = (Millis, Fact)>) {
        for (at, fact) in counted {
            self.record(at, fact);
        }
    }

    /// A question for a name.
    fn asked(&mut self, name: &str) -> Asked {
        let now = self.now();
        let decision = self.situation.host(&self.policy, &self.orders, name, now);
        let lower = name.to_ascii_lowercase();
        let platform = self.policy.system_of_host(&lower).filter(|(_, system)| system.hours);
        let platform = platform.map(|(_, system)| system.id.clone());
        match decision {
            Some(decision) if !decision.allow => {
                let name = lower;
                self.refused(Refusal { at: now, name, program: false, ended: false, decision });
            }
            _ => {
                let ended = self.meter.sign(platform.as_deref(), now, self.idle);
                self.used(ended);
            }
        }
        Asked { decision, platform: platform.is_some(), servers: self.servers.clone(), now }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, idle: Option<Millis>) {
        self.idle = idle;
        let now = self.now();
        if let Some(Jump { by }) = self.jumps.look(now, steady()) {
            tracing::warn!(by, "the clock was set");
            self.tampered("clock");
        }
        let uses = self.meter.look(now, idle);
        self.used(uses);
        let counted = self.counted.look(now);
        self.keep_refusals(counted);
    }

    /// The programs that run: those that are refused and new, and whether they are to be ended.
    pub(crate) fn programs(&mut self, all: &[Program]) -> Vec<Program> {
        let now = self.now();
        let running: BTreeSet<(u32, u64)> = all.iter().map(|program| (program.pid, program.began)).collect();
        let mut to_end = Vec::new();
        let new = |program: &&Program| !self.seen.contains(&(program.pid, program.began));
        let new: Vec<&Program> = all.iter().filter(new).collect();
        for program in new {
            let context = self.situation.context(&self.orders);
            let Some(decision) = judge(&self.policy, program, &context, now) else { continue };
            if !decision.allow {
                let ended = self.orders.end_programs;
                let name = program.name.clone();
                self.refused(Refusal { at: now, name, program: true, ended, decision });
                if ended {
                    to_end.push(program.clone());
                }
            }
        }
        self.seen = running;
        to_end
    }

    /// The rules have changed: every program is looked at again.
    fn look_again(&mut self) {
        self.seen.clear();
    }

    /// Where the device is and how it is connected. Going elsewhere ends what was in use.
    pub(crate) fn moved(&mut self, contact: Contact, link: Option<Link>, lesson: Option<Lesson>) {
        let next = Situation { contact, link, lesson };
        if next == self.situation {
            return;
        }
        if next.place() != self.situation.place() {
            tracing::info!(place = ?next.place(), ?contact, "the device is elsewhere");
            self.close();
        }
        self.situation = next;
        self.look_again();
    }

    /// Whether the orders are the box's.
    pub(crate) fn signed(&self) -> bool {
        self.kept.is_some()
    }

    /// Takes new orders, if they are good: signed by the box, for this device, not older than before.
    ///
    /// # Errors
    /// Why they are not; the device goes on with what it has.
    pub(crate) fn take(&mut self, signed: &Signed) -> anyhow::Result<()> {
        let (orders, policy) = read_orders(signed, &self.identity)?;
        self.keep.save_orders(signed)?;
        if orders.version != self.identity.newest {
            self.identity.newest = orders.version;
            self.keep.save_identity(&self.identity)?;
        }
        tracing::info!(version = orders.version, revision = orders.document.revision, "new orders");
        (self.orders, self.policy, self.kept) = (orders, policy, Some(signed.clone()));
        self.look_again();
        Ok(())
    }

    /// The box was met at this address.
    pub(crate) fn met_at(&mut self, address: &str) {
        let now = self.now();
        (self.met, self.met_at) = (Met::Well, Some(now));
        if self.identity.met_at.first().is_some_and(|first| first == address) {
            return;
        }
        self.identity.met_at.retain(|before| before != address);
        self.identity.met_at.insert(0, address.to_owned());
        self.identity.met_at.truncate(4);
        if let Err(error) = self.keep.save_identity(&self.identity) {
            tracing::error!(error = format!("{error:#}"), "where the box was met could not be kept");
        }
    }

    /// Whether both files of the orders are what they were. What is not is written anew.
    pub(crate) fn orders_files_are_good(&self) -> bool {
        let Some(signed) = &self.kept else { return true };
        let (good, damaged) = kept_orders(&self.keep, &self.identity);
        if good.is_none() {
            rewrite(&self.keep, signed);
        }
        !damaged
    }

    /// Name servers of the network.
    pub(crate) fn serve_from(&mut self, servers: Vec<SocketAddr>) {
        if servers != self.servers {
            tracing::info!(?servers, "the name servers above");
            self.servers = servers;
        }
    }

    /// Ends what is in use: the agent stops, or the device goes elsewhere.
    pub(crate) fn close(&mut self) {
        let now = self.now();
        let uses = self.meter.close(now);
        self.used(uses);
        let counted = self.counted.close();
        self.keep_refusals(counted);
    }
}

/// The kept orders that are good, and whether a file of them was damaged or is gone; then it is written anew from the
/// other one, if that is good. A device that was enrolled before there was a copy has none: nothing was done to it.
fn kept_orders(keep: &Keep, identity: &Identity) -> (Option<(Signed, Orders, Policy)>, bool) {
    let [first, copy] = keep.orders();
    let is_first_there = matches!(first, Ok(Some(_)));
    let mut damaged = !is_first_there || copy.is_err();
    let mut incomplete = matches!(copy, Ok(None));
    let mut good = None;
    for signed in [first, copy].into_iter().flatten().flatten() {
        match read_orders(&signed, identity) {
            Ok((orders, policy)) => good = good.or(Some((signed, orders, policy))),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a file of the orders is not good");
                damaged = true;
            }
        }
    }
    incomplete |= damaged;
    if incomplete && let Some((signed, ..)) = &good {
        rewrite(keep, signed);
    }
    (good, damaged)
}

fn rewrite(keep: &Keep, orders: &Signed) {
    if let Err(error) = keep.save_orders(orders) {
        tracing::error!(error = format!("{error:#}"), "the orders can't be written anew");
    }
}

fn read_orders(signed: &Signed, identity: &Identity) -> anyhow::Result<(Orders, Policy)> {
    let text = trust::checked(signed, &identity.orders_key)?;
    Ok(accept(text, &identity.device, identity.newest)?)
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question for a name.
    pub(crate) fn asked(&self, name: &str) -> Asked {
        self.lock().asked(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use appliance_core::policy::{Document, Window};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use classroom_protocol::policy::{Consent, DeviceState};
    use std::fs;

    use super::*;

    /// Monday 2026-11-23, 22:00 in Taipei.
    const LATE: Millis = 1_795_442_400_000;

    /// A device that was enrolled, with a guardian who allows 19:00 to 21:00.
    fn enrolled(folder: &std::path::Path) -> (Keep, Identity) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let orders = Orders {
            schema: Orders::SCHEMA,
            version: 7,
            issued_at: 5,
            device: "K7Q".into(),
            state: DeviceState::Lent,
            consent: Some(Consent::Given),
            guardian: vec![Window { days: (1..=7).collect(), from: 19 * 60, to: 21 * 60 }],
            exceptions: vec![],
            end_programs: false,
            home_addresses: vec![],
            own_names: vec![],
            document: Document::standard().unwrap(),
        };
        let text = serde_json::to_string(&orders).unwrap();
        let signature = STANDARD.encode(pair.sign(text.as_bytes()).as_ref());
        let identity = Identity {
            device: "K7Q".into(),
            authority: String::new(),
            certificate: String::new(),
            key: String::new(),
            orders_key: STANDARD.encode(pair.public_key().as_ref()),
            newest: 7,
            met_at: vec![],
        };
        let keep = Keep::open(folder).unwrap();
        keep.save_orders(&Signed { text, signature }).unwrap();
        Spool::create(&keep.path(crate::spool::FILE)).unwrap();
        (keep, identity)
    }

    fn start(folder: &std::path::Path) -> State {
        let (keep, identity) = (Keep::open(folder).unwrap(), enrolled(&folder.join("other")).1);
        let clock = folder.join("clock");
        fs::write(&clock, LATE.to_string()).unwrap();
        State::open(keep, identity, Clock(Some(clock))).unwrap()
    }

    fn told(state: &State) -> Vec<&str> {
        state.told.iter().map(|(_, what)| what.as_str()).collect()
    }

    fn rule(state: &mut State, name: &str) -> String {
        state.asked(name).decision.unwrap().rule.to_string()
    }

    #[test]
    fn a_damaged_or_deleted_file_of_the_orders_loosens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (keep, _) = enrolled(folder.path());
        let mut state = start(folder.path());
        assert_eq!((rule(&mut state, "adl.edu.tw"), told(&state)), ("R-POL-12".into(), vec![]));
        for (name, damage) in [("orders.json", None), ("orders.copy.json", Some("\0")), ("orders.json", Some("{}"))] {
            let file = keep.path(name);
            damage.map_or_else(|| fs::remove_file(&file), |text| fs::write(&file, text)).unwrap();
            assert!(!state.orders_files_are_good() && state.orders_files_are_good(), "told, and mended: {name}");
            damage.map_or_else(|| fs::remove_file(&file), |text| fs::write(&file, text)).unwrap();
            let mut again = start(folder.path());
            assert_eq!(rule(&mut again, "adl.edu.tw"), "R-POL-12", "the guardian's hours go on without {name}");
            assert!(again.signed() && told(&again) == ["orders"], "{:?}", again.told);
        }
        for name in ["orders.json", "orders.copy.json"] {
            fs::remove_file(keep.path(name)).unwrap();
        }
        assert!(!state.orders_files_are_good() && state.orders_files_are_good(), "both, while it runs");
        fs::remove_file(keep.path("orders.copy.json")).unwrap();
        assert_eq!(told(&start(folder.path())), [] as [&str; 0], "enrolled before there was a copy");
    }

    #[test]
    fn without_any_orders_nothing_opens_and_the_page_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let (keep, _) = enrolled(folder.path());
        for name in ["orders.json", "orders.copy.json"] {
            fs::remove_file(keep.path(name)).unwrap();
        }
        let mut state = start(folder.path());
        assert!(!state.signed() && told(&state) == ["orders"]);
        for name in ["adl.edu.tw", "example.com", "www.roblox.com"] {
            assert_eq!(rule(&mut state, name), "R-POL-2", "{name}");
        }
    }

    #[test]
    fn todays_minutes_are_those_of_platforms_and_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        enrolled(folder.path());
        let mut state = start(folder.path());
        let day = |state: &State| state.today.sums(state.now()).iter().map(|(_, seconds)| *seconds).collect::<Vec<_>>();
        // 20:00, within the guardian's hours; the machine can't tell whether someone touches it.
        let set = |at: Millis| fs::write(folder.path().join("clock"), at.to_string()).unwrap();
        for second in 0..1200 {
            set(LATE - 7_200_000 + second * 1000);
            state.asked("example.com");
            state.tick(None);
        }
        state.close();
        assert_eq!((day(&state), state.spool.len()), (vec![], 0), "names that are asked for in the background");
        state.asked("adl.edu.tw");
        set(LATE - 6_000_000 + 60_000);
        state.close();
        let sums = day(&state);
        assert!(sums.len() == 2 && sums[0] == sums[1] && (60..=61).contains(&sums[0]), "{sums:?}");
        let again = State::open(state.keep.clone(), state.identity.clone(), state.clock.clone()).unwrap();
        assert_eq!(day(&again), sums);
        set(LATE + 7_200_000);
        assert_eq!(day(&again), [] as [u64; 0], "tomorrow");
    }

    #[test]
    fn refusals_are_counted_and_a_lost_file_of_records_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (keep, _) = enrolled(folder.path());
        let mut state = start(folder.path());
        for n in 0..500 {
            rule(&mut state, &format!("host-{n}.example"));
        }
        state.report_site();
        state.report_site();
        assert_eq!(state.spool.len(), 1, "one report; the minute of the refusals is not over");
        state.close();
        let all = state.spool.batch(9);
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].fact, Fact::Blocked { rule: "R-POL-12".into(), category: None, times: 500 });
        fs::remove_file(keep.path(crate::spool::FILE)).unwrap();
        let state = start(folder.path());
        assert_eq!((told(&state), state.spool.dropped()), (vec!["records"], 1));
    }
}
