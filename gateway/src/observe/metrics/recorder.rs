//! One thread's counts: written without an atomic addition, in lines that no other thread writes.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::histogram::{OwnedCell, OwnedHistogram};
use super::label::{CacheOutcome, Category, Stage, Transport};
use super::{OPERATION_COUNT_MAX, OpIndex};

/// One request in so many has its stages measured.
const SAMPLE_EVERY: u32 = 64;

/// What one thread counts of one operation. Aligned to two cache lines, which CPUs fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct OperationBlock {
    pub(super) requests: [OwnedCell; Category::ALL.len()],
    pub(super) cache: [OwnedCell; CacheOutcome::ALL.len()],
    pub(super) latency: OwnedHistogram,
}

/// What one thread counts besides operations.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct ThreadBlock {
    pub(super) stages: [OwnedHistogram; Stage::ALL.len()],
    pub(super) accepted: [OwnedCell; Transport::ALL.len()],
    pub(super) closed: [OwnedCell; Transport::ALL.len()],
    pub(super) parked: [OwnedCell; Transport::ALL.len()],
    pub(super) resumed: [OwnedCell; Transport::ALL.len()],
    pub(super) refused: [OwnedCell; Transport::ALL.len()],
    pub(super) panics: OwnedCell,
}

/// One thread's blocks. Kept when the thread ends, and then given to the next one.
pub(super) struct ThreadTable {
    pub(super) thread: ThreadBlock,
    /// By [`OpIndex`]; a block is made when the thread first serves the operation.
    pub(super) operations: Box<[OnceLock<Box<OperationBlock>>]>,
    owned: AtomicBool,
}

impl ThreadTable {
    pub(super) fn new() -> Self {
        Self {
            thread: ThreadBlock::default(),
            operations: (0..OPERATION_COUNT_MAX).map(|_| OnceLock::new()).collect(),
            owned: AtomicBool::new(false),
        }
    }

    /// Takes the table for one recorder; false: it has one.
    pub(super) fn claim(&self) -> bool {
        !self.owned.swap(true, Ordering::Acquire)
    }
}

impl fmt::Debug for ThreadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadTable").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// The connections of a thread, by transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Taken since the start.
    pub accepted: u64,
    /// Turned away since the start.
    pub refused: u64,
    /// Open now.
    pub open: u64,
    /// Of those that are open: silent for a while, and without a task of their own.
    pub parked: u64,
}

/// Counts for the thread that holds it. It may be moved to a thread, not shared between threads.
#[derive(Debug)]
pub struct Recorder {
    table: Arc<ThreadTable>,
    requests: Cell<u32>,
    /// `Cell` makes it `!Sync`: two threads adding to one cell would lose counts.
    single_thread: PhantomData<Cell<()>>,
}

impl Recorder {
    /// - `table`: claimed by the caller.
    pub(super) const fn new(table: Arc<ThreadTable>) -> Self {
        Self { table, requests: Cell::new(0), single_thread: PhantomData }
    }

    /// Counts a request that was answered.
    ///
    /// - `latency`: from the request's last byte to the reply's encoding.
    ///
    /// Cost: five loads and stores in lines of this thread's own; allocates at the first request of an operation.
    pub fn request(
        &self,
        operation: OpIndex,
        category: Category,
        latency: Duration,
        cache: CacheOutcome,
    ) {
        let Some(slot) = self.table.operations.get(operation.0 as usize) else { return };
        let block = slot.get_or_init(Box::default);
        count(&block.requests, category as usize);
        count(&block.cache, cache as usize);
        block.latency.record(latency);
    }

    /// Counts hits of one operation that were answered together: they arrived in one receive and leave in one
    /// send, so one reading of the clock is the latency of each.
    pub fn hits(&self, operation: OpIndex, count: u32, latency: Duration) {
        let Some(slot) = self.table.operations.get(operation.0 as usize) else { return };
        let block = slot.get_or_init(Box::default);
        let add = |cells: &[OwnedCell], index: usize| {
            if let Some(cell) = cells.get(index) {
                cell.add(count.into());
            }
        };
        add(&block.requests, Category::Ok as usize);
        add(&block.cache, CacheOutcome::L1 as usize);
        block.latency.record_many(latency, count.into());
    }

    /// Whether the stages of this request are to be measured: the first, and then one in 64.
    pub fn samples_stages(&self) -> bool {
        let number = self.requests.get();
        self.requests.set(number.wrapping_add(1));
        number.is_multiple_of(SAMPLE_EVERY)
    }

    /// How many of the next requests [`Self::samples_stages`] will not pick.
    pub fn unsampled_next(&self) -> u32 {
        (SAMPLE_EVERY - self.requests.get() % SAMPLE_EVERY) % SAMPLE_EVERY
    }

    /// Counts the time of a stage, of a request that [`Self::samples_stages`] picked.
    pub fn stage(&self, stage: Stage, elapsed: Duration) {
        if let Some(histogram) = self.table.thread.stages.get(stage as usize) {
            histogram.record(elapsed);
        }
    }

    /// Counts a connection that was taken.
    pub fn connection_opened(&self, transport: Transport) {
        count(&self.table.thread.accepted, transport as usize);
    }

    /// Counts one of them that is no more.
    pub fn connection_closed(&self, transport: Transport) {
        count(&self.table.thread.closed, transport as usize);
    }

    /// Counts an open connection that gave its task up.
    pub fn connection_parked(&self, transport: Transport) {
        count(&self.table.thread.parked, transport as usize);
    }

    /// Counts one of them that has a task again, or is to be closed.
    pub fn connection_resumed(&self, transport: Transport) {
        count(&self.table.thread.resumed, transport as usize);
    }

    /// Counts a connection that was turned away.
    pub fn connection_refused(&self, transport: Transport) {
        count(&self.table.thread.refused, transport as usize);
    }

    /// Counts a connection's task that panicked.
    pub fn panicked(&self) {
        self.table.thread.panics.add(1);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Release: the next owner adds to what this one wrote.
        self.table.owned.store(false, Ordering::Release);
    }
}

fn count(cells: &[OwnedCell], index: usize) {
    if let Some(cell) = cells.get(index) {
        cell.add(1);
    }
}
