//! The answer of a write that the journal has: `{state: "journalled", key}`, the same for every repeat.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use gateway_protocol::{json, msgpack};

use super::{Part, outcome_unknown};
use crate::cache::{Body, Stored};
use crate::catalog::{Scalar, Type};
use crate::error::Error;
use crate::journal::{Accepted, JournalError};
use crate::observe::CacheOutcome;
use crate::queue;
use crate::snapshot::Operation;

const STATE: &str = "journalled";

/// An order that the journal was asked to keep.
#[derive(Debug)]
pub struct Offered {
    /// Its operation.
    pub operation: Arc<Operation>,
    /// The value of its idempotency key.
    pub key: Scalar<'static>,
    /// Where it is told that the order is on disk.
    pub answer: queue::Answer<Result<Accepted, JournalError>>,
    /// When that must have been told.
    pub deadline: Instant,
}

impl Offered {
    /// Waits until the order is on disk.
    pub(super) async fn wait(self) -> Result<Part, Error> {
        let Self { operation, key, answer, .. } = self;
        // Dropped unanswered only if the journal's thread died: nobody knows how far it had come.
        let accepted = answer.await.map_err(|_lost| outcome_unknown())??;
        let slot = operation.template.write.idempotent.map(|idempotent| idempotent.key_slot);
        let slot = slot.and_then(|slot| operation.template.slots.get(slot));
        let is_bigint = slot.is_some_and(|slot| slot.ty == Type::Bigint);
        let stored = Arc::new(Stored::Present(body(&key, is_bigint)));
        let outcome = CacheOutcome::Bypass;
        Ok(Part { operation, stored, outcome, replayed: accepted.repeated, key: Some(key) })
    }
}

/// The body, in both codecs; a number of 64 bits is a string in JSON.
fn body(key: &Scalar<'_>, is_bigint: bool) -> Body {
    let (mut packed, mut text) = (Vec::with_capacity(64), Vec::with_capacity(64));
    msgpack::write_map_header(&mut packed, 2);
    msgpack::write_str(&mut packed, "state");
    msgpack::write_str(&mut packed, STATE);
    msgpack::write_str(&mut packed, "key");
    text.extend_from_slice(b"{\"state\":\"journalled\",\"key\":");
    match key {
        Scalar::Int(number) => {
            msgpack::write_int(&mut packed, *number);
            if is_bigint {
                json::write_str(&mut text, &number.to_string());
            } else {
                json::write_int(&mut text, *number);
            }
        }
        other => {
            let mut shown = String::new();
            other.tag_text(&mut shown);
            msgpack::write_str(&mut packed, &shown);
            json::write_str(&mut text, &shown);
        }
    }
    text.push(b'}');
    Body { msgpack: packed.into(), json: OnceLock::from(Bytes::from(text)), etag: "".into() }
}

#[cfg(test)]
mod tests {
    use gateway_protocol::{Value, msgpack};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "keys are written in place")]
    #[track_caller]
    fn check(key: Scalar<'_>, is_bigint: bool, value: Value<'_>, json: &str) {
        let body = body(&key, is_bigint);
        let expected =
            Value::Map(vec![("state".into(), "journalled".into()), ("key".into(), value)]);
        assert_eq!(msgpack::decode(&body.msgpack), Ok(expected));
        assert_eq!(body.json.get().map(|json| &json[..]), Some(json.as_bytes()));
    }

    #[test]
    fn key_is_told_as_it_came_and_64_bits_are_a_string_in_json() {
        let text = Scalar::Str("SO-\"7".into());
        check(text, false, "SO-\"7".into(), r#"{"state":"journalled","key":"SO-\"7"}"#);
        check(Scalar::Int(7), false, 7.into(), r#"{"state":"journalled","key":7}"#);
        check(Scalar::Int(7), true, 7.into(), r#"{"state":"journalled","key":"7"}"#);
    }
}
