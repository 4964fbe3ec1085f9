//! Rates whose unknown part stays visible: what the box could not see is unknown, never zero.

use serde::Serialize;

/// Hundredths of a percent: 10 000 is all.
pub type Share = u32;

/// All of it.
pub const WHOLE: Share = 10_000;

/// How one device did in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Reached the days.
    Used,
    /// Did not reach them, whatever the box may have missed.
    Unused,
    /// The box did not see enough to say.
    Unknown,
}

/// How many devices were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Devices that were used.
    pub used: u32,
    /// Devices that were not.
    pub unused: u32,
    /// Devices of which it can't be said.
    pub unknown: u32,
}

/// A share as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Figure {
    /// Exactly this.
    Known {
        /// In hundredths of a percent.
        share: Share,
    },
    /// Somewhere here: devices that the box could not see make the difference.
    Between {
        /// If none of the unseen was used.
        least: Share,
        /// If all of them were.
        most: Share,
    },
    /// Nothing can be said.
    Unknown {
        /// Why.
        why: Why,
    },
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// No device counts in the period.
    NoDevices,
    /// There are devices, and the box has seen nothing of them.
    NothingSeen,
    /// No teaching week or month to take a mean of.
    NoPeriods,
}

impl Rate {
    /// The rate of these devices.
    pub fn of(devices: impl IntoIterator<Item = Use>) -> Self {
        devices.into_iter().fold(Self::default(), |mut rate, device| {
            match device {
                Use::Used => rate.used += 1,
                Use::Unused => rate.unused += 1,
                Use::Unknown => rate.unknown += 1,
            }
            rate
        })
    }

    /// Devices that count.
    pub fn counted(&self) -> u32 {
        self.used + self.unused + self.unknown
    }

    /// The share of the used ones, as far as it is known.
    pub fn figure(&self) -> Figure {
        let counted = u64::from(self.counted());
        let share = |part: u32| Share::try_from(u64::from(part) * u64::from(WHOLE) / counted.max(1)).unwrap_or(WHOLE);
        if counted == 0 {
            Figure::Unknown { why: Why::NoDevices }
        } else if self.unknown == self.counted() {
            Figure::Unknown { why: Why::NothingSeen }
        } else if self.unknown == 0 {
            Figure::Known { share: share(self.used) }
        } else {
            Figure::Between { least: share(self.used), most: share(self.used + self.unknown) }
        }
    }
}

impl Figure {
    /// Lower and upper bound; of an unknown one, nothing and all.
    pub fn bounds(&self) -> (Share, Share) {
        match *self {
            Self::Known { share } => (share, share),
            Self::Between { least, most } => (least, most),
            Self::Unknown { .. } => (0, WHOLE),
        }
    }

    /// The mean of several periods. Periods without devices are left out.
    pub fn mean(figures: impl IntoIterator<Item = Self>) -> Self {
        let figures: Vec<Self> = figures.into_iter().collect();
        let some = |figure: &&Self| !matches!(figure, Self::Unknown { why: Why::NoDevices });
        let counted: Vec<&Self> = figures.iter().filter(some).collect();
        if counted.is_empty() {
            return Self::Unknown { why: if figures.is_empty() { Why::NoPeriods } else { Why::NoDevices } };
        }
        if counted.iter().all(|figure| matches!(figure, Self::Unknown { .. })) {
            return Self::Unknown { why: Why::NothingSeen };
        }
        let number = u64::try_from(counted.len()).unwrap_or(u64::MAX);
        let mean = |sum: u64| Share::try_from(sum / number).unwrap_or(WHOLE);
        let least = mean(counted.iter().map(|figure| u64::from(figure.bounds().0)).sum());
        let most = mean(counted.iter().map(|figure| u64::from(figure.bounds().1)).sum());
        if counted.iter().all(|figure| matches!(figure, Self::Known { .. })) {
            Self::Known { share: least }
        } else {
            Self::Between { least, most }
        }
    }

    /// Whether a gate is reached; `None` when the unseen devices decide it.
    pub fn reaches(&self, gate: Share) -> Option<bool> {
        match (self, self.bounds()) {
            (Self::Unknown { .. }, _) => None,
            (_, (least, _)) if least >= gate => Some(true),
            (_, (_, most)) if most < gate => Some(false),
            _ => None,
        }
    }

    /// The points of the self-assessment for 月平均使用率 (R-USE-1); `None` when the unseen devices decide it.
    pub fn points(&self) -> Option<u32> {
        let (least, most) = self.bounds();
        let known = !matches!(self, Self::Unknown { .. }) && points(least) == points(most);
        known.then(|| points(least))
    }
}

/// The bands of the plan's self-assessment (自評表, item 1).
fn points(share: Share) -> u32 {
    match share {
        WHOLE.. => 5,
        9_800.. => 4,
        9_500.. => 3,
        9_200.. => 2,
        9_000.. => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(used: u32, unused: u32, unknown: u32) -> Figure {
        Rate { used, unused, unknown }.figure()
    }

    #[test]
    fn a_gate_is_never_reached_by_rounding() {
        let figure = rate(89_999, 10_001, 0);
        assert_eq!(figure, Figure::Known { share: 8_999 });
        assert_eq!((figure.reaches(9_000), figure.points()), (Some(false), Some(0)));
        assert_eq!(rate(9, 1, 0).reaches(9_000), Some(true));
    }

    #[test]
    fn bands_are_those_of_the_plan() {
        let points = |used| rate(used, 1_000 - used, 0).points();
        for (used, expected) in [
            (1_000, 5),
            (999, 4),
            (980, 4),
            (979, 3),
            (950, 3),
            (949, 2),
            (920, 2),
            (919, 1),
            (900, 1),
            (899, 0),
            (0, 0),
        ] {
            assert_eq!(points(used), Some(expected), "{used}");
        }
    }

    #[test]
    fn the_unseen_is_unknown_and_not_zero() {
        assert_eq!(rate(0, 0, 0), Figure::Unknown { why: Why::NoDevices });
        assert_eq!(rate(0, 0, 7), Figure::Unknown { why: Why::NothingSeen });
        assert_eq!(rate(0, 7, 0), Figure::Known { share: 0 });
        assert_eq!(rate(36, 2, 2), Figure::Between { least: 9_000, most: 9_500 });
        assert_eq!(rate(36, 2, 2).reaches(9_000), Some(true));
        assert_eq!(rate(36, 2, 2).reaches(9_200), None);
        assert_eq!(rate(36, 2, 2).points(), None);
        assert_eq!(rate(0, 0, 7).points(), None);
    }

    #[test]
    fn a_mean_leaves_out_what_had_no_devices_and_keeps_what_was_not_seen() {
        let known = |share| Figure::Known { share };
        assert_eq!(Figure::mean([known(10_000), known(9_001)]), known(9_500));
        assert_eq!(Figure::mean([known(9_000), rate(0, 0, 0)]), known(9_000));
        assert_eq!(Figure::mean([known(9_000), rate(0, 0, 3)]), Figure::Between { least: 4_500, most: 9_500 });
        assert_eq!(Figure::mean([rate(0, 0, 3)]), Figure::Unknown { why: Why::NothingSeen });
        assert_eq!(Figure::mean([]), Figure::Unknown { why: Why::NoPeriods });
        assert_eq!(Figure::mean([rate(0, 0, 0)]), Figure::Unknown { why: Why::NoDevices });
    }
}
