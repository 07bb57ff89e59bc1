//! A latency histogram whose bucket is found without a search, and its single-writer cells.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bound of the first bucket, in nanoseconds; each next one is twice as wide.
const FIRST_BOUND_NS: u64 = 5_000;

/// Bounded buckets: 5 us, 10 us, … 10.49 s. One more takes what is longer.
pub(super) const BOUND_COUNT: usize = 22;

/// A counter that one thread writes and others read.
///
/// Invariant: `add` is called by its owner alone; it is a load and a store, not an atomic addition, so
/// the line stays in the owner's cache.
#[derive(Debug, Default)]
pub(super) struct OwnedCell(AtomicU64);

impl OwnedCell {
    /// Adds to the count; the owner only.
    pub(super) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Reads it, from any thread.
    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram that one thread writes.
#[derive(Debug, Default)]
pub(super) struct OwnedHistogram {
    buckets: [OwnedCell; BOUND_COUNT + 1],
    sum_ns: OwnedCell,
}

impl OwnedHistogram {
    /// Counts a duration; the owner only.
    pub(super) fn record(&self, duration: Duration) {
        self.record_many(duration, 1);
    }

    /// Counts a duration that several had; the owner only.
    pub(super) fn record_many(&self, duration: Duration, count: u64) {
        let ns = nanos(duration);
        if let Some(bucket) = self.buckets.get(bucket_of(ns)) {
            bucket.add(count);
        }
        self.sum_ns.add(ns.saturating_mul(count));
    }
}

/// A histogram that many threads write: for paths where a database was asked anyway.
#[derive(Debug, Default)]
pub(super) struct SharedHistogram {
    buckets: [AtomicU64; BOUND_COUNT + 1],
    sum_ns: AtomicU64,
}

impl SharedHistogram {
    pub(super) fn record(&self, duration: Duration) {
        let ns = nanos(duration);
        if let Some(bucket) = self.buckets.get(bucket_of(ns)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

/// Histograms of several threads, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    /// Durations in each bucket, not cumulative.
    pub(super) buckets: [u64; BOUND_COUNT + 1],
    /// Sum of all durations, in nanoseconds.
    pub(super) sum_ns: u64,
}

impl Total {
    /// Adds one thread's.
    pub(super) fn add(&mut self, histogram: &OwnedHistogram) {
        for (total, cell) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total += cell.read();
        }
        self.sum_ns = self.sum_ns.wrapping_add(histogram.sum_ns.read());
    }

    /// Adds the shared one.
    pub(super) fn add_shared(&mut self, histogram: &SharedHistogram) {
        for (total, cell) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total += cell.load(Ordering::Relaxed);
        }
        self.sum_ns = self.sum_ns.wrapping_add(histogram.sum_ns.load(Ordering::Relaxed));
    }

    /// Durations counted.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Upper bound of a bucket, in nanoseconds.
pub(super) const fn bound_ns(bucket: usize) -> u64 {
    FIRST_BOUND_NS << bucket
}

/// The bucket of a duration: the smallest whose bound is not less.
fn bucket_of(ns: u64) -> usize {
    let widths = ns.div_ceil(FIRST_BOUND_NS).max(1);
    // 1 -> 0, 2 -> 1, 3 and 4 -> 2, 5 to 8 -> 3: the bits of what comes before.
    let bits = u64::BITS - (widths - 1).leading_zeros();
    (bits as usize).min(BOUND_COUNT)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_at_a_bound_is_inside_it_and_one_nanosecond_more_is_in_the_next() {
        assert_eq!(bucket_of(0), 0);
        for bucket in 0..BOUND_COUNT {
            assert_eq!(bucket_of(bound_ns(bucket)), bucket, "{bucket}");
            assert_eq!(bucket_of(bound_ns(bucket) + 1), bucket + 1, "{bucket}");
        }
        assert_eq!(bucket_of(u64::MAX), BOUND_COUNT);
    }

    #[test]
    fn bounds_go_from_5_microseconds_to_more_than_10_seconds() {
        assert_eq!(bound_ns(0), 5_000);
        assert_eq!(bound_ns(BOUND_COUNT - 1), 10_485_760_000);
    }

    #[test]
    fn total_adds_owned_and_shared_histograms() {
        let (owned, shared) = (OwnedHistogram::default(), SharedHistogram::default());
        owned.record(Duration::from_micros(7));
        shared.record(Duration::from_micros(7));
        shared.record(Duration::from_mins(1));
        let mut total = Total::default();
        total.add(&owned);
        total.add_shared(&shared);
        assert_eq!((total.buckets[1], total.buckets[BOUND_COUNT], total.count()), (2, 1, 3));
        assert_eq!(total.sum_ns, 60_000_014_000);
    }
}
