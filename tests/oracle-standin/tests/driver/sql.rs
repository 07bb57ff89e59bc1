//! Oracle's SQL, as far as templates, migrations and the gateway itself write it.

use oracle::Connection;
use oracle::sql_type::Timestamp;

use crate::place::{Place, code};

fn one<T: oracle::sql_type::FromSql>(connection: &Connection, sql: &str) -> T {
    connection.query_row_as::<T>(sql, &[]).unwrap()
}

#[test]
fn schema_is_made_altered_and_described() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    for sql in [
        "CREATE TABLE player (player_id NUMBER(19) NOT NULL, name VARCHAR2(32 CHAR) NOT NULL, born DATE DEFAULT SYSDATE NOT NULL,
           CONSTRAINT player_pk PRIMARY KEY (player_id) USING INDEX TABLESPACE users) TABLESPACE users PCTFREE 5",
        "CREATE UNIQUE INDEX player_name ON player (name, player_id DESC) TABLESPACE users",
        "CREATE SEQUENCE player_seq START WITH 10 INCREMENT BY 1 NOCACHE NOCYCLE",
        "ALTER TABLE player ADD (level_no NUMBER(5) DEFAULT 1 NOT NULL, note CLOB)",
        "ALTER TABLE player MODIFY (name VARCHAR2(40 CHAR))",
        "COMMENT ON COLUMN player.name IS 'shown to others'",
        "ALTER TABLE player RENAME COLUMN note TO remark",
        "CREATE OR REPLACE VIEW young AS SELECT player_id FROM player WHERE level_no < 5",
        "TRUNCATE TABLE player",
    ] {
        let made = connection.execute(sql, &[]);
        assert!(made.is_ok(), "{sql}: {:?}", made.err());
    }
    let columns = connection
        .query_as::<(String, String, Option<i64>, String)>(
            "SELECT column_name, data_type, char_length, nullable FROM user_tab_columns WHERE table_name = 'PLAYER' ORDER BY column_id",
            &[],
        )
        .unwrap();
    let columns: Vec<String> = columns
        .map(Result::unwrap)
        .map(|(name, data_type, characters, nullable)| {
            format!("{name} {data_type} {} {nullable}", characters.unwrap_or(0))
        })
        .collect();
    let expected = [
        "PLAYER_ID NUMBER 0 N",
        "NAME VARCHAR2 40 N",
        "BORN DATE 0 N",
        "LEVEL_NO NUMBER 0 N",
        "REMARK CLOB 0 Y",
    ];
    assert_eq!(columns, expected);
    assert_eq!(
        one::<i64>(&connection, "SELECT COUNT(*) FROM user_tables WHERE table_name = 'PLAYER'"),
        1
    );
    assert_eq!(one::<i64>(&connection, "SELECT player_seq.NEXTVAL FROM dual"), 10);
    let keys = "SELECT COUNT(*) FROM user_constraints WHERE table_name = 'PLAYER' AND constraint_type = 'P'";
    assert_eq!(one::<i64>(&connection, keys), 1);
    connection.execute("DROP TABLE player CASCADE CONSTRAINTS PURGE", &[]).unwrap();
    assert_eq!(code(&connection.query("SELECT * FROM young", &[]).err().unwrap()), 942);
}

#[test]
fn queries_say_what_oracle_means() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER(9), a VARCHAR2(9), at DATE)", &[]).unwrap();
    for id in 1..=9 {
        connection
            .execute("INSERT INTO t VALUES (:1, DECODE(MOD(:2, 2), 0, 'even', 'odd'), DATE '2026-01-01' + :3)", &[&id, &id, &id])
            .unwrap();
    }
    assert_eq!(
        one::<i64>(&connection, "SELECT COUNT(*) FROM (SELECT id FROM t WHERE ROWNUM <= 4)"),
        4
    );
    assert_eq!(
        one::<i64>(
            &connection,
            "SELECT MAX(id) FROM (SELECT id FROM t MINUS SELECT id FROM t WHERE id > 6)"
        ),
        6
    );
    let page = connection.query_as::<i64>(
        "SELECT id FROM t ORDER BY id OFFSET :1 ROWS FETCH NEXT :2 ROWS ONLY",
        &[&2, &3],
    );
    assert_eq!(page.unwrap().map(Result::unwrap).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(
        one::<String>(&connection, "SELECT TO_CHAR(MAX(at), 'YYYY-MM-DD HH24:MI:SS') FROM t"),
        "2026-01-10 00:00:00"
    );
    assert_eq!(
        one::<String>(&connection, "SELECT NVL(NULL, 'x') || TO_CHAR(1.50) FROM dual"),
        "x1.5"
    );
    assert_eq!(one::<String>(&connection, "SELECT SUBSTR('abcdef', -3, 2) FROM dual"), "de");
    assert_eq!(
        one::<i64>(
            &connection,
            "SELECT COUNT(*) FROM t WHERE a = 'odd' AND (id, a) IN ((1, 'odd'), (2, 'odd'))"
        ),
        1
    );
    connection.execute("DELETE FROM t WHERE id > :1 AND ROWNUM <= :2", &[&3, &4]).unwrap();
    assert_eq!(one::<i64>(&connection, "SELECT COUNT(*) FROM t"), 5);
    connection.execute("EXPLAIN PLAN FOR UPDATE t SET a = :1 WHERE id = :2", &[&"z", &1]).unwrap();
    assert_eq!(
        one::<i64>(&connection, "SELECT COUNT(*) FROM t WHERE a = 'z'"),
        0,
        "explained, not run"
    );
    let error = connection.execute("EXPLAIN PLAN FOR DELETE FROM missing", &[]).unwrap_err();
    assert_eq!(code(&error), 942);
}

#[test]
fn quoted_names_come_back_as_they_were_written() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    let rows = connection
        .query("SELECT 1 AS \"playerId\", 2 AS player_level, 3 AS \"UPPER\" FROM dual", &[])
        .unwrap();
    let names: Vec<&str> = rows.column_info().iter().map(oracle::ColumnInfo::name).collect();
    assert_eq!(names, ["playerId", "PLAYER_LEVEL", "UPPER"]);
}

#[test]
fn session_has_a_time_zone_and_tells_who_is_served() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("ALTER SESSION SET TIME_ZONE = '+08:00' NLS_SORT = BINARY NLS_DATE_FORMAT = 'YYYY-MM-DD'", &[]).unwrap();
    let zoned: Timestamp = one(&connection, "SELECT TIMESTAMP '2026-01-01 00:00:00' + 0 FROM dual");
    assert_eq!((zoned.hour(), zoned.day()), (0, 1));
    connection.execute("CREATE TABLE t (at TIMESTAMP(3) WITH TIME ZONE)", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (TO_TIMESTAMP('2026-01-01 12:00:00.5', 'YYYY-MM-DD HH24:MI:SS.FF'))", &[]).unwrap();
    let told: Timestamp = one(&connection, "SELECT at FROM t");
    assert_eq!((told.hour(), told.nanosecond(), told.tz_hour_offset()), (12, 500_000_000, 8));

    connection.set_module("gateway").unwrap();
    connection.set_action("game1.player.get").unwrap();
    connection.set_client_identifier("request-1").unwrap();
    let told = "SELECT sys_context('USERENV', 'MODULE') || ' ' || sys_context('USERENV', 'ACTION') FROM dual";
    assert_eq!(one::<String>(&connection, told), "gateway game1.player.get");
    let other = place.connect();
    let seen = "SELECT action || ' ' || client_identifier FROM v$session WHERE module = 'gateway'";
    assert_eq!(one::<String>(&other, seen), "game1.player.get request-1");
}

#[test]
fn transaction_can_be_serializable_and_has_savepoints() {
    let Some(place) = Place::new() else { return };
    let (connection, other) = (place.connect(), place.connect());
    connection.execute("CREATE TABLE t (id NUMBER PRIMARY KEY, a NUMBER)", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (1, 0)", &[]).unwrap();
    connection.execute("SAVEPOINT here", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (2, 0)", &[]).unwrap();
    connection.execute("ROLLBACK TO SAVEPOINT here", &[]).unwrap();
    assert_eq!(code(&connection.execute("ROLLBACK TO nowhere", &[]).unwrap_err()), 1086);
    connection.execute("INSERT INTO t VALUES (3, 0)", &[]).unwrap();
    connection.commit().unwrap();
    assert_eq!(one::<i64>(&other, "SELECT SUM(id) FROM t"), 4);

    connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", &[]).unwrap();
    assert_eq!(one::<i64>(&connection, "SELECT a FROM t WHERE id = 1"), 0);
    other.execute("UPDATE t SET a = 1 WHERE id = 1", &[]).unwrap();
    other.commit().unwrap();
    assert_eq!(one::<i64>(&connection, "SELECT a FROM t WHERE id = 1"), 0, "its own snapshot");
    let error = connection.execute("UPDATE t SET a = a + 1 WHERE id = 1", &[]).unwrap_err();
    assert_eq!(code(&error), 8177);
    connection.rollback().unwrap();
    connection.execute("UPDATE t SET a = a + 1 WHERE id = 1", &[]).unwrap();
    connection.commit().unwrap();
    assert_eq!(one::<i64>(&other, "SELECT a FROM t WHERE id = 1"), 2);
}
