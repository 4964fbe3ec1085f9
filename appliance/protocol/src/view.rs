//! What each page is shown. A view is the whole state that its reader may know, not a change:
//! who missed ten of them needs only the newest. `seq` grows with every change of the room.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Millis, Seat, SourceId, keeping::Keeping, policy::Permit};

/// One message of the hub on `GET /api/ws`.
///
/// Resume: connect with `?after=SEQ`; when nothing has changed since, the hub answers `current`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Envelope<V> {
    /// The newest state. Readers drop one whose `seq` is below what they have.
    View {
        /// Grows with every change; survives a restart of the hub.
        seq: u64,
        /// The hub's clock.
        now: Millis,
        /// The state.
        view: V,
    },
    /// What the reader has is still true. Also sent every 5 seconds as a sign of life.
    Current {
        /// The newest number.
        seq: u64,
        /// The hub's clock.
        now: Millis,
    },
    /// The session has ended; do not come back with the same token. After `elsewhere` only when a person asks for it.
    Bye {
        /// Why, as a code of the catalogue (`problem.*`).
        code: String,
    },
}

/// The room as everybody may know it (`GET /api/room`, no sign-in).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomInfo {
    /// The room's name.
    pub name: String,
    /// Version of the box's software.
    pub version: String,
    /// Address of the students' page, as people would type it.
    pub join_url: String,
    /// Whether a lesson is running.
    pub lesson: bool,
    /// Whether the first teacher account is still to be made.
    pub setup: bool,
    /// The box began with an empty database because the old one could not be read: accounts of before are not there.
    #[serde(default)]
    pub set_aside: bool,
}

/// Whether a picture flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// No screen chosen.
    Off,
    /// Screen chosen, waiting for the teacher's word.
    Asking,
    /// The teacher asked for this screen; the student has not chosen one yet.
    Invited,
    /// May publish; the media session is not up (yet, or it broke).
    Approved,
    /// The media session is up.
    Live,
}

/// One place of the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tile {
    /// What is shown: WHEP at `/whep/{source}`.
    pub source: SourceId,
    /// Name to print on it.
    pub label: String,
    /// The picture stands still by the teacher's will.
    pub frozen: bool,
    /// The source's media session is up.
    pub live: bool,
}

/// What the panel shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// Number of tiles: 1, 2, 4 or 9.
    pub layout: u8,
    /// As many as `layout`; `null` is a free place.
    pub tiles: Vec<Option<Tile>>,
}

/// Marks that every page and the panel must show while they hold (R-LIVE-3, R-DATA-3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Marks {
    /// The lesson is being recorded.
    pub recording: bool,
    /// Students at home are watching.
    pub live: bool,
    /// The line to the world outside is cut; what is in the room goes on (R-DATA-3).
    #[serde(default)]
    pub offline: bool,
}

/// A running lesson as all of its people may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LessonView {
    /// Id of the lesson.
    pub id: String,
    /// The class's name.
    pub class_name: String,
    /// When it began.
    pub started_at: Millis,
    /// All casts are paused: look at the teacher.
    pub attention: bool,
    /// Nobody new joins or asks.
    pub locked: bool,
    /// Until then anyone may share without asking.
    pub open_until: Option<Millis>,
    /// What the teacher has opened beyond the rules, for this lesson at the longest (R-POL-9).
    #[serde(default)]
    pub permits: Vec<Permit>,
}

/// The whole room for a teacher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TeacherView {
    /// The room's name.
    pub room: String,
    /// Address of the students' page, as people would type it.
    pub join_url: String,
    /// Name of the signed-in teacher.
    pub you: String,
    /// Whether the signed-in teacher holds the room.
    pub holds: bool,
    /// Name of the teacher who holds the room.
    pub holder: Option<String>,
    /// The running lesson.
    pub lesson: Option<LessonView>,
    /// The room code, 6 digits, while a lesson runs.
    pub code: Option<String>,
    /// The seats of the class, in order.
    pub seats: Vec<SeatView>,
    /// The other sources that can be shown: the teacher's screen, WHIP programs.
    pub sources: Vec<SourceView>,
    /// The stage.
    pub stage: Stage,
    /// Recording and live marks.
    pub marks: Marks,
    /// The panels paired with the room.
    pub panels: Vec<PanelState>,
    /// A panel waits for its code to be typed in by a teacher.
    pub panel_waiting: bool,
    /// The room's own camera and microphone send: students at home hear the room.
    pub room_live: bool,
    /// What is wrong with devices on the network now.
    pub alerts: Vec<DeviceAlert>,
    /// What is wrong with what the box keeps.
    #[serde(default)]
    pub keeping: Keeping,
    /// Students of the class who have told that they came upon a bad site (R-POL-19), for the teacher who holds the lesson.
    pub reports: Vec<SiteReport>,
}

/// A student has told of a bad site. The student did right: nothing follows but a teacher's word. No address is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteReport {
    /// Number of the report.
    pub id: i64,
    /// When, on the clock of the student's device.
    pub at: Millis,
    /// The student's seat.
    pub seat: Seat,
    /// The student's name.
    pub name: String,
    /// It was told at home, not at school.
    pub home: bool,
}

/// What a teacher is told of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceTrouble {
    /// The school's register has no such device (R-POL-1, -2).
    Unknown,
    /// It is lent to another student than the one signed in on it (R-POL-8).
    NotBorrower,
    /// It was reported as lost.
    Lost,
}

/// An alert about a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceAlert {
    /// What is wrong.
    pub what: DeviceTrouble,
    /// The rule behind it.
    pub rule: String,
    /// Network address of the device.
    pub address: String,
    /// Address of its network card, where it can be seen.
    pub mac: Option<String>,
    /// Seat of who is signed in on it.
    pub seat: Option<Seat>,
    /// Name of who is signed in on it.
    pub name: Option<String>,
    /// Code on its label, if it is registered.
    pub device: Option<String>,
    /// Name of the student to whom it is lent.
    pub borrower: Option<String>,
}

/// One seat for the teacher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatView {
    /// Seat number.
    pub seat: Seat,
    /// The student's name.
    pub name: String,
    /// Someone signed in on this seat.
    pub taken: bool,
    /// The student's page is connected now.
    pub online: bool,
    /// How far sharing is.
    pub sharing: Sharing,
    /// When the student asked, for the order of the wishes.
    pub asked_at: Option<Millis>,
    /// Tile on the stage, 0 is the first.
    pub tile: Option<u8>,
    /// Version of the thumbnail at `GET /api/seats/{seat}/thumbnail`; changes when there is a new one.
    pub thumbnail: Option<u64>,
    /// The student takes part from home (R-LIVE-1).
    pub home: Option<HomeSeat>,
}

/// A source that is not a student's seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// The source.
    pub source: SourceId,
    /// Its name for people; empty for the teacher's own screen (pages name that one themselves).
    pub label: String,
    /// Its media session is up.
    pub live: bool,
    /// Tile on the stage, 0 is the first.
    pub tile: Option<u8>,
}

/// A panel of the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PanelState {
    /// Id of the panel.
    pub id: i64,
    /// Name it gave itself when it paired.
    pub name: String,
    /// Connected now.
    pub online: bool,
    /// Sources whose picture it has lost.
    pub lost: Vec<SourceId>,
}

/// What a student in the lesson sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StudentView {
    /// The room's name.
    pub room: String,
    /// The running lesson.
    pub lesson: Option<LessonView>,
    /// The student's seat.
    pub seat: Seat,
    /// The student's name.
    pub name: String,
    /// How far sharing is.
    pub sharing: Sharing,
    /// Media is wanted now: send the picture. Otherwise the sender stays connected and sends nothing.
    pub wanted: bool,
    /// The student's picture is on the stage.
    pub on_stage: bool,
    /// Why asking is not possible now.
    pub refused: Option<crate::Problem>,
    /// Recording and live marks.
    pub marks: Marks,
}

/// What the panel shows (`/panel`, display-client).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PanelView {
    /// The room's name.
    pub room: String,
    /// Address of the students' page, as people would type it.
    pub join_url: String,
    /// The running lesson.
    pub lesson: Option<LessonView>,
    /// The room code while a lesson runs.
    pub code: Option<String>,
    /// The stage.
    pub stage: Stage,
    /// The student at home whom the room hears now.
    pub voice: Option<Voice>,
    /// Recording and live marks.
    pub marks: Marks,
    /// What is wrong with the box's settings; shown while nothing is cast.
    #[serde(default)]
    pub notice: Option<String>,
}

/// What a page may know of a class before it picks a seat
/// (answer to `POST /api/join`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinTicket {
    /// Bearer token for `POST /api/join/seat`, good for 10 minutes.
    pub ticket: String,
    /// The class's name.
    pub class_name: String,
    /// Seats to choose from.
    pub seats: Vec<OpenSeat>,
}

/// A seat to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenSeat {
    /// Seat number.
    pub seat: Seat,
    /// The student's name.
    pub name: String,
    /// Someone is on it now.
    pub taken: bool,
}

/// A student's pass for the lesson (answer to `POST /api/join/seat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatPass {
    /// Bearer token of the student, good for this lesson.
    pub token: String,
    /// The seat.
    pub seat: Seat,
    /// The student's name.
    pub name: String,
    /// Where to publish: `/whip/{source}`.
    pub source: SourceId,
}

/// A voice that the panel plays: WHEP at `/whep/{source}`, sound only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Voice {
    /// The source.
    pub source: SourceId,
    /// The student's name.
    pub name: String,
    /// The sound arrives.
    pub live: bool,
}

/// How far a home student's microphone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Microphone {
    /// The teacher has not opened it: no sound is taken.
    Closed,
    /// The teacher has opened it; no sound has come yet.
    Open,
    /// The room hears it.
    Live,
}

/// A student at home, for the teacher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomeSeat {
    /// The student's page is connected now.
    pub online: bool,
    /// In the lesson since then, short breaks included.
    pub joined_at: Option<Millis>,
    /// The hand is up since then; the queue is in this order.
    pub hand_at: Option<Millis>,
    /// The microphone.
    pub microphone: Microphone,
}

/// What the program shows students at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Watching {
    /// No picture now.
    Nothing,
    /// The room's camera.
    Room,
    /// What stands on the panel, its first place when there are several.
    Panel {
        /// The source.
        source: SourceId,
        /// Its name for people.
        label: String,
        /// The picture stands still by the teacher's will.
        frozen: bool,
    },
}

/// What a student at home sees (`/home`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomeView {
    /// The room's name.
    pub room: String,
    /// The running lesson.
    pub lesson: LessonView,
    /// The student's seat.
    pub seat: Seat,
    /// The student's name.
    pub name: String,
    /// What the program shows: WHEP at `/whep/program`.
    pub watching: Watching,
    /// There is sound from the room or from the picture.
    pub heard: bool,
    /// Place in the queue of raised hands, 1 is next; none when the hand is down.
    pub hand: Option<u32>,
    /// Whether the student may speak: WHIP, sound only, at `/whip/{source}` of the pass.
    pub microphone: Microphone,
    /// Name of another student at home who speaks now.
    pub speaker: Option<String>,
    /// Recording and live marks.
    pub marks: Marks,
}

/// A personal link for a student at home (answer to `POST /api/seats/{seat}/home-link`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomeLink {
    /// The address to open at home; good for this lesson and this student only.
    pub url: String,
    /// The same as a QR code, an SVG picture.
    pub qr: String,
    /// The student's name.
    pub name: String,
}

/// A home student's pass (answer to `POST /api/home/join`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomePass {
    /// Bearer token of this session.
    pub token: String,
    /// The seat.
    pub seat: Seat,
    /// The student's name.
    pub name: String,
    /// Where to speak: `/whip/{source}`, while the microphone is open.
    pub source: SourceId,
}
