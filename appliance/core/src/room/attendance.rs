//! What of the room's changes counts as use (R-USE-1, R-USE-4, R-CAST-4): the lesson, who came and went, whose screen
//! was seen. Found by comparing the room before and after a change, so no way in or out of a seat is forgotten.

use std::collections::BTreeMap;

use classroom_protocol::{Millis, Seat, SourceId};

use super::{Effect, Room};
use crate::usage::{Event, Fact, Place, Subject};

/// The part of the room that is compared.
#[derive(Debug, Clone, Default)]
pub(super) struct Attendance {
    lesson: Option<Held>,
    /// Epoch of the pass and since when, for each taken seat.
    seats: BTreeMap<Seat, (u32, Millis)>,
}

#[derive(Debug, Clone)]
struct Held {
    id: String,
    class: i64,
    staff: Option<i64>,
    started_at: Millis,
}

impl Room {
    pub(super) fn attendance(&self) -> Attendance {
        let Some(lesson) = &self.lesson else { return Attendance::default() };
        let seats = lesson.seats.iter().filter_map(|(seat, place)| Some((*seat, (place.taken?, place.taken_at))));
        let staff = self.holder.as_ref().map(|holder| holder.id);
        let held = Held { id: lesson.id.clone(), class: lesson.class, staff, started_at: lesson.started_at };
        Attendance { lesson: Some(held), seats: seats.collect() }
    }

    /// The events of one change; `seen` are its effects on the panel.
    pub(super) fn happened(
        &self,
        before: &Attendance,
        seen: &[Effect],
        now: Millis,
    ) -> impl Iterator<Item = Event> + use<> {
        let after = self.attendance();
        let mut events = Vec::new();
        let id = |held: &Option<Held>| held.as_ref().map(|held| held.id.clone());
        let (was, is) = (id(&before.lesson), id(&after.lesson));
        if let Some(held) = &before.lesson {
            for effect in seen {
                match effect {
                    Effect::Seen { source, at, .. } => events.push(held.event(*at, held.of(source), Fact::Shown {})),
                    Effect::Hidden { source, from, at, .. } => {
                        let seconds = Event::lasted(*from, *at);
                        events.push(held.event(*from, held.of(source), Fact::SharedScreen { seconds }));
                    }
                    _ => {}
                }
            }
            for (seat, (epoch, since)) in &before.seats {
                let stays = was == is && after.seats.get(seat).is_some_and(|(now, _)| now == epoch);
                if !stays {
                    let seconds = Event::lasted(*since, now);
                    let at = now.max(*since);
                    events.push(held.event(at, Subject::seat(held.class, *seat), Fact::Left { seconds }));
                }
            }
            if was != is {
                let seconds = Event::lasted(held.started_at, now);
                let at = now.max(held.started_at);
                events.push(held.event(at, held.teacher(), Fact::LessonEnded { seconds }));
            }
        }
        if let Some(held) = &after.lesson {
            if was != is {
                events.push(held.event(now, held.teacher(), Fact::LessonStarted {}));
            }
            for (seat, (epoch, _)) in &after.seats {
                let stayed = was == is && before.seats.get(seat).is_some_and(|(then, _)| then == epoch);
                if !stayed {
                    events.push(held.event(now, Subject::seat(held.class, *seat), Fact::Joined {}));
                }
            }
        }
        events.into_iter()
    }
}

impl Held {
    fn event(&self, at: Millis, who: Subject, fact: Fact) -> Event {
        Event { at, who, place: Place::School, lesson: Some(self.id.clone()), fact, origin: None }
    }

    fn teacher(&self) -> Subject {
        Subject { class: Some(self.class), staff: self.staff, ..Subject::default() }
    }

    /// Whose picture it is; a program's is the class's.
    fn of(&self, source: &SourceId) -> Subject {
        match source.seat() {
            Some(seat) => Subject::seat(self.class, seat),
            None if *source == SourceId::teacher() => self.teacher(),
            None => Subject { class: Some(self.class), ..Subject::default() },
        }
    }
}
