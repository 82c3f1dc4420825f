//! A graph as text, one line a tensor source and one a node, for people and for tests:
//!
//! ```text
//! in  %0 images [416, 416, 3]
//! %2 [208, 208, 16] = Conv 3x3 s2 pad 1,1,1,1 (%0)  # stem
//! out %2 logits strides [0, 1]
//! ```

use std::fmt;

use super::{Codes, Conv, Graph, Op, Pad, Window};

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for input in &self.inputs {
            write!(f, "in  %{} {} {}", input.tensor, input.name, Extent(self, input.tensor))?;
            writeln!(f, "{}", CodesText(input.codes))?;
        }
        for node in &self.nodes {
            write!(f, "%{} {} = {} (", node.output, Extent(self, node.output), node.op)?;
            for (i, &t) in node.inputs.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                match self.tensors.get(t).map(|t| (&t.constant, t.shape.len())) {
                    Some((Some(values), 1)) => write!(f, "{comma}{}", values[0])?,
                    Some((Some(_), _)) => write!(f, "{comma}const{}", Extent(self, t))?,
                    _ => write!(f, "{comma}%{t}")?,
                }
            }
            let codes = self.tensors.get(node.output).and_then(|t| t.codes);
            writeln!(f, "){}  # {}", CodesText(codes), node.name)?;
        }
        for out in &self.outputs {
            write!(f, "out %{} {} {:?} strides {:?}", out.tensor, out.name, out.onnx_shape, out.strides)?;
            if out.offset != 0 {
                write!(f, " offset {}", out.offset)?;
            }
            writeln!(f, "{}", CodesText(out.codes))?;
        }
        Ok(())
    }
}

struct Extent<'a>(&'a Graph, usize);

impl fmt::Display for Extent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.tensors.get(self.1) {
            Some(t) => write!(f, "[{}, {}, {}]", t.shape.h, t.shape.w, t.shape.c),
            None => write!(f, "[?]"),
        }
    }
}

struct CodesText(Option<Codes>);

impl fmt::Display for CodesText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(c) => write!(f, " codes {} @ {}", c.scale, c.zero),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Conv(c) => write!(f, "Conv {c}"),
            Op::Unary(u) => write!(f, "{u:?}"),
            Op::PRelu { .. } => write!(f, "PRelu"),
            Op::Binary(b) => write!(f, "{b:?}"),
            Op::MaxPool(w) => write!(f, "MaxPool {w}"),
            Op::AvgPool { window, count_pad } => {
                write!(f, "AvgPool {window}{}", if *count_pad { " counting pad" } else { "" })
            }
            Op::Concat(axis) => write!(f, "Concat {axis:?}"),
            Op::Index { ys, xs, fill } => {
                write!(f, "Index ys {} xs {}", Indices(ys), Indices(xs))?;
                if ys.iter().chain(xs).any(|&i| i < 0) { write!(f, " fill {fill}") } else { Ok(()) }
            }
            Op::Bilinear { ys, xs } => write!(f, "Bilinear {}x{}", ys.len(), xs.len()),
            Op::DepthToSpace { block } => write!(f, "DepthToSpace {block}"),
            Op::SpaceToDepth { block } => write!(f, "SpaceToDepth {block}"),
            Op::Channels { index } => {
                write!(f, "Channels {}", Indices(&index.iter().map(|&i| i as i32).collect::<Vec<_>>()))
            }
            Op::Permute { index } => write!(f, "Permute of {}", index.len()),
            Op::ReduceChannels { mean } => write!(f, "ReduceChannels {}", if *mean { "mean" } else { "sum" }),
            Op::GlobalAvgPool => write!(f, "GlobalAvgPool"),
            Op::GlobalMaxPool => write!(f, "GlobalMaxPool"),
            Op::Reshape => write!(f, "Reshape"),
            Op::Softmax => write!(f, "Softmax"),
        }
    }
}

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.kh, self.kw)?;
        write!(f, "{}", Steps(" s", self.stride))?;
        write!(f, "{}{}", Steps(" d", self.dilation), PadText(self.pad))?;
        if self.groups != 1 {
            write!(f, " groups {}", self.groups)?;
        }
        Ok(())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.kh, self.kw)?;
        write!(f, "{}{}{}", Steps(" s", self.stride), Steps(" d", self.dilation), PadText(self.pad))
    }
}

/// A pair of strides or dilations; nothing when both are 1.
struct Steps(&'static str, (usize, usize));

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            (1, 1) => Ok(()),
            (y, x) if y == x => write!(f, "{}{y}", self.0),
            (y, x) => write!(f, "{}{y},{x}", self.0),
        }
    }
}

struct PadText(Pad);

impl fmt::Display for PadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pad { t, l, b, r } = self.0;
        if self.0 == Pad::default() { Ok(()) } else { write!(f, " pad {t},{l},{b},{r}") }
    }
}

/// An index list by its runs: `0..8:2` is 0, 2, 4, 6.
struct Indices<'a>(&'a [i32]);

impl fmt::Display for Indices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0;
        write!(f, "[")?;
        let (mut i, mut runs) = (0, 0);
        while i < list.len() {
            if runs == 6 {
                write!(f, " ..{} in all", list.len())?;
                break;
            }
            if i > 0 {
                write!(f, " ")?;
            }
            let step = if i + 1 < list.len() { list[i + 1] - list[i] } else { 1 };
            let mut end = i + 1;
            while end < list.len() && list[end] - list[end - 1] == step {
                end += 1;
            }
            match (end - i, step) {
                (1, _) => write!(f, "{}", list[i])?,
                (n, 0) => write!(f, "{}*{n}", list[i])?,
                (_, 1) => write!(f, "{}..{}", list[i], list[end - 1] + 1)?,
                _ => write!(f, "{}..{}:{step}", list[i], list[end - 1] + step)?,
            }
            runs += 1;
            i = end;
        }
        write!(f, "]")
    }
}
