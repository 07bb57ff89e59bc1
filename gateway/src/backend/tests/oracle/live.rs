//! What is Oracle's own, on the stand-in: values, zones, time limits, lost connections, threads.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::super::connection::{Connection, Purpose, Statement};
use super::super::super::encode::{Rows, Shape};
use super::super::super::fault::Failure;
use super::super::super::pool::Pool;
use super::super::super::standin::Standin;
use super::super::super::testing::{far, pool, until};
use super::super::super::{BackendError, cell};
use tokio::runtime::Handle;

use crate::catalog::{Column, Kind, Scalar, Type, parse_timestamp};
use crate::config::{ConnectionConfig, Endpoint, Secret, Zone};

/// A statement with these binds.
fn with<'a>(sql: &str, binds: Vec<Scalar<'a>>) -> Statement<'a> {
    Statement { sql: sql.into(), binds }
}

fn column(name: &str, ty: Type) -> Column {
    Column { name: name.into(), ty, json_string: false, empty_as_null: false }
}

async fn fetch(
    connection: &mut Connection,
    sql: &str,
    columns: &[Column],
) -> Result<Vec<u8>, Failure> {
    let (kind, row_count_max, bytes_max) = (Kind::Many, 5000, 8 << 20);
    let shape =
        Shape { kind, columns, version_column: None, row_count_max, bytes_max, keyset: &[] };
    let mut rows = Rows::new(shape);
    connection.fetch(&Statement::plain(sql), &mut rows).await?;
    Ok(rows.finish().body)
}

/// The one value of the one row of a result, as it is encoded.
async fn value(connection: &mut Connection, sql: &str, ty: Type) -> Vec<u8> {
    let body = fetch(connection, sql, &[column("v", ty)]).await.expect(sql);
    body.strip_prefix(b"\x91\x81\xa1v").expect("one row").to_vec()
}

/// A value as it is encoded.
fn encoded(ty: &Type, cell: cell::Cell<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    cell::write(&mut out, ty, false, cell).expect("it fits");
    out
}

async fn text(connection: &mut Connection, sql: &str) -> String {
    let rows = connection.fetch_texts(&Statement::plain(sql)).await.expect(sql);
    rows[0][0].clone().unwrap_or_else(|| "NULL".into())
}

fn in_zone(config: ConnectionConfig, name: &str) -> ConnectionConfig {
    let mut config = config;
    if let Endpoint::Oracle { time_zone, .. } = &mut config.endpoint {
        *time_zone = Zone::parse(name).expect("a zone");
    }
    config
}

async fn open(standin: &Standin, name: &str) -> Connection {
    Connection::open(&standin.database(name)).await.expect("the stand-in answers")
}

#[tokio::test]
async fn session_of_the_stand_in_shows_who_is_served() {
    let Some(standin) = Standin::get() else { return };
    let mut connection = open(&standin, "ora_session").await;
    let long = "list_by_player_and_more";
    let purpose = Purpose { limit: far(), game: "game1", op: long, request: "req-7" };
    connection.serve(Some(&purpose));
    let asked = "SELECT sys_context('USERENV', 'MODULE') || '/' || sys_context('USERENV', 'ACTION') || '/' || \
                 sys_context('USERENV', 'CLIENT_IDENTIFIER') FROM dual";
    assert_eq!(text(&mut connection, asked).await, "gateway/game1.list_by_player_and_more/req-7");
    let much = "x".repeat(200);
    connection.serve(Some(&Purpose { op: &much, request: &much, ..purpose }));
    let expected = format!("gateway/game1.{}/{}", "x".repeat(26), "x".repeat(64));
    assert_eq!(text(&mut connection, asked).await, expected);
}

#[tokio::test]
async fn old_schema_in_beijing_time_on_the_stand_in_gives_moments_in_utc() {
    let Some(standin) = Standin::get() else { return };
    let config = in_zone(standin.database("ora_beijing"), "+08:00");
    let mut connection = Connection::open(&config).await.expect("it answers");
    connection
        .run_text(
            "CREATE TABLE d (id NUMBER(9), made DATE, at TIMESTAMP(6), there TIMESTAMP(6) WITH TIME ZONE, day DATE)",
        )
        .await
        .expect("a table");
    let micros = parse_timestamp("2024-02-29T20:30:00.000000Z", 6).expect("a moment");
    let moment = || Scalar::Timestamp(micros);
    let row = vec![moment(), moment(), moment(), Scalar::Date(19_782)];
    let insert = "INSERT INTO d (id, made, at, there, day) VALUES (1, :b1, :b2, :b3, :b4)";
    assert_eq!(connection.execute(&with(insert, row)).await.expect("a row"), 1);

    // What the database holds are Beijing's clocks; what is read is the moment.
    let stored = "SELECT TO_CHAR(made, 'YYYY-MM-DD HH24:MI:SS') || ' ' || TO_CHAR(at, 'HH24:MI:SS') || ' ' || \
                  TO_CHAR(day, 'YYYY-MM-DD HH24:MI:SS') FROM d";
    let clocks = text(&mut connection, stored).await;
    assert_eq!(clocks, "2024-03-01 04:30:00 04:30:00 2024-02-29 00:00:00");
    let ty = Type::Timestamp { fraction: 3 };
    let expected = encoded(&ty, cell::Cell::Moment(micros));
    for column in ["made", "at", "there"] {
        let sql = format!("SELECT {column} AS v FROM d");
        assert_eq!(value(&mut connection, &sql, ty.clone()).await, expected, "{column}");
    }
    let day = value(&mut connection, "SELECT day AS v FROM d", Type::Date).await;
    assert_eq!(day, encoded(&Type::Date, cell::Cell::Date(19_782)));
    let found =
        with("SELECT COUNT(*) FROM d WHERE made = :b1 AND at = :b2", vec![moment(), moment()]);
    assert_eq!(connection.fetch_texts(&found).await.expect("a count"), [[Some("1".to_owned())]]);

    // A day with an hour is no day.
    let refused =
        fetch(&mut connection, "SELECT made AS v FROM d", &[column("v", Type::Date)]).await;
    assert!(matches!(refused, Err(Failure::Refused(BackendError::Column { .. }))), "{refused:?}");
}

#[tokio::test]
async fn values_of_the_stand_in_have_the_forms_of_every_other_database() {
    let Some(standin) = Standin::get() else { return };
    let mut connection = open(&standin, "ora_values").await;
    connection
        .run_text(
            "CREATE TABLE v (fixed CHAR(5), large CLOB, image BLOB, ratio BINARY_DOUBLE, price NUMBER(12,2), \
             big NUMBER(19), any_number NUMBER, hash RAW(16))",
        )
        .await
        .expect("a table");
    let long = "é名".repeat(40_000);
    let image: Vec<u8> = (0..100_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let row = vec![
        Scalar::Str("ab".into()),
        Scalar::Str(long.as_str().into()),
        Scalar::Bytes(image.as_slice().into()),
        Scalar::Float(0.1),
        Scalar::Decimal("1234567890.50".into()),
        Scalar::Int(i64::MAX),
        Scalar::Decimal("-0.5".into()),
        Scalar::Bytes(vec![0, 255].into()),
    ];
    let insert = "INSERT INTO v VALUES (:b1, :b2, :b3, :b4, :b5, :b6, :b7, :b8)";
    connection.execute(&with(insert, row)).await.expect("a row");
    let plain = || Type::Str { chars_max: None };
    let decimal = || Type::Decimal { precision: 20, scale: 4 };
    for (name, ty, expected) in [
        ("fixed", plain(), cell::Cell::Text("ab")),
        ("large", plain(), cell::Cell::Text(&long)),
        ("image", Type::Bytes { bytes_max: None }, cell::Cell::Bytes(&image)),
        ("ratio", Type::Float, cell::Cell::Float(0.1)),
        ("price", decimal(), cell::Cell::Text("1234567890.5000")),
        ("big", Type::Bigint, cell::Cell::Int(i64::MAX)),
        ("any_number", decimal(), cell::Cell::Text("-0.5000")),
        ("hash", Type::Bytes { bytes_max: None }, cell::Cell::Bytes(&[0, 255])),
    ] {
        let read = value(&mut connection, &format!("SELECT {name} AS v FROM v"), ty.clone()).await;
        assert!(read == encoded(&ty, expected), "{name}");
    }
    // '' is NULL, on the way in and in comparisons.
    connection.run_text("DELETE FROM v").await.expect("empty");
    let empty = with(
        "INSERT INTO v (fixed, large) VALUES (:b1, :b1x)",
        vec![Scalar::Str("".into()), Scalar::Null],
    );
    connection.execute(&empty).await.expect("a row");
    assert_eq!(value(&mut connection, "SELECT fixed AS v FROM v", plain()).await, b"\xc0");
    assert_eq!(text(&mut connection, "SELECT COUNT(*) FROM v WHERE fixed IS NULL").await, "1");
}

#[tokio::test]
async fn long_results_of_the_stand_in_come_in_groups_and_one_that_is_too_long_ends_there() {
    let Some(standin) = Standin::get() else { return };
    let mut connection = open(&standin, "ora_long").await;
    connection.run_text("CREATE TABLE n (id NUMBER(9))").await.expect("a table");
    let ids = (0..3000).map(Scalar::Int).collect();
    let rows = with("INSERT INTO n (id) VALUES (:b1)", ids);
    let outcomes = connection.execute_array(&rows, 3000).await.expect("rows");
    assert!(outcomes.len() == 3000 && outcomes.iter().all(|one| matches!(one, Ok(1))));
    let columns = [column("id", Type::Int)];
    let sql = "SELECT id FROM n ORDER BY id";
    let body = fetch(&mut connection, sql, &columns).await.expect("rows");
    assert!(
        body.starts_with(b"\xdc\x0b\xb8\x81\xa2id\x00") && body.ends_with(b"\xa2id\xcd\x0b\xb7")
    );

    let (kind, row_count_max, bytes_max) = (Kind::Many, 5, 1 << 20);
    let shape = Shape {
        kind,
        columns: &columns,
        version_column: None,
        row_count_max,
        bytes_max,
        keyset: &[],
    };
    let refused = connection.fetch(&Statement::plain(sql), &mut Rows::new(shape)).await;
    assert!(matches!(refused, Err(Failure::Refused(BackendError::TooLarge { .. }))), "{refused:?}");
    assert_eq!(text(&mut connection, "SELECT COUNT(*) FROM n").await, "3000");
}

#[tokio::test]
async fn rows_of_an_array_on_the_stand_in_have_outcomes_of_their_own() {
    let Some(standin) = Standin::get() else { return };
    let mut connection = open(&standin, "ora_array").await;
    connection
        .run_text("CREATE TABLE k (id NUMBER(9) PRIMARY KEY, name VARCHAR2(4), at TIMESTAMP(6))")
        .await
        .expect("a table");
    let row = |id: i64, name: Scalar<'static>| [Scalar::Int(id), name, Scalar::Null];
    let name = |text: &'static str| Scalar::Str(text.into());
    let binds = [
        row(1, Scalar::Null),
        row(2, name("two")),
        row(1, name("one")),
        row(3, name("three")),
        row(4, name("four")),
    ];
    let rows = with("INSERT INTO k VALUES (:b1, :b2, :b3)", binds.concat());
    connection.begin(None).await.expect("begun");
    let outcomes = connection.execute_array(&rows, 5).await.expect("an answer");
    connection.commit().await.expect("committed");
    assert!(
        matches!(
            &*outcomes,
            [
                Ok(1),
                Ok(1),
                Err(BackendError::Duplicate { .. }),
                Err(BackendError::Query { .. }),
                Ok(1)
            ]
        ),
        "{outcomes:?}"
    );
    let ids =
        fetch(&mut connection, "SELECT id FROM k ORDER BY id", &[column("id", Type::Int)]).await;
    assert_eq!(ids.expect("rows"), b"\x93\x81\xa2id\x01\x81\xa2id\x02\x81\xa2id\x04");
}

/// The stand-in's server can sleep; Oracle's has `DBMS_SESSION.SLEEP` for that.
const SLEEP: &str = "SELECT pg_sleep(30) AS id FROM dual";

fn sleeping_count(standin: &Standin, database: &str) -> String {
    let sql = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{database}' AND state = 'active' \
         AND query LIKE '%sleep%' AND pid <> pg_backend_pid()"
    );
    standin.postgres().admin("postgres", &sql).expect("a count").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_that_nobody_waits_for_is_broken_off_on_the_stand_in() {
    let Some(standin) = Standin::get() else { return };
    let pool = pool(standin.database("ora_break"));
    let mut lease = pool.acquire(far()).await.expect("one");
    let asked = tokio::spawn(async move { lease.fetch_texts(&Statement::plain(SLEEP)).await });
    until(|| sleeping_count(&standin, "ora_break") == "1").await;
    asked.abort();
    until(|| sleeping_count(&standin, "ora_break") == "0").await;
    until(|| pool.stats().open == 0).await;
    let mut lease = pool.acquire(far()).await.expect("another");
    let one = lease.fetch_texts(&Statement::plain("SELECT 1 FROM dual")).await.expect("served");
    assert_eq!(one, [[Some("1".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_takes_too_long_is_ended_by_the_client_library() {
    let Some(standin) = Standin::get() else { return };
    let config = standin.database("ora_timeout");
    let query_timeout = Duration::from_millis(200);
    let mut connection =
        Connection::open(&ConnectionConfig { query_timeout, ..config }).await.expect("it answers");
    let started = Instant::now();
    let columns = [column("id", Type::Int)];
    let late = fetch(&mut connection, SLEEP, &columns).await;
    assert!(matches!(late, Err(Failure::Unread(BackendError::TimedOut))), "{late:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_stand_ins_server_ends_are_lost_and_made_anew() {
    let Some(standin) = Standin::get() else { return };
    let pool = pool(standin.database("ora_lost"));
    let mut lease = pool.acquire(far()).await.expect("one");
    lease.run_text("CREATE TABLE t (id NUMBER(9))").await.expect("a table");
    standin.postgres().end_connections("ora_lost").expect("ended");
    let lost = lease.execute(&Statement::plain("INSERT INTO t VALUES (1)")).await;
    assert!(matches!(lost, Err(Failure::Lost(_))), "{lost:?}");
    drop(lease);
    let mut lease = pool.acquire(far()).await.expect("another");
    let none =
        lease.fetch_texts(&Statement::plain("SELECT COUNT(*) FROM t")).await.expect("served");
    assert_eq!(none, [[Some("0".to_owned())]]);
    assert_eq!(pool.stats().connects_total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_that_another_holds_on_the_stand_in_is_a_lock_time_out() {
    let Some(standin) = Standin::get() else { return };
    let pool = pool(standin.database("ora_lock"));
    let mut holder = pool.acquire(far()).await.expect("one");
    holder.run_text("CREATE TABLE t (id NUMBER(9), n NUMBER(9))").await.expect("a table");
    holder.run_text("INSERT INTO t VALUES (1, 1)").await.expect("a row");
    holder.begin_transaction(None).await.expect("begun");
    holder.execute(&Statement::plain("UPDATE t SET n = 2")).await.expect("held");
    let mut other = pool.acquire(far()).await.expect("two");
    other.begin_transaction(None).await.expect("begun");
    let busy = Statement::plain("SELECT id FROM t FOR UPDATE NOWAIT");
    let refused = other.fetch_texts(&busy).await;
    assert!(
        matches!(&refused, Err(Failure::Refused(BackendError::Locked { is_deadlock: false, .. }))),
        "{refused:?}"
    );
    other.rollback().await.expect("undone");
    holder.rollback().await.expect("undone");
    let n = other.fetch_texts(&Statement::plain("SELECT n FROM t")).await.expect("served");
    assert_eq!(n, [[Some("1".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_that_the_stand_in_refuses_is_1302_and_not_tried_again_soon() {
    let Some(standin) = Standin::get() else { return };
    let mut config = standin.database("ora_login");
    if let Endpoint::Oracle { password, .. } = &mut config.endpoint {
        *password = Secret::new("wrong");
    }
    let pool = pool(config.clone());
    let refused = pool.acquire(far()).await.expect_err("refused");
    assert_eq!(refused.code(), 1302);
    let error = Connection::open(&config).await.expect_err("refused");
    assert!(error.to_string().contains("ORA-01017"), "{error}");
    // Other failures are looked at again after 50 ms.
    let soon = tokio::time::timeout(
        Duration::from_secs(1),
        until(|| pool.stats().connect_failures_total > 1),
    );
    assert!(soon.await.is_err(), "{:?}", pool.stats());
}

/// The threads of this process that serve a connection of that name.
fn thread_count(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let comm = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    tasks
        .filter_map(|task| comm(task.ok()?))
        .filter(|comm| comm.trim() == format!("ora-{name}"))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_are_as_many_as_connections_to_the_stand_in_and_end_with_them() {
    let Some(standin) = Standin::get() else { return };
    let name: Box<str> = "threads".into();
    let pool = pool(ConnectionConfig { name, ..standin.database("ora_threads") });
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(pool.acquire(far()).await.expect("one"));
    }
    assert_eq!(thread_count("threads"), 4);
    // One in the middle of a transaction, which is undone with it.
    leases[0].run_text("CREATE TABLE t (id NUMBER(9))").await.expect("a table");
    leases[0].begin_transaction(None).await.expect("begun");
    leases[0].execute(&Statement::plain("INSERT INTO t VALUES (1)")).await.expect("a row");
    drop(leases);
    pool.close(far()).await;
    until(|| thread_count("threads") == 0).await;
    let again = Pool::new(standin.existing("ora_threads"), Handle::current(), Arc::new(|_| {}));
    let mut lease = again.acquire(far()).await.expect("one");
    let none =
        lease.fetch_texts(&Statement::plain("SELECT COUNT(*) FROM t")).await.expect("served");
    assert_eq!(none, [[Some("0".to_owned())]]);
}
