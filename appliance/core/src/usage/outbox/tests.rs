//! Deliveries in virtual time, against an upstream that has its moods.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { statements: 100, bytes: 64 * 1024, look: 60_000 };

/// A store and an upstream.
struct World {
    delivery: Delivery,
    now: Millis,
    store: Vec<(i64, Kind)>,
    /// Which vocabulary each statement was made with; none = it is made when it is sent.
    frozen: BTreeMap<i64, u32>,
    vocabulary: u32,
    delivered: Vec<i64>,
    refused: Vec<(i64, u16)>,
    requests: Vec<usize>,
    refuses_all: u32,
    last_accepted: Option<(i64, u32)>,
}

impl World {
    fn new(count: i64) -> Self {
        Self::of((1..=count).map(|seq| (seq, Kind::Opened)))
    }

    /// A store that holds these.
    fn of(store: impl IntoIterator<Item = (i64, Kind)>) -> Self {
        Self {
            delivery: Delivery::new(LIMITS, Schedule::default()),
            now: 1_000,
            store: store.into_iter().collect(),
            frozen: BTreeMap::new(),
            vocabulary: 1,
            delivered: vec![],
            refused: vec![],
            requests: vec![],
            refuses_all: 0,
            last_accepted: None,
        }
    }

    /// Runs until nothing is left or `until`; `upstream` answers each request.
    fn run(&mut self, until: Millis, mut upstream: impl FnMut(&[i64], Millis) -> Answer) {
        self.run_made(until, |batch, now| {
            let seqs: Vec<i64> = batch.iter().map(|(seq, _)| *seq).collect();
            upstream(&seqs, now)
        });
    }

    /// The same; `upstream` sees by which vocabulary each statement was made.
    fn run_made(&mut self, until: Millis, mut upstream: impl FnMut(&[(i64, u32)], Millis) -> Answer) {
        while self.now < until && !self.store.is_empty() {
            match self.delivery.next(self.now) {
                Step::Wait(at) => {
                    assert!(at > self.now, "a wait that is no wait");
                    self.now = at;
                }
                Step::Load { after, most } => {
                    let found: Vec<Item> = self
                        .store
                        .iter()
                        .filter(|(seq, _)| *seq > after)
                        .take(most)
                        .map(|(seq, kind)| Item {
                            seq: *seq,
                            bytes: 600,
                            kind: Some(*kind),
                            open: self.frozen.contains_key(seq),
                        })
                        .collect();
                    let notes = self.delivery.loaded(&found, found.last().map(|item| item.seq), self.now);
                    self.note(notes);
                }
                Step::Send(batch) => {
                    let made: Vec<(i64, u32)> =
                        batch.iter().map(|seq| (*seq, *self.frozen.entry(*seq).or_insert(self.vocabulary))).collect();
                    self.send(&made, &mut upstream);
                }
                Step::SendAgain => {
                    let made = [self.last_accepted.expect("one was accepted")];
                    self.send(&made, &mut upstream);
                }
            }
        }
    }

    fn send(&mut self, made: &[(i64, u32)], upstream: &mut impl FnMut(&[(i64, u32)], Millis) -> Answer) {
        self.now += 10;
        self.requests.push(made.len());
        let answer = upstream(made, self.now);
        if answer == Answer::Accepted {
            self.last_accepted = made.last().copied();
        }
        let notes = self.delivery.answered(answer, self.now, 128);
        self.note(notes);
    }

    fn note(&mut self, notes: Vec<Note>) {
        for note in notes {
            let gone: Vec<i64> = match note {
                Note::Delivered(seqs) => {
                    self.delivered.extend(&seqs);
                    seqs
                }
                Note::Refused { seq, status } => {
                    self.refused.push((seq, status));
                    vec![seq]
                }
                Note::Suspect { .. } => vec![],
                Note::Thaw(seqs) => {
                    self.frozen.retain(|seq, _| !seqs.contains(seq));
                    vec![]
                }
                Note::RefusesAll(_) => {
                    self.refuses_all += 1;
                    vec![]
                }
            };
            let before = self.store.len();
            self.store.retain(|(seq, _)| !gone.contains(seq));
            assert_eq!(before - self.store.len(), gone.len(), "what is noted was in the store");
        }
    }

    /// The box starts again: what it knew beside the store is gone.
    fn restart(&mut self) {
        (self.delivery, self.last_accepted) = (Delivery::new(LIMITS, Schedule::default()), None);
    }

    /// The operator has the refused ones sent again.
    fn release(&mut self) {
        for (seq, status) in self.refused.drain(..) {
            if is_not_there(status) {
                self.frozen.remove(&seq);
            }
            self.store.push((seq, Kind::Joined));
        }
        self.store.sort_unstable();
    }
}

#[test]
fn a_good_upstream_gets_everything_in_order_and_in_full_batches() {
    let mut world = World::new(1050);
    world.run(1_000_000, |_, _| Answer::Accepted);
    assert_eq!(world.delivered, (1..=1050).collect::<Vec<_>>());
    assert_eq!(world.requests, [[100; 10].as_slice(), &[50]].concat());
    assert!(world.now < 2_000, "and it does not wait in between");
}

#[test]
fn a_bad_statement_is_found_by_halves_and_set_aside_alone() {
    for (bad, status) in [(37, 400), (100, 409), (1, 409)] {
        let mut world = World::new(100);
        world.run(10_000_000, |batch, _| if batch.contains(&bad) { Answer::Refused(status) } else { Answer::Accepted });
        assert_eq!(world.refused, [(bad, status)]);
        assert_eq!(world.delivered.len(), 99);
        assert!(world.requests.len() <= 2 * 8, "{} requests", world.requests.len());
    }
}

#[test]
fn an_upstream_that_refuses_everything_costs_no_statement() {
    let mut world = World::new(500);
    world.run(86_400_000, |_, _| Answer::Refused(400));
    assert_eq!((world.store.len(), world.refused.len()), (500, 0));
    assert!(world.refuses_all > 0, "a person is told");
    assert!(world.requests.len() < 3_000, "{} requests in a day", world.requests.len());
    world.run(200_000_000, |_, _| Answer::Accepted);
    assert_eq!(world.delivered.len(), 500, "and when it is mended everything arrives");
}

#[test]
fn too_large_is_halved_and_remembered() {
    let mut world = World::new(400);
    world.run(10_000_000, |batch, _| if batch.len() > 20 { Answer::TooLarge } else { Answer::Accepted });
    assert_eq!((world.delivered.len(), world.refused.len()), (400, 0));
    let too_large = world.requests.iter().filter(|len| **len > 20).count();
    assert!(too_large < 20, "{:?}", world.requests);
}

#[test]
fn waits_grow_to_a_quarter_of_an_hour_and_end_with_the_first_success() {
    let mut world = World::new(1);
    let mut asked = vec![];
    world.run(4_000_000, |_, now| {
        asked.push(now);
        Answer::NotNow { status: 503, retry_after: None }
    });
    let waits: Vec<Millis> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] < 1_500 && waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    assert!(*waits.last().unwrap() <= LONGEST_WAIT * 5 / 4 + 10, "{waits:?}");
    world.run(Millis::MAX, |_, _| Answer::Accepted);
    assert_eq!((world.delivered.len(), world.delivery.failures()), (1, 0));
}

#[test]
fn retry_after_is_obeyed_within_reason() {
    for (asked, at_least, at_most) in [(7_000, 7_000, 8_760), (0, 1_000, 1_260), (Millis::MAX, 3_600_000, 4_500_010)] {
        let mut world = World::new(1);
        let mut times = vec![];
        world.run(100_000_000, |_, now| {
            times.push(now);
            if times.len() == 1 { Answer::of(429, Some(asked)) } else { Answer::Accepted }
        });
        let waited = times[1] - times[0];
        assert!((at_least..=at_most).contains(&waited), "asked for {asked}, waited {waited}");
    }
}

#[test]
fn one_statement_over_which_the_upstream_stumbles_does_not_hold_up_the_rest() {
    let mut world = World::new(100);
    let stumbles = |batch: &[i64]| batch.contains(&50);
    world.run(30 * 3_600_000, |batch, _| {
        if stumbles(batch) { Answer::NotNow { status: 500, retry_after: None } } else { Answer::Accepted }
    });
    assert_eq!(world.delivered.len(), 99);
    assert_eq!((world.store.len(), world.refused.len()), (1, 0), "it may be the upstream's fault: it stays");
}

#[test]
fn a_line_that_breaks_long_requests_gets_short_ones() {
    let mut world = World::new(1000);
    world.run(3_600_000, |batch, _| if batch.len() > 30 { Answer::Silence } else { Answer::Accepted });
    assert_eq!(world.delivered.len(), 1000);
}

#[test]
fn wrong_credentials_give_up_nothing() {
    for status in [301, 401, 403, 404, 405] {
        let mut world = World::new(10);
        world.run(86_400_000, |_, _| Answer::of(status, None));
        assert_eq!((world.store.len(), world.refused.len()), (10, 0), "{status}");
    }
}

#[test]
fn a_clock_set_back_does_not_stop_the_delivery() {
    let mut world = World::new(1);
    world.now = 1_790_000_000_000;
    let until = world.now + 60_000;
    world.run(until, |_, _| Answer::NotNow { status: 503, retry_after: Some(3_600_000) });
    world.now = 1_000;
    world.run(100_000, |_, _| Answer::Accepted);
    assert_eq!(world.delivered, [1]);
}

#[test]
fn it_waits_for_its_hours() {
    let schedule = Schedule { when: crate::usage::schedule::When::Night, from: 22, to: 5 };
    let mut delivery = Delivery::new(LIMITS, schedule);
    let noon = 1_790_000_000_000 - 1_790_000_000_000 % 86_400_000 + 4 * 3_600_000;
    assert!(matches!(delivery.next(noon), Step::Wait(_)));
    assert!(matches!(delivery.next(noon + 10 * 3_600_000), Step::Load { .. }));
}

/// 40 of a kind that the upstream does not take, and 100 that it takes; `good` of these come first.
fn joined_and_active(good: i64) -> World {
    let kind = |seq| if seq > good && seq <= good + 40 { Kind::Joined } else { Kind::Active };
    World::of((1..=140).map(|seq| (seq, kind(seq))))
}

#[test]
fn a_kind_that_is_refused_holds_up_no_other() {
    for good in [0, 5, 60, 100] {
        let mut world = joined_and_active(good);
        let joined = (good + 1)..=(good + 40);
        world.run(3_600_000, |batch, _| {
            if batch.iter().any(|seq| joined.contains(seq)) { Answer::Refused(400) } else { Answer::Accepted }
        });
        assert_eq!((world.delivered.len(), world.refused.len(), world.store.len()), (100, 40, 0), "{good} in front");
        assert!(world.now < 10_000 && world.requests.len() < 120, "{} ms, {:?}", world.now, world.requests);
    }
}

#[test]
fn a_long_queue_of_what_is_refused_ends_somewhere() {
    let mut world = World::of((1..=20_000).map(|seq| (seq, if seq < 19_990 { Kind::Joined } else { Kind::Active })));
    world.run(
        86_400_000,
        |batch, _| {
            if batch.iter().any(|seq| *seq < 19_990) { Answer::Refused(422) } else { Answer::Accepted }
        },
    );
    assert_eq!((world.delivered.len(), world.refused.len()), (11, 19_989));
    assert!(world.requests.len() < 25_000, "{} requests", world.requests.len());
}

#[test]
fn an_upstream_that_breaks_in_between_costs_few_statements() {
    let mut world = World::new(500);
    let mut served = 0;
    world.run(86_400_000, |_, _| {
        served += 1;
        if served <= 2 { Answer::Accepted } else { Answer::Refused(400) }
    });
    assert_eq!((world.delivered.len(), world.refused.len()), (200, TRUST), "no more than it was trusted with");
    assert!(world.refuses_all > 0, "a person is told");
    world.run(200_000_000, |_, _| Answer::Accepted);
    assert_eq!(world.delivered.len(), 500 - TRUST);
}

#[test]
fn what_was_refused_is_made_anew_with_a_mended_vocabulary() {
    let joined = 1..=40;
    let takes = |batch: &[(i64, u32)]| batch.iter().all(|(seq, made)| *made == 2 || !joined.contains(seq));
    let answer = |batch: &[(i64, u32)]| if takes(batch) { Answer::Accepted } else { Answer::Refused(400) };
    // Nothing but what it refuses: all of it stays, and all of it is made anew after the restart.
    let mut world = World::of((1..=40).map(|seq| (seq, Kind::Joined)));
    world.run_made(3_600_000, |batch, _| answer(batch));
    assert_eq!((world.delivered.len(), world.refused.len()), (0, 0));
    world.restart();
    world.vocabulary = 2;
    world.run_made(7_200_000, |batch, _| answer(batch));
    assert_eq!((world.delivered.len(), world.refused.len()), (40, 0));
    // Some were set aside already: they come when they are released.
    let mut world = joined_and_active(0);
    world.run_made(3_600_000, |batch, _| answer(batch));
    assert_eq!((world.delivered.len(), world.refused.len()), (100, 40));
    world.restart();
    world.vocabulary = 2;
    world.release();
    world.run_made(7_200_000, |batch, _| answer(batch));
    assert_eq!((world.delivered.len(), world.refused.len()), (140, 0));
}

proptest! {
    /// Whatever the upstream does, each statement is delivered or refused once, or still there.
    #[test]
    fn nothing_is_lost_and_nothing_twice(
        answers in prop::collection::vec((0u8..6, 0u64..100_000), 1..200),
        bad in prop::collection::btree_set(1i64..200, 0..5),
    ) {
        let mut world = World::new(200);
        let mut moods = answers.into_iter();
        world.run(30 * 86_400_000, |batch, _| match moods.next() {
            Some((0, _)) => Answer::TooLarge,
            Some((1, wait)) => Answer::NotNow { status: 503, retry_after: Some(wait) },
            Some((2, _)) => Answer::Silence,
            _ if batch.iter().any(|seq| bad.contains(seq)) => Answer::Refused(400),
            _ => Answer::Accepted,
        });
        let all: Vec<i64> = world.delivered.iter().chain(world.refused.iter().map(|(seq, _)| seq)).copied().collect();
        let once: BTreeSet<i64> = all.iter().copied().collect();
        prop_assert_eq!(all.len(), once.len());
        prop_assert_eq!(all.len() + world.store.len(), 200);
        // A single statement answered with 413 is set aside too, so more than the bad ones may be. When bad ones are all
        // that is left they wait for the next good one.
        prop_assert!(world.store.iter().all(|(seq, _)| bad.contains(seq)));
        prop_assert!(world.delivered.iter().all(|seq| !bad.contains(seq)));
    }

    /// Whichever kinds the upstream refuses, and whichever single statements: all others arrive, each once, and as soon as
    /// there is one that it takes nothing is left behind.
    #[test]
    fn any_pattern_of_refusals_holds_up_nothing_else(
        kinds in prop::collection::vec(0usize..6, 1..450),
        refused in prop::collection::btree_set(0usize..6, 0..6),
        bad in prop::collection::btree_set(1i64..450, 0..40),
    ) {
        let store: Vec<(i64, Kind)> = (1..).zip(kinds.iter().map(|kind| Kind::ALL[*kind])).collect();
        let is_bad = |seq: i64| bad.contains(&seq) || refused.contains(&kinds[usize::try_from(seq - 1).unwrap()]);
        let good: Vec<i64> = store.iter().map(|(seq, _)| *seq).filter(|seq| !is_bad(*seq)).collect();
        let mut world = World::of(store);
        world.run(30 * 86_400_000, |batch, _| {
            if batch.iter().any(|seq| is_bad(*seq)) { Answer::Refused(400) } else { Answer::Accepted }
        });
        world.delivered.sort_unstable();
        prop_assert_eq!(&world.delivered, &good);
        prop_assert!(world.refused.iter().all(|(seq, _)| is_bad(*seq)));
        if good.is_empty() {
            prop_assert!(world.refused.is_empty());
        } else {
            prop_assert_eq!(world.store.len(), 0);
        }
    }

    /// Whatever is cut, restarted and mended: what the upstream may hold is never sent to it with other bytes, and when the
    /// vocabulary is right everything arrives that was not set aside; that arrives when it is released.
    #[test]
    fn what_the_upstream_may_hold_never_changes(
        moods in prop::collection::vec(0u8..12, 1..120),
        joined in prop::collection::btree_set(1i64..150, 0..100),
    ) {
        let mut world = World::of((1..150).map(|seq| (seq, if joined.contains(&seq) { Kind::Joined } else { Kind::Active })));
        let mut kept: BTreeMap<i64, u32> = BTreeMap::new();
        let mut moods = moods.into_iter();
        let mut changed = false;
        for round in 1..60 {
            let until = world.now + 3_600_000;
            world.vocabulary = if round < 20 { 1 } else { 2 };
            world.run_made(until, |batch, _| {
                changed |= batch.iter().any(|(seq, made)| kept.get(seq).is_some_and(|kept| kept != made));
                if batch.iter().any(|(seq, made)| *made == 1 && joined.contains(seq)) {
                    return Answer::Refused(400);
                }
                match moods.next() {
                    Some(0 | 1) => return Answer::Silence,
                    Some(2) => return Answer::NotNow { status: 503, retry_after: None },
                    Some(3) => return Answer::NotNow { status: 401, retry_after: None },
                    Some(4) => return Answer::TooLarge,
                    _ => {}
                }
                kept.extend(batch.iter().copied());
                // Kept, and the answer does not arrive.
                if moods.next() == Some(5) { Answer::Silence } else { Answer::Accepted }
            });
            if round % 7 == 0 {
                world.restart();
            }
            if round == 40 {
                moods.by_ref().for_each(drop);
                world.release();
            }
        }
        prop_assert!(!changed, "sent twice with other bytes");
        prop_assert_eq!((world.store.len(), world.refused.len()), (0, 0));
        let once: BTreeSet<i64> = world.delivered.iter().copied().collect();
        prop_assert_eq!((once.len(), world.delivered.len()), (149, 149));
    }
}
