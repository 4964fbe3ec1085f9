//! Devices: what is known of one, and what may be changed (R-POL-1, -2).

use std::collections::BTreeSet;

use classroom_protocol::{Millis, ProblemCode};
use serde::{Deserialize, Serialize};

use super::{Change, DeviceId, Mac, Register};

/// What a device is. Students' tablets are of four systems (004 附件3); the rest of the room's machines are `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// iPad.
    Ipad,
    /// Chromebook.
    Chromebook,
    /// Windows laptop or tablet.
    Windows,
    /// Android tablet.
    Android,
    /// A teacher's or the room's own machine: never lent, never counted.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ipad, Self::Chromebook, Self::Windows, Self::Android, Self::Other];

    /// The kind's name in files and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipad => "ipad",
            Self::Chromebook => "chromebook",
            Self::Windows => "windows",
            Self::Android => "android",
            Self::Other => "other",
        }
    }
}

/// Where a device is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Can be used and lent.
    Ready,
    /// Being repaired; not counted (R-USE-1).
    Repair,
    /// Lost or stolen: an alert when it shows up.
    Lost,
    /// Out of use; its data are kept with its loans.
    Retired,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Repair, Self::Lost, Self::Retired];

    /// The state's name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Repair => "repair",
            Self::Lost => "lost",
            Self::Retired => "retired",
        }
    }
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceFacts {
    /// Opaque code on its label: says nothing of its borrower (R-POL-1).
    pub code: String,
    /// What it is.
    pub kind: Kind,
    /// Address of its Wi-Fi card, if known.
    pub mac: Option<Mac>,
    /// The school's property number, if it has one.
    pub tag: Option<String>,
    /// Belongs to the spare pool: not counted in the figures (R-USE-1).
    pub spare: bool,
    /// Where it is in its life.
    pub state: State,
}

/// A device of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its number.
    pub id: DeviceId,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: DeviceFacts,
}

/// A new device, or new data of one that is there.
///
/// # Errors
/// `bad-input` with the field: another device has this `mac`, `tag` or `code`; `device-lent` with `state` when one that
/// is lent would go out of use; `not-found`.
pub fn put(
    register: &Register,
    device: Option<DeviceId>,
    facts: DeviceFacts,
    at: Millis,
) -> Result<Vec<Change>, (ProblemCode, &'static str)> {
    if let Some(id) = device {
        let known = register.devices.get(&id).ok_or((ProblemCode::NotFound, "device"))?;
        if register.loan_of_device(id).is_some() && matches!(facts.state, State::Retired) {
            return Err((ProblemCode::DeviceLent, "state"));
        }
        if known.facts == facts {
            return Ok(vec![]);
        }
    }
    for other in register.devices.values().filter(|other| Some(other.id) != device) {
        if facts.mac.is_some() && other.facts.mac == facts.mac {
            return Err((ProblemCode::BadInput, "mac"));
        }
        if facts.tag.is_some() && other.facts.tag == facts.tag {
            return Err((ProblemCode::BadInput, "tag"));
        }
        if other.facts.code == facts.code {
            return Err((ProblemCode::BadInput, "code"));
        }
    }
    Ok(vec![Change::PutDevice { device, facts, at }])
}

/// The first of `drawn` that no device has yet.
pub fn free_code(
    register: &Register,
    used: &BTreeSet<String>,
    drawn: &mut impl Iterator<Item = String>,
) -> Option<String> {
    let taken = |code: &String| used.contains(code) || register.devices.values().any(|d| d.facts.code == *code);
    drawn.find(|code| !code.is_empty() && !taken(code))
}
