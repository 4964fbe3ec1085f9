//! Fills the data folder of a stopped box with an invented class of 40 and its last 70 days, to look at the pages with:
//! `cargo run --example invented_month -- FOLDER [ACCOUNT-ID]`. Nothing of it is ever part of a real box.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{path::Path, sync::Arc};

use appliance::{
    clock,
    store::{self, NewLesson, ReportSetting, Store},
    usage::{MOST, Recorder, SchoolKey},
};
use appliance_core::{
    calendar::Day,
    figures::{Days, SchoolCalendar},
    register::{Change, ClassRef, DeviceFacts, Kind, State},
    usage::{Event, Fact, Place, Subject},
};
use classroom_protocol::{Millis, Seat};

const CLASS: &str = "六年十二班（智慧型互動屏幕結合個人化學習載具實施班級）";
const STUDENTS: u8 = 40;
const BACK: i32 = 70;
const MINUTE: Millis = 60_000;
const PLATFORMS: [(&str, u64); 5] = [("adl", 50), ("cool-english", 25), ("junyi", 15), ("learnmode", 7), ("pagamo", 3)];

/// SplitMix64: the same month each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

fn name(seat: u8) -> String {
    match seat {
        4 => "林莎瓦·巴魯·阿里夫".into(),
        9 => "伊斯坦大·貝雅夫·正福·拉娃·達卡鬧·杜潔瑪芮·卡拉雲漾·瑪達拉".into(),
        12 => "<b>王</b>&amp;小明".into(),
        17 => "Oyong Ispalidav Takiludun".into(),
        _ => {
            let family = "陳林黃張李王吳劉蔡楊許鄭謝郭洪".chars().nth(usize::from(seat) % 15).unwrap();
            let given = "怡君雅婷宗翰家豪志明淑芬俊傑心怡冠宇詩涵".chars().nth(usize::from(seat) * 7 % 20).unwrap();
            let second = "安平品妤承恩宥廷羽晴".chars().nth(usize::from(seat) * 3 % 10).unwrap();
            [family, given, second].iter().collect()
        }
    }
}

fn code(seat: u8) -> String {
    format!("T-{:04}", 1000 + u32::from(seat) * 37)
}

async fn fill(store: &Store, folder: &Path, staff: i64) -> anyhow::Result<()> {
    let now = clock::now();
    let today = Day::of(now);
    let first = today.plus(-BACK);
    let began = first.begins();
    let class = store.classes().create(CLASS.into(), vec![]).await?;
    let place = |n: u8| Change::Place {
        student: None,
        number: format!("11{:05}", u32::from(n) * 11).parse().ok(),
        name: name(n),
        class: ClassRef::Known(class),
        seat: Seat::try_from(n).unwrap(),
    };
    let device = |n: u8| Change::PutDevice {
        device: None,
        facts: DeviceFacts {
            code: code(n),
            kind: Kind::Chromebook,
            mac: None,
            tag: None,
            // The last two are not lent out: a spare and one in repair.
            spare: n == STUDENTS + 1,
            state: if n == STUDENTS + 2 { State::Repair } else { State::Ready },
        },
        at: began,
    };
    let changes = (1..=STUDENTS).map(place).chain((1..=STUDENTS + 2).map(device)).collect::<Vec<_>>();
    store.registers().change(move |_| Ok::<_, ()>((changes, ()))).await?.unwrap_or_default();
    store
        .registers()
        .change(move |register| {
            let device_of = |n: u8| register.devices.values().find(|d| d.facts.code == code(n)).map(|d| d.id);
            let lend = register.class(class).into_iter().filter_map(|(seat, student)| {
                let device = device_of(seat.number())?;
                let due = today.plus(200).ends();
                Some(Change::Lend { device, student: student.id, due, at: began, by: "教務處".into() })
            });
            Ok::<_, ()>((lend.collect(), ()))
        })
        .await?
        .unwrap_or_default();

    let (mut dice, calendar, mut events) = (Dice(7), SchoolCalendar::assumed(today), Vec::new());
    for day in (Days { from: first, to: today }).each() {
        store.figures().box_ran(day).await?;
        let school = calendar.is_school_day(day);
        if school && dice.roll(10) < 4 && day < today {
            let from = day.begins() + 9 * 60 * MINUTE;
            let id = uuid::Uuid::now_v7().to_string();
            let lesson = NewLesson {
                id: id.clone(),
                class,
                class_name: CLASS.into(),
                started_at: from,
                started_by: "王老師".into(),
            };
            store.lessons().begin(lesson).await?;
            store.lessons().end(id.clone(), from + 40 * MINUTE).await?;
            let who = Subject { class: Some(class), staff: Some(staff), ..Subject::default() };
            events.push(Event {
                at: from,
                who,
                place: Place::School,
                lesson: Some(id.clone()),
                fact: Fact::LessonStarted {},
                origin: None,
            });
            for n in (1..=STUDENTS).filter(|n| n % 13 != 5) {
                let who = Subject::seat(class, Seat::try_from(n).unwrap());
                let (at, fact) = (from + 39 * MINUTE + u64::from(n), Fact::Left { seconds: 38 * 60 });
                events.push(Event { at, who, place: Place::School, lesson: Some(id.clone()), fact, origin: None });
            }
        }
        // Each thirteenth stays in the drawer.
        for n in (1..=STUDENTS).filter(|n| n % 13 != 5) {
            let keen = 20 + u64::from(n) % 5 * 10;
            if dice.roll(100) >= if school { keen } else { keen / 3 } {
                continue;
            }
            let at = day.begins() + (if school { 960 } else { 600 } + dice.roll(240)) * MINUTE + dice.roll(MINUTE);
            let (platform, _) = PLATFORMS[usize::try_from(dice.roll(100)).unwrap() * 5 / 100 % 5];
            let seconds = u32::try_from(240 + dice.roll(2400)).unwrap();
            if at + u64::from(seconds) * 1000 < now {
                let who = Subject {
                    class: Some(class),
                    ..Subject::device(code(n), Some(format!("11{:05}", u32::from(n) * 11)))
                };
                let fact = Fact::Used { platform: platform.into(), seconds };
                events.push(Event { at, who, place: Place::Home, lesson: None, fact, origin: None });
            }
        }
    }
    for n in (1..=STUDENTS).filter(|n| n % 11 != 7) {
        store.figures().device_seen(code(n), Days { from: first, to: today.plus(-1) }).await?;
    }
    let typed = r#"{"county":"屏東縣","town":"泰武鄉","remoteness":"偏遠","code":"134999","school":"示範國民小學","grades":"六年級","subjects":"國語文、數學、自然","scheme":"THSD"}"#;
    store.figures().set(ReportSetting::Annex, typed.into(), "教務處".into(), now).await?;
    let recorder = Recorder::new(store.usage(), Arc::new(SchoolKey::load_or_create(folder)?));
    for part in events.chunks(MOST) {
        recorder.record_all(part.to_vec()).await?;
    }
    println!("class {class}: {} events since {first}", events.len());
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or_else(|| anyhow::anyhow!("name the box's data folder"))?;
    let staff = arguments.next().and_then(|id| id.parse().ok()).unwrap_or(1);
    let opened = store::open(Path::new(&folder), clock::now())?;
    let filled = fill(&opened.store, Path::new(&folder), staff).await;
    let keeper = opened.keeper;
    tokio::task::spawn_blocking(move || keeper.close()).await?;
    filled
}
