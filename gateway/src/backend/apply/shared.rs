//! What the applier's loop and its batches share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
#[cfg(test)]
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::RwLock;

use super::Applier;
use super::figures::Figures;
use super::source::Source;
use super::teller::Teller;
use super::told::{Told, What};
use crate::backend::switch::Gates;
use crate::backend::{BackendError, Pools};
use crate::cache::Cache;
use crate::observe::{Event, Metrics, emit};
use crate::snapshot::Snapshot;

/// What a loop works with, wherever its records come from.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) pools: Arc<Pools>,
    pub(super) gates: Arc<Gates>,
    pub(super) cache: Arc<Cache<BackendError>>,
    pub(super) metrics: Arc<Metrics>,
}

/// What the loop and its batches share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) applier: Around,
    pub(super) source: Source,
    pub(super) teller: Teller,
    pub(super) told: Told,
    pub(super) figures: Figures,
    /// Nothing more is begun.
    pub(super) is_stopping: AtomicBool,
    /// Read while records are given up.
    pub(super) burials: Arc<RwLock<()>>,
    /// Turns of the loop.
    #[cfg(test)]
    pub(super) turns: Arc<AtomicUsize>,
}

impl Shared {
    /// For the journal.
    pub(super) fn new(applier: Applier) -> Self {
        let Applier { journal, snapshot, pools, gates, cache, metrics } = applier;
        let teller = Teller::start(Arc::clone(&cache));
        let around = Around { snapshot, pools, gates, cache, metrics };
        Self::of(around, Source::Journal(journal), teller, Figures::default())
    }

    /// For records from wherever.
    pub(super) fn of(applier: Around, source: Source, teller: Teller, figures: Figures) -> Self {
        Self {
            applier,
            source,
            teller,
            told: Told::default(),
            figures,
            is_stopping: AtomicBool::new(false),
            burials: Arc::default(),
            #[cfg(test)]
            turns: Arc::default(),
        }
    }

    /// Tells the log, once a minute.
    pub(super) fn journal_failed(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        if self.told.count(What::Journal, what, 1, Instant::now()).is_some() {
            emit(&Event::JournalFailed { what, error });
        }
    }
}
