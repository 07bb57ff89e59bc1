//! Dead letters in the gateways' journals, as the gateways tell of them.

use super::super::instance::{self, Instance};
use super::super::status;
use super::flip::{flipped, mirrored, now};
use super::gateway::{Gateway, Working};
use super::world::{World, everywhere, open};

/// What is registered, on both sides alike, once it is as wanted: each gateway, whether it runs, and its letters.
async fn registered(world: &World, wanted: &[(&str, bool, i64)]) {
    for config in [&world.owner, &world.mirror] {
        let mut side = open(config).await;
        loop {
            let all = instance::read_all(&mut side, "game1").await.expect("read");
            let one = |it: &Instance| (it.name.to_string(), it.is_alive(), it.dead_letters);
            let found: Vec<_> = all.iter().map(one).collect();
            let wanted =
                wanted.iter().map(|(name, runs, count)| ((*name).to_owned(), *runs, *count));
            if found == wanted.collect::<Vec<_>>() {
                break;
            }
            tokio::task::yield_now().await;
        }
        side.close().await;
    }
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
            told.contains("one, which was last heard of 1") && told.contains("had 1"),
            "{told}"
        );
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
