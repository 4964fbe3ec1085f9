//! The month of a class and the school's report (R-USE-1 to -7).

use std::collections::BTreeMap;

use appliance_core::{
    access::Who,
    calendar::{Day, YearMonth, month as year_month},
    figures::{
        Asked, MonthFigures, Offered, SchoolCalendar, SemesterFigures,
        annex::{self, Counts, Rests, Typed},
        offered,
        table::{Names, Table, month_table, rules, semester_table},
    },
};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use classroom_protocol::{Problem, ProblemCode, catalogue::Lang};
use serde::Serialize;

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

/// Most of a parameter's name that is told back, in characters.
const LONGEST_NAME: usize = 40;

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
    /// Name of the semester, e.g. `115-1`.
    of: String,
    /// Semesters and months that can be asked for.
    offered: Vec<Offered>,
    semester: SemesterFigures,
    /// The month, if one was asked for.
    month: Option<MonthFigures>,
    names: PageNames,
    rules: Both<Vec<String>>,
    typed: Typed,
    row: Both<Vec<String>>,
    /// Which register the row rests on.
    register: Both<String>,
}

type Asking = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters of a request by their names: each at most once, and none that the route does not know, because whoever
/// misspells one must not get another month's figures.
fn parameters<const N: usize>(query: Asking, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
    let Query(given) = query.map_err(|_| Problem::new(ProblemCode::BadInput))?;
    let mut found = [const { None }; N];
    for (name, value) in given {
        let place = names.iter().position(|known| *known == name).and_then(|at| found.get_mut(at));
        match place {
            Some(place @ None) => *place = Some(value),
            _ => {
                let name: String = name.chars().take(LONGEST_NAME).collect();
                return Err(Problem::new(ProblemCode::BadInput).field(name));
            }
        }
    }
    Ok(found)
}

pub(super) fn language(tag: Option<&str>) -> Result<Lang, Problem> {
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
    /// The class and the month that are asked for, counted for who asks.
    async fn month(
        &self,
        class: Option<String>,
        month: Option<String>,
        you: &str,
    ) -> Result<(ClassName, MonthFigures, Background), Refusal> {
        let now = clock::now();
        let wrong = |field: &'static str| move || Problem::new(ProblemCode::BadInput).field(field);
        let class: i64 = class.and_then(|id| id.parse().ok()).ok_or_else(wrong("class"))?;
        let month = month.as_deref().map_or_else(|| Some(Day::of(now).month()), year_month);
        let month: YearMonth = month.ok_or_else(wrong("month"))?;
        let class = self.classes.get(class).await.map_err(internal)?;
        let class = class.ok_or_else(|| Problem::new(ProblemCode::NotFound).field("class"))?;
        let (figures, background) = self.figures.month(month, Some(class.id), now).await.map_err(internal)?;
        Ok((ClassName { id: class.id, name: class.name }, figures.for_teacher(you), background))
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

    /// Counts for 附件6 that the register gives, and which register they rest on.
    async fn counts(&self, background: &Background, semester: &SemesterFigures) -> Result<(Counts, Rests), Refusal> {
        let rests = Rests::of(semester.days, background.known_since, background.today);
        let register = self.registers.load().await.map_err(internal)?;
        let counts = rests.counts(|| annex::counts(&register, &background.held, semester.unseen_days));
        Ok((counts, rests))
    }

    /// The sheets of the report: 附件6, the semester, the month of the school.
    async fn sheets(&self, asked: Asked, lang: Lang) -> Result<Sheets, Refusal> {
        let now = clock::now();
        let (semester, background) = self.figures.semester(asked.semester, now).await.map_err(internal)?;
        let (month, _) = self.figures.month(asked.month, None, now).await.map_err(internal)?;
        let (typed, counts) = (self.typed().await?, self.counts(&background, &semester).await?);
        let platform = |id: &str| self.figures.platform_name(id, lang);
        let teacher = |id: &str| background.teachers.get(id).cloned().unwrap_or_else(|| id.to_owned());
        let names = Names { platform: &platform, teacher: &teacher };
        let from = background.calendar;
        Ok(Sheets {
            annex: annex::table(&typed, counts, &semester, from, self.figures.parameters(), lang),
            semester: semester_table(&semester, from, &names, lang),
            month: month_table(&month, from, &names, lang),
        })
    }
}

/// The tables of the report.
struct Sheets {
    annex: Table,
    semester: Table,
    month: Table,
}

/// A report as a file: what it is about, whether a month was named, in which language.
struct AskedFile {
    asked: Asked,
    month_named: bool,
    lang: Lang,
}

impl AskedFile {
    fn read(query: Asking) -> Result<Self, Problem> {
        let [semester, month, lang] = parameters(query, ["semester", "month", "lang"])?;
        let lang = language(lang.as_deref())?;
        Ok(Self { asked: asked(semester.as_deref(), month.as_deref())?, month_named: month.is_some(), lang })
    }

    /// The file's name: `school-report-115-1.ods`.
    fn name(&self, end: &str) -> String {
        format!("school-report-{}.{end}", self.asked.name())
    }
}

fn asked(semester: Option<&str>, month: Option<&str>) -> Result<Asked, Problem> {
    let read = Asked::read(semester, month, Day::of(clock::now()));
    read.map_err(|field| Problem::new(ProblemCode::BadInput).field(field))
}

/// `GET /api/month`: the figures of a class.
///
/// # Errors
/// `bad-input` naming `class`, `month` or a parameter that is not known, `not-found` naming `class`.
pub async fn month(
    State(state): State<FiguresState>,
    who: Caller,
    query: Asking,
) -> Result<axum::Json<MonthAnswer>, Refusal> {
    // The language is for files; a page may name it here too.
    let [class, month, _] = parameters(query, ["class", "month", "lang"])?;
    let you = account(&who);
    let (class, figures, background) = state.month(class, month, &you).await?;
    let rules = Both::of(|lang| rules(state.figures.parameters(), background.calendar, lang));
    let today = background.today;
    Ok(axum::Json(MonthAnswer { class, you, today, figures, names: state.names(background), rules }))
}

/// `GET /api/month.csv`: the same as a file.
///
/// # Errors
/// As [`month`], and `bad-input` naming `lang`.
pub async fn month_csv(State(state): State<FiguresState>, who: Caller, query: Asking) -> Result<Response, Refusal> {
    let [class, month, lang] = parameters(query, ["class", "month", "lang"])?;
    let lang = language(lang.as_deref())?;
    let (class, figures, background) = state.month(class, month, &account(&who)).await?;
    let platform = |id: &str| state.figures.platform_name(id, lang);
    let teacher = |id: &str| background.teachers.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let mut table = month_table(&figures, background.calendar, &Names { platform: &platform, teacher: &teacher }, lang);
    table.rows.insert(0, vec![appliance_core::figures::table::Cell::Text(class.name)]);
    let bytes = sheets::csv(&table, lang).map_err(internal)?;
    Ok(file(bytes, "text/csv; charset=utf-8", &format!("month-{}-{}.csv", class.id, figures.month)))
}

/// `GET /api/report`: a semester of the school, and the row of 附件6; with `month` that month too.
///
/// # Errors
/// `bad-input` naming `semester`, `month` or a parameter that is not known.
pub async fn report(State(state): State<FiguresState>, query: Asking) -> Result<axum::Json<ReportAnswer>, Refusal> {
    let [semester, month] = parameters(query, ["semester", "month"])?;
    let asked = asked(semester.as_deref(), month.as_deref())?;
    let now = clock::now();
    let (semester, background) = state.figures.semester(asked.semester, now).await.map_err(internal)?;
    let month = match month {
        Some(_) => Some(state.figures.month(asked.month, None, now).await.map_err(internal)?.0),
        None => None,
    };
    let (typed, (counts, rests)) = (state.typed().await?, state.counts(&background, &semester).await?);
    let rules = Both::of(|lang| rules(state.figures.parameters(), background.calendar, lang));
    let row = Both::of(|lang| annex::row(&typed, counts, &semester).iter().map(|cell| cell.words(lang)).collect());
    let register = Both::of(|lang| rests.words(lang));
    let (today, of) = (background.today, asked.name());
    let (names, offered) = (state.names(background), offered(today));
    Ok(axum::Json(ReportAnswer { today, of, offered, semester, month, names, rules, typed, row, register }))
}

/// `GET /api/report.ods`: 附件6, the semester and the month.
///
/// # Errors
/// `bad-input` naming `semester`, `month`, `lang` or a parameter that is not known.
pub async fn report_ods(State(state): State<FiguresState>, query: Asking) -> Result<Response, Refusal> {
    let wanted = AskedFile::read(query)?;
    let Sheets { annex, semester, month } = state.sheets(wanted.asked, wanted.lang).await?;
    let bytes = sheets::ods(&[annex, semester, month], wanted.lang).map_err(internal)?;
    Ok(file(bytes, "application/vnd.oasis.opendocument.spreadsheet", &wanted.name("ods")))
}

/// `GET /api/report.xlsx`: the same.
///
/// # Errors
/// As [`report_ods`].
pub async fn report_xlsx(State(state): State<FiguresState>, query: Asking) -> Result<Response, Refusal> {
    let wanted = AskedFile::read(query)?;
    let Sheets { annex, semester, month } = state.sheets(wanted.asked, wanted.lang).await?;
    let bytes = sheets::xlsx(&[annex, semester, month], wanted.lang).map_err(internal)?;
    Ok(file(bytes, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &wanted.name("xlsx")))
}

/// `GET /api/report.csv`: the semester, or with `month` that month.
///
/// # Errors
/// As [`report_ods`].
pub async fn report_csv(State(state): State<FiguresState>, query: Asking) -> Result<Response, Refusal> {
    let wanted = AskedFile::read(query)?;
    let sheets = state.sheets(wanted.asked, wanted.lang).await?;
    let table = if wanted.month_named { sheets.month } else { sheets.semester };
    let bytes = sheets::csv(&table, wanted.lang).map_err(internal)?;
    Ok(file(bytes, "text/csv; charset=utf-8", &wanted.name("csv")))
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

pub(super) fn file(bytes: Vec<u8>, kind: &'static str, name: &str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
