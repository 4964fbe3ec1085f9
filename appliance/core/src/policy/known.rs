//! What the hub tells the resolver, in one piece: the document, the lesson, the devices by address. The resolver goes
//! on with the newest good one when the hub is gone.

use std::{collections::BTreeMap, net::IpAddr};

use classroom_protocol::{
    Millis,
    policy::{Consent, DeviceState, Document, Link, Permit, Place, Trouble},
};
use serde::{Deserialize, Serialize};

use super::{Context, LessonContext, Window};

/// Everything that a decision in this room needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Form of the snapshot; this program knows 1.
    pub schema: u32,
    /// When it was written.
    pub written_at: Millis,
    /// The box's own names, in lower case; they are answered with its addresses.
    pub names: Vec<String>,
    /// The box's addresses in the room: refused names lead here, so that people are told why.
    pub addresses: Vec<IpAddr>,
    /// The running lesson.
    pub lesson: Option<Lesson>,
    /// Whether the school keeps its devices in the register. While it has none there, none is unknown.
    pub register_in_use: bool,
    /// The devices that have an address now.
    pub devices: Vec<Known>,
    /// The rules.
    pub document: Document,
}

impl Snapshot {
    /// The form that this program knows.
    pub const SCHEMA: u32 = 1;
}

/// The running lesson, as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// Its id.
    pub id: String,
    /// The teacher has asked all to look up.
    pub attention: bool,
    /// What the teacher has opened for it.
    pub permits: Vec<Permit>,
}

/// A device of the register that is in the room now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Its opaque code (R-POL-1); no name and no student number.
    pub code: String,
    /// Its addresses in the room now.
    pub addresses: Vec<IpAddr>,
    /// What the register says of it.
    pub device: DeviceState,
    /// The consent of its student; none when the student is not known.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// Its network, if reported.
    #[serde(default)]
    pub link: Option<Link>,
    /// What was noticed.
    #[serde(default)]
    pub trouble: Vec<Trouble>,
    /// The guardian's hours; they count at home only.
    #[serde(default)]
    pub guardian: Vec<Window>,
    /// What the school has agreed to for it (R-POL-11).
    #[serde(default)]
    pub exceptions: Vec<Permit>,
}

/// The lesson and the devices, found by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    lesson: Option<Lesson>,
    register_in_use: bool,
    devices: Vec<Known>,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Surroundings {
    /// Of two devices with one address neither is known: nobody may borrow another's rights by its address.
    pub fn new(lesson: Option<Lesson>, register_in_use: bool, devices: Vec<Known>) -> Self {
        let mut by_address = BTreeMap::new();
        let mut twice = Vec::new();
        for (at, device) in devices.iter().enumerate() {
            for address in &device.addresses {
                if by_address.insert(address.to_canonical(), at).is_some_and(|before| before != at) {
                    twice.push(address.to_canonical());
                }
            }
        }
        by_address.retain(|address, _| !twice.contains(address));
        Self { lesson, register_in_use, devices, by_address }
    }

    /// The device with this address.
    pub fn device(&self, address: IpAddr) -> Option<&Known> {
        self.devices.get(*self.by_address.get(&address.to_canonical())?)
    }

    /// The running lesson.
    pub fn lesson(&self) -> Option<&Lesson> {
        self.lesson.as_ref()
    }

    fn lesson_context(&self) -> Option<LessonContext<'_>> {
        self.lesson.as_ref().map(|lesson| LessonContext { permits: &lesson.permits, attention: lesson.attention })
    }

    /// The situation of a device of the class without anything of its own.
    pub fn class(&self) -> Context<'_> {
        Context { lesson: self.lesson_context(), ..Context::class() }
    }

    /// The situation of whoever has this address in the room.
    pub fn context(&self, address: IpAddr) -> Context<'_> {
        let lesson = self.lesson_context();
        match self.device(address) {
            None => {
                let device = if self.register_in_use { DeviceState::Unknown } else { DeviceState::Shared };
                Context { lesson, device, ..Context::unknown(Place::School) }
            }
            Some(known) => Context {
                place: Place::School,
                lesson,
                device: known.device,
                consent: known.consent,
                link: known.link,
                trouble: &known.trouble,
                guardian: &known.guardian,
                exceptions: &known.exceptions,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(code: &str, addresses: &[[u8; 4]]) -> Known {
        Known {
            code: code.into(),
            addresses: addresses.iter().map(|address| IpAddr::from(*address)).collect(),
            device: DeviceState::Shared,
            consent: None,
            link: None,
            trouble: vec![],
            guardian: vec![],
            exceptions: vec![],
        }
    }

    #[test]
    fn a_device_is_found_by_each_of_its_addresses_and_never_by_a_disputed_one() {
        let all = vec![known("a", &[[10, 0, 0, 1], [10, 0, 0, 2]]), known("b", &[[10, 0, 0, 2], [10, 0, 0, 3]])];
        let around = Surroundings::new(None, true, all.clone());
        let code = |address: &str| around.device(address.parse().ok()?).map(|known| known.code.as_str());
        assert_eq!(code("10.0.0.1"), Some("a"));
        assert_eq!(code("::ffff:10.0.0.3"), Some("b"), "IPv4 in an IPv6 socket");
        assert_eq!(code("10.0.0.2"), None);
        let disputed = IpAddr::from([10, 0, 0, 2]);
        assert_eq!(around.context(disputed).device, DeviceState::Unknown);
        assert_eq!(Surroundings::new(None, false, all).context(disputed).device, DeviceState::Shared);
    }
}
