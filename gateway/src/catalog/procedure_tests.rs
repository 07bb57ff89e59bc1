//! Templates that call procedures and take what a write returns, whole, and with one fault planted in them.

use super::load::tests::{WRITE, check_on, load_on, one, template, with};
use super::write_tests::error;
use super::*;

/// A procedure that writes, with a value in and out.
pub(super) const CLAIM: &str = "\
-- @kind   call writes isolation=read_committed
-- @param  request_id string(64)
-- @param  player_id bigint
-- @param  gold bigint
-- @out    outcome int
-- @out    gold bigint
-- @out    items rows(item_id bigint as string, qty int)
-- @guard  outcome = 0 else 2161 REWARD_TAKEN
-- @on     raised 20101 else 2162 SEASON_OVER [410]
-- @on     duplicate_key else 2163 TAKEN_AT_ONCE
-- @allow  game_server
-- @idempotent key=request_id
-- @retry  3
-- @invalidate wallet:{player_id}
-- @limit  5
";
const ORACLE: &str = "CALL rewards.claim('daily', p_player => :player_id, p_gold => :gold, p_now => :_now,\n \
                      p_outcome => :outcome, p_items => :items, p_request => :request_id)";
const MYSQL: &str =
    "CALL claim_reward('daily', :player_id, :gold, :_now, :outcome, :request_id);\n";
/// One that reads.
const STATUS: &str = "-- @kind call reads\n-- @param player_id bigint\n-- @out streak int\n-- @allow game_server\n\
                      -- @cache l1=10s tag=reward:{player_id}\nCALL reward_status(:player_id, :streak)\n";

fn on(dialect: Dialect) -> String {
    format!("{CLAIM}{}", if dialect == Dialect::Oracle { ORACLE } else { MYSQL })
}

#[test]
fn call_becomes_a_statement_with_the_places_of_what_it_gives_back() {
    let claim = template(&on(Dialect::Mysql), Dialect::Mysql);
    assert_eq!((claim.kind, claim.kind.name()), (Kind::Call { writes: true }, "call"));
    assert!(claim.kind.is_write() && claim.write.isolation == Some(Isolation::ReadCommitted));
    let sql = &claim.plan.fixed().expect("fixed").sql;
    assert_eq!(&**sql, "CALL claim_reward('daily', ?, ?, ?, ?, ?)");
    let call = claim.procedure.as_ref().expect("a procedure");
    assert_eq!(&*call.name, "claim_reward");
    let directions: Vec<_> = call.directions().collect();
    assert_eq!(directions, [None, Some(1), None, Some(0), None]);
    let names: Vec<&str> = claim.outputs.iter().map(Output::name).collect();
    assert_eq!((names, claim.row_count_max), (vec!["outcome", "gold", "items"], 5));
    let guard = call.guards.first().expect("a guard");
    let literal = Scalar::Int(0);
    assert_eq!((guard.output, &guard.literal), (0, &literal));
    assert_eq!(guard.error, error(2161, "REWARD_TAKEN", 409));
    assert_eq!(call.raised, [Raised { number: 20_101, error: error(2162, "SEASON_OVER", 410) }]);
    assert_eq!(claim.on_duplicate, Some(error(2163, "TAKEN_AT_ONCE", 409)));

    let claim = template(&on(Dialect::Oracle), Dialect::Oracle);
    let sql = &claim.plan.fixed().expect("fixed").sql;
    assert_eq!(
        &**sql,
        "BEGIN rewards.claim('daily', p_player => :b1, p_gold => :b2, p_now => :b3, p_outcome => :b4, \
         p_items => :b5, p_request => :b6); END;"
    );
    let call = claim.procedure.as_ref().expect("a procedure");
    let directions: Vec<_> = call.directions().collect();
    assert_eq!(directions, [None, Some(1), None, Some(0), Some(2), None]);
    let first: Vec<_> = call.arguments.iter().take(2).map(|one| one.name.as_deref()).collect();
    assert_eq!(first, [None, Some("p_player")]);
    let status = template(STATUS, Dialect::Mysql);
    assert!(!status.kind.is_write() && status.cache.is_some());
}

#[test]
fn sqlite_has_no_procedures_and_says_what_to_do() {
    check_on(Dialect::Sqlite, &[("_base/x.sql", STATUS)], &[Rule::Portability]);
    let findings = load_on(&[("_base/x.sql", STATUS)], Dialect::Sqlite).expect_err("refused");
    assert!(findings[0].fix.contains("@dialects oracle, mysql"), "{:?}", findings[0]);
    let named = STATUS.replace("-- @out", "-- @dialects mysql, oracle\n-- @out");
    check_on(Dialect::Sqlite, &[("_base/x.sql", &named)], &[]);
}

#[test]
fn arguments_are_binds_and_literals_of_what_is_declared() {
    let claim = on(Dialect::Mysql);
    for (old, new, rule) in [
        ("CALL claim_reward(", "claim_reward(", Rule::Statement),
        ("CALL claim_reward(", "SELECT claim_reward(", Rule::Statement),
        ("'daily'", "CONCAT('a', 'b')", Rule::Statement),
        ("'daily'", "1 + 1", Rule::Statement),
        ("'daily'", "p_kind => 'daily'", Rule::Statement),
        ("'daily'", ":nobody", Rule::ParamUndeclared),
        ("'daily'", ":_never", Rule::ParamUndeclared),
        ("'daily'", ":items", Rule::Statement),
        (", :outcome", "", Rule::Statement),
        ("'daily'", ":outcome", Rule::Statement),
        (":request_id);", ":request_id", Rule::Statement),
        ("-- @out    gold bigint", "-- @out    gold int", Rule::Statement),
        ("outcome = 0", "nothing = 0", Rule::KeyValue),
        ("outcome = 0", "items = 0", Rule::KeyValue),
        ("outcome = 0", "outcome = x", Rule::KeyValue),
        (
            "-- @out    outcome int",
            "-- @out    s.outcome int\n-- @out outcome int",
            Rule::ResultColumns,
        ),
        ("call writes", "call", Rule::KeyValue),
        ("call writes", "call changes", Rule::KeyValue),
        ("raised 20101", "raised 1403", Rule::KeyValue),
        ("raised 20101", "raised 21000", Rule::KeyValue),
        ("qty int)", "item_id int)", Rule::KeyValue),
    ] {
        let text = claim.replacen(old, new, 1);
        assert_ne!(text, claim, "{old}");
        let findings = load_on(&[("_base/x.sql", &text)], Dialect::Mysql).expect_err(new);
        assert!(findings.iter().any(|one| one.rule == rule), "{new}: {findings:?}");
    }
    with(&claim, "'daily'", "-1", &[]);
    with(&claim, "'daily'", "NULL", &[]);
    with(&claim, "claim_reward", "game.claim_reward", &[]);
    // Rows are an argument on Oracle, and have to be one.
    let oracle = on(Dialect::Oracle);
    check_on(Dialect::Oracle, &[("_base/x.sql", &oracle)], &[]);
    let without = oracle.replace(" p_items => :items,", "");
    check_on(Dialect::Oracle, &[("_base/x.sql", &without)], &[Rule::Statement]);
}

#[test]
fn what_a_procedure_makes_stale_is_said_because_it_cannot_be_seen() {
    let claim = on(Dialect::Mysql);
    with(&claim, "-- @invalidate wallet:{player_id}\n", "", &[Rule::Stale]);
    with(&claim, "@invalidate wallet:{player_id}", "@stale_ok nothing is cached", &[]);
    with(STATUS, "-- @cache l1=10s tag=reward:{player_id}\n", "", &[]);
    with(STATUS, " tag=reward:{player_id}", "", &[Rule::Stale]);
}

#[test]
fn keys_that_say_nothing_about_a_call_are_refused() {
    let claim = on(Dialect::Mysql);
    for key in ["@result a int", "@cache l1=1s tag=a", "@return a = _id"] {
        with(&claim, "-- @limit  5\n", &format!("-- {key}\n"), &[Rule::KeyValue]);
    }
    for key in ["@invalidate a", "@retry 3", "@lane player_id"] {
        let text = STATUS.replacen("-- @out", &format!("-- {key}\n-- @out"), 1);
        one(&text, &[Rule::KeyValue]);
    }
    one(
        &WRITE.replacen("-- @allow", "-- @guard a = 0 else 2100 A\n-- @allow", 1),
        &[Rule::KeyValue],
    );
    one(
        &WRITE.replacen("-- @allow", "-- @on raised 20001 else 2100 A\n-- @allow", 1),
        &[Rule::KeyValue],
    );
    let queued = claim.replacen("-- @limit  5\n", "-- @async\n", 1);
    one(&queued, &[Rule::Write]);
}

#[test]
fn override_keeps_the_types_of_what_comes_back_and_what_must_hold() {
    let claim = on(Dialect::Mysql);
    let over = |text: &str, expected: &[Rule]| {
        check_on(Dialect::Mysql, &[("_base/x.sql", &claim), ("game1/x.sql", text)], expected);
    };
    over("-- @out gold int\n", &[Rule::Override, Rule::Statement]);
    // The kind, the isolation that it does not have, and four keys that only writes have.
    let reads = [[Rule::Override; 2].as_slice(), &[Rule::KeyValue; 4]].concat();
    over("-- @kind call reads\n", &reads);
    over("-- @guard gold > 0 else 2164 POOR\n", &[]);
    let files = [("_base/x.sql", &*claim), ("game1/x.sql", "-- @guard gold > 0 else 2164 POOR\n")];
    let catalog = load_on(&files, Dialect::Mysql).expect("it loads");
    let both = catalog.template("game1", "x").expect("there").procedure.as_ref().expect("a call");
    assert_eq!(both.guards.len(), 2);
}

/// A write that tells what it left, for each dialect that has it.
const SPEND: &str = "-- @kind exec affected = 1\n-- @param id bigint\n-- @out gold bigint as string\n\
                     -- @allow admin\nUPDATE wallet SET gold = gold - 1 WHERE id = :id RETURNING gold";

#[test]
fn returning_gives_declared_values_and_oracle_gets_its_into() {
    let spend = template(SPEND, Dialect::Sqlite);
    assert_eq!(
        &*spend.plan.fixed().expect("fixed").sql,
        SPEND.lines().last().unwrap().replace(":id", "?")
    );
    for text in [SPEND.to_owned(), format!("{SPEND} INTO :GOLD")] {
        let spend = template(&text, Dialect::Oracle);
        let rendered = spend.plan.fixed().expect("fixed");
        assert!(
            rendered.sql.trim_end().ends_with("RETURNING gold \nINTO :b2")
                || rendered.sql.ends_with("RETURNING gold\nINTO :b2"),
            "{}",
            rendered.sql
        );
        assert_eq!(rendered.binds[1], BindRef::Source(Source::Out(0)));
        assert_eq!(spend.write.returning.len(), 1);
        assert_eq!(spend.outputs[0].name(), "gold");
        assert!(spend.plan.fold.is_none());
    }
}

#[test]
fn returning_that_a_database_does_not_have_is_refused_with_the_portable_way() {
    let check = |dialect, text: &str, expected: &[Rule]| {
        check_on(dialect, &[("_base/x.sql", text)], expected);
    };
    check(Dialect::Mysql, SPEND, &[Rule::Statement]);
    let findings = load_on(&[("_base/x.sql", SPEND)], Dialect::Mysql).expect_err("refused");
    assert!(findings[0].fix.contains("step `one`"), "{:?}", findings[0]);
    let delete = SPEND.replace("UPDATE wallet SET gold = gold - 1", "DELETE FROM wallet");
    check(Dialect::Mysql, &delete, &[]);
    let warnings = load_on(&[("_base/x.sql", &delete)], Dialect::Mysql).expect("it loads").warnings;
    assert!(warnings[0].fix.contains(":_id"), "{warnings:?}");
    check(Dialect::Sqlite, &format!("{SPEND} INTO :gold"), &[Rule::Statement]);
    check(
        Dialect::Oracle,
        &SPEND.replace("RETURNING gold", "RETURNING gold + 1 AS gold"),
        &[Rule::Statement],
    );
    check(Dialect::Oracle, &SPEND.replace("RETURNING gold", "RETURNING gold + 1 INTO :gold"), &[]);
    check(
        Dialect::Oracle,
        &format!("{SPEND} INTO :gold, :more"),
        &[Rule::Statement, Rule::ResultColumns],
    );
    check(
        Dialect::Sqlite,
        &SPEND.replace("RETURNING gold", "RETURNING *"),
        &[Rule::Statement, Rule::ResultColumns],
    );
    check(
        Dialect::Sqlite,
        &SPEND.replace("-- @out gold bigint as string\n", ""),
        &[Rule::ResultColumns],
    );
    check(
        Dialect::Sqlite,
        &SPEND.replace("@out gold bigint as string", "@out affected int"),
        &[Rule::ResultColumns, Rule::ResultColumns],
    );
    let batch = SPEND
        .replace("exec affected = 1", "batch")
        .replace("id bigint", "r rows(id bigint)")
        .replace(":id", ":r.id");
    check(Dialect::Sqlite, &batch, &[Rule::KeyValue, Rule::Statement]);
}

#[test]
fn step_that_returns_leaves_its_columns_to_those_after_it() {
    let text = "-- @kind tx\n-- @param id bigint\n-- @out spent.mark int\n-- @result gold bigint\n\
                -- @return gold = spent.gold\n-- @allow admin\n-- @step spent exec affected = 1\n\
                UPDATE wallet SET gold = gold - 1 WHERE id = :id RETURNING gold, mark\n\
                -- @step log exec when spent.mark = 1\nINSERT INTO log (id, mark) VALUES (:id, :spent.mark)\n";
    for dialect in [Dialect::Oracle, Dialect::Sqlite] {
        let whole = template(text, dialect);
        let spent = &whole.write.steps[0];
        let names: Vec<&str> = spent.returning.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["gold", "mark"]);
        assert_eq!(spent.columns.iter().map(|name| &**name).collect::<Vec<_>>(), ["mark", "gold"]);
    }
    let check = |old: &str, new: &str, expected: &[Rule]| {
        check_on(Dialect::Sqlite, &[("_base/x.sql", &text.replacen(old, new, 1))], expected);
    };
    check("-- @out spent.mark int\n", "", &[Rule::ResultColumns]);
    check("spent.mark int", "spent.nothing int", &[Rule::ResultColumns, Rule::ResultColumns]);
    check("spent.mark int", "mark int", &[Rule::ResultColumns, Rule::ResultColumns]);
    check(":spent.mark", ":spent.other", &[Rule::Step]);
}
