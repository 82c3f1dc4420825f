//! What only some artifacts need of the engine: reached through a table, so that a firmware links what its own
//! artifact needs ([`Kernels::only`](crate::kernels::Kernels::only)) as it does of kernels.
//!
//! An operator that is not in the table is not linked: a file that has it is refused.

use super::band::Part;
use super::conv::Prepared;
use super::crew::Seat;
use super::elementwise::{Run, run_of};
use super::ops::{Target, tile_of};
use super::room::MARKED;
use super::run::{Rows, lines_of};
use super::tiles::Tile;
use super::{Engine, Frame};
use crate::format::{Op, Step, Tensor};

/// The table.
#[derive(Clone, Copy)]
pub(crate) struct Linked {
    operators: [Option<Operator>; Op::COUNT],
    /// What artifacts need whose frames are compared.
    pub gates: Option<Gates>,
}

/// Runs the output pixels of a tile: input and output of the step, where the rows of results go. `None` only for records the check refuses.
pub(super) type RunTile = fn(&Engine, &Step, [&Tensor; 2], &Tile, &Target) -> Option<()>;

/// Runs rows without gaps. `None` as above.
pub(super) type RunRows = fn(&Engine, &Step, &Run) -> Option<()>;

/// What an operator needs.
#[derive(Clone, Copy)]
pub(crate) struct Operator {
    /// Runs some of its output's lines, whole.
    pub(super) lines: fn(&Engine, &Step, &Part),
    /// Runs a tile of its output.
    pub(super) tile: RunTile,
    /// Runs packed rows, of element-wise operators.
    pub(super) run: RunRows,
}

/// What gated frames need.
#[derive(Clone, Copy)]
pub(crate) struct Gates {
    /// Takes over what has changed; `false` where the frame is to be computed whole.
    pub(super) take: fn(&mut Engine, &Frame) -> bool,
    /// Executes what that reaches.
    pub(super) run: fn(&mut Engine),
    /// Runs marked rows of a part.
    pub(super) marked: fn(&Engine, &Step, Option<&Prepared>, Rows, &Part),
    /// The same past the step's gate.
    pub(super) judged: fn(&Engine, &Step, Option<&Prepared>, &Part, Seat),
    /// Runs listed rows of an element-wise step, results from an address on.
    pub(super) elementwise: fn(&Engine, &Step, &mut Tile, *mut u8) -> Option<()>,
}

impl Linked {
    /// Everything.
    pub const ALL: Self = {
        let mut operators = [None; Op::COUNT];
        let mut code = 0;
        while let Some(op) = Op::new(code as u16) {
            operators[code] = Some(Operator { lines: lines_of(op), tile: tile_of(op), run: run_of(op) });
            code += 1;
        }
        let gates = Gates {
            take: |engine, frame| engine.take(frame),
            run: |engine| engine.run_segments(),
            marked: |engine, step, conv, rows, part| engine.run_tiles::<MARKED>(step, conv, rows, part),
            judged: |engine, step, conv, part, seat| engine.judge_tiles(step, conv, part, seat),
            elementwise: |engine, step, tile, start| engine.rows_elementwise(step, tile, start),
        };
        Self { operators, gates: Some(gates) }
    };

    /// What of it these operators need, a bit for each code, with gates or without.
    pub const fn only(mut self, ops: u32, gates: bool) -> Self {
        let mut code = 0;
        while code < Op::COUNT {
            if ops >> code & 1 == 0 {
                self.operators[code] = None;
            }
            code += 1;
        }
        if !gates {
            self.gates = None;
        }
        self
    }

    /// What the operator needs, where it is linked.
    pub fn of(&self, op: Op) -> Option<&Operator> {
        self.operators.get(op as usize)?.as_ref()
    }
}
