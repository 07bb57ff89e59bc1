//! Two databases with one schema, each in its dialect.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::super::super::migration::own_migrations;
use super::super::super::script;
use super::super::super::standin::Standin;
use super::super::super::testing::{Server, config};
use super::super::side::Side;
use crate::catalog::{Dialect, Scalar};
use crate::config::{ConnectionConfig, Endpoint};

const MYSQL: &str = "CREATE TABLE thing (\
    id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40) NULL, code CHAR(3) NOT NULL, \
    amount DECIMAL(12,2) NOT NULL, at DATETIME(6) NULL, day DATE NULL, bytes VARBINARY(16) NULL, \
    weight DOUBLE NULL, slot INT NULL, doubled BIGINT AS (id * 2) STORED, UNIQUE KEY slot (slot)\
    ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci; \
    CREATE TABLE wallet (\
    player_id BIGINT NOT NULL, currency VARCHAR(16) COLLATE utf8mb4_bin NOT NULL, \
    balance BIGINT NOT NULL, PRIMARY KEY (player_id, currency)) ENGINE = InnoDB";
const SQLITE: &str = "CREATE TABLE thing (\
    id INTEGER NOT NULL PRIMARY KEY, name TEXT, code TEXT NOT NULL, amount TEXT NOT NULL, at TEXT, \
    day TEXT, bytes BLOB, weight REAL, slot INTEGER UNIQUE, doubled INTEGER AS (id * 2) STORED) STRICT; \
    CREATE TABLE wallet (\
    player_id INTEGER NOT NULL, currency TEXT NOT NULL, balance INTEGER NOT NULL, \
    PRIMARY KEY (player_id, currency)) STRICT";

const ORACLE: &str = "CREATE TABLE thing (\
    id NUMBER(19) NOT NULL, name VARCHAR2(160), code CHAR(3) NOT NULL, amount NUMBER(12,2) NOT NULL, \
    at TIMESTAMP(6), day DATE, bytes RAW(16), weight BINARY_DOUBLE, slot NUMBER(10), \
    doubled NUMBER(19) GENERATED ALWAYS AS (id * 2) VIRTUAL, \
    CONSTRAINT thing_pk PRIMARY KEY (id), CONSTRAINT thing_slot UNIQUE (slot)); \
    CREATE TABLE wallet (\
    player_id NUMBER(19) NOT NULL, currency VARCHAR2(64) NOT NULL, balance NUMBER(19) NOT NULL, \
    CONSTRAINT wallet_pk PRIMARY KEY (player_id, currency));";

/// Both sides, and what they live in.
pub(super) struct World {
    pub(super) owner: ConnectionConfig,
    pub(super) mirror: ConnectionConfig,
    _folder: Option<TempDir>,
    _standin: Option<Arc<Standin>>,
}

impl World {
    /// The same databases as other accounts see them; they go with the world that made them.
    pub(super) const fn seen_by(owner: ConnectionConfig, mirror: ConnectionConfig) -> Self {
        Self { owner, mirror, _folder: None, _standin: None }
    }

    /// Whether one side is the stand-in for Oracle, where '' is NULL.
    pub(super) fn has_oracle(&self) -> bool {
        [&self.owner, &self.mirror].iter().any(|side| side.dialect == Dialect::Oracle)
    }
}

/// The dialects of owner and mirror that every test runs in. Oracle is the stand-in for it.
const DIRECTIONS: [(Dialect, Dialect); 5] = [
    (Dialect::Mysql, Dialect::Sqlite),
    (Dialect::Sqlite, Dialect::Mysql),
    (Dialect::Mysql, Dialect::Mysql),
    (Dialect::Oracle, Dialect::Mysql),
    (Dialect::Mysql, Dialect::Oracle),
];

/// Runs a check in each direction, on new databases.
pub(super) async fn everywhere(name: &str, check: impl AsyncFn(&World)) {
    between(name, &DIRECTIONS, check).await;
}

/// The same between databases of these dialects only.
pub(super) async fn between(
    name: &str,
    directions: &[(Dialect, Dialect)],
    check: impl AsyncFn(&World),
) {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    for (number, (owner, mirror)) in directions.iter().copied().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let standin = if [owner, mirror].contains(&Dialect::Oracle) {
            let Some(standin) = Standin::get() else { continue };
            Some(standin)
        } else {
            None
        };
        let side = async |role: &str, dialect| {
            let database = format!("switch_{name}_{number}_{role}");
            let mut config = match dialect {
                Dialect::Sqlite => file(folder.path(), role),
                Dialect::Oracle => standin.as_ref().expect("started").database(&database),
                Dialect::Mysql => server.database(&database).await,
            };
            config.name = role.into();
            set_up(&config).await;
            config
        };
        let owner = side("owner", owner).await;
        let mirror = side("mirror", mirror).await;
        println!("{} to {}", owner.dialect, mirror.dialect);
        check(&World { owner, mirror, _folder: Some(folder), _standin: standin }).await;
    }
}

fn file(folder: &Path, role: &str) -> ConnectionConfig {
    config(Dialect::Sqlite, Endpoint::File(folder.join(format!("{role}.db"))))
}

async fn set_up(config: &ConnectionConfig) {
    let schema = match config.dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Mysql => MYSQL,
        Dialect::Oracle => ORACLE,
    };
    set_up_with(config, schema).await;
}

/// Makes the gateway's tables, and those of a script.
pub(super) async fn set_up_with(config: &ConnectionConfig, schema: &str) {
    let mut side = open(config).await;
    for migration in own_migrations(config.dialect) {
        for part in script::split(&migration.sql, config.dialect).expect("good") {
            side.run_text(part.text).await.expect("applied");
        }
    }
    for part in script::split(schema, config.dialect).expect("good") {
        side.run_text(part.text).await.expect("applied");
    }
    side.close().await;
}

/// A connection to a side.
pub(super) async fn open(config: &ConnectionConfig) -> Side {
    Side::open(config).await.expect("it answers")
}

/// Writes the thing of that number: its values follow from it.
pub(super) async fn put_thing(side: &mut Side, id: i64, name: &str) {
    let day = i32::try_from(id % 20_000).expect("small");
    let binds = vec![
        Scalar::Int(id),
        Scalar::Str(name.to_owned().into()),
        Scalar::Str("usd".into()),
        Scalar::Decimal(format!("{id}.50").into()),
        Scalar::Timestamp(1_709_210_096_789_999 + id),
        Scalar::Date(day),
        Scalar::Bytes(id.to_be_bytes().to_vec().into()),
        Scalar::Float(0.1),
    ];
    let sql = "INSERT INTO thing (id, name, code, amount, at, day, bytes, weight) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    side.execute(sql, binds).await.expect("written");
}

/// Writes a wallet.
pub(super) async fn put_wallet(side: &mut Side, player: i64, currency: &str, balance: i64) {
    let currency = Scalar::Str(currency.to_owned().into());
    let binds = vec![Scalar::Int(player), currency, Scalar::Int(balance)];
    let sql = "INSERT INTO wallet (player_id, currency, balance) VALUES (?, ?, ?)";
    side.execute(sql, binds).await.expect("written");
}

/// Runs a statement without binds on a side.
pub(super) async fn run(config: &ConnectionConfig, sql: &str) {
    let mut side = open(config).await;
    side.execute(sql, Vec::new()).await.expect(sql);
    side.close().await;
}
