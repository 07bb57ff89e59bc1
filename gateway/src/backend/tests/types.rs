//! Every declared type there and back, to the same bytes on both databases.

use super::super::connection::{Connection, Statement};
use super::super::encode::{Rows, Shape};
use super::super::fault::Failure;
use super::super::testing::{Server, sqlite_config};
use crate::catalog::{Column, Kind, Scalar, Type};

const MYSQL_TABLE: &str = "CREATE TABLE v (
    id INT PRIMARY KEY, truth TINYINT(1), small INT, big BIGINT, money DECIMAL(30,4), ratio DOUBLE,
    name VARCHAR(200) COLLATE utf8mb4_bin, word ENUM('red','green'), raw VARBINARY(300), day DATE,
    moment DATETIME(6), doc JSON)";
const SQLITE_TABLE: &str = "CREATE TABLE v (
    id INTEGER PRIMARY KEY, truth INTEGER, small INTEGER, big INTEGER, money TEXT, ratio REAL,
    name TEXT, word TEXT, raw BLOB, day TEXT, moment TEXT, doc TEXT)";
const INSERT: &str = "INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

fn column(name: &str, ty: Type) -> Column {
    Column { name: name.into(), ty, json_string: false, empty_as_null: false }
}

/// In another order than the tables'.
fn columns() -> Vec<Column> {
    vec![
        column("moment", Type::Timestamp { fraction: 3 }),
        column("day", Type::Date),
        column("id", Type::Int),
        column("truth", Type::Bool),
        column("small", Type::Int),
        column("big", Type::Bigint),
        column("money", Type::Decimal { precision: 30, scale: 4 }),
        column("ratio", Type::Float),
        column("name", Type::Str { chars_max: Some(200) }),
        column("word", Type::Enum(["red".into(), "green".into()].into())),
        column("raw", Type::Bytes { bytes_max: Some(300) }),
        column("doc", Type::Json),
    ]
}

/// Rows with the least, the most and the empty of each type, and one of NULLs.
fn rows() -> Vec<Vec<Scalar<'static>>> {
    let row = |id: i64, truth, small: i64, big, money: &'static str, ratio| {
        let (money, ratio) = (Scalar::Decimal(money.into()), Scalar::Float(ratio));
        vec![
            Scalar::Int(id),
            Scalar::Bool(truth),
            Scalar::Int(small),
            Scalar::Int(big),
            money,
            ratio,
        ]
    };
    let rest = |name: String, word: &'static str, raw: Vec<u8>, day, micros, doc: &'static str| {
        let (name, word) = (Scalar::Str(name.into()), Scalar::Str(word.into()));
        let (raw, day) = (Scalar::Bytes(raw.into()), Scalar::Date(day));
        vec![name, word, raw, day, Scalar::Timestamp(micros), Scalar::Json(doc.into())]
    };
    let most = "99999999999999999999999999.9999";
    let least = "-99999999999999999999999999.9999";
    vec![
        [
            row(1, true, i64::from(i32::MAX), i64::MAX, most, f64::MAX),
            rest(
                "é\u{1F600}'\\\0".repeat(40),
                "red",
                vec![0xff; 300],
                19_782,
                1_709_210_096_789_999,
                "{}",
            ),
        ]
        .concat(),
        [
            row(2, false, i64::from(i32::MIN), i64::MIN, least, -0.1),
            // 1000-01-01: the first day that MySQL promises to hold.
            rest(String::new(), "green", Vec::new(), -354_285, -30_610_224_000_000_000, "[1]"),
        ]
        .concat(),
        [
            row(3, false, 0, 0, "0.0000", 0.0),
            rest(" x ".into(), "red", vec![0], 2_932_896, 253_402_300_799_000_000, "null"),
        ]
        .concat(),
        [vec![Scalar::Int(4)], vec![Scalar::Null; 11]].concat(),
    ]
}

fn shape(columns: &[Column]) -> Shape<'_> {
    let (kind, row_count_max, bytes_max) = (Kind::Many, 100, 1 << 20);
    Shape { kind, columns, version_column: None, row_count_max, bytes_max, keyset: &[] }
}

async fn fetch(
    connection: &mut Connection,
    sql: &str,
    columns: &[Column],
) -> Result<Vec<u8>, Failure> {
    let mut rows = Rows::new(shape(columns));
    connection.fetch(&Statement::plain(sql), &mut rows).await?;
    Ok(rows.finish().body)
}

async fn fill(connection: &mut Connection, table: &str) {
    connection.run_text(table).await.expect("a new database");
    for binds in rows() {
        let statement = Statement { sql: INSERT.into(), binds };
        let affected = connection.execute(&statement).await.expect("good values");
        assert_eq!(affected, 1);
    }
}

#[tokio::test]
async fn every_type_gives_the_same_bytes_on_both_databases() {
    const QUERY: &str = "SELECT ID, truth, small, big, money, ratio, name, word, raw, day, moment, doc \
                         FROM v ORDER BY id";
    let folder = tempfile::tempdir().expect("a folder");
    let mut sqlite = Connection::open(&sqlite_config(folder.path())).await.expect("a file");
    fill(&mut sqlite, SQLITE_TABLE).await;
    let stored = fetch(&mut sqlite, QUERY, &columns()).await.expect("declared forms");
    let text = String::from_utf8_lossy(&stored);
    assert!(text.contains("2024-02-29T12:34:56.789Z") && text.contains("9999-12-31T23:59:59.000Z"));
    let nils = [&[0xa2][..], b"id\x04", &[0xa5], b"truth\xc0"].concat();
    assert!(stored.windows(nils.len()).any(|window| window == nils));

    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let mut mysql = Connection::open(&server.database("types").await).await.expect("it answers");
    fill(&mut mysql, MYSQL_TABLE).await;
    let same = fetch(&mut mysql, QUERY, &columns()).await.expect("declared forms");
    assert_eq!(String::from_utf8_lossy(&same), text);
    assert_eq!(same, stored);
}

/// Sums of integers are decimals in MySQL, counts of rows are not, a text of a view may be anything.
#[tokio::test]
async fn expressions_take_their_declared_form_on_both_databases() {
    const QUERY: &str = "SELECT SUM(small) AS total, COUNT(*) AS rows_all, MAX(name) AS longest, \
                         id > 1 AS later FROM v WHERE id = 3 GROUP BY id";
    let columns = [
        column("total", Type::Bigint),
        column("rows_all", Type::Int),
        column("longest", Type::Str { chars_max: None }),
        column("later", Type::Bool),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut sqlite = Connection::open(&sqlite_config(folder.path())).await.expect("a file");
    fill(&mut sqlite, SQLITE_TABLE).await;
    let stored = fetch(&mut sqlite, QUERY, &columns).await.expect("declared forms");
    assert_eq!(stored, b"\x91\x84\xa5total\x00\xa8rows_all\x01\xa7longest\xa3 x \xa5later\xc3");
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let mut mysql = Connection::open(&server.database("sums").await).await.expect("it answers");
    fill(&mut mysql, MYSQL_TABLE).await;
    assert_eq!(fetch(&mut mysql, QUERY, &columns).await.expect("declared forms"), stored);
}

#[tokio::test]
async fn column_that_is_missing_or_of_another_form_is_named_and_the_connection_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut sqlite = Connection::open(&sqlite_config(folder.path())).await.expect("a file");
    check_faults(&mut sqlite, SQLITE_TABLE).await;
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let mut mysql = Connection::open(&server.database("faults").await).await.expect("it answers");
    check_faults(&mut mysql, MYSQL_TABLE).await;
}

async fn check_faults(connection: &mut Connection, table: &str) {
    fill(connection, table).await;
    for (name, ty) in [("nothing", Type::Int), ("name", Type::Int), ("big", Type::Int)] {
        let columns = [column(name, ty)];
        let failed = fetch(connection, "SELECT name, big FROM v ORDER BY id", &columns).await;
        let Err(Failure::Refused(error)) = failed else { panic!("{name}: {failed:?}") };
        assert!(error.to_string().contains(name), "{error}");
    }
    let columns = [column("id", Type::Int)];
    assert!(fetch(connection, "SELECT id FROM v", &columns).await.is_ok());
}

#[tokio::test]
async fn unsigned_numbers_keep_their_size_and_decimals_compare_exactly_in_mysql() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let mut mysql = Connection::open(&server.database("numbers").await).await.expect("it answers");
    mysql
        .run_text(
            "CREATE TABLE n (tiny TINYINT(1) UNSIGNED, single FLOAT, big BIGINT UNSIGNED, exact DECIMAL(30,2), \
             bits BIT(9))",
        )
        .await
        .expect("a new table");
    mysql
        .run_text("INSERT INTO n VALUES (200, 0.1, 18446744073709551615, 12345678901234567890.12, b'100000001')")
        .await
        .expect("a row");
    let columns = [column("tiny", Type::Int), column("bits", Type::Int)];
    let body = fetch(&mut mysql, "SELECT * FROM n", &columns).await.expect("fits");
    assert_eq!(body, b"\x91\x82\xa4tiny\xcc\xc8\xa4bits\xcd\x01\x01");
    let body = fetch(&mut mysql, "SELECT single FROM n", &[column("single", Type::Float)]).await;
    let tenth = [&b"\x91\x81\xa6single\xcb"[..], &0.1_f64.to_be_bytes()].concat();
    assert_eq!(body.expect("fits"), tenth);
    let too_big = fetch(&mut mysql, "SELECT big FROM n", &[column("big", Type::Bigint)]).await;
    assert!(matches!(too_big, Err(Failure::Refused(_))));
    for (text, found) in [("12345678901234567890.12", "1"), ("12345678901234567890.13", "0")] {
        let statement = Statement {
            sql: "SELECT COUNT(*) FROM n WHERE exact = ?".into(),
            binds: vec![Scalar::Decimal(text.into())],
        };
        let rows = mysql.fetch_texts(&statement).await.expect("a count");
        assert_eq!(rows, [[Some(found.to_owned())]], "{text}");
    }
}

/// A server may be set to commit nothing by itself, or to begin a transaction behind each COMMIT.
#[tokio::test]
async fn statement_of_its_own_is_committed_whatever_the_server_s_default_is() {
    let Some(server) = Server::get() else { return };
    let Some(_turn) = server.own().await else { return };
    let config = server.database("commits").await;
    let mut admin = Connection::open(&config).await.expect("it answers");
    admin.run_text("CREATE TABLE s (n INT)").await.expect("a table");
    admin.run_text("SET GLOBAL autocommit = 0, GLOBAL completion_type = 1").await.expect("set");
    let mut mysql = Connection::open(&config).await.expect("it answers");
    admin.run_text("SET GLOBAL autocommit = 1, GLOBAL completion_type = 0").await.expect("set");
    let mut insert = async |mysql: &mut Connection| {
        let done = mysql.execute(&Statement::plain("INSERT INTO s VALUES (1)")).await;
        done.expect("good SQL");
        let seen = admin.fetch_texts(&Statement::plain("SELECT COUNT(*) FROM s")).await;
        seen.expect("a count").concat()
    };
    assert_eq!(insert(&mut mysql).await, [Some("1".to_owned())]);
    mysql.begin(None).await.expect("begun");
    mysql.commit().await.expect("committed");
    assert_eq!(insert(&mut mysql).await, [Some("2".to_owned())]);
}

#[tokio::test]
async fn session_of_mysql_is_strict_and_in_utc_whatever_the_server_is() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let mut mysql = Connection::open(&server.database("strict").await).await.expect("it answers");
    mysql.run_text("CREATE TABLE s (name VARCHAR(2), day DATE, n TINYINT)").await.expect("a table");
    for values in ["('abc', NULL, 1)", "(NULL, '0000-00-00', 1)", "(NULL, NULL, 128)"] {
        let sql = format!("INSERT INTO s VALUES {values}");
        let refused = mysql.execute(&Statement::plain(sql)).await;
        assert!(matches!(refused, Err(Failure::Refused(_))), "{values}: {refused:?}");
    }
    let question =
        Statement::plain("SELECT @@session.time_zone, 'a' || 'b', @@character_set_client");
    let rows = mysql.fetch_texts(&question).await.expect("a row");
    let said: Vec<_> = rows[0].iter().map(|text| text.as_deref().unwrap_or("")).collect();
    assert_eq!(said, ["+00:00", "ab", "utf8mb4"]);
}
