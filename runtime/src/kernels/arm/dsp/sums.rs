//! The inner loop of a convolution: sums of a block of up to 16 outputs for one pixel, four outputs at a time.
//!
//! Activations come widened (see [`super`]), weights are widened in registers.
//!
//! | registers | |
//! |---|---|
//! | r0, r1, r2 | activations, quads left, weights |
//! | r4..r7 | sums of four outputs |
//! | r8..r11 | activations of two quads |
//! | r12, lr, r3 | two outputs' weights, one of them widened |
//!
//! What a loop over outputs changes is kept in five words of stack.

use core::arch::naked_asm;

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
