//! Gateways whose configuration names a former owner alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gateway::Gateway;
use super::owners::{currencies, far, flipped, mirrored};
use super::world::everywhere;
use crate::config::ConnectionConfig;

/// A reload that changes a pool's limits may come while a database is asked: its answer counts all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_of_a_database_ends_the_wait_whatever_limits_its_connection_has_by_then() {
    everywhere("limits", async |world| {
        let gateway = Gateway::new(world, "alone", "database: owner");
        let config = Arc::clone(&gateway.snapshot.load().config);
        gateway.gates.expect(None, &config);
        assert!(gateway.gates.is_unasked("game1"));
        gateway.gates.note_asked(&world.mirror);
        assert!(gateway.gates.is_unasked("game1"), "it was another one");
        let count = world.owner.open_count_max + 1;
        let other = ConnectionConfig { open_count_max: count, ..world.owner.clone() };
        gateway.gates.note_asked(&other);
        assert!(!gateway.gates.is_unasked("game1"));
        gateway.gates.expect(Some(&config), &config);
        assert!(!gateway.gates.is_unasked("game1"), "nothing has changed");
    })
    .await;
}

/// Its configuration has lost sight of the switch: the database is asked before the first write, and not a second after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_that_starts_with_the_former_owner_alone_writes_nothing_there_from_the_first_call_on()
 {
    everywhere("former", async |world| {
        // What a start does, and then a call that is sooner than the first look.
        let started = async |name: &str, currency: &'static str| {
            let gateway = Gateway::new(world, name, "database: owner");
            gateway.gates.expect(None, &gateway.snapshot.load().config);
            let begun = Instant::now();
            let early = gateway.call("put", (1, currency, 1), far());
            let look = async {
                tokio::task::yield_now().await;
                gateway.look_on()
            };
            let (done, looking) = tokio::join!(early, look);
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "whatever it is, it is known by then"
            );
            looking.end().await;
            (done, gateway.gates.shown())
        };
        let (done, shown) = started("single", "single").await;
        done.expect("it has nothing to do with a switch");
        assert_eq!(shown, []);
        mirrored(world).await;
        flipped(world).await;
        let (done, _) = started("former", "early").await;
        assert_eq!(done.expect_err("moved").code(), 1306);
        assert!(!currencies(&world.owner).await.contains("early"));
    })
    .await;
}
