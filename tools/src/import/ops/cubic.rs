//! Cubic resizing by a whole factor: weights repeat from line to line, so that it is convolutions of a map with its edges repeated.
//!
//! ```text
//! up by s      s x s depthwise convolutions, one for each place within a block, joined and laid out by DepthToSpace
//! down by s    one depthwise convolution of stride s
//! ```
//!
//! Keys' kernel: `a` is -0.75 unless the model says otherwise.

use crate::import::node::Node;
use crate::import::{Fail, Importer, unsupported};
use crate::ir::{Axis, Conv, Op, Pad, Shape, TensorId};

/// Largest factor: its square is a number of convolutions.
const MOST: usize = 4;
const TAPS: usize = 4;
pub(super) const SUPPORTED: &str =
    "supported are whole factors of 2 to 4, the same along both axes, half_pixel or asymmetric; nearest and linear by any";

/// Weights of the lines before, at, behind and two behind the coordinate's floor, `t` its fraction.
fn weights(a: f32, t: f32) -> [f32; TAPS] {
    let near = |d: f32| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    let far = |d: f32| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// `x` by cubic interpolation; `source` gives the coordinate of a line of the result, the same along both axes.
pub(super) fn resized(
    im: &mut Importer, node: &Node, x: TensorId, out: Shape, source: impl Fn(usize) -> Result<f32, Fail>,
) -> Result<TensorId, Fail> {
    let from = im.shape_of(x);
    let times = |n: usize, m: usize| if n > 0 && m.is_multiple_of(n) { m / n } else { 0 };
    let (up, down) = (times(from.h, out.h), times(out.h, from.h));
    let even = (times(from.w, out.w), times(out.w, from.w)) == (up, down) && (2..=MOST).contains(&up.max(down));
    if !even || node.int("exclude_outside", 0) != 0 {
        return Err(unsupported(format!("mode `cubic` from {} x {} to {} x {}; {SUPPORTED}", from.h, from.w, out.h, out.w)));
    }
    let a = node.float("cubic_coeff_a", -0.75);
    // First line and weights of every line of a block, the map's first.
    let (phases, step) = (up.max(1), down.max(1));
    let mut lists = Vec::with_capacity(phases);
    for o in 0..phases {
        let at = source(o)?;
        let first = at.floor() as i32 - 1;
        lists.push((first, weights(a, at - at.floor())));
    }
    let first = lists.iter().map(|l| l.0).min().unwrap_or(0);
    let taps = lists.iter().map(|l| l.0 - first).max().unwrap_or(0) as usize + TAPS;
    let blocks = Shape { h: out.h / phases, w: out.w / phases, c: from.c };
    let lines = |n: usize, count: usize| -> Vec<i32> {
        let behind = ((count - 1) * step + taps) as i32;
        (first..first + behind).map(|i| i.clamp(0, n as i32 - 1)).collect()
    };
    let (ys, xs) = (lines(from.h, blocks.h), lines(from.w, blocks.w));
    let wide = im.checked_shape([ys.len(), xs.len(), from.c])?;
    im.charge(ys.len() + xs.len() + phases * phases * taps * taps * from.c)?;
    let edged = im.emit_node(node, Op::Index { ys, xs, fill: 0.0 }, vec![x], wide);
    let line = |l: &(i32, [f32; TAPS])| {
        let mut line = vec![0f32; taps];
        line[(l.0 - first) as usize..][..TAPS].copy_from_slice(&l.1);
        line
    };
    let mut parts = Vec::with_capacity(phases * phases);
    for y in &lists {
        for x in &lists {
            let (y, x) = (line(y), line(x));
            let kernel: Vec<f32> = y.iter().flat_map(|v| x.iter().map(move |u| u * v)).collect();
            let conv = Conv {
                weights: kernel.repeat(from.c),
                bias: vec![0.0; from.c],
                oc: from.c,
                kh: taps,
                kw: taps,
                stride: (step, step),
                dilation: (1, 1),
                pad: Pad::default(),
                groups: from.c,
                weight_scales: None,
            };
            parts.push(im.emit_node(node, Op::Conv(conv), vec![edged], blocks));
        }
    }
    if let [whole] = parts[..] {
        return Ok(whole);
    }
    let deep = im.checked_shape([blocks.h, blocks.w, from.c * parts.len()])?;
    let joined = im.emit_node(node, Op::Concat(Axis::C), parts, deep);
    Ok(im.emit_node(node, Op::DepthToSpace { block: phases }, vec![joined], out))
}
