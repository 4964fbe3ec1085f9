//! What an item is, by its media type; how it may be shown without being able to run as a part of the box's pages.

use serde::{Deserialize, Serialize};

/// What a page draws and how it opens an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Plays in the browser by itself.
    Video,
    /// Plays in the browser by itself.
    Audio,
    /// A picture.
    Image,
    /// PDF.
    Pdf,
    /// A stream described by a manifest (HLS).
    Hls,
    /// A stream described by a manifest (DASH).
    Dash,
    /// Anything else: downloaded.
    File,
}

/// Media type of HLS playlists.
pub const HLS: &str = "application/vnd.apple.mpegurl";
/// Media type of DASH manifests.
pub const DASH: &str = "application/dash+xml";

/// Media type of what may be anything.
pub const BYTES: &str = "application/octet-stream";

/// Media types by the end of a name. What a school uses; anything else is bytes.
const TYPES: &[(&str, &str)] = &[
    ("mp4", "video/mp4"),
    ("m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("ogv", "video/ogg"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("ts", "video/mp2t"),
    ("m4s", "video/iso.segment"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("svg", "image/svg+xml"),
    ("pdf", "application/pdf"),
    ("m3u8", HLS),
    ("mpd", DASH),
    ("vtt", "text/vtt"),
    ("txt", "text/plain; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("zip", "application/zip"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("epub", "application/epub+zip"),
];

fn ending(name: &str) -> Option<String> {
    let (stem, end) = name.rsplit_once('.')?;
    (!stem.is_empty() && end.len() <= 8).then(|| end.to_ascii_lowercase())
}

/// The media type of a file by its name.
pub fn media_type(name: &str) -> &'static str {
    let end = ending(name).unwrap_or_default();
    TYPES.iter().find(|(known, _)| *known == end).map_or(BYTES, |(_, kind)| kind)
}

/// What a media type is, `said` being the origin's word for it and `name` the last part of its address. Origins often say
/// nothing useful of manifests.
pub fn of(said: &str, name: &str) -> Kind {
    let bare = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let useless =
        bare.is_empty() || bare == BYTES || bare == "text/plain" || bare == "text/xml" || bare == "application/xml";
    let by_name = media_type(name);
    let bare = if useless && by_name != BYTES { by_name } else { bare.as_str() };
    match bare.split(';').next().unwrap_or_default() {
        HLS | "application/x-mpegurl" | "audio/mpegurl" | "audio/x-mpegurl" => Kind::Hls,
        DASH => Kind::Dash,
        "application/pdf" => Kind::Pdf,
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "image/avif" => Kind::Image,
        kind if kind.starts_with("video/") => Kind::Video,
        kind if kind.starts_with("audio/") => Kind::Audio,
        _ => Kind::File,
    }
}

/// Whether an answer of the media type `said` may take the place of content of the type `expected`. A network's sign-in page
/// and a host's maintenance page answer every address with a web page and status 200.
pub fn may_replace(expected: &str, said: &str) -> bool {
    let page = |kind: &str| {
        let bare = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        bare == "text/html" || bare == "application/xhtml+xml"
    };
    page(expected) || !page(said)
}

/// How the bytes are handed to a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Showing {
    /// Shown in the page (`inline`), else offered as a download (`attachment`).
    pub inline: bool,
    /// The `Content-Security-Policy` that comes with it.
    pub policy: &'static str,
}

/// What can run scripts is only ever a download, and even then in a box of its own without an origin: nothing that was
/// uploaded or fetched can act with a teacher's or student's credentials.
pub fn showing(kind: &str) -> Showing {
    const SHUT: &str = "sandbox; default-src 'none'";
    let bare = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match of(&bare, "") {
        Kind::Video | Kind::Audio => {
            Showing { inline: true, policy: "sandbox; default-src 'none'; media-src 'self'; style-src 'unsafe-inline'" }
        }
        Kind::Image => {
            Showing { inline: true, policy: "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'" }
        }
        // Browsers show a PDF by a program of their own, which a sandbox would keep out.
        Kind::Pdf => Showing {
            inline: true,
            policy: "default-src 'none'; object-src 'self'; plugin-types application/pdf; style-src 'unsafe-inline'",
        },
        Kind::Hls | Kind::Dash => Showing { inline: true, policy: SHUT },
        Kind::File => Showing { inline: matches!(bare.as_str(), "text/plain" | "text/vtt"), policy: SHUT },
    }
}

/// The longest name of an item or a file, in characters.
pub const NAME_CHARS: usize = 120;

/// A name for people, trimmed. `None` when it is empty, too long or has characters that are not seen.
pub fn title(text: &str) -> Option<String> {
    crate::names::name(text, NAME_CHARS)
}

/// A file's name from what a browser or an address gave: the last part, without what a file system or a header minds, or
/// what would show its ending where it is not.
pub fn file_name(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let mild = |c: char| if c.is_control() || "\"<>:|?*%#;&".contains(c) { '_' } else { c };
    let name: String = last.trim().trim_start_matches('.').chars().map(mild).collect();
    let name = crate::names::without_unseen(&name);
    let count = name.chars().count();
    // The end says what it is, so a long name is cut in front of it.
    let end = ending(&name).map_or(0, |end| end.len() + 1);
    let name = if count > NAME_CHARS {
        let (head, tail) = name.split_at(name.len() - end);
        head.chars().take(NAME_CHARS - end).chain(tail.chars()).collect()
    } else {
        name
    };
    if crate::names::is_seen(&name) { name } else { "file".to_owned() }
}

/// Which of several qualities is kept: the best that needs no more than `most` bits a second, else the thinnest. One is
/// enough: in the room the line is wide, and the school's line carries it once.
pub fn quality(bandwidths: &[u64], most: u64) -> Option<usize> {
    let fitting = bandwidths.iter().enumerate().filter(|(_, bits)| **bits <= most).max_by_key(|(_, bits)| **bits);
    fitting.or_else(|| bandwidths.iter().enumerate().min_by_key(|(_, bits)| **bits)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_type_and_name() {
        assert_eq!(of("video/mp4; codecs=avc1", "x"), Kind::Video);
        assert_eq!(of("text/plain", "index.m3u8"), Kind::Hls);
        assert_eq!(of("application/octet-stream", "a.MPD"), Kind::Dash);
        assert_eq!(of("", "photo.JPG"), Kind::Image);
        assert_eq!(of("image/svg+xml", "a.svg"), Kind::File);
        assert_eq!(of("text/html", "video.mp4"), Kind::File, "an error page is no video");
        assert_eq!(media_type(".mp4"), "application/octet-stream");
    }

    #[test]
    fn a_web_page_does_not_replace_a_video() {
        assert!(!may_replace("video/mp4", "text/html; charset=utf-8") && !may_replace("application/pdf", "Text/HTML"));
        assert!(may_replace("video/mp4", "application/octet-stream") && may_replace("text/html", "text/html"));
    }

    #[test]
    fn what_could_run_is_shut_in() {
        for kind in
            ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml", "x/y", ""]
        {
            let showing = showing(kind);
            assert!(!showing.inline && showing.policy.starts_with("sandbox;"), "{kind}");
        }
        assert!(showing("video/mp4").inline && showing("application/pdf").inline);
    }

    #[test]
    fn names_are_made_harmless() {
        assert_eq!(file_name("../../etc/passwd"), "passwd");
        assert_eq!(file_name("C:\\x\\第三課 分數.mp4"), "第三課 分數.mp4");
        assert_eq!(file_name("a\"\r\nX: y.mp4"), "a___X_ y.mp4");
        assert_eq!(file_name("..."), "file");
        assert_eq!(file_name("\u{200b}\u{2800}"), "file");
        assert_eq!(file_name("report\u{202e}4pm.exe"), "report4pm.exe", "shown as report exe.mp4 before");
        let long = file_name(&format!("{}.mp4", "長".repeat(300)));
        assert!(long.chars().count() == NAME_CHARS && long.ends_with(".mp4"));
        assert_eq!(title(" a "), Some("a".into()));
        assert!(title(&"長".repeat(121)).is_none() && title("\u{7}").is_none() && title(" ").is_none());
    }

    #[test]
    fn one_quality_is_chosen() {
        assert_eq!(quality(&[500, 3000, 8000], 4000), Some(1));
        assert_eq!(quality(&[5000, 9000], 4000), Some(0));
        assert_eq!(quality(&[], 4000), None);
    }
}
