//! Connections that are lost in the middle, and time that runs out.

use super::super::super::testing::until;
use super::*;

/// Ends the connection that runs a statement like `which`; returns its number when it was found.
///
/// `KILL` only sets a flag: the statement may go on until it looks ([`gone`]).
pub(super) async fn kill(pool: &Pool, which: &str) -> String {
    let mut lease = pool.acquire(far()).await.expect("one");
    let question = format!(
        "SELECT id FROM information_schema.processlist \
         WHERE db = DATABASE() AND id <> CONNECTION_ID() AND {which}"
    );
    let limit = far();
    loop {
        let found = lease.fetch_texts(&Statement::plain(&*question)).await.expect("a list");
        if let Some(number) = found.first().and_then(|row| row[0].clone()) {
            // It may have ended by itself since it was listed.
            drop(lease.execute(&Statement::plain(format!("KILL {number}"))).await);
            return number;
        }
        assert!(Instant::now() < limit, "nothing to kill");
    }
}

/// Waits until the server has no connection `number` any more.
async fn gone(pool: &Pool, number: &str) {
    let mut lease = pool.acquire(far()).await.expect("one");
    let question = format!("SELECT id FROM information_schema.processlist WHERE id = {number}");
    let limit = far();
    while !lease.fetch_texts(&Statement::plain(&*question)).await.expect("a list").is_empty() {
        assert!(Instant::now() < limit, "connection {number} does not end");
    }
}

async fn mysql(name: &str) -> Option<(Bed, RwLockReadGuard<'static, ()>)> {
    let server = Server::get()?;
    let turn = server.share().await;
    Some((Bed::new(pool(server.database(name).await), Dialect::Mysql).await, turn))
}

fn slow() -> Template {
    tx(vec![
        step("earn", StepKind::Exec, "UPDATE account SET gold = gold + 1 WHERE id = 1"),
        step("wait", StepKind::Many, "SELECT SLEEP(30)"),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_lost_before_commit_changes_nothing_and_is_tried_once_more() {
    let Some((bed, _turn)) = mysql("w_lost").await else { return };
    let asked = {
        let bed = bed.clone();
        tokio::spawn(async move { bed.run(&slow(), Vec::new(), far()).await })
    };
    // The first attempt, and the second one where there is one; a busy machine may take its time with either.
    let kill_each = async {
        loop {
            kill(&bed.pool, "state = 'User sleep'").await;
        }
    };
    let answer = tokio::select! {
        answer = asked => answer,
        () = kill_each => unreachable!("it has no end"),
    };
    let failed = answer.expect("no panic").expect_err("lost twice");
    // 1303 where the server's last word was that the statement was interrupted.
    assert!([1302, 1303].contains(&failed.code()), "{failed:?}");
    assert_eq!(bed.golds().await, "100 100 100 100 100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_in_the_middle_rolls_back_and_gives_no_open_transaction_to_others() {
    let Some((bed, _turn)) = mysql("w_late").await else { return };
    let soon = Instant::now() + Duration::from_millis(300);
    let late = bed.run(&slow(), Vec::new(), soon).await.expect_err("late");
    assert_eq!(late.code(), 1003, "{late:?}");
    until(|| bed.pool.stats().leased == 0).await;
    assert_eq!(bed.golds().await, "100 100 100 100 100");
    let own = Template { timeout: Some(Duration::from_millis(300)), ..slow() };
    let late = bed.run(&own, Vec::new(), far()).await.expect_err("late");
    assert_eq!(late.code(), 1304, "{late:?}");
    // A caller that goes away leaves nothing either: its lock is free.
    let run = {
        let bed = bed.clone();
        tokio::spawn(async move { bed.run(&slow(), Vec::new(), far()).await.is_ok() })
    };
    until(|| bed.pool.stats().leased == 1).await;
    run.abort();
    drop(run.await);
    let touch = exec("UPDATE account SET gold = gold + 5 WHERE id = 1");
    let limit = Instant::now() + Duration::from_secs(5);
    bed.run(&touch, Vec::new(), limit).await.expect("the lock is free");
    assert_eq!(bed.golds().await, "105 100 100 100 100");
}

/// The server ends while COMMIT waits for a lock that keeps every commit waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_lost_in_commit_is_1305_without_a_key_and_the_truth_with_one() {
    let Some((bed, _turn)) = mysql("w_commit").await else { return };
    let earn =
        tx(vec![step("earn", StepKind::Exec, "UPDATE account SET gold = gold + 1 WHERE id = 1")]);
    for (template, values) in [(earn.clone(), Vec::new()), (keyed(earn), vec![text("k")])] {
        let is_keyed = template.write.idempotent.is_some();
        let before: i64 =
            bed.ask("SELECT gold FROM account WHERE id = 1").await.parse().expect("a number");
        // Keeps commits waiting, for as long as this connection holds it.
        let mut block = bed.pool.acquire(far()).await.expect("one");
        block.run_text("BACKUP STAGE START").await.expect("may do that");
        block.run_text("BACKUP STAGE BLOCK_COMMIT").await.expect("may do that");
        let asked = {
            let bed = bed.clone();
            tokio::spawn(async move { bed.run(&template, values, far()).await })
        };
        let number = kill(&bed.pool, "info LIKE 'COMMIT%'").await;
        // Before commits may go on: one that is let through before it sees that it was ended succeeds.
        gone(&bed.pool, &number).await;
        block.run_text("BACKUP STAGE END").await.expect("may do that");
        drop(block);
        let answer = asked.await.expect("no panic");
        let after: i64 =
            bed.ask("SELECT gold FROM account WHERE id = 1").await.parse().expect("a number");
        if is_keyed {
            assert!(!answer.expect("the truth").replayed);
            assert_eq!(after, before + 1);
            assert_eq!(bed.key_count().await, "1");
        } else {
            let unknown = answer.expect_err("nobody knows");
            assert_eq!(unknown.code(), 1305, "{unknown:?}");
            assert!((before..=before + 1).contains(&after));
        }
    }
}

#[tokio::test]
async fn database_that_takes_no_writes_is_1302_and_the_next_write_has_another_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::new(pool(sqlite_config(folder.path())), Dialect::Sqlite).await;
    let mut lease = bed.pool.acquire(far()).await.expect("one");
    lease.run_text("PRAGMA query_only = 1").await.expect("good SQL");
    drop(lease);
    let mut earn = exec("UPDATE account SET gold = gold + 1 WHERE id = 1");
    earn.write.guard = guard(Comparison::Eq, 1, None);
    let failed = bed.run(&earn, Vec::new(), far()).await.expect_err("it may not");
    assert_eq!(failed.code(), 1302, "{failed:?}");
    bed.body(&earn, Vec::new()).await;
    assert_eq!(bed.golds().await, "101 100 100 100 100");
}
