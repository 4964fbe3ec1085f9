//! The wiring: makes every part, hands out narrow handles, ends them in order. Nothing is decided here.

mod parts;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use appliance_core::room::{Facts, Input};
use axum::{Router, http::Uri};
use axum_server::Handle;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::interval,
};

pub use parts::route_table;
use parts::{agent_state, library, parts};

use crate::{
    alarms, card, clock,
    config::{Config, Listen, home_allowed, plain_allowed},
    delivery::{Deliverer, DeliveryStats},
    discovery::{self, Announcement},
    dns, effects, figures,
    health::Health,
    keeping::{self, Keeping},
    media::{self, Limits as MediaLimits, MediaConfig, MediaEvent, MediaHandle},
    neighbours, net, policy,
    presence::{self, Presence},
    room,
    room::RoomHandle,
    staff::{self, BoxKey},
    store::{self, Purpose, Store},
    systemd,
    thumbnails::Thumbnails,
    tls::{self, Certificate},
    uplink,
    usage::{self, Recorder},
    web,
};

/// How long requests may take to end when the box stops.
const GOODBYE: Duration = Duration::from_secs(3);
/// How often the school's outer address is asked for. Translators forget an entry after 30 silent seconds or more.
const OUTSIDE: Duration = Duration::from_secs(15);
/// How often the files of the certificate are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(60);
/// A clock that stands further back than this behind the latest record is told.
const CLOCK_BACK_MS: u64 = 600_000;
/// The first teacher's code is good for this long; a restart prints a new one.
const FIRST_CODE_MS: u64 = 24 * 3_600_000;

/// Runs the hub until a signal asks it to stop.
///
/// # Errors
/// What keeps the box from starting: a port in use, a folder that can't be written, a certificate that does not fit.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let opened = store::open(&config.store.path, clock::now()).context("the store")?;
    let store = opened.store;
    let key = Arc::new(BoxKey::load_or_create(&config.store.path).context("the box's key")?);

    let school_keys = store.school_keys();
    let (school, key_standing) =
        usage::school_key(&config.store.path, &school_keys).await.context("the school's key")?;
    let (school, key_trouble) = (Arc::new(school), key_standing.trouble());
    // Which devices are here, and whose: told by `presence::follow` as soon as there is a room.
    let (tell_devices, devices) = watch::channel(Arc::<presence::Known>::default());
    if let Some(latest) = store.usage().latest().await?.filter(|latest| *latest > clock::now() + CLOCK_BACK_MS) {
        tracing::error!(
            seconds = (latest - clock::now()) / 1000,
            "the clock was set back: set it right, records bear its time"
        );
    }
    let recorder = Recorder::new(store.usage(), school.clone()).knowing(devices.clone());
    let delivery = Arc::<DeliveryStats>::default();
    let deliverer = Deliverer::new(&config.upstream, store.outbox(), school.clone(), delivery.clone())?;

    // What is known of the network, and what follows from it.
    let addresses = net::watch(config.media.addresses.clone()).context("the network's addresses")?;
    let certificate = certificate(&config)?;
    let name = certificate.as_ref().and_then(|certificate| certificate.facts().host());
    let base = base_url(&config, name.as_deref());
    let (called, notice) = (config.room.name.clone(), config.room.notice.clone());
    let facts = Arc::new(Facts { room: called, join_url: format!("{base}/join"), notice });

    let homes: Arc<str> = config.home.url.clone().unwrap_or_else(|| base.clone()).into();
    let library = library(&config, &store, opened.set_aside.is_some()).await.context("the library")?;

    // The room, its task, and who executes what it decides.
    let kept = effects::restore(&store.rooms(), &store.lessons(), clock::now()).await.context("the room's state")?;
    let (task, room, effects_queue) = room::open(kept);
    let mut sockets = systemd::Sockets::from_environment();
    let (media, events) = media::start(MediaConfig {
        udp: door(&config.media.udp, |name| sockets.udp(name))?,
        tcp: Some(door(&config.media.tcp, |name| sockets.tcp(name))?),
        addresses: offered(&config, &addresses.borrow()),
        data_dir: config.store.path.clone(),
        limits: MediaLimits {
            publishers: 64,
            viewers: usize::from(config.limits.sessions.get()),
            ..MediaLimits::default()
        },
    })
    .with_context(|| format!("the media port {}", config.media.udp))?;

    let mut tasks = JoinSet::new();
    tasks.spawn(task.run());
    tasks.spawn(effects::keep(room.watch(), store.rooms()));
    let thumbnails = Thumbnails::default();
    let keeping = Keeping::new(config.store.path.clone(), config.backup_folder());
    let (recorder_of, pictures) = (recorder.clone(), thumbnails.clone());
    let executing =
        effects::execute(effects_queue, media.clone(), store.lessons(), recorder_of, pictures, keeping.clone());
    let executor = tokio::spawn(executing);

    // The rules: the snapshot for the resolver, and the same rules for the pages.
    let policy_folder = policy::folder(&config.store.path).context("the policy's folder")?;
    if let Some(Err(error)) = config.policy.from.as_ref().map(|from| card::rules::take(from, &policy_folder)) {
        tracing::error!(%error, "[policy] from: the rules can't be taken");
    }
    let (rules, follow_rules) = dns::rules(policy_folder.clone(), dns::Copies::Kept)?;
    let refusals = policy::Refusals::default();
    let (registered_tx, registered) = watch::channel(Arc::new(policy::Registered::default()));
    let (unused_document, unused) = watch::channel(None);
    tasks.spawn(policy::keep(policy::Sources {
        folder: policy_folder.clone(),
        names: config.https.name.iter().chain(&name).cloned().collect(),
        room: room.watch(),
        registered,
        addresses: addresses.clone(),
        unused: unused_document,
    }));

    // The pages and the API.
    let owners = web::media::Owners::default();
    let setup = store.accounts().count().await.context("the accounts")? == 0;
    let (setup_tx, setup_rx) = watch::channel(setup);
    let (closing_tx, closing) = watch::channel(false);
    let presence = Presence::default();
    let health = Health::new(media.clone(), store.rooms());
    let policy_state = web::policy::PolicyState {
        rules: rules.clone(),
        unused,
        refusals: refusals.clone(),
        join_url: facts.join_url.clone(),
        portal_port: portal_port(&config),
    };
    let usage = web::usage::UsageState {
        recorder: recorder.clone(),
        outbox: store.outbox(),
        delivery,
        key: web::usage::KeyState {
            folder: config.store.path.clone(),
            key: school,
            store: school_keys,
            trouble: key_trouble,
        },
    };
    let device_listeners = config.agents.listen.iter().map(|address| sockets.listen(address));
    let device_listeners = device_listeners.collect::<Result<Vec<_>, _>>().context("[agents] listen")?;
    let agents_port = device_listeners.first().map(|listener| listener.local_addr()).transpose()?.map(|at| at.port());
    let agent = agent_state(&config, &store, &key, rules.clone(), (recorder.clone(), &room), agents_port)?;
    let doors = web::doors::Doors::default();
    let parts = parts(
        &config,
        &store,
        &key,
        &room,
        &media,
        &health,
        &keeping,
        thumbnails,
        &owners,
        &presence,
        facts,
        homes,
        agent,
        (&library, &recorder),
        policy_state,
        usage,
        &doors,
        (setup_tx, setup_rx),
        closing,
    )?;
    for (account, tally) in store.failures().load().await.context("the failed sign-ins")? {
        parts.staff.sign_ins.restore(account, tally);
    }
    parts.panels.tell_known().await.map_err(|refusal| anyhow::anyhow!("{}", refusal.0.title))?;
    let web::Served { room: router, homes: at_home, .. } = web::routes(&parts);
    tasks.spawn(follow_media(events, room.clone(), owners));
    // Those that run until they are aborted.
    let mut keepers = JoinSet::new();
    let sources = presence::Sources {
        presence,
        registers: store.registers(),
        room: room.clone(),
        neighbours: neighbours::watch().context("the neighbours on the network")?,
        own: addresses.clone(),
    };
    keepers.spawn(presence::follow(sources, tell_devices));
    keepers.spawn(alarms::keep(parts.agent.alarms.clone()));
    keepers.spawn(keeping::follow(keeping.clone(), room.clone()));
    keepers.spawn(figures::note_days(store.figures()));
    keepers.spawn(library.clone().keep());
    keepers.spawn(tell_registered(devices, registered_tx));
    keepers.spawn(follow_rules);
    let hearing = policy::hear(policy_folder, rules, refusals, store.access());
    keepers.spawn(async move {
        if let Err(error) = hearing.await {
            tracing::error!(%error, "the resolver is not heard");
        }
    });
    if !config.uplink.probe.is_empty() {
        keepers.spawn(uplink::watch(config.uplink.probe.clone(), room.clone()));
    }
    keepers.spawn(follow_addresses(config.clone(), addresses, media.clone()));
    if let Some(server) = config.home.stun.clone() {
        keepers.spawn(follow_outside(server, media.clone()));
    }
    if let Some(deliverer) = deliverer.filter(|_| key_trouble.is_none()) {
        keepers.spawn(deliverer.run());
    }

    let handle = Handle::new();
    let encrypted = certificate.clone().map(tls::server_config).transpose().context("the certificate")?.map(Arc::new);
    let own = own_names(&config, certificate.clone());
    let (portal, ways) = (web::portal(&parts), (&handle, &*base, &doors));
    let port = listen(&config, sockets, (&router, &portal, &at_home), (encrypted, own), ways, &mut tasks)?;
    // They hold handles on the room.
    drop((portal, at_home));
    let device_tls = Arc::new(parts.agent.authority.server_config()?);
    for listener in device_listeners {
        let served = web::devices::serve(listener, device_tls.clone(), router.clone(), doors.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    if let Some(certificate) = certificate {
        keepers.spawn(certificate.keep_fresh(CERTIFICATE_LOOK));
    }

    if config.demo.class && store.classes().list().await?.is_empty() {
        store.classes().create(store::demo::CLASS_NAME.to_owned(), store::demo::students()).await?;
    }
    keep_studio_key(&config, &key).context("the studio's key")?;
    local_panel(&config, &store, &parts.panels).await.context("the box's own panel")?;
    let code = if setup { Some(first_code(&store, &key).await?) } else { None };
    let room_code = room.now().code().map(str::to_owned);
    crate::console::welcome(&config.room.name, &base, code.as_deref(), room_code.as_deref());
    if config.demo.class {
        keepers.spawn(crate::console::follow_code(room.watch()));
    }
    if let Some(notice) = &config.room.notice {
        crate::console::notice(notice);
    }
    if let Some(sentence) = keeping.sentence(crate::console::language()) {
        crate::console::trouble(&sentence);
    }

    let (announced, goodbye) = oneshot::channel::<()>();
    // Neighbours can't reach a box that serves its own machine only.
    if config.discovery.mdns && !(config.https.listen.is_empty() && config.agents.listen.is_empty()) {
        let announcement = Announcement {
            room: config.room.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: format!("classroom-{}", key.short_name()),
            port,
            url: format!("{base}/join"),
            agents: agents_port,
        };
        tasks.spawn(async move {
            if let Err(error) = discovery::announce(announcement, async { drop(goodbye.await) }).await {
                tracing::warn!(%error, "no announcement");
            }
        });
    }
    if let Some(interval) = systemd::watchdog_interval() {
        let health = health.clone();
        keepers.spawn(systemd::watchdog(interval, move || {
            let health = health.clone();
            async move { health.well().await }
        }));
    }
    systemd::ready(&base);

    stop.await;
    tracing::info!("stopping");
    systemd::stopping();
    drop(announced);
    keepers.shutdown().await;
    // Sockets first: a request may end in its time, a page's socket never would.
    closing_tx.send_replace(true);
    handle.graceful_shutdown(Some(GOODBYE));
    if let Err(error) = media.stop().await {
        tracing::warn!(%error, "the media thread was gone already");
    }
    // With the last handle the room's task ends, then the tasks that follow it, then the executor's queue is empty.
    drop((parts, router, room, media, health, library));
    let ended = tokio::time::timeout(GOODBYE * 2, async {
        while tasks.join_next().await.is_some() {}
        executor.await
    });
    if ended.await.is_err() {
        tracing::warn!("a part did not end in time");
    }
    tokio::task::spawn_blocking(move || opened.keeper.close()).await?;
    Ok(())
}

/// Tells the room what the forwarder sees. A source is live while any of its publishers is.
async fn follow_media(mut events: mpsc::Receiver<MediaEvent>, room: RoomHandle, owners: web::media::Owners) {
    let mut up: BTreeSet<(classroom_protocol::SourceId, media::SessionId)> = BTreeSet::new();
    while let Some(event) = events.recv().await {
        let source = match event {
            MediaEvent::SourceUp { source, session } => {
                up.insert((source.clone(), session));
                source
            }
            MediaEvent::SourceDown { source, session } => {
                up.remove(&(source.clone(), session));
                source
            }
            // Its path may come back: only what is no more is forgotten.
            MediaEvent::ViewerUp { .. } | MediaEvent::ViewerDown { .. } => continue,
            MediaEvent::Ended { session } => {
                owners.forget(session);
                continue;
            }
        };
        let live = up.iter().any(|(of, _)| *of == source);
        if let Err(code) = room.apply(Input::SourceLive { source, live }).await {
            tracing::warn!(code = code.as_str(), "the room did not take a change of a source");
        }
    }
}

/// The addresses that media clients are offered: those of the network, and loopback where pages are served to this very
/// machine, so that the demo works without any network.
fn offered(config: &Config, learned: &[IpAddr]) -> Vec<IpAddr> {
    let here = config.http.listen.iter().filter_map(|listen| match listen {
        Listen::Address(address) => Some(address.ip()),
        Listen::Systemd(_) => None,
    });
    let mut all: Vec<IpAddr> = learned.iter().copied().chain(here).collect();
    let mut seen = BTreeSet::new();
    all.retain(|address| seen.insert(*address));
    all
}

/// Offers the box's new addresses when the network changes (a new DHCP lease, a cable plugged in late).
async fn follow_addresses(config: Config, mut addresses: watch::Receiver<Vec<IpAddr>>, media: MediaHandle) {
    while addresses.changed().await.is_ok() {
        let now = offered(&config, &addresses.borrow_and_update());
        tracing::info!(addresses = ?now, "the box's addresses have changed");
        if media.set_addresses(now).await.is_err() {
            return;
        }
    }
}

/// Learns the school's outer address from the gateway and keeps the way there open. Names are looked up each time: the
/// gateway may have moved.
async fn follow_outside(server: String, media: MediaHandle) {
    let mut every = interval(OUTSIDE);
    loop {
        every.tick().await;
        match tokio::net::lookup_host(&server).await.map(|mut found| found.find(SocketAddr::is_ipv4)) {
            Ok(Some(address)) => {
                if media.ask_outside(address).await.is_err() {
                    return;
                }
            }
            Ok(None) => tracing::debug!(server, "the gateway has no IPv4 address"),
            Err(error) => tracing::debug!(server, %error, "the gateway's name is not known now"),
        }
    }
}

/// The certificate of the room's pages, if there are HTTPS listeners. One that is not good now or not for the name that
/// people type is used all the same (the clock may be wrong) and told.
fn certificate(config: &Config) -> anyhow::Result<Option<Arc<Certificate>>> {
    let (Some(path), Some(key)) = (&config.https.certificate, &config.https.key) else { return Ok(None) };
    if config.https.listen.is_empty() && config.home.listen.is_empty() {
        return Ok(None);
    }
    let certificate = Certificate::load(path, key).context("the certificate")?;
    if let Err(error) = certificate.facts().check(path, config.https.name.as_deref(), clock::now()) {
        tracing::error!(%error, "browsers will not accept the certificate");
    }
    Ok(Some(certificate))
}

/// Whether a name is one at which the room's pages are: people's own, the certificate's, and that of homes, who may come
/// through the gateway to this door.
fn own_names(config: &Config, certificate: Option<Arc<Certificate>>) -> web::serve::Own {
    let home = config.home.url.as_ref().and_then(|url| url.parse::<Uri>().ok()?.host().map(str::to_owned));
    let names: Vec<String> = config.https.name.iter().cloned().chain(home).collect();
    Arc::new(move |name| certificate.as_ref().is_none_or(|certificate| tls::is_own(name, certificate, &names)))
}

/// Where a media socket comes from.
fn door<S>(
    listen: &Listen,
    take: impl FnOnce(&str) -> Result<S, systemd::SocketError>,
) -> Result<media::Door<S>, systemd::SocketError> {
    match listen {
        Listen::Address(address) => Ok((*address).into()),
        Listen::Systemd(name) => take(name).map(media::Door::Open),
    }
}

/// Starts all listeners and gives the port that tablets come to.
fn listen(
    config: &Config,
    mut sockets: systemd::Sockets,
    (router, portal, at_home): (&Router, &Router, &Router),
    (certificate, own): (Option<Arc<rustls::ServerConfig>>, web::serve::Own),
    (handle, base, doors): (&Handle<SocketAddr>, &str, &web::doors::Doors),
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<u16> {
    // What refused hosts lead to must not take the pages' places.
    let hall = web::doors::Doors::default();
    let mut port = 0;
    for address in &config.http.listen {
        let listener = sockets.listen(address)?;
        let at = listener.local_addr()?;
        plain_allowed(at).map_err(|reason| anyhow::anyhow!("[http] listen: {reason}"))?;
        port = at.port();
        let served = web::serve::plain(listener, router.clone(), doors.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.policy.portal {
        let listener = sockets.listen(address).context("[policy] portal")?;
        let served = web::serve::portal(listener, portal.clone(), hall.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.https.listen {
        let certificate = certificate.clone().context("[https] listen needs a certificate")?;
        let listener = sockets.listen(address)?;
        port = listener.local_addr()?.port();
        let served =
            web::serve::tls(listener, (certificate, own.clone()), router.clone(), doors.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.home.listen {
        let certificate = certificate.clone().context("[home] listen needs a certificate")?;
        let listener = sockets.listen(address).context("[home] listen")?;
        home_allowed(listener.local_addr()?).map_err(|reason| anyhow::anyhow!("[home] listen: {reason}"))?;
        let served = web::homes::serve(listener, certificate, at_home.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.https.redirect {
        let sent_on = web::serve::redirect(sockets.listen(address)?, base.to_owned(), hall.clone(), handle.clone());
        tasks.spawn(async move { ended(sent_on.await) });
    }
    Ok(port)
}

fn ended(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "a listener ended");
    }
}

/// The panel on the box's own screen needs no pairing: who can read the data folder is the box. Its token lies in
/// `panel-token` and is kept over restarts, so that the panel comes back by itself when the hub does.
async fn local_panel(config: &Config, store: &Store, panels: &web::panels::PanelsState) -> anyhow::Result<()> {
    let name = web::panels::own_panel();
    let path = config.store.path.join("panel-token");
    if let Ok(kept) = std::fs::read_to_string(&path)
        && store.panels().by_token(staff::Token::hash(&kept)).await?.is_some_and(|panel| panel.name == name)
    {
        return Ok(());
    }
    for panel in store.panels().list().await? {
        if panel.name == name {
            store.panels().remove(panel.id).await?;
        }
    }
    let token = staff::Token::random()?;
    store.panels().add(name.to_owned(), staff::Token::hash(token.reveal()), clock::now()).await?;
    panels.tell_known().await.map_err(|refusal| anyhow::anyhow!("{}", refusal.0.title))?;
    Ok(write_private(&path, token.reveal())?)
}

/// The box's own studio needs no pairing either: its key lies in `studio-key`.
fn keep_studio_key(config: &Config, key: &BoxKey) -> std::io::Result<()> {
    write_private(&config.store.path.join("studio-key"), &key.studio_key())
}

/// A file that only the box reads, there whole or not at all.
fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Hands the register's devices to the policy's snapshot.
async fn tell_registered(
    mut known: watch::Receiver<Arc<presence::Known>>,
    registered: watch::Sender<Arc<policy::Registered>>,
) {
    loop {
        let now = known.borrow_and_update().clone();
        let now = policy::Registered { in_use: now.whereabouts.in_use, devices: now.devices.clone() };
        registered.send_if_modified(|before| {
            let new = **before != now;
            if new {
                *before = Arc::new(now);
            }
            new
        });
        if known.changed().await.is_err() {
            return;
        }
    }
}

/// The port that refused hosts lead to.
fn portal_port(config: &Config) -> u16 {
    let addresses = config.policy.portal.iter().map(|listen| match listen {
        Listen::Address(address) => address.port(),
        Listen::Systemd(_) => 80,
    });
    addresses.min().unwrap_or(80)
}

async fn first_code(store: &Store, key: &BoxKey) -> anyhow::Result<String> {
    // A code of an earlier start may have been read by someone; only the newest opens the box.
    store.codes().revoke(Purpose::FirstSignIn).await?;
    let code = web::staff::one_time_code(&store.codes(), key, Purpose::FirstSignIn, FIRST_CODE_MS).await;
    code.map_err(|refusal| anyhow::anyhow!("{}", refusal.0.title))
}

/// The address of the pages as people reach them, without a path.
fn base_url(config: &Config, name: Option<&str>) -> String {
    if let Some(address) = config.https.listen.first() {
        let port = if let Listen::Address(address) = address { address.port() } else { 443 };
        let name = config.https.name.as_deref().or(name).unwrap_or("localhost");
        return if port == 443 { format!("https://{name}") } else { format!("https://{name}:{port}") };
    }
    match config.http.listen.first() {
        Some(Listen::Address(address)) => format!("http://{address}"),
        _ => "http://localhost".into(),
    }
}

/// Heard from this call on, also while the hub is still starting.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn whose_session_it_is_is_known_while_it_lives_though_its_path_is_dead() {
        let (task, room, _effects) = room::open(appliance_core::room::Room::default());
        tokio::spawn(task.run());
        let owners = web::media::Owners::default();
        let source = classroom_protocol::SourceId::room();
        let [viewer, publisher] = [(); 2].map(|()| media::SessionId::random().unwrap());
        for session in [viewer, publisher] {
            owners.set(session, source.clone(), "display 1".into());
        }
        let (tell, events) = mpsc::channel(8);
        tell.send(MediaEvent::ViewerDown { source: source.clone(), session: viewer }).await.unwrap();
        tell.send(MediaEvent::SourceDown { source: source.clone(), session: publisher }).await.unwrap();
        drop(tell);
        follow_media(events, room.clone(), owners.clone()).await;
        for session in [viewer, publisher] {
            assert!(owners.check(session, &source, "display 1").is_ok(), "it may restart ICE and leave");
        }
        let (tell, events) = mpsc::channel(8);
        tell.send(MediaEvent::Ended { session: viewer }).await.unwrap();
        tell.send(MediaEvent::Ended { session: publisher }).await.unwrap();
        drop(tell);
        follow_media(events, room, owners.clone()).await;
        for session in [viewer, publisher] {
            assert!(owners.check(session, &source, "display 1").is_err());
        }
    }
}
