//! The school's use rules and lists from a folder that is not the box's own: the card's `policy/`, or one that IT keeps
//! (`[policy] from`). What is good in it takes its place in the data folder, where hub and resolver read; what is wrong is
//! told, and what counted before stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use classroom_protocol::{
    catalogue::{Lang, text},
    policy::Document,
};

use super::write;
use crate::{
    dns::{
        lists::{self, Lists},
        names::Key,
    },
    policy,
};

/// The folder's name on the card, and in what comes of the card.
pub const FOLDER: &str = "policy";
/// The use rules.
const DOCUMENT: &str = "document.json";
/// The folder of the lists.
const LISTS: &str = "lists";

/// What a folder has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// The use rules, good.
    document: Option<PathBuf>,
    /// All lists, good. None: there is no folder of lists, or one of them is wrong.
    lists: Option<Vec<PathBuf>>,
    /// What is wrong, for people.
    wrong: Vec<String>,
}

impl Found {
    fn nothing(&self) -> bool {
        self.document.is_none() && self.lists.is_none()
    }

    /// Puts what is good into another such folder. Files that are the same already are not touched, so that nobody reads
    /// them anew; lists that are not among these go.
    fn put(&self, into: &Path) -> io::Result<()> {
        fs::create_dir_all(into.join(LISTS))?;
        if let Some(document) = &self.document {
            copy(document, &into.join(DOCUMENT))?;
        }
        let Some(lists) = &self.lists else { return Ok(()) };
        for list in lists {
            copy(list, &into.join(LISTS).join(list.file_name().unwrap_or_default()))?;
        }
        for old in lists::look(&into.join(LISTS)) {
            if lists.iter().all(|list| list.file_name() != Some(old.file.as_ref())) {
                fs::remove_file(into.join(LISTS).join(&old.file))?;
            }
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == bytes) { Ok(()) } else { write(to, &bytes) }
}

/// Looks at a folder by the same checks by which hub and resolver take its files. `own` are the rules that count when the
/// folder has none; without them a list may be of any category.
fn look(folder: &Path, own: Option<&Document>, lang: Lang) -> Found {
    let mut found = Found::default();
    let document = folder.join(DOCUMENT);
    let mut counts = own.cloned();
    if document.exists() {
        match policy::examine(Some(&document), lang) {
            Ok((_, true)) => {
                counts = read(&document);
                found.document = Some(document);
            }
            Ok((reason, false)) => found.wrong.push(reason.replace('\n', "; ")),
            Err(error) => found.wrong.push(format!("{error:#}")),
        }
    }
    if !folder.join(LISTS).is_dir() {
        return found;
    }
    let wrong = match Key::random() {
        Ok(key) => {
            let known = |id: &str| counts.as_ref().is_none_or(|rules| rules.categories.contains_key(id));
            let read = Lists::load(key, &folder.join(LISTS), &folder.join("none"), &Lists::none(key)).told(known);
            let faults = read.into_iter().filter_map(|list| Some((list.file, list.fault?)));
            faults.map(|(file, fault)| format!("{LISTS}/{file}: {}", text(lang, fault.key()))).collect()
        }
        Err(error) => vec![error.to_string()],
    };
    if wrong.is_empty() {
        let files = lists::look(&folder.join(LISTS));
        found.lists = Some(files.into_iter().map(|one| folder.join(LISTS).join(one.file)).collect());
    }
    found.wrong.extend(wrong);
    found
}

/// Rules that are good, if they can be read.
fn read(document: &Path) -> Option<Document> {
    Document::parse(&fs::read_to_string(document).ok()?).ok()
}

/// Brings what is good in the card's folder to where the hub can read it. Says where that is, if there is anything, and
/// what is wrong.
///
/// # Errors
/// When `into` can't be written.
pub(super) fn bring(card: &Path, into: &Path, lang: Lang) -> io::Result<(Option<PathBuf>, Vec<String>)> {
    let into = into.join(FOLDER);
    // What an earlier card had is no more.
    match fs::remove_dir_all(&into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let found = look(&card.join(FOLDER), None, lang);
    if found.nothing() {
        return Ok((None, found.wrong));
    }
    found.put(&into)?;
    if found.lists.is_none() {
        // Without this folder the box keeps its lists.
        fs::remove_dir(into.join(LISTS))?;
    }
    Ok((Some(into), found.wrong))
}

/// Takes what is good in `from` into the box's own folder; what is not there or wrong leaves what the box has. Says what is
/// wrong.
///
/// # Errors
/// When the box's folder can't be written.
pub fn take(from: &Path, folder: &Path, lang: Lang) -> io::Result<Vec<String>> {
    let own = read(&folder.join(DOCUMENT)).or_else(|| Document::standard().ok());
    let found = look(from, own.as_ref(), lang);
    for wrong in &found.wrong {
        tracing::error!(wrong, "[policy] from: not used");
    }
    if !found.nothing() {
        found.put(folder)?;
    }
    Ok(found.wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// A card, what comes of it, and the box's own folder.
    struct Place {
        all: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let all = tempfile::tempdir().unwrap();
            for folder in ["card", "into", "data/policy/lists"] {
                fs::create_dir_all(all.path().join(folder)).unwrap();
            }
            Self { all }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.all.path().join(name)
        }

        fn put(&self, name: &str, text: &str) {
            let path = self.at(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn data(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.at("data/policy").join(name)).ok()
        }

        /// A start: the card is laid over, then the hub takes what came of it.
        fn starts(&self) -> String {
            let (brought, mut wrong) = bring(&self.at("card"), &self.at("into"), Lang::En).unwrap();
            if let Some(from) = brought {
                assert_eq!(from, self.at("into/policy"));
                wrong.extend(take(&from, &self.at("data/policy"), Lang::En).unwrap());
            }
            wrong.join(" | ")
        }
    }

    fn own_rules(revision: &str) -> String {
        let standard = Document::standard().unwrap();
        Document { revision: revision.into(), ..standard }.to_json().unwrap()
    }

    #[test]
    fn rules_and_lists_of_the_card_count_from_the_next_start_on() {
        let of = Place::new();
        of.put("card/policy/document.json", &own_rules("own-1"));
        of.put("card/policy/lists/games.hosts", "0.0.0.0 krunker.io\n");
        assert_eq!(of.starts(), "");
        assert_eq!(of.data("document.json"), Some(own_rules("own-1")));
        assert_eq!(of.data("lists/games.hosts").unwrap(), "0.0.0.0 krunker.io\n");
        // Another card: its lists are all lists.
        of.put("card/policy/document.json", &own_rules("own-2"));
        fs::remove_file(of.at("card/policy/lists/games.hosts")).unwrap();
        of.put("card/policy/lists/mail.domains", "video.example\n");
        of.put("card/policy/lists/._mail.domains", "what some computers leave on a card");
        assert_eq!(of.starts(), "");
        assert_eq!(of.data("document.json"), Some(own_rules("own-2")));
        assert_eq!((of.data("lists/games.hosts"), of.data("lists/._mail.domains")), (None, None));
        assert!(of.data("lists/mail.domains").is_some());
    }

    #[test]
    fn what_is_not_on_the_card_stays_as_it_is() {
        let of = Place::new();
        of.put("data/policy/document.json", &own_rules("by hand"));
        of.put("data/policy/lists/games.hosts", "0.0.0.0 krunker.io\n");
        assert_eq!(of.starts(), "");
        of.put("card/policy/lists/mail.domains", "video.example\n");
        assert_eq!(of.starts(), "");
        assert_eq!(of.data("document.json"), Some(own_rules("by hand")));
        assert_eq!(of.data("lists/games.hosts"), None, "the card's lists are all lists");
        fs::remove_dir_all(of.at("card/policy/lists")).unwrap();
        of.put("card/policy/document.json", &own_rules("by card"));
        assert_eq!(of.starts(), "");
        assert_eq!(of.data("document.json"), Some(own_rules("by card")));
        assert!(of.data("lists/mail.domains").is_some());
        fs::remove_dir_all(of.at("card/policy")).unwrap();
        assert_eq!(of.starts(), "");
        assert_eq!(of.data("document.json"), Some(own_rules("by card")), "a card without rules takes none away");
    }

    #[test]
    fn what_is_wrong_is_told_and_what_counted_before_stays() {
        let of = Place::new();
        of.put("data/policy/document.json", &own_rules("good"));
        of.put("data/policy/lists/games.hosts", "0.0.0.0 krunker.io\n");
        for (file, content, says) in [
            ("document.json", "{\"schema\": 1", "document.json: "),
            ("document.json", &own_rules("").replace("\"rules\"", "\"ruls\""), "document.json: "),
            ("lists/games.hosts", "<html>the list's server is being mended</html>\n", "lists/games.hosts: "),
            ("lists/games.csv", "krunker.io\n", "lists/games.csv: "),
            ("lists/games.hosts", "", "lists/games.hosts: "),
            ("lists/game.hosts", "0.0.0.0 krunker.io\n", "lists/game.hosts: "),
        ] {
            of.put("card/policy/document.json", &own_rules("good"));
            of.put("card/policy/lists/mail.domains", "video.example\n");
            of.put(&format!("card/policy/{file}"), content);
            let said = of.starts();
            assert!(said.contains(says), "{file}: {said:?}");
            assert_eq!(of.data("document.json"), Some(own_rules("good")));
            let spoilt = file.starts_with("lists/");
            assert_eq!(of.data("lists/games.hosts").is_some(), spoilt, "{file}: all lists or none");
            assert_eq!(of.data("lists/mail.domains").is_some(), !spoilt, "{file}: all lists or none");
            fs::remove_dir_all(of.at("card/policy")).unwrap();
            let _ = fs::remove_file(of.at("data/policy/lists/mail.domains"));
            of.put("data/policy/lists/games.hosts", "0.0.0.0 krunker.io\n");
        }
    }

    #[test]
    fn the_same_again_touches_nothing() {
        let of = Place::new();
        of.put("card/policy/document.json", &own_rules("own"));
        of.starts();
        let changed = || fs::metadata(of.at("data/policy/document.json")).unwrap().modified().unwrap();
        let before = changed();
        of.starts();
        assert_eq!(changed(), before);
    }
}
