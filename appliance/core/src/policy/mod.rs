//! One decision for resolver, hub and agent alike: who may open what, where and when (004 附件1).
//!
//! [`decide`] takes the school's [`Policy`], one [`Query`], what is known of the device and its situation
//! ([`Context`]) and the time. It is pure, cheap (no allocation for hosts in lower case) and denies by default.
//! Every answer names its rule, its reason and who can change it (R-POL-22).

mod decide;
mod hosts;
mod index;
mod keep;
mod known;
pub mod lists;
mod overview;
pub mod permits;
mod refusal;
mod validate;
mod windows;

pub use classroom_protocol::policy::{
    Action, Changer, Consent, Decision, DeviceState, Document, Lifter, Link, Permission, Permit, Place, Reason, RuleId,
    Trouble,
};
pub use decide::decide;
pub use hosts::{BadHost, host_name, suffixes};
pub use index::{Marks, Policy};
pub use keep::{ends_in, keep_for};
pub use known::{Known, Lesson, Snapshot, Surroundings};
pub use overview::overview;
pub use refusal::refusal;
pub use validate::{Contradiction, validate};
pub use windows::{BadWindow, Window};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query<'a> {
    /// May this name be looked up and opened?
    Host {
        /// The name, without a dot at its end. Upper and lower case are the same.
        name: &'a str,
        /// The categories whose lists hold the name (see [`Policy::category`]); lists are too long for the core.
        listed: Marks,
    },
    /// May this program run? Its package or process name.
    App(&'a str),
    /// May this be done?
    Action(Action),
}

/// The running lesson of the device's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LessonContext<'a> {
    /// What the teacher has opened for it. Permits that have ended count for nothing.
    pub permits: &'a [Permit],
    /// The teacher has asked all to look up.
    pub attention: bool,
}

/// What is known of the device, its student and its situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// Where the device is.
    pub place: Place,
    /// The running lesson, if the device takes part in one.
    pub lesson: Option<LessonContext<'a>>,
    /// What the register says of the device.
    pub device: DeviceState,
    /// The consent of its student; none when the student is not known.
    pub consent: Option<Consent>,
    /// Its network, if reported.
    pub link: Option<Link>,
    /// What was noticed.
    pub trouble: &'a [Trouble],
    /// The hours that the guardian allows at home. Empty: the guardian has set none.
    pub guardian: &'a [Window],
    /// What the school has agreed to for this device beyond the rules (R-POL-11).
    pub exceptions: &'a [Permit],
}

impl Context<'_> {
    /// A device of which nothing is known, at `place`, without a lesson.
    pub fn unknown(place: Place) -> Self {
        Self {
            place,
            lesson: None,
            device: DeviceState::Unknown,
            consent: None,
            link: None,
            trouble: &[],
            guardian: &[],
            exceptions: &[],
        }
    }
}
