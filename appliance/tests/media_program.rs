//! The program feed through the real media thread: pictures change and sound is heard without a new negotiation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod media_peers;

use std::time::{Duration, Instant};

use appliance::media::Limits;
use appliance_core::home::Program;
use media_peers::{Peer, connect, source, start, stats};

fn program(picture: Option<&str>, sound: Option<&str>, speaker: Option<&str>) -> Program {
    Program { picture: picture.map(source), sound: sound.map(source), speaker: speaker.map(source) }
}

/// Everyone sends, pictures with the given marks, until the condition holds.
async fn until(
    pictures: &mut [(&mut Peer, u8)],
    voices: &mut [(&mut Peer, u8)],
    viewer: &mut Peer,
    what: &str,
    mut done: impl FnMut(&mut Peer) -> bool,
) {
    let end = Instant::now() + media_peers::PATIENCE;
    let mut served = vec![usize::MAX; pictures.len()];
    while !done(viewer) {
        assert!(Instant::now() < end, "in vain: {what}");
        for ((peer, mark), served) in pictures.iter_mut().zip(&mut served) {
            let keyframe = std::mem::replace(served, peer.keyframe_requests) != peer.keyframe_requests;
            peer.frame(None, keyframe, 4, *mark);
        }
        voices.iter_mut().for_each(|(peer, mark)| peer.sound(*mark));
        let pause = Instant::now() + Duration::from_millis(20);
        while Instant::now() < pause {
            pictures.iter_mut().for_each(|(peer, _)| peer.step());
            voices.iter_mut().for_each(|(peer, _)| peer.step());
            viewer.step();
            tokio::task::yield_now().await;
        }
    }
}

fn marks(viewer: &mut Peer, mid: Option<str0m::media::Mid>) -> Vec<u8> {
    viewer.of(mid).iter().map(|packet| packet.payload[1]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_changes_in_one_unbroken_stream_and_each_sound_has_its_track() {
    let hub = start("program", Limits::default());
    let mut one = Peer::publish(&hub, "seat-01", false).await;
    let mut two = Peer::publish(&hub, "seat-02", false).await;
    let mut room = Peer::publish(&hub, "room", false).await;
    let mut voice = Peer::speak(&hub, "home-07").await;
    connect(&mut [&mut one, &mut two, &mut room, &mut voice]).await;

    // With nothing on, the session is made all the same and waits.
    let (mut viewer, session) = Peer::follow(&hub, None).await;
    connect(&mut [&mut one, &mut two, &mut room, &mut voice, &mut viewer]).await;
    let (video, first, second) = (viewer.video, viewer.audio, viewer.second);
    one.sound(9);
    assert!(viewer.received.is_empty());

    hub.media.set_program(program(Some("seat-01"), Some("room"), Some("home-07"))).await.unwrap();
    until(
        &mut [(&mut one, 1), (&mut two, 2)],
        &mut [(&mut room, 50), (&mut voice, 60)],
        &mut viewer,
        "all three",
        |v| {
            let (a, b) = (marks(v, first).len(), marks(v, second).len());
            v.of(video).len() > 20 && a > 5 && b > 5
        },
    )
    .await;
    hub.media.set_program(program(Some("seat-02"), Some("room"), None)).await.unwrap();
    until(
        &mut [(&mut one, 1), (&mut two, 2)],
        &mut [(&mut room, 50), (&mut voice, 60)],
        &mut viewer,
        "the second",
        |v| marks(v, video).last() == Some(&2),
    )
    .await;
    let spoken = marks(&mut viewer, second).len();
    // The picture's source ends; the session does not, and goes on with the camera.
    hub.media.close_source(source("seat-02")).await.unwrap();
    hub.media.set_program(program(Some("room"), Some("room"), None)).await.unwrap();
    until(&mut [(&mut room, 3)], &mut [], &mut viewer, "the camera", |v| marks(v, video).last() == Some(&3)).await;
    until(&mut [(&mut room, 3)], &mut [(&mut voice, 60)], &mut viewer, "more of it", |v| {
        marks(v, video).iter().filter(|mark| **mark == 3).count() > 40
    })
    .await;
    assert_eq!(marks(&mut viewer, second).len(), spoken, "nobody speaks any more");

    let pictures = viewer.of(video);
    let numbers: Vec<u64> = pictures.iter().map(|packet| *packet.seq_no).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no number is missing or used twice: {numbers:?}");
    assert!(pictures.windows(2).all(|p| p[1].header.timestamp.wrapping_sub(p[0].header.timestamp) < 90_000 * 20));
    for change in pictures.windows(2).filter(|pair| pair[0].payload[1] != pair[1].payload[1]) {
        assert_eq!(change[1].payload[0], 0x67, "a new picture begins with a keyframe");
    }
    assert!(marks(&mut viewer, first).iter().all(|mark| *mark == 50), "the room's sound and no other");
    let numbers: Vec<u64> = viewer.of(first).iter().map(|packet| *packet.seq_no).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    hub.media.close(session).await.unwrap();
    assert!(stats(&hub).await.sources.iter().all(|source| source.viewers.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_themselves_and_a_closed_session_is_the_right_one() {
    let hub = start("program-own", Limits::default());
    let mut voice = Peer::speak(&hub, "home-07").await;
    let (mut own, session) = Peer::follow(&hub, Some("home-07")).await;
    let (mut other, _) = Peer::follow(&hub, Some("home-08")).await;
    connect(&mut [&mut voice, &mut own, &mut other]).await;
    hub.media.set_program(program(None, None, Some("home-07"))).await.unwrap();
    let (a, b) = (own.second, other.second);
    until(&mut [], &mut [(&mut voice, 60)], &mut other, "the voice", |v| v.of(b).len() > 30).await;
    own.step();
    assert!(own.of(a).is_empty());
    hub.media.close_followers(Some(source("home-07"))).await.unwrap();
    assert!(hub.media.close(session).await.is_err(), "it is closed already");
    let before = other.of(b).len();
    until(&mut [], &mut [(&mut voice, 60)], &mut other, "the voice goes on", |v| v.of(b).len() > before + 10).await;
}
