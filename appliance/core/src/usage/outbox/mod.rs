//! When to deliver which statements, and what to make of the upstream's answers.
//!
//! The store holds the statements in their order; [`Delivery`] holds none of them, only numbers. [`Delivery::next`]
//! says what to do now, [`Delivery::loaded`] and [`Delivery::answered`] tell it how that went. After a restart it
//! begins anew from what the store still holds: a statement may be sent twice, its id makes it count once.

use classroom_protocol::Millis;

use super::schedule::Schedule;

/// First wait after a failure; doubles with each further one.
const FIRST_WAIT: Millis = 1_000;
/// The longest wait after failures, and the longest that a `Retry-After` is obeyed.
const LONGEST_WAIT: Millis = 15 * 60_000;
const LONGEST_OBEYED: Millis = 3_600_000;
/// Failures of one batch after which it is tried in halves: one statement that the upstream stumbles over, or a line that
/// breaks before a long request is through, must not hold up the rest.
const PATIENCE: u32 = 3;
/// Statements in a row that are set aside after one was accepted. When more are refused than that it is no fault of the
/// statements: they stay.
const SUSPECTS: usize = 8;
/// The smallest request that batches are cut down to, in bytes.
const SMALLEST: usize = 8 * 1024;

/// How much is sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Statements in one request.
    pub statements: usize,
    /// Bytes of statements in one request.
    pub bytes: usize,
    /// How often to look for new statements when there were none.
    pub look: Millis,
}

/// A statement in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its number in the store's order.
    pub seq: i64,
    /// Its length.
    pub bytes: usize,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this moment.
    Wait(Millis),
    /// Read the statements after number `after`, in their order, and tell [`Delivery::loaded`].
    Load {
        /// Number before the first.
        after: i64,
        /// How many.
        most: usize,
    },
    /// Send these in one request and tell [`Delivery::answered`].
    Send(Vec<i64>),
}

/// How the upstream answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200 or 204: all are kept there.
    Accepted,
    /// 400, 409, 422: one of them at least is wrong, none is kept.
    Refused(u16),
    /// 413: too much at once.
    TooLarge,
    /// Any other status: not now. With what `Retry-After` says.
    NotNow {
        /// HTTP status.
        status: u16,
        /// How long to wait.
        retry_after: Option<Millis>,
    },
    /// No answer: nobody knows whether they are kept.
    Silence,
}

impl Answer {
    /// What a status means.
    pub fn of(status: u16, retry_after: Option<Millis>) -> Self {
        match status {
            200 | 204 => Self::Accepted,
            400 | 409 | 422 => Self::Refused(status),
            413 => Self::TooLarge,
            // Also wrong credentials and a wrong address: for IT to mend, no reason to give up a statement.
            status => Self::NotNow { status, retry_after },
        }
    }
}

/// What the store has to note after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// These are delivered.
    Delivered(Vec<i64>),
    /// The upstream refuses this one for good: keep it aside with the status.
    Refused {
        /// Its number.
        seq: i64,
        /// HTTP status.
        status: u16,
    },
    /// Everything is refused: for a person to look at. Nothing is set aside.
    RefusesAll(u16),
}

/// Decides the delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    limits: Limits,
    schedule: Schedule,
    /// Batches still to be sent; the last one is next.
    batches: Vec<Vec<Item>>,
    /// How many more may be set aside before another one has to be accepted.
    trust: usize,
    /// Refused without trust: perhaps it is the upstream that is wrong.
    suspects: Vec<(i64, u16)>,
    /// Number of the last statement that was loaded in this round.
    after: i64,
    /// Bytes in one request at present.
    bytes: usize,
    failures: u32,
    /// When the wait was set, and until when it is.
    wait: Option<(Millis, Millis)>,
}

impl Delivery {
    /// Begins with everything that the store holds.
    pub fn new(limits: Limits, schedule: Schedule) -> Self {
        let bytes = limits.bytes;
        Self { limits, schedule, batches: vec![], trust: 0, suspects: vec![], after: 0, bytes, failures: 0, wait: None }
    }

    /// What to do at `now`.
    pub fn next(&mut self, now: Millis) -> Step {
        if let Some((set, until)) = self.wait {
            // A clock that was set back must not turn a wait of a second into one of a year.
            if now >= set && now < until {
                return Step::Wait(until);
            }
            self.wait = None;
        }
        let opens = self.schedule.opens(now);
        if opens > now {
            return Step::Wait(opens.min(now + LONGEST_OBEYED));
        }
        match self.batches.last() {
            Some(batch) => Step::Send(batch.iter().map(|item| item.seq).collect()),
            None => Step::Load { after: self.after, most: self.limits.statements },
        }
    }

    /// What the store held after [`Step::Load`]: what can be sent of it, and the number of the last one that was looked at,
    /// `None` when there was none.
    pub fn loaded(&mut self, items: &[Item], last: Option<i64>, now: Millis) {
        let Some(last) = last else {
            // The end of the round: the next one begins with what was left behind.
            let wait = if self.suspects.is_empty() { self.limits.look } else { LONGEST_WAIT };
            self.round_again(now, wait);
            return;
        };
        self.after = last;
        self.batches = cut(items, self.limits.statements, self.bytes);
        self.batches.reverse();
    }

    /// What became of the batch of the last [`Step::Send`]. `chance`, 0 to 255, spreads the waits of many boxes.
    pub fn answered(&mut self, answer: Answer, now: Millis, chance: u8) -> Vec<Note> {
        let Some(batch) = self.batches.pop() else { return vec![] };
        match answer {
            Answer::Accepted => {
                self.failures = 0;
                self.trust = SUSPECTS;
                self.bytes = (self.bytes * 2).min(self.limits.bytes);
                // The upstream takes good statements, so those that it refused are bad.
                let refused = self.suspects.drain(..).map(|(seq, status)| Note::Refused { seq, status });
                let mut notes = vec![Note::Delivered(batch.iter().map(|item| item.seq).collect())];
                notes.extend(refused);
                notes
            }
            Answer::Refused(status) => self.suspect(batch, status, now),
            Answer::TooLarge => {
                self.smaller();
                self.suspect(batch, 413, now)
            }
            Answer::NotNow { retry_after, .. } => {
                self.try_again(batch, retry_after, now, chance);
                vec![]
            }
            Answer::Silence => {
                self.smaller();
                self.try_again(batch, None, now, chance);
                vec![]
            }
        }
    }

    /// How many failures in a row there were.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Halves the batch; a single statement is a suspect.
    fn suspect(&mut self, batch: Vec<Item>, status: u16, now: Millis) -> Vec<Note> {
        if batch.len() > 1 {
            self.halve(batch);
            return vec![];
        }
        let Some(Item { seq, .. }) = batch.first().copied() else { return vec![] };
        if self.trust > 0 {
            self.trust -= 1;
            return vec![Note::Refused { seq, status }];
        }
        self.suspects.push((seq, status));
        if self.suspects.len() < SUSPECTS {
            return vec![];
        }
        self.suspects.clear();
        self.round_again(now, LONGEST_WAIT);
        vec![Note::RefusesAll(status)]
    }

    fn try_again(&mut self, batch: Vec<Item>, retry_after: Option<Millis>, now: Millis, chance: u8) {
        self.failures = self.failures.saturating_add(1);
        let wait = retry_after.map_or_else(
            || FIRST_WAIT.saturating_mul(1 << (self.failures - 1).min(20)).min(LONGEST_WAIT),
            |asked| asked.clamp(FIRST_WAIT, LONGEST_OBEYED),
        );
        // Up to a quarter longer.
        let wait = wait + wait * Millis::from(chance) / 1024;
        self.wait = Some((now, now.saturating_add(wait)));
        match batch.len() {
            1 if self.failures > PATIENCE && !self.batches.is_empty() => {
                // Leaves it behind for this round: it stays in the store and the next round finds it.
            }
            len if len > 1 && self.failures.is_multiple_of(PATIENCE) => self.halve(batch),
            _ => self.batches.push(batch),
        }
    }

    fn halve(&mut self, mut batch: Vec<Item>) {
        let second = batch.split_off(batch.len() / 2);
        self.batches.push(second);
        self.batches.push(batch);
    }

    fn smaller(&mut self) {
        self.bytes = (self.bytes / 2).max(SMALLEST.min(self.limits.bytes));
        // What waits is cut to the new size too.
        let waiting: Vec<Item> = self.batches.drain(..).rev().flatten().collect();
        self.batches = cut(&waiting, self.limits.statements, self.bytes);
        self.batches.reverse();
    }

    fn round_again(&mut self, now: Millis, wait: Millis) {
        self.suspects.clear();
        self.batches.clear();
        self.after = 0;
        self.wait = Some((now, now.saturating_add(wait)));
    }
}

/// Cuts into batches of at most `statements` and `bytes`; a statement that alone is larger has a batch of its own.
fn cut(items: &[Item], statements: usize, bytes: usize) -> Vec<Vec<Item>> {
    let mut batches: Vec<Vec<Item>> = vec![];
    let mut size = 0;
    for item in items {
        match batches.last_mut().filter(|batch| batch.len() < statements && size + item.bytes <= bytes) {
            Some(batch) => {
                size += item.bytes;
                batch.push(*item);
            }
            None => {
                size = item.bytes;
                batches.push(vec![*item]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests;
