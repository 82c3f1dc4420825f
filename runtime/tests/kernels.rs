//! Every kernel set against the scalar one, bit for bit.
//!
//! Inputs lie against a page that must not be touched, after their end or before their start, so that a byte read too
//! far is a fault. Results are compared with all bytes around them.

#[path = "kernels/guarded.rs"]
mod guarded;
#[path = "kernels/judge.rs"]
mod judge;
#[path = "kernels/pools.rs"]
mod pools;
#[path = "kernels/rows.rs"]
mod rows;
#[path = "kernels/tiles.rs"]
mod tiles;

use quiescent::kernels::{self, Kernels};

/// The sets under test.
fn sets() -> impl Iterator<Item = &'static Kernels> {
    kernels::available().filter(|set| set.name != "scalar")
}

/// A small generator (splitmix64) with the values tests need.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In -1..1.
    fn unit(&mut self) -> f32 {
        (self.next() as i32 as f64 / (1u64 << 31) as f64) as f32
    }

    /// A code; `extreme` prefers the ends.
    fn code(&mut self, extreme: bool) -> u8 {
        let x = self.next();
        match x >> 60 {
            0..7 if extreme => 255,
            7..10 if extreme => 0,
            _ => x as u8,
        }
    }

    /// Mostly ordinary, now and then huge, tiny, infinite or not a number.
    fn wild(&mut self) -> f32 {
        let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e38, -1e38, 1e-42, f32::MAX, 87.5, -103.0];
        match self.below(12) {
            0 => specials[self.below(specials.len())],
            1 => f32::from_bits(self.next() as u32),
            _ => self.unit() * 20.0,
        }
    }
}

#[test]
fn every_set_this_cpu_supports_is_available() {
    for name in kernels::COMPILED {
        let supported = match *name {
            "scalar" => true,
            #[cfg(target_arch = "x86_64")]
            "avx2" => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            "avxvnni" => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            "avx512vnni" => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            "neon" => true,
            #[cfg(target_arch = "aarch64")]
            "dotprod" => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            "i8mm" => std::arch::is_aarch64_feature_detected!("i8mm"),
            other => panic!("no rule for the set {other}"),
        };
        assert_eq!(kernels::select(name).is_some(), supported, "{name}");
        println!("{name}: {}", if supported { "tested" } else { "not on this CPU" });
    }
    let order: Vec<_> = kernels::available().map(|set| set.name).collect();
    let known: Vec<_> = kernels::COMPILED.iter().copied().filter(|name| order.contains(name)).collect();
    assert_eq!(order, known, "slowest first");
    assert_eq!(Some(&kernels::best().name), order.last());
}

/// Where the processor is known, as an emulated one is, `QUIESCENT_SETS` names the sets that must have been tested.
#[test]
fn expected_sets_are_available() {
    let Ok(expected) = std::env::var("QUIESCENT_SETS") else { return };
    let tested: Vec<_> = sets().map(|set| set.name).collect();
    assert_eq!(tested.join(","), expected, "sets tested on this processor");
}
