//! What happened and counts (R-USE-1 … R-USE-6): one typed stream of [`Event`]s for everything that the box can see.
//!
//! An event is made where it happens, kept by the shell's recorder before anyone is told that it was, read by the usage
//! figures and delivered upstream. Nothing here keeps or sends.

pub mod event;
pub mod key;
pub mod outbox;
pub mod pseudonym;
pub mod schedule;
pub mod xapi;

pub use event::{BadEvent, Event, Fact, Kind, Place, Subject};
