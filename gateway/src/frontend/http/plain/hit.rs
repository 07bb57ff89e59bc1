//! A GET that L1 answers: no allocation, no map of header fields, no task that waits.
//!
//! What is no hit leaves no trace here and is served from its beginning by `exchange`: a refusal, a miss, and the request
//! whose stages are timed. A credential is never verified here: only what this thread remembers counts.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use hyper::Method;
use hyper::header::HeaderName;

use super::learned::{Alike, SectionIndex};
use super::parse::Request;
use super::write::{Head, Moment};
use crate::auth::Principal;
use crate::bind::{Bound, bind_each};
use crate::cache::{Hit, Keys};
use crate::catalog::Template;
use crate::frontend::http::exchange::{Target, target};
use crate::frontend::http::fields::{Fields, is_value};
use crate::frontend::http::response::{Content, Told};
use crate::frontend::http::{Connection, condition, cors, request};
use crate::observe::{CacheOutcome, TraceText, Transport};
use crate::pipeline::{self, Finished, Trace};
use crate::reply::{body_of, json_of};
use crate::snapshot::{Operation, Snapshot};

/// What a request is held against.
struct Asked<'a> {
    connection: &'a Connection,
    snapshot: &'a Snapshot,
    arrived: Instant,
    moment: Moment<'a>,
}

/// The fields of a request, apart from its credential.
struct Noted<'a, 'b> {
    request: &'a Request<'b>,
    /// Whether one was asked for that is there: then it may have changed the answer.
    is_found: Cell<bool>,
}

impl Fields for Noted<'_, '_> {
    fn all<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        self.request.all(name).inspect(|_| self.is_found.set(true))
    }
}

/// Appends the answer to a request that L1 has. False: it has none, or the request is not one of those.
///
/// - `place`: where the connection's header section is remembered; taken from here on for the next request.
/// - `bytes`: the request.
///
/// [`Worker::settle`](pipeline::Worker::settle) before the next await.
pub(super) fn serve(
    connection: &Connection,
    request: &Request<'_>,
    (arrived, moment): (Instant, Moment<'_>),
    bytes: &[u8],
    place: &mut SectionIndex,
    out: &mut Vec<u8>,
) -> bool {
    let worker = &connection.thread.worker;
    if request.method != Method::GET || worker.recorder.unsampled_next() == 0 {
        return false;
    }
    let snapshot = worker.snapshot();
    let begin = out.len();
    let asked = Asked { connection, snapshot: &snapshot, arrived, moment };
    let is_served = asked.serve(request, bytes, place, out).is_some();
    if !is_served {
        out.truncate(begin);
    }
    is_served
}

/// The same for a request that looks like one before, at the beginning of `bytes`. Returns how long it is.
pub(super) fn serve_alike(
    connection: &Connection,
    (arrived, moment): (Instant, Moment<'_>),
    bytes: &[u8],
    place: SectionIndex,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let worker = &connection.thread.worker;
    if worker.recorder.unsampled_next() == 0 {
        return None;
    }
    let snapshot = worker.snapshot();
    let mut bound = Bound::default();
    let now = moment.unix_seconds;
    let alike = connection.thread.alike.find(&snapshot, bytes, place, now, &mut bound)?;
    let begin = out.len();
    let asked = Asked { connection, snapshot: &snapshot, arrived, moment };
    let is_served = asked.serve_alike(&alike, &bound, out).is_some();
    if !is_served {
        out.truncate(begin);
    }
    is_served.then_some(alike.length)
}

impl Asked<'_> {
    fn serve(
        &self,
        request: &Request<'_>,
        bytes: &[u8],
        place: &mut SectionIndex,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let worker = &self.connection.thread.worker;
        let (path, query) = request.path_and_query();
        let target = target(self.snapshot, &request.method, path).ok()?;
        let Target::Operation { routed, matched: Some(matched) } = target else { return None };
        routed.operation.template.cache.as_ref()?;
        let fields = Noted { request, is_found: Cell::new(false) };
        if condition::find(&fields).is_some() {
            return None;
        }
        let principal = match request::credential(request).ok()? {
            None => None,
            Some(presented) => {
                let now = self.connection.presence.unix_seconds();
                Some(worker.remembered(self.snapshot, presented, now)?)
            }
        };
        let mut params = request::Params::new();
        request::path_params(&matched, &mut params).ok()?;
        request::query_params(query, &mut params).ok()?;
        let deadline = request::deadline(&fields, self.arrived).ok()?;
        let asked = pipeline::Request { deadline, ..self.request(principal.as_ref()) };
        let bind = |template: &Template| bind_each(template, params.into_iter().map(Ok));
        let trace = self.answer(
            |keys| worker.put_key(&asked, routed, bind, keys),
            |hit| {
                let content = Content::of(routed.operation, hit.stored(), &fields).ok()?;
                // It counts what the request's own id is made of.
                worker.begin_request(self.arrived);
                let trace = request::trace(&fields, worker);
                let head = put_head(self.snapshot, routed.operation, content, trace, &fields, out);
                head.end(content.body.map(<[u8]>::len), self.moment);
                out.extend_from_slice(content.body.unwrap_or_default());
                Some(trace)
            },
        )?;
        self.tell(routed.operation, principal.as_deref(), trace);
        if !fields.is_found.get() {
            let alike = &self.connection.thread.alike;
            let learned = alike.learn(self.snapshot, routed, principal.as_ref(), request, bytes);
            *place = learned.unwrap_or(*place);
        }
        Some(())
    }

    fn serve_alike(&self, alike: &Alike, bound: &Bound<'_>, out: &mut Vec<u8>) -> Option<()> {
        let worker = &self.connection.thread.worker;
        let (routed, principal) = (alike.line.routed(), alike.section.principal.as_ref());
        let asked = self.request(principal);
        let trace = self.answer(
            |keys| worker.put_bound(&asked, routed, bound, keys),
            |hit| {
                let body = body_of(routed.operation, hit.stored()).ok()??;
                let json = json_of(routed.operation, body).ok()?;
                is_value(&body.etag).then_some(())?;
                worker.begin_request(self.arrived);
                let trace = worker.next_trace();
                alike.line.put_head(&body.etag, trace.text(&mut TraceText::default()), out);
                Head::resume(out).end(Some(json.len()), self.moment);
                out.extend_from_slice(json);
                Some(trace)
            },
        )?;
        self.tell(routed.operation, principal.map(Arc::as_ref), trace);
        Some(())
    }

    const fn request<'p>(&self, principal: Option<&'p Arc<Principal>>) -> pipeline::Request<'p> {
        pipeline::Request {
            principal,
            trace: Trace::Text(""),
            peer: self.connection.peer,
            arrived: self.arrived,
            deadline: None,
            dry_run: false,
        }
    }

    /// Has the entry under a request's key written down.
    ///
    /// - `put_key`: makes the key.
    /// - `write`: called under the cache's guard.
    fn answer<T>(
        &self,
        put_key: impl FnOnce(&mut Keys) -> bool,
        write: impl FnOnce(&Hit<'_>) -> Option<T>,
    ) -> Option<T> {
        let mut keys = self.connection.thread.scratch.keys();
        keys.clear();
        put_key(&mut keys).then_some(())?;
        let cache = &self.connection.thread.worker.core().cache;
        let reading = cache.l1().reading();
        let found = reading.find(keys.iter().next()?)?;
        reading.serve(found, cache.ms_at(self.arrived), write)?
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

/// Puts the head of an answer from L1, up to its length.
pub(super) fn put_head<'o>(
    snapshot: &Snapshot,
    operation: &Operation,
    content: Content<'_>,
    trace: Trace<'_>,
    request: &impl Fields,
    out: &'o mut Vec<u8>,
) -> Head<'o> {
    let mut head = Head::begin(out, content.status());
    content.put(operation, &mut head);
    let outcome = CacheOutcome::L1;
    Told { trace, operation: Some(operation), outcome, dry_run: false }.put(&mut head);
    cors::allow(&snapshot.config.server.http.cors, request, &mut head);
    head
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bed;
    use super::*;

    const GET: &str = "-- @desc a row\n-- @kind one\n-- @param id bigint min=1\n-- @result id bigint\n-- @allow gm\n\
                       -- @http GET /v1/{game}/t/{id}\n-- @cache l1=1m tag=t:{id}\nSELECT t.id FROM t WHERE t.id = :id\n";

    #[test]
    fn hit_is_answered_whole_and_allocates_nothing() {
        let mut bed = Bed::new(GET);
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
        let mut bed = Bed::new(GET);
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
