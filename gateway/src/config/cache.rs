//! `cache`: memory in process, and Redis.

use std::time::Duration;

use super::Secret;
use super::fault::FaultKind;
use super::reader::{Fallback, Form, Section, is_name, live, restart};
use super::setting::Shown;

/// `cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// `l1_bytes_max`: budget of the in-process cache over all games; default 256 MiB. Reloads.
    pub l1_bytes_max: u64,
    /// `l1_blind_ttl`: while Redis' messages are not known to arrive, L1 serves only entries
    /// younger than this; default 1 s. Needs a restart.
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

impl CacheConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let second = Duration::from_secs(1);
        Self {
            l1_bytes_max: section.bytes(live("l1_bytes_max"), 256 << 20, 1 << 20..=1 << 40),
            l1_blind_ttl: section.duration(
                restart("l1_blind_ttl"),
                second,
                Duration::ZERO..=60 * second,
            ),
            tag_slots: section
                .scalar(
                    restart("tag_slots"),
                    Fallback::Default(65_536),
                    &Form {
                        expected: "a power of two from 1024 to 16777216".to_owned(),
                        parse: &|text| {
                            let slots: u32 = text.parse().ok()?;
                            let within = (1 << 10..=1 << 24).contains(&slots);
                            (within && slots.is_power_of_two()).then_some(slots)
                        },
                        show: &|slots| Shown::Plain(slots.to_string().into()),
                    },
                )
                .unwrap_or(1 << 10),
            pending_tags_max: section.count(
                restart("pending_tags_max"),
                Fallback::Default(65_536),
                1..=16_777_216,
            ),
            redis: section.optional_section(restart("redis"), RedisConfig::read),
        }
    }
}

impl RedisConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let url = section.required_secret(restart("url"), 1);
        if let Some(url) = &url {
            // Looked at, never told: the scheme only.
            if url.expose().starts_with("rediss://") {
                let reason = "TLS to Redis (`rediss://`)";
                section.key_fault("url", FaultKind::NotBuilt(reason.into()));
            } else if !url.expose().starts_with("redis://") {
                let reason = "has to begin with `redis://`";
                section.key_fault("url", FaultKind::Secret(reason.into()));
            }
        }
        let expected = "1 to 64 of a-z, 0-9, `_` and `-`, starting with a letter";
        Self {
            url: url.unwrap_or_else(|| Secret::new("")),
            namespace: section
                .parsed(restart("namespace"), Fallback::Default("gw".into()), expected, &|text| {
                    is_name(text).then(|| Box::from(text))
                })
                .unwrap_or_default(),
            connection_count: section.count(restart("connections"), Fallback::Default(2), 1..=64),
            timeout: section.duration(
                restart("timeout"),
                Duration::from_millis(100),
                Duration::from_millis(1)..=Duration::from_secs(10),
            ),
        }
    }
}
