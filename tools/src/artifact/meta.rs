//! What an artifact says about itself, in JSON, for people and tools; the engine never reads it.

use serde::{Deserialize, Serialize};

use crate::clip::{Fit, Mode, fit::Anchor};
use crate::lower::{Norm, StepInfo};

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
            Some(pad) => {
                Mode::Letterbox { pad, anchor: if self.center { Anchor::Center } else { Anchor::TopLeft } }
            }
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
