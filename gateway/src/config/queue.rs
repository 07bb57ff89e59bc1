//! `queue`: orders that leave through Redis streams instead of the local journal.

use std::time::Duration;

use super::Secret;
use super::fault::FaultKind;
use super::reader::{Fallback, Section, is_name, restart};

/// Where a game's queued writes go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// To this instance's disk. The default.
    #[default]
    Journal,
    /// To Redis streams that all instances share.
    Stream,
}

/// `queue`. Nothing here reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// `url`: of a Redis with `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction`.
    pub url: Secret,
    /// `namespace`: first part of every key; default `gwq`.
    pub namespace: Box<str>,
    /// `streams`: of each game; default 8. Fixed by a game's first order.
    pub stream_count: u32,
    /// `records_max`: orders that wait in one stream, dead letters included; default 250,000.
    pub records_max: u64,
    /// `lease`: how long a stream's owner may be silent before another instance takes over; default 10 s.
    pub lease: Duration,
    /// `keys_ttl`: how long the key of an applied order is remembered in Redis; default 1 h.
    pub key_life: Duration,
    /// `replicas`: that must have an order before it is acknowledged; default 0.
    pub replica_count: u32,
    /// `timeout`: of one round trip; default 1 s.
    pub timeout: Duration,
    /// `queue_max`: orders between the frontends and Redis; default 16,384.
    pub queue_max: u32,
}

impl QueueConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let url = section.required_secret(restart("url"), 1);
        if url.as_ref().is_some_and(|url| !url.expose().starts_with("redis://")) {
            // Looked at, never told.
            let reason = "has to begin with `redis://`";
            section.key_fault("url", FaultKind::Secret(reason.into()));
        }
        let expected = "1 to 64 of a-z, 0-9, `_` and `-`, starting with a letter";
        let second = Duration::from_secs(1);
        Self {
            url: url.unwrap_or_else(|| Secret::new("")),
            namespace: section
                .parsed(restart("namespace"), Fallback::Default("gwq".into()), expected, &|text| {
                    is_name(text).then(|| Box::from(text))
                })
                .unwrap_or_default(),
            stream_count: section.count(restart("streams"), Fallback::Default(8), 1..=256),
            records_max: section.count(
                restart("records_max"),
                Fallback::Default(250_000),
                1..=1_000_000_000,
            ),
            lease: section.duration(restart("lease"), 10 * second, second..=600 * second),
            key_life: section.duration(
                restart("keys_ttl"),
                3600 * second,
                second..=30 * 24 * 3600 * second,
            ),
            replica_count: section.count(restart("replicas"), Fallback::Default(0), 0..=16),
            timeout: section.duration(
                restart("timeout"),
                second,
                Duration::from_millis(10)..=10 * second,
            ),
            queue_max: section.count(
                restart("queue_max"),
                Fallback::Default(16_384),
                1..=1_048_576,
            ),
        }
    }
}
