//! What the pages and the API are made of: each group of routes gets its own handles and no more.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use appliance_core::{
    library::{address::Hosts, evict::Limits, night::Night},
    pairing::Pairing,
    policy::host_name,
    room::Facts,
    throttle::Rule as Tries,
};
use axum::http::Uri;
use tokio::sync::watch;

use crate::{
    agents::{Authority, OrdersKey},
    alarms::Alarms,
    cache::Cache,
    config::Config,
    dns,
    figures::{self, Figures},
    health::Health,
    keeping::Keeping,
    library::Library,
    media::{self, MediaConfig, MediaHandle},
    policy,
    presence::Presence,
    relay::Relay,
    room,
    room::RoomHandle,
    staff::{BoxKey, Passwords},
    store::{self, Store},
    telemetry,
    thumbnails::Thumbnails,
    tls::Certificate,
    usage::{Recorder, SchoolKey},
    web,
};

#[expect(clippy::too_many_arguments, reason = "the one place where everything meets")]
pub(super) fn parts(
    config: &Config,
    store: &Store,
    key: &Arc<BoxKey>,
    room: &RoomHandle,
    media: &MediaHandle,
    health: &Health,
    keeping: &Keeping,
    thumbnails: Thumbnails,
    owners: &web::media::Owners,
    presence: &Presence,
    facts: Arc<Facts>,
    homes: Arc<str>,
    agent: web::agent::AgentState,
    (library, recorder): (&Library, &Recorder),
    policy: web::policy::PolicyState,
    usage: web::usage::UsageState,
    doors: &web::doors::Doors,
    (setup_tx, setup): (watch::Sender<bool>, watch::Receiver<bool>),
    closing: watch::Receiver<bool>,
) -> anyhow::Result<web::Parts> {
    let ops_token = telemetry::bearer(config.metrics.bearer_file.as_deref())?;
    let idle = config.limits.idle();
    let accounts = store.accounts();
    let gate = web::gate::Gate::new(
        key.clone(),
        room.clone(),
        accounts.clone(),
        store.panels(),
        store.sources(),
        store.agents(),
        ops_token,
        idle,
        presence.clone(),
    );
    let relay = Relay::load(config.home.relays.clone(), config.home.secret_file.as_deref());
    let relay = relay.map_err(|reason| anyhow::anyhow!("[home] secret_file: {reason}"))?;
    // The school's own document as soon as it is read, like the resolver; before that the one that comes with the box.
    let standard =
        figures::platforms(&classroom_protocol::policy::Document::standard().context("the policy document")?);
    let rules = policy.rules.clone();
    let platforms = move || {
        let rules = rules.borrow();
        rules.as_ref().map_or_else(|| standard.clone(), |rules| figures::platforms(rules.document()))
    };
    let audit = web::audit::Auditor(store.audit());
    let guesses = || web::gate::Guesses::new(Tries::CODE, Some(Tries::CODE_ALL));
    Ok(web::Parts {
        pages: web::pages::PagesState { facts: facts.clone(), health: health.clone(), keeping: keeping.clone() },
        join: web::join::JoinState {
            room: room.clone(),
            key: key.clone(),
            guesses: guesses(),
            facts: facts.clone(),
            thumbnails: thumbnails.clone(),
            setup,
            keeping: keeping.clone(),
        },
        home: web::home::HomeState { room: room.clone(), key: key.clone(), base: homes, audit: audit.clone() },
        teach: web::teach::TeachState {
            room: room.clone(),
            classes: store.classes(),
            lessons: store.lessons(),
            thumbnails,
            most_students: usize::from(config.limits.students.get()),
            rules: policy.rules.clone(),
            audit: audit.clone(),
        },
        attendance: web::attendance::AttendanceState { lessons: store.lessons(), audit: audit.clone() },
        library: web::library::LibraryState {
            library: library.clone(),
            key: key.clone(),
            room: room.clone(),
            recorder: recorder.clone(),
            audit: audit.clone(),
        },
        staff: web::staff::StaffState {
            accounts,
            codes: store.codes(),
            key: key.clone(),
            passwords: Passwords::new().context("the password hasher")?,
            sign_ins: web::gate::Guesses::new(Tries::SIGN_IN, None),
            accounts_tried: web::gate::Guesses::new(Tries::SIGN_IN_ALL, None),
            failures: store.failures(),
            idle,
            gate: gate.clone(),
            audit: audit.clone(),
            setup: Arc::new(setup_tx),
        },
        figures: web::figures::FiguresState {
            figures: Figures::new(store.figures(), config.figures.parameters(), platforms),
            store: store.figures(),
            classes: store.classes(),
            registers: store.registers(),
            audit: audit.clone(),
        },
        register: web::register::RegisterState {
            registers: store.registers(),
            facts: facts.clone(),
            most_students: usize::from(config.limits.students.get()),
            audit: audit.clone(),
        },
        panels: web::panels::PanelsState {
            room: room.clone(),
            panels: store.panels(),
            sources: store.sources(),
            pairing: Arc::new(Mutex::new(Pairing::default())),
            guesses: guesses(),
            asked: web::gate::Guesses::new(Tries::PAIR, None),
            facts: facts.clone(),
            audit,
        },
        media: web::media::MediaState {
            media: media.clone(),
            room: room.clone(),
            owners: owners.clone(),
            relay: Arc::new(relay),
        },
        policy,
        record: web::record::RecordState { log: store.access(), audit: web::audit::Auditor(store.audit()) },
        ws: web::ws::WsState {
            room: room.clone(),
            facts,
            gate: gate.clone(),
            closing,
            places: web::ws::Places::new(usize::from(config.limits.pages.get())),
        },
        alarms: web::alarms::AlarmState {
            alarms: agent.alarms.clone(),
            recorder: recorder.clone(),
            room: room.clone(),
            audit: web::audit::Auditor(store.audit()),
        },
        agent,
        keeping: web::keeping::KeepingState { keeping: keeping.clone(), audit: web::audit::Auditor(store.audit()) },
        metrics: web::metrics::MetricsState {
            media: media.clone(),
            room: room.clone(),
            outbox: usage.outbox.clone(),
            delivery: usage.delivery.clone(),
            key_trouble: usage.key.trouble,
            doors: doors.clone(),
            keeping: keeping.clone(),
        },
        usage,
        gate,
    })
}

/// The library: its list in the store, its content in a folder of its own.
pub(super) async fn library(config: &Config, store: &Store, list_lost: bool) -> anyhow::Result<Library> {
    let of = &config.library;
    let folder = of.path.clone().unwrap_or_else(|| config.store.path.join("library"));
    let megabytes = |count: u64| count.saturating_mul(1_000_000);
    let limits = Limits { most: megabytes(of.most_mb), keep_free: megabytes(of.keep_free_mb) };
    let hosts = Hosts { only: of.hosts.clone(), private: of.private_hosts.clone() };
    let night = Night { from: of.night_from, until: of.night_until, budget: megabytes(of.night_mb) };
    let cache = Cache::open(&folder, limits, hosts)?;
    let opened = Library::open(folder, cache, store.library(), night, megabytes(of.upload_mb), list_lost);
    opened.await.map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// What the routes of take-home devices need; `port` is where they are served.
pub(super) fn agent_state(
    config: &Config,
    store: &Store,
    key: &Arc<BoxKey>,
    rules: watch::Receiver<Option<Arc<dns::Rules>>>,
    (recorder, room): (Recorder, &RoomHandle),
    port: Option<u16>,
) -> anyhow::Result<web::agent::AgentState> {
    let terms = web::agent::Terms {
        port,
        end_programs: config.agents.end_programs,
        home_addresses: config.agents.home_addresses.clone(),
        own_names: box_names(config),
    };
    Ok(web::agent::AgentState {
        agents: store.agents(),
        registers: store.registers(),
        authority: Arc::new(Authority::load_or_create(&config.store.path)?),
        orders_key: Arc::new(OrdersKey::load_or_create(&config.store.path).context("the key of the orders")?),
        key: key.clone(),
        recorder,
        alarms: Alarms::new(store.alarms(), room.clone()),
        figures: store.figures(),
        rules,
        guesses: web::gate::Guesses::new(Tries::CODE, Some(Tries::CODE_ALL)),
        audit: web::audit::Auditor(store.audit()),
        terms: Arc::new(terms),
    })
}

/// The names at which devices meet the box: those of the pages and of the certificate, that of homes, and those of the
/// agents' listener. Addresses of numbers are no names: nobody asks for them.
fn box_names(config: &Config) -> Vec<String> {
    let host = |url: &String| url.parse::<Uri>().ok()?.host().map(str::to_owned);
    let of_certificate = || {
        let loaded = Certificate::load(config.https.certificate.as_ref()?, config.https.key.as_ref()?);
        loaded.ok()?.facts().host()
    };
    let room = config.https.name.clone().into_iter().chain(of_certificate());
    let homes = config.home.url.as_ref().and_then(host);
    let devices = config.agents.home_addresses.iter().filter_map(|at| at.rsplit_once(':'));
    let devices = devices.map(|(name, _)| name.to_owned());
    let all = room.chain(homes).chain(devices).filter_map(|name| host_name(&name).ok());
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The table of routes without a running box, for `appliance routes`.
///
/// # Errors
/// When a folder for the throw-away store can't be made.
pub async fn route_table() -> anyhow::Result<Vec<web::Declared>> {
    let folder = std::env::temp_dir().join(format!("classroom-routes-{}", uuid::Uuid::now_v7()));
    let config = Config { store: crate::config::StoreFolder { path: folder.clone() }, ..Config::default() };
    let opened = store::open(&folder, 0)?;
    let key = Arc::new(BoxKey::random()?);
    let (_task, room, _effects) = room::open(appliance_core::room::Room::default());
    let (media, _events) = media::start(MediaConfig::on_loopback(&folder))?;
    let facts = Arc::new(Facts { room: String::new(), join_url: String::new(), notice: None });
    let school = Arc::new(SchoolKey::load_or_create(&folder)?);
    let recorder = Recorder::new(opened.store.usage(), school.clone());
    let usage = web::usage::UsageState {
        recorder: recorder.clone(),
        outbox: opened.store.outbox(),
        delivery: Arc::default(),
        key: web::usage::KeyState {
            folder: folder.clone(),
            key: school,
            store: opened.store.school_keys(),
            trouble: None,
        },
    };
    let agent = agent_state(&config, &opened.store, &key, watch::channel(None).1, (recorder.clone(), &room), None)?;
    let parts = parts(
        &config,
        &opened.store,
        &key,
        &room,
        &media,
        &Health::new(media.clone(), opened.store.rooms()),
        &Keeping::new(folder.clone(), folder.join("backups")),
        Thumbnails::default(),
        &web::media::Owners::default(),
        &Presence::default(),
        facts,
        "".into(),
        agent,
        (&library(&config, &opened.store, false).await?, &recorder),
        web::policy::PolicyState {
            rules: watch::channel(None).1,
            unused: watch::channel(None).1,
            refusals: policy::Refusals::default(),
            join_url: String::new(),
            portal_port: 80,
        },
        usage,
        &web::doors::Doors::default(),
        watch::channel(false),
        watch::channel(false).1,
    )?;
    let table = web::routes(&parts).table;
    drop(parts);
    media.stop().await?;
    tokio::task::spawn_blocking(move || opened.keeper.close()).await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_names_of_the_box_are_those_that_devices_ask_for() {
        let mut config = Config::default();
        assert_eq!(box_names(&config), [] as [&str; 0]);
        config.https.name = Some("room501.school.example".into());
        config.home.url = Some("https://lesson.school.example:8443/x".into());
        config.agents.home_addresses =
            ["lesson.school.example:8442", "192.0.2.7:8442", "[2001:db8::7]:8442"].map(str::to_owned).into();
        assert_eq!(box_names(&config), ["lesson.school.example", "room501.school.example"]);
    }
}
