//! The records of version 1. Sizes in bytes unless a name says otherwise; `data` offsets are from the section's start.

mod conv;
mod elementwise;
mod file;
mod gate;
mod moves;
mod step;
mod tensor;

pub use conv::*;
pub use elementwise::*;
pub use file::*;
pub use gate::*;
pub use moves::*;
pub use step::*;
pub use tensor::*;
