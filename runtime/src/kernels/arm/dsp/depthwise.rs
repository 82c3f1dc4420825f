//! Depthwise convolution: four channels at a time through all rows.
//!
//! The weights of four channels are widened once, into a table of three words a tap: where it lies, the weights of
//! channels 0 and 2, those of channels 1 and 3. A tap is then a load of its entry, a load of four activations, two
//! instructions to widen and four products.

use core::arch::naked_asm;
use core::mem::{MaybeUninit, offset_of};

use super::super::super::scalar::{self, finish};
use super::finish::{Bounds, clamp, pack, scale, through_table};
use super::readable;
use crate::kernels::DepthwiseTile;

/// Most taps of a table.
const TAPS: usize = 25;

/// Four channels of several rows.
#[repr(C)]
struct Job {
    /// `[taps][3]`.
    table: *const u32,
    taps: usize,
    bounds: Bounds,
    /// Bytes from an entry of `rows_in` to the one of `rows_out` before it.
    to_out: usize,
    output: *mut u8,
    rows_in: *const u32,
    rows_end: *const u32,
    input: *const u8,
    m: *const f32,
    b: *const f32,
}

pub unsafe fn depthwise(t: &DepthwiseTile) {
    let fours = t.oc / 4;
    let simple = !t.real && t.residual.is_none() && t.segments.len() <= TAPS.min(4 * t.quads);
    if !simple || t.segments.is_empty() || t.rows_in.is_empty() || !readable(t, t.oc.div_ceil(16) * t.quads * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.depthwise)(t) };
    }
    let mut table = [const { MaybeUninit::<[u32; 3]>::uninit() }; TAPS];
    let rows = t.rows_in.as_ptr_range();
    let mut job = Job {
        table: table.as_ptr().cast(),
        taps: t.segments.len(),
        bounds: Bounds::new(t),
        to_out: (t.rows_out.as_ptr() as usize).wrapping_sub(rows.start as usize).wrapping_sub(4),
        output: t.output,
        rows_in: rows.start,
        rows_end: rows.end,
        input: t.input,
        m: t.m.as_ptr(),
        b: t.b.as_ptr(),
    };
    let rows_of_four = match (t.segments.len(), job.bounds.whole()) {
        (9, true) => rows_of_four_nine_whole,
        (9, false) => rows_of_four_nine,
        _ => rows_of_four,
    };
    for four in 0..fours {
        let at = 4 * four;
        let weights = t.weights.as_ptr().wrapping_add(at / 16 * t.quads * 64 + at % 16 * 4);
        // SAFETY: weights of four channels inside a whole block; four channels of the tile's arrays and rows; the table has room for its taps.
        unsafe {
            put_in_order(weights, t.segments.as_ptr(), table.as_mut_ptr().cast(), job.taps);
            rows_of_four(&job);
        }
        job.input = job.input.wrapping_add(4);
        job.output = job.output.wrapping_add(4);
        (job.m, job.b) = (job.m.wrapping_add(4), job.b.wrapping_add(4));
    }
    if !t.oc.is_multiple_of(4) {
        // SAFETY: the caller's.
        unsafe { rest(t, 4 * fours) };
    }
    // SAFETY: all rows are written.
    unsafe { through_table(t) };
}

/// Makes the table of `taps` taps.
///
/// # Safety
/// The weights are aligned and have whole quads of taps; there are `taps` segments and entries, not 0.
#[unsafe(naked)]
unsafe extern "C" fn put_in_order(weights: *const i8, segments: *const u32, table: *mut u32, taps: usize) {
    naked_asm!(
        "push {{r4-r11, lr}}
        1:
        ldm r0, {{r4-r7}}
        adds r0, #64
        sxtb16 r8, r4
        sxtb16 r4, r4, ror #8
        sxtb16 r9, r6
        sxtb16 r6, r6, ror #8
        pkhbt r10, r8, r9, lsl #16
        pkhtb r8, r9, r8, asr #16
        pkhbt r11, r4, r6, lsl #16
        pkhtb r4, r6, r4, asr #16
        sxtb16 r6, r5
        sxtb16 r5, r5, ror #8
        sxtb16 r9, r7
        sxtb16 r7, r7, ror #8
        pkhbt r12, r6, r9, lsl #16
        pkhtb r6, r9, r6, asr #16
        pkhbt lr, r5, r7, lsl #16
        pkhtb r5, r7, r5, asr #16
        ldr r9, [r1], #4
        stm r2!, {{r9, r10, r12}}
        subs r3, #1
        beq 2f
        ldr r9, [r1], #4
        stm r2!, {{r9, r11, lr}}
        subs r3, #1
        beq 2f
        ldr r9, [r1], #4
        strd r9, r8, [r2], #8
        str r6, [r2], #4
        subs r3, #1
        beq 2f
        ldr r9, [r1], #4
        strd r9, r4, [r2], #8
        str r5, [r2], #4
        subs r3, #1
        bne 1b
        2:
        pop {{r4-r11, pc}}",
    )
}

/// The last one to three channels.
///
/// # Safety
/// The tile is valid, its weights readable, `oc - at < 4`.
unsafe fn rest(t: &DepthwiseTile, at: usize) {
    let weights = &t.weights[at / 16 * t.quads * 64 + at % 16 * 4..];
    let plain = DepthwiseTile { table: None, residual: None, ..*t };
    for (i, &row) in t.rows_in.iter().enumerate() {
        let mut acc = [0i32; 4];
        let acc = &mut acc[..t.oc - at];
        for (tap, &segment) in t.segments.iter().enumerate() {
            for (k, acc) in acc.iter_mut().enumerate() {
                // SAFETY: readable by the validity of the tile.
                let x = unsafe { *t.input.add(row as usize + segment as usize + at + k) };
                *acc = acc.wrapping_add(x as i32 * weights[tap / 4 * 64 + 4 * k + tap % 4] as i32);
            }
        }
        // SAFETY: the channels end with the row.
        unsafe { finish(&plain, i, at, acc) };
    }
}

/// The first tap, as [`tap`]: there are no sums yet.
macro_rules! first_tap {
    () => {
        "ldm r0!, {{r8, r9, r10}}
        ldr r11, [r1, r8]
        uxtb16 r8, r11
        uxtb16 r11, r11, ror #8
        smulbb r4, r8, r9
        smultt r6, r8, r9
        smulbb r5, r11, r10
        smultt r7, r11, r10\n"
    };
}

/// One tap: products of channels 0 and 2, then 1 and 3, into r4..r7.
macro_rules! tap {
    () => {
        "ldm r0!, {{r8, r9, r10}}
        ldr r11, [r1, r8]
        uxtb16 r8, r11
        uxtb16 r11, r11, ror #8
        smlabb r4, r8, r9, r4
        smlatt r6, r8, r9, r6
        smlabb r5, r11, r10, r5
        smlatt r7, r11, r10, r7\n"
    };
}

macro_rules! rows_of_four {
    ($name:ident, $taps:expr, $clamp:expr) => {
/// Four channels of all rows.
///
/// # Safety
/// The job's pointers reach what it says; it has rows and the taps meant here.
#[unsafe(naked)]
unsafe extern "C" fn $name(job: &Job) {
    naked_asm!(
        "push {{r0, r4-r11, lr}}
        ldr r3, [r0, #{m}]
        vldmia r3, {{s4-s7}}
        ldr r3, [r0, #{b}]
        ldr r12, [r0, #{rows_in}]
        ldr lr, [r0, #{input}]
        1:
        ldr r10, [sp]
        ldrd r0, r2, [r10]
        ldr r1, [r12], #4
        add r1, lr",
        $taps,
        "vmov s0, s1, r4, r5
        vmov s2, s3, r6, r7
        vldmia r3, {{s8-s11}}",
        scale!(),
        pack!(),
        "ldr r0, [sp]",
        $clamp,
        "ldrd r8, r9, [r0, #{to_out}]
        ldr r8, [r12, r8]
        str r4, [r9, r8]
        ldr r8, [r0, #{rows_end}]
        cmp r12, r8
        bne 1b
        pop {{r0, r4-r11, pc}}",
        m = const offset_of!(Job, m),
        b = const offset_of!(Job, b),
        rows_in = const offset_of!(Job, rows_in),
        rows_end = const offset_of!(Job, rows_end),
        input = const offset_of!(Job, input),
        to_out = const offset_of!(Job, to_out),
    )
}
    };
}

/// Any number of taps.
macro_rules! taps {
    () => {
        concat!(
            "movs r4, #0
            movs r5, #0
            movs r6, #0
            movs r7, #0
            subs r2, #3
            blt 3f
            2:\n",
            tap!(),
            tap!(),
            tap!(),
            "subs r2, #3
            bge 2b
            3:
            adds r2, #3
            beq 5f
            4:\n",
            tap!(),
            "subs r2, #1
            bne 4b
            5:"
        )
    };
}

/// Nine taps.
macro_rules! nine_taps {
    () => {
        concat!(first_tap!(), tap!(), tap!(), tap!(), tap!(), tap!(), tap!(), tap!(), tap!())
    };
}

/// The codes between the bounds; those of all codes need nothing.
macro_rules! between {
    () => {
        concat!("ldrd r8, r9, [r0, #8]\n", clamp!("r8", "r9"))
    };
}

const _: () = assert!(offset_of!(Job, bounds) == 8);

rows_of_four!(rows_of_four, taps!(), between!());
rows_of_four!(rows_of_four_nine, nine_taps!(), between!());
rows_of_four!(rows_of_four_nine_whole, nine_taps!(), "");
