//! What work costs: multiply-accumulates, or time where it has been measured on the machine.
//!
//! A step over some rows takes about `fixed + rows * row`: finding the rows and reading the weights, then the rows
//! themselves. Budgets, pauses and the fall back to dense execution weigh work in these units.

use core::fmt;
use core::ops::Range;

use super::Engine;

/// Time of a step over some rows, as measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTime {
    /// However few rows, in nanoseconds.
    pub fixed_ns: u32,
    /// Of each row, in picoseconds.
    pub row_ps: u32,
}

/// Times of an artifact on one machine with one kernel set.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a> {
    /// A gated frame in which nothing changed: comparing the input, looking for marks. In nanoseconds.
    pub frame_ns: u32,
    /// A dense frame, in nanoseconds.
    pub dense_ns: u32,
    /// One entry a step.
    pub steps: &'a [StepTime],
}

/// Times of another artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimesError {
    /// Steps of the artifact.
    pub needed: usize,
    /// Steps with times.
    pub given: usize,
}

impl fmt::Display for TimesError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let TimesError { needed, given } = self;
        write!(f, "there are times of {given} steps, the artifact has {needed}: they are of another one")
    }
}

impl core::error::Error for TimesError {}

impl<'a> Engine<'a> {
    /// Weighs work by measured times, in picoseconds, or by multiply-accumulates without.
    pub fn set_times(&mut self, times: Option<Times<'a>>) -> Result<(), TimesError> {
        let (needed, given) = (self.model.steps.len(), times.map_or(0, |t| t.steps.len()));
        if times.is_some() && given != needed {
            return Err(TimesError { needed, given });
        }
        self.times = times;
        self.cost_per_pixel = 0.0;
        self.ledger = Default::default();
        Ok(())
    }

    /// Step `i` over so many rows.
    pub(super) fn price(&self, i: usize, rows: usize) -> u64 {
        match self.times.and_then(|t| t.steps.get(i)) {
            _ if rows == 0 => 0,
            Some(t) => 1000 * t.fixed_ns as u64 + rows as u64 * t.row_ps as u64,
            None => rows as u64 * self.model.steps[i].macs as u64,
        }
    }

    /// Steps over all their rows, by the same measure.
    pub(super) fn price_of_all(&self, steps: Range<usize>) -> u64 {
        steps.map(|i| self.price(i, self.model.tensors[self.model.steps[i].output as usize].rows())).sum()
    }

    /// A gated frame without any row.
    pub(super) fn price_of_frame(&self) -> u64 {
        self.times.map_or(0, |t| 1000 * t.frame_ns as u64)
    }

    /// A dense frame.
    pub(super) fn price_of_dense(&self) -> u64 {
        self.times.map_or(self.model.header.cost.macs.get(), |t| 1000 * t.dense_ns as u64)
    }
}
