//! How entries of a table are declared, and those that all sets have alike.

/// Declares entries with the features of a set.
macro_rules! entries {
    ($features:literal; $($(#[$doc:meta])* fn $name:ident $(<$(const $c:ident: $ct:ty),*>)? ($($args:tt)*) $(-> $ret:ty)? $body:block)*) => {
        $(
            $(#[$doc])*
            #[target_feature(enable = $features)]
            unsafe fn $name $(<$(const $c: $ct),*>)? ($($args)*) $(-> $ret)? $body
        )*
    };
}

/// Entries that are the method over the set's vectors and nothing else; `$by_pixel` does what [`mask::by_pixel`](crate::mask::by_pixel) does.
macro_rules! rowwise {
    ($features:literal, $vector:ty, $by_pixel:expr) => {
        use $crate::kernels::compare as lines;
        use $crate::kernels::rows as plain;
        use $crate::kernels::x86_64::{depthwise as channelwise, judge, pool, rows};
        use $crate::kernels::{Bin, CompareTile, DepthwiseTile, DriftTile, JudgeTile, Operand, PoolTile, Row, SumTile, Uni};

        $crate::kernels::x86_64::entries! { $features;
            fn channels<const ROWS: usize, const FULL: bool>(t: &DepthwiseTile, at: usize, n: usize) {
                // SAFETY: the caller's; the features are this function's.
                unsafe { channelwise::channels::<$vector, ROWS, FULL>(t, at, n) }
            }

            fn max_pool(t: &PoolTile) {
                // SAFETY: the caller's; the features are this function's.
                unsafe { pool::max::<$vector>(t) }
            }
            fn avg_pool(t: &PoolTile) {
                // SAFETY: as above.
                unsafe { pool::mean::<$vector>(t) }
            }
            fn compare(t: &CompareTile, marks: [&mut [u64]; 2]) -> u8 {
                // SAFETY: here and below: the features are this function's.
                lines::line(t, marks, rows::most, |new, held, shift, thresholds| unsafe { rows::exceed::<$vector>(new, held, shift, thresholds) }, $by_pixel)
            }
            fn drift(t: &DriftTile, sums: &mut [i32]) {
                // SAFETY: the caller's; the features are this function's.
                unsafe { rows::drift::<$vector>(t, sums) }
            }
            fn score(new: &[u8], held: &[u8], weights: &[u8], dead: u8) -> u32 {
                // SAFETY: features.
                unsafe { judge::score::<$vector>(new, held, weights, dead) }
            }
            fn judge(t: &JudgeTile) -> u64 {
                // SAFETY: the caller's; the features are this function's.
                unsafe { judge::judge::<$vector>(t) }
            }

            fn settle(new: &[u8], held: &mut [u8], dead: u8) {
                // SAFETY: features.
                unsafe { judge::settle::<$vector>(new, held, dead) }
            }
            fn max(x: &[u8], out: &mut [u8]) {
                // SAFETY: features.
                unsafe { rows::max::<$vector>(x, out) }
            }
            fn sum(t: &SumTile, sums: &mut [i32]) {
                // SAFETY: the caller's; the features are this function's.
                unsafe { rows::sum::<$vector>(t, sums) }
            }
            fn softmax(a: &Operand, c: usize, row: &mut Row) {
                plain::softmax(a, c, row);
            }
            fn binary(bin: &Bin, row: &mut Row) {
                plain::binary(bin, row);
            }
            fn map(uni: &Uni, row: &mut Row) {
                plain::map(uni, row);
            }
        }
    };
}

pub(super) use {entries, rowwise};
