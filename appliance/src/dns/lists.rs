//! Lists of names as the world gives them: `hosts` files, one name a line, and what ad blockers read.
//!
//! They lie in `policy/lists/{category}.{hosts|domains|adblock}` in the data folder, `.txt` may follow.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use appliance_core::policy::{
    host_name,
    lists::{Fault, Source, fault, source},
    suffixes,
};
use classroom_protocol::policy::PolicyList;

use super::names::{Key, Names};

/// The longest line that is read; what is longer is skipped and counted.
const LINE: u64 = 4096;
/// The largest file that is read, in bytes: some 10 million names.
const FILE: u64 = 400_000_000;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `0.0.0.0 krunker.io`; several names may follow (hosts(5)).
    Hosts,
    /// One name a line; `*.` before it is allowed.
    Domains,
    /// `||krunker.io^`, and `@@||play.krunker.io^` for what stays open.
    Adblock,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// These names are listed.
    Names(Vec<String>),
    /// This name is not, whatever else the list says.
    Except(String),
    /// Nothing: a comment, an empty line, a rule about something else than names.
    Nothing,
    /// It can't be understood.
    Bad,
}

/// Reads one line.
pub fn line(format: Format, text: &str) -> Line {
    let text = text.trim().trim_start_matches('\u{feff}');
    match format {
        Format::Hosts => {
            let text = text.split('#').next().unwrap_or_default();
            let mut words = text.split_whitespace();
            let Some(address) = words.next() else { return Line::Nothing };
            if address.parse::<std::net::IpAddr>().is_err() {
                return Line::Bad;
            }
            let local = |name: &str| {
                matches!(name, "localhost" | "broadcasthost" | "local" | "0.0.0.0")
                    || name.starts_with("ip6-")
                    || name.ends_with(".localdomain")
            };
            let names: Vec<_> = words.filter(|name| !local(name)).collect();
            if names.is_empty() {
                return Line::Nothing;
            }
            let names: Result<Vec<_>, _> = names.into_iter().map(host_name).collect();
            names.map_or(Line::Bad, Line::Names)
        }
        Format::Domains => {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                return Line::Nothing;
            }
            host_name(text.strip_prefix("*.").unwrap_or(text)).map_or(Line::Bad, |name| Line::Names(vec![name]))
        }
        Format::Adblock => adblock(text),
    }
}

fn adblock(text: &str) -> Line {
    if text.is_empty() || text.starts_with(['!', '[', '#']) {
        return Line::Nothing;
    }
    let (rest, except) = text.strip_prefix("@@").map_or((text, false), |rest| (rest, true));
    // Rules on parts of pages or paths are for browsers.
    if ["##", "#@#", "#?#", "#$#"].iter().any(|mark| rest.contains(mark)) {
        return Line::Nothing;
    }
    let Some(rest) = rest.strip_prefix("||") else { return Line::Nothing };
    let Some((name, options)) = rest.split_once('^') else { return Line::Nothing };
    let whole_name = options.is_empty()
        || options.strip_prefix('$').is_some_and(|options| {
            options.split(',').all(|option| matches!(option, "all" | "important" | "third-party" | "3p" | "document"))
        });
    if !whole_name || name.contains(['*', '/']) {
        return Line::Nothing;
    }
    match host_name(name) {
        Ok(name) if except => Line::Except(name),
        Ok(name) => Line::Names(vec![name]),
        Err(_) => Line::Bad,
    }
}

/// What a file gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Names that were read.
    pub names: usize,
    /// Lines that could not be understood.
    pub bad: usize,
    /// The first of them, from 1.
    pub first_bad: Option<usize>,
}

/// Reads a whole list: hashes of what is listed into `listed`, of what stays open into `open`.
///
/// # Errors
/// When reading fails. Lines that make no sense are counted, not an error: lists of the world have some.
pub fn read(
    format: Format,
    key: Key,
    source: impl Read,
    listed: &mut Vec<u64>,
    open: &mut Vec<u64>,
) -> io::Result<Told> {
    let mut source = BufReader::with_capacity(1 << 16, source.take(FILE));
    let (mut told, mut number, mut bytes) = (Told::default(), 0, Vec::new());
    loop {
        bytes.clear();
        if source.by_ref().take(LINE).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(told);
        }
        number += 1;
        let whole = bytes.ends_with(b"\n") || (bytes.len() as u64) < LINE;
        let read = if whole { line(format, &String::from_utf8_lossy(&bytes)) } else { Line::Bad };
        if !whole {
            skip_line(&mut source)?;
        }
        match read {
            Line::Names(names) => {
                told.names += names.len();
                listed.extend(names.iter().map(|name| key.hash(name.as_bytes())));
            }
            Line::Except(name) => open.push(key.hash(name.as_bytes())),
            Line::Nothing => {}
            Line::Bad => {
                told.bad += 1;
                told.first_bad.get_or_insert(number);
            }
        }
    }
}

fn skip_line(source: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => {
                source.consume(at + 1);
                return Ok(());
            }
            None => {
                let all = buffer.len();
                source.consume(all);
            }
        }
    }
}

/// One list: a file with what counts of it.
#[derive(Debug, Clone)]
struct List {
    file: String,
    names: Arc<Names>,
    /// What stays open.
    open: Arc<Names>,
    fault: Option<Fault>,
    source: Source,
}

/// All lists, by category.
#[derive(Debug, Clone)]
pub struct Lists {
    key: Key,
    categories: BTreeMap<String, Vec<List>>,
    /// Files whose names say no form.
    strange: Vec<String>,
}

/// A file in the folder, as it was seen: when this changes it is read again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its name.
    pub file: String,
    size: u64,
    changed: Option<SystemTime>,
}

impl Lists {
    /// None yet.
    pub fn none(key: Key) -> Self {
        Self { key, categories: BTreeMap::new(), strange: Vec::new() }
    }

    /// Reads all lists of the folder. One that can't be used leaves the good one of `before` or, after a restart, of the
    /// folder `good` ([`keep_good`]), and the log says so.
    pub fn load(key: Key, folder: &Path, good: &Path, before: &Self) -> Self {
        let mut lists = Self::none(key);
        for Found { file, .. } in look(folder) {
            let Some((category, format)) = named(&file) else {
                tracing::warn!(file, "no list: its name does not end with .hosts, .domains or .adblock");
                lists.strange.push(file);
                continue;
            };
            let list = List::load(key, format, folder, good, &file, before.list(category, &file));
            lists.categories.entry(category.to_owned()).or_default().push(list);
        }
        lists
    }

    fn list(&self, category: &str, file: &str) -> Option<&List> {
        self.categories.get(category)?.iter().find(|list| list.file == file)
    }

    /// The categories whose lists hold the name or one above it. The name is in lower case.
    pub fn categories_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        // A name has at most 127 labels; those far below the listed one add nothing but time.
        let hashes: Vec<u64> = if self.categories.is_empty() {
            Vec::new()
        } else {
            suffixes(name).map(|suffix| self.key.hash(suffix.as_bytes())).collect()
        };
        self.categories.iter().filter_map(move |(id, lists)| {
            let first = |of: fn(&List) -> &Names| {
                hashes.iter().position(|hash| lists.iter().any(|list| of(list).contains(*hash)))
            };
            let closed = first(|list| &list.names)?;
            // The longer name is the closer word.
            first(|list| &list.open).is_none_or(|open| closed < open).then_some(id.as_str())
        })
    }

    /// The categories that lists are for.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.keys().map(String::as_str)
    }

    /// What has become of each file; `known` says whether the rules have such a category.
    pub fn told(&self, known: impl Fn(&str) -> bool) -> Vec<PolicyList> {
        let lists = self.categories.iter().flat_map(|(id, lists)| lists.iter().map(move |list| (id, list)));
        let lists = lists.map(|(id, list)| PolicyList {
            file: list.file.clone(),
            names: list.names.len(),
            fault: if known(id) { list.fault } else { Some(Fault::NoCategory) },
            last_good: list.source == Source::Before,
        });
        let none =
            |file: &String| PolicyList { file: file.clone(), names: 0, fault: Some(Fault::NoForm), last_good: false };
        lists.chain(self.strange.iter().map(none)).collect()
    }
}

impl List {
    fn load(key: Key, format: Format, folder: &Path, good: &Path, file: &str, before: Option<&Self>) -> Self {
        let from_file = Self::read(key, format, &folder.join(file), file);
        let Some(fault) = from_file.fault else { return from_file };
        // In memory, or kept on the disk from before a restart.
        let in_memory = before.filter(|list| list.fault.is_none() || list.source == Source::Before).cloned();
        let before = in_memory.or_else(|| {
            let path = good.join(file);
            path.exists().then(|| Self::read(key, format, &path, file)).filter(|list| list.fault.is_none())
        });
        let source = source(Some(fault), before.is_some());
        tracing::error!(file, ?fault, ?source, "a list can't be used");
        match before {
            Some(before) => Self { fault: Some(fault), source, ..before },
            None => Self { source, ..from_file },
        }
    }

    fn read(key: Key, format: Format, path: &Path, file: &str) -> Self {
        let (mut listed, mut open) = (Vec::new(), Vec::new());
        let told = fs::File::open(path).and_then(|source| read(format, key, source, &mut listed, &mut open));
        let fault = match told {
            // A list that only opens says something, too.
            Ok(Told { names, bad, .. }) => fault(names + open.len(), bad),
            Err(_) => Some(Fault::Unreadable),
        };
        match told {
            Ok(Told { names, bad: 0, .. }) => tracing::info!(file, names, "a list was read"),
            Ok(Told { names, bad, first_bad }) => {
                tracing::warn!(file, names, bad, first = first_bad, "a list was read; some lines make no sense");
            }
            Err(error) => tracing::error!(file, %error, "a list can't be read"),
        }
        let make = |hashes| Arc::new(Names::new(hashes));
        Self { file: file.to_owned(), names: make(listed), open: make(open), fault, source: Source::File }
    }
}

/// Keeps a copy of each list that is good, for the time after a restart, and lets go of those whose file the school has
/// taken away.
pub fn keep_good(lists: &Lists, folder: &Path, good: &Path) -> io::Result<()> {
    fs::create_dir_all(good)?;
    let all = || lists.categories.values().flatten();
    for entry in fs::read_dir(good)?.flatten() {
        if !all().any(|list| entry.file_name() == *list.file) {
            fs::remove_file(entry.path())?;
        }
    }
    for list in all().filter(|list| list.fault.is_none()) {
        let (from, to, new) = (folder.join(&list.file), good.join(&list.file), good.join("new"));
        let meta = |path: &Path| fs::metadata(path).and_then(|meta| Ok((meta.len(), meta.modified()?)));
        let there = meta(&from)?;
        if meta(&to).is_ok_and(|kept| kept == there) {
            continue;
        }
        fs::copy(&from, &new)?;
        let copy = fs::OpenOptions::new().write(true).open(&new)?;
        copy.set_modified(there.1)?;
        copy.sync_all()?;
        fs::rename(&new, &to)?;
    }
    Ok(())
}

/// The files in the folder, in a fixed order. A folder that is not there has none.
pub fn look(folder: &Path) -> Vec<Found> {
    let mut all: Vec<Found> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok().filter(|file| !file.starts_with('.'))?;
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(Found { file, size: meta.len(), changed: meta.modified().ok() })
        })
        .collect();
    all.sort();
    all
}

/// The category and the form that a file's name says.
fn named(file: &str) -> Option<(&str, Format)> {
    let (category, kind) = file.strip_suffix(".txt").unwrap_or(file).split_once('.')?;
    let format = match kind {
        "hosts" => Format::Hosts,
        "domains" => Format::Domains,
        "adblock" => Format::Adblock,
        _ => return None,
    };
    (!category.is_empty()).then_some((category, format))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(of: &[&str]) -> Line {
        Line::Names(of.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn hosts_files_are_read_as_the_world_writes_them() {
        let read = |text| line(Format::Hosts, text);
        assert_eq!(read("0.0.0.0 Krunker.IO poki.com # games"), names(&["krunker.io", "poki.com"]));
        assert_eq!(read("::1\tkrunker.io."), names(&["krunker.io"]));
        for nothing in ["", "# all", "127.0.0.1 localhost", "::1 ip6-localhost ip6-loopback", "0.0.0.0 0.0.0.0"] {
            assert_eq!(read(nothing), Line::Nothing, "{nothing}");
        }
        for bad in ["krunker.io", "0.0.0.0 https://krunker.io/", "1.2.3 krunker.io"] {
            assert_eq!(read(bad), Line::Bad, "{bad}");
        }
    }

    #[test]
    fn plain_lists_and_those_of_blockers() {
        assert_eq!(line(Format::Domains, "*.Krunker.io  # x"), names(&["krunker.io"]));
        assert_eq!(line(Format::Domains, "krunker"), Line::Bad);
        let read = |text| line(Format::Adblock, text);
        assert_eq!(read("||krunker.io^"), names(&["krunker.io"]));
        assert_eq!(read("||krunker.io^$important,third-party"), names(&["krunker.io"]));
        assert_eq!(read("@@||play.krunker.io^"), Line::Except("play.krunker.io".into()));
        for nothing in [
            "! title",
            "[Adblock Plus 2.0]",
            "example.com##.ad",
            "||example.com/ads/*",
            "||example.com^$script",
            "||ads.*^",
            "/banner/",
            "|https://example.com|",
        ] {
            assert_eq!(read(nothing), Line::Nothing, "{nothing}");
        }
        assert_eq!(read("||例.tw^"), Line::Bad);
    }

    #[test]
    fn a_folder_gives_categories_and_the_longer_name_is_the_closer_word() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("games.hosts", "0.0.0.0 krunker.io\n\u{1F600}\n0.0.0.0 poki.com");
        write("games.adblock.txt", "||y8.com^\n@@||play.krunker.io^\n");
        write("harmful.domains", &format!("bad.example\r\n{}\nworse.example\n", "x".repeat(10_000)));
        write("notes.md", "krunker.io");
        let key = Key::random().unwrap();
        let lists = Lists::load(key, folder.path(), &folder.path().join("none"), &Lists::none(key));
        let of = |name| lists.categories_of(name).collect::<Vec<_>>();
        assert_eq!(of("www.krunker.io"), ["games"]);
        assert!(of("play.krunker.io").is_empty() && of("a.play.krunker.io").is_empty());
        assert_eq!((of("poki.com"), of("y8.com")), (vec!["games"], vec!["games"]));
        assert_eq!((of("bad.example"), of("worse.example")), (vec!["harmful"], vec!["harmful"]));
        assert!(of("io").is_empty() && of("xpoki.com").is_empty() && of("").is_empty());
        let told = lists.told(|category| category == "games").into_iter().map(|one| (one.file, one.names, one.fault));
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [
                ("games.adblock.txt".to_owned(), 1, None),
                ("games.hosts".to_owned(), 2, None),
                ("harmful.domains".to_owned(), 2, Some(Fault::NoCategory)),
                ("notes.md".to_owned(), 0, Some(Fault::NoForm)),
            ]
        );
        let (mut listed, mut open) = (vec![], vec![]);
        let told = read(Format::Hosts, key, &b"0.0.0.0 a.b\nnonsense\n"[..], &mut listed, &mut open).unwrap();
        assert_eq!(told, Told { names: 1, bad: 1, first_bad: Some(2) });
        assert_eq!(look(&folder.path().join("none")), vec![]);
    }

    #[test]
    fn a_spoilt_list_leaves_the_good_one_also_after_a_restart_and_a_list_taken_away_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let (folder, good) = (place.path().join("lists"), place.path().join("good"));
        fs::create_dir_all(&folder).unwrap();
        let write = |text: &str| fs::write(folder.join("games.hosts"), text).unwrap();
        let key = Key::random().unwrap();
        let load = |before: &Lists| {
            let lists = Lists::load(key, &folder, &good, before);
            keep_good(&lists, &folder, &good).unwrap();
            lists
        };
        let closed = |lists: &Lists| lists.categories_of("krunker.io").count() == 1;
        let fault = |lists: &Lists| lists.told(|_| true).first().and_then(|list| list.fault);
        let nothing = Lists::none(key);
        write("0.0.0.0 krunker.io\n0.0.0.0 poki.com\n");
        let mut lists = load(&nothing);
        assert!(closed(&lists) && fault(&lists).is_none());
        for (spoilt, why) in [
            ("<!doctype html><title>404</title>\n<h1>Not Found</h1>\n", Fault::Nonsense),
            ("", Fault::Empty),
            ("# moved to https://elsewhere.example/\n", Fault::Empty),
        ] {
            write(spoilt);
            lists = load(&lists);
            assert!(closed(&lists), "in memory: {spoilt}");
            assert_eq!(fault(&lists), Some(why));
            let again = load(&nothing);
            assert!(closed(&again), "after a restart: {spoilt}");
            assert!(again.told(|_| true).iter().all(|list| list.last_good && list.names == 2));
        }
        write("0.0.0.0 y8.com\n");
        lists = load(&lists);
        assert!(!closed(&lists) && fault(&lists).is_none(), "the new list counts");
        fs::remove_file(folder.join("games.hosts")).unwrap();
        lists = load(&lists);
        assert!(lists.told(|_| true).is_empty());
        write("<html>");
        assert!(load(&nothing).categories_of("y8.com").next().is_none(), "what was taken away does not come back");
    }
}
