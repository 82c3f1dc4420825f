//! Makes the artifacts of `runtime/tests/conformance.rs`, which every target executes.

use std::path::Path;

use quiescent::format::{Conv, Packing, Profile};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::ir::{Binary, Op, Shape, Unary};
use quiescent_tools::lower::{Hold, Options};

use crate::graphs::{self, Case};
use crate::net::{self, K, Net, RELU, let_wait, same, set_thresholds};
use crate::plan;

/// Elements in another order, sums over channels, a map in f32.
fn moved() -> Case {
    let mut n = Net::new(8, 12, 18, 2);
    let x = n.block(0, 8, same(3).stride(2));
    let Shape { h, w, c } = n.shape(x);
    // Lines and columns change places.
    let index = (0..h * w * c).map(|i| ((i / c % h * w + i / c / h) * c + i % c) as u32).collect();
    let x = n.node(Op::Permute { index }, &[x], Shape { h: w, w: h, c });
    let x = n.conv(x, 19, same(1));
    let float = n.g.nodes.last().unwrap().name.clone();
    let x = n.act(x, Unary::Tanh);
    let y = n.conv(x, 6, same(3));
    n.output(y);
    let s = n.shape(x);
    let y = n.node(Op::ReduceChannels { mean: true }, &[x], Shape { c: 1, ..s });
    n.output(y);
    Case { name: "moved".into(), graph: n.done(), float_layers: vec![float] }
}

/// Wide rows: several vectors, and tails of every length.
fn wide() -> Case {
    let mut n = Net::new(9, 14, 40, 3);
    let x = n.block(0, 24, same(3).stride(2));
    let x = n.depthwise(x, same(3));
    let x = n.block(x, 67, same(1));
    let x = n.depthwise(x, same(5).stride(2));
    let x = n.act(x, Unary::HardSwish);
    let a = n.block(x, 35, same(1));
    // Too many channels for scales of their own: one table.
    let b = n.max_pool(x, 2, 1, net::pad(0, 0, 1, 1));
    let b = n.act(b, Unary::Silu);
    let b = n.block(b, 13, same(3));
    let x = n.concat(&[a, b], quiescent_tools::ir::Axis::C);
    let index = (0..48).map(|k| k / 2 + k % 2 * 24).collect();
    let x = n.channels(x, index);
    let y = n.conv(x, 17, same(1));
    n.output(y);
    Case { name: "wide".into(), graph: n.done(), float_layers: vec![] }
}

/// Maps of one and two rows, whose weights lie in pairs: one more output than pairs, more products than are summed at a time, a
/// second input, three taps, a length that is padded.
fn few() -> Artifact {
    let mut n = Net::new(12, 24, 36, 3);
    let x = n.block(0, 20, same(3).stride(3));
    let x = n.max_pool(x, 2, 2, net::pad(0, 0, 0, 0));
    let y = n.avg_pool(x, 2, 2, net::pad(0, 0, 0, 0), false);
    let y = n.conv(y, 10, K { k: (1, 3), pad: net::pad(0, 0, 0, 0), ..same(1) });
    n.output(y);
    let x = n.reshape(x, 1, 1, 480);
    let x = n.block(x, 33, same(1));
    let y = n.conv(x, 33, same(1));
    let y = n.binary(Binary::Add, y, x);
    let y = n.act(y, RELU);
    let y = n.conv(y, 9, same(1));
    let y = n.softmax(y);
    n.output(y);
    let case = Case { name: "few".into(), graph: n.done(), float_layers: vec![] };
    let options = Options { profile: Profile::CortexM, hold: Hold::All, gates: true, bands: true, most: None };
    let mut a = net::lowered(&case.graph, &plan(&case), &options);
    set_thresholds(&mut a, 6, 24, 3, 1);
    let model = a.model();
    assert_eq!(model.header.packing, Packing::N2K16 as u16);
    let paired = |s: &&quiescent::format::Step| model.record::<Conv>(s.param).is_some_and(|c| s.op == 0 && c.merged == Conv::PAIRED);
    assert_eq!(model.steps.iter().filter(paired).count(), 4);
    a
}

fn artifact(case: &Case, hold: Hold, most: Option<usize>) -> Artifact {
    let mut a = net::planned(&case.graph, &plan(case), hold, true, most);
    set_thresholds(&mut a, 6, 24, 3, 1);
    a
}

/// The files of `runtime/tests/conformance`, by name.
fn artifacts() -> Vec<(String, Artifact)> {
    let mut cases = graphs::all();
    cases.extend([moved(), wide(), graphs::random(3), graphs::random(8)]);
    let holds = [Hold::All, Hold::Ratio(1.3), Hold::Ratio(2.0)];
    let planned = |(i, case): (usize, &Case)| {
        let mut a = artifact(case, holds[i % 3].clone(), None);
        if i % 2 == 1 {
            let_wait(&mut a, 1 + 2 * (i as u8 % 4 / 3), 32);
        }
        (case.name.replace(' ', "_"), a)
    };
    let mut all: Vec<_> = cases.iter().enumerate().map(planned).collect();
    all.push(("few".into(), few()));
    all.push(("tall".into(), artifact(&graphs::tall(), Hold::None, Some(0))));
    all
}

/// The files are what the tool makes now. Where the format or a plan has changed on purpose: this test with `QUIESCENT_BLESS=1`, which writes them,
/// then the runtime's conformance test likewise.
#[test]
fn conformance_files_are_what_the_tool_makes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/conformance");
    for (name, artifact) in artifacts() {
        let (file, bytes) = (dir.join(name + ".qsc"), artifact.bare().unwrap());
        if std::env::var_os("QUIESCENT_BLESS").is_some() {
            std::fs::write(&file, &*bytes).unwrap();
        }
        assert!(std::fs::read(&file).is_ok_and(|kept| kept == *bytes), "{}: not what is made now", file.display());
    }
}

#[test]
fn a_chain_of_several_maps_is_among_them() {
    let tall = artifact(&graphs::tall(), Hold::None, Some(0));
    let lines: Vec<u32> = tall.model().tensors.iter().map(|t| t.lines).collect();
    assert!(lines.windows(3).any(|n| n.iter().all(|n| *n > 0)), "{lines:?}");
}
