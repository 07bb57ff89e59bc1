//! What settings of different sections ask of each other.
//!
//! Looked at once every section is read; relations inside one section are in the section's own file.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;

use gateway_protocol::GameId;

use super::fault::nearest;
use super::reading::Reading;
use super::{AuthConfig, Config, GameConfig, LogOutput, QueueKind};

/// Most roles: a principal's roles are bits of one 128-bit mask.
const ROLE_COUNT_MAX: usize = 128;

/// Records a fault for each pair of settings that do not go together.
///
/// - `sections`: the names under which `config.games` are written, one for each, in their order.
pub(super) fn check(config: &Config, sections: &[Box<str>], reading: &Reading<'_>) {
    listeners(config, reading);
    games(config, sections, reading);
    mirrors(config, sections, reading);
    sizes(config, reading);
    journal(config, reading);
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
    // A connection that was left out for its own faults is not missed a second time.
    let is_written = |name: &str| {
        connections.contains(name) || reading.is_written(&format!("database.connections.{name}"))
    };
    let mut ids: HashMap<&GameId, &str> = HashMap::new();
    for (GameConfig { id, database, queue, .. }, section) in config.games.iter().zip(sections) {
        if !database.is_empty() && !is_written(database) {
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
        if *queue == QueueKind::Stream && config.queue.is_none() {
            let reason = "is `stream`, and there is no section `queue` that says where they are";
            reading.conflict(&format!("games.{section}.queue"), reason);
        }
    }
}

/// A mirror is made like one game's database and nobody else's: rows of another game would be taken for divergences.
fn mirrors(config: &Config, sections: &[Box<str>], reading: &Reading<'_>) {
    let games = || config.games.iter().zip(sections);
    for (game, section) in games() {
        let Some(mirror) = &game.mirror else { continue };
        let key = format!("games.{section}.mirror");
        let is_known = config.database.connection(mirror).is_some()
            || reading.is_written(&format!("database.connections.{mirror}"));
        if !is_known {
            let reason = format!("is \"{mirror}\", which `database.connections` does not have");
            reading.conflict(&key, reason);
        }
        if *mirror == game.database {
            reading.conflict(&key, "is the game's own `database`");
        }
        let uses = |other: &GameConfig, name: &str| {
            *other.database == *name || other.mirror.as_deref() == Some(name)
        };
        for (other, its) in games().filter(|(other, _)| other.id != game.id) {
            if let Some(shared) = [mirror, &game.database].into_iter().find(|one| uses(other, one))
            {
                let reason = format!("cannot be while `games.{its}` is on \"{shared}\", too");
                reading.conflict(&key, reason);
            }
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

/// A group fits into a segment with room to spare, an order of a whole frame into a group, and a journal
/// in which nothing waits is never full.
fn journal(config: &Config, reading: &Reading<'_>) {
    let journal = &config.journal;
    if journal.path.is_none() {
        return;
    }
    let frame = u64::from(config.server.tcp.frame_bytes_max);
    let segment = journal.segment_bytes;
    if segment < frame.saturating_mul(4) {
        let reason = "is less than four times `server.tcp.frame_bytes_max`";
        reading.conflict("journal.segment_bytes", reason);
    }
    if segment < journal.group_bytes_max.saturating_mul(2) {
        let reason = "is less than twice `journal.group_bytes_max`";
        reading.conflict("journal.segment_bytes", reason);
    }
    if journal.group_bytes_max < frame {
        let reason = "is less than `server.tcp.frame_bytes_max`: an order may be that large";
        reading.conflict("journal.group_bytes_max", reason);
    }
    if journal.bytes_max < segment.saturating_mul(3) {
        let reason = "is less than three times `journal.segment_bytes`";
        reading.conflict("journal.bytes_max", reason);
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
    let is_known = |game: &GameId| {
        known.contains(game) || reading.is_written(&format!("games.{}", game.as_str()))
    };
    let unknown = |path: String, games: &[GameId]| {
        for game in games.iter().filter(|game| !is_known(game)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{SMALL, check_faults, check_good, parse};

    #[test]
    fn listeners_on_one_address_are_refused_and_port_zero_never_collides() {
        check_faults(
            "server: {tcp: {address: ':9000'}, http: {address: '127.0.0.1:9000'}}\n",
            &[
                "line 1: `server.http.address` is 127.0.0.1:9000, which `server.tcp.address` listens on",
            ],
        );
        check_good("server: {tcp: {address: '127.0.0.2:9000'}, http: {address: '127.0.0.1:9000'}}");
        check_good("server: {tcp: {address: ':0'}, http: {address: ':0'}}");
    }

    #[test]
    fn journal_whose_sizes_do_not_fit_into_each_other_is_refused() {
        check_faults(
            "journal: {path: j, segment_bytes: 3MiB, group_bytes_max: 2MiB, bytes_max: 8MiB}\n",
            &[
                "line 1: `journal.segment_bytes` is less than four times `server.tcp.frame_bytes_max`",
                "line 1: `journal.segment_bytes` is less than twice `journal.group_bytes_max`",
                "line 1: `journal.bytes_max` is less than three times `journal.segment_bytes`",
            ],
        );
        check_faults(
            "journal: {path: j, group_bytes_max: 512KiB}\n",
            &[
                "line 1: `journal.group_bytes_max` is less than `server.tcp.frame_bytes_max`: an order may be that large",
            ],
        );
        check_good(
            "journal: {path: j, segment_bytes: 4MiB, group_bytes_max: 2MiB, bytes_max: 12MiB}",
        );
        check_good("journal: {group_bytes_max: 4KiB}");
    }

    #[test]
    fn sizes_of_the_journal_are_taken_at_their_limits_and_refused_one_byte_beyond() {
        let small = "server: {tcp: {frame_bytes_max: 64KiB}}\n";
        let journal = |segment: u64, group: u64, whole: u64| {
            format!(
                "journal: {{path: j, segment_bytes: {segment}, group_bytes_max: {group}, bytes_max: {whole}}}\n"
            )
        };
        let (mib, gib) = (1_u64 << 20, 1_u64 << 30);
        let told = |text: &str, expected: &str| check_faults(text, &[expected]);
        check_good(&journal(4 * mib, mib, 12 * mib));
        told(
            &journal(4 * mib - 1, mib, 12 * mib),
            "line 1: `journal.segment_bytes` is less than four times `server.tcp.frame_bytes_max`",
        );
        check_good(&journal(6 * mib, 3 * mib, 18 * mib));
        told(
            &journal(6 * mib - 1, 3 * mib, 18 * mib),
            "line 1: `journal.segment_bytes` is less than twice `journal.group_bytes_max`",
        );
        told(
            &journal(4 * mib, mib, 12 * mib - 1),
            "line 1: `journal.bytes_max` is less than three times `journal.segment_bytes`",
        );
        let of = |segment| format!("{small}{}", journal(segment, 64 << 10, 16 * gib));
        check_good(&of(mib));
        told(
            &of(mib - 1),
            "line 2: `journal.segment_bytes` is \"1048575\", but has to be 1MiB to 4GiB",
        );
        check_good(&of(4 * gib));
        told(
            &of(4 * gib + 1),
            "line 2: `journal.segment_bytes` is \"4294967297\", but has to be 1MiB to 4GiB",
        );
    }

    #[test]
    fn admin_port_off_loopback_needs_a_token() {
        check_faults(
            "admin: {address: ':9999'}\n",
            &["line 1: `admin.address` is not a loopback address: it needs `admin.token`"],
        );
        check_good("admin: {address: ':9999', token: '${GATEWAY_ADMIN_TOKEN}'}");
        check_good("admin: {address: '[::1]:9999'}");
    }

    #[test]
    fn credentials_for_every_origin_are_refused() {
        check_faults(
            "server: {http: {cors: {origins: ['*'], credentials: true}}}\n",
            &[
                "line 1: `server.http.cors.credentials` cannot be true while `origins` is `*`: list the origins",
            ],
        );
        check_good("server: {http: {cors: {origins: ['*']}}}");
        assert!(parse("server: {http: {cors: {origins: ['*', 'https://a']}}}").is_err());
        assert!(parse("server: {http: {cors: {origins: ['https://a/']}}}").is_err());
    }

    #[test]
    fn pool_counts_are_in_order_or_refused() {
        let pool = |keys: &str| {
            format!("database: {{connections: {{main: {{type: sqlite, path: a, {keys}}}}}}}")
        };
        check_good(&pool("max_open_conns: 5, max_idle_conns: 5, min_idle_conns: 5"));
        check_good(&pool("max_idle_conns: 0"));
        check_faults(
            &pool("max_open_conns: 5, max_idle_conns: 6, min_idle_conns: 7"),
            &[
                "line 1: `database.connections.main.max_idle_conns` is 6, more than `max_open_conns` (5)",
                "line 1: `database.connections.main.min_idle_conns` is 7, more than `max_idle_conns` (6)",
            ],
        );
    }

    #[test]
    fn mirror_is_another_connection_that_no_other_game_is_on() {
        let text = |games: &str| {
            format!(
                "database: {{connections: {{a: {{type: sqlite, path: a}}, b: {{type: sqlite, path: b}}}}}}\n\
                 games: {{{games}}}\n"
            )
        };
        check_good(&text("g: {database: a, mirror: b}"));
        check_faults(
            &text("g: {database: a, mirror: a}, h: {database: b, mirror: c}"),
            &[
                "line 2: `games.g.mirror` is the game's own `database`",
                "line 2: `games.h.mirror` is \"c\", which `database.connections` does not have",
            ],
        );
        check_faults(
            &text("g: {database: a, mirror: b}, h: {database: a}"),
            &["line 2: `games.g.mirror` cannot be while `games.h` is on \"a\", too"],
        );
    }

    #[test]
    fn game_ids_are_unique_and_keys_name_existing_games() {
        let text = "\
database: {connections: {main: {type: sqlite, path: a.db}}}
games: {game1: {database: main}, other: {id: game1, database: main}}
auth: {game_servers: [{key_id: k, secret: '${GAME1_SERVER_KEY}', games: [game9]}]}
";
        check_faults(
            text,
            &[
                "line 2: `games.other.id` is \"game1\", which `games.game1` has already",
                "line 3: `auth.game_servers[0].games` names the game \"game9\", which `games` does not have",
            ],
        );
    }

    /// Each text has one mistake, and is told of that one.
    #[test]
    fn connection_or_game_left_out_for_its_own_fault_is_not_missed_a_second_time() {
        check_faults(
            "\
database:
  connections:
    main: {type: mysql, host: a, username: b, database: c, password: '${UNSET}'}
games: {game1: {database: main}}
",
            &[
                "line 3: `database.connections.main.password` needs the environment variable UNSET, which is not set",
            ],
        );
        check_faults(
            "\
database: {connections: {main: {type: sqlight, path: a.db}}}
games: {game1: {database: main}}
",
            &[
                "line 1: `database.connections.main.type` is \"sqlight\", but has to be oracle | mysql | sqlite",
            ],
        );
        check_faults(
            "\
database: {connections: {main: {type: sqlite, path: a.db}}}
games: {game1: {database: main, id: 'Game 1'}}
auth: {game_servers: [{key_id: k, secret: '${GAME1_SERVER_KEY}', games: [game1]}]}
",
            &[
                "line 2: `games.game1.id` is \"Game 1\", but has to be 1 to 64 of a-z, 0-9 and `_`, starting with a letter",
            ],
        );
    }

    #[test]
    fn section_of_a_bad_name_is_read_for_its_faults() {
        check_faults(
            "\
database:
  connections:
    Main:
      type: sqlite
      path: a.db
      colour: red
games: {game1: {database: Main}}
",
            &[
                "line 3: `database.connections.Main` is not a name: 1 to 64 of a-z, 0-9, `_` and `-`, starting with a letter",
                "line 6: `database.connections.Main.colour` is not a key here",
            ],
        );
    }

    #[test]
    fn roles_that_inherit_each_other_are_refused() {
        check_good("auth: {roles: {admin: {inherits: [gm]}, gm: {inherits: [player]}}}");
        check_faults(
            "auth: {roles: {a: {inherits: [b]}, b: {inherits: [a]}, c: {inherits: [a]}}}\n",
            &[
                "line 1: `auth.roles.a.inherits` leads back to the role itself",
                "line 1: `auth.roles.b.inherits` leads back to the role itself",
            ],
        );
    }

    #[test]
    fn jwt_keys_are_told_apart_by_kid_and_fit_their_algorithm() {
        let keys = |items: &str| format!("auth: {{jwt: {{keys: [{items}]}}}}\n");
        let hs = "alg: HS256, secret: '${GATEWAY_JWT_SECRET}'";
        check_good(&keys(&format!("{{{hs}}}, {{kid: a, {hs}}}, {{kid: b, {hs}}}")));
        assert!(parse(&keys(&format!("{{{hs}}}, {{{hs}}}"))).is_err());
        assert!(parse(&keys(&format!("{{kid: a, {hs}}}, {{kid: a, {hs}}}"))).is_err());
        check_good(&keys("{alg: ES256, public_key: 'file:keys/web-1.pem'}"));
        check_faults(
            &keys("{alg: none}, {alg: ES256, kid: k, secret: x}"),
            &[
                "line 1: `auth.jwt.keys[0].alg` is \"none\", but has to be HS256 | RS256 | ES256 | EdDSA",
                "line 1: `auth.jwt.keys[1].secret` belongs to HS256; other algorithms have a `public_key`",
                "line 1: `auth.jwt.keys[1].public_key` is missing: it needs `${NAME}` or `file:PATH`",
            ],
        );
        check_faults(
            "auth: {jwt: {}}\n",
            &["line 1: `auth.jwt.keys` is empty: no token could be verified"],
        );
    }

    #[test]
    fn drain_shorter_than_a_deadline_is_a_warning_and_an_equal_one_is_not() {
        let text = |drain: &str| format!("{SMALL}server: {{drain_timeout: {drain}}}\n");
        let (_, warnings) = parse(&text("4999ms")).expect("it works");
        let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let expected = "line 3: `server.drain_timeout` is shorter than `games.game1.deadline`: \
                        a shutdown may cut requests";
        assert_eq!(told, [expected]);
        assert_eq!(parse(&text("5s")).expect("good").1, []);
    }

    #[test]
    fn outputs_and_audit_log_have_files_of_their_own() {
        check_good("logging: {outputs: [{file: a}, {file: b}], audit_file: c}");
        check_faults(
            "logging: {outputs: [{file: a}, {file: a}], audit_file: a}\n",
            &[
                "line 1: `logging.outputs[1].file` is written to by another output",
                "line 1: `logging.audit_file` is a log output too: the audit log has its own file",
            ],
        );
    }

    #[test]
    fn cache_holds_two_of_the_largest_results_or_is_refused() {
        check_good("cache: {l1_bytes_max: 8MiB}\nlimits: {result_bytes_max: 4MiB}");
        assert!(parse("cache: {l1_bytes_max: 8388607}\nlimits: {result_bytes_max: 4MiB}").is_err());
    }

    #[test]
    fn tag_slots_are_a_power_of_two_between_their_limits() {
        for good in [1024, 1 << 24] {
            check_good(&format!("cache: {{tag_slots: {good}}}"));
        }
        for broken in [512, 1023, 1025, 1 << 25] {
            assert!(parse(&format!("cache: {{tag_slots: {broken}}}")).is_err(), "{broken}");
        }
    }

    #[test]
    fn roles_at_the_bound_pass_and_one_more_is_refused() {
        let roles = |count: usize| {
            let sections: Vec<String> =
                (0..count).map(|number| format!("r{number}: {{}}")).collect();
            format!("auth: {{roles: {{{}}}}}", sections.join(", "))
        };
        check_good(&roles(ROLE_COUNT_MAX));
        assert!(parse(&roles(ROLE_COUNT_MAX + 1)).is_err());
    }
}
