//! `database`: the connections that games name.

use std::path::PathBuf;
use std::time::Duration;

use super::Dialect;
use super::Secret;

/// `database`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// `connections.<name>`, in the order written. `database.default` is the type of those that name none.
    pub connections: Vec<ConnectionConfig>,
}

/// `database.connections.<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Its name.
    pub name: Box<str>,
    /// `type`: which kind of database.
    pub dialect: Dialect,
    /// Where it is.
    pub endpoint: Endpoint,
    /// `max_open_conns`: default 32, 1 to 500. Reloads: the pool is resized.
    pub open_count_max: u32,
    /// `min_idle_conns`: opened at start and kept; default 1. Reloads.
    pub idle_count_min: u32,
    /// `max_idle_conns`: idle ones above it are closed at release; default `max_open_conns`. Reloads.
    pub idle_count_max: u32,
    /// `conn_max_lifetime`: default 1 h, less up to 10 % at random. Reloads.
    pub lifetime: Duration,
    /// `conn_max_idle_time`: default 30 min. Reloads.
    pub idle_time: Duration,
    /// `connect_timeout`: default 5 s. Reloads.
    pub connect_timeout: Duration,
    /// `acquire_timeout`: how long a request waits for a connection; default 1 s. Reloads.
    pub acquire_timeout: Duration,
    /// `acquire_waiting_max`: requests that may wait at once; default 1024; one more is refused at once (1301).
    pub acquire_waiting_max: u32,
    /// `query_timeout`: database time of one operation unless its template says; default 3 s. Reloads.
    pub query_timeout: Duration,
    /// `statement_cache`: prepared statements kept on each connection; default 64. Reloads, for new connections.
    pub statement_count_max: u32,
    /// `health_interval`: how often an idle connection is pinged; default 10 s. Reloads.
    pub health_interval: Duration,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A server: `host`, `port`, `username`, `password`, `database`.
    Server {
        /// Host name or address.
        host: Box<str>,
        /// Port; default by type.
        port: u16,
        /// User.
        username: Box<str>,
        /// Password.
        password: Secret,
        /// Database (Oracle: service) name.
        database: Box<str>,
        /// `tls`: `off` (default), `required` (encrypted), `verify` (and the name checked).
        tls: Tls,
    },
    /// `path`: an SQLite file.
    File(PathBuf),
}

/// How a connection to a database server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// In the clear.
    Off,
    /// Encrypted, certificate not checked.
    Required,
    /// Encrypted, certificate and name checked.
    Verify,
}
