//! The month of a class and the school's report over the wire: what is unknown, what is refused, and files that an
//! office suite takes.

use std::{io::Cursor, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use calamine::{Data, Ods, Reader, Xlsx};
use classroom_protocol::{ProblemCode, policy::Document};
use harness::{hub::Hub, people::Caller, wait::wait_for};
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
