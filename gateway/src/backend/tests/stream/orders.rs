//! What becomes of an order.

use super::*;
use crate::config::{Config, Env};

#[tokio::test]
async fn acknowledged_orders_of_two_instances_are_applied_once_in_their_lanes_order() {
    let Some(bed) = Bed::new("st_orders").await else { return };
    let (mut one, mut other) = (bed.instance(""), bed.instance(""));
    one.apply();
    other.apply();
    for number in 0..210 {
        let instance = if number % 2 == 0 { &one } else { &other };
        let key = format!("o-{number:05}");
        let accepted = instance.keep((&key, number % 7 + 1, 1)).await.expect("kept");
        assert!(!accepted.repeated);
    }
    bed.applied(210).await;
    bed.drained().await;
    bed.check(210).await;
    assert_eq!(bed.ask("SELECT SUM(gold) FROM account").await, ["6790"]);
    // Nothing of the lanes is left in Redis.
    assert_eq!(bed.redis.ask::<Vec<String>>(&["KEYS", "gwq:l:*"]).await, Vec::<String>::new());
    one.end().await;
    other.end().await;
}

#[tokio::test]
async fn repeat_on_another_instance_is_told_and_other_parameters_are_2020_before_and_after() {
    let Some(bed) = Bed::new("st_repeat").await else { return };
    let (one, mut other) = (bed.instance(""), bed.instance(""));
    let first = one.keep(("a", 1, 1)).await.expect("kept");
    for is_applied in [false, true] {
        let again = other.keep(("a", 1, 1)).await.expect("kept");
        assert_eq!((again.sequence, again.repeated), (first.sequence, true));
        let reused = other.keep(("a", 1, 2)).await.expect_err("other parameters");
        assert_eq!(reused.code().number(), 2020);
        let expected = if is_applied { StreamState::Applied } else { WAITS };
        assert_eq!(other.state(("a", 1, 1)).await, Some(expected));
        if !is_applied {
            other.apply();
            bed.applied(1).await;
            bed.drained().await;
        }
    }
    // Redis forgot the key; the database did not.
    bed.redis.ask::<u64>(&["DEL", &request_name(&one, ("a", 1, 1))]).await;
    assert!(!one.keep(("a", 1, 1)).await.expect("kept").repeated);
    bed.drained().await;
    bed.check(1).await;
    other.end().await;
    one.end().await;
}

fn request_name(instance: &Instance, order: Order<'_>) -> String {
    let request = instance.draft(order).key.request;
    format!("gwq:k:{:032x}", u128::from_be_bytes(request))
}

#[tokio::test]
async fn order_that_cannot_be_applied_is_dead_and_its_lane_goes_on() {
    let Some(bed) = Bed::new("st_dead").await else { return };
    let mut one = bed.instance("");
    one.keep(("a", 1, 5000)).await.expect("kept");
    one.keep(("b", 1, 1)).await.expect("kept");
    one.apply();
    bed.applied(1).await;
    bed.drained().await;
    assert_eq!(bed.ask("SELECT order_no FROM ledger").await, ["b"]);
    let Some(StreamState::Queued(QueuedState::Dead { code, .. })) = one.state(("a", 1, 5000)).await
    else {
        panic!("it is not dead")
    };
    assert_eq!(code, 2103);
    let mut dead = 0;
    for index in 0..3 {
        dead += bed.redis.ask::<u64>(&["XLEN", &format!("gwq:s:game1:{index}:dead")]).await;
    }
    assert_eq!(dead, 1);
    one.end().await;
}

#[tokio::test]
async fn lane_is_settled_for_another_instance_when_what_was_kept_is_applied() {
    let Some(bed) = Bed::new("st_lane").await else { return };
    let (mut one, other) = (bed.instance(""), bed.instance(""));
    one.keep(("a", 1, 1)).await.expect("kept");
    let lane = other.lane(1);
    let settled =
        tokio::time::timeout(Duration::from_millis(100), other.streams.lane_settled(lane));
    assert!(settled.await.is_err(), "its order waits");
    // Another lane is free.
    other.streams.lane_settled(other.lane(2)).await;
    one.apply();
    other.streams.lane_settled(lane).await;
    assert_eq!(bed.ask("SELECT order_no FROM ledger").await, ["a"]);
    one.end().await;
}

#[tokio::test]
async fn stream_at_its_bound_refuses_orders_and_takes_a_repeat() {
    let Some(bed) = Bed::new("st_bound").await else { return };
    let one = bed.instance(", records_max: 2");
    one.keep(("a", 1, 1)).await.expect("kept");
    one.keep(("b", 1, 1)).await.expect("kept");
    let refused = one.keep(("c", 1, 1)).await.expect_err("too many");
    assert_eq!(refused.code().number(), 1503);
    assert!(one.keep(("a", 1, 1)).await.expect("kept").repeated);
    one.end().await;
}

#[tokio::test]
async fn dead_letters_count_toward_a_streams_bound() {
    let Some(bed) = Bed::new("st_bound_dead").await else { return };
    let mut one = bed.instance(", records_max: 2");
    one.apply();
    for key in ["a", "b"] {
        one.keep((key, 1, 5000)).await.expect("kept");
        bed.drained().await;
    }
    let refused = one.keep(("c", 1, 1)).await.expect_err("two dead letters lie there");
    assert_eq!(refused.code().number(), 1503);
    one.end().await;
}

#[tokio::test]
async fn number_of_streams_stays_what_a_games_first_order_met() {
    let Some(bed) = Bed::new("st_count").await else { return };
    let one = bed.instance("");
    one.keep(("a", 1, 1)).await.expect("kept");
    let url = bed.redis.url();
    let other = bed.instance("").streams;
    assert_eq!(other.count("game1").await.expect("it answers"), 3);
    let text = format!("queue: {{url: '{url}', streams: 9}}\n");
    let (config, _) = Config::parse(
        &format!(
            "{text}database: {{connections: {{a: {{type: sqlite, path: a.db}}}}}}\ngames: {{}}\n"
        ),
        bed.folder.path(),
        &Env::process(),
    )
    .expect("good");
    let (more, _producer) = Streams::new(&config.queue.expect("there is one")).expect("an address");
    assert_eq!(more.count("game1").await.expect("it answers"), 3);
    assert_eq!(more.count("game2").await.expect("it answers"), 9);
    one.end().await;
}
