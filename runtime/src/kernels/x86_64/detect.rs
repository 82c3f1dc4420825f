//! What the CPU and the operating system support, without the standard library.
//!
//! A kernel set may run if CPUID reports its instructions and XCR0 says that the system saves the registers they use.
//! Each answer is a value that only this file can make: holding one proves the check was made.

use core::arch::x86_64::{__cpuid_count, _xgetbv};

/// SSE and AVX registers.
const YMM: u64 = 0b0000_0110;
/// These, opmasks and both halves of the AVX-512 registers.
const ZMM: u64 = 0b1110_0110;

/// Proof of `avx2`.
#[derive(Clone, Copy)]
pub struct Avx2(());

/// Proof of `avxvnni` (and of `avx2`).
#[derive(Clone, Copy)]
pub struct AvxVnni(());

/// Proof of `avx512f`, `avx512bw`, `avx512dq`, `avx512vl` and `avx512vnni` (and of `avx2` and `bmi2`).
#[derive(Clone, Copy)]
pub struct Avx512Vnni(());

/// Proof of `avx512vbmi`.
#[derive(Clone, Copy)]
pub struct Avx512Vbmi(());

struct Leaves {
    /// Leaf 7.
    ebx: u32,
    /// Leaf 7.
    ecx: u32,
    /// Leaf 7, second part; 0 where there is none.
    more: u32,
    xcr0: u64,
}

impl Leaves {
    fn read() -> Option<Self> {
        const OSXSAVE_AND_AVX: u32 = 1 << 27 | 1 << 28;
        let cpuid = |leaf, part| {
            // SAFETY: every x86-64 CPU has CPUID. (Compilers differ in whether the call needs the block.)
            #[allow(unused_unsafe)]
            unsafe {
                __cpuid_count(leaf, part)
            }
        };
        if cpuid(0, 0).eax < 7 || cpuid(1, 0).ecx & OSXSAVE_AND_AVX != OSXSAVE_AND_AVX {
            return None;
        }
        let seven = cpuid(7, 0);
        // SAFETY: OSXSAVE, checked above, means that XGETBV exists and is enabled.
        let xcr0 = unsafe { xcr0() };
        Some(Leaves { ebx: seven.ebx, ecx: seven.ecx, more: if seven.eax > 0 { cpuid(7, 1).eax } else { 0 }, xcr0 })
    }

    fn has(&self, ebx: &[u32], ecx: &[u32], state: u64) -> bool {
        ebx.iter().all(|bit| self.ebx >> bit & 1 == 1) && ecx.iter().all(|bit| self.ecx >> bit & 1 == 1) && self.xcr0 & state == state
    }
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: register 0 exists wherever XGETBV does.
    unsafe { _xgetbv(0) }
}

impl Avx2 {
    /// Asks the CPU.
    pub fn new() -> Option<Self> {
        Leaves::read()?.has(&[5], &[], YMM).then_some(Avx2(()))
    }
}

impl AvxVnni {
    /// Asks the CPU.
    pub fn new() -> Option<Self> {
        let leaves = Leaves::read()?;
        (leaves.has(&[5], &[], YMM) && leaves.more >> 4 & 1 == 1).then_some(AvxVnni(()))
    }
}

impl Avx512Vnni {
    /// Asks the CPU.
    pub fn new() -> Option<Self> {
        // AVX2, BMI2; F, DQ, BW, VL; VNNI.
        Leaves::read()?.has(&[5, 8, 16, 17, 30, 31], &[11], ZMM).then_some(Avx512Vnni(()))
    }
}

impl Avx512Vbmi {
    /// Asks the CPU.
    pub fn new() -> Option<Self> {
        Leaves::read()?.has(&[16], &[1], ZMM).then_some(Avx512Vbmi(()))
    }
}
