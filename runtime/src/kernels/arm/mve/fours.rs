//! The inner loop of a convolution: four pixels, two outputs at a time, a block of 16 outputs after the other, and the way from
//! their sums to codes.
//!
//! Activations lie gathered, [`PIXEL`] bytes from pixel to pixel. For four pixels and two outputs, 128 products take 16
//! instructions: two loads of weights, two to make them unsigned, four loads of activations, eight products.
//!
//! | registers | |
//! |---|---|
//! | r0, r2 .. r10, r12, lr | sums `[pixel][output]`, which have to be even registers |
//! | r1, r5 | activations of the first and of the third pixel |
//! | r3 | passes left through nine repetitions |
//! | r7, r9, r11 | the job, end of the sums, where they go |
//! | q7 | where the weights of four quads lie, 256 bytes before |
//! | q2, q3, q6 | steps of q7 from output to output and from quad to quad, 0x80 |
//!
//! Where among the repetitions the first, partial pass begins, and what follows a pass, is worked out once; repetitions take 64
//! bytes each. Quads that make no whole vector come first, predicated.

use core::arch::naked_asm;
use core::mem::offset_of;

use super::finish::{round, scale, second};

/// Bytes from the activations of a pixel to those of the next: 72 quads and what loads may end behind them.
pub const PIXEL: usize = 304;

/// Bytes of the sums of a block: `[output / 2][pixel][2]`.
pub const BLOCK: usize = 256;

/// What becomes of the sums.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    /// They are kept.
    Sums,
    /// Codes up to the upper bound; the lower one is 0.
    Codes,
    /// Codes between the bounds.
    Between,
    /// The same with a second input.
    Added,
}

/// What the loop reads, and moves along the outputs.
#[repr(C)]
pub struct Job {
    /// What the sums of each pixel start with, twice.
    pub start: [[i32; 2]; 4],
    /// First taps of the pixels, and sums of their gathered activations.
    pub pixels: [(*const u8, u32); 4],
    /// Gathered activations.
    pub x: *const u8,
    /// Not 0.
    pub quads: usize,
    /// Weights of the block, 256 bytes before their place, and bytes from block to block.
    pub w: *const i8,
    pub w_step: usize,
    /// The block's sums, and bytes to those of the next.
    pub sums: *mut i32,
    pub sums_step: usize,
    /// Outputs left, not 0.
    pub left: usize,
    pub then: Then,
    pub m: *const f32,
    pub b: *const f32,
    pub out: [*mut u8; 4],
    pub lo: u32,
    pub hi: u32,
    /// The second input and its multipliers.
    pub added: [*const u8; 4],
    pub r: *const f32,
    /// Offsets of the next four rows of the input, the output and the second input, and from where they count.
    pub rows: [*const u32; 3],
    pub base: [*const u8; 3],
    /// Of the loop's own, to be cleared when `quads` changes: quads of the predicated vector, passes, where they begin, where a pair of
    /// outputs begins, what follows a pass.
    pub own: [usize; 5],
}

// The loop reads neighbouring fields in pairs, and the first ones as a whole.
const _: () = assert!(offset_of!(Job, start) == 0);
const _: () = assert!(offset_of!(Job, b) == offset_of!(Job, m) + 4 && offset_of!(Job, hi) == offset_of!(Job, lo) + 4);
const _: () = assert!(offset_of!(Job, w_step) == offset_of!(Job, w) + 4 && offset_of!(Job, sums_step) == offset_of!(Job, sums) + 4);

/// Products of four quads, weights in q4 and q5, with activations at the addresses given.
macro_rules! products {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "vldrw.u32 q0, ",
            $a,
            "
            vldrw.u32 q1, ",
            $b,
            "
            vmladava.u8 r0, q0, q4
            vmladava.u8 r2, q0, q5
            vldrw.u32 q0, ",
            $c,
            "
            vmladava.u8 r4, q1, q4
            vmladava.u8 r6, q1, q5
            vldrw.u32 q1, ",
            $d,
            "
            vmladava.u8 r8, q0, q4
            vmladava.u8 r10, q0, q5
            vmladava.u8 r12, q1, q4
            vmladava.u8 lr, q1, q5\n"
        )
    };
}

macro_rules! four_quads {
    () => {
        concat!(
            "vldrw.u32 q4, [q7, #256]!
            vldrw.u32 q5, [q7, #4]
            veor q4, q4, q6
            veor q5, q5, q6\n",
            products!("[r1], #16", "[r1, #{pixel}-16]", "[r5], #16", "[r5, #{pixel}-16]")
        )
    };
}

/// Four outputs of a pixel: sums at `$sums`, codes to `$out`.
macro_rules! codes {
    ($lo:expr, $sums:literal, $out:literal $(, $added:literal)?) => {
        concat!("vldrd.u64 q0, ", $sums, "\n", scale!("q1", "q4"), $(second!("q6", $added, "q3"),)? round!($lo, "q5", $out))
    };
}

/// Four outputs of the four pixels; `$added` says where their second inputs are.
macro_rules! codes_of_four {
    ($lo:expr $(, $a:literal, $b:literal, $c:literal, $d:literal)?) => {
        concat!(
            codes!($lo, "[q2, #64]!", "[r3], #4" $(, $a)?),
            codes!($lo, "[q2, #8]", "[r4], #4" $(, $b)?),
            codes!($lo, "[q2, #16]", "[r5], #4" $(, $c)?),
            codes!($lo, "[q2, #24]", "[r6], #4" $(, $d)?)
        )
    };
}

/// All codes of a block; `$before` sets up what `$codes` needs beyond the arrays and the bounds, q7 and q5.
macro_rules! finish {
    ($before:expr, $codes:expr; $after:expr) => {
        concat!(
            "mov r12, r7
            ldr r11, [r12, #{sums}]
            vshr.u32 q2, q3, #2
            sub r11, #64
            vadd.i32 q2, q2, r11
            ldrd r8, r9, [r12, #{m}]
            ldrd r3, r4, [r12, #{out}]
            ldrd r5, r6, [r12, #{out}+8]
            ldrd r0, r1, [r12, #{lo}]
            vdup.32 q7, r0
            vdup.32 q5, r1
            ldr r0, [r12, #{left}]
            cmp r0, #16
            it hi
            movhi r0, #16
            dlstp.32 lr, r0\n",
            $before,
            "9:
            vldrw.u32 q1, [r8], #16
            vldrw.u32 q4, [r9], #16\n",
            $codes,
            "letp lr, 9b
            strd r8, r9, [r12, #{m}]
            strd r3, r4, [r12, #{out}]
            strd r5, r6, [r12, #{out}+8]\n",
            $after
        )
    };
}

/// To the next block, if there is one.
macro_rules! next {
    ($block:literal) => {
        concat!(
            "ldrd r0, r1, [r7, #{w}]
            add r0, r1
            str r0, [r7, #{w}]
            ldrd r0, r1, [r7, #{sums}]
            add r0, r1
            str r0, [r7, #{sums}]
            ldr r0, [r7, #{left}]
            subs r0, #16
            str r0, [r7, #{left}]
            bhi.w ",
            $block,
            "
            vpop {{d8-d15}}
            pop {{r3-r11, pc}}\n"
        )
    };
}

macro_rules! four_pixels {
    ($name:ident, $prepare:expr, $start:literal) => {
/// Sums of four pixels, two outputs at a time, and what becomes of them.
///
/// # Safety
/// The job's pointers reach what it says; weights are aligned and of whole blocks.
#[unsafe(naked)]
pub unsafe extern "C" fn $name(job: &mut Job) {
    naked_asm!(
        processor!(mve),
        "push {{r3-r11, lr}}
        vpush {{d8-d15}}
        mov r7, r0
        ldr r0, [r7, #{own}+4]
        cbnz r0, 20f
        ldr r0, [r7, #{quads}]
        and r1, r0, #3
        lsrs r2, r0, #2
        add r3, r2, #8
        mov r4, #9
        udiv r3, r3, r4
        adr.w r8, 32f
        cmp r3, #1
        bhi 2f
        movs r3, #1
        adr.w r8, 33f
        2:
        adds r8, #1
        mls r4, r3, r4, r2
        add r4, #9
        adr.w r5, 3f
        sub r5, r5, r4, lsl #6
        adds r5, #1
        adr.w r6, 8f
        adds r6, #1
        cmp r1, #0
        it eq
        moveq r6, r5
        strd r1, r3, [r7, #{own}]
        strd r5, r6, [r7, #{own}+8]
        str r8, [r7, #{own}+16]
        20:
        movs r2, #0
        vidup.u32 q3, r2, #8
        vshl.i32 q3, q3, #3
        vmov.i8 q6, #0x80
        21:
        ldr r0, [r7, #{quads}]
        movs r1, #8
        sub r1, r1, r0, lsl #6
        vdup.32 q2, r1
        1:
        ldr r0, [r7, #{w}]
        vadd.i32 q7, q3, r0
        ldr r11, [r7, #{sums}]
        ldr r3, [r7, #{left}]
        cmp r3, #16
        it hi
        movhi r3, #16
        add r9, r3, #1
        bic r9, r9, #1
        add r9, r11, r9, lsl #4",
        $prepare,
        "ldr r3, [r7, #{own}+4]
        2:
        ",$start,"
        ldr r1, [r7, #{x}]
        add r5, r1, #2*{pixel}
        ldr pc, [r7, #{own}+12]
        .p2align 2
        4:",
        four_quads!(), four_quads!(), four_quads!(), four_quads!(), four_quads!(), four_quads!(), four_quads!(), four_quads!(), four_quads!(),
        "3:
        ldr pc, [r7, #{own}+16]
        32:
        subs r3, #1
        bne.w 4b
        ldr r3, [r7, #{own}+4]
        33:
        vadd.i32 q7, q7, q2
        stm r11!, {{r0, r2, r4, r6, r8, r10, r12, lr}}
        cmp r11, r9
        blo.w 2b
        ldr r0, [r7, #{then}]
        cmp r0, #1
        blo.w 7f
        beq.w 5f
        cmp r0, #2
        beq.w 6f",
        // With a second input.
        finish!(
            "ldrd r0, r1, [r12, #{added}]
            ldrd r2, r7, [r12, #{added}+8]
            ldr r10, [r12, #{r}]\n",
            concat!(
                "vldrw.u32 q3, [r10], #16\n",
                codes_of_four!("vmax.u32 q0, q0, q7\n", "[r0], #4", "[r1], #4", "[r2], #4", "[r7], #4")
            );
            "strd r0, r1, [r12, #{added}]
            strd r2, r7, [r12, #{added}+8]
            str r10, [r12, #{r}]
            mov r7, r12\n"
        ),
        next!("20b"),
        "6:",
        finish!(
            "",
            codes_of_four!("vmax.u32 q0, q0, q7\n");
            "b 7f\n"
        ),
        "5:",
        finish!(
            "",
            codes_of_four!("");
            ""
        ),
        "7:",
        next!("21b"),
        "8:
        ldr r3, [r7, #{own}]
        vctp.32 r3
        vpstttt
        vldrwt.u32 q4, [q7, #256]
        vldrwt.u32 q5, [q7, #260]
        veort q4, q4, q6
        veort q5, q5, q6",
        products!("[r1]", "[r1, #{pixel}]", "[r5]", "[r5, #{pixel}]"),
        "lsls r3, r3, #2
        add r1, r3
        add r5, r3
        lsls r3, r3, #4
        vadd.i32 q7, q7, r3
        ldr r3, [r7, #{own}+4]
        ldr pc, [r7, #{own}+8]",
        pixel = const PIXEL,
        quads = const offset_of!(Job, quads),
        own = const offset_of!(Job, own),
        w = const offset_of!(Job, w),
        sums = const offset_of!(Job, sums),
        left = const offset_of!(Job, left),
        x = const offset_of!(Job, x),
        then = const offset_of!(Job, then),
        m = const offset_of!(Job, m),
        out = const offset_of!(Job, out),
        lo = const offset_of!(Job, lo),
        added = const offset_of!(Job, added),
        r = const offset_of!(Job, r),
    )
}
    };
}

four_pixels!(run, "", "ldm r7, {{r0, r2, r4, r6, r8, r10, r12, lr}}");
// On top of what the sums are, and of the starts.
four_pixels!(
    run_more,
    "vldrw.u32 q0, [r7]
    vldrw.u32 q1, [r7, #16]
    sub lr, r9, r11
    lsr lr, lr, #5
    mov r0, r11
    dls lr, lr
    9:
    vldrw.u32 q4, [r0]
    vadd.i32 q4, q4, q0
    vstrw.32 q4, [r0], #16
    vldrw.u32 q4, [r0]
    vadd.i32 q4, q4, q1
    vstrw.32 q4, [r0], #16
    le lr, 9b\n",
    "ldm r11, {{r0, r2, r4, r6, r8, r10, r12, lr}}"
);

/// Where all outputs of rows begin, and what [`gather`] is to take.
#[repr(C)]
pub struct First {
    pub m: *const f32,
    pub b: *const f32,
    pub r: *const f32,
    pub w: *const i8,
    pub left: usize,
    pub offsets: *const u32,
    pub count: usize,
    pub bytes: usize,
    pub to: *mut u8,
}

/// All outputs of `groups` of four rows, whose taps have room.
///
/// # Safety
/// As for [`next`], [`gather`] and [`run`]; `groups` is not 0.
#[unsafe(naked)]
pub unsafe extern "C" fn at_once(job: &mut Job, first: &First, groups: usize) {
    naked_asm!(
        processor!(mve),
        "push {{r3-r6, lr}}
        mov r4, r0
        mov r5, r1
        mov r6, r2
        1:
        mov r0, r4
        bl {next}
        mov r12, r5
        ldm r12!, {{r0-r3, lr}}
        strd r0, r1, [r4, #{m}]
        str r2, [r4, #{r}]
        str r3, [r4, #{w}]
        str lr, [r4, #{left}]
        ldm r12, {{r1-r3, r12}}
        mov r0, r4
        str r12, [sp]
        bl {gather}
        mov r0, r4
        bl {run}
        subs r6, #1
        bne 1b
        pop {{r3-r6, pc}}",
        next = sym next,
        gather = sym gather,
        run = sym run,
        m = const offset_of!(Job, m),
        r = const offset_of!(Job, r),
        w = const offset_of!(Job, w),
        left = const offset_of!(Job, left),
    )
}

/// To the next four rows, of which nothing is gathered.
///
/// # Safety
/// There are offsets of four rows.
#[unsafe(naked)]
pub unsafe extern "C" fn next(job: &mut Job) {
    naked_asm!(
        processor!(mve),
        "push {{r4-r6, lr}}
        add r6, r0, #{rows}
        ldm r6, {{r1-r3, r4, r5, r12}}
        vldrw.u32 q0, [r1], #16
        vldrw.u32 q2, [r2], #16
        vldrw.u32 q3, [r3], #16
        vadd.i32 q0, q0, r4
        vadd.i32 q2, q2, r5
        vadd.i32 q3, q3, r12
        vmov.i32 q1, #0
        stm r6, {{r1-r3}}
        vstrw.32 q2, [r0, #{out}]
        vstrw.32 q3, [r0, #{added}]
        adds r0, #{pixels}
        vst20.32 {{q0, q1}}, [r0]
        vst21.32 {{q0, q1}}, [r0]
        pop {{r4-r6, pc}}",
        rows = const offset_of!(Job, rows),
        pixels = const offset_of!(Job, pixels),
        out = const offset_of!(Job, out),
        added = const offset_of!(Job, added),
    )
}

/// Copies `n` bytes at each of `count` offsets from each pixel's first tap to `to` and [`PIXEL`] bytes on, adds them to the totals,
/// and says what sums of unsigned weights start with to come to those of signed ones.
///
/// # Safety
/// The bytes are readable and have their place; neither `count` nor `n` is 0.
#[unsafe(naked)]
pub unsafe extern "C" fn gather(job: &mut Job, offsets: *const u32, count: usize, n: usize, to: *mut u8) {
    naked_asm!(
        processor!(mve),
        "push {{r4-r11, lr}}
        ldr r5, [sp, #36]
        movs r12, #4
        1:
        ldrd r9, r6, [r0, #{pixels}]
        mov r8, r1
        mov r10, r2
        mov r11, r5
        2:
        ldr r4, [r8], #4
        mov r7, r11
        add r11, r3
        add r4, r9
        dlstp.8 lr, r3
        3:
        vldrb.u8 q0, [r4], #16
        vaddva.u8 r6, q0
        vstrb.8 q0, [r7], #16
        letp lr, 3b
        subs r10, #1
        bne 2b
        lsls r4, r6, #7
        str r6, [r0, #{pixels}+4]
        negs r4, r4
        add r5, #{pixel}
        strd r4, r4, [r0], #8
        subs r12, #1
        bne 1b
        pop {{r4-r11, pc}}",
        pixel = const PIXEL,
        pixels = const offset_of!(Job, pixels),
    )
}
