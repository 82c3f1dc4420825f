//! The specification: plain loops, in the order of the formulas.

use super::{
    Bin, CompareTile, ConvTile, DepthwiseTile, DriftTile, JudgeTile, Kernels, LerpTile, Operand, PairsTile, PickTile, PoolTile, Row, Shift,
    SumTile, TablesTile, Uni, compare as lines, rows,
};
use crate::mask;

/// The scalar set.
pub static KERNELS: Kernels = Kernels {
    name: "scalar",
    linked: crate::engine::Linked::ALL,
    conv,
    depthwise,
    pairs,
    max_pool,
    avg_pool,
    compare,
    drift,
    score,
    settle,
    judge,
    table,
    tables,
    max,
    sum,
    lerp,
    pick,
    softmax,
    binary,
    map,
};

/// Nearest even integer of `|x| < 2^22`: adding 1.5 * 2^23 leaves no fraction bits.
#[inline(always)]
pub(crate) fn rne(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC) - MAGIC
}

/// The code of `x`: clamped, then rounded to nearest even. A NaN gives `lo`.
#[inline(always)]
pub(crate) fn code(x: f32, lo: f32, hi: f32) -> u8 {
    rne(rows::clamp(x, lo, hi)) as u8
}

/// What follows the sum in [`ConvTile`]: one row, channels `at..at + acc.len()`.
///
/// # Safety
/// The tile is valid, `i` a row of it, `at + acc.len() <= oc`.
#[inline(always)]
pub(super) unsafe fn finish(t: &ConvTile, i: usize, at: usize, acc: &[i32]) {
    let n = acc.len();
    // SAFETY: the result row holds `oc` values (validity of the tile).
    let out = unsafe { t.output.add(t.rows_out[i] as usize) };
    for (k, ((acc, m), b)) in acc.iter().zip(&t.m[at..at + n]).zip(&t.b[at..at + n]).enumerate() {
        let o = at + k;
        let mut y = *acc as f32 * m + b;
        if let Some(res) = &t.residual {
            // SAFETY: the residual row holds `oc` codes (validity of the tile).
            y += unsafe { *res.input.add(res.rows[i] as usize + o) } as f32 * res.r[o];
        }
        if t.real {
            let y = rows::clamp(y, t.lo, t.hi);
            // SAFETY: as above; the row may be unaligned.
            unsafe { out.cast::<f32>().add(o).write_unaligned(y) };
        } else {
            let q = code(y, t.lo, t.hi);
            let q = t.table.map_or(q, |table| table[q as usize]);
            // SAFETY: as above.
            unsafe { out.add(o).write(q) };
        }
    }
}

unsafe fn conv(t: &ConvTile) {
    for i in 0..t.rows_in.len() {
        for (block, weights) in t.weights.chunks_exact(t.segments.len() * t.quads * 64).take(t.oc.div_ceil(16)).enumerate() {
            let mut acc = [0i32; 16];
            let mut w = weights.chunks_exact(64);
            for &segment in t.segments {
                for q in 0..t.quads {
                    let at = t.rows_in[i] as usize + segment as usize + 4 * q;
                    // SAFETY: readable by the validity of the tile; unaligned.
                    let x = unsafe { t.input.add(at).cast::<[u8; 4]>().read() };
                    let Some(w) = w.next() else { return };
                    for (acc, w) in acc.iter_mut().zip(w.chunks_exact(4)) {
                        for j in 0..4 {
                            *acc = acc.wrapping_add(x[j] as i32 * w[j] as i32);
                        }
                    }
                }
            }
            let at = 16 * block;
            // SAFETY: `at + n <= oc`.
            unsafe { finish(t, i, at, &acc[..16.min(t.oc - at)]) };
        }
    }
}

unsafe fn depthwise(t: &DepthwiseTile) {
    for i in 0..t.rows_in.len() {
        for (block, weights) in t.weights.chunks_exact(t.quads * 64).take(t.oc.div_ceil(16)).enumerate() {
            let at = 16 * block;
            let n = 16.min(t.oc - at);
            let mut acc = [0i32; 16];
            for (tap, &offset) in t.segments.iter().enumerate() {
                let w = &weights[tap / 4 * 64..][..64];
                for (k, acc) in acc[..n].iter_mut().enumerate() {
                    let x = t.rows_in[i] as usize + offset as usize + at + k;
                    // SAFETY: readable by the validity of the tile.
                    let x = unsafe { *t.input.add(x) };
                    *acc = acc.wrapping_add(x as i32 * w[4 * k + tap % 4] as i32);
                }
            }
            // SAFETY: `at + n <= oc`.
            unsafe { finish(t, i, at, &acc[..n]) };
        }
    }
}

pub(super) unsafe fn pairs(t: &PairsTile) {
    let Some(segment) = t.segments.first() else { return };
    for i in 0..t.rows_in.len() {
        let x = t.input.wrapping_add(t.rows_in[i] as usize + *segment as usize);
        for (pair, weights) in t.weights.chunks_exact(8 * t.quads).take(t.oc.div_ceil(2)).enumerate() {
            let mut acc = [0i32; 2];
            for (j, [a, b]) in weights.as_chunks().0.iter().enumerate() {
                // SAFETY: readable by the validity of the tile.
                let x = unsafe { *x.add(j) } as i32;
                acc[0] = acc[0].wrapping_add(x * (*a as u8 as i32 - 128));
                acc[1] = acc[1].wrapping_add(x * *b as i32);
            }
            let at = 2 * pair;
            // SAFETY: `at + n <= oc`.
            unsafe { finish(t, i, at, &acc[..2.min(t.oc - at)]) };
        }
    }
}

/// Folds channel `k` of every real tap of row `i`.
///
/// # Safety
/// The tile is valid and `i`, `k` lie in it.
#[inline(always)]
unsafe fn taps(t: &PoolTile, i: usize, k: usize, mut f: impl FnMut(u8)) {
    for y in 0..t.taps[i].0 as usize {
        for x in 0..t.taps[i].1 as usize {
            let at = t.rows_in[i] as usize + y * t.step[0] + x * t.step[1] + k;
            // SAFETY: readable by the validity of the tile.
            f(unsafe { *t.input.add(at) });
        }
    }
}

#[inline(always)]
pub(in crate::kernels) unsafe fn max_pool(t: &PoolTile) {
    for i in 0..t.rows_in.len() {
        for k in 0..t.c {
            let mut max = 0;
            // SAFETY: forwarded; the result row holds `c` codes.
            unsafe {
                taps(t, i, k, |x| max = x.max(max));
                t.output.add(t.rows_out[i] as usize + k).write(max);
            }
        }
    }
}

#[inline(always)]
pub(in crate::kernels) unsafe fn avg_pool(t: &PoolTile) {
    for i in 0..t.rows_in.len() {
        let real = t.taps[i].0 as u32 * t.taps[i].1 as u32;
        let (count, missing) = match t.padding {
            Some((all, zero)) => (all, Some((all - real.min(all), zero))),
            None => (real, None),
        };
        let recip = 1.0 / count as f32;
        for k in 0..t.c {
            let mut sum = missing.map_or(0, |(n, zero)| n * zero.get(k).or(zero.first()).copied().unwrap_or(0) as u32);
            // SAFETY: forwarded; the result row holds `c` codes.
            unsafe {
                taps(t, i, k, |x| sum += x as u32);
                t.output.add(t.rows_out[i] as usize + k).write(code(sum as f32 * recip, 0.0, 255.0));
            }
        }
    }
}

pub(super) fn exceed(new: &[u8], held: &[u8], shift: Shift, thresholds: [u8; 2]) -> [u64; 2] {
    let mut bits = [0; 2];
    for (i, (n, h)) in new.iter().zip(held).take(64).enumerate() {
        for (bits, threshold) in bits.iter_mut().zip(thresholds) {
            *bits |= ((shift.take_out(*n).abs_diff(*h) > threshold) as u64) << i;
        }
    }
    bits
}

fn compare(t: &CompareTile, marks: [&mut [u64]; 2]) -> u8 {
    lines::line(t, marks, lines::most, exceed, mask::by_pixel)
}

unsafe fn drift(t: &DriftTile, sums: &mut [i32]) {
    sums.fill(0);
    for y in 0..t.lines {
        for (g, sum) in sums.iter_mut().enumerate() {
            for k in 8 * g..t.width.min(8 * g + 8) {
                // SAFETY: byte `k < width` of a line of either map.
                let (new, held) = unsafe { (*t.new.add(y * t.step[0] + k), *t.held.add(y * t.step[1] + k)) };
                *sum += t.shift.take_out(new) as i32 - held as i32;
            }
        }
    }
}

#[inline(always)]
pub(super) fn score(new: &[u8], held: &[u8], weights: &[u8], dead: u8) -> u32 {
    let mut sum = 0u32;
    for ((n, h), w) in new.iter().zip(held).zip(weights) {
        let d = n.abs_diff(*h).saturating_sub(dead) as u32;
        let e = ((d * *w as u32) >> 4).min(255);
        sum = sum.saturating_add(e * e);
    }
    sum
}

#[inline(always)]
pub(super) fn settle(new: &[u8], held: &mut [u8], dead: u8) {
    for (h, n) in held.iter_mut().zip(new) {
        *h = if n.abs_diff(*h) > dead { *n } else { *h };
    }
}

#[inline(always)]
pub(super) fn table(x: &[u8], out: &mut [u8], table: &[u8; 256]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = table[*x as usize];
    }
}

pub(super) unsafe fn tables(t: &TablesTile) {
    for i in 0..t.pixels {
        for (k, table) in t.tables.iter().enumerate() {
            // SAFETY: channel `k` of a pixel and of its result.
            unsafe { *t.output.add(i * t.step[1] + k) = table[*t.input.add(i * t.step[0] + k) as usize] };
        }
    }
}

#[inline(always)]
pub(super) fn max(x: &[u8], out: &mut [u8]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = (*out).max(*x);
    }
}

#[inline(always)]
pub(super) unsafe fn sum(t: &SumTile, sums: &mut [i32]) {
    for i in 0..t.pixels {
        // SAFETY: a pixel of the tile.
        let pixel = unsafe { core::slice::from_raw_parts(t.input.add(i * t.step), sums.len()) };
        for (sum, x) in sums.iter_mut().zip(pixel) {
            *sum += *x as i32;
        }
    }
}

unsafe fn lerp(t: &LerpTile) {
    for ((corners, parts), &out) in t.corners.iter().zip(t.parts).zip(t.rows_out) {
        let [ty, tx] = parts.map(u32::from);
        let w = [(256 - ty) * (256 - tx), (256 - ty) * tx, ty * (256 - tx), ty * tx];
        for k in 0..t.c {
            let mut y = 1 << 15;
            for (at, w) in corners.iter().zip(w) {
                // SAFETY: a row of the input (validity of the tile).
                y += unsafe { *t.input.add(*at as usize + k) } as u32 * w;
            }
            // SAFETY: a row of the result.
            unsafe { t.output.add(out as usize + k).write((y >> 16) as u8) };
        }
    }
}

#[inline(always)]
pub(super) unsafe fn pick(t: &PickTile) {
    for (&x, &out) in t.rows_in.iter().zip(t.rows_out) {
        for (k, &from) in t.index.iter().enumerate() {
            // SAFETY: a byte of the input row, a byte of the result row (validity of the tile).
            unsafe { *t.output.add(out as usize + k) = *t.input.add(x as usize + from as usize) };
        }
    }
}

/// The sum of fewer than 16 exponentials is in order, that of more in 16 partial sums (channel modulo 16), added by halves.
fn softmax(a: &Operand, c: usize, row: &mut Row) {
    let c = c.max(1);
    for first in (0..row.len() / c).map(|i| i * c) {
        let x = |k: usize| a.value(first + k, k);
        let max = (0..c).map(x).fold(f32::MIN, |max, x| if x > max { x } else { max });
        let mut parts = if c < rows::BLOCK { 1 } else { rows::BLOCK };
        let (mut sum, mut kept) = ([0.0; rows::BLOCK], [0.0; rows::BLOCK]);
        for k in 0..c {
            let e = rows::exp(x(k) - max);
            sum[k % parts] += e;
            kept[k % rows::BLOCK] = e;
        }
        while parts > 1 {
            parts /= 2;
            for i in 0..parts {
                sum[i] += sum[i + parts];
            }
        }
        for k in 0..c {
            let e = if c <= rows::BLOCK { kept[k] } else { rows::exp(x(k) - max) };
            row.set(first + k, k, e / sum[0]);
        }
    }
}

fn binary(bin: &Bin, row: &mut Row) {
    rows::binary(bin, row);
}

fn map(uni: &Uni, row: &mut Row) {
    rows::map(uni, row);
}

/// See [`Kernels::judge`](super::Kernels::judge).
///
/// # Safety
/// The tile is valid.
#[inline(always)]
pub(super) unsafe fn judge(t: &JudgeTile) -> u64 {
    let bytes = t.weights.len();
    let mut passed = 0;
    for (i, (new, at)) in t.new.chunks_exact(bytes.max(1)).zip(t.rows).take(64).enumerate() {
        // SAFETY: the held row is writable and touched by nothing else (validity of the tile).
        let held = unsafe { core::slice::from_raw_parts_mut(t.held.add(*at as usize), bytes) };
        match t.limit {
            None if new != held => held.copy_from_slice(new),
            Some(limit) if score(new, held, t.weights, t.dead) > limit => settle(new, held, t.dead),
            _ => continue,
        }
        passed |= 1 << i;
    }
    passed
}
