//! The applier's loop turns when there is something to do, and not otherwise.

use super::*;

/// How long it is watched. Long enough that a busy loop would turn ten thousands of times.
const WATCHED: Duration = Duration::from_millis(400);

async fn turns_meanwhile(working: &Working) -> usize {
    let before = working.turns.load(Ordering::Relaxed);
    tokio::time::sleep(WATCHED).await;
    working.turns.load(Ordering::Relaxed) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_journal_and_one_that_has_ended_turn_nothing() {
    let bed = sqlite_bed().await;
    let working = bed.start();
    bed.keep_many("game1", "a", 50, 3).await;
    bed.drained().await;
    until(|| bed.figure("gateway_apply_held_records ") == 0).await;
    let turns = turns_meanwhile(&working).await;
    assert!(turns <= 2, "{turns} turns");
    bed.journal.stop();
    let turns = turns_meanwhile(&working).await;
    assert!(turns <= 2, "{turns} turns");
    working.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backlog_of_a_database_that_is_away_turns_a_few_times_a_second() {
    let bed = sqlite_bed().await;
    bed.place("game1", true);
    let working = bed.start();
    bed.keep_many("game1", "a", 500, 3).await;
    until(|| bed.figure(r#"gateway_apply_away{game="game1"}"#) == 1).await;
    let turns = turns_meanwhile(&working).await;
    assert!(turns <= 60, "{turns} turns");
    bed.place("game1", false);
    bed.drained().await;
    bed.check("game1", 500).await;
    working.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backlog_behind_running_batches_turns_nothing_until_one_ends() {
    let bed = sqlite_bed().await;
    let mut holder = bed.pool("game1").acquire(far()).await.expect("one");
    holder.begin_transaction(None).await.expect("begun");
    let working = bed.start();
    bed.keep_many("game1", "a", 200, 3).await;
    until(|| bed.pool("game1").stats().leased == 2).await;
    let turns = turns_meanwhile(&working).await;
    assert!(turns <= 10, "{turns} turns");
    holder.rollback().await.expect("released");
    drop(holder);
    bed.drained().await;
    bed.check("game1", 200).await;
    working.end().await;
}
