//! What a fill fetches next: what readers wait for first, then what lies behind it, then the rest.
//!
//! An object has one fill and the fill one connection at a time, however many read. A reader that waits for a byte far
//! from where the connection is makes it go there; bytes that came already are never fetched again.

use super::{SEGMENT, spans::Spans};

/// A reader that waits for a byte so close behind the head simply waits: going there anew would take longer.
pub const NEAR: u64 = 4 * SEGMENT;
/// Once it was moved for one reader, a connection brings at least this much before it is moved for another: many seeking
/// readers share the line in turns instead of keeping it busy with new requests.
pub const TURN: u64 = SEGMENT;

/// What the fill does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reads on from the connection that it has.
    GoOn,
    /// Asks the origin for these bytes; without an end: all from there on.
    Fetch {
        /// First byte.
        from: u64,
        /// One past the last byte.
        to: Option<u64>,
    },
    /// Nobody waits and nothing more is wanted: the connection is given up.
    Rest,
    /// Every byte is there.
    Done,
}

/// The connection that the fill has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The next byte that it will bring.
    pub at: u64,
    /// Bytes that it has brought.
    pub brought: u64,
    /// The origin serves ranges. One that does not is read from start to end, also over what is there already.
    pub movable: bool,
}

/// What there is and what is wanted.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The bytes that are there.
    pub have: &'a Spans,
    /// Bytes of the whole object, once the origin has told.
    pub size: Option<u64>,
    /// The connection, if there is one.
    pub head: Option<Head>,
    /// The first missing byte of each reader that waits, who waits longest first.
    pub waiting: &'a [u64],
    /// How many read, waiting or not.
    pub readers: usize,
    /// Someone has read just now, or does: what lies ahead of the head is fetched on.
    pub read: bool,
    /// Where the last connection ended.
    pub last: u64,
    /// The whole object is wanted (pinned and its time has come).
    pub all: bool,
}

/// Decides.
pub fn next(now: &Situation<'_>) -> Step {
    let Situation { have, size, head, waiting, readers, read, last, all } = *now;
    if size.is_some_and(|size| have.covers(0, size)) {
        return Step::Done;
    }
    let inside = |at: &u64| size.is_none_or(|size| *at < size);
    let wanted = waiting.iter().copied().filter(inside).find(|at| have.reach(*at) == *at);
    let fetch = |at: u64| {
        let (from, to) = have.gap(at);
        // While others read elsewhere each question is for one turn only: nothing that is on its way is given up.
        let here = waiting.iter().filter(|other| (at..at.saturating_add(NEAR)).contains(*other)).count();
        let shared = readers.max(waiting.len()) > here;
        let turn = shared.then(|| from.saturating_add(TURN)).filter(|turn| size.is_none_or(|size| *turn < size));
        Step::Fetch { from, to: to.into_iter().chain(turn).min() }
    };
    // A connection that has brought the last byte is of no more use.
    if let Some(head) = head.filter(|head| size.is_none_or(|size| head.at < size)) {
        if !head.movable {
            return if read || all || wanted.is_some() { Step::GoOn } else { Step::Rest };
        }
        let near = |at: u64| (head.at..head.at.saturating_add(NEAR)).contains(&at);
        let served = waiting.iter().any(|at| near(*at));
        let turn_over = head.brought >= TURN || !served;
        return match wanted {
            Some(at) if !near(at) && turn_over => fetch(at),
            // Bytes that are there already are not fetched again.
            _ if have.reach(head.at) > head.at => match wanted {
                Some(at) => fetch(at),
                None => onwards(have, size, head.at, read || all),
            },
            None if !read && !all => Step::Rest,
            _ => Step::GoOn,
        };
    }
    match wanted {
        Some(at) => fetch(at),
        None => onwards(have, size, last, read || all),
    }
}

/// The next gap from `at` on, or from the start when there is none behind.
fn onwards(have: &Spans, size: Option<u64>, at: u64, wanted: bool) -> Step {
    if !wanted {
        return Step::Rest;
    }
    let (from, to) = have.gap(at);
    if size.is_some_and(|size| from >= size) {
        let (from, to) = have.gap(0);
        return Step::Fetch { from, to };
    }
    Step::Fetch { from, to }
}

/// How long the fill waits before it tries the origin again after the `failures`th failure in a row, in milliseconds.
/// While someone waits the origin is tried every few seconds; a line that is back is used at once.
pub fn pause_ms(failures: u32) -> u64 {
    (250u64 << failures.min(5)).min(5_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 100 * SEGMENT;

    fn at(have: &Spans, head: Option<(u64, u64)>, waiting: &[u64], read: bool, all: bool) -> Step {
        let head = head.map(|(at, brought)| Head { at, brought, movable: true });
        let readers = waiting.len();
        next(&Situation { have, size: Some(SIZE), head, waiting, readers, read, last: 0, all })
    }

    #[test]
    fn a_reader_is_served_first_and_then_the_rest() {
        let mut have = Spans::default();
        assert_eq!(at(&have, None, &[], false, true), Step::Fetch { from: 0, to: None });
        assert_eq!(at(&have, Some((500, 500)), &[500], true, false), Step::GoOn);
        have.add(0, 10 * SEGMENT);
        // Far ahead: the connection moves there, at once when nobody waits where it is.
        let head = Some((10 * SEGMENT, 10 * SEGMENT));
        assert_eq!(at(&have, head, &[50 * SEGMENT], true, true), Step::Fetch { from: 50 * SEGMENT, to: None });
        have.add(50 * SEGMENT, SIZE);
        // The end is reached: what was left out comes now, up to what is there.
        let rest = Step::Fetch { from: 10 * SEGMENT, to: Some(50 * SEGMENT) };
        assert_eq!(at(&have, None, &[], false, true), rest);
        assert_eq!(at(&have, Some((SIZE, 50 * SEGMENT)), &[], false, true), rest);
        have.add(10 * SEGMENT, 50 * SEGMENT);
        assert_eq!(at(&have, Some((50 * SEGMENT, 9)), &[], false, true), Step::Done);
    }

    #[test]
    fn readers_far_apart_take_turns() {
        let mut have = Spans::default();
        have.add(0, 100);
        let waiting = [60 * SEGMENT, 100];
        assert_eq!(at(&have, Some((100, 100)), &waiting, true, false), Step::GoOn);
        have.add(100, TURN);
        assert_eq!(
            at(&have, Some((TURN, TURN)), &[60 * SEGMENT, TURN], true, false),
            Step::Fetch { from: 60 * SEGMENT, to: Some(60 * SEGMENT + TURN) }
        );
    }

    #[test]
    fn who_seeks_beside_others_gets_a_turn_and_the_others_go_on_where_they_were() {
        let mut have = Spans::default();
        have.add(0, 5 * SEGMENT);
        let now = Situation {
            have: &have,
            size: Some(SIZE),
            head: None,
            waiting: &[60 * SEGMENT],
            readers: 2,
            read: true,
            last: 0,
            all: false,
        };
        assert_eq!(next(&now), Step::Fetch { from: 60 * SEGMENT, to: Some(60 * SEGMENT + TURN) });
        assert_eq!(next(&Situation { readers: 1, ..now }), Step::Fetch { from: 60 * SEGMENT, to: None });
        let on = Situation { waiting: &[], readers: 1, last: 30 * SEGMENT, ..now };
        assert_eq!(next(&on), Step::Fetch { from: 30 * SEGMENT, to: None });
    }

    #[test]
    fn without_readers_an_unpinned_object_rests() {
        let have = Spans::default();
        assert_eq!(at(&have, Some((5, 5)), &[], false, false), Step::Rest);
        assert_eq!(at(&have, None, &[], false, false), Step::Rest);
        assert_eq!(at(&have, Some((5, 5)), &[], true, false), Step::GoOn);
    }

    #[test]
    fn an_origin_without_ranges_is_read_through() {
        let mut have = Spans::default();
        have.add(0, 10 * SEGMENT);
        let head = Some(Head { at: SEGMENT, brought: SEGMENT, movable: false });
        let now = Situation {
            have: &have,
            size: Some(SIZE),
            head,
            waiting: &[90 * SEGMENT],
            readers: 1,
            read: true,
            last: 0,
            all: false,
        };
        assert_eq!(next(&now), Step::GoOn);
        assert_eq!(next(&Situation { waiting: &[], readers: 0, read: false, ..now }), Step::Rest);
    }

    #[test]
    fn an_empty_object_is_done_and_an_unknown_size_is_asked_for() {
        let have = Spans::default();
        let now = Situation {
            have: &have,
            size: Some(0),
            head: None,
            waiting: &[0],
            readers: 1,
            read: true,
            last: 0,
            all: true,
        };
        assert_eq!(next(&now), Step::Done);
        assert_eq!(next(&Situation { size: None, ..now }), Step::Fetch { from: 0, to: None });
    }

    #[test]
    fn pauses_grow_and_stay_short() {
        assert_eq!((pause_ms(0), pause_ms(1), pause_ms(9), pause_ms(u32::MAX)), (250, 500, 5000, 5000));
    }
}
