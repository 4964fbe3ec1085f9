//! What each input does to the room.

use std::collections::{BTreeMap, BTreeSet};

use classroom_protocol::{
    Millis, ProblemCode, Seat, SourceId, StudentCommand, TeacherCommand,
    policy::{Permission, Permit},
};

use crate::policy::{
    host_name,
    permits::{self, LONGEST_PERMIT},
};

use super::{Class, Effect, Fresh, Input, Lesson, Other, Panel, Pass, Place, Room, SEAT_GRACE, Stage, Teacher, Wish};
use crate::home::Home;

/// The longest time that sharing can be opened for, in minutes.
const LONGEST_OPEN: u16 = 120;

/// Permits of one lesson.
const MOST_PERMITS: usize = 30;

type Effects = Vec<Effect>;

impl Room {
    /// Lets `input` happen at `now`. On an error nothing has changed.
    ///
    /// # Errors
    /// The reason why it may not happen, as people are told.
    pub fn apply(&mut self, input: Input, now: Millis) -> Result<Effects, ProblemCode> {
        let before = self.stage.clone();
        let (program_before, paused_before) = (self.program(), self.paused());
        let lesson_before = self.lesson.as_ref().map(|lesson| lesson.id.clone());
        let attended = self.attendance();
        let pictured = self.pictured();
        let mut effects = self.change(input, now)?;
        // First, so that a reader who stops at the end of the lesson has all of it.
        let seen = lesson_before.map(|lesson| self.settle(&before, &lesson, now)).unwrap_or_default();
        let happened = self.happened(&attended, &seen, now).map(Effect::Happened);
        effects.splice(0..0, seen.iter().cloned().chain(happened));
        let paused = self.paused();
        effects.extend(pauses(paused.difference(&paused_before), true));
        effects.extend(pauses(paused_before.difference(&paused), false));
        let program = self.program();
        if program != program_before {
            effects.push(Effect::Program(program));
        }
        effects.extend(self.forget_thumbnails(pictured, now));
        self.seq += 1;
        Ok(effects)
    }

    fn change(&mut self, input: Input, now: Millis) -> Result<Effects, ProblemCode> {
        match input {
            Input::Teacher { who, command, class, fresh } => self.teacher(who, command, class, fresh, now),
            Input::Student { pass, command } => self.student(&pass, command, now),
            Input::HomeJoin { lesson, seat, link, take_over } => self.home_join(&lesson, seat, link, take_over, now),
            Input::Home { pass, command } => self.home_command(&pass, command, now),
            Input::HomeOnline { pass, online } => self.home_online(&pass, online, now),
            Input::TakeSeat { lesson, seat } => self.take_seat(&lesson, seat, now),
            Input::SeatOnline { pass, online } => {
                let place = self.place_mut(&pass)?;
                place.pages = if online { place.pages + 1 } else { place.pages.saturating_sub(1) };
                if place.pages == 0 {
                    place.gone_at = now;
                }
                Ok(vec![])
            }
            Input::Thumbnail { pass, version } => {
                let place = self.place_mut(&pass)?;
                if place.wish == Wish::Idle {
                    return Err(ProblemCode::NotApproved);
                }
                place.thumbnail = place.thumbnail.max(Some(version));
                place.thumbnail_at = now;
                Ok(vec![])
            }
            Input::SourceLive { source, live } => {
                if let Some(seat) = source.home_seat() {
                    return Ok(self.home_voice(seat, live, now));
                }
                self.source_live(&source, live);
                Ok(vec![])
            }
            Input::Sources(names) => Ok(self.set_sources(names)),
            Input::Panels { names, own } => {
                let mut known = std::mem::take(&mut self.panels);
                let keep = |(id, name)| {
                    let known = known.remove(&id).unwrap_or_default();
                    let expected = known.expected || own != Some(id);
                    (id, Panel { name, expected, ..known })
                };
                self.panels = names.into_iter().map(keep).collect();
                Ok(vec![])
            }
            Input::PanelOnline { panel, online } => {
                let panel = self.panels.get_mut(&panel).ok_or(ProblemCode::SignedOut)?;
                panel.connections = if online { panel.connections + 1 } else { panel.connections.saturating_sub(1) };
                panel.expected = true;
                if panel.connections == 0 {
                    panel.lost.clear();
                }
                Ok(vec![])
            }
            Input::PanelLost { panel, lost } => {
                self.panels.get_mut(&panel).ok_or(ProblemCode::SignedOut)?.lost = lost;
                Ok(vec![])
            }
            Input::PanelWaiting(waiting) => {
                self.panel_waiting = waiting;
                Ok(vec![])
            }
            Input::DeviceAlerts(alerts) => {
                self.alerts = alerts;
                Ok(vec![])
            }
            Input::Alarms(told) => {
                self.hear(told, now);
                Ok(vec![])
            }
            Input::Keeping { keeping, notice } => {
                (self.keeping, self.notice) = (keeping, notice);
                Ok(vec![])
            }
            Input::Uplink { down } => {
                self.uplink_down = down;
                Ok(vec![])
            }
            Input::Tick => {
                if let Some(lesson) = &mut self.lesson {
                    lesson.open_until = lesson.open_until.filter(|until| *until > now);
                    lesson.permits.retain(|permit| permits::counts(permit, now));
                }
                Ok(self.home_tick(now))
            }
        }
    }

    /// The seats with a small picture, and its version.
    fn pictured(&self) -> Vec<(Seat, u64)> {
        let seats = self.lesson.iter().flat_map(|lesson| &lesson.seats);
        seats.filter_map(|(seat, place)| Some((*seat, place.thumbnail?))).collect()
    }

    /// A small picture lives as long as its student asks or shares and is there (R-CAST-3). `before` are those there were.
    fn forget_thumbnails(&mut self, before: Vec<(Seat, u64)>, now: Millis) -> Effects {
        for place in self.lesson.iter_mut().flat_map(|lesson| lesson.seats.values_mut()) {
            if place.wish == Wish::Idle || place.thumbnail_until().is_some_and(|until| until <= now) {
                place.thumbnail = None;
            }
        }
        let gone = before.into_iter().filter(|(seat, _)| self.thumbnail(*seat).is_none());
        gone.map(|(seat, version)| Effect::ForgetThumbnail { seat, version }).collect()
    }

    /// What is seen on the panel decides the evidence (R-CAST-4): on the stage, live, and not paused.
    fn settle(&mut self, before: &Stage, lesson: &str, now: Millis) -> Effects {
        let paused = self.lesson.as_ref().is_none_or(|lesson| lesson.attention);
        let mut stage = self.stage.clone();
        let changed = stage.settle(before, |source| !paused && self.is_live(source), now);
        self.stage = stage;
        let hidden = changed.hidden.into_iter().map(|(source, from)| Effect::Hidden {
            lesson: lesson.to_owned(),
            source,
            from,
            // The clock may have been set back since: nothing ends before it began.
            at: now.max(from),
        });
        let seen = changed.seen.into_iter().map(|source| Effect::Seen {
            lesson: lesson.to_owned(),
            label: self.label(&source),
            source,
            at: now,
        });
        hidden.chain(seen).collect()
    }

    fn teacher(
        &mut self,
        who: Teacher,
        command: TeacherCommand,
        class: Option<Class>,
        fresh: Fresh,
        now: Millis,
    ) -> Result<Effects, ProblemCode> {
        match command {
            TeacherCommand::StartLesson { class: id } => {
                let class = class.filter(|class| class.id == id).ok_or(ProblemCode::NotFound)?;
                self.start_lesson(who, class, fresh, now)
            }
            TeacherCommand::TakeOver => {
                self.holder = Some(who);
                // The teacher's screen on the stage is the former holder's.
                let teacher = SourceId::teacher();
                self.stage.remove(&teacher);
                Ok(vec![Effect::CloseSource(teacher)])
            }
            command => {
                if self.lesson.is_none() {
                    return Err(ProblemCode::NoLesson);
                }
                if !self.is_holder(who.id) {
                    return Err(ProblemCode::NotHolder);
                }
                self.hold(command, fresh, now)
            }
        }
    }

    fn start_lesson(&mut self, who: Teacher, class: Class, fresh: Fresh, now: Millis) -> Result<Effects, ProblemCode> {
        if self.lesson.is_some() {
            return Err(ProblemCode::LessonRunning);
        }
        let by = who.clone();
        let place = |name| Place {
            name,
            taken: None,
            taken_at: 0,
            wish: Wish::Idle,
            pages: 0,
            gone_at: now,
            live: false,
            thumbnail: None,
            thumbnail_at: 0,
        };
        self.holder = Some(who);
        self.stage.clear();
        self.lesson = Some(Lesson {
            id: fresh.lesson.clone(),
            class: class.id,
            class_name: class.name.clone(),
            started_at: now,
            code: fresh.code,
            locked: false,
            attention: false,
            open_until: None,
            permits: vec![],
            epoch: 0,
            seats: class.students.into_iter().map(|(seat, name)| (seat, place(name))).collect(),
            home: Home::default(),
        });
        Ok(vec![Effect::LessonStarted { lesson: fresh.lesson, class: class.id, class_name: class.name, by, at: now }])
    }

    /// A command of the teacher who holds the room, in a lesson.
    fn hold(&mut self, command: TeacherCommand, fresh: Fresh, now: Millis) -> Result<Effects, ProblemCode> {
        let lesson = self.lesson.as_mut().ok_or(ProblemCode::NoLesson)?;
        match command {
            TeacherCommand::StartLesson { .. } => return Err(ProblemCode::LessonRunning),
            TeacherCommand::TakeOver => {}
            TeacherCommand::EndLesson => return Ok(self.end_lesson(now)),
            TeacherCommand::NewCode => lesson.code = fresh.code,
            TeacherCommand::Lock { on } => lesson.locked = on,
            TeacherCommand::Attention { on } => lesson.attention = on,
            TeacherCommand::OpenSharing { minutes: 0 } => lesson.open_until = None,
            TeacherCommand::OpenSharing { minutes } if minutes <= LONGEST_OPEN => {
                lesson.open_until = Some(now + u64::from(minutes) * 60_000);
                for place in lesson.seats.values_mut().filter(|place| matches!(place.wish, Wish::Asked(_))) {
                    place.wish = Wish::Approved;
                }
            }
            TeacherCommand::OpenSharing { .. } => return Err(ProblemCode::BadInput),
            TeacherCommand::Permit { what, minutes } => permit(&mut lesson.permits, what, minutes, now)?,
            TeacherCommand::Forbid { what } => {
                let what = named(what)?;
                lesson.permits.retain(|permit| permit.what != what);
            }
            TeacherCommand::Layout { tiles } => {
                if !Stage::LAYOUTS.contains(&tiles) {
                    return Err(ProblemCode::BadInput);
                }
                self.stage.set_layout(tiles);
            }
            TeacherCommand::Show { source, tile } => return self.show(&source, tile, now),
            TeacherCommand::Remove { source } => {
                self.stage.remove(&source);
                self.withdraw_invitation(&source);
            }
            TeacherCommand::Swap { a, b } => self.stage.swap(a, b).ok_or(ProblemCode::BadInput)?,
            TeacherCommand::Freeze { source, on } => {
                self.stage.freeze(&source, on).ok_or(ProblemCode::NotFound)?;
            }
            TeacherCommand::Approve { seat } => {
                let place = lesson.seats.get_mut(&seat).ok_or(ProblemCode::NoSuchSeat)?;
                place.wish = match place.wish {
                    Wish::Asked(_) | Wish::Approved => Wish::Approved,
                    Wish::Idle | Wish::Invited => Wish::Invited,
                };
            }
            TeacherCommand::Decline { seat } => {
                lesson.seats.get_mut(&seat).ok_or(ProblemCode::NoSuchSeat)?.wish = Wish::Idle;
                return Ok(self.stop_sharing(seat));
            }
            TeacherCommand::InviteHome { seat } => return self.invite_home(seat, now),
            TeacherCommand::RevokeHome { seat } => return self.revoke_home(seat, now),
            TeacherCommand::Microphone { seat, on } => return self.microphone(seat, on),
            TeacherCommand::LowerHand { seat } => lesson.home.lower(seat)?,
            TeacherCommand::FreeSeat { seat } => {
                let place = lesson.seats.get_mut(&seat).ok_or(ProblemCode::NoSuchSeat)?;
                place.leave();
                return Ok(self.stop_sharing(seat));
            }
        }
        Ok(vec![])
    }

    /// Which field of a command was refused as `bad-input`.
    pub fn wrong_field(&self, command: &TeacherCommand) -> Option<&'static str> {
        match command {
            TeacherCommand::OpenSharing { .. } => Some("minutes"),
            TeacherCommand::Layout { .. } => Some("tiles"),
            TeacherCommand::Show { .. } => Some("tile"),
            TeacherCommand::Swap { a, .. } => Some(if *a < self.stage.layout() { "b" } else { "a" }),
            TeacherCommand::Permit { minutes: Some(minutes), .. } if !(1..=LONGEST_PERMIT).contains(minutes) => {
                Some("minutes")
            }
            TeacherCommand::Permit { .. } | TeacherCommand::Forbid { .. } => Some("what"),
            _ => None,
        }
    }

    fn show(&mut self, source: &SourceId, tile: Option<u8>, now: Millis) -> Result<Effects, ProblemCode> {
        if tile.is_some_and(|tile| tile >= self.stage.layout()) {
            return Err(ProblemCode::BadInput);
        }
        match source.seat() {
            Some(seat) => {
                let lesson = self.lesson.as_mut().ok_or(ProblemCode::NoLesson)?;
                let place = lesson.seats.get_mut(&seat).ok_or(ProblemCode::NoSuchSeat)?;
                place.wish = match place.wish {
                    Wish::Asked(_) | Wish::Approved => Wish::Approved,
                    Wish::Idle | Wish::Invited => Wish::Invited,
                };
            }
            None if *source == SourceId::teacher() || self.others.contains_key(source) => {}
            None => return Err(ProblemCode::NotFound),
        }
        let before: Vec<SourceId> = self.stage.tiles().iter().flatten().map(|tile| tile.source.clone()).collect();
        self.stage.show(source, tile, now).ok_or(ProblemCode::BadInput)?;
        for replaced in before {
            if self.stage.tile_of(&replaced).is_none() {
                self.withdraw_invitation(&replaced);
            }
        }
        Ok(vec![])
    }

    /// Who was invited to the stage and is taken off it again need not choose a screen any more.
    fn withdraw_invitation(&mut self, source: &SourceId) {
        let place = source.seat().and_then(|seat| self.lesson.as_mut()?.seats.get_mut(&seat));
        if let Some(place) = place.filter(|place| place.wish == Wish::Invited) {
            place.wish = Wish::Idle;
        }
    }

    /// The seat no longer shares: its place on the stage is free, its media session ends.
    fn stop_sharing(&mut self, seat: Seat) -> Effects {
        self.stage.remove(&seat.source());
        vec![Effect::CloseSource(seat.source())]
    }

    /// Everything that may publish in this lesson.
    fn sources(&self) -> Vec<SourceId> {
        let seats = self.lesson.iter().flat_map(|lesson| lesson.seats.keys()).map(|seat| seat.source());
        seats.chain(self.others.keys().cloned()).chain([SourceId::teacher()]).collect()
    }

    /// What is not forwarded: everything that could be shown, while all are to look at the teacher (R-POL-7).
    pub fn paused(&self) -> BTreeSet<SourceId> {
        let attention = self.lesson.as_ref().is_some_and(|lesson| lesson.attention);
        if attention { self.sources().into_iter().collect() } else { BTreeSet::new() }
    }

    /// What holds already when a shell takes up this state, whose forwarder has just begun and knows of nothing.
    pub fn standing(&self) -> Vec<Effect> {
        pauses(&self.paused(), true).collect()
    }

    fn end_lesson(&mut self, now: Millis) -> Effects {
        let mut effects: Effects = self.sources().into_iter().map(Effect::CloseSource).collect();
        effects.push(Effect::CloseSource(SourceId::room()));
        effects.extend(self.end_home(now));
        let Some(lesson) = self.lesson.take() else { return vec![] };
        self.stage = Stage::new(1);
        self.holder = None;
        effects.push(Effect::LessonEnded { lesson: lesson.id, at: now.max(lesson.started_at) });
        effects
    }

    fn student(&mut self, pass: &Pass, command: StudentCommand, now: Millis) -> Result<Effects, ProblemCode> {
        let refused = self.why_not_ask(now);
        let open = self.lesson.as_ref().and_then(|lesson| lesson.open_until).is_some_and(|until| until > now);
        let place = self.place_mut(pass)?;
        match command {
            StudentCommand::Ask => {
                place.wish = match place.wish {
                    // An invitation and a permission are the teacher's word; they outweigh a lock.
                    Wish::Invited | Wish::Approved => Wish::Approved,
                    Wish::Asked(at) => Wish::Asked(at),
                    Wish::Idle => match refused {
                        Some(code) => return Err(code),
                        None if open => Wish::Approved,
                        None => Wish::Asked(now),
                    },
                };
                Ok(vec![])
            }
            StudentCommand::Stop => {
                place.wish = Wish::Idle;
                Ok(self.stop_sharing(pass.seat))
            }
            StudentCommand::Leave => {
                place.leave();
                Ok(self.stop_sharing(pass.seat))
            }
        }
    }

    /// Why a student can't ask now, if so.
    pub(super) fn why_not_ask(&self, now: Millis) -> Option<ProblemCode> {
        let lesson = self.lesson.as_ref();
        match lesson {
            None => Some(ProblemCode::NoLesson),
            Some(lesson) if lesson.attention => Some(ProblemCode::Attention),
            Some(lesson) if lesson.open_until.is_some_and(|until| until > now) => None,
            Some(lesson) if lesson.locked => Some(ProblemCode::Locked),
            Some(_) => None,
        }
    }

    fn take_seat(&mut self, lesson_id: &str, seat: Seat, now: Millis) -> Result<Effects, ProblemCode> {
        let lesson = self.lesson.as_mut().ok_or(ProblemCode::NoLesson)?;
        if lesson.id != lesson_id {
            return Err(ProblemCode::SignedOut);
        }
        if lesson.locked {
            return Err(ProblemCode::Locked);
        }
        let place = lesson.seats.get_mut(&seat).ok_or(ProblemCode::NoSuchSeat)?;
        // A clock that was set back holds no seat for longer.
        let held = place.taken.is_some() && (place.pages > 0 || now.abs_diff(place.gone_at) < SEAT_GRACE);
        if held {
            return Err(ProblemCode::SeatTaken);
        }
        place.leave();
        place.gone_at = now;
        lesson.epoch += 1;
        place.taken = Some(lesson.epoch);
        place.taken_at = now;
        let pass = Pass { lesson: lesson.id.clone(), seat, epoch: lesson.epoch };
        let given = Effect::SeatGiven { pass, name: place.name.clone() };
        let mut effects = self.stop_sharing(seat);
        effects.push(given);
        Ok(effects)
    }

    fn source_live(&mut self, source: &SourceId, live: bool) {
        match source.seat() {
            Some(seat) => {
                if let Some(place) = self.lesson.as_mut().and_then(|lesson| lesson.seats.get_mut(&seat)) {
                    place.live = live;
                }
            }
            None if *source == SourceId::teacher() => self.teacher_live = live,
            None if *source == SourceId::room() => self.room_live = live,
            None => {
                if let Some(other) = self.others.get_mut(source) {
                    other.live = live;
                }
            }
        }
    }

    fn set_sources(&mut self, names: BTreeMap<SourceId, String>) -> Effects {
        let gone: Vec<SourceId> = self.others.keys().filter(|id| !names.contains_key(id)).cloned().collect();
        let mut known = std::mem::take(&mut self.others);
        let keep = |(id, label): (SourceId, String)| {
            let live = known.remove(&id).is_some_and(|other| other.live);
            (id, Other { label, live })
        };
        self.others = names.into_iter().map(keep).collect();
        gone.iter().for_each(|source| self.stage.remove(source));
        gone.into_iter().map(Effect::CloseSource).collect()
    }
}

fn pauses<'a>(sources: impl IntoIterator<Item = &'a SourceId>, paused: bool) -> impl Iterator<Item = Effect> {
    sources.into_iter().map(move |source| Effect::Pause { source: source.clone(), paused })
}

/// The same thing opened again gets the new end.
fn permit(permits: &mut Vec<Permit>, what: Permission, minutes: Option<u16>, now: Millis) -> Result<(), ProblemCode> {
    let minutes = minutes.unwrap_or(LONGEST_PERMIT);
    if !(1..=LONGEST_PERMIT).contains(&minutes) {
        return Err(ProblemCode::BadInput);
    }
    let what = named(what)?;
    permits.retain(|permit| permit.what != what && permit.until > now);
    if permits.len() >= MOST_PERMITS {
        return Err(ProblemCode::Full);
    }
    permits.push(Permit { what, until: now + u64::from(minutes) * 60_000 });
    Ok(())
}

/// A permission in its one form.
fn named(what: Permission) -> Result<Permission, ProblemCode> {
    match what {
        Permission::Host(host) => host_name(&host).map(Permission::Host).map_err(|_| ProblemCode::BadInput),
        Permission::Category(id) if !(1..=32).contains(&id.len()) => Err(ProblemCode::BadInput),
        other => Ok(other),
    }
}

impl Place {
    /// Nobody sits here any more.
    fn leave(&mut self) {
        self.taken = None;
        self.wish = Wish::Idle;
        self.pages = 0;
        self.live = false;
        self.thumbnail = None;
    }

    /// When the small picture of a student who is not there any more is too old.
    pub(super) fn thumbnail_until(&self) -> Option<Millis> {
        let gone = self.thumbnail.is_some() && self.pages == 0;
        gone.then(|| self.gone_at.max(self.thumbnail_at) + SEAT_GRACE)
    }
}
