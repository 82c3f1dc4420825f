//! From a frame to a model's input: resize, place, change channels.
//!
//! The two axes are resized one after the other. An axis that shrinks is averaged over the exact area each output pixel
//! covers (a box filter with fractional ends), as a camera pipeline does; one that grows is interpolated linearly between
//! pixel centres. Per axis every output pixel is a short weighted sum:
//!
//! ```text
//! out[i] = sum over k of weight[i][k] * in[start[i] + k],   weights in 1/65536, their sum exactly 1
//! ```
//!
//! First down the columns, whole rows at a time, into u16 with 8 fractional bits; then along the rows. Everything is
//! integer arithmetic: the same frame gives the same bytes on every machine, and a constant picture stays what it is.
//!
//! Letterboxing keeps the aspect: the frame is scaled by `min(width / w, height / h)`, extents rounded down, and placed in
//! the top-left corner (the convention of YOLOX) or in the middle; the rest is `pad`. [`FitMap`] takes boxes back.

use super::Frame;
use anyhow::{Result, bail};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    TopLeft,
    Center,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each axis by its own factor.
    Stretch,
    Letterbox {
        pad: u8,
        anchor: Anchor,
    },
}

/// A model's input: `[height, width, channels]` in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    pub width: usize,
    pub height: usize,
    pub mode: Mode,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
}

/// `model = frame * scale + offset` on each axis, in pixels; pixel `i` spans `i..i + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitMap {
    pub scale: (f32, f32),
    pub offset: (f32, f32),
    /// Of the frame, `(w, h)`.
    pub frame: (f32, f32),
}

impl FitMap {
    /// A box `[x1, y1, x2, y2]` in model input pixels, in frame pixels and clipped to the frame.
    pub fn to_frame(&self, b: [f32; 4]) -> [f32; 4] {
        let x = |v: f32| ((v - self.offset.0) / self.scale.0).clamp(0.0, self.frame.0);
        let y = |v: f32| ((v - self.offset.1) / self.scale.1).clamp(0.0, self.frame.1);
        [x(b[0]), y(b[1]), x(b[2]), y(b[3])]
    }

    /// A box in frame pixels, in model input pixels.
    pub fn to_model(&self, b: [f32; 4]) -> [f32; 4] {
        let x = |v: f32| v * self.scale.0 + self.offset.0;
        let y = |v: f32| v * self.scale.1 + self.offset.1;
        [x(b[0]), y(b[1]), x(b[2]), y(b[3])]
    }
}

impl Fit {
    /// Prepares for frames of `w` by `h` pixels.
    pub fn plan(&self, w: usize, h: usize) -> Result<Resize> {
        let side = super::MAX_SIDE;
        if [self.width, self.height, w, h].iter().any(|&n| n == 0 || n > side) {
            bail!("cannot resize {w}x{h} to {}x{}: sides from 1 to {side} are supported", self.width, self.height);
        }
        if self.channels != 1 && self.channels != 3 {
            bail!("a picture cannot become {} channels; 1 (grey) and 3 (RGB) are supported", self.channels);
        }
        let (nw, nh, x, y) = match self.mode {
            Mode::Stretch => (self.width, self.height, 0, 0),
            Mode::Letterbox { anchor, .. } => {
                let (nw, nh) = if self.width * h <= self.height * w {
                    (self.width, (h * self.width / w).max(1))
                } else {
                    ((w * self.height / h).max(1), self.height)
                };
                match anchor {
                    Anchor::TopLeft => (nw, nh, 0, 0),
                    Anchor::Center => (nw, nh, (self.width - nw) / 2, (self.height - nh) / 2),
                }
            }
        };
        Ok(Resize {
            fit: *self,
            from: (w, h),
            size: (nw, nh),
            place: (x, y),
            columns: Taps::new(w, nw),
            rows: Taps::new(h, nh),
            line: Vec::new(),
            sums: Vec::new(),
        })
    }
}

/// A [`Fit`] planned for one frame size; reuse it for all frames of a clip.
pub struct Resize {
    fit: Fit,
    from: (usize, usize),
    /// Of the scaled frame inside the model's input.
    size: (usize, usize),
    place: (usize, usize),
    columns: Taps,
    rows: Taps,
    /// One resized row before the columns are summed, 8 fractional bits.
    line: Vec<u16>,
    sums: Vec<u32>,
}

impl Resize {
    pub fn map(&self) -> FitMap {
        FitMap {
            scale: (self.size.0 as f32 / self.from.0 as f32, self.size.1 as f32 / self.from.1 as f32),
            offset: (self.place.0 as f32, self.place.1 as f32),
            frame: (self.from.0 as f32, self.from.1 as f32),
        }
    }

    /// The model's input `[height, width, channels]`.
    pub fn apply(&mut self, frame: &Frame) -> Result<Frame> {
        let pad = match self.fit.mode {
            Mode::Stretch => 0,
            Mode::Letterbox { pad, .. } => pad,
        };
        let mut out = Frame::filled(self.fit.width, self.fit.height, self.fit.channels, pad);
        self.apply_into(frame, &mut out.data)?;
        Ok(out)
    }

    /// Like [`apply`](Self::apply), into `width * height * channels` samples. Padding is left as it is.
    pub fn apply_into(&mut self, frame: &Frame, out: &mut [u8]) -> Result<()> {
        if (frame.w, frame.h) != self.from || frame.data.len() != frame.w * frame.h * frame.c {
            bail!("a frame of {}x{} came where {}x{} was planned for", frame.w, frame.h, self.from.0, self.from.1);
        }
        if out.len() != self.fit.width * self.fit.height * self.fit.channels {
            bail!("room for {} samples, the input has {}x{}x{}", out.len(), self.fit.height, self.fit.width, self.fit.channels);
        }
        match (frame.c, self.fit.channels) {
            (1, 1) => self.resize::<1, 1>(&frame.data, out),
            (3, 3) => self.resize::<3, 3>(&frame.data, out),
            (1, 3) => self.resize::<1, 3>(&frame.data, out),
            (3, 1) => self.resize::<1, 1>(&frame.with_channels(1).data, out),
            (c, _) => bail!("frames of {c} channels are not pictures; 1 (grey) and 3 (RGB) are"),
        }
        Ok(())
    }

    /// `C` channels in; `D` channels out, all equal where `C` is 1.
    fn resize<const C: usize, const D: usize>(&mut self, data: &[u8], out: &mut [u8]) {
        let row_len = self.from.0 * C;
        self.line.resize(row_len, 0);
        self.sums.resize(row_len, 0);
        for y in 0..self.size.1 {
            let (start, weights) = self.rows.of(y);
            blend_rows(&data[start * row_len..], row_len, weights, &mut self.sums, &mut self.line);
            let at = ((self.place.1 + y) * self.fit.width + self.place.0) * D;
            sum_columns::<C, D>(&self.columns, &self.line, &mut out[at..at + self.size.0 * D]);
        }
    }
}

/// `line[i] = sum over k of weights[k] * rows[k][i]`, to 8 fractional bits.
fn blend_rows(rows: &[u8], row_len: usize, weights: &[u32], sums: &mut [u32], line: &mut [u16]) {
    let row = |k: usize| &rows[k * row_len..][..row_len];
    let used = |k: &usize| weights[*k] > 0;
    let mut taken = (0..weights.len()).filter(used);
    match (taken.next(), taken.next(), taken.next()) {
        (Some(a), None, _) => {
            for (o, &v) in line.iter_mut().zip(row(a)) {
                *o = (v as u16) << 8;
            }
        }
        (Some(a), Some(b), None) => {
            // a * (1 - t) + b * t
            let t = weights[b] as i32;
            for ((o, &x), &y) in line.iter_mut().zip(row(a)).zip(row(b)) {
                *o = ((((x as i32) << 16) + t * (y as i32 - x as i32) + (1 << 7)) >> 8) as u16;
            }
        }
        _ => {
            sums.fill(1 << 7);
            for k in (0..weights.len()).filter(used) {
                for (s, &v) in sums.iter_mut().zip(row(k)) {
                    *s += weights[k] * v as u32;
                }
            }
            for (o, &s) in line.iter_mut().zip(sums.iter()) {
                *o = (s >> 8) as u16;
            }
        }
    }
}

fn sum_columns<const C: usize, const D: usize>(taps: &Taps, line: &[u16], out: &mut [u8]) {
    // Fixed counts unroll; the usual camera-to-model factors need two to four.
    match taps.count {
        1 => sum_fixed::<C, D, 1>(taps, line, out),
        2 => sum_fixed::<C, D, 2>(taps, line, out),
        3 => sum_fixed::<C, D, 3>(taps, line, out),
        4 => sum_fixed::<C, D, 4>(taps, line, out),
        _ => {
            for (x, pixel) in out.chunks_exact_mut(D).enumerate() {
                let (start, weights) = taps.of(x);
                put::<C, D>(weigh::<C>(weights, &line[start * C..]), pixel);
            }
        }
    }
}

fn sum_fixed<const C: usize, const D: usize, const N: usize>(taps: &Taps, line: &[u16], out: &mut [u8]) {
    for ((pixel, &start), weights) in out.chunks_exact_mut(D).zip(&taps.start).zip(taps.weights.as_chunks::<N>().0) {
        put::<C, D>(weigh::<C>(weights, &line[start * C..][..N * C]), pixel);
    }
}

#[inline(always)]
fn weigh<const C: usize>(weights: &[u32], from: &[u16]) -> [u32; C] {
    // 255 * 2^8 * 2^16 + 2^23 stays below 2^32.
    let mut sums = [1u32 << 23; C];
    for (&weight, p) in weights.iter().zip(from.chunks_exact(C)) {
        for c in 0..C {
            sums[c] += weight * p[c] as u32;
        }
    }
    sums
}

#[inline(always)]
fn put<const C: usize, const D: usize>(sums: [u32; C], pixel: &mut [u8]) {
    for (d, o) in pixel.iter_mut().enumerate() {
        *o = (sums[d.min(C - 1)] >> 24) as u8;
    }
}

/// A weight of 1.
const ONE: u32 = 1 << 16;

/// The weighted sums of one axis: `count` source pixels for every output pixel, some with a weight of 0.
struct Taps {
    count: usize,
    /// First source pixel of each output pixel.
    start: Vec<usize>,
    /// `count` per output pixel.
    weights: Vec<u32>,
}

impl Taps {
    /// From `n` source pixels to `m`.
    fn new(n: usize, m: usize) -> Taps {
        let all: Vec<(usize, Vec<u32>)> = (0..m).map(|i| if m > n { linear(n, m, i) } else { area(n, m, i) }).collect();
        let count = all.iter().map(|t| t.1.len()).max().unwrap_or(1);
        let mut taps = Taps { count, start: Vec::with_capacity(m), weights: Vec::with_capacity(m * count) };
        for (start, weights) in all {
            // Moved back at the far border, so that all `count` pixels exist.
            let moved = start.min(n - count);
            taps.start.push(moved);
            taps.weights.extend(std::iter::repeat_n(0, start - moved));
            taps.weights.extend(&weights);
            taps.weights.resize(taps.start.len() * count, 0);
        }
        taps
    }

    fn of(&self, i: usize) -> (usize, &[u32]) {
        (self.start[i], &self.weights[i * self.count..][..self.count])
    }
}

/// Output `i` covers `i * n / m .. (i + 1) * n / m`; lengths are counted in 1/m of a source pixel.
fn area(n: usize, m: usize, i: usize) -> (usize, Vec<u32>) {
    let (from, to) = (i * n, (i + 1) * n);
    // Rounding the running sum makes the weights add up to exactly 1.
    let upto = |end: usize| ((end - from) as u64 * ONE as u64 + n as u64 / 2) / n as u64;
    let (mut weights, mut at) = (Vec::new(), from);
    while at < to {
        let end = ((at / m + 1) * m).min(to);
        weights.push((upto(end) - upto(at)) as u32);
        at = end;
    }
    (from / m, weights)
}

/// Between the two nearest source centres, the border pixel repeated beyond the last centre.
fn linear(n: usize, m: usize, i: usize) -> (usize, Vec<u32>) {
    // The output centre in source pixels is (i + 1/2) * n / m - 1/2, counted in 1/(2m).
    let centre = ((2 * i + 1) * n) as i64 - m as i64;
    let last = 2 * m as i64 * (n as i64 - 1);
    let centre = centre.clamp(0, last) as u64;
    let unit = 2 * m as u64;
    let (start, rest) = ((centre / unit) as usize, centre % unit);
    let second = ((rest * ONE as u64 + unit / 2) / unit) as u32;
    (start, if second > 0 { vec![ONE - second, second] } else { vec![ONE] })
}
