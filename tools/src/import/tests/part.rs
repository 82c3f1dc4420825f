//! What of a model is converted: what its outputs need, up to where they are taken, and the branch a constant chooses.

use super::*;

fn to(outputs: &[&str]) -> Options {
    Options { outputs: outputs.iter().map(|o| o.to_string()).collect(), ..Default::default() }
}

fn graph(nodes: Vec<NodeProto>, output: &str) -> AttributeProto {
    let output = vec![ValueInfoProto { name: output.into(), ..Default::default() }];
    let g = Some(GraphProto { node: nodes, output, ..Default::default() });
    AttributeProto { r#type: AttributeType::Graph as i32, g, ..Default::default() }
}

#[test]
fn what_no_output_needs_is_not_asked_for() {
    let mut model = Model::new(&[1, 2, 3, 4])
        .node("Relu", &["x"], "y", vec![])
        .node("NonMaxSuppression", &["y", "junk", "aside"], "dead", vec![])
        .bytes("junk", &[1], DataType::String, &[0]);
    model.graph.input.push(port("aside", DataType::Int64, &[1]));
    let graph = model.import();
    assert_eq!((graph.inputs.len(), graph.nodes.len()), (1, 1));
    model.graph.output.push(ValueInfoProto { name: "dead".into(), ..Default::default() });
    let said = model.error().to_string();
    assert!(said.contains("NonMaxSuppression") && said.contains("--outputs") && said.contains("String"), "{said}");
}

#[test]
fn outputs_are_taken_where_they_are_asked_for() {
    let model =
        Model::new(&[1, 2, 3, 4]).node("Relu", &["x"], "a", vec![]).node("Sigmoid", &["a"], "b", vec![]).node("TopK", &["b"], "y", vec![]);
    assert!(model.error().to_string().contains("TopK"));
    let graph = from_bytes(&model.encode(), &to(&["b", "a"])).unwrap();
    assert_eq!(graph.outputs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(graph.outputs[0].onnx_shape, [1, 2, 3, 4]);
    let said = model.error_with(&to(&["ghost"])).to_string();
    assert!(said.contains("ghost"), "{said}");
}

#[test]
fn a_constant_condition_chooses_a_branch() {
    let inner = |op: &str, output: &str| Model::default().node(op, &["a"], output, vec![]).graph.node;
    let branches = || {
        let named = |name: &str, g: AttributeProto| AttributeProto { name: name.into(), ..g };
        vec![named("then_branch", graph(inner("Neg", "t"), "t")), named("else_branch", graph(inner("Abs", "t"), "t"))]
    };
    let x = ramp(24);
    for (condition, expected) in [(1, x.iter().map(|v| -2.0 * v).collect::<Vec<_>>()), (0, x.iter().map(|v| (2.0 * v).abs()).collect())] {
        // `a` is read by the branches alone, and both branches and both nodes use the name `t`.
        let model = Model::new(&[1, 2, 3, 4])
            .ints("i", &[condition])
            .node("Cast", &["i"], "c", vec![int("to", DataType::Bool as i64)])
            .node("If", &["c"], "y", branches())
            .node("Add", &["x", "x"], "a", vec![]);
        close(&model.run(&x), &expected);
        let twice = Model::new(&[1, 2, 3, 4])
            .ints("c", &[condition])
            .node("Add", &["x", "x"], "a", vec![])
            .node("If", &["c"], "u", branches())
            .node("If", &["c"], "v", branches())
            .node("Sub", &["u", "v"], "w", vec![])
            .node("Add", &["w", "u"], "y", vec![]);
        close(&twice.run(&x), &expected);
    }
    let open = Model::new(&[1, 2, 3, 4]).node("If", &["x"], "y", branches()).node("Add", &["x", "x"], "a", vec![]);
    assert!(open.error().to_string().contains("condition is not constant"));
}

#[test]
fn values_made_twice_and_cycles_are_told_apart() {
    let twice =
        Model::new(&[1, 2, 3, 4]).node("Relu", &["x"], "a", vec![]).node("Relu", &["a"], "y", vec![]).node("Abs", &["y"], "a", vec![]);
    let said = twice.error().to_string();
    assert!(said.contains("`a` exists already") && !said.contains("cycle"), "{said}");
    let mut cycle = Model::new(&[1, 2, 3, 4]).node("Add", &["x", "z"], "y", vec![]).node("Relu", &["y"], "z", vec![]);
    cycle.graph.node[0].name.clear();
    let said = cycle.error().to_string();
    assert!(said.contains("node `y` (Add)") && said.contains("cycle"), "{said}");
}
