//! A call that surely needs a connection of a pool that has none to expect is refused where it arrived (1301), before
//! anything is made of it: no job, no task. The answer, its counters and its line in the log are those of the backend's
//! own refusal.
//!
//! Left to the backend are calls that may be answered without a connection, or leave more behind than an answer
//! ([`needs_connection`]), and cached reads that a Redis or a fetch under way may answer. A call is refused before
//! that is found wrong with it which the backend alone looks at: a cursor, a list's length, a lane that is not free.

use std::time::Instant;

use super::Request;
use crate::backend::needs_connection;
use crate::bind::Bound;
use crate::cache::read_tags;
use crate::error::Error;
use crate::snapshot::{Game, Operation};
use crate::worker::Worker;

impl Worker {
    /// Refuses a call that is not in L1, if there is no prospect of a connection for it.
    ///
    /// Cost: where there is one, a read of memory that seldom changes. A refusal allocates for cached reads alone.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`], the pool is exhausted.
    pub(super) fn check_prospect(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Operation,
        bound: &Bound<'_>,
    ) -> Result<(), Error> {
        let lack = self.core.pools.as_ref().and_then(|pools| self.outlook.lack(pools, operation));
        let Some(lack) = lack else { return Ok(()) };
        let has_room = || {
            let direct = self.direct.as_ref();
            direct.is_some_and(|direct| direct.has_room(operation, lack.prospect))
        };
        // What is late is told so, and while the gateway ends that is the answer.
        let is_answered = self.core.is_draining() || request.deadline_in(game) <= Instant::now();
        if is_answered
            || !needs_connection(operation, &self.core.gates)
            || !self.has_only_database(request, operation, bound)
            || has_room()
        {
            return Ok(());
        }
        Err(Error::Backend(lack.refuse()))
    }

    /// Whether nothing but the database can answer a call that is not in L1.
    fn has_only_database(
        &self,
        request: &Request<'_>,
        operation: &Operation,
        bound: &Bound<'_>,
    ) -> bool {
        let template = &operation.template;
        let Some(policy) = &template.cache else { return true };
        let cache = &self.core.cache;
        if cache.has_l2() {
            return false;
        }
        let principal = request.principal.map(AsRef::as_ref);
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method's path is not general over the key's lifetime"
        )]
        let key = self.with_key(operation, principal, bound, |key| key.to_key());
        let tags = read_tags(&template.game, &policy.tags, bound);
        cache.has_only_database(&key, tags.as_deref())
    }
}

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
mod tests {
    //! The pool is full, and the test holds the other end of the backend's queue.

    use std::rc::Rc;
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;

    use super::super::route;
    use super::super::tests::{Path, bare_request, code};
    use super::*;
    use crate::backend::testing::Crowd;
    use crate::backend::{DirectReads, Job, Prospect, Run};
    use crate::bind::{Param, bind_each};
    use crate::cache::{Body, Cache, Load, Stored};
    use crate::catalog::Template;
    use crate::config::{RedisConfig, Secret};

    const READ: &str = "-- @kind one\n-- @param id bigint\n-- @result id bigint\n-- @allow gm\n\
                        SELECT t.id FROM t WHERE t.id = :id\n";
    const PAGE: &str = "-- @kind page\n-- @param id bigint\n-- @result a int, b int\n-- @allow gm\n\
                        -- @page keyset = t.a DESC, b default=5 max=10\n\
                        SELECT t.a, t.b FROM t WHERE t.id = :id\nAND 1 = 1 -- #keyset\n\
                        ORDER BY t.a DESC, b\n";
    const WRITE: &str = "-- @kind exec\n-- @param id bigint\n-- @allow gm\n\
                         UPDATE t SET a = 1 WHERE id = :id\n";
    const TX: &str = "-- @kind tx\n-- @param id bigint\n-- @allow gm\n\n\
                      -- @step first exec\nUPDATE t SET a = 1 WHERE id = :id\n\n\
                      -- @step second exec\nDELETE FROM u WHERE id = :id\n";

    /// A gateway whose database's pool is full.
    fn full(part: &str, template: &str) -> (Path, Crowd) {
        let mut path = Path::beside(part, template, 4);
        let crowd = Crowd::new(path.folder.path());
        let core = Arc::get_mut(&mut path.worker.core).unwrap();
        core.pools = Some(Arc::clone(&crowd.pools));
        (path, crowd)
    }

    /// A call of `t.get` meets the full pool.
    ///
    /// - `is_refused`: where it arrived; otherwise it becomes a job.
    #[track_caller]
    fn check(template: &str, dry_run: bool, is_refused: bool) {
        let (mut path, _crowd) = full("", template);
        path.dry_run = dry_run;
        let answered = path.call(0, 7);
        if is_refused {
            let error = answered.unwrap_err();
            assert_eq!((error.code(), error.http_status()), (1301, 503), "{template}");
            assert_eq!(error.client_message(), "database busy, retry later");
            assert_eq!(error.to_string(), "backend: pool `db` is exhausted", "{template}");
        } else {
            assert!(answered.is_ok(), "{template}: {answered:?}");
        }
        assert_eq!(path.job().is_none(), is_refused, "{template}");
    }

    #[test]
    fn call_that_needs_a_connection_of_a_full_pool_is_refused_and_reaches_no_backend() {
        for template in [READ, PAGE, WRITE, TX] {
            check(template, false, true);
        }
        check(&READ.replace("one", "many"), false, true);
        for template in [WRITE, TX] {
            check(template, true, true);
        }
        check(&format!("-- @idempotent key=id ttl=1h\n{WRITE}"), false, true);
    }

    #[test]
    fn audited_call_is_left_to_the_backend_which_writes_its_refusal_down() {
        for template in [READ, PAGE, WRITE, TX] {
            check(&format!("-- @audit\n{template}"), false, false);
        }
        check(&format!("-- @audit\n{WRITE}"), true, false);
    }

    #[test]
    fn call_of_a_game_with_a_gate_is_left_to_the_backend() {
        let (mut path, _crowd) = full("", WRITE);
        let core = path.worker.core();
        core.gates.expect(None, &core.snapshot.load().config);
        assert_eq!(code(path.call(0, 7)), 0);
        assert!(path.job().is_some());
    }

    #[test]
    fn pool_that_has_room_again_gets_the_next_call() {
        let (mut path, mut crowd) = full("", WRITE);
        for _ in 0..3 {
            assert_eq!(code(path.call(0, 7)), 1301);
        }
        crowd.leave();
        assert_eq!(code(path.call(0, 7)), 0);
        assert!(path.job().is_some() && path.job().is_none(), "that one alone");
    }

    #[test]
    fn what_another_stage_refuses_is_told_before_the_pool_is_looked_at() {
        let (mut path, _crowd) =
            full("", &READ.replace("@param id bigint", "@param id bigint min=1"));
        assert_eq!(code(path.call(0, 0)), 2012);
        assert_eq!(code(path.call(1, 7)), 3101);
        path.worker.core().drain();
        assert_eq!(code(path.call(0, 7)), 1002);
        assert!(path.job().is_none());
    }

    /// The fetch answers both, or it is the one that is refused.
    #[test]
    fn cached_read_is_refused_unless_somebody_fetches_the_same() {
        let cached = format!("-- @cache l1=1m tag=t:{{id}}\n{READ}");
        let (mut path, mut crowd) = full("", &cached);
        assert_eq!(code(path.call(0, 7)), 1301);
        crowd.leave();
        assert_eq!(code(path.call(0, 7)), 0);
        let Some(Job::Run(run)) = path.job() else { panic!("no job") };
        let crowd = Crowd::new(path.folder.path());
        let core = Arc::get_mut(&mut path.worker.core).unwrap();
        core.pools = Some(Arc::clone(&crowd.pools));
        path.worker.outlook = crate::backend::Outlook::default();

        let core = Arc::clone(&path.worker.core);
        let policy = run.operation.template.cache.as_ref().unwrap();
        let tags = read_tags(&run.operation.template.game, &policy.tags, &run.bound);
        let load = Load { key: run.key.as_ref().unwrap(), tags: tags.as_deref(), policy };
        let (land, landed) = crate::queue::reply();
        let fetch = core.cache.load(load, || async { Ok(landed.await.unwrap()) });
        let mut fetch = std::pin::pin!(fetch);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(fetch.as_mut().poll(&mut context).is_pending());
        assert_eq!(code(path.call(0, 7)), 0, "it may join that one");
        assert!(path.job().is_some());
        assert_eq!(code(path.call(0, 8)), 1301, "another row");

        let body = Body { msgpack: vec![0xc0].into(), json: OnceLock::new(), etag: "".into() };
        land.send(Stored::Present(body)).unwrap();
        assert!(fetch.as_mut().poll(&mut context).is_ready());
        assert!(!core.cache.has_only_database(load.key, load.tags), "now it is kept");
    }

    #[test]
    fn cached_read_that_a_redis_may_answer_is_left_to_the_backend() {
        let (mut path, _crowd) = full("", &format!("-- @cache l1=1m tag=t:{{id}}\n{READ}"));
        let mut config = path.worker.snapshot().config.cache.clone();
        config.redis = Some(RedisConfig {
            url: Secret::new("redis://127.0.0.1:1"),
            namespace: "gw".into(),
            connection_count: 1,
            timeout: Duration::from_millis(100),
        });
        let core = Arc::get_mut(&mut path.worker.core).unwrap();
        core.cache = Arc::new(Cache::new(&config, Box::new(|_| {})).unwrap());
        assert_eq!(code(path.call(0, 7)), 0);
        assert!(path.job().is_some());
    }

    /// A thread's own connections, of which there is room on one or not.
    #[derive(Debug)]
    struct Own(bool);

    impl DirectReads for Own {
        fn has_room(&self, _operation: &Operation, _prospect: Prospect) -> bool {
            self.0
        }

        fn take(&self, run: Box<Run>) -> Result<(), Box<Run>> {
            Err(run)
        }
    }

    #[test]
    fn read_for_which_the_thread_itself_has_room_is_not_refused_for_the_pool() {
        let (mut path, _crowd) = full("", READ);
        path.worker.direct = Some(Rc::new(Own(false)));
        assert_eq!(code(path.call(0, 7)), 1301);
        assert!(path.job().is_none());
        path.worker.direct = Some(Rc::new(Own(true)));
        assert_eq!(code(path.call(0, 7)), 0);
        assert!(path.job().is_some());
    }

    #[test]
    fn whole_of_which_one_part_is_refused_reaches_no_backend_at_all() {
        let whole = format!("-- @include part = t.part(id)\n{READ}");
        let (mut path, _crowd) = full(READ, &whole);
        assert_eq!(code(path.call(0, 7)), 1301);
        assert!(path.job().is_none());
        let (mut path, _crowd) = full(&format!("-- @audit\n{READ}"), &whole);
        assert_eq!(code(path.call(0, 7)), 0, "one of them has to be written down");
        assert!(path.job().is_some() && path.job().is_some());
    }

    /// From the decoded parameters to the error; login, decoding and the reply come before and after.
    #[test]
    fn refusal_allocates_nothing_after_decoding() {
        let (path, _crowd) = full("", WRITE);
        let snapshot = path.worker.snapshot();
        let principal = path.worker.api_key(&snapshot, &path.keys[0]).unwrap();
        let refuse = || {
            let request = Request { principal: Some(&principal), ..bare_request() };
            let params = [Ok(Param::from(("id".into(), gateway_protocol::Value::Int(7))))];
            let routed = route(&snapshot, "game1", "t.get").unwrap();
            let bind = |template: &Template| bind_each(template, params);
            let served = path.worker.serve(&request, routed, bind, |_, _| ());
            matches!(served, Err(error) if error.code() == 1301)
        };
        // What a thread makes once, at its first look at a pool.
        assert!(refuse());
        let counted = allocation_counter::measure(|| (0..100).for_each(|_| assert!(refuse())));
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}
