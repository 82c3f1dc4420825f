//! Reads the machine and the meter while something else is measured.
//!
//! One thread beside the measured one, which it shares nothing with but a lock that the measured thread takes between
//! measurements only. What the reading itself costs is part of the record: it draws power while idling as well, so that it
//! cancels in the energy above idle.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::power::{Facts, Meter, Series};
use super::{Root, State, state};

/// How often the machine's state is read.
const STATE: Duration = Duration::from_millis(500);

/// What was read so far. Times are seconds since [`Watch::start`].
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub states: Vec<(f64, State)>,
    pub series: Option<Series>,
    /// The meter's first failure.
    pub failure: Option<String>,
    /// Readings of state and meter.
    pub reads: usize,
    /// Seconds spent reading.
    pub busy: f64,
    pub seconds: f64,
}

impl Record {
    /// States within stretches of time.
    pub fn within(&self, stretches: &[(f64, f64)]) -> impl Iterator<Item = &State> {
        self.states.iter().filter(move |s| stretches.iter().any(|(a, b)| (*a..=*b).contains(&s.0))).map(|s| &s.1)
    }

    /// `0.4 % of one core (40 us for each of 1200 readings)`.
    pub fn cost(&self) -> String {
        let each = 1e6 * self.busy / self.reads.max(1) as f64;
        format!("{:.2} % of one core ({each:.0} us for each of {} readings)", 100.0 * self.share(), self.reads)
    }

    /// Time spent reading as a share of all.
    pub fn share(&self) -> f64 {
        if self.seconds > 0.0 { self.busy / self.seconds } else { 0.0 }
    }
}

/// A thread that reads until it is told to finish.
pub struct Watch {
    start: Instant,
    root: Root,
    task: Option<String>,
    facts: Option<Facts>,
    record: Arc<Mutex<Record>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Watches the calling thread's CPU.
    pub fn start(root: &Root, mut meter: Option<Box<dyn Meter>>) -> Self {
        let (start, task) = (Instant::now(), state::own_task(root));
        let facts = meter.as_ref().map(|m| m.facts());
        let series = facts.as_ref().map(|f| Series::new(f.kind));
        let record = Arc::new(Mutex::new(Record { series: series.clone(), ..Default::default() }));
        let every = facts.as_ref().map_or(STATE, |f| f.every);
        let (stop, stopped) = channel();
        let (shared, its_root, its_task) = (record.clone(), root.clone(), task.clone());
        let thread = std::thread::spawn(move || {
            let mut due = Duration::ZERO;
            let mut series = series;
            loop {
                let begin = Instant::now();
                let mut failure = None;
                if let (Some(m), Some(s)) = (&mut meter, &mut series)
                    && let Err(e) = m.sample(start, s)
                {
                    failure = Some(format!("{e:#}"));
                    meter = None;
                }
                let state = (start.elapsed() >= due).then(|| {
                    due = start.elapsed() + STATE;
                    (start.elapsed().as_secs_f64(), State::read(&its_root, its_task.as_deref()))
                });
                let busy = begin.elapsed().as_secs_f64();
                let mut r = lock(&shared);
                r.states.extend(state);
                if let (Some(all), Some(own)) = (&mut r.series, &series) {
                    let known = all.points().len();
                    own.points().iter().skip(known).for_each(|p| all.push(p.0, p.1));
                }
                r.failure = r.failure.take().or(failure);
                r.reads += 1;
                r.busy += busy;
                r.seconds = start.elapsed().as_secs_f64();
                drop(r);
                match stopped.recv_timeout(every) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        });
        Self { start, root: root.clone(), task, facts, record, stop, thread }
    }

    /// Reads the state now, in the calling thread: the end of work that may be over before the next reading.
    pub fn look(&self) {
        let state = State::read(&self.root, self.task.as_deref());
        lock(&self.record).states.push((self.now(), state));
    }

    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Seconds since the start.
    pub fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// The last state that was read.
    pub fn latest(&self) -> Option<State> {
        lock(&self.record).states.last().map(|s| s.1.clone())
    }

    /// Mean power between two moments.
    pub fn watts(&self, from: f64, to: f64) -> Option<f64> {
        Some(lock(&self.record).series.as_ref()?.mean(from, to)?.watts)
    }

    pub fn finish(self) -> Record {
        let _ = self.stop.send(());
        let _ = self.thread.join();
        lock(&self.record).clone()
    }
}

/// A record is whole after every reading, also where a later one panicked.
fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
