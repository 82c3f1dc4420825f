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
//! A tile asked to do `count < R` rows repeats its last row and does not store the repetitions.

use super::super::ConvTile;
use super::vector::Vector;

/// Rows `row..row + count` (`1..=R`) and `N` vectors of outputs from block `block`.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]); the rows and blocks are in it; the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const R: usize, const N: usize>(
    t: &ConvTile,
    row: usize,
    count: usize,
    block: usize,
) {
    let panel = t.segments.len() * t.quads * 64;
    // SAFETY: features: the caller. Input: `4 * quads` bytes are readable from each row and segment; weights: `blocks`
    // panels of `panel` bytes (both validity of the tile).
    let acc = unsafe {
        let mut acc = [[V::zero(); N]; R];
        let mut x = [t.input; R];
        for (r, x) in x.iter_mut().enumerate() {
            *x = t.input.add(t.rows_in[row + r.min(count - 1)] as usize);
        }
        let mut w = t.weights.as_ptr().cast::<u8>().add(block * panel);
        for &segment in t.segments {
            let segment = segment as usize;
            let mut at = segment;
            while at < segment + 4 * t.quads {
                let mut right = [V::zero().right(); N];
                for (n, right) in right.iter_mut().enumerate() {
                    let byte = n * V::BYTES;
                    *right = V::load(w.add(byte / 64 * panel + byte % 64)).right();
                }
                for r in 0..R {
                    let left = V::left_repeated(x[r].add(at));
                    for n in 0..N {
                        acc[r][n] = acc[r][n].dot(left, right[n]);
                    }
                }
                w = w.add(64);
                at += 4;
            }
        }
        acc
    };
    let whole = 16 * block + N * V::WORDS <= t.oc;
    if whole && !t.real && t.residual.is_none() {
        // SAFETY: as above; `N * WORDS` outputs from the block are within `oc`.
        unsafe { finish_codes::<V, R, N>(t, row, count, 16 * block, &acc) }
    } else {
        let acc = acc;
        for (r, acc) in acc.iter().enumerate().take(count) {
            // SAFETY: as above.
            unsafe { finish_row::<V, N>(t, row + r, 16 * block, acc) }
        }
    }
}

/// Codes without a residual, all outputs present.
#[inline(always)]
unsafe fn finish_codes<V: Vector, const R: usize, const N: usize>(
    t: &ConvTile,
    row: usize,
    count: usize,
    at: usize,
    acc: &[[V; N]; R],
) {
    // SAFETY: features and validity of the tile: the caller.
    unsafe {
        let (lo, hi) = (V::splat(t.lo), V::splat(t.hi));
        let (mut m, mut b) = ([lo; N], [lo; N]);
        for n in 0..N {
            m[n] = V::load_reals(t.m.as_ptr().add(at + n * V::WORDS));
            b[n] = V::load_reals(t.b.as_ptr().add(at + n * V::WORDS));
        }
        for r in 0..R {
            if r < count {
                let out = t.output.add(t.rows_out[row + r] as usize + at);
                for n in 0..N {
                    let y = V::add(V::mul(acc[r][n].to_reals(), m[n]), b[n]);
                    let y = V::min(V::max(y, lo), hi);
                    V::round(y).store_narrowed(out.add(n * V::WORDS), V::WORDS);
                }
            }
        }
    }
}

/// Any kind of row, of which the last outputs may be missing.
#[inline(always)]
unsafe fn finish_row<V: Vector, const N: usize>(t: &ConvTile, row: usize, at: usize, acc: &[V; N]) {
    // SAFETY: features and validity of the tile: the caller. `m`, `b` and `r` hold whole blocks.
    unsafe {
        let (lo, hi) = (V::splat(t.lo), V::splat(t.hi));
        let out = t.output.add(t.rows_out[row] as usize);
        for n in 0..N {
            let at = at + n * V::WORDS;
            if at >= t.oc {
                break;
            }
            let left = V::WORDS.min(t.oc - at);
            let m = V::load_reals(t.m.as_ptr().add(at));
            let b = V::load_reals(t.b.as_ptr().add(at));
            let mut y = V::add(V::mul(acc[n].to_reals(), m), b);
            if let Some(res) = &t.residual {
                let x = V::load_widened(res.input.add(res.rows[row] as usize + at), left);
                y = V::add(y, V::mul(x.to_reals(), V::load_reals(res.r.as_ptr().add(at))));
            }
            let y = V::min(V::max(y, lo), hi);
            if t.real {
                V::store_reals(y, out.cast::<f32>().add(at), left);
            } else {
                V::round(y).store_narrowed(out.add(at), left);
            }
        }
    }
}

/// The rows of codes that still need the table of their tile, and the table.
#[inline(always)]
pub(super) fn untabled<'a>(t: &'a ConvTile) -> Option<(&'a [u8; 256], impl Iterator<Item = *mut u8> + 'a)> {
    let table = t.table.filter(|_| !t.real)?;
    Some((table, t.rows_out.iter().map(|&row| t.output.wrapping_add(row as usize))))
}

/// Looks every code of a finished tile up, one by one.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]) and its rows are written.
#[inline(always)]
pub(super) unsafe fn apply_table(t: &ConvTile) {
    if let Some((table, rows)) = untabled(t) {
        for row in rows {
            for o in 0..t.oc {
                // SAFETY: the row holds `oc` codes, now written (the caller).
                unsafe { *row.add(o) = table[*row.add(o) as usize] };
            }
        }
    }
}
