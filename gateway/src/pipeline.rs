//! The way of one request, top to bottom. Start reading here.
//!
//! [`Worker::serve`] takes a request that a frontend decoded and leads it through the stages, one
//! after the other: route, admit, bind, match claims, look up. A hit is answered on the spot,
//! under the cache's guard, on the thread that received it. Everything else becomes a job for the
//! backend, and the caller gets a [`Waiting`] to await.
//!
//! Invariant: no stage after a refusal runs; credential, role and claims are checked before the cache
//! is asked, hit or not. Nothing here blocks, and nothing allocates before a miss is known.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::auth::{Admission, AuthError, Principal, TokenCache};
use crate::backend::{Asker, Job};
use crate::bind::{Bound, Param, bind};
use crate::cache::{Cache, KeyRef, Stored};
use crate::catalog::Scalar;
use crate::error::Error;
use crate::observe::{CacheOutcome, Metrics, Recorder, Stage};
use crate::queue;
use crate::reply::{Part, PartWaiting, Pending, Waiting};
use crate::snapshot::{Game, Operation, RouteError, Snapshot};

/// A request, as far as every transport has the same.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks; `None` without a credential.
    pub principal: Option<&'a Arc<Principal>>,
    /// The request's id in logs and replies.
    pub trace: Trace<'a>,
    /// When its last byte arrived.
    pub arrived: Instant,
    /// When it must be answered; `None`: the game's own deadline.
    pub deadline: Option<Instant>,
}

/// A request's name in logs: made into text only where somebody reads it.
#[derive(Clone, Copy, Debug)]
pub enum Trace<'a> {
    /// Text: HTTP's `X-Request-Id`.
    Text(&'a str),
    /// A connection's number in this process, and the request's on it.
    Numbered {
        /// The connection.
        connection: u64,
        /// The request.
        request: u32,
    },
}

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Numbered { connection, request } => write!(f, "{connection}-{request}"),
        }
    }
}

/// A request that is over, for metrics and log.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// `tcp` or `http`.
    pub transport: &'static str,
    /// The client's address.
    pub peer: &'a str,
    /// The request's id.
    pub trace: Trace<'a>,
    /// What was asked for; `None` when it did not get that far.
    pub operation: Option<&'a Operation>,
    /// Who asked.
    pub caller: Option<&'a str>,
    /// The reply's code; 0 = ok.
    pub code: u16,
    /// Its class.
    pub category: Category,
    /// Where the answer came from.
    pub outcome: CacheOutcome,
    /// When the request's last byte arrived.
    pub arrived: Instant,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'s> {
    /// The game.
    pub game: &'s Game,
    /// The operation.
    pub operation: &'s Arc<Operation>,
}

/// What became of a request at once.
#[derive(Debug)]
pub enum Served<R> {
    /// A hit: what the caller made of it.
    Hit(R),
    /// The backend works on it.
    Wait(Waiting),
}

/// What the threads share.
#[derive(Debug)]
pub struct Core {
    /// What a reload swaps.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The cache.
    pub cache: Arc<Cache>,
    /// The way to the backend threads.
    pub backend: queue::Sender<Job>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// When the process started; times in the cache count from here.
    pub started: Instant,
    draining: AtomicBool,
}

impl Core {
    /// Puts together what the threads share.
    pub fn new(
        snapshot: Snapshot,
        cache: Arc<Cache>,
        backend: queue::Sender<Job>,
        metrics: Arc<Metrics>,
        started: Instant,
    ) -> Self {
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        Self { snapshot, cache, backend, metrics, started, draining: AtomicBool::new(false) }
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

/// One frontend thread's part of the pipeline: its view of the snapshot, its verified tokens, its
/// counters. Not shared, so a hit writes to no memory that another thread touches.
#[derive(Debug)]
pub struct Worker {
    core: Arc<Core>,
    cached: RefCell<arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    /// The snapshot under a count of this thread's own: cloning an `Arc` writes to a shared line.
    current: RefCell<Rc<Arc<Snapshot>>>,
    tokens: RefCell<TokenCache>,
    key: RefCell<Vec<u8>>,
    /// This thread's counters.
    pub recorder: Recorder,
    lap_from: Cell<Option<Instant>>,
    requests: Cell<u32>,
}

/// One request in so many has its stages timed.
const STAGE_SAMPLE: u32 = 64;

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
            requests: Cell::new(0),
            core,
        }
    }

    /// What the threads share.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Rc<Arc<Snapshot>> {
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
        let mut tokens = self.tokens.borrow_mut();
        tokens.bearer(&snapshot.authenticator, snapshot.generation, token, unix_seconds())
    }

    /// The principal of an API key, verified now or remembered.
    ///
    /// # Errors
    ///
    /// [`AuthError`] of the verification.
    pub fn api_key(&self, snapshot: &Snapshot, key: &str) -> Result<Arc<Principal>, AuthError> {
        let mut tokens = self.tokens.borrow_mut();
        tokens.api_key(&snapshot.authenticator, snapshot.generation, key, unix_seconds())
    }

    /// Starts the stage clock for one request in [`STAGE_SAMPLE`].
    pub fn begin_request(&self, arrived: Instant) {
        let count = self.requests.get().wrapping_add(1);
        self.requests.set(count);
        self.lap_from.set((count % STAGE_SAMPLE == 0).then_some(arrived));
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
    fn with_key<R>(
        &self,
        operation: &Operation,
        principal: Option<&Principal>,
        bound: &Bound<'_>,
        read: impl FnOnce(KeyRef<'_>) -> R,
    ) -> R {
        let mut scratch = self.key.borrow_mut();
        read(operation.key_spec.key(&operation.template, principal, bound, &mut scratch))
    }
}

/// Seconds since 1970, by the wall clock.
pub fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |elapsed| elapsed.as_secs())
}

/// Finds the operation of a call by name.
///
/// # Errors
///
/// [`RouteError`]: no such game or operation, or switched off.
pub fn route<'s>(snapshot: &'s Snapshot, game: &str, op: &str) -> Result<Routed<'s>, RouteError> {
    let game = snapshot.game(game)?;
    let operation = game.operation(op)?;
    Ok(Routed { game, operation })
}

impl Worker {
    /// Serves one request up to its answer or its job.
    ///
    /// - `params`: as they are decoded, one after the other.
    /// - `hit`: called with a cached answer, under the cache's guard: copy, do not keep.
    ///
    /// # Errors
    ///
    /// [`Error`] of the first stage that refuses.
    pub fn serve<'p, R>(
        &self,
        request: &Request<'_>,
        routed: Routed<'_>,
        params: impl IntoIterator<Item = Result<Param<'p>, Error>>,
        hit: impl FnOnce(&Operation, &Stored) -> R,
    ) -> Result<Served<R>, Error> {
        let Routed { game, operation } = routed;
        let admission = operation.access.admits(request.principal.map(Arc::as_ref), &game.id)?;
        let mut params = Refusable { inner: params.into_iter(), refused: None };
        let bound = bind(&operation.template, &mut params);
        // A value that could not be decoded ends the iteration: its fault comes before what is
        // missing because of it.
        if let Some(refused) = params.refused {
            return Err(refused);
        }
        let bound = bound?;
        check_claims(operation, request.principal, admission, &bound)?;
        self.lap(Stage::Bind);
        if !operation.included.is_empty() {
            return Ok(Served::Wait(self.begin_parts(request, game, operation, bound)?));
        }
        let mut hit = Some(hit);
        let found = self.look_up(operation, request, &bound, |stored| {
            hit.take().map(|hit| hit(operation, stored))
        });
        match found {
            Some(Some(answer)) => Ok(Served::Hit(answer)),
            _ => {
                let pending = self.send(request, game, operation, bound)?;
                Ok(Served::Wait(Waiting::of(PartWaiting::Pending(pending), Vec::new())))
            },
        }
    }

    /// Asks L1. `None`: a miss, or an operation that is not cached.
    fn look_up<R>(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        bound: &Bound<'_>,
        read: impl FnOnce(&Stored) -> R,
    ) -> Option<R> {
        operation.template.cache.as_ref()?;
        self.with_key(operation, request.principal.map(Arc::as_ref), bound, |key: KeyRef<'_>| {
            self.core.cache.l1().read(key, self.core.cache.now_ms(request.arrived), read)
        })
    }

    /// Hands a request to the backend.
    fn send(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<Pending, Error> {
        if self.core.is_draining() {
            return Err(Error::Draining);
        }
        let key = operation.template.cache.is_some().then(|| {
            let principal = request.principal.map(Arc::as_ref);
            self.with_key(operation, principal, &bound, KeyRef::to_owned)
        });
        let limit = request.arrived + game.deadline;
        let deadline = request.deadline.map_or(limit, |own| own.min(limit));
        let (reply, answer) = queue::reply();
        let job = Job {
            operation: Arc::clone(operation),
            bound: bound.into_owned(),
            key,
            asker: Asker {
                principal: request.principal.cloned(),
                trace: request.trace.to_string().into(),
            },
            deadline,
            reply,
        };
        self.core.backend.offer(job).map_err(|_refused| Error::Overloaded)?;
        Ok(Pending { operation: Arc::clone(operation), answer, deadline })
    }

    /// Begins an operation with `@include`: itself and each included one, side by side.
    fn begin_parts(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<Waiting, Error> {
        let mut parts = Vec::with_capacity(operation.included.len() + 1);
        for (include, child) in operation.template.includes.iter().zip(&operation.included) {
            if !child.enabled {
                return Err(RouteError::OperationDisabled.into());
            }
            let admission = child.access.admits(request.principal.map(Arc::as_ref), &game.id)?;
            let given = include.args.iter().map(|arg| {
                let value = bound.values.get(arg.slot).cloned().unwrap_or(Scalar::Null);
                (arg.param.as_ref(), value)
            });
            let child_bound = Bound::from_scalars(&child.template, given)?;
            check_claims(child, request.principal, admission, &child_bound)?;
            parts.push(self.begin_part(request, game, child, child_bound)?);
        }
        let first = self.begin_part(request, game, operation, bound)?;
        Ok(Waiting::of(first, parts))
    }

    fn begin_part(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<PartWaiting, Error> {
        if operation.template.cache.is_some() {
            let principal = request.principal.map(Arc::as_ref);
            let found = self.with_key(operation, principal, &bound, |key| {
                self.core.cache.l1().get(key, self.core.cache.now_ms(request.arrived))
            });
            if let Some(stored) = found {
                let operation = Arc::clone(operation);
                return Ok(PartWaiting::Ready(Part { operation, stored, outcome: CacheOutcome::L1 }));
            }
        }
        Ok(PartWaiting::Pending(self.send(request, game, operation, bound)?))
    }
}

/// Checks the claims that an admission depends on.
fn check_claims(
    operation: &Operation,
    principal: Option<&Arc<Principal>>,
    admission: Admission,
    bound: &Bound<'_>,
) -> Result<(), AuthError> {
    if admission == Admission::Granted {
        return Ok(());
    }
    let Some(principal) = principal else { return Err(AuthError::Missing) };
    operation.access.claims_match(principal, |slot, claim| {
        bound.values.get(slot).is_some_and(|value| value.equals_claim(claim))
    })
}

/// Passes parameters on until one could not be decoded, and keeps that fault.
struct Refusable<I> {
    inner: I,
    refused: Option<Error>,
}

impl<'p, I: Iterator<Item = Result<Param<'p>, Error>>> Iterator for &mut Refusable<I> {
    type Item = Param<'p>;

    fn next(&mut self) -> Option<Param<'p>> {
        match self.inner.next()? {
            Ok(param) => Some(param),
            Err(error) => {
                self.refused = Some(error);
                None
            }
        }
    }
}
