//! The register's decisions, rule by rule, and what must hold whatever people do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use appliance_core::register::{
    self, Change, ClassRef, Condition, ConsentState, Device, DeviceFacts, Kind, Loan, LoanState, Mac, Party, Register,
    Signature, State, Student, Way, consent, device,
    import::{self, Deed, Field, List, NoPlan, Use},
    loan,
    presence::{By, Seen, What, whereabouts},
    roster,
    text::Wrong,
};
use classroom_protocol::{ProblemCode, Seat};
use proptest::prelude::*;

const NOW: u64 = 1_000_000;

/// Executes changes as a store does: numbers are given in order, a class is made when first named.
fn execute(register: &mut Register, changes: &[Change]) {
    for change in changes {
        match change.clone() {
            Change::Vacate(id) => register.students.get_mut(&id).unwrap().place = None,
            Change::Forget(id) => drop(register.students.remove(&id)),
            Change::Place { student, number, name, class, seat } => {
                let class = match class {
                    ClassRef::Known(id) => id,
                    ClassRef::Named(name) => {
                        let known = register.classes.iter().find(|(_, known)| **known == name).map(|(id, _)| *id);
                        known.unwrap_or_else(|| {
                            let id = i64::try_from(register.classes.len()).unwrap() + 1;
                            register.classes.insert(id, name);
                            id
                        })
                    }
                };
                let taken = register.class(class).get(&seat).map(|s| s.id);
                assert!(taken.is_none() || taken == student, "seat {seat} of {class} is taken by {taken:?}");
                let id = student.unwrap_or_else(|| register.students.keys().max().unwrap_or(&0) + 1);
                register.students.insert(id, Student { id, number, name, place: Some((class, seat)) });
            }
            Change::PutDevice { device, facts, .. } => {
                let id = device.unwrap_or_else(|| register.devices.keys().max().unwrap_or(&0) + 1);
                register.devices.insert(id, Device { id, facts });
            }
            Change::Lend { device, student, due, at, .. } => {
                let id = register.loans.keys().max().unwrap_or(&0) + 1;
                register.loans.insert(id, Loan { device, student, lent_at: at, due, stopped_at: None });
            }
            Change::TakeBack { loan, .. } => drop(register.loans.remove(&loan)),
            Change::StopLoan { loan, at } => register.loans.get_mut(&loan).unwrap().stopped_at = Some(at),
            Change::ResumeLoan { loan } => register.loans.get_mut(&loan).unwrap().stopped_at = None,
            Change::Sign(signature) => register.signatures.push(signature),
            Change::Withdraw { student, party, at, .. } => {
                for signature in &mut register.signatures {
                    if signature.student == student && signature.party == party && signature.withdrawn_at.is_none() {
                        signature.withdrawn_at = Some(at);
                    }
                }
            }
            Change::Publish(text) => drop(register.texts.insert(text.version, text)),
        }
    }
}

fn seat(n: u8) -> Seat {
    n.try_into().unwrap()
}

fn table(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn codes() -> impl Iterator<Item = String> {
    (1..).map(|n| format!("CODE{n}"))
}

fn import(register: &mut Register, list: List, text: &str) -> import::Preview {
    let plan = import::plan(register, list, &table(text), 60, codes(), NOW).unwrap();
    execute(register, &plan.changes);
    plan.preview
}

/// A class of `n` students with numbers, the first version of the text, and `devices` iPads.
fn school(n: u8, devices: u8) -> Register {
    let mut register = Register::default();
    let rows: String = (1..=n).map(|n| format!("11201{n:02},學生{n},五年三班,{n}\n")).collect();
    import(&mut register, List::Students, &format!("學號,姓名,班級,座號\n{rows}"));
    let rows: String = (1..=devices).map(|n| format!("iPad,ac:de:48:00:00:{n:02x},T-{n}\n")).collect();
    import(&mut register, List::Devices, &format!("機型,MAC,財產編號\n{rows}"));
    let text = consent::publish(&register, "同意書", "內容", false, NOW, "主任").unwrap();
    execute(&mut register, &text);
    register
}

fn signature(student: i64, party: Party, version: u32) -> Signature {
    Signature { student, party, version, way: Way::Paper, at: NOW, by: "主任".into(), withdrawn_at: None }
}

fn sign(register: &mut Register, student: i64) {
    for party in [Party::Student, Party::Guardian] {
        let changes = consent::sign(register, signature(student, party, 1)).unwrap();
        execute(register, &changes);
    }
}

#[test]
fn a_list_with_broken_rows_says_row_column_and_what_is_wrong() {
    let text = "新北市某國小 113 學年度,,,,\n學號,姓名,班級,座號,身分證字號\n1120101,王小明,五年三班,1,A123456789\n\
                1120101,李美華,五年三班,2,\n1.12E+06,張家豪,五年三班,3,\n1120104,,五年三班,4,\n1120105,陳怡君,五年三班,一號,\n\
                1120106,林志偉,五年三班,1,\nA123456789,黃雅婷,五年三班,7,\n\n1120108,<b>吳</b>,五年三班,8,";
    let preview = import(&mut Register::default(), List::Students, text);
    let found: Vec<_> = preview.problems.iter().map(|p| (p.row, p.field, p.wrong, p.other.as_deref())).collect();
    assert_eq!(
        found,
        [
            (4, Field::Number, Wrong::NumberTwice, Some("3")),
            (5, Field::Number, Wrong::NumberDamaged, None),
            (6, Field::Name, Wrong::Empty, None),
            (7, Field::Seat, Wrong::SeatForm, None),
            (8, Field::Seat, Wrong::SeatTwice, Some("3")),
            (9, Field::Number, Wrong::NationalId, None),
        ]
    );
    assert_eq!(preview.problems[3].column, "座號");
    assert_eq!(preview.problems[3].cell, "一號");
    assert_eq!(preview.problems[5].cell, "", "a national id is not told back");
    assert_eq!(preview.left_out, 6);
    assert_eq!(preview.rows.iter().map(|row| row.row).collect::<Vec<_>>(), [3, 11]);
    assert_eq!(preview.heading, 2);
    assert_eq!(preview.columns[4].used, Use::Never, "R-DATA-4");
    assert_eq!(preview.new_classes, ["五年三班"]);
}

#[test]
fn a_file_that_is_no_such_list_names_the_columns() {
    let plan = |text: &str, list| import::plan(&Register::default(), list, &table(text), 60, codes(), NOW).map(|_| ());
    assert_eq!(plan("姓名,座號\n王,1", List::Students), Err(NoPlan::Columns(vec![Field::Number, Field::Class])));
    assert_eq!(plan(",,\n , \n", List::Students), Err(NoPlan::Empty));
    assert_eq!(plan("", List::Students), Err(NoPlan::Empty));
    assert_eq!(plan("機型\niPad", List::Devices), Err(NoPlan::Columns(vec![Field::Mac])));
}

#[test]
fn importing_twice_changes_nothing_and_a_swap_of_seats_works() {
    let mut register = school(3, 0);
    let again = "學號,姓名,班級,座號\n1120101,學生1,五年三班,1\n1120102,學生2,五年三班,3\n1120103,學生3,五年三班,2\n";
    let before: Vec<i64> = register.students.keys().copied().collect();
    let preview = import(&mut register, List::Students, again);
    let deeds: Vec<Deed> = preview.rows.iter().map(|row| row.deed).collect();
    assert_eq!(deeds, [Deed::Same, Deed::Change, Deed::Change]);
    assert_eq!(before, register.students.keys().copied().collect::<Vec<_>>());
    let plan = import::plan(&register, List::Students, &table(again), 60, codes(), NOW).unwrap();
    assert_eq!(plan.changes, []);
}

#[test]
fn nobody_loses_a_seat_to_a_list_that_does_not_name_them() {
    let mut register = school(2, 0);
    let text = "學號,姓名,班級,座號\n1120199,新同學,五年三班,2\n";
    let preview = import(&mut register, List::Students, text);
    assert_eq!((preview.problems[0].wrong, preview.problems[0].other.as_deref()), (Wrong::SeatTaken, Some("學生2")));
    assert_eq!(register.students.len(), 2);
    // Who is dropped for another reason keeps the seat too.
    let text = "學號,姓名,班級,座號\n1120102,學生2,五年三班,1\n1120199,新同學,五年三班,2\n";
    let preview = import(&mut register, List::Students, text);
    assert_eq!(preview.left_out, 2, "{preview:?}");
    assert_eq!(register.class(1)[&seat(2)].name, "學生2");
}

#[test]
fn a_pasted_list_gets_its_numbers_by_import() {
    let mut register = Register::default();
    register.classes.insert(1, "五年三班".into());
    let pasted = roster::replace(&register, 1, &[(seat(1), "王小明".into()), (seat(2), "李美華".into())]);
    execute(&mut register, &pasted);
    let ids: Vec<i64> = register.students.keys().copied().collect();
    let text = "學號,姓名,班級,座號\n1120101,王小明,五年三班,1\n1120102,李美華,五年三班,2\n";
    import(&mut register, List::Students, text);
    assert_eq!(ids, register.students.keys().copied().collect::<Vec<_>>());
    assert!(register.students.values().all(|student| student.number.is_some()));
}

#[test]
fn a_new_list_of_a_class_loses_no_consent_and_gives_none_away() {
    let mut register = school(3, 0);
    sign(&mut register, 1);
    // A change of seats: the papers go with the name.
    let moved = [(seat(1), "學生2".to_owned()), (seat(2), "學生1".to_owned()), (seat(3), "學生3".to_owned())];
    let changes = roster::replace(&register, 1, &moved);
    execute(&mut register, &changes);
    assert_eq!(register.class(1)[&seat(2)].id, 1);
    assert_eq!(consent::state(&register, 1), ConsentState::Both);
    // Another name on the seat of someone with papers is another person.
    let changes = roster::replace(&register, 1, &[(seat(2), "陌生人".into())]);
    execute(&mut register, &changes);
    let new = register.class(1)[&seat(2)].id;
    assert_ne!(new, 1);
    assert_eq!(consent::state(&register, new), ConsentState::Missing);
    assert_eq!(register.students[&1].place, None);
    assert_eq!(consent::state(&register, 1), ConsentState::Both, "the papers are kept");
    // Import by number brings them back to their seat.
    import(&mut register, List::Students, "學號,姓名,班級,座號\n1120101,學生1,五年三班,9\n");
    assert_eq!(register.class(1)[&seat(9)].id, 1);
}

#[test]
fn ninety_percent_rounded_up() {
    for (students, needed) in
        [(0, 0), (1, 1), (9, 9), (10, 9), (11, 10), (19, 18), (20, 18), (25, 23), (29, 27), (30, 27)]
    {
        assert_eq!(consent::needed(students), needed, "{students}");
    }
    let mut register = school(10, 0);
    for student in 1..=8 {
        sign(&mut register, student);
    }
    assert!(!consent::quorum(&register, 1).reached);
    let half = consent::sign(&register, signature(9, Party::Student, 1)).unwrap();
    execute(&mut register, &half);
    assert_eq!(consent::state(&register, 9), ConsentState::StudentOnly);
    assert!(!consent::quorum(&register, 1).reached, "a student's signature alone does not count");
    sign(&mut register, 9);
    assert!(consent::quorum(&register, 1).reached);
    assert!(!consent::quorum(&register, 7).reached, "a class without students takes no part");
}

#[test]
fn a_renewed_text_asks_for_new_signatures() {
    let mut register = school(1, 0);
    sign(&mut register, 1);
    let typo = consent::publish(&register, "同意書", "內容。", false, NOW, "主任").unwrap();
    execute(&mut register, &typo);
    assert_eq!(consent::state(&register, 1), ConsentState::Both);
    let other = consent::publish(&register, "同意書", "別的內容", true, NOW, "主任").unwrap();
    execute(&mut register, &other);
    assert_eq!(consent::state(&register, 1), ConsentState::Missing);
    assert_eq!(consent::sign(&register, signature(1, Party::Student, 2)), Err(ProblemCode::OldText));
    assert_eq!(consent::sign(&register, signature(1, Party::Student, 4)), Err(ProblemCode::OldText));
    assert_eq!(consent::publish(&register, "", "x", false, NOW, ""), Err("title"));
    assert_eq!(consent::publish(&register, "x", " \n", false, NOW, ""), Err("body"));
}

#[test]
fn lending_asks_for_consent_quorum_and_a_free_device() {
    let mut register = school(2, 3);
    let due = NOW + 1;
    let lend = |register: &Register, student, device| loan::lend(register, student, device, due, NOW, "主任");
    assert_eq!(lend(&register, 1, 1), Err(ProblemCode::NoConsent));
    sign(&mut register, 1);
    assert_eq!(lend(&register, 1, 1), Err(ProblemCode::BelowQuorum));
    sign(&mut register, 2);
    assert_eq!(lend(&register, 99, 1), Err(ProblemCode::NotFound));
    assert_eq!(lend(&register, 1, 99), Err(ProblemCode::NotFound));
    assert_eq!(loan::lend(&register, 1, 1, NOW, NOW, ""), Err(ProblemCode::BadInput));
    let lent = lend(&register, 1, 1).unwrap();
    execute(&mut register, &lent);
    assert_eq!(lend(&register, 1, 2), Err(ProblemCode::HasDevice));
    assert_eq!(lend(&register, 2, 1), Err(ProblemCode::DeviceLent));
    for state in [State::Repair, State::Lost, State::Retired] {
        let facts = DeviceFacts { state, ..register.devices[&2].facts.clone() };
        let put = device::put(&register, Some(2), facts, NOW).unwrap();
        execute(&mut register, &put);
        assert_eq!(lend(&register, 2, 2), Err(ProblemCode::DeviceNotReady));
    }
    assert_eq!(loan::state(&register, 1, due), LoanState::Active);
    assert_eq!(loan::state(&register, 1, due + 1), LoanState::Overdue);
    let back = loan::take_back(&register, 1, Condition::Repair, NOW, "主任").unwrap();
    execute(&mut register, &back);
    assert_eq!(register.devices[&1].facts.state, State::Repair);
    assert_eq!(loan::take_back(&register, 1, Condition::Good, NOW, ""), Err(ProblemCode::NotFound));
}

#[test]
fn withdrawal_stops_the_loan_and_signing_again_resumes_it() {
    let mut register = school(1, 1);
    sign(&mut register, 1);
    let lent = loan::lend(&register, 1, 1, NOW + 9, NOW, "主任").unwrap();
    execute(&mut register, &lent);
    let gone = consent::withdraw(&register, 1, Party::Guardian, NOW, "主任").unwrap();
    execute(&mut register, &gone);
    assert_eq!(consent::state(&register, 1), ConsentState::Withdrawn);
    assert_eq!(loan::state(&register, 1, NOW), LoanState::Stopped);
    assert_eq!(consent::withdraw(&register, 1, Party::Guardian, NOW, ""), Err(ProblemCode::NotFound));
    let facts = register::facts(&register, 1, NOW).unwrap();
    assert_eq!((facts.consent, facts.class_takes_part), (ConsentState::Withdrawn, false));
    let again = consent::sign(&register, signature(1, Party::Guardian, 1)).unwrap();
    execute(&mut register, &again);
    assert_eq!(loan::state(&register, 1, NOW), LoanState::Active);
    assert_eq!(register::facts(&register, 7, NOW), None);
}

#[test]
fn devices_are_told_apart_in_a_list() {
    let mut register = school(0, 2);
    let text = "標籤代碼,機型,MAC,財產編號,備用\n,iPad,ac:de:48:00:00:01,T-1,是\n,Chromebook,AC-DE-48-00-00-07,T-7,\n\
                ,iPad,ac:de:48:00:00:02,T-1,\n,算盤,ac:de:48:00:00:09,,\n,iPad,zz,,也許\nNOPE,iPad,,,\n,iPad,,,\n,iPad,da:a1:19:00:00:01,,\n";
    let preview = import(&mut register, List::Devices, text);
    let found: Vec<_> = preview.problems.iter().map(|p| (p.row, p.field, p.wrong)).collect();
    assert_eq!(
        found,
        [
            (4, Field::Tag, Wrong::TagTwice),
            (4, Field::Mac, Wrong::MacTaken),
            (5, Field::Kind, Wrong::KindUnknown),
            (6, Field::Mac, Wrong::MacForm),
            (6, Field::Spare, Wrong::YesNo),
            (7, Field::Code, Wrong::CodeUnknown),
            (8, Field::Mac, Wrong::Empty),
        ]
    );
    let rows: Vec<_> = preview.rows.iter().map(|row| (row.row, row.deed, row.private_mac)).collect();
    assert_eq!(rows, [(2, Deed::Change, false), (3, Deed::Add, false), (9, Deed::Add, true)]);
    assert!(register.devices[&1].facts.spare);
    // A list without a column for it changes no spare.
    import(&mut register, List::Devices, "機型,財產編號\niPad,T-1\n");
    assert!(register.devices[&1].facts.spare && register.devices[&1].facts.mac.is_some());
}

fn ip(last: u8) -> std::net::IpAddr {
    [192, 168, 1, last].into()
}

fn mac(last: u8) -> Mac {
    Mac::new([0xac, 0xde, 0x48, 0, 0, last]).unwrap()
}

/// Devices 1 and 2 have the cards 1 and 2, device 3's card was never noted; device n is lent to student n.
fn lent() -> Register {
    let mut register = school(3, 3);
    for student in 1..=3 {
        sign(&mut register, student);
    }
    for id in 1..=3 {
        let changes = loan::lend(&register, id, id, NOW + 9, NOW, "主任").unwrap();
        execute(&mut register, &changes);
    }
    register.devices.get_mut(&3).unwrap().facts.mac = None;
    register
}

#[test]
fn an_address_is_known_by_its_card_and_else_by_the_loan_of_who_sits_there() {
    let register = lent();
    let seen = Seen {
        cards: BTreeMap::from([(ip(1), mac(1)), (ip(3), mac(0x33)), (ip(9), mac(0x99))]),
        seats: BTreeMap::from([(ip(1), seat(1)), (ip(2), seat(2)), (ip(3), seat(3))]),
        trusted: [ip(254)].into(),
    };
    let found = whereabouts(&register, &seen, Some(1));
    let device = |last| found.places[&ip(last)].device;
    assert_eq!(device(1), Some((1, By::Card)));
    assert_eq!(device(2), Some((2, By::Loan)), "behind a router there is no card");
    assert_eq!(device(3), Some((3, By::Loan)), "its card was never noted");
    assert_eq!(device(9), None);
    assert!(found.places[&ip(254)].registered() && !found.places[&ip(9)].registered());
    let alerts: Vec<_> = found.alerts.iter().map(|alert| (alert.what.clone(), alert.address)).collect();
    assert_eq!(alerts, [(What::Unknown, ip(9))]);
}

#[test]
fn another_students_device_an_own_device_and_a_lost_one_are_told() {
    let mut register = lent();
    register.devices.get_mut(&2).unwrap().facts.state = State::Lost;
    let seen = Seen {
        cards: BTreeMap::from([(ip(1), mac(1)), (ip(2), mac(0x77)), (ip(8), mac(2))]),
        seats: BTreeMap::from([(ip(1), seat(3)), (ip(2), seat(1))]),
        ..Seen::default()
    };
    let found = whereabouts(&register, &seen, Some(1));
    let alerts: Vec<_> = found.alerts.iter().map(|a| (a.what.clone(), a.address, a.seat, a.borrower)).collect();
    assert_eq!(
        alerts,
        [
            (What::Unknown, ip(2), Some(seat(1)), None),
            (What::NotBorrower, ip(1), Some(seat(3)), Some(1)),
            (What::Lost, ip(8), None, Some(2)),
        ]
    );
}

#[test]
fn a_box_without_a_register_of_devices_alarms_nobody() {
    let seen = Seen { cards: BTreeMap::from([(ip(1), mac(1))]), ..Seen::default() };
    let found = whereabouts(&Register::default(), &seen, None);
    assert!(found.alerts.is_empty() && !found.in_use);
}

#[test]
fn an_other_machine_is_known_and_never_lent() {
    let mut register = school(1, 0);
    import(&mut register, List::Devices, "機型,MAC\n其他,ac:de:48:00:00:05\n");
    sign(&mut register, 1);
    assert_eq!(loan::lend(&register, 1, 1, NOW + 1, NOW, ""), Err(ProblemCode::DeviceNotReady));
    assert_eq!(register.devices[&1].facts.kind, Kind::Other);
}

/// What people do, at random.
#[derive(Debug, Clone)]
enum Deeds {
    Sign(i64, Party),
    Withdraw(i64, Party),
    Lend(i64, i64),
    Return(usize, Condition),
    Put(i64, State),
    Renew,
    Roster(Vec<(u8, u8)>),
    Import(Vec<(u8, u8, u8)>),
}

fn deeds() -> impl Strategy<Value = Deeds> {
    let party = prop_oneof![Just(Party::Student), Just(Party::Guardian)];
    let condition = prop_oneof![Just(Condition::Good), Just(Condition::Repair), Just(Condition::Lost)];
    let state = prop_oneof![Just(State::Ready), Just(State::Repair), Just(State::Lost), Just(State::Retired)];
    prop_oneof![
        6 => (1i64..6, party.clone()).prop_map(|(s, p)| Deeds::Sign(s, p)),
        2 => (1i64..6, party).prop_map(|(s, p)| Deeds::Withdraw(s, p)),
        6 => (1i64..6, 1i64..5).prop_map(|(s, d)| Deeds::Lend(s, d)),
        2 => (0usize..4, condition).prop_map(|(l, c)| Deeds::Return(l, c)),
        1 => (1i64..5, state).prop_map(|(d, s)| Deeds::Put(d, s)),
        1 => Just(Deeds::Renew),
        1 => prop::collection::vec((1u8..7, 1u8..7), 0..5).prop_map(Deeds::Roster),
        2 => prop::collection::vec((1u8..8, 1u8..3, 1u8..7), 0..6).prop_map(Deeds::Import),
    ]
}

fn apply(register: &mut Register, deed: Deeds) {
    let changes = match deed {
        Deeds::Sign(student, party) => {
            let version = *register.texts.keys().next_back().unwrap();
            consent::sign(register, signature(student, party, version)).unwrap_or_default()
        }
        Deeds::Withdraw(student, party) => consent::withdraw(register, student, party, NOW, "x").unwrap_or_default(),
        Deeds::Lend(student, device) => loan::lend(register, student, device, NOW + 9, NOW, "x").unwrap_or_default(),
        Deeds::Return(at, condition) => {
            let loan = register.loans.keys().nth(at).copied().unwrap_or(0);
            loan::take_back(register, loan, condition, NOW, "x").unwrap_or_default()
        }
        Deeds::Put(id, state) => {
            let facts = register.devices.get(&id).map(|device| DeviceFacts { state, ..device.facts.clone() });
            facts.map(|facts| device::put(register, Some(id), facts, NOW).unwrap_or_default()).unwrap_or_default()
        }
        Deeds::Renew => consent::publish(register, "書", "文", true, NOW, "x").unwrap(),
        Deeds::Roster(rows) => {
            let rows: BTreeMap<u8, u8> = rows.into_iter().collect();
            let rows: Vec<_> = rows.into_iter().map(|(s, name)| (seat(s), format!("學生{name}"))).collect();
            roster::replace(register, 1, &rows)
        }
        Deeds::Import(rows) => {
            let rows: String = rows.iter().map(|(n, c, s)| format!("11201{n:02},學生{n},班{c},{s}\n")).collect();
            let text = format!("學號,姓名,班級,座號\n{rows}");
            import::plan(register, List::Students, &table(&text), 60, codes(), NOW).unwrap().changes
        }
    };
    // `execute` itself asserts that no seat is given twice.
    execute(register, &changes);
}

proptest! {
    #[test]
    fn whatever_people_do_papers_and_devices_stay_in_order(all in prop::collection::vec(deeds(), 0..60)) {
        let mut register = school(5, 4);
        for deed in all {
            let before = register.clone();
            apply(&mut register, deed);
            // One device, one student, and never to someone who withdrew.
            let mut devices: Vec<i64> = register.loans.values().map(|loan| loan.device).collect();
            let mut students: Vec<i64> = register.loans.values().map(|loan| loan.student).collect();
            let open = register.loans.len();
            devices.sort_unstable(); devices.dedup(); students.sort_unstable(); students.dedup();
            prop_assert_eq!((devices.len(), students.len()), (open, open));
            for loan in register.loans.values() {
                prop_assert!(register.students.contains_key(&loan.student));
                let state = consent::state(&register, loan.student);
                prop_assert!(state != ConsentState::Withdrawn || loan.stopped_at.is_some());
                prop_assert!(state != ConsentState::Both || loan.stopped_at.is_none());
            }
            // A student with papers is never forgotten, and no signature changes hands.
            for student in before.students.values().filter(|student| before.has_papers(student.id)) {
                let after = register.students.get(&student.id);
                prop_assert!(after.is_some());
                prop_assert_eq!(after.and_then(|after| after.number.clone()), student.number.clone());
            }
            for (old, new) in before.signatures.iter().zip(&register.signatures) {
                prop_assert_eq!((old.student, old.party), (new.student, new.party));
            }
            let all = register::all_facts(&register, NOW);
            for id in register.students.keys() {
                prop_assert_eq!(register::facts(&register, *id, NOW), all.get(id).copied());
            }
            let mut numbers: Vec<_> = register.students.values().filter_map(|s| s.number.clone()).collect();
            let count = numbers.len();
            numbers.sort(); numbers.dedup();
            prop_assert_eq!(numbers.len(), count);
        }
    }

    #[test]
    fn no_file_is_too_strange(rows in prop::collection::vec(prop::collection::vec("\\PC{0,12}", 0..6), 0..12)) {
        let mut text = vec![vec!["學號".to_owned(), "姓名".into(), "班級".into(), "座號".into()]];
        text.extend(rows);
        let plan = import::plan(&Register::default(), List::Students, &text, 60, codes(), NOW).unwrap();
        let filled = text[1..].iter().filter(|row| row.iter().any(|c| !register::text::trimmed(c).is_empty())).count();
        prop_assert_eq!(plan.preview.rows.len() + plan.preview.left_out, filled, "every row is told, good or wrong");
        execute(&mut Register::default(), &plan.changes);
    }
}

#[test]
fn the_policy_is_told_devices_and_consents_and_no_names() {
    use appliance_core::{
        policy::{Consent, DeviceState, Trouble},
        register::known,
    };
    let mut register = lent();
    let gone = consent::withdraw(&register, 2, Party::Guardian, NOW, "主任").unwrap();
    execute(&mut register, &gone);
    let seen = Seen {
        cards: BTreeMap::from([(ip(1), mac(1)), (ip(2), mac(2)), (ip(9), mac(0x99)), (ip(254), mac(0xfe))]),
        seats: BTreeMap::from([(ip(1), seat(3)), (ip(2), seat(2))]),
        trusted: [ip(254)].into(),
    };
    let all = known::devices(&register, &whereabouts(&register, &seen, Some(1)));
    let of = |last| all.iter().find(|known| known.addresses.contains(&ip(last)));
    let facts = |last| of(last).map(|known| (known.device, known.consent, known.trouble.clone()));
    assert_eq!(facts(1), Some((DeviceState::Lent, Some(Consent::Given), vec![Trouble::AnotherStudents])));
    assert_eq!(facts(2), Some((DeviceState::Lent, Some(Consent::Withdrawn), vec![])));
    assert_eq!(facts(9), None, "what is not registered is not known");
    assert_eq!(facts(254), Some((DeviceState::Staff, None, vec![])));
    let found = whereabouts(&register, &seen, Some(1));
    let who = |n| known::subject(&register, &found, 1, seat(n));
    let code = |id: i64| Some(register.devices[&id].facts.code.clone());
    assert_eq!(who(3), (Some("1120103".into()), code(1)), "the device that is seen, not the one that is lent");
    assert_eq!(who(1), (Some("1120101".into()), code(1)), "nothing seen: the one that is lent");
    assert_eq!(who(99), (None, None));
    let told = serde_json::to_string(&all).unwrap();
    assert!(!told.contains("學生") && !told.contains("11201"), "{told}");
}
