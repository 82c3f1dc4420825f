//! What of a set a firmware links.
//!
//! A set names its functions, so that a linker keeps them all, and so it does parts of the engine; those of values of any type and of gates, which a network of
//! convolutions may not need, are more than half of a program. [`Kernels::only`], evaluated by the compiler, is the set without what the operators of an artifact do not call.

use super::{
    Bin, CompareTile, ConvTile, DepthwiseTile, DriftTile, JudgeTile, Kernels, LerpTile, Operand, PairsTile, PickTile, PoolTile, Row,
    SumTile, TablesTile, Uni,
};
use crate::format::Op;

impl Kernels {
    /// This set for artifacts of these operators alone, and with `gates` or without (all frames are computed whole: [`Model::gated`](crate::format::Model::gated) is
    /// false). `quiescent bake` states both as `OPS` and `GATES`, `quiescent inspect --ops` prints the line. An engine refuses others
    /// ([`LoadError::Operator`](crate::LoadError::Operator), [`LoadError::Gates`](crate::LoadError::Gates)).
    ///
    /// ```
    /// use quiescent::format::Op;
    /// use quiescent::kernels::{Kernels, scalar};
    ///
    /// static KERNELS: Kernels = scalar::KERNELS.only(&[Op::Conv, Op::Depthwise, Op::GlobalAvg], false);
    /// ```
    pub const fn only(&self, ops: &[Op], gates: bool) -> Kernels {
        let mut listed = 0;
        let mut i = 0;
        while i < ops.len() {
            listed |= 1 << ops[i] as u32;
            i += 1;
        }
        // The entry where it is called, else one that never is.
        macro_rules! of {
            (gates, $entry:ident($($argument:ty),*) $(-> $result:ty)?) => { of!(gates; $entry($($argument),*) $(-> $result)?) };
            ($op:ident, $entry:ident($($argument:ty),*)) => { of!(listed >> Op::$op as u32 & 1 != 0; $entry($($argument),*)) };
            ($called:expr; $entry:ident($($argument:ty),*) $(-> $result:ty)?) => {{
                unsafe fn none($(_: $argument),*) $(-> $result)? {
                    $(<$result>::default())?
                }
                if $called { self.$entry } else { none }
            }};
        }
        Kernels {
            name: self.name,
            linked: self.linked.only(listed, gates),
            conv: of!(Conv, conv(&ConvTile)),
            pairs: of!(Conv, pairs(&PairsTile)),
            depthwise: of!(Depthwise, depthwise(&DepthwiseTile)),
            max_pool: of!(MaxPool, max_pool(&PoolTile)),
            avg_pool: of!(AvgPool, avg_pool(&PoolTile)),
            compare: of!(gates, compare(&CompareTile, [&mut [u64]; 2]) -> u8),
            drift: of!(gates, drift(&DriftTile, &mut [i32])),
            score: of!(gates, score(&[u8], &[u8], &[u8], u8) -> u32),
            settle: of!(gates, settle(&[u8], &mut [u8], u8)),
            judge: of!(gates, judge(&JudgeTile) -> u64),
            table: of!(Table, table(&[u8], &mut [u8], &[u8; 256])),
            tables: of!(Tables, tables(&TablesTile)),
            max: of!(GlobalMax, max(&[u8], &mut [u8])),
            sum: of!(GlobalAvg, sum(&SumTile, &mut [i32])),
            lerp: of!(Bilinear, lerp(&LerpTile)),
            pick: of!(Channels, pick(&PickTile)),
            softmax: of!(Softmax, softmax(&Operand, usize, &mut Row)),
            binary: of!(Binary, binary(&Bin, &mut Row)),
            map: of!(Map, map(&Uni, &mut Row)),
        }
    }
}
