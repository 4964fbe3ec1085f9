//! What the school reviews: the record of network access and the audit, page by page, for the office, and each look noted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use appliance_core::calendar::Day;
use classroom_protocol::ProblemCode;
use harness::{hub::Hub, notices, wait::wait_for};
use serde_json::{Value, json};

use super::office::invited;

const DAY: u64 = 86_400_000;
/// More than stand on one page.
const TODAY: u64 = 520;

fn seqs(lines: &[Value]) -> Vec<i64> {
    lines.iter().filter_map(|line| line["seq"].as_i64()).collect()
}

#[tokio::test]
async fn the_office_reads_page_by_page_a_day_and_a_file_and_every_look_is_noted() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let office = invited(&hub, &teacher, "office", json!({ "office": true })).await?;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let (today, before) = (Day::of(now), Day::of(now - 3 * DAY));
    notices::refuse(&hub, (0..7).map(|n| (before.begins() + n, format!("old-{n}.example"))))?;
    notices::refuse(&hub, (0..TODAY).map(|n| (today.begins() + n, format!("=site-{n}.example"))))?;
    let first: Vec<Value> = wait_for("the record", Duration::from_secs(10), async || {
        let lines: Vec<Value> = office.get("/api/policy/log").await?.json()?;
        ensure!(lines.len() == 500 && lines[0]["name"] == "=site-519.example", "{} lines", lines.len());
        Ok(lines)
    })
    .await?;

    // Older and older, each line once, until there are no more.
    let (mut all, mut page) = (seqs(&first), first);
    while let Some(last) = seqs(&page).last() {
        page = office.get(&format!("/api/policy/log?before={last}")).await?.json()?;
        all.extend(seqs(&page));
    }
    ensure!(all.len() == 527 && all.windows(2).all(|pair| pair[0] > pair[1]), "{} lines: {all:?}", all.len());

    let of_day: Vec<Value> = office.get(&format!("/api/policy/log?day={}", before.text())).await?.json()?;
    assert_eq!((of_day.len(), &of_day[0]["name"]), (7, &json!("old-6.example")));
    let of_device: Vec<Value> = office.get("/api/policy/log?device=ABCD%20EFGH").await?.json()?;
    assert!(of_device.is_empty(), "no device of that code asked");
    for (query, field) in
        [("?befor=3", "befor"), ("?before=x", "before"), ("?day=2026-02-30", "day"), ("?device=", "device")]
    {
        let problem = office.get(&format!("/api/policy/log{query}")).await?.problem()?;
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::BadInput, Some(field)), "{query}");
    }
    for (query, field) in [("?device=AB", "device"), ("?day=", "day"), ("?befor=3", "befor")] {
        assert_eq!(
            office.get(&format!("/api/audit{query}")).await?.problem()?.field.as_deref(),
            Some(field),
            "{query}"
        );
    }

    assert_eq!(office.get("/api/policy/log.csv").await?.problem()?.field.as_deref(), Some("day"));
    let file = office.get(&format!("/api/policy/log.csv?day={}", today.text())).await?;
    file.done()?;
    assert!(file.header("content-disposition").contains(&format!("network-access-{}.csv", today.text())));
    let text = file.text();
    assert_eq!(text.lines().count(), 521, "a heading and all of the day");
    assert!(text.starts_with("\u{feff}time,device,address,lesson,name,allowed,rule\r\n"), "{:.100}", text);
    assert!(text.contains(",10.1.2.3,,'=site-7.example,no,R-POL-3\r\n"), "a formula is none in the file");

    // A password in the wrong field is nobody's account, and is kept nowhere.
    let slip = json!({ "account": "My-Secret-Pass-2026", "password": "x" });
    assert_eq!(hub.anyone()?.post("/api/staff/sign-in", &slip).await?.code()?, ProblemCode::WrongPassword);

    // Both roles read the audit; it has every look, with what was looked at.
    for reader in [&office, &teacher] {
        let audit: Vec<Value> = reader.get("/api/audit").await?.json()?;
        let text = serde_json::to_string(&audit)?;
        assert!(text.contains("staff-sign-in-failed") && !text.contains("Secret"), "{text}");
        let of = |action: &str| audit.iter().filter(|line| line["action"] == action).collect::<Vec<_>>();
        assert!(of("read-network-access").len() >= 5 && !of("read-audit").is_empty());
        assert!(of("read-network-access").iter().any(|line| line["detail"]["day"] == before.text().as_str()));
        let exported = of("export-network-access");
        assert_eq!((exported.len(), &exported[0]["who"]), (1, &json!("承辦人")));
        let seqs = seqs(&audit);
        let older: Vec<Value> = reader.get(&format!("/api/audit?before={}", seqs[1])).await?.json()?;
        assert_eq!(older, audit[2..], "the audit page by page");
    }
    let none: Vec<Value> = office.get(&format!("/api/audit?day={}", before.text())).await?.json()?;
    assert!(none.is_empty());
    Ok(())
}
