//! Artifacts made once, executed on every target: the same bytes everywhere.
//!
//! `conformance/` holds artifacts of all operators, with gates, held tensors and scratch between them. Each runs over a
//! made-up clip (still frames, moving patches, specks, noise, another light, cuts) in every mode, on every kernel set of the processor,
//! here and on boards (`boards/common/bin/conformance.rs`); `replay.rs` and `damage.rs` are what they share.
//! `expected.txt` has a checksum of all outputs of every frame, and the work done; `tools/tests/laws/conformance.rs` makes
//! the artifacts; `QUIESCENT_BLESS=1` rewrites the sums; `reference.rs`, which is not the runtime, has to give them too.

#[path = "conformance/damage.rs"]
mod damage;
#[path = "conformance/replay.rs"]
mod replay;
#[path = "sample/work.rs"]
mod work;
#[path = "sample/xorshift.rs"]
mod xorshift;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use quiescent::format::{self, AlignedBytes, Op, OutputRecord, arena_len};
use quiescent::{Engine, Frame, LoadError, kernels};
use zerocopy::FromBytes;

use replay::{FRAMES, MODES, Replay, expected, replay};

/// The artifact that is damaged: the one with the least work.
const VICTIM: &str = "moved";

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

fn run(bytes: &AlignedBytes, set: &kernels::Kernels, mode: &str) -> Replay {
    let mut arena = AlignedBytes::zeroed(arena_len(bytes).unwrap());
    replay(bytes, &mut arena, &mut [0; 8 << 10], set, mode).unwrap_or_else(|e| panic!("{e}"))
}

fn verdicts(set: &kernels::Kernels) -> damage::Verdicts {
    let bytes = AlignedBytes::from(std::fs::read(folder().join(VICTIM).with_extension("qsc")).unwrap());
    let mut file = AlignedBytes::zeroed(bytes.len() + 4);
    let mut arena = AlignedBytes::zeroed(arena_len(&bytes).unwrap());
    damage::damage(&bytes, damage::Memory { file: &mut file, arena: &mut arena, frame: &mut [0; 8 << 10] }, set)
}

/// The file of sums, from the kernels that are the specification.
fn sums() -> String {
    let mut lines = String::new();
    let set = &kernels::scalar::KERNELS;
    for (name, bytes) in artifacts() {
        for mode in MODES {
            writeln!(lines, "{name} {mode} {}", run(&bytes, set, mode)).unwrap();
        }
    }
    writeln!(lines, "{VICTIM} damaged {}", verdicts(set)).unwrap();
    lines
}

fn expected_file() -> String {
    std::fs::read_to_string(folder().join("expected.txt")).unwrap()
}

/// A set reduced to an artifact's operators gives what all of it gives; reduced further it is refused.
#[test]
fn operators_of_an_artifact_are_enough() {
    let file = expected_file();
    for (name, bytes) in artifacts() {
        let model = format::check(&bytes).unwrap();
        let gates = model.gated();
        let mut ops: Vec<Op> = model.steps.iter().map(|s| Op::new(s.op).unwrap()).collect();
        ops.sort_by_key(|op| *op as u16);
        ops.dedup();
        for set in [&kernels::scalar::KERNELS, kernels::best()] {
            for mode in MODES {
                let line = expected(&file, &name, mode).and_then(Replay::parse).unwrap();
                let found = run(&bytes, &set.only(&ops, gates), mode);
                assert_eq!(found.differs(&line), None, "{name} {mode}, kernel set {}: first differing frame", set.name);
            }
        }
        for op in &ops {
            let rest: Vec<Op> = ops.iter().copied().filter(|o| o != op).collect();
            let mut arena = AlignedBytes::zeroed(arena_len(&bytes).unwrap());
            let refused = Engine::load(&bytes, &mut arena, &kernels::best().only(&rest, true)).err();
            assert_eq!(refused, Some(LoadError::Operator { op: *op }), "{name}");
        }
        let mut arena = AlignedBytes::zeroed(arena_len(&bytes).unwrap());
        let refused = Engine::load(&bytes, &mut arena, &kernels::best().only(&ops, false)).err();
        assert_eq!(refused, gates.then_some(LoadError::Gates), "{name}");
    }
}

#[test]
fn every_set_gives_the_expected_bytes() {
    if std::env::var("QUIESCENT_BLESS").is_ok() {
        std::fs::write(folder().join("expected.txt"), sums()).unwrap();
    }
    let file = expected_file();
    assert_eq!(file.lines().count(), artifacts().len() * MODES.len() + 1, "sums without artifacts; see the head of this file");
    for set in kernels::available() {
        for (name, bytes) in artifacts() {
            for mode in MODES {
                let line = expected(&file, &name, mode).and_then(Replay::parse).expect("artifacts without sums");
                let at = run(&bytes, set, mode).differs(&line);
                assert_eq!(at, None, "kernel set {}, {name} {mode}: first differing frame ({FRAMES}: the work)", set.name);
            }
        }
        println!("conformance: {} kernels {}: as expected", std::env::consts::ARCH, set.name);
    }
    for name in kernels::COMPILED.iter().filter(|name| kernels::select(name).is_none()) {
        println!("NOT RUN: kernels {name}, which this processor does not have");
    }
}

/// Damaged copies are refused with the same errors everywhere, or run.
#[test]
fn damage_is_found() {
    let file = expected_file();
    for set in kernels::available() {
        let found = verdicts(set);
        assert_eq!(expected(&file, VICTIM, "damaged"), Some(&*found.to_string()), "kernel set {}", set.name);
        assert!(found.refused > 1500 && found.ran > 1000, "{found}");
    }
}

/// The sums mean something: work is saved, outputs differ between gated and dense, exact ones do not.
#[test]
fn clips_exercise_the_gates() {
    let file = expected_file();
    let mut differing = 0;
    for (name, _) in artifacts() {
        let [dense, exact, gated, budget, _] = MODES.map(|m| expected(&file, &name, m).and_then(Replay::parse).unwrap());
        assert_eq!(dense.sums, exact.sums, "{name}: exact gates");
        assert!(gated.macs < dense.macs && budget.macs < dense.macs, "{name}: work");
        differing += usize::from(gated.sums != dense.sums);
    }
    assert!(differing > MODES.len(), "{differing} artifacts have gates that let something stand");
}

/// The artifact with every output seen as `[1, c, h, w]`.
fn channels_first(bytes: &[u8]) -> AlignedBytes {
    let mut bytes = AlignedBytes::from(bytes);
    let (span, extents) = {
        let m = quiescent::format::check(&bytes).unwrap();
        let extent = |o: &OutputRecord| [m.tensors[o.tensor as usize].h, m.tensors[o.tensor as usize].w, m.tensors[o.tensor as usize].c];
        (m.header.outputs, m.outputs.iter().map(extent).collect::<Vec<_>>())
    };
    let records = &mut bytes[span.offset as usize..][..span.len as usize];
    for (o, [h, w, c]) in <[OutputRecord]>::mut_from_bytes(records).unwrap().iter_mut().zip(extents) {
        (o.rank, o.shape, o.strides, o.offset) = (4, [1, c, h, w, 0, 0], [0, 1, w * c, c, 0, 0], 0);
    }
    quiescent::format::seal(&mut bytes);
    bytes
}

/// Whole outputs, read along lines and channels, are their elements one by one.
#[test]
fn outputs_are_their_elements() {
    let plain = artifacts();
    let turned = plain.iter().map(|(name, bytes)| (format!("{name}, channels first"), channels_first(bytes)));
    for (name, bytes) in turned.chain(artifacts()) {
        let mut arena = AlignedBytes::zeroed(arena_len(&bytes).unwrap());
        let mut engine = Engine::load(&bytes, &mut arena, kernels::best()).unwrap();
        let input = &engine.model().tensors[engine.model().header.input as usize];
        let frame: Vec<u8> = (0..input.rows() * input.c as usize).map(|i| (i * i / 7) as u8).collect();
        for o in engine.step(Frame::Pixels(&frame)).unwrap().iter() {
            let mut all = vec![f32::NAN; o.len()];
            o.read(&mut all);
            let one_by_one: Vec<f32> = (0..o.len()).map(|i| o.at(i)).collect();
            assert_eq!(all, one_by_one, "{name}: {} {:?}", o.name(), o.shape());
            let mut part = vec![f32::NAN; o.len() / 2];
            o.read(&mut part);
            assert_eq!(part, one_by_one[..part.len()], "{name}: a part of {}", o.name());
        }
    }
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
