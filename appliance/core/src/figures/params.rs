//! The numbers of the counting rules. They are versioned and printed beside every figure (R-USE-1).

use serde::{Deserialize, Serialize};

/// When a device counts as used in a period: active for at least `minutes` on at least `days` days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counting {
    /// m: minutes of a day; 1 to 1440.
    pub minutes: u32,
    /// k: days of the period; at least 1.
    pub days: u32,
}

/// The same figure by the plain and by the strict rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Views<T> {
    /// By the rule that the school reports by.
    pub plain: T,
    /// By the strict rule, always shown beside it.
    pub strict: T,
}

impl<T> Views<T> {
    /// Both views made by the same function of their counting rule.
    pub fn each<U>(&self, mut make: impl FnMut(&T) -> U) -> Views<U> {
        Views { plain: make(&self.plain), strict: make(&self.strict) }
    }
}

/// All numbers of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Names this set of numbers; changes with any of them. 1 to 20 characters.
    pub version: String,
    /// For a month.
    pub month: Views<Counting>,
    /// For a week.
    pub week: Views<Counting>,
}

impl Default for Parameters {
    fn default() -> Self {
        let plain = Counting { minutes: 1, days: 1 };
        Self {
            version: "2026-1".into(),
            month: Views { plain, strict: Counting { minutes: 10, days: 4 } },
            week: Views { plain, strict: Counting { minutes: 10, days: 2 } },
        }
    }
}

impl Parameters {
    /// Says which number can't be used, as `field: reason`.
    ///
    /// # Errors
    /// The first wrong one, with the range that is allowed.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let length = self.version.chars().count();
        if !(1..=20).contains(&length) || self.version.chars().any(char::is_control) {
            return Err(("version", "write 1 to 20 characters"));
        }
        for (field, counting, most) in [
            ("month plain", self.month.plain, 28),
            ("month strict", self.month.strict, 28),
            ("week plain", self.week.plain, 7),
            ("week strict", self.week.strict, 7),
        ] {
            if !(1..=1440).contains(&counting.minutes) {
                return Err((field, "minutes must be 1 to 1440"));
            }
            if !(1..=most).contains(&counting.days) {
                return Err((field, "days must be 1 to 28 in a month, 1 to 7 in a week"));
            }
        }
        Ok(())
    }
}
