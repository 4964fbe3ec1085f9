//! Someone in the room floods the media port: 10,000 packets a second for 10 s. The picture loses a frame at most.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{load::Viewer, netns::Lan, panel::Panel};

use super::room::{HUB, PATIENCE, Room, SHAPE, TABLETS};

const DURING: Duration = Duration::from_secs(10);
const RATE: u64 = 10_000;

#[test]
fn junk_does_not_disturb_the_picture() -> Result<()> {
    let room = Room::new()?;
    let tablet = room.lan.machine("tablet", TABLETS)?;
    let intruder = room.lan.machine("intruder", 66)?;
    let tasks = tablet.tasks()?;
    let (_student, publisher) = room.publisher(&tasks, TABLETS, 1)?;
    room.show(1, None)?;
    let area = Panel::area(1, 0, SHAPE);
    room.moves(area, PATIENCE)?;
    // A second panel counts packets and frames, as the window of the first is read only so often.
    let anyone = room.hub.anyone()?;
    let teacher = &room.teacher;
    let second = room.hub_ns.block_on(|| anyone.pair("second", teacher))??;
    let far = room.hub.anyone_far()?.with(second.proof);
    let viewer =
        tasks.run(async move { Viewer::start(&far, "/whep/seat-01", IpAddr::V4(Lan::address(TABLETS))).await })?;
    let began = Instant::now();
    while viewer.frames() < 30 {
        ensure!(began.elapsed() < PATIENCE, "the second panel has no picture");
        room.panel.stamps(area, Duration::from_millis(100))?;
    }

    let calm = room.panel.stamps(area, DURING)?.len();
    let (frames, sent_before, lost) = (viewer.frames(), publisher.frames(), viewer.lost());
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (over, sent) = (&over, &sent);
    let stormy = std::thread::scope(|scope| {
        let flood = scope.spawn(|| intruder.enter(|| flood(Lan::address(HUB), room.hub.media, over, sent)));
        let seen = room.panel.stamps(area, DURING);
        over.store(true, Relaxed);
        flood.join().expect("the flood's thread")??;
        seen
    })?
    .len();
    let (arrived, published) = (viewer.frames() - frames, publisher.frames() - sent_before);
    let rate = sent.load(Relaxed) as f64 / DURING.as_secs_f64();
    println!(
        "{rate:.0} junk packets a second: {arrived} of {published} frames arrived, {} packets lost; window: {stormy} pictures, {calm} without junk",
        viewer.lost().saturating_sub(lost)
    );
    ensure!(rate > RATE as f64 * 0.9, "only {rate:.0} junk packets a second were sent");
    ensure!(arrived + 2 >= published, "{arrived} of {published} frames arrived under junk");
    ensure!(stormy as f64 >= calm as f64 * 0.95, "{stormy} pictures in the window, {calm} without junk");
    ensure!(publisher.state() == viewer.state(), "{:?} and {:?}", publisher.state(), viewer.state());
    // And the hub still takes newcomers.
    room.hub_ns.block_on(|| async { anyone.get("/healthz").await?.done() })?.context("still served")
}

/// Random bytes, and random bytes that begin as STUN, DTLS, RTP or RTCP do.
fn flood(hub: Ipv4Addr, port: u16, over: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((hub, port))?;
    let heads: [&[u8]; 6] = [
        &[],
        &[0, 1, 0, 24, 0x21, 0x12, 0xa4, 0x42],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0],
        &[0x80, 96],
        &[0x80, 0xe0],
        &[0x81, 206, 0, 2],
    ];
    let mut random = 0x1234_5678_9abc_def1_u64;
    let mut packet = [0; 1400];
    let began = Instant::now();
    let mut count = 0;
    while !over.load(Relaxed) {
        let due = (began.elapsed().as_secs_f64() * RATE as f64) as u64;
        while count < due {
            for chunk in packet.chunks_mut(8) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                chunk.copy_from_slice(&random.to_le_bytes()[..chunk.len()]);
            }
            let head = heads[(random % 6) as usize];
            packet[..head.len()].copy_from_slice(head);
            let length = 1 + (random >> 8) as usize % 1399;
            // A full buffer loses the packet, as it would on any network.
            let _ = socket.send(&packet[..length.max(head.len())]);
            count += 1;
        }
        sent.store(count, Relaxed);
        std::thread::yield_now();
    }
    Ok(())
}
