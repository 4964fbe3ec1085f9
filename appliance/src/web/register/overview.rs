//! The whole register as the office's page shows it.

use appliance_core::{
    calendar,
    register::{
        self, ConsentState, ConsentText, DeviceFacts, LoanState, Party, Quorum, Register, StudentNumber, Way, consent,
        loan,
    },
};
use axum::extract::State;
use classroom_protocol::{Millis, Seat};
use serde::Serialize;

use super::{RegisterState, store};
use crate::{clock, web::reply::Refusal};

/// The register for the page.
#[derive(Debug, Serialize)]
pub struct Overview {
    classes: Vec<ClassRow>,
    students: Vec<StudentRow>,
    devices: Vec<DeviceRow>,
    /// The text that is signed now.
    text: Option<ConsentText>,
    /// Signatures under earlier versions no longer count.
    oldest_that_counts: Option<u32>,
    /// The last day of this school year, which a loan is offered to end on.
    school_year_ends: String,
    /// The box's clock.
    now: Millis,
}

#[derive(Debug, Serialize)]
struct ClassRow {
    id: i64,
    name: String,
    #[serde(flatten)]
    quorum: Quorum,
}

#[derive(Debug, Serialize)]
struct StudentRow {
    id: i64,
    number: Option<StudentNumber>,
    name: String,
    class: Option<i64>,
    seat: Option<Seat>,
    consent: ConsentState,
    student_signed: Option<SignedRow>,
    guardian_signed: Option<SignedRow>,
    loan: Option<LoanRow>,
}

#[derive(Debug, Serialize)]
struct SignedRow {
    version: u32,
    way: Way,
    at: Millis,
}

#[derive(Debug, Serialize)]
struct LoanRow {
    id: i64,
    device: i64,
    lent_at: Millis,
    due: String,
    state: LoanState,
}

#[derive(Debug, Serialize)]
struct DeviceRow {
    id: i64,
    #[serde(flatten)]
    facts: DeviceFacts,
    student: Option<i64>,
}

/// `GET /api/school`.
///
/// # Errors
/// `internal` when the store fails.
pub async fn overview(State(state): State<RegisterState>) -> Result<axum::Json<Overview>, Refusal> {
    let register = state.registers.load().await.map_err(store)?;
    Ok(axum::Json(of(&register, clock::now())))
}

fn of(register: &Register, now: Millis) -> Overview {
    let facts = register::all_facts(register, now);
    let oldest = consent::oldest_that_counts(register);
    let signed = |student, party: Party| {
        let stands = register.signatures.iter().rev().find(|s| {
            s.student == student && s.party == party && s.withdrawn_at.is_none() && Some(s.version) >= oldest
        });
        stands.map(|s| SignedRow { version: s.version, way: s.way, at: s.at })
    };
    let day = |at| calendar::day_of(at).map(calendar::Day::text).unwrap_or_default();
    let class =
        |(id, name): (&i64, &String)| ClassRow { id: *id, name: name.clone(), quorum: consent::quorum(register, *id) };
    let mut students: Vec<StudentRow> = register
        .students
        .values()
        .map(|student| StudentRow {
            id: student.id,
            number: student.number.clone(),
            name: student.name.clone(),
            class: student.place.map(|(class, _)| class),
            seat: student.place.map(|(_, seat)| seat),
            consent: facts.get(&student.id).map_or(ConsentState::Missing, |facts| facts.consent),
            student_signed: signed(student.id, Party::Student),
            guardian_signed: signed(student.id, Party::Guardian),
            loan: register.loan_of(student.id).map(|(id, lent)| LoanRow {
                id,
                device: lent.device,
                lent_at: lent.lent_at,
                due: day(lent.due),
                state: loan::state_of(lent, now),
            }),
        })
        .collect();
    students.sort_by_key(|student| (student.class.is_none(), student.class, student.seat, student.id));
    let device = |device: &register::Device| DeviceRow {
        id: device.id,
        facts: device.facts.clone(),
        student: register.loan_of_device(device.id).map(|(_, loan)| loan.student),
    };
    Overview {
        classes: register.classes.iter().map(class).collect(),
        students,
        devices: register.devices.values().map(device).collect(),
        text: register.texts.values().next_back().cloned(),
        oldest_that_counts: oldest,
        school_year_ends: calendar::day_of(now).map(|day| day.school_year_ends().text()).unwrap_or_default(),
        now,
    }
}
