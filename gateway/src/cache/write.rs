//! Writes in flight: what brackets a COMMIT so that no crash between its steps leaves a stale row.
//!
//! 1. [`Cache::begin_write`], before COMMIT: the tags are closed here and in Redis, their generations
//!    change, other instances are told.
//! 2. The caller commits.
//! 3. [`WriteInFlight::finish`]: the generations change again, the tags are open, others are told.
//! 4. The caller replies.
//!
//! While a tag is closed nobody serves or keeps anything under it. A writer that vanishes after step
//! 1 leaves its tags closed until its window is over: nothing stale is there to be served after. Reads
//! may join a fetch from before such a writer's commit as long as that fetch lasts: nobody was told
//! that the write succeeded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Cache, Shared, Tag, l1};

/// What a write's window is longer than the database's deadline: the time that killing a statement
/// and telling Redis may take.
pub const WRITE_MARGIN: Duration = Duration::from_secs(2);

/// A write between its first step and its last.
///
/// Dropped without [`WriteInFlight::finish`] it leaves its tags closed until its window is over.
#[derive(Debug)]
#[must_use = "a write that is not finished keeps its tags closed until its window is over"]
pub struct WriteInFlight {
    shared: Arc<Shared>,
    /// Emptied when the write is finished.
    tags: Box<[Tag]>,
    /// Its name in Redis, random.
    writer: u64,
    until_ms: u64,
}

impl<E> Cache<E> {
    /// Step 1: closes the tags of a write. Call before COMMIT; never fails, Redis or not.
    ///
    /// - `tags`: from [`write_tags`](super::write_tags); none: nothing happens.
    /// - `window`: the longest the write may take, the database's deadline plus [`WRITE_MARGIN`].
    pub async fn begin_write(&self, tags: Box<[Tag]>, window: Duration) -> WriteInFlight {
        let shared = Arc::clone(&self.shared);
        let until_ms = shared.clock.now_ms().saturating_add(l1::millis(window));
        shared.generations.close(&tags);
        // From here on dropping it, also when this future is dropped, leaves the tags closed.
        let mut write = WriteInFlight { shared, tags, writer: 0, until_ms };
        if let Some(l2) = &write.shared.l2
            && !write.tags.is_empty()
        {
            write.writer = l2.begin(&write.tags, window).await;
        }
        write
    }
}

impl WriteInFlight {
    /// Step 3: reopens the tags. Call after COMMIT, after ROLLBACK, and when the outcome is unknown.
    pub async fn finish(mut self) {
        if let Some(l2) = &self.shared.l2
            && !self.tags.is_empty()
        {
            l2.end(&self.tags, self.writer).await;
        }
        let tags = std::mem::take(&mut self.tags);
        self.shared.generations.reopen(&tags);
    }
}

impl Drop for WriteInFlight {
    fn drop(&mut self) {
        if !self.tags.is_empty() {
            self.shared.abandoned.add(self.until_ms, std::mem::take(&mut self.tags));
        }
    }
}

/// Tags of writers that vanished, and until when they stay closed.
#[derive(Debug, Default)]
pub(super) struct Abandoned(Mutex<Vec<(u64, Box<[Tag]>)>>);

impl Abandoned {
    fn add(&self, until_ms: u64, tags: Box<[Tag]>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((until_ms, tags));
    }
}

impl Shared {
    /// Reopens what vanished writers left closed and whose window is over. The sweeper calls it.
    pub(super) fn reopen_abandoned(&self, now_ms: u64) {
        let over: Vec<_> = {
            let mut abandoned = self.abandoned.0.lock().unwrap_or_else(PoisonError::into_inner);
            abandoned.extract_if(.., |(until_ms, _)| now_ms >= *until_ms).collect()
        };
        for (_, tags) in over {
            // A statement that outlived its window: what it changed becomes stale everywhere.
            if let Some(l2) = &self.l2 {
                l2.owe(&tags);
            }
            self.generations.reopen(&tags);
        }
    }
}
