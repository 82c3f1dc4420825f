//! Dense execution beside the second implementation of `runtime/tests/reference.rs`, which knows the documents alone: on
//! networks by chance, and on every function in f32.

#[path = "../../../runtime/tests/reference/file.rs"]
pub mod file;
#[path = "../../../runtime/tests/reference/functions.rs"]
mod functions;
#[allow(dead_code)]
#[path = "../../../runtime/tests/reference/net.rs"]
pub mod net;
#[path = "../../../runtime/tests/reference/ops.rs"]
mod ops;

use quiescent::{Mode, kernels};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::exec;
use quiescent_tools::ir::{Axis, Binary, Op, Shape, Unary};
use quiescent_tools::lower::Hold;

use crate::graphs::{self, Case};
use crate::net::{K, Net, artifact, same};
use crate::scene::Scene;
use crate::{outputs, plan, step};

/// Three frames, everything executed.
fn compare(name: &str, a: &Artifact, seed: u64) {
    let f = file::File(a.bytes());
    let tensors = net::tensors(&f);
    let mut reference = net::Net::new(&f, &tensors);
    let mut arena = a.arena();
    let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
    engine.set_mode(Mode::Dense);
    let mut scene = Scene::new(seed, reference.extent());
    for t in 0..3 {
        step(&mut engine, scene.frame());
        reference.frame(scene.frame(), net::How::DENSE);
        let (found, wanted) = (outputs(&engine), reference.outputs());
        assert_eq!(found.len(), wanted.len());
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        let at = found.iter().zip(&wanted).position(|pair| !same(pair));
        assert!(at.is_none(), "{name}, frame {t}, element {at:?}: {:?}, {:?}", at.map(|i| found[i]), at.map(|i| wanted[i]));
        scene.advance();
    }
}

#[test]
fn networks_by_chance() {
    for seed in 0..60 {
        let case = graphs::random(seed);
        compare(&case.name, &artifact(&case.graph, &plan(&case), Hold::Ratio(2.0)), seed);
    }
}

/// Means have the error of rounding to codes of their own range, however narrow: the float network is met to a few percent.
#[test]
fn averages() {
    let case = graphs::averaged();
    let a = artifact(&case.graph, &plan(&case), Hold::All);
    compare(&case.name, &a, 3);
    let mut arena = a.arena();
    let mut engine = a.engine(&mut arena, kernels::best()).unwrap();
    engine.set_mode(Mode::Dense);
    let frame = Scene::new(91, case.shape()).frame().to_vec();
    step(&mut engine, &frame);
    let x: Vec<f32> = frame.iter().map(|p| crate::net::pixels().real(0, *p)).collect();
    let mut float = exec::Executor::new(&case.graph).unwrap();
    float.run(&[x]).unwrap();
    for (o, wanted) in engine.outputs().iter().zip(float.outputs()) {
        let noise: f32 = wanted.iter().enumerate().map(|(i, w)| (o.at(i) - w).powi(2)).sum();
        let error = (noise / wanted.iter().map(|w| w * w).sum::<f32>()).sqrt();
        println!("{} {error}", o.name());
        assert!(error < 0.02, "{}: relative error {error}", o.name());
    }
}

/// Every function on reals, rows of softmax and of sums from narrow to wide, grouped convolution in f32.
fn functions() -> Case {
    use Unary::*;
    let mut n = Net::new(10, 10, 14, 3);
    let x = n.block(0, 12, same(3));
    let mut float_layers = vec![];
    let mut real = |n: &mut Net, oc: usize, k: K| {
        let y = n.conv(x, oc, k);
        float_layers.push(n.g.nodes.last().unwrap().name.clone());
        y
    };
    let y = real(&mut n, 8, K { groups: 4, ..same(3) });
    let functions = [
        Clamp { lo: -0.3, hi: 0.4 },
        LeakyRelu { alpha: 0.2 },
        Sigmoid,
        Tanh,
        HardSigmoid { alpha: 0.3, beta: 0.4 },
        HardSwish,
        Silu,
        Exp,
        Abs,
        Neg,
    ];
    for f in functions {
        let y = n.act(y, f);
        n.output(y);
    }
    // Positive numbers.
    let z = n.act(y, Exp);
    for f in [Log, Sqrt, Reciprocal] {
        let y = n.act(z, f);
        n.output(y);
    }
    for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max] {
        let y = n.binary(f, y, z);
        n.output(y);
    }
    for oc in [2, 15, 16, 37] {
        let y = real(&mut n, oc, same(1));
        let z = n.softmax(y);
        n.output(z);
        let s = n.shape(y);
        let z = n.node(Op::ReduceChannels { mean: oc % 2 == 0 }, &[y], Shape { c: 1, ..s });
        n.output(z);
    }
    Case { name: "functions".into(), graph: n.done(), float_layers }
}

#[test]
fn functions_on_reals() {
    let case = functions();
    compare(&case.name, &artifact(&case.graph, &plan(&case), Hold::All), 5);
}

/// Softmax and sums of channels, narrow and wide, that frames unlike the calibration's take far beyond the ranges of their codes.
fn peaks() -> Case {
    let mut n = Net::new(12, 10, 14, 3);
    let mut float_layers = vec![];
    for oc in [3, 20] {
        let y = n.conv(0, oc, same(1));
        float_layers.push(n.g.nodes.last().unwrap().name.clone());
        let s = n.shape(y);
        let reduced = n.node(Op::ReduceChannels { mean: oc == 3 }, &[y], Shape { c: 1, ..s });
        for z in [n.softmax(y), reduced] {
            let z = n.conv(z, 4, same(1));
            n.output(z);
        }
    }
    Case { name: "peaks".into(), graph: n.done(), float_layers }
}

/// Single pixels: below each other beside a column that is laid down, and beside each other under a border.
fn pixels() -> Case {
    let mut n = Net::new(13, 10, 14, 3);
    let x = n.block(0, 6, same(3).stride(2));
    let s = Shape { h: 1, w: 1, c: 6 };
    let [a, b] = [Op::GlobalAvgPool, Op::GlobalMaxPool].map(|op| n.node(op, &[x], s));
    let y = n.concat(&[a, b], Axis::H);
    n.output(y);
    let b = n.conv(b, 7, same(1));
    let y = n.concat(&[a, b], Axis::C);
    let y = n.conv(y, 4, same(3));
    n.output(y);
    Case { name: "pixels".into(), graph: n.done(), float_layers: vec![] }
}

#[test]
fn single_pixels() {
    let case = pixels();
    compare(&case.name, &artifact(&case.graph, &plan(&case), Hold::All), 7);
}

#[test]
fn results_beyond_their_codes_end_at_the_last_one() {
    let case = peaks();
    let dull: Vec<Vec<u8>> = (0..4).map(|k| (0..10 * 14 * 3).map(|i| 120 + (i * 7 + k) as u8 % 9).collect()).collect();
    let plan = crate::net::calibrate(&case.graph, &dull, &case.float_layers);
    compare(&case.name, &artifact(&case.graph, &plan, Hold::All), 6);
}
