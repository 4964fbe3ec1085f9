//! Section by section: what a card may not say, the files that its keys name, and whether the hub can use what came of it.
//! A section that can't be used goes back to the box's own, so that one slip costs no more than what it is about.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use classroom_protocol::catalogue::{Lang, text};
use toml::{Table, Value};

use super::write;
use crate::{
    config::{Config, ConfigError, Listen},
    delivery,
    relay::Relay,
    telemetry,
};

/// Sockets and folders: they fit the units and the partitions of the image, which no card can change.
const OWN: [(&str, &str); 12] = [
    ("room", "notice"),
    ("http", "listen"),
    ("https", "listen"),
    ("https", "redirect"),
    ("media", "udp"),
    ("media", "tcp"),
    ("resolver", "listen"),
    ("policy", "portal"),
    ("policy", "from"),
    ("store", "path"),
    ("backup", "folder"),
    ("library", "path"),
];
/// Files that lie on the card beside `classroom.toml`. Those of [https] are checked with each other.
const FILES: [(&str, &str); 5] = [
    ("home", "secret_file"),
    ("metrics", "bearer_file"),
    ("upstream", "credentials_file"),
    ("upstream", "ca_file"),
    ("upstream", "vocabulary_file"),
];
/// Ports below are not the hub's to open.
const FIRST_PORT: u16 = 1024;
/// The port of `systemd/classroom-media.socket`.
const MEDIA_PORT: u16 = 8801;

/// Takes what is the box's own out of a card. What stands there as the box has it anyway is no slip.
pub(super) fn without_own(card: &mut Table, base: &Table, lang: Lang) -> Vec<String> {
    let mut wrong = vec![];
    for (section, key) in OWN {
        let said = card.get_mut(section).and_then(Value::as_table_mut).and_then(|table| table.remove(key));
        let own = base.get(section).and_then(|table| table.get(key));
        let opens = (section, key) == ("https", "listen") && said == Some(Value::from(vec![super::OPENS]));
        if said.is_some() && said.as_ref() != own && !opens {
            wrong.push(format!("[{section}] {key}: {}", text(lang, "console.card-own")));
        }
    }
    wrong
}

/// Brings the files that the card names to where the hub may read them, and has the configuration name them there.
pub(super) fn files(table: &mut Table, card: &Table, base: &Table, folder: &Path, into: &Path) -> Vec<String> {
    let mut wrong = vec![];
    for (section, key) in FILES {
        let Some(name) = card.get(section).and_then(|table| table.get(key)?.as_str()) else { continue };
        let to = brought(into, section, key);
        match fs::read(folder.join(name)).and_then(|bytes| write(&to, &bytes)) {
            Ok(()) => set(table, section, key, &to),
            Err(error) => {
                wrong.push(format!("[{section}] {key}: {name}: {error}"));
                go_back(table, base, section);
            }
        }
    }
    wrong
}

/// Where a file that a key names is brought to.
fn brought(into: &Path, section: &str, key: &str) -> PathBuf {
    into.join(format!("{section}.{key}"))
}

/// Puts every section that the hub can't use back to the box's own.
///
/// # Errors
/// What is wrong when that does not help.
pub(super) fn usable(
    table: &mut Table,
    base: &Table,
    card: &Table,
    into: &Path,
    lang: Lang,
) -> Result<Vec<String>, String> {
    let mut wrong = vec![];
    // People know the files by their names on the card.
    let as_on_card = |reason: String| {
        FILES.iter().fold(reason, |reason, (section, key)| {
            let name = card.get(*section).and_then(|table| table.get(key)?.as_str()).unwrap_or_default();
            reason.replace(&*brought(into, section, key).to_string_lossy(), name)
        })
    };
    // Each time a section goes back there is one less that can be wrong.
    for _ in 0..=table.len() {
        let Err((section, reason)) = tried(table, lang) else { return Ok(wrong) };
        if !section.as_ref().is_some_and(|section| table.get(section) != base.get(section)) {
            return Err(as_on_card(reason));
        }
        wrong.push(as_on_card(reason));
        go_back(table, base, &section.unwrap_or_default());
    }
    Err(wrong.join("; "))
}

/// Reads all that the hub reads when it starts. Says which section is wrong, if it is one, and why.
fn tried(table: &Table, lang: Lang) -> Result<(), (Option<String>, String)> {
    let whole = toml::to_string(table).map_err(|error| (None, error.to_string()))?;
    let config = Config::parse(&whole, Path::new(super::FILE)).map_err(|error| match error {
        ConfigError::Value { field, reason, .. } => {
            let section = field.trim_start_matches('[').split(']').next().map(str::to_owned);
            (section, format!("{field}: {reason}"))
        }
        other => (None, other.to_string()),
    })?;
    let of = |section: &str, reason: String| (Some(section.to_owned()), reason);
    doors(&config).map_err(|(section, key)| of(section, format!("[{section}] listen: {}", text(lang, key))))?;
    telemetry::filter(&config.log).map_err(|error| of("log", error.to_string()))?;
    Relay::load(config.home.relays.clone(), config.home.secret_file.as_deref())
        .map_err(|reason| of("home", format!("[home] secret_file: {reason}")))?;
    telemetry::bearer(config.metrics.bearer_file.as_deref()).map_err(|error| of("metrics", format!("{error:#}")))?;
    delivery::means(&config.upstream).map_err(|error| of("upstream", format!("{error:#}")))?;
    Ok(())
}

/// The doors that a card may open: ports of their own, which the hub may open whatever addresses the box gets. Else the
/// section and the key of the sentence that says what is wrong.
fn doors(config: &Config) -> Result<(), (&'static str, &'static str)> {
    let mut taken: BTreeSet<u16> = config.http.listen.iter().filter_map(Listen::port).chain([MEDIA_PORT]).collect();
    for (section, listen) in [("home", &config.home.listen), ("agents", &config.agents.listen)] {
        for one in listen {
            let wrong = match one {
                Listen::Systemd(_) => Some("console.card-socket"),
                Listen::Address(at) if !(at.ip().is_unspecified() || at.ip().is_loopback()) => {
                    Some("console.card-socket")
                }
                Listen::Address(at) if at.port() < FIRST_PORT => Some("console.card-port"),
                Listen::Address(at) if !taken.insert(at.port()) => Some("console.card-port-taken"),
                Listen::Address(_) => None,
            };
            if let Some(key) = wrong {
                return Err((section, key));
            }
        }
    }
    Ok(())
}

/// The box's own section, or none.
fn go_back(table: &mut Table, base: &Table, section: &str) {
    table.remove(section);
    table.extend(base.get(section).map(|own| (section.to_owned(), own.clone())));
}

fn set(table: &mut Table, section: &str, key: &str, path: &Path) {
    if let Some(Value::Table(section)) = table.get_mut(section) {
        section.insert(key.into(), path.to_string_lossy().into_owned().into());
    }
}
