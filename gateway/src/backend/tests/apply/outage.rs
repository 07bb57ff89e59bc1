//! What a server does in bad hours never counts against a record, and never doubles one.

use super::super::super::testing::pool;
use super::*;

fn refusals(bed: &Bed) -> u64 {
    ["failed", "dead"]
        .iter()
        .map(|outcome| {
            bed.figure(&format!(r#"gateway_apply_records_total{{outcome="{outcome}"}}"#))
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_are_no_records_fault_and_double_nothing() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let bed = mysql_bed(server, "ap_kill").await;
    let working = bed.start();
    let mut killed_count = 0;
    for round in 0..12 {
        bed.keep_many("game1", &format!("{round:02}"), 150, 13).await;
        let mut killer = bed.pool("game1").acquire(far()).await.expect("one");
        let question = "SELECT id FROM information_schema.processlist \
                        WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        // It may have been killed itself, in the round before.
        let found = killer.fetch_texts(&Statement::plain(question)).await.unwrap_or_default();
        for number in found.into_iter().flatten().flatten() {
            let kill = Statement::plain(format!("KILL {number}"));
            killed_count += u32::from(killer.execute(&kill).await.is_ok());
        }
    }
    bed.drained().await;
    assert!(killed_count > 0, "nothing was killed");
    bed.check("game1", 1800).await;
    assert_eq!(refusals(&bed), 0);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_killed_under_load_finds_everything_once_when_it_is_back() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let bed = mysql_bed(server, "ap_dead").await;
    bed.run("game1", "SET GLOBAL innodb_flush_log_at_trx_commit = 1").await;
    bed.keep_many("game1", "a", 600, 13).await;
    let working = bed.start();
    until(|| bed.waiting_count() < 500).await;
    server.order("kill");
    bed.keep_many("game1", "b", 200, 13).await;
    until(|| bed.figure(r#"gateway_apply_away{game="game1"}"#) == 1).await;
    server.order("start");
    bed.drained().await;
    bed.check("game1", 800).await;
    assert_eq!(refusals(&bed), 0);
    assert_eq!(bed.figure(r#"gateway_apply_away{game="game1"}"#), 0);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_hangs_for_longer_than_a_batch_may_take_is_no_records_fault() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let bed = mysql_bed(server, "ap_hang").await;
    let working = bed.start();
    bed.keep_many("game1", "a", 20, 3).await;
    bed.drained().await;
    server.order("pause");
    bed.keep_many("game1", "b", 100, 13).await;
    until(|| {
        let outcomes = ["slow", "late", "lost"].iter();
        let figure = |outcome| format!(r#"gateway_apply_records_total{{outcome="{outcome}"}}"#);
        outcomes.map(|outcome| bed.figure(&figure(outcome))).sum::<u64>() > 0
    })
    .await;
    server.order("resume");
    bed.drained().await;
    bed.check("game1", 120).await;
    assert_eq!(refusals(&bed), 0);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_that_somebody_holds_for_long_keeps_its_lane_waiting_and_no_other() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let bed = mysql_bed(server, "ap_row").await;
    let mut holder = bed.pool("game1").acquire(far()).await.expect("one");
    holder.begin_transaction(None).await.expect("begun");
    holder.run_text("UPDATE account SET gold = gold WHERE id = 1").await.expect("held");
    let working = bed.start();
    bed.keep("game1", &[("spend", "a", 1, 1), ("create", "b", 1, 1)]).await;
    bed.keep("game1", &[("spend", "c", 2, 1), ("spend", "d", 3, 1), ("create", "e", 9, 1)]).await;
    until(|| bed.waiting_count() == 2).await;
    holder.rollback().await.expect("released");
    drop(holder);
    bed.drained().await;
    bed.check("game1", 5).await;
    assert_eq!(refusals(&bed), 0);
    working.end().await;
}

/// A statement larger than the server takes costs the connection, as if the server were gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_too_large_for_one_statement_are_applied_in_several() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let bed = mysql_bed(server, "ap_packet").await;
    bed.run("game1", "SET GLOBAL max_allowed_packet = 1048576").await;
    // Connections that were there before know another limit.
    bed.place("game1", true);
    bed.place("game1", false);
    let keys: Vec<String> =
        (0..20).map(|number| format!("a-{number:02}{}", "x".repeat(100_000))).collect();
    bed.keep("game1", &keys.iter().map(|key| ("long", &**key, 1, 1)).collect::<Vec<_>>()).await;
    let working = bed.start();
    bed.drained().await;
    bed.run("game1", "SET GLOBAL max_allowed_packet = 16777216").await;
    bed.check("game1", 20).await;
    assert!(bed.figure(r#"gateway_apply_records_total{outcome="lost"}"#) > 0);
    assert_eq!(refusals(&bed), 0);
    working.end().await;
}

/// What a switchover looks like from here: the server is there, and takes no writes for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_read_only_for_a_while_is_no_records_fault() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let admin = pool(server.database("ap_admin").await);
    let bed = {
        let folder = tempfile::tempdir().expect("a folder");
        let first = server.database("ap_only_1").await;
        let second = server.database("ap_only_2").await;
        Bed::new(folder, [Server::plain(first), Server::plain(second)]).await
    };
    let set = async |value: &str| {
        let mut lease = admin.acquire(far()).await.expect("one");
        lease.run_text(&format!("SET GLOBAL read_only = {value}")).await.expect("may do that");
    };
    set("1").await;
    bed.keep_many("game1", "a", 60, 7).await;
    let working = bed.start();
    // More often than a record may fail.
    until(|| bed.figure(r#"gateway_apply_records_total{outcome="lost"}"#) > 40).await;
    let is_away = bed.figure(r#"gateway_apply_away{game="game1"}"#);
    let waiting_count = bed.waiting_count();
    set("0").await;
    assert_eq!((is_away, waiting_count), (1, 60));
    bed.drained().await;
    bed.check("game1", 60).await;
    assert_eq!(refusals(&bed), 0);
    working.end().await;
}

/// The server gives up a lock at once here, so that a batch meets it as often as it may before it is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_that_is_refused_again_and_again_keeps_its_lane_waiting_and_no_other_of_the_batch() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let bed = mysql_bed(server, "ap_lock").await;
    bed.run("game1", "SET GLOBAL innodb_lock_wait_timeout = 0").await;
    // Connections that were there before know another limit.
    bed.place("game1", true);
    bed.place("game1", false);
    let mut holder = bed.pool("game1").acquire(far()).await.expect("one");
    holder.begin_transaction(None).await.expect("begun");
    holder.run_text("UPDATE account SET gold = gold WHERE id = 1").await.expect("held");
    bed.keep("game1", &[("spend", "a", 1, 1), ("spend", "b", 1, 1)]).await;
    bed.keep("game1", &[("spend", "c", 2, 1), ("spend", "d", 3, 1)]).await;
    let working = bed.start();
    until(|| bed.waiting_count() == 2).await;
    assert!(bed.figure(r#"gateway_apply_records_total{outcome="locked"}"#) > 0);
    holder.rollback().await.expect("released");
    drop(holder);
    bed.drained().await;
    bed.run("game1", "SET GLOBAL innodb_lock_wait_timeout = 50").await;
    bed.check("game1", 4).await;
    assert_eq!(refusals(&bed), 0);
    working.end().await;
}
