//! An account that may not do what a template asks, and is allowed to later.

use std::time::Instant;

use super::super::connection::Statement;
use super::super::testing::{Server, far, pool, template};
use super::super::{BackendError, CursorKey, Limits, Outcome, Supplied, run};
use crate::backend::pool::Pool;
use crate::bind::Bound;
use crate::catalog::{Dialect, Kind, Piece, Template};
use crate::observe::chain;

fn write() -> Template {
    let mut template = template(Dialect::Mysql, Kind::Exec);
    template.plan.pieces = vec![Piece::Text("INSERT INTO t VALUES ()".into())];
    template
}

async fn go(pool: &Pool, deadline: Instant) -> Result<Outcome, BackendError> {
    let supplied =
        Supplied { now_micros: 0, id: 1, row_ids: &[], caller: "", claims: &[], trace: "" };
    let limits = Limits { result_bytes_max: 1 << 16, cursor_key: &CursorKey::new(&[7; 32]) };
    run(pool, &write(), &Bound::default(), &supplied, &limits, deadline).await
}

/// MySQL gives a connection rights on a whole database when it connects: each of those that were open meets the refusal once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_is_named_and_when_it_is_granted_each_connection_meets_that_at_most_once() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let all = server.database("denied").await;
    let make = Statement::plain("CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT)");
    pool(all.clone()).acquire(far()).await.expect("one").execute(&make).await.expect("a table");
    let Some(limited) = server.limited(all, "denied_user").await else { return };
    server.admin("GRANT SELECT ON denied.* TO 'denied_user'@'%'").await;
    let pool = pool(limited);
    let open: Vec<_> = [pool.acquire(far()).await, pool.acquire(far()).await].into();
    assert!(open.iter().all(Result::is_ok));
    drop(open);
    let told = go(&pool, far()).await.expect_err("denied");
    assert_eq!(told.code(), 1302);
    assert_eq!(told.client_message(), "the database denies the gateway a right, retry later");
    let words = chain(&told);
    assert!(words.contains("INSERT command denied") && words.contains("grant it"), "{words}");
    server.admin("GRANT INSERT ON denied.* TO 'denied_user'@'%'").await;
    // The one that was denied is replaced; the other one does not know of the grant yet.
    let mut denied = 0;
    for _ in 0..8 {
        denied += u32::from(go(&pool, far()).await.is_err());
    }
    assert!(denied <= 1, "{denied}");
    // What is read-only, and no right, is told otherwise.
    let read_only = "SET SESSION TRANSACTION READ ONLY";
    let mut lease = pool.acquire(far()).await.expect("one");
    lease.execute(&Statement::plain(read_only)).await.expect("set");
    drop(lease);
    let told = go(&pool, far()).await.expect_err("read-only");
    assert_eq!(told.code(), 1302);
    assert!(!told.client_message().contains("right"), "{}", told.client_message());
}
