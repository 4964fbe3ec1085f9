//! Reads the facts of a time from the store and has the core count them. Nothing is decided here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use appliance_core::{
    calendar::{Day, YearMonth},
    figures::{
        Days, Facts, MonthFigures, Parameters, SchoolCalendar, SemesterFigures, events, month, month_of_class,
        register, semester, table::CalendarFrom,
    },
};
use classroom_protocol::{Millis, catalogue::Lang, policy::Document};

use crate::{
    clock,
    store::{FigureRows, FigureStore, ReportSetting, StoreError},
};

/// How often the box notes that it runs. Midnight is missed by at most this.
const NOTE_EVERY: Duration = Duration::from_secs(300);

/// A learning platform whose hours are counted (R-USE-5): data that IT can change (R-USE-9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Id, as events name it.
    pub id: String,
    /// Name in Chinese and in English.
    pub names: [String; 2],
}

/// Counts. Cheap to clone.
#[derive(Clone)]
pub struct Figures {
    store: FigureStore,
    parameters: Arc<Parameters>,
    platforms: Arc<dyn Fn() -> Vec<Platform> + Send + Sync>,
}

/// What one count was made from beside the numbers.
#[derive(Debug, Clone)]
pub struct Background {
    /// The day of the count.
    pub today: Day,
    /// Where school days come from.
    pub calendar: CalendarFrom,
    /// Names of teachers by their key in the figures.
    pub teachers: BTreeMap<String, String>,
    /// Which classes each teacher has held lessons with.
    pub held: BTreeSet<(i64, String)>,
    /// Who has which device: seat and name. Of one class only the devices that are in its figures.
    pub holders: BTreeMap<String, (Option<u8>, String)>,
    /// The earliest time of which the box knows something of classes and consents.
    pub known_since: Option<Millis>,
}

impl Figures {
    /// Counts by these numbers, with hours for the platforms that the school's rules name at the time of a count.
    pub fn new(
        store: FigureStore,
        parameters: Parameters,
        platforms: impl Fn() -> Vec<Platform> + Send + Sync + 'static,
    ) -> Self {
        Self { store, parameters: Arc::new(parameters), platforms: Arc::new(platforms) }
    }

    /// The numbers that it counts by.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The platforms whose hours are counted.
    pub fn platforms(&self) -> Vec<Platform> {
        (self.platforms)()
    }

    /// A platform's name, or its id where the bundle has none.
    pub fn platform_name(&self, id: &str, lang: Lang) -> String {
        let known = self.platforms().into_iter().find(|platform| platform.id == id);
        known.map_or_else(|| id.to_owned(), |Platform { names: [zh, en], .. }| if lang == Lang::En { en } else { zh })
    }

    /// The calendar that the office has set, or the assumed one of the years around a day.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn calendar(&self, around: Day) -> Result<(SchoolCalendar, CalendarFrom), StoreError> {
        let set = self.store.setting(ReportSetting::Calendar).await?;
        let set = set.and_then(|text| {
            let read = serde_json::from_str::<SchoolCalendar>(&text);
            read.inspect_err(|error| tracing::error!(%error, "the school's calendar in the store can't be read")).ok()
        });
        Ok(set.map_or_else(
            || (SchoolCalendar::assumed(around), CalendarFrom::Assumed),
            |calendar| (calendar, CalendarFrom::School),
        ))
    }

    /// A month of the school, or of one class.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn month(
        &self,
        of: YearMonth,
        class: Option<i64>,
        now: Millis,
    ) -> Result<(MonthFigures, Background), StoreError> {
        let today = Day::of(now);
        // Its weeks reach over its ends.
        let days = Days { from: of.first().plus(-6), to: of.last().plus(6) };
        let (facts, calendar, mut background) = self.facts(days, now).await?;
        let parameters = self.parameters.clone();
        let counted = move || match class {
            Some(class) => month_of_class(&facts, class, &calendar, &parameters, of, today),
            None => month(&facts, &calendar, &parameters, of, today),
        };
        let figures = aside(counted).await?;
        if class.is_some() {
            // A teacher is not told who of other classes has a device.
            let shown: BTreeSet<&str> = figures.devices.iter().map(|line| line.device.as_str()).collect();
            background.holders.retain(|device, _| shown.contains(device.as_str()));
        }
        Ok((figures, background))
    }

    /// A semester up to `now`.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn semester(&self, days: Days, now: Millis) -> Result<(SemesterFigures, Background), StoreError> {
        let today = Day::of(now);
        let span = Days { from: days.from.plus(-6), to: days.to.plus(6) };
        let (facts, calendar, background) = self.facts(span, now).await?;
        let parameters = self.parameters.clone();
        let counted = move || semester(&facts, &calendar, &parameters, days, today);
        Ok((aside(counted).await?, background))
    }

    async fn facts(&self, days: Days, now: Millis) -> Result<(Facts, SchoolCalendar, Background), StoreError> {
        let today = Day::of(now);
        // The assumed one has the terms of the years around a day.
        let (calendar, from) = self.calendar(days.to.min(today)).await?;
        let rows = self.store.rows(days.from.begins(), days.to.ends(), now).await?;
        let FigureRows { events, devices, roster, lessons, box_ran, teachers, holders, known_since } = rows;
        let held = lessons.iter().filter_map(|lesson| Some((lesson.class?, lesson.teacher.clone()))).collect();
        let facts = Facts {
            activities: events.iter().filter_map(|event| events::activity(event, &roster)).collect(),
            devices: devices.into_iter().map(|row| register::device(row, today)).collect(),
            lessons,
            platforms: self.platforms().into_iter().map(|platform| platform.id).collect(),
            box_ran,
        };
        Ok((facts, calendar, Background { today, calendar: from, teachers, held, holders, known_since }))
    }
}

/// The platforms of the allow bundles whose hours are counted: one list for the policy and for the figures (R-USE-9).
pub fn platforms(document: &Document) -> Vec<Platform> {
    let systems = document.bundles.values().flat_map(|bundle| &bundle.systems).filter(|system| system.hours);
    systems
        .map(|system| Platform { id: system.id.clone(), names: [system.name.zh.clone(), system.name.en.clone()] })
        .collect()
}

/// Counting a semester takes a part of a second: not on a thread that serves others.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}

/// Notes each day on which the box runs, until it is stopped.
pub async fn note_days(store: FigureStore) {
    let mut noted = None;
    loop {
        let today = Day::of(clock::now());
        if noted != Some(today) {
            match store.box_ran(today).await {
                Ok(()) => noted = Some(today),
                Err(error) => tracing::error!(%error, "the day could not be noted; it will count as unknown"),
            }
        }
        tokio::time::sleep(NOTE_EVERY).await;
    }
}
