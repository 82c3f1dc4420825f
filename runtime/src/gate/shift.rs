//! The common shift of all pixels: lamps, clouds, the camera's exposure.
//!
//! A frame whose pixels are all brighter by the same amount shows nothing new. That amount, up to a stated limit, is taken out of every
//! pixel before it is compared and, where it has changed all the same, before it is held: the held frame keeps one exposure. The amount is the median
//! change over some lines, made finer by the mean of the changes near it; an object does not move it until it covers half of
//! them. Beyond the limit nothing is taken out, all pixels change, and the held frame has the new exposure.
//!
//! It is measured against the held frame each time, so nothing adds up: a held value is off by the limit and the pixel test at most.

use super::input::{Input, glance};
use crate::engine::Frame;

/// Changes this near the median refine it, in codes.
const NEAR: i16 = 4;

/// Bytes summed up at a time: `NEAR` times as many are below 2^15.
const PIECE: usize = 4096;

/// Whole codes of a shift in 1/16 codes.
pub(super) fn codes(shift: i32) -> i32 {
    (shift + 8) >> 4
}

/// What is left of it.
pub(super) fn rest(shift: i32) -> i32 {
    shift - 16 * codes(shift)
}

impl Input<'_> {
    /// The shift of a frame of pixels against the held one, in 1/16 codes, at most `limit` codes; 0 beyond. The search begins at the
    /// shift of the frame before.
    #[inline(never)]
    pub fn common_shift(&self, frame: &Frame, limit: u8) -> i32 {
        let Frame::Pixels(pixels) = frame else { return 0 };
        let limit = i32::from(limit);
        if limit == 0 {
            return 0;
        }
        // The median is the least change that at most half of the changes exceed.
        let (mut least, mut most) = (-limit, limit);
        let mut median = codes(self.shift).clamp(least, most);
        while least <= most {
            let [above, from, all] = self.beyond(pixels, median as i16);
            if 2 * above > all {
                least = median + 1;
            } else if 2 * from <= all {
                most = median - 1;
            } else {
                return (16 * median + self.finer(pixels, median as i16)).clamp(-16 * limit, 16 * limit);
            }
            median = (least + most).div_euclid(2);
        }
        0
    }

    /// Values looked at that change by more than `by`, by at least `by`, and all.
    fn beyond(&self, pixels: &[u8], by: i16) -> [u32; 3] {
        let mut counts = [0; 3];
        for (new, held) in self.looked_at(pixels) {
            let (mut above, mut from) = (0u16, 0u16);
            for (n, h) in new.iter().zip(held) {
                let change = i16::from(*n) - i16::from(*h);
                above += u16::from(change > by);
                from += u16::from(change >= by);
            }
            counts = [counts[0] + u32::from(above), counts[1] + u32::from(from), counts[2] + new.len() as u32];
        }
        counts
    }

    /// Mean distance of the changes near `median` from it, in 1/16 codes towards 0.
    fn finer(&self, pixels: &[u8], median: i16) -> i32 {
        let (mut sum, mut count) = (0i64, 0i64);
        for (new, held) in self.looked_at(pixels) {
            let (mut off, mut near) = (0i16, 0u16);
            for (n, h) in new.iter().zip(held) {
                let d = i16::from(*n) - i16::from(*h) - median;
                let counts = d.abs() <= NEAR;
                off += if counts { d } else { 0 };
                near += u16::from(counts);
            }
            sum += i64::from(off);
            count += i64::from(near);
        }
        (16 * sum).checked_div(count).unwrap_or(0) as i32
    }

    /// Pieces of lines, new and held, whose sums 16 bits can hold.
    fn looked_at<'s>(&'s self, pixels: &'s [u8]) -> impl Iterator<Item = (&'s [u8], &'s [u8])> {
        let (step, width) = (self.tensor.line as usize, self.tensor.w as usize * self.tensor.c as usize);
        let held = &*self.held;
        let line = move |y| pixels[y * width..][..width].chunks(PIECE).zip(held[y * step..][..width].chunks(PIECE));
        glance(self.tensor.h as usize).flat_map(line)
    }
}
