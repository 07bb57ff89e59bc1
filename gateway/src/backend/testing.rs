//! What the tests of the backend share: templates, SQLite files, and a private MariaDB server.
//!
//! The server is started once a test binary and belongs to a shell that ends it when the binary is gone,
//! however it went. `GATEWAY_TEST_MYSQL=host:port:user:password` names another one; tests that stop the
//! server are skipped then.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use gateway_protocol::{GameId, OpId};
use tokio::runtime::Handle;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::connection::Connection;
use super::pool::{EventSink, Lease, Pool, Prospect};
use super::pools::Pools;
use crate::catalog::{Dialect, Direction, KeysetColumn, Kind, Plan, Template};
use crate::config::{ConnectionConfig, DatabaseConfig, Endpoint, Secret, Standing, Tls};
use crate::observe::Event;

/// A template that says nothing but its kind.
pub(super) fn template(dialect: Dialect, kind: Kind) -> Template {
    Template {
        game: GameId::new("game1").expect("a name"),
        op: OpId::new("test.run").expect("a name"),
        dialect,
        version: 7,
        desc: "".into(),
        kind,
        not_found: None,
        slots: Vec::new(),
        columns: Vec::new(),
        outputs: Vec::new(),
        procedure: None,
        version_column: None,
        allow: Vec::new(),
        http: None,
        cache: None,
        invalidate: Vec::new(),
        page: None,
        orders: Vec::new(),
        requires: Vec::new(),
        on_duplicate: None,
        write: crate::catalog::WriteContract::default(),
        contract: 0,
        includes: Vec::new(),
        timeout: None,
        row_count_max: if matches!(kind, Kind::One | Kind::Optional) { 1 } else { 1000 },
        masked: Vec::new(),
        audit: false,
        http_cache: None,
        deprecated: None,
        plan: Plan::default(),
    }
}

/// An ascending order of the first `count` columns.
pub(super) fn keyset(count: usize) -> Vec<KeysetColumn> {
    (0..count)
        .map(|column| KeysetColumn {
            sql: format!("c{column}").into(),
            column,
            direction: Direction::Asc,
        })
        .collect()
}

/// A configuration with small numbers.
pub(super) fn config(dialect: Dialect, endpoint: Endpoint) -> ConnectionConfig {
    ConnectionConfig {
        name: "main".into(),
        dialect,
        endpoint,
        apply_batch_count_max: 4,
        frontend_reads: true,
        open_count_max: 4,
        idle_count_min: 0,
        idle_count_max: 4,
        lifetime: Duration::from_hours(1),
        idle_time: Duration::from_mins(30),
        connect_timeout: Duration::from_secs(5),
        acquire_timeout: Duration::from_secs(5),
        acquire_waiting_max: 16,
        standing: Standing { timeout: Duration::from_millis(5), after: Duration::from_millis(500) },
        query_timeout: Duration::from_secs(10),
        statement_count_max: 16,
        health_interval: Duration::from_secs(10),
    }
}

/// A configuration of an SQLite file in that folder.
pub(crate) fn sqlite_config(folder: &Path) -> ConnectionConfig {
    config(Dialect::Sqlite, Endpoint::File(folder.join("test.db")))
}

/// A pool that tells nobody.
pub(super) fn pool(config: ConnectionConfig) -> Pool {
    Pool::new(config, Handle::current(), Arc::new(|_| {}))
}

/// The pool `db` of one connection, which is taken, and of a line of one, which is there: it is full.
pub(crate) struct Crowd {
    /// The pool, among the pools.
    pub(crate) pools: Arc<Pools>,
    pool: Pool,
    lease: Option<Lease>,
    runtime: tokio::runtime::Runtime,
}

impl Crowd {
    /// - `folder`: of its SQLite file.
    pub(crate) fn new(folder: &Path) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let config = ConnectionConfig {
            name: "db".into(),
            open_count_max: 1,
            acquire_waiting_max: 1,
            acquire_timeout: Duration::from_mins(1),
            ..sqlite_config(folder)
        };
        let config = DatabaseConfig { connections: vec![config] };
        let pools = Pools::open(&config, runtime.handle().clone(), Arc::new(|_| {}));
        let pool = pools.named("db").expect("it is named");
        let lease = runtime.block_on(pool.acquire(far())).expect("one");
        let waits = pool.clone();
        runtime.spawn(async move { drop(waits.acquire(far()).await) });
        runtime.block_on(until(|| pool.prospect() == Prospect::Full));
        Self { pools: Arc::new(pools), pool, lease: Some(lease), runtime }
    }

    /// Everybody leaves, and nobody comes.
    pub(crate) fn leave(&mut self) {
        let lease = self.lease.take();
        self.runtime.block_on(async { drop(lease) });
        self.runtime.block_on(until(|| self.pool.prospect() == Prospect::Burst));
    }
}

/// A moment far enough away that no test meets it.
pub(super) fn far() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// Waits until something holds. Bounded, so that what never holds fails the test.
#[track_caller]
pub(super) fn until(holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let limit = far();
        while !holds() {
            assert!(Instant::now() < limit, "{place}: this never came to hold");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A sink that keeps what it hears: `up`, `down`.
pub(super) fn heard() -> (EventSink, Arc<Mutex<Vec<&'static str>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let sink: EventSink = Arc::new(move |event| {
        kept.lock().expect("no panic").push(match event {
            Event::DatabaseDown { .. } => "down",
            Event::DatabaseUp { .. } => "up",
            _ => "another",
        });
    });
    (sink, heard)
}

/// The MariaDB of this test binary.
pub(super) struct Server {
    endpoint: Endpoint,
    shell: Option<Mutex<Shell>>,
    /// Tests that stop the server hold it alone.
    turn: RwLock<()>,
}

/// The shell that the server belongs to.
struct Shell {
    /// Ends by itself when its input does, which is when the test binary ends.
    _process: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

/// Runs the server in folder $1 on port $2, and does what it reads. At the end of its input, which is the
/// end of the tests, it ends the server and removes the folder.
const SHELL: &str = r#"
# A server that starts removes the temporary tables that it finds, of whichever server: it gets its own folder.
export TMPDIR="$1"
start() {
    mariadbd --no-defaults --user="$(id -un)" --datadir="$1/data" --socket="$1/socket" \
        --bind-address=127.0.0.1 --port="$2" --init-file="$1/init.sql" --skip-name-resolve \
        --innodb-buffer-pool-size=16M --innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=0 \
        --max-connections=100 --performance-schema=off 2>&1 &
    server=$!
}
mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$1/data" --skip-test-db \
    --auth-root-authentication-method=normal >/dev/null 2>&1 || { echo 'answer failed'; exit 1; }
start "$1" "$2"
while read -r order; do
    case $order in
        pause) kill -STOP $server ;;
        resume) kill -CONT $server ;;
        kill) kill -KILL $server; wait $server 2>/dev/null ;;
        start) start "$1" "$2"; continue ;;
    esac
    echo "answer $order"
done
kill -KILL $server
wait $server 2>/dev/null
rm -rf "$1"
"#;

const SETUP: &str = "CREATE USER IF NOT EXISTS 'gateway'@'%' IDENTIFIED BY 'secret'; \
                     GRANT ALL ON *.* TO 'gateway'@'%' WITH GRANT OPTION; \
                     CREATE USER IF NOT EXISTS 'plain'@'%' IDENTIFIED BY 'secret'; \
                     GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER \
                     ON *.* TO 'plain'@'%';\n";

impl Server {
    /// The server; `None`, with a word on it, where there is none. On a build machine that is a failure.
    pub(super) fn get() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        let server = SERVER.get_or_init(|| Self::external().or_else(Self::start));
        if server.is_none() {
            assert!(std::env::var_os("CI").is_none(), "CI needs mariadbd");
            println!("SKIPPED: mariadbd is not installed (apt-get install mariadb-server)");
        }
        server.as_ref()
    }

    /// Uses the server together with other tests.
    pub(super) async fn share(&self) -> RwLockReadGuard<'_, ()> {
        self.turn.read().await
    }

    /// Uses the server alone, to stop it; `None` when it is not ours.
    pub(super) async fn own(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        if self.shell.is_none() {
            println!("SKIPPED: the server is not ours to stop");
            return None;
        }
        Some(self.turn.write().await)
    }

    /// Does something to the server, and returns when it is done: `pause`, `resume`, `kill`, `start`.
    pub(super) fn order(&self, order: &str) {
        let mut shell = self.shell.as_ref().expect("ours").lock().expect("no panic");
        writeln!(shell.orders, "{order}").expect("the shell lives");
        let answer = shell.answers.recv().expect("the shell lives");
        assert_eq!(answer, if order == "start" { "ready" } else { order });
    }

    /// An empty database of that name.
    pub(super) async fn database(&self, name: &str) -> ConnectionConfig {
        let mut endpoint = self.endpoint.clone();
        let mut connection = Connection::open(&config(Dialect::Mysql, endpoint.clone()))
            .await
            .expect("the server answers");
        for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            connection.run_text(&sql).await.expect("may do that");
        }
        connection.close(Duration::from_secs(1)).await;
        if let Endpoint::Server { database, .. } = &mut endpoint {
            *database = name.into();
        }
        config(Dialect::Mysql, endpoint)
    }

    /// The same as a user for whom a server that is read-only is that. Only on a server of our own.
    pub(super) fn plain(mut config: ConnectionConfig) -> ConnectionConfig {
        if let Endpoint::Server { username, .. } = &mut config.endpoint {
            *username = "plain".into();
        }
        config
    }

    /// The same as a new user without any right. Only on a server of our own.
    pub(super) async fn limited(
        &self,
        mut config: ConnectionConfig,
        user: &str,
    ) -> Option<ConnectionConfig> {
        if self.shell.is_none() {
            println!("SKIPPED: the server is not ours to make users on");
            return None;
        }
        self.admin(&format!("CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY 'secret'")).await;
        if let Endpoint::Server { username, .. } = &mut config.endpoint {
            *username = user.into();
        }
        Some(config)
    }

    /// Runs a statement as somebody who may do everything.
    pub(super) async fn admin(&self, sql: &str) {
        let config = config(Dialect::Mysql, self.endpoint.clone());
        let mut connection = Connection::open(&config).await.expect("the server answers");
        connection.run_text(sql).await.expect("may do that");
        connection.close(Duration::from_secs(1)).await;
    }

    fn external() -> Option<Self> {
        let named = std::env::var("GATEWAY_TEST_MYSQL").ok()?;
        let mut parts = named.splitn(4, ':');
        let mut next = || parts.next().expect("host:port:user:password");
        let (host, port) = (next(), next().parse().expect("a port"));
        let endpoint = endpoint(host, port, next(), next());
        Some(Self { endpoint, shell: None, turn: RwLock::new(()) })
    }

    fn start() -> Option<Self> {
        Command::new("mariadbd").arg("--version").stdout(Stdio::null()).status().ok()?;
        let folder = tempfile::tempdir().expect("a folder").keep();
        std::fs::write(folder.join("init.sql"), SETUP.replace("; ", ";\n")).expect("written");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "sh"])
            .arg(&folder)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let orders = shell.stdin.take().expect("piped");
        let output = shell.stdout.take().expect("piped");
        let (sender, answers) = sync_channel(16);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let ready = line.contains("ready for connections").then_some("ready");
                if let Some(answer) = line.strip_prefix("answer ").or(ready) {
                    drop(sender.send(answer.to_owned()));
                }
            }
        });
        assert_eq!(answers.recv().as_deref(), Ok("ready"));
        let shell = Some(Mutex::new(Shell { _process: shell, orders, answers }));
        let endpoint = endpoint("127.0.0.1", port, "gateway", "secret");
        Some(Self { endpoint, shell, turn: RwLock::new(()) })
    }
}

fn endpoint(host: &str, port: u16, username: &str, password: &str) -> Endpoint {
    Endpoint::Server {
        host: host.into(),
        port,
        username: username.into(),
        password: Secret::new(password),
        database: "mysql".into(),
        tls: Tls::Off,
    }
}
