//! After `Engine::load` the runtime allocates nothing, whatever the mode and the frame.

#[allow(dead_code)]
#[path = "laws/graphs.rs"]
mod graphs;
#[allow(dead_code)]
#[path = "laws/net.rs"]
mod net;
#[allow(dead_code)]
#[path = "laws/scene.rs"]
mod scene;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use quiescent::engine::Crew;
use quiescent::threads::Pool;
use quiescent::{Engine, Frame, Mode, format, kernels};
use quiescent_tools::lower::Hold;

use scene::Scene;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the calling thread's allocations.
struct Counting;

fn count() {
    // A thread that is being taken down has no counter any more.
    let _ = CALLS.try_with(|c| c.set(c.get() + 1));
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn calls() -> u64 {
    CALLS.with(Cell::get)
}

/// Of both threads of a pool.
fn calls_of(pool: &Pool) -> u64 {
    let (all, barrier) = (AtomicU64::new(0), Barrier::new(2));
    pool.run(2, &|_| {
        all.fetch_add(calls(), Ordering::Relaxed);
        barrier.wait();
    });
    all.into_inner()
}

#[test]
fn the_counter_counts() {
    let before = calls();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(calls() - before, 2);
    let pool = Pool::new(2).unwrap();
    let before = calls_of(&pool);
    let barrier = Barrier::new(2);
    pool.run(2, &|_| {
        drop(std::hint::black_box(vec![0u8; 100]));
        barrier.wait();
    });
    assert_eq!(calls_of(&pool) - before, 4);
}

#[test]
fn steps_do_not_allocate() {
    let pool = Pool::new(2).unwrap().with_least(1000);
    for case in graphs::all() {
        let codes: Vec<Vec<u8>> = (0..2).map(|s| Scene::new(s, case.shape()).frame().to_vec()).collect();
        let plan = net::calibrate(&case.graph, &codes, &case.float_layers);
        let mut a = net::artifact(&case.graph, &plan, Hold::Ratio(1.3));
        net::set_thresholds(&mut a, 3, 16, 3, 1);
        let mut scene = Scene::new(60, case.shape());
        let frames: Vec<(Vec<u8>, Vec<f32>)> = (0..200)
            .map(|_| {
                scene.next();
                (scene.frame().to_vec(), scene.frame().iter().map(|p| f32::from(*p) / 255.0).collect())
            })
            .collect();
        for set in kernels::available() {
            let mut arena = a.arena();
            let before = calls_of(&pool);
            let needed = format::arena_len(a.bytes()).unwrap();
            let mut engine = Engine::load(a.bytes(), &mut arena, set).unwrap();
            let (mut dense, mut gated, mut sum) = (0, 0, 0.0);
            for (t, (pixels, values)) in frames.iter().enumerate() {
                engine.set_mode(match t / 10 % 4 {
                    0 => Mode::Dense,
                    1 => Mode::Gated { scale: 0.0 },
                    _ => Mode::Gated { scale: 1.0 },
                });
                engine.set_crew((t % 5 > 1).then_some(&pool as &dyn Crew));
                engine.set_budget((t / 20 % 3 == 2).then_some(20_000));
                if t % 67 == 66 {
                    engine.reset();
                }
                let frame = if t % 3 == 0 { Frame::Values(values) } else { Frame::Pixels(pixels) };
                let outputs = engine.step(frame).unwrap();
                sum += outputs.iter().map(|o| o.at(0)).sum::<f32>();
                (dense, gated) = match engine.stats().dense {
                    true => (dense + 1, gated),
                    false => (dense, gated + 1),
                };
                sum += engine.step_stats().map(|s| s.rows as f32).sum::<f32>();
                if t % 50 == 0 {
                    sum += engine.audit().map(|a| a.worst as f32).sum::<f32>();
                }
            }
            assert_eq!(calls_of(&pool), before, "{}, {}: the engine called the allocator", case.name, set.name);
            assert!(dense > 40 && gated > 60 && sum.is_finite() && needed > 0, "{dense} {gated} {sum}");
        }
    }
}
