//! Resize and Upsample: for every output line the source line (nearest) or the two lines between which it lies (linear).
//! Coordinates are computed in f32, as the reference implementations do, so that ties fall on the same side.

use crate::import::node::Node;
use crate::import::view::{Groups, H, View, W};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Lerp, Op};

use super::Made;

struct Axis {
    from: usize,
    to: usize,
    scale: f32,
}

impl Axis {
    /// Source coordinate of output line `o`.
    fn source(&self, o: usize, mode: &str) -> Result<f32, Fail> {
        let (o, n, m, scale) = (o as f32, self.from as f32, self.to as f32, self.scale);
        Ok(match mode {
            "half_pixel" => (o + 0.5) / scale - 0.5,
            "asymmetric" => o / scale,
            "align_corners" if self.to == 1 => 0.0,
            "align_corners" => o * (n - 1.0) / (m - 1.0),
            "pytorch_half_pixel" if self.to == 1 => 0.0,
            "pytorch_half_pixel" => (o + 0.5) / scale - 0.5,
            "tf_half_pixel_for_nn" => (o + 0.5) / scale,
            "half_pixel_symmetric" => {
                let adjusted = m / (scale * n);
                n / 2.0 * (1.0 - adjusted) + (o + 0.5) / scale - 0.5
            }
            other => return Err(unsupported(format!("coordinate mode `{other}`"))),
        })
    }
}

pub(super) fn resize(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let shape = x.shape();
    let rank = shape.len();
    let upsample = node.op() == "Upsample";
    let old = upsample || node.opset < 11;
    let coordinates = if old { "asymmetric".into() } else { node.text("coordinate_transformation_mode", "half_pixel") };
    let nearest = if old { "floor".into() } else { node.text("nearest_mode", "round_prefer_floor") };
    if node.int("antialias", 0) != 0 || !matches!(node.text("keep_aspect_ratio_policy", "stretch").as_str(), "stretch") {
        return Err(unsupported("antialias and keep_aspect_ratio_policy"));
    }
    let targets = targets(node, &shape, old)?;
    let moved: Vec<usize> = (0..rank).filter(|&a| targets[a].to != shape[a] || targets[a].scale != 1.0).collect();
    let natural = x.natural(im.shape_of(x.tensor));
    let groups = match (rank, &moved[..]) {
        (_, []) => natural,
        (4, m) if m.iter().all(|&a| a >= 2) => Groups([vec![2], vec![3], vec![1]]),
        (4, m) if m.iter().all(|&a| a == 1 || a == 2) => Groups([vec![1], vec![2], vec![3]]),
        (3, [2]) => Groups([vec![2], vec![], vec![1]]),
        _ => return Err(unsupported(format!("resizing of axes {moved:?} of a value of rank {rank}"))),
    };
    let tensor = im.realise(x, &groups)?;
    let map = im.shape_of(tensor);
    let along = |k: usize, n: usize| match groups.0[k][..] {
        [a] => Axis { from: shape[a], to: targets[a].to, scale: targets[a].scale },
        _ => Axis { from: n, to: n, scale: 1.0 },
    };
    let (rows, columns) = (along(H, map.h), along(W, map.w));
    let out = im.checked_shape([rows.to, columns.to, map.c])?;
    im.charge(out.h + out.w)?;
    let mode = node.text("mode", "nearest");
    let op = match mode.as_str() {
        "nearest" => {
            Op::Index { ys: lines(&rows, &coordinates, &nearest)?, xs: lines(&columns, &coordinates, &nearest)?, fill: 0.0 }
        }
        "linear" | "bilinear" if x.int.is_none() => Op::Bilinear { ys: lerps(&rows, &coordinates)?, xs: lerps(&columns, &coordinates)? },
        "linear" | "bilinear" => return Err(unsupported("interpolation of integer codes")),
        other => return Err(unsupported(format!("mode `{other}`; nearest and linear are supported"))),
    };
    let mut made = shape.clone();
    for (a, n) in made.iter_mut().enumerate() {
        *n = targets[a].to;
    }
    let tensor = im.emit_node(node, op, vec![tensor], out);
    Ok(vec![Value::Map(View { int: x.int, ..View::of_groups(tensor, &made, &groups) })])
}

/// Extent and scale of every axis of the result.
fn targets(node: &Node, shape: &[usize], old: bool) -> Result<Vec<Axis>, Fail> {
    let rank = shape.len();
    let axes = match node.ints("axes") {
        Some(_) => node.axes(usize::MAX, rank)?.unwrap_or_default(),
        None => (0..rank).collect(),
    };
    let mut out: Vec<Axis> = shape.iter().map(|&n| Axis { from: n, to: n, scale: 1.0 }).collect();
    let attribute = node.attribute("scales").map(|a| a.floats.clone());
    let at = if old { 1 } else { 2 };
    let scales = match attribute {
        Some(s) => Some(s),
        None => node.optional_constant(at, "the scales")?.map(|c| c.to_reals()),
    };
    if let Some(scales) = scales.filter(|s| !s.is_empty()) {
        if scales.len() != axes.len() {
            return Err(invalid(format!("{} scales for {} axes", scales.len(), axes.len())));
        }
        for (&a, &s) in axes.iter().zip(&scales) {
            let to = (shape[a] as f32 * s).floor();
            if !(s > 0.0 && to >= 1.0 && to < (1 << 24) as f32) {
                return Err(invalid(format!("scale {s} of {} lines", shape[a])));
            }
            out[a] = Axis { from: shape[a], to: to as usize, scale: s };
        }
        return Ok(out);
    }
    let sizes = node.optional_constant(3, "the sizes")?.map(|c| c.to_ints()).transpose()?;
    let sizes = sizes.filter(|s| s.len() == axes.len()).ok_or_else(|| invalid("neither scales nor sizes fit"))?;
    for (&a, &s) in axes.iter().zip(&sizes) {
        if !(1..1 << 24).contains(&s) {
            return Err(invalid(format!("size {s}")));
        }
        out[a] = Axis { from: shape[a], to: s as usize, scale: s as f32 / shape[a] as f32 };
    }
    Ok(out)
}

fn lines(axis: &Axis, coordinates: &str, nearest: &str) -> Result<Vec<i32>, Fail> {
    (0..axis.to)
        .map(|o| {
            let x = axis.source(o, coordinates)?;
            let line = match nearest {
                _ if axis.scale == 1.0 && axis.from == axis.to => o as f32,
                "round_prefer_floor" => (x - 0.5).ceil(),
                "round_prefer_ceil" => (x + 0.5).floor(),
                "floor" => x.floor(),
                "ceil" => x.ceil(),
                other => return Err(invalid(format!("nearest_mode `{other}`"))),
            };
            Ok(line.clamp(0.0, (axis.from - 1) as f32) as i32)
        })
        .collect()
}

fn lerps(axis: &Axis, coordinates: &str) -> Result<Vec<Lerp>, Fail> {
    let last = (axis.from - 1) as u32;
    (0..axis.to)
        .map(|o| {
            let x = if axis.scale == 1.0 && axis.from == axis.to { o as f32 } else { axis.source(o, coordinates)? };
            let x = x.clamp(0.0, last as f32);
            let lo = (x as u32).min(last);
            Ok(Lerp { lo, hi: (lo + 1).min(last), t: x - lo as f32 })
        })
        .collect()
}
