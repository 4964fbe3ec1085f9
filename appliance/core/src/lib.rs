//! Decides, never does: rooms, lessons, the stage and the forwarding choices of the classroom box.
//!
//! Inputs and `now` go in, effects come out as data. Nothing in this crate reads a clock, a socket, a file or a
//! source of randomness; ids and codes are arguments. So a whole lesson is tested in microseconds.

// Any instant serves as the beginning of virtual time, and what a test counts decides nothing.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod access;
pub mod agent;
pub mod alarm;
pub mod backups;
pub mod calendar;
pub mod crowd;
pub mod figures;
pub mod forward;
pub mod home;
pub mod library;
pub mod lived;
pub mod names;
pub mod pace;
pub mod pairing;
pub mod policy;
pub mod proxied;
pub mod reach;
pub mod register;
pub mod room;
pub mod servers;
pub mod throttle;
pub mod uplink;
pub mod usage;
