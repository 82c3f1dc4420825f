//! From reset to `main`: traps to `fault`, code and constants locked against writing, `.data` copied, `.bss` cleared.
//!
//! All of it lies in one memory. The lock (physical memory protection, valid for machine mode too) makes a stack that grows
//! below its end fault instead of overwriting constants.

use core::arch::naked_asm;

unsafe extern "C" {
    fn main() -> !;
}

/// # Safety
/// Called by the processor alone.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vectors")]
unsafe extern "C" fn reset() {
    naked_asm!(
        "la sp, stack_end",
        "la t0, {trap}",
        "csrw mtvec, t0",
        // Region 0: from the start of code to the stack, a power of two; read, execute, locked.
        "la t0, code_start",
        "la t1, stack_start",
        "sub t1, t1, t0",
        "srli t0, t0, 2",
        "srli t1, t1, 3",
        "addi t1, t1, -1",
        "or t0, t0, t1",
        "csrw pmpaddr0, t0",
        "li t0, 0x9D",
        "csrw pmpcfg0, t0",
        "la t0, data_start",
        "la t1, data_end",
        "la t2, data_load",
        "j 2f",
        "1: lw t3, 0(t2)",
        "sw t3, 0(t0)",
        "addi t0, t0, 4",
        "addi t2, t2, 4",
        "2: bltu t0, t1, 1b",
        "la t0, bss_start",
        "la t1, bss_end",
        "j 4f",
        "3: sw zero, 0(t0)",
        "addi t0, t0, 4",
        "4: bltu t0, t1, 3b",
        "call {main}",
        "unimp",
        trap = sym trap,
        main = sym main,
    )
}

/// On a stack of its own: the trap may be that there is no stack left.
///
/// # Safety
/// Called by the processor alone.
#[unsafe(naked)]
#[unsafe(link_section = ".text.trap")]
unsafe extern "C" fn trap() {
    naked_asm!(".balign 4", "la sp, stack_end", "j {fault}", fault = sym quiescent_boards::fault)
}
