//! From sums to codes, four at a time.
//!
//! `VMLA` rounds after the multiplication and again after the addition, as the specification does. `VCVTR` rounds to
//! nearest even, saturates, and makes 0 of a NaN; since rounding is monotone, clamping the integer to the rounded bounds
//! is the same as clamping first, and with bounds from 0 on a NaN comes to the lower one either way.

use core::arch::naked_asm;

use super::super::super::scalar;
use crate::kernels::{ConvLayer, ConvTile, Residual};

/// The bounds of a tile's codes, each in all four bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bounds {
    lo: u32,
    hi: u32,
}

impl Bounds {
    pub fn new(t: &ConvTile) -> Self {
        // Rounding a bound clamps it to itself.
        let four = |x: f32| u32::from_ne_bytes([scalar::code(x, 0.0, 255.0); 4]);
        Self { lo: four(t.lo), hi: four(t.hi) }
    }

    /// Whether they let every code pass.
    pub fn whole(&self) -> bool {
        self.lo == 0 && self.hi == u32::MAX
    }
}

/// Scales, clamps and stores channels `at..at + n` of row `i`, whose sums are in `sums`; the table is left out.
///
/// # Safety
/// The tile is valid, `i` a row of it, `at + n <= oc`, `sums` holds `n`.
pub unsafe fn finish(t: &ConvTile, i: usize, at: usize, n: usize, sums: *const i32, bounds: &Bounds) {
    let fours = if t.real { 0 } else { n / 4 };
    // SAFETY: `n` channels of a result row and of the arrays, which hold whole blocks (validity of the tile).
    unsafe {
        if fours > 0 {
            let (m, b) = (t.m.as_ptr().add(at), t.b.as_ptr().add(at));
            let out = t.output.add(t.rows_out[i] as usize + at);
            match &t.residual {
                None => codes(sums, m, b, out, fours, bounds),
                Some(res) => {
                    let (x, r) = (res.input.add(res.rows[i] as usize + at), res.r.as_ptr().add(at));
                    codes_added(sums, m, b, out, fours, bounds, x, r);
                }
            }
        }
        if 4 * fours < n {
            rest(t, i, at + 4 * fours, n - 4 * fours, sums.add(4 * fours));
        }
    }
}

/// The same, by the specification.
///
/// # Safety
/// As for [`finish`].
#[cold]
#[inline(never)]
pub unsafe fn rest(t: &ConvTile, i: usize, at: usize, n: usize, sums: *const i32) {
    let layer = ConvLayer { table: None, ..*t.layer };
    let plain = ConvTile { layer: &layer, residual: t.residual.as_ref().map(|r| Residual { ..*r }), ..*t };
    // SAFETY: the caller's.
    unsafe { scalar::finish(&plain, i, at, core::slice::from_raw_parts(sums, n)) };
}

/// The codes of all rows through the table.
///
/// # Safety
/// The tile is valid and its rows are written.
pub unsafe fn through_table(t: &ConvTile) {
    let Some(table) = t.table.filter(|_| !t.real) else { return };
    for &at in t.rows_out {
        for k in 0..t.oc {
            // SAFETY: a code of a result row.
            unsafe {
                let code = t.output.add(at as usize + k);
                *code = table[*code as usize];
            }
        }
    }
}

/// Sums in r4..r7 or s0..s3 become reals in s8..s11: `f32(sum) * m + b`.
macro_rules! scale {
    () => {
        "vcvt.f32.s32 s0, s0
        vcvt.f32.s32 s1, s1
        vcvt.f32.s32 s2, s2
        vcvt.f32.s32 s3, s3
        vmla.f32 s8, s0, s4
        vmla.f32 s9, s1, s5
        vmla.f32 s10, s2, s6
        vmla.f32 s11, s3, s7"
    };
}

/// s8..s11 rounded, saturated and packed into r4: r4 and r6 first hold pairs.
macro_rules! pack {
    () => {
        "vcvtr.s32.f32 s8, s8
        vcvtr.s32.f32 s9, s9
        vcvtr.s32.f32 s10, s10
        vcvtr.s32.f32 s11, s11
        vmov r4, r5, s8, s9
        vmov r6, r7, s10, s11
        usat r4, #8, r4
        usat r5, #8, r5
        usat r6, #8, r6
        usat r7, #8, r7
        orr r4, r4, r5, lsl #8
        orr r6, r6, r7, lsl #8
        orr r4, r4, r6, lsl #16"
    };
}

/// The bytes of `$x` between those of two registers; takes `$t`.
macro_rules! clamp {
    ($lo:literal, $hi:literal) => {
        clamp!("r4", "r5", $lo, $hi)
    };
    ($x:literal, $t:literal, $lo:literal, $hi:literal) => {
        concat!(
            "usub8 ", $t, ", ", $x, ", ", $lo, "\n sel ", $x, ", ", $x, ", ", $lo, "\n", "usub8 ", $t, ", ", $hi, ", ", $x, "\n sel ", $x,
            ", ", $x, ", ", $hi
        )
    };
}

pub(super) use {clamp, pack, scale};

/// `4 * fours` codes.
///
/// # Safety
/// The arrays hold, and `out` takes, `4 * fours`, not 0.
#[unsafe(naked)]
unsafe extern "C" fn codes(sums: *const i32, m: *const f32, b: *const f32, out: *mut u8, fours: usize, bounds: &Bounds) {
    naked_asm!(
        processor!(dsp),
        "push {{r4-r10, lr}}
        ldrd r8, r9, [sp, #32]
        ldrd r9, r10, [r9]
        1:
        vldmia r0!, {{s0-s3}}
        vldmia r1!, {{s4-s7}}
        vldmia r2!, {{s8-s11}}",
        scale!(),
        pack!(),
        clamp!("r9", "r10"),
        "str r4, [r3], #4
        subs r8, #1
        bne 1b
        pop {{r4-r10, pc}}",
    )
}

/// The same with a second input: `+ f32(x) * r`.
///
/// # Safety
/// As for [`codes`]; `x` and `r` hold as many.
#[unsafe(naked)]
#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn codes_added(
    sums: *const i32, m: *const f32, b: *const f32, out: *mut u8, fours: usize, bounds: &Bounds, x: *const u8, r: *const f32,
) {
    naked_asm!(
        processor!(dsp),
        "push {{r4-r10, lr}}
        ldrd r8, r9, [sp, #32]
        ldrd r9, r10, [r9]
        ldrd r12, lr, [sp, #40]
        1:
        vldmia r0!, {{s0-s3}}
        vldmia r1!, {{s4-s7}}
        vldmia r2!, {{s8-s11}}",
        scale!(),
        "ldr r4, [r12], #4
        uxtb r5, r4, ror #8
        uxtb r6, r4, ror #16
        lsrs r7, r4, #24
        uxtb r4, r4
        vmov s0, s1, r4, r5
        vmov s2, s3, r6, r7
        vldmia lr!, {{s4-s7}}
        vcvt.f32.u32 s0, s0
        vcvt.f32.u32 s1, s1
        vcvt.f32.u32 s2, s2
        vcvt.f32.u32 s3, s3
        vmla.f32 s8, s0, s4
        vmla.f32 s9, s1, s5
        vmla.f32 s10, s2, s6
        vmla.f32 s11, s3, s7",
        pack!(),
        clamp!("r9", "r10"),
        "str r4, [r3], #4
        subs r8, #1
        bne 1b
        pop {{r4-r10, pc}}",
    )
}
