//! Guards, steps, and what they leave behind when they fail.

use super::*;
use crate::catalog::{Column, Returned, ReturnedValue, When};

/// Moves gold from slot 0 to slot 1, slot 2 of it.
fn transfer() -> Template {
    let mut debit = step(
        "debit",
        StepKind::Exec,
        "UPDATE account SET gold = gold - {2} WHERE id = {0} AND gold >= {2}",
    );
    debit.guard = guard(Comparison::Eq, 1, Some(error(2103, "TOO_LITTLE")));
    let credit =
        step("credit", StepKind::Exec, "UPDATE account SET gold = gold + {2} WHERE id = {1}");
    let mut open = step("open", StepKind::Exec, "INSERT INTO account (id, gold) VALUES ({1}, {2})");
    open.when = Some(When {
        step: 1,
        value: StepValue::Affected,
        comparison: Comparison::Eq,
        literal: Scalar::Int(0),
    });
    tx(vec![debit, credit, open])
}

#[tokio::test]
async fn steps_commit_together_and_a_condition_decides_about_each() {
    let beds = beds("w_steps").await;
    for bed in &beds.all {
        assert_eq!(bed.body(&transfer(), ints(&[1, 2, 30])).await, b"\x80");
        assert_eq!(bed.golds().await, "70 130 100 100 100");
        bed.body(&transfer(), ints(&[1, 6, 30])).await;
        assert_eq!(bed.golds().await, "40 130 100 100 100 30");
    }
}

#[tokio::test]
async fn guard_that_fails_rolls_back_what_was_done_before_and_answers_its_code() {
    let beds = beds("w_guard").await;
    let mut template = transfer();
    // The credit first, so that there is something to roll back.
    template.write.steps.swap(0, 1);
    template.write.steps.truncate(2);
    for bed in &beds.all {
        let refused = bed.run(&template, ints(&[1, 2, 101]), far()).await;
        let Err(BackendError::Business { error, details }) = refused else { panic!("{refused:?}") };
        assert_eq!((&*error.name, details.row), ("TOO_LITTLE", None));
        assert_eq!(bed.golds().await, "100 100 100 100 100");
        // The connection is well, and in no transaction.
        assert_eq!(bed.pool.stats().open, 1);
    }
}

#[tokio::test]
async fn guard_without_an_answer_is_2023_where_a_version_was_named_and_a_fault_elsewhere() {
    let beds = beds("w_version").await;
    let mut template =
        exec("UPDATE account SET gold = 1, version = version + 1 WHERE id = {0} AND version = {1}");
    template.write.guard = guard(Comparison::Eq, 1, None);
    for bed in &beds.all {
        let faulty = bed.run(&template, ints(&[1, 9]), far()).await.expect_err("refused");
        assert_eq!(faulty.code(), 1303, "{faulty:?}");
        let mut versioned = template.clone();
        versioned.write.version_slot = Some(1);
        let stale = bed.run(&versioned, ints(&[1, 9]), far()).await.expect_err("refused");
        assert_eq!((stale.code(), stale.http_status()), (2023, 412));
        assert_eq!(bed.body(&versioned, ints(&[1, 1])).await, b"\x81\xa8affected\x01");
        assert_eq!(bed.ask("SELECT version FROM account WHERE id = 1").await, "2");
    }
}

/// A decimal, a moment and bytes come back into the database exactly as they left it.
#[tokio::test]
async fn values_of_earlier_steps_are_bound_again_exactly() {
    let beds = beds("w_values").await;
    for bed in &beds.all {
        let types = match bed.dialect {
            Dialect::Sqlite => "amount TEXT, at TEXT, hash BLOB, big INTEGER",
            Dialect::Mysql => {
                "amount DECIMAL(30,10), at DATETIME(6), hash VARBINARY(9), big BIGINT UNSIGNED"
            }
            Dialect::Oracle => "amount NUMBER(30,10), at TIMESTAMP(6), hash RAW(9), big NUMBER(20)",
        };
        let mut lease = bed.pool.acquire(far()).await.expect("one");
        lease.run_text(&format!("CREATE TABLE a (id INTEGER, {types})")).await.expect("good SQL");
        lease.run_text(&format!("CREATE TABLE b (id INTEGER, {types})")).await.expect("good SQL");
        let values = match bed.dialect {
            Dialect::Sqlite => {
                "'12345678901234567890.0123456789', '2024-02-29T12:34:56.789999Z', x'00FF'"
            }
            Dialect::Mysql => {
                "'12345678901234567890.0123456789', '2024-02-29 12:34:56.789999', x'00FF'"
            }
            Dialect::Oracle => {
                "12345678901234567890.0123456789, TIMESTAMP '2024-02-29 12:34:56.789999', HEXTORAW('00FF')"
            }
        };
        let insert = format!("INSERT INTO a VALUES (1, {values}, 9007199254740993)");
        lease.run_text(&insert).await.expect("good SQL");
        drop(lease);
        let mut before =
            step("before", StepKind::One, "SELECT amount, at, hash, big FROM a WHERE id = {0}");
        before.columns = ["hash", "at", "amount", "big"].map(Into::into).into();
        let insert = step(
            "copy",
            StepKind::Exec,
            "INSERT INTO b (id, hash, at, amount, big) VALUES ({0}, {#0.0}, {#0.1}, {#0.2}, {#0.3})",
        );
        let mut template = tx(vec![before, insert]);
        let ty = Type::Decimal { precision: 30, scale: 10 };
        let name: Box<str> = "amount".into();
        template.columns =
            vec![Column { name: name.clone(), ty, json_string: false, empty_as_null: false }];
        let value = ReturnedValue::Step { step: 0, value: StepValue::Column(2) };
        let count = ReturnedValue::Step { step: 1, value: StepValue::Affected };
        template.write.returns = vec![
            Returned { name, value, column: Some(0) },
            Returned { name: "copied".into(), value: count, column: None },
            Returned { name: "id".into(), value: ReturnedValue::Id, column: None },
        ];
        let body = bed.body(&template, ints(&[1])).await;
        let expected = b"\x83\xa6amount\xbf12345678901234567890.0123456789\xa6copied\x01\xa2id\x4d";
        assert_eq!(body, expected, "{}", String::from_utf8_lossy(&body));
        let same = "SELECT COUNT(*) FROM a JOIN b ON a.amount = b.amount AND a.at = b.at \
                    AND a.hash = b.hash AND a.big = b.big";
        assert_eq!(bed.ask(same).await, "1");
        let missing = bed.run(&template, ints(&[2]), far()).await.expect_err("no row");
        assert_eq!(missing.code(), 2025);
    }
}

/// A column may hold more than any reply: nothing was changed then, so that the caller knows where it stands.
#[tokio::test]
async fn answer_of_steps_that_is_too_large_is_2024_and_rolls_back() {
    let beds = beds("w_large").await;
    let mut read = step("read", StepKind::One, "SELECT {1} AS note FROM account WHERE id = {0}");
    read.columns = vec!["note".into()];
    let earn = step("earn", StepKind::Exec, "UPDATE account SET gold = gold + 1 WHERE id = {0}");
    let mut template = tx(vec![earn, read]);
    let (name, ty): (Box<str>, _) = ("note".into(), Type::Str { chars_max: None });
    let column = Column { name: name.clone(), ty, json_string: false, empty_as_null: false };
    template.columns = vec![column];
    let value = ReturnedValue::Step { step: 1, value: StepValue::Column(0) };
    template.write.returns = vec![Returned { name, value, column: Some(0) }];
    for bed in &beds.all {
        // `{"note": …}` has eight bytes besides its text.
        let bed = Bed { result_bytes_max: 108, ..bed.clone() };
        let values = |length| vec![Scalar::Int(1), text(&"x".repeat(length))];
        let refused = bed.run(&template, values(101), far()).await.expect_err("too large");
        assert_eq!(refused.code(), 2024, "{refused:?}");
        assert_eq!(bed.golds().await, "100 100 100 100 100");
        assert_eq!(bed.body(&template, values(100)).await.len(), 108);
        assert_eq!(bed.golds().await, "101 100 100 100 100");
    }
}

#[tokio::test]
async fn dry_run_answers_what_would_have_been_and_leaves_nothing() {
    let beds = beds("w_dry").await;
    let mut template = keyed(exec("UPDATE account SET gold = gold + 1 WHERE id = {1}"));
    template.write.guard = guard(Comparison::Eq, 1, Some(error(2103, "NOBODY")));
    for bed in &beds.all {
        let values = |id| vec![text("k"), Scalar::Int(id)];
        let written = bed.with(&template, values(1), far(), true).await.expect("dry");
        assert_eq!((body(&written), written.replayed), (b"\x81\xa8affected\x01".to_vec(), false));
        let refused = bed.with(&template, values(9), far(), true).await.expect_err("refused");
        assert_eq!(refused.code(), 2103);
        assert_eq!(bed.golds().await, "100 100 100 100 100");
        assert_eq!(bed.key_count().await, "0");
        assert!(!bed.run(&template, values(1), far()).await.expect("wet").replayed);
        let again = bed.with(&template, values(1), far(), true).await.expect("known");
        assert!(again.replayed);
    }
}

#[tokio::test]
async fn taken_key_is_told_in_the_words_of_the_step_then_of_the_template() {
    let beds = beds("w_taken").await;
    let insert = step("insert", StepKind::Exec, "INSERT INTO account (id, gold) VALUES ({0}, 1)");
    for bed in &beds.all {
        let mut template = tx(vec![insert.clone()]);
        let code = async |template: &Template| {
            bed.run(template, ints(&[1]), far()).await.expect_err("taken").code()
        };
        assert_eq!(code(&template).await, 2022);
        template.on_duplicate = Some(error(2104, "TAKEN"));
        assert_eq!(code(&template).await, 2104);
        template.write.steps[0].on_duplicate = Some(error(2105, "TAKEN_HERE"));
        assert_eq!(code(&template).await, 2105);
    }
}

/// Only what runs in a transaction of its own is tried again.
#[test]
fn statement_that_is_to_be_retried_takes_a_transaction_and_a_plain_one_does_not() {
    let mut template = exec("UPDATE account SET gold = 1 WHERE id = {0}");
    assert!(!needs_transaction(&template));
    template.write.retry =
        Some(crate::catalog::Retry { count: 1, on_deadlock: true, on_lock_timeout: false });
    assert!(needs_transaction(&template));
}

/// Two transfers in opposite order, each of which holds its first row before either takes its second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlock_is_retried_when_the_template_says_so() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let bed = Bed::new(pool(server.database("w_deadlock").await), Dialect::Mysql).await;
    let mut template = tx(vec![
        step("first", StepKind::Exec, "UPDATE account SET gold = gold - 1 WHERE id = {0}"),
        step("wait", StepKind::One, "SELECT SLEEP(0.3)"),
        step("second", StepKind::Exec, "UPDATE account SET gold = gold + 1 WHERE id = {1}"),
    ]);
    for (retry, expected) in [(None, 1), (Some(3), 2)] {
        template.write.retry = retry.map(|count| crate::catalog::Retry {
            count,
            on_deadlock: true,
            on_lock_timeout: false,
        });
        let runs = [[1, 2], [2, 1]].map(|pair| {
            let (bed, template) = (bed.clone(), template.clone());
            tokio::spawn(async move { bed.run(&template, ints(&pair), far()).await })
        });
        let mut done_count = 0;
        for run in runs {
            match run.await.expect("no panic") {
                Ok(_) => done_count += 1,
                Err(error) => {
                    assert!(
                        matches!(error, BackendError::Locked { is_deadlock: true, .. }),
                        "{error:?}"
                    );
                    assert_eq!(error.code(), 1304);
                }
            }
        }
        assert_eq!(done_count, expected);
        assert_eq!(bed.ask("SELECT SUM(gold) FROM account").await, "500");
    }
}

#[tokio::test]
async fn isolation_is_that_of_the_template_for_its_transaction_only() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let bed = Bed::new(pool(server.database("w_isolation").await), Dialect::Mysql).await;
    let mut read = step(
        "read",
        StepKind::One,
        "SELECT trx_isolation_level AS level \
        FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()",
    );
    read.columns = vec!["level".into()];
    let touch = step("touch", StepKind::Exec, "UPDATE account SET gold = gold WHERE id = {0}");
    let note = step("note", StepKind::Exec, "INSERT INTO seen (level) VALUES ({#2.0})");
    bed.ask("SELECT 1").await;
    let mut lease = bed.pool.acquire(far()).await.expect("one");
    lease
        .run_text("CREATE TABLE seen (id INT AUTO_INCREMENT PRIMARY KEY, level VARCHAR(30))")
        .await
        .expect("good SQL");
    drop(lease);
    // The server's own list of transactions is up to a tenth of a second old.
    let age = step("age", StepKind::One, "SELECT SLEEP(0.15)");
    let mut template = tx(vec![touch, age, read, note]);
    for isolation in [
        Some(crate::catalog::Isolation::ReadCommitted),
        Some(crate::catalog::Isolation::Serializable),
        None,
    ] {
        template.write.isolation = isolation;
        bed.body(&template, ints(&[1])).await;
    }
    let seen = bed.ask("SELECT level FROM seen ORDER BY id").await;
    assert_eq!(seen, "READ COMMITTED SERIALIZABLE REPEATABLE READ");
}
