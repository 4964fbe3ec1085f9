//! The box's clock is set back in the middle of a lesson: by hand, or by a time server after a start with a dead battery.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use appliance_core::{
    room::{Effect, Input},
    usage::Fact,
};
use classroom_protocol::{HomeCommand, Millis, StudentCommand, TeacherCommand};
use common::{Class30, seat};

const DAY_AND_HOUR: Millis = 25 * 3_600_000;

fn far(class: &mut Class30) {
    class.now += 30 * DAY_AND_HOUR;
}

#[test]
fn what_ends_after_the_clock_was_set_back_does_not_end_before_it_began() {
    let mut class = Class30::new();
    far(&mut class);
    class.teacher_start();
    let began = class.now;
    let student = class.sit(7);
    class.student(&student, StudentCommand::Ask).unwrap();
    class.show(7).unwrap();
    class.live(7, true);
    let link = class.teacher(TeacherCommand::InviteHome { seat: seat(9) }).unwrap();
    let Some(Effect::HomeLink { lesson, link, .. }) = link.into_iter().next() else { panic!("no link") };
    let join = Input::HomeJoin { lesson, seat: seat(9), link, take_over: false };
    let given = class.room.apply(join, class.now).unwrap();
    let pass = given.into_iter().find_map(|effect| match effect {
        Effect::HomeGiven { pass, .. } => Some(pass),
        _ => None,
    });
    let pass = pass.unwrap();
    class.room.apply(Input::HomeOnline { pass: pass.clone(), online: true }, class.now).unwrap();
    class.now -= DAY_AND_HOUR;
    let left = class.room.apply(Input::Home { pass, command: HomeCommand::Leave }, class.now).unwrap();
    let ended = class.teacher(TeacherCommand::EndLesson).unwrap();
    let mut ends = 0;
    for effect in left.iter().chain(&ended) {
        match effect {
            Effect::LessonEnded { at, .. } | Effect::Hidden { at, .. } => {
                assert_eq!(*at, began, "{effect:?}");
                ends += 1;
            }
            Effect::Happened(event) => {
                assert_eq!(event.at, began, "{event:?}");
                ends += usize::from(matches!(event.fact, Fact::AttendedLive { seconds: 0 }));
            }
            _ => {}
        }
    }
    assert_eq!(ends, 3, "the lesson, the picture on the panel, the student at home");
}

#[test]
fn a_seat_is_not_kept_for_a_day_because_the_clock_was_set_back() {
    let mut class = Class30::new();
    far(&mut class);
    class.teacher_start();
    let first = class.sit(9);
    class.online(&first, false);
    class.now -= DAY_AND_HOUR;
    let second = class.try_sit(9).unwrap();
    assert!(class.room.holds(&second) && !class.room.holds(&first));
}
