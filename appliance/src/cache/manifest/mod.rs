//! Streams described by a manifest: which parts it names, and the manifest anew with addresses below the item's own.
//!
//! Pure: text in, text and a list of parts out. One quality is kept ([`QUALITY`]): in the room the line is wide, and the
//! school's line carries it once.

mod dash;
mod hls;

use std::collections::HashMap;

use super::Part;

pub use dash::rewrite as dash;
pub use hls::Hls;
pub use reqwest::Url;

/// Most bits a second of the quality that is kept: 1080p as the ministry's platforms encode it.
pub const QUALITY: u64 = 5_000_000;
/// Most parts of a stream: five hours in segments of a second.
pub const PARTS: usize = 20_000;

/// Why a stream can't be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It can't be read.
    Malformed,
    /// It is live: it has no end yet.
    Live,
    /// It is encrypted with a key that only a player with a licence gets.
    Protected,
    /// It has too many parts.
    TooMany,
    /// It uses a way of naming parts that is not known here.
    Unknown,
}

/// The parts that were found, each address once.
#[derive(Debug, Default)]
struct Parts {
    list: Vec<Part>,
    known: HashMap<String, usize>,
}

impl Parts {
    /// A part that is written here.
    fn own(&mut self, name: &str) -> u32 {
        self.list.push(Part { name: name.to_owned(), url: None, media_type: None });
        u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
    }

    /// The name of the part at `url`; a new one is called as `name` says.
    fn at(&mut self, url: Url, name: impl FnOnce(usize) -> String) -> Result<String, Unfit> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Unfit::Unknown);
        }
        if let Some(number) = self.known.get(url.as_str()) {
            return Ok(self.list[*number].name.clone());
        }
        if self.list.len() >= PARTS {
            return Err(Unfit::TooMany);
        }
        let (number, url) = (self.list.len(), String::from(url));
        let name = name(number);
        self.known.insert(url.clone(), number);
        self.list.push(Part { name: name.clone(), url: Some(url), media_type: None });
        Ok(name)
    }
}

/// The end of a path, as the end of the part's name: players and media types go by it.
fn ending(url: &Url, otherwise: &'static str) -> String {
    let last = url.path().rsplit('/').next().unwrap_or_default();
    let end = last.rsplit_once('.').map(|(_, end)| end).filter(|end| (1..=5).contains(&end.len()));
    let end = end.filter(|end| end.bytes().all(|b| b.is_ascii_alphanumeric()));
    end.map_or_else(|| otherwise.to_owned(), str::to_ascii_lowercase)
}
