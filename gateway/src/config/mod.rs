//! Configuration: what the operator writes, checked as a whole before anything uses it.
//!
//! A YAML file is read with the place of every node; each section has a file here that turns the
//! written form into the checked one and collects its faults. Nothing of a faulty file is used, and all
//! of its faults are told at once, each with line, key, value and allowed range.
//!
//! Invariant: a value nobody checked does not exist; no module reads a file or the environment later.

mod auth;
mod cache;
mod database;
mod dialect;
mod game;
mod limits;
mod logging;
mod runtime;
mod secret;
mod server;

use std::path::PathBuf;

pub use auth::{
    ApiKeyConfig, AuthConfig, GameServerKeyConfig, JwtConfig, JwtKeyConfig, RoleConfig,
};
pub use cache::{CacheConfig, RedisConfig};
pub use database::{ConnectionConfig, DatabaseConfig, Endpoint, Tls};
pub use dialect::Dialect;
pub use game::GameConfig;
pub use limits::LimitsConfig;
pub use logging::{Level, LogOutput, LoggingConfig, RequestLog};
pub use runtime::{IoUring, RuntimeConfig};
pub use secret::Secret;
pub use server::{AdminConfig, CorsConfig, HttpConfig, ServerConfig, TcpConfig};

/// A checked configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Threads and rings.
    pub runtime: RuntimeConfig,
    /// Listeners.
    pub server: ServerConfig,
    /// The operators' port.
    pub admin: AdminConfig,
    /// Where the templates are; relative paths are relative to the configuration file.
    pub templates: PathBuf,
    /// Databases.
    pub database: DatabaseConfig,
    /// Games, in the order written.
    pub games: Vec<GameConfig>,
    /// Caches.
    pub cache: CacheConfig,
    /// Keys and roles.
    pub auth: AuthConfig,
    /// Bounds that are not a listener's or a pool's own.
    pub limits: LimitsConfig,
    /// Logs.
    pub logging: LoggingConfig,
}
