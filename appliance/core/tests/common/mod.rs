//! A class of 30 with one teacher, in virtual time.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use appliance_core::room::{Class, Effect, Facts, Fresh, Input, Pass, Room, Teacher};
use classroom_protocol::{
    Millis, PanelView, ProblemCode, Seat, SourceId, StudentCommand, StudentView, TeacherCommand, TeacherView,
};

pub fn seat(n: u8) -> Seat {
    n.try_into().unwrap()
}

pub fn facts() -> Facts {
    Facts { room: "三年二班教室".into(), join_url: "http://box/join".into(), notice: None }
}

pub struct Class30 {
    pub room: Room,
    pub now: Millis,
    fresh: u32,
}

impl Class30 {
    pub fn new() -> Self {
        let now = 1_000_000;
        Self { room: Room::new(now), now, fresh: 0 }
    }

    pub fn in_lesson() -> Self {
        let mut class = Self::new();
        class.teacher_start();
        class
    }

    pub fn teacher_start(&mut self) {
        self.teacher(TeacherCommand::StartLesson { class: 1 }).unwrap();
    }

    pub fn after(&mut self, ms: Millis) {
        self.now += ms;
    }

    pub fn as_teacher(&mut self, id: i64, command: TeacherCommand) -> Result<Vec<Effect>, ProblemCode> {
        self.fresh += 1;
        let students = (1..=30).map(|n| (seat(n), format!("學生{n}"))).collect();
        let input = Input::Teacher {
            who: Teacher { id, name: format!("老師{id}") },
            command,
            class: Some(Class { id: 1, name: "三年二班".into(), students }),
            fresh: Fresh { lesson: format!("lesson-{}", self.fresh), code: format!("{:06}", self.fresh) },
        };
        self.room.apply(input, self.now)
    }

    pub fn teacher(&mut self, command: TeacherCommand) -> Result<Vec<Effect>, ProblemCode> {
        self.as_teacher(1, command)
    }

    pub fn show(&mut self, n: u8) -> Result<Vec<Effect>, ProblemCode> {
        self.teacher(TeacherCommand::Show { source: seat(n).source(), tile: None })
    }

    pub fn student(&mut self, pass: &Pass, command: StudentCommand) -> Result<Vec<Effect>, ProblemCode> {
        self.room.apply(Input::Student { pass: pass.clone(), command }, self.now)
    }

    pub fn try_sit(&mut self, n: u8) -> Result<Pass, ProblemCode> {
        let lesson = self.room.lesson_id().unwrap_or_default().to_owned();
        let effects = self.room.apply(Input::TakeSeat { lesson, seat: seat(n) }, self.now)?;
        let pass = effects.into_iter().find_map(|effect| match effect {
            Effect::SeatGiven { pass, .. } => Some(pass),
            _ => None,
        });
        Ok(pass.unwrap())
    }

    pub fn sit(&mut self, n: u8) -> Pass {
        let pass = self.try_sit(n).unwrap();
        self.online(&pass, true);
        pass
    }

    pub fn online(&mut self, pass: &Pass, online: bool) {
        self.room.apply(Input::SeatOnline { pass: pass.clone(), online }, self.now).unwrap();
    }

    pub fn live(&mut self, n: u8, live: bool) -> Vec<Effect> {
        self.room.apply(Input::SourceLive { source: seat(n).source(), live }, self.now).unwrap()
    }

    pub fn teacher_live(&mut self, live: bool) {
        self.room.apply(Input::SourceLive { source: SourceId::teacher(), live }, self.now).unwrap();
    }

    pub fn student_view(&self, pass: &Pass) -> StudentView {
        self.room.student_view(&facts(), pass, self.now).unwrap()
    }

    pub fn teacher_view(&self) -> TeacherView {
        self.room.teacher_view(&facts(), 1, "老師1")
    }

    pub fn panel_view(&self) -> PanelView {
        self.room.panel_view(&facts())
    }

    pub fn on_stage(&self) -> Vec<String> {
        self.panel_view().stage.tiles.into_iter().flatten().map(|tile| tile.source.to_string()).collect()
    }

    pub fn is_held_by(&self, id: i64) -> bool {
        self.room.is_holder(id)
    }

    pub fn restart(&mut self) {
        self.crash(&self.kept());
    }

    /// The state as the shell keeps it.
    pub fn kept(&self) -> String {
        serde_json::to_string(&self.room).unwrap()
    }

    /// Begins anew with what was kept some time ago.
    pub fn crash(&mut self, kept: &str) {
        self.room = serde_json::from_str::<Room>(kept).unwrap().restored(self.now);
    }

    /// A change that need not survive a restart and is not kept, as most are.
    pub fn passing(&mut self) {
        self.room.apply(Input::PanelWaiting(self.room.seq().is_multiple_of(2)), self.now).unwrap();
    }

    pub fn thumbnail(&mut self, pass: &Pass, version: u64) -> Result<Vec<Effect>, ProblemCode> {
        self.room.apply(Input::Thumbnail { pass: pass.clone(), version }, self.now)
    }
}
