//! The event: when, who, where, in which lesson, what.

use std::fmt;

use classroom_protocol::{Millis, Seat};
use serde::{Deserialize, Serialize};

/// The longest id, number or name of a thing in an event, in characters.
const LONGEST: usize = 128;
/// The longest time that one event can tell of: a lesson that nobody ended over a long weekend. Seconds.
const MOST_SECONDS: u32 = 31 * 86_400;
/// The last moment that has a date of four digits (RFC 3339).
const LAST: Millis = 253_402_300_799_999;

/// Something that happened.
///
/// Two events that are equal in every field are one and count once: who delivers twice does no harm. So `at` must be
/// the moment itself, not rounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, on the clock of who saw it: the beginning of what takes time, for [`Fact::Left`] and
    /// [`Fact::LessonEnded`] the end.
    pub at: Millis,
    /// Who.
    pub who: Subject,
    /// Where. Default: at school.
    #[serde(default)]
    pub place: Place,
    /// Id of the lesson that it belongs to (UUID); none outside of lessons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesson: Option<String>,
    /// What.
    pub fact: Fact,
    /// The name of this event at a sender of its own that delivers at least once, e.g. `agent-7/1234`: events with the
    /// same origin are one, whatever else they say. None for what the hub sees itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// Who did it, as far as it is known. Names of people have no place here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subject {
    /// The student's number at the school (學號 of the register).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub student: Option<String>,
    /// The device's opaque code in the register (R-POL-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Id of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<i64>,
    /// The student's number in the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat: Option<Seat>,
    /// Id of the teacher's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staff: Option<i64>,
}

/// Where it happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On this room's network or paired with this box (在校).
    #[default]
    School,
    /// Anywhere else (在家).
    Home,
}

/// What happened. Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    /// A teacher began a lesson.
    LessonStarted {},
    /// A lesson ended.
    LessonEnded {
        /// How long it was.
        seconds: u32,
    },
    /// A student came into the lesson.
    Joined {},
    /// A student left the lesson, or the lesson ended.
    Left {
        /// How long the student was there.
        seconds: u32,
    },
    /// A student's or teacher's picture came on the panel (R-CAST-4).
    Shown {},
    /// A screen was shared and seen on the panel; told when it is over, `at` is its beginning.
    SharedScreen {
        /// How long it was seen.
        seconds: u32,
    },
    /// An item of the box's library was opened (R-CONT-1).
    Opened {
        /// The item's id in the library.
        item: String,
    },
    /// A learning platform was used in the foreground (R-USE-5), idle time cut off.
    Used {
        /// The platform's id in the list of platforms (R-USE-9), e.g. `adl`.
        platform: String,
        /// How long.
        seconds: u32,
    },
    /// A device was in use, whatever was used on it (R-USE-1): overlaps with [`Fact::Used`], never add the two.
    Active {
        /// How long.
        seconds: u32,
    },
    /// The policy refused something. The rule is kept, never the address.
    Blocked {
        /// The rule, e.g. `R-POL-3`.
        rule: String,
        /// The category, e.g. `game`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        /// So often in the minute that began with it.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
    },
    /// A student at home took part in the live lesson.
    AttendedLive {
        /// How long.
        seconds: u32,
    },
    /// A student raised the hand.
    RaisedHand {},
    /// A student spoke to the room.
    Spoke {
        /// How long.
        seconds: u32,
    },
    /// A student told that they came upon a bad site (R-POL-19). The address is not kept.
    ReportedSite {},
    /// An agent saw that something was done to it (R-POL-13). For people to judge.
    Tampered {
        /// What, e.g. `clock` or `stopped`.
        what: String,
    },
}

fn once() -> u32 {
    1
}

fn is_once(times: &u32) -> bool {
    *times == 1
}

/// The name of each [`Fact`], as it stands in the store and in the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words of `Fact`")]
pub enum Kind {
    LessonStarted,
    LessonEnded,
    Joined,
    Left,
    Shown,
    SharedScreen,
    Opened,
    Used,
    Active,
    Blocked,
    AttendedLive,
    RaisedHand,
    Spoke,
    ReportedSite,
    Tampered,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::LessonStarted,
        Self::LessonEnded,
        Self::Joined,
        Self::Left,
        Self::Shown,
        Self::SharedScreen,
        Self::Opened,
        Self::Used,
        Self::Active,
        Self::Blocked,
        Self::AttendedLive,
        Self::RaisedHand,
        Self::Spoke,
        Self::ReportedSite,
        Self::Tampered,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LessonStarted => "lesson-started",
            Self::LessonEnded => "lesson-ended",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Shown => "shown",
            Self::SharedScreen => "shared-screen",
            Self::Opened => "opened",
            Self::Used => "used",
            Self::Active => "active",
            Self::Blocked => "blocked",
            Self::AttendedLive => "attended-live",
            Self::RaisedHand => "raised-hand",
            Self::Spoke => "spoke",
            Self::ReportedSite => "reported-site",
            Self::Tampered => "tampered",
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Place {
    /// Its word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::School => "school",
            Self::Home => "home",
        }
    }

    /// The place with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::School, Self::Home].into_iter().find(|place| place.as_str() == word)
    }
}

impl Subject {
    /// The student of a seat in a class.
    pub fn seat(class: i64, seat: Seat) -> Self {
        Self { class: Some(class), seat: Some(seat), ..Self::default() }
    }

    /// A teacher in a class.
    pub fn staff(class: i64, staff: i64) -> Self {
        Self { class: Some(class), staff: Some(staff), ..Self::default() }
    }

    /// A device and, if it is lent out, its student.
    pub fn device(device: impl Into<String>, student: Option<String>) -> Self {
        Self { device: Some(device.into()), student, ..Self::default() }
    }
}

impl Fact {
    /// Its name.
    pub fn kind(&self) -> Kind {
        match self {
            Self::LessonStarted {} => Kind::LessonStarted,
            Self::LessonEnded { .. } => Kind::LessonEnded,
            Self::Joined {} => Kind::Joined,
            Self::Left { .. } => Kind::Left,
            Self::Shown {} => Kind::Shown,
            Self::SharedScreen { .. } => Kind::SharedScreen,
            Self::Opened { .. } => Kind::Opened,
            Self::Used { .. } => Kind::Used,
            Self::Active { .. } => Kind::Active,
            Self::Blocked { .. } => Kind::Blocked,
            Self::AttendedLive { .. } => Kind::AttendedLive,
            Self::RaisedHand {} => Kind::RaisedHand,
            Self::Spoke { .. } => Kind::Spoke,
            Self::ReportedSite {} => Kind::ReportedSite,
            Self::Tampered { .. } => Kind::Tampered,
        }
    }

    /// The fact whose columns these are: what [`Fact::kind`], [`Fact::platform`], [`Fact::seconds`], [`Fact::object`],
    /// [`Fact::category`] and [`Fact::times`] gave. `None` when something is missing.
    pub fn of(
        kind: Kind,
        platform: Option<String>,
        seconds: Option<u32>,
        object: Option<String>,
        category: Option<String>,
        times: Option<u32>,
    ) -> Option<Self> {
        Some(match kind {
            Kind::LessonStarted => Self::LessonStarted {},
            Kind::LessonEnded => Self::LessonEnded { seconds: seconds? },
            Kind::Joined => Self::Joined {},
            Kind::Left => Self::Left { seconds: seconds? },
            Kind::Shown => Self::Shown {},
            Kind::SharedScreen => Self::SharedScreen { seconds: seconds? },
            Kind::Opened => Self::Opened { item: object? },
            Kind::Used => Self::Used { platform: platform?, seconds: seconds? },
            Kind::Active => Self::Active { seconds: seconds? },
            Kind::Blocked => Self::Blocked { rule: object?, category, times: times.unwrap_or(1) },
            Kind::AttendedLive => Self::AttendedLive { seconds: seconds? },
            Kind::RaisedHand => Self::RaisedHand {},
            Kind::Spoke => Self::Spoke { seconds: seconds? },
            Kind::ReportedSite => Self::ReportedSite {},
            Kind::Tampered => Self::Tampered { what: object? },
        })
    }

    /// How long it took, where that is told.
    pub fn seconds(&self) -> Option<u32> {
        match self {
            Self::LessonEnded { seconds }
            | Self::Left { seconds }
            | Self::SharedScreen { seconds }
            | Self::Used { seconds, .. }
            | Self::Active { seconds }
            | Self::AttendedLive { seconds }
            | Self::Spoke { seconds } => Some(*seconds),
            _ => None,
        }
    }

    /// The platform's id.
    pub fn platform(&self) -> Option<&str> {
        if let Self::Used { platform, .. } = self { Some(platform) } else { None }
    }

    /// What it was done with: the library's item, the rule, what was tampered with.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Opened { item: object } | Self::Blocked { rule: object, .. } | Self::Tampered { what: object } => {
                Some(object)
            }
            _ => None,
        }
    }

    /// How often, where one event tells of several times.
    pub fn times(&self) -> Option<u32> {
        if let Self::Blocked { times, .. } = self { Some(*times).filter(|times| *times != 1) } else { None }
    }

    /// The category of what was refused.
    pub fn category(&self) -> Option<&str> {
        if let Self::Blocked { category, .. } = self { category.as_deref() } else { None }
    }
}

impl Event {
    /// Whole seconds from `from` to `to`; none when the clock was set back between the two.
    pub fn lasted(from: Millis, to: Millis) -> u32 {
        u32::try_from(to.saturating_sub(from) / 1000).map_or(MOST_SECONDS, |seconds| seconds.min(MOST_SECONDS))
    }

    /// Whether every field has its form. What comes from outside is checked before it is kept.
    ///
    /// # Errors
    /// The first field that has not.
    pub fn check(&self) -> Result<(), BadEvent> {
        let free = |field, text: Option<&str>| match text {
            Some(text) if !(1..=LONGEST).contains(&text.chars().count()) || text.chars().any(char::is_control) => {
                Err(BadEvent { field, must: "be 1 to 128 characters without control characters" })
            }
            _ => Ok(()),
        };
        // An address does not fit into a word: nothing of it can be kept by mistake.
        let word = |field, text: Option<&str>| match text {
            Some(text)
                if !(1..=64).contains(&text.len())
                    || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') =>
            {
                Err(BadEvent { field, must: "be 1 to 64 letters, digits, hyphens and dots" })
            }
            _ => Ok(()),
        };
        if self.at > LAST {
            return Err(BadEvent { field: "at", must: "be before the year 10000" });
        }
        free("who.student", self.who.student.as_deref())?;
        free("who.device", self.who.device.as_deref())?;
        free("lesson", self.lesson.as_deref())?;
        free("origin", self.origin.as_deref())?;
        match &self.fact {
            Fact::Opened { item } => free("fact.item", Some(item))?,
            Fact::Used { platform, .. } => word("fact.platform", Some(platform))?,
            Fact::Blocked { times: 0, .. } => {
                return Err(BadEvent { field: "fact.times", must: "be at least 1" });
            }
            Fact::Blocked { rule, category, .. } => {
                word("fact.rule", Some(rule))?;
                word("fact.category", category.as_deref())?;
            }
            Fact::Tampered { what } => word("fact.what", Some(what))?,
            _ => {}
        }
        if self.fact.seconds().is_some_and(|seconds| seconds > MOST_SECONDS) {
            return Err(BadEvent { field: "fact.seconds", must: "be at most 31 days" });
        }
        Ok(())
    }

    /// What makes this event this one, in one line: the name from which its id is made. Equal for equal events and for
    /// events of one origin, different otherwise.
    pub fn identity(&self) -> String {
        if let Some(origin) = &self.origin {
            return format!("origin\n{origin}");
        }
        // No field can hold a line break, so no two events run together.
        let who = &self.who;
        let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
        [
            "event".to_owned(),
            self.at.to_string(),
            self.fact.kind().as_str().to_owned(),
            who.student.clone().unwrap_or_default(),
            who.device.clone().unwrap_or_default(),
            number(who.class),
            number(who.seat.map(|seat| i64::from(seat.number()))),
            number(who.staff),
            self.place.as_str().to_owned(),
            self.lesson.clone().unwrap_or_default(),
            self.fact.platform().unwrap_or_default().to_owned(),
            self.fact.object().unwrap_or_default().to_owned(),
            self.fact.category().unwrap_or_default().to_owned(),
            // What is told once has the same name as when only that could be told.
            self.fact
                .times()
                .map_or_else(|| number(self.fact.seconds().map(i64::from)), |times| format!("times {times}")),
        ]
        .join("\n")
    }
}

/// A field of an event that can't be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadEvent {
    /// Which, with its path.
    pub field: &'static str,
    /// What it must be.
    pub must: &'static str,
}

impl fmt::Display for BadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must {}", self.field, self.must)
    }
}

impl std::error::Error for BadEvent {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(fact: Fact) -> Event {
        let who = Subject::seat(3, Seat::try_from(7).unwrap());
        Event { at: 1_790_000_000_000, who, place: Place::School, lesson: Some("l-1".into()), fact, origin: None }
    }

    #[test]
    fn words_and_json_agree() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(Kind::parse("nonsense"), None);
        let used = event(Fact::Used { platform: "adl".into(), seconds: 60 });
        let json = serde_json::to_value(&used).unwrap();
        assert_eq!(json["fact"], serde_json::json!({ "kind": "used", "platform": "adl", "seconds": 60 }));
        assert_eq!(serde_json::from_value::<Event>(json.clone()).unwrap(), used);
        let mut more = json;
        more["fact"]["address"] = "https://x.example/".into();
        assert!(serde_json::from_value::<Event>(more).is_err(), "an unknown field is refused");
    }

    #[test]
    fn an_address_does_not_fit_into_a_refusal() {
        for address in ["https://game.example/x", "a b", "", "x\ny", "路徑"] {
            let blocked = Fact::Blocked { rule: "R-POL-3".into(), category: Some(address.into()), times: 1 };
            assert_eq!(event(blocked).check().unwrap_err().field, "fact.category", "{address}");
        }
        let blocked = |times| event(Fact::Blocked { rule: "R-POL-3".into(), category: Some("game".into()), times });
        blocked(1).check().unwrap();
        assert_eq!(blocked(0).check().unwrap_err().field, "fact.times");
        assert_ne!(blocked(1).identity(), blocked(2).identity());
        assert_eq!(serde_json::to_value(blocked(1)).unwrap()["fact"].get("times"), None);
        let json = serde_json::to_string(&blocked(7)).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), blocked(7));
    }

    #[test]
    fn a_field_without_its_form_is_named() {
        let long = "九".repeat(129);
        for (change, field) in [
            ((|e, l| e.who.student = Some(l)) as fn(&mut Event, String), "who.student"),
            (|e, l| e.who.device = Some(l), "who.device"),
            (|e, l| e.lesson = Some(l), "lesson"),
            (|e, l| e.origin = Some(l), "origin"),
            (|e, l| e.fact = Fact::Opened { item: l }, "fact.item"),
            (|e, _| e.fact = Fact::Active { seconds: u32::MAX }, "fact.seconds"),
            (|e, _| e.at = u64::MAX, "at"),
        ] {
            let mut wrong = event(Fact::Joined {});
            change(&mut wrong, long.clone());
            assert_eq!(wrong.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn equal_events_are_one_and_every_field_tells_apart() {
        let one = event(Fact::Used { platform: "adl".into(), seconds: 60 });
        let changes: [fn(&mut Event); 11] = [
            |_| {},
            |e| e.at += 1,
            |e| e.who.student = Some("1".into()),
            |e| e.who.device = Some("1".into()),
            |e| e.who.class = Some(4),
            |e| e.who.seat = None,
            |e| e.who.staff = Some(7),
            |e| e.place = Place::Home,
            |e| e.lesson = None,
            |e| e.fact = Fact::Used { platform: "adm".into(), seconds: 60 },
            |e| e.fact = Fact::Used { platform: "adl".into(), seconds: 61 },
        ];
        let names: std::collections::BTreeSet<String> = changes
            .iter()
            .map(|change| {
                let mut event = one.clone();
                change(&mut event);
                event.identity()
            })
            .collect();
        assert_eq!(names.len(), changes.len());
        assert_eq!(one.identity(), one.clone().identity());
        let delivered = |at| Event { at, origin: Some("agent-7/1".into()), ..one.clone() };
        assert_eq!(delivered(1).identity(), delivered(2).identity(), "an origin is the identity");
    }

    #[test]
    fn a_clock_set_back_makes_no_endless_lesson() {
        assert_eq!(Event::lasted(10_000, 70_999), 60);
        assert_eq!(Event::lasted(70_000, 10_000), 0);
        assert_eq!(Event::lasted(0, u64::MAX), MOST_SECONDS);
    }
}
