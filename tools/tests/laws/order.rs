//! L3: nothing but the frames decides the result.
//!
//! The order of work is that of the lists: rows come in mask order, masks are cut into parts for threads and into tiles,
//! segments follow the plan, and a budget moves rows from one frame to later ones. Here the same changes take many
//! ways: other plans, other sets, more threads, other budgets, in one frame or spread over many. With thresholds 0 the held outputs
//! must come out the same.

use quiescent::engine::Crew;
use quiescent::threads::Pool;
use quiescent::{Mode, kernels};
use quiescent_tools::lower::Hold;

use crate::net::{self, Random, let_wait, set_thresholds};
use crate::scene::Scene;
use crate::{assert_same, graphs, holds, outputs, plan, step};

#[test]
fn plans_do_not_matter() {
    let cases = graphs::all().into_iter().chain((200..220).map(graphs::random));
    for case in cases {
        let plan = plan(&case);
        let mut first: Option<Vec<Vec<u32>>> = None;
        let plans = holds().into_iter().chain([("1.0", Hold::Ratio(1.0)), ("none", Hold::None), ("outputs", Hold::Outputs)]);
        for (hold_name, hold) in plans {
            let a = net::artifact(&case.graph, &plan, hold);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            let mut scene = Scene::new(40, case.shape());
            let bits: Vec<Vec<u32>> = (0..30)
                .map(|_| {
                    scene.next();
                    step(&mut engine, scene.frame());
                    outputs(&engine).iter().map(|v| v.to_bits()).collect()
                })
                .collect();
            match &first {
                None => first = Some(bits),
                Some(first) => assert!(*first == bits, "{} held {hold_name}", case.name),
            }
        }
    }
}

/// Also with thresholds: every kernel set changes the same rows to the same codes.
#[test]
fn kernel_sets_do_not_matter() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 3, 16, 3, 1);
            let_wait(&mut a, 1, 16);
            for set in kernels::available() {
                let (mut m, mut n) = (a.arena(), a.arena());
                let mut first = a.engine(&mut m, kernels::available().next().unwrap()).unwrap();
                let mut other = a.engine(&mut n, set).unwrap();
                let mut scene = Scene::new(41, case.shape());
                for t in 0..60 {
                    scene.next();
                    let budget = (t % 20 >= 10).then(|| first.model().header.cost.macs.get() / 4);
                    for engine in [&mut first, &mut other] {
                        engine.set_budget(budget);
                        step(engine, scene.frame());
                    }
                    assert_same(&first, &other, || format!("{} held {hold_name}, {}, frame {t}", case.name, set.name));
                    assert_eq!(first.stats(), other.stats());
                    assert!(first.step_stats().eq(other.step_stats()));
                }
            }
        }
    }
}

/// Also with thresholds, budgets and bands: threads change the same rows to the same codes, in the same work.
#[test]
fn threads_do_not_matter() {
    let pools = [2, 3].map(|n| Pool::new(n).unwrap().with_least(1));
    let mut banded = 0;
    for case in graphs::all().into_iter().chain((220..240).map(graphs::random)) {
        let plan = plan(&case);
        for (hold_name, hold) in holds().into_iter().chain([("none", Hold::None)]) {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 3, 16, 3, 1);
            let_wait(&mut a, 1, 16);
            banded += a.model().tensors.iter().filter(|t| t.lines > 0).count();
            let mut arenas = [a.arena(), a.arena(), a.arena()];
            let mut engines = arenas.each_mut().map(|m| a.engine(m, kernels::best()).unwrap());
            for (engine, pool) in engines[1..].iter_mut().zip(&pools) {
                engine.set_crew(Some(pool));
            }
            let mut scene = Scene::new(46, case.shape());
            for t in 0..60 {
                scene.next();
                let budget = (t % 20 >= 15).then(|| a.header().cost.macs.get() / 4);
                let mode = if t % 20 < 5 { Mode::Dense } else { Mode::Gated { scale: 1.0 } };
                for engine in &mut engines {
                    engine.set_mode(mode);
                    engine.set_budget(budget);
                    step(engine, scene.frame());
                }
                let [one, more @ ..] = &engines;
                for (other, pool) in more.iter().zip(&pools) {
                    let what = || format!("{} held {hold_name}, {} threads, frame {t}", case.name, pool.threads());
                    assert_same(one, other, what);
                    assert_eq!(one.stats(), other.stats(), "{}", what());
                    assert!(one.step_stats().eq(other.step_stats()), "{}", what());
                }
            }
        }
    }
    assert!(banded > 4, "only {banded} maps passed on by lines");
}

/// A budget that is never reached.
#[test]
fn ample_budgets_do_not_matter() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            a.set_dense_above(1.0);
            let (mut m, mut n) = (a.arena(), a.arena());
            let mut plain = a.engine(&mut m, kernels::best()).unwrap();
            let mut ample = a.engine(&mut n, kernels::best()).unwrap();
            ample.set_budget(Some(u64::MAX));
            let mut scene = Scene::new(45, case.shape());
            for t in 0..80 {
                scene.next();
                step(&mut plain, scene.frame());
                step(&mut ample, scene.frame());
                assert_same(&plain, &ample, || format!("{} held {hold_name}, frame {t}", case.name));
                if !plain.stats().dense {
                    assert_eq!(plain.stats(), ample.stats());
                }
            }
        }
    }
}

/// From one picture to another at once, or through any pictures in between.
#[test]
fn the_way_does_not_matter() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            a.set_dense_above(1.0);
            let (mut m, mut n) = (a.arena(), a.arena());
            let mut way = a.engine(&mut m, kernels::best()).unwrap();
            let mut direct = a.engine(&mut n, kernels::best()).unwrap();
            direct.set_mode(Mode::Dense);
            let mut r = Random::new(42);
            let (from, to) = (Scene::new(43, case.shape()), Scene::new(44, case.shape()));
            step(&mut direct, to.frame());
            let c = case.shape()[2];
            for pieces in [1, 2, 7, 40] {
                step(&mut way, from.frame());
                let turn: Vec<usize> = (0..from.frame().len() / c).map(|_| r.below(pieces)).collect();
                for piece in 0..pieces {
                    // Pixels arrive in pieces; those still to come flicker.
                    let frame: Vec<u8> = (0..from.frame().len())
                        .map(|i| match turn[i / c] {
                            p if p <= piece => to.frame()[i],
                            _ if r.chance(1) => r.below(256) as u8,
                            _ => from.frame()[i],
                        })
                        .collect();
                    step(&mut way, &frame);
                }
                step(&mut way, to.frame());
                assert_same(&way, &direct, || format!("{} held {hold_name}, {pieces} pieces", case.name));
            }
        }
    }
}

/// A chain of steps through a few lines does what it does through whole maps: outputs, marks and counts, dense and gated, on every
/// kernel set.
#[test]
fn bands_do_not_matter() {
    let (mut banded, mut long, mut saved) = (0, 0, 0);
    for case in graphs::all().into_iter().chain([graphs::tall()]).chain((700..760).map(graphs::random)) {
        let plan = plan(&case);
        let pieces = quiescent_tools::lower::pieces(&case.graph, &plan).unwrap();
        let one = pieces.iter().map(|(tensor, _)| Hold::Without([*tensor].into()));
        let all = [Hold::None, Hold::Outputs, Hold::Ratio(1.2)].into_iter().flat_map(|hold| [(hold.clone(), None), (hold, Some(0))]);
        for (hold, most) in one.map(|hold| (hold, None)).chain(all) {
            let mut a = net::planned(&case.graph, &plan, hold.clone(), true, most);
            if a.model().tensors.iter().all(|t| t.lines == 0) {
                continue;
            }
            let mut b = net::planned(&case.graph, &plan, hold.clone(), false, None);
            banded += 1;
            long += usize::from(a.model().tensors.windows(2).any(|t| t.iter().all(|t| t.lines > 0)));
            assert!(a.header().arena_len <= b.header().arena_len, "{}", case.name);
            saved += b.header().arena_len - a.header().arena_len;
            for (tau, dead) in [(0, 0), (3, 1)] {
                set_thresholds(&mut a, tau as u16, 8 * tau as u16, tau, dead);
                set_thresholds(&mut b, tau as u16, 8 * tau as u16, tau, dead);
                for set in kernels::available() {
                    let (mut m, mut n) = (a.arena(), b.arena());
                    let mut first = a.engine(&mut m, set).unwrap();
                    let mut other = b.engine(&mut n, kernels::best()).unwrap();
                    let mut scene = Scene::new(44, case.shape());
                    for t in 0..24 {
                        scene.next();
                        for engine in [&mut first, &mut other] {
                            engine.set_mode(if t % 12 == 7 { Mode::Dense } else { Mode::Gated { scale: 1.0 } });
                            step(engine, scene.frame());
                        }
                        let name = || format!("{} {hold:?}, {}, tau {tau}, frame {t}", case.name, set.name);
                        assert_same(&first, &other, name);
                        assert_eq!(first.stats(), other.stats(), "{}", name());
                        assert!(first.step_stats().eq(other.step_stats()), "{}", name());
                    }
                    assert!(first.audit().eq(other.audit()), "{}: audit", case.name);
                }
            }
        }
    }
    println!("{banded} plans with chains, {long} through several maps, {saved} bytes of arena saved");
    assert!(banded >= 40 && long >= 10 && saved > 0, "{banded} plans, {long} long, {saved} bytes");
}
