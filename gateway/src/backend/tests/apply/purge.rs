//! The purger goes on where a round has left keys behind.

use std::collections::HashMap;

use super::super::super::Purger;
use super::super::write::purge::expired_keys;
use super::*;
use crate::observe::Counter;

/// Clients make keys as fast as they write: a purger that removed only so many a minute would fall behind.
#[tokio::test]
async fn purger_comes_back_soon_while_a_round_leaves_expired_keys_behind() {
    let bed = sqlite_bed().await;
    // A round removes 1,024 in tests.
    bed.run("game1", &expired_keys(2_500, Dialect::Sqlite)).await;
    let purger = Purger {
        snapshot: Arc::clone(&bed.snapshot),
        pools: Arc::clone(&bed.pools),
        gates: Arc::default(),
        journal: Some(Arc::clone(&bed.journal)),
        streams: None,
        purged: Counter::default(),
        events: Arc::default(),
    };
    let mut places = HashMap::new();
    let mut rounds = Vec::new();
    for _ in 0..4 {
        let pause = purger.round(&mut places).await;
        rounds.push((purger.purged.read(), pause.as_secs()));
    }
    assert_eq!(rounds, [(1_024, 1), (2_048, 1), (2_500, 60), (2_500, 60)]);
    assert_eq!(bed.ask("game1", "SELECT COUNT(*) FROM gateway_request").await, ["0"]);
}
