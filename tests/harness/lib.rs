//! What the tests stand on: private networks, a bad link, real browsers, the real hub, bounded waiting.
//!
//! Nothing in here pretends: the hub, the browsers and the networks are the real ones. A test that needs time to pass
//! waits for a condition with a deadline ([`wait`]), never for a duration.

pub mod browser;
pub mod clip;
pub mod device;
pub mod flaky;
pub mod gateway;
pub mod home;
pub mod hub;
pub mod link;
pub mod load;
pub mod lrs;
pub mod netns;
pub mod notices;
pub mod origin;
pub mod outside;
pub mod pages;
pub mod panel;
pub mod people;
pub mod ports;
pub mod proc;
pub mod resolver;
pub mod school;
pub mod stamp;
pub mod studio;
pub mod talk;
pub mod video;
pub mod vm;
pub mod wait;
pub mod web;
