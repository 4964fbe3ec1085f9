//! The month of a class and the school's report (R-USE-1 to -7).

use std::collections::BTreeMap;

use appliance_core::{
    access::Who,
    calendar::{Day, YearMonth, month as year_month},
    figures::{
        MonthFigures, SchoolCalendar, SemesterFigures,
        annex::{self, Counts, Typed},
        table::{Names, Table, month_table, rules, semester_table},
    },
};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use classroom_protocol::{Problem, ProblemCode, catalogue::Lang};
use serde::{Deserialize, Serialize};

use super::{
    audit::Auditor,
    gate::Peer,
    reply::{DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    clock,
    figures::{Background, Figures},
    sheets,
    store::{Classes, FigureStore, Registers, ReportSetting},
};

/// What these routes need.
#[derive(Clone)]
pub struct FiguresState {
    /// Counts.
    pub figures: Figures,
    /// What the office types.
    pub store: FigureStore,
    /// Names of classes.
    pub classes: Classes,
    /// Who takes part.
    pub registers: Registers,
    /// Keeps what staff do.
    pub audit: Auditor,
}

/// A text in both languages of the box.
#[derive(Debug, Serialize)]
struct Both<T> {
    #[serde(rename = "zh-Hant-TW")]
    zh: T,
    en: T,
}

impl<T> Both<T> {
    fn of(mut text: impl FnMut(Lang) -> T) -> Self {
        Self { zh: text(Lang::ZhHantTw), en: text(Lang::En) }
    }
}

/// Who has a device.
#[derive(Debug, Serialize)]
struct Holder {
    seat: Option<u8>,
    name: String,
}

/// Names that pages need beside the figures.
#[derive(Debug, Serialize)]
struct PageNames {
    platforms: BTreeMap<String, Both<String>>,
    teachers: BTreeMap<String, String>,
    devices: BTreeMap<String, Holder>,
}

#[derive(Debug, Serialize)]
struct ClassName {
    id: i64,
    name: String,
}

/// `GET /api/month`.
#[derive(Debug, Serialize)]
pub struct MonthAnswer {
    class: ClassName,
    you: String,
    today: Day,
    figures: MonthFigures,
    names: PageNames,
    rules: Both<Vec<String>>,
}

/// `GET /api/report`.
#[derive(Debug, Serialize)]
pub struct ReportAnswer {
    today: Day,
    semester: SemesterFigures,
    names: PageNames,
    rules: Both<Vec<String>>,
    typed: Typed,
    row: Both<Vec<String>>,
}

/// Which month of which class.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonthQuery {
    class: i64,
    /// `YYYY-MM`; without it the present one.
    month: Option<String>,
    /// `zh-Hant-TW` or `en`, for files.
    lang: Option<String>,
}

/// In which language a file is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileQuery {
    lang: Option<String>,
}

fn language(tag: Option<&str>) -> Result<Lang, Problem> {
    match tag {
        None | Some("zh-Hant-TW") => Ok(Lang::ZhHantTw),
        Some("en") => Ok(Lang::En),
        Some(_) => Err(Problem::new(ProblemCode::BadInput).field("lang")),
    }
}

/// The caller's key in the figures.
fn account(who: &Caller) -> String {
    if let Who::Staff { id, .. } = &who.0 { id.to_string() } else { String::new() }
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::internal(&error)
}

impl FiguresState {
    /// The class and the month that are asked for, counted.
    /// Of the teachers' days only those of who asks: those of others are the office's business.
    async fn month(&self, query: &MonthQuery, you: &str) -> Result<(ClassName, MonthFigures, Background), Refusal> {
        let now = clock::now();
        let month = query.month.as_deref().map_or_else(|| Some(Day::of(now).month()), year_month);
        let month: YearMonth = month.ok_or_else(|| Problem::new(ProblemCode::BadInput).field("month"))?;
        let class = self.classes.get(query.class).await.map_err(internal)?;
        let class = class.ok_or_else(|| Problem::new(ProblemCode::NotFound).field("class"))?;
        let (mut figures, background) = self.figures.month(month, Some(class.id), now).await.map_err(internal)?;
        figures.teachers.retain(|line| line.teacher == you);
        Ok((ClassName { id: class.id, name: class.name }, figures, background))
    }

    fn names(&self, background: Background) -> PageNames {
        let platform = |id: &str| Both::of(|lang| self.figures.platform_name(id, lang));
        PageNames {
            platforms: self.figures.platforms().iter().map(|of| (of.id.clone(), platform(&of.id))).collect(),
            teachers: background.teachers,
            devices: background
                .holders
                .into_iter()
                .map(|(device, (seat, name))| (device, Holder { seat, name }))
                .collect(),
        }
    }

    async fn typed(&self) -> Result<Typed, Refusal> {
        let Some(text) = self.store.setting(ReportSetting::Annex).await.map_err(internal)? else {
            return Ok(Typed::default());
        };
        serde_json::from_str(&text).map_err(internal)
    }

    /// Counts for 附件6 that the register gives.
    async fn counts(&self, background: &Background) -> Result<Counts, Refusal> {
        let register = self.registers.load().await.map_err(internal)?;
        Ok(annex::counts(&register, &background.held))
    }

    /// The sheets of the report: 附件6, the semester, the present month of the school.
    async fn sheets(&self, lang: Lang) -> Result<Vec<Table>, Refusal> {
        let now = clock::now();
        let (semester, background) = self.figures.semester(now).await.map_err(internal)?;
        let (month, _) = self.figures.month(Day::of(now).month(), None, now).await.map_err(internal)?;
        let (typed, counts) = (self.typed().await?, self.counts(&background).await?);
        let platform = |id: &str| self.figures.platform_name(id, lang);
        let teacher = |id: &str| background.teachers.get(id).cloned().unwrap_or_else(|| id.to_owned());
        let names = Names { platform: &platform, teacher: &teacher };
        let from = background.calendar;
        Ok(vec![
            annex::table(&typed, counts, &semester, from, self.figures.parameters(), lang),
            semester_table(&semester, from, &names, lang),
            month_table(&month, from, &names, lang),
        ])
    }
}

/// `GET /api/month`: the figures of a class.
///
/// # Errors
/// `bad-input` naming `class` or `month`, `not-found` naming `class`.
pub async fn month(
    State(state): State<FiguresState>,
    who: Caller,
    query: Result<Query<MonthQuery>, QueryRejection>,
) -> Result<axum::Json<MonthAnswer>, Refusal> {
    let Query(query) = query.map_err(|_| Problem::new(ProblemCode::BadInput).field("class, month"))?;
    let you = account(&who);
    let (class, figures, background) = state.month(&query, &you).await?;
    let rules = Both::of(|lang| rules(state.figures.parameters(), background.calendar, lang));
    let today = background.today;
    Ok(axum::Json(MonthAnswer { class, you, today, figures, names: state.names(background), rules }))
}

/// `GET /api/month.csv`: the same as a file.
///
/// # Errors
/// As [`month`].
pub async fn month_csv(
    State(state): State<FiguresState>,
    who: Caller,
    query: Result<Query<MonthQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|_| Problem::new(ProblemCode::BadInput).field("class, month, lang"))?;
    let lang = language(query.lang.as_deref())?;
    let (class, figures, background) = state.month(&query, &account(&who)).await?;
    let platform = |id: &str| state.figures.platform_name(id, lang);
    let teacher = |id: &str| background.teachers.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let mut table = month_table(&figures, background.calendar, &Names { platform: &platform, teacher: &teacher }, lang);
    table.rows.insert(0, vec![appliance_core::figures::table::Cell::Text(class.name)]);
    let bytes = sheets::csv(&table, lang).map_err(internal)?;
    Ok(file(bytes, "text/csv; charset=utf-8", &format!("month-{}-{}.csv", class.id, figures.month)))
}

/// `GET /api/report`: the school's semester, and the row of 附件6.
///
/// # Errors
/// `internal` when the store fails.
pub async fn report(State(state): State<FiguresState>) -> Result<axum::Json<ReportAnswer>, Refusal> {
    let (semester, background) = state.figures.semester(clock::now()).await.map_err(internal)?;
    let (typed, counts) = (state.typed().await?, state.counts(&background).await?);
    let rules = Both::of(|lang| rules(state.figures.parameters(), background.calendar, lang));
    let row = Both::of(|lang| annex::row(&typed, counts, &semester).iter().map(|cell| cell.words(lang)).collect());
    let today = background.today;
    Ok(axum::Json(ReportAnswer { today, semester, names: state.names(background), rules, typed, row }))
}

async fn report_file(
    state: &FiguresState,
    query: Result<Query<FileQuery>, QueryRejection>,
) -> Result<(Vec<Table>, Lang), Refusal> {
    let Query(query) = query.map_err(|_| Problem::new(ProblemCode::BadInput).field("lang"))?;
    let lang = language(query.lang.as_deref())?;
    Ok((state.sheets(lang).await?, lang))
}

/// `GET /api/report.ods`.
///
/// # Errors
/// `bad-input` naming `lang`.
pub async fn report_ods(
    State(state): State<FiguresState>,
    query: Result<Query<FileQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (tables, lang) = report_file(&state, query).await?;
    let bytes = sheets::ods(&tables, lang).map_err(internal)?;
    Ok(file(bytes, "application/vnd.oasis.opendocument.spreadsheet", "school-report.ods"))
}

/// `GET /api/report.xlsx`.
///
/// # Errors
/// `bad-input` naming `lang`.
pub async fn report_xlsx(
    State(state): State<FiguresState>,
    query: Result<Query<FileQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (tables, lang) = report_file(&state, query).await?;
    let bytes = sheets::xlsx(&tables, lang).map_err(internal)?;
    Ok(file(bytes, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "school-report.xlsx"))
}

/// `GET /api/report.csv`: the semester.
///
/// # Errors
/// `bad-input` naming `lang`.
pub async fn report_csv(
    State(state): State<FiguresState>,
    query: Result<Query<FileQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (mut tables, lang) = report_file(&state, query).await?;
    let table = tables.swap_remove(1);
    Ok(file(sheets::csv(&table, lang).map_err(internal)?, "text/csv; charset=utf-8", "school-report.csv"))
}

/// `PUT /api/report/annex`: what the office types for 附件6.
///
/// # Errors
/// `bad-input` with the field.
pub async fn put_annex(
    State(state): State<FiguresState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<Typed>,
) -> Result<StatusCode, Refusal> {
    let typed = body.checked().map_err(|(field, _)| Problem::new(ProblemCode::BadInput).field(field))?;
    keep(&state, &who, peer, ReportSetting::Annex, "report-annex", serde_json::to_value(&typed)).await
}

/// `GET /api/report/calendar`: the school's calendar, or the one that is assumed.
///
/// # Errors
/// `internal` when the store fails.
pub async fn calendar(State(state): State<FiguresState>) -> Result<axum::Json<SchoolCalendar>, Refusal> {
    Ok(axum::Json(state.figures.calendar(Day::of(clock::now())).await.map_err(internal)?.0))
}

/// `PUT /api/report/calendar`.
///
/// # Errors
/// `bad-input` with the field.
pub async fn put_calendar(
    State(state): State<FiguresState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<SchoolCalendar>,
) -> Result<StatusCode, Refusal> {
    body.check().map_err(|(field, _)| Problem::new(ProblemCode::BadInput).field(field))?;
    keep(&state, &who, peer, ReportSetting::Calendar, "report-calendar", serde_json::to_value(&body)).await
}

async fn keep(
    state: &FiguresState,
    who: &Caller,
    peer: Peer,
    setting: ReportSetting,
    action: &str,
    value: serde_json::Result<serde_json::Value>,
) -> Result<StatusCode, Refusal> {
    let Who::Staff { name, .. } = &who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let value = value.map_err(internal)?;
    state.store.set(setting, value.to_string(), name.clone(), clock::now()).await.map_err(internal)?;
    state.audit.note(name, peer.0, action, value).await;
    Ok(DONE)
}

fn file(bytes: Vec<u8>, kind: &'static str, name: &str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
