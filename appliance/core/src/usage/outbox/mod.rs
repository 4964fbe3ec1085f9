//! When to deliver which statements, and what to make of the upstream's answers.
//!
//! The store holds the statements in their order; [`Delivery`] holds none of them, only numbers. [`Delivery::next`]
//! says what to do now, [`Delivery::loaded`] and [`Delivery::answered`] tell it how that went. After a restart it
//! begins anew from what the store still holds: a statement may be sent twice, its id makes it count once.
//!
//! What the upstream refuses must neither hold up the rest nor be given up while it may be the upstream that is wrong. So
//! a round goes through all that waits. As long as nothing was accepted in it, it searches: of each kind a few statements
//! are tried one by one, then the rest of that kind is passed over but for one try in each load. With the first one that
//! is accepted it is known that the upstream takes good statements: those that it refused are bad and set aside, and what
//! was passed over is judged one by one.

use std::collections::{BTreeMap, BTreeSet};

use classroom_protocol::Millis;

use super::{Kind, schedule::Schedule};

/// First wait after a failure; doubles with each further one.
const FIRST_WAIT: Millis = 1_000;
/// The longest wait after failures, and the longest that a `Retry-After` is obeyed.
const LONGEST_WAIT: Millis = 15 * 60_000;
const LONGEST_OBEYED: Millis = 3_600_000;
/// Failures of one batch after which it is tried in halves: one statement that the upstream stumbles over, or a line that
/// breaks before a long request is through, must not hold up the rest.
const PATIENCE: u32 = 3;
/// Statements in a row that are set aside after one was accepted. Before more are, the one that was accepted is sent again:
/// if the upstream refuses that one too it is no fault of the statements.
const TRUST: usize = 8;
/// Statements of one kind that are tried in a round in which nothing was accepted, before the others of that kind are passed
/// over.
const TRIES: usize = 4;
/// Statements of any kind that are tried in such a round. The next one goes on behind them.
const MOST_TRIES: usize = 100;
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
    /// Of which kind its event is; `None` when this version of the software does not know it.
    pub kind: Option<Kind>,
    /// Whether the upstream may hold it already: it was sent and nobody knows what became of it.
    pub open: bool,
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
    /// Send these in one request and tell [`Delivery::answered`]. From now on their bytes must not change, until a note
    /// says that they may.
    Send(Vec<i64>),
    /// Send the statement that was accepted last once more, alone, and tell [`Delivery::answered`].
    SendAgain,
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
    /// The upstream refuses this one, alone in its request, but it may be the upstream that is wrong: it stays where it
    /// is.
    Suspect {
        /// Its number.
        seq: i64,
        /// HTTP status.
        status: u16,
    },
    /// These stay for another round, and the upstream has not got them: they may be made anew, with the same ids.
    Thaw(Vec<i64>),
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
    /// Which round it is: each one tries others of those that it passes over.
    round: usize,
    /// Whether one was accepted in this round, which can be sent again.
    accepted: bool,
    /// Whether the accepted one is to be sent again now.
    again: bool,
    /// Statements of each kind that were refused alone since one of that kind was accepted.
    refused: BTreeMap<Option<Kind>, usize>,
    /// Suspects of this round.
    tries: usize,
    /// Whether this round has not looked at all that waits.
    passed_over: bool,
}

impl Delivery {
    /// Begins with everything that the store holds.
    pub fn new(limits: Limits, schedule: Schedule) -> Self {
        Self {
            limits,
            schedule,
            batches: vec![],
            trust: 0,
            suspects: vec![],
            after: 0,
            bytes: limits.bytes,
            failures: 0,
            wait: None,
            round: 0,
            accepted: false,
            again: false,
            refused: BTreeMap::new(),
            tries: 0,
            passed_over: false,
        }
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
        if self.again {
            return Step::SendAgain;
        }
        match self.batches.last() {
            Some(batch) => Step::Send(batch.iter().map(|item| item.seq).collect()),
            None => Step::Load { after: self.after, most: self.limits.statements },
        }
    }

    /// What the store held after [`Step::Load`]: what can be sent of it, and the number of the last one that was looked at,
    /// `None` when there was none.
    pub fn loaded(&mut self, items: &[Item], last: Option<i64>, now: Millis) -> Vec<Note> {
        let Some(last) = last else { return self.round_ends(now) };
        self.after = last;
        self.batches = cut(items, self.limits.statements, self.bytes);
        self.batches.reverse();
        self.pass_over()
    }

    /// What became of the last [`Step::Send`] or [`Step::SendAgain`]. `chance`, 0 to 255, spreads the waits of many boxes.
    pub fn answered(&mut self, answer: Answer, now: Millis, chance: u8) -> Vec<Note> {
        if std::mem::take(&mut self.again) {
            return self.answered_again(answer, now, chance);
        }
        let Some(mut batch) = self.batches.pop() else { return vec![] };
        match answer {
            Answer::Accepted => {
                self.accepted = true;
                self.bytes = (self.bytes * 2).min(self.limits.bytes);
                for item in &batch {
                    self.refused.remove(&item.kind);
                }
                let mut notes = vec![Note::Delivered(batch.iter().map(|item| item.seq).collect())];
                notes.extend(self.trusted());
                notes
            }
            Answer::Refused(_) if batch.len() > 1 => {
                self.part(batch);
                vec![]
            }
            Answer::Refused(status) => self.suspect(&batch, status, now),
            Answer::TooLarge => {
                self.smaller();
                if batch.len() > 1 {
                    self.halve(batch);
                    return vec![];
                }
                self.suspect(&batch, 413, now)
            }
            Answer::NotNow { status, retry_after } => {
                // What asks for other credentials or another address has kept nothing.
                let kept = !(300..500).contains(&status);
                batch.iter_mut().for_each(|item| item.open |= kept);
                self.try_again(batch, retry_after, now, chance);
                vec![]
            }
            Answer::Silence => {
                batch.iter_mut().for_each(|item| item.open = true);
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

    /// The upstream takes good statements, so those that it refused are bad.
    fn trusted(&mut self) -> Vec<Note> {
        (self.failures, self.trust, self.tries) = (0, TRUST, 0);
        self.suspects.drain(..).map(|(seq, status)| Note::Refused { seq, status }).collect()
    }

    /// What became of the one that was accepted before.
    fn answered_again(&mut self, answer: Answer, now: Millis, chance: u8) -> Vec<Note> {
        match answer {
            Answer::Accepted => self.trusted(),
            Answer::Refused(status) => self.give_up(status, now),
            Answer::TooLarge => self.give_up(413, now),
            Answer::NotNow { retry_after, .. } => {
                self.again = true;
                self.back_off(retry_after, now, chance);
                vec![]
            }
            Answer::Silence => {
                self.again = true;
                self.back_off(None, now, chance);
                vec![]
            }
        }
    }

    /// A single statement that is refused.
    fn suspect(&mut self, batch: &[Item], status: u16, now: Millis) -> Vec<Note> {
        let Some(item @ Item { seq, kind, .. }) = batch.first().copied() else { return vec![] };
        *self.refused.entry(kind).or_default() += 1;
        if self.trust > 0 {
            self.trust -= 1;
            return vec![Note::Refused { seq, status }];
        }
        self.suspects.push((seq, status));
        let mut notes = vec![Note::Suspect { seq, status }];
        notes.extend(thaw(vec![Item { open: item.open && !is_not_there(status), ..item }]));
        if self.accepted {
            self.again = true;
            return notes;
        }
        self.tries += 1;
        notes.extend(if self.tries < MOST_TRIES { self.pass_over() } else { self.give_up(status, now) });
        notes
    }

    /// While nothing is accepted: leaves out what is of a kind that was tried often enough, but for one of each.
    fn pass_over(&mut self) -> Vec<Note> {
        if self.accepted {
            return vec![];
        }
        let mut of_kind: BTreeMap<Option<Kind>, Vec<i64>> = BTreeMap::new();
        for item in self.batches.iter().flatten() {
            if self.refused.get(&item.kind).is_some_and(|refused| *refused >= TRIES) {
                of_kind.entry(item.kind).or_default().push(item.seq);
            }
        }
        // Another one in each round, so that in the end each one is tried whatever lies before it.
        let tried: BTreeSet<i64> = of_kind.values().map(|seqs| seqs[self.round % seqs.len()]).collect();
        let stays = |item: &Item| !of_kind.contains_key(&item.kind) || tried.contains(&item.seq);
        let over: Vec<Item> = self.batches.iter().flatten().filter(|item| !stays(item)).copied().collect();
        for batch in &mut self.batches {
            batch.retain(stays);
        }
        self.batches.retain(|batch| !batch.is_empty());
        self.passed_over |= !over.is_empty();
        thaw(over).into_iter().collect()
    }

    /// Nothing of what was sent was accepted, or not any more: nothing is set aside, and the next round goes on from here.
    fn give_up(&mut self, status: u16, now: Millis) -> Vec<Note> {
        let after = self.after;
        let mut notes: Vec<Note> = thaw(self.batches.drain(..).flatten().collect()).into_iter().collect();
        notes.push(Note::RefusesAll(status));
        self.new_round(now, LONGEST_WAIT);
        self.after = after;
        self.passed_over = true;
        notes
    }

    /// There is nothing behind what was loaded last.
    fn round_ends(&mut self, now: Millis) -> Vec<Note> {
        if self.accepted && std::mem::take(&mut self.passed_over) {
            // The upstream takes good ones: what was passed over is judged at once.
            self.after = 0;
            return vec![];
        }
        let refuses = self.suspects.last().filter(|_| self.suspects.len() >= TRIES);
        let notes = refuses.map(|(_, status)| Note::RefusesAll(*status)).into_iter().collect();
        // What was left behind is tried in the next one.
        let left = !self.suspects.is_empty() || self.passed_over;
        self.new_round(now, if left { LONGEST_WAIT } else { self.limits.look });
        notes
    }

    fn try_again(&mut self, batch: Vec<Item>, retry_after: Option<Millis>, now: Millis, chance: u8) {
        self.back_off(retry_after, now, chance);
        match batch.len() {
            1 if self.failures > PATIENCE && !self.batches.is_empty() => {
                // Leaves it behind for this round: it stays in the store and the next round finds it.
            }
            len if len > 1 && self.failures.is_multiple_of(PATIENCE) => self.halve(batch),
            _ => self.batches.push(batch),
        }
    }

    /// Waits, the longer the more failures there were.
    fn back_off(&mut self, retry_after: Option<Millis>, now: Millis, chance: u8) {
        self.failures = self.failures.saturating_add(1);
        let wait = retry_after.map_or_else(
            || FIRST_WAIT.saturating_mul(1 << (self.failures - 1).min(20)).min(LONGEST_WAIT),
            |asked| asked.clamp(FIRST_WAIT, LONGEST_OBEYED),
        );
        // Up to a quarter longer.
        let wait = wait + wait * Millis::from(chance) / 1024;
        self.wait = Some((now, now.saturating_add(wait)));
    }

    /// A batch that is refused, in parts: one for each kind, because it is mostly a kind that the upstream does not take;
    /// then halves, or one by one where the kind seems to be the reason.
    fn part(&mut self, batch: Vec<Item>) {
        let mut parts: Vec<Vec<Item>> = vec![];
        for item in &batch {
            match parts.iter_mut().find(|part| part[0].kind == item.kind) {
                Some(part) => part.push(*item),
                None => parts.push(vec![*item]),
            }
        }
        let kind = batch[0].kind;
        match parts.len() {
            1 if self.refused.get(&kind).is_some_and(|refused| *refused >= TRIES) => {
                self.batches.extend(batch.into_iter().rev().map(|item| vec![item]));
            }
            1 => self.halve(batch),
            _ => self.batches.extend(parts.into_iter().rev()),
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

    fn new_round(&mut self, now: Millis, wait: Millis) {
        self.suspects.clear();
        self.batches.clear();
        self.refused.clear();
        (self.after, self.tries) = (0, 0);
        (self.accepted, self.passed_over) = (false, false);
        self.round = self.round.wrapping_add(1);
        self.wait = Some((now, now.saturating_add(wait)));
    }
}

/// Whether the upstream has not got a statement that it refused with this status: it would have known it again. What is too
/// large was not looked at.
pub fn is_not_there(status: u16) -> bool {
    status != 413
}

/// Those of these that the upstream can't hold.
fn thaw(items: Vec<Item>) -> Option<Note> {
    let seqs: Vec<i64> = items.iter().filter(|item| !item.open).map(|item| item.seq).collect();
    (!seqs.is_empty()).then_some(Note::Thaw(seqs))
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
