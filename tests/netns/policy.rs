//! The rules where they count: on a tablet that asks for names (R-POL-3, -4, -9, -18, -22). `dig` and Chromium on a
//! machine of their own, the hub and the resolver as two processes, a real name server above.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{
    TeacherCommand,
    catalogue::Lang,
    policy::{Permission, Refused},
};
use harness::{
    browser,
    hub::{Hub, Options},
    netns::{Lan, Ns},
    pages::Page,
    panel::shot,
    people::Caller,
    proc::memory,
    resolver::{AsksAt, NameServer, Resolver, dig},
    wait::wait_for_blocking,
    web::WebServer,
};
use nix::sys::signal::{Signal, kill};

const BOX: u8 = 1;
const TABLET: u8 = 10;
const WORLD: u8 = 20;
/// A teacher's tap counts within this time.
const TAP: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// A school: the box, one tablet, and the world with a name server and one web server for every name. The order of
/// the fields is the order in which it is taken down.
struct School {
    resolver: Resolver,
    teacher: Caller,
    hub: Hub,
    above: Option<NameServer>,
    _web: WebServer,
    _asks: AsksAt,
    tablet: Ns,
    world: Ns,
    hub_ns: Ns,
    _lan: Lan,
}

impl School {
    fn new(ttl: u32) -> Result<Self> {
        let lan = Lan::new()?;
        let (hub_ns, tablet, world) =
            (lan.machine("hub", BOX)?, lan.machine("tablet", TABLET)?, lan.machine("world", WORLD)?);
        let asks = AsksAt::new(&tablet, Lan::address(BOX))?;
        let above = NameServer::start(&world, Lan::address(WORLD), Lan::address(WORLD), ttl)?;
        let web = WebServer::start(&world, Lan::address(WORLD), "THE GAME")?;
        let config = format!(
            "[resolver]\nlisten = [\"{0}:53\"]\nupstream = [\"{1}:53\"]\n[policy]\nportal = [\"{0}:80\"]\n",
            Lan::address(BOX),
            Lan::address(WORLD)
        );
        let (hub, teacher) = hub_ns.block_on(|| async {
            let hub = Hub::start_with(Options { config, ..Options::inside(&hub_ns, Lan::address(BOX)) }).await?;
            let teacher = hub.teacher().await?;
            anyhow::Ok((hub, teacher))
        })??;
        let resolver = Resolver::start(&hub_ns, hub.home())?;
        let school = Self {
            resolver,
            teacher,
            hub,
            above: Some(above),
            _web: web,
            _asks: asks,
            tablet,
            world,
            hub_ns,
            _lan: lan,
        };
        school.within(PATIENCE, "adl.edu.tw", &leads(WORLD))?;
        Ok(school)
    }

    fn ask(&self, question: &[&str]) -> Result<String> {
        dig(&self.tablet, Lan::address(BOX), question)
    }

    /// Waits until the answer has all of `signs`; says how long it took.
    fn within(&self, time: Duration, name: &str, signs: &[String]) -> Result<Duration> {
        let began = Instant::now();
        wait_for_blocking(&format!("{name} with {signs:?}"), time, || {
            let answer = self.ask(&[name])?;
            // Columns are parted by tabs, or by spaces behind a long name.
            let columns = answer.split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(signs.iter().all(|sign| columns.contains(&sign.replace('\t', " "))), "{answer}");
            anyhow::Ok(())
        })
        .with_context(|| self.resolver.log())?;
        Ok(began.elapsed())
    }

    fn tell(&self, command: TeacherCommand) -> Result<()> {
        self.hub_ns.block_on(|| self.teacher.command(&command))?
    }

    fn above_ends(&mut self) {
        self.above = None;
    }
}

/// The answer leads to this machine.
fn leads(host: u8) -> Vec<String> {
    vec![format!("IN\tA\t{}", Lan::address(host))]
}

/// The answer leads to the box and says the rule (RFC 8914).
fn refused(rule: &str) -> Vec<String> {
    vec![format!("IN\tA\t{}", Lan::address(BOX)), "EDE: 15 (Blocked)".into(), rule.into()]
}

#[test]
fn a_game_is_refused_in_class_opened_by_a_tap_and_refused_again() -> Result<()> {
    let mut school = School::new(60)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;

    // Before the lesson: learning, and nothing else.
    school.within(TAP, "zh.wikipedia.org", &refused("R-POL-4"))?;
    let code = school.hub_ns.block_on(|| school.teacher.start_lesson(30))??;
    let open = school.within(TAP, "zh.wikipedia.org", &leads(WORLD))?;
    school.within(TAP, "krunker.io", &refused("R-POL-3"))?;
    println!("the lesson opened the web after {open:?}; a game is refused:\n{}", school.ask(&["krunker.io"])?);
    let by_tcp = school.ask(&["+tcp", "www.krunker.io"])?;
    ensure!(by_tcp.contains("R-POL-3"), "by TCP too: {by_tcp}");
    let other = school.ask(&["krunker.io", "HTTPS"])?;
    ensure!(other.contains("status: NOERROR") && other.contains("ANSWER: 0"), "no other way in: {other}");
    let silent = school.ask(&["use-application-dns.net"])?;
    ensure!(silent.contains("NXDOMAIN"), "browsers keep asking the box: {silent}");

    // The student sees the rule, the reason and who can change it.
    let student = school.tablet.block_on(|| async { school.hub.anyone_far()?.join(&code, 7).await })??;
    let mine: Vec<Refused> = school.tablet.block_on(|| async {
        harness::wait::wait_for("the refusal on the student's page", PATIENCE, async || {
            let mine: Vec<Refused> = student.caller.get("/api/policy/mine").await?.json()?;
            ensure!(mine.iter().any(|one| one.name == "krunker.io"), "{mine:?}");
            anyhow::Ok(mine)
        })
        .await
    })??;
    ensure!(mine.iter().all(|one| !one.decision.allow), "{mine:?}");
    let page = runtime.block_on(async {
        let options = browser::Options { netns: Some(school.tablet.name().into()), ..browser::Options::default() };
        let page = Page::open("http://krunker.io", "/", Lang::ZhHantTw, options).await?;
        page.sees("policy.why-closed").await?;
        page.sees("policy.reason.games").await?;
        page.sees("policy.changer.teacher").await?;
        let address = page.browser.client.current_url().await?;
        ensure!(address.as_str() == "http://10.77.0.1/why?host=krunker.io", "{address}");
        page.browser.screenshot(shot("policy-why")?).await?;
        anyhow::Ok(page)
    })?;

    // The teacher's tap.
    let games = Permission::Category("games".into());
    school.tell(TeacherCommand::Permit { what: games, minutes: None })?;
    let opened = school.within(TAP, "krunker.io", &leads(WORLD))?;
    println!("the teacher's tap counted after {opened:?}");
    runtime.block_on(async {
        page.sees("policy.why-open").await?;
        // Another game: the browser keeps its own answer of the first for up to a minute.
        // It may try HTTPS first, which nobody serves here, and says so instead of the page.
        let open = async || page.browser.client.goto("http://y8.com/").await;
        harness::wait::wait_for("the game to open", PATIENCE, open).await?;
        page.browser.wait_for("document.body.innerText.includes('THE GAME')", PATIENCE).await
    })?;
    school.within(TAP, "mail.google.com", &refused("R-POL-9"))?;

    // The hub is gone, the resolver goes on: what was open stays open, what was refused stays refused.
    kill(nix::unistd::Pid::from_raw(school.hub.pid().cast_signed()), Signal::SIGKILL)?;
    school.within(TAP, "y8.com", &leads(WORLD))?;
    school.within(TAP, "mail.google.com", &refused("R-POL-9"))?;
    school.within(TAP, "junyiacademy.org", &leads(WORLD))?;
    println!("the hub is killed: the resolver decides as before");
    let ns = &school.hub_ns;
    let hub = &mut school.hub;
    ns.block_on(|| hub.crash())??;

    // With the lesson the permit ends.
    school.tell(TeacherCommand::EndLesson)?;
    let closed = school.within(TAP, "krunker.io", &refused("R-POL-3"))?;
    println!("refused again {closed:?} after the lesson");
    let record: serde_json::Value =
        school.hub_ns.block_on(|| async { school.teacher.get("/api/policy/log").await?.json() })??;
    ensure!(
        record
            .as_array()
            .is_some_and(|lines| lines.iter().any(|line| line["name"] == "krunker.io" && line["rule"] == "R-POL-3")),
        "the record of network access: {record}"
    );
    let audit: serde_json::Value =
        school.hub_ns.block_on(|| async { school.teacher.get("/api/audit").await?.json() })??;
    ensure!(audit.to_string().contains("read-network-access"), "the look itself is put down: {audit}");
    Ok(())
}

#[test]
fn a_million_names_a_dead_uplink_and_nonsense() -> Result<()> {
    let mut school = School::new(1)?;
    let _code = school.hub_ns.block_on(|| school.teacher.start_lesson(30))??;
    let before = memory(school.resolver.pid())?.resident;

    // The list is written beside and put in place, as its keeper should.
    let lists = school.hub.home().join("data/policy/lists");
    let mut file = std::io::BufWriter::new(fs::File::create(lists.join("new"))?);
    for n in 0..1_000_000 {
        writeln!(file, "0.0.0.0 site-{n}.games-of-the-world.example")?;
    }
    file.into_inner()?.sync_all()?;
    fs::rename(lists.join("new"), lists.join("games.hosts"))?;
    let loaded = school.within(PATIENCE, "www.site-999999.games-of-the-world.example", &refused("R-POL-3"))?;
    school.within(TAP, "site-1000000.games-of-the-world.example", &leads(WORLD))?;
    let after = memory(school.resolver.pid())?.resident;
    println!(
        "1,000,000 names count after {loaded:?}; the resolver holds {} MB, {} MB before",
        after / 1_000_000,
        before / 1_000_000
    );

    // Nonsense of every kind, then a question as ever.
    school.tablet.enter(|| -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..3_000_usize {
            let junk: Vec<u8> = (0..round % 300)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed.to_be_bytes()[3]
                })
                .collect();
            socket.send_to(&junk, (Lan::address(BOX), 53))?;
            // A header that promises 65,535 of everything; a name that points to itself.
            let mut liar = vec![0, 1, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255];
            liar.extend([0xc0, 12, 0, 1, 0, 1]);
            socket.send_to(&liar, (Lan::address(BOX), 53))?;
        }
        for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[255; 40], &[0, 0], &[0, 12, 1, 2, 3]] {
            let mut stream = TcpStream::connect((Lan::address(BOX), 53))?;
            stream.write_all(junk)?;
        }
        Ok(())
    })??;
    school.within(PATIENCE, "zh.wikipedia.org", &leads(WORLD))?;
    ensure!(!school.resolver.log().contains("panicked"), "{}", school.resolver.log());

    // The uplink dies: what was known is told, as stale (RFC 8767); what was not is told as unreachable (RFC 8914).
    school.above_ends();
    let stale =
        school.within(PATIENCE, "zh.wikipedia.org", &[leads(WORLD), vec!["EDE: 3 (Stale Answer)".into()]].concat())?;
    school.within(PATIENCE, "zh.wikibooks.org", &["SERVFAIL".into(), "EDE: 22".into()])?;
    school.within(TAP, "krunker.io", &refused("R-POL-3"))?;
    println!("the uplink is dead: a stale answer after {stale:?}, rules as before");
    let back = Lan::address(WORLD);
    school.above = Some(NameServer::start(&school.world, back, back, 60)?);
    let fresh = school.within(PATIENCE, "zh.wikibooks.org", &leads(WORLD))?;
    println!("back {fresh:?} after the uplink");
    Ok(())
}
