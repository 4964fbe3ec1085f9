//! The take-home device: enrolled at school, unplugged, at home without the box, and back (R-POL-3, -12, -18, -19;
//! R-USE-2). Real programs, a real name server at home (unbound), two networks.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use classroom_protocol::catalogue::{Lang, text};
use harness::{
    hub::{Hub, Options, program},
    netns::{Lan, Ns, cable},
    proc::{self, Owned},
    wait::wait_for_blocking,
};
use serde_json::{Value, json};

use super::{
    devices::school,
    room::{HUB, TABLETS},
};

/// Monday 2026-11-23, 20:00 in Taipei.
const MONDAY_EVENING: u64 = 1_795_435_200_000;
const MINUTE: u64 = 60_000;
const SOON: Duration = Duration::from_secs(30);
const PAGE: &str = "127.0.0.1:8970";
/// The home's router and the device behind it.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 5, 1);
const AT_HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 5, 2);
/// A game and a platform of the standard rules.
const GAME: &str = "www.roblox.com";
const PLATFORM: &str = "adl.edu.tw";
/// The device may take this much memory.
const MEMORY: u64 = 25_000_000;

/// A device with an agent. Its folder goes with it.
struct Device {
    ns: Ns,
    folder: PathBuf,
    agent: Option<Owned>,
}

impl Device {
    fn new(lan: &Lan) -> Result<Self> {
        let ns = lan.machine("device", TABLETS)?;
        let folder = std::env::temp_dir().join(format!("classroom-agent-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let device = Self { ns, folder, agent: None };
        device.set_options("")?;
        device.set_name_server(Lan::address(HUB))?;
        Ok(device)
    }

    fn set_options(&self, more: &str) -> Result<()> {
        let text = format!(
            "dns = \"127.0.0.1:53\"\npage = \"{PAGE}\"\nresolv_conf = [\"{}\"]\ncontact_seconds = 1\n{more}",
            self.folder.join("resolv.conf").display()
        );
        Ok(fs::write(self.folder.join("agent.toml"), text)?)
    }

    /// As a DHCP client does when the network changes.
    fn set_name_server(&self, at: Ipv4Addr) -> Result<()> {
        Ok(fs::write(self.folder.join("resolv.conf"), format!("nameserver {at}\n"))?)
    }

    fn set_clock(&self, at: u64) -> Result<()> {
        let new = self.folder.join("clock.new");
        fs::write(&new, at.to_string())?;
        Ok(fs::rename(new, self.folder.join("clock"))?)
    }

    fn say(&self, words: &[&str]) -> Result<(bool, String)> {
        let mut command = self.ns.command(program("classroom-agent")?);
        command.args(words).arg("--config").arg(self.folder.join("agent.toml")).arg("--state");
        let done = command.arg(self.folder.join("state")).output()?;
        Ok((done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned()))
    }

    fn start(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("agent.log"))?;
        let (own, name) = (program("classroom-agent")?, self.ns.name().to_owned());
        self.agent = Some(Owned::spawn("ip", |command| {
            command.args(["netns", "exec", &name]).arg(own).arg("run").arg("--config");
            command.arg(self.folder.join("agent.toml")).arg("--state").arg(self.folder.join("state"));
            command.arg("--test-clock").arg(self.folder.join("clock")).stderr(log);
        })?);
        self.sees("agent.title").map(drop)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    /// The student's page.
    fn page(&self) -> Result<String> {
        self.ns.block_on(|| async {
            let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
            anyhow::Ok(client.get(format!("http://{PAGE}/")).send().await?.text().await?)
        })?
    }

    /// Waits until the page says this.
    fn sees(&self, key: &str) -> Result<String> {
        let words = text(Lang::ZhHantTw, key);
        let words = words.split('{').next().unwrap_or(words);
        wait_for_blocking(key, SOON, || {
            let page = self.page()?;
            ensure!(page.contains(words), "not there; the agent says: {}", self.log());
            Ok(page)
        })
    }

    /// What the device's DNS says of a name.
    fn dig(&self, name: &str) -> Result<String> {
        let done = self.ns.command("dig").args(["@127.0.0.1", "+tries=1", "+time=5", name, "A"]).output()?;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn records(&self) -> usize {
        let text = fs::read_to_string(self.folder.join("state/records.jsonl")).unwrap_or_default();
        text.lines().count().saturating_sub(1)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.agent.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The home's name server: it would answer for the game as well.
fn unbound(home: &Ns, folder: &std::path::Path) -> Result<Owned> {
    let config = folder.join("unbound.conf");
    let data: String = [GAME, PLATFORM, "www.example.com"]
        .map(|name| format!("  local-zone: \"{name}.\" static\n  local-data: \"{name}. 3600 IN A 203.0.113.7\"\n"))
        .concat();
    let text = format!(
        "server:\n  interface: {ROUTER}\n  access-control: 0.0.0.0/0 allow\n  do-daemonize: no\n  username: \"\"\n  \
         chroot: \"\"\n  directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-ip6: no\n{data}remote-control:\n  control-enable: no\n",
        folder.display()
    );
    fs::write(&config, text)?;
    let name = home.name().to_owned();
    Owned::spawn("ip", |command| {
        command.args(["netns", "exec", &name, "unbound", "-d", "-c"]).arg(config).stderr(std::process::Stdio::null());
    })
}

fn options(hub_ns: &Ns) -> Options {
    let at = Lan::address(HUB);
    let config = format!("[agents]\nlisten = [\"{at}:8442\"]\n");
    Options { mdns: true, config, ..Options::inside(hub_ns, at) }
}

/// Numbers of a log line "records delivered kept=3 known=0", added up.
fn delivered(log: &str, key: &str) -> usize {
    let lines = log.lines().filter(|line| line.contains("records delivered"));
    let plain = lines.map(|line| {
        let mut out = String::new();
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            // Colours of the log.
            if c == '\u{1b}' {
                let _ = chars.by_ref().find(|c| *c == 'm');
            } else {
                out.push(c);
            }
        }
        out
    });
    let number = |line: String| {
        let rest = line.split_once(&format!("{key}="))?.1.to_owned();
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    };
    plain.filter_map(number).sum()
}

#[test]
fn the_device_goes_home_and_comes_back() -> Result<()> {
    let lan = Lan::new()?;
    let hub_ns = lan.machine("hub", HUB)?;
    let home = Ns::new("home")?;
    let mut device = Device::new(&lan)?;
    cable(&device.ns, "eth1", AT_HOME, &home, "eth0", ROUTER)?;
    device.ns.ip("link set eth1 down")?;
    let _names = unbound(&home, &device.folder)?;

    // At school: the office prepares the device, a person types the code.
    let (mut hub, office, code, own) = hub_ns.block_on(|| async {
        let hub = Hub::start_with(options(&hub_ns)).await?;
        let office = hub.teacher().await?;
        school(&office).await?;
        let view: Value = office.get("/api/school").await?.json()?;
        let own = view["devices"][0]["code"].as_str().context("a code")?.to_owned();
        let hours = json!({ "hours": [{ "days": [1, 2, 3, 4, 5, 6, 7], "from": 19 * 60, "to": 21 * 60 }] });
        let path = format!("/api/school/agents/{own}/hours");
        let request = office.request(reqwest::Method::PUT, &path).json(&hours);
        office.send(request).await?.done()?;
        let issued: Value = office.post("/api/school/agents", &json!({ "device": own })).await?.json()?;
        let code = issued["code"].as_str().context("the code")?.to_owned();
        anyhow::Ok((hub, office, code, own))
    })??;
    device.set_clock(MONDAY_EVENING)?;
    let wrong = format!("BBBBBBBBBB{}", &code.replace('-', "")[10..]);
    let (well, told) = device.say(&["enrol", &wrong, "--box", "10.77.0.1:8442"])?;
    ensure!(!well && told.contains("Some(\"code\")"), "a wrong code: {told}");
    let other = format!("{}AAAAAAAAAAAAAAAA", &code.replace('-', "")[..10]);
    let (well, told) = device.say(&["enrol", &other, "--box", "10.77.0.1:8442"])?;
    ensure!(!well && told.contains("not this device's box"), "another box's fingerprint: {told}");
    // No address is named: the box is found by mDNS.
    let (well, told) = device.say(&["enrol", &code])?;
    ensure!(well, "enrol: {told}");
    let (well, _) = device.say(&["enrol", &code])?;
    ensure!(!well, "a code works once, and a device is enrolled once");
    device.start()?;
    device.sees("agent.place.school")?;
    println!("enrolled as {own}, found by mDNS; the page says: at school");

    // Unplugged and at home: the box is far, the rules are here.
    lan.unplug(&device.ns)?;
    device.ns.ip("link set eth0 down")?;
    device.ns.ip("link set eth1 up")?;
    device.ns.ip(&format!("route replace default via {ROUTER}"))?;
    device.set_name_server(ROUTER)?;
    device.sees("agent.place.home")?;
    let answer = |name: &str, fits: &dyn Fn(&str) -> bool| -> Result<String> {
        wait_for_blocking(name, SOON, || {
            let said = device.dig(name)?;
            ensure!(fits(&said), "{said}\n{}", device.log());
            Ok(said)
        })
    };
    answer(PLATFORM, &|said| said.contains("203.0.113.7"))?;
    let game = answer(GAME, &|said| said.contains("NXDOMAIN"))?;
    ensure!(game.contains("R-POL-3"), "the refusal names its rule: {game}");
    println!("at home, no box: {GAME} → {}", game.lines().find(|line| line.contains("EDE")).unwrap_or_default().trim());

    // The guardian's hours end at 21:00.
    device.set_clock(MONDAY_EVENING + 90 * MINUTE)?;
    let late = answer(PLATFORM, &|said| said.contains("NXDOMAIN"))?;
    ensure!(late.contains("R-POL-12"), "{late}");
    println!("21:30: {PLATFORM} → {}", late.lines().find(|line| line.contains("EDE")).unwrap_or_default().trim());
    ensure!(device.page()?.contains("19:00–21:00"), "the page shows the guardian's hours");

    // One minute on Monday, eleven on Tuesday (from the first sign to a minute after the last), then nothing.
    let next = MONDAY_EVENING + 24 * 60 * MINUTE;
    for minute in 0..=10 {
        device.set_clock(next + minute * MINUTE)?;
        answer(PLATFORM, &|said| said.contains("203.0.113.7"))?;
    }
    device.set_clock(next + 30 * MINUTE)?;
    let minutes = text(Lang::ZhHantTw, "agent.minutes").replace("{minutes}", "12");
    wait_for_blocking("the minutes", SOON, || {
        let page = device.page()?;
        ensure!(page.matches(&minutes).count() >= 2, "no {minutes} in {page}");
        anyhow::Ok(())
    })?;
    println!("{minutes} recorded, for the platform and for the device");

    // A game of the student's own is told (and only told), and a bad site is reported.
    let games = device.folder.join("steam");
    fs::copy("/bin/sleep", &games)?;
    fs::set_permissions(&games, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&device.folder, fs::Permissions::from_mode(0o755))?;
    let mut game = Owned::spawn("setpriv", |command| {
        command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups", "--"]).arg(&games).arg("600");
    })?;
    wait_for_blocking("the game on the page", SOON, || {
        ensure!(device.page()?.contains("<th scope=\"row\">steam"), "not there: {}", device.log());
        anyhow::Ok(())
    })?;
    ensure!(game.running(), "it was only told");
    device.ns.block_on(|| async {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let foreign = client.post(format!("http://{PAGE}/report")).header("origin", "https://x.example").send().await?;
        ensure!(foreign.status() == 403, "another site's form");
        let own =
            client.post(format!("http://{PAGE}/report")).header("origin", format!("http://{PAGE}")).send().await?;
        ensure!(own.status().is_redirection(), "{}", own.status());
        anyhow::Ok(())
    })??;

    // The power fails, and someone changes the options meanwhile: nothing is lost, the change is told.
    let before = device.records();
    ensure!(before >= 4, "{before} records");
    device.agent.as_ref().context("running")?.signal(nix::sys::signal::Signal::SIGKILL)?;
    device.agent = None;
    device.set_options("# someone was here\n")?;
    device.start()?;
    device.sees("agent.told.config")?;
    device.sees("agent.place.home")?;
    ensure!(device.records() > before, "all records are still there, and one more");
    let memory = proc::memory(device.agent.as_ref().context("running")?.pid())?;
    println!(
        "resident memory of the agent: {:.1} MB (peak {:.1})",
        memory.resident as f64 / 1e6,
        memory.peak as f64 / 1e6
    );

    // Back at school stands someone else's box at the same address.
    let waiting = device.records();
    hub_ns.block_on(|| async { hub.stop() })??;
    let impostor =
        hub_ns.block_on(|| async { Hub::start_with(Options { mdns: true, ..options(&hub_ns) }).await })??;
    device.ns.ip("link set eth1 down")?;
    device.ns.ip("link set eth0 up")?;
    lan.plug(&device.ns)?;
    device.ns.ip("route replace default via 10.77.0.254")?;
    device.set_name_server(Lan::address(HUB))?;
    device.sees("agent.met.impostor")?;
    ensure!(device.records() >= waiting && delivered(&device.log(), "kept") == 0, "nothing was told to the impostor");
    println!("an impostor at the box's address is refused; {waiting} records stay");
    hub_ns.block_on(|| async { drop(impostor) })?;

    // The box itself: everything arrives, once.
    let copy = fs::read(device.folder.join("state/records.jsonl"))?;
    hub_ns.block_on(|| async { hub.restart().await })??;
    device.sees("agent.place.school")?;
    wait_for_blocking("the delivery", SOON, || {
        ensure!(device.records() == 0, "{} wait: {}", device.records(), device.log());
        anyhow::Ok(())
    })?;
    let kept = delivered(&device.log(), "kept");
    ensure!(kept >= waiting, "{kept} of {waiting}");
    ensure!(delivered(&device.log(), "known") == 0);
    // A device whose disk forgot the acknowledgement delivers again.
    device.agent.as_ref().context("running")?.signal(nix::sys::signal::Signal::SIGKILL)?;
    device.agent = None;
    fs::write(device.folder.join("state/records.jsonl"), copy)?;
    device.start()?;
    wait_for_blocking("the second delivery", SOON, || {
        ensure!(device.records() == 0, "{} wait", device.records());
        anyhow::Ok(())
    })?;
    let known = delivered(&device.log(), "known");
    ensure!(known >= waiting, "{known} of {waiting} were known: {}", device.log());
    println!("back at school: {kept} records kept once; delivered again: {known} known");

    // Orders from before are refused, and the office sees the device.
    let listed: Value = hub_ns.block_on(|| async { office.get("/api/school/agents").await?.json() })??;
    ensure!(listed[0]["device"] == own.as_str() && listed[0]["link"] == "wired", "{listed}");
    drop(device.agent.take());
    let (well, told) = device.say(&["unenrol"])?;
    ensure!(well && !device.folder.join("state/identity.json").exists(), "unenrol: {told}");
    let listed: Value = hub_ns.block_on(|| async { office.get("/api/school/agents").await?.json() })??;
    ensure!(listed == json!([]), "{listed}");
    println!("unenrolled: nothing of it is left on either side");
    ensure!(memory.resident <= MEMORY, "{} MB resident", memory.resident as f64 / 1e6);
    drop(game);
    Ok(())
}
