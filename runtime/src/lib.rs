//! Executes Quiescent artifacts: quantised networks over video, recomputing only what changed.
//!
//! An artifact (one file, made by the `quiescent` tool) is executed in place from a byte slice. The engine needs
//! one more thing, a block of memory whose size the artifact states, and never allocates:
//!
//! ```no_run
//! use quiescent::{Engine, Frame, format, kernels};
//!
//! let file = std::fs::read("model.qsc")?;
//! let bytes = format::AlignedBytes::from(&file[..]);
//! let mut arena = vec![0u8; format::arena_len(&bytes)?];
//! let mut engine = Engine::load(&bytes, &mut arena, kernels::best())?;
//! # let frames: Vec<Vec<u8>> = vec![];
//! for frame in frames {
//!     let outputs = engine.step(Frame::Pixels(&frame))?; // [H, W, C] u8
//!     let scores = outputs.get(0).unwrap();
//!     println!("{} {:?} first value {}", scores.name(), scores.shape(), scores.at(0));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading order: [`format`] (what an artifact holds), [`engine`] (load, step), [`mask`] and [`gate`] (what changed),
//! [`kernels`] (arithmetic; `scalar` is the specification).
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "std")]
extern crate std;

#[cfg(not(target_endian = "little"))]
compile_error!("artifacts are little-endian and executed in place");

mod arena;
pub mod engine;
pub mod format;
pub mod gate;
pub mod kernels;
pub mod mask;
#[cfg(feature = "std")]
pub mod threads;

pub use engine::{Engine, Frame, LoadError, Mode, Output, Outputs, Stats, StepError};
