//! L2: with all thresholds 0, or at scale 0, gated execution equals the dense network bit for bit.

use quiescent::{Engine, Mode, kernels};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::lower::Hold;

use crate::graphs::{self, Case};
use crate::net::{self, Random, set_thresholds};
use crate::scene::{Event, Scene};
use crate::{assert_same, holds, plan, step};

/// The dense scalar engine beside one gated engine for each kernel set, over `frames` frames of scenes, resets and
/// changes of mode. With `calibrated` thresholds the exact frames are those at scale 0, with inexact ones in between.
fn check(name: &str, a: &Artifact, shape: [usize; 3], frames: usize, seed: u64, calibrated: bool) {
    let sets: Vec<_> = kernels::available().collect();
    let mut arena = a.arena();
    let mut dense = a.engine(&mut arena, sets[0]).unwrap();
    dense.set_mode(Mode::Dense);
    let mut arenas: Vec<_> = sets.iter().map(|_| a.arena()).collect();
    let mut gated: Vec<Engine> = arenas.iter_mut().zip(&sets).map(|(m, set)| a.engine(m, set).unwrap()).collect();
    let exact = if calibrated { 0.0 } else { 1.0 };
    let (mut scene, mut r) = (Scene::new(seed, shape), Random::new(seed));
    let (mut mode, mut skipped, mut events) = (Mode::Gated { scale: exact }, 0u64, [0; 5]);
    for t in 0..frames {
        let event = scene.next();
        events[event as usize] += 1;
        let reset = r.chance(2);
        mode = match r.below(100) {
            0..5 => Mode::Dense,
            5..10 if calibrated => Mode::Gated { scale: 1.0 },
            10..40 => Mode::Gated { scale: exact },
            _ => mode,
        };
        let judged = mode != Mode::Gated { scale: 1.0 } || !calibrated;
        if judged {
            step(&mut dense, scene.frame());
        }
        for engine in &mut gated {
            if reset {
                engine.reset();
            }
            engine.set_mode(mode);
            step(engine, scene.frame());
            if judged {
                assert_same(engine, &dense, || {
                    format!("{name}, {}, frame {t}, {event:?}, {mode:?}, stats {:?}", engine.kernels(), engine.stats())
                });
            }
        }
        skipped += u64::from(!gated[0].stats().dense);
        let sums: Vec<u64> = gated.iter().map(|e| e.stats().macs).collect();
        assert!(sums.iter().all(|s| *s == sums[0]), "{name}: work differs between kernel sets: {sums:?}");
    }
    assert!(skipped as usize > frames / 4, "{name}: only {skipped} frames of {frames} were gated");
    assert!(frames < 100 || events[Event::Cut as usize] > 0);
}

fn both(case: &Case, frames: usize, seed: u64) {
    let plan = plan(case);
    for (hold_name, hold) in holds() {
        let name = format!("{} held {hold_name}", case.name);
        let mut a = net::artifact(&case.graph, &plan, hold);
        check(&name, &a, case.shape(), frames, seed, false);
        // Never dense by itself: cuts too go through masks.
        a.set_dense_above(1.0);
        check(&name, &a, case.shape(), frames / 3, seed + 1, false);
        set_thresholds(&mut a, 6, 24, 3, 1);
        check(&name, &a, case.shape(), frames, seed + 2, true);
    }
}

#[test]
fn residual_network() {
    both(&graphs::residual(), 300, 11);
}

#[test]
fn shuffled_network() {
    both(&graphs::shuffle(), 300, 12);
}

#[test]
fn feature_pyramid() {
    both(&graphs::pyramid(), 300, 13);
}

#[test]
fn excited_network() {
    both(&graphs::excited(), 300, 14);
}

#[test]
fn space_and_depth() {
    both(&graphs::space(), 300, 15);
}

#[test]
fn mixed_types() {
    both(&graphs::mixed(), 300, 16);
}

#[test]
fn random_graphs() {
    for seed in 0..120 {
        both(&graphs::random(seed), 18, 20 + seed);
    }
}

/// Long runs: nothing builds up.
#[test]
fn ten_thousand_frames() {
    let case = graphs::shuffle();
    let a = net::artifact(&case.graph, &plan(&case), Hold::Ratio(1.3));
    check("shuffle", &a, case.shape(), 10_000, 31, false);
}
