//! When the upstream may be talked to: always, at night, or on the first nights of a month (R-USE-6).

use classroom_protocol::Millis;

use crate::calendar;

/// The nights of a month in which a monthly delivery may go out; several, so that a dead line on the first costs nothing.
const NIGHTS: u8 = 5;

/// When to deliver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// As it happens.
    #[default]
    Always,
    /// In the hours of the night.
    Night,
    /// In the hours of the first five nights of each month.
    Month,
}

/// The hours in which statements are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Which days.
    pub when: When,
    /// Hour at which the night begins, 0 to 23, on the school's clock.
    pub from: u8,
    /// Hour at which it ends; a smaller one than `from` is on the next morning.
    pub to: u8,
}

impl Schedule {
    /// The first moment from `now` on at which statements may be sent: `now` itself when they may.
    pub fn opens(self, now: Millis) -> Millis {
        if self.when == When::Always || self.open(now) {
            return now;
        }
        // Hour by hour: a month has 744, and a window begins at a full hour.
        let hour = 3_600_000;
        let first = now - now % hour + hour;
        (0..=24 * 62).map(|n| first + n * hour).find(|at| self.open(*at)).unwrap_or(now)
    }

    fn open(self, at: Millis) -> bool {
        let (day, hour) = calendar::day_and_hour(at);
        let hours = if self.from <= self.to {
            (self.from..self.to).contains(&hour)
        } else {
            hour >= self.from || hour < self.to
        };
        // The morning after the fifth evening belongs to its night.
        let nights = day <= NIGHTS || (day == NIGHTS + 1 && self.from > self.to && hour < self.to);
        hours && (self.when == When::Night || nights)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NIGHT: Schedule = Schedule { when: When::Night, from: 22, to: 5 };

    fn at(day: &str, hour: u64) -> Millis {
        calendar::day(day).unwrap().begins() + hour * 3_600_000
    }

    fn opens(schedule: Schedule, now: Millis) -> String {
        calendar::local_time(schedule.opens(now))
    }

    #[test]
    fn always_is_now() {
        assert_eq!(Schedule::default().opens(7), 7);
    }

    #[test]
    fn nights_go_past_midnight() {
        assert_eq!(opens(NIGHT, at("2026-11-21", 14) + 1), "2026-11-21 22:00:00");
        for open in [at("2026-11-21", 22), at("2026-11-22", 0), at("2026-11-22", 5) - 1] {
            assert_eq!(NIGHT.opens(open), open);
        }
        assert_eq!(opens(NIGHT, at("2026-11-22", 5)), "2026-11-22 22:00:00");
        let noon = Schedule { from: 12, to: 13, ..NIGHT };
        assert_eq!(opens(noon, at("2026-11-22", 13)), "2026-11-23 12:00:00");
    }

    #[test]
    fn months_wait_for_their_first_nights() {
        let month = Schedule { when: When::Month, ..NIGHT };
        assert_eq!(opens(month, at("2026-11-21", 23)), "2026-12-01 00:00:00");
        assert_eq!(opens(month, at("2026-12-01", 5)), "2026-12-01 22:00:00");
        assert_eq!(opens(month, at("2026-12-06", 4)), "2026-12-06 04:00:00");
        assert_eq!(opens(month, at("2026-12-06", 5)), "2027-01-01 00:00:00");
    }
}
