//! What the kernel tells of this process.

use std::fs;

use super::registry::{Number, Samples};

/// Resident memory, in bytes; 0 where the kernel does not tell.
///
/// Read from `/proc/self/status`, which says kilobytes; `statm` counts pages of a size that has to be asked for.
pub(super) fn resident_bytes(samples: &mut Samples) {
    samples.add(&[], status("VmRSS:").saturating_mul(1024));
}

/// Threads.
pub(super) fn threads(samples: &mut Samples) {
    samples.add(&[], status("Threads:"));
}

/// Open file descriptors.
pub(super) fn open_files(samples: &mut Samples) {
    let count = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    // The folder that is being read is one of them.
    samples.add(&[], count.saturating_sub(1));
}

/// Most open file descriptors.
pub(super) fn open_files_max(samples: &mut Samples) {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    samples.add(&[], soft.map_or(Number::Real(f64::INFINITY), Number::from));
}

/// The first number of a line of `/proc/self/status`.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
