//! How deep the stack gets: what lies below the stack pointer is painted, the lowest word that changed is the depth.

use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};

const PAINT: u32 = 0x5AFE_C0DE;

unsafe extern "C" {
    static stack_start: u32;
}

fn pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    #[cfg(target_arch = "arm")]
    unsafe {
        asm!("mov {}, sp", out(reg) sp, options(nomem, nostack))
    }
    // SAFETY: the same.
    #[cfg(target_arch = "riscv32")]
    unsafe {
        asm!("mv {}, sp", out(reg) sp, options(nomem, nostack))
    }
    sp
}

/// Lets no exception in, whose frames would count, or lets them in again.
fn exceptions(allowed: bool) {
    // SAFETY: an instruction that masks exceptions of configurable priority.
    #[cfg(target_arch = "arm")]
    unsafe {
        if allowed { asm!("cpsie i") } else { asm!("cpsid i") }
    }
    // On RISC-V none is ever enabled.
    #[cfg(target_arch = "riscv32")]
    let _ = allowed;
}

/// Bytes of stack `f` used. No time passes for it: the counter's exception waits.
#[inline(never)]
pub fn depth<T>(f: impl FnOnce() -> T) -> (usize, T) {
    let bottom = &raw const stack_start as usize;
    // This function's own frame, exceptions and what it calls below are left alone.
    let top = pointer() - 64;
    for at in (bottom..top).step_by(4) {
        // SAFETY: stack that nothing uses.
        unsafe { write_volatile(at as *mut u32, PAINT) }
    }
    exceptions(false);
    let result = f();
    exceptions(true);
    // SAFETY: the same words.
    let used = (bottom..top).step_by(4).find(|at| unsafe { read_volatile(*at as *const u32) } != PAINT);
    (pointer() - used.unwrap_or(top), result)
}
