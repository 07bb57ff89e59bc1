//! L1 as requests read it.
//!
//! A look-up has two halves: [`Reading::find`] goes to the map, [`Reading::serve`] asks whether what stands there may
//! be served, and lets the caller copy it. Between the halves of one look-up those of others have room: what
//! waits for memory then waits together.
//!
//! Invariant: nothing here takes a lock or counts a reference.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use papaya::LocalGuard;

use super::{Entry, L1};
use crate::cache::{KeyRef, Stored};

/// Bytes that one load brings into the CPU's cache.
const LINE_BYTES: usize = 64;
/// Lines of a body that are loaded ahead, at most: bodies may be megabytes, and those of calls that wait together have to fit in
/// the CPU's cache until they are copied.
const LINES_MAX: usize = 64;

/// When an entry was fetched, and how long it is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Milliseconds since its fetch began.
    pub age_ms: u64,
    /// Milliseconds until it expires.
    pub left_ms: u64,
}

/// L1 under its guard: what is found is not freed before this is dropped. Keep it for a moment only.
pub struct Reading<'l> {
    l1: &'l L1,
    guard: LocalGuard<'l>,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

/// What stands under a key. Whether it may be served is not asked yet.
#[derive(Clone, Copy, Debug)]
pub struct Found<'g>(&'g Entry);

impl Found<'_> {
    /// Begins to load the body, and does not wait for it.
    pub fn fetch_ahead(self) {
        let bytes = self.0.msgpack.as_deref().unwrap_or_default();
        for line in bytes.chunks(LINE_BYTES).take(LINES_MAX) {
            std::hint::black_box(line.first());
        }
    }
}

/// An entry that may be served.
#[derive(Debug)]
pub struct Hit<'g> {
    entry: &'g Entry,
    now_ms: u64,
    /// Whether the caller saw more than MessagePack, and may have made JSON of it.
    is_opened: Cell<bool>,
}

impl<'g> Hit<'g> {
    /// The body as MessagePack; `None`: there is no such row.
    pub fn msgpack(&self) -> Option<&'g Bytes> {
        self.entry.msgpack.as_ref()
    }

    /// Everything that was kept.
    pub fn stored(&self) -> &'g Stored {
        self.is_opened.set(true);
        &self.entry.stored
    }

    /// How old it is.
    pub fn life(&self) -> Life {
        Life {
            age_ms: self.now_ms.saturating_sub(self.entry.fetched_ms),
            left_ms: self.entry.expires_ms.saturating_sub(self.now_ms),
        }
    }
}

impl L1 {
    /// Runs `read` on the entry of `key` if there is a valid one.
    ///
    /// - `now_ms`: from [`Cache::now_ms`](crate::cache::Cache::now_ms); may be a few milliseconds old.
    ///
    /// Cost: no allocation, no lock, no reference count. Keep `read` short: it holds memory of
    /// entries that left from being freed.
    pub fn read<R>(
        &self,
        key: KeyRef<'_>,
        now_ms: u64,
        read: impl FnOnce(&Hit<'_>) -> R,
    ) -> Option<R> {
        let reading = self.reading();
        reading.serve(reading.find(key)?, now_ms, read)
    }

    /// The entry of `key`, shared, if there is a valid one.
    pub fn get(&self, key: KeyRef<'_>, now_ms: u64) -> Option<Arc<Stored>> {
        self.read(key, now_ms, |hit| {
            hit.is_opened.set(true);
            Arc::clone(&hit.entry.stored)
        })
    }

    /// For several look-ups at once.
    pub fn reading(&self) -> Reading<'_> {
        Reading { l1: self, guard: self.map.guard() }
    }

    /// Young enough, no write since its fetch; and while messages of other instances may be
    /// missing, younger than the blind ttl.
    fn is_valid(&self, entry: &Entry, now_ms: u64) -> bool {
        let is_young = now_ms.saturating_sub(entry.fetched_ms) < self.blind_ttl_ms;
        now_ms < entry.expires_ms
            && self.generations.holds(&entry.view)
            && (is_young || !self.generations.is_blind(now_ms))
    }

    /// Counts an entry's JSON once, whoever made it. Two loads when there is nothing new.
    pub(super) fn count_json(&self, entry: &Entry) {
        if entry.json_bytes.load(Ordering::Relaxed) != 0 {
            return;
        }
        let Stored::Present(body) = &*entry.stored else { return };
        let Some(json) = body.json.get() else { return };
        let bytes = json.len() as u64;
        // Added before it can be taken off again.
        self.json_bytes.0.fetch_add(bytes, Ordering::Relaxed);
        let counted =
            entry.json_bytes.compare_exchange(0, bytes, Ordering::Relaxed, Ordering::Relaxed);
        if counted.is_err() {
            self.json_bytes.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Reading<'_> {
    /// What stands under `key`.
    pub fn find(&self, key: KeyRef<'_>) -> Option<Found<'_>> {
        self.l1.map.get(&key, &self.guard).map(Found)
    }

    /// Runs `read` on what was found, if it is valid now.
    ///
    /// - `now_ms`: as for [`L1::read`].
    pub fn serve<R>(
        &self,
        found: Found<'_>,
        now_ms: u64,
        read: impl FnOnce(&Hit<'_>) -> R,
    ) -> Option<R> {
        let Found(entry) = found;
        if !self.l1.is_valid(entry, now_ms) {
            return None;
        }
        if !entry.hit.load(Ordering::Relaxed) {
            entry.hit.store(true, Ordering::Relaxed);
        }
        let hit = Hit { entry, now_ms, is_opened: Cell::new(false) };
        let out = read(&hit);
        if hit.is_opened.get() {
            self.l1.count_json(entry);
        }
        Some(out)
    }
}
