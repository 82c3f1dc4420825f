//! The artifact: one little-endian file, executed in place.
//!
//! ```text
//! Header | tensors | segments | steps | gates | outputs | points | data | cold
//! ```
//!
//! Tables of fixed-size records come first; `data` holds parameters, weights and tables, addressed by byte offset
//! from its start and aligned to 64; `cold` (JSON: names, reports, the conversion recipe, golden vectors) is never read
//! by the engine. [`check::check`] proves every offset, length, extent and order before the first step.
//!
//! All records are plain integers and floats with C layout; a view is a cast. `NONE` marks an absent index or offset.

mod baked;
mod check;
mod crc;
mod error;
mod layout;
mod records;
#[cfg(feature = "std")]
mod writer;

pub use baked::{Baked, CHECKED_BY};
pub(crate) use check::apart_beyond;
pub use check::{Proven, check, header};
pub use crc::seal;
pub use error::{Fault, FormatError, Section};
pub use layout::{Layout, layout, staging_len};
pub use records::*;
#[cfg(feature = "std")]
pub use writer::{AlignedBytes, Builder, Data};

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// First bytes of every artifact.
pub const MAGIC: u32 = u32::from_le_bytes(*b"QSC\x1a");
/// Version of this layout.
pub const VERSION: u16 = 1;
/// An absent index or offset.
pub const NONE: u32 = u32::MAX;
/// Alignment of the file in memory, of the arena and of weight blocks, in bytes.
pub const ALIGN: usize = 64;
/// Bytes after the last tensor that vector loads may touch.
pub const SLACK: usize = 64;
/// Most taps (or merged tap lines) of one convolution.
pub const MAX_TAPS: usize = 256;
/// Output rows a kernel is given at a time.
pub const TILE: usize = 64;

/// Most maps that one chain of steps passes on through a few lines.
pub const MAX_CHAIN: usize = 8;
/// Most records of one table: bounds the time of the check, which compares tensors and steps pairwise.
pub const MAX_RECORDS: usize = 4096;
/// Most tensors that show one result through joins and reshapes.
pub const MAX_VIEWS: usize = 64;
/// Largest arena, in bytes.
pub const MAX_ARENA: u32 = 1 << 30;

/// Typed views of an artifact's sections.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// The header.
    pub header: &'a Header,
    /// Tensor records.
    pub tensors: &'a [Tensor],
    /// Runs of steps whose inner tensors are scratch.
    pub segments: &'a [Segment],
    /// Steps in execution order.
    pub steps: &'a [Step],
    /// Output gates.
    pub gates: &'a [Gate],
    /// Outputs of the network.
    pub outputs: &'a [OutputRecord],
    /// Operating points, from most exact to most thrifty.
    pub points: &'a [Point],
    /// Parameters, weights, tables.
    pub data: &'a [u8],
    /// JSON for people and tools.
    pub cold: &'a [u8],
}

impl<'a> Model<'a> {
    /// Whether frames can be compared with the one before: the input is held. Otherwise every frame is computed whole, and there
    /// are no masks.
    pub fn gated(&self) -> bool {
        self.tensors.get(self.header.input as usize).is_some_and(Tensor::held)
    }

    /// Record of type `T` at `offset` of the data section; `None` outside it.
    pub fn record<T: FromBytes + KnownLayout + Immutable>(&self, offset: u32) -> Option<&'a T> {
        let bytes = self.data.get(offset as usize..)?.get(..size_of::<T>())?;
        T::ref_from_bytes(bytes).ok()
    }

    /// `len` values of type `T` at `offset` of the data section; `None` outside it or unaligned.
    pub fn array<T: FromBytes + KnownLayout + Immutable>(&self, offset: u32, len: usize) -> Option<&'a [T]> {
        let bytes = self.data.get(offset as usize..)?;
        let bytes = bytes.get(..len.checked_mul(size_of::<T>())?)?;
        <[T]>::ref_from_bytes(bytes).ok()
    }
}

/// Bytes of arena the artifact asks for. Reads the header alone.
pub fn arena_len(bytes: &[u8]) -> Result<usize, FormatError> {
    check::header(bytes).map(|h| h.arena_len as usize)
}
