//! The command line and the file of options.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use classroom_protocol::agent::EnrolCode;
use serde::Deserialize;

use crate::words::ForPeople;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
classroom-agent enrol CODE [--box NAME:PORT]   enrol this device with the code that the box shows
classroom-agent run                            keep the rules, count use, tell the box
classroom-agent unenrol                        tell the box what is left, and end the enrolment

  --config FILE      options                               [/etc/classroom/agent.toml, if it is there]
  --state FOLDER     where certificate, rules and records are kept   [/var/lib/classroom-agent]
  --test-clock FILE  the time that decisions are made at, in milliseconds since 1970: for tests of the agent only
";

const CONFIG: &str = "/etc/classroom/agent.toml";
const STATE: &str = "/var/lib/classroom-agent";

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Enrol with this code, at the box with this address or the one that is found.
    Enrol { code: EnrolCode, at: Option<String> },
    /// Run until told to stop.
    Run,
    /// End the enrolment.
    Unenrol,
}

/// Everything that was asked.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Command,
    pub(crate) config: Config,
    pub(crate) config_file: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) test_clock: Option<PathBuf>,
}

/// The file of options. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Addresses of the box (`name:port`) beside those that are found by mDNS.
    pub(crate) boxes: Vec<String>,
    /// Where the device's DNS questions are answered.
    pub(crate) dns: SocketAddr,
    /// Name servers above. None: those of the network (`resolv_conf`).
    pub(crate) upstream: Vec<SocketAddr>,
    /// Where the network's name servers are written, in the form of resolv.conf(5); the first file that is there.
    pub(crate) resolv_conf: Vec<PathBuf>,
    /// Where the page for the student is.
    pub(crate) page: SocketAddr,
    /// Seconds between contacts with the box in the room.
    pub(crate) contact_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            boxes: vec![],
            dns: SocketAddr::from(([127, 0, 0, 1], 53)),
            upstream: vec![],
            resolv_conf: ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/resolv.conf", "/etc/resolv.conf"]
                .map(PathBuf::from)
                .into(),
            page: SocketAddr::from(([127, 0, 0, 1], 8970)),
            contact_seconds: 10,
        }
    }
}

impl Config {
    /// Reads a file of options.
    ///
    /// # Errors
    /// With the line that is wrong, or the key and the mend.
    fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        for (key, address) in [("dns", config.dns), ("page", config.page)] {
            if !address.ip().is_loopback() {
                bail!(
                    "{key} = \"{address}\": only this device may ask; write an address of the loopback, e.g. 127.0.0.1"
                );
            }
        }
        if !(1..=3600).contains(&config.contact_seconds) {
            bail!("contact_seconds = {}: write 1 to 3600", config.contact_seconds);
        }
        Ok(config)
    }
}

impl Options {
    /// Reads the arguments after the program's name. `None`: print the help.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>> {
        let mut args = args.into_iter();
        let (mut words, mut at, mut config_file, mut state, mut test_clock) = (vec![], None, None, None, None);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--box" => at = Some(value()?),
                "--config" => config_file = Some(PathBuf::from(value()?)),
                "--state" => state = Some(PathBuf::from(value()?)),
                "--test-clock" => test_clock = Some(PathBuf::from(value()?)),
                other if other.starts_with('-') => bail!("unknown option {other}; see --help"),
                _ => words.push(arg),
            }
        }
        let command = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["run"] => Command::Run,
            ["unenrol"] => Command::Unenrol,
            ["enrol", ref code @ ..] if !code.is_empty() => Command::Enrol {
                code: EnrolCode::parse(&code.concat()).map_err(|_| ForPeople::new("agent.error.no-code", &[]))?,
                at,
            },
            _ => return Ok(None),
        };
        let named = config_file.is_some();
        let config_file = config_file.unwrap_or_else(|| CONFIG.into());
        let config = match std::fs::read_to_string(&config_file) {
            Ok(text) => Config::parse(&text).with_context(|| config_file.display().to_string())?,
            Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => Config::default(),
            Err(error) => return Err(error).with_context(|| config_file.display().to_string()),
        };
        let state = state.unwrap_or_else(|| STATE.into());
        Ok(Some(Self { command, config, config_file, state, test_clock }))
    }
}

/// The name servers of a text in the form of resolv.conf(5), without this device itself.
pub(crate) fn name_servers(text: &str) -> Vec<SocketAddr> {
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
    };
    let addresses = text.lines().filter_map(of_line).filter(|address: &std::net::IpAddr| !address.is_loopback());
    addresses.map(|address| SocketAddr::new(address, 53)).collect()
}

/// What the first file that is there says.
pub(crate) fn first_of(files: &[PathBuf]) -> Vec<SocketAddr> {
    let read = |file: &PathBuf| std::fs::read_to_string(Path::new(file)).ok().map(|text| name_servers(&text));
    files.iter().filter_map(read).find(|found| !found.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_and_mistakes() {
        let parse = |text: &str| Options::parse(text.split_whitespace().map(str::to_owned));
        assert!(parse("").unwrap().is_none() && parse("--help").unwrap().is_none());
        assert_eq!(parse("run --state /x").unwrap().unwrap().command, Command::Run);
        let code = "ABCDE-FGHJK-AAAAA-AAAAA-AAAAA-A";
        let options = parse(&format!("enrol {code} --box 10.0.0.1:8442")).unwrap().unwrap();
        assert!(matches!(options.command, Command::Enrol { at: Some(at), .. } if at == "10.0.0.1:8442"));
        for wrong in ["enrol ABC", "run --speed 9", "run --config /nowhere.toml", "run --state"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_is_checked_and_the_example_says_the_defaults() {
        let told = |text: &str| Config::parse(text).unwrap_err().to_string();
        assert!(told("pagee = 1").contains("unknown field `pagee`"));
        assert!(told("dns = \"0.0.0.0:53\"").contains("only this device may ask"));
        assert!(told("contact_seconds = 0").contains("1 to 3600"));
        assert_eq!(Config::parse(include_str!("../agent.example.toml")).unwrap(), Config::default());
        assert_eq!(name_servers("nameserver 127.0.0.53\nnameserver 10.0.0.1\n#x\n").len(), 1);
    }
}
