//! Set `dsp`: two 16-bit products a cycle (`SMLAD`). Bytes are widened in pairs, 0 and 2, then 1 and 3 of a word, activations and
//! weights alike, so nothing has to be shuffled. Four outputs share each widened activation: what twelve registers hold.

use super::super::scalar::{self, finish};
use crate::kernels::{ConvTile, DepthwiseTile, Kernels};
use core::arch::asm;

/// The scalar set with these convolutions.
pub static KERNELS: Kernels = Kernels { name: "dsp", conv, depthwise, ..scalar::KERNELS };

/// Outputs summed at a time.
const OUTPUTS: usize = 4;

/// `acc + a.low * b.low + a.high * b.high` of signed halves.
#[inline(always)]
fn smlad(a: u32, b: u32, mut acc: i32) -> i32 {
    // SAFETY: arithmetic on registers. It sets the Q flag, which nothing reads.
    unsafe { asm!("smlad {0}, {1}, {2}, {0}", inlateout(reg) acc, in(reg) a, in(reg) b, options(pure, nomem, nostack)) };
    acc
}

/// Bytes 0 and 2, and bytes 1 and 3, as unsigned halves.
#[inline(always)]
fn unsigned(x: u32) -> [u32; 2] {
    [x & 0x00ff_00ff, x >> 8 & 0x00ff_00ff]
}

/// Bytes 0 and 2, and bytes 1 and 3, as signed halves.
#[inline(always)]
fn signed(x: u32) -> [u32; 2] {
    let (even, odd);
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("sxtb16 {}, {}", lateout(reg) even, in(reg) x, options(pure, nomem, nostack, preserves_flags));
        asm!("sxtb16 {}, {}, ror #8", lateout(reg) odd, in(reg) x, options(pure, nomem, nostack, preserves_flags));
    }
    [even, odd]
}

unsafe fn conv(t: &ConvTile) {
    let block = t.segments.len() * t.quads * 64;
    for i in 0..t.rows_in.len() {
        for at in (0..t.oc).step_by(OUTPUTS) {
            let n = OUTPUTS.min(t.oc - at);
            let mut acc = [0i32; OUTPUTS];
            let Some(weights) = t.weights.get(at / 16 * block..).filter(|w| w.len() >= block) else { return };
            // The outputs' words of each 64 bytes.
            let mut w = weights.as_ptr().wrapping_add(at % 16 * 4);
            for &segment in t.segments {
                // SAFETY: `4 * quads` bytes are readable by the validity of the tile; the block's extent was compared.
                unsafe { segment_sums(t.input.add(t.rows_in[i] as usize + segment as usize), w, t.quads, &mut acc) };
                w = w.wrapping_add(64 * t.quads);
            }
            // SAFETY: `at + n <= oc`.
            unsafe { finish(t, i, at, &acc[..n]) };
        }
    }
}

/// Adds one segment's products. On its own, so that nothing else claims registers in the loop.
///
/// # Safety
/// `4 * quads` bytes are readable from `x`, and `OUTPUTS` words from every 64th byte of `w`, `quads` times.
#[inline(never)]
unsafe fn segment_sums(mut x: *const u8, mut w: *const i8, quads: usize, sums: &mut [i32; OUTPUTS]) {
    let mut acc = *sums;
    let end = x.wrapping_add(4 * quads);
    while x != end {
        // SAFETY: readable as stated; unaligned.
        let wide = unsigned(unsafe { x.cast::<u32>().read_unaligned() });
        for (o, acc) in acc.iter_mut().enumerate() {
            // SAFETY: readable as stated; unaligned.
            let [even, odd] = signed(unsafe { w.wrapping_add(4 * o).cast::<u32>().read_unaligned() });
            *acc = smlad(odd, wide[1], smlad(even, wide[0], *acc));
        }
        (x, w) = (x.wrapping_add(4), w.wrapping_add(64));
    }
    *sums = acc;
}

unsafe fn depthwise(t: &DepthwiseTile) {
    let block = t.quads * 64;
    for i in 0..t.rows_in.len() {
        for at in (0..t.oc).step_by(4) {
            let n = 4.min(t.oc - at);
            let mut acc = [0i32; 4];
            let Some(weights) = t.weights.get(at / 16 * block..) else { return };
            if weights.len() < block {
                return;
            }
            for (q, taps) in t.segments.chunks(4).take(t.quads).enumerate() {
                // Channels `at..at + 4` of up to four taps; what is missing is zero.
                let mut x = [[0u32; 2]; 4];
                for (x, &tap) in x.iter_mut().zip(taps) {
                    // SAFETY: `oc` bytes are readable from each tap by the validity of the tile.
                    *x = unsafe { channels(t.input.add(t.rows_in[i] as usize + tap as usize + at), n) };
                }
                // Taps 0 and 2, 1 and 3 of each channel.
                let low = |a: u32, b: u32| a & 0xffff | b << 16;
                let high = |a: u32, b: u32| a >> 16 | b & 0xffff_0000;
                let [a, b, c, d] = x;
                let pairs = [
                    [low(a[0], c[0]), low(b[0], d[0])],
                    [low(a[1], c[1]), low(b[1], d[1])],
                    [high(a[0], c[0]), high(b[0], d[0])],
                    [high(a[1], c[1]), high(b[1], d[1])],
                ];
                for (k, (acc, pair)) in acc.iter_mut().zip(pairs).enumerate() {
                    // SAFETY: a quad of taps has 64 bytes of weights, `at % 16 + k < 16`, and the block's extent was compared.
                    let [even, odd] = signed(unsafe { weights.as_ptr().add(64 * q + 4 * (at % 16 + k)).cast::<u32>().read_unaligned() });
                    *acc = smlad(odd, pair[1], smlad(even, pair[0], *acc));
                }
            }
            // SAFETY: `at + n <= oc`.
            unsafe { finish(t, i, at, &acc[..n]) };
        }
    }
}

/// Four channels, widened; where fewer are left, the others are zero.
///
/// # Safety
/// `n <= 4` bytes are readable.
#[inline(always)]
unsafe fn channels(x: *const u8, n: usize) -> [u32; 2] {
    if n == 4 {
        // SAFETY: four bytes; unaligned.
        return unsigned(unsafe { x.cast::<u32>().read_unaligned() });
    }
    let mut bytes = [0; 4];
    for (k, byte) in bytes.iter_mut().take(n).enumerate() {
        // SAFETY: below `n`.
        *byte = unsafe { *x.add(k) };
    }
    unsigned(u32::from_le_bytes(bytes))
}
