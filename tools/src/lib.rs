//! From an ONNX model and a clip to an artifact, and everything that measures one.
//!
//! `import -> ir -> passes -> calibrate -> quantise -> lower -> plan -> emit`; see ARCHITECTURE.md.
//!
//! Without the feature `import` only what a device needs is left: artifacts, clips, tasks.
#![allow(missing_docs)]

pub mod artifact;
#[cfg(feature = "import")]
pub mod calibrate;
pub mod clip;
pub mod clock;
#[cfg(feature = "import")]
pub mod convert;
#[cfg(feature = "import")]
pub mod exec;
pub mod feed;
#[cfg(feature = "import")]
pub mod gates;
#[cfg(feature = "import")]
pub mod import;
#[cfg(feature = "import")]
pub mod ir;
#[cfg(feature = "import")]
pub mod lower;
pub mod machine;
#[cfg(feature = "import")]
pub mod oracle;
pub mod overlay;
#[cfg(feature = "import")]
pub mod passes;
pub mod task;
pub mod tune;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
