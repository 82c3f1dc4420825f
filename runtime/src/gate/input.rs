//! The input gate: which pixels of a frame count as changed.
//!
//! A pixel's change is the largest `|new - held|` over its channels. Above the threshold `t` it is *weak*, above `2t` *strong*.
//! Strong pixels count, weak ones only beside another weak pixel: sensor noise makes lone outliers, moving things do not (the hysteresis of Canny's edges).
//! A coarser test catches what is slow or faint: an 8 x 8 block whose mean signed change exceeds the block
//! threshold is replaced as a whole; noise averages out there.
//!
//! Before that, a common [`shift`] of all pixels may be taken out of the frame.
//!
//! With `t = 0` every differing pixel counts and the rest of the engine reproduces the dense network exactly.

use core::ops::Range;

use crate::engine::Frame;
use crate::format::{InputGate, Tensor};
use crate::kernels::{CompareTile, DriftTile, Kernels, Shift, scalar};
use crate::mask::{self, Grid};

use super::shift;

/// Edge of a block, in pixels.
const BLOCK: usize = 8;

/// Sums of a band of blocks at a time.
const GROUPS: usize = if cfg!(target_os = "none") { 24 } else { 64 };

/// The held input and what is needed to compare a frame with it.
pub(crate) struct Input<'a> {
    pub kernels: &'a Kernels,
    pub tensor: &'a Tensor,
    /// Held codes, from pixel (0, 0) to the end of the last pixel.
    pub held: &'a mut [u8],
    /// Per-channel (or single) scale and zero code of a frame of reals.
    pub scale: &'a [f32],
    pub zero: &'a [u8],
    /// Room for the codes of one line.
    pub line: &'a mut [u8],
    /// What is taken out of a frame of pixels, in 1/16 codes: see [`shift`].
    pub shift: i32,
}

/// Lines that a glance at a frame looks at.
const GLANCE: usize = 16;

/// The lines a glance at `h` lines looks at.
pub(super) fn glance(h: usize) -> impl Iterator<Item = usize> {
    let step = h.div_ceil(GLANCE);
    (step / 2..h).step_by(step)
}

/// Codes of reals, by scales and zero codes of each channel or of all.
fn quantise(values: &[f32], scale: &[f32], zero: &[u8], codes: &mut [u8]) {
    /// Values at a time: whole pixels of up to 4 channels. Where flash is short, one.
    const PART: usize = if cfg!(target_os = "none") { 1 } else { 12 };
    let code = |v: f32, scale: f32, zero: f32| scalar::code(v / scale + zero, 0.0, 255.0);
    let c = scale.len().min(zero.len()).max(1);
    let at = |k: usize| (scale.get(k).copied().unwrap_or(1.0), zero.get(k).copied().unwrap_or(0) as f32);
    let mut done = 0;
    if PART > 1 && PART.is_multiple_of(c) {
        let each: [(f32, f32); PART] = core::array::from_fn(|k| at(k % c));
        let (scales, zeros) = (each.map(|e| e.0), each.map(|e| e.1));
        for (values, codes) in values.as_chunks::<PART>().0.iter().zip(codes.as_chunks_mut::<PART>().0) {
            for i in 0..PART {
                codes[i] = code(values[i], scales[i], zeros[i]);
            }
            done += PART;
        }
    }
    for (values, codes) in values[done..].chunks(c).zip(codes[done..].chunks_mut(c)) {
        for (k, (v, to)) in values.iter().zip(codes).enumerate() {
            let (scale, zero) = at(k);
            *to = code(*v, scale, zero);
        }
    }
}

fn threshold(gate: &InputGate, scale: f32) -> u8 {
    (gate.pixel as f32 * scale).clamp(0.0, 255.0) as u8
}

impl Input<'_> {
    fn width(&self) -> usize {
        self.tensor.w as usize * self.tensor.c as usize
    }

    /// What is taken out of bytes.
    fn taken_out(&self) -> Shift {
        Shift::of(shift::codes(self.shift))
    }

    /// Line `y` of the frame as codes, the shift taken out, and the held line.
    fn lines<'s>(&'s mut self, frame: &Frame<'s>, y: usize) -> (&'s [u8], &'s mut [u8]) {
        let (width, shift) = (self.width(), self.taken_out());
        let held = &mut self.held[y * self.tensor.line as usize..][..width];
        let line = &mut self.line[..width];
        match frame {
            Frame::Pixels(p) if shift == Shift::default() => return (&p[y * width..][..width], held),
            Frame::Pixels(p) => p[y * width..][..width].iter().zip(&mut *line).for_each(|(v, to)| *to = shift.take_out(*v)),
            Frame::Values(v) => quantise(&v[y * width..][..width], self.scale, self.zero, line),
        }
        (line, held)
    }

    /// Replaces the whole held input; a shift is not taken out.
    #[inline(never)]
    pub fn take_all(&mut self, frame: &Frame) {
        let width = self.width();
        for y in 0..self.tensor.h as usize {
            let held = &mut self.held[y * self.tensor.line as usize..][..width];
            match frame {
                Frame::Pixels(p) => held.copy_from_slice(&p[y * width..][..width]),
                Frame::Values(v) => quantise(&v[y * width..][..width], self.scale, self.zero, held),
            }
        }
    }

    /// A glance at some lines: the share of pixels that change by more than the threshold, and the mean absolute change against
    /// the held input, in codes. `scratch` (two lines of a mask) is overwritten.
    pub fn glance(&mut self, frame: &Frame, gate: &InputGate, scale: f32, scratch: &mut [u64]) -> (f32, f32) {
        let (h, w, width) = (self.tensor.h as usize, self.tensor.w as usize, self.width());
        let (weak, strong) = scratch.split_at_mut(w.div_ceil(64));
        let (mut lines, mut changed, mut sum) = (0, 0, 0u64);
        for y in glance(h) {
            self.compare(frame, y, threshold(gate, scale), weak, &mut strong[..weak.len()]);
            changed += mask::count(weak);
            let (new, held) = self.lines(frame, y);
            sum += new.iter().zip(&*held).map(|(n, h)| n.abs_diff(*h) as u32).sum::<u32>() as u64;
            lines += 1;
        }
        (changed as f32 / (lines * w) as f32, sum as f32 / (lines * width) as f32)
    }

    /// Replaces the marked pixels.
    #[inline(never)]
    pub fn take(&mut self, frame: &Frame, marked: &[u64], grid: Grid) {
        let c = self.tensor.c as usize;
        for (y, marks) in marked.chunks_exact(grid.words()).enumerate() {
            if !mask::any(marks) {
                continue;
            }
            let (new, held) = self.lines(frame, y);
            let row = Grid { h: 1, w: grid.w };
            mask::runs(marks, row, |_, x| {
                let bytes = x.start * c..x.end * c;
                held[bytes.clone()].copy_from_slice(&new[bytes]);
            });
        }
    }

    /// Marks what changed by the test `gate` at `scale`. `strong` and `scratch` (three lines) are overwritten.
    #[inline(never)]
    pub fn detect(&mut self, frame: &Frame, gate: &InputGate, scale: f32, marked: &mut [u64], strong: &mut [u64], scratch: &mut [u64]) {
        let grid = Grid { h: self.tensor.h as usize, w: self.tensor.w as usize };
        let threshold = threshold(gate, scale);
        let block = gate.block as f32 * scale;
        let words = grid.words();
        // A band of blocks at a time, while its lines are near.
        for y0 in (0..grid.h).step_by(BLOCK) {
            let y1 = grid.h.min(y0 + BLOCK);
            let mut most = 0;
            for y in y0..y1 {
                let at = y * words..(y + 1) * words;
                most = most.max(self.compare(frame, y, threshold, &mut marked[at.clone()], &mut strong[at]));
            }
            // No block changes by more than its bytes do, and by the rest of the shift.
            let quiet = 16 * i32::from(most) + shift::rest(self.shift).abs() <= block as i32;
            if let (true, Frame::Pixels(pixels)) = (threshold > 0 && block > 0.0 && !quiet, frame) {
                self.blocks(pixels, block as i64, y0..y1, strong, grid);
            }
        }
        if threshold > 0 {
            mask::despeckle(marked, strong, grid, scratch);
        }
    }

    /// Marks the weak and strong pixels of line `y`; what no change of it exceeds.
    fn compare(&mut self, frame: &Frame, y: usize, threshold: u8, weak: &mut [u64], strong: &mut [u64]) -> u8 {
        let (kernels, c, width) = (self.kernels, self.tensor.c as usize, self.width());
        let (new, held, shift) = match frame {
            Frame::Pixels(p) => (&p[y * width..][..width], &self.held[y * self.tensor.line as usize..][..width], self.taken_out()),
            Frame::Values(_) => {
                let (new, held) = self.lines(frame, y);
                (new, &*held, Shift::default())
            }
        };
        let tile = CompareTile { new, held, c, shift, thresholds: [threshold, threshold.saturating_mul(2)] };
        // SAFETY: the CPU has the set's features (chosen by `kernels::select`).
        unsafe { (kernels.compare)(&tile, [weak, strong]) }
    }

    /// Marks blocks of the lines `lines` whose mean signed change exceeds `limit` / 16 codes.
    fn blocks(&mut self, pixels: &[u8], limit: i64, lines: Range<usize>, marked: &mut [u64], grid: Grid) {
        let (c, width, step) = (self.tensor.c as usize, self.width(), self.tensor.line as usize);
        let rest = i64::from(shift::rest(self.shift));
        // 8 pixels of c bytes are c sums of 8 bytes: those of several blocks at a time, or a part of one.
        let side = (GROUPS / c).max(1);
        for x0 in (0..grid.w).step_by(BLOCK * side) {
            let mut totals = [0i64; GROUPS];
            let end = width.min((x0 + BLOCK * side) * c);
            for at in (x0 * c..end).step_by(8 * GROUPS) {
                let mut sums = [0i32; GROUPS];
                let sums = &mut sums[..(end - at).div_ceil(8).min(GROUPS)];
                let tile = DriftTile {
                    new: pixels[lines.start * width + at..].as_ptr(),
                    held: self.held[lines.start * step + at..].as_ptr(),
                    step: [width, step],
                    lines: lines.len(),
                    width: (end - at).min(8 * GROUPS),
                    shift: self.taken_out(),
                };
                // SAFETY: bytes of lines of the frame and of the held input; the CPU has the set's features.
                unsafe { (self.kernels.drift)(&tile, sums) };
                for (total, sums) in totals.iter_mut().zip(sums.chunks(c)) {
                    *total += sums.iter().map(|s| *s as i64).sum::<i64>();
                }
            }
            for (x0, total) in (x0..grid.w).step_by(BLOCK).zip(totals).take(side) {
                let x1 = grid.w.min(x0 + BLOCK);
                let n = (lines.len() * (x1 - x0) * c) as i64;
                if (16 * total - rest * n).abs() > limit * n {
                    // A block never straddles a word: 64 is a multiple of its edge.
                    let bits = ((1u64 << (x1 - x0)) - 1) << (x0 % 64);
                    for y in lines.clone() {
                        marked[y * grid.words() + x0 / 64] |= bits;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels;

    /// An input of pixels.
    fn input<'a>(kernels: &'a Kernels, tensor: &'a Tensor, [held, line]: [&'a mut [u8]; 2], shift: i32) -> Input<'a> {
        Input { kernels, tensor, held, scale: &[], zero: &[], line, shift }
    }

    /// Blocks by the formula, against every set, with and without a shift.
    #[test]
    fn blocks_are_means_of_signed_changes() {
        let extents = [(9, 70, 3), (16, 200, 1), (8, 9, 4), (17, 33, 40), (5, 5, 3), (8, 64, 32)];
        for ((h, w, c), shift) in extents.into_iter().flat_map(|e| [0, 37, -23, 6].map(|s| (e, s))) {
            let (mut held, mut pixels) = (vec![0u8; h * w * c], vec![0u8; h * w * c]);
            let mut state = 7u32;
            for (i, (h, p)) in held.iter_mut().zip(&mut pixels).enumerate() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (*h, *p) = ((state >> 24) as u8, (state >> 16) as u8);
                // Some blocks shift as a whole.
                if i / 97 % 3 == 0 {
                    *p = h.saturating_add(3);
                }
            }
            let grid = Grid { h, w };
            let limit = 30;
            let mut expected = vec![0u64; h * grid.words()];
            for y in 0..h {
                for x in 0..w {
                    let (y0, x0) = (y / 8 * 8, x / 8 * 8);
                    let (mut sum, mut n) = (0i64, 0i64);
                    for y in y0..h.min(y0 + 8) {
                        for i in (y * w + x0) * c..(y * w + w.min(x0 + 8)) * c {
                            // 37 is 2 codes and 5, -23 is -1 and -7.
                            let codes = (shift + 8_i64).div_euclid(16);
                            sum += 16 * ((pixels[i] as i64 - codes).clamp(0, 255) - held[i] as i64) - (shift - 16 * codes);
                            n += 1;
                        }
                    }
                    if sum.abs() > limit * n {
                        mask::set(&mut expected, grid, y, x);
                    }
                }
            }
            let tensor = Tensor { pixel: c as u32, line: (w * c) as u32, h: h as u32, w: w as u32, c: c as u32, ..Default::default() };
            for set in kernels::available() {
                let (mut held, mut line) = (held.clone(), vec![0; w * c]);
                let mut input = input(set, &tensor, [&mut held, &mut line], shift as i32);
                let mut marked = vec![0u64; h * grid.words()];
                for y0 in (0..h).step_by(BLOCK) {
                    input.blocks(&pixels, limit, y0..h.min(y0 + BLOCK), &mut marked, grid);
                }
                assert_eq!(marked, expected, "{}: {h} x {w} x {c}, shift {shift}", set.name);
            }
        }
    }

    /// What changes slowly is found wherever it could exceed the block test, the rest of a shift included, though no pixel changes by much.
    #[test]
    fn slow_changes_are_found() {
        let (h, w, c) = (16, 40, 3);
        let grid = Grid { h, w };
        let tensor = Tensor { pixel: c as u32, line: (w * c) as u32, h: h as u32, w: w as u32, c: c as u32, ..Default::default() };
        let held: Vec<u8> = (0..h * w * c).map(|i| (100 + i * 7 % 50) as u8).collect();
        // Of the blocks from column 8 to 23 alone.
        let grown =
            |by: u8| -> Vec<u8> { held.iter().enumerate().map(|(i, v)| v + if (8..24).contains(&(i / c % w)) { by } else { 0 }).collect() };
        for (by, block, shift) in
            [(2, 31, 0), (2, 32, 0), (2, 33, 0), (1, 15, 0), (1, 17, 1), (1, 17, -1), (1, 17, -2), (0, 3, -4), (0, 4, 4)]
        {
            let expected = |x: usize| {
                let change = if (8..24).contains(&x) { i32::from(by) } else { 0 };
                (16 * change - shift).abs() > block
            };
            for set in kernels::available() {
                let gate = InputGate { pixel: 20, block: block as u16, ..Default::default() };
                let (mut held, mut line) = (held.clone(), vec![0; w * c]);
                let mut input = input(set, &tensor, [&mut held, &mut line], shift);
                let [mut marked, mut strong] = [(); 2].map(|_| vec![0u64; h * grid.words()]);
                input.detect(&Frame::Pixels(&grown(by)), &gate, 1.0, &mut marked, &mut strong, &mut vec![0; 3 * grid.words()]);
                for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                    let found = marked[y * grid.words() + x / 64] >> (x % 64) & 1 == 1;
                    assert_eq!(found, expected(x), "{}: pixel {y}, {x}: {by} codes, block test {block}, shift {shift}", set.name);
                }
            }
        }
    }
}
