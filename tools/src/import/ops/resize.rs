//! Resize and Upsample: for every output line the source line (nearest) or the two lines between which it lies (linear).
//! Coordinates are computed in f32, as the reference implementations do, so that ties fall on the same side.

use crate::import::node::Node;
use crate::import::view::{Groups, H, View, W};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Lerp, Op};

use super::Made;

#[derive(Clone)]
struct Axis {
    from: usize,
    to: usize,
    scale: f32,
    /// Start and end of what is kept, as shares of the axis: `tf_crop_and_resize`.
    crop: (f32, f32),
}

impl Axis {
    fn whole(n: usize) -> Axis {
        Axis { from: n, to: n, scale: 1.0, crop: (0.0, 1.0) }
    }

    fn untouched(&self) -> bool {
        self.from == self.to && self.scale == 1.0 && self.crop == (0.0, 1.0)
    }

    /// Before or behind the map, where cropping reads what is not there.
    fn outside(&self, x: f32, mode: &str) -> bool {
        mode == "tf_crop_and_resize" && !self.untouched() && !(0.0..=(self.from - 1) as f32).contains(&x)
    }

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
                let centre = f64::from(n / 2.0 * (1.0 - adjusted));
                (centre + (f64::from(o) + 0.5) / f64::from(scale) - 0.5) as f32
            }
            "tf_crop_and_resize" => {
                let (start, end) = self.crop;
                if self.to > 1 { start * (n - 1.0) + o * (end - start) * (n - 1.0) / (m - 1.0) } else { 0.5 * (start + end) * (n - 1.0) }
            }
            other => {
                return Err(unsupported(format!("coordinate mode `{other}`; export it as half_pixel, asymmetric or align_corners")));
            }
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
    // Before opset 11 a nearest line is the one before when the map grows, the one behind when it shrinks.
    let nearest = if old { "simple".into() } else { node.text("nearest_mode", "round_prefer_floor") };
    if node.int("antialias", 0) != 0 {
        return Err(unsupported("antialias; export without it, or with an average pooling before the resize"));
    }
    let targets = targets(node, &shape, old, &coordinates)?;
    let moved: Vec<usize> = (0..rank).filter(|&a| !targets[a].untouched()).collect();
    let natural = x.natural(im.shape_of(x.tensor));
    let groups = match (rank, &moved[..]) {
        (_, []) => natural,
        (4, m) if m.iter().all(|&a| a >= 2) => Groups([vec![2], vec![3], vec![1]]),
        (4, m) if m.iter().all(|&a| a == 1 || a == 2) => Groups([vec![1], vec![2], vec![3]]),
        (3, [2]) => Groups([vec![2], vec![], vec![1]]),
        _ => {
            return Err(unsupported(format!(
                "resizing of axes {moved:?} of a value of rank {rank}; the two last axes of [1, C, H, W] are supported"
            )));
        }
    };
    let tensor = im.realise(x, &groups)?;
    let map = im.shape_of(tensor);
    let along = |k: usize, n: usize| match groups.0[k][..] {
        [a] => targets[a].clone(),
        _ => Axis::whole(n),
    };
    let (rows, columns) = (along(H, map.h), along(W, map.w));
    let out = im.checked_shape([rows.to, columns.to, map.c])?;
    im.charge(out.h + out.w)?;
    let mode = node.text("mode", "nearest");
    let mut made = shape.clone();
    for (a, n) in made.iter_mut().enumerate() {
        *n = targets[a].to;
    }
    if mode == "cubic" && x.int.is_none() {
        // Coordinates repeat from block to block but where they are fitted to the map's ends.
        let repeats = matches!(coordinates.as_str(), "half_pixel" | "pytorch_half_pixel" | "asymmetric") && rows.to > 1 && columns.to > 1;
        let exact = |a: &Axis| a.to as f32 == a.from as f32 * a.scale;
        if !repeats || rows.scale != columns.scale || !exact(&rows) || !exact(&columns) {
            return Err(unsupported(format!(
                "mode `cubic` by {} x {}, coordinate mode `{coordinates}`; {}",
                rows.scale,
                columns.scale,
                super::cubic::SUPPORTED
            )));
        }
        let tensor = super::cubic::resized(im, node, tensor, out, |o| rows.source(o, &coordinates))?;
        return Ok(vec![Value::Map(View::of_groups(tensor, &made, &groups))]);
    }
    let op = match mode.as_str() {
        "nearest" => {
            let (ys, xs) = (lines(&rows, &coordinates, &nearest)?, lines(&columns, &coordinates, &nearest)?);
            let beyond = ys.iter().chain(&xs).any(|&i| i < 0);
            if beyond && x.int.is_some() {
                return Err(unsupported("cropping of integer codes beyond their map"));
            }
            Op::Index { ys, xs, fill: if beyond { node.float("extrapolation_value", 0.0) } else { 0.0 } }
        }
        "linear" | "bilinear" if x.int.is_none() => Op::Bilinear { ys: lerps(&rows, &coordinates)?, xs: lerps(&columns, &coordinates)? },
        "linear" | "bilinear" => return Err(unsupported("interpolation of integer codes; put a DequantizeLinear before it")),
        other => return Err(unsupported(format!("mode `{other}`; nearest, linear and cubic are supported"))),
    };
    let tensor = im.emit_node(node, op, vec![tensor], out);
    Ok(vec![Value::Map(View { int: x.int, ..View::of_groups(tensor, &made, &groups) })])
}

/// Extent and scale of every axis of the result.
fn targets(node: &Node, shape: &[usize], old: bool, coordinates: &str) -> Result<Vec<Axis>, Fail> {
    let rank = shape.len();
    let axes = match node.ints("axes") {
        Some(_) => node.axes(usize::MAX, rank)?.unwrap_or_default(),
        None => (0..rank).collect(),
    };
    let mut out: Vec<Axis> = shape.iter().map(|&n| Axis::whole(n)).collect();
    if coordinates == "tf_crop_and_resize" {
        let list = node.optional_constant(1, "the region")?.map(|c| c.to_reals()).unwrap_or_default();
        if list.len() != 2 * axes.len() || list.iter().any(|v| !v.is_finite()) {
            return Err(invalid(format!("a region of {} numbers for {} axes", list.len(), axes.len())));
        }
        for (i, &a) in axes.iter().enumerate() {
            out[a].crop = (list[i], list[axes.len() + i]);
        }
    }
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
            if out[a].crop != (0.0, 1.0) {
                return Err(unsupported("scales of a cropped axis, which runtimes read differently; give sizes"));
            }
            let to = (shape[a] as f32 * s).floor();
            if !(s > 0.0 && to >= 1.0 && to < (1 << 24) as f32) {
                return Err(invalid(format!("scale {s} of {} lines", shape[a])));
            }
            (out[a].to, out[a].scale) = (to as usize, s);
        }
        return Ok(out);
    }
    let sizes = node.optional_constant(3, "the sizes")?.map(|c| c.to_ints()).transpose()?;
    let sizes = sizes.filter(|s| s.len() == axes.len()).ok_or_else(|| invalid("neither scales nor sizes fit"))?;
    for (&a, &s) in axes.iter().zip(&sizes) {
        if !(1..1 << 24).contains(&s) {
            return Err(invalid(format!("size {s}")));
        }
        (out[a].to, out[a].scale) = (s as usize, s as f32 / shape[a] as f32);
    }
    let scales = axes.iter().map(|&a| out[a].scale);
    let one = match node.text("keep_aspect_ratio_policy", "stretch").as_str() {
        "stretch" => return Ok(out),
        "not_larger" => scales.fold(f32::INFINITY, f32::min),
        "not_smaller" => scales.fold(0.0, f32::max),
        other => return Err(invalid(format!("keep_aspect_ratio_policy `{other}`"))),
    };
    for &a in &axes {
        let to = (shape[a] as f32 * one).round();
        (out[a].to, out[a].scale) = (to.max(1.0) as usize, one);
    }
    Ok(out)
}

fn lines(axis: &Axis, coordinates: &str, nearest: &str) -> Result<Vec<i32>, Fail> {
    (0..axis.to)
        .map(|o| {
            if axis.untouched() {
                return Ok(o as i32);
            }
            let x = axis.source(o, coordinates)?;
            if axis.outside(x, coordinates) {
                return Ok(-1);
            }
            let line = match nearest {
                "simple" => {
                    if axis.scale < 1.0 {
                        x.ceil()
                    } else {
                        x.floor()
                    }
                }
                "round_prefer_floor" if is_half(x) => x.floor(),
                "round_prefer_ceil" if is_half(x) => x.ceil(),
                "round_prefer_floor" | "round_prefer_ceil" => x.round(),
                "floor" => x.floor(),
                "ceil" => x.ceil(),
                other => return Err(invalid(format!("nearest_mode `{other}`"))),
            };
            Ok(line.clamp(0.0, (axis.from - 1) as f32) as i32)
        })
        .collect()
}

/// Half way between two lines, as onnxruntime sees it: but for the rounding of the coordinate.
fn is_half(x: f32) -> bool {
    (x - x.floor() - 0.5).abs() <= 1e-6
}

fn lerps(axis: &Axis, coordinates: &str) -> Result<Vec<Lerp>, Fail> {
    let last = (axis.from - 1) as u32;
    (0..axis.to)
        .map(|o| {
            let x = if axis.untouched() { o as f32 } else { axis.source(o, coordinates)? };
            if axis.outside(x, coordinates) {
                return Err(unsupported("interpolation beyond the map (tf_crop_and_resize); pad and slice before the resize"));
            }
            let x = x.clamp(0.0, last as f32);
            let lo = (x as u32).min(last);
            Ok(Lerp { lo, hi: (lo + 1).min(last), t: x - lo as f32 })
        })
        .collect()
}
