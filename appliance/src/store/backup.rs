//! Backups (R-DATA-5): an encrypted copy of everything, as of one moment, made beside a running hub and checked by really
//! opening it; and the way back.
//!
//! A backup is one file: the database under its own key, with the box's other keys inside. Without `store.key` nobody can
//! read it, so a copy of that one file is kept where neither the box nor the backups are.

use std::{
    fs,
    os::unix::fs::{self as unix, DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use appliance_core::backups;
use classroom_protocol::Millis;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{
    FILE, LOCK, StoreError, aside,
    cipher::{self, StoreKey},
    migrate, quick_check,
};
use crate::keyfile;

/// Files of the data folder that go into the backup beside the database: without them a restored box would be a stranger
/// to the devices at home, and would keep other rules than the school's. The library's content is not among them.
const FILES: &[&str] =
    &["box.key", "school.key", "school-meanwhile.key", "orders.key", "device-authority.pem", "policy/document.json"];
/// Lists of names that the school has added.
const LISTS: &str = "policy/lists";
/// How names of backups begin; their time follows, in milliseconds since 1970.
const BEGIN: &str = "classroom-";
/// How they end.
const END: &str = ".backup";

/// What a backup holds, for people and for the check after a restore. Lies beside it as JSON; names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// When it was made.
    pub at: Millis,
    /// Version of the database.
    pub version: u32,
    /// Rows of each table.
    pub rows: Vec<(String, u64)>,
}

/// A backup that was made or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// What it holds.
    pub contents: Contents,
}

/// Makes a backup of the data in `folder` into `target`, which is made if need be, and checks it. Works beside a running
/// hub. A backup that fails its check is removed.
///
/// # Errors
/// [`StoreError::Missing`] when there is no database or no key; [`StoreError::Damaged`] when the copy is not what was
/// copied; what files and disks can refuse.
pub fn make(folder: &Path, target: &Path, now: Millis) -> Result<Backup, StoreError> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Err(StoreError::Missing);
    }
    let key = cipher::load(folder)?.ok_or(StoreError::Missing)?;
    let open_with = if cipher::is_plain(&path)? { None } else { Some(&key) };
    if !target.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(target).map_err(|e| StoreError::file(target, &e))?;
    }
    let name = format!("{BEGIN}{now}{END}");
    let (file, new) = (target.join(&name), target.join(format!("{name}.new")));
    remove(&new)?;
    let made = write(folder, &path, open_with, &new, &key, now);
    let contents = match made {
        Ok(contents) => contents,
        Err(error) => {
            remove(&new)?;
            return Err(error);
        }
    };
    let page = serde_json::to_vec_pretty(&contents).map_err(|e| StoreError::File(e.to_string()))?;
    let beside = contents_of(&file);
    fs::write(&beside, page).map_err(|e| StoreError::file(&beside, &e))?;
    fs::rename(&new, &file).map_err(|e| StoreError::file(&file, &e))?;
    cipher::sync_folder(&file)?;
    Ok(Backup { file, contents })
}

fn write(
    folder: &Path,
    path: &Path,
    open_with: Option<&StoreKey>,
    new: &Path,
    key: &StoreKey,
    now: Millis,
) -> Result<Contents, StoreError> {
    let db = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if let Some(key) = open_with {
        key.unlock(&db)?;
    }
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    let version = migrate::known(&db)?;
    // The hub may write meanwhile, so the rows are counted in what was copied.
    cipher::copy(&db, new, key)?;
    drop(db);
    let copy = Connection::open(new)?;
    key.unlock(&copy)?;
    let rows = cipher::counts(&copy)?;
    copy.execute_batch("CREATE TABLE kept_file (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")?;
    for name in files(folder)? {
        let from = folder.join(&name);
        match fs::read(&from) {
            Ok(bytes) => copy.execute("INSERT INTO kept_file VALUES (?1, ?2)", params![name, bytes])?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(StoreError::file(&from, &error)),
        };
    }
    copy.close().map_err(|(_, error)| StoreError::from(error))?;
    let contents = Contents { at: now, version, rows };
    check(new, key, &contents)?;
    fs::File::open(new).and_then(|file| file.sync_all()).map_err(|e| StoreError::file(new, &e))?;
    Ok(contents)
}

/// Names of the files that are kept, in the data folder. Not all of them need to be there.
fn files(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut all: Vec<String> = FILES.iter().map(|&name| name.to_owned()).collect();
    let lists = folder.join(LISTS);
    if lists.is_dir() {
        for entry in fs::read_dir(&lists).map_err(|e| StoreError::file(&lists, &e))? {
            let entry = entry.map_err(|e| StoreError::file(&lists, &e))?;
            if let (true, Ok(name)) = (entry.path().is_file(), entry.file_name().into_string()) {
                all.push(format!("{LISTS}/{name}"));
            }
        }
    }
    Ok(all)
}

/// Whether a backup puts files of this name there.
fn is_kept(name: &str) -> bool {
    let list = name.strip_prefix(LISTS).and_then(|rest| rest.strip_prefix('/'));
    FILES.contains(&name) || list.is_some_and(|list| !list.contains('/') && !list.starts_with('.') && !list.is_empty())
}

/// Removes backups in `target`, so that `keep` are left, `made` among them, which was made just now: those that a wrong
/// clock has dated ahead, then the oldest. Files without a time in their name are someone's own and stay. Returns how many
/// went.
///
/// # Errors
/// What files and disks can refuse.
pub fn prune(target: &Path, keep: usize, made: &Backup) -> Result<usize, StoreError> {
    let dated = dated(target)?;
    let times: Vec<Millis> = dated.iter().map(|(at, _)| *at).collect();
    let surplus = backups::surplus(&times, made.contents.at, keep);
    for (_, path) in dated.iter().filter(|(at, _)| surplus.contains(at)) {
        remove(&contents_of(path))?;
        remove(path)?;
    }
    Ok(surplus.len())
}

/// What a folder of backups holds, by the times in their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// When the newest was made, of those that are not ahead.
    pub newest: Option<Millis>,
    /// So many are dated ahead of now.
    pub ahead: usize,
}

/// Looks at the backups in `target`; there are none when there is no such folder.
///
/// # Errors
/// When the folder can't be read.
pub fn held(target: &Path, now: Millis) -> Result<Held, StoreError> {
    if !target.is_dir() {
        return Ok(Held::default());
    }
    let times: Vec<Millis> = dated(target)?.into_iter().map(|(at, _)| at).collect();
    let ahead = times.iter().filter(|at| backups::is_ahead(**at, now)).count();
    Ok(Held { newest: backups::newest(&times, now), ahead })
}

/// Restores a backup into `folder`, which must hold no database: the newest one when `source` is a folder of backups,
/// passing over those dated ahead of `now` if there are others. `key` is the file with the key that the box had. Checks what
/// it restored by opening and counting it. Whoever calls, the files are of the owner of the folder that they are put in.
///
/// The empty database with which a box goes on after the old one was damaged makes room: it is set aside with its key.
/// What the backup says devices were given is not what they have had since, so it is forgotten: all are given orders anew.
///
/// # Errors
/// [`StoreError::Missing`] when there is no backup or no key, [`StoreError::Taken`] when `folder` has a database,
/// [`StoreError::Damaged`] when the key is not its key or something is not what it was.
pub fn restore(source: &Path, key: &Path, folder: &Path, now: Millis) -> Result<Backup, StoreError> {
    let file = chosen(source, now)?;
    let page = contents_of(&file);
    let text = fs::read_to_string(&page).map_err(|e| StoreError::file(&page, &e))?;
    let contents: Contents =
        serde_json::from_str(&text).map_err(|error| StoreError::Damaged(format!("{}: {error}", page.display())))?;
    let (key_folder, key_name) = (key.parent().unwrap_or(Path::new(".")), key.file_name().unwrap_or_default());
    let bytes = keyfile::load(key_folder, &key_name.to_string_lossy()).map_err(|e| StoreError::File(e.to_string()))?;
    let bytes = bytes.ok_or_else(|| StoreError::File(format!("{}: there is no such key file", key.display())))?;
    let key = StoreKey::raw(&bytes);
    let _lock = super::take_folder(folder)?;
    give(&folder.join(LOCK), folder)?;
    let path = folder.join(FILE);
    let begun_anew = aside::told(folder);
    if begun_anew.is_none() && fs::metadata(&path).is_ok_and(|meta| meta.len() > 0) {
        return Err(StoreError::Taken);
    }
    let new = folder.join(format!("{FILE}.restoring"));
    remove(&new)?;
    fs::copy(&file, &new).map_err(|e| StoreError::file(&new, &e))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(|e| StoreError::file(&new, &e))?;
    check(&new, &key, &contents)?;
    if let Some(told) = begun_anew {
        make_room(folder, told.at)?;
    }
    let db = Connection::open(&new)?;
    key.unlock(&db)?;
    let mut query = db.prepare("SELECT name, content FROM kept_file")?;
    let kept = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    for row in kept {
        let (name, content) = row?;
        if is_kept(&name) {
            let place = folder.join(&name);
            let parent = place.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|e| StoreError::file(parent, &e))?;
            keyfile::save(folder, &name, &content).map_err(|e| StoreError::File(e.to_string()))?;
            for made in place.ancestors().take_while(|made| *made != folder) {
                give(made, folder)?;
            }
        }
    }
    drop(query);
    db.execute_batch("DROP TABLE kept_file")?;
    forget_given(&db)?;
    db.close().map_err(|(_, error)| StoreError::from(error))?;
    keyfile::save(folder, cipher::FILE, &bytes).map_err(|e| StoreError::File(e.to_string()))?;
    give(&folder.join(cipher::FILE), folder)?;
    give(&new, folder)?;
    fs::rename(&new, &path).map_err(|e| StoreError::file(&path, &e))?;
    cipher::sync_folder(&path)?;
    let restored = cipher::counts(&cipher::open_to_read(&path, Some(&key))?)?;
    if restored != contents.rows {
        return Err(StoreError::Damaged(format!("restored {restored:?}, the backup said {:?}", contents.rows)));
    }
    aside::known(folder)?;
    Ok(Backup { file, contents })
}

/// Sets aside the database that began anew at `at`, with its key: it may hold lessons of the days since.
fn make_room(folder: &Path, at: Millis) -> Result<(), StoreError> {
    for name in [FILE, "box.db-wal", "box.db-shm", cipher::FILE] {
        let (from, to) = (folder.join(name), folder.join(format!("{name}.anew-{at}")));
        match fs::rename(&from, &to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::file(&from, &e)),
            _ => {}
        }
    }
    Ok(())
}

/// Gives a file to the owner of `folder`. A backup is brought back by root, and the hub is another.
fn give(path: &Path, folder: &Path) -> Result<(), StoreError> {
    let owner = fs::metadata(folder).map_err(|e| StoreError::file(folder, &e))?;
    let own = fs::metadata(path).map_err(|e| StoreError::file(path, &e))?;
    if (own.uid(), own.gid()) == (owner.uid(), owner.gid()) || !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    unix::chown(path, Some(owner.uid()), Some(owner.gid())).map_err(|e| StoreError::file(path, &e))
}

/// Opens the copy, has SQLCipher prove each page and SQLite its structure, and counts.
fn check(file: &Path, key: &StoreKey, contents: &Contents) -> Result<(), StoreError> {
    let db = cipher::open_to_read(file, Some(key))?;
    quick_check(&db)?;
    let broken: Vec<String> =
        db.prepare("PRAGMA cipher_integrity_check")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if let Some(page) = broken.first() {
        return Err(StoreError::Damaged(page.clone()));
    }
    let mut rows = cipher::counts(&db)?;
    rows.retain(|(name, _)| name != "kept_file");
    if rows == contents.rows {
        Ok(())
    } else {
        Err(StoreError::Damaged(format!("it holds {rows:?}, not {:?}", contents.rows)))
    }
}

/// Forgets what orders devices were given, but not their numbers: the next ones have a higher version, also for a device
/// whose orders are what they were.
fn forget_given(db: &Connection) -> Result<(), StoreError> {
    // Older databases have no agents.
    let sql = "SELECT EXISTS (SELECT * FROM sqlite_master WHERE type = 'table' AND name = 'agent')";
    if db.query_row(sql, [], |row| row.get(0))? {
        db.execute("UPDATE agent SET orders_hash = zeroblob(32)", [])?;
    }
    Ok(())
}

/// The backup itself, or the one of a folder that is to be brought back: their names hold the time.
fn chosen(source: &Path, now: Millis) -> Result<PathBuf, StoreError> {
    if source.is_file() {
        return Ok(source.into());
    }
    let dated = dated(source)?;
    let times: Vec<Millis> = dated.iter().map(|(at, _)| *at).collect();
    let at = backups::to_restore(&times, now);
    dated.into_iter().find(|(made, _)| Some(*made) == at).map(|(_, path)| path).ok_or_else(|| {
        StoreError::File(format!("{}: there is no backup (classroom-….backup) in this folder", source.display()))
    })
}

/// The backups in a folder with the times in their names.
fn dated(folder: &Path) -> Result<Vec<(Millis, PathBuf)>, StoreError> {
    let entries = fs::read_dir(folder).map_err(|e| StoreError::file(folder, &e))?;
    let at = |path: &Path| path.file_name()?.to_str()?.strip_prefix(BEGIN)?.strip_suffix(END)?.parse().ok();
    Ok(entries.flatten().map(|entry| entry.path()).filter_map(|path| Some((at(&path)?, path))).collect())
}

fn contents_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.json", file.display()))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::file(path, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store;

    #[test]
    fn a_backup_puts_nothing_elsewhere() {
        assert!(is_kept("orders.key") && is_kept("policy/lists/games.hosts"));
        for name in ["store.key", "policy/lists/../../x", "policy/lists/", "policy/lists/.x", "/etc/passwd", ""] {
            assert!(!is_kept(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_backup_of_a_running_box_comes_back_whole() {
        let (home, target, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let opened = store::open(home.path(), 1).unwrap();
        keyfile::load_or_create(home.path(), "school.key").unwrap();
        fs::create_dir_all(home.path().join(LISTS)).unwrap();
        let files = ["device-authority.pem", "policy/document.json", "policy/lists/games.hosts"];
        for name in files {
            fs::write(home.path().join(name), name).unwrap();
        }
        opened.store.classes().create(store::demo::CLASS_NAME.into(), store::demo::students()).await.unwrap();
        let first = make(home.path(), target.path(), 999).unwrap();
        opened.store.classes().create(store::demo::CLASS_NAME.into(), store::demo::students()).await.unwrap();
        let second = make(home.path(), target.path(), 1000).unwrap();
        let students = |backup: &Backup| backup.contents.rows.iter().find(|(name, _)| name == "student").unwrap().1;
        assert_eq!((students(&first), students(&second)), (30, 60));
        let bytes = fs::read(&second.file).unwrap();
        assert!(!bytes.windows(9).any(|window| window == "吳承恩".as_bytes()), "it names nobody");

        let key = home.path().join("store.key");
        let restored = restore(target.path(), &key, other.path(), 2000).unwrap();
        assert_eq!(restored.contents, second.contents, "the newest, though its name sorts before");
        for name in files {
            assert_eq!(fs::read_to_string(other.path().join(name)).unwrap(), name);
        }
        assert_eq!(restore(target.path(), &key, other.path(), 2000), Err(StoreError::Taken));
        let newest = |folder: &Path| held(folder, 2000).map(|held| held.newest);
        assert_eq!((newest(target.path()), newest(&home.path().join("none"))), (Ok(Some(1000)), Ok(None)));
        assert_eq!((prune(target.path(), 1, &second), prune(target.path(), 1, &second)), (Ok(1), Ok(0)));
        assert!(second.file.is_file() && !first.file.exists() && !contents_of(&first.file).exists());
        let again = store::open(other.path(), 2).unwrap();
        assert_eq!(again.set_aside, None);
        assert_eq!(again.store.classes().list().await.unwrap().len(), 2);
        assert_eq!(
            fs::read(home.path().join("school.key")).unwrap(),
            fs::read(other.path().join("school.key")).unwrap()
        );
        tokio::task::spawn_blocking(|| (again.keeper.close(), opened.keeper.close())).await.unwrap();
    }

    #[test]
    fn copies_that_a_wrong_clock_has_dated_ahead_take_nobodys_place() {
        const DAY: Millis = 86_400_000;
        const NOW: Millis = 20_000 * DAY;
        let (home, target, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        store::open(home.path(), 1).unwrap().keeper.close();
        let ahead: Vec<Backup> =
            (0..3).map(|n| make(home.path(), target.path(), NOW + 365 * DAY + n).unwrap()).collect();
        assert_eq!(held(target.path(), NOW), Ok(Held { newest: None, ahead: 3 }));
        let own = target.path().join("classroom-before-the-holidays.backup");
        fs::write(&own, "a copy that someone has named").unwrap();
        let made = make(home.path(), target.path(), NOW).unwrap();
        assert_eq!(prune(target.path(), 3, &made), Ok(1));
        assert!(made.file.is_file() && own.is_file() && !ahead[0].file.exists() && ahead[2].file.is_file());
        assert_eq!(held(target.path(), NOW + 60_000), Ok(Held { newest: Some(NOW), ahead: 2 }));
        let key = home.path().join("store.key");
        assert_eq!(restore(target.path(), &key, other.path(), NOW + 60_000).unwrap().file, made.file);
        let named = tempfile::tempdir().unwrap();
        assert_eq!(restore(&ahead[2].file, &key, named.path(), NOW).unwrap(), ahead[2], "when it is named");
        let lost = tempfile::tempdir().unwrap();
        let of_box_without_time = restore(target.path(), &key, lost.path(), 5).unwrap();
        assert_eq!(of_box_without_time.file, ahead[2].file, "all are ahead of 1970: the newest");
    }

    #[tokio::test]
    async fn after_a_restore_devices_are_given_higher_orders_though_they_say_the_same() {
        let (home, target, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let opened = store::open(home.path(), 1).unwrap();
        let agents = opened.store.agents();
        agents.issue([1; 32], "ABCDEFGH".into(), 1, 100).await.unwrap();
        let row = agents.enrol([1; 32], "e1".into(), [2; 32], 2).await.unwrap().unwrap();
        let given = store::GivenOrders { version: 50, at: 50, hash: [3; 32] };
        let seen = store::Seen { at: 50, link: None, version: String::new(), given: given.clone(), dropped: 0 };
        agents.seen(row.enrolment, seen).await.unwrap();
        make(home.path(), target.path(), 60).unwrap();
        restore(target.path(), &home.path().join("store.key"), other.path(), 90).unwrap();
        let again = store::open(other.path(), 91).unwrap();
        let kept = again.store.agents().of("ABCDEFGH".into()).await.unwrap().unwrap().given;
        assert_eq!(kept, store::GivenOrders { hash: [0; 32], ..given });
        tokio::task::spawn_blocking(|| (again.keeper.close(), opened.keeper.close())).await.unwrap();
    }

    #[test]
    fn a_damaged_backup_and_a_wrong_key_are_refused() {
        let (home, target, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(make(home.path(), target.path(), 1), Err(StoreError::Missing));
        store::open(home.path(), 1).unwrap().keeper.close();
        let backup = make(home.path(), target.path(), 1).unwrap();
        let key = home.path().join("store.key");
        let wrong = home.path().join("wrong.key");
        fs::write(&wrong, [7; 32]).unwrap();
        assert!(matches!(restore(target.path(), &wrong, other.path(), 2000), Err(StoreError::Damaged(_))));
        let mut bytes = fs::read(&backup.file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&backup.file, &bytes).unwrap();
        assert!(
            matches!(restore(target.path(), &key, other.path(), 2000), Err(StoreError::Damaged(_))),
            "one flipped bit"
        );
        assert!(!other.path().join(FILE).exists());
        let none = restore(other.path(), &key, other.path(), 2000).unwrap_err().to_string();
        assert!(none.contains("there is no backup"), "{none}");
    }
}
