//! A network of the keyword benchmark's shape with random weights: what the protocol and the boards are tried with where the
//! published models are not at hand.

use anyhow::Result;
use quiescent::format::Profile;
use quiescent_tools::artifact::{Artifact, InputKind, InputSpec, Meta};
use quiescent_tools::exec::Executor;
use quiescent_tools::ir::{Op, Shape};
use quiescent_tools::lower::{self, Hold};

use super::Set;
use super::net::{self, Net, Random, same};

const INPUTS: usize = 8;

pub fn set() -> Result<Set> {
    let shape = [49, 10, 1];
    let mut n = Net::new(1, shape[0], shape[1], shape[2]);
    let mut x = n.block(0, 16, same(3).stride(2));
    for _ in 0..2 {
        let y = n.depthwise(x, same(3));
        x = n.block(y, 16, same(1));
    }
    let x = n.node(Op::GlobalAvgPool, &[x], Shape { h: 1, w: 1, c: 16 });
    let x = n.conv(x, 12, same(1));
    let x = n.softmax(x);
    n.output(x);
    let graph = n.done();
    let mut random = Random::new(2);
    let inputs: Vec<Vec<u8>> = (0..INPUTS).map(|_| (0..490).map(|_| random.below(256) as u8).collect()).collect();
    let plan = net::calibrate(&graph, &inputs, &[]);
    let options = lower::Options { profile: Profile::CortexM, hold: Hold::Outputs, gates: false, bands: true, most: None };
    let input = InputSpec { name: "x".into(), shape, kind: InputKind::Pixels, ..Default::default() };
    let meta = Meta { model: "made up".into(), input, ..Default::default() };
    let artifact = Artifact::new(lower::lower(&graph, &plan, &options)?.builder, meta)?;
    let (mut executor, codes) = (Executor::new(&graph)?, net::pixels());
    let mut set = Set { artifact, inputs: vec![], results: vec![], labels: vec![] };
    for input in inputs {
        executor.run(&[input.iter().map(|p| codes.real(0, *p)).collect()])?;
        set.results.push(executor.outputs().swap_remove(0));
        // Features are signed on the line.
        set.inputs.push(input.iter().map(|code| code ^ 0x80).collect());
    }
    Ok(set)
}
