//! How frames differ from what is held, four bytes at a time.

use core::arch::asm;

use super::super::super::scalar;
use crate::kernels::{CompareTile, DriftTile, compare as lines};
use crate::mask;

/// `max(a - b, 0)` of each byte.
#[inline(always)]
fn above(a: u32, b: u32) -> u32 {
    let d;
    // SAFETY: arithmetic on registers.
    unsafe { asm!("uqsub8 {}, {}, {}", lateout(reg) d, in(reg) a, in(reg) b, options(pure, nomem, nostack, preserves_flags)) };
    d
}

/// `sum` and the four bytes of `x`.
#[inline(always)]
fn add_bytes(x: u32, sum: u32) -> u32 {
    let s;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("usada8 {}, {}, {}, {}", lateout(reg) s, in(reg) x, in(reg) 0, in(reg) sum, options(pure, nomem, nostack, preserves_flags))
    };
    s
}

/// Bit `i`: byte `i` is not 0.
#[inline(always)]
fn nonzero(x: u32) -> u64 {
    let high = (((x & 0x7f7f_7f7f) + 0x7f7f_7f7f) | x) & 0x8080_8080;
    ((high >> 7).wrapping_mul(0x0102_0408) >> 24) as u64
}

pub fn compare(t: &CompareTile, marks: [&mut [u64]; 2]) -> bool {
    lines::line(t, marks, exceed, mask::by_pixel)
}

/// Bit `i` of word `k`: byte `i` of at most 64 differs by more than threshold `k`.
fn exceed(new: &[u8], held: &[u8], thresholds: [u8; 2]) -> [u64; 2] {
    let ([new, held], mut bits) = ([new, held].map(|x| x.as_chunks::<4>()), [0; 2]);
    let four = thresholds.map(|t| u32::from_ne_bytes([t; 4]));
    for (i, (n, h)) in new.0.iter().zip(held.0).take(16).enumerate() {
        let (n, h) = (u32::from_le_bytes(*n), u32::from_le_bytes(*h));
        let d = above(n, h) | above(h, n);
        let over = above(d, four[0].min(four[1]));
        if over != 0 {
            for (bits, four) in bits.iter_mut().zip(four) {
                *bits |= nonzero(above(d, four)) << (4 * i);
            }
        }
    }
    let rest = 4 * new.0.len();
    if rest < 64 {
        let more = scalar::exceed(new.1, held.1, thresholds);
        bits = core::array::from_fn(|t| bits[t] | more[t] << rest);
    }
    bits
}

pub unsafe fn drift(t: &DriftTile, sums: &mut [i32]) {
    for (g, sum) in sums.iter_mut().enumerate() {
        let width = t.width.saturating_sub(8 * g).min(8);
        let (mut new, mut held) = (t.new.wrapping_add(8 * g), t.held.wrapping_add(8 * g));
        let mut totals = [0u32; 2];
        for _ in 0..t.lines {
            for (total, x) in totals.iter_mut().zip([new, held]) {
                // SAFETY: bytes of a line of either map, below its width.
                unsafe {
                    if width == 8 {
                        let words = x.cast::<[u32; 2]>().read_unaligned();
                        *total = add_bytes(words[1], add_bytes(words[0], *total));
                    } else {
                        (0..width).for_each(|k| *total += *x.add(k) as u32);
                    }
                }
            }
            (new, held) = (new.wrapping_add(t.step[0]), held.wrapping_add(t.step[1]));
        }
        *sum = totals[0].wrapping_sub(totals[1]) as i32;
    }
}
