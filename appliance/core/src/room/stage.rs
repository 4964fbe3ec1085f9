//! The stage: what stands on the panel, and since when it is seen.

use classroom_protocol::{Millis, SourceId};
use serde::{Deserialize, Serialize};

/// One place of the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile {
    /// What is shown.
    pub source: SourceId,
    /// The picture stands still.
    pub frozen: bool,
    /// When it was put here.
    pub since: Millis,
    /// Since when a picture is seen, while one is.
    seen_since: Option<Millis>,
}

/// The places of the stage; there are always as many as the layout says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    tiles: Vec<Option<Tile>>,
}

/// What changed for those who look at the panel.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Sources that began to be seen.
    pub(crate) seen: Vec<SourceId>,
    /// Sources that are seen no more, and since when they were.
    pub(crate) hidden: Vec<(SourceId, Millis)>,
}

impl Stage {
    /// The layouts there are.
    pub const LAYOUTS: [u8; 4] = [1, 2, 4, 9];

    pub(crate) fn new(layout: u8) -> Self {
        Self { tiles: vec![None; usize::from(layout)] }
    }

    /// The places, in order.
    pub fn tiles(&self) -> &[Option<Tile>] {
        &self.tiles
    }

    /// Number of places.
    pub fn layout(&self) -> u8 {
        u8::try_from(self.tiles.len()).unwrap_or(9)
    }

    /// Which place a source has.
    pub fn tile_of(&self, source: &SourceId) -> Option<u8> {
        let at = self.tiles.iter().position(|tile| tile.as_ref().is_some_and(|tile| tile.source == *source))?;
        u8::try_from(at).ok()
    }

    /// Puts a source on the stage: on the named place, else the first free one, else in place of the oldest.
    /// One that is there already moves to a named place and else stays. `None` when there is no such place.
    pub(crate) fn show(&mut self, source: &SourceId, at: Option<u8>, now: Millis) -> Option<()> {
        let here = self.tile_of(source);
        let to = match (at, here) {
            (None, Some(_)) => return Some(()),
            (Some(at), _) => usize::from(at),
            (None, None) => self.free_or_oldest(),
        };
        if to >= self.tiles.len() {
            return None;
        }
        match here {
            Some(from) => self.tiles.swap(usize::from(from), to),
            None => {
                self.tiles[to] = Some(Tile { source: source.clone(), frozen: false, since: now, seen_since: None });
            }
        }
        Some(())
    }

    fn free_or_oldest(&self) -> usize {
        let age = |tile: &Option<Tile>| tile.as_ref().map_or((false, 0), |tile| (true, tile.since));
        self.tiles.iter().enumerate().min_by_key(|(_, tile)| age(tile)).map_or(0, |(at, _)| at)
    }

    pub(crate) fn remove(&mut self, source: &SourceId) {
        for tile in &mut self.tiles {
            if tile.as_ref().is_some_and(|tile| tile.source == *source) {
                *tile = None;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.tiles.iter_mut().for_each(|tile| *tile = None);
    }

    /// Changes the number of places. When they get fewer the newest sources stay, in their order.
    pub(crate) fn set_layout(&mut self, layout: u8) {
        let places = usize::from(layout);
        let mut kept: Vec<Option<Tile>> = std::mem::take(&mut self.tiles);
        if kept.iter().flatten().count() > places {
            let mut since: Vec<Millis> = kept.iter().flatten().map(|tile| tile.since).collect();
            since.sort_unstable_by(|a, b| b.cmp(a));
            let oldest_kept = since.get(places.saturating_sub(1)).copied().unwrap_or(0);
            kept.retain(|tile| tile.as_ref().is_some_and(|tile| tile.since >= oldest_kept));
        }
        if kept.len() > places {
            kept.retain(Option::is_some);
        }
        kept.resize(places, None);
        self.tiles = kept;
    }

    pub(crate) fn swap(&mut self, a: u8, b: u8) -> Option<()> {
        let (a, b) = (usize::from(a), usize::from(b));
        (a < self.tiles.len() && b < self.tiles.len()).then(|| self.tiles.swap(a, b))
    }

    pub(crate) fn freeze(&mut self, source: &SourceId, on: bool) -> Option<()> {
        let tile = self.tiles.iter_mut().flatten().find(|tile| tile.source == *source)?;
        tile.frozen = on;
        Some(())
    }

    /// Marks what `is_seen` says is seen and tells what that changes against the stage `before`.
    pub(crate) fn settle(&mut self, before: &Self, is_seen: impl Fn(&SourceId) -> bool, now: Millis) -> Changed {
        let mut changed = Changed::default();
        for tile in self.tiles.iter_mut().flatten() {
            tile.seen_since = is_seen(&tile.source).then(|| before.seen_since(&tile.source).unwrap_or(now));
            if tile.seen_since.is_some() && before.seen_since(&tile.source).is_none() {
                changed.seen.push(tile.source.clone());
            }
        }
        for tile in before.tiles.iter().flatten() {
            if let (Some(from), None) = (tile.seen_since, self.seen_since(&tile.source)) {
                changed.hidden.push((tile.source.clone(), from));
            }
        }
        changed
    }

    fn seen_since(&self, source: &SourceId) -> Option<Millis> {
        self.tiles.iter().flatten().find(|tile| tile.source == *source)?.seen_since
    }

    /// After a restart no picture is seen until its session is up again.
    pub(crate) fn nothing_is_seen(&mut self) {
        self.tiles.iter_mut().flatten().for_each(|tile| tile.seen_since = None);
    }
}
