//! Writes in transactions, on every database there is; Oracle's place is taken by the stand-in.

mod ahead;
mod apply;
mod events;
mod keys;
mod lost;
mod procedure;
pub(super) mod purge;
mod rows;
mod steps;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_protocol::BusinessCode;
use tokio::sync::RwLockReadGuard;

use super::super::connection::Statement;
use super::super::migration::own_migrations;
use super::super::pool::Pool;
use super::super::script::split;
use super::super::standin::Standin;
use super::super::testing::{Server, far, pool, sqlite_config, template};
use super::super::write::{RunningKeys, Write, Written, needs_transaction, write};
use super::super::{BackendError, CursorKey, Limits, Outcome, Supplied};
use crate::bind::Bound;
use crate::cache::Stored;
use crate::catalog::{
    BusinessError, Comparison, Dialect, Field, Fold, Guard, Idempotent, Kind, Piece, Plan, Scalar,
    Slot, Source, Step, StepKind, StepValue, Template, Type,
};

/// Pieces of SQL in which `{0}` is a slot, `{id}` and `{now}` are the gateway's, `{0.1}` is a field of a slot's
/// current row, `{#0}` is a step's count, `{#0.1}` a column of it.
fn pieces(sql: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = sql;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("it ends");
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let source = match (name, name.strip_prefix('#'), name.split_once('.')) {
            ("id", ..) => Source::Id,
            ("now", ..) => Source::Now,
            (_, Some(step), None) => {
                Source::Step { step: number(step), value: StepValue::Affected }
            }
            (_, Some(_), Some((step, column))) => Source::Step {
                step: number(step.trim_start_matches('#')),
                value: StepValue::Column(number(column)),
            },
            (_, None, Some((slot, field))) => {
                Source::Field { slot: number(slot), field: number(field) }
            }
            (slot, None, None) => Source::Slot(number(slot)),
        };
        pieces.push(Piece::Bind(source));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    pieces
}

fn plan(sql: &str) -> Plan {
    Plan { pieces: pieces(sql), ..Plan::default() }.sealed(Dialect::Mysql)
}

/// The plan of `INSERT … VALUES (…)`, which folds at its `VALUES `.
fn folding(sql: &str) -> Plan {
    let (before, rest) = sql.split_once("VALUES ").expect("it has values");
    let (tuple, after) = rest
        .split_once(") ")
        .map_or((rest, ""), |(tuple, after)| (rest.split_at(tuple.len() + 1).0, after));
    let fold = Fold {
        before: format!("{before}VALUES ").into(),
        tuple: pieces(tuple),
        after: format!(" {after}").into(),
    };
    Plan { fold: Some(fold), ..plan(sql) }
}

/// The plan of a statement of Oracle's, which folds whole.
fn array(sql: &str) -> Plan {
    let fold = Fold { before: "".into(), tuple: pieces(sql), after: "".into() };
    Plan { fold: Some(fold), ..plan(sql) }
}

fn error(number: u16, name: &str) -> BusinessError {
    let code = BusinessCode::new(number).expect("in range");
    BusinessError { code, name: name.into(), status: 409 }
}

#[expect(clippy::unnecessary_wraps, reason = "as templates and steps hold it")]
fn guard(comparison: Comparison, count: u64, error: Option<BusinessError>) -> Option<Guard> {
    Some(Guard { comparison, count, error })
}

fn step(name: &str, kind: StepKind, sql: &str) -> Step {
    Step {
        returning: Vec::new(),
        name: name.into(),
        kind,
        each: None,
        guard: None,
        on_duplicate: None,
        when: None,
        columns: Vec::new(),
        plan: plan(sql),
    }
}

fn tx(steps: Vec<Step>) -> Template {
    let mut template = template(Dialect::Mysql, Kind::Tx);
    template.write.steps = steps;
    template
}

fn exec(sql: &str) -> Template {
    let mut template = template(Dialect::Mysql, Kind::Exec);
    template.plan = plan(sql);
    template
}

/// Makes slot 0 the key.
fn keyed(mut template: Template) -> Template {
    template.write.idempotent = Some(Idempotent { key_slot: 0, ttl: Duration::from_hours(24) });
    template
}

fn rows_slot(fields: &[&str]) -> Slot {
    let field = |name: &&str| Field { name: (*name).into(), ty: Type::Bigint };
    Slot::new("items", Type::Rows(fields.iter().map(field).collect()))
}

fn row(values: &[i64]) -> Scalar<'static> {
    Scalar::List(values.iter().map(|value| Scalar::Int(*value)).collect())
}

fn ints(values: &[i64]) -> Vec<Scalar<'static>> {
    values.iter().map(|value| Scalar::Int(*value)).collect()
}

fn text(value: &str) -> Scalar<'static> {
    Scalar::Str(value.to_owned().into())
}

/// Of each id its account, as every database takes it.
const TABLES: &str = "
    CREATE TABLE account (id BIGINT PRIMARY KEY, gold BIGINT DEFAULT 0 NOT NULL, version BIGINT DEFAULT 1 NOT NULL);
    CREATE TABLE ledger (id BIGINT PRIMARY KEY, account BIGINT NOT NULL, delta BIGINT NOT NULL);
    INSERT INTO account (id, gold) VALUES (1, 100);
    INSERT INTO account (id, gold) VALUES (2, 100);
    INSERT INTO account (id, gold) VALUES (3, 100);
    INSERT INTO account (id, gold) VALUES (4, 100);
    INSERT INTO account (id, gold) VALUES (5, 100)";

/// A database with five accounts of 100 each, an empty ledger, and the gateway's own tables.
#[derive(Clone)]
struct Bed {
    pool: Pool,
    keys: Arc<RunningKeys>,
    dialect: Dialect,
    result_bytes_max: u32,
}

impl Bed {
    async fn new(pool: Pool, dialect: Dialect) -> Self {
        let bed = Self { pool, keys: Arc::default(), dialect, result_bytes_max: 4 << 20 };
        let mut lease = bed.pool.acquire(far()).await.expect("a connection");
        let own = own_migrations(dialect);
        let scripts = own.iter().map(|migration| &*migration.sql);
        let tables = TABLES
            .replace("BIGINT", if dialect == Dialect::Oracle { "NUMBER(19)" } else { "BIGINT" });
        for script in scripts.chain([&*tables]) {
            for part in split(script, dialect).expect("good SQL") {
                lease.run_text(part.text).await.expect("good SQL");
            }
        }
        drop(lease);
        bed
    }

    async fn run(
        &self,
        template: &Template,
        values: Vec<Scalar<'static>>,
        deadline: Instant,
    ) -> Result<Written, BackendError> {
        self.with(template, values, deadline, false).await
    }

    async fn with(
        &self,
        template: &Template,
        values: Vec<Scalar<'static>>,
        deadline: Instant,
        dry_run: bool,
    ) -> Result<Written, BackendError> {
        let mut template = template.clone();
        template.dialect = self.dialect;
        let bound = Bound { given: (1 << values.len()) - 1, values: values.into() };
        let (supplied, result_bytes_max) = (supplied(), self.result_bytes_max);
        let request = Write {
            template: &template,
            bound: &bound,
            supplied,
            dry_run,
            owner: None,
            has_unknown: false,
            result_bytes_max,
        };
        write(&self.pool, &self.keys, &request, deadline).await
    }

    /// The reply of a write that succeeds.
    async fn body(&self, template: &Template, values: Vec<Scalar<'static>>) -> Vec<u8> {
        let written = self.run(template, values, far()).await;
        body(&written.unwrap_or_else(|error| panic!("{:?}: {error:?}", self.dialect)))
    }

    async fn ask(&self, sql: &str) -> String {
        let mut lease = self.pool.acquire(far()).await.expect("a connection");
        let rows = lease.fetch_texts(&Statement::plain(sql)).await.expect("good SQL");
        let texts: Vec<String> =
            rows.into_iter().flatten().map(|text| text.unwrap_or("NULL".into())).collect();
        texts.join(" ")
    }

    async fn golds(&self) -> String {
        self.ask("SELECT gold FROM account ORDER BY id").await
    }

    async fn key_count(&self) -> String {
        self.ask("SELECT COUNT(*) FROM gateway_request").await
    }
}

const ROW_IDS: [i64; 1000] = {
    let (mut ids, mut index, mut id) = ([0; 1000], 0, 1000);
    while index < 1000 {
        ids[index] = id;
        (index, id) = (index + 1, id + 1);
    }
    ids
};

fn supplied() -> Supplied<'static> {
    let now_micros = 1_709_210_096_789_999;
    Supplied { now_micros, id: 77, row_ids: &ROW_IDS, caller: "jwt:1", claims: &[], trace: "t-1" }
}

fn body(written: &Written) -> Vec<u8> {
    let Stored::Present(body) = &written.outcome.stored else { panic!("no body") };
    body.msgpack.to_vec()
}

/// Beds on each database there is; the server is held for as long as they live.
struct Beds {
    _folder: tempfile::TempDir,
    _turn: Option<RwLockReadGuard<'static, ()>>,
    _standin: Option<Arc<Standin>>,
    all: Vec<Bed>,
}

async fn beds(name: &str) -> Beds {
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = vec![Bed::new(pool(sqlite_config(folder.path())), Dialect::Sqlite).await];
    let mut turn = None;
    if let Some(server) = Server::get() {
        turn = Some(server.share().await);
        all.push(Bed::new(pool(server.database(name).await), Dialect::Mysql).await);
    }
    let standin = Standin::get();
    if let Some(standin) = &standin {
        all.push(Bed::new(pool(standin.database(name)), Dialect::Oracle).await);
    }
    Beds { _folder: folder, _turn: turn, _standin: standin, all }
}
