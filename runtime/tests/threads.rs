//! Several threads give the bytes of one, and a pool calls every part once.

#[allow(dead_code)]
#[path = "conformance/replay.rs"]
mod replay;
#[path = "sample/xorshift.rs"]
mod xorshift;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use quiescent::engine::Crew;
use quiescent::format::{AlignedBytes, arena_len};
use quiescent::threads::{MOST, Pool};
use quiescent::{Engine, kernels};
use replay::{MODES, Replay, expected, play};

/// Counts the jobs it has shared, and divides whatever can be divided.
struct Eager {
    pool: Pool,
    shared: AtomicUsize,
}

impl Eager {
    fn new(threads: usize) -> Self {
        Self { pool: Pool::new(threads).unwrap(), shared: AtomicUsize::new(0) }
    }
}

// SAFETY: the pool's.
unsafe impl Crew for Eager {
    fn threads(&self) -> usize {
        self.pool.threads()
    }

    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        self.shared.fetch_add(1, Ordering::Relaxed);
        self.pool.run(parts, job);
    }

    fn least(&self) -> u64 {
        1
    }
}

/// One thread, the last part first.
struct Backwards;

// SAFETY: each part once, in turn.
unsafe impl Crew for Backwards {
    fn threads(&self) -> usize {
        5
    }

    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..parts).rev().for_each(job);
    }

    fn least(&self) -> u64 {
        1
    }
}

/// Every artifact of the conformance test in every mode gives the expected bytes.
fn conform(crew: &dyn Crew, sets: &[&kernels::Kernels]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let file = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
    let mut names: Vec<&str> = file.lines().filter_map(|l| l.split(' ').next()).collect();
    names.dedup();
    assert!(names.len() > 5);
    for name in names {
        let bytes = AlignedBytes::from(std::fs::read(folder.join(name).with_extension("qsc")).unwrap());
        for set in sets {
            for mode in MODES {
                let mut arena = AlignedBytes::zeroed(arena_len(&bytes).unwrap());
                let mut engine = Engine::load(&bytes, &mut arena, set).unwrap();
                engine.set_crew(Some(crew));
                let line = expected(&file, name, mode).and_then(Replay::parse).unwrap();
                let found = play(&mut engine, &mut [0; 8 << 10], mode).unwrap_or_else(|e| panic!("{e}"));
                let (threads, set) = (crew.threads(), set.name);
                assert_eq!(found.differs(&line), None, "{threads} threads, {name} {mode}, kernel set {set}: first differing frame");
            }
        }
    }
}

#[test]
fn threads_give_the_expected_bytes() {
    let sets: Vec<_> = kernels::available().collect();
    for threads in [2, 3] {
        let crew = Eager::new(threads);
        conform(&crew, &sets);
        let shared = crew.shared.into_inner();
        assert!(shared > 10_000, "only {shared} steps were divided");
    }
}

#[test]
fn the_order_of_parts_does_not_matter() {
    conform(&Backwards, &[kernels::best()]);
}

#[test]
fn every_part_is_called_once() {
    for threads in [0, 1, 2, 5, 1000] {
        let pool = Pool::new(threads).unwrap();
        assert_eq!(pool.threads(), threads.clamp(1, MOST));
        let calls: Vec<AtomicU32> = (0..200).map(|_| AtomicU32::new(0)).collect();
        let rounds = if threads > 5 { 20 } else { 300 };
        for round in 0..rounds {
            if round % 100 == 10 {
                // Workers sleep meanwhile.
                std::thread::sleep(Duration::from_millis(2));
            }
            pool.run(calls.len(), &|k| _ = calls[k].fetch_add(1, Ordering::Relaxed));
            assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == round + 1), "{threads} threads, job {round}");
        }
        pool.run(0, &|_| panic!("there is no part"));
    }
}

#[test]
fn parts_meet() {
    // Each part waits for the others, so each has a thread of its own.
    let pool = Pool::new(3).unwrap();
    for _ in 0..50 {
        let barrier = std::sync::Barrier::new(3);
        pool.run(3, &|_| _ = barrier.wait());
    }
}

#[test]
fn a_panic_comes_out() {
    let pool = Pool::new(3).unwrap();
    for bad in 0..3 {
        let done = AtomicUsize::new(0);
        let job = |k| {
            assert!(k != bad, "part {k}");
            done.fetch_add(1, Ordering::Relaxed);
        };
        let fault = catch_unwind(AssertUnwindSafe(|| pool.run(3, &job))).unwrap_err();
        assert_eq!(fault.downcast_ref::<String>(), Some(&format!("part {bad}")));
        assert_eq!(done.load(Ordering::Relaxed), 2);
        // It goes on.
        pool.run(3, &|_| _ = done.fetch_add(1, Ordering::Relaxed));
        assert_eq!(done.into_inner(), 5);
    }
}

#[test]
fn jobs_within_jobs_and_beside_them() {
    let pool = Pool::new(2).unwrap();
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100 {
                    pool.run(4, &|_| pool.run(4, &|_| _ = calls.fetch_add(1, Ordering::Relaxed)));
                }
            });
        }
    });
    assert_eq!(calls.into_inner(), 3 * 100 * 16);
}
