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

/// Widens the weights in `$w` and adds their products with the activations in `$even` and `$odd` to `$sum`.
macro_rules! products {
    ($sum:literal, $w:literal, $even:literal, $odd:literal) => {
        concat!(
            "sxtb16 r3, ",
            $w,
            "\n sxtb16 ",
            $w,
            ", ",
            $w,
            ", ror #8\n",
            "smlad ",
            $sum,
            ", r3, ",
            $even,
            ", ",
            $sum,
            "\n smlad ",
            $sum,
            ", ",
            $w,
            ", ",
            $odd,
            ", ",
            $sum,
            "\n"
        )
    };
}

/// One quad of four outputs, its activations in two registers, its weights at `$at` and `$more`.
macro_rules! four {
    ($even:literal, $odd:literal, $at:literal, $more:literal) => {
        concat!(
            "ldrd r12, lr, [r2",
            $at,
            "]\n",
            products!("r4", "r12", $even, $odd),
            products!("r5", "lr", $even, $odd),
            "ldrd r12, lr, [r2, #",
            $more,
            "]\n",
            products!("r6", "r12", $even, $odd),
            products!("r7", "lr", $even, $odd)
        )
    };
}

/// Two quads.
macro_rules! two_quads {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!("ldm r0!, {{r8-r11}}\n", four!("r8", "r9", $a, $b), four!("r10", "r11", $c, $d))
    };
}

/// Adds to the sums of one pixel, four outputs at a time.
///
/// # Safety
/// `x` holds `quads`, `w` points into packed weights (aligned) that have `fours` groups of four outputs from there, `sums` holds as
/// many. `quads` and `fours` are not 0.
#[unsafe(naked)]
pub unsafe extern "C" fn fours(x: *const u32, quads: usize, w: *const i8, sums: *mut i32, fours: usize) {
    naked_asm!(
        processor!(dsp),
        "push {{r4-r11, lr}}
        ldr r12, [sp, #36]
        push {{r0-r3, r12}}
        1:
        ldm r3, {{r4-r7}}
        subs r1, #8
        blt 3f
        2:",
        two_quads!("", "8", ", #64", "72"),
        two_quads!(", #128", "136", ", #192", "200"),
        two_quads!(", #256", "264", ", #320", "328"),
        two_quads!(", #384", "392", ", #448", "456"),
        "add r2, #512
        subs r1, #8
        bge 2b
        3:
        adds r1, #8
        beq 5f
        4:
        ldrd r8, r9, [r0], #8",
        four!("r8", "r9", "", "8"),
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
        bne 1b
        add sp, #20
        pop {{r4-r11, pc}}",
    )
}
