//! Depthwise convolution: 16 channels at a time, or up to 8, through all rows.
//!
//! Activations and weights are widened to 16 bits as they are loaded, and multiplied to 32 bits: even channels, then odd
//! ones. Weights are put in order once for all rows: of each tap those of 16 channels, which is what a load that
//! separates every fourth byte makes of a quad. Results are joined again as pairs of bytes.
//!
//! Windows of 3 x 3 with codes from 0 on, the usual ones, have loops of their own, without a list of taps: 16 channels of a row, or up to
//! 8 of two rows, which share their weights.

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
    /// Of a window of 3 x 3: bytes from tap to tap, and from the last of a line to the first of the next.
    steps: [u32; 2],
}

impl Job {
    /// To the channels behind the next `n`.
    fn forward(&mut self, n: usize) {
        self.input = self.input.wrapping_add(n);
        self.output = self.output.wrapping_add(n);
        self.weights = self.weights.wrapping_add(n);
        (self.m, self.b) = (self.m.wrapping_add(n), self.b.wrapping_add(n));
        self.channels = self.channels.saturating_sub(n);
    }

    /// Up to 8 channels of all rows.
    ///
    /// # Safety
    /// As for [`rows_of_8`], or, if it is a `window`, [`twos`](Self::twos).
    unsafe fn up_to_8(&mut self, window: bool) {
        // SAFETY: the caller's.
        unsafe { if window { self.twos() } else { rows_of_8(self) } }
    }

    /// All rows by two, the last two again if there is one too many.
    ///
    /// # Safety
    /// As for [`two_rows_of_8`], with two rows or more.
    unsafe fn twos(&mut self) {
        let Self { rows_in, rows_end, rows_out, .. } = *self;
        // SAFETY: pointers into the list of rows.
        let rows = unsafe { rows_end.offset_from(rows_in) } as usize;
        self.rows_end = rows_in.wrapping_add(rows / 2 * 2);
        // SAFETY: an even number of rows.
        unsafe { two_rows_of_8(self) };
        if !rows.is_multiple_of(2) {
            self.rows_end = rows_end;
            (self.rows_in, self.rows_out) = (rows_in.wrapping_add(rows - 2), rows_out.wrapping_add(rows - 2));
            // SAFETY: two rows.
            unsafe { two_rows_of_8(self) };
        }
        (self.rows_in, self.rows_end, self.rows_out) = (rows_in, rows_end, rows_out);
    }
}

/// The steps between nine taps, if there are but two of them, three taps a line.
fn steps(taps: &[u32]) -> Option<[u32; 2]> {
    let [a, b, c, d, e, f, g, h, i] = *taps else { return None };
    let step = |from: u32, to: u32| to.wrapping_sub(from);
    let [right, down] = [step(a, b), step(c, d)];
    let lines = [step(b, c), step(d, e), step(e, f), step(g, h), step(h, i)];
    (lines == [right; 5] && step(f, g) == down).then_some([right, down])
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
        steps: [0; 2],
    };
    let window = if job.lo == 0 && t.rows_in.len() > 1 { steps(t.segments) } else { None };
    if let Some(steps) = window {
        (job.steps, job.input) = (steps, job.input.wrapping_add(t.segments[0] as usize));
    }
    for at in (0..t.oc).step_by(16) {
        (job.weights, job.channels) = (weights.as_ptr().cast(), t.oc - at);
        // SAFETY: a block of weights, channels of the tile's arrays and rows. Loads end less than 16 bytes behind a pixel.
        unsafe {
            put_in_order(t.weights.as_ptr().add(at / 16 * t.quads * 64), weights.as_mut_ptr().cast(), t.quads);
            match window {
                Some([64, _]) if job.channels >= 16 => rows_of_16_nine_at_64(&job),
                Some(_) if job.channels >= 16 => rows_of_16_nine(&job),
                None if job.channels >= 16 => rows_of_16(&job),
                _ => {
                    job.up_to_8(window.is_some());
                    if job.channels > 8 {
                        job.forward(8);
                        job.up_to_8(window.is_some());
                    }
                }
            }
        }
        job.forward(16);
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
        processor!(mve),
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

/// Sums of eight channels into `$even` and `$odd`: activations at `$x`, weights in `$w`, whose register is free then if it is q5.
macro_rules! tap {
    ($even:literal, $odd:literal, $x:literal, $w:expr) => {
        concat!(
            "vldrb.u16 q4, [",
            $x,
            "]\n",
            $w,
            "vmullb.s16 q6, q4, q5\n vmullt.s16 q4, q4, q5\n",
            "vadd.i32 ",
            $even,
            ", ",
            $even,
            ", q6\n vadd.i32 ",
            $odd,
            ", ",
            $odd,
            ", q4\n"
        )
    };
}

/// The first tap: there are no sums yet.
macro_rules! first_tap {
    ($even:literal, $odd:literal, $x:literal, $w:expr) => {
        concat!("vldrb.u16 q4, [", $x, "]\n", $w, "vmullb.s16 ", $even, ", q4, q5\n vmullt.s16 ", $odd, ", q4, q5\n")
    };
}

/// The next weights of eight channels.
macro_rules! weights {
    ($step:literal) => {
        concat!("vldrb.s16 q5, [r2], #", $step, "\n")
    };
}

/// Steps through nine taps: `$right` and `$down` move on, `$tap` does the tap.
macro_rules! window {
    ($first:expr, $tap:expr, $right:expr, $down:expr) => {
        concat!($first, $right, $tap, $right, $tap, $down, $tap, $right, $tap, $right, $tap, $down, $tap, $right, $tap, $right, $tap)
    };
}

/// `$op $even, $even, $a` and the same of `$odd` and `$b`.
macro_rules! both {
    ($op:literal, $even:literal, $odd:literal, $a:literal, $b:literal) => {
        concat!($op, " ", $even, ", ", $even, ", ", $a, "\n", $op, " ", $odd, ", ", $odd, ", ", $b, "\n")
    };
    ($op:literal, $even:literal, $odd:literal) => {
        concat!($op, " ", $even, ", ", $even, "\n", $op, " ", $odd, ", ", $odd, "\n")
    };
}

/// Reals of eight channels at `$from`, which moves on if `$on` is "!", even ones in q4, odd ones in q5.
macro_rules! eight {
    ($from:literal, $on:literal) => {
        concat!("vld20.32 {{q4, q5}}, [", $from, "]\n vld21.32 {{q4, q5}}, [", $from, "]", $on, "\n")
    };
}

/// Eight channels' sums to reals; multipliers and offsets at r3 and r4, which move on.
macro_rules! reals {
    ($even:literal, $odd:literal) => {
        concat!(
            both!("vcvt.f32.s32", $even, $odd),
            eight!("r3", "!"),
            both!("vmul.f32", $even, $odd, "q4", "q5"),
            eight!("r4", "!"),
            both!("vadd.f32", $even, $odd, "q4", "q5")
        )
    };
}

/// Eight channels' reals to codes, with bounds in q6 and q7.
macro_rules! between {
    ($even:literal, $odd:literal) => {
        concat!(
            both!("vcvtn.s32.f32", $even, $odd),
            both!("vmax.s32", $even, $odd, "q6", "q6"),
            both!("vmin.s32", $even, $odd, "q7", "q7"),
            "vsli.32 ",
            $even,
            ", ",
            $odd,
            ", #16\n"
        )
    };
}

/// The same with 0 for the lower bound.
macro_rules! below {
    ($even:literal, $odd:literal) => {
        concat!(both!("vcvtn.u32.f32", $even, $odd), both!("vmin.u32", $even, $odd, "q7", "q7"), "vsli.32 ", $even, ", ", $odd, ", #16\n")
    };
}

/// The lower bound in q6, and where the row's results go in r1.
macro_rules! lower {
    () => {
        "ldr r1, [r0, #{lo}]\n vdup.32 q6, r1\n ldr r1, [r7], #4\n add r1, r9\n"
    };
}

macro_rules! rows_of {
    ($(#[$about:meta])* $name:ident, $set_up:literal, $row:literal, $taps:expr, $finish:expr) => {
        $(#[$about])*
        ///
        /// # Safety
        /// The job's pointers reach what it says; it has rows and the taps meant here.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: &Job) {
            naked_asm!(
                processor!(mve),
                "push {{r4-r11, lr}}
                vpush {{d8-d15}}
                ldrd r5, r6, [r0, #{rows_in}]
                ldr r7, [r0, #{rows_out}]
                ldrd r8, r9, [r0, #{input}]
                ldr r3, [r0, #{hi}]
                vdup.32 q7, r3",
                $set_up,
                "1:
                ldr r2, [r0, #{weights}]",
                $row,
                $taps,
                "ldrd r3, r4, [r0, #{m}]",
                $finish,
                "cmp r5, r6
                bne.w 1b
                vpop {{d8-d15}}
                pop {{r4-r11, pc}}
                // Fields that not all of them read: {segments} {steps} {lo} {channels}",
                segments = const offset_of!(Job, segments),
                weights = const offset_of!(Job, weights),
                rows_in = const offset_of!(Job, rows_in),
                rows_out = const offset_of!(Job, rows_out),
                input = const offset_of!(Job, input),
                m = const offset_of!(Job, m),
                lo = const offset_of!(Job, lo),
                hi = const offset_of!(Job, hi),
                steps = const offset_of!(Job, steps),
                channels = const offset_of!(Job, channels),
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

/// One tap of 16 channels at r1, or at the addresses given.
macro_rules! tap_of_16 {
    () => {
        tap_of_16!("r1", "r1, #8")
    };
    ($a:literal, $b:literal) => {
        concat!(tap!("q0", "q1", $a, weights!("8")), tap!("q2", "q3", $b, weights!("8")))
    };
}

/// The first one.
macro_rules! first_tap_of_16 {
    ($a:literal, $b:literal) => {
        concat!(first_tap!("q0", "q1", $a, weights!("8")), first_tap!("q2", "q3", $b, weights!("8")))
    };
}

/// A line's taps of 16 channels, pixels of 64 bytes, from the middle one.
macro_rules! line {
    ($first:ident) => {
        concat!($first!("r1, #-64", "r1, #-56"), tap_of_16!("r1", "r1, #8"), tap_of_16!("r1, #64", "r1, #72"))
    };
}

rows_of!(
    /// The job's 16 channels in all rows.
    rows_of_16,
    "",
    "ldr r10, [r5], #4
    add r10, r8
    ldrd r11, r3, [r0, #{segments}]",
    taps!("vmov.i32 q0, #0\n vmov.i32 q1, #0\n vmov.i32 q2, #0\n vmov.i32 q3, #0\n", tap_of_16!()),
    concat!(
        lower!(), reals!("q0", "q1"), between!("q0", "q1"), "vstrb.16 q0, [r1], #8\n",
        reals!("q2", "q3"), between!("q2", "q3"), "vstrb.16 q2, [r1]"
    )
);
rows_of!(
    /// The job's up to 8 channels in all rows.
    rows_of_8,
    "",
    "ldr r10, [r5], #4
    add r10, r8
    ldrd r11, r3, [r0, #{segments}]",
    taps!("vmov.i32 q0, #0\n vmov.i32 q1, #0\n", tap!("q0", "q1", "r1", weights!("16"))),
    concat!(
        lower!(), reals!("q0", "q1"), between!("q0", "q1"),
        "ldr r3, [r0, #{channels}]\n vctp.16 r3\n vpst\n vstrbt.16 q0, [r1]"
    )
);
/// Codes of 16 channels to the row's results.
macro_rules! codes_of_16 {
    () => {
        concat!(
            "ldr r1, [r7], #4\n add r1, r9\n",
            reals!("q0", "q1"),
            below!("q0", "q1"),
            "vstrb.16 q0, [r1], #8\n",
            reals!("q2", "q3"),
            below!("q2", "q3"),
            "vstrb.16 q2, [r1]"
        )
    };
}

rows_of!(
    /// The job's 16 channels in all rows, windows of 3 x 3, codes from 0 on.
    rows_of_16_nine,
    "ldrd r11, r12, [r0, #{steps}]",
    "ldr r1, [r5], #4
    add r1, r8",
    window!(
        first_tap_of_16!("r1", "r1, #8"),
        tap_of_16!(),
        "add r1, r11\n",
        "add r1, r12\n"
    ),
    codes_of_16!()
);
/// Codes of up to 8 channels of two rows, which `$store` puts at r1 and r3; multipliers and offsets at `$m` and `$b`.
macro_rules! codes_of_two {
    ($m:literal, $b:literal, $store:literal) => {
        concat!(
            both!("vcvt.f32.s32", "q0", "q1"),
            both!("vcvt.f32.s32", "q2", "q3"),
            eight!($m, ""),
            both!("vmul.f32", "q0", "q1", "q4", "q5"),
            both!("vmul.f32", "q2", "q3", "q4", "q5"),
            eight!($b, ""),
            both!("vadd.f32", "q0", "q1", "q4", "q5"),
            both!("vadd.f32", "q2", "q3", "q4", "q5"),
            below!("q0", "q1"),
            below!("q2", "q3"),
            "ldrd r1, r3, [r7], #8
            add r1, r9
            add r3, r9\n",
            $store
        )
    };
}

/// A line's taps of two rows of pixels of 64 bytes, from the middle ones.
macro_rules! line_of_two {
    ($first:ident) => {
        concat!(
            $first!("q0", "q1", "r1, #-64", weights!("16")),
            $first!("q2", "q3", "r3, #-64", ""),
            tap!("q0", "q1", "r1", weights!("16")),
            tap!("q2", "q3", "r3", ""),
            tap!("q0", "q1", "r1, #64", weights!("16")),
            tap!("q2", "q3", "r3, #64", "")
        )
    };
}

/// The same of all rows, two or more, of pixels of 64 bytes: two at a time, twice 8 channels, and one that is left. Addresses count from the middle of a
/// line.
///
/// # Safety
/// As above.
#[unsafe(naked)]
unsafe extern "C" fn rows_of_16_nine_at_64(job: &Job) {
    naked_asm!(
        processor!(mve),
        "push {{r4-r11, lr}}
        vpush {{d8-d15}}
        ldrd r5, r6, [r0, #{rows_in}]
        ldr r7, [r0, #{rows_out}]
        ldrd r8, r9, [r0, #{input}]
        ldr r3, [r0, #{hi}]
        vdup.32 q7, r3
        ldr r12, [r0, #{steps}+4]
        add r12, #128
        add r8, #64
        ldr r10, [r0, #{weights}]
        ldrd r11, lr, [r0, #{m}]
        subs r4, r6, r5
        bic r4, #7
        add r6, r5, r4
        1:
        ldrd r1, r3, [r5], #8
        mov r2, r10
        add r1, r8
        add r3, r8\n",
        line_of_two!(first_tap), "add r1, r12\n add r3, r12\n", line_of_two!(tap), "add r1, r12\n add r3, r12\n", line_of_two!(tap),
        codes_of_two!("r11", "lr", "vstrb.16 q0, [r1]\n vstrb.16 q2, [r3]"),
        "
        cmp r5, r6
        bne.w 1b
        ldr r1, [r0, #{input}]
        add r1, #64
        cmp r1, r8
        bne 2f
        // The other 8 channels.
        add r8, #8
        add r9, #8
        add r10, #8
        add r11, #32
        add lr, #32
        ldr r5, [r0, #{rows_in}]
        ldr r7, [r0, #{rows_out}]
        b.w 1b
        2:
        ldr r6, [r0, #{rows_in}+4]
        cmp r5, r6
        beq.w 3f
        // The row that is left, all channels.
        ldr r4, [r5]
        add r1, r4
        sub r9, #8
        ldr r2, [r0, #{weights}]\n",
        line!(first_tap_of_16), "add r1, r12\n", line!(tap_of_16), "add r1, r12\n", line!(tap_of_16),
        "ldrd r3, r4, [r0, #{m}]\n",
        codes_of_16!(),
        "
        3:
        vpop {{d8-d15}}
        pop {{r4-r11, pc}}",
        weights = const offset_of!(Job, weights),
        rows_in = const offset_of!(Job, rows_in),
        rows_out = const offset_of!(Job, rows_out),
        input = const offset_of!(Job, input),
        m = const offset_of!(Job, m),
        hi = const offset_of!(Job, hi),
        steps = const offset_of!(Job, steps),
    )
}

rows_of!(
    /// The job's up to 8 channels in all rows, an even number, two at a time, windows of 3 x 3, codes from 0 on.
    two_rows_of_8,
    "ldrd r11, r12, [r0, #{steps}]
    ldr r10, [r0, #{channels}]",
    "ldrd r1, r3, [r5], #8
    add r1, r8
    add r3, r8",
    window!(
        concat!(first_tap!("q0", "q1", "r1", weights!("16")), first_tap!("q2", "q3", "r3", "")),
        concat!(tap!("q0", "q1", "r1", weights!("16")), tap!("q2", "q3", "r3", "")),
        "add r1, r11\n add r3, r11\n",
        "add r1, r12\n add r3, r12\n"
    ),
    codes_of_two!("r3", "r4", "vctp.16 r10\n vpstt\n vstrbt.16 q0, [r1]\n vstrbt.16 q2, [r3]")
);

// The loops read neighbouring fields in pairs, and the last by number.
const _: () = assert!(offset_of!(Job, taps) == offset_of!(Job, segments) + 4);
const _: () = assert!(offset_of!(Job, rows_end) == offset_of!(Job, rows_in) + 4);
const _: () = assert!(offset_of!(Job, output) == offset_of!(Job, input) + 4);
const _: () = assert!(offset_of!(Job, b) == offset_of!(Job, m) + 4);
const _: () = assert!(offset_of!(Job, channels) == 48);
