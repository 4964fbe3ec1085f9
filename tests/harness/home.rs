//! A student's home: the page `/home` in a real browser, with a microphone that says a known tone, and what the page shows
//! read off its pixels.

use std::{f64::consts::TAU, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{catalogue::Lang, view::HomeLink};
use serde_json::json;

use crate::{
    browser::{Options, Screen},
    pages::Page,
    people::Caller,
};

/// The tone of the student's voice, in Hz.
pub const TONE: f64 = 1000.0;
/// A page is there within this time, also on a busy machine.
const LOADS: Duration = Duration::from_secs(30);
/// Samples a second.
const RATE: usize = 48_000;

/// Reads the stamp of each picture that the page's video shows into `window.seen`: `[when, stamped]`, milliseconds.
const WATCH: &str = "
    const crc8 = bytes => bytes.reduce((crc, byte) => {
      crc ^= byte;
      for (let i = 0; i < 8; i++) crc = crc & 0x80 ? (crc << 1 ^ 0x07) & 0xff : crc << 1;
      return crc;
    }, 0xa5);
    const video = document.querySelector('video'), canvas = document.createElement('canvas');
    const context = canvas.getContext('2d', { willReadFrequently: true });
    window.seen = [];
    // A new session gives the element a new stream, and the browser forgets who waited for the old one's next picture.
    let chain = 0;
    const frame = own => {
      if (own !== chain) return;
      const when = Date.now(), width = video.videoWidth, high = Math.floor(video.videoHeight / 8);
      if (width > 0) {
        canvas.width = width; canvas.height = high;
        context.drawImage(video, 0, 0, width, high, 0, 0, width, high);
        const pixels = context.getImageData(0, 0, width, high).data;
        const bytes = [0, 0, 0, 0, 0, 0];
        for (let cell = 0; cell < 48; cell++) {
          const x = Math.floor((cell % 24 + 0.5) * width / 24), y = Math.floor((cell < 24 ? 0.25 : 0.75) * high);
          if (pixels[(y * width + x) * 4 + 1] > 127) bytes[cell >> 3] |= 0x80 >> (cell & 7);
        }
        if (crc8(bytes.slice(0, 5)) === bytes[5]) {
          window.seen.push([when, ((bytes[0] * 256 + bytes[1]) * 256 + bytes[2]) * 256 + bytes[3]]);
          if (window.seen.length > 2000) window.seen.shift();
        }
      }
      video.requestVideoFrameCallback(() => frame(own));
    };
    const begin = () => {
      const own = ++chain;
      video.requestVideoFrameCallback(() => frame(own));
    };
    video.addEventListener('loadeddata', begin);
    begin();";

/// The personal link of a seat, as the teacher gets it. As a teacher.
pub async fn link(teacher: &Caller, seat: u8) -> Result<String> {
    let link: HomeLink = teacher.post(&format!("/api/seats/{seat}/home-link"), &json!({})).await?.json()?;
    Ok(link.url)
}

/// Writes what the microphone hears: bursts of [`TONE`], as steady tones are taken for noise and removed.
pub fn write_voice(file: &Path) -> Result<()> {
    let samples = (0..RATE * 10).flat_map(|n| {
        let loud = if n % (RATE / 2) < RATE * 3 / 10 { 12_000.0 } else { 0.0 };
        // Within 16 bits by its loudness.
        (((TAU * TONE * n as f64 / RATE as f64).sin() * loud) as i16).to_le_bytes()
    });
    let samples: Vec<u8> = samples.collect();
    let size = u32::try_from(samples.len())?;
    let mut wav = Vec::with_capacity(samples.len() + 44);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + size).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&48_000u32.to_le_bytes());
    wav.extend_from_slice(&96_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&size.to_le_bytes());
    wav.extend_from_slice(&samples);
    fs::write(file, wav).with_context(|| file.display().to_string())
}

/// Share of a tone in the last half second of raw 16-bit samples, 0 to 1, and their loudness, 0 to 1 (Goertzel).
pub fn tone_in(raw: &[u8], hertz: f64) -> (f64, f64) {
    let samples: Vec<f64> = raw
        .chunks_exact(2)
        .rev()
        .take(RATE / 2)
        .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
        .collect();
    let all: f64 = samples.iter().map(|sample| sample * sample).sum();
    if samples.is_empty() || all <= f64::EPSILON {
        return (0.0, 0.0);
    }
    let turn = TAU * hertz / RATE as f64;
    let (mut one, mut two) = (0.0, 0.0);
    for sample in &samples {
        let next = sample + 2.0 * turn.cos() * one - two;
        (two, one) = (one, next);
    }
    let power = one * one + two * two - 2.0 * turn.cos() * one * two;
    let count = samples.len() as f64;
    (2.0 * power / (count * all), (all / count).sqrt())
}

/// A student at home in front of the page.
#[derive(Debug)]
pub struct Student {
    /// The page.
    pub page: Page,
}

impl Student {
    /// Opens the personal link; nothing is tapped yet.
    pub async fn open(
        link: &str,
        voice: &Path,
        netns: Option<&str>,
        size: (u32, u32),
        more: Vec<String>,
    ) -> Result<Self> {
        let (base, path) = link.split_once("/home").context("a link to /home")?;
        let mut args = more;
        args.push(format!("--use-file-for-fake-audio-capture={}", voice.display()));
        let options =
            Options { screen: Screen::Fake, size, netns: netns.map(str::to_owned), args, ..Options::default() };
        let page = Page::open(base, &format!("/home{path}"), Lang::ZhHantTw, options).await?;
        // An empty page says nothing of why: what the browser knows of it does.
        if let Err(error) = page.browser.wait_for("document.body.innerText.length > 0", LOADS).await {
            let loaded = "performance.getEntries().map(e => [e.name, e.responseStatus, Math.round(e.duration)])";
            let (console, loaded) = (page.browser.console().await, page.browser.eval(loaded).await);
            return Err(error.context(format!("the page at home stays empty: {console:?}, loaded: {loaded:?}")));
        }
        Ok(Self { page })
    }

    /// Enters the lesson and begins to read what the video shows.
    pub async fn enter(&self) -> Result<()> {
        self.page.tap("home.enter").await?;
        self.page.browser.wait_for("document.querySelector('video') !== null", Duration::from_secs(20)).await?;
        self.page.browser.run(WATCH).await.map(drop)
    }

    /// Waits for pictures with the time in them: the room's camera. Gives the age of the newest in milliseconds.
    pub async fn sees_the_room(&self, within: Duration) -> Result<u64> {
        let fresh = "(list => list.length > 1 && list[0][1] !== list[1][1] \
                     && list.every(([when, stamp]) => ((when >>> 0) - stamp >>> 0) < 3000))(window.seen.slice(-2))";
        if let Err(error) = self.page.browser.wait_for(fresh, within).await {
            return Err(error.context(format!("the room's picture at home: {}", self.video().await)));
        }
        let age = self.page.browser.eval("(([when, stamp]) => (when >>> 0) - stamp >>> 0)(window.seen.at(-1))").await?;
        age.as_u64().context("an age")
    }

    /// How the page's video is, for who looks for the cause.
    async fn video(&self) -> String {
        const HOW: &str = "(v => ({ at: v.currentTime, width: v.videoWidth, paused: v.paused, ready: v.readyState, \
             frames: v.getVideoPlaybackQuality().totalVideoFrames, seen: window.seen.slice(-3), now: Date.now(), \
             tracks: v.srcObject?.getTracks().map(t => [t.kind, t.readyState, t.muted]) }))(document.querySelector('video'))";
        self.page.browser.eval(HOW).await.map_or_else(|error| format!("{error:#}"), |how| how.to_string())
    }

    /// Waits for the first picture without the time in it that came after `since` (milliseconds since 1970): another
    /// source's, whose stamp counts its frames. Gives the moment at which it was shown. Its age is what has passed since the
    /// clock's 32 bits began anew, each 50 days: no more than that of a late picture is asked for.
    pub async fn sees_another(&self, since: u64, within: Duration) -> Result<u64> {
        let other =
            format!("window.seen.find(([when, stamp]) => when >= {since} && ((when >>> 0) - stamp >>> 0) > 10000)");
        self.page
            .browser
            .wait_for(&format!("{other} !== undefined"), within)
            .await
            .context("another picture at home")?;
        let when = self.page.browser.eval(&format!("{other}[0]")).await?.as_u64().context("a moment")?;
        ensure!(when >= since, "the picture is from before");
        Ok(when)
    }

    /// As [`Self::sees_another`], for the room's camera that comes back.
    pub async fn sees_the_room_again(&self, since: u64, within: Duration) -> Result<u64> {
        let own =
            format!("window.seen.find(([when, stamp]) => when >= {since} && ((when >>> 0) - stamp >>> 0) < 3000)");
        self.page.browser.wait_for(&format!("{own} !== undefined"), within).await.context("the room at home")?;
        self.page.browser.eval(&format!("{own}[0]")).await?.as_u64().context("a moment")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_tone_is_told_from_noise_and_silence() {
        let file = std::env::temp_dir().join(format!("voice-{}.wav", std::process::id()));
        write_voice(&file).unwrap();
        let wav = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(wav.len(), 44 + RATE * 20);
        let burst = &wav[44..44 + RATE / 2];
        assert!(tone_in(burst, TONE).0 > 0.9, "{:?}", tone_in(burst, TONE));
        assert!(tone_in(burst, 700.0).0 < 0.1);
        assert_eq!(tone_in(&[0; 1000], TONE), (0.0, 0.0));
    }
}
