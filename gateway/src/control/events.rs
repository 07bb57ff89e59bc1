//! `/events/{game}`: what writes have told of (`@emit`), in its order.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Shared;
use crate::backend::switch::{EventId, EventQuery, StoredEvent, read_events};
use crate::catalog::format_timestamp;
use crate::config::Config;
use crate::observe::chain;

/// Events of one answer, if nothing is said, and at most.
pub const EVENTS_LISTED: (usize, usize) = (100, 1000);

/// Readers at once; one more waits.
static READERS: Semaphore = Semaphore::const_new(2);
/// How long one may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Digits of a moment behind the second.
const MOMENT_DIGITS: u8 = 3;

/// Answers; `None`: there is no such path.
pub(super) async fn answer(
    shared: &Shared,
    path: &str,
    query: &str,
) -> Option<(StatusCode, Value)> {
    let game = path.strip_prefix('/').filter(|game| !game.is_empty() && !game.contains('/'))?;
    let refused = |status, error: String| Some((status, json!({ "error": error })));
    let (after, count_max) = match asked(query) {
        Ok(asked) => asked,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error),
    };
    let config = std::sync::Arc::clone(&shared.core.snapshot.load().config);
    let Some(query) = event_query(&config, game, after, count_max) else {
        return refused(StatusCode::NOT_FOUND, format!("there is no game `{game}`"));
    };
    // Each has connections of its own, beside those that the pools count.
    let Ok(_turn) = READERS.acquire().await else { return None };
    // A reader that leaves takes nobody's connection along: it ends with its own.
    match tokio::time::timeout(READ_TIMEOUT, Box::pin(read_events(query))).await {
        Ok(Ok(events)) => Some((StatusCode::OK, events_listed(&events, after))),
        Ok(Err(error)) => refused(StatusCode::SERVICE_UNAVAILABLE, chain(&error)),
        Err(_late) => refused(StatusCode::SERVICE_UNAVAILABLE, "it takes too long".to_owned()),
    }
}

/// `after=12-3456&limit=100`.
fn asked(query: &str) -> Result<(EventId, usize), String> {
    let (mut after, mut count_max) = (EventId::default(), EVENTS_LISTED.0);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", text)) => {
                after = text.parse().map_err(|error| format!("after={text}: {error}"))?;
            }
            Some(("limit", text)) => {
                let wanted =
                    text.parse().ok().filter(|count| (1..=EVENTS_LISTED.1).contains(count));
                count_max =
                    wanted.ok_or_else(|| format!("limit={text}: want 1 to {}", EVENTS_LISTED.1))?;
            }
            _ => return Err(format!("{pair}: want after=ID or limit=COUNT")),
        }
    }
    Ok((after, count_max))
}

/// What a game's events are asked for with; `None`: there is no such game.
pub fn event_query<'c>(
    config: &'c Config,
    game: &str,
    after: EventId,
    count_max: usize,
) -> Option<EventQuery<'c>> {
    let game = config.games.iter().find(|own| own.id.as_str() == game)?;
    let database = config.database.connection(&game.database)?;
    let mirror = game.mirror.as_ref().and_then(|mirror| config.database.connection(mirror));
    Some(EventQuery { game: game.id.as_str(), database, mirror, after, count_max })
}

/// Events as they are listed, and from where the next ones are asked for.
pub fn events_listed(events: &[StoredEvent], after: EventId) -> Value {
    let next = events.last().map_or(after, |event| event.id);
    let all: Vec<Value> = events.iter().map(one).collect();
    json!({ "events": all, "next": next.to_string() })
}

fn one(event: &StoredEvent) -> Value {
    let data = serde_json::from_str(&event.data).unwrap_or(Value::Null);
    let at = format_timestamp(event.emitted_at.saturating_mul(1000), MOMENT_DIGITS);
    json!({
        "id": event.id.to_string(),
        "at": at.as_str(),
        "topic": event.topic,
        "event": event.event,
        "operation": event.operation,
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_and_count_are_taken_within_their_bounds_and_nothing_else_is() {
        let place = EventId { batch: 3, id: 9 };
        assert_eq!(asked(""), Ok((EventId::default(), 100)));
        assert_eq!(asked("after=3-9&limit=1000"), Ok((place, 1000)));
        assert_eq!(asked("limit=1"), Ok((EventId::default(), 1)));
        for query in ["after=3", "limit=0", "limit=1001", "limit=x", "before=1-1", "after"] {
            assert!(asked(query).is_err(), "{query}");
        }
    }
}
