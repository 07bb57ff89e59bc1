//! Transactions that MySQL begins ahead: nothing else becomes part of one, and a COMMIT that was answered counts.

use super::*;
use crate::config::ConnectionConfig;

/// A bed with one connection, so that everything meets the transaction that stands on it.
async fn narrow(name: &str) -> Option<(Bed, RwLockReadGuard<'static, ()>)> {
    let server = Server::get()?;
    let turn = server.share().await;
    let config = server.database(name).await;
    let one = ConnectionConfig { open_count_max: 1, ..config };
    Some((Bed::new(pool(one), Dialect::Mysql).await, turn))
}

fn earn() -> Template {
    tx(vec![step("earn", StepKind::Exec, "UPDATE account SET gold = gold + 1 WHERE id = 1")])
}

#[tokio::test]
async fn statement_behind_a_row_of_transactions_stands_alone_and_is_committed() {
    let Some((bed, _turn)) = narrow("w_ahead").await else { return };
    let other = pool(bed.pool.config().as_ref().clone());
    let single = exec("UPDATE account SET gold = gold + 10 WHERE id = 2");
    for round in 1..=3 {
        for _ in 0..5 {
            bed.body(&earn(), Vec::new()).await;
        }
        let done = run(&bed.pool, &single).await.expect("done");
        assert_eq!(done.row_count, 1);
        // On another connection, which sees what is committed, and waits for no lock.
        let seen = Bed { pool: other.clone(), ..bed.clone() }.golds().await;
        let (first, second) = (100 + 5 * round, 100 + 10 * round);
        assert_eq!(seen, format!("{first} {second} 100 100 100"));
    }
}

#[tokio::test]
async fn read_behind_a_row_of_transactions_sees_what_others_committed_since() {
    let Some((bed, _turn)) = narrow("w_ahead_read").await else { return };
    let other = pool(bed.pool.config().as_ref().clone());
    for _ in 0..5 {
        bed.body(&earn(), Vec::new()).await;
    }
    let single = exec("UPDATE account SET gold = gold + 10 WHERE id = 2");
    for round in 1..=3 {
        run(&other, &single).await.expect("done");
        assert_eq!(bed.golds().await, format!("105 {} 100 100 100", 100 + 10 * round));
    }
    // The same for a transaction that was begun before.
    for _ in 0..4 {
        bed.body(&earn(), Vec::new()).await;
    }
    run(&other, &single).await.expect("done");
    let mut read = step("read", StepKind::One, "SELECT gold FROM account WHERE id = 2");
    read.columns = vec!["gold".into()];
    let copy = step("copy", StepKind::Exec, "UPDATE account SET gold = {#0.0} WHERE id = 3");
    bed.body(&tx(vec![read, copy]), Vec::new()).await;
    assert_eq!(bed.golds().await, "109 140 140 100 100");
}

#[tokio::test]
async fn transaction_that_is_rolled_back_leaves_nothing_for_the_next_one() {
    let Some((bed, _turn)) = narrow("w_ahead_back").await else { return };
    let mut refused = earn();
    refused.write.steps[0].guard = guard(Comparison::Eq, 2, None);
    for _ in 0..4 {
        bed.body(&earn(), Vec::new()).await;
    }
    for _ in 0..2 {
        bed.run(&refused, Vec::new(), far()).await.expect_err("its guard does not hold");
        bed.body(&earn(), Vec::new()).await;
    }
    assert_eq!(bed.golds().await, "106 100 100 100 100");
}

/// The server ends the connection behind the COMMIT, before the next transaction is begun.
#[tokio::test]
async fn commit_that_was_answered_counts_although_the_connection_is_lost_behind_it() {
    let Some((bed, _turn)) = narrow("w_ahead_lost").await else { return };
    let mut last = earn();
    last.write.steps.push(step("set", StepKind::Exec, "SET SESSION completion_type = 2"));
    for round in 1..=3 {
        for _ in 0..3 {
            bed.body(&earn(), Vec::new()).await;
        }
        let written = bed.run(&last, Vec::new(), far()).await.expect("it is committed");
        assert!(!written.replayed);
        assert_eq!(bed.golds().await, format!("{} 100 100 100 100", 100 + 4 * round));
        // What was lost is not lent again.
        assert_eq!(bed.ask("SELECT @@completion_type").await, "NO_CHAIN");
    }
}

async fn run(pool: &Pool, template: &Template) -> Result<Outcome, BackendError> {
    let key = CursorKey::new(&[7; 32]);
    let limits = Limits { result_bytes_max: 4096, cursor_key: &key };
    super::super::super::run(pool, template, &Bound::default(), &supplied(), &limits, far()).await
}
