//! HLS (RFC 8216): a master playlist with one quality and its sound, or a single media playlist.

use std::collections::VecDeque;

use appliance_core::library::kind;
use bytes::Bytes;
use m3u8_rs::{AlternativeMediaType, Key, KeyMethod, Map, MasterPlaylist, MediaPlaylist, Playlist, parse_playlist_res};
use reqwest::Url;

use super::{super::Planned, Parts, QUALITY, Unfit, ending};

/// Sounds and subtitles beside the picture that are kept.
const RENDITIONS: usize = 8;

/// A stream that is being planned: playlists in, the plan out.
#[derive(Debug)]
pub struct Hls {
    parts: Parts,
    written: Vec<(u32, Bytes)>,
    /// Media playlists that are still to be read, and the parts that they become.
    wanted: VecDeque<(Url, u32)>,
}

impl Hls {
    /// Begins with the playlist that the teacher named; `base` is where it was found.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn begin(text: &[u8], base: &Url) -> Result<Self, Unfit> {
        let mut stream = Self { parts: Parts::default(), written: Vec::new(), wanted: VecDeque::new() };
        let index = stream.parts.own("index.m3u8");
        match read(text)? {
            Playlist::MasterPlaylist(master) => stream.master(master, base, index)?,
            Playlist::MediaPlaylist(media) => stream.media(media, base, index)?,
        }
        Ok(stream)
    }

    /// The media playlist that has to be fetched next.
    pub fn wants(&self) -> Option<Url> {
        self.wanted.front().map(|(url, _)| url.clone())
    }

    /// Takes the playlist that [`Self::wants`] named; `base` is where it was found after redirects.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn take(&mut self, text: &[u8], base: &Url) -> Result<(), Unfit> {
        let Some((_, number)) = self.wanted.pop_front() else { return Ok(()) };
        match read(text)? {
            Playlist::MediaPlaylist(media) => self.media(media, base, number),
            Playlist::MasterPlaylist(_) => Err(Unfit::Malformed),
        }
    }

    /// The plan.
    pub fn done(self) -> Planned {
        Planned { parts: self.parts.list, written: self.written }
    }

    fn master(&mut self, mut master: MasterPlaylist, base: &Url, index: u32) -> Result<(), Unfit> {
        master.variants.retain(|variant| !variant.is_i_frame && !variant.uri.is_empty());
        let bandwidths: Vec<u64> = master.variants.iter().map(|variant| variant.bandwidth).collect();
        let chosen = kind::quality(&bandwidths, QUALITY).ok_or(Unfit::Malformed)?;
        let mut variant = master.variants.swap_remove(chosen);
        let picture = base.join(&variant.uri).map_err(|_| Unfit::Malformed)?;
        variant.uri = "picture.m3u8".into();
        let number = self.parts.own(&variant.uri);
        self.wanted.push_back((picture, number));
        let groups = [&variant.audio, &variant.subtitles, &variant.video];
        master.alternatives.retain(|other| groups.iter().any(|group| group.as_deref() == Some(&other.group_id)));
        master.alternatives.truncate(RENDITIONS);
        for (n, other) in master.alternatives.iter_mut().enumerate() {
            other.other_attributes = None;
            if let Some(uri) = other.uri.take() {
                let url = base.join(&uri).map_err(|_| Unfit::Malformed)?;
                let kind = if other.media_type == AlternativeMediaType::Subtitles { "text" } else { "sound" };
                let name = format!("{kind}{n}.m3u8");
                let number = self.parts.own(&name);
                self.wanted.push_back((url, number));
                other.uri = Some(name);
            }
        }
        variant.other_attributes = None;
        master.variants = vec![variant];
        // These hold addresses of the origin.
        master.session_data.clear();
        master.session_key.clear();
        master.unknown_tags.clear();
        let mut text = Vec::new();
        master.write_to(&mut text).map_err(|_| Unfit::Malformed)?;
        self.written.push((index, text.into()));
        Ok(())
    }

    fn media(&mut self, mut media: MediaPlaylist, base: &Url, number: u32) -> Result<(), Unfit> {
        if !media.end_list {
            return Err(Unfit::Live);
        }
        media.unknown_tags.clear();
        for segment in &mut media.segments {
            segment.uri = self.part(base, &segment.uri, "ts")?;
            segment.unknown_tags.clear();
            segment.daterange = None;
            segment.title = None;
            if let Some(map) = &mut segment.map {
                *map = Map {
                    uri: self.part(base, &map.uri, "mp4")?,
                    byte_range: map.byte_range.take(),
                    other_attributes: Default::default(),
                };
            }
            if let Some(key) = &mut segment.key {
                *key = self.key(base, key)?;
            }
        }
        let mut text = Vec::new();
        media.write_to(&mut text).map_err(|_| Unfit::Malformed)?;
        self.written.push((number, text.into()));
        Ok(())
    }

    fn part(&mut self, base: &Url, uri: &str, end: &'static str) -> Result<String, Unfit> {
        let url = base.join(uri).map_err(|_| Unfit::Malformed)?;
        let end = ending(&url, end);
        self.parts.at(url, |number| format!("{number}.{end}"))
    }

    /// A key that lies open beside the segments is one more part; any other belongs to a licence.
    fn key(&mut self, base: &Url, key: &Key) -> Result<Key, Unfit> {
        let open = key.keyformat.as_deref().is_none_or(|format| format == "identity");
        match (&key.method, &key.uri) {
            (KeyMethod::None, _) => Ok(Key { method: KeyMethod::None, ..Key::default() }),
            (KeyMethod::AES128, Some(uri)) if open => Ok(Key {
                method: KeyMethod::AES128,
                uri: Some(self.part(base, uri, "key")?),
                iv: key.iv.clone(),
                keyformat: None,
                keyformatversions: None,
            }),
            _ => Err(Unfit::Protected),
        }
    }
}

fn read(text: &[u8]) -> Result<Playlist, Unfit> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !text.starts_with(b"#EXTM3U") {
        return Err(Unfit::Malformed);
    }
    parse_playlist_res(text).map_err(|_| Unfit::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn base() -> Url {
        Url::parse("https://media.example/a/b/master.m3u8?x=1").unwrap()
    }

    #[test]
    fn one_quality_and_its_sound_are_kept() {
        let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"zh\",URI=\"../snd/a.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"zh\",URI=\"b.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=9000000,AUDIO=\"b\"\nhigh.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=3000000,AUDIO=\"a\"\nhttps://cdn.example/mid.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=300000,AUDIO=\"a\"\nlow.m3u8\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n";
        let mut stream = Hls::begin(master.as_bytes(), &base()).unwrap();
        assert_eq!(stream.wants().unwrap().as_str(), "https://cdn.example/mid.m3u8");
        let media = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n\
            #EXT-X-KEY:METHOD=AES-128,URI=\"k.bin\"\n#EXTINF:4,\nseg1.m4s\n#EXTINF:4,\nseg2.m4s?y\n#EXT-X-ENDLIST\n";
        stream.take(media.as_bytes(), &Url::parse("https://cdn.example/mid.m3u8").unwrap()).unwrap();
        assert_eq!(stream.wants().unwrap().as_str(), "https://media.example/a/snd/a.m3u8");
        let sound = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:100@0\ns.aac\n#EXTINF:4,\n\
            #EXT-X-BYTERANGE:100\ns.aac\n#EXT-X-ENDLIST\n";
        stream.take(sound.as_bytes(), &Url::parse("https://media.example/a/snd/a.m3u8").unwrap()).unwrap();
        assert!(stream.wants().is_none());
        let plan = stream.done();
        let names: Vec<&str> = plan.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names[..3], ["index.m3u8", "picture.m3u8", "sound0.m3u8"]);
        let urls: Vec<&str> = plan.parts.iter().filter_map(|part| part.url.as_deref()).collect();
        assert_eq!(
            urls,
            [
                "https://cdn.example/seg1.m4s",
                "https://cdn.example/init.mp4",
                "https://cdn.example/k.bin",
                "https://cdn.example/seg2.m4s?y",
                "https://media.example/a/snd/s.aac"
            ]
        );
        // Nothing in what was written leads outside.
        for (_, text) in &plan.written {
            let text = String::from_utf8(text.to_vec()).unwrap();
            assert!(!text.contains("://") && !text.contains(".."), "{text}");
            read(text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn what_can_not_be_kept_is_told() {
        let begin = |text: &str| Hls::begin(text.as_bytes(), &base()).map(drop).unwrap_err();
        let media = |lines: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{lines}#EXTINF:4,\na.ts\n");
        assert_eq!(begin(&media("")), Unfit::Live);
        assert_eq!(begin("<html>"), Unfit::Malformed);
        let drm = media("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n");
        assert_eq!(begin(&(drm + "#EXT-X-ENDLIST\n")), Unfit::Protected);
        let file = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";
        assert_eq!(begin(file), Unfit::Unknown);
    }
}
