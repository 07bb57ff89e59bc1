//! One instance without Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miss_storm_on_one_key_is_one_query() {
    let instance = Arc::new(Instance::alone());
    let (queries, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let reads: Vec<_> = (0..200)
        .map(|_| {
            let (instance, queries, gate) =
                (Arc::clone(&instance), Arc::clone(&queries), Arc::clone(&gate));
            tokio::spawn(async move {
                let fetch = || async {
                    queries.fetch_add(1, Ordering::SeqCst);
                    drop(gate.acquire().await.unwrap());
                    Ok(stored(7))
                };
                instance.read_by("row", fetch).await.unwrap()
            })
        })
        .collect();
    eventually("somebody asks", || queries.load(Ordering::SeqCst) == 1).await;
    gate.add_permits(200);
    let mut missed = 0;
    for read in reads {
        let (version, outcome) = read.await.unwrap();
        assert_eq!(version, 7);
        missed += usize::from(outcome == Outcome::Miss);
    }
    assert_eq!((queries.load(Ordering::SeqCst), missed), (1, 1));
}

#[tokio::test]
async fn failure_is_shared_with_those_who_waited_and_not_kept() {
    let instance = Arc::new(Instance::alone());
    let (go, gate) = oneshot::channel::<()>();
    let leader = {
        let instance = Arc::clone(&instance);
        tokio::spawn(async move {
            let fetch = || async {
                gate.await.unwrap();
                Err(Broken)
            };
            instance.read_by("row", fetch).await
        })
    };
    eventually("the leader leads", || instance.stats().flight_count == 1).await;
    let mut waiter = Box::pin(instance.read_by("row", || async { Ok(stored(1)) }));
    let is_waiting = tokio::select! {
        biased;
        _ = &mut waiter => false,
        () = tokio::task::yield_now() => true,
    };
    assert!(is_waiting);
    go.send(()).unwrap();
    assert_eq!(*waiter.await.unwrap_err(), Broken);
    assert_eq!(*leader.await.unwrap().unwrap_err(), Broken);
    assert_eq!(instance.read_by("row", || async { Ok(stored(1)) }).await, Ok((1, Outcome::Miss)));
}

#[tokio::test]
async fn cancelled_or_panicked_leader_lets_a_waiter_take_over() {
    for panics in [false, true] {
        let instance = Arc::new(Instance::alone());
        let (go, gate) = oneshot::channel::<()>();
        let leader = {
            let instance = Arc::clone(&instance);
            tokio::spawn(async move {
                let fetch = || async {
                    drop(gate.await);
                    panic!("the fetch panics")
                };
                instance.read_by("row", fetch).await
            })
        };
        eventually("the leader leads", || instance.stats().flight_count == 1).await;
        let waiter = {
            let instance = Arc::clone(&instance);
            tokio::spawn(async move { instance.read_by("row", || async { Ok(stored(2)) }).await })
        };
        tokio::task::yield_now().await;
        if panics {
            go.send(()).unwrap();
        } else {
            leader.abort();
        }
        assert!(leader.await.is_err());
        assert_eq!(waiter.await.unwrap(), Ok((2, Outcome::Miss)));
        assert_eq!(instance.stats().flight_count, 0);
    }
}

#[tokio::test]
async fn read_after_a_reply_never_joins_a_fetch_from_before_the_write() {
    let (instance, database) = (Arc::new(Instance::alone()), Database::default());
    database.set("row", 1);
    let (go, gate) = oneshot::channel::<()>();
    let early = {
        let (instance, database) = (Arc::clone(&instance), database.clone());
        tokio::spawn(async move {
            let fetch = || async {
                let version = database.get("row");
                gate.await.unwrap();
                Ok(stored(version))
            };
            instance.read_by("row", fetch).await.unwrap()
        })
    };
    eventually("the early read asks", || instance.stats().flight_count == 1).await;
    instance.write(&database, "row", 2).await;
    assert_eq!(instance.read(&database, "row").await, (2, Outcome::Miss));
    go.send(()).unwrap();
    assert_eq!(early.await.unwrap(), (1, Outcome::Miss));
    // What the early one fetched was dead on arrival; what the later one kept is still there.
    assert_eq!(instance.read(&database, "row").await, (2, Outcome::L1));
}

#[tokio::test]
async fn nothing_is_served_or_kept_while_a_writer_is_in_flight() {
    let (instance, database) = (Instance::alone(), Database::default());
    database.set("row", 1);
    instance.read(&database, "row").await;
    let write = instance.begin("row", WINDOW).await;
    assert_eq!(instance.read(&database, "row").await, (1, Outcome::Miss));
    assert_eq!(instance.read(&database, "row").await, (1, Outcome::Miss));
    assert_eq!(instance.read(&database, "other").await.1, Outcome::Miss);
    assert_eq!(instance.read(&database, "other").await.1, Outcome::L1);
    database.set("row", 2);
    write.finish().await;
    assert_eq!(instance.read(&database, "row").await, (2, Outcome::Miss));
    assert_eq!(instance.read(&database, "row").await, (2, Outcome::L1));
}

#[tokio::test]
async fn dropped_write_keeps_its_tags_closed_until_its_window_is_over() {
    let (instance, database) = (Instance::alone(), Database::default());
    drop(instance.begin("row", WINDOW).await);
    assert_eq!(instance.read(&database, "row").await.1, Outcome::Miss);
    assert_eq!(instance.read(&database, "row").await.1, Outcome::Miss);
    let other = Instance::alone();
    drop(other.begin("row", Duration::from_millis(1)).await);
    eventually("it is open again", || other.cache.shared.generations.view(&[tag("row")]).is_open())
        .await;
    assert_eq!(other.read(&database, "row").await.1, Outcome::Miss);
    assert_eq!(other.read(&database, "row").await.1, Outcome::L1);
}

#[tokio::test]
async fn read_without_exact_tags_is_fetched_each_time() {
    let instance = Instance::alone();
    let key = key_of(instance.cache.hasher(), "row");
    for version in 1..3 {
        let request = Load { key: &key, tags: None, policy: &instance.policy };
        let loaded = instance.cache.load(request, || async { Ok(stored(version)) }).await;
        let (found, outcome) = loaded.unwrap();
        assert_eq!((super::version(&found), outcome), (version, Outcome::Miss));
    }
}

#[tokio::test]
async fn no_such_row_is_kept_as_its_policy_says() {
    let (mut instance, database) = (Instance::alone(), Database::default());
    instance.read(&database, "row").await;
    assert_eq!(instance.read(&database, "row").await, (0, Outcome::L1));
    instance.write(&database, "row", 1).await;
    assert_eq!(instance.read(&database, "row").await, (1, Outcome::Miss));
    instance.policy.negative_ttl = Duration::ZERO;
    instance.read(&database, "other").await;
    assert_eq!(instance.read(&database, "other").await, (0, Outcome::Miss));
}

#[tokio::test]
async fn everything_as_a_tag_makes_every_entry_stale() {
    let (instance, database) = (Instance::alone(), Database::default());
    instance.read(&database, "row").await;
    let write = instance.cache.begin_write(Box::new([Tag::EVERYTHING]), WINDOW).await;
    assert_eq!(instance.read(&database, "row").await.1, Outcome::Miss);
    write.finish().await;
    assert_eq!(instance.read(&database, "row").await.1, Outcome::Miss);
    assert_eq!(instance.read(&database, "row").await.1, Outcome::L1);
}
