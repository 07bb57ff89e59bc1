//! One request and its response.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gateway_protocol::{Code, Value};
use http_body_util::Full;
use hyper::body::Body;
use hyper::{Method, Request, Response};

use super::request::{self, Head, Params};
use super::response::{self, Context};
use super::{Connection, batch, condition, cors, location};
use crate::auth::Principal;
use crate::bind::{Param, bind_each};
use crate::catalog::HttpMethod;
use crate::error::Error;
use crate::frontend::catch::catch_pinned;
use crate::frontend::registry::Phase;
use crate::frontend::wait_for;
use crate::observe::Stage;
use crate::pipeline::{self, Routed, Served};
use crate::snapshot::{PathMatch, RouteError, Snapshot, split_path};

/// Answers one request, whatever it is.
pub(super) async fn exchange<B>(
    connection: &Connection,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let arrived = Instant::now();
    connection.presence.enter(Phase::Serving);
    let _serving = connection.presence.begin_request();
    let worker = &connection.thread.worker;
    // First of all: it counts what the request's own id is made of.
    worker.begin_request(arrived);
    let snapshot = worker.snapshot();
    let (head, body) = request.into_parts();
    let trace = request::trace(&head.headers, worker);
    let mut context = Context::new(connection, trace, arrived);
    let answered = if head.method == Method::OPTIONS {
        cors::preflight(&snapshot, &head)
    } else {
        let caught = {
            let answering = pin!(answer(&mut context, &snapshot, &head, body));
            catch_pinned(answering).await
        };
        match caught {
            Ok(answered) => answered,
            Err(message) => {
                connection.thread.panicked(&message);
                Err(Error::Internal("a request panicked"))
            }
        }
    };
    let answer = answered.unwrap_or_else(|error| {
        let mut refusal = context.refuse(&error);
        if matches!(error, Error::Route(RouteError::MethodNotAllowed)) {
            cors::name_methods(&snapshot, head.uri.path(), refusal.headers_mut());
        }
        refusal
    });
    let answer = context.finish(answer, &head.headers, &snapshot.config.server.http.cors);
    connection.presence.enter(Phase::Idle);
    answer
}

/// Leads a request to its operation, its parameters and its answer.
async fn answer<B>(
    context: &mut Context<'_>,
    snapshot: &Snapshot,
    head: &Head,
    body: B,
) -> Result<Response<Full<Bytes>>, Error>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let target = target(snapshot, &head.method, head.uri.path())?;
    if let Target::Operation { routed, .. } = &target {
        context.operation = Some(Arc::clone(routed.operation));
    }
    let worker = context.worker();
    let principal = request::principal(worker, snapshot, &head.headers)?;
    context.caller(principal.as_ref());
    worker.lap(Stage::Authenticate);
    let timed = worker.pause();
    let bytes = request::read_body(&context.connection.presence, snapshot, head, body).await;
    worker.resume(timed);
    let mut bytes = bytes?;
    match target {
        Target::Operation { routed, matched } => {
            let call = Call { principal: principal.as_ref(), routed, matched };
            call.run(context, head, &mut bytes).await
        }
        Target::Batch(game) => {
            batch::run(context, snapshot, game, principal.as_ref(), head, &mut bytes).await
        }
    }
}

/// What a path leads to.
pub(super) enum Target<'s, 'p> {
    Operation { routed: Routed<'s>, matched: Option<PathMatch<'s, 'p>> },
    Batch(&'s Arc<crate::snapshot::Game>),
}

/// Finds what a method and a path lead to.
///
/// # Errors
///
/// [`RouteError`].
pub(super) fn target<'s, 'p>(
    snapshot: &'s Snapshot,
    method: &Method,
    path: &'p str,
) -> Result<Target<'s, 'p>, Error> {
    let (game, rest) = split_path(path).ok_or(RouteError::NoSuchOperation)?;
    if let Some(op) = rest.strip_prefix("/call/") {
        post_only(method)?;
        return Ok(Target::Operation {
            routed: pipeline::route(snapshot, game, op)?,
            matched: None,
        });
    }
    if rest == "/batch" {
        post_only(method)?;
        return Ok(Target::Batch(snapshot.game(game)?));
    }
    let matched = snapshot.path(path)?;
    let operation = matched.operation(of_method(method)?)?;
    // Asked by name again, for what is switched off.
    let operation = matched.game.operation(operation.template.op.as_str())?;
    let routed = Routed { game: matched.game, operation };
    Ok(Target::Operation { routed, matched: Some(matched) })
}

fn post_only(method: &Method) -> Result<(), RouteError> {
    if *method == Method::POST { Ok(()) } else { Err(RouteError::MethodNotAllowed) }
}

fn of_method(method: &Method) -> Result<HttpMethod, RouteError> {
    Ok(match *method {
        // A HEAD is a GET whose body is left out where answers are sent.
        Method::GET | Method::HEAD => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => return Err(RouteError::MethodNotAllowed),
    })
}

/// One operation, called over HTTP.
struct Call<'a> {
    principal: Option<&'a Arc<Principal>>,
    routed: Routed<'a>,
    matched: Option<PathMatch<'a, 'a>>,
}

impl Call<'_> {
    async fn run(
        self,
        context: &mut Context<'_>,
        head: &Head,
        body: &mut [u8],
    ) -> Result<Response<Full<Bytes>>, Error> {
        let worker = context.worker();
        let mut params = Params::new();
        if let Some(matched) = &self.matched {
            request::path_params(matched, &mut params)?;
        }
        request::query_params(head.uri.query(), &mut params)?;
        condition::params(&head.headers, &self.routed.operation.template, &mut params)?;
        request::body_params(body, &mut params)?;
        context.dry_run = condition::is_dry_run(&head.headers)?;
        worker.lap(Stage::Decode);
        let request = pipeline::Request {
            principal: self.principal,
            trace: context.trace,
            peer: context.connection.peer,
            arrived: context.arrived,
            deadline: request::deadline(&head.headers, context.arrived)?,
            dry_run: context.dry_run,
        };
        let params = params.into_iter().map(Ok);
        let served = worker.serve(
            &request,
            self.routed,
            |template| bind_each(template, params),
            |operation, hit| response::of_hit(operation, hit.stored(), &head.headers),
        )?;
        match served {
            Served::Hit(answer) => {
                context.outcome = crate::observe::CacheOutcome::L1;
                answer
            }
            Served::Wait(waiting) => {
                let reply = wait_for(waiting).await?;
                context.outcome = reply.outcome();
                let mut response = response::of_reply(&reply, &head.headers)?;
                if let Some(key) = &reply.first.key {
                    let template = &reply.first.operation.template;
                    location::queued(&mut response, self.routed.game, template, key);
                }
                Ok(response)
            }
        }
    }
}

/// A parameter of a JSON body's member.
pub(super) fn typed<'a>(name: std::borrow::Cow<'a, str>, value: Value<'a>) -> Param<'a> {
    Param { name, value, untyped: false }
}

/// A fault of what came over the wire.
pub(super) fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::Wire { code: Code::Malformed, message: message.into() }
}
