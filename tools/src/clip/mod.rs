//! Clips: where frames come from, and how a frame becomes a model's input.
//!
//! [`open`] turns one word of the command line into an iterator of 8-bit pictures `[H, W, C]`, whatever holds them:
//!
//! | spec | decoded by |
//! |---|---|
//! | `clip.mp4`, `.mkv`, `.webm`, `.avi`, `.mov`, any other file | an `ffmpeg` found on the PATH |
//! | `clip.y4m`, and `-` for a y4m stream on standard input | the y4m crate, BT.601 |
//! | `clip.gif`, `one.png`, `one.jpg` | the image crate |
//! | a folder, or a pattern with `*`, `?`, `[..]` | its PNG and JPEG files, in natural order (`f2` before `f10`) |
//! | `features.npy` | frames along the first axis: tensors, not pictures ([`Source::open`]) |
//!
//! Every frame of a clip has the size of the first one; a clip without frames is an error when it is opened, not later.
//! Frames are handed out as they were coded: a repeated frame is a repeated frame, none is dropped or duplicated to keep
//! a frame rate.
//!
//! The modules: [`fit`] resizes to the model's input and maps boxes back, [`noise`] adds sensor-like noise, [`npy`] reads
//! and writes arrays.

mod ffmpeg;
pub mod fit;
mod frame;
mod images;
pub mod noise;
pub mod npy;
mod tensors;
mod y4m;

#[cfg(test)]
mod tests;

pub use fit::{Anchor, Fit, FitMap, Mode, Resize};
pub use frame::Frame;
pub use noise::Noise;
pub use tensors::{TensorClip, TensorData, TensorFrame};

use anyhow::{Context, Result, bail};
use std::path::Path;

/// Width and height above this are taken for a damaged header.
const MAX_SIDE: usize = 16384;

/// Which frames of a clip, and what is done to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// At most this many frames, `None` for all.
    pub frames: Option<usize>,
    /// Frames left out at the beginning.
    pub start: usize,
    /// Every `step`-th frame from `start` on; 1 for all.
    pub step: usize,
    /// Noise added to every picture. It depends on the seed and the frame's place in the file, not on `start` and `step`.
    pub noise: Option<Noise>,
}

impl Default for Options {
    fn default() -> Self {
        Options { frames: None, start: 0, step: 1, noise: None }
    }
}

/// Pictures or tensors, by what the file holds.
pub enum Source {
    Pictures(Clip),
    Tensors(TensorClip),
}

impl Source {
    /// Like [`open`], but takes `.npy` files too.
    pub fn open(spec: &str, opts: &Options) -> Result<Source> {
        if extension(Path::new(spec)) == "npy" && spec != "-" {
            return Ok(Source::Tensors(TensorClip::open(Path::new(spec), opts)?));
        }
        open(spec, opts).map(Source::Pictures)
    }

    /// The name the user gave.
    pub fn name(&self) -> &str {
        match self {
            Source::Pictures(c) => &c.name,
            Source::Tensors(t) => &t.name,
        }
    }

    /// Frames the iterator will give, where the file says so.
    pub fn frames(&self) -> Option<usize> {
        match self {
            Source::Pictures(c) => c.frames,
            Source::Tensors(t) => Some(t.frames),
        }
    }
}

/// What one kind of file has to offer; frames come in order.
pub(crate) trait Decode {
    /// `None` at the end of the clip.
    fn next(&mut self) -> Result<Option<Frame>>;
    /// Passes over one frame; false at the end of the clip.
    fn skip(&mut self) -> Result<bool> {
        Ok(self.next()?.is_some())
    }
}

/// An opened file before `start`, `step` and `frames` are applied.
pub(crate) struct Opened {
    pub decode: Box<dyn Decode>,
    pub fps: Option<f64>,
    pub frames: Option<usize>,
}

/// A clip: an iterator of `Result<Frame>`, all of one size.
pub struct Clip {
    /// The name the user gave.
    pub name: String,
    pub w: usize,
    pub h: usize,
    /// 1 (grey) or 3 (RGB).
    pub c: usize,
    /// Frames per second of the file (of every frame, whatever the step), where known.
    pub fps: Option<f64>,
    /// Frames this iterator will give, where the file says so. A container's claim: the clip may end earlier.
    pub frames: Option<usize>,
    decode: Box<dyn Decode>,
    opts: Options,
    first: Option<Frame>,
    /// Place in the file of the next frame that `decode` gives.
    place: usize,
    given: usize,
    done: bool,
}

/// Opens a clip of pictures; see the table at the top of this module for `spec`.
///
/// ```no_run
/// use quiescent_tools::clip;
/// let clip = clip::open("door.mp4", &clip::Options { frames: Some(100), ..Default::default() })?;
/// let fit = clip::Fit { width: 416, height: 416, mode: clip::Mode::Stretch, channels: 3 };
/// let mut resize = fit.plan(clip.w, clip.h)?;
/// for frame in clip {
///     let input = resize.apply(&frame?)?;
///     assert_eq!(input.data.len(), 416 * 416 * 3);
/// }
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn open(spec: &str, opts: &Options) -> Result<Clip> {
    let opened = open_decoder(spec)?;
    Clip::new(spec, opened, opts)
}

fn open_decoder(spec: &str) -> Result<Opened> {
    if spec == "-" {
        return y4m::open_stdin();
    }
    let path = Path::new(spec);
    if path.is_dir() {
        return images::open_folder(path);
    }
    if !path.exists() {
        if spec.contains(['*', '?', '[']) {
            return images::open_pattern(spec);
        }
        bail!("{spec}: no such clip (a video or GIF file, a folder or pattern of PNG/JPEG files, .npy, or - for y4m on standard input)");
    }
    match extension(path).as_str() {
        "y4m" => y4m::open_file(path),
        "gif" => images::open_gif(path),
        "png" | "jpg" | "jpeg" => images::open_list(spec, vec![path.to_path_buf()]),
        "npy" => bail!("{spec} holds tensors; pictures are needed here (a video, GIF or PNG/JPEG files)"),
        _ => ffmpeg::open(path),
    }
}

/// In lower case, empty where there is none.
fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Frames left of `total` after `start`, `step` and the limit.
fn remaining(total: usize, opts: &Options) -> usize {
    let n = total.saturating_sub(opts.start).div_ceil(opts.step.max(1));
    opts.frames.map_or(n, |limit| n.min(limit))
}

fn check_options(name: &str, opts: &Options) -> Result<()> {
    if opts.step == 0 {
        bail!("{name}: a frame step of 0 never advances; use 1 for every frame");
    }
    if opts.frames == Some(0) {
        bail!("{name}: a limit of 0 frames leaves nothing to do");
    }
    Ok(())
}

impl Clip {
    pub(crate) fn new(name: &str, opened: Opened, opts: &Options) -> Result<Clip> {
        check_options(name, opts)?;
        if let Some(noise) = &opts.noise {
            noise.check()?;
        }
        let Opened { mut decode, fps, frames } = opened;
        for i in 0..opts.start {
            if !decode.skip().with_context(|| format!("{name}, frame {i}"))? {
                bail!("{name} has only {i} frames; the start asked for is frame {}", opts.start);
            }
        }
        let first = decode.next().with_context(|| format!("{name}, frame {}", opts.start))?;
        let Some(first) = first else {
            match opts.start {
                0 => bail!("{name} has no frames"),
                n => bail!("{name} has only {n} frames; the start asked for is frame {n}"),
            }
        };
        check_size(&first).with_context(|| name.to_string())?;
        Ok(Clip {
            name: name.to_string(),
            w: first.w,
            h: first.h,
            c: first.c,
            fps,
            frames: frames.map(|n| remaining(n, opts).max(1)),
            decode,
            opts: opts.clone(),
            first: Some(first),
            place: opts.start + 1,
            given: 0,
            done: false,
        })
    }

    fn advance(&mut self) -> Result<Option<Frame>> {
        if self.opts.frames.is_some_and(|limit| self.given >= limit) {
            return Ok(None);
        }
        let mut frame = match self.first.take() {
            Some(frame) => frame,
            None => {
                for _ in 1..self.opts.step {
                    if !self.decode.skip().with_context(|| format!("{}, frame {}", self.name, self.place))? {
                        return Ok(None);
                    }
                    self.place += 1;
                }
                let next = self.decode.next().with_context(|| format!("{}, frame {}", self.name, self.place))?;
                let Some(frame) = next else { return Ok(None) };
                self.place += 1;
                frame
            }
        };
        if (frame.w, frame.h, frame.c) != (self.w, self.h, self.c) {
            bail!(
                "{}, frame {}: {}x{} with {} channels, but the clip began with {}x{} and {}; all frames of a clip must agree",
                self.name,
                self.place - 1,
                frame.w,
                frame.h,
                frame.c,
                self.w,
                self.h,
                self.c
            );
        }
        if let Some(noise) = &self.opts.noise {
            noise.add(&mut frame.data, (self.place - 1) as u64);
        }
        self.given += 1;
        Ok(Some(frame))
    }
}

fn check_size(frame: &Frame) -> Result<()> {
    if frame.w == 0 || frame.h == 0 || frame.w > MAX_SIDE || frame.h > MAX_SIDE {
        bail!("frames of {}x{} pixels; sides from 1 to {MAX_SIDE} are supported", frame.w, frame.h);
    }
    Ok(())
}

impl Iterator for Clip {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        // After the end or an error the decoder is not asked again.
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}
