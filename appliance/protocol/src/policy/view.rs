//! What pages are told of the rules.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Decision, DeviceState, Names, Permit};
use crate::Millis;

/// What applies now to who asks (`GET /api/policy`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Which text of the school's rules this is.
    pub revision: String,
    /// The hub's clock.
    pub now: Millis,
    /// A lesson is running.
    pub lesson: bool,
    /// What the register says of the asker's device.
    pub device: DeviceState,
    /// What the teacher has opened for the lesson.
    pub permits: Vec<Permit>,
    /// Subject by subject.
    pub rows: Vec<PolicyRow>,
}

/// One subject of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyRow {
    /// What kind of subject.
    pub kind: PolicyKind,
    /// Its id: of a bundle, a category or an action; `web` for everything else.
    pub id: String,
    /// Its name, if the document names it.
    pub name: Option<Names>,
    /// What applies.
    pub decision: Decision,
    /// The clause of the ministry's annex 1 that it follows: what people can look up.
    pub clause: String,
    /// A teacher can open it for the lesson.
    pub switch: bool,
}

/// Kinds of subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Systems that are allowed by name.
    Bundle,
    /// What is refused by name.
    Category,
    /// Every other host.
    Web,
    /// Something that is done.
    Action,
}

/// Why a host opens or does not (`GET /api/policy/why`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// The host.
    pub host: String,
    /// What applies to who asks.
    pub decision: Decision,
    /// The clause of the ministry's annex 1 that it follows: what people can look up.
    pub clause: String,
}

/// Something that was refused to the asker's device (`GET /api/policy/mine`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// When.
    pub at: Millis,
    /// Which name.
    pub name: String,
    /// Why.
    pub decision: Decision,
}

/// One line of the school's record of network access (R-POL-6, R-POL-20).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessLine {
    /// When.
    pub at: Millis,
    /// The device's code in the register, if it was known.
    pub device: Option<String>,
    /// Its address.
    pub address: String,
    /// Id of the lesson.
    pub lesson: Option<String>,
    /// The name that was asked for.
    pub name: String,
    /// Whether it was allowed.
    pub allow: bool,
    /// The rule that decided.
    pub rule: String,
}

/// Whether what the school has put in the box's policy folder is what counts (`GET /api/policy/files`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyFiles {
    /// Which text of the school's rules is in use.
    pub revision: String,
    /// Why the document in `document.json` is not the one in use. None: it is, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused: Option<UnusedDocument>,
    /// The lists.
    pub lists: Vec<PolicyList>,
}

/// A document that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnusedDocument {
    /// What is wrong with it.
    pub reason: String,
    /// Which rules count instead.
    pub instead: Instead,
}

/// Which rules count when the school's document can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Instead {
    /// The school's last ones that were good.
    LastGood,
    /// Those that come with the box: none of the school's own were ever good.
    Standard,
}

/// A file among the lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// Its name.
    pub file: String,
    /// How many names of it count.
    pub names: usize,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<ListFault>,
    /// The names are those of the file before it was spoilt.
    #[serde(default)]
    pub last_good: bool,
}

/// What is wrong with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListFault {
    /// It names nothing.
    Empty,
    /// Most of its lines make no sense: an error page, or another form than its name says.
    Nonsense,
    /// It can't be read.
    Unreadable,
    /// The rules have no category of its name, so it closes nothing.
    NoCategory,
    /// Its name does not say which form it has: `.hosts`, `.domains` or `.adblock`.
    NoForm,
}

impl ListFault {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Empty, Self::Nonsense, Self::Unreadable, Self::NoCategory, Self::NoForm];

    /// The key of its words in the catalogue.
    pub fn key(self) -> &'static str {
        match self {
            Self::Empty => "policy.list.empty",
            Self::Nonsense => "policy.list.nonsense",
            Self::Unreadable => "policy.list.unreadable",
            Self::NoCategory => "policy.list.no-category",
            Self::NoForm => "policy.list.no-form",
        }
    }
}
