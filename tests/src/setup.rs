//! What a test's gateway is started with: configuration, databases, templates.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::credential::{ADMIN_KEY, Algorithm, GAME_SERVER_SECRET, api_key_hash};
use crate::gateway::{Gateway, run, run_with};
use crate::redis::Redis;
use crate::schemas::Schemas;
use crate::server::Server;
use crate::wait::free_address;

/// The games of every test.
const GAMES: [&str; 2] = ["game1", "game2"];

/// Players in every test's databases: 1001 to 1300, thirty on each of ten servers.
const PLAYERS: u32 = 300;

/// The program that runs another one under a filter that refuses `io_uring`.
pub fn no_io_uring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/without_io_uring.py")
}

/// The shipped templates.
pub fn sql_templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql-templates")
}

/// A configuration under construction.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The whole configuration file. JSON is YAML.
    pub config: Value,
    /// Holds the configuration, the SQLite files, logs, and a copy of the templates when one is made.
    pub folder: TempDir,
    schemas: Option<Schemas<'a>>,
    limits: String,
}

impl<'a> Setup<'a> {
    /// Both games on SQLite, no Redis.
    pub fn sqlite() -> Self {
        let setup = Self::without_databases();
        let connection = |game: &str| {
            let path = setup.folder.path().join(format!("{game}.db"));
            json!({ "type": "sqlite", "path": path, "max_open_conns": 4 })
        };
        let connections = json!({ "game1": connection("game1"), "game2": connection("game2") });
        for (game, bytes) in GAMES.iter().zip(seeded_sqlite()) {
            fs::write(setup.folder.path().join(format!("{game}.db")), bytes).expect("a copy");
        }
        setup.set("/database/connections", connections)
    }

    /// Both games on schemas of their own of a server, no Redis.
    pub fn on(server: &'a Server) -> Self {
        let mut setup = Self::without_databases();
        let schemas = Schemas::new(server, &GAMES);
        for game in GAMES {
            setup = setup.set(&format!("/database/connections/{game}"), schemas.connection(game));
        }
        setup.limits = library_line(server);
        if !server.is_filled() {
            setup.write_config();
            let config = setup.config_path().display().to_string();
            if matches!(server, Server::Oracle(_)) {
                let players = PLAYERS.to_string();
                run(&["migrate", "--config", &config, "--seed", &players]).succeeded();
            } else {
                run(&["migrate", "--config", &config]).succeeded();
                for game in GAMES {
                    for scope in ["_base", game] {
                        if let Some(seed) = seed_of(scope, "mysql") {
                            server.query(&schemas.name(game), &seed);
                        }
                    }
                }
            }
        }
        setup.schemas = Some(schemas);
        setup
    }

    /// A second gateway on the databases (and cache) of another one.
    pub fn beside(gateway: &Gateway<'_>) -> Setup<'static> {
        let mut setup = Setup::without_databases();
        for part in ["database", "cache"] {
            setup.config[part] = gateway.config[part].clone();
        }
        // Both give out ids: each under a number of its own.
        setup.config["runtime"]["node"] = json!(1);
        let server = gateway.schemas().map(Schemas::server);
        setup.limits = server.map(library_line).unwrap_or_default();
        setup
    }

    /// The first game alone, with a mirror `mirror` on a schema of another place; both get their tables.
    #[must_use]
    pub fn mirrored_on(mut self, mirror: &Schemas<'_>) -> Self {
        let mut connections = self.config["database"]["connections"].clone();
        if let Some(connections) = connections.as_object_mut() {
            connections.retain(|name, _| name == GAMES[0]);
        }
        connections["mirror"] = mirror.connection(GAMES[0]);
        let mut game = self.config["games"][GAMES[0]].clone();
        game["mirror"] = json!("mirror");
        self.limits.push_str(&library_line(mirror.server()));
        let setup = self
            .set("/database/connections", connections)
            .set("/games", json!({ GAMES[0]: game }))
            .set("/auth/game_servers/0/games", json!([GAMES[0]]));
        setup.write_config();
        let library = mirror.server().library_folder();
        let config = setup.config_path().display().to_string();
        run_with(library, &["migrate", "--config", &config]).succeeded();
        setup
    }

    fn without_databases() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let audit = folder.path().join("audit.log");
        let config = json!({
            "runtime": { "frontend_threads": 2, "backend_threads": 1, "pin": false },
            "server": {
                "tcp": { "address": free_address().to_string() },
                "http": { "address": free_address().to_string() },
            },
            "admin": { "address": free_address().to_string() },
            "templates": sql_templates(),
            "database": { "connections": {} },
            "games": {
                "game1": { "name": "Game 1", "database": "game1" },
                "game2": { "name": "Game 2", "database": "game2" },
            },
            "cache": {},
            "journal": { "path": "journal", "segment_bytes": "8MiB" },
            "auth": auth(),
            "limits": {},
            "logging": {
                "level": "info", "requests": "all", "audit_file": audit,
                "outputs": [{ "console": true }],
            },
        });
        Self { config, folder, schemas: None, limits: String::new() }
    }

    /// The schemas that it is to work on, when they are on a server.
    pub const fn schemas(&self) -> Option<&Schemas<'a>> {
        self.schemas.as_ref()
    }

    /// With a Redis, in a namespace of its own.
    #[must_use]
    pub fn redis(self, server: &Redis) -> Self {
        // Temporary folders have names that differ; a namespace takes letters and digits only.
        let own: String = self.folder.path().display().to_string();
        let own: String = own.chars().filter(char::is_ascii_alphanumeric).collect();
        let namespace = format!("e2e{}", own.to_ascii_lowercase());
        self.set("/cache/redis", json!({ "url": server.url(), "namespace": namespace }))
    }

    /// With another value at a JSON pointer; the maps on the way are made.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        *at(&mut self.config, pointer) = value;
        self
    }

    /// With a copy of the templates that the test may change: now, and while the gateway runs.
    #[must_use]
    pub fn own_templates(self) -> Self {
        let copy = self.folder.path().join("templates");
        copy_folder(&sql_templates(), &copy);
        self.set("/templates", json!(copy))
    }

    /// With another file in the copy of the templates.
    #[must_use]
    pub fn template(self, path: &str, text: &str) -> Self {
        write_file(&self.folder.path().join("templates").join(path), text);
        self
    }

    /// Where the configuration file is.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    /// Writes the configuration file.
    pub fn write_config(&self) {
        let text = serde_json::to_string_pretty(&self.config).expect("JSON");
        fs::write(self.config_path(), text).expect("written");
    }

    /// With a limit of the gateway's files, in bytes: beyond it a write fails as on a full disk.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        // In blocks of 512 bytes; without the trap the signal would end the process.
        let limit = format!("trap '' XFSZ; ulimit -f {};", bytes / 512);
        self.limits.push_str(&limit);
        self
    }

    /// With limits of the gateway's open files.
    #[must_use]
    pub fn open_files(mut self, soft: u64, hard: u64) -> Self {
        let limit = format!("ulimit -S -n {soft}; ulimit -H -n {hard};");
        self.limits.push_str(&limit);
        self
    }

    /// Under a filter that refuses `io_uring`, as that of most containers does. Needs Python.
    #[must_use]
    pub fn without_io_uring(mut self) -> Self {
        let limit = format!("set -- python3 '{}' \"$@\";", no_io_uring().display());
        self.limits.push_str(&limit);
        self
    }

    /// Starts the gateway and returns when it is ready.
    pub fn start(self) -> Gateway<'a> {
        self.write_config();
        Gateway::start(self.config, self.folder, self.schemas, self.limits)
    }
}

/// The place of a JSON pointer, made where it is not there.
pub(crate) fn at<'v>(value: &'v mut Value, pointer: &str) -> &'v mut Value {
    pointer.split('/').skip(1).fold(value, |value, key| match value {
        Value::Array(items) => &mut items[key.parse::<usize>().expect("an index")],
        _ => &mut value[key],
    })
}

/// Writes a file and the folders above it.
pub(crate) fn write_file(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
    fs::write(path, text).expect("written");
}

fn auth() -> Value {
    let keys: Vec<Value> = Algorithm::ALL.into_iter().map(Algorithm::configured).collect();
    json!({
        "roles": { "game_server": {}, "player": {}, "gm": {}, "admin": { "inherits": ["gm"] } },
        "jwt": { "issuers": ["tests"], "audiences": ["gateway"], "leeway": "0s", "keys": keys },
        "api_keys": [
            { "id": "tests-admin", "hash": api_key_hash(ADMIN_KEY), "roles": ["admin"], "games": ["*"] },
        ],
        "game_servers": [{ "key_id": "gs1", "secret": GAME_SERVER_SECRET, "games": ["game1", "game2"] }],
        "cursor_secret": "a-cursor-secret-of-the-tests-of-48-bytes-or-more",
    })
}

fn seed_of(scope: &str, dialect: &str) -> Option<String> {
    let path = sql_templates().join(scope).join("schema").join(dialect).join("seed.sql");
    Some(fs::read_to_string(path).ok()?.replace(":players", &PLAYERS.to_string()))
}

/// What the shell does so that a gateway finds the client library of a server, where that needs one.
fn library_line(server: &Server) -> String {
    let folder = server.library_folder();
    folder.map_or_else(String::new, |folder| {
        format!("export LD_LIBRARY_PATH='{}'; ", folder.display())
    })
}

/// Makes a database for each game, migrated and filled by the gateway, that those of tests are copied from.
pub(crate) fn fill(server: &Server) {
    let Server::StandIn(stand_in) = server else { return };
    let mut setup = Setup::without_databases();
    for game in GAMES {
        stand_in.create_empty(game);
        setup =
            setup.set(&format!("/database/connections/{game}"), stand_in.connection(game, game));
    }
    setup.write_config();
    let config = setup.config_path().display().to_string();
    let players = PLAYERS.to_string();
    let arguments = ["migrate", "--config", &config, "--seed", &players];
    run_with(server.library_folder(), &arguments).succeeded();
}

/// The files of both games, migrated by the gateway and filled, once for all tests of the program.
fn seeded_sqlite() -> &'static [Vec<u8>; 2] {
    static FILES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    FILES.get_or_init(|| {
        let setup = Setup::without_databases();
        let path = |game: &str| setup.folder.path().join(format!("{game}.db"));
        let connection = |game: &str| json!({ "type": "sqlite", "path": path(game) });
        let connections = json!({ "game1": connection("game1"), "game2": connection("game2") });
        let config = Setup {
            config: setup.config.clone(),
            folder: TempDir::new().expect("a temporary folder"),
            schemas: None,
            limits: String::new(),
        }
        .set("/database/connections", connections);
        config.write_config();
        run(&["migrate", "--config", &config.config_path().display().to_string()]).succeeded();
        GAMES.map(|game| {
            for scope in ["_base", game] {
                if let Some(seed) = seed_of(scope, "sqlite") {
                    sqlite_script(&path(game), &seed);
                }
            }
            fs::read(path(game)).expect("the file")
        })
    })
}

/// Runs SQL on a SQLite file, with Python's SQLite: a second implementation of the file's reader, and one
/// that the Python client's tests need anyway. At the end everything is in the file itself, not in its log.
pub(crate) fn sqlite_script(file: &Path, sql: &str) {
    const PROGRAM: &str = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1], timeout=30)\n\
        db.executescript(sys.stdin.read())\n\
        db.commit()\n\
        db.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n\
        db.close()\n";
    let mut python = Command::new("python3")
        .args(["-c", PROGRAM])
        .arg(file)
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut stdin = python.stdin.take().expect("piped");
    stdin.write_all(sql.as_bytes()).expect("read");
    drop(stdin);
    assert!(python.wait().expect("ends").success(), "{}: {sql}", file.display());
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
