//! What each page is shown, computed from the state.

use classroom_protocol::{
    Millis, PanelView, Problem, ProblemCode, StudentView, TeacherView,
    view::{self, LessonView, Marks, PanelState, SeatView, Sharing, SourceView},
};

use super::{Lesson, Pass, Place, Room, Wish};

/// What the views say beside the room's own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The room's name.
    pub room: String,
    /// Address of the students' page, as people would type it.
    pub join_url: String,
    /// What is wrong with the box's settings, for those who look after it.
    pub notice: Option<String>,
}

impl Room {
    /// The whole room, for a teacher.
    pub fn teacher_view(&self, facts: &Facts, you: i64, your_name: &str) -> TeacherView {
        let lesson = self.lesson.as_ref();
        let seat = |(seat, place): (&classroom_protocol::Seat, &Place)| SeatView {
            seat: *seat,
            name: place.name.clone(),
            taken: place.taken.is_some(),
            online: place.pages > 0,
            sharing: sharing(place),
            asked_at: if let Wish::Asked(at) = place.wish { Some(at) } else { None },
            tile: self.stage.tile_of(&seat.source()),
            thumbnail: place.thumbnail,
            home: lesson.and_then(|lesson| self.home_seat(lesson, *seat)),
        };
        TeacherView {
            room: facts.room.clone(),
            join_url: facts.join_url.clone(),
            you: your_name.to_owned(),
            holds: self.is_holder(you),
            holder: self.holder.as_ref().map(|holder| holder.name.clone()),
            lesson: lesson.map(lesson_view),
            code: lesson.map(|lesson| lesson.code.clone()),
            seats: lesson.map(|lesson| lesson.seats.iter().map(seat).collect()).unwrap_or_default(),
            sources: self.source_views(),
            stage: self.stage_view(),
            marks: self.marks(),
            panels: self
                .panels
                .iter()
                .filter(|(_, panel)| panel.expected)
                .map(|(id, panel)| PanelState {
                    id: *id,
                    name: panel.name.clone(),
                    online: panel.connections > 0,
                    lost: panel.lost.clone(),
                })
                .collect(),
            panel_waiting: self.panel_waiting,
            alerts: self.alerts.clone(),
            keeping: self.keeping.clone(),
            reports: self.reports_for(you),
            room_live: self.room_live,
        }
    }

    /// A student's own part.
    ///
    /// # Errors
    /// `no-lesson` when the lesson of the pass is over, `signed-out` when the seat was freed.
    pub fn student_view(&self, facts: &Facts, pass: &Pass, now: Millis) -> Result<StudentView, ProblemCode> {
        if self.lesson_id() != Some(&pass.lesson) {
            return Err(ProblemCode::NoLesson);
        }
        let place = self.place(pass)?;
        let on_stage = self.stage.tile_of(&pass.seat.source()).is_some();
        let attention = self.lesson.as_ref().is_some_and(|lesson| lesson.attention);
        Ok(StudentView {
            room: facts.room.clone(),
            lesson: self.lesson.as_ref().map(lesson_view),
            seat: pass.seat,
            name: place.name.clone(),
            sharing: sharing(place),
            wanted: on_stage && place.wish == Wish::Approved && !attention,
            on_stage,
            refused: self.why_not_ask(now).filter(|_| place.wish == Wish::Idle).map(Problem::new),
            marks: self.marks(),
        })
    }

    /// The panel's picture.
    pub fn panel_view(&self, facts: &Facts) -> PanelView {
        PanelView {
            room: facts.room.clone(),
            join_url: facts.join_url.clone(),
            lesson: self.lesson.as_ref().map(lesson_view),
            code: self.lesson.as_ref().map(|lesson| lesson.code.clone()),
            stage: self.stage_view(),
            voice: self.voice(),
            marks: self.marks(),
            notice: facts.notice.clone().or_else(|| self.notice.clone()),
        }
    }

    /// The seats that someone with the code may choose from.
    pub fn open_seats(&self) -> Vec<view::OpenSeat> {
        let Some(lesson) = &self.lesson else { return vec![] };
        let open = |(seat, place): (&classroom_protocol::Seat, &Place)| view::OpenSeat {
            seat: *seat,
            name: place.name.clone(),
            taken: place.taken.is_some() && place.pages > 0,
        };
        lesson.seats.iter().map(open).collect()
    }

    /// Name of the class in the running lesson.
    pub fn class_name(&self) -> Option<&str> {
        self.lesson.as_ref().map(|lesson| lesson.class_name.as_str())
    }

    fn stage_view(&self) -> view::Stage {
        let tile = |tile: &super::Tile| view::Tile {
            source: tile.source.clone(),
            label: self.label(&tile.source),
            frozen: tile.frozen,
            live: self.is_live(&tile.source),
        };
        view::Stage {
            layout: self.stage.layout(),
            tiles: self.stage.tiles().iter().map(|place| place.as_ref().map(tile)).collect(),
        }
    }

    fn source_views(&self) -> Vec<SourceView> {
        let teacher = classroom_protocol::SourceId::teacher();
        let own = SourceView {
            tile: self.stage.tile_of(&teacher),
            source: teacher,
            label: String::new(),
            live: self.teacher_live,
        };
        let others = self.others.iter().map(|(source, other)| SourceView {
            source: source.clone(),
            label: other.label.clone(),
            live: other.live,
            tile: self.stage.tile_of(source),
        });
        std::iter::once(own).chain(others).collect()
    }

    /// Nothing records yet (R-LIVE-3): that mark comes with its own part of the box.
    pub(super) fn marks(&self) -> Marks {
        Marks {
            recording: false,
            live: self.lesson.as_ref().is_some_and(|lesson| lesson.home.watched()),
            offline: self.uplink_down,
        }
    }
}

fn sharing(place: &Place) -> Sharing {
    match place.wish {
        Wish::Idle => Sharing::Off,
        Wish::Asked(_) => Sharing::Asking,
        Wish::Invited => Sharing::Invited,
        Wish::Approved if place.live => Sharing::Live,
        Wish::Approved => Sharing::Approved,
    }
}

pub(super) fn lesson_view(lesson: &Lesson) -> LessonView {
    LessonView {
        id: lesson.id.clone(),
        class_name: lesson.class_name.clone(),
        started_at: lesson.started_at,
        attention: lesson.attention,
        locked: lesson.locked,
        open_until: lesson.open_until,
        permits: lesson.permits.clone(),
    }
}
