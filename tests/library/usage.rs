//! What pages tell of use (R-USE-5) is paced and bounded.

use anyhow::Result;
use classroom_protocol::ProblemCode;
use serde_json::json;

use crate::room::Room;

#[tokio::test]
async fn pieces_of_watching_are_kept_once_in_twenty_seconds() -> Result<()> {
    let room = Room::open().await?;
    for path in ["/a.mp4", "/b.mp4"] {
        room.origin.put_bytes(path, "x".into(), "\"a\"");
    }
    let (a, b) = (room.pin("/a.mp4", false).await?, room.pin("/b.mp4", false).await?);
    let of = |open: &str, what: &str| format!("/api/library/{}/{what}", open.split('/').nth(2).unwrap_or_default());
    let piece = json!({ "seconds": 30 });
    let watched = async |open: &str| room.student.post(&of(open, "watched"), &piece).await;
    watched(&a).await?.done()?;
    // What is left when it is closed.
    watched(&a).await?.done()?;
    let third = watched(&a).await?;
    assert_eq!(third.code()?, ProblemCode::TooManyTries);
    watched(&b).await?.done()?;
    // Openings are paced like every command of a student.
    let openings = (0..100).map(|_| {
        let (who, path) = (room.student.clone(), of(&a, "opened"));
        tokio::spawn(async move { who.post(&path, &json!({})).await })
    });
    let mut refused = 0;
    for opening in openings.collect::<Vec<_>>() {
        refused += u32::from(opening.await??.status.as_u16() == 429);
    }
    assert!(refused > 0, "100 openings at once");
    Ok(())
}
