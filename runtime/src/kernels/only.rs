//! What of a set a firmware links.
//!
//! A set names its functions, so that a linker keeps them all; those of values of any type, which no network of convolutions may
//! need, are half of a program. [`Kernels::only`], evaluated by the compiler, is the set without what the operators of an artifact do not call.

use super::{Bin, ConvTile, DepthwiseTile, Kernels, LerpTile, Operand, PairsTile, PickTile, PoolTile, Row, SumTile, TablesTile, Uni};
use crate::format::Op;

impl Kernels {
    /// This set for artifacts of these operators alone: `quiescent bake` states them as `OPS`, `quiescent inspect --ops` prints the line. An engine
    /// refuses artifacts with others ([`LoadError::Operator`](crate::LoadError::Operator)).
    ///
    /// ```
    /// use quiescent::format::Op;
    /// use quiescent::kernels::{Kernels, scalar};
    ///
    /// static KERNELS: Kernels = scalar::KERNELS.only(&[Op::Conv, Op::Depthwise, Op::GlobalAvg]);
    /// ```
    pub const fn only(&self, ops: &[Op]) -> Kernels {
        let mut listed = 0;
        let mut i = 0;
        while i < ops.len() {
            listed |= 1 << ops[i] as u32;
            i += 1;
        }
        // The entry where the operator is listed, else one that is never called.
        macro_rules! of {
            ($op:ident, $entry:ident($($argument:ty),*)) => {{
                unsafe fn none($(_: $argument),*) {}
                if listed >> Op::$op as u32 & 1 != 0 { self.$entry } else { none }
            }};
        }
        Kernels {
            ops: self.ops & listed,
            conv: of!(Conv, conv(&ConvTile)),
            pairs: of!(Conv, pairs(&PairsTile)),
            depthwise: of!(Depthwise, depthwise(&DepthwiseTile)),
            max_pool: of!(MaxPool, max_pool(&PoolTile)),
            avg_pool: of!(AvgPool, avg_pool(&PoolTile)),
            table: of!(Table, table(&[u8], &mut [u8], &[u8; 256])),
            tables: of!(Tables, tables(&TablesTile)),
            max: of!(GlobalMax, max(&[u8], &mut [u8])),
            sum: of!(GlobalAvg, sum(&SumTile, &mut [i32])),
            lerp: of!(Bilinear, lerp(&LerpTile)),
            pick: of!(Channels, pick(&PickTile)),
            softmax: of!(Softmax, softmax(&Operand, usize, &mut Row)),
            binary: of!(Binary, binary(&Bin, &mut Row)),
            map: of!(Map, map(&Uni, &mut Row)),
            ..*self
        }
    }

    /// Whether it has what the operator calls.
    pub(crate) const fn has(&self, op: Op) -> bool {
        self.ops >> op as u32 & 1 != 0
    }
}
