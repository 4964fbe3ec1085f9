//! Deliveries in virtual time, against an upstream that has its moods.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { statements: 100, bytes: 64 * 1024, look: 60_000 };

/// A store and an upstream.
struct World {
    delivery: Delivery,
    now: Millis,
    store: Vec<Item>,
    delivered: Vec<i64>,
    refused: Vec<(i64, u16)>,
    requests: Vec<usize>,
    refuses_all: u32,
}

impl World {
    fn new(count: i64) -> Self {
        let store = (1..=count).map(|seq| Item { seq, bytes: 600 }).collect();
        let delivery = Delivery::new(LIMITS, Schedule::default());
        Self { delivery, now: 1_000, store, delivered: vec![], refused: vec![], requests: vec![], refuses_all: 0 }
    }

    /// Runs until nothing is left or `until`; `upstream` answers each request.
    fn run(&mut self, until: Millis, mut upstream: impl FnMut(&[i64], Millis) -> Answer) {
        while self.now < until && !self.store.is_empty() {
            match self.delivery.next(self.now) {
                Step::Wait(at) => {
                    assert!(at > self.now, "a wait that is no wait");
                    self.now = at;
                }
                Step::Load { after, most } => {
                    let found: Vec<Item> =
                        self.store.iter().filter(|item| item.seq > after).take(most).copied().collect();
                    self.delivery.loaded(&found, found.last().map(|item| item.seq), self.now);
                }
                Step::Send(batch) => {
                    self.now += 10;
                    self.requests.push(batch.len());
                    let answer = upstream(&batch, self.now);
                    for note in self.delivery.answered(answer, self.now, 128) {
                        self.note(note);
                    }
                }
            }
        }
    }

    fn note(&mut self, note: Note) {
        let gone: Vec<i64> = match note {
            Note::Delivered(seqs) => {
                self.delivered.extend(&seqs);
                seqs
            }
            Note::Refused { seq, status } => {
                self.refused.push((seq, status));
                vec![seq]
            }
            Note::RefusesAll(_) => {
                self.refuses_all += 1;
                vec![]
            }
        };
        let before = self.store.len();
        self.store.retain(|item| !gone.contains(&item.seq));
        assert_eq!(before - self.store.len(), gone.len(), "what is noted was in the store");
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
        prop_assert!(world.store.iter().all(|item| bad.contains(&item.seq)));
        prop_assert!(world.delivered.iter().all(|seq| !bad.contains(seq)));
    }
}
