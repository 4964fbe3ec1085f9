//! Students at home in a lesson (R-LIVE-1): personal links, one live session each, raised hands in order, the one open
//! microphone, and who was there from when to when.
//!
//! A link belongs to a seat and to this lesson. It may be opened as often as its student likes, but only one session lives:
//! a second one is told so and may take over, and the first is told that. What the home page is given, the *program*, is
//! chosen in [`Program::of`].

pub mod record;

use std::collections::BTreeMap;

use classroom_protocol::{Millis, ProblemCode, Seat, SourceId};
use serde::{Deserialize, Serialize};

/// Who loses the connection stays in the lesson's attendance for this long; a short break is no leaving.
pub const ABSENT_AFTER: Millis = 30_000;
/// A session that was given and whose page has not come yet (or has gone) keeps its place for this long.
pub const PLACE_KEPT: Millis = 5_000;

/// A home student's proof: lesson, seat and the number of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomePass {
    /// Id of the lesson.
    pub lesson: String,
    /// The seat.
    pub seat: Seat,
    /// Number of the session; a newer one makes it void.
    pub session: u32,
}

/// What all students at home are given: sources by name, `None` is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The picture.
    pub picture: Option<SourceId>,
    /// The sound of the room, or that of the picture when the room has no microphone.
    pub sound: Option<SourceId>,
    /// The student at home who speaks.
    pub speaker: Option<SourceId>,
}

impl Program {
    /// Chooses the program. `stage` names what stands on the panel, first place first; `live` says what sends now.
    ///
    /// With several tiles the picture is the first one that sends: the teacher's first place is the focused one, and one
    /// readable picture serves a small screen better than nine unreadable ones. With nothing on the stage, or while all
    /// screens are paused, it is the room's camera.
    pub fn of<'a>(
        stage: impl IntoIterator<Item = &'a SourceId>,
        paused: bool,
        speaker: Option<&SourceId>,
        live: impl Fn(&SourceId) -> bool,
    ) -> Self {
        let room = Some(SourceId::room()).filter(&live);
        let first = stage.into_iter().find(|source| !paused && live(source)).cloned();
        let picture = first.or_else(|| room.clone());
        Self { sound: room.or_else(|| picture.clone()), picture, speaker: speaker.filter(|s| live(s)).cloned() }
    }
}

/// What attendance has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attendance {
    /// Joined the lesson from home.
    Joined {
        /// The seat.
        seat: Seat,
        /// When.
        at: Millis,
    },
    /// Left it.
    Left {
        /// The seat.
        seat: Seat,
        /// Since when it was there.
        from: Millis,
        /// When.
        at: Millis,
    },
    /// Raised the hand.
    Raised {
        /// The seat.
        seat: Seat,
        /// When.
        at: Millis,
    },
    /// Spoke to the room.
    Spoke {
        /// The seat.
        seat: Seat,
        /// Since when the voice came.
        from: Millis,
        /// When it ended.
        at: Millis,
    },
}

/// One invited student.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Number of the link that is good now; `None` when it was taken back.
    link: Option<u32>,
    /// The session that holds the place.
    session: Option<u32>,
    /// Connected pages of that session.
    #[serde(skip)]
    pages: u32,
    /// When its last page went, or when the session was given.
    gone_at: Millis,
    /// In the lesson since then.
    joined_at: Option<Millis>,
    /// The hand is up since then.
    hand: Option<Millis>,
    /// The voice arrives since then.
    #[serde(skip)]
    live: Option<Millis>,
}

impl Guest {
    /// A page of the student is connected now.
    pub fn online(&self) -> bool {
        self.pages > 0
    }

    /// In the lesson since then, short breaks included.
    pub fn joined_at(&self) -> Option<Millis> {
        self.joined_at
    }

    /// The hand is up since then.
    pub fn hand(&self) -> Option<Millis> {
        self.hand
    }

    /// The link was taken back.
    pub fn revoked(&self) -> bool {
        self.link.is_none()
    }

    fn held(&self, now: Millis) -> bool {
        self.session.is_some() && (self.pages > 0 || now.abs_diff(self.gone_at) < PLACE_KEPT)
    }

    fn leave(&mut self, seat: Seat, at: Millis) -> Vec<Attendance> {
        (self.hand, self.pages) = (None, 0);
        let spoke = self.live.take().map(|from| Attendance::Spoke { seat, from, at: at.max(from) });
        // The clock may have been set back since: nobody leaves before they came.
        let left = self.joined_at.take().map(|from| Attendance::Left { seat, from, at: at.max(from) });
        spoke.into_iter().chain(left).collect()
    }
}

/// The students at home of one lesson.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Counts links and sessions; a number is never used twice in a lesson.
    counter: u32,
    guests: BTreeMap<Seat, Guest>,
    /// Whose microphone the teacher has opened. One at a time: the class hears one voice.
    open: Option<Seat>,
}

impl Home {
    /// Those who were invited.
    pub fn guests(&self) -> impl Iterator<Item = (Seat, &Guest)> {
        self.guests.iter().map(|(seat, guest)| (*seat, guest))
    }

    /// The student of a seat, if invited.
    pub fn guest(&self, seat: Seat) -> Option<&Guest> {
        self.guests.get(&seat)
    }

    /// Whose microphone is open.
    pub fn open(&self) -> Option<Seat> {
        self.open
    }

    /// Whether the voice of the open microphone arrives.
    pub fn speaks(&self, seat: Seat) -> bool {
        self.open == Some(seat) && self.guests.get(&seat).is_some_and(|guest| guest.live.is_some())
    }

    /// Someone watches from home.
    pub fn watched(&self) -> bool {
        self.guests.values().any(Guest::online)
    }

    /// The place in the queue of hands, 1 is next. Who raised first stands first; at the same moment the lower seat.
    pub fn place_in_queue(&self, seat: Seat) -> Option<u32> {
        let own = (self.guests.get(&seat)?.hand?, seat);
        let before = self.guests.iter().filter(|(seat, guest)| guest.hand.is_some_and(|hand| (hand, **seat) < own));
        u32::try_from(before.count() + 1).ok()
    }

    /// Makes the link of a seat, or gives the one that is good.
    pub fn invite(&mut self, seat: Seat, now: Millis) -> u32 {
        let counter = &mut self.counter;
        let mut next = || {
            *counter += 1;
            *counter
        };
        let guest = self.guests.entry(seat).or_insert_with(|| Guest {
            link: None,
            session: None,
            pages: 0,
            gone_at: now,
            joined_at: None,
            hand: None,
            live: None,
        });
        *guest.link.get_or_insert_with(&mut next)
    }

    /// Takes the link of a seat back; its session ends.
    ///
    /// # Errors
    /// `not-found` when there is none.
    pub fn revoke(&mut self, seat: Seat, now: Millis) -> Result<Vec<Attendance>, ProblemCode> {
        let guest = self.guests.get_mut(&seat).filter(|guest| guest.link.is_some()).ok_or(ProblemCode::NotFound)?;
        (guest.link, guest.session) = (None, None);
        self.open = self.open.filter(|open| *open != seat);
        Ok(guest.leave(seat, now))
    }

    /// Opens the lesson by a link and gives the number of the new session.
    ///
    /// # Errors
    /// `link-revoked`, `home-taken` when another session lives and `take_over` is not set.
    pub fn join(&mut self, seat: Seat, link: u32, take_over: bool, now: Millis) -> Result<u32, ProblemCode> {
        let guest = self.guests.get_mut(&seat).filter(|guest| guest.link == Some(link));
        let guest = guest.ok_or(ProblemCode::LinkRevoked)?;
        if guest.held(now) && !take_over {
            return Err(ProblemCode::HomeTaken);
        }
        self.counter += 1;
        (guest.session, guest.pages, guest.gone_at) = (Some(self.counter), 0, now);
        Ok(self.counter)
    }

    /// Why a session is void, if it is.
    ///
    /// # Errors
    /// `link-revoked`, `home-taken` when a newer session has taken its place, `signed-out`.
    pub fn check(&self, seat: Seat, session: u32) -> Result<&Guest, ProblemCode> {
        let guest = self.guests.get(&seat).ok_or(ProblemCode::SignedOut)?;
        match guest.session {
            _ if guest.link.is_none() => Err(ProblemCode::LinkRevoked),
            Some(holds) if holds == session => Ok(guest),
            Some(holds) if holds > session => Err(ProblemCode::HomeTaken),
            _ => Err(ProblemCode::SignedOut),
        }
    }

    fn guest_mut(&mut self, seat: Seat, session: u32) -> Result<&mut Guest, ProblemCode> {
        self.check(seat, session)?;
        self.guests.get_mut(&seat).ok_or(ProblemCode::SignedOut)
    }

    /// A page connected or lost its connection.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn online(
        &mut self,
        seat: Seat,
        session: u32,
        online: bool,
        now: Millis,
    ) -> Result<Option<Attendance>, ProblemCode> {
        let guest = self.guest_mut(seat, session)?;
        guest.pages = if online { guest.pages + 1 } else { guest.pages.saturating_sub(1) };
        if guest.pages == 0 {
            guest.gone_at = now;
        }
        if online && guest.joined_at.is_none() {
            guest.joined_at = Some(now);
            return Ok(Some(Attendance::Joined { seat, at: now }));
        }
        Ok(None)
    }

    /// Raises or lowers the own hand. A hand that is up stays at its place.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn raise(
        &mut self,
        seat: Seat,
        session: u32,
        up: bool,
        now: Millis,
    ) -> Result<Option<Attendance>, ProblemCode> {
        let guest = self.guest_mut(seat, session)?;
        let raised = up && guest.hand.is_none();
        guest.hand = up.then(|| guest.hand.unwrap_or(now));
        Ok(raised.then_some(Attendance::Raised { seat, at: now }))
    }

    /// The student leaves; the link stays good.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn leave(&mut self, seat: Seat, session: u32, now: Millis) -> Result<Vec<Attendance>, ProblemCode> {
        let guest = self.guest_mut(seat, session)?;
        guest.session = None;
        let left = guest.leave(seat, now);
        self.open = self.open.filter(|open| *open != seat);
        Ok(left)
    }

    /// The teacher lowers a hand.
    ///
    /// # Errors
    /// `not-found` when nobody was invited to that seat.
    pub fn lower(&mut self, seat: Seat) -> Result<(), ProblemCode> {
        self.guests.get_mut(&seat).ok_or(ProblemCode::NotFound)?.hand = None;
        Ok(())
    }

    /// The teacher opens or closes a microphone. Opening one closes the other and takes the hand down. Gives whose voice
    /// must end.
    ///
    /// # Errors
    /// `not-found` when the student is not there.
    pub fn microphone(&mut self, seat: Seat, on: bool) -> Result<Option<Seat>, ProblemCode> {
        let guest = self.guests.get_mut(&seat).ok_or(ProblemCode::NotFound)?;
        if on {
            guest.joined_at.ok_or(ProblemCode::NotFound)?;
            guest.hand = None;
            return Ok(self.open.replace(seat).filter(|before| *before != seat));
        }
        Ok(self.open.take_if(|open| *open == seat))
    }

    /// Whether the student may speak now.
    ///
    /// # Errors
    /// As [`Self::check`]; `microphone-closed` when the teacher has not opened it.
    pub fn may_speak(&self, seat: Seat, session: u32) -> Result<(), ProblemCode> {
        self.check(seat, session)?;
        if self.open == Some(seat) { Ok(()) } else { Err(ProblemCode::MicrophoneClosed) }
    }

    /// The voice of a seat arrives, or no longer.
    pub fn voice(&mut self, seat: Seat, live: bool, now: Millis) -> Option<Attendance> {
        let guest = self.guests.get_mut(&seat)?;
        if live {
            guest.live.get_or_insert(now);
            return None;
        }
        guest.live.take().map(|from| Attendance::Spoke { seat, from, at: now.max(from) })
    }

    /// When [`Self::tick`] is due, if ever.
    pub fn next_deadline(&self) -> Option<Millis> {
        let away = self.guests.values().filter(|guest| guest.joined_at.is_some() && guest.pages == 0);
        away.map(|guest| guest.gone_at + ABSENT_AFTER).min()
    }

    /// Who has been away too long has left, at the moment at which the connection was lost.
    pub fn tick(&mut self, now: Millis) -> Vec<Attendance> {
        let mut left = Vec::new();
        for (seat, guest) in &mut self.guests {
            if guest.joined_at.is_some() && guest.pages == 0 && now >= guest.gone_at + ABSENT_AFTER {
                left.extend(guest.leave(*seat, guest.gone_at));
                self.open = self.open.filter(|open| open != seat);
            }
        }
        left
    }

    /// The lesson ends: everyone leaves it.
    pub fn end(&mut self, now: Millis) -> Vec<Attendance> {
        self.open = None;
        let gone = |(seat, guest): (&Seat, &mut Guest)| {
            let at = if guest.pages > 0 { now } else { guest.gone_at };
            guest.leave(*seat, at)
        };
        self.guests.iter_mut().flat_map(gone).collect()
    }

    /// After a restart every student gets the time to come back.
    pub fn restored(&mut self, now: Millis) {
        self.guests.values_mut().for_each(|guest| guest.gone_at = now);
    }
}

#[cfg(test)]
mod tests;
