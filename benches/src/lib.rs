//! Models, data and measures shared by the programs that compare Quiescent with the float model and with its peers.
//!
//! `cases` names the models and what each is calibrated and judged on, `data` reads the frames, `mel` makes the input of
//! the anomaly detector from sound, `measure` holds the error of a model over many frames, `serve` answers a script that times.
#![allow(missing_docs)]

pub mod cases;
pub mod data;
pub mod measure;
pub mod mel;
pub mod serve;

use std::path::PathBuf;

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Models, clips and labelled sets: `QUIESCENT_ASSETS`, else `shared/assets` beside the repository.
pub fn assets() -> PathBuf {
    std::env::var_os("QUIESCENT_ASSETS").map_or_else(|| root().join("../shared/assets"), PathBuf::from)
}
