//! Where things stand on the panel. All rectangles begin and end on even pixels, as I420 wants.

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) w: u32,
    pub(crate) h: u32,
}

fn even(n: u32) -> u32 {
    n & !1
}

/// Height of the slim bar at the bottom of a panel of this height: text of 3 % of the height can be read at 8 m on a
/// 65-inch panel.
pub(crate) fn bar_height(height: u32) -> u32 {
    even(height * 6 / 100).max(24)
}

/// The places of the stage above the slim bar: one fills it, others stand in a grid with a gap between them.
pub(crate) fn tiles(width: u32, height: u32, count: usize) -> Vec<Rect> {
    let (columns, rows) = match count {
        0 | 1 => (1, 1),
        2 => (2, 1),
        3 | 4 => (2, 2),
        _ => (3, 3),
    };
    let stage = height - bar_height(height);
    let gap = if count <= 1 { 0 } else { even(height / 108).max(2) };
    let w = even((width - gap * (columns + 1)) / columns);
    let h = even((stage - gap * (rows + 1)) / rows);
    let left = even((width - w * columns - gap * (columns - 1)) / 2);
    let top = even((stage - h * rows - gap * (rows - 1)) / 2);
    (0..rows * columns)
        .map(|n| Rect { x: left + (n % columns) * (w + gap), y: top + (n / columns) * (h + gap), w, h })
        .take(count.max(1))
        .collect()
}

/// The largest rectangle of the picture's shape in the middle of `tile`. `par` is the shape of one pixel, width to height.
pub(crate) fn fit(tile: Rect, width: u32, height: u32, par: (u32, u32)) -> Rect {
    let shape_w = u64::from(width.max(1)) * u64::from(par.0.max(1));
    let shape_h = u64::from(height.max(1)) * u64::from(par.1.max(1));
    let (tile_w, tile_h) = (u64::from(tile.w), u64::from(tile.h));
    let (w, h) = if shape_w * tile_h >= shape_h * tile_w {
        (tile_w, tile_w * shape_h / shape_w)
    } else {
        (tile_h * shape_w / shape_h, tile_h)
    };
    // A pixel or two of black beside a picture that nearly fits would look like a fault.
    let near = |n: u64, full: u32| if u64::from(full) - n <= 2 { full } else { even(u32::try_from(n).unwrap_or(full)) };
    let (w, h) = (near(w, tile.w).max(2), near(h, tile.h).max(2));
    Rect { x: tile.x + even((tile.w - w) / 2), y: tile.y + even((tile.h - h) / 2), w, h }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tiles_are_even_apart_and_inside_for_every_layout_and_size() {
        for (width, height) in [(1920, 1080), (1280, 720), (3840, 2160), (640, 360), (1024, 768), (1080, 1920)] {
            for count in [1, 2, 4, 9] {
                let tiles = tiles(width, height, count);
                assert_eq!(tiles.len(), count);
                for (n, a) in tiles.iter().enumerate() {
                    assert!([a.x, a.y, a.w, a.h].iter().all(|v| v % 2 == 0), "{a:?}");
                    assert!(a.x + a.w <= width && a.y + a.h <= height - bar_height(height), "{a:?}");
                    for b in &tiles[n + 1..] {
                        let apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
                        assert!(apart, "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn pictures_keep_their_shape() {
        let tile = Rect { x: 0, y: 0, w: 1920, h: 1000 };
        assert_eq!(fit(tile, 1280, 720, (1, 1)), Rect { x: 72, y: 0, w: 1776, h: 1000 });
        assert_eq!(fit(tile, 720, 1280, (1, 1)), Rect { x: 678, y: 0, w: 562, h: 1000 });
        assert_eq!(fit(tile, 1920, 1001, (1, 1)), tile);
        assert_eq!(fit(tile, 0, 0, (0, 0)).h, 1000);
    }
}
