//! From sums to codes, four at a time: a vector multiplication and addition, a conversion to nearest even that
//! saturates and makes 0 of a NaN, then the clamp. Rounding is monotone, so clamping to rounded bounds afterwards is the
//! same.

use core::arch::naked_asm;
use core::mem::offset_of;

use super::super::super::scalar;
use crate::kernels::ConvTile;

/// A bound as a code.
pub fn bound(x: f32) -> i32 {
    scalar::code(x, 0.0, 255.0) as i32
}

/// Channels of up to four rows: where their sums lie, what scales them, where they go. It moves along the rows.
#[repr(C)]
pub struct Job {
    /// `[row][16]`.
    sums: *const i32,
    m: *const f32,
    b: *const f32,
    r: *const f32,
    /// Channels, at most 16.
    n: usize,
    lo: i32,
    hi: i32,
    /// Result rows, and those of the second input.
    rows: usize,
    out: [*mut u8; 4],
    x: [*const u8; 4],
}

impl Job {
    pub fn new(t: &ConvTile, sums: *const i32) -> Self {
        use core::ptr::{null, null_mut};
        let (lo, hi) = (bound(t.lo), bound(t.hi));
        Self { sums, m: null(), b: null(), r: null(), n: 0, lo, hi, rows: 0, out: [null_mut(); 4], x: [null(); 4] }
    }

    /// To the first channels of rows `i..i + N`.
    #[inline(always)]
    pub fn start<const N: usize>(&mut self, t: &ConvTile, i: usize) {
        (self.m, self.b, self.rows) = (t.m.as_ptr(), t.b.as_ptr(), N);
        for (out, row) in self.out.iter_mut().zip(&t.rows_out[i..i + N]) {
            *out = t.output.wrapping_add(*row as usize);
        }
        if let Some(res) = &t.residual {
            self.r = res.r.as_ptr();
            for (x, row) in self.x.iter_mut().zip(&res.rows[i..i + N]) {
                *x = res.input.wrapping_add(*row as usize);
            }
        }
    }

    /// Scales, clamps and stores the next `n` channels; the table is left out.
    ///
    /// # Safety
    /// The job is one of the valid tile `t`, whose rows have these channels; their sums are written.
    #[inline(always)]
    pub unsafe fn finish(&mut self, t: &ConvTile, n: usize) {
        self.n = n;
        // SAFETY: the caller's.
        unsafe { if t.residual.is_none() { codes(self) } else { codes_added(self) } }
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

macro_rules! codes {
    ($name:ident, $added:literal) => {
        /// Codes of the job's rows; it moves on.
        ///
        /// # Safety
        /// Its pointers reach what it says; it has rows and channels.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: &mut Job) {
            naked_asm!(
                "push {{r4-r11, lr}}
                vpush {{d8-d9}}
                ldr r10, [r0, #{sums}]
                ldrd r8, r9, [r0, #{lo}]
                vdup.32 q3, r8
                vdup.32 q4, r9
                ldrd r8, r9, [r0, #{n}-4]
                ldr r11, [r0, #{rows}]
                add r7, r0, #{out}
                1:
                ldrd r1, r2, [r0, #{m}]
                mov r3, r10
                mov r6, r8
                ldr r5, [r7, #16]
                ldr r4, [r7], #4
                dlstp.32 lr, r9
                2:
                vldrw.u32 q0, [r3], #16
                vldrw.u32 q1, [r1], #16
                vcvt.f32.s32 q0, q0
                vldrw.u32 q2, [r2], #16
                vmul.f32 q0, q0, q1
                vadd.f32 q0, q0, q2",
                $added,
                "vcvtn.s32.f32 q0, q0
                vmax.s32 q0, q0, q3
                vmin.s32 q0, q0, q4
                vstrb.32 q0, [r4], #4
                letp lr, 2b
                str r4, [r7, #-4]
                str r5, [r7, #12]
                add r10, #64
                subs r11, #1
                bne 1b
                strd r1, r2, [r0, #{m}]
                str r6, [r0, #{n}-4]
                vpop {{d8-d9}}
                pop {{r4-r11, pc}}",
                sums = const offset_of!(Job, sums),
                m = const offset_of!(Job, m),
                n = const offset_of!(Job, n),
                lo = const offset_of!(Job, lo),
                rows = const offset_of!(Job, rows),
                out = const offset_of!(Job, out),
            )
        }
    };
}

codes!(codes, "");
codes!(
    codes_added,
    "vldrb.u32 q1, [r5], #4
    vldrw.u32 q2, [r6], #16
    vcvt.f32.u32 q1, q1
    vmul.f32 q1, q1, q2
    vadd.f32 q0, q0, q1"
);

// The loops read neighbouring fields in pairs.
const _: () = assert!(offset_of!(Job, b) == offset_of!(Job, m) + 4);
const _: () = assert!(offset_of!(Job, r) + 4 == offset_of!(Job, n));
const _: () = assert!(offset_of!(Job, hi) == offset_of!(Job, lo) + 4);
const _: () = assert!(offset_of!(Job, x) == offset_of!(Job, out) + 16);
