//! Two instances over one Redis that works.

use super::*;
use crate::cache::NonceError;

#[tokio::test]
async fn entry_of_one_instance_is_read_by_another_and_kept_there() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    assert_eq!(one.read(&database, "row").await, (1, Outcome::Miss));
    assert_eq!(one.read(&database, "none").await, (0, Outcome::Miss));
    one.filled().await;
    for (row, version) in [("row", 1), ("none", 0)] {
        assert_eq!(two.read(&database, row).await, (version, Outcome::L2));
        assert_eq!(two.read(&database, row).await, (version, Outcome::L1));
    }
}

#[tokio::test]
async fn every_key_in_redis_expires_but_the_servers_name() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, database) = (Instance::on(&server).await, Database::default());
    one.read(&database, "row").await;
    one.filled().await;
    let write = one.begin("row", WINDOW).await;
    one.cache.claim_nonce(b"nonce", WINDOW).await.unwrap();
    let mut connection = server.connection().await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 6, "{keys:?}");
    for key in keys {
        let left: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert_eq!(left > 0, key != "gw:server", "{key}");
    }
    write.finish().await;
}

#[tokio::test]
async fn generations_outlive_the_longest_entry_under_them() {
    let Some(server) = RedisServer::start().await else { return };
    let (mut one, database) = (Instance::on(&server).await, Database::default());
    database.set("row", 1);
    one.policy.l2_ttl = Duration::from_hours(100);
    one.read(&database, "row").await;
    one.filled().await;
    let mut connection = server.connection().await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("gw:g:*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let left: u64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(left > 100 * 60 * 60 * 1000, "{key}: {left}");
    }
}

#[tokio::test]
async fn writers_that_died_leave_redis_when_another_ends() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let writers = one.cache.shared.l2.as_ref().unwrap().names.writers(tag("row"));
    let lasting = one.begin("row", WINDOW).await;
    let dying = two.begin("row", Duration::from_millis(1)).await;
    two.die(dying);
    assert_eq!(server.run(&["ZCARD", &writers]).await, redis::Value::Int(2));
    // The millisecond may not be over at the first end.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        one.begin("row", WINDOW).await.finish().await;
        if server.run(&["ZCARD", &writers]).await == redis::Value::Int(1) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the dead writer stays");
    }
    lasting.finish().await;
    assert_eq!(server.run(&["EXISTS", &writers]).await, redis::Value::Int(0));
}

#[tokio::test]
async fn write_on_one_instance_is_seen_on_the_other_when_its_message_arrives() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    assert_eq!(two.read(&database, "row").await.0, 1);
    two.filled().await;
    one.write(&database, "row", 2).await;
    assert_eq!(one.read(&database, "row").await.0, 2);
    eventually_reads(&two, &database, "row", 2).await;
    // Kept from now on, on both levels.
    one.filled().await;
    two.filled().await;
    eventually_keeps(&two, &database, "row", 2).await;
}

#[tokio::test]
async fn while_a_writer_is_in_flight_nobody_serves_or_keeps_its_tags() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    two.read(&database, "row").await;
    two.filled().await;
    let write = one.begin("row", WINDOW).await;
    eventually("two has heard of it", || two.l2().messages_heard > 0).await;
    for instance in [&one, &two, &one, &two] {
        assert_eq!(instance.read(&database, "row").await, (1, Outcome::Miss));
    }
    database.set("row", 2);
    for instance in [&one, &two] {
        assert_eq!(instance.read(&database, "row").await, (2, Outcome::Miss));
    }
    write.finish().await;
    assert_eq!(one.read(&database, "row").await, (2, Outcome::Miss));
    one.filled().await;
    assert_eq!(Instance::on(&server).await.read(&database, "row").await, (2, Outcome::L2));
}

#[tokio::test]
async fn fetch_from_before_a_write_fills_nothing_on_any_instance() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    let early = two
        .read_by("row", || async {
            let version = database.get("row");
            one.write(&database, "row", 2).await;
            Ok(stored(version))
        })
        .await;
    assert_eq!(early, Ok((1, Outcome::Miss)));
    two.filled().await;
    eventually("two has heard both steps", || two.l2().messages_heard >= 2).await;
    for instance in [&two, &one, &Instance::on(&server).await] {
        assert_eq!(instance.read(&database, "row").await.0, 2);
    }
}

#[tokio::test]
async fn writer_that_dies_before_its_commit_closes_the_tag_until_its_window_is_over() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    let write = one.begin("row", Duration::from_millis(300)).await;
    one.die(write);
    assert_eq!(two.read(&database, "row").await, (1, Outcome::Miss));
    eventually_keeps(&two, &database, "row", 1).await;
}

#[tokio::test]
async fn writer_that_dies_after_its_commit_leaves_nothing_stale() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    two.read(&database, "row").await;
    two.filled().await;
    let write = one.begin("row", Duration::from_millis(300)).await;
    eventually("two has heard of it", || two.l2().messages_heard > 0).await;
    two.read(&database, "row").await;
    database.set("row", 2);
    one.die(write);
    eventually_keeps(&two, &database, "row", 2).await;
    two.filled().await;
    assert_eq!(Instance::on(&server).await.read(&database, "row").await, (2, Outcome::L2));
}

/// Two writers of one tag: the first to end leaves it closed for the other.
#[tokio::test]
async fn tag_stays_closed_until_its_last_writer_ends() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    let first = one.begin("row", WINDOW).await;
    let second = two.begin("row", WINDOW).await;
    first.finish().await;
    let third = Instance::on(&server).await;
    for instance in [&one, &third, &one, &third] {
        assert_eq!(instance.read(&database, "row").await.1, Outcome::Miss);
    }
    second.finish().await;
    eventually_keeps(&third, &database, "row", 0).await;
}

#[tokio::test]
async fn entry_of_redis_lives_in_process_no_longer_than_there() {
    let Some(server) = RedisServer::start().await else { return };
    let (mut one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    database.set("row", 1);
    one.policy.l2_ttl = Duration::from_secs(30);
    one.read(&database, "row").await;
    one.filled().await;
    assert_eq!(two.read(&database, "row").await.1, Outcome::L2);
    let key = key_of(two.cache.hasher(), "row");
    let left = two.cache.l1().read(key.as_ref(), two.cache.now_ms(), |hit| hit.life().left_ms);
    assert!((1..=30_000).contains(&left.unwrap()));
}

#[tokio::test]
async fn level_without_a_ttl_keeps_nothing_and_writers_elsewhere_still_count() {
    let Some(server) = RedisServer::start().await else { return };
    let (mut one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    one.policy.l2_ttl = Duration::ZERO;
    let write = two.begin("row", WINDOW).await;
    for _ in 0..2 {
        assert_eq!(one.read(&database, "row").await.1, Outcome::Miss);
    }
    write.finish().await;
    eventually_keeps(&one, &database, "row", 0).await;
    one.filled().await;
    assert_eq!(two.read(&database, "row").await.1, Outcome::Miss);
}

#[tokio::test]
async fn message_that_is_none_of_ours_is_counted_and_ignored() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, database) = (Instance::on(&server).await, Database::default());
    one.read(&database, "row").await;
    for message in ["", "hello", "\u{1}12345678123456781234567"] {
        server.run(&["PUBLISH", "gw:stale", message]).await;
    }
    eventually("they are counted", || one.l2().messages_malformed == 3).await;
    assert_eq!(one.read(&database, "row").await.1, Outcome::L1);
    assert!(one.l2().subscribed);
}

#[tokio::test]
async fn entry_that_is_none_of_ours_is_a_miss_and_replaced() {
    let Some(server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    let database = Database::default();
    one.read(&database, "row").await;
    one.filled().await;
    let key = key_of(two.cache.hasher(), "row");
    let name = two.cache.shared.l2.as_ref().unwrap().names.entry(key.as_ref());
    server.run(&["SET", &name, "garbage", "PX", "60000"]).await;
    assert_eq!(two.read(&database, "row").await, (0, Outcome::Miss));
    two.filled().await;
    assert_eq!(Instance::on(&server).await.read(&database, "row").await, (0, Outcome::L2));
}

#[tokio::test]
async fn nonce_is_good_once_on_all_instances() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (one, two) = (Instance::on(&server).await, Instance::on(&server).await);
    assert!(one.cache.claim_nonce(b"a", WINDOW).await.unwrap());
    assert!(!one.cache.claim_nonce(b"a", WINDOW).await.unwrap());
    assert!(!two.cache.claim_nonce(b"a", WINDOW).await.unwrap());
    assert!(two.cache.claim_nonce(b"b", WINDOW).await.unwrap());
    assert!(matches!(one.cache.claim_nonce(&[0; 129], WINDOW).await, Err(NonceError::TooLong)));
    server.kill();
    assert!(matches!(one.cache.claim_nonce(b"c", WINDOW).await, Err(NonceError::Redis(_))));
    assert!(!one.cache.claim_nonce(b"c", WINDOW).await.unwrap());
}
