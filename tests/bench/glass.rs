//! Family `cast`, the measures with a picture: from a tablet's screen to the panel's window.

use std::time::Duration;

use anyhow::{Context, Result};
use harness::stamp::{Reading, now_millis};
use serde_json::json;

use crate::{
    Settings,
    direct::Direct,
    panel::{Panel, cover, tablet},
    report::{Row, percentile},
    room::Room,
};

const DIRECT: &str = "the same browser straight into the same window";
const FIRST_PICTURE: Duration = Duration::from_secs(20);
/// Not counted: the browser's estimate and encoder settle.
const WARM_UP: Duration = Duration::from_secs(8);
const MEASURE: Duration = Duration::from_secs(15);

/// What was seen of one way.
#[derive(Debug, Default)]
struct Way {
    /// 95th percentile of each round, milliseconds.
    p95: Vec<f64>,
    /// Median of each round.
    p50: Vec<f64>,
    /// Different pictures a second.
    rate: Vec<f64>,
    failures: Vec<String>,
}

impl Way {
    fn add(&mut self, round: Result<Vec<Reading>>) {
        let ages = |seen: Vec<Reading>| -> Option<(f64, f64, f64)> {
            let ages: Vec<f64> = seen.iter().map(|reading| reading.age.as_secs_f64() * 1e3).collect();
            let rate = ages.len() as f64 / MEASURE.as_secs_f64();
            Some((percentile(&ages, 0.5)?, percentile(&ages, 0.95)?, rate))
        };
        match round.and_then(|seen| ages(seen).context("no stamp was seen")) {
            Ok((p50, p95, rate)) => {
                self.p50.push(p50);
                self.p95.push(p95);
                self.rate.push(rate);
            }
            Err(e) => self.failures.push(format!("{e:#}")),
        }
    }

    fn words(&self) -> String {
        let middle = |values: &[f64]| percentile(values, 0.5).unwrap_or_default();
        let failures = self.failures.join(" | ");
        format!("p50 {:.0} ms, {:.0} pictures/s {failures}", middle(&self.p50), middle(&self.rate))
    }
}

/// `cast.glass_to_glass`.
pub(crate) async fn glass_to_glass(settings: &Settings, rows: &mut Vec<Row>) {
    let (mut ours, mut theirs) = (Way::default(), Way::default());
    for _ in 0..settings.rounds {
        ours.add(through_the_box().await);
        theirs.add(straight().await);
    }
    let note = format!("ours {}; straight {}", ours.words(), theirs.words());
    rows.push(Row::against(("cast.glass_to_glass", "ms"), &ours.p95, (DIRECT, &theirs.p95), 1.15, &note));
}

async fn through_the_box() -> Result<Vec<Reading>> {
    let mut room = Room::start().await?;
    let panel = Panel::open(&room.hub.base(), &room.panel_token().await?)?;
    room.ask().await?;
    let since = now_millis();
    room.show().await?;
    look(&panel, since)
}

async fn straight() -> Result<Vec<Reading>> {
    let mut direct = Direct::start().await?;
    let tablet = tablet().await?;
    tablet.client.goto(&direct.base).await?;
    cover(&tablet).await?;
    let panel = Panel::open(&direct.base, "any")?;
    direct.show(true);
    let since = now_millis();
    let (offer, reply) = tokio::time::timeout(FIRST_PICTURE, direct.offers.recv())
        .await
        .context("the panel made no offer")?
        .context("the stand-in has ended")?;
    let script =
        include_str!("answer.js").replace("const [offer] = arguments;", &format!("const offer = {};", json!(offer)));
    let answer = tablet.run(&script).await?;
    let _ = reply.send(answer.as_str().context("no answer")?.into());
    look(&panel, since)
}

fn look(panel: &Panel, since: u32) -> Result<Vec<Reading>> {
    panel.fresh(since, FIRST_PICTURE)?;
    panel.readings(WARM_UP)?;
    let seen = panel.readings(MEASURE)?;
    panel.screenshot("target/bench-panel.png")?;
    Ok(seen)
}

/// Samples of a time until the picture, seconds, one list for each round.
#[derive(Debug, Default)]
struct Waits {
    p95: Vec<f64>,
    all: Vec<f64>,
    failures: Vec<String>,
}

impl Waits {
    fn add(&mut self, round: Result<Vec<f64>>) {
        match round {
            Ok(samples) => {
                self.p95.extend(percentile(&samples, 0.95));
                self.all.extend(samples);
            }
            Err(e) => self.failures.push(format!("{e:#}")),
        }
    }

    fn row(&self, key: &'static str, goal: f64) -> Row {
        let p50 = percentile(&self.all, 0.5).unwrap_or_default();
        let failures = self.failures.join(" | ");
        let note = format!("p95 of each round; all {} samples p50 {p50:.2} s {failures}", self.all.len());
        Row::alone((key, "s"), &self.p95, goal, &note)
    }
}

/// Taps in a round.
const TAPS: usize = 8;
/// A picture is off the stage for so long before the next tap: the sender has really stopped.
const PAUSE: Duration = Duration::from_millis(1500);

/// `cast.tap_to_picture`: the tablet shares already and is off the stage; from the teacher's tap to a picture on the panel
/// that was drawn after it.
pub(crate) async fn tap_to_picture(settings: &Settings, rows: &mut Vec<Row>) {
    let mut waits = Waits::default();
    for _ in 0..settings.rounds {
        waits.add(taps().await);
    }
    rows.push(waits.row("cast.tap_to_picture", 0.5));
}

async fn taps() -> Result<Vec<f64>> {
    let mut room = Room::start().await?;
    let panel = Panel::open(&room.hub.base(), &room.panel_token().await?)?;
    room.ask().await?;
    let since = now_millis();
    room.show().await?;
    panel.fresh(since, FIRST_PICTURE)?;
    room.live().await?;
    let mut samples = Vec::new();
    for _ in 0..TAPS {
        room.remove().await?;
        panel.gone(FIRST_PICTURE)?;
        tokio::time::sleep(PAUSE).await;
        samples.push(tapped(&room, &panel).await?);
    }
    Ok(samples)
}

/// `cast.share_to_picture`: the student has chosen a screen and asks; from the teacher's word to the picture. The media
/// session is made in between.
pub(crate) async fn share_to_picture(settings: &Settings, rows: &mut Vec<Row>) {
    let mut waits = Waits::default();
    for _ in 0..settings.rounds {
        waits.add(shares().await);
    }
    rows.push(waits.row("cast.share_to_picture", 2.0));
}

async fn shares() -> Result<Vec<f64>> {
    let mut room = Room::start().await?;
    let panel = Panel::open(&room.hub.base(), &room.panel_token().await?)?;
    let mut samples = Vec::new();
    for _ in 0..TAPS {
        room.ask().await?;
        samples.push(tapped(&room, &panel).await?);
        room.stop().await?;
        panel.gone(FIRST_PICTURE)?;
    }
    Ok(samples)
}

/// Seconds from the teacher's tap to the first grab of a picture that was drawn after it.
async fn tapped(room: &Room, panel: &Panel) -> Result<f64> {
    let tap = now_millis();
    room.show().await?;
    let seen = panel.fresh(tap, FIRST_PICTURE)?;
    Ok(f64::from(seen.stamp.millis.wrapping_sub(tap)) / 1e3 + seen.age.as_secs_f64())
}
