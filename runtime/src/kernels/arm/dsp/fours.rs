//! The inner loop of a convolution: four pixels, two outputs at a time, block after block of 16, and the way from their sums to codes.
//!
//! Activations come widened, quad by quad: bytes 0 and 2 of each of the four pixels, then bytes 1 and 3. Weights are widened in
//! registers, bytes 0 and 2 of both outputs first, then, loaded again, bytes 1 and 3: 26 instructions for 32 products.
//!
//! | registers | |
//! |---|---|
//! | r0, r1 | activations, weights |
//! | r2..r7, r12, lr | sums `[pixel][output]` |
//! | r8, r9 | weights of both outputs |
//! | r10, r11 | activations of two pixels |
//!
//! None is left to count quads: the end of the activations lies on the stack, and so does where among eight repetitions the
//! first, partial pass begins. All instructions of a repetition take four bytes.

use core::arch::naked_asm;
use core::mem::offset_of;

use super::finish::{Bounds, clamp};

/// Bytes of a quad of four widened pixels, and of the sums of two outputs.
pub const QUAD: usize = 32;

/// What becomes of the sums.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum Then {
    /// They are kept.
    Sums,
    /// Codes, whatever they are.
    Whole,
    /// Codes between the bounds.
    Codes,
    /// The same with a second input.
    Added,
}

/// What the loop reads, and moves along the outputs.
#[repr(C)]
pub struct Job {
    pub m: *const f32,
    pub b: *const f32,
    pub w: *const i8,
    /// Pairs of outputs left of a block.
    pub pairs: usize,
    pub out: [*mut u8; 4],
    /// The second input: its rows, its multipliers, its channel.
    pub added: [*const u8; 4],
    pub r: *const f32,
    pub at: usize,
    /// Pairs of outputs of the blocks behind, and bytes from the end of a whole block's first quad to the next block.
    pub left: usize,
    pub skip: usize,
    pub bounds: Bounds,
    pub x: *const u32,
    pub quads: usize,
    /// What sums start with, and by how many bytes it moves for each pair.
    pub start: *const i32,
    pub step: usize,
    /// Where they are kept.
    pub sums: *mut i32,
    pub then: Then,
    /// First taps of the pixels.
    pub pixels: [*const u8; 4],
    /// Offsets of the next four rows of the input, the output and the second input, and from where they count.
    pub rows: [*const u32; 3],
    pub base: [*const u8; 3],
}

// The loop reads neighbouring fields at once.
const _: () = assert!(offset_of!(Job, out) == 16 && offset_of!(Job, quads) == offset_of!(Job, x) + 4);
const _: () = assert!(offset_of!(Job, step) == offset_of!(Job, start) + 4 && offset_of!(Job, at) == offset_of!(Job, r) + 4);
const _: () = assert!(offset_of!(Job, skip) == offset_of!(Job, left) + 4 && offset_of!(Job, base) == offset_of!(Job, rows) + 12);

impl Job {
    /// To the first of `pairs` pairs of outputs, whose weights are at `w`.
    #[inline(always)]
    pub fn outputs(&mut self, w: *const i8, pairs: usize) {
        (self.w, self.pairs) = (w, pairs.min(8));
        self.left = pairs - self.pairs;
    }
}

/// Half the products of a quad: weights at `$w`, turned by `$turn`.
macro_rules! half {
    ($w:literal, $turn:literal) => {
        concat!(
            "ldrd r8, r9, ",
            $w,
            "\n sxtb16 r8, r8",
            $turn,
            "\n sxtb16 r9, r9",
            $turn,
            "
            ldrd r10, r11, [r0], #8
            smlad r2, r8, r10, r2
            smlad r3, r9, r10, r3
            smlad r4, r8, r11, r4
            smlad r5, r9, r11, r5
            ldrd r10, r11, [r0], #8
            smlad r6, r8, r10, r6
            smlad r7, r9, r10, r7
            smlad r12, r8, r11, r12
            smlad lr, r9, r11, lr\n"
        )
    };
}

macro_rules! four_quads {
    () => {
        concat!(
            half!("[r1]", ""),
            half!("[r1], #64", ", ror #8"),
            half!("[r1]", ""),
            half!("[r1], #64", ", ror #8"),
            half!("[r1]", ""),
            half!("[r1], #64", ", ror #8"),
            half!("[r1]", ""),
            half!("[r1], #64", ", ror #8")
        )
    };
}

/// One quad of the pixels at r0..r3, to lr.
macro_rules! widen {
    () => {
        "ldr r4, [r0], #4
        ldr r5, [r1], #4
        ldr r6, [r2], #4
        ldr r7, [r3], #4
        uxtb16 r8, r4, ror #8
        uxtb16 r4, r4
        uxtb16 r9, r5, ror #8
        uxtb16 r5, r5
        uxtb16 r10, r6, ror #8
        uxtb16 r6, r6
        uxtb16 r11, r7, ror #8
        uxtb16 r7, r7
        stm lr!, {{r4-r11}}\n"
    };
}

/// The sums as reals in s0..s7; the first eight words of the job, at r0, in r2..r9: multipliers of both outputs in s8 and s9,
/// their offsets in s10..s17.
macro_rules! reals {
    () => {
        "vmov s0, s1, r2, r3
        vmov s2, s3, r4, r5
        vmov s4, s5, r6, r7
        vmov s6, s7, r12, lr
        ldr r0, [sp]
        ldm r0, {{r2-r9}}
        vldmia r2!, {{s8-s9}}
        vldmia r3, {{s10-s11}}
        vldmia r3, {{s12-s13}}
        vldmia r3, {{s14-s15}}
        vldmia r3!, {{s16-s17}}\n"
    };
}

/// `+ s0..s7, converted as $from, * s8 or s9`.
macro_rules! products {
    ($from:literal) => {
        concat!(
            "vcvt.f32.",
            $from,
            " s0, s0\n vcvt.f32.",
            $from,
            " s1, s1\n vcvt.f32.",
            $from,
            " s2, s2\n vcvt.f32.",
            $from,
            " s3, s3\n",
            "vcvt.f32.",
            $from,
            " s4, s4\n vcvt.f32.",
            $from,
            " s5, s5\n vcvt.f32.",
            $from,
            " s6, s6\n vcvt.f32.",
            $from,
            " s7, s7
            vmla.f32 s10, s0, s8
            vmla.f32 s11, s1, s9
            vmla.f32 s12, s2, s8
            vmla.f32 s13, s3, s9
            vmla.f32 s14, s4, s8
            vmla.f32 s15, s5, s9
            vmla.f32 s16, s6, s8
            vmla.f32 s17, s7, s9\n"
        )
    };
}

/// Two codes from each of two rows of the second input.
macro_rules! second {
    ($rows:literal, $a:literal, $b:literal) => {
        concat!(
            "ldrd r10, r11, [r0, #{added}+",
            $rows,
            "]
            ldrh r10, [r10, r1]
            ldrh r11, [r11, r1]
            lsrs r12, r10, #8
            uxtb r10, r10
            lsrs lr, r11, #8
            uxtb r11, r11
            vmov ",
            $a,
            ", r10, r12\n vmov ",
            $b,
            ", r11, lr\n"
        )
    };
}

/// Two pixels' reals, rounded and saturated, in the bytes of r10 and r12.
macro_rules! pack {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "vcvtr.s32.f32 ",
            $a,
            ", ",
            $a,
            "\n vcvtr.s32.f32 ",
            $b,
            ", ",
            $b,
            "\n",
            "vcvtr.s32.f32 ",
            $c,
            ", ",
            $c,
            "\n vcvtr.s32.f32 ",
            $d,
            ", ",
            $d,
            "\n",
            "vmov r10, r11, ",
            $a,
            ", ",
            $b,
            "\n vmov r12, lr, ",
            $c,
            ", ",
            $d,
            "
            usat r10, #8, r10
            usat r11, #8, r11
            usat r12, #8, r12
            usat lr, #8, lr
            orr r10, r10, r11, lsl #8
            orr r12, r12, lr, lsl #8\n"
        )
    };
}

/// Codes between the bounds, to two rows.
macro_rules! between {
    ($a:literal, $b:literal) => {
        concat!(
            "pkhbt r10, r10, r12, lsl #16
            ldrd r12, lr, [r0, #{bounds}]\n",
            clamp!("r10", "r11", "r12", "lr"),
            "\n strh r10, [",
            $a,
            "], #2\n lsrs r10, r10, #16\n strh r10, [",
            $b,
            "], #2\n"
        )
    };
}

/// To the next pair of outputs, if there is one.
macro_rules! next {
    () => {
        "adds r4, #8
        subs r5, #1
        stm r0, {{r2-r9}}
        mov r1, r4
        bne 1b
        b 9f\n"
    };
}

/// Sums of four pixels, two outputs at a time, and what becomes of them.
///
/// # Safety
/// The job's pointers reach its `quads` and pairs, neither 0: `x` that many [`QUAD`]s, `w` packed weights (aligned) that have
/// these pairs of outputs from there, `start` and `sums` eight sums a pair, the rest two channels a pair.
#[unsafe(naked)]
pub unsafe extern "C" fn run(job: &mut Job) {
    naked_asm!(
        processor!(dsp),
        "push {{r4-r11, lr}}
        vpush {{s16-s17}}
        ldrd r1, r2, [r0, #{x}]
        add r5, r1, r2, lsl #5
        ands r2, r2, #7
        it eq
        moveq r2, #8
        movs r3, #104
        adr.w r6, 3f
        mls r6, r2, r3, r6
        adds r6, #1
        ldr r2, [r0, #{then}]
        adr.w r7, 4f
        cmp r2, #1
        blo 8f
        adr.w r7, 5f
        beq 8f
        cmp r2, #2
        adr.w r7, 6f
        beq 8f
        adr.w r7, 7f
        8:
        adds r7, #1
        push {{r0, r5-r7}}
        ldr r1, [r0, #{w}]
        1:
        ldrd r8, r9, [r0, #{start}]
        add r9, r8
        str r9, [r0, #{start}]
        ldr r0, [r0, #{x}]
        ldm r8, {{r2-r7, r12, lr}}
        ldr pc, [sp, #8]
        .p2align 2
        2:",
        four_quads!(),
        four_quads!(),
        "3:
        ldr r8, [sp, #4]
        cmp r0, r8
        blo 2b
        ldr pc, [sp, #12]
        .p2align 2
        4:
        ldr r0, [sp]
        ldr r8, [r0, #{sums}]
        stm r8!, {{r2-r7, r12, lr}}
        str r8, [r0, #{sums}]
        ldrd r1, r2, [r0, #{w}]
        adds r1, #8
        subs r2, #1
        strd r1, r2, [r0, #{w}]
        bne 1b
        b 9f
        .p2align 2
        5:",
        reals!(),
        products!("s32"),
        pack!("s10", "s11", "s12", "s13"),
        "strh r10, [r6], #2
        strh r12, [r7], #2",
        pack!("s14", "s15", "s16", "s17"),
        "strh r10, [r8], #2
        strh r12, [r9], #2",
        next!(),
        ".p2align 2
        7:",
        reals!(),
        products!("s32"),
        "ldrd r10, r1, [r0, #{r}]
        vldmia r10!, {{s8-s9}}
        add r11, r1, #2
        strd r10, r11, [r0, #{r}]",
        second!("0", "s0, s1", "s2, s3"),
        second!("8", "s4, s5", "s6, s7"),
        products!("u32"),
        "b 8f
        .p2align 2
        6:",
        reals!(),
        products!("s32"),
        "8:",
        pack!("s10", "s11", "s12", "s13"),
        between!("r6", "r7"),
        pack!("s14", "s15", "s16", "s17"),
        between!("r8", "r9"),
        next!(),
        "9:
        ldrd r2, r3, [r0, #{left}]
        cbz r2, 8f
        ldr r1, [r0, #{w}]
        add r1, r3
        movs r4, #8
        cmp r2, r4
        it lo
        movlo r4, r2
        subs r2, r4
        strd r1, r4, [r0, #{w}]
        str r2, [r0, #{left}]
        b 1b
        8:
        add sp, #16
        vpop {{s16-s17}}
        pop {{r4-r11, pc}}",
        left = const offset_of!(Job, left),
        x = const offset_of!(Job, x),
        w = const offset_of!(Job, w),
        then = const offset_of!(Job, then),
        start = const offset_of!(Job, start),
        sums = const offset_of!(Job, sums),
        bounds = const offset_of!(Job, bounds),
        r = const offset_of!(Job, r),
        added = const offset_of!(Job, added),
    )
}

/// Four offsets at `$list`, which moves on, from `$base` on, to r12.
macro_rules! place {
    ($list:literal, $base:literal) => {
        concat!(
            "ldm ",
            $list,
            "!, {{r7-r10}}
            add r7, ",
            $base,
            "\n add r8, ",
            $base,
            "\n add r9, ",
            $base,
            "\n add r10, ",
            $base,
            "
            stm r12, {{r7-r10}}\n"
        )
    };
}

/// To the next four rows.
///
/// # Safety
/// There are offsets of four rows.
#[unsafe(naked)]
pub unsafe extern "C" fn next(job: &mut Job) {
    naked_asm!(
        processor!(dsp),
        "push {{r4-r10, lr}}
        add r12, r0, #{rows}
        ldm r12, {{r1-r6}}
        add r12, r0, #{pixels}",
        place!("r1", "r4"),
        "add r12, r0, #{out}",
        place!("r2", "r5"),
        "add r12, r0, #{added}",
        place!("r3", "r6"),
        "add r12, r0, #{rows}
        stm r12, {{r1-r3}}
        pop {{r4-r10, pc}}",
        rows = const offset_of!(Job, rows),
        pixels = const offset_of!(Job, pixels),
        out = const offset_of!(Job, out),
        added = const offset_of!(Job, added),
    )
}

/// Widens `n` quads at each of `count` offsets from each pixel's first tap to `to`; returns where they end there.
///
/// # Safety
/// The quads are readable, `to` takes as many [`QUAD`]s; neither `count` nor `n` is 0.
#[unsafe(naked)]
pub unsafe extern "C" fn widen(job: &Job, offsets: *const u32, count: usize, n: usize, to: *mut u32) -> *mut u32 {
    naked_asm!(
        processor!(dsp),
        "push {{r0-r11, lr}}
        ldr lr, [sp, #52]
        1:
        ldr r12, [sp, #12]
        ldr r5, [r1], #4
        str r1, [sp, #4]
        add r4, r0, #{pixels}
        ldm r4, {{r0-r3}}
        add r0, r5
        add r1, r5
        add r2, r5
        add r3, r5
        tst r12, #1
        beq 2f
        add r12, #1
        b 3f
        2:",
        widen!(),
        "3:",
        widen!(),
        "subs r12, #2
        bne 2b
        ldm sp, {{r0-r2}}
        subs r2, #1
        str r2, [sp, #8]
        bne 1b
        mov r0, lr
        add sp, #16
        pop {{r4-r11, pc}}",
        pixels = const offset_of!(Job, pixels),
    )
}
