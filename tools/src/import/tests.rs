//! Small models built in memory, run by the float executor, against values worked out here by hand or by plain loops.

use prost::Message;
use tract_onnx::pb::*;
use tract_onnx::pb::{attribute_proto::AttributeType, tensor_proto::DataType, tensor_shape_proto, type_proto};

use super::{Error, Options, from_bytes};
use crate::exec::Executor;
use crate::ir::{Codes, ElementType, Graph, Op};

mod composed;
mod index;
mod part;

#[derive(Default)]
struct Model {
    graph: GraphProto,
    opset: i64,
}

impl Model {
    /// A model with input `x` of `shape` and output `y`.
    fn new(shape: &[i64]) -> Model {
        let mut m = Model { opset: 13, ..Model::default() };
        m.graph.input.push(port("x", DataType::Float, shape));
        m.graph.output.push(ValueInfoProto { name: "y".into(), ..Default::default() });
        m
    }

    fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> Model {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: format!("node_{output}"),
            input: inputs.iter().map(|s| s.to_string()).collect(),
            output: vec![output.into()],
            attribute: attributes,
            ..Default::default()
        });
        self
    }

    fn reals(mut self, name: &str, dims: &[i64], values: &[f32]) -> Model {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Float as i32,
            float_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    fn ints(mut self, name: &str, values: &[i64]) -> Model {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    fn bytes(mut self, name: &str, dims: &[i64], kind: DataType, values: &[u8]) -> Model {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: kind as i32,
            raw_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    fn encode(&self) -> Vec<u8> {
        ModelProto {
            ir_version: 7,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            graph: Some(self.graph.clone()),
            ..Default::default()
        }
        .encode_to_vec()
    }

    fn import(&self) -> Graph {
        from_bytes(&self.encode(), &Options::default()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn error(&self) -> Error {
        self.error_with(&Options::default())
    }

    fn error_with(&self, options: &Options) -> Error {
        from_bytes(&self.encode(), options).map(|g| g.to_string()).expect_err("import should fail")
    }

    /// The output for an NCHW input.
    fn run(&self, x: &[f32]) -> Vec<f32> {
        let graph = self.import();
        let shape = graph.tensors[graph.inputs[0].tensor].shape;
        let map: Vec<f32> = (0..shape.len())
            .map(|k| match graph.inputs[0].axes {
                (Some(2), Some(3), Some(1)) => x[k % shape.c * shape.rows() + k / shape.c],
                _ => x[k],
            })
            .collect();
        let mut run = Executor::new(&graph).unwrap();
        run.keep(&[graph.outputs[0].tensor]);
        run.run(&[map]).unwrap();
        run.outputs().remove(0)
    }
}

fn port(name: &str, kind: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| tensor_shape_proto::Dimension {
        value: (d > 0).then_some(tensor_shape_proto::dimension::Value::DimValue(d)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape: Some(TensorShapeProto { dim: shape.iter().map(dim).collect() }) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints: values.to_vec(), ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value, ..Default::default() }
}

fn real(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f: value, ..Default::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::String as i32, s: value.into(), ..Default::default() }
}

/// Distinct, not too regular numbers.
fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + 11) % 64) as f32 / 16.0 - 2.0).collect()
}

fn close(made: &[f32], expected: &[f32]) {
    assert_eq!(made.len(), expected.len());
    for (k, (m, e)) in made.iter().zip(expected).enumerate() {
        assert!((m - e).abs() <= 1e-4 * (1.0 + e.abs()), "element {k}: {m} instead of {e}");
    }
}

#[test]
fn conv_with_uneven_pads_and_strides() {
    let (x, w) = (ramp(2 * 5 * 4), ramp(3 * 2 * 3 * 2));
    let model = Model::new(&[1, 2, 5, 4]).reals("w", &[3, 2, 3, 2], &w).reals("b", &[3], &[1.0, -2.0, 0.5]).node(
        "Conv",
        &["x", "w", "b"],
        "y",
        vec![ints("pads", &[1, 0, 2, 1]), ints("strides", &[2, 1])],
    );
    let mut expected = Vec::new();
    for o in 0..3 {
        for oy in 0..3i32 {
            for ox in 0..4i32 {
                let mut sum = [1.0, -2.0, 0.5][o];
                for i in 0..2 {
                    for ky in 0..3i32 {
                        for kx in 0..2i32 {
                            let (iy, ix) = (oy * 2 - 1 + ky, ox + kx);
                            if (0..5).contains(&iy) && (0..4).contains(&ix) {
                                sum += w[((o * 2 + i) * 3 + ky as usize) * 2 + kx as usize] * x[(i * 5 + iy as usize) * 4 + ix as usize];
                            }
                        }
                    }
                }
                expected.push(sum);
            }
        }
    }
    close(&model.run(&x), &expected);
}

#[test]
fn transposed_conv_scatters_its_kernel() {
    // Kernel, strides, pad on all sides, output padding.
    for (k, s, p, extra) in [
        (2, [2, 2], 0, 0),
        (3, [2, 2], 1, 1),
        (4, [2, 2], 1, 0),
        (3, [1, 1], 1, 0),
        (5, [3, 3], 2, 1),
        (3, [2, 1], 0, 0),
        (4, [1, 2], 1, 0),
        (4, [3, 2], 1, 1),
        (2, [1, 3], 0, 2),
    ] {
        let (x, w) = (ramp(2 * 3 * 4), ramp(2 * 3 * k * k));
        let model = Model::new(&[1, 2, 3, 4]).reals("w", &[2, 3, k as i64, k as i64], &w).node(
            "ConvTranspose",
            &["x", "w"],
            "y",
            vec![ints("strides", &s), ints("pads", &[p; 4]), ints("output_padding", &[extra.min(s[0] - 1), extra.min(s[1] - 1)])],
        );
        let size = |n: i64, a: usize| ((n - 1) * s[a] + k as i64 + extra.min(s[a] - 1) - 2 * p) as usize;
        let (h, wide) = (size(3, 0), size(4, 1));
        let mut expected = vec![0.0; 3 * h * wide];
        for (at, &v) in x.iter().enumerate() {
            let (i, iy, ix) = (at / 12, (at / 4 % 3) as i64, (at % 4) as i64);
            for o in 0..3 {
                for ky in 0..k {
                    for kx in 0..k {
                        let (oy, ox) = (iy * s[0] - p + ky as i64, ix * s[1] - p + kx as i64);
                        if (0..h as i64).contains(&oy) && (0..wide as i64).contains(&ox) {
                            expected[(o * h + oy as usize) * wide + ox as usize] += v * w[((i * 3 + o) * k + ky) * k + kx];
                        }
                    }
                }
            }
        }
        close(&model.run(&x), &expected);
    }
}

#[test]
fn transposed_conv_over_a_sequence_and_beyond_its_windows() {
    let model = |k: i64, attributes: Vec<AttributeProto>| {
        Model::new(&[1, 1, 3]).reals("w", &[1, 1, k], &ramp(k as usize)).node("ConvTranspose", &["x", "w"], "y", attributes)
    };
    let (x, w) = ([1.0, 10.0, 100.0], ramp(3));
    let mut expected = vec![0.0; 11];
    for i in 0..3 {
        for k in 0..3 {
            expected[4 * i + k] += x[i] * w[k];
        }
    }
    close(&model(3, vec![ints("strides", &[4])]).run(&x), &expected);
    // An output longer than the windows reach.
    let w = ramp(1)[0];
    close(&model(1, vec![ints("strides", &[2]), ints("output_shape", &[6])]).run(&x), &[w, 0.0, 10.0 * w, 0.0, 100.0 * w, 0.0]);
    close(&model(1, vec![ints("strides", &[2]), text("auto_pad", "SAME_UPPER")]).run(&x), &[w, 0.0, 10.0 * w, 0.0, 100.0 * w]);
}

#[test]
fn flatten_and_gemm_read_the_map_in_its_own_order() {
    let (x, w) = (ramp(3 * 2 * 2), ramp(12 * 4));
    let model = Model::new(&[1, 3, 2, 2]).reals("w", &[4, 12], &w).node("Flatten", &["x"], "f", vec![]).node(
        "Gemm",
        &["f", "w"],
        "y",
        vec![int("transB", 1)],
    );
    let expected: Vec<f32> = (0..4).map(|o| (0..12).map(|i| w[o * 12 + i] * x[i]).sum()).collect();
    close(&model.run(&x), &expected);
    assert_eq!(model.import().nodes.len(), 1, "no data is moved");
}

#[test]
fn a_shuffle_becomes_one_channel_order() {
    let x = ramp(6 * 8 * 8);
    let model = Model::new(&[1, 6, 8, 8])
        .ints("apart", &[1, 2, 3, 8, 8])
        .ints("again", &[1, 6, 8, 8])
        .node("Reshape", &["x", "apart"], "a", vec![])
        .node("Transpose", &["a"], "b", vec![ints("perm", &[0, 2, 1, 3, 4])])
        .node("Reshape", &["b", "again"], "c", vec![])
        .node("MaxPool", &["c"], "y", vec![ints("kernel_shape", &[1, 1])]);
    let expected: Vec<f32> = [0, 3, 1, 4, 2, 5].iter().flat_map(|c| x[c * 64..c * 64 + 64].to_vec()).collect();
    close(&model.run(&x), &expected);
    let graph = model.import();
    assert!(matches!(&graph.nodes[0].op, Op::Channels { index } if index[..] == [0, 3, 1, 4, 2, 5]), "{graph}");
}

#[test]
fn a_repeated_output_is_a_map_of_its_own() {
    let model =
        Model::new(&[1, 2, 1, 1]).ints("to", &[1, 2, 3, 4]).node("Relu", &["x"], "r", vec![]).node("Expand", &["r", "to"], "y", vec![]);
    let expected: Vec<f32> = [0.5, 2.0].iter().flat_map(|v| [*v; 12]).collect();
    close(&model.run(&[0.5, 2.0]), &expected);
    let graph = model.import();
    assert!(graph.outputs[0].strides[1..].iter().all(|s| *s > 0), "{graph}");
}

#[test]
fn a_transposed_output_costs_nothing() {
    let model =
        Model::new(&[1, 3, 2, 4]).node("Relu", &["x"], "r", vec![]).node("Transpose", &["r"], "y", vec![ints("perm", &[0, 3, 1, 2])]);
    let graph = model.import();
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!((&graph.outputs[0].onnx_shape[..], &graph.outputs[0].strides[..]), (&[1, 4, 3, 2][..], &[0, 3, 1, 12][..]));
}

#[test]
fn resize_modes_follow_onnxruntime() {
    // 4 columns to 6 (scale 1.5), columns chosen by onnxruntime 1.32.
    for (mode, nearest, columns) in [
        ("half_pixel", "round_prefer_floor", [0, 0, 1, 2, 2, 3]),
        ("asymmetric", "floor", [0, 0, 1, 2, 2, 3]),
        ("align_corners", "round_prefer_ceil", [0, 1, 1, 2, 2, 3]),
        ("asymmetric", "ceil", [0, 1, 2, 2, 3, 3]),
    ] {
        let model = Model::new(&[1, 1, 1, 4]).reals("s", &[4], &[1.0, 1.0, 1.0, 1.5]).node(
            "Resize",
            &["x", "", "s"],
            "y",
            vec![text("mode", "nearest"), text("coordinate_transformation_mode", mode), text("nearest_mode", nearest)],
        );
        let expected: Vec<f32> = columns.iter().map(|&c| c as f32 * 10.0).collect();
        close(&model.run(&[0.0, 10.0, 20.0, 30.0]), &expected);
    }
    let linear = Model::new(&[1, 1, 1, 2]).reals("s", &[4], &[1.0, 1.0, 1.0, 2.0]).node(
        "Resize",
        &["x", "", "s"],
        "y",
        vec![text("mode", "linear")],
    );
    close(&linear.run(&[0.0, 8.0]), &[0.0, 2.0, 6.0, 8.0]);
}

#[test]
fn lines_of_other_resizes_follow_onnxruntime() {
    // 13 lines, lines chosen by onnxruntime 1.32.
    let lines = |opset: i64, inputs: &[&str], scale: &[f32], attributes: Vec<AttributeProto>| -> Vec<usize> {
        let mut model = Model::new(&[1, 1, 13, 1]).reals("s", &[4], scale);
        model = model.ints("sizes", &[1, 1, 7, 1]).reals("roi", &[8], &[0.0, 0.0, -0.1, 0.0, 1.0, 1.0, 0.8, 1.0]);
        model.opset = opset;
        let x: Vec<f32> = (0..13).map(|i| i as f32).collect();
        model.node("Resize", inputs, "y", attributes).run(&x).iter().map(|v| *v as usize).collect()
    };
    let mode = |m: &str| text("coordinate_transformation_mode", m);
    let nearest = |m: &str| text("nearest_mode", m);
    // Before opset 11 a shrunk map takes the line behind, a grown one the line before.
    assert_eq!(lines(10, &["x", "s"], &[1.0, 1.0, 0.6, 1.0], vec![]), [0, 2, 4, 5, 7, 9, 10]);
    assert_eq!(lines(10, &["x", "s"], &[1.0, 1.0, 1.3, 1.0], vec![]), [0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 10, 10, 11]);
    let symmetric = vec![mode("half_pixel_symmetric"), nearest("floor")];
    assert_eq!(lines(19, &["x", "", "s"], &[1.0, 1.0, 0.6, 1.0], symmetric), [0, 2, 4, 5, 7, 9, 11]);
    // A coordinate of a half, but for its rounding, is a half.
    let almost = vec![mode("asymmetric"), nearest("round_prefer_floor")];
    assert_eq!(lines(13, &["x", "", "s"], &[1.0, 1.0, 1.999_999, 1.0], almost)[..6], [0, 0, 1, 1, 2, 3]);
    let crop = vec![mode("tf_crop_and_resize"), real("extrapolation_value", 99.0)];
    assert_eq!(lines(13, &["x", "roi", "", "sizes"], &[0.0; 4], crop), [99, 1, 2, 4, 6, 8, 10]);
    let aspect = Model::new(&[1, 1, 4, 6]).ints("sizes", &[1, 1, 8, 6]).node(
        "Resize",
        &["x", "", "", "sizes"],
        "y",
        vec![text("keep_aspect_ratio_policy", "not_larger")],
    );
    assert_eq!(aspect.import().outputs[0].onnx_shape, [1, 1, 4, 6]);
}

#[test]
fn constants_stand_on_either_side() {
    let x = [0.5, 2.0, -1.0, 3.0];
    let made = |op: &str, c: f32| Model::new(&[1, 4]).reals("c", &[], &[c]).node(op, &["c", "x"], "y", vec![]).run(&x);
    close(&made("Sub", 1.5), &x.map(|v| 1.5 - v));
    close(&made("Div", 1.5), &x.map(|v| 1.5 / v));
    close(&made("Min", 1.5), &x.map(|v| v.min(1.5)));
    close(&made("Pow", 1.5), &x.map(|v| 1.5f32.powf(v)));
    let slopes = Model::new(&[1, 4]).reals("c", &[1, 4], &[1.0, 2.0, 3.0, 4.0]).node("PRelu", &["x", "c"], "y", vec![]);
    close(&slopes.run(&x), &[0.5, 2.0, -3.0, 3.0]);
    // Bounds of constants: extents that exporters compute.
    let pads = Model::new(&[1, 1, 1, 4]).ints("p", &[0, 0, 0, -3, 0, 0, 0, 2]).ints("none", &[0]);
    let pads = pads.node("Clip", &["p", "none"], "q", vec![]).node("Pad", &["x", "q"], "y", vec![]);
    close(&pads.run(&x), &[0.5, 2.0, -1.0, 3.0, 0.0, 0.0]);
    let factor = Model::new(&[1, 4]).reals("c", &[4], &[-1.0, 0.5, 2.0, 9.0]).reals("hi", &[], &[3.0]).reals("lo", &[], &[0.0]);
    let factor = factor.node("Clip", &["c", "lo", "hi"], "f", vec![]).node("Mul", &["x", "f"], "y", vec![]);
    close(&factor.run(&x), &[0.0, 1.0, -2.0, 9.0]);
}

#[test]
fn pads_grow_and_cut_what_other_operators_laid_out() {
    // Pixels out of channels: [1, 4, 1, 2] is [1, 1, 2, 4].
    let x: Vec<f32> = (1..9).map(|v| v as f32).collect();
    let padded = |mode: &str, pads: &[i64]| {
        Model::new(&[1, 4, 1, 2])
            .ints("p", pads)
            .node("DepthToSpace", &["x"], "d", vec![int("blocksize", 2)])
            .node("Pad", &["d", "p"], "y", vec![text("mode", mode)])
            .run(&x)
    };
    close(&padded("constant", &[0, 0, 0, 1, 0, 0, 0, 0]), &[0.0, 1.0, 3.0, 2.0, 4.0, 0.0, 5.0, 7.0, 6.0, 8.0]);
    close(&padded("constant", &[0, 0, -1, 0, 0, 0, 0, -1]), &[5.0, 7.0, 6.0]);
    // What is cut away is not repeated.
    close(&padded("wrap", &[0, 0, -1, -1, 0, 0, 0, 1]), &[7.0, 6.0, 8.0, 7.0]);
}

#[test]
fn softmax_changed_with_opset_13() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let e: Vec<f32> = x.iter().map(|v: &f32| v.exp()).collect();
    let mut model = Model::new(&[1, 2, 1, 2]).node("Softmax", &["x"], "y", vec![int("axis", 1)]);
    let (a, b) = (e[0] + e[2], e[1] + e[3]);
    close(&model.run(&x), &[e[0] / a, e[1] / b, e[2] / a, e[3] / b]);
    model.opset = 11;
    let all: f32 = e.iter().sum();
    close(&model.run(&x), &e.iter().map(|v| v / all).collect::<Vec<_>>());
}

#[test]
fn quantised_ends_become_codes() {
    let mut model = Model::new(&[1, 2, 2, 2])
        .reals("s", &[], &[0.5])
        .reals("ws", &[2], &[0.25, 0.5])
        .bytes("z", &[], DataType::Int8, &[3])
        .bytes("w", &[2, 2, 1, 1], DataType::Int8, &[4, 0xfc, 2, 1])
        .bytes("wz", &[2], DataType::Int8, &[0, 0])
        .node("DequantizeLinear", &["x", "s", "z"], "a", vec![])
        .node("DequantizeLinear", &["w", "ws", "wz"], "v", vec![int("axis", 0)])
        .node("Conv", &["a", "v"], "c", vec![])
        .node("QuantizeLinear", &["c", "s", "z"], "y", vec![]);
    model.graph.input[0] = port("x", DataType::Int8, &[1, 2, 2, 2]);
    let graph = model.import();
    let codes = Some(Codes { scale: 0.5, zero: 131 });
    assert_eq!((graph.inputs[0].codes, graph.inputs[0].onnx_type), (codes, ElementType::I8));
    assert_eq!((graph.outputs[0].codes, graph.outputs[0].onnx_type), (codes, ElementType::I8));
    assert_eq!(graph.tensors[graph.outputs[0].tensor].codes, codes);
    let Op::Conv(conv) = &graph.nodes[0].op else { panic!("{graph}") };
    assert_eq!(conv.weights, [1.0, -1.0, 1.0, 0.5]);
    assert_eq!(conv.weight_scales.as_deref(), Some(&[0.25, 0.5][..]));
}

#[test]
fn all_unsupported_nodes_are_named_at_once() {
    let model =
        Model::new(&[1, 2, 2, 2]).node("LSTM", &["x"], "a", vec![]).node("Relu", &["a"], "b", vec![]).node("TopK", &["b"], "y", vec![]);
    let Error::Unsupported(list) = model.error() else { panic!("another error") };
    assert_eq!(list.iter().map(|u| u.op.as_str()).collect::<Vec<_>>(), ["LSTM", "TopK"]);
    assert!(model.error().to_string().contains("`node_a`"), "{}", model.error());
    // An input of open extents that --input-shape does not reach is one line of the list.
    let mut model = Model::new(&[1, 2, 2, 2]).node("LSTM", &["x", "state"], "y", vec![]);
    model.graph.input.push(port("state", DataType::Float, &[2, -1, 8]));
    let Error::Unsupported(list) = model.error() else { panic!("another error") };
    assert_eq!(list.iter().map(|u| u.op.as_str()).collect::<Vec<_>>(), ["input", "LSTM"]);
}

#[test]
fn faults_are_errors_that_name_the_place() {
    let cases = [
        (Model::new(&[1, 2, 2, 2]).node("Relu", &["nowhere"], "y", vec![]), "nowhere"),
        (Model::new(&[1, 2, 2, 2]).node("Relu", &["y"], "y", vec![]), "cycle"),
        (Model::new(&[1, 2, -1, 2]).node("Relu", &["x"], "y", vec![]), "--input-shape"),
        (Model::new(&[4, 2, 2, 2]).node("Relu", &["x"], "y", vec![]), "batch"),
        (Model::new(&[1, 2, 2, 2]).reals("w", &[1, 2, 1, 1], &[f32::NAN, 0.0]).node("Conv", &["x", "w"], "y", vec![]), "NaN"),
        (Model::new(&[1, 2, 2, 2]).reals("w", &[1, 2, 1, 1], &[1.0]).node("Conv", &["x", "w"], "y", vec![]), "`w`"),
        (Model::new(&[1, 2, 2, 2]).reals("w", &[1, 2, 5, 5], &[1.0; 50]).node("Conv", &["x", "w"], "y", vec![]), "does not fit"),
        (Model::new(&[1, 2, 2, 2]).ints("s", &[5, 5]).node("Reshape", &["x", "s"], "y", vec![]), "cannot become"),
        (Model::new(&[1]).ints("s", &[1 << 40, 1 << 40]).node("ConstantOfShape", &["s"], "y", vec![]), "large"),
        (Model::new(&[1]).ints("s", &[1 << 36]).node("ConstantOfShape", &["s"], "y", vec![]), "far more"),
    ];
    for (model, part) in cases {
        let said = model.error().to_string();
        assert!(said.contains(part), "`{said}` should mention `{part}`");
    }
    assert!(matches!(from_bytes(b"not a model", &Options::default()), Err(Error::Decode(_))));
}

#[test]
fn damaged_files_never_panic() {
    let whole = Model::new(&[1, 2, 6, 4])
        .reals("w", &[4, 2, 3, 3], &ramp(72))
        .ints("s", &[1, 2, 2, 6, 4])
        .ints("t", &[0, 8, -1])
        .node("Conv", &["x", "w"], "c", vec![ints("pads", &[1; 4])])
        .node("Reshape", &["c", "s"], "r", vec![])
        .node("Transpose", &["r"], "p", vec![ints("perm", &[0, 2, 1, 3, 4])])
        .node("Slice", &["p", "b", "e"], "q", vec![])
        .node("Concat", &["p", "p"], "d", vec![int("axis", 1)])
        .node("Reshape", &["d", "t"], "y", vec![])
        .ints("b", &[0, 1])
        .ints("e", &[1, 2])
        .encode();
    from_bytes(&whole, &Options::default()).unwrap_or_else(|e| panic!("{e}"));
    let mut seed = 1u32;
    let mut next = |n: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % n
    };
    let mut accepted = 0;
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + next(3) {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        bytes.truncate(bytes.len() - next(3) * next(20));
        accepted += usize::from(from_bytes(&bytes, &Options::default()).is_ok());
    }
    assert!(accepted > 0, "damage should not always be fatal");
}
