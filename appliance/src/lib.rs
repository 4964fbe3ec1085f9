//! The classroom hub: pages, WHIP/WHEP, the forwarder, rooms and lessons. `ARCHITECTURE.md` is the map.

pub mod app;
pub mod cache;
pub mod card;
pub mod clock;
pub mod config;
pub mod console;
pub mod discovery;
pub mod doctor;
mod effects;
pub mod keyfile;
pub mod library;
pub mod media;
pub mod neighbours;
pub mod net;
pub mod presence;
pub mod relay;
pub mod room;
pub mod staff;
pub mod store;
pub mod systemd;
pub mod tables;
pub mod telemetry;
pub mod thumbnails;
pub mod tls;
pub mod usage;
pub mod web;
