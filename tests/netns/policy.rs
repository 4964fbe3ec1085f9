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
    Problem, TeacherCommand,
    catalogue::Lang,
    policy::{Document, Instead, ListFault, Permission, PolicyFiles, Refused},
};
use harness::{
    browser,
    hub::{Hub, Options, program},
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
/// What a tablet has been told is open it asks about again after so many seconds.
const CLOSED_AGAIN: u32 = 20;
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

    /// For how many seconds the tablet may keep the answer.
    fn ttl(&self, name: &str) -> Result<u32> {
        let answer = self.ask(&["+noall", "+answer", name])?;
        let ttl = answer.split_whitespace().nth(1).and_then(|ttl| ttl.parse().ok());
        ttl.with_context(|| format!("no TTL: {answer}"))
    }

    /// Browsers try https, and the box has no certificate for a game: it shows none at all. Its own pages it serves.
    fn no_certificate_is_shown_for_it(&self) -> Result<()> {
        let to_the_pages = "tcp dport 443 redirect to :8443";
        self.hub_ns.nft(&format!(
            "table ip pages {{\n chain in {{\n type nat hook prerouting priority -100\n {to_the_pages}\n }}\n}}"
        ))?;
        let open = |address: &str| -> Result<bool> {
            let mut curl = self.tablet.command("curl");
            Ok(curl.args(["-sk", "-m", "5", "-o", "/dev/null", address]).status()?.success())
        };
        ensure!(open(&format!("https://{}/healthz", Lan::address(BOX)))?, "the box's own pages by its address");
        ensure!(!open("https://krunker.io/")?, "the box shows its certificate for a game");
        Ok(())
    }

    /// What the office is told of the school's document and lists.
    fn files(&self) -> Result<PolicyFiles> {
        self.hub_ns.block_on(|| async { self.teacher.get("/api/policy/files").await?.json() })?
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
    // The world's names are good for an hour: who keeps answers must not keep what the lesson has opened.
    let mut school = School::new(3600)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;

    // Before the lesson: learning, and nothing else.
    school.within(TAP, "zh.wikipedia.org", &refused("R-POL-4"))?;
    let code = school.hub_ns.block_on(|| school.teacher.start_lesson(30))??;
    let open = school.within(TAP, "zh.wikipedia.org", &leads(WORLD))?;
    school.within(TAP, "krunker.io", &refused("R-POL-3"))?;
    println!("the lesson opened the web after {open:?}; a game is refused:\n{}", school.ask(&["krunker.io"])?);
    let by_tcp = school.ask(&["+tcp", "www.krunker.io"])?;
    ensure!(by_tcp.contains("R-POL-3"), "by TCP too: {by_tcp}");
    // The box's own programs, when the network hands the box out as its own name server.
    let own = dig(&school.hub_ns, Lan::address(BOX), &["krunker.io"])?;
    let world = Lan::address(WORLD).to_string();
    ensure!(own.contains(&world) && !own.contains("R-POL"), "the rules are for the room's devices: {own}");
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

    school.no_certificate_is_shown_for_it()?;
    runtime.block_on(async {
        let options = browser::Options { netns: Some(school.tablet.name().into()), ..browser::Options::default() };
        let page = Page::open("http://krunker.io", "/", Lang::ZhHantTw, options).await?;
        page.sees("policy.why-closed").await?;
        let failed = page.browser.client.goto("https://krunker.io/").await;
        page.browser.screenshot(shot("policy-https")?).await?;
        let told = format!("{failed:?}");
        ensure!(told.contains("ERR_CONNECTION_CLOSED") || told.contains("ERR_CONNECTION_RESET"), "{told}");
        let says = page.browser.client.execute("return document.body.innerText", vec![]).await?.to_string();
        ensure!(says.contains("ERR_CONNECTION_") && !says.contains("CERT"), "{says}");
        println!("for https the browser says: {says}");
        anyhow::Ok(())
    })?;

    // What no teacher opens is not said to be open.
    for (what, rule) in [
        (Permission::Category("harmful".into()), Some("R-POL-15")),
        (Permission::Host("www.pornhub.com".into()), Some("R-POL-15")),
        (Permission::Category("nope".into()), None),
    ] {
        let command = TeacherCommand::Permit { what, minutes: None };
        let answer = school.hub_ns.block_on(|| school.teacher.post("/api/room/command", &command))??;
        let problem: Problem = answer.problem()?;
        ensure!(
            problem.field.as_deref() == Some("what") && problem.rule.as_deref() == rule,
            "{command:?}: {problem:?}"
        );
    }

    // The teacher's tap.
    let games = Permission::Category("games".into());
    school.tell(TeacherCommand::Permit { what: games, minutes: None })?;
    let opened = school.within(TAP, "krunker.io", &leads(WORLD))?;
    let kept = school.ttl("krunker.io")?;
    ensure!(kept <= CLOSED_AGAIN, "a tablet may keep what a permit opened for {kept} s");
    let kept = school.ttl("zh.wikipedia.org")?;
    ensure!(kept <= CLOSED_AGAIN, "a tablet may keep what the lesson opened for {kept} s");
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
fn what_the_school_has_closed_stays_closed_when_a_file_is_spoilt() -> Result<()> {
    let mut school = School::new(3600)?;
    let _code = school.hub_ns.block_on(|| school.teacher.start_lesson(30))??;
    school.within(TAP, "zh.wikipedia.org", &leads(WORLD))?;
    let folder = school.hub.home().join("data/policy");
    let list = folder.join("lists/games.hosts");
    let mut own = Document::standard()?;
    own.revision = "本校".into();
    own.categories.get_mut("games").context("games")?.hosts.push("closed-by-us.example".into());
    fs::write(folder.join("document.json"), own.to_json()?)?;
    fs::write(&list, "0.0.0.0 listed-by-us.example\n")?;
    fs::write(folder.join("lists/game.hosts"), "0.0.0.0 misspelt.example\n")?;
    school.within(PATIENCE, "closed-by-us.example", &refused("R-POL-3"))?;
    school.within(PATIENCE, "listed-by-us.example", &refused("R-POL-3"))?;

    // A typo, an error page in the list's place; then the power is cut.
    fs::write(folder.join("document.json"), own.to_json()?.replace("\"rules\"", "\"rule\""))?;
    fs::write(&list, "<!doctype html>\n<title>404 Not Found</title>\n")?;
    let told = |school: &School| {
        wait_for_blocking("the office to be told", PATIENCE, || {
            let files = school.files()?;
            let fault = |file: &str| files.lists.iter().find(|list| list.file == file).and_then(|list| list.fault);
            let unused = files.unused.as_ref().context("of the document")?;
            ensure!(unused.instead == Instead::LastGood && unused.reason.contains("rule"), "{unused:?}");
            ensure!(files.revision == "本校", "{files:?}");
            ensure!(fault("games.hosts") == Some(ListFault::Nonsense), "{files:?}");
            ensure!(fault("game.hosts") == Some(ListFault::NoCategory), "{files:?}");
            anyhow::Ok(())
        })
    };
    told(&school)?;
    let still_closed = |school: &School| {
        school.within(TAP, "closed-by-us.example", &refused("R-POL-3"))?;
        school.within(TAP, "listed-by-us.example", &refused("R-POL-3"))
    };
    still_closed(&school)?;
    let (ns, hub) = (&school.hub_ns, &mut school.hub);
    ns.block_on(|| hub.crash())??;
    school.resolver.crash(&school.hub_ns, school.hub.home())?;
    school.within(PATIENCE, "zh.wikipedia.org", &leads(WORLD))?;
    told(&school)?;
    still_closed(&school)?;
    let mut doctor = school.hub_ns.command(program("appliance")?);
    let doctor = doctor.args(["doctor", "--config"]).arg(school.hub.home().join("box.toml")).output()?;
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let says = ["document.json", "本校", "lists/games.hosts", "lists/game.hosts"];
    ensure!(says.iter().all(|word| doctor.contains(word)), "{doctor}");
    println!("{}", doctor.lines().filter(|line| line.contains("policy")).collect::<Vec<_>>().join("\n"));
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
    // A game of another script: its name as DNS and lists have it.
    fs::write(lists.join("games.domains"), "xn--fiqs8s.tw\n")?;
    fs::rename(lists.join("new"), lists.join("games.hosts"))?;
    let loaded = school.within(PATIENCE, "www.site-999999.games-of-the-world.example", &refused("R-POL-3"))?;
    school.within(TAP, "www.xn--fiqs8s.tw", &refused("R-POL-3"))?;
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
