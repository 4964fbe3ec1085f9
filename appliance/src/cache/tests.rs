//! What is open, and what is left on the disk.
#![allow(clippy::unwrap_used)]

use super::*;

/// Files below `folder` that this process has open.
fn open_below(folder: &Path) -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(folder))).count()
}

fn cache(folder: &Path) -> Cache {
    let limits = Limits { most: 1 << 40, keep_free: 0 };
    Cache::open(folder, limits, Hosts { only: Vec::new(), private: Vec::new() }).unwrap()
}

fn part(name: String) -> Part {
    Part { name, url: None, media_type: None }
}

#[tokio::test]
async fn an_item_of_many_parts_costs_descriptors_for_what_is_read_only() {
    let folder = tempfile::TempDir::new().unwrap();
    let planned = Planned {
        parts: (0..300).map(|n| part(format!("{n}.ts"))).collect(),
        written: (0..300).map(|n| (n, Bytes::from(format!("segment {n}")))).collect(),
    };
    let first = cache(folder.path());
    first.place("0123456789abcdef", planned).await.unwrap();
    assert_eq!(open_below(folder.path()), 0, "nobody reads");
    drop(first);
    // Another run: what there is is known without an open file.
    let again = cache(folder.path());
    again.admit("0123456789abcdef", 1, true, 0);
    let objects = again.objects("0123456789abcdef").await;
    assert_eq!(objects.len(), 300);
    assert!(objects.iter().all(|object| object.status().kept));
    assert_eq!(open_below(folder.path()), 0);
    let mut readers = Vec::new();
    for (n, object) in objects.iter().enumerate().take(5) {
        let mut reader = object.open(0).await.unwrap().reader(0, None);
        assert_eq!(reader.next().await.unwrap().unwrap(), format!("segment {n}"));
        readers.push(reader);
    }
    assert_eq!(open_below(folder.path()), 5);
    drop(readers);
    assert_eq!(open_below(folder.path()), 0);
}

#[tokio::test]
async fn a_state_that_was_replaced_goes_with_its_last_reader_and_what_a_crash_left_at_the_next_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let item = folder.path().join("0123456789abcdef");
    let kept = || {
        let entries = fs::read_dir(&item).unwrap().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "data")).count()
    };
    let planned =
        Planned { parts: vec![part("a.txt".into())], written: vec![(0, Bytes::from_static(b"the present state"))] };
    let cache = cache(folder.path());
    cache.place("0123456789abcdef", planned).await.unwrap();
    let object = cache.object("0123456789abcdef", "a.txt").await.unwrap();
    let mut reader = object.open(0).await.unwrap().reader(0, None);
    let version = object.desk().current.take().unwrap();
    version.files.doom(true);
    drop(version);
    assert_eq!(kept(), 1, "someone reads it");
    assert_eq!(reader.next().await.unwrap().unwrap(), "the present state");
    drop(reader);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while kept() > 0 {
        assert!(std::time::Instant::now() < end, "it went with its last reader");
        tokio::task::yield_now().await;
    }
    drop(Files::create(&item, 0, "left", Some(10)).unwrap());
    assert_eq!(kept(), 1);
    cache.admit("0123456789abcdef", 1, true, 0);
    assert_eq!(kept(), 0);
}
