//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use classroom_protocol::catalogue::Lang;
use reqwest::Url;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
display-client: the panel's window of the classroom box

  --hub URL           address of the hub                     [http://127.0.0.1:8080]
  --windowed          a window of 1280×720 instead of the full screen
  --name NAME         the panel's name when it is paired     [the machine's name]
  --lang zh|en        language of the panel's own words      [zh]
  --pair-token FILE   read the panel's token from a file, `-` for standard input, instead of pairing by a code
  --state-dir DIR     where the pairing is kept              [$STATE_DIRECTORY, $XDG_STATE_HOME/classroom-display]
  --sink NAME         GStreamer element that shows the picture [what works best here]
  --latency MS        how long to wait for a lost packet    [120]
  --sound ELEMENTS    where sound goes, in the words of gst-launch [autoaudiosink]
  --mute              play no sound
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) hub: Url,
    pub(crate) windowed: bool,
    pub(crate) name: String,
    pub(crate) lang: Lang,
    pub(crate) pair_token: Option<String>,
    pub(crate) state_dir: PathBuf,
    pub(crate) sink: Option<String>,
    pub(crate) latency: u32,
    pub(crate) sound: Option<String>,
    pub(crate) mute: bool,
}

/// Longest jitter buffer in milliseconds that makes any sense on a local network.
const LATENCY_MAX: u32 = 2_000;

impl Options {
    /// Reads the arguments after the program's name; `env` looks up environment variables. `None`: print the help.
    pub(crate) fn parse(
        args: impl IntoIterator<Item = String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        let mut args = args.into_iter();
        let (mut windowed, mut mute, mut latency, mut lang) = (false, false, 120, Lang::ZhHantTw);
        let (mut hub, mut name, mut pair_token, mut state_dir, mut sink, mut sound) =
            (None, None, None, None, None, None);
        while let Some(arg) = args.next() {
            let (key, inline) = match arg.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let mut value = || inline.clone().or_else(|| args.next()).with_context(|| format!("{key} needs a value"));
            match key.as_str() {
                "--help" | "-h" => return Ok(None),
                "--windowed" => windowed = true,
                "--mute" => mute = true,
                "--hub" => hub = Some(value()?),
                "--name" => name = Some(value()?),
                "--pair-token" => pair_token = Some(value()?),
                "--state-dir" => state_dir = Some(PathBuf::from(value()?)),
                "--sink" => sink = Some(value()?),
                "--sound" => sound = Some(value()?),
                "--latency" => {
                    latency = value()?.parse().ok().filter(|ms| *ms <= LATENCY_MAX).context("--latency: 0 to 2000")?;
                }
                "--lang" => {
                    lang = match value()?.as_str() {
                        "zh" | "zh-TW" | "zh-Hant-TW" => Lang::ZhHantTw,
                        "en" => Lang::En,
                        other => bail!("--lang: {other} is neither zh nor en"),
                    };
                }
                other => bail!("unknown option {other}; see --help"),
            }
        }
        let hub = base(hub.as_deref().unwrap_or("http://127.0.0.1:8080"))?;
        let state_dir = state_dir
            .or_else(|| env("STATE_DIRECTORY").map(PathBuf::from))
            .or_else(|| env("XDG_STATE_HOME").map(|state| PathBuf::from(state).join("classroom-display")))
            .or_else(|| env("HOME").map(|home| PathBuf::from(home).join(".local/state/classroom-display")))
            .context("no folder for the pairing: give --state-dir")?;
        let name = name.or_else(machine).unwrap_or_else(|| "panel".into());
        Ok(Some(Self { hub, windowed, name, lang, pair_token, state_dir, sink, latency, sound, mute }))
    }
}

/// The hub's address, as the start of all its addresses.
fn base(address: &str) -> Result<Url> {
    let mut url =
        Url::parse(address).with_context(|| format!("--hub {address} is no address like http://10.0.0.2:8080"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        bail!("--hub {address}: http:// or https:// and a host, please");
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn machine() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Options>> {
        let env = |key: &str| (key == "HOME").then(|| "/home/a".to_owned());
        Options::parse(args.iter().map(|arg| (*arg).to_owned()), env)
    }

    #[test]
    fn without_arguments_the_demo_hub_full_screen_in_chinese() {
        let options = parse(&[]).unwrap().unwrap();
        assert_eq!(options.hub.as_str(), "http://127.0.0.1:8080/");
        assert!(!options.windowed && options.lang == Lang::ZhHantTw && options.latency == 120);
        assert_eq!(options.state_dir, PathBuf::from("/home/a/.local/state/classroom-display"));
    }

    #[test]
    fn values_follow_or_stand_behind_an_equals_sign() {
        let options = parse(&["--hub=https://a.example/box", "--latency", "100", "--windowed"]).unwrap().unwrap();
        assert_eq!(options.hub.join("api/ws").unwrap().as_str(), "https://a.example/box/api/ws");
        assert!(options.windowed && options.latency == 100);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn mistakes_are_told() {
        for wrong in [&["--hub"][..], &["--hub", "panel"], &["--hub", "ftp://a"], &["--lang", "de"], &["--speed", "9"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
