//! `auth`: keys, issuers, roles. Everything here reloads.

use std::path::PathBuf;
use std::time::Duration;

use gateway_protocol::GameId;

use super::Secret;

/// `auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// `roles.<name>`.
    pub roles: Vec<RoleConfig>,
    /// `jwt`; `None`: no tokens are accepted.
    pub jwt: Option<JwtConfig>,
    /// `api_keys`.
    pub api_keys: Vec<ApiKeyConfig>,
    /// `game_servers`.
    pub game_servers: Vec<GameServerKeyConfig>,
    /// `cursor_secret`: seals page cursors; the same on every instance. `None`: made at random at start,
    /// and cursors do not outlive the process.
    pub cursor_secret: Option<Secret>,
    /// `token_cache`: verified tokens kept on each thread; default 10,000.
    pub token_count_max: u32,
}

/// `auth.roles.<name>: { inherits: [...] }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleConfig {
    /// Its name.
    pub name: Box<str>,
    /// Roles whose permissions it has too.
    pub inherits: Vec<Box<str>>,
}

/// `auth.jwt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// `issuers`: accepted `iss`; empty: not checked.
    pub issuers: Vec<Box<str>>,
    /// `audiences`: accepted `aud`; empty: a token that has one is refused.
    pub audiences: Vec<Box<str>>,
    /// `leeway`: of `exp` and `nbf`; default 30 s, 0 to 300 s.
    pub leeway: Duration,
    /// `claims.roles`: the claim that holds roles, a text or a list; default `roles`. Dots go into maps.
    pub roles_claim: Box<str>,
    /// `claims.games`: the claim that holds games, a text or a list (`*` is not accepted); default `games`.
    pub games_claim: Box<str>,
    /// `default_roles`: of a token without the roles claim; default none.
    pub default_roles: Vec<Box<str>>,
    /// `keys`: several for rotation.
    pub keys: Vec<JwtKeyConfig>,
    /// `jwks_file`: a JSON Web Key Set; its keys are added to `keys`.
    pub jwks_file: Option<PathBuf>,
}

/// `auth.jwt.keys[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtKeyConfig {
    /// `kid`: which key a token names. One key may have none, for tokens that name none.
    pub kid: Option<Box<str>>,
    /// `alg`: `HS256`, `RS256`, `ES256` or `EdDSA`; a token with another is refused.
    pub alg: Box<str>,
    /// `secret` (HS256: at least 32 bytes) or the text of `public_key` (PEM).
    pub key: Secret,
}

/// `auth.api_keys[]`: made by `gateway key new`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyConfig {
    /// `id`: the part of the key before the dot; not secret.
    pub id: Box<str>,
    /// `hash`: `sha256:<salt>:<digest>` in hexadecimal.
    pub hash: Box<str>,
    /// `roles`.
    pub roles: Vec<Box<str>>,
    /// `games`: ids, or `["*"]` for every game.
    pub games: Option<Vec<GameId>>,
    /// `expires`: Unix seconds; from a date or timestamp in the file.
    pub expires_at: Option<u64>,
}

/// `auth.game_servers[]`: shared keys of the TCP hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameServerKeyConfig {
    /// `key_id`.
    pub key_id: Box<str>,
    /// `secret`: at least 32 bytes.
    pub secret: Secret,
    /// `roles`: default `[game_server]`.
    pub roles: Vec<Box<str>>,
    /// `games`.
    pub games: Vec<GameId>,
}
