//! The configuration as a whole: what is accepted, what is refused, and in which words.

use std::collections::HashMap;
use std::time::Duration;

use super::*;

/// An environment with every variable of the sample and one of 31 bytes.
pub(super) fn env() -> Env {
    let long = "0123456789abcdef0123456789abcdef";
    let variables: HashMap<&str, String> = [
        ("GATEWAY_ADMIN_TOKEN", long.to_owned()),
        ("GAME1_DB_PASSWORD", "hunter2".to_owned()),
        ("GAME2_DB_PASSWORD", "hunter3".to_owned()),
        ("REDIS_PASSWORD", "redis-pass".to_owned()),
        ("GATEWAY_JWT_SECRET", long.to_owned()),
        ("GAME1_SERVER_KEY", format!("{long}-1")),
        ("GAME2_SERVER_KEY", format!("{long}-2")),
        ("GATEWAY_CURSOR_SECRET", long.to_owned()),
        ("SHORT", long.trim_start_matches('0').to_owned()),
        ("DB_HOST", "db.internal".to_owned()),
    ]
    .into();
    Env {
        variable: Box::new(move |name| variables.get(name).cloned()),
        read_file: Box::new(|path| match path.to_str() {
            Some("config/secrets/password") => Ok(b"from-a-file\n".to_vec()),
            Some("config/keys/web-1.pem") => {
                Ok(b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n".to_vec())
            }
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }),
        is_folder: Box::new(|path| match path.to_str() {
            Some("config" | "config/keys" | "config/../sql-templates") => Ok(true),
            Some("config/a.db") => Ok(false),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }),
        cpu_count: 6,
    }
}

pub(super) fn parse(text: &str) -> Result<(Config, Vec<Warning>), Vec<ConfigFault>> {
    Config::parse(text, Path::new("config"), &env())
}

#[track_caller]
pub(super) fn check_faults(text: &str, expected: &[&str]) {
    let faults = parse(text).expect_err("the text is refused");
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected);
}

#[track_caller]
pub(super) fn check_good(text: &str) -> Config {
    match parse(text) {
        Ok((config, _)) => config,
        Err(faults) => panic!("refused: {faults:#?}"),
    }
}

/// The least that serves: one SQLite connection and one game.
pub(super) const SMALL: &str = "\
database: {connections: {main: {type: sqlite, path: a.db}}}
games: {game1: {database: main}}
";

#[test]
fn empty_file_has_every_default() {
    let config = check_good("");
    assert_eq!(config.server.tcp.address, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(config.server.http.idle_timeout, Duration::from_mins(1));
    assert_eq!(config.admin.address, "127.0.0.1:8082".parse().unwrap());
    assert_eq!(config.runtime.frontend_threads, 6);
    assert_eq!(config.runtime.backend_threads, 3);
    assert_eq!(config.templates, Path::new("config/../sql-templates"));
    assert_eq!(config.logging.outputs, [LogOutput::Console]);
    assert!(config.games.is_empty() && config.auth.jwt.is_none());
}

/// The sample of the requirements, with the sections of this product's own shape where it differs.
#[test]
fn names_of_the_requirements_sample_work() {
    let text = r#"
server:
  tcp: {address: ":8080", max_connections: 10000}
  http: {address: ":8081", read_timeout: 30s, write_timeout: 30s}
database:
  default: mysql
  connections:
    game1:
      type: mysql
      host: "mysql-host"
      port: 3306
      username: "user"
      password: "pass"
      database: "game1"
      max_open_conns: 500
      max_idle_conns: 100
      conn_max_lifetime: 1h
      conn_max_idle_time: 30m
games:
  game1: {id: "game1", name: "游戏1", database: "game1", enabled: true}
auth:
  jwt_secret: "your-secret-key-of-more-than-32-bytes"
logging:
  level: "info"
  format: "json"
  outputs:
    - file: "/var/log/datamiddleware.log"
    - console: true
"#;
    let (config, warnings) = parse(text).expect("good");
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 13: `database.connections.game1.password` is a secret written in the file: use `${NAME}` or `file:PATH`",
            "line 22: `auth.jwt_secret` is a secret written in the file: use `${NAME}` or `file:PATH`",
        ]
    );
    let game = &config.games[0];
    assert_eq!((&*game.name, game.enabled), ("游戏1", true));
    assert_eq!(config.auth.jwt.unwrap().keys[0].alg.as_ref(), "HS256");
    assert_eq!(config.database.connections[0].idle_count_max, 100);
    let path = PathBuf::from("/var/log/datamiddleware.log");
    let file = LogOutput::File { path, keep_count: 7 };
    assert_eq!(config.logging.outputs, [file, LogOutput::Console]);
}

#[test]
fn every_fault_is_told_at_once_with_line_key_value_and_range() {
    check_faults(
        "\
server:
  tcp:
    hartbeat: 15s
    heartbeat: 5 apples
    max_connections: 0
    frame_bytes_max: 17MiB
  http: [1]
runtime: {pin: yes, io_uring: maybe}
database:
  connections:
    main: {type: sqlite}
games: {game1: {database: mian}}
colour: red
",
        &[
            "line 3: `server.tcp.hartbeat` is not a key here; did you mean `heartbeat`?",
            "line 4: `server.tcp.heartbeat` is \"5 apples\", but has to be 1s to 5m",
            "line 5: `server.tcp.max_connections` is \"0\", but has to be 1 to 1000000",
            "line 6: `server.tcp.frame_bytes_max` is \"17MiB\", but has to be 1KiB to 16MiB",
            "line 7: `server.http` is a list, but has to be a section",
            "line 8: `runtime.io_uring` is \"maybe\", but has to be required | preferred | off",
            "line 8: `runtime.pin` is \"yes\", but has to be true or false",
            "line 11: `database.connections.main.path` is missing: it needs a path",
            "line 12: `games.game1.database` is \"mian\", which `database.connections` does not have",
            "line 13: `colour` is not a key here",
        ],
    );
}

#[test]
fn values_at_their_limits_pass_and_one_more_is_refused() {
    let tcp = |value: &str| format!("server: {{tcp: {{{value}}}}}");
    for good in [
        "heartbeat: 1s",
        "heartbeat: 5m",
        "max_connections: 1",
        "max_connections: 1000000",
        "frame_bytes_max: 1024",
        "frame_bytes_max: 16MiB",
        "inflight_max: 65535",
    ] {
        check_good(&tcp(good));
    }
    for broken in [
        "heartbeat: 999ms",
        "heartbeat: 301s",
        "max_connections: 0",
        "max_connections: 1000001",
        "frame_bytes_max: 1023",
        "frame_bytes_max: 16777217",
        "inflight_max: 65536",
        "max_connections: -1",
        "max_connections: 1_0",
        "max_connections: 1e3",
        "heartbeat: 15",
    ] {
        assert!(parse(&tcp(broken)).is_err(), "{broken}");
    }
}

#[test]
fn secret_is_never_told_or_printed() {
    let text = "\
database: {connections: {main: {type: mysql, host: '${DB_HOST}', username: u, password: '${GAME1_DB_PASSWORD}', database: d}}}
games: {game1: {database: main}}
auth: {jwt_secret: '${SHORT}'}
admin: {token: [a-literal-token]}
cache: {redis: {url: 'http://:${REDIS_PASSWORD}@h'}}
";
    check_faults(
        text,
        &[
            "line 3: `auth.jwt_secret` is a secret of 31 bytes, but needs 32 or more",
            "line 4: `admin.token` has to be a text: `${NAME}` or `file:PATH`",
            "line 5: `cache.redis.url` has to begin with `redis://`",
        ],
    );
    let good = text.lines().take(2).collect::<Vec<_>>().join("\n");
    let config = check_good(&good);
    let Endpoint::Server { host, password, .. } = &config.database.connections[0].endpoint else {
        panic!("a server")
    };
    assert_eq!((&**host, password.expose()), ("db.internal", "hunter2"));
    assert!(config.print().contains("password: \"***\""), "{}", config.print());
    assert!(!config.print().contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
}

/// The endpoint of the one connection that is written so.
fn oracle_endpoint(keys: &str) -> (String, String) {
    let text = SMALL.replace(
        "type: sqlite, path: a.db",
        &format!("type: oracle, username: u, password: '', {keys}"),
    );
    let config = check_good(&text);
    match &config.database.connections[0].endpoint {
        Endpoint::Oracle { connect, time_zone, .. } => (connect.to_string(), time_zone.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn oracle_is_found_by_host_and_service_or_by_what_its_client_knows() {
    let check = |keys, connect: &str, zone: &str| {
        assert_eq!(oracle_endpoint(keys), (connect.to_owned(), zone.to_owned()));
    };
    check("host: db1, database: game1", "//db1:1521/game1", "+00:00");
    check("host: '::1', port: 1600, database: s, tls: 'off'", "//[::1]:1600/s", "+00:00");
    let checked = "tcps://h:1521/s?ssl_server_dn_match=on";
    check("host: h, database: s, tls: verify, time_zone: Asia/Shanghai", checked, "Asia/Shanghai");
    check("connect: GAME1_RAC, time_zone: '+08:00'", "GAME1_RAC", "+08:00");
    check_faults(
        "database: {connections: {a: {type: oracle, connect: X, host: h, time_zone: China, username: u, password: ''}}}\n",
        &[
            "line 1: `database.connections.a.host` is said by `connect` already: write one or the other",
            "line 1: `database.connections.a.time_zone` is \"China\", but has to be +08:00 or a name such as Asia/Shanghai",
        ],
    );
}

#[test]
fn secret_file_is_found_beside_the_configuration_and_its_last_newline_is_not_part_of_it() {
    let text = SMALL.replace(
        "type: sqlite, path: a.db",
        "type: mysql, host: h, username: u, password: 'file:secrets/password', database: d",
    );
    let (config, warnings) = parse(&text).expect("good");
    let Endpoint::Server { password, .. } = &config.database.connections[0].endpoint else {
        panic!("a server")
    };
    assert_eq!((password.expose(), warnings), ("from-a-file", vec![]));
}

#[test]
fn secret_that_cannot_be_had_is_told_by_its_name() {
    check_faults(
        "auth:\n  jwt_secret: ${NOT_SET}\n  cursor_secret: file:none\nadmin: {token: '${X'}\n",
        &[
            "line 2: `auth.jwt_secret` needs the environment variable NOT_SET, which is not set",
            "line 3: `auth.cursor_secret` cannot read config/none: entity not found",
            "line 4: `admin.token` has an incomplete reference: write `${NAME}`, or `$$` for a dollar sign",
        ],
    );
}

#[test]
fn shared_secret_of_32_bytes_passes_and_of_31_is_refused() {
    check_good("auth: {jwt_secret: '${GATEWAY_JWT_SECRET}'}");
    assert!(parse("auth: {jwt_secret: '${SHORT}'}").is_err());
}

#[test]
fn api_key_expires_at_the_moment_written() {
    let key = |expires: &str| {
        format!(
            "{SMALL}auth: {{api_keys: [{{id: shop, hash: 'sha256:{}:{}', games: ['*'], expires: '{expires}'}}]}}",
            "0".repeat(32),
            "a".repeat(64)
        )
    };
    let expires_at = |text: &str| check_good(&key(text)).auth.api_keys[0].expires_at;
    assert_eq!(expires_at("2027-01-31"), Some(1_801_353_600));
    assert_eq!(expires_at("2027-01-31T08:00:00+08:00"), Some(1_801_353_600));
    assert!(parse(&key("tomorrow")).is_err());
    assert_eq!(check_good(&key("2027-01-31")).auth.api_keys[0].games, None);
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    check_faults(
        "auth: {token_expire: 24h}\n",
        &[
            "line 1: `auth.token_expire` is not built in this version: the gateway does not issue tokens yet",
        ],
    );
}

#[test]
fn printed_configuration_is_read_back_as_the_same() {
    let first = check_good(&format!(
        "{SMALL}logging: {{outputs: [{{console: true}}, {{file: \"a\\\"b$$c\"}}], requests: 1/100}}\n\
         server: {{http: {{cors: {{origins: ['https://a', 'https://b']}}}}}}\n"
    ));
    let printed = first.print();
    let second = check_good(&printed);
    assert_eq!(second.print(), printed);
    assert_eq!(Config::diff(&first, &second), Changes::default(), "{printed}");
    assert_eq!((first.logging, first.server), (second.logging, second.server));
}

#[test]
fn reload_of_an_unchanged_file_is_equal_to_what_runs() {
    let text = format!("{SMALL}server: {{tcp: {{address: ':9000'}}}}\nlogging: {{level: warn}}\n");
    let running = check_good(&text);
    assert_eq!(check_good(&text).reloaded_over(&running), running);
}

#[test]
fn diff_tells_what_reloads_and_what_waits_for_a_restart() {
    let old = check_good(SMALL);
    let new = check_good(&format!(
        "{SMALL}server: {{tcp: {{address: ':9000', heartbeat: 20s}}}}\nauth: {{roles: {{gm: {{}}}}}}\n"
    ));
    let changes = Config::diff(&old, &new);
    let paths = |paths: &[Box<str>]| paths.join(" ");
    assert_eq!(paths(&changes.restart), "server.tcp.address");
    assert_eq!(paths(&changes.reloaded), "server.tcp.heartbeat auth.roles.gm.inherits auth.roles");
    assert!(Config::diff(&old, &old).is_empty());
}

/// Every key that needs a restart is changed here, so a field that `reloaded_over` forgets is seen.
#[test]
fn reload_keeps_every_value_that_needs_a_restart() {
    let old = check_good(SMALL);
    let new = check_good(&format!(
        "{SMALL}{}",
        "\
runtime: {io_uring: 'off', frontend_threads: 2, backend_threads: 2, ring_entries: 256, pin: false, node: 7}
server: {tcp: {address: ':1', heartbeat: 20s}, http: {address: ':2'}, reuse_port: true}
admin: {address: '127.0.0.1:3'}
auth: {cursor_secret: '${GATEWAY_CURSOR_SECRET}', token_cache: 9}
cache: {l1_blind_ttl: 9s, tag_slots: 1024, pending_tags_max: 9, redis: {url: 'redis://h'}}
journal: {path: j, segment_bytes: 4MiB, group_bytes_max: 2MiB, bytes_max: 12MiB, records_max: 9, age_max: 1h, keys_max: 9, queue_max: 9}
queue: {url: 'redis://h'}
limits: {backend_queue_max: 9}
logging: {format: text, outputs: [{file: a}], audit_file: b, queue_lines: 200}
"
    ));
    let changed = Config::diff(&old, &new).restart;
    let all: Vec<_> = old
        .settings
        .iter()
        .filter(|setting| setting.effect == Effect::Restart)
        .map(|setting| setting::path_text(&setting.path).into_boxed_str())
        .filter(|key| !changed.contains(key))
        .collect();
    assert!(all.is_empty(), "not changed by this test: {all:?}");

    let running = new.clone().reloaded_over(&old);
    assert_eq!(Config::diff(&old, &running).restart, [] as [Box<str>; 0]);
    assert_eq!(running.server.tcp.heartbeat, Duration::from_secs(20));
    let expected = Config {
        server: ServerConfig {
            tcp: TcpConfig { heartbeat: Duration::from_secs(20), ..old.server.tcp.clone() },
            ..old.server.clone()
        },
        settings: running.settings.clone(),
        ..old.clone()
    };
    assert_eq!(running, expected);
    check_good(&running.print());
}

#[test]
fn file_that_cannot_be_read_is_one_fault_without_a_line() {
    let faults = Config::load(Path::new("none.yaml"), &env()).expect_err("there is none");
    assert_eq!(faults[0].to_string(), "cannot be read: none.yaml: entity not found");
    assert_eq!(faults[0].line, 0);
}
