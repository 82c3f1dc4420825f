//! L2: with all thresholds 0, or at scale 0, gated execution equals the dense network bit for bit.

use quiescent::format::Op;
use quiescent::{Engine, Mode, kernels};
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::clip;
use quiescent_tools::feed::{Feed, Input};
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
    assert!(frames < 100 || skipped as usize > frames / 4, "{name}: only {skipped} frames of {frames} were gated");
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
fn orders_and_functions_of_codes() {
    both(&graphs::ordered(), 200, 17);
}

#[test]
fn averages_in_codes_of_their_own() {
    let case = graphs::averaged();
    let a = net::artifact(&case.graph, &plan(&case), Hold::All);
    let ops: Vec<u16> = a.model().steps.iter().map(|s| s.op).collect();
    let own = ops.iter().filter(|op| **op == Op::Depthwise as u16).count();
    assert!(own >= 3, "averages that keep their operand's codes: {ops:?}");
    both(&case, 200, 18);
}

#[test]
fn random_graphs() {
    for seed in 0..120 {
        both(&graphs::random(seed), 18, 20 + seed);
    }
}

/// The shipped detector through the importer, on frames of its own clip.
#[test]
fn patrol() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/patrol");
    let task = quiescent_tools::task::Task::load(&folder.join("task.toml")).unwrap();
    let clip = folder.join("evaluation.y4m").display().to_string();
    let mut options = quiescent_tools::convert::Options {
        model: folder.join("patrol.onnx"),
        calib: vec![],
        task: None,
        gates: true,
        hold: Hold::All,
        fit: Default::default(),
        profile: quiescent::format::Profile::Any,
        input_shape: None,
        outputs: Vec::new(),
        norm: None,
        mode: None,
        frames: 8,
        calibrate: Default::default(),
    };
    let prepared = quiescent_tools::convert::prepare(&options, Some(&task)).unwrap();
    let calibration = quiescent_tools::convert::calibration_frames(&prepared.input, std::slice::from_ref(&clip), 8).unwrap();
    let frames = Feed::open(&prepared.input, &clip, &clip::Options { frames: Some(60), ..Default::default() }).unwrap();
    let mut frames: Vec<Input> = frames.map(|f| f.unwrap().input).collect();
    // The clip has noise all over; here only a window that wanders over it is live.
    let [h, w, c] = prepared.input.shape;
    for t in 1..frames.len() {
        let [Input::Pixels(before), Input::Pixels(now)] = &mut frames[t - 1..=t] else { panic!("not pixels") };
        let (y0, x0) = (3 * t % h, 5 * t % w);
        for (i, v) in now.iter_mut().enumerate() {
            let (y, x) = (i / c / w, i / c % w);
            if t % 10 != 0 && !((y0..y0 + h / 4).contains(&y) && (x0..x0 + w / 4).contains(&x)) {
                *v = before[i];
            }
        }
    }
    for (hold_name, hold) in holds() {
        options.hold = hold;
        let mut a = quiescent_tools::convert::quantise(&options, &prepared, &calibration, None).unwrap();
        for calibrated in [false, true] {
            set_thresholds(&mut a, 4 * u16::from(calibrated), 0, 3 * u32::from(calibrated), 0);
            let (mut m, mut n) = (a.arena(), a.arena());
            let mut gated = a.engine(&mut m, kernels::best()).unwrap();
            let mut dense = a.engine(&mut n, kernels::best()).unwrap();
            dense.set_mode(Mode::Dense);
            let mut work = 0.0;
            for (t, frame) in frames.iter().enumerate() {
                if calibrated {
                    // Inexact frames between exact ones.
                    gated.set_mode(Mode::Gated { scale: if t % 8 == 0 { 1.0 } else { 0.0 } });
                }
                artifact::step(&mut gated, frame).unwrap();
                artifact::step(&mut dense, frame).unwrap();
                if !calibrated || t % 8 != 0 {
                    assert_same(&gated, &dense, || format!("patrol held {hold_name}, frame {t}"));
                }
                work += gated.stats().macs as f64 / dense.stats().macs as f64 / frames.len() as f64;
            }
            assert!(work < 0.8, "{work}");
        }
    }
}

/// Long runs: nothing builds up.
#[test]
fn ten_thousand_frames() {
    let case = graphs::shuffle();
    let a = net::artifact(&case.graph, &plan(&case), Hold::Ratio(1.3));
    check("shuffle", &a, case.shape(), 10_000, 31, false);
}
