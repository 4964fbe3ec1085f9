//! The use rules of learning devices as programs exchange them: who is asked, what is answered, and the document of the
//! school's rules (004 附件1). The deciding itself is the core's.

mod document;
mod view;
mod words;

pub use document::{BadDocument, Bundle, Category, Document, Effect, Lifter, Names, Rule, Subject, System, When};
pub use view::{
    AccessLine, Instead, ListFault, PolicyFiles, PolicyKind, PolicyList, PolicyRow, PolicyView, Refused,
    UnusedDocument, Why,
};
pub use words::{Changer, Reason};

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Millis;

/// A requirement of the plan: `R-POL-3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^R-POL-[1-9][0-9]?$")]
pub struct RuleId(u8);

impl RuleId {
    /// The rule `R-POL-{number}`; numbers beyond 99 do not exist and become 99.
    pub const fn new(number: u8) -> Self {
        Self(if number > 99 { 99 } else { number })
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R-POL-{}", self.0)
    }
}

impl FromStr for RuleId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("R-POL-").filter(|rest| !rest.starts_with(['0', '+']));
        match number.and_then(|rest| rest.parse::<u8>().ok()) {
            Some(number @ 1..=99) => Ok(Self(number)),
            _ => Err(format!("\"{text}\" is no rule; write R-POL- and its number, e.g. \"R-POL-3\"")),
        }
    }
}

impl TryFrom<String> for RuleId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RuleId> for String {
    fn from(rule: RuleId) -> Self {
        rule.to_string()
    }
}

/// Where a device is (requirements §3): at school is on the room's network or paired with the box, at home is
/// everywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On the room's network.
    School,
    /// Anywhere else.
    Home,
}

/// What the register says of a device (R-POL-1, R-POL-24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// Not in the register.
    Unknown,
    /// The school's, lent to nobody: for use in class (公用載具, also spares).
    Shared,
    /// The school's, lent to a student to take home.
    Lent,
    /// The student's own, registered by the school (自帶載具).
    Own,
    /// The box's own, a teacher's or a panel's: the students' rules do not count, the filter does.
    Staff,
    /// Being repaired.
    Repair,
    /// Lost or stolen (R-POL-13).
    Lost,
    /// A person has decided that it is not to be used for a time (R-POL-21).
    Suspended,
}

/// Whether student and guardian have signed (R-POL-23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// Both have signed.
    Given,
    /// One signature or both are missing.
    Missing,
    /// Taken back.
    Withdrawn,
}

/// How a device reaches the network, as its agent reports it (R-POL-14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// The school's Wi-Fi.
    Wifi,
    /// A cable.
    Wired,
    /// A telecom network (4G, 5G).
    Mobile,
}

/// Something that asks for a teacher's eye, not for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The signed-in student is not the borrower (R-POL-8).
    AnotherStudents,
    /// The same student is signed in at two places (R-POL-16).
    SharedAccount,
}

/// What a person does, beside opening hosts and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Show the own screen in class.
    Cast,
    /// Record, film or photograph (R-POL-17, R-LIVE-3).
    Record,
    /// Play sound aloud (R-POL-10).
    PlayAloud,
    /// Install a program that the school has not put there (R-POL-11).
    Install,
    /// Tell a teacher of a bad site (R-POL-19).
    Report,
    /// Take the device home (R-POL-24).
    TakeHome,
}

/// What a teacher can open for the running lesson (R-POL-9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// A category of the policy document: `mail`, `games` …
    Category(String),
    /// One host and what is below it.
    Host(String),
    /// An action.
    Action(Action),
}

/// Something opened until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// What.
    pub what: Permission,
    /// It ends then, at the latest; a teacher's permit also ends with the lesson.
    pub until: Millis,
}

/// An answer of the rules. It always names its rule, its reason and who can change it (R-POL-22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Allowed or refused.
    pub allow: bool,
    /// The rule that decides.
    pub rule: RuleId,
    /// Why: words in the catalogue under [`Reason::key`].
    pub reason: Reason,
    /// Who can change it: words in the catalogue under [`Changer::key`].
    pub changer: Changer,
    /// Ask again then at the latest: a permit ends or the guardian's hours change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// The school keeps a record of this (R-POL-6, R-POL-20).
    #[serde(default)]
    pub record: bool,
    /// The teacher is told of this (R-POL-8, R-POL-16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<RuleId>,
}

/// What the resolver tells the hub of one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// When.
    pub at: Millis,
    /// Who asked.
    pub address: std::net::IpAddr,
    /// For which name.
    pub name: String,
    /// What was decided.
    pub decision: Decision,
    /// So many notices were lost before this one: the hub was away too long.
    #[serde(default)]
    pub lost: u64,
    /// Where and whose it was when it was decided. None from a resolver that does not say so yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted: Option<Noted>,
}

/// What is true of a question only when it is asked: a notice may wait until the next lesson.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    /// Id of the lesson that ran; none between lessons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesson: Option<String>,
    /// Opaque code of the device at the address (R-POL-1), when the register knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_notice_without_what_was_noted_is_read_too() {
        let old = r#"{"at":5,"address":"10.0.0.1","name":"a.tw","decision":{"allow":false,"rule":"R-POL-3",
                      "reason":"games","changer":"teacher"}}"#;
        let old: Notice = serde_json::from_str(old).unwrap();
        assert_eq!((old.lost, old.noted.clone()), (0, None));
        assert!(!serde_json::to_string(&old).unwrap().contains("noted"), "a hub of before reads it");
        let between = Notice { noted: Some(Noted::default()), ..old };
        let text = serde_json::to_string(&between).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), between, "no lesson is not the same as not said");
    }

    #[test]
    fn a_rule_is_a_name_and_nothing_else() {
        assert_eq!("R-POL-3".parse::<RuleId>().unwrap(), RuleId::new(3));
        assert_eq!(RuleId::new(22).to_string(), "R-POL-22");
        for text in ["", "R-POL-", "R-POL-0", "R-POL-03", "R-POL-100", "R-POL-+3", "r-pol-3", "R-POL-3 ", "R-CAST-3"] {
            assert!(text.parse::<RuleId>().is_err(), "{text}");
        }
    }
}
