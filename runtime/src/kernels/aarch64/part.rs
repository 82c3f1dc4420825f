//! Parts of a vector: the first bytes of a register, and no byte of memory beyond them.

use core::arch::aarch64::*;

/// `n <= 16` bytes, then zeros. Overlapping words agree where they overlap.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(super) unsafe fn load(p: *const u8, n: usize) -> uint8x16_t {
    // SAFETY: every access ends at or before `p + n`.
    unsafe {
        match n {
            16 => vld1q_u8(p),
            8 => vcombine_u8(vld1_u8(p), vdup_n_u8(0)),
            9.. => {
                let shifted = p.add(n - 8).cast::<u64>().read_unaligned() >> (8 * (16 - n));
                vcombine_u8(vld1_u8(p), vcreate_u8(shifted))
            }
            4.. => {
                let lo = p.cast::<u32>().read_unaligned() as u64;
                let hi = p.add(n - 4).cast::<u32>().read_unaligned() as u64;
                vcombine_u8(vcreate_u8(lo | hi << (8 * (n - 4))), vdup_n_u8(0))
            }
            1.. => {
                let (a, b, c) = (*p as u64, *p.add(n / 2) as u64, *p.add(n - 1) as u64);
                let word = a | b << (8 * (n / 2)) | c << (8 * (n - 1));
                vcombine_u8(vcreate_u8(word), vdup_n_u8(0))
            }
            0 => vdupq_n_u8(0),
        }
    }
}

/// The first `n <= 16` bytes.
///
/// # Safety
/// They are writable.
#[inline(always)]
pub(super) unsafe fn store(x: uint8x16_t, p: *mut u8, n: usize) {
    // SAFETY: every access ends at or before `p + n`.
    unsafe {
        if n == 16 {
            return vst1q_u8(p, x);
        }
        let lo = vgetq_lane_u64::<0>(vreinterpretq_u64_u8(x));
        let hi = vgetq_lane_u64::<1>(vreinterpretq_u64_u8(x));
        if n >= 8 {
            p.cast::<u64>().write_unaligned(lo);
            if n > 8 {
                let word = (lo as u128 | (hi as u128) << 64) >> (8 * (n - 8));
                p.add(n - 8).cast::<u64>().write_unaligned(word as u64);
            }
        } else if n >= 4 {
            p.cast::<u32>().write_unaligned(lo as u32);
            p.add(n - 4).cast::<u32>().write_unaligned((lo >> (8 * (n - 4))) as u32);
        } else if n > 0 {
            p.write(lo as u8);
            p.add(n / 2).write((lo >> (8 * (n / 2))) as u8);
            p.add(n - 1).write((lo >> (8 * (n - 1))) as u8);
        }
    }
}
