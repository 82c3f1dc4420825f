//! Rows of bytes: change tests, pooling and interpolation.
//!
//! Each loop takes whole vectors and then one part, so that rows of 24 or 48 channels cost no scalar loop.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::super::DriftTile;
use super::vector::Vector;
use crate::kernels::{LerpTile, SumTile};

/// Bytes by which a frame is asked for before it is compared.
const AHEAD: usize = 2048;

/// Bit `i` of word `k`: byte `i` of at most 64 differs by more than threshold `k`.
///
/// # Safety
/// Here and below: the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn exceed<V: Vector>(new: &[u8], held: &[u8], thresholds: [u8; 2]) -> [u64; 2] {
    let len = new.len().min(held.len()).min(64);
    // A frame comes from far away; a prefetch of any address is no access.
    // SAFETY: SSE is part of the target.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(new.as_ptr().wrapping_add(AHEAD).cast()) };
    let (mut bits, mut at) = ([0; 2], 0);
    while at < len {
        let n = V::BYTES.min(len - at);
        // SAFETY: `at + n <= len`.
        unsafe {
            let d = V::load_part(new.as_ptr().add(at), n).abs_diff_u8(V::load_part(held.as_ptr().add(at), n));
            for (bits, threshold) in bits.iter_mut().zip(thresholds) {
                *bits |= d.sub_saturating_u8(V::splat_u8(threshold)).nonzero() << at;
            }
        }
        at += n;
    }
    bits
}

/// See [`DriftTile`].
#[inline(always)]
pub(super) unsafe fn drift<V: Vector>(t: &DriftTile, sums: &mut [i32]) {
    let mut at = 0;
    for sums in sums.chunks_mut(V::BYTES / 8) {
        let n = V::BYTES.min(t.width - at);
        // SAFETY: bytes `at..at + n <= width` of every line; features: the caller.
        unsafe {
            let mut sum = V::zero();
            for y in 0..t.lines {
                let new = V::load_part(t.new.add(y * t.step[0] + at), n);
                let held = V::load_part(t.held.add(y * t.step[1] + at), n);
                // Of every 8 bytes, in 64 bits, which wrap as the 32 bits taken from them do.
                sum = sum.add_i64(new.sums_u8()).sub_i64(held.sums_u8());
            }
            let mut wide = [0i64; 8];
            sum.store_part(wide.as_mut_ptr().cast(), V::BYTES);
            for (sum, wide) in sums.iter_mut().zip(wide) {
                *sum = wide as i32;
            }
        }
        at += n;
    }
}

#[inline(always)]
pub(super) unsafe fn max<V: Vector>(x: &[u8], out: &mut [u8]) {
    let len = x.len().min(out.len());
    let mut at = 0;
    while at < len {
        let n = V::BYTES.min(len - at);
        // SAFETY: `at + n <= len`.
        unsafe {
            let o = out.as_mut_ptr().add(at);
            V::load_part(o, n).max_u8(V::load_part(x.as_ptr().add(at), n)).store_part(o, n);
        }
        at += n;
    }
}

#[inline(always)]
pub(super) unsafe fn sum<V: Vector>(t: &SumTile, sums: &mut [i32]) {
    for (block, sums) in sums.chunks_mut(V::WORDS).enumerate() {
        let (at, n, to) = (block * V::WORDS, sums.len(), sums.as_mut_ptr());
        // SAFETY: `n` sums, and as many bytes of each pixel.
        unsafe {
            let mut sum = V::load_words(to, n);
            for i in 0..t.pixels {
                sum = sum.add_i32(V::load_widened(t.input.add(i * t.step + at), n));
            }
            sum.store_words(to, n);
        }
    }
}

/// See [`LerpTile`]. Lines are mixed first: `v = a (256 - ty) + c ty` fits 16 bits unsigned. `vpmaddwd` takes signed ones, so
/// columns are mixed from `v - 2^15`, which takes `2^15 * 256` from the sum. `ROWS` rows share a vector.
#[inline(always)]
pub(super) unsafe fn lerp<V: Vector, const ROWS: usize>(t: &LerpTile) {
    let part = V::BYTES / ROWS;
    // SAFETY: features: the caller.
    let mut mixed = [unsafe { V::zero() }; 4];
    let mut row = 0;
    while row < t.corners.len() {
        let count = ROWS.min(t.corners.len() - row);
        // Enlarging by much, rows lie between the corners of those before: their lines are mixed already.
        let again = part >= t.c
            && row > 0
            && (0..ROWS).all(|r| {
                let (i, before) = (row + r.min(count - 1), row - ROWS + r);
                t.corners[i] == t.corners[before] && t.parts[i][0] == t.parts[before][0]
            });
        // Weights of each row: of the two lines, each as pairs of 16 bits, and of the two columns as a pair.
        let mut weights = [[0u32; 4]; 3];
        let mut p = [[t.input; 4]; 4];
        let mut out = [t.output; 4];
        for r in 0..ROWS {
            let i = row + r.min(count - 1);
            let [ty, tx] = [t.parts[i][0] as u32, t.parts[i][1] as u32];
            weights[0][r] = (256 - ty) * 0x1_0001;
            weights[1][r] = ty * 0x1_0001;
            weights[2][r] = (256 - tx) | tx << 16;
            for j in 0..4 {
                p[j][r] = t.input.wrapping_add(t.corners[i][j] as usize);
            }
            out[r] = t.output.wrapping_add(t.rows_out[i] as usize);
        }
        let mut at = 0;
        // SAFETY: `at + n <= c` bytes of every row; features: the caller.
        unsafe {
            let [top, bottom, columns] = [V::by_rows::<ROWS>(weights[0]), V::by_rows::<ROWS>(weights[1]), V::by_rows::<ROWS>(weights[2])];
            let (zero, sign, half) = (V::zero(), V::splat_u16(1 << 15), V::splat_u32((1 << 23) + (1 << 15)));
            while at < t.c {
                let n = part.min(t.c - at);
                if !again {
                    let mut x = [zero; 4];
                    for j in 0..4 {
                        x[j] = V::load_rows::<ROWS, false>(&p[j], at, n);
                    }
                    macro_rules! mix {
                        ($unpack:ident, $a:expr, $c:expr) => {
                            // The sum of 16-bit elements stays below 2^16: no carry.
                            $a.$unpack(zero).mul_u16(top).add_i32($c.$unpack(zero).mul_u16(bottom)).xor(sign)
                        };
                    }
                    mixed = [
                        mix!(unpack_lo8, x[0], x[2]),
                        mix!(unpack_hi8, x[0], x[2]),
                        mix!(unpack_lo8, x[1], x[3]),
                        mix!(unpack_hi8, x[1], x[3]),
                    ];
                }
                let [left_lo, left_hi, right_lo, right_hi] = mixed;
                macro_rules! across {
                    ($unpack:ident, $l:expr, $r:expr) => {
                        $l.$unpack($r).mul_add_pairs_i16(columns).add_i32(half).third_byte_u32()
                    };
                }
                let lo = across!(unpack_lo16, left_lo, right_lo).pack32(across!(unpack_hi16, left_lo, right_lo));
                let hi = across!(unpack_lo16, left_hi, right_hi).pack32(across!(unpack_hi16, left_hi, right_hi));
                let mut to = out;
                for to in &mut to {
                    *to = to.wrapping_add(at);
                }
                lo.pack16(hi).store_rows::<ROWS>(&to, count, n);
                at += n;
            }
        }
        row += ROWS;
    }
}
