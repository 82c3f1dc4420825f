//! The search for gates: the same result whenever it is run, and refinement that pays.

use std::path::PathBuf;

use quiescent::format::{InputGate, Point};
use quiescent_tools::artifact::Artifact;
use quiescent_tools::convert::{self, Options};
use quiescent_tools::feed::{Feed, Input};
use quiescent_tools::gates::{Budget, Found, Trial};
use quiescent_tools::lower::Hold;
use quiescent_tools::task::Task;

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/patrol").join(name)
}

/// Gates for the shipped detector, chosen on 30 frames, which are given too.
fn search(budget: &Budget) -> (Artifact, Vec<Point>, Found, Vec<Input>, Task) {
    let calib = shipped("calibration.y4m").display().to_string();
    let options = Options { calib: vec![calib.clone()], gates: true, hold: Hold::All, frames: 8, ..Options::new(&shipped("patrol.onnx")) };
    let task = Task::load(&shipped("task.toml")).unwrap();
    let prepared = convert::prepare(&options, Some(&task)).unwrap();
    let codes = convert::calibration_frames(&prepared.input, &options.calib, options.frames).unwrap();
    let calibrated = convert::calibrate(&options, &prepared, &codes, None).unwrap();
    let feed = Feed::open(&prepared.input, &calib, &Default::default()).unwrap();
    let clip: Vec<Input> = feed.take(30).map(|f| f.unwrap().input).collect();
    let (artifact, points, found) = calibrated.search(std::slice::from_ref(&clip), &task, budget, false, &|_| ()).unwrap();
    (artifact, points, found, clip, task)
}

#[test]
fn the_search_repeats_and_refinement_pays() {
    // Little memory for held tensors.
    let budget = |refine| Budget { max_drop: 0.03, arena_ratio: 1.3, refine, ..Default::default() };
    let (plain, _, without, ..) = search(&budget(0));
    let (once, points, with, ..) = search(&budget(120));
    let (again, ..) = search(&budget(120));
    assert!(once.bytes() == again.bytes(), "two searches found different artifacts");
    for (artifact, found) in [(&plain, &without), (&once, &with)] {
        let header = artifact.header();
        assert!(header.arena_len as f32 <= 1.3 * header.arena_dense_len as f32);
        assert!(found.held_let_go > 0, "the limit of memory was none");
        assert!(found.agreement >= 0.97 - 1e-9, "agreement {}", found.agreement);
    }
    assert!(with.work_limited <= without.work_limited, "exchanges made {} of {}", with.work_limited, without.work_limited);
    // The common factor alone leaves 0.95 of it.
    assert!(with.work < 0.9 * with.work_limited, "refinement left {} of {}", with.work, with.work_limited);
    // The stored points are what the engine does: less work at larger scales, full agreement where nothing is dropped.
    assert!(points.windows(2).all(|p| p[1].work <= p[0].work));
    assert_eq!((points[0].scale, points[0].agreement), (0.0, 1.0));
}

/// A walker and a lamp: what the search lets wait and takes out of the light leaves less work than without, and nothing waits that must not.
#[test]
fn waits_and_light_are_chosen_where_they_pay() {
    let budget = Budget { max_drop: 0.03, arena_ratio: 10.0, refine: 0, ..Default::default() };
    let (artifact, _, found, clip, task) = search(&budget);
    let input = artifact.header().input_gate;
    assert!(input.wait > 0 && input.few > 0 && input.shift > 0, "{input:?}");
    assert_eq!((found.wait, found.shift), ([input.wait, input.few], input.shift));
    let clips = [clip];
    let trial = Trial::new(&artifact, &clips, &task, None).unwrap();
    let work = |input: InputGate| {
        let mut a = artifact.clone();
        a.set_gates(input, |_| ());
        trial.all(&a, 1.0).unwrap().work
    };
    let chosen = work(input);
    let (at_once, lit) = (work(InputGate { wait: 0, ..input }), work(InputGate { shift: 0, ..input }));
    assert!(chosen < 0.9 * at_once && chosen < lit, "{chosen}, {at_once} without waits, {lit} with all light");
    let (artifact, ..) = search(&Budget { max_wait: 0, ..budget });
    assert_eq!(artifact.header().input_gate.wait, 0);
}
