//! Writes the first corpus: small artifacts of every operator, small ONNX models.
//!
//! `cargo run --release --no-default-features --features tools --bin seeds -- corpus`, in this folder.

#[allow(dead_code)]
#[path = "../../tools/tests/laws/graphs.rs"]
mod graphs;
#[allow(dead_code)]
#[path = "../../tools/tests/laws/net.rs"]
mod net;

use std::path::PathBuf;

use prost::Message;
use quiescent_tools::lower::Hold;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto, type_proto,
};

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "corpus".into()));
    let (artifacts, models) = (root.join("artifact"), root.join("import"));
    std::fs::create_dir_all(&artifacts)?;
    std::fs::create_dir_all(&models)?;
    // Chance graphs are small; those above 32 KiB would slow the fuzzer down.
    for seed in 0..150 {
        let case = graphs::random(seed);
        let [h, w, c] = case.shape();
        let frame: Vec<u8> = (0..h * w * c).map(|i| (i * 37 % 251) as u8).collect();
        let plan = net::calibrate(&case.graph, &[frame], &[]);
        for (k, hold) in [Hold::All, Hold::Ratio(1.3)].into_iter().enumerate() {
            let mut a = net::artifact(&case.graph, &plan, hold);
            net::set_thresholds(&mut a, 2, 8, 2, 1);
            if a.bytes().len() < 32 << 10 {
                std::fs::write(artifacts.join(format!("random-{seed}-{k}.qsc")), a.bytes())?;
            }
        }
    }
    for (name, model) in onnx() {
        std::fs::write(models.join(format!("{name}.onnx")), model.encode_to_vec())?;
    }
    Ok(())
}

/// A value of `shape`.
fn port(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|n| tensor_shape_proto::Dimension { value: Some(tensor_shape_proto::dimension::Value::DimValue(*n)), ..Default::default() })
        .collect();
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints: values.to_vec(), ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value, ..Default::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::String as i32, s: value.into(), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: output.into(),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

fn reals(name: &str, dims: &[i64]) -> TensorProto {
    let len: i64 = dims.iter().product();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: (0..len).map(|i| (i % 7) as f32 * 0.3 - 0.8).collect(),
        ..Default::default()
    }
}

fn longs(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// Models around one family of operators each.
fn onnx() -> Vec<(&'static str, ModelProto)> {
    let model = |nodes: Vec<NodeProto>, weights: Vec<TensorProto>, outputs: &[&str]| ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        graph: Some(GraphProto {
            name: "g".into(),
            node: nodes,
            initializer: weights,
            input: vec![port("x", &[1, 4, 8, 8])],
            output: outputs.iter().map(|o| ValueInfoProto { name: o.to_string(), ..Default::default() }).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let conv = |x: &str, y: &str, stride: i64| {
        node("Conv", &[x, "w", "b"], y, vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[stride, stride])])
    };
    let weights = || vec![reals("w", &[4, 4, 3, 3]), reals("b", &[4])];
    let norm = [reals("s", &[4]), reals("t", &[4]), reals("m", &[4]), reals("v", &[4])];
    vec![
        (
            "block",
            model(
                vec![
                    conv("x", "c", 1),
                    node("BatchNormalization", &["c", "s", "t", "m", "v"], "n", vec![]),
                    node("Relu", &["n"], "r", vec![]),
                    node("Add", &["r", "x"], "a", vec![]),
                    node("MaxPool", &["a"], "p", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
                    node("AveragePool", &["p"], "y", vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1]), int("ceil_mode", 1)]),
                ],
                weights().into_iter().chain(norm).collect(),
                &["y", "a"],
            ),
        ),
        (
            "shuffle",
            model(
                vec![
                    node("Reshape", &["x", "five"], "f", vec![]),
                    node("Transpose", &["f"], "t", vec![ints("perm", &[0, 2, 1, 3, 4])]),
                    node("Reshape", &["t", "four"], "u", vec![]),
                    node("Slice", &["u", "zero", "two", "one"], "l", vec![]),
                    node("Slice", &["u", "two", "end", "one"], "r", vec![]),
                    node("Concat", &["r", "l"], "j", vec![int("axis", 1)]),
                    conv("j", "y", 2),
                ],
                weights()
                    .into_iter()
                    .chain([longs("five", &[1, 2, 2, 8, 8]), longs("four", &[1, 4, 8, 8]), longs("zero", &[0])])
                    .chain([longs("one", &[1]), longs("two", &[2]), longs("end", &[i64::MAX])])
                    .collect(),
                &["y"],
            ),
        ),
        (
            "head",
            model(
                vec![
                    conv("x", "c", 1),
                    node("Sigmoid", &["c"], "g", vec![]),
                    node("Mul", &["c", "g"], "s", vec![]),
                    node("Resize", &["s", "", "scales"], "u", vec![text("mode", "linear")]),
                    node("GlobalAveragePool", &["u"], "p", vec![]),
                    node("Flatten", &["p"], "f", vec![int("axis", 1)]),
                    node("Gemm", &["f", "k"], "y", vec![int("transB", 1)]),
                    node("Softmax", &["y"], "z", vec![int("axis", -1)]),
                ],
                weights().into_iter().chain([reals("scales", &[4]), reals("k", &[5, 4])]).collect(),
                &["z", "u"],
            ),
        ),
        (
            "shapes",
            model(
                vec![
                    node("Shape", &["x"], "h", vec![]),
                    node("Gather", &["h", "two"], "i", vec![int("axis", 0)]),
                    node("Pad", &["x", "pads"], "p", vec![text("mode", "constant")]),
                    node("DepthToSpace", &["p"], "d", vec![int("blocksize", 2), text("mode", "CRD")]),
                    node("ReduceMean", &["d"], "y", vec![ints("axes", &[2, 3]), int("keepdims", 1)]),
                ],
                vec![longs("two", &[2]), longs("pads", &[0, 0, 1, 1, 0, 0, 1, 1])],
                &["y"],
            ),
        ),
    ]
}
