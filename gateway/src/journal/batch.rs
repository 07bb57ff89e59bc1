//! What one round of the journal's thread puts together, and what bounds it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::JournalError;
use super::command::AcceptReply;
use super::group::{Group, HEADER_BYTES};
use super::index::Ticket;
use super::state::Load;
use crate::config::JournalConfig;

/// Records that go to disk together, and who waits for them.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) group: Group,
    /// With their bytes.
    pub(super) records: Vec<(Ticket, usize)>,
    pub(super) replies: Vec<(AcceptReply, usize, bool)>,
    pub(super) keys: HashMap<[u8; 16], usize, RandomState>,
}

/// What a round of orders is measured by: as it was when the round began.
pub(super) struct Bounds {
    pub(super) load: Load,
    pub(super) now_micros: i64,
    /// Of all segments and dead letters.
    pub(super) disk_bytes: u64,
}

impl Batch {
    /// Begins a new one, in the memory of the last.
    pub(super) fn clear(&mut self) {
        self.group.clear();
        self.records.clear();
        self.replies.clear();
        self.keys.clear();
    }
}

impl Bounds {
    /// Whether one more order may be taken.
    ///
    /// - `group`: what was taken in this round already.
    /// - `bytes`: the order's.
    pub(super) fn check(
        &self,
        config: &JournalConfig,
        group: &Group,
        bytes: usize,
    ) -> Result<(), JournalError> {
        if (bytes + HEADER_BYTES + 4) as u64 > config.group_bytes_max {
            return Err(JournalError::TooLarge { bytes });
        }
        let full = |bound| Err(JournalError::BacklogFull { bound });
        if self.load.count + group.count() >= config.records_max {
            return full("journal.records_max");
        }
        let oldest = self.load.oldest_micros;
        let age = oldest.map_or(0, |oldest| self.now_micros.saturating_sub(oldest));
        if u128::try_from(age).is_ok_and(|age| age > config.age_max.as_micros()) {
            return full("journal.age_max");
        }
        let group_bytes = (group.len() + bytes) as u64;
        if self.disk_bytes.saturating_add(group_bytes) > config.bytes_max {
            return full("journal.bytes_max");
        }
        Ok(())
    }
}
