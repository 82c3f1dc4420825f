//! Depthwise convolution: four channels at a time through all rows.
//!
//! The weights of four channels are widened once, into a table of [`Entry`]s, each of two taps: 0 and 2, or 1 and 3 of a quad,
//! which is how weights widen; where there is no second one, of a single tap. Two taps are then a load of their entry, two loads of
//! four activations, six instructions to widen these in pairs of taps, and four double products.

use core::arch::naked_asm;
use core::mem::{MaybeUninit, offset_of};

use super::super::super::scalar::{self, finish};
use super::finish::{Bounds, clamp, pack, scale, through_table};
use super::readable;
use crate::kernels::{ConvLayer, DepthwiseTile};

/// Most entries of a table: those of 25 taps.
const ENTRIES: usize = 13;

/// Where two taps lie, and of each of four channels both weights.
type Entry = [u32; 6];

/// Four channels of several rows.
#[repr(C)]
struct Job {
    /// Entries of two taps, then of single ones.
    table: *const Entry,
    input: *const u8,
    b: *const f32,
    output: *mut u8,
    bounds: Bounds,
    /// Entries of either kind.
    pairs: usize,
    single: usize,
    /// Bytes from the entry of `rows_in` behind a row to the one of `rows_out` of it.
    to_out: usize,
    rows_end: *const u32,
    rows_in: *const u32,
    m: *const f32,
}

pub unsafe fn depthwise(t: &DepthwiseTile) {
    let fours = t.oc / 4;
    let taps = t.segments.len();
    let (quads, last) = (taps / 4, taps % 4);
    let (pairs, single) = (2 * quads + last / 3, [0, 1, 2, 1][last]);
    let simple = !t.real && t.residual.is_none() && pairs + single <= ENTRIES && taps <= 4 * t.quads;
    if !simple || taps == 0 || t.rows_in.is_empty() || !readable(t, t.oc.div_ceil(16) * t.quads * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.depthwise)(t) };
    }
    let mut table = [const { MaybeUninit::<Entry>::uninit() }; ENTRIES];
    let rows = t.rows_in.as_ptr_range();
    let mut job = Job {
        table: table.as_ptr().cast(),
        input: t.input,
        b: t.b.as_ptr(),
        output: t.output,
        bounds: Bounds::new(t),
        pairs,
        single,
        to_out: (t.rows_out.as_ptr() as usize).wrapping_sub(rows.start as usize).wrapping_sub(4),
        rows_end: rows.end,
        rows_in: rows.start,
        m: t.m.as_ptr(),
    };
    let rows_of_four = match (taps, job.bounds.whole()) {
        (9, true) => rows_of_four_nine_whole,
        (9, false) => rows_of_four_nine,
        _ => rows_of_four,
    };
    for four in 0..fours {
        let at = 4 * four;
        let weights = t.weights.as_ptr().wrapping_add(at / 16 * t.quads * 64 + at % 16 * 4);
        // SAFETY: weights of four channels inside a whole block; four channels of the tile's arrays and rows; the table has room for its taps.
        unsafe {
            put_in_order(weights, t.segments.as_ptr(), table.as_mut_ptr().cast(), taps);
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

/// The last one to three channels.
///
/// # Safety
/// The tile is valid, its weights readable, `oc - at < 4`.
unsafe fn rest(t: &DepthwiseTile, at: usize) {
    let weights = &t.weights[at / 16 * t.quads * 64 + at % 16 * 4..];
    let layer = ConvLayer { table: None, ..*t.layer };
    let plain = DepthwiseTile { layer: &layer, residual: None, ..*t };
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

/// The next entry, its weights in r8..r11; the activations of its taps: those of channels 0 and 1 in r12, of the former widened in
/// r2, those of channels 2 and 3 in r3.
macro_rules! load {
    () => {
        "ldm r0!, {{r2, r3, r8-r11}}
        ldr r2, [r1, r2]
        ldr r3, [r1, r3]
        pkhbt r12, r2, r3, lsl #16
        pkhtb r3, r3, r2, asr #16
        uxtb16 r2, r12\n"
    };
}

/// The first two taps, as [`pair`]: there are no sums yet.
macro_rules! first_pair {
    () => {
        concat!(
            load!(),
            "smuad r4, r2, r8
            uxtb16 r12, r12, ror #8
            smuad r5, r12, r9
            uxtb16 r2, r3
            smuad r6, r2, r10
            uxtb16 r3, r3, ror #8
            smuad r7, r3, r11\n"
        )
    };
}

/// Two taps: products of four channels into r4..r7.
macro_rules! pair {
    () => {
        concat!(
            load!(),
            "smlad r4, r2, r8, r4
            uxtb16 r12, r12, ror #8
            smlad r5, r12, r9, r5
            uxtb16 r2, r3
            smlad r6, r2, r10, r6
            uxtb16 r3, r3, ror #8
            smlad r7, r3, r11, r7\n"
        )
    };
}

/// A single tap.
macro_rules! single {
    () => {
        "ldm r0!, {{r2, r3, r8-r11}}
        ldr r2, [r1, r2]
        uxtb16 r3, r2
        uxtb16 r2, r2, ror #8
        smlabb r4, r3, r8, r4
        smlabb r5, r2, r9, r5
        smlatb r6, r3, r10, r6
        smlatb r7, r2, r11, r7\n"
    };
}

/// Makes the table of `taps` taps. An entry of a single tap has a second one without meaning.
///
/// # Safety
/// The weights are aligned and have whole quads of taps; there are `taps` segments, not 0, and entries for them.
#[unsafe(naked)]
unsafe extern "C" fn put_in_order(weights: *const i8, segments: *const u32, table: *mut Entry, taps: usize) {
    naked_asm!(
        processor!(dsp),
        "push {{r4-r11, lr}}
        1:
        ldm r0, {{r4-r7}}
        adds r0, #64
        sxtb16 r8, r4, ror #8
        sxtb16 r9, r5, ror #8
        sxtb16 r10, r6, ror #8
        sxtb16 r11, r7, ror #8
        sxtb16 r4, r4
        sxtb16 r5, r5
        sxtb16 r6, r6
        sxtb16 r7, r7
        ldr r12, [r1]
        cmp r3, #2
        it hi
        ldrhi lr, [r1, #8]
        strd r12, lr, [r2], #8
        stm r2!, {{r4-r7}}
        blo 2f
        ldr r12, [r1, #4]
        cmp r3, #4
        it hs
        ldrhs lr, [r1, #12]
        strd r12, lr, [r2], #8
        stm r2!, {{r8-r11}}
        adds r1, #16
        subs r3, #4
        bhi 1b
        2:
        pop {{r4-r11, pc}}",
    )
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
        processor!(dsp),
        "push {{r0, r4-r11, lr}}
        ldr r3, [r0, #{m}]
        vldmia r3, {{s4-s7}}
        ldr lr, [r0, #{rows_in}]
        1:
        ldrd r0, r1, [r0]
        ldr r2, [lr], #4
        add r1, r2",
        $taps,
        "ldr r0, [sp]
        vmov s0, s1, r4, r5
        vmov s2, s3, r6, r7
        ldrd r2, r3, [r0, #{b}]
        vldmia r2, {{s8-s11}}",
        scale!(),
        pack!(),
        $clamp,
        "ldrd r8, r9, [r0, #{to_out}]
        ldr r8, [lr, r8]
        str r4, [r3, r8]
        cmp lr, r9
        bne 1b
        pop {{r0, r4-r11, pc}}",
        m = const offset_of!(Job, m),
        b = const offset_of!(Job, b),
        rows_in = const offset_of!(Job, rows_in),
        to_out = const offset_of!(Job, to_out),
    )
}
    };
}

/// Any number of taps.
macro_rules! taps {
    () => {
        concat!(
            "ldr r12, [sp]
            ldrd r2, r3, [r12, #24]
            movs r4, #0
            movs r5, #0
            movs r6, #0
            movs r7, #0
            push {{r2, r3}}
            cbz r2, 3f
            2:\n",
            pair!(),
            "ldr r2, [sp]
            subs r2, #1
            str r2, [sp]
            bne 2b
            3:
            ldr r2, [sp, #4]
            cbz r2, 5f
            4:\n",
            single!(),
            "ldr r2, [sp, #4]
            subs r2, #1
            str r2, [sp, #4]
            bne 4b
            5:
            add sp, #8"
        )
    };
}

/// Nine taps.
macro_rules! nine_taps {
    () => {
        concat!(first_pair!(), pair!(), pair!(), pair!(), single!())
    };
}

/// The codes between the bounds; those of all codes need nothing.
macro_rules! between {
    () => {
        concat!("ldrd r8, r9, [r0, #16]\n", clamp!("r8", "r9"))
    };
}

// The loops read neighbouring fields in pairs, and some by number.
const _: () = assert!(offset_of!(Job, output) == offset_of!(Job, b) + 4 && offset_of!(Job, rows_end) == offset_of!(Job, to_out) + 4);
const _: () = assert!(offset_of!(Job, bounds) == 16 && offset_of!(Job, pairs) == 24 && offset_of!(Job, single) == 28);

rows_of_four!(rows_of_four, taps!(), between!());
rows_of_four!(rows_of_four_nine, nine_taps!(), between!());
rows_of_four!(rows_of_four_nine_whole, nine_taps!(), "");
