//! The policy document: the school's use rules as data that IT can edit. `policy/default.json` of this crate is 004
//! 附件1 rule by rule; `policy/bundles.json` holds the systems that the seeds name (requirements §7).
//!
//! Rules are asked in their order; the first that refuses or allows decides, and what no rule allows is refused. Unknown
//! keys are refused with the path of the field. What parses may still contradict itself: the core's `validate` says so.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use utoipa::ToSchema;

use super::{Action, Changer, Consent, DeviceState, Link, Place, Reason, RuleId, Trouble};
use crate::catalogue::{Lang, fill};

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Form of the document; this program knows 1.
    pub schema: u32,
    /// Which text of the school's rules this is, as people name it, e.g. `115-1`.
    pub revision: String,
    /// What is allowed by name: platforms, storage, what devices need. By its id.
    #[serde(default, deserialize_with = "unique")]
    pub bundles: BTreeMap<String, Bundle>,
    /// What is refused by name: games, mail … By its id, which is also the name of its lists' files.
    #[serde(default, deserialize_with = "unique")]
    pub categories: BTreeMap<String, Category>,
    /// The rules in their order.
    pub rules: Vec<Rule>,
}

/// A name in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Traditional Chinese as written in Taiwan.
    #[serde(rename = "zh-Hant-TW")]
    pub zh: String,
    /// English.
    pub en: String,
}

/// Systems that are allowed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Its name for people.
    pub name: Names,
    /// What is in it.
    pub systems: Vec<System>,
}

/// One system, such as a learning platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Short name for programs and reports: lower-case letters, digits, hyphens.
    pub id: String,
    /// Its name for people.
    pub name: Names,
    /// Its hosts; each stands for itself and all names below it.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Its programs, by package or process name, lower case.
    #[serde(default)]
    pub apps: Vec<String>,
    /// Hours of use are counted (R-USE-5).
    #[serde(default)]
    pub hours: bool,
}

/// Hosts and programs that are refused together. Longer lists come from files (`lists/{category}.{format}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name for people.
    pub name: Names,
    /// Its hosts; each stands for itself and all names below it.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Its programs, by package or process name, lower case.
    #[serde(default)]
    pub apps: Vec<String>,
    /// Refused names are answered with "no such name" instead of the page that explains: for names that programs, not
    /// people, look up.
    #[serde(default)]
    pub silent: bool,
}

/// One rule: in these situations, of this subject, this effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// The requirement it serves.
    pub id: RuleId,
    /// The clause of 附件1 that it follows, e.g. `四(一)1(2)`.
    pub clause: String,
    /// In which situations; all of them when empty.
    #[serde(default, skip_serializing_if = "When::is_always")]
    pub when: When,
    /// What it is about.
    pub about: Subject,
    /// What it does.
    pub effect: Effect,
    /// Why, for people.
    pub reason: Reason,
    /// Who can change it (R-POL-22).
    pub changer: Changer,
    /// Whose permit lifts this refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<Lifter>,
}

/// The situations of a rule. What is not named does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct When {
    /// The device is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// A lesson of this device's class is running, or none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lesson: Option<bool>,
    /// The teacher has asked all to look up, or has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<bool>,
    /// The device is in one of these states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device: Vec<DeviceState>,
    /// The consent is one of these. An unknown student has none to look at: the situation does not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consent: Vec<Consent>,
    /// The device's network is one of these. When nobody has reported it, the situation does not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub link: Vec<Link>,
    /// One of these was noticed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<Trouble>,
    /// It is outside the hours that the guardian has set (R-POL-12).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outside_guardian_hours: bool,
}

impl When {
    /// No situation is named.
    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Everything.
    Anything,
    /// Every host.
    Hosts,
    /// Every program.
    Apps,
    /// The box's own names.
    OwnBox,
    /// Hosts and programs of a bundle.
    Bundle(String),
    /// Hosts and programs of a category.
    Category(String),
    /// An action.
    Action(Action),
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Allows, and no later rule is asked.
    Allow,
    /// Allows and keeps a record (R-POL-6, R-POL-20).
    AllowAndRecord,
    /// Refuses, and no later rule is asked.
    Refuse,
    /// Tells the teacher; later rules decide.
    Alert,
    /// Is shown to people as a reminder; later rules decide.
    Remind,
}

/// Whose permit lifts a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifter {
    /// The teacher's, for the lesson; and the school's.
    Teacher,
    /// The school's exception only (R-POL-11).
    School,
}

/// Why a text is no policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDocument {
    /// Where: `rules[3].when.place`. Empty when it is no JSON at all.
    pub path: String,
    /// What is wrong there and how to mend it.
    pub reason: String,
}

impl fmt::Display for BadDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason } = self;
        if path.is_empty() || path == "." { write!(f, "{reason}") } else { write!(f, "{path}: {reason}") }
    }
}

impl std::error::Error for BadDocument {}

impl BadDocument {
    /// The sentence for people. What the reader of JSON says is known by its beginnings.
    pub fn told(&self, lang: Lang) -> String {
        let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let (reason, at) = match self.reason.rsplit_once(" at line ") {
            Some((reason, at)) => (reason, at.split_once(" column ")),
            None => (self.reason.as_str(), None),
        };
        let names = quoted(reason);
        let (what, expected) = names
            .split_first()
            .map_or((String::new(), String::new()), |(what, expected)| (what.clone(), expected.join(", ")));
        let key = match reason {
            text if text.starts_with("unknown field") => "policy.doc.unknown-field",
            text if text.starts_with("unknown variant") => "policy.doc.unknown-value",
            text if text.starts_with("missing field") => "policy.doc.missing",
            text if text.starts_with("duplicate field") || text.ends_with(TWICE) => "policy.doc.field-twice",
            text if text.starts_with("invalid type") || text.starts_with("invalid value") => "policy.doc.wrong-kind",
            _ if at.is_some() => "policy.doc.syntax",
            _ => "policy.doc.other",
        };
        let (line, column) = at.unwrap_or_default();
        let values =
            [("what", &*what), ("expected", &*expected), ("reason", reason), ("line", line), ("column", column)];
        let words = fill(lang, key, &values);
        if self.path.is_empty() || self.path == "." { words } else { format!("{}: {words}", self.path) }
    }
}

/// The end of what is said of a key that stands twice.
const TWICE: &str = "stands here twice; put both into one";

impl Document {
    /// The form that this program knows.
    pub const SCHEMA: u32 = 1;

    /// Reads a document.
    ///
    /// # Errors
    /// [`BadDocument`] with the path of the field that is unknown, missing or of the wrong kind.
    pub fn parse(text: &str) -> Result<Self, BadDocument> {
        // Notepad puts one before everything.
        let document: Self = typed(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        if document.schema != Self::SCHEMA {
            let reason = format!("form {} is not known here; this program knows {}", document.schema, Self::SCHEMA);
            return Err(BadDocument { path: "schema".into(), reason });
        }
        Ok(document)
    }

    /// 004 附件1 rule by rule, with the systems of requirements §7.
    ///
    /// # Errors
    /// Never in a program whose tests pass: the two files are part of it.
    pub fn standard() -> Result<Self, BadDocument> {
        let mut document = Self::parse(include_str!("../../policy/default.json"))?;
        document.bundles = typed(include_str!("../../policy/bundles.json"))?;
        Ok(document)
    }

    /// Its JSON form.
    ///
    /// # Errors
    /// When it has none, which no document that was read can have.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

/// A map in which no key stands twice: the later one would take the earlier one's place without a word, and what that had
/// closed would be open.
fn unique<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Unique<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = entries.next_key::<String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("`{key}` {TWICE}")));
                }
                map.insert(key, entries.next_value()?);
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Unique(PhantomData))
}

fn typed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, BadDocument> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| BadDocument { path: error.path().to_string(), reason: error.into_inner().to_string() })?;
    reader.end().map_err(|error| BadDocument { path: String::new(), reason: error.to_string() })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_standard_document_is_read_and_written_the_same() {
        let document = Document::standard().unwrap();
        assert_eq!(Document::parse(&document.to_json().unwrap()).unwrap(), document);
        assert!(document.rules.len() >= 20, "附件1 has more than {} rules", document.rules.len());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |rule: &str| format!(r#"{{"schema":1,"revision":"t","rules":[{rule}]}}"#);
        let good =
            r#"{"id":"R-POL-3","clause":"x","about":"hosts","effect":"refuse","reason":"games","changer":"school"}"#;
        assert!(Document::parse(&with(good)).is_ok());
        for (from, to, path, word) in [
            ("\"clause\"", "\"claus\"", "rules[0].claus", "unknown field `claus`"),
            ("R-POL-3", "R-POL-300", "rules[0].id", "no rule; write R-POL- and its number"),
            ("\"hosts\"", "\"host\"", "rules[0].about", "unknown variant `host`"),
            ("\"hosts\"", "{\"category\":7}", "rules[0].about.category", "expected a string"),
            ("\"refuse\"", "\"deny\"", "rules[0].effect", "unknown variant `deny`"),
            ("\"games\"", "\"fun\"", "rules[0].reason", "unknown variant `fun`"),
            (
                "\"clause\":\"x\"",
                "\"clause\":\"x\",\"when\":{\"plaza\":1}",
                "rules[0].when.plaza",
                "unknown field `plaza`",
            ),
        ] {
            let error = Document::parse(&with(&good.replace(from, to))).unwrap_err();
            assert_eq!(error.path, path, "{error}");
            assert!(error.reason.contains(word), "{error}");
        }
        assert!(Document::parse("").is_err() && Document::parse("[]").is_err());
        let error = Document::parse(r#"{"schema":2,"revision":"t","rules":[]}"#).unwrap_err();
        assert_eq!(error.path, "schema");
        assert_eq!(Document::parse(&format!("\u{feff}{}", with(good))), Document::parse(&with(good)), "from Notepad");
        let games = r#""games":{"name":{"zh-Hant-TW":"遊戲","en":"Games"}}"#;
        let twice = format!(r#"{{"schema":1,"revision":"t","categories":{{{games},{games}}},"rules":[{good}]}}"#);
        let error = Document::parse(&twice).unwrap_err();
        assert!(error.path == "categories" && error.reason.contains("`games` stands here twice"), "{error}");
        assert_eq!(error.told(Lang::ZhHantTw), "categories: 「games」寫了兩次；請合成一個");
        let error = Document::parse(&with(&good.replace("\"hosts\"", "\"host\""))).unwrap_err();
        let told = error.told(Lang::ZhHantTw);
        assert!(told.starts_with("rules[0].about: 沒有「host」這個值；可以寫：anything, hosts, "), "{told}");
        let told = Document::parse("<html>").unwrap_err().told(Lang::ZhHantTw);
        assert!(told.starts_with("第 1 行第 1 個字"), "{told}");
        assert!(Document::parse(&(with(good) + "x")).is_err(), "nothing may follow");
    }
}
