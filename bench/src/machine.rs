//! What a measurement was made on: without it a figure says nothing.

use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The machine, its kernel, and the code that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processor_count: usize,
    pub(crate) memory_mib: u64,
    /// The commit that the gateway was built from, with `+` where files were changed since. `None`: it was not built here, and its
    /// file says no more than [`Binary`] does.
    pub(crate) commit: Option<String>,
    /// Load average of the last minute before the first round: above the few that a quiet machine has, figures are noise.
    pub(crate) load_before: f64,
}

impl Machine {
    /// Reads what Linux says of itself (proc(5)). What cannot be read stays empty.
    ///
    /// - `is_built_here`: whether the gateway that is measured was built from the working folder.
    pub(crate) fn read(is_built_here: bool) -> Self {
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
            commit: is_built_here.then(commit).flatten(),
            load_before: load.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// A program as it runs: what can be said of one whose commit is not known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Binary {
    /// Without its folder.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Binary {
    /// The program of a process; `None`: it may not be read.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let link = format!("/proc/{pid}/exe");
        let name = std::fs::read_link(&link).ok()?.file_name()?.to_string_lossy().into_owned();
        let (mut file, mut hash) = (std::fs::File::open(link).ok()?, Sha256::new());
        let bytes = std::io::copy(&mut file, &mut hash).ok()?;
        Some(Self { name, bytes, sha256: format!("{:x}", hash.finalize()) })
    }
}

/// The CPUs that a process may use, as `0-3,8`.
pub(crate) fn cpus_of(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
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
