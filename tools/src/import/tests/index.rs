//! Elements picked and put by constant indices, and choices between elements.

use super::*;

fn indices(mut model: Model, name: &str, dims: &[i64], values: &[i64]) -> Model {
    model = model.ints(name, values);
    if let Some(t) = model.graph.initializer.last_mut() {
        t.dims = dims.to_vec();
    }
    model
}

#[test]
fn gather_by_a_table_of_indices() {
    let x = ramp(2 * 3 * 4);
    let pick = |dims: &[i64], list: &[i64], axis: i64| {
        let model = indices(Model::new(&[1, 2, 3, 4]), "i", dims, list).node("Gather", &["x", "i"], "y", vec![int("axis", axis)]);
        (model.import().outputs[0].onnx_shape.clone(), model.run(&x))
    };
    // What PyTorch makes of a global average: all of it, in order, under another shape.
    let (shape, made) = pick(&[1, 2, 1, 1], &[0, 1], 1);
    assert_eq!(shape, [1, 1, 2, 1, 1, 3, 4]);
    close(&made, &x);
    let (shape, made) = pick(&[2, 2], &[2, 0, -1, 1], 2);
    assert_eq!(shape, [1, 2, 2, 2, 4]);
    let line = |c: usize, y: usize| &x[(c * 3 + y) * 4..][..4];
    close(&made, &[0, 1].map(|c| [2, 0, 2, 1].map(|y| line(c, y)).concat()).concat());
}

#[test]
fn gather_nd_by_a_product_of_lists() {
    // Rows [2, 0] in pairs with columns [3, 1, 1]: the table is [columns, 1, rows, 2].
    let x = ramp(3 * 4 * 2);
    let (rows, columns) = ([2, 0], [3, 1, 1]);
    let table: Vec<i64> = columns.iter().flat_map(|&c| rows.iter().flat_map(move |&r| [r, c])).collect();
    let model = indices(Model::new(&[1, 3, 4, 2]), "i", &[3, 1, 2, 2], &table)
        .ints("s", &[3, 4, 2])
        .node("Reshape", &["x", "s"], "r", vec![])
        .node("GatherND", &["r", "i"], "y", vec![]);
    assert_eq!(model.import().outputs[0].onnx_shape, [3, 1, 2, 2]);
    let expected: Vec<f32> = columns
        .iter()
        .flat_map(|&c| rows.iter().flat_map(move |&r| [0, 1].map(|k| ((r * 4 + c) * 2 + k) as usize)))
        .map(|i| x[i])
        .collect();
    close(&model.run(&x), &expected);
    let points = indices(Model::new(&[1, 3, 4, 2]), "i", &[2, 2], &[0, 1, 0, 2]);
    close(&points.node("GatherND", &["x", "i"], "y", vec![]).run(&x), &[&x[8..16], &x[16..24]].concat());
    let scattered = indices(Model::new(&[1, 3, 4, 2]), "i", &[2, 3], &[0, 1, 1, 0, 2, 3]).node("GatherND", &["x", "i"], "y", vec![]);
    assert!(scattered.error().to_string().contains("table of points"), "{}", scattered.error());
}

#[test]
fn scatter_nd_puts_a_box() {
    // x[0, :, 1:3, 2] = -x[0, :, 0:2, 3]
    let x = ramp(2 * 3 * 4);
    let table: Vec<i64> = (0..2).flat_map(|c| (1..3).flat_map(move |y| [0, c, y, 2])).collect();
    let base = || {
        indices(Model::new(&[1, 2, 3, 4]), "i", &[1, 2, 2, 4], &table)
            .ints("b", &[0, 0, 0, 3])
            .ints("e", &[1, 2, 2, 4])
            .ints("last", &[3])
            .node("Slice", &["x", "b", "e"], "part", vec![])
            .node("Neg", &["part"], "minus", vec![])
            .node("Squeeze", &["minus", "last"], "u", vec![])
    };
    let at = |c: usize, y: usize, k: usize| (c * 3 + y) * 4 + k;
    let put = |mut data: Vec<f32>| {
        for (c, y) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
            data[at(c, y, 2)] = -x[at(c, y - 1, 3)];
        }
        data
    };
    close(&base().node("ScatterND", &["x", "i", "u"], "y", vec![]).run(&x), &put(x.clone()));
    let zeros = base().reals("z", &[1, 2, 3, 4], &[0.5; 24]).node("ScatterND", &["z", "i", "u"], "y", vec![]);
    close(&zeros.run(&x), &put(vec![0.5; 24]));
    let gaps = indices(Model::new(&[1, 2, 3, 4]), "i", &[2, 4], &[0, 0, 0, 0, 0, 0, 0, 2]).reals("u", &[2], &[0.0; 2]);
    let said = gaps.node("ScatterND", &["x", "i", "u"], "y", vec![]).error().to_string();
    assert!(said.contains("Concat"), "{said}");
}

#[test]
fn where_lets_through_by_a_mask() {
    let x = ramp(2 * 2 * 3);
    let mask = |m: Model| m.bytes("m", &[2, 3], DataType::Bool, &[1, 0, 1, 0, 0, 1]);
    let open = |i: usize| [0, 2, 5].contains(&(i % 6));
    let other = mask(Model::new(&[1, 2, 2, 3])).node("Neg", &["x"], "n", vec![]).node("Where", &["m", "x", "n"], "y", vec![]);
    close(&other.run(&x), &(0..12).map(|i| if open(i) { x[i] } else { -x[i] }).collect::<Vec<_>>());
    let filled = mask(Model::new(&[1, 2, 2, 3])).reals("c", &[], &[7.0]).node("Where", &["m", "c", "x"], "y", vec![]);
    close(&filled.run(&x), &(0..12).map(|i| if open(i) { 7.0 } else { x[i] }).collect::<Vec<_>>());
    // The same everywhere: the choice still broadcasts.
    let wide = Model::new(&[1, 2, 1, 1]).bytes("m", &[1, 1, 2, 3], DataType::Bool, &[1; 6]).reals("c", &[], &[0.0]);
    close(&wide.node("Where", &["m", "x", "c"], "y", vec![]).run(&[1.0, 2.0]), &[[1.0; 6], [2.0; 6]].concat());
}
