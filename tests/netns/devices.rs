//! Who is on the network: known devices by their card, strangers and swapped devices told to the teacher
//! (R-POL-1, -2, -8).

use anyhow::{Context as _, Result, ensure};
use classroom_protocol::{
    TeacherCommand, TeacherView,
    view::{DeviceAlert, DeviceTrouble},
};
use harness::{
    hub::{Hub, Options},
    netns::{Lan, Ns},
    people::Caller,
};
use serde_json::json;

use super::room::{HUB, TABLETS};

/// Three students with consent; 1 and 2 have the devices with the cards …:01 and …:02.
pub(crate) async fn school(office: &Caller) -> Result<i64> {
    office
        .import(
            "students",
            "學號,姓名,班級,座號\n101,王小明,五年三班,1\n102,李美華,五年三班,2\n103,張家豪,五年三班,3\n",
        )
        .await?;
    office.import("devices", "機型,MAC\niPad,ac:de:48:00:00:01\niPad,ac:de:48:00:00:02\n").await?;
    let view = office.lend(&[1, 2]).await?;
    view["classes"][0]["id"].as_i64().context("class")
}

/// A tablet with this card.
fn tablet(lan: &Lan, host: u8, card: u8) -> Result<Ns> {
    let ns = lan.machine("tablet", host)?;
    ns.ip(&format!("link set eth0 address ac:de:48:00:00:{card:02x}"))?;
    Ok(ns)
}

/// Whether what is told is what should be.
type Fits<'a> = &'a (dyn Fn(&[(DeviceTrouble, Option<u8>, String)]) -> bool + Sync);

fn told(alerts: &[DeviceAlert]) -> Vec<(DeviceTrouble, Option<u8>, String)> {
    let mut told: Vec<_> =
        alerts.iter().map(|a| (a.what, a.seat.map(u8::from), a.mac.clone().unwrap_or_default())).collect();
    told.sort_by_key(|(_, seat, mac)| (*seat, mac.clone()));
    told
}

#[test]
fn strangers_and_swapped_devices_are_told_and_known_ones_are_not() -> Result<()> {
    let lan = Lan::new()?;
    let hub_ns = lan.machine("hub", HUB)?;
    let (hub, teacher, code) = hub_ns.block_on(|| async {
        let hub = Hub::start_with(Options::inside(&hub_ns, Lan::address(HUB))).await?;
        let teacher = hub.teacher().await?;
        let class = school(&teacher).await?;
        teacher.command(&TeacherCommand::StartLesson { class }).await?;
        let code = teacher.room_code().await?;
        anyhow::Ok((hub, teacher, code))
    })??;
    let far = hub.anyone_far()?;
    let alerts = |what: &str, fits: Fits<'_>| {
        hub_ns.block_on(|| async {
            let view: TeacherView =
                teacher.feed(None).await?.view(what, |view: &TeacherView| fits(&told(&view.alerts))).await?;
            anyhow::Ok(view.alerts)
        })?
    };

    // Their own device: nothing to tell. The student stays on the page.
    let first = tablet(&lan, TABLETS, 1)?;
    let sit = async |seat: u8| {
        let student = far.join(&code, seat).await?;
        let _: classroom_protocol::StudentView =
            student.caller.feed(None).await?.view("the own page", |_| true).await?;
        anyhow::Ok(student)
    };
    first.block_on(|| sit(1))??;
    // Student 3 takes the device that is lent to student 2; a stranger only looks at a page.
    let second = tablet(&lan, TABLETS + 1, 2)?;
    second.block_on(|| sit(3))??;
    let stranger = tablet(&lan, TABLETS + 2, 0x99)?;
    stranger.block_on(|| async { far.get("/healthz").await?.done() })??;

    let swapped = (DeviceTrouble::NotBorrower, Some(3), "ac:de:48:00:00:02".to_owned());
    let unknown = (DeviceTrouble::Unknown, None, "ac:de:48:00:00:99".to_owned());
    let shown = alerts("both are told", &|told| *told == [unknown.clone(), swapped.clone()])?;
    let alert = shown.iter().find(|alert| alert.what == DeviceTrouble::NotBorrower).context("told")?;
    ensure!(alert.name.as_deref() == Some("張家豪") && alert.borrower.as_deref() == Some("李美華"), "{alert:?}");
    ensure!(alert.rule == "R-POL-8" && alert.address == Lan::address(TABLETS + 1).to_string(), "{alert:?}");

    // The office knows the stranger: a machine of the room.
    hub_ns.block_on(|| async {
        let printer = json!({ "kind": "other", "mac": "AC-DE-48-00-00-99" });
        teacher.post("/api/school/devices", &printer).await?.done()
    })??;
    alerts("the stranger is known", &|told| *told == [swapped.clone()])?;
    // With the lesson ends who sits where.
    hub_ns.block_on(|| teacher.command(&TeacherCommand::EndLesson))??;
    alerts("nobody sits anywhere", &|told| told.is_empty())?;
    println!("told: {shown:#?}");
    Ok(())
}
