//! Which pixels of a line changed.

/// A line of a frame and the held one.
pub struct CompareTile<'a> {
    /// Bytes of the frame's line, whole pixels.
    pub new: &'a [u8],
    /// As many held bytes.
    pub held: &'a [u8],
    /// Bytes of a pixel.
    pub c: usize,
    /// What a pixel's largest change has to exceed: the first for `marks[0]`, the second, not smaller, for `marks[1]`.
    pub thresholds: [u8; 2],
}

/// Most bytes of pixels that are marked 64 at a time.
const PLANES: usize = 4;

/// See [`Kernels::compare`](super::Kernels::compare): `exceed` answers for at most 64 bytes which exceed each threshold, `by_pixel` makes one word of
/// a pixel's `c` (see [`mask::by_pixel`](crate::mask::by_pixel)).
#[inline(always)]
pub(super) fn line(
    t: &CompareTile, [weak, strong]: [&mut [u64]; 2], exceed: impl Fn(&[u8], &[u8], [u8; 2]) -> [u64; 2],
    by_pixel: impl Fn(&[u64], usize) -> u64,
) -> bool {
    weak.fill(0);
    strong.fill(0);
    if t.new == t.held {
        return true;
    }
    let c = t.c;
    if c <= PLANES {
        let pixels = t.new.chunks(64 * c).zip(t.held.chunks(64 * c));
        for ((new, held), (weak, strong)) in pixels.zip(weak.iter_mut().zip(strong)) {
            // In a register: the words just written, read as one vector, would have to reach the cache first.
            let (mut bytes, mut any) = ([[0; PLANES]; 2], 0);
            let mut keep = |i: usize, bits: [u64; 2]| {
                [bytes[0][i], bytes[1][i]] = bits;
                any |= bits[0];
            };
            let (whole, whole_held) = (new.as_chunks::<64>(), held.as_chunks::<64>());
            for (i, (new, held)) in whole.0.iter().zip(whole_held.0).enumerate() {
                keep(i, exceed(new, held, t.thresholds));
            }
            if !whole.1.is_empty() {
                let i = whole.0.len();
                keep(i, exceed(whole.1, whole_held.1, t.thresholds));
            }
            if any != 0 {
                [*weak, *strong] = bytes.map(|bytes| by_pixel(&bytes[..c], c));
            }
        }
        return false;
    }
    for (i, (new, held)) in t.new.chunks(64).zip(t.held.chunks(64)).enumerate() {
        let [mut bits, twice] = exceed(new, held, t.thresholds);
        while bits != 0 {
            let bit = bits.trailing_zeros() as usize;
            let x = (64 * i + bit) / c;
            weak[x / 64] |= 1 << (x % 64);
            strong[x / 64] |= (twice >> bit & 1) << (x % 64);
            bits &= bits - 1;
        }
    }
    false
}
