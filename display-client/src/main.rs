//! The panel's window. Reads its options, finds a window that works, pairs with the room, and from then on shows what
//! the hub puts on stage and nothing else.
//!
//! `link` hears the hub, `stage` decides, `player` and `rig` fetch the casts, `painter` draws them, `app` wires.

mod app;
mod draw;
mod geometry;
mod hub;
mod keeping;
mod link;
mod options;
mod painter;
mod pictures;
mod player;
mod rig;
mod screen;
mod slot;
mod spare;
mod sprite;
mod stage;
mod window;

use std::{io::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// How long work that nobody needs any more may hold up the end.
const LEFTOVERS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            // Standard error is the last resort; when it is closed there is nobody to tell.
            drop(writeln!(std::io::stderr(), "display-client: {error:#}"));
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
    gstreamer::init().context("GStreamer does not start")?;
    // GStreamer's own threads do the media; these two carry HTTP and the link.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(app::run(options));
    // A session that is just being made is not waited for.
    runtime.shutdown_timeout(LEFTOVERS);
    ended
}
