//! ConvTranspose as an ordinary convolution over output phases.
//!
//! With stride `s` an output position before cropping is `p = iy * s + ky * d = q * s + r`, and only the taps with
//! `ky * d = r (mod s)` reach phase `r`: they read `iy = q - m` with `m = (ky * d - r) / s`. So one convolution of
//! `max m + 1` taps makes all `s * s` phases side by side as channels, DepthToSpace spreads them, Index crops the pads.
//! Where the strides of the two axes differ, each phase is a convolution of its own; their maps lie beside each other, and the Index
//! that crops takes lines and columns in turn.

use crate::import::node::Node;
use crate::import::view::View;
use crate::import::{Fail, Importer, Value, invalid};
use crate::ir::{Axis, Conv, Op, Pad, Shape};

use super::Made;
use super::conv::{bias, image_groups, output_scales, weights};

/// One axis of the transposed convolution.
struct Along {
    /// Taps of the phase convolution.
    taps: usize,
    /// Its padding before and after.
    pads: (usize, usize),
    /// Positions it makes, each of `stride` outputs.
    positions: usize,
    /// First output kept, and how many.
    start: usize,
    count: usize,
}

fn along(n: usize, k: usize, s: usize, d: usize, pads: (usize, usize), count: usize) -> Along {
    let most = (k - 1) * d / s;
    let first = (pads.0 / s).min(most);
    let total = ((pads.0 + count - 1) / s + 1).max(n);
    Along { taps: most + 1, pads: (most - first, total - n), positions: total - first, start: pads.0 - first * s, count }
}

pub(super) fn conv_transpose(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let w = node.constant(1, "the kernel")?;
    let shape = x.shape();
    let rank = shape.len();
    let groups = image_groups(rank)?;
    let group = usize::try_from(node.int("group", 1)).unwrap_or(0);
    if w.shape.len() != rank || w.shape[0] != shape[1] || group == 0 || shape[1] % group != 0 || w.len() == 0 {
        return Err(invalid(format!("kernel of shape {:?} in {group} groups for a value of shape {shape:?}", w.shape)));
    }
    let spatial = rank - 2;
    let (ocg, icg) = (w.shape[1], shape[1] / group);
    let oc = ocg * group;
    let kernel = &w.shape[2..];
    let strides = node.extents("strides", spatial, 1, 1)?;
    let dilations = node.extents("dilations", spatial, 1, 1)?;
    let extra = node.extents("output_padding", spatial, 0, 0)?;
    let mut pads = node.extents("pads", 2 * spatial, 0, 0)?;
    let sizes = node.attribute("output_shape").map(|_| node.extents("output_shape", spatial, 1, 1)).transpose()?;
    let auto = node.text("auto_pad", "NOTSET");
    let mut axes = Vec::new();
    for a in 0..spatial {
        let s = strides[a];
        let full = s * (shape[2 + a] - 1) + extra[a] + (kernel[a] - 1) * dilations[a] + 1;
        let wanted = match (&sizes, auto.as_str()) {
            (Some(list), _) => Some(list[a]),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(shape[2 + a] * s),
            _ => None,
        };
        if let Some(wanted) = wanted {
            // An extent asked for may lie beyond what the windows reach: there is the bias alone.
            let total = full.saturating_sub(wanted);
            let small = total / 2;
            let lower = auto != "SAME_UPPER";
            (pads[a], pads[spatial + a]) = if lower { (total - small, small) } else { (small, total - small) };
        }
        let given = sizes.as_ref().map(|list| list[a]);
        let count = given.or(full.checked_sub(pads[a] + pads[spatial + a])).filter(|&c| c > 0);
        let count = count.ok_or_else(|| invalid(format!("pads {pads:?} leave nothing of the output")))?;
        axes.push(along(shape[2 + a], kernel[a], s, dilations[a], (pads[a], pads[spatial + a]), count));
    }
    if spatial == 1 {
        axes.push(Along { taps: 1, pads: (0, 0), positions: 1, start: 0, count: 1 });
    }
    let (kh, kw) = (kernel[0], kernel.get(1).copied().unwrap_or(1));
    let (dy, dx) = (dilations[0], dilations.get(1).copied().unwrap_or(1));
    let (y, xa) = (&axes[0], &axes[1]);
    let (sy, sx) = (strides[0], strides.get(1).copied().unwrap_or(1));
    let size = [sy, sx, oc, y.taps, xa.taps, icg].iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    let size = size.ok_or_else(|| invalid("its kernel is too large"))?;
    im.charge(size)?;
    let source = weights(w, "weights")?;
    let per = y.taps * xa.taps * icg;
    // For each phase `[oc][taps y][taps x][icg]`.
    let mut phases = vec![vec![0.0; oc * per]; sy * sx];
    for (at, &v) in source.iter().enumerate() {
        let (kx, rest) = (at % kw, at / kw);
        let (ky, rest) = (rest % kh, rest / kh);
        let (o, i) = (rest % ocg, rest / ocg);
        let ((ry, my), (rx, mx)) = ((ky * dy % sy, ky * dy / sy), (kx * dx % sx, kx * dx / sx));
        let out = i / icg * ocg + o;
        let tap = (y.taps - 1 - my) * xa.taps + (xa.taps - 1 - mx);
        phases[ry * sx + rx][out * per + tap * icg + i % icg] = v;
    }
    let scales =
        if group == 1 { output_scales(w, 1, oc) } else { w.scales.as_ref().filter(|s| s.axis.is_none()).map(|s| vec![s.values[0]; oc]) };
    let convolution = |weights: Vec<f32>, count: usize, bias: Vec<f32>, scales: Option<Vec<f32>>| {
        Op::Conv(Conv {
            weights,
            bias,
            oc: count * oc,
            kh: y.taps,
            kw: xa.taps,
            stride: (1, 1),
            dilation: (1, 1),
            pad: Pad { t: y.pads.0, b: y.pads.1, l: xa.pads.0, r: xa.pads.1 },
            groups: group,
            weight_scales: scales,
        })
    };
    let each = bias(node, 2, oc)?;
    let input = im.realise(x, &groups)?;
    let tensor = if sy == sx {
        let count = sy * sx;
        // Outputs are ordered group, phase, output within the group.
        let order: Vec<(usize, usize)> =
            (0..group).flat_map(|g| (0..count).flat_map(move |p| (0..ocg).map(move |o| (p, g * ocg + o)))).collect();
        let values = order.iter().flat_map(|&(p, o)| phases[p][o * per..][..per].iter().copied()).collect();
        let spread = |list: &[f32]| -> Vec<f32> { order.iter().map(|&(_, o)| list[o]).collect() };
        let op = convolution(values, count, spread(&each), scales.map(|s| spread(&s)));
        let mut map = im.checked_shape([y.positions, xa.positions, count * oc])?;
        let mut tensor = im.emit_node(node, op, vec![input], map);
        if count > 1 {
            if group > 1 {
                let index = (0..count * oc).map(|k| ((k % oc / ocg * count + k / oc) * ocg + k % ocg) as u32).collect();
                tensor = im.emit_node(node, Op::Channels { index }, vec![tensor], map);
            }
            map = im.checked_shape([map.h * sy, map.w * sx, oc])?;
            tensor = im.emit_node(node, Op::DepthToSpace { block: sy }, vec![tensor], map);
        }
        let rows: Vec<isize> = (y.start..y.start + y.count).map(|v| v as isize).collect();
        let columns: Vec<isize> = (xa.start..xa.start + xa.count).map(|v| v as isize).collect();
        cropped(im, tensor, &rows, &columns, oc)?
    } else {
        // One map for each phase, side by side; then the lines and columns in turn.
        let map = im.checked_shape([y.positions, xa.positions, oc])?;
        let beside = im.checked_shape([sy * map.h, sx * map.w, oc])?;
        let mut lines = Vec::with_capacity(sy);
        for row in phases.chunks(sx) {
            let maps = row.iter().map(|values| {
                let op = convolution(values.clone(), 1, each.clone(), scales.clone());
                im.emit_node(node, op, vec![input], map)
            });
            let maps: Vec<usize> = maps.collect();
            lines.push(joined(im, node, Axis::W, maps, Shape { w: beside.w, ..map }));
        }
        let tensor = joined(im, node, Axis::H, lines, beside);
        let turns =
            |a: &Along, s: usize| -> Vec<isize> { (a.start..a.start + a.count).map(|p| (p % s * a.positions + p / s) as isize).collect() };
        cropped(im, tensor, &turns(y, sy), &turns(xa, sx), oc)?
    };
    let mut made = vec![1, oc, y.count, xa.count];
    made.truncate(rank);
    Ok(vec![Value::Map(View::of_groups(tensor, &made, &groups))])
}

/// Maps one behind another; one alone is itself.
fn joined(im: &mut Importer, node: &Node, axis: Axis, maps: Vec<usize>, shape: Shape) -> usize {
    match maps[..] {
        [only] => only,
        _ => im.emit_node(node, Op::Concat(axis), maps, shape),
    }
}

fn cropped(im: &mut Importer, tensor: usize, ys: &[isize], xs: &[isize], oc: usize) -> Result<usize, Fail> {
    let map = im.shape_of(tensor);
    if ys.iter().any(|&y| y >= map.h as isize) || xs.iter().any(|&x| x >= map.w as isize) {
        return Err(invalid("output_padding exceeds the stride"));
    }
    im.select(tensor, ys, xs, &(0..oc as isize).collect::<Vec<_>>())
}
