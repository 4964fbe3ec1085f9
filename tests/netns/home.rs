//! A student at home, from end to end (R-LIVE-1): school LAN – translator – internet with the gateway – translator – home.
//!
//! The gateway runs HAProxy, coturn and sshd from the very files of `image/gateway`, the box its tunnel by the very command
//! of `systemd/classroom-tunnel.service`. The browser at home is real, so is the panel's window; camera and microphone are
//! `studio`'s test sources.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{Seat, StudentCommand, TeacherCommand, TeacherView, view::Microphone};
use harness::{
    clip::Clip,
    home::{self, Student, TONE},
    hub::{Hub, Options, program},
    load::Publisher,
    netns::{Lan, Ns, cable},
    panel::Panel,
    people::Caller,
    proc::{Owned, descendants},
    resolver::{AsksAt, NameServer},
    school::School,
};

use crate::room::until;

/// The gateway's public address, and the routers' addresses towards it.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const SCHOOL_OUT: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];
const HOME_OUT: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
const HOME: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::new(192, 168, 1, 2)];
/// Not `.test`: the home's name server (unbound) answers for that one by itself that there is none.
const ROOM_NAME: &str = "room.example";
const RELAY_NAME: &str = "turn.example";
const SECRET: &str = "a-secret-of-the-test-only";
/// A browser, an encoder and a panel share this machine's two cores.
const PATIENCE: Duration = Duration::from_secs(40);

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn recipe(path: &str, words: &[(&str, &str)]) -> Result<String> {
    let text = fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())?;
    for (word, _) in words {
        ensure!(text.contains(word), "{path} no longer has {word}");
    }
    Ok(words.iter().fold(text, |text, (word, value)| text.replace(word, value)))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// The box's side of the tunnel, kept by its unit's own command and pause as systemd keeps it.
struct Tunnel {
    keeper: Owned,
}

impl Tunnel {
    fn start(ns: &Ns, folder: &Path) -> Result<Self> {
        let unit = recipe("systemd/classroom-tunnel.service", &[])?;
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).context(key.to_owned());
        let command = value("ExecStart=")?
            .replace("${CREDENTIALS_DIRECTORY}", &folder.display().to_string())
            .replace("/etc/classroom/tunnel", &folder.display().to_string());
        ensure!(value("Restart=")? == "always", "the unit no longer restarts its tunnel");
        let script = format!("while :; do {command}; sleep {}; done", value("RestartSec=")?);
        Ok(Self { keeper: logged(ns, folder, "tunnel.log", Path::new("sh"), &["-c", &script])? })
    }

    fn kill(&self) -> Result<()> {
        let ssh = descendants(self.keeper.pid())
            .into_iter()
            .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "ssh"));
        let pid = nix::unistd::Pid::from_raw(ssh.context("the tunnel runs")?.cast_signed());
        Ok(nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?)
    }
}

/// School, gateway and home. The order of the fields is the order in which it is taken down.
struct Town {
    student: Student,
    outside: tokio::runtime::Runtime,
    tunnel: Tunnel,
    panel: Panel,
    _studio: Owned,
    _gateway: Vec<Owned>,
    _names: NameServer,
    _asks: AsksAt,
    hub: Hub,
    teacher: Caller,
    code: String,
    heard: PathBuf,
    folder: PathBuf,
    _home: Ns,
    _home_router: Ns,
    _internet: Ns,
    _router: Ns,
    _panel_ns: Ns,
    hub_ns: Ns,
    lan: Lan,
}

impl Drop for Town {
    fn drop(&mut self) {
        if thread::panicking() {
            for log in ["tunnel.log", "sshd.log", "haproxy.log", "turnserver.log", "studio.log"] {
                let text = fs::read_to_string(self.folder.join(log)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                println!("{log}:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn logged(ns: &Ns, folder: &Path, log: &str, program: &Path, args: &[&str]) -> Result<Owned> {
    let log = fs::File::create(folder.join(log))?;
    Owned::spawn("ip", |ip| {
        ip.args(["netns", "exec", ns.name()]).arg(program).args(args).current_dir(folder);
        ip.stdout(log.try_clone().expect("a file")).stderr(log);
    })
}

impl Town {
    /// With `only_443` the home's line lets out TCP to port 443 and nothing else.
    fn new(label: &str, only_443: bool) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("classroom-town-{label}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = |name: &str| folder.join(name).display().to_string();

        // The networks.
        let lan = Lan::new()?;
        let (hub_ns, panel_ns) = (lan.machine("hub", 1)?, lan.machine("panel", 2)?);
        let router = lan.machine("router", 253)?;
        let (internet, home_router, home) = (Ns::new("internet")?, Ns::new("homenat")?, Ns::new("home")?);
        router.ip("route del default")?;
        router.ip("address add 10.77.0.254/24 dev eth0")?;
        cable(&internet, "school", SCHOOL_OUT[0], &router, "wan", SCHOOL_OUT[1])?;
        cable(&internet, "homes", HOME_OUT[0], &home_router, "wan", HOME_OUT[1])?;
        cable(&home_router, "lan", HOME[0], &home, "eth0", HOME[1])?;
        internet.ip(&format!("address add {GATEWAY}/32 dev lo"))?;
        router.ip(&format!("route add default via {}", SCHOOL_OUT[0]))?;
        home_router.ip(&format!("route add default via {}", HOME_OUT[0]))?;
        home.ip(&format!("route add default via {}", HOME[0]))?;
        router.translate("wan")?;
        home_router.translate("wan")?;
        if only_443 {
            // What passes the router; its own name server answers still.
            home_router.nft(
                "table inet thin {\n chain out {\n type filter hook forward priority 0\n iifname \"lan\" tcp dport != 443 drop\n \
                 iifname \"lan\" meta l4proto != tcp drop\n }\n}",
            )?;
        }
        // The internet passes on what the gateway does not take.
        let status = internet.command("sysctl").args(["-q", "-w", "net.ipv4.ip_forward=1"]).status()?;
        ensure!(status.success(), "sysctl");

        // The gateway, from its recipe.
        let school = School::new(Lan::address(1))?;
        let (certificate, key) = school.certificate();
        fs::write(folder.join("relay.pem"), certificate)?;
        fs::write(folder.join("relay.key"), key)?;
        fs::write(folder.join("turn.secret"), format!("{SECRET}\n"))?;
        fs::write(
            folder.join("haproxy.cfg"),
            recipe("image/gateway/haproxy.cfg", &[("RELAY-NAME", RELAY_NAME), ("ROOM-NAME", ROOM_NAME)])?,
        )?;
        let (relay_pem, relay_key) = (file("relay.pem"), file("relay.key"));
        let words = [
            ("PUBLIC-ADDRESS", "192.0.2.10"),
            ("CERTIFICATE-FILE", relay_pem.as_str()),
            ("KEY-FILE", relay_key.as_str()),
            ("static-auth-secret=SECRET", "static-auth-secret=a-secret-of-the-test-only"),
            ("RELAY-NAME", RELAY_NAME),
        ];
        fs::write(folder.join("turnserver.conf"), recipe("image/gateway/turnserver.conf", &words)?)?;
        for key in ["key", "hostkey"] {
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &file(key)])
                .status()?;
            ensure!(made.success(), "ssh-keygen");
        }
        let public = |name: &str| fs::read_to_string(folder.join(format!("{name}.pub")));
        fs::write(
            folder.join("authorized_keys"),
            format!("restrict,port-forwarding,permitlisten=\"127.0.0.1:20501\" {}", public("key")?),
        )?;
        fs::write(folder.join("known_hosts"), format!("{GATEWAY} {}", public("hostkey")?))?;
        fs::create_dir_all("/run/sshd")?;
        let as_test = recipe("image/gateway/sshd_tunnel.conf", &[("Match User tunnel", "Match User root")])?;
        fs::write(
            folder.join("sshd.conf"),
            format!(
                "ListenAddress {GATEWAY}:22\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin prohibit-password\n\
                 StrictModes no\nUsePAM no\nPidFile {}\n{as_test}",
                file("hostkey"),
                file("authorized_keys"),
                file("sshd.pid")
            ),
        )?;
        fs::write(
            folder.join("config"),
            recipe(
                "image/gateway/box/tunnel.config",
                &[("GATEWAY-NAME", "192.0.2.10"), ("User tunnel", "User root"), ("127.0.0.1:443", "10.77.0.1:8443")],
            )?,
        )?;
        let gateway = vec![
            logged(
                &internet,
                &folder,
                "sshd.log",
                Path::new("/usr/sbin/sshd"),
                &["-D", "-e", "-f", &file("sshd.conf")],
            )?,
            logged(&internet, &folder, "haproxy.log", Path::new("haproxy"), &["-db", "-f", &file("haproxy.cfg")])?,
            logged(
                &internet,
                &folder,
                "turnserver.log",
                Path::new("turnserver"),
                &["-c", &file("turnserver.conf"), "--pidfile", &file("turn.pid"), "--userdb", &file("turn.db")],
            )?,
        ];

        // The school.
        let heard = folder.join("heard.raw");
        let config = format!(
            "[home]\nurl = \"https://{ROOM_NAME}\"\nstun = \"{GATEWAY}:3478\"\nsecret_file = \"{}\"\n\
             relays = [\"turn:{GATEWAY}:3478?transport=udp\", \"turns:{RELAY_NAME}:443?transport=tcp\"]\n",
            file("turn.secret")
        );
        let (hub, teacher, code, panel, link) = hub_ns.block_on(|| async {
            let options = Options { config, ..Options::inside(&hub_ns, Lan::address(1)) };
            let hub = Hub::start_with(options).await?;
            let teacher = hub.teacher().await?;
            let code = teacher.start_lesson(30).await?;
            let panel = Panel::start_heard(&hub, &teacher, Some(panel_ns.name()), &heard).await?;
            let link = home::link(&teacher, 7).await?;
            anyhow::Ok((hub, teacher, code, panel, link))
        })??;
        let key = hub.home().join("data/studio-key").display().to_string();
        let studio = ["--hub", "http://127.0.0.1:8080", "--key-file", &key, "--video=test", "--audio=test"];
        let studio = [&studio[..], &["--size", "640x360", "--bitrate", "700"]].concat();
        let studio = logged(&hub_ns, &folder, "studio.log", &program("studio")?, &studio)?;
        let tunnel = Tunnel::start(&hub_ns, &folder)?;

        // The home. Its browser trusts the test's two keys by their hashes, for the pages and for `turns:` (it refuses a
        // relay whose key it does not know); a real one trusts real certificates. Its router is its name server: a browser
        // looks the relay up as `turn.example.`, with a dot, which a `--host-resolver-rules` for the name without one does not
        // cover, and a question that nobody answers keeps the relay away for longer than the page waits for it.
        let names = NameServer::start(&home_router, HOME[0], GATEWAY, 60)?;
        let asks = AsksAt::new(&home, HOME[0])?;
        let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        home::write_voice(&folder.join("voice.wav"))?;
        let hub_pem = fs::read_to_string(hub.home().join("hub.pem"))?;
        let hashes =
            [certificate, hub_pem.as_str()].map(|pem| spki(pem, &folder)).into_iter().collect::<Result<Vec<_>>>()?;
        let args = vec![format!("--ignore-certificate-errors-spki-list={}", hashes.join(","))];
        let teacher_sees = |view: &TeacherView| view.room_live;
        hub_ns.block_on(|| async { teacher.feed(None).await?.view("the studio", teacher_sees).await })??;
        until("the tunnel", PATIENCE, || through(&home))?;
        let student =
            outside.block_on(Student::open(&link, &folder.join("voice.wav"), Some(home.name()), (1280, 800), args))?;
        Ok(Self {
            student,
            outside,
            tunnel,
            panel,
            _studio: studio,
            _gateway: gateway,
            _names: names,
            _asks: asks,
            hub,
            teacher,
            code,
            heard,
            folder,
            _home: home,
            _home_router: home_router,
            _internet: internet,
            _router: router,
            _panel_ns: panel_ns,
            hub_ns,
            lan,
        })
    }

    fn tell(&self, command: TeacherCommand) -> Result<()> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| teacher.command(&command))?
    }

    fn desk(&self, what: &str, fits: impl Fn(&TeacherView) -> bool + Send) -> Result<TeacherView> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| async { teacher.feed(None).await?.view(what, fits).await })?
    }

    fn shot(&self, name: &str) -> Result<()> {
        self.outside.block_on(async {
            let browser = &self.student.page.browser;
            browser.screenshot(harness::panel::shot(name)?).await?;
            for (width, height, name) in [(390, 844, format!("{name}-phone")), (1280, 800, String::new())] {
                let size =
                    serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
                browser.devtools("Emulation.setDeviceMetricsOverride", size).await?;
                if !name.is_empty() {
                    browser.screenshot(harness::panel::shot(&name)?).await?;
                }
            }
            Ok(())
        })
    }

    /// The student raises the hand, the teacher opens the microphone, the student taps, and the panel plays the tone.
    fn speak(&self) -> Result<Duration> {
        let seven = Seat::try_from(7)?;
        let at_home =
            |view: &TeacherView| view.seats.iter().find(|seat| seat.seat == seven).and_then(|seat| seat.home.clone());
        self.outside.block_on(self.student.page.tap("home.hand-raise"))?;
        self.desk("the hand", |view| at_home(view).is_some_and(|home| home.hand_at.is_some()))?;
        self.tell(TeacherCommand::Microphone { seat: seven, on: true })?;
        self.outside.block_on(self.student.page.sees("home.microphone-open"))?;
        self.shot("home-may-speak")?;
        let began = Instant::now();
        self.outside.block_on(self.student.page.tap("home.microphone-start"))?;
        self.desk("the voice", |view| at_home(view).is_some_and(|home| home.microphone == Microphone::Live))?;
        until("the tone at the panel", PATIENCE, || {
            let raw = fs::read(&self.heard).unwrap_or_default();
            let (share, loudness) = home::tone_in(&raw, TONE);
            ensure!(share > 0.5 && loudness > 0.01, "{} bytes, share {share:.2}, loudness {loudness:.3}", raw.len());
            Ok(())
        })
        .with_context(|| self.panel.log())?;
        let heard = began.elapsed();
        self.outside.block_on(self.student.page.sees("home.microphone-live"))?;
        self.tell(TeacherCommand::Microphone { seat: seven, on: false })?;
        self.desk("silence", |view| at_home(view).is_some_and(|home| home.microphone == Microphone::Closed))?;
        let silent = fs::metadata(&self.heard)?.len();
        self.outside.block_on(self.student.page.sees("home.hand-raise"))?;
        let after = fs::metadata(&self.heard)?.len();
        ensure!(after - silent < 48_000 * 2 * 2, "the panel went on playing: {silent} then {after} bytes");
        Ok(heard)
    }
}

/// Whether the room's page answers through the gateway.
fn through(home: &Ns) -> Result<()> {
    let done = home
        .command("curl")
        .args(["-sk", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "--resolve"])
        .arg(format!("{ROOM_NAME}:443:{GATEWAY}"))
        .arg(format!("https://{ROOM_NAME}/healthz"))
        .output()?;
    let code = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(code == "200", "through the gateway: {code}");
    Ok(())
}

/// The hash of a certificate's public key as browsers write it.
fn spki(pem: &str, folder: &Path) -> Result<String> {
    let file = folder.join("one.pem");
    fs::write(&file, pem)?;
    let script = format!(
        "openssl x509 -in {} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
        file.display()
    );
    let done = std::process::Command::new("sh").args(["-c", &script]).output()?;
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

#[test]
fn a_student_at_home_sees_hears_asks_and_speaks() -> Result<()> {
    let town = Town::new("open", false)?;
    town.shot("home-door")?;
    let began = Instant::now();
    town.outside.block_on(town.student.enter())?;
    let age = town.outside.block_on(town.student.sees_the_room(PATIENCE))?;
    println!("at home: the room's picture after {:?}, {age} ms old", began.elapsed());
    town.desk("the student at home", |view| view.marks.live)?;
    town.shot("home-room")?;

    // The teacher's tap changes the picture; the session stays the same.
    let tasks = town.lan.machine("tablet", 10)?.tasks()?;
    let (anyone, code) = (town.hub.anyone_far()?, town.code.clone());
    let tablet = tasks.run(async move { anyone.join(&code, 3).await })?;
    town.tell(TeacherCommand::Approve { seat: tablet.seat })?;
    let (caller, path) = (tablet.caller.clone(), format!("/whip/{}", tablet.source));
    let clip = Clip::encode(640, 360, 800)?;
    let _cast = tasks.run(async move {
        caller.ask(StudentCommand::Ask).await?;
        Publisher::start(&caller, &path, clip, IpAddr::V4(Lan::address(10))).await
    })?;
    town.desk("the cast", |view| {
        view.seats
            .iter()
            .any(|seat| seat.seat == tablet.seat && seat.sharing == classroom_protocol::view::Sharing::Live)
    })?;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let tap = now();
        town.tell(TeacherCommand::Show { source: tablet.source.clone(), tile: None })?;
        there.push(town.outside.block_on(town.student.sees_another(tap, PATIENCE))? - tap);
        town.outside.block_on(town.student.page.sees_words("學生3"))?;
        if there.len() == 1 {
            town.shot("home-panel")?;
        }
        let tap = now();
        town.tell(TeacherCommand::Remove { source: tablet.source.clone() })?;
        back.push(town.outside.block_on(town.student.sees_the_room_again(tap, PATIENCE))? - tap);
    }
    there.sort_unstable();
    back.sort_unstable();
    println!("a tap to the new picture at home: {there:?} ms; back to the room's camera: {back:?} ms");
    ensure!(there[1] <= 500 && back[1] <= 500, "the switch took longer than 500 ms");

    println!("the panel plays the voice {:?} after the student's tap", town.speak()?);

    // The tunnel is killed: pictures go on by their own way, and the page is back by itself.
    let killed = Instant::now();
    town.tunnel.kill()?;
    until("the gateway to notice", PATIENCE, || ensure_closed(&town._home))?;
    until("the tunnel to be back", Duration::from_secs(10), || through(&town._home))?;
    let back = killed.elapsed();
    println!("the tunnel was killed and back after {back:?}");
    ensure!(back <= Duration::from_secs(10), "the tunnel took {back:?}");
    town.desk("the student to be back", |view| view.marks.live)?;
    town.outside.block_on(town.student.sees_the_room(PATIENCE))?;

    // The bell.
    town.tell(TeacherCommand::EndLesson)?;
    town.outside.block_on(town.student.page.sees("home.ended"))?;
    town.shot("home-ended")
}

fn ensure_closed(home: &Ns) -> Result<()> {
    ensure!(through(home).is_err(), "it still answers");
    Ok(())
}

#[test]
fn a_home_that_lets_out_nothing_but_port_443() -> Result<()> {
    let town = Town::new("thin", true)?;
    let began = Instant::now();
    town.outside.block_on(town.student.enter())?;
    let age = town.outside.block_on(town.student.sees_the_room(PATIENCE))?;
    println!("with UDP blocked, by TURN over TLS: the room's picture after {:?}, {age} ms old", began.elapsed());
    println!("the panel plays the voice {:?} after the student's tap", town.speak()?);
    Ok(())
}
