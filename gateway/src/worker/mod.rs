//! What a request needs and no stage decides: the state that the threads share, and a frontend thread's own
//! part of it.
//!
//! Invariant: what a [`Worker`] changes for a hit belongs to its thread alone.

mod finished;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::auth::{AuthError, NonceBook, Presented, Principal, TokenCache};
use crate::backend::switch::Gates;
use crate::backend::{BackendError, DirectReads, IdSource, Job, Outlook, Pools};
use crate::bind::Bound;
use crate::cache::{Cache, KeyRef, Keys};
use crate::journal::Journal;
use crate::observe::{Metrics, OpIndex, Ration, Recorder, Stage, Trace};
use crate::queue;
use crate::snapshot::{Operation, Snapshot};
use crate::stream::Streams;

pub use finished::Finished;

/// What the threads share.
#[derive(Debug)]
pub struct Core {
    /// What a reload swaps.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The cache.
    pub cache: Arc<Cache<BackendError>>,
    /// The way to the backend threads.
    pub backend: queue::Sender<Job>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where `:_id` comes from, on every thread.
    pub ids: Arc<IdSource>,
    /// Who is let to the database of a game that is on its way from one to another.
    pub gates: Arc<Gates>,
    /// Nonces of hellos that were accepted; outlives every reload.
    pub nonces: NonceBook,
    /// Orders that are acknowledged before they are in a database; `None`: none is configured.
    pub journal: Option<Arc<Journal>>,
    /// The same through Redis; `None`: there is no section `queue`.
    pub streams: Option<Arc<Streams>>,
    /// The databases, for frontends that read them, and refuse what these have no connection for; `None`: none does.
    pub pools: Option<Arc<Pools>>,
    draining: AtomicBool,
    connections: AtomicU64,
}

impl Core {
    /// Puts together what the threads share.
    pub fn new(
        snapshot: Snapshot,
        cache: Arc<Cache<BackendError>>,
        backend: queue::Sender<Job>,
        metrics: Arc<Metrics>,
        ids: Arc<IdSource>,
    ) -> Self {
        Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            cache,
            backend,
            metrics,
            ids,
            gates: Arc::default(),
            nonces: NonceBook::default(),
            journal: None,
            streams: None,
            pools: None,
            draining: AtomicBool::new(false),
            connections: AtomicU64::new(0),
        }
    }

    /// The same with a journal.
    #[must_use]
    pub fn with_journal(self, journal: Option<Arc<Journal>>) -> Self {
        Self { journal, ..self }
    }

    /// The same with streams.
    #[must_use]
    pub fn with_streams(self, streams: Option<Arc<Streams>>) -> Self {
        Self { streams, ..self }
    }

    /// The same with the databases.
    #[must_use]
    pub fn with_pools(self, pools: Arc<Pools>) -> Self {
        Self { pools: Some(pools), ..self }
    }

    /// A number that no other connection of this process has had.
    pub fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on nothing new is begun.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the gateway is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A snapshot under a count of one thread's own: cloning an `Arc` writes to a line that all threads share.
pub type LocalSnapshot = Rc<Arc<Snapshot>>;

/// One frontend thread's part of the pipeline: its view of the snapshot, its verified tokens, its
/// counters. Not shared, so a hit writes to no memory that another thread touches.
#[derive(Debug)]
pub struct Worker {
    pub(crate) core: Arc<Core>,
    cached: RefCell<arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    current: RefCell<LocalSnapshot>,
    tokens: RefCell<TokenCache>,
    key: RefCell<Vec<u8>>,
    /// This thread's counters.
    pub recorder: Recorder,
    lap_from: Cell<Option<Instant>>,
    /// Hits that are answered and not yet counted: an operation, and how many in a row.
    hits: Cell<(OpIndex, u32)>,
    requests: Cell<u64>,
    /// Lines that its failed requests got this second.
    ration: Ration,
    /// Stands for who gives no credential.
    pub(crate) nobody: Arc<Principal>,
    /// First half of the request ids that this thread makes.
    trace_prefix: u32,
    /// Who does reads on this thread; `None`: the backend does them all.
    pub(crate) direct: Option<Rc<dyn DirectReads>>,
    /// What this thread knows of the pools.
    pub(crate) outlook: Outlook,
}

impl Worker {
    /// A worker of the calling thread.
    pub fn new(core: Arc<Core>) -> Self {
        let mut cached = arc_swap::Cache::new(Arc::clone(&core.snapshot));
        let current = Arc::clone(cached.load());
        let token_count_max = current.config.auth.token_count_max;
        Self {
            cached: RefCell::new(cached),
            current: RefCell::new(Rc::new(current)),
            tokens: RefCell::new(TokenCache::new(token_count_max)),
            key: RefCell::new(Vec::with_capacity(256)),
            recorder: core.metrics.recorder(),
            lap_from: Cell::new(None),
            hits: Cell::new((OpIndex::NONE, 0)),
            requests: Cell::new(0),
            ration: Ration::default(),
            nobody: Arc::new(Principal::nobody()),
            trace_prefix: trace_prefix(),
            direct: None,
            outlook: Outlook::default(),
            core,
        }
    }

    /// A new request id: random by thread, counted by request.
    pub const fn next_trace(&self) -> Trace<'static> {
        Trace::Counted { thread: self.trace_prefix, number: self.requests.get() }
    }

    /// What the threads share.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> LocalSnapshot {
        let mut cached = self.cached.borrow_mut();
        let newest = cached.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current) {
            *current = Rc::new(Arc::clone(newest));
        }
        Rc::clone(&current)
    }

    /// The principal of a bearer token, verified now or remembered.
    ///
    /// # Errors
    ///
    /// [`AuthError`] of the verification.
    pub fn bearer(&self, snapshot: &Snapshot, token: &str) -> Result<Arc<Principal>, AuthError> {
        self.authenticate(snapshot, Presented::Token(token))
    }

    /// The principal of an API key, verified now or remembered.
    ///
    /// # Errors
    ///
    /// [`AuthError`] of the verification.
    pub fn api_key(&self, snapshot: &Snapshot, key: &str) -> Result<Arc<Principal>, AuthError> {
        self.authenticate(snapshot, Presented::ApiKey(key))
    }

    /// The principal of a credential, verified now or remembered.
    ///
    /// # Errors
    ///
    /// [`AuthError`] of the verification.
    pub fn authenticate(
        &self,
        snapshot: &Snapshot,
        presented: Presented<'_>,
    ) -> Result<Arc<Principal>, AuthError> {
        let mut tokens = self.tokens.borrow_mut();
        tokens.authenticate(&snapshot.authenticator, snapshot.generation, presented, unix_seconds())
    }

    /// The principal of a credential that was verified before; nothing is verified now.
    ///
    /// - `now`: Unix seconds.
    pub fn remembered(
        &self,
        snapshot: &Snapshot,
        presented: Presented<'_>,
        now: u64,
    ) -> Option<Arc<Principal>> {
        self.tokens.borrow_mut().remembered(snapshot.generation, presented, now)
    }

    /// Begins a request: counts it, and starts the stage clock if it is one of those that are timed.
    pub fn begin_request(&self, arrived: Instant) {
        self.requests.set(self.requests.get().wrapping_add(1));
        self.lap_from.set(self.recorder.samples_stages().then_some(arrived));
    }

    /// Takes the stage clock away while the request begun last waits for its client: others run meanwhile.
    pub fn pause(&self) -> Paused {
        Paused(self.lap_from.take().is_some())
    }

    /// Goes on with a request that was paused; the wait counts for no stage.
    #[expect(clippy::needless_pass_by_value, reason = "a pause ends once")]
    pub fn resume(&self, paused: Paused) {
        self.lap_from.set(paused.0.then(Instant::now));
    }

    /// Ends a stage of the request begun last, if its stages are timed.
    pub fn lap(&self, stage: Stage) {
        if let Some(from) = self.lap_from.get() {
            let now = Instant::now();
            self.recorder.stage(stage, now - from);
            self.lap_from.set(Some(now));
        }
    }

    /// Makes an operation's cache key in this thread's scratch space.
    pub(crate) fn with_key<R>(
        &self,
        operation: &Operation,
        principal: Option<&Principal>,
        bound: &Bound<'_>,
        read: impl FnOnce(KeyRef<'_>) -> R,
    ) -> R {
        let mut scratch = self.key.borrow_mut();
        let principal = principal.unwrap_or(&self.nobody);
        let hasher = self.core.cache.hasher();
        read(operation.key_spec.build(
            operation.owner_epoch(),
            bound,
            principal,
            hasher,
            &mut scratch,
        ))
    }

    /// Puts an operation's cache key behind others.
    pub(crate) fn add_key(
        &self,
        operation: &Operation,
        principal: Option<&Principal>,
        bound: &Bound<'_>,
        keys: &mut Keys,
    ) {
        let principal = principal.unwrap_or(&self.nobody);
        let hasher = self.core.cache.hasher();
        operation.key_spec.build_in(operation.owner_epoch(), bound, principal, hasher, keys);
    }
}

/// Whether the stages of a request that waits are timed; from [`Worker::pause`].
#[derive(Debug)]
#[must_use = "a paused request goes on with `Worker::resume`"]
pub struct Paused(bool);

fn trace_prefix() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the ids of two threads may meet: a nuisance in a log, no more.
    let _filled = getrandom::fill(&mut bytes).is_ok();
    u32::from_be_bytes(bytes)
}

/// Seconds since 1970, by the wall clock.
pub fn unix_seconds() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}
