//! Changes that wait for a later frame: for how many, and which never do.

use quiescent::format::InputGate;
use quiescent::{Engine, Mode, Stats, kernels};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::lower::Hold;

use crate::graphs;
use crate::net::{self, let_wait, set_thresholds};
use crate::scene::Scene;
use crate::{assert_same, holds, outputs, plan, step};

const PIXEL: u16 = 4;
const WAIT: u8 = 2;
/// In 256ths: more than a speck, less than a blob.
const FEW: u8 = 8;

fn artifact(case: &graphs::Case, hold: Hold, few: u8) -> Artifact {
    let mut a = net::artifact(&case.graph, &plan(case), hold);
    set_thresholds(&mut a, PIXEL, 0, 4, 1);
    let gate = a.header().input_gate;
    a.set_gates(InputGate { shift: 0, ..gate }, |_| ());
    let_wait(&mut a, WAIT, few);
    a
}

/// Steps, and whether the outputs are those of before.
fn stands(engine: &mut Engine, frame: &[u8]) -> (Stats, bool) {
    let before = outputs(engine);
    step(engine, frame);
    (engine.stats(), outputs(engine) == before)
}

/// The frame with its first pixels inverted.
fn speck(frame: &[u8], pixels: usize, c: usize) -> Vec<u8> {
    frame.iter().enumerate().map(|(i, v)| if i / c < pixels { v ^ 0x80 } else { *v }).collect()
}

/// A few changes wait for the stated number of frames and no longer, many and those after stillness do not wait.
#[test]
fn few_changes_wait_for_a_stated_number_of_frames() {
    for case in graphs::all() {
        let [h, w, c] = case.shape();
        let a = artifact(&case, Hold::All, FEW);
        let still = Scene::new(5, case.shape()).frame().to_vec();
        let (small, large) = (speck(&still, 1, c), speck(&still, h * w / 4, c));
        let mut arena = a.arena();
        let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
        step(&mut engine, &still);
        for t in 0..WAIT {
            let (stats, stood) = stands(&mut engine, &small);
            assert!(stats.waits && stats.macs == 0 && stats.pixels == 1 && stood, "{}, frame {t}: {stats:?}", case.name);
        }
        for t in 0..3 {
            let (stats, _) = stands(&mut engine, &small);
            assert!(!stats.waits && stats.pixels == u32::from(t == 0), "{}, frame {t}: {stats:?}", case.name);
        }
        // Nothing was computed for a while.
        let (stats, _) = stands(&mut engine, &still);
        assert!(!stats.waits && stats.pixels == 1, "{}: {stats:?}", case.name);
        let (stats, _) = stands(&mut engine, &large);
        assert!(!stats.waits && stats.pixels as usize == h * w / 4, "{}: {stats:?}", case.name);
    }
}

/// Fewer than the stated share of the pixels, times the scale, wait; as many do not.
#[test]
fn the_share_that_waits_is_exact() {
    for case in graphs::all() {
        let [h, w, c] = case.shape();
        for (few, scale) in [(64, 1.0), (128, 0.5), (129, 0.5)] {
            let a = artifact(&case, Hold::All, few);
            let limit = (h * w).div_ceil(4);
            for (pixels, waits) in [(limit - 1, true), (limit, false)] {
                let mut arena = a.arena();
                let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
                engine.set_mode(Mode::Gated { scale });
                let still = Scene::new(5, case.shape()).frame().to_vec();
                step(&mut engine, &still);
                let (stats, _) = stands(&mut engine, &speck(&still, pixels, c));
                assert_eq!((stats.waits, stats.pixels as usize), (waits, pixels), "{}, {few} by {scale}", case.name);
            }
        }
    }
}

/// Under a budget nothing waits.
#[test]
fn nothing_waits_under_a_budget() {
    for case in graphs::all() {
        let a = artifact(&case, Hold::All, 255);
        let mut arena = a.arena();
        let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
        engine.set_budget(Some(a.header().cost.macs.get()));
        let mut scene = Scene::new(7, case.shape());
        for _ in 0..60 {
            scene.next();
            step(&mut engine, scene.frame());
            assert!(!engine.stats().waits, "{}: {:?}", case.name, engine.stats());
        }
    }
}

/// Whatever happens, and whatever is set between frames, no pixel is off by more than its test for more frames than may wait.
#[test]
fn nothing_waits_longer() {
    for case in graphs::all() {
        for (name, hold) in holds() {
            let a = artifact(&case, hold, 255);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            let mut scene = Scene::new(7, case.shape());
            let (mut off_for, mut longest, mut waited) = (0, 0, 0);
            for t in 0..300 {
                scene.next();
                engine.set_adaptive(false);
                step(&mut engine, scene.frame());
                let input = engine.model().header.input as usize;
                let held = engine.held_rows(input).unwrap().flatten();
                let off = held.zip(scene.frame()).map(|(h, f)| u16::from(h.abs_diff(*f))).max().unwrap();
                off_for = if off > 2 * PIXEL { off_for + 1 } else { 0 };
                assert!(off_for <= WAIT, "{} held {name}, frame {t}: {:?}", case.name, engine.stats());
                longest = longest.max(off_for);
                waited += u32::from(engine.stats().waits);
            }
            assert!(longest == WAIT && waited > 50, "{} held {name}: {longest}, {waited}", case.name);
        }
    }
}

/// At scale 0 every frame is the dense network's.
#[test]
fn nothing_waits_at_scale_0() {
    for case in graphs::all() {
        let a = artifact(&case, Hold::All, 255);
        let (mut m, mut n) = (a.arena(), a.arena());
        let mut exact = a.engine(&mut m, kernels::best()).unwrap();
        let mut dense = a.engine(&mut n, kernels::best()).unwrap();
        exact.set_mode(Mode::Gated { scale: 0.0 });
        dense.set_mode(Mode::Dense);
        let mut scene = Scene::new(9, case.shape());
        for t in 0..60 {
            scene.next();
            step(&mut exact, scene.frame());
            step(&mut dense, scene.frame());
            assert!(!exact.stats().waits);
            assert_same(&exact, &dense, || format!("{}, frame {t}", case.name));
        }
    }
}
