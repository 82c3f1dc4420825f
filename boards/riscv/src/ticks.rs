//! Instructions executed: `minstret`, exact under QEMU with `-icount shift=0`.

use core::arch::asm;

/// Starts counting: the counter runs from reset.
pub fn start() {}

fn retired() -> u64 {
    let (mut before, mut low, mut high): (u32, u32, u32);
    loop {
        // SAFETY: reads counters that every machine has.
        unsafe {
            asm!(
                "csrr {0}, minstreth", "csrr {1}, minstret", "csrr {2}, minstreth",
                out(reg) before, out(reg) low, out(reg) high, options(nomem, nostack)
            )
        }
        if before == high {
            return (high as u64) << 32 | low as u64;
        }
    }
}

/// What [`count`] counts.
pub fn unit() -> &'static str {
    "instructions"
}

/// Instructions `f` took, to within a few.
pub fn count<T>(f: impl FnOnce() -> T) -> (u64, T) {
    let start = retired();
    let result = f();
    (retired() - start, result)
}
