//! Names of things that more than one program uses.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A seat of the class, 1 to 99. The largest class of a school is served with one number to spare (R-CAST-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schema(value_type = u8)]
pub struct Seat(u8);

impl Seat {
    /// The highest seat number.
    pub const MAX: u8 = 99;

    /// The seat's number, 1 to 99.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The media source of the student on this seat.
    pub fn source(self) -> SourceId {
        SourceId(format!("seat-{:02}", self.0))
    }

    /// The voice of the student of this seat when they are at home.
    pub fn home_source(self) -> SourceId {
        SourceId(format!("home-{:02}", self.0))
    }
}

impl TryFrom<u8> for Seat {
    type Error = BadId;
    fn try_from(n: u8) -> Result<Self, BadId> {
        if (1..=Self::MAX).contains(&n) { Ok(Self(n)) } else { Err(BadId::Seat) }
    }
}

impl From<Seat> for u8 {
    fn from(seat: Seat) -> u8 {
        seat.0
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where pictures come from: `seat-07`, `teacher`, `ext-3`. Lower-case letters, digits and `-`, 1 to 32 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9-]{1,32}$")]
pub struct SourceId(String);

impl SourceId {
    /// The teacher's own screen.
    pub fn teacher() -> Self {
        Self("teacher".into())
    }

    /// The room itself: its camera and its microphone, as `studio` publishes them.
    pub fn room() -> Self {
        Self("room".into())
    }

    /// What students at home are given: one name behind which the hub switches pictures and sound (R-LIVE-1).
    pub fn program() -> Self {
        Self("program".into())
    }

    /// The seat whose student speaks from home by this source, if it is one of those.
    pub fn home_seat(&self) -> Option<Seat> {
        self.0.strip_prefix("home-")?.parse::<u8>().ok()?.try_into().ok()
    }

    /// The seat whose student publishes this source, if it is a student's.
    pub fn seat(&self) -> Option<Seat> {
        self.0.strip_prefix("seat-")?.parse::<u8>().ok()?.try_into().ok()
    }

    /// The name as it stands in addresses.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceId {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        let fits =
            (1..=32).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(s.into())) } else { Err(BadId::Source) }
    }
}

impl TryFrom<String> for SourceId {
    type Error = BadId;
    fn try_from(s: String) -> Result<Self, BadId> {
        s.parse()
    }
}

impl From<SourceId> for String {
    fn from(id: SourceId) -> String {
        id.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that does not have the required form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadId {
    /// A seat is a number from 1 to 99.
    Seat,
    /// A source is 1 to 32 lower-case letters, digits and hyphens.
    Source,
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seat => "a seat is a number from 1 to 99",
            Self::Source => "a source is 1 to 32 lower-case letters, digits and hyphens",
        })
    }
}

impl std::error::Error for BadId {}
