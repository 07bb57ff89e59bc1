//! Owners that die, that are replaced, and a Redis that goes and comes back.

use super::super::super::write::{
    Applied, ApplyError, Fence, Holds, Mark, Params, RecordState, apply,
};
use super::*;
use crate::backend::Supplied;
use crate::stream::Owned;

#[tokio::test]
async fn instance_that_dies_is_taken_over_and_nothing_is_lost_doubled_or_out_of_order() {
    let Some(bed) = Bed::new("st_takeover").await else { return };
    let (mut one, mut other) = (bed.instance(""), bed.instance(""));
    one.apply();
    let mut answers = Vec::new();
    for number in 0..400 {
        let key = format!("o-{number:05}");
        answers.push(other.offer(other.draft((&key, number % 7 + 1, 1))));
    }
    // Somewhere in the middle of it.
    bed.applied(30).await;
    one.cut().await;
    for answer in answers {
        answer.await.expect("answered").expect("kept");
    }
    other.apply();
    bed.applied(400).await;
    bed.drained().await;
    bed.check(400).await;
    other.end().await;
}

fn owned(instance: &Instance) -> u64 {
    let text = instance.metrics.render();
    let line = text.lines().find(|line| line.starts_with("gateway_streams_owned "));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn streams_are_spread_over_the_living_instances_and_nothing_is_doubled_or_out_of_order() {
    let Some(bed) = Bed::new("st_spread").await else { return };
    let (mut one, mut two, mut three) = (bed.instance(""), bed.instance(""), bed.instance(""));
    for instance in [&one, &two, &three] {
        instance.streams.register_metrics(&instance.metrics);
    }
    one.apply();
    until(|| owned(&one) == 3).await;
    let mut answers = Vec::new();
    let mut keep = |from: i64| {
        for number in from..from + 200 {
            let key = format!("o-{number:05}");
            answers.push(one.offer(one.draft((&key, number % 7 + 1, 1))));
        }
    };
    keep(0);
    two.apply();
    until(|| owned(&one) + owned(&two) == 3 && owned(&two) >= 1 && owned(&one) <= 2).await;
    keep(200);
    three.apply();
    until(|| [&one, &two, &three].map(owned) == [1, 1, 1]).await;
    keep(400);
    // One that dies leaves its stream to the others.
    two.cut().await;
    until(|| owned(&one) + owned(&three) == 3).await;
    // One that ends gives its own back at once.
    three.end().await;
    until(|| owned(&one) == 3).await;
    for answer in answers {
        answer.await.expect("answered").expect("kept");
    }
    bed.applied(600).await;
    bed.drained().await;
    bed.check(600).await;
    one.end().await;
}

/// Takes a stream as soon as nobody else has it.
async fn take(instance: &Instance, index: u32) -> Arc<Owned> {
    let limit = far();
    loop {
        if let Some(owned) = instance.streams.take("game1", index).await.expect("it answers") {
            return owned;
        }
        assert!(std::time::Instant::now() < limit, "never free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn write(
    bed: &Bed,
    instance: &Instance,
    owned: &Owned,
    order: Order<'_>,
) -> Result<Vec<RecordState>, ApplyError> {
    let snapshot = instance.snapshot.load();
    let template = snapshot.game("game1").expect("a game").template("order.create");
    let template = template.expect("an operation");
    let draft = instance.draft(order);
    let supplied =
        Supplied { now_micros: 0, id: 0, row_ids: &[], caller: "c", claims: &[], trace: "t" };
    let params = Params { template, bound: &draft.payload.bound, supplied };
    let mark = Mark { journal: owned.id(), sequence: 1 };
    let records = [Applied { params, key: draft.key, mark }];
    let fence = Fence { stream: owned.id(), token: owned.token() };
    apply(&bed.pool, template, &records, Holds { owner: None, fence: Some(fence) }, 0, far()).await
}

#[tokio::test]
async fn owner_that_was_replaced_writes_nothing_any_more() {
    let Some(bed) = Bed::new("st_fence").await else { return };
    let (one, other) = (bed.instance(""), bed.instance(""));
    let old = take(&one, 0).await;
    assert!(other.streams.take("game1", 0).await.expect("it answers").is_none(), "it is owned");
    assert_eq!(write(&bed, &one, &old, ("a", 1, 1)).await.expect("its own"), [RecordState::Done]);
    // The old owner sleeps: nobody renews its lease.
    let new = take(&other, 0).await;
    assert!(new.token() > old.token());
    assert_eq!(write(&bed, &other, &new, ("b", 1, 1)).await.expect("its own"), [RecordState::Done]);
    // It wakes up.
    let refused = write(&bed, &one, &old, ("c", 1, 1)).await;
    assert!(matches!(refused, Err(ApplyError::Fenced)), "{refused:?}");
    assert_eq!(bed.ask("SELECT order_no FROM ledger ORDER BY place").await, ["a", "b"]);
    // Nor does it take entries out.
    one.keep(("d", 1, 1)).await.expect("kept");
    let draft = one.draft(("d", 1, 1));
    let record = crate::journal::Record {
        sequence: 1,
        key: draft.key,
        lane: draft.lane,
        payload: draft.payload,
    };
    assert!(old.applied(&[&record]).await.is_err());
    assert_eq!(bed.entry_count().await, 1);
    // Another stream has another row.
    let second = take(&one, 1).await;
    assert_eq!(write(&bed, &one, &second, ("e", 1, 1)).await.expect("new"), [RecordState::Done]);
    one.end().await;
    other.end().await;
}

/// The lease outlasts the test's patience only where it is renewed.
#[tokio::test]
async fn owner_at_work_keeps_its_streams_and_gives_them_back_at_its_end() {
    let Some(bed) = Bed::new("st_lease").await else { return };
    let (mut one, other) = (bed.instance(""), bed.instance(""));
    one.apply();
    one.keep(("a", 1, 1)).await.expect("kept");
    bed.applied(1).await;
    let limit = tokio::time::Instant::now() + Duration::from_millis(2500);
    while tokio::time::Instant::now() < limit {
        for index in 0..3 {
            let taken = other.streams.take("game1", index).await.expect("it answers");
            assert!(taken.is_none(), "stream {index} is owned");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    one.end().await;
    for index in 0..3 {
        let taken = other.streams.take("game1", index).await.expect("it answers");
        assert!(taken.is_some(), "stream {index} was given back");
    }
}

#[tokio::test]
async fn redis_that_is_killed_has_what_it_acknowledged_and_refuses_until_it_is_back() {
    let Some(mut bed) = Bed::new("st_redis").await else { return };
    let mut one = bed.instance("");
    let mut answers = Vec::new();
    for number in 0..1500 {
        let key = format!("o-{number:05}");
        answers.push((number, one.offer(one.draft((&key, number % 7 + 1, 1)))));
    }
    // In the middle of it, as far as that goes.
    let (_, first) = answers.remove(0);
    first.await.expect("answered").expect("kept");
    bed.redis.kill();
    let mut kept = vec![0];
    for (number, answer) in answers {
        match answer.await.expect("answered") {
            Ok(_) => kept.push(number),
            Err(error) => assert!(matches!(error.code().number(), 1502 | 1503), "{error}"),
        }
    }
    // Whoever meets the lost connection first cannot know; who comes then is not sent.
    let unknown = one.keep(("z", 1, 1)).await.expect_err("it is away");
    assert!(matches!(unknown.code().number(), 1502 | 1503), "{unknown}");
    let refused = one.keep(("z", 1, 1)).await.expect_err("it is away");
    assert_eq!(refused.code().number(), 1503);
    one.apply();
    bed.redis.restart().await;
    // What was not acknowledged is sent again with its key, as a client does.
    for number in 0..1500 {
        let key = format!("o-{number:05}");
        let order = (&*key, number % 7 + 1, 1);
        let limit = far();
        loop {
            match one.keep(order).await {
                Ok(accepted) => {
                    assert!(accepted.repeated || !kept.contains(&number), "{key} was lost");
                    break;
                }
                Err(error) => assert!(std::time::Instant::now() < limit, "{key}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    bed.applied(1500).await;
    bed.drained().await;
    bed.check(1500).await;
    one.end().await;
}

#[tokio::test]
async fn redis_restarted_under_an_owner_at_work_loses_and_doubles_nothing() {
    let Some(mut bed) = Bed::new("st_restart").await else { return };
    let mut one = bed.instance("");
    for number in 0..300 {
        let key = format!("o-{number:05}");
        one.keep((&key, number % 7 + 1, 1)).await.expect("kept");
    }
    one.apply();
    bed.applied(20).await;
    bed.redis.kill();
    bed.redis.restart().await;
    bed.applied(300).await;
    bed.drained().await;
    bed.check(300).await;
    one.end().await;
}
