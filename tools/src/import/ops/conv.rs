//! Conv, and the window geometry shared with pooling.

use crate::import::constant::{Const, Data, volume};
use crate::import::node::Node;
use crate::import::view::{Groups, View};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Conv, Op, Pad};

use super::Made;

/// `[N, C, H, W]`, or `[N, C, H]` for one spatial axis (columns are then 1).
pub(super) fn image_groups(rank: usize) -> Result<Groups, Fail> {
    match rank {
        4 => Ok(Groups([vec![2], vec![3], vec![1]])),
        3 => Ok(Groups([vec![2], vec![], vec![1]])),
        r => Err(unsupported(format!("a value of rank {r}; one or two spatial axes are supported"))),
    }
}

pub(super) struct Geometry {
    pub stride: (usize, usize),
    pub dilation: (usize, usize),
    pub pad: Pad,
    /// Extent of the output.
    pub out: (usize, usize),
}

/// Kernel, strides, dilations and pads of a node over `spatial` axes (1 or 2), made two-dimensional.
pub(super) fn geometry(node: &Node, input: (usize, usize), kernel: (usize, usize), spatial: usize) -> Result<Geometry, Fail> {
    let stride = pair(&node.extents("strides", spatial, 1, 1)?);
    let dilation = pair(&node.extents("dilations", spatial, 1, 1)?);
    if node.ints("pads").is_some_and(|p| p.iter().any(|&v| v < 0)) {
        return Err(unsupported("negative pads; crop with Slice instead"));
    }
    let pads = node.extents("pads", 2 * spatial, 0, 0)?;
    let mut pad = match pads[..] {
        [t, b] => Pad { t, b, l: 0, r: 0 },
        [t, l, b, r] => Pad { t, l, b, r },
        _ => return Err(invalid("pads should have 2 or 4 entries")),
    };
    let ceil = node.int("ceil_mode", 0) != 0;
    let auto = node.text("auto_pad", "NOTSET");
    let mut out = (0, 0);
    for along in 0..spatial {
        let pick = |p: (usize, usize)| if along == 0 { p.0 } else { p.1 };
        let (n, k, s, d) = (pick(input), pick(kernel), pick(stride), pick(dilation));
        let reach = (k.max(1) - 1) * d + 1;
        let (before, after) = if along == 0 { (&mut pad.t, &mut pad.b) } else { (&mut pad.l, &mut pad.r) };
        let count = match auto.as_str() {
            "SAME_UPPER" | "SAME_LOWER" => {
                let count = n.div_ceil(s);
                let total = ((count - 1) * s + reach).saturating_sub(n);
                let half = total / 2;
                (*before, *after) = if auto == "SAME_UPPER" { (half, total - half) } else { (total - half, half) };
                count
            }
            "VALID" | "NOTSET" | "" => {
                if auto == "VALID" {
                    (*before, *after) = (0, 0);
                }
                let room = (n + *before + *after).checked_sub(reach).ok_or_else(|| {
                    invalid(format!("kernel {k} with dilation {d} does not fit {n} pixels padded by {before} and {after}"))
                })?;
                let mut count = if ceil { room.div_ceil(s) } else { room / s } + 1;
                // A window may not start beyond the map and its leading padding.
                if ceil && (count - 1) * s >= n + *before {
                    count -= 1;
                }
                count
            }
            other => return Err(invalid(format!("auto_pad `{other}`"))),
        };
        if along == 0 { out.0 = count } else { out.1 = count }
    }
    if spatial == 1 {
        out.1 = 1;
    }
    Ok(Geometry { stride, dilation, pad, out })
}

fn pair(list: &[usize]) -> (usize, usize) {
    (list[0], list.get(1).copied().unwrap_or(1))
}

/// A real constant without infinities.
pub(super) fn weights<'a>(c: &'a Const, what: &str) -> Result<std::borrow::Cow<'a, [f32]>, Fail> {
    let values = match &c.data {
        Data::F(v) => std::borrow::Cow::Borrowed(v.as_slice()),
        Data::I(_) => std::borrow::Cow::Owned(c.to_reals()),
    };
    match values.iter().any(|v| !v.is_finite()) {
        true => Err(invalid(format!("{what} hold NaN or infinity; export the model again"))),
        false => Ok(values),
    }
}

/// Source scales of weights whose outputs lie on `axis`: one per output channel.
pub(super) fn output_scales(w: &Const, axis: usize, oc: usize) -> Option<Vec<f32>> {
    let s = w.scales.as_ref()?;
    match s.axis {
        None => Some(vec![s.values[0]; oc]),
        Some(a) if a == axis && s.values.len() == oc => Some(s.values.clone()),
        Some(_) => None,
    }
}

/// The bias of input `i`, zeros when it is left out.
pub(super) fn bias(node: &Node, i: usize, oc: usize) -> Result<Vec<f32>, Fail> {
    match node.optional_constant(i, "the bias")? {
        None => Ok(vec![0.0; oc]),
        Some(c) if c.len() == oc => Ok(weights(c, "biases")?.into_owned()),
        Some(c) => Err(invalid(format!("{} biases for {oc} outputs", c.len()))),
    }
}

pub(super) fn conv(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let w = node.constant(1, "the kernel")?;
    let shape = x.shape();
    let groups = image_groups(shape.len())?;
    if w.shape.len() != shape.len() || shape[0] != 1 {
        return Err(invalid(format!("kernel of shape {:?} for a value of shape {shape:?}", w.shape)));
    }
    let (oc, icg, kh) = (w.shape[0], w.shape[1], w.shape[2]);
    let kw = w.shape.get(3).copied().unwrap_or(1);
    let group = usize::try_from(node.int("group", 1)).unwrap_or(0);
    if group == 0 || volume(&[icg, group]) != Some(shape[1]) || oc % group != 0 || volume(&w.shape) == Some(0) {
        return Err(invalid(format!("kernel of shape {:?} in {group} groups for {} channels", w.shape, shape[1])));
    }
    if node.attribute("kernel_shape").is_some() && node.extents("kernel_shape", shape.len() - 2, 1, 1)? != w.shape[2..] {
        return Err(invalid("kernel_shape disagrees with the weights"));
    }
    let input = (shape[2], shape.get(3).copied().unwrap_or(1));
    let g = geometry(node, input, (kh, kw), shape.len() - 2)?;
    let source = weights(w, "weights")?;
    let mut values = vec![0.0; source.len()];
    for o in 0..oc {
        for i in 0..icg {
            for k in 0..kh * kw {
                values[(o * kh * kw + k) * icg + i] = source[(o * icg + i) * kh * kw + k];
            }
        }
    }
    im.charge(values.len())?;
    let op = Op::Conv(Conv {
        weights: values,
        bias: bias(node, 2, oc)?,
        oc,
        kh,
        kw,
        stride: g.stride,
        dilation: g.dilation,
        pad: g.pad,
        groups: group,
        weight_scales: output_scales(w, 0, oc),
    });
    let tensor = im.realise(x, &groups)?;
    let map = im.checked_shape([g.out.0, g.out.1, oc])?;
    let out = im.emit_node(node, op, vec![tensor], map);
    let mut made = vec![1, oc, g.out.0, g.out.1];
    made.truncate(shape.len());
    Ok(vec![Value::Map(View::of_groups(out, &made, &groups))])
}
