//! Many rows at once, values that come back, and large objects.

use oracle::sql_type::{Blob, Clob, Lob as _, OracleType};
use std::io::{Read as _, Write as _};

use crate::place::{Place, code};

#[test]
fn batch_of_rows_goes_in_whole_and_counts_each() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER PRIMARY KEY, a VARCHAR2(20))", &[]).unwrap();
    let mut batch = connection.batch("INSERT INTO t VALUES (:1, :2)", 250).build().unwrap();
    for id in 0..250 {
        batch.append_row(&[&id, &format!("row {id}")]).unwrap();
    }
    batch.execute().unwrap();
    drop(batch);
    connection.commit().unwrap();
    let counted =
        connection.query_row_as::<(i64, i64)>("SELECT COUNT(*), SUM(id) FROM t", &[]).unwrap();
    assert_eq!(counted, (250, 249 * 250 / 2));

    let mut batch =
        connection.batch("UPDATE t SET a = :1 WHERE id < :2", 3).with_row_counts().build().unwrap();
    for below in [0, 5, 250] {
        batch.append_row(&[&"x", &below]).unwrap();
    }
    batch.execute().unwrap();
    assert_eq!(batch.row_counts().unwrap(), [0, 5, 250]);
}

#[test]
fn batch_tells_its_rows_that_failed_and_keeps_the_others() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER PRIMARY KEY, a VARCHAR2(3))", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (7, 'old')", &[]).unwrap();
    let mut batch = connection
        .batch("INSERT INTO t VALUES (:1, :2)", 250)
        .with_batch_errors()
        .with_row_counts()
        .build()
        .unwrap();
    batch.set(2, &OracleType::Varchar2(10)).unwrap();
    for id in 0..250 {
        batch.append_row(&[&id, if id == 100 { &"long" } else { &"new" }]).unwrap();
    }
    let error = batch.execute().unwrap_err();
    let failed: Vec<(u32, i32)> =
        error.batch_errors().unwrap().iter().map(|error| (error.offset(), error.code())).collect();
    assert_eq!(failed, [(7, 1), (100, 12899)]);
    let counts = batch.row_counts().unwrap();
    assert_eq!((counts.len(), counts.iter().sum::<u64>(), counts[7]), (250, 248, 0));
    drop(batch);
    assert_eq!(connection.query_row_as::<i64>("SELECT COUNT(*) FROM t", &[]).unwrap(), 249);
}

#[test]
fn batch_that_is_not_to_go_on_stops_at_its_first_failure_and_keeps_what_was_before() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER PRIMARY KEY)", &[]).unwrap();
    let mut batch = connection.batch("INSERT INTO t VALUES (:1)", 10).build().unwrap();
    for id in [1, 2, 2, 3] {
        batch.append_row(&[&id]).unwrap();
    }
    assert_eq!(code(&batch.execute().unwrap_err()), 1);
    drop(batch);
    assert_eq!(connection.query_row_as::<i64>("SELECT COUNT(*) FROM t", &[]).unwrap(), 2);
}

#[test]
fn changed_rows_give_their_values_back() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER, a VARCHAR2(20), n NUMBER(5,2))", &[]).unwrap();
    connection.execute("CREATE SEQUENCE s START WITH 41", &[]).unwrap();
    let insert = "INSERT INTO t VALUES (s.NEXTVAL, :a, :n) RETURNING id, a || '!' INTO :id, :b";
    for id in [41_i64, 42] {
        let mut statement = connection.statement(insert).build().unwrap();
        statement
            .execute_named(&[
                ("a", &"x"),
                ("n", &1.5),
                ("id", &OracleType::Int64),
                ("b", &OracleType::Varchar2(30)),
            ])
            .unwrap();
        assert_eq!(statement.returned_values::<_, i64>("id").unwrap(), [id]);
        assert_eq!(statement.returned_values::<_, String>("b").unwrap(), ["x!"]);
    }
    let mut statement = connection
        .statement("UPDATE t SET n = n + 1 RETURNING id, n INTO :id, :n")
        .build()
        .unwrap();
    statement
        .execute_named(&[("id", &OracleType::Int64), ("n", &OracleType::Number(0, 0))])
        .unwrap();
    assert_eq!(statement.row_count().unwrap(), 2);
    let mut ids = statement.returned_values::<_, i64>("id").unwrap();
    ids.sort_unstable();
    assert_eq!(ids, [41, 42]);
    assert_eq!(statement.returned_values::<_, String>("n").unwrap(), ["2.5", "2.5"]);
    let mut statement =
        connection.statement("DELETE FROM t WHERE id = 0 RETURNING id INTO :id").build().unwrap();
    statement.execute_named(&[("id", &OracleType::Int64)]).unwrap();
    assert!(statement.returned_values::<_, i64>("id").unwrap().is_empty());
}

#[test]
fn large_objects_and_bytes_come_back_whole() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER, c CLOB, b BLOB, r RAW(4))", &[]).unwrap();
    let text = "玩家 plays on. ".repeat(9_000);
    let bytes: Vec<u8> =
        (0..100_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    connection
        .execute("INSERT INTO t VALUES (1, :1, :2, :3)", &[&text, &bytes, &vec![0_u8, 255, 7]])
        .unwrap();
    connection.execute("INSERT INTO t VALUES (2, NULL, NULL, NULL)", &[]).unwrap();
    let select = "SELECT c, b, r FROM t WHERE id = :1";
    let row = connection.query_row(select, &[&1]).unwrap();
    assert_eq!(row.column_info()[0].oracle_type(), &OracleType::CLOB);
    assert_eq!(row.column_info()[1].oracle_type(), &OracleType::BLOB);
    assert_eq!(row.column_info()[2].oracle_type(), &OracleType::Raw(4));
    assert_eq!(row.get::<_, String>(0).unwrap(), text);
    assert_eq!(row.get::<_, Vec<u8>>(1).unwrap(), bytes);
    assert_eq!(row.get::<_, Vec<u8>>(2).unwrap(), [0, 255, 7]);
    let row = connection
        .query_row_as::<(Option<String>, Option<Vec<u8>>)>("SELECT c, b FROM t WHERE id = 2", &[]);
    assert_eq!(row.unwrap(), (None, None));

    let mut statement = connection.statement(select).lob_locator().build().unwrap();
    let row = statement.query_row(&[&1]).unwrap();
    let (clob, mut blob) = (row.get::<_, Clob>(0).unwrap(), row.get::<_, Blob>(1).unwrap());
    assert_eq!(clob.size().unwrap(), u64::try_from(text.chars().count()).unwrap());
    let mut read = String::new();
    // The driver reads whole characters only, so into no buffer that is too small for one.
    std::io::BufReader::with_capacity(4096, clob).read_to_string(&mut read).unwrap();
    assert_eq!(read, text);
    let mut read = Vec::new();
    blob.read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes);

    let mut clob = Clob::new(&connection).unwrap();
    clob.write_all("written 一".as_bytes()).unwrap();
    connection.execute("UPDATE t SET c = :1 WHERE id = 2", &[&clob]).unwrap();
    let written = connection.query_row_as::<String>("SELECT c FROM t WHERE id = 2", &[]).unwrap();
    assert_eq!(written, "written 一");
    let error = connection.execute("UPDATE t SET r = :1", &[&vec![0_u8; 5]]).unwrap_err();
    assert_eq!(code(&error), 12899);
}
