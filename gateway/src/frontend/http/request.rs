//! What a request says: who asks, with which parameters, until when.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_protocol::{Code, Value, json};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::exchange::{malformed, typed};
use super::fields::{Fields, text};
use crate::auth::{AuthError, Presented, Principal};
use crate::bind::Param;
use crate::error::Error;
use crate::frontend::registry::{Phase, Presence};
use crate::pipeline::{Trace, Worker};
use crate::snapshot::{PathMatch, Snapshot};

/// A request without its body.
pub(super) type Head = http::request::Parts;

/// The header that carries a request's id, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_DEADLINE_MS: HeaderName = HeaderName::from_static("x-deadline-ms");

/// Longest request id that is taken over from a client, in bytes.
const TRACE_BYTES_MAX: usize = 64;

/// Most names in a query: a template has 64 slots.
const QUERY_NAMES_MAX: usize = 64;

/// Most values of one name.
const QUERY_PARAMS_MAX: usize = 10_000;

/// A request's parameters, on the stack as long as they are few.
pub(super) type Params<'a> = SmallVec<[Param<'a>; 8]>;

/// The request's id: the client's, if it is short and harmless, else one of ours.
pub(super) fn trace<'h>(headers: &'h impl Fields, worker: &Worker) -> Trace<'h> {
    let harmless = |id: &&str| {
        let fits = (1..=TRACE_BYTES_MAX).contains(&id.len());
        fits && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    let own = headers.first(&X_REQUEST_ID).and_then(text).filter(harmless);
    own.map_or_else(|| worker.next_trace(), Trace::Text)
}

/// The credential, if there is one; not verified.
pub(super) fn credential(headers: &impl Fields) -> Result<Option<Presented<'_>>, Error> {
    let text = |name: &HeaderName| match headers.first(name).map(text) {
        None => Ok(None),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err(malformed(format!("header `{name}` is not text"))),
    };
    let (bearer, key) = (text(&AUTHORIZATION)?, text(&X_API_KEY)?);
    match (bearer, key) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(malformed("two credentials; send one")),
        (None, Some(key)) => Ok(Some(Presented::ApiKey(key))),
        (Some(bearer), None) => {
            let (scheme, token) = bearer.split_once(' ').unwrap_or((bearer, ""));
            if scheme.is_empty() {
                return Err(AuthError::Malformed { what: "Authorization" }.into());
            }
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(AuthError::WrongScheme.into());
            }
            Ok(Some(Presented::Token(token.trim())))
        }
    }
}

/// Verifies the credential, if there is one.
pub(super) fn principal(
    worker: &Worker,
    snapshot: &Snapshot,
    headers: &impl Fields,
) -> Result<Option<Arc<Principal>>, Error> {
    let Some(presented) = credential(headers)? else { return Ok(None) };
    Ok(Some(worker.authenticate(snapshot, presented)?))
}

/// `X-Deadline-Ms`: the client's own limit, as over TCP.
pub(super) fn deadline(headers: &impl Fields, arrived: Instant) -> Result<Option<Instant>, Error> {
    let Some(value) = headers.first(&X_DEADLINE_MS) else { return Ok(None) };
    let millis = text(value).and_then(|text| text.parse::<u16>().ok());
    let millis = millis.ok_or_else(|| malformed("X-Deadline-Ms is 0 to 65535 milliseconds"))?;
    Ok((millis > 0).then(|| arrived + Duration::from_millis(millis.into())))
}

/// Reads a body of limited size in limited time.
pub(super) async fn read_body<B>(
    presence: &Presence,
    snapshot: &Snapshot,
    head: &Head,
    body: B,
) -> Result<Vec<u8>, Error>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH) {
        // Two lengths are how requests are smuggled past whoever believes the other one.
        return Err(malformed("Transfer-Encoding and Content-Length exclude each other"));
    }
    if body.is_end_stream() {
        return Ok(Vec::new());
    }
    let config = &snapshot.config.server.http;
    let bytes_max = config.body_bytes_max as usize;
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    check_content_type(&head.headers)?;
    presence.enter(Phase::Reading);
    let collected = collect(body, bytes_max);
    let bytes = if head.version == http::Version::HTTP_2 {
        // The sweep knows connections; there a stream has to be timed by itself.
        let timed = monoio::time::timeout(config.read_timeout, collected).await;
        timed.unwrap_or_else(|_late| Err(malformed("the body did not arrive in time")))?
    } else {
        collected.await?
    };
    presence.enter(Phase::Serving);
    Ok(bytes)
}

/// Collects a body of at most `bytes_max` bytes.
async fn collect<B>(mut body: B, bytes_max: usize) -> Result<Vec<u8>, Error>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let announced = body.size_hint().lower();
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| malformed(format!("the body broke off: {error}")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if bytes.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn too_large(bytes_max: usize) -> Error {
    let message = format!("the body has more than {bytes_max} bytes").into();
    Error::Wire { code: Code::TooLarge, message }
}

fn check_content_type(headers: &impl Fields) -> Result<(), Error> {
    let content_type = headers.first(&CONTENT_TYPE);
    let essence = content_type.map(|value| value.split(|byte| *byte == b';').next());
    match essence.flatten() {
        None => Ok(()),
        Some(essence) if essence.trim_ascii().eq_ignore_ascii_case(b"application/json") => Ok(()),
        Some(_) => Err(malformed("the body must be application/json")),
    }
}

/// Adds what stands in a path's braces.
pub(super) fn path_params<'p>(
    matched: &PathMatch<'p, 'p>,
    params: &mut Params<'p>,
) -> Result<(), Error> {
    for (name, value) in matched.params.iter() {
        let name = Cow::Borrowed(name);
        params.push(Param { name, value: Value::Str(decode(value)?), untyped: true });
    }
    Ok(())
}

/// Adds a query's parameters; a name that stands several times is a list, for its slot to judge.
pub(super) fn query_params<'q>(
    query: Option<&'q str>,
    params: &mut Params<'q>,
) -> Result<(), Error> {
    let before = params.len();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode_form(name)?, Value::Str(decode_form(value)?));
        let count = params.len() - before;
        let own = params.get_mut(before..).unwrap_or_default();
        match own.iter_mut().find(|param| param.name == name) {
            None if count >= QUERY_NAMES_MAX => {
                return Err(malformed("too many query parameters"));
            }
            None => params.push(Param { name, value, untyped: true }),
            Some(Param { value: Value::Array(values), .. }) if values.len() < QUERY_PARAMS_MAX => {
                values.push(value);
            }
            Some(Param { value: Value::Array(_), .. }) => {
                return Err(malformed("too many query parameters"));
            }
            Some(param) => {
                let first = std::mem::replace(&mut param.value, Value::Null);
                param.value = Value::Array(vec![first, value]);
            }
        }
    }
    Ok(())
}

/// Adds the members of a JSON body; an empty body has none.
pub(super) fn body_params<'b>(body: &'b mut [u8], params: &mut Params<'b>) -> Result<(), Error> {
    if body.is_empty() {
        return Ok(());
    }
    let value = json::decode(body)?;
    let Value::Map(members) = value else {
        return Err(malformed("the body must be a JSON object"));
    };
    params.extend(members.into_iter().map(|(name, value)| typed(name, value)));
    Ok(())
}

fn decode(text: &str) -> Result<Cow<'_, str>, Error> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let is_escape = |rest: &str| {
        rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(malformed("a `%` in the URL is not followed by two hexadecimal digits"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_err(|_not_utf8| malformed("the URL is not UTF-8 once decoded"))
}

/// Decodes as forms do: `+` is a space.
fn decode_form(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.contains('+') {
        return Ok(Cow::Owned(decode(&text.replace('+', " "))?.into_owned()));
    }
    decode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &[(&str, Value<'_>)]) {
        let mut params = Params::new();
        query_params(Some(query), &mut params).unwrap();
        let got: Vec<(&str, Value<'_>)> =
            params.iter().map(|param| (param.name.as_ref(), param.value.clone())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn query_is_decoded_and_a_repeated_name_is_a_list() {
        let text = |text: &'static str| Value::Str(Cow::Borrowed(text));
        check("a=1&b=x%20y+z&c", &[("a", text("1")), ("b", text("x y z")), ("c", text(""))]);
        check("a=1&&a=2&a=3", &[("a", Value::Array(vec![text("1"), text("2"), text("3")]))]);
    }

    #[test]
    fn query_that_is_not_utf8_or_escaped_by_halves_is_malformed() {
        for query in ["a=%ff", "a=%", "a=%4", "a=%zz", "a=%+1", "%=1"] {
            let refused = query_params(Some(query), &mut Params::new()).unwrap_err();
            assert_eq!(refused.code(), 1101, "{query}");
        }
    }
}
