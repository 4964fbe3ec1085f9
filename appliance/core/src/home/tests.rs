#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

fn seat(n: u8) -> Seat {
    Seat::try_from(n).unwrap()
}

#[test]
fn a_link_stays_the_same_until_it_is_taken_back() {
    let mut home = Home::default();
    let link = home.invite(seat(7), 0);
    assert_eq!(home.invite(seat(7), 5), link);
    assert_eq!(home.join(seat(7), link + 1, false, 10), Err(ProblemCode::LinkRevoked));
    assert_eq!(home.join(seat(8), link, false, 10), Err(ProblemCode::LinkRevoked), "another student's");
    let session = home.join(seat(7), link, false, 10).unwrap();
    home.online(seat(7), session, true, 20).unwrap();
    assert_eq!(home.revoke(seat(7), 60_000), Ok(vec![Attendance::Left { seat: seat(7), from: 20, at: 60_000 }]));
    assert_eq!(home.check(seat(7), session).map(drop), Err(ProblemCode::LinkRevoked));
    assert_eq!(home.revoke(seat(7), 60_000), Err(ProblemCode::NotFound));
    assert_eq!(home.join(seat(7), link, true, 70_000), Err(ProblemCode::LinkRevoked));
    assert_ne!(home.invite(seat(7), 80_000), link, "a new invitation is a new link");
}

#[test]
fn one_session_lives_and_a_second_is_told_and_may_take_over() {
    let mut home = Home::default();
    let link = home.invite(seat(1), 0);
    let first = home.join(seat(1), link, false, 0).unwrap();
    assert_eq!(home.join(seat(1), link, false, 100), Err(ProblemCode::HomeTaken), "its page is on its way");
    home.online(seat(1), first, true, 200).unwrap();
    assert_eq!(home.join(seat(1), link, false, 3_600_000), Err(ProblemCode::HomeTaken));
    let second = home.join(seat(1), link, true, 3_600_000).unwrap();
    assert_eq!(home.check(seat(1), first).map(drop), Err(ProblemCode::HomeTaken));
    assert_eq!(home.online(seat(1), first, false, 3_600_001), Err(ProblemCode::HomeTaken));
    assert_eq!(home.online(seat(1), second, true, 3_600_100), Ok(None), "the attendance goes on");
    home.online(seat(1), second, false, 3_700_000).unwrap();
    assert!(home.join(seat(1), link, false, 3_700_000 + PLACE_KEPT).is_ok(), "nobody lives there any more");
}

#[test]
fn attendance_forgives_short_breaks_and_ends_when_the_line_was_lost() {
    let mut home = Home::default();
    let link = home.invite(seat(3), 0);
    let session = home.join(seat(3), link, false, 0).unwrap();
    assert_eq!(home.next_deadline(), None);
    assert_eq!(home.online(seat(3), session, true, 1_000), Ok(Some(Attendance::Joined { seat: seat(3), at: 1_000 })));
    home.online(seat(3), session, false, 50_000).unwrap();
    assert_eq!(home.next_deadline(), Some(50_000 + ABSENT_AFTER));
    assert!(home.tick(50_000 + ABSENT_AFTER - 1).is_empty());
    assert_eq!(home.online(seat(3), session, true, 70_000), Ok(None));
    assert_eq!(home.next_deadline(), None);
    home.online(seat(3), session, false, 90_000).unwrap();
    assert_eq!(home.tick(90_000 + ABSENT_AFTER), [Attendance::Left { seat: seat(3), from: 1_000, at: 90_000 }]);
    assert_eq!(
        home.online(seat(3), session, true, 200_000),
        Ok(Some(Attendance::Joined { seat: seat(3), at: 200_000 }))
    );
    assert_eq!(home.end(260_000), [Attendance::Left { seat: seat(3), from: 200_000, at: 260_000 }]);
}

#[test]
fn hands_stand_in_the_order_in_which_they_were_raised() {
    let mut home = Home::default();
    let sessions: Vec<u32> = (1..=3)
        .map(|n| {
            let link = home.invite(seat(n), 0);
            let session = home.join(seat(n), link, false, 0).unwrap();
            home.online(seat(n), session, true, 0).unwrap();
            session
        })
        .collect();
    let raised = home.raise(seat(2), sessions[1], true, 10).unwrap();
    assert_eq!(raised, Some(Attendance::Raised { seat: seat(2), at: 10 }));
    home.raise(seat(3), sessions[2], true, 20).unwrap();
    home.raise(seat(1), sessions[0], true, 20).unwrap();
    assert_eq!(home.raise(seat(2), sessions[1], true, 30), Ok(None), "it is up already");
    let places = |home: &Home| [1, 2, 3].map(|n| home.place_in_queue(seat(n)));
    assert_eq!(places(&home), [Some(2), Some(1), Some(3)]);
    home.microphone(seat(2), true).unwrap();
    assert_eq!(places(&home), [Some(1), None, Some(2)], "who speaks no longer waits");
    home.lower(seat(1)).unwrap();
    assert_eq!(places(&home), [None, None, Some(1)]);
}

#[test]
fn one_microphone_is_open_and_only_for_who_is_there() {
    let mut home = Home::default();
    let link = home.invite(seat(1), 0);
    assert_eq!(home.microphone(seat(1), true), Err(ProblemCode::NotFound), "not there yet");
    assert_eq!(home.microphone(seat(9), true), Err(ProblemCode::NotFound));
    let one = home.join(seat(1), link, false, 0).unwrap();
    home.online(seat(1), one, true, 0).unwrap();
    let link = home.invite(seat(2), 0);
    let two = home.join(seat(2), link, false, 0).unwrap();
    home.online(seat(2), two, true, 0).unwrap();
    assert_eq!(home.may_speak(seat(1), one), Err(ProblemCode::MicrophoneClosed));
    assert_eq!(home.microphone(seat(1), true), Ok(None));
    assert_eq!(home.may_speak(seat(1), one), Ok(()));
    assert_eq!(home.voice(seat(1), true, 100), None);
    assert!(home.speaks(seat(1)));
    assert_eq!(home.microphone(seat(2), true), Ok(Some(seat(1))), "the first voice ends");
    assert_eq!(home.may_speak(seat(1), one), Err(ProblemCode::MicrophoneClosed));
    assert!(!home.speaks(seat(1)));
    let spoke = Attendance::Spoke { seat: seat(1), from: 100, at: 4_000 };
    assert_eq!(home.voice(seat(1), false, 4_000), Some(spoke));
    assert_eq!(home.voice(seat(1), false, 5_000), None, "told once");
    assert_eq!(home.microphone(seat(1), false), Ok(None), "closed already");
    home.leave(seat(2), two, 10).unwrap();
    assert_eq!(home.open(), None);
}

#[test]
fn the_program_is_the_first_picture_that_sends_then_the_camera_then_nothing() {
    let [a, b] = [1, 2].map(|n| seat(n).source());
    let room = SourceId::room();
    let voice = seat(5).home_source();
    let stage = [a.clone(), b.clone()];
    let all = |_: &SourceId| true;
    let of = |paused, live: &dyn Fn(&SourceId) -> bool| Program::of(&stage, paused, Some(&voice), live);
    assert_eq!(of(false, &all).picture, Some(a.clone()));
    assert_eq!(of(false, &all).sound, Some(room.clone()), "the room's own sound");
    assert_eq!(of(false, &all).speaker, Some(voice.clone()));
    assert_eq!(of(false, &|s| *s == b).picture, Some(b.clone()));
    assert_eq!(of(false, &|s| *s == b).sound, Some(b), "no microphone in the room: the picture's sound");
    assert_eq!(of(true, &all).picture, Some(room.clone()), "eyes to the front");
    assert_eq!(Program::of([], false, None, all).picture, Some(room));
    assert_eq!(Program::of(&stage, false, Some(&voice), |_| false), Program::default());
}
