//! What the panel shows and which casts it plays, decided from the hub's view, the age of the pictures and the time.
//!
//! Nothing here reads a clock, a socket or a picture: all of them are arguments, the plan is data.

use std::{collections::BTreeMap, time::Duration};

use classroom_protocol::{PanelView, SourceId, view::Marks};

/// Time since the program started.
pub(crate) type At = Duration;

/// A tile without a decoded picture for this long says "signal lost". The promise is 2 s from the last picture; the
/// rest is for the director's tick and for painting.
pub(crate) const LOST_AFTER: Duration = Duration::from_millis(1_850);
/// The last view holds this long without the hub; then the panel shows nothing that the hub may have taken off.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(10);
/// A missing hub is mentioned after this long: a restart should pass unseen.
pub(crate) const HUB_MARK_AFTER: Duration = Duration::from_secs(3);
/// A cast that left the stage stays connected this long, so that a second tap shows it at once.
pub(crate) const WARM_FOR: Duration = Duration::from_secs(20);
/// At most this many casts stay connected off stage; the one that left first goes first.
pub(crate) const WARM_MAX: usize = 4;
/// More tiles than this are never drawn.
pub(crate) const MAX_TILES: usize = 9;

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scene {
    /// The panel belongs to no room yet; six digits for the teacher, `None` while they are fetched.
    Pairing {
        /// The digits.
        code: Option<String>,
    },
    /// The hub does not answer.
    Searching {
        /// The room's name, if it was ever known.
        room: Option<String>,
    },
    /// No cast on the stage.
    Idle(Bar),
    /// All casts are paused.
    Attention(Bar),
    /// Casts.
    Tiles {
        /// What the slim bar says.
        bar: Bar,
        /// 1, 2, 4 or 9 places; `None` is a free one.
        tiles: Vec<Option<TileScene>>,
    },
}

/// What every picture of a paired panel tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    /// The room's name.
    pub(crate) room: String,
    /// The class in the room.
    pub(crate) class_name: Option<String>,
    /// Address of the students' page, as people type it.
    pub(crate) join_url: String,
    /// The room code, while a lesson runs.
    pub(crate) code: Option<String>,
    /// Recording and live marks.
    pub(crate) marks: Marks,
    /// What is wrong with the box's settings.
    pub(crate) notice: Option<String>,
    /// The hub has been away for a while.
    pub(crate) hub_gone: bool,
}

/// One cast on the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TileScene {
    /// Whose picture.
    pub(crate) source: SourceId,
    /// Name to print; empty for the teacher's own screen.
    pub(crate) label: String,
    /// How the picture is.
    pub(crate) picture: Picture,
}

/// How a tile's picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picture {
    /// None has come yet.
    Waiting,
    /// It moves, or could.
    Moving,
    /// It stands still by the teacher's will.
    Frozen,
    /// None has come for [`LOST_AFTER`].
    Lost,
}

/// How large a picture the tile can use, as the name of the simulcast layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// Enough for one of nine tiles.
    Middle,
    /// The best.
    High,
}

/// A cast to keep connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Play {
    /// Whose.
    pub(crate) source: SourceId,
    /// How large it is shown.
    pub(crate) layer: Layer,
    /// Pictures should be flowing: when none come the player looks for a way of its own.
    pub(crate) expected: bool,
    /// The hub says that the source is publishing.
    pub(crate) live: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What to draw.
    pub(crate) scene: Scene,
    /// Casts to keep connected; all others are to be closed.
    pub(crate) play: Vec<Play>,
    /// Sources whose picture is lost, to be reported.
    pub(crate) lost: Vec<SourceId>,
}

#[derive(Debug)]
enum Hub {
    Searching,
    Unpaired { code: Option<String> },
    Up,
    Gone { since: At },
}

#[derive(Debug)]
struct Cast {
    /// Pictures older than this say nothing: before it the tile was not shown, frozen or paused.
    counts_from: At,
    /// Since when the hub has called it live.
    live_since: Option<At>,
    /// When it left the stage.
    left: Option<At>,
    frozen: bool,
}

/// The panel's memory: what the hub said last and since when each cast is where it is.
#[derive(Debug)]
pub(crate) struct Stage {
    hub: Hub,
    view: Option<PanelView>,
    casts: BTreeMap<SourceId, Cast>,
}

impl Stage {
    /// Nothing known yet.
    pub(crate) fn new() -> Self {
        Self { hub: Hub::Searching, view: None, casts: BTreeMap::new() }
    }

    /// The panel has no room: everything it knew is void.
    pub(crate) fn unpaired(&mut self, code: Option<String>) {
        self.hub = Hub::Unpaired { code };
        self.view = None;
        self.casts.clear();
    }

    /// The connection to the hub broke.
    pub(crate) fn hub_gone(&mut self, now: At) {
        if matches!(self.hub, Hub::Up) {
            self.hub = Hub::Gone { since: now };
        }
    }

    /// What was said last still holds.
    pub(crate) fn hub_back(&mut self, now: At) {
        if let Some(view) = self.view.take() {
            self.view(view, now);
        }
    }

    /// The hub's newest word.
    pub(crate) fn view(&mut self, view: PanelView, now: At) {
        let was_paused = self.attention();
        self.hub = Hub::Up;
        self.view = Some(view);
        let paused = self.attention();
        let Some(view) = &self.view else { return };
        for tile in view.stage.tiles.iter().take(MAX_TILES).flatten() {
            let cast = self.casts.entry(tile.source.clone()).or_insert(Cast {
                counts_from: now,
                live_since: None,
                left: None,
                frozen: tile.frozen,
            });
            if cast.left.take().is_some() || (was_paused && !paused) || (cast.frozen && !tile.frozen) {
                cast.counts_from = now;
            }
            cast.frozen = tile.frozen;
            cast.live_since = if tile.live { cast.live_since.or(Some(now)) } else { None };
        }
        let on_stage = |source: &SourceId| {
            view.lesson.is_some()
                && view.stage.tiles.iter().take(MAX_TILES).flatten().any(|tile| tile.source == *source)
        };
        for (source, cast) in &mut self.casts {
            if !on_stage(source) && cast.left.is_none() {
                cast.left = Some(now);
                cast.live_since = None;
            }
        }
        if view.lesson.is_none() {
            self.casts.clear();
        }
    }

    /// What to do now. `newest` gives when the newest picture of a source was decoded.
    pub(crate) fn plan(&mut self, now: At, newest: impl Fn(&SourceId) -> Option<At>) -> Plan {
        let nothing = |scene| Plan { scene, play: Vec::new(), lost: Vec::new() };
        let hub_gone = match &self.hub {
            Hub::Searching => return nothing(Scene::Searching { room: None }),
            Hub::Unpaired { code } => return nothing(Scene::Pairing { code: code.clone() }),
            Hub::Gone { since } if now.saturating_sub(*since) >= STALE_AFTER => {
                self.casts.clear();
                return nothing(Scene::Searching { room: self.view.as_ref().map(|view| view.room.clone()) });
            }
            Hub::Gone { since } => now.saturating_sub(*since) >= HUB_MARK_AFTER,
            Hub::Up => false,
        };
        self.cool(now);
        let attention = self.attention();
        let Some(view) = &self.view else { return nothing(Scene::Searching { room: None }) };
        let bar = Bar {
            room: view.room.clone(),
            class_name: view.lesson.as_ref().map(|lesson| lesson.class_name.clone()),
            join_url: view.join_url.clone(),
            code: view.code.clone(),
            marks: view.marks,
            notice: view.notice.clone(),
            hub_gone,
        };
        if view.lesson.is_none() {
            return nothing(Scene::Idle(bar));
        }
        let mut tiles: Vec<Option<TileScene>> = view
            .stage
            .tiles
            .iter()
            .take(MAX_TILES)
            .map(|tile| {
                tile.as_ref().map(|tile| TileScene {
                    source: tile.source.clone(),
                    label: tile.label.clone(),
                    picture: self.picture(&tile.source, now, newest(&tile.source)),
                })
            })
            .collect();
        tiles.resize(places(view.stage.layout, tiles.len()), None);
        let layer = if tiles.len() > 4 { Layer::Middle } else { Layer::High };
        let mut play: Vec<Play> = Vec::new();
        for tile in tiles.iter().flatten() {
            if play.iter().all(|play| play.source != tile.source) {
                let live = self.casts.get(&tile.source).is_some_and(|cast| cast.live_since.is_some());
                let expected = live && !attention && tile.picture != Picture::Frozen;
                play.push(Play { source: tile.source.clone(), layer, expected, live });
            }
        }
        let warm = self.casts.iter().filter(|(_, cast)| cast.left.is_some());
        play.extend(warm.map(|(source, _)| Play { source: source.clone(), layer, expected: false, live: false }));
        // A voice from home has no picture: nothing is expected but the connection.
        if let Some(voice) = &view.voice {
            play.push(Play { source: voice.source.clone(), layer: Layer::High, expected: false, live: voice.live });
        }
        let mut lost: Vec<SourceId> = Vec::new();
        if !attention {
            for tile in tiles.iter().flatten() {
                if tile.picture == Picture::Lost && !lost.contains(&tile.source) {
                    lost.push(tile.source.clone());
                }
            }
        }
        let scene = if attention {
            Scene::Attention(bar)
        } else if tiles.iter().all(Option::is_none) {
            Scene::Idle(bar)
        } else {
            Scene::Tiles { bar, tiles }
        };
        Plan { scene, play, lost }
    }

    fn attention(&self) -> bool {
        self.view.as_ref().and_then(|view| view.lesson.as_ref()).is_some_and(|lesson| lesson.attention)
    }

    fn picture(&self, source: &SourceId, now: At, newest: Option<At>) -> Picture {
        let Some(cast) = self.casts.get(source) else { return Picture::Waiting };
        if cast.frozen {
            return Picture::Frozen;
        }
        let fresh = |since: At| now.saturating_sub(since) < LOST_AFTER;
        match newest {
            Some(at) if fresh(at.max(cast.counts_from)) => Picture::Moving,
            Some(_) => Picture::Lost,
            None if cast.live_since.is_some_and(|since| !fresh(since.max(cast.counts_from))) => Picture::Lost,
            None => Picture::Waiting,
        }
    }

    /// Lets go of casts that left the stage long ago, or of too many of them.
    fn cool(&mut self, now: At) {
        self.casts.retain(|_, cast| cast.left.is_none_or(|left| now.saturating_sub(left) < WARM_FOR));
        while self.casts.values().filter(|cast| cast.left.is_some()).count() > WARM_MAX {
            let Some(first) = self
                .casts
                .iter()
                .filter_map(|(source, cast)| cast.left.map(|left| (left, source.clone())))
                .min()
                .map(|(_, source)| source)
            else {
                break;
            };
            self.casts.remove(&first);
        }
    }
}

/// The number of places drawn for a layout: the hub's word, but never fewer than there are tiles.
fn places(layout: u8, tiles: usize) -> usize {
    [1, 2, 4, MAX_TILES].into_iter().find(|places| *places >= usize::from(layout).max(tiles)).unwrap_or(MAX_TILES)
}

#[cfg(test)]
mod tests;
