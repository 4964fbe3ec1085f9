//! Everything that the agent knows, behind one lock that is held for moments only and never across a wait.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use appliance_core::{
    agent::{Contact, Jump, JumpWatch, Meter, Orders, Program, Report, Situation, Use, accept, judge},
    policy::{Consent, Decision, Lesson, Policy},
    usage::{Fact, Place},
};
use classroom_protocol::{
    Millis,
    agent::Signed,
    policy::{self, DeviceState, Document, Link},
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
    /// Nobody answered.
    Nobody,
    /// Someone answered with a certificate that is not the box's.
    Impostor,
    /// The box does not know this device any more.
    Forgotten,
}

/// Everything.
pub(crate) struct State {
    pub(crate) identity: Identity,
    pub(crate) orders: Orders,
    pub(crate) policy: Policy,
    /// The orders are the box's; else the strict standard until the box is met.
    pub(crate) signed: bool,
    pub(crate) situation: Situation,
    pub(crate) spool: Spool,
    pub(crate) refusals: VecDeque<Refusal>,
    /// What was told to the school of the agent itself, with the time.
    pub(crate) told: VecDeque<(Millis, String)>,
    /// Uses of today as the page shows them.
    pub(crate) uses: VecDeque<(Place, Use)>,
    pub(crate) met: Met,
    pub(crate) met_at: Option<Millis>,
    /// Nobody has touched the device for so long, if the machine can say.
    pub(crate) idle: Option<Millis>,
    servers: Vec<SocketAddr>,
    meter: Meter,
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
}

impl State {
    /// Opens what is kept. Orders that are not good are told and replaced by the strict standard.
    pub(crate) fn open(keep: Keep, identity: Identity, clock: Clock) -> anyhow::Result<Self> {
        let spool = Spool::open(&keep.path(crate::spool::FILE))?;
        let kept = keep.orders().and_then(|signed| {
            let signed = signed.ok_or_else(|| anyhow::anyhow!("the orders are not there"))?;
            let text = trust::checked(&signed, &identity.orders_key)?;
            Ok(accept(text, &identity.device, identity.newest)?)
        });
        let mut bad = false;
        let (orders, policy, signed) = match kept {
            Ok((orders, policy)) => (orders, policy, true),
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the kept orders are not good: the strict standard applies"
                );
                bad = true;
                let (orders, policy) = strict(&identity.device)?;
                (orders, policy, false)
            }
        };
        let mut state = Self {
            identity,
            orders,
            policy,
            signed,
            situation: Situation::unknown(),
            spool,
            refusals: VecDeque::new(),
            told: VecDeque::new(),
            uses: VecDeque::new(),
            met: Met::NotYet,
            met_at: None,
            idle: None,
            servers: vec![],
            meter: Meter::default(),
            jumps: JumpWatch::default(),
            seen: BTreeSet::new(),
            keep,
            clock,
        };
        if bad {
            state.tampered("orders");
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

    /// Something was done to the agent: the school is told, nothing else follows.
    pub(crate) fn tampered(&mut self, what: &str) {
        let now = self.now();
        tracing::warn!(what, "changed since the last look; the school is told");
        self.told.push_back((now, what.to_owned()));
        if self.told.len() > SHOWN {
            self.told.pop_front();
        }
        self.record(now, Fact::Tampered { what: what.to_owned() });
    }

    /// The student tells of a bad site (R-POL-19). No address is asked for or kept.
    pub(crate) fn report_site(&mut self) {
        let now = self.now();
        self.record(now, Fact::ReportedSite {});
    }

    fn used(&mut self, uses: Vec<Use>) {
        let place = self.place();
        for one in uses {
            let Use { platform, at, seconds } = one.clone();
            let fact = match platform {
                Some(platform) => Fact::Used { platform, seconds },
                None => Fact::Active { seconds },
            };
            self.record(at, fact);
            self.uses.push_back((place, one));
            if self.uses.len() > 512 {
                self.uses.pop_front();
            }
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        let again = self.refusals.iter().any(|before| {
            before.name == refusal.name && before.program == refusal.program && before.at.abs_diff(refusal.at) < SAME
        });
        if again {
            return;
        }
        let fact = Fact::Blocked { rule: refusal.decision.rule.to_string(), category: None };
        self.record(refusal.at, fact);
        self.refusals.push_back(refusal);
        if self.refusals.len() > SHOWN {
            self.refusals.pop_front();
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
        Asked { decision, platform: platform.is_some(), servers: self.servers.clone() }
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
            let now = self.now();
            let uses = self.meter.close(now);
            self.used(uses);
        }
        self.situation = next;
        self.look_again();
    }

    /// Takes new orders, if they are good: signed by the box, for this device, not older than before.
    ///
    /// # Errors
    /// Why they are not; the device goes on with what it has.
    pub(crate) fn take(&mut self, signed: &Signed) -> anyhow::Result<()> {
        let text = trust::checked(signed, &self.identity.orders_key)?;
        let (orders, policy) = accept(text, &self.identity.device, self.identity.newest)?;
        self.keep.save_orders(signed)?;
        if orders.version != self.identity.newest {
            self.identity.newest = orders.version;
            self.keep.save_identity(&self.identity)?;
        }
        tracing::info!(version = orders.version, revision = orders.document.revision, "new orders");
        (self.orders, self.policy, self.signed) = (orders, policy, true);
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

    /// The device's orders file is not what it was.
    pub(crate) fn orders_file_is_good(&self) -> bool {
        !self.signed
            || self.keep.orders().ok().flatten().is_some_and(|signed| {
                let text = trust::checked(&signed, &self.identity.orders_key);
                text.is_ok_and(|text| accept(text, &self.identity.device, self.identity.newest).is_ok())
            })
    }

    /// Name servers of the network.
    pub(crate) fn serve_from(&mut self, servers: Vec<SocketAddr>) {
        if servers != self.servers {
            tracing::info!(?servers, "the name servers above");
            self.servers = servers;
        }
    }

    /// Ends what is in use: the agent stops.
    pub(crate) fn close(&mut self) {
        let now = self.now();
        let uses = self.meter.close(now);
        self.used(uses);
    }
}

/// What applies without good orders: the school's standard, for a device whose papers are not known to be in order.
fn strict(device: &str) -> anyhow::Result<(Orders, Policy)> {
    let document = Document::standard()?;
    let orders = Orders {
        schema: Orders::SCHEMA,
        version: 0,
        issued_at: 0,
        device: device.to_owned(),
        state: DeviceState::Lent,
        consent: Some(Consent::Given),
        guardian: vec![],
        exceptions: vec![],
        end_programs: false,
        home_addresses: vec![],
        document: document.clone(),
    };
    let policy = Policy::new(document).map_err(|found| anyhow::anyhow!("the standard rules: {found:?}"))?;
    Ok((orders, policy))
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
