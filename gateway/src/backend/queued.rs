//! Answers of a read that also speaks for queued writes (`@status`): the row with its state, or the state of
//! what is not in the database yet.

use std::sync::OnceLock;
use std::time::Instant;

use gateway_protocol::msgpack;

use super::BackendError;
use crate::bind::Bound;
use crate::cache::{Body, Cache, QueuedState};
use crate::catalog::{Scalar, format_timestamp};
use crate::config::QueueKind;
use crate::identity::{Lane, RequestKey};
use crate::journal::{Journal, State};
use crate::snapshot::Operation;
use crate::stream::{StreamState, Streams};

/// The member that carries the state.
const STATE: &str = "state";

/// Waits until nothing that was queued in the write's lane is still to be applied: a payment finds its order.
///
/// # Errors
///
/// [`BackendError::Deadline`] when that is not so at `deadline`; nothing was begun.
pub(super) async fn lane_is_free(
    queues: Queues<'_>,
    operation: &Operation,
    bound: &Bound<'_>,
    deadline: Instant,
) -> Result<(), BackendError> {
    let Some(lane) = Lane::of(&operation.template, bound) else { return Ok(()) };
    let settled = async {
        // A game may have changed from one to the other.
        if let Some(journal) = queues.journal {
            journal.lane_settled(lane).await;
        }
        if let Some(streams) = queues.streams_of(operation) {
            // Rare and large: not a part of every job's future.
            Box::pin(streams.lane_settled(lane)).await;
        }
    };
    let settled = tokio::time::timeout_at(deadline.into(), settled).await;
    settled.map_err(|_late| BackendError::Deadline)
}

/// Where queued writes may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queues<'a> {
    /// This instance's own.
    pub(super) journal: Option<&'a Journal>,
    /// Everybody's.
    pub(super) streams: Option<&'a Streams>,
}

impl<'a> Queues<'a> {
    /// The streams, if the operation's game uses them.
    fn streams_of(self, operation: &Operation) -> Option<&'a Streams> {
        self.streams.filter(|_| operation.queue == QueueKind::Stream)
    }
}

/// What is known of a queued write where no row is.
#[derive(Debug)]
pub(super) enum Queued {
    /// It waits, or is dead: the body that says so.
    Waits(Body),
    /// It was applied lately.
    WasApplied,
}

/// Looks for a queued write that a read speaks for; `None`: nothing is known.
pub(super) async fn look<E>(
    queues: Queues<'_>,
    cache: &Cache<E>,
    operation: &Operation,
    bound: &Bound<'_>,
) -> Option<Queued> {
    for status in &operation.status_of {
        let template = &operation.template;
        let key = bound.values.get(status.slot)?;
        let request = RequestKey::request(template.game.as_str(), status.op.as_str(), key);
        let state = match queues.journal.and_then(|journal| journal.state_of(&request)) {
            Some(State::Applied { .. }) => return Some(Queued::WasApplied),
            Some(State::Journalled { since_micros, .. }) => {
                Some(QueuedState::Journalled { since_micros })
            }
            Some(State::Dead { since_micros, code, message, .. }) => {
                Some(QueuedState::Dead { since_micros, code, message })
            }
            None => match queues.streams_of(operation) {
                Some(streams) => match Box::pin(streams.state_of(&request)).await {
                    Some(StreamState::Applied) => return Some(Queued::WasApplied),
                    Some(StreamState::Queued(state)) => Some(state),
                    None => None,
                },
                None => cache.queued(&request).await,
            },
        };
        if let Some(state) = state {
            let param = template.slots.get(status.slot).map_or("key", |slot| &slot.name);
            return Some(Queued::Waits(state_body(param, key, &state)));
        }
    }
    None
}

/// A row's body with `state: committed` behind its columns. `None`: the body is no map.
pub(super) fn committed(body: &Body) -> Option<Body> {
    let mut reader = msgpack::Reader::new(&body.msgpack);
    let count = reader.map("body").ok()?;
    let mut bytes = Vec::with_capacity(body.msgpack.len() + 20);
    msgpack::write_map_header(&mut bytes, count + 1);
    bytes.extend_from_slice(reader.rest());
    msgpack::write_str(&mut bytes, STATE);
    msgpack::write_str(&mut bytes, "committed");
    Some(Body { msgpack: bytes.into(), json: OnceLock::new(), etag: body.etag.clone() })
}

/// The body that tells the state of a queued write: `{state, <param>: key, since, code?, message?}`.
///
/// - `param`, `key`: the read's own parameter that takes the write's key, and its value.
pub(super) fn state_body(param: &str, key: &Scalar<'_>, state: &QueuedState) -> Body {
    let (name, since, count) = match state {
        QueuedState::Journalled { since_micros } => ("journalled", *since_micros, 3),
        QueuedState::Dead { since_micros, .. } => ("dead", *since_micros, 5),
    };
    let mut bytes = Vec::with_capacity(128);
    msgpack::write_map_header(&mut bytes, count);
    msgpack::write_str(&mut bytes, STATE);
    msgpack::write_str(&mut bytes, name);
    msgpack::write_str(&mut bytes, param);
    match key {
        Scalar::Int(number) => msgpack::write_int(&mut bytes, *number),
        other => {
            let mut text = String::new();
            other.tag_text(&mut text);
            msgpack::write_str(&mut bytes, &text);
        }
    }
    msgpack::write_str(&mut bytes, "since");
    msgpack::write_str(&mut bytes, format_timestamp(since, 3).as_str());
    if let QueuedState::Dead { code, message, .. } = state {
        msgpack::write_str(&mut bytes, "code");
        msgpack::write_int(&mut bytes, i64::from(*code));
        msgpack::write_str(&mut bytes, "message");
        msgpack::write_str(&mut bytes, message);
    }
    Body { msgpack: bytes.into(), json: OnceLock::new(), etag: "".into() }
}

#[cfg(test)]
mod tests {
    use gateway_protocol::Value;

    use super::*;
    use crate::catalog::{Form, Kind, msgpack_to_json};

    #[test]
    fn row_gets_its_state_behind_its_columns_whatever_their_number() {
        for count in [0, 1, 14, 15, 16] {
            let mut bytes = Vec::new();
            msgpack::write_map_header(&mut bytes, count);
            for index in 0..count {
                msgpack::write_str(&mut bytes, &format!("c{index}"));
                msgpack::write_int(&mut bytes, 1);
            }
            let body = Body { msgpack: bytes.into(), json: OnceLock::new(), etag: "x-1".into() };
            let with_state = committed(&body).unwrap();
            let Ok(Value::Map(members)) = msgpack::decode(&with_state.msgpack) else {
                panic!("no map")
            };
            assert_eq!(members.len(), count + 1);
            assert_eq!(members[count], ("state".into(), Value::Str("committed".into())));
            assert_eq!(with_state.etag, body.etag);
        }
    }

    #[test]
    fn body_that_is_no_map_gets_no_state() {
        let body = Body { msgpack: vec![0xc0].into(), json: OnceLock::new(), etag: "".into() };
        assert!(committed(&body).is_none());
    }

    #[track_caller]
    fn check(key: &Scalar<'_>, state: &QueuedState, expected: &str) {
        let body = state_body("order_no", key, state);
        let mut json = Vec::new();
        let form = Form { kind: Kind::Optional, columns: &[], returns: &[], outputs: &[] };
        msgpack_to_json(form, &body.msgpack, &mut json).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn state_of_what_is_queued_names_its_key_and_why_it_died() {
        let journalled = QueuedState::Journalled { since_micros: 1_767_225_600_000_000 };
        check(
            &Scalar::Str("SO-1".into()),
            &journalled,
            r#"{"state":"journalled","order_no":"SO-1","since":"2026-01-01T00:00:00.000Z"}"#,
        );
        let dead = QueuedState::Dead { since_micros: 0, code: 2103, message: "NO_ITEM".into() };
        check(
            &Scalar::Int(7),
            &dead,
            r#"{"state":"dead","order_no":7,"since":"1970-01-01T00:00:00.000Z","code":2103,"message":"NO_ITEM"}"#,
        );
    }
}
