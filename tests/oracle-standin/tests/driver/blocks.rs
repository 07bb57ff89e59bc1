//! PL/SQL: anonymous blocks, procedures with OUT parameters and cursors, triggers.

use oracle::sql_type::{OracleType, RefCursor};

use crate::place::{Place, code};

#[test]
fn block_creates_a_table_unless_it_exists() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    let block = "BEGIN
        EXECUTE IMMEDIATE 'CREATE TABLE t (id NUMBER(19) NOT NULL, a VARCHAR2(10))';
      EXCEPTION WHEN OTHERS THEN IF SQLCODE != -955 THEN RAISE; END IF; END;";
    for _ in 0..2 {
        connection.execute(block, &[]).unwrap();
    }
    let other = block.replace("NUMBER(19)", "NOTHING");
    assert_eq!(code(&connection.execute(&other, &[]).unwrap_err()), 902);
}

#[test]
fn block_computes_with_variables_and_gives_values_back() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER PRIMARY KEY, a NUMBER)", &[]).unwrap();
    let block = "DECLARE total NUMBER := 0; found_rows PLS_INTEGER; BEGIN
        FOR i IN 1 .. :n LOOP INSERT INTO t VALUES (i, i * 10); END LOOP;
        UPDATE t SET a = a + 1 WHERE id > 1; found_rows := SQL%ROWCOUNT;
        SELECT SUM(a) INTO total FROM t;
        IF total > 100 THEN :verdict := 'large'; ELSE :verdict := 'small ' || total; END IF;
        :changed := found_rows; END;";
    let mut statement = connection.statement(block).build().unwrap();
    let outs = [
        ("n", &3 as &dyn oracle::sql_type::ToSql),
        ("verdict", &OracleType::Varchar2(20)),
        ("changed", &OracleType::Int64),
    ];
    statement.execute_named(&outs).unwrap();
    assert_eq!(statement.bind_value::<_, String>("verdict").unwrap(), "small 62");
    assert_eq!(statement.bind_value::<_, i64>("changed").unwrap(), 2);
}

#[test]
fn block_that_fails_leaves_nothing_and_the_transaction_goes_on() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER PRIMARY KEY)", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    let fails = |block: &str| code(&connection.execute(block, &[]).unwrap_err());
    assert_eq!(fails("BEGIN INSERT INTO t VALUES (2); INSERT INTO t VALUES (1); END;"), 1);
    assert_eq!(fails("DECLARE n NUMBER; BEGIN SELECT id INTO n FROM t WHERE id = 9; END;"), 1403);
    assert_eq!(fails("BEGIN RAISE_APPLICATION_ERROR(-20001, 'no'); END;"), 20001);
    assert_eq!(fails("BEGIN nobody_knows(1); END;"), 6550);
    connection
        .execute(
            "BEGIN INSERT INTO t VALUES (3); INSERT INTO t VALUES (1);
             EXCEPTION WHEN DUP_VAL_ON_INDEX THEN INSERT INTO t VALUES (4); END;",
            &[],
        )
        .unwrap();
    let ids = connection.query_as::<i64>("SELECT id FROM t ORDER BY id", &[]).unwrap();
    assert_eq!(ids.map(Result::unwrap).collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn procedure_gives_back_values_and_a_cursor() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER(9) PRIMARY KEY, a VARCHAR2(9))", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (1, 'one')", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (2, 'two')", &[]).unwrap();
    let create = "CREATE OR REPLACE PROCEDURE rename(p_id IN NUMBER, p_a IN OUT VARCHAR2, p_rows OUT SYS_REFCURSOR) IS
        before t.a%TYPE;
      BEGIN
        SELECT a INTO before FROM t WHERE id = p_id FOR UPDATE;
        UPDATE t SET a = p_a WHERE id = p_id;
        p_a := before;
        OPEN p_rows FOR SELECT id, a FROM t WHERE id <= p_id ORDER BY id;
      END rename;";
    connection.execute(create, &[]).unwrap();
    for call in ["BEGIN rename(:id, :a, :rows); END;", "CALL rename(:id, :a, :rows)"] {
        let mut statement = connection.statement(call).build().unwrap();
        statement.bind("id", &2).unwrap();
        statement.bind("a", &(&"new", &OracleType::Varchar2(20))).unwrap();
        statement.bind("rows", &OracleType::RefCursor).unwrap();
        statement.execute(&[]).unwrap();
        assert_eq!(statement.bind_value::<_, String>("a").unwrap(), "two", "{call}");
        let mut cursor: RefCursor = statement.bind_value("rows").unwrap();
        let rows = cursor.query_as::<(i64, String)>().unwrap().map(Result::unwrap);
        assert_eq!(rows.collect::<Vec<_>>(), [(1, "one".to_owned()), (2, "new".to_owned())]);
        connection.execute("UPDATE t SET a = 'two' WHERE id = 2", &[]).unwrap();
    }
    connection.execute("DROP PROCEDURE rename", &[]).unwrap();
    assert_eq!(code(&connection.execute("DROP PROCEDURE rename", &[]).unwrap_err()), 4043);
}

#[test]
fn dictionary_tells_the_arguments_of_a_procedure() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER(9) PRIMARY KEY, a VARCHAR2(9))", &[]).unwrap();
    let create = "CREATE PROCEDURE p(p_id NUMBER, p_a IN OUT t.a%TYPE, p_rows OUT SYS_REFCURSOR, p_n IN DATE DEFAULT NULL) IS
        BEGIN NULL; END;";
    connection.execute(create, &[]).unwrap();
    let sql = "SELECT argument_name || ' ' || in_out || ' ' || data_type || ' ' || defaulted FROM user_arguments
        WHERE object_name = :1 ORDER BY position";
    let told = || -> Vec<String> {
        connection.query_as::<String>(sql, &[&"P"]).unwrap().map(Result::unwrap).collect()
    };
    let expected =
        ["P_ID IN NUMBER N", "P_A IN/OUT VARCHAR2 N", "P_ROWS OUT REF CURSOR N", "P_N IN DATE Y"];
    assert_eq!(told(), expected);
    connection.execute("CREATE OR REPLACE PROCEDURE p IS BEGIN NULL; END;", &[]).unwrap();
    assert_eq!(told(), Vec::<String>::new());
    let count = "SELECT COUNT(*) FROM user_procedures WHERE object_name = 'P'";
    assert_eq!(connection.query_row_as::<i64>(count, &[]).unwrap(), 1);
    connection.execute("DROP PROCEDURE p", &[]).unwrap();
    assert_eq!(connection.query_row_as::<i64>(count, &[]).unwrap(), 0);
}

#[test]
fn procedure_may_not_commit_where_the_session_says_so() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER)", &[]).unwrap();
    connection
        .execute("CREATE PROCEDURE p IS BEGIN INSERT INTO t VALUES (1); COMMIT; END;", &[])
        .unwrap();
    connection.execute("ALTER SESSION DISABLE COMMIT IN PROCEDURE", &[]).unwrap();
    assert_eq!(code(&connection.execute("BEGIN p; END;", &[]).unwrap_err()), 34);
    connection.rollback().unwrap();
    assert_eq!(connection.query_row_as::<i64>("SELECT COUNT(*) FROM t", &[]).unwrap(), 0);
    connection.execute("ALTER SESSION ENABLE COMMIT IN PROCEDURE", &[]).unwrap();
    connection.execute("BEGIN p(); END;", &[]).unwrap();
    connection.rollback().unwrap();
    assert_eq!(connection.query_row_as::<i64>("SELECT COUNT(*) FROM t", &[]).unwrap(), 1);
}

#[test]
fn trigger_writes_down_what_changed() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection
        .execute("CREATE TABLE t (id NUMBER(9) PRIMARY KEY, a VARCHAR2(9), seen NUMBER)", &[])
        .unwrap();
    connection.execute("CREATE TABLE box (what VARCHAR2(40))", &[]).unwrap();
    let create = "CREATE OR REPLACE TRIGGER t_box BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW
      BEGIN
        IF DELETING THEN INSERT INTO box VALUES ('gone ' || :OLD.id);
        ELSE :NEW.seen := NVL(:NEW.seen, 0) + 1; INSERT INTO box VALUES ('[\"' || TO_CHAR(:NEW.id) || '\"]'); END IF;
      END;";
    connection.execute(create, &[]).unwrap();
    connection.execute("INSERT INTO t (id, a) VALUES (:1, 'x')", &[&7]).unwrap();
    connection.execute("UPDATE t SET a = NULL", &[]).unwrap();
    assert_eq!(connection.query_row_as::<i64>("SELECT seen FROM t", &[]).unwrap(), 2);
    connection.execute("DELETE FROM t", &[]).unwrap();
    let written = connection.query_as::<String>("SELECT what FROM box", &[]).unwrap();
    assert_eq!(written.map(Result::unwrap).collect::<Vec<_>>(), ["[\"7\"]", "[\"7\"]", "gone 7"]);
    connection.execute("DROP TRIGGER t_box", &[]).unwrap();
    assert_eq!(code(&connection.execute("DROP TRIGGER t_box", &[]).unwrap_err()), 4080);
}
