//! The month of a class and the school's report over the wire: what is unknown, what is refused, and files that an
//! office suite takes.

use std::{io::Cursor, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use appliance_core::calendar::{YearMonth, day};
use calamine::{Data, Ods, Reader, Xlsx};
use classroom_protocol::{ProblemCode, policy::Document};
use harness::{hub::Hub, people::Caller, wait::wait_for};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

const ODS: &str = "application/vnd.oasis.opendocument.spreadsheet";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

#[tokio::test]
async fn a_month_without_devices_is_unknown_and_not_zero() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let class = teacher.make_class(40).await?;
    let month: Value = teacher.get(&format!("/api/month?class={class}&month=2026-09")).await?.json()?;
    let figures = &month["figures"];
    assert_eq!(figures["used_share"]["plain"], json!({ "is": "unknown", "why": "no-devices" }));
    assert_eq!(figures["after_class_share"]["strict"]["is"], "unknown");
    assert_eq!(figures["parameters"]["version"], "2026-1");
    assert_eq!(figures["days"].as_array().map(Vec::len), Some(30));
    assert!(month["rules"]["zh-Hant-TW"][0].as_str().context("rules")?.contains("2026-1"), "{month}");
    let csv = teacher.get(&format!("/api/month.csv?class={class}&month=2026-09&lang=en")).await?;
    csv.done()?;
    assert!(csv.text().starts_with('\u{feff}') && csv.text().contains("unknown"), "{}", csv.text());
    assert!(csv.text().contains("Rules 2026-1"), "the numbers stand in the file: {}", csv.text());
    assert!(!csv.text().contains("0.00%"), "{}", csv.text());
    // Without a month it is the present one, and it says which.
    let now: Value = teacher.get(&format!("/api/month?class={class}")).await?.json()?;
    let (day, of) = (now["today"].as_str().context("today")?, now["figures"]["month"].as_str().context("month")?);
    assert!(day.starts_with(of), "{day} {of}");
    Ok(())
}

#[tokio::test]
async fn the_platforms_are_those_of_the_schools_own_rules() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let path = format!("/api/month?class={}", teacher.make_class(2).await?);
    let own = json!({ "id": "own", "name": { "zh-Hant-TW": "校內平臺", "en": "Our platform" },
        "hosts": ["learn.school.example"], "hours": true });
    let mut document: Value = serde_json::from_str(&Document::standard()?.to_json()?)?;
    document["bundles"]["learning"]["systems"].as_array_mut().context("systems")?.push(own);
    std::fs::write(hub.home().join("data/policy/document.json"), document.to_string())?;
    wait_for("the school's platform", Duration::from_secs(15), async || {
        let month: Value = teacher.get(&path).await?.json()?;
        let names = &month["names"]["platforms"];
        ensure!(names["own"]["zh-Hant-TW"] == "校內平臺" && names["adl"].is_object(), "{names}");
        let counted = month["figures"]["platforms"].as_array().context("figures")?.iter();
        ensure!(counted.filter(|one| one["platform"] == "own").count() == 1, "{}", month["figures"]["platforms"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bad_months_and_classes_are_named() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let class = teacher.make_class(2).await?;
    let field = async |query: &str| -> Result<(ProblemCode, String)> {
        let problem = teacher.get(&format!("/api/month?{query}")).await?.problem()?;
        Ok((problem.code, problem.field.unwrap_or_default()))
    };
    for month in
        ["", "2026", "2026-13", "2026-00", "2026-1", "2026-11-01", "9999-12", "0000-01", "%00", "2026-11%27", "-1"]
    {
        let found = field(&format!("class={class}&month={month}")).await?;
        assert_eq!(found, (ProblemCode::BadInput, "month".into()), "{month}");
    }
    for query in ["", "class=", "class=x", "class=1.5", "class=99999999999999999999", "month=2026-11"] {
        assert_eq!(field(query).await?.0, ProblemCode::BadInput, "{query}");
    }
    assert_eq!(field(&format!("class={class}&teacher=1")).await?.0, ProblemCode::BadInput);
    for other in [class + 1, 0, -1, i64::MAX] {
        assert_eq!(field(&format!("class={other}")).await?, (ProblemCode::NotFound, "class".into()), "{other}");
    }
    for path in [format!("/api/month.csv?class={class}&lang=xx"), "/api/report.ods?lang=<b>".into()] {
        let problem = teacher.get(&path).await?.problem()?;
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::BadInput, Some("lang")), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn hours_that_nobody_could_see_are_unknown_on_the_page_and_in_every_file() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let class = office.make_class(2).await?;
    // Registered and never seen: what was done on it nobody knows.
    let device = json!({ "kind": "ipad", "tag": "LATE-1" });
    office.post("/api/school/devices", &device).await?.done()?;
    office.lend(&[1]).await?;
    let month: Value = office.get(&format!("/api/month?class={class}")).await?.json()?;
    for line in month["figures"]["platforms"].as_array().context("platforms")? {
        ensure!(line["complete"] == false, "{line}");
    }
    for path in [
        format!("/api/month.csv?class={class}&lang=en"),
        "/api/report.csv?lang=en&month=".to_owned() + month["figures"]["month"].as_str().context("month")?,
    ] {
        let csv = office.get(&path).await?;
        csv.done()?;
        let text = csv.text();
        ensure!(text.contains(",unknown,unknown") && !text.contains(",0.00,0"), "{path}: {text}");
        ensure!(!text.contains("0.00%"), "{path}: {text}");
    }
    let report: Value = office.get("/api/report").await?.json()?;
    ensure!(report["semester"]["month_mean"]["strict"]["is"] == "unknown", "{}", report["semester"]);
    Ok(())
}

#[tokio::test]
async fn a_report_of_a_finished_semester_can_be_had() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let now: Value = office.get("/api/report").await?.json()?;
    let offered = now["offered"].as_array().context("offered")?;
    ensure!(offered.len() == 4 && offered[0]["semester"] == now["of"] && now["month"].is_null(), "{now}");
    let before = offered[1]["semester"].as_str().context("a name")?;
    let months: Vec<&str> =
        offered[1]["months"].as_array().context("months")?.iter().filter_map(Value::as_str).collect();
    ensure!(months.len() == 6, "a finished one has six months: {months:?}");
    let report: Value = office.get(&format!("/api/report?semester={before}&month={}", months[2])).await?.json()?;
    ensure!(report["of"] == before && report["month"]["month"] == months[2], "{report}");
    ensure!(
        report["semester"]["until"] == report["semester"]["days"]["to"],
        "all of it: {}",
        report["semester"]["days"]
    );
    let rates = report["semester"]["months"].as_array().context("months")?;
    ensure!(rates.iter().map(|month| month["month"].as_str().unwrap_or_default()).eq(months.iter().copied()));
    // The files are of the same semester and month.
    for (kind, media) in [("ods", ODS), ("xlsx", XLSX)] {
        let path = format!("/api/report.{kind}?semester={before}&month={}", months[2]);
        let reply = office.get(&path).await?;
        ensure!(reply.header("content-disposition").contains(&format!("school-report-{before}.{kind}")), "{path}");
        let cells = read(kind, download(&office, &path, media).await?)?;
        let words: Vec<String> = cells.iter().map(|(_, _, _, data)| data.to_string()).collect();
        for word in [months[2], report["semester"]["days"]["from"].as_str().context("from")?] {
            ensure!(words.iter().any(|cell| cell.contains(word)), "{kind}: {word} in {words:?}");
        }
    }
    let csv = office.get(&format!("/api/report.csv?semester={before}&lang=en")).await?.text();
    ensure!(csv.contains(&format!("Use in {}", months[0])) && csv.contains(&format!("Use in {}", months[5])), "{csv}");
    let csv = office.get(&format!("/api/report.csv?month={}&lang=en", months[2])).await?.text();
    ensure!(csv.contains(&format!("Use in {}", months[2])) && !csv.contains(months[0]), "{csv}");

    // What is not known or no such time is named.
    for path in ["report", "report.ods", "report.xlsx", "report.csv"] {
        for (query, field) in [
            ("semster=115-1", "semster"),
            ("semester=115-3", "semester"),
            ("semester=", "semester"),
            ("semester=999-1", "semester"),
            ("month=2026-13", "month"),
            ("month=9998-01", "month"),
            ("semester=113-1&month=2025-08", "month"),
            ("semester=113-1&semester=113-2", "semester"),
            ("%3Cb%3E=1", "<b>"),
        ] {
            let problem = office.get(&format!("/api/{path}?{query}")).await?.problem()?;
            assert_eq!(
                (problem.code, problem.field.as_deref()),
                (ProblemCode::BadInput, Some(field)),
                "{path}?{query}"
            );
        }
    }
    Ok(())
}

/// A student with consents and a device in each of two classes.
async fn two_classes(office: &Caller) -> Result<()> {
    office.import("students", "學號,姓名,班級,座號\n1100001,王一,五年三班,1\n1100002,陳二,四年三班,1\n").await?;
    office.import("devices", "機型,MAC\niPad,ac:de:48:00:00:01\niPad,ac:de:48:00:00:02\n").await?;
    office.lend(&[1, 2]).await.map(drop)
}

async fn class_named(office: &Caller, name: &str) -> Result<i64> {
    let all: Vec<Value> = office.get("/api/classes").await?.json()?;
    all.iter().find(|class| class["name"] == name).and_then(|class| class["id"].as_i64()).context("the class")
}

/// Puts what a box would have after two months into the data of a stopped one: its devices have been there since long ago,
/// and at this time the student was on a platform for half an hour with this class.
fn a_month_ago(hub: &Hub, number: &str, class: i64, at: u64) -> Result<()> {
    let data = hub.home().join("data");
    let key: String = std::fs::read(data.join("store.key"))?.iter().map(|byte| format!("{byte:02x}")).collect();
    let db = Connection::open(data.join("box.db"))?;
    db.execute_batch(&format!("PRAGMA key = \"x'{key}'\"; UPDATE device_duty SET since = 0;"))?;
    let kept = db.execute(
        "INSERT INTO usage_event (id, at, recorded_at, kind, student, device, class, seat, place, platform, seconds)
         SELECT 'a-month-ago', ?3, ?3, 'used', number, code, ?2, seat, 'school', 'adl', 1800
         FROM loan JOIN device ON device.id = device_id JOIN student ON student.id = student_id WHERE number = ?1",
        params![number, class, at],
    )?;
    ensure!(kept == 1, "{kept} records");
    Ok(())
}

/// Seconds on all platforms, devices with their active seconds, and names in the month of a class.
type MonthOf = (u64, Vec<u64>, String);

async fn month_of(office: &Caller, class: i64, month: YearMonth) -> Result<MonthOf> {
    let answer: Value = office.get(&format!("/api/month?class={class}&month={month}")).await?.json()?;
    let seconds = |list: &str| -> Result<Vec<u64>> {
        let lines = answer["figures"][list].as_array().with_context(|| format!("{list}: {answer}"))?;
        Ok(lines.iter().filter_map(|line| line["seconds"].as_u64()).collect())
    };
    Ok((seconds("platforms")?.iter().sum(), seconds("devices")?, answer.to_string()))
}

#[tokio::test]
async fn a_classs_month_has_its_own_names_and_keeps_its_use_when_students_move_up() -> Result<()> {
    let mut hub = Hub::start().await?;
    let office = hub.teacher().await?;
    two_classes(&office).await?;
    let (fifth, fourth) = (class_named(&office, "五年三班").await?, class_named(&office, "四年三班").await?);
    let list = json!({ "name": "一年一班", "students": [{ "seat": 1, "name": "李三" }] });
    let first = office.post("/api/classes", &list).await?.json::<Value>()?["id"].as_i64().context("the class")?;
    let today: Value = office.get(&format!("/api/month?class={first}")).await?.json()?;
    let today = today["today"].as_str().and_then(day).context("today")?;
    let then = today.month().first().plus(-10);
    hub.stop()?;
    a_month_ago(&hub, "1100001", fifth, then.begins() + 36_000_000)?;
    hub.again().await?;

    let month = then.month();
    for (class, used, own, not) in [(fifth, 1800, "王一", "陳二"), (fourth, 0, "陳二", "王一")] {
        let (seconds, devices, text) = month_of(&office, class, month).await?;
        ensure!(seconds == used && devices == [used], "{text}");
        ensure!(text.contains(own) && !text.contains(not), "only the own names: {text}");
    }
    let (seconds, devices, text) = month_of(&office, first, month).await?;
    ensure!(seconds == 0 && devices.is_empty(), "{text}");
    ensure!(!text.contains("王一") && !text.contains("陳二"), "no name of another class: {text}");

    // The next school year's list: who was in the fifth is in the sixth, and what was used stays what the fifth used.
    office.import("students", "學號,姓名,班級,座號\n1100001,王一,六年三班,1\n1100002,陳二,五年三班,1\n").await?;
    let sixth = class_named(&office, "六年三班").await?;
    let (seconds, devices, text) = month_of(&office, fifth, month).await?;
    ensure!(seconds == 1800 && devices.iter().sum::<u64>() == 1800, "{text}");
    let (seconds, devices, text) = month_of(&office, sixth, month).await?;
    ensure!(seconds == 0 && devices.is_empty() && !text.contains("王一"), "counted a second time: {text}");
    Ok(())
}

#[tokio::test]
async fn the_register_of_today_does_not_count_for_semesters_before_it() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    two_classes(&office).await?;
    let now: Value = office.get("/api/report").await?.json()?;
    let today = now["today"].as_str().context("today")?;
    ensure!(now["row"]["en"][10] == "2" && now["row"]["en"][12] == "2", "{}", now["row"]);
    for lang in ["zh-Hant-TW", "en"] {
        let words = now["register"][lang].as_str().context("words")?;
        ensure!(words.contains(today) && !words.contains("unknown") && !words.contains("未知"), "{words}");
    }
    for of in now["offered"].as_array().context("offered")?.iter().skip(1) {
        let of = of["semester"].as_str().context("a name")?;
        let then: Value = office.get(&format!("/api/report?semester={of}")).await?.json()?;
        for column in 10..13 {
            ensure!(then["row"]["zh-Hant-TW"][column] == "未知", "{of}, column {column}: {}", then["row"]);
        }
        let words = then["register"]["zh-Hant-TW"].as_str().context("words")?;
        ensure!(words.contains(today) && words.contains("未知"), "{words}");
        for (kind, media) in [("ods", ODS), ("xlsx", XLSX)] {
            let path = format!("/api/report.{kind}?semester={of}&lang=zh-Hant-TW");
            let cells = read(kind, download(&office, &path, media).await?)?;
            ensure!(cells.iter().any(|(_, _, _, data)| *data == words), "{path}: {words}");
        }
    }
    let cells = read("ods", download(&office, "/api/report.ods?lang=en", ODS).await?)?;
    ensure!(cells.iter().any(|(_, _, _, data)| now["register"]["en"] == data.to_string()), "{cells:?}");
    Ok(())
}

#[tokio::test]
async fn what_the_office_types_is_checked() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let long = "很".repeat(61);
    for (path, body, field) in [
        ("/api/report/annex", json!({ "school": long }), "school"),
        ("/api/report/annex", json!({ "school": "a\nb" }), "school"),
        ("/api/report/annex", json!({ "other_points": 31 }), "other_points"),
        ("/api/report/annex", json!({ "devices": -1 }), "devices"),
        ("/api/report/annex", json!({ "birthday": "x" }), "birthday"),
        ("/api/report/calendar", json!({}), "terms"),
        (
            "/api/report/calendar",
            json!({ "terms": [{ "from": "2026-02-30", "to": "2026-06-30" }], "holidays": [], "make_up": {}, "timetable": {} }),
            "terms[0].from",
        ),
        (
            "/api/report/calendar",
            json!({ "terms": [{ "from": "2026-09-01", "to": "2026-06-30" }], "holidays": [], "make_up": {}, "timetable": {} }),
            "terms[0]",
        ),
        (
            "/api/report/calendar",
            json!({ "terms": [{ "from": "2026-09-01", "to": "2027-01-20" }], "holidays": [], "make_up": {},
                    "timetable": { "8": [] } }),
            "timetable.8",
        ),
    ] {
        let problem = office.put(path, &body).await?.problem()?;
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::BadInput, Some(field)), "{path} {body}");
    }
    let calendar = json!({ "terms": [{ "from": "2026-08-30", "to": "2027-01-20" }], "holidays": ["2026-10-09"],
                           "make_up": { "2026-10-17": 5 }, "timetable": { "1": [{ "from": "08:00", "to": "16:00" }] } });
    office.put("/api/report/calendar", &calendar).await?.done()?;
    assert_eq!(office.get("/api/report/calendar").await?.json::<Value>()?, calendar);
    let report: Value = office.get("/api/report").await?.json()?;
    let rules = report["rules"]["en"].to_string();
    assert!(rules.contains("set by the school") && !rules.contains("assumed"), "{rules}");
    let audit = office.get("/api/audit").await?.text();
    assert!(audit.contains("report-calendar"), "{audit}");
    Ok(())
}

/// Every cell of every sheet, by place.
type Cells = Vec<(String, u32, u32, Data)>;

fn cells(book: &mut impl Sheets) -> Result<Cells> {
    let mut all = Vec::new();
    for name in book.names() {
        let range = book.range(&name)?;
        let (top, left) = range.start().with_context(|| format!("{name} is empty"))?;
        for (row, column, data) in range.used_cells() {
            all.push((name.clone(), top + u32::try_from(row)?, left + u32::try_from(column)?, data.clone()));
        }
    }
    Ok(all)
}

/// What both kinds of workbook have in common.
trait Sheets {
    fn names(&self) -> Vec<String>;
    fn range(&mut self, name: &str) -> Result<calamine::Range<Data>>;
}

impl Sheets for Ods<Cursor<Vec<u8>>> {
    fn names(&self) -> Vec<String> {
        self.sheet_names()
    }
    fn range(&mut self, name: &str) -> Result<calamine::Range<Data>> {
        Ok(self.worksheet_range(name)?)
    }
}

impl Sheets for Xlsx<Cursor<Vec<u8>>> {
    fn names(&self) -> Vec<String> {
        self.sheet_names()
    }
    fn range(&mut self, name: &str) -> Result<calamine::Range<Data>> {
        Ok(self.worksheet_range(name)?)
    }
}

fn read(kind: &str, bytes: Vec<u8>) -> Result<Cells> {
    match kind {
        "ods" => cells(&mut Ods::new(Cursor::new(bytes))?),
        _ => cells(&mut Xlsx::new(Cursor::new(bytes))?),
    }
}

/// Has LibreOffice open a file and save it again, without a window.
fn saved_again(kind: &str, bytes: &[u8], folder: &Path) -> Result<Vec<u8>> {
    let (first, second) = (folder.join(format!("report.{kind}")), folder.join("again"));
    std::fs::create_dir_all(&second)?;
    std::fs::write(&first, bytes)?;
    let output = Command::new("soffice")
        .arg(format!("-env:UserInstallation=file://{}", folder.join("profile").display()))
        .args(["--headless", "--norestore", "--convert-to", kind, "--outdir"])
        .args([&second, &first])
        .env("HOME", folder)
        .output()
        .context("soffice: tests/packages.sh test installs libreoffice-calc")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    std::fs::read(second.join(format!("report.{kind}"))).with_context(|| said)
}

async fn download(office: &Caller, path: &str, kind: &str) -> Result<Vec<u8>> {
    let reply = office.get(path).await?;
    reply.done()?;
    assert_eq!(reply.header("content-type"), kind);
    ensure!(reply.header("content-disposition").starts_with("attachment"), "{:?}", reply.headers);
    Ok(reply.body)
}

#[tokio::test]
async fn libreoffice_opens_the_report_and_saves_the_same_cells() -> Result<()> {
    let hub = Hub::start().await?;
    let office = hub.teacher().await?;
    let school = "=HYPERLINK(\"x\") <b>泰武</b>\"國小\" & 🎒 伊斯坦大·貝雅夫·正福·拉娃";
    let typed = json!({ "school": school, "code": "0134999", "county": "屏東縣", "devices": 40, "carts": 1, "other_points": 12 });
    office.put("/api/report/annex", &typed).await?.done()?;
    let folder = std::env::temp_dir().join(format!("classroom-office-{}", std::process::id()));
    let mut both = Vec::new();
    for (kind, media) in [("ods", ODS), ("xlsx", XLSX)] {
        let bytes = download(&office, &format!("/api/report.{kind}"), media).await?;
        let ours = read(kind, bytes.clone())?;
        let again = read(kind, saved_again(kind, &bytes, &folder)?)?;
        assert!(ours.len() > 40, "{}", ours.len());
        assert_eq!(ours, again, "the {kind} came back from LibreOffice with other cells");
        println!("{kind}: {} bytes, {} cells are the same after LibreOffice saved it again", bytes.len(), ours.len());
        both.push(ours);
    }
    std::fs::remove_dir_all(&folder)?;
    let (ods, xlsx) = (&both[0], &both[1]);
    assert_eq!(ods, xlsx, "both files say the same");

    // The 18 columns of the plan, word for word, and the school's row below them.
    let row = |n: u32| -> Vec<String> {
        let of = ods.iter().filter(|(sheet, row, ..)| sheet == "學校統整表" && *row == n);
        of.map(|(_, _, _, data)| data.to_string()).collect()
    };
    assert_eq!(row(0), ["智慧型互動屏幕結合個人化學習載具補助計畫-學校統整表"]);
    assert_eq!(
        row(1).join("|"),
        "編號|推薦優先序|方案類別|縣市|鄉鎮|偏遠分級|學校代碼|學校名稱|年級別|實施領域|參與班級數|教師數|學生數|申請公用載具數|\
         申請公用載具作業系統|申請充電車(臺)|自評成績|週平均使用率(由縣市填寫)"
    );
    let unknown = "未知";
    assert_eq!(
        row(2),
        [
            "1",
            unknown,
            unknown,
            "屏東縣",
            unknown,
            unknown,
            "0134999",
            school,
            unknown,
            unknown,
            unknown,
            unknown,
            unknown,
            "40",
            unknown,
            "1",
            unknown,
            unknown
        ]
    );
    assert!(ods.iter().any(|(_, _, _, data)| data.to_string().contains("計算規則 2026-1")), "the numbers are printed");
    Ok(())
}
