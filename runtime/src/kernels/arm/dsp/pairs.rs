//! Convolution of few rows, whose weights lie in pairs: a word is those of two outputs for two inputs.
//!
//! Each half of such a word is `256 * second + first`, the first weight unsigned. `SMLAD` of the word as it is makes
//! `256 * S2 + S1` of two activations, `SMLAD` of its lower bytes, which one instruction widens, `S1`. The difference is exact while `S2` has
//! 24 bits, so at most 256 inputs are summed at a time. First weights count 128 too much: 128 times the sum of the activations.
//!
//! 32 products take 28 instructions: four of them load, eight widen.
//!
//! | registers | |
//! |---|---|
//! | r0, r1, r2, r3 | activations, weights, end of the activations, where among four repetitions the first pass begins |
//! | r4, r5 | sums of words and of lower bytes |
//! | r6..r9 | activations of eight inputs |
//! | r10, r11, r12, lr | weights of eight inputs |

use core::arch::naked_asm;
use core::mem::{MaybeUninit, offset_of};

use super::super::super::scalar;
use super::finish::{Bounds, finish, through_table};
use super::readable;
use crate::kernels::PairsTile;

/// Inputs that are summed at a time.
const INPUTS: usize = 256;

// Sums of second weights have 24 bits.
const _: () = assert!(INPUTS * 255 * 128 < 1 << 23);

/// Outputs whose sums are kept, an even number.
const SUMS: usize = 64;

pub unsafe fn pairs(t: &PairsTile) {
    let k = 4 * t.quads;
    let whole = k > 0 && k.is_multiple_of(16) && t.segments.len() == 1;
    if !whole || !readable(t, t.oc.div_ceil(16) * 16 * k) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.pairs)(t) };
    }
    let bounds = Bounds::new(t);
    // SAFETY: rows of a valid tile, its weights readable.
    unsafe {
        (0..t.rows_in.len().min(t.rows_out.len())).for_each(|i| one_row(t, i, &bounds));
        through_table(t);
    }
}

/// # Safety
/// The tile is valid, its weights are readable, `i` is a row of it.
#[inline(never)]
unsafe fn one_row(t: &PairsTile, i: usize, bounds: &Bounds) {
    let mut wide = [const { MaybeUninit::<u32>::uninit() }; INPUTS / 2];
    let k = 4 * t.quads;
    let from = t.input.wrapping_add(t.rows_in[i] as usize + t.segments[0] as usize);
    for at in (0..t.oc).step_by(SUMS) {
        let mut sums = [0i32; SUMS];
        let outputs = SUMS.min(t.oc - at);
        for first in (0..k).step_by(INPUTS) {
            let n = INPUTS.min(k - first);
            let x = wide.as_mut_ptr().cast();
            // SAFETY: inputs of the row, with room for them; the weights of whole pairs, which are readable, and their sums.
            unsafe {
                let total = widen(from.wrapping_add(first), x, n);
                run(&mut Job {
                    x,
                    w: t.weights.as_ptr().wrapping_add(at * k + 2 * first),
                    end: x.wrapping_add(n / 2),
                    sums: sums.as_mut_ptr(),
                    pairs: outputs.div_ceil(2),
                    skip: 2 * (k - n),
                    start: (total as i32).wrapping_mul(-128),
                });
            }
        }
        // SAFETY: the sums of these outputs are written.
        unsafe { finish(t, i, at, outputs, sums.as_ptr(), bounds) };
    }
}

/// What the loop reads.
#[repr(C)]
struct Job {
    x: *const u32,
    w: *const i8,
    end: *const u32,
    sums: *mut i32,
    pairs: usize,
    /// Bytes of weights from the end of a pair's to the next pair's.
    skip: usize,
    /// What is added to sums of first outputs.
    start: i32,
}

// The loop reads neighbouring fields in pairs.
const _: () = assert!(offset_of!(Job, end) == offset_of!(Job, w) + 4);
const _: () = assert!(offset_of!(Job, pairs) == offset_of!(Job, sums) + 4 && offset_of!(Job, start) == offset_of!(Job, skip) + 4);

macro_rules! word {
    ($w:literal, $x:literal) => {
        concat!("smlad r4, ", $w, ", ", $x, ", r4\n uxtb16 ", $w, ", ", $w, "\n smlad r5, ", $w, ", ", $x, ", r5\n")
    };
}

macro_rules! eight_inputs {
    () => {
        concat!(
            "ldm r0!, {{r6-r9}}\n ldm r1!, {{r10, r11, r12, lr}}\n",
            word!("r10", "r6"),
            word!("r11", "r7"),
            word!("r12", "r8"),
            word!("lr", "r9")
        )
    };
}

/// 28 instructions of four bytes.
macro_rules! sixteen_inputs {
    () => {
        concat!(eight_inputs!(), eight_inputs!())
    };
}

/// Adds to the sums, a pair of outputs after the other.
///
/// # Safety
/// `x` to `end` holds widened activations, a multiple of 16; `w` the weights of as many for each of `pairs`, not 0, aligned; `sums` two a pair.
#[unsafe(naked)]
unsafe extern "C" fn run(job: &mut Job) {
    naked_asm!(
        processor!(dsp),
        "push {{r0, r4-r11, lr}}
        ldrd r1, r2, [r0, #{w}]
        ldr r3, [r0, #{x}]
        subs r4, r2, r3
        ubfx r4, r4, #5, #2
        cmp r4, #0
        it eq
        moveq r4, #4
        movs r5, #112
        adr.w r3, 3f
        mls r3, r4, r5, r3
        adds r3, #1
        1:
        ldr r0, [sp]
        ldr r0, [r0, #{x}]
        movs r4, #0
        movs r5, #0
        bx r3
        .p2align 2
        2:",
        sixteen_inputs!(), sixteen_inputs!(), sixteen_inputs!(), sixteen_inputs!(),
        "3:
        cmp r0, r2
        blo.w 2b
        ldr r6, [sp]
        ldrd r7, r8, [r6, #{sums}]
        ldrd r9, r10, [r6, #{skip}]
        ldrd r11, r12, [r7]
        subs r4, r4, r5
        add r5, r10
        add r11, r5
        add r12, r12, r4, asr #8
        strd r11, r12, [r7], #8
        add r1, r9
        subs r8, #1
        strd r7, r8, [r6, #{sums}]
        bne.w 1b
        pop {{r0, r4-r11, pc}}",
        x = const offset_of!(Job, x),
        w = const offset_of!(Job, w),
        sums = const offset_of!(Job, sums),
        skip = const offset_of!(Job, skip),
    )
}

/// Widens `n` activations in order, and returns their sum.
///
/// # Safety
/// They are readable, `to` takes them; `n` is a multiple of 8, not 0.
#[unsafe(naked)]
unsafe extern "C" fn widen(from: *const u8, to: *mut u32, n: usize) -> u32 {
    naked_asm!(
        processor!(dsp),
        "push {{r4-r8, lr}}
        add r2, r1, r2, lsl #1
        movs r3, #0
        mov lr, #0
        1:
        ldr r4, [r0], #4
        ldr r5, [r0], #4
        usada8 r3, r4, lr, r3
        usada8 r3, r5, lr, r3
        uxtb16 r6, r4
        uxtb16 r7, r4, ror #8
        uxtb16 r8, r5
        uxtb16 r12, r5, ror #8
        pkhbt r4, r6, r7, lsl #16
        pkhtb r5, r7, r6, asr #16
        pkhbt r6, r8, r12, lsl #16
        pkhtb r7, r12, r8, asr #16
        stm r1!, {{r4-r7}}
        cmp r1, r2
        blo 1b
        mov r0, r3
        pop {{r4-r8, pc}}",
    )
}
