//! Streams of many parts: they cost the hub neither its descriptors nor the line its time.

use std::{fmt::Write as _, fs, time::Instant};

use anyhow::{Context, Result};
use harness::origin::{Thing, noise};

use crate::room::Room;

const PARTS: usize = 300;

/// Files of the library that the hub has open.
fn open_files(room: &Room) -> Result<usize> {
    let library = room.hub.home().join("data/library");
    let entries = fs::read_dir(format!("/proc/{}/fd", room.hub.pid()))?.flatten();
    Ok(entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(&library))).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_many_segments_leaves_few_descriptors_open() -> Result<()> {
    let mut room = Room::open().await?;
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for n in 0..PARTS {
        writeln!(list, "#EXTINF:2,\n{n}.ts")?;
        room.origin.put_bytes(&format!("/h/{n}.ts"), noise(n as u64 + 1, 20_000), &format!("\"{n}\""));
    }
    list.push_str("#EXT-X-ENDLIST\n");
    let kind = "application/vnd.apple.mpegurl".into();
    room.origin.put("/h/list.m3u8", Thing { body: list.into(), etag: "\"l\"".into(), kind, ..Thing::default() });
    let began = Instant::now();
    let open = room.pin("/h/list.m3u8", false).await?;
    room.becomes(&open, "ready").await?;
    let took = began.elapsed();
    println!("{PARTS} segments came in {took:?}, {} files of the library are open", open_files(&room)?);
    // Three a second would be 100 s.
    assert!(took.as_secs() < 60, "{took:?}");
    assert!(open_files(&room)? <= 8, "{}", open_files(&room)?);
    room.hub.crash().await?;
    room.origin.down(true);
    room.becomes(&open, "ready").await?;
    assert!(open_files(&room)? <= 8, "{}", open_files(&room)?);
    let list = room.teacher.get(&open).await?.text();
    let below = open.rsplit_once('/').context("its folder")?.0;
    for (n, name) in list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).enumerate() {
        let segment = room.teacher.get(&format!("{below}/{name}")).await?;
        assert!(segment.body == noise(n as u64 + 1, 20_000)[..], "{name}");
    }
    assert!(open_files(&room)? <= 8, "{}", open_files(&room)?);
    Ok(())
}
