//! A network taken up to values inside of it.

use crate::{json, patrol};

#[test]
fn a_network_is_cut_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (onnx, calib, qsc) = (patrol("patrol.onnx"), patrol("calibration.y4m"), path("cut.qsc"));
    let names = ["head8/stem/silu_out", "head16/concat_out"];
    let outputs = names.join(",");
    let scale = "0.00392157";
    json(&["convert", &onnx, "-o", &qsc, "--calib", &calib, "--gates", "off", "--scale", scale, "--outputs", &outputs]);
    let inspected = json(&["inspect", &qsc]);
    let outputs = inspected["outputs"].as_array().unwrap();
    assert_eq!(outputs.iter().map(|o| o["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert_eq!(outputs[0]["onnx_shape"], serde_json::json!([1, 40, 12, 16]));
    let whole = json(&["inspect", &crate::in_folder("patrol.qsc")]);
    assert!(inspected["macs_dense"].as_u64() < whole["macs_dense"].as_u64());
    // The reference is cut at the same values, and tract's is too.
    let judged = json(&["eval", &qsc, "--against", &onnx, "--input", &patrol("evaluation.y4m"), "--frames", "3", "--dense"]);
    assert!(judged["reference_against_tract"].as_f64().unwrap() < 1e-4, "{judged}");
    assert!(judged["dense"]["score"].as_f64().unwrap() > 0.9, "{judged}");
}
