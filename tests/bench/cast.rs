//! Family `cast`: what it costs to bring one screen to many, and how long it takes.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result};
use classroom_protocol::{SourceId, TeacherCommand};
use harness::{
    hub::Hub,
    people::Caller,
    proc::{cpu_time, memory},
};
use str0m::media::{Direction, Mid};

use crate::{
    Settings, glass,
    janus::Janus,
    memory as ram,
    peer::Peer,
    report::{Row, median},
    swarm::{Report, Swarm},
};

const JANUS: &str = "Janus 1.1.2 videoroom, event_loops=1";

/// Viewers of the forward measures, and of the smaller crowd that memory is compared with.
const VIEWERS: (u32, u32) = (35, 5);
/// Not counted: encoders of estimates, caches and queues settle.
const WARM_UP: Duration = Duration::from_secs(4);
const MEASURE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(60);

/// Runs what is wanted of the family; a measure that fails is a row that says why.
pub(crate) async fn run(settings: &Settings, rows: &mut Vec<Row>) {
    if ["cast.forward_cpu", "cast.forward_delay", "cast.viewer_memory"].iter().any(|key| settings.wants(key)) {
        forward(settings, rows).await;
    }
    if settings.wants("cast.glass_to_glass") {
        glass::glass_to_glass(settings, rows).await;
    }
    if settings.wants("cast.tap_to_picture") {
        glass::tap_to_picture(settings, rows).await;
    }
    if settings.wants("cast.share_to_picture") {
        glass::share_to_picture(settings, rows).await;
    }
    if settings.wants("cast.memory_rest") {
        ram::rest(settings, rows).await;
    }
    if settings.wants("cast.memory_class") {
        ram::class(settings, rows).await;
    }
}

/// One round of forwarding through one server.
#[derive(Debug, Default)]
struct Forward {
    /// µs of the server's CPU time for a packet that reached a viewer.
    cpu: Vec<f64>,
    /// Milliseconds, 99th percentile.
    delay: Vec<f64>,
    /// Milliseconds, median; for the note.
    middle: Vec<f64>,
    /// MB of memory for a viewer.
    memory: Vec<f64>,
    /// Share of packets that arrived, worst round.
    delivered: Vec<f64>,
    failures: Vec<String>,
}

impl Forward {
    fn add(&mut self, round: Result<(Report, f64, f64)>) {
        match round {
            Ok((report, cpu, memory)) => {
                self.cpu.push(cpu);
                self.delay.push(report.p99.as_secs_f64() * 1e3);
                self.middle.push(report.p50.as_secs_f64() * 1e3);
                self.memory.push(memory);
                self.delivered.push(report.delivered());
            }
            Err(e) => self.failures.push(format!("{e:#}")),
        }
    }

    fn words(&self) -> String {
        let worst = self.delivered.iter().copied().fold(1.0, f64::min);
        let middle = median(&self.middle).unwrap_or_default();
        let failures = self.failures.join(" | ");
        format!("p50 delay {middle:.1} ms, {:.2} % delivered {failures}", worst * 100.0)
    }
}

async fn forward(settings: &Settings, rows: &mut Vec<Row>) {
    let (mut ours, mut theirs) = (Forward::default(), Forward::default());
    for _ in 0..settings.rounds {
        ours.add(forward_hub().await);
        theirs.add(forward_janus().await);
    }
    let note = format!("ours {}; Janus {}", ours.words(), theirs.words());
    let mut row = |key, unit, mine: &[f64], other: &[f64], goal| {
        rows.push(Row::against((key, unit), mine, (JANUS, other), goal, &note));
    };
    row("cast.forward_cpu", "µs", &ours.cpu, &theirs.cpu, 0.35);
    row("cast.forward_delay", "ms", &ours.delay, &theirs.delay, 0.5);
    row("cast.viewer_memory", "MB", &ours.memory, &theirs.memory, 0.5);
}

async fn forward_hub() -> Result<(Report, f64, f64)> {
    let address = media_address()?;
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    teacher.start_lesson(1).await?;
    let panel = hub.anyone()?.pair("bench", &teacher).await?;
    teacher.command(&TeacherCommand::Show { source: SourceId::teacher(), tile: None }).await?;
    let mut publisher = Peer::new(address)?;
    let mid = negotiate(&teacher, "/whip/teacher", &mut publisher, Direction::SendOnly).await?;
    let swarm = Swarm::start(publisher, mid);
    swarm.wait_for(0, CONNECT)?;
    let mut small = 0;
    for n in 1..=VIEWERS.0 {
        let mut viewer = Peer::new(address)?;
        negotiate(&panel, "/whep/teacher", &mut viewer, Direction::RecvOnly).await?;
        swarm.add(viewer)?;
        if n == VIEWERS.1 {
            small = settled(&swarm, hub.pid())?;
        }
    }
    swarm.wait_for(VIEWERS.0, CONNECT)?;
    measure(&swarm, hub.pid(), small)
}

async fn negotiate(caller: &Caller, path: &str, peer: &mut Peer, direction: Direction) -> Result<Mid> {
    let (offer, pending, mid) = peer.offer(direction)?;
    let reply = caller.offer(path, &offer).await?;
    reply.done().with_context(|| format!("{path} refused"))?;
    peer.answered(pending, &reply.text())?;
    Ok(mid)
}

async fn forward_janus() -> Result<(Report, f64, f64)> {
    let address = media_address()?;
    let mut janus = Janus::start(address).await?;
    let mut publisher = Peer::new(address)?;
    let mid = janus.publish(&mut publisher).await?;
    let swarm = Swarm::start(publisher, mid);
    swarm.wait_for(0, CONNECT)?;
    let mut small = 0;
    for n in 1..=VIEWERS.0 {
        let mut viewer = Peer::new(address)?;
        janus.subscribe(&mut viewer).await?;
        swarm.add(viewer)?;
        if n == VIEWERS.1 {
            small = settled(&swarm, janus.pid())?;
        }
    }
    swarm.wait_for(VIEWERS.0, CONNECT)?;
    measure(&swarm, janus.pid(), small)
}

/// Memory of the server with the smaller crowd.
fn settled(swarm: &Swarm, pid: u32) -> Result<u64> {
    swarm.wait_for(VIEWERS.1, CONNECT)?;
    std::thread::sleep(WARM_UP);
    Ok(memory(pid)?.resident)
}

fn measure(swarm: &Swarm, pid: u32, small: u64) -> Result<(Report, f64, f64)> {
    std::thread::sleep(WARM_UP);
    let before = cpu_time(pid)?;
    let report = swarm.measure(MEASURE)?;
    let used = cpu_time(pid)? - before;
    let grown = memory(pid)?.resident.saturating_sub(small);
    let cpu = used.as_secs_f64() * 1e6 / report.received as f64;
    Ok((report, cpu, grown as f64 / 1e6 / f64::from(VIEWERS.0 - VIEWERS.1)))
}

/// An address of this machine that is not loopback, which Janus and GStreamer do not use. Packets to it stay inside.
pub(crate) fn media_address() -> Result<Ipv4Addr> {
    nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .find(|address| !address.is_loopback())
        .context("the machine has no IPv4 address besides loopback")
}
