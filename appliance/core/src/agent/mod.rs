//! The agent of a take-home device: what it takes as its rules, what counts as use, which programs it speaks of, what
//! looks like a changed clock (R-POL-3, -12, -14, -18, -19; R-USE-2). The agent's program executes; here is decided.

mod clock;
mod meter;
mod orders;
mod programs;
mod refusals;
mod report;
mod situation;
mod today;
mod waiting;

pub use clock::{Jump, JumpWatch};
pub use meter::{Meter, Use};
pub use orders::{Orders, Refused, accept, unreadable};
pub use programs::{Program, judge};
pub use refusals::RefusalCount;
pub use report::{Report, told, told_days};
pub use situation::{Contact, Missed, Situation, by_network, programs_now};
pub use today::Today;
pub use waiting::{Shelf, Waiting};
