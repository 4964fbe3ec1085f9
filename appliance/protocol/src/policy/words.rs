//! Reasons and people as words: each has its sentence in the catalogue, in both languages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why something is allowed or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The box's own pages: they are always there.
    OwnBox,
    /// Telling a teacher is always possible.
    Report,
    /// A learning platform of the school.
    Learning,
    /// Where the school keeps files.
    Storage,
    /// What the device itself needs: sign-in, updates, management.
    #[serde(rename = "device-needs")]
    NeedsOfTheDevice,
    /// The open web in a lesson, under review.
    OpenWeb,
    /// At home, within the school's rules.
    AtHome,
    /// A teacher's or a panel's machine.
    StaffDevice,
    /// A teacher has opened it for this lesson.
    Permitted,
    /// The school has agreed to this for this device.
    Exception,
    /// Part of the running lesson.
    Lesson,
    /// A program that the school has approved.
    ApprovedApp,
    /// The device is not in the school's register.
    UnknownDevice,
    /// The device is lent to nobody and stays at school.
    NotLent,
    /// The device is reported lost or being repaired.
    DeviceAway,
    /// A person has decided that the device is not to be used for a time.
    Suspended,
    /// Student and guardian have not both signed.
    NoConsent,
    /// No lesson is running.
    NoLesson,
    /// The teacher has asked all to look up.
    Attention,
    /// A game.
    Games,
    /// Not for learning.
    NotTeaching,
    /// A program that the school has not approved.
    AppNotApproved,
    /// A further program at home needs the school's agreement.
    HomeApp,
    /// Mail or messages without the teacher's word.
    Mail,
    /// Sound aloud disturbs others.
    Aloud,
    /// Outside the hours that the guardian has set.
    GuardianHours,
    /// At school only the school's Wi-Fi.
    SchoolNetwork,
    /// Illegal, obscene or hurtful content.
    Harmful,
    /// Against copyright.
    Copyright,
    /// Recording without the teacher's word.
    Recording,
    /// A way around the school's filter.
    Bypass,
    /// On the school's list of unsuitable addresses.
    Filtered,
    /// Another student's device.
    AnotherStudents,
    /// The same student is signed in twice.
    SharedAccount,
    /// No rule allows it.
    NothingAllows,
}

impl Reason {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::OwnBox,
        Self::Report,
        Self::Learning,
        Self::Storage,
        Self::NeedsOfTheDevice,
        Self::OpenWeb,
        Self::AtHome,
        Self::StaffDevice,
        Self::Permitted,
        Self::Exception,
        Self::Lesson,
        Self::ApprovedApp,
        Self::UnknownDevice,
        Self::NotLent,
        Self::DeviceAway,
        Self::Suspended,
        Self::NoConsent,
        Self::NoLesson,
        Self::Attention,
        Self::Games,
        Self::NotTeaching,
        Self::AppNotApproved,
        Self::HomeApp,
        Self::Mail,
        Self::Aloud,
        Self::GuardianHours,
        Self::SchoolNetwork,
        Self::Harmful,
        Self::Copyright,
        Self::Recording,
        Self::Bypass,
        Self::Filtered,
        Self::AnotherStudents,
        Self::SharedAccount,
        Self::NothingAllows,
    ];

    /// The key of its words in the catalogue.
    pub fn key(self) -> &'static str {
        match self {
            Self::OwnBox => "policy.reason.own-box",
            Self::Report => "policy.reason.report",
            Self::Learning => "policy.reason.learning",
            Self::Storage => "policy.reason.storage",
            Self::NeedsOfTheDevice => "policy.reason.device-needs",
            Self::OpenWeb => "policy.reason.open-web",
            Self::AtHome => "policy.reason.at-home",
            Self::StaffDevice => "policy.reason.staff-device",
            Self::Permitted => "policy.reason.permitted",
            Self::Exception => "policy.reason.exception",
            Self::Lesson => "policy.reason.lesson",
            Self::ApprovedApp => "policy.reason.approved-app",
            Self::UnknownDevice => "policy.reason.unknown-device",
            Self::NotLent => "policy.reason.not-lent",
            Self::DeviceAway => "policy.reason.device-away",
            Self::Suspended => "policy.reason.suspended",
            Self::NoConsent => "policy.reason.no-consent",
            Self::NoLesson => "policy.reason.no-lesson",
            Self::Attention => "policy.reason.attention",
            Self::Games => "policy.reason.games",
            Self::NotTeaching => "policy.reason.not-teaching",
            Self::AppNotApproved => "policy.reason.app-not-approved",
            Self::HomeApp => "policy.reason.home-app",
            Self::Mail => "policy.reason.mail",
            Self::Aloud => "policy.reason.aloud",
            Self::GuardianHours => "policy.reason.guardian-hours",
            Self::SchoolNetwork => "policy.reason.school-network",
            Self::Harmful => "policy.reason.harmful",
            Self::Copyright => "policy.reason.copyright",
            Self::Recording => "policy.reason.recording",
            Self::Bypass => "policy.reason.bypass",
            Self::Filtered => "policy.reason.filtered",
            Self::AnotherStudents => "policy.reason.another-students",
            Self::SharedAccount => "policy.reason.shared-account",
            Self::NothingAllows => "policy.reason.nothing-allows",
        }
    }
}

/// Who can change a decision (R-POL-22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Changer {
    /// The teacher, in the lesson.
    Teacher,
    /// The school's office.
    School,
    /// The guardian.
    Guardian,
    /// Nobody: it is the law or the plan.
    Nobody,
}

impl Changer {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Teacher, Self::School, Self::Guardian, Self::Nobody];

    /// The key of its words in the catalogue.
    pub fn key(self) -> &'static str {
        match self {
            Self::Teacher => "policy.changer.teacher",
            Self::School => "policy.changer.school",
            Self::Guardian => "policy.changer.guardian",
            Self::Nobody => "policy.changer.nobody",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Lang, text};

    #[test]
    fn every_reason_and_every_person_has_words() {
        let keys = Reason::ALL.iter().map(|reason| reason.key()).chain(Changer::ALL.iter().map(|who| who.key()));
        for key in keys {
            assert!(!text(Lang::ZhHantTw, key).is_empty() && !text(Lang::En, key).is_empty(), "{key}");
        }
    }

    #[test]
    fn a_key_ends_with_the_name_in_json() {
        for reason in Reason::ALL {
            let name = serde_json::to_string(reason).unwrap_or_default();
            assert_eq!(format!("policy.reason.{}", name.trim_matches('"')), reason.key());
        }
    }
}
