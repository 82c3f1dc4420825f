//! How frames differ from what is held.

use core::arch::naked_asm;

use crate::kernels::{CompareTile, DriftTile, Shift, compare as lines, scalar};

pub fn compare(t: &CompareTile, marks: [&mut [u64]; 2]) -> u8 {
    lines::line_without_shift(t, marks, exceed)
}

/// Bit `i` of word `k`: byte `i` of at most 64 differs by more than threshold `k`.
fn exceed(new: &[u8], held: &[u8], [weak, strong]: [u8; 2]) -> [u64; 2] {
    let mut bits = [0u64; 2];
    let n = new.len().min(held.len()).min(64);
    if n > 0 {
        // SAFETY: `n` bytes of both, four times 16 bits of either.
        unsafe { masks(new.as_ptr(), held.as_ptr(), n, &mut bits, weak as u32, strong as u32) };
    }
    bits
}

/// Bits of the bytes that differ by more than `weak`, and by more than `strong`.
///
/// # Safety
/// `n` bytes are readable, 1 to 64.
#[unsafe(naked)]
unsafe extern "C" fn masks(new: *const u8, held: *const u8, n: usize, bits: &mut [u64; 2], weak: u32, strong: u32) {
    naked_asm!(
        processor!(mve),
        "push {{r4-r6, lr}}
        ldrd r4, r5, [sp, #16]
        1:
        vctp.8 r2
        vpstt
        vldrbt.u8 q0, [r0], #16
        vldrbt.u8 q1, [r1], #16
        vabd.u8 q0, q0, q1
        vcmp.u8 hi, q0, r4
        vmrs r6, p0
        strh r6, [r3], #2
        vcmp.u8 hi, q0, r5
        vmrs r6, p0
        strh r6, [r3, #6]
        subs r2, #16
        bhi 1b
        pop {{r4-r6, pc}}",
    )
}

pub unsafe fn drift(t: &DriftTile, sums: &mut [i32]) {
    if t.shift != Shift::default() {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.drift)(t, sums) };
    }
    for (g, sum) in sums.iter_mut().enumerate() {
        let width = t.width.saturating_sub(8 * g).min(8);
        let (new, held) = (t.new.wrapping_add(8 * g), t.held.wrapping_add(8 * g));
        // SAFETY: bytes of lines of both maps, below their width.
        *sum = unsafe { if t.lines == 0 { 0 } else { growth(new, held, t.step[0], t.step[1], t.lines, width) } };
    }
}

/// By how much `width <= 8` bytes grew in the sum over `lines` lines.
///
/// # Safety
/// They are readable; `lines` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn growth(new: *const u8, held: *const u8, new_step: usize, held_step: usize, lines: usize, width: usize) -> i32 {
    naked_asm!(
        processor!(mve),
        "push {{r4, lr}}
        ldrd lr, r12, [sp, #8]
        movs r4, #0
        vctp.16 r12
        1:
        vpstt
        vldrbt.u16 q0, [r0]
        vldrbt.u16 q1, [r1]
        vsub.i16 q0, q0, q1
        vaddva.s16 r4, q0
        add r0, r2
        add r1, r3
        le lr, 1b
        mov r0, r4
        pop {{r4, pc}}",
    )
}
