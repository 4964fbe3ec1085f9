//! Pseudonyms (R-DATA-2): what leaves the school names nobody. The same student has the same pseudonym in all boxes of
//! the school, and nobody without the school's key can find the student behind it.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Subject;

/// HMAC-SHA256 under the school's key, in hex. The input of a student is the student's number alone, so that another
/// program of the school with the same key finds the same pseudonym.
pub fn student(key: &[u8], number: &str) -> String {
    seal(key, number)
}

/// The pseudonym of a device; never equal to a student's, because no number holds a line break.
pub fn device(key: &[u8], code: &str) -> String {
    seal(key, &format!("device\n{code}"))
}

/// The pseudonym of a class.
pub fn class(key: &[u8], class: i64) -> String {
    seal(key, &format!("class\n{class}"))
}

/// Who it was, as far as it is known: the student, else the seat, the teacher, the device, the class.
pub fn actor(key: &[u8], who: &Subject) -> String {
    let Subject { student: number, device: code, class: id, seat, staff } = who;
    match (number, seat, staff, code, id) {
        (Some(number), ..) => student(key, number),
        (None, Some(seat), ..) => seal(key, &format!("seat\n{}\n{seat}", id.unwrap_or_default())),
        (None, None, Some(staff), ..) => seal(key, &format!("staff\n{staff}")),
        (None, None, None, Some(code), _) => device(key, code),
        (None, None, None, None, id) => class(key, id.unwrap_or_default()),
    }
}

fn seal(key: &[u8], text: &str) -> String {
    // HMAC takes keys of any length; one that is longer than its block is hashed first (RFC 2104).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use classroom_protocol::Seat;

    use super::*;

    #[test]
    fn it_is_hmac_sha256() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(student(b"Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn everyone_has_one_and_no_two_the_same() {
        let seat = |class, n: u8| Subject::seat(class, Seat::try_from(n).unwrap());
        let number = Subject { student: Some("7".into()), ..seat(1, 7) };
        let subjects = [
            number.clone(),
            seat(1, 7),
            seat(2, 7),
            seat(1, 8),
            Subject { class: Some(7), ..Subject::default() },
            Subject { staff: Some(7), ..Subject::default() },
            Subject::device("7", None),
        ];
        let names: std::collections::BTreeSet<_> = subjects.iter().map(|who| actor(b"key", who)).collect();
        assert_eq!(names.len(), subjects.len());
        assert_eq!(actor(b"key", &number), student(b"key", "7"), "the seat does not matter once the number is known");
        assert_ne!(actor(b"key", &number), actor(b"yek", &number));
    }
}
