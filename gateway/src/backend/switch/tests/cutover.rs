//! What a flip refuses, waits for and leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::super::super::testing::{pool, template};
use super::super::super::write::{ApplyError, Fence, Holds, apply};
use super::super::capture::present;
use super::super::copy::Copier;
use super::super::flip::{back, forward};
use super::super::instance::InstanceState;
use super::super::lease::Takeover;
use super::super::side::Side;
use super::super::state::{Phase, State, text};
use super::super::{
    Flip, Recovered, backfill, by_rows, copy, flip, flip_script, mirror, reconcile, recover,
    retire, status,
};
use super::copy::{begin, equal, group};
use super::flip::{flipped, forced, mirrored, now, play, row, say};
use super::world::{World, between, everywhere, open, put_wallet, run};
use crate::catalog::{Dialect, Kind, Scalar};

#[tokio::test]
async fn of_two_who_want_to_go_on_only_one_does() {
    everywhere("flipraces", async |world| {
        mirrored(world).await;
        let group = group(world);
        let mut owner = open(&world.owner).await;
        let mirrored = row(&world.owner).await;
        let readying =
            forward(&mut owner, group, &mirrored, Some(100), "one").await.expect("moved");
        let readying = readying.expect("the first one");
        assert_eq!((readying.phase, readying.flip_id), (Phase::Readying, 1));
        let second = forward(&mut owner, group, &mirrored, Some(100), "two").await.expect("asked");
        assert_eq!(second, None, "it is not `mirrored` any more");
        let step = async |seen: &State, owner: &mut Side| {
            forward(owner, group, seen, None, "one").await.expect("moved").expect("still there")
        };
        let blocking = step(&readying, &mut owner).await;
        let other = Flip { to: Some(&world.owner.name), ..forced(group) };
        let told = flip(&other, &mut |_| {}).await.expect_err("the other way").to_string();
        assert!(told.contains("a flip to `mirror` is on its way"), "{told}");
        let draining = step(&blocking, &mut owner).await;
        assert_eq!((draining.epoch, &*draining.owner), (2, &*world.mirror.name));
        // A gateway that waited for too long, and the command, which was only slow.
        assert_eq!(recover(group, &draining, "gateway").await.expect("back"), Recovered::Back);
        let late = forward(&mut owner, group, &draining, None, "one").await.expect("asked");
        assert_eq!(late, None, "the way back was first");
        let again = row(&world.owner).await;
        assert_eq!(
            (again.phase, again.epoch, &*again.owner),
            (Phase::Mirrored, 3, &*world.owner.name)
        );
        // And the other way round.
        let readying = forward(&mut owner, group, &again, None, "one").await.expect("moved");
        assert_eq!(readying.as_ref().map(|it| it.flip_id), Some(2));
        let blocking = step(&readying.expect("moved"), &mut owner).await;
        let draining = step(&blocking, &mut owner).await;
        let flipped = step(&draining, &mut owner).await;
        assert_eq!(recover(group, &draining, "gateway").await.expect("late"), Recovered::Nothing);
        assert!(back(&mut owner, group, &flipped, "gateway").await.is_err());
        assert_eq!(recover(group, &flipped, "gateway").await.expect("on"), Recovered::Forward);
        assert_eq!(recover(group, &flipped, "another").await.expect("done"), Recovered::Nothing);
        let opened = row(&world.mirror).await;
        assert_eq!(
            (opened.phase, opened.epoch, &*opened.owner),
            (Phase::Mirrored, 4, &*world.mirror.name)
        );
    })
    .await;
}

/// A gateway that does not say that it has blocked: the pause ends at its limit, and nothing has happened.
#[tokio::test]
async fn gateway_that_does_not_answer_ends_the_attempt_within_the_longest_pause() {
    everywhere("flipsilent", async |world| {
        mirrored(world).await;
        let silent = async |state: InstanceState, epoch: i64, flip_id: i64| {
            for config in [&world.owner, &world.mirror] {
                let mut side = open(config).await;
                say(&mut side, "silent", (epoch, flip_id, state)).await.expect("said");
                side.close().await;
            }
        };
        silent(InstanceState::Ready, 1, 1).await;
        let plan = Flip { pause_max: Duration::from_millis(300), ..forced(group(world)) };
        let mut phases = Vec::new();
        let begun = Instant::now();
        let told = flip(&plan, &mut |phase| phases.push(phase.to_owned())).await.expect_err("late");
        let told = told.to_string();
        assert!(told.contains("did not say `blocked` in time: silent"), "{told}");
        assert!(told.contains("The game is on `owner` as before"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        assert_eq!(phases.len(), 2, "{phases:?}");
        let row = row(&world.owner).await;
        assert_eq!((row.phase, row.epoch), (Phase::Mirrored, 1));
        // One that is not fit is told before anything happens, and overridden where that is meant.
        silent(InstanceState::Unfit, 1, 1).await;
        let plan = Flip { is_forced: false, ..plan };
        let told = flip(&plan, &mut |_| {}).await.expect_err("unfit").to_string();
        assert!(told.contains("silent cannot go along"), "{told}");
        let done = flipped(group(world)).await.expect("forced");
        assert!(done.overridden.iter().any(|check| check.name == "gateways"), "{done:?}");
        // One that was not heard of for ten seconds does not count.
        for config in [&world.owner, &world.mirror] {
            let sql =
                "UPDATE gateway_switch_instance SET state = 'open', seen_at = seen_at - 10000";
            run(config, sql).await;
        }
        assert_eq!(flipped(now(world).await).await.expect("alone").instances, []);
    })
    .await;
}

#[tokio::test]
async fn flip_is_refused_with_everything_that_stands_against_it() {
    everywhere("flipgate", async |world| {
        begin(world).await;
        let plan = Flip { is_forced: false, ..forced(group(world)) };
        let refusal = async || flip(&plan, &mut |_| {}).await.expect_err("refused").to_string();
        let told = refusal().await;
        for part in [
            "phase: it is `mirror`",
            "tables: not all rows",
            "copier: ",
            "reconcile: ",
            "compares: 0 answers",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        let even_so = flipped(group(world)).await.expect_err("not even by force").to_string();
        assert!(!even_so.contains("--force"), "{even_so}");
        backfill(group(world), ("tests", "tests"), &mut |_| {}).await.expect("filled");
        let mut copier = Copier::open(group(world), "tests", Takeover::Now).await.expect("taken");
        let told = refusal().await;
        assert!(told.contains("reconcile: not all rows were compared"), "{told}");
        assert!(!told.contains("copier: ") && told.contains("--force"), "{told}");
        // A row that nobody copied.
        put_wallet(&mut open(&world.mirror).await, 9, "extra", 1).await;
        let all = super::super::Reconcile { tables: Vec::new(), ..super::reconcile::plan(world) };
        reconcile(&all, |_| {}).await.expect("compared");
        assert!(refusal().await.contains("found 1 divergences"));
        run(&world.mirror, "DELETE FROM wallet WHERE player_id = 9").await;
        let part = super::super::Reconcile {
            tables: vec!["thing".into()],
            ..super::reconcile::plan(world)
        };
        reconcile(&part, |_| {}).await.expect("compared");
        assert!(refusal().await.contains("found 1 divergences"), "a part counts for nothing");
        reconcile(&all, |_| {}).await.expect("compared");
        let older = "UPDATE gateway_switch_reconcile SET ended_at = ended_at - 86400001";
        run(&world.owner, older).await;
        assert!(refusal().await.contains("24 at most"));
        reconcile(&all, |_| {}).await.expect("compared");
        run(
            &world.owner,
            "INSERT INTO gateway_outbox_refused (id, table_name, row_key, fault, refused_at) \
             VALUES (1, 'wallet', '[]', 'no', '2024-01-01 00:00:00')",
        )
        .await;
        assert!(refusal().await.contains("refused: the mirror does not take 1 rows"));
        run(&world.owner, "DELETE FROM gateway_outbox_refused").await;
        let gone = "INSERT INTO gateway_switch_instance (group_name, instance, seen_at, epoch, flip_id, state, pause_ms, \
                    journal, dead_letters) VALUES ('game1', 'gone', 0, 1, 0, 'open', 0, 7, 3)";
        run(&world.owner, gone).await;
        let told = refusal().await;
        assert!(told.contains("letters: ") && told.contains("had 3 dead letters: start it again"), "{told}");
        run(&world.owner, "UPDATE gateway_switch_instance SET dead_letters = 0").await;
        assert!(!refusal().await.contains("letters: "));
        compared(world, 99, 0).await;
        assert!(refusal().await.contains("compares: 99 answers"));
        compared(world, 1, 1).await;
        assert!(refusal().await.contains("compares: 1 of 100 answers differed"));
        run(&world.owner, "UPDATE gateway_switch_shadow SET mismatched = 0").await;
        // However long all that took: it says that it is alive.
        copier.batch().await.expect("a sign of life");
        let checks = status(group(world)).await.expect("a status").checks;
        assert_eq!(checks.iter().filter(|check| check.fault.is_some()).count(), 0, "{checks:?}");
        copier.close().await;
        let copier = Copier::open(group(world), "tests", Takeover::Now).await.expect("taken");
        let done = Box::pin(flip(&plan, &mut |_| {})).await.expect("nothing is against it");
        assert_eq!(done.overridden, []);
        drop(copier);
        let told = flip(&Flip { group: now(world).await, ..plan }, &mut |_| {}).await;
        let told = told.expect_err("not compared since").to_string();
        assert!(told.contains("since `mirror` is the owner"), "{told}");
    })
    .await;
}

/// After a backfill or a flip nobody copies until a gateway finds out that it may.
#[tokio::test]
async fn flip_waits_for_a_copier_where_a_gateway_runs_and_no_longer_than_for_a_lease() {
    let directions = [(Dialect::Mysql, Dialect::Sqlite), (Dialect::Oracle, Dialect::Mysql)];
    between("flipcopier", &directions, async |world| {
        mirrored(world).await;
        let all = super::super::Reconcile { tables: Vec::new(), ..super::reconcile::plan(world) };
        reconcile(&all, |_| {}).await.expect("compared");
        compared(world, 100, 0).await;
        let plan = Flip { is_forced: false, ..forced(group(world)) };
        let refused = async || {
            let begun = Instant::now();
            let told = Box::pin(flip(&plan, &mut |_| {})).await.expect_err("refused").to_string();
            assert!(told.contains("copier: nobody copies"), "{told}");
            begun.elapsed()
        };
        assert!(refused().await < Duration::from_secs(10), "no gateway runs that could");
        // Has waited for longer than is allowed by the time that somebody comes.
        put_wallet(&mut open(&world.owner).await, 7, "waits", 1).await;
        let (stop, waited) = (AtomicBool::new(false), Notify::new());
        let flips = async {
            let elapsed = refused().await;
            let lease = Duration::from_secs(10);
            assert!(elapsed > lease && elapsed < 3 * lease, "{elapsed:?}");
            let mut told = |phase: &str| {
                if phase.contains("nobody copies yet") {
                    waited.notify_one();
                }
            };
            let comes = async {
                waited.notified().await;
                let copier = Copier::open(group(world), "one", Takeover::WhenSilent).await;
                let mut copier = copier.expect("it is free");
                let fault = async |name| {
                    let checks = status(group(world)).await.expect("a status").checks;
                    checks.into_iter().find(|check| check.name == name).and_then(|it| it.fault)
                };
                assert_eq!(fault("copier").await, None);
                assert!(fault("lag").await.is_some_and(|told| told.contains("rows wait")));
                // Several looks long.
                tokio::time::sleep(Duration::from_millis(500)).await;
                while copier.depth().await.expect("asked").first != 0 {
                    copier.batch().await.expect("copied");
                }
                copier
            };
            let (done, copier) = tokio::join!(Box::pin(flip(&plan, &mut told)), comes);
            let done = done.expect("somebody copies");
            assert_eq!((&*done.owner, done.overridden), (&*world.mirror.name, Vec::new()));
            drop(copier);
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(flips, play(world, "one", &stop));
    })
    .await;
}

/// Answers that two gateways found, as their shadow reads write it down.
async fn compared(world: &World, count: i64, mismatched: i64) {
    let mut owner = open(&world.owner).await;
    let sql = "INSERT INTO gateway_switch_shadow (group_name, instance, operation, compared, mismatched, \
               undecided, since_ms, last_ms) VALUES ('game1', ?, 'player.get', ?, ?, 0, 0, 0)";
    let binds = vec![text(&format!("of {count}")), Scalar::Int(count), Scalar::Int(mismatched)];
    owner.execute(sql, binds).await.expect("entered");
    owner.close().await;
}

/// What the steps are after a flip: the same, whatever order the configuration names the two in.
#[tokio::test]
async fn steps_after_a_flip_go_by_the_rows_and_an_owner_of_before_keeps_a_row() {
    everywhere("flipsteps", async |world| {
        mirrored(world).await;
        flipped(group(world)).await.expect("flipped");
        let told = copy(group(world), "tests", Takeover::Now, &mut |_| {}).await;
        assert!(told.expect_err("the other one owns").to_string().contains("`mirror` owns game1"));
        let back = now(world).await;
        assert_eq!(
            by_rows(group(world).reversed()).await.expect("one").owner.name,
            back.owner.name
        );
        put_wallet(&mut open(&world.mirror).await, 1, "after", 1).await;
        assert_eq!(copy(back, "tests", Takeover::Now, &mut |_| {}).await.expect("back").copied, 1);
        equal(world).await;
        let again = mirror(back, &[], "tests").await.expect("repeated");
        assert_eq!((again.trigger_count, again.tables.len()), (0, 3));
        retire(back, "tests").await.expect("retired");
        let left = row(&world.owner).await;
        assert_eq!(
            (left.phase, &*left.owner, left.mirror),
            (Phase::Single, &*world.mirror.name, None)
        );
        assert_eq!(by_rows(group(world)).await.expect("one").owner.name, world.mirror.name);
        // And once more from there.
        mirror(back, &[], "tests").await.expect("mirrored");
        backfill(back, ("tests", "tests"), &mut |_| {}).await.expect("filled");
        assert_eq!(flipped(back).await.expect("flipped").owner, world.owner.name);
        equal(world).await;
    })
    .await;
}

/// Orders of a Redis stream, applied by one that was replaced before the flip and does not know it yet.
#[tokio::test]
async fn replaced_owner_of_a_stream_is_refused_by_the_new_owner_of_the_game() {
    everywhere("flipfence", async |world| {
        mirrored(world).await;
        let fences = "INSERT INTO gateway_stream (stream, token) VALUES (11, 7)";
        run(&world.owner, fences).await;
        for (config, token) in [(&world.owner, 3), (&world.mirror, 9)] {
            let sql = format!("INSERT INTO gateway_stream (stream, token) VALUES (12, {token})");
            run(config, &sql).await;
        }
        flipped(group(world)).await.expect("flipped");
        let pool = pool(world.mirror.clone());
        let template = template(world.mirror.dialect, Kind::Exec);
        let applied = async |stream: i64, token: i64| {
            let holds = Holds { owner: None, fence: Some(Fence { stream, token }) };
            let deadline = Instant::now() + Duration::from_secs(20);
            apply(&pool, &template, &[], holds, 0, deadline).await.map(|states| states.len())
        };
        // Below the fence, and at it; one that is higher on the new owner was not lowered.
        for (stream, token) in [(11, 6), (12, 3), (12, 8)] {
            let refused = applied(stream, token).await;
            assert!(matches!(refused, Err(ApplyError::Fenced)), "{stream} {token}: {refused:?}");
        }
        for (stream, token) in [(11, 7), (12, 9), (13, 1)] {
            assert_eq!(applied(stream, token).await.ok(), Some(0), "{stream} {token}");
        }
        // The copiers' own fences stayed where they were: copying goes on in both directions.
        for _ in 0..2 {
            let back = now(world).await;
            copy(back, "tests", Takeover::Now, &mut |_| {}).await.expect("copied");
            flipped(back).await.expect("flipped");
        }
        equal(world).await;
    })
    .await;
}

#[tokio::test]
async fn triggers_that_a_flip_makes_are_those_that_were_printed_before() {
    everywhere("flipscript", async |world| {
        flip_script(group(world)).await.expect_err("there is no mirror yet");
        mirrored(world).await;
        let script = flip_script(group(world)).await.expect("printed");
        assert_eq!(row(&world.owner).await.phase, Phase::Mirrored);
        let mut mirror = open(&world.mirror).await;
        assert_eq!(present(&mut mirror).await.expect("asked"), [], "nothing is changed");
        flipped(group(world)).await.expect("flipped");
        let made = present(&mut mirror).await.expect("asked");
        assert_eq!(made.len(), 9);
        for (name, _) in &made {
            assert!(script.to_ascii_lowercase().contains(&name.to_ascii_lowercase()), "{script}");
        }
        assert_eq!(script.matches("CREATE ").count(), 9, "and no others: {script}");
    })
    .await;
}
