//! Whatever is killed, no wrong byte is served (each byte of each answer is compared).

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{origin::noise, wait::wait_for};

use crate::room::{Room, read_right};

const MB: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_box_is_killed_again_and_again_while_it_fetches() -> Result<()> {
    let mut room = Room::open().await?;
    let body = noise(4, 48 * MB as usize);
    room.origin.put_bytes("/a.mp4", body.clone(), "\"a\"");
    let open = room.pin("/a.mp4", false).await?;
    room.origin.limit(8 * MB);
    for round in 0..6u64 {
        let before = room.origin.sent();
        let readers: Vec<_> = (0..6)
            .map(|n| {
                let (who, open, body) = (room.teacher.clone(), open.clone(), body.clone());
                tokio::spawn(async move { read_right(&who, &open, n * 5 * MB as usize, &body).await })
            })
            .collect();
        wait_for("some megabytes", Duration::from_secs(30), async || {
            let sent = room.origin.sent();
            ensure!(sent >= before + (3 + round) * MB || sent >= body.len() as u64, "{sent}");
            Ok(())
        })
        .await?;
        room.hub.crash().await?;
        for reader in readers {
            let (came, end) = reader.await??;
            println!("round {round}: {came} right bytes, then {}", end.unwrap_or_else(|| "the end".into()));
        }
    }
    room.becomes(&open, "ready").await?;
    for _ in 0..2 {
        assert_eq!(read_right(&room.teacher, &open, 0, &body).await?, (body.len(), None));
        // Also what was read back from the disk.
        room.hub.crash().await?;
    }
    let share = room.origin.sent() as f64 / body.len() as f64;
    println!("killed 8 times: origin bytes ×{share:.3}");
    // What was sealed before a kill is not fetched again.
    assert!(share < 2.2, "the origin sent ×{share}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_dies_and_comes_back_is_resumed() -> Result<()> {
    let room = Room::open().await?;
    let body = noise(5, 20 * MB as usize);
    room.origin.put_bytes("/a.mp4", body.clone(), "\"a\"");
    let open = room.pin_cold("/a.mp4").await?;
    room.origin.limit(10 * MB);
    let reader = {
        let (who, open, body) = (room.student.clone(), open.clone(), body.clone());
        tokio::spawn(async move { read_right(&who, &open, 0, &body).await })
    };
    for part in [5, 12] {
        wait_for("a part", Duration::from_secs(20), async || {
            ensure!(room.origin.sent() > part * MB, "{}", room.origin.sent());
            Ok(())
        })
        .await?;
        let noticed = || room.hub.log().matches("the library's origin").count();
        let before = noticed();
        room.origin.down(true);
        let asked = room.origin.asked().len();
        wait_for("the hub to notice", Duration::from_secs(10), async || {
            ensure!(noticed() > before, "{}", room.hub.log());
            Ok(())
        })
        .await?;
        room.origin.down(false);
        wait_for("a further question", Duration::from_secs(20), async || {
            ensure!(room.origin.asked().len() > asked, "nothing was asked");
            Ok(())
        })
        .await?;
    }
    assert_eq!(reader.await??, (body.len(), None), "the reader has not noticed anything");
    let share = room.origin.sent() as f64 / body.len() as f64;
    println!("the origin died twice: origin bytes ×{share:.4}; {:?}", room.origin.asked());
    assert!(share <= 1.02, "the origin sent ×{share}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changed_meanwhile_is_never_mixed() -> Result<()> {
    let room = Room::open().await?;
    let (old, new) = (noise(6, 20 * MB as usize), noise(7, 20 * MB as usize));
    room.origin.put_bytes("/a.mp4", old.clone(), "\"old\"");
    let open = room.pin_cold("/a.mp4").await?;
    room.origin.limit(10 * MB);
    let reader = {
        let (who, open, old) = (room.student.clone(), open.clone(), old.clone());
        tokio::spawn(async move { read_right(&who, &open, 0, &old).await })
    };
    wait_for("a part", Duration::from_secs(20), async || {
        ensure!(room.origin.sent() > 5 * MB, "{}", room.origin.sent());
        Ok(())
    })
    .await?;
    room.origin.down(true);
    wait_for("the hub to notice", Duration::from_secs(10), async || {
        ensure!(room.hub.log().contains("the library's origin"), "{}", room.hub.log());
        Ok(())
    })
    .await?;
    room.origin.put_bytes("/a.mp4", new.clone(), "\"new\"");
    room.origin.down(false);
    let (came, end) = reader.await??;
    println!("{came} bytes of the old state came, then {end:?}");
    assert!(came < old.len() && end.is_some(), "the old state can't have come whole");
    assert_eq!(read_right(&room.student, &open, 0, &new).await?, (new.len(), None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_disk_is_noticed_and_mended_from_the_origin() -> Result<()> {
    let mut room = Room::open().await?;
    let body = noise(8, 5 * MB as usize);
    room.origin.put_bytes("/a.mp4", body.clone(), "\"a\"");
    let open = room.pin("/a.mp4", false).await?;
    room.becomes(&open, "ready").await?;
    let key = open.split('/').nth(2).unwrap();
    let folder = room.hub.home().join("data/library").join(key);
    let data =
        std::fs::read_dir(&folder)?.flatten().find(|e| e.path().extension().is_some_and(|e| e == "data")).unwrap();
    let mut bytes = std::fs::read(data.path())?;
    bytes[2_500_000] ^= 1;
    std::fs::write(data.path(), &bytes)?;
    room.hub.crash().await?;
    let before = room.origin.sent();
    assert_eq!(read_right(&room.teacher, &open, 0, &body).await?, (body.len(), None));
    let again = room.origin.sent() - before;
    println!("one bit was wrong on the disk: {again} bytes were fetched again");
    assert!((1..2 << 20).contains(&again), "{again}");
    Ok(())
}
