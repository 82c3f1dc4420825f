//! Graph to smaller graph with the same meaning.
//!
//! Each pass is a function that returns how many changes it made; [`run`] applies the list over and over until nothing
//! changes, and checks the graph after every pass. Passes look through a tensor only when nobody else needs it: one
//! reader, not an output, and no codes of a quantised source model on it.

mod activation;
mod affine;
mod channels;
mod cleanup;
mod concat;
mod constant;
mod device;
mod edit;
mod pool;
mod space;
#[cfg(test)]
mod tests;

use crate::ir::{Graph, verify};

type Pass = fn(&mut Graph) -> usize;

/// In order; the cheap ones that shorten the graph come first.
const PASSES: &[(&str, Pass)] = &[
    ("fold constants", constant::fold),
    ("drop identities", cleanup::identities),
    ("join moves", cleanup::join_moves),
    ("share equal nodes", cleanup::share),
    ("recognise activations", activation::recognise),
    ("join clamps", activation::clamps),
    ("global pools", pool::global),
    ("pads into windows", space::pads),
    ("scale and shift into convolutions before", affine::into_producer),
    ("scale and shift into convolutions after", affine::into_consumer),
    ("pixel blocks into convolutions", space::blocks),
    ("channel order into convolutions", channels::into_convs),
    ("nested concats", concat::nested),
    ("constants in concats", concat::constants),
    ("constants as maps", concat::joined),
    ("constants as outputs", concat::outputs),
    ("squares", device::squares),
    ("quotients of constants", device::quotients),
    ("lines over maps", device::lines),
    ("drop dead code", cleanup::dead),
];

/// More rounds than any real graph needs; a bound in case two passes undo each other.
const ROUNDS: usize = 32;

/// Runs all passes; the count of changes of each pass that made any. Should a pass break the graph, which is a fault in
/// the pass, the graph stays as it was and the list is empty.
pub fn run(graph: &mut Graph) -> Vec<(&'static str, usize)> {
    let mut work = graph.clone();
    match run_checked(&mut work) {
        Ok(changes) => {
            *graph = work;
            changes
        }
        Err(_) => Vec::new(),
    }
}

/// As [`run`]; `Err` names the pass that broke the graph and how.
pub fn run_checked(graph: &mut Graph) -> Result<Vec<(&'static str, usize)>, String> {
    let mut totals: Vec<(&'static str, usize)> = PASSES.iter().map(|p| (p.0, 0)).collect();
    for _ in 0..ROUNDS {
        let mut changed = false;
        for (i, (name, pass)) in PASSES.iter().enumerate() {
            let count = pass(graph);
            if count > 0 {
                verify(graph).map_err(|what| format!("pass `{name}`: {what}"))?;
                totals[i].1 += count;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    totals.retain(|t| t.1 > 0);
    Ok(totals)
}
