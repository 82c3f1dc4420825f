//! The machine a measurement runs on: what it is, how fast and how hot it runs, and what it draws.
//!
//! Everything is read from files below a [`Root`], `/` on the machine itself, so that a container can name the place of its
//! host's `/proc` and `/sys`, and tests can name a recorded tree. What a machine does not tell is `None`, "not known" in print;
//! nothing is guessed.
//!
//! [`cpu`] says what the processor is, [`State`] how it is at one moment, [`Conditions`] what became of it over a run,
//! [`power`] what it draws. [`Watch`] reads all of it in a thread of its own while something else is measured.

mod clock;
mod conditions;
pub mod cpu;
mod parts;
pub mod power;
mod root;
mod state;
mod throttle;
mod watch;

pub use conditions::{Conditions, Span};
pub use root::Root;
pub use state::State;
pub use throttle::Throttle;
pub use watch::{Record, Watch};
