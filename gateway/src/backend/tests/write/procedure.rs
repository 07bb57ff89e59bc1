//! Procedures and what writes return, on MariaDB and on the stand-in for Oracle. SQLite has no procedures.

use super::*;
use crate::catalog::load::tests::template as compiled;

/// One that writes: a value in and out, values and rows out; it raises, refuses by a value, and tells what was left.
const SPEND: &str = "-- @kind call writes\n-- @param key string(20)\n-- @param id bigint\n-- @param price bigint\n\
    -- @param note string(20) optional\n-- @out outcome int\n-- @out gold bigint\n-- @out share decimal(12,2)\n\
    -- @out note string(20)\n-- @out at timestamp(3)\n-- @out day date\n-- @out others rows(id bigint, gold bigint)\n\
    -- @guard outcome = 0 else 2161 TOO_POOR\n-- @on raised 20101 else 2162 NO_ACCOUNT [404]\n\
    -- @on duplicate_key else 2163 TAKEN\n-- @idempotent key=key\n-- @allow a\n-- @stale_ok nothing is cached\n\
    -- @limit 3\n";
const MYSQL_CALL: &str =
    "CALL spend(:key, :id, :price, :_id, :_now, :outcome, :gold, :share, :note, :at, :day)";
const ORACLE_CALL: &str = "CALL spend(:key, :id, :price, p_entry => :_id, p_now => :_now, p_outcome => :outcome, \
    p_gold => :gold, p_share => :share, p_note => :note, p_at => :at, p_day => :day, p_others => :others)";

const MYSQL: &str = "
CREATE PROCEDURE spend(IN p_key VARCHAR(20), IN p_id BIGINT, IN p_price BIGINT, IN p_entry BIGINT, IN p_now DATETIME(6),
  OUT p_outcome INT, OUT p_gold BIGINT, OUT p_share DECIMAL(12,2), INOUT p_note VARCHAR(20), OUT p_at DATETIME(6),
  OUT p_day DATE)
BEGIN
  SELECT gold INTO p_gold FROM account WHERE id = p_id FOR UPDATE;
  IF p_gold IS NULL THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 20101, MESSAGE_TEXT = 'no account';
  END IF;
  SET p_outcome = CASE WHEN p_gold < p_price THEN 1 ELSE 0 END;
  UPDATE account SET gold = gold - p_price WHERE id = p_id;
  INSERT INTO ledger (id, account, delta) VALUES (p_entry, p_id, -p_price);
  SET p_gold = p_gold - p_price, p_share = p_price / 4, p_at = p_now, p_day = '2026-01-31';
  SET p_note = CONCAT(p_note, '!');
  SELECT id, gold FROM account WHERE id > p_id ORDER BY id;
END;
CREATE PROCEDURE peek(IN p_id BIGINT, OUT p_gold BIGINT)
BEGIN
  SELECT gold INTO p_gold FROM account WHERE id = p_id;
END;
CREATE PROCEDURE poke(IN p_id BIGINT, OUT p_gold BIGINT)
BEGIN
  UPDATE account SET gold = gold + 1 WHERE id = p_id;
  SET p_gold = 1;
END;
CREATE PROCEDURE leak(IN p_id BIGINT, OUT p_gold BIGINT)
BEGIN
  UPDATE account SET gold = 0 WHERE id = p_id;
  COMMIT;
  SET p_gold = 0;
END;
CREATE PROCEDURE twice(IN p_id BIGINT, OUT p_gold BIGINT)
BEGIN
  SELECT 1 AS one;
  SET p_gold = p_id;
END;
CREATE PROCEDURE quiet()
BEGIN
  UPDATE account SET gold = 7 WHERE id = 5;
END";

const ORACLE: &str = "
CREATE PROCEDURE spend(p_key VARCHAR2, p_id NUMBER, p_price NUMBER, p_entry NUMBER, p_now TIMESTAMP,
  p_outcome OUT NUMBER, p_gold OUT NUMBER, p_share OUT NUMBER, p_note IN OUT VARCHAR2, p_at OUT TIMESTAMP,
  p_day OUT DATE, p_others OUT SYS_REFCURSOR) IS
BEGIN
  SELECT gold INTO p_gold FROM account WHERE id = p_id FOR UPDATE;
  p_outcome := CASE WHEN p_gold < p_price THEN 1 ELSE 0 END;
  UPDATE account SET gold = gold - p_price WHERE id = p_id;
  INSERT INTO ledger (id, account, delta) VALUES (p_entry, p_id, -p_price);
  p_gold := p_gold - p_price;
  p_share := p_price / 4;
  p_at := p_now;
  p_day := DATE '2026-01-31';
  p_note := p_note || CASE WHEN p_note IS NOT NULL THEN '!' END;
  OPEN p_others FOR SELECT id, gold FROM account WHERE id > p_id ORDER BY id;
EXCEPTION
  WHEN NO_DATA_FOUND THEN RAISE_APPLICATION_ERROR(-20101, 'no account');
END;
/
CREATE PROCEDURE peek(p_id NUMBER, p_gold OUT NUMBER) IS
BEGIN
  SELECT MAX(gold) INTO p_gold FROM account WHERE id = p_id;
END;
/
CREATE PROCEDURE poke(p_id NUMBER, p_gold OUT NUMBER) IS
BEGIN
  UPDATE account SET gold = gold + 1 WHERE id = p_id;
  p_gold := 1;
END;
/
CREATE PROCEDURE leak(p_id NUMBER, p_gold OUT NUMBER) IS
BEGIN
  UPDATE account SET gold = 0 WHERE id = p_id;
  COMMIT;
  p_gold := 0;
END;
/
CREATE PROCEDURE quiet IS
BEGIN
  UPDATE account SET gold = 7 WHERE id = 5;
END;
/
";

/// Beds of the databases that have procedures, with these.
async fn with_procedures(name: &str) -> Beds {
    let mut beds = beds(name).await;
    beds.all.retain(|bed| bed.dialect != Dialect::Sqlite);
    for bed in &beds.all {
        let script = if bed.dialect == Dialect::Oracle { ORACLE } else { MYSQL };
        let mut lease = bed.pool.acquire(far()).await.expect("a connection");
        for part in split(script, bed.dialect).expect("good SQL") {
            lease
                .run_text(part.text)
                .await
                .unwrap_or_else(|error| panic!("{}: {error:?}", part.text));
        }
    }
    beds
}

fn spend(dialect: Dialect) -> Template {
    let call = if dialect == Dialect::Oracle { ORACLE_CALL } else { MYSQL_CALL };
    (*compiled(&format!("{SPEND}{call}\n"), dialect)).clone()
}

fn values(key: &str, id: i64, price: i64) -> Vec<Scalar<'static>> {
    vec![text(key), Scalar::Int(id), Scalar::Int(price), text("hi")]
}

/// One that gives a number.
fn simple(name: &str, does: &str, dialect: Dialect) -> Template {
    let stale = if does == "writes" { "-- @stale_ok nothing is cached\n" } else { "" };
    let text = format!(
        "-- @kind call {does}\n-- @param id bigint\n-- @out gold bigint\n-- @allow a\n{stale}CALL {name}(:id, :gold)\n"
    );
    (*compiled(&text, dialect)).clone()
}

async fn read(bed: &Bed, template: &Template, id: i64) -> Result<Vec<u8>, BackendError> {
    let bound = Bound { given: 1, values: ints(&[id]).into() };
    let cursor_key = CursorKey::new(b"key");
    let limits = Limits { result_bytes_max: 1 << 20, cursor_key: &cursor_key };
    let supplied = supplied();
    let found = super::super::super::run(&bed.pool, template, &bound, &supplied, &limits, far());
    let Stored::Present(body) = found.await?.stored else { panic!("no body") };
    Ok(body.msgpack.to_vec())
}

#[tokio::test]
async fn call_gives_values_and_rows_alike_on_mysql_and_the_stand_in_and_is_done_once() {
    let beds = with_procedures("p_spend").await;
    for bed in &beds.all {
        let template = spend(bed.dialect);
        let written = bed.run(&template, values("k1", 3, 30), far()).await.expect("spent");
        let expected = b"\x88\xa7outcome\x00\xa4gold\x46\xa5share\xa47.50\xa4note\xa3hi!\
            \xa2at\xb82024-02-29T12:34:56.789Z\xa3day\xaa2026-01-31\
            \xa6others\x92\x82\xa2id\x04\xa4gold\x64\x82\xa2id\x05\xa4gold\x64\xa2id\x4d";
        let told = body(&written);
        assert_eq!(told, expected, "{:?}: {}", bed.dialect, String::from_utf8_lossy(&told));
        assert_eq!(bed.golds().await, "100 100 70 100 100");
        let again = bed.run(&template, values("k1", 3, 30), far()).await.expect("known");
        assert_eq!((again.replayed, body(&again)), (true, told));
        assert_eq!(bed.golds().await, "100 100 70 100 100");
        let mut dry = values("k2", 3, 30);
        dry[3] = Scalar::Null;
        bed.ask("DELETE FROM ledger WHERE 1 = 1").await;
        let written = bed.with(&template, dry, far(), true).await.expect("dry");
        assert!(body(&written).windows(6).any(|some| some == b"\xa4note\xc0"));
        assert_eq!(bed.golds().await, "100 100 70 100 100");
    }
}

#[tokio::test]
async fn refusal_of_a_procedure_rolls_everything_back_and_answers_in_the_templates_words() {
    let beds = with_procedures("p_refused").await;
    for bed in &beds.all {
        let template = spend(bed.dialect);
        let code = async |template: &Template, values| {
            bed.run(template, values, far()).await.expect_err("refused").code()
        };
        assert_eq!(code(&template, values("k1", 3, 101)).await, 2161, "a value says no");
        assert_eq!(code(&template, values("k2", 9, 1)).await, 2162, "the procedure raises");
        assert_eq!(
            (bed.golds().await, bed.key_count().await),
            ("100 100 100 100 100".into(), "0".into())
        );
        let mut silent = template.clone();
        silent.procedure.as_mut().expect("a call").raised.clear();
        assert_eq!(code(&silent, values("k2", 9, 1)).await, 1303, "nobody says what it means");
        bed.body(&template, values("k3", 3, 1)).await;
        assert_eq!(code(&template, values("k4", 3, 1)).await, 2163, "the ledger's id is taken");
        assert_eq!(
            (bed.golds().await, bed.key_count().await),
            ("100 100 99 100 100".into(), "1".into())
        );
        let mut many = template.clone();
        many.row_count_max = 1;
        bed.ask("DELETE FROM ledger WHERE 1 = 1").await;
        assert_eq!(code(&many, values("k5", 3, 1)).await, 2024, "two rows where one may be");
        bed.body(&many, values("k6", 4, 1)).await;
    }
}

#[tokio::test]
async fn procedure_that_reads_may_not_write() {
    let beds = with_procedures("p_reads").await;
    for bed in &beds.all {
        let peek = simple("peek", "reads", bed.dialect);
        assert_eq!(read(bed, &peek, 2).await.expect("read"), b"\x81\xa4gold\x64");
        assert_eq!(read(bed, &peek, 9).await.expect("read"), b"\x81\xa4gold\xc0");
        let refused =
            read(bed, &simple("poke", "reads", bed.dialect), 2).await.expect_err("writes");
        assert_eq!(refused.code(), 1303, "{refused:?}");
        assert_eq!(bed.golds().await, "100 100 100 100 100");
        // The connection is well, and takes writes again.
        assert_eq!(
            bed.body(&simple("poke", "writes", bed.dialect), ints(&[2])).await,
            b"\x81\xa4gold\x01"
        );
        assert_eq!(bed.golds().await, "100 101 100 100 100");
    }
}

#[tokio::test]
async fn procedure_that_commits_is_refused_by_oracle_and_told_as_unknown_on_mysql() {
    let beds = with_procedures("p_commits").await;
    for bed in &beds.all {
        let leak = simple("leak", "writes", bed.dialect);
        let refused = bed.run(&leak, ints(&[2]), far()).await.expect_err("it commits");
        let (code, golds) = match bed.dialect {
            Dialect::Oracle => (1303, "100 100 100 100 100"),
            _ => (1305, "100 0 100 100 100"),
        };
        assert_eq!(refused.code(), code, "{refused:?}");
        assert_eq!(bed.golds().await, golds);
        assert_eq!(
            bed.body(&simple("poke", "writes", bed.dialect), ints(&[1])).await,
            b"\x81\xa4gold\x01"
        );
    }
}

#[tokio::test]
async fn procedure_that_gives_something_else_than_declared_is_the_templates_fault() {
    let beds = with_procedures("p_differs").await;
    for bed in &beds.all {
        let code = async |text: &str| {
            let template =
                compiled(&format!("-- @allow a\n-- @stale_ok nothing\n{text}"), bed.dialect);
            bed.run(&template, ints(&[2]), far()).await.expect_err(text).code()
        };
        let small =
            "-- @kind call writes\n-- @param id bigint\n-- @out gold bool\nCALL peek(:id, :gold)";
        assert_eq!(code(small).await, 1303, "100 is no truth");
        let missing = "-- @kind call writes\n-- @param id bigint\n-- @out gold bigint\nCALL nobody(:id, :gold)";
        assert_eq!(code(missing).await, 1303);
        if bed.dialect == Dialect::Mysql {
            let more = "-- @kind call writes\n-- @param id bigint\n-- @out gold bigint\nCALL twice(:id, :gold)";
            assert_eq!(code(more).await, 1303, "a result set that nobody declared");
            let rows = "-- @kind call writes\n-- @param id bigint\n-- @out gold bigint\n-- @out some rows(one int)\n\
                        CALL peek(:id, :gold)";
            assert_eq!(code(rows).await, 1303, "a result set that never comes");
        }
        assert_eq!(bed.golds().await, "100 100 100 100 100");
        let quiet =
            compiled("-- @kind call writes\n-- @allow a\n-- @stale_ok x\nCALL quiet", bed.dialect);
        assert_eq!(bed.body(&quiet, Vec::new()).await, b"\x80");
        assert_eq!(bed.golds().await, "100 100 100 100 7");
    }
}

/// MariaDB has it for INSERT, DELETE and REPLACE.
#[tokio::test]
async fn write_that_returns_tells_what_it_left_and_touches_one_row_at_most() {
    let beds = beds("w_returning").await;
    for bed in &beds.all {
        let (verb, left) = match bed.dialect {
            Dialect::Mysql => ("DELETE FROM account", "100 100 100 100"),
            _ => ("UPDATE account SET gold = gold - 1", "100 99 100 100 100"),
        };
        let text = format!(
            "-- @kind exec\n-- @param id bigint\n-- @param most bigint\n-- @out version bigint as string\n\
             -- @out gold bigint\n-- @allow a\n{verb} WHERE id >= :id AND id <= :most RETURNING gold, version\n"
        );
        let template = compiled(&text, bed.dialect);
        let gold = if bed.dialect == Dialect::Mysql { b'\x64' } else { b'\x63' };
        let expected = [&b"\x83\xa8affected\x01\xa7version\x01\xa4gold"[..], &[gold]].concat();
        assert_eq!(bed.body(&template, ints(&[2, 2])).await, expected, "{:?}", bed.dialect);
        assert_eq!(bed.golds().await, left);
        let none = b"\x83\xa8affected\x00\xa7version\xc0\xa4gold\xc0";
        assert_eq!(bed.body(&template, ints(&[9, 9])).await, none);
        let refused = bed.run(&template, ints(&[3, 4]), far()).await.expect_err("two rows");
        assert_eq!(refused.code(), 2024, "{refused:?}");
        assert_eq!(bed.golds().await, left);
    }
}

#[tokio::test]
async fn step_that_returns_leaves_its_values_to_the_next_in_their_types() {
    let beds = beds("w_step_returns").await;
    for bed in &beds.all {
        let returning = "RETURNING id, gold, account, delta";
        let returning = if bed.dialect == Dialect::Oracle {
            format!("{returning} INTO :entry, :left, :owner, :moved")
        } else {
            "RETURNING id AS entry, id + 1 AS left_over, account AS owner, delta AS moved"
                .to_owned()
        };
        let returning = returning.replace("gold", "id + 1").replace(":left", ":left_over");
        let text = format!(
            "-- @kind tx\n-- @param id bigint\n-- @out put.left_over bigint\n-- @out put.owner bigint\n\
             -- @out put.entry bigint\n-- @result moved bigint\n-- @return moved = put.moved\n-- @allow a\n\
             -- @step put exec affected = 1\n\
             INSERT INTO ledger (id, account, delta) VALUES (:_id, :id, 5) {returning}\n\
             -- @step move exec affected = 1 when put.left_over = 78\n\
             UPDATE account SET gold = gold + :put.left_over WHERE id = :put.owner\n\
             -- @step never exec affected = 1 when put.entry = 78\nDELETE FROM account WHERE id = :put.entry\n"
        );
        let template = compiled(&text, bed.dialect);
        assert_eq!(
            bed.body(&template, ints(&[2])).await,
            b"\x81\xa5moved\x05",
            "{:?}",
            bed.dialect
        );
        assert_eq!(bed.golds().await, "100 178 100 100 100");
    }
}
