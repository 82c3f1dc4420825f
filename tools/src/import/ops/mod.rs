//! ONNX operators, one function each, grouped by what they do to a map.

mod composed;
mod conv;
mod cubic;
mod elementwise;
mod index;
mod join;
mod linear;
mod logic;
mod norm;
mod pool;
pub(super) mod quant;
mod resize;
pub(super) mod shape;
mod transpose;

use super::constant::Const;
use super::node::Node;
use super::{Fail, Importer, Value, fold, unsupported};

type Made = Result<Vec<Value>, Fail>;
type Converter = fn(&mut Importer, &Node) -> Made;

/// Converts a node; constants are evaluated instead.
pub(super) fn convert(im: &mut Importer, node: &Node) -> Made {
    if !matches!(node.proto.domain.as_str(), "" | "ai.onnx") {
        return Err(unsupported(format!("operator set `{}` is not supported; export with standard ONNX operators", node.proto.domain)));
    }
    let constants: Option<Vec<Option<&Const>>> = (node.inputs.iter())
        .map(|v| match v {
            None => Some(None),
            Some(Value::Const(c)) => Some(Some(&**c)),
            _ => None,
        })
        .collect();
    if let Some(inputs) = constants
        && let Some(made) = fold::evaluate(im, node, &inputs)?
    {
        return made.into_iter().map(|c| im.charged(c)).collect();
    }
    match converter(node.op()) {
        Some(f) => f(im, node),
        None => Err(unsupported(way_out(node.op()))),
    }
}

/// Whether the operator has a converter.
pub(super) fn known(node: &Node) -> bool {
    converter(node.op()).is_some() || fold::FOLDED.contains(&node.op())
}

fn converter(op: &str) -> Option<Converter> {
    Some(match op {
        "Conv" => conv::conv,
        "ConvTranspose" => transpose::conv_transpose,
        "BatchNormalization" => linear::batch_norm,
        "Gemm" => linear::gemm,
        "MatMul" => linear::matmul,
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Sum" | "Mean" => elementwise::binary,
        "Pow" => elementwise::pow,
        "PRelu" => elementwise::prelu,
        "Relu" | "Relu6" | "Clip" | "LeakyRelu" | "Sigmoid" | "Tanh" | "HardSigmoid" | "HardSwish" | "Mish" | "Gelu" | "Erf"
        | "Softplus" | "Elu" | "Exp" | "Log" | "Sqrt" | "Reciprocal" | "Abs" | "Neg" | "Floor" | "Ceil" => elementwise::unary,
        "Softmax" | "LogSoftmax" => elementwise::softmax,
        "MaxPool" | "AveragePool" => pool::window,
        "GlobalAveragePool" | "GlobalMaxPool" => pool::global,
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" | "ReduceLogSum"
        | "ReduceLogSumExp" => pool::reduce,
        "LayerNormalization" => norm::layer,
        "InstanceNormalization" => norm::instance,
        "GroupNormalization" => norm::group,
        "LpNormalization" => norm::lp,
        "LRN" => norm::lrn,
        "Selu" | "Celu" | "Softsign" | "ThresholdedRelu" | "Shrink" | "Sign" => composed::activation,
        "Concat" => join::concat,
        "Pad" => join::pad,
        "Resize" | "Upsample" => resize::resize,
        "DepthToSpace" | "SpaceToDepth" => shape::blocks,
        "Identity" | "Dropout" => shape::identity,
        "Cast" => quant::cast,
        "QuantizeLinear" => quant::quantize,
        "DequantizeLinear" => quant::dequantize,
        "Reshape" => shape::reshape,
        "Flatten" => shape::flatten,
        "Squeeze" => shape::squeeze,
        "Unsqueeze" => shape::unsqueeze,
        "Transpose" => shape::transpose,
        "Expand" => shape::expand,
        "Tile" => shape::tile,
        "Slice" => shape::slice,
        "Split" => shape::split,
        "Gather" => index::gather,
        "GatherND" => index::gather_nd,
        "ScatterND" => index::scatter_nd,
        "Shape" => shape::shape,
        "Size" => shape::size,
        "Where" => logic::choice,
        "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Equal" => logic::compare,
        "Not" | "And" | "Or" | "Xor" => logic::logic,
        _ => return None,
    })
}

fn way_out(op: &str) -> String {
    match op {
        "LSTM" | "GRU" | "RNN" | "Scan" | "Loop" => "recurrent operators are not supported; only feed-forward CNNs are".into(),
        "NonMaxSuppression" | "TopK" | "ArgMax" | "ArgMin" | "NonZero" | "RoiAlign" => {
            "post-processing runs outside the network; name the values before it, which it reads, with --outputs".into()
        }
        "If" => "a branch whose condition is not constant; simplify the model first (onnxsim)".into(),
        "Einsum" => "export the product as MatMul or Conv".into(),
        "QLinearConv" | "QLinearMatMul" | "ConvInteger" | "MatMulInteger" | "DynamicQuantizeLinear" => {
            "export the quantised model in QDQ form (QuantizeLinear/DequantizeLinear)".into()
        }
        _ => "not converted; express it by operators that are, or cut the network before it (--outputs)".into(),
    }
}
