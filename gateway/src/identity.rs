//! Which request this is: the hash of its idempotency key, the hash of its parameters, and its lane.
//!
//! All of them are the same on every instance and build: they stand in databases, journals and streams.
//!
//! Invariant: the same key under another operation or game is another request.

use sha2::{Digest, Sha256};

use crate::bind::Bound;
use crate::catalog::{Scalar, Template};

/// An idempotent request: two with equal `request` are the same one, if their `params` are equal, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// First 16 bytes of SHA-256 over game, operation and the key's value.
    pub request: [u8; 16],
    /// First 16 bytes of SHA-256 over every parameter as bound, the key's own too.
    pub params: [u8; 16],
}

impl RequestKey {
    /// The key of a request; `None` when its template is not `@idempotent`.
    pub fn of(template: &Template, bound: &Bound<'_>) -> Option<Self> {
        let idempotent = template.write.idempotent.as_ref()?;
        let key = bound.values.get(idempotent.key_slot)?;
        let mut bytes = Vec::with_capacity(256);
        for value in &bound.values {
            value.encode(&mut bytes);
        }
        bytes.extend_from_slice(&bound.given.to_le_bytes());
        Some(Self {
            request: Self::request(template.game.as_str(), template.op.as_str(), key),
            params: half(&Sha256::digest(&bytes)),
        })
    }

    /// [`RequestKey::request`] of the request of `op` that has this key.
    pub fn request(game: &str, op: &str, key: &Scalar<'_>) -> [u8; 16] {
        let mut bytes = Vec::with_capacity(96);
        Scalar::Str(game.into()).encode(&mut bytes);
        Scalar::Str(op.into()).encode(&mut bytes);
        key.encode(&mut bytes);
        half(&Sha256::digest(&bytes))
    }
}

/// Writes of one lane are applied in order. A hash: two lanes in one cost time, never order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane(pub u64);

impl Lane {
    /// The lane of a request: its game and the value of the `@lane` slot, whatever the slot is called.
    /// `None` without `@lane`, and where the value is NULL.
    pub fn of(template: &Template, bound: &Bound<'_>) -> Option<Self> {
        let value = bound.values.get(template.write.lane?)?;
        if *value == Scalar::Null {
            return None;
        }
        let mut bytes = Vec::with_capacity(64);
        Scalar::Str(template.game.as_str().into()).encode(&mut bytes);
        value.encode(&mut bytes);
        let hash = Sha256::digest(&bytes);
        hash.first_chunk().map(|bytes| Self(u64::from_le_bytes(*bytes)))
    }
}

fn half(hash: &[u8]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gateway_protocol::{GameId, OpId};
    use smallvec::smallvec;

    use super::*;
    use crate::catalog::Idempotent;

    fn template(game: &str, op: &str) -> Template {
        let mut template = crate::bind::testing::template(Vec::new());
        template.game = GameId::new(game).unwrap();
        template.op = OpId::new(op).unwrap();
        template.write.idempotent =
            Some(Idempotent { key_slot: 0, ttl: std::time::Duration::from_hours(24) });
        template.write.lane = Some(1);
        template
    }

    fn bound(key: &'static str, player: i64, qty: i64) -> Bound<'static> {
        let values = smallvec![Scalar::Str(key.into()), Scalar::Int(player), Scalar::Int(qty)];
        Bound { values, given: 7 }
    }

    #[test]
    fn same_key_with_other_parameters_is_the_same_request_and_differs() {
        let template = template("game1", "order.create");
        let first = RequestKey::of(&template, &bound("a", 1, 1)).unwrap();
        let other = RequestKey::of(&template, &bound("a", 1, 2)).unwrap();
        assert_eq!(first, RequestKey::of(&template, &bound("a", 1, 1)).unwrap());
        assert_eq!(first.request, other.request);
        assert_ne!(first.params, other.params);
        assert_ne!(first.request, RequestKey::of(&template, &bound("b", 1, 1)).unwrap().request);
    }

    #[test]
    fn same_key_of_another_operation_or_game_is_another_request() {
        let key =
            |game, op| RequestKey::of(&template(game, op), &bound("a", 1, 1)).unwrap().request;
        assert_ne!(key("game1", "order.create"), key("game2", "order.create"));
        assert_ne!(key("game1", "order.create"), key("game1", "order.refund"));
        // No shifting of letters between the parts.
        assert_ne!(key("game1", "order.create"), key("game1o", "rder.create"));
    }

    #[test]
    fn lane_is_the_value_whatever_the_operation() {
        let lane = |game, op, player| Lane::of(&template(game, op), &bound("a", player, 1));
        assert_eq!(lane("game1", "order.create", 7), lane("game1", "order.pay", 7));
        assert_ne!(lane("game1", "order.create", 7), lane("game1", "order.create", 8));
        assert_ne!(lane("game1", "order.create", 7), lane("game2", "order.create", 7));
        let mut none = bound("a", 7, 1);
        none.values[1] = Scalar::Null;
        assert_eq!(Lane::of(&template("game1", "order.create"), &none), None);
    }

    #[test]
    fn hashes_stand_in_databases_and_never_change() {
        let template = template("game1", "order.create");
        let key = RequestKey::of(&template, &bound("a", 7, 1)).unwrap();
        assert_eq!(hex(&key.request), "aa515a3def497cdf5cff97a6a232c7a1");
        assert_eq!(hex(&key.params), "8fa4de7dc6a31271265202b1b9877719");
        assert_eq!(Lane::of(&template, &bound("a", 7, 1)), Some(Lane(0xe97f_96cf_9788_2c78)));
    }

    fn hex(bytes: &[u8; 16]) -> String {
        format!("{:032x}", u128::from_be_bytes(*bytes))
    }
}
