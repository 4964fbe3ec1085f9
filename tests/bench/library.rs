//! Family `library`: a class opens the same thing, cold and warm, against nginx doing the same: over plain HTTP on loopback
//! (`hit_cpu`; there nginx may leave the copying to the kernel), and over TLS as tablets do (`hit_cpu_tls`).

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{
    hub::{self, Hub},
    origin::{Origin, noise},
    people::Proof,
    proc::cpu_time,
    school::School,
};
use reqwest::{Client, RequestBuilder};
use serde_json::json;

use crate::{Settings, nginx::Nginx, report::Row};

const READERS: usize = 35;
const SIZE: usize = 100_000_000;
/// Bytes a second of the school's line in this measure.
const LINE: u64 = 20_000_000;
/// Times that a class opens what is there already.
const WARM: usize = 3;
const TLS_KEY: &str = "library.hit_cpu_tls";
const KEYS: [&str; 4] = ["library.coalesce_bytes", "library.coalesce_time", "library.first_byte", "library.hit_cpu"];

/// What one class has cost.
#[derive(Debug, Clone, Copy, Default)]
struct Class {
    /// Bytes of the origin for each byte of the object.
    bytes: f64,
    /// Until the last reader had everything, for each second that the line alone needs.
    time: f64,
    /// First byte of the slowest reader, in milliseconds.
    first: f64,
    /// CPU milliseconds for each gigabyte served warm.
    cpu: f64,
}

/// Measures all of the family's keys.
pub(crate) async fn run(settings: &Settings, rows: &mut Vec<Row>) {
    over_http(settings, rows).await;
    if settings.wants(TLS_KEY) {
        over_tls(settings.rounds, rows).await;
    }
}

async fn over_tls(rounds: usize, rows: &mut Vec<Row>) {
    let (mut ours, mut theirs, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (found, result) in [(&mut ours, hub_class(true).await), (&mut theirs, nginx_class(true).await)] {
            match result {
                Ok(class) => found.push(class.cpu),
                Err(e) => failures.push(format!("{e:#}")),
            }
        }
    }
    let note = [vec!["TLS 1.3, the same client".into()], failures].concat().join(" | ");
    rows.push(Row::against((TLS_KEY, "ms/GB"), &ours, ("nginx", &theirs), 1.0, &note));
}

async fn over_http(settings: &Settings, rows: &mut Vec<Row>) {
    if !KEYS.iter().any(|key| settings.wants(key)) {
        return;
    }
    let (mut ours, mut theirs, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        match hub_class(false).await {
            Ok(class) => ours.push(class),
            Err(e) => failures.push(format!("{e:#}")),
        }
        match nginx_class(false).await {
            Ok(class) => theirs.push(class),
            Err(e) => failures.push(format!("{e:#}")),
        }
    }
    let note = failures.join(" | ");
    let of = |all: &[Class], which: fn(&Class) -> f64| all.iter().map(which).collect::<Vec<_>>();
    let beside = |which: fn(&Class) -> f64| {
        let theirs = crate::report::median(&of(&theirs, which));
        let said = theirs.map_or("nginx not measured".into(), |value| format!("nginx {value:.2}"));
        format!("{said}{}{note}", if note.is_empty() { "" } else { "; " })
    };
    let alone = |key: &'static str, unit, which: fn(&Class) -> f64, goal| {
        Row::alone((key, unit), &of(&ours, which), goal, &beside(which))
    };
    let mut all = vec![
        alone(KEYS[0], "×", |class| class.bytes, 1.01),
        alone(KEYS[1], "×", |class| class.time, 1.1),
        alone(KEYS[2], "ms", |class| class.first, 100.0),
    ];
    let cpu: fn(&Class) -> f64 = |class| class.cpu;
    all.push(Row::against((KEYS[3], "ms/GB"), &of(&ours, cpu), ("nginx", &of(&theirs, cpu)), 1.0, &note));
    rows.extend(all.into_iter().filter(|row| settings.wants(row.key)));
}

async fn origin() -> Result<Origin> {
    let origin = Origin::start().await?;
    origin.put_bytes("/lesson.mp4", noise(1, SIZE), "\"a\"");
    Ok(origin)
}

/// A client of one reader's connection each, in HTTP/1.1 for both.
fn client(school: Option<&School>) -> Result<Client> {
    // As all clients of the harness: both TLS stacks may be linked in. A second call changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = Client::builder().no_proxy().timeout(Duration::from_secs(600));
    if let Some(school) = school {
        let ca = reqwest::Certificate::from_pem(school.ca_pem.as_bytes())?;
        builder = builder.tls_built_in_root_certs(false).add_root_certificate(ca);
    }
    Ok(builder.build()?)
}

async fn hub_class(tls: bool) -> Result<Class> {
    let origin = origin().await?;
    let config = format!("[library]\nnight_mb = 0\nprivate_hosts = [\"{}\"]\n", origin.host());
    let https = tls.then_some(Ipv4Addr::LOCALHOST);
    let hub = Hub::start_with(hub::Options { config, https, ..hub::Options::default() }).await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    // For tonight: nothing is there before the class asks.
    let body = json!({ "url": origin.url("/lesson.mp4"), "tonight": true });
    let pinned: serde_json::Value = teacher.post("/api/library/pins", &body).await?.json()?;
    let open = pinned["open"].as_str().context("its address")?.to_owned();
    let Proof::Bearer(token) = student.proof else { anyhow::bail!("a student has a token") };
    let client = client(hub.school.as_ref())?;
    let base = if tls { hub.https_base()? } else { hub.base() };
    let pid = hub.pid();
    measure(&origin, || client.get(format!("{base}{open}")).bearer_auth(&token), || cpu_time(pid)).await
}

async fn nginx_class(tls: bool) -> Result<Class> {
    let origin = origin().await?;
    let school = tls.then(|| School::new(Ipv4Addr::LOCALHOST)).transpose()?;
    let nginx = Nginx::start(origin.port, school.as_ref()).await?;
    let client = client(school.as_ref())?;
    let address = format!("{}://127.0.0.1:{}/lesson.mp4", if tls { "https" } else { "http" }, nginx.port);
    measure(&origin, || client.get(&address), || nginx.cpu()).await
}

async fn measure(
    origin: &Origin,
    ask: impl Fn() -> RequestBuilder,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Class> {
    origin.limit(LINE);
    let began = Instant::now();
    let first = class(&ask).await?;
    let took = began.elapsed().as_secs_f64();
    let bytes = origin.sent() as f64 / SIZE as f64;
    // Warm: everything is there.
    let before = cpu()?;
    for _ in 0..WARM {
        class(&ask).await?;
    }
    let spent = cpu()?.saturating_sub(before).as_secs_f64() * 1000.0;
    let gigabytes = (WARM * READERS * SIZE) as f64 / 1e9;
    Ok(Class {
        bytes,
        time: took / (SIZE as f64 / LINE as f64),
        first: first.as_secs_f64() * 1000.0,
        cpu: spent / gigabytes,
    })
}

/// All readers at once; gives when the slowest had its first byte.
async fn class(ask: &impl Fn() -> RequestBuilder) -> Result<Duration> {
    let began = Instant::now();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let request = ask();
            tokio::spawn(async move {
                let mut response = request.send().await?.error_for_status()?;
                let (mut first, mut came) = (None, 0);
                while let Some(chunk) = response.chunk().await? {
                    first.get_or_insert_with(|| began.elapsed());
                    came += chunk.len();
                }
                ensure!(came == SIZE, "{came} bytes came");
                Ok(first.unwrap_or_default())
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for reader in readers {
        slowest = slowest.max(reader.await??);
    }
    Ok(slowest)
}
