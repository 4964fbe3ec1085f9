//! Lists of students: 學號, name, class and seat.

use std::collections::{BTreeMap, BTreeSet};

use classroom_protocol::Seat;

use super::{Deed, Done, Field, GoodRow, columns::Heading};
use crate::register::{Change, ClassRef, Register, Student, StudentId, StudentNumber, Wrong, text};

struct Row<'a> {
    row: usize,
    cells: &'a [String],
    number: StudentNumber,
    name: String,
    class: ClassRef,
    class_name: String,
    seat: Seat,
}

pub(super) fn plan(register: &Register, heading: &Heading, body: &[(usize, &[String])], most: usize) -> Done {
    let mut problems = Vec::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut numbers: BTreeMap<StudentNumber, usize> = BTreeMap::new();
    for (row, cells) in body {
        let before = problems.len();
        let mut wrong = |field, wrong, other| problems.push(heading.problem(*row, field, cells, wrong, other));
        let number = heading.cell(cells, Field::Number).parse::<StudentNumber>();
        let name = text::name(heading.cell(cells, Field::Name));
        let class = text::name(heading.cell(cells, Field::Class)).and_then(|name| known_class(register, name));
        let seat = text::seat(heading.cell(cells, Field::Seat));
        if let Ok(number) = &number
            && let Some(first) = numbers.insert(number.clone(), *row)
        {
            wrong(Field::Number, Wrong::NumberTwice, Some(first.to_string()));
        }
        let mut keep = |field, result: Option<Wrong>| result.into_iter().for_each(|w| wrong(field, w, None));
        keep(Field::Number, number.as_ref().err().copied());
        keep(Field::Name, name.as_ref().err().copied());
        keep(Field::Class, class.as_ref().err().copied());
        keep(Field::Seat, seat.as_ref().err().copied());
        if problems.len() == before
            && let (Ok(number), Ok(name), Ok((class, class_name)), Ok(seat)) = (number, name, class, seat)
        {
            rows.push(Row { row: *row, cells, number, name, class, class_name, seat });
        }
    }
    let by_number: BTreeMap<&StudentNumber, &Student> =
        register.students.values().filter_map(|student| Some((student.number.as_ref()?, student))).collect();
    // A student of a pasted list has no number yet: class, seat and name tell who it is.
    let whom = |row: &Row<'_>| -> Option<StudentId> {
        by_number.get(&row.number).map(|student| student.id).or_else(|| {
            let ClassRef::Known(class) = row.class else { return None };
            let there = |s: &&Student| s.number.is_none() && s.place == Some((class, row.seat)) && s.name == row.name;
            register.students.values().find(|s| there(s)).map(|student| student.id)
        })
    };
    let known: Vec<Option<StudentId>> = rows.iter().map(whom).collect();
    let moving: BTreeSet<StudentId> = known.iter().flatten().copied().collect();

    // Seats: first come, first served within the file, and never at the cost of someone who is not in it.
    let mut given: BTreeMap<(ClassRef, Seat), usize> = BTreeMap::new();
    let mut sizes: BTreeMap<ClassRef, usize> = BTreeMap::new();
    for (class, student) in register.students.values().filter_map(|s| Some((s.place?.0, s))) {
        if !moving.contains(&student.id) {
            *sizes.entry(ClassRef::Known(class)).or_default() += 1;
        }
    }
    let mut done = Done {
        fields: vec![Field::Number, Field::Name, Field::Class, Field::Seat],
        rows: Vec::new(),
        problems: Vec::new(),
        changes: Vec::new(),
        new_classes: Vec::new(),
    };
    let mut places = Vec::new();
    for (row, student) in rows.iter().zip(known) {
        let place = (row.class.clone(), row.seat);
        let sitting = match row.class {
            ClassRef::Known(class) => register.class(class).get(&row.seat).copied(),
            ClassRef::Named(_) => None,
        };
        let size = sizes.entry(row.class.clone()).or_default();
        let collision = if let Some(first) = given.get(&place) {
            Some((Field::Seat, Wrong::SeatTwice, first.to_string()))
        } else if let Some(other) =
            sitting.filter(|other| !moving.contains(&other.id) && !stands_for(register, other, row))
        {
            Some((Field::Seat, Wrong::SeatTaken, other.name.clone()))
        } else if *size >= most {
            Some((Field::Class, Wrong::ClassFull, most.to_string()))
        } else {
            None
        };
        if let Some((field, wrong, other)) = collision {
            problems.push(heading.problem(row.row, field, row.cells, wrong, Some(other)));
            continue;
        }
        *size += 1;
        given.insert(place.clone(), row.row);
        if let ClassRef::Named(name) = &row.class
            && !done.new_classes.contains(name)
        {
            done.new_classes.push(name.clone());
        }
        let old = student.and_then(|id| register.students.get(&id));
        let same = old.is_some_and(|old| {
            old.number.as_ref() == Some(&row.number)
                && old.name == row.name
                && old.place.map(|(class, seat)| (ClassRef::Known(class), seat)) == Some(place)
        });
        let deed = match old {
            None => Deed::Add,
            Some(_) if same => Deed::Same,
            Some(_) => Deed::Change,
        };
        let cells = vec![row.number.to_string(), row.name.clone(), row.class_name.clone(), row.seat.to_string()];
        done.rows.push(GoodRow { row: row.row, deed, cells, private_mac: false });
        if !same {
            places.extend(
                sitting
                    .filter(|other| !moving.contains(&other.id) && Some(other.id) != student)
                    .map(|other| Change::Forget(other.id)),
            );
            let (class, seat) = (row.class.clone(), row.seat);
            let number = Some(row.number.clone());
            places.push(Change::Place { student, number, name: row.name.clone(), class, seat });
        }
    }
    // A row that is left out keeps its student where they are: who would take that seat is left out too.
    let mut settled = settle(register, places);
    if settled.left_out.is_empty() {
        done.changes = settled.changes;
    } else {
        for (student, seat_of) in std::mem::take(&mut settled.left_out) {
            for row in done.rows.iter().filter(|row| row.cells[0] == student) {
                let cells = body.iter().find(|(at, _)| *at == row.row).map_or(&[][..], |(_, cells)| cells);
                problems.push(heading.problem(row.row, Field::Seat, cells, Wrong::SeatTaken, Some(seat_of.clone())));
            }
            done.rows.retain(|row| row.cells[0] != student);
        }
        done.changes = settled.changes;
    }
    done.problems = problems;
    done
}

/// Whether the one who sits there is only the name of this very student: of someone with papers who had left the list
/// and was pasted again.
fn stands_for(register: &Register, sitting: &Student, row: &Row<'_>) -> bool {
    sitting.name == row.name && !register.has_papers(sitting.id)
}

/// The class that a cell names.
fn known_class(register: &Register, name: String) -> Result<(ClassRef, String), Wrong> {
    let mut there = register.classes.iter().filter(|(_, known)| **known == name).map(|(id, _)| *id);
    match (there.next(), there.next()) {
        (Some(id), None) => Ok((ClassRef::Known(id), name)),
        (None, _) => Ok((ClassRef::Named(name.clone()), name)),
        (Some(_), Some(_)) => Err(Wrong::ClassAmbiguous),
    }
}

struct Settled {
    changes: Vec<Change>,
    /// 學號 of those whose new seat stays taken, and the name of who sits there.
    left_out: Vec<(String, String)>,
}

/// Drops, again and again, those whose new seat is kept by someone who was dropped; then everybody who moves gets up
/// before anyone sits down.
fn settle(register: &Register, mut places: Vec<Change>) -> Settled {
    let mut left_out = Vec::new();
    loop {
        let moved: BTreeSet<StudentId> =
            places.iter().filter_map(|c| if let Change::Place { student, .. } = c { *student } else { None }).collect();
        let blocked = |change: &Change| -> Option<String> {
            let Change::Place { student, class: ClassRef::Known(class), seat, .. } = change else { return None };
            let sitting = register.class(*class).get(seat).copied()?;
            let goes = places.contains(&Change::Forget(sitting.id));
            let stays = !goes && !moved.contains(&sitting.id) && Some(sitting.id) != *student;
            stays.then(|| sitting.name.clone())
        };
        let Some((at, name)) = places.iter().enumerate().find_map(|(at, change)| Some((at, blocked(change)?))) else {
            break;
        };
        let change = places.remove(at);
        if let Change::Place { number: Some(number), .. } = change {
            left_out.push((number.to_string(), name));
        }
    }
    let up = |change: &Change| match change {
        Change::Place { student: Some(student), class, seat, .. } => {
            let place = register.students.get(student)?.place;
            let moves = place.is_some_and(|(old, at)| ClassRef::Known(old) != *class || at != *seat);
            moves.then_some(Change::Vacate(*student))
        }
        _ => None,
    };
    let mut changes: Vec<Change> = places.iter().filter_map(up).collect();
    changes.extend(places);
    Settled { changes, left_out }
}
