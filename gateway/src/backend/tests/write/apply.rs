//! Journalled records, many in one transaction.

use super::super::super::write::{Applied, ApplyError, Holds, Mark, Params, RecordState, apply};
use super::*;
use crate::identity::RequestKey;
use RecordState::{Done, DoneBefore, KeyReused, Repeat};

/// A record: its key, its number in journal 7, and what it inserts.
type Record = (&'static str, i64, i64);

impl Bed {
    async fn apply(
        &self,
        template: &Template,
        records: &[Record],
    ) -> Result<Vec<RecordState>, ApplyError> {
        let mut template = template.clone();
        template.dialect = self.dialect;
        let bounds: Vec<Bound<'_>> = records
            .iter()
            .map(|(key, _, id)| Bound {
                values: smallvec::smallvec![text(key), Scalar::Int(*id)],
                given: 3,
            })
            .collect();
        let template = &template;
        let record = |((_, sequence, _), bound): (&Record, _)| Applied {
            params: Params { template, bound, supplied: supplied() },
            key: RequestKey::of(template, bound).expect("it has a key"),
            mark: Mark { journal: 7, sequence: *sequence },
        };
        let records: Vec<_> = records.iter().zip(&bounds).map(record).collect();
        apply(&self.pool, template, &records, Holds::default(), 0, far()).await
    }

    async fn ids(&self) -> String {
        self.ask("SELECT id FROM ledger ORDER BY id").await
    }
}

fn order() -> Template {
    let sql = "INSERT INTO ledger (id, account, delta) VALUES ({1}, 1, 1)";
    let mut template = keyed(template(Dialect::Mysql, Kind::Exec));
    template.plan = folding(sql);
    template.write.guard = guard(Comparison::Eq, 1, None);
    template
}

#[tokio::test]
async fn records_are_applied_once_however_often_they_come() {
    let beds = beds("w_apply").await;
    for bed in &beds.all {
        let first = [("a", 1, 1), ("b", 2, 2), ("c", 3, 3)];
        assert_eq!(bed.apply(&order(), &first).await.expect("applied"), [Done; 3]);
        let marks = "SELECT journal, sequence, reply FROM gateway_request ORDER BY sequence";
        assert_eq!(bed.ask(marks).await, "7 1 NULL 7 2 NULL 7 3 NULL");
        // The whole batch again, as after a COMMIT that nobody answered, with new ones and odd ones between.
        let second = [
            ("a", 1, 1),
            ("d", 4, 4),
            ("b", 5, 2),
            ("c", 6, 9),
            ("c", 3, 3),
            ("e", 7, 5),
            ("e", 8, 5),
            ("d", 9, 8),
        ];
        let states = bed.apply(&order(), &second).await.expect("applied");
        let expected = [DoneBefore, Done, Repeat, KeyReused, DoneBefore, Done, Repeat, KeyReused];
        assert_eq!(states, expected);
        assert_eq!(bed.ids().await, "1 2 3 4 5");
        // A caller's own repeat finds what the journal did, and answers what its first call did.
        let again = bed.run(&order(), vec![text("a"), Scalar::Int(1)], far()).await.expect("known");
        assert!(again.replayed);
        assert_eq!(body(&again), b"\x82\xa5state\xaajournalled\xa3key\xa1a");
    }
}

#[tokio::test]
async fn record_at_fault_takes_the_batch_back_and_is_found_by_halves() {
    let beds = beds("w_fault").await;
    let mut debit = tx(vec![step(
        "debit",
        StepKind::Exec,
        "UPDATE account SET gold = gold - 1 WHERE id = {1}",
    )]);
    debit.write.steps[0].guard = guard(Comparison::Eq, 1, Some(error(2103, "NOBODY")));
    for bed in &beds.all {
        let records = [("a", 1, 1), ("b", 2, 2), ("c", 3, 77)];
        let refused = bed.apply(&keyed(debit.clone()), &records).await;
        let Err(ApplyError::Refused(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.code(), 2103);
        assert_eq!(
            (bed.golds().await, bed.key_count().await),
            ("100 100 100 100 100".into(), "0".into())
        );
        let well = bed.apply(&keyed(debit.clone()), &records[..2]).await.expect("applied");
        assert_eq!(well, [Done; 2]);
        assert_eq!(bed.golds().await, "99 99 100 100 100");
        bed.apply(&order(), &[("x", 4, 1)]).await.expect("applied");
        let taken = bed.apply(&order(), &[("y", 5, 2), ("z", 6, 1)]).await;
        assert!(
            matches!(taken, Err(ApplyError::Refused(BackendError::Duplicate { .. }))),
            "{taken:?}"
        );
        assert_eq!(bed.ids().await, "1");
    }
}

/// More records than one statement holds, of which one in the middle is known.
#[tokio::test]
async fn large_batch_with_known_records_applies_the_others() {
    let beds = beds("w_large").await;
    for bed in &beds.all {
        let records: Vec<Record> = (0..600_i64)
            .map(|number| (&*Box::leak(format!("k{number}").into_boxed_str()), number, number))
            .collect();
        bed.apply(&order(), &records[300..310]).await.expect("applied");
        let states = bed.apply(&order(), &records).await.expect("applied");
        assert_eq!(states.iter().filter(|state| **state == Done).count(), 590);
        assert!(states[300..310].iter().all(|state| *state == DoneBefore));
        assert_eq!(bed.ask("SELECT COUNT(*) FROM ledger").await, "600");
        assert_eq!(bed.key_count().await, "600");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_is_gone_or_slow_is_no_records_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::new(
        pool(crate::config::ConnectionConfig {
            query_timeout: Duration::from_millis(100),
            ..sqlite_config(folder.path())
        }),
        Dialect::Sqlite,
    )
    .await;
    let mut holder = bed.pool.acquire(far()).await.expect("one");
    holder.begin_transaction(None).await.expect("begun");
    let locked = bed.apply(&order(), &[("a", 1, 1)]).await;
    let Err(ApplyError::Locked(error)) = locked else { panic!("{locked:?}") };
    assert_eq!(error.code(), 1304);
    holder.rollback().await.expect("released");
    drop(holder);
    bed.pool.close(far()).await;
    let gone = bed.apply(&order(), &[("a", 1, 1)]).await;
    let Err(ApplyError::Lost(error)) = gone else { panic!("{gone:?}") };
    assert_eq!(error.code(), 1302);
}
