//! `cache`: memory in process, and Redis.

use std::time::Duration;

use super::Secret;

/// `cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// `l1_bytes_max`: budget of the in-process cache over all games; default 256 MiB. Reloads.
    pub l1_bytes_max: u64,
    /// `l1_blind_ttl`: while Redis' messages are not known to arrive, L1 serves only entries
    /// younger than this; default 1 s.
    pub l1_blind_ttl: Duration,
    /// `tag_slots`: generation counters in process, a power of two; default 65,536. Needs a restart.
    pub tag_slots: u32,
    /// `pending_tags_max`: tags kept for Redis while it is away; default 65,536.
    pub pending_tags_max: u32,
    /// `redis`; `None`: no L2, and no word to other instances.
    pub redis: Option<RedisConfig>,
}

/// `cache.redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// `url`: `redis://host:port/db`, with user and password where there are some (kept secret).
    pub url: Secret,
    /// `namespace`: first part of every key and channel; default `gw`.
    pub namespace: Box<str>,
    /// `connections`: multiplexed connections; default 2.
    pub connection_count: u32,
    /// `timeout`: of one round trip; then the database is asked; default 100 ms.
    pub timeout: Duration,
}
