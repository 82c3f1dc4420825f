//! Operators that are made of others: norms, comparisons, activations, products of two maps.

use super::*;

/// Values at the places `list`, in order.
fn at(x: &[f32], list: impl Iterator<Item = usize>) -> Vec<f32> {
    list.map(|i| x[i]).collect()
}

/// `x` less its mean, divided by its deviation.
fn standard(x: &[f32]) -> Vec<f32> {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / x.len() as f32;
    x.iter().map(|v| (v - mean) / (variance + 1e-5).sqrt()).collect()
}

#[test]
fn normalisation_by_layer_instance_and_group() {
    let x = ramp(4 * 2 * 3);
    let model = |opset: i64, op: &str, n: i64, attributes: Vec<AttributeProto>| {
        let values = |s: f32| (0..n).map(|i| s + i as f32).collect::<Vec<_>>();
        let mut m = Model::new(&[1, 4, 2, 3]).reals("s", &[n], &values(0.5)).reals("b", &[n], &values(-1.0));
        m.opset = opset;
        m.node(op, &["x", "s", "b"], "y", attributes).run(&x)
    };
    let layers: Vec<f32> =
        x.chunks(3).flat_map(|row| standard(row).into_iter().enumerate().map(|(i, v)| v * (0.5 + i as f32) - 1.0 + i as f32)).collect();
    close(&model(17, "LayerNormalization", 3, vec![]), &layers);
    let channel = |c: usize, v: f32| v * (0.5 + c as f32) - 1.0 + c as f32;
    let instances: Vec<f32> = x.chunks(6).enumerate().flat_map(|(c, map)| standard(map).into_iter().map(move |v| channel(c, v))).collect();
    close(&model(13, "InstanceNormalization", 4, vec![]), &instances);
    let groups: Vec<f32> = x.chunks(12).flat_map(standard).collect();
    let each: Vec<f32> = groups.iter().enumerate().map(|(i, &v)| channel(i / 6, v)).collect();
    close(&model(21, "GroupNormalization", 4, vec![int("num_groups", 2)]), &each);
    let both: Vec<f32> = groups.iter().enumerate().map(|(i, &v)| channel(i / 12, v)).collect();
    close(&model(18, "GroupNormalization", 2, vec![int("num_groups", 2)]), &both);
    // As PyTorch writes groups for older opsets: an instance of channels and pixels in one axis.
    let old =
        Model::new(&[1, 4, 2, 3]).reals("s", &[2], &[1.0; 2]).reals("b", &[2], &[0.0; 2]).ints("g", &[0, 2, -1]).ints("w", &[1, 4, 2, 3]);
    let old = old.node("Reshape", &["x", "g"], "r", vec![]).node("InstanceNormalization", &["r", "s", "b"], "n", vec![]);
    let old = old.node("Reshape", &["n", "w"], "y", vec![]);
    close(&old.run(&x), &groups);
    // The map stays as it lies.
    let permutes = |op: &Op| matches!(op, Op::Permute { index } if index.len() == x.len());
    assert!(!old.import().nodes.iter().any(|n| permutes(&n.op)), "{}", old.import());
    let one = Model::new(&[1, 4, 2, 3]).reals("s", &[1], &[1.0]).reals("b", &[1], &[0.0]).ints("g", &[0, 1, -1]).ints("w", &[1, 4, 2, 3]);
    let one = one.node("Reshape", &["x", "g"], "r", vec![]).node("InstanceNormalization", &["r", "s", "b"], "n", vec![]);
    let one = one.node("Reshape", &["n", "w"], "y", vec![]);
    close(&one.run(&x), &standard(&x));
    assert!(!one.import().nodes.iter().any(|n| permutes(&n.op)), "{}", one.import());
}

/// As in networks whose weights are standardised in the graph.
#[test]
fn normalisation_of_constants() {
    let (x, w) = (ramp(2 * 3), [0.5, -1.0, 2.0, 4.0]);
    let weights = Model::new(&[1, 2, 1, 3]).reals("w", &[1, 2, 2], &w).reals("s", &[2], &[1.0, 0.5]).reals("b", &[2], &[0.0, 0.25]);
    let weights = weights.reals("m", &[2], &[0.5, 1.0]).reals("v", &[2], &[4.0, 9.0]).ints("k", &[2, 2, 1, 1]);
    let made = |inputs: &[&str], attributes: Vec<AttributeProto>, opset: i64| {
        let m = Model { graph: weights.graph.clone(), opset };
        let m = m.node("BatchNormalization", inputs, "n", attributes).node("Reshape", &["n", "k"], "f", vec![]);
        m.node("Conv", &["x", "f"], "y", vec![]).run(&x)
    };
    let wanted = |w: [f32; 4]| (0..6).map(|i| w[i / 3 * 2] * x[i % 3] + w[i / 3 * 2 + 1] * x[3 + i % 3]).collect::<Vec<f32>>();
    let given = [0.0, -0.75, 0.5 / 3.0 + 0.25, 0.75];
    close(&made(&["w", "s", "b", "m", "v"], vec![real("epsilon", 0.0)], 13), &wanted(given));
    let own = [1.0, -1.0, -0.25, 0.75];
    close(&made(&["w", "s", "b", "m", "v"], vec![real("epsilon", 0.0), int("training_mode", 1)], 15), &wanted(own));
}

#[test]
fn lengths_and_local_responses() {
    let x = ramp(5 * 2);
    let pixels: Vec<Vec<f32>> = (0..2).map(|p| at(&x, (0..5).map(|c| c * 2 + p))).collect();
    let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let unit = Model::new(&[1, 5, 1, 2]).node("LpNormalization", &["x"], "y", vec![int("axis", 1)]).run(&x);
    close(&unit, &(0..10).map(|i| x[i] / length(&pixels[i % 2])).collect::<Vec<_>>());
    let attributes = vec![int("size", 4), real("alpha", 0.5), real("beta", 0.75), real("bias", 2.0)];
    let responses = Model::new(&[1, 5, 1, 2]).node("LRN", &["x"], "y", attributes).run(&x);
    let near = |i: usize| (i / 2).saturating_sub(1)..(i / 2 + 3).min(5);
    let sum = |i: usize| near(i).map(|c| pixels[i % 2][c].powi(2)).sum::<f32>();
    close(&responses, &(0..10).map(|i| x[i] / (2.0 + 0.125 * sum(i)).powf(0.75)).collect::<Vec<_>>());
}

#[test]
fn reductions_of_every_kind() {
    let x = ramp(3 * 2 * 4);
    let made =
        |op: &str, axes: &[i64]| Model::new(&[1, 3, 2, 4]).node(op, &["x"], "y", vec![ints("axes", axes), int("keepdims", 0)]).run(&x);
    let pixel = |f: fn(&[f32]) -> f32| (0..8).map(|p| f(&at(&x, (0..3).map(|c| c * 8 + p)))).collect::<Vec<_>>();
    close(&made("ReduceMin", &[1]), &pixel(|v| v.iter().copied().fold(f32::INFINITY, f32::min)));
    close(&made("ReduceL1", &[1]), &pixel(|v| v.iter().map(|x| x.abs()).sum()));
    close(&made("ReduceL2", &[1]), &pixel(|v| v.iter().map(|x| x * x).sum::<f32>().sqrt()));
    close(&made("ReduceLogSumExp", &[1]), &pixel(|v| v.iter().map(|x| x.exp()).sum::<f32>().ln()));
    let squared = Model::new(&[1, 3, 2, 4]).node("Mul", &["x", "x"], "s", vec![]);
    let logs = squared.node("ReduceLogSum", &["s"], "y", vec![ints("axes", &[1]), int("keepdims", 0)]).run(&x);
    close(&logs, &pixel(|v| v.iter().map(|x| x * x).sum::<f32>().ln()));
    let squares: Vec<f32> = x.chunks(8).map(|map| map.iter().map(|v| v * v).sum()).collect();
    close(&made("ReduceSumSquare", &[2, 3]), &squares);
    // Channels and columns go, lines stay.
    let lines: Vec<f32> = (0..2).map(|y| (0..12).map(|i| x[i / 4 * 8 + y * 4 + i % 4]).sum::<f32>() / 12.0).collect();
    close(&made("ReduceMean", &[1, 3]), &lines);
}

#[test]
fn two_parts_of_the_channels() {
    let x = ramp(2 * 3 * 2 * 5);
    let model = |op: &str, shape: &[i64], axis: i64| {
        let m = Model::new(&[1, 6, 2, 5]).ints("s", shape).node("Reshape", &["x", "s"], "r", vec![]);
        m.node(op, &["r"], "y", vec![ints("axes", &[axis]), int("keepdims", 0)])
    };
    let (halves, pairs) = ([1, 2, 3, 2, 5], [1, 3, 2, 2, 5]);
    let pair = |c: usize, i: usize| (x[2 * c * 10 + i], x[(2 * c + 1) * 10 + i]);
    close(&model("ReduceMean", &halves, 1).run(&x), &(0..30).map(|i| 0.5 * (x[i] + x[30 + i])).collect::<Vec<_>>());
    close(&model("ReduceMax", &pairs, 2).run(&x), &(0..30).map(|i| pair(i / 10, i % 10)).map(|(a, b)| a.max(b)).collect::<Vec<_>>());
    let made = model("ReduceL1", &halves, 1).import();
    assert!(!made.nodes.iter().any(|n| matches!(n.op, Op::Permute { .. } | Op::Reshape)), "{made}");
}

/// Beside the sum over lines and columns, coordinate by coordinate.
#[test]
fn cubic_resizes_by_whole_factors() {
    let (h, w) = (4, 6);
    let x = ramp(2 * h * w);
    let keys = |d: f32| {
        let (a, d) = (-0.75, d.abs());
        if d <= 1.0 {
            ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
        } else if d < 2.0 {
            ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
        } else {
            0.0
        }
    };
    let lines = |n: usize, to: usize, half: f32| -> Vec<Vec<f32>> {
        let line = |o: usize| {
            let at = (o as f32 + half) * n as f32 / to as f32 - half;
            let mut line = vec![0.0; n];
            for k in -1..3 {
                let i = at.floor() + k as f32;
                line[i.clamp(0.0, n as f32 - 1.0) as usize] += keys(at - i);
            }
            line
        };
        (0..to).map(line).collect()
    };
    for (scale, mode, half) in [(2.0, "half_pixel", 0.5), (3.0, "half_pixel", 0.5), (4.0, "asymmetric", 0.0), (0.5, "half_pixel", 0.5)] {
        let cubic = vec![text("mode", "cubic"), text("coordinate_transformation_mode", mode)];
        let m = Model::new(&[1, 2, 4, 6]).reals("k", &[4], &[1.0, 1.0, scale, scale]).node("Resize", &["x", "", "k"], "y", cubic);
        let to = |n: usize| (n as f32 * scale) as usize;
        let (ys, xs) = (lines(h, to(h), half), lines(w, to(w), half));
        let sum = |c: usize, y: &Vec<f32>, l: &Vec<f32>| (0..h * w).map(|i| x[c * h * w + i] * y[i / w] * l[i % w]).sum::<f32>();
        let (rows, columns) = (&ys, &xs);
        let places = (0..2).flat_map(|c| rows.iter().flat_map(move |y| columns.iter().map(move |l| (c, y, l))));
        let wanted: Vec<f32> = places.map(|(c, y, l)| sum(c, y, l)).collect();
        close(&m.run(&x), &wanted);
    }
    for scales in [[1.0, 1.0, 1.5, 1.5], [1.0, 1.0, 2.0, 3.0]] {
        let m = Model::new(&[1, 2, 4, 6]).reals("k", &[4], &scales).node("Resize", &["x", "", "k"], "y", vec![text("mode", "cubic")]);
        assert!(m.error().to_string().contains("whole factors"), "{}", m.error());
    }
}

#[test]
fn activations_made_of_others() {
    let x = [-2.0f32, -0.75, 0.0, 0.3, 0.9, 1.5];
    let made = |op: &str, attributes: Vec<AttributeProto>| Model::new(&[1, 6]).node(op, &["x"], "y", attributes).run(&x);
    close(&made("Selu", vec![]), &x.map(|v| 1.050_701 * if v > 0.0 { v } else { 1.673_263_2 * (v.exp() - 1.0) }));
    close(&made("Celu", vec![real("alpha", 0.5)]), &x.map(|v| v.max(0.0) + (0.5 * ((v / 0.5).exp() - 1.0)).min(0.0)));
    close(&made("Softsign", vec![]), &x.map(|v| v / (1.0 + v.abs())));
    close(&made("ThresholdedRelu", vec![real("alpha", 0.5)]), &x.map(|v| if v > 0.5 { v } else { 0.0 }));
    close(&made("Shrink", vec![real("lambd", 0.8)]), &x.map(|v| if v.abs() > 0.8 { v } else { 0.0 }));
    let soft = vec![real("lambd", 0.8), real("bias", 0.8)];
    close(&made("Shrink", soft), &x.map(|v| v.signum() * (v.abs() - 0.8).max(0.0)));
    close(&made("Sign", vec![]), &x.map(|v| if v == 0.0 { 0.0 } else { v.signum() }));
}

#[test]
fn comparisons_are_ones_and_zeros() {
    let x = [-1.0f32, 0.25, 0.5, 2.0];
    let made = |op: &str, inputs: &[&str]| Model::new(&[1, 4]).reals("c", &[], &[0.25]).node(op, inputs, "y", vec![]).run(&x);
    let truth = |f: fn(f32) -> bool| x.map(|v| f32::from(f(v)));
    close(&made("Greater", &["x", "c"]), &truth(|v| v > 0.25));
    close(&made("Less", &["x", "c"]), &truth(|v| v < 0.25));
    close(&made("GreaterOrEqual", &["c", "x"]), &truth(|v| 0.25 >= v));
    close(&made("LessOrEqual", &["c", "x"]), &truth(|v| 0.25 <= v));
    close(&made("Equal", &["x", "c"]), &truth(|v| v == 0.25));
    let model = || Model::new(&[1, 4]).reals("c", &[], &[0.25]).reals("d", &[4], &[9.0, 8.0, 7.0, 6.0]);
    let model =
        || model().node("Greater", &["x", "c"], "g", vec![]).node("Less", &["x", "d"], "l", vec![]).node("Not", &["g"], "n", vec![]);
    let both = |op: &str| model().node("Less", &["x", "c"], "b", vec![]).node(op, &["g", "b"], "y", vec![]).run(&x);
    close(&both("Or"), &[1.0, 0.0, 1.0, 1.0]);
    close(&both("And"), &[0.0; 4]);
    close(&model().node("Xor", &["g", "l"], "y", vec![]).run(&x), &[1.0, 1.0, 0.0, 0.0]);
    close(&model().node("Where", &["g", "x", "d"], "y", vec![]).run(&x), &[9.0, 8.0, 0.5, 2.0]);
    close(&model().node("And", &["n", "l"], "b", vec![]).node("Where", &["b", "c", "x"], "y", vec![]).run(&x), &[0.25, 0.25, 0.5, 2.0]);
}

#[test]
fn a_vector_times_a_map() {
    // What GCNet pools by: [1, 1, C, HW] times [1, 1, HW, 1].
    let x = ramp(3 * 4);
    let context = Model::new(&[1, 3, 2, 2])
        .ints("rows", &[1, 1, 3, 4])
        .ints("column", &[1, 1, 4, 1])
        .ints("first", &[0])
        .ints("one", &[1])
        .ints("axis", &[1])
        .node("Slice", &["x", "first", "one", "axis"], "m", vec![])
        .node("Reshape", &["m", "column"], "v", vec![])
        .node("Reshape", &["x", "rows"], "r", vec![])
        .node("MatMul", &["r", "v"], "y", vec![]);
    close(&context.run(&x), &[0, 1, 2].map(|c| (0..4).map(|p| x[c * 4 + p] * x[p]).sum()));
    let maps = Model::new(&[1, 3, 2, 2]).node("MatMul", &["x", "x"], "y", vec![]);
    assert!(maps.error().to_string().contains("attention"), "{}", maps.error());
}

#[test]
fn averages_that_reach_past_counted_padding() {
    // 4 columns padded to 6, windows of 3 by 2: the last holds 2 columns.
    let attributes = vec![
        ints("kernel_shape", &[1, 3]),
        ints("strides", &[1, 2]),
        ints("pads", &[0, 1, 0, 1]),
        int("ceil_mode", 1),
        int("count_include_pad", 1),
    ];
    let model = Model::new(&[1, 1, 1, 4]).node("AveragePool", &["x"], "y", attributes);
    close(&model.run(&[3.0, 6.0, 9.0, 12.0]), &[3.0, 9.0, 6.0]);
}

#[test]
fn quantisation_ends_where_its_codes_do() {
    // A Relu that the quantiser left out: codes begin at 0.
    let model = Model::new(&[1, 4]).reals("s", &[], &[0.1]).bytes("z", &[], DataType::Int8, &[0x80]);
    let model = model.node("Neg", &["x"], "n", vec![]).node("QuantizeLinear", &["n", "s", "z"], "q", vec![]);
    let model = model.node("DequantizeLinear", &["q", "s", "z"], "y", vec![]);
    close(&model.run(&[-30.0, -20.0, 0.0, 5.0]), &[25.5, 20.0, 0.0, 0.0]);
}
