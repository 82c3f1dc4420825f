//! A table for each channel. Without an instruction that looks 256 entries up, codes go one by one, eight to a load.

use crate::kernels::TablesTile;

/// Channels of a block, whose tables stay in the first-level cache.
const BLOCK: usize = 8;

/// See [`Kernels::tables`](crate::kernels::Kernels::tables).
///
/// # Safety
/// The tile is valid (see [`TablesTile`]).
pub(in super::super) unsafe fn tables(t: &TablesTile) {
    let (blocks, rest) = t.tables.as_chunks::<BLOCK>();
    for (block, tables) in blocks.iter().enumerate() {
        for i in 0..t.pixels {
            let [x, out] = t.step.map(|step| i * step + BLOCK * block);
            // SAFETY: 8 channels of a pixel and of its result (the caller).
            unsafe {
                let codes = t.input.add(x).cast::<u64>().read_unaligned().to_le_bytes();
                for k in 0..BLOCK {
                    *t.output.add(out + k) = tables[k][codes[k] as usize];
                }
            }
        }
    }
    for (k, table) in (BLOCK * blocks.len()..).zip(rest) {
        for i in 0..t.pixels {
            // SAFETY: channel `k` of a pixel and of its result (the caller).
            unsafe { *t.output.add(i * t.step[1] + k) = table[*t.input.add(i * t.step[0] + k) as usize] };
        }
    }
}
