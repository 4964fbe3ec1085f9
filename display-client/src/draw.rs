//! A pen for the panel: text that finds its font for every script, boxes, and QR codes, on a cairo surface.
//!
//! cairo and pango because the system's fontconfig then picks a Chinese font by itself, names in any script are shaped
//! rightly, and both are in every distribution that has GStreamer.

use cairo::{Context, Format, ImageSurface};
use pango::{Alignment, EllipsizeMode, FontDescription, Layout, Weight};

/// A colour: red, green, blue, coverage, each 0 to 1.
pub(crate) type Ink = [f64; 4];

const fn ink(rgb: u32) -> Ink {
    [(rgb >> 16 & 255) as f64 / 255.0, (rgb >> 8 & 255) as f64 / 255.0, (rgb & 255) as f64 / 255.0, 1.0]
}

/// The panel's few colours: dark and calm, so that the pictures and the code stand out.
pub(crate) mod inks {
    use super::{Ink, ink};
    pub(crate) const NIGHT: Ink = ink(0x0a_1120);
    pub(crate) const SLATE: Ink = ink(0x16_2033);
    pub(crate) const WHITE: Ink = ink(0xf5_f8fc);
    pub(crate) const GREY: Ink = ink(0xa9_b8cd);
    pub(crate) const AMBER: Ink = ink(0xff_d166);
    pub(crate) const RED: Ink = ink(0xff_5c5c);
    pub(crate) const GREEN: Ink = ink(0x4a_de9c);
    pub(crate) const BLACK: Ink = ink(0x00_0000);
    pub(crate) const SHADE: Ink = [0.02, 0.04, 0.08, 0.78];
}

/// Where a text's given x stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// At its left end.
    Left,
    /// In its middle.
    Middle,
    /// At its right end.
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Type {
    /// Height of the letters' body in pixels.
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) ink: Ink,
}

/// A surface and its pen.
pub(crate) struct Sheet {
    surface: ImageSurface,
    cr: Context,
}

impl Sheet {
    /// A clear sheet of this many pixels.
    pub(crate) fn new(width: u32, height: u32) -> Result<Self, cairo::Error> {
        let side = |n: u32| i32::try_from(n).map_err(|_| cairo::Error::InvalidSize);
        let surface = ImageSurface::create(Format::ARgb32, side(width)?, side(height)?)?;
        let cr = Context::new(&surface)?;
        Ok(Self { surface, cr })
    }

    /// The drawn pixels: premultiplied BGRA, and the bytes of a row.
    pub(crate) fn into_pixels(self) -> Result<(usize, cairo::ImageSurfaceDataOwned), cairo::Error> {
        drop(self.cr);
        let stride = usize::try_from(self.surface.stride()).map_err(|_| cairo::Error::InvalidStride)?;
        let data = self.surface.take_data().map_err(|_| cairo::Error::SurfaceTypeMismatch)?;
        Ok((stride, data))
    }

    fn pick(&self, [r, g, b, a]: Ink) {
        self.cr.set_source_rgba(r, g, b, a);
    }

    /// Everything in one colour.
    pub(crate) fn flood(&self, ink: Ink) -> Result<(), cairo::Error> {
        self.pick(ink);
        self.cr.paint()
    }

    /// A filled box with round corners.
    pub(crate) fn block(&self, x: f64, y: f64, w: f64, h: f64, round: f64, ink: Ink) -> Result<(), cairo::Error> {
        use std::f64::consts::{FRAC_PI_2, PI};
        let round = round.min(w / 2.0).min(h / 2.0);
        self.cr.new_sub_path();
        self.cr.arc(x + w - round, y + round, round, -FRAC_PI_2, 0.0);
        self.cr.arc(x + w - round, y + h - round, round, 0.0, FRAC_PI_2);
        self.cr.arc(x + round, y + h - round, round, FRAC_PI_2, PI);
        self.cr.arc(x + round, y + round, round, PI, PI + FRAC_PI_2);
        self.cr.close_path();
        self.pick(ink);
        self.cr.fill()
    }

    /// A filled disc.
    pub(crate) fn dot(&self, x: f64, y: f64, radius: f64, ink: Ink) -> Result<(), cairo::Error> {
        self.block(x - radius, y - radius, radius * 2.0, radius * 2.0, radius, ink)
    }

    fn layout(&self, text: &str, look: Type, widest: f64) -> Layout {
        let layout = pangocairo::functions::create_layout(&self.cr);
        let mut font = FontDescription::from_string("Noto Sans CJK TC, Noto Sans TC, Noto Sans, Sans");
        font.set_absolute_size(look.size * f64::from(pango::SCALE));
        font.set_weight(if look.bold { Weight::Bold } else { Weight::Normal });
        layout.set_font_description(Some(&font));
        layout.set_single_paragraph_mode(true);
        layout.set_text(text);
        layout.set_alignment(Alignment::Left);
        if f64::from(layout.pixel_size().0) > widest {
            layout.set_width((widest.max(1.0) * f64::from(pango::SCALE)) as i32);
            layout.set_ellipsize(EllipsizeMode::End);
        }
        layout
    }

    /// Width of a text in pixels, at most `widest`.
    pub(crate) fn width(&self, text: &str, look: Type, widest: f64) -> f64 {
        f64::from(self.layout(text, look, widest).pixel_size().0).min(widest)
    }

    /// A text on one line whose middle is at the height `y`; longer ones than `widest` end in "…". Returns its width.
    pub(crate) fn text(&self, x: f64, y: f64, at: At, look: Type, widest: f64, text: &str) -> f64 {
        let layout = self.layout(text, look, widest);
        let (w, h) = layout.pixel_size();
        let (w, h) = (f64::from(w), f64::from(h));
        let left = match at {
            At::Left => x,
            At::Middle => x - w / 2.0,
            At::Right => x - w,
        };
        self.cr.move_to(left, y - h / 2.0);
        self.pick(look.ink);
        pangocairo::functions::show_layout(&self.cr, &layout);
        w
    }

    /// A QR code on a white card. Nothing is drawn when the text is too long for one.
    pub(crate) fn qr(&self, x: f64, y: f64, side: f64, text: &str) -> Result<(), cairo::Error> {
        let Ok(code) = qrcode::QrCode::new(text.as_bytes()) else { return Ok(()) };
        self.block(x, y, side, side, side * 0.04, inks::WHITE)?;
        let modules = code.width();
        // Four modules of white around it are part of a QR code (ISO/IEC 18004, 5.3.8); whole pixels keep it sharp.
        let module = (side / (modules as f64 + 8.0)).floor().max(1.0);
        let start = ((side - module * modules as f64) / 2.0).floor();
        self.pick(inks::BLACK);
        for (n, colour) in code.to_colors().into_iter().enumerate() {
            if colour == qrcode::Color::Dark {
                let (column, row) = ((n % modules) as f64, (n / modules) as f64);
                self.cr.rectangle(x + start + column * module, y + start + row * module, module, module);
            }
        }
        self.cr.fill()
    }
}
