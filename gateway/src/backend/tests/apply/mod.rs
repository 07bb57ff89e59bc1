//! The applier over a journal in a temporary folder, on both databases where there are two.

mod batches;
mod burials;
mod outage;
mod purge;
mod records;
mod turns;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::RwLockReadGuard;
use tokio::task::JoinHandle;

use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::migration::own_migrations;
use super::super::pool::Pool;
use super::super::testing::{Server, far, sqlite_config, until};
use super::super::{Applier, BackendError, Farewell, Pools};
use super::ledger::{self, Order};
use crate::cache::Cache;
use crate::catalog::Dialect;
use crate::config::{ConnectionConfig, DatabaseConfig, Endpoint, IoUring, JournalConfig};
use crate::journal::{Draft, Journal, JournalError, State};
use crate::observe::Metrics;
use crate::queue::{self, Signal};
use crate::snapshot::Snapshot;

/// The contract that all of the operations share.
const HEAD: &str = "-- @desc a test\n-- @param order_no string(64)\n-- @param player_id bigint\n\
                    -- @param qty int\n-- @allow x\n-- @idempotent key=order_no ttl=1h\n\
                    -- @lane player_id\n-- @stale_ok a test\n";
/// Writes down that an order was applied, and when: `place` grows.
const INSERT: &str =
    "INSERT INTO ledger (order_no, player, qty) VALUES (:order_no, :player_id, :qty)\n";
const SPEND: &str = "-- @step pay exec affected = 1 else 2103 NO_GOLD\n\
                     UPDATE account SET gold = gold - :qty WHERE id = :player_id AND gold >= :qty\n\
                     -- @step note exec\n";

/// Two games with a database each.
struct Bed {
    folder: tempfile::TempDir,
    dialect: Dialect,
    databases: DatabaseConfig,
    pools: Arc<Pools>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    metrics: Arc<Metrics>,
    journal: Arc<Journal>,
}

/// An applier at work.
struct Working {
    stop: Signal<bool>,
    task: JoinHandle<()>,
    turns: Arc<AtomicUsize>,
}

impl Working {
    async fn end(self) {
        self.stop.set(true);
        self.task.await.expect("it ends well");
    }

    /// Ends it in the middle of whatever it does.
    async fn cut(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

fn write_templates(folder: &Path) {
    let write = |op: &str, header: &str, body: &str| {
        let path = folder.join(format!("sql/_base/order/{op}.sql"));
        std::fs::write(path, format!("{header}{HEAD}{body}")).expect("written");
    };
    std::fs::create_dir_all(folder.join("sql/_base/order")).expect("a folder");
    let create = "-- @kind exec affected = 1\n-- @async max=20 linger=1ms dead=3";
    write("create", &format!("{create}\n"), INSERT);
    write("urgent", &format!("{create} priority=high\n"), INSERT);
    write("patient", "-- @kind exec\n-- @async max=4 linger=10s dead=3\n", INSERT);
    write("lingering", "-- @kind exec\n-- @async max=4 linger=300ms dead=3\n", INSERT);
    let long = INSERT.replace(":order_no", "SUBSTR(:order_no, 1, 64)");
    write("long", &format!("{create}\n"), &long);
    let spend = format!("{SPEND}{INSERT}");
    write("spend", "-- @kind tx\n-- @async max=20 linger=1ms dead=3\n", &spend);
    write("endless", "-- @kind tx\n-- @async max=20 linger=1ms dead=1000\n", &spend);
}

fn snapshot(folder: &Path, dialect: Dialect, metrics: &Metrics) -> Snapshot {
    write_templates(folder);
    let connection = match dialect {
        Dialect::Sqlite => "{type: sqlite, path: unused.db}",
        _ => "{type: mysql, host: h, username: u, password: p, database: d}",
    };
    let text = format!(
        "templates: sql\njournal: {{path: j}}\nauth: {{roles: {{x: {{}}}}}}\n\
         database: {{connections: {{game1: {connection}, game2: {connection}}}}}\n\
         games: {{game1: {{id: game1, name: a, database: game1}}, \
                  game2: {{id: game2, name: b, database: game2}}}}\n"
    );
    ledger::snapshot(&text, folder, (dialect, &["game1", "game2"]), metrics)
}

fn open_journal(folder: &Path) -> Arc<Journal> {
    let config = JournalConfig {
        path: Some(folder.join("journal")),
        segment_bytes: 1 << 20,
        group_bytes_max: 256 << 10,
        bytes_max: 1 << 30,
        records_max: 1_000_000,
        // The moment of every draft is a fixed one, long ago.
        age_max: Duration::from_hours(24 * 3650),
        keys_max: 1000,
        queue_max: 100_000,
    };
    let (board, _heard) = queue::notices(1);
    let opened = Journal::start(&config, IoUring::Off, board.of("journal")).expect("opened");
    opened.expect("configured").0
}

impl Bed {
    async fn new(folder: tempfile::TempDir, configs: [ConnectionConfig; 2]) -> Self {
        let dialect = configs[0].dialect;
        let names = ["game1", "game2"].into_iter();
        let connections: Vec<_> = names
            .zip(configs)
            .map(|(name, config)| ConnectionConfig { name: name.into(), ..config })
            .collect();
        let databases = DatabaseConfig { connections };
        let pools = Arc::new(Pools::open(&databases, Handle::current(), Arc::new(|_| {})));
        let metrics = Arc::new(Metrics::new());
        let snapshot = snapshot(folder.path(), dialect, &metrics);
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let journal = open_journal(folder.path());
        let bed = Self { folder, dialect, databases, pools, snapshot, metrics, journal };
        for game in ["game1", "game2"] {
            bed.migrate(game).await;
        }
        bed
    }

    async fn migrate(&self, game: &str) {
        let place = match self.dialect {
            Dialect::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
            _ => "BIGINT PRIMARY KEY AUTO_INCREMENT",
        };
        let ledger = format!(
            "CREATE TABLE ledger (place {place}, order_no VARCHAR(64) NOT NULL, \
             player BIGINT NOT NULL, qty BIGINT NOT NULL CHECK (qty >= 0))"
        );
        let mut lease = self.pool(game).acquire(far()).await.expect("a connection");
        for migration in own_migrations(self.dialect) {
            lease.run_text(&migration.sql).await.expect("good SQL");
        }
        for sql in [
            &*ledger,
            "CREATE TABLE account (id BIGINT PRIMARY KEY, gold BIGINT NOT NULL)",
            "INSERT INTO account (id, gold) VALUES (1, 100), (2, 100), (3, 100)",
        ] {
            lease.run_text(sql).await.expect("good SQL");
        }
    }

    fn pool(&self, game: &str) -> Pool {
        self.pools.get(game, self.dialect).expect("a pool")
    }

    fn start(&self) -> Working {
        let cache =
            Cache::<BackendError>::new(&self.snapshot.load().config.cache, Box::new(|_| {}));
        let applier = Applier {
            journal: Arc::clone(&self.journal),
            snapshot: Arc::clone(&self.snapshot),
            pools: Arc::clone(&self.pools),
            gates: Arc::default(),
            cache: Arc::new(cache.expect("no Redis")),
            metrics: Arc::clone(&self.metrics),
        };
        let (stop, stopped) = queue::signal(false);
        let turns = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(applier.run_counted(stopped, Arc::clone(&turns)));
        Working { stop, task, turns }
    }

    fn draft(&self, game: &str, order: Order<'_>) -> Draft {
        ledger::draft(&self.snapshot.load(), game, order)
    }

    /// Has the journal keep orders, in this order.
    async fn keep(&self, game: &str, orders: &[Order<'_>]) {
        self.offer(orders.iter().map(|order| self.draft(game, *order))).await;
    }

    async fn offer(&self, drafts: impl Iterator<Item = Draft>) {
        let answers: Vec<_> = drafts
            .map(|draft| {
                let (reply, answer) = queue::reply();
                self.journal.offer(draft, reply);
                answer
            })
            .collect();
        for answer in answers {
            let accepted: Result<_, JournalError> = answer.await.expect("answered");
            accepted.expect("kept");
        }
    }

    /// Has the journal keep `count` orders of keys `<name>-0000` and so on, of players in turn.
    async fn keep_many(&self, game: &str, name: &str, count: i64, player_count: i64) {
        let keys: Vec<String> = (0..count).map(|number| format!("{name}-{number:05}")).collect();
        let orders: Vec<Order<'_>> = (0..)
            .zip(&keys)
            .map(|(number, key)| ("create", &**key, number % player_count, 1))
            .collect();
        self.keep(game, &orders).await;
    }

    /// Takes a game's database away, or brings it back.
    fn place(&self, game: &str, is_away: bool) {
        let mut databases = self.databases.clone();
        for connection in &mut databases.connections {
            if is_away && &*connection.name == game {
                match &mut connection.endpoint {
                    // Nobody listens there.
                    Endpoint::Server { port, .. } => *port = 1,
                    Endpoint::Oracle { connect, .. } => *connect = "//127.0.0.1:1/none".into(),
                    Endpoint::File(path) => *path = self.folder.path().join("none/none.db"),
                }
            }
        }
        let farewell = Farewell { found_until: far(), closed_by: far() };
        self.pools.reconfigure(&databases, farewell);
    }

    fn waiting_count(&self) -> u64 {
        self.journal.backlog().record_count
    }

    /// Returns when nothing waits any more.
    #[track_caller]
    fn drained(&self) -> impl Future<Output = ()> {
        until(|| self.waiting_count() == 0)
    }

    fn state(&self, game: &str, order: Order<'_>) -> Option<State> {
        self.journal.state_of(&self.draft(game, order).key.request)
    }

    async fn run(&self, game: &str, sql: &str) {
        let mut lease = self.pool(game).acquire(far()).await.expect("a connection");
        lease.run_text(sql).await.expect("good SQL");
    }

    async fn ask(&self, game: &str, sql: &str) -> Vec<String> {
        loop {
            let mut lease = self.pool(game).acquire(far()).await.expect("a connection");
            match lease.fetch_texts(&Statement::plain(sql)).await {
                Ok(rows) => return rows.into_iter().flatten().flatten().collect(),
                // One that was killed while it was idle.
                Err(Failure::Lost(_)) => {}
                Err(failure) => panic!("{failure:?}"),
            }
        }
    }

    /// What was applied, in the order in which it was.
    async fn ledger(&self, game: &str) -> Vec<String> {
        self.ask(game, "SELECT order_no FROM ledger ORDER BY place").await
    }

    /// Checks that these orders were applied, each once, and each player's in the order of their keys.
    #[track_caller]
    fn check(&self, game: &str, expected_count: usize) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let rows = self.ask(game, "SELECT player FROM ledger ORDER BY place").await;
            let orders = self.ledger(game).await;
            ledger::check(&rows, &orders, expected_count, place);
            let keys = self.ask(game, "SELECT COUNT(*) FROM gateway_request").await;
            assert_eq!(keys, [expected_count.to_string()], "{place}: a key for each");
        }
    }

    /// A figure of the metrics.
    fn figure(&self, line: &str) -> u64 {
        let text = self.metrics.render();
        let found = text.lines().find_map(|own| own.strip_prefix(line)).unwrap_or("0");
        found.trim().parse().expect("a number")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.journal.stop();
    }
}

/// Beds on each database there is; the server is held for as long as they live.
struct Beds {
    _turn: Option<RwLockReadGuard<'static, ()>>,
    all: Vec<Bed>,
}

async fn sqlite_bed() -> Bed {
    let folder = tempfile::tempdir().expect("a folder");
    let config = sqlite_config(folder.path());
    let second = Endpoint::File(folder.path().join("second.db"));
    let second = ConnectionConfig { endpoint: second, ..config.clone() };
    Bed::new(folder, [config, second]).await
}

async fn mysql_bed(server: &Server, name: &str) -> Bed {
    let folder = tempfile::tempdir().expect("a folder");
    let first = server.database(&format!("{name}_1")).await;
    let second = server.database(&format!("{name}_2")).await;
    let more = |config| ConnectionConfig { open_count_max: 8, ..config };
    Bed::new(folder, [more(first), more(second)]).await
}

async fn beds(name: &str) -> Beds {
    let mut all = vec![sqlite_bed().await];
    let mut turn = None;
    if let Some(server) = Server::get() {
        turn = Some(server.share().await);
        all.push(mysql_bed(server, name).await);
    }
    Beds { _turn: turn, all }
}
