//! `journal`: orders that are acknowledged before they are in a database.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Fallback, Section, restart};

/// `journal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// `path`: the journal's folder. `None`: there is no journal, and templates with `@async` are refused.
    pub path: Option<PathBuf>,
    /// `segment_bytes`: of one file; default 64 MiB, 1 MiB to 4 GiB, four times `server.tcp.frame_bytes_max` and twice
    /// `group_bytes_max` at least. Needs a restart.
    pub segment_bytes: u64,
    /// `group_bytes_max`: of what one sync makes durable, and so of one order; default 1 MiB.
    pub group_bytes_max: u64,
    /// `bytes_max`: of all segments that are not deleted yet, and of dead letters; default 8 GiB.
    pub bytes_max: u64,
    /// `records_max`: orders that wait, dead letters included; default 2,000,000.
    pub records_max: u64,
    /// `age_max`: while the oldest order waits for longer, no new ones are taken; default 1 d.
    pub age_max: Duration,
    /// `keys_max`: applied keys remembered; default 1,000,000.
    pub keys_max: u32,
    /// `queue_max`: orders between the frontends and the journal's thread; default 16,384.
    pub queue_max: u32,
}

impl JournalConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let day = Duration::from_hours(24);
        Self {
            path: section.path_of(restart("path"), Fallback::Absent),
            segment_bytes: section.bytes(restart("segment_bytes"), 64 << 20, 1 << 20..=4 << 30),
            group_bytes_max: section.bytes(restart("group_bytes_max"), 1 << 20, 4 << 10..=64 << 20),
            bytes_max: section.bytes(restart("bytes_max"), 8 << 30, 1 << 20..=1 << 44),
            records_max: section.count(
                restart("records_max"),
                Fallback::Default(2_000_000),
                1..=1_000_000_000,
            ),
            age_max: section.duration(restart("age_max"), day, Duration::from_secs(1)..=3650 * day),
            keys_max: section.count(
                restart("keys_max"),
                Fallback::Default(1_000_000),
                0..=100_000_000,
            ),
            queue_max: section.count(
                restart("queue_max"),
                Fallback::Default(16_384),
                1..=1_048_576,
            ),
        }
    }
}
