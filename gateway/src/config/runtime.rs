//! `runtime`: threads and rings. Nothing here reloads.

use super::reader::{Fallback, Section, restart};

/// `runtime`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Whether the frontends use `io_uring`.
    pub io_uring: IoUring,
    /// Frontend threads; 0 in the file (the default) is one for each CPU this process may use.
    pub frontend_threads: usize,
    /// Backend threads; default: half the CPUs, at least one.
    pub backend_threads: usize,
    /// Entries of a frontend's submission ring, 256 to 32768.
    pub ring_entries: u32,
    /// Whether each frontend thread is pinned to its CPU.
    pub pin: bool,
    /// This instance's number in the ids that it gives out (`:_id`), 0 to 1023; unique among the
    /// instances that write to the same tables. Default 0.
    pub node: u16,
}

impl RuntimeConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let cpu_count = section.reading.env.cpu_count.max(1);
        let default_by = |written: usize, automatic| if written == 0 { automatic } else { written };
        let io_uring = section
            .choice(
                restart("io_uring"),
                Fallback::Default(IoUring::Preferred),
                &[
                    ("required", IoUring::Required),
                    ("preferred", IoUring::Preferred),
                    ("off", IoUring::Off),
                ],
            )
            .unwrap_or(IoUring::Preferred);
        let frontend = section.count(restart("frontend_threads"), Fallback::Default(0), 0..=1024);
        let backend = section.count(restart("backend_threads"), Fallback::Default(0), 0..=1024);
        Self {
            io_uring,
            frontend_threads: default_by(frontend, cpu_count),
            backend_threads: default_by(backend, (cpu_count / 2).max(1)),
            ring_entries: section.count(
                restart("ring_entries"),
                Fallback::Default(4096),
                256..=32_768,
            ),
            pin: section.flag(restart("pin"), true),
            node: section.count(restart("node"), Fallback::Default(0), 0..=1023),
        }
    }
}

/// The CPUs that this process may run on, ascending; empty where the kernel does not tell.
///
/// Cost: reads `/proc/self/status` once; blocks. Call it at start, before threads are pinned.
pub fn cpus() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map(parse_cpu_list).unwrap_or_default()
}

/// Reads `0-3,8,10-11`; what is not a number or a range is left out.
fn parse_cpu_list(text: &str) -> Vec<usize> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cpus.extend(first..=last);
        }
    }
    cpus
}

/// Whether the frontends use `io_uring`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoUring {
    /// Refuse to start without it.
    Required,
    /// Fall back to epoll, loudly. The default.
    Preferred,
    /// Use epoll.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_list_takes_single_cpus_and_ranges() {
        assert_eq!(parse_cpu_list("\t0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_cpu_list("5"), [5]);
        assert_eq!(parse_cpu_list(""), Vec::<usize>::new());
        assert_eq!(parse_cpu_list("x,2"), [2]);
    }

    #[test]
    fn this_process_may_use_at_least_one_cpu() {
        assert!(!cpus().is_empty());
    }
}
