//! What people write into a register, brought into one form, or refused with the reason.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name of a class or a person, in characters. Indigenous names in full take up to about 30.
pub const NAME_CHARS: usize = 60;
/// The longest student number, in characters.
const NUMBER_CHARS: usize = 20;
/// The longest property number of a device, in characters.
const TAG_CHARS: usize = 40;

/// Why a cell can't be taken. The words, with the mend, are in the catalogue under `school.row-{code}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// Nothing stands there.
    Empty,
    /// Over the length that is kept.
    TooLong,
    /// Line breaks or control characters.
    Control,
    /// A student number has letters, digits and hyphens only.
    NumberForm,
    /// A spreadsheet has turned the number into something like 1.12E+06.
    NumberDamaged,
    /// It is a national id, which the box must not keep (R-DATA-4).
    NationalId,
    /// The number stands twice in the file.
    NumberTwice,
    /// A seat is a number from 1 to 99.
    SeatForm,
    /// The seat is given twice in the file.
    SeatTwice,
    /// The seat belongs to a student who is not in the file.
    SeatTaken,
    /// Several classes have this name.
    ClassAmbiguous,
    /// The class would have more students than the box takes.
    ClassFull,
    /// None of the known kinds of device.
    KindUnknown,
    /// No address of a network card.
    MacForm,
    /// The address stands twice in the file.
    MacTwice,
    /// Another device of the register has this address.
    MacTaken,
    /// No such code in the register.
    CodeUnknown,
    /// The code stands twice in the file.
    CodeTwice,
    /// The property number stands twice in the file.
    TagTwice,
    /// Another device of the register has this property number.
    TagTaken,
    /// Neither yes nor no.
    YesNo,
    /// More rows than are taken at once.
    TooManyRows,
}

/// A cell without the blanks around it; the wide blank counts as one.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{a0}'))
}

/// Wide letters, digits and signs as the narrow ones that they stand for.
fn narrow(text: &str) -> String {
    let one = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        other => other,
    };
    trimmed(text).chars().map(one).collect()
}

/// A name of a class or a person.
///
/// # Errors
/// [`Wrong::Empty`], [`Wrong::TooLong`], [`Wrong::Control`].
pub fn name(text: &str) -> Result<String, Wrong> {
    let text = trimmed(text);
    if text.is_empty() {
        return Err(Wrong::Empty);
    }
    if crate::names::has_unseen(text) {
        return Err(Wrong::Control);
    }
    if !crate::names::is_seen(text) {
        return Err(Wrong::Empty);
    }
    if text.chars().count() > NAME_CHARS {
        return Err(Wrong::TooLong);
    }
    Ok(text.to_owned())
}

/// A student number (學號), in capitals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StudentNumber(String);

impl StudentNumber {
    /// The number as it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StudentNumber {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = narrow(text).to_ascii_uppercase();
        if text.is_empty() {
            return Err(Wrong::Empty);
        }
        if text.chars().count() > NUMBER_CHARS {
            return Err(Wrong::TooLong);
        }
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let damaged =
            text.split_once("E+").is_some_and(|(base, power)| digits(&base.replace('.', "")) && digits(power))
                || text.split_once('.').is_some_and(|(whole, part)| digits(whole) && digits(part))
                || text.starts_with('#');
        if damaged {
            return Err(Wrong::NumberDamaged);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Wrong::NumberForm);
        }
        if is_national_id(&text) {
            return Err(Wrong::NationalId);
        }
        Ok(Self(text))
    }
}

impl TryFrom<String> for StudentNumber {
    type Error = Wrong;
    fn try_from(text: String) -> Result<Self, Wrong> {
        text.parse()
    }
}

impl From<StudentNumber> for String {
    fn from(number: StudentNumber) -> Self {
        number.0
    }
}

impl fmt::Display for StudentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Wrong {}

/// A national id or resident certificate number of Taiwan: letter, nine digits, weighted sum divisible by ten.
fn is_national_id(text: &str) -> bool {
    // The letters in the order of their numbers, from 10 on.
    const LETTERS: &str = "ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let mut chars = text.chars();
    let Some(letter) = chars.next().and_then(|first| LETTERS.find(first)) else { return false };
    let rest: Vec<usize> = chars.filter_map(|c| c.to_digit(10)).filter_map(|d| usize::try_from(d).ok()).collect();
    if text.len() != 10 || rest.len() != 9 || !matches!(rest[0], 1 | 2 | 8 | 9) {
        return false;
    }
    let number = letter + 10;
    let weighted: usize = rest.iter().take(8).zip((1..=8).rev()).map(|(digit, weight)| digit * weight).sum();
    (number / 10 + number % 10 * 9 + weighted + rest[8]).is_multiple_of(10)
}

/// The address of a network card, as `aa:bb:cc:dd:ee:ff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// The address of these bytes, if a card can have it: neither all zero nor a group address.
    pub fn new(bytes: [u8; 6]) -> Option<Self> {
        (bytes != [0; 6] && bytes[0] & 1 == 0).then_some(Self(bytes))
    }

    /// Whether a tablet has drawn it at random ("private Wi-Fi address"): such a one changes, so a device is not known
    /// by it for long.
    pub fn is_private(self) -> bool {
        self.0[0] & 2 != 0
    }
}

impl FromStr for Mac {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = narrow(text);
        if text.is_empty() {
            return Err(Wrong::Empty);
        }
        let hex: Vec<u8> = text
            .chars()
            .filter(|c| !matches!(c, ':' | '-' | '.' | ' '))
            .map(|c| c.to_digit(16))
            .map_while(nibble)
            .collect();
        let signs = text.chars().filter(char::is_ascii_hexdigit).count();
        let others = text.chars().any(|c| !c.is_ascii_hexdigit() && !matches!(c, ':' | '-' | '.' | ' '));
        if hex.len() != 12 || signs != 12 || others {
            return Err(Wrong::MacForm);
        }
        let mut bytes = [0; 6];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Self::new(bytes).ok_or(Wrong::MacForm)
    }
}

fn nibble(digit: Option<u32>) -> Option<u8> {
    digit.and_then(|digit| u8::try_from(digit).ok())
}

impl TryFrom<String> for Mac {
    type Error = Wrong;
    fn try_from(text: String) -> Result<Self, Wrong> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The school's property number of a device.
///
/// # Errors
/// [`Wrong::TooLong`], [`Wrong::Control`]. Nothing written is `None`.
pub fn tag(text: &str) -> Result<Option<String>, Wrong> {
    let text = narrow(text);
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::Control);
    }
    if text.chars().count() > TAG_CHARS { Err(Wrong::TooLong) } else { Ok(Some(text)) }
}

/// The opaque code of a device as people type it: capitals, without hyphens and blanks.
pub fn code(text: &str) -> String {
    narrow(text).to_ascii_uppercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A seat number.
///
/// # Errors
/// [`Wrong::Empty`], [`Wrong::SeatForm`].
pub fn seat(text: &str) -> Result<classroom_protocol::Seat, Wrong> {
    let text = narrow(text);
    if text.is_empty() {
        return Err(Wrong::Empty);
    }
    let number = text.parse::<u8>().map_err(|_| Wrong::SeatForm)?;
    number.try_into().map_err(|_| Wrong::SeatForm)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Result<String, Wrong> {
        text.parse::<StudentNumber>().map(String::from)
    }

    #[test]
    fn student_numbers_come_into_one_form() {
        assert_eq!(number(" １１２０１０３　"), Ok("1120103".into()));
        assert_eq!(number("s-0007"), Ok("S-0007".into()));
        assert_eq!(number("\u{3000}"), Err(Wrong::Empty));
        assert_eq!(number("1.12E+06"), Err(Wrong::NumberDamaged));
        assert_eq!(number("1120103.5"), Err(Wrong::NumberDamaged));
        assert_eq!(number("#NAME?"), Err(Wrong::NumberDamaged));
        assert_eq!(number("王小明"), Err(Wrong::NumberForm));
        assert_eq!(number("<b>1"), Err(Wrong::NumberForm));
        assert_eq!(number("123456789012345678901"), Err(Wrong::TooLong));
    }

    #[test]
    fn a_national_id_is_no_student_number() {
        // The example of the ministry's own forms, and one of a resident certificate.
        for id in ["A123456789", "a123456789", "Ａ１２３４５６７８９", "A800000014"] {
            assert_eq!(number(id), Err(Wrong::NationalId), "{id}");
        }
        // The check digit is wrong: a school may number its students so.
        assert_eq!(number("A123456788"), Ok("A123456788".into()));
        assert_eq!(number("A323456789"), Ok("A323456789".into()));
    }

    #[test]
    fn addresses_of_cards_in_every_spelling() {
        for text in ["AC:DE:48:00:11:22", "ac-de-48-00-11-22", "acde.4800.1122", "acde48001122", " ＡＣ:DE:48:00:11:22"]
        {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "ac:de:48:00:11:22", "{text}");
        }
        for text in
            ["ac:de:48:00:11", "ac:de:48:00:11:2g", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "x"]
        {
            assert_eq!(text.parse::<Mac>(), Err(Wrong::MacForm), "{text}");
        }
        assert!("da:a1:19:00:11:22".parse::<Mac>().unwrap().is_private());
        assert!(!"ac:de:48:00:11:22".parse::<Mac>().unwrap().is_private());
    }

    #[test]
    fn names_keep_what_people_write() {
        for good in ["林莎瓦·巴魯·阿里夫", "<script>alert(1)</script>", "𠮷野", "王"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        assert_eq!(name(" 　王小明\u{200b} ").as_deref(), Ok("王小明"));
        assert_eq!(name("王\n明"), Err(Wrong::Control));
        assert_eq!((name("\u{2800}"), name("\u{fe0f}")), (Err(Wrong::Empty), Err(Wrong::Empty)), "nothing is seen");
        assert_eq!(name(&"長".repeat(61)), Err(Wrong::TooLong));
        assert!(name(&"長".repeat(60)).is_ok());
    }

    proptest! {
        #[test]
        fn what_was_taken_is_taken_again_unchanged(text in "\\PC{0,30}") {
            if let Ok(number) = text.parse::<StudentNumber>() {
                prop_assert_eq!(number.as_str().parse::<StudentNumber>(), Ok(number.clone()));
            }
            if let Ok(mac) = text.parse::<Mac>() {
                prop_assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
            }
            if let Ok(kept) = name(&text) {
                prop_assert_eq!(name(&kept), Ok(kept.clone()));
            }
            if let Ok(Some(kept)) = tag(&text) {
                prop_assert_eq!(tag(&kept), Ok(Some(kept.clone())));
            }
        }
    }
}
