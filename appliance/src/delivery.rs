//! Delivers usage records upstream: executes what [`appliance_core::usage::outbox`] decides, with the store on one side and
//! the client of the learning record store on the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use appliance_core::usage::{
    outbox::{Answer, Delivery, Item, Limits, Note, Step},
    schedule::{Schedule, When},
    xapi::{self, School, Vocabulary},
};
use tokio::time::sleep;

use crate::{
    clock,
    config::{DeliverWhen, Upstream},
    store::{Outbox, Refused, StoreError},
    upstream::{Client, Outcome},
    usage::SchoolKey,
};

/// Bytes of statements in one request. Common servers take 1 MiB.
const BYTES: usize = 512 * 1024;
/// After a failure of the store.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// The clock is looked at again after at most this long, because it may be set while the delivery waits.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Most of a reason that is kept, in characters.
const REASON: usize = 500;

/// What the delivery has come to since the start, for the metrics.
#[derive(Debug, Default)]
pub struct DeliveryStats {
    /// Requests.
    pub requests: AtomicU64,
    /// Statements that were confirmed.
    pub delivered: AtomicU64,
    /// Failures in a row.
    pub failures: AtomicU64,
    /// Times that everything was refused.
    pub refused_all: AtomicU64,
}

/// Who talks to the store, and in which words; none when there is no store.
///
/// # Errors
/// A file that can't be read or used, with the key that names it.
pub fn means(config: &Upstream) -> anyhow::Result<Option<(Client, Vocabulary)>> {
    let Some(lrs) = &config.lrs else { return Ok(None) };
    let client = Client::new(lrs, config.credentials_file.as_deref(), config.ca_file.as_deref())?;
    let vocabulary = match &config.vocabulary_file {
        None => Vocabulary::parse(xapi::DEFAULT).context("the vocabulary that the box brings")?,
        Some(path) => {
            let named = || format!("[upstream] vocabulary_file {}", path.display());
            Vocabulary::parse(&std::fs::read_to_string(path).with_context(named)?).with_context(named)?
        }
    };
    Ok(Some((client, vocabulary)))
}

/// All that a delivery needs.
pub struct Deliverer {
    outbox: Outbox,
    client: Client,
    vocabulary: Vocabulary,
    key: Arc<SchoolKey>,
    home_page: String,
    delivery: Delivery,
    stats: Arc<DeliveryStats>,
    /// The statements of the last load.
    bodies: BTreeMap<i64, Vec<u8>>,
    /// Those of them that are not on the disk yet.
    fresh: BTreeSet<i64>,
    /// What was refused and may be set aside later, with what the upstream said.
    suspects: BTreeMap<i64, (String, Vec<u8>)>,
    /// The statement that was accepted last.
    accepted: Vec<u8>,
}

impl Deliverer {
    /// Makes the delivery that the configuration asks for; `None` when it names no store.
    ///
    /// # Errors
    /// A file that can't be read or used, with its name.
    pub fn new(
        config: &Upstream,
        outbox: Outbox,
        key: Arc<SchoolKey>,
        stats: Arc<DeliveryStats>,
    ) -> anyhow::Result<Option<Self>> {
        let (Some((client, vocabulary)), Some(home_page)) = (means(config)?, &config.home_page) else {
            return Ok(None);
        };
        let when = match config.when {
            DeliverWhen::Always => When::Always,
            DeliverWhen::Night => When::Night,
            DeliverWhen::Month => When::Month,
        };
        let limits = Limits {
            statements: usize::from(config.batch.get()),
            bytes: BYTES,
            look: u64::from(config.look_seconds.get()) * 1000,
        };
        let delivery = Delivery::new(limits, Schedule { when, from: config.night_from, to: config.night_to });
        let home_page = home_page.clone();
        let (bodies, fresh, suspects, accepted) = Default::default();
        let parts =
            Self { outbox, client, vocabulary, key, home_page, delivery, stats, bodies, fresh, suspects, accepted };
        Ok(Some(parts))
    }

    /// Delivers until it is aborted. That may be at any moment: what is not confirmed is sent again.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.step().await {
                tracing::error!(%error, "the delivery could not use the store");
                sleep(STORE_WAIT).await;
            }
        }
    }

    async fn step(&mut self) -> Result<(), StoreError> {
        match self.delivery.next(clock::now()) {
            Step::Wait(until) => sleep(clock::until(until).min(LONGEST_SLEEP)).await,
            Step::Load { after, most } => self.load(after, most).await?,
            Step::Send(batch) => self.send(batch).await?,
            Step::SendAgain => {
                let outcome = self.client.send(std::iter::once(&self.accepted[..])).await;
                self.answered(outcome).await?;
            }
        }
        Ok(())
    }

    /// Reads what waits; what has no statement yet gets one.
    async fn load(&mut self, after: i64, most: usize) -> Result<(), StoreError> {
        let waiting = self.outbox.waiting(after, most).await?;
        let last = waiting.last().map(|one| one.seq);
        let school = School { key: self.key.bytes(), home_page: &self.home_page };
        let (mut items, mut without) = (vec![], vec![]);
        self.bodies.clear();
        self.fresh.clear();
        for one in waiting {
            let (seq, kind, open) = (one.seq, one.event.as_ref().map(|event| event.fact.kind()), one.body.is_some());
            let body = match (one.body, one.event) {
                (Some(body), _) => body,
                // Of a later version of the software: stays for it.
                (None, None) => continue,
                (None, Some(event)) => match self.vocabulary.statement(&event, &one.id, school) {
                    None => {
                        without.push(seq);
                        continue;
                    }
                    Some(statement) => {
                        self.fresh.insert(seq);
                        statement.to_string().into_bytes()
                    }
                },
            };
            items.push(Item { seq, bytes: body.len() + 1, kind, open });
            self.bodies.insert(seq, body);
        }
        if !without.is_empty() {
            self.outbox.freeze(vec![], without).await?;
        }
        let notes = self.delivery.loaded(&items, last, clock::now());
        self.note(notes, "").await
    }

    /// Sends statements; on the disk first, so that a second try is the same.
    async fn send(&mut self, batch: Vec<i64>) -> Result<(), StoreError> {
        let fresh = batch.iter().filter(|seq| self.fresh.contains(seq));
        let fresh: Vec<_> = fresh.filter_map(|seq| Some((*seq, self.bodies.get(seq)?.clone()))).collect();
        if !fresh.is_empty() {
            self.outbox.freeze(fresh, vec![]).await?;
            self.fresh.retain(|seq| !batch.contains(seq));
        }
        let statements = batch.iter().filter_map(|seq| self.bodies.get(seq)).map(Vec::as_slice);
        let outcome = self.client.send(statements).await;
        if let (Answer::Accepted, Some(last)) = (outcome.answer, batch.last().and_then(|seq| self.bodies.get(seq))) {
            self.accepted.clone_from(last);
        }
        self.answered(outcome).await
    }

    async fn answered(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        self.stats.requests.fetch_add(1, Relaxed);
        let before = self.delivery.failures();
        let mut chance = [0];
        // Without random bytes all boxes wait equally long; no reason to stop.
        let _ = getrandom::fill(&mut chance);
        let notes = self.delivery.answered(outcome.answer, clock::now(), chance[0]);
        let failures = self.delivery.failures();
        self.stats.failures.store(u64::from(failures), Relaxed);
        if failures == 1 && before == 0 {
            tracing::warn!(reason = %outcome.reason, "the upstream can't be delivered to now; everything is kept");
        } else if failures == 0 && before > 0 {
            tracing::info!(tries = before + 1, "the upstream takes deliveries again");
        }
        self.note(notes, &outcome.reason).await
    }

    async fn note(&mut self, notes: Vec<Note>, reason: &str) -> Result<(), StoreError> {
        for note in notes {
            match note {
                Note::Delivered(seqs) => {
                    let count = seqs.len() as u64;
                    self.suspects.retain(|seq, _| !seqs.contains(seq));
                    self.outbox.delivered(seqs, clock::now()).await?;
                    self.stats.delivered.fetch_add(count, Relaxed);
                }
                Note::Suspect { seq, status } => {
                    tracing::warn!(seq, status, reason, "the upstream refuses a statement; others are tried");
                    let said = (reason.chars().take(REASON).collect(), self.body(seq));
                    self.suspects.insert(seq, said);
                }
                Note::Thaw(seqs) => {
                    self.fresh.extend(&seqs);
                    self.outbox.thaw(seqs).await?;
                }
                Note::Refused { seq, status } => {
                    let (reason, body) = match self.suspects.remove(&seq) {
                        Some(said) => said,
                        None => (reason.chars().take(REASON).collect(), self.body(seq)),
                    };
                    tracing::error!(
                        seq,
                        status,
                        reason,
                        "the upstream refuses a statement for good: it is set aside; see GET /api/usage/refused"
                    );
                    self.outbox.set_aside(Refused { seq, status, reason, body }, clock::now()).await?;
                }
                Note::RefusesAll(status) => {
                    self.stats.refused_all.fetch_add(1, Relaxed);
                    tracing::error!(
                        status,
                        reason,
                        "the upstream refuses every statement: nothing is set aside; look at [upstream] and its vocabulary"
                    );
                }
            }
        }
        Ok(())
    }

    fn body(&self, seq: i64) -> Vec<u8> {
        self.bodies.get(&seq).cloned().unwrap_or_default()
    }
}
