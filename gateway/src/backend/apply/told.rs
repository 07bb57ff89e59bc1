//! What the log was told already: the first of its kind at once, the others counted and told every minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

/// How often the same is told again, at most.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// What is told of an operation's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// The database refused them.
    Refused,
    /// A lock was not to be had.
    Locked,
    /// The database took too long over them.
    Late,
    /// They stand among the dead letters.
    Dead,
    /// Their batch panicked.
    Panicked,
    /// The journal could not be read or written; by what was tried.
    Journal,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    untold_count: usize,
}

type ByOperation = HashMap<Box<str>, Last, RandomState>;

/// When what was told last, of each operation.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<What, ByOperation, RandomState>>);

impl Told {
    /// Counts records. Some: it is time to tell, of so many since the last time.
    pub(super) fn count(
        &self,
        what: What,
        operation: &str,
        record_count: usize,
        now: Instant,
    ) -> Option<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let by_operation = all.entry(what).or_default();
        let Some(last) = by_operation.get_mut(operation) else {
            by_operation.insert(operation.into(), Last { at: now, untold_count: 0 });
            return Some(record_count);
        };
        last.untold_count += record_count;
        if now < last.at + TOLD_EVERY {
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.untold_count))
    }
}

/// Whether a game's database is away, and what was told of that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Away {
    since: Option<Instant>,
    told_at: Option<Instant>,
    /// Its end is to be told, because its beginning was.
    is_told: bool,
}

impl Away {
    /// It is away. True: to be told, because it was not in the last minute.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let is_due = self.told_at.is_none_or(|at| now >= at + TOLD_EVERY);
        if is_due {
            (self.told_at, self.is_told) = (Some(now), true);
        }
        is_due
    }

    /// It is there. Some: it was away, for so long, which was told.
    pub(super) fn end(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take()?;
        let is_told = std::mem::take(&mut self.is_told);
        is_told.then(|| now.saturating_duration_since(since))
    }

    /// Whether it is.
    pub(super) const fn is_away(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_is_told_at_once_and_the_next_with_its_number_after_a_minute() {
        let (told, now) = (Told::default(), Instant::now());
        let later = now + TOLD_EVERY;
        let sooner = now + TOLD_EVERY.mul_f32(0.99);
        assert_eq!(told.count(What::Refused, "a", 3, now), Some(3));
        assert_eq!(told.count(What::Refused, "b", 1, now), Some(1), "another operation");
        assert_eq!(told.count(What::Locked, "a", 1, now), Some(1), "another thing");
        for _ in 0..100 {
            assert_eq!(told.count(What::Refused, "a", 2, sooner), None);
        }
        assert_eq!(told.count(What::Refused, "a", 5, later), Some(205));
        assert_eq!(told.count(What::Refused, "a", 1, later), None);
    }

    #[test]
    fn database_that_is_away_for_an_hour_is_told_each_minute_and_once_when_it_is_back() {
        let (mut away, now) = (Away::default(), Instant::now());
        let hour = (0..3600).filter(|second| away.begin(now + Duration::from_secs(*second)));
        assert_eq!(hour.count(), 60);
        let end = now + Duration::from_hours(1);
        assert_eq!(away.end(end), Some(Duration::from_hours(1)));
        assert_eq!(away.end(end), None);
        assert!(away.begin(end));
    }

    #[test]
    fn database_that_comes_and_goes_is_told_once_a_minute() {
        let (mut away, now) = (Away::default(), Instant::now());
        let mut told = (0, 0);
        for second in 0..120 {
            let now = now + Duration::from_secs(second);
            told.0 += u32::from(away.begin(now));
            assert!(away.is_away());
            told.1 += u32::from(away.end(now).is_some());
        }
        assert_eq!((told, away.is_away()), ((2, 2), false));
    }
}
