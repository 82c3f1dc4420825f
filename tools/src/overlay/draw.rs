//! Lines, boxes and letters on an RGB picture. Whatever falls outside is left out.

use super::font::{self, GLYPH_HEIGHT, GLYPH_WIDTH};
use crate::clip::Frame;
use anyhow::{Result, bail};

pub type Ink = [u8; 3];

pub const BLACK: Ink = [0, 0, 0];

/// Distinct, bright enough for black letters on them.
const INKS: [Ink; 10] = [
    [255, 176, 0],
    [86, 200, 255],
    [120, 230, 110],
    [255, 120, 160],
    [190, 160, 255],
    [255, 240, 90],
    [60, 220, 190],
    [255, 140, 80],
    [170, 210, 60],
    [240, 150, 240],
];

/// Pixels from the top of one character to its foot, before scaling.
pub const TEXT_HEIGHT: usize = GLYPH_HEIGHT;

/// The colour of a class.
pub fn class_ink(class: usize) -> Ink {
    INKS[class % INKS.len()]
}

/// Pixels of a line of text, without the gap after the last character.
pub fn text_width(text: &str, scale: usize) -> usize {
    (text.chars().count() * (GLYPH_WIDTH + 1)).saturating_sub(1) * scale
}

/// An RGB picture `[h, w, 3]` to draw on.
#[derive(Clone)]
pub struct Canvas {
    pub w: usize,
    pub h: usize,
    /// Pixels of the canvas per pixel of the frame it was made from.
    pub zoom: usize,
    data: Vec<u8>,
}

impl Canvas {
    pub fn filled(w: usize, h: usize, ink: Ink) -> Canvas {
        Canvas { w, h, zoom: 1, data: ink.repeat(w * h) }
    }

    /// The frame in RGB, every pixel repeated until the picture is at least `min_width` wide.
    pub fn enlarged(frame: &Frame, min_width: usize) -> Result<Canvas> {
        if frame.w == 0 || frame.h == 0 || !matches!(frame.c, 1 | 3) || frame.data.len() != frame.w * frame.h * frame.c {
            bail!("{} samples do not make a picture of {}x{} with {} channels", frame.data.len(), frame.w, frame.h, frame.c);
        }
        let frame = frame.with_channels(3);
        // A tall narrow frame is not blown up without limit.
        let zoom = min_width.div_ceil(frame.w).min((4 * min_width).div_ceil(frame.h)).max(1);
        let mut data = Vec::with_capacity(frame.data.len() * zoom * zoom);
        for row in frame.data.chunks_exact(frame.w * 3) {
            let line: Vec<u8> = row.chunks_exact(3).flat_map(|p| p.repeat(zoom)).collect();
            for _ in 0..zoom {
                data.extend_from_slice(&line);
            }
        }
        Ok(Canvas { w: frame.w * zoom, h: frame.h * zoom, zoom, data })
    }

    pub fn into_frame(self) -> Frame {
        Frame { w: self.w, h: self.h, c: 3, data: self.data }
    }

    /// `x1, y1` inside, `x2, y2` outside.
    pub fn fill(&mut self, [x1, y1, x2, y2]: [i64; 4], ink: Ink) {
        let inside = |v: i64, n: usize| v.clamp(0, n as i64) as usize;
        let (x1, x2) = (inside(x1, self.w), inside(x2, self.w));
        for y in inside(y1, self.h)..inside(y2, self.h) {
            if x1 < x2 {
                let row = &mut self.data[(y * self.w + x1) * 3..(y * self.w + x2) * 3];
                row.chunks_exact_mut(3).for_each(|p| p.copy_from_slice(&ink));
            }
        }
    }

    /// A frame of `thickness` pixels inside the box, with a dark line around it for contrast.
    pub fn outline(&mut self, [x1, y1, x2, y2]: [i64; 4], thickness: usize, ink: Ink) {
        self.border([x1 - 1, y1 - 1, x2 + 1, y2 + 1], 1, BLACK);
        self.border([x1, y1, x2, y2], thickness as i64, ink);
    }

    fn border(&mut self, [x1, y1, x2, y2]: [i64; 4], t: i64, ink: Ink) {
        self.fill([x1, y1, x2, y1 + t], ink);
        self.fill([x1, y2 - t, x2, y2], ink);
        self.fill([x1, y1, x1 + t, y2], ink);
        self.fill([x2 - t, y1, x2, y2], ink);
    }

    /// Characters the font lacks appear as a box.
    pub fn text(&mut self, x: i64, y: i64, text: &str, scale: usize, ink: Ink) {
        let s = scale as i64;
        for (k, ch) in text.chars().enumerate() {
            let left = x + (k * (GLYPH_WIDTH + 1)) as i64 * s;
            for (row, bits) in font::glyph(ch).into_iter().enumerate() {
                for column in 0..GLYPH_WIDTH {
                    if bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1 {
                        let (px, py) = (left + column as i64 * s, y + row as i64 * s);
                        self.fill([px, py, px + s, py + s], ink);
                    }
                }
            }
        }
    }

    /// Mixes `ink` in by `share`.
    pub fn tint(&mut self, x: usize, y: usize, ink: Ink, share: f32) {
        let at = (y * self.w + x) * 3;
        for (v, i) in self.data[at..at + 3].iter_mut().zip(ink) {
            *v = (*v as f32 * (1.0 - share) + i as f32 * share).round() as u8;
        }
    }

    /// To grey at half the brightness.
    pub fn dim(&mut self) {
        for p in self.data.chunks_exact_mut(3) {
            let grey = (p[0] as u32 * 3 + p[1] as u32 * 6 + p[2] as u32) / 20;
            p.fill(grey as u8);
        }
    }

    /// Copies `other` to `(x, y)`, as far as it fits.
    pub fn paste(&mut self, x: usize, y: usize, other: &Canvas) {
        let w = other.w.min(self.w.saturating_sub(x));
        for row in 0..other.h.min(self.h.saturating_sub(y)) {
            let to = ((y + row) * self.w + x) * 3;
            let from = row * other.w * 3;
            self.data[to..to + w * 3].copy_from_slice(&other.data[from..from + w * 3]);
        }
    }
}
