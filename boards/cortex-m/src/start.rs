//! From reset to `main`: floating point on, `.data` copied, `.bss` cleared.

use core::arch::naked_asm;

unsafe extern "C" {
    static stack_end: u8;
    fn main() -> !;
}

#[repr(C)]
union Vector {
    stack: *const u8,
    handler: unsafe extern "C" fn(),
    fault: extern "C" fn() -> !,
    none: usize,
}

// SAFETY: never written.
unsafe impl Sync for Vector {}

#[used]
#[unsafe(link_section = ".vectors")]
static VECTORS: [Vector; 16] = {
    const NONE: Vector = Vector { none: 0 };
    const FAULT: Vector = Vector { fault: quiescent_boards::fault };
    let mut v = [NONE; 16];
    v[0] = Vector { stack: &raw const stack_end };
    v[1] = Vector { handler: reset };
    let mut k = 2;
    while k < 8 {
        v[k] = FAULT;
        k += 1;
    }
    v[15] = Vector { handler: super::ticks::wrapped };
    v
};

/// # Safety
/// Called by the processor alone.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn reset() {
    naked_asm!(
        // Full access to coprocessors 10 and 11, the floating-point unit.
        "ldr r0, =0xE000ED88",
        "ldr r1, [r0]",
        "orr r1, r1, #0xF00000",
        "str r1, [r0]",
        "dsb",
        "isb",
        "ldr r0, =data_start",
        "ldr r1, =data_end",
        "ldr r2, =data_load",
        "b 2f",
        "1: ldr r3, [r2], #4",
        "str r3, [r0], #4",
        "2: cmp r0, r1",
        "blo 1b",
        "ldr r0, =bss_start",
        "ldr r1, =bss_end",
        "movs r3, #0",
        "b 4f",
        "3: str r3, [r0], #4",
        "4: cmp r0, r1",
        "blo 3b",
        "bl {main}",
        "udf #0",
        ".ltorg",
        main = sym main,
    )
}
