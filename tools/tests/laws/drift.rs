//! L1 and L5: what a held row may differ from its recomputation by, and what may change it.

use quiescent::{Engine, Mode, kernels};

use crate::graphs;
use crate::net::{self, set_thresholds};
use crate::scene::Scene;
use crate::{holds, outputs, plan, step};

/// Audits every step; returns the largest score in parts of its limit.
fn audit(engine: &mut Engine, what: impl Fn() -> String) -> f32 {
    let mut worst = 0.0f32;
    let all: Vec<_> = engine.audit().collect();
    assert!(!all.is_empty());
    for a in all {
        assert!(a.worst <= a.limit, "{}: {a:?}", what());
        assert!(a.rows > 0);
        worst = worst.max(a.worst as f32 / a.limit.max(1) as f32);
    }
    worst
}

#[test]
fn no_row_drifts() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 4, 16, 4, 1);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            let mut scene = Scene::new(5, case.shape());
            let (mut worst, mut gated) = (0.0f32, 0);
            for t in 1..=1000 {
                scene.drift(t, 20.0, 180.0);
                scene.noise(1);
                step(&mut engine, scene.frame());
                gated += usize::from(!engine.stats().dense);
                if [1, 2, 50, 1000].contains(&t) || t % 60 == 0 {
                    worst = worst.max(audit(&mut engine, || format!("{} held {hold_name}, frame {t}", case.name)));
                }
            }
            assert!(gated > 500, "{}: {gated} gated frames", case.name);
            // The limits are used: the test could fail.
            assert!(worst > 0.2, "{} held {hold_name}: scores reach {worst} of their limits", case.name);
        }
    }
}

/// An audit between frames changes nothing that later frames see.
#[test]
fn auditing_leaves_the_state_alone() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (_, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 4, 16, 4, 1);
            let (mut m, mut n) = (a.arena(), a.arena());
            let mut audited = a.engine(&mut m, kernels::best()).unwrap();
            let mut other = a.engine(&mut n, kernels::best()).unwrap();
            let mut scene = Scene::new(6, case.shape());
            for t in 0..40 {
                scene.next();
                step(&mut audited, scene.frame());
                step(&mut other, scene.frame());
                assert_eq!(audited.stats(), other.stats());
                audit(&mut audited, || format!("{} frame {t}", case.name));
                crate::assert_same(&audited, &other, || format!("{} frame {t}", case.name));
            }
        }
    }
}

/// The audit's scores against the formula of the format, for one convolution: `held` of the gated engine, `new` from a
/// dense engine that is shown the gated one's held input.
#[test]
fn the_audit_scores_as_the_format_says() {
    let case = graphs::single();
    let mut a = net::artifact(&case.graph, &plan(&case), quiescent_tools::lower::Hold::All);
    set_thresholds(&mut a, 5, 0, 6, 2);
    let (mut m, mut n) = (a.arena(), a.arena());
    let mut gated = a.engine(&mut m, kernels::best()).unwrap();
    let mut dense = a.engine(&mut n, kernels::best()).unwrap();
    dense.set_mode(Mode::Dense);
    let mut scene = Scene::new(8, case.shape());
    let mut used = 0;
    for t in 0..200 {
        scene.drift(t, 15.0, 90.0);
        scene.noise(1);
        step(&mut gated, scene.frame());
        let model = *gated.model();
        let input = model.header.input as usize;
        let held: Vec<u8> = gated.held_rows(input).unwrap().flatten().copied().collect();
        step(&mut dense, &held);
        let s = &model.steps[0];
        let gate = &model.gates[s.gate as usize];
        let weights: &[u8] = model.array(gate.weights, model.tensors[s.output as usize].c as usize).unwrap();
        let rows = gated.held_rows(s.output as usize).unwrap().zip(dense.held_rows(s.output as usize).unwrap());
        let worst = rows
            .map(|(held, new)| {
                let e = |((h, n), w): ((&u8, &u8), &u8)| -> u32 {
                    let d = u32::from(h.abs_diff(*n)).saturating_sub(gate.dead);
                    ((d * u32::from(*w)) >> 4).min(255).pow(2)
                };
                held.iter().zip(new).zip(weights).map(e).sum::<u32>()
            })
            .max()
            .unwrap();
        let audit: Vec<_> = gated.audit().collect();
        assert_eq!(audit.len(), model.steps.len());
        assert_eq!((audit[0].worst, audit[0].limit), (worst, gate.threshold), "frame {t}");
        assert!(worst <= gate.threshold);
        used += usize::from(worst > 0);
    }
    assert!(used > 100, "{used}");
}

/// Over the same frames, the error of an engine with 1000 frames behind it is that of one with 300. (Not with 50: rows
/// fill their limits over the first 200 frames or so, and the picture of another time has another error.)
#[test]
fn the_error_does_not_grow() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 4, 16, 3, 1);
            let mut arenas = [a.arena(), a.arena(), a.arena()];
            let [m, n, o] = &mut arenas;
            let mut old = a.engine(m, kernels::best()).unwrap();
            let mut young = a.engine(n, kernels::best()).unwrap();
            let mut dense = a.engine(o, kernels::best()).unwrap();
            dense.set_mode(Mode::Dense);
            let mut scene = Scene::new(9, case.shape());
            let mut error = [0.0f64; 2];
            for t in 1..=1000 {
                scene.drift(t, 20.0, 50.0);
                scene.noise(1);
                step(&mut old, scene.frame());
                if t > 700 {
                    step(&mut young, scene.frame());
                }
                if t > 950 {
                    step(&mut dense, scene.frame());
                    let truth = outputs(&dense);
                    for (error, engine) in error.iter_mut().zip([&old, &young]) {
                        *error += outputs(engine).iter().zip(&truth).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                    }
                }
            }
            let ratio = (error[0] / error[1]).sqrt();
            assert!(error[1] > 0.0, "{} held {hold_name}: nothing was skipped", case.name);
            assert!(ratio < 1.2, "{} held {hold_name}: the error grows {ratio} times", case.name);
        }
    }
}

/// A row without a mark has not changed; a channel within the dead zone keeps its code.
#[test]
fn only_marked_rows_change_and_beyond_the_dead_zone() {
    const DEAD: u32 = 3;
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 3, 0, 3, DEAD);
            a.set_dense_above(1.0);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            let mut scene = Scene::new(10, case.shape());
            step(&mut engine, scene.frame());
            let model = *engine.model();
            let held = |e: &Engine, t: usize| -> Option<Vec<Vec<u8>>> { e.held_rows(t).map(|rows| rows.map(<[u8]>::to_vec).collect()) };
            let gated: Vec<u32> = model.steps.iter().filter(|s| s.gate != u32::MAX).map(|s| s.output).collect();
            let mut judged = 0;
            for frame in 0..60 {
                let before: Vec<_> = (0..model.tensors.len()).map(|t| held(&engine, t)).collect();
                scene.next();
                step(&mut engine, scene.frame());
                if engine.stats().dense {
                    // Such frames rewrite everything and leave no marks.
                    continue;
                }
                judged += 1;
                for (t, before) in before.iter().enumerate() {
                    let (Some(before), Some(now)) = (before, held(&engine, t)) else { continue };
                    let tensor = &model.tensors[t];
                    let marks = engine.changed(t).unwrap();
                    for (row, (b, n)) in before.iter().zip(&now).enumerate() {
                        let (y, x) = (row / tensor.w as usize, row % tensor.w as usize);
                        let marked = marks[y * tensor.words() + x / 64] >> (x % 64) & 1 != 0;
                        let name = || format!("{} held {hold_name}, frame {frame}, tensor {t} ({y}, {x})", case.name);
                        assert!(marked || b == n, "{} changed without a mark", name());
                        if gated.contains(&(t as u32)) {
                            let small = b.iter().zip(n).any(|(b, n)| b != n && u32::from(b.abs_diff(*n)) <= DEAD);
                            assert!(!small, "{} changed within the dead zone: {b:?} {n:?}", name());
                        }
                    }
                }
            }
            assert!(judged > 30, "{} held {hold_name}: {judged} gated frames", case.name);
        }
    }
}

/// At any scale each row obeys the limit of that scale; the limit grows with its square, and work falls.
#[test]
fn the_scale_scales_the_bound() {
    for case in graphs::all() {
        let mut a = net::artifact(&case.graph, &plan(&case), quiescent_tools::lower::Hold::Ratio(2.0));
        set_thresholds(&mut a, 4, 0, 3, 1);
        let mut work = vec![];
        for scale in [0.0, 0.5, 1.0, 2.0, 4.0] {
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            engine.set_mode(Mode::Gated { scale });
            let mut scene = Scene::new(12, case.shape());
            let mut macs = 0;
            for t in 0..120 {
                scene.advance();
                scene.noise(1);
                step(&mut engine, scene.frame());
                macs += engine.stats().macs;
                if t % 20 == 0 {
                    for audit in engine.audit().collect::<Vec<_>>() {
                        let gate = engine.model().steps[audit.step].gate;
                        let threshold = engine.model().gates.get(gate as usize).map_or(0, |g| g.threshold);
                        assert_eq!(audit.limit, (threshold as f32 * scale * scale) as u32);
                        assert!(audit.worst <= audit.limit, "{} at scale {scale}: {audit:?}", case.name);
                    }
                }
            }
            work.push(macs);
        }
        assert!(work.windows(2).all(|w| w[1] as f64 <= 1.02 * w[0] as f64), "{}: {work:?}", case.name);
        assert!(work[4] < work[0], "{}: {work:?}", case.name);
    }
}

/// Lowering the scale leaves no row behind that only the old limit allowed.
#[test]
fn a_lower_scale_holds_at_once() {
    for case in graphs::all() {
        let mut a = net::artifact(&case.graph, &plan(&case), quiescent_tools::lower::Hold::All);
        set_thresholds(&mut a, 4, 0, 6, 2);
        let mut arena = a.arena();
        let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
        let mut scene = Scene::new(13, case.shape());
        for t in 0..90 {
            let scale = [3.0, 3.0, 3.0, 1.0, 2.0, 0.5, 0.0][t / 4 % 7];
            engine.set_mode(Mode::Gated { scale });
            scene.advance();
            scene.noise(1);
            step(&mut engine, scene.frame());
            audit(&mut engine, || format!("{} frame {t} scale {scale}", case.name));
        }
    }
}
