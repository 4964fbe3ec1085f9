//! Lists of names as the world gives them: `hosts` files, one name a line, and what ad blockers read.
//!
//! They lie in `policy/lists/{category}.{hosts|domains|adblock}` in the data folder, `.txt` may follow.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    time::SystemTime,
};

use appliance_core::policy::{host_name, suffixes};

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

/// The names of one category.
#[derive(Debug, Clone, Default)]
struct Listed {
    names: Names,
    /// What stays open.
    open: Names,
}

/// All lists, by category.
#[derive(Debug, Clone)]
pub struct Lists {
    key: Key,
    categories: BTreeMap<String, Listed>,
}

/// A list's file, as it was seen: when this changes it is read again.
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
        Self { key, categories: BTreeMap::new() }
    }

    /// Reads all lists of the folder. A file that can't be read is told in the log and left out.
    pub fn load(key: Key, folder: &Path) -> Self {
        let mut raw: BTreeMap<String, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
        for found in look(folder) {
            let Some((category, format)) = named(&found.file) else { continue };
            let (listed, open) = raw.entry(category.to_owned()).or_default();
            let told = fs::File::open(folder.join(&found.file)).and_then(|file| read(format, key, file, listed, open));
            match told {
                Ok(Told { names, bad: 0, .. }) => tracing::info!(file = found.file, names, "a list was read"),
                Ok(told) => tracing::warn!(
                    file = found.file,
                    names = told.names,
                    bad = told.bad,
                    first = told.first_bad,
                    "a list was read; some lines make no sense"
                ),
                Err(error) => tracing::error!(file = found.file, %error, "a list can't be read"),
            }
        }
        let make =
            |(category, (listed, open))| (category, Listed { names: Names::new(listed), open: Names::new(open) });
        Self { key, categories: raw.into_iter().map(make).collect() }
    }

    /// The categories whose lists hold the name or one above it. The name is in lower case.
    pub fn categories_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        // A name has at most 127 labels; those far below the listed one add nothing but time.
        let hashes: Vec<u64> = if self.categories.is_empty() {
            Vec::new()
        } else {
            suffixes(name).map(|suffix| self.key.hash(suffix.as_bytes())).collect()
        };
        self.categories.iter().filter_map(move |(id, listed)| {
            let open = hashes.iter().position(|hash| listed.open.contains(*hash));
            let closed = hashes.iter().position(|hash| listed.names.contains(*hash))?;
            // The longer name is the closer word.
            open.is_none_or(|open| closed < open).then_some(id.as_str())
        })
    }

    /// How many names each category's lists hold.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.categories.iter().map(|(id, listed)| (id.as_str(), listed.names.len()))
    }
}

/// The lists in the folder, in a fixed order. A folder that is not there has none.
pub fn look(folder: &Path) -> Vec<Found> {
    let mut all: Vec<Found> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok().filter(|file| named(file).is_some())?;
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
        let lists = Lists::load(key, folder.path());
        let of = |name| lists.categories_of(name).collect::<Vec<_>>();
        assert_eq!(of("www.krunker.io"), ["games"]);
        assert!(of("play.krunker.io").is_empty() && of("a.play.krunker.io").is_empty());
        assert_eq!((of("poki.com"), of("y8.com")), (vec!["games"], vec!["games"]));
        assert_eq!((of("bad.example"), of("worse.example")), (vec!["harmful"], vec!["harmful"]));
        assert!(of("io").is_empty() && of("xpoki.com").is_empty() && of("").is_empty());
        assert_eq!(lists.counts().collect::<Vec<_>>(), [("games", 3), ("harmful", 2)]);
        let (mut listed, mut open) = (vec![], vec![]);
        let told = read(Format::Hosts, key, &b"0.0.0.0 a.b\nnonsense\n"[..], &mut listed, &mut open).unwrap();
        assert_eq!(told, Told { names: 1, bad: 1, first_bad: Some(2) });
        assert_eq!(look(&folder.path().join("none")), vec![]);
    }
}
