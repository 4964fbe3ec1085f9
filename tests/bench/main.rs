//! `make bench`: measures the box against its goals and, in the same run, against what others ship.
//!
//! `bench [--only FAMILY] [--rounds N]`; a family is a file here. The rounds alternate ours and the peer's, so that
//! what else the machine does falls on both; the medians are told, with their spread.
#![allow(clippy::print_stdout, reason = "printing the table is what this program is for")]

mod agent;
mod cast;
mod direct;
mod glass;
mod image;
mod janus;
mod library;
mod live;
mod memory;
mod nginx;
mod panel;
mod peer;
mod policy;
mod report;
mod room;
mod swarm;
mod usage;
mod whole;

use std::{env, process::ExitCode};

use anyhow::{Context, Result, bail};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Run only this family or this key.
    pub(crate) only: Option<String>,
    /// Rounds of each measure.
    pub(crate) rounds: usize,
}

impl Settings {
    fn from_args() -> Result<Self> {
        let mut settings = Self { only: None, rounds: 3 };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--only" => settings.only = Some(value()?).filter(|only| !only.is_empty()),
                "--rounds" => settings.rounds = value()?.parse().context("--rounds is a number")?,
                _ => bail!("usage: bench [--only FAMILY or KEY] [--rounds N]"),
            }
        }
        Ok(settings)
    }

    /// Whether a key is to be measured.
    pub(crate) fn wants(&self, key: &str) -> bool {
        let family = key.split('.').next().unwrap_or_default();
        self.only.as_deref().is_none_or(|only| only == family || only == key)
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let settings = Settings::from_args()?;
    let mut rows = Vec::new();
    cast::run(&settings, &mut rows).await;
    agent::run(&settings, &mut rows).await;
    image::run(&settings, &mut rows);
    live::run(&settings, &mut rows).await;
    library::run(&settings, &mut rows).await;
    tokio::task::block_in_place(|| policy::run(&settings, &mut rows));
    usage::run(&settings, &mut rows).await;
    tokio::task::block_in_place(|| whole::run(&settings, &mut rows));
    if rows.is_empty() {
        bail!("no measure is called {:?}", settings.only);
    }
    print!("{}", report::table(&rows));
    // Beside the profile's folder that this program and the programs it measures are in: `target`.
    let path = env::current_exe()?.ancestors().nth(2).context("the target folder")?.join("bench.json");
    report::save(&path, &rows)?;
    println!("written to {}", path.display());
    // A goal that is missed is told, not hidden; it is for people to judge and no failure of the measuring.
    Ok(ExitCode::SUCCESS)
}
