//! Independent trials on all processors.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;

/// `f` of each of `0..n`, in this order whatever ran first; the first error in it, if there is one.
pub(super) fn map<R: Send>(n: usize, f: impl Fn(usize) -> Result<R> + Sync) -> Result<Vec<R>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(n);
    if threads < 2 {
        return (0..n).map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n {
                return done;
            }
            done.push((i, f(i)));
        }
    };
    let mut all: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::time::Duration;

    use anyhow::bail;

    use super::*;

    #[test]
    fn results_are_in_order() {
        let seen = Mutex::new(HashSet::new());
        let squares = map(40, |i| {
            // The first ones take longest.
            thread::sleep(Duration::from_micros(40 * (40 - i as u64)));
            seen.lock().unwrap().insert(thread::current().id());
            Ok(i * i)
        });
        assert_eq!(squares.unwrap(), (0..40).map(|i| i * i).collect::<Vec<_>>());
        let processors = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(seen.into_inner().unwrap().len() > 1, processors > 1);
        assert!(map(0, |_| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn the_first_error_is_reported() {
        let e = map(9, |i| if i > 4 { bail!("trial {i}") } else { Ok(i) }).unwrap_err();
        assert_eq!(e.to_string(), "trial 5");
    }
}
