//! A school's lists into the register: first a preview that names every row that is wrong, then, confirmed, the changes.
//!
//! The shell reads CSV or ODS into a [`Table`] of texts; everything else is decided here. Nobody is removed by an
//! import, and a row that is wrong is left out whole.

mod columns;
mod devices;
mod students;

use serde::{Deserialize, Serialize};

pub use columns::{Column, Field, Use};

use super::{Change, Register, Wrong};

/// Rows that are taken at once: a large school.
pub const MOST_ROWS: usize = 5_000;
/// The longest cell that is told back, in characters.
const CELL_CHARS: usize = 80;

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum List {
    /// Students with number, name, class and seat.
    Students,
    /// Devices.
    Devices,
}

/// The cells of a file, row by row, as texts.
pub type Table = Vec<Vec<String>>;

/// What is wrong with one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowProblem {
    /// Row as the spreadsheet numbers it, from 1.
    pub row: usize,
    /// Which column.
    pub field: Field,
    /// The column's heading in the file, empty when the file has no such column.
    pub column: String,
    /// What stands there, shortened.
    pub cell: String,
    /// What is wrong; words and mend are in the catalogue under `school.row-{code}`.
    pub wrong: Wrong,
    /// With whom or what it collides, or the kind of what was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
}

/// What a good row does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Someone or something new.
    Add,
    /// New data of what is there.
    Change,
    /// As it is already.
    Same,
}

/// A row that can be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoodRow {
    /// Row as the spreadsheet numbers it, from 1.
    pub row: usize,
    /// What it does.
    pub deed: Deed,
    /// Its cells in the order of [`Preview::fields`], in the form in which they are kept.
    pub cells: Vec<String>,
    /// The Wi-Fi address is one that the tablet draws at random and changes.
    pub private_mac: bool,
}

/// What an import would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// What the list holds.
    pub list: List,
    /// The row of the headings, from 1.
    pub heading: usize,
    /// What becomes of each column of the file.
    pub columns: Vec<Column>,
    /// What the cells of the good rows are.
    pub fields: Vec<Field>,
    /// Rows that can be taken.
    pub rows: Vec<GoodRow>,
    /// What is wrong with the others.
    pub problems: Vec<RowProblem>,
    /// Rows with a problem; they are left out.
    pub left_out: usize,
    /// Classes that would be made.
    pub new_classes: Vec<String>,
}

/// Preview and changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For people.
    pub preview: Preview,
    /// For the store.
    pub changes: Vec<Change>,
}

/// Why a file can't be previewed at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPlan {
    /// The file has no rows.
    Empty,
    /// No row within the first ten names these columns.
    Columns(Vec<Field>),
}

/// What an import of `table` would do to the register. `most` is how many students a class may have; `codes` are
/// random codes for new devices; `at` is when it would happen.
///
/// # Errors
/// When the file as a whole is not such a list.
pub fn plan(
    register: &Register,
    list: List,
    table: &Table,
    most: usize,
    codes: impl Iterator<Item = String>,
    at: classroom_protocol::Millis,
) -> Result<Plan, NoPlan> {
    let heading = columns::find(table, list)?;
    let mut problems = Vec::new();
    let mut body: Vec<(usize, &[String])> = (1..)
        .zip(table.iter().map(Vec::as_slice))
        .skip(heading.row)
        .filter(|(_, cells)| cells.iter().any(|cell| !super::text::trimmed(cell).is_empty()))
        .collect();
    if body.len() > MOST_ROWS {
        let row = body[MOST_ROWS].0;
        body.truncate(MOST_ROWS);
        let field = heading.required[0];
        problems.push(heading.problem(row, field, &[], Wrong::TooManyRows, Some(MOST_ROWS.to_string())));
    }
    let done = match list {
        List::Students => students::plan(register, &heading, &body, most),
        List::Devices => devices::plan(register, &heading, &body, codes, at),
    };
    problems.splice(0..0, done.problems);
    problems.sort_by_key(|problem| problem.row);
    let mut wrong: Vec<usize> = problems.iter().map(|problem| problem.row).collect();
    wrong.dedup();
    let preview = Preview {
        list,
        heading: heading.row,
        fields: done.fields,
        columns: heading.columns,
        rows: done.rows,
        left_out: wrong.len(),
        problems,
        new_classes: done.new_classes,
    };
    Ok(Plan { preview, changes: done.changes })
}

/// What a list's own part gives.
struct Done {
    fields: Vec<Field>,
    rows: Vec<GoodRow>,
    problems: Vec<RowProblem>,
    changes: Vec<Change>,
    new_classes: Vec<String>,
}
