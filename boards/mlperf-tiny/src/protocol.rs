//! Commands in, answers out.

use core::fmt::{self, Write};

/// Longest command, in bytes.
const COMMAND: usize = 80;
/// Inferences to warm up where the command does not say.
const WARM_UP: usize = 10;
/// Bytes in a line of `db print`.
const PRINTED: usize = 8;

/// A serial line and a way to mark points in time.
pub trait Board {
    /// Sends bytes.
    fn send(&mut self, bytes: &[u8]);
    /// Marks this moment: microseconds since some start; `None` where the mark is an edge on a pin, for a meter beside.
    fn mark(&mut self) -> Option<u64>;
    /// Whether marks are edges.
    fn measures_energy(&self) -> bool;
}

/// What is measured.
pub trait Network {
    /// Its name among the benchmarks.
    fn name(&self) -> &'static str;
    /// Bytes of an input as the host sends it.
    fn input_len(&self) -> usize;
    /// Takes an input of that length.
    fn load(&mut self, input: &[u8]);
    /// Computes; `false` if that failed.
    fn infer(&mut self) -> bool;
    /// Number of results.
    fn results(&self) -> usize;
    /// Result `i`.
    fn result(&self, i: usize) -> f32;
}

/// A device under test.
pub struct Dut<'a, B, N> {
    board: B,
    network: N,
    command: [u8; COMMAND],
    /// Bytes received of a command; more than fit if it is too long.
    received: usize,
    buffer: &'a mut [u8],
    /// Bytes announced and bytes there.
    size: usize,
    filled: usize,
}

impl<B: Board, N> Write for Dut<'_, B, N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.board.send(s.as_bytes());
        Ok(())
    }
}

/// An answer: a line.
macro_rules! answer {
    ($dut:expr, $($t:tt)*) => {{ let _ = write!($dut, "{}\r\n", format_args!($($t)*)); }};
}

impl<'a, B: Board, N: Network> Dut<'a, B, N> {
    /// With memory for an input.
    pub fn new(board: B, network: N, buffer: &'a mut [u8]) -> Self {
        Dut { board, network, command: [0; COMMAND], received: 0, buffer, size: 0, filled: 0 }
    }

    /// Says that it is there.
    pub fn greet(&mut self) {
        let mode = if self.board.measures_energy() { "energy" } else { "performance" };
        answer!(self, "m-timestamp-mode-{mode}");
        self.mark();
        answer!(self, "m-init-done");
        answer!(self, "m-ready");
    }

    /// Takes a byte from the host; with the last one of a command, executes it.
    pub fn receive(&mut self, byte: u8) {
        if byte != b'%' {
            if !byte.is_ascii_control() {
                if let Some(place) = self.command.get_mut(self.received) {
                    *place = byte;
                }
                self.received = (self.received + 1).min(COMMAND + 1);
            }
            return;
        }
        let (command, len) = (self.command, core::mem::take(&mut self.received));
        match command.get(..len).map(core::str::from_utf8) {
            Some(Ok(command)) => self.execute(command),
            Some(Err(_)) => answer!(self, "e-[Command is not text]"),
            None => answer!(self, "e-[Command is longer than {COMMAND} bytes]"),
        }
        answer!(self, "m-ready");
    }

    fn execute(&mut self, command: &str) {
        let mut words = command.split_ascii_whitespace();
        match words.next().unwrap_or("") {
            "name" => answer!(self, "m-name-dut-[quiescent]"),
            "profile" => {
                answer!(self, "m-profile-[ULPMark for tinyML Firmware V0.0.1]");
                answer!(self, "m-model-[{}]", self.network.name());
            }
            "help" => {
                answer!(self, "name, profile, timestamp, results, help");
                answer!(self, "db load N, db HEX, db print, infer [N [W]]");
            }
            "timestamp" => self.mark(),
            "db" => self.buffer(words),
            "infer" => match [words.next(), words.next()].map(|word| word.map(str::parse::<usize>)) {
                [None, _] => self.infer(1, WARM_UP),
                [Some(Ok(n)), None] if n > 0 => self.infer(n, WARM_UP),
                [Some(Ok(n)), Some(Ok(warm_up))] if n > 0 => self.infer(n, warm_up),
                [Some(Ok(n)), Some(Err(_))] if n > 0 => answer!(self, "e-[Inference warmup must be >=0]"),
                _ => answer!(self, "e-[Inference iterations must be >0]"),
            },
            "results" => self.print_results(),
            other => answer!(self, "e-[Unknown command: {other}]"),
        }
    }

    fn mark(&mut self) {
        if let Some(us) = self.board.mark() {
            answer!(self, "m-lap-us-{us}");
        }
    }

    fn buffer<'w>(&mut self, mut words: impl Iterator<Item = &'w str>) {
        match words.next() {
            None => answer!(self, "e-[Command 'db' requires a subcommand]"),
            Some("load") => match words.next().map(str::parse::<usize>) {
                Some(Ok(n)) if (1..=self.buffer.len()).contains(&n) => {
                    (self.size, self.filled) = (n, 0);
                    answer!(self, "m-[Expecting {n} bytes]");
                }
                Some(Ok(n)) if n > 0 => answer!(self, "e-[Buffer of {n} bytes exceeds maximum of {}]", self.buffer.len()),
                _ => answer!(self, "e-[Command 'db load' must be >0 bytes]"),
            },
            Some("print") => {
                for start in (0..self.filled).step_by(PRINTED) {
                    let _ = write!(self, "m-buffer");
                    for i in start..self.filled.min(start + PRINTED) {
                        let byte = self.buffer[i];
                        let _ = write!(self, "-{byte:02x}");
                    }
                    answer!(self, "");
                }
            }
            Some(hex) => self.fill(hex.as_bytes()),
        }
    }

    fn fill(&mut self, hex: &[u8]) {
        let (pairs, []) = hex.as_chunks::<2>() else {
            return answer!(self, "e-[Insufficient number of hex digits]");
        };
        let digit = |c: u8| (c as char).to_digit(16);
        for [high, low] in pairs {
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                return answer!(self, "e-[Invalid hex digit]");
            };
            if self.filled >= self.size {
                return answer!(self, "e-[More bytes than 'db load' announced]");
            }
            self.buffer[self.filled] = (high << 4 | low) as u8;
            self.filled += 1;
        }
        if self.filled == self.size && !pairs.is_empty() {
            answer!(self, "m-load-done");
        }
    }

    fn infer(&mut self, n: usize, warm_up: usize) {
        let (given, wanted) = (self.filled, self.network.input_len());
        if given != wanted {
            return answer!(self, "e-[Input has {given} bytes, {wanted} are needed]");
        }
        self.network.load(&self.buffer[..given]);
        answer!(self, "m-warmup-start-{warm_up}");
        let mut good = (0..warm_up).all(|_| self.network.infer());
        answer!(self, "m-warmup-done");
        answer!(self, "m-infer-start-{n}");
        self.mark();
        good &= (0..n).all(|_| self.network.infer());
        self.mark();
        answer!(self, "m-infer-done");
        match good {
            true => self.print_results(),
            false => answer!(self, "e-[Inference failed]"),
        }
    }

    fn print_results(&mut self) {
        let _ = write!(self, "m-results-[");
        for i in 0..self.network.results() {
            let value = Thousandths(self.network.result(i));
            let _ = write!(self, "{}{value}", if i > 0 { "," } else { "" });
        }
        answer!(self, "]");
    }
}

/// A number with three decimals, without the formatting of floats, which is larger than the rest.
struct Thousandths(f32);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let magnitude = if self.0 < 0.0 { -self.0 } else { self.0 };
        let n = (magnitude * 1000.0 + 0.5) as u64;
        write!(f, "{}{}.{:03}", if self.0 < 0.0 && n > 0 { "-" } else { "" }, n / 1000, n % 1000)
    }
}
