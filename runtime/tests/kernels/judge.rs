//! Rows before a gate.

use quiescent::kernels::{JudgeTile, Kernels, scalar};

use super::guarded::{Against, Guarded};
use super::{Random, sets};

/// Which rows pass, and all of the held memory afterwards, gaps between rows included.
#[test]
fn rows_are_judged_alike() {
    for bytes in (1..=70).chain([95, 96, 127, 128, 129, 200, 256]) {
        for rows in [1, 2, 3, 4, 5, 7, 8, 31, 63, 64] {
            let mut random = Random((bytes * 100 + rows) as u64);
            let extreme = rows % 2 == 0;
            let row = bytes + random.below(5);
            let held: Vec<u8> = (0..rows * row).map(|_| random.code(extreme)).collect();
            // Held rows in another order than the new ones; some of these are the same, most are near.
            let at: Vec<u32> = (0..rows).map(|i| ((rows - 1 - i) * row) as u32).collect();
            let mut new = Vec::new();
            for at in &at {
                let spread = [1, 3, 9, 200][random.below(4)];
                let held = &held[*at as usize..][..bytes];
                new.extend(held.iter().map(|h| h.wrapping_add(random.below(spread) as u8)));
            }
            let weights: Vec<u8> = (0..bytes).map(|_| random.code(extreme)).collect();
            let (new, weights) = (Guarded::new(&new, Against::End), Guarded::new(&weights, Against::End));
            for dead in [0, 2] {
                // Limits that a row's score just reaches, just exceeds, and others.
                let i = random.below(rows);
                let (one, other) = (&new[i * bytes..][..bytes], &held[at[i] as usize..][..bytes]);
                // SAFETY: scalar.
                let score = unsafe { (scalar::KERNELS.score)(one, other, &weights, dead) };
                for limit in [None, Some(score), Some(score.saturating_sub(1)), Some(0), Some(1 << 31), Some(u32::MAX)] {
                    let run = |set: &Kernels| {
                        let mut memory = held.clone();
                        let tile = JudgeTile { new: &new, held: memory.as_mut_ptr(), rows: &at, weights: &weights, dead, limit };
                        // SAFETY: rows of the memory, each once; the set is available.
                        let passed = unsafe { (set.judge)(&tile) };
                        (passed, memory)
                    };
                    for set in sets() {
                        assert!(
                            run(set) == run(&scalar::KERNELS),
                            "{}: {rows} rows of {bytes} bytes, dead zone {dead}, limit {limit:?}",
                            set.name
                        );
                    }
                }
            }
        }
    }
}
