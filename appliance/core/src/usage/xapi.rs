//! From events to xAPI 1.0.3 statements. The words are data that IT can change ([`Vocabulary`]); the shape is here.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Event, Fact, Kind, pseudonym};
use crate::calendar;

/// The vocabulary that the box brings.
pub const DEFAULT: &str = include_str!("../../data/xapi.json");

/// The longest vocabulary that is read, in bytes.
pub const LONGEST: usize = 256 * 1024;

/// Which statement each kind of event becomes. A kind without one is not sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// For people, to tell one page from another.
    version: String,
    /// For who reads the file.
    #[serde(default)]
    comment: String,
    /// What the names of context extensions begin with.
    extension: String,
    statements: BTreeMap<Kind, Words>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    verb: Verb,
    object: Object,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verb {
    id: String,
    display: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: BTreeMap<String, String>,
}

/// Why a vocabulary can't be used, with the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadVocabulary(String);

impl fmt::Display for BadVocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadVocabulary {}

/// The school as it appears in statements.
#[derive(Debug, Clone, Copy)]
pub struct School<'a> {
    /// The school's key, under which everyone has a pseudonym.
    pub key: &'a [u8],
    /// IRI of the school; `{semester}` in it becomes e.g. `115-1`.
    pub home_page: &'a str,
}

impl Vocabulary {
    /// Reads a vocabulary.
    ///
    /// # Errors
    /// What is wrong and where: not JSON, an unknown key or kind, no IRI, a place that this kind can't fill.
    pub fn parse(text: &str) -> Result<Self, BadVocabulary> {
        if text.len() > LONGEST {
            return Err(BadVocabulary(format!("it has more than {LONGEST} bytes")));
        }
        let vocabulary: Self = serde_json::from_str(text).map_err(|error| BadVocabulary(error.to_string()))?;
        let wrong = |place: String, why: &str| Err(BadVocabulary(format!("{place}: {why}")));
        if vocabulary.version.trim().is_empty() {
            return wrong("version".into(), "give this page a version");
        }
        if !is_iri(&vocabulary.extension) {
            return wrong("extension".into(), "write a whole IRI, e.g. \"urn:school:ext:\"");
        }
        for (kind, words) in &vocabulary.statements {
            let at = |rest: &str| format!("statements.{}.{rest}", kind.as_str());
            if !is_iri(&words.verb.id) {
                return wrong(at("verb.id"), "write a whole IRI, e.g. \"http://activitystrea.ms/join\"");
            }
            if !is_iri(&words.object.kind) {
                return wrong(at("object.type"), "write a whole IRI");
            }
            if words.verb.display.is_empty() {
                return wrong(at("verb.display"), "name the verb in one language at least");
            }
            let mut id = words.object.id.as_str();
            if !id.starts_with("{home}") && !is_iri(id) {
                return wrong(at("object.id"), "begin with {home} or write a whole IRI");
            }
            while let Some((_, rest)) = id.split_once('{') {
                let Some((name, rest)) = rest.split_once('}') else {
                    return wrong(at("object.id"), "a { has no }");
                };
                if !fills(*kind, name) {
                    return wrong(at("object.id"), &format!("an event of this kind has no {{{name}}}"));
                }
                id = rest;
            }
        }
        Ok(vocabulary)
    }

    /// The statement of `event` with this id; `None` when its kind is not sent, or when it has not what the vocabulary
    /// wants (a lesson, say). Equal arguments give equal bytes once serialised.
    pub fn statement(&self, event: &Event, id: &str, school: School<'_>) -> Option<Value> {
        let words = self.statements.get(&event.fact.kind())?;
        let home = school.home_page.replace("{semester}", &calendar::semester(event.at));
        let home = home.trim_end_matches('/');
        let mut object = json!({
            "objectType": "Activity",
            "id": fill(&words.object.id, event, home)?,
            "definition": { "type": words.object.kind },
        });
        if !words.object.name.is_empty() {
            object["definition"]["name"] = json!(words.object.name);
        }
        let mut statement = json!({
            "id": id,
            "actor": {
                "objectType": "Agent",
                "account": { "homePage": home, "name": pseudonym::actor(school.key, &event.who) },
            },
            "verb": { "id": words.verb.id, "display": words.verb.display },
            "object": object,
            "context": { "platform": "classroom-box", "extensions": self.extensions(event, school.key) },
            "timestamp": calendar::utc(event.at),
        });
        if let Some(seconds) = event.fact.seconds() {
            statement["result"] = json!({ "duration": format!("PT{seconds}S") });
        }
        if let Some(lesson) = event.lesson.as_deref().filter(|lesson| is_uuid(lesson)) {
            statement["context"]["registration"] = json!(lesson);
        }
        Some(statement)
    }

    fn extensions(&self, event: &Event, key: &[u8]) -> Map<String, Value> {
        let named = |name: &str, value: String| (format!("{}{name}", self.extension), Value::String(value));
        let who = &event.who;
        [
            Some(named("place", event.place.as_str().to_owned())),
            who.device.as_ref().map(|code| named("device", pseudonym::device(key, code))),
            who.class.map(|class| named("class", pseudonym::class(key, class))),
            event.fact.category().map(|category| named("category", category.to_owned())),
            event.fact.times().map(|times| (format!("{}times", self.extension), Value::from(times))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether every event of this kind can have something to put there; a lesson any may have.
fn fills(kind: Kind, name: &str) -> bool {
    match name {
        "home" | "lesson" => true,
        "platform" => kind == Kind::Used,
        "object" => matches!(kind, Kind::Opened | Kind::Blocked | Kind::Tampered),
        "category" => kind == Kind::Blocked,
        _ => false,
    }
}

fn fill(template: &str, event: &Event, home: &str) -> Option<String> {
    let fact: &Fact = &event.fact;
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        text.push_str(before);
        match name {
            "home" => text.push_str(home),
            "lesson" => escape(event.lesson.as_deref()?, &mut text),
            "platform" => escape(fact.platform()?, &mut text),
            "object" => escape(fact.object()?, &mut text),
            "category" => escape(fact.category()?, &mut text),
            _ => return None,
        }
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// What may stand in the path of an IRI as it is; the rest as percent codes (RFC 3986, 2.1).
fn escape(part: &str, text: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Whether it is absolute: a scheme, a colon and something after it, no blanks.
pub fn is_iri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
            && !text.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"\\^`".contains(c))
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| if [8, 13, 18, 23].contains(&at) { b == b'-' } else { b.is_ascii_hexdigit() })
        // xAPI 1.0.3 wants the variant of RFC 4122.
        && matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b' | b'A' | b'B')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use classroom_protocol::Seat;

    use super::*;
    use crate::usage::{Place, Subject};

    const LESSON: &str = "0199c2a6-7e5e-7c4a-9d0f-3a3c5d6e7f80";
    const SCHOOL: School<'_> = School { key: b"key", home_page: "https://school.example/{semester}" };

    fn event(fact: Fact) -> Event {
        let who = Subject {
            student: Some("1100207".into()),
            device: Some("D-7".into()),
            ..Subject::seat(3, Seat::try_from(7).unwrap())
        };
        Event { at: 1_795_000_000_123, who, place: Place::Home, lesson: Some(LESSON.into()), fact, origin: None }
    }

    fn facts() -> Vec<Fact> {
        let seconds = 60;
        vec![
            Fact::LessonStarted {},
            Fact::LessonEnded { seconds },
            Fact::Joined {},
            Fact::Left { seconds },
            Fact::Shown {},
            Fact::SharedScreen { seconds },
            Fact::Opened { item: "影片 1".into() },
            Fact::Used { platform: "adl".into(), seconds },
            Fact::Active { seconds },
            Fact::Blocked { rule: "R-POL-3".into(), category: Some("game".into()), times: 7 },
            Fact::AttendedLive { seconds },
            Fact::RaisedHand {},
            Fact::Spoke { seconds },
            Fact::ReportedSite {},
            Fact::Tampered { what: "clock".into() },
        ]
    }

    #[test]
    fn a_statement_has_its_shape() {
        let used = event(Fact::Used { platform: "adl".into(), seconds: 60 });
        let statement = Vocabulary::parse(DEFAULT).unwrap().statement(&used, "id-1", SCHOOL).unwrap();
        let expected = json!({
            "id": "id-1",
            "actor": { "objectType": "Agent", "account": {
                "homePage": "https://school.example/115-1", "name": pseudonym::student(b"key", "1100207") } },
            "verb": { "id": "http://activitystrea.ms/access", "display": { "en": "accessed", "zh-TW": "使用" } },
            "object": { "objectType": "Activity", "id": "https://school.example/115-1/platform/adl",
                "definition": { "type": "http://activitystrea.ms/service" } },
            "result": { "duration": "PT60S" },
            "context": { "platform": "classroom-box", "registration": LESSON, "extensions": {
                "urn:classroom-box:ext:place": "home",
                "urn:classroom-box:ext:device": pseudonym::device(b"key", "D-7"),
                "urn:classroom-box:ext:class": pseudonym::class(b"key", 3) } },
            "timestamp": "2026-11-18T11:06:40.123Z",
        });
        assert_eq!(statement, expected);
    }

    #[test]
    fn nobody_is_named_in_any_statement() {
        let vocabulary = Vocabulary::parse(DEFAULT).unwrap();
        let mut sent = 0;
        for fact in facts() {
            let Some(statement) = vocabulary.statement(&event(fact), "id", SCHOOL) else { continue };
            let text = statement.to_string();
            assert!(!text.contains("1100207") && !text.contains("D-7"), "{text}");
            sent += 1;
        }
        assert_eq!(sent, 13, "what a student told or an agent suspects stays at the school");
    }

    #[test]
    fn what_comes_from_outside_stays_in_its_place_of_the_iri() {
        let opened = event(Fact::Opened { item: "../x?y#z 影".into() });
        let statement = Vocabulary::parse(DEFAULT).unwrap().statement(&opened, "id", SCHOOL).unwrap();
        assert_eq!(statement["object"]["id"], "https://school.example/115-1/library/..%2Fx%3Fy%23z%20%E5%BD%B1");
        let outside = Event { lesson: None, ..event(Fact::Joined {}) };
        assert_eq!(Vocabulary::parse(DEFAULT).unwrap().statement(&outside, "id", SCHOOL), None, "no lesson to name");
        let foreign = Event { lesson: Some("7".into()), ..event(Fact::Joined {}) };
        let statement = Vocabulary::parse(DEFAULT).unwrap().statement(&foreign, "id", SCHOOL).unwrap();
        assert_eq!(statement["context"].get("registration"), None, "only a UUID may stand there");
    }

    #[test]
    fn a_wrong_vocabulary_is_told_with_its_place() {
        let change = |from: &str, to: &str| {
            assert!(DEFAULT.contains(from), "{from}");
            Vocabulary::parse(&DEFAULT.replacen(from, to, 1)).unwrap_err().to_string()
        };
        for (from, to, told) in [
            ("\"joined\":", "\"jioned\":", "unknown variant `jioned`"),
            ("\"version\"", "\"versio\"", "unknown field `versio`"),
            ("2026-11", " ", "version: give this page"),
            ("\"http://activitystrea.ms/join\"", "\"join\"", "statements.joined.verb.id: write a whole IRI"),
            ("{home}/library/{object}", "library", "statements.opened.object.id: begin with {home}"),
            ("{home}/library/{object}", "{home}/{platform}", "an event of this kind has no {platform}"),
            ("{home}/library/{object}", "{home}/{object", "a { has no }"),
            ("urn:classroom-box:ext:", "ext", "extension: write a whole IRI"),
            ("{ \"en\": \"joined\", \"zh-TW\": \"加入\" }", "{}", "statements.joined.verb.display"),
        ] {
            let error = change(from, to);
            assert!(error.contains(told), "{to}: {error}");
        }
        assert!(Vocabulary::parse("").is_err() && Vocabulary::parse(&" ".repeat(LONGEST + 1)).is_err());
    }
}
