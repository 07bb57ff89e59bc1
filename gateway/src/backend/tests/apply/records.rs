//! What becomes of single records.

use super::*;
use crate::observe::{EventKind, event_count};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_record_is_applied_once_and_each_player_keeps_the_order() {
    for bed in &beds("ap_once").await.all {
        let working = bed.start();
        bed.keep_many("game1", "a", 500, 7).await;
        bed.drained().await;
        bed.check("game1", 500).await;
        assert_eq!(bed.figure(r#"gateway_apply_records_total{outcome="applied"}"#), 500);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_at_fault_is_found_and_dies_while_others_go_on_and_its_lane_waits() {
    for bed in &beds("ap_fault").await.all {
        let bad: Order<'_> = ("create", "b-bad", 5, -1);
        let after: Order<'_> = ("create", "c-after", 5, 1);
        bed.keep_many("game1", "a", 9, 3).await;
        bed.keep("game1", &[bad, after]).await;
        let working = bed.start();
        until(|| bed.waiting_count() <= 2).await;
        assert!(matches!(bed.state("game1", bad), Some(State::Journalled { .. })));
        assert!(matches!(bed.state("game1", after), Some(State::Journalled { .. })));
        bed.drained().await;
        let Some(State::Dead { code, message, .. }) = bed.state("game1", bad) else {
            panic!("not dead")
        };
        assert_eq!((code, &*message), (1303, "the statement failed"));
        assert_eq!(bed.ledger("game1").await.last().map(String::as_str), Some("c-after"));
        bed.check("game1", 10).await;
        assert_eq!(bed.figure(r#"gateway_apply_records_total{outcome="failed"}"#), 2);
        assert_eq!(bed.figure(r#"gateway_apply_records_total{outcome="dead"}"#), 1);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_record_is_tried_again_until_it_fits_and_its_lane_keeps_the_order() {
    for bed in &beds("ap_again").await.all {
        let working = bed.start();
        bed.keep("game1", &[("endless", "a", 1, 150), ("create", "b", 1, 1)]).await;
        bed.keep("game1", &[("endless", "c", 2, 50)]).await;
        until(|| bed.waiting_count() == 2).await;
        let failed = r#"gateway_apply_records_total{outcome="failed"}"#;
        until(|| bed.figure(failed) >= 2).await;
        assert_eq!(bed.ledger("game1").await, ["c"]);
        bed.run("game1", "UPDATE account SET gold = 200 WHERE id = 1").await;
        bed.drained().await;
        assert_eq!(bed.ledger("game1").await, ["c", "a", "b"]);
        let gold = "SELECT gold FROM account ORDER BY id";
        assert_eq!(bed.ask("game1", gold).await, ["50", "50", "100"]);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn template_s_own_refusal_stands_in_the_dead_letter() {
    for bed in &beds("ap_own").await.all {
        let working = bed.start();
        let order: Order<'_> = ("spend", "a", 1, 101);
        bed.keep("game1", &[order]).await;
        bed.drained().await;
        let Some(State::Dead { code, message, .. }) = bed.state("game1", order) else {
            panic!("not dead")
        };
        assert_eq!((code, &*message), (2103, "NO_GOLD"));
        bed.check("game1", 0).await;
        working.end().await;
    }
}

/// Puts a key's row there as a synchronous request does, and its effect.
pub(super) async fn done_by_another(bed: &Bed, order: Order<'_>) {
    let key = bed.draft("game1", order).key;
    let hex =
        |bytes: [u8; 16]| bytes.iter().fold(String::new(), |all, byte| format!("{all}{byte:02x}"));
    let (request, params) = (hex(key.request), hex(key.params));
    let sql = format!(
        "INSERT INTO gateway_request (request_hash, params_hash, expires_at) \
         VALUES (X'{request}', X'{params}', 9999999999999)"
    );
    bed.run("game1", &sql).await;
    let (_, name, player, _) = order;
    let sql = format!("INSERT INTO ledger (order_no, player, qty) VALUES ('{name}', {player}, 1)");
    bed.run("game1", &sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeat_of_a_synchronous_request_is_over_and_a_reused_key_is_dead_at_once() {
    for bed in &beds("ap_key").await.all {
        done_by_another(bed, ("create", "a", 1, 1)).await;
        done_by_another(bed, ("create", "b", 1, 1)).await;
        let (repeat, reused) = (("create", "a", 1, 1), ("create", "b", 1, 2));
        bed.keep("game1", &[repeat, reused, ("create", "c", 1, 1)]).await;
        let working = bed.start();
        bed.drained().await;
        assert!(matches!(bed.state("game1", repeat), Some(State::Applied { .. })));
        let state = bed.state("game1", reused);
        assert!(matches!(state, Some(State::Dead { code: 2020, .. })), "{state:?}");
        let letters = bed.journal.letters(0, 9).expect("read");
        assert!(letters[0].is_overtaken, "by what was applied with it");
        bed.check("game1", 3).await;
        assert_eq!(bed.figure(r#"gateway_apply_records_total{outcome="failed"}"#), 0);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_whose_transaction_panics_is_found_and_dies_alone() {
    for bed in &beds("ap_panic").await.all {
        let order: Order<'_> = ("create", "panic-b", 1, 1);
        bed.keep("game1", &[("create", "a", 1, 1), order, ("create", "c", 2, 1)]).await;
        let working = bed.start();
        bed.drained().await;
        let state = bed.state("game1", order);
        assert!(matches!(state, Some(State::Dead { code: 1099, .. })), "{state:?}");
        bed.check("game1", 2).await;
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_task_that_panics_are_tried_again() {
    for bed in &beds("ap_crash").await.all {
        let key = format!("crash-{:?}", bed.dialect);
        bed.keep("game1", &[("create", "a", 1, 1), ("create", &key, 1, 1)]).await;
        let working = bed.start();
        bed.drained().await;
        bed.check("game1", 2).await;
        assert_eq!(bed.figure(r#"gateway_apply_records_total{outcome="panicked"}"#), 2);
        assert_eq!(bed.figure(r#"gateway_apply_records_total{outcome="failed"}"#), 0);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loop_that_panics_begins_anew_and_applies_everything_once() {
    for bed in &beds("ap_loop").await.all {
        let working = bed.start();
        bed.keep_many("game1", "a", 100, 3).await;
        let key = format!("loop-{:?}", bed.dialect);
        bed.keep("game1", &[("create", &key, 1, 1)]).await;
        bed.keep_many("game1", "m", 100, 3).await;
        bed.drained().await;
        bed.check("game1", 201).await;
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn position_on_disk_follows_the_last_record_although_nothing_comes_after_it() {
    for bed in &beds("ap_position").await.all {
        let working = bed.start();
        for count in 1..=3 {
            bed.keep_many("game1", &format!("a{count}-"), 1, 1).await;
            bed.drained().await;
            until(|| bed.journal.position() == bed.journal.lowest()).await;
        }
        assert_eq!(bed.journal.position(), 4);
        working.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_of_another_contract_is_held_aloud_and_never_applied() {
    for bed in &beds("ap_contract").await.all {
        let mut draft = bed.draft("game1", ("create", "a", 1, 1));
        draft.payload.contract ^= 1;
        bed.offer(std::iter::once(draft)).await;
        bed.keep("game2", &[("create", "b", 1, 1)]).await;
        let told = event_count(EventKind::ApplyPaused);
        let working = bed.start();
        until(|| bed.figure(r#"gateway_apply_records_total{outcome="lost"}"#) >= 4).await;
        until(|| bed.waiting_count() == 1).await;
        assert!(event_count(EventKind::ApplyPaused) > told);
        assert_eq!(bed.figure(r#"gateway_apply_away{game="game1"}"#), 1);
        bed.check("game1", 0).await;
        bed.check("game2", 1).await;
        working.end().await;
    }
}
