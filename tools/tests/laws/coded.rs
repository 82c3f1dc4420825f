//! Codes that the source model gave: its quantiser leaves a Relu out where the codes end at 0, and the end is what is left of it.

use quiescent::{Mode, kernels};
use quiescent_tools::exec::Executor;
use quiescent_tools::ir::{Binary, Codes};
use quiescent_tools::lower::Hold;

use crate::graphs::Case;
use crate::net::{self, Net, pixels, same};
use crate::scene::Scene;
use crate::{plan, step};

#[test]
fn an_addition_takes_what_the_codes_left() {
    let mut net = Net::new(5, 12, 10, 3);
    let a = net.conv(0, 8, same(3));
    let b = net.conv(0, 8, same(1));
    net.g.tensors[a].codes = Some(Codes { scale: 0.02, zero: 0 });
    let sum = net.binary(Binary::Add, b, a);
    let y = net.conv(sum, 4, same(1));
    net.output(y);
    net.output(a);
    let case = Case { name: "coded".into(), graph: net.done(), float_layers: vec![] };
    let mut alone = case.graph.clone();
    alone.outputs.pop();
    for graph in [&case.graph, &alone] {
        let frame = Scene::new(3, case.shape()).frame().to_vec();
        let reals: Vec<f32> = frame.iter().map(|p| pixels().real(0, *p)).collect();
        let mut float = Executor::new(graph).unwrap();
        float.run(&[reals]).unwrap();
        let wanted = float.outputs();
        if let Some(coded) = wanted.get(1) {
            assert!(coded.iter().all(|v| *v >= 0.0) && coded.contains(&0.0), "the codes end at 0");
        }
        let made = net::artifact(graph, &plan(&case), Hold::All);
        let mut arena = made.arena();
        let mut engine = made.engine(&mut arena, kernels::available().next().unwrap()).unwrap();
        engine.set_mode(Mode::Dense);
        step(&mut engine, &frame);
        for (k, wanted) in wanted.iter().enumerate() {
            let mut found = vec![0.0; wanted.len()];
            engine.outputs().get(k).unwrap().read(&mut found);
            let error: f32 = found.iter().zip(wanted).map(|(f, w)| (f - w).powi(2)).sum();
            let whole: f32 = wanted.iter().map(|w| w * w).sum();
            assert!(error < 1e-3 * whole, "output {k}: relative error {}", (error / whole).sqrt());
        }
    }
}
