//! Errors as people and programs read them: RFC 9457 problem details with a code of ours.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong. The words for people are in the catalogue under `problem.{code}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// The body is not what the route takes; `field` names the place.
    BadInput,
    /// Wrong `Content-Type`.
    WrongContentType,
    /// The body is over the route's limit.
    TooLarge,
    /// Too many tries; wait.
    TooManyTries,
    /// Not signed in, or the token is unknown or expired.
    SignedOut,
    /// Signed in, but not for this.
    NotAllowed,
    /// No such thing.
    NotFound,
    /// The room code or the one-time code is not right.
    WrongCode,
    /// Account and password do not belong together.
    WrongPassword,
    /// The password is too weak: at least 10 characters, not a common one.
    WeakPassword,
    /// No lesson is running (R-POL-7).
    NoLesson,
    /// A lesson is already running.
    LessonRunning,
    /// Another teacher holds the room.
    NotHolder,
    /// The lesson is locked.
    Locked,
    /// All casts are paused by the teacher (R-POL-7).
    Attention,
    /// The teacher has not agreed yet (R-CAST-3).
    NotApproved,
    /// The seat is taken.
    SeatTaken,
    /// The class has no such seat.
    NoSuchSeat,
    /// The personal link was taken back by the teacher, or is another one's.
    LinkRevoked,
    /// The lesson is open in another place with the same personal link (R-POL-16).
    HomeTaken,
    /// The page is open in too many places, and this one is the oldest: it rests until someone wants it here.
    Elsewhere,
    /// The teacher has not opened this microphone (R-POL-7).
    MicrophoneClosed,
    /// Someone publishes this source already.
    SourceBusy,
    /// Nobody publishes this source now.
    SourceSilent,
    /// The SDP can't be understood or has no codec that the room speaks.
    BadSdp,
    /// The media session was changed by someone else (`If-Match`).
    StaleEtag,
    /// Student and guardian have not both signed, or one withdrew (R-POL-23).
    NoConsent,
    /// Fewer than nine in ten of the class have both signatures (R-POL-23).
    BelowQuorum,
    /// The student has a device already (R-POL-24).
    HasDevice,
    /// The device is lent (R-POL-24).
    DeviceLent,
    /// The device is in repair, lost, out of use, or none for students (R-POL-24).
    DeviceNotReady,
    /// Another version of the consent text must be signed by now (R-POL-23).
    OldText,
    /// The personal link was used, taken back or is too old.
    LinkVoid,
    /// The file is not in UTF-8 (Big5, most likely).
    FileEncoding,
    /// The file is neither CSV nor a spreadsheet that can be read.
    FileUnreadable,
    /// The file lacks columns; `field` names them.
    FileColumns,
    /// Someone changed the register meanwhile; look again.
    Changed,
    /// The box serves as many of these as it can.
    Full,
    /// The library is full: remove or unpin something first.
    LibraryFull,
    /// The disk is full.
    DiskFull,
    /// The place that the content comes from does not answer, or not with the content.
    OriginSilent,
    /// The address is none that the box may fetch from.
    AddressRefused,
    /// The place that the content comes from forbids copies.
    CopiesForbidden,
    /// The stream is live or protected, or its manifest can't be read.
    StreamUnfit,
    /// The box has just started; ask again in a moment.
    NotReady,
    /// The box could not do it; the log says why.
    Internal,
}

impl ProblemCode {
    /// The code as it stands in JSON and in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadInput => "bad-input",
            Self::WrongContentType => "wrong-content-type",
            Self::TooLarge => "too-large",
            Self::TooManyTries => "too-many-tries",
            Self::SignedOut => "signed-out",
            Self::NotAllowed => "not-allowed",
            Self::NotFound => "not-found",
            Self::WrongCode => "wrong-code",
            Self::WrongPassword => "wrong-password",
            Self::WeakPassword => "weak-password",
            Self::NoLesson => "no-lesson",
            Self::LessonRunning => "lesson-running",
            Self::NotHolder => "not-holder",
            Self::Locked => "locked",
            Self::Attention => "attention",
            Self::NotApproved => "not-approved",
            Self::SeatTaken => "seat-taken",
            Self::NoSuchSeat => "no-such-seat",
            Self::LinkRevoked => "link-revoked",
            Self::HomeTaken => "home-taken",
            Self::Elsewhere => "elsewhere",
            Self::MicrophoneClosed => "microphone-closed",
            Self::SourceBusy => "source-busy",
            Self::SourceSilent => "source-silent",
            Self::BadSdp => "bad-sdp",
            Self::StaleEtag => "stale-etag",
            Self::NoConsent => "no-consent",
            Self::BelowQuorum => "below-quorum",
            Self::HasDevice => "has-device",
            Self::DeviceLent => "device-lent",
            Self::DeviceNotReady => "device-not-ready",
            Self::OldText => "old-text",
            Self::LinkVoid => "link-void",
            Self::FileEncoding => "file-encoding",
            Self::FileUnreadable => "file-unreadable",
            Self::FileColumns => "file-columns",
            Self::Changed => "changed",
            Self::Full => "full",
            Self::LibraryFull => "library-full",
            Self::DiskFull => "disk-full",
            Self::OriginSilent => "origin-silent",
            Self::AddressRefused => "address-refused",
            Self::CopiesForbidden => "copies-forbidden",
            Self::StreamUnfit => "stream-unfit",
            Self::NotReady => "not-ready",
            Self::Internal => "internal",
        }
    }

    /// HTTP status of the problem.
    pub fn status(self) -> u16 {
        match self {
            Self::BadInput
            | Self::WeakPassword
            | Self::NoSuchSeat
            | Self::FileEncoding
            | Self::FileUnreadable
            | Self::FileColumns
            | Self::AddressRefused
            | Self::CopiesForbidden
            | Self::StreamUnfit => 422,
            Self::LibraryFull | Self::DiskFull => 507,
            Self::OriginSilent => 502,
            Self::BadSdp => 400,
            Self::WrongContentType => 415,
            Self::TooLarge => 413,
            Self::TooManyTries => 429,
            Self::SignedOut | Self::WrongPassword => 401,
            Self::NotAllowed
            | Self::WrongCode
            | Self::NotHolder
            | Self::NotApproved
            | Self::MicrophoneClosed
            | Self::LinkVoid => 403,
            Self::NotFound | Self::SourceSilent => 404,
            Self::NoLesson
            | Self::LessonRunning
            | Self::Locked
            | Self::Attention
            | Self::SeatTaken
            | Self::HomeTaken
            | Self::Elsewhere
            | Self::SourceBusy
            | Self::NoConsent
            | Self::BelowQuorum
            | Self::HasDevice
            | Self::DeviceLent
            | Self::DeviceNotReady
            | Self::OldText
            | Self::Changed => 409,
            Self::LinkRevoked => 410,
            Self::StaleEtag => 412,
            Self::Full | Self::NotReady => 503,
            Self::Internal => 500,
        }
    }

    /// The clause of the plan behind a "no", where there is one (R-POL-22).
    pub fn rule(self) -> Option<&'static str> {
        match self {
            Self::NoLesson | Self::Attention | Self::MicrophoneClosed => Some("R-POL-7"),
            Self::NotApproved | Self::NotHolder | Self::Locked => Some("R-CAST-3"),
            Self::SeatTaken | Self::HomeTaken => Some("R-POL-16"),
            Self::NoConsent | Self::BelowQuorum | Self::OldText => Some("R-POL-23"),
            Self::HasDevice | Self::DeviceLent | Self::DeviceNotReady => Some("R-POL-24"),
            _ => None,
        }
    }
}

/// The body of every error (`application/problem+json`, RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Machine-readable code; the words are in the catalogue.
    pub code: ProblemCode,
    /// HTTP status.
    pub status: u16,
    /// One English sentence for logs and command lines.
    pub title: String,
    /// The field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule that says no (R-POL-22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Wait this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// The problem of this code, with its sentence from the catalogue.
    pub fn new(code: ProblemCode) -> Self {
        Self {
            code,
            status: code.status(),
            title: crate::catalogue::text(crate::catalogue::Lang::En, &format!("problem.{}", code.as_str())).to_owned(),
            field: None,
            rule: code.rule().map(str::to_owned),
            retry_after: None,
        }
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says how long to wait, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self::new(code)
    }
}
