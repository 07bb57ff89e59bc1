//! Templates that change data, whole, and with one fault planted in them.

use std::time::Duration;

use super::load::tests::{TRANSFER, WRITE, check, load_on, one, template, with};
use super::*;

/// Pays an order and answers with the balance before and after.
pub(super) const PAY: &str = "\
-- @kind   tx
-- @param  order_no string(32)
-- @param  player_id bigint
-- @param  note string(20) optional
-- @result gold bigint as string, state string
-- @return gold = before.gold
-- @return state = placed.STATE
-- @return spent = spend.affected
-- @return id = _id
-- @allow  game_server

-- @step placed one else 2131 ORDER_NOT_FOUND
SELECT o.price, o.state AS State FROM game_order o
WHERE o.order_no = :order_no
  AND o.note = :note -- ?

-- @step before optional rows = 1 else 2135 NO_WALLET
SELECT w.gold FROM wallet w WHERE w.player_id = :player_id

-- @step spend exec affected = 1 else 2136 TOO_POOR when placed.state = 'placed'
UPDATE wallet SET gold = gold - :placed.price
WHERE player_id = :player_id AND gold >= :placed.price

-- @step log exec on duplicate_key else 2137 PAID_ALREADY [410]
INSERT INTO payment (payment_id, order_no, spent) VALUES (:_id, :order_no, :spend.affected)
";

/// Adds rows, one statement for each.
pub(super) const GRANT: &str = "\
-- @kind  batch affected = 1 else 2125 ITEM_NOT_ADDED
-- @param player_id bigint
-- @param items rows(item_type int, qty int) max_items=50
-- @allow game_server
INSERT INTO player_item (item_id, player_id, item_type, qty)
VALUES (:_id, :player_id, :items.item_type, :items.qty)
";

/// An order that is answered before it is in the database, and where its state is asked for.
pub(super) const CREATE: &str = "\
-- @kind  exec
-- @param order_no string(32)
-- @param player_id bigint
-- @allow game_server
-- @idempotent key=order_no ttl=48h
-- @async max=100 linger=2ms dead=3 priority=high
-- @lane  player_id
-- @status order.get(order_no)
-- @retry 3
INSERT INTO game_order (order_id, order_no, player_id) VALUES (:_id, :order_no, :player_id)
";
pub(super) const GET: &str = "\
-- @kind  one else 2131 ORDER_NOT_FOUND
-- @param order_no string(32)
-- @result order_no string, player_id bigint
-- @allow game_server
SELECT order_no, player_id FROM game_order WHERE order_no = :order_no
";

pub(super) fn error(code: u16, name: &str, status: u16) -> BusinessError {
    let code = gateway_protocol::BusinessCode::new(code).unwrap();
    BusinessError { code, name: name.into(), status }
}

pub(super) fn sql(step: &Step) -> &str {
    &step.plan.fixed.as_ref().expect("no part of it is optional").sql
}

#[test]
fn transfer_of_the_language_becomes_four_steps_with_guards() {
    for dialect in Dialect::ALL {
        let transfer = template(TRANSFER, dialect);
        let write = &transfer.write;
        assert_eq!((transfer.kind, write.isolation), (Kind::Tx, Some(Isolation::ReadCommitted)));
        let names: Vec<&str> = write.steps.iter().map(|step| &*step.name).collect();
        assert_eq!(names, ["ledger", "debit", "credit", "grant"]);
        let [ledger, debit, credit, grant] = &write.steps[..] else { unreachable!() };
        let guard = |error| Some(Guard { comparison: Comparison::Eq, count: 1, error });
        assert_eq!(ledger.guard, guard(None));
        assert_eq!(debit.guard, guard(Some(error(2103, "ITEM_NOT_ENOUGH", 409))));
        assert_eq!(credit.guard, None);
        let when = When {
            step: 2,
            value: StepValue::Affected,
            comparison: Comparison::Eq,
            literal: Scalar::Int(0),
        };
        assert_eq!(grant.when, Some(when));
        assert!(
            sql(debit).starts_with("UPDATE player_item")
                && sql(debit).ends_with(if dialect == Dialect::Oracle { ":b4" } else { "?" })
        );
        assert!(ledger.plan.fold.is_some());
        assert!(debit.plan.fold.is_none() && transfer.plan.pieces.is_empty());
        let key = Idempotent { key_slot: 0, ttl: Duration::from_hours(24) };
        assert_eq!(write.idempotent, Some(key));
        assert_eq!(write.retry, Some(Retry { count: 3, on_deadlock: true, on_lock_timeout: true }));
        assert_eq!(transfer.statements().count(), 4);
    }
}

#[test]
fn steps_see_what_those_before_them_left() {
    let pay = template(PAY, Dialect::Sqlite);
    let [placed, before, spend, log] = &pay.write.steps[..] else { unreachable!() };
    assert_eq!(placed.columns, ["state".into(), "price".into()] as [Box<str>; 2]);
    assert_eq!(before.columns, ["gold".into()] as [Box<str>; 1]);
    assert_eq!(placed.guard.as_ref().map(|g| (g.comparison, g.count)), Some((Comparison::Ge, 1)));
    assert_eq!(placed.guard.as_ref().unwrap().error, Some(error(2131, "ORDER_NOT_FOUND", 404)));
    assert_eq!(log.on_duplicate, Some(error(2137, "PAID_ALREADY", 410)));
    let when = spend.when.as_ref().unwrap();
    assert_eq!((when.step, when.value), (0, StepValue::Column(0)));
    assert_eq!(when.literal, Scalar::Str("placed".into()));
    let price = Source::Step { step: 0, value: StepValue::Column(1) };
    let binds: Vec<&Source> = spend.plan.sources().collect();
    assert_eq!(binds, [&price, &Source::Slot(1), &price]);
    let returned: Vec<_> =
        pay.write.returns.iter().map(|one| (&*one.name, one.value, one.column)).collect();
    let step = |step, value| ReturnedValue::Step { step, value };
    assert_eq!(
        returned,
        [
            ("gold", step(1, StepValue::Column(0)), Some(0)),
            ("state", step(0, StepValue::Column(0)), Some(1)),
            ("spent", step(2, StepValue::Affected), None),
            ("id", ReturnedValue::Id, None),
        ]
    );
    assert!(placed.plan.fixed.is_none(), "its last line is optional");
}

#[test]
fn batch_binds_the_fields_of_its_rows_and_folds() {
    let grant = template(GRANT, Dialect::Mysql);
    assert_eq!((grant.kind, grant.write.batch_slot), (Kind::Batch, Some(1)));
    let error = Some(error(2125, "ITEM_NOT_ADDED", 409));
    assert_eq!(grant.write.guard, Some(Guard { comparison: Comparison::Eq, count: 1, error }));
    let fold = grant.plan.fold.as_ref().unwrap();
    assert!(fold.before.ends_with("VALUES ") && fold.after.is_empty());
    let field = |field| Piece::Bind(Source::Field { slot: 1, field });
    assert!(fold.tuple.contains(&field(0)) && fold.tuple.contains(&field(1)));
    assert_eq!(grant.slots[1].item_count_max, Some(50));
}

#[test]
fn asynchronous_write_has_its_lane_and_its_limits() {
    let files = [("_base/order/create.sql", CREATE), ("_base/order/get.sql", GET)];
    let catalog = load_on(&files, Dialect::Mysql).unwrap();
    let write = &catalog.template("game1", "order.create").unwrap().write;
    let expected = Asynchronous {
        batch_count_max: 100,
        linger: Duration::from_millis(2),
        failure_count_max: 3,
        is_urgent: true,
    };
    assert_eq!((write.asynchronous, write.lane), (Some(expected), Some(1)));
    let status = write.status.as_ref().unwrap();
    assert_eq!((status.op.as_str(), status.args[0].slot), ("order.get", 0));
}

#[test]
fn faults_of_steps_are_told_one_by_one() {
    let step = |old: &str, new: &str, rules: &[Rule]| with(TRANSFER, old, new, rules);
    step("-- @step ledger exec affected = 1\n", "", &[Rule::Step]);
    step("step debit exec", "step ledger exec", &[Rule::Step]);
    step("step debit exec", "step debit some", &[Rule::Step]);
    step("step debit exec", "step", &[Rule::Step]);
    step("affected = 1 else", "affected = else", &[Rule::Step]);
    step("affected = 1 else", "rows = 1 else", &[Rule::Step]);
    step("affected = 1 else", "else", &[Rule::Step]);
    step("when credit.affected", "when grant.affected", &[Rule::Step]);
    step("credit.affected = 0", "credit.affected = 'x'", &[Rule::Step]);
    step("credit.affected = 0", "credit.qty = 0", &[Rule::Step]);
    step("credit.affected = 0", "credit.affected = 0 else 2199 X", &[Rule::Step]);
    step(":_id", ":nothing", &[Rule::ParamUndeclared]);
    step("VALUES (:_id", "VALUES (:grant.affected", &[Rule::Step]);
    step("VALUES (:_id", "VALUES (:debit.affected", &[]);
    step("VALUES (:_id", "VALUES (:debit.qty", &[Rule::Step]);
    step("item_type = :item_type AND qty", "item_type = 1; AND qty", &[Rule::Statement]);
    step("step credit exec", "step credit many", &[Rule::Statement]);
    step("player_id = :to_player AND item_type = :item_type", "1 = 1", &[Rule::Predicate]);
    step("step credit exec", "step empty exec\n-- @step credit exec", &[Rule::Step]);
    step("AND qty >= :qty", "AND qty >= ?", &[Rule::Placeholder]);
    step("-- @audit", "-- @audit\n-- @audit", &[Rule::KeyDuplicate]);
    with(WRITE, "UPDATE", "-- @step a exec\nUPDATE", &[Rule::Step]);
    step("exec affected = 1 else", "exec each qty affected = 1 else", &[Rule::Step]);
}

#[test]
fn transaction_has_at_most_32_steps() {
    let text = |count: usize| {
        let step = |i| format!("-- @step s{i} exec\nINSERT INTO t (a) VALUES (1)\n");
        let steps: String = (0..count).map(step).collect();
        format!("-- @kind tx\n-- @allow a\n{steps}")
    };
    one(&text(32), &[]);
    one(&text(33), &[Rule::Step]);
}

#[test]
fn values_of_steps_are_columns_that_they_select() {
    let pay = |old: &str, new: &str, rules: &[Rule]| with(PAY, old, new, rules);
    pay(":placed.price", ":placed.cost", &[Rule::Step]);
    pay("o.price, o.state AS State", "*", &[Rule::Step; 4]);
    pay("SELECT w.gold", "SELECT w.gold, w.silver AS gold", &[Rule::Step]);
    pay("placed.STATE", "placed.status", &[Rule::Step]);
    pay("= before.gold", "= later.gold", &[Rule::Step]);
    pay("gold bigint as string, ", "", &[Rule::ResultColumns]);
    pay("state string", "state string, spent int", &[Rule::ResultColumns]);
    pay("one else 2131", "optional else 2131", &[Rule::Step]);
    pay("rows = 1", "affected = 1", &[Rule::Step]);
    pay("-- @step before optional", "-- @step before optional on duplicate_key", &[Rule::Step]);
    pay("AND o.note = :note -- ?", "AND 1 = 1 -- #keyset", &[Rule::Page, Rule::ParamUnused]);
    pay("2136 TOO_POOR", "2136 NO_WALLET", &[Rule::Code]);
    pay("2137 PAID_ALREADY [410]", "2131 ORDER_NOT_FOUND [410]", &[Rule::Code]);
}

#[test]
fn rows_stand_where_something_runs_for_each_of_them() {
    let grant = |old: &str, new: &str, rules: &[Rule]| with(GRANT, old, new, rules);
    grant(":items.qty", ":items.quantity", &[Rule::ParamUndeclared, Rule::ParamUnused]);
    grant(":items.qty", "1", &[Rule::ParamUnused]);
    grant(":items.qty", ":items", &[Rule::List, Rule::ParamUnused]);
    grant(
        "items rows(item_type int, qty int) max_items=50",
        "items list(int)",
        &[Rule::Write, Rule::ParamUndeclared, Rule::ParamUndeclared, Rule::ParamUnused],
    );
    grant("-- @allow", "-- @param more rows(a int)\n-- @allow", &[Rule::Write, Rule::ParamUnused]);
    grant(
        "batch affected = 1 else 2125 ITEM_NOT_ADDED",
        "exec",
        &[Rule::Write, Rule::Step, Rule::Step],
    );
    grant("-- @allow", "-- @invalidate a:{items}\n-- @allow", &[Rule::Cache]);
    grant("-- @allow", "-- @invalidate a:{items.qty}\n-- @allow", &[]);
    grant("-- @allow", "-- @invalidate a:{player_id.qty}\n-- @allow", &[Rule::Cache]);
    grant("-- @allow", "-- @version qty\n-- @allow", &[Rule::KeyValue, Rule::ParamUndeclared]);
    let each = "-- @kind tx\n-- @param items rows(a int, b int)\n-- @allow x\n\
                -- @step put exec each items affected = 1\nINSERT INTO t (a, b) VALUES (:items.a, :items.b)\n\
                -- @step sum exec\nUPDATE u SET n = :put.affected WHERE i = 1\n";
    one(each, &[]);
    assert_eq!(template(each, Dialect::Mysql).write.steps[0].each, Some(0));
    with(each, "exec each items", "exec", &[Rule::Step, Rule::Step]);
    with(each, ":put.affected", ":items.a", &[Rule::Step]);
    with(each, "step put exec each", "step items exec each", &[Rule::Step, Rule::Step]);
}

#[test]
fn asynchronous_writes_are_known_by_a_key_and_say_nothing_of_their_effect() {
    let create = |old: &str, new: &str, rules: &[Rule]| {
        assert!(CREATE.contains(old), "{old}");
        let text = CREATE.replacen(old, new, 1);
        check(&[("_base/order/create.sql", &text), ("_base/order/get.sql", GET)], rules);
    };
    create("-- @lane", "-- @lane", &[]);
    create("-- @idempotent key=order_no ttl=48h\n", "", &[Rule::Write]);
    create("-- @async max=100 linger=2ms dead=3 priority=high\n", "", &[Rule::Write]);
    create("-- @retry", "-- @audit\n-- @retry", &[Rule::Write]);
    create("-- @retry 3", "-- @version player_id", &[Rule::Write, Rule::Write]);
    create("key=order_no", "key=who", &[Rule::ParamUndeclared]);
    create("order_no string(32)", "order_no string(32) optional", &[Rule::Write]);
    create("player_id bigint", "player_id bigint optional", &[Rule::Write]);
    create("player_id bigint", "player_id bigint default=1", &[Rule::Write]);
    create("@lane  player_id", "@lane  who", &[Rule::ParamUndeclared]);
    let batch = "-- @kind batch\n-- @param key string(9)\n-- @param items rows(a int)\n-- @allow x\n\
                 -- @idempotent key=key\nINSERT INTO t (k, a) VALUES (:key, :items.a)";
    one(batch, &[]);
    let queued = batch.replace("key=key\n", "key=key\n-- @async\n");
    one(&queued, &[Rule::Write]);
    with(WRITE, "id int", "id date\n-- @idempotent key=id", &[Rule::Write]);
    let read = "-- @kind many\n-- @param id int\n-- @result a int\n-- @allow x\n-- @lane id\n\
                SELECT a FROM t WHERE id = :id";
    one(read, &[Rule::KeyValue]);
}
