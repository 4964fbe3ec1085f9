//! The record of a lesson: who took part from home, from when to when (R-LIVE-1).

use std::collections::BTreeMap;

use classroom_protocol::{Millis, Seat, catalogue::Lang};
use serde::Serialize;

use crate::{
    calendar::local_time,
    figures::table::{Cell, Table},
};

/// One time that a student at home was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The seat.
    pub seat: Seat,
    /// The student's name, as the register has it today; empty when it has none any more.
    pub name: String,
    /// Since when.
    pub from: Millis,
    /// Until when; `None` while it lasts, and where the end is not known.
    pub to: Option<Millis>,
}

/// A lesson with those who took part from home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LessonAtHome {
    /// Id of the lesson.
    pub lesson: String,
    /// The class's name on that day.
    pub class_name: String,
    /// When it began.
    pub started_at: Millis,
    /// When it ended; `None` while it runs.
    pub ended_at: Option<Millis>,
    /// Account of the teacher who began it.
    pub teacher: String,
    /// The students by their seats.
    pub students: Vec<Attendee>,
}

/// A student who took part from home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attendee {
    /// The seat.
    pub seat: Seat,
    /// The name.
    pub name: String,
    /// Each time, in order.
    pub times: Vec<Time>,
    /// All times together, in whole minutes.
    pub minutes: u64,
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Time {
    /// Since when.
    pub from: Millis,
    /// Until when; `None` as in [`Stay`].
    pub to: Option<Millis>,
}

impl Time {
    fn lasted(self, now: Option<Millis>) -> Millis {
        self.to.or(now).unwrap_or(self.from).saturating_sub(self.from)
    }
}

/// Half a minute is one.
fn minutes(ms: Millis) -> u64 {
    (ms + 30_000) / 60_000
}

/// The students of one lesson by their seats. `now` is given while the lesson runs: who is there still is counted until then.
pub fn attendees(stays: Vec<Stay>, now: Option<Millis>) -> Vec<Attendee> {
    let mut all = BTreeMap::<Seat, Attendee>::new();
    for Stay { seat, name, from, to } in stays {
        let new = Attendee { seat, name: String::new(), times: vec![], minutes: 0 };
        let student = all.entry(seat).or_insert(new);
        student.name = name;
        student.times.push(Time { from, to });
    }
    let counted = |mut student: Attendee| {
        student.times.sort_by_key(|time| time.from);
        student.minutes = minutes(student.times.iter().map(|time| time.lasted(now)).sum());
        student
    };
    all.into_values().map(counted).collect()
}

/// The same as a table: a line for each time.
pub fn table(lessons: &[LessonAtHome], lang: Lang) -> Table {
    const COLUMNS: [&str; 8] = [
        "teach.attendance-class",
        "teach.attendance-start",
        "teach.attendance-end",
        "teach.attendance-teacher",
        "teach.attendance-seat",
        "teach.attendance-name",
        "teach.attendance-from",
        "teach.attendance-to",
    ];
    let word = |key: &str| Cell::Text(classroom_protocol::catalogue::text(lang, key).to_owned());
    let time = |at: Option<Millis>| at.map_or(Cell::Blank, |at| Cell::Text(local_time(at)));
    let heading = COLUMNS.into_iter().chain(["teach.attendance-minutes"]).map(word).collect();
    let mut rows = vec![heading];
    for lesson in lessons {
        for student in &lesson.students {
            rows.extend(student.times.iter().map(|stay| {
                vec![
                    Cell::Text(lesson.class_name.clone()),
                    time(Some(lesson.started_at)),
                    time(lesson.ended_at),
                    Cell::Text(lesson.teacher.clone()),
                    Cell::Number(student.seat.number().into()),
                    Cell::Text(student.name.clone()),
                    time(Some(stay.from)),
                    time(stay.to),
                    stay.to.map_or(Cell::Blank, |_| Cell::Number(minutes(stay.lasted(None)))),
                ]
            }));
        }
    }
    let name = classroom_protocol::catalogue::text(lang, "teach.attendance").to_owned();
    Table { name, rows, headings: vec![0] }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stay(seat: u8, from: Millis, to: Option<Millis>) -> Stay {
        Stay {
            seat: seat.try_into().unwrap(),
            name: format!("=學生{seat}"),
            from: from * 1000,
            to: to.map(|to| to * 1000),
        }
    }

    #[test]
    fn breaks_are_kept_and_minutes_are_summed_up() {
        let stays = vec![stay(9, 700, None), stay(2, 600, Some(900)), stay(9, 0, Some(89)), stay(2, 0, Some(60))];
        let students = attendees(stays.clone(), Some(760_000));
        let told: Vec<_> = students.iter().map(|of| (of.seat.number(), of.times.len(), of.minutes)).collect();
        // 60 s and 300 s; 89 s and the 60 s so far.
        assert_eq!(told, [(2, 2, 6), (9, 2, 2)]);
        let ended = attendees(stays, None);
        assert_eq!(ended[1].minutes, 1, "an end that is not known counts nothing");
    }

    #[test]
    fn a_line_for_each_time_in_both_languages() {
        let students = attendees(vec![stay(9, 700, None), stay(9, 0, Some(89))], None);
        let lesson = LessonAtHome {
            lesson: "l".into(),
            class_name: "五年三班".into(),
            started_at: 0,
            ended_at: Some(3_600_000),
            teacher: "王老師".into(),
            students,
        };
        for (lang, first) in [(Lang::ZhHantTw, "班級"), (Lang::En, "Class")] {
            let table = table(std::slice::from_ref(&lesson), lang);
            assert_eq!(table.rows.len(), 3);
            assert_eq!(table.rows[0][0], Cell::Text(first.into()));
            assert_eq!(table.rows[0].len(), 9);
            assert_eq!(table.rows[1][8], Cell::Number(1));
            assert_eq!(table.rows[2][7..], [Cell::Blank, Cell::Blank], "not known, not zero");
        }
    }
}
