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

/// `f32(code) * scale + offset`.
#[inline(always)]
pub(super) fn values(codes: [u8; BLOCK], scale: &Block, offset: &Block) -> Block {
    let mut x = [0.0; BLOCK];
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    let codes = reals(codes);
    for i in 0..BLOCK {
        x[i] = codes[i] as f32 * scale[i] + offset[i];
    }
    x
}

/// The codes as f32: the compiler takes a step by halves of registers that has an instruction for whole ones.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
#[inline(always)]
fn reals(codes: [u8; BLOCK]) -> Block {
    use core::arch::aarch64::*;
    // SAFETY: NEON is part of the target; 16 bytes become 16 f32, for which any bits are a value.
    unsafe {
        let x = vld1q_u8(codes.as_ptr());
        let (lo, hi) = (vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
        let x = [vmovl_u16(vget_low_u16(lo)), vmovl_high_u16(lo), vmovl_u16(vget_low_u16(hi)), vmovl_high_u16(hi)];
        core::mem::transmute::<[float32x4_t; 4], Block>(x.map(|x| vcvtq_f32_u32(x)))
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
