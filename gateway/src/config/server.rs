//! `server`, `admin`: the listeners and what one connection may cost.

use std::net::SocketAddr;
use std::time::Duration;

/// `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `server.tcp`.
    pub tcp: TcpConfig,
    /// `server.http`.
    pub http: HttpConfig,
    /// How long a shutdown waits for what is in flight; default 30 s.
    pub drain_timeout: Duration,
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

/// `admin`: the operators' port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `address`: default `127.0.0.1:8082`. An address that is not loopback needs `token`. Needs a restart.
    pub address: SocketAddr,
    /// `token`: a bearer token asked for on every admin path but the health checks.
    pub token: Option<super::Secret>,
}
