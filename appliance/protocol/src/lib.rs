//! What two programs of the classroom box must agree on: names, views, commands and errors.
//!
//! Everything here is plain data with a JSON form. `openapi.json` is the golden form of it, from which the pages' types
//! are generated; a change that alters it is a change of the protocol. Nothing here decides, reads a clock or does I/O.

pub mod agent;
pub mod catalogue;
pub mod command;
pub mod id;
pub mod keeping;
pub mod openapi;
pub mod panel;
pub mod policy;
pub mod problem;
pub mod view;

pub use command::{HomeCommand, StudentCommand, TeacherCommand};
pub use id::{BadId, Seat, SourceId};
pub use problem::{Problem, ProblemCode};
pub use view::{Envelope, HomeView, PanelView, StudentView, TeacherView};

/// Milliseconds since 1970-01-01T00:00:00Z. All times in messages are of this kind.
pub type Millis = u64;
