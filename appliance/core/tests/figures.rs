//! The usage figures: small months worked out by hand, and what must hold for every month.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use appliance_core::{
    calendar::{Day, YearMonth, day, month as year_month},
    figures::{
        Activity, Asked, Counting, Days, Device, Duty, Facts, Figure, Lesson, Loan, MonthFigures, Parameters, Rate,
        SchoolCalendar, Views, Why, month, offered, semester, semester_of,
    },
};
use proptest::prelude::*;

fn at(text: &str) -> Day {
    day(text).unwrap()
}

fn november() -> YearMonth {
    year_month("2026-11").unwrap()
}

/// All of September to December, and more.
fn all() -> Days {
    Days { from: at("2026-08-01"), to: at("2027-01-31") }
}

fn device(id: &str) -> Device {
    Device { id: id.into(), class: Some(1), duties: vec![(all(), Duty::InUse)], loans: vec![], seen: vec![all()] }
}

/// So many minutes of a device from a clock time of a day.
fn active(device: &str, on: &str, hour: u64, minutes: u32) -> Activity {
    Activity {
        device: Some(device.into()),
        student: None,
        class: Some(1),
        platform: None,
        at: at(on).begins() + hour * 3_600_000,
        seconds: minutes * 60,
    }
}

fn count(facts: &Facts) -> MonthFigures {
    month(facts, &SchoolCalendar::assumed(at("2026-11-30")), &Parameters::default(), november(), at("2026-11-30"))
}

fn rate(used: u32, unused: u32, unknown: u32) -> Rate {
    Rate { used, unused, unknown }
}

#[test]
fn an_empty_month_is_unknown_and_not_zero() {
    let figures = count(&Facts { platforms: vec!["adl".into()], ..Facts::default() });
    assert_eq!(figures.used_share.plain, Figure::Unknown { why: Why::NoDevices });
    assert_eq!(figures.week_mean.plain, Figure::Unknown { why: Why::NoDevices });
    assert_eq!((figures.platforms[0].seconds, figures.platforms[0].complete), (0, false));
    let unseen = Facts { devices: vec![Device { seen: vec![], ..device("a") }], ..Facts::default() };
    assert_eq!(count(&unseen).used_share.plain, Figure::Unknown { why: Why::NothingSeen });
    let seen = Facts { devices: vec![device("a")], ..Facts::default() };
    assert_eq!(count(&seen).used_share.plain, Figure::Known { share: 0 });
}

#[test]
fn a_month_that_has_not_begun_has_no_figures() {
    let facts = Facts { devices: vec![device("a")], ..Facts::default() };
    let calendar = SchoolCalendar::assumed(at("2026-11-30"));
    let figures = month(&facts, &calendar, &Parameters::default(), november(), at("2026-10-31"));
    assert_eq!((figures.until, figures.days.len(), figures.weeks.len()), (None, 0, 0));
    assert_eq!(figures.used_share.plain, Figure::Unknown { why: Why::NoDevices });
    let first = month(&facts, &calendar, &Parameters::default(), november(), at("2026-11-01"));
    assert_eq!((first.until, first.days.len()), (Some(at("2026-11-01")), 1));
}

#[test]
fn spares_and_repairs_do_not_count_unless_they_were_in_use_for_most_of_the_month() {
    let with = |id: &str, duty, from: &str| Device {
        duties: vec![(all(), Duty::InUse), (Days { from: at(from), to: at("2026-11-30") }, duty)],
        ..device(id)
    };
    let devices = vec![
        device("used"),
        with("spare", Duty::Spare, "2026-11-01"),
        with("repair from the 15th", Duty::Repair, "2026-11-15"),
        with("repair from the 17th", Duty::Repair, "2026-11-17"),
        Device { duties: vec![(Days { from: at("2026-11-16"), ..all() }, Duty::InUse)], ..device("half a month") },
        Device { duties: vec![(Days { from: at("2026-11-15"), ..all() }, Duty::InUse)], ..device("more than half") },
    ];
    let activities = vec![active("used", "2026-11-03", 9, 1), active("spare", "2026-11-03", 9, 50)];
    let figures = count(&Facts { devices, activities, ..Facts::default() });
    assert_eq!(figures.used.plain, rate(1, 2, 0));
}

#[test]
fn minutes_and_days_are_those_of_the_parameters() {
    // 59 seconds are no minute; two records of the same minute are one; over midnight each day has its part.
    let mut almost = active("a", "2026-11-03", 9, 0);
    almost.seconds = 59;
    let mut midnight = active("c", "2026-11-03", 24, 0);
    (midnight.at, midnight.seconds) = (midnight.at - 30_000, 90);
    let activities = vec![
        almost.clone(),
        almost,
        active("b", "2026-11-04", 9, 1),
        midnight.clone(),
        active("d", "2026-10-31", 9, 9),
    ];
    let devices = ["a", "b", "c", "d"].map(device).to_vec();
    let figures = count(&Facts { devices, activities, ..Facts::default() });
    assert_eq!(figures.used.plain, rate(2, 2, 0));
    assert_eq!(figures.used.strict, rate(0, 4, 0));
    assert_eq!((figures.devices[2].active_days, figures.devices[2].seconds), (1, 90));
    let of = |date: &str| figures.days.iter().find(|day| day.day == at(date)).unwrap().rate;
    assert_eq!((of("2026-11-03"), of("2026-11-04")), (rate(0, 4, 0), rate(2, 2, 0)));
}

#[test]
fn what_was_not_seen_decides_only_where_it_could() {
    let facts = |seen: &[(&str, &str)], days: &[&str]| Facts {
        devices: vec![Device {
            seen: seen.iter().map(|(from, to)| Days { from: at(from), to: at(to) }).collect(),
            ..device("a")
        }],
        activities: days.iter().map(|day| active("a", day, 9, 30)).collect(),
        ..Facts::default()
    };
    let views = |facts: Facts| (count(&facts).used.plain, count(&facts).used.strict);
    // Strict asks for 4 days: with 28 seen days and one active one the two others can't make it.
    let almost = [("2026-11-01", "2026-11-28")];
    assert_eq!(views(facts(&almost, &["2026-11-02"])), (rate(1, 0, 0), rate(0, 1, 0)));
    assert_eq!(views(facts(&almost, &["2026-11-02", "2026-11-03"])), (rate(1, 0, 0), rate(0, 0, 1)));
    assert_eq!(views(facts(&almost, &[])), (rate(0, 0, 1), rate(0, 1, 0)));
    let enough = ["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"];
    assert_eq!(views(facts(&[], &enough)), (rate(1, 0, 0), rate(1, 0, 0)));
}

#[test]
fn a_device_that_came_late_and_was_never_seen_leaves_the_hours_unknown() {
    let late = |seen: Vec<Days>| Device {
        duties: vec![(Days { from: at("2026-11-24"), ..all() }, Duty::InUse)],
        seen,
        ..device("late")
    };
    let hours = |devices: Vec<Device>| {
        let line = count(&Facts { devices, platforms: vec!["adl".into()], ..Facts::default() }).platforms[0].clone();
        (line.seconds, line.complete)
    };
    assert_eq!(hours(vec![late(vec![])]), (0, false));
    assert_eq!(hours(vec![device("a"), late(vec![])]), (0, false), "also beside one that was seen");
    assert_eq!(hours(vec![late(vec![all()])]), (0, true));
    assert_eq!(hours(vec![Device { duties: vec![(all(), Duty::Spare)], ..device("spare") }]), (0, false));
}

#[test]
fn days_to_come_are_as_unknown_as_days_that_were_not_seen() {
    let calendar = SchoolCalendar::assumed(at("2026-11-30"));
    let on = |seen: Vec<Days>, today: &str| {
        let facts = Facts { devices: vec![Device { seen, ..device("a") }], ..Facts::default() };
        let numbers = Parameters::default();
        let semester = semester(&facts, &calendar, &numbers, semester_of(at(today)), at(today));
        (month(&facts, &calendar, &numbers, november(), at(today)), semester)
    };
    // On the second day nobody can say that four days will not be reached.
    let unknown = Figure::Unknown { why: Why::NothingSeen };
    for seen in [vec![], vec![all()]] {
        let (month, _) = on(seen, "2026-11-02");
        assert_eq!(month.used_share, Views { plain: unknown, strict: unknown });
        assert_eq!(month.week_mean, Views { plain: unknown, strict: unknown });
        assert_eq!(month.devices[0].used.strict, appliance_core::figures::Use::Unknown);
    }
    let (_, semester) = on(vec![], "2026-11-02");
    assert_eq!(semester.month_mean, Views { plain: unknown, strict: unknown });
    // With three days left four can't be reached any more, one can.
    let (month, _) = on(vec![all()], "2026-11-27");
    assert_eq!(month.used_share, Views { plain: unknown, strict: Figure::Known { share: 0 } });
    let (month, _) = on(vec![all()], "2026-11-30");
    assert_eq!(month.used_share.plain, Figure::Known { share: 0 });
}

#[test]
fn after_class_asks_for_a_loan_and_time_outside_the_timetable() {
    let loaned = |id: &str| Device { loans: vec![Loan { days: all(), student: id.into() }], ..device(id) };
    let late = Device {
        loans: vec![Loan { days: Days { from: at("2026-11-16"), ..all() }, student: "s".into() }],
        ..device("loaned too late")
    };
    let devices = vec![loaned("in class only"), loaned("evening"), loaned("weekend"), loaned("till the bell"), late];
    let mut bell = active("till the bell", "2026-11-03", 15, 60);
    bell.at += 30_000;
    let activities = vec![
        active("in class only", "2026-11-03", 8, 480),
        active("evening", "2026-11-03", 19, 1),
        active("weekend", "2026-11-07", 10, 5),
        bell,
        active("loaned too late", "2026-11-03", 19, 5),
    ];
    let figures = count(&Facts { devices, activities, ..Facts::default() });
    assert_eq!(figures.after_class.plain, rate(2, 2, 0));
    assert_eq!(figures.after_class_share.plain, Figure::Known { share: 5_000 });
    assert_eq!(figures.used.plain, rate(5, 0, 0));
}

#[test]
fn weeks_are_those_of_their_thursday() {
    // 2026-11-30 is the Monday of a week of December.
    let activities =
        ["2026-11-02", "2026-11-13", "2026-11-29", "2026-11-30"].map(|day| active("a", day, 9, 20)).to_vec();
    let figures = count(&Facts { devices: vec![device("a")], activities, ..Facts::default() });
    let weeks: Vec<_> = figures.weeks.iter().map(|week| (week.monday.to_string(), week.rate.plain.used)).collect();
    let expected = [("2026-11-02", 1), ("2026-11-09", 1), ("2026-11-16", 0), ("2026-11-23", 1)];
    assert_eq!(weeks, expected.map(|(monday, used)| (monday.to_owned(), used)));
    assert_eq!(figures.week_mean, Views { plain: Figure::Known { share: 7_500 }, strict: Figure::Known { share: 0 } });
}

#[test]
fn hours_of_a_platform_count_each_device_and_student_once() {
    let on = |device: Option<&str>, student: Option<&str>, hour, minutes| Activity {
        device: device.map(str::to_owned),
        student: student.map(str::to_owned),
        platform: Some("adl".into()),
        ..active("-", "2026-11-03", hour, minutes)
    };
    let activities = vec![
        on(Some("a"), Some("s1"), 9, 60),
        on(Some("a"), None, 9, 30),
        on(None, Some("s1"), 9, 10),
        on(None, Some("s1"), 9, 10),
        on(None, None, 9, 1),
        on(None, None, 9, 1),
        Activity { platform: Some("else".into()), ..on(Some("a"), None, 20, 2) },
        Activity { at: at("2026-10-01").begins(), platform: Some("before".into()), ..on(Some("a"), None, 20, 2) },
    ];
    let platforms = vec!["cool".into(), "adl".into()];
    let figures = count(&Facts { devices: vec![device("a")], activities, platforms, ..Facts::default() });
    let hours: Vec<_> =
        figures.platforms.iter().map(|p| (p.platform.as_str(), p.seconds, p.users, p.complete)).collect();
    assert_eq!(hours, [("cool", 0, 0, true), ("adl", 72 * 60, 4, true), ("else", 120, 1, true)]);
}

#[test]
fn a_student_without_a_known_device_is_on_the_one_on_loan() {
    let loan = Loan { days: Days { from: at("2026-11-05"), ..all() }, student: "s1".into() };
    let facts = |on: &str| Facts {
        devices: vec![Device { loans: vec![loan.clone()], ..device("a") }],
        activities: vec![Activity { device: None, student: Some("s1".into()), ..active("-", on, 9, 5) }],
        ..Facts::default()
    };
    assert_eq!(count(&facts("2026-11-05")).used.plain, rate(1, 0, 0));
    assert_eq!(count(&facts("2026-11-04")).used.plain, rate(0, 1, 0));
    let elsewhere = facts("2026-11-05");
    let of_class = Facts { activities: vec![Activity { class: None, ..elsewhere.activities[0].clone() }], ..elsewhere };
    assert_eq!(count(&of_class.of_class(1)).used.plain, rate(1, 0, 0));
}

#[test]
fn a_teachers_day_needs_a_device_in_the_lesson() {
    let lesson = |teacher: &str, class, on: &str, hour: u64| Lesson {
        teacher: teacher.into(),
        class: Some(class),
        from: at(on).begins() + hour * 3_600_000,
        to: at(on).begins() + (hour + 1) * 3_600_000,
    };
    let facts = Facts {
        devices: vec![device("a")],
        activities: vec![
            active("a", "2026-11-03", 9, 10),
            active("a", "2026-11-10", 9, 10),
            active("a", "2026-11-17", 9, 10),
        ],
        lessons: vec![
            lesson("wang", 1, "2026-11-03", 9),
            lesson("wang", 1, "2026-11-10", 9),
            lesson("wang", 1, "2026-11-11", 9),
            lesson("wang", 2, "2026-11-17", 9),
            lesson("chen", 1, "2026-11-17", 10),
        ],
        box_ran: vec![Days { from: at("2026-11-01"), to: at("2026-11-26") }],
        ..Facts::default()
    };
    let found = count(&facts).teachers;
    let found: Vec<_> = found.iter().map(|t| (t.teacher.as_str(), t.days, t.unseen, t.goal, t.reached)).collect();
    // Friday 27 November is the one school day of the four weeks on which the box did not run.
    assert_eq!(found, [("chen", 0, 1, 4, Some(false)), ("wang", 2, 1, 4, Some(false))]);
    let blind = Facts { box_ran: vec![], ..facts };
    assert!(count(&blind).teachers.iter().all(|teacher| teacher.reached.is_none()));
}

#[test]
fn a_class_has_its_own_part() {
    let mut other = device("b");
    other.class = Some(2);
    let mut lent = active("b", "2026-11-03", 9, 3);
    lent.class = None;
    let facts = Facts {
        devices: vec![device("a"), other],
        activities: vec![active("a", "2026-11-03", 9, 3), lent],
        ..Facts::default()
    };
    assert_eq!(count(&facts.of_class(2)).used.plain, rate(1, 0, 0));
    assert_eq!(count(&facts.of_class(3)).used_share.plain, Figure::Unknown { why: Why::NoDevices });
    assert_eq!(count(&facts).used.plain, rate(2, 0, 0));
}

#[test]
fn a_semester_has_its_months_and_gates() {
    let autumn = semester_of(at("2026-11-21"));
    assert_eq!((autumn.from, autumn.to), (all().from, all().to));
    assert_eq!(semester_of(at("2027-01-31")), autumn);
    assert_eq!(semester_of(at("2027-02-01")).to, at("2027-07-31"));
    assert_eq!(semester_of(at("2026-08-01")), autumn);
    let facts = Facts {
        devices: vec![device("a"), device("b")],
        activities: ["2026-08-03", "2026-09-03", "2026-10-01", "2026-11-03"]
            .iter()
            .flat_map(|day| ["a", "b"].map(|device| active(device, day, 9, 30)))
            .skip(1)
            .collect(),
        ..Facts::default()
    };
    let calendar = SchoolCalendar::assumed(at("2026-11-30"));
    let figures = semester(&facts, &calendar, &Parameters::default(), autumn, at("2026-11-30"));
    assert_eq!(figures.months.len(), 4);
    assert_eq!((figures.month_mean.plain, figures.points), (Figure::Known { share: 8_750 }, Some(0)));
    // 31 August is the Monday of the first teaching week; the week of 30 November has begun.
    assert_eq!(figures.weeks, 14);
}

#[test]
fn a_report_is_of_any_semester_that_has_begun() {
    let today = at("2026-11-21");
    let read = |semester: Option<&str>, month: Option<&str>| {
        Asked::read(semester, month, today).map(|asked| (asked.name(), asked.month.to_string()))
    };
    let told = |semester: &str, month: &str| Ok((semester.to_owned(), month.to_owned()));
    assert_eq!(read(None, None), told("115-1", "2026-11"));
    assert_eq!(read(Some("114-2"), None), told("114-2", "2026-07"));
    assert_eq!(read(None, Some("2026-05")), told("114-2", "2026-05"));
    assert_eq!(read(Some("114-1"), Some("2026-01")), told("114-1", "2026-01"));
    for wrong in
        ["", "115", "115-3", "115-0", "0115-1", "+115-1", "115-2", "116-1", "-1-1", "2147483647-2", "115-1 ", "一-1"]
    {
        assert_eq!(read(Some(wrong), None), Err("semester"), "{wrong}");
    }
    for wrong in ["", "2026-12", "2026-13", "2026-7", "x"] {
        assert_eq!(read(None, Some(wrong)), Err("month"), "{wrong}");
    }
    assert_eq!(read(Some("114-2"), Some("2026-08")), Err("month"), "a month of another semester");
    let offered: Vec<_> = offered(today).into_iter().map(|one| (one.semester, one.months.len())).collect();
    let expected = [("115-1", 4), ("114-2", 6), ("114-1", 6), ("113-2", 6)];
    assert_eq!(offered, expected.map(|(name, months)| (name.to_owned(), months)));
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let first = at("2026-10-26").begins();
    let record = (0..6_usize, 0..40_u64, 0..1440_u64, 0..7200_u32, 0..3_usize, 0..3_i64).prop_map(
        move |(device, day, minute, seconds, platform, class)| Activity {
            device: ["a", "b", "c", "d"].get(device).map(|id| (*id).to_owned()),
            student: (device == 4).then(|| "s".into()),
            class: Some(class),
            platform: ["adl", "cool"].get(platform).map(|id| (*id).to_owned()),
            at: first + day * 86_400_000 + minute * 60_000,
            seconds,
        },
    );
    let days = || {
        (0..40_i32, 0..20_i32).prop_map(|(from, long)| {
            let from = at("2026-10-26").plus(from);
            Days { from, to: from.plus(long) }
        })
    };
    let duty = prop_oneof![3 => Just(Duty::InUse), 1 => Just(Duty::Spare), 1 => Just(Duty::Repair)];
    let device = (
        prop::collection::vec((days(), duty), 0..3),
        prop::collection::vec(days(), 0..3),
        prop::collection::vec(days(), 0..3),
        any::<bool>(),
    );
    let lesson = (0..2_usize, 0..3_i64, 0..40_u64, 0..1440_u64, 0..90_u64).prop_map(
        move |(teacher, class, day, minute, long)| {
            let from = first + day * 86_400_000 + minute * 60_000;
            Lesson { teacher: ["wang", "chen"][teacher].into(), class: Some(class), from, to: from + long * 60_000 }
        },
    );
    (
        prop::collection::vec(record, 0..40),
        prop::collection::vec(device, 4),
        prop::collection::vec(lesson, 0..10),
        prop::collection::vec(days(), 0..3),
    )
        .prop_map(|(activities, devices, lessons, box_ran)| Facts {
            activities,
            devices: devices
                .into_iter()
                .zip(["a", "b", "c", "d"])
                .map(|((mut duties, loans, seen, whole), id)| {
                    if whole {
                        duties.insert(0, (all(), Duty::InUse));
                    }
                    let loans = loans.into_iter().map(|days| Loan { days, student: "s".into() }).collect();
                    Device { id: id.into(), class: Some(1), duties, loans, seen }
                })
                .collect(),
            lessons,
            platforms: vec!["adl".into()],
            box_ran,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn order_copies_and_cuts_of_records_change_nothing(facts in any_facts(), cut in 0_u32..7200, turn in 0_usize..40) {
        // The rest of a cut one could lie on another day of a loan.
        let known = |record: &Activity| record.device.is_some();
        let mut other = facts.clone();
        for record in facts.activities.iter().filter(|record| known(record)) {
            let first = record.seconds.min(cut);
            let rest = Activity { at: record.at + u64::from(first) * 1000, seconds: record.seconds - first, ..record.clone() };
            other.activities.push(Activity { seconds: first, ..record.clone() });
            other.activities.push(rest);
        }
        let turn = turn % other.activities.len().max(1);
        other.activities.rotate_left(turn);
        prop_assert_eq!(count(&facts), count(&other));
    }

    #[test]
    fn bounds_hold_whatever_the_unseen_days_held(facts in any_facts()) {
        let figures = count(&facts);
        // Had the box seen everything, and nothing more had happened …
        let mut nothing = facts.clone();
        nothing.devices.iter_mut().for_each(|device| device.seen = vec![all()]);
        // … or had every device been busy on every day that was not seen.
        let mut busy = facts.clone();
        for device in &facts.devices {
            for day in all().each().filter(|day| !device.seen(*day)) {
                busy.activities.push(Activity { at: day.begins(), seconds: 86_400, ..active(&device.id, "2026-11-01", 0, 0) });
            }
        }
        let (nothing, busy) = (count(&nothing), count(&busy));
        for (seen, least, most) in [
            (figures.used.plain, nothing.used.plain, busy.used.plain),
            (figures.used.strict, nothing.used.strict, busy.used.strict),
            (figures.after_class.plain, nothing.after_class.plain, busy.after_class.plain),
        ] {
            prop_assert_eq!(seen.used, least.used);
            prop_assert_eq!(seen.used + seen.unknown, most.used);
            prop_assert_eq!(seen.counted(), least.counted());
            prop_assert_eq!(least.unknown, 0);
        }
    }

    #[test]
    fn the_strict_view_never_has_more(facts in any_facts()) {
        let figures = count(&facts);
        prop_assert!(figures.used.strict.used <= figures.used.plain.used);
        prop_assert!(figures.after_class.strict.used <= figures.after_class.plain.used);
        prop_assert_eq!(figures.used.strict.counted(), figures.used.plain.counted());
        for share in [figures.used_share.plain, figures.used_share.strict, figures.week_mean.plain, figures.week_mean.strict] {
            let (least, most) = share.bounds();
            prop_assert!(least <= most && most <= 10_000);
        }
        prop_assert_eq!(figures.devices.len(), usize::try_from(figures.used.plain.counted()).unwrap());
    }

    #[test]
    fn any_numbers_and_times_are_survived(minutes in any::<u32>(), days in any::<u32>(), at in any::<u64>(), seconds in any::<u32>()) {
        let rule = Counting { minutes, days };
        let views = Views { plain: rule, strict: rule };
        let parameters = Parameters { version: "x".into(), month: views, week: views };
        let record = Activity { at, seconds, ..active("a", "2026-11-01", 0, 0) };
        let facts = Facts { devices: vec![device("a")], activities: vec![record], ..Facts::default() };
        month(&facts, &SchoolCalendar::assumed(Day::of(at)), &parameters, november(), Day::of(at));
    }
}
