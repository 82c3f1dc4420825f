//! Writes artifacts.

/// Bytes aligned as the engine needs them.
pub struct AlignedBytes(std::vec::Vec<[u64; 8]>, usize);
/// Puts sections together.
pub struct Builder;
