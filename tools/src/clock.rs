//! An engine's pieces of work with their times.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use quiescent::engine::Work;

/// A piece of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// `None`: what came after the last piece.
    pub work: Option<Work>,
    /// Microseconds since the clock was made.
    pub end: f64,
}

/// Takes the time at the end of each piece.
pub struct Clock {
    origin: Instant,
    begin: Cell<f64>,
    pieces: RefCell<Vec<Piece>>,
}

impl Clock {
    pub fn new(origin: Instant) -> Self {
        // Bands tell their steps many times.
        Self { origin, begin: Cell::new(0.0), pieces: RefCell::new(Vec::with_capacity(1 << 14)) }
    }

    fn now(&self) -> f64 {
        self.origin.elapsed().as_secs_f64() * 1e6
    }

    /// Begins a frame.
    pub fn begin(&self) {
        self.pieces.borrow_mut().clear();
        self.begin.set(self.now());
    }

    /// For [`quiescent::Engine::observe`].
    pub fn tick(&self, work: Work) {
        let end = self.now();
        self.pieces.borrow_mut().push(Piece { work: Some(work), end });
    }

    /// Ends the frame: its begin and its pieces, the last of which is its rest.
    pub fn end(&self) -> (f64, Vec<Piece>) {
        let end = self.now();
        let mut pieces = self.pieces.borrow().clone();
        pieces.push(Piece { work: None, end });
        (self.begin.get(), pieces)
    }
}
