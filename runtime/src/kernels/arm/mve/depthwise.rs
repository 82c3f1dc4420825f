//! Depthwise convolution: 16 channels at a time, or up to 8, through all rows.
//!
//! Activations and weights are widened to 16 bits as they are loaded, and multiplied to 32 bits: even channels, then odd
//! ones. Weights are put in order once for all rows: of each tap those of 16 channels, which is what a load that
//! separates every fourth byte makes of a quad. Results are joined again as pairs of bytes.

use core::arch::naked_asm;
use core::mem::{MaybeUninit, offset_of};

use super::super::super::scalar;
use super::finish::{bound, through_table};
use super::readable;
use crate::kernels::DepthwiseTile;

/// Most quads of taps whose weights are put in order.
const QUADS: usize = 13;

/// Up to 16 channels of several rows.
#[repr(C)]
struct Job {
    segments: *const u32,
    taps: usize,
    /// `[taps][16]`.
    weights: *const i8,
    rows_in: *const u32,
    rows_end: *const u32,
    rows_out: *const u32,
    input: *const u8,
    output: *mut u8,
    m: *const f32,
    b: *const f32,
    lo: i32,
    hi: i32,
    channels: usize,
}

pub unsafe fn depthwise(t: &DepthwiseTile) {
    let simple = !t.real && t.residual.is_none() && t.quads <= QUADS && t.segments.len() <= 4 * t.quads;
    if !simple || t.segments.is_empty() || t.rows_in.is_empty() || !readable(t, t.oc.div_ceil(16) * t.quads * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.depthwise)(t) };
    }
    let mut weights = [const { MaybeUninit::<i8>::uninit() }; 64 * QUADS];
    let rows = t.rows_in.as_ptr_range();
    let mut job = Job {
        segments: t.segments.as_ptr(),
        taps: t.segments.len(),
        weights: weights.as_ptr().cast(),
        rows_in: rows.start,
        rows_end: rows.end,
        rows_out: t.rows_out.as_ptr(),
        input: t.input,
        output: t.output,
        m: t.m.as_ptr(),
        b: t.b.as_ptr(),
        lo: bound(t.lo),
        hi: bound(t.hi),
        channels: 8,
    };
    for at in (0..t.oc).step_by(8) {
        // SAFETY: a block of weights, channels of the tile's arrays and rows. Loads end less than 16 bytes behind a pixel.
        unsafe {
            if at % 16 == 0 {
                put_in_order(t.weights.as_ptr().add(at / 16 * t.quads * 64), weights.as_mut_ptr().cast(), t.quads);
            }
            job.weights = weights.as_ptr().cast::<i8>().add(at % 16);
            job.channels = t.oc - at;
            if at % 16 == 0 && job.channels >= 16 {
                if job.taps == 9 { rows_of_16_nine(&job) } else { rows_of_16(&job) }
            } else if at % 16 == 0 || t.oc - (at - 8) < 16 {
                rows_of_8(&job);
            }
        }
        job.input = job.input.wrapping_add(8);
        job.output = job.output.wrapping_add(8);
        (job.m, job.b) = (job.m.wrapping_add(8), job.b.wrapping_add(8));
    }
    // SAFETY: all rows are written.
    unsafe { through_table(t) };
}

/// From `[quad][16][4]` to `[tap][16]`.
///
/// # Safety
/// Both hold `quads`, not 0.
#[unsafe(naked)]
unsafe extern "C" fn put_in_order(from: *const i8, to: *mut i8, quads: usize) {
    naked_asm!(
        "push {{r4, lr}}
        dls lr, r2
        1:
        vld40.8 {{q0, q1, q2, q3}}, [r0]
        vld41.8 {{q0, q1, q2, q3}}, [r0]
        vld42.8 {{q0, q1, q2, q3}}, [r0]
        vld43.8 {{q0, q1, q2, q3}}, [r0]!
        vstrb.8 q0, [r1], #16
        vstrb.8 q1, [r1], #16
        vstrb.8 q2, [r1], #16
        vstrb.8 q3, [r1], #16
        le lr, 1b
        pop {{r4, pc}}",
    )
}

/// Sums of eight channels into `$even` and `$odd`: activations at `$x` bytes from r1, weights at `$w` from r2, which moves `$step`.
macro_rules! tap {
    ($even:literal, $odd:literal, $x:literal, $w:literal) => {
        concat!(
            "vldrb.u16 q4, [r1, #",
            $x,
            "]\n vldrb.s16 q5, ",
            $w,
            "\n",
            "vmullb.s16 q6, q4, q5\n vmullt.s16 q5, q4, q5\n",
            "vadd.i32 ",
            $even,
            ", ",
            $even,
            ", q6\n vadd.i32 ",
            $odd,
            ", ",
            $odd,
            ", q5\n"
        )
    };
}

/// Eight channels' sums to codes; multipliers and offsets at r3 and r4, which move on, bounds in q6 and q7.
macro_rules! codes {
    ($even:literal, $odd:literal) => {
        concat!(
            "vcvt.f32.s32 ",
            $even,
            ", ",
            $even,
            "\n vcvt.f32.s32 ",
            $odd,
            ", ",
            $odd,
            "\n",
            "vld20.32 {{q4, q5}}, [r3]\n vld21.32 {{q4, q5}}, [r3]!\n",
            "vmul.f32 ",
            $even,
            ", ",
            $even,
            ", q4\n vmul.f32 ",
            $odd,
            ", ",
            $odd,
            ", q5\n",
            "vld20.32 {{q4, q5}}, [r4]\n vld21.32 {{q4, q5}}, [r4]!\n",
            "vadd.f32 ",
            $even,
            ", ",
            $even,
            ", q4\n vadd.f32 ",
            $odd,
            ", ",
            $odd,
            ", q5\n",
            "vcvtn.s32.f32 ",
            $even,
            ", ",
            $even,
            "\n vcvtn.s32.f32 ",
            $odd,
            ", ",
            $odd,
            "\n",
            "vmax.s32 ",
            $even,
            ", ",
            $even,
            ", q6\n vmax.s32 ",
            $odd,
            ", ",
            $odd,
            ", q6\n",
            "vmin.s32 ",
            $even,
            ", ",
            $even,
            ", q7\n vmin.s32 ",
            $odd,
            ", ",
            $odd,
            ", q7\n",
            "vsli.32 ",
            $even,
            ", ",
            $odd,
            ", #16\n"
        )
    };
}

macro_rules! rows_of {
    ($name:ident, $taps:expr, $finish:expr) => {
        /// The job's channels in all rows.
        ///
        /// # Safety
        /// The job's pointers reach what it says; it has rows and the taps meant here.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: &Job) {
            naked_asm!(
                "push {{r4-r11, lr}}
                vpush {{d8-d15}}
                ldrd r5, r6, [r0, #{rows_in}]
                ldr r7, [r0, #{rows_out}]
                ldrd r8, r9, [r0, #{input}]
                ldr r3, [r0, #{hi}]
                vdup.32 q7, r3
                1:
                ldr r10, [r5], #4
                add r10, r8
                ldrd r11, r3, [r0, #{segments}]
                ldr r2, [r0, #{weights}]",
                $taps,
                "ldrd r3, r4, [r0, #{m}]
                ldr r1, [r0, #{lo}]
                vdup.32 q6, r1
                ldr r1, [r7], #4
                add r1, r9",
                $finish,
                "cmp r5, r6
                bne 1b
                vpop {{d8-d15}}
                pop {{r4-r11, pc}}",
                segments = const offset_of!(Job, segments),
                weights = const offset_of!(Job, weights),
                rows_in = const offset_of!(Job, rows_in),
                rows_out = const offset_of!(Job, rows_out),
                input = const offset_of!(Job, input),
                m = const offset_of!(Job, m),
                lo = const offset_of!(Job, lo),
                hi = const offset_of!(Job, hi),
            )
        }
    };
}

/// Any number of taps, r3 of them; their places at r11, counted from r10.
macro_rules! taps {
    ($zero:expr, $tap:expr) => {
        concat!($zero, "dls lr, r3\n 2:\n ldr r1, [r11], #4\n add r1, r10\n", $tap, "le lr, 2b")
    };
}

/// The first tap of eight channels, as [`tap`]: there are no sums yet.
macro_rules! first_tap {
    ($even:literal, $odd:literal, $x:literal) => {
        concat!(
            "vldrb.u16 q4, [r1, #",
            $x,
            "]\n vldrb.s16 q5, [r2], #8\n",
            "vmullb.s16 ",
            $even,
            ", q4, q5\n vmullt.s16 ",
            $odd,
            ", q4, q5\n"
        )
    };
}

/// One tap of 16 channels.
macro_rules! tap_of_16 {
    () => {
        concat!(tap!("q0", "q1", "0", "[r2], #8"), tap!("q2", "q3", "8", "[r2], #8"))
    };
}

/// Two taps of 16 channels.
macro_rules! two_taps_of_16 {
    () => {
        concat!("ldrd r1, r3, [r11], #8\n add r1, r10\n", tap_of_16!(), "add r1, r3, r10\n", tap_of_16!())
    };
}

/// Nine taps of 16 channels.
macro_rules! nine_taps_of_16 {
    () => {
        concat!(
            "ldr r1, [r11], #4\n add r1, r10\n",
            first_tap!("q0", "q1", "0"),
            first_tap!("q2", "q3", "8"),
            two_taps_of_16!(),
            two_taps_of_16!(),
            two_taps_of_16!(),
            two_taps_of_16!()
        )
    };
}

macro_rules! finish_16 {
    () => {
        concat!(codes!("q0", "q1"), "vstrb.16 q0, [r1], #8\n", codes!("q2", "q3"), "vstrb.16 q2, [r1]")
    };
}

rows_of!(rows_of_16_nine, nine_taps_of_16!(), finish_16!());
rows_of!(
    rows_of_16,
    taps!("vmov.i32 q0, #0\n vmov.i32 q1, #0\n vmov.i32 q2, #0\n vmov.i32 q3, #0\n", tap_of_16!()),
    finish_16!()
);
rows_of!(
    rows_of_8,
    taps!("vmov.i32 q0, #0\n vmov.i32 q1, #0\n", tap!("q0", "q1", "0", "[r2], #16")),
    concat!(codes!("q0", "q1"), "ldr r3, [r0, #48]\n vctp.16 r3\n vpst\n vstrbt.16 q0, [r1]")
);

// The loops read neighbouring fields in pairs, and the last by number.
const _: () = assert!(offset_of!(Job, taps) == offset_of!(Job, segments) + 4);
const _: () = assert!(offset_of!(Job, rows_end) == offset_of!(Job, rows_in) + 4);
const _: () = assert!(offset_of!(Job, output) == offset_of!(Job, input) + 4);
const _: () = assert!(offset_of!(Job, b) == offset_of!(Job, m) + 4);
const _: () = assert!(offset_of!(Job, channels) == 48);
