//! Rows that an external meter writes while the measurement runs: a file that grows, a named pipe, standard input.
//!
//! The first line names the columns: a time, and power or voltage and current; others are ignored. A unit follows the name,
//! `time_ms`, `current (mA)`, or is the name, `watts`; without one it is s, W, V or A. Columns are parted by `,`, `;` or tabs,
//! lines that begin with `#` are skipped. See docs/measuring.md.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use super::{Facts, Kind, Meter, Series};

/// How long to wait for the first row.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the time column is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The first row is of the moment it was read, later ones follow by their own times.
    First,
    /// Seconds since 1970 by a clock that agrees with this machine's.
    Unix,
    /// Rows are of the moment they arrive; no time column is needed.
    Arrival,
}

impl std::str::FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "first" => Ok(Self::First),
            "unix" => Ok(Self::Unix),
            "arrival" => Ok(Self::Arrival),
            _ => Err("one of first, unix or arrival is needed".into()),
        }
    }
}

/// One row, and when it arrived.
#[derive(Clone, Copy, Debug)]
struct Row {
    arrived: Instant,
    time: f64,
    watts: f64,
}

pub struct Csv {
    name: String,
    clock: Clock,
    rows: Receiver<Result<Row>>,
    /// The first row, taken when the meter was opened, until it is sampled.
    first: Row,
    started: bool,
}

impl Csv {
    pub fn open(file: &str, clock: Clock) -> Result<Self> {
        let name = if file == "-" { "standard input".to_string() } else { file.to_string() };
        let (send, rows) = sync_channel(65536);
        let (path, label) = (file.to_string(), name.clone());
        // Not joined: it ends with the program where its source never ends.
        std::thread::spawn(move || {
            if let Err(e) = read(&path, clock, &send) {
                let _ = send.send(Err(e.context(format!("csv: {label}"))));
            }
        });
        let first = match rows.recv_timeout(PATIENCE) {
            Ok(row) => row?,
            Err(RecvTimeoutError::Timeout) => bail!("csv: {name} gave no row within {} s", PATIENCE.as_secs()),
            Err(RecvTimeoutError::Disconnected) => bail!("csv: {name} ended without a row"),
        };
        Ok(Self { name, clock, rows, first, started: false })
    }

    /// Seconds since `start`.
    fn place(&self, row: &Row, start: Instant) -> f64 {
        match self.clock {
            Clock::Arrival => between(start, row.arrived),
            Clock::First => between(start, self.first.arrived) + row.time - self.first.time,
            Clock::Unix => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
                row.time - now + start.elapsed().as_secs_f64()
            }
        }
    }
}

/// Seconds from `a` to `b`, negative where `b` is the earlier one.
fn between(a: Instant, b: Instant) -> f64 {
    b.checked_duration_since(a).map_or_else(|| -a.duration_since(b).as_secs_f64(), |d| d.as_secs_f64())
}

impl Meter for Csv {
    fn facts(&self) -> Facts {
        Facts {
            name: "csv",
            covers: format!("whatever the meter behind {} measures", self.name),
            kind: Kind::Power,
            step: None,
            every: Duration::from_millis(50),
            lag: Duration::from_millis(100),
            block: 5.0,
        }
    }

    fn sample(&mut self, start: Instant, series: &mut Series) -> Result<()> {
        if !self.started {
            self.started = true;
            series.push(self.place(&self.first, start), self.first.watts);
        }
        loop {
            match self.rows.try_recv() {
                Ok(row) => {
                    let row = row?;
                    series.push(self.place(&row, start), row.watts);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }
}

/// Reads until the receiver is gone or standard input ends; files are followed as they grow.
fn read(path: &str, clock: Clock, send: &SyncSender<Result<Row>>) -> Result<()> {
    let mut from: Box<dyn BufRead> = match path {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        _ => Box::new(BufReader::new(File::open(path).context("opening it")?)),
    };
    let mut columns: Option<Columns> = None;
    let (mut line, mut number) = (String::new(), 0);
    loop {
        let n = from.read_line(&mut line)?;
        if n == 0 && path == "-" {
            return Ok(());
        }
        // A line is whole once its end was written.
        if !line.ends_with('\n') {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        number += 1;
        let text = std::mem::take(&mut line);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some(columns) = &columns else {
            columns = Some(Columns::parse(text, clock).with_context(|| format!("line {number}"))?);
            continue;
        };
        let (time, watts) = columns.row(text).with_context(|| format!("line {number}"))?;
        if send.send(Ok(Row { arrived: Instant::now(), time, watts })).is_err() {
            return Ok(());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Time,
    Power,
    Voltage,
    Current,
}

/// Where the numbers are, and the factors that make them s, W, V and A.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    separator: char,
    time: Option<(usize, f64)>,
    power: Option<(usize, f64)>,
    product: Option<((usize, f64), (usize, f64))>,
}

impl Columns {
    pub fn parse(header: &str, clock: Clock) -> Result<Self> {
        let separator = [',', ';', '\t'].into_iter().find(|c| header.contains(*c)).unwrap_or(',');
        let named: Vec<_> = header.split(separator).map(column).collect();
        let of = |q: Quantity| named.iter().enumerate().find_map(|(i, c)| c.filter(|c| c.0 == q).map(|c| (i, c.1)));
        let columns = Self {
            separator,
            time: of(Quantity::Time),
            power: of(Quantity::Power),
            product: of(Quantity::Voltage).zip(of(Quantity::Current)),
        };
        if columns.time.is_none() && clock != Clock::Arrival {
            bail!("no column is a time: {header:?}; name one time, time_ms or timestamp, or give --power-clock arrival");
        }
        if columns.power.is_none() && columns.product.is_none() {
            bail!("no column is a power, and no two are voltage and current: {header:?}; name them watts, or volts and amps");
        }
        Ok(columns)
    }

    /// Seconds and watts. The time is 0 where there is no column of it.
    pub fn row(&self, text: &str) -> Result<(f64, f64)> {
        let cells: Vec<&str> = text.split(self.separator).collect();
        let number = |(i, factor): (usize, f64)| -> Result<f64> {
            let cell = cells.get(i).ok_or_else(|| anyhow!("{} columns where {} are needed", cells.len(), i + 1))?;
            let value = cell.trim().parse::<f64>().ok().filter(|v| v.is_finite());
            Ok(value.ok_or_else(|| anyhow!("{:?} is no number", cell.trim()))? * factor)
        };
        let watts = match (self.power, self.product) {
            (Some(power), _) => number(power)?,
            (None, Some((volts, amps))) => number(volts)? * number(amps)?,
            (None, None) => bail!("there is no column of power"),
        };
        Ok((self.time.map_or(Ok(0.0), number)?, watts))
    }
}

/// What a column's name says: a quantity, and the factor of its unit.
fn column(name: &str) -> Option<(Quantity, f64)> {
    let name = name.trim().trim_matches('"').to_lowercase();
    let mut words = name.split(|c: char| !c.is_alphanumeric() && c != 'µ' && c != 'μ').filter(|w| !w.is_empty());
    let (first, last) = (words.next()?, words.next_back());
    let quantity = match first {
        "time" | "timestamp" | "t" | "elapsed" => Some(Quantity::Time),
        "power" | "p" => Some(Quantity::Power),
        "voltage" | "bus" => Some(Quantity::Voltage),
        "current" => Some(Quantity::Current),
        _ => None,
    };
    match (quantity, last) {
        (Some(q), None) => Some((q, 1.0)),
        (Some(q), Some(word)) => unit(word).filter(|u| u.0 == q),
        (None, _) => unit(first),
    }
}

fn unit(word: &str) -> Option<(Quantity, f64)> {
    use Quantity::{Current, Power, Time, Voltage};
    Some(match word {
        "s" | "sec" | "seconds" => (Time, 1.0),
        "ms" => (Time, 1e-3),
        "us" | "µs" | "μs" => (Time, 1e-6),
        "ns" => (Time, 1e-9),
        "w" | "watt" | "watts" => (Power, 1.0),
        "mw" => (Power, 1e-3),
        "uw" | "µw" | "μw" => (Power, 1e-6),
        "v" | "volt" | "volts" => (Voltage, 1.0),
        "mv" => (Voltage, 1e-3),
        "uv" | "µv" | "μv" => (Voltage, 1e-6),
        "a" | "amp" | "amps" => (Current, 1.0),
        "ma" => (Current, 1e-3),
        "ua" | "µa" | "μa" => (Current, 1e-6),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watts(header: &str, row: &str) -> (f64, f64) {
        Columns::parse(header, Clock::First).unwrap().row(row).unwrap()
    }

    #[test]
    fn headers_name_columns_and_units() {
        assert_eq!(watts("time,watts", "1.5,4"), (1.5, 4.0));
        assert_eq!(watts("n;Time (ms);Power [mW]", "7;2500;1500"), (2.5, 1.5));
        assert_eq!(watts("timestamp\tvolts\tamps", "3\t5\t0.5"), (3.0, 2.5));
        assert_eq!(watts("t_us, current_mA, voltage_mV", "1000000, 500, 5000"), (1.0, 2.5));
        // Power wins where both are there.
        assert_eq!(watts("time,volts,amps,watts", "0,5,1,9"), (0.0, 9.0));
    }

    #[test]
    fn what_is_missing_is_named() {
        let why = |header: &str, clock| format!("{:#}", Columns::parse(header, clock).unwrap_err());
        assert!(why("watts", Clock::First).contains("--power-clock arrival"));
        assert!(Columns::parse("watts", Clock::Arrival).is_ok());
        assert!(why("time,amps", Clock::First).contains("volts and amps"));
        let row = Columns::parse("time,watts", Clock::First).unwrap();
        assert!(format!("{:#}", row.row("1").unwrap_err()).contains("1 columns"));
        assert!(format!("{:#}", row.row("1,x").unwrap_err()).contains("\"x\""));
        assert!(row.row("1,inf").is_err());
    }
}
