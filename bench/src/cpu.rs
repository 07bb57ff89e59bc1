//! What another process used, read from `/proc` (proc(5)).

use anyhow::Context;

/// Kernel clock ticks a second, as `/proc` counts them: 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system CPU time of processes together, in seconds; `None` of none.
pub(crate) fn seconds_of(pids: &[u32]) -> anyhow::Result<Option<f64>> {
    let each = pids.iter().map(|pid| seconds(*pid)).collect::<anyhow::Result<Vec<f64>>>()?;
    Ok((!each.is_empty()).then(|| each.iter().sum()))
}

/// Resident memory of processes together that is not shared with files, in bytes; `None` of none.
pub(crate) fn resident_bytes_of(pids: &[u32]) -> anyhow::Result<Option<u64>> {
    let each = pids.iter().map(|pid| resident_bytes(*pid)).collect::<anyhow::Result<Vec<u64>>>()?;
    Ok((!each.is_empty()).then(|| each.iter().sum()))
}

fn seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid}"))?;
    // The name, in parentheses, may have spaces.
    let (_, rest) = stat.rsplit_once(')').context("/proc/pid/stat has no name")?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next().context("utime")?.parse()?;
    let system: f64 = fields.next().context("stime")?.parse()?;
    Ok((user + system) / TICKS_PER_SECOND)
}

fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: u64 = line.context("RssAnon")?.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
