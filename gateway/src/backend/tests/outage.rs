//! What a server does in bad hours: it kills a connection, stops, hangs, comes back.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::super::connection::Statement;
use super::super::pool::Pool;
use super::super::testing::{Server, far, heard, pool, template, until};
use super::super::{BackendError, CursorKey, Limits, Outcome, Supplied, run};
use crate::bind::Bound;
use crate::catalog::{Column, Dialect, Kind, Piece, Template, Type};
use crate::config::ConnectionConfig;

/// A template of that kind and text, which returns a bigint `id` where it returns rows.
fn with_sql(kind: Kind, sql: &str) -> Template {
    let mut template = template(Dialect::Mysql, kind);
    if !kind.is_write() {
        let (name, ty) = ("id".into(), Type::Bigint);
        template.columns = vec![Column { name, ty, json_string: false, empty_as_null: false }];
    }
    template.plan.pieces = vec![Piece::Text(sql.into())];
    template
}

async fn go(pool: &Pool, template: &Template, deadline: Instant) -> Result<Outcome, BackendError> {
    let supplied =
        Supplied { now_micros: 0, id: 1, row_ids: &[], caller: "", claims: &[], trace: "" };
    let limits = Limits { result_bytes_max: 1 << 16, cursor_key: &CursorKey::new(&[7; 32]) };
    run(pool, template, &Bound::default(), &supplied, &limits, deadline).await
}

/// Takes `count` connections at once, so that the pool has them idle after.
async fn warm(pool: &Pool, count: u32) {
    let mut leases = Vec::new();
    for _ in 0..count {
        leases.push(pool.acquire(far()).await.expect("one"));
    }
    drop(leases);
    assert_eq!(pool.stats().idle, count);
}

/// Kills connections of the database, from one of its own: all but that one, or those that sleep in SQL.
async fn kill(pool: &Pool, which: &str) {
    let mut lease = pool.acquire(far()).await.expect("one");
    let question = format!(
        "SELECT id FROM information_schema.processlist \
         WHERE db = DATABASE() AND id <> CONNECTION_ID() AND {which}"
    );
    let limit = far();
    loop {
        let found = lease.fetch_texts(&Statement::plain(&*question)).await.expect("a list");
        let mut killed_count = 0;
        for number in found.iter().flatten().flatten() {
            match lease.execute(&Statement::plain(format!("KILL {number}"))).await {
                Ok(_) => killed_count += 1,
                // It ended by itself since it was listed.
                Err(failure) => assert!(format!("{failure:?}").contains("1094"), "{failure:?}"),
            }
        }
        if killed_count > 0 {
            return;
        }
        assert!(Instant::now() < limit, "nothing to kill");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_killed_while_idle_cost_no_read_and_at_most_one_write() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let pool = pool(server.database("out_idle").await);
    warm(&pool, 4).await;
    kill(&pool, "command = 'Sleep'").await;
    let read = with_sql(Kind::One, "SELECT 1 AS id");
    let reads: Vec<_> = (0..8)
        .map(|_| {
            let (pool, read) = (pool.clone(), read.clone());
            tokio::spawn(async move { go(&pool, &read, far()).await.is_ok() })
        })
        .collect();
    for read in reads {
        assert!(read.await.expect("no panic"));
    }
}

/// After one connection was lost, the other idle ones must answer before they are lent to a write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_first_write_after_a_loss_has_an_unknown_outcome() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let pool = pool(server.database("out_write").await);
    let make = Statement::plain("CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT)");
    pool.acquire(far()).await.expect("one").execute(&make).await.expect("a table");
    warm(&pool, 4).await;
    {
        // The killer ends below the killed ones, so that they are lent first.
        let mut lease = pool.acquire(far()).await.expect("one");
        let question = "SELECT id FROM information_schema.processlist \
                        WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        let found = lease.fetch_texts(&Statement::plain(question)).await.expect("a list");
        assert_eq!(found.len(), 3);
        for number in found.iter().flatten().flatten() {
            lease.execute(&Statement::plain(format!("KILL {number}"))).await.expect("may kill");
        }
        let write = with_sql(Kind::Exec, "INSERT INTO t VALUES ()");
        let first = go(&pool, &write, far()).await;
        assert!(
            matches!(first, Err(BackendError::OutcomeUnknown { source: Some(_) })),
            "{first:?}"
        );
        for _ in 0..4 {
            let next = go(&pool, &write, far()).await;
            assert!(next.is_ok(), "{next:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_killed_in_a_read_is_replaced_and_in_a_write_is_an_error() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let pool = pool(server.database("out_mid").await);
    let make = Statement::plain("CREATE TABLE t (id BIGINT PRIMARY KEY)");
    pool.acquire(far()).await.expect("one").execute(&make).await.expect("a table");
    for (kind, sql) in
        [(Kind::One, "SELECT SLEEP(100) AS id"), (Kind::Exec, "INSERT INTO t SELECT SLEEP(100)")]
    {
        let (watched, slow) = (pool.clone(), with_sql(kind, sql));
        let asked = tokio::spawn(async move { go(&watched, &slow, far()).await });
        kill(&pool, "state = 'User sleep'").await;
        if kind == Kind::One {
            // The second attempt, if the server's last words were not an error of the statement.
            let second = tokio::time::timeout(Duration::from_millis(200), async {
                kill(&pool, "state = 'User sleep'").await;
            });
            drop(second.await);
        }
        let failed = asked.await.expect("no panic");
        assert!(
            matches!(
                failed,
                Err(BackendError::Query { .. }
                    | BackendError::Unreachable { .. }
                    | BackendError::OutcomeUnknown { .. })
            ),
            "{failed:?}"
        );
        let read = with_sql(Kind::One, "SELECT 1 AS id");
        assert!(go(&pool, &read, far()).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_hangs_keeps_no_request_over_its_deadline_and_is_used_again_after() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let config = server.database("out_hang").await;
    let pool = pool(ConnectionConfig {
        connect_timeout: Duration::from_millis(300),
        acquire_timeout: Duration::from_millis(300),
        ..config
    });
    warm(&pool, 2).await;
    let read = with_sql(Kind::One, "SELECT 1 AS id");
    server.order("pause");
    for _ in 0..6 {
        let deadline = Instant::now() + Duration::from_millis(200);
        let failed = go(&pool, &read, deadline).await;
        assert!(failed.is_err());
        // Generous: what matters is that it is neither the server's time nor for ever.
        assert!(Instant::now() < deadline + Duration::from_secs(2), "{failed:?}");
    }
    server.order("resume");
    until_ok(&pool, &read).await;
    assert!(pool.stats().open <= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_stops_is_down_once_refused_fast_and_up_once_without_a_request() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let (sink, heard) = heard();
    let config = server.database("out_stop").await;
    let health_interval = Duration::from_millis(50);
    let config = ConnectionConfig { health_interval, ..config };
    let pool = Pool::new(config, Handle::current(), sink);
    warm(&pool, 3).await;
    let read = with_sql(Kind::One, "SELECT 1 AS id");
    server.order("kill");
    // The pings find out, no request pays.
    until(|| pool.stats().open == 0).await;
    let failed = go(&pool, &read, far()).await;
    assert!(matches!(failed, Err(BackendError::Unreachable { .. })), "{failed:?}");
    let before = pool.stats().connect_failures_total;
    for _ in 0..100 {
        assert!(go(&pool, &read, far()).await.is_err());
    }
    assert!(pool.stats().connect_failures_total - before < 10, "{:?}", pool.stats());
    server.order("start");
    until(|| pool.stats().up).await;
    assert!(go(&pool, &read, far()).await.is_ok());
    assert_eq!(*heard.lock().expect("no panic"), ["down", "up"]);
}

/// Asks until the database answers.
async fn until_ok(pool: &Pool, template: &Template) {
    let limit = far();
    while let Err(error) = go(pool, template, far()).await {
        assert!(Instant::now() < limit, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
