//! Files of schools into rows of texts: CSV in UTF-8 (with or without its mark), ODS, XLSX. What the rows mean is the
//! core's to say.

use std::io::Cursor;

use calamine::{Data, Reader as _};

/// Rows and columns that are read; the core takes fewer and says so.
const ROWS: usize = 6_000;
const COLUMNS: usize = 64;
/// A spreadsheet may unfold to this many bytes (a small file can hold gigabytes of blanks).
const UNFOLDED: u64 = 64 * 1024 * 1024;

/// Why a file can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// Text, but not UTF-8: Big5, most likely.
    Encoding,
    /// Neither text nor a spreadsheet, or a damaged one.
    Form,
}

/// The rows of a file.
///
/// # Errors
/// What keeps it from being read.
pub fn read(file: &[u8]) -> Result<Vec<Vec<String>>, Unreadable> {
    if file.starts_with(b"PK\x03\x04") {
        return spreadsheet(file);
    }
    let text = match file {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes)?,
        _ => {
            let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
            if file.contains(&0) {
                return Err(Unreadable::Form);
            }
            std::str::from_utf8(file).map_err(|_| Unreadable::Encoding)?.to_owned()
        }
    };
    separated(&text)
}

/// UTF-16, as spreadsheets write "Unicode text".
fn wide(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<String, Unreadable> {
    let (pairs, []) = bytes.as_chunks::<2>() else { return Err(Unreadable::Form) };
    String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<_>>()).map_err(|_| Unreadable::Form)
}

fn separated(text: &str) -> Result<Vec<Vec<String>>, Unreadable> {
    // Nobody types a tab into a cell; else the sign that the first lines have most of.
    let head = || text.lines().take(10);
    let most = |sign: char| head().map(|line| line.matches(sign).count()).max().unwrap_or(0);
    let delimiter = match () {
        () if head().any(|line| line.contains('\t')) => b'\t',
        () if most(';') > most(',') => b';',
        () => b',',
    };
    // The reader skips empty lines; people count them.
    let kept: Vec<&str> = text.lines().map(|line| if line.is_empty() { " " } else { line }).collect();
    let kept = kept.join("\n");
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(kept.as_bytes());
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|_| Unreadable::Form)?;
        Ok(record.iter().take(COLUMNS).map(str::to_owned).collect())
    };
    reader.records().take(ROWS).map(row).collect()
}

fn spreadsheet(file: &[u8]) -> Result<Vec<Vec<String>>, Unreadable> {
    if unfolded(file).is_none_or(|size| size > UNFOLDED) {
        return Err(Unreadable::Form);
    }
    let mut book = calamine::open_workbook_auto_from_rs(Cursor::new(file)).map_err(|_| Unreadable::Form)?;
    let sheet = book.worksheet_range_at(0).ok_or(Unreadable::Form)?.map_err(|_| Unreadable::Form)?;
    // The range begins at the first cell that is used; people count from the top left.
    let (top, left) = sheet.start().unwrap_or((0, 0));
    let (top, left) = (usize::try_from(top).unwrap_or(0), usize::try_from(left).unwrap_or(0));
    if top > ROWS || left > COLUMNS {
        return Err(Unreadable::Form);
    }
    let row = |cells: &[Data]| {
        let blanks = std::iter::repeat_n(String::new(), left);
        blanks.chain(cells.iter().map(text)).take(COLUMNS).collect::<Vec<_>>()
    };
    Ok(std::iter::repeat_n(Vec::new(), top).chain(sheet.rows().map(row)).take(ROWS).collect())
}

/// A cell as it is read in the spreadsheet: a student number is no fraction.
fn text(cell: &Data) -> String {
    match cell {
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
        other => other.to_string(),
    }
}

/// The bytes to which the parts of a ZIP file unfold, as its directory says; `None` when it has none that can be read.
fn unfolded(file: &[u8]) -> Option<u64> {
    const END: &[u8] = b"PK\x05\x06";
    let end = file.len().checked_sub(22)?;
    let end = (end.saturating_sub(65_536)..=end).rev().find(|at| file[*at..].starts_with(END))?;
    let short = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    let mut at = usize::try_from(long(end + 16)?).ok()?;
    let mut size = 0u64;
    for _ in 0..short(end + 10)? {
        if !file.get(at..)?.starts_with(b"PK\x01\x02") {
            return None;
        }
        size = size.checked_add(u64::from(long(at + 24)?))?;
        at += 46 + usize::from(short(at + 28)?) + usize::from(short(at + 30)?) + usize::from(short(at + 32)?);
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn rows(file: &[u8]) -> Vec<Vec<String>> {
        read(file).unwrap()
    }

    #[test]
    fn text_in_the_forms_that_spreadsheets_write() {
        let expected = [["學號", "姓名"], ["1120101", "王, 小明"]];
        let csv = "學號,姓名\r\n1120101,\"王, 小明\"\r\n";
        assert_eq!(rows(csv.as_bytes()), expected);
        assert_eq!(rows([b"\xef\xbb\xbf", csv.as_bytes()].concat().as_slice()), expected);
        let tabs = "學號\t姓名\n1120101\t王, 小明\n";
        assert_eq!(rows(tabs.as_bytes()), expected);
        let utf16: Vec<u8> = std::iter::once(0xfeff).chain(tabs.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(rows(&utf16), expected);
        assert_eq!(rows(b"a;b\n\n1;2"), [vec!["a", "b"], vec![" "], vec!["1", "2"]], "empty lines are counted");
        assert_eq!(rows(b""), Vec::<Vec<String>>::new());
    }

    #[test]
    fn big5_is_told_and_so_is_what_is_no_table() {
        // 學號 in Big5.
        assert_eq!(read(b"\xbe\xc7\xb8\xb9,\xa9m\xa6W\n"), Err(Unreadable::Encoding));
        assert_eq!(read(b"\x89PNG\x0d\x0a\x1a\x0a\0\0\0"), Err(Unreadable::Form));
        assert_eq!(read(b"PK\x03\x04 is no book"), Err(Unreadable::Form));
    }

    #[test]
    fn a_spreadsheet_is_read_with_the_numbers_that_people_see() {
        let mut sheet = spreadsheet_ods::Sheet::new("名單");
        sheet.set_value(1, 1, "學號");
        sheet.set_value(1, 2, "姓名");
        sheet.set_value(2, 1, 1_120_101.0);
        sheet.set_value(2, 2, "<b>王</b>");
        let mut book = spreadsheet_ods::WorkBook::new_empty();
        book.push_sheet(sheet);
        let file = spreadsheet_ods::write_ods_buf(&mut book, Vec::new()).unwrap();
        assert_eq!(rows(&file), [vec![], vec!["", "學號", "姓名"], vec!["", "1120101", "<b>王</b>"]]);
        assert_eq!(read(&file[..file.len() / 2]), Err(Unreadable::Form));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(file in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&file);
            let _ = read(&[b"PK\x03\x04", file.as_slice()].concat());
        }
    }
}
