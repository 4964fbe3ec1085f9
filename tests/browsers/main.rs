//! The classroom as people have it: real browsers with the real pages, real screen pixels, the panel's real window, and
//! a WebRTC client that is not ours. Run with `--test-threads=1`: each test needs the machine for itself.
// What was measured is worth a line of the output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod class;
mod desk;
mod interop;
mod library;
mod month;
mod panel_page;
mod record;
mod school;
mod tablets;
mod told;
