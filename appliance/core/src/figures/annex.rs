//! 附件6 學校統整表: its 18 columns (R-USE-7). What the box can't know is typed by the office or stays unknown.

use std::collections::BTreeSet;

use classroom_protocol::{
    Millis,
    catalogue::{Lang, fill, text},
};
use serde::{Deserialize, Serialize};

use crate::register::{Register, consent};

use super::{
    Day, Parameters, SemesterFigures,
    rate::Figure,
    school_days::Days,
    table::{CalendarFrom, Cell, Table, rules},
};

/// The number of columns.
pub const COLUMNS: usize = 18;
/// The longest text of a cell, in characters.
const LONGEST: usize = 60;
/// The most devices or carts that a school applies for.
const MOST: u32 = 100_000;
/// Points of the self-assessment beside item 1: three items and three extras of at most 5.
const MOST_POINTS: u32 = 30;

/// What the office has typed. `None` = not typed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Typed {
    /// 推薦優先序.
    pub priority: Option<u32>,
    /// 方案類別.
    pub scheme: Option<String>,
    /// 縣市.
    pub county: Option<String>,
    /// 鄉鎮.
    pub town: Option<String>,
    /// 偏遠分級.
    pub remoteness: Option<String>,
    /// 學校代碼.
    pub code: Option<String>,
    /// 學校名稱.
    pub school: Option<String>,
    /// 年級別.
    pub grades: Option<String>,
    /// 實施領域.
    pub subjects: Option<String>,
    /// 申請公用載具數.
    pub devices: Option<u32>,
    /// 申請公用載具作業系統.
    pub system: Option<String>,
    /// 申請充電車(臺).
    pub carts: Option<u32>,
    /// Points of the self-assessment without item 1, which the box counts.
    pub other_points: Option<u32>,
}

/// Which register the counts rest on: classes and consents are not kept with their dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rests {
    /// That of this day.
    On(Day),
    /// None: the semester ended before this day, the first of which the box knows anything of classes and consents.
    Before(Day),
}

impl Rests {
    /// Of a semester. `known_since`: the earliest time of which the box has a consent text or a signature, while it has
    /// neither a lesson or a loan; without any it knows of `today` alone.
    pub fn of(semester: Days, known_since: Option<Millis>, today: Day) -> Self {
        let known = known_since.map_or(today, Day::of).min(today);
        if semester.to < known { Self::Before(known) } else { Self::On(today) }
    }

    /// The same in words.
    pub fn words(self, lang: Lang) -> String {
        let (key, day) = match self {
            Self::On(day) => ("figures.annex-register", day),
            Self::Before(day) => ("figures.annex-no-register", day),
        };
        fill(lang, key, &[("day", &day.text())])
    }

    /// The counts that the register of today gives, where they may stand for the semester; else all are unknown.
    #[must_use]
    pub fn counts(self, today: impl FnOnce() -> Counts) -> Counts {
        match self {
            Self::On(_) => today(),
            Self::Before(_) => Counts::default(),
        }
    }
}

/// What the register knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// 參與班級數: classes with consent of nine in ten; `None` while no consent text was published.
    pub classes: Option<u32>,
    /// 教師數: teachers who held a lesson with one of them; `None` while no class takes part, and while none was seen but
    /// some may have been on a school day on which the box did not run.
    pub teachers: Option<u32>,
    /// 學生數: their students with both signatures.
    pub students: Option<u32>,
}

impl Typed {
    /// Removes blanks at the ends; an empty text counts as not typed.
    ///
    /// # Errors
    /// The first field that can't be used, with what it must be.
    pub fn checked(mut self) -> Result<Self, (&'static str, &'static str)> {
        for (field, value) in [
            ("scheme", &mut self.scheme),
            ("county", &mut self.county),
            ("town", &mut self.town),
            ("remoteness", &mut self.remoteness),
            ("code", &mut self.code),
            ("school", &mut self.school),
            ("grades", &mut self.grades),
            ("subjects", &mut self.subjects),
            ("system", &mut self.system),
        ] {
            *value = value.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            let fits = |text: &String| text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
            if !value.as_ref().is_none_or(fits) {
                return Err((field, "at most 60 characters, in one line"));
            }
        }
        for (field, value, most) in [
            ("priority", self.priority, MOST),
            ("devices", self.devices, MOST),
            ("carts", self.carts, MOST),
            ("other_points", self.other_points, MOST_POINTS),
        ] {
            if value.is_some_and(|value| value > most) {
                return Err((field, "a smaller number"));
            }
        }
        Ok(self)
    }
}

/// Who takes part, as the register has it. `held`: with which classes each teacher has held lessons; `unseen`: school days on
/// which the box did not run.
pub fn counts(register: &Register, held: &BTreeSet<(i64, String)>, unseen: u32) -> Counts {
    if register.texts.is_empty() {
        return Counts::default();
    }
    let number = |count: usize| Some(u32::try_from(count).unwrap_or(u32::MAX));
    let part: BTreeSet<i64> =
        register.classes.keys().copied().filter(|class| consent::quorum(register, *class).reached).collect();
    let students = part.iter().map(|class| consent::quorum(register, *class).both).sum();
    let teachers: BTreeSet<&str> =
        held.iter().filter(|(class, _)| part.contains(class)).map(|(_, teacher)| teacher.as_str()).collect();
    Counts {
        classes: number(part.len()),
        teachers: number(teachers.len()).filter(|seen| !part.is_empty() && (*seen > 0 || unseen == 0)),
        students: number(students),
    }
}

/// The titles of the 18 columns, exactly as in the plan; in English for those who read that.
pub fn titles(lang: Lang) -> [&'static str; COLUMNS] {
    std::array::from_fn(|n| text(lang, &format!("figures.annex-{}", n + 1)))
}

/// The cells of the school's row.
pub fn row(typed: &Typed, counts: Counts, semester: &SemesterFigures) -> [Cell; COLUMNS] {
    let word = |value: &Option<String>| value.clone().map_or(Cell::Unknown, Cell::Text);
    let number = |value: Option<u32>| value.map_or(Cell::Unknown, Cell::from);
    let points = typed.other_points.zip(semester.points).map(|(other, counted)| other + counted);
    let week: Figure = semester.week_mean.plain;
    [
        Cell::Number(1),
        number(typed.priority),
        word(&typed.scheme),
        word(&typed.county),
        word(&typed.town),
        word(&typed.remoteness),
        word(&typed.code),
        word(&typed.school),
        word(&typed.grades),
        word(&typed.subjects),
        number(counts.classes),
        number(counts.teachers),
        number(counts.students),
        number(typed.devices),
        word(&typed.system),
        number(typed.carts),
        number(points),
        week.into(),
    ]
}

/// The sheet: the plan's title, the 18 titles, the school's row, and below it which register it rests on and how it was
/// counted.
pub fn table(
    typed: &Typed,
    (counts, rests): (Counts, Rests),
    semester: &SemesterFigures,
    calendar: CalendarFrom,
    parameters: &Parameters,
    lang: Lang,
) -> Table {
    let own = |text: &str| vec![Cell::Text(text.to_owned())];
    let span = [("from", semester.days.from.to_string()), ("to", semester.until.to_string())];
    let span: Vec<(&str, &str)> = span.iter().map(|(name, day)| (*name, day.as_str())).collect();
    let mut rows = vec![
        own(text(lang, "figures.annex-title")),
        titles(lang).iter().map(|title| Cell::Text((*title).to_owned())).collect(),
        row(typed, counts, semester).into(),
        vec![],
        own(&fill(lang, "figures.annex-span", &span)),
        own(&rests.words(lang)),
        own(text(lang, "figures.annex-week")),
    ];
    rows.extend(rules(parameters, calendar, lang).into_iter().map(|line| vec![Cell::Text(line)]));
    Table { name: text(lang, "figures.sheet-annex").to_owned(), rows, headings: vec![0, 1] }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_titles_are_those_of_the_plan() {
        assert_eq!(
            titles(Lang::ZhHantTw).join("\t"),
            "編號\t推薦優先序\t方案類別\t縣市\t鄉鎮\t偏遠分級\t學校代碼\t學校名稱\t年級別\t實施領域\t參與班級數\t教師數\t學生數\t\
             申請公用載具數\t申請公用載具作業系統\t申請充電車(臺)\t自評成績\t週平均使用率(由縣市填寫)"
        );
        assert!(titles(Lang::En).iter().all(|title| !title.is_empty()));
    }

    #[test]
    fn teachers_whom_nobody_could_see_are_unknown_and_not_none() {
        use crate::register::{ConsentText, Party, Signature, Student, Way};
        let mut register = Register::default();
        assert_eq!(counts(&register, &BTreeSet::new(), 60), Counts::default(), "no text was published yet");
        let text = ConsentText {
            version: 1,
            title: "帶回家".into(),
            body: "內容".into(),
            renew: true,
            at: 1,
            by: String::new(),
        };
        register.texts.insert(1, text);
        register.classes.insert(3, "五年三班".into());
        let place = Some((3, classroom_protocol::Seat::try_from(1).unwrap()));
        register.students.insert(7, Student { id: 7, number: None, name: "王小明".into(), place });
        assert_eq!(counts(&register, &BTreeSet::new(), 0).teachers, None, "no class takes part");
        for party in [Party::Student, Party::Guardian] {
            register.signatures.push(Signature {
                student: 7,
                party,
                version: 1,
                way: Way::Page,
                at: 2,
                by: String::new(),
                withdrawn_at: None,
            });
        }
        let teachers = |held: &[&str], unseen| {
            let held = held.iter().map(|teacher| (3, (*teacher).to_owned())).collect();
            counts(&register, &held, unseen).teachers
        };
        assert_eq!(teachers(&[], 60), None, "the box was off");
        assert_eq!(teachers(&[], 0), Some(0), "it was on, and nobody came");
        assert_eq!(teachers(&["1", "2"], 60), Some(2));
    }

    #[test]
    fn a_semester_before_the_registers_knowledge_is_unknown() {
        let day = |text: &str| crate::calendar::day(text).unwrap();
        let noon = |text: &str| Some(day(text).begins() + 43_200_000);
        let autumn = Days { from: day("2024-08-01"), to: day("2025-01-31") };
        let today = day("2026-11-22");
        let of = |since| Rests::of(autumn, since, today);
        assert_eq!(of(noon("2025-02-01")), Rests::Before(day("2025-02-01")));
        assert_eq!(of(noon("2025-01-31")), Rests::On(today), "its last day is known");
        assert_eq!(of(None), Rests::Before(today), "nothing proves it");
        let now = Days { from: day("2026-08-01"), to: day("2027-01-31") };
        assert_eq!(Rests::of(now, None, today), Rests::On(today));
        assert_eq!(Rests::of(now, noon("2030-01-01"), today), Rests::On(today), "a clock that was wrong");
        let some = || Counts { classes: Some(1), teachers: Some(2), students: Some(3) };
        assert_eq!(of(None).counts(some), Counts::default());
        assert_eq!(Rests::On(today).counts(some), some());
        for lang in [Lang::ZhHantTw, Lang::En] {
            for (rests, day) in [(of(noon("2025-02-01")), "2025-02-01"), (Rests::On(today), "2026-11-22")] {
                let words = rests.words(lang);
                assert!(words.contains(day) && !words.contains('{'), "{words}");
            }
        }
    }

    #[test]
    fn what_is_typed_is_trimmed_and_bounded() {
        let typed = |school: &str| Typed { school: Some(school.into()), ..Typed::default() };
        assert_eq!(typed(" 泰武國小 ").checked().unwrap().school.as_deref(), Some("泰武國小"));
        assert_eq!(typed("  ").checked().unwrap().school, None);
        assert_eq!(typed(&"很".repeat(61)).checked().unwrap_err().0, "school");
        assert_eq!(typed("a\nb").checked().unwrap_err().0, "school");
        let points = Typed { other_points: Some(31), ..Typed::default() };
        assert_eq!(points.checked().unwrap_err().0, "other_points");
    }
}
