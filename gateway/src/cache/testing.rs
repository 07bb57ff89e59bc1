//! Values that the cache's tests share.

use std::time::Duration;

use bytes::Bytes;
use gateway_protocol::{GameId, OpId};

pub(crate) use super::l2::testing::RedisServer;
use super::{Body, Key, KeyHasher, KeyRef, Stored};
use crate::auth::{Claim, Credential, Games, Principal, RoleMask};
use crate::catalog::{CachePolicy, Dialect, Kind, Piece, Plan, Scope, Template};

/// A reading template with this plan.
pub(crate) fn template(op: &str, scope: Scope, pieces: Vec<Piece>) -> Template {
    Template {
        game: GameId::new("game1").unwrap(),
        op: OpId::new(op).unwrap(),
        dialect: Dialect::Sqlite,
        version: 9,
        desc: "".into(),
        kind: Kind::One,
        not_found: None,
        slots: Vec::new(),
        outputs: Vec::new(),
        procedure: None,
        columns: Vec::new(),
        version_column: None,
        allow: Vec::new(),
        http: None,
        cache: Some(policy(scope)),
        invalidate: Vec::new(),
        page: None,
        orders: Vec::new(),
        requires: Vec::new(),
        on_duplicate: None,
        write: crate::catalog::WriteContract::default(),
        contract: 0,
        includes: Vec::new(),
        timeout: None,
        row_count_max: 1,
        masked: Vec::new(),
        audit: false,
        http_cache: None,
        deprecated: None,
        plan: Plan { pieces, ..Plan::default() },
    }
}

/// A policy that keeps everything for minutes.
pub(crate) fn policy(scope: Scope) -> CachePolicy {
    CachePolicy {
        l1_ttl: Duration::from_mins(10),
        l2_ttl: Duration::from_hours(1),
        negative_ttl: Duration::from_mins(1),
        tags: Vec::new(),
        scope,
    }
}

/// Somebody with the claim `sub`.
pub(crate) fn principal(caller: &str, sub: &str) -> Principal {
    Principal {
        caller: caller.into(),
        roles: RoleMask(1),
        games: Games::All,
        claims: Box::new([("sub".into(), Claim::Str(sub.into()))]),
        expires_at: None,
        credential: Credential::None,
    }
}

/// A key by name, with a hash that is the same in every test.
pub(crate) fn key(name: &str) -> Key {
    let hash =
        name.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(0x100_0193) ^ u64::from(byte));
    KeyRef { hash: hash.wrapping_mul(0x9e37_79b9_7f4a_7c15), bytes: name.as_bytes() }.to_key()
}

/// A key by name, as a cache with this hasher knows it.
pub(crate) fn key_of(hasher: &KeyHasher, name: &str) -> Key {
    KeyRef { hash: hasher.hash(name.as_bytes()), bytes: name.as_bytes() }.to_key()
}

/// A body of these bytes.
pub(crate) fn present(bytes: &[u8]) -> Stored {
    Stored::Present(Body {
        msgpack: Bytes::copy_from_slice(bytes),
        json: std::sync::OnceLock::new(),
        etag: "e".into(),
    })
}

/// The bytes of a body; empty: no such row.
pub(crate) fn bytes_of(stored: &Stored) -> Vec<u8> {
    match stored {
        Stored::Present(body) => body.msgpack.to_vec(),
        Stored::Absent => Vec::new(),
    }
}
