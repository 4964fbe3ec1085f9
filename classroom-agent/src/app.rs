//! The wiring: three commands, and the tasks of the one that runs on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use appliance_core::agent::{Contact, Missed, accept};
use classroom_protocol::agent::{EnrolCode, Sync};
use hickory_server::Server;
use tokio::{
    net::{TcpListener, UdpSocket},
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    clock::Clock,
    find,
    keep::{Identity, Keep},
    link::{self, Link, LinkError},
    names::Names,
    options::{self, Options},
    page,
    platform::{Linux, Platform},
    seals,
    spool::{self, Spool},
    state::{Met, Shared, State},
    trust,
    words::ForPeople,
};

/// Records of one delivery.
const BATCH: usize = 500;
/// How often the clock and the use are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often programs, the card and the name servers are looked at, in ticks.
const LOOK: u64 = 5;
/// How often the agent's own files are looked at, in ticks.
const SEALS: u64 = 60;
/// How often a device that has met nobody asks the network for boxes.
const FIND: Duration = Duration::from_secs(30);
/// A DNS connection by TCP without a question ends after so long; so many answers may wait.
const TCP_IDLE: Duration = Duration::from_secs(10);
const TCP_ANSWERS: usize = 8;

/// `enrol`: a code against an identity.
pub(crate) async fn enrol(options: &Options, code: &EnrolCode, at: Option<&str>) -> Result<()> {
    let keep = Keep::open(&options.state)?;
    if let Some(identity) = keep.identity()? {
        return Err(ForPeople::new("agent.error.enrolled", &[("device", &identity.device)]).into());
    }
    let mut places = Vec::new();
    for named in at.into_iter().chain(options.config.boxes.iter().map(String::as_str)) {
        let found = link::addresses(named).await;
        anyhow::ensure!(!found.is_empty(), ForPeople::new("agent.error.address", &[("address", named)]));
        places.extend(found);
    }
    if places.is_empty() {
        places = find::boxes().await;
    }
    let (mut identity, orders) = link::enrol(code, &places).await?;
    let text = trust::checked(&orders, &identity.orders_key)?;
    let (taken, _) = accept(text, &identity.device, 0)?;
    identity.newest = taken.version;
    keep.save_orders(&orders)?;
    Spool::create(&keep.path(spool::FILE))?;
    // Last: with the identity the device is enrolled.
    keep.save_identity(&identity)?;
    tracing::info!(device = identity.device, orders = taken.version, "enrolled");
    Ok(())
}

/// `unenrol`: delivers what is left, tells the box, and forgets. A box that can't be met learns it from the office.
pub(crate) async fn unenrol(options: &Options) -> Result<()> {
    let keep = Keep::open(&options.state)?;
    let identity = keep.identity()?.ok_or_else(|| ForPeople::new("agent.error.not-enrolled", &[]))?;
    let clock = Clock(options.test_clock.clone());
    let shared = Shared::new(State::open(keep.clone(), identity, clock)?);
    let left = match meet(&shared, options, true).await {
        Some((link, _)) => {
            deliver(&shared, &link).await;
            link.leave().await
        }
        None => Err(LinkError::Nobody(anyhow::anyhow!("none was met"))),
    };
    let lost = shared.lock().spool.len();
    keep.forget()?;
    match left {
        Ok(()) => tracing::info!(lost, "unenrolled"),
        Err(error) => tracing::warn!(%error, lost, "unenrolled here; ask the office to remove the device at the box"),
    }
    Ok(())
}

/// `run`: until a signal or the end of the enrolment.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let keep = Keep::open(&options.state)?;
    let identity = keep.identity()?.ok_or_else(|| ForPeople::new("agent.error.not-enrolled", &[]))?;
    let clock = Clock(options.test_clock.clone());
    let shared = Shared::new(State::open(keep.clone(), identity, clock)?);
    set_servers(&shared, options);

    let mut server = Server::new(Names::new(shared.clone()));
    let dns = options.config.dns;
    server.register_socket(UdpSocket::bind(dns).await.with_context(|| format!("the DNS address {dns}"))?);
    server.register_listener(
        TcpListener::bind(dns).await.with_context(|| format!("the DNS address {dns}"))?,
        TCP_IDLE,
        TCP_ANSWERS,
    );
    // A report of the student is told at once.
    let hurry = Arc::new(Notify::new());
    let at = options.config.page;
    let listener = TcpListener::bind(at).await.with_context(|| format!("the page's address {at}"))?;
    let mut tasks = JoinSet::new();
    let pages = page::router(shared.clone(), hurry.clone(), at);
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, pages).await {
            tracing::error!(%error, "the page has ended");
        }
    });
    tracing::info!(%dns, page = %at, "the agent runs");

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        ended = look(&shared, options, &keep) => ended?,
        () = talk(&shared, options, &hurry) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shared.lock().close();
    tasks.shutdown().await;
    server.shutdown_gracefully().await.map_err(|error| anyhow::anyhow!("the DNS server: {error}"))?;
    Ok(())
}

fn set_servers(shared: &Shared, options: &Options) {
    let servers = if options.config.upstream.is_empty() {
        options::first_of(&options.config.resolv_conf)
    } else {
        options.config.upstream.clone()
    };
    shared.lock().serve_from(servers);
}

/// Looks at the machine, each thing at its pace. Ends when the enrolment has.
async fn look(shared: &Shared, options: &Options, keep: &Keep) -> Result<()> {
    let mut platform = Linux::default();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let own = std::env::current_exe().unwrap_or_default();
    for count in 0u64.. {
        ticks.tick().await;
        // A test's time is not the machine's.
        let idle = if options.test_clock.is_none() { platform.idle() } else { None };
        shared.lock().tick(idle);
        if count % LOOK == 0 {
            if keep.identity()?.is_none() {
                tracing::info!("the enrolment has ended");
                return Ok(());
            }
            set_servers(shared, options);
            let all = platform.programs();
            for program in shared.lock().programs(&all) {
                let ended = platform.end(&program);
                tracing::info!(program = program.name, ended, "a program that is not approved");
            }
            let mut state = shared.lock();
            let (contact, lesson) = (state.situation.contact, state.situation.lesson.clone());
            state.moved(contact, platform.link(), lesson);
        }
        if count % SEALS == 0 {
            // The orders have their signature: what applies stays as it is, and the file is written anew from its copy.
            let mut state = shared.lock();
            if !state.orders_files_are_good() {
                state.tampered("orders");
            }
            drop(state);
            let files = [("binary", own.as_path()), ("config", options.config_file.as_path())];
            match seals::look(keep, &files) {
                Ok(changed) => changed.iter().for_each(|what| shared.lock().tampered(what)),
                Err(error) => tracing::error!(error = format!("{error:#}"), "the agent's own files can't be looked at"),
            }
        }
    }
    Ok(())
}

/// Meets the box again and again.
async fn talk(shared: &Shared, options: &Options, hurry: &Notify) {
    let mut link: Option<(Link, Contact)> = None;
    let mut found_at: Option<Instant> = None;
    let mut search = || {
        let due = found_at.is_none_or(|at| at.elapsed() >= FIND);
        if due {
            found_at = Some(Instant::now());
        }
        due
    };
    loop {
        if link.is_none() {
            link = meet(shared, options, search()).await;
        }
        if let Some(way) = &link
            && !talk_by(shared, way).await
        {
            // Perhaps it is elsewhere by now: at once, else nobody waits for a device that has gone home.
            link = meet(shared, options, false).await;
            if let Some(way) = &link
                && !talk_by(shared, way).await
            {
                link = None;
            }
        }
        // What waits is delivered before, so that looking for the room holds nothing up.
        if let Some((_, contact)) = &link
            && contact.looks_for_the_room()
            && let Ok(room) = in_room(shared, options, search()).await
        {
            let way = (room, Contact::Room);
            if talk_by(shared, &way).await {
                link = Some(way);
            }
        }
        let pause = Duration::from_secs(options.config.contact_seconds);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hurry.notified() => {}
        }
    }
}

/// One contact by this way, and the records. False: it leads nowhere any more.
async fn talk_by(shared: &Shared, (link, contact): &(Link, Contact)) -> bool {
    match sync(shared, link, *contact).await {
        Ok(()) => {
            deliver(shared, link).await;
            true
        }
        Err(error) => {
            lost(shared, missed(&error, *contact == Contact::Room));
            false
        }
    }
}

/// What a failed try says of the box.
fn missed(error: &LinkError, met_before: bool) -> Missed {
    tracing::debug!(%error, "no contact");
    match error {
        LinkError::Impostor => Missed::stranger(met_before),
        LinkError::Forgotten => Missed::Forgotten,
        LinkError::Nobody(_) | LinkError::Refused(_) => Missed::Nobody,
    }
}

/// No contact any more: the device is at home until it meets the box again.
fn lost(shared: &Shared, missed: Missed) {
    let mut state = shared.lock();
    let met = Met::Not(missed);
    if missed == Missed::Impostor && state.met != met {
        tracing::warn!("someone answers who is not this device's box: refused");
    }
    state.met = met;
    let link = state.situation.link;
    state.moved(Contact::None, link, None);
}

/// Looks for the box: in the room, then at its address on the internet, where the device is at home.
async fn meet(shared: &Shared, options: &Options, search: bool) -> Option<(Link, Contact)> {
    let nowhere = match in_room(shared, options, search).await {
        Ok(link) => return Some((link, Contact::Room)),
        Err(missed) => missed,
    };
    let (identity, home) = {
        let state = shared.lock();
        (state.identity.clone(), state.orders.home_addresses.clone())
    };
    let mut places = Vec::new();
    for named in &home {
        places.extend(link::addresses(named).await);
    }
    match first(shared, &identity, &places).await {
        Ok((link, _)) => Some((link, Contact::Internet)),
        Err(missed) => {
            lost(shared, missed.max(nowhere));
            None
        }
    }
}

/// Looks for the box in the room: where it was, where the options say, whom the network announces. Where it is met is
/// remembered.
async fn in_room(shared: &Shared, options: &Options, search: bool) -> Result<Link, Missed> {
    let (identity, home) = {
        let state = shared.lock();
        (state.identity.clone(), state.orders.home_addresses.clone())
    };
    let known = identity.met_at.iter().chain(&options.config.boxes).filter(|at| !home.contains(at));
    let mut places: Vec<SocketAddr> = Vec::new();
    for named in known {
        places.extend(link::addresses(named).await);
    }
    let mut tried = first(shared, &identity, &places).await;
    if let (Err(before), true) = (&tried, search) {
        let before = *before;
        let mut announced = find::boxes().await;
        announced.retain(|at| !places.contains(at));
        tried = first(shared, &identity, &announced).await.map_err(|missed| missed.max(before));
    }
    let (link, at) = tried?;
    shared.lock().met_at(&at.to_string());
    Ok(link)
}

/// The first of these that is the box, and where; else what is to be told of them.
async fn first(shared: &Shared, identity: &Identity, places: &[SocketAddr]) -> Result<(Link, SocketAddr), Missed> {
    let mut all = Missed::Nobody;
    for at in places {
        let Ok(link) = Link::known(identity, *at) else { continue };
        match sync(shared, &link, Contact::None).await {
            Ok(()) => return Ok((link, *at)),
            Err(error) => {
                let met_before = identity.met_at.contains(&at.to_string());
                all = all.max(missed(&error, met_before));
            }
        }
    }
    Err(all)
}

/// One contact. With `Contact::None` it only tries the way.
async fn sync(shared: &Shared, link: &Link, contact: Contact) -> Result<(), LinkError> {
    let body = {
        let state = shared.lock();
        let orders = if state.signed() { state.orders.version } else { 0 };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let spool = &state.spool;
        let waiting = u64::try_from(spool.len()).unwrap_or(u64::MAX);
        let (dropped, dropped_at) = (spool.dropped(), spool.dropped_at());
        Sync { orders, version, link: state.situation.link, dropped, dropped_at, waiting }
    };
    let answer = link.sync(&body).await?;
    let mut state = shared.lock();
    if let Err(error) = state.spool.told_dropped(body.dropped) {
        tracing::error!(%error, "the records' file can't be written");
    }
    if let Some(signed) = &answer.orders
        && let Err(error) = state.take(signed)
    {
        tracing::error!(error = format!("{error:#}"), "the box's orders are not taken; the earlier ones go on");
    }
    if contact != Contact::None {
        state.met = Met::Well;
        state.met_at = Some(state.now());
        let link = state.situation.link;
        state.moved(contact, link, answer.lesson);
    }
    Ok(())
}

/// Delivers until nothing waits or the box can't take it now.
async fn deliver(shared: &Shared, link: &Link) {
    loop {
        let batch = shared.lock().spool.batch(BATCH);
        if batch.is_empty() {
            return;
        }
        match link.deliver(&batch).await {
            Ok(answer) => {
                for refused in &answer.refused {
                    tracing::error!(id = refused.id, reason = refused.reason, "the box can't keep a record");
                }
                tracing::info!(kept = answer.kept, known = answer.known, "records delivered");
                if let Err(error) = shared.lock().spool.done(&batch) {
                    // They come again and count once.
                    tracing::error!(%error, "the records' file can't be written");
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "records stay here");
                return;
            }
        }
    }
}
