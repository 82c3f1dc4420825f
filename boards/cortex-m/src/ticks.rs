//! Instructions executed. Under `-icount shift=6` QEMU lets 64 ns pass with each, and SysTick counts the clocks of the
//! board in them: instructions = clocks * period / 64 ns. Its 24 bits are widened by its exception.

use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering};

const CONTROL: *mut u32 = 0xE000_E010 as *mut u32;
const RELOAD: *mut u32 = 0xE000_E014 as *mut u32;
const VALUE: *mut u32 = 0xE000_E018 as *mut u32;
const LAST: u32 = 0x00ff_ffff;

static WRAPS: AtomicU32 = AtomicU32::new(0);

/// The counter has passed zero.
pub(crate) unsafe extern "C" fn wrapped() {
    WRAPS.fetch_add(1, Ordering::Relaxed);
}

/// Starts counting.
pub fn start() {
    // SAFETY: the registers of SysTick, on every Cortex-M; nothing else uses it.
    unsafe {
        write_volatile(RELOAD, LAST);
        write_volatile(VALUE, 0);
        // Processor clock, exception, on.
        write_volatile(CONTROL, 7);
    }
}

fn clocks() -> u64 {
    loop {
        let before = WRAPS.load(Ordering::Relaxed);
        // SAFETY: as above.
        let value = unsafe { read_volatile(VALUE) };
        if before == WRAPS.load(Ordering::Relaxed) {
            return ((before as u64) << 24) + (LAST - value) as u64;
        }
    }
}

/// Picoseconds of a clock.
const CLOCK_PS: u64 = match u64::from_str_radix(env!("CLOCK_PS"), 10) {
    Ok(ps) => ps,
    Err(_) => panic!("CLOCK_PS"),
};

/// Microseconds since the start.
pub fn microseconds() -> u64 {
    clocks() * CLOCK_PS / 1_000_000
}

/// Instructions `f` took, to within a few.
pub fn instructions<T>(f: impl FnOnce() -> T) -> (u64, T) {
    let start = clocks();
    let result = f();
    ((clocks() - start) * CLOCK_PS / 64_000, result)
}
