//! What the room does about its students at home (R-LIVE-1). Who may do what is [`crate::home::Home`]'s.

use classroom_protocol::{
    HomeCommand, Millis, ProblemCode, Seat, SourceId,
    view::{HomeSeat, HomeView, Microphone, Voice, Watching},
};

use super::{Effect, Facts, Lesson, Room, views::lesson_view};
use crate::{
    home::{Attendance, HomePass, Program},
    usage::{Event, Fact, Place, Subject},
};

type Effects = Vec<Effect>;

impl Room {
    /// What students at home are given now.
    pub fn program(&self) -> Program {
        let Some(lesson) = &self.lesson else { return Program::default() };
        let stage = self.stage.tiles().iter().flatten().map(|tile| &tile.source);
        let speaker = lesson.home.open().map(Seat::home_source);
        Program::of(stage, lesson.attention, speaker.as_ref(), |source| match source.home_seat() {
            Some(seat) => lesson.home.speaks(seat),
            None => self.is_live(source),
        })
    }

    /// Whether a session at home still lives.
    pub fn holds_home(&self, pass: &HomePass) -> bool {
        self.home_lesson(pass).is_ok()
    }

    /// Whether the student at home may speak now (R-LIVE-1).
    ///
    /// # Errors
    /// `no-lesson`, `link-revoked`, `home-taken`, `signed-out`, `microphone-closed`.
    pub fn may_speak(&self, pass: &HomePass) -> Result<(), ProblemCode> {
        self.home_lesson(pass)?.home.may_speak(pass.seat, pass.session)
    }

    fn home_lesson(&self, pass: &HomePass) -> Result<&Lesson, ProblemCode> {
        let lesson = self.lesson.as_ref().filter(|lesson| lesson.id == pass.lesson).ok_or(ProblemCode::NoLesson)?;
        lesson.home.check(pass.seat, pass.session)?;
        Ok(lesson)
    }

    fn home_lesson_mut(&mut self, pass: &HomePass) -> Result<&mut Lesson, ProblemCode> {
        self.home_lesson(pass)?;
        self.lesson.as_mut().ok_or(ProblemCode::NoLesson)
    }

    pub(super) fn invite_home(&mut self, seat: Seat, now: Millis) -> Result<Effects, ProblemCode> {
        let lesson = self.lesson.as_mut().ok_or(ProblemCode::NoLesson)?;
        let name = lesson.seats.get(&seat).ok_or(ProblemCode::NoSuchSeat)?.name.clone();
        let link = lesson.home.invite(seat, now);
        Ok(vec![Effect::HomeLink { lesson: lesson.id.clone(), seat, link, name }])
    }

    pub(super) fn revoke_home(&mut self, seat: Seat, now: Millis) -> Result<Effects, ProblemCode> {
        let lesson = self.lesson.as_mut().ok_or(ProblemCode::NoLesson)?;
        let left = lesson.home.revoke(seat, now)?;
        let mut effects = attendance(lesson, left);
        effects.extend(silence(seat));
        Ok(effects)
    }

    pub(super) fn microphone(&mut self, seat: Seat, on: bool) -> Result<Effects, ProblemCode> {
        let lesson = self.lesson.as_mut().ok_or(ProblemCode::NoLesson)?;
        let ends = lesson.home.microphone(seat, on)?;
        Ok(ends.map(|seat| Effect::CloseSource(seat.home_source())).into_iter().collect())
    }

    pub(super) fn home_join(
        &mut self,
        lesson_id: &str,
        seat: Seat,
        link: u32,
        take_over: bool,
        now: Millis,
    ) -> Result<Effects, ProblemCode> {
        let lesson = self.lesson.as_mut().filter(|lesson| lesson.id == lesson_id).ok_or(ProblemCode::NoLesson)?;
        let name = lesson.seats.get(&seat).ok_or(ProblemCode::NoSuchSeat)?.name.clone();
        let session = lesson.home.join(seat, link, take_over, now)?;
        let pass = HomePass { lesson: lesson.id.clone(), seat, session };
        // Whatever an earlier session of the seat still has open is not this one's.
        let mut effects: Effects = silence(seat).into();
        effects.push(Effect::HomeGiven { pass, name });
        Ok(effects)
    }

    pub(super) fn home_command(
        &mut self,
        pass: &HomePass,
        command: HomeCommand,
        now: Millis,
    ) -> Result<Effects, ProblemCode> {
        let lesson = self.home_lesson_mut(pass)?;
        match command {
            HomeCommand::RaiseHand { up } => {
                let raised = lesson.home.raise(pass.seat, pass.session, up, now)?;
                Ok(attendance(lesson, raised))
            }
            HomeCommand::Leave => {
                let left = lesson.home.leave(pass.seat, pass.session, now)?;
                let mut effects = attendance(lesson, left);
                effects.extend(silence(pass.seat));
                Ok(effects)
            }
        }
    }

    pub(super) fn home_online(&mut self, pass: &HomePass, online: bool, now: Millis) -> Result<Effects, ProblemCode> {
        let lesson = self.home_lesson_mut(pass)?;
        let changed = lesson.home.online(pass.seat, pass.session, online, now)?;
        Ok(attendance(lesson, changed))
    }

    pub(super) fn home_tick(&mut self, now: Millis) -> Effects {
        let Some(lesson) = &mut self.lesson else { return vec![] };
        let left = lesson.home.tick(now);
        attendance(lesson, left)
    }

    pub(super) fn home_voice(&mut self, seat: Seat, live: bool, now: Millis) -> Effects {
        let Some(lesson) = &mut self.lesson else { return vec![] };
        let spoke = lesson.home.voice(seat, live, now);
        attendance(lesson, spoke)
    }

    /// Sessions and voices end with the lesson, and the attendance is complete.
    pub(super) fn end_home(&mut self, now: Millis) -> Effects {
        let Some(lesson) = &mut self.lesson else { return vec![] };
        let voices = lesson.home.guests().map(|(seat, _)| Effect::CloseSource(seat.home_source()));
        let mut effects: Effects = voices.collect();
        effects.push(Effect::CloseHome(None));
        let left = lesson.home.end(now);
        effects.extend(attendance(lesson, left));
        effects
    }

    /// A home student's own part.
    ///
    /// # Errors
    /// Why the session is void: `no-lesson`, `link-revoked`, `home-taken`, `signed-out`.
    pub fn home_view(&self, facts: &Facts, pass: &HomePass) -> Result<HomeView, ProblemCode> {
        let lesson = self.home_lesson(pass)?;
        let program = self.program();
        let named = |seat: Seat| lesson.seats.get(&seat).map(|place| place.name.clone()).unwrap_or_default();
        let watching = match &program.picture {
            None => Watching::Nothing,
            Some(picture) if *picture == SourceId::room() => Watching::Room,
            Some(picture) => {
                let frozen = self.stage.tiles().iter().flatten().any(|tile| tile.source == *picture && tile.frozen);
                Watching::Panel { source: picture.clone(), label: self.label(picture), frozen }
            }
        };
        Ok(HomeView {
            room: facts.room.clone(),
            lesson: lesson_view(lesson),
            seat: pass.seat,
            name: named(pass.seat),
            watching,
            heard: program.sound.is_some(),
            hand: lesson.home.place_in_queue(pass.seat),
            microphone: microphone(lesson, pass.seat),
            speaker: lesson.home.open().filter(|seat| *seat != pass.seat && lesson.home.speaks(*seat)).map(named),
            marks: self.marks(),
        })
    }

    /// How a seat stands at home, for the teacher.
    pub(super) fn home_seat(&self, lesson: &Lesson, seat: Seat) -> Option<HomeSeat> {
        let guest = lesson.home.guest(seat).filter(|guest| !guest.revoked() || guest.online())?;
        Some(HomeSeat {
            online: guest.online(),
            joined_at: guest.joined_at(),
            hand_at: guest.hand(),
            microphone: microphone(lesson, seat),
        })
    }

    /// Whose voice the panel plays.
    pub(super) fn voice(&self) -> Option<Voice> {
        let lesson = self.lesson.as_ref()?;
        let seat = lesson.home.open()?;
        let name = lesson.seats.get(&seat)?.name.clone();
        Some(Voice { source: seat.home_source(), name, live: lesson.home.speaks(seat) })
    }
}

fn microphone(lesson: &Lesson, seat: Seat) -> Microphone {
    match lesson.home.open() {
        Some(open) if open == seat && lesson.home.speaks(seat) => Microphone::Live,
        Some(open) if open == seat => Microphone::Open,
        _ => Microphone::Closed,
    }
}

fn silence(seat: Seat) -> [Effect; 2] {
    [Effect::CloseSource(seat.home_source()), Effect::CloseHome(Some(seat))]
}

/// What counts as use (R-LIVE-1, R-USE-4): kept by the shell before anything else happens.
fn attendance(lesson: &Lesson, changes: impl IntoIterator<Item = Attendance>) -> Effects {
    let mut effects = Vec::new();
    let mut event = |at, seat, fact| {
        let who = Subject::seat(lesson.class, seat);
        let lesson = Some(lesson.id.clone());
        effects.push(Effect::Happened(Event { at, who, place: Place::Home, lesson, fact, origin: None }));
    };
    for change in changes {
        match change {
            Attendance::Joined { seat, at } => event(at, seat, Fact::Joined {}),
            Attendance::Left { seat, from, at } => {
                let seconds = Event::lasted(from, at);
                event(from, seat, Fact::AttendedLive { seconds });
                event(at, seat, Fact::Left { seconds });
            }
            Attendance::Raised { seat, at } => event(at, seat, Fact::RaisedHand {}),
            Attendance::Spoke { seat, from, at } => {
                event(from, seat, Fact::Spoke { seconds: Event::lasted(from, at) });
            }
        }
    }
    effects
}
