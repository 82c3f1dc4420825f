//! What an artifact says about itself, in JSON, for people and tools; the engine never reads it.

use serde::{Deserialize, Serialize};

use crate::clip::{Fit, Mode, fit::Anchor};
use crate::task::{Color, InputHints};

/// The cold section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the tool that wrote it.
    pub tool: String,
    /// File name of the ONNX model.
    pub model: String,
    pub input: InputSpec,
    /// The task file, word for word.
    pub task: Option<String>,
    /// One entry a step.
    pub steps: Vec<StepInfo>,
    /// One name a tensor.
    pub tensors: Vec<String>,
    /// The error table of the conversion.
    pub layers: Vec<serde_json::Value>,
    pub notes: Vec<String>,
    /// Clips and options it was made with.
    pub recipe: serde_json::Value,
    /// What the search for gates measured.
    pub search: serde_json::Value,
    /// CRC-32 of all output bytes for made-up frames, by the scalar kernels: the self-test of a device.
    pub golden: Vec<u32>,
}

/// The model's input and how a frame becomes one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InputSpec {
    pub name: String,
    pub onnx_shape: Vec<usize>,
    /// ONNX axes of `(h, w, c)`.
    pub axes: (Option<usize>, Option<usize>, Option<usize>),
    /// `[h, w, c]` of a frame.
    pub shape: [usize; 3],
    pub kind: InputKind,
    pub norm: Option<Norm>,
    pub fit: FitSpec,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// u8 frames.
    #[default]
    Pixels,
    /// f32 frames.
    Values,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitSpec {
    /// `None`: stretch. Else letterbox with this padding.
    pub letterbox: Option<u8>,
    pub center: bool,
}

impl FitSpec {
    pub fn new(mode: Mode) -> Self {
        match mode {
            Mode::Stretch => Self::default(),
            Mode::Letterbox { pad, anchor } => Self { letterbox: Some(pad), center: anchor == Anchor::Center },
        }
    }

    pub fn mode(self) -> Mode {
        match self.letterbox {
            None => Mode::Stretch,
            Some(pad) => Mode::Letterbox { pad, anchor: if self.center { Anchor::Center } else { Anchor::TopLeft } },
        }
    }
}

impl InputSpec {
    /// How pictures are fitted.
    pub fn fit(&self) -> Fit {
        let [height, width, channels] = self.shape;
        Fit { width, height, mode: self.fit.mode(), channels }
    }
}

/// Preprocessing of a frame: `(pixel * scale - mean) / std` per channel, in the model's channel order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Norm {
    pub scale: f32,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    /// The model takes blue first; frames are RGB.
    pub bgr: bool,
}

impl Norm {
    /// Pixels as they are.
    pub fn plain() -> Self {
        Self { scale: 1.0, mean: vec![0.0], std: vec![1.0], bgr: false }
    }

    /// What a task file says of the input; `None` if it says nothing.
    pub fn from_hints(hints: &InputHints) -> Option<Self> {
        let plain = Self::plain();
        let said = hints.scale.is_some() || hints.mean.is_some() || hints.std.is_some() || hints.color.is_some();
        said.then(|| Self {
            scale: hints.scale.unwrap_or(plain.scale),
            mean: hints.mean.clone().unwrap_or(plain.mean),
            std: hints.std.clone().unwrap_or(plain.std),
            bgr: hints.color == Some(Color::Bgr),
        })
    }
}

/// What a step of the artifact came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepInfo {
    /// Name of the ONNX node.
    pub name: String,
    pub op: String,
    /// `[h, w, c]` of the output.
    pub shape: [usize; 3],
    /// Multiply-accumulates of the whole map.
    pub macs: u64,
    /// Bits of the weights, 0 without.
    pub bits: u32,
    /// Bytes of weights and tables.
    pub bytes: usize,
}
