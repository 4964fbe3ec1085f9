//! The library: content that is fetched once for the whole class, kept across crashes, served with the line cut. The
//! origin is a small server of the harness whose line is limited and which dies, changes and misbehaves as told.
// What was measured is worth a line of the output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod class;
mod crash;
mod many;
mod origins;
mod renewal;
mod room;
mod semantics;
mod streams;
mod uploads;
mod usage;
