//! The studio: what the room's camera and microphone (or the capture of the panel) give goes to the hub by WHIP.
//!
//! One process is one source. `feed` builds the pipeline, `hub` speaks WHIP, `keep` keeps the two together for ever: it
//! waits for a lesson, publishes, watches, and begins anew when anything stops.

mod feed;
mod hub;
mod keep;
mod options;
mod stamp;

use std::{io::Write as _, process::ExitCode};

use anyhow::{Context, Result};
use gstreamer as gst;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last resort; when it is closed there is nobody to tell.
            drop(writeln!(std::io::stderr(), "studio: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let filter = EnvFilter::try_from_env("CLASSROOM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let env = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
    let Some(options) = options::Options::parse(std::env::args().skip(1), env)? else {
        std::io::stdout().write_all(options::HELP.as_bytes())?;
        return Ok(());
    };
    gst::init().context("GStreamer does not start")?;
    // GStreamer's own threads do the media; this one carries HTTP.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let hub = hub::Hub::new(&options)?;
        tokio::select! {
            never = keep::publish(&options, hub) => never,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}
