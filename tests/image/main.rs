//! The image as a school gets it: flashed, its card written at another computer, switched on, used. `make test-image`
//! makes the image first. Everything in there is emulated and slow, so the waits are long; nothing is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{TeacherCommand, TeacherView, catalogue::Lang};
use harness::{
    browser::{Options, Screen},
    netns::Ns,
    pages::Page,
    panel::{Panel, shot},
    people::Caller,
    school::School,
    vm::{Disk, GUEST, Vm},
    wait::wait_for,
};

/// From the switch to the hub.
const BOOT: Duration = Duration::from_secs(900);
/// For anything that a person waits for in there.
const SLOW: Duration = Duration::from_secs(240);
/// A disk larger than the image.
const DISK: u64 = 8 << 30;
/// The machine on which the emulated box stands; its ports lead in.
const HERE: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);
/// A tablet's screen, and the picture that arrives: Chromium's bar takes 56 lines.
const TABLET: (u32, u32) = (480, 360);
const SHAPE: (u32, u32) = (TABLET.0, TABLET.1 - 56);

fn image() -> PathBuf {
    match std::env::var_os("IMAGE_RAW") {
        Some(path) => path.into(),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/image/classroom-pc-x86_64.raw")),
    }
}

/// A folder of the test's own.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Result<Self> {
        let folder = image().parent().context("the image's folder")?.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A machine with a network card and nobody beside it.
fn here() -> Result<Ns> {
    let ns = Ns::new("pc")?;
    ns.ip("link add eth0 type dummy")?;
    ns.ip(&format!("address add {HERE}/24 dev eth0"))?;
    ns.ip("link set eth0 up")?;
    Ok(ns)
}

/// The whole text of a room's card, with the pages open for the room.
fn card(name: &str) -> String {
    format!(
        "[room]\nname = \"{name}\"\n[https]\nname = \"{HERE}\"\ncertificate = \"room.pem\"\nkey = \"room.key\"\n\
         [media]\naddresses = [\"{HERE}\", \"{GUEST}\"]\n"
    )
}

/// The services that run on every box.
const SERVICES: [&str; 2] = ["classroom-hub.service", "classroom-display.service"];

/// Fails with the units that failed, or had to be started again, and what they said.
fn nothing_failed(vm: &Vm) -> Result<()> {
    let failed = vm.shell("systemctl list-units --failed --plain --no-legend --no-pager")?;
    let mut names: Vec<&str> = failed.lines().filter_map(|line| line.split(' ').next()).collect();
    let show = "systemctl show --property=ActiveState,NRestarts --value";
    let mut states = String::new();
    // The resolver waits until the network has named a server, so only the others must be up at the first try.
    let resolver = vm.shell(
        "if appliance --help | grep -q '^appliance resolver'; then \
         for n in $(seq 60); do systemctl is-active -q classroom-resolver && break; sleep 1; done; \
         systemctl is-active classroom-resolver; else echo active; fi",
    )?;
    if resolver != "active" {
        names.push("classroom-resolver.service");
    }
    for service in SERVICES {
        // A service that dies and is started again never counts as failed.
        let state = vm.shell(&format!("{show} {service}"))?.replace('\n', " ");
        let well = ["active", "0"].iter().all(|wanted| state.split(' ').any(|word| word == *wanted));
        if !well {
            names.push(service);
        }
        states += &format!("{service}: {state}\n");
    }
    if !names.is_empty() {
        let said = vm.shell(&format!("journalctl --no-pager -n 40 -o cat -u {}", names.join(" -u ")))?;
        anyhow::bail!("not well: {names:?}\n{states}{said}");
    }
    Ok(())
}

#[test]
fn a_flashed_box_opens_its_room_and_a_tablet_outside_casts_to_its_screen() -> Result<()> {
    let home = Home::new("room")?;
    let disk = Disk::copy(&image(), &home.0.join("disk.raw"), DISK)?;
    let school = School::new(HERE)?;
    let (certificate, key) = school.certificate();
    disk.put("CLASSROOM", "/classroom.toml", &card("五年三班"))?;
    disk.put("CLASSROOM", "/room.pem", certificate)?;
    disk.put("CLASSROOM", "/room.key", key)?;
    disk.start_for_tests()?;
    let data = |disk: &Disk| -> Result<u64> {
        let all = disk.partitions()?;
        Ok(all.iter().find(|part| part.name == "data").with_context(|| format!("{all:?}"))?.bytes)
    };
    let flashed = data(&disk)?;

    let ns = here()?;
    let mut vm = Vm::start(&disk, &home.0, Some(&ns))?;
    let took = vm.says("/teach#code=", BOOT)?;
    println!("switched on → the hub serves: {:.1} s", took.as_secs_f64());
    println!("{}", vm.shell("systemd-analyze")?);

    // The disk as it should be: a root that nobody writes to, data that took what the disk had left.
    let root = vm.shell("findmnt -no OPTIONS /")?;
    ensure!(root.split(',').any(|option| option == "ro"), "the root can be written to: {root}");
    let grown = data(&disk)?;
    ensure!(grown > flashed + (2 << 30), "the data partition has {grown} bytes, {flashed} when flashed");
    let size: u64 = vm.shell("df -B1 --output=size /var | tail -n 1")?.trim().parse()?;
    ensure!(size > grown / 10 * 9, "the file system of {size} bytes does not fill {grown}");
    println!("data partition: {} MiB flashed, {} MiB after the first start", flashed >> 20, grown >> 20);

    ns.block_on(|| async {
        let anyone = Caller::new(&format!("https://{HERE}"), Some(&school))?;
        let said = vm.serial();
        let (_, code) = said.split_once("/teach#code=").context("the code")?;
        let code: String = code.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let teacher = wait_for("the pages through the forwarded port", SLOW, async || {
            anyone.get("/healthz").await?.done()?;
            anyone.first_sign_in(&code, "wang", "王老師").await
        })
        .await?;
        teacher.start_lesson(30).await?;
        let code = teacher.room_code().await?;
        let mut room = teacher.feed(None).await?;
        wait_for("the box's own panel", SLOW, async || {
            let view: TeacherView = room.view("the room", |_| true).await?;
            ensure!(view.panels.iter().any(|panel| panel.online), "no panel is there: {:?}", view.panels);
            Ok(())
        })
        .await?;
        // Name and code for people: target/shots/image-idle.png is looked at by a person.
        vm.screenshot(&shot("image-idle")?)?;
        nothing_failed(&vm)?;

        let options = Options {
            screen: Screen::ThisTab,
            size: TABLET,
            netns: Some(ns.name().into()),
            args: vec!["--ignore-certificate-errors".into()],
            ..Options::default()
        };
        let tablet = Page::open(&anyone.base, "/join", Lang::ZhHantTw, options).await?;
        tablet.take_seat(&code, "學生1").await?;
        tablet.stamp().await?;
        tablet.tap("join.share").await?;
        tablet.sees("join.asking").await?;
        let source = "seat-01".parse()?;
        teacher.command(&TeacherCommand::Show { source, tile: None }).await?;
        let area = Panel::area(1, 0, SHAPE);
        let began = Instant::now();
        let first = wait_for("the tablet's picture on the box's screen", SLOW, async || {
            vm.stamp(area)?.context("no stamp there")
        })
        .await;
        vm.screenshot(&shot("image-cast")?)?;
        let first = first?;
        println!("tap → picture on the emulated screen: {:.1} s", began.elapsed().as_secs_f64());
        wait_for("the picture to move", SLOW, async || {
            let next = vm.stamp(area)?.context("the stamp is gone")?;
            ensure!(next != first, "it stands still");
            Ok(())
        })
        .await?;
        vm.screenshot(&shot("image-cast")?)?;
        nothing_failed(&vm)
    })??;
    vm.power_off(SLOW)
}

#[test]
fn a_wrong_card_is_told_on_the_console_and_the_screen_and_the_box_goes_on() -> Result<()> {
    let home = Home::new("card")?;
    let disk = Disk::copy(&image(), &home.0.join("disk.raw"), DISK)?;
    disk.put("CLASSROOM", "/classroom.toml", "[room]\nname = \"五年三班\"\n[medai]\nudp = \"0.0.0.0:1\"\n")?;
    disk.start_for_tests()?;
    let mut vm = Vm::start(&disk, &home.0, None)?;
    vm.says("classroom.toml, line 3: unknown field `medai`", BOOT)?;
    vm.says("/teach#code=", SLOW)?;
    wait_panel(&vm)?;
    vm.screenshot(&shot("image-wrong-card")?)?;
    nothing_failed(&vm)?;
    vm.power_off(SLOW)
}

/// Waits until the panel's window covers the screen.
fn wait_panel(vm: &Vm) -> Result<()> {
    harness::wait::wait_for_blocking("the panel's window", SLOW, || {
        let said = vm.shell("journalctl --no-pager -o cat -u classroom-display | tail -n 20")?;
        ensure!(said.contains("covers the screen"), "{said}");
        Ok(())
    })
}
