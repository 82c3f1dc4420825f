//! A few threads of their own for the engine.
//!
//! ```no_run
//! # use quiescent::{Engine, format, kernels};
//! # let (bytes, mut arena) = (vec![0u8; 0], vec![0u8; 0]);
//! let pool = quiescent::threads::Pool::new(2)?;
//! let mut engine = Engine::load(&bytes, &mut arena, kernels::best())?;
//! engine.set_crew(Some(&pool));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A frame is a hundred jobs of some microseconds each. The parts not taken are one word, `first..end`: the caller takes them from
//! below, the workers from above, so that mostly the same thread meets the same lines again in the next step, and nobody waits for a worker
//! that has not come. After a job workers look out for the next one for `LOOKOUT`, then sleep until there is one.

use core::cell::UnsafeCell;
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use std::any::Any;
use std::boxed::Box;
use std::format;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::vec::Vec;

use crate::engine::{Crew, LEAST};

/// Most threads of a pool.
pub const MOST: usize = 64;

/// How long an idle worker looks out for the next job before it sleeps: longer than what of a frame is done by one thread.
const LOOKOUT: Duration = Duration::from_micros(100);

/// Looks in a row before others may have the processor.
const LOOKS: u32 = 64;

type Job<'j> = dyn Fn(usize) + Sync + 'j;

/// A line of the cache, and that beside it.
#[repr(align(128))]
struct Apart<T>(T);

/// What workers look out for.
struct Offer {
    /// Parts nobody has taken: `first | end << 16`.
    left: AtomicU32,
    /// The job of the parts that are not done.
    job: UnsafeCell<Option<*const Job<'static>>>,
}

struct Shared {
    offer: Apart<Offer>,
    /// Parts that workers have done, ever, modulo 2^32.
    done: Apart<AtomicU32>,
    /// What a part panicked with.
    fault: Mutex<Option<Box<dyn Any + Send>>>,
    /// Workers that sleep, or are about to.
    asleep: AtomicUsize,
    closing: AtomicBool,
    door: Mutex<()>,
    bell: Condvar,
}

// SAFETY: the job is written only while no part is open, and read only by who has taken a part that is not done.
unsafe impl Sync for Shared {}
// SAFETY: the job is `Sync`, and only called while it lives.
unsafe impl Send for Shared {}

/// Threads that wait for work. One job runs at a time: another engine's, or one within a job, runs on its caller's thread alone.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    busy: AtomicBool,
    least: u64,
}

impl Pool {
    /// Starts `threads - 1` workers: the caller of a job is one of its threads. Counts outside `1..=MOST` become the nearest.
    pub fn new(threads: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            offer: Apart(Offer { left: AtomicU32::new(0), job: UnsafeCell::new(None) }),
            done: Apart(AtomicU32::new(0)),
            fault: Mutex::new(None),
            asleep: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            door: Mutex::new(()),
            bell: Condvar::new(),
        });
        let mut pool = Self { shared, workers: Vec::new(), busy: AtomicBool::new(false), least: LEAST };
        for k in 1..threads.clamp(1, MOST) {
            let shared = pool.shared.clone();
            // If one cannot be had, those before it are dismissed with the pool.
            pool.workers.push(thread::Builder::new().name(format!("quiescent {k}")).spawn(move || shared.attend())?);
        }
        Ok(pool)
    }

    /// Sets what [`Crew::least`] says.
    pub fn with_least(mut self, work: u64) -> Self {
        self.least = work;
        self
    }
}

// SAFETY: a part is the caller's from the start or taken by one change of `left`, and so called once. The caller waits until workers have
// done as many as it has not called itself. Taking a part follows the caller's release of `left`, the end of waiting follows every release of
// `done`.
unsafe impl Crew for Pool {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn run(&self, parts: usize, job: &Job) {
        let counted = u16::try_from(parts).ok().filter(|_| parts > 1 && !self.workers.is_empty());
        let Some(end) = counted.filter(|_| !self.busy.swap(true, Ordering::Acquire)) else {
            return (0..parts).for_each(job);
        };
        self.shared.run(end, job);
        let fault = lock(&self.shared.fault).take();
        self.busy.store(false, Ordering::Release);
        if let Some(fault) = fault {
            resume_unwind(fault);
        }
    }

    fn least(&self) -> u64 {
        self.least
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.ring();
        for worker in self.workers.drain(..) {
            // A worker does not panic: jobs are caught.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// The caller's side of a job.
    fn run(&self, end: u16, job: &Job) {
        // SAFETY: only the lifetime changes; nobody calls the job after this function, which ends when no part is open.
        let job = unsafe { mem::transmute::<*const Job<'_>, *const Job<'static>>(job) };
        // No part is open, so nobody changes it.
        let before = self.done.0.load(Ordering::Relaxed);
        // SAFETY: no part is open, so nobody reads it.
        unsafe { *self.offer.0.job.get() = Some(job) };
        // The first part is the caller's. Either a worker that is about to sleep sees the others, or it is seen here.
        self.offer.0.left.store(1 | u32::from(end) << 16, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            self.ring();
        }
        self.call(0);
        let mut own = 1;
        while let Some(k) = self.take(|first, end| (first, first + 1, end)) {
            self.call(k);
            own += 1;
        }
        let (all, mut looks) = (before.wrapping_add(u32::from(end) - own), 0);
        while self.done.0.load(Ordering::Acquire) != all {
            looks += 1;
            pause(looks);
        }
    }

    /// A worker's life.
    fn attend(&self) {
        while !self.closing.load(Ordering::SeqCst) {
            let (mut since, mut looks) = (Instant::now(), 0);
            while since.elapsed() < LOOKOUT {
                while let Some(k) = self.take(|first, end| (end - 1, first, end - 1)) {
                    self.call(k);
                    self.done.0.fetch_add(1, Ordering::Release);
                    (since, looks) = (Instant::now(), 0);
                }
                looks += 1;
                pause(looks);
            }
            let guard = lock(&self.door);
            self.asleep.fetch_add(1, Ordering::SeqCst);
            if !self.waiting() && !self.closing.load(Ordering::SeqCst) {
                // Woken for a job or for nothing: it looks out again.
                drop(self.bell.wait(guard));
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether parts are left.
    fn waiting(&self) -> bool {
        let left = self.offer.0.left.load(Ordering::SeqCst);
        left & 0xffff < left >> 16
    }

    /// Takes a part; `choice` of `first..end` names it, and what is then left.
    fn take(&self, choice: impl Fn(u32, u32) -> (u32, u32, u32)) -> Option<usize> {
        let left = &self.offer.0.left;
        let mut seen = left.load(Ordering::Relaxed);
        loop {
            let (first, end) = (seen & 0xffff, seen >> 16);
            if first >= end {
                return None;
            }
            let (part, first, end) = choice(first, end);
            match left.compare_exchange_weak(seen, first | end << 16, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(part as usize),
                Err(now) => seen = now,
            }
        }
    }

    /// Calls a part that is this thread's, and not done.
    fn call(&self, k: usize) {
        // SAFETY: the part is not done, so the job stays and lives.
        let job = unsafe { (*self.offer.0.job.get()).map(|job| &*job) };
        if let Some(Err(fault)) = job.map(|job| catch_unwind(AssertUnwindSafe(|| job(k)))) {
            lock(&self.fault).get_or_insert(fault);
        }
    }

    /// Wakes all who sleep.
    fn ring(&self) {
        drop(lock(&self.door));
        self.bell.notify_all();
    }
}

/// Before the next look. Who waits may be kept from its processor by who is waited for.
fn pause(looks: u32) {
    match looks % LOOKS {
        0 => thread::yield_now(),
        _ => core::hint::spin_loop(),
    }
}

/// Nothing is broken halfway by a panic here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
