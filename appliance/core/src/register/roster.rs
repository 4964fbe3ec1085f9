//! A teacher pastes a class's list again: who stays who, so that no consent and no loan is lost or changes hands.

use std::collections::BTreeMap;

use classroom_protocol::{ProblemCode, Seat};

use super::{Change, ClassId, ClassRef, Register, Student, StudentId, StudentNumber};

/// New data of one student: what the office corrects by hand. Without a number the student keeps none.
///
/// # Errors
/// `not-found` naming `student` or `class`; `bad-input` naming `number` when another student has it; `seat-taken` naming
/// `seat`.
pub fn put(
    register: &Register,
    student: StudentId,
    number: Option<StudentNumber>,
    name: String,
    class: ClassId,
    seat: Seat,
) -> Result<Vec<Change>, (ProblemCode, &'static str)> {
    let old = register.students.get(&student).ok_or((ProblemCode::NotFound, "student"))?;
    if !register.classes.contains_key(&class) {
        return Err((ProblemCode::NotFound, "class"));
    }
    let other = |other: &&Student| other.id != student;
    if number.is_some() && register.students.values().filter(other).any(|other| other.number == number) {
        return Err((ProblemCode::BadInput, "number"));
    }
    if register.class(class).get(&seat).is_some_and(|sitting| sitting.id != student) {
        return Err((ProblemCode::SeatTaken, "seat"));
    }
    if old.number == number && old.name == name && old.place == Some((class, seat)) {
        return Ok(vec![]);
    }
    Ok(vec![Change::Place { student: Some(student), number, name, class: ClassRef::Known(class), seat }])
}

/// The changes that make `roster` the class's list.
///
/// The same name is the same student, on the same seat first. A new name on a seat is a correction of the old one as
/// long as nothing but a name is known of it; with a 學號, a signature or a loan it is another student. Who vanishes with
/// papers stays in the register without a seat, the others are forgotten.
pub fn replace(register: &Register, class: ClassId, roster: &[(Seat, String)]) -> Vec<Change> {
    let old = register.class(class);
    let mut left: BTreeMap<Seat, &Student> = old.clone();
    let mut found: BTreeMap<Seat, &Student> = BTreeMap::new();
    let new: BTreeMap<Seat, &str> = roster.iter().map(|(seat, name)| (*seat, name.as_str())).collect();
    for (seat, name) in &new {
        if old.get(seat).is_some_and(|student| student.name == *name) {
            found.extend(left.remove(seat).map(|student| (*seat, student)));
        }
    }
    let open: Vec<Seat> = new.keys().filter(|seat| !found.contains_key(seat)).copied().collect();
    for seat in open {
        // Two of one name in a class: moving them could swap their papers.
        let named: Vec<Seat> = left.iter().filter(|(_, s)| s.name == new[&seat]).map(|(from, _)| *from).collect();
        let wanted = new.values().filter(|name| **name == new[&seat]).count();
        let corrected = |s: &&Student| !register.has_papers(s.id) && !new.values().any(|name| *name == s.name);
        let from = match (named.as_slice(), wanted) {
            ([from], 1) => Some(*from),
            _ => left.get(&seat).copied().filter(|s| corrected(s)).map(|_| seat),
        };
        found.extend(from.and_then(|from| left.remove(&from)).map(|student| (seat, student)));
    }
    let mut changes = Vec::new();
    for student in left.values() {
        changes.push(match register.has_papers(student.id) {
            true => Change::Vacate(student.id),
            false => Change::Forget(student.id),
        });
    }
    let moves = |seat: &Seat, student: &Student| student.place != Some((class, *seat));
    changes.extend(found.iter().filter(|(seat, s)| moves(seat, s)).map(|(_, s)| Change::Vacate(s.id)));
    for (seat, name) in &new {
        let student = found.get(seat);
        if student.is_some_and(|s| !moves(seat, s) && s.name == *name) {
            continue;
        }
        let student = student.copied();
        changes.push(Change::Place {
            student: student.map(|s| s.id),
            number: student.and_then(|s| s.number.clone()),
            name: (*name).to_owned(),
            class: ClassRef::Known(class),
            seat: *seat,
        });
    }
    changes
}
