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
use super::request::X_REQUEST_ID;
use super::{Connection, cors};
use crate::auth::Principal;
use crate::cache::Stored;
use crate::config::CorsConfig;
use crate::error::Error;
use crate::observe::{CacheOutcome, Transport};
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
    pub(super) trace: &'a str,
    pub(super) arrived: Instant,
    pub(super) operation: Option<Arc<Operation>>,
    pub(super) outcome: CacheOutcome,
    /// Whether what was asked for is undone, if it was done at all.
    pub(super) dry_run: bool,
    principal: Option<Arc<Principal>>,
    refused: u16,
}

impl<'a> Context<'a> {
    pub(super) const fn new(connection: &'a Connection, trace: &'a str, arrived: Instant) -> Self {
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
        self.worker().report(error, self.operation.as_deref(), Trace::Text(self.trace));
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
                self.worker().report(&error, operation, Trace::Text(self.trace));
                (error.code(), CacheOutcome::Bypass)
            }
        };
        self.worker().finish(&crate::pipeline::Finished {
            transport: Transport::Http,
            peer: self.connection.peer,
            trace: Trace::Text(self.trace),
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
        if let Ok(trace) = HeaderValue::from_str(self.trace) {
            headers.insert(X_REQUEST_ID, trace);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(operation) = &self.operation {
            if let Ok(version) = HeaderValue::from_str(&operation.version_text) {
                headers.insert(X_TEMPLATE, version);
            }
            if operation.template.cache.is_some() {
                headers.insert(X_CACHE, HeaderValue::from_static(self.outcome.name()));
            }
            let deprecated = operation.template.deprecated.as_deref();
            if let Some(Ok(reason)) = deprecated.map(HeaderValue::from_str) {
                headers.insert(X_DEPRECATED, reason);
            }
        }
        if self.dry_run {
            headers.insert(X_DRY_RUN, HeaderValue::from_static("true"));
        }
        cors::allow(cors, request, headers);
        self.worker().finish(&crate::pipeline::Finished {
            transport: Transport::Http,
            peer: self.connection.peer,
            trace: Trace::Text(self.trace),
            operation: self.operation.as_deref(),
            caller: self.principal.as_ref().map(|principal| &*principal.caller),
            code: self.refused,
            outcome: self.outcome,
            arrived: self.arrived,
        });
        response
    }
}

/// The response of an entry that L1 has. Called under the cache's guard: the body is copied.
pub(super) fn of_hit(
    operation: &Operation,
    stored: &Stored,
    request: &HeaderMap,
) -> Result<Response<Full<Bytes>>, Error> {
    let Some(body) = body_of(operation, stored)? else {
        return Ok(with_body(operation, Bytes::from_static(b"null"), None));
    };
    if is_known(request, &body.etag) {
        return Ok(not_modified(operation, &body.etag));
    }
    let json = Bytes::copy_from_slice(json_of(operation, body)?);
    Ok(with_body(operation, json, Some(&body.etag)))
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
fn is_known(request: &HeaderMap, etag: &str) -> bool {
    let values = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
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
fn cache_headers(operation: &Operation, etag: Option<&str>, headers: &mut HeaderMap) {
    let template = &operation.template;
    let is_cacheable = template.cache.is_some() || template.version_column.is_some();
    let etag = etag.filter(|_| is_cacheable && !template.kind.is_write());
    let Some(etag) = etag.and_then(quoted) else {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return;
    };
    headers.insert(ETAG, etag);
    let control = match template.http_cache {
        None => HeaderValue::from_static("private, no-cache"),
        Some(age) => {
            let text = format!("public, max-age={}", age.as_secs());
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("no-cache"))
        }
    };
    headers.insert(CACHE_CONTROL, control);
}

/// A tag as its header has it.
fn quoted(etag: &str) -> Option<HeaderValue> {
    let text = [b"\"", etag.as_bytes(), b"\""].concat();
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
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
