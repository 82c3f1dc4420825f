//! Operands: codes become f32.

use super::walk::{Block, Load, read, values};
use super::{BLOCK, Operand};

impl Operand<'_> {
    /// One value.
    pub fn get(&self, k: usize) -> f32 {
        match *self {
            Operand::Codes { codes, scale, offset } => codes[k] as f32 * scale[k] + offset[k],
            Operand::Reals(reals) => f32::from_le_bytes(reals[k]),
            Operand::Repeat(values) => values[k],
            Operand::One(v) => v,
        }
    }

    /// Value `at`, of channel `k`.
    #[inline(always)]
    pub(in crate::kernels) fn value(&self, at: usize, k: usize) -> f32 {
        match *self {
            Operand::Codes { codes, scale, offset } => codes[at] as f32 * scale[k] + offset[k],
            Operand::Reals(reals) => f32::from_le_bytes(reals[at]),
            Operand::Repeat(values) => values[k],
            Operand::One(v) => v,
        }
    }
}

impl Load for Operand<'_> {
    #[inline(always)]
    fn load(&self, at: usize, phase: usize) -> Block {
        let mut x = [0.0; BLOCK];
        match *self {
            Operand::Codes { codes, scale, offset } => {
                let (codes, scale, offset) = (read(codes, at), read(scale, phase), read(offset, phase));
                x = values(codes, &scale, &offset);
            }
            Operand::Reals(reals) => {
                let bytes = read(reals, at);
                for i in 0..BLOCK {
                    x[i] = f32::from_le_bytes(bytes[i]);
                }
            }
            Operand::Repeat(values) => x = read(values, phase),
            Operand::One(v) => x = [v; BLOCK],
        }
        x
    }
}
