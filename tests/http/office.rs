//! The school office: who may keep the register, and what it does with lists, papers and devices as they come.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use classroom_protocol::ProblemCode;
use harness::{
    hub::Hub,
    people::{Caller, Reply},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::routes::{TABLE, outcome};

/// Routes that are the office's; the others of the table are not.
fn is_office(path: &str) -> bool {
    let begins = ["/api/school", "/api/report.", "/api/report/", "/api/policy/log", "/api/policy/files"];
    path == "/api/report" || begins.iter().any(|begin| path.starts_with(begin))
}

/// Sends a file as the page does.
async fn send(office: &Caller, way: &str, file: impl Into<Vec<u8>>) -> Result<Reply> {
    let request = office.request(Method::POST, way).header("content-type", "application/octet-stream");
    office.send(request.body(file.into())).await
}

async fn preview(office: &Caller, list: &str, file: &str) -> Result<Value> {
    send(office, &format!("/api/school/import?list={list}"), file).await?.json()
}

/// Previews and confirms.
async fn import(office: &Caller, list: &str, file: &str) -> Result<Value> {
    let plan = preview(office, list, file).await?["plan"].as_str().context("plan")?.to_owned();
    send(office, &format!("/api/school/import/apply?list={list}&plan={plan}"), file).await?.json()
}

async fn register(office: &Caller) -> Result<Value> {
    office.get("/api/school").await?.json()
}

fn rows<'a>(view: &'a Value, what: &str) -> &'a Vec<Value> {
    view[what].as_array().unwrap()
}

/// Ten students of 五年三班, three iPads, the first version of the text.
async fn school(office: &Caller) -> Result<Value> {
    let students: String = (1..=10).map(|n| format!("11201{n:02},學生{n},五年三班,{n}\n")).collect();
    import(office, "students", &format!("學號,姓名,班級,座號\n{students}")).await?;
    import(office, "devices", "機型,MAC,財產編號,備用\niPad,ac:de:48:00:00:01,T-1,\niPad,,T-2,\niPad,,T-3,是\n")
        .await?;
    let text = json!({ "title": "同意書", "body": "內容", "renew": false });
    office.post("/api/school/consent-texts", &text).await?.done()?;
    register(office).await
}

async fn sign(office: &Caller, students: impl IntoIterator<Item = i64>) -> Result<()> {
    let both = |student| ["student", "guardian"].map(|party| json!({ "student": student, "party": party }));
    let signatures: Vec<Value> = students.into_iter().flat_map(both).collect();
    office.post("/api/school/consents", &json!({ "version": 1, "signatures": signatures })).await?.done()
}

pub(super) async fn invited(hub: &Hub, by: &Caller, account: &str, roles: Value) -> Result<Caller> {
    let invite: Value = by.post("/api/staff/invite", &json!({ "roles": roles })).await?.json()?;
    hub.anyone()?.first_sign_in(invite["code"].as_str().context("code")?, account, "承辦人").await
}

#[tokio::test]
async fn the_office_reaches_its_own_routes_and_no_lesson() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let office = invited(&hub, &teacher, "office", json!({ "office": true })).await?;
    teacher.start_lesson(3).await?;
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (method, declared, path, body, expected) in TABLE {
        if *declared == "/api/staff/sign-out" || !seen.insert((method, path)) {
            continue;
        }
        let public = expected.starts_with('+');
        let account = ["/api/staff/me", "/api/staff/invite", "/api/audit", "/api/box/keeping", "/api/box/set-aside"];
        let account = account.contains(declared);
        let expected = if public || account || is_office(declared) { "+" } else { "x" };
        let found = outcome(&office, method, &path.replace("{ext}", "ext-1"), body).await?;
        if found.0 != expected {
            wrong.push(format!("{method} {path}: expected {expected}, got {} ({})", found.0, found.1));
        }
    }
    assert!(wrong.is_empty(), "{} calls went another way:\n  {}", wrong.len(), wrong.join("\n  "));
    let me: Value = office.get("/api/staff/me").await?.json()?;
    assert_eq!(me["roles"], json!({ "teacher": false, "office": true }));
    Ok(())
}

#[tokio::test]
async fn nobody_gives_a_role_that_they_do_not_have() -> Result<()> {
    let hub = Hub::start().await?;
    let first = hub.teacher().await?;
    let office = invited(&hub, &first, "office", json!({ "office": true })).await?;
    let teacher = invited(&hub, &first, "teach", json!({ "teacher": true })).await?;
    for (who, roles) in [(&office, json!({ "teacher": true })), (&teacher, json!({ "office": true, "teacher": true }))]
    {
        let refused = who.post("/api/staff/invite", &json!({ "roles": roles })).await?.problem()?;
        assert_eq!((refused.code, refused.field.as_deref()), (ProblemCode::NotAllowed, Some("roles")));
    }
    let none = first.post("/api/staff/invite", &json!({ "roles": {} })).await?.problem()?;
    assert_eq!((none.code, none.field.as_deref()), (ProblemCode::BadInput, Some("roles")));
    let second = invited(&hub, &office, "office2", json!({ "office": true })).await?;
    assert!(second.get("/api/school").await?.status.is_success());
    // A code works once.
    let invite: Value = office.post("/api/staff/invite", &json!({})).await?.json()?;
    let code = invite["code"].as_str().context("code")?.to_owned();
    hub.anyone()?.first_sign_in(&code, "office3", "承辦人").await?;
    let body = json!({ "code": code, "account": "x", "name": "x", "password": harness::people::PASSWORD });
    let again = hub.anyone()?.post("/api/staff/first-sign-in", &body).await?;
    assert_eq!(again.code()?, ProblemCode::WrongCode);
    Ok(())
}

#[tokio::test]
async fn a_list_with_broken_rows_is_previewed_and_only_the_good_ones_are_taken() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let long = "長".repeat(61);
    let names = ["<script>alert(1)</script>", "林莎瓦·巴魯·阿里夫", &"名".repeat(60), "=HYPERLINK(1)"];
    let good: String = (1..).zip(names).map(|(n, name)| format!("11201{n:02},{name},五年<b>三</b>班,{n}\n")).collect();
    let file = format!(
        "\u{feff}學號,姓名,班級,座號,生日\n{good}1120101,王,五年<b>三</b>班,11,2014-01-01\n,無學號,五年<b>三</b>班,12,\n\
         1120113,{long},五年<b>三</b>班,13,\n1120114,座號,五年<b>三</b>班,0,\nA123456789,身分證,五年<b>三</b>班,15,\n"
    );
    let shown = preview(&office, "students", &file).await?;
    let found: Vec<(u64, &str, &str)> = rows(&shown, "problems")
        .iter()
        .map(|p| (p["row"].as_u64().unwrap(), p["column"].as_str().unwrap(), p["wrong"].as_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            (6, "學號", "number-twice"),
            (7, "學號", "empty"),
            (8, "姓名", "too-long"),
            (9, "座號", "seat-form"),
            (10, "學號", "national-id"),
        ]
    );
    assert_eq!(shown["columns"][4]["used"], "never");
    assert!(rows(&register(&office).await?, "students").is_empty(), "a preview changes nothing");
    let done = import(&office, "students", &file).await?;
    assert_eq!(done, json!({ "added": 4, "changed": 0, "same": 0, "left_out": 5 }));
    let view = register(&office).await?;
    let kept: Vec<&str> = rows(&view, "students").iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(kept, names);
    assert!(!view.to_string().contains("2014"), "a birthday is not kept");
    // The same file again has nothing to do.
    let again = import(&office, "students", &file).await?;
    assert_eq!(again["added"], 0);
    assert_eq!(again["same"], 4);
    Ok(())
}

#[tokio::test]
async fn files_that_are_no_list_are_told_clearly() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let way = "/api/school/import?list=students";
    for (file, code, field) in [
        (b"\xbe\xc7\xb8\xb9,\xa9m\xa6W\n".to_vec(), ProblemCode::FileEncoding, None),
        (b"PK\x03\x04broken".to_vec(), ProblemCode::FileUnreadable, None),
        (vec![0, 1, 2, 3], ProblemCode::FileUnreadable, None),
        (vec![], ProblemCode::FileUnreadable, None),
        ("姓名,座號\n王,1\n".into(), ProblemCode::FileColumns, Some("number,class")),
    ] {
        let problem = send(&office, way, file).await?.problem()?;
        assert_eq!((problem.code, problem.field.as_deref()), (code, field));
    }
    let problem = send(&office, "/api/school/import?list=cats", "x").await?.problem()?;
    assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::BadInput, Some("list")));
    let file = "學號,姓名,班級,座號\n1,王,甲,1\n";
    let apply = |plan: &str| format!("/api/school/import/apply?list=students&plan={plan}");
    assert_eq!(send(&office, &apply("0123"), file).await?.code()?, ProblemCode::Changed);
    // Someone else imports between preview and confirmation.
    let plan = preview(&office, "students", file).await?["plan"].as_str().context("plan")?.to_owned();
    import(&office, "students", "學號,姓名,班級,座號\n2,李,甲,1\n").await?;
    assert_eq!(send(&office, &apply(&plan), file).await?.code()?, ProblemCode::Changed);
    Ok(())
}

#[tokio::test]
async fn a_device_goes_out_with_both_signatures_and_the_quorum_and_comes_back() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let view = school(&office).await?;
    let ids: Vec<i64> = rows(&view, "students").iter().map(|s| s["id"].as_i64().unwrap()).collect();
    let devices: Vec<i64> = rows(&view, "devices").iter().map(|d| d["id"].as_i64().unwrap()).collect();
    let lend = async |student: i64, device: i64, due: &str| {
        office.post("/api/school/loans", &json!({ "student": student, "device": device, "due": due })).await
    };
    let due = view["school_year_ends"].as_str().context("due")?.to_owned();
    let refused = lend(ids[0], devices[0], &due).await?.problem()?;
    assert_eq!((refused.code, refused.rule.as_deref()), (ProblemCode::NoConsent, Some("R-POL-23")));
    sign(&office, ids[..8].iter().copied()).await?;
    assert_eq!(lend(ids[0], devices[0], &due).await?.code()?, ProblemCode::BelowQuorum);
    sign(&office, [ids[8]]).await?;
    let class = &register(&office).await?["classes"][0];
    assert_eq!((&class["both"], &class["needed"], &class["reached"]), (&json!(9), &json!(9), &json!(true)));
    for wrong in ["2026-02-30", "2001-01-01", "morgen"] {
        let problem = lend(ids[0], devices[0], wrong).await?.problem()?;
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::BadInput, Some("due")), "{wrong}");
    }
    lend(ids[0], devices[0], &due).await?.done()?;
    assert_eq!(lend(ids[0], devices[1], &due).await?.code()?, ProblemCode::HasDevice);
    assert_eq!(lend(ids[1], devices[0], &due).await?.code()?, ProblemCode::DeviceLent);
    assert_eq!(lend(ids[9], devices[1], &due).await?.code()?, ProblemCode::NoConsent);
    assert_eq!(lend(999_999, devices[1], &due).await?.code()?, ProblemCode::NotFound);
    // The guardian withdraws: the loan stops, the class falls below nine in ten.
    let party = json!({ "student": ids[0], "party": "guardian" });
    office.post("/api/school/withdrawals", &party).await?.done()?;
    let view = register(&office).await?;
    assert_eq!(view["students"][0]["loan"]["state"], "stopped");
    assert_eq!(view["students"][0]["consent"], "withdrawn");
    assert_eq!(office.post("/api/school/withdrawals", &party).await?.code()?, ProblemCode::NotFound);
    let loan = view["students"][0]["loan"]["id"].as_i64().context("loan")?;
    let back = format!("/api/school/loans/{loan}/return");
    office.post(&back, &json!({ "condition": "repair" })).await?.done()?;
    assert_eq!(office.post(&back, &json!({ "condition": "good" })).await?.code()?, ProblemCode::NotFound);
    let view = register(&office).await?;
    assert_eq!((&view["devices"][0]["state"], &view["students"][0]["loan"]), (&json!("repair"), &Value::Null));
    // What was done is in the audit, without names of students.
    let audit = office.get("/api/audit").await?.text();
    for action in ["register-import", "consent-sign", "loan-lend", "consent-withdraw", "loan-return"] {
        assert!(audit.contains(action), "{action}");
    }
    Ok(())
}

#[tokio::test]
async fn a_teachers_new_list_keeps_papers_with_their_people() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let view = school(&office).await?;
    let class = view["classes"][0]["id"].as_i64().context("class")?;
    let first = view["students"][0]["id"].as_i64().context("student")?;
    sign(&office, [first]).await?;
    let moved: Vec<Value> = (1..=10).map(|n| json!({ "seat": 11 - n, "name": format!("學生{n}") })).collect();
    let path = format!("/api/classes/{class}");
    office.put(&path, &json!({ "name": "六年三班", "students": moved })).await?.done()?;
    let view = register(&office).await?;
    let student = rows(&view, "students").iter().find(|s| s["id"] == first).context("the same student")?;
    assert_eq!(
        (&student["seat"], &student["consent"], &student["name"]),
        (&json!(10), &json!("both"), &json!("學生1"))
    );
    assert_eq!(view["classes"][0]["name"], "六年三班");
    // Taken off the list, the papers stay; nobody else of the class gets them.
    office.put(&path, &json!({ "name": "六年三班", "students": [{ "seat": 10, "name": "轉學生" }] })).await?.done()?;
    let view = register(&office).await?;
    let student = rows(&view, "students").iter().find(|s| s["id"] == first).context("kept")?;
    assert_eq!((&student["class"], &student["consent"]), (&Value::Null, &json!("both")));
    let new = rows(&view, "students").iter().find(|s| s["name"] == "轉學生").context("new")?;
    assert_eq!(new["consent"], "missing");
    Ok(())
}

#[tokio::test]
async fn students_and_devices_of_others_are_not_overwritten_by_hand() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let view = school(&office).await?;
    import(&office, "students", "學號,姓名,班級,座號\n2001,別班,六年一班,1\n").await?;
    let class = view["classes"][0]["id"].as_i64().context("class")?;
    let student = |index: usize| format!("/api/school/students/{}", view["students"][index]["id"]);
    for (body, code, field) in [
        (json!({ "name": "王", "number": "1120102", "class": class, "seat": 1 }), ProblemCode::BadInput, "number"),
        (json!({ "name": "王", "number": "2001", "class": class, "seat": 1 }), ProblemCode::BadInput, "number"),
        (json!({ "name": "王", "number": "A123456789", "class": class, "seat": 1 }), ProblemCode::BadInput, "number"),
        (json!({ "name": " ", "number": "", "class": class, "seat": 1 }), ProblemCode::BadInput, "name"),
        (json!({ "name": "王", "class": class, "seat": 2 }), ProblemCode::SeatTaken, "seat"),
        (json!({ "name": "王", "class": 999_999, "seat": 1 }), ProblemCode::NotFound, "class"),
    ] {
        let problem = office.put(&student(0), &body).await?.problem()?;
        assert_eq!((problem.code, problem.field.as_deref()), (code, Some(field)), "{body}");
    }
    let right = json!({ "name": "王大明", "number": "1120101", "class": class, "seat": 1 });
    office.put(&student(0), &right).await?.done()?;
    let device = |index: usize| format!("/api/school/devices/{}", view["devices"][index]["id"]);
    for (body, field) in [
        (json!({ "kind": "ipad", "mac": "ac:de:48:00:00:01" }), "mac"),
        (json!({ "kind": "ipad", "mac": "zz" }), "mac"),
        (json!({ "kind": "ipad", "tag": "T-1" }), "tag"),
        (json!({ "kind": "abacus" }), "kind"),
    ] {
        let problem = office.put(&device(1), &body).await?.problem()?;
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::BadInput, Some(field)), "{body}");
    }
    assert_eq!(
        office.put("/api/school/devices/999999", &json!({ "kind": "ipad" })).await?.code()?,
        ProblemCode::NotFound
    );
    let qr = office.get(&format!("{}/qr.svg", device(0))).await?;
    assert_eq!(qr.header("content-type"), "image/svg+xml");
    assert!(qr.text().contains("<svg"));
    Ok(())
}

#[tokio::test]
async fn a_personal_link_signs_once_and_only_what_was_read() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let home = hub.anyone()?;
    let view = school(&office).await?;
    let student = &view["students"][0]["id"];
    let link = async |party: &str| -> Result<String> {
        let body = json!({ "student": student, "party": party });
        let made: Value = office.post("/api/school/consent-links", &body).await?.json()?;
        let url = made["url"].as_str().context("url")?;
        Ok(url.split_once('#').context("a token behind the #")?.1.to_owned())
    };
    let read = async |token: &str| home.post("/api/consent/read", &json!({ "token": token })).await;
    let sign = async |token: &str, version: u32| {
        home.post("/api/consent/sign", &json!({ "token": token, "version": version })).await
    };
    let old = link("guardian").await?;
    let token = link("guardian").await?;
    assert_eq!(read(&old).await?.code()?, ProblemCode::LinkVoid, "a new link voids the old one");
    assert_eq!(read("none").await?.code()?, ProblemCode::LinkVoid);
    let shown: Value = read(&token).await?.json()?;
    assert_eq!((&shown["student"], &shown["party"]), (&json!("學生1"), &json!("guardian")));
    let text = json!({ "title": "同意書", "body": "新內容", "renew": true });
    office.post("/api/school/consent-texts", &text).await?.done()?;
    assert_eq!(sign(&token, 1).await?.code()?, ProblemCode::OldText, "another text than the one that was read");
    sign(&token, 2).await?.done()?;
    for spent in [sign(&token, 2).await?, read(&token).await?] {
        assert_eq!(spent.code()?, ProblemCode::LinkVoid);
    }
    let signed = register(&office).await?["students"][0]["guardian_signed"].clone();
    assert_eq!((&signed["version"], &signed["way"]), (&json!(2), &json!("page")));
    let missing = json!({ "student": 999_999, "party": "student" });
    assert_eq!(office.post("/api/school/consent-links", &missing).await?.code()?, ProblemCode::NotFound);
    Ok(())
}
