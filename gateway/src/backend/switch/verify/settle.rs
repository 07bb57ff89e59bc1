//! One sampled read, answered by the mirror and compared; what differs is looked at again before it counts.
//!
//! A mirror is behind by as long as copying takes. So the owner is asked again, then the mirror when what the owner had
//! written by then was copied, then the owner: when its answer is the same before and after, and the mirror's another
//! one, twice in the same way, no write in between explains it. Rows that change at every look stay undecided.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::super::super::params::shown_params;
use super::super::super::{BackendError, Limits, Outcome, Pools, Supplied, run, statement};
use super::answer::{Rules, Verdict};
use super::both::{is_no_answer, stored};
use super::sample::Sample;
use crate::cache::{Body, Stored};
use crate::catalog::Repeatable;
use crate::snapshot::{Placed, Which};

/// How long one answer may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a difference is looked at again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks at a difference.
const SETTLE_COUNT_MAX: u32 = 10;
/// Between two of them.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// Samples of a game that are looked at again at once; what differs beyond them stays undecided.
const SETTLING_COUNT_MAX: usize = 16;
/// Between two looks at a pool whose connections callers wait for.
const YIELD_PAUSE: Duration = Duration::from_millis(20);

/// How far the outbox is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// How many looks there were.
    pub(super) number: u64,
    /// The first row that waits; 0: none does.
    pub(super) first: i64,
    /// The last one.
    pub(super) last: i64,
    /// Whether rows wait that the mirror did not take at first.
    pub(super) has_retries: bool,
}

/// What came of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The answers were the same.
    Same,
    /// They differ.
    Different {
        /// The parameters as a log shows them.
        params: Box<str>,
        /// What differs.
        fault: Box<str>,
    },
    /// It could not be said: no answer, or rows that change all the time.
    Undecided,
}

/// What comparing needs.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    pub(super) pools: Arc<Pools>,
    /// Connections of a side that are used at once.
    pub(super) turns: Arc<Semaphore>,
    pub(super) positions: watch::Receiver<Position>,
    /// How many look again at what differs, and so at the positions.
    pub(super) settling: Arc<AtomicUsize>,
}

/// Counts itself among those who look again.
struct Settling(Arc<AtomicUsize>);

impl Settling {
    /// `None`: there are enough.
    fn begin(settling: &Arc<AtomicUsize>) -> Option<Self> {
        let count = settling.fetch_add(1, Ordering::Relaxed);
        let one = Self(Arc::clone(settling));
        (count < SETTLING_COUNT_MAX).then_some(one)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Answer = Result<Outcome, BackendError>;

impl Verifier {
    /// Compares a sample.
    pub(super) async fn verify(mut self, sample: &Sample, repeatable: &Repeatable) -> Settled {
        let (owner, mirror) = (sample.which, sample.which.other());
        let Some((template, twin)) = sample
            .operation
            .placed(owner)
            .zip(sample.operation.placed(mirror))
            .map(|(one, other)| (one.template, other.template))
        else {
            return Settled::Undecided;
        };
        let keyset = statement::keyset(template, &sample.bound);
        let dialects = [template.dialect, twin.dialect];
        let rules = Rules::new(template, Some(repeatable), keyset, dialects);
        let first = answered(sample);
        let Some(theirs) = self.ask(sample, mirror).await else { return Settled::Undecided };
        if !matches!(rules.compare(Ok(&first), stored(&theirs)), Verdict::Different(_)) {
            return Settled::Same;
        }
        let settling = self.settle(sample, &rules);
        match tokio::time::timeout(SETTLE_TIMEOUT, settling).await {
            Ok(Some(Verdict::Different(difference))) => {
                let params = shown_params(template, &sample.bound).into();
                Settled::Different { params, fault: difference.told().into() }
            }
            Ok(Some(_)) => Settled::Same,
            Ok(None) | Err(_) => Settled::Undecided,
        }
    }

    /// Asks both sides until they agree, or differ twice in the same way with nothing in between. `None`: one of them
    /// does not answer, or the rows change all the time.
    async fn settle(&mut self, sample: &Sample, rules: &Rules<'_>) -> Option<Verdict> {
        let _settling = Settling::begin(&self.settling)?;
        let mut seen = None;
        for _ in 0..SETTLE_COUNT_MAX {
            let before = self.ask(sample, sample.which).await?;
            self.until_copied().await?;
            let theirs = self.ask(sample, sample.which.other()).await?;
            let after = self.ask(sample, sample.which).await?;
            let verdict = rules.compare(stored(&after), stored(&theirs));
            if !matches!(verdict, Verdict::Different(_)) {
                return Some(verdict);
            }
            // Not behind what the owner had, and not yet what it has.
            if !matches!(rules.compare(stored(&before), stored(&theirs)), Verdict::Different(_)) {
                return Some(Verdict::Alike);
            }
            let now = (told(&after), told(&theirs));
            if told(&before) == now.0 {
                if seen.as_ref() == Some(&now) {
                    return Some(verdict);
                }
                seen = Some(now);
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        None
    }

    /// Waits until what the owner had written by now is copied; `None`: nobody looks any more.
    async fn until_copied(&mut self) -> Option<()> {
        let known = self.positions.borrow_and_update().number;
        // The look that is under way may have begun before the owner was asked.
        let is_later = |position: &Position| position.number >= known + 2;
        let last = self.positions.wait_for(is_later).await.ok()?.last;
        let is_copied = |position: &Position| {
            position.number >= known + 2
                && (position.first == 0 || position.first > last)
                && !position.has_retries
        };
        self.positions.wait_for(is_copied).await.ok().map(drop)
    }

    /// Has one side answer, when no caller waits for its connections; `None`: it does not.
    async fn ask(&self, sample: &Sample, which: Which) -> Option<Answer> {
        let Placed { pool, template, .. } = sample.operation.placed(which)?;
        let pool = self.pools.get(pool, template.dialect)?;
        let deadline = Instant::now() + ASK_TIMEOUT;
        let _turn = self.turns.acquire().await.ok()?;
        while pool.stats().waiting > 0 {
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(YIELD_PAUSE).await;
        }
        let supplied = Supplied {
            now_micros: sample.now_micros,
            id: sample.id,
            row_ids: &[],
            caller: &sample.asker.principal.caller,
            claims: &sample.asker.principal.claims,
            trace: &sample.asker.trace,
        };
        let limits =
            Limits { result_bytes_max: sample.result_bytes_max, cursor_key: &sample.cursor_key };
        match run(&pool, template, &sample.bound, &supplied, &limits, deadline).await {
            Err(error) if is_no_answer(&error) => None,
            answer => Some(answer),
        }
    }
}

/// What the caller was answered.
fn answered(sample: &Sample) -> Stored {
    match &sample.answer {
        Some(msgpack) => {
            let (json, etag) = (std::sync::OnceLock::new(), "".into());
            Stored::Present(Body { msgpack: msgpack.clone(), json, etag })
        }
        None => Stored::Absent,
    }
}

/// An answer, to be compared with itself later.
fn told(answer: &Answer) -> Result<Option<bytes::Bytes>, u16> {
    match answer {
        Ok(Outcome { stored: Stored::Present(body), .. }) => Ok(Some(body.msgpack.clone())),
        Ok(_) => Ok(None),
        Err(error) => Err(error.code()),
    }
}
