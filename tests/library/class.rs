//! A whole class opens the same thing (R-CONT-1).

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::origin::noise;
use reqwest::Method;

use crate::room::{Room, part, read_right};

const MB: u64 = 1_000_000;

/// Times are loose here, as the machine may be busy; `make bench` measures them.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_five_readers_of_a_cold_object_cost_the_line_once() -> Result<()> {
    let room = Room::open().await?;
    let body = noise(1, 100 * MB as usize);
    room.origin.put_bytes("/lesson.mp4", body.clone(), "\"a\"");
    let open = room.pin_cold("/lesson.mp4").await?;
    room.origin.limit(20 * MB);
    let began = Instant::now();
    let readers = (0..35).map(|_| {
        let (who, open, body) = (room.student.clone(), open.clone(), body.clone());
        tokio::spawn(async move {
            let mut response = who.request(Method::GET, &open).timeout(Duration::from_secs(120)).send().await?;
            let mut first = None;
            let mut at = 0;
            while let Some(chunk) = response.chunk().await? {
                first.get_or_insert(began.elapsed());
                ensure!(body.get(at..at + chunk.len()) == Some(&chunk[..]), "wrong bytes at {at}");
                at += chunk.len();
            }
            ensure!(at == body.len(), "{at} bytes came");
            Ok((first.unwrap_or_default(), began.elapsed()))
        })
    });
    let mut times = Vec::new();
    for reader in readers.collect::<Vec<_>>() {
        times.push(reader.await??);
    }
    let first = times.iter().map(|(first, _)| *first).max().unwrap_or_default();
    let last = times.iter().map(|(_, last)| *last).max().unwrap_or_default();
    let share = room.origin.sent() as f64 / body.len() as f64;
    println!(
        "35 readers, 100 MB at 20 MB/s: origin bytes ×{share:.4}, first byte of the slowest {first:?}, all done {last:?} (origin's own time 5 s)"
    );
    assert!(share <= 1.01, "the origin sent ×{share}");
    assert!(first < Duration::from_secs(1) && last < Duration::from_secs(15), "{first:?} {last:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_goes_away_takes_nothing_along() -> Result<()> {
    let room = Room::open().await?;
    let body = noise(2, 20 * MB as usize);
    room.origin.put_bytes("/a.mp4", body.clone(), "\"a\"");
    let open = room.pin_cold("/a.mp4").await?;
    room.origin.limit(10 * MB);
    let mut leader = room.student.request(Method::GET, &open).send().await?;
    let mut came = 0;
    while came < MB {
        came += leader.chunk().await?.map_or(0, |chunk| chunk.len() as u64);
    }
    let follower = {
        let (who, open, body) = (room.student.clone(), open.clone(), body.clone());
        tokio::spawn(async move { read_right(&who, &open, 0, &body).await })
    };
    drop(leader);
    assert_eq!(follower.await??, (body.len(), None));
    let share = room.origin.sent() as f64 / body.len() as f64;
    println!("leader gone: origin bytes ×{share:.4}");
    assert!(share <= 1.01, "the origin sent ×{share}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cold_ranges_are_fetched_first_and_once() -> Result<()> {
    let room = Room::open().await?;
    let body = noise(3, 60 * MB as usize);
    room.origin.put_bytes("/a.mp4", body.clone(), "\"a\"");
    let open = room.pin_cold("/a.mp4").await?;
    room.origin.limit(6 * MB);
    // One reads from the start while others seek: who seeks does not wait for what lies between.
    let whole = {
        let (who, open, body) = (room.student.clone(), open.clone(), body.clone());
        tokio::spawn(async move { read_right(&who, &open, 0, &body).await })
    };
    for at in [50 * MB, 30 * MB, 59 * MB, 10 * MB] {
        let began = Instant::now();
        let reply = part(&room.student, &open, &format!("bytes={at}-{}", at + 99_999)).await?;
        let took = began.elapsed();
        assert_eq!(reply.status.as_u16(), 206);
        assert!(reply.body == body[at as usize..at as usize + 100_000], "wrong bytes at {at}");
        println!("a cold range at {} MB came after {took:?}", at / MB);
        // The line needs five seconds for 30 MB.
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    assert_eq!(whole.await??, (body.len(), None));
    let share = room.origin.sent() as f64 / body.len() as f64;
    println!(
        "cold ranges: origin bytes ×{share:.4}, {} requests: {:?}",
        room.origin.asked().len(),
        room.origin.asked()
    );
    assert!(share <= 1.05, "the origin sent ×{share}");
    Ok(())
}
