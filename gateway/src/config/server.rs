//! `server`, `admin`: the listeners and what one connection may cost.

use std::net::SocketAddr;
use std::time::Duration;

use super::fault::FaultKind;
use super::reader::{Fallback, Section, live, restart};
use super::unit;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `server.tcp`.
    pub tcp: TcpConfig,
    /// `server.http`.
    pub http: HttpConfig,
    /// `reuse_port`: whether other gateways may listen on the same addresses; default false. Needs a restart.
    pub reuse_port: bool,
    /// `park_after`: how long a connection asks for nothing before it gives its task and its buffer up; default 5 s.
    pub park_after: Duration,
    /// How long a shutdown waits for what is in flight; default 30 s.
    pub drain_timeout: Duration,
}

impl ServerConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            tcp: section.section("tcp", TcpConfig::read),
            http: section.section("http", HttpConfig::read),
            reuse_port: section.flag(restart("reuse_port"), false),
            park_after: section.duration(live("park_after"), 5 * SECOND, SECOND..=60 * MINUTE),
            drain_timeout: section.duration(
                live("drain_timeout"),
                30 * SECOND,
                Duration::ZERO..=10 * MINUTE,
            ),
        }
    }
}

/// `server.tcp`: game servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// `address`: `":8080"` is every interface. Needs a restart.
    pub address: SocketAddr,
    /// `max_connections`, over all threads. Reloads.
    pub connection_count_max: usize,
    /// `frame_bytes_max`: default 1 MiB, 1 KiB to 16 MiB. Reloads, for new connections.
    pub frame_bytes_max: u32,
    /// `inflight_max`: calls of one connection under way; default 1024. Reloads, for new connections.
    pub inflight_max: u32,
    /// `heartbeat`: default 15 s; two of silence close a connection.
    pub heartbeat: Duration,
    /// `hello_timeout`: default 5 s.
    pub hello_timeout: Duration,
    /// `write_timeout`: a client that takes nothing for this long is closed; default 10 s.
    pub write_timeout: Duration,
}

impl TcpConfig {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            address: read_address(section, ":8080"),
            connection_count_max: section.count(
                live("max_connections"),
                Fallback::Default(10_000),
                1..=1_000_000,
            ),
            frame_bytes_max: section.bytes(live("frame_bytes_max"), 1 << 20, 1 << 10..=16 << 20),
            inflight_max: section.count(live("inflight_max"), Fallback::Default(1024), 1..=65_535),
            heartbeat: section.duration(live("heartbeat"), 15 * SECOND, SECOND..=5 * MINUTE),
            hello_timeout: section.duration(live("hello_timeout"), 5 * SECOND, 100 * MS..=MINUTE),
            write_timeout: section.duration(
                live("write_timeout"),
                10 * SECOND,
                100 * MS..=5 * MINUTE,
            ),
        }
    }
}

/// Reads `address`; a stand-in with port 0 takes the place of a faulty one.
fn read_address(section: &mut Section<'_>, default: &'static str) -> SocketAddr {
    let stand_in = SocketAddr::from(([0, 0, 0, 0], 0));
    let default = unit::address(default).map_or(Fallback::Required, Fallback::Default);
    let expected = "an IP address and a port: `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for all";
    section.parsed(restart("address"), default, expected, &unit::address).unwrap_or(stand_in)
}

/// `server.http`: web and admin clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// `address`. Needs a restart.
    pub address: SocketAddr,
    /// `max_connections`, over all threads.
    pub connection_count_max: usize,
    /// `read_timeout`: for a request's header, and again for its body; default 30 s.
    pub read_timeout: Duration,
    /// `write_timeout`: a client that takes nothing for this long is closed; default 30 s.
    pub write_timeout: Duration,
    /// `idle_timeout`: keep-alive; default 60 s.
    pub idle_timeout: Duration,
    /// `body_bytes_max`: default 1 MiB.
    pub body_bytes_max: u32,
    /// `header_bytes_max`: default 16 KiB (8 KiB at least).
    pub header_bytes_max: u32,
    /// `http2_streams_max`: streams of one connection; default 128.
    pub http2_streams_max: u32,
    /// `cors`.
    pub cors: CorsConfig,
}

impl HttpConfig {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            address: read_address(section, ":8081"),
            connection_count_max: section.count(
                live("max_connections"),
                Fallback::Default(10_000),
                1..=1_000_000,
            ),
            read_timeout: section.duration(
                live("read_timeout"),
                30 * SECOND,
                100 * MS..=10 * MINUTE,
            ),
            write_timeout: section.duration(
                live("write_timeout"),
                30 * SECOND,
                100 * MS..=10 * MINUTE,
            ),
            idle_timeout: section.duration(
                live("idle_timeout"),
                60 * SECOND,
                100 * MS..=60 * MINUTE,
            ),
            body_bytes_max: section.bytes(live("body_bytes_max"), 1 << 20, 1 << 10..=64 << 20),
            header_bytes_max: section.bytes(
                live("header_bytes_max"),
                16 << 10,
                8 << 10..=256 << 10,
            ),
            http2_streams_max: section.count(
                live("http2_streams_max"),
                Fallback::Default(128),
                1..=1024,
            ),
            cors: section.section("cors", CorsConfig::read),
        }
    }
}

/// `server.http.cors`: which pages of other origins may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsConfig {
    /// `origins`: exact origins, or `*` alone. Empty (the default): none.
    pub origins: Vec<Box<str>>,
    /// `credentials`: whether cookies and the like may come along; not with `*`.
    pub credentials: bool,
    /// `max_age`: how long a browser keeps the answer to a preflight; default 10 min.
    pub max_age: Duration,
}

impl CorsConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let cors = Self {
            origins: section.texts(
                live("origins"),
                Vec::new(),
                "exact origins such as https://game.example.com, or `*` alone",
                &|text| is_origin(text).then(|| text.into()),
            ),
            credentials: section.flag(live("credentials"), false),
            max_age: section.duration(
                live("max_age"),
                10 * MINUTE,
                Duration::ZERO..=24 * 60 * MINUTE,
            ),
        };
        let any = cors.origins.iter().any(|origin| &**origin == "*");
        if any && cors.origins.len() > 1 {
            let reason = "lists `*` beside other origins: `*` stands alone";
            section.key_fault("origins", FaultKind::Conflict(reason.into()));
        }
        if any && cors.credentials {
            let reason = "cannot be true while `origins` is `*`: list the origins";
            section.key_fault("credentials", FaultKind::Conflict(reason.into()));
        }
        cors
    }
}

/// Whether a text is `*` or scheme, host and port without a path, as browsers send it.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text == "*"
        || host.is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@*".contains(&b))
        })
}

/// `admin`: the operators' port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `address`: default `127.0.0.1:8082`. An address that is not loopback needs `token`. Needs a restart.
    pub address: SocketAddr,
    /// `token`: a bearer token asked for on every admin path but the health checks.
    pub token: Option<super::Secret>,
}

impl AdminConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let admin = Self {
            address: read_address(section, "127.0.0.1:8082"),
            token: section.secret(live("token"), TOKEN_BYTES_MIN),
        };
        if !admin.address.ip().is_loopback() && !section.has("token") {
            let reason = "is not a loopback address: it needs `admin.token`";
            section.key_fault("address", FaultKind::Conflict(reason.into()));
        }
        admin
    }
}

/// Shortest admin token, in bytes.
const TOKEN_BYTES_MIN: usize = 16;
