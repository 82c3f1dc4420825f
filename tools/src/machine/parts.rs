//! Names of ARM cores by the implementer and part numbers of their identification register (MIDR), as `/proc/cpuinfo`
//! prints them. Sources: the technical reference manuals of the cores, and the kernel's `cputype.h`.

const ARM: u32 = 0x41;

const CORES: &[(u32, u32, &str)] = &[
    (ARM, 0xb76, "ARM1176"),
    (ARM, 0xc07, "Cortex-A7"),
    (ARM, 0xc08, "Cortex-A8"),
    (ARM, 0xc09, "Cortex-A9"),
    (ARM, 0xc0e, "Cortex-A17"),
    (ARM, 0xc0f, "Cortex-A15"),
    (ARM, 0xd01, "Cortex-A32"),
    (ARM, 0xd03, "Cortex-A53"),
    (ARM, 0xd04, "Cortex-A35"),
    (ARM, 0xd05, "Cortex-A55"),
    (ARM, 0xd07, "Cortex-A57"),
    (ARM, 0xd08, "Cortex-A72"),
    (ARM, 0xd09, "Cortex-A73"),
    (ARM, 0xd0a, "Cortex-A75"),
    (ARM, 0xd0b, "Cortex-A76"),
    (ARM, 0xd0c, "Neoverse-N1"),
    (ARM, 0xd0d, "Cortex-A77"),
    (ARM, 0xd0e, "Cortex-A76AE"),
    (ARM, 0xd40, "Neoverse-V1"),
    (ARM, 0xd41, "Cortex-A78"),
    (ARM, 0xd42, "Cortex-A78AE"),
    (ARM, 0xd44, "Cortex-X1"),
    (ARM, 0xd46, "Cortex-A510"),
    (ARM, 0xd47, "Cortex-A710"),
    (ARM, 0xd48, "Cortex-X2"),
    (ARM, 0xd49, "Neoverse-N2"),
    (ARM, 0xd4b, "Cortex-A78C"),
    (ARM, 0xd4d, "Cortex-A715"),
    (ARM, 0xd4e, "Cortex-X3"),
    (ARM, 0xd4f, "Neoverse-V2"),
    (ARM, 0xd80, "Cortex-A520"),
    (ARM, 0xd81, "Cortex-A720"),
    (ARM, 0xd82, "Cortex-X4"),
    (0x4e, 0x003, "Denver 2"),
    (0x4e, 0x004, "Carmel"),
    (0x51, 0x800, "Kryo 2xx Gold"),
    (0x51, 0x801, "Kryo 2xx Silver"),
    (0x51, 0x802, "Kryo 3xx Gold"),
    (0x51, 0x803, "Kryo 3xx Silver"),
    (0x51, 0x804, "Kryo 4xx Gold"),
    (0x51, 0x805, "Kryo 4xx Silver"),
    (0x61, 0x022, "Icestorm"),
    (0x61, 0x023, "Firestorm"),
    (0xc0, 0xac3, "Ampere-1"),
];

const MAKERS: &[(u32, &str)] = &[
    (ARM, "ARM"),
    (0x42, "Broadcom"),
    (0x46, "Fujitsu"),
    (0x48, "HiSilicon"),
    (0x4e, "NVIDIA"),
    (0x50, "APM"),
    (0x51, "Qualcomm"),
    (0x53, "Samsung"),
    (0x61, "Apple"),
    (0xc0, "Ampere"),
];

/// `ARM Cortex-A76`; numbers where there is no name for them.
pub fn name(implementer: u32, part: u32) -> String {
    let maker = MAKERS.iter().find(|m| m.0 == implementer).map(|m| m.1.to_string());
    let maker = maker.unwrap_or_else(|| format!("implementer {implementer:#04x}"));
    match CORES.iter().find(|c| (c.0, c.1) == (implementer, part)) {
        Some((_, _, core)) => format!("{maker} {core}"),
        None => format!("{maker} part {part:#05x}"),
    }
}
