//! From a clip to the frames a model takes.

use anyhow::{Context, Result, bail, ensure};

use crate::artifact::{InputKind, InputSpec, Norm};
use crate::clip::fit::Resize;
use crate::clip::{self, FitMap, Frame, Source, TensorData};

/// One frame in the layout of the model's input, `[h, w, c]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Pixels(Vec<u8>),
    Values(Vec<f32>),
}

/// One frame of a clip, as it was and as the model takes it.
pub struct Fed {
    /// `None` for tensors.
    pub picture: Option<Frame>,
    pub input: Input,
}

/// A clip fitted to a model's input.
pub struct Feed {
    source: Source,
    spec: InputSpec,
    resize: Option<Resize>,
    /// Frames given so far.
    given: usize,
}

impl Feed {
    pub fn open(spec: &InputSpec, clip: &str, options: &clip::Options) -> Result<Self> {
        let source = Source::open(clip, options)?;
        let resize = match &source {
            Source::Pictures(c) => {
                ensure!(
                    matches!(spec.shape[2], 1 | 3),
                    "{clip} holds pictures, but the model takes {} channels; give the frames as .npy",
                    spec.shape[2]
                );
                Some(spec.fit().plan(c.w, c.h).with_context(|| clip.to_string())?)
            }
            Source::Tensors(_) => None,
        };
        Ok(Self { source, spec: spec.clone(), resize, given: 0 })
    }

    /// Frames the file claims to hold.
    pub fn frames(&self) -> Option<usize> {
        self.source.frames()
    }

    pub fn fps(&self) -> Option<f64> {
        match &self.source {
            Source::Pictures(c) => c.fps,
            Source::Tensors(_) => None,
        }
    }

    /// From model input pixels to frame pixels.
    pub fn fit_map(&self) -> Option<FitMap> {
        self.resize.as_ref().map(Resize::map)
    }
}

impl Iterator for Feed {
    type Item = Result<Fed>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Pictures(clip) => {
                let frame = clip.next()?;
                let (resize, spec) = (self.resize.as_mut()?, &self.spec);
                Some(frame.and_then(|picture| {
                    let pixels = resize.apply(&picture)?.data;
                    let input = match (&spec.kind, &spec.norm) {
                        (InputKind::Pixels, _) => Input::Pixels(pixels),
                        (InputKind::Values, norm) => {
                            let mut x = reals(&pixels, norm.as_ref(), spec.shape[2]);
                            if norm.as_ref().is_some_and(|n| n.bgr) {
                                x.chunks_exact_mut(spec.shape[2]).for_each(|p| p.reverse());
                            }
                            Input::Values(x)
                        }
                    };
                    Ok(Fed { picture: Some(picture), input })
                }))
            }
            Source::Tensors(clip) => {
                let frame = clip.next()?;
                let (spec, index) = (&self.spec, self.given);
                self.given += 1;
                let input = frame.and_then(|t| {
                    let input = match t.data {
                        TensorData::U8(v) => Input::Pixels(to_map(spec, &v)?),
                        TensorData::I8(v) => {
                            let codes: Vec<u8> = v.iter().map(|v| (*v as i16 + 128) as u8).collect();
                            Input::Pixels(to_map(spec, &codes)?)
                        }
                        TensorData::F32(v) => {
                            if let Some((at, v)) = v.iter().enumerate().find(|(_, v)| !v.is_finite()) {
                                bail!("frame {index} has {v} as its element {at}; write finite values");
                            }
                            Input::Values(to_map(spec, &v)?)
                        }
                    };
                    Ok(match (input, spec.kind) {
                        (Input::Pixels(v), InputKind::Values) => Input::Values(v.iter().map(|v| *v as f32).collect()),
                        (input, _) => input,
                    })
                });
                Some(input.with_context(|| clip.name.clone()).map(|input| Fed { picture: None, input }))
            }
        }
    }
}

/// What the model computes with: `(pixel * scale - mean) / std`.
pub fn reals(pixels: &[u8], norm: Option<&Norm>, c: usize) -> Vec<f32> {
    let Some(norm) = norm else { return pixels.iter().map(|p| *p as f32).collect() };
    let at = |v: &[f32], k: usize| v.get(k).or(v.first()).copied().unwrap_or(0.0);
    pixels
        .iter()
        .enumerate()
        .map(|(i, p)| {
            // Frames are RGB; statistics are in the model's order.
            let k = if norm.bgr { c - 1 - i % c } else { i % c };
            (*p as f32 * norm.scale - at(&norm.mean, k)) / at(&norm.std, k)
        })
        .collect()
}

/// An ONNX-ordered tensor as a map.
fn to_map<T: Copy>(spec: &InputSpec, v: &[T]) -> Result<Vec<T>> {
    let [h, w, c] = spec.shape;
    ensure!(
        v.len() == h * w * c,
        "a frame has {} elements, the input \"{}\" {:?} takes {}",
        v.len(),
        spec.name,
        spec.onnx_shape,
        h * w * c
    );
    let mut out: Vec<T> = places(spec).filter_map(|at| v.get(at).copied()).collect();
    ensure!(out.len() == v.len(), "the input \"{}\" does not lie in its tensor {:?}", spec.name, spec.onnx_shape);
    if spec.kind == InputKind::Pixels && spec.norm.as_ref().is_some_and(|n| n.bgr) {
        // Tensors have the model's order of channels, maps that of pictures.
        out.chunks_exact_mut(c).for_each(|p| p.reverse());
    }
    Ok(out)
}

/// A map `[h, w, c]` as the ONNX-ordered tensor.
pub fn onnx_order(spec: &InputSpec, map: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; map.len()];
    for (v, at) in map.iter().zip(places(spec)) {
        if let Some(o) = out.get_mut(at) {
            *o = *v;
        }
    }
    out
}

/// Of each element of the map `[h, w, c]`, its place in the ONNX tensor.
fn places(spec: &InputSpec) -> impl Iterator<Item = usize> + use<> {
    let [h, w, c] = spec.shape;
    let strides: Vec<usize> = (0..spec.onnx_shape.len()).map(|a| spec.onnx_shape[a + 1..].iter().product()).collect();
    let stride = |axis: Option<usize>| axis.and_then(|a| strides.get(a)).copied().unwrap_or(0);
    let (sh, sw, sc) = (stride(spec.axes.0), stride(spec.axes.1), stride(spec.axes.2));
    (0..h * w * c).map(move |i| i / (w * c) * sh + i / c % w * sw + i % c * sc)
}
