//! Which rows changed: one bit per pixel, and the ways a change spreads through an operator.
//!
//! A mask has `h` lines of `ceil(w / 64)` words; bits past `w` are 0. Every function works on words and does nothing for
//! an empty line, so an unchanged map costs a scan. `spread_*` says which output rows can see a marked input row,
//! `need_*` which input rows the marked output rows read: each other's transpose. Both may mark too much, never too little.

use core::ops::Range;

use crate::format::{FILL, Lerp, Window};

/// Extent of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Lines.
    pub h: usize,
    /// Pixels of a line.
    pub w: usize,
}

impl Grid {
    /// Words of a line.
    pub fn words(self) -> usize {
        self.w.div_ceil(64)
    }

    fn last(self) -> u64 {
        match self.w % 64 {
            0 => !0,
            n => (1 << n) - 1,
        }
    }

    /// Marks every row.
    pub fn fill(self, mask: &mut [u64]) {
        let words = self.words();
        for line in mask.chunks_exact_mut(words) {
            line.fill(!0);
            line[words - 1] = self.last();
        }
    }
}

/// Whether any row is marked.
pub fn any(mask: &[u64]) -> bool {
    mask.iter().any(|w| *w != 0)
}

/// Marked rows.
pub fn count(mask: &[u64]) -> usize {
    mask.iter().map(|w| w.count_ones() as usize).sum()
}

/// `out |= mask`.
pub fn or(out: &mut [u64], mask: &[u64]) {
    for (o, m) in out.iter_mut().zip(mask) {
        *o |= m;
    }
}

/// Calls `f` for every marked `(y, x)`.
pub fn each(mask: &[u64], grid: Grid, mut f: impl FnMut(usize, usize)) {
    for (y, line) in mask.chunks_exact(grid.words()).enumerate() {
        for (i, word) in line.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                f(y, 64 * i + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }
}

/// Calls `f` for every run of marked pixels `(y, x..end)`; runs end where words do.
pub fn runs(mask: &[u64], grid: Grid, mut f: impl FnMut(usize, Range<usize>)) {
    for (y, line) in mask.chunks_exact(grid.words()).enumerate() {
        for (i, word) in line.iter().enumerate() {
            let (mut word, mut x) = (*word, 64 * i);
            while word != 0 {
                let skip = word.trailing_zeros();
                let ones = (word >> skip).trailing_ones();
                let first = x + skip as usize;
                f(y, first..first + ones as usize);
                x = first + ones as usize;
                // In two steps: a shift by 64 is none.
                word = word >> skip >> (ones - 1) >> 1;
            }
        }
    }
}

/// Marks `(y, x)`.
pub fn set(mask: &mut [u64], grid: Grid, y: usize, x: usize) {
    if let Some(word) = mask.get_mut(y * grid.words() + x / 64) {
        *word |= 1 << (x % 64);
    }
}

/// Marks `(y, x)` for every `x`.
fn set_run(mask: &mut [u64], grid: Grid, y: usize, x: Range<usize>) {
    let Some(line) = mask.get_mut(y * grid.words()..).and_then(|m| m.get_mut(..grid.words())) else { return };
    let mut at = x.start;
    while at < x.end {
        let n = (x.end - at).min(64 - at % 64);
        if let Some(word) = line.get_mut(at / 64) {
            *word |= (!0 >> (64 - n)) << (at % 64);
        }
        at += n;
    }
}

/// Unmarks `(y, x)`.
pub fn clear(mask: &mut [u64], grid: Grid, y: usize, x: usize) {
    if let Some(word) = mask.get_mut(y * grid.words() + x / 64) {
        *word &= !(1 << (x % 64));
    }
}

/// `out[j] |= line[j + shift]` by bits; bits outside `line` are 0.
fn or_shifted(out: &mut [u64], line: &[u64], shift: isize) {
    let words = shift.div_euclid(64);
    let bits = shift.rem_euclid(64) as u32;
    let at = |i: isize| if i >= 0 { line.get(i as usize).copied().unwrap_or(0) } else { 0 };
    for (j, o) in out.iter_mut().enumerate() {
        let i = j as isize + words;
        *o |= match bits {
            0 => at(i),
            _ => at(i) >> bits | at(i + 1) << (64 - bits),
        };
    }
}

/// The even bits of `x`, packed into the low half.
fn even(mut x: u64) -> u64 {
    x &= 0x5555_5555_5555_5555;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) & 0xffff_ffff
}

/// Bits 0, 3, 6.. of `x`, packed into the low 22.
fn third(mut x: u64) -> u64 {
    x &= 0x9249_2492_4924_9249;
    x = (x | x >> 2) & 0x30c3_0c30_c30c_30c3;
    x = (x | x >> 4) & 0xf00f_00f0_0f00_f00f;
    x = (x | x >> 8) & 0x00ff_0000_ff00_00ff;
    x = (x | x >> 16) & 0xffff_0000_0000_ffff;
    (x | x >> 32) & 0x3f_ffff
}

/// Bit `p` set: any of the `c` bits of pixel `p` in the `c` words `bytes`: 64 pixels.
pub(crate) fn by_pixel(bytes: &[u64], c: usize) -> u64 {
    match *bytes {
        [word] if c == 1 => word,
        [a, b] if c == 2 => even(a | a >> 1) | even(b | b >> 1) << 32,
        [a, b, d] if c == 3 => {
            let any = |word: u64, next: u64| word | (word >> 1 | next << 63) | (word >> 2 | next << 62);
            // A pixel's first bit is bit 0 of the first word, bit 2 of the second, bit 1 of the third.
            third(any(a, b)) | third(any(b, d) >> 2) << 22 | third(any(d, 0) >> 1) << 43
        }
        [a, b, d, e] if c == 4 => {
            let quarter = |word: u64| even(even(word | word >> 1 | word >> 2 | word >> 3));
            quarter(a) | quarter(b) << 16 | quarter(d) << 32 | quarter(e) << 48
        }
        _ => {
            let mut pixels = 0;
            for (i, word) in bytes.iter().enumerate() {
                let mut word = *word;
                while word != 0 {
                    pixels |= 1 << ((64 * i + word.trailing_zeros() as usize) / c);
                    word &= word - 1;
                }
            }
            pixels
        }
    }
}

/// The low half of `x` spread over the even bits.
fn spaced(mut x: u64) -> u64 {
    x &= 0xffff_ffff;
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & 0x5555_5555_5555_5555
}

/// `out[x] |= line[x * stride]`.
fn take_every(out: &mut [u64], line: &[u64], stride: usize) {
    let word = |i: usize| line.get(i).copied().unwrap_or(0);
    match stride {
        1 => or(out, line),
        2 => {
            for (i, o) in out.iter_mut().enumerate() {
                *o |= even(word(2 * i)) | even(word(2 * i + 1)) << 32;
            }
        }
        _ => {
            for (i, word) in line.iter().enumerate() {
                let mut word = *word;
                while word != 0 {
                    let j = 64 * i + word.trailing_zeros() as usize;
                    if j.is_multiple_of(stride)
                        && let Some(o) = out.get_mut(j / stride / 64)
                    {
                        *o |= 1 << (j / stride % 64);
                    }
                    word &= word - 1;
                }
            }
        }
    }
}

/// `out[x * stride] |= line[x]`.
fn put_every(out: &mut [u64], line: &[u64], stride: usize) {
    match stride {
        1 => or(out, line),
        2 => {
            for (i, word) in line.iter().enumerate() {
                for (half, part) in [*word, *word >> 32].into_iter().enumerate() {
                    if let Some(o) = out.get_mut(2 * i + half) {
                        *o |= spaced(part);
                    }
                }
            }
        }
        _ => {
            for (i, word) in line.iter().enumerate() {
                let mut word = *word;
                while word != 0 {
                    let j = (64 * i + word.trailing_zeros() as usize) * stride;
                    if let Some(o) = out.get_mut(j / 64) {
                        *o |= 1 << (j % 64);
                    }
                    word &= word - 1;
                }
            }
        }
    }
}

/// The lines of `grid` that output line `y` of a window reads.
fn window_lines(w: &Window, y: usize, h: usize) -> impl Iterator<Item = usize> {
    let first = (y * w.stride[0] as usize) as isize - w.pad[0] as isize;
    let step = w.dilation[0] as isize;
    (0..w.kernel[0] as isize).map(move |k| first + k * step).filter(move |y| *y >= 0 && (*y as usize) < h).map(|y| y as usize)
}

/// The column of each tap, relative to that of the output pixel.
fn columns(w: &Window) -> impl Iterator<Item = isize> {
    let (step, pad) = (w.dilation[1] as isize, w.pad[1] as isize);
    (0..w.kernel[1] as isize).map(move |k| k * step - pad)
}

/// Whether a line is a word, in and out, and at stride 2 also between, and no tap is a word away.
fn narrow(w: &Window, out: Grid, grid: Grid) -> bool {
    let reach = (w.kernel[1] as usize - 1) * w.dilation[1] as usize;
    out.w <= 64 && grid.w <= 64 && (w.stride[1] == 1 || w.stride[1] == 2 && out.w <= 32) && w.pad[1] < 64 && reach < 64
}

/// Bit `j` set: bit `j + at` of `word` is, for any of the columns `at` of the taps, each less than a word away.
fn see_columns(w: &Window, word: u64) -> u64 {
    let (dilation, pad) = (w.dilation[1] as u32, w.pad[1] as u32);
    (0..w.kernel[1] as u32).map(|k| k * dilation).fold(0, |seen, at| seen | if at < pad { word << (pad - at) } else { word >> (at - pad) })
}

/// Bit `j` set: bit `j - at` of `word` is.
fn put_columns(w: &Window, word: u64) -> u64 {
    let (dilation, pad) = (w.dilation[1] as u32, w.pad[1] as u32);
    (0..w.kernel[1] as u32).map(|k| k * dilation).fold(0, |seen, at| seen | if at < pad { word >> (pad - at) } else { word << (at - pad) })
}

/// Every `stride`-th bit, of 1 or 2.
fn take_word(word: u64, stride: u16) -> u64 {
    if stride == 1 { word } else { even(word) }
}

/// The bits, `stride` apart.
fn put_word(word: u64, stride: u16) -> u64 {
    if stride == 1 { word } else { spaced(word) }
}

/// Output rows of a window that see a marked row. `scratch` holds two lines of either mask, plus padding.
pub fn spread_window(out: &mut [u64], out_grid: Grid, mask: &[u64], grid: Grid, w: &Window, scratch: &mut [u64]) {
    if narrow(w, out_grid, grid) {
        let mask = &mask[..grid.h];
        let [kernel, stride, dilation, pad] = [w.kernel, w.stride, w.dilation, w.pad].map(|of| of[0] as usize);
        for (y, out) in out.iter_mut().enumerate().take(out_grid.h) {
            // Lines before the first are beyond the last as well.
            let line = |k: usize| mask.get((y * stride + k * dilation).wrapping_sub(pad)).copied().unwrap_or(0);
            let seen = (0..kernel).fold(0, |seen, k| seen | line(k));
            if seen != 0 {
                *out |= take_word(see_columns(w, seen), w.stride[1]) & out_grid.last();
            }
        }
        return;
    }
    let words = grid.words();
    let (seen, rest) = scratch.split_at_mut(words);
    let stride = w.stride[1] as usize;
    for (y, out) in out.chunks_exact_mut(out_grid.words()).enumerate() {
        seen.fill(0);
        for line in window_lines(w, y, grid.h) {
            or(seen, &mask[line * words..][..words]);
        }
        if !any(seen) {
            continue;
        }
        let shifts = columns(w);
        if stride == 1 {
            shifts.for_each(|shift| or_shifted(out, seen, shift));
        } else {
            let wide = ((out_grid.w - 1) * stride / 64 + 1).min(rest.len());
            let wide = &mut rest[..wide];
            wide.fill(0);
            shifts.for_each(|shift| or_shifted(wide, seen, shift));
            take_every(out, wide, stride);
        }
        if let Some(last) = out.last_mut() {
            *last &= out_grid.last();
        }
    }
}

/// Input rows that the marked rows of a window read. `scratch` as in [`spread_window`].
pub fn need_window(need: &mut [u64], grid: Grid, mask: &[u64], out_grid: Grid, w: &Window, scratch: &mut [u64]) {
    if narrow(w, out_grid, grid) {
        for (y, line) in mask.iter().enumerate().take(out_grid.h).filter(|(_, line)| **line != 0) {
            let wide = put_word(*line, w.stride[1]);
            let seen = put_columns(w, wide) & grid.last();
            window_lines(w, y, grid.h).for_each(|line| need[line] |= seen);
        }
        return;
    }
    let words = grid.words();
    let stride = w.stride[1] as usize;
    let wide = ((out_grid.w - 1) * stride / 64 + 1).min(scratch.len() - words);
    let (seen, rest) = scratch.split_at_mut(words);
    let wide = &mut rest[..wide];
    for (y, line) in mask.chunks_exact(out_grid.words()).enumerate() {
        if !any(line) {
            continue;
        }
        wide.fill(0);
        put_every(wide, line, stride);
        seen.fill(0);
        columns(w).for_each(|at| or_shifted(seen, wide, -at));
        if let Some(last) = seen.last_mut() {
            *last &= grid.last();
        }
        for line in window_lines(w, y, grid.h) {
            or(&mut need[line * words..][..words], seen);
        }
    }
}

/// Output rows of `out[y, x] = in[ys[y], xs[x]]`.
pub fn spread_index(out: &mut [u64], out_grid: Grid, mask: &[u64], grid: Grid, ys: &[u16], xs: &[u16]) {
    let words = grid.words();
    for (out, y) in out.chunks_exact_mut(out_grid.words()).zip(ys) {
        let Some(line) = mask.get(*y as usize * words..).and_then(|m| m.get(..words)) else { continue };
        if *y == FILL || !any(line) {
            continue;
        }
        for (x, source) in xs.iter().enumerate() {
            let word = line.get(*source as usize / 64).copied().unwrap_or(0);
            if *source != FILL {
                out[x / 64] |= (word >> (source % 64) & 1) << (x % 64);
            }
        }
    }
}

/// Transpose of [`spread_index`].
pub fn need_index(need: &mut [u64], grid: Grid, mask: &[u64], out_grid: Grid, ys: &[u16], xs: &[u16]) {
    each(mask, out_grid, |y, x| {
        if let (Some(y), Some(x)) = (ys.get(y), xs.get(x))
            && *y != FILL
            && *x != FILL
        {
            set(need, grid, *y as usize, *x as usize);
        }
    });
}

/// Output rows of a linear interpolation.
pub fn spread_lerp(out: &mut [u64], out_grid: Grid, mask: &[u64], grid: Grid, ys: &[Lerp], xs: &[Lerp]) {
    let words = grid.words();
    let line = |y: u16| mask.get(y as usize * words..).and_then(|m| m.get(..words)).unwrap_or(&[]);
    for (out, y) in out.chunks_exact_mut(out_grid.words()).zip(ys) {
        let (a, b) = (line(y.lo), line(y.hi));
        if !any(a) && !any(b) {
            continue;
        }
        let bit = |x: u16| {
            let at = |l: &[u64]| l.get(x as usize / 64).copied().unwrap_or(0);
            (at(a) | at(b)) >> (x % 64) & 1
        };
        for (x, l) in xs.iter().enumerate() {
            out[x / 64] |= (bit(l.lo) | bit(l.hi)) << (x % 64);
        }
    }
}

/// Transpose of [`spread_lerp`].
pub fn need_lerp(need: &mut [u64], grid: Grid, mask: &[u64], out_grid: Grid, ys: &[Lerp], xs: &[Lerp]) {
    each(mask, out_grid, |y, x| {
        if let (Some(y), Some(x)) = (ys.get(y), xs.get(x)) {
            for y in [y.lo, y.hi] {
                for x in [x.lo, x.hi] {
                    set(need, grid, y as usize, x as usize);
                }
            }
        }
    });
}

/// The pixels of `block x block` that belong to each marked pixel.
pub fn expand(out: &mut [u64], out_grid: Grid, mask: &[u64], grid: Grid, block: usize) {
    each(mask, grid, |y, x| {
        for by in 0..block {
            for bx in 0..block {
                set(out, out_grid, y * block + by, x * block + bx);
            }
        }
    });
}

/// The pixel each marked pixel of a `block x block` belongs to.
pub fn shrink(out: &mut [u64], out_grid: Grid, mask: &[u64], grid: Grid, block: usize) {
    each(mask, grid, |y, x| set(out, out_grid, y / block, x / block));
}

/// Rows that share elements with a marked row when the same memory is read under another shape of `out_c` channels.
pub fn reshape(out: &mut [u64], out_grid: Grid, out_c: usize, mask: &[u64], grid: Grid, c: usize) {
    runs(mask, grid, |y, x| {
        let line = y * grid.w;
        let (mut row, end) = ((line + x.start) * c / out_c, ((line + x.end) * c).div_ceil(out_c));
        while row < end {
            let (y, first) = (row / out_grid.w, row % out_grid.w);
            let last = out_grid.w.min(first + end - row);
            set_run(out, out_grid, y, first..last);
            row += last - first;
        }
    });
}

/// Marks of a map that lies at `(y0, x0)` of a larger one.
pub fn place(out: &mut [u64], out_grid: Grid, mask: &[u64], grid: Grid, y0: usize, x0: usize) {
    if x0 == 0 && out_grid.words() == grid.words() {
        return or(out.get_mut(y0 * grid.words()..).unwrap_or(&mut []), mask);
    }
    runs(mask, grid, |y, x| set_run(out, out_grid, y + y0, x.start + x0..x.end + x0));
}

/// Transpose of [`place`].
pub fn cut(out: &mut [u64], out_grid: Grid, mask: &[u64], grid: Grid, y0: usize, x0: usize) {
    each(mask, grid, |y, x| {
        if y >= y0 && x >= x0 && y - y0 < out_grid.h && x - x0 < out_grid.w {
            set(out, out_grid, y - y0, x - x0);
        }
    });
}

/// Keeps the first `n` marked rows in `mask` and moves the others to `rest`.
pub fn split(mask: &mut [u64], rest: &mut [u64], mut n: usize) {
    for (m, r) in mask.iter_mut().zip(rest) {
        let ones = m.count_ones() as usize;
        if ones <= n {
            n -= ones;
            continue;
        }
        let mut kept = 0;
        let mut word = *m;
        for _ in 0..n {
            kept |= word & word.wrapping_neg();
            word &= word - 1;
        }
        n = 0;
        *r |= word;
        *m = kept;
    }
}

/// `mask |= strong`, after unmarking every row of `mask` without a marked neighbour among the 8 around it. `scratch` holds
/// three lines.
pub fn despeckle(mask: &mut [u64], strong: &[u64], grid: Grid, scratch: &mut [u64]) {
    let words = grid.words();
    let (above, rest) = scratch.split_at_mut(words);
    let (here, around) = rest.split_at_mut(words);
    let around = &mut around[..words];
    above.fill(0);
    for y in 0..grid.h {
        here.copy_from_slice(&mask[y * words..][..words]);
        let below = mask.get((y + 1) * words..(y + 2) * words).unwrap_or(&[]);
        if any(here) {
            // Here and above and below, then to the sides.
            for (i, around) in around.iter_mut().enumerate() {
                *around = above[i] | below.get(i).copied().unwrap_or(0);
            }
            for i in 0..words {
                let sides = |line: &[u64]| {
                    let (left, right) = (if i > 0 { line[i - 1] >> 63 } else { 0 }, line.get(i + 1).map_or(0, |w| w << 63));
                    line[i] << 1 | left | line[i] >> 1 | right
                };
                let near = around[i] | sides(around) | sides(here);
                mask[y * words + i] = here[i] & near | strong[y * words + i];
            }
        } else {
            mask[y * words..][..words].copy_from_slice(&strong[y * words..][..words]);
        }
        above.copy_from_slice(here);
    }
}

#[cfg(test)]
mod tests;
