//! 08:45 to the night: the lesson ends, a device goes home and comes back, records go upstream, figures, backup.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use appliance_core::calendar::Day;
use classroom_protocol::{TeacherCommand, catalogue::Lang};
use harness::{
    browser::Options, hub::program, netns::Lan, pages::Page, panel::shot, people::PASSWORD, wait::wait_for_blocking,
};
use serde_json::{Value, json};

use crate::{
    classroom::{Classroom, PATIENCE, ROUTER, SEATS, hour, night, now, student},
    lesson::{GAME, MAIL, TAP},
    timetable::note,
    world,
};

const MINUTE: u64 = 60_000;
/// A platform of the standard rules.
const PLATFORM: &str = "adl.edu.tw";

impl Classroom {
    /// 08:45.
    pub(crate) fn the_lesson_ends(&mut self) -> Result<()> {
        // A device counts as used from the first whole minute on; the day's other hours are shorter here than in a school.
        wait_for_blocking("a minute of lesson", 2 * PATIENCE, || {
            let lasted = self.began.elapsed();
            ensure!(lasted > Duration::from_secs(62), "{lasted:?}");
            anyhow::Ok(())
        })?;
        self.tell(TeacherCommand::EndLesson)?;
        let mail = self.name_is(TAP, MAIL, &["EDE: 15", &Self::box_at()])?;
        self.name_is(TAP, GAME, &["R-POL-3", &Self::box_at()])?;
        let view = self.desk("the end", |view| view.lesson.is_none())?;
        ensure!(view.stage.tiles.iter().all(Option::is_none), "the panel is free: {:?}", view.stage);
        let student = self.at_home.take().context("the student at home")?;
        self.runtime.block_on(student.page.sees("home.ended"))?;
        self.casts.clear();
        self.tablet = None;
        note(&format!("mail is closed {mail:.1?} after the bell; the page at home says the lesson is over"));
        Ok(())
    }

    /// 20:00. Another network, no box: the device decides by itself.
    pub(crate) fn the_device_is_at_home(&mut self) -> Result<()> {
        self.device.go_home(&self.lan, "eth1", ROUTER)?;
        // Eight in the evening of the school's day: within the guardian's hours.
        let evening = Day::of(now()).begins() + 20 * 60 * MINUTE;
        self.device.set_clock(evening)?;
        self.device.sees("agent.place.home")?;
        let game = self.device.answers("www.roblox.com", &|said| said.contains("NXDOMAIN"))?;
        ensure!(game.contains("R-POL-3"), "the refusal names its rule: {game}");
        for minute in 0..=10 {
            self.device.set_clock(evening + minute * MINUTE)?;
            self.device.answers(PLATFORM, &|said| said.contains(&world::AT.to_string()))?;
        }
        // The guardian's hours end at nine.
        self.device.set_clock(evening + 70 * MINUTE)?;
        let late = self.device.answers(PLATFORM, &|said| said.contains("NXDOMAIN"))?;
        ensure!(late.contains("R-POL-12"), "after the guardian's hours: {late}");
        wait_for_records(self, 2)?;
        note(&format!("a game is refused offline, the guardian's hours keep, {} records wait", self.device.records()));
        Ok(())
    }

    /// The next morning.
    pub(crate) fn the_device_is_back(&mut self) -> Result<()> {
        let waiting = self.device.records();
        self.device.come_back(&self.lan, "eth1", Lan::address(1))?;
        self.device.sees("agent.place.school")?;
        wait_for_blocking("the delivery", PATIENCE, || {
            ensure!(self.device.records() == 0, "{} wait: {}", self.device.records(), self.device.log());
            anyhow::Ok(())
        })?;
        let (kept, known) = (self.device.delivered("kept"), self.device.delivered("known"));
        ensure!(kept >= waiting && known == 0, "{kept} kept, {known} known, {waiting} waited");
        note(&format!("{kept} records, each told once"));
        Ok(())
    }

    /// 22:00. The night's hours begin, and only then anything is sent.
    pub(crate) fn records_go_upstream(&mut self) -> Result<()> {
        let waiting = self.waiting()?;
        ensure!(self.world.lrs.count() == 0, "nothing was sent by day");
        let file = self.hub.home().join("box.toml");
        let text = fs::read_to_string(&file)?;
        let at = text.find("night_from = ").context("the night's hours")?;
        fs::write(&file, format!("{}{}", &text[..at], night(hour())))?;
        let hub = &mut self.hub;
        self.hub_ns.block_on(|| async { hub.restart().await })??;
        wait_for_blocking("an empty outbox", PATIENCE, || {
            let left = self.waiting()?;
            ensure!(left == 0, "{left} wait");
            anyhow::Ok(())
        })?;
        let statements = self.world.lrs.statements()?;
        let state = self.upstream()?;
        let sent = statements.len() as u64;
        ensure!(state["refused"] == 0 && state["delivered"] == sent, "{sent}: {state}");
        // A clock that was set is the school's matter and has no statement: it stays here.
        let stayed = waiting - sent;
        ensure!((1..=4).contains(&stayed), "{sent} of {waiting} are upstream");
        let all = serde_json::to_string(&statements)?;
        for seat in 1..=SEATS {
            let (number, name) = student(seat);
            ensure!(!all.contains(&number) && !all.contains(&name), "{name} ({number}) was sent");
        }
        // Nor did anything keep a diary of the names that were asked for (R-DATA-4).
        for (whose, log) in [("resolver", self.resolver.log()), ("device", self.device.log())] {
            ensure!(!log.is_empty(), "the {whose}'s log is empty: nothing was looked at");
            for name in [GAME, MAIL] {
                ensure!(!log.contains(name), "the {whose}'s log names {name}");
            }
        }
        let mut kinds = BTreeMap::<String, usize>::new();
        for statement in statements.values() {
            let verb = statement["verb"]["id"].as_str().context("a verb")?;
            *kinds.entry(verb.rsplit('/').next().unwrap_or(verb).to_owned()).or_default() += 1;
        }
        let hub = &self.hub;
        let alarms: Vec<Value> = self
            .hub_ns
            .block_on(|| async { hub.anyone()?.sign_in("wang").await?.get("/api/school/alarms").await?.json() })??;
        ensure!(alarms.len() as u64 == stayed, "a person sees what stays here: {alarms:?}");
        note(&format!(
            "{waiting} waited, {sent} are upstream, {stayed} alarms of the device stay here for the office: {kinds:?}"
        ));
        Ok(())
    }

    /// 22:10. What the page says is what happened today.
    pub(crate) fn the_month_is_right(&mut self) -> Result<()> {
        let path = format!("/month?class={}", self.class);
        let hub = &self.hub;
        let month: Value = self.hub_ns.block_on(|| async {
            let teacher = hub.anyone()?.sign_in("wang").await?;
            teacher.get(&format!("/api{path}")).await?.json()
        })??;
        // Three devices are on loan: their students were in the lesson with them, one device was used at home as well.
        let figures = &month["figures"];
        let days = figures["days"].as_array().context("days")?;
        let used = |day: &Value| day["rate"] == json!({ "used": 3, "unused": 0, "unknown": 0 });
        ensure!(days.iter().any(used), "three devices were used today: {days:?}");
        // Registered today, they do not count for the month yet: it is unknown, not nothing.
        ensure!(figures["used_share"]["plain"]["is"] == "unknown", "{}", figures["used_share"]);
        let platform = figures["platforms"].as_array().into_iter().flatten().find(|one| one["platform"] == "adl");
        let platform = platform.context("the platform of the evening")?;
        let minutes = platform["seconds"].as_u64().unwrap_or_default() / 60;
        ensure!((10..=12).contains(&minutes) && platform["users"] == 1, "{platform}");
        let teacher = &figures["teachers"][0];
        ensure!(teacher["days"] == 1, "{}", figures["teachers"]);
        note(&format!("3 devices used today, {minutes} minutes on the platform, 1 day of the teacher's"));
        let (base, inside) = (self.hub.base(), self.hub_ns.name().to_owned());
        self.runtime.block_on(async {
            let options = Options { netns: Some(inside), ..Options::default() };
            let desk = Page::open(&base, &path, Lang::ZhHantTw, options).await?;
            desk.browser.type_into("input[name=username]", "wang", Duration::from_secs(30)).await?;
            desk.browser.type_into("input[name=password]", PASSWORD, Duration::from_secs(30)).await?;
            desk.tap("teach.sign-in").await?;
            desk.sees("month.my-days").await?;
            desk.browser.screenshot(shot("day-month")?).await
        })
    }

    /// 22:20.
    pub(crate) fn a_backup_is_counted(&mut self) -> Result<()> {
        let folder = self.outside.folder().join("backup");
        let (copy, there) = (folder.join("copy"), folder.join("there"));
        fs::create_dir_all(&folder)?;
        let own = self.hub.home().join("box.toml");
        let other = folder.join("other.toml");
        fs::write(&other, format!("[store]\npath = {there:?}\n[demo]\nclass = false\n"))?;
        let taken = appliance(&["backup"], &[&copy, Path::new("--config"), &own])?;
        let key = self.hub.home().join("data/store.key");
        let restored = appliance(&["restore"], &[&copy, Path::new("--key"), &key, Path::new("--config"), &other])?;
        ensure!(taken == restored, "{taken:?} became {restored:?}");
        ensure!(taken.get("student") == Some(&u64::from(SEATS)), "{taken:?}");
        ensure!(taken.get("usage_event").is_some_and(|events| *events > 40), "{taken:?}");
        let rows: u64 = taken.values().sum();
        note(&format!("{rows} rows of {} tables, the same on both sides", taken.len()));
        Ok(())
    }
}

fn wait_for_records(class: &Classroom, least: usize) -> Result<()> {
    wait_for_blocking("the minutes' records", PATIENCE, || {
        let there = class.device.records();
        ensure!(there >= least, "{there} records: {}", class.device.log());
        anyhow::Ok(())
    })
}

/// Runs the command and reads its table: rows by table.
fn appliance(command: &[&str], paths: &[&Path]) -> Result<BTreeMap<String, u64>> {
    let done = Command::new(program("appliance")?).args(command).args(paths).output()?;
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(done.status.success(), "{said}");
    let row = |line: &str| {
        let (count, table) = line.trim().split_once(char::is_whitespace)?;
        Some((table.trim().to_owned(), count.parse().ok()?))
    };
    Ok(said.lines().filter_map(row).collect())
}
