//! Sums over pixels: 16 channels at a time, or up to 4.

use core::arch::naked_asm;

use crate::kernels::SumTile;

pub unsafe fn sum(t: &SumTile, sums: &mut [i32]) {
    if t.pixels == 0 {
        return;
    }
    let mut from = t.input;
    let (blocks, rest) = sums.as_chunks_mut::<16>();
    for sums in blocks {
        // SAFETY: 16 channels of each pixel.
        unsafe { sum_of_16(from, t.step, t.pixels, sums.as_mut_ptr()) };
        from = from.wrapping_add(16);
    }
    if !rest.is_empty() {
        // SAFETY: the last channels of each pixel.
        unsafe { sum_of_rest(from, t.step, t.pixels, rest.as_mut_ptr(), rest.len()) };
    }
}

/// Adds 16 bytes of `pixels`, not 0, to as many sums.
///
/// # Safety
/// They are readable, the sums writable.
#[unsafe(naked)]
unsafe extern "C" fn sum_of_16(from: *const u8, step: usize, pixels: usize, sums: *mut i32) {
    naked_asm!(
        processor!(mve),
        "push {{r7, lr}}
        vpush {{d8-d9}}
        dls lr, r2
        vldrw.u32 q0, [r3]
        vldrw.u32 q1, [r3, #16]
        vldrw.u32 q2, [r3, #32]
        vldrw.u32 q3, [r3, #48]
        1:
        vldrb.u32 q4, [r0]
        vadd.i32 q0, q0, q4
        vldrb.u32 q4, [r0, #4]
        vadd.i32 q1, q1, q4
        vldrb.u32 q4, [r0, #8]
        vadd.i32 q2, q2, q4
        vldrb.u32 q4, [r0, #12]
        vadd.i32 q3, q3, q4
        add r0, r1
        le lr, 1b
        vstrw.32 q0, [r3]
        vstrw.32 q1, [r3, #16]
        vstrw.32 q2, [r3, #32]
        vstrw.32 q3, [r3, #48]
        vpop {{d8-d9}}
        pop {{r7, pc}}",
    )
}

/// The same of `n` bytes, not 0, four at a time.
///
/// # Safety
/// As above.
#[unsafe(naked)]
unsafe extern "C" fn sum_of_rest(from: *const u8, step: usize, pixels: usize, sums: *mut i32, n: usize) {
    naked_asm!(
        processor!(mve),
        "push {{r4-r6, lr}}
        ldr r5, [sp, #16]
        1:
        vctp.32 r5
        vpst
        vldrwt.u32 q0, [r3]
        mov r6, r0
        dls lr, r2
        2:
        vctp.32 r5
        vpst
        vldrbt.u32 q1, [r6]
        vadd.i32 q0, q0, q1
        add r6, r1
        le lr, 2b
        vctp.32 r5
        vpst
        vstrwt.32 q0, [r3], #16
        adds r0, #4
        subs r5, #4
        bhi 1b
        pop {{r4-r6, pc}}",
    )
}
