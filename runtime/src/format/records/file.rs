//! The start of the file.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Cost, InputGate};

/// Offset and length of a section, in bytes from the start of the file.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Span {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// The start of the file.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`crate::format::MAGIC`].
    pub magic: u32,
    /// [`crate::format::VERSION`].
    pub version: u16,
    /// Target the tool chose kernels and gates for: a [`Profile`] code.
    pub profile: u16,
    /// How weights lie in memory: a [`Packing`] code. A kernel set says which it reads.
    pub packing: u16,
    /// Index of the input tensor.
    pub input: u16,
    /// Length of the file.
    pub file_len: u32,
    /// CRC-32 (IEEE) of the file with this field zero.
    pub checksum: u32,
    /// Arena the engine needs.
    pub arena_len: u32,
    /// Arena a plan without held tensors would need (for reports).
    pub arena_dense_len: u32,
    /// First byte of the arena after the tensors; masks follow.
    pub tensors_end: u32,
    /// Records.
    pub tensors: Span,
    /// Records.
    pub segments: Span,
    /// Records.
    pub steps: Span,
    /// Records.
    pub gates: Span,
    /// Records.
    pub outputs: Span,
    /// Records.
    pub points: Span,
    /// Parameters, weights, tables.
    pub data: Span,
    /// JSON.
    pub cold: Span,
    /// Input gate.
    pub input_gate: InputGate,
    /// Cost model of a gated frame against a dense one.
    pub cost: Cost,
}

/// Which machine the tool aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Profile {
    /// Runs with every kernel set that reads its packing.
    Any = 0,
    /// x86-64 with AVX2.
    X86Avx2 = 1,
    /// x86-64 with AVX-512 VNNI.
    X86Avx512 = 2,
    /// 64-bit ARM with NEON alone.
    Aarch64Neon = 3,
    /// 64-bit ARM with dot products.
    Aarch64DotProd = 4,
    /// 64-bit ARM with 8-bit matrix products.
    Aarch64I8mm = 5,
    /// x86-64 with AVX-VNNI.
    X86AvxVnni = 6,
    /// Cortex-M, with the DSP extension or Helium.
    CortexM = 7,
}

impl Profile {
    /// From its code.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            0 => Some(Profile::Any),
            1 => Some(Profile::X86Avx2),
            2 => Some(Profile::X86Avx512),
            3 => Some(Profile::Aarch64Neon),
            4 => Some(Profile::Aarch64DotProd),
            5 => Some(Profile::Aarch64I8mm),
            6 => Some(Profile::X86AvxVnni),
            7 => Some(Profile::CortexM),
            _ => None,
        }
    }
}

/// Order of weights in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Packing {
    /// `[oc / 16][k / 4][16][4]` s8, k padded to a multiple of 4 in every tap line, oc to 16.
    K4N16 = 0,
    /// The same, except where a convolution is [`PAIRED`](super::Conv::PAIRED): `[oc / 2][k][2]`, k padded to a multiple of 16, oc to 16. The
    /// first weight of a pair is an u8, 128 more than it counts, the second an s8.
    N2K16 = 1,
}

impl Packing {
    /// From its code.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            0 => Some(Packing::K4N16),
            1 => Some(Packing::N2K16),
            _ => None,
        }
    }
}

/// A 64-bit count with 4-byte alignment.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct u64Le {
    lo: u32,
    hi: u32,
}

impl u64Le {
    /// Stores `v`.
    pub const fn new(v: u64) -> Self {
        Self { lo: v as u32, hi: (v >> 32) as u32 }
    }
    /// The value.
    pub const fn get(self) -> u64 {
        self.lo as u64 | (self.hi as u64) << 32
    }
}
