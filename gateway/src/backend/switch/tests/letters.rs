//! Dead letters in the gateways' journals, as the gateways tell of them.

use std::time::{Duration, Instant};

use super::super::instance::{self, Instance, InstanceState};
use super::super::registration::{Registration, register};
use super::super::state::{Phase, now_ms};
use super::super::{Flip, flip, status};
use super::copy::group;
use super::flip::{flipped, forced, mirrored, now, row};
use super::gateway::{Gateway, Working};
use super::world::{World, between, everywhere, open, run};
use crate::catalog::Dialect;
use crate::config::ConnectionConfig;

/// What is registered, on both sides alike, once it is as wanted: each gateway, whether it runs, and its letters.
async fn registered(world: &World, wanted: &[(&str, bool, i64)]) {
    for config in [&world.owner, &world.mirror] {
        registered_on(config, wanted).await;
    }
}

/// The same on one side.
async fn registered_on(config: &ConnectionConfig, wanted: &[(&str, bool, i64)]) {
    let until = Instant::now() + Duration::from_secs(30);
    let one = |(name, runs, count): &(&str, bool, i64)| ((*name).to_owned(), *runs, Some(*count));
    let wanted: Vec<_> = wanted.iter().map(one).collect();
    let mut side = open(config).await;
    loop {
        let all = instance::read_all(&mut side, "game1").await.expect("read");
        let one = |it: &Instance| (it.name.to_string(), it.is_alive(), it.dead_letters);
        let found: Vec<_> = all.iter().map(one).collect();
        if found == wanted {
            break;
        }
        assert!(Instant::now() < until, "{found:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    side.close().await;
}

/// What is held against a flip for them.
async fn fault(world: &World) -> Option<Box<str>> {
    let checks = status(now(world).await).await.expect("a status").checks;
    checks.into_iter().find(|check| check.name == "letters").expect("it is looked at").fault
}

async fn looking(world: &World, gateway: &Gateway, name: &str, count: i64) -> Working {
    let looking = gateway.look_on();
    registered(world, &[(name, true, count)]).await;
    looking
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_held_against_a_flip_until_their_journal_has_none_whoever_has_it() {
    everywhere("letters", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        gateway.queue((1, "first", 1)).await;
        gateway.queue((2, "second", 1)).await;
        let work = looking(world, &gateway, "one", 0).await;
        assert_eq!(fault(world).await, None, "orders that wait are none");
        let (first, second) = (gateway.bury().await, gateway.bury().await);
        registered(world, &[("one", true, 2)]).await;
        let told = fault(world).await.expect("held against it");
        assert!(told.contains("one has 2") && told.contains("gateway journal list"), "{told}");
        gateway.drop_dead(first).await;
        registered(world, &[("one", true, 1)]).await;
        // What it says at its end counts on, and nobody waits for it.
        work.end().await;
        registered(world, &[("one", false, 1)]).await;
        let told = fault(world).await.expect("its last word");
        assert!(
            told.contains("one, which was last heard of 1") && told.contains("had 1 dead letters"),
            "{told}"
        );
        assert!(told.contains("WHERE group_name = 'game1' AND instance = 'one'`"), "{told}");
        // The word of another journal's gateway is none of its own.
        let other = Gateway::of(world, "other");
        let work = other.look_on();
        registered(world, &[("one", false, 1), ("other", true, 0)]).await;
        work.end().await;
        registered(world, &[("one", false, 1)]).await;
        // The next process with that journal takes its place, also where the one before was killed.
        let gateway = gateway.restarted("two");
        looking(world, &gateway, "two", 1).await.cut().await;
        let gateway = gateway.restarted("three");
        let work = looking(world, &gateway, "three", 1).await;
        gateway.drop_dead(second).await;
        registered(world, &[("three", true, 0)]).await;
        assert_eq!(fault(world).await, None);
        work.end().await;
        registered(world, &[]).await;
    })
    .await;
}

/// After a flip they are held against the way back: they stand in both databases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_that_a_flip_overrode_are_held_against_the_next_one() {
    everywhere("lettersforced", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        gateway.queue((1, "first", 1)).await;
        gateway.bury().await;
        let work = looking(world, &gateway, "one", 1).await;
        let done = flipped(now(world).await).await.expect("forced");
        let letters = done.overridden.iter().find(|check| check.name == "letters");
        let told = letters.and_then(|check| check.fault.as_deref()).expect("what was overridden");
        assert!(told.contains("one has 1") && &*done.owner == "mirror", "{told}");
        assert!(fault(world).await.is_some_and(|told| told.contains("one has 1")));
        work.end().await;
    })
    .await;
}

/// A gateway that was not upgraded registers without a word of letters: nobody counted them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_that_does_not_count_is_held_against_a_flip_for_as_long_as_it_runs() {
    everywhere("lettersold", async |world| {
        mirrored(world).await;
        let seen_at = now_ms();
        let older = format!(
            "INSERT INTO gateway_switch_instance (group_name, instance, seen_at, epoch, flip_id, state, pause_ms) \
             VALUES ('game1', 'older', {seen_at}, 1, 0, 'open', 0)"
        );
        for config in [&world.owner, &world.mirror] {
            run(config, &older).await;
        }
        let told = fault(world).await.expect("nobody counted");
        assert!(told.contains("older is a gateway of an older version"), "{told}");
        assert!(!told.contains("gateway journal"), "there is nothing to be listed: {told}");
        let plan = Flip { is_forced: false, ..forced(now(world).await) };
        let refused = flip(&plan, &mut |_| {}).await.expect_err("refused").to_string();
        assert!(refused.contains("letters: older is"), "{refused}");
        // One that has gone is waited for by nobody, and forgotten like others without letters.
        let gone = "UPDATE gateway_switch_instance SET seen_at = seen_at - 86410000";
        run(&world.owner, gone).await;
        assert_eq!(fault(world).await, None);
        let counting = Gateway::of(world, "one");
        let work = counting.look_on();
        registered_on(&world.owner, &[("one", true, 0)]).await;
        assert_eq!(fault(world).await, None, "none is a count, too");
        work.end().await;
    })
    .await;
}

/// Also with force: after the flip nobody would know of the gateways.
#[tokio::test]
async fn mirror_that_was_not_migrated_is_no_place_to_flip_to() {
    everywhere("lettersmirror", async |world| {
        mirrored(world).await;
        run(&world.mirror, "ALTER TABLE gateway_switch_instance DROP COLUMN dead_letters").await;
        let told = flipped(group(world)).await.expect_err("refused").to_string();
        assert!(told.contains("`mirror`") && told.contains("`gateway migrate`"), "{told}");
        assert_eq!(row(&world.owner).await.phase, Phase::Mirrored, "nothing was begun");
    })
    .await;
}

/// Its last word says so, and not only the moment of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_that_has_ended_is_waited_for_by_nobody_however_far_ahead_its_clock_was() {
    everywhere("lettersahead", async |world| {
        mirrored(world).await;
        let gateway = Gateway::of(world, "one");
        gateway.queue((1, "first", 1)).await;
        gateway.bury().await;
        looking(world, &gateway, "one", 1).await.end().await;
        for config in [&world.owner, &world.mirror] {
            run(config, "UPDATE gateway_switch_instance SET seen_at = seen_at + 3600000").await;
        }
        registered(world, &[("one", false, 1)]).await;
        let begun = Instant::now();
        let done = flipped(now(world).await).await.expect("nobody is waited for");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let overridden: Vec<_> = done.overridden.iter().map(|check| check.name).collect();
        assert!(overridden.contains(&"letters"), "they are still there: {overridden:?}");
        assert!(!overridden.contains(&"gateways"), "one that has ended is not unfit");
    })
    .await;
}

/// A MySQL that is an hour ahead of everybody: what was said a moment ago is a moment old.
#[tokio::test]
async fn signs_of_life_are_as_old_as_the_clock_of_their_database_says() {
    let directions = [(Dialect::Mysql, Dialect::Sqlite)];
    between("lettersclock", &directions, async |world| {
        let mut side = open(&world.owner).await;
        side.run_text("SET timestamp = UNIX_TIMESTAMP() + 3600").await.expect("set");
        let said = Registration {
            epoch: 1,
            flip_id: 0,
            state: InstanceState::Open,
            fault: None,
            pause_ms: 0,
            journal: None,
            dead_letters: 0,
        };
        register(&mut side, ("game1", "one"), &said).await.expect("registered");
        let alive = instance::read_alive(&mut side, "game1").await.expect("read");
        let [one] = &*alive else { panic!("{alive:?}") };
        assert!(one.silent_ms.abs() < 10_000, "{one:?}");
        // Twenty seconds later.
        side.run_text("SET timestamp = UNIX_TIMESTAMP() + 20").await.expect("set");
        let alive = instance::read_alive(&mut side, "game1").await.expect("read");
        assert_eq!(alive, [], "by the same clock");
        side.close().await;
    })
    .await;
}
