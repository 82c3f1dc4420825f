//! From a mask to lists of active rows, a tile at a time.
//!
//! Marks come in blobs: adjacent pixels of a line are listed together, as one span, and their byte offsets worked out together.

use core::iter::zip;

use super::room::{AT_ONCE, SPANS, TILE};
use crate::format::Tensor;
use crate::mask::Grid;

/// Adjacent output pixels of a line, at least one; all in one word of its mask.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub y: u16,
    pub x: u16,
    pub len: u16,
}

impl Span {
    fn of([at, len]: [u32; 2]) -> Self {
        Self { y: (at >> 16) as u16, x: at as u16, len: len as u16 }
    }

    fn words(self) -> [u32; 2] {
        [(self.y as u32) << 16 | self.x as u32, self.len as u32]
    }

    /// The word of the mask they are in, and their bits there.
    pub fn bits(self, grid: Grid) -> (usize, u64) {
        let word = self.y as usize * grid.words() + self.x as usize / 64;
        (word, (!0 >> (64 - self.len)) << (self.x % 64))
    }
}

/// Lists of a tile: the first taps of its rows or the rows of its first operand, rows of a second one, results.
#[derive(Clone, Copy)]
pub(super) enum List {
    Input,
    Second,
    Output,
}

/// What may be written beyond the end of a list.
const BEYOND: usize = AT_ONCE - 1;

/// Words of room for the spans and the lists of [`TILE`] pixels.
pub(super) const WORDS: usize = 3 * (TILE + BEYOND) + 2 * SPANS;

/// Some output pixels, at most [`TILE`], in order, and where their rows lie.
pub(super) struct Tile<'r> {
    spans: &'r mut [[u32; 2]],
    /// One list behind the other.
    lists: &'r mut [u32],
    count: usize,
    len: usize,
    most: usize,
}

impl<'r> Tile<'r> {
    /// For up to `most` pixels, fewer where `room` has less than [`WORDS`]: two words a span, a word a row and list.
    pub fn new(room: &'r mut [u32], most: usize) -> Self {
        let n = room.len().saturating_sub(3 * BEYOND);
        let rows = if n < 5 * SPANS { n / 5 } else { (n - 2 * SPANS) / 3 };
        let (spans, lists) = room.split_at_mut((2 * rows.min(SPANS)).min(room.len()));
        Self { spans: spans.as_chunks_mut().0, lists, count: 0, len: 0, most: most.min(rows).clamp(1, TILE) }
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn spans(&self) -> impl Iterator<Item = Span> {
        self.spans[..self.count].iter().map(|s| Span::of(*s))
    }

    /// `(y, x)` of each pixel.
    pub fn pixels(&self) -> impl Iterator<Item = (u16, u16)> {
        self.spans().flat_map(|s| (s.x..s.x + s.len).map(move |x| (s.y, x)))
    }

    fn place(&self, list: List) -> usize {
        list as usize * (self.lists.len() / 3)
    }

    /// A list as it was written last.
    pub fn rows(&self, list: List) -> &[u32] {
        &self.lists[self.place(list)..][..self.len]
    }

    /// Lists the bytes `origin + y * down + x * right` of the pixels.
    // Apart from its caller, whose frame may lie below those of the kernels.
    #[inline(never)]
    pub fn list(&mut self, list: List, origin: u32, down: u32, right: u32) {
        let steps: [u32; AT_ONCE] = core::array::from_fn(|k| right.wrapping_mul(k as u32));
        let first = self.place(list);
        let (mut n, room) = (0, &mut self.lists[first..]);
        for span in self.spans[..self.count].iter().map(|s| Span::of(*s)) {
            let mut next = origin.wrapping_add((span.y as u32).wrapping_mul(down)).wrapping_add((span.x as u32).wrapping_mul(right));
            // Several at once, perhaps some too many: spans are short, and loops that end unforeseeably slow.
            for i in (0..span.len as usize).step_by(AT_ONCE) {
                let Some(at) = room[n + i..].first_chunk_mut::<AT_ONCE>() else { break };
                for (at, step) in zip(at, steps) {
                    *at = next.wrapping_add(step);
                }
                next = next.wrapping_add(right.wrapping_mul(AT_ONCE as u32));
            }
            n += span.len as usize;
        }
    }

    /// Lists the rows of a map that lies `shift` bytes before its place.
    pub fn list_rows(&mut self, list: List, t: &Tensor, shift: u32) {
        self.list(list, t.origin.wrapping_sub(shift), t.line, t.pixel);
    }

    /// Lists results of `bytes`, one after another.
    #[inline(never)]
    pub fn pack(&mut self, bytes: usize) {
        let (first, mut next) = (self.place(List::Output), 0);
        for at in &mut self.lists[first..][..self.len] {
            (*at, next) = (next, next + bytes as u32);
        }
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
                if count == tile.spans.len() || len == tile.most {
                    self.bits = Some(bits);
                    break 'lines;
                }
                let skip = bits.trailing_zeros();
                let ones = ((bits >> skip).trailing_ones() as usize).min(tile.most - len);
                let x = (64 * word) as u16 + skip as u16;
                tile.spans[count] = Span { y: y as u16, x, len: ones as u16 }.words();
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

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::mask;

    /// Marked pixels, listed in the room given, from a mask of 3 lines of 70.
    fn listed(room: usize, marked: &[(usize, usize)]) -> Vec<[u32; 3]> {
        let grid = Grid { h: 3, w: 70 };
        let mut mask = [0u64; 6];
        marked.iter().for_each(|(y, x)| mask::set(&mut mask, grid, *y, *x));
        let mut room = vec![0; room];
        let (mut cursor, mut tile, mut all) = (Cursor::new(grid, 0, 3), Tile::new(&mut room, TILE), Vec::new());
        while cursor.next(Some(&mask), &mut tile) {
            tile.list(List::Input, 7, 1000, 10);
            tile.list(List::Output, 0, 70, 1);
            tile.list(List::Second, 1, 1000, 10);
            let lists = [List::Input, List::Second, List::Output].map(|list| tile.rows(list));
            all.extend((0..tile.len()).map(|i| lists.map(|list| list[i])));
            assert!(tile.pixels().eq(all[all.len() - tile.len()..].iter().map(|a| ((a[2] / 70) as u16, (a[2] % 70) as u16))));
        }
        all
    }

    #[test]
    fn every_room_lists_all() {
        let marked: Vec<_> = (0..210).filter(|k| k % 5 != 0 && k % 7 != 1 || *k > 150).map(|k| (k / 70, k % 70)).collect();
        let place = |(y, x): &(usize, usize)| [1000 * y + 10 * x + 7, 1000 * y + 10 * x + 1, 70 * y + x].map(|at| at as u32);
        let expected: Vec<_> = marked.iter().map(place).collect();
        for room in 3 * BEYOND + 5..WORDS + 9 {
            assert_eq!(listed(room, &marked), expected, "{room} words");
        }
    }
}
