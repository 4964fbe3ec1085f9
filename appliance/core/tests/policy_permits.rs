//! The teacher's switch: opens for the lesson, ends with it (R-POL-9).
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use appliance_core::{
    policy::{Permission, Permit},
    room::{Input, Room},
};
use classroom_protocol::{ProblemCode, TeacherCommand};
use common::Class30;

fn mail() -> Permission {
    Permission::Category("mail".into())
}

fn permit(what: Permission, minutes: Option<u16>) -> TeacherCommand {
    TeacherCommand::Permit { what, minutes }
}

fn open(class: &Class30) -> Vec<Permit> {
    class.room.policy_lesson().map(|lesson| lesson.permits).unwrap_or_default()
}

#[test]
fn mail_for_this_lesson_ends_with_it() {
    let mut class = Class30::in_lesson();
    class.teacher(permit(mail(), None)).unwrap();
    assert_eq!(open(&class), [Permit { what: mail(), until: class.now + 240 * 60_000 }]);
    assert_eq!(class.as_teacher(2, permit(mail(), None)), Err(ProblemCode::NotHolder), "another teacher");
    class.teacher(TeacherCommand::EndLesson).unwrap();
    assert!(open(&class).is_empty());
    class.teacher_start();
    assert!(open(&class).is_empty(), "the next lesson begins closed");
    class.teacher(TeacherCommand::EndLesson).unwrap();
    assert_eq!(class.teacher(permit(mail(), None)), Err(ProblemCode::NoLesson));
}

#[test]
fn a_permit_ends_by_its_time_and_by_a_tap() {
    let mut class = Class30::in_lesson();
    class.teacher(permit(mail(), Some(10))).unwrap();
    class.teacher(permit(mail(), Some(5))).unwrap();
    assert_eq!(open(&class).len(), 1, "the same thing again gets the new end");
    assert_eq!(class.room.next_deadline(), Some(class.now + 5 * 60_000));
    class.after(5 * 60_000);
    class.room.apply(Input::Tick, class.now).unwrap();
    assert!(open(&class).is_empty());
    class.teacher(permit(mail(), None)).unwrap();
    class.teacher(TeacherCommand::Forbid { what: mail() }).unwrap();
    assert!(open(&class).is_empty());
}

#[test]
fn a_permit_does_not_grow_when_the_clock_is_set_back() {
    let mut class = Class30::new();
    class.after(48 * 3_600_000);
    class.teacher_start();
    class.teacher(permit(mail(), Some(5))).unwrap();
    let back = class.now - 25 * 3_600_000;
    class.room.apply(Input::Tick, back).unwrap();
    assert!(open(&class).is_empty(), "25 hours and five minutes");
}

#[test]
fn what_makes_no_sense_is_refused_and_hosts_have_one_form() {
    let mut class = Class30::in_lesson();
    for command in [
        permit(mail(), Some(0)),
        permit(mail(), Some(241)),
        permit(Permission::Host("https://krunker.io/x".into()), None),
        permit(Permission::Host("io".into()), None),
        permit(Permission::Category(String::new()), None),
    ] {
        assert_eq!(class.teacher(command), Err(ProblemCode::BadInput));
    }
    class.teacher(permit(Permission::Host("WWW.Krunker.IO.".into()), None)).unwrap();
    assert_eq!(open(&class)[0].what, Permission::Host("www.krunker.io".into()));
    for n in 0..29 {
        class.teacher(permit(Permission::Host(format!("a{n}.example")), None)).unwrap();
    }
    assert_eq!(class.teacher(permit(mail(), None)), Err(ProblemCode::Full));
}

#[test]
fn permits_survive_a_restart_and_an_older_state_has_none() {
    let mut class = Class30::in_lesson();
    class.teacher(permit(mail(), None)).unwrap();
    let kept = serde_json::to_string(&class.room).unwrap();
    let again: Room = serde_json::from_str(&kept).unwrap();
    assert_eq!(again.policy_lesson().unwrap().permits.len(), 1);
    let mut older: serde_json::Value = serde_json::from_str(&kept).unwrap();
    older["lesson"].as_object_mut().unwrap().remove("permits");
    let older: Room = serde_json::from_value(older).unwrap();
    assert!(older.policy_lesson().unwrap().permits.is_empty());
}
