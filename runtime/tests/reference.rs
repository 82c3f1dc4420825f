//! A second implementation, slow and plain, of what docs/format.md and docs/numerics.md say: the oracle of
//! `conformance/expected.txt`. It shares no code with the runtime and reads the files by the documents' offsets.
//!
//! When a cut is computed whole, or densely from some segment on, is the engine's own affair (`engine/whole.rs`): of a gated
//! clip that one frame has to be what one of these gives. What a budget puts off is not modelled.

#[path = "reference/file.rs"]
mod file;
#[path = "reference/functions.rs"]
mod functions;
#[path = "reference/net.rs"]
mod net;
#[path = "reference/ops.rs"]
mod ops;
#[path = "conformance/replay.rs"]
#[allow(dead_code)]
mod replay;
#[path = "sample/xorshift.rs"]
mod xorshift;

use std::path::Path;

use file::File;
use net::{How, Net};
use replay::{Clip, FRAMES, Replay, Sum, expected};

fn sum(net: &Net) -> u32 {
    let mut sum = Sum::new();
    net.outputs().iter().for_each(|v| sum.add(&v.to_le_bytes()));
    sum.0
}

/// The frame of the clip that shows another scene.
const CUT: usize = 16;

/// Compares the sums of a clip; `ways` are those in which frame `t` may be executed.
fn check(name: &str, bytes: &[u8], mode: &str, wanted: &Replay, ways: impl Fn(usize, &Net) -> Vec<How>) {
    let f = File(bytes);
    let tensors = net::tensors(&f);
    let mut net = Net::new(&f, &tensors);
    let mut clip = Clip::new(net.extent());
    let mut frame = vec![0; net.extent().iter().product()];
    for t in 0..FRAMES {
        clip.advance(&mut frame);
        let found = ways(t, &net).into_iter().find_map(|how| {
            let mut next = net.clone();
            next.frame(&frame, how);
            (sum(&next) == wanted.sums[t]).then_some(next)
        });
        net = found.unwrap_or_else(|| panic!("{name} {mode}: frame {t} is none of what it may be"));
    }
}

fn each(mut check: impl FnMut(&str, &[u8], &str)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let sums = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
    let mut seen = 0;
    for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if path.extension().is_some_and(|e| e == "qsc") {
            check(path.file_stem().unwrap().to_str().unwrap(), &std::fs::read(&path).unwrap(), &sums);
            seen += 1;
        }
    }
    assert!(seen > 0);
}

fn line(sums: &str, name: &str, mode: &str) -> Replay {
    expected(sums, name, mode).and_then(Replay::parse).unwrap()
}

#[test]
fn dense() {
    each(|name, bytes, sums| {
        check(name, bytes, "dense", &line(sums, name, "dense"), |_, _| vec![How::DENSE]);
    });
}

#[test]
fn gated() {
    each(|name, bytes, sums| {
        for (mode, scales) in [("gated", [1.0; 4]), ("exact", [0.0; 4]), ("mixed", [2.0, f32::NAN, 0.0, 0.5])] {
            check(name, bytes, mode, &line(sums, name, mode), |t, net| {
                let scale = scales[t / 2 % 4];
                if t == 0 || scale.is_nan() {
                    return vec![How::DENSE];
                }
                let mut all = vec![How { scale, dense_from: usize::MAX }];
                if t == CUT {
                    all.extend(net.segments().into_iter().map(|dense_from| How { scale, dense_from }));
                }
                all
            });
        }
    });
}
