//! `limits`: bounds that belong to no listener and no pool.

use super::reader::{Fallback, Section, live, restart};

/// `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `backend_queue_max`: requests between the frontends and the backend; default 4096. Needs a restart.
    pub backend_queue_max: u32,
    /// `batch_items_max`: calls in one batch; default 100.
    pub batch_items_max: u32,
    /// `result_bytes_max`: of one reply's body; default 4 MiB.
    pub result_bytes_max: u32,
}

impl LimitsConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let queue = Fallback::Default(4096);
        Self {
            backend_queue_max: section.count(restart("backend_queue_max"), queue, 1..=1_048_576),
            batch_items_max: section.count(
                live("batch_items_max"),
                Fallback::Default(100),
                1..=10_000,
            ),
            result_bytes_max: section.bytes(live("result_bytes_max"), 4 << 20, 1 << 10..=64 << 20),
        }
    }
}
