//! Results: values become codes or stay f32.

use super::math::{MAGIC, bounded, clamp};
use super::walk::{Block, Store, read, write};
use super::{BLOCK, Row};
use crate::kernels::scalar;

impl Row<'_> {
    /// Stores one value.
    pub fn put(&mut self, k: usize, y: f32) {
        self.set(k, k, y);
    }

    /// Stores value `at`, of channel `k`.
    #[inline(always)]
    pub(in crate::kernels) fn set(&mut self, at: usize, k: usize, y: f32) {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table } => {
                let code = scalar::code(y * scale[k] + offset[k], lo.max(0.0), hi.min(255.0));
                codes[at] = table.map_or(code, |t| t[code as usize]);
            }
            Row::Reals { reals, lo, hi } => reals[at] = clamp(y, *lo, *hi).to_le_bytes(),
        }
    }

    #[inline(always)]
    pub(in crate::kernels) fn len(&self) -> usize {
        match self {
            Row::Codes { codes, .. } => codes.len(),
            Row::Reals { reals, .. } => reals.len(),
        }
    }
}

impl Store for Row<'_> {
    #[inline(always)]
    fn store(&mut self, at: usize, phase: usize, y: &Block) {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table } => {
                let (scale, offset) = (read(scale, phase), read(offset, phase));
                let mut q = [0; BLOCK];
                for i in 0..BLOCK {
                    // `scalar::code`: the bounds make the low byte of the sum the whole integer.
                    q[i] = (bounded(y[i] * scale[i] + offset[i], *lo, *hi) + MAGIC).to_bits() as u8;
                }
                if let Some(table) = table {
                    q = q.map(|q| table[q as usize]);
                }
                write(codes, at, &q);
            }
            Row::Reals { reals, lo, hi } => {
                let mut bytes = [[0; 4]; BLOCK];
                for i in 0..BLOCK {
                    bytes[i] = clamp(y[i], *lo, *hi).to_le_bytes();
                }
                write(reals, at, &bytes);
            }
        }
    }
}
