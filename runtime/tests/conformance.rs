//! Artifacts made once, executed on every target: the same bytes everywhere.
//!
//! `conformance/` holds artifacts of all operators, with gates, held tensors and scratch between them. Each runs over a
//! made-up clip (still frames, moving patches, specks, noise, cuts) in every mode, on every kernel set of the processor.
//! `expected.txt` has the checksum of all outputs of all frames, and the work done, as the scalar kernels gave them where
//! the file was written. `tools/tests/laws/conformance.rs` makes the artifacts; `QUIESCENT_BLESS=1` rewrites the sums.

#[path = "sample/xorshift.rs"]
mod xorshift;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use quiescent::format::{AlignedBytes, Op, arena_len};
use quiescent::{Engine, Frame, Mode, kernels};
use xorshift::Xorshift;

const FRAMES: usize = 24;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Name and bytes, by name.
fn artifacts() -> Vec<(String, AlignedBytes)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path());
    let mut all: Vec<_> = files
        .filter(|p| p.extension().is_some_and(|e| e == "qsc"))
        .map(|p| (p.file_stem().unwrap().to_str().unwrap().to_string(), AlignedBytes::from(std::fs::read(&p).unwrap())))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// A clip of integers alone, so that every target sees the same one.
fn clip(h: usize, w: usize, c: usize) -> Vec<Vec<u8>> {
    let mut random = Xorshift(0x5143 + (h * w * c) as u64);
    let background = |random: &mut Xorshift| -> Vec<u8> {
        let slopes = [random.below(5), random.below(5)];
        (0..h * w * c).map(|i| (40 + i / c / w * slopes[0] + i / c % w * slopes[1] + random.below(30)) as u8).collect()
    };
    let mut frame = background(&mut random);
    let mut frames = vec![frame.clone()];
    for t in 1..FRAMES {
        match t % 8 {
            // Still.
            3 | 6 => {}
            // Specks.
            5 => (0..4).for_each(|_| {
                let at = random.below(frame.len());
                frame[at] = random.below(256) as u8;
            }),
            // Noise.
            7 => frame.iter_mut().for_each(|v| *v = v.saturating_add(random.below(3) as u8).saturating_sub(1)),
            // A cut.
            0 if t == 16 => frame = background(&mut random),
            // A patch somewhere.
            _ => {
                let (y0, x0, code) = (random.below(h), random.below(w), random.below(256) as u8);
                for y in y0..h.min(y0 + 4) {
                    for x in x0..w.min(x0 + 6) {
                        (0..c).for_each(|k| frame[(y * w + x) * c + k] = code.wrapping_add((7 * x + 3 * y + k) as u8));
                    }
                }
            }
        }
        frames.push(frame.clone());
    }
    frames
}

/// How the clip is run.
const MODES: [&str; 5] = ["dense", "exact", "gated", "budget", "mixed"];

/// Checksum (FNV-1a) of all outputs, and the multiply-accumulates done.
fn run(bytes: &AlignedBytes, set: &kernels::Kernels, mode: &str) -> (u64, u64) {
    let mut arena = AlignedBytes::zeroed(arena_len(bytes).unwrap());
    let mut engine = Engine::load(bytes, &mut arena, set).unwrap();
    let model = *engine.model();
    let input = &model.tensors[model.header.input as usize];
    let (mut sum, mut macs) = (0xcbf2_9ce4_8422_2325u64, 0);
    for (t, frame) in clip(input.h as usize, input.w as usize, input.c as usize).iter().enumerate() {
        engine.set_mode(match mode {
            "dense" => Mode::Dense,
            "exact" => Mode::Gated { scale: 0.0 },
            "mixed" => [Mode::Gated { scale: 2.0 }, Mode::Dense, Mode::Gated { scale: 0.0 }, Mode::Gated { scale: 0.5 }][t / 2 % 4],
            _ => Mode::Gated { scale: 1.0 },
        });
        engine.set_budget((mode == "budget").then(|| model.header.cost.macs.get() / 5));
        for output in engine.step(Frame::Pixels(frame)).unwrap().iter() {
            for i in 0..output.len() {
                for byte in output.at(i).to_le_bytes() {
                    sum = (sum ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
                }
            }
        }
        macs += engine.stats().macs;
    }
    (sum, macs)
}

fn lines(set: &kernels::Kernels) -> String {
    let mut lines = String::new();
    for (name, bytes) in artifacts() {
        for mode in MODES {
            let (sum, macs) = run(&bytes, set, mode);
            writeln!(lines, "{name} {mode} {sum:016x} {macs}").unwrap();
        }
    }
    lines
}

#[test]
fn every_set_gives_the_expected_bytes() {
    let path = folder().join("expected.txt");
    if std::env::var("QUIESCENT_BLESS").is_ok() {
        std::fs::write(&path, lines(&kernels::scalar::KERNELS)).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for set in kernels::available() {
        let found = lines(set);
        assert_eq!(found.lines().count(), expected.lines().count(), "artifacts without sums; see the head of this file");
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected, "kernel set {}", set.name);
        }
    }
}

/// The sums mean something: work is saved, outputs differ between gated and dense, exact ones do not.
#[test]
fn clips_exercise_the_gates() {
    let expected = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    let rows: Vec<Vec<&str>> = expected.lines().map(|l| l.split(' ').collect()).collect();
    let mut differing = 0;
    for rows in rows.chunks(MODES.len()) {
        let work = |k: usize| rows[k][3].parse::<u64>().unwrap();
        assert_eq!(rows[0][2], rows[1][2], "{}: exact gates", rows[0][0]);
        assert!(work(2) < work(0) && work(3) <= work(2), "{}: work {rows:?}", rows[0][0]);
        differing += usize::from(rows[2][2] != rows[0][2]);
    }
    assert!(differing > MODES.len(), "{differing} artifacts have gates that let something stand");
}

#[test]
fn every_operator_is_there() {
    let mut seen = BTreeSet::new();
    for (_, bytes) in artifacts() {
        let model = quiescent::format::check(&bytes).unwrap();
        seen.extend(model.steps.iter().map(|s| s.op));
    }
    let missing: Vec<Op> = (0..u16::MAX).map_while(Op::new).filter(|op| !seen.contains(&(*op as u16))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
