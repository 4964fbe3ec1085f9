//! Tables as files for people: ODS, XLSX and CSV (R-USE-7). Numbers stay numbers; what is unknown is a word.

use appliance_core::figures::table::{Cell, Table};
use classroom_protocol::catalogue::Lang;
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use spreadsheet_ods::{
    CellStyle, Length, OdsError, Sheet, Value, WorkBook,
    format::{create_number_format_fixed, create_percentage_format},
};

/// Width of the columns that hold names, in millimetres.
const WIDE: f64 = 45.0;
/// Width of the others.
const NARROW: f64 = 26.0;

/// Why a file could not be made.
#[derive(Debug)]
pub enum SheetError {
    /// As ODS.
    Ods(OdsError),
    /// As XLSX.
    Xlsx(XlsxError),
    /// As CSV.
    Csv(String),
}

impl std::fmt::Display for SheetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ods(error) => write!(f, "ODS: {error}"),
            Self::Xlsx(error) => write!(f, "XLSX: {error}"),
            Self::Csv(error) => write!(f, "CSV: {error}"),
        }
    }
}

impl std::error::Error for SheetError {}

impl From<XlsxError> for SheetError {
    fn from(error: XlsxError) -> Self {
        Self::Xlsx(error)
    }
}

/// What a cell is to a spreadsheet.
enum Kind {
    Nothing,
    Words(String),
    Whole(f64),
    /// 1.0 is all.
    Part(f64),
    Decimal(f64),
}

fn kind(cell: &Cell, lang: Lang) -> Kind {
    // Exact for every number that a school can have.
    let number = |n: u64| n as f64;
    match cell {
        Cell::Blank => Kind::Nothing,
        Cell::Number(n) => Kind::Whole(number(*n)),
        Cell::Share(share) => Kind::Part(f64::from(*share) / 10_000.0),
        Cell::Hours(hours, false) => Kind::Decimal(number(*hours) / 100.0),
        Cell::Unknown | Cell::Text(_) | Cell::Between(..) | Cell::Hours(_, true) => Kind::Words(cell.words(lang)),
    }
}

/// The tables as sheets of an OpenDocument file.
///
/// # Errors
/// When the file can't be put together.
pub fn ods(tables: &[Table], lang: Lang) -> Result<Vec<u8>, SheetError> {
    let mut book = WorkBook::new_empty();
    let percent = book.add_percentage_format(create_percentage_format("percent", 2));
    let percent = book.add_cellstyle(CellStyle::new("share", &percent));
    let decimal = book.add_number_format(create_number_format_fixed("decimal", 2, false));
    let decimal = book.add_cellstyle(CellStyle::new("hours", &decimal));
    let mut bold = CellStyle::new_empty();
    bold.set_name("heading");
    bold.set_font_bold();
    let bold = book.add_cellstyle(bold);
    for table in tables {
        let mut sheet = Sheet::new(table.name.as_str());
        for (row, cells) in (0_u32..).zip(&table.rows) {
            let heading = table.headings.iter().any(|n| u32::try_from(*n) == Ok(row));
            for (column, cell) in (0_u32..).zip(cells) {
                match kind(cell, lang) {
                    Kind::Nothing => {}
                    Kind::Words(text) if heading => sheet.set_styled_value(row, column, text, &bold),
                    Kind::Words(text) => sheet.set_value(row, column, text),
                    Kind::Whole(number) => sheet.set_value(row, column, number),
                    Kind::Part(share) => sheet.set_styled_value(row, column, Value::Percentage(share), &percent),
                    Kind::Decimal(number) => sheet.set_styled_value(row, column, number, &decimal),
                }
            }
        }
        for column in 0..columns(table) {
            sheet.set_col_width(u32::from(column), Length::Mm(if column == 0 { WIDE } else { NARROW }));
        }
        book.push_sheet(sheet);
    }
    spreadsheet_ods::write_ods_buf(&mut book, Vec::new()).map_err(SheetError::Ods)
}

/// The tables as sheets of an Office Open XML file.
///
/// # Errors
/// When the file can't be put together, e.g. for a name of a sheet that spreadsheets refuse.
pub fn xlsx(tables: &[Table], lang: Lang) -> Result<Vec<u8>, SheetError> {
    let mut book = Workbook::new();
    let percent = Format::new().set_num_format("0.00%");
    let decimal = Format::new().set_num_format("0.00");
    let bold = Format::new().set_bold();
    for table in tables {
        let sheet = book.add_worksheet();
        sheet.set_name(&table.name)?;
        for (row, cells) in (0_u32..).zip(&table.rows) {
            let heading = table.headings.iter().any(|n| u32::try_from(*n) == Ok(row));
            for (column, cell) in (0_u16..).zip(cells) {
                match kind(cell, lang) {
                    Kind::Nothing => {}
                    Kind::Words(text) if heading => {
                        sheet.write_string_with_format(row, column, text, &bold)?;
                    }
                    Kind::Words(text) => {
                        sheet.write_string(row, column, text)?;
                    }
                    Kind::Whole(number) => {
                        sheet.write_number(row, column, number)?;
                    }
                    Kind::Part(share) => {
                        sheet.write_number_with_format(row, column, share, &percent)?;
                    }
                    Kind::Decimal(number) => {
                        sheet.write_number_with_format(row, column, number, &decimal)?;
                    }
                }
            }
        }
        for column in 0..columns(table) {
            let width = if column == 0 { WIDE } else { NARROW };
            // About two millimetres a character.
            sheet.set_column_width(column, width / 2.0)?;
        }
    }
    Ok(book.save_to_buffer()?)
}

/// One table as CSV (RFC 4180) in UTF-8 with a byte-order mark, which tells spreadsheets so.
///
/// # Errors
/// When a line can't be written.
pub fn csv(table: &Table, lang: Lang) -> Result<Vec<u8>, SheetError> {
    let mut builder = csv::WriterBuilder::new();
    builder.flexible(true).terminator(csv::Terminator::CRLF);
    let mut writer = builder.from_writer("\u{feff}".as_bytes().to_vec());
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell {
            // What a spreadsheet would take for a formula.
            Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
            cell => cell.words(lang),
        });
        // A line without any cell would be read as one that is not there.
        let cells: Vec<String> = if row.is_empty() { vec![String::new()] } else { cells.collect() };
        writer.write_record(&cells).map_err(|error| SheetError::Csv(error.to_string()))?;
    }
    writer.into_inner().map_err(|error| SheetError::Csv(error.to_string()))
}

fn columns(table: &Table) -> u16 {
    table.rows.iter().map(Vec::len).max().and_then(|most| u16::try_from(most).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::io::Cursor;

    use calamine::{Data, Ods, Reader, Xlsx};

    use super::*;

    fn table() -> Table {
        Table {
            name: "學校統整表".into(),
            rows: vec![
                vec![Cell::Text("學校".into()), Cell::Text("率".into())],
                vec![Cell::Text("=1+1 <b>\"泰武\", 國小</b> & 🎒".into()), Cell::Share(9_234)],
                vec![],
                vec![Cell::Unknown, Cell::Number(40), Cell::Blank, Cell::Hours(1_234, false), Cell::Hours(5, true)],
                vec![Cell::Between(9_000, 9_500)],
            ],
            headings: vec![0],
        }
    }

    fn expected() -> Vec<(u32, u32, Data)> {
        let text = |text: &str| Data::String(text.into());
        vec![
            (0, 0, text("學校")),
            (0, 1, text("率")),
            (1, 0, text("=1+1 <b>\"泰武\", 國小</b> & 🎒")),
            (1, 1, Data::Float(0.9234)),
            (3, 0, text("unknown")),
            (3, 1, Data::Float(40.0)),
            (3, 3, Data::Float(12.34)),
            (3, 4, text("at least 0.05")),
            (4, 0, text("90.00%–95.00%")),
        ]
    }

    fn cells(range: &calamine::Range<Data>) -> Vec<(u32, u32, Data)> {
        let (top, left) = range.start().unwrap();
        let used = range.used_cells().map(|(row, column, data)| {
            (top + u32::try_from(row).unwrap(), left + u32::try_from(column).unwrap(), data.clone())
        });
        used.collect()
    }

    #[test]
    fn both_kinds_of_file_hold_the_cells_as_they_are() {
        let mut book: Ods<_> = Ods::new(Cursor::new(ods(&[table()], Lang::En).unwrap())).unwrap();
        assert_eq!(book.sheet_names(), ["學校統整表"]);
        assert_eq!(cells(&book.worksheet_range("學校統整表").unwrap()), expected());
        let mut book: Xlsx<_> = Xlsx::new(Cursor::new(xlsx(&[table()], Lang::En).unwrap())).unwrap();
        assert_eq!(cells(&book.worksheet_range("學校統整表").unwrap()), expected());
    }

    #[test]
    fn csv_is_quoted_and_holds_no_formula() {
        let text = String::from_utf8(csv(&table(), Lang::En).unwrap()).unwrap();
        assert_eq!(
            text,
            "\u{feff}學校,率\r\n\"'=1+1 <b>\"\"泰武\"\", 國小</b> & 🎒\",92.34%\r\n\"\"\r\n\
             unknown,40,,12.34,at least 0.05\r\n90.00%–95.00%\r\n"
        );
    }
}
