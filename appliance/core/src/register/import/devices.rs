//! Lists of devices: kind, Wi-Fi address, property number, spare pool; or the codes of known ones.

use std::collections::{BTreeMap, BTreeSet};

use classroom_protocol::Millis;

use super::{
    Deed, Done, Field, GoodRow,
    columns::{self, Heading},
};
use crate::register::{Change, Device, DeviceFacts, Kind, Mac, Register, State, Wrong, device, text};

pub(super) fn plan(
    register: &Register,
    heading: &Heading,
    body: &[(usize, &[String])],
    mut codes: impl Iterator<Item = String>,
    at: Millis,
) -> Done {
    let fields: Vec<Field> = [Field::Code, Field::Kind, Field::Mac, Field::Tag, Field::Spare].into();
    let mut done =
        Done { fields, rows: Vec::new(), problems: Vec::new(), changes: Vec::new(), new_classes: Vec::new() };
    let mut seen = Seen::default();
    let mut drawn = BTreeSet::new();
    for (row, cells) in body {
        match read(register, heading, cells, *row, &mut seen) {
            Err(wrong) => {
                let problem = |(field, wrong, other)| heading.problem(*row, field, cells, wrong, other);
                done.problems.extend(wrong.into_iter().map(problem));
            }
            Ok(read) => {
                let old = read.old;
                let state = old.map_or(State::Ready, |old| old.facts.state);
                let code = match old {
                    Some(old) => Some(old.facts.code.clone()),
                    None => device::free_code(register, &drawn, &mut codes),
                };
                // The shell draws more codes than there are rows; without one the row can't be kept.
                let Some(code) = code else {
                    done.problems.push(heading.problem(*row, Field::Code, cells, Wrong::CodeTwice, None));
                    continue;
                };
                drawn.insert(code.clone());
                let facts =
                    DeviceFacts { code, kind: read.kind, mac: read.mac, tag: read.tag, spare: read.spare, state };
                let deed = match old {
                    None => Deed::Add,
                    Some(old) if old.facts == facts => Deed::Same,
                    Some(_) => Deed::Change,
                };
                let cells = vec![
                    // A new code is drawn again when the import is confirmed.
                    old.map(|old| old.facts.code.clone()).unwrap_or_default(),
                    facts.kind.as_str().to_owned(),
                    facts.mac.map(String::from).unwrap_or_default(),
                    facts.tag.clone().unwrap_or_default(),
                    if facts.spare { "yes" } else { "" }.to_owned(),
                ];
                let private_mac = facts.mac.is_some_and(Mac::is_private);
                done.rows.push(GoodRow { row: *row, deed, cells, private_mac });
                if deed != Deed::Same {
                    done.changes.push(Change::PutDevice { device: old.map(|old| old.id), facts, at });
                }
            }
        }
    }
    done
}

#[derive(Default)]
struct Seen {
    macs: BTreeMap<Mac, usize>,
    tags: BTreeMap<String, usize>,
    codes: BTreeMap<String, usize>,
}

struct Read<'a> {
    old: Option<&'a Device>,
    kind: Kind,
    mac: Option<Mac>,
    tag: Option<String>,
    spare: bool,
}

type Wrongs = Vec<(Field, Wrong, Option<String>)>;

fn read<'a>(
    register: &'a Register,
    heading: &Heading,
    cells: &[String],
    row: usize,
    seen: &mut Seen,
) -> Result<Read<'a>, Wrongs> {
    let mut wrong: Wrongs = Vec::new();
    let code = text::code(heading.cell(cells, Field::Code));
    let kind_cell = heading.cell(cells, Field::Kind);
    let kind = columns::kind(kind_cell);
    if kind.is_none() {
        let why = if text::trimmed(kind_cell).is_empty() { Wrong::Empty } else { Wrong::KindUnknown };
        wrong.push((Field::Kind, why, None));
    }
    let mac_cell = heading.cell(cells, Field::Mac);
    let mac = match mac_cell.parse::<Mac>() {
        Ok(mac) => Some(mac),
        Err(Wrong::Empty) => None,
        Err(why) => {
            wrong.push((Field::Mac, why, None));
            None
        }
    };
    let tag = text::tag(heading.cell(cells, Field::Tag)).unwrap_or_else(|why| {
        wrong.push((Field::Tag, why, None));
        None
    });
    let spare = columns::yes(heading.cell(cells, Field::Spare));
    if spare.is_none() {
        wrong.push((Field::Spare, Wrong::YesNo, None));
    }
    let twice = |first: Option<usize>| first.map(|first| first.to_string());
    if let Some(first) = mac.and_then(|mac| twice(seen.macs.insert(mac, row))) {
        wrong.push((Field::Mac, Wrong::MacTwice, Some(first)));
    }
    if let Some(first) = tag.clone().and_then(|tag| twice(seen.tags.insert(tag, row))) {
        wrong.push((Field::Tag, Wrong::TagTwice, Some(first)));
    }
    // Which device it is: its code, else its property number, else its address.
    let by = |fits: &dyn Fn(&Device) -> bool| register.devices.values().find(|device| fits(device));
    let old = if code.is_empty() {
        let by_tag = tag.as_ref().and_then(|tag| by(&|device| device.facts.tag.as_ref() == Some(tag)));
        by_tag.or_else(|| mac.and_then(|mac| by(&|device| device.facts.mac == Some(mac))))
    } else {
        if let Some(first) = twice(seen.codes.insert(code.clone(), row)) {
            wrong.push((Field::Code, Wrong::CodeTwice, Some(first)));
        }
        let found = by(&|device| device.facts.code == code);
        if found.is_none() {
            wrong.push((Field::Code, Wrong::CodeUnknown, None));
        }
        found
    };
    let other = |device: &Device| old.is_none_or(|old| old.id != device.id);
    if let Some(taken) = mac.and_then(|mac| by(&|device| other(device) && device.facts.mac == Some(mac))) {
        wrong.push((Field::Mac, Wrong::MacTaken, Some(taken.facts.code.clone())));
    }
    if let Some(taken) =
        tag.as_ref().and_then(|tag| by(&|device| other(device) && device.facts.tag.as_ref() == Some(tag)))
    {
        wrong.push((Field::Tag, Wrong::TagTaken, Some(taken.facts.code.clone())));
    }
    if mac.is_none() && tag.is_none() && code.is_empty() && wrong.is_empty() {
        // Nothing by which the device would be known again.
        let field = if heading.has(Field::Mac) { Field::Mac } else { Field::Tag };
        wrong.push((field, Wrong::Empty, None));
    }
    match (wrong.is_empty(), kind, spare) {
        (true, Some(kind), Some(spare)) => {
            // A column that the file does not have changes nothing.
            let keep = |field, new, old| if heading.has(field) { new } else { old };
            let facts = old.map(|old| &old.facts);
            let mac = if mac.is_some() { mac } else { keep(Field::Mac, None, facts.and_then(|facts| facts.mac)) };
            let tag = if heading.has(Field::Tag) { tag } else { facts.and_then(|facts| facts.tag.clone()) };
            let spare = if heading.has(Field::Spare) { spare } else { facts.is_some_and(|facts| facts.spare) };
            Ok(Read { old, kind, mac, tag, spare })
        }
        _ => Err(wrong),
    }
}
