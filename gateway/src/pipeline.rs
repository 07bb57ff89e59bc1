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
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use gateway_protocol::Code;

use crate::auth::{Admission, AuthError, Claim, NonceBook, Presented, Principal, TokenCache};
use crate::backend::{Asker, BackendError, Job, RefusedAttempt, Run};
use crate::bind::{Bound, Param, bind_each, bind_scalars};
use crate::cache::{Cache, KeyRef, Stored};
use crate::catalog::Scalar;
use crate::error::Error;
use crate::observe::{
    CacheOutcome, Category, Event, Metrics, OpIndex, Recorder, RequestLine, Stage, Transport, emit,
    log_request,
};
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
    /// The client's address.
    pub peer: SocketAddr,
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
    /// How it came.
    pub transport: Transport,
    /// The client's address.
    pub peer: SocketAddr,
    /// The request's id.
    pub trace: Trace<'a>,
    /// What was asked for; `None` when it did not get that far.
    pub operation: Option<&'a Operation>,
    /// Who asked.
    pub caller: Option<&'a str>,
    /// The reply's code; 0 = ok.
    pub code: u16,
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
    pub cache: Arc<Cache<BackendError>>,
    /// The way to the backend threads.
    pub backend: queue::Sender<Job>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Nonces of hellos that were accepted; outlives every reload.
    pub nonces: NonceBook,
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
    ) -> Self {
        Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            cache,
            backend,
            metrics,
            nonces: NonceBook::default(),
            draining: AtomicBool::new(false),
            connections: AtomicU64::new(0),
        }
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
    requests: Cell<u64>,
    /// Stands for who gives no credential.
    nobody: Arc<Principal>,
    /// First half of the request ids that this thread makes.
    trace_prefix: u32,
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
            requests: Cell::new(0),
            nobody: Arc::new(Principal::nobody()),
            trace_prefix: trace_prefix(),
            core,
        }
    }

    /// A new request id: random by thread, counted by request.
    pub fn next_trace(&self) -> String {
        format!("{:08x}{:08x}", self.trace_prefix, self.requests.get())
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
        let token = Presented::Token(token);
        tokens.authenticate(&snapshot.authenticator, snapshot.generation, token, unix_seconds())
    }

    /// The principal of an API key, verified now or remembered.
    ///
    /// # Errors
    ///
    /// [`AuthError`] of the verification.
    pub fn api_key(&self, snapshot: &Snapshot, key: &str) -> Result<Arc<Principal>, AuthError> {
        let mut tokens = self.tokens.borrow_mut();
        let key = Presented::ApiKey(key);
        tokens.authenticate(&snapshot.authenticator, snapshot.generation, key, unix_seconds())
    }

    /// Begins a request: counts it, and starts the stage clock if it is one of those that are timed.
    pub fn begin_request(&self, arrived: Instant) {
        self.requests.set(self.requests.get().wrapping_add(1));
        self.lap_from.set(self.recorder.samples_stages().then_some(arrived));
    }

    /// Ends a stage of the request begun last, if its stages are timed.
    pub fn lap(&self, stage: Stage) {
        if let Some(from) = self.lap_from.get() {
            let now = Instant::now();
            self.recorder.stage(stage, now - from);
            self.lap_from.set(Some(now));
        }
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

    /// Makes an operation's cache key in this thread's scratch space.
    fn with_key<R>(
        &self,
        operation: &Operation,
        principal: Option<&Principal>,
        bound: &Bound<'_>,
        read: impl FnOnce(KeyRef<'_>) -> R,
    ) -> R {
        let mut scratch = self.key.borrow_mut();
        let principal = principal.unwrap_or(&self.nobody);
        let hasher = self.core.cache.hasher();
        read(operation.key_spec.build(OWNER_EPOCH, bound, principal, hasher, &mut scratch))
    }

    /// Ends a request: counts it, and logs it if the configuration picks it.
    pub fn finish(&self, finished: &Finished<'_>) {
        let latency = finished.arrived.elapsed();
        let index = finished.operation.map_or(OpIndex::NONE, |operation| operation.index);
        let category = Category::of(finished.code);
        self.recorder.request(index, category, latency, finished.outcome);
        let picks = self.current.borrow().config.logging.requests;
        if !picks.picks(finished.code, self.requests.get()) {
            return;
        }
        let template = finished.operation.map(|operation| &operation.template);
        log_request(&RequestLine {
            trace: &finished.trace.to_string(),
            peer: finished.peer,
            transport: finished.transport,
            game: template.map_or("", |template| template.game.as_str()),
            operation: template.map_or("", |template| template.op.as_str()),
            template: template.map_or(0, |template| template.version),
            caller: finished.caller.unwrap_or_default(),
            code: finished.code,
            latency,
            cache: finished.outcome,
        });
    }

    /// Tells the log of a failure that is not the client's own, with its causes.
    pub fn report(&self, error: &Error, operation: Option<&Operation>, trace: Trace<'_>) {
        if !matches!(error, Error::Backend(_) | Error::Internal(_)) {
            return;
        }
        let template = operation.map(|operation| &operation.template);
        emit(&Event::RequestFailed {
            trace: &trace.to_string(),
            game: template.map_or("", |template| template.game.as_str()),
            operation: template.map_or("", |template| template.op.as_str()),
            code: error.code(),
            error,
        });
    }
}

/// Whether the stages of a request that waits are timed; from [`Worker::pause`].
#[derive(Debug)]
#[must_use = "a paused request goes on with `Worker::resume`"]
pub struct Paused(bool);

/// Part of every cache key: raised when a game's data changes its owner, which nothing does yet.
const OWNER_EPOCH: u32 = 0;

fn trace_prefix() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the ids of two threads may meet: a nuisance in a log, no more.
    let _filled = getrandom::fill(&mut bytes).is_ok();
    u32::from_be_bytes(bytes)
}

/// Seconds since 1970, by the wall clock.
pub fn unix_seconds() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
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
        let admission = operation.access.admits(request.principal.map(Arc::as_ref), &game.id);
        let admission =
            admission.inspect_err(|error| self.audit_refused(request, operation, None, error))?;
        let bound = bind_each(&operation.template, params)?;
        check_claims(operation, request.principal, admission, &bound)
            .inspect_err(|error| self.audit_refused(request, operation, Some(&bound), error))?;
        self.lap(Stage::Bind);
        if !operation.included.is_empty() {
            return Ok(Served::Wait(self.begin_parts(request, game, operation, bound)?));
        }
        let found = self.look_up(operation, request, &bound, |stored| hit(operation, stored));
        match found {
            Some(answer) => Ok(Served::Hit(answer)),
            None => {
                let pending = self.send(request, game, operation, bound)?;
                Ok(Served::Wait(Waiting::of(PartWaiting::Pending(pending), Vec::new())))
            }
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
            self.core.cache.l1().read(
                key,
                self.core.cache.ms_at(request.arrived),
                |stored, _life| read(stored),
            )
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
            self.with_key(operation, principal, &bound, |key| key.to_key())
        });
        let limit = request.arrived + game.deadline;
        let deadline = request.deadline.map_or(limit, |own| own.min(limit));
        let (reply, answer) = queue::reply();
        let run = Run {
            operation: Arc::clone(operation),
            bound: bound.into_owned(),
            key,
            asker: self.asker(request),
            deadline,
            reply,
        };
        let offered = self.core.backend.offer(Job::Run(Box::new(run)));
        offered.map_err(|_refused| Error::Overloaded)?;
        Ok(Pending { operation: Arc::clone(operation), answer, deadline })
    }

    fn asker(&self, request: &Request<'_>) -> Asker {
        Asker {
            principal: Arc::clone(request.principal.unwrap_or(&self.nobody)),
            trace: request.trace.to_string().into(),
            peer: request.peer,
        }
    }

    /// Has a refused attempt at an audited operation written down. The refusal does not wait for that.
    fn audit_refused(
        &self,
        request: &Request<'_>,
        operation: &Arc<Operation>,
        bound: Option<&Bound<'_>>,
        error: &AuthError,
    ) {
        let code = error.code();
        let is_permission =
            matches!(code, Code::RoleForbidden | Code::ClaimMismatch | Code::GameForbidden);
        if !operation.template.audit || !is_permission {
            return;
        }
        let attempt = RefusedAttempt {
            operation: Arc::clone(operation),
            bound: bound.map(|bound| bound.clone().into_owned()),
            asker: self.asker(request),
            code: code.number(),
            time: SystemTime::now(),
        };
        if self.core.backend.offer(Job::Refused(Box::new(attempt))).is_err() {
            emit(&Event::AuditFailed { error: &Error::Overloaded });
        }
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
            let admission = child.access.admits(request.principal.map(Arc::as_ref), &game.id);
            let admission =
                admission.inspect_err(|error| self.audit_refused(request, child, None, error))?;
            let given = include.args.iter().map(|arg| {
                let value = bound.values.get(arg.slot).cloned().unwrap_or(Scalar::Null);
                (arg.param.as_ref(), value)
            });
            let child_bound = bind_scalars(&child.template, given)?;
            check_claims(child, request.principal, admission, &child_bound).inspect_err(
                |error| self.audit_refused(request, child, Some(&child_bound), error),
            )?;
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
                self.core.cache.l1().get(key, self.core.cache.ms_at(request.arrived))
            });
            if let Some(stored) = found {
                let operation = Arc::clone(operation);
                return Ok(PartWaiting::Ready(Part {
                    operation,
                    stored,
                    outcome: CacheOutcome::L1,
                }));
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
    if admission == Admission::Yes {
        return Ok(());
    }
    let Some(principal) = principal else { return Err(AuthError::Missing) };
    operation.access.claims_match(principal, |slot, claim| {
        bound.values.get(slot).is_some_and(|value| equals(value, claim))
    })
}

/// Whether a bound value says the same as a claim. `sub` is text by RFC 7519, also where it holds a
/// number: then the number's canonical text counts.
fn equals(value: &Scalar<'_>, claim: &Claim) -> bool {
    match (value, claim) {
        (Scalar::Int(value), Claim::Int(claim)) => value == claim,
        (Scalar::Bool(value), Claim::Bool(claim)) => value == claim,
        (Scalar::Str(value), Claim::Str(claim)) => **value == **claim,
        (Scalar::Int(value), Claim::Str(claim)) => {
            claim.parse() == Ok(*value) && *value.to_string() == **claim
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    //! The way of a request with the test holding the other end of the backend's queue.

    use std::fs;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::auth::{Authenticator, new_key};
    use crate::catalog::{Catalog, Dialect};
    use crate::config::{Config, Env};
    use crate::snapshot::{Parts, build};

    const GET: &str = "-- @desc a row\n-- @kind one\n-- @param id bigint min=1\n-- @result id bigint\n\
                       -- @allow gm\n-- @audit\nSELECT t.id FROM t WHERE t.id = :id\n";

    /// A gateway of one game with one operation `t.get`, without its threads.
    struct Path {
        worker: Worker,
        jobs: queue::Receiver<Job>,
        keys: [String; 2],
        _folder: tempfile::TempDir,
    }

    impl Path {
        fn new(queue_max: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let base = folder.path();
            fs::create_dir_all(base.join("sql/game1/t")).unwrap();
            fs::write(base.join("sql/game1/t/get.sql"), GET).unwrap();
            let keys = ["gm", "other"].map(|id| new_key(id).unwrap());
            let text = format!(
                "templates: sql\ndatabase: {{connections: {{db: {{type: sqlite, path: t.db}}}}}}\n\
                 games: {{game1: {{id: game1, name: g, database: db}}}}\n\
                 logging: {{audit_file: audit.log}}\n\
                 auth:\n  roles: {{gm: {{}}, other: {{}}}}\n  api_keys:\n\
                 \x20   - {{id: gm, hash: '{}', roles: [gm], games: ['*']}}\n\
                 \x20   - {{id: other, hash: '{}', roles: [other], games: ['*']}}\n",
                keys[0].hash, keys[1].hash
            );
            let (config, _) = Config::parse(&text, base, &Env::process()).unwrap();
            let games = [(config.games[0].id.clone(), Dialect::Sqlite)];
            let catalog = Catalog::load(&config.templates, &games).unwrap();
            let authenticator = Arc::new(Authenticator::new(&config.auth, None, true).unwrap());
            let metrics = Arc::new(Metrics::new());
            let cache = Arc::new(Cache::new(&config.cache, Box::new(|_| {})).unwrap());
            let parts = Parts { config: Arc::new(config), catalog, authenticator, jwks: None };
            let snapshot = build(1, parts, &metrics).unwrap();
            let (sender, jobs) = queue::bounded(queue_max);
            let core = Arc::new(Core::new(snapshot, cache, sender, metrics));
            let keys = keys.map(|key| key.key.expose().to_owned());
            Self { worker: Worker::new(core), jobs, keys, _folder: folder }
        }

        /// Calls `t.get` with this `id`, as the key of that index.
        fn call(&self, key: usize, id: i64) -> Result<Waiting, Error> {
            let snapshot = self.worker.snapshot();
            let principal = self.worker.api_key(&snapshot, &self.keys[key]).unwrap();
            let request = Request {
                principal: Some(&principal),
                trace: Trace::Text("test"),
                peer: (Ipv4Addr::LOCALHOST, 1).into(),
                arrived: Instant::now(),
                deadline: None,
            };
            let value = gateway_protocol::Value::Int(id);
            let params = [Ok(Param { name: "id".into(), value, untyped: false })];
            let routed = route(&snapshot, "game1", "t.get").unwrap();
            match self.worker.serve(&request, routed, params, |_, _| ())? {
                Served::Wait(waiting) => Ok(waiting),
                Served::Hit(()) => panic!("nothing was kept"),
            }
        }

        fn job(&mut self) -> Option<Job> {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match std::pin::pin!(self.jobs.take()).poll(&mut context) {
                std::task::Poll::Ready(job) => job,
                std::task::Poll::Pending => None,
            }
        }
    }

    fn code(outcome: Result<Waiting, Error>) -> u16 {
        outcome.map_or_else(|error| error.code(), |_| 0)
    }

    #[test]
    fn good_request_becomes_one_job_with_its_value_and_deadline() {
        let mut path = Path::new(4);
        let waiting = path.call(0, 7).unwrap();
        let Some(Job::Run(run)) = path.job() else { panic!("no job") };
        assert_eq!(run.bound.values.first(), Some(&Scalar::Int(7)));
        assert_eq!(waiting.deadline(), Some(run.deadline));
        assert!(run.deadline > Instant::now() + Duration::from_millis(100));
        assert!(path.job().is_none());
    }

    #[test]
    fn request_refused_at_its_parameters_reaches_no_backend() {
        let mut path = Path::new(4);
        assert_eq!(code(path.call(0, 0)), 2012);
        assert!(path.job().is_none());
    }

    #[test]
    fn refused_role_on_an_audited_operation_is_handed_over_for_the_audit_log_alone() {
        let mut path = Path::new(4);
        assert_eq!(code(path.call(1, 7)), 3101);
        let Some(Job::Refused(attempt)) = path.job() else { panic!("no attempt") };
        assert_eq!((attempt.code, &*attempt.asker.principal.caller), (3101, "key:other"));
        assert!(path.job().is_none());
    }

    #[test]
    fn full_queue_refuses_and_draining_begins_nothing() {
        let path = Path::new(1);
        assert_eq!(code(path.call(0, 7)), 0);
        assert_eq!(code(path.call(0, 7)), 1001);
        assert_eq!(code(path.call(1, 7)), 3101, "a refusal stands, recorded or not");
        path.worker.core().drain();
        assert_eq!(code(path.call(0, 7)), 1002);
    }

    #[test]
    fn dropped_job_is_answered_at_once_as_a_fault_of_ours() {
        let mut path = Path::new(1);
        let waiting = path.call(0, 7).unwrap();
        drop(path.job());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let answered = std::pin::pin!(waiting.wait()).poll(&mut context);
        let std::task::Poll::Ready(Err(error)) = answered else { panic!("still waiting") };
        assert_eq!(error.code(), 1099);
    }
}
