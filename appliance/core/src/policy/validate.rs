//! What a document that was read may still get wrong: rules that contradict each other, that never apply, that name
//! what is not there, or whose words would not be true.

use std::{collections::BTreeMap, fmt};

use classroom_protocol::{
    catalogue::{Lang, fill, text},
    policy::{Changer, Document, Effect, Lifter, Names, Rule, Subject, When},
};

use super::{Marks, hosts, hosts::BadHost};

/// The longest name of a bundle, a category or a system, of the document itself and of a clause, in characters.
const NAME: usize = 60;
/// The longest name of a program, in characters.
const PROGRAM: usize = 200;

/// One contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Where: `rules[3].about`.
    pub path: String,
    key: &'static str,
    values: Values,
    host: Option<BadHost>,
}

/// What a sentence of the catalogue is filled with.
type Values = Vec<(&'static str, String)>;

impl Contradiction {
    /// What is wrong and how to mend it.
    pub fn words(&self, lang: Lang) -> String {
        let mut values: Vec<_> = self.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        values.extend(self.host.map(|host| ("why", text(lang, host.key()))));
        fill(lang, self.key, &values)
    }

    /// The whole sentence, with its place, for people.
    pub fn told(&self, lang: Lang) -> String {
        format!("{}: {}", self.path, self.words(lang))
    }
}

/// In English, for logs.
impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(Lang::En))
    }
}

impl std::error::Error for Contradiction {}

/// Everything in the document that contradicts itself, in its order; none when it is good.
pub fn validate(document: &Document) -> Vec<Contradiction> {
    let mut found = Found(vec![]);
    name("revision", &document.revision, &mut found);
    names(document, &mut found);
    sets(document, &mut found);
    if document.rules.is_empty() {
        found.add("rules", "policy.doc.no-rules", []);
    } else if !document.rules.iter().any(|rule| rule.about == Subject::OwnBox && rule.effect == Effect::Allow) {
        found.add("rules", "policy.doc.no-own-box", []);
    }
    for (at, rule) in document.rules.iter().enumerate() {
        alone(document, at, rule, &mut found);
        let earlier = document.rules.iter().take(at).enumerate().find(|(_, earlier)| hides(earlier, rule));
        if let Some((before, earlier)) = earlier {
            let opposite = is_allow(earlier.effect) != is_allow(rule.effect);
            let key = if opposite { "policy.doc.contradicts" } else { "policy.doc.never" };
            let values = [("at", before.to_string()), ("rule", earlier.id.to_string())];
            found.add(format!("rules[{at}]"), key, values);
        }
    }
    found.0
}

struct Found(Vec<Contradiction>);

impl Found {
    fn add<const N: usize>(&mut self, path: impl Into<String>, key: &'static str, values: [(&'static str, String); N]) {
        self.0.push(Contradiction { path: path.into(), key, values: values.into(), host: None });
    }

    fn add_host(&mut self, path: impl Into<String>, name: &str, why: BadHost) {
        let values = vec![("name", name.to_owned())];
        self.0.push(Contradiction { path: path.into(), key: "policy.doc.bad-host", values, host: Some(why) });
    }
}

/// Something that people read on pages.
fn name(path: &str, text: &str, found: &mut Found) {
    let good = text.trim() == text && (1..=NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if !good {
        found.add(path, "policy.doc.name", [("most", NAME.to_string())]);
    }
}

fn in_both(path: &str, names: &Names, found: &mut Found) {
    name(&format!("{path}.name.zh-Hant-TW"), &names.zh, found);
    name(&format!("{path}.name.en"), &names.en, found);
}

/// Ids, names of hosts and programs, and hosts that would be allowed and refused.
fn names(document: &Document, found: &mut Found) {
    let mut systems: BTreeMap<&str, String> = BTreeMap::new();
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    let mut host = |path: String, text: &str, found: &mut Found| match hosts::host_name(text) {
        Err(reason) => found.add_host(path, text, reason),
        Ok(name) => {
            if name != text {
                found.add(&path, "policy.doc.write", [("name", text.into()), ("right", name.clone())]);
            }
            if let Some(before) = homes.insert(name, path.clone()) {
                found.add(path, "policy.doc.twice", [("name", text.into()), ("before", before)]);
            }
        }
    };
    let app = |path: String, text: &str, found: &mut Found| {
        if text.trim() != text || text.is_empty() || text.chars().count() > PROGRAM {
            found.add(path, "policy.doc.program", [("most", PROGRAM.to_string())]);
        } else if text.to_lowercase() != text {
            found.add(path, "policy.doc.lower", [("name", text.into())]);
        }
    };
    for (id, bundle) in &document.bundles {
        check_id(&format!("bundles.{id}"), id, found);
        in_both(&format!("bundles.{id}"), &bundle.name, found);
        for (n, system) in bundle.systems.iter().enumerate() {
            let path = format!("bundles.{id}.systems[{n}]");
            check_id(&format!("{path}.id"), &system.id, found);
            in_both(&path, &system.name, found);
            if let Some(before) = systems.insert(&system.id, path.clone()) {
                found.add(format!("{path}.id"), "policy.doc.twice", [("name", system.id.clone()), ("before", before)]);
            }
            for (k, name) in system.hosts.iter().enumerate() {
                host(format!("{path}.hosts[{k}]"), name, found);
            }
            for (k, name) in system.apps.iter().enumerate() {
                app(format!("{path}.apps[{k}]"), name, found);
            }
        }
    }
    for (id, category) in &document.categories {
        check_id(&format!("categories.{id}"), id, found);
        in_both(&format!("categories.{id}"), &category.name, found);
        for (k, name) in category.hosts.iter().enumerate() {
            host(format!("categories.{id}.hosts[{k}]"), name, found);
        }
        for (k, name) in category.apps.iter().enumerate() {
            app(format!("categories.{id}.apps[{k}]"), name, found);
        }
    }
}

fn check_id(path: &str, id: &str, found: &mut Found) {
    let good =
        (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !good {
        found.add(path, "policy.doc.id", [("id", id.into())]);
    }
}

/// As many bundles and categories as can be, one name for one thing, each used by a rule.
fn sets(document: &Document, found: &mut Found) {
    let all = document.bundles.len() + document.categories.len();
    if all > Marks::MOST {
        let counts = [("all", all.to_string()), ("most", Marks::MOST.to_string())];
        found.add("categories", "policy.doc.too-many", counts);
    }
    for id in document.categories.keys().filter(|id| document.bundles.contains_key(*id)) {
        found.add(format!("categories.{id}"), "policy.doc.same-id", []);
    }
    let used = |subject: Subject| document.rules.iter().any(|rule| rule.about == subject);
    for id in document.bundles.keys().filter(|id| !used(Subject::Bundle((*id).clone()))) {
        found.add(format!("bundles.{id}"), "policy.doc.unused", []);
    }
    for id in document.categories.keys().filter(|id| !used(Subject::Category((*id).clone()))) {
        found.add(format!("categories.{id}"), "policy.doc.unused", []);
    }
}

/// What is wrong with a rule by itself.
fn alone(document: &Document, at: usize, rule: &Rule, found: &mut Found) {
    let path = |field: &str| format!("rules[{at}].{field}");
    match &rule.about {
        Subject::Bundle(id) if !document.bundles.contains_key(id) => {
            found.add(path("about.bundle"), "policy.doc.no-bundle", [("id", id.clone())]);
        }
        Subject::Category(id) if !document.categories.contains_key(id) => {
            found.add(path("about.category"), "policy.doc.no-category", [("id", id.clone())]);
        }
        Subject::Anything if is_allow(rule.effect) => {
            found.add(path("effect"), "policy.doc.allows-all", []);
        }
        _ => {}
    }
    if rule.clause.trim().is_empty() || rule.clause.chars().count() > NAME {
        found.add(path("clause"), "policy.doc.clause", [("most", NAME.to_string())]);
    }
    if rule.when.attention == Some(true) && rule.when.lesson == Some(false) {
        found.add(path("when"), "policy.doc.no-such-time", []);
    }
    if rule.when.outside_guardian_hours {
        if rule.effect != Effect::Refuse {
            found.add(path("effect"), "policy.doc.guardian-effect", []);
        }
        if rule.changer != Changer::Guardian {
            found.add(path("changer"), "policy.doc.guardian-changer", []);
        }
        if rule.lifted_by.is_some() {
            found.add(path("lifted-by"), "policy.doc.guardian-lifter", []);
        }
    }
    match (rule.lifted_by, rule.effect, rule.changer) {
        (Some(_), effect, _) if effect != Effect::Refuse => {
            found.add(path("lifted-by"), "policy.doc.lifted-refusal", []);
        }
        (Some(Lifter::Teacher), _, changer) if changer != Changer::Teacher => {
            found.add(path("changer"), "policy.doc.teacher-lifts", []);
        }
        (Some(Lifter::School), _, changer) if changer != Changer::School => {
            found.add(path("changer"), "policy.doc.school-lifts", []);
        }
        _ => {}
    }
}

fn is_allow(effect: Effect) -> bool {
    matches!(effect, Effect::Allow | Effect::AllowAndRecord)
}

/// Whether `earlier` decides whatever `later` could decide.
fn hides(earlier: &Rule, later: &Rule) -> bool {
    let decides = |rule: &Rule| is_allow(rule.effect) || rule.effect == Effect::Refuse;
    // A refusal that can be lifted leaves something to the rules after it.
    decides(earlier)
        && decides(later)
        && earlier.lifted_by.is_none()
        && covers_subject(&earlier.about, &later.about)
        && covers_when(&earlier.when, &later.when)
}

fn covers_subject(earlier: &Subject, later: &Subject) -> bool {
    match (earlier, later) {
        (Subject::Anything, _) => true,
        // A bundle may hold hosts and programs, so a rule on all hosts leaves its programs.
        (earlier, later) => earlier == later,
    }
}

fn covers_when(earlier: &When, later: &When) -> bool {
    fn one<T: PartialEq>(earlier: &Option<T>, later: &Option<T>) -> bool {
        earlier.is_none() || earlier == later
    }
    fn some<T: PartialEq>(earlier: &[T], later: &[T]) -> bool {
        earlier.is_empty() || !later.is_empty() && later.iter().all(|value| earlier.contains(value))
    }
    one(&earlier.place, &later.place)
        && one(&earlier.lesson, &later.lesson)
        && one(&earlier.attention, &later.attention)
        && some(&earlier.device, &later.device)
        && some(&earlier.consent, &later.consent)
        && some(&earlier.link, &later.link)
        && some(&earlier.trouble, &later.trouble)
        && (!earlier.outside_guardian_hours || later.outside_guardian_hours)
}
