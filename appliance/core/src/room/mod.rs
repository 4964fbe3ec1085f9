//! One room: who holds it, the running lesson, its seats and its stage.
//!
//! [`Room::apply`] takes one [`Input`] with the time it happened and answers with the [`Effect`]s that the shell
//! executes, or with the reason why not. The views ([`Room::teacher_view`] …) are computed from the state alone.

mod apply;
mod at_home;
mod attendance;
mod stage;
mod told;
mod views;

use std::collections::BTreeMap;

use classroom_protocol::{
    HomeCommand, Millis, ProblemCode, Seat, SourceId, StudentCommand, TeacherCommand, keeping::Keeping, policy::Permit,
    view::DeviceAlert,
};
use serde::{Deserialize, Serialize};

pub use stage::{Stage, Tile};
pub use views::Facts;

use crate::{
    alarm::Alarm,
    home::{Home, HomePass, Program},
    policy,
    usage::Event,
};

/// A student who lost the connection keeps the seat against others for this long.
pub const SEAT_GRACE: Millis = 15_000;

/// A teacher, as the room knows one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teacher {
    /// Account id.
    pub id: i64,
    /// Name for people.
    pub name: String,
}

/// A class that can have a lesson.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Id of the class.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Seat and name of each student.
    pub students: Vec<(Seat, String)>,
}

/// Values that a shell drew at random for one command, used only if the command needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Id for a new lesson.
    pub lesson: String,
    /// Six digits for a new room code.
    pub code: String,
}

/// A student's proof of a seat: lesson, seat and how often the seat was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Id of the lesson.
    pub lesson: String,
    /// The seat.
    pub seat: Seat,
    /// Counts how often seats of this lesson were taken; an older pass to the same seat is void.
    pub epoch: u32,
}

/// What happens to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A teacher taps. `class` must be given with `start-lesson` and must be the class that it names.
    Teacher {
        /// Who.
        who: Teacher,
        /// What.
        command: TeacherCommand,
        /// The class to start with.
        class: Option<Class>,
        /// Random values.
        fresh: Fresh,
    },
    /// A student taps.
    Student {
        /// Who.
        pass: Pass,
        /// What.
        command: StudentCommand,
    },
    /// Someone with the room code chooses a seat; the lesson is the one that the ticket was given for.
    TakeSeat {
        /// Id of the lesson of the ticket.
        lesson: String,
        /// The chosen seat.
        seat: Seat,
    },
    /// A student's page connected (`true`) or lost its connection. Pages are counted, not merged.
    SeatOnline {
        /// Whose page.
        pass: Pass,
        /// Connected or not.
        online: bool,
    },
    /// Someone opens the lesson with the personal link of a seat (R-LIVE-1).
    HomeJoin {
        /// Id of the lesson of the link.
        lesson: String,
        /// The seat.
        seat: Seat,
        /// Number of the link.
        link: u32,
        /// End the session that lives, if there is one.
        take_over: bool,
    },
    /// A student at home taps.
    Home {
        /// Who.
        pass: HomePass,
        /// What.
        command: HomeCommand,
    },
    /// A home student's page connected (`true`) or lost its connection. Pages are counted, not merged.
    HomeOnline {
        /// Whose page.
        pass: HomePass,
        /// Connected or not.
        online: bool,
    },
    /// There is a new thumbnail of a seat.
    Thumbnail {
        /// Whose.
        pass: Pass,
        /// Its version.
        version: u64,
    },
    /// A source's media session is up or gone.
    SourceLive {
        /// Which source.
        source: SourceId,
        /// Up or gone.
        live: bool,
    },
    /// The programs that may publish beside seats and teacher, by name.
    Sources(BTreeMap<SourceId, String>),
    /// The paired panels by name, and which of them is the box's own screen.
    Panels {
        /// Names by id.
        names: BTreeMap<i64, String>,
        /// The box's own screen. It may have none, so it is not shown as missing before it was there once.
        own: Option<i64>,
    },
    /// A panel connected or lost its connection. Connections are counted.
    PanelOnline {
        /// Which panel.
        panel: i64,
        /// Connected or not.
        online: bool,
    },
    /// A panel tells which sources it has lost.
    PanelLost {
        /// Which panel.
        panel: i64,
        /// Sources without a picture.
        lost: Vec<SourceId>,
    },
    /// A panel waits for a teacher to type its code, or none does any more.
    PanelWaiting(bool),
    /// What is wrong with devices on the network now (R-POL-1, -2, -8).
    DeviceAlerts(Vec<DeviceAlert>),
    /// What students and devices have told lately (R-POL-19).
    Alarms(Vec<Alarm>),
    /// What is wrong with what the box keeps, or nothing any more.
    Keeping {
        /// For teachers.
        keeping: Keeping,
        /// In one sentence, for the panel.
        notice: Option<String>,
    },
    /// The line to the world outside was cut or is back.
    Uplink {
        /// Cut.
        down: bool,
    },
    /// Time has come ([`Room::next_deadline`]).
    Tick,
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// End the media session of this source, if there is one.
    CloseSource(SourceId),
    /// Forget the small picture of this seat.
    ForgetThumbnail {
        /// Whose.
        seat: Seat,
        /// The newest version to forget; a newer one is of whoever asked since.
        version: u64,
    },
    /// Forward nothing of this source, or forward it again (R-POL-7: the teacher pauses all screens).
    Pause {
        /// Which source.
        source: SourceId,
        /// Nothing, or again.
        paused: bool,
    },
    /// A lesson began: keep it.
    LessonStarted {
        /// Id of the lesson.
        lesson: String,
        /// Id of the class.
        class: i64,
        /// The class's name on that day.
        class_name: String,
        /// Who began it.
        by: Teacher,
        /// When.
        at: Millis,
    },
    /// A lesson ended: keep it.
    LessonEnded {
        /// Id of the lesson.
        lesson: String,
        /// When.
        at: Millis,
    },
    /// A source began to be seen on the panel: keep it (R-CAST-4).
    Seen {
        /// Id of the lesson.
        lesson: String,
        /// Which source.
        source: SourceId,
        /// Its name on that day.
        label: String,
        /// When.
        at: Millis,
    },
    /// A source is seen no more: keep it (R-CAST-4).
    Hidden {
        /// Id of the lesson.
        lesson: String,
        /// Which source.
        source: SourceId,
        /// Since when it was seen.
        from: Millis,
        /// When.
        at: Millis,
    },
    /// Something happened that counts as use: keep it (R-USE-1, R-USE-4).
    Happened(Event),
    /// The seat was given; hand out this pass.
    SeatGiven {
        /// The pass.
        pass: Pass,
        /// The student's name.
        name: String,
    },
    /// This is the link of the seat; hand it out.
    HomeLink {
        /// Id of the lesson.
        lesson: String,
        /// The seat.
        seat: Seat,
        /// Number of the link.
        link: u32,
        /// The student's name.
        name: String,
    },
    /// A session at home was given; hand out this pass.
    HomeGiven {
        /// The pass.
        pass: HomePass,
        /// The student's name.
        name: String,
    },
    /// End the program session of the student at home on this seat; everyone's when no seat is named.
    CloseHome(Option<Seat>),
    /// From now on students at home are given this.
    Program(Program),
}

/// How far a student's wish to share is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// None.
    #[default]
    Idle,
    /// The screen is chosen, the student asked.
    Asked(Millis),
    /// The teacher asked for the screen.
    Invited,
    /// The student may share.
    Approved,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// Epoch of the pass that holds the seat.
    pub(crate) taken: Option<u32>,
    /// When it was taken.
    #[serde(default)]
    pub(crate) taken_at: Millis,
    pub(crate) wish: Wish,
    #[serde(skip)]
    pub(crate) pages: u32,
    pub(crate) gone_at: Millis,
    #[serde(skip)]
    pub(crate) live: bool,
    #[serde(skip)]
    pub(crate) thumbnail: Option<u64>,
    /// When it came.
    #[serde(skip)]
    pub(crate) thumbnail_at: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lesson {
    pub(crate) id: String,
    pub(crate) class: i64,
    pub(crate) class_name: String,
    pub(crate) started_at: Millis,
    pub(crate) code: String,
    pub(crate) locked: bool,
    pub(crate) attention: bool,
    pub(crate) open_until: Option<Millis>,
    #[serde(default)]
    pub(crate) permits: Vec<Permit>,
    pub(crate) epoch: u32,
    pub(crate) seats: BTreeMap<Seat, Place>,
    #[serde(default)]
    pub(crate) home: Home,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) name: String,
    pub(crate) connections: u32,
    /// Teachers are told of it also while it is away.
    pub(crate) expected: bool,
    pub(crate) lost: Vec<SourceId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) label: String,
    pub(crate) live: bool,
}

/// The room's whole state. It is kept as JSON by the shell, so that a restart goes on where it stopped;
/// what depends on connections (who is online, what is live) is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    seq: u64,
    holder: Option<Teacher>,
    lesson: Option<Lesson>,
    stage: Stage,
    #[serde(skip)]
    teacher_live: bool,
    #[serde(skip)]
    room_live: bool,
    #[serde(skip)]
    others: BTreeMap<SourceId, Other>,
    #[serde(skip)]
    panels: BTreeMap<i64, Panel>,
    #[serde(skip)]
    panel_waiting: bool,
    #[serde(skip)]
    alerts: Vec<DeviceAlert>,
    #[serde(skip)]
    reports: Vec<Alarm>,
    #[serde(skip)]
    keeping: Keeping,
    #[serde(skip)]
    notice: Option<String>,
    #[serde(skip)]
    uplink_down: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            seq: 1,
            holder: None,
            lesson: None,
            stage: Stage::new(1),
            teacher_live: false,
            room_live: false,
            others: BTreeMap::new(),
            panels: BTreeMap::new(),
            panel_waiting: false,
            alerts: Vec::new(),
            reports: Vec::new(),
            keeping: Keeping::default(),
            notice: None,
            uplink_down: false,
        }
    }
}

impl Room {
    /// An empty room. Its sequence number is ahead of any that was shown before `now`, whatever became of the kept state.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self { seq: now.max(1), ..Self::default() }
    }

    /// Takes up a kept state after a restart. Every student gets the grace to come back.
    ///
    /// What was kept may be old: changes that need not survive are not written, but pages have seen their numbers. So the
    /// sequence number goes on from the time in milliseconds, which no room reaches by counting its changes.
    #[must_use]
    pub fn restored(mut self, now: Millis) -> Self {
        self.seq = (self.seq + 1_000).max(now);
        if let Some(lesson) = &mut self.lesson {
            for place in lesson.seats.values_mut() {
                place.gone_at = now;
            }
            lesson.home.restored(now);
        }
        self.stage.nothing_is_seen();
        self
    }

    /// Grows with every change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Id of the running lesson.
    pub fn lesson_id(&self) -> Option<&str> {
        self.lesson.as_ref().map(|lesson| lesson.id.as_str())
    }

    /// Class of the running lesson.
    pub fn class_id(&self) -> Option<i64> {
        self.lesson.as_ref().map(|lesson| lesson.class)
    }

    /// The running lesson as the policy needs it.
    pub fn policy_lesson(&self) -> Option<policy::Lesson> {
        let lesson = self.lesson.as_ref()?;
        Some(policy::Lesson { id: lesson.id.clone(), attention: lesson.attention, permits: lesson.permits.clone() })
    }

    /// The room code, while a lesson runs.
    pub fn code(&self) -> Option<&str> {
        self.lesson.as_ref().map(|lesson| lesson.code.as_str())
    }

    /// Whether `code` is the room code of the running lesson; the answer to a right code is the lesson's id.
    ///
    /// # Errors
    /// `no-lesson`, `locked`, `wrong-code`.
    pub fn check_code(&self, code: &str) -> Result<&str, ProblemCode> {
        let lesson = self.lesson.as_ref().ok_or(ProblemCode::NoLesson)?;
        if lesson.code != code {
            return Err(ProblemCode::WrongCode);
        }
        if lesson.locked { Err(ProblemCode::Locked) } else { Ok(&lesson.id) }
    }

    /// Whether this pass still holds its seat.
    pub fn holds(&self, pass: &Pass) -> bool {
        self.place(pass).is_ok()
    }

    /// Whether this teacher holds the room.
    pub fn is_holder(&self, teacher: i64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.id == teacher)
    }

    /// Whether the seat may publish now (R-CAST-3, R-POL-7).
    ///
    /// # Errors
    /// `no-lesson`, `signed-out` when the pass is void, `not-approved`.
    pub fn may_publish(&self, pass: &Pass) -> Result<(), ProblemCode> {
        match self.place(pass)?.wish {
            Wish::Approved => Ok(()),
            Wish::Idle | Wish::Asked(_) | Wish::Invited => Err(ProblemCode::NotApproved),
        }
    }

    /// Whether teachers and their programs may publish now: only in a lesson (R-POL-7).
    ///
    /// # Errors
    /// `no-lesson`, or `not-holder` for a teacher who does not hold the room.
    pub fn may_publish_as_staff(&self, teacher: Option<i64>) -> Result<(), ProblemCode> {
        if self.lesson.is_none() {
            return Err(ProblemCode::NoLesson);
        }
        match teacher {
            Some(id) if !self.is_holder(id) => Err(ProblemCode::NotHolder),
            _ => Ok(()),
        }
    }

    /// Version of the seat's small picture that teachers may look at.
    pub fn thumbnail(&self, seat: Seat) -> Option<u64> {
        self.lesson.as_ref()?.seats.get(&seat)?.thumbnail
    }

    /// When [`Input::Tick`] is due, if ever.
    pub fn next_deadline(&self) -> Option<Millis> {
        let lesson = self.lesson.as_ref()?;
        let permits = lesson.permits.iter().map(|permit| permit.until);
        let thumbnails = lesson.seats.values().filter_map(Place::thumbnail_until);
        lesson.open_until.into_iter().chain(lesson.home.next_deadline()).chain(permits).chain(thumbnails).min()
    }

    fn place(&self, pass: &Pass) -> Result<&Place, ProblemCode> {
        let lesson = self.lesson.as_ref().ok_or(ProblemCode::NoLesson)?;
        let place = lesson.seats.get(&pass.seat).filter(|_| lesson.id == pass.lesson);
        place.filter(|place| place.taken == Some(pass.epoch)).ok_or(ProblemCode::SignedOut)
    }

    fn place_mut(&mut self, pass: &Pass) -> Result<&mut Place, ProblemCode> {
        self.place(pass)?;
        let lesson = self.lesson.as_mut().ok_or(ProblemCode::NoLesson)?;
        lesson.seats.get_mut(&pass.seat).ok_or(ProblemCode::SignedOut)
    }

    fn is_live(&self, source: &SourceId) -> bool {
        match source.seat() {
            Some(seat) => {
                self.lesson.as_ref().and_then(|lesson| lesson.seats.get(&seat)).is_some_and(|place| place.live)
            }
            None if *source == SourceId::teacher() => self.teacher_live,
            None if *source == SourceId::room() => self.room_live,
            None => self.others.get(source).is_some_and(|other| other.live),
        }
    }

    fn label(&self, source: &SourceId) -> String {
        match source.seat() {
            Some(seat) => self
                .lesson
                .as_ref()
                .and_then(|lesson| lesson.seats.get(&seat))
                .map(|place| place.name.clone())
                .unwrap_or_default(),
            None if *source == SourceId::teacher() => {
                self.holder.as_ref().map(|holder| holder.name.clone()).unwrap_or_default()
            }
            None => self.others.get(source).map(|other| other.label.clone()).unwrap_or_default(),
        }
    }
}
