//! The figures counted twice: by the box, and by a script in another language that was written from the rules' text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod school;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use appliance_core::{
    calendar::month as year_month,
    figures::{Counting, Days, Duty, Facts, Parameters, Views, month, month_of_class, semester, semester_of},
};
use serde_json::{Value, json};

/// A month to be counted, with what it is counted from.
struct Case {
    name: String,
    facts: Facts,
    /// `None`: the whole school.
    class: Option<i64>,
    parameters: Parameters,
    month: &'static str,
    today: &'static str,
}

fn cases() -> Vec<Case> {
    let autumn = semester_of(school::at("2026-11-21"));
    let usual = Parameters::default();
    let odd = Parameters {
        version: "odd".into(),
        month: Views { plain: Counting { minutes: 20, days: 2 }, strict: Counting { minutes: 45, days: 6 } },
        week: Views { plain: Counting { minutes: 5, days: 1 }, strict: Counting { minutes: 60, days: 3 } },
    };
    let mut cases = Vec::new();
    for (seed, month, today, parameters) in [
        (1, "2026-11", "2026-11-30", &usual),
        (2, "2026-10", "2027-01-31", &usual),
        (3, "2026-12", "2026-12-16", &usual),
        (4, "2026-09", "2026-09-30", &odd),
        (5, "2027-01", "2027-01-31", &odd),
        (6, "2026-08", "2026-08-31", &usual),
        (7, "2026-12", "2026-11-30", &usual),
        // Periods that have hardly begun.
        (8, "2026-12", "2026-12-01", &usual),
        (9, "2026-10", "2026-10-02", &odd),
    ] {
        let whole = school::school(seed, autumn);
        for class in [None, Some(1), Some(2)] {
            let name = format!("seed {seed}, class {class:?}, {month} until {today}");
            cases.push(Case { name, facts: whole.clone(), class, parameters: parameters.clone(), month, today });
        }
    }
    // One device that came late in the month and was never seen, and one that was seen on all its few days.
    let late = |seen: &str| {
        let mut facts = school::school(10, autumn);
        facts.devices.truncate(1);
        facts.activities.clear();
        let days = Days { from: school::at("2026-11-24"), to: autumn.to };
        facts.devices[0].duties = vec![(days, Duty::InUse)];
        facts.devices[0].seen = vec![Days { from: school::at(seen), ..days }];
        facts
    };
    for (name, seen) in [("a late device, not seen", "2027-01-31"), ("a late device, seen", "2026-11-24")] {
        let (name, facts) = (name.to_owned(), late(seen));
        let (parameters, class) = (usual.clone(), None);
        cases.push(Case { name, facts, class, parameters, month: "2026-11", today: "2026-11-30" });
    }
    let empty = Facts { platforms: vec!["adl".into()], ..Facts::default() };
    let name = "empty".into();
    cases.push(Case { name, facts: empty, class: None, parameters: usual, month: "2026-11", today: "2026-11-30" });
    cases
}

/// What the script makes of the cases.
fn second_opinion(input: &Value) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("figures/month.py");
    let mut child = Command::new("python3")
        .arg("-I")
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut stdin = child.stdin.take().unwrap();
    let text = input.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{} failed", script.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Numbers in a value, to say how much was compared.
fn numbers(value: &Value) -> usize {
    match value {
        Value::Number(_) => 1,
        Value::Array(all) => all.iter().map(numbers).sum(),
        Value::Object(all) => all.values().map(numbers).sum(),
        _ => 0,
    }
}

/// The first place where two values differ.
fn difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| difference(&format!("{path}.{key}"), value, &b[key]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            (0..a.len()).find_map(|n| difference(&format!("{path}[{n}]"), &a[n], &b[n]))
        }
        _ => (ours != theirs).then(|| format!("{path}: the box says {ours}, the script {theirs}")),
    }
}

#[test]
fn a_script_in_another_language_counts_the_same() {
    let cases = cases();
    let calendar = school::calendar();
    let span = |case: &Case| semester_of(year_month(case.month).unwrap().first());
    let input: Vec<Value> = cases
        .iter()
        .map(|case| {
            json!({ "facts": case.facts, "calendar": calendar, "parameters": case.parameters, "month": case.month,
                    "today": case.today, "semester": span(case), "class": case.class })
        })
        .collect();
    let theirs = second_opinion(&Value::Array(input));
    assert_eq!(theirs.len(), cases.len());
    let (mut compared, mut records, mut wrong) = (0, 0, Vec::new());
    let (mut known, mut between, mut unknown) = (0, 0, 0);
    for (case, theirs) in cases.iter().zip(&theirs) {
        let (today, days): (_, Days) = (school::at(case.today), span(case));
        let (of, parameters) = (year_month(case.month).unwrap(), &case.parameters);
        let ours = match case.class {
            None => json!({
                "month": month(&case.facts, &calendar, parameters, of, today),
                "semester": semester(&case.facts, &calendar, parameters, days, today),
            }),
            Some(class) => json!({
                "month": month_of_class(&case.facts, class, &calendar, parameters, of, today),
                "semester": semester(&case.facts.of_class(class), &calendar, parameters, days, today),
            }),
        };
        wrong.extend(difference(&case.name, &ours, theirs));
        compared += numbers(&ours);
        records += case.facts.activities.len();
        let text = ours.to_string();
        known += text.matches(r#""is":"known""#).count();
        between += text.matches(r#""is":"between""#).count();
        unknown += text.matches(r#""is":"unknown""#).count();
    }
    assert!(wrong.is_empty(), "the two counts differ:\n  {}", wrong.join("\n  "));
    // The months are worth comparing only if every kind of answer is among them.
    assert!(known > 5 && between > 5 && unknown > 5, "{known} known, {between} between, {unknown} unknown");
    println!(
        "{} cases, {records} records: {compared} numbers are the same; shares: {known} known, {between} between bounds, {unknown} unknown",
        cases.len()
    );
}
