//! `each` and `batch`: many rows, folded where that is possible.

use super::*;
use crate::observe::{EventKind, event_count};

fn list(rows: &[&[i64]]) -> Scalar<'static> {
    Scalar::List(rows.iter().map(|values| row(values)).collect())
}

fn batch(plan: Plan) -> Template {
    let mut template = template(Dialect::Mysql, Kind::Batch);
    template.slots = vec![rows_slot(&["account", "delta"])];
    template.write.batch_slot = Some(0);
    template.plan = plan;
    template
}

/// The reply, as `affected: outcomes`.
fn outcomes(body: &[u8]) -> String {
    let mut reader = gateway_protocol::msgpack::Reader::new(body);
    format!("{:?}", reader.value().expect("a value"))
}

const INSERT: &str = "INSERT INTO ledger (id, account, delta) VALUES ({id}, {0.0}, {0.1})";

#[tokio::test]
async fn rows_are_folded_with_an_id_each_and_their_order() {
    let beds = beds("w_fold").await;
    for bed in &beds.all {
        let rows: Vec<Vec<i64>> = (0..300).map(|index| vec![index, index * 2]).collect();
        let rows: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
        let body = bed.body(&batch(folding(INSERT)), vec![list(&rows)]).await;
        assert_eq!(&body[..14], b"\x82\xa8affected\xcd\x01\x2c\xa4");
        let sums = bed.ask("SELECT COUNT(*), MIN(id), MAX(id), SUM(delta) FROM ledger").await;
        assert_eq!(sums, "300 1000 1299 89700");
        let ordered = bed.ask("SELECT COUNT(*) FROM ledger WHERE account = id - 1000").await;
        assert_eq!(ordered, "300");
    }
}

#[tokio::test]
async fn row_that_is_refused_takes_no_other_along() {
    let beds = beds("w_apart").await;
    let insert = "INSERT INTO ledger (id, account, delta) VALUES ({0.0}, 1, {0.1})";
    for bed in &beds.all {
        let mut template = batch(folding(insert));
        template.on_duplicate = Some(error(2104, "TAKEN"));
        let body = bed.body(&template, vec![list(&[&[1, 1], &[2, 1], &[1, 1], &[3, 1]])]).await;
        let shown = outcomes(&body);
        assert!(shown.contains("2104") && shown.contains("TAKEN"), "{shown}");
        assert_eq!(bed.ask("SELECT id FROM ledger ORDER BY id").await, "1 2 3");
        assert_eq!(body[10], 3, "{shown}");
    }
}

/// A guard that a statement breaks after it has changed something undoes that row, and no other.
#[tokio::test]
async fn guarded_rows_are_undone_one_by_one() {
    let beds = beds("w_undo").await;
    let mut template = batch(plan("UPDATE account SET gold = gold + {0.1} WHERE id >= {0.0}"));
    template.write.guard = guard(Comparison::Eq, 1, Some(error(2103, "MANY")));
    for bed in &beds.all {
        let body = bed.body(&template, vec![list(&[&[5, 7], &[4, 9], &[5, 1]])]).await;
        assert_eq!(bed.golds().await, "100 100 100 100 108");
        assert_eq!((body[10], outcomes(&body).contains("MANY")), (2, true));
    }
}

#[tokio::test]
async fn upserts_count_one_a_row_and_rows_that_are_skipped_count_none() {
    let beds = beds("w_upsert").await;
    for bed in &beds.all {
        let insert = "INSERT INTO account (id, gold) VALUES ({0.0}, {0.1})";
        let plan = match bed.dialect {
            Dialect::Sqlite => {
                folding(&format!("{insert} ON CONFLICT (id) DO UPDATE SET gold = excluded.gold"))
            }
            Dialect::Mysql => {
                folding(&format!("{insert} ON DUPLICATE KEY UPDATE gold = VALUES(gold)"))
            }
            Dialect::Oracle => array(
                "MERGE INTO account a USING (SELECT {0.0} AS id, {0.1} AS gold FROM dual) s ON (a.id = s.id) \
                 WHEN MATCHED THEN UPDATE SET a.gold = s.gold \
                 WHEN NOT MATCHED THEN INSERT (id, gold) VALUES (s.id, s.gold)",
            ),
        };
        let body = bed.body(&batch(plan), vec![list(&[&[1, 1], &[9, 9], &[2, 2]])]).await;
        assert_eq!(body[10], 3);
        assert_eq!(bed.golds().await, "1 2 100 100 100 9");
        if bed.dialect == Dialect::Sqlite {
            let sql = "INSERT INTO account (id, gold) VALUES ({0.0}, {0.1}) ON CONFLICT DO NOTHING";
            let body = bed.body(&batch(folding(sql)), vec![list(&[&[1, 5], &[8, 8]])]).await;
            assert_eq!(body[10], 1, "{}", outcomes(&body));
            assert_eq!(bed.golds().await, "1 2 100 100 100 8 9");
        }
    }
}

#[tokio::test]
async fn step_for_each_row_names_the_row_that_fails_and_keeps_none() {
    let beds = beds("w_each").await;
    let mut spend = step(
        "spend",
        StepKind::Exec,
        "UPDATE account SET gold = gold - {0.1} WHERE id = {0.0} AND gold >= {0.1}",
    );
    spend.each = Some(0);
    spend.guard = guard(Comparison::Eq, 1, Some(error(2103, "TOO_LITTLE")));
    let mut note = Step { plan: folding(INSERT), ..step("note", StepKind::Exec, "") };
    note.each = Some(0);
    note.guard = guard(Comparison::Eq, 1, None);
    let mut template = tx(vec![note, spend]);
    template.slots = vec![rows_slot(&["account", "delta"])];
    for bed in &beds.all {
        let values = |last| vec![list(&[&[1, 10], &[2, 20], &[3, last]])];
        let refused = bed.run(&template, values(101), far()).await;
        let Err(BackendError::Business { details, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(details.row, Some(2));
        assert_eq!(bed.ask("SELECT COUNT(*) FROM ledger").await, "0");
        bed.body(&template, values(100)).await;
        assert_eq!(bed.golds().await, "90 80 0 100 100");
        assert_eq!(bed.ask("SELECT id FROM ledger ORDER BY id").await, "1000 1001 1002");
    }
}

#[tokio::test]
async fn row_that_fails_by_the_template_s_own_fault_reaches_the_log() {
    let beds = beds("w_row_log").await;
    let mut template = batch(plan("UPDATE account SET gold = gold + {0.1} WHERE id = {0.0}"));
    template.write.guard = guard(Comparison::Eq, 1, None);
    for bed in &beds.all {
        let before = event_count(EventKind::RequestFailed);
        let body = bed.body(&template, vec![list(&[&[1, 1], &[9, 1], &[8, 1]])]).await;
        assert!(outcomes(&body).contains("1303"), "{}", outcomes(&body));
        assert!(event_count(EventKind::RequestFailed) > before);
    }
}

/// A trigger of SQLite's can end the transaction in the middle of a write: what comes behind would stand alone.
#[tokio::test]
async fn transaction_that_the_database_ends_in_the_middle_leaves_nothing_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::new(pool(sqlite_config(folder.path())), Dialect::Sqlite).await;
    let mut lease = bed.pool.acquire(far()).await.expect("one");
    let trigger = "CREATE TRIGGER strict BEFORE INSERT ON ledger WHEN NEW.delta < 0 \
                   BEGIN SELECT RAISE(ROLLBACK, 'no debts'); END";
    lease.run_text(trigger).await.expect("good SQL");
    drop(lease);
    let mut guarded = batch(plan(INSERT));
    guarded.write.guard = guard(Comparison::Eq, 1, None);
    let each = Step { each: Some(0), plan: folding(INSERT), ..step("note", StepKind::Exec, "") };
    let steps = Template { slots: guarded.slots.clone(), ..tx(vec![each]) };
    for template in [batch(folding(INSERT)), batch(plan(INSERT)), guarded, steps] {
        let rows = list(&[&[1, 10], &[2, -20], &[3, 30]]);
        let failed = bed.run(&template, vec![rows], far()).await.expect_err("it was ended");
        assert_eq!(failed.code(), 1303, "{failed:?}");
        assert_eq!(bed.ask("SELECT COUNT(*) FROM ledger").await, "0");
    }
    bed.body(&batch(folding(INSERT)), vec![list(&[&[1, 10], &[2, 20]])]).await;
    assert_eq!(bed.ask("SELECT COUNT(*) FROM ledger").await, "2");
}
