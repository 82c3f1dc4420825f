//! How much is worked on at a time, and with it how much of the stack a frame takes: without an operating system little.
//! Results do not depend on it.

use crate::format;

const fn room(usual: usize, small: usize) -> usize {
    if cfg!(target_os = "none") { small } else { usual }
}

/// Listed rows.
pub(super) const TILE: usize = room(format::TILE, 16);

/// Spans of adjacent rows in a list.
pub(super) const SPANS: usize = room(TILE, 8);

/// Offsets worked out at once.
pub(super) const AT_ONCE: usize = room(8, 1);

/// Words of the stack for the lists of marked rows. None: they lie in the arena, in scratch memory of the masks.
pub(super) const MARKED: usize = room(super::tiles::WORDS, 0);

// That is one memory for all threads.
const _: () = assert!(MARKED > 0 || PARTS < 2);

/// Parts of a step, for several threads. One: steps are not cut, and no room is kept for it.
pub(super) const PARTS: usize = room(128, 1);

/// Rows of a dense convolution: kernels read weights, and put them in order, once for all. Where there are vectors there is mostly
/// more memory, too.
pub(super) const DENSE: usize = room(256, if cfg!(feature = "mve") { 72 } else { 8 });

/// The same of a depthwise convolution, which takes less of the stack itself, and more for the order.
pub(super) const WINDOWS: usize = room(DENSE, if cfg!(feature = "mve") { DENSE } else { 16 });

/// Bytes of the pieces in which pixels with gaps between them are worked on.
pub(super) const PIECE: usize = room(1024, 96);

/// Channels above which arrays are not repeated: there a call per row costs little.
pub(super) const REPEATED: usize = room(240, 8);

/// The same of functions of two operands, which have more arrays.
pub(super) const REPEATED_FOR_TWO: usize = room(REPEATED, 0);

/// Channels of a global average.
pub(super) const SUMS: usize = room(128, if cfg!(feature = "mve") { 64 } else { 32 });
