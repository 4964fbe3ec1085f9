//! Records on their way to the box: on the disk before anything else happens, gone when the box has acknowledged them.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use appliance_core::agent::{Report, Shelf, Waiting};
use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

/// Name in the agent's folder.
pub(crate) const FILE: &str = "records.jsonl";
/// What it was when it could not be read, beside it.
pub(crate) const ASIDE: &str = "records.damaged";
/// Numbers begin below this, so that a program that reads them as floating point keeps each apart.
const NUMBERS: u64 = 1 << 52;

/// The first line of the file: what must outlive the records.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    /// Records that were dropped and not told yet.
    dropped: u64,
    /// Time of the newest record of use that was ever dropped; 0 if none was. Lost refusals leave the minutes whole.
    #[serde(default)]
    dropped_at: Millis,
}

impl Head {
    /// This record had to go.
    fn drops(&mut self, gone: &Report) {
        self.dropped += 1;
        if Shelf::of(&gone.fact) == Shelf::Minutes {
            self.dropped_at = self.dropped_at.max(gone.at);
        }
    }
}

/// The records. What of them goes when there is no room says [`Shelf`].
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    head: Head,
    waiting: Waiting,
    /// Number of the next record. It begins at a random place at each start: whatever becomes of the file, no record has
    /// a number that the box knows from another one and would take for told already.
    next: u64,
}

impl Spool {
    /// Makes the file of a device that has just been enrolled. From now on it is there, or something was done to it.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        Self { path: path.into(), head: Head::default(), waiting: Waiting::default(), next: 0 }.rewrite()
    }

    /// Opens the file. Half a line at its end was never acknowledged to anyone and is left out. Whole lines that can't
    /// be read are told to the box as dropped records. So is a file that is gone, of which nobody knows how many it had:
    /// the second answer says so.
    pub(crate) fn open(path: &Path, now: Millis) -> io::Result<(Self, bool)> {
        let (text, written) = match fs::read(path) {
            Ok(bytes) => (Some(String::from_utf8_lossy(&bytes).into_owned()), written_at(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, now),
            Err(error) => return Err(error),
        };
        let gone = text.is_none();
        let text = text.unwrap_or_default();
        let mut lines = text.split_inclusive('\n');
        let head = lines.next().map(serde_json::from_str::<Head>);
        let mut lost = u64::from(gone || matches!(head, Some(Err(_))));
        let mut head = head.and_then(Result::ok).unwrap_or_default();
        let mut waiting = Waiting::default();
        for line in lines {
            match serde_json::from_str::<Report>(line) {
                Ok(report) => waiting.push(report).into_iter().for_each(|gone| head.drops(&gone)),
                Err(_) if !line.ends_with('\n') => {}
                Err(_) => lost += 1,
            }
        }
        if gone {
            tracing::error!(path = %path.display(), "the file of the records is gone; the box is told");
        } else if lost > 0 {
            let aside = path.with_file_name(ASIDE);
            tracing::error!(lines = lost, kept = %aside.display(), "records that can't be read; the box is told");
            fs::copy(path, aside)?;
        }
        if lost > 0 {
            head.dropped += lost;
            head.dropped_at = head.dropped_at.max(written);
        }
        let next = getrandom::u64().map_err(io::Error::other)? % NUMBERS;
        let spool = Self { path: path.into(), head, waiting, next };
        spool.rewrite()?;
        Ok((spool, gone))
    }

    /// Keeps a record; `make` is given its number. On the disk when this returns.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> Report) -> io::Result<()> {
        let report = make(self.next);
        self.next += 1;
        let mut line = serde_json::to_vec(&report)?;
        line.push(b'\n');
        if let Some(gone) = self.waiting.push(report) {
            self.head.drops(&gone);
            return self.rewrite();
        }
        let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(&line)?;
        file.sync_data()
    }

    /// The next to be delivered, at most `most`.
    pub(crate) fn batch(&self, most: usize) -> Vec<Report> {
        self.waiting.batch(most)
    }

    /// The box has acknowledged these.
    pub(crate) fn done(&mut self, delivered: &[Report]) -> io::Result<()> {
        self.waiting.done(&delivered.iter().map(|report| report.id).collect::<BTreeSet<u64>>());
        self.rewrite()
    }

    /// Records that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.head.dropped
    }

    /// Time of the newest record of use that was ever dropped; 0 if none was.
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
        for report in self.waiting.iter() {
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

    /// The file of a device that has just been enrolled.
    fn enrolled() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        Spool::create(&path).unwrap();
        (folder, path)
    }

    fn open(path: &Path) -> Spool {
        let (spool, gone) = Spool::open(path, 9).unwrap();
        assert!(!gone);
        spool
    }

    fn ids(spool: &Spool) -> Vec<u64> {
        spool.batch(9).iter().map(|report| report.id).collect()
    }

    #[test]
    fn records_outlive_a_restart_and_half_a_line_and_no_number_comes_twice() {
        let (_folder, path) = enrolled();
        let mut spool = open(&path);
        for _ in 0..3 {
            spool.push(report).unwrap();
        }
        let told = spool.batch(9);
        spool.done(&told[..1]).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":3,\"at\":").unwrap();
        let mut again = open(&path);
        assert_eq!(again.batch(9), told[1..]);
        assert_eq!(again.dropped(), 0);
        again.done(&told).unwrap();
        let mut empty = open(&path);
        empty.push(report).unwrap();
        assert!(ids(&empty).len() == 1 && told.iter().all(|before| before.id != ids(&empty)[0]), "no number twice");
    }

    #[test]
    fn a_file_that_is_gone_or_of_before_takes_no_new_record_with_it() {
        let (_folder, path) = enrolled();
        let before = fs::read(&path).unwrap();
        let mut spool = open(&path);
        spool.push(report).unwrap();
        let known = ids(&spool);
        fs::remove_file(&path).unwrap();
        let (mut spool, gone) = Spool::open(&path, 77).unwrap();
        assert_eq!((gone, spool.dropped(), spool.dropped_at()), (true, 1, 77), "a gap that the box is told of");
        spool.push(report).unwrap();
        assert_ne!(ids(&spool), known, "the box would take it for told already");
        fs::write(&path, before).unwrap();
        let mut spool = open(&path);
        spool.push(report).unwrap();
        assert_ne!(ids(&spool), known, "put back as it was before");
    }

    #[test]
    fn damaged_lines_are_told_as_dropped_and_no_number_comes_again() {
        let (_folder, path) = enrolled();
        let mut spool = open(&path);
        for _ in 0..3 {
            spool.push(report).unwrap();
        }
        let told = spool.batch(9);
        let damage = |line: usize| {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().enumerate().map(|(n, kept)| if n == line { "\0\0\0" } else { kept });
            fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
            open(&path)
        };
        let spool = damage(2);
        let left = vec![told[0].clone(), told[2].clone()];
        assert_eq!((spool.batch(9), spool.dropped(), spool.dropped_at() > 5), (left, 1, true));
        assert_eq!(fs::read_to_string(path.with_file_name(ASIDE)).unwrap().lines().nth(2), Some("\0\0\0"));
        let mut spool = damage(0);
        spool.done(&told).unwrap();
        spool.push(report).unwrap();
        assert!(told.iter().all(|before| before.id != ids(&spool)[0]), "no number that the box has had");
    }

    #[test]
    fn a_full_shelf_drops_its_oldest_and_says_so() {
        let (_folder, path) = enrolled();
        let mut spool = open(&path);
        let of = |fact: Fact| move |id| Report { id, at: 5, place: Place::Home, fact };
        let minute = || of(Fact::Active { seconds: 60 });
        let refusal = || of(Fact::Blocked { rule: "R-POL-3".into(), category: None, times: 240 });
        spool.push(report).unwrap();
        for id in 0..u64::try_from(Shelf::Refusals.capacity()).unwrap() {
            spool.waiting.push(refusal()(id));
        }
        spool.push(refusal()).unwrap();
        assert_eq!((spool.dropped(), spool.dropped_at()), (1, 0), "the minutes are whole");
        for id in 0..u64::try_from(Shelf::Minutes.capacity()).unwrap() {
            spool.waiting.push(minute()(id));
        }
        spool.push(minute()).unwrap();
        assert_eq!((spool.dropped(), spool.dropped_at()), (2, 5));
        assert_eq!(spool.batch(1)[0].fact, Fact::ReportedSite {});
        spool.told_dropped(2).unwrap();
        let again = open(&path);
        assert_eq!((again.dropped(), again.dropped_at(), again.len()), (0, 5, spool.len()));
        // A file of a program whose shelf was longer.
        let line = serde_json::to_string(&spool.batch(usize::MAX).pop()).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(format!("{line}\n{line}\n").as_bytes()).unwrap();
        assert_eq!(open(&path).dropped(), 2, "what has no room is told");
    }
}
