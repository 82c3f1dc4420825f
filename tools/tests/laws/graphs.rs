//! The networks the laws are tried on: six by hand, each around some operators, and any number by chance.

use quiescent_tools::ir::{Axis, Binary, Graph, Op, Shape, Unary, Window};

use super::net::{K, Net, RELU, Random, pad, same};

/// A graph, the frame's extent, and the nodes to keep in f32.
pub struct Case {
    pub name: String,
    pub graph: Graph,
    pub float_layers: Vec<String>,
}

impl Case {
    fn new(name: &str, net: Net) -> Self {
        Case { name: name.into(), graph: net.done(), float_layers: vec![] }
    }

    pub fn shape(&self) -> [usize; 3] {
        let Shape { h, w, c } = self.graph.tensors[self.graph.inputs[0].tensor].shape;
        [h, w, c]
    }
}

pub fn all() -> Vec<Case> {
    vec![residual(), shuffle(), pyramid(), excited(), space(), mixed(), curved()]
}

/// Residual blocks, odd strides, asymmetric padding, dilation; a width over one mask word.
pub fn residual() -> Case {
    let mut n = Net::new(1, 21, 70, 3);
    let x = n.block(0, 10, same(3).stride(2).pad(pad(0, 0, 1, 1)));
    let y = n.block(x, 10, same(3));
    let y = n.conv(y, 10, same(3));
    let y = n.binary(Binary::Add, y, x);
    let x = n.act(y, RELU);
    let y = n.block(x, 6, same(1));
    let y = n.conv(y, 10, same(3).dilated(2));
    let x = n.binary(Binary::Add, y, x);
    let y = n.conv(x, 12, K { stride: (1, 3), ..same(5).pad(pad(2, 1, 2, 0)) });
    let x = n.act(y, Unary::Silu);
    n.output(x);
    let y = n.conv(x, 5, same(1));
    n.output(y);
    Case::new("residual", n)
}

/// Channel splits and shuffles: half of the channels pass through (ShuffleNet V2, Ma et al. 2018).
pub fn shuffle() -> Case {
    let mut n = Net::new(2, 24, 40, 3);
    let mut x = n.block(0, 16, same(3).stride(2));
    for _ in 0..3 {
        let (a, b) = (n.channels(x, (0..8).collect()), n.channels(x, (8..16).collect()));
        let b = n.block(b, 8, same(1));
        let b = n.depthwise(b, same(3));
        let b = n.block(b, 8, same(1));
        let y = n.concat(&[a, b], Axis::C);
        x = n.channels(y, (0..16).map(|k| k / 2 + k % 2 * 8).collect());
    }
    let a = n.depthwise(x, same(3).stride(2));
    let a = n.block(a, 12, same(1));
    let b = n.max_pool(x, 3, 2, pad(1, 1, 1, 1));
    let x = n.concat(&[a, b], Axis::C);
    let y = n.conv(x, 7, same(1));
    n.output(y);
    Case::new("shuffle", n)
}

/// A feature pyramid with nested joins, nearest and bilinear resizes, pooling pyramid; heads reshaped to rows and
/// joined by lines, sigmoid and softmax in f32.
pub fn pyramid() -> Case {
    let mut n = Net::new(3, 24, 32, 3);
    let p1 = n.block(0, 8, same(3).stride(2));
    let p2 = n.block(p1, 12, same(3).stride(2));
    let p3 = n.block(p2, 12, same(3).stride(2));
    let a = n.max_pool(p3, 3, 1, pad(1, 1, 1, 1));
    let b = n.max_pool(a, 3, 1, pad(1, 1, 1, 1));
    let inner = n.concat(&[p3, a], Axis::C);
    let q3 = n.concat(&[inner, b], Axis::C);
    let q3 = n.block(q3, 12, same(1));
    let up = n.nearest(q3, 2);
    let q2 = n.concat(&[up, p2], Axis::C);
    let q2 = n.block(q2, 12, same(3));
    let up = n.bilinear(q2, 12, 16);
    let q1 = n.concat(&[p1, up], Axis::C);
    let q1 = n.block(q1, 8, same(3));
    let low = n.conv(q1, 2, same(1));
    let mask = n.bilinear(low, 24, 32);
    n.output(mask);
    let mut rows = vec![];
    for q in [q2, q3] {
        let s = n.shape(q);
        let head = n.conv(q, 6, same(1));
        rows.push(n.reshape(head, s.h * s.w, 1, 6));
    }
    let rows = n.concat(&rows, Axis::H);
    let boxes = n.channels(rows, (0..2).collect());
    let classes = n.channels(rows, (2..6).collect());
    let boxes = n.act(boxes, Unary::Sigmoid);
    let classes = n.softmax(classes);
    let y = n.concat(&[boxes, classes], Axis::C);
    n.output(y);
    Case::new("pyramid", n)
}

/// Squeeze and excitation, average pooling both ways, global pooling to a classifier.
pub fn excited() -> Case {
    let mut n = Net::new(4, 20, 28, 1);
    let x = n.conv(0, 12, same(3).stride(2));
    let x = n.act(x, Unary::HardSwish);
    let y = n.depthwise(x, same(5));
    let y = n.act(y, Unary::HardSwish);
    let y = n.excite(y);
    let y = n.conv(y, 12, same(1));
    let x = n.binary(Binary::Add, y, x);
    let a = n.avg_pool(x, 3, 2, pad(1, 1, 1, 1), true);
    let b = n.avg_pool(x, 3, 2, pad(1, 1, 1, 1), false);
    let x = n.concat(&[a, b], Axis::C);
    let x = n.block(x, 16, same(3));
    let g = n.node(quiescent_tools::ir::Op::GlobalAvgPool, &[x], Shape { h: 1, w: 1, c: 16 });
    let m = n.node(quiescent_tools::ir::Op::GlobalMaxPool, &[x], Shape { h: 1, w: 1, c: 16 });
    let v = n.concat(&[g, m], Axis::C);
    let y = n.conv(v, 9, same(1));
    let y = n.softmax(y);
    n.output(y);
    Case::new("excited", n)
}

/// Means of noise, in codes of their own: of windows inside the map, over counted and uncounted padding, of lines.
pub fn averaged() -> Case {
    let mut n = Net::new(14, 18, 26, 3);
    let x = n.block(0, 8, same(3));
    let x = n.conv(x, 12, same(3));
    let a = n.avg_pool(x, 5, 1, pad(2, 2, 2, 2), true);
    let b = n.avg_pool(x, 5, 1, pad(2, 2, 2, 2), false);
    let y = n.concat(&[a, b], Axis::C);
    let y = n.conv(y, 10, same(3).stride(2));
    let y = n.avg_pool(y, 4, 3, pad(0, 0, 0, 0), false);
    n.output(y);
    let Shape { w, c, h } = n.shape(x);
    let window = Window { kh: h, kw: 1, stride: (1, 1), dilation: (1, 1), pad: pad(0, 0, 0, 0) };
    let y = n.node(Op::AvgPool { window, count_pad: false }, &[x], Shape { h: 1, w, c });
    n.output(y);
    let y = n.node(Op::GlobalAvgPool, &[x], Shape { h: 1, w: 1, c });
    let y = n.conv(y, 5, same(1));
    n.output(y);
    // More taps than a depthwise convolution has, square and along a line.
    let y = n.avg_pool(x, 17, 1, pad(8, 8, 8, 8), false);
    n.output(y);
    let x = n.reshape(x, 1, h * w, c);
    let window = Window { kh: 1, kw: 300, stride: (1, 100), dilation: (1, 1), pad: pad(0, 0, 0, 0) };
    let y = n.node(Op::AvgPool { window, count_pad: false }, &[x], Shape { h: 1, w: 2, c });
    n.output(y);
    Case::new("averaged", n)
}

/// Functions of sums whose channels have scales of their own, on maps large enough for a table each.
pub fn curved() -> Case {
    let mut n = Net::new(6, 26, 30, 3);
    let x = n.conv(0, 16, same(3));
    let x = n.act(x, Unary::Silu);
    let y = n.conv(x, 16, same(1));
    let y = n.act(y, Unary::Silu);
    let x = n.binary(Binary::Add, x, y);
    let x = n.act(x, Unary::HardSwish);
    let y = n.block(x, 20, same(3).stride(2));
    n.output(y);
    let y = n.depthwise(x, same(3));
    n.output(y);
    Case::new("curved", n)
}

/// Orders of elements beside a border and inside a concatenation; functions known by their codes alone, on small maps and at the end.
pub fn ordered() -> Case {
    let mut n = Net::new(7, 12, 16, 3);
    let x = n.block(0, 8, same(3));
    let turned = |n: &mut Net, x: usize| {
        let Shape { h, w, c } = n.shape(x);
        let index = (0..h * w * c).map(|i| ((i / c % h * w + i / c / h) * c + i % c) as u32).collect();
        n.node(Op::Permute { index }, &[x], Shape { h: w, w: h, c })
    };
    let a = turned(&mut n, x);
    let b = n.block(a, 8, same(3));
    let c = turned(&mut n, x);
    let x = n.concat(&[b, c], Axis::C);
    let x = n.block(x, 10, same(3).stride(2));
    let x = n.act(x, Unary::Mish);
    let y = n.conv(x, 6, same(1));
    let y = n.act(y, Unary::Softplus);
    n.output(y);
    let y = n.conv(x, 4, same(3));
    let y = n.act(y, Unary::Elu { alpha: 1.0 });
    let y = n.conv(y, 5, same(1));
    n.output(y);
    Case::new("ordered", n)
}

/// Depth to space and back, slices and zero padding by index, lines and columns joined.
pub fn space() -> Case {
    let mut n = Net::new(5, 18, 66, 3);
    let x = n.space_to_depth(0, 2);
    let x = n.block(x, 12, same(3));
    let top = n.index(x, (0..4).collect(), (0..33).collect());
    let rest = n.index(x, (4..9).collect(), (0..33).collect());
    let top = n.block(top, 12, same(1));
    let x = n.concat(&[rest, top], Axis::H);
    let x = n.index(x, (-1..10).map(|y| if y < 9 { y } else { -1 }).collect(), (0..33).rev().collect());
    let left = n.index(x, (0..11).collect(), (0..16).collect());
    let right = n.index(x, (0..11).collect(), (16..33).collect());
    let left = n.block(left, 12, same(3));
    let right = n.block(right, 12, same(1));
    let x = n.concat(&[left, right], Axis::W);
    let x = n.conv(x, 12, same(3));
    let x = n.act(x, Unary::LeakyRelu { alpha: 0.1 });
    let x = n.depth_to_space(x, 2);
    let y = n.conv(x, 3, same(3));
    n.output(y);
    Case::new("space", n)
}

/// A layer kept in f32 between codes, two inputs multiplied, a product with a sigmoid gate, valid padding.
pub fn mixed() -> Case {
    let mut n = Net::new(6, 20, 30, 2);
    let x = n.block(0, 8, K { pad: pad(0, 0, 0, 0), ..same(3) });
    let y = n.conv(x, 8, same(3));
    let float = n.g.nodes.last().unwrap().name.clone();
    let y = n.act(y, Unary::Tanh);
    let g = n.conv(x, 8, same(1));
    let g = n.act(g, Unary::Sigmoid);
    let y = n.binary(Binary::Mul, y, g);
    let z = n.binary(Binary::Max, y, x);
    let z = n.binary(Binary::Sub, z, g);
    let z = n.depthwise(z, K { stride: (2, 1), ..same(3) });
    let z = n.act(z, Unary::Clamp { lo: 0.0, hi: 6.0 });
    let y = n.conv(z, 4, same(1));
    n.output(y);
    n.output(z);
    let mut case = Case::new("mixed", n);
    case.float_layers.push(float);
    case
}

/// One gated convolution (outputs are f32): for what can be worked out beside the engine.
pub fn single() -> Case {
    let mut n = Net::new(7, 20, 24, 3);
    let x = n.block(0, 16, same(3));
    let y = n.conv(x, 4, same(1));
    n.output(y);
    Case::new("single", n)
}

/// A tall map whose first stages need not be stored whole.
pub fn tall() -> Case {
    let mut n = Net::new(10, 40, 24, 3);
    let x = n.block(0, 8, same(3).stride(2));
    let x = n.depthwise(x, same(3));
    let x = n.block(x, 12, same(1));
    let x = n.max_pool(x, 3, 2, pad(1, 1, 1, 1));
    let x = n.block(x, 16, same(3));
    let x = n.depthwise(x, same(5).stride(2));
    let x = n.avg_pool(x, 2, 1, pad(0, 0, 1, 1), true);
    let y = n.conv(x, 10, same(1));
    n.output(y);
    Case { name: "tall".into(), graph: n.done(), float_layers: vec![] }
}

/// A graph by chance: operators drawn one after another over what is there already.
pub fn random(seed: u64) -> Case {
    let mut r = Random::new(seed ^ 0x51ed);
    let (h, w) = (8 + 2 * r.below(8), 8 + 2 * r.below(34));
    let mut n = Net::new(seed, h, w, 1 + r.below(3));
    let oc = 4 + 4 * r.below(3);
    let mut pool = vec![n.block(0, oc, same(3).stride(1 + r.below(2)))];
    for _ in 0..5 + r.below(8) {
        let x = if r.chance(60) { pool[pool.len() - 1] } else { pool[r.below(pool.len())] };
        let s = n.shape(x);
        let partner = pool.iter().copied().rfind(|t| *t != x && n.shape(*t) == s);
        let beside = pool.iter().copied().rfind(|t| (n.shape(*t).h, n.shape(*t).w) == (s.h, s.w));
        let under = pool.iter().copied().rfind(|t| (n.shape(*t).w, n.shape(*t).c) == (s.w, s.c));
        let large = s.h >= 4 && s.w >= 4;
        let y = match r.below(20) {
            0..3 => {
                let k = K {
                    k: (1 + r.below(3), 1 + r.below(4)),
                    stride: (1 + r.below(2), 1 + r.below(3)),
                    dilation: (1 + r.below(2), 1),
                    pad: pad(r.below(3), r.below(3), r.below(3), r.below(3)),
                    groups: 1,
                };
                let reach = |k: usize, d: usize| (k - 1) * d + 1;
                if s.h + k.pad.t + k.pad.b < reach(k.k.0, k.dilation.0) || s.w + k.pad.l + k.pad.r < reach(k.k.1, 1) {
                    continue;
                }
                n.block(x, 4 + r.below(14), k)
            }
            3 | 4 => {
                let y = n.conv(x, 4 * (1 + r.below(4)), same(1));
                n.act(y, r.pick(&[Unary::Silu, Unary::HardSwish, RELU, Unary::LeakyRelu { alpha: 0.2 }, Unary::Sigmoid]))
            }
            5 | 6 => {
                let y = n.depthwise(x, same(3).stride(1 + r.below(2)));
                if r.chance(50) { n.act(y, RELU) } else { y }
            }
            7 | 8 => {
                let y = n.conv(x, s.c, same(3));
                let other = partner.unwrap_or(x);
                let y = n.binary(Binary::Add, y, other);
                if r.chance(50) { n.act(y, RELU) } else { y }
            }
            9 | 10 => match beside {
                Some(o) if s.c + n.shape(o).c <= 40 => n.concat(&[x, o], Axis::C),
                _ => continue,
            },
            11 => match under {
                Some(o) if s.h + n.shape(o).h <= 40 => n.concat(&[o, x], Axis::H),
                _ => continue,
            },
            12 if large => n.max_pool(x, 2 + r.below(2), 1 + r.below(2), pad(1, 0, 1, 1)),
            13 if large => n.avg_pool(x, 3, 1 + r.below(2), pad(1, 1, 1, 1), r.chance(50)),
            14 => n.excite(x),
            15 if s.h * s.w <= 300 => n.nearest(x, 2),
            16 if s.h * s.w <= 300 => n.bilinear(x, s.h * 2 - 1, s.w + 5),
            17 => {
                let index = (0..s.c).map(|_| r.below(s.c) as u32).collect();
                n.channels(x, index)
            }
            18 if s.h.is_multiple_of(2) && s.w.is_multiple_of(2) && s.c <= 12 => n.space_to_depth(x, 2),
            19 if s.c.is_multiple_of(4) => n.depth_to_space(x, 2),
            _ => continue,
        };
        pool.push(y);
    }
    let last = pool[pool.len() - 1];
    let y = n.conv(last, 4, same(1));
    if r.chance(50) {
        let s = n.shape(y);
        let y = n.reshape(y, s.h * s.w, 1, 4);
        let y = n.act(y, Unary::Sigmoid);
        n.output(y);
    } else {
        n.output(y);
    }
    if r.chance(40) {
        n.output(pool[r.below(pool.len())]);
    }
    Case::new(&format!("random {seed}"), n)
}
