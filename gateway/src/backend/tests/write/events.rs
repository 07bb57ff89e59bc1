//! `@emit`: an event is there when its write is, once, and never otherwise.

use super::super::super::connection::Connection;
use super::super::super::switch::{EventId, EventQuery, StoredEvent, purge_events, read_events};
use super::super::super::write::{Applied, ApplyError, Holds, Mark, Params, RecordState, apply};
use super::*;
use crate::catalog::{Emitted, EmittedField, EmittedValue};
use crate::identity::RequestKey;

/// Makes a template tell of these slots, and of its id where that is asked for.
fn telling(mut template: Template, slots: &[usize], with_id: bool) -> Template {
    let slot = |index: &usize| EmittedField {
        name: template.slots[*index].name.clone(),
        value: EmittedValue::Slot(*index),
    };
    let mut fields: Vec<EmittedField> = slots.iter().map(slot).collect();
    if with_id {
        fields.push(EmittedField { name: "_id".into(), value: EmittedValue::Id });
    }
    let event = Emitted { topic: "account".into(), event: "changed".into(), fields };
    template.write.events.push(event);
    template
}

fn slots(mut template: Template, types: &[(&str, Type)]) -> Template {
    template.slots = types.iter().map(|(name, ty)| Slot::new(*name, ty.clone())).collect();
    template
}

const WORD: Type = Type::Str { chars_max: Some(40) };

/// Adds gold to the account of slot 1, known by slot 0.
fn earn() -> Template {
    let template = exec("UPDATE account SET gold = gold + 1 WHERE id = {1}");
    telling(slots(template, &[("key", WORD), ("id", Type::Bigint)]), &[1], false)
}

impl Bed {
    async fn events(&self, after: EventId) -> Vec<StoredEvent> {
        let (template, config) = (template(Dialect::Mysql, Kind::Exec), self.pool.config());
        let query = EventQuery {
            game: template.game.as_str(),
            database: &config,
            mirror: None,
            after,
            count_max: 1000,
        };
        read_events(query).await.expect("they are read")
    }

    /// What the events carry, and that they stand in their order.
    #[track_caller]
    fn told(events: &[StoredEvent]) -> Vec<&str> {
        assert!(events.is_sorted_by(|one, next| one.id < next.id), "{events:?}");
        events.iter().map(|event| &*event.data).collect()
    }

    async fn data(&self) -> Vec<String> {
        let events = self.events(EventId::default()).await;
        Self::told(&events).into_iter().map(str::to_owned).collect()
    }

    async fn config_connection(&self) -> Connection {
        Connection::open(&self.pool.config()).await.expect("it answers")
    }
}

#[tokio::test]
async fn write_tells_of_itself_once_in_the_form_that_replies_have() {
    let beds = beds("w_tell").await;
    let types = [
        ("id", Type::Bigint),
        ("price", Type::Decimal { precision: 12, scale: 2 }),
        ("at", Type::Timestamp { fraction: 3 }),
        ("raw", Type::Bytes { bytes_max: Some(8) }),
        ("is_new", Type::Bool),
        ("tags", Type::List(Box::new(WORD))),
        ("note", WORD),
    ];
    let sql = "INSERT INTO ledger (id, account, delta) VALUES ({id}, {0}, 1)";
    let template = telling(slots(exec(sql), &types), &[0, 1, 2, 3, 4, 5, 6], true);
    for bed in &beds.all {
        let values = vec![
            Scalar::Int(9_007_199_254_740_993),
            Scalar::Decimal("12.50".into()),
            Scalar::Timestamp(1_709_210_096_789_999),
            Scalar::Bytes(vec![0, 255].into()),
            Scalar::Bool(true),
            Scalar::List(vec![text("a\"b"), text("名")]),
            Scalar::Null,
        ];
        bed.body(&template, values).await;
        let events = bed.events(EventId::default()).await;
        let expected = "{\"id\":9007199254740993,\"price\":\"12.50\",\"at\":\"2024-02-29T12:34:56.789Z\",\
            \"raw\":\"AP8=\",\"is_new\":true,\"tags\":[\"a\\\"b\",\"名\"],\"note\":null,\"_id\":77}";
        assert_eq!(Bed::told(&events), [expected], "{:?}", bed.dialect);
        let told = &events[0];
        let names = (&*told.topic, &*told.event, &*told.operation);
        assert_eq!(names, ("account", "changed", template.op.as_str()));
        assert!(told.emitted_at > 1_600_000_000_000);
        assert_eq!(bed.events(told.id).await, [], "nothing comes after it");
    }
}

/// An event is longer than what Oracle holds in a column of text.
#[tokio::test]
async fn event_may_be_long() {
    let beds = beds("w_tell_long").await;
    let long = Type::Str { chars_max: Some(100_000) };
    let sql = "UPDATE account SET gold = gold + 1 WHERE id = 1";
    let template = telling(slots(exec(sql), &[("note", long)]), &[0], false);
    for bed in &beds.all {
        let note = "名".repeat(60_000);
        bed.body(&template, vec![text(&note)]).await;
        assert_eq!(bed.data().await, [format!("{{\"note\":\"{note}\"}}")], "{:?}", bed.dialect);
    }
}

#[tokio::test]
async fn what_has_not_happened_is_not_told() {
    let beds = beds("w_untold").await;
    let mut guarded = earn();
    guarded.write.guard = guard(Comparison::Eq, 1, Some(error(2103, "NOBODY")));
    let two = |last: &str| {
        let add = "UPDATE account SET gold = gold + 1 WHERE id = 1";
        let steps = vec![step("add", StepKind::Exec, add), step("last", StepKind::Exec, last)];
        telling(slots(tx(steps), &[("key", WORD), ("id", Type::Bigint)]), &[1], false)
    };
    let failing = two("INSERT INTO account (id, gold) VALUES (1, 1)");
    for bed in &beds.all {
        let call = |id| vec![text("k"), Scalar::Int(id)];
        bed.body(&earn(), call(77)).await;
        assert_eq!(bed.data().await, [""; 0], "no row was changed: {:?}", bed.dialect);
        let refused = bed.run(&guarded, call(77), far()).await.expect_err("nobody");
        assert_eq!(refused.code(), 2103);
        bed.run(&failing, call(1), far()).await.expect_err("taken");
        bed.with(&earn(), call(1), far(), true).await.expect("undone");
        assert_eq!(bed.ask("SELECT COUNT(*) FROM gateway_outbox").await, "0");
        assert_eq!(bed.golds().await, "100 100 100 100 100");
        // The same ones, where they succeed.
        bed.body(&guarded, call(1)).await;
        bed.body(&two("UPDATE account SET gold = gold WHERE id = 2"), call(2)).await;
        assert_eq!(bed.data().await, ["{\"id\":1}", "{\"id\":2}"]);
    }
}

#[tokio::test]
async fn repeat_of_a_request_that_is_known_tells_nothing_anew() {
    let beds = beds("w_tell_once").await;
    for bed in &beds.all {
        for key in ["a", "a", "b", "a"] {
            bed.body(&keyed(earn()), vec![text(key), Scalar::Int(1)]).await;
        }
        assert_eq!(bed.golds().await, "102 100 100 100 100");
        assert_eq!(bed.data().await, ["{\"id\":1}", "{\"id\":1}"], "{:?}", bed.dialect);
    }
}

/// Folded or one by one, each row that was taken is told of, with its own values and its own id.
#[tokio::test]
async fn each_row_of_a_batch_that_changed_something_has_an_event_of_its_own() {
    let beds = beds("w_tell_rows").await;
    let mut batch = template(Dialect::Mysql, Kind::Batch);
    batch.slots = vec![rows_slot(&["id", "delta"]), Slot::new("why", WORD)];
    batch.write.batch_slot = Some(0);
    let batch = telling(batch, &[0, 1], true);
    let insert = "INSERT INTO ledger (id, account, delta) VALUES ({0.0}, 1, {0.1})";
    let update = "UPDATE ledger SET delta = {0.1} WHERE id = {0.0} AND {0.0} < 3";
    for bed in &beds.all {
        for plan in [folding(insert), plan(update)] {
            let template = Template { plan, ..batch.clone() };
            let rows = [[1, 10], [2, 20], [1, 30], [3, 30]].map(|values| row(&values));
            bed.body(&template, vec![Scalar::List(rows.into()), text("x")]).await;
        }
        let event = |(id, delta, own): &(i64, i64, i64)| {
            format!("{{\"items\":{{\"id\":{id},\"delta\":{delta}}},\"why\":\"x\",\"_id\":{own}}}")
        };
        let inserted = [(1, 10, 1000), (2, 20, 1001), (3, 30, 1003)];
        let updated = [(1, 10, 1000), (2, 20, 1001), (1, 30, 1002)];
        let expected: Vec<String> = inserted.iter().chain(&updated).map(event).collect();
        assert_eq!(bed.data().await, expected, "{:?}", bed.dialect);
    }
}

impl Bed {
    /// Applies records of the journal: key, number, account.
    async fn apply_all(
        &self,
        template: &Template,
        records: &[(String, i64, i64)],
    ) -> Result<Vec<RecordState>, ApplyError> {
        let template = &Template { dialect: self.dialect, ..template.clone() };
        let bound = |(key, _, id): &(String, i64, i64)| Bound {
            values: smallvec::smallvec![text(key), Scalar::Int(*id)],
            given: 3,
        };
        let bounds: Vec<Bound<'_>> = records.iter().map(bound).collect();
        let record = |((_, sequence, _), bound): (&(String, i64, i64), _)| Applied {
            params: Params { template, bound, supplied: supplied() },
            key: RequestKey::of(template, bound).expect("it has a key"),
            mark: Mark { journal: 8, sequence: *sequence },
        };
        let records: Vec<_> = records.iter().zip(&bounds).map(record).collect();
        apply(&self.pool, template, &records, Holds::default(), 0, far()).await
    }
}

/// More than one statement holds; inserted at once, counted as an array, or one by one.
#[tokio::test]
async fn each_queued_write_that_is_applied_has_one_event_and_a_repeat_has_none() {
    let beds = beds("w_tell_queued").await;
    let order = |plan: Plan| {
        let types = [("key", WORD), ("id", Type::Bigint)];
        let exec = Template { plan, ..template(Dialect::Mysql, Kind::Exec) };
        keyed(telling(slots(exec, &types), &[1], false))
    };
    let insert = "INSERT INTO ledger (id, account, delta) VALUES ({1}, 1, 1)";
    for bed in &beds.all {
        let mut records: Vec<_> = (0..600).map(|n| (format!("k{n}"), n, n)).collect();
        bed.apply_all(&order(folding(insert)), &records[..100]).await.expect("applied");
        bed.apply_all(&order(folding(insert)), &records).await.expect("applied");
        let expected: Vec<String> = (0..600).map(|id| format!("{{\"id\":{id}}}")).collect();
        assert_eq!(bed.data().await, expected, "{:?}", bed.dialect);
        let last = bed.events(EventId::default()).await.last().expect("one").id;
        // Of these every second one finds no row.
        let update = "UPDATE ledger SET delta = 2 WHERE id = {1}";
        records = (0..10).map(|n| (format!("u{n}"), 700 + n, n % 2 * 1000)).collect();
        let plan = if bed.dialect == Dialect::Oracle { array(update) } else { plan(update) };
        bed.apply_all(&order(plan), &records).await.expect("applied");
        let events = bed.events(last).await;
        assert_eq!(Bed::told(&events), ["{\"id\":0}"; 5], "{:?}", bed.dialect);
        // A record that is refused takes the events of its whole batch back.
        let last = events.last().expect("one").id;
        records = vec![("x".into(), 801, 801), ("y".into(), 802, 1)];
        bed.apply_all(&order(folding(insert)), &records).await.expect_err("taken");
        assert_eq!(bed.events(last).await, []);
    }
}

/// Several instances may read one after the other, and none of them sees an order of its own.
#[tokio::test]
async fn events_are_read_in_pieces_of_any_size_and_always_in_the_same_order() {
    let beds = beds("w_tell_pieces").await;
    for bed in &beds.all {
        for id in [1, 2, 3, 4, 5, 1, 2, 3, 4, 5] {
            bed.body(&earn(), vec![text("k"), Scalar::Int(id)]).await;
            if id == 3 {
                bed.events(EventId::default()).await;
            }
        }
        let all = bed.events(EventId::default()).await;
        assert_eq!(all.len(), 10);
        let (game, config) = (template(Dialect::Mysql, Kind::Exec).game, bed.pool.config());
        for size in [1, 3, 10] {
            let (mut pieces, mut after) = (Vec::new(), EventId::default());
            loop {
                let query = EventQuery {
                    game: game.as_str(),
                    database: &config,
                    mirror: None,
                    after,
                    count_max: size,
                };
                let piece = read_events(query).await.expect("read");
                let Some(last) = piece.last() else { break };
                after = last.id;
                pieces.extend(piece);
            }
            assert_eq!(pieces, all, "{size}");
        }
        let (mirror, after) = (None, EventId::default());
        let other = EventQuery { game: "another", database: &config, mirror, after, count_max: 10 };
        assert_eq!(read_events(other).await.expect("read"), [], "of another game");
    }
}

/// Its number is smaller than those of later transactions, and it comes after those that were read meanwhile.
#[tokio::test]
async fn event_of_a_transaction_that_is_held_open_is_not_passed_over() {
    let beds = beds("w_tell_open").await;
    // On SQLite nobody else writes meanwhile.
    for bed in beds.all.iter().filter(|bed| bed.dialect != Dialect::Sqlite) {
        bed.body(&earn(), vec![text("k"), Scalar::Int(1)]).await;
        let mut held = bed.config_connection().await;
        held.begin(None).await.expect("begun");
        let moment = super::super::super::switch::moment_sql(bed.dialect);
        let game = template(Dialect::Mysql, Kind::Exec).game;
        let insert = format!(
            "INSERT INTO gateway_outbox \
             (kind, table_name, row_key, game, operation, data, emitted_at, created_at) \
             VALUES (1, 'account', 'held', '{}', 'a.b', '{{\"id\":2}}', 1, {moment})",
            game.as_str()
        );
        held.execute(&Statement::plain(&*insert)).await.expect("inserted");
        bed.body(&earn(), vec![text("k"), Scalar::Int(3)]).await;
        let seen = bed.events(EventId::default()).await;
        assert_eq!(Bed::told(&seen), ["{\"id\":1}", "{\"id\":3}"], "{:?}", bed.dialect);
        bed.body(&earn(), vec![text("k"), Scalar::Int(4)]).await;
        held.commit().await.expect("committed");
        let late = bed.events(seen[1].id).await;
        assert_eq!(Bed::told(&late), ["{\"id\":2}", "{\"id\":4}"], "{:?}", bed.dialect);
        assert!(late[0].id.id < seen[1].id.id, "{late:?} {seen:?}");
        assert_eq!(bed.data().await.len(), 4);
    }
}

/// The transaction stands between its effect and its COMMIT: it cannot write its event yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_killed_between_effect_and_commit_leaves_neither_effect_nor_event() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let bed = Bed::new(pool(server.database("w_tell_kill").await), Dialect::Mysql).await;
    let mut locking = bed.config_connection().await;
    locking.run_text("LOCK TABLES gateway_outbox WRITE").await.expect("locked");
    let asked = {
        let bed = bed.clone();
        tokio::spawn(async move { bed.run(&earn(), vec![text("k"), Scalar::Int(1)], far()).await })
    };
    let kill_each = async {
        loop {
            lost::kill(&bed.pool, "state LIKE 'Waiting for table%' AND info LIKE 'INSERT%'").await;
        }
    };
    let answer = tokio::select! {
        answer = asked => answer,
        () = kill_each => unreachable!("it has no end"),
    };
    let failed = answer.expect("no panic").expect_err("lost twice");
    assert!([1302, 1303].contains(&failed.code()), "{failed:?}");
    locking.run_text("UNLOCK TABLES").await.expect("unlocked");
    assert_eq!(bed.golds().await, "100 100 100 100 100");
    assert_eq!(bed.data().await, [""; 0]);
    bed.body(&earn(), vec![text("k"), Scalar::Int(1)]).await;
    assert_eq!(bed.data().await, ["{\"id\":1}"], "and the next one is told");
}

#[tokio::test]
async fn events_are_purged_when_they_were_kept_long_enough_read_or_not() {
    let beds = beds("w_tell_purge").await;
    for bed in &beds.all {
        for _ in 0..3 {
            bed.body(&earn(), vec![text("k"), Scalar::Int(1)]).await;
        }
        let read = bed.events(EventId::default()).await;
        for _ in 0..3 {
            bed.body(&earn(), vec![text("k"), Scalar::Int(2)]).await;
        }
        let mut lease = bed.pool.acquire(far()).await.expect("one");
        // One that was read is old, and one that was not; a row to be copied is nobody's to purge.
        let moment = super::super::super::switch::moment_sql(bed.dialect);
        let row = format!(
            "INSERT INTO gateway_outbox (kind, table_name, row_key, created_at) \
             VALUES (0, 'account', '[\"1\"]', {moment})"
        );
        let first = read[0].id.id;
        for sql in [
            format!(
                "UPDATE gateway_outbox SET emitted_at = 10 WHERE id IN ({first}, {})",
                first + 3
            ),
            row,
        ] {
            lease.run_text(&sql).await.expect("good SQL");
        }
        drop(lease);
        let kept = purge_events(&bed.pool, 10).await.expect("looked");
        assert_eq!((kept.purged, kept.count, kept.oldest), (0, 6, Some(10)), "{:?}", bed.dialect);
        let kept = purge_events(&bed.pool, 11).await.expect("purged");
        assert_eq!((kept.purged, kept.count, kept.is_complete), (2, 4, true));
        assert!(kept.oldest > Some(1_600_000_000_000));
        let left = bed.events(EventId::default()).await;
        assert_eq!(Bed::told(&left).len(), 4);
        assert_eq!(left[..2], read[1..], "the others stay where they were");
        assert_eq!(bed.ask("SELECT COUNT(*) FROM gateway_outbox WHERE kind = 0").await, "1");
    }
}

/// A round has an end, however much has expired.
#[tokio::test]
async fn purge_of_many_events_goes_on_in_the_next_round() {
    let beds = beds("w_tell_many").await;
    let mut batch = template(Dialect::Mysql, Kind::Batch);
    batch.slots = vec![rows_slot(&["id", "delta"])];
    batch.write.batch_slot = Some(0);
    batch.plan = plan("UPDATE account SET gold = gold + 1 WHERE id = 1");
    let batch = telling(batch, &[0], false);
    let bed = &beds.all[0];
    for _ in 0..2 {
        let rows = (0..700).map(|n| row(&[n, n])).collect();
        bed.body(&batch, vec![Scalar::List(rows)]).await;
    }
    let kept = purge_events(&bed.pool, i64::MAX).await.expect("purged");
    assert_eq!((kept.purged, kept.count, kept.is_complete), (1024, 376, false));
    let kept = purge_events(&bed.pool, i64::MAX).await.expect("purged");
    assert_eq!((kept.purged, kept.count, kept.is_complete), (376, 0, true));
}
