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
/// How names of backups end.
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
    let name = format!("classroom-{now}{END}");
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

/// Removes the oldest backups in `target`, so that `keep` are left. Returns how many went.
///
/// # Errors
/// What files and disks can refuse.
pub fn prune(target: &Path, keep: usize) -> Result<usize, StoreError> {
    let mut all = backups(target)?;
    all.sort_by_key(|path| std::cmp::Reverse(age_order(path)));
    let old = all.split_off(keep.min(all.len()));
    for path in &old {
        remove(&contents_of(path))?;
        remove(path)?;
    }
    Ok(old.len())
}

/// When the newest backup in `target` was made; `None` when there is none.
///
/// # Errors
/// When the folder can't be read.
pub fn newest_at(target: &Path) -> Result<Option<Millis>, StoreError> {
    if !target.is_dir() {
        return Ok(None);
    }
    let at = |path: &PathBuf| path.file_stem()?.to_str()?.strip_prefix("classroom-")?.parse().ok();
    Ok(backups(target)?.iter().filter_map(at).max())
}

/// Restores a backup into `folder`, which must hold no database: the newest one when `source` is a folder of backups.
/// `key` is the file with the key that the box had. Checks what it restored by opening and counting it. Whoever calls, the
/// files are of the owner of the folder that they are put in.
///
/// The empty database with which a box goes on after the old one was damaged makes room: it is set aside with its key.
///
/// # Errors
/// [`StoreError::Missing`] when there is no backup or no key, [`StoreError::Taken`] when `folder` has a database,
/// [`StoreError::Damaged`] when the key is not its key or something is not what it was.
pub fn restore(source: &Path, key: &Path, folder: &Path) -> Result<Backup, StoreError> {
    let file = newest(source)?;
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

/// The backup itself, or the newest one of a folder: their names hold the time.
fn newest(source: &Path) -> Result<PathBuf, StoreError> {
    if source.is_file() {
        return Ok(source.into());
    }
    backups(source)?.into_iter().max_by_key(|path| age_order(path)).ok_or_else(|| {
        StoreError::File(format!("{}: there is no backup (classroom-….backup) in this folder", source.display()))
    })
}

fn backups(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(folder).map_err(|e| StoreError::file(folder, &e))?;
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("classroom-") && name.ends_with(END)
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(ours).collect())
}

/// Sorts backups of one folder by age.
fn age_order(path: &Path) -> (usize, PathBuf) {
    (path.as_os_str().len(), path.to_path_buf())
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
        let restored = restore(target.path(), &key, other.path()).unwrap();
        assert_eq!(restored.contents, second.contents, "the newest, though its name sorts before");
        for name in files {
            assert_eq!(fs::read_to_string(other.path().join(name)).unwrap(), name);
        }
        assert_eq!(restore(target.path(), &key, other.path()), Err(StoreError::Taken));
        assert_eq!((newest_at(target.path()), newest_at(&home.path().join("none"))), (Ok(Some(1000)), Ok(None)));
        assert_eq!((prune(target.path(), 1), prune(target.path(), 1)), (Ok(1), Ok(0)));
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
    fn a_damaged_backup_and_a_wrong_key_are_refused() {
        let (home, target, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(make(home.path(), target.path(), 1), Err(StoreError::Missing));
        store::open(home.path(), 1).unwrap().keeper.close();
        let backup = make(home.path(), target.path(), 1).unwrap();
        let key = home.path().join("store.key");
        let wrong = home.path().join("wrong.key");
        fs::write(&wrong, [7; 32]).unwrap();
        assert!(matches!(restore(target.path(), &wrong, other.path()), Err(StoreError::Damaged(_))));
        let mut bytes = fs::read(&backup.file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&backup.file, &bytes).unwrap();
        assert!(matches!(restore(target.path(), &key, other.path()), Err(StoreError::Damaged(_))), "one flipped bit");
        assert!(!other.path().join(FILE).exists());
        let none = restore(other.path(), &key, other.path()).unwrap_err().to_string();
        assert!(none.contains("there is no backup"), "{none}");
    }
}
