//! Expired keys.

use super::super::super::write::purge;
use super::*;

#[tokio::test]
async fn expired_keys_are_purged_but_those_that_are_kept_and_those_still_young() {
    let beds = beds("w_purge").await;
    let mut template = keyed(exec("UPDATE account SET gold = gold + 1 WHERE id = 1"));
    let now_ms = supplied().now_micros / 1000;
    for bed in &beds.all {
        let mut lease = bed.pool.acquire(far()).await.expect("one");
        // 600 that have expired: more than two batches.
        for first in [0, 200, 400] {
            let rows: Vec<String> = (first..first + 200)
                .map(|number| format!("(x'{number:032x}', x'{number:032x}', {})", number % 7))
                .collect();
            let rows = rows.join(",");
            lease
                .run_text(&format!(
                    "INSERT INTO gateway_request (request_hash, params_hash, expires_at) VALUES {rows}"
                ))
                .await
                .expect("good SQL");
        }
        drop(lease);
        template.write.idempotent = Some(Idempotent { key_slot: 0, ttl: Duration::from_secs(1) });
        bed.body(&template, vec![text("young")]).await;
        let keep = |request: &[u8; 16]| request[15] == 9;
        let removed = purge(&bed.pool, now_ms, &keep).await.expect("purged");
        // Of 0 to 599 these end in the byte 9: 9, 265, 521.
        assert_eq!(removed, 597);
        assert_eq!(bed.key_count().await, "4");
        assert_eq!(purge(&bed.pool, now_ms, &|_| false).await.expect("purged"), 3);
        assert_eq!(purge(&bed.pool, now_ms + 1_001, &|_| false).await.expect("purged"), 1);
        assert_eq!(bed.key_count().await, "0");
    }
}
