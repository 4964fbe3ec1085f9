//! A school of two classes between which students move. Its semester is made from a number: the same number, the same
//! semester.

use appliance_core::{
    calendar::{Day, day},
    figures::{Activity, Days, Device, Duty, Facts, Lesson, Loan, SchoolCalendar},
};

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `sides` - 1.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

pub(crate) const PLATFORMS: [&str; 3] = ["adl", "cool-english", "junyi"];

pub(crate) fn at(text: &str) -> Day {
    day(text).unwrap()
}

/// A calendar with holidays, a make-up Saturday and short Wednesdays.
pub(crate) fn calendar() -> SchoolCalendar {
    serde_json::from_value(serde_json::json!({
        "terms": [{ "from": "2026-08-30", "to": "2027-01-20" }],
        "holidays": ["2026-09-25", "2026-09-28", "2026-10-09", "2026-10-26", "2026-12-25", "2027-01-01"],
        "make_up": { "2026-10-17": 5, "2026-11-14": 3 },
        "timetable": {
            "1": [{ "from": "08:00", "to": "12:00" }, { "from": "13:20", "to": "16:00" }],
            "2": [{ "from": "08:00", "to": "16:00" }],
            "3": [{ "from": "08:00", "to": "12:30" }],
            "4": [{ "from": "08:00", "to": "16:00" }],
            "5": [{ "from": "08:00", "to": "15:10" }]
        }
    }))
    .unwrap()
}

fn devices(dice: &mut Dice, span: Days) -> Vec<Device> {
    let long = 184;
    let day = |dice: &mut Dice| span.from.plus(i32::try_from(dice.roll(long)).unwrap());
    (0..46)
        .map(|n| {
            let mut duties = vec![(span, if n >= 43 { Duty::Spare } else { Duty::InUse })];
            if dice.chance(12) {
                // Came later.
                duties = vec![(Days { from: day(dice), to: span.to }, Duty::InUse)];
            }
            for duty in [Duty::Repair, Duty::Spare, Duty::InUse] {
                if dice.chance(15) {
                    let from = day(dice);
                    duties.push((Days { from, to: from.plus(i32::try_from(dice.roll(45)).unwrap()) }, duty));
                }
            }
            let mut loans = Vec::new();
            if dice.chance(70) {
                let from = day(dice);
                let to = if dice.chance(60) { span.to } else { from.plus(40) };
                loans.push(Loan { days: Days { from, to }, student: format!("S{n:03}") });
                if dice.chance(50) {
                    // Came back, and somebody else has it now; at times on the day on which it came back.
                    let again = to.plus(i32::try_from(dice.roll(20)).unwrap());
                    loans
                        .push(Loan { days: Days { from: again, to: span.to.max(again) }, student: format!("T{n:03}") });
                }
            }
            // An agent that reports all, one that came late or fell silent, or none.
            let seen = match dice.roll(4) {
                0 => vec![],
                1 => vec![Days { from: day(dice), to: span.to }, Days { from: span.from, to: day(dice) }],
                _ => vec![span],
            };
            // Some nobody has, and some had students who have left the school.
            let class = (n % 11 != 0).then_some(1 + n % 2);
            Device { id: format!("D{n:03}"), class, duties, loans, seen }
        })
        .collect()
}

/// Facts of the days in `span`, from August to January.
pub(crate) fn school(seed: u64, span: Days) -> Facts {
    let mut dice = Dice(seed);
    let (calendar, devices) = (calendar(), devices(&mut dice, span));
    let (mut activities, mut lessons) = (Vec::new(), Vec::new());
    let moved = span.from.plus(i32::try_from(30 + dice.roll(100)).unwrap());
    for day in span.each() {
        let school = calendar.is_school_day(day);
        if school {
            for (teacher, hour) in [("wang", 9), ("lin", 10), ("chen", 14)] {
                if dice.chance(if teacher == "chen" { 4 } else { 35 }) {
                    let from = day.begins() + hour * 3_600_000 + dice.roll(600_000);
                    let class = Some(1 + i64::try_from(dice.roll(2)).unwrap());
                    lessons.push(Lesson { teacher: teacher.into(), class, from, to: from + dice.roll(3_000_000) });
                }
            }
        }
        for (n, device) in devices.iter().enumerate() {
            // Today's class of some devices is not that of then: their students have moved from one to the other.
            let class = device.class.map(|now| if n % 3 == 0 && day < moved { 3 - now } else { now });
            // Some devices are hardly touched.
            let busy = if n % 9 == 0 {
                1
            } else if school {
                22
            } else {
                5
            };
            while dice.chance(busy) {
                let at = day.begins() + dice.roll(86_400_000);
                let seconds = u32::try_from(if dice.chance(20) { dice.roll(70) } else { dice.roll(5_400) }).unwrap();
                let platform = PLATFORMS.get(usize::try_from(dice.roll(5)).unwrap()).map(|id| (*id).to_owned());
                let mut record = Activity {
                    device: dice.chance(80).then(|| device.id.clone()),
                    student: dice.chance(60).then(|| format!("S{n:03}")),
                    class: if dice.chance(75) { class } else { None },
                    platform,
                    at,
                    seconds,
                };
                if dice.chance(10) {
                    // Told twice.
                    activities.push(record.clone());
                }
                if dice.chance(10) {
                    // Two platforms at once, one of them not in the bundle.
                    record.platform = Some("else".into());
                    record.at += dice.roll(60_000);
                    activities.push(record.clone());
                    record.at += dice.roll(60_000);
                }
                activities.push(record);
            }
        }
    }
    let silent = span.from.plus(i32::try_from(dice.roll(150)).unwrap());
    let box_ran = vec![Days { from: span.from, to: silent }, Days { from: silent.plus(4), to: span.to }];
    let platforms = PLATFORMS[..2].iter().map(|id| (*id).to_owned()).collect();
    Facts { activities, devices, lessons, platforms, box_ran }
}
