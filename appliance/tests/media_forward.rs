//! Publishers and viewers through the real media thread, over loopback sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod media_peers;

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use appliance::media::{Layer, Limits, MediaError, MediaEvent};
use media_peers::{Peer, connect, event, source, start, stats, until};

/// Publishes frames (a keyframe whenever one is asked for) until the condition holds.
async fn stream_until(
    publisher: &mut Peer,
    viewers: &mut [&mut Peer],
    mark: u8,
    what: &str,
    mut done: impl FnMut(&[&mut Peer]) -> bool,
) {
    let end = Instant::now() + media_peers::PATIENCE;
    let mut served = usize::MAX;
    while !done(viewers) {
        assert!(Instant::now() < end, "in vain: {what}");
        let keyframe = served != publisher.keyframe_requests;
        served = publisher.keyframe_requests;
        publisher.frame(None, keyframe, 6, mark);
        let pause = Instant::now() + Duration::from_millis(10);
        while Instant::now() < pause {
            publisher.step();
            viewers.iter_mut().for_each(|viewer| viewer.step());
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_viewer_has_a_picture_within_one_keyframe_request() {
    let mut hub = start("late", Limits::default());
    assert_eq!(hub.media.view(source("seat-01"), Peer::view_offer()).await, Err(MediaError::SourceSilent));
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    publisher.frame(None, true, 6, 1);
    event(&mut hub, &mut [&mut publisher], |e| matches!(e, MediaEvent::SourceUp { .. })).await;
    for _ in 0..20 {
        publisher.frame(None, false, 6, 1);
    }
    let (mut viewer, _) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    let before = publisher.keyframe_requests;
    until(&mut [&mut publisher, &mut viewer], "the hub asks for a keyframe", |p| {
        (p[0].keyframe_requests > before).then_some(())
    })
    .await;
    stream_until(&mut publisher, &mut [&mut viewer], 1, "60 packets", |v| v[0].received.len() > 60).await;
    assert_eq!(viewer.received[0].payload[0], 0x67, "the first packet begins a keyframe");
    assert!(viewer.is_unbroken());
    let stats = stats(&hub).await;
    let layer = &stats.sources[0].publisher.as_ref().unwrap().layers[0];
    assert!(layer.video && layer.packets > 60 && layer.keyframes >= 2 && layer.lost == 0, "{layer:?}");
    assert!(stats.sources[0].viewers[0].connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_stay_when_the_publisher_is_replaced() {
    let mut hub = start("replace", Limits::default());
    let mut first = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut first]).await;
    let (mut viewer, _) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut first, &mut viewer]).await;
    stream_until(&mut first, &mut [&mut viewer], 1, "the first publisher", |v| v[0].received.len() > 30).await;

    let offer = Peer::view_offer().replace("a=recvonly", "a=sendonly");
    assert_eq!(hub.media.publish(source("seat-01"), offer, false).await, Err(MediaError::SourceBusy));
    let mut second = Peer::publish(&hub, "seat-01", true).await;
    event(&mut hub, &mut [&mut first], |e| matches!(e, MediaEvent::SourceDown { .. })).await;
    connect(&mut [&mut second, &mut viewer]).await;
    stream_until(&mut second, &mut [&mut viewer], 2, "the second publisher", |v| v[0].video_marks().contains(&2)).await;
    stream_until(&mut second, &mut [&mut viewer], 2, "more", |v| {
        v[0].video_marks().iter().filter(|m| **m == 2).count() > 30
    })
    .await;
    assert!(viewer.is_unbroken(), "one unbroken stream");
    let times: Vec<u32> = viewer.received.iter().map(|p| p.header.timestamp).collect();
    assert!(times.windows(2).all(|w| w[1].wrapping_sub(w[0]) < 90_000 * 20), "time goes on");
    let ssrcs: std::collections::HashSet<_> = viewer.received.iter().map(|p| p.header.ssrc).collect();
    assert_eq!(ssrcs.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_switched_to_another_source() {
    let hub = start("switch", Limits::default());
    let mut one = Peer::publish(&hub, "seat-01", false).await;
    let mut two = Peer::publish(&hub, "seat-02", false).await;
    connect(&mut [&mut one, &mut two]).await;
    let (mut viewer, session) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut one, &mut viewer]).await;
    stream_until(&mut one, &mut [&mut viewer], 1, "the first source", |v| v[0].received.len() > 30).await;
    two.frame(None, true, 6, 2);
    hub.media.switch_source(session, source("seat-02")).await.unwrap();
    stream_until(&mut two, &mut [&mut viewer], 2, "the second source", |v| v[0].video_marks().contains(&2)).await;
    assert!(viewer.is_unbroken());
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_follow_the_viewers_wish() {
    let hub = start("layers", Limits::default());
    let mut publisher = Peer::publish_layers(&hub, "teacher").await;
    let rids = publisher.rids.clone();
    connect(&mut [&mut publisher]).await;
    let (mut viewer, session) = Peer::view(&hub, "teacher").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    let mut served = usize::MAX;
    let mut send = async |publisher: &mut Peer, viewer: &mut Peer, what: &str, wanted: u8| {
        let end = Instant::now() + media_peers::PATIENCE;
        while viewer.video_marks().last() != Some(&wanted) {
            assert!(Instant::now() < end, "in vain: {what}");
            let keyframe = served != publisher.keyframe_requests;
            served = publisher.keyframe_requests;
            for (layer, rid) in rids.iter().enumerate() {
                publisher.frame(Some(*rid), keyframe, 1 + 2 * layer, layer as u8 + 1);
            }
            let pause = Instant::now() + Duration::from_millis(20);
            while Instant::now() < pause {
                publisher.step();
                viewer.step();
                tokio::task::yield_now().await;
            }
        }
    };
    send(&mut publisher, &mut viewer, "the high layer", 3).await;
    hub.media.set_max_layer(session, Layer::Low).await.unwrap();
    send(&mut publisher, &mut viewer, "the low layer", 1).await;
    hub.media.set_max_layer(session, Layer::High).await.unwrap();
    send(&mut publisher, &mut viewer, "high again", 3).await;
    assert!(viewer.is_unbroken());
    let stats = stats(&hub).await;
    assert_eq!(stats.sources[0].viewers[0].layer, Some(Layer::High));
    assert_eq!(stats.sources[0].publisher.as_ref().unwrap().layers.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again() {
    let hub = start("loss", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    let (mut viewer, _) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    stream_until(&mut publisher, &mut [&mut viewer], 1, "the start", |v| v[0].received.len() > 10).await;
    viewer.lose = Some(12);
    stream_until(&mut publisher, &mut [&mut viewer], 1, "400 packets", |v| v[0].received.len() > 400).await;
    viewer.lose = None;
    stream_until(&mut publisher, &mut [&mut viewer], 1, "no gap", |v| v[0].is_unbroken()).await;
    let stats = stats(&hub).await;
    assert!(stats.sources[0].viewers[0].nacks > 10, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_source_sends_nothing_and_comes_back_with_a_keyframe() {
    let hub = start("pause", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    let (mut viewer, _) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    stream_until(&mut publisher, &mut [&mut viewer], 1, "the start", |v| v[0].received.len() > 30).await;
    hub.media.pause_source(source("seat-01"), true).await.unwrap();
    let end = Instant::now() + Duration::from_millis(300);
    stream_until(&mut publisher, &mut [&mut viewer], 9, "time", |_| Instant::now() > end).await;
    assert!(!viewer.video_marks().contains(&9));
    hub.media.pause_source(source("seat-01"), false).await.unwrap();
    stream_until(&mut publisher, &mut [&mut viewer], 2, "the picture", |v| v[0].video_marks().contains(&2)).await;
    let first = viewer.received.iter().find(|p| p.payload[1] == 2).unwrap();
    assert_eq!(first.payload[0], 0x67);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_silence_is_a_freeze_and_a_pause_is_none() {
    let hub = start("freeze", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    let (mut viewer, _) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    let freezes = async || {
        let stats = stats(&hub).await;
        stats.sources[0].publisher.as_ref().unwrap().layers.iter().map(|layer| layer.freezes).sum::<u64>()
    };
    let silence = async |peers: &mut [&mut Peer], long: Duration| {
        let end = Instant::now() + long;
        until(peers, "the end of the silence", |_| (Instant::now() > end).then_some(())).await;
    };
    stream_until(&mut publisher, &mut [&mut viewer], 1, "the start", |v| v[0].received.len() > 120).await;
    let before = freezes().await;
    hub.media.pause_source(source("seat-01"), true).await.unwrap();
    silence(&mut [&mut publisher, &mut viewer], Duration::from_secs(2)).await;
    hub.media.pause_source(source("seat-01"), false).await.unwrap();
    stream_until(&mut publisher, &mut [&mut viewer], 2, "the picture", |v| {
        v[0].video_marks().iter().filter(|mark| **mark == 2).count() > 120
    })
    .await;
    assert_eq!(freezes().await, before, "nothing was to be seen");
    silence(&mut [&mut publisher, &mut viewer], Duration::from_millis(5_500)).await;
    stream_until(&mut publisher, &mut [&mut viewer], 3, "the picture", |v| v[0].video_marks().contains(&3)).await;
    assert_eq!(freezes().await, before + 1, "the screen stood still");
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_does_not_reach_the_viewer_nor_stop_it() {
    let hub = start("junk", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    let (mut viewer, _) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    let udp = hub.udp;
    let junk = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut packet = [0u8; 200];
        for n in 0..20_000u32 {
            packet[0] = [0, 1, 22, 0x80, 0xff][n as usize % 5];
            packet[1..5].copy_from_slice(&n.to_be_bytes());
            if n % 10 == 0 {
                packet[..8].copy_from_slice(&[0, 1, 0, 180, 0x21, 0x12, 0xa4, 0x42]);
            }
            let _ = socket.send_to(&packet, udp);
        }
    });
    stream_until(&mut publisher, &mut [&mut viewer], 1, "the picture", |v| v[0].received.len() > 300).await;
    junk.join().unwrap();
    assert!(viewer.is_unbroken());
    assert!(stats(&hub).await.junk > 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_goes_away_is_noticed_and_may_come_back() {
    let mut hub = start("gone", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    publisher.frame(None, true, 6, 1);
    event(&mut hub, &mut [&mut publisher], |e| matches!(e, MediaEvent::SourceUp { .. })).await;
    publisher.paused = true;
    let since = Instant::now();
    event(&mut hub, &mut [&mut publisher], |e| matches!(e, MediaEvent::SourceDown { .. })).await;
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    publisher.paused = false;
    let end = Instant::now() + Duration::from_secs(3);
    stream_until(&mut publisher, &mut [], 1, "time", |_| Instant::now() > end).await;
    event(&mut hub, &mut [&mut publisher], |e| matches!(e, MediaEvent::SourceUp { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_unknown_sessions() {
    let limits = Limits { publishers: 1, viewers: 1, ..Limits::default() };
    let hub = start("limits", limits);
    let _publisher = Peer::publish(&hub, "seat-01", false).await;
    let offer = Peer::view_offer().replace("a=recvonly", "a=sendonly");
    assert_eq!(hub.media.publish(source("seat-02"), offer, false).await, Err(MediaError::Full));
    let without = Peer::view_offer().replace("H264", "H263");
    assert!(
        matches!(hub.media.view(source("seat-01"), without).await, Err(MediaError::BadSdp(why)) if why.contains("H264"))
    );
    let (_viewer, session) = Peer::view(&hub, "seat-01").await;
    assert_eq!(hub.media.view(source("seat-01"), Peer::view_offer()).await, Err(MediaError::Full));
    assert_eq!(hub.media.trickle(session, "\"x\"", "a=end-of-candidates".into()).await, Err(MediaError::StaleEtag));
    assert!(matches!(hub.media.restart(session, "a=end-of-candidates".into()).await, Err(MediaError::BadSdp(_))));
    hub.media.close(session).await.unwrap();
    assert_eq!(hub.media.close(session).await, Err(MediaError::NotFound));
    assert!(matches!(
        hub.media.publish(source("x"), "v=0\r\nm=video nonsense".into(), false).await,
        Err(MediaError::BadSdp(_))
    ));
    hub.media.stop().await.unwrap();
    assert!(matches!(hub.media.stats().await, Err(MediaError::Internal(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_over_ice_tcp() {
    let hub = start("tcp", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    let mut viewer = Peer::view_tcp(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    stream_until(&mut publisher, &mut [&mut viewer], 1, "60 packets over TCP", |v| v[0].received.len() > 60).await;
    assert!(viewer.is_unbroken());
}

#[tokio::test(flavor = "multi_thread")]
async fn ice_restarts_without_an_end_of_the_picture() {
    let hub = start("restart", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    let (mut viewer, session) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    stream_until(&mut publisher, &mut [&mut viewer], 1, "the start", |v| v[0].received.len() > 30).await;

    let fragment = viewer.restart_fragment();
    let (answer, etag) = hub.media.restart(session, fragment).await.unwrap();
    assert!(etag.starts_with('"') && answer.contains("a=ice-ufrag:") && answer.contains("a=candidate:"));
    assert_eq!(hub.media.trickle(session, "\"old\"", "a=end-of-candidates".into()).await, Err(MediaError::StaleEtag));
    viewer.restarted(&answer);
    hub.media.trickle(session, &etag, viewer.candidates()).await.unwrap();
    let before = viewer.received.len();
    // Longer than a dead path would live.
    let end = Instant::now() + Duration::from_secs(6);
    stream_until(&mut publisher, &mut [&mut viewer], 2, "time", |_| Instant::now() > end).await;
    assert!(viewer.received.len() > before + 1000, "{} then {}", before, viewer.received.len());
    assert!(stats(&hub).await.sources[0].viewers[0].connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whose_path_died_may_restart_and_the_end_of_each_session_is_told() {
    let mut hub = start("ended", Limits::default());
    let mut publisher = Peer::publish(&hub, "seat-01", false).await;
    connect(&mut [&mut publisher]).await;
    let (mut viewer, session) = Peer::view(&hub, "seat-01").await;
    connect(&mut [&mut publisher, &mut viewer]).await;
    viewer.paused = true;
    let mut ended = Vec::new();
    event(&mut hub, &mut [&mut publisher, &mut viewer], |e| match e {
        MediaEvent::Ended { .. } => panic!("its path is dead, it lives"),
        e => matches!(e, MediaEvent::ViewerDown { session: of, .. } if *of == session),
    })
    .await;
    hub.media.restart(session, viewer.restart_fragment()).await.unwrap();
    hub.media.close(session).await.unwrap();
    hub.media.close_source(source("seat-01")).await.unwrap();
    while ended.len() < 2 {
        let e = event(&mut hub, &mut [], |e| matches!(e, MediaEvent::Ended { .. })).await;
        if let MediaEvent::Ended { session } = e {
            ended.push(session);
        }
    }
    assert_eq!(ended[0], session);
    assert_ne!(ended[1], session, "the publisher's");
}
