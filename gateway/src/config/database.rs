//! `database`: the connections that games name.

use std::path::PathBuf;
use std::time::Duration;

use super::Dialect;
use super::Secret;
use super::Zone;
use super::fault::FaultKind;
use super::reader::{Fallback, Section, live};

/// `database`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// `connections.<name>`, in the order written. `database.default` is the type of those that name none.
    pub connections: Vec<ConnectionConfig>,
}

impl DatabaseConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = section.choice(live("default"), Fallback::Absent, &DIALECTS);
        let connections = section.named(live("connections"), |name, section| {
            ConnectionConfig::read(name, default, section)
        });
        Self { connections: connections.into_iter().flatten().collect() }
    }

    /// The connection of this name.
    pub fn connection(&self, name: &str) -> Option<&ConnectionConfig> {
        self.connections.iter().find(|connection| *connection.name == *name)
    }
}

const DIALECTS: [(&str, Dialect); 3] =
    [("oracle", Dialect::Oracle), ("mysql", Dialect::Mysql), ("sqlite", Dialect::Sqlite)];

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
    /// When a line does not end. Reloads.
    pub standing: Standing,
    /// `query_timeout`: database time of one operation unless its template says; default 3 s. Reloads.
    pub query_timeout: Duration,
    /// `statement_cache`: prepared statements kept on each connection; default 64. Reloads, for new connections.
    pub statement_count_max: u32,
    /// `health_interval`: how often an idle connection is pinged; default 10 s. Reloads.
    pub health_interval: Duration,
    /// `frontend_reads`: whether frontend threads read this database themselves; default true. Of MySQL only. Reloads.
    pub frontend_reads: bool,
    /// `apply_batches_max`: batches of queued orders of a game that are written at once; default 4, at most half
    /// of `max_open_conns`. Reloads.
    pub apply_batch_count_max: u32,
}

/// When a pool's line is one that does not end, and how long one waits in such a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `acquire_standing_timeout`: how long a request waits in it for a connection; default 5 ms.
    pub timeout: Duration,
    /// `acquire_standing_after`: how long those at its head must have waited longer than that; default 2 s.
    pub after: Duration,
}

impl Standing {
    fn read(section: &mut Section<'_>) -> Self {
        let limits = MS..=MINUTE;
        Self {
            timeout: section.duration(live("acquire_standing_timeout"), 5 * MS, limits),
            after: section.duration(live("acquire_standing_after"), 2 * SECOND, 10 * MS..=MINUTE),
        }
    }
}

/// The keys of [`Endpoint`], whichever kind of database it is.
const ENDPOINT_KEYS: [&str; 9] =
    ["host", "port", "username", "password", "database", "tls", "path", "connect", "time_zone"];
/// Of these, what `connect` of an Oracle says already.
const PLACE_KEYS: [&str; 4] = ["host", "port", "database", "tls"];

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

impl ConnectionConfig {
    /// Most connections that frontend threads have together: half of `max_open_conns`, and of `max_idle_conns`, because they keep
    /// theirs.
    pub fn direct_count_max(&self) -> usize {
        let most = self.open_count_max.min(self.idle_count_max) / 2;
        if self.frontend_reads { most as usize } else { 0 }
    }

    /// Reads `database.connections.<name>`; `None` when its place is not known, which is a fault already.
    fn read(name: &str, default: Option<Dialect>, section: &mut Section<'_>) -> Option<Self> {
        let default =
            default.map_or(Fallback::Required, |it| Fallback::Derived(it, "`database.default`"));
        let dialect = section.choice(live("type"), default, &DIALECTS);
        if let Some(reason) = dialect.and_then(not_built) {
            section.key_fault("type", FaultKind::NotBuilt(reason.into()));
        }
        if dialect.is_none() {
            section.pass_over(&ENDPOINT_KEYS);
        }
        let endpoint = dialect.and_then(|dialect| Endpoint::read(dialect, section));
        let open_count_max = section.count(live("max_open_conns"), Fallback::Default(32), 1..=500);
        let default = Fallback::Derived(open_count_max, "as `max_open_conns`");
        let idle_count_max = section.count(live("max_idle_conns"), default, 0..=500);
        let default = Fallback::Derived(idle_count_max.min(1), "1, or 0 as `max_idle_conns`");
        let idle_count_min = section.count(live("min_idle_conns"), default, 0..=500);
        check_counts(section, [idle_count_min, idle_count_max, open_count_max]);
        Some(Self {
            name: name.into(),
            open_count_max,
            idle_count_min,
            idle_count_max,
            lifetime: section.duration(live("conn_max_lifetime"), HOUR, SECOND..=168 * HOUR),
            idle_time: section.duration(
                live("conn_max_idle_time"),
                30 * MINUTE,
                SECOND..=24 * HOUR,
            ),
            connect_timeout: section.duration(
                live("connect_timeout"),
                5 * SECOND,
                10 * MS..=MINUTE,
            ),
            acquire_timeout: section.duration(live("acquire_timeout"), SECOND, MS..=MINUTE),
            acquire_waiting_max: section.count(
                live("acquire_waiting_max"),
                Fallback::Default(1024),
                0..=65_536,
            ),
            standing: Standing::read(section),
            query_timeout: section.duration(
                live("query_timeout"),
                3 * SECOND,
                10 * MS..=10 * MINUTE,
            ),
            statement_count_max: section.count(
                live("statement_cache"),
                Fallback::Default(64),
                1..=1024,
            ),
            health_interval: section.duration(
                live("health_interval"),
                10 * SECOND,
                100 * MS..=HOUR,
            ),
            frontend_reads: section.flag(live("frontend_reads"), true),
            apply_batch_count_max: section.count(
                live("apply_batches_max"),
                Fallback::Default(4),
                1..=64,
            ),
            dialect: dialect?,
            endpoint: endpoint?,
        })
    }
}

/// Why this binary cannot speak a dialect; `None`: it can.
const fn not_built(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Oracle if !cfg!(feature = "oracle") => {
            Some("compiled without the feature `oracle`")
        }
        Dialect::Mysql if !cfg!(feature = "mysql") => Some("compiled without the feature `mysql`"),
        Dialect::Sqlite if !cfg!(feature = "sqlite") => {
            Some("compiled without the feature `sqlite`")
        }
        Dialect::Oracle | Dialect::Mysql | Dialect::Sqlite => None,
    }
}

/// `min_idle_conns <= max_idle_conns <= max_open_conns`.
fn check_counts(section: &mut Section<'_>, [idle_min, idle_max, open_max]: [u32; 3]) {
    if idle_max > open_max {
        let reason = format!("is {idle_max}, more than `max_open_conns` ({open_max})");
        section.key_fault("max_idle_conns", FaultKind::Conflict(reason.into()));
    }
    if idle_min > idle_max {
        let reason = format!("is {idle_min}, more than `max_idle_conns` ({idle_max})");
        section.key_fault("min_idle_conns", FaultKind::Conflict(reason.into()));
    }
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
    /// An Oracle: `connect`, or `host`, `port` and `database`; `username`, `password`, `time_zone`.
    Oracle {
        /// What the client library is told: `//host:port/service`, or a name that it knows.
        connect: Box<str>,
        /// User.
        username: Box<str>,
        /// Password.
        password: Secret,
        /// Zone of the moments in columns without one, and of the session.
        time_zone: Zone,
    },
    /// `path`: an SQLite file.
    File(PathBuf),
}

impl Endpoint {
    fn read(dialect: Dialect, section: &mut Section<'_>) -> Option<Self> {
        match dialect {
            Dialect::Sqlite => Self::read_file(section),
            Dialect::Oracle => Self::read_oracle(section),
            Dialect::Mysql => {
                let Place { host, port, database, tls } = Place::read(section, 3306);
                let (username, password) = read_login(section);
                Some(Self::Server {
                    host,
                    port,
                    username,
                    password: password?,
                    database,
                    tls: tls?,
                })
            }
        }
    }

    fn read_oracle(section: &mut Section<'_>) -> Option<Self> {
        let expected =
            "what Oracle's client connects to: //host:port/service, or a name of its tnsnames.ora";
        let written = section.has("connect");
        let connect = section.text(live("connect"), Fallback::Absent, expected);
        let place = if written {
            for key in PLACE_KEYS {
                let reason = "is said by `connect` already: write one or the other";
                section.refuse(key, FaultKind::Conflict(reason.into()));
            }
            section.pass_over(&PLACE_KEYS);
            None
        } else {
            Some(Place::read(section, 1521))
        };
        let (username, password) = read_login(section);
        let time_zone = section.parsed(
            live("time_zone"),
            Fallback::Default(Zone::default()),
            "+08:00 or a name such as Asia/Shanghai",
            &Zone::parse,
        );
        let connect = place.map_or(Some(connect), Place::connect)?;
        Some(Self::Oracle { connect, username, password: password?, time_zone: time_zone? })
    }

    fn read_file(section: &mut Section<'_>) -> Option<Self> {
        let path = section.path_of(live("path"), Fallback::Required)?;
        if path.ends_with(":memory:") {
            let reason = "has to be a file: every connection would have a memory of its own";
            section.key_fault("path", FaultKind::Conflict(reason.into()));
        }
        Some(Self::File(path))
    }
}

/// Where a server is.
struct Place {
    host: Box<str>,
    port: u16,
    database: Box<str>,
    tls: Option<Tls>,
}

impl Place {
    fn read(section: &mut Section<'_>, default_port: u16) -> Self {
        let ports = "3306 for mysql, 1521 for oracle";
        let words = [("off", Tls::Off), ("required", Tls::Required), ("verify", Tls::Verify)];
        let host = section.text(live("host"), Fallback::Required, "a host name or address");
        let port = section.count(live("port"), Fallback::Derived(default_port, ports), 1..=65_535);
        let database = section.text(
            live("database"),
            Fallback::Required,
            "a database name (for oracle: the service)",
        );
        let tls = section.choice(live("tls"), Fallback::Default(Tls::Off), &words);
        Self { host, port, database, tls }
    }

    /// The same in the words of Oracle's client, which is told so whether it checks the server's name.
    fn connect(self) -> Option<Box<str>> {
        let Self { host, port, database, tls } = self;
        let host = if host.contains(':') { format!("[{host}]").into() } else { host };
        Some(match tls? {
            Tls::Off => format!("//{host}:{port}/{database}").into(),
            Tls::Required => {
                format!("tcps://{host}:{port}/{database}?ssl_server_dn_match=off").into()
            }
            Tls::Verify => format!("tcps://{host}:{port}/{database}?ssl_server_dn_match=on").into(),
        })
    }
}

fn read_login(section: &mut Section<'_>) -> (Box<str>, Option<Secret>) {
    let username = section.text(live("username"), Fallback::Required, "a user name");
    (username, section.required_secret(live("password"), 0))
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
