//! What a measurement was made on: without it a figure says nothing.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, its kernel, and the code that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processor_count: usize,
    pub(crate) memory_mib: u64,
    /// The commit of the folder, with `+` where files were changed since.
    pub(crate) commit: String,
    /// Load average of the last minute before the first round: above the few that a quiet machine has, figures are noise.
    pub(crate) load_before: f64,
}

impl Machine {
    /// Reads what Linux says of itself (proc(5)). What cannot be read stays empty.
    pub(crate) fn read() -> Self {
        let file = |path| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = after(&file("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        let load = file("/proc/loadavg");
        Self {
            kernel: file("/proc/sys/kernel/osrelease").trim().into(),
            processor: after(&file("/proc/cpuinfo"), "model name").unwrap_or_default(),
            processor_count: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory_kib / 1024,
            commit: commit().unwrap_or_default(),
            load_before: load.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0.0),
        }
    }
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_changed = git(&["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
    Some(if is_changed { format!("{head}+") } else { head })
}
