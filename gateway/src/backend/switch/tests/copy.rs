//! What changes on the owner comes to the mirror: under load, and however often the copier is killed.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use super::super::copy::Copier;
use super::super::error::SwitchError;
use super::super::lease::Takeover;
use super::super::side::Side;
use super::super::state::{Group, Phase};
use super::super::{backfill, copy, mirror, retry_refused, status};
use super::reconcile::{compared, plan};
use super::world::{World, everywhere, open, put_thing, put_wallet, run};
use crate::catalog::Scalar;

pub(super) fn group(world: &World) -> Group<'_> {
    Group { id: "game1", owner: &world.owner, mirror: &world.mirror }
}

pub(super) const TABLES: [&str; 2] = ["thing", "wallet"];

/// With these, and with `gateway_request`, which always comes along.
pub(super) async fn begin(world: &World) {
    let mirrored = mirror(group(world), &TABLES.map(Into::into), "tests").await.expect("mirrored");
    assert_eq!(mirrored.trigger_count, 9);
}

/// Copies what waits, whoever had the lease.
pub(super) async fn drain(world: &World) -> u64 {
    let done = copy(group(world), "drain", Takeover::Now, &mut |_| {}).await.expect("copied");
    assert_eq!(done.refused, 0);
    done.copied
}

#[track_caller]
fn assert_equal(reports: &[super::super::TableReport]) {
    for report in reports {
        assert_eq!((report.divergence_count(), report.pending_count), (0, 0), "{report:?}");
    }
}

pub(super) async fn equal(world: &World) {
    assert_equal(&compared(&plan(world)).await.expect("compared"));
}

#[tokio::test]
async fn every_kind_of_change_is_copied_and_a_key_that_changes_leaves_nothing_behind() {
    everywhere("changes", async |world| {
        begin(world).await;
        let mut owner = open(&world.owner).await;
        for id in 1..=6 {
            put_thing(&mut owner, id, "it's \"new\" \\ é").await;
        }
        put_wallet(&mut owner, 1, "a\"b\\c", 5).await;
        put_wallet(&mut owner, 2, "gold", 5).await;
        drain(world).await;
        for sql in [
            "UPDATE thing SET amount = '7.25', at = NULL WHERE id = 2",
            "DELETE FROM thing WHERE id = 3",
            "UPDATE thing SET id = 400 WHERE id = 4",
            "UPDATE wallet SET currency = 'GOLD' WHERE player_id = 2",
            // There and gone again.
            "UPDATE thing SET id = 600 WHERE id = 6",
            "DELETE FROM thing WHERE id = 600",
        ] {
            owner.execute(sql, Vec::new()).await.expect(sql);
        }
        owner.begin().await.expect("begun");
        put_thing(&mut owner, 9, "undone").await;
        owner.rollback().await;
        assert!(drain(world).await >= 6);
        equal(world).await;
        assert_eq!(drain(world).await, 0, "nothing waits");
    })
    .await;
}

/// Two rows that change places: each stands in the other's way for a while, on a unique key.
#[tokio::test]
async fn rows_that_swap_a_unique_value_arrive_whichever_is_copied_first() {
    everywhere("swap", async |world| {
        begin(world).await;
        let mut owner = open(&world.owner).await;
        for id in 1..=2 {
            put_thing(&mut owner, id, "swapped").await;
        }
        run(&world.owner, "UPDATE thing SET slot = id").await;
        drain(world).await;
        // The outbox as a copier finds it that read the first key only, and both rows as they are now.
        owner.begin().await.expect("begun");
        for sql in [
            "UPDATE thing SET slot = 3 WHERE id = 1",
            "UPDATE thing SET slot = 1 WHERE id = 2",
            "UPDATE thing SET slot = 2 WHERE id = 1",
        ] {
            owner.execute(sql, Vec::new()).await.expect(sql);
        }
        owner.commit().await.expect("committed");
        let sql = "DELETE FROM gateway_outbox WHERE row_key LIKE '%2%'";
        owner.execute(sql, Vec::new()).await.expect("half of it");
        let mut copier = Copier::open(group(world), "half", Takeover::Now).await.expect("taken");
        let batch = copier.batch().await.expect("copied");
        assert_eq!((batch.copied, batch.refused), (0, 0), "it waits for the other");
        let sql = "UPDATE thing SET name = 'moved' WHERE id = 2";
        owner.execute(sql, Vec::new()).await.expect("named again");
        copier.close().await;
        drain(world).await;
        equal(world).await;
    })
    .await;
}

/// A row that the mirror never takes is put aside and shown, and does not hold up the others.
#[tokio::test]
async fn row_that_the_mirror_refuses_is_put_aside_until_it_is_tried_again() {
    everywhere("refused", async |world| {
        begin(world).await;
        run(&world.mirror, "CREATE UNIQUE INDEX one_balance ON wallet (balance)").await;
        let mut owner = open(&world.owner).await;
        for (player, balance) in [(1, 5), (2, 5), (3, 6)] {
            put_wallet(&mut owner, player, "gold", balance).await;
        }
        let done = copy(group(world), "tests", Takeover::Now, &mut |_| {}).await.expect("copied");
        assert_eq!((done.copied >= 2, done.refused), (true, 1));
        let told = status(group(world)).await.expect("a status");
        let [refused] = &told.refused[..] else { panic!("{:?}", told.refused) };
        assert_eq!((&*refused.table, &*refused.key), ("wallet", r#"["2","gold"]"#));
        assert!(!refused.fault.is_empty());
        let reports = compared(&plan(world)).await.expect("compared");
        assert_eq!(reports[1].missing, [r#"["2","gold"]"#.to_owned().into_boxed_str()]);
        // Written again, and it fits.
        run(&world.owner, "UPDATE wallet SET balance = 7 WHERE player_id = 2").await;
        drain(world).await;
        assert_eq!(status(group(world)).await.expect("a status").refused, []);
        equal(world).await;
        assert_eq!(retry_refused(group(world)).await.expect("none"), 0);
    })
    .await;
}

/// Writes to both tables until told to stop: inserts, updates and deletes, some undone.
async fn write_on(world: &World, seed: i64, stop: &AtomicBool) -> u64 {
    let mut side = open(&world.owner).await;
    let mut number = 0_i64;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let id = 10_000 * seed + number;
        let sql = match number % 4 {
            0 => "UPDATE thing SET name = ?, amount = '1.25' WHERE id = ?",
            1 => "UPDATE wallet SET balance = balance + 1 WHERE currency = ? AND player_id < ?",
            2 => "DELETE FROM thing WHERE name = ? AND id = ?",
            _ => "UPDATE wallet SET currency = ? WHERE player_id = ?",
        };
        let text = Scalar::Str(format!("w{}", number % 3).into());
        let done = async {
            side.begin().await?;
            let id = if number % 4 == 3 { id } else { id - 3 };
            side.execute(sql, vec![text, Scalar::Int(id)]).await?;
            let sql = "INSERT INTO thing (id, name, code, amount) VALUES (?, ?, 'eur', '2.50')";
            side.execute(sql, vec![Scalar::Int(id), Scalar::Str("w0".into())]).await?;
            let sql = "INSERT INTO wallet (player_id, currency, balance) VALUES (?, 'gem', 0)";
            side.execute(sql, vec![Scalar::Int(id)]).await?;
            if number % 7 == 0 {
                side.rollback().await;
                return Ok(());
            }
            side.commit().await
        };
        let done: Result<(), SwitchError> = done.await;
        match done {
            Ok(()) => count += 1,
            // Two writers of one table lock each other out at times; a key may be there already. And a write that meets
            // the making of a trigger is told by MariaDB that there is no outbox.
            Err(error) => {
                let is_met = |text: String| text.contains("gateway_outbox' doesn't exist");
                let is_usual = matches!(error, SwitchError::Statement { .. });
                assert!(is_usual || is_met(format!("{error:?}")), "{error:?}");
                side.rollback().await;
            }
        }
        // A pace that a mirror in a debug build keeps up with.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    side.close().await;
    count
}

async fn fill(side: &mut Side, count: i64) {
    side.begin().await.expect("begun");
    for id in 1..=count {
        put_thing(side, id, "old").await;
        put_wallet(side, id, "gold", id).await;
    }
    side.commit().await.expect("committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirror_and_backfill_beside_writers_end_with_equal_sides() {
    everywhere("load", async |world| {
        fill(&mut open(&world.owner).await, 1100).await;
        // Rows that the mirror had before, and the owner does not.
        put_wallet(&mut open(&world.mirror).await, 7, "stale", 1).await;
        let (stop, compared_all) = (AtomicBool::new(false), AtomicBool::new(false));
        let work = async {
            begin(world).await;
            let done = backfill(group(world), ("tests", "tests"), &mut |_| {}).await;
            let done = done.expect("filled");
            assert!(done.touched >= 2200 && done.copied >= 2200, "{done:?}");
            let mut plan = plan(world);
            plan.chunk = 500;
            let compared = async {
                let reports = compared(&plan).await.expect("compared beside the writers");
                compared_all.store(true, Ordering::Relaxed);
                reports
            };
            let copied = async {
                while !compared_all.load(Ordering::Relaxed) {
                    drain(world).await;
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            };
            let (reports, ()) = tokio::join!(compared, copied);
            stop.store(true, Ordering::Relaxed);
            reports
        };
        let (first, second, reports) =
            tokio::join!(write_on(world, 1, &stop), write_on(world, 2, &stop), work);
        assert!(first > 0 && second > 0, "{first} {second}");
        assert_eq!(reports[0].divergence_count(), 0, "{:?}", reports[0]);
        let wallet = &reports[1];
        assert_eq!(wallet.extra, [r#"["7","stale"]"#.to_owned().into_boxed_str()]);
        assert_eq!(
            status(group(world)).await.expect("a status").state.map(|state| state.phase),
            Some(Phase::Mirrored)
        );
        // Through the outbox, because the copier is at work.
        let mut plan = plan(world);
        plan.repair_max = Some(10);
        drain(world).await;
        let repaired = compared(&plan).await.expect("repaired");
        assert_eq!(repaired[1].repaired_count, 1, "{repaired:?}");
        drain(world).await;
        equal(world).await;
    })
    .await;
}

/// Polls a future to its end, or drops it the moment it waits for the `limit`th time: as if the process was killed there.
async fn killed_at<T>(limit: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut count = 0;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if count == limit => Poll::Ready(None),
        Poll::Pending => {
            count += 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn copier_killed_between_any_two_steps_loses_nothing_and_doubles_nothing() {
    everywhere("killed", async |world| {
        begin(world).await;
        let mut owner = open(&world.owner).await;
        let mut limit = 0;
        loop {
            let id = i64::try_from(limit).expect("small");
            put_thing(&mut owner, id, "killed").await;
            put_wallet(&mut owner, id % 5, &format!("c{id}"), id).await;
            run(&world.owner, "UPDATE wallet SET balance = balance + 1").await;
            let whole = killed_at(limit, async {
                let mut copier = Copier::open(group(world), "killed", Takeover::Now).await?;
                copier.batch().await
            });
            // What was cut may still hold a lock for a moment: then this attempt is one that was cut, too.
            if let Some(Ok(_)) = whole.await {
                break;
            }
            limit += 1;
        }
        assert!(limit > 20, "{limit} places to be killed at");
        drain(world).await;
        equal(world).await;
    })
    .await;
}

#[tokio::test]
async fn backfill_killed_between_any_two_steps_goes_on_where_it_was() {
    everywhere("resumed", async |world| {
        fill(&mut open(&world.owner).await, 1100).await;
        begin(world).await;
        let mut limit = 0;
        while killed_at(limit, backfill(group(world), ("tests", "tests"), &mut |_| {}))
            .await
            .is_none()
        {
            limit += 7;
            // A killed copier's lease would be over in ten seconds.
            run(&world.owner, "UPDATE gateway_copier SET copier = NULL").await;
        }
        assert!(limit > 50, "{limit}");
        let told = status(group(world)).await.expect("a status");
        let tables: Vec<(u64, bool)> =
            told.tables.iter().map(|table| (table.touched, table.is_done)).collect();
        assert_eq!(tables, [(0, true), (1100, true), (1100, true)], "each row was put in once");
        equal(world).await;
    })
    .await;
}

#[tokio::test]
async fn second_copier_is_kept_out_and_a_replaced_one_writes_nothing_more() {
    everywhere("two", async |world| {
        begin(world).await;
        let mut owner = open(&world.owner).await;
        put_thing(&mut owner, 1, "first").await;
        let mut late =
            Copier::open(group(world), "late", Takeover::WhenSilent).await.expect("taken");
        late.batch().await.expect("copied");
        let kept_out = Copier::open(group(world), "other", Takeover::WhenSilent).await;
        assert!(matches!(kept_out, Err(SwitchError::Held { copier, .. }) if &*copier == "late"));
        let mut next = Copier::open(group(world), "next", Takeover::Now).await.expect("taken over");
        put_thing(&mut owner, 2, "second").await;
        assert!(matches!(late.batch().await, Err(SwitchError::Held { .. })), "its lease is gone");
        next.batch().await.expect("copied");
        equal(world).await;
        // One that got past its lease before it was replaced meets the fence of the mirror.
        put_thing(&mut owner, 3, "third").await;
        run(&world.owner, "UPDATE gateway_copier SET token = token - 1").await;
        let mut older = Copier::open(group(world), "older", Takeover::Now).await.expect("taken");
        older.batch().await.expect("of the same token as the one that wrote last");
        run(&world.owner, "UPDATE gateway_copier SET token = token - 2").await;
        let mut fenced = Copier::open(group(world), "fenced", Takeover::Now).await.expect("taken");
        put_thing(&mut owner, 4, "fourth").await;
        assert!(matches!(fenced.batch().await, Err(SwitchError::Held { .. })), "fenced off");
        let reports = compared(&plan(world)).await.expect("compared");
        assert_eq!(reports[0].pending_count, 1, "the fourth waits, and nothing else: {reports:?}");
    })
    .await;
}
