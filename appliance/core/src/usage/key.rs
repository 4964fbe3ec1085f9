//! Which key is the school's. Under it students have pseudonyms and events have ids: with another one everything that is
//! upstream already would count a second time, so the box asks before it delivers under another (R-DATA-2, R-USE-6).

/// What tells keys apart and gives none away.
pub type Fingerprint = [u8; 32];

/// What is to be made of the key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the school's.
    Good,
    /// It is the school's from now on: the store has to note its fingerprint.
    First,
    /// There is none and none was needed: a new one is made, and noted.
    Make,
    /// It is gone, and the store holds records under it: nothing is delivered until it is back.
    Gone,
    /// It is not the one under which the store holds records: nothing is delivered.
    Other,
}

impl Standing {
    /// Of the key in the file, when the store has noted `noted`; `records`: whether it holds any.
    pub fn of(file: Option<&Fingerprint>, noted: Option<&Fingerprint>, records: bool) -> Self {
        match (file, noted) {
            (Some(file), Some(noted)) if file == noted => Self::Good,
            (Some(_), Some(_)) if records => Self::Other,
            // A store of an earlier version has noted none.
            (Some(_), _) => Self::First,
            (None, _) if records => Self::Gone,
            (None, _) => Self::Make,
        }
    }

    /// Whether records may go upstream.
    pub fn delivers(self) -> bool {
        !matches!(self, Self::Gone | Self::Other)
    }

    /// The word for programs; `None` when all is well.
    pub fn trouble(self) -> Option<&'static str> {
        match self {
            Self::Gone => Some("key-gone"),
            Self::Other => Some("key-other"),
            Self::Good | Self::First | Self::Make => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_gone_or_another_one_stops_the_delivery_where_there_are_records() {
        let (ours, other) = ([1; 32], [2; 32]);
        for (file, noted, records, expected) in [
            (None, None, false, Standing::Make),
            (None, Some(&ours), false, Standing::Make),
            (None, None, true, Standing::Gone),
            (None, Some(&ours), true, Standing::Gone),
            (Some(&ours), None, true, Standing::First),
            (Some(&ours), None, false, Standing::First),
            (Some(&ours), Some(&ours), true, Standing::Good),
            (Some(&other), Some(&ours), true, Standing::Other),
            (Some(&other), Some(&ours), false, Standing::First),
        ] {
            assert_eq!(Standing::of(file, noted, records), expected, "{file:?} {noted:?} {records}");
            assert_eq!(expected.delivers(), expected.trouble().is_none());
        }
    }
}
