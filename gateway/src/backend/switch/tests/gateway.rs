//! A gateway over both sides, as far as the backend goes: calls, queued orders, and the looks at the rows.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use gateway_protocol::GameId;
use smallvec::SmallVec;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::super::super::{
    Applier, Asked, Asker, BackendError, Fetched, Fetcher, FetcherParts, IdSource, Pools,
};
use super::super::gate::{Gate, Owner, Standing};
use super::super::lookout::{Around, Lookout, Watched};
use super::super::verify::Sampler;
use super::super::{Gates, Owners, Ownership, mirror};
use super::copy::group;
use super::world::World;
use crate::auth::{Authenticator, Principal};
use crate::bind::Bound;
use crate::cache::{Cache, Stored};
use crate::catalog::{Catalog, MirroredGame, Scalar};
use crate::config::{Config, DatabaseConfig, Env, IoUring, JournalConfig};
use crate::identity::{Lane, RequestKey};
use crate::journal::{Cause, Draft, Journal, Payload};
use crate::observe::Metrics;
use crate::queue::{self, Signal};
use crate::snapshot::{Parts, Snapshot, build};

const PARAMS: &str = "-- @desc a test\n-- @allow x\n-- @param player_id bigint\n\
    -- @param currency string(16)\n";
const INSERT: &str = "-- @param balance bigint\n-- @invalidate wallet:{player_id}\n";
const VALUES: &str = "INSERT INTO wallet (player_id, currency, balance) \
    VALUES (:player_id, :currency, :balance)\n";

/// What `strict` and `queue` tell of.
const TOLD: &str = "-- @emit wallet.put player_id, currency\n";

/// A gateway of `game1`.
pub(super) struct Gateway {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) gates: Arc<Gates>,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) pools: Arc<Pools>,
    pub(super) metrics: Arc<Metrics>,
    cache: Arc<Cache<BackendError>>,
    journal: Arc<Journal>,
    name: Box<str>,
    _folder: TempDir,
}

/// Something that runs until it is told to stop.
pub(super) struct Working {
    stop: Signal<bool>,
    task: JoinHandle<()>,
}

impl Working {
    fn start<F: Future<Output = ()> + Send + 'static>(
        work: impl FnOnce(queue::Watch<bool>) -> F,
    ) -> Self {
        let (stop, stopped) = queue::signal(false);
        Self { stop, task: tokio::spawn(work(stopped)) }
    }

    pub(super) async fn end(self) {
        self.stop.set(true);
        self.task.await.expect("it ends well");
    }

    /// As if the process were killed.
    pub(super) async fn cut(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

fn write_templates(folder: &TempDir) {
    let wallet = folder.path().join("sql/_base/wallet");
    std::fs::create_dir_all(&wallet).expect("a folder");
    let write = |op: &str, text: String| {
        std::fs::write(wallet.join(format!("{op}.sql")), text).expect("written");
    };
    write("put", format!("-- @kind exec\n{PARAMS}{INSERT}{VALUES}"));
    let keyed = "-- @idempotent key=currency ttl=1h\n";
    write(
        "strict",
        format!(
            "-- @kind tx isolation=serializable\n{PARAMS}{INSERT}{keyed}{TOLD}-- @step put exec\n{VALUES}"
        ),
    );
    let queued = "-- @async max=20 linger=1ms dead=1000\n-- @lane player_id\n-- @stale_ok a test\n";
    write("queue", format!("-- @kind exec\n{queued}{PARAMS}{INSERT}{keyed}{TOLD}{VALUES}"));
    let get = "SELECT w.balance FROM wallet w WHERE w.player_id = :player_id AND w.currency = :currency\n";
    let cached = "-- @result balance bigint\n-- @cache l1=1h tag=wallet:{player_id}\n";
    write("get", format!("-- @kind one\n{PARAMS}{cached}{get}"));
    write("look", format!("-- @kind one\n{PARAMS}-- @result balance bigint\n{get}"));
}

fn open_journal(folder: &TempDir) -> Arc<Journal> {
    let config = JournalConfig {
        path: Some(folder.path().join("journal")),
        segment_bytes: 1 << 20,
        group_bytes_max: 256 << 10,
        bytes_max: 1 << 30,
        records_max: 1_000_000,
        age_max: Duration::from_hours(24 * 3650),
        keys_max: 1000,
        queue_max: 100_000,
    };
    let (board, _heard) = queue::notices(1);
    let opened = Journal::start(&config, IoUring::Off, board.of("journal")).expect("opened");
    opened.expect("configured").0
}

impl Gateway {
    /// - `line`: the game's own, as `database: owner, mirror: mirror`.
    pub(super) fn new(world: &World, name: &str, line: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_templates(&folder);
        let stub = "{type: sqlite, path: unused.db}";
        let text = format!(
            "templates: sql\njournal: {{path: j}}\nauth: {{roles: {{x: {{}}}}}}\n\
             database: {{connections: {{owner: {stub}, mirror: {stub}}}}}\n\
             games: {{game1: {{{line}}}}}\n"
        );
        let (mut config, _) = Config::parse(&text, folder.path(), &Env::process()).expect("good");
        let connections = vec![world.owner.clone(), world.mirror.clone()];
        config.database = DatabaseConfig { connections };
        let dialect = |name: &str| {
            let is = if *world.owner.name == *name { &world.owner } else { &world.mirror };
            (GameId::new("game1").expect("a name"), is.dialect)
        };
        let owned = [dialect(&config.games[0].database)];
        let mirrored = |name: &str| {
            let (id, mirror) = dialect(name);
            MirroredGame { id, dialect: owned[0].1, mirror, disabled: Vec::new() }
        };
        let mirrors: Vec<_> = config.games[0].mirror.as_deref().map(mirrored).into_iter().collect();
        let catalog = Catalog::load_mirrored(&config.templates, &owned, &mirrors).expect("good");
        let metrics = Arc::new(Metrics::new());
        let authenticator = Arc::new(Authenticator::new(&config.auth, None, true).expect("good"));
        let pools = Pools::open(&config.database, Handle::current(), Arc::new(|_| {}));
        let cache = Cache::<BackendError>::new(&config.cache, Box::new(|_| {})).expect("no Redis");
        let parts = Parts { config: Arc::new(config.clone()), catalog, authenticator, jwks: None };
        let snapshot = build(1, parts, &metrics).expect("they fit");
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let (pools, cache, gates) = (Arc::new(pools), Arc::new(cache), Arc::<Gates>::default());
        let journal = open_journal(&folder);
        let parts = FetcherParts {
            snapshot: Arc::clone(&snapshot),
            pools: Arc::clone(&pools),
            gates: Arc::clone(&gates),
            cache: Arc::clone(&cache),
            metrics: Arc::clone(&metrics),
            ids: Arc::new(IdSource::new(1).expect("a number")),
            audit: None,
            journal: Some(Arc::clone(&journal)),
            streams: None,
            sampler: Arc::<Sampler>::default(),
        };
        let fetcher = Arc::new(Fetcher::new(&config, parts).expect("randomness"));
        let name = name.into();
        Self { snapshot, gates, fetcher, pools, metrics, cache, journal, name, _folder: folder }
    }

    /// One that knows both sides.
    pub(super) fn of(world: &World, name: &str) -> Self {
        Self::new(world, name, "database: owner, mirror: mirror")
    }

    /// Begins to look, at everything.
    pub(super) fn look_on(&self) -> Working {
        let owners = Owners {
            snapshot: Arc::clone(&self.snapshot),
            gates: Arc::clone(&self.gates),
            metrics: Arc::clone(&self.metrics),
            name: self.name.clone(),
            journal: Some(Arc::clone(&self.journal)),
        };
        Working::start(|stop| owners.run(stop))
    }

    /// Somebody who looks when it is told to.
    pub(super) fn lookout(&self, world: &World) -> Lookout {
        let mirror = Some(world.mirror.clone());
        let of = Watched { game: "game1".into(), database: world.owner.clone(), mirror };
        let around = Around {
            snapshot: Arc::clone(&self.snapshot),
            gates: Arc::clone(&self.gates),
            name: self.name.clone(),
            journal: Some(Arc::clone(&self.journal)),
            is_ending: Arc::default(),
        };
        Lookout::new(of, around)
    }

    /// Begins to apply what is queued.
    pub(super) fn apply(&self) -> Working {
        let applier = Applier {
            journal: Arc::clone(&self.journal),
            snapshot: Arc::clone(&self.snapshot),
            pools: Arc::clone(&self.pools),
            gates: Arc::clone(&self.gates),
            cache: Arc::clone(&self.cache),
            metrics: Arc::clone(&self.metrics),
        };
        Working::start(|stop| applier.run(stop))
    }

    /// The gate, opened to an owner as somebody believes it who has not heard of anything since.
    pub(super) fn believe(&self, owner: Owner) -> Arc<Gate> {
        let gate = self.gates.make("game1");
        gate.end_look(gate.begin_look(), Standing::Open(owner));
        gate
    }

    /// Where the game stands, as operators are shown it.
    pub(super) fn shown(&self) -> (bool, Ownership) {
        let (_, is_open, ownership) = self.gates.shown().pop().expect("a gate");
        (is_open, ownership)
    }

    /// A call: `put`, `strict` (serializable, keyed by its currency), `get` (cached), `look` (not).
    pub(super) async fn call(
        &self,
        op: &str,
        values: (i64, &str, i64),
        deadline: Instant,
    ) -> Result<Fetched, Arc<BackendError>> {
        let snapshot = self.snapshot.load_full();
        let game = snapshot.game("game1").expect("a game");
        let operation = game.operation(&format!("wallet.{op}")).expect("an operation");
        let (bound, principal) = (bound(operation.template.slots.len(), values), nobody());
        let key = operation.template.cache.is_some().then(|| {
            let (epoch, mut scratch) = (operation.owner_epoch(), Vec::new());
            let hasher = self.cache.hasher();
            operation.key_spec.build(epoch, &bound, &principal, hasher, &mut scratch).to_key()
        });
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let asker = Asker { principal: Arc::new(principal), trace: "t-1".into(), peer };
        let request = Asked { operation, asker: &asker, deadline, dry_run: false };
        self.fetcher.fetch(request, bound, key).await
    }

    /// The balance that a read finds, and whether the cache had it.
    pub(super) async fn balance(&self, op: &str, player: i64, currency: &str) -> (i64, bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let found = self.call(op, (player, currency, 0), deadline).await.expect("read");
        let Stored::Present(body) = &*found.stored else { panic!("no row") };
        let value = gateway_protocol::msgpack::decode(&body.msgpack).expect("a body");
        let gateway_protocol::Value::Map(members) = value else { panic!("{value:?}") };
        let (_, gateway_protocol::Value::Int(balance)) = members[0] else { panic!("{members:?}") };
        (balance, found.outcome == crate::observe::CacheOutcome::L1)
    }

    /// Queues an order, and returns when it is on disk.
    pub(super) async fn queue(&self, values: (i64, &str, i64)) {
        let snapshot = self.snapshot.load_full();
        let template = snapshot.game("game1").expect("a game").template("wallet.queue");
        let template = template.expect("an operation");
        let bound = bound(3, values);
        let payload = Payload {
            game: "game1".into(),
            op: template.op.as_str().into(),
            contract: template.contract,
            version: template.version,
            is_urgent: false,
            now_micros: 1_767_225_600_000_000,
            ids: smallvec::smallvec![],
            caller: "public".into(),
            claims: [].into(),
            trace: "t-1".into(),
            key_text: values.1.into(),
            bound: bound.clone(),
        };
        let key = RequestKey::of(template, &bound).expect("it has a key");
        let draft = Draft { key, lane: Lane::of(template, &bound), payload };
        let (reply, answer) = queue::reply();
        self.journal.offer(draft, reply);
        answer.await.expect("an answer").expect("accepted");
    }

    /// Makes the first order that waits a dead letter: its sequence.
    pub(super) async fn bury(&self) -> u64 {
        let record = self.journal.reader().next(0, 1).expect("read").pop().expect("it waits");
        self.journal.dead(&record, Cause::now(2103, "NOT_ENOUGH")).await.expect("buried");
        record.sequence
    }

    /// Forgets a dead letter.
    pub(super) async fn drop_dead(&self, sequence: u64) {
        self.journal.drop_dead(sequence).await.expect("dropped");
    }

    /// The next process on the same machine, with the same journal.
    pub(super) fn restarted(self, name: &str) -> Self {
        Self { name: name.into(), gates: Arc::default(), ..self }
    }

    /// Whether everything queued is applied.
    pub(super) fn has_applied_all(&self) -> bool {
        self.journal.pending_contracts().is_empty()
    }
}

fn nobody() -> Principal {
    Principal::nobody()
}

fn bound(count: usize, (player, currency, balance): (i64, &str, i64)) -> Bound<'static> {
    let values =
        [Scalar::Int(player), Scalar::Str(currency.to_owned().into()), Scalar::Int(balance)];
    let values: SmallVec<_> = values.into_iter().take(count).collect();
    Bound { values, given: (1 << count) - 1 }
}

/// Begins a mirror of everything that calls write, keys included.
pub(super) async fn begin(world: &World) {
    let tables = ["thing", "wallet", "gateway_request"].map(Into::into);
    mirror(group(world), &tables, "tests").await.expect("mirrored");
}
