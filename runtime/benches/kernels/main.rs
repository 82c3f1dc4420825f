//! Speed of the kernels, every set of this CPU: `cargo bench -p quiescent --bench kernels [-- FILTER]`.
//!
//! A benchmark is named `set/layer/rows a call` or `set/entry/channels`, and FILTER is a regular expression over these
//! names: `'avx2/1x1'`, `'/3x3 3->.*/1$'`. Criterion's rates, in elements a second, are multiply-accumulates of the layer
//! (not of padding) in the first kind and results in the second.

mod conv;
mod rows;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};

/// What a kernel set's benchmarks are added to.
type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn main() {
    // A pass over a map takes between microseconds and a tenth of a second: what matters is that there are some hundred names.
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(250))
        .sample_size(10)
        .nresamples(2000)
        .configure_from_args();
    for set in quiescent::kernels::available() {
        let mut group = criterion.benchmark_group(set.name);
        group.sampling_mode(SamplingMode::Flat);
        conv::bench(&mut group, set);
        rows::bench(&mut group, set);
        group.finish();
    }
    criterion.final_summary();
}
