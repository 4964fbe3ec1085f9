//! The panel's own pictures: pairing, searching, idle, attention, and the slim bar under the casts.

use cairo::Error;
use classroom_protocol::catalogue::{self, Lang};

use crate::{
    draw::{At, Sheet, Type, inks},
    geometry::{self, Rect},
    sprite::Sprite,
    stage::{Bar, Picture, Scene, TileScene},
};

/// What the clock says, in the panel's own time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Hours and minutes.
    pub(crate) time: String,
    /// The day in words.
    pub(crate) date: String,
}

/// What is the same on every picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct House<'a> {
    pub(crate) lang: Lang,
    /// Address of the hub, for a teacher who pairs the panel.
    pub(crate) hub: &'a str,
}

impl House<'_> {
    fn say(&self, key: &str) -> &'static str {
        catalogue::text(self.lang, &format!("console.display-{key}"))
    }

    /// The name to print on a tile.
    fn label<'t>(&self, tile: &'t TileScene) -> &'t str {
        if tile.label.is_empty() && tile.source == classroom_protocol::SourceId::teacher() {
            catalogue::text(self.lang, "common.teacher-screen")
        } else {
            &tile.label
        }
    }
}

/// Six digits in two groups, as people read them out.
fn grouped(code: &str) -> String {
    match (code.get(..3), code.get(3..)) {
        (Some(a), Some(b)) if code.len() == 6 => format!("{a} {b}"),
        _ => code.to_owned(),
    }
}

/// The address as people type it: without the scheme, which browsers add.
fn spoken(url: &str) -> &str {
    url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url).trim_end_matches('/')
}

/// The address for the QR code: with the room code in it, so that nobody has to type anything.
fn scanned(join_url: &str, code: &str) -> String {
    let scheme = if join_url.contains("://") { "" } else { "http://" };
    format!("{scheme}{join_url}?code={code}")
}

/// The whole panel for a scene, without the casts' pictures.
pub(crate) fn base(width: u32, height: u32, scene: &Scene, clock: &Clock, house: House<'_>) -> Result<Sprite, Error> {
    let sheet = Sheet::new(width, height)?;
    sheet.flood(inks::NIGHT)?;
    let page = Page { sheet: &sheet, w: f64::from(width), h: f64::from(height), house };
    match scene {
        Scene::Pairing { code } => page.pairing(code.as_deref(), clock)?,
        Scene::Searching { room } => page.searching(room.as_deref(), clock),
        Scene::Idle(bar) => page.idle(bar, clock)?,
        Scene::Attention(bar) => page.attention(bar, clock)?,
        Scene::Tiles { bar, tiles } => page.tiles(bar, tiles, clock, width, height)?,
    }
    let (stride, pixels) = sheet.into_pixels()?;
    Ok(Sprite::from_argb(0, 0, width as usize, height as usize, stride, &pixels))
}

/// What is laid over a cast's picture: its name, and how it is when it does not move.
pub(crate) fn caption(
    tile: Rect,
    panel_height: u32,
    scene: &TileScene,
    named_in_bar: bool,
    house: House<'_>,
) -> Result<Vec<Sprite>, Error> {
    let h = f64::from(panel_height);
    let mut sprites = Vec::new();
    let label = house.label(scene);
    let frozen = scene.picture == Picture::Frozen;
    if !label.is_empty() && !named_in_bar || frozen {
        let size = h * 0.036;
        let name = if named_in_bar { "" } else { label };
        let mark = if frozen { house.say("frozen") } else { "" };
        let margin = h * 0.008;
        sprites.push(pill(tile, size, name, mark, |w, h| {
            (f64::from(tile.x) + margin, f64::from(tile.y + tile.h) - h - margin, w)
        })?);
    }
    if scene.picture == Picture::Lost {
        let size = (f64::from(tile.h) * 0.11).min(h * 0.07);
        sprites.push(pill(tile, size, "", house.say("lost"), |w, h| {
            let middle = |start: u32, length: u32, own: f64| f64::from(start) + (f64::from(length) - own) / 2.0;
            (middle(tile.x, tile.w, w), middle(tile.y, tile.h, h), w)
        })?);
    }
    Ok(sprites)
}

/// A dark pill with a name in white and a mark in amber; `place` gives its left upper corner for its width and height.
fn pill(
    tile: Rect,
    size: f64,
    name: &str,
    mark: &str,
    place: impl FnOnce(f64, f64) -> (f64, f64, f64),
) -> Result<Sprite, Error> {
    let name_look = Type { size, bold: true, ink: inks::WHITE };
    let mark_look = Type { ink: inks::AMBER, ..name_look };
    let (inset, gap) = (size * 0.5, if name.is_empty() || mark.is_empty() { 0.0 } else { size * 0.5 });
    let widest = (f64::from(tile.w) - size * 2.0).max(size);
    let probe = Sheet::new(2, 2)?;
    let mark_width = if mark.is_empty() { 0.0 } else { probe.width(mark, mark_look, widest) };
    let name_room = (widest - mark_width - gap).max(0.0);
    let name_width = if name.is_empty() { 0.0 } else { probe.width(name, name_look, name_room) };
    let width = (((name_width + gap + mark_width + inset * 2.0).ceil() as u32) + 1) & !1;
    let height = ((size * 1.5) as u32 + 1) & !1;
    let sheet = Sheet::new(width, height)?;
    let (w, h) = (f64::from(width), f64::from(height));
    sheet.block(0.0, 0.0, w, h, h * 0.25, inks::SHADE)?;
    if !name.is_empty() {
        sheet.text(inset, h / 2.0, At::Left, name_look, name_room, name);
    }
    if !mark.is_empty() {
        sheet.text(w - inset, h / 2.0, At::Right, mark_look, widest, mark);
    }
    let (stride, pixels) = sheet.into_pixels()?;
    let (x, y, _) = place(w, h);
    Ok(Sprite::from_argb(x as u32 & !1, y as u32 & !1, width as usize, height as usize, stride, &pixels))
}

/// A panel to draw on. Lengths are parts of its height, so that every size and shape looks alike.
struct Page<'a> {
    sheet: &'a Sheet,
    w: f64,
    h: f64,
    house: House<'a>,
}

impl Page<'_> {
    /// Safe distance from the edges.
    fn margin(&self) -> f64 {
        self.h * 0.06
    }

    fn white(&self, size: f64) -> Type {
        Type { size: self.h * size, bold: true, ink: inks::WHITE }
    }

    fn grey(&self, size: f64) -> Type {
        Type { size: self.h * size, bold: false, ink: inks::GREY }
    }

    /// A text in the largest size up to `size` in which it fits.
    fn fitted(&self, mut look: Type, widest: f64, text: &str) -> Type {
        let smallest = self.h * 0.028;
        // Letters do not shrink exactly with their size: a pixel too wide would cost the sentence its end.
        for _ in 0..4 {
            let full = self.sheet.width(text, look, f64::MAX);
            if full <= widest || look.size <= smallest {
                break;
            }
            look.size = (look.size * widest / full * 0.995).max(smallest);
        }
        look
    }

    fn centred(&self, y: f64, look: Type, text: &str) {
        let widest = self.w - self.margin() * 2.0;
        let look = self.fitted(look, widest, text);
        self.sheet.text(self.w / 2.0, self.h * y, At::Middle, look, widest, text);
    }

    /// Room name on the left, clock on the right, marks between.
    fn header(&self, room: &str, class_name: Option<&str>, clock: &Clock) {
        let y = self.margin() + self.h * 0.04;
        let clock_width =
            self.sheet.text(self.w - self.margin(), y, At::Right, self.white(0.075), self.w * 0.3, &clock.time);
        let date_end = self.w - self.margin() - clock_width - self.h * 0.03;
        let date_width = self.sheet.text(date_end, y, At::Right, self.grey(0.036), self.w * 0.3, &clock.date);
        let room_end = date_end - date_width - self.h * 0.04;
        let named = self.sheet.text(self.margin(), y, At::Left, self.white(0.06), room_end - self.margin(), room);
        if let Some(class_name) = class_name {
            let x = self.margin() + named + self.h * 0.03;
            let left = room_end - x;
            if left > self.h * 0.08 {
                self.sheet.text(x, y, At::Left, self.grey(0.045), left, class_name);
            }
        }
    }

    fn pairing(&self, code: Option<&str>, clock: &Clock) -> Result<(), Error> {
        self.header(catalogue::text(self.house.lang, "panel.pair-title"), None, clock);
        match code {
            Some(code) => {
                self.centred(0.45, Type { ink: inks::AMBER, ..self.white(0.30) }, &grouped(code));
                let address = format!("{}/teach", spoken(self.house.hub));
                let how = catalogue::fill(self.house.lang, "panel.pair-hint", &[("address", &address)]);
                self.centred(0.76, self.white(0.055), &how);
            }
            None => self.centred(0.5, self.white(0.08), self.house.say("pair-wait")),
        }
        Ok(())
    }

    fn searching(&self, room: Option<&str>, clock: &Clock) {
        self.header(room.unwrap_or_default(), None, clock);
        self.centred(0.46, self.white(0.085), self.house.say("searching"));
        self.centred(0.60, self.grey(0.045), self.house.say("searching-how"));
        self.centred(0.70, self.grey(0.036), spoken(self.house.hub));
    }

    fn idle(&self, bar: &Bar, clock: &Clock) -> Result<(), Error> {
        match &bar.code {
            Some(code) => {
                self.header(&bar.room, bar.class_name.as_deref(), clock);
                self.way_in(bar, code)?;
            }
            None => {
                self.header(&bar.room, bar.class_name.as_deref(), clock);
                self.centred(0.46, Type { bold: false, ..self.white(0.32) }, &clock.time);
                self.centred(0.70, self.grey(0.055), self.house.say("no-lesson"));
                self.centred(0.79, self.grey(0.045), spoken(&bar.join_url));
            }
        }
        if let Some(notice) = &bar.notice {
            let widest = self.w - 2.0 * self.margin();
            let look = self.fitted(Type { ink: inks::AMBER, ..self.white(0.034) }, widest, notice);
            self.sheet.text(self.w / 2.0, self.h - self.margin() - self.h * 0.075, At::Middle, look, widest, notice);
        }
        self.footer_marks(bar)
    }

    /// Code and address on the left, the QR code on the right.
    fn way_in(&self, bar: &Bar, code: &str) -> Result<(), Error> {
        let side = (self.h * 0.50).min(self.w * 0.32);
        let qr_x = self.w - self.margin() - side;
        let left = self.margin();
        let widest = qr_x - left - self.h * 0.06;
        self.sheet.text(left, self.h * 0.29, At::Left, self.grey(0.05), widest, self.house.say("join-how"));
        let address = spoken(&bar.join_url);
        let look = self.fitted(self.white(0.085), widest, address);
        self.sheet.text(left, self.h * 0.38, At::Left, look, widest, address);
        self.sheet.text(left, self.h * 0.53, At::Left, self.grey(0.05), widest, self.house.say("join-code"));
        let digits = grouped(code);
        let look = self.fitted(Type { ink: inks::AMBER, ..self.white(0.25) }, widest, &digits);
        self.sheet.text(left, self.h * 0.69, At::Left, look, widest, &digits);
        let qr_y = self.h * 0.25;
        self.sheet.qr(qr_x, qr_y, side, &scanned(&bar.join_url, code))?;
        let below = qr_y + side + self.h * 0.05;
        self.sheet.text(qr_x + side / 2.0, below, At::Middle, self.grey(0.045), side, self.house.say("join-scan"));
        Ok(())
    }

    fn attention(&self, bar: &Bar, clock: &Clock) -> Result<(), Error> {
        self.header(&bar.room, bar.class_name.as_deref(), clock);
        self.centred(0.45, Type { ink: inks::AMBER, ..self.white(0.22) }, self.house.say("attention"));
        self.centred(0.66, self.white(0.06), self.house.say("attention-how"));
        self.footer_marks(bar)
    }

    /// Marks in the left lower corner of the panel's own pictures.
    fn footer_marks(&self, bar: &Bar) -> Result<(), Error> {
        let y = self.h - self.margin() - self.h * 0.02;
        let mut x = self.margin();
        x = self.marks(x, y, 0.04, bar, true)?;
        if bar.hub_gone {
            let text = self.house.say("hub-gone");
            self.sheet.text(x, y, At::Left, Type { ink: inks::AMBER, ..self.grey(0.036) }, self.w - x, text);
        }
        Ok(())
    }

    /// Recording and live marks from `x` on, to the right or to the left. Returns where they end.
    fn marks(&self, mut x: f64, y: f64, size: f64, bar: &Bar, rightward: bool) -> Result<f64, Error> {
        let marks = [
            (bar.marks.recording, "recording", inks::RED),
            (bar.marks.live, "live", inks::GREEN),
            (bar.marks.offline, "offline", inks::AMBER),
        ];
        for (_, key, ink) in marks.into_iter().filter(|(on, ..)| *on) {
            let look = Type { ink, ..self.white(size) };
            let (text, radius) = (self.house.say(key), self.h * size * 0.34);
            let width = self.sheet.width(text, look, self.w);
            let gap = radius * 3.2;
            let start = if rightward { x } else { x - width - gap };
            self.sheet.dot(start + radius, y, radius, ink)?;
            self.sheet.text(start + gap, y, At::Left, look, self.w, text);
            let space = self.h * size;
            x = if rightward { start + gap + width + space } else { start - space };
        }
        Ok(x)
    }

    fn tiles(
        &self,
        bar: &Bar,
        tiles: &[Option<TileScene>],
        clock: &Clock,
        width: u32,
        height: u32,
    ) -> Result<(), Error> {
        let places = geometry::tiles(width, height, tiles.len());
        for (place, tile) in places.iter().zip(tiles) {
            let Some(tile) = tile else { continue };
            let [x, y, w, h] = [place.x, place.y, place.w, place.h].map(f64::from);
            self.sheet.block(x, y, w, h, 0.0, inks::SLATE)?;
            if tile.picture == Picture::Waiting {
                let label = self.house.label(tile);
                let look = self.fitted(Type { size: h * 0.12, ..self.white(0.05) }, w * 0.9, label);
                self.sheet.text(x + w / 2.0, y + h * 0.43, At::Middle, look, w * 0.9, label);
                let look = Type { size: (h * 0.07).max(self.h * 0.026), ..self.grey(0.03) };
                self.sheet.text(x + w / 2.0, y + h * 0.6, At::Middle, look, w * 0.9, self.house.say("waiting"));
            }
        }
        self.slim_bar(bar, tiles, clock, height)
    }

    fn slim_bar(&self, bar: &Bar, tiles: &[Option<TileScene>], clock: &Clock, height: u32) -> Result<(), Error> {
        let bar_height = f64::from(geometry::bar_height(height));
        let y = self.h - bar_height / 2.0;
        let size = 0.034;
        let edge = self.h * 0.025;
        self.sheet.block(0.0, self.h - bar_height, self.w, bar_height, 0.0, inks::NIGHT)?;
        let end = self.w - edge - self.sheet.text(self.w - edge, y, At::Right, self.white(size), self.w, &clock.time);
        let end = self.marks(end - self.h * 0.03, y, size, bar, false)?;
        let name = match tiles {
            [Some(tile)] => self.house.label(tile),
            _ => bar.room.as_str(),
        };
        // The way in is the bar's purpose: it gets its room first, the name what is left.
        let (middle, ink) = if bar.hub_gone {
            (self.house.say("hub-gone").to_owned(), inks::AMBER)
        } else {
            let code = bar.code.as_deref().map(|code| format!("{} {}", self.house.say("code"), grouped(code)));
            (format!("{}   {}", code.unwrap_or_default(), spoken(&bar.join_url)), inks::GREY)
        };
        let look = Type { ink, bold: true, ..self.grey(size) };
        let name_room = (self.w * 0.3).min(end * 0.4);
        let named = self.sheet.text(edge, y, At::Left, self.white(size), name_room, name);
        let start = edge + named + self.h * 0.04;
        let room = (end - start).max(1.0);
        let width = self.sheet.width(&middle, look, room);
        let x = (self.w / 2.0 - width / 2.0).clamp(start, (end - width).max(start));
        self.sheet.text(x, y, At::Left, look, room, &middle);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn codes_and_addresses_are_shown_as_people_say_them() {
        assert_eq!(grouped("482913"), "482 913");
        assert_eq!(grouped("4829"), "4829");
        assert_eq!(grouped("四八二九"), "四八二九");
        assert_eq!(spoken("http://192.0.2.2:8080/join"), "192.0.2.2:8080/join");
        assert_eq!(scanned("192.0.2.2/join", "482913"), "http://192.0.2.2/join?code=482913");
        assert_eq!(scanned("https://a.example/join", "1"), "https://a.example/join?code=1");
    }

    #[test]
    fn what_a_teacher_must_read_is_not_cut_off() {
        let sheet = Sheet::new(2, 2).unwrap();
        for (w, h) in [(1280.0, 720.0), (1366.0, 768.0), (1920.0, 1080.0), (1080.0, 1920.0)] {
            for hub in ["http://127.0.0.1:21080", "http://192.168.100.200:8080", "http://classroom-box.local"] {
                let page = Page { sheet: &sheet, w, h, house: House { lang: Lang::ZhHantTw, hub } };
                let address = format!("{}/teach", spoken(hub));
                let how = catalogue::fill(Lang::ZhHantTw, "panel.pair-hint", &[("address", &address)]);
                let widest = w - page.margin() * 2.0;
                let look = page.fitted(page.white(0.055), widest, &how);
                let width = sheet.width(&how, look, f64::MAX);
                assert!(width <= widest || look.size <= h * 0.028, "{w}×{h} {hub}: {width} > {widest}");
            }
        }
    }

    #[test]
    fn long_names_stay_in_their_tiles() {
        let house = House { lang: Lang::En, hub: "http://127.0.0.1:8080" };
        let source = classroom_protocol::SourceId::teacher();
        for name in ["歐".repeat(30), "W".repeat(30), "Ann-Sophie ".repeat(3)] {
            for (width, height) in [(1280, 720), (1920, 1080), (1024, 768), (1080, 1920)] {
                for place in geometry::tiles(width, height, 9) {
                    for picture in [Picture::Waiting, Picture::Moving, Picture::Frozen, Picture::Lost] {
                        let tile = TileScene { source: source.clone(), label: name.clone(), picture };
                        for sprite in caption(place, height, &tile, false, house).unwrap() {
                            let (right, bottom) = (sprite.x as usize + sprite.width, sprite.y as usize + sprite.height);
                            let inside = sprite.x >= place.x
                                && sprite.y >= place.y
                                && right <= (place.x + place.w) as usize
                                && bottom <= (place.y + place.h) as usize;
                            assert!(inside, "{picture:?} {place:?}: {},{} to {right},{bottom}", sprite.x, sprite.y);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_picture_is_drawn_at_every_size() {
        let bar = Bar {
            room: "很長的教室名稱".repeat(9),
            class_name: Some("三年二班".into()),
            join_url: "http://192.0.2.2:8080/join".into(),
            code: Some("482913".into()),
            marks: classroom_protocol::view::Marks { recording: true, live: true, offline: true },
            notice: Some("classroom.toml, line 3: unknown field `nam`, expected `name` or `notice`".into()),
            hub_gone: true,
        };
        let tile = |picture| {
            let source = classroom_protocol::SourceId::teacher();
            Some(TileScene { source, label: "歐陽".repeat(20), picture })
        };
        let pictures = [Picture::Waiting, Picture::Moving, Picture::Frozen, Picture::Lost];
        let scenes = [
            Scene::Pairing { code: None },
            Scene::Pairing { code: Some("123456".into()) },
            Scene::Searching { room: Some("a".into()) },
            Scene::Idle(bar.clone()),
            Scene::Idle(Bar { code: None, ..bar.clone() }),
            Scene::Attention(bar.clone()),
            Scene::Tiles { bar: bar.clone(), tiles: pictures.map(tile).into() },
        ];
        let clock = Clock { time: "10:42".into(), date: "11 月 21 日".into() };
        let house = House { lang: Lang::ZhHantTw, hub: "http://127.0.0.1:8080" };
        for (width, height) in [(1280, 720), (320, 200), (200, 320)] {
            for scene in &scenes {
                base(width, height, scene, &clock, house).unwrap();
            }
            for picture in pictures {
                let place = Rect { x: 0, y: 0, w: width / 3, h: height / 3 };
                caption(place, height, &tile(picture).unwrap(), false, house).unwrap();
            }
        }
    }
}
