//! Conversations with a device that adds up its input.

use std::cell::RefCell;
use std::rc::Rc;

use quiescent_mlperf_tiny::protocol::{Board, Dut, Network};

#[derive(Clone, Default)]
struct Said(Rc<RefCell<String>>);

struct Line {
    said: Said,
    energy: bool,
    time: u64,
}

impl Board for Line {
    fn send(&mut self, bytes: &[u8]) {
        self.said.0.borrow_mut().push_str(std::str::from_utf8(bytes).unwrap());
    }

    fn mark(&mut self) -> Option<u64> {
        self.time += 1000;
        (!self.energy).then_some(self.time)
    }

    fn measures_energy(&self) -> bool {
        self.energy
    }
}

#[derive(Default)]
struct Adder {
    sum: i32,
    runs: usize,
    result: f32,
}

impl Network for Adder {
    fn name(&self) -> &'static str {
        "add01"
    }

    fn input_len(&self) -> usize {
        4
    }

    fn load(&mut self, input: &[u8]) {
        (self.sum, self.runs) = (input.iter().map(|b| *b as i8 as i32).sum(), 0);
    }

    fn infer(&mut self) -> bool {
        self.runs += 1;
        self.result = self.sum as f32 / 16.0;
        self.sum != 13
    }

    fn results(&self) -> usize {
        2
    }

    fn result(&self, i: usize) -> f32 {
        if i == 0 { self.result } else { self.runs as f32 }
    }
}

/// What a device says to each of `commands`, without the `m-ready` that ends it.
fn talk(energy: bool, commands: &[&str]) -> Vec<String> {
    let said = Said::default();
    let mut buffer = [0; 16];
    let mut dut = Dut::new(Line { said: said.clone(), energy, time: 0 }, Adder::default(), &mut buffer);
    dut.greet();
    let take = || {
        let text = said.0.take();
        let answer = text.strip_suffix("m-ready\r\n").unwrap_or_else(|| panic!("{text:?} does not end with m-ready"));
        answer.replace("\r\n", "\n").trim_end().to_string()
    };
    let mut all = vec![take()];
    for command in commands {
        command.bytes().for_each(|b| dut.receive(b));
        assert_eq!(*said.0.borrow(), "", "an answer before the end of {command:?}");
        dut.receive(b'%');
        all.push(take());
    }
    all
}

#[test]
fn a_measurement() {
    let said = talk(
        false,
        &["name", "profile", "timestamp", "db load 4", "db 0102", "db fF04", "db print", "infer 3 2", "results", "\r\ninfer 1"],
    );
    let infer = |n, w, from| {
        format!("m-warmup-start-{w}\nm-warmup-done\nm-infer-start-{n}\nm-lap-us-{from}\nm-lap-us-{}\nm-infer-done\n", from + 1000)
    };
    assert_eq!(
        said,
        [
            "m-timestamp-mode-performance\nm-lap-us-1000\nm-init-done",
            "m-name-dut-[quiescent]",
            "m-profile-[ULPMark for tinyML Firmware V0.0.1]\nm-model-[add01]",
            "m-lap-us-2000",
            "m-[Expecting 4 bytes]",
            "",
            "m-load-done",
            "m-buffer-01-02-ff-04",
            &(infer(3, 2, 3000) + "m-results-[0.375,5.000]"),
            "m-results-[0.375,5.000]",
            // As many to warm up as the harness's own firmware takes.
            &(infer(1, 10, 5000) + "m-results-[0.375,11.000]"),
        ]
    );
}

#[test]
fn energy_leaves_the_line_quiet() {
    let said = talk(true, &["timestamp", "db load 4", "db 00000080", "infer 2 0"]);
    let quiet = "m-warmup-start-0\nm-warmup-done\nm-infer-start-2\nm-infer-done\nm-results-[-8.000,2.000]";
    assert_eq!(said, ["m-timestamp-mode-energy\nm-init-done", "", "m-[Expecting 4 bytes]", "m-load-done", quiet]);
}

#[test]
fn errors_are_said() {
    let long = "x".repeat(81);
    let cases = [
        ("", "e-[Unknown command: ]"),
        ("infr", "e-[Unknown command: infr]"),
        ("n\u{e4}me", "e-[Unknown command: n\u{e4}me]"),
        (&long, "e-[Command is longer than 80 bytes]"),
        ("db", "e-[Command 'db' requires a subcommand]"),
        ("db load", "e-[Command 'db load' must be >0 bytes]"),
        ("db load 0", "e-[Command 'db load' must be >0 bytes]"),
        ("db load -1", "e-[Command 'db load' must be >0 bytes]"),
        ("db load 17", "e-[Buffer of 17 bytes exceeds maximum of 16]"),
        ("db load 99999999999999999999999", "e-[Command 'db load' must be >0 bytes]"),
        ("db 00", "e-[More bytes than 'db load' announced]"),
        ("db load 4", "m-[Expecting 4 bytes]"),
        ("db 0", "e-[Insufficient number of hex digits]"),
        ("db 0x", "e-[Invalid hex digit]"),
        ("db print", ""),
        ("infer 1 0", "e-[Input has 0 bytes, 4 are needed]"),
        ("db 0d000000", "m-load-done"),
        ("db 00", "e-[More bytes than 'db load' announced]"),
        ("infer 0", "e-[Inference iterations must be >0]"),
        ("infer x", "e-[Inference iterations must be >0]"),
        ("infer 1 -1", "e-[Inference warmup must be >=0]"),
        ("infer 1 0", "m-warmup-start-0\nm-warmup-done\nm-infer-start-1\nm-lap-us-2000\nm-lap-us-3000\nm-infer-done\ne-[Inference failed]"),
    ];
    let said = talk(false, &cases.map(|c| c.0));
    for ((command, wanted), found) in cases.iter().zip(&said[1..]) {
        assert_eq!(found, wanted, "{command:?}");
    }
}

#[test]
fn noise_does_no_harm() {
    let said = Said::default();
    let mut buffer = [0; 16];
    let mut dut = Dut::new(Line { said: said.clone(), energy: false, time: 0 }, Adder::default(), &mut buffer);
    let mut state = 1u32;
    for _ in 0..200_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Much of it in the commands' own words.
        let words = b"db load 16 print infer 1 0123456789abcdef %%";
        dut.receive(if state >> 31 == 0 { (state >> 16) as u8 } else { words[(state >> 16) as usize % words.len()] });
    }
    dut.receive(b'%');
    said.0.take();
    b"name%".iter().for_each(|b| dut.receive(*b));
    assert_eq!(said.0.take(), "m-name-dut-[quiescent]\r\nm-ready\r\n");
}
