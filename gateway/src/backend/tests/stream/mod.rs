//! Orders through a real Redis into a real MariaDB, by several instances in one process.

mod letters;
mod orders;
mod owners;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::RwLockReadGuard;
use tokio::task::JoinHandle;

use super::super::connection::Statement;
use super::super::migration::own_migrations;
use super::super::pool::Pool;
use super::super::testing::{Server, far, until};
use super::super::{BackendError, Keeper, Pools};
use super::ledger;
use crate::cache::testing::RedisServer;
use crate::cache::{Cache, QueuedState};
use crate::catalog::Dialect;
use crate::config::{ConnectionConfig, DatabaseConfig};
use crate::identity::Lane;
use crate::journal::{Accepted, Draft, JournalError};
use crate::observe::Metrics;
use crate::queue::{self, Answer, Signal};
use crate::snapshot::Snapshot;
use crate::stream::{StreamState, Streams};

/// An operation that writes down that an order was applied, and when: `place` grows.
const CREATE: &str = "-- @desc a test\n-- @kind tx\n-- @async max=20 linger=1ms dead=2\n\
    -- @param order_no string(64)\n-- @param player_id bigint\n-- @param qty int\n-- @allow x\n\
    -- @idempotent key=order_no ttl=1h\n-- @lane player_id\n-- @stale_ok a test\n\
    -- @step pay exec affected = 1 else 2103 NO_GOLD\n\
    UPDATE account SET gold = gold - :qty WHERE id = :player_id AND gold >= :qty\n\
    -- @step note exec\n\
    INSERT INTO ledger (order_no, player, qty) VALUES (:order_no, :player_id, :qty)\n";
const LEDGER: &str = "CREATE TABLE ledger (place BIGINT PRIMARY KEY AUTO_INCREMENT, \
    order_no VARCHAR(64) NOT NULL, player BIGINT NOT NULL, qty BIGINT NOT NULL)";

/// Key, player, quantity.
type Order<'a> = (&'a str, i64, i64);

/// A Redis and a database that all instances share.
struct Bed {
    redis: RedisServer,
    folder: tempfile::TempDir,
    database: ConnectionConfig,
    _turn: RwLockReadGuard<'static, ()>,
    /// The test's own.
    pool: Pool,
}

/// What one process would hold.
struct Instance {
    streams: Arc<Streams>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    pools: Arc<Pools>,
    metrics: Arc<Metrics>,
    producer: JoinHandle<()>,
    keeper: Option<(Signal<bool>, JoinHandle<()>)>,
}

impl Bed {
    /// `None`, and a word, where a server is not installed.
    async fn new(name: &str) -> Option<Self> {
        let redis = RedisServer::start_durable().await?;
        let server = Server::get()?;
        let turn = server.share().await;
        let database = server.database(name).await;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("sql/_base/order")).expect("a folder");
        std::fs::write(folder.path().join("sql/_base/order/create.sql"), CREATE).expect("written");
        let pool = super::super::testing::pool(database.clone());
        let mut lease = pool.acquire(far()).await.expect("a connection");
        for migration in own_migrations(Dialect::Mysql) {
            lease.run_text(&migration.sql).await.expect("good SQL");
        }
        for sql in [
            LEDGER,
            "CREATE TABLE account (id BIGINT PRIMARY KEY, gold BIGINT NOT NULL)",
            "INSERT INTO account VALUES (1,1000),(2,1000),(3,1000),(4,1000),(5,1000),(6,1000),(7,1000)",
        ] {
            lease.run_text(sql).await.expect("good SQL");
        }
        drop(lease);
        Some(Self { redis, folder, database, _turn: turn, pool })
    }

    /// An instance that takes orders in, and applies none.
    fn instance(&self, settings: &str) -> Instance {
        let url = self.redis.url();
        let text = format!(
            "templates: sql\nqueue: {{url: '{url}', lease: 1s, streams: 3{settings}}}\n\
             auth: {{roles: {{x: {{}}}}}}\n\
             database: {{connections: {{game1: {{type: mysql, host: h, username: u, password: p, database: d}}}}}}\n\
             games: {{game1: {{id: game1, name: a, database: game1, queue: stream}}}}\n"
        );
        let metrics = Arc::new(Metrics::new());
        let snapshot =
            ledger::snapshot(&text, self.folder.path(), (Dialect::Mysql, &["game1"]), &metrics);
        let queue = snapshot.config.queue.clone().expect("there is one");
        let (streams, producer) = Streams::new(&queue).expect("an address");
        let connection = ConnectionConfig { name: "game1".into(), ..self.database.clone() };
        let databases = DatabaseConfig { connections: vec![connection] };
        let pools = Pools::open(&databases, Handle::current(), Arc::new(|_| {}));
        Instance {
            streams,
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            pools: Arc::new(pools),
            metrics,
            producer: tokio::spawn(producer.run()),
            keeper: None,
        }
    }

    async fn run(&self, sql: &str) {
        let mut lease = self.pool.acquire(far()).await.expect("a connection");
        lease.run_text(sql).await.expect("good SQL");
    }

    async fn ask(&self, sql: &str) -> Vec<String> {
        let mut lease = self.pool.acquire(far()).await.expect("a connection");
        let rows = lease.fetch_texts(&Statement::plain(sql)).await.expect("good SQL");
        rows.into_iter().flatten().flatten().collect()
    }

    /// Returns when so many orders were applied.
    #[track_caller]
    fn applied(&self, count: usize) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let limit = far();
            while self.ask("SELECT order_no FROM ledger").await.len() < count {
                assert!(std::time::Instant::now() < limit, "{place}: not {count} orders");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Checks that so many orders were applied, each once, each player's in the order of their keys.
    #[track_caller]
    fn check(&self, count: usize) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let players = self.ask("SELECT player FROM ledger ORDER BY place").await;
            let orders = self.ask("SELECT order_no FROM ledger ORDER BY place").await;
            ledger::check(&players, &orders, count, place);
        }
    }

    /// Entries of all streams.
    async fn entry_count(&self) -> u64 {
        let mut count = 0;
        for index in 0..3 {
            count += self.redis.ask::<u64>(&["XLEN", &format!("gwq:s:game1:{index}")]).await;
        }
        count
    }

    /// Returns when the streams are empty.
    #[track_caller]
    fn drained(&self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let limit = far();
            while self.entry_count().await > 0 {
                assert!(std::time::Instant::now() < limit, "{place}: entries are left");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

impl Instance {
    /// Begins to own streams and to apply.
    fn apply(&mut self) {
        let cache =
            Cache::<BackendError>::new(&self.snapshot.load().config.cache, Box::new(|_| {}));
        let keeper = Keeper {
            streams: Arc::clone(&self.streams),
            snapshot: Arc::clone(&self.snapshot),
            pools: Arc::clone(&self.pools),
            gates: Arc::default(),
            cache: Arc::new(cache.expect("no Redis")),
            metrics: Arc::clone(&self.metrics),
        };
        let (stop, stopped) = queue::signal(false);
        self.keeper = Some((stop, tokio::spawn(keeper.run(stopped))));
    }

    /// Ends in the middle of whatever it does, and gives nothing back.
    async fn cut(self) {
        self.producer.abort();
        drop(self.producer.await);
        if let Some((_stop, keeper)) = self.keeper {
            keeper.abort();
            drop(keeper.await);
        }
    }

    /// Ends as a process that is told to.
    async fn end(self) {
        self.streams.stop();
        self.producer.await.expect("it ends well");
        if let Some((stop, keeper)) = self.keeper {
            stop.set(true);
            keeper.await.expect("it ends well");
        }
    }

    fn draft(&self, (key, player, qty): Order<'_>) -> Draft {
        ledger::draft(&self.snapshot.load(), "game1", ("create", key, player, qty))
    }

    fn offer(&self, draft: Draft) -> Answer<Result<Accepted, JournalError>> {
        let (reply, answer) = queue::reply();
        self.streams.offer(draft, reply);
        answer
    }

    async fn keep(&self, order: Order<'_>) -> Result<Accepted, JournalError> {
        self.offer(self.draft(order)).await.expect("answered")
    }

    async fn state(&self, order: Order<'_>) -> Option<StreamState> {
        self.streams.state_of(&self.draft(order).key.request).await
    }

    fn lane(&self, player: i64) -> Lane {
        self.draft(("x", player, 1)).lane.expect("it has a lane")
    }
}

/// The state of an order that waits.
const WAITS: StreamState =
    StreamState::Queued(QueuedState::Journalled { since_micros: 1_767_225_600_000_000 });
