//! Which records go together, in which order, and what a restart or a stop leaves.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urgent_records_go_first_and_never_past_their_lane() {
    for bed in &beds("ap_urgent").await.all {
        bed.keep_many("game1", "a", 200, 3).await;
        bed.keep("game1", &[("urgent", "u-1", 1, 1), ("urgent", "u-9", 9, 1)]).await;
        let working = bed.start();
        bed.drained().await;
        // Each lane's keys are in order: so is the urgent one behind the others of its lane.
        bed.check("game1", 202).await;
        let ledger = bed.ledger("game1").await;
        let place = ledger.iter().position(|order| order == "u-9").expect("applied");
        // It came last; how many were at work before it was looked at is chance.
        assert!(place < 200, "{:?}: {place}", bed.dialect);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_wait_for_a_full_batch_or_until_their_time_is_over() {
    for bed in &beds("ap_linger").await.all {
        let working = bed.start();
        let begun = Instant::now();
        for key in ["a", "b", "c", "d"] {
            bed.keep("game1", &[("patient", key, 1, 1)]).await;
        }
        bed.drained().await;
        assert!(begun.elapsed() < Duration::from_secs(8), "the fourth fills the batch");
        assert_eq!(bed.figure(r#"gateway_apply_transactions_total{records="2-9"}"#), 1);
        let begun = Instant::now();
        bed.keep("game1", &[("lingering", "e", 1, 1)]).await;
        bed.drained().await;
        assert!(begun.elapsed() >= Duration::from_millis(300));
        bed.check("game1", 5).await;
        working.end().await;
    }
}

/// More than the applier looks at ahead, of which some can be applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_lane_and_a_game_that_is_away_stop_nobody_else_and_are_read_again() {
    for bed in &beds("ap_window").await.all {
        bed.place("game2", true);
        bed.keep("game1", &[("endless", "a", 1, 150)]).await;
        bed.keep_many("game2", "b", 600, 5).await;
        let keys: Vec<String> = (0..600).map(|number| format!("c-{number:03}")).collect();
        let blocked: Vec<_> = keys.iter().map(|key| ("create", &**key, 1, 1)).collect();
        bed.keep("game1", &blocked).await;
        let keys: Vec<String> = (0..600).map(|number| format!("d-{number:03}")).collect();
        let others = (2..).zip(&keys).map(|(number, key)| ("create", &**key, 2 + number % 7, 1));
        bed.keep("game1", &others.collect::<Vec<_>>()).await;
        let working = bed.start();
        let mut held_max = 0;
        let limit = far();
        while bed.waiting_count() > 1201 {
            held_max = held_max.max(bed.figure("gateway_apply_held_records "));
            assert!(Instant::now() < limit, "{} wait", bed.waiting_count());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(held_max <= 256, "{held_max} in memory");
        assert_eq!(bed.ledger("game1").await.len(), 600);
        assert_eq!(bed.figure(r#"gateway_apply_away{game="game2"}"#), 1);
        assert_eq!(bed.figure(r#"gateway_apply_away{game="game1"}"#), 0);
        bed.place("game2", false);
        until(|| bed.waiting_count() <= 601).await;
        bed.run("game1", "UPDATE account SET gold = 200 WHERE id = 1").await;
        bed.drained().await;
        bed.check("game1", 1201).await;
        bed.check("game2", 600).await;
        assert_eq!(bed.figure(r#"gateway_apply_away{game="game2"}"#), 0);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applier_cut_off_in_the_middle_again_and_again_applies_everything_once() {
    for bed in &beds("ap_cut").await.all {
        bed.keep_many("game1", "a", 600, 11).await;
        let mut cut_count = 0;
        while bed.waiting_count() > 0 {
            let before = bed.waiting_count();
            let working = bed.start();
            until(|| bed.waiting_count() < before || bed.waiting_count() == 0).await;
            working.cut().await;
            cut_count += 1;
        }
        assert!(cut_count > 1, "it was never in the middle");
        bed.check("game1", 600).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_ends_what_runs_and_marks_nothing_that_is_not_applied() {
    let bed = sqlite_bed().await;
    let mut holder = bed.pool("game1").acquire(far()).await.expect("one");
    holder.begin_transaction(None).await.expect("begun");
    bed.keep("game1", &[("create", "a", 1, 1), ("create", "b", 1, 1), ("create", "c", 2, 1)]).await;
    let working = bed.start();
    until(|| bed.pool("game1").stats().leased == 2).await;
    let begun = Instant::now();
    working.end().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(bed.waiting_count(), 3);
    holder.rollback().await.expect("released");
    drop(holder);
    bed.check("game1", 0).await;
    let working = bed.start();
    bed.drained().await;
    bed.check("game1", 3).await;
    working.end().await;
}

/// A batch of more bytes than one look at the journal reads, of which none is in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_too_large_to_be_read_at_once_is_applied_in_parts_and_in_order() {
    for bed in &beds("ap_large").await.all {
        bed.place("game1", true);
        let working = bed.start();
        bed.keep("game1", &[("create", "a", 1, 1)]).await;
        // By now its records are not kept in memory.
        until(|| bed.figure(r#"gateway_apply_records_total{outcome="lost"}"#) >= 4).await;
        let keys: Vec<String> = (0..40).map(|number| format!("b-{number:02}")).collect();
        let drafts = keys.iter().map(|key| {
            let mut draft = bed.draft("game1", ("create", key, 1, 1));
            draft.payload.trace = "x".repeat(240_000).into();
            draft
        });
        bed.offer(drafts).await;
        bed.place("game1", false);
        bed.drained().await;
        bed.check("game1", 41).await;
        assert!(bed.figure(r#"gateway_apply_records_total{outcome="held"}"#) > 0);
        working.end().await;
    }
}
