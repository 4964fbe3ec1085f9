//! The agent of a take-home device. A person enrols the device once with a code that the box shows; from then on the
//! agent keeps the school's rules, decides with them also where no box is, counts minutes of use, and tells the box when
//! it meets it.
//!
//! `link` talks to the box, `names` answers the device's DNS questions, `page` shows the student what applies and what
//! is recorded, `platform` looks at the machine, `state` holds everything, `app` wires. Deciding is the core's.

mod app;
mod clock;
mod find;
mod forward;
mod keep;
mod link;
mod names;
mod options;
mod page;
mod platform;
mod seals;
mod spool;
mod state;
mod trust;
mod words;

use std::{io::Write as _, process::ExitCode};

use anyhow::{Context as _, Result};
use options::{Command, Options};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last resort; when it is closed there is nobody to tell.
            drop(writeln!(std::io::stderr(), "classroom-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The DNS server's own lines would say at `info` which names were asked for: no such diary is kept (R-DATA-4).
const NO_DIARY: &str = "hickory_server=warn";

fn run() -> Result<()> {
    let wanted = std::env::var("CLASSROOM_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(format!("{NO_DIARY},{wanted}")).context("CLASSROOM_LOG")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        std::io::stdout().write_all(options::HELP.as_bytes())?;
        return Ok(());
    };
    // One thread: a student's device has better things to do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.command {
            Command::Enrol { ref code, ref at } => app::enrol(&options, code, at.as_deref()).await,
            Command::Run => app::run(&options).await,
            Command::Unenrol => app::unenrol(&options).await,
        }
    })
}
