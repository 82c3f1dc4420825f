//! The search for gates: the same result whenever it is run, and refinement that pays.

use std::path::PathBuf;

use quiescent::format::{Point, Profile};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::calibrate;
use quiescent_tools::convert::{self, Options};
use quiescent_tools::feed::Feed;
use quiescent_tools::gates::{Budget, Found};
use quiescent_tools::lower::Hold;
use quiescent_tools::task::Task;

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/patrol").join(name)
}

/// The shipped detector with little memory for held tensors, gates chosen on 30 frames.
fn search(refine: usize) -> (Artifact, Vec<Point>, Found) {
    let calib = shipped("calibration.y4m").display().to_string();
    let options = Options {
        model: shipped("patrol.onnx"),
        calib: vec![calib.clone()],
        task: None,
        gates: true,
        hold: Hold::All,
        fit: Default::default(),
        profile: Profile::Any,
        input_shape: None,
        norm: None,
        mode: None,
        frames: 8,
        calibrate: calibrate::Options::default(),
    };
    let task = Task::load(&shipped("task.toml")).unwrap();
    let prepared = convert::prepare(&options, Some(&task)).unwrap();
    let codes = convert::calibration_frames(&prepared.input, &options.calib, options.frames).unwrap();
    let calibrated = convert::calibrate(&options, &prepared, &codes, None).unwrap();
    let feed = Feed::open(&prepared.input, &calib, &Default::default()).unwrap();
    let clip = feed.take(30).map(|f| f.unwrap().input).collect();
    let budget = Budget { max_drop: 0.02, arena_ratio: 1.3, ram: None, refine };
    calibrated.search(&[clip], &task, &budget, false, &|_| ()).unwrap()
}

#[test]
fn the_search_repeats_and_refinement_pays() {
    let (plain, _, without) = search(0);
    let (once, points, with) = search(120);
    let (again, ..) = search(120);
    assert!(once.bytes() == again.bytes(), "two searches found different artifacts");
    for (artifact, found) in [(&plain, &without), (&once, &with)] {
        let header = artifact.header();
        assert!(header.arena_len as f32 <= 1.3 * header.arena_dense_len as f32);
        assert!(found.held_let_go > 0, "the limit of memory was none");
        assert!(found.agreement >= 0.98 - 1e-9, "agreement {}", found.agreement);
    }
    assert!(with.work_limited <= without.work_limited, "exchanges made {} of {}", with.work_limited, without.work_limited);
    // The common factor alone leaves 0.95 of it.
    assert!(with.work < 0.85 * with.work_limited, "refinement left {} of {}", with.work, with.work_limited);
    // The stored points are what the engine does: less work at larger scales, full agreement where nothing is dropped.
    assert!(points.windows(2).all(|p| p[1].work <= p[0].work));
    assert_eq!((points[0].scale, points[0].agreement), (0.0, 1.0));
}
