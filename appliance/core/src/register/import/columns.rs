//! Which column holds what. The headings that schools use are data: `columns.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize};

use super::{CELL_CHARS, List, NoPlan, RowProblem};
use crate::register::{Kind, Wrong, text::trimmed};

/// A title above the table, the school's name, the term: headings are looked for below them.
const HEADING_WITHIN: usize = 10;

/// A column that the register knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// 學號.
    Number,
    /// Name of the student.
    Name,
    /// Name of the class.
    Class,
    /// Seat in the class.
    Seat,
    /// Opaque code of a device.
    Code,
    /// Kind of device.
    Kind,
    /// Wi-Fi address.
    Mac,
    /// Property number.
    Tag,
    /// Spare pool.
    Spare,
}

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// It is read.
    Read,
    /// The register has no use for it.
    Unknown,
    /// The box must not keep such a thing (R-DATA-4); it was not looked at.
    Never,
    /// An earlier column says the same.
    Again,
}

/// One column of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// What it holds.
    pub field: Option<Field>,
    /// What becomes of it.
    pub used: Use,
}

#[derive(Deserialize)]
struct Words {
    columns: BTreeMap<Field, Vec<String>>,
    never: Vec<String>,
    kinds: BTreeMap<Kind, Vec<String>>,
    yes: BTreeSet<String>,
    no: BTreeSet<String>,
}

#[expect(clippy::expect_used, reason = "the file is part of the program and a test reads it")]
static WORDS: LazyLock<Words> =
    LazyLock::new(|| serde_json::from_str(include_str!("columns.json")).expect("columns.json is well formed"));

/// One spelling for all: no blanks around, narrow signs, lower case.
fn folded(text: &str) -> String {
    let narrow = trimmed(text).chars().map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' | '\n' | '\r' => ' ',
        other => other,
    });
    let text: String = narrow.flat_map(char::to_lowercase).collect();
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The kind of device that a cell names.
pub(super) fn kind(text: &str) -> Option<Kind> {
    let text = folded(text);
    let exact = |words: &[String]| words.contains(&text);
    let begins = |words: &[String]| words.iter().any(|word| word.is_ascii() && text.starts_with(word.as_str()));
    let find =
        |fits: &dyn Fn(&[String]) -> bool| WORDS.kinds.iter().find(|(_, words)| fits(words)).map(|(kind, _)| *kind);
    find(&exact).or_else(|| find(&begins))
}

/// Yes or no; nothing is no.
pub(super) fn yes(text: &str) -> Option<bool> {
    let text = folded(text);
    match (WORDS.yes.contains(&text), text.is_empty() || WORDS.no.contains(&text)) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

/// Where the headings are and what each column holds.
pub(super) struct Heading {
    /// From 1.
    pub(super) row: usize,
    pub(super) columns: Vec<Column>,
    pub(super) required: &'static [Field],
}

fn fields(list: List) -> (&'static [Field], &'static [Field]) {
    match list {
        List::Students => {
            let all = &[Field::Number, Field::Name, Field::Class, Field::Seat];
            (all, all)
        }
        List::Devices => (&[Field::Kind], &[Field::Code, Field::Kind, Field::Mac, Field::Tag, Field::Spare]),
    }
}

fn read(cells: &[String], known: &[Field]) -> Vec<Column> {
    let mut seen = BTreeSet::new();
    let column = |title: &String| {
        let word = folded(title);
        // Schools widen short headings with blanks.
        let dense = |word: &str| word.replace(' ', "");
        let named = |(_, words): &(&Field, &Vec<String>)| words.iter().any(|known| dense(known) == dense(&word));
        let field = WORDS.columns.iter().find(named).map(|(field, _)| *field).filter(|field| known.contains(field));
        let used = match field {
            Some(field) if seen.insert(field) => Use::Read,
            Some(_) => Use::Again,
            None if WORDS.never.iter().any(|never| word.contains(never)) => Use::Never,
            None => Use::Unknown,
        };
        Column { title: trimmed(title).chars().take(CELL_CHARS).collect(), field, used }
    };
    cells.iter().map(column).collect()
}

/// Looks for the row that names the columns.
pub(super) fn find(table: &[Vec<String>], list: List) -> Result<Heading, NoPlan> {
    let (required, known) = fields(list);
    if table.iter().flatten().all(|cell| trimmed(cell).is_empty()) {
        return Err(NoPlan::Empty);
    }
    let mut best: Option<Vec<Field>> = None;
    for (row, cells) in (1..).zip(table.iter().take(HEADING_WITHIN)) {
        let columns = read(cells, known);
        let has = |field: &Field| columns.iter().any(|column| column.field == Some(*field) && column.used == Use::Read);
        let missing: Vec<Field> = required.iter().filter(|field| !has(field)).copied().collect();
        // A list of devices that names only their kind identifies nothing.
        let identified = list == List::Students || [Field::Mac, Field::Tag, Field::Code].iter().any(has);
        if missing.is_empty() && identified {
            return Ok(Heading { row, columns, required });
        }
        let missing = if missing.is_empty() { vec![Field::Mac] } else { missing };
        if best.as_ref().is_none_or(|best| missing.len() < best.len()) {
            best = Some(missing);
        }
    }
    Err(NoPlan::Columns(best.unwrap_or_else(|| required.to_vec())))
}

impl Heading {
    fn at(&self, field: Field) -> Option<usize> {
        self.columns.iter().position(|column| column.field == Some(field) && column.used == Use::Read)
    }

    /// Whether the file has this column.
    pub(super) fn has(&self, field: Field) -> bool {
        self.at(field).is_some()
    }

    /// The text of a row in this column; empty when there is none.
    pub(super) fn cell<'a>(&self, cells: &'a [String], field: Field) -> &'a str {
        self.at(field).and_then(|at| cells.get(at)).map_or("", String::as_str)
    }

    /// What is wrong with a cell.
    pub(super) fn problem(
        &self,
        row: usize,
        field: Field,
        cells: &[String],
        wrong: Wrong,
        other: Option<String>,
    ) -> RowProblem {
        // What must not be kept is not told back either.
        let cell = if wrong == Wrong::NationalId { "" } else { self.cell(cells, field) };
        RowProblem {
            row,
            field,
            column: self.at(field).map(|at| self.columns[at].title.clone()).unwrap_or_default(),
            cell: cell.chars().filter(|c| !c.is_control()).take(CELL_CHARS).collect(),
            wrong,
            other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_values_are_known_in_the_spellings_of_schools() {
        assert_eq!(kind(" iPad 第10代"), Some(Kind::Ipad));
        assert_eq!(kind("Ｃｈｒｏｍｅ"), Some(Kind::Chromebook));
        assert_eq!(kind("Windows 11"), Some(Kind::Windows));
        assert_eq!(kind("算盤"), None);
        assert_eq!(
            (yes("是"), yes(" V "), yes(""), yes("否"), yes("也許")),
            (Some(true), Some(true), Some(false), Some(false), None)
        );
        let row = ["學　號", "姓名", "身分證字號", "班級", "座號", "備註", "姓名"].map(str::to_owned);
        let read = read(&row, fields(List::Students).1);
        let used: Vec<Use> = read.iter().map(|column| column.used).collect();
        assert_eq!(used, [Use::Read, Use::Read, Use::Never, Use::Read, Use::Read, Use::Unknown, Use::Again]);
    }
}
