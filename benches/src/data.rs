//! Frames for a model, with their labels where there are labels.
//!
//! Labelled sets: CIFAR-10 records are a label byte and 3072 planar RGB bytes; MNIST is in idx files; the keyword set is
//! int8 features of 49 x 10 with labels in a CSV file, which the float model takes as `(code - 83) * 0.58470291`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use quiescent_tools::artifact::{InputKind, InputSpec};
use quiescent_tools::clip::{self, FitMap};
use quiescent_tools::feed::{Feed, Input};

use crate::cases::Source;
use crate::{assets, mel};

/// Zero and scale of the keyword features.
const KEYWORD_CODES: (i32, f32) = (83, 0.584_702_9);
/// Zero and scale of the quantised anomaly detector's input.
const MEL_CODES: (f32, f32) = (89.0, 0.391_015_23);

pub struct Record {
    pub input: Input,
    pub label: Option<usize>,
    /// Place in the clip, counted from 0.
    pub frame: usize,
}

pub struct Frames {
    pub records: Vec<Record>,
    /// From model pixels to those of the clip.
    pub map: Option<FitMap>,
}

pub fn read(spec: &InputSpec, source: &Source) -> Result<Frames> {
    let plain = |records| Frames { records, map: None };
    match *source {
        Source::Clip(name, start, step, count) => {
            let path = assets().join(format!("video/{name}.mp4"));
            let options = clip::Options { frames: Some(count), start, step, noise: None };
            let feed = Feed::open(spec, &path.to_string_lossy(), &options)?;
            let map = feed.fit_map();
            let records = feed
                .enumerate()
                .map(|(k, f)| Ok(Record { input: f?.input, label: None, frame: start + k * step }))
                .collect::<Result<_>>()?;
            Ok(Frames { records, map })
        }
        Source::Cifar(file, first, count) => {
            let bytes = load(&format!("datasets/{file}"))?;
            const RECORD: usize = 1 + 3072;
            let records: Vec<&[u8]> = bytes.chunks_exact(RECORD).skip(first).take(count).collect();
            ensure!(records.len() == count, "{file} has fewer than {} records", first + count);
            let pixels = |r: &[u8]| (0..3072).map(|i| r[1 + i % 3 * 1024 + i / 3]).collect();
            Ok(plain(labelled(first, records.iter().map(|r| (pixels(r), r[0] as usize)).collect(), spec)?))
        }
        Source::Mnist(first, count) => {
            let images = load("datasets/t10k_dev-images-idx3-ubyte")?;
            let labels = load("datasets/t10k_dev-labels-idx1-ubyte")?;
            ensure!(images.len() >= 16 + (first + count) * 784 && labels.len() >= 8 + first + count, "MNIST: file too short");
            let record = |k: usize| (images[16 + k * 784..][..784].to_vec(), labels[8 + k] as usize);
            Ok(plain(labelled(first, (first..first + count).map(record).collect(), spec)?))
        }
        Source::Keywords(first, count) => keywords(spec, first, count).map(plain),
        Source::Mel(name, first, step, count) => {
            let windows = mel::windows(&assets().join(format!("audio/{name}")))?;
            let records = windows.into_iter().enumerate().skip(first).step_by(step.max(1)).take(count);
            let input = |w: Vec<f32>| match spec.kind {
                InputKind::Values => Input::Values(w),
                // Codes are signed in the model and carried with 128 added.
                InputKind::Pixels => {
                    Input::Pixels(w.iter().map(|v| ((v / MEL_CODES.1).round() + MEL_CODES.0 + 128.0).clamp(0.0, 255.0) as u8).collect())
                }
            };
            Ok(plain(records.map(|(frame, w)| Record { input: input(w), label: None, frame }).collect()))
        }
    }
}

fn labelled(first: usize, records: Vec<(Vec<u8>, usize)>, spec: &InputSpec) -> Result<Vec<Record>> {
    ensure!(spec.kind == InputKind::Pixels, "input \"{}\" takes no pixels: the task file states no preprocessing", spec.name);
    let record =
        |(k, (pixels, label)): (usize, (Vec<u8>, usize))| Record { input: Input::Pixels(pixels), label: Some(label), frame: first + k };
    Ok(records.into_iter().enumerate().map(record).collect())
}

fn keywords(spec: &InputSpec, first: usize, count: usize) -> Result<Vec<Record>> {
    const FEATURES: usize = 490;
    let bytes = load("datasets/kws01_dev.bin")?;
    let table = String::from_utf8(load("datasets/kws01_dev.csv")?).context("kws01_dev.csv")?;
    let labels: Vec<usize> = table
        .lines()
        .skip(1)
        .map(|l| l.rsplit(',').next().and_then(|v| v.trim().parse().ok()).with_context(|| format!("kws01_dev.csv: {l:?}")))
        .collect::<Result<_>>()?;
    if bytes.len() < (first + count) * FEATURES || labels.len() < first + count {
        bail!("kws01_dev: fewer than {} records", first + count);
    }
    let record = |k: usize| {
        let codes = bytes[k * FEATURES..][..FEATURES].iter().map(|b| *b as i8 as i32);
        let input = match spec.kind {
            InputKind::Pixels => Input::Pixels(codes.map(|c| (c + 128) as u8).collect()),
            InputKind::Values => Input::Values(codes.map(|c| (c - KEYWORD_CODES.0) as f32 * KEYWORD_CODES.1).collect()),
        };
        Record { input, label: Some(labels[k]), frame: k }
    };
    Ok((first..first + count).map(record).collect())
}

fn load(name: &str) -> Result<Vec<u8>> {
    let path = assets().join(name);
    std::fs::read(&path).with_context(|| format!("reading {}", Path::new(name).display()))
}
