//! Walking a row block by block.

use super::BLOCK;

/// A block of f32.
pub(super) type Block = [f32; BLOCK];

/// Gives blocks of an operand.
pub(super) trait Load {
    fn load(&self, at: usize, phase: usize) -> Block;
}

/// Takes blocks of a result.
pub(super) trait Store {
    fn store(&mut self, at: usize, phase: usize, y: &Block);
}

/// The block at `at`. Rows hold it; zeros stand for one that does not, where a panic would cost the loop its vectors.
#[inline(always)]
pub(super) fn read<T: Copy + Default>(row: &[T], at: usize) -> [T; BLOCK] {
    match row.get(at..).and_then(|row| row.first_chunk()) {
        Some(block) => *block,
        None => [T::default(); BLOCK],
    }
}

/// Stores the block at `at`.
#[inline(always)]
pub(super) fn write<T: Copy>(row: &mut [T], at: usize, block: &[T; BLOCK]) {
    if let Some(to) = row.get_mut(at..).and_then(|row| row.first_chunk_mut()) {
        *to = *block;
    }
}

/// Where a walk over the blocks of a row is. Blocks are walked without closures: these would be compiled for the features
/// of the target, not of the set.
pub(super) struct Place {
    period: usize,
    step: usize,
    /// Entry of the per-channel arrays.
    pub(super) phase: usize,
}

impl Place {
    #[inline(always)]
    pub(super) fn new(period: usize) -> Self {
        let period = period.max(1);
        Place { period, step: BLOCK % period, phase: 0 }
    }

    /// First channel of block `k`; the last block ends with the row.
    #[inline(always)]
    pub(super) fn at(&mut self, k: usize, len: usize) -> usize {
        let at = (k * BLOCK).min(len.saturating_sub(BLOCK));
        if at != k * BLOCK {
            self.phase = at % self.period;
        }
        at
    }

    #[inline(always)]
    pub(super) fn next(&mut self) {
        self.phase += self.step;
        if self.phase >= self.period {
            self.phase -= self.period;
        }
    }
}
