//! `auth`: keys, issuers, roles. All that decides who may call what reloads.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use gateway_protocol::GameId;

use super::Secret;
use super::fault::FaultKind;
use super::reader::{Fallback, Section, is_name, live, restart};

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
    /// and cursors do not outlive the process. Needs a restart.
    pub cursor_secret: Option<Secret>,
    /// `token_cache`: verified tokens kept on each thread; default 10,000. Needs a restart.
    pub token_count_max: u32,
}

/// Shortest shared secret, in bytes: a key of HMAC-SHA256 should be as long as its digest (RFC 2104, 3).
const SHARED_BYTES_MIN: usize = 32;

impl AuthConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let later = "the gateway does not issue tokens yet";
        section.refuse("token_expire", FaultKind::NotBuilt(later.into()));
        let roles = section.named(live("roles"), |name, section| RoleConfig {
            name: name.into(),
            inherits: names(section, "inherits", Vec::new(), "roles"),
        });
        let shorthand = section.secret(live("jwt_secret"), SHARED_BYTES_MIN);
        let jwt = section.optional_section(live("jwt"), JwtConfig::read);
        Self {
            roles,
            jwt: with_shorthand(jwt, shorthand),
            api_keys: section.items(live("api_keys"), ApiKeyConfig::read),
            game_servers: section.items(live("game_servers"), GameServerKeyConfig::read),
            cursor_secret: section.secret(restart("cursor_secret"), SHARED_BYTES_MIN),
            token_count_max: section.count(
                restart("token_cache"),
                Fallback::Default(10_000),
                0..=1_000_000,
            ),
        }
    }
}

/// `jwt_secret` is one HS256 key without `kid`, beside those of `jwt`.
fn with_shorthand(jwt: Option<JwtConfig>, shorthand: Option<Secret>) -> Option<JwtConfig> {
    let Some(key) = shorthand else { return jwt };
    let mut jwt = jwt.unwrap_or_default();
    jwt.keys.push(JwtKeyConfig { kid: None, alg: "HS256".into(), key });
    Some(jwt)
}

/// A list of names of roles.
fn names(
    section: &mut Section<'_>,
    key: &'static str,
    default: Vec<Box<str>>,
    what: &str,
) -> Vec<Box<str>> {
    let expected = format!("{what}: a-z, 0-9, `_` and `-`, starting with a letter");
    section.texts(live(key), default, &expected, &|text| is_name(text).then(|| text.into()))
}

/// A list of texts that are not empty.
fn words(section: &mut Section<'_>, key: &'static str, expected: &str) -> Vec<Box<str>> {
    section.texts(live(key), Vec::new(), expected, &|text| (!text.is_empty()).then(|| text.into()))
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

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: LEEWAY,
            roles_claim: "roles".into(),
            games_claim: "games".into(),
            default_roles: Vec::new(),
            keys: Vec::new(),
            jwks_file: None,
        }
    }
}

const LEEWAY: Duration = Duration::from_secs(30);

impl JwtConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let claim = "a claim's name, with dots into maps";
        let (roles_claim, games_claim) = section.section("claims", |section| {
            let roles = section.text(live("roles"), Fallback::Default("roles".into()), claim);
            (roles, section.text(live("games"), Fallback::Default("games".into()), claim))
        });
        Self {
            issuers: words(section, "issuers", "accepted `iss`; an empty list does not check it"),
            audiences: words(section, "audiences", "accepted `aud`"),
            leeway: section.duration(
                live("leeway"),
                LEEWAY,
                Duration::ZERO..=Duration::from_mins(5),
            ),
            roles_claim,
            games_claim,
            default_roles: names(section, "default_roles", Vec::new(), "roles"),
            keys: section.items(live("keys"), JwtKeyConfig::read),
            jwks_file: section.path_of(live("jwks_file"), Fallback::Absent),
        }
    }
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

impl JwtKeyConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let algorithms = ["HS256", "RS256", "ES256", "EdDSA"].map(|name| (name, name));
        let some = |text: &str| (!text.is_empty()).then(|| Box::from(text));
        let kid: Option<Box<str>> =
            section.parsed(live("kid"), Fallback::Absent, "the `kid` that tokens name", &some);
        let alg = section.choice(live("alg"), Fallback::Required, &algorithms).unwrap_or_default();
        let key = if alg.is_empty() {
            // Which of the two belongs here is not known.
            section.has("secret");
            section.has("public_key");
            None
        } else if alg == "HS256" {
            let only = "belongs to RS256, ES256 and EdDSA; HS256 has a `secret`";
            section.refuse("public_key", FaultKind::Conflict(only.into()));
            section.required_secret(live("secret"), SHARED_BYTES_MIN)
        } else {
            let only = "belongs to HS256; other algorithms have a `public_key`";
            section.refuse("secret", FaultKind::Conflict(only.into()));
            let key = section.required_secret(live("public_key"), 1);
            if let Some(reason) = key.as_ref().and_then(|key| not_public(key.expose())) {
                section.key_fault("public_key", FaultKind::Secret(reason.into()));
            }
            key
        };
        Self { kid, alg: alg.into(), key: key.unwrap_or_else(|| Secret::new("")) }
    }
}

/// Why a text is not a public key in PEM; `None`: it looks like one.
fn not_public(text: &str) -> Option<&'static str> {
    if text.contains("PRIVATE KEY") {
        Some("is a private key: the gateway needs the public one")
    } else if text.contains("-----BEGIN PUBLIC KEY-----") {
        None
    } else {
        Some("is not PEM: it has no line `-----BEGIN PUBLIC KEY-----`")
    }
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

impl ApiKeyConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let plain = "is a key in the clear: `gateway key new` prints `id` and `hash` to write here";
        section.refuse("key", FaultKind::Secret(plain.into()));
        section.refuse("permissions", FaultKind::Conflict("is called `roles` here".into()));
        let form = "sha256:SALT:DIGEST in hexadecimal, as `gateway key new` prints it";
        let hash = section.parsed(live("hash"), Fallback::Required, form, &|text| {
            is_hash(text).then(|| Box::from(text))
        });
        let id_form = "the part of the key before the dot: 1 to 64 of a-z, A-Z, 0-9, `_` and `-`";
        let id = section.parsed(live("id"), Fallback::Required, id_form, &|text| {
            is_key_id(text).then(|| Box::from(text))
        });
        let roles = names(section, "roles", Vec::new(), "roles");
        let games = section.texts(live("games"), Vec::new(), "games, or `*` alone", &|text| {
            (text == "*" || GameId::new(text).is_ok()).then(|| Box::<str>::from(text))
        });
        let every = games.iter().any(|game| &**game == "*");
        if games.is_empty() || (every && games.len() > 1) {
            let reason = "needs the games of this key, or `*` alone for every game";
            section.key_fault("games", FaultKind::Conflict(reason.into()));
        }
        let only = games.iter().filter_map(|game| GameId::new(game).ok()).collect();
        let expires = section.parsed(
            live("expires"),
            Fallback::Absent,
            "a date (2027-01-31, which ends as it begins in UTC) or an RFC 3339 timestamp",
            &Expiry::parse,
        );
        Self {
            id: id.unwrap_or_default(),
            hash: hash.unwrap_or_default(),
            roles,
            games: (!every).then_some(only),
            expires_at: expires.map(|expiry| expiry.unix_seconds),
        }
    }
}

/// A moment as written, and what it means.
struct Expiry {
    written: Box<str>,
    unix_seconds: u64,
}

impl Expiry {
    fn parse(text: &str) -> Option<Self> {
        let date = time::macros::format_description!("[year]-[month]-[day]");
        let moment = match time::Date::parse(text, date) {
            Ok(date) => date.midnight().assume_utc(),
            Err(_) => {
                time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
                    .ok()?
            }
        };
        let unix_seconds = u64::try_from(moment.unix_timestamp()).ok()?;
        Some(Self { written: text.into(), unix_seconds })
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// `sha256:`, a salt of 16 bytes, `:`, a digest of 32 bytes.
fn is_hash(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = text.strip_prefix("sha256:").and_then(|rest| rest.split_once(':'));
    parts.is_some_and(|(salt, digest)| {
        salt.len() == 32 && digest.len() == 64 && hex(salt) && hex(digest)
    })
}

fn is_key_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
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

impl GameServerKeyConfig {
    fn read(section: &mut Section<'_>) -> Self {
        let id_form = "1 to 64 of a-z, A-Z, 0-9, `_` and `-`";
        let key_id = section.parsed(live("key_id"), Fallback::Required, id_form, &|text| {
            is_key_id(text).then(|| Box::from(text))
        });
        let secret = section.required_secret(live("secret"), SHARED_BYTES_MIN);
        let roles = names(section, "roles", vec!["game_server".into()], "roles");
        let games =
            section.texts(live("games"), Vec::new(), "games", &|text| GameId::new(text).ok());
        if games.is_empty() {
            let reason = "needs the games of this key";
            section.key_fault("games", FaultKind::Conflict(reason.into()));
        }
        Self {
            key_id: key_id.unwrap_or_default(),
            secret: secret.unwrap_or_else(|| Secret::new("")),
            roles,
            games,
        }
    }
}
