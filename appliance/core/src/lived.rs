//! How long ago a line of a record was written, as far as the order of the lines proves it (R-POL-20): their own times
//! are those of a clock that may have been wrong.

use classroom_protocol::Millis;

/// A step of the clock up to this is time that has passed: a night, a weekend, a few days off. A longer one is as likely
/// a clock that was set and proves nothing, so a record is kept longer by the long holidays.
const STEP: Millis = 5 * 86_400_000;

/// A line's number, which grows, and what the clock said when it was written, in that order.
pub type Line = (i64, Millis);

/// A clock that goes on.
struct Clock {
    /// How far it has come.
    at: Millis,
    /// How long the record had lived then.
    lived: Millis,
    /// How many lines had been written then.
    lines: usize,
}

/// How long the record has lived, line by line.
#[derive(Default)]
struct Lived {
    clocks: Vec<Clock>,
    so_far: Millis,
    /// At each line, at the latest.
    at_line: Vec<Millis>,
}

impl Lived {
    fn tick(&mut self, at: Millis) {
        let near = self.clocks.iter_mut().filter(|clock| at.abs_diff(clock.at) <= STEP).max_by_key(|clock| clock.at);
        match near {
            Some(clock) if at > clock.at => {
                // Two clocks that took turns tell of the same time: it counts once.
                self.so_far = self.so_far.max(clock.lived + (at - clock.at));
                // What another clock has dated meanwhile may have been written just now.
                let meanwhile = self.at_line.iter_mut().skip(clock.lines);
                meanwhile.for_each(|line| *line = self.so_far);
                *clock = Clock { at, lived: self.so_far, lines: self.at_line.len() };
            }
            Some(_) => {}
            None => self.clocks.push(Clock { at, lived: self.so_far, lines: self.at_line.len() }),
        }
    }
}

/// The number up to which lines were written more than `age` ago; none when no line was. `lines` are some of the record's,
/// in its order; `now` is the clock's. What the clock jumps over counts for nothing, ahead or back; a clock that loses
/// the time at each start and finds it again goes on where it was.
pub fn older_than(lines: &[Line], age: Millis, now: Millis) -> Option<i64> {
    let mut lived = Lived::default();
    for (_, at) in lines {
        lived.tick(*at);
        lived.at_line.push(lived.so_far);
        // The line itself is dated by this clock.
        let count = lived.at_line.len();
        lived.clocks.iter_mut().filter(|clock| clock.at == *at).for_each(|clock| clock.lines = count);
    }
    lived.tick(now);
    let old = lines.iter().zip(&lived.at_line).rev().find(|(_, then)| lived.so_far - **then > age);
    old.map(|((number, _), _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = 86_400_000;
    const HOUR: Millis = 3_600_000;
    const AGE: Millis = 190 * DAY;
    /// The first day, by a right clock.
    const FIRST: Millis = 20_000 * DAY;
    /// What the clock of a box says that has lost the time.
    const LOST: Millis = 10_000 * DAY;

    /// A line on each of these days, at nine, numbered by the day.
    fn days(days: impl IntoIterator<Item = u64>) -> Vec<Line> {
        days.into_iter().map(|day| (i64::try_from(day).unwrap_or(0), FIRST + day * DAY + 9 * HOUR)).collect()
    }

    fn end_of(day: u64) -> Millis {
        FIRST + day * DAY + 17 * HOUR
    }

    #[test]
    fn with_a_right_clock_a_line_goes_when_it_is_old() {
        let weekdays = || days((0..300).filter(|day| day % 7 < 5));
        assert_eq!(older_than(&weekdays(), AGE, end_of(299)), Some(109));
        assert_eq!(older_than(&days(0..190), AGE, end_of(189)), None);
        assert_eq!(older_than(&days(0..190), AGE, end_of(190)), Some(0));
        assert_eq!(older_than(&[], AGE, end_of(0)), None);
    }

    #[test]
    fn lines_that_a_lost_clock_has_dated_far_back_stay_as_long_as_others() {
        // The first lines of all, then the time was found: nothing young stands before them.
        let mut lines = vec![(-2, LOST), (-1, LOST + HOUR)];
        lines.extend(days(0..1));
        assert_eq!(older_than(&lines, AGE, end_of(0)), None);
        lines.extend(days(1..195));
        assert_eq!(older_than(&lines[..192], AGE, end_of(189)), None);
        assert_eq!(older_than(&lines, AGE, end_of(194)), Some(4));
        // And amid others.
        let mut lines = days(0..100);
        lines.extend([(1000, LOST), (1001, LOST + HOUR)]);
        assert_eq!(older_than(&lines, AGE, end_of(99)), None);
    }

    #[test]
    fn lines_dated_ahead_go_with_those_around_them() {
        let year = 365 * DAY;
        let mut lines = days(0..10);
        lines.extend((10..20).map(|day| (day, FIRST + year + u64::try_from(day).unwrap_or(0) * DAY)));
        lines.extend(days(20..215));
        assert_eq!(older_than(&lines[..20], AGE, FIRST + year + 20 * DAY), None, "a jump ahead makes nothing old");
        assert_eq!(older_than(&lines, AGE, end_of(214)), Some(24));
        let still = older_than(&lines[..206], AGE, end_of(205));
        assert!(still.is_some_and(|number| (10..=15).contains(&number)), "{still:?}");
    }

    #[test]
    fn a_clock_that_is_lost_at_each_start_does_not_keep_lines_for_ever() {
        let mut lines = Vec::new();
        for (number, at) in days(0..200) {
            lines.extend([(2 * number, LOST + 60_000), (2 * number + 1, at)]);
        }
        assert_eq!(older_than(&lines, AGE, end_of(199)), Some(19), "the tenth day's");
        // Four days without the time, again and again, are counted once.
        let weeks = (0..27).flat_map(|week| {
            let lost = (0..4).map(move |day| LOST + week * 7 * DAY + day * DAY);
            let found = (4..7).map(move |day| FIRST + week * 7 * DAY + day * DAY);
            lost.chain(found)
        });
        let weeks: Vec<Line> = (0..).zip(weeks).collect();
        assert_eq!(older_than(&weeks, AGE, FIRST + 27 * 7 * DAY), None, "189 days");
    }

    #[test]
    fn holidays_count_for_nothing_and_end() {
        let mut lines = days(0..100);
        lines.extend(days(160..260));
        assert_eq!(older_than(&lines, AGE, end_of(259)), Some(8), "kept by the sixty days longer");
        assert_eq!(older_than(&lines, AGE, end_of(400)), Some(7), "of the days since nothing is known");
    }
}
