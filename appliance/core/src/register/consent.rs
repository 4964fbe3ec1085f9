//! Consent: student and guardian both sign a versioned text (R-POL-23, 004 柒二(一)(二)).

use std::collections::BTreeMap;

use classroom_protocol::{Millis, ProblemCode};
use serde::{Deserialize, Serialize};

use super::{Change, ClassId, Register, StudentId};

/// The longest text that can be published, in characters.
pub const TEXT_CHARS: usize = 20_000;

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The student.
    Student,
    /// A parent or guardian.
    Guardian,
}

/// How a signature came to the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// On paper; the office keeps the sheet and has typed it in.
    Paper,
    /// On the page that a personal link opens.
    Page,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Whose consent.
    pub student: StudentId,
    /// Who signed.
    pub party: Party,
    /// Which version of the text.
    pub version: u32,
    /// How.
    pub way: Way,
    /// When it was recorded.
    pub at: Millis,
    /// Name of who recorded it; the party itself for a page.
    pub by: String,
    /// Since when it no longer stands.
    pub withdrawn_at: Option<Millis>,
}

/// A version of the text that is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsentText {
    /// 1, 2, 3, …
    pub version: u32,
    /// Its heading.
    pub title: String,
    /// Paragraphs separated by line breaks.
    pub body: String,
    /// Signatures under earlier versions no longer count.
    pub renew: bool,
    /// When it was published.
    pub at: Millis,
    /// Name of who published it.
    pub by: String,
}

/// How far a student's consent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentState {
    /// Nobody has signed the text that counts.
    Missing,
    /// The guardian's signature is still missing.
    StudentOnly,
    /// The student's signature is still missing.
    GuardianOnly,
    /// Both stand.
    Both,
    /// It was withdrawn and not given again.
    Withdrawn,
}

/// How a class stands to the nine in ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// Students of the class.
    pub students: usize,
    /// Those with both signatures.
    pub both: usize,
    /// Nine tenths of the class, rounded up.
    pub needed: usize,
    /// The class takes part.
    pub reached: bool,
}

/// The oldest version whose signatures count; `None` while no text was published.
pub fn oldest_that_counts(register: &Register) -> Option<u32> {
    let renewed = register.texts.values().rev().find(|text| text.renew).map(|text| text.version);
    renewed.or_else(|| register.texts.keys().next().copied())
}

/// How far the consent of a student is.
pub fn state(register: &Register, student: StudentId) -> ConsentState {
    let own: Vec<&Signature> = register.signatures.iter().filter(|s| s.student == student).collect();
    state_of(&own, oldest_that_counts(register))
}

/// How far the consent of everyone is, in one pass.
pub fn states(register: &Register) -> BTreeMap<StudentId, ConsentState> {
    let oldest = oldest_that_counts(register);
    let mut own: BTreeMap<StudentId, Vec<&Signature>> = BTreeMap::new();
    for signature in &register.signatures {
        own.entry(signature.student).or_default().push(signature);
    }
    let none = Vec::new();
    register.students.keys().map(|id| (*id, state_of(own.get(id).unwrap_or(&none), oldest))).collect()
}

/// `own` are the student's signatures in the order in which they were given.
fn state_of(own: &[&Signature], oldest: Option<u32>) -> ConsentState {
    let Some(oldest) = oldest else { return ConsentState::Missing };
    let of = |party| own.iter().filter(move |s| s.party == party);
    let stands = |party| of(party).any(|s| s.withdrawn_at.is_none() && s.version >= oldest);
    // Who withdrew and has not signed again.
    let withdrew = |party| of(party).next_back().is_some_and(|s| s.withdrawn_at.is_some());
    if withdrew(Party::Student) || withdrew(Party::Guardian) {
        return ConsentState::Withdrawn;
    }
    match (stands(Party::Student), stands(Party::Guardian)) {
        (true, true) => ConsentState::Both,
        (true, false) => ConsentState::StudentOnly,
        (false, true) => ConsentState::GuardianOnly,
        (false, false) => ConsentState::Missing,
    }
}

/// Nine tenths of `students`, rounded up.
pub fn needed(students: usize) -> usize {
    // 9 n / 10 without a product that could overflow.
    students - students / 10
}

/// Whether a class takes part: at least 90 % of it have both signatures.
pub fn quorum(register: &Register, class: ClassId) -> Quorum {
    let all = register.class(class);
    let both = all.values().filter(|student| state(register, student.id) == ConsentState::Both).count();
    quorum_of(all.len(), both)
}

/// The quorum of every class with students, in one pass over [`states`].
pub fn quorums(register: &Register, states: &BTreeMap<StudentId, ConsentState>) -> BTreeMap<ClassId, Quorum> {
    let mut counts: BTreeMap<ClassId, (usize, usize)> = BTreeMap::new();
    for student in register.students.values() {
        let Some((class, _)) = student.place else { continue };
        let (all, both) = counts.entry(class).or_default();
        *all += 1;
        *both += usize::from(states.get(&student.id) == Some(&ConsentState::Both));
    }
    counts.into_iter().map(|(class, (all, both))| (class, quorum_of(all, both))).collect()
}

fn quorum_of(students: usize, both: usize) -> Quorum {
    let needed = needed(students);
    Quorum { students, both, needed, reached: students > 0 && both >= needed }
}

/// Someone signs `version`.
///
/// # Errors
/// `not-found` for an unknown student; `old-text` when another version must be signed by now.
pub fn sign(register: &Register, signature: Signature) -> Result<Vec<Change>, ProblemCode> {
    if !register.students.contains_key(&signature.student) {
        return Err(ProblemCode::NotFound);
    }
    let counts = oldest_that_counts(register).is_some_and(|oldest| signature.version >= oldest);
    if !counts || !register.texts.contains_key(&signature.version) {
        return Err(ProblemCode::OldText);
    }
    let same = |s: &&Signature| {
        (s.student, s.party, s.version) == (signature.student, signature.party, signature.version)
            && s.withdrawn_at.is_none()
    };
    if register.signatures.iter().any(|s| same(&s)) {
        // It stands already: to tell it twice is no mistake.
        return Ok(vec![]);
    }
    let student = signature.student;
    let mut after = register.clone();
    after.signatures.push(signature.clone());
    let mut changes = vec![Change::Sign(signature)];
    // A loan that a withdrawal stopped goes on when both have signed again and the device is still out.
    let resumed = register.loan_of(student).filter(|(_, loan)| loan.stopped_at.is_some());
    if let Some((loan, _)) = resumed.filter(|_| state(&after, student) == ConsentState::Both) {
        changes.push(Change::ResumeLoan { loan });
    }
    Ok(changes)
}

/// A party withdraws: its signatures no longer stand, and the loan stops (R-POL-23).
///
/// # Errors
/// `not-found` when there is nothing to withdraw.
pub fn withdraw(
    register: &Register,
    student: StudentId,
    party: Party,
    at: Millis,
    by: &str,
) -> Result<Vec<Change>, ProblemCode> {
    let stands = |s: &&Signature| s.student == student && s.party == party && s.withdrawn_at.is_none();
    if !register.signatures.iter().any(|s| stands(&s)) {
        return Err(ProblemCode::NotFound);
    }
    let mut changes = vec![Change::Withdraw { student, party, at, by: by.to_owned() }];
    if let Some((loan, _)) = register.loan_of(student).filter(|(_, loan)| loan.stopped_at.is_none()) {
        changes.push(Change::StopLoan { loan, at });
    }
    Ok(changes)
}

/// A new version of the text.
///
/// # Errors
/// The field that is wrong: `title` or `body`.
pub fn publish(
    register: &Register,
    title: &str,
    body: &str,
    renew: bool,
    at: Millis,
    by: &str,
) -> Result<Vec<Change>, &'static str> {
    let title = super::text::name(title).map_err(|_| "title")?;
    let body = super::text::trimmed(body).replace("\r\n", "\n");
    let fits = !body.is_empty()
        && body.chars().count() <= TEXT_CHARS
        && !body.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    if !fits {
        return Err("body");
    }
    let version = register.texts.keys().next_back().map_or(1, |newest| newest + 1);
    Ok(vec![Change::Publish(ConsentText { version, title, body, renew, at, by: by.to_owned() })])
}
