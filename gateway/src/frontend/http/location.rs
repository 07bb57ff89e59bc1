//! Where the state of a queued write is read: 202 and `Location`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::catalog::{HttpMethod, Scalar, Template};
use crate::snapshot::Game;

/// What RFC 3986, section 2.3 does not leave as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes a response that of a queued write.
///
/// - `key`: the value of its idempotency key.
pub(super) fn queued(
    response: &mut Response<Full<Bytes>>,
    game: &Game,
    template: &Template,
    key: &Scalar<'_>,
) {
    *response.status_mut() = StatusCode::ACCEPTED;
    let status = template.write.status.as_ref();
    let path = status.and_then(|status| {
        let reader = game.operation(status.op.as_str()).ok()?;
        let route = reader.template.http.as_ref()?;
        let param = &status.args.first()?.param;
        (route.method == HttpMethod::Get).then_some(())?;
        let path = filled(&route.path, game.id.as_str(), param, key)?;
        // A key can be a word that another route has in this place.
        game.leads_to(&path, reader).then_some(path)
    });
    if let Some(Ok(path)) = path.map(HeaderValue::try_from) {
        response.headers_mut().insert(LOCATION, path);
    }
}

/// A route's path with its game and its one parameter; `None`: it has others, or a client could not follow it. A
/// segment that is `.` or `..` is resolved away (RFC 3986, section 5.2.4), encoded or not.
fn filled(route: &str, game: &str, param: &str, key: &Scalar<'_>) -> Option<String> {
    let mut text = String::new();
    key.tag_text(&mut text);
    let key = utf8_percent_encode(&text, RESERVED).to_string();
    let mut parts = route.split('{');
    let mut path = parts.next()?.to_owned();
    let mut has_key = false;
    for part in parts {
        let (name, rest) = part.split_once('}')?;
        match name {
            "game" => path.push_str(game),
            _ if name == param => {
                path.push_str(&key);
                has_key = true;
            }
            _ => return None,
        }
        path.push_str(rest);
    }
    if has_key && path.split('/').skip(1).any(|segment| matches!(segment, "." | "..")) {
        return None;
    }
    if !has_key {
        path = format!("{path}?{param}={key}");
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(route: &str, key: &str, expected: Option<&str>) {
        let key = Scalar::Str(key.into());
        assert_eq!(filled(route, "game1", "order_no", &key).as_deref(), expected, "{route}");
    }

    #[test]
    fn path_has_the_game_and_the_key_whatever_is_in_it() {
        check("/v1/{game}/orders/{order_no}", "SO-1", Some("/v1/game1/orders/SO-1"));
        check(
            "/v1/{game}/orders/{order_no}/x",
            "a/b ?é",
            Some("/v1/game1/orders/a%2Fb%20%3F%C3%A9/x"),
        );
        check("/v1/{game}/order", "a&b", Some("/v1/game1/order?order_no=a%26b"));
    }

    #[test]
    fn key_that_no_path_can_hold_is_not_put_into_one() {
        for key in [".", ".."] {
            check("/v1/{game}/orders/{order_no}", key, None);
            check("/v1/{game}/orders/{order_no}/x", key, None);
            let query = format!("/v1/game1/order?order_no={key}");
            check("/v1/{game}/order", key, Some(&query));
        }
        check("/v1/{game}/orders/{order_no}", "...", Some("/v1/game1/orders/..."));
        check("/v1/{game}/orders/no-{order_no}", "..", Some("/v1/game1/orders/no-.."));
    }

    #[test]
    fn route_with_another_parameter_says_nothing() {
        check("/v1/{game}/players/{player_id}/orders/{order_no}", "SO-1", None);
    }
}
