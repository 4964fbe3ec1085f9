//! What a document that was read may still get wrong: rules that contradict each other, that never apply, that name
//! what is not there, or whose words would not be true.

use std::{collections::BTreeMap, fmt};

use classroom_protocol::policy::{Changer, Document, Effect, Lifter, Rule, Subject, When};

use super::{Marks, hosts};

/// One contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Where: `rules[3].about`.
    pub path: String,
    /// What is wrong and how to mend it.
    pub reason: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl std::error::Error for Contradiction {}

/// Everything in the document that contradicts itself, in its order; none when it is good.
pub fn validate(document: &Document) -> Vec<Contradiction> {
    let mut found = Found(vec![]);
    names(document, &mut found);
    sets(document, &mut found);
    if document.rules.is_empty() {
        found.add("rules", "there is no rule: everything would be refused, also the box's own pages");
    } else if !document.rules.iter().any(|rule| rule.about == Subject::OwnBox && rule.effect == Effect::Allow) {
        found.add("rules", "no rule allows the box's own pages; add one about \"own-box\" before all others");
    }
    for (at, rule) in document.rules.iter().enumerate() {
        alone(document, at, rule, &mut found);
        let earlier = document.rules.iter().take(at).enumerate().find(|(_, earlier)| hides(earlier, rule));
        if let Some((before, earlier)) = earlier {
            let opposite = is_allow(earlier.effect) != is_allow(rule.effect);
            let reason = if opposite {
                format!(
                    "contradicts rules[{before}] ({}), which decides the same situation the other way; keep one of them",
                    earlier.id
                )
            } else {
                format!("never applies: rules[{before}] ({}) decides all its situations before it", earlier.id)
            };
            found.add(format!("rules[{at}]"), reason);
        }
    }
    found.0
}

struct Found(Vec<Contradiction>);

impl Found {
    fn add(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Contradiction { path: path.into(), reason: reason.into() });
    }
}

/// Ids, names of hosts and programs, and hosts that would be allowed and refused.
fn names(document: &Document, found: &mut Found) {
    let mut systems: BTreeMap<&str, String> = BTreeMap::new();
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    let mut host = |path: String, text: &str, found: &mut Found| match hosts::host_name(text) {
        Err(reason) => found.add(path, format!("\"{text}\": {reason}")),
        Ok(name) => {
            if name != text {
                found.add(&path, format!("\"{text}\": write \"{name}\""));
            }
            if let Some(before) = homes.insert(name, path.clone()) {
                found.add(path, format!("\"{text}\" stands at {before} already; one name, one place"));
            }
        }
    };
    let app = |path: String, text: &str, found: &mut Found| {
        if text.trim() != text || text.is_empty() || text.chars().count() > 200 {
            found.add(path, "the name of a program has 1 to 200 characters and no blanks around it");
        } else if text.to_lowercase() != text {
            found.add(path, format!("\"{text}\": write it in lower case"));
        }
    };
    for (id, bundle) in &document.bundles {
        check_id(&format!("bundles.{id}"), id, found);
        for (n, system) in bundle.systems.iter().enumerate() {
            let path = format!("bundles.{id}.systems[{n}]");
            check_id(&format!("{path}.id"), &system.id, found);
            if let Some(before) = systems.insert(&system.id, path.clone()) {
                found.add(format!("{path}.id"), format!("\"{}\" stands at {before} already", system.id));
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
        found.add(path, format!("\"{id}\": an id is 1 to 32 lower-case letters, digits and hyphens"));
    }
}

/// As many bundles and categories as can be, one name for one thing, each used by a rule.
fn sets(document: &Document, found: &mut Found) {
    let all = document.bundles.len() + document.categories.len();
    if all > Marks::MOST {
        found.add("categories", format!("{all} bundles and categories are too many; {} can be", Marks::MOST));
    }
    for id in document.categories.keys().filter(|id| document.bundles.contains_key(*id)) {
        found.add(format!("categories.{id}"), "a bundle has the same id; rename one of them");
    }
    let used = |subject: Subject| document.rules.iter().any(|rule| rule.about == subject);
    for id in document.bundles.keys().filter(|id| !used(Subject::Bundle((*id).clone()))) {
        found.add(format!("bundles.{id}"), "no rule is about it, so it has no effect; add a rule or take it out");
    }
    for id in document.categories.keys().filter(|id| !used(Subject::Category((*id).clone()))) {
        found.add(format!("categories.{id}"), "no rule is about it, so it has no effect; add a rule or take it out");
    }
}

/// What is wrong with a rule by itself.
fn alone(document: &Document, at: usize, rule: &Rule, found: &mut Found) {
    let path = |field: &str| format!("rules[{at}].{field}");
    match &rule.about {
        Subject::Bundle(id) if !document.bundles.contains_key(id) => {
            found.add(path("about.bundle"), format!("there is no bundle \"{id}\""));
        }
        Subject::Category(id) if !document.categories.contains_key(id) => {
            found.add(path("about.category"), format!("there is no category \"{id}\""));
        }
        Subject::Anything if is_allow(rule.effect) => {
            found.add(path("effect"), "a rule that allows anything leaves nothing to refuse; name what it is about");
        }
        _ => {}
    }
    if rule.clause.trim().is_empty() || rule.clause.chars().count() > 60 {
        found.add(path("clause"), "name the clause that the rule follows, in 1 to 60 characters");
    }
    if rule.when.attention == Some(true) && rule.when.lesson == Some(false) {
        found.add(path("when"), "without a lesson nobody is asked to look up: this situation never is");
    }
    if rule.when.outside_guardian_hours {
        if rule.effect != Effect::Refuse {
            found.add(path("effect"), "a guardian's hours only tighten (R-POL-12): the effect must be \"refuse\"");
        }
        if rule.changer != Changer::Guardian {
            found.add(path("changer"), "only the guardian can change the guardian's hours: write \"guardian\"");
        }
        if rule.lifted_by.is_some() {
            found.add(path("lifted-by"), "nobody but the guardian lifts the guardian's hours (R-POL-12)");
        }
    }
    match (rule.lifted_by, rule.effect, rule.changer) {
        (Some(_), effect, _) if effect != Effect::Refuse => {
            found.add(path("lifted-by"), "only a refusal can be lifted");
        }
        (Some(Lifter::Teacher), _, changer) if changer != Changer::Teacher => {
            found.add(path("changer"), "a teacher lifts this rule, so people must be told \"teacher\"");
        }
        (Some(Lifter::School), _, changer) if changer != Changer::School => {
            found.add(path("changer"), "the school lifts this rule, so people must be told \"school\"");
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
