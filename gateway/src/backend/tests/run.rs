//! Templates run whole, on every database there is; Oracle's place is taken by the stand-in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::smallvec;

use super::super::connection::Statement;
use super::super::pool::Pool;
use super::super::standin::Standin;
use super::super::testing::{Server, far, pool, sqlite_config, template, until};
use super::super::{BackendError, CursorKey, Limits, Outcome, Supplied, run};
use crate::auth::Claim;
use crate::bind::Bound;
use crate::cache::Stored;
use crate::catalog::{
    CachePolicy, Column, Dialect, Direction, Keyset, KeysetColumn, Kind, Page, Piece, Scalar,
    Scope, Source, Template, Type,
};
use crate::config::ConnectionConfig;

fn text(sql: &str) -> Piece {
    Piece::Text(sql.into())
}

fn slot(index: usize) -> Piece {
    Piece::Bind(Source::Slot(index))
}

/// A template of that kind, of a bigint `id` and a string `name` where it returns rows.
fn with_plan(kind: Kind, pieces: Vec<Piece>) -> Template {
    let mut template = template(Dialect::Mysql, kind);
    if !kind.is_write() {
        let column = |name: &str, ty| Column {
            name: name.into(),
            ty,
            json_string: false,
            empty_as_null: false,
        };
        template.columns =
            vec![column("id", Type::Bigint), column("name", Type::Str { chars_max: None })];
    }
    template.plan.pieces = pieces;
    template
}

fn bound(values: Vec<Scalar<'static>>) -> Bound<'static> {
    Bound { given: (1 << values.len()) - 1, values: values.into() }
}

async fn go(
    pool: &Pool,
    template: &Template,
    bound: &Bound<'_>,
    deadline: Instant,
) -> Result<Outcome, BackendError> {
    let claims = [("sub".into(), Claim::Int(1))];
    let (now_micros, id) = (1_709_210_096_789_999, 77);
    let supplied =
        Supplied { now_micros, id, row_ids: &[], caller: "jwt:1", claims: &claims, trace: "t-1" };
    let limits = Limits { result_bytes_max: 1 << 16, cursor_key: &CursorKey::new(&[7; 32]) };
    let template = Template { dialect: pool.config().dialect, ..template.clone() };
    run(pool, &template, bound, &supplied, &limits, deadline).await
}

async fn body(pool: &Pool, template: &Template, values: Vec<Scalar<'static>>) -> Vec<u8> {
    let outcome = go(pool, template, &bound(values), far()).await.expect("an outcome");
    let Stored::Present(body) = outcome.stored else { panic!("no row") };
    body.msgpack.to_vec()
}

async fn script(pool: &Pool, statements: &[&'static str]) {
    let mut lease = pool.acquire(far()).await.expect("a connection");
    for sql in statements {
        lease.execute(&Statement::plain(*sql)).await.expect("good SQL");
    }
}

/// What lives as long as a test's pools.
type Kept = (tempfile::TempDir, Option<Arc<Standin>>);

/// A pool on each database there is, with five rows: ids 1 to 5, names a to e.
async fn each(name: &str) -> (Kept, Vec<Pool>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pools = vec![pool(sqlite_config(folder.path()))];
    if let Some(server) = Server::get() {
        pools.push(pool(server.database(name).await));
    }
    let standin = Standin::get();
    if let Some(standin) = &standin {
        pools.push(pool(standin.database(name)));
    }
    for pool in &pools {
        let create = match pool.config().dialect {
            Dialect::Oracle => "CREATE TABLE t (id NUMBER(19) PRIMARY KEY, name VARCHAR2(20))",
            _ => "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(20))",
        };
        script(pool, &[create]).await;
        for row in ["(1, 'a')", "(2, 'b')", "(3, 'c')", "(4, 'd')", "(5, 'e')"] {
            let insert = format!("INSERT INTO t VALUES {row}");
            let mut lease = pool.acquire(far()).await.expect("a connection");
            lease.execute(&Statement::plain(insert)).await.expect("good SQL");
        }
    }
    ((folder, standin), pools)
}

#[tokio::test]
async fn row_is_a_map_and_no_row_is_absent() {
    let _turn = turn().await;
    let (_kept, pools) = each("run_one").await;
    let mut template =
        with_plan(Kind::One, vec![text("SELECT id, name FROM t WHERE id = "), slot(0)]);
    template.version_column = Some(0);
    for pool in &pools {
        let outcome =
            go(pool, &template, &bound(vec![Scalar::Int(3)]), far()).await.expect("a row");
        let Stored::Present(body) = outcome.stored else { panic!("no row") };
        assert_eq!(body.msgpack.as_ref(), b"\x82\xa2id\x03\xa4name\xa1c");
        assert_eq!((&*body.etag, outcome.row_count), ("0000000000000007-3", 1));
        let outcome = go(pool, &template, &bound(vec![Scalar::Int(9)]), far()).await.expect("none");
        assert!(matches!(outcome.stored, Stored::Absent));
    }
}

/// Holds the server for as long as a test lives, if there is one.
async fn turn() -> Option<tokio::sync::RwLockReadGuard<'static, ()>> {
    match Server::get() {
        Some(server) => Some(server.share().await),
        None => None,
    }
}

#[tokio::test]
async fn pages_meet_every_row_once_and_the_last_one_names_no_next() {
    let _turn = turn().await;
    let (_kept, pools) = each("run_page").await;
    let mut template = with_plan(
        Kind::Page,
        vec![
            text("SELECT id, name FROM t WHERE id > "),
            slot(0),
            text(" "),
            Piece::Keyset,
            text(" ORDER BY "),
            Piece::Sort,
        ],
    );
    let key =
        |sql: &str, column| KeysetColumn { sql: sql.into(), column, direction: Direction::Desc };
    let keyset = vec![key("name", 1), key("id", 0)];
    template.plan.orders = vec![keyset.clone()];
    template.plan.paged = true;
    template.page = Some(Page {
        keyset: Keyset::Fixed(keyset),
        default_count: 2,
        count_max: 2,
        cursor_slot: 1,
        limit_slot: 2,
    });
    for pool in &pools {
        let mut cursor = Scalar::Null;
        let mut seen = Vec::new();
        for rest in [true, true, false] {
            let values = vec![Scalar::Int(0), cursor, Scalar::Null];
            let page = body(pool, &template, values).await;
            seen.extend(page.windows(4).filter(|at| at.starts_with(b"\xa2id")).map(|at| at[3]));
            let next = page.windows(5).position(|at| at == b"\xa4next");
            assert_eq!(next.is_some(), rest);
            let text = next.map_or("", |at| std::str::from_utf8(&page[at + 7..]).expect("ASCII"));
            cursor = Scalar::Str(text.to_owned().into());
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
        let values = vec![Scalar::Int(0), Scalar::Str("AAAA".into()), Scalar::Null];
        let refused = go(pool, &template, &bound(values), far()).await;
        assert!(matches!(refused, Err(BackendError::BadCursor)));
    }
}

#[tokio::test]
async fn optional_lines_lists_and_supplied_values_are_bound() {
    let _turn = turn().await;
    let (_kept, pools) = each("run_many").await;
    let template = with_plan(
        Kind::Many,
        vec![
            text("SELECT id, name FROM t WHERE id >= "),
            Piece::Bind(Source::Claim("sub".into())),
            Piece::Optional { slots: vec![0], pieces: vec![text(" AND name <> "), slot(0)] },
            text(" AND id IN ("),
            Piece::List(1),
            text(") AND "),
            Piece::Bind(Source::Caller),
            text(" = 'jwt:1' AND "),
            Piece::Bind(Source::Trace),
            text(" = 't-1' AND "),
            Piece::Bind(Source::Id),
            text(" = 77 ORDER BY id"),
        ],
    );
    let list = |ids: &[i64]| Scalar::List(ids.iter().map(|id| Scalar::Int(*id)).collect());
    for pool in &pools {
        let two = body(pool, &template, vec![Scalar::Str("b".into()), list(&[1, 2, 3])]).await;
        assert_eq!(two, b"\x92\x82\xa2id\x01\xa4name\xa1a\x82\xa2id\x03\xa4name\xa1c");
        let without = Bound { values: smallvec![Scalar::Null, list(&[2])], given: 0b10 };
        let outcome = go(pool, &template, &without, far()).await.expect("rows");
        assert_eq!(outcome.row_count, 1);
        let empty = body(pool, &template, vec![Scalar::Str("b".into()), list(&[])]).await;
        assert_eq!(empty, b"\x90");
    }
}

const ORACLE_UPSERT: &str = "MERGE INTO t USING (SELECT 1 AS id, 'z' AS name FROM dual) s ON (t.id = s.id) \
    WHEN MATCHED THEN UPDATE SET t.name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)";

#[tokio::test]
async fn affected_counts_matched_rows_and_an_upsert_of_one_row_is_one() {
    let _turn = turn().await;
    let (_kept, pools) = each("run_exec").await;
    for pool in &pools {
        let (upsert, replace) = match pool.config().dialect {
            Dialect::Sqlite => (
                "INSERT INTO t VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                "REPLACE INTO t VALUES (1, 'y')",
            ),
            Dialect::Mysql => (
                "INSERT INTO t VALUES (1, 'z') ON DUPLICATE KEY UPDATE name = VALUES(name)",
                "REPLACE INTO t VALUES (1, 'y')",
            ),
            Dialect::Oracle => (ORACLE_UPSERT, ORACLE_UPSERT),
        };
        for (sql, affected) in [
            ("UPDATE t SET name = name WHERE id IN (1, 2)", 2),
            ("UPDATE t SET name = name WHERE id = 9", 0),
            (upsert, 1),
            (upsert, 1),
            (replace, 1),
            ("DELETE FROM t WHERE id = 1", 1),
        ] {
            let template = with_plan(Kind::Exec, vec![text(sql)]);
            let outcome = go(pool, &template, &bound(vec![]), far()).await.expect("done");
            let Stored::Present(body) = outcome.stored else { panic!("no body") };
            let expected = [&b"\x81\xa8affected"[..], &[affected]].concat();
            assert_eq!(body.msgpack.as_ref(), expected, "{sql}");
            assert_eq!(outcome.row_count, u64::from(affected));
        }
    }
}

#[tokio::test]
async fn failures_are_told_apart_and_the_connection_lives() {
    let _turn = turn().await;
    let (_kept, pools) = each("run_fail").await;
    for pool in &pools {
        for round in 0..3 {
            let duplicate = with_plan(Kind::Exec, vec![text("INSERT INTO t VALUES (1, 'x')")]);
            let failed = go(pool, &duplicate, &bound(vec![]), far()).await;
            assert!(matches!(failed, Err(BackendError::Duplicate { .. })), "{round}: {failed:?}");
            let broken = with_plan(Kind::Many, vec![text("SELECT id, name FROM nothing")]);
            let failed = go(pool, &broken, &bound(vec![]), far()).await;
            assert!(matches!(failed, Err(BackendError::Query { .. })), "{failed:?}");
            let mut many = with_plan(Kind::Many, vec![text("SELECT id, name FROM t")]);
            many.row_count_max = 4;
            let failed = go(pool, &many, &bound(vec![]), far()).await;
            assert!(matches!(failed, Err(BackendError::TooLarge { .. })), "{failed:?}");
            many.row_count_max = 5;
            assert!(go(pool, &many, &bound(vec![]), far()).await.is_ok());
        }
        assert_eq!(pool.stats().connects_total, 1, "{:?}", pool.stats());
    }
}

#[tokio::test]
async fn body_of_what_is_cached_has_a_tag_of_its_bytes() {
    let _turn = turn().await;
    let (_kept, pools) = each("run_etag").await;
    let mut template = with_plan(Kind::Many, vec![text("SELECT id, name FROM t")]);
    let ttl = Duration::from_secs(1);
    template.cache = Some(CachePolicy {
        l1_ttl: ttl,
        l2_ttl: ttl,
        negative_ttl: ttl,
        tags: vec![],
        scope: Scope::Global,
    });
    let mut tags = Vec::new();
    for pool in &pools {
        let outcome = go(pool, &template, &bound(vec![]), far()).await.expect("rows");
        let Stored::Present(body) = outcome.stored else { panic!("no body") };
        assert_eq!(body.etag.len(), 32);
        tags.push(body.etag);
    }
    tags.dedup();
    assert_eq!(tags.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_over_its_time_is_stopped_on_the_server() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let pool = pool(ConnectionConfig { open_count_max: 2, ..server.database("run_slow").await });
    script(&pool, &["CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(20))"]).await;
    let mut read = with_plan(Kind::Many, vec![text("SELECT SLEEP(100) AS id, 'x' AS name")]);
    read.timeout = Some(Duration::from_millis(100));
    let failed = go(&pool, &read, &bound(vec![]), far()).await;
    assert!(matches!(failed, Err(BackendError::TimedOut)), "{failed:?}");
    assert_none_runs(&pool).await;

    let mut write = with_plan(Kind::Exec, vec![text("INSERT INTO t SELECT SLEEP(100), 'x'")]);
    write.timeout = Some(Duration::from_millis(100));
    let failed = go(&pool, &write, &bound(vec![]), far()).await;
    assert!(matches!(failed, Err(BackendError::OutcomeUnknown { .. })), "{failed:?}");
    assert_none_runs(&pool).await;

    // The caller's own deadline, and a caller who does not wait for the answer.
    read.timeout = None;
    let deadline = Instant::now() + Duration::from_millis(100);
    let failed = go(&pool, &read, &bound(vec![]), deadline).await;
    assert!(matches!(failed, Err(BackendError::Deadline)), "{failed:?}");
    let (nothing, short) = (bound(vec![]), Duration::from_millis(100));
    let left = tokio::time::timeout(short, go(&pool, &read, &nothing, far())).await;
    assert!(left.is_err());
    assert_none_runs(&pool).await;
    assert!(pool.stats().open <= 2);
}

/// No statement sleeps on the server any more, and every connection of the pool is back or gone.
async fn assert_none_runs(pool: &Pool) {
    until(|| pool.stats().leased == 0).await;
    let mut lease = pool.acquire(far()).await.expect("a connection");
    let question = "SELECT COUNT(*) FROM information_schema.processlist \
                    WHERE db = DATABASE() AND state = 'User sleep'";
    let running = lease.fetch_texts(&Statement::plain(question)).await.expect("a count");
    assert_eq!(running, [[Some("0".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_statement_over_its_time_is_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let pool = pool(ConnectionConfig { open_count_max: 1, ..sqlite_config(folder.path()) });
    let endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) \
                   SELECT MAX(id) AS id, 'x' AS name FROM n";
    let mut read = with_plan(Kind::Many, vec![text(endless)]);
    read.timeout = Some(Duration::from_millis(50));
    let failed = go(&pool, &read, &bound(vec![]), far()).await;
    assert!(matches!(failed, Err(BackendError::TimedOut)), "{failed:?}");
    until(|| pool.stats().open == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_that_is_never_released_times_out_and_nothing_was_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let query_timeout = Duration::from_millis(100);
    let pool = pool(ConnectionConfig { query_timeout, ..sqlite_config(folder.path()) });
    script(&pool, &["CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(20))"]).await;
    let mut holder = pool.acquire(far()).await.expect("one");
    holder.execute(&Statement::plain("BEGIN IMMEDIATE")).await.expect("the lock");
    let mut write = with_plan(Kind::Exec, vec![text("INSERT INTO t VALUES (1, 'x')")]);
    write.timeout = Some(Duration::from_secs(30));
    let failed = go(&pool, &write, &bound(vec![]), far()).await;
    assert!(matches!(failed, Err(BackendError::Locked { is_deadlock: false, .. })), "{failed:?}");
    holder.execute(&Statement::plain("COMMIT")).await.expect("released");
    assert_eq!(body(&pool, &write, vec![]).await, b"\x81\xa8affected\x01");
}
