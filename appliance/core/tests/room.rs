//! A room's life in virtual time: lessons, two teachers, students who come, ask, share, vanish and return.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use appliance_core::{
    alarm::Alarm,
    room::{Effect, Input, SEAT_GRACE},
    usage::Kind,
};
use classroom_protocol::{ProblemCode, Seat, SourceId, StudentCommand, TeacherCommand, TeacherView, view::Sharing};
use common::{Class30, seat};

fn hidden(effects: &[Effect]) -> Vec<(&str, u64)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Hidden { source, from, at, .. } => Some((source.as_str(), at - from)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_student_asks_and_the_teacher_shows_with_one_tap() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(7);
    room.student(&pass, StudentCommand::Ask).unwrap();
    assert_eq!(room.student_view(&pass).sharing, Sharing::Asking);
    assert!(!room.student_view(&pass).wanted, "nothing may be sent before the teacher agrees");
    assert_eq!(room.room.may_publish(&pass), Err(ProblemCode::NotApproved));

    room.show(7).unwrap();
    let view = room.student_view(&pass);
    assert!(view.wanted && view.on_stage);
    assert_eq!(view.sharing, Sharing::Approved);
    room.room.may_publish(&pass).unwrap();
    room.live(7, true);
    assert_eq!(room.student_view(&pass).sharing, Sharing::Live);
    assert!(room.panel_view().stage.tiles[0].as_ref().unwrap().live);
}

#[test]
fn one_who_is_not_sharing_is_invited_and_then_needs_no_second_word() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(3);
    room.show(3).unwrap();
    assert_eq!(room.student_view(&pass).sharing, Sharing::Invited);
    room.teacher(TeacherCommand::Lock { on: true }).unwrap();
    room.student(&pass, StudentCommand::Ask).unwrap();
    assert!(room.student_view(&pass).wanted);

    let other = room.try_sit(4);
    assert_eq!(other, Err(ProblemCode::Locked));
}

#[test]
fn an_invitation_ends_when_the_stage_goes_on_without_its_student() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(3);
    room.show(3).unwrap();
    room.show(5).unwrap();
    assert_eq!(room.student_view(&pass).sharing, Sharing::Off);
}

#[test]
fn evidence_counts_what_was_seen_only() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(7);
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.show(7).unwrap();
    room.after(5_000); // approved, but no picture yet
    let seen = room.live(7, true);
    assert!(
        matches!(&seen[..], [Effect::Seen { label, .. }, Effect::Happened(_), Effect::Program(_)] if label == "學生7")
    );
    room.after(60_000);
    let paused = room.teacher(TeacherCommand::Attention { on: true }).unwrap();
    assert_eq!(hidden(&paused), [("seat-07", 60_000)]);
    room.after(10_000);
    assert!(hidden(&room.teacher(TeacherCommand::Attention { on: false }).unwrap()).is_empty());
    room.after(1_000);
    room.teacher(TeacherCommand::Layout { tiles: 4 }).unwrap();
    room.after(1_000);
    let ended = room.teacher(TeacherCommand::EndLesson).unwrap();
    assert_eq!(hidden(&ended), [("seat-07", 2_000)], "a new layout does not begin a new showing");
    let last = ended.iter().position(|effect| matches!(effect, Effect::LessonEnded { .. })).unwrap();
    assert!(last > 0, "what was shown is told before the lesson's end");
}

#[test]
fn exactly_one_teacher_holds_the_room_and_another_may_take_over() {
    let mut room = Class30::in_lesson();
    room.teacher_live(true);
    room.teacher(TeacherCommand::Show { source: SourceId::teacher(), tile: None }).unwrap();
    assert_eq!(room.as_teacher(2, TeacherCommand::NewCode), Err(ProblemCode::NotHolder));
    assert_eq!(room.as_teacher(2, TeacherCommand::StartLesson { class: 1 }), Err(ProblemCode::LessonRunning));
    let effects = room.as_teacher(2, TeacherCommand::TakeOver).unwrap();
    assert!(effects.contains(&Effect::CloseSource(SourceId::teacher())), "the former teacher's screen must not stay");
    assert!(room.panel_view().stage.tiles[0].is_none());
    assert_eq!(room.teacher(TeacherCommand::NewCode), Err(ProblemCode::NotHolder));
    room.as_teacher(2, TeacherCommand::EndLesson).unwrap();
    assert_eq!(room.as_teacher(2, TeacherCommand::EndLesson), Err(ProblemCode::NoLesson));
}

#[test]
fn a_seat_is_one_persons_until_they_are_gone_for_a_while() {
    let mut room = Class30::in_lesson();
    let first = room.sit(9);
    assert_eq!(room.try_sit(9), Err(ProblemCode::SeatTaken));
    room.online(&first, false);
    room.after(SEAT_GRACE - 1);
    assert_eq!(room.try_sit(9), Err(ProblemCode::SeatTaken), "a short cut must not cost the seat");
    room.after(1);
    let second = room.try_sit(9).unwrap();
    assert!(!room.room.holds(&first));
    assert!(room.room.holds(&second));
    assert_eq!(room.student(&first, StudentCommand::Ask), Err(ProblemCode::SignedOut));
}

#[test]
fn the_teacher_frees_a_seat_at_once() {
    let mut room = Class30::in_lesson();
    let first = room.sit(9);
    let effects = room.teacher(TeacherCommand::FreeSeat { seat: seat(9) }).unwrap();
    assert!(effects.contains(&Effect::CloseSource(seat(9).source())));
    assert!(!room.room.holds(&first));
    room.sit(9);
}

#[test]
fn open_sharing_ends_by_itself() {
    let mut room = Class30::in_lesson();
    let early = room.sit(1);
    room.student(&early, StudentCommand::Ask).unwrap();
    room.teacher(TeacherCommand::OpenSharing { minutes: 5 }).unwrap();
    assert_eq!(room.student_view(&early).sharing, Sharing::Approved, "who asked before needs not ask again");
    let during = room.sit(2);
    room.student(&during, StudentCommand::Ask).unwrap();
    assert_eq!(room.student_view(&during).sharing, Sharing::Approved);
    assert_eq!(room.room.next_deadline(), Some(room.now + 300_000));
    room.after(300_000);
    room.room.apply(Input::Tick, room.now).unwrap();
    assert_eq!(room.room.next_deadline(), None);
    let late = room.sit(4);
    room.student(&late, StudentCommand::Ask).unwrap();
    assert_eq!(room.student_view(&late).sharing, Sharing::Asking);
}

#[test]
fn attention_pauses_everyone_and_names_its_rule() {
    let mut room = Class30::in_lesson();
    let (shown, other) = (room.sit(1), room.sit(2));
    room.student(&shown, StudentCommand::Ask).unwrap();
    room.show(1).unwrap();
    let effects = room.teacher(TeacherCommand::Attention { on: true }).unwrap();
    assert!(effects.contains(&Effect::Pause { source: seat(1).source(), paused: true }));
    assert!(effects.contains(&Effect::Pause { source: SourceId::teacher(), paused: true }));
    assert!(!room.student_view(&shown).wanted);
    let refused = room.student_view(&other).refused.unwrap();
    assert_eq!((refused.code, refused.rule.as_deref()), (ProblemCode::Attention, Some("R-POL-7")));
    assert_eq!(room.student(&other, StudentCommand::Ask), Err(ProblemCode::Attention));
}

/// What the forwarder is told to pause or to go on with.
fn pauses(effects: &[Effect]) -> Vec<(&str, bool)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Pause { source, paused } => Some((source.as_str(), *paused)),
            _ => None,
        })
        .collect()
}

#[test]
fn attention_pauses_whatever_comes_meanwhile_and_outlasts_a_crash() {
    let mut room = Class30::in_lesson();
    let programs = |room: &mut Class30, ids: &[&str]| {
        let names: BTreeMap<SourceId, String> = ids.iter().map(|id| (id.parse().unwrap(), (*id).to_owned())).collect();
        room.room.apply(Input::Sources(names), room.now).unwrap()
    };
    assert!(room.room.standing().is_empty() && pauses(&programs(&mut room, &["ext-1"])).is_empty());
    assert_eq!(pauses(&room.teacher(TeacherCommand::Attention { on: true }).unwrap()).len(), 32);
    assert_eq!(pauses(&programs(&mut room, &["ext-1", "ext-2"])), [("ext-2", true)], "one that comes meanwhile");
    assert_eq!(pauses(&programs(&mut room, &["ext-1"])), [("ext-2", false)], "it is no more");
    assert_eq!(pauses(&room.as_teacher(2, TeacherCommand::TakeOver).unwrap()), [], "what is paused stays so");

    room.restart();
    let standing = room.room.standing();
    assert_eq!(pauses(&standing).len(), 31, "every seat and the teacher: {standing:?}");
    assert!(["seat-01", "seat-30", "teacher"].iter().all(|source| pauses(&standing).contains(&(*source, true))));
    assert_eq!(pauses(&programs(&mut room, &["ext-1"])), [("ext-1", true)], "programs are known a little later");
    let off = room.as_teacher(2, TeacherCommand::Attention { on: false }).unwrap();
    assert_eq!(pauses(&off).len(), 32);
    assert!(pauses(&off).iter().all(|(_, paused)| !paused) && room.room.standing().is_empty());

    room.as_teacher(2, TeacherCommand::Attention { on: true }).unwrap();
    let ended = room.as_teacher(2, TeacherCommand::EndLesson).unwrap();
    assert_eq!(pauses(&ended).len(), 32, "the next lesson begins without");
    assert!(pauses(&ended).iter().all(|(_, paused)| !paused));
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(7);
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.show(7).unwrap();
    room.live(7, true);
    let seq = room.room.seq();
    room.restart();
    assert!(room.room.seq() > seq, "a page that resumes must not take the new state for an old one");
    assert!(room.room.holds(&pass));
    assert!(room.student_view(&pass).wanted, "the student goes on without a hand");
    assert_eq!(room.student_view(&pass).sharing, Sharing::Approved, "the media session is gone with the restart");
    room.after(SEAT_GRACE - 1);
    assert_eq!(room.try_sit(7), Err(ProblemCode::SeatTaken));
    assert!(room.is_held_by(1));
}

#[test]
fn who_saw_the_room_before_a_crash_sees_it_afterwards() {
    let mut room = Class30::in_lesson();
    let kept = room.kept();
    // Ten minutes of changes that are not kept: thumbnails, pages that come and go.
    for _ in 0..6_000 {
        room.after(100);
        room.passing();
    }
    let seen = room.room.seq();
    room.after(1);
    room.crash(&kept);
    assert!(room.room.seq() > seen, "{} after {seen}: pages would take the new state for an old one", room.room.seq());
    assert!(room.room.seq() < 1 << 53, "every reader of JSON has the number exactly");
    // Nothing was kept at all.
    let empty = appliance_core::room::Room::new(room.now);
    assert!(empty.seq() > seen);
}

/// Seats and versions of the small pictures that are to be forgotten.
fn forgotten(effects: &[Effect]) -> Vec<(u8, u64)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ForgetThumbnail { seat, version } => Some((seat.number(), *version)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_small_picture_is_taken_from_who_asks_and_forgotten_with_the_wish() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(7);
    assert_eq!(room.thumbnail(&pass, 1), Err(ProblemCode::NotApproved), "nobody looks over a student's shoulder");
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.thumbnail(&pass, 2).unwrap();
    assert_eq!(room.room.thumbnail(seat(7)), Some(2));
    let declined = room.teacher(TeacherCommand::Decline { seat: seat(7) }).unwrap();
    assert_eq!(forgotten(&declined), [(7, 2)]);
    assert_eq!(room.thumbnail(&pass, 3), Err(ProblemCode::NotApproved), "the page may not have heard of it yet");
    assert_eq!(room.teacher_view().seats[6].thumbnail, None);

    // Invited, approved, live: each is the teacher's word or the student's own.
    room.show(7).unwrap();
    room.thumbnail(&pass, 4).unwrap();
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.live(7, true);
    room.thumbnail(&pass, 5).unwrap();
    let stopped = room.student(&pass, StudentCommand::Stop).unwrap();
    assert_eq!(forgotten(&stopped), [(7, 5)]);

    // An invitation that the stage takes back, a seat that is freed, the bell.
    room.show(7).unwrap();
    room.thumbnail(&pass, 6).unwrap();
    assert_eq!(forgotten(&room.show(8).unwrap()), [(7, 6)]);
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.thumbnail(&pass, 7).unwrap();
    assert_eq!(forgotten(&room.teacher(TeacherCommand::FreeSeat { seat: seat(7) }).unwrap()), [(7, 7)]);
    assert_eq!(room.thumbnail(&pass, 8), Err(ProblemCode::SignedOut));
    let pass = room.sit(7);
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.thumbnail(&pass, 9).unwrap();
    assert_eq!(forgotten(&room.teacher(TeacherCommand::EndLesson).unwrap()), [(7, 9)]);
}

#[test]
fn the_small_picture_of_one_who_is_gone_is_forgotten() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(7);
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.thumbnail(&pass, 1).unwrap();
    assert_eq!(room.room.next_deadline(), None, "as long as the page is there the picture stays");
    room.online(&pass, false);
    assert_eq!(room.room.next_deadline(), Some(room.now + SEAT_GRACE));
    room.after(SEAT_GRACE - 1);
    assert_eq!(forgotten(&room.room.apply(Input::Tick, room.now).unwrap()), []);
    room.after(1);
    assert_eq!(forgotten(&room.room.apply(Input::Tick, room.now).unwrap()), [(7, 1)]);
    assert_eq!(room.room.next_deadline(), None);
    assert_eq!(room.student_view(&pass).sharing, Sharing::Asking, "the wish stays, as the seat does");
}

#[test]
fn fewer_tiles_keep_the_newest_and_show_replaces_the_oldest() {
    let mut room = Class30::in_lesson();
    room.teacher(TeacherCommand::Layout { tiles: 4 }).unwrap();
    for n in [1, 2, 3, 4] {
        room.after(10);
        room.show(n).unwrap();
    }
    room.after(10);
    room.show(5).unwrap();
    assert_eq!(room.on_stage(), ["seat-05", "seat-02", "seat-03", "seat-04"]);
    room.teacher(TeacherCommand::Swap { a: 0, b: 3 }).unwrap();
    assert_eq!(room.on_stage(), ["seat-04", "seat-02", "seat-03", "seat-05"]);
    room.teacher(TeacherCommand::Layout { tiles: 2 }).unwrap();
    assert_eq!(room.on_stage(), ["seat-04", "seat-05"]);
    assert_eq!(room.teacher(TeacherCommand::Layout { tiles: 3 }), Err(ProblemCode::BadInput));
    assert_eq!(room.teacher(TeacherCommand::Swap { a: 0, b: 2 }), Err(ProblemCode::BadInput));
    let wrong = |a, b| room.room.wrong_field(&TeacherCommand::Swap { a, b });
    assert_eq!((wrong(0, 2), wrong(2, 0)), (Some("b"), Some("a")));
}

#[test]
fn nothing_casts_without_a_lesson() {
    let room = Class30::new();
    assert_eq!(room.room.check_code("123456"), Err(ProblemCode::NoLesson));
    assert_eq!(room.room.may_publish_as_staff(Some(1)), Err(ProblemCode::NoLesson));
    let mut room = Class30::in_lesson();
    let pass = room.sit(1);
    room.student(&pass, StudentCommand::Ask).unwrap();
    room.show(1).unwrap();
    let effects = room.teacher(TeacherCommand::EndLesson).unwrap();
    assert!(effects.contains(&Effect::CloseSource(Seat::try_from(1).unwrap().source())));
    assert_eq!(room.room.may_publish(&pass), Err(ProblemCode::NoLesson));
    room.teacher_start();
    assert_eq!(room.room.may_publish(&pass), Err(ProblemCode::SignedOut), "a pass is for one lesson");
}

#[test]
fn the_boxs_own_screen_is_not_missed_before_it_was_there() {
    let mut room = Class30::in_lesson();
    let names = [(1, "大螢幕".to_owned()), (2, "自己的螢幕".to_owned())].into();
    room.room.apply(Input::Panels { names, own: Some(2) }, room.now).unwrap();
    let shown =
        |room: &Class30| room.teacher_view().panels.iter().map(|panel| (panel.id, panel.online)).collect::<Vec<_>>();
    assert_eq!(shown(&room), [(1, false)]);
    room.room.apply(Input::PanelOnline { panel: 2, online: true }, room.now).unwrap();
    assert_eq!(shown(&room), [(1, false), (2, true)]);
    room.room.apply(Input::PanelOnline { panel: 2, online: false }, room.now).unwrap();
    assert_eq!(shown(&room), [(1, false), (2, false)], "from now on its absence is news");
}

/// Kind, seat and seconds of what counts.
fn happened(effects: &[Effect]) -> Vec<(Kind, Option<u8>, Option<u32>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Happened(event) => {
                event.check().unwrap();
                Some((event.fact.kind(), event.who.seat.map(Seat::number), event.fact.seconds()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn what_counts_as_use_is_told_whichever_way_it_came() {
    let mut room = Class30::new();
    let started = room.teacher(TeacherCommand::StartLesson { class: 1 }).unwrap();
    assert_eq!(happened(&started), [(Kind::LessonStarted, None, None)]);
    let sit = |room: &mut Class30, n| {
        let lesson = room.room.lesson_id().unwrap().to_owned();
        happened(&room.room.apply(Input::TakeSeat { lesson, seat: seat(n) }, room.now).unwrap())
    };
    assert_eq!(sit(&mut room, 7), [(Kind::Joined, Some(7), None)]);
    room.after(SEAT_GRACE);
    let again = sit(&mut room, 7);
    assert_eq!(again, [(Kind::Left, Some(7), Some(15)), (Kind::Joined, Some(7), None)], "another one on the seat");
    sit(&mut room, 8);
    room.after(60_000);
    let freed = room.teacher(TeacherCommand::FreeSeat { seat: seat(8) }).unwrap();
    assert_eq!(happened(&freed), [(Kind::Left, Some(8), Some(60))]);
    room.show(7).unwrap();
    assert_eq!(happened(&room.live(7, true)), [(Kind::Shown, Some(7), None)]);
    room.restart();
    room.after(30_000);
    let ended = room.teacher(TeacherCommand::EndLesson).unwrap();
    let expected = [(Kind::Left, Some(7), Some(90)), (Kind::LessonEnded, None, Some(105))];
    assert_eq!(happened(&ended), expected, "a restart in between costs nothing");
    let events = |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Happened(_))).count();
    assert_eq!(events(&room.teacher(TeacherCommand::StartLesson { class: 1 }).unwrap()), 1);
}

#[test]
fn a_student_who_tells_of_a_bad_site_is_heard_by_the_teacher_of_the_lesson_alone() {
    let mut room = Class30::in_lesson();
    let pass = room.sit(7);
    let told = room.room.site_report(&pass, room.now).unwrap();
    let again = room.room.site_report(&pass, room.now + 1).unwrap();
    assert_eq!(told.identity(), again.identity(), "tapped twice");
    assert_ne!(told.identity(), room.room.site_report(&pass, room.now + 60_000).unwrap().identity());
    let report = Alarm {
        id: 5,
        at: told.at,
        told_at: told.at,
        fact: told.fact,
        place: told.place,
        device: None,
        class: told.who.class,
        class_name: Some("三年二班".into()),
        seat: told.who.seat,
        name: Some("學生7".into()),
        seen: None,
    };
    let others = Alarm { id: 6, class: Some(2), ..report.clone() };
    room.room.apply(Input::Alarms(vec![report, others]), room.now).unwrap();
    let ids = |view: TeacherView| view.reports.iter().map(|report| report.id).collect::<Vec<_>>();
    assert_eq!(ids(room.teacher_view()), [5]);
    assert_eq!(ids(room.room.teacher_view(&common::facts(), 2, "老師2")), [] as [i64; 0], "not the own lesson");
    assert_eq!(room.room.may_note_report(2, 5), Err(ProblemCode::NotHolder));
    assert_eq!(room.room.may_note_report(1, 6), Err(ProblemCode::NotFound));
    room.room.may_note_report(1, 5).unwrap();
    room.teacher(TeacherCommand::FreeSeat { seat: seat(7) }).unwrap();
    assert_eq!(room.room.site_report(&pass, room.now), Err(ProblemCode::SignedOut));
}
