//! The sets of 256 bits, `avx2` and `avxvnni`: the same entries, compiled for the features of each, around another dot step ([`dot`]).

pub(super) mod dot;
mod finish;
mod pick;
pub(super) mod table;
mod tables;
#[cfg(test)]
mod tests;
pub(super) mod vector;

pub(super) use pick::pick;
pub(super) use tables::tables;

/// No channels: for a set without a way of its own.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn none(_: &crate::kernels::DepthwiseTile) -> usize {
    0
}

/// The table `SET` of a set of that name and features and its entries over vectors of that type, but for `conv`, whose shapes the module
/// that calls this chooses. `$columns` does the first so many channels of a depthwise tile in a way of the set's own.
macro_rules! set {
    ($name:literal, $features:literal, $vector:ty, $columns:expr) => {
        use $crate::kernels::x86_64::ymm;
        use $crate::kernels::{ConvTile, Kernels, LerpTile, PickTile, TablesTile};

        $crate::kernels::x86_64::rowwise!($features, $vector, $crate::mask::by_pixel);

        static SET: Kernels = Kernels {
            name: $name,
            linked: $crate::engine::Linked::ALL,
            conv,
            depthwise,
            pairs: $crate::kernels::scalar::pairs,
            max_pool,
            avg_pool,
            compare,
            drift,
            score,
            settle,
            judge,
            table,
            tables,
            max,
            sum,
            lerp,
            pick,
            softmax,
            binary,
            map,
        };

        $crate::kernels::x86_64::entries! { $features;
            fn depthwise(t: &DepthwiseTile) {
                let rows = t.rows_in.len();
                // SAFETY: the tile is valid (the caller); the features are this function's.
                let mut at = unsafe { $columns(t) };
                if at == 0 && let Some(runs) = channelwise::Runs::of::<$vector>(t) {
                    // SAFETY: as above.
                    unsafe { channelwise::runs::<$vector>(t, &runs) }
                    at = t.oc;
                }
                while at < t.oc {
                    let left = t.oc - at;
                    // SAFETY: `at + n <= oc`; the tile is valid (the caller).
                    unsafe {
                        at += match left {
                            32.. => { channels::<1, true>(t, at, 32); 32 }
                            17.. if rows < 8 => { channels::<1, false>(t, at, left); left }
                            16.. if rows > 1 => { channels::<2, true>(t, at, 16); 16 }
                            _ if rows > 1 => { channels::<2, false>(t, at, left); left }
                            _ => { channels::<1, false>(t, at, left); left }
                        };
                    }
                }
                // SAFETY: the rows are written.
                unsafe { ymm::table::apply(t) }
            }

            fn lerp(t: &LerpTile) {
                // SAFETY: the caller's; the features are this function's.
                unsafe {
                    match t.c {
                        ..=16 => rows::lerp::<$vector, 2>(t),
                        _ => rows::lerp::<$vector, 1>(t),
                    }
                }
            }
            fn table(x: &[u8], out: &mut [u8], table: &[u8; 256]) {
                // SAFETY: within both slices, which do not overlap; the features are this function's.
                unsafe { ymm::table::look_up(x.as_ptr(), out.as_mut_ptr(), x.len().min(out.len()), table) }
            }
            fn tables(t: &TablesTile) {
                // SAFETY: the caller's; AVX2 is part of the features.
                unsafe { ymm::tables(t) }
            }
            fn pick(t: &PickTile) {
                // SAFETY: as above.
                unsafe { ymm::pick(t) }
            }
        }
    };
}
pub(super) use set;
