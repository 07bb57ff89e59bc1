//! Answers as HTTP responses: body, entity tag, cache headers, problems.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gateway_protocol::{Code, Codec};
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::condition::X_DRY_RUN;
use super::fields::{Fields, Sink, text};
use super::request::X_REQUEST_ID;
use super::{Connection, cors};
use crate::auth::Principal;
use crate::cache::Stored;
use crate::config::CorsConfig;
use crate::error::Error;
use crate::observe::{CacheOutcome, TraceText, Transport};
use crate::pipeline::{Trace, Worker};
use crate::reply::{Reply, body_of, json_of, write_refusal};
use crate::snapshot::Operation;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const X_TEMPLATE: HeaderName = HeaderName::from_static("x-template");
const X_DEPRECATED: HeaderName = HeaderName::from_static("x-deprecated");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Headers of an answer with a body, without those for pages of other origins.
const HEADERS_USUAL: usize = 8;

/// How long a refused client is asked to wait, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// What one exchange knows of itself, for its headers, its metrics and its line in the log.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) connection: &'a Connection,
    pub(super) trace: Trace<'a>,
    pub(super) arrived: Instant,
    pub(super) operation: Option<Arc<Operation>>,
    pub(super) outcome: CacheOutcome,
    /// Whether what was asked for is undone, if it was done at all.
    pub(super) dry_run: bool,
    principal: Option<Arc<Principal>>,
    refused: u16,
}

impl<'a> Context<'a> {
    pub(super) const fn new(
        connection: &'a Connection,
        trace: Trace<'a>,
        arrived: Instant,
    ) -> Self {
        Self {
            connection,
            trace,
            arrived,
            operation: None,
            outcome: CacheOutcome::Bypass,
            dry_run: false,
            principal: None,
            refused: 0,
        }
    }

    pub(super) fn worker(&self) -> &'a Worker {
        &self.connection.thread.worker
    }

    /// Notes who asks.
    pub(super) fn caller(&mut self, principal: Option<&Arc<Principal>>) {
        self.principal = principal.cloned();
    }

    /// Answers with a problem.
    pub(super) fn refuse(&mut self, error: &Error) -> Response<Full<Bytes>> {
        self.refused = error.code();
        self.worker().report(error, self.operation.as_deref(), self.trace);
        problem(error)
    }

    /// Tells metrics and log of one call of a batch.
    pub(super) fn tell(
        &self,
        operation: Option<&Operation>,
        answered: Result<CacheOutcome, Error>,
    ) {
        let (code, outcome) = match answered {
            Ok(outcome) => (0, outcome),
            Err(error) => {
                self.worker().report(&error, operation, self.trace);
                (error.code(), CacheOutcome::Bypass)
            }
        };
        self.worker().finish(&crate::pipeline::Finished {
            transport: Transport::Http,
            peer: self.connection.peer,
            trace: self.trace,
            operation,
            caller: self.principal.as_ref().map(|principal| &*principal.caller),
            code,
            outcome,
            arrived: self.arrived,
        });
    }

    /// Adds what every response carries, and tells metrics and log.
    pub(super) fn finish(
        self,
        mut response: Response<Full<Bytes>>,
        request: &HeaderMap,
        cors: &CorsConfig,
    ) -> Response<Full<Bytes>> {
        let headers = response.headers_mut();
        let told = Told {
            trace: self.trace,
            operation: self.operation.as_deref(),
            outcome: self.outcome,
            dry_run: self.dry_run,
        };
        told.put(headers);
        cors::allow(cors, request, headers);
        self.worker().finish(&crate::pipeline::Finished {
            transport: Transport::Http,
            peer: self.connection.peer,
            trace: self.trace,
            operation: self.operation.as_deref(),
            caller: self.principal.as_ref().map(|principal| &*principal.caller),
            code: self.refused,
            outcome: self.outcome,
            arrived: self.arrived,
        });
        response
    }
}

/// What every answer tells of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) trace: Trace<'a>,
    pub(super) operation: Option<&'a Operation>,
    pub(super) outcome: CacheOutcome,
    pub(super) dry_run: bool,
}

impl Told<'_> {
    /// Puts it into an answer's header.
    pub(super) fn put(&self, headers: &mut impl Sink) {
        headers.put(X_REQUEST_ID, &[self.trace.text(&mut TraceText::default())]);
        headers.put_static(X_CONTENT_TYPE_OPTIONS, "nosniff");
        if let Some(operation) = self.operation {
            headers.put(X_TEMPLATE, &[&operation.version_text]);
            if operation.template.cache.is_some() {
                headers.put_static(X_CACHE, self.outcome.name());
            }
            if let Some(reason) = operation.template.deprecated.as_deref() {
                headers.put(X_DEPRECATED, &[reason]);
            }
        }
        if self.dry_run {
            headers.put_static(X_DRY_RUN, "true");
        }
    }
}

/// What there is to send of an entry that L1 has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'b> {
    /// JSON; `None`: the client holds it.
    pub(super) body: Option<&'b [u8]>,
    etag: Option<&'b str>,
}

impl<'b> Content<'b> {
    /// A body that the client does not hold.
    pub(super) const fn whole(body: &'b [u8], etag: &'b str) -> Self {
        Self { body: Some(body), etag: Some(etag) }
    }

    /// The content of an entry for who asks with these header fields.
    ///
    /// # Errors
    ///
    /// When there is no such row, and that is an error of the operation.
    pub(super) fn of(
        operation: &Operation,
        stored: &'b Stored,
        request: &impl Fields,
    ) -> Result<Self, Error> {
        let Some(body) = body_of(operation, stored)? else {
            return Ok(Self { body: Some(b"null"), etag: None });
        };
        let etag = Some(&*body.etag);
        if is_known(request, &body.etag) {
            return Ok(Self { body: None, etag });
        }
        Ok(Self { body: Some(json_of(operation, body)?), etag })
    }

    /// Its status.
    pub(super) const fn status(&self) -> StatusCode {
        if self.body.is_some() { StatusCode::OK } else { StatusCode::NOT_MODIFIED }
    }

    /// Puts what a header says of it.
    pub(super) fn put(&self, operation: &Operation, headers: &mut impl Sink) {
        if self.body.is_some() {
            headers.put_static(CONTENT_TYPE, "application/json");
        }
        cache_headers(operation, self.etag, headers);
    }
}

/// The response of an entry that L1 has. Called under the cache's guard: the body is copied.
pub(super) fn of_hit(
    operation: &Operation,
    stored: &Stored,
    request: &HeaderMap,
) -> Result<Response<Full<Bytes>>, Error> {
    let content = Content::of(operation, stored, request)?;
    let body = content.body.map(Bytes::copy_from_slice).unwrap_or_default();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = content.status();
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS_USUAL);
    content.put(operation, response.headers_mut());
    Ok(response)
}

/// The response of an answer that was waited for.
pub(super) fn of_reply(reply: &Reply, request: &HeaderMap) -> Result<Response<Full<Bytes>>, Error> {
    let operation = &*reply.first.operation;
    let etag = etag_of(reply)?;
    if let Some(etag) = etag.as_deref().filter(|etag| is_known(request, etag)) {
        return Ok(not_modified(operation, etag));
    }
    let mut json = Vec::with_capacity(512);
    reply.write_json(&mut json)?;
    let mut response = with_body(operation, Bytes::from(json), etag.as_deref());
    if reply.first.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The tag of an answer: its body's own, or one made of its parts'.
fn etag_of(reply: &Reply) -> Result<Option<Box<str>>, Error> {
    if reply.first.operation.template.kind.is_write() {
        return Ok(None);
    }
    let Some(body) = body_of(&reply.first.operation, &reply.first.stored)? else {
        return Ok(None);
    };
    if reply.included.is_empty() {
        return Ok(Some(body.etag.clone()).filter(|etag| !etag.is_empty()));
    }
    let mut hash = Sha256::new();
    hash.update(if body.etag.is_empty() { &body.msgpack } else { body.etag.as_bytes() });
    for part in &reply.included {
        let body = body_of(&part.operation, &part.stored)?;
        hash.update([0]);
        // A part that is not kept anywhere has no tag of its own: then its bytes count.
        hash.update(match body {
            None => &b"-"[..],
            Some(body) if body.etag.is_empty() => &body.msgpack,
            Some(body) => body.etag.as_bytes(),
        });
    }
    let digest = hash.finalize();
    let mut text = format!("{digest:x}");
    text.truncate(16);
    Ok(Some(text.into()))
}

/// Whether the client holds this very body (RFC 9110, section 13.1.2: weak comparison).
fn is_known(request: &impl Fields, etag: &str) -> bool {
    let values = request.all(&IF_NONE_MATCH).filter_map(text);
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(etag)
    })
}

fn not_modified(operation: &Operation, etag: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    cache_headers(operation, Some(etag), response.headers_mut());
    response
}

fn with_body(operation: &Operation, body: Bytes, etag: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    // Room for all that an answer usually has: the map does not grow on the way.
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS_USUAL);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    cache_headers(operation, etag, headers);
    response
}

/// `ETag` and `Cache-Control`: only what is cached here may be kept and revalidated elsewhere.
fn cache_headers(operation: &Operation, etag: Option<&str>, headers: &mut impl Sink) {
    let template = &operation.template;
    let is_cacheable = template.cache.is_some() || template.version_column.is_some();
    let etag = etag.filter(|_| is_cacheable && !template.kind.is_write());
    if !etag.is_some_and(|etag| headers.put(ETAG, &["\"", etag, "\""])) {
        headers.put_static(CACHE_CONTROL, "no-store");
        return;
    }
    match template.http_cache {
        None => headers.put_static(CACHE_CONTROL, "private, no-cache"),
        Some(age) => {
            let age = itoa::Buffer::new().format(age.as_secs()).to_owned();
            headers.put(CACHE_CONTROL, &["public, max-age=", &age]);
        }
    }
}

/// A refusal (RFC 9457), with the members that every refusal of the gateway has.
fn problem(error: &Error) -> Response<Full<Bytes>> {
    let code = error.code();
    let mut body = Vec::with_capacity(96);
    write_refusal(error, Codec::Json, &mut body);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let status = StatusCode::from_u16(error.http_status());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match Code::from_number(code) {
        Some(
            Code::CredentialMissing
            | Code::CredentialExpired
            | Code::BadSignature
            | Code::CredentialRevoked
            | Code::CredentialNotAccepted,
        ) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Some(code) if code.retryable() => {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        _ => {}
    }
    response
}
