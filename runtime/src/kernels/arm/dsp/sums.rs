//! The inner loops of a convolution: sums of a block of up to 16 outputs for two pixels or one.
//!
//! Activations come widened (see [`super`]), weights are widened in registers. For two pixels and two outputs that takes
//! 14 instructions for 16 products: a load of four words, a load of two, four to widen, eight products.
//!
//! | registers | two pixels | one pixel |
//! |---|---|---|
//! | r0, r1, r2 | activations, quads left, weights | the same |
//! | r4..r7 | sums `[pixel][output]` | sums of four outputs |
//! | r8..r11 | both pixels' four activations | those of two quads |
//! | r12, lr, r3 | two outputs' weights, one of them widened | the same |
//!
//! What a loop over outputs changes is kept in five words of stack.

use core::arch::naked_asm;
use core::mem::offset_of;

use super::finish::{Bounds, clamp, pack};

/// Bytes from the sums of one pixel to those of the next.
pub const PIXEL: usize = 128;

/// From arguments to the five words at `sp`: activations, quads, weights, sums, groups.
macro_rules! enter {
    () => {
        "push {{r4-r11, lr}}
        ldr r12, [sp, #36]
        push {{r0-r3, r12}}"
    };
}

macro_rules! leave {
    () => {
        "add sp, #20
        pop {{r4-r11, pc}}"
    };
}

/// Widens the weights in `$w` and adds their products with the activations in `$even` and `$odd`: one output of each
/// pixel given.
macro_rules! products {
    ($w:literal, $($sum:literal $even:literal $odd:literal),+) => {
        concat!(
            "sxtb16 r3, ", $w, "\n sxtb16 ", $w, ", ", $w, ", ror #8\n",
            $("smlad ", $sum, ", r3, ", $even, ", ", $sum, "\n",)+
            $("smlad ", $sum, ", ", $w, ", ", $odd, ", ", $sum, "\n",)+
        )
    };
}

/// One quad of two outputs and two pixels.
macro_rules! two_by_two {
    () => {
        concat!(
            "ldm r0!, {{r8-r11}}
            ldrd r12, lr, [r2], #64\n",
            products!("r12", "r4" "r8" "r9", "r6" "r10" "r11"),
            products!("lr", "r5" "r8" "r9", "r7" "r10" "r11"),
        )
    };
}

/// The quads of a pair of outputs: `r1` of them.
macro_rules! quads_of_pair {
    () => {
        concat!(
            "subs r1, #4
            blt 3f
            2:\n",
            two_by_two!(),
            two_by_two!(),
            two_by_two!(),
            two_by_two!(),
            "subs r1, #4
            bge 2b
            3:
            adds r1, #4
            beq 5f
            4:\n",
            two_by_two!(),
            "subs r1, #1
            bne 4b
            5:"
        )
    };
}

macro_rules! two_pixels {
    ($name:ident, $start:literal) => {
        /// Sums of two pixels, two outputs at a time.
        ///
        /// # Safety
        /// `x` holds `quads` of both pixels (even and odd of the first, then of the second), `w` points into packed
        /// weights (aligned) that have `pairs` pairs of outputs from there, `sums` is written from there and
        /// [`PIXEL`] bytes behind. `quads` and `pairs` are not 0.
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(x: *const u32, quads: usize, w: *const i8, sums: *mut i32, pairs: usize) {
            naked_asm!(
                enter!(),
                "1:",
                $start,
                quads_of_pair!(),
                "ldm sp, {{r0-r3, r12}}
                strd r4, r5, [r3], #8
                strd r6, r7, [r3, #120]
                adds r2, #8
                subs r12, #1
                strd r2, r3, [sp, #8]
                str r12, [sp, #16]
                bne 1b",
                leave!(),
            )
        }
    };
}

two_pixels!(pairs, "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0");
two_pixels!(more_pairs, "ldrd r4, r5, [r3]\n ldrd r6, r7, [r3, #128]");

/// What the loops that go on to codes read, and move along the outputs.
#[repr(C)]
pub struct Pairs {
    pub x: *const u32,
    pub quads: usize,
    pub w: *const i8,
    /// Pairs of outputs left.
    pub pairs: usize,
    /// Sums so far, of the second pixel [`PIXEL`] bytes behind those of the first.
    pub sums: *const i32,
    pub r: *const f32,
    pub m: *const f32,
    pub b: *const f32,
    pub out: [*mut u8; 2],
    /// The second input.
    pub added: [*const u8; 2],
    pub bounds: Bounds,
}

/// The codes between the bounds; where these let all pass, nothing.
macro_rules! between {
    () => {
        concat!("ldrd r8, r9, [r0, #48]\n", clamp!("r8", "r9"))
    };
}

const _: () = assert!(offset_of!(Pairs, bounds) == 48);

macro_rules! codes_of_pairs {
    ($name:ident, $start:literal, $added:literal, $clamp:expr) => {
        /// Codes of two pixels, two outputs at a time.
        ///
        /// # Safety
        /// The pointers reach `quads` and `pairs`, which are not 0, as in [`pairs`].
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(job: &mut Pairs) {
            naked_asm!(
                "push {{r0, r4-r11, lr}}
                ldm r0, {{r0-r2}}
                1:",
                $start,
                quads_of_pair!(),
                "ldr r0, [sp]
                vmov s0, s1, r4, r5
                vmov s2, s3, r6, r7
                ldrd r2, r3, [r0, #{m}]
                vldmia r2!, {{s4-s5}}
                vldmia r3, {{s10-s11}}
                vldmia r3!, {{s8-s9}}
                strd r2, r3, [r0, #{m}]
                vcvt.f32.s32 s0, s0
                vcvt.f32.s32 s1, s1
                vcvt.f32.s32 s2, s2
                vcvt.f32.s32 s3, s3
                vmla.f32 s8, s0, s4
                vmla.f32 s9, s1, s5
                vmla.f32 s10, s2, s4
                vmla.f32 s11, s3, s5",
                $added,
                pack!("pkhbt r4, r4, r6, lsl #16"),
                $clamp,
                "ldrd r2, r3, [r0, #{out}]
                strh r4, [r2], #2
                lsrs r4, r4, #16
                strh r4, [r3], #2
                strd r2, r3, [r0, #{out}]
                ldrd r2, r3, [r0, #{w}]
                adds r2, #8
                subs r3, #1
                strd r2, r3, [r0, #{w}]
                ldrd r0, r1, [r0]
                bne 1b
                pop {{r0, r4-r11, pc}}",
                m = const offset_of!(Pairs, m),
                out = const offset_of!(Pairs, out),
                w = const offset_of!(Pairs, w),
            )
        }
    };
    ($first:ident, $last:ident, $added:literal) => {
        codes_of_pairs!($first, "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0", $added, between!());
        codes_of_pairs!(
            $last,
            "ldr r3, [sp]
            ldr r12, [r3, #16]
            ldrd r6, r7, [r12, #128]
            ldrd r4, r5, [r12], #8
            str r12, [r3, #16]",
            $added,
            between!()
        );
    };
}

// The loops read neighbouring fields in pairs, and some by number.
const _: () = assert!(offset_of!(Pairs, b) == offset_of!(Pairs, m) + 4 && offset_of!(Pairs, pairs) == offset_of!(Pairs, w) + 4);
const _: () = assert!(offset_of!(Pairs, sums) == 16 && offset_of!(Pairs, r) == 20 && offset_of!(Pairs, added) == 40);

codes_of_pairs!(pair_codes, last_pair_codes, "");
codes_of_pairs!(whole_pair_codes, "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0", "", "");
// The second input: + f32(x) * r.
codes_of_pairs!(
    added_pair_codes,
    last_added_pair_codes,
    "ldrd r2, r3, [r0, #40]
    ldrh r4, [r2], #2
    ldrh r6, [r3], #2
    strd r2, r3, [r0, #40]
    ldr r2, [r0, #20]
    vldmia r2!, {{s4-s5}}
    str r2, [r0, #20]
    lsrs r5, r4, #8
    lsrs r7, r6, #8
    uxtb r4, r4
    uxtb r6, r6
    vmov s0, s1, r4, r5
    vmov s2, s3, r6, r7
    vcvt.f32.u32 s0, s0
    vcvt.f32.u32 s1, s1
    vcvt.f32.u32 s2, s2
    vcvt.f32.u32 s3, s3
    vmla.f32 s8, s0, s4
    vmla.f32 s9, s1, s5
    vmla.f32 s10, s2, s4
    vmla.f32 s11, s3, s5"
);

/// One quad of four outputs, its activations in two registers, its weights at `$at` and 8 bytes on; `$then` is how far `r2` moves.
macro_rules! four {
    ($even:literal, $odd:literal, $at:literal, $more:literal) => {
        concat!(
            "ldrd r12, lr, [r2, #", $at, "]\n",
            products!("r12", "r4" $even $odd),
            products!("lr", "r5" $even $odd),
            "ldrd r12, lr, [r2, #", $more, "]\n",
            products!("r12", "r6" $even $odd),
            products!("lr", "r7" $even $odd),
        )
    };
}

macro_rules! one_pixel {
    ($name:ident, $start:literal) => {
        /// Sums of one pixel, four outputs at a time.
        ///
        /// # Safety
        /// As for two pixels, with `fours` groups of four outputs.
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(x: *const u32, quads: usize, w: *const i8, sums: *mut i32, fours: usize) {
            naked_asm!(
                enter!(),
                "1:",
                $start,
                "subs r1, #4
                blt 3f
                2:
                ldm r0!, {{r8-r11}}",
                four!("r8", "r9", "0", "8"),
                four!("r10", "r11", "64", "72"),
                "ldm r0!, {{r8-r11}}",
                four!("r8", "r9", "128", "136"),
                four!("r10", "r11", "192", "200"),
                "add r2, #256
                subs r1, #4
                bge 2b
                3:
                adds r1, #4
                beq 5f
                4:
                ldrd r8, r9, [r0], #8",
                four!("r8", "r9", "0", "8"),
                "adds r2, #64
                subs r1, #1
                bne 4b
                5:
                ldm sp, {{r0-r3, r12}}
                stm r3!, {{r4-r7}}
                adds r2, #16
                subs r12, #1
                strd r2, r3, [sp, #8]
                str r12, [sp, #16]
                bne 1b",
                leave!(),
            )
        }
    };
}

one_pixel!(fours, "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0");
one_pixel!(more_fours, "ldm r3, {{r4-r7}}");
