//! Sums over pixels: four channels at a time, two halves a word.

use super::super::super::scalar;
use super::unsigned;
use crate::kernels::SumTile;

/// Pixels whose sums fit 16 bits.
const PIXELS: usize = 256;

pub unsafe fn sum(t: &SumTile, sums: &mut [i32]) {
    let (fours, rest) = sums.as_chunks_mut::<4>();
    for (k, [a, b, c, d]) in fours.iter_mut().enumerate() {
        let mut from = t.input.wrapping_add(4 * k);
        for first in (0..t.pixels).step_by(PIXELS) {
            let [mut even, mut odd] = [0; 2];
            for _ in first..t.pixels.min(first + PIXELS) {
                // SAFETY: four bytes of a pixel of the tile.
                let [x, y] = unsigned(unsafe { from.cast::<u32>().read_unaligned() });
                (even, odd) = (even + x, odd + y);
                from = from.wrapping_add(t.step);
            }
            for (sum, half) in [(&mut *a, even), (&mut *b, odd), (&mut *c, even >> 16), (&mut *d, odd >> 16)] {
                *sum += (half & 0xffff) as i32;
            }
        }
    }
    if !rest.is_empty() {
        let t = SumTile { input: t.input.wrapping_add(4 * fours.len()), ..*t };
        // SAFETY: the last channels of each pixel.
        unsafe { (scalar::KERNELS.sum)(&t, rest) };
    }
}
