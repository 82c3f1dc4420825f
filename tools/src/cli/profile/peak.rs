//! What this core can do at most: the multiply-accumulate instruction of a kernel set on registers alone.
//!
//! Independent sums hide the instruction's latency, and nothing is loaded or stored, so the figure is a ceiling for any
//! kernel of that set. The best of several short runs counts: other work on the machine only lowers it.

use std::hint::black_box;
use std::time::Instant;

/// Multiply-accumulates per second of the kernel set of that name; `None` where the set has no such instruction.
pub fn macs_per_second(set: &str) -> Option<f64> {
    /// Rounds of one timed run: below a millisecond.
    const ROUNDS: usize = 20_000;
    const RUNS: usize = 200;
    let burst = burst(set)?;
    let run = |_| {
        let start = Instant::now();
        let macs = burst(ROUNDS);
        macs as f64 / start.elapsed().as_secs_f64()
    };
    Some((0..RUNS).map(run).fold(0.0, f64::max))
}

/// Runs so many rounds and says how many multiply-accumulates they were.
type Burst = fn(usize) -> usize;

/// Independent sums; more than latency times throughput of any core meant here, fewer than its registers.
const SUMS: usize = 12;

#[cfg(target_arch = "x86_64")]
fn burst(set: &str) -> Option<Burst> {
    match set {
        "avx512vnni" if is_x86_feature_detected!("avx512vnni") => Some(x86_64::vnni),
        "avxvnni" if is_x86_feature_detected!("avxvnni") => Some(x86_64::avxvnni),
        "avx2" if is_x86_feature_detected!("avx2") => Some(x86_64::avx2),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;

    use super::{SUMS, black_box};

    /// Runs the dot step of a vector type, `$macs` products, on each of `SUMS` sums, `rounds` times.
    macro_rules! burst {
        ($name:ident, $features:literal, $splat:ident, $dot:ident, $macs:literal) => {
            pub fn $name(rounds: usize) -> usize {
                #[target_feature(enable = $features)]
                fn run(rounds: usize) {
                    let (a, b) = black_box(($splat(3), $splat(-2)));
                    let mut sums = [$splat(0); SUMS];
                    for _ in 0..rounds {
                        for s in &mut sums {
                            *s = $dot(*s, a, b);
                        }
                    }
                    black_box(sums);
                }
                // SAFETY: `burst` hands this out where the processor has the features.
                unsafe { run(rounds) };
                rounds * SUMS * $macs
            }
        };
    }

    burst!(vnni, "avx512f,avx512bw,avx512vnni", _mm512_set1_epi8, _mm512_dpbusd_epi32, 64);
    burst!(avxvnni, "avx2,avxvnni", _mm256_set1_epi8, _mm256_dpbusd_avx_epi32, 32);

    /// Four instructions of which two multiply: the step of the kernels.
    pub fn avx2(rounds: usize) -> usize {
        #[target_feature(enable = "avx2")]
        fn run(rounds: usize) {
            let (size, fold) = black_box((_mm256_set1_epi8(2), _mm256_set1_epi8(-128)));
            let mut sums = black_box([_mm256_set1_epi16(3); SUMS]);
            for _ in 0..rounds {
                // The sum of a round is an operand of the next: nothing can be taken out of the loop.
                for s in &mut sums {
                    let pairs = _mm256_maddubs_epi16(size, _mm256_xor_si256(*s, fold));
                    *s = _mm256_add_epi32(*s, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                }
            }
            black_box(sums);
        }
        // SAFETY: `burst` hands this out where the processor has the feature.
        unsafe { run(rounds) };
        rounds * SUMS * 32
    }
}

#[cfg(target_arch = "aarch64")]
fn burst(set: &str) -> Option<Burst> {
    use std::arch::is_aarch64_feature_detected as has;
    match set {
        "neon" => Some(aarch64::neon),
        "dotprod" if has!("dotprod") => Some(aarch64::dotprod),
        "i8mm" if has!("i8mm") => Some(aarch64::i8mm),
        _ => None,
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::*;
    use std::arch::asm;

    use super::{SUMS, black_box};

    /// Runs instructions that add `$macs` products to each of `SUMS` sums, `rounds` times.
    macro_rules! burst {
        ($name:ident, $macs:literal, $($line:literal),+) => {
            pub fn $name(rounds: usize) -> usize {
                // SAFETY: NEON is part of the targets meant here.
                let (a, b, mut sums) =
                    unsafe { (vdupq_n_s8(black_box(3)), vdupq_n_s8(black_box(-2)), [vdupq_n_s32(0); SUMS]) };
                for _ in 0..rounds {
                    for s in &mut sums {
                        // SAFETY: registers alone; `burst` hands this out where the processor has the instruction.
                        unsafe {
                            asm!($($line,)+ "// {t:v}", s = inout(vreg) *s, a = in(vreg) a, b = in(vreg) b,
                                 t = out(vreg) _, options(pure, nomem, nostack));
                        }
                    }
                }
                black_box(sums);
                rounds * SUMS * $macs
            }
        };
    }

    burst!(neon, 16, "smull {t:v}.8h, {a:v}.8b, {b:v}.8b", "smlal2 {t:v}.8h, {a:v}.16b, {b:v}.16b", "sadalp {s:v}.4s, {t:v}.8h");
    burst!(dotprod, 16, ".arch_extension dotprod", "sdot {s:v}.4s, {a:v}.16b, {b:v}.16b");
    burst!(i8mm, 32, ".arch_extension i8mm", "usmmla {s:v}.4s, {a:v}.16b, {b:v}.16b");
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn burst(_set: &str) -> Option<Burst> {
    None
}
