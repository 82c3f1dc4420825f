//! From a mask to lists of active rows, a tile at a time.
//!
//! Marks come in blobs: adjacent pixels of a line are listed together, as one span, and their byte offsets worked out together.

use core::iter::zip;

use super::room::{AT_ONCE, SPANS, TILE};
use crate::format::Tensor;
use crate::mask::Grid;

/// Adjacent output pixels of a line, at least one; all in one word of its mask.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub y: u16,
    pub x: u16,
    pub len: u16,
}

impl Span {
    /// The word of the mask they are in, and their bits there.
    pub fn bits(self, grid: Grid) -> (usize, u64) {
        let word = self.y as usize * grid.words() + self.x as usize / 64;
        (word, (!0 >> (64 - self.len)) << (self.x % 64))
    }
}

/// Some output pixels, at most [`TILE`], in order.
pub(super) struct Tile {
    spans: [Span; SPANS],
    count: usize,
    len: usize,
    most: usize,
}

impl Tile {
    /// For up to `most` pixels.
    pub fn of(most: usize) -> Self {
        Self { spans: [Span::default(); SPANS], count: 0, len: 0, most: most.clamp(1, TILE) }
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.count]
    }

    /// `(y, x)` of each pixel.
    pub fn pixels(&self) -> impl Iterator<Item = (u16, u16)> {
        self.spans().iter().flat_map(|s| (s.x..s.x + s.len).map(|x| (s.y, x)))
    }
}

/// Room for the byte offsets of a tile's rows, and for what is written beyond the last.
pub(super) struct Offsets([u32; TILE + AT_ONCE]);

impl Offsets {
    pub fn new() -> Self {
        Self([0; TILE + AT_ONCE])
    }

    /// `n` rows of `bytes`, one after another.
    #[inline(never)]
    pub fn packed(&mut self, n: usize, bytes: usize) -> &[u32] {
        let mut next = 0;
        for at in self.0.iter_mut().take(n) {
            (*at, next) = (next, next + bytes as u32);
        }
        self.first(n)
    }

    pub fn first(&self, n: usize) -> &[u32] {
        &self.0[..n.min(TILE)]
    }

    /// The bytes `origin + y * down + x * right` of the pixels.
    pub fn fill(&mut self, tile: &Tile, origin: u32, down: u32, right: u32) -> &[u32] {
        let steps: [u32; AT_ONCE] = core::array::from_fn(|k| right.wrapping_mul(k as u32));
        let mut n = 0;
        for span in tile.spans() {
            let mut next =
                origin.wrapping_add((span.y as u32).wrapping_mul(down)).wrapping_add((span.x as u32).wrapping_mul(right));
            // Several at once, perhaps some too many: spans are short, and loops that end unforeseeably slow.
            for i in (0..span.len as usize).step_by(AT_ONCE) {
                let Some(at) = self.0[n + i..].first_chunk_mut::<AT_ONCE>() else { break };
                for (at, step) in zip(at, steps) {
                    *at = next.wrapping_add(step);
                }
                next = next.wrapping_add(right.wrapping_mul(AT_ONCE as u32));
            }
            n += span.len as usize;
        }
        self.first(n)
    }

    /// The rows of a map that lies `shift` bytes before its place.
    #[inline(never)]
    pub fn of(&mut self, tile: &Tile, t: &Tensor, shift: u32) -> &[u32] {
        self.fill(tile, t.origin.wrapping_sub(shift), t.line, t.pixel)
    }
}

/// A place in a map while its rows are listed.
pub(super) struct Cursor {
    grid: Grid,
    first: usize,
    y: usize,
    /// Word of the line.
    word: usize,
    /// Bits of the word not listed yet.
    bits: Option<u64>,
}

impl Cursor {
    /// Over the lines `first..end`.
    pub fn new(grid: Grid, first: usize, end: usize) -> Self {
        Self { grid: Grid { h: end, ..grid }, first, y: first, word: 0, bits: None }
    }

    /// The next rows marked in `mask`, which begins with the first line, or all without one; `false` at the end. Bits of rows already listed may be changed
    /// between calls.
    pub fn next(&mut self, mask: Option<&[u64]>, tile: &mut Tile) -> bool {
        let words = self.grid.words();
        let (mut y, mut word, mut left) = (self.y, self.word, self.bits.take());
        let (mut count, mut len) = (0, 0);
        'lines: while y < self.grid.h {
            let mut bits = left.take().unwrap_or_else(|| match mask {
                Some(mask) => mask[(y - self.first) * words + word],
                None if self.grid.w - 64 * word >= 64 => !0,
                None => (1 << (self.grid.w % 64)) - 1,
            });
            while bits != 0 {
                if count == SPANS || len == tile.most {
                    self.bits = Some(bits);
                    break 'lines;
                }
                let skip = bits.trailing_zeros();
                let ones = ((bits >> skip).trailing_ones() as usize).min(tile.most - len);
                let x = (64 * word) as u16 + skip as u16;
                tile.spans[count] = Span { y: y as u16, x, len: ones as u16 };
                count += 1;
                len += ones;
                bits &= !((!0 >> (64 - ones)) << skip);
            }
            word += 1;
            if word == words {
                (y, word) = (y + 1, 0);
            }
        }
        (self.y, self.word) = (y, word);
        (tile.count, tile.len) = (count, len);
        len > 0
    }
}
