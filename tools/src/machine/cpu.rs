//! What the processor is: `/proc/cpuinfo`, and the board's own name.

use serde::Serialize;

use super::{Root, parts};

/// What does not change while the machine runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Name of the processor: its model on x86, kinds of core on ARM, `4 x ARM Cortex-A76`.
    pub model: Option<String>,
    /// The board, or maker and model of the computer.
    pub board: Option<String>,
    /// Processors in `/proc/cpuinfo`.
    pub cpus: Option<usize>,
    /// Kinds of core in order of first appearance; ARM only.
    pub cores: Vec<Cores>,
}

/// Cores of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cores {
    pub name: String,
    pub implementer: u32,
    pub part: u32,
    /// Numbers of the CPUs.
    pub cpus: Vec<usize>,
}

impl Cpu {
    pub fn read(root: &Root) -> Self {
        let info = root.text("proc/cpuinfo").unwrap_or_default();
        let cores = cores(&info);
        let kinds: Vec<String> = cores.iter().map(|c| format!("{} x {}", c.cpus.len(), c.name)).collect();
        let of = |key| values(&info, key).next().map(|(_, v)| v.to_string());
        let model = match kinds.is_empty() {
            true => of("model name").or(of("uarch")).or(of("cpu model")),
            false => Some(kinds.join(" + ")),
        };
        let cpus = values(&info, "processor").count();
        Self { model, board: board(root), cpus: (cpus > 0).then_some(cpus), cores }
    }

    /// The kind of the core that a CPU is.
    pub fn core(&self, cpu: usize) -> Option<&str> {
        self.cores.iter().find(|c| c.cpus.contains(&cpu)).map(|c| c.name.as_str())
    }
}

/// The processor this program runs on, else the architecture it was built for.
pub fn name() -> String {
    Cpu::read(&Root::default()).model.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

/// All values of a key, each with the number of the processor it stands under.
fn values<'t>(info: &'t str, key: &str) -> impl Iterator<Item = (usize, &'t str)> {
    let mut cpu = 0;
    info.lines().filter_map(move |line| {
        let (k, v) = line.split_once(':')?;
        let (k, v) = (k.trim(), v.trim());
        if k == "processor" {
            cpu = v.parse().unwrap_or(cpu);
        }
        (k == key && !v.is_empty()).then_some((cpu, v))
    })
}

fn cores(info: &str) -> Vec<Cores> {
    let mut kinds: Vec<Cores> = Vec::new();
    for ((cpu, implementer), (_, part)) in values(info, "CPU implementer").zip(values(info, "CPU part")) {
        let (Some(implementer), Some(part)) = (hex(implementer), hex(part)) else { continue };
        match kinds.iter_mut().find(|k| (k.implementer, k.part) == (implementer, part)) {
            Some(kind) => kind.cpus.push(cpu),
            None => kinds.push(Cores { name: parts::name(implementer, part), implementer, part, cpus: vec![cpu] }),
        }
    }
    kinds
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn board(root: &Root) -> Option<String> {
    let tree = root.text("proc/device-tree/model").or_else(|| root.text("sys/firmware/devicetree/base/model"));
    tree.or_else(|| {
        let of = |name: &str| root.text(&format!("sys/class/dmi/id/{name}"));
        match (of("sys_vendor"), of("product_name")) {
            (Some(maker), Some(product)) => Some(format!("{maker} {product}")),
            (maker, product) => product.or(maker),
        }
    })
}
