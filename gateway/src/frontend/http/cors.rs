//! Answers for pages of other origins (Fetch standard, "CORS protocol").

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::fields::{Fields, Sink};
use super::request::Head;
use crate::catalog::HttpMethod;
use crate::config::CorsConfig;
use crate::error::Error;
use crate::snapshot::{RouteError, Snapshot, split_path};

/// What a page may send, and what it may read of an answer.
const REQUEST_HEADERS: &str = "authorization, content-type, idempotency-key, if-match, if-none-match, x-api-key, \
     x-deadline-ms, x-dry-run, x-request-id";
const RESPONSE_HEADERS: &str = "etag, idempotency-replayed, location, retry-after, x-cache, \
     x-deprecated, x-dry-run, x-request-id, x-template";

/// Says in `Allow` which methods a path has (RFC 9110, section 15.5.6).
pub(super) fn name_methods(snapshot: &Snapshot, path: &str, headers: &mut HeaderMap) {
    let methods = methods_of(snapshot, path).map(HeaderValue::try_from);
    if let Some(Ok(methods)) = methods {
        headers.insert(ALLOW, methods);
    }
}

/// Answers an OPTIONS: which methods a path has.
///
/// # Errors
///
/// [`RouteError::NoSuchOperation`] when nothing is at the path.
pub(super) fn preflight(snapshot: &Snapshot, head: &Head) -> Result<Response<Full<Bytes>>, Error> {
    let mut response = Response::new(Full::default());
    let methods = methods_of(snapshot, head.uri.path()).ok_or(RouteError::NoSuchOperation)?;
    *response.status_mut() = StatusCode::NO_CONTENT;
    let cors = &snapshot.config.server.http.cors;
    let methods = HeaderValue::from_str(&methods);
    let methods = methods.unwrap_or(HeaderValue::from_static("OPTIONS"));
    let headers = response.headers_mut();
    headers.insert(ALLOW, methods.clone());
    let is_preflight = head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if is_preflight && allowed_origin(cors, &head.headers).is_some() {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age.as_secs()));
    }
    Ok(response)
}

fn methods_of(snapshot: &Snapshot, path: &str) -> Option<String> {
    let (game, rest) = split_path(path)?;
    if rest == "/batch" || rest.starts_with("/call/") {
        return snapshot.game(game).ok().map(|_| "OPTIONS, POST".to_owned());
    }
    let matched = snapshot.path(path).ok()?;
    let mut text = "OPTIONS".to_owned();
    for method in matched.methods() {
        text.push_str(match method {
            HttpMethod::Get => ", GET, HEAD",
            HttpMethod::Post => ", POST",
            HttpMethod::Put => ", PUT",
            HttpMethod::Patch => ", PATCH",
            HttpMethod::Delete => ", DELETE",
        });
    }
    Some(text)
}

/// Adds to any answer whether the page that asked may read it.
pub(super) fn allow(cors: &CorsConfig, request: &impl Fields, response: &mut impl Sink) {
    if cors.origins.is_empty() {
        return;
    }
    let is_any = cors.origins.iter().any(|origin| &**origin == "*");
    if !is_any {
        // A cache must not give one origin's answer to another.
        response.put_static(VARY, "origin");
    }
    let Some(origin) = allowed_origin(cors, request) else { return };
    response.put(ACCESS_CONTROL_ALLOW_ORIGIN, &[if is_any { "*" } else { origin }]);
    response.put_static(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    if cors.credentials && !is_any {
        response.put_static(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
}

/// The configured origin that a request comes from.
fn allowed_origin<'c>(cors: &'c CorsConfig, request: &impl Fields) -> Option<&'c str> {
    let origin = request.first(&ORIGIN)?;
    let matches = |own: &&str| *own == "*" || own.as_bytes() == origin;
    cors.origins.iter().map(|own| &**own).find(matches)
}
