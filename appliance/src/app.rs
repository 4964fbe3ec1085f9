//! The wiring: makes every part, hands out narrow handles, ends them in order. Nothing is decided here.

mod following;
mod listeners;
mod parts;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use appliance_core::room::Facts;
use axum_server::Handle;
use classroom_protocol::catalogue::fill;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinSet,
};

use following::{follow_addresses, follow_media, follow_outside, offered, tell_registered};
use listeners::{base_url, certificate, door, ended, listen, own_names, portal_port};
pub use parts::route_table;
use parts::{agent_state, library, parts};

use crate::{
    alarms, card, clock,
    config::Config,
    delivery::{Deliverer, DeliveryStats},
    discovery::{self, Announcement},
    dns, effects, figures,
    health::Health,
    invite::invite,
    keeping::{self, Keeping},
    media::{self, Limits as MediaLimits, MediaConfig},
    neighbours, net, policy,
    presence::{self, Presence},
    room,
    staff::{self, BoxKey},
    store::{self, Purpose, Store},
    systemd,
    thumbnails::Thumbnails,
    tls, uplink,
    usage::{self, Recorder},
    web,
};

/// How long requests may take to end when the box stops.
const GOODBYE: Duration = Duration::from_secs(3);
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
    let policy_folder = policy::folder(&config.store.path).context("the policy's folder")?;
    let notice = notice(&config, &policy_folder);
    let facts =
        Arc::new(Facts { room: config.room.name.clone(), join_url: format!("{base}/join"), notice: notice.clone() });

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
    let executor = tokio::spawn(effects::execute(
        effects_queue,
        media.clone(),
        store.lessons(),
        recorder.clone(),
        thumbnails.clone(),
        keeping.clone(),
    ));

    // The rules: the snapshot for the resolver, and the same rules for the pages.
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
    let hearing = policy::hear(policy_folder, rules, refusals, store.access(), keeping.clone());
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
    if let Some(account) = config.staff.invite.clone() {
        let folder = config.store.path.clone();
        let invited = tokio::task::spawn_blocking(move || {
            invite(&folder, Some(&account), clock::now(), crate::console::language())
        });
        crate::console::invited(invited.await?);
    }
    if let Some(notice) = &notice {
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
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Takes the rules of `[policy] from`. What panel and console say of the box's settings: what its card has found, and what is
/// wrong with the rules.
fn notice(config: &Config, policy_folder: &Path) -> Option<String> {
    let lang = crate::console::language();
    let taken = config.policy.from.as_ref().map(|from| card::rules::take(from, policy_folder, lang));
    let wrong = match taken {
        None => vec![],
        Some(Ok(wrong)) => wrong,
        Some(Err(error)) => {
            tracing::error!(%error, "[policy] from: the rules can't be taken");
            vec![error.to_string()]
        }
    };
    // The card has told what it could see by itself.
    let wrong: Vec<String> = wrong
        .into_iter()
        .filter(|wrong| !config.room.notice.as_ref().is_some_and(|told| told.contains(wrong)))
        .collect();
    let rules = (!wrong.is_empty()).then(|| fill(lang, "console.card-rules", &[("reason", &wrong.join("; "))]));
    config.room.notice.clone().into_iter().chain(rules).reduce(|told, rules| format!("{told} {rules}"))
}

async fn first_code(store: &Store, key: &BoxKey) -> anyhow::Result<String> {
    // A code of an earlier start may have been read by someone; only the newest opens the box.
    store.codes().revoke(Purpose::FirstSignIn).await?;
    let code = web::staff::one_time_code(&store.codes(), key, Purpose::FirstSignIn, FIRST_CODE_MS).await;
    code.map_err(|refusal| anyhow::anyhow!("{}", refusal.0.title))
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
