//! Expired keys.

use std::sync::Mutex;

use super::super::super::write::{Expired, Mark, Place, Purged, purge};
use super::*;

/// Writes keys that expired in 1970.
pub(in crate::backend::tests) fn expired_keys(count: u32, dialect: Dialect) -> String {
    let insert = "INSERT INTO gateway_request (request_hash, params_hash, expires_at) ";
    let hash = |number: u32| hash(number, dialect);
    let row = |number| format!("{0}, {0}, {1}", hash(number), number % 7);
    if dialect == Dialect::Oracle {
        let rows: Vec<String> =
            (0..count).map(|n| format!("SELECT {} FROM dual", row(n))).collect();
        return insert.to_owned() + &rows.join(" UNION ALL ");
    }
    let rows: Vec<String> = (0..count).map(|number| format!("({})", row(number))).collect();
    format!("{insert}VALUES {}", rows.join(","))
}

fn hash(number: u32, dialect: Dialect) -> String {
    match dialect {
        Dialect::Oracle => format!("HEXTORAW('{number:032x}')"),
        _ => format!("x'{number:032x}'"),
    }
}

#[tokio::test]
async fn expired_keys_are_purged_but_those_that_are_kept_and_those_still_young() {
    let beds = beds("w_purge").await;
    let mut template = keyed(exec("UPDATE account SET gold = gold + 1 WHERE id = 1"));
    let now_ms = supplied().now_micros / 1000;
    for bed in &beds.all {
        let mut lease = bed.pool.acquire(far()).await.expect("one");
        // 600 that have expired: more than two batches.
        lease.run_text(&expired_keys(600, bed.dialect)).await.expect("good SQL");
        drop(lease);
        template.write.idempotent = Some(Idempotent { key_slot: 0, ttl: Duration::from_secs(1) });
        bed.body(&template, vec![text("young")]).await;
        let keep = |row: &Expired| row.request[15] == 9;
        let mut last = Place::default();
        let removed = purge(&bed.pool, None, now_ms, &mut last, &keep).await.expect("purged");
        // Of 0 to 599 these end in the byte 9: 9, 265, 521.
        assert_eq!(removed, Purged { count: 597, is_complete: true });
        assert_eq!(bed.key_count().await, "4");
        for (now_ms, count) in [(now_ms, 3), (now_ms + 1_001, 1)] {
            let removed =
                purge(&bed.pool, None, now_ms, &mut last, &|_| false).await.expect("purged");
            assert_eq!(removed, Purged { count, is_complete: true });
        }
        assert_eq!(bed.key_count().await, "0");
    }
}

#[tokio::test]
async fn purge_is_told_which_journal_s_record_wrote_a_row() {
    let beds = beds("w_purge_mark").await;
    for bed in &beds.all {
        let mut lease = bed.pool.acquire(far()).await.expect("one");
        for (number, mark) in [(1, "-7, 3"), (2, "NULL, NULL")] {
            let hash = hash(number, bed.dialect);
            let sql = format!(
                "INSERT INTO gateway_request (request_hash, params_hash, journal, sequence, expires_at) \
                 VALUES ({hash}, {hash}, {mark}, 5)"
            );
            lease.run_text(&sql).await.expect("good SQL");
        }
        drop(lease);
        let seen = Mutex::new(Vec::new());
        let keep = |row: &Expired| {
            seen.lock().expect("no panic").push((row.request[15], row.expires_at, row.mark));
            row.mark.is_some()
        };
        let removed =
            purge(&bed.pool, None, 6, &mut Place::default(), &keep).await.expect("purged");
        assert_eq!((removed.count, &*bed.key_count().await), (1, "1"));
        let mark = Some(Mark { journal: -7, sequence: 3 });
        assert_eq!(seen.into_inner().expect("no panic"), [(1, 5, mark), (2, 5, None)]);
    }
}
