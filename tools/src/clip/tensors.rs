//! Clips of tensors: a `.npy` array whose first axis counts frames (spectrogram windows, feature maps, integer codes).

use super::npy::{self, Header, Kind};
use super::{Options, check_options, remaining};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes of one frame above this are taken for a wrong axis order.
const MAX_FRAME_BYTES: usize = 1 << 30;

/// Elements of one frame: reals, or the codes of an integer model input.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    F32(Vec<f32>),
    U8(Vec<u8>),
    I8(Vec<i8>),
}

/// One frame; `shape` is the array's without its first axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFrame {
    pub shape: Vec<usize>,
    pub data: TensorData,
}

impl TensorData {
    pub fn len(&self) -> usize {
        match self {
            TensorData::F32(v) => v.len(),
            TensorData::U8(v) => v.len(),
            TensorData::I8(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An iterator of `Result<TensorFrame>`.
pub struct TensorClip {
    /// The name the user gave.
    pub name: String,
    /// Of one frame.
    pub shape: Vec<usize>,
    pub kind: Kind,
    /// Frames this iterator gives in all.
    pub frames: usize,
    reader: BufReader<File>,
    frame_bytes: usize,
    step: usize,
    given: usize,
    failed: bool,
}

impl TensorClip {
    pub(super) fn open(path: &Path, opts: &Options) -> Result<TensorClip> {
        let name = path.display().to_string();
        check_options(&name, opts)?;
        if opts.noise.is_some() {
            bail!("{name} holds tensors; noise is added to pictures only");
        }
        let (Header { shape, kind }, mut reader) = npy::read_header(path)?;
        let Some((&total, shape)) = shape.split_first() else {
            bail!("{name} holds a single number; the first axis has to count frames");
        };
        let frame_bytes = shape.iter().try_fold(kind.bytes(), |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
        if frame_bytes == 0 || total == 0 {
            bail!("{name} has no frames: {total} along the first axis, each of shape {shape:?}");
        }
        if frame_bytes > MAX_FRAME_BYTES {
            bail!("{name}: one frame of shape {shape:?} has {frame_bytes} bytes; does the first axis count frames?");
        }
        if opts.start >= total {
            bail!("{name} has only {total} frames; the start asked for is frame {}", opts.start);
        }
        let offset = (opts.start * frame_bytes) as i64;
        reader.seek_relative(offset).with_context(|| format!("reading {name}"))?;
        Ok(TensorClip {
            name,
            shape: shape.to_vec(),
            kind,
            frames: remaining(total, opts),
            reader,
            frame_bytes,
            step: opts.step,
            given: 0,
            failed: false,
        })
    }

    fn read(&mut self) -> Result<TensorFrame> {
        let mut bytes = vec![0; self.frame_bytes];
        if self.given > 0 {
            // Within the file: `given < frames`, and `frames` counts whole steps.
            self.reader.seek_relative(((self.step - 1) * self.frame_bytes) as i64)?;
        }
        self.reader.read_exact(&mut bytes)?;
        let data = match self.kind {
            Kind::F32 => TensorData::F32(npy::to_f32(Kind::F32, &bytes)),
            Kind::U8 => TensorData::U8(bytes),
            Kind::I8 => TensorData::I8(bytes.into_iter().map(|b| b as i8).collect()),
        };
        Ok(TensorFrame { shape: self.shape.clone(), data })
    }
}

impl Iterator for TensorClip {
    type Item = Result<TensorFrame>;

    fn next(&mut self) -> Option<Result<TensorFrame>> {
        if self.given == self.frames || self.failed {
            return None;
        }
        let frame = self.read().with_context(|| format!("reading {}, frame {}", self.name, self.given));
        self.failed = frame.is_err();
        self.given += 1;
        Some(frame)
    }
}
