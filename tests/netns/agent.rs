//! The take-home device: enrolled at school, unplugged, at home without the box, and back (R-POL-3, -12, -18, -19;
//! R-USE-2). Real programs, a real name server at home (unbound), two networks.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use classroom_protocol::{
    TeacherCommand, TeacherView,
    catalogue::{Lang, text},
};
use harness::{
    device::{Device, PAGE},
    hub::{Hub, Options},
    netns::{Lan, Ns, cable},
    proc::{self, Owned},
    resolver::NameServer,
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
/// The home's router and the device behind it.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 5, 1);
const AT_HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 5, 2);
/// Where the world's names lead.
const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// A game and a platform of the standard rules.
const GAME: &str = "www.roblox.com";
const PLATFORM: &str = "adl.edu.tw";
/// The address at which the box is reached "from the internet": another one of its machine.
const FROM_OUTSIDE: &str = "10.77.0.9:8443";
/// The box's name for homes; here it leads to the world, where no box is.
const BOX: &str = "room501.school.example";
/// The device may take this much memory.
const MEMORY: u64 = 25_000_000;

fn options(hub_ns: &Ns) -> Options {
    let at = Lan::address(HUB);
    // A second door stands for the box's address on the internet; the network announces the first one's port.
    let config = format!(
        "[home]\nurl = \"https://{BOX}\"\n[agents]\nlisten = [\"{at}:8442\", \"{FROM_OUTSIDE}\"]\n\
         home_addresses = [\"{FROM_OUTSIDE}\"]\n"
    );
    Options { mdns: true, config, ..Options::inside(hub_ns, at) }
}

#[test]
fn the_device_goes_home_and_comes_back() -> Result<()> {
    let lan = Lan::new()?;
    let hub_ns = lan.machine("hub", HUB)?;
    hub_ns.ip("addr add 10.77.0.9/24 dev eth0")?;
    let home = Ns::new("home")?;
    let mut device = Device::new(&lan, TABLETS, Lan::address(HUB))?;
    cable(&device.ns, "eth1", AT_HOME, &home, "eth0", ROUTER)?;
    device.ns.ip("link set eth1 down")?;
    let _names = NameServer::start(&home, ROUTER, WORLD, 3600)?;

    // At school: the office prepares the device, a person types the code.
    let (mut hub, office, code, own, class) = hub_ns.block_on(|| async {
        let hub = Hub::start_with(options(&hub_ns)).await?;
        let office = hub.teacher().await?;
        let class = school(&office).await?;
        let view: Value = office.get("/api/school").await?.json()?;
        let own = view["devices"][0]["code"].as_str().context("a code")?.to_owned();
        let hours = json!({ "hours": [{ "days": [1, 2, 3, 4, 5, 6, 7], "from": 19 * 60, "to": 21 * 60 }] });
        let path = format!("/api/school/agents/{own}/hours");
        let request = office.request(reqwest::Method::PUT, &path).json(&hours);
        office.send(request).await?.done()?;
        let issued: Value = office.post("/api/school/agents", &json!({ "device": own })).await?.json()?;
        let code = issued["code"].as_str().context("the code")?.to_owned();
        anyhow::Ok((hub, office, code, own, class))
    })??;
    device.set_clock(MONDAY_EVENING)?;
    let wrong = format!("BBBBBBBBBB{}", &code.replace('-', "")[10..]);
    let (well, told) = device.say(&["enrol", &wrong, "--box", "10.77.0.1:8442"])?;
    let words = [Lang::ZhHantTw, Lang::En].map(|lang| text(lang, "agent.error.code"));
    ensure!(!well && words.iter().all(|words| told.contains(words)), "a wrong code: {told}");
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
    device.go_home(&lan, "eth1", ROUTER)?;
    device.sees("agent.place.home")?;
    device.answers(PLATFORM, &|said| said.contains("203.0.113.7"))?;
    let game = device.answers(GAME, &|said| said.contains("NXDOMAIN"))?;
    ensure!(game.contains("R-POL-3"), "the refusal names its rule: {game}");
    println!("at home, no box: {GAME} → {}", game.lines().find(|line| line.contains("EDE")).unwrap_or_default().trim());

    // The guardian's hours end at 21:00.
    device.set_clock(MONDAY_EVENING + 90 * MINUTE)?;
    let late = device.answers(PLATFORM, &|said| said.contains("NXDOMAIN"))?;
    ensure!(late.contains("R-POL-12"), "{late}");
    println!("21:30: {PLATFORM} → {}", late.lines().find(|line| line.contains("EDE")).unwrap_or_default().trim());
    ensure!(device.page()?.contains("19:00–21:00"), "the page shows the guardian's hours");
    // The lesson's link and the delivery need the box's own name at any hour.
    device.answers(BOX, &|said| said.contains("203.0.113.7"))?;

    // One minute on Monday, eleven on Tuesday (from the first sign to a minute after the last), then nothing. What is no
    // platform is no use: the device may ask for it by itself.
    let next = MONDAY_EVENING + 24 * 60 * MINUTE;
    for minute in 0..=10 {
        device.set_clock(next + minute * MINUTE)?;
        device.answers(PLATFORM, &|said| said.contains("203.0.113.7"))?;
    }
    device.set_clock(next + 30 * MINUTE)?;
    device.answers(BOX, &|said| said.contains("203.0.113.7"))?;
    // The page shows today's.
    let minutes = text(Lang::ZhHantTw, "agent.minutes").replace("{minutes}", "11");
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
    device.power_cut()?;
    device.set_options("# someone was here\n")?;
    // Without the file of the orders the guardian's hours are forgotten no more than before: there is a copy.
    fs::remove_file(device.folder.join("state/orders.json"))?;
    device.start()?;
    device.sees("agent.told.config")?;
    device.sees("agent.told.orders")?;
    device.sees("agent.place.home")?;
    ensure!(device.page()?.contains("19:00–21:00"), "the guardian's hours are forgotten");
    ensure!(device.records() > before, "all records are still there, and one more");
    let memory = proc::memory(device.pid()?)?;
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
    device.come_back(&lan, "eth1", Lan::address(HUB))?;
    device.sees("agent.met.impostor")?;
    ensure!(device.records() >= waiting && device.delivered("kept") == 0, "nothing was told to the impostor");
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
    let kept = device.delivered("kept");
    ensure!(kept >= waiting, "{kept} of {waiting}");
    ensure!(device.delivered("known") == 0);
    // A person is told: the teacher of the class, by name, and the office.
    let told: TeacherView = hub_ns.block_on(|| async {
        office.command(&TeacherCommand::StartLesson { class }).await?;
        office.feed(None).await?.view("the report", |view: &TeacherView| !view.reports.is_empty()).await
    })??;
    let report = told.reports.first().context("a report")?;
    ensure!(report.name == "王小明" && report.seat.number() == 1 && report.home, "{report:?}");
    let alarms: Value = hub_ns.block_on(|| async { office.get("/api/school/alarms").await?.json() })??;
    for what in ["reported-site", "config", "orders", "clock"] {
        ensure!(alarms.to_string().contains(what), "{what} is not among {alarms}");
    }
    println!(
        "the teacher is told: {} {}, at home; the office sees {} alarms",
        report.seat,
        report.name,
        alarms.as_array().map_or(0, Vec::len)
    );
    // On a cable at school the page says what the rule says of it, and that the room decides.
    let page = device.sees("agent.at-school")?;
    ensure!(page.matches("R-POL-14").count() == 1, "one sentence of the network, not one a row: {page}");
    // Met by its address on the internet while the room's is out of reach; then at school again, though that one still works.
    device.ns.ip("route add blackhole 10.77.0.1/32")?;
    device.sees("agent.place.home")?;
    let page = device.sees("agent.met.well")?;
    ensure!(page.contains(text(Lang::ZhHantTw, "agent.place.home")), "met over the internet, so at home: {page}");
    device.ns.ip("route del blackhole 10.77.0.1/32")?;
    device.sees("agent.place.school")?;
    println!("met over the internet, then in the room again");
    // A device whose disk forgot the acknowledgement delivers again.
    device.power_cut()?;
    fs::write(device.folder.join("state/records.jsonl"), copy)?;
    device.start()?;
    wait_for_blocking("the second delivery", SOON, || {
        ensure!(device.records() == 0, "{} wait", device.records());
        anyhow::Ok(())
    })?;
    let known = device.delivered("known");
    ensure!(known >= waiting, "{known} of {waiting} were known: {}", device.log());
    println!("back at school: {kept} records kept once; delivered again: {known} known");
    // With the file lost a new report is no old one: it arrives, and the gap is told.
    device.power_cut()?;
    fs::remove_file(device.folder.join("state/records.jsonl"))?;
    let before = (device.delivered("kept"), device.delivered("known"));
    device.start()?;
    device.sees("agent.told.records")?;
    wait_for_blocking("what was told after the loss", SOON, || {
        let now = (device.delivered("kept"), device.delivered("known"));
        ensure!(now.0 > before.0 && now.1 == before.1, "kept and known: {before:?}, then {now:?}");
        let listed: Value = hub_ns.block_on(|| async { office.get("/api/school/agents").await?.json() })??;
        ensure!(listed[0]["dropped"].as_u64() >= Some(1), "{listed}");
        anyhow::Ok(())
    })?;
    // Without any orders nothing opens and the page says so; the box brings them again.
    device.power_cut()?;
    for file in ["orders.json", "orders.copy.json"] {
        fs::remove_file(device.folder.join("state").join(file))?;
    }
    lan.unplug(&device.ns)?;
    device.start()?;
    device.sees("agent.standard")?;
    device.sees("agent.hours.unknown")?;
    let refused = device.answers(PLATFORM, &|said| said.contains("NXDOMAIN"))?;
    ensure!(refused.contains("R-POL-2"), "{refused}");
    lan.plug(&device.ns)?;
    device.sees("agent.place.school")?;
    ensure!(device.page()?.contains("19:00–21:00"), "the box has brought the orders again");
    println!("records and orders lost: told, nothing swallowed, nothing loosened, mended by the box");

    // Orders from before are refused, and the office sees the device.
    let listed: Value = hub_ns.block_on(|| async { office.get("/api/school/agents").await?.json() })??;
    ensure!(listed[0]["device"] == own.as_str() && listed[0]["link"] == "wired", "{listed}");
    device.stop();
    let (well, told) = device.say(&["unenrol"])?;
    ensure!(well && !device.folder.join("state/identity.json").exists(), "unenrol: {told}");
    let listed: Value = hub_ns.block_on(|| async { office.get("/api/school/agents").await?.json() })??;
    ensure!(listed == json!([]), "{listed}");
    ensure!(!device.log().contains(GAME), "the device kept a diary of names (R-DATA-4)");
    println!("unenrolled: nothing of it is left on either side");
    ensure!(memory.resident <= MEMORY, "{} MB resident", memory.resident as f64 / 1e6);
    drop(game);
    Ok(())
}
