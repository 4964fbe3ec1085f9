//! `GET /metrics`: what Prometheus reads.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{doors::Doors, reply::Refusal};
use crate::{
    clock,
    delivery::DeliveryStats,
    keeping::Keeping,
    media::{MediaHandle, MediaStats, PublisherStats, ViewerStats},
    room::RoomHandle,
    store::{Outbox, StoreError},
    telemetry,
};

/// What the metrics are read from.
#[derive(Clone)]
pub struct MetricsState {
    /// The forwarder.
    pub media: MediaHandle,
    /// The room.
    pub room: RoomHandle,
    /// What is to be delivered upstream.
    pub outbox: Outbox,
    /// What its delivery has come to.
    pub delivery: Arc<DeliveryStats>,
    /// Why nothing is delivered.
    pub key_trouble: Option<&'static str>,
    /// Who is in.
    pub doors: Doors,
    /// What the disk does not take.
    pub keeping: Keeping,
}

/// One encoding of a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stream {
    source: String,
    kind: &'static str,
    layer: &'static str,
}

/// One viewer. The session's name is cut short: it tells viewers apart and opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Viewer {
    source: String,
    viewer: String,
}

type Count<L> = Family<L, Counter>;
type Level<L> = Family<L, Gauge<f64, AtomicU64>>;

#[derive(Default)]
struct Streams {
    packets: Count<Stream>,
    bytes: Count<Stream>,
    lost: Count<Stream>,
    bitrate: Level<Stream>,
    frame_rate: Level<Stream>,
    freezes: Count<Stream>,
    keyframes: Count<Stream>,
    age: Level<Stream>,
}

#[derive(Default)]
struct Viewers {
    packets: Count<Viewer>,
    bytes: Count<Viewer>,
    loss: Level<Viewer>,
    estimate: Level<Viewer>,
    layer: Level<Viewer>,
    rtt: Level<Viewer>,
    nacks: Count<Viewer>,
    plis: Count<Viewer>,
    dropped: Count<Viewer>,
}

/// Answers in the text format of OpenMetrics.
///
/// # Errors
/// `internal` when the forwarder is gone.
pub async fn metrics(State(state): State<MetricsState>) -> Result<Response, Refusal> {
    let stats = state.media.stats().await.map_err(|error| Refusal::internal(&error))?;
    let mut registry = Registry::with_prefix("classroom");
    describe(&mut registry, &stats);
    let room = Gauge::<i64>::default();
    room.set(i64::from(state.room.now().lesson_id().is_some()));
    registry.register("lesson", "1 while a lesson is running", room);
    let (inside, refused) = state.doors.counts();
    let connections = Gauge::<i64>::default();
    connections.set(i64::try_from(inside).unwrap_or(i64::MAX));
    registry.register("connections", "Connections that are open to the pages and the interface", connections);
    registry.register(
        "connections_refused",
        "Connections that were not let in, there being too many",
        counted(refused),
    );
    let keeping = state.keeping.now();
    let at_present: [(&str, &str, u64); 2] = [
        (
            "records_waiting",
            "Records that wait for room on the disk",
            u64::try_from(keeping.waiting()).unwrap_or(u64::MAX),
        ),
        (
            "database_set_aside",
            "1 until someone knows that the database was set aside",
            keeping.set_aside.is_some().into(),
        ),
    ];
    for (name, help, value) in at_present {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(level(value));
        registry.register(name, help, gauge);
    }
    let lost = counted(keeping.lost);
    registry.register("records_lost", "Records that were lost, as too many waited for room on the disk", lost);
    telemetry::register_process(&mut registry);
    deliveries(&mut registry, &state).await.map_err(|error| Refusal::internal(&error))?;
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Refusal::internal(&error))?;
    let mut response = text.into_response();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn describe(registry: &mut Registry, stats: &MediaStats) {
    let (streams, viewers) = (Streams::default(), Viewers::default());
    for source in &stats.sources {
        let name = source.source.to_string();
        source.publisher.iter().for_each(|publisher| streams.add(&name, publisher));
        source.viewers.iter().for_each(|viewer| viewers.add(&name, viewer));
    }
    streams.register(registry);
    viewers.register(registry);
    for (name, help, value) in [
        ("media_junk_datagrams", "Datagrams that belong to no session", stats.junk),
        ("media_send_dropped", "Datagrams that the kernel did not take", stats.send_dropped),
        ("media_events_dropped", "Events that nobody read in time", stats.events_dropped),
        ("media_forwarded_packets", "RTP packets sent to viewers", stats.forwarded),
    ] {
        registry.register(name, help, counted(value));
    }
}

async fn deliveries(registry: &mut Registry, state: &MetricsState) -> Result<(), StoreError> {
    let (outbox, stats) = (state.outbox.state().await?, &state.delivery);
    let age = outbox.oldest.map_or(0, |oldest| clock::now().saturating_sub(oldest) / 1000);
    let at_present: [(&str, &str, u64); 5] = [
        (
            "usage_stopped",
            "1 while nothing is delivered because of the school's key",
            state.key_trouble.is_some().into(),
        ),
        ("usage_waiting", "Usage events that wait for their delivery", outbox.waiting),
        ("usage_oldest_seconds", "Age of the oldest of them", age),
        ("usage_refused", "Statements that the upstream refuses for good", outbox.refused),
        ("usage_failures", "Deliveries that failed since the last good one", stats.failures.load(Relaxed)),
    ];
    for (name, help, value) in at_present {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(level(value));
        registry.register(name, help, gauge);
    }
    registry.register("usage_delivered", "Statements that the upstream has confirmed", counted(outbox.delivered));
    registry.register("usage_requests", "Requests to the upstream", counted(stats.requests.load(Relaxed)));
    let refused_all = counted(stats.refused_all.load(Relaxed));
    registry.register("usage_refused_all", "Times that the upstream refused everything", refused_all);
    Ok(())
}

fn counted(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; nothing here comes near 2^53")]
fn level(value: u64) -> f64 {
    value as f64
}

impl Streams {
    fn add(&self, source: &str, publisher: &PublisherStats) {
        for layer in &publisher.layers {
            let labels = Stream {
                source: source.to_owned(),
                kind: if layer.video { "video" } else { "audio" },
                layer: layer.layer.map_or("", |layer| layer.rid()),
            };
            self.packets.get_or_create(&labels).inc_by(layer.packets);
            self.bytes.get_or_create(&labels).inc_by(layer.bytes);
            self.lost.get_or_create(&labels).inc_by(layer.lost);
            self.freezes.get_or_create(&labels).inc_by(layer.freezes);
            self.keyframes.get_or_create(&labels).inc_by(layer.keyframes);
            self.bitrate.get_or_create(&labels).set(level(layer.bitrate));
            self.frame_rate.get_or_create(&labels).set(f64::from(layer.frames_per_second));
            self.age.get_or_create(&labels).set(layer.age.as_secs_f64());
        }
    }

    fn register(self, registry: &mut Registry) {
        registry.register("stream_packets", "RTP packets received", self.packets);
        registry.register("stream_bytes", "RTP payload bytes received", self.bytes);
        registry.register("stream_lost", "RTP packets that never came", self.lost);
        registry.register("stream_bitrate_bps", "Bits per second over the last second", self.bitrate);
        registry.register("stream_frame_rate", "Complete frames over the last second", self.frame_rate);
        registry.register(
            "stream_freezes",
            "Gaps between frames of more than 500 ms and three times the usual one",
            self.freezes,
        );
        registry.register("stream_keyframes", "Keyframes begun", self.keyframes);
        registry.register("stream_age_seconds", "Time since the last packet", self.age);
    }
}

impl Viewers {
    fn add(&self, source: &str, stats: &ViewerStats) {
        let viewer = stats.session.to_string().chars().take(8).collect();
        let labels = Viewer { source: source.to_owned(), viewer };
        self.packets.get_or_create(&labels).inc_by(stats.packets);
        self.bytes.get_or_create(&labels).inc_by(stats.bytes);
        self.nacks.get_or_create(&labels).inc_by(stats.nacks);
        self.plis.get_or_create(&labels).inc_by(stats.plis);
        self.dropped.get_or_create(&labels).inc_by(stats.dropped);
        self.loss.get_or_create(&labels).set(f64::from(stats.loss));
        self.estimate.get_or_create(&labels).set(level(stats.estimate));
        self.rtt.get_or_create(&labels).set(stats.rtt.map_or(f64::NAN, |rtt| rtt.as_secs_f64()));
        let layer = stats.layer.map_or(f64::NAN, |layer| f64::from(layer as u8));
        self.layer.get_or_create(&labels).set(layer);
    }

    fn register(self, registry: &mut Registry) {
        registry.register("viewer_packets", "RTP packets sent", self.packets);
        registry.register("viewer_bytes", "RTP bytes sent", self.bytes);
        registry.register("viewer_loss_ratio", "Loss that the viewer reports, 0 to 1", self.loss);
        registry.register("viewer_estimate_bps", "What the path to the viewer can carry", self.estimate);
        registry.register("viewer_layer", "Simulcast layer sent: 0 low, 1 middle, 2 high", self.layer);
        registry.register("viewer_rtt_seconds", "Round trip", self.rtt);
        registry.register("viewer_nacks", "Packets asked for again", self.nacks);
        registry.register("viewer_plis", "Keyframes asked for", self.plis);
        registry.register("viewer_dropped", "Packets thrown away for a slow TCP viewer", self.dropped);
    }
}
