//! What a person asks of the room. The hub's core decides whether it happens.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{Seat, SourceId, policy::Permission};

/// What a teacher asks (`POST /api/room/command`). All but `start-lesson` and `take-over` need to hold the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TeacherCommand {
    /// Begin a lesson with this class; the teacher then holds the room.
    StartLesson {
        /// Id of the class.
        class: i64,
    },
    /// End the lesson: everyone is signed out of it, all casts end.
    #[serde(deserialize_with = "nothing_more")]
    EndLesson,
    /// A new room code; those who are in stay in.
    #[serde(deserialize_with = "nothing_more")]
    NewCode,
    /// While locked nobody new joins or asks.
    Lock {
        /// Locked or not.
        on: bool,
    },
    /// While on, all casts are paused and every screen says "look at the teacher" (R-POL-7).
    Attention {
        /// On or off.
        on: bool,
    },
    /// Anyone may share without asking, for this long; 0 ends it.
    OpenSharing {
        /// Minutes, 0 to 120.
        minutes: u16,
    },
    /// How many tiles the stage has: 1, 2, 4 or 9.
    Layout {
        /// Number of tiles.
        tiles: u8,
    },
    /// Put a source on the stage. Approves its student, and invites them when they are not sharing yet.
    Show {
        /// What to show.
        source: SourceId,
        /// Which tile, 0 is the first; the first free one (else the oldest) if not named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tile: Option<u8>,
    },
    /// Take a source off the stage; it stays ready for the next tap.
    Remove {
        /// What to take off.
        source: SourceId,
    },
    /// Exchange two tiles of the stage.
    Swap {
        /// One tile.
        a: u8,
        /// The other.
        b: u8,
    },
    /// Keep the present picture of a source on the panel, or let it move again.
    Freeze {
        /// Which source.
        source: SourceId,
        /// Frozen or not.
        on: bool,
    },
    /// A student who asked may share (their picture goes to the stage when `show` follows).
    Approve {
        /// Whose wish.
        seat: Seat,
    },
    /// Not now. Ends the wish, the invitation and the permission to share.
    Decline {
        /// Whose wish.
        seat: Seat,
    },
    /// Sign the student out of the seat, so that it can be taken again.
    FreeSeat {
        /// Which seat.
        seat: Seat,
    },
    /// Let the student of this seat take part from home: makes a personal link, good for this lesson (R-LIVE-1). The link
    /// itself is the answer of `POST /api/seats/{seat}/home-link`.
    InviteHome {
        /// Whose link.
        seat: Seat,
    },
    /// The personal link of this seat is no longer good; its session ends.
    RevokeHome {
        /// Whose link.
        seat: Seat,
    },
    /// Let the student at home speak to the room, or no longer. One at a time.
    Microphone {
        /// Whose microphone.
        seat: Seat,
        /// Open or closed.
        on: bool,
    },
    /// Take down the raised hand of a student at home.
    LowerHand {
        /// Whose hand.
        seat: Seat,
    },
    /// Open something that the rules leave to the teacher, for this lesson or for some minutes of it (R-POL-9).
    Permit {
        /// What.
        what: Permission,
        /// Minutes, 1 to 240; until the lesson ends if not named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        minutes: Option<u16>,
    },
    /// Close it again.
    Forbid {
        /// What.
        what: Permission,
    },
    /// Hold the room from now on; who held it before is told.
    #[serde(deserialize_with = "nothing_more")]
    TakeOver,
}

/// What a student asks (`POST /api/student/command`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StudentCommand {
    /// The screen is chosen and ready; the student asks to show it. Nothing is sent before the teacher agrees (R-CAST-3).
    #[serde(deserialize_with = "nothing_more")]
    Ask,
    /// The student no longer shares, asks or follows the invitation.
    #[serde(deserialize_with = "nothing_more")]
    Stop,
    /// The student leaves the lesson; the seat is free.
    #[serde(deserialize_with = "nothing_more")]
    Leave,
}

/// What a student at home asks (`POST /api/home/command`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HomeCommand {
    /// Raise the hand, or take it down. A hand that is up keeps its place in the queue.
    RaiseHand {
        /// Up or down.
        up: bool,
    },
    /// The student leaves the lesson; the link stays good.
    #[serde(deserialize_with = "nothing_more")]
    Leave,
}

/// The fields of a command that has none: serde itself would pass over whatever comes with it.
fn nothing_more<'de, D: Deserializer<'de>>(fields: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    Nothing::deserialize(fields).map(|Nothing {}| ())
}
