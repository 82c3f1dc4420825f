//! The readers of `machine` on trees like those of real boards: `tests/sysfs/*.txt`, a file a line (`path = content`, or
//! the content in indented lines below), unpacked into a folder that stands for `/`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use quiescent_tools::machine::cpu::Cpu;
use quiescent_tools::machine::power::csv::Clock;
use quiescent_tools::machine::power::energy::{Block, Energy, Plan};
use quiescent_tools::machine::power::{self, Choice, Facts, Kind, Meter, Series, pmic};
use quiescent_tools::machine::{Conditions, Root, Span, State, Watch};
use tempfile::TempDir;

struct Board {
    folder: TempDir,
    root: Root,
}

impl Board {
    fn set(&self, path: &str, content: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}\n")).unwrap();
    }

    fn state(&self) -> State {
        State::read(&self.root, None)
    }

    fn open(&self, meter: &str) -> anyhow::Result<Box<dyn Meter>> {
        power::open(&meter.parse::<Choice>().unwrap(), &self.root, Clock::First)
    }

    fn why(&self, meter: &str) -> String {
        format!("{:#}", self.open(meter).err().expect("no meter"))
    }

    /// Watts that a sampled meter reads now.
    fn watts(&self, meter: &str) -> f64 {
        let mut series = Series::new(Kind::Power);
        self.open(meter).unwrap().sample(Instant::now(), &mut series).unwrap();
        series.points()[0].1
    }

    fn conditions(&self, before: State, after: State) -> Conditions {
        let during = Span::of([&before, &after]);
        Conditions::new(&self.root, before, during, after)
    }
}

fn board(name: &str) -> Board {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sysfs").join(name).with_extension("txt")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let board = Board { root: Root::new(folder.path()), folder };
    let mut lines = text.lines().filter(|l| !l.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        let (path, content) = line.split_once(" =").unwrap();
        let mut content = content.trim().to_string();
        while let Some(more) = lines.next_if(|l| l.starts_with("    ")) {
            content += more.trim_start();
            content.push('\n');
        }
        board.set(path, &content);
    }
    board
}

#[test]
fn processors_have_names() {
    let cpu = |name: &str| Cpu::read(&board(name).root);
    let laptop = cpu("x86-laptop");
    assert_eq!(laptop.model.as_deref(), Some("Intel(R) Core(TM) i5-8250U CPU @ 1.60GHz"));
    assert_eq!(laptop.board.as_deref(), Some("LENOVO 20L5CTO1WW"));
    assert_eq!(laptop.cpus, Some(4));
    assert_eq!(cpu("raspberry-pi-4").model.as_deref(), Some("4 x ARM Cortex-A72"));
    assert_eq!(cpu("raspberry-pi-5").model.as_deref(), Some("4 x ARM Cortex-A76"));
    assert_eq!(cpu("raspberry-pi-5").board.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
    assert_eq!(cpu("jetson").model.as_deref(), Some("6 x ARM Cortex-A78AE"));
    let phone = cpu("phone");
    assert_eq!(phone.model.as_deref(), Some("2 x Qualcomm Kryo 4xx Silver + 2 x Qualcomm Kryo 4xx Gold"));
    assert_eq!((phone.core(1), phone.core(3)), (Some("Qualcomm Kryo 4xx Silver"), Some("Qualcomm Kryo 4xx Gold")));
    assert_eq!(phone.board, None);
    let unknown = board("virtual");
    unknown.set("proc/cpuinfo", "processor : 0\nCPU implementer : 0x77\nCPU part : 0x123");
    assert_eq!(Cpu::read(&unknown.root).model.as_deref(), Some("1 x implementer 0x77 part 0x123"));
}

#[test]
fn clock_and_heat() {
    let of = |name: &str| {
        let s = board(name).state();
        (s.mhz, s.mhz_max, s.celsius, s.zone)
    };
    // The busiest CPU; the processor's zone, though the radio is hotter.
    assert_eq!(of("x86-laptop"), (Some(3400.0), Some(3400.0), Some(71.0), Some("x86_pkg_temp".into())));
    assert_eq!(of("raspberry-pi-4"), (Some(1000.0), Some(1500.0), Some(82.3), Some("cpu-thermal".into())));
    assert_eq!(of("jetson").2, Some(88.406));
    assert_eq!(of("phone"), (Some(2419.2), Some(2419.2), Some(41.2), Some("cpu-1-0-usr".into())));
    assert_eq!(of("virtual"), (None, None, None, None));
}

#[test]
fn a_named_thread_has_its_own_clock() {
    let phone = board("phone");
    let mut stat: Vec<String> = (1..=52).map(|n| n.to_string()).collect();
    (stat[1], stat[38]) = ("(a b) c)".into(), "0".into());
    phone.set("proc/7/task/9/stat", &stat.join(" "));
    let state = State::read(&phone.root, Some("proc/7/task/9"));
    assert_eq!((state.cpu, state.mhz, state.governor.as_deref()), (Some(0), Some(1785.6), Some("schedutil")));
}

#[test]
fn throttling_is_seen_or_not_known() {
    let now = |name: &str| board(name).state().throttle;
    assert_eq!(now("raspberry-pi-4").now().as_deref(), Some("clock capped, throttled"));
    assert_eq!(now("raspberry-pi-5").now(), None);
    assert!(now("raspberry-pi-5").known());
    assert_eq!(now("jetson").now().as_deref(), Some("clock limited by heat (cooling state 3)"));
    assert_eq!(now("x86-laptop").x86_events, Some(32));
    assert_eq!(now("x86-laptop").cooling_state, Some(0));
    assert!(!now("virtual").known());

    let laptop = board("x86-laptop");
    let before = laptop.state();
    laptop.set("sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count", "10");
    assert_eq!(before.throttle.until(&laptop.state().throttle).as_deref(), Some("slowed by heat 7 times"));
    let pi = board("raspberry-pi-5");
    let before = pi.state();
    pi.set("sys/devices/platform/soc/soc:firmware/get_throttled", "50000");
    assert_eq!(before.throttle.until(&pi.state().throttle).as_deref(), Some("supply voltage too low, throttled"));
    // What happened before the run is not of the run.
    assert_eq!(pi.state().throttle.until(&pi.state().throttle), None);
}

#[test]
fn doubts_are_said() {
    let pi = board("raspberry-pi-5");
    let quiet = pi.conditions(pi.state(), pi.state());
    assert!(quiet.warnings.is_empty(), "{:?}", quiet.warnings);
    assert!(quiet.text().contains("throttled  no\n"), "{}", quiet.text());
    let before = pi.state();
    for cpu in 0..4 {
        pi.set(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq"), "1500000");
        pi.set(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"), "ondemand");
    }
    pi.set("sys/devices/platform/soc/soc:firmware/get_throttled", "40004");
    let loud = pi.conditions(before, pi.state());
    for word in ["ondemand, not performance", "between 1500 and 2400 MHz", "throttled during the measurement: throttled"] {
        assert!(loud.warnings.iter().any(|w| w.contains(word)), "{word}: {:?}", loud.warnings);
    }
    let nothing = board("virtual");
    let c = nothing.conditions(nothing.state(), nothing.state());
    assert!(c.warnings.is_empty());
    for line in ["governor   not known\n", "clock MHz  not known\n", "heat C     not known\n", "throttled  not known\n"] {
        assert!(c.text().contains(line), "{line:?} in {}", c.text());
    }
    let phone = board("phone");
    let state = |cpu| State { cpu: Some(cpu), ..Default::default() };
    assert!(phone.conditions(state(0), state(2)).warnings.iter().any(|w| w.contains("different kinds")));
    assert!(!phone.conditions(state(0), state(1)).warnings.iter().any(|w| w.contains("different kinds")));
}

#[test]
fn rapl_counts_packages_and_memory_over_the_end_of_its_range() {
    let laptop = board("x86-laptop");
    let mut meter = laptop.open("rapl").unwrap();
    assert!(meter.facts().covers.starts_with("package-0 + dram:"), "{}", meter.facts().covers);
    let mut series = Series::new(Kind::Counter);
    let start = Instant::now();
    meter.sample(start, &mut series).unwrap();
    // 0.328850 J to the end of the range, 1.671150 J from its begin, and 3 J of memory.
    laptop.set("sys/class/powercap/intel-rapl:0/energy_uj", "1671150");
    laptop.set("sys/class/powercap/intel-rapl:0:2/energy_uj", "8000000");
    std::thread::sleep(Duration::from_millis(2));
    meter.sample(start, &mut series).unwrap();
    let joules = series.points()[1].1 - series.points()[0].1;
    assert!((joules - 5.0).abs() < 1e-9, "{joules}");
    laptop.set("sys/class/powercap/intel-rapl:0/energy_uj", "soon");
    assert!(meter.sample(start, &mut series).unwrap_err().to_string().contains("energy_uj"));
}

#[test]
fn rails_and_batteries() {
    // The input alone, not the rails behind it.
    assert!((board("jetson").watts("hwmon") - 7.4).abs() < 1e-9);
    assert!((board("phone").watts("battery") - 1.95).abs() < 1e-9);

    let ina = board("virtual");
    ina.set("sys/class/hwmon/hwmon3/name", "ina226");
    ina.set("sys/class/hwmon/hwmon3/power1_input", "2575000");
    assert!((ina.watts("hwmon") - 2.575).abs() < 1e-9);
    // A second one without a name: which of them feeds the board?
    ina.set("sys/class/hwmon/hwmon4/name", "ina219");
    ina.set("sys/class/hwmon/hwmon4/power1_input", "1");
    assert!(ina.why("hwmon").contains("count power twice: ina226 (hwmon3), ina219 (hwmon4)"), "{}", ina.why("hwmon"));

    assert!(board("x86-laptop").why("battery").contains("BAT0 is Charging"));
    assert!(board("raspberry-pi-5").why("hwmon").contains("no power sensor"));
}

#[test]
fn what_is_missing_has_a_reason() {
    let nothing = board("virtual");
    let why = nothing.why("auto");
    for word in ["rapl:", "hwmon:", "pmic:", "battery:", "csv:FILE"] {
        assert!(why.contains(word), "{word}: {why}");
    }
    let auto = |name: &str| board(name).open("auto").unwrap().facts().name;
    assert_eq!((auto("x86-laptop"), auto("jetson"), auto("phone")), ("rapl", "hwmon", "battery"));
    assert!("usb".parse::<Choice>().is_err() && "csv:".parse::<Choice>().is_err());

    // As the kernel leaves it: for root alone. Root itself can read it in any case.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let laptop = board("x86-laptop");
        let file = laptop.folder.path().join("sys/class/powercap/intel-rapl:0/energy_uj");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(&file).is_err() {
            assert!(laptop.why("rapl").contains("chmod a+r"), "{}", laptop.why("rapl"));
        }
    }
}

#[test]
fn pmic_output_is_summed_by_rail() {
    let text = "     3V7_WL_SW_A current(0)=0.10000000A\n     VDD_CORE_A current(7)=2.00000000A\n   EXT5V_A=oops\n \
        3V7_WL_SW_V volt(8)=3.70000000V\n     VDD_CORE_V volt(15)=0.90000000V\n        EXT5V_V volt(24)=5.14508000V\n";
    assert!((pmic::watts(text).unwrap() - 2.17).abs() < 1e-9);
    assert!(pmic::watts("Command not registered").unwrap_err().to_string().contains("Raspberry Pi 5"));
    assert!(pmic::watts("").is_err());
}

fn facts(kind: Kind) -> Facts {
    Facts { name: "test", covers: "all".into(), kind, step: None, every: Duration::ZERO, lag: Duration::from_millis(100), block: 1.0 }
}

/// 1 W idle, 3 W dense, 2 W gated, in stretches of 2 s, four of each kind in turn, then idle again at `after` watts; readings
/// each 50 ms with a ripple of `ripple` watts.
fn plan(kind: Kind, after: f64, ripple: f64) -> (Series, Plan) {
    let mut levels = vec![1.0];
    levels.extend([3.0, 2.0, 2.0, 3.0, 3.0, 2.0, 2.0, 3.0]);
    levels.push(after);
    let (mut series, mut joules) = (Series::new(kind), 0.0);
    for i in 0..levels.len() * 40 {
        let watts = levels[i / 40] + if i % 2 == 0 { ripple } else { -ripple };
        let at = i as f64 / 20.0;
        series.push(at, if kind == Kind::Counter { joules } else { watts });
        joules += watts / 20.0;
    }
    let block = |i: usize, frames| Block { from: 2.0 * i as f64, to: 2.0 * i as f64 + 1.999, frames };
    let of = |w: f64, frames| levels.iter().enumerate().filter(move |l| *l.1 == w).map(move |l| block(l.0, frames)).collect();
    let plan = Plan { idle_before: Some(block(0, 0)), idle_after: Some(block(9, 0)), dense: of(3.0, 100), gated: of(2.0, 400) };
    (series, plan)
}

#[test]
fn energy_is_above_idle_and_per_frame() {
    for kind in [Kind::Counter, Kind::Power] {
        let (series, plan) = plan(kind, 1.0, 0.0);
        let e = Energy::of(&facts(kind), &series, &plan).unwrap();
        let (dense, gated) = (e.dense.clone().unwrap(), e.gated.clone().unwrap());
        // 20 ms at 2 W above idle, 5 ms at 1 W.
        assert!((dense.mj_above_idle - 40.0).abs() < 0.1 && (dense.mj - 60.0).abs() < 0.1, "{dense:?}");
        assert!((gated.mj_above_idle - 5.0).abs() < 0.1 && (gated.mj - 10.0).abs() < 0.1, "{gated:?}");
        assert!((e.gated_to_dense.unwrap() - 0.125).abs() < 0.001);
        assert!((e.samples_per_second.unwrap() - 20.0).abs() < 1e-6);
        assert_eq!((e.blocks, gated.frames), (4, 1600));
    }
}

#[test]
fn uncertainty_follows_its_causes() {
    let of = |after, ripple, step| {
        let (series, plan) = plan(Kind::Power, after, ripple);
        Energy::of(&Facts { step, ..facts(Kind::Power) }, &series, &plan).unwrap()
    };
    let gated = |e: &Energy| e.gated.clone().unwrap();
    assert!(gated(&of(1.0, 0.0, Some(0.0))).mj_uncertainty < 0.01);
    // Half a step of 0.2 W over 5 ms, of the block and of both idle stretches.
    let stepped = gated(&of(1.0, 0.0, Some(0.2))).mj_uncertainty;
    assert!((stepped - 0.5 * 3f64.sqrt()).abs() < 0.01, "{stepped}");
    assert!(gated(&of(1.0, 0.2, Some(0.0))).mj_uncertainty > 0.2);
    // Idle power that drifts by more than the work draws resolves nothing.
    let drifted = of(2.8, 0.0, Some(0.0));
    assert!(!gated(&drifted).resolved && drifted.gated_to_dense.is_none(), "{drifted:?}");
    assert!(drifted.text().contains("below what this meter resolves"));
    // A counter that does not count.
    let (mut still, plan_) = (Series::new(Kind::Counter), plan(Kind::Counter, 1.0, 0.0).1);
    (0..400).for_each(|i| still.push(i as f64 / 20.0, 7.0));
    let why = Energy::of(&facts(Kind::Counter), &still, &plan_).unwrap_err();
    assert!(format!("{why:#}").contains("stands still"), "{why:#}");
    // A meter that says nothing during a block.
    let (_, plan) = plan(Kind::Power, 1.0, 0.0);
    let why = Energy::of(&facts(Kind::Power), &Series::new(Kind::Power), &plan).unwrap_err();
    assert!(format!("{why:#}").contains("--power-seconds"), "{why:#}");
}

#[test]
fn csv_rows_follow_their_own_clock() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("meter.csv");
    let open = |text: &str, clock| {
        fs::write(&file, text).unwrap();
        power::open(&Choice::Csv(file.display().to_string()), &Root::default(), clock)
    };
    let mut meter = open("# logger\ntime_ms,volts,amps\n5000,5,0.4\n5500,5,0.6\n", Clock::First).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let mut series = Series::new(Kind::Power);
    let start = Instant::now();
    // Written in pieces while it is read.
    let mut more = fs::OpenOptions::new().append(true).open(&file).unwrap();
    std::io::Write::write_all(&mut more, b"6000,5,").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    std::io::Write::write_all(&mut more, b"0.8\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    meter.sample(start, &mut series).unwrap();
    let points = series.points();
    let watts: Vec<f64> = points.iter().map(|p| p.1).collect();
    assert_eq!(watts, [2.0, 3.0, 4.0]);
    assert!((points[2].0 - points[0].0 - 1.0).abs() < 1e-6 && points[0].0 < 0.0, "{points:?}");

    let mut unix = open("timestamp,watts\n1000000000,7\n", Clock::Unix).unwrap();
    let mut series = Series::new(Kind::Power);
    unix.sample(Instant::now(), &mut series).unwrap();
    assert!(series.points()[0].0 < -1e8);

    let why = |text, clock| format!("{:#}", open(text, clock).err().unwrap());
    assert!(why("time,watts\nx,1\n", Clock::First).contains("line 2"));
    assert!(why("a,b\n", Clock::Arrival).contains("watts"));
}

#[test]
fn a_watch_reads_beside_the_work() {
    let jetson = board("jetson");
    let watch = Watch::start(&jetson.root, Some(jetson.open("hwmon").unwrap()));
    std::thread::sleep(Duration::from_millis(300));
    let now = watch.now();
    assert!((watch.watts(0.0, now).unwrap() - 7.4).abs() < 1e-9);
    watch.look();
    jetson.set("sys/class/hwmon/hwmon1/curr1_input", "none");
    std::thread::sleep(Duration::from_millis(100));
    let record = watch.finish();
    assert!(record.states.len() >= 2 && record.reads > 3 && record.share() > 0.0);
    assert!(record.failure.as_ref().unwrap().contains("VDD_IN"), "{:?}", record.failure);
    assert_eq!(record.within(&[(now, now + 9.0)]).count(), 1);
}

fn bench(flags: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = root.join("tools/tests/sysfs/none.qsc");
    let mut command = Command::new(env!("CARGO_BIN_EXE_quiescent"));
    command.args(["bench", file.to_str().unwrap(), "--input", "clip.y4m"]).args(flags).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn wrong_flags_are_refused() {
    for (flags, word) in [
        (["--power", "usb"], "--power"),
        (["--power-clock", "sun"], "--power-clock"),
        (["--minutes", "0"], "--minutes"),
        (["--interval", "5"], "--minutes"),
        (["--power-seconds", "-1"], "--power-seconds"),
    ] {
        let out = bench(&flags);
        assert_eq!(out.status.code(), Some(2), "{flags:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(word), "{flags:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
}
