//! Drawn things in the canvas's own colours: a cairo drawing becomes I420 with coverage, and is laid over the canvas.

use gstreamer_video::{self as video, prelude::*};

use crate::geometry::Rect;

/// A drawing of even size in I420 (BT.601, limited range), with its coverage; the colours are already multiplied by it.
pub(crate) struct Sprite {
    /// Where its left upper corner stands on the canvas.
    pub(crate) x: u32,
    /// See `x`.
    pub(crate) y: u32,
    /// Its size in pixels.
    pub(crate) width: usize,
    /// See `width`.
    pub(crate) height: usize,
    planes: [Vec<u8>; 3],
    /// Coverage of luma and of chroma samples, 0 to 255.
    cover: [Vec<u8>; 2],
}

impl Sprite {
    /// From premultiplied BGRA, as cairo draws on little-endian machines: rows of `stride` bytes.
    pub(crate) fn from_argb(x: u32, y: u32, width: usize, height: usize, stride: usize, data: &[u8]) -> Self {
        let (cw, ch) = (width / 2, height / 2);
        let mut planes = [vec![0; width * height], vec![0; cw * ch], vec![0; cw * ch]];
        let mut cover = [vec![0; width * height], vec![0; cw * ch]];
        let pixel = |x: usize, y: usize| -> [i32; 4] {
            let at = y * stride + x * 4;
            data.get(at..at + 4).map_or([0; 4], |p| [p[2], p[1], p[0], p[3]].map(i32::from))
        };
        for row in 0..height {
            for column in 0..width {
                let [r, g, b, a] = pixel(column, row);
                planes[0][row * width + column] = byte(((66 * r + 129 * g + 25 * b + 128) >> 8) + 16 * a / 255);
                cover[0][row * width + column] = byte(a);
            }
        }
        for row in 0..ch {
            for column in 0..cw {
                let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| pixel(column * 2 + dx, row * 2 + dy));
                let [r, g, b, a] = [0, 1, 2, 3].map(|part| (four.iter().map(|p| p[part]).sum::<i32>() + 2) / 4);
                planes[1][row * cw + column] = byte(((-38 * r - 74 * g + 112 * b + 128) >> 8) + 128 * a / 255);
                planes[2][row * cw + column] = byte(((112 * r - 94 * g - 18 * b + 128) >> 8) + 128 * a / 255);
                cover[1][row * cw + column] = byte(a);
            }
        }
        Self { x, y, width, height, planes, cover }
    }

    /// Lays the sprite over the canvas; what stands over the edge is cut off.
    pub(crate) fn blend(&self, canvas: &mut Canvas<'_>) {
        for plane in 0..3 {
            let half = usize::from(plane > 0);
            let (width, height) = (self.width >> half, self.height >> half);
            let (x, y) = (self.x as usize >> half, self.y as usize >> half);
            let cover = &self.cover[half];
            let source = &self.planes[plane];
            let columns = width.min((canvas.width >> half).saturating_sub(x));
            let rows = height.min((canvas.height >> half).saturating_sub(y));
            let (stride, target) = canvas.plane(plane);
            for row in 0..rows {
                let from = row * width;
                let to = (y + row) * stride + x;
                let Some(target) = target.get_mut(to..to + columns) else { break };
                let source = &source[from..from + columns];
                let cover = &cover[from..from + columns];
                for ((target, source), cover) in target.iter_mut().zip(source).zip(cover) {
                    // (v × 257 + 257) >> 16 is v / 255 for v up to 255².
                    let under = (u32::from(*target) * u32::from(255 - *cover) * 257 + 257) >> 16;
                    *target = source.saturating_add(under.min(255) as u8);
                }
            }
        }
    }
}

fn byte(v: i32) -> u8 {
    v.clamp(0, 255) as u8
}

/// The picture that goes to the window, while it is painted: I420.
pub(crate) struct Canvas<'a> {
    width: usize,
    height: usize,
    strides: [usize; 3],
    planes: [&'a mut [u8]; 3],
}

impl<'a> Canvas<'a> {
    /// The planes of a mapped I420 frame.
    pub(crate) fn new(frame: &'a mut video::VideoFrameRef<&mut gstreamer::BufferRef>) -> Self {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let mut strides = [0; 3];
        for (stride, of) in strides.iter_mut().zip(frame.plane_stride()) {
            *stride = usize::try_from(*of).unwrap_or(0);
        }
        let [y, u, v, _] = frame.planes_data_mut();
        Self { width, height, strides, planes: [y, u, v] }
    }

    fn plane(&mut self, plane: usize) -> (usize, &mut [u8]) {
        (self.strides[plane], &mut *self.planes[plane])
    }

    /// Fills a rectangle with one colour, given as Y, U, V.
    pub(crate) fn fill(&mut self, rect: Rect, colour: [u8; 3]) {
        self.each_row(rect, |plane, row| row.fill(colour[plane]));
    }

    /// Makes a rectangle dark and grey: a picture that is no longer true.
    pub(crate) fn dim(&mut self, rect: Rect) {
        self.each_row(rect, |plane, row| {
            let rest = if plane == 0 { 16 } else { 128 };
            for sample in row {
                *sample = byte(rest + (i32::from(*sample) - rest) * 3 / 10);
            }
        });
    }

    fn each_row(&mut self, rect: Rect, mut paint: impl FnMut(usize, &mut [u8])) {
        for plane in 0..3 {
            let half = usize::from(plane > 0);
            let (x, y) = (rect.x as usize >> half, rect.y as usize >> half);
            let (w, h) = (rect.w as usize >> half, rect.h as usize >> half);
            let (stride, data) = self.plane(plane);
            for row in y..y + h {
                let Some(row) = data.get_mut(row * stride + x..row * stride + x + w) else { break };
                paint(plane, row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn painted(paint: impl FnOnce(&mut Canvas<'_>)) -> [Vec<u8>; 3] {
        let mut planes = [vec![16_u8; 64], vec![128; 16], vec![128; 16]];
        let [y, u, v] = &mut planes;
        paint(&mut Canvas { width: 8, height: 8, strides: [8, 4, 4], planes: [y, u, v] });
        planes
    }

    #[test]
    fn opaque_white_is_white_and_nothing_is_nothing() {
        let white = Sprite::from_argb(4, 4, 2, 2, 8, &[255; 16]);
        let planes = painted(|canvas| white.blend(canvas));
        assert_eq!((planes[0][4 * 8 + 4], planes[0][0], planes[1][2 * 4 + 2]), (235, 16, 128));
        let clear = Sprite::from_argb(0, 0, 8, 8, 32, &[0; 256]);
        let planes = painted(|canvas| clear.blend(canvas));
        assert!(planes[0].iter().all(|y| *y == 16) && planes[2].iter().all(|v| *v == 128));
    }

    #[test]
    fn what_stands_over_the_edge_is_cut_off() {
        let white = Sprite::from_argb(6, 6, 8, 8, 32, &[255; 256]);
        let planes = painted(|canvas| white.blend(canvas));
        assert_eq!((planes[0][63], planes[0][5 * 8 + 7]), (235, 16));
        painted(|canvas| Sprite::from_argb(90, 90, 2, 2, 8, &[255; 16]).blend(canvas));
    }

    #[test]
    fn filling_and_dimming_stay_in_their_rectangle() {
        let planes = painted(|canvas| {
            canvas.fill(Rect { x: 2, y: 2, w: 4, h: 4 }, [216, 28, 228]);
            canvas.dim(Rect { x: 2, y: 2, w: 2, h: 4 });
        });
        assert_eq!((planes[0][2 * 8 + 2], planes[0][2 * 8 + 4], planes[0][0]), (76, 216, 16));
        assert_eq!((planes[1][5], planes[2][5], planes[2][6]), (98, 158, 228));
    }
}
