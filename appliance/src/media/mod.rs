//! The forwarder: who publishes over WHIP is received here, who views over WHEP is served from here.
//!
//! One OS thread ([`hub`]) owns one UDP socket, one TCP listener and every session; nothing else touches them, so the packet
//! path takes no lock. The rest of the box talks to it through [`MediaHandle`]: a bounded queue of commands there, a
//! bounded queue of [`MediaEvent`]s back.

mod cert;
mod commands;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod handle;
mod hub;
mod keys;
mod net;
mod outside;
mod packet;
mod program;
mod publisher;
mod sdp;
mod seal;
mod sessions;
mod socket;
mod stun;
mod switchboard;
mod tcp;
mod types;
mod viewer;

pub use handle::{MediaHandle, start};
pub use types::{
    Answer, Door, LayerStats, Limits, MediaConfig, MediaError, MediaEvent, MediaStats, PublisherStats, SessionId,
    SourceStats, ViewerStats,
};

/// How long a session whose path is dead is kept, so that it can come back by itself.
pub const GRACE: std::time::Duration = std::time::Duration::from_secs(30);

pub use appliance_core::forward::Layer;
