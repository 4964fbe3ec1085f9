//! `appliance`: the hub of the classroom box.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use appliance::{
    app, card, clock,
    config::{Config, PATH},
    console, doctor, invite, policy, resolver,
    store::backup,
    telemetry,
};

const HELP: &str = "\
appliance serve   [--config FILE]          run the hub
appliance resolver [--config FILE]         run the room's DNS, in a process of its own
appliance policy  [FILE]                   check a policy document; without a file print the one of the box
appliance doctor  [--config FILE] [--json] say what is wrong with this machine, in sentences
appliance card    [--config FILE] --card FOLDER --into FOLDER
                                           lay FOLDER's classroom.toml over the configuration, tell what is wrong with it
appliance invite  [ACCOUNT] [--config FILE]
                                           print a one-time code for a further account, or for a new password of ACCOUNT;
                                           for who may read the data folder, beside a running hub too
appliance routes                           print every route with its rule, as JSON
appliance backup [DIR] [--config FILE]     copy everything but the library's content into DIR (the folder of [backup]),
                                           encrypted, beside a running hub, check it, and let the oldest go
appliance restore DIR --key FILE [--config FILE]
                                           bring back the newest backup of DIR; FILE is the box's store.key
appliance --version";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the log may not be set up yet, and a person is waiting")]
fn complain(error: &anyhow::Error) {
    eprintln!("appliance: {error:#}");
}

#[expect(clippy::print_stdout, reason = "the commands' output")]
fn run(arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let mut words = arguments.into_iter();
    let command = words.next().unwrap_or_default();
    let mut file = None::<PathBuf>;
    let (mut from, mut into) = (None::<PathBuf>, None::<PathBuf>);
    let (mut config, mut json, mut key, mut place) = (None::<PathBuf>, false, None::<PathBuf>, None::<PathBuf>);
    let takes_folder = matches!(command.as_str(), "backup" | "restore");
    let mut account = None::<String>;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--config" => config = Some(words.next().context("--config needs a file")?.into()),
            "--json" => json = true,
            "--card" => from = Some(words.next().context("--card needs a folder")?.into()),
            "--into" => into = Some(words.next().context("--into needs a folder")?.into()),
            other if command == "policy" && file.is_none() && !other.starts_with('-') => file = Some(other.into()),
            name if command == "invite" && account.is_none() && !name.starts_with('-') => account = Some(name.into()),
            "--key" => key = Some(words.next().context("--key needs a file")?.into()),
            folder if takes_folder && place.is_none() && !folder.starts_with('-') => place = Some(folder.into()),
            other => anyhow::bail!("unknown word {other:?}\n\n{HELP}"),
        }
    }
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match command.as_str() {
        "serve" => {
            let config = Config::load(config.as_deref())?;
            telemetry::init(&config.log)?;
            runtime()?.block_on(app::serve(config))?;
            Ok(ExitCode::SUCCESS)
        }
        "resolver" => {
            let config = Config::load(config.as_deref())?;
            telemetry::init(&config.log)?;
            // One thread: a room asks a few thousand times a second at most, and to wake another costs more than an answer.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(resolver::run(config))?;
            Ok(ExitCode::SUCCESS)
        }
        "policy" => {
            let (text, well) = policy::examine(file.as_deref(), console::language())?;
            println!("{text}");
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        "doctor" => {
            let config = Config::load(config.as_deref())?;
            let (text, well) = doctor::report(&doctor::examine(&config, clock::now()), console::language(), json);
            println!("{text}");
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        "card" => {
            let base = config.as_deref().unwrap_or(Path::new(PATH));
            let (from, into) = (from.context("card needs --card FOLDER")?, into.context("card needs --into FOLDER")?);
            if let Some(notice) = card::settle(base, &from, &into, console::language())?.notice {
                console::notice(&notice);
            }
            Ok(ExitCode::SUCCESS)
        }
        "invite" => {
            let config = Config::load(config.as_deref())?;
            let (folder, lang) = (&config.store.path, console::language());
            println!("{}", invite::invite(folder, account.as_deref(), clock::now(), lang)?);
            Ok(ExitCode::SUCCESS)
        }
        "routes" => {
            println!("{}", serde_json::to_string_pretty(&runtime()?.block_on(app::route_table())?)?);
            Ok(ExitCode::SUCCESS)
        }
        "backup" | "restore" => {
            let config = Config::load(config.as_deref())?;
            let data = &config.store.path;
            let (what, done) = if command == "backup" {
                let (place, keep) = (place.unwrap_or_else(|| config.backup_folder()), config.backup.keep);
                let made = backup::make(data, &place, clock::now())?;
                backup::prune(&place, keep.get().into(), &made)?;
                ("made and checked", made)
            } else {
                let (place, key) = (place.context("restore needs a folder")?, key.context("restore needs --key FILE")?);
                ("restored and counted", backup::restore(&place, &key, data, clock::now())?)
            };
            println!("{what}: {}", done.file.display());
            for (table, rows) in &done.contents.rows {
                println!("{rows:>10}  {table}");
            }
            if command == "backup" {
                println!(
                    "keep a copy of {} elsewhere: without it nobody can read this",
                    data.join("store.key").display()
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        "--version" | "version" => {
            println!("appliance {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            println!("{HELP}");
            Ok(if command == "--help" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
