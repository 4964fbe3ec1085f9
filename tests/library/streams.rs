//! HLS and DASH: the manifest and its segments, rewritten to lie below the item's own address.

use anyhow::{Context, Result};
use classroom_protocol::ProblemCode;
use harness::origin::{Thing, noise};
use serde_json::{Value, json};

use crate::room::Room;

fn text(body: &str, kind: &str) -> Thing {
    Thing { body: body.to_owned().into(), etag: "\"t\"".into(), kind: kind.into(), ..Thing::default() }
}

#[tokio::test]
async fn a_stream_with_its_segments_is_kept_and_lies_below_its_own_address() -> Result<()> {
    let room = Room::open().await?;
    let hls = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nv/list.m3u8\n";
    room.origin.put("/h/master.m3u8", text(hls, "text/plain"));
    let media = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\none.ts\n#EXTINF:2,\n/h/two.ts?q=1\n#EXT-X-ENDLIST\n";
    room.origin.put("/h/v/list.m3u8", text(media, "text/plain"));
    room.origin.put_bytes("/h/v/one.ts", noise(30, 100_000), "\"1\"");
    room.origin.put_bytes("/h/two.ts?q=1", noise(31, 1_500_000), "\"2\"");
    let dash = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT4S\"><Period>\
        <AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate timescale=\"1\" duration=\"2\" media=\"s$Number$.m4s\" \
        initialization=\"i.mp4\"/><Representation id=\"a\" bandwidth=\"1000\"/></AdaptationSet></Period></MPD>";
    room.origin.put("/d/x.mpd", text(dash, "application/dash+xml"));
    for (name, seed) in [("i.mp4", 40), ("s1.m4s", 41), ("s2.m4s", 42)] {
        room.origin.put_bytes(&format!("/d/{name}"), noise(seed, 200_000), "\"d\"");
    }
    let hls = room.pin("/h/master.m3u8", false).await?;
    let dash = room.pin("/d/x.mpd", false).await?;
    room.becomes(&hls, "ready").await?;
    room.becomes(&dash, "ready").await?;
    room.origin.down(true);

    let below = |open: &str, name: &str| format!("{}/{name}", open.rsplit_once('/').unwrap().0);
    let master = room.student.get(&hls).await?;
    assert_eq!(master.header("content-type"), "application/vnd.apple.mpegurl");
    let list = master.text().lines().find(|line| !line.starts_with('#')).context("a playlist")?.to_owned();
    let list = room.student.get(&below(&hls, &list)).await?.text();
    let segments: Vec<&str> = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(segments.len(), 2, "{list}");
    for (name, seed, length) in [(segments[0], 30, 100_000), (segments[1], 31, 1_500_000)] {
        assert!(room.student.get(&below(&hls, name)).await?.body == noise(seed, length)[..], "{name}");
    }
    let mpd = room.student.get(&dash).await?;
    assert!(mpd.text().contains("media=\"r0-$Number$.m4s\""), "{}", mpd.text());
    for (name, seed) in [("r0-init.mp4", 40), ("r0-1.m4s", 41), ("r0-2.m4s", 42)] {
        assert!(room.student.get(&below(&dash, name)).await?.body == noise(seed, 200_000)[..], "{name}");
    }
    assert_eq!(room.student.get(&below(&dash, "r0-3.m4s")).await?.status.as_u16(), 404);
    Ok(())
}

#[tokio::test]
async fn streams_that_can_not_be_kept_are_told() -> Result<()> {
    let room = Room::open().await?;
    let live = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\none.ts\n";
    room.origin.put("/live.m3u8", text(live, "application/vnd.apple.mpegurl"));
    room.origin.put("/broken.mpd", text("<MPD", "application/dash+xml"));
    let inside = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://10.0.0.1/secret.ts\n#EXT-X-ENDLIST\n";
    room.origin.put("/inside.m3u8", text(inside, "application/vnd.apple.mpegurl"));
    for (path, code) in [
        ("/live.m3u8", ProblemCode::StreamUnfit),
        ("/broken.mpd", ProblemCode::StreamUnfit),
        ("/inside.m3u8", ProblemCode::AddressRefused),
    ] {
        let reply = room.teacher.post("/api/library/pins", &json!({ "url": room.origin.url(path) })).await?;
        assert_eq!(reply.code()?, code, "{path}: {}", reply.text());
    }
    let list: Value = room.teacher.get("/api/library").await?.json()?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0));
    Ok(())
}
