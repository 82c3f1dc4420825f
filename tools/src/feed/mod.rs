//! From a clip to the frames a model takes.

use anyhow::{Context, Result, bail, ensure};

use crate::artifact::{InputKind, InputSpec, Norm};
use crate::clip::fit::Resize;
use crate::clip::{self, FitMap, Frame, Source, TensorData, TensorFrame};

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
                let input = frame.and_then(|t| tensor(spec, index, t));
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

/// A frame of an array: pixels or codes as they are, reals as the model takes them.
fn tensor(spec: &InputSpec, index: usize, frame: TensorFrame) -> Result<Input> {
    fits(spec, &frame.shape)?;
    Ok(match (frame.data, spec.kind) {
        (TensorData::U8(v), InputKind::Pixels) => Input::Pixels(to_map(spec, &v)?),
        (TensorData::I8(v), InputKind::Pixels) => {
            ensure!(spec.norm.is_none(), "int8 frames for a model of pictures; give uint8 pixels, or float32 as the model takes them");
            let codes: Vec<u8> = v.iter().map(|v| (*v as i16 + 128) as u8).collect();
            Input::Pixels(to_map(spec, &codes)?)
        }
        (TensorData::U8(v), InputKind::Values) => Input::Values(to_map(spec, &v)?.into_iter().map(f32::from).collect()),
        (TensorData::I8(v), InputKind::Values) => Input::Values(to_map(spec, &v)?.into_iter().map(f32::from).collect()),
        (TensorData::F32(v), _) => {
            if let Some((at, v)) = v.iter().enumerate().find(|(_, v)| !v.is_finite()) {
                bail!("frame {index} has {v} as its element {at}; write finite values");
            }
            Input::Values(to_map(spec, &v)?)
        }
    })
}

/// Whether a frame of this shape is the input: its axes in their order, where axes of one element do not count, or all in one.
fn fits(spec: &InputSpec, shape: &[usize]) -> Result<()> {
    let axes = |s: &[usize]| s.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    let (found, wanted) = (axes(shape), axes(&spec.onnx_shape));
    let (mut f, mut w) = (found.clone(), wanted.clone());
    if found == wanted || found == [wanted.iter().product::<usize>()] {
        return Ok(());
    }
    f.sort_unstable();
    w.sort_unstable();
    let way_out = if f == w { "; transpose the array to this order of axes" } else { "" };
    bail!("frames of shape {shape:?}, the input \"{}\" takes {:?}{way_out}", spec.name, spec.onnx_shape)
}

/// An ONNX-ordered tensor as a map.
fn to_map<T: Copy>(spec: &InputSpec, v: &[T]) -> Result<Vec<T>> {
    let c = spec.shape[2];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::FitSpec;
    use crate::clip::Mode;

    /// An ONNX input `[1, 2, 2, 3]`, channels first.
    fn spec(kind: InputKind, norm: Option<Norm>) -> InputSpec {
        let axes = (Some(2), Some(3), Some(1));
        InputSpec { name: "x".into(), onnx_shape: vec![1, 2, 2, 3], axes, shape: [2, 3, 2], kind, norm, fit: FitSpec::new(Mode::Stretch) }
    }

    fn fed(spec: &InputSpec, shape: &[usize], data: TensorData) -> Result<Input> {
        tensor(spec, 0, TensorFrame { shape: shape.to_vec(), data })
    }

    #[test]
    fn frames_of_another_order_of_axes_are_refused() {
        let spec = spec(InputKind::Values, None);
        let data = || TensorData::F32((0..12).map(|v| v as f32).collect());
        for shape in [&[2, 2, 3][..], &[1, 2, 2, 3], &[12], &[12, 1]] {
            let map = [0.0, 6.0, 1.0, 7.0, 2.0, 8.0, 3.0, 9.0, 4.0, 10.0, 5.0, 11.0];
            assert_eq!(fed(&spec, shape, data()).unwrap(), Input::Values(map.to_vec()));
        }
        let said = fed(&spec, &[2, 3, 2], data()).unwrap_err().to_string();
        assert!(said.contains("[1, 2, 2, 3]") && said.contains("transpose"), "{said}");
        let said = fed(&spec, &[4, 3], data()).unwrap_err().to_string();
        assert!(said.contains("[4, 3]") && !said.contains("transpose"), "{said}");
    }

    #[test]
    fn int8_frames_keep_their_sign() {
        let data = || TensorData::I8(vec![-3; 12]);
        assert_eq!(fed(&spec(InputKind::Values, None), &[12], data()).unwrap(), Input::Values(vec![-3.0; 12]));
        assert_eq!(fed(&spec(InputKind::Pixels, None), &[12], data()).unwrap(), Input::Pixels(vec![125; 12]));
        let norm = Norm { scale: 1.0, mean: vec![0.0], std: vec![1.0], bgr: false };
        assert!(fed(&spec(InputKind::Pixels, Some(norm)), &[12], data()).is_err());
    }
}
