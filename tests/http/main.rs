//! What the hub answers to those who may not, and to input that is wrong. Each test has its own hub.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod alarms;
mod attendance;
mod attention;
mod bodies;
mod door;
mod figures;
mod home;
mod media;
mod names;
mod offer;
mod office;
mod origins;
mod pace;
mod record;
mod restless;
mod routes;
mod tokens;
