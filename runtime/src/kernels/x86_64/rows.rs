//! Rows of bytes: change tests, scores, pooling and interpolation.
//!
//! Each loop takes whole vectors and then one part, so that rows of 24 or 48 channels cost no scalar loop.

use super::vector::Vector;

/// See [`Kernels::exceed`](super::super::Kernels::exceed).
///
/// # Safety
/// Here and below: the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn exceed<V: Vector>(new: &[u8], held: &[u8], threshold: u8) -> u64 {
    let len = new.len().min(held.len()).min(64);
    let (mut bits, mut at) = (0, 0);
    while at < len {
        let n = V::BYTES.min(len - at);
        // SAFETY: `at + n <= len`.
        unsafe {
            let d = V::load_part(new.as_ptr().add(at), n)
                .abs_diff_u8(V::load_part(held.as_ptr().add(at), n));
            bits |= d.sub_saturating_u8(V::splat_u8(threshold)).nonzero() << at;
        }
        at += n;
    }
    bits
}

#[inline(always)]
pub(super) unsafe fn score<V: Vector>(new: &[u8], held: &[u8], weights: &[u8], dead: u8) -> u32 {
    // A 32-bit element takes 4 squares of at most 255^2 a step: this many bytes cannot overflow it.
    const PART: usize = 1 << 16;
    let len = new.len().min(held.len()).min(weights.len());
    let (mut total, mut at) = (0u64, 0);
    while at < len {
        let end = len.min(at + PART);
        // SAFETY: `at + n <= end`, within the three slices.
        unsafe {
            let (zero, dead, cap) = (V::zero(), V::splat_u8(dead), V::splat_u16(255));
            let mut sum = zero;
            while at < end {
                let n = V::BYTES.min(end - at);
                let d = V::load_part(new.as_ptr().add(at), n)
                    .abs_diff_u8(V::load_part(held.as_ptr().add(at), n));
                let d = d.sub_saturating_u8(dead);
                let w = V::load_part(weights.as_ptr().add(at), n);
                let lo = d
                    .unpack_lo8(zero)
                    .mul_u16(w.unpack_lo8(zero))
                    .shr4_u16()
                    .min_u16(cap);
                let hi = d
                    .unpack_hi8(zero)
                    .mul_u16(w.unpack_hi8(zero))
                    .shr4_u16()
                    .min_u16(cap);
                sum = sum
                    .add_i32(lo.mul_add_pairs_i16(lo))
                    .add_i32(hi.mul_add_pairs_i16(hi));
                at += n;
            }
            total += sum.total_u32();
        }
    }
    u32::try_from(total).unwrap_or(u32::MAX)
}

#[inline(always)]
pub(super) unsafe fn settle<V: Vector>(new: &[u8], held: &mut [u8], dead: u8) {
    let len = new.len().min(held.len());
    let mut at = 0;
    while at < len {
        let n = V::BYTES.min(len - at);
        // SAFETY: `at + n <= len`.
        unsafe {
            let h = held.as_mut_ptr().add(at);
            let (new, old) = (V::load_part(new.as_ptr().add(at), n), V::load_part(h, n));
            let d = new.abs_diff_u8(old).sub_saturating_u8(V::splat_u8(dead));
            d.choose(new, old).store_part(h, n);
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
            V::load_part(o, n)
                .max_u8(V::load_part(x.as_ptr().add(at), n))
                .store_part(o, n);
        }
        at += n;
    }
}

#[inline(always)]
pub(super) unsafe fn sum<V: Vector>(x: &[u8], out: &mut [i32]) {
    let len = x.len().min(out.len());
    let mut at = 0;
    while at < len {
        let n = V::WORDS.min(len - at);
        // SAFETY: `at + n <= len`.
        unsafe {
            let o = out.as_mut_ptr().add(at);
            V::load_words(o, n)
                .add_i32(V::load_widened(x.as_ptr().add(at), n))
                .store_words(o, n);
        }
        at += n;
    }
}

#[inline(always)]
pub(super) unsafe fn lerp<V: Vector>(p: [&[u8]; 4], w: [u32; 4], out: &mut [u8]) {
    let len = out.len();
    let p = [&p[0][..len], &p[1][..len], &p[2][..len], &p[3][..len]];
    let mut at = 0;
    while at < len {
        let n = V::BYTES.min(len - at);
        // SAFETY: `at + n <= len`, the length of the four rows.
        unsafe {
            let (zero, half) = (V::zero(), V::splat_u32(1 << 15));
            let mut y = [half; 4];
            for (p, w) in p.iter().zip(w) {
                let x = V::load_part(p.as_ptr().add(at), n);
                let (lo, hi) = (x.unpack_lo8(zero), x.unpack_hi8(zero));
                let w = V::splat_u32(w);
                y[0] = y[0].add_i32(lo.unpack_lo16(zero).mul_i32(w));
                y[1] = y[1].add_i32(lo.unpack_hi16(zero).mul_i32(w));
                y[2] = y[2].add_i32(hi.unpack_lo16(zero).mul_i32(w));
                y[3] = y[3].add_i32(hi.unpack_hi16(zero).mul_i32(w));
            }
            let lo = y[0].third_byte_u32().pack32(y[1].third_byte_u32());
            let hi = y[2].third_byte_u32().pack32(y[3].third_byte_u32());
            lo.pack16(hi).store_part(out.as_mut_ptr().add(at), n);
        }
        at += n;
    }
}
