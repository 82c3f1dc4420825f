//! Load once, step per frame.
//!
//! [`Engine::step`] is the main loop; [`run`](self) executes one step over its active rows, `spread` moves marks through
//! operators, `ops` turns records into kernel calls.

mod audit;
mod band;
mod border;
mod conv;
mod crew;
mod elementwise;
mod linked;
mod moves;
mod ops;
mod output;
mod price;
mod room;
mod run;
mod spread;
mod stats;
mod tiles;
mod whole;

pub use audit::Audit;
pub use crew::{Crew, LEAST};
pub use output::{Output, Outputs};
pub use price::{StepTime, Times, TimesError};
pub use stats::{Stats, StepStats, Work};

use core::fmt;

use band::Part;
pub(crate) use linked::Linked;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::arena::Arena;
use crate::format::{self, FormatError, Layout, Model, Op, Proven, Segment};
use crate::gate::input::Input;
use crate::kernels::Kernels;
use crate::mask;

/// One frame in the input's shape, row-major `[h, w, c]`.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'f> {
    /// Codes: camera pixels, or codes of any quantised source.
    Pixels(&'f [u8]),
    /// Reals, quantised on the way in by the input's scale.
    Values(&'f [f32]),
}

/// How frames are executed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Every row of every step.
    Dense,
    /// Only what changed; gate thresholds are multiplied by `scale` (0 is exact, 1 as calibrated). Where the artifact lets changes wait
    /// (`InputGate::wait`), outputs may be so many frames old; at 0 nothing waits.
    Gated {
        /// Factor of all thresholds, from 0.
        scale: f32,
    },
}

/// Why an artifact was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The artifact is damaged or hostile.
    Format(FormatError),
    /// The arena is smaller than [`format::arena_len`] says.
    Arena {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The arena does not start at a multiple of 8 bytes.
    ArenaUnaligned,
    /// The kernels were reduced to other operators ([`Kernels::only`]).
    Operator {
        /// What a step needs.
        op: Op,
    },
    /// The kernels were reduced to artifacts whose frames are all computed whole.
    Gates,
}

impl From<FormatError> for LoadError {
    fn from(e: FormatError) -> Self {
        LoadError::Format(e)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            LoadError::Format(e) => e.fmt(f),
            LoadError::Arena { needed, given } => {
                write!(f, "the arena has {given} bytes, the artifact needs {needed}")
            }
            LoadError::ArenaUnaligned => f.write_str("the arena does not start at a multiple of 8 bytes"),
            LoadError::Operator { op } => write!(f, "this program has been reduced to operators without {op:?}"),
            LoadError::Gates => f.write_str("this program has been reduced to artifacts without gates"),
        }
    }
}

impl core::error::Error for LoadError {}

/// Why a frame was not executed. The engine's state is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// The frame has another size than the input.
    FrameLength {
        /// Elements of the input.
        needed: usize,
        /// Elements of the frame.
        given: usize,
    },
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let StepError::FrameLength { needed, given } = self;
        write!(f, "the frame has {given} elements, the input takes {needed}")
    }
}

impl core::error::Error for StepError {}

/// Step and end of the raise of the input's thresholds under a budget.
const RAISE: (f32, f32) = (1.5, 64.0);

/// An artifact in execution. Holds no memory of its own: tensors, masks and counters live in the arena.
pub struct Engine<'a> {
    model: Model<'a>,
    arena: Arena<'a>,
    layout: Layout,
    kernels: &'a Kernels,
    mode: Mode,
    /// What work is weighed by, instead of multiply-accumulates.
    times: Option<Times<'a>>,
    /// Most a gated frame may cost.
    budget: Option<u64>,
    /// Gating may pause.
    adaptive: bool,
    /// The held tensors hold a computed frame.
    warm: bool,
    /// Largest scale a held row has been judged with since the last dense frame.
    loosest: f32,
    stats: Stats,
    /// What a marked input pixel has cost lately.
    cost_per_pixel: f32,
    /// Factor of the input's thresholds while the budget is short.
    raise: f32,
    /// What is taken out of the frame's pixels, in 1/16 codes: see `gate::shift`.
    shift: i32,
    ledger: whole::Ledger,
    /// Frames since one that was computed.
    idle: u32,
    /// Told after each piece of work.
    observer: Option<&'a dyn Fn(Work)>,
    /// Helps with large steps.
    crew: Option<&'a dyn Crew>,
}

impl<'a> Engine<'a> {
    /// Checks the artifact whole, then takes it and the arena into use. Nothing is copied, nothing allocated.
    ///
    /// `bytes` must start at a multiple of 4 bytes (64 is best), `arena` at a multiple of 8.
    pub fn load(bytes: &'a [u8], arena: &'a mut [u8], kernels: &'a Kernels) -> Result<Self, LoadError> {
        Self::new(format::check(bytes)?, arena, kernels)
    }

    /// Takes an artifact checked before and the arena into use: for several engines of one artifact, or one that was checked when it was baked
    /// ([`Baked`](format::Baked)), in a program that does not hold the check.
    pub fn new(model: Proven<'a>, arena: &'a mut [u8], kernels: &'a Kernels) -> Result<Self, LoadError> {
        let model = *model;
        let layout = format::layout(&model);
        let needed = model.header.arena_len as usize;
        if arena.len() < needed {
            return Err(LoadError::Arena { needed, given: arena.len() });
        }
        if !arena.as_ptr().cast::<u64>().is_aligned() {
            return Err(LoadError::ArenaUnaligned);
        }
        if let Some(op) = model.steps.iter().filter_map(|s| Op::new(s.op)).find(|op| kernels.linked.of(*op).is_none()) {
            return Err(LoadError::Operator { op });
        }
        if model.gated() && kernels.linked.gates.is_none() {
            return Err(LoadError::Gates);
        }
        let mut engine = Self {
            model,
            arena: Arena::new(arena),
            layout,
            kernels,
            mode: Mode::Gated { scale: 1.0 },
            times: None,
            budget: None,
            adaptive: false,
            warm: false,
            loosest: 0.0,
            stats: Stats::default(),
            cost_per_pixel: 0.0,
            raise: 1.0,
            shift: 0,
            ledger: Default::default(),
            idle: 0,
            observer: None,
            crew: None,
        };
        engine.reset();
        Ok(engine)
    }

    /// Forgets all frames: the next one is computed whole.
    pub fn reset(&mut self) {
        self.warm = false;
        self.stats = Stats::default();
        self.cost_per_pixel = 0.0;
        self.raise = 1.0;
        self.idle = 0;
        self.ledger = Default::default();
        for i in 0..self.model.tensors.len() {
            self.mask(i).fill(0);
            self.pending(i).fill(0);
            self.fill_border(i);
        }
        self.counters().fill(0);
    }

    /// Dense or gated from the next frame on. An artifact that does not hold its input ([`Model::gated`]) is computed whole in either mode. Rows kept under a larger scale may be too far off for a smaller one, so
    /// lowering the scale costs one dense frame.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Bounds the multiply-accumulates of every gated frame, or its predicted picoseconds where it has [`Times`]: the largest changes
    /// are computed first, the rest stays marked for the next frame; no frame waits. Frames that cannot be gated (the first, `reset`, dense mode) are
    /// not bounded.
    pub fn set_budget(&mut self, most: Option<u64>) {
        self.budget = most;
        self.raise = 1.0;
    }

    /// Lets gating pause while it does not pay: under a moving camera frames then run densely, but for a few that are gated to see
    /// whether it pays again. Off at first: every frame is gated.
    pub fn set_adaptive(&mut self, adaptive: bool) {
        self.adaptive = adaptive;
        self.ledger = Default::default();
    }

    /// Calls `observer` at the end of each piece of a frame's work, for profilers: what happened since the call before, or since
    /// the frame's begin, belongs to that piece. Steps without active rows are not told. It is called on the thread of the frame.
    pub fn observe(&mut self, observer: Option<&'a dyn Fn(Work)>) {
        self.observer = observer;
    }

    /// Lets the crew's threads share the work of every large step. Results stay the same, bit for bit. Without one, as at first, everything
    /// happens on the thread that calls [`step`](Self::step).
    pub fn set_crew(&mut self, crew: Option<&'a dyn Crew>) {
        self.crew = crew;
    }

    fn done(&self, work: Work) {
        if let Some(observer) = self.observer {
            observer(work);
        }
    }

    /// Executes one frame.
    pub fn step(&mut self, frame: Frame<'_>) -> Result<Outputs<'_>, StepError> {
        self.check(&frame)?;
        self.stats.begin();
        self.counters().fill(0);
        let gates = self.kernels.linked.gates.as_ref().filter(|gates| (gates.take)(self, &frame));
        match gates {
            Some(gates) => (gates.run)(self),
            None => {
                self.take_all(&frame);
                self.run_dense(0);
            }
        }
        self.settle(gates.is_none());
        self.stats.end();
        Ok(self.outputs())
    }

    /// Takes the whole frame over.
    // Apart from its caller, whose frame lies below everything that runs, as `take` is.
    #[inline(never)]
    fn take_all(&mut self, frame: &Frame) {
        self.shift = 0;
        if !self.model.gated() {
            self.fill_border(self.input_index());
        }
        self.input().take_all(frame);
        self.done(Work::Input);
    }

    /// Takes the frame's changed pixels over; `false` where it is to be computed whole: the first frame, dense mode, a scene cut, a refresh, a pause, an
    /// artifact without gates.
    #[inline(never)]
    fn take(&mut self, frame: &Frame) -> bool {
        if self.paused() || self.refresh_due() || !self.detect(frame) {
            return false;
        }
        self.input().take(frame, self.mask(self.input_index()), self.input_grid());
        self.done(Work::Input);
        true
    }

    /// Everything the marked pixels reach.
    // Its frame lies below those of the kernels: what it calls else is apart.
    #[inline(never)]
    fn run_segments(&mut self) {
        self.stats.cost = self.price_of_frame();
        for segment in self.model.segments {
            if self.hopeless() {
                // Gating would only add to the cost of the rest.
                self.run_dense(segment.first as usize);
                break;
            }
            let before = self.stats.cost;
            let active = self.candidates(segment);
            self.done(Work::Marks);
            if active {
                self.run_gated(segment);
            }
            self.book(segment, self.stats.cost - before);
        }
    }

    /// Finds the changed pixels; `false` if the frame is to be computed whole.
    #[inline(never)]
    fn detect(&mut self, frame: &Frame) -> bool {
        let Mode::Gated { scale } = self.mode else { return false };
        if !self.warm || scale < self.loosest || !self.model.gated() {
            return false;
        }
        let (gate, index) = (self.model.header.input_gate, self.input_index());
        let (marked, strong) = (self.mask(index), self.strong());
        self.shift = self.input().common_shift(frame, (gate.shift as f32 * scale) as u8);
        if self.budget.is_none() && self.is_cut(frame, scale) {
            self.stats.pixels = (self.input_grid().h * self.input_grid().w) as u32;
            return false;
        }
        self.input().detect(frame, &gate, scale * self.raise, marked, strong, self.scratch());
        let mut changed = mask::count(marked);
        if let Some(budget) = self.budget {
            let most = budget.saturating_sub(self.price_of_frame()) as f32;
            let cost = changed as f32 * self.cost_per_pixel;
            if cost > most && scale > 0.0 && self.raise < RAISE.1 {
                // Larger changes first; what is left out is found again in a later frame. Comparing takes time too: twice at most.
                self.raise *= RAISE.0;
                self.input().detect(frame, &gate, scale * self.raise, marked, strong, self.scratch());
                changed = mask::count(marked);
            } else if cost * RAISE.0 < most {
                self.raise = (self.raise / RAISE.0).max(1.0);
            }
        }
        self.stats.waits = self.may_wait(scale, changed);
        if self.stats.waits {
            marked.fill(0);
        }
        (self.stats.pixels, self.stats.shift) = (changed as u32, self.shift);
        strong.fill(0);
        self.loosest = self.loosest.max(scale);
        true
    }

    /// Marks the rows each tensor of the segment may have to recompute; `false` if there are none.
    #[inline(never)]
    fn candidates(&self, segment: &Segment) -> bool {
        let steps = &self.model.steps[segment.first as usize..segment.end as usize];
        let mut any = false;
        for step in steps {
            let out = step.output as usize;
            let joined = self.join_of(step).is_some_and(|j| j.first == 0);
            if !joined {
                // Rows the budget put off come first.
                match self.pending(out) {
                    [] => self.mask(out).fill(0),
                    pending => {
                        self.mask(out).copy_from_slice(pending);
                        pending.fill(0);
                    }
                }
            }
            for input in 0..step.inputs_len as usize {
                if self.is_tensor(step, input) && self.any_marked(step.inputs[input] as usize) {
                    self.spread(step, input);
                }
            }
            any |= self.any_marked(out);
        }
        any && (steps.len() == 1 || self.needs(steps))
    }

    fn check(&self, frame: &Frame) -> Result<(), StepError> {
        let t = &self.model.tensors[self.input_index()];
        let needed = t.rows() * t.c as usize;
        let given = match frame {
            Frame::Pixels(p) => p.len(),
            Frame::Values(v) => v.len(),
        };
        if given == needed { Ok(()) } else { Err(StepError::FrameLength { needed, given }) }
    }

    /// The artifact.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// The kernel set in use.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name
    }

    fn input_index(&self) -> usize {
        self.model.header.input as usize
    }

    fn input_grid(&self) -> mask::Grid {
        spread::grid(&self.model.tensors[self.input_index()])
    }

    /// Data the check has proved present.
    fn array<T: FromBytes + KnownLayout + Immutable>(&self, offset: u32, len: usize) -> &'a [T] {
        self.model.array(offset, len).unwrap_or(&[])
    }

    fn mask(&self, tensor: usize) -> &'a mut [u64] {
        let t = &self.model.tensors[tensor];
        // SAFETY: masks lie behind the tensors, in order and disjoint (check); the engine takes each once at a time.
        unsafe { self.arena.words(t.mask as usize, self.mask_words(t)) }
    }

    /// Words of a mask; none where frames are all computed whole.
    fn mask_words(&self, t: &format::Tensor) -> usize {
        if self.model.gated() { t.mask_words() } else { 0 }
    }

    /// The mask of some of a tensor's lines.
    fn mask_lines(&self, tensor: usize, part: &Part) -> &'a mut [u64] {
        let t = &self.model.tensors[tensor];
        let (words, lines) = (t.words(), part.end - part.first);
        // SAFETY: as for `mask`; lines are whole words.
        unsafe { self.arena.words(t.mask as usize + 8 * part.first * words, lines * words) }
    }

    /// Rows the budget put off; there are none of scratch, nor of the input.
    fn pending(&self, tensor: usize) -> &'a mut [u64] {
        let t = &self.model.tensors[tensor];
        if !t.held() || tensor == self.input_index() {
            return &mut [];
        }
        // SAFETY: as for `mask`; this is the second half of the tensor's mask memory.
        unsafe { self.arena.words(t.mask as usize + 8 * self.mask_words(t), self.mask_words(t)) }
    }

    /// The input's strong pixels, before any scratch tensor has marks.
    fn strong(&self) -> &'a mut [u64] {
        let t = &self.model.tensors[self.input_index()];
        // SAFETY: the layout has room for a mask of the input there; masks of scratch tensors are not in use while a frame is compared.
        unsafe { self.arena.words(self.layout.strong, self.mask_words(t)) }
    }

    /// Room for the lists of a tile where steps run on one thread: memory in use before and after them. Where there are masks it has 26
    /// words at least.
    fn listing(&self) -> &'a mut [u32] {
        let at = self.layout.line;
        let words = (self.layout.total - at) / 4;
        // SAFETY: the line is in use while a frame is taken in or audited, the memory behind it while marks are spread, neither by a step;
        // tiles follow one another.
        unsafe { self.arena.words(at, words.min(tiles::WORDS)) }
    }

    fn any_marked(&self, tensor: usize) -> bool {
        mask::any(self.mask(tensor))
    }

    fn scratch(&self) -> &'a mut [u64] {
        // SAFETY: the layout keeps this part for mask functions, one at a time.
        unsafe { self.arena.words(self.layout.scratch, (self.layout.total - self.layout.scratch) / 8) }
    }

    /// Rows done, one counter per step.
    fn counters(&self) -> &'a mut [u32] {
        // SAFETY: the layout keeps this part for the counters.
        unsafe { self.arena.words(self.layout.stats, self.model.steps.len()) }
    }

    fn input(&self) -> Input<'a> {
        let t = &self.model.tensors[self.input_index()];
        let len = (t.h as usize - 1) * t.line as usize + t.w as usize * t.pixel as usize;
        // SAFETY: the input tensor and the line buffer are disjoint (layout), and nothing else is in use between steps.
        let (held, line) =
            unsafe { (self.arena.bytes_mut(t.origin as usize, len), self.arena.bytes_mut(self.layout.line, t.w as usize * t.c as usize)) };
        Input {
            kernels: self.kernels,
            tensor: t,
            held,
            scale: self.array(t.scale, t.quant_len as usize),
            zero: self.array(t.zero, t.quant_len as usize),
            line,
            shift: self.shift,
        }
    }
}
