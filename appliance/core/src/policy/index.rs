//! The document made ready for deciding: names sorted, bundles and categories as bits.

use std::collections::{BTreeMap, BTreeSet};

use classroom_protocol::policy::{Document, RuleId, Subject, System};

use super::{Contradiction, hosts, validate};

/// Bundles and categories that a name belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marks(u64);

impl Marks {
    /// As many bundles and categories as a document may have.
    pub const MOST: usize = 64;

    /// In none.
    pub const NONE: Self = Self(0);

    /// In all of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of `other` is in it.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// In nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn bit(at: usize) -> Self {
        Self(1_u64.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or(0))
    }
}

/// A document that was found free of contradictions, ready to decide with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    document: Document,
    bits: BTreeMap<String, Marks>,
    hosts: BTreeMap<Box<str>, Marks>,
    apps: BTreeMap<Box<str>, Marks>,
    silent: Marks,
    own: BTreeSet<Box<str>>,
    /// What each rule is about, as bits; none for rules about something else.
    pub(super) subjects: Vec<Option<Marks>>,
}

impl Policy {
    /// Makes a document ready.
    ///
    /// # Errors
    /// Everything that [`validate`] finds.
    pub fn new(document: Document) -> Result<Self, Vec<Contradiction>> {
        let found = validate(&document);
        if !found.is_empty() {
            return Err(found);
        }
        let ids = document.bundles.keys().chain(document.categories.keys());
        let bits: BTreeMap<String, Marks> = ids.enumerate().map(|(at, id)| (id.clone(), Marks::bit(at))).collect();
        let mark = |id: &str| bits.get(id).copied().unwrap_or_default();
        let (mut hosts, mut apps): (BTreeMap<Box<str>, Marks>, BTreeMap<Box<str>, Marks>) = Default::default();
        let mut add = |id: &str, of: &[String], programs: &[String]| {
            // The names were checked by `validate`.
            for host in of.iter().filter_map(|host| hosts::host_name(host).ok()) {
                let marks = hosts.entry(host.into()).or_default();
                *marks = marks.with(mark(id));
            }
            for program in programs {
                let marks = apps.entry(program.to_lowercase().into()).or_default();
                *marks = marks.with(mark(id));
            }
        };
        for (id, bundle) in &document.bundles {
            bundle.systems.iter().for_each(|system| add(id, &system.hosts, &system.apps));
        }
        for (id, category) in &document.categories {
            add(id, &category.hosts, &category.apps);
        }
        let silent = document.categories.iter().filter(|(_, category)| category.silent);
        let silent = silent.fold(Marks::NONE, |all, (id, _)| all.with(mark(id)));
        let subject = |subject: &Subject| match subject {
            Subject::Bundle(id) | Subject::Category(id) => Some(mark(id)),
            _ => None,
        };
        let subjects = document.rules.iter().map(|rule| subject(&rule.about)).collect();
        Ok(Self { document, bits, hosts, apps, silent, own: BTreeSet::new(), subjects })
    }

    /// The same with the box's own names: they belong to no bundle and are always there.
    #[must_use]
    pub fn with_own<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.own = names.into_iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase().into()).collect();
        self
    }

    /// The document.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The clause of 附件1 that a rule follows; empty for a rule that is not in the document.
    pub fn clause(&self, id: &RuleId) -> &str {
        self.document.rules.iter().find(|rule| rule.id == *id).map_or("", |rule| &rule.clause)
    }

    /// The mark of a bundle or a category; none has the unknown one.
    pub fn set(&self, id: &str) -> Marks {
        self.bits.get(id).copied().unwrap_or_default()
    }

    /// The mark of a category, for names that its lists hold. None when there is no such category.
    pub fn category(&self, id: &str) -> Option<Marks> {
        self.document.categories.contains_key(id).then(|| self.bits.get(id).copied())?
    }

    /// Whether a refused name of these marks is answered with "no such name" (see `Category::silent`).
    pub fn is_silent(&self, marks: Marks) -> bool {
        self.silent.meets(marks)
    }

    /// Whether it is a name of the box itself.
    pub fn is_own(&self, name: &str) -> bool {
        self.own.contains(name)
    }

    /// The bundles and categories of a host in lower case, by the names in the document.
    pub fn marks_of_host(&self, name: &str) -> Marks {
        let marks = hosts::suffixes(name).filter_map(|suffix| self.hosts.get(suffix));
        marks.fold(Marks::NONE, |all, marks| all.with(*marks))
    }

    /// The bundles and categories of a program in lower case.
    pub fn marks_of_app(&self, name: &str) -> Marks {
        self.apps.get(name).copied().unwrap_or_default()
    }

    /// The system that a host belongs to, with its bundle: what usage counts the hours of (R-USE-5). Of several the
    /// one with the longest name.
    pub fn system_of_host(&self, name: &str) -> Option<(&str, &System)> {
        hosts::suffixes(name).find_map(|suffix| {
            self.hosts.get(suffix)?;
            self.document.bundles.iter().find_map(|(id, bundle)| {
                let system = bundle.systems.iter().find(|system| system.hosts.iter().any(|host| host == suffix))?;
                Some((id.as_str(), system))
            })
        })
    }
}
