//! What the check accepts, the engine executes: mutated artifacts run on random frames without a panic, and alike on
//! every kernel set.

mod sample;
#[path = "sample/xorshift.rs"]
mod xorshift;

use quiescent::format::{AlignedBytes, Header, arena_len, check, seal};
use quiescent::{Engine, Frame, Mode, kernels};
use sample::net;
use xorshift::Xorshift;
use zerocopy::FromBytes;

/// Outputs of a dense frame and of gated ones at scale 0 and 1, the last under a budget.
fn run(bytes: &[u8], set: &kernels::Kernels, seed: u64) -> Vec<u32> {
    let mut arena = AlignedBytes::zeroed(arena_len(bytes).unwrap());
    let mut engine = Engine::load(bytes, &mut arena, set).unwrap();
    let model = *engine.model();
    let t = &model.tensors[model.header.input as usize];
    let mut random = Xorshift(seed | 1);
    let mut frame: Vec<u8> = (0..t.rows() * t.c as usize).map(|_| random.below(256) as u8).collect();
    let mut bits = Vec::new();
    for (k, scale) in [1.0, 0.0, 1.0, 1.0].into_iter().enumerate() {
        engine.set_mode(Mode::Gated { scale });
        engine.set_budget((k == 3).then_some(100));
        for _ in 0..3 {
            let at = random.below(frame.len());
            frame[at] = random.below(256) as u8;
        }
        let outputs = engine.step(Frame::Pixels(&frame)).unwrap();
        for o in outputs.iter() {
            bits.extend((0..o.len()).map(|i| o.at(i).to_bits()));
        }
    }
    let reals: Vec<f32> = frame.iter().map(|v| *v as f32 * 0.7).collect();
    engine.step(Frame::Values(&reals)).unwrap();
    bits
}

/// With thresholds of 0, gated frames equal dense ones bit for bit.
fn exact(bytes: &[u8], set: &kernels::Kernels, seed: u64) {
    let mut arenas = [0, 1].map(|_| AlignedBytes::zeroed(arena_len(bytes).unwrap()));
    let [a, b] = &mut arenas;
    let mut gated = Engine::load(bytes, a, set).unwrap();
    let mut dense = Engine::load(bytes, b, set).unwrap();
    gated.set_mode(Mode::Gated { scale: 0.0 });
    dense.set_mode(Mode::Dense);
    let t = &gated.model().tensors[gated.model().header.input as usize];
    let mut random = Xorshift(seed | 1);
    let mut frame: Vec<u8> = (0..t.rows() * t.c as usize).map(|_| random.below(256) as u8).collect();
    for _ in 0..4 {
        let at = random.below(frame.len());
        frame[at] = random.below(256) as u8;
        let (a, b) = (gated.step(Frame::Pixels(&frame)).unwrap(), dense.step(Frame::Pixels(&frame)).unwrap());
        for (a, b) in a.iter().zip(b.iter()) {
            for i in 0..a.len() {
                assert_eq!(a.at(i).to_bits(), b.at(i).to_bits(), "{} element {i}", a.name());
            }
        }
    }
}

#[test]
fn zero_thresholds_are_exact() {
    let bytes = AlignedBytes::from(net().0.b.finish());
    for set in kernels::available() {
        // Miri takes minutes for each.
        for seed in 0..if cfg!(miri) { 2 } else { 200 } {
            exact(&bytes, set, seed);
        }
    }
}

#[test]
fn accepted_mutants_run() {
    let original = AlignedBytes::from(net().0.b.finish());
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let sets: Vec<_> = kernels::available().collect();
    let records = Header::ref_from_prefix(&original).unwrap().0.data.offset as usize;
    let mut ran = 0;
    for round in 0..2000 {
        let mut bytes = original.clone();
        for _ in 0..random.below(4) {
            let at = random.below(if round % 3 == 0 { records } else { bytes.len() });
            bytes[at] = match random.below(4) {
                0 => bytes[at] ^ 1 << random.below(8),
                1 => bytes[at].wrapping_add(1),
                2 => 0xff,
                _ => random.below(256) as u8,
            };
        }
        seal(&mut bytes);
        let Ok(m) = check(&bytes) else { continue };
        if m.header.arena_len > 1 << 20 || m.outputs.iter().any(|o| o.name_len == 0) {
            continue;
        }
        let seed = random.below(usize::MAX) as u64;
        let first = run(&bytes, sets[0], seed);
        for set in &sets[1..] {
            assert_eq!(first, run(&bytes, set, seed), "{} in round {round}", set.name);
        }
        exact(&bytes, sets[0], seed);
        ran += 1;
    }
    assert!(ran > 200, "{ran}");
}
