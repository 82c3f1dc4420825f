//! From a mask to lists of active rows, a tile at a time.

use super::room::TILE;
use crate::mask::Grid;

/// Some output pixels `(y, x)`, at most [`TILE`].
pub(super) struct Tile {
    rows: [(u16, u16); TILE],
    len: usize,
    most: usize,
}

impl Tile {
    /// For up to `most` pixels.
    pub fn of(most: usize) -> Self {
        Self { rows: [(0, 0); TILE], len: 0, most: most.clamp(1, TILE) }
    }

    pub fn rows(&self) -> &[(u16, u16)] {
        &self.rows[..self.len]
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
        tile.len = 0;
        let words = self.grid.words();
        while self.y < self.grid.h {
            let mut bits = self.bits.take().unwrap_or_else(|| match mask {
                Some(mask) => mask[(self.y - self.first) * words + self.word],
                None if self.grid.w - 64 * self.word >= 64 => !0,
                None => (1 << (self.grid.w % 64)) - 1,
            });
            if bits == !0 && tile.len == 0 && tile.most == 64 {
                for (i, row) in tile.rows.iter_mut().enumerate() {
                    *row = (self.y as u16, (64 * self.word + i) as u16);
                }
                tile.len = 64;
                bits = 0;
            }
            while bits != 0 {
                if tile.len == tile.most {
                    self.bits = Some(bits);
                    return true;
                }
                let x = 64 * self.word + bits.trailing_zeros() as usize;
                tile.rows[tile.len] = (self.y as u16, x as u16);
                tile.len += 1;
                bits &= bits - 1;
            }
            self.word += 1;
            if self.word == words {
                self.word = 0;
                self.y += 1;
            }
        }
        tile.len > 0
    }
}
