//! Two instances, and a Redis or a subscription that is killed, emptied, restored, hung.

use super::*;

#[tokio::test]
async fn redis_that_is_down_makes_reads_slower_and_never_an_error() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (one, database) = (Instance::on(&server).await, Database::default());
    database.set("row", 1);
    server.kill();
    for _ in 0..10 {
        assert_eq!(one.read(&database, "row").await, (1, Outcome::Miss));
    }
    one.write(&database, "row", 2).await;
    assert_eq!(one.read(&database, "row").await.0, 2);
    assert_eq!((one.count_of("RedisDown"), one.l2().up), (1, false));
    eventually("the subscription is lost", || one.count_of("SubscriptionLost") == 1).await;
    server.restart().await;
    one.ready().await;
    assert_eq!((one.count_of("RedisUp"), one.count_of("RedisDown")), (1, 1));
    eventually_keeps(&one, &database, "row", 2).await;
}

#[tokio::test]
async fn instance_that_starts_without_redis_serves_and_finds_it_later() {
    let Some(mut server) = RedisServer::start().await else { return };
    server.kill();
    let redis = RedisConfig {
        url: Secret::new(server.url()),
        namespace: "gw".into(),
        connection_count: 1,
        timeout: Duration::from_millis(200),
    };
    let one = Instance::start(&CacheConfig { redis: Some(redis), ..config() });
    let database = Database::default();
    one.write(&database, "row", 1).await;
    assert_eq!(one.read(&database, "row").await, (1, Outcome::Miss));
    server.restart().await;
    one.ready().await;
    eventually("what was owed is delivered", || one.l2().pending_tags == 0).await;
    eventually_keeps(&one, &database, "row", 1).await;
}

#[tokio::test]
async fn redis_that_may_evict_is_told_and_one_that_may_not_is_not() {
    let Some(server) = RedisServer::start().await else { return };
    let one = Instance::on(&server).await;
    assert_eq!(one.count_of("RedisEvicts"), 0);
    server.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let two = Instance::on(&server).await;
    assert_eq!(two.count_of("RedisEvicts"), 1);
}

/// Redis is emptied between steps 1 and 2: it knows of no writer and of no generation.
#[tokio::test]
async fn redis_restarted_empty_before_the_commit_leaves_nothing_stale() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    let write = one.begin("row", WINDOW).await;
    server.kill();
    server.restart().await;
    // Two finds the new server, and fills it with the row of before the commit.
    eventually("two lost it", || {
        two.count_of("SubscriptionLost") > 0 && two.count_of("SubscriptionConfirmed") > 1
    })
    .await;
    eventually_keeps(&two, &database, "row", 1).await;
    two.filled().await;
    database.set("row", 2);
    write.finish().await;
    assert_eq!(one.read(&database, "row").await.0, 2);
    one.ready().await;
    assert_eq!(one.l2().pending_tags, 0);
    assert_eq!(Instance::on(&server).await.read(&database, "row").await.0, 2);
    assert_eq!(one.read(&database, "row").await.0, 2);
    eventually_reads(&two, &database, "row", 2).await;
}

#[tokio::test]
async fn redis_restarted_empty_after_the_commit_leaves_nothing_stale() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    two.read(&database, "row").await;
    two.filled().await;
    let write = one.begin("row", WINDOW).await;
    database.set("row", 2);
    server.kill();
    server.restart().await;
    write.finish().await;
    assert_eq!(one.read(&database, "row").await.0, 2);
    eventually_reads(&two, &database, "row", 2).await;
    one.ready().await;
    for instance in [&one, &Instance::on(&server).await] {
        assert_eq!(instance.read(&database, "row").await.0, 2);
    }
}

/// The dump is older than the write: it brings the old row and its generations back together.
#[tokio::test]
async fn redis_restored_from_an_old_dump_brings_no_old_row_back() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    one.read(&database, "row").await;
    one.filled().await;
    server.run(&["SAVE"]).await;
    one.write(&database, "row", 2).await;
    server.kill();
    server.restart().await;
    let key = key_of(one.cache.hasher(), "row");
    let name = one.cache.shared.l2.as_ref().unwrap().names.entry(key.as_ref());
    assert_eq!(server.run(&["EXISTS", &name]).await, redis::Value::Int(1));
    // An instance that never knew the server of before, too.
    let three = Instance::on(&server).await;
    assert_eq!(three.read(&database, "row").await.0, 2);
    assert_eq!(one.read(&database, "row").await.0, 2);
    eventually_reads(&two, &database, "row", 2).await;
}

#[tokio::test]
async fn tags_of_writes_without_redis_are_delivered_before_it_is_used_again() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    two.read(&database, "row").await;
    two.filled().await;
    // One alone loses Redis: two goes on with what it has.
    let l2 = one.cache.shared.l2.as_ref().unwrap();
    l2.connections.store(Arc::default());
    one.write(&database, "row", 2).await;
    assert_eq!(one.read(&database, "row").await.0, 2);
    one.ready().await;
    assert_eq!(one.l2().pending_tags, 0);
    assert_eq!(one.read(&database, "row").await.0, 2);
    eventually_reads(&two, &database, "row", 2).await;
    server.kill();
}

/// The subscription works, the look-ups do not: nobody said that no writer is in flight elsewhere.
#[tokio::test]
async fn what_redis_gave_no_leave_for_is_kept_no_longer_than_blind() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, database) = (Instance::on(&server).await, Database::default());
    one.cache.shared.l2.as_ref().unwrap().connections.store(Arc::default());
    assert!(!one.stats().blind);
    for _ in 0..2 {
        assert_eq!(one.read(&database, "row").await.1, Outcome::Miss);
    }
}

/// Redis comes back while a write is in flight that it was never told of.
#[tokio::test]
async fn write_that_redis_was_not_told_of_keeps_its_tags_closed_here() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, database) = (Instance::on(&server).await, Database::default());
    one.cache.shared.l2.as_ref().unwrap().connections.store(Arc::default());
    let write = one.begin("row", WINDOW).await;
    one.ready().await;
    assert_eq!(one.read(&database, "row").await.1, Outcome::Miss);
    one.filled().await;
    let two = Instance::on(&server).await;
    assert_eq!(two.read(&database, "row").await.1, Outcome::Miss);
    assert_eq!(one.read(&database, "row").await.1, Outcome::Miss);
    write.finish().await;
}

#[tokio::test]
async fn more_tags_than_can_be_owed_are_owed_as_a_new_epoch() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    server.kill();
    let tags_max = usize::try_from(config().pending_tags_max).unwrap();
    for number in 0..tags_max {
        one.write(&database, &format!("row{number}"), 1).await;
    }
    assert_eq!(one.l2().pending_tags, tags_max);
    one.write(&database, "one more", 1).await;
    assert_eq!(one.l2().pending_tags, 1);
    server.restart().await;
    one.ready().await;
    two.ready().await;
    assert_eq!(one.l2().pending_tags, 0);
    for number in 0..tags_max {
        eventually_reads(&two, &database, &format!("row{number}"), 1).await;
    }
}

/// What is told while the subscription is cut is never heard.
#[tokio::test]
async fn entries_of_before_a_cut_subscription_are_not_served_after_it() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    for round in 1..=10 {
        database.set("row", 2 * round);
        eventually_reads(&two, &database, "row", 2 * round).await;
        let epoch = two.stats().epoch;
        server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        one.write(&database, "row", 2 * round + 1).await;
        eventually("two listens again", || two.stats().epoch > epoch && two.l2().subscribed).await;
        assert_eq!(two.read(&database, "row").await.0, 2 * round + 1);
        // The row of the next round is set behind the cache's back.
        one.write(&database, "row", 2 * round + 1).await;
        one.ready().await;
    }
    assert!(two.count_of("SubscriptionLost") >= 10);
    assert_eq!(two.count_of("SubscriptionLost") + 1, two.count_of("SubscriptionConfirmed"));
}

#[tokio::test]
async fn redis_that_hangs_delays_few_and_is_found_again_with_what_it_is_owed() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    two.read(&database, "row").await;
    server.hang();
    for number in 0..super::super::TIMEOUTS_MAX {
        assert_eq!(one.read(&database, &format!("other{number}")).await.1, Outcome::Miss);
    }
    assert!(!one.l2().up);
    one.write(&database, "row", 2).await;
    assert_eq!(one.read(&database, "row").await.0, 2);
    assert_eq!(one.l2().pending_tags, 1);
    // Without a pong two is blind, and serves nothing of its own here.
    eventually("two is blind", || two.stats().blind).await;
    assert_eq!(two.read(&database, "row").await.0, 2);
    server.go_on();
    one.ready().await;
    assert_eq!(one.l2().pending_tags, 0);
    two.ready().await;
    eventually_reads(&two, &database, "row", 2).await;
    assert_eq!(one.read(&database, "row").await.0, 2);
}

/// A write whose step 1 timed out may have reached Redis all the same.
#[tokio::test]
async fn write_that_redis_hung_in_is_owed_and_its_tag_opens_again() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    server.hang();
    let write = one.begin("row", Duration::from_millis(500)).await;
    assert!(!one.l2().up && one.l2().pending_tags == 1);
    database.set("row", 1);
    server.go_on();
    write.finish().await;
    assert_eq!(one.read(&database, "row").await.0, 1);
    one.ready().await;
    two.ready().await;
    eventually_reads(&two, &database, "row", 1).await;
    eventually_keeps(&two, &database, "row", 1).await;
}

#[tokio::test]
async fn server_that_refuses_writes_is_not_used() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, database) = (Instance::on(&server).await, Database::default());
    server.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    one.write(&database, "row", 1).await;
    assert!(!one.l2().up);
    assert_eq!(one.read(&database, "row").await, (1, Outcome::Miss));
    server.run(&["REPLICAOF", "NO", "ONE"]).await;
    one.ready().await;
    assert_eq!(one.l2().pending_tags, 0);
}
