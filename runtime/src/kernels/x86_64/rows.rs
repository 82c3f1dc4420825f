//! Rows of bytes: change tests, pooling and interpolation.
//!
//! Each loop takes whole vectors and then one part, so that rows of 24 or 48 channels cost no scalar loop.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::super::DriftTile;
use super::vector::Vector;
use crate::kernels::{LerpTile, Shift, SumTile, compare as lines};

/// Bytes by which a frame is asked for before it is compared.
const AHEAD: usize = 2048;

/// The bytes at `p` of a frame, a shift taken out, in a whole vector.
#[inline(always)]
unsafe fn shifted<V: Vector>(p: *const u8, shift: Shift) -> V {
    // SAFETY: a vector is readable (the caller); features.
    unsafe { V::load(p).sub_saturating_u8(V::splat_u8(shift.less)).add_saturating_u8(V::splat_u8(shift.more)) }
}

/// The same of `n` bytes; 0 beyond.
#[inline(always)]
unsafe fn shifted_part<V: Vector>(p: *const u8, n: usize, shift: Shift) -> V {
    // SAFETY: `n` bytes are readable (the caller), and no vector has more than 64; features.
    unsafe {
        let more = V::load_part([shift.more; 64].as_ptr(), n);
        V::load_part(p, n).sub_saturating_u8(V::splat_u8(shift.less)).add_saturating_u8(more)
    }
}

/// See [`lines::most`]; what comes after these is asked for: a frame comes from far away.
#[inline(always)]
pub(super) fn most(new: &[u8], held: &[u8], shift: Shift) -> u8 {
    for at in (0..new.len()).step_by(64) {
        // SAFETY: a prefetch of any address is no access; SSE is part of the target.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(new.as_ptr().wrapping_add(at + AHEAD).cast()) };
    }
    lines::most(new, held, shift)
}

/// Bit `i` of word `k`: byte `i` of at most 64 differs by more than threshold `k`.
///
/// # Safety
/// Here and below: the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn exceed<V: Vector>(new: &[u8], held: &[u8], shift: Shift, thresholds: [u8; 2]) -> [u64; 2] {
    let len = new.len().min(held.len()).min(64);
    let mut bits = [0; 2];
    // SAFETY: whole vectors, or the part that is left, of the first `len` bytes; features: the caller.
    unsafe {
        let mut mark = |at: usize, new: V, held: V| {
            let d = new.abs_diff_u8(held);
            for (bits, threshold) in bits.iter_mut().zip(thresholds) {
                *bits |= d.sub_saturating_u8(V::splat_u8(threshold)).nonzero() << at;
            }
        };
        let [new, held] = [new, held].map(|x| |at| x.as_ptr().add(at));
        if len == 64 {
            for at in (0..64).step_by(V::BYTES) {
                mark(at, shifted(new(at), shift), V::load(held(at)));
            }
        } else {
            for at in (0..len).step_by(V::BYTES) {
                let n = V::BYTES.min(len - at);
                mark(at, shifted_part(new(at), n, shift), V::load_part(held(at), n));
            }
        }
    }
    bits
}

/// See [`DriftTile`].
#[inline(always)]
pub(super) unsafe fn drift<V: Vector>(t: &DriftTile, sums: &mut [i32]) {
    for (group, sums) in sums.chunks_mut(V::BYTES / 8).enumerate() {
        let at = group * V::BYTES;
        let n = V::BYTES.min(t.width - at);
        // SAFETY: bytes `at..at + n <= width` of every line; features: the caller.
        unsafe {
            // Of every 8 bytes, in 64 bits, which wrap as the 32 bits taken from them do.
            let sum = if n == V::BYTES {
                growth::<V>(t, at, |p| shifted(p, t.shift), |p| V::load(p))
            } else {
                growth::<V>(t, at, |p| shifted_part(p, n, t.shift), |p| V::load_part(p, n))
            };
            let mut wide = [0i64; 8];
            sum.store_part(wide.as_mut_ptr().cast(), V::BYTES);
            for (sum, wide) in sums.iter_mut().zip(wide) {
                *sum = wide as i32;
            }
        }
    }
}

/// By how much the bytes from `at` on grew in the sum over all lines.
#[inline(always)]
unsafe fn growth<V: Vector>(t: &DriftTile, at: usize, new: impl Fn(*const u8) -> V, held: impl Fn(*const u8) -> V) -> V {
    // SAFETY: the caller's.
    unsafe {
        let mut sum = V::zero();
        for y in 0..t.lines {
            let (new, held) = (new(t.new.add(y * t.step[0] + at)), held(t.held.add(y * t.step[1] + at)));
            sum = sum.add_i64(new.sums_u8()).sub_i64(held.sums_u8());
        }
        sum
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
