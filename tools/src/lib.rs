//! From an ONNX model and a clip to an artifact, and everything that measures one.
//!
//! `import -> ir -> passes -> calibrate -> quantise -> lower -> plan -> emit`; see ARCHITECTURE.md.
#![allow(missing_docs)]

pub mod artifact;
pub mod calibrate;
pub mod clip;
pub mod convert;
pub mod exec;
pub mod feed;
pub mod gates;
pub mod import;
pub mod ir;
pub mod lower;
pub mod oracle;
pub mod overlay;
pub mod passes;
pub mod task;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
