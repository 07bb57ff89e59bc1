//! The operators' port: health, metrics, the operations, reload, the journal.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::{HttpService, service_fn};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{ReloadOutcome, Shared, events, journal, status};

/// Connections at once; one more waits.
const CONNECTION_COUNT_MAX: usize = 64;

/// How long a connection may take to send a request's header, also between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection is kept, and how much longer its last request may take. Without these, clients that ask and do
/// not read would keep every place, and the health checks would go unanswered.
const KEPT: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(30));

/// How long the accept loop waits after a failure.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves the port for as long as the process lives.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTION_COUNT_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, &request, peer).await) }
            });
            serve_connection(stream, service, KEPT).await;
            drop(place);
        });
    }
}

/// Serves a connection for the first of the two times; then its request under way, for the second.
async fn serve_connection<S>(stream: TcpStream, service: S, kept: (Duration, Duration))
where
    S: HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible>,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::time::timeout(kept.0, connection.as_mut()).await;
    if ended.is_err() {
        connection.as_mut().graceful_shutdown();
        // One that fails, or does not end, has nobody left to tell.
        let _ended = tokio::time::timeout(kept.1, connection).await.is_ok();
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(shared: &Arc<Shared>, request: &Request<Incoming>, peer: SocketAddr) -> Answer {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/livez" if is_read => text(StatusCode::OK, "alive\n".into()),
        "/readyz" if is_read => {
            let (is_ready, body) = status::ready(shared);
            let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json_body(status, &body)
        }
        path if is_guarded(path) && !is_allowed(shared, request) => {
            let mut response = text(StatusCode::UNAUTHORIZED, "admin.token is needed\n".into());
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        "/metrics" if is_read => {
            let mut response = text(StatusCode::OK, shared.core.metrics.render());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        "/operations" if is_read => json_body(StatusCode::OK, &status::operations(shared)),
        "/reload" if *request.method() == Method::POST => reload(shared).await,
        "/reload" => method_not_allowed("POST"),
        "/livez" | "/readyz" | "/metrics" | "/operations" => method_not_allowed("GET, HEAD"),
        path => {
            if let Some(rest) = path.strip_prefix("/events") {
                return list_events(shared, request, (rest, is_read)).await;
            }
            match path.strip_prefix("/journal") {
                Some(rest) => look_after_journal(shared, request, (rest, peer)).await,
                None => not_found(),
            }
        }
    }
}

/// Whether a path asks for the token, where one is configured: all but the health checks.
fn is_guarded(path: &str) -> bool {
    !matches!(path, "/livez" | "/readyz")
}

fn not_found() -> Answer {
    let known = "GET /livez /readyz /metrics /operations /journal /journal/{id} /events/{game}[?after=ID&limit=COUNT]\n\
                 POST /reload /journal/{id}/retry[?force=true] /journal/{id}/drop \
                 /journal/{id}/bury?reason=TEXT[&force=true]\n";
    text(StatusCode::NOT_FOUND, known.into())
}

async fn list_events(
    shared: &Shared,
    request: &Request<Incoming>,
    (path, is_read): (&str, bool),
) -> Answer {
    if !is_read {
        return method_not_allowed("GET, HEAD");
    }
    match events::answer(shared, path, request.uri().query().unwrap_or_default()).await {
        Some((status, body)) => json_body(status, &body),
        None => not_found(),
    }
}

async fn look_after_journal(
    shared: &Shared,
    request: &Request<Incoming>,
    (path, peer): (&str, SocketAddr),
) -> Answer {
    let is_post = *request.method() == Method::POST;
    if !is_post && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed("GET, HEAD, POST");
    }
    let operator = request.headers().get("x-operator").and_then(|name| name.to_str().ok());
    let asked = journal::Asked {
        path,
        query: request.uri().query().unwrap_or_default(),
        is_post,
        peer,
        operator: operator.unwrap_or_default(),
    };
    match journal::answer(shared, asked).await {
        Some((status, body)) => json_body(status, &body),
        None => not_found(),
    }
}

async fn reload(shared: &Arc<Shared>) -> Answer {
    let outcome = shared.reload().await;
    let status = match &*outcome {
        ReloadOutcome::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    json_body(status, &json!({ "reload": status::reload(&outcome) }))
}

/// Whether a request has the token, where one is configured.
fn is_allowed(shared: &Shared, request: &Request<Incoming>) -> bool {
    let snapshot = shared.core.snapshot.load();
    let Some(token) = &snapshot.config.admin.token else { return true };
    let given = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|given| given.strip_prefix(b"Bearer "));
    // Compared in a time that does not tell how much of it was right.
    given.is_some_and(|given| given.ct_eq(token.expose().as_bytes()).into())
}

fn method_not_allowed(allow: &'static str) -> Answer {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allow}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn json_body(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut response = text(status, format!("{body:#}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Far more than the kernel keeps of it for a client that does not read.
    const BODY_BYTES: usize = 64 << 20;

    async fn both_ends() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn large(_: Request<Incoming>) -> Result<Answer, Infallible> {
        Ok(text(StatusCode::OK, "x".repeat(BODY_BYTES)))
    }

    #[tokio::test]
    async fn client_that_asks_and_does_not_read_gives_its_place_back() {
        let (mut client, server) = both_ends().await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let kept = (Duration::from_millis(20), Duration::from_millis(20));
        let ended = serve_connection(server, service_fn(large), kept);
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends");
    }

    #[tokio::test]
    async fn request_under_way_when_its_connection_was_kept_long_enough_is_answered_whole() {
        let (mut client, server) = both_ends().await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        // The first time is over while the body, which nobody reads yet, waits in the kernel.
        let kept = (Duration::from_millis(20), Duration::from_mins(1));
        let task = tokio::spawn(serve_connection(server, service_fn(large), kept));
        tokio::time::sleep(kept.0 * 2).await;
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).await.unwrap();
        assert!(reply.len() > BODY_BYTES, "{}", reply.len());
        task.await.unwrap();
    }
}
