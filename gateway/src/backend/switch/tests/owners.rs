//! Gateways that go along with a flip, and such as have not heard of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::super::Purger;
use super::super::super::testing::until;
use super::super::gate::{Epoch, Owner};
use super::super::instance::{self, InstanceState};
use super::super::state::{self, Group, Phase};
use super::super::{Flip, backfill, by_rows, flip};
use super::copy::{equal, group};
use super::gateway::{Gateway, begin};
use super::world::{World, between, everywhere, open, run};
use crate::catalog::Dialect;
use crate::config::ConnectionConfig;
use crate::observe::Counter;

/// Everything copied, nothing flipped yet.
pub(super) async fn mirrored(world: &World) {
    begin(world).await;
    backfill(group(world), ("tests", "tests"), &mut |_| {}).await.expect("filled");
}

/// Flips to whichever side does not own the game. How long calls waited, as the command saw it.
pub(super) async fn flipped(world: &World) -> Duration {
    let group = by_rows(group(world)).await.expect("one owner");
    let pause_max = Duration::from_secs(5);
    let plan = Flip { pause_max, ..super::flip::forced(group) };
    let done = Box::pin(flip(&plan, &mut |_| {})).await.expect("flipped");
    done.pause.expect("it was this command's")
}

pub(super) fn far() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// What a gateway believes whose last look was before the flip.
pub(super) fn before() -> Owner {
    Owner { pool: "owner".into(), epoch: Epoch::Row(1) }
}

/// The currencies that a side has, each of a call that has taken effect there.
pub(super) async fn currencies(config: &ConnectionConfig) -> BTreeSet<String> {
    let mut side = open(config).await;
    let rows = side.texts("SELECT currency FROM wallet", Vec::new()).await.expect("rows");
    side.close().await;
    rows.into_iter().filter_map(|row| row.into_iter().next()?).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_that_has_not_heard_of_a_flip_writes_to_the_new_owner_and_nowhere_else() {
    everywhere("unheard", async |world| {
        mirrored(world).await;
        let gateway = Arc::new(Gateway::of(world, "one"));
        let gate = gateway.believe(before());
        gateway.call("put", (1, "known", 1), far()).await.expect("written");
        assert!(currencies(&world.owner).await.contains("known"), "its view is right so far");
        flipped(world).await;
        for op in ["put", "strict"] {
            gateway.believe(before());
            let calling = tokio::spawn({
                let gateway = Arc::clone(&gateway);
                async move { gateway.call(op, (1, op, 1), far()).await }
            });
            // It has asked the old owner, and wants to know who is the new one.
            until(|| !gate.is_open()).await;
            assert!(!calling.is_finished());
            gateway.lookout(world).look().await;
            calling.await.expect("no panic").expect("written, without a word");
            assert!(currencies(&world.mirror).await.contains(op));
            assert!(!currencies(&world.owner).await.contains(op), "{op}");
        }
        assert_eq!(gate.owner().map(|owner| owner.pool), Some("mirror".into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queued_orders_wait_out_a_flip_and_take_effect_once_on_the_new_owner() {
    everywhere("orders", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        let gate = gateway.believe(before());
        let applier = gateway.apply();
        let queue = async |range: std::ops::Range<i64>| {
            for number in range {
                gateway.queue((number % 3, &format!("q{number}"), 1)).await;
            }
        };
        queue(0..20).await;
        until(|| {
            // What it believes is good for some seconds only.
            gateway.believe(before());
            gateway.has_applied_all()
        })
        .await;
        flipped(world).await;
        gateway.believe(before());
        queue(20..40).await;
        until(|| !gate.is_open()).await;
        let looking = gateway.look_on();
        until(|| gateway.has_applied_all()).await;
        applier.end().await;
        let all: BTreeSet<String> = (0..40).map(|number| format!("q{number}")).collect();
        assert_eq!(currencies(&world.mirror).await, all);
        // The same orders again: their keys came along.
        queue(0..40).await;
        let applier = gateway.apply();
        until(|| gateway.has_applied_all()).await;
        applier.end().await;
        looking.end().await;
        assert_eq!(currencies(&world.mirror).await.len(), 40);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_follow_the_owner_and_what_was_cached_under_the_old_one_is_not_served() {
    everywhere("follow", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        let looking = gateway.look_on();
        gateway.call("put", (1, "gold", 5), far()).await.expect("written");
        assert_eq!(gateway.balance("get", 1, "gold").await, (5, false));
        assert_eq!(gateway.balance("get", 1, "gold").await, (5, true));
        flipped(world).await;
        // By nobody's call: only the epoch tells the two apart.
        run(&world.mirror, "UPDATE wallet SET balance = 7").await;
        assert_eq!(gateway.balance("look", 1, "gold").await.0, 7);
        assert_eq!(gateway.balance("get", 1, "gold").await, (7, false));
        assert_eq!(gateway.balance("get", 1, "gold").await, (7, true));
        assert_eq!(gateway.shown().1.epoch, 2);
        looking.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_waits_is_refused_at_its_deadline_and_not_before() {
    everywhere("deadline", async |world| {
        let gateway = Gateway::of(world, "one");
        for op in ["put", "get", "look"] {
            let deadline = Instant::now() + Duration::from_millis(80);
            let refused = gateway.call(op, (1, "gold", 1), deadline).await.expect_err("closed");
            assert_eq!(refused.code(), 1306, "{op}: nobody has looked yet");
            let over = Instant::now();
            assert!(over >= deadline && over < deadline + Duration::from_millis(900), "{op}");
        }
        gateway.lookout(world).look().await;
        gateway.call("put", (1, "gold", 1), far()).await.expect("written");
        assert_eq!(currencies(&world.owner).await.len(), 1, "the refused one had no effect");
    })
    .await;
}

/// Writes until it is told to stop; what was acknowledged is given back.
async fn write_on(gateway: &Gateway, player: i64, stop: &AtomicBool) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let currency = format!("w{player}x{number}");
        let op = if number % 2 == 0 { "put" } else { "strict" };
        let done = gateway.call(op, (player, &currency, 1), far()).await;
        done.unwrap_or_else(|error| panic!("{op} {currency}: {error} {error:?}"));
        let (balance, _) = gateway.balance("get", player, &currency).await;
        assert_eq!(balance, 1, "a write is read by whoever made it");
        written.insert(currency);
        number += 1;
        // Slow enough for one copier of a debug build on a machine that is busy.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_under_load_go_there_and_back_without_an_error_or_a_lost_write() {
    everywhere("load", async |world| {
        mirrored(world).await;
        let gateways = [Gateway::of(world, "one"), Gateway::of(world, "two")];
        let looking = [gateways[0].look_on(), gateways[1].look_on()];
        let stop = AtomicBool::new(false);
        let flips = async {
            for round in 1..=2_u32 {
                flipped(world).await;
                for gateway in &gateways {
                    until(|| gateway.shown().1.epoch == round + 1).await;
                }
            }
            stop.store(true, Ordering::Relaxed);
        };
        let (one, two, ()) =
            tokio::join!(write_on(&gateways[0], 1, &stop), write_on(&gateways[1], 2, &stop), flips);
        for gateway in &gateways {
            let (is_open, shown) = gateway.shown();
            assert!(is_open && shown.owner.as_deref() == Some("owner"), "{shown:?}");
            assert!(shown.pause.is_some_and(|pause| pause < Duration::from_secs(5)), "{shown:?}");
            let told = gateway.metrics.render();
            assert!(told.contains("gateway_switch_epoch{game=\"game1\"} 3"), "{told}");
            assert!(told.contains("gateway_switch_gate_open{game=\"game1\"} 1"), "{told}");
        }
        let acknowledged: BTreeSet<String> = one.union(&two).cloned().collect();
        assert!(acknowledged.len() > 4, "{}", acknowledged.len());
        assert_eq!(currencies(&world.owner).await, acknowledged);
        let [one, two] = looking;
        one.end().await;
        // Who ends says so, and nobody waits for it.
        let mut side = open(&world.owner).await;
        let alive = instance::read_alive(&mut side, "game1").await.expect("read");
        assert_eq!(alive.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["two"]);
        assert_eq!(alive[0].state, InstanceState::Open);
        two.cut().await;
        super::copy::drain(world).await;
        equal(world).await;
    })
    .await;
}

/// A row as a command left it that was killed.
async fn leave_in(world: &World, phase: &str, owner: &str, epoch: i64) {
    run(
        &world.owner,
        &format!(
            "UPDATE gateway_switch SET phase = '{phase}', owner = '{owner}', mirror = 'owner', \
             epoch = {epoch}, flip_id = 1, pause_max_ms = 100"
        ),
    )
    .await;
}

async fn phase(config: &ConnectionConfig) -> (Phase, String) {
    let mut side = open(config).await;
    let row = state::read(&mut side, "game1").await.expect("read").expect("a row");
    side.close().await;
    (row.phase, row.owner.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flip_whose_command_died_is_ended_by_a_gateway_and_calls_go_on() {
    everywhere("left", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        let looking = gateway.look_on();
        gateway.call("put", (1, "before", 1), far()).await.expect("written");
        leave_in(world, "draining", "mirror", 2).await;
        until(|| !gateway.shown().0).await;
        let begun = Instant::now();
        gateway.call("put", (1, "back", 1), far()).await.expect("written");
        assert!(begun.elapsed() > Duration::from_secs(1), "it waited for the command");
        assert_eq!(phase(&world.owner).await, (Phase::Mirrored, "owner".into()));
        assert!(currencies(&world.owner).await.contains("back"));
        // Copied in full, but nobody has opened the new owner.
        super::copy::drain(world).await;
        leave_in(world, "flipped", "mirror", 4).await;
        gateway.call("put", (1, "forward", 1), far()).await.expect("written");
        until(|| gateway.shown().1.epoch == 4).await;
        assert_eq!(phase(&world.mirror).await, (Phase::Mirrored, "mirror".into()));
        gateway.call("put", (1, "there", 1), far()).await.expect("written");
        assert!(currencies(&world.mirror).await.contains("there"));
        looking.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_that_does_not_know_the_mirror_says_so_and_serves_nobody_after_a_flip() {
    everywhere("unfit", async |world| {
        let gateway = Gateway::new(world, "alone", "database: owner");
        let looking = gateway.look_on();
        gateway.call("put", (1, "single", 1), far()).await.expect("written");
        assert_eq!(gateway.gates.shown(), [], "nothing to do with a switch");
        mirrored(world).await;
        until(|| !gateway.gates.shown().is_empty()).await;
        let registered = async || {
            let mut side = open(&world.owner).await;
            let all = instance::read_alive(&mut side, "game1").await.expect("read");
            side.close().await;
            all.into_iter().next()
        };
        let told = loop {
            if let Some(told) = registered().await {
                break told;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((&*told.name, told.state), ("alone", InstanceState::Unfit));
        assert!(told.fault.is_some_and(|fault| fault.contains("games.game1.mirror")));
        gateway.call("put", (1, "mirrored", 1), far()).await.expect("written");
        flipped(world).await;
        let begun = Instant::now();
        let refused = gateway.call("put", (1, "late", 1), far()).await.expect_err("moved");
        assert_eq!(refused.code(), 1306);
        let refused = gateway.call("look", (1, "single", 0), far()).await.expect_err("reads, too");
        assert_eq!(refused.code(), 1306);
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not wait for its deadline");
        assert!(!currencies(&world.owner).await.contains("late"));
        let (is_open, shown) = gateway.shown();
        assert!(!is_open && shown.fault.is_some_and(|why| why.contains("`mirror` owns game1")));
        looking.end().await;
    })
    .await;
}

/// Both orders in the configuration are the same: the rows decide.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_that_names_the_mirror_first_is_led_to_the_owner() {
    everywhere("reversed", async |world| {
        mirrored(world).await;
        let gateway = Gateway::new(world, "one", "database: mirror, mirror: owner");
        let looking = gateway.look_on();
        gateway.call("put", (1, "one", 1), far()).await.expect("written");
        assert!(currencies(&world.owner).await.contains("one"));
        flipped(world).await;
        gateway.call("put", (1, "two", 1), far()).await.expect("written");
        assert!(currencies(&world.mirror).await.contains("two"));
        let Group { owner, .. } = by_rows(group(world)).await.expect("one owner");
        assert_eq!(*owner.name, *"mirror");
        looking.end().await;
    })
    .await;
}

/// A game that leaves its mirror behind has no gate any more, and nobody waits at the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_without_the_mirror_takes_the_gate_away() {
    everywhere("without", async |world| {
        let gateway = Arc::new(Gateway::of(world, "one"));
        let looking = gateway.look_on();
        gateway.call("put", (1, "two", 1), far()).await.expect("written");
        let single = Gateway::new(world, "one", "database: owner");
        gateway.snapshot.store(single.snapshot.load_full());
        until(|| gateway.gates.shown().is_empty()).await;
        gateway.call("put", (1, "one", 1), far()).await.expect("written");
        assert_eq!(gateway.gates.shown(), [], "and nobody has made one");
        assert_eq!(currencies(&world.owner).await.len(), 2);
        looking.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_removes_nothing_from_a_database_that_does_not_own_the_game_any_more() {
    everywhere("purge", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        gateway.believe(before());
        let purger = Purger {
            snapshot: Arc::clone(&gateway.snapshot),
            pools: Arc::clone(&gateway.pools),
            gates: Arc::clone(&gateway.gates),
            journal: None,
            streams: None,
            purged: Counter::default(),
            events: Arc::default(),
        };
        gateway.call("strict", (1, "first", 1), far()).await.expect("written");
        run(&world.owner, "UPDATE gateway_request SET expires_at = 1").await;
        gateway.believe(before());
        purger.round(&mut HashMap::new()).await;
        assert_eq!(purger.purged.read(), 1, "its owner is purged");
        gateway.believe(before());
        gateway.call("strict", (1, "second", 1), far()).await.expect("written");
        flipped(world).await;
        run(&world.owner, "UPDATE gateway_request SET expires_at = 1").await;
        gateway.believe(before());
        purger.round(&mut HashMap::new()).await;
        assert_eq!(purger.purged.read(), 1, "the old owner is left alone");
    })
    .await;
}

/// While a trigger is made, MariaDB tells a write that it meets that the outbox does not exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_whose_outbox_is_not_to_be_found_is_no_fault_of_the_write() {
    between("outboxless", &[(Dialect::Mysql, Dialect::Mysql)], async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        gateway.believe(before());
        run(&world.owner, "RENAME TABLE gateway_outbox TO hidden").await;
        let refused = gateway.call("put", (1, "hidden", 1), far()).await.expect_err("no outbox");
        assert_eq!(refused.code(), 1302, "{refused}");
        assert!(!currencies(&world.owner).await.contains("hidden"));
        run(&world.owner, "RENAME TABLE hidden TO gateway_outbox").await;
        gateway.believe(before());
        gateway.call("put", (1, "found", 1), far()).await.expect("written");
        assert!(currencies(&world.owner).await.contains("found"));
    })
    .await;
}
