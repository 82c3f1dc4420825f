//! The report for people.

use super::{Frame, Report};
use crate::cli::talk::{bytes, count, percent, threads};

pub fn text(r: &Report, top: Option<usize>) -> String {
    let mut t = format!(
        "{} on {}, {} frames {} times, {} kernels, {}, {}\n",
        r.model,
        r.clip,
        r.frames,
        r.passes,
        r.kernels,
        r.machine,
        threads(r.threads)
    );
    t += &match r.peak_gmacs {
        Some(peak) => format!(
            "peak       {peak:.0} GMAC/s: the multiply-accumulate instruction of these kernels on registers alone, on all threads\n"
        ),
        None => "peak       not measured: these kernels have no instruction of their own\n".into(),
    };
    let frame = |f: &Frame| {
        let of_peak = f.peak.map(|p| format!(" ({} of the peak)", percent(p))).unwrap_or_default();
        format!(
            "{:.3} ms a frame, {} multiply-accumulates, {:.1} GMAC/s{of_peak}; the clock costs {}\n",
            f.ms,
            count(f.macs as u64),
            f.gmacs,
            percent(f.overhead)
        )
    };
    t += &format!("dense      {}", frame(&r.dense));
    t += &format!("gated      {}", frame(&r.gated));
    t += &format!("speed      {:.2} times dense", r.dense.ms / r.gated.ms);
    if let Some(e) = r.efficiency {
        t += &format!("; efficiency (time saved / work saved) {e:.2}");
    }
    t += "\n\n                                                                  dense                           gated\n";
    t +=
        "  step kernel           [h, w, c]           macs      bytes       us  share  GMAC/s   peak       us  share   rows  GMAC/s  name\n";
    let mut rows: Vec<_> = r.rows.iter().collect();
    if let Some(n) = top {
        let weight = |row: &&super::Row| row.dense.share + row.gated.share;
        rows.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        rows.truncate(n);
    }
    for row in rows {
        let (d, g) = (&row.dense, &row.gated);
        match (row.step, row.shape) {
            (Some(step), Some(shape)) => {
                let shape = format!("{shape:?}");
                let peak = d.peak.filter(|_| row.macs > 0).map(percent).unwrap_or_default();
                let rate = |gmacs: f64| if row.macs > 0 { format!("{gmacs:.1}") } else { String::new() };
                t += &format!(
                    "  {step:4} {:16} {shape:17} {:>8} {:>10} {:8.1} {:>6} {:>7} {peak:>6} {:8.1} {:>6} {:>6} {:>7}  {}\n",
                    row.kernel,
                    count(row.macs),
                    bytes(row.bytes),
                    d.us,
                    percent(d.share),
                    rate(d.gmacs),
                    g.us,
                    percent(g.share),
                    percent(g.rows),
                    rate(g.gmacs),
                    row.name
                );
            }
            _ => {
                t += &format!(
                    "       {:54} {:8.1} {:>6} {:7} {:6} {:8.1} {:>6}\n",
                    row.name,
                    d.us,
                    percent(d.share),
                    "",
                    "",
                    g.us,
                    percent(g.share)
                );
            }
        }
    }
    t + "\nOf every frame and piece the least time of all passes; dense figures are medians, gated ones means over the frames after the first. Bytes are those that a step cannot do without.\n"
}
