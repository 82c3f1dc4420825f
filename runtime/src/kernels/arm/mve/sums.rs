//! The inner loops of a convolution: sums of a block of up to 16 outputs for four pixels or one.
//!
//! For four pixels and two outputs, 128 products take 18 instructions: two loads of weights, two to make them
//! unsigned, four loads of activations, eight products, a counter. Sums have to be even registers, so pointers are odd ones.

use core::arch::naked_asm;
use core::mem::offset_of;

/// What the loops read. Sums are `[pixel][16]`, of pixels [`PIXEL`] bytes apart.
#[repr(C)]
pub struct Job<const N: usize> {
    /// Activations of each pixel, `4 * quads` bytes and up to 12 more that do not count.
    pub x: [*const u8; N],
    /// Not 0.
    pub quads: usize,
    /// The weights of the first output, 256 bytes before their place.
    pub weights: *const i8,
    pub sums: *mut i32,
    /// One past the sums of the first pixel.
    pub end: *mut i32,
    /// What the sums of each pixel start with, twice.
    pub start: [[i32; 2]; N],
}

/// Bytes from the sums of one pixel to those of the next.
pub const PIXEL: usize = 64;

/// `q7` = byte offsets of four quads from `r0`.
macro_rules! quads_of {
    ($q:literal) => {
        concat!("movs r2, #0\n vidup.u32 ", $q, ", r2, #8\n vshl.i32 ", $q, ", ", $q, ", #3\n vadd.i32 ", $q, ", ", $q, ", r0\n")
    };
}

macro_rules! four_pixels {
    ($name:ident, $start:literal) => {
/// Sums of four pixels, two outputs at a time.
///
/// # Safety
/// The job's pointers reach what it says, an even number of outputs; weights are aligned.
#[unsafe(naked)]
pub unsafe extern "C" fn $name(job: &Job<4>) {
    naked_asm!(
        "push {{r0, r4-r11, lr}}
        vpush {{d8-d15}}
        ldr r11, [r0, #{sums}]
        ldr r0, [r0, #{weights}]
        vmov.i8 q6, #0x80",
        quads_of!("q3"),
        "1:
        ldr r2, [sp, #64]
        ldrd r1, r5, [r2]
        ldrd r7, r9, [r2, #8]
        ldr r3, [r2, #{quads}]
        vmov q7, q3
        movs r0, #8
        vadd.i32 q3, q3, r0",
        $start,
        "subs r3, #4
        blt 3f
        2:
        vldrw.u32 q4, [q7, #256]!
        vldrb.u8 q0, [r1], #16
        veor q4, q4, q6
        vldrw.u32 q5, [q7, #4]
        vmladava.u8 r0, q0, q4
        veor q5, q5, q6
        vldrb.u8 q1, [r5], #16
        vmladava.u8 r2, q0, q5
        vmladava.u8 r4, q1, q4
        vldrb.u8 q0, [r7], #16
        vmladava.u8 r6, q1, q5
        vmladava.u8 r8, q0, q4
        vldrb.u8 q1, [r9], #16
        vmladava.u8 r10, q0, q5
        vmladava.u8 r12, q1, q4
        vmladava.u8 lr, q1, q5
        subs r3, #4
        bge 2b
        3:
        adds r3, #4
        beq 4f
        vctp.32 r3
        vpstt
        vldrwt.u32 q4, [q7, #256]!
        vldrwt.u32 q5, [q7, #4]
        veor q4, q4, q6
        veor q5, q5, q6
        vpstttt
        vldrbt.u8 q0, [r1]
        vldrbt.u8 q1, [r5]
        vmladavat.u8 r0, q0, q4
        vmladavat.u8 r2, q0, q5
        vpstttt
        vmladavat.u8 r4, q1, q4
        vmladavat.u8 r6, q1, q5
        vldrbt.u8 q0, [r7]
        vldrbt.u8 q1, [r9]
        vpstttt
        vmladavat.u8 r8, q0, q4
        vmladavat.u8 r10, q0, q5
        vmladavat.u8 r12, q1, q4
        vmladavat.u8 lr, q1, q5
        4:
        strd r4, r6, [r11, #64]
        strd r8, r10, [r11, #128]
        strd r12, lr, [r11, #192]
        strd r0, r2, [r11], #8
        ldr r1, [sp, #64]
        ldr r1, [r1, #{end}]
        cmp r11, r1
        blo 1b
        vpop {{d8-d15}}
        pop {{r0, r4-r11, pc}}",
        quads = const offset_of!(Job<4>, quads),
        weights = const offset_of!(Job<4>, weights),
        sums = const offset_of!(Job<4>, sums),
        end = const offset_of!(Job<4>, end),
    )
}
    };
}

const _: () = assert!(offset_of!(Job<4>, start) == 32);

four_pixels!(
    four_pixels,
    "ldrd r4, r6, [r2, #40]
    ldrd r8, r10, [r2, #48]
    ldrd r12, lr, [r2, #56]
    ldrd r0, r2, [r2, #32]"
);
// On top of what the sums are.
four_pixels!(
    more_of_four_pixels,
    "ldrd r0, r2, [r11]
    ldrd r4, r6, [r11, #64]
    ldrd r8, r10, [r11, #128]
    ldrd r12, lr, [r11, #192]"
);

macro_rules! one_pixel {
    ($name:ident, $start:literal) => {
/// Sums of one pixel, four outputs at a time.
///
/// # Safety
/// As for four pixels, a multiple of four outputs.
#[unsafe(naked)]
pub unsafe extern "C" fn $name(job: &Job<1>) {
    naked_asm!(
        "push {{r0, r4-r11, lr}}
        vpush {{d8-d15}}
        mov r9, r0
        ldr r11, [r0, #{sums}]
        ldr r7, [r0, #{end}]
        ldr r5, [r0, #{quads}]
        ldr r0, [r0, #{weights}]
        vmov.i8 q6, #0x80",
        quads_of!("q3"),
        "mov r10, #16
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
        quads = const offset_of!(Job<1>, quads),
        weights = const offset_of!(Job<1>, weights),
        sums = const offset_of!(Job<1>, sums),
        end = const offset_of!(Job<1>, end),
    )
}
    };
}

const _: () = assert!(offset_of!(Job<1>, start) == 20);

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
