//! The graph every later stage works on.
//!
//! One picture of data: a tensor is a map `[H, W, C]` of f32, channels contiguous, batch 1. A batch-1 vector is
//! `1 x 1 x C`, a sequence `T x 1 x C`. ONNX axes are gone: the importer has resolved layouts, shuffles and reshapes
//! into the operators below or into the layout of an output. Shapes are static.
//!
//! Weights stay f32 here; what a quantised source model says about its codes is kept beside them ([`Codes`]).

mod text;
pub mod verify;

pub use verify::verify;

pub type TensorId = usize;

/// Extent of a map: rows are pixels `(y, x)` in row-major order, each of `c` contiguous channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

/// How a source model quantised a tensor (QuantizeLinear/DequantizeLinear): `real = scale * (code - zero)`.
/// `zero` is already in u8 terms: an int8 code and its zero point are both shifted by 128.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codes {
    pub scale: f32,
    pub zero: u8,
}

#[derive(Clone, Debug)]
pub struct Tensor {
    /// Name of the ONNX value this map carries (or derives from).
    pub name: String,
    pub shape: Shape,
    /// Set when the source model fixes this tensor's quantisation: its reals end where the codes do.
    pub codes: Option<Codes>,
    /// Set for a constant: `h * w * c` values, row-major, channels contiguous.
    pub constant: Option<Vec<f32>>,
}

#[derive(Clone, Debug)]
pub struct Node {
    /// Name of the ONNX node (the last one, where a pass fused several).
    pub name: String,
    pub op: Op,
    pub inputs: Vec<TensorId>,
    pub output: TensorId,
}

/// `top, left, bottom, right`, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Pad {
    pub t: usize,
    pub l: usize,
    pub b: usize,
    pub r: usize,
}

/// `out[oy, ox, o] = bias[o] + sum weights[o][ky][kx][i] * in[oy*sy - pad.t + ky*dy, ox*sx - pad.l + kx*dx, g*icg + i]`
/// with `g = o / (oc / groups)`, zero outside the map. A fully connected layer over a whole map is a kernel of the
/// map's size; over a vector it is 1x1.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[oc][kh][kw][ic / groups]`.
    pub weights: Vec<f32>,
    /// `[oc]`.
    pub bias: Vec<f32>,
    pub oc: usize,
    pub kh: usize,
    pub kw: usize,
    /// Stride `(y, x)`.
    pub stride: (usize, usize),
    /// Dilation `(y, x)`.
    pub dilation: (usize, usize),
    pub pad: Pad,
    pub groups: usize,
    /// Weight scales of the source model, one per output channel (all equal when it had one per tensor):
    /// `weights / scale` are whole numbers in `-128..=127`.
    pub weight_scales: Option<Vec<f32>>,
}

/// Element-wise functions of one value. On codes each is a 256-entry table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `min(max(x, lo), hi)`: Relu is `(0, inf)`, Relu6 `(0, 6)`.
    Clamp {
        lo: f32,
        hi: f32,
    },
    LeakyRelu {
        alpha: f32,
    },
    Sigmoid,
    Tanh,
    /// `max(0, min(1, alpha * x + beta))`.
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    Silu,
    Mish,
    /// Exact, by the error function.
    Gelu,
    /// By the tanh approximation.
    GeluTanh,
    Erf,
    Softplus,
    Elu {
        alpha: f32,
    },
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Abs,
    Neg,
    Floor,
    Ceil,
    Pow {
        exponent: f32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub kh: usize,
    pub kw: usize,
    pub stride: (usize, usize),
    pub dilation: (usize, usize),
    /// The output extent is that of the output tensor; `pad` alone decides where windows start.
    pub pad: Pad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    H,
    W,
    C,
}

/// Two source lines (or columns) and the weight of the second: `(1 - t) * in[lo] + t * in[hi]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lerp {
    pub lo: u32,
    pub hi: u32,
    pub t: f32,
}

#[derive(Clone, Debug)]
pub enum Op {
    Conv(Conv),
    Unary(Unary),
    /// Per-channel PRelu slope: `x < 0 ? slope[c] * x : x`; `slope` has `c` entries.
    PRelu {
        slope: Vec<f32>,
    },
    /// Two inputs. An input's extent is the output's or 1 on each of h, w, c (broadcast). Either may be a constant.
    Binary(Binary),
    /// Padding never wins.
    MaxPool(Window),
    /// Mean over the window; padding counts as zeros when `count_pad`, else it is left out of the count.
    AvgPool {
        window: Window,
        count_pad: bool,
    },
    /// Mean over all pixels: output `1 x 1 x C`.
    GlobalAvgPool,
    /// Maximum over all pixels: output `1 x 1 x C`.
    GlobalMaxPool,
    /// Inputs in order along one axis; the other two extents agree.
    Concat(Axis),
    /// `out[y, x, :] = in[ys[y], xs[x], :]`; an index of -1 gives `fill` on all channels. Slices, explicit padding,
    /// nearest resize, flips.
    Index {
        ys: Vec<i32>,
        xs: Vec<i32>,
        fill: f32,
    },
    /// Separable linear interpolation.
    Bilinear {
        ys: Vec<Lerp>,
        xs: Vec<Lerp>,
    },
    /// `out[y*b + i, x*b + j, c] = in[y, x, (i*b + j) * C + c]`, `C` the output's channels.
    DepthToSpace {
        block: usize,
    },
    /// `out[y, x, (i*b + j) * C + c] = in[y*b + i, x*b + j, c]`, `C` the input's channels.
    SpaceToDepth {
        block: usize,
    },
    /// `out[y, x, k] = in[y, x, index[k]]`: channel slices, permutations, selections.
    Channels {
        index: Vec<u32>,
    },
    /// The same numbers in the same memory order under another `[H, W, C]`.
    Reshape,
    /// `out.flat[k] = in.flat[index[k]]` for small maps no other operator covers.
    Permute {
        index: Vec<u32>,
    },
    /// Over the channels of each pixel.
    Softmax,
    /// Sum (`mean = false`) or mean over the channels of each pixel: output `H x W x 1`.
    ReduceChannels {
        mean: bool,
    },
}

/// What the caller's frame looks like.
#[derive(Clone, Debug)]
pub struct Input {
    pub tensor: TensorId,
    pub name: String,
    /// Shape and element type in the ONNX model, batch made 1.
    pub onnx_shape: Vec<usize>,
    pub onnx_type: ElementType,
    /// ONNX axes `(h, w, c)` of the map, `None` where the model has no such axis: `[1,C,H,W]` is `(Some(2), Some(3), Some(1))`.
    pub axes: (Option<usize>, Option<usize>, Option<usize>),
    /// For an integer input: how its codes map to reals (from the QDQ nodes), else `None`.
    pub codes: Option<Codes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    F32,
    U8,
    I8,
}

/// A graph output and where its ONNX elements lie in the map: element at ONNX index `(i0, i1, ..)` is
/// `map.flat[offset + i0 * strides[0] + i1 * strides[1] + ..]`, `flat` counted in elements of the row-major `[H, W, C]` map.
#[derive(Clone, Debug)]
pub struct Output {
    pub tensor: TensorId,
    pub name: String,
    pub onnx_shape: Vec<usize>,
    pub strides: Vec<usize>,
    pub offset: usize,
    pub onnx_type: ElementType,
    /// For an integer output (QuantizeLinear at the end): the codes it had.
    pub codes: Option<Codes>,
}

/// Nodes are in execution order. Every non-constant, non-input tensor is written by exactly one node.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub tensors: Vec<Tensor>,
    pub nodes: Vec<Node>,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
}

impl Unary {
    /// The device computes it on reals; the others are tables of codes there.
    pub fn on_reals(self) -> bool {
        use Unary::*;
        !matches!(self, Mish | Gelu | GeluTanh | Erf | Softplus | Elu { .. } | Floor | Ceil | Pow { .. })
    }
}

impl Shape {
    /// Pixels.
    pub fn rows(self) -> usize {
        self.h * self.w
    }
    /// Elements.
    pub fn len(self) -> usize {
        self.rows() * self.c
    }
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}
