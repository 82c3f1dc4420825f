//! The laws of the held graph, tried on networks of real operators over made-up video.
//!
//! | law | says | tests |
//! |---|---|---|
//! | L1 no drift | every held row is within its gate's limit of its recomputation, whatever the history | `drift.rs` |
//! | L2 exactness | with thresholds 0 every held tensor equals the dense network's, bit for bit | `exact.rs` |
//! | L3 order | kernel set, plan, budget and the order in which changes arrive do not matter | `order.rs` |
//! | L4 worst case | a frame never costs more than dense; a cut runs dense | `work.rs` |
//! | L5 bounds | only marked rows change, by more than the dead zone; scaled thresholds scale the bound | `drift.rs` |
//!
//! `coded.rs`: codes that come with the model. `light.rs`: a shift of all pixels costs nothing and hides no more than its limit. `waits.rs`: few changes wait for a
//! stated number of frames. `reference.rs` compares dense execution with a second implementation, `chance.rs` gated execution of networks, gates and frames by chance. `net.rs` builds graphs, `graphs.rs` holds them, `scene.rs` draws
//! frames.

mod chance;
mod coded;
mod conformance;
mod drift;
mod exact;
mod graphs;
mod light;
mod net;
mod order;
mod reference;
mod scene;
mod waits;
mod work;

use quiescent::{Engine, Frame};
use quiescent_tools::calibrate::Plan;
use quiescent_tools::lower::Hold;

use graphs::Case;
use scene::Scene;

/// Plans from everything held to long segments of scratch.
fn holds() -> [(&'static str, Hold); 3] {
    [("all", Hold::All), ("2.0", Hold::Ratio(2.0)), ("1.3", Hold::Ratio(1.3))]
}

/// Codes for a case, chosen on a few scenes.
fn plan(case: &Case) -> Plan {
    let frames: Vec<Vec<u8>> = (0..4).map(|seed| Scene::new(90 + seed, case.shape()).frame().to_vec()).collect();
    net::calibrate(&case.graph, &frames, &case.float_layers)
}

fn step(engine: &mut Engine, frame: &[u8]) {
    engine.step(Frame::Pixels(frame)).unwrap();
}

/// Every held tensor of `a` equals that of `b`, another engine of the same artifact.
fn assert_same(a: &Engine, b: &Engine, what: impl Fn() -> String) {
    for t in 0..a.model().tensors.len() {
        let (Some(x), Some(y)) = (a.held_rows(t), b.held_rows(t)) else { continue };
        if let Some(row) = x.zip(y).position(|(x, y)| x != y) {
            let (x, y) = (a.held_rows(t).unwrap().nth(row), b.held_rows(t).unwrap().nth(row));
            panic!("{}: tensor {t} row {row}:\n{x:?}\n{y:?}", what());
        }
    }
    let (x, y) = (a.outputs(), b.outputs());
    for (x, y) in x.iter().zip(y.iter()) {
        assert!((0..x.len()).all(|i| x.at(i).to_bits() == y.at(i).to_bits()), "{}: output {}", what(), x.name());
    }
}

/// Dequantised outputs, one after another.
fn outputs(engine: &Engine) -> Vec<f32> {
    engine.outputs().iter().flat_map(|o| (0..o.len()).map(move |i| o.at(i))).collect()
}
