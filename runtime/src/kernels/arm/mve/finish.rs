//! From sums to codes, four at a time: a vector multiplication and addition, a conversion to nearest even that
//! saturates, from 0 on, and makes 0 of a NaN, then the clamp. Rounding is monotone and bounds are at least 0, so clamping to
//! rounded bounds afterwards is the same.

use core::arch::naked_asm;

use super::super::super::scalar;
use crate::kernels::ConvTile;

/// A bound as a code.
pub fn bound(x: f32) -> i32 {
    scalar::code(x, 0.0, 255.0) as i32
}

/// Channels of a row: their sums, what scales them, where they go.
#[repr(C)]
pub struct Job {
    pub m: *const f32,
    pub b: *const f32,
    pub lo: i32,
    pub hi: i32,
    pub out: *mut u8,
    /// The second input and its multipliers.
    pub x: *const u8,
    pub r: *const f32,
}

/// Scales, clamps and stores channels `at..at + n` of row `i`, whose sums are in `sums`; the table is left out.
///
/// # Safety
/// The tile is valid, `i` a row of it, `at + n <= oc`, `n` not 0, `sums` holds `n`.
pub unsafe fn finish(t: &ConvTile, i: usize, at: usize, n: usize, sums: *const i32) {
    let mut job = Job {
        m: t.m.as_ptr().wrapping_add(at),
        b: t.b.as_ptr().wrapping_add(at),
        lo: bound(t.lo),
        hi: bound(t.hi),
        out: t.output.wrapping_add(t.rows_out[i] as usize + at),
        x: t.input,
        r: t.m.as_ptr(),
    };
    // SAFETY: the channels of a result row, of the arrays and of a row of the second input (validity of the tile).
    unsafe {
        let Some(res) = &t.residual else { return codes(&job, sums, n) };
        job.x = res.input.wrapping_add(res.rows[i] as usize + at);
        job.r = res.r.as_ptr().wrapping_add(at);
        codes_added(&job, sums, n)
    }
}

/// Scales, clamps and stores channel `at` of row `i` as f32. On its own, so that the compiler makes no vector
/// instructions of it, which would flush results to zero.
///
/// # Safety
/// The tile is valid, `i` a row of it, `at < oc`.
#[cold]
#[inline(never)]
pub unsafe fn real(t: &ConvTile, i: usize, at: usize, sum: i32) {
    // SAFETY: the caller's.
    unsafe { scalar::finish(t, i, at, &[sum]) }
}

/// The codes of all rows through the table.
///
/// # Safety
/// The tile is valid and its rows are written.
pub unsafe fn through_table(t: &ConvTile) {
    let Some(table) = t.table.filter(|_| !t.real) else { return };
    for &at in t.rows_out {
        // SAFETY: a result row.
        unsafe { look_up(t.output.wrapping_add(at as usize), table, t.oc) };
    }
}

/// `x[i] = table[x[i]]`.
///
/// # Safety
/// `x` holds `n` bytes.
#[unsafe(naked)]
unsafe extern "C" fn look_up(x: *mut u8, table: &[u8; 256], n: usize) {
    naked_asm!(
        processor!(mve),
        "push {{r4, lr}}
        wlstp.8 lr, r2, 2f
        1:
        vldrb.u8 q0, [r0]
        vldrb.u8 q1, [r1, q0]
        vstrb.8 q1, [r0], #16
        letp lr, 1b
        2:
        pop {{r4, pc}}",
    )
}

/// The sums in q0 as reals, scaled by `$m`, moved by `$b`.
macro_rules! scale {
    ($m:literal, $b:literal) => {
        concat!("vcvt.f32.s32 q0, q0\n vmul.f32 q0, q0, ", $m, "\n vadd.f32 q0, q0, ", $b, "\n")
    };
}

/// `+ f32(x) * r`, four codes at `$x`, by way of `$q`.
macro_rules! second {
    ($q:literal, $x:literal, $r:literal) => {
        concat!(
            "vldrb.u32 ",
            $q,
            ", ",
            $x,
            "\n vcvt.f32.u32 ",
            $q,
            ", ",
            $q,
            "\n vmul.f32 ",
            $q,
            ", ",
            $q,
            ", ",
            $r,
            "
            vadd.f32 q0, q0, ",
            $q,
            "\n"
        )
    };
}

/// From reals to codes at `$out`: `$lo` applies the lower bound, unless it is 0.
macro_rules! round {
    ($lo:expr, $hi:literal, $out:literal) => {
        concat!("vcvtn.u32.f32 q0, q0\n", $lo, "vmin.u32 q0, q0, ", $hi, "\n vstrb.32 q0, ", $out, "\n")
    };
}

pub(super) use {round, scale, second};

macro_rules! codes {
    ($name:ident, $added:expr) => {
        /// Codes of `n` channels.
        ///
        /// # Safety
        /// The pointers reach them; `n` is not 0.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: &Job, sums: *const i32, n: usize) {
            naked_asm!(
                processor!(mve),
                "push {{r4-r10, lr}}
                vpush {{d8-d9}}
                ldm r0!, {{r3-r6}}
                vdup.32 q3, r5
                vdup.32 q4, r6
                ldm r0, {{r5-r7}}
                dlstp.32 lr, r2
                2:
                vldrw.u32 q0, [r1], #16
                vldrw.u32 q1, [r3], #16
                vldrw.u32 q2, [r4], #16",
                scale!("q1", "q2"),
                $added,
                round!("vmax.u32 q0, q0, q3\n", "q4", "[r5], #4"),
                "letp lr, 2b
                vpop {{d8-d9}}
                pop {{r4-r10, pc}}",
            )
        }
    };
}

codes!(codes, "");
codes!(codes_added, concat!("vldrw.u32 q2, [r7], #16\n", second!("q1", "[r6], #4", "q2")));
