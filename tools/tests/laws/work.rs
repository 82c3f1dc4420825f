//! L4: what a frame may cost, and the budget.

use quiescent::engine::{StepTime, Times, TimesError};
use quiescent::{Engine, Mode, kernels};

use crate::net::{self, set_thresholds};
use crate::scene::{Event, Scene};
use crate::{assert_same, graphs, holds, plan, step};

/// No step runs a row twice, and the total is what the steps say.
fn bounded(engine: &Engine, name: &str) {
    let (stats, dense) = (engine.stats(), engine.model().header.cost.macs.get());
    assert!(stats.macs <= dense, "{name}: {} of {dense} multiply-accumulates", stats.macs);
    let mut sum = 0;
    for s in engine.step_stats() {
        assert!(s.rows <= s.of, "{name}: {s:?}");
        sum += s.macs;
    }
    assert_eq!(sum, stats.macs, "{name}");
}

#[test]
fn no_frame_costs_more_than_dense() {
    let cases = graphs::all().into_iter().chain((300..340).map(graphs::random));
    for case in cases {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            let name = format!("{} held {hold_name}", case.name);
            for (above, tau) in [(0.75, 0), (1.0, 0), (1.0, 4)] {
                set_thresholds(&mut a, tau as u16, 0, tau, 0);
                a.set_dense_above(above);
                let mut arena = a.arena();
                let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
                let mut scene = Scene::new(50, case.shape());
                step(&mut engine, scene.frame());
                assert!(engine.stats().dense);
                for _ in 0..40 {
                    let event = scene.next();
                    step(&mut engine, scene.frame());
                    bounded(&engine, &name);
                    if event == Event::Still && tau == 0 {
                        assert_eq!((engine.stats().macs, engine.stats().pixels), (0, 0), "{name}: a still frame");
                    }
                }
            }
        }
    }
}

#[test]
fn a_cut_runs_dense() {
    for case in graphs::all() {
        let mut a = net::artifact(&case.graph, &plan(&case), quiescent_tools::lower::Hold::All);
        for pixel in [0, 4] {
            set_thresholds(&mut a, pixel, 0, 2, 0);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            let mut scene = Scene::new(51, case.shape());
            let negative: Vec<u8> = scene.frame().iter().map(|v| v.wrapping_add(128)).collect();
            for frame in [scene.frame().to_vec(), negative.clone(), scene.frame().to_vec()] {
                step(&mut engine, &frame);
                let (stats, dense) = (engine.stats(), engine.model().header.cost.macs.get());
                assert!(stats.dense && stats.macs == dense, "{}", case.name);
                bounded(&engine, &case.name);
                step(&mut engine, &frame);
                assert!(!engine.stats().dense && engine.stats().macs == 0, "{}", case.name);
            }
            scene.advance();
            step(&mut engine, scene.frame());
            assert!(!engine.stats().dense, "{}", case.name);
        }
    }
}

/// Multiply-accumulates of the dearest segment: a frame that may spend as much can always finish one.
fn largest_segment(engine: &Engine) -> u64 {
    let m = engine.model();
    let cost = |s: &quiescent::format::Step| u64::from(s.macs) * m.tensors[s.output as usize].rows() as u64;
    m.segments.iter().map(|s| m.steps[s.first as usize..s.end as usize].iter().map(cost).sum()).max().unwrap_or(0)
}

/// Every gated frame keeps to the budget; when the picture stands still, the held tensors become those of the dense
/// network.
#[test]
fn budgets_hold_and_converge() {
    let cases = graphs::all().into_iter().chain((400..430).map(graphs::random));
    let (mut converged, mut tried, mut small) = (0, 0, 0);
    for case in cases {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            a.set_dense_above(1.0);
            let (mut m, mut n) = (a.arena(), a.arena());
            let mut engine = a.engine(&mut m, kernels::best()).unwrap();
            let mut dense = a.engine(&mut n, kernels::best()).unwrap();
            dense.set_mode(Mode::Dense);
            let whole = engine.model().header.cost.macs.get();
            for share in [0.05, 0.3, 0.8] {
                let name = format!("{} held {hold_name}, budget {share}", case.name);
                let budget = (whole as f64 * share) as u64;
                engine.reset();
                engine.set_budget(Some(budget));
                let mut scene = Scene::new(52, case.shape());
                step(&mut engine, scene.frame());
                for t in 0..30 {
                    scene.next();
                    step(&mut engine, scene.frame());
                    let stats = engine.stats();
                    assert!(!stats.dense && stats.macs <= budget, "{name}, frame {t}: {} of {budget}", stats.macs);
                    bounded(&engine, &name);
                }
                // A budget below what one segment needs whole may never get to it.
                let enough = budget >= largest_segment(&engine);
                step(&mut dense, scene.frame());
                for _ in 0..400 {
                    step(&mut engine, scene.frame());
                    assert!(engine.stats().macs <= budget, "{name}");
                }
                tried += 1;
                if enough {
                    converged += 1;
                    assert_eq!(engine.stats().macs, 0, "{name}: still working");
                    assert_same(&engine, &dense, || name.clone());
                } else {
                    small += usize::from(crate::outputs(&engine) == crate::outputs(&dense));
                }
            }
        }
    }
    println!("{converged} of {tried} budgets had room for the dearest segment; of the others {small} converged");
    assert!(converged >= 60, "{converged} of {tried}");
}

/// Budget and thresholds together: what is put off is the only thing out of bounds.
#[test]
fn budgets_keep_the_bounds() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 3, 16, 3, 1);
            a.set_dense_above(1.0);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            let budget = engine.model().header.cost.macs.get() / 5;
            engine.set_budget(Some(budget));
            let mut scene = Scene::new(53, case.shape());
            for t in 0..120 {
                scene.next();
                step(&mut engine, scene.frame());
                assert!(engine.stats().dense || engine.stats().macs <= budget);
                for audit in engine.audit().collect::<Vec<_>>() {
                    assert!(audit.worst <= audit.limit, "{} held {hold_name}, frame {t}: {audit:?}", case.name);
                }
            }
        }
    }
}

/// When a scene has come to rest, what the gates let stand is replaced once: everything is as the dense network has it.
#[test]
fn a_scene_at_rest_is_refreshed() {
    let mut refreshed = 0;
    for case in graphs::all() {
        let mut a = net::artifact(&case.graph, &plan(&case), quiescent_tools::lower::Hold::All);
        set_thresholds(&mut a, 3, 16, 3, 1);
        let gate = a.header().input_gate;
        a.set_gates(quiescent::format::InputGate { refresh: 1, ..gate }, |_| ());
        let (mut m, mut n) = (a.arena(), a.arena());
        let mut engine = a.engine(&mut m, kernels::best()).unwrap();
        let mut dense = a.engine(&mut n, kernels::best()).unwrap();
        dense.set_mode(Mode::Dense);
        let mut scene = Scene::new(54, case.shape());
        let (mut work, whole) = (0, engine.model().header.cost.macs.get());
        for _ in 0..40 {
            scene.next();
            step(&mut engine, scene.frame());
            work = if engine.stats().dense { 0 } else { work + engine.stats().macs };
        }
        let mut dense_frames = 0;
        for _ in 0..12 {
            step(&mut engine, scene.frame());
            dense_frames += usize::from(engine.stats().dense);
        }
        // Once where enough was done since the last dense frame, and not again while nothing happens.
        assert!(dense_frames <= 1, "{}: {dense_frames} refreshes of a still scene", case.name);
        if work >= whole / 16 {
            assert_eq!(dense_frames, 1, "{}: {work} of {whole} done and no refresh", case.name);
            step(&mut dense, scene.frame());
            assert_same(&engine, &dense, || case.name.clone());
            refreshed += 1;
        }
    }
    assert!(refreshed > 0, "no network came to need a refresh");
}

/// While everything changes in every frame gating pauses, but for a probe now and then; when the scene calms down it comes back.
#[test]
fn gating_pauses_while_it_does_not_pay() {
    for case in graphs::all() {
        let mut a = net::artifact(&case.graph, &plan(&case), quiescent_tools::lower::Hold::All);
        set_thresholds(&mut a, 0, 0, 0, 0);
        let (mut m, mut n) = (a.arena(), a.arena());
        let mut engine = a.engine(&mut m, kernels::best()).unwrap();
        let mut dense = a.engine(&mut n, kernels::best()).unwrap();
        dense.set_mode(Mode::Dense);
        engine.set_adaptive(true);
        let mut scene = Scene::new(55, case.shape());
        let mut gated = 0;
        for t in 0..200 {
            scene.next();
            // A small change everywhere: no cut, and nothing to skip.
            let frame: Vec<u8> = scene.frame().iter().map(|v| v.wrapping_add(5 * (t % 2))).collect();
            step(&mut engine, &frame);
            step(&mut dense, &frame);
            assert_same(&engine, &dense, || format!("{}, frame {t}", case.name));
            gated += usize::from(engine.stats().pixels > 0);
        }
        assert!(gated < 40, "{}: {gated} of 200 frames were compared", case.name);
        let frame = scene.frame().to_vec();
        let calm = (0..34).position(|_| {
            step(&mut engine, &frame);
            !engine.stats().dense && engine.stats().macs == 0
        });
        assert!(calm.is_some(), "{}: gating does not come back", case.name);
    }
}

/// The same with times instead of multiply-accumulates: what a frame is predicted to take stays within the budget.
#[test]
fn budgets_hold_in_time() {
    for case in graphs::all() {
        let a = net::artifact(&case.graph, &plan(&case), holds()[0].1.clone());
        let (mut m, mut n) = (a.arena(), a.arena());
        let steps = vec![StepTime { fixed_ns: 700, row_ps: 9_000 }; a.model().steps.len()];
        let times = Times { frame_ns: 2_000, dense_ns: 900_000, steps: &steps };
        let mut engine = a.engine(&mut m, kernels::best()).unwrap();
        let short = Times { steps: &steps[1..], ..times };
        assert_eq!(engine.set_times(Some(short)), Err(TimesError { needed: steps.len(), given: steps.len() - 1 }));
        engine.set_times(Some(times)).unwrap();
        let mut dense = a.engine(&mut n, kernels::best()).unwrap();
        dense.set_mode(Mode::Dense);
        let budget = 400_000_000;
        engine.set_budget(Some(budget));
        let mut scene = Scene::new(53, case.shape());
        step(&mut engine, scene.frame());
        let mut worked = false;
        for t in 0..30 {
            scene.next();
            step(&mut engine, scene.frame());
            let stats = engine.stats();
            assert!(!stats.dense && stats.cost <= budget, "{}, frame {t}: {} of {budget}", case.name, stats.cost);
            worked |= stats.cost > 2_000_000;
        }
        assert!(worked, "{}", case.name);
        step(&mut dense, scene.frame());
        for _ in 0..400 {
            step(&mut engine, scene.frame());
        }
        assert_eq!(engine.stats().cost, 2_000_000, "{}: still working", case.name);
        assert_same(&engine, &dense, || case.name.clone());
    }
}
