//! `appliance doctor`: looks at the machine as the hub would use it and says in a sentence each what is good and what
//! is wrong and how to mend it. Changes nothing, and works beside a running hub.

mod checks;
mod holder;

use classroom_protocol::{
    Millis,
    catalogue::{self, Lang},
};
use serde::Serialize;

use crate::config::Config;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Good,
    /// The box works, but something will be missed.
    Warning,
    /// Something does not work.
    Bad,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `port`, `addresses`, `multicast`, `clock`, `disk`, `certificate`, `buffer`, `store`,
    /// `school-key`, `backup`, `rules`, `list`, `names`.
    pub check: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// The sentence's key in the catalogue.
    pub key: &'static str,
    /// What the sentence is filled with.
    pub values: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Told<'a> {
    check: &'a str,
    grade: Grade,
    sentence: String,
    values: serde_json::Map<String, serde_json::Value>,
}

impl Finding {
    fn new<const N: usize>(
        check: &'static str,
        grade: Grade,
        key: &'static str,
        values: [(&'static str, String); N],
    ) -> Self {
        Self { check, grade, key, values: values.into() }
    }

    /// The sentence in a language.
    pub fn sentence(&self, lang: Lang) -> String {
        let values: Vec<_> = self.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        catalogue::fill(lang, self.key, &values)
    }
}

/// Makes all checks. Takes at most a few seconds (multicast waits for its own echo).
pub fn examine(config: &Config, now: Millis) -> Vec<Finding> {
    let mut findings = checks::ports(config);
    findings.extend(checks::addresses(config));
    findings.extend(checks::multicast(config));
    findings.push(checks::name_servers(config));
    findings.push(checks::clock(now));
    findings.extend(checks::disk(config));
    findings.extend(checks::certificate(config, now));
    findings.extend(checks::buffer());
    findings.push(checks::store(config));
    findings.extend(checks::set_aside(config));
    findings.extend(checks::school_key(config));
    findings.extend(checks::backup(config, now));
    findings.extend(checks::rules(config));
    findings
}

/// The findings as lines for people, or as JSON; and whether all is well enough to begin a lesson.
pub fn report(findings: &[Finding], lang: Lang, json: bool) -> (String, bool) {
    let well = findings.iter().all(|finding| finding.grade != Grade::Bad);
    if json {
        let told: Vec<_> = findings
            .iter()
            .map(|finding| Told {
                check: finding.check,
                grade: finding.grade,
                sentence: finding.sentence(lang),
                values: finding.values.iter().map(|(name, value)| ((*name).into(), value.clone().into())).collect(),
            })
            .collect();
        return (serde_json::to_string_pretty(&told).unwrap_or_default(), well);
    }
    let mark = |grade| match grade {
        Grade::Good => "✓",
        Grade::Warning => "!",
        Grade::Bad => "✗",
    };
    let mut lines: Vec<_> =
        findings.iter().map(|finding| format!("{} {}", mark(finding.grade), finding.sentence(lang))).collect();
    lines.push(
        catalogue::text(lang, if well { "console.doctor-verdict-good" } else { "console.doctor-verdict-bad" }).into(),
    );
    (lines.join("\n"), well)
}

#[cfg(test)]
mod tests;
