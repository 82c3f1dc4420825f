//! How frames differ from what is held, four bytes at a time.

use core::arch::asm;
use core::slice;

use super::super::super::scalar;
use crate::kernels::{CompareTile, DriftTile, JudgeTile, Shift, compare as lines};

/// `max(a - b, 0)` of each byte.
#[inline(always)]
fn above(a: u32, b: u32) -> u32 {
    let d;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(processor!(dsp), "uqsub8 {}, {}, {}", lateout(reg) d, in(reg) a, in(reg) b, options(pure, nomem, nostack, preserves_flags))
    };
    d
}

/// `sum` and the four bytes of `x`.
#[inline(always)]
fn add_bytes(x: u32, sum: u32) -> u32 {
    let s;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            processor!(dsp), "usada8 {}, {}, {}, {}",
            lateout(reg) s, in(reg) x, in(reg) 0, in(reg) sum, options(pure, nomem, nostack, preserves_flags)
        )
    };
    s
}

/// Bit `i`: byte `i` is not 0.
#[inline(always)]
fn nonzero(x: u32) -> u64 {
    let high = (((x & 0x7f7f_7f7f) + 0x7f7f_7f7f) | x) & 0x8080_8080;
    ((high >> 7).wrapping_mul(0x0102_0408) >> 24) as u64
}

/// The bytes of `new` where those of `d` are above those of `dead`, those of `held` elsewhere.
#[inline(always)]
fn choose(d: u32, dead: u32, new: u32, held: u32) -> u32 {
    let c;
    // SAFETY: arithmetic on registers, and flags.
    unsafe {
        asm!(
            processor!(dsp), "usub8 {0}, {1}, {2}", "sel {0}, {3}, {4}",
            out(reg) c, in(reg) dead, in(reg) d, in(reg) held, in(reg) new, options(pure, nomem, nostack)
        )
    };
    c
}

pub fn compare(t: &CompareTile, marks: [&mut [u64]; 2]) -> u8 {
    lines::line_without_shift(t, marks, exceed)
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
        let more = scalar::exceed(new.1, held.1, Shift::default(), thresholds);
        bits = core::array::from_fn(|t| bits[t] | more[t] << rest);
    }
    bits
}

pub unsafe fn drift(t: &DriftTile, sums: &mut [i32]) {
    if t.shift != Shift::default() {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.drift)(t, sums) };
    }
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

pub unsafe fn judge(t: &JudgeTile) -> u64 {
    let Some(limit) = t.limit else {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.judge)(t) };
    };
    let bytes = t.weights.len();
    let mut passed = 0;
    for (i, (new, at)) in t.new.chunks_exact(bytes.max(1)).zip(t.rows).take(64).enumerate() {
        // SAFETY: the held row is writable and touched by nothing else (validity of the tile).
        let held = unsafe { slice::from_raw_parts_mut(t.held.add(*at as usize), bytes) };
        if beyond(new, held, t.weights, t.dead, limit) {
            settle(new, held, t.dead);
            passed |= 1 << i;
        }
    }
    passed
}

/// Whether the score of a row is above `limit`. It only grows along the row, and cannot overflow: there are at most 65535 channels.
fn beyond(new: &[u8], held: &[u8], weights: &[u8], dead: u8, limit: u32) -> bool {
    let [new, held, weights] = [new, held, weights].map(|x| x.as_chunks::<4>());
    let (four, mut sum) = (u32::from_ne_bytes([dead; 4]), 0u32);
    for ((n, h), w) in new.0.iter().zip(held.0).zip(weights.0) {
        let (n, h) = (u32::from_le_bytes(*n), u32::from_le_bytes(*h));
        let d = above(above(n, h) | above(h, n), four);
        if d != 0 {
            for (d, w) in d.to_le_bytes().iter().zip(w) {
                let e = ((*d as u32 * *w as u32) >> 4).min(255);
                sum = sum.wrapping_add(e * e);
            }
            if sum > limit {
                return true;
            }
        }
    }
    sum.saturating_add(scalar::score(new.1, held.1, weights.1, dead)) > limit
}

/// Takes over codes that differ by more than `dead`.
fn settle(new: &[u8], held: &mut [u8], dead: u8) {
    let (new, (fours, rest)) = (new.as_chunks::<4>(), held.as_chunks_mut::<4>());
    let four = u32::from_ne_bytes([dead; 4]);
    for (held, n) in fours.iter_mut().zip(new.0) {
        let (n, h) = (u32::from_le_bytes(*n), u32::from_le_bytes(*held));
        *held = choose(above(n, h) | above(h, n), four, n, h).to_le_bytes();
    }
    scalar::settle(new.1, rest, dead);
}
