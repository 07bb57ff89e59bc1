//! What differs is found, exactly that, and made alike.

use std::pin::pin;
use std::task::Poll;

use super::super::compare::{Reconcile, Uncompared, reconcile};
use super::super::divergence::TableReport;
use super::super::error::SwitchError;
use super::copy::{begin, drain};
use super::world::{World, between, everywhere, open, put_thing, put_wallet, run};
use crate::catalog::{Dialect, Scalar};
use crate::config::ConnectionConfig;

pub(super) fn plan(world: &World) -> Reconcile<'_> {
    Reconcile {
        owner: &world.owner,
        mirror: &world.mirror,
        group: "game1".into(),
        tables: vec!["thing".into(), "wallet".into()],
        from: None,
        to: None,
        chunk: 7,
        repair_max: None,
        with_values: false,
    }
}

pub(super) async fn compared(plan: &Reconcile<'_>) -> Result<Vec<TableReport>, SwitchError> {
    Ok(all_of(plan).await?.0)
}

/// The same, with what was not compared.
async fn all_of(plan: &Reconcile<'_>) -> Result<(Vec<TableReport>, Uncompared), SwitchError> {
    let mut reports = Vec::new();
    let uncompared = reconcile(plan, |report| reports.push(report)).await?;
    Ok((reports, uncompared))
}

/// 40 things and wallets whose currencies differ by case only, on both sides, in different orders.
async fn fill(world: &World) {
    for (config, step) in [(&world.owner, 1), (&world.mirror, 39)] {
        let mut side = open(config).await;
        side.begin().await.expect("begun");
        for number in 0..40 {
            let id = (number * step) % 40 + 1;
            put_thing(&mut side, id, &format!("thing {id} é")).await;
        }
        for (player, currency) in [(1, "gold"), (1, "Gold"), (2, "gem"), (10, "é"), (10, "e")] {
            put_wallet(&mut side, player, currency, player * 100).await;
        }
        side.commit().await.expect("committed");
        side.close().await;
    }
}

#[tokio::test]
async fn sides_that_hold_the_same_rows_in_their_own_forms_are_equal() {
    everywhere("equal", async |world| {
        fill(world).await;
        // Written another way, the same value.
        let same = match world.mirror.dialect {
            Dialect::Sqlite => "UPDATE thing SET amount = '4.5' WHERE id = 4",
            _ => "UPDATE thing SET code = 'usd  ' WHERE id = 4",
        };
        run(&world.mirror, same).await;
        let reports = compared(&plan(world)).await.expect("compared");
        let counts: Vec<_> = reports
            .iter()
            .map(|report| (&*report.table, report.row_count, report.divergence_count()))
            .collect();
        assert_eq!(counts, [("thing", 40, 0), ("wallet", 5, 0)]);
        assert!(reports.iter().all(|report| report.differing_chunk_count == 0), "{reports:?}");
    })
    .await;
}

/// What is wrong with the mirror, one fault a row, and only those.
async fn plant(mirror: &ConnectionConfig) {
    let later = match mirror.dialect {
        Dialect::Sqlite => "'2024-02-29T20:34:56.790013Z'",
        _ => "'2024-02-29 20:34:56.790013'",
    };
    for sql in [
        "UPDATE thing SET name = 'another' WHERE id = 3",
        "DELETE FROM thing WHERE id = 5",
        // A digit lost by a narrower scale.
        "UPDATE thing SET amount = '8.00' WHERE id = 8",
        // Of a zone eight hours ahead.
        &format!("UPDATE thing SET at = {later} WHERE id = 14"),
        "UPDATE thing SET name = '', day = NULL WHERE id = 20",
        "UPDATE thing SET weight = 0.10000000000000002 WHERE id = 21",
        "INSERT INTO thing (id, code, amount) VALUES (1000, 'usd', '0.00')",
        "INSERT INTO wallet (player_id, currency, balance) VALUES (1, 'GOLD', 1)",
        "DELETE FROM wallet WHERE player_id = 10 AND currency = 'e'",
    ] {
        run(mirror, sql).await;
    }
}

fn texts(keys: &[Box<str>]) -> Vec<&str> {
    keys.iter().map(|key| &**key).collect()
}

fn different(report: &TableReport) -> Vec<(&str, Vec<&str>)> {
    report
        .different
        .iter()
        .map(|row| (&*row.key, row.columns.iter().map(|one| &*one.column).collect()))
        .collect()
}

#[tokio::test]
async fn planted_divergences_are_found_exactly_and_repaired() {
    everywhere("planted", async |world| {
        fill(world).await;
        run(&world.owner, "UPDATE thing SET name = NULL WHERE id = 20").await;
        plant(&world.mirror).await;
        let mut plan = plan(world);
        let reports = compared(&plan).await.expect("compared");
        let [thing, wallet] = &reports[..] else { panic!("{reports:?}") };
        let expected = [
            (r#"["3"]"#, vec!["name"]),
            (r#"["8"]"#, vec!["amount"]),
            (r#"["14"]"#, vec!["at"]),
            (r#"["20"]"#, if world.has_oracle() { vec!["day"] } else { vec!["name", "day"] }),
            (r#"["21"]"#, vec!["weight"]),
        ];
        assert_eq!(different(thing), expected);
        assert_eq!(texts(&thing.missing), [r#"["5"]"#]);
        assert_eq!(texts(&thing.extra), [r#"["1000"]"#]);
        assert_eq!(texts(&wallet.missing), [r#"["10","e"]"#]);
        assert_eq!(texts(&wallet.extra), [r#"["1","GOLD"]"#]);
        assert_eq!(wallet.different, []);
        // No value is told unless it is asked for.
        assert!(
            thing.different.iter().flat_map(|row| &row.columns).all(|one| one.values.is_none())
        );

        plan.repair_max = Some(3);
        let repaired = compared(&plan).await.expect("compared");
        let count = |reports: &[TableReport]| -> (u64, u64) {
            let sum = |of: fn(&TableReport) -> u64| reports.iter().map(of).sum();
            (sum(TableReport::divergence_count), sum(|report| report.repaired_count))
        };
        assert_eq!(count(&repaired), (9, 3), "no more than it may");
        plan.repair_max = Some(100);
        assert_eq!(count(&compared(&plan).await.expect("compared")), (6, 6));
        assert_eq!(count(&compared(&plan).await.expect("compared")), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn range_bounds_what_is_compared_and_values_are_told_when_they_are_asked_for() {
    everywhere("range", async |world| {
        fill(world).await;
        plant(&world.mirror).await;
        let mut plan = plan(world);
        (plan.from, plan.to) = (Some("4".into()), Some("8".into()));
        plan.tables = vec!["THING".into()];
        plan.with_values = true;
        let reports = compared(&plan).await.expect("compared");
        assert_eq!((reports[0].row_count, reports[0].divergence_count()), (5, 2));
        assert_eq!(reports[0].extra_count, 0, "1000 is beyond the range");
        let values = reports[0].different[0].columns[0].values.clone();
        assert_eq!(values, Some(["8.50".into(), "8.00".into()]));
        plan.from = Some("x".into());
        let refused = compared(&plan).await.expect_err("no number").to_string();
        assert!(refused.contains("`id` is no bigint"), "{refused}");
    })
    .await;
}

/// A value that has no form on both sides equals none, and says why; it is never written to the other side.
#[tokio::test]
async fn value_of_another_form_is_a_divergence_and_is_refused_on_its_way() {
    everywhere("form", async |world| {
        if world.owner.dialect != Dialect::Sqlite {
            return;
        }
        fill(world).await;
        run(&world.owner, "UPDATE thing SET at = 'yesterday' WHERE id = 2").await;
        let mut plan = plan(world);
        plan.repair_max = Some(10);
        let reports = compared(&plan).await.expect("compared");
        assert_eq!(different(&reports[0]), [(r#"["2"]"#, vec!["at"])]);
        assert_eq!((reports[0].repaired_count, reports[0].refused_count), (0, 1));
        let mut mirror = open(&world.mirror).await;
        let sql = "SELECT COUNT(*) FROM thing WHERE id = ?";
        let left = mirror.texts(sql, vec![Scalar::Int(2)]).await.expect("a count");
        assert_eq!(left[0][0].as_deref(), Some("1"), "a row that cannot be copied is left alone");
    })
    .await;
}

/// Polls a comparison to its end, and has everything copied when it waits for the `limit`th time. Whether it did
/// wait so often.
async fn compared_beside_a_copier(world: &World, limit: usize) -> (Vec<TableReport>, bool) {
    let mut plan = plan(world);
    plan.tables = vec!["thing".into()];
    plan.chunk = 500;
    let mut future = pin!(compared(&plan));
    let mut count = 0;
    let stopped = std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if count == limit => Poll::Ready(None),
        Poll::Pending => {
            count += 1;
            Poll::Pending
        }
    });
    if let Some(done) = stopped.await {
        return (done.expect("compared"), false);
    }
    drain(world).await;
    (future.await.expect("compared"), true)
}

/// The rows of one transaction arrive all at once, and leave the outbox a moment later.
#[tokio::test]
async fn row_that_arrives_between_any_two_steps_of_a_comparison_is_no_divergence() {
    let directions = [(Dialect::Mysql, Dialect::Mysql)];
    between("arrives", &directions, async |world| {
        begin(world).await;
        let mut owner = open(&world.owner).await;
        // Every other one: the moment that counts lasts for several.
        for limit in (0..).step_by(2) {
            let id = i64::try_from(limit).expect("small") + 1;
            put_thing(&mut owner, id, "new").await;
            let (reports, is_reached) = compared_beside_a_copier(world, limit).await;
            let found = reports[0].divergence_count();
            assert_eq!(found, 0, "copied when it waited for the {limit}th time: {reports:?}");
            if !is_reached {
                assert!(limit > 10, "{limit}");
                break;
            }
        }
    })
    .await;
}

/// What is compared when no table is named: before the mirror is begun all, then what is copied.
#[tokio::test]
async fn table_that_only_one_side_has_is_told_and_does_not_keep_the_others_from_being_compared() {
    everywhere("one_sided", async |world| {
        let table = |name| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY)");
        run(&world.owner, &table("here")).await;
        run(&world.mirror, &table("there")).await;
        run(&world.owner, &table("gateway_mine")).await;
        let mut plan = plan(world);
        plan.tables = Vec::new();
        let told = |found: &(Vec<TableReport>, Uncompared)| {
            let tables: Vec<_> = found.0.iter().map(|report| report.table.to_string()).collect();
            let only = found.1.one_sided.iter();
            let only = only.map(|one| format!("{} {}", one.connection, one.table)).collect();
            let left_out: Vec<_> = found.1.left_out.iter().map(ToString::to_string).collect();
            [tables, only, left_out]
        };
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut all = told(&all_of(&plan).await.expect("compared"));
        all[0].sort_unstable();
        let both = list(&["gateway_request", "thing", "wallet"]);
        assert_eq!(all, [both, list(&["owner here", "mirror there"]), list(&[])]);
        plan.tables = vec!["thing".into(), "here".into()];
        let refused = compared(&plan).await.expect_err("it was named").to_string().to_lowercase();
        assert!(refused.contains("`mirror` has no table `here`"), "{refused}");

        begin(world).await;
        plan.tables = Vec::new();
        let copied = list(&["gateway_request", "thing", "wallet"]);
        let left_out = list(&["here", "there"]);
        let mut found = told(&all_of(&plan).await.expect("compared"));
        found[2].sort_unstable();
        assert_eq!(found, [copied, list(&[]), left_out.clone()]);
        run(&world.mirror, "DROP TABLE wallet").await;
        let mut found = told(&all_of(&plan).await.expect("compared"));
        found[2].sort_unstable();
        assert_eq!(found, [list(&["gateway_request", "thing"]), list(&["owner wallet"]), left_out]);
        run(&world.owner, "DROP TABLE wallet").await;
        let refused = compared(&plan).await.expect_err("neither has it").to_string().to_lowercase();
        assert!(refused.contains("`owner` has no table `wallet`"), "{refused}");
    })
    .await;
}
