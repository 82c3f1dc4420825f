use super::*;
use crate::clip::npy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn task(text: &str) -> Task {
    Task::parse("test.toml", text).unwrap()
}

fn problem(text: &str) -> String {
    format!("{:#}", Task::parse("test.toml", text).unwrap_err())
}

fn det(class: usize, score: f32, x: f32, y: f32, side: f32) -> Detection {
    Detection { class, score, x1: x, y1: y, x2: x + side, y2: y + side }
}

fn close(a: &Detection, class: usize, score: f32, corners: [f32; 4]) {
    assert_eq!(a.class, class);
    assert!((a.score - score).abs() < 1e-4, "{a:?}, score {score}");
    assert!(a.corners().iter().zip(corners).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-2), "{a:?}, {corners:?}");
}

#[test]
fn every_task_file_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tasks");
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() >= 14);
    for file in files {
        let task = Task::load(&file).unwrap();
        assert_ne!(task.kind, Kind::RelativeError);
    }
}

#[test]
fn mistakes_in_a_task_file_name_the_key() {
    let yolox = "kind = \"detections\"\nhead = \"yolox\"\nclasses = 2\n";
    assert!(problem("kind = \"detection\"").contains("test.toml") && problem("kind = \"detection\"").contains("relative-error"));
    assert!(problem("kind = \"detections\"\nclasses = 2").contains("needs head"));
    assert!(problem("kind = \"detections\"\nhead = \"yolox\"").contains("classes"));
    assert!(problem(&format!("{yolox}treshold = 0.5")).contains("treshold"));
    assert!(problem(&format!("{yolox}threshold = 1.5")).contains("threshold = 1.5"));
    assert!(problem(&format!("{yolox}keep = [2]")).contains("class 2"));
    assert!(problem(&format!("{yolox}keep = [\"person\"]\nlabels = [\"car\"]")).contains("\"person\", which is not among the labels"));
    assert!(problem(&format!("{yolox}strides = [0]")).contains("strides"));
    assert!(problem(&format!("{yolox}reg_max = 7")).contains("reg_max means nothing"));
    assert!(problem("kind = \"top1\"\nnms = 0.5").contains("nms means nothing"));
    assert!(problem("kind = \"top1\"\n[input]\nstd = [0.0]").contains("std"));
    assert!(problem("kind = \"top1\"\n[input]\nmean = [1.0, 2.0]").contains("2 values"));
    assert!(problem("kind = \"top1\"\n[input]\npad = 3").contains("letterbox"));
    assert!(problem("kind = \"top1\"\n[input]\ncolour = \"rgb\"").contains("colour"));
    let message = format!("{:#}", Task::load(Path::new("none.toml")).unwrap_err());
    assert!(message.contains("none.toml"));
}

#[test]
fn yolox_rows_and_maps_decode_alike() {
    let text = "kind = \"detections\"\nhead = \"yolox\"\nclasses = 2\nstrides = [8, 16]\nthreshold = 0.5";
    // Input 16x16: 2x2 cells of stride 8, then one of stride 16.
    let mut rows = vec![0.0f32; 5 * 7];
    rows[2 * 7..3 * 7].copy_from_slice(&[0.5, 0.25, 0.0, 2f32.ln(), 0.9, 0.1, 0.8]);
    rows[4 * 7..].copy_from_slice(&[0.5, 0.5, 0.0, 0.0, 0.9, 1.0, 0.0]);
    let flat = Output { name: "o", shape: &[1, 5, 7], data: &rows };
    let Prediction::Detections(found) = task(text).decode(&[flat], (16, 16)).unwrap() else { panic!() };
    assert_eq!(found.len(), 2);
    close(&found[0], 0, 0.9, [0.0, 0.0, 16.0, 16.0]);
    // Cell (0, 1): centre (0.5 * 8, 1.25 * 8), 8 wide, 16 high.
    close(&found[1], 1, 0.72, [0.0, 2.0, 8.0, 18.0]);

    let channels_first =
        |cells: &[f32], n: usize| -> Vec<f32> { (0..7).flat_map(|c| (0..n).map(move |i| (c, i))).map(|(c, i)| cells[i * 7 + c]).collect() };
    let (fine, coarse) = (channels_first(&rows[..28], 4), channels_first(&rows[28..], 1));
    let maps = [Output { name: "coarse", shape: &[1, 7, 1, 1], data: &coarse }, Output { name: "fine", shape: &[1, 7, 2, 2], data: &fine }];
    assert_eq!(task(text).decode(&maps, (16, 16)).unwrap(), Prediction::Detections(found));

    let kept = task(&format!("{text}\nkeep = [1]"));
    let Prediction::Detections(found) = kept.decode(&[flat], (16, 16)).unwrap() else { panic!() };
    assert_eq!(found.len(), 1);
    let wrong = format!("{:#}", task(text).decode(&[flat], (32, 16)).unwrap_err());
    assert!(wrong.contains("[1, 10, 7]") && wrong.contains("o [1, 5, 7]"), "{wrong}");
}

#[test]
fn yolox_logits_pass_through_a_sigmoid() {
    let text = "kind = \"detections\"\nhead = \"yolox\"\nclasses = 1\nstrides = [8]\nlogits = true\nthreshold = 0.2";
    let row = [0.0, 0.0, 0.0, 0.0, 0.0, 3f32.ln()];
    let out = Output { name: "o", shape: &[1, 1, 6], data: &row };
    let Prediction::Detections(found) = task(text).decode(&[out], (8, 8)).unwrap() else { panic!() };
    close(&found[0], 0, 0.5 * 0.75, [-4.0, -4.0, 4.0, 4.0]);
}

#[test]
fn fastestdet_cells() {
    let text = "kind = \"detections\"\nhead = \"fastestdet\"\nclasses = 2\nthreshold = 0.5";
    // 7 channels over 1x2 cells, input 20x10; the right cell holds a box.
    let channels = [[0.0, 0.8], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.5, 0.1], [0.5, 0.9]];
    let data: Vec<f32> = channels.concat();
    let out = Output { name: "o", shape: &[1, 7, 1, 2], data: &data };
    let Prediction::Detections(found) = task(text).decode(&[out], (20, 10)).unwrap() else { panic!() };
    assert_eq!(found.len(), 1);
    let cx = (1.0 + 0.5f32.tanh()) / 2.0 * 20.0;
    close(&found[0], 1, 0.8f32.powf(0.6) * 0.9f32.powf(0.4), [cx - 5.0, -2.5, cx + 5.0, 2.5]);
}

#[test]
fn ssd_finds_its_outputs_by_shape_or_name() {
    let text = "kind = \"detections\"\nhead = \"ssd\"\nclasses = 1\nthreshold = 0.6\nnms = 0.4\n";
    let boxes = [0.1, 0.2, 0.5, 0.6, 0.1, 0.2, 0.5, 0.55, 0.0, 0.0, 0.1, 0.1];
    let scores = [0.1, 0.9, 0.2, 0.8, 0.9, 0.1];
    let outputs = [Output { name: "s", shape: &[1, 3, 2], data: &scores }, Output { name: "b", shape: &[1, 3, 4], data: &boxes }];
    let Prediction::Detections(found) = task(text).decode(&outputs, (100, 50)).unwrap() else { panic!() };
    assert_eq!(found.len(), 1, "the weaker of two overlapping boxes goes");
    close(&found[0], 0, 0.9, [10.0, 10.0, 50.0, 30.0]);
    let named = task(&format!("{text}scores = \"s\"\nboxes = \"b\""));
    assert_eq!(named.decode(&outputs, (100, 50)).unwrap(), Prediction::Detections(found));
    let wrong = task(&format!("{text}scores = \"x\""));
    assert!(format!("{:#}", wrong.decode(&outputs, (100, 50)).unwrap_err()).contains("\"x\""));
    assert!(task(text).decode(&outputs[..1], (100, 50)).is_err());
}

#[test]
fn blazeface_anchors_are_cell_centres() {
    let text = "kind = \"detections\"\nhead = \"blazeface\"\nstrides = [4]\nthreshold = 0.5";
    let mut boxes = vec![0.0; 4 * 16];
    boxes[3 * 16..3 * 16 + 4].copy_from_slice(&[1.0, -1.0, 4.0, 2.0]);
    let scores = [-9.0, -9.0, -9.0, 3f32.ln()];
    let outputs = [Output { name: "b", shape: &[1, 4, 16], data: &boxes }, Output { name: "s", shape: &[1, 4, 1], data: &scores }];
    let Prediction::Detections(found) = task(text).decode(&outputs, (8, 8)).unwrap() else { panic!() };
    assert_eq!(found.len(), 1);
    close(&found[0], 0, 0.75, [5.0, 4.0, 9.0, 6.0]);
    assert!(format!("{:#}", task(text).decode(&outputs, (16, 8)).unwrap_err()).contains("anchors"));
}

#[test]
fn nanodet_distances_are_means_of_distributions() {
    let text = "kind = \"detections\"\nhead = \"nanodet\"\nclasses = 1\nstrides = [8]\nreg_max = 2\nthreshold = 0.5";
    // Left: surely 1; top: evenly 0 and 2; right: surely 2; bottom: evenly 0, 1, 2.
    let sides = [[-50.0, 0.0, -50.0], [0.0, -50.0, 0.0], [-50.0, -50.0, 0.0], [7.0, 7.0, 7.0]];
    let mut data = vec![0.0; 13];
    data.push(0.9);
    data.extend(sides.concat());
    let out = Output { name: "o", shape: &[1, 2, 13], data: &data };
    let Prediction::Detections(found) = task(text).decode(&[out], (16, 8)).unwrap() else { panic!() };
    close(&found[0], 0, 0.9, [0.0, -8.0, 24.0, 8.0]);
}

#[test]
fn damaged_numbers_do_not_become_boxes() {
    let text = "kind = \"detections\"\nhead = \"yolox\"\nclasses = 1\nstrides = [8]";
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for k in 0..6 {
            let mut row = [0.0, 0.0, 0.0, 0.0, 0.9, 0.9];
            row[k] = bad;
            let out = Output { name: "o", shape: &[1, 1, 6], data: &row };
            let Prediction::Detections(found) = task(text).decode(&[out], (8, 8)).unwrap() else { panic!() };
            assert!(found.iter().all(|d| d.corners().iter().all(|v| v.is_finite())));
        }
    }
    let short = Output { name: "o", shape: &[1, 2, 6], data: &[0.0; 6] };
    assert!(task(text).decode(&[short], (8, 8)).is_err());
    assert!(task(text).decode(&[], (8, 8)).is_err());
}

#[test]
fn masks_heat_maps_and_classes() {
    // Two pixels of three classes, channels first and last.
    let three = task("kind = \"mask\"\nclasses = 3");
    let first = [0.1, 0.9, 0.3, 0.2, 0.7, 0.5];
    let expected = Prediction::Mask { h: 1, w: 2, classes: vec![2, 0] };
    assert_eq!(three.decode(&[Output { name: "o", shape: &[1, 3, 1, 2], data: &first }], (2, 1)).unwrap(), expected);
    let last = [0.1, 0.3, 0.7, 0.9, 0.2, 0.5];
    assert_eq!(three.decode(&[Output { name: "o", shape: &[1, 1, 2, 3], data: &last }], (2, 1)).unwrap(), expected);
    assert!(three.decode(&[Output { name: "o", shape: &[1, 2, 1, 3, 1], data: &last }], (2, 1)).is_err());
    let last = [0.1, 0.3, 0.7, 0.9, 0.2, 0.1, 0.3, 0.5, 0.3];
    let out = Output { name: "o", shape: &[1, 3, 3, 1], data: &last };
    let one = task("kind = \"mask\"\nthreshold = 0.4").decode(&[out], (3, 3)).unwrap();
    assert_eq!(one, Prediction::Mask { h: 3, w: 3, classes: vec![0, 0, 1, 1, 0, 0, 0, 1, 0] });
    let text = "kind = \"heatmap\"\nclasses = 1\nthreshold = 0.5\nmetric = \"peaks\"\nradius = 2.0";
    let peaks = task(text).decode(&[Output { shape: &[1, 1, 3, 3], ..out }], (30, 30)).unwrap();
    let Prediction::Detections(found) = peaks else { panic!() };
    // 0.7 at (2, 0) and 0.9 at (0, 1) are no neighbours; 0.5 at (1, 2) is above the floor but next to neither.
    assert_eq!(found.iter().map(|d| d.score).collect::<Vec<_>>(), [0.9, 0.7]);
    assert_eq!(found[0].corners(), [3.0, 13.0, 7.0, 17.0]);
    assert_eq!(task("kind = \"top1\"").decode(&[out], (1, 1)).unwrap(), Prediction::Class(3));
    assert!(task("kind = \"top1\"").decode(&[Output { name: "o", shape: &[1], data: &[f32::NAN] }], (1, 1)).is_err());
}

fn agreement(text: &str, frames: &[(Prediction, Prediction)]) -> Agreement {
    let mut agreement = Agreement::new(&task(text));
    for (a, b) in frames {
        agreement.add(a, b).unwrap();
    }
    agreement
}

const BOXES: &str = "kind = \"detections\"\nhead = \"yolox\"\nclasses = 3\nthreshold = 0.5";

#[test]
fn detections_agree_with_a_margin_at_the_threshold() {
    let boxes = |list: &[Detection]| Prediction::Detections(list.to_vec());
    let far = 100.0;
    let f1 = |a: &[Detection], b: &[Detection]| agreement(BOXES, &[(boxes(a), boxes(b))]).score();
    assert_eq!(f1(&[], &[]), 1.0);
    assert_eq!(f1(&[det(0, 0.9, 0.0, 0.0, 10.0)], &[det(0, 0.6, 1.0, 1.0, 10.0)]), 1.0);
    // Just below the threshold on one side: no error, from either side.
    assert_eq!(f1(&[det(0, 0.51, 0.0, 0.0, 10.0)], &[det(0, 0.41, 0.0, 0.0, 10.0)]), 1.0);
    assert_eq!(f1(&[det(0, 0.41, 0.0, 0.0, 10.0)], &[det(0, 0.51, 0.0, 0.0, 10.0)]), 1.0);
    // Below the margin, of another class, elsewhere: errors.
    assert_eq!(f1(&[det(0, 0.9, 0.0, 0.0, 10.0)], &[det(0, 0.39, 0.0, 0.0, 10.0)]), 0.0);
    assert_eq!(f1(&[det(0, 0.9, 0.0, 0.0, 10.0)], &[det(1, 0.9, 0.0, 0.0, 10.0)]), 0.0);
    assert_eq!(f1(&[det(0, 0.9, 0.0, 0.0, 10.0)], &[det(0, 0.9, far, 0.0, 10.0)]), 0.0);
    // Both in the margin: nobody claims anything.
    assert_eq!(f1(&[det(0, 0.45, 0.0, 0.0, 10.0)], &[]), 1.0);
    // One box cannot stand for two.
    let twice = [det(0, 0.9, 0.0, 0.0, 10.0), det(0, 0.8, 2.0, 0.0, 10.0)];
    assert_eq!(f1(&twice, &[det(0, 0.9, 1.0, 0.0, 10.0)]), 2.0 / 3.0);
    assert_eq!(f1(&[det(0, 0.9, 1.0, 0.0, 10.0)], &twice), 2.0 / 3.0);
    // A weak neighbour does not steal the partner of a strong box.
    let weak = [det(0, 0.45, 0.0, 0.0, 10.0), det(0, 0.9, 1.0, 0.0, 10.0)];
    assert_eq!(f1(&[det(0, 0.9, 0.0, 0.0, 10.0)], &weak), 1.0);
}

#[test]
fn runs_worst_frame_and_totals() {
    let yes = Prediction::Detections(vec![det(0, 0.9, 0.0, 0.0, 10.0), det(0, 0.9, 50.0, 0.0, 10.0)]);
    let half = Prediction::Detections(vec![det(0, 0.9, 0.0, 0.0, 10.0)]);
    let none = Prediction::Detections(vec![]);
    let frames: Vec<(Prediction, Prediction)> = [&yes, &half, &none, &none, &yes, &half].map(|p| (yes.clone(), p.clone())).to_vec();
    let a = agreement(BOXES, &frames);
    // 2 + 1 + 0 + 0 + 2 + 1 of 12 reference boxes were found, none invented.
    let s = a.summary();
    assert_eq!((s.matched, s.missed, s.extra), (Some(6), Some(6), Some(0)));
    assert_eq!(a.score(), 12.0 / 18.0);
    assert!((a.mean() - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    assert_eq!((a.worst(), a.longest_disagreement(), s.disagreeing_frames), (Some((2, 0.0)), 3, 4));
    assert_eq!(agreement(BOXES, &[]).score(), 1.0);
}

#[test]
fn classes_masks_and_values() {
    let class = |k| Prediction::Class(k);
    let a = agreement("kind = \"top1\"", &[(class(1), class(1)), (class(2), class(3)), (class(0), class(0))]);
    assert!((a.score() - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!((a.worst(), a.longest_disagreement()), (Some((1, 0.0)), 1));

    let mask = |classes: &[u16]| Prediction::Mask { h: 1, w: classes.len(), classes: classes.to_vec() };
    let a = agreement("kind = \"mask\"", &[(mask(&[1, 1, 0, 0]), mask(&[1, 0, 0, 0])), (mask(&[0; 4]), mask(&[0; 4]))]);
    // Foreground only: 1 of 2 pixels; an empty frame agrees.
    assert_eq!((a.score(), a.mean()), (0.5, 0.75));
    let a = agreement("kind = \"mask\"\nclasses = 3", &[(mask(&[0, 0, 1, 2]), mask(&[0, 0, 1, 1]))]);
    assert!((a.score() - (1.0 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
    // One stray pixel in 2000 is left out of the mean.
    let (mut stray, clean) = (vec![0; 2000], vec![0; 2000]);
    stray[7] = 2;
    assert!(agreement("kind = \"mask\"\nclasses = 3", &[(mask(&clean), mask(&stray))]).score() > 0.999);

    let values = |v: &[f32]| Prediction::Values(v.to_vec());
    let a = agreement("kind = \"relative-error\"", &[(values(&[3.0, 4.0]), values(&[3.0, 3.5])), (values(&[0.0]), values(&[0.0]))]);
    assert!((a.mean() - (0.9 + 1.0) / 2.0).abs() < 1e-9);
    assert_eq!(agreement("kind = \"relative-error\"", &[(values(&[0.0]), values(&[1.0]))]).score(), 0.0);
    assert_eq!(agreement("kind = \"relative-error\"", &[(values(&[1.0]), values(&[f32::NAN]))]).score(), 0.0);
    let mut mixed = Agreement::new(&Task::default());
    assert!(mixed.add(&values(&[1.0]), &class(1)).is_err() && mixed.add(&values(&[1.0]), &values(&[1.0, 2.0])).is_err());
}

#[test]
fn average_precision_by_hand() {
    let labels = Labels::parse("frame,x,y,w,h,evaluate\n0,0,0,10,10,1\n0,50,0,10,10,1\n1,0,0,10,10,1\n1,80,0,10,10,0\n").unwrap();
    let predictions = BTreeMap::from([
        // A hit, then a false one, then a hit.
        (0, vec![det(0, 0.9, 0.0, 0.0, 10.0), det(0, 0.8, 200.0, 0.0, 10.0), det(0, 0.7, 51.0, 0.0, 10.0)]),
        // An unevaluated label is no false one; the label of frame 1 is never found.
        (1, vec![det(0, 0.95, 80.0, 0.0, 10.0)]),
        (2, vec![det(0, 0.99, 0.0, 0.0, 10.0)]),
    ]);
    let ap = ap50(&predictions, &labels).unwrap();
    assert!((ap - (1.0 / 3.0 + 2.0 / 3.0 / 3.0)).abs() < 1e-9, "{ap}");
    assert!(ap50(&BTreeMap::new(), &labels).is_err());
    let message = format!("{:#}", Labels::parse("frame,x,y,w\n").unwrap_err());
    assert!(message.contains("no column h"));
    assert!(format!("{:#}", Labels::parse("frame,x,y,w,h\n1,2,3,4,five\n").unwrap_err()).contains("line 2"));
}

/// Golden outputs of the real models, one input each.
fn golden(model: &str, count: usize) -> Option<Vec<(Vec<usize>, Vec<f32>)>> {
    let assets = std::env::var_os("QUIESCENT_ASSETS")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/assets"));
    let folder = assets.join("models/golden").join(model);
    if !folder.exists() {
        println!("skipped: no assets");
        return None;
    }
    Some((0..count).map(|k| npy::read(&folder.join(format!("out{k}.npy"))).unwrap()).collect())
}

#[test]
fn real_outputs_have_the_shapes_their_task_files_expect() {
    for (model, outputs, input) in [
        ("fastestdet_352", 1, (352, 352)),
        ("ultraface_rfb_320", 2, (320, 240)),
        ("mp_face_full", 2, (192, 192)),
        ("mp_face_full_sparse", 2, (192, 192)),
        ("resnet20_cifar10", 1, (32, 32)),
    ] {
        let Some(arrays) = golden(model, outputs) else { return };
        let names = ["scores", "boxes"];
        let outputs: Vec<Output> = arrays.iter().zip(names).map(|((shape, data), name)| Output { name, shape, data }).collect();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tasks/{model}.toml"));
        let task = Task::load(&file).unwrap();
        let prediction = task.decode(&outputs, input).unwrap();
        let mut agreement = Agreement::new(&task);
        assert_eq!(agreement.add(&prediction, &prediction).unwrap(), 1.0);
    }
}
