//! The sums of one day for the student's page.

use std::collections::BTreeMap;

use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

use super::Use;
use crate::calendar::Day;

/// How long the device and its platforms were in use on one day of the school's calendar. Seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Today {
    day: Day,
    device: u64,
    platforms: BTreeMap<String, u64>,
}

impl Today {
    /// Nothing yet on the day in which `now` lies.
    pub fn new(now: Millis) -> Self {
        Self { day: Day::of(now), device: 0, platforms: BTreeMap::new() }
    }

    /// Adds a use, of which only the part within the day of `now` counts; with another day it begins anew.
    pub fn add(&mut self, one: &Use, now: Millis) {
        if self.day != Day::of(now) {
            *self = Self::new(now);
        }
        let until = one.at.saturating_add(Millis::from(one.seconds) * 1000).min(self.day.ends());
        let seconds = until.saturating_sub(one.at.max(self.day.begins())) / 1000;
        if seconds == 0 {
            return;
        }
        let sum = match &one.platform {
            None => &mut self.device,
            Some(platform) => self.platforms.entry(platform.clone()).or_default(),
        };
        *sum = sum.saturating_add(seconds);
    }

    /// The sums on the day of `now`, in seconds: the device as a whole (none), then the platforms. What was not used is not
    /// among them.
    pub fn sums(&self, now: Millis) -> Vec<(Option<&str>, u64)> {
        if self.day != Day::of(now) {
            return vec![];
        }
        let device = (self.device > 0).then_some((None, self.device));
        let platforms = self.platforms.iter().map(|(platform, seconds)| (Some(platform.as_str()), *seconds));
        device.into_iter().chain(platforms).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Monday 2026-11-23, 22:00 in Taipei.
    const LATE: Millis = 1_795_442_400_000;
    const HOUR: Millis = 3_600_000;

    fn adl(at: Millis, seconds: u32) -> Use {
        Use { platform: Some("adl".into()), at, seconds }
    }

    #[test]
    fn only_the_schools_day_counts_also_of_a_use_over_midnight() {
        let mut today = Today::new(LATE);
        today.add(&adl(LATE, 60), LATE);
        today.add(&Use { platform: None, ..adl(LATE, 90) }, LATE);
        assert_eq!(today.sums(LATE), [(None, 90), (Some("adl"), 60)]);
        let midnight = LATE + 2 * HOUR;
        assert_eq!(today.sums(midnight), [], "another day without a use so far");
        today.add(&adl(midnight - 100_000, 240), midnight + 140_000);
        assert_eq!(today.sums(midnight + 140_000), [(Some("adl"), 140)]);
        today.add(&adl(LATE, 60), midnight + 140_000);
        assert_eq!(today.sums(midnight + 140_000), [(Some("adl"), 140)], "yesterday's");
        let text = serde_json::to_string(&today).unwrap();
        assert_eq!(serde_json::from_str::<Today>(&text).unwrap(), today);
    }
}
