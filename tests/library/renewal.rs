//! What is whole is asked after when it is old: once for all who read it.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use harness::{
    origin::{Thing, noise},
    wait::wait_for,
};

use crate::room::{Room, read_right};

fn data_files(room: &Room, open: &str) -> Result<usize> {
    let entries = fs::read_dir(room.folder(open))?.flatten();
    Ok(entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "data")).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_five_readers_of_a_changed_object_cost_the_origin_one_more_body() -> Result<()> {
    let mut room = Room::open().await?;
    let (old, new) = (noise(50, 4_000_000), noise(51, 4_000_000));
    room.origin.put_bytes("/a.mp4", old.clone(), "\"old\"");
    let open = room.pin("/a.mp4", false).await?;
    room.becomes(&open, "ready").await?;
    room.age(&open).await?;
    room.origin.put_bytes("/a.mp4", new.clone(), "\"new\"");
    // Slow enough that all of them come while the new state does.
    room.origin.limit(400_000);
    let before = (room.origin.sent(), room.origin.asked().len());
    let readers = (0..35).map(|_| {
        let (who, open, old) = (room.teacher.clone(), open.clone(), old.clone());
        tokio::spawn(async move { read_right(&who, &open, 0, &old).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await??, (old.len(), None), "what is there is served while the new state comes");
    }
    wait_for("the new state, alone", Duration::from_secs(60), async || {
        let body = room.teacher.get(&open).await?.body;
        ensure!(body == new[..], "the old state is served");
        let files = data_files(&room, &open)?;
        ensure!(files == 1, "{files} data files");
        Ok(())
    })
    .await?;
    let (sent, asked) = (room.origin.sent() - before.0, room.origin.asked().len() - before.1);
    println!("35 readers of a changed object: {asked} question, {sent} bytes of {}", new.len());
    assert_eq!((asked, sent), (1, new.len() as u64));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_dead_is_left_alone_by_the_readers_of_what_is_there() -> Result<()> {
    let mut room = Room::open().await?;
    let body = noise(52, 1_000_000);
    let page = Thing { body: "<h1>Sign in".into(), kind: "text/html".into(), ..Thing::default() };
    for path in ["/dead.mp4", "/page.mp4"] {
        let video = Thing { body: body.clone(), etag: "\"a\"".into(), kind: "video/mp4".into(), ..Thing::default() };
        room.origin.put(path, video);
    }
    let (dead, paged) = (room.pin("/dead.mp4", false).await?, room.pin("/page.mp4", false).await?);
    for open in [&dead, &paged] {
        room.becomes(open, "ready").await?;
        room.age(open).await?;
    }
    room.origin.put("/page.mp4", page);
    let vain = || room.hub.log().matches("the origin could not be asked").count();
    let asked = room.origin.asked().len();
    for (number, open) in [&paged, &dead].into_iter().enumerate() {
        room.origin.down(open == &dead);
        assert!(room.teacher.get(open).await?.body == body[..]);
        wait_for("the question in vain", Duration::from_secs(20), async || {
            ensure!(vain() == number + 1, "{}", room.hub.log());
            Ok(())
        })
        .await?;
        for _ in 0..50 {
            assert!(room.teacher.get(open).await?.body == body[..]);
        }
        assert_eq!(vain(), number + 1, "one question in vain, then a pause");
    }
    assert_eq!(room.origin.asked().len() - asked, 1, "the dead one has seen none");
    Ok(())
}
