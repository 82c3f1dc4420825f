//! The task file.
//!
//! ```toml
//! kind = "detections"      # or "top1", "mask", "heatmap", "relative-error"
//! head = "yolox"           # how boxes are coded: "yolox", "fastestdet", "ssd", "blazeface", "nanodet"
//! classes = 80
//! threshold = 0.3          # of the score
//! nms = 0.45               # overlap above which the weaker box goes
//! keep = ["person"]        # classes that count, by label or number; all when left out
//! strides = [8, 16, 32]
//! labels = ["person"]
//!
//! [input]                  # what the model expects of a picture; flags of the command line win
//! color = "bgr"
//! resize = "letterbox"
//! pad = 114
//! ```
//!
//! The model sees `(pixel * scale - mean) / std`; where its input is quantised, that is the real number its codes stand
//! for. Unknown keys, keys of another kind and values out of range are errors
//! that name the key.

use crate::clip::{Anchor, Mode};
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::path::Path;

/// How a model's outputs read and what its input expects.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The file it came from, for messages.
    pub name: String,
    pub kind: Kind,
    /// Names by class, may be shorter than the number of classes.
    pub labels: Vec<String>,
    pub input: InputHints,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Detections(Detections),
    Top1,
    Mask(Mask),
    Heatmap(Heatmap),
    RelativeError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// Rows `[dx, dy, log w, log h, objectness, classes..]` per cell, all strides one after the other.
    Yolox,
    /// One map: objectness, `dx, dy` under tanh, `w, h` under sigmoid, classes.
    FastestDet,
    /// Corners in 0..1 and class scores whose first column is the background, in two outputs.
    Ssd,
    /// Boxes around fixed cell centres in input pixels and one score logit, in two outputs.
    BlazeFace,
    /// Class scores, then four distributions over distances to the sides.
    NanoDet,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Detections {
    pub head: HeadKind,
    pub classes: usize,
    pub keep: Option<Vec<usize>>,
    pub threshold: f32,
    /// IoU above which the weaker of two boxes of a class goes.
    pub nms: f32,
    /// Input pixels per cell, one per level.
    pub strides: Vec<usize>,
    /// Scores still need a sigmoid.
    pub logits: bool,
    /// NanoDet: distances are distributions over `0..=reg_max` strides.
    pub reg_max: usize,
    /// NanoDet: where in its cell a prior lies, in strides (0 for NanoDet-Plus, 0.5 for NanoDet).
    pub center: f32,
    /// Names of the two outputs of `ssd` and `blazeface`, where their shapes do not tell.
    pub scores: Option<String>,
    pub boxes: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Channels of the output: 1 for a probability, else a score per class.
    pub classes: usize,
    /// Of a one-channel output.
    pub threshold: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    Iou,
    Peaks,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// Channels of the output.
    pub classes: usize,
    pub threshold: f32,
    pub metric: Metric,
    /// Peaks: half the side of the box around each, in input pixels; two peaks agree up to about 0.6 radii apart on one axis.
    pub radius: f32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    #[default]
    Rgb,
    Bgr,
    Grey,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeHint {
    #[default]
    Stretch,
    Letterbox,
}

/// What the model expects of a picture: `(pixel * scale - mean) / std`, pixels 0..=255.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputHints {
    pub color: Option<Color>,
    pub scale: Option<f32>,
    /// One value, or one per channel in the model's order.
    pub mean: Option<Vec<f32>>,
    pub std: Option<Vec<f32>>,
    pub resize: Option<ResizeHint>,
    /// Of a letterbox, 0..=255.
    pub pad: Option<u8>,
    /// Of a letterbox: "top-left" or "center".
    pub anchor: Option<AnchorHint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnchorHint {
    TopLeft,
    Center,
}

impl InputHints {
    /// Stretch where nothing is said; a letterbox is padded with 114 at the top left unless told otherwise.
    pub fn mode(&self) -> Mode {
        match self.resize.unwrap_or_default() {
            ResizeHint::Stretch => Mode::Stretch,
            ResizeHint::Letterbox => Mode::Letterbox {
                pad: self.pad.unwrap_or(114),
                anchor: match self.anchor {
                    Some(AnchorHint::Center) => Anchor::Center,
                    _ => Anchor::TopLeft,
                },
            },
        }
    }

    fn check(&self) -> Result<()> {
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            let Some(values) = values else { continue };
            if values.len() != 1 && values.len() != 3 {
                bail!("[input] {key} has {} values; 1 or 3 are needed", values.len());
            }
            if values.iter().any(|v| !v.is_finite() || (key == "std" && *v <= 0.0)) {
                bail!("[input] {key} = {values:?}: finite values are needed, above 0 for std");
            }
        }
        if self.scale.is_some_and(|s| !s.is_finite() || s <= 0.0) {
            bail!("[input] scale has to be above 0");
        }
        if self.resize != Some(ResizeHint::Letterbox) && (self.pad.is_some() || self.anchor.is_some()) {
            bail!("[input] pad and anchor belong to resize = \"letterbox\"");
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    Detections,
    Top1,
    Mask,
    Heatmap,
    RelativeError,
}

/// A class by its number or its label.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Class {
    Number(usize),
    Label(String),
}

impl Class {
    fn number(&self, labels: &[String], classes: usize) -> Result<usize> {
        match self {
            Class::Number(k) if *k < classes => Ok(*k),
            Class::Number(k) => bail!("keep names class {k}, but classes run from 0 to {}", classes - 1),
            Class::Label(name) => labels
                .iter()
                .take(classes)
                .position(|label| label == name)
                .with_context(|| format!("keep names class {name:?}, which is not among the labels")),
        }
    }
}

/// Every key of every kind; [`Task::parse`] says which belong together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kind: KindName,
    head: Option<HeadKind>,
    classes: Option<usize>,
    keep: Option<Vec<Class>>,
    threshold: Option<f32>,
    nms: Option<f32>,
    strides: Option<Vec<usize>>,
    logits: Option<bool>,
    reg_max: Option<usize>,
    center: Option<f32>,
    scores: Option<String>,
    boxes: Option<String>,
    metric: Option<Metric>,
    radius: Option<f32>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    input: InputHints,
}

impl Default for Task {
    /// Compares all outputs by their relative error: what holds for any model.
    fn default() -> Task {
        let input = InputHints::default();
        Task { name: "relative-error".into(), kind: Kind::RelativeError, labels: Vec::new(), input }
    }
}

impl Task {
    pub fn load(path: &Path) -> Result<Task> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the task file {name}"))?;
        Task::parse(&name, &text)
    }

    /// `name` stands for the file in messages.
    pub fn parse(name: &str, text: &str) -> Result<Task> {
        let raw: Raw = toml::from_str(text).map_err(|e| anyhow!("{name}: {}", e.to_string().trim()))?;
        raw.into_task(name).with_context(|| name.to_string())
    }

    /// Lets only these classes count, each a label or a number.
    pub fn keep(&mut self, classes: &[&str]) -> Result<()> {
        let Kind::Detections(d) = &mut self.kind else { bail!("{}: only detections have classes to keep", self.name) };
        let class = |name: &&str| name.parse().map_or_else(|_| Class::Label(name.to_string()), Class::Number);
        let keep: Result<_> = classes.iter().map(|name| class(name).number(&self.labels, d.classes)).collect();
        d.keep = Some(keep?);
        Ok(())
    }

    /// The class's label, or its number.
    pub fn label(&self, class: usize) -> String {
        self.labels.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

impl Raw {
    fn into_task(self, name: &str) -> Result<Task> {
        self.refuse_foreign_keys()?;
        self.input.check()?;
        if let Some(t) = self.threshold {
            in_unit("threshold", t)?;
        }
        let kind = match self.kind {
            KindName::Detections => Kind::Detections(self.detections()?),
            KindName::Top1 => Kind::Top1,
            KindName::RelativeError => Kind::RelativeError,
            KindName::Mask => Kind::Mask(Mask { classes: self.class_count()?, threshold: self.threshold.unwrap_or(0.5) }),
            KindName::Heatmap => Kind::Heatmap(Heatmap {
                classes: self.class_count()?,
                threshold: self.threshold.unwrap_or(0.5),
                metric: self.metric.unwrap_or(Metric::Iou),
                radius: match self.radius.unwrap_or(8.0) {
                    r if r > 0.0 && r.is_finite() => r,
                    r => bail!("radius = {r}: a length above 0, in input pixels, is needed"),
                },
            }),
        };
        Ok(Task { name: name.to_string(), kind, labels: self.labels, input: self.input })
    }

    fn class_count(&self) -> Result<usize> {
        match self.classes.unwrap_or(1) {
            n @ 1..=65535 => Ok(n),
            n => bail!("classes = {n}: 1 to 65535 are supported"),
        }
    }

    fn refuse_foreign_keys(&self) -> Result<()> {
        use HeadKind::*;
        use KindName::*;
        let detections = self.kind == Detections;
        let grid = matches!(self.head, Some(Yolox | NanoDet | BlazeFace));
        let pair = matches!(self.head, Some(Ssd | BlazeFace));
        let rules = [
            ("head", self.head.is_some(), detections),
            ("classes", self.classes.is_some(), detections || matches!(self.kind, Mask | Heatmap)),
            ("keep", self.keep.is_some(), detections),
            ("threshold", self.threshold.is_some(), detections || matches!(self.kind, Mask | Heatmap)),
            ("nms", self.nms.is_some(), detections),
            ("strides", self.strides.is_some(), grid),
            ("logits", self.logits.is_some(), detections && self.head != Some(BlazeFace)),
            ("reg_max", self.reg_max.is_some(), self.head == Some(NanoDet)),
            ("center", self.center.is_some(), self.head == Some(NanoDet)),
            ("scores", self.scores.is_some(), pair),
            ("boxes", self.boxes.is_some(), pair),
            ("metric", self.metric.is_some(), self.kind == Heatmap),
            ("radius", self.radius.is_some(), self.kind == Heatmap && self.metric == Some(Metric::Peaks)),
        ];
        for (key, present, allowed) in rules {
            if present && !allowed {
                bail!("{key} means nothing for this kind of task; remove it, or check kind, head and metric");
            }
        }
        Ok(())
    }

    fn detections(&self) -> Result<Detections> {
        let Some(head) = self.head else {
            bail!("kind = \"detections\" needs head = \"yolox\", \"fastestdet\", \"ssd\", \"blazeface\" or \"nanodet\"");
        };
        let classes = match head {
            HeadKind::BlazeFace => 1,
            _ if self.classes.is_none() => bail!("detections need classes = the number of classes"),
            _ => self.class_count()?,
        };
        let default_strides: &[usize] = match head {
            HeadKind::Yolox => &[8, 16, 32],
            HeadKind::NanoDet => &[8, 16, 32, 64],
            HeadKind::BlazeFace => &[4],
            HeadKind::FastestDet | HeadKind::Ssd => &[],
        };
        let strides = self.strides.clone().unwrap_or(default_strides.to_vec());
        let needs_strides = !default_strides.is_empty();
        if strides.contains(&0) || (needs_strides && strides.is_empty()) {
            bail!("strides = {strides:?}: input pixels per cell, 1 or more for each level");
        }
        let number = |class: &Class| class.number(&self.labels, classes);
        let keep = self.keep.as_ref().map(|all| all.iter().map(number).collect::<Result<_>>()).transpose()?;
        let reg_max = self.reg_max.unwrap_or(7);
        if !(1..=64).contains(&reg_max) {
            bail!("reg_max = {reg_max}: 1 to 64 are supported");
        }
        Ok(Detections {
            head,
            classes,
            keep,
            threshold: self.threshold.unwrap_or(0.3),
            nms: in_unit("nms", self.nms.unwrap_or(0.45))?,
            strides,
            logits: self.logits.unwrap_or(false),
            reg_max,
            center: in_unit("center", self.center.unwrap_or(0.0))?,
            scores: self.scores.clone(),
            boxes: self.boxes.clone(),
        })
    }
}

fn in_unit(key: &str, value: f32) -> Result<f32> {
    if !(0.0..=1.0).contains(&value) {
        bail!("{key} = {value} is outside 0..1");
    }
    Ok(value)
}
