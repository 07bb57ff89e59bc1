//! A GET that L1 answers: no allocation, no map of header fields, no task that waits.
//!
//! What is no hit leaves no trace here and is served from its beginning by `exchange`: a refusal, a miss, and the request
//! whose stages are timed. A credential is never verified here: only what this thread remembers counts.

use std::sync::Arc;
use std::time::Instant;

use hyper::Method;

use super::parse::Request;
use super::write::{Head, Moment};
use crate::auth::Principal;
use crate::bind::bind_each;
use crate::frontend::http::exchange::{Target, target};
use crate::frontend::http::response::{Content, Told};
use crate::frontend::http::{Connection, condition, cors, request};
use crate::observe::{CacheOutcome, Transport};
use crate::pipeline::{self, Finished, Trace};
use crate::snapshot::{Operation, Snapshot};

/// One request, as far as it got.
struct Asked<'a, 'b> {
    connection: &'a Connection,
    snapshot: &'a Snapshot,
    request: &'a Request<'b>,
    arrived: Instant,
}

/// Appends the answer to a request that L1 has. False: it has none, or the request is not one of those.
///
/// [`Worker::settle`](pipeline::Worker::settle) before the next await.
pub(super) fn serve(
    connection: &Connection,
    request: &Request<'_>,
    arrived: Instant,
    moment: Moment<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let worker = &connection.thread.worker;
    if request.method != Method::GET || worker.recorder.unsampled_next() == 0 {
        return false;
    }
    let snapshot = worker.snapshot();
    let begin = out.len();
    let asked = Asked { connection, snapshot: &snapshot, request, arrived };
    let is_served = asked.serve(moment, out).is_some();
    if !is_served {
        out.truncate(begin);
    }
    is_served
}

impl Asked<'_, '_> {
    fn serve(&self, moment: Moment<'_>, out: &mut Vec<u8>) -> Option<()> {
        let worker = &self.connection.thread.worker;
        let (path, query) = self.request.path_and_query();
        let target = target(self.snapshot, &self.request.method, path).ok()?;
        let Target::Operation { routed, matched: Some(matched) } = target else { return None };
        routed.operation.template.cache.as_ref()?;
        if condition::find(self.request).is_some() {
            return None;
        }
        let principal = match request::credential(self.request).ok()? {
            None => None,
            Some(presented) => {
                let now = self.connection.presence.unix_seconds();
                Some(worker.remembered(self.snapshot, presented, now)?)
            }
        };
        let mut params = request::Params::new();
        request::path_params(&matched, &mut params).ok()?;
        request::query_params(query, &mut params).ok()?;
        let asked = pipeline::Request {
            principal: principal.as_ref(),
            trace: Trace::Text(""),
            peer: self.connection.peer,
            arrived: self.arrived,
            deadline: request::deadline(self.request, self.arrived).ok()?,
            dry_run: false,
        };
        let mut keys = self.connection.thread.scratch.keys();
        keys.clear();
        if !worker.put_key(
            &asked,
            routed,
            |template| bind_each(template, params.into_iter().map(Ok)),
            &mut keys,
        ) {
            return None;
        }
        let cache = &worker.core().cache;
        let reading = cache.l1().reading();
        let found = reading.find(keys.iter().next()?)?;
        let trace = reading.serve(found, cache.ms_at(self.arrived), |hit| {
            let content = Content::of(routed.operation, hit.stored(), self.request).ok()?;
            // It counts what the request's own id is made of.
            worker.begin_request(self.arrived);
            let trace = request::trace(self.request, worker);
            self.write(routed.operation, content, trace, moment, out);
            Some(trace)
        })??;
        self.tell(routed.operation, principal.as_deref(), trace);
        Some(())
    }

    fn write(
        &self,
        operation: &Operation,
        content: Content<'_>,
        trace: Trace<'_>,
        moment: Moment<'_>,
        out: &mut Vec<u8>,
    ) {
        let cors = &self.snapshot.config.server.http.cors;
        let body = content.body.unwrap_or_default();
        let outcome = CacheOutcome::L1;
        let mut head = Head::begin(out, content.status());
        content.put(operation, &mut head);
        Told { trace, operation: Some(operation), outcome, dry_run: false }.put(&mut head);
        cors::allow(cors, self.request, &mut head);
        head.end(content.body.map(<[u8]>::len), moment);
        out.extend_from_slice(body);
    }

    fn tell(&self, operation: &Arc<Operation>, principal: Option<&Principal>, trace: Trace<'_>) {
        let worker = &self.connection.thread.worker;
        worker.finish_hit(operation, self.arrived, || Finished {
            transport: Transport::Http,
            peer: self.connection.peer,
            trace,
            operation: Some(operation),
            caller: principal.map(|principal| &*principal.caller),
            code: 0,
            outcome: CacheOutcome::L1,
            arrived: self.arrived,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::rc::Rc;
    use std::sync::OnceLock;

    use super::super::parse::parse;
    use super::super::write::Dates;
    use super::*;
    use crate::auth::new_key;
    use crate::backend::Job;
    use crate::cache::{Body, Load, Stored, read_tags};
    use crate::frontend::buffer::BufferPool;
    use crate::frontend::registry::{Phase, PhaseLimits, Place, Registry};
    use crate::frontend::tcp::Scratch;
    use crate::frontend::worker::Thread;
    use crate::pipeline::testing::core;
    use crate::pipeline::{Served, Worker};
    use crate::queue;

    const GET: &str = "-- @desc a row\n-- @kind one\n-- @param id bigint min=1\n-- @result id bigint\n-- @allow gm\n\
                       -- @http GET /v1/{game}/t/{id}\n-- @cache l1=1m tag=t:{id}\nSELECT t.id FROM t WHERE t.id = :id\n";

    /// A connection to a gateway of one game whose row 7 is in L1, without its threads.
    struct Bed {
        connection: Connection,
        key: String,
        dates: Dates,
        out: Vec<u8>,
        _jobs: queue::Receiver<Job>,
        _place: Place,
        _folder: tempfile::TempDir,
    }

    impl Bed {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let key = new_key("gm").unwrap();
            let sections = format!(
                "logging: {{requests: 'off'}}\n\
                 auth: {{roles: {{gm: {{}}}}, api_keys: [{{id: gm, hash: '{}', roles: [gm], games: ['*']}}]}}\n",
                key.hash
            );
            let (core, mut jobs) = core(folder.path(), GET, &sections, 4);
            let worker = Worker::new(core);
            fill(&worker, &mut jobs, key.key.expose());
            let thread = Thread {
                worker,
                buffers: BufferPool::default(),
                scratch: Scratch::default(),
                learned: pipeline::Learned::default(),
                dates: Dates::default(),
                tcp: Rc::default(),
                http: Rc::default(),
                has_ring: false,
            };
            let limits = PhaseLimits { idle: 9, reading: 9, writing: 9, greeting: 9 };
            let place = Rc::new(Registry::default()).join(-1, limits, Phase::Reading);
            let presence = Rc::clone(place.presence());
            let peer = (Ipv4Addr::LOCALHOST, 1).into();
            Self {
                connection: Connection { thread: Rc::new(thread), presence, peer },
                key: key.key.expose().to_owned(),
                dates: Dates::default(),
                out: Vec::with_capacity(4096),
                _jobs: jobs,
                _place: place,
                _folder: folder,
            }
        }

        fn ask(&mut self, bytes: &[u8]) -> bool {
            let request = parse(bytes, 16 << 10).unwrap();
            let moment = Moment { dates: &self.dates, unix_seconds: 784_111_777, is_last: false };
            self.out.clear();
            let is_hit = serve(&self.connection, &request, Instant::now(), moment, &mut self.out);
            assert_eq!(is_hit, !self.out.is_empty());
            is_hit
        }

        fn request(&self, method: &str, id: i64, more: &str) -> Vec<u8> {
            let key = &self.key;
            format!(
                "{method} /v1/game1/t/{id} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n{more}\r\n"
            )
            .into_bytes()
        }

        /// Passes over the request whose stages are timed.
        fn pass_sample(&self) {
            let recorder = &self.connection.thread.worker.recorder;
            while recorder.unsampled_next() == 0 {
                recorder.samples_stages();
            }
        }
    }

    /// Puts row 7 into L1. The credential is known to the worker from here on.
    fn fill(worker: &Worker, jobs: &mut queue::Receiver<Job>, key: &str) {
        let snapshot = worker.snapshot();
        let principal = worker.api_key(&snapshot, key).unwrap();
        let request = pipeline::Request {
            principal: Some(&principal),
            trace: Trace::Text("test"),
            peer: (Ipv4Addr::LOCALHOST, 1).into(),
            arrived: Instant::now(),
            deadline: None,
            dry_run: false,
        };
        let routed = pipeline::route(&snapshot, "game1", "t.get").unwrap();
        let value = gateway_protocol::Value::Int(7);
        let params = [Ok(crate::bind::Param { name: "id".into(), value, untyped: false })];
        let served = worker
            .serve(&request, routed, |template| bind_each(template, params), |_, _| ())
            .unwrap();
        assert!(matches!(served, Served::Wait(_)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let job = std::pin::pin!(jobs.take()).poll(&mut context);
        let std::task::Poll::Ready(Some(Job::Run(run))) = job else { panic!("no job") };
        let policy = run.operation.template.cache.as_ref().unwrap();
        let tags = read_tags(&run.operation.template.game, &policy.tags, &run.bound);
        let load = Load { key: run.key.as_ref().unwrap(), tags: tags.as_deref(), policy };
        let msgpack = vec![0x81, 0xa2, b'i', b'd', 7];
        let body = Body { msgpack: msgpack.into(), json: OnceLock::new(), etag: "e1".into() };
        let fill = worker.core().cache.load(load, || async { Ok(Stored::Present(body)) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fill).unwrap();
    }

    #[test]
    fn hit_is_answered_whole_and_allocates_nothing() {
        let mut bed = Bed::new();
        let known = bed.request("GET", 7, "If-None-Match: \"x\", \"e1\"\r\nX-Request-Id: r1\r\n");
        let asked = bed.request("GET", 7, "X-Request-Id: r1\r\n");
        bed.pass_sample();
        // What a thread makes once, at its first request.
        assert!(bed.ask(&asked));
        let text = String::from_utf8(bed.out.clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "{\"id\":7}");
        let version = &bed.connection.thread.worker.snapshot();
        let version = &pipeline::route(version, "game1", "t.get").unwrap().operation.version_text;
        let expected = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"e1\"\r\ncache-control: private, no-cache\r\n\
             x-request-id: r1\r\nx-content-type-options: nosniff\r\nx-template: {version}\r\nx-cache: L1\r\n\
             content-length: 8\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(head.to_ascii_lowercase(), expected.to_ascii_lowercase());
        let counted =
            allocation_counter::measure(|| (0..20).for_each(|_| assert!(bed.ask(&asked))));
        assert_eq!(counted.count_total, 0, "{counted:?}");
        let counted = allocation_counter::measure(|| assert!(bed.ask(&known)));
        assert_eq!(counted.count_total, 0, "{counted:?}");
        let text = String::from_utf8(bed.out.clone()).unwrap();
        assert!(text.starts_with("HTTP/1.1 304 Not Modified\r\netag: \"e1\"\r\n"), "{text}");
        assert!(!text.contains("content-length") && text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn what_is_no_hit_of_a_known_caller_is_left_to_the_other_way() {
        let mut bed = Bed::new();
        bed.pass_sample();
        let plain = bed.request("GET", 7, "");
        assert!(bed.ask(&plain));
        for request in [
            bed.request("GET", 8, ""),
            bed.request("GET", 0, ""),
            bed.request("DELETE", 7, ""),
            bed.request("HEAD", 7, ""),
            bed.request("GET", 7, "X-Dry-Run: false\r\n"),
            bed.request("GET", 7, "If-Match: \"e1\"\r\n"),
            bed.request("GET", 7, "Idempotency-Key: a\r\n"),
            bed.request("GET", 7, "X-Deadline-Ms: x\r\n"),
            bed.request("GET", 7, "Authorization: Bearer x\r\n"),
            b"GET /v1/game1/t/7 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"GET /v1/game1/t/7 HTTP/1.1\r\nHost: a\r\nX-API-Key: gm.unknown\r\n\r\n".to_vec(),
            b"GET /v1/game1/t/7?x=1 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"GET /v1/game1/call/t.get HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        ] {
            assert!(!bed.ask(&request), "{}", request.escape_ascii());
        }
        let worker = &bed.connection.thread.worker;
        while worker.recorder.unsampled_next() > 0 {
            worker.recorder.samples_stages();
        }
        assert!(!bed.ask(&plain), "its stages are timed");
    }
}
