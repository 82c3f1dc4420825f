//! A common shift of all pixels: what it costs, and what it may hide.

use quiescent::format::InputGate;
use quiescent::{Engine, Mode, kernels};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::lower::Hold;

use crate::graphs;
use crate::net::{self, set_thresholds};
use crate::scene::Scene;
use crate::{holds, outputs, plan, step};

const PIXEL: u16 = 4;
const LIMIT: u8 = 12;

fn with_shift(a: &mut Artifact, shift: u8) {
    let gate = a.header().input_gate;
    a.set_gates(InputGate { shift, ..gate }, |_| ());
}

/// A frame under another light, without saturation.
fn lit(frame: &[u8], by: i32) -> Vec<u8> {
    frame.iter().map(|v| (i32::from((*v).clamp(64, 192)) + by) as u8).collect()
}

fn held(engine: &Engine) -> Vec<u8> {
    let input = engine.model().header.input as usize;
    engine.held_rows(input).unwrap().flatten().copied().collect()
}

/// Within the limit a change of light costs nothing and changes nothing; without one, and beyond it, all pixels change.
#[test]
fn light_is_no_work() {
    for case in graphs::all() {
        let plan = plan(&case);
        let mut a = net::artifact(&case.graph, &plan, Hold::All);
        set_thresholds(&mut a, PIXEL, 16, 4, 1);
        let scene = Scene::new(5, case.shape());
        for (limit, by, free) in [(LIMIT, 10, true), (LIMIT, -12, true), (0, 10, false), (LIMIT, 14, false), (LIMIT, -30, false)] {
            with_shift(&mut a, limit);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            step(&mut engine, &lit(scene.frame(), 0));
            let before = (outputs(&engine), held(&engine));
            step(&mut engine, &lit(scene.frame(), by));
            let stats = engine.stats();
            let what = format!("{}, by {by} of {limit}: {stats:?}", case.name);
            if free {
                assert_eq!((stats.macs, stats.pixels, stats.shift), (0, 0, 16 * by), "{what}");
                assert_eq!((outputs(&engine), held(&engine)), before, "{what}");
            } else {
                assert!(stats.dense || stats.shift == 0 && stats.macs > 0, "{what}");
                assert_eq!(held(&engine), lit(scene.frame(), by), "{what}");
            }
        }
    }
}

/// While light, objects and noise change together, every held pixel stays within the limit and the pixel test of the frame's; at scale 0 the
/// held input is the frame.
#[test]
fn light_hides_no_more_than_its_limit() {
    for case in graphs::all() {
        let plan = plan(&case);
        for (name, hold) in holds() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            set_thresholds(&mut a, PIXEL, 16, 4, 1);
            with_shift(&mut a, LIMIT);
            let mut arena = a.arena();
            let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
            let mut scene = Scene::new(7, case.shape());
            let (mut shifted, mut largest) = (0, 0);
            for t in 0..300 {
                scene.next();
                let frame = lit(scene.frame(), (20.0 * (t as f32 / 9.0).sin()) as i32);
                let scale = if t % 50 == 49 { 0.0 } else { 1.0 };
                engine.set_mode(Mode::Gated { scale });
                step(&mut engine, &frame);
                let off = held(&engine).iter().zip(&frame).map(|(h, f)| h.abs_diff(*f)).max().unwrap();
                let most = if scale == 0.0 { 0 } else { u16::from(LIMIT) + 2 * PIXEL };
                assert!(u16::from(off) <= most, "{} held {name}, frame {t}: {off} codes, {:?}", case.name, engine.stats());
                shifted += u32::from(engine.stats().shift.abs() > 16);
                largest = largest.max(off);
            }
            // The limit is used: the test could fail.
            assert!(shifted > 100 && largest > LIMIT, "{}: {shifted} frames, {largest} codes", case.name);
        }
    }
}
