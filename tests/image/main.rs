//! The image as a school gets it: flashed, its card written at another computer, switched on, used. `make test-image`
//! makes the image first. Everything in there is emulated and slow, so the waits are long; nothing is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{TeacherCommand, TeacherView, catalogue::Lang};
use harness::{
    browser::{Options, Screen},
    netns::Lan,
    pages::Page,
    panel::{Panel, shot},
    people::Caller,
    school::School,
    vm::{Disk, GUEST, Vm},
    wait::{wait_for, wait_for_blocking},
};

/// From the switch to the hub.
const BOOT: Duration = Duration::from_secs(900);
/// For anything that a person waits for in there.
const SLOW: Duration = Duration::from_secs(240);
/// A disk larger than the image.
const DISK: u64 = 8 << 30;
/// Where the emulated box stands on the room's network: the machine it runs on, whose ports lead in.
const BOX: u8 = 10;
/// The tablet outside.
const OUTSIDE: u8 = 20;
/// What the panel writes in when something has to be mended (`inks::AMBER` of display-client).
const AMBER: [u8; 3] = [0xff, 0xd1, 0x66];
/// A tablet's screen, and the picture that arrives: Chromium's bar takes 56 lines.
const TABLET: (u32, u32) = (480, 360);
const SHAPE: (u32, u32) = (TABLET.0, TABLET.1 - 56);

fn image() -> PathBuf {
    if let Some(path) = std::env::var_os("IMAGE_RAW") {
        return path.into();
    }
    let work = std::env::var_os("IMAGE_WORK")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/image")), PathBuf::from);
    work.join("classroom-pc-x86_64.raw")
}

/// A folder of the test's own. Stays with what the machine said, unless the test says that all went well.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Result<Self> {
        let folder = image().parent().context("the image's folder")?.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        println!("the machine's serial line and its disk: {}", folder.display());
        Ok(Self(folder))
    }

    fn all_went_well(self) -> Result<()> {
        Ok(std::fs::remove_dir_all(&self.0)?)
    }
}

/// The whole text of a room's card, with the pages open for the room.
fn card(name: &str) -> String {
    let here = Lan::address(BOX);
    format!(
        "[room]\nname = \"{name}\"\n[https]\nname = \"{here}\"\ncertificate = \"room.pem\"\nkey = \"room.key\"\n\
         [media]\naddresses = [\"{here}\", \"{GUEST}\"]\n"
    )
}

/// The services that run on every box.
const SERVICES: [&str; 2] = ["classroom-hub.service", "classroom-display.service"];

/// Fails with the units that failed, or had to be started again, and what they said.
fn nothing_failed(vm: &Vm, more: &[&'static str]) -> Result<()> {
    // Until everything that the start asks for has been tried.
    let whole = vm.shell("systemctl is-system-running --wait")?;
    let failed = vm.shell("systemctl list-units --failed --plain --no-legend --no-pager")?;
    let mut names: Vec<&str> = failed.lines().filter_map(|line| line.split(' ').next()).collect();
    let show = "systemctl show --property=ActiveState,NRestarts --value";
    let mut states = String::new();
    // The resolver waits until the network has named a server, so only the others must be up at the first try.
    let resolver = wait_for_blocking("the resolver", SLOW, || {
        let state = vm.shell("systemctl is-active classroom-resolver.service")?;
        ensure!(state == "active", "{state}");
        Ok(())
    });
    if resolver.is_err() {
        names.push("classroom-resolver.service");
    }
    for service in SERVICES.iter().chain(more) {
        // A service that dies and is started again never counts as failed.
        let state = vm.shell(&format!("{show} {service}"))?.replace('\n', " ");
        let well = ["active", "0"].iter().all(|wanted| state.split(' ').any(|word| word == *wanted));
        if !well {
            names.push(service);
        }
        states += &format!("{service}: {state}\n");
    }
    // Nor does one that fell over at the start and was called once more by another.
    let fell = vm.shell("journalctl -b --no-pager -o cat _PID=1 | grep 'Failed with result' || true")?;
    let fell: Vec<String> = fell.lines().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect();
    names.extend(fell.iter().map(String::as_str).filter(|unit| *unit != "classroom-resolver.service"));
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        ensure!(whole == "running", "the system is {whole}\n{states}");
    } else {
        let said = vm.shell(&format!("journalctl --no-pager -n 40 -o cat -u {}", names.join(" -u ")))?;
        anyhow::bail!("not well: {names:?}\n{states}{said}");
    }
    Ok(())
}

#[test]
fn a_flashed_box_opens_its_room_and_a_tablet_outside_casts_to_its_screen() -> Result<()> {
    let home = Home::new("room")?;
    let disk = Disk::copy(&image(), &home.0.join("disk.raw"), DISK)?;
    let here = Lan::address(BOX);
    let school = School::new(here)?;
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

    let lan = Lan::new()?;
    let (stand, outside) = (lan.machine("pc", BOX)?, lan.machine("tablet", OUTSIDE)?);
    let mut vm = Vm::start(&disk, &home.0, Some(&stand))?;
    let took = vm.says("/teach#code=", BOOT)?;
    println!("switched on → the hub serves: {:.1} s", took.as_secs_f64());

    // The disk as it should be: a root that nobody writes to, data that took what the disk had left.
    let root = vm.shell("findmnt -no OPTIONS /")?;
    ensure!(root.split(',').any(|option| option == "ro"), "the root can be written to: {root}");
    let grown = data(&disk)?;
    ensure!(grown > flashed + (2 << 30), "the data partition has {grown} bytes, {flashed} when flashed");
    let size: u64 = vm.shell("df -B1 --output=size /var | tail -n 1")?.trim().parse()?;
    ensure!(size > grown / 10 * 9, "the file system of {size} bytes does not fill {grown}");
    println!("data partition: {} MiB flashed, {} MiB after the first start", flashed >> 20, grown >> 20);

    // People's requests leave from the tablet; browsers live there too, but are driven from here.
    let browsers = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let anyone = Caller::new(&format!("https://{here}"), Some(&school))?;
    let base = anyone.base.clone();
    let said = vm.serial();
    let (_, code) = said.split_once("/teach#code=").context("the code")?;
    let code: String = code.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let (teacher, code) = outside.block_on(|| async {
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
        anyhow::Ok((teacher, code))
    })??;
    wait_for_blocking("the way in on the screen", SLOW, || {
        let shown = vm.screen()?;
        ensure!(shown.is_whole() && shown.has_qr(), "no QR code on the screen, or only a part of the picture");
        Ok(())
    })?;
    // Name and code for people: target/shots/image-idle.png is looked at by a person.
    vm.screenshot(&shot("image-idle")?)?;
    nothing_failed(&vm, &[])?;
    println!("{}", vm.shell("systemd-analyze time | head -n 1")?);

    let options = Options {
        screen: Screen::ThisTab,
        size: TABLET,
        netns: Some(outside.name().into()),
        args: vec!["--ignore-certificate-errors".into()],
        ..Options::default()
    };
    let tablet = browsers.block_on(async {
        let tablet = Page::open(&base, "/join", Lang::ZhHantTw, options).await?;
        tablet.take_seat(&code, "學生1").await?;
        tablet.stamp().await?;
        tablet.tap("join.share").await?;
        tablet.sees("join.asking").await?;
        anyhow::Ok(tablet)
    })?;
    let source = "seat-01".parse()?;
    let began = Instant::now();
    outside.block_on(|| async { teacher.command(&TeacherCommand::Show { source, tile: None }).await })??;
    let area = Panel::area(1, 0, SHAPE);
    let first = wait_for_blocking("the tablet's picture on the box's screen", SLOW, || {
        vm.stamp(area)?.context("no stamp there")
    });
    vm.screenshot(&shot("image-cast")?)?;
    let first = first?;
    println!("tap → picture on the emulated screen: {:.1} s", began.elapsed().as_secs_f64());
    wait_for_blocking("the picture to move", SLOW, || {
        let next = vm.stamp(area)?.context("the stamp is gone")?;
        ensure!(next != first, "it stands still");
        Ok(())
    })?;
    vm.screenshot(&shot("image-cast")?)?;
    nothing_failed(&vm, &[])?;
    browsers.block_on(async { drop(tablet) });
    vm.power_off(SLOW)?;
    home.all_went_well()
}

#[test]
fn a_wrong_card_is_told_on_the_console_and_the_screen_and_the_box_goes_on() -> Result<()> {
    let home = Home::new("card")?;
    let disk = Disk::copy(&image(), &home.0.join("disk.raw"), DISK)?;
    disk.put("CLASSROOM", "/classroom.toml", "[room]\nname = \"五年三班\"\n[medai]\nudp = \"0.0.0.0:1\"\n")?;
    // A camera is named there too: the studio starts, and waits for a lesson.
    disk.put("CLASSROOM", "/studio.env", "STUDIO_ARGUMENTS=--video test --audio none\r\n")?;
    disk.start_for_tests()?;
    let mut vm = Vm::start(&disk, &home.0, None)?;
    vm.says("classroom.toml, line 3: unknown field `medai`", BOOT)?;
    vm.says("/teach#code=", SLOW)?;
    wait_for_blocking("what is wrong, on the screen", SLOW, || {
        let shown = vm.screen()?;
        ensure!(shown.is_whole() && shown.has_ink(AMBER), "nothing there in amber, or only a part of the picture");
        Ok(())
    })?;
    vm.screenshot(&shot("image-wrong-card")?)?;
    nothing_failed(&vm, &["classroom-studio.service"])?;
    vm.power_off(SLOW)?;
    home.all_went_well()
}
