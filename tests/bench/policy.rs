//! Family `policy`: one decision; and the resolver with a list of a million names against unbound with the same list.
//!
//! Both resolvers live in a network of their own and ask the same name server above. The load keeps 64 questions on
//! their way: half of them listed, half kept from before.

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use appliance_core::policy::{
    Consent, Context, DeviceState, Document, LessonContext, Marks, Place, Policy, Query, Snapshot, decide,
};
use harness::{
    hub::program,
    netns::Ns,
    proc::{Owned, cpu_time, memory},
    resolver::NameServer,
    wait::wait_for_blocking,
};

use nix::time::{ClockId, clock_gettime};

use crate::{Settings, report::Row};

const NAMES: u32 = 1_000_000;
/// Names that are not listed; all of them are asked once before.
const KEPT: u32 = 1_000;
const LOAD: Duration = Duration::from_secs(5);
const ON_THEIR_WAY: usize = 64;
const START: Duration = Duration::from_secs(60);
const ABOVE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const UNBOUND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);
const TABLET: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 4);
/// What every name that is not listed leads to.
const LEADS_TO: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// All measures of the family.
pub(crate) fn run(settings: &Settings, rows: &mut Vec<Row>) {
    if settings.wants("policy.decide") {
        let (ours, failures) = crate::report::outcomes((0..settings.rounds).map(|_| one_decision()));
        let note = [vec!["a host in class, the document of the box".into()], failures].concat().join(" | ");
        rows.push(Row::alone(("policy.decide", "ns"), &ours, 1000.0, &note));
    }
    if !settings.wants("policy.dns_rate") && !settings.wants("policy.dns_memory") {
        return;
    }
    let (mut mine, mut theirs, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        for (found, peer) in [(&mut mine, false), (&mut theirs, true)] {
            match one_resolver(peer) {
                Ok(figures) => found.push(figures),
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
    }
    let of = |figures: &[Figures], value: fn(&Figures) -> f64| figures.iter().map(value).collect::<Vec<_>>();
    let rate = format!(
        "CPU of a question; answered a second: ours {:?}, peer {:?} {}",
        of(&mine, |one| one.rate.round()),
        of(&theirs, |one| one.rate.round()),
        failures.join(" | ")
    );
    rows.push(Row::against(
        ("policy.dns_rate", "µs"),
        &of(&mine, |one| one.cpu),
        ("unbound", &of(&theirs, |one| one.cpu)),
        1.0,
        &rate,
    ));
    rows.push(Row::against(
        ("policy.dns_memory", "MB"),
        &of(&mine, |one| one.memory),
        ("unbound", &of(&theirs, |one| one.memory)),
        0.1,
        "with 1,000,000 names, after the load",
    ));
}

/// Nanoseconds of a decision.
fn one_decision() -> Result<f64> {
    const ROUNDS: u32 = 200_000;
    let policy = Policy::new(Document::standard()?).map_err(|found| anyhow::anyhow!("{found:?}"))?;
    let context = Context {
        lesson: Some(LessonContext { permits: &[], attention: false }),
        device: DeviceState::Lent,
        consent: Some(Consent::Given),
        ..Context::unknown(Place::School)
    };
    let names = ["adl.edu.tw", "www.krunker.io", "zh.wikipedia.org", "mail.google.com", "a.b.c.d.example.com.tw"];
    // The thread's own time: whoever else wants the machine is not the decision's doing.
    let spent = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let before = spent()?;
    for round in 0..ROUNDS {
        for name in names {
            let query = Query::Host { name: black_box(name), listed: Marks::NONE };
            black_box(decide(&policy, &query, &context, 1_700_000_000_000 + u64::from(round)));
        }
    }
    Ok((spent()? - before).as_nanos() as f64 / f64::from(ROUNDS) / names.len() as f64)
}

/// What one run of a resolver gave.
struct Figures {
    /// Microseconds of CPU for a question.
    cpu: f64,
    /// Questions answered in a second.
    rate: f64,
    /// MB resident.
    memory: f64,
}

fn one_resolver(peer: bool) -> Result<Figures> {
    let ns = Ns::new("dns")?;
    for address in [TABLET, ABOVE, UNBOUND, OURS] {
        ns.ip(&format!("address add {address}/24 dev lo"))?;
    }
    let _above = NameServer::start(&ns, ABOVE, LEADS_TO, 3600)?;
    let folder = std::env::temp_dir().join(format!("classroom-bench-dns-{}", ns.name()));
    fs::create_dir_all(&folder)?;
    let outcome = if peer { unbound(&ns, &folder) } else { ours(&ns, &folder) };
    let figures = outcome.and_then(|(process, address)| measure(&ns, &process, address));
    fs::remove_dir_all(&folder)?;
    figures
}

fn listed(n: u32) -> String {
    format!("site-{n}.listed.example")
}

fn unbound(ns: &Ns, folder: &Path) -> Result<(Owned, Ipv4Addr)> {
    let path = folder.join("unbound.conf");
    let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
    write!(
        file,
        "server:\n interface: {UNBOUND}\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n \
         do-daemonize: no\n module-config: \"iterator\"\n do-ip6: no\n access-control: 0.0.0.0/0 allow\n num-threads: 1\n"
    )?;
    for n in 0..NAMES {
        writeln!(file, " local-zone: \"{}\" always_refuse", listed(n))?;
    }
    write!(file, "forward-zone:\n name: \".\"\n forward-addr: {ABOVE}\nremote-control:\n control-enable: no\n")?;
    file.flush()?;
    Ok((start(ns, folder, PathBuf::from("unbound"), &["-d", "-c", &path.display().to_string()])?, UNBOUND))
}

fn ours(ns: &Ns, folder: &Path) -> Result<(Owned, Ipv4Addr)> {
    let lists = folder.join("data/policy/lists");
    fs::create_dir_all(&lists)?;
    let mut file = std::io::BufWriter::new(fs::File::create(lists.join("games.domains"))?);
    for n in 0..NAMES {
        writeln!(file, "{}", listed(n))?;
    }
    file.flush()?;
    let lesson = appliance_core::policy::Lesson { id: "bench".into(), attention: false, permits: vec![] };
    let snapshot = Snapshot {
        schema: Snapshot::SCHEMA,
        written_at: 0,
        names: vec![],
        addresses: vec![OURS.into()],
        lesson: Some(lesson),
        register_in_use: false,
        devices: vec![],
        document: Document::standard()?,
    };
    fs::write(folder.join("data/policy/snapshot.json"), serde_json::to_vec(&snapshot)?)?;
    let config = folder.join("box.toml");
    fs::write(
        &config,
        format!(
            "[store]\npath = \"data\"\n[resolver]\nlisten = [\"{OURS}:53\"]\nupstream = [\"{ABOVE}:53\"]\n\
             [log]\nfilter = \"warn\"\n"
        ),
    )?;
    let arguments = ["resolver", "--config", &config.display().to_string()];
    Ok((start(ns, folder, program("appliance")?, &arguments)?, OURS))
}

fn start(ns: &Ns, folder: &Path, program: PathBuf, arguments: &[&str]) -> Result<Owned> {
    let log = fs::File::create(folder.join("log"))?;
    let errors = log.try_clone()?;
    Owned::spawn("ip", |command| {
        command.args(["netns", "exec", ns.name()]).arg(program).args(arguments).stdout(log).stderr(errors);
    })
}

fn measure(ns: &Ns, process: &Owned, address: Ipv4Addr) -> Result<Figures> {
    let server = SocketAddr::from((address, 53));
    let socket = ns.enter(|| UdpSocket::bind((TABLET, 0)))??;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let (mut question, mut answer) = (Vec::new(), [0; 1500]);
    // Until the last name of the list counts; then what is to be kept is asked for once.
    let mut one = |name: &str| -> Result<bool> {
        ask(&mut question, 7, name);
        socket.send_to(&question, server)?;
        let (size, _) = socket.recv_from(&mut answer).with_context(|| name.to_owned())?;
        let refused = refused(&answer[..size], address);
        ensure!(refused || answer[..size].ends_with(&LEADS_TO.octets()), "no answer to {name}");
        Ok(refused)
    };
    wait_for_blocking("the list to be loaded", START, || {
        ensure!(one(&listed(NAMES - 1))?, "not yet");
        anyhow::Ok(())
    })?;
    for n in 0..KEPT {
        wait_for_blocking("a name from above", START, || {
            ensure!(!one(&format!("kept-{n}.example"))?, "refused");
            anyhow::Ok(())
        })?;
    }
    while socket.recv_from(&mut answer).is_ok() {}

    let (began, before) = (Instant::now(), cpu_time(process.pid())?);
    let (mut sent, mut answered, mut wrong, mut on_their_way) = (0_u32, 0_u32, 0_u32, 0_usize);
    while began.elapsed() < LOAD {
        while on_their_way < ON_THEIR_WAY {
            let name = if sent.is_multiple_of(2) {
                listed(sent.wrapping_mul(7919) % NAMES)
            } else {
                format!("kept-{}.example", sent % KEPT)
            };
            ask(&mut question, u16::try_from(sent & 0xffff)?, &name);
            socket.send_to(&question, server)?;
            sent += 1;
            on_their_way += 1;
        }
        match socket.recv_from(&mut answer) {
            Ok((size, _)) => {
                answered += 1;
                // The lowest bit of a question's number says whether its name is listed.
                wrong += u32::from(refused(&answer[..size], address) != (answer[1] & 1 == 0));
                on_their_way -= 1;
            }
            // Lost: they are counted as asked and not as answered.
            Err(_) => on_their_way = 0,
        }
    }
    let (took, cpu) = (began.elapsed(), cpu_time(process.pid())?.saturating_sub(before));
    ensure!(answered > 1_000, "only {answered} of {sent} were answered");
    ensure!(wrong == 0, "{wrong} of {answered} answers were wrong");
    Ok(Figures {
        cpu: cpu.as_secs_f64() * 1e6 / f64::from(answered),
        rate: f64::from(answered) / took.as_secs_f64(),
        memory: memory(process.pid())?.resident as f64 / 1e6,
    })
}

/// Whether a name was refused: by unbound with that code, by ours with the box's own address.
pub(crate) fn refused(answer: &[u8], box_at: Ipv4Addr) -> bool {
    answer.get(3).is_some_and(|flags| flags & 15 == 5) || answer.ends_with(&box_at.octets())
}

/// A question for an address (RFC 1035 §4).
pub(crate) fn ask(question: &mut Vec<u8>, id: u16, name: &str) {
    question.clear();
    question.extend(id.to_be_bytes());
    question.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap_or(63));
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
}
