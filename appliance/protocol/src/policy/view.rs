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
