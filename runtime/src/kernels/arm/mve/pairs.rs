//! Convolution of few rows, whose weights lie in pairs: 16 inputs of eight outputs at a time.
//!
//! A load that separates even from odd bytes makes 16 weights of each output of a pair from 32 bytes. The first ones are unsigned already,
//! 128 too large; the second ones are made so. Sums start with -128 times that of the activations. 128 products take 21 instructions.
//!
//! | registers | |
//! |---|---|
//! | r0, r2 .. r10, r12, lr | sums, which have to be even registers |
//! | r1 | activations |
//! | r3, r5, r7, r9 | weights of the four pairs |
//! | r11 | passes left through eight repetitions |

use core::arch::naked_asm;
use core::mem::{MaybeUninit, offset_of};

use super::super::super::scalar;
use super::finish::{finish, real, through_table};
use super::{readable, sums};
use crate::kernels::PairsTile;

/// Outputs whose sums are kept; a multiple of 16.
const SUMS: usize = 128;

/// Repetitions of the loop's body, and bytes of one.
const TURNS: usize = 8;
const TURN: usize = 84;

pub unsafe fn pairs(t: &PairsTile) {
    let k = 4 * t.quads;
    let whole = k > 0 && k.is_multiple_of(16) && t.segments.len() == 1;
    if !whole || !readable(t, t.oc.div_ceil(16) * 16 * k) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.pairs)(t) };
    }
    // SAFETY: rows of a valid tile, its weights readable.
    unsafe {
        (0..t.rows_in.len().min(t.rows_out.len())).for_each(|i| one_row(t, i));
        through_table(t);
    }
}

/// # Safety
/// The tile is valid, its weights are readable, `i` is a row of it.
#[inline(never)]
unsafe fn one_row(t: &PairsTile, i: usize) {
    let mut acc = [const { MaybeUninit::<i32>::uninit() }; SUMS];
    let acc: *mut i32 = acc.as_mut_ptr().cast();
    let k = 4 * t.quads;
    let x = t.input.wrapping_add(t.rows_in[i] as usize + t.segments[0] as usize);
    // SAFETY: the row's inputs.
    let total = unsafe { sums::total(x, k) };
    let passes = (k / 16).div_ceil(TURNS);
    let mut job = Job {
        start: [(total as i32).wrapping_mul(-128); 8],
        x,
        passes,
        w: t.weights.as_ptr(),
        pair: 2 * k,
        sums: acc,
        end: acc,
        first: k / 16 - (passes - 1) * TURNS,
    };
    for at in (0..t.oc).step_by(SUMS) {
        let n = SUMS.min(t.oc - at);
        job.w = t.weights.as_ptr().wrapping_add(at * k);
        job.end = acc.wrapping_add(n);
        // SAFETY: blocks of weights are whole, so up to seven outputs more are readable, and have room; `at + n <= oc`.
        unsafe {
            run(&job);
            if t.real {
                (0..n).for_each(|o| real(t, i, at + o, acc.add(o).read()));
            } else {
                finish(t, i, at, n, acc);
            }
        }
    }
}

/// What the loop reads.
#[repr(C)]
struct Job {
    /// What the sums of eight outputs start with.
    start: [i32; 8],
    x: *const u8,
    passes: usize,
    w: *const i8,
    /// Bytes of the weights of a pair.
    pair: usize,
    sums: *mut i32,
    /// One past the sums.
    end: *mut i32,
    /// Repetitions of the first pass.
    first: usize,
}

const _: () = assert!(offset_of!(Job, start) == 0 && offset_of!(Job, pair) == offset_of!(Job, w) + 4);
const _: () = assert!(offset_of!(Job, end) == offset_of!(Job, sums) + 4);

/// 16 inputs of two pairs of outputs.
macro_rules! two_pairs {
    ($w1:literal, $w2:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "vld20.8 {{q1, q2}}, [",
            $w1,
            "]\n vld21.8 {{q1, q2}}, [",
            $w1,
            "]!\n",
            "vld20.8 {{q4, q5}}, [",
            $w2,
            "]\n vld21.8 {{q4, q5}}, [",
            $w2,
            "]!\n",
            "veor q2, q2, q3\n vmladava.u8 ",
            $a,
            ", q0, q1\n vmladava.u8 ",
            $b,
            ", q0, q2\n",
            "veor q5, q5, q3\n vmladava.u8 ",
            $c,
            ", q0, q4\n vmladava.u8 ",
            $d,
            ", q0, q5\n"
        )
    };
}

macro_rules! turn {
    () => {
        concat!(
            "vldrb.u8 q0, [r1], #16\n",
            two_pairs!("r3", "r5", "r0", "r2", "r4", "r6"),
            two_pairs!("r7", "r9", "r8", "r10", "r12", "lr")
        )
    };
}

/// Sums of a row, eight outputs at a time.
///
/// # Safety
/// The job's pointers reach what it says, weights and sums a multiple of eight outputs; weights are aligned.
#[unsafe(naked)]
unsafe extern "C" fn run(job: &Job) {
    naked_asm!(
        processor!(mve),
        "push {{r4-r11, lr}}
        vpush {{d8-d11}}
        sub sp, #20
        ldrd r3, r6, [r0, #{w}]
        ldrd r1, r2, [r0, #{sums}]
        ldr r4, [r0, #{first}]
        movs r8, #{turn}
        adr.w r9, 3f
        mls r9, r4, r8, r9
        adds r9, #1
        strd r0, r9, [sp]
        add r8, r6, r6, lsl #1
        strd r1, r8, [sp, #8]
        str r2, [sp, #16]
        add r5, r3, r6
        add r7, r5, r6
        add r9, r7, r6
        vmov.i8 q3, #0x80
        1:
        ldr r11, [sp]
        ldr r1, [r11, #{x}]
        ldm r11, {{r0, r2, r4, r6, r8, r10, r12, lr}}
        ldr r11, [r11, #{passes}]
        ldr pc, [sp, #4]
        .p2align 2
        2:",
        turn!(), turn!(), turn!(), turn!(), turn!(), turn!(), turn!(), turn!(),
        "3:
        subs r11, #1
        bne.w 2b
        ldr r11, [sp, #8]
        stm r11!, {{r0, r2, r4, r6, r8, r10, r12, lr}}
        str r11, [sp, #8]
        ldrd r0, r2, [sp, #12]
        add r3, r0
        add r5, r0
        add r7, r0
        add r9, r0
        cmp r11, r2
        blo.w 1b
        add sp, #20
        vpop {{d8-d11}}
        pop {{r4-r11, pc}}",
        turn = const TURN,
        x = const offset_of!(Job, x),
        passes = const offset_of!(Job, passes),
        w = const offset_of!(Job, w),
        sums = const offset_of!(Job, sums),
        first = const offset_of!(Job, first),
    )
}
