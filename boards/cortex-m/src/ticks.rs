//! Clocks of the processor; under emulation, instructions.
//!
//! What counts is the cycle counter of the DWT (`CYCCNT`: Armv7-M and Armv8-M Architecture Reference Manuals, "Data Watchpoint and Trace unit"), which a Cortex-M3,
//! M4, M7, M33 or M55 may have. It is optional, a debugger may keep it off, and QEMU has none, so whether it moves is seen at the start; else SysTick counts, at the
//! same clock. Its 24 bits, and the 32 of the cycle counter, are widened by SysTick's exception.
//!
//! Under `-icount shift=6` QEMU lets 64 ns pass with each instruction, and SysTick counts the clocks of the board in them: instructions =
//! clocks * period / 64 ns.

use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

const CONTROL: *mut u32 = 0xE000_E010 as *mut u32;
const RELOAD: *mut u32 = 0xE000_E014 as *mut u32;
const VALUE: *mut u32 = 0xE000_E018 as *mut u32;
const LAST: u32 = 0x00ff_ffff;

/// Debug control: bit 24 turns the DWT on.
const DEMCR: *mut u32 = 0xE000_EDFC as *mut u32;
const TRACE_ON: u32 = 1 << 24;
/// Of the DWT: bit 0 lets cycles be counted. On some processors it takes writes after a key.
const DWT_CONTROL: *mut u32 = 0xE000_1000 as *mut u32;
const DWT_CYCLES: *mut u32 = 0xE000_1004 as *mut u32;
const DWT_LOCK: *mut u32 = 0xE000_1FB0 as *mut u32;
const DWT_KEY: u32 = 0xC5AC_CE55;

/// Whether the cycle counter counts.
static CYCLES: AtomicBool = AtomicBool::new(false);
/// How often SysTick has passed zero.
static WRAPS: AtomicU32 = AtomicU32::new(0);
/// The cycle counter when it last did, and how often it had passed zero then.
static SEEN: AtomicU32 = AtomicU32::new(0);
static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// SysTick has passed zero: 256 times while the cycle counter does once.
pub(crate) unsafe extern "C" fn wrapped() {
    if CYCLES.load(Relaxed) {
        let now = cycles();
        ROUNDS.store(rounds(now), Relaxed);
        SEEN.store(now, Relaxed);
    }
    WRAPS.store(WRAPS.load(Relaxed).wrapping_add(1), Relaxed);
}

fn cycles() -> u32 {
    // SAFETY: a register of the DWT, which reads as zero where there is none.
    unsafe { read_volatile(DWT_CYCLES) }
}

/// How often the cycle counter has passed zero when it shows `now`.
fn rounds(now: u32) -> u32 {
    ROUNDS.load(Relaxed).wrapping_add((now < SEEN.load(Relaxed)) as u32)
}

/// Starts counting.
pub fn start() {
    // SAFETY: the registers of SysTick, on every Cortex-M, and of the DWT, whose place in the memory map is its own; nothing else uses them.
    unsafe {
        write_volatile(DEMCR, read_volatile(DEMCR) | TRACE_ON);
        write_volatile(DWT_LOCK, DWT_KEY);
        write_volatile(DWT_CYCLES, 0);
        write_volatile(DWT_CONTROL, read_volatile(DWT_CONTROL) | 1);
        // Reads of the memory map's own registers take a few cycles each.
        let first = cycles();
        CYCLES.store((0..8).any(|_| cycles() != first), Relaxed);
        write_volatile(RELOAD, LAST);
        write_volatile(VALUE, 0);
        // Processor clock, exception, on.
        write_volatile(CONTROL, 7);
    }
}

fn clocks() -> u64 {
    loop {
        let before = WRAPS.load(Relaxed);
        let count = if CYCLES.load(Relaxed) {
            let now = cycles();
            (rounds(now) as u64) << 32 | now as u64
        } else {
            // SAFETY: as above.
            let value = unsafe { read_volatile(VALUE) };
            ((before as u64) << 24) + (LAST - value) as u64
        };
        if before == WRAPS.load(Relaxed) {
            return count;
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

/// What [`count`] counts: cycles, where there is a cycle counter, else instructions, under emulation.
pub fn unit() -> &'static str {
    if CYCLES.load(Relaxed) { "cycles" } else { "instructions" }
}

/// What `f` took, to within a few.
pub fn count<T>(f: impl FnOnce() -> T) -> (u64, T) {
    let start = clocks();
    let result = f();
    let clocks = clocks() - start;
    (if CYCLES.load(Relaxed) { clocks } else { clocks * CLOCK_PS / 64_000 }, result)
}
