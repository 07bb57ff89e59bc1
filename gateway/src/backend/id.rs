//! `:_id`: numbers that are unique among instances and grow with time.
//!
//! 63 bits, so that they are positive in every database: 41 of milliseconds since 2024-01-01 (until 2093),
//! 10 of the node, 12 of a sequence.
//!
//! Invariant: a number is never given twice, whatever the clock does while the process lives.

use std::sync::atomic::{AtomicU64, Ordering};

/// 2024-01-01T00:00:00Z, in Unix milliseconds.
const EPOCH_MS: u64 = 1_704_067_200_000;
const NODE_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
const TIME_MAX: u64 = (1 << 41) - 1;
/// How far numbers may run ahead of the clock, in ms: after it went back, or more than 4096 a millisecond.
const AHEAD_MS_MAX: u64 = 1_000;

/// Gives out ids of one node. Any thread may ask.
#[derive(Debug)]
pub struct IdSource {
    node: u64,
    /// Milliseconds and sequence of the last id, the sequence in the low bits.
    last: AtomicU64,
}

/// Why there is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdSourceError {
    /// The clock stands before the ids already given, by more than a second.
    #[error("the clock went back by {behind_ms} ms; no id is given until it has caught up")]
    ClockWentBack {
        /// How far.
        behind_ms: u64,
    },
    /// The clock stands before 2024 or after 2093.
    #[error("the clock is outside the years that ids can carry")]
    ClockOutOfRange,
}

impl IdSource {
    /// Most that a node's number may be; the least is 0.
    pub const NODE_MAX: u16 = (1 << NODE_BITS) - 1;

    /// Begins at this node. `None` when `node` is over [`IdSource::NODE_MAX`].
    ///
    /// - `node`: unique among the instances that write to the same tables.
    pub fn new(node: u16) -> Option<Self> {
        (node <= Self::NODE_MAX).then(|| Self { node: node.into(), last: AtomicU64::new(0) })
    }

    /// Gives the next id, larger than every one before it.
    ///
    /// - `now_ms`: the clock, in Unix milliseconds.
    ///
    /// # Errors
    ///
    /// [`IdSourceError`]; ids are given again when the clock is well.
    pub fn next(&self, now_ms: u64) -> Result<i64, IdSourceError> {
        let now = now_ms.checked_sub(EPOCH_MS).ok_or(IdSourceError::ClockOutOfRange)?;
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = (last + 1).max(now << SEQUENCE_BITS);
            let time = next >> SEQUENCE_BITS;
            if time > TIME_MAX {
                return Err(IdSourceError::ClockOutOfRange);
            }
            if time - now > AHEAD_MS_MAX {
                return Err(IdSourceError::ClockWentBack { behind_ms: time - now });
            }
            // Only the number itself is shared, so no order with other memory is needed.
            match self.last.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(self.compose(next)),
                Err(current) => last = current,
            }
        }
    }

    fn compose(&self, next: u64) -> i64 {
        let time = next >> SEQUENCE_BITS;
        let sequence = next & ((1 << SEQUENCE_BITS) - 1);
        let id = time << (NODE_BITS + SEQUENCE_BITS) | self.node << SEQUENCE_BITS | sequence;
        // 63 bits at most: `time` was checked.
        i64::try_from(id).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: u64 = EPOCH_MS + 1_000_000;

    fn source() -> IdSource {
        IdSource::new(5).expect("a good node")
    }

    #[test]
    fn id_carries_time_node_and_sequence() {
        let source = source();
        let first = source.next(NOW).expect("an id");
        assert_eq!(first, 1_000_000 << 22 | 5 << 12);
        assert_eq!(source.next(NOW), Ok(first + 1));
        assert_eq!(source.next(NOW + 1), Ok(1_000_001 << 22 | 5 << 12));
    }

    #[test]
    fn node_at_the_limit_passes_and_one_more_is_refused() {
        assert!(IdSource::new(1023).is_some() && IdSource::new(1024).is_none());
    }

    #[test]
    fn clock_back_by_a_second_keeps_growing_and_by_more_is_refused() {
        let source = source();
        let first = source.next(NOW).expect("an id");
        assert_eq!(source.next(NOW - 1_000), Ok(first + 1));
        let refused = Err(IdSourceError::ClockWentBack { behind_ms: 1_001 });
        assert_eq!(source.next(NOW - 1_001), refused);
        assert_eq!(source.next(NOW), Ok(first + 2));
    }

    #[test]
    fn more_than_4096_in_a_millisecond_borrow_from_the_next_up_to_a_second() {
        let source = source();
        let ids: Vec<i64> = (0..4097).map(|_| source.next(NOW).expect("an id")).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_eq!(ids[4096] >> 22, (ids[0] >> 22) + 1);
        let rest = (0..4096 * 1000).take_while(|_| source.next(NOW).is_ok()).count();
        assert_eq!(rest, 4096 * 1001 - 4097);
    }

    #[test]
    fn clock_outside_the_years_is_refused() {
        assert_eq!(source().next(EPOCH_MS - 1), Err(IdSourceError::ClockOutOfRange));
        assert!(source().next(EPOCH_MS).is_ok() && source().next(EPOCH_MS + TIME_MAX).is_ok());
        let after = source().next(EPOCH_MS + TIME_MAX + 1);
        assert_eq!(after, Err(IdSourceError::ClockOutOfRange));
    }

    #[test]
    fn ids_of_many_threads_are_all_different() {
        let source = source();
        let ids: HashSet<i64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| (0..5000).flat_map(|_| source.next(NOW)).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(ids.len(), 20_000);
    }
}
