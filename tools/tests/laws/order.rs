//! L3: nothing but the frames decides the result.
//!
//! The engine runs on one thread, so the order of work is that of the lists: rows come in mask order, masks are cut into
//! tiles, segments follow the plan, and a budget moves rows from one frame to later ones. Here the same changes take many
//! ways: other plans, other sets, other budgets, in one frame or spread over many. With thresholds 0 the held outputs
//! must come out the same.

use quiescent::{Mode, kernels};
use quiescent_tools::lower::Hold;

use crate::net::{self, Random, set_thresholds};
use crate::scene::Scene;
use crate::{assert_same, graphs, holds, outputs, plan, step};

#[test]
fn plans_do_not_matter() {
    let cases = graphs::all().into_iter().chain((200..220).map(graphs::random));
    for case in cases {
        let plan = plan(&case);
        let mut first: Option<Vec<Vec<u32>>> = None;
        let plans = holds().into_iter().chain([("1.0", Hold::Ratio(1.0)), ("none", Hold::None)]);
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

/// Also with thresholds: an ample budget and a foreign kernel set change no bit.
#[test]
fn ample_budgets_and_kernel_sets_do_not_matter() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (hold_name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, 3, 16, 3, 1);
            a.set_dense_above(1.0);
            let mut arena = a.arena();
            let mut plain = a.engine(&mut arena, kernels::best()).unwrap();
            for set in kernels::available() {
                let mut arena = a.arena();
                let mut other = a.engine(&mut arena, set).unwrap();
                other.set_budget(Some(u64::MAX));
                plain.reset();
                let mut scene = Scene::new(41, case.shape());
                for t in 0..60 {
                    scene.next();
                    step(&mut plain, scene.frame());
                    step(&mut other, scene.frame());
                    assert_same(&plain, &other, || format!("{} held {hold_name}, {}, frame {t}", case.name, set.name));
                    assert_eq!(plain.stats(), other.stats());
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
