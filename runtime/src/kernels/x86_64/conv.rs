//! Convolution: register tiles of `R` rows by `N` vectors of outputs.
//!
//! ```text
//! for each segment, for each quad
//!     w[n] = weights of N vectors of outputs, 4 inputs each        (consecutive in memory per block of 16 outputs)
//!     for r in rows
//!         x = 4 bytes of row r, repeated in every lane
//!         for n: acc[r][n] += dot(x, w[n])
//! scale, add, clamp, round, store acc
//! ```
//!
//! A row costs one broadcast per `N` dot steps and a panel of weights is read once per `R` rows. The caller walks the
//! blocks of outputs outside and the rows inside, so that a panel of weights stays in the first-level cache for all
//! rows of the tile.
//!
//! Vectors of outputs are counted from the first output, [`Vector::WORDS`] each. What they all need for all rows is a [`Panel`].
//!
//! A tile asked to do `count < R` rows repeats its last row and does not store the repetitions.

use super::super::ConvTile;
use super::vector::Vector;

/// `N` vectors of outputs, for all rows.
pub(super) struct Panel<V, const N: usize> {
    /// The first vector.
    pub first: usize,
    /// Where sums start.
    pub sums: [V; N],
    /// Weights of each vector, a quad in every 64 bytes, as [`Vector::right_at`] takes them.
    pub weights: [*const u8; N],
}

impl<V: Vector, const N: usize> Panel<V, N> {
    /// From vector `first` on, weights as they are packed.
    ///
    /// # Safety
    /// The CPU has the features of `V`.
    #[inline(always)]
    pub(super) unsafe fn packed(t: &ConvTile, first: usize) -> Self {
        let block = t.segments.len() * t.quads * 64;
        let mut weights = [t.weights.as_ptr().cast::<u8>(); N];
        for (n, weights) in weights.iter_mut().enumerate() {
            let byte = (first + n) * V::BYTES;
            *weights = weights.wrapping_add(byte / 64 * block + byte % 64);
        }
        // SAFETY: the caller's.
        Panel { first, sums: unsafe { [V::zero(); N] }, weights }
    }
}

/// Rows `row..row + count` (`1..=R`) and a panel.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]); the rows are in it and the panel's vectors in its blocks, whose quads it has all; the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const R: usize, const N: usize>(t: &ConvTile, row: usize, count: usize, panel: &Panel<V, N>) {
    // SAFETY: features: the caller. Input: the rows are in the tile (the caller), `4 * quads` bytes are readable from each of them and segment
    // (validity of the tile); weights: the panel has as many quads.
    let acc = unsafe {
        let mut acc = [panel.sums; R];
        let mut x = [t.input; R];
        for (r, x) in x.iter_mut().enumerate() {
            *x = t.input.add(*t.rows_in.get_unchecked(row + r.min(count - 1)) as usize);
        }
        let mut quad = 0;
        for &segment in t.segments {
            let segment = segment as usize;
            let mut at = segment;
            while at < segment + 4 * t.quads {
                let mut right = [V::zero().right(); N];
                for (n, right) in right.iter_mut().enumerate() {
                    *right = V::right_at(panel.weights[n].add(quad));
                }
                for r in 0..R {
                    let left = V::left_repeated(x[r].add(at));
                    for n in 0..N {
                        acc[r][n] = acc[r][n].dot(left, right[n]);
                    }
                }
                quad += 64;
                at += 4;
            }
        }
        acc
    };
    let at = panel.first * V::WORDS;
    // SAFETY: as above.
    if !t.real && unsafe { V::finish_whole(t, row, count, at, &acc) } {
        return;
    }
    let sums = in_memory(&acc);
    // SAFETY: as above.
    unsafe {
        if t.real {
            finish_reals::<V, R, N>(t, row, count, at, &sums);
        } else {
            finish_codes::<V, R, N>(t, row, count, at, &sums);
        }
    }
}

/// One by one, into memory of their own: accumulators are registers only if every index to them is constant.
#[inline(always)]
pub(super) fn in_memory<V: Vector, const R: usize, const N: usize>(acc: &[[V; N]; R]) -> [[V; N]; R] {
    let mut sums = *acc;
    for r in 0..R {
        for n in 0..N {
            sums[r][n] = acc[r][n];
        }
    }
    sums
}

/// Byte `at` of rows `row..row + count` (`1..=R`) of those at `rows`, the last one repeated.
///
/// # Safety
/// The rows are in the list, the byte in each of them.
#[inline(always)]
pub(super) unsafe fn bytes_of<const R: usize>(base: *const u8, rows: &[u32], [row, count, at]: [usize; 3]) -> [*const u8; R] {
    let mut bytes = [base; R];
    for (r, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *byte = unsafe { base.add(*rows.get_unchecked(row + r.min(count - 1)) as usize + at) };
    }
    bytes
}

/// Multipliers and offsets of `N` vectors of outputs: all there, because the arrays hold whole blocks.
#[inline(always)]
pub(super) unsafe fn affine<V: Vector, const N: usize>(t: &ConvTile, at: usize) -> [[V::Real; N]; 2] {
    // SAFETY: features and validity of the tile: the caller.
    unsafe {
        let (mut m, mut b) = ([V::splat(0.0); N], [V::splat(0.0); N]);
        for n in 0..N {
            m[n] = V::load_reals(t.m.as_ptr().add(at + n * V::WORDS));
            b[n] = V::load_reals(t.b.as_ptr().add(at + n * V::WORDS));
        }
        [m, b]
    }
}

/// Adds the residual of `left` outputs from `at`.
#[inline(always)]
pub(super) unsafe fn residual<V: Vector>(t: &ConvTile, row: usize, at: usize, left: usize, y: V::Real) -> V::Real {
    let Some(res) = &t.residual else { return y };
    // SAFETY: features and validity of the tile: the caller.
    unsafe {
        let x = V::load_widened(res.input.add(res.rows[row] as usize + at), left);
        V::add(y, V::mul(x.to_reals(), V::load_reals(res.r.as_ptr().add(at))))
    }
}

/// Where [`Vector::finish_whole`] does nothing.
#[inline(always)]
pub(super) unsafe fn finish_codes<V: Vector, const R: usize, const N: usize>(
    t: &ConvTile, row: usize, count: usize, at: usize, acc: &[[V; N]; R],
) {
    // SAFETY: features and validity of the tile: the caller; a vector stores what is left of `oc`.
    unsafe {
        let (lo, hi) = (V::splat(t.lo), V::splat(t.hi));
        let [m, b] = affine::<V, N>(t, at);
        for (row, acc) in (row..row + count).zip(acc) {
            let out = t.output.add(t.rows_out[row] as usize);
            for n in 0..N {
                let at = at + n * V::WORDS;
                let left = V::WORDS.min(t.oc.saturating_sub(at));
                let y = V::add(V::mul(acc[n].to_reals(), m[n]), b[n]);
                let y = residual::<V>(t, row, at, left, y);
                let y = V::min(V::max(y, lo), hi);
                V::round(y).store_narrowed(out.add(at), left);
            }
        }
    }
}

/// For the few layers that leave the integers.
#[inline(always)]
unsafe fn finish_reals<V: Vector, const R: usize, const N: usize>(t: &ConvTile, row: usize, count: usize, at: usize, acc: &[[V; N]; R]) {
    // SAFETY: as in `finish_codes`.
    unsafe {
        let (lo, hi) = (V::splat(t.lo), V::splat(t.hi));
        let [m, b] = affine::<V, N>(t, at);
        for (row, acc) in (row..row + count).zip(acc) {
            let out = t.output.add(t.rows_out[row] as usize).cast::<f32>();
            for n in 0..N {
                let at = at + n * V::WORDS;
                let left = V::WORDS.min(t.oc.saturating_sub(at));
                let y = V::add(V::mul(acc[n].to_reals(), m[n]), b[n]);
                let y = residual::<V>(t, row, at, left, y);
                V::store_reals(V::min(V::max(y, lo), hi), out.add(at), left);
            }
        }
    }
}

/// The codes that still need the table of their finished tile, in runs of adjacent rows, and the table.
#[inline(always)]
pub(super) fn untabled<'a>(t: &'a ConvTile) -> Option<(&'a [u8; 256], impl Iterator<Item = (*mut u8, usize)> + 'a)> {
    let table = t.table.filter(|_| !t.real)?;
    let mut rows = t.rows_out;
    let runs = core::iter::from_fn(move || {
        let (&first, _) = rows.split_first()?;
        let adjacent = |(i, row): (usize, &u32)| *row as usize == first as usize + i * t.oc;
        let n = rows.iter().enumerate().take_while(|&row| adjacent(row)).count();
        rows = &rows[n..];
        Some((t.output.wrapping_add(first as usize), n * t.oc))
    });
    Some((table, runs))
}
