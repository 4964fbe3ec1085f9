//! Records on their way to the box: on the disk before anything else happens, gone when the box has acknowledged them.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use appliance_core::agent::Report;
use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

/// Name in the agent's folder.
pub(crate) const FILE: &str = "records.jsonl";
/// Records that wait: a term without meeting the box. When it is full the oldest goes, and the box is told how many.
const CAPACITY: usize = 10_000;

/// The first line of the file: what must outlive the records.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    /// Number of the next record; never used twice.
    next: u64,
    /// Records that were dropped and not told yet.
    dropped: u64,
    /// Time of the newest record that was ever dropped; 0 if none was.
    #[serde(default)]
    dropped_at: Millis,
}

/// The records.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    head: Head,
    waiting: VecDeque<Report>,
}

impl Spool {
    /// Opens the file. Half a line at its end was never acknowledged to anyone and is left out. Whole lines that can't
    /// be read are told to the box as dropped records.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (text, written) = match fs::read(path) {
            Ok(bytes) => (String::from_utf8_lossy(&bytes).into_owned(), written_at(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), 0),
            Err(error) => return Err(error),
        };
        let mut lines = text.split_inclusive('\n');
        let head = lines.next().map(serde_json::from_str::<Head>);
        let damaged = matches!(head, Some(Err(_)));
        let mut head = head.and_then(Result::ok).unwrap_or_default();
        let mut waiting = VecDeque::new();
        let mut lost = 0;
        for line in lines {
            match serde_json::from_str::<Report>(line) {
                Ok(report) => waiting.push_back(report),
                Err(_) if !line.ends_with('\n') => {}
                Err(_) => lost += 1,
            }
        }
        head.next = waiting.back().map_or(head.next, |last: &Report| head.next.max(last.id + 1));
        if damaged {
            // What number came last is not known; the box takes one that it had before for a record told twice.
            head.next = head.next.max(written);
            lost += 1;
        }
        if lost > 0 {
            let aside = path.with_extension("damaged");
            tracing::error!(lines = lost, kept = %aside.display(), "records that can't be read; the box is told");
            fs::copy(path, aside)?;
            head.dropped += lost;
            head.dropped_at = head.dropped_at.max(written);
        }
        let spool = Self { path: path.into(), head, waiting };
        spool.rewrite()?;
        Ok(spool)
    }

    /// Keeps a record; `make` is given its number. On the disk when this returns.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> Report) -> io::Result<()> {
        let report = make(self.head.next);
        self.head.next += 1;
        if self.waiting.len() >= CAPACITY {
            let over = self.waiting.len() + 1 - CAPACITY;
            self.head.dropped_at =
                self.waiting.drain(..over).map(|gone| gone.at).fold(self.head.dropped_at, Millis::max);
            self.head.dropped += u64::try_from(over).unwrap_or(0);
            self.waiting.push_back(report);
            return self.rewrite();
        }
        let mut line = serde_json::to_vec(&report)?;
        line.push(b'\n');
        self.waiting.push_back(report);
        let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(&line)?;
        file.sync_data()
    }

    /// The oldest, at most `most`.
    pub(crate) fn batch(&self, most: usize) -> Vec<Report> {
        self.waiting.iter().take(most).cloned().collect()
    }

    /// The box has acknowledged all up to this number.
    pub(crate) fn done(&mut self, last: u64) -> io::Result<()> {
        self.waiting.retain(|report| report.id > last);
        self.rewrite()
    }

    /// Records that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.head.dropped
    }

    /// Time of the newest record that was ever dropped; 0 if none was.
    pub(crate) fn dropped_at(&self) -> Millis {
        self.head.dropped_at
    }

    /// The box has been told of so many dropped ones.
    pub(crate) fn told_dropped(&mut self, told: u64) -> io::Result<()> {
        if told == 0 {
            return Ok(());
        }
        self.head.dropped = self.head.dropped.saturating_sub(told);
        self.rewrite()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn rewrite(&self) -> io::Result<()> {
        let mut text = serde_json::to_vec(&self.head)?;
        text.push(b'\n');
        for report in &self.waiting {
            serde_json::to_writer(&mut text, report)?;
            text.push(b'\n');
        }
        crate::keep::write_whole(&self.path, &text)
    }
}

/// When the file was last written: no record in it is newer.
fn written_at(path: &Path) -> Millis {
    let modified = fs::metadata(path).and_then(|data| data.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| Millis::try_from(since.as_millis()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use appliance_core::usage::{Fact, Place};

    use super::*;

    fn report(id: u64) -> Report {
        Report { id, at: 5, place: Place::Home, fact: Fact::ReportedSite {} }
    }

    #[test]
    fn records_outlive_a_restart_and_half_a_line_and_no_number_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut spool = Spool::open(&path).unwrap();
        for _ in 0..3 {
            spool.push(report).unwrap();
        }
        spool.done(0).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":3,\"at\":").unwrap();
        let mut again = Spool::open(&path).unwrap();
        assert_eq!(again.batch(9), [report(1), report(2)]);
        again.done(2).unwrap();
        let mut empty = Spool::open(&path).unwrap();
        empty.push(report).unwrap();
        assert_eq!(empty.batch(9), [report(3)], "numbers go on");
    }

    #[test]
    fn damaged_lines_are_told_as_dropped_and_the_numbers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut spool = Spool::open(&path).unwrap();
        for _ in 0..3 {
            spool.push(report).unwrap();
        }
        let damage = |line: usize| {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().enumerate().map(|(n, kept)| if n == line { "\0\0\0" } else { kept });
            fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
            Spool::open(&path).unwrap()
        };
        let spool = damage(2);
        assert_eq!((spool.batch(9), spool.dropped(), spool.dropped_at() > 5), (vec![report(0), report(2)], 1, true));
        assert_eq!(fs::read_to_string(path.with_extension("damaged")).unwrap().lines().nth(2), Some("\0\0\0"));
        let mut spool = damage(0);
        spool.done(2).unwrap();
        spool.push(report).unwrap();
        assert!(spool.batch(1)[0].id > 3, "no number that the box has had");
    }

    #[test]
    fn a_full_spool_drops_the_oldest_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&folder.path().join(FILE)).unwrap();
        spool.waiting = (0..u64::try_from(CAPACITY).unwrap()).map(report).collect();
        spool.head.next = u64::try_from(CAPACITY).unwrap();
        spool.push(report).unwrap();
        assert_eq!((spool.len(), spool.dropped(), spool.batch(1)), (CAPACITY, 1, vec![report(1)]));
        spool.told_dropped(1).unwrap();
        assert_eq!((spool.dropped(), spool.dropped_at()), (0, 5));
    }
}
