//! What settings of different sections ask of each other.
//!
//! Looked at once every section is read; relations inside one section are in the section's own file.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;

use gateway_protocol::GameId;

use super::fault::nearest;
use super::reading::Reading;
use super::{AuthConfig, Config, GameConfig, LogOutput};

/// Most roles: a principal's roles are bits of one 128-bit mask.
const ROLE_COUNT_MAX: usize = 128;

/// Records a fault for each pair of settings that do not go together.
///
/// - `sections`: the names under which `config.games` are written, one for each, in their order.
pub(super) fn check(config: &Config, sections: &[Box<str>], reading: &Reading<'_>) {
    listeners(config, reading);
    games(config, sections, reading);
    sizes(config, reading);
    drain(config, sections, reading);
    log_files(config, reading);
    roles(&config.auth, reading);
    jwt_keys(&config.auth, reading);
    key_ids(config, reading);
}

fn listeners(config: &Config, reading: &Reading<'_>) {
    let listeners = [
        ("server.tcp.address", config.server.tcp.address),
        ("server.http.address", config.server.http.address),
        ("admin.address", config.admin.address),
    ];
    for (index, (key, address)) in listeners.iter().enumerate() {
        for (other_key, other) in listeners.iter().take(index) {
            if collide(*address, *other) {
                reading.conflict(key, format!("is {address}, which `{other_key}` listens on"));
            }
        }
    }
}

/// Whether two listeners cannot both be bound; port 0 is a free port each time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let hosts = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && hosts
}

fn games(config: &Config, sections: &[Box<str>], reading: &Reading<'_>) {
    let connections: HashSet<&str> = config.database.connections.iter().map(|c| &*c.name).collect();
    let mut ids: HashMap<&GameId, &str> = HashMap::new();
    for (GameConfig { id, database, .. }, section) in config.games.iter().zip(sections) {
        if !database.is_empty() && !connections.contains(&**database) {
            let hint = nearest(database, connections.iter().copied())
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            let reason =
                format!("is \"{database}\", which `database.connections` does not have{hint}");
            reading.conflict(&format!("games.{section}.database"), reason);
        }
        if let Some(first) = ids.insert(id, section) {
            let reason = format!("is \"{id}\", which `games.{first}` has already");
            reading.conflict(&format!("games.{section}.id"), reason);
        }
    }
}

fn sizes(config: &Config, reading: &Reading<'_>) {
    let result = u64::from(config.limits.result_bytes_max);
    if config.cache.l1_bytes_max < result.saturating_mul(2) {
        let reason =
            "is less than twice `limits.result_bytes_max`: a large result would be all it holds";
        reading.conflict("cache.l1_bytes_max", reason);
    }
}

fn drain(config: &Config, sections: &[Box<str>], reading: &Reading<'_>) {
    let longest = config.games.iter().zip(sections).max_by_key(|(game, _)| game.deadline);
    let Some((game, section)) = longest else { return };
    if game.deadline > config.server.drain_timeout {
        let key = "server.drain_timeout";
        let text =
            format!("is shorter than `games.{section}.deadline`: a shutdown may cut requests");
        reading.warn(reading.line_of(key), key, text);
    }
}

fn log_files(config: &Config, reading: &Reading<'_>) {
    let mut seen: HashSet<&Path> = HashSet::new();
    for (index, output) in config.logging.outputs.iter().enumerate() {
        if let LogOutput::File { path, .. } = output
            && !seen.insert(path)
        {
            let key = format!("logging.outputs[{index}].file");
            reading.conflict(&key, "is written to by another output");
        }
    }
    if config.logging.audit_file.as_deref().is_some_and(|path| seen.contains(path)) {
        reading
            .conflict("logging.audit_file", "is a log output too: the audit log has its own file");
    }
}

fn roles(auth: &AuthConfig, reading: &Reading<'_>) {
    if auth.roles.len() > ROLE_COUNT_MAX {
        reading.conflict("auth.roles", format!("has more than {ROLE_COUNT_MAX} roles"));
    }
    let inherits: HashMap<&str, &[Box<str>]> =
        auth.roles.iter().map(|role| (&*role.name, &*role.inherits)).collect();
    for role in &auth.roles {
        let mut reached: HashSet<&str> = HashSet::new();
        let mut open: Vec<&str> = role.inherits.iter().map(|name| &**name).collect();
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                open.extend(inherits.get(name).into_iter().copied().flatten().map(|name| &**name));
            }
        }
        if reached.contains(&*role.name) {
            let key = format!("auth.roles.{}.inherits", role.name);
            reading.conflict(&key, "leads back to the role itself");
        }
    }
}

fn jwt_keys(auth: &AuthConfig, reading: &Reading<'_>) {
    let Some(jwt) = &auth.jwt else { return };
    if jwt.keys.is_empty() && jwt.jwks_file.is_none() {
        reading.conflict("auth.jwt.keys", "is empty: no token could be verified");
    }
    let mut seen = HashSet::new();
    for (index, key) in jwt.keys.iter().enumerate() {
        if seen.insert(key.kid.as_deref()) {
            continue;
        }
        let (path, reason) = match &key.kid {
            Some(kid) => (format!("auth.jwt.keys[{index}].kid"), format!("is \"{kid}\" again")),
            None => (
                format!("auth.jwt.keys[{index}].kid"),
                "is missing on a second key (`auth.jwt_secret` is one without): one key may have none".into(),
            ),
        };
        reading.conflict(&path, reason);
    }
}

fn key_ids(config: &Config, reading: &Reading<'_>) {
    let known: HashSet<&GameId> = config.games.iter().map(|game| &game.id).collect();
    let unknown = |path: String, games: &[GameId]| {
        for game in games.iter().filter(|game| !known.contains(game)) {
            reading
                .conflict(&path, format!("names the game \"{game}\", which `games` does not have"));
        }
    };
    let mut seen = HashSet::new();
    for (index, key) in config.auth.api_keys.iter().enumerate() {
        if !key.id.is_empty() && !seen.insert(&*key.id) {
            reading.conflict(
                &format!("auth.api_keys[{index}].id"),
                format!("is \"{}\" again", key.id),
            );
        }
        unknown(format!("auth.api_keys[{index}].games"), key.games.as_deref().unwrap_or_default());
    }
    let mut seen = HashSet::new();
    for (index, key) in config.auth.game_servers.iter().enumerate() {
        if !key.key_id.is_empty() && !seen.insert(&*key.key_id) {
            let path = format!("auth.game_servers[{index}].key_id");
            reading.conflict(&path, format!("is \"{}\" again", key.key_id));
        }
        unknown(format!("auth.game_servers[{index}].games"), &key.games);
    }
}
