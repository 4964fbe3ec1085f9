//! The command line.

use std::{fmt, path::Path, path::PathBuf};

use anyhow::{Context, Result, bail};
use classroom_protocol::SourceId;
use reqwest::Url;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
studio: the room's camera and microphone for students at home

  --hub URL         address of the hub                        [http://127.0.0.1:8080]
  --source NAME     what is published: `room`, or a source of the teacher's list [room]
  --key-file FILE   file with the source's key                [$CREDENTIALS_DIRECTORY/studio-key]
  --video FROM      `v4l2:/dev/video0`, `test`, or `auto`: the first camera, else a test picture [auto]
  --audio FROM      `alsa:hw:1`, `pipewire`, `test`, `none`, or `auto`: the first microphone, else silence [auto]
  --size WxH        size of the picture                       [1280x720]
  --bitrate KBITS   of the picture                            [1800]
";

/// Where the picture comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Video {
    /// A V4L2 device: camera or capture of the panel.
    V4l2(String),
    /// A moving test picture with the time stamped into it.
    Test,
}

/// Where the sound comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audio {
    /// An ALSA device.
    Alsa(String),
    /// PipeWire's default source.
    Pipewire,
    /// A tone.
    Test,
    /// A test source that nobody hears: what a room without a microphone sends.
    Silence,
    /// No sound.
    None,
}

impl fmt::Display for Video {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4l2(device) => write!(f, "the camera {device}"),
            Self::Test => f.write_str("a test picture"),
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) hub: Url,
    pub(crate) source: SourceId,
    pub(crate) key_file: PathBuf,
    pub(crate) video: Option<Video>,
    pub(crate) audio: Option<Audio>,
    pub(crate) size: (u32, u32),
    pub(crate) bitrate: u32,
}

impl Options {
    /// Reads the arguments after the program's name; `env` looks up environment variables. `None`: print the help.
    pub(crate) fn parse(
        args: impl IntoIterator<Item = String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        let mut args = args.into_iter();
        let mut hub = "http://127.0.0.1:8080".to_owned();
        let (mut source, mut key_file, mut video, mut audio) = (SourceId::room(), None, None, None);
        let (mut size, mut bitrate) = ((1280, 720), 1800);
        while let Some(arg) = args.next() {
            let (key, inline) = match arg.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let mut value = || inline.clone().or_else(|| args.next()).with_context(|| format!("{key} needs a value"));
            match key.as_str() {
                "--help" | "-h" => return Ok(None),
                "--hub" => hub = value()?,
                "--source" => source = value()?.parse().map_err(|error| anyhow::anyhow!("--source: {error}"))?,
                "--key-file" => key_file = Some(PathBuf::from(value()?)),
                "--video" => video = video_of(&value()?)?,
                "--audio" => audio = audio_of(&value()?)?,
                "--size" => size = size_of(&value()?)?,
                "--bitrate" => {
                    let within = |kbits: &u32| (100..=20_000).contains(kbits);
                    bitrate = value()?.parse().ok().filter(within).context("--bitrate: 100 to 20000 kbit/s")?;
                }
                other => bail!("unknown option {other}; see --help"),
            }
        }
        let mut url =
            Url::parse(&hub).with_context(|| format!("--hub {hub} is no address like http://10.0.0.2:8080"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            bail!("--hub {hub}: http:// or https:// and a host, please");
        }
        url.set_path("/");
        let key_file = key_file
            .or_else(|| env("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join("studio-key")))
            .context("no key: give --key-file (the hub keeps the box's own in studio-key of its data folder)")?;
        Ok(Some(Self { hub: url, source, key_file, video, audio, size, bitrate }))
    }

    /// The camera that is there now.
    pub(crate) fn video_now(&self) -> Video {
        let first = || (0..10).map(|n| format!("/dev/video{n}")).find(|device| Path::new(device).exists());
        self.video.clone().unwrap_or_else(|| first().map_or(Video::Test, Video::V4l2))
    }

    /// The microphone that is there now.
    pub(crate) fn audio_now(&self) -> Audio {
        let captures = || {
            let found = std::fs::read_dir("/dev/snd").into_iter().flatten().flatten();
            found.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with('c'))
        };
        let default = || if captures() { Audio::Alsa("default".into()) } else { Audio::Silence };
        self.audio.clone().unwrap_or_else(default)
    }
}

fn video_of(text: &str) -> Result<Option<Video>> {
    Ok(match text.split_once(':') {
        None if text == "auto" => None,
        None if text == "test" => Some(Video::Test),
        Some(("v4l2", device)) if device.starts_with("/dev/") => Some(Video::V4l2(device.into())),
        _ => bail!("--video {text}: write v4l2:/dev/video0, test or auto"),
    })
}

fn audio_of(text: &str) -> Result<Option<Audio>> {
    Ok(match text.split_once(':') {
        None if text == "auto" => None,
        None if text == "test" => Some(Audio::Test),
        None if text == "none" => Some(Audio::None),
        None if text == "pipewire" => Some(Audio::Pipewire),
        Some(("alsa", device)) if !device.is_empty() => Some(Audio::Alsa(device.into())),
        _ => bail!("--audio {text}: write alsa:hw:1, pipewire, test, none or auto"),
    })
}

fn size_of(text: &str) -> Result<(u32, u32)> {
    let parts = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let even = |n: u32| (160..=3840).contains(&n) && n.is_multiple_of(16);
    parts
        .filter(|(w, h): &(u32, u32)| even(*w) && (even(*h) || *h == 360 || *h == 1080))
        .with_context(|| format!("--size {text}: write e.g. 1280x720"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Options>> {
        let env = |key: &str| (key == "CREDENTIALS_DIRECTORY").then(|| "/run/credentials/studio".to_owned());
        Options::parse(args.iter().map(|arg| (*arg).to_owned()), env)
    }

    #[test]
    fn the_unit_needs_no_arguments() {
        let options = parse(&[]).unwrap().unwrap();
        assert_eq!(options.source, SourceId::room());
        assert_eq!(options.key_file, PathBuf::from("/run/credentials/studio/studio-key"));
        assert!(options.video.is_none() && options.audio.is_none());
    }

    #[test]
    fn devices_and_mistakes() {
        let options =
            parse(&["--video=v4l2:/dev/video2", "--audio", "alsa:hw:1,0", "--size", "640x360"]).unwrap().unwrap();
        assert_eq!(options.video_now(), Video::V4l2("/dev/video2".into()));
        assert_eq!(options.audio_now(), Audio::Alsa("hw:1,0".into()));
        for wrong in [
            &["--video", "v4l2:video0"][..],
            &["--video", "camera"],
            &["--audio", "alsa:"],
            &["--size", "7x7"],
            &["--bitrate", "1"],
            &["--hub", "ftp://a"],
            &["--source", "A B"],
            &["--what"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
