//! Logging on, binds, types, transactions and errors.

use oracle::sql_type::Timestamp;
use oracle::{Connection, Error};

use crate::place::{Place, code};

#[test]
fn session_begins_and_wrong_password_service_and_port_are_told_apart() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.ping().unwrap();
    let (version, banner) = connection.server_version().unwrap();
    assert!(version.major() >= 18 && !banner.is_empty(), "{version} {banner}");
    let refused = |password: &str, to: &str| {
        let error = Connection::connect(&place.name, password, to).unwrap_err();
        code(&error)
    };
    assert_eq!(refused("wrong", &place.connect_string()), 1017);
    assert_eq!(refused("x", "//127.0.0.1:1/game"), 12541);
    assert_eq!(refused("x", "nowhere"), 12154);
    let Some(server) = place.stand_in() else { return };
    assert_eq!((version.major(), version.minor()), (19, 3));
    assert!(banner.contains("Stand-in"), "{banner}");
    let missing = server.connect_string("missing");
    let error =
        Connection::connect(&place.name, oracle_standin::server::PASSWORD, missing).unwrap_err();
    assert_eq!(code(&error), 12514);
}

#[test]
fn values_of_every_type_go_in_and_come_back() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    let create = "CREATE TABLE t (id NUMBER(19) PRIMARY KEY, price NUMBER(12,2), any_number NUMBER, name VARCHAR2(30 CHAR),
        born DATE, seen TIMESTAMP(3), zone TIMESTAMP(6) WITH TIME ZONE, ratio BINARY_DOUBLE, code CHAR(3))";
    connection.execute(create, &[]).unwrap();
    let seen = Timestamp::new(2026, 1, 2, 3, 4, 5, 678_000_000).unwrap();
    let zone = Timestamp::new(2026, 1, 2, 3, 4, 5, 0).unwrap().and_tz_hm_offset(8, 0).unwrap();
    let born = Timestamp::new(1999, 12, 31, 23, 59, 59, 0).unwrap();
    let insert = "INSERT INTO t VALUES (:id, :price, :any_number, :name, :born, :seen, :zone, :ratio, :code)";
    connection
        .execute_named(
            insert,
            &[
                ("id", &i64::MAX),
                ("price", &"1234567890.12"),
                ("any_number", &-0.5_f64),
                ("name", &"玩家 é"),
                ("born", &born),
                ("seen", &seen),
                ("zone", &zone),
                ("ratio", &2.5_f64),
                ("code", &"ab"),
            ],
        )
        .unwrap();
    connection.commit().unwrap();

    let mut statement = connection.statement("SELECT * FROM t WHERE id = :1").build().unwrap();
    let rows = statement.query(&[&i64::MAX]).unwrap();
    let types: Vec<String> = rows
        .column_info()
        .iter()
        .map(|column| format!("{} {}", column.name(), column.oracle_type()))
        .collect();
    assert_eq!(
        types,
        [
            "ID NUMBER(19)",
            "PRICE NUMBER(12,2)",
            "ANY_NUMBER NUMBER",
            "NAME VARCHAR2(120)",
            "BORN DATE",
            "SEEN TIMESTAMP(3)",
            "ZONE TIMESTAMP WITH TIME ZONE",
            "RATIO BINARY_DOUBLE",
            "CODE CHAR(12)",
        ]
    );
    let row = rows.map(Result::unwrap).next().unwrap();
    assert_eq!(row.get::<_, i64>("ID").unwrap(), i64::MAX);
    assert_eq!(row.get::<_, String>("PRICE").unwrap(), "1234567890.12");
    assert_eq!(row.get::<_, String>("ANY_NUMBER").unwrap(), "-0.5");
    assert_eq!(row.get::<_, String>("NAME").unwrap(), "玩家 é");
    assert_eq!(row.get::<_, Timestamp>("BORN").unwrap(), born);
    assert_eq!(row.get::<_, Timestamp>("SEEN").unwrap(), seen);
    let told = row.get::<_, Timestamp>("ZONE").unwrap();
    assert_eq!(
        (told.day(), told.hour(), told.tz_offset()),
        (1, 19, 0),
        "told in the session's zone, UTC"
    );
    assert!((row.get::<_, f64>("RATIO").unwrap() - 2.5).abs() < f64::EPSILON);
    assert_eq!(row.get::<_, String>("CODE").unwrap(), "ab ");
}

#[test]
fn null_and_the_empty_text_are_one() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (a VARCHAR2(10), n NUMBER)", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (:1, :2)", &[&"", &None::<i64>]).unwrap();
    connection.execute("INSERT INTO t VALUES ('', 1)", &[]).unwrap();
    let count =
        connection.query_row_as::<i64>("SELECT COUNT(*) FROM t WHERE a IS NULL", &[]).unwrap();
    assert_eq!(count, 2);
    let (a, n) = connection
        .query_row_as::<(Option<String>, Option<i64>)>(
            "SELECT a || '', n FROM t WHERE n IS NULL",
            &[],
        )
        .unwrap();
    assert_eq!((a, n), (None, None));
    let joined =
        connection.query_row_as::<String>("SELECT 'x' || a || 1 FROM t WHERE n = 1", &[]).unwrap();
    assert_eq!(joined, "x1");
}

#[test]
fn binds_are_found_by_name_and_by_position_and_missing_ones_are_told() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    let sum = "SELECT :a + :b * 10 + :A * 100 FROM dual";
    let mut statement = connection.statement(sum).build().unwrap();
    assert_eq!(statement.bind_names(), ["A", "B"]);
    statement.bind("a", &1).unwrap();
    statement.bind("B", &2).unwrap();
    assert_eq!(statement.query_row_as::<i64>(&[]).unwrap(), 121);
    let by_position =
        connection.query_row_as::<i64>("SELECT :1 + :2 * 10 + :3 * 100 FROM dual", &[&1, &2, &3]);
    assert_eq!(by_position.unwrap(), 321);
    let error = connection.query("SELECT :a FROM dual", &[]).err().unwrap();
    assert_eq!(code(&error), 1008);
}

#[test]
fn numbers_are_exact_whatever_their_size() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (n NUMBER)", &[]).unwrap();
    let numbers = [
        "0",
        "-1",
        "12345678901234567890123456789012345678",
        "0.000000000000000000001",
        "-99.99",
        "100",
    ];
    for number in numbers {
        connection.execute("INSERT INTO t VALUES (:1)", &[&number]).unwrap();
    }
    let rows = connection.query_as::<String>("SELECT n FROM t", &[]).unwrap();
    let told: Vec<String> = rows.map(Result::unwrap).collect();
    assert_eq!(told, numbers);
    assert_eq!(connection.query_row_as::<String>("SELECT 7 / 2 FROM dual", &[]).unwrap(), "3.5");
}

#[test]
fn transaction_goes_on_behind_a_statement_that_fails() {
    let Some(place) = Place::new() else { return };
    let (connection, other) = (place.connect(), place.connect());
    connection
        .execute(
            "CREATE TABLE t (id NUMBER CONSTRAINT t_pk PRIMARY KEY, a VARCHAR2(3) NOT NULL)",
            &[],
        )
        .unwrap();
    let count = |on: &Connection| on.query_row_as::<i64>("SELECT COUNT(*) FROM t", &[]).unwrap();
    let fails = |sql: &str| {
        let error = connection.execute(sql, &[]).unwrap_err();
        (code(&error), error.to_string())
    };
    connection.execute("INSERT INTO t VALUES (1, 'a')", &[]).unwrap();
    let (number, text) = fails("INSERT INTO t VALUES (1, 'b')");
    assert_eq!(number, 1);
    assert!(text.contains("T_PK"), "{text}");
    assert_eq!(fails("INSERT INTO t VALUES (2, NULL)").0, 1400);
    assert_eq!(fails("INSERT INTO t VALUES (3, '玩家')").0, 12899, "six bytes in three");
    assert_eq!(fails("INSERT INTO missing VALUES (3)").0, 942);
    let error = connection.query("SELECT b FROM t", &[]).err().unwrap();
    assert_eq!(code(&error), 904);
    assert_eq!(
        fails("CREATE TABLE t (a NUMBER)").0,
        955,
        "and the row was committed before, as Oracle does"
    );
    connection.execute("INSERT INTO t VALUES (4, 'c')", &[]).unwrap();
    assert_eq!((count(&connection), count(&other)), (2, 1));
    connection.rollback().unwrap();
    assert_eq!(count(&connection), 1);
    connection.execute("DELETE FROM t", &[]).unwrap();
    connection.commit().unwrap();
    assert_eq!(count(&other), 0);
}

#[test]
fn changes_tell_how_many_rows_they_met() {
    let Some(place) = Place::new() else { return };
    let mut connection = place.connect();
    connection.set_autocommit(true);
    connection.execute("CREATE TABLE t (id NUMBER, a NUMBER)", &[]).unwrap();
    let merge = "MERGE INTO t USING (SELECT :id AS id, :a AS a FROM dual) s ON (t.id = s.id)
        WHEN MATCHED THEN UPDATE SET t.a = s.a WHEN NOT MATCHED THEN INSERT (t.id, t.a) VALUES (s.id, s.a)";
    let affected = |sql: &str, values: &[&dyn oracle::sql_type::ToSql]| -> Result<u64, Error> {
        connection.execute(sql, values)?.row_count()
    };
    assert_eq!(affected(merge, &[&1, &5]).unwrap(), 1);
    assert_eq!(affected(merge, &[&1, &6]).unwrap(), 1);
    assert_eq!(affected("UPDATE t SET a = a + 1", &[]).unwrap(), 1);
    assert_eq!(affected("UPDATE t SET a = a + 1 WHERE id = 9", &[]).unwrap(), 0);
    let other = place.connect();
    assert_eq!(other.query_row_as::<i64>("SELECT a FROM t", &[]).unwrap(), 7);
}
