//! The way of one request, top to bottom. Start reading here.
//!
//! [`Worker::serve`] takes a request that a frontend decoded and leads it through the stages, one after the other:
//! route, admit, bind, match claims, look up. A hit is answered on the spot, under the cache's guard, on the thread
//! that received it. A queued write goes to the journal, what needs a connection that is not to be had is refused
//! (`prospect.rs`), all else becomes a job for the backend, and the caller gets a [`Waiting`].
//!
//! Invariant: no stage after a refusal runs; credential, role and claims are checked before the cache
//! is asked, hit or not. Nothing here blocks, and nothing allocates before a miss is known.

mod learned;
mod parts;
mod prospect;
mod recent;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use gateway_protocol::Code;

use crate::auth::{Admission, AuthError, Principal};
use crate::backend::{Asker, BackendError, Job, RefusedAttempt, Run, row_count};
use crate::bind::Bound;
use crate::cache::{Hit, KeyRef, Keys};
use crate::catalog::{Scalar, Template};
use crate::config::QueueKind;
use crate::error::Error;
use crate::identity::{Lane, RequestKey};
use crate::journal::{Draft, Payload};
pub use learned::{Learned, Shape};
pub(crate) use recent::{Recent, Seldom};

pub use crate::observe::Trace;
use crate::observe::{Event, Stage, emit};
use crate::queue;
use crate::reply::{Offered, PartWaiting, Pending, Waiting};
use crate::snapshot::{Game, Operation, RouteError, Snapshot};
pub use crate::worker::{Core, Finished, LocalSnapshot, Worker, unix_seconds};

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
    /// A write is done, answered and undone.
    pub dry_run: bool,
}

impl Request<'_> {
    /// When it must be answered: the client's own limit, if that is sooner than the game's.
    fn deadline_in(&self, game: &Game) -> Instant {
        let limit = self.arrived + game.deadline;
        self.deadline.map_or(limit, |own| own.min(limit))
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'s> {
    /// The game.
    pub game: &'s Arc<Game>,
    /// The operation.
    pub operation: &'s Arc<Operation>,
}

/// A request on its way to another thread: for whom, until when, and the two ends of the way back.
struct Handover<T> {
    asker: Asker,
    deadline: Instant,
    reply: queue::Reply<T>,
    answer: queue::Answer<T>,
}

/// What became of a request at once.
#[derive(Debug)]
pub enum Served<R> {
    /// A hit: what the caller made of it.
    Hit(R),
    /// The backend works on it.
    Wait(Waiting),
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
    /// - `bind`: fills the template's slots, once it is known that the caller may ask; mostly [`bind_each`](crate::bind::bind_each).
    /// - `hit`: called with a cached answer, under the cache's guard: copy, do not keep.
    ///
    /// # Errors
    ///
    /// [`Error`] of the first stage that refuses.
    pub fn serve<'p, R>(
        &self,
        request: &Request<'_>,
        routed: Routed<'_>,
        bind: impl FnOnce(&Template) -> Result<Bound<'p>, Error>,
        hit: impl FnOnce(&Operation, &Hit<'_>) -> R,
    ) -> Result<Served<R>, Error> {
        let Routed { game, operation } = routed;
        let admission = self.admit(request, game, operation)?;
        check_dry_run(request, operation)?;
        let bound = bind(&operation.template)?;
        self.match_claims(request, operation, admission, &bound)?;
        self.lap(Stage::Bind);
        if operation.template.write.asynchronous.is_some() && !request.dry_run {
            return Ok(Served::Wait(self.journal(request, game, operation, bound)?));
        }
        if !operation.included.is_empty() {
            return Ok(Served::Wait(self.begin_parts(request, game, operation, bound)?));
        }
        let found = self.look_up(operation, request, &bound, |found| hit(operation, found));
        if let Some(answer) = found {
            return Ok(Served::Hit(answer));
        }
        self.check_prospect(request, game, operation, &bound)?;
        let pending = self.send(request, game, operation, bound)?;
        Ok(Served::Wait(Waiting::of(PartWaiting::Pending(pending), Vec::new())))
    }

    /// Whether who asks may ask; a refusal of an audited operation is written down.
    fn admit(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
    ) -> Result<Admission, AuthError> {
        let admission = operation.access.admits(request.principal.map(Arc::as_ref), &game.id);
        admission.inspect_err(|error| self.audit_refused(request, operation, None, error))
    }

    /// The same for what the claims of who asks have to say.
    fn match_claims(
        &self,
        request: &Request<'_>,
        operation: &Arc<Operation>,
        admission: Admission,
        bound: &Bound<'_>,
    ) -> Result<(), AuthError> {
        check_claims(operation, request.principal, admission, bound)
            .inspect_err(|error| self.audit_refused(request, operation, Some(bound), error))
    }

    /// Asks L1. `None`: a miss, or an operation that is not cached.
    fn look_up<R>(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        bound: &Bound<'_>,
        read: impl FnOnce(&Hit<'_>) -> R,
    ) -> Option<R> {
        operation.template.cache.as_ref()?;
        self.with_key(operation, request.principal.map(Arc::as_ref), bound, |key: KeyRef<'_>| {
            self.core.cache.l1().read(key, self.core.cache.ms_at(request.arrived), read)
        })
    }

    /// Puts the key under which L1 may have the answer to a request behind others: the stages of [`Worker::serve`]
    /// up to the look-up, without a trace. False: it has no such key, or a stage refuses; `serve` says which.
    pub fn put_key<'p>(
        &self,
        request: &Request<'_>,
        routed: Routed<'_>,
        bind: impl FnOnce(&Template) -> Result<Bound<'p>, Error>,
        keys: &mut Keys,
    ) -> bool {
        let Some(admission) = admit_to_key(request, routed) else { return false };
        let Ok(bound) = bind(&routed.operation.template) else { return false };
        self.put_admitted(request, routed.operation, admission, &bound, keys)
    }

    /// The same with parameters that are bound already.
    pub fn put_bound(
        &self,
        request: &Request<'_>,
        routed: Routed<'_>,
        bound: &Bound<'_>,
        keys: &mut Keys,
    ) -> bool {
        admit_to_key(request, routed).is_some_and(|admission| {
            self.put_admitted(request, routed.operation, admission, bound, keys)
        })
    }

    fn put_admitted(
        &self,
        request: &Request<'_>,
        operation: &Operation,
        admission: Admission,
        bound: &Bound<'_>,
        keys: &mut Keys,
    ) -> bool {
        if check_claims(operation, request.principal, admission, bound).is_err() {
            return false;
        }
        self.add_key(operation, request.principal.map(Arc::as_ref), bound, keys);
        true
    }

    /// Hands a request to the backend.
    fn send(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<Pending, Error> {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method's path is not general over the key's lifetime"
        )]
        let key = operation.template.cache.is_some().then(|| {
            let principal = request.principal.map(Arc::as_ref);
            self.with_key(operation, principal, &bound, |key| key.to_key())
        });
        let Handover { asker, deadline, reply, answer } = self.hand_over(request, game)?;
        let (operation, dry_run) = (Arc::clone(operation), request.dry_run);
        let run = Run {
            operation: Arc::clone(&operation),
            bound: bound.into_owned(),
            key,
            asker,
            deadline,
            dry_run,
            reply,
        };
        let run = match &self.direct {
            Some(direct) => direct.take(Box::new(run)),
            None => Err(Box::new(run)),
        };
        if let Err(run) = run {
            self.core.backend.offer(Job::Run(run)).map_err(|_refused| Error::Overloaded)?;
        }
        Ok(Pending { operation, answer, deadline, dry_run })
    }

    /// Hands a queued write to the journal or its stream, which answers when it is on disk. What the gateway supplies is
    /// fixed now: whenever the order is applied, it is the same.
    fn journal(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<Waiting, Error> {
        let Handover { asker, deadline, reply, answer } = self.hand_over(request, game)?;
        let template = &operation.template;
        let slot = template.write.idempotent.map(|idempotent| idempotent.key_slot);
        let value = slot.and_then(|slot| bound.values.get(slot)).cloned();
        let (Some(key), Some(value)) = (RequestKey::of(template, &bound), value) else {
            return Err(Error::Internal("a queued write without a key"));
        };
        let lane = Lane::of(template, &bound);
        let draft = Draft { key, lane, payload: self.payload(asker, template, &value, bound)? };
        match (operation.queue, &self.core.journal, &self.core.streams) {
            (QueueKind::Journal, Some(journal), _) => journal.offer(draft, reply),
            (QueueKind::Stream, _, Some(streams)) => streams.offer(draft, reply),
            _ => return Err(Error::Internal("a queued write without a queue")),
        }
        let (operation, key) = (Arc::clone(operation), value.into_owned());
        let offered = Offered { operation, key, answer, deadline };
        Ok(Waiting::of(PartWaiting::Offered(offered), Vec::new()))
    }

    /// What leaves this thread with a request, to the backend or to the journal. While the gateway ends, none does.
    fn hand_over<T>(&self, request: &Request<'_>, game: &Game) -> Result<Handover<T>, Error> {
        if self.core.is_draining() {
            return Err(Error::Draining);
        }
        let (reply, answer) = queue::reply();
        let deadline = request.deadline_in(game);
        Ok(Handover { asker: self.asker(request), deadline, reply, answer })
    }

    /// What the journal keeps of a request.
    fn payload(
        &self,
        asker: Asker,
        template: &Template,
        key: &Scalar<'_>,
        bound: Bound<'_>,
    ) -> Result<Payload, Error> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let row_count = if template.uses_row_ids() {
            row_count(template, &bound, template.slots.len())
        } else {
            0
        };
        let id_count = usize::from(template.uses_id()) + row_count;
        let ids = (0..id_count).map(|_| self.core.ids.next(now_ms));
        let ids = ids
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Backend(Arc::new(BackendError::Supply(error.to_string()))))?;
        let mut key_text = String::new();
        key.tag_text(&mut key_text);
        Ok(Payload {
            game: template.game.as_str().into(),
            op: template.op.as_str().into(),
            contract: template.contract,
            version: template.version,
            is_urgent: template.write.asynchronous.is_some_and(|queue| queue.is_urgent),
            now_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            ids,
            caller: asker.principal.caller.clone(),
            claims: asker.principal.claims.clone(),
            trace: asker.trace,
            key_text: key_text.into(),
            bound: bound.into_owned(),
        })
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
}

/// Whether a request may ask L1, so far as that does not depend on its parameters.
fn admit_to_key(request: &Request<'_>, routed: Routed<'_>) -> Option<Admission> {
    let Routed { game, operation } = routed;
    if operation.template.cache.is_none() || !operation.included.is_empty() || request.dry_run {
        return None;
    }
    operation.access.admits(request.principal.map(Arc::as_ref), &game.id).ok()
}

/// Refuses a dry run of what changes nothing: its client takes the operation for another one.
fn check_dry_run(request: &Request<'_>, operation: &Operation) -> Result<(), Error> {
    if !request.dry_run || operation.template.kind.is_write() {
        return Ok(());
    }
    let message = "a dry run is of a write; this operation only reads".into();
    Err(Error::Wire { code: Code::Unsupported, message })
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
    operation.access.claims_match(principal, |slot, claim| bound.says(slot, claim))
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    //! The way of a request with the test holding the other end of the backend's queue.

    use std::net::Ipv4Addr;
    use std::sync::OnceLock;
    use std::time::Duration;

    use gateway_protocol::{BusinessCode, Codec};

    use super::testing::core;
    use super::*;
    use crate::auth::new_key;
    use crate::backend::{BackendError, Current, Details};
    use crate::bind::{Param, bind_each};
    use crate::cache::{Body, Stored};
    use crate::catalog::BusinessError;
    use crate::reply::write_refusal;

    const GET: &str = "-- @desc a row\n-- @kind one\n-- @param id bigint min=1\n-- @result id bigint\n\
                       -- @allow gm\n-- @audit\nSELECT t.id FROM t WHERE t.id = :id\n";

    /// A gateway of one game with one operation `t.get`, without its threads.
    pub(super) struct Path {
        pub(super) worker: Worker,
        jobs: queue::Receiver<Job>,
        pub(super) keys: [String; 2],
        pub(super) dry_run: bool,
        pub(super) folder: tempfile::TempDir,
    }

    impl Path {
        fn new(queue_max: usize) -> Self {
            Self::of(GET, queue_max)
        }

        /// With another text for `t.get`.
        fn of(template: &str, queue_max: usize) -> Self {
            Self::beside("", template, queue_max)
        }

        /// The same beside an operation `t.part`; of no text: alone.
        pub(super) fn beside(part: &str, template: &str, queue_max: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            if !part.is_empty() {
                std::fs::create_dir_all(folder.path().join("sql/game1/t")).unwrap();
                std::fs::write(folder.path().join("sql/game1/t/part.sql"), part).unwrap();
            }
            let keys = ["gm", "other"].map(|id| new_key(id).unwrap());
            let sections = format!(
                "logging: {{audit_file: audit.log}}\n\
                 auth:\n  roles: {{gm: {{}}, other: {{}}}}\n  api_keys:\n\
                 \x20   - {{id: gm, hash: '{}', roles: [gm], games: ['*']}}\n\
                 \x20   - {{id: other, hash: '{}', roles: [other], games: ['*']}}\n",
                keys[0].hash, keys[1].hash
            );
            let (core, jobs) = core(folder.path(), template, &sections, queue_max);
            let keys = keys.map(|key| key.key.expose().to_owned());
            Self { worker: Worker::new(core), jobs, keys, dry_run: false, folder }
        }

        /// Calls `t.get` with this `id`, as the key of that index.
        pub(super) fn call(&self, key: usize, id: i64) -> Result<Waiting, Error> {
            let snapshot = self.worker.snapshot();
            let principal = self.worker.api_key(&snapshot, &self.keys[key]).unwrap();
            let request = Request {
                principal: Some(&principal),
                trace: Trace::Text("test"),
                peer: (Ipv4Addr::LOCALHOST, 1).into(),
                arrived: Instant::now(),
                deadline: None,
                dry_run: self.dry_run,
            };
            let value = gateway_protocol::Value::Int(id);
            let params = [Ok(Param { name: "id".into(), value, untyped: false })];
            let routed = route(&snapshot, "game1", "t.get").unwrap();
            match self.worker.serve(
                &request,
                routed,
                |template| bind_each(template, params),
                |_, _| (),
            )? {
                Served::Wait(waiting) => Ok(waiting),
                Served::Hit(()) => panic!("nothing was kept"),
            }
        }

        pub(super) fn job(&mut self) -> Option<Job> {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match std::pin::pin!(self.jobs.take()).poll(&mut context) {
                std::task::Poll::Ready(job) => job,
                std::task::Poll::Pending => None,
            }
        }
    }

    pub(super) fn code(outcome: Result<Waiting, Error>) -> u16 {
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
    fn dry_run_of_a_read_is_refused_and_reaches_no_backend() {
        let mut path = Path::new(4);
        path.dry_run = true;
        assert_eq!(code(path.call(0, 7)), 1103);
        assert!(path.job().is_none());
        assert_eq!(code(path.call(1, 7)), 3101, "what may not be called is not described either");
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

    /// A request of nobody.
    pub(super) fn bare_request() -> Request<'static> {
        Request {
            principal: None,
            trace: Trace::Text("test"),
            peer: (Ipv4Addr::LOCALHOST, 1).into(),
            arrived: Instant::now(),
            deadline: None,
            dry_run: false,
        }
    }

    /// A call that cannot be a hit has no key: it is served alone, and told by what it is.
    #[test]
    fn only_a_call_that_l1_may_answer_has_a_key() {
        for (template, role, id, expected) in [
            (GET.replace("-- @audit", "-- @cache l1=1m tag=t:{id}"), 0, 7, true),
            (GET.replace("-- @audit", "-- @cache l1=1m tag=t:{id}"), 0, 0, false),
            (GET.replace("-- @audit", "-- @cache l1=1m tag=t:{id}"), 1, 7, false),
            (GET.to_owned(), 0, 7, false),
        ] {
            let mut path = Path::of(&template, 1);
            let snapshot = path.worker.snapshot();
            let principal = path.worker.api_key(&snapshot, &path.keys[role]).unwrap();
            for dry_run in [false, true] {
                let request = Request { principal: Some(&principal), dry_run, ..bare_request() };
                let value = gateway_protocol::Value::Int(id);
                let params = [Ok(Param { name: "id".into(), value, untyped: false })];
                let routed = route(&snapshot, "game1", "t.get").unwrap();
                let mut keys = Keys::default();
                let is_put = path.worker.put_key(
                    &request,
                    routed,
                    |template| bind_each(template, params),
                    &mut keys,
                );
                assert_eq!(is_put, expected && !dry_run, "{role} {id}");
                assert_eq!(keys.iter().count(), usize::from(is_put));
            }
            assert!(path.job().is_none(), "nothing of an attempt shows");
        }
    }

    /// From the decoded parameters to the copied answer; login, decoding and the outbox come before and after.
    #[test]
    fn hit_allocates_nothing_after_decoding() {
        let cached = GET.replace("-- @audit", "-- @cache l1=1m tag=t:{id}");
        let mut path = Path::of(&cached, 4);
        drop(path.call(0, 7).unwrap());
        let Some(Job::Run(run)) = path.job() else { panic!("no job") };
        let (key, policy) =
            (run.key.as_ref().unwrap(), run.operation.template.cache.as_ref().unwrap());
        let tags = crate::cache::read_tags(&run.operation.template.game, &policy.tags, &run.bound);
        let load = crate::cache::Load { key, tags: tags.as_deref(), policy };
        let msgpack = vec![0x81, 0xa2, b'i', b'd', 7];
        let body = Body { msgpack: msgpack.into(), json: OnceLock::new(), etag: "".into() };
        let fill = path.worker.core().cache.load(load, || async { Ok(Stored::Present(body)) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fill).unwrap();

        let snapshot = path.worker.snapshot();
        let principal = path.worker.api_key(&snapshot, &path.keys[0]).unwrap();
        let mut outbox = Vec::with_capacity(64);
        let mut ask = |id: i64| {
            let request = Request { principal: Some(&principal), ..bare_request() };
            let value = gateway_protocol::Value::Int(id);
            let params = [Ok(Param::from(("id".into(), value)))];
            let routed = route(&snapshot, "game1", "t.get").unwrap();
            let bind = |template: &Template| bind_each(template, params);
            let served = path.worker.serve(&request, routed, bind, |_, hit| {
                outbox.clear();
                outbox.extend_from_slice(hit.msgpack().unwrap());
            });
            matches!(served, Ok(Served::Hit(())))
        };
        // What a thread makes once, at its first request.
        assert!(ask(7), "it was kept");
        let counted = allocation_counter::measure(|| {
            for _ in 0..1000 {
                assert!(ask(7));
            }
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
        let mut keys = Keys::default();
        let mut ask_together = || {
            keys.clear();
            for id in [7, 8] {
                let request = Request { principal: Some(&principal), ..bare_request() };
                let value = gateway_protocol::Value::Int(id);
                let params = [Ok(Param { name: "id".into(), value, untyped: false })];
                let routed = route(&snapshot, "game1", "t.get").unwrap();
                let bind = |template: &Template| bind_each(template, params);
                assert!(path.worker.put_key(&request, routed, bind, &mut keys));
            }
            let cache = &path.worker.core().cache;
            let reading = cache.l1().reading();
            let found = keys.iter().map(|key| reading.find(key));
            found.flatten().filter_map(|found| reading.serve(found, cache.now_ms(), |_| ())).count()
        };
        assert_eq!(ask_together(), 1);
        let together = allocation_counter::measure(|| assert_eq!(ask_together(), 1));
        assert_eq!(together.count_total, 0, "{together:?}");
        let missed = allocation_counter::measure(|| assert!(!ask(8)));
        assert!(missed.count_total > 0, "the counter counts: {missed:?}");
    }

    fn refused(details: Details) -> Error {
        let code = BusinessCode::new(2105).unwrap();
        let error = Box::new(BusinessError { code, name: "STALE".into(), status: 412 });
        Error::Backend(Arc::new(BackendError::Business { error, details: Box::new(details) }))
    }

    #[test]
    fn refusal_of_a_write_says_the_same_in_both_codecs_with_the_row_that_stands() {
        let path = Path::new(1);
        let snapshot = path.worker.snapshot();
        let operation = Arc::clone(route(&snapshot, "game1", "t.get").unwrap().operation);
        let msgpack = vec![0x81, 0xa2, b'i', b'd', 7];
        let body = Body { msgpack: msgpack.into(), json: OnceLock::new(), etag: "".into() };
        let current = Some(Current { operation, stored: Arc::new(Stored::Present(body)) });
        for (row, current, expected) in [
            (None, None, r#"{"code":2105,"message":"STALE"}"#),
            (Some(3), None, r#"{"code":2105,"message":"STALE","details":{"row":3}}"#),
            (
                Some(0),
                current,
                r#"{"code":2105,"message":"STALE","details":{"row":0,"current":{"id":7}}}"#,
            ),
        ] {
            let error = refused(Details { row, current });
            assert_eq!((error.code(), error.http_status()), (2105, 412));
            let mut json = Vec::new();
            write_refusal(&error, Codec::Json, &mut json);
            assert_eq!(String::from_utf8_lossy(&json), expected);
            let mut msgpack = Vec::new();
            write_refusal(&error, Codec::MsgPack, &mut msgpack);
            let decoded = gateway_protocol::msgpack::decode(&msgpack).unwrap();
            assert_eq!(decoded, gateway_protocol::json::decode(&mut json).unwrap());
        }
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
