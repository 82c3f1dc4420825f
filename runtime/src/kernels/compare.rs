//! Which pixels of a line changed.

#[cfg(target_arch = "arm")]
use crate::mask;

/// A line of a frame and the held one.
pub struct CompareTile<'a> {
    /// Bytes of the frame's line, whole pixels.
    pub new: &'a [u8],
    /// As many held bytes.
    pub held: &'a [u8],
    /// What is taken out of the frame's bytes first.
    pub shift: Shift,
    /// Bytes of a pixel.
    pub c: usize,
    /// What a pixel's largest change has to exceed: the first for `marks[0]`, the second, not smaller, for `marks[1]`.
    pub thresholds: [u8; 2],
}

/// A common shift in codes, as it is taken out of a frame's bytes: `new - less + more`, each bounded to 0..=255. One of the two is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shift {
    /// Taken from each byte.
    pub less: u8,
    /// Added to each.
    pub more: u8,
}

impl Shift {
    /// Takes `codes` out, at most 255 of either sign.
    pub fn of(codes: i32) -> Self {
        let by = codes.unsigned_abs().min(255) as u8;
        if codes > 0 { Shift { less: by, more: 0 } } else { Shift { less: 0, more: by } }
    }

    /// A byte without the shift.
    #[inline(always)]
    pub fn take_out(self, byte: u8) -> u8 {
        byte.saturating_sub(self.less).saturating_add(self.more)
    }
}

/// Most bytes of pixels that are marked 64 at a time.
const PLANES: usize = 4;

/// The largest change: code that becomes vectors where there are any.
#[inline(always)]
pub(super) fn most(new: &[u8], held: &[u8], shift: Shift) -> u8 {
    new.iter().zip(held).fold(0, |most: u8, (n, h)| most.max(shift.take_out(*n).abs_diff(*h)))
}

/// [`line`] by an `exceed` that knows no shift and finds soon that there is nothing to mark. A shift is taken out of up to 64 bytes before it sees them.
#[cfg(target_arch = "arm")]
#[inline(always)]
pub(super) fn line_without_shift(t: &CompareTile, marks: [&mut [u64]; 2], exceed: impl Fn(&[u8], &[u8], [u8; 2]) -> [u64; 2]) -> u8 {
    let bound = |_: &[u8], _: &[u8], _| u8::MAX;
    if t.shift == Shift::default() {
        let differ = |new: &[u8], held: &[u8], _| if new == held { 0 } else { u8::MAX };
        return line(t, marks, differ, |new, held, _, thresholds| exceed(new, held, thresholds), mask::by_pixel);
    }
    let shifted = |new: &[u8], held: &[u8], shift: Shift, thresholds| {
        let mut taken = [0; 64];
        taken.iter_mut().zip(new).for_each(|(to, byte)| *to = shift.take_out(*byte));
        exceed(&taken[..new.len()], held, thresholds)
    };
    line(t, marks, bound, shifted, mask::by_pixel)
}

/// See [`Kernels::compare`](super::Kernels::compare). `most` tells the largest change of some bytes or a larger one; `exceed`
/// which of at most 64 change by more than each threshold; `by_pixel` makes one word of a pixel's `c` (see [`mask::by_pixel`](crate::mask::by_pixel)).
#[inline(always)]
pub(super) fn line(
    t: &CompareTile, [weak, strong]: [&mut [u64]; 2], most: impl Fn(&[u8], &[u8], Shift) -> u8,
    exceed: impl Fn(&[u8], &[u8], Shift, [u8; 2]) -> [u64; 2], by_pixel: impl Fn(&[u64], usize) -> u64,
) -> u8 {
    weak.fill(0);
    strong.fill(0);
    let (c, change) = (t.c, most(t.new, t.held, t.shift));
    // Most lines are the same, or differ by noise alone; then so do most pieces of a line.
    if change <= t.thresholds[0] {
        return change;
    }
    if c <= PLANES {
        let pixels = t.new.chunks(64 * c).zip(t.held.chunks(64 * c));
        for ((new, held), (weak, strong)) in pixels.zip(weak.iter_mut().zip(strong)) {
            // A bound of 255 says nothing, nor would those of pieces.
            if change < u8::MAX && most(new, held, t.shift) <= t.thresholds[0] {
                continue;
            }
            let mut bytes = [[0; PLANES]; 2];
            let mut mark = |i: usize, bits: [u64; 2]| [bytes[0][i], bytes[1][i]] = bits;
            // Whole ones apart: their loops are of a known length.
            let (whole, whole_held) = (new.as_chunks::<64>(), held.as_chunks::<64>());
            for (i, (new, held)) in whole.0.iter().zip(whole_held.0).enumerate() {
                mark(i, exceed(new, held, t.shift, t.thresholds));
            }
            if !whole.1.is_empty() {
                mark(whole.0.len(), exceed(whole.1, whole_held.1, t.shift, t.thresholds));
            }
            let set = |bytes: &[u64]| bytes.iter().any(|b| *b != 0);
            if set(&bytes[0][..c]) {
                *weak = by_pixel(&bytes[0][..c], c);
                if set(&bytes[1][..c]) {
                    *strong = by_pixel(&bytes[1][..c], c);
                }
            }
        }
        return change;
    }
    for (i, (new, held)) in t.new.chunks(64).zip(t.held.chunks(64)).enumerate() {
        let [mut bits, twice] = exceed(new, held, t.shift, t.thresholds);
        while bits != 0 {
            let bit = bits.trailing_zeros() as usize;
            let x = (64 * i + bit) / c;
            weak[x / 64] |= 1 << (x % 64);
            strong[x / 64] |= (twice >> bit & 1) << (x % 64);
            bits &= bits - 1;
        }
    }
    change
}
