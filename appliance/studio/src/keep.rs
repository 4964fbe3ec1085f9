//! Keeps the source published while there is a lesson, unaided and for ever.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use crate::{
    feed::{Feed, News},
    hub::{Hub, Session},
    options::Options,
};

/// How often is looked for a lesson, and the pause after a try that failed.
const LOOK: Duration = Duration::from_millis(700);
/// How often a running session is looked after.
const WATCH: Duration = Duration::from_millis(500);
/// How often the hub is asked whether it still knows the session.
const ASK: Duration = Duration::from_secs(2);
/// The hub may be away this long before the session is given up: a restart takes less.
const AWAY: Duration = Duration::from_secs(6);
/// A camera or microphone that gives nothing for this long has stopped.
const STALL: Duration = Duration::from_secs(4);

/// Publishes until the program is told to end.
///
/// # Errors
/// Never: what goes wrong is told in the log and tried again.
pub(crate) async fn publish(options: &Options, hub: Hub) -> Result<()> {
    let mut told = String::new();
    loop {
        let Err(why) = once(options, &hub).await;
        let why = format!("{why:#}");
        // The same trouble every second is one line.
        if why != told {
            tracing::info!("{why}; trying again");
            told = why;
        }
        sleep(LOOK).await;
    }
}

async fn once(options: &Options, hub: &Hub) -> Result<Infallible> {
    while !hub.lesson().await? {
        sleep(LOOK).await;
    }
    let (video, audio) = (options.video_now(), options.audio_now());
    let (size, bitrate) = (options.size, options.bitrate);
    let making = tokio::task::spawn_blocking(move || Feed::prepare(&video, &audio, size, bitrate));
    let feed = making.await??;
    let session = hub.publish(feed.offer.clone()).await?;
    let answer = session.answer.clone();
    let feed = tokio::task::spawn_blocking(move || feed.accept(&answer).map(|()| feed)).await??;
    tracing::info!(source = %options.source, "publishing");
    let ended = watch(hub, feed, &session).await;
    hub.leave(session).await;
    ended
}

/// Looks after a session until it is of no use.
async fn watch(hub: &Hub, mut feed: Feed, session: &Session) -> Result<Infallible> {
    let (mut asked, mut answered) = (Instant::now(), Instant::now());
    loop {
        sleep(WATCH).await;
        while let Ok(news) = feed.news.try_recv() {
            match news {
                News::Connected => tracing::info!("connected"),
                News::Broken(why) => anyhow::bail!("the session broke: {why}"),
            }
        }
        if feed.age() > STALL {
            anyhow::bail!("nothing has come from the camera for {STALL:?}");
        }
        if asked.elapsed() < ASK {
            continue;
        }
        asked = Instant::now();
        match hub.lives(session).await {
            Ok(true) => answered = asked,
            Ok(false) => anyhow::bail!("the hub no longer knows the session"),
            Err(error) if answered.elapsed() > AWAY => return Err(error.context("the hub is away")),
            Err(_) => {}
        }
    }
}
