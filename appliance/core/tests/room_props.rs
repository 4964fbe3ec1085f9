//! Whatever happens to a room, in whatever order, some things always hold.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use appliance_core::room::{Effect, Input, Pass};
use classroom_protocol::{SourceId, StudentCommand, TeacherCommand, view::Sharing};
use common::{Class30, facts, seat};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Teacher(i64, TeacherCommand),
    Student(usize, StudentCommand),
    Sit(u8),
    Online(usize, bool),
    Live(SourceId, bool),
    Thumbnail(usize),
    /// A program may publish, or none.
    Program(bool),
    Wait(u64),
    /// Changes that are not kept: so many, 10 milliseconds each.
    Passing(u32),
    Restart,
    /// A restart with what was kept when something worth keeping changed last, as the shell does.
    Crash,
}

fn source() -> impl Strategy<Value = SourceId> {
    prop_oneof![(1u8..34).prop_map(|n| seat(n).source()), Just(SourceId::teacher()), Just("ext-1".parse().unwrap())]
}

fn command() -> impl Strategy<Value = TeacherCommand> {
    prop_oneof![
        2 => Just(TeacherCommand::StartLesson { class: 1 }),
        1 => Just(TeacherCommand::EndLesson),
        1 => any::<bool>().prop_map(|on| TeacherCommand::Lock { on }),
        1 => any::<bool>().prop_map(|on| TeacherCommand::Attention { on }),
        1 => (0u16..130).prop_map(|minutes| TeacherCommand::OpenSharing { minutes }),
        2 => (0u8..11).prop_map(|tiles| TeacherCommand::Layout { tiles }),
        8 => (source(), proptest::option::of(0u8..10)).prop_map(|(source, tile)| TeacherCommand::Show { source, tile }),
        2 => source().prop_map(|source| TeacherCommand::Remove { source }),
        2 => (0u8..10, 0u8..10).prop_map(|(a, b)| TeacherCommand::Swap { a, b }),
        1 => (source(), any::<bool>()).prop_map(|(source, on)| TeacherCommand::Freeze { source, on }),
        2 => (1u8..34).prop_map(|n| TeacherCommand::Approve { seat: seat(n) }),
        2 => (1u8..34).prop_map(|n| TeacherCommand::Decline { seat: seat(n) }),
        1 => (1u8..34).prop_map(|n| TeacherCommand::FreeSeat { seat: seat(n) }),
        1 => Just(TeacherCommand::TakeOver),
        1 => Just(TeacherCommand::NewCode),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let student = prop_oneof![Just(StudentCommand::Ask), Just(StudentCommand::Stop), Just(StudentCommand::Leave)];
    prop_oneof![
        8 => (1i64..3, command()).prop_map(|(who, command)| Step::Teacher(who, command)),
        5 => (0usize..20, student).prop_map(|(at, command)| Step::Student(at, command)),
        4 => (1u8..34).prop_map(Step::Sit),
        2 => (0usize..20, any::<bool>()).prop_map(|(at, online)| Step::Online(at, online)),
        4 => (source(), any::<bool>()).prop_map(|(source, live)| Step::Live(source, live)),
        3 => (0usize..20).prop_map(Step::Thumbnail),
        1 => any::<bool>().prop_map(Step::Program),
        2 => (0u64..400_000).prop_map(Step::Wait),
        1 => (0u32..1_500).prop_map(Step::Passing),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #[test]
    fn a_room_keeps_its_promises(steps in proptest::collection::vec(step(), 1..120)) {
        let mut class = Class30::new();
        let mut passes: Vec<Pass> = vec![];
        let (mut seen, mut paused) = (BTreeSet::new(), BTreeSet::new());
        let mut kept = class.kept();
        for step in steps {
            let (seq, before) = (class.room.seq(), class.room.clone());
            let result = match step.clone() {
                Step::Teacher(who, command) => class.as_teacher(who, command),
                Step::Student(at, command) => match passes.get(at).cloned() {
                    Some(pass) => class.student(&pass, command),
                    None => Ok(vec![]),
                },
                Step::Sit(n) => class.try_sit(n).map(|pass| { passes.insert(0, pass); vec![] }),
                Step::Online(at, online) => match passes.get(at).cloned() {
                    Some(pass) => class.room.apply(Input::SeatOnline { pass, online }, class.now),
                    None => Ok(vec![]),
                },
                Step::Live(source, live) => class.room.apply(Input::SourceLive { source, live }, class.now),
                Step::Wait(ms) => { class.after(ms); class.room.apply(Input::Tick, class.now) }
                Step::Thumbnail(at) => match passes.get(at).cloned() {
                    Some(pass) => class.thumbnail(&pass, seq),
                    None => Ok(vec![]),
                },
                Step::Program(there) => {
                    let names = there.then(|| ("ext-1".parse().unwrap(), "實物投影".to_owned())).into_iter().collect();
                    class.room.apply(Input::Sources(names), class.now)
                }
                Step::Passing(changes) => {
                    for _ in 0..changes { class.after(10); class.passing(); }
                    Ok(vec![])
                }
                // No hub is up again sooner.
                Step::Restart => {
                    class.after(1_000);
                    class.restart();
                    seen.clear();
                    paused.clear();
                    Ok(class.room.standing())
                }
                Step::Crash => {
                    class.after(1_000);
                    class.crash(&kept);
                    seen.clear();
                    paused.clear();
                    passes.retain(|pass| class.room.holds(pass));
                    prop_assert!(class.room.seq() > seq, "who saw the room before the crash sees it afterwards");
                    Ok(class.room.standing())
                }
            };
            let (now_kept, worth) = (class.kept(), |kept: &str| kept.split_once(',').map(|(_, rest)| rest.to_owned()));
            if worth(&now_kept) != worth(&kept) {
                kept = now_kept;
            }
            match &result {
                Ok(_) => prop_assert!(class.room.seq() >= seq),
                Err(_) => prop_assert_eq!(&class.room, &before, "a refused step changes nothing"),
            }
            for effect in result.iter().flatten() {
                match effect {
                    Effect::Seen { source, .. } => prop_assert!(seen.insert(source.clone()), "seen twice"),
                    Effect::Hidden { source, from, at, .. } => {
                        prop_assert!(from <= at);
                        prop_assert!(seen.remove(source), "hidden without being seen");
                    }
                    Effect::Pause { source, paused: true } => prop_assert!(paused.insert(source.clone()), "paused twice"),
                    Effect::Pause { source, paused: false } => prop_assert!(paused.remove(source), "was not paused"),
                    _ => {}
                }
            }
            prop_assert_eq!(&paused, &class.room.paused(), "the forwarder does what the room says");
            let attention = class.teacher_view().lesson.is_some_and(|lesson| lesson.attention);
            prop_assert_eq!(paused.contains(&SourceId::teacher()), attention);
            let view = class.room.panel_view(&facts());
            prop_assert_eq!(view.stage.tiles.len(), usize::from(view.stage.layout));
            prop_assert!([1, 2, 4, 9].contains(&view.stage.layout));
            let shown: Vec<_> = view.stage.tiles.iter().flatten().map(|tile| tile.source.clone()).collect();
            prop_assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len(), "nothing is shown twice");
            prop_assert!(class.room.lesson_id().is_some() || shown.is_empty(), "no lesson, no casting");
            prop_assert!(class.room.lesson_id().is_none() || class.is_held_by(1) || class.is_held_by(2));
            for seat in class.teacher_view().seats {
                let wished = seat.sharing != Sharing::Off;
                prop_assert!(seat.thumbnail.is_none() || wished, "a small picture of one who does not ask");
            }
            let mut seats_held = BTreeSet::new();
            for pass in &passes {
                if class.room.holds(pass) {
                    prop_assert!(seats_held.insert(pass.seat), "one live pass a seat");
                    let view = class.room.student_view(&facts(), pass, class.now).unwrap();
                    if view.wanted {
                        prop_assert!(class.room.may_publish(pass).is_ok());
                        prop_assert!(shown.contains(&pass.seat.source()));
                    }
                }
            }
            let kept = serde_json::to_string(&class.room).unwrap();
            prop_assert!(serde_json::from_str::<appliance_core::room::Room>(&kept).is_ok());
        }
    }
}
