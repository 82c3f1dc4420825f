//! Networks, gates, settings and frames by chance beside the second implementation: calibrated on one kind of picture and run on all kinds, by
//! every kernel set and by two threads. `QUIESCENT_SEEDS=first..end` tries others than the forty of every run.

use quiescent::engine::Crew;
use quiescent::format::{InputGate, Profile};
use quiescent::threads::Pool;
use quiescent::{Engine, Mode, kernels};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::ir::{Axis, Binary, Op, Shape, Unary, Window};
use quiescent_tools::lower::{Hold, Options};

use crate::graphs::Case;
use crate::net::{self, K, Net, Random, pad, same};
use crate::reference::{file::File, net as reference, net::How};
use crate::scene::Scene;
use crate::{assert_same, outputs, step};

const FUNCTIONS: [Unary; 20] = [
    net::RELU,
    Unary::Clamp { lo: -0.3, hi: 0.7 },
    Unary::LeakyRelu { alpha: 0.2 },
    Unary::LeakyRelu { alpha: -1.5 },
    Unary::Sigmoid,
    Unary::Tanh,
    Unary::HardSigmoid { alpha: 0.3, beta: 0.4 },
    Unary::HardSwish,
    Unary::Silu,
    Unary::Mish,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Erf,
    Unary::Softplus,
    Unary::Elu { alpha: 1.0 },
    Unary::Exp,
    Unary::Abs,
    Unary::Neg,
    Unary::Floor,
    Unary::Pow { exponent: 2.0 },
];
const BINARIES: [Binary; 5] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Min, Binary::Max];

/// Operators drawn one after another over what is there already.
fn graph(seed: u64) -> Case {
    let mut r = Random::new(seed ^ 0xc4a);
    let wide = if r.chance(20) { 140 } else { 40 };
    let (h, w) = (1 + r.below(20), 1 + r.below(wide));
    let big = r.chance(30);
    let (h, w) = if big { (h + r.below(20), w + r.below(40)) } else { (h, w) };
    let c = 1 + r.below(4);
    let mut n = Net::new(seed, h, w, c);
    let mut pool = vec![0];
    let mut float_layers = vec![];
    // What f32 maps know too.
    let on_reals: Vec<Unary> = FUNCTIONS.into_iter().filter(|f| f.on_reals()).collect();
    for _ in 0..3 + r.below(14) {
        let x = if r.chance(60) { pool[pool.len() - 1] } else { pool[r.below(pool.len())] };
        let s = n.shape(x);
        let like = |n: &Net, fits: &dyn Fn(Shape) -> bool| pool.iter().copied().filter(|t| *t != x && fits(n.shape(*t))).last();
        let window = |r: &mut Random| {
            let k = K {
                k: (1 + r.below(7), 1 + r.below(7)),
                stride: (1 + r.below(3), 1 + r.below(3)),
                dilation: (1 + r.below(2), 1 + r.below(3)),
                pad: pad(r.below(4), r.below(4), r.below(4), r.below(4)),
                groups: 1,
            };
            let fits = |n: usize, k: usize, d: usize, pads: usize| n + pads > (k - 1) * d;
            let fits = fits(s.h, k.k.0, k.dilation.0, k.pad.t + k.pad.b) && fits(s.w, k.k.1, k.dilation.1, k.pad.l + k.pad.r);
            if fits { k } else { same(1) }
        };
        let pooled = |r: &mut Random| {
            let (k, stride) = ((1 + r.below(4.min(s.h)), 1 + r.below(4.min(s.w))), (1 + r.below(3), 1 + r.below(3)));
            let p = pad(r.below(k.0), r.below(k.1), r.below(k.0), r.below(k.1));
            let extent = |n: usize, pads: usize, k: usize, s: usize| (n + pads - k) / s + 1;
            let out = Shape { h: extent(s.h, p.t + p.b, k.0, stride.0), w: extent(s.w, p.l + p.r, k.1, stride.1), c: s.c };
            (Window { kh: k.0, kw: k.1, stride, dilation: (1, 1), pad: p }, out)
        };
        let small = s.h * s.w <= 400;
        let y = match r.below(31) {
            0..5 => {
                let mut k = window(&mut r);
                let most = if big { 140 } else { 40 };
                let mut oc = 1 + r.below(most);
                if r.chance(25) {
                    k.groups = (1..=s.c).filter(|g| s.c.is_multiple_of(*g)).nth(r.below(3)).unwrap_or(1);
                    oc = k.groups * (1 + r.below(6));
                }
                n.conv(x, oc, k)
            }
            5 | 6 => {
                let k = window(&mut r);
                n.depthwise(x, k)
            }
            7..11 => n.act(x, r.pick(&FUNCTIONS)),
            11 => {
                let slope = (0..s.c).map(|_| r.real()).collect();
                n.node(Op::PRelu { slope }, &[x], s)
            }
            12 | 13 => {
                let y = n.conv(x, s.c, same(3));
                let other = like(&n, &|o| o == s).unwrap_or(x);
                let y = n.binary(r.pick(&[Binary::Add, Binary::Add, Binary::Sub, Binary::Mul]), y, other);
                if r.chance(50) { n.act(y, r.pick(&FUNCTIONS)) } else { y }
            }
            14 => {
                let other = match like(&n, &|o| (o.h, o.w) == (s.h, s.w) && o.c == 1 || o == Shape { h: 1, w: 1, ..s } || o == s) {
                    Some(o) if r.chance(60) => o,
                    _ => {
                        let shape = r.pick(&[s, Shape { h: 1, w: 1, ..s }, Shape { c: 1, ..s }, Shape { h: 1, w: 1, c: 1 }]);
                        let t = n.tensor(shape);
                        n.g.tensors[t].constant = Some((0..shape.len()).map(|_| r.real()).collect());
                        t
                    }
                };
                n.binary(r.pick(&BINARIES), x, other)
            }
            15 => {
                let (w, out) = pooled(&mut r);
                n.node(Op::MaxPool(w), &[x], out)
            }
            16 => {
                let (window, out) = pooled(&mut r);
                n.node(Op::AvgPool { window, count_pad: r.chance(50) }, &[x], out)
            }
            17 => n.excite(x),
            18 => {
                let op = if r.chance(60) { Op::GlobalAvgPool } else { Op::GlobalMaxPool };
                n.node(op, &[x], Shape { h: 1, w: 1, ..s })
            }
            19 | 20 => {
                let axis = r.pick(&[Axis::H, Axis::W, Axis::C, Axis::C]);
                let fits = |o: Shape| match axis {
                    Axis::H => (o.w, o.c) == (s.w, s.c) && s.h + o.h <= 40,
                    Axis::W => (o.h, o.c) == (s.h, s.c) && s.w + o.w <= 80,
                    Axis::C => (o.h, o.w) == (s.h, s.w) && s.c + o.c <= 160,
                };
                match like(&n, &fits) {
                    Some(o) if r.chance(50) => n.concat(&[o, x], axis),
                    Some(o) => n.concat(&[x, o], axis),
                    None => continue,
                }
            }
            21 => {
                let mut list = |n: usize| -> Vec<i32> { (0..1 + r.below(n + 2)).map(|_| r.below(n + 1) as i32 - 1).collect() };
                let (ys, xs) = (list(s.h), list(s.w));
                let shape = Shape { h: ys.len(), w: xs.len(), ..s };
                n.node(Op::Index { ys, xs, fill: r.pick(&[0.0, 0.5, -2.0]) }, &[x], shape)
            }
            22 => {
                let (a, b) = (r.below(s.h), r.below(s.w));
                n.index(x, (a as i32..s.h as i32).collect(), (b as i32..s.w as i32).collect())
            }
            23 if small => n.nearest(x, 2),
            24 if small => n.bilinear(x, 1 + r.below(2 * s.h), 1 + r.below(2 * s.w)),
            25 => {
                let index = (0..1 + r.below(2 * s.c)).map(|_| r.below(s.c) as u32).collect();
                n.channels(x, index)
            }
            26 if s.h.is_multiple_of(2) && s.w.is_multiple_of(2) && s.c <= 12 => n.space_to_depth(x, 2),
            26 if s.c.is_multiple_of(4) && small => n.depth_to_space(x, 2),
            27 if small => {
                let mut index: Vec<u32> = (0..s.len() as u32).collect();
                (1..index.len()).for_each(|i| index.swap(i, r.below(i + 1)));
                n.node(Op::Permute { index }, &[x], Shape { h: s.w, w: s.h, ..s })
            }
            28 => n.softmax(x),
            30 => {
                let channels = r.chance(60);
                n.normalise(x, channels, !channels || r.chance(30))
            }
            29 => n.node(Op::ReduceChannels { mean: r.chance(50) }, &[x], Shape { c: 1, ..s }),
            _ => {
                let y = n.conv(x, 1 + r.below(20), same(1));
                float_layers.push(n.g.nodes.last().unwrap().name.clone());
                if r.chance(50) { n.act(y, r.pick(&on_reals)) } else { y }
            }
        };
        if n.shape(y).len() <= if big { 120_000 } else { 30_000 } {
            pool.push(y);
        }
    }
    for t in [pool.len() - 1, r.below(pool.len())] {
        let y = if r.chance(60) || t == 0 { n.conv(pool[t], 1 + r.below(9), same(1)) } else { pool[t] };
        if n.g.outputs.iter().all(|o| o.tensor != y) {
            n.output(y);
        }
    }
    let graph = n.done();
    float_layers.retain(|name| graph.nodes.iter().any(|n| n.name == *name));
    Case { name: format!("chance {seed}"), graph, float_layers }
}

/// The next picture after `frame`.
fn draw(r: &mut Random, scene: &mut Scene, frame: &mut [u8]) {
    let kind = r.below(14);
    let (a, b, c) = (r.below(256) as u8, r.below(256) as u8, scene.c);
    let (y0, x0, side) = (r.below(scene.h), r.below(scene.w), 1 + r.below(9));
    let shift = r.below(25) as i32 - 12;
    for (i, v) in frame.iter_mut().enumerate() {
        let (y, x) = (i / c / scene.w, i / c % scene.w);
        *v = match kind {
            0 => r.below(256) as u8,
            1 => a,
            2 => r.pick(&[0, 255]),
            3 => r.pick(&[0, 255, 255]) & a.wrapping_sub(128) | *v,
            4 | 5 if (y0..y0 + side).contains(&y) && (x0..x0 + side).contains(&x) => b,
            6 | 7 => (i32::from(*v) + shift).clamp(0, 255) as u8,
            8 => (i32::from(*v) + r.below(7) as i32 - 3).clamp(0, 255) as u8,
            9 if r.chance(2) => r.below(256) as u8,
            _ => *v,
        };
    }
    if kind >= 11 {
        scene.next();
        frame.copy_from_slice(scene.frame());
    }
}

/// Thresholds and an input gate by chance, all 0 in a quarter of the networks.
fn set_gates(a: &mut Artifact, r: &mut Random) {
    let exact = r.chance(25);
    let mut some = |of: &[u16]| if exact { 0 } else { of[r.below(of.len())] };
    let gate = InputGate {
        pixel: some(&[0, 1, 3, 8, 30, 255]),
        block: some(&[0, 0, 1, 16, 100]),
        shift: some(&[0, 0, 3, 12, 255]) as u8,
        wait: some(&[0, 0, 1, 3]) as u8,
        few: some(&[1, 20, 128, 255]) as u8,
        refresh: some(&[0, 0, 1, 8, 32]) as u8,
    };
    let (tau, dead) = (some(&[0, 1, 4, 40]), some(&[0, 1, 5, 255]));
    a.set_gates(gate, |gates| {
        for g in gates {
            g.threshold = u32::from(tau) * u32::from(tau) * r.below(4) as u32;
            g.dead = r.below(usize::from(dead) + 1) as u32;
        }
    });
    a.set_dense_above(r.pick(&[0.5, 0.9, 1.0]));
}

/// One network over 24 pictures: sets and threads against each other, and the first of them against the second implementation, which keeps every state
/// that the outputs so far allow where the engine was free to compute a segment whole.
fn soak(seed: u64, pool: &Pool) {
    let mut r = Random::new(seed ^ 0x50a);
    let case = graph(seed);
    let (shape, name) = (case.shape(), &case.name);
    let mut frame = vec![0; shape.iter().product()];
    let mut scene = Scene::new(seed, shape);
    let dull = r.chance(50);
    let seen: Vec<Vec<u8>> = (0..3)
        .map(|k| {
            if dull { frame.iter().map(|_| 120 + 3 * k + r.below(9) as u8).collect() } else { Scene::new(k.into(), shape).frame().to_vec() }
        })
        .collect();
    let plan = net::calibrate(&case.graph, &seen, &case.float_layers);
    let hold = match r.below(7) {
        0 => Hold::None,
        1 => Hold::Outputs,
        2 => Hold::Ratio(1.0 + r.below(10) as f32 / 10.0),
        3 => Hold::Without(
            quiescent_tools::lower::pieces(&case.graph, &plan).unwrap().iter().map(|(t, _)| *t).filter(|_| r.chance(40)).collect(),
        ),
        _ => Hold::All,
    };
    let profile = r.pick(&[Profile::Any, Profile::Any, Profile::CortexM]);
    let options = Options { profile, hold, gates: r.chance(90), bands: r.chance(70), most: r.chance(40).then_some(0) };
    let mut a = net::lowered(&case.graph, &plan, &options);
    set_gates(&mut a, &mut r);
    let f = File(a.bytes());
    let tensors = reference::tensors(&f);
    let mut wanted = vec![reference::Net::new(&f, &tensors)];
    let sets: Vec<_> = kernels::available().chain([kernels::best()]).collect();
    let mut arenas: Vec<_> = sets.iter().map(|_| a.arena()).collect();
    let mut engines: Vec<Engine> = arenas.iter_mut().zip(&sets).filter_map(|(m, set)| a.engine(m, set).ok()).collect();
    engines.last_mut().unwrap().set_crew(Some(pool as &dyn Crew));
    let (mut mode, mut known, mut adaptive) = (Mode::Gated { scale: 1.0 }, true, false);
    let mut budget = None;
    for t in 0..24 {
        draw(&mut r, &mut scene, &mut frame);
        let reset = r.chance(3);
        if r.chance(25) {
            mode = r.pick(&[
                Mode::Dense,
                Mode::Gated { scale: 0.0 },
                Mode::Gated { scale: 0.5 },
                Mode::Gated { scale: 1.0 },
                Mode::Gated { scale: 2.0 },
            ]);
            adaptive = r.chance(20);
            budget = r.chance(15).then(|| r.below(a.header().cost.macs.get() as usize + 1) as u64);
        }
        for engine in &mut engines {
            if reset {
                engine.reset();
            }
            engine.set_mode(mode);
            engine.set_adaptive(adaptive);
            engine.set_budget(budget);
            step(engine, &frame);
        }
        let [first, others @ ..] = &engines[..] else { unreachable!() };
        let what = || format!("{name}, frame {t}, {mode:?}, {options:?}, {:?}, {:?}", a.header().input_gate, first.stats());
        for other in others {
            assert_same(first, other, || format!("{}: {}", other.kernels(), what()));
            assert_eq!(first.stats(), other.stats(), "{}: {}", other.kernels(), what());
        }
        // What a budget puts off is known again after a frame computed whole, or exactly.
        let exact = mode == Mode::Gated { scale: 0.0 } && budget.is_none() && a.header().input_gate.wait == 0;
        let mut ways = vec![];
        if let (Mode::Gated { scale }, true) = (mode, known) {
            ways.push(How { scale, dense_from: usize::MAX });
            if first.stats().dense {
                ways.extend(wanted[0].segments().into_iter().map(|dense_from| How { scale, dense_from }));
            }
        }
        if first.stats().dense || !known {
            ways.push(How::DENSE);
        }
        known = mode == Mode::Dense || exact || known && budget.is_none();
        if !known {
            continue;
        }
        let found = outputs(first);
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        let mut next: Vec<reference::Net> = vec![];
        for (state, how) in wanted.iter().flat_map(|state| ways.iter().map(move |how| (state, how))) {
            let mut state = state.clone();
            state.frame(&frame, *how);
            if state.outputs().iter().zip(&found).all(same) && !next.contains(&state) {
                next.push(state);
            }
        }
        if next.is_empty() {
            let mut state = wanted[0].clone();
            state.frame(&frame, ways[0]);
            let at = state.outputs().iter().zip(&found).position(|p| !same(p)).unwrap();
            panic!("{}: element {at}: {} for {}\n{}", what(), found[at], state.outputs()[at], case.graph);
        }
        wanted = next;
    }
}

#[test]
fn everything_by_chance() {
    let seeds = std::env::var("QUIESCENT_SEEDS").unwrap_or("0..40".into());
    let (first, end) =
        seeds.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))).expect("QUIESCENT_SEEDS=first..end");
    let pool = Pool::new(2).unwrap().with_least(1);
    (first..end).for_each(|seed| soak(seed, &pool));
}
