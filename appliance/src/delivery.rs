//! Delivers usage records upstream: executes what [`appliance_core::usage::outbox`] decides, with the store on one side and
//! the client of the learning record store on the other.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use appliance_core::usage::{
    outbox::{Delivery, Item, Limits, Note, Step},
    schedule::{Schedule, When},
    xapi::{self, School, Vocabulary},
};
use tokio::time::sleep;

use crate::{
    clock,
    config::{DeliverWhen, Upstream},
    store::{Outbox, Refused, StoreError},
    upstream::Client,
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
        let (Some(lrs), Some(home_page)) = (&config.lrs, &config.home_page) else { return Ok(None) };
        let client = Client::new(lrs, config.credentials_file.as_deref(), config.ca_file.as_deref())?;
        let vocabulary = match &config.vocabulary_file {
            None => Vocabulary::parse(xapi::DEFAULT).context("the vocabulary that the box brings")?,
            Some(path) => {
                let named = || format!("[upstream] vocabulary_file {}", path.display());
                Vocabulary::parse(&std::fs::read_to_string(path).with_context(named)?).with_context(named)?
            }
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
        Ok(Some(Self { outbox, client, vocabulary, key, home_page, delivery, stats, bodies: BTreeMap::new() }))
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
        }
        Ok(())
    }

    /// Reads what waits; what has no statement yet gets one, on the disk before it is sent.
    async fn load(&mut self, after: i64, most: usize) -> Result<(), StoreError> {
        let waiting = self.outbox.waiting(after, most).await?;
        let last = waiting.last().map(|one| one.seq);
        let school = School { key: self.key.bytes(), home_page: &self.home_page };
        let (mut bodies, mut fresh, mut without) = (BTreeMap::new(), vec![], vec![]);
        for one in waiting {
            let body = match (one.body, one.event) {
                (Some(body), _) => body,
                // Of a later version of the software: stays for it.
                (None, None) => continue,
                (None, Some(event)) => match self.vocabulary.statement(&event, &one.id, school) {
                    None => {
                        without.push(one.seq);
                        continue;
                    }
                    Some(statement) => {
                        let body = statement.to_string().into_bytes();
                        fresh.push((one.seq, body.clone()));
                        body
                    }
                },
            };
            bodies.insert(one.seq, body);
        }
        if !fresh.is_empty() || !without.is_empty() {
            self.outbox.freeze(fresh, without).await?;
        }
        let items: Vec<Item> = bodies.iter().map(|(seq, body)| Item { seq: *seq, bytes: body.len() + 1 }).collect();
        self.bodies = bodies;
        self.delivery.loaded(&items, last, clock::now());
        Ok(())
    }

    async fn send(&mut self, batch: Vec<i64>) -> Result<(), StoreError> {
        let statements = batch.iter().filter_map(|seq| self.bodies.get(seq)).map(Vec::as_slice);
        let outcome = self.client.send(statements).await;
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
        for note in notes {
            match note {
                Note::Delivered(seqs) => {
                    let count = seqs.len() as u64;
                    self.outbox.delivered(seqs, clock::now()).await?;
                    self.stats.delivered.fetch_add(count, Relaxed);
                }
                Note::Refused { seq, status } => {
                    tracing::error!(seq, status, reason = %outcome.reason,
                        "the upstream refuses a statement for good: it is set aside");
                    // Those that had to wait until another one was accepted have no reason of their own any more.
                    let reason = outcome.reason.chars().take(REASON).collect();
                    self.outbox.set_aside(Refused { seq, status, reason }, clock::now()).await?;
                }
                Note::RefusesAll(status) => {
                    self.stats.refused_all.fetch_add(1, Relaxed);
                    tracing::error!(status, reason = %outcome.reason,
                        "the upstream refuses every statement: nothing is set aside; look at [upstream] and its vocabulary");
                }
            }
        }
        Ok(())
    }
}
