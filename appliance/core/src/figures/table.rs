//! The figures as tables of words and numbers, for spreadsheets and for CSV. The words are of the catalogue.

use classroom_protocol::catalogue::{Lang, fill, text};

use super::{
    month::{MonthFigures, PlatformHours, TeacherDays},
    params::{Parameters, Views},
    rate::{Figure, Rate, Share},
    semester::SemesterFigures,
};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing: for people to fill in.
    Blank,
    /// The box does not know: 未知, never zero.
    Unknown,
    /// Words. What begins like a formula is no formula.
    Text(String),
    /// A number.
    Number(u64),
    /// A share in hundredths of a percent.
    Share(Share),
    /// A share between two bounds.
    Between(Share, Share),
    /// Hundredths of hours. The flag says whether there may be more.
    Hours(u64, bool),
}

/// A table with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Name of the sheet: at most 31 characters, as spreadsheets ask for.
    pub name: String,
    /// Rows; they need not be of one length.
    pub rows: Vec<Vec<Cell>>,
    /// Rows that are headings, from 0.
    pub headings: Vec<usize>,
}

impl Cell {
    /// The cell as words, as CSV has it and where a number would say less.
    pub fn words(&self, lang: Lang) -> String {
        let percent = |share: &Share| format!("{}.{:02}%", share / 100, share % 100);
        match self {
            Self::Blank => String::new(),
            Self::Unknown => text(lang, "figures.unknown").to_owned(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Share(share) => percent(share),
            Self::Between(least, most) => {
                fill(lang, "figures.between", &[("least", &percent(least)), ("most", &percent(most))])
            }
            Self::Hours(hours, more) => {
                let hours = format!("{}.{:02}", hours / 100, hours % 100);
                if *more { fill(lang, "figures.at-least", &[("hours", &hours)]) } else { hours }
            }
        }
    }

    fn key(lang: Lang, key: &str) -> Self {
        Self::Text(text(lang, key).to_owned())
    }
}

impl From<Figure> for Cell {
    fn from(figure: Figure) -> Self {
        match figure {
            Figure::Known { share } => Self::Share(share),
            Figure::Between { least, most } => Self::Between(least, most),
            Figure::Unknown { .. } => Self::Unknown,
        }
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// Where days with lessons come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalendarFrom {
    /// The office has typed the school's calendar.
    School,
    /// Nobody has: the usual terms, Monday to Friday, are assumed.
    Assumed,
}

/// The rules and their numbers in words; printed beside every figure.
pub fn rules(parameters: &Parameters, calendar: CalendarFrom, lang: Lang) -> Vec<String> {
    let (month, week) = (&parameters.month, &parameters.week);
    let numbers = [
        ("version", parameters.version.clone()),
        ("minutes", month.plain.minutes.to_string()),
        ("days", month.plain.days.to_string()),
        ("week-days", week.plain.days.to_string()),
        ("strict-minutes", month.strict.minutes.to_string()),
        ("strict-days", month.strict.days.to_string()),
        ("strict-week-days", week.strict.days.to_string()),
    ];
    let values: Vec<(&str, &str)> = numbers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let calendar = match calendar {
        CalendarFrom::School => "figures.calendar-school",
        CalendarFrom::Assumed => "figures.calendar-assumed",
    };
    [fill(lang, "figures.rules-plain", &values), fill(lang, "figures.rules-strict", &values)]
        .into_iter()
        .chain(["figures.rules-counted", "figures.rules-unknown", calendar].map(|key| text(lang, key).to_owned()))
        .collect()
}

/// Builds a table line by line.
struct Sheet {
    lang: Lang,
    table: Table,
}

impl Sheet {
    fn new(lang: Lang, name: &str) -> Self {
        Self { lang, table: Table { name: text(lang, name).to_owned(), rows: vec![], headings: vec![] } }
    }

    fn heading(&mut self, keys: &[&str]) {
        if !self.table.rows.is_empty() {
            self.table.rows.push(vec![]);
        }
        self.table.headings.push(self.table.rows.len());
        self.table.rows.push(keys.iter().map(|key| Cell::key(self.lang, key)).collect());
    }

    fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.table.rows.push(cells.into_iter().collect());
    }

    fn rate(&mut self, name: Cell, rate: &Views<Rate>) {
        let numbers = [rate.plain.used, rate.plain.unused, rate.plain.unknown].map(Cell::from);
        let shares = [rate.plain.figure().into(), rate.strict.figure().into()];
        self.row([name].into_iter().chain(numbers).chain(shares));
    }

    fn mean(&mut self, key: &str, mean: &Views<Figure>) {
        let name = Cell::key(self.lang, key);
        self.row([name, Cell::Blank, Cell::Blank, Cell::Blank, mean.plain.into(), mean.strict.into()]);
    }

    fn platforms(&mut self, platforms: &[PlatformHours], name_of: &dyn Fn(&str) -> String) {
        self.heading(&["figures.platform", "figures.hours", "figures.users"]);
        for line in platforms {
            let hours = Cell::Hours(line.seconds * 100 / 3600, !line.complete);
            let cells = if line.seconds == 0 && !line.complete {
                [Cell::Unknown, Cell::Unknown]
            } else {
                [hours, line.users.into()]
            };
            self.row([Cell::Text(name_of(&line.platform))].into_iter().chain(cells));
        }
    }

    fn teachers(&mut self, teachers: &[TeacherDays], name_of: &dyn Fn(&str) -> String) {
        self.heading(&[
            "figures.teacher",
            "figures.teacher-days",
            "figures.goal",
            "figures.unseen-days",
            "figures.reached",
        ]);
        for line in teachers {
            let reached = match line.reached {
                Some(true) => Cell::key(self.lang, "figures.yes"),
                Some(false) => Cell::key(self.lang, "figures.no"),
                None => Cell::Unknown,
            };
            let numbers = [line.days.into(), line.goal.into(), line.unseen.into(), reached];
            self.row([Cell::Text(name_of(&line.teacher))].into_iter().chain(numbers));
        }
    }

    fn rules(&mut self, parameters: &Parameters, calendar: CalendarFrom) {
        self.heading(&["figures.rules"]);
        for line in rules(parameters, calendar, self.lang) {
            self.row([Cell::Text(line)]);
        }
    }
}

const RATE_COLUMNS: [&str; 6] = [
    "figures.period",
    "figures.used",
    "figures.unused",
    "figures.unknown-devices",
    "figures.share",
    "figures.share-strict",
];

/// Words that the figures do not know themselves.
pub struct Names<'a> {
    /// Of a platform's id.
    pub platform: &'a dyn Fn(&str) -> String,
    /// Of a teacher's account.
    pub teacher: &'a dyn Fn(&str) -> String,
}

/// A month as a table.
pub fn month_table(figures: &MonthFigures, calendar: CalendarFrom, names: &Names<'_>, lang: Lang) -> Table {
    let mut sheet = Sheet::new(lang, "figures.sheet-month");
    sheet.heading(&RATE_COLUMNS);
    sheet.rate(Cell::Text(fill(lang, "figures.month-use", &[("month", &figures.month.to_string())])), &figures.used);
    sheet.rate(Cell::key(lang, "figures.after-class"), &figures.after_class);
    for week in &figures.weeks {
        sheet.rate(Cell::Text(fill(lang, "figures.week-from", &[("day", &week.monday.to_string())])), &week.rate);
    }
    sheet.mean("figures.week-mean", &figures.week_mean);
    sheet.platforms(&figures.platforms, names.platform);
    sheet.teachers(&figures.teachers, names.teacher);
    sheet.rules(&figures.parameters, calendar);
    sheet.table
}

/// A semester as a table.
pub fn semester_table(figures: &SemesterFigures, calendar: CalendarFrom, names: &Names<'_>, lang: Lang) -> Table {
    let mut sheet = Sheet::new(lang, "figures.sheet-semester");
    sheet.heading(&RATE_COLUMNS);
    let name = |key: &str, month: &super::YearMonth| Cell::Text(fill(lang, key, &[("month", &month.to_string())]));
    for month in &figures.months {
        sheet.rate(name("figures.month-use", &month.month), &month.used);
    }
    sheet.mean("figures.month-mean", &figures.month_mean);
    for month in &figures.months {
        sheet.rate(name("figures.month-after-class", &month.month), &month.after_class);
    }
    sheet.mean("figures.after-class-mean", &figures.after_class_mean);
    sheet.mean("figures.week-mean", &figures.week_mean);
    sheet.row([Cell::key(lang, "figures.weeks"), figures.weeks.into()]);
    sheet.row([Cell::key(lang, "figures.points"), figures.points.map_or(Cell::Unknown, Cell::from)]);
    sheet.teachers(&figures.teachers, names.teacher);
    sheet.rules(&figures.parameters, calendar);
    sheet.table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_a_word_and_never_a_number() {
        assert_eq!(Cell::Unknown.words(Lang::En), "unknown");
        assert_eq!(Cell::Between(9_000, 9_505).words(Lang::En), "90.00%–95.05%");
        assert_eq!(Cell::Hours(1_205, false).words(Lang::En), "12.05");
        assert_eq!(Cell::Share(10_000).words(Lang::En), "100.00%");
        assert_eq!(Cell::from(Figure::Unknown { why: super::super::Why::NothingSeen }), Cell::Unknown);
    }

    #[test]
    fn the_rules_name_every_number() {
        let parameters = Parameters::default();
        for lang in [Lang::ZhHantTw, Lang::En] {
            let words = rules(&parameters, CalendarFrom::Assumed, lang).join("\n");
            assert!(words.contains("2026-1") && words.contains("10") && words.contains('4'), "{words}");
            assert!(!words.contains('{'), "{words}");
            assert_ne!(words, rules(&parameters, CalendarFrom::School, lang).join("\n"));
        }
    }
}
