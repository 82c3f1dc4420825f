//! Runs a benchmark of MLPerf Tiny on a device.
//!
//! ```text
//! runner BENCHMARK DIR performance [N W]       -- DEVICE ARGS..
//! runner BENCHMARK DIR energy [N W]            -- DEVICE ARGS..
//! runner BENCHMARK DIR accuracy [FIRST] [FILE] -- DEVICE ARGS..
//! ```
//!
//! DEVICE is a program that speaks the protocol on its standard input and output; `--port PORT` in the place of `--` is a serial
//! port. DIR holds, made by `quiescent-benches`' program `tiny`:
//!
//! ```text
//! BENCHMARK.inputs     inputs as they are sent, one after another
//! BENCHMARK.float      little-endian f32: the float model's results for each
//! BENCHMARK.labels     a byte for each, where there are labels
//! ```
//!
//! Performance: the median of the microseconds of an inference over up to five inputs, N inferences each after W to warm up.
//! Energy: the same conversation, the device gives edges instead of times. Accuracy: all inputs once, judged as the benchmark
//! wants it; of the FIRST few the results are written to FILE, and not judged.

mod link;

use std::path::Path;
use std::process::ExitCode;

use link::{Link, field};
use quiescent_mlperf_tiny::network::Benchmark;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("runner: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Inputs and what is known about them.
struct Data {
    inputs: Vec<Vec<u8>>,
    float: Vec<Vec<f32>>,
    labels: Vec<u8>,
}

impl Data {
    fn read(dir: &Path, benchmark: Benchmark) -> Result<Self, String> {
        let path = |kind: &str| dir.join(benchmark.name()).with_extension(kind);
        let file = |kind: &str| std::fs::read(path(kind)).map_err(|e| format!("{}: {e}", path(kind).display()));
        let reals: Vec<f32> = file("float")?.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let data = Data {
            inputs: file("inputs")?.chunks(benchmark.input_bytes()).map(<[u8]>::to_vec).collect(),
            float: reals.chunks(benchmark.results()).map(<[f32]>::to_vec).collect(),
            labels: if path("labels").exists() { file("labels")? } else { vec![] },
        };
        let n = data.inputs.len();
        let whole = n > 0 && data.inputs[n - 1].len() == benchmark.input_bytes() && data.float.len() == n;
        match whole && (data.labels.is_empty() || data.labels.len() == n) {
            true => Ok(data),
            false => Err(format!("{}: inputs, results and labels do not belong together", dir.display())),
        }
    }
}

fn run(args: &[String]) -> Result<bool, String> {
    let split = args.iter().position(|a| a == "--" || a == "--port").unwrap_or(args.len());
    let (own, device) = args.split_at(split);
    let [name, dir, mode, rest @ ..] = own else { return Err("BENCHMARK DIR performance|energy|accuracy -- DEVICE".into()) };
    let benchmark = Benchmark::new(name).ok_or(format!("{name} is none of {:?}", Benchmark::ALL.map(Benchmark::name)))?;
    let data = Data::read(Path::new(dir), benchmark)?;
    let count = |i: usize, default: usize| match rest.get(i) {
        Some(n) => n.parse::<usize>().map_err(|_| format!("{n:?} is no count")),
        None => Ok(default),
    };
    let mut link = match device {
        [flag, port] if flag == "--port" => Link::open(port)?,
        _ => Link::start(device.get(1..).unwrap_or(&[]))?,
    };
    let model = link.good("profile")?;
    let model = field(&model, "m-model-")?;
    if model != format!("[{name}]") {
        return Err(format!("the device runs {model}"));
    }
    let answer = link.good("name")?;
    println!("{name} on {}, {}", field(&answer, "m-name-dut-")?, link.greeting.first().map_or("", |l| l));
    match mode.as_str() {
        "performance" => performance(&mut link, &data, count(0, 10)?, count(1, 1)?),
        "energy" => energy(&mut link, &data, count(0, 10)?, count(1, 1)?),
        "accuracy" => match rest {
            [] => {
                let found = results(&mut link, &data.inputs)?;
                Ok(judge(benchmark, &data, &found.iter().map(|f| f.1.clone()).collect::<Vec<_>>()))
            }
            [_, file] => {
                let first = count(0, 0)?.min(data.inputs.len());
                let lines: Vec<String> = results(&mut link, &data.inputs[..first])?.into_iter().map(|f| f.0 + "\n").collect();
                std::fs::write(file, lines.concat()).map_err(|e| format!("{file}: {e}"))?;
                println!("{first} results in {file}");
                Ok(true)
            }
            _ => Err("accuracy takes nothing, or FIRST and FILE".into()),
        },
        other => Err(format!("{other} is none of performance, energy, accuracy")),
    }
}

/// Inputs of the performance and the energy mode.
const MEASURED: usize = 5;

fn laps(lines: &[String]) -> Vec<u64> {
    lines.iter().filter_map(|l| l.strip_prefix("m-lap-us-")?.parse().ok()).collect()
}

fn performance(link: &mut Link, data: &Data, n: usize, warm_up: usize) -> Result<bool, String> {
    let mut times = vec![];
    for input in data.inputs.iter().take(MEASURED) {
        link.load(input)?;
        let answer = link.good(&format!("infer {n} {warm_up}"))?;
        let [start, end] = laps(&answer)[..] else { return Err(format!("two times are needed: {answer:?}")) };
        times.push((end - start) as f64 / n as f64);
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("median {median:.1} us, {:.2} inferences a second", 1e6 / median);
    Ok(true)
}

fn energy(link: &mut Link, data: &Data, n: usize, warm_up: usize) -> Result<bool, String> {
    if !link.greeting.is_empty() && !link.greeting.iter().any(|l| l == "m-timestamp-mode-energy") {
        return Err(format!("the device is not in energy mode: {:?}", link.greeting));
    }
    for input in data.inputs.iter().take(MEASURED) {
        link.load(input)?;
        let answer = link.good(&format!("infer {n} {warm_up}"))?;
        if !laps(&answer).is_empty() {
            return Err(format!("times on the line, which a meter would measure too: {answer:?}"));
        }
        field(&answer, "m-results-")?;
    }
    println!("{} inputs, {n} inferences each between two edges", data.inputs.len().min(MEASURED));
    Ok(true)
}

/// The line of results of each input, and its numbers.
fn results(link: &mut Link, inputs: &[Vec<u8>]) -> Result<Vec<(String, Vec<f32>)>, String> {
    let mut all = vec![];
    for input in inputs {
        link.load(input)?;
        let answer = link.good("infer 1 0")?;
        let line = field(&answer, "m-results-")?;
        let numbers = line.trim_matches(['[', ']']).split(',').map(|n| n.parse().map_err(|_| format!("{line}: {n:?}")));
        all.push((line.to_string(), numbers.collect::<Result<_, _>>()?));
    }
    Ok(all)
}

fn top(results: &[f32]) -> usize {
    (0..results.len()).fold(0, |best, i| if results[i] > results[best] { i } else { best })
}

/// Says how good the results are, and whether that is good enough.
fn judge(benchmark: Benchmark, data: &Data, found: &[Vec<f32>]) -> bool {
    let share = |good: usize| 100.0 * good as f64 / found.len() as f64;
    let labelled = |all: &[Vec<f32>]| share(all.iter().zip(&data.labels).filter(|(r, l)| top(r) == **l as usize).count());
    let same = share(found.iter().zip(&data.float).filter(|(a, b)| top(a) == top(b)).count());
    let (text, good) = match benchmark {
        Benchmark::Kws01 => {
            let right = labelled(found);
            (
                format!("{right:.2} % right, at least 90 wanted (float {:.2} %, same decisions {same:.2} %)", labelled(&data.float)),
                right >= 90.0,
            )
        }
        Benchmark::Ic01 => {
            let (right, float) = (labelled(found), labelled(&data.float));
            (format!("{right:.2} % right, float {float:.2} %, at most 0.5 less wanted (same decisions {same:.2} %)"), right >= float - 0.5)
        }
        Benchmark::Vww01 => (format!("{same:.2} % of the decisions as in float, at least 99 wanted"), same >= 99.0),
        Benchmark::Ad01 => {
            let pairs = || found.iter().zip(&data.float).map(|(a, b)| (f64::from(a[0]), f64::from(b[0])));
            let error = (pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>() / pairs().map(|(_, b)| b.powi(2)).sum::<f64>()).sqrt();
            (format!("relative error of the scores {:.2} %, at most 3 wanted", 100.0 * error), error <= 0.03)
        }
    };
    println!("{} inputs: {text}: {}", found.len(), if good { "good" } else { "FAILED" });
    good
}
