//! The school's register: students, classes, devices, loans and consents, and every decision about them.
//!
//! A shell loads a [`Register`], asks one of the deciding functions and executes the [`Change`]s in the same
//! transaction, all or none. Sources: R-POL-1, -2, -8, -23, -24; 004 柒二(一)(二), 捌五(一).

pub mod borrowed;
pub mod consent;
pub mod device;
pub mod import;
pub mod known;
pub mod loan;
pub mod presence;
pub mod roster;
pub mod text;

use std::collections::BTreeMap;

use classroom_protocol::{Millis, Seat};
use serde::{Deserialize, Serialize};

pub use consent::{ConsentState, ConsentText, Party, Quorum, Signature, Way};
pub use device::{Device, DeviceFacts, Kind, State};
pub use loan::{Condition, Lent, Loan, LoanState};
pub use text::{Mac, StudentNumber, Wrong};

/// Number of a class; not used again.
pub type ClassId = i64;
/// Number of a student in the box; stays the same whatever happens to class, seat and name.
pub type StudentId = i64;
/// Number of a device; not used again.
pub type DeviceId = i64;
/// Number of a loan.
pub type LoanId = i64;

/// A student of the school.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Student {
    /// Stable number in the box.
    pub id: StudentId,
    /// 學號; none for those of a list that a teacher pasted without numbers.
    pub number: Option<StudentNumber>,
    /// Name as the teacher calls it.
    pub name: String,
    /// Class and seat; none for who has left the class but whose papers or device are still here.
    pub place: Option<(ClassId, Seat)>,
}

/// All that decisions about the register need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register {
    /// Names of the classes.
    pub classes: BTreeMap<ClassId, String>,
    /// Everyone.
    pub students: BTreeMap<StudentId, Student>,
    /// All devices.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Loans that have not ended.
    pub loans: BTreeMap<LoanId, Loan>,
    /// All signatures, withdrawn ones too.
    pub signatures: Vec<Signature>,
    /// The texts that were ever published, by version.
    pub texts: BTreeMap<u32, ConsentText>,
}

/// A class that is there, or one to be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClassRef {
    /// This one.
    Known(ClassId),
    /// The one of this name, made when it is first needed.
    Named(String),
}

/// What the shell has to keep. The order matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The student gives up the seat, for another one or for nobody.
    Vacate(StudentId),
    /// A new student, or an old one's new data.
    Place {
        /// Who, if there already.
        student: Option<StudentId>,
        /// 學號.
        number: Option<StudentNumber>,
        /// Name.
        name: String,
        /// Class.
        class: ClassRef,
        /// Seat.
        seat: Seat,
    },
    /// Nothing of the student is kept any more.
    Forget(StudentId),
    /// A new device, or an old one's new data.
    PutDevice {
        /// Which, if there already.
        device: Option<DeviceId>,
        /// What is known of it.
        facts: DeviceFacts,
        /// When.
        at: Millis,
    },
    /// A device is handed out.
    Lend {
        /// Which.
        device: DeviceId,
        /// To whom.
        student: StudentId,
        /// Last moment of the loan.
        due: Millis,
        /// When.
        at: Millis,
        /// Name of who recorded it.
        by: String,
    },
    /// A device came back.
    TakeBack {
        /// Which loan.
        loan: LoanId,
        /// How it is.
        condition: Condition,
        /// When.
        at: Millis,
        /// Name of who recorded it.
        by: String,
    },
    /// The loan is over although the device has not come back yet.
    StopLoan {
        /// Which loan.
        loan: LoanId,
        /// When.
        at: Millis,
    },
    /// A loan that was stopped goes on.
    ResumeLoan {
        /// Which loan.
        loan: LoanId,
    },
    /// Someone has signed.
    Sign(Signature),
    /// All signatures of a party that stand are withdrawn.
    Withdraw {
        /// Whose consent.
        student: StudentId,
        /// Who withdraws.
        party: Party,
        /// When.
        at: Millis,
        /// Name of who recorded it.
        by: String,
    },
    /// A new version of the text.
    Publish(ConsentText),
}

impl Register {
    /// The loan of a student that has not ended.
    pub fn loan_of(&self, student: StudentId) -> Option<(LoanId, &Loan)> {
        self.loans.iter().find(|(_, loan)| loan.student == student).map(|(id, loan)| (*id, loan))
    }

    /// The loan of a device that has not ended.
    pub fn loan_of_device(&self, device: DeviceId) -> Option<(LoanId, &Loan)> {
        self.loans.iter().find(|(_, loan)| loan.device == device).map(|(id, loan)| (*id, loan))
    }

    /// The students of a class, by seat.
    pub fn class(&self, class: ClassId) -> BTreeMap<Seat, &Student> {
        let here = |student: &'_ &Student| student.place.is_some_and(|(of, _)| of == class);
        self.students.values().filter(here).filter_map(|s| Some((s.place?.1, s))).collect()
    }

    /// Whether anything but the name would be lost with this student: a number, a signature, a loan.
    pub fn has_papers(&self, student: StudentId) -> bool {
        self.students.get(&student).is_some_and(|student| student.number.is_some())
            || self.signatures.iter().any(|signature| signature.student == student)
            || self.loan_of(student).is_some()
    }
}

/// What the policy asks of a student (R-POL-4, -23, -24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudentFacts {
    /// Both signatures.
    pub consent: ConsentState,
    /// Whether the class takes part.
    pub class_takes_part: bool,
    /// The loan.
    pub loan: LoanState,
}

/// The facts of a student at `now`; `None` for one who is not in the register.
pub fn facts(register: &Register, student: StudentId, now: Millis) -> Option<StudentFacts> {
    let place = register.students.get(&student)?.place;
    Some(StudentFacts {
        consent: consent::state(register, student),
        class_takes_part: place.is_some_and(|(class, _)| consent::quorum(register, class).reached),
        loan: loan::state(register, student, now),
    })
}

/// [`facts`] of everyone, in one pass: a school has a thousand students and three thousand signatures.
pub fn all_facts(register: &Register, now: Millis) -> BTreeMap<StudentId, StudentFacts> {
    let states = consent::states(register);
    let quorums = consent::quorums(register, &states);
    let lent: BTreeMap<StudentId, LoanState> =
        register.loans.values().map(|lent| (lent.student, loan::state_of(lent, now))).collect();
    let one = |(id, student): (&StudentId, &Student)| {
        let takes_part = student.place.and_then(|(class, _)| quorums.get(&class)).is_some_and(|quorum| quorum.reached);
        let facts = StudentFacts {
            consent: states.get(id).copied().unwrap_or(ConsentState::Missing),
            class_takes_part: takes_part,
            loan: lent.get(id).copied().unwrap_or(LoanState::None),
        };
        (*id, facts)
    };
    register.students.iter().map(one).collect()
}
