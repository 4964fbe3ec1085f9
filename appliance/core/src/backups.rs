//! Which backup is the newest and which ones go, by the times at which they were made, also when the box's clock was once
//! wrong (R-DATA-5).

use classroom_protocol::Millis;

/// What is dated further ahead of now was made while the clock was wrong: a day more than any time zone can differ.
const AHEAD: Millis = 86_400_000;

/// Whether a backup is dated so far ahead of `now` that its time says nothing.
pub fn is_ahead(made: Millis, now: Millis) -> bool {
    made > now.saturating_add(AHEAD)
}

/// The newest of those that are not ahead.
pub fn newest(made: &[Millis], now: Millis) -> Option<Millis> {
    made.iter().copied().filter(|at| !is_ahead(*at, now)).max()
}

/// The one to bring back when nobody names one: the newest. When all are ahead the clock of now is the wrong one, as on a
/// new box before it has asked for the time, and their order counts.
pub fn to_restore(made: &[Millis], now: Millis) -> Option<Millis> {
    newest(made, now).or_else(|| made.iter().copied().max())
}

/// Those that go so that `keep` are left, at least the one that was made `now`: first those that are ahead, then the
/// oldest. Of those ahead the oldest go first too: if it is now that the clock is wrong, they are good.
pub fn surplus(made: &[Millis], now: Millis, keep: usize) -> Vec<Millis> {
    let mut others: Vec<Millis> = made.iter().copied().filter(|at| *at != now).collect();
    others.sort_by_key(|at| (!is_ahead(*at, now), *at));
    others.truncate(made.len().saturating_sub(keep.max(1)));
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = AHEAD;
    const NOW: Millis = 20_000 * DAY;

    #[test]
    fn with_a_right_clock_the_oldest_go() {
        let made = [NOW - 2 * DAY, NOW, NOW - DAY, NOW - 3 * DAY];
        assert_eq!(surplus(&made, NOW, 2), [NOW - 3 * DAY, NOW - 2 * DAY]);
        assert!(surplus(&made, NOW, 4).is_empty() && surplus(&made, NOW, 14).is_empty());
        assert_eq!((newest(&made, NOW), to_restore(&made, NOW)), (Some(NOW), Some(NOW)));
        assert_eq!((newest(&[], NOW), to_restore(&[], NOW)), (None, None));
    }

    #[test]
    fn what_was_just_made_stays_and_what_is_dated_ahead_goes_first() {
        let year = 365 * DAY;
        let mut made: Vec<Millis> = (0..14).map(|n| NOW + year + n * DAY).collect();
        made.extend([NOW - DAY, NOW]);
        assert_eq!(surplus(&made, NOW, 14), [NOW + year, NOW + year + DAY]);
        assert_eq!(surplus(&made, NOW, 2).len(), 14, "all that are ahead");
        for keep in [0, 1] {
            let gone = surplus(&made, NOW, keep);
            assert!(gone.len() == 15 && !gone.contains(&NOW), "keep {keep}");
        }
        assert_eq!((newest(&made, NOW), to_restore(&made, NOW)), (Some(NOW), Some(NOW)));
    }

    #[test]
    fn a_few_hours_ahead_is_no_wrong_clock() {
        let made = [NOW - DAY, NOW + 14 * 3_600_000];
        assert_eq!(newest(&made, NOW), Some(made[1]));
        assert!(!is_ahead(NOW + DAY, NOW) && is_ahead(NOW + DAY + 1, NOW) && !is_ahead(Millis::MAX, Millis::MAX));
    }

    #[test]
    fn a_clock_that_is_behind_now_costs_no_more_than_a_right_one() {
        // Made in 1970 by a clock that lost the time, beside fourteen good ones.
        let (now, good) = (5, (0..14).map(|n| NOW + n * DAY).collect::<Vec<_>>());
        let made: Vec<Millis> = good.iter().copied().chain([now]).collect();
        assert_eq!(surplus(&made, now, 14), [NOW], "the oldest good one, as on any day");
        assert_eq!(newest(&good, now), None);
        assert_eq!(to_restore(&good, now), good.last().copied());
    }
}
