//! Clips: where frames come from.
mod frame;
pub use frame::Frame;
