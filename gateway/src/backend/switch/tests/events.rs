//! Events (`@emit`) of a game with a mirror: not copied, in nobody's way, and read in one order wherever they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::super::testing::until;
use super::super::{EventId, EventQuery, outbox, read_events, status};
use super::copy::{drain, equal, group};
use super::gateway::Gateway;
use super::owners::{before, far, flipped, mirrored};
use super::world::{World, everywhere, open, put_wallet, run};

/// The currencies that are told of behind an event, and the last one's place.
async fn told(world: &World, after: EventId, count_max: usize) -> (Vec<String>, EventId) {
    let query = EventQuery {
        game: "game1",
        database: &world.owner,
        mirror: Some(&world.mirror),
        after,
        count_max,
    };
    let events = read_events(query).await.expect("read");
    let last = events.last().map_or(after, |event| event.id);
    assert!(events.iter().all(|event| event.id > after), "{after}: {events:?}");
    let currency = |data: &str| {
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        data["currency"].as_str().expect("a text").to_owned()
    };
    (events.iter().map(|event| currency(&event.data)).collect(), last)
}

/// All of them, a few at a time.
async fn all(world: &World) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), EventId::default());
    loop {
        let (more, last) = told(world, after, 3).await;
        if more.is_empty() {
            return all;
        }
        all.extend(more);
        after = last;
    }
}

fn names(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|number| format!("e{number:03}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_both_owners_are_read_in_the_order_of_their_writes_over_flips() {
    everywhere("events", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        let looking = gateway.look_on();
        let applier = gateway.apply();
        let put = async |range: std::ops::Range<i64>| {
            for number in range {
                let currency = format!("e{number:03}");
                if number % 2 == 0 {
                    gateway.call("strict", (1, &currency, 1), far()).await.expect("written");
                } else {
                    gateway.queue((1, &currency, 1)).await;
                    until(|| gateway.has_applied_all()).await;
                }
            }
        };
        put(0..6).await;
        // Some of them have been read, others have not, when the owner changes.
        let (first, place) = told(world, EventId::default(), 4).await;
        assert_eq!(first, names(0..4));
        put(6..8).await;
        flipped(world).await;
        put(8..10).await;
        assert_eq!(told(world, place, 100).await.0, names(4..10));
        put(10..12).await;
        flipped(world).await;
        put(12..14).await;
        assert_eq!(all(world).await, names(0..14));
        // The same request again, wherever its event is.
        gateway.call("strict", (1, "e000", 1), far()).await.expect("known");
        assert_eq!(all(world).await, names(0..14));
        applier.end().await;
        looking.end().await;
        drain_now(world).await;
        equal(world).await;
    })
    .await;
}

async fn drain_now(world: &World) {
    let group = super::super::by_rows(group(world)).await.expect("one owner");
    let takeover = super::super::Takeover::Now;
    super::super::copy(group, "drain", takeover, &mut |_| {}).await.expect("copied");
}

/// Whoever reads on sees each event once, while the owner changes and others write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_goes_on_while_the_owner_changes_misses_no_event_and_sees_none_twice() {
    everywhere("events_on", async |world| {
        mirrored(world).await;
        let gateway = Arc::new(Gateway::of(world, "one"));
        let looking = gateway.look_on();
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (gateway, stop) = (Arc::clone(&gateway), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut written = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let currency = format!("w{writer}n{}", written.len());
                        let done = gateway.call("strict", (writer, &currency, 1), far()).await;
                        done.expect("a flip is a pause, and no error");
                        written.push(currency);
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    }
                    written
                })
            })
            .collect();
        let (mut seen, mut after) = (Vec::new(), EventId::default());
        let reading = async {
            loop {
                let (more, last) = told(world, after, 7).await;
                seen.extend(more);
                after = last;
            }
        };
        let flipping = async {
            for _ in 0..2 {
                flipped(world).await;
            }
        };
        tokio::select! {
            () = flipping => {}
            () = reading => unreachable!("it has no end"),
        }
        stop.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for writer in writers {
            written.extend(writer.await.expect("no panic"));
        }
        looking.end().await;
        loop {
            let (more, last) = told(world, after, 100).await;
            if more.is_empty() {
                break;
            }
            seen.extend(more);
            after = last;
        }
        seen.sort();
        written.sort();
        assert!(written.len() > 3, "{written:?}");
        assert_eq!(seen, written);
    })
    .await;
}

/// Rows to be copied are counted without the events between them, and an old event is no lag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_neither_copied_nor_counted_among_what_waits() {
    everywhere("events_aside", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        gateway.believe(before());
        gateway.call("strict", (1, "first", 1), far()).await.expect("written");
        // Its wallet and its key; and what is told of it.
        assert_eq!(drain(world).await, 2);
        let mut owner = open(&world.owner).await;
        let depth = outbox::depth(&mut owner).await.expect("a depth");
        assert_eq!(depth, outbox::Depth::default(), "an event waits for nobody");
        assert_eq!(told(world, EventId::default(), 10).await.0, ["first"]);
        put_wallet(&mut owner, 7, "before", 1).await;
        let moment = super::super::moment_sql(world.owner.dialect);
        for _ in 0..300 {
            let sql = format!(
                "INSERT INTO gateway_outbox (kind, table_name, row_key, game, operation, data, \
                 emitted_at, created_at) \
                 VALUES (1, 'wallet', 'put', 'game1', 'wallet.put', '{{\"currency\":\"x\"}}', 1, {moment})"
            );
            owner.execute(sql, Vec::new()).await.expect("inserted");
        }
        put_wallet(&mut owner, 7, "behind", 1).await;
        let depth = outbox::depth(&mut owner).await.expect("a depth");
        assert!(depth.last - depth.first > 300, "{depth:?}");
        assert_eq!(depth.count_max, 2);
        let waiting = outbox::waiting(&mut owner, "wallet").await.expect("keys");
        assert_eq!(waiting.len(), 2, "{waiting:?}");
        assert_eq!(drain(world).await, 2);
        equal(world).await;
        let lag = status(group(world)).await.expect("a status");
        let lag = lag.checks.into_iter().find(|check| check.name == "lag").expect("it is looked at");
        assert_eq!(lag.fault, None);
        assert_eq!(told(world, EventId::default(), 1000).await.0.len(), 301);
        run(&world.owner, "DELETE FROM wallet WHERE player_id = 7").await;
    })
    .await;
}
