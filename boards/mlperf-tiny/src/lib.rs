//! MLPerf Tiny's harness talks to a device over a serial line, in text: commands end with `%`, answers are lines that begin
//! `m-`, errors `e-`, and every command is done when `m-ready` comes.
//!
//! ```text
//! name%                  m-name-dut-[quiescent]
//! profile%               m-profile-[..], m-model-[kws01]
//! timestamp%             m-lap-us-N, or an edge on a pin where energy is measured
//! db load N%             m-[Expecting N bytes]
//! db HEX%                bytes of the input, m-load-done with the last one
//! infer N W%             W inferences to warm up, N between two timestamps, then the results
//! results%               m-results-[0.008,0.992]
//! ```
//!
//! [`protocol`] is the device's side, [`network`] puts an artifact behind it; neither needs an operating system or a heap. The
//! programs are `runner`, the host, and `desktop`, a device made of this machine.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod network;
pub mod protocol;
