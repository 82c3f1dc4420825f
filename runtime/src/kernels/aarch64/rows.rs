//! Rows of bytes: change tests, scores and interpolation.

use core::arch::aarch64::*;

use super::super::{CompareTile, DriftTile, JudgeTile, LerpTile, Shift, compare as lines};
use super::part;
use crate::mask;

/// See [`Kernels::compare`](super::super::Kernels::compare).
pub(super) fn compare(t: &CompareTile, marks: [&mut [u64]; 2]) -> u8 {
    lines::line(t, marks, lines::most, exceed, mask::by_pixel)
}

/// The first `n` bytes at `p` of a frame, a shift taken out; 0 beyond.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn shifted(p: *const u8, n: usize, shift: Shift) -> uint8x16_t {
    // SAFETY: the caller's, and 16 bytes of an array.
    unsafe {
        let more = if n == 16 { vdupq_n_u8(shift.more) } else { part::load([shift.more; 16].as_ptr(), n) };
        vqaddq_u8(vqsubq_u8(part::load(p, n), vdupq_n_u8(shift.less)), more)
    }
}

/// Bit `i` of word `k`: byte `i` of at most 64 changes by more than threshold `k`.
fn exceed(new: &[u8], held: &[u8], shift: Shift, thresholds: [u8; 2]) -> [u64; 2] {
    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    let len = new.len().min(held.len()).min(64);
    let (new, held) = (new.as_ptr(), held.as_ptr());
    // SAFETY: parts are those of the first `len` bytes.
    unsafe {
        let bits = vld1q_u8(BITS.as_ptr());
        let mut d = [vdupq_n_u8(0); 4];
        for (i, d) in d.iter_mut().enumerate() {
            let n = len.saturating_sub(16 * i).min(16);
            if n > 0 {
                *d = vabdq_u8(shifted(new.add(16 * i), n, shift), part::load(held.add(16 * i), n));
            }
        }
        thresholds.map(|threshold| {
            let b = d.map(|d| vandq_u8(vcgtq_u8(d, vdupq_n_u8(threshold)), bits));
            // Each round of pairwise sums halves the bytes of a group of 8 channels.
            let b = vpaddq_u8(vpaddq_u8(b[0], b[1]), vpaddq_u8(b[2], b[3]));
            vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(b, b)))
        })
    }
}

/// See [`DriftTile`].
pub(super) unsafe fn drift(t: &DriftTile, sums: &mut [i32]) {
    for (g, sums) in sums.chunks_mut(2).enumerate() {
        let n = 16.min(t.width - 16 * g);
        // SAFETY: bytes `16 g..16 g + n <= width` of every line.
        let wide: [i32; 4] = unsafe {
            let mut sum = vdupq_n_s32(0);
            for y in 0..t.lines {
                let new = shifted(t.new.add(y * t.step[0] + 16 * g), n, t.shift);
                let held = part::load(t.held.add(y * t.step[1] + 16 * g), n);
                // A difference of sums of two bytes fits 16 bits.
                let d = vsubq_u16(vpaddlq_u8(new), vpaddlq_u8(held));
                sum = vpadalq_s16(sum, vreinterpretq_s16_u16(d));
            }
            core::mem::transmute(sum)
        };
        for (sum, pair) in sums.iter_mut().zip(wide.as_chunks::<2>().0) {
            *sum = pair[0] + pair[1];
        }
    }
}

/// See [`Kernels::score`](super::super::Kernels::score).
pub(super) fn score(new: &[u8], held: &[u8], weights: &[u8], dead: u8) -> u32 {
    // A 32-bit element takes 4 squares of at most 255^2 a step: this many bytes cannot overflow it.
    const PART: usize = 1 << 16;
    let len = new.len().min(held.len()).min(weights.len());
    let (mut total, mut at) = (0u64, 0);
    // SAFETY: `at + n <= len`, within the three slices.
    unsafe {
        let dead = vdupq_n_u8(dead);
        while at < len {
            let end = len.min(at + PART);
            let mut sum = vdupq_n_u32(0);
            while at < end {
                let n = 16.min(end - at);
                let d = vabdq_u8(part::load(new.as_ptr().add(at), n), part::load(held.as_ptr().add(at), n));
                let d = vqsubq_u8(d, dead);
                let w = part::load(weights.as_ptr().add(at), n);
                // Narrowing saturates: the smaller of 255 and the product's sixteenth.
                let lo = vqshrn_n_u16::<4>(vmull_u8(vget_low_u8(d), vget_low_u8(w)));
                let e = vqshrn_high_n_u16::<4>(lo, vmull_high_u8(d, w));
                sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(e), vget_low_u8(e)));
                sum = vpadalq_u16(sum, vmull_high_u8(e, e));
                at += n;
            }
            total += vaddlvq_u32(sum);
        }
    }
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// See [`Kernels::settle`](super::super::Kernels::settle).
pub(super) fn settle(new: &[u8], held: &mut [u8], dead: u8) {
    let len = new.len().min(held.len());
    let mut at = 0;
    while at < len {
        let n = 16.min(len - at);
        // SAFETY: `at + n <= len`.
        unsafe {
            let h = held.as_mut_ptr().add(at);
            let (new, old) = (part::load(new.as_ptr().add(at), n), part::load(h, n));
            let changed = vcgtq_u8(vabdq_u8(new, old), vdupq_n_u8(dead));
            part::store(vbslq_u8(changed, new, old), h, n);
        }
        at += n;
    }
}

/// See [`Kernels::judge`](super::super::Kernels::judge).
///
/// # Safety
/// The tile is valid.
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

/// See [`LerpTile`]. Lines are mixed first, `a (256 - ty) + c ty`, which fits 16 bits; then columns, in 32.
///
/// # Safety
/// The tile's rows are readable, its results writable and disjoint.
pub(super) unsafe fn lerp(t: &LerpTile) {
    for ((corners, &[ty, tx]), &out) in t.corners.iter().zip(t.parts).zip(t.rows_out) {
        let p = corners.map(|at| t.input.wrapping_add(at as usize));
        let out = t.output.wrapping_add(out as usize);
        for at in (0..t.c).step_by(16) {
            let n = 16.min(t.c - at);
            // SAFETY: `at + n <= c` bytes of every row.
            unsafe {
                let x = p.map(|p| part::load(p.add(at), n));
                macro_rules! lines {
                    ($widen:expr, $a:expr, $c:expr) => {
                        vmlaq_n_u16(vmulq_n_u16($widen($a), 256 - ty), $widen($c), ty)
                    };
                }
                let low = |x| vmovl_u8(vget_low_u8(x));
                let high = |x| vmovl_high_u8(x);
                let lo = columns(lines!(low, x[0], x[2]), lines!(low, x[1], x[3]), tx);
                let hi = columns(lines!(high, x[0], x[2]), lines!(high, x[1], x[3]), tx);
                part::store(vmovn_high_u16(vmovn_u16(lo), hi), out.add(at), n);
            }
        }
    }
}

/// `(l (256 - tx) + r tx + 2^15) >> 16`.
#[inline(always)]
unsafe fn columns(l: uint16x8_t, r: uint16x8_t, tx: u16) -> uint16x8_t {
    // SAFETY: NEON is part of the target.
    unsafe {
        let lo = vmull_n_u16(vget_low_u16(l), 256 - tx);
        let lo = vmlal_n_u16(lo, vget_low_u16(r), tx);
        let hi = vmlal_high_n_u16(vmull_high_n_u16(l, 256 - tx), r, tx);
        vrshrn_high_n_u32::<16>(vrshrn_n_u32::<16>(lo), hi)
    }
}
