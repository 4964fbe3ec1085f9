//! Words for people stand in the catalogue, in both languages, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use super::{none, tree};

/// Each key with its file and its texts (zh-Hant-TW, en).
fn catalogue() -> BTreeMap<String, (String, [String; 2])> {
    let mut keys = BTreeMap::new();
    for file in tree::files().iter().filter(|file| file.path.starts_with("appliance/protocol/catalogue/")) {
        let entries: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(&file.text).expect(&file.path);
        for (key, texts) in entries {
            let texts = ["zh-Hant-TW", "en"].map(|lang| texts.get(lang).cloned().unwrap_or_default());
            let before = keys.insert(key.clone(), (file.path.clone(), texts));
            assert!(before.is_none(), "{key} stands in two files");
        }
    }
    keys
}

fn stem(path: &str) -> &str {
    path.rsplit('/').next().and_then(|name| name.strip_suffix(".json")).unwrap_or(path)
}

/// The sources in which keys are used.
fn users() -> Vec<tree::File> {
    let mut files = tree::files();
    files.retain(|file| {
        let page =
            file.path.starts_with("appliance/ui/") && [".ts", ".svelte"].iter().any(|end| file.path.ends_with(end));
        (page && !file.path.ends_with(".test.ts")) || file.is_shipped_rust()
    });
    files
}

#[test]
fn every_key_that_is_used_exists_and_every_key_is_used() {
    let keys = catalogue();
    let stems: BTreeSet<&str> = keys.values().map(|(path, _)| stem(path)).collect();
    let files = users();
    let (mut whole, mut begun, mut unknown) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for file in &files {
        for (literal, cut) in tree::literals(&file.text) {
            let Some((first, rest)) = literal.split_once('.') else { continue };
            let key = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
            let is_file =
                ["html", "json", "ts", "js", "css", "svg", "svelte", "rs", "local", "toml", "key"].contains(&rest);
            if !stems.contains(first) || !key || is_file {
                continue;
            }
            if cut {
                begun.insert(literal);
            } else if !keys.contains_key(literal) {
                unknown.push(format!("{}: {literal}", file.path));
            } else {
                whole.insert(literal);
            }
        }
    }
    none("keys that are used but not in the catalogue", unknown);
    none(
        "keys of the catalogue that nothing uses",
        keys.keys()
            .filter(|key| !whole.contains(key.as_str()) && !begun.iter().any(|begin| key.starts_with(begin)))
            .cloned(),
    );
}

#[test]
fn keys_begin_with_their_file_and_fill_the_same_places_in_both_languages() {
    none(
        "wrong entries of the catalogue",
        catalogue().into_iter().filter_map(|(key, (path, [zh, en]))| {
            let starts = key.split('.').next() == Some(stem(&path));
            let both = !zh.trim().is_empty() && !en.trim().is_empty();
            (!starts || !both || places(&zh) != places(&en)).then(|| format!("{path}: {key}"))
        }),
    );
}

/// The `{name}`s of a text.
fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

#[test]
fn every_problem_has_its_words() {
    let keys = catalogue();
    let source = tree::read("appliance/protocol/src/problem.rs").expect("problem.rs");
    none(
        "problem codes without words in the catalogue",
        source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \""))
            .filter_map(|(_, rest)| rest.split('"').next())
            .filter(|code| !keys.contains_key(&format!("problem.{code}")))
            .map(str::to_owned),
    );
}

/// Characters of Chinese text and its punctuation (a wide blank is no word).
fn chinese(c: char) -> bool {
    matches!(c, '\u{3001}'..='\u{303f}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}')
}

#[test]
fn words_for_people_stand_in_the_catalogue() {
    // The invented roster of the demo is names; what people paste as a roster is read, not shown.
    let exempt = ["appliance/src/store/demo.rs", "appliance/ui/src/lib/roster.ts"];
    none(
        "Chinese text outside appliance/protocol/catalogue: make it a key",
        tree::files().iter().filter(|file| !exempt.contains(&file.path.as_str())).flat_map(|file| {
            let page = file.path.starts_with("appliance/ui/")
                && [".ts", ".svelte", ".css"].iter().any(|end| file.path.ends_with(end))
                && !file.path.ends_with(".test.ts");
            if page {
                let lines = file.text.lines().enumerate().filter(|(_, line)| line.contains(chinese));
                lines.map(|(n, line)| format!("{}:{}: {}", file.path, n + 1, line.trim())).collect::<Vec<_>>()
            } else if file.is_shipped_rust() {
                file.lines_with(|line| line.contains(chinese)).collect()
            } else {
                Vec::new()
            }
        }),
    );
}

#[test]
fn traditional_characters_as_used_in_taiwan() {
    // Characters that only Simplified texts have, and words of the other side of the strait.
    let simplified = "们这个说设认让请对学习点击网络视频录开关闭连应听课师选择输错误码号时间发现实无线画语动态";
    let words = ["視頻", "軟件", "網絡", "信息", "默認", "鏈接", "登錄", "界面", "質量", "屏幕共享"];
    none(
        "not the Chinese of Taiwan",
        catalogue().into_iter().filter_map(|(key, (_, [zh, _]))| {
            let character = zh.chars().find(|c| simplified.contains(*c)).map(String::from);
            let word = words.iter().find(|word| zh.contains(**word)).map(|word| (*word).to_owned());
            character.or(word).map(|found| format!("{key}: {found}"))
        }),
    );
}
