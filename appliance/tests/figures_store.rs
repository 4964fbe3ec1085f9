//! From what is kept on the disk to the figures: register, history, events, lessons, days.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use appliance::{
    figures::{Figures, Platform},
    store::{self, NewLesson, ReportSetting, Store},
    usage::{Recorder, SchoolKey},
};
use appliance_core::{
    calendar::{Day, day, month},
    figures::{Days, Figure, Parameters, Rate, Why, semester_of, table::CalendarFrom},
    register::{Change, ClassRef, Condition, DeviceFacts, Kind, State},
    usage::{Event, Fact, Place, Subject},
};
use classroom_protocol::{Millis, Seat};

const HOUR: Millis = 3_600_000;

fn at(text: &str) -> Day {
    day(text).unwrap()
}

fn noon(text: &str) -> Millis {
    at(text).begins() + 12 * HOUR
}

fn rate(used: u32, unused: u32, unknown: u32) -> Rate {
    Rate { used, unused, unknown }
}

async fn change(store: &Store, changes: Vec<Change>) {
    store.registers().change(move |_| Ok::<_, ()>((changes, ()))).await.unwrap().unwrap();
}

fn facts(code: &str, spare: bool, state: State) -> DeviceFacts {
    DeviceFacts { code: code.into(), kind: Kind::Ipad, mac: None, tag: None, spare, state }
}

fn event(at: Millis, who: Subject, fact: Fact) -> Event {
    Event { at, who, place: Place::School, lesson: None, fact, origin: None }
}

#[tokio::test]
async fn the_month_is_counted_from_what_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let opened = store::open(folder.path(), 1).unwrap();
    let store = opened.store.clone();
    let platforms = vec![Platform { id: "adl".into(), names: ["因材網".into(), "Adaptive Learning".into()] }];
    let figures = Figures::new(store.figures(), Parameters::default(), move || platforms.clone());
    let november = month("2026-11").unwrap();
    let now = noon("2026-11-30");

    // Nothing is known yet: unknown, not zero.
    let (empty, background) = figures.month(november, None, now).await.unwrap();
    assert_eq!(empty.used_share.plain, Figure::Unknown { why: Why::NoDevices });
    assert_eq!((empty.platforms[0].complete, background.calendar), (false, CalendarFrom::Assumed));

    let class = store.classes().create("五年三班".into(), vec![]).await.unwrap();
    let place = |seat: u8, number: Option<&str>| Change::Place {
        student: None,
        number: number.map(|number| number.parse().unwrap()),
        name: format!("學生{seat}"),
        class: ClassRef::Known(class),
        seat: Seat::try_from(seat).unwrap(),
    };
    change(&store, vec![place(1, Some("1100001")), place(2, None)]).await;
    let put = |code: &str, spare, state, day: &str| Change::PutDevice {
        device: None,
        facts: facts(code, spare, state),
        at: noon(day),
    };
    change(
        &store,
        vec![
            put("A", false, State::Ready, "2026-10-01"),
            put("B", false, State::Ready, "2026-10-01"),
            put("C", true, State::Ready, "2026-10-01"),
            put("D", false, State::Ready, "2026-10-01"),
            put("E", false, State::Ready, "2026-10-01"),
        ],
    )
    .await;
    let register = store.registers().load().await.unwrap();
    let id = |code: &str| register.devices.values().find(|device| device.facts.code == code).unwrap().id;
    let student = |seat: u8| register.class(class)[&Seat::try_from(seat).unwrap()].id;
    let lend = |code: &str, seat: u8| Change::Lend {
        device: id(code),
        student: student(seat),
        due: noon("2027-06-30"),
        at: noon("2026-11-02"),
        by: "教務處".into(),
    };
    let becomes = |code: &str, state, day: &str| Change::PutDevice {
        device: Some(id(code)),
        facts: facts(code, false, state),
        at: noon(day),
    };
    change(&store, vec![lend("A", 1), lend("B", 2)]).await;
    // D is mended before half the month is over; E goes out for most of it, as the history says and not today's state.
    change(&store, vec![becomes("D", State::Repair, "2026-11-03"), becomes("E", State::Repair, "2026-11-05")]).await;
    change(&store, vec![becomes("D", State::Ready, "2026-11-06"), becomes("E", State::Ready, "2026-11-29")]).await;

    let lesson = uuid::Uuid::now_v7().to_string();
    let began = at("2026-11-10").begins() + 9 * HOUR;
    store
        .lessons()
        .begin(NewLesson {
            id: lesson.clone(),
            class,
            class_name: "五年三班".into(),
            started_at: began,
            started_by: "王老師".into(),
        })
        .await
        .unwrap();
    store.lessons().end(lesson.clone(), began + HOUR).await.unwrap();
    let recorder = Recorder::new(store.usage(), Arc::new(SchoolKey::load_or_create(folder.path()).unwrap()));
    let seat = |n: u8| Subject::seat(class, Seat::try_from(n).unwrap());
    let started = Event { lesson: Some(lesson), ..event(began, Subject::staff(class, 7), Fact::LessonStarted {}) };
    recorder
        .record_all(vec![
            started,
            // Both students were in the lesson: by number and without one.
            event(began + HOUR, seat(1), Fact::Left { seconds: 600 }),
            event(began + HOUR, seat(2), Fact::Left { seconds: 600 }),
            event(
                at("2026-11-11").begins() + 20 * HOUR,
                Subject::device("A", Some("1100001".into())),
                Fact::Used { platform: "adl".into(), seconds: 900 },
            ),
            event(began, seat(1), Fact::Blocked { rule: "R-POL-3".into(), category: Some("game".into()), times: 1 }),
        ])
        .await
        .unwrap();
    store.figures().box_ran(at("2026-11-10")).await.unwrap();
    let whole = Days { from: november.first(), to: november.last() };
    store.figures().device_seen("B".into(), whole).await.unwrap();
    store.figures().device_seen("D".into(), whole).await.unwrap();

    let (of_school, background) = figures.month(november, None, now).await.unwrap();
    // A and B were used, D was seen and was not, C is a spare, E was in repair.
    assert_eq!(of_school.used.plain, rate(2, 1, 0));
    assert_eq!(of_school.used.strict, rate(0, 2, 1));
    assert_eq!(of_school.after_class.plain, rate(1, 1, 0));
    assert_eq!((of_school.platforms[0].seconds, of_school.platforms[0].complete), (900, false));
    let teacher = &of_school.teachers[0];
    assert_eq!((teacher.teacher.as_str(), teacher.days, teacher.unseen, teacher.reached), ("7", 1, 19, None));
    assert_eq!(background.holders["A"], (Some(1), "學生1".into()));

    let (of_class, _) = figures.month(november, Some(class), now).await.unwrap();
    assert_eq!(of_class.used.plain, rate(2, 0, 0));
    let (of_nobody, _) = figures.month(november, Some(class + 1), now).await.unwrap();
    assert_eq!(of_nobody.used_share.plain, Figure::Unknown { why: Why::NoDevices });

    // The device came back and is lost: from that day on it counts no longer.
    let loan =
        *store.registers().load().await.unwrap().loans.iter().find(|(_, loan)| loan.device == id("B")).unwrap().0;
    let back = Change::TakeBack { loan, condition: Condition::Lost, at: noon("2026-11-12"), by: "教務處".into() };
    change(&store, vec![back, becomes("B", State::Lost, "2026-11-12")]).await;
    let (later, _) = figures.month(november, None, now).await.unwrap();
    assert_eq!((later.used.plain, later.after_class.plain), (rate(1, 1, 0), rate(1, 0, 0)));

    // The office's calendar takes the place of the assumed one; one that can't be read does not stop the report.
    let calendar = r#"{"terms":[{"from":"2026-08-30","to":"2026-11-09"}],"holidays":[],"make_up":{},"timetable":{}}"#;
    store.figures().set(ReportSetting::Calendar, calendar.into(), "教務處".into(), 1).await.unwrap();
    let (none, background) = figures.month(november, None, now).await.unwrap();
    assert_eq!((none.weeks.len(), background.calendar), (0, CalendarFrom::School));
    store.figures().set(ReportSetting::Calendar, "{".into(), "教務處".into(), 1).await.unwrap();
    assert_eq!(figures.month(november, None, now).await.unwrap().1.calendar, CalendarFrom::Assumed);

    let (semester, _) = figures.semester(semester_of(Day::of(now)), now).await.unwrap();
    assert_eq!((semester.months.len(), semester.days.from), (4, at("2026-08-01")));
    drop((store, figures, recorder));
    tokio::task::spawn_blocking(move || opened.keeper.close()).await.unwrap();
}
