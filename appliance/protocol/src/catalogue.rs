//! The words for people: one catalogue for the pages (imported by Vite) and the programs.
//!
//! `catalogue/*.json` holds one object a file: key → `{"zh-Hant-TW": …, "en": …}`. Keys begin with the file's name.
//! `{name}` in a text is a place to fill in.

use std::{collections::HashMap, sync::LazyLock};

/// The languages of the box, the first is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lang {
    /// Traditional Chinese as written in Taiwan.
    ZhHantTw,
    /// English.
    En,
}

const FILES: &[&str] = &[
    include_str!("../catalogue/agent.json"),
    include_str!("../catalogue/common.json"),
    include_str!("../catalogue/home.json"),
    include_str!("../catalogue/figures.json"),
    include_str!("../catalogue/join.json"),
    include_str!("../catalogue/month.json"),
    include_str!("../catalogue/library.json"),
    include_str!("../catalogue/panel.json"),
    include_str!("../catalogue/policy.json"),
    include_str!("../catalogue/problem.json"),
    include_str!("../catalogue/school.json"),
    include_str!("../catalogue/report.json"),
    include_str!("../catalogue/teach.json"),
    include_str!("../catalogue/console.json"),
];

#[derive(serde::Deserialize)]
struct Entry {
    #[serde(rename = "zh-Hant-TW")]
    zh: String,
    en: String,
}

static CATALOGUE: LazyLock<HashMap<String, Entry>> = LazyLock::new(|| {
    FILES.iter().filter_map(|text| serde_json::from_str::<HashMap<String, Entry>>(text).ok()).flatten().collect()
});

/// The text of `key`, or an empty text when the catalogue has no such key (a test walks all keys).
pub fn text(lang: Lang, key: &str) -> &'static str {
    CATALOGUE.get(key).map_or("", |entry| match lang {
        Lang::ZhHantTw => entry.zh.as_str(),
        Lang::En => entry.en.as_str(),
    })
}

/// The text of `key` with each `{name}` replaced.
pub fn fill(lang: Lang, key: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text(lang, key).to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_file_is_read_and_every_text_is_there_in_both_languages() {
        let mut count = 0;
        for text in FILES {
            let entries: HashMap<String, Entry> = serde_json::from_str(text).unwrap();
            for (key, entry) in &entries {
                assert!(!entry.zh.is_empty() && !entry.en.is_empty(), "{key} lacks a language");
            }
            count += entries.len();
        }
        assert_eq!(CATALOGUE.len(), count, "a key stands in two files");
    }
}
