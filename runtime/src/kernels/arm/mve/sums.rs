//! The inner loop of a convolution: sums of a block of up to 16 outputs for one pixel, four outputs at a time. For these, 64
//! products take 14 instructions: loads of weights, instructions to make them unsigned, and products, four each, a load of
//! activations, a counter.

use core::arch::naked_asm;
use core::mem::offset_of;

/// What the loop reads.
#[repr(C)]
pub struct Job {
    /// Activations, `4 * quads` bytes and up to 12 more that do not count.
    pub x: *const u8,
    /// Not 0.
    pub quads: usize,
    /// The weights of the first output, 256 bytes before their place.
    pub weights: *const i8,
    pub sums: *mut i32,
    /// One past the sums.
    pub end: *mut i32,
    /// What sums start with, twice.
    pub start: [i32; 2],
}

macro_rules! one_pixel {
    ($name:ident, $start:literal) => {
/// Sums of one pixel, four outputs at a time.
///
/// # Safety
/// The job's pointers reach what it says, a multiple of four outputs; weights are aligned.
#[unsafe(naked)]
pub unsafe extern "C" fn $name(job: &Job) {
    naked_asm!(
        processor!(mve),
        "push {{r0, r4-r11, lr}}
        vpush {{d8-d15}}
        mov r9, r0
        ldr r11, [r0, #{sums}]
        ldr r7, [r0, #{end}]
        ldr r5, [r0, #{quads}]
        ldr r0, [r0, #{weights}]
        vmov.i8 q6, #0x80
        movs r2, #0
        vidup.u32 q3, r2, #8
        vshl.i32 q3, q3, #3
        vadd.i32 q3, q3, r0
        mov r10, #16
        1:
        ldr r1, [r9]
        vmov q7, q3
        vadd.i32 q3, q3, r10
        ",$start,"
        dlstp.32 lr, r5
        2:
        vldrw.u32 q1, [q7, #256]!
        vldrb.u8 q0, [r1], #16
        veor q1, q1, q6
        vldrw.u32 q2, [q7, #4]
        vmladava.u8 r0, q0, q1
        veor q2, q2, q6
        vldrw.u32 q4, [q7, #8]
        vmladava.u8 r2, q0, q2
        veor q4, q4, q6
        vldrw.u32 q5, [q7, #12]
        vmladava.u8 r4, q0, q4
        veor q5, q5, q6
        vmladava.u8 r6, q0, q5
        letp lr, 2b
        strd r4, r6, [r11, #8]
        strd r0, r2, [r11], #16
        cmp r11, r7
        blo 1b
        vpop {{d8-d15}}
        pop {{r0, r4-r11, pc}}",
        quads = const offset_of!(Job, quads),
        weights = const offset_of!(Job, weights),
        sums = const offset_of!(Job, sums),
        end = const offset_of!(Job, end),
    )
}
    };
}

const _: () = assert!(offset_of!(Job, start) == 20);

one_pixel!(one_pixel, "ldrd r0, r2, [r9, #20]\n ldrd r4, r6, [r9, #20]");
// On top of what the sums are.
one_pixel!(more_of_one_pixel, "ldrd r0, r2, [r11]\n ldrd r4, r6, [r11, #8]");

/// The sum of `n` bytes.
///
/// # Safety
/// They are readable.
#[unsafe(naked)]
pub unsafe extern "C" fn total(from: *const u8, n: usize) -> u32 {
    naked_asm!(
        processor!(mve),
        "push {{r4, lr}}
        mov r2, r0
        movs r0, #0
        wlstp.8 lr, r1, 2f
        1:
        vldrb.u8 q0, [r2], #16
        vaddva.u8 r0, q0
        letp lr, 1b
        2:
        pop {{r4, pc}}",
    )
}

/// Copies `n` bytes and returns `sum` plus theirs.
///
/// # Safety
/// They are readable, writable and apart.
#[unsafe(naked)]
pub unsafe extern "C" fn copy(from: *const u8, to: *mut u8, n: usize, sum: u32) -> u32 {
    naked_asm!(
        processor!(mve),
        "push {{r4, lr}}
        mov r12, r3
        wlstp.8 lr, r2, 2f
        1:
        vldrb.u8 q0, [r0], #16
        vaddva.u8 r12, q0
        vstrb.8 q0, [r1], #16
        letp lr, 1b
        2:
        mov r0, r12
        pop {{r4, pc}}",
    )
}
