//! Both drivers ask the same of the same server, and give the same bytes or the same refusal.

use std::io::Write;
use std::sync::Arc;

use super::super::super::super::connection::{Connection, Statement};
use super::super::super::super::encode::Rows;
use super::super::super::super::fault::Failure;
use super::super::super::super::testing::Server;
use super::{Direct, column, read_of, shape};
use crate::catalog::{Scalar, Template, Type};
use crate::config::ConnectionConfig;

/// Every type of a column, with its least, its most and its odd values. `\N` is NULL in any of them.
const TYPES: &[(&str, &[&str])] = &[
    ("TINYINT(1)", &["0", "1", "2", "-128", "127"]),
    ("TINYINT(1) UNSIGNED", &["0", "1", "255"]),
    ("TINYINT", &["-128", "127"]),
    ("TINYINT UNSIGNED", &["0", "255"]),
    ("SMALLINT", &["-32768", "32767"]),
    ("SMALLINT UNSIGNED ZEROFILL", &["0", "65535"]),
    ("MEDIUMINT", &["-8388608", "8388607"]),
    ("MEDIUMINT UNSIGNED", &["0", "16777215"]),
    ("INT", &["-2147483648", "2147483647"]),
    ("INT UNSIGNED", &["0", "4294967295"]),
    ("BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    ("BIGINT UNSIGNED", &["0", "9223372036854775808", "18446744073709551615"]),
    ("FLOAT", &["0", "0.1", "-3.4e38", "1.5"]),
    ("FLOAT(7,3)", &["1234.567"]),
    ("DOUBLE", &["0", "0.1", "-1.7976931348623157e308", "5e-324"]),
    (
        "DECIMAL(65,30)",
        &[
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "-0.000000000000000000000000000001",
        ],
    ),
    ("DECIMAL(10,0)", &["-9999999999", "0"]),
    ("DECIMAL(5,2) UNSIGNED", &["999.99", "0"]),
    ("BIT(1)", &["b'0'", "b'1'"]),
    ("BIT(64)", &["b'0'", "0xffffffffffffffff", "0x0102030405060708"]),
    (
        "DATE",
        &[
            "'0000-00-00'",
            "'1000-01-01'",
            "'9999-12-31'",
            "'2024-02-29'",
            "'2024-00-00'",
            "'2024-02-00'",
        ],
    ),
    ("DATETIME", &["'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'"]),
    ("DATETIME(1)", &["'2024-02-29 12:34:56.7'"]),
    ("DATETIME(3)", &["'2024-02-29 12:34:56.789'"]),
    (
        "DATETIME(6)",
        &["'2024-02-29 12:34:56.789999'", "'2024-02-29 00:00:00.000001'", "'2024-00-00 00:00:01'"],
    ),
    (
        "TIMESTAMP NULL",
        &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'0000-00-00 00:00:00'"],
    ),
    ("TIMESTAMP(4) NULL", &["'2024-02-29 12:34:56.7890'"]),
    ("TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'"]),
    ("TIME(6)", &["'-00:00:00.000001'", "'23:59:59.999999'"]),
    ("YEAR", &["0", "1901", "2155"]),
    ("CHAR(20)", &["''", "'a '", "'\u{e9}\u{1F600}'"]),
    ("CHAR(20) CHARACTER SET latin1", &["'\u{e9}'"]),
    ("CHAR(20) COLLATE utf8mb4_bin", &["'\u{e9}'"]),
    ("VARCHAR(300)", &["''", "REPEAT('x', 250)", "REPEAT('x', 251)", "'1.50'", "'2024-02-29'"]),
    ("BINARY(4)", &["'ab'", "0xff00ff00"]),
    ("VARBINARY(300)", &["''", "0xfffe", "REPEAT('y', 300)"]),
    ("TINYTEXT", &["'t'"]),
    ("TEXT", &["''", "REPEAT('z', 65535)"]),
    ("MEDIUMTEXT", &["REPEAT('z', 65536)"]),
    ("LONGTEXT", &["REPEAT('w', 100000)"]),
    ("TINYBLOB", &["0x00"]),
    ("BLOB", &["0xc328"]),
    ("LONGBLOB", &["REPEAT(0xfe, 70000)"]),
    ("JSON", &["'{\"a\":[1,null]}'", "'null'"]),
    ("ENUM('red','green')", &["'red'", "'green'"]),
    ("SET('a','b')", &["''", "'a,b'"]),
    ("GEOMETRY", &["ST_GeomFromText('POINT(1 2)')"]),
    ("INET6", &["'::1'"]),
    ("UUID", &["'123e4567-e89b-12d3-a456-426655440000'"]),
];

fn declared() -> Vec<Type> {
    vec![
        Type::Bool,
        Type::Int,
        Type::Bigint,
        Type::Decimal { precision: 38, scale: 10 },
        Type::Float,
        Type::Str { chars_max: None },
        Type::Str { chars_max: Some(250) },
        Type::Bytes { bytes_max: None },
        Type::Bytes { bytes_max: Some(2) },
        Type::Date,
        Type::Timestamp { fraction: 3 },
        Type::Timestamp { fraction: 6 },
        Type::Json,
        Type::Enum(["red".into(), "green".into()].into()),
    ]
}

/// One body, or what is said of the failure.
type Outcome = Result<Vec<u8>, String>;

fn told(failure: &Failure) -> String {
    match failure {
        Failure::Refused(error) => format!("refused {} {error} {:?}", error.code(), source(error)),
        Failure::Unread(error) => format!("unread {} {error} {:?}", error.code(), source(error)),
        Failure::Lost(error) => format!("lost {error}"),
    }
}

fn source(error: &dyn std::error::Error) -> Option<String> {
    error.source().map(ToString::to_string)
}

/// The two drivers side by side.
struct Both {
    config: ConnectionConfig,
    driver: Connection,
    own: Direct,
}

impl Both {
    async fn ask(
        &mut self,
        statement: &Statement<'_>,
        template: &Arc<Template>,
        limits: (u32, u32),
    ) -> [Outcome; 2] {
        let rows = || Rows::new(shape(template, limits.0, limits.1));
        let mut theirs = rows();
        let fetched = self.driver.fetch(statement, &mut theirs).await;
        let theirs = fetched.map(|()| theirs.finish().body).map_err(|failure| told(&failure));
        let mut ours = rows();
        let fetched = self.own.fetch(statement, template, &mut ours);
        let ours = fetched.map(|()| ours.finish().body).map_err(|failure| told(&failure));
        if ours.as_ref().is_err_and(|told| told.starts_with("unread")) {
            // Its pool would close it, too.
            self.own = Direct::open(&self.config).await.expect("it answers");
        }
        [theirs, ours]
    }

    #[track_caller]
    fn check([theirs, ours]: [Outcome; 2], what: &str) -> Outcome {
        assert!(theirs == ours, "{what}:\n{theirs:?}\n{ours:?}");
        ours
    }
}

async fn both(name: &str) -> Option<(Both, tokio::sync::RwLockReadGuard<'static, ()>)> {
    let server = Server::get()?;
    let turn = server.share().await;
    let config = server.database(name).await;
    let driver = Connection::open(&config).await.expect("it answers");
    let own = Direct::open(&config).await.expect("it answers");
    Some((Both { config, driver, own }, turn))
}

#[tokio::test]
async fn value_of_any_type_has_the_same_bytes_or_the_same_fault_as_any_declared_type() {
    let Some((mut both, _turn)) = both("wire_types").await else { return };
    // Values that no session of the gateway's can write, but others can.
    both.driver.run_text("SET SESSION sql_mode = ''").await.expect("set");
    let mut good = 0;
    for (number, (ty, values)) in TYPES.iter().enumerate() {
        let table = format!("CREATE TABLE t{number} (id INT PRIMARY KEY, v {ty})");
        both.driver.run_text(&table).await.unwrap_or_else(|error| panic!("{ty}: {error}"));
        for (id, value) in ["NULL"].iter().chain(values.iter()).enumerate() {
            let insert = format!("INSERT INTO t{number} VALUES ({id}, {value})");
            let inserted = both.driver.run_text(&insert).await;
            inserted.unwrap_or_else(|error| panic!("{ty} {value}: {error}"));
        }
        for declared in declared() {
            let template = read_of(vec![column("V", declared.clone()), column("id", Type::Int)]);
            let sql: Arc<str> = format!("SELECT id, v FROM t{number} WHERE id = ?").into();
            for id in 0..=values.len() {
                let binds = vec![Scalar::Int(id.try_into().expect("few"))];
                let statement = Statement { sql: Arc::clone(&sql), binds };
                let outcomes = both.ask(&statement, &template, (10, 1 << 20)).await;
                let what = format!("{ty}, value {id}, as {declared:?}");
                good += usize::from(Both::check(outcomes, &what).is_ok());
            }
        }
    }
    assert!(good > 1000, "{good} were read at all");
}

#[tokio::test]
async fn bind_of_any_type_means_the_same_to_the_server() {
    let Some((mut both, _turn)) = both("wire_binds").await else { return };
    let text = "\u{e9}\u{1F600}'\\\0".repeat(40);
    let binds = [
        Scalar::Null,
        Scalar::Bool(true),
        Scalar::Bool(false),
        Scalar::Int(i64::MIN),
        Scalar::Int(i64::MAX),
        Scalar::Float(0.1),
        Scalar::Float(-f64::MAX),
        Scalar::Decimal("12345678901234567890.1234567890".into()),
        Scalar::Decimal("-0.5".into()),
        Scalar::Str("".into()),
        Scalar::Str("x".repeat(70_000).into()),
        Scalar::Str(text.into()),
        Scalar::Json("{\"a\":1}".into()),
        Scalar::Bytes(vec![0, 255, 39].into()),
        Scalar::Bytes(Vec::new().into()),
        Scalar::Date(19_782),
        Scalar::Date(-354_285),
        Scalar::Date(2_932_896),
        Scalar::Timestamp(1_709_210_096_789_999),
        Scalar::Timestamp(1_709_210_096_000_000),
        Scalar::Timestamp(1_709_164_800_000_000),
        Scalar::Timestamp(-30_610_224_000_000_000),
    ];
    let text = || column("v", Type::Str { chars_max: None });
    let template = read_of(vec![text(), column("kind", Type::Str { chars_max: None })]);
    for bind in &binds {
        // As text, and as what the server takes it for.
        let sql = "SELECT HEX(CAST(? AS CHAR)) AS v, COALESCE(COLLATION(?), '-') AS kind";
        let statement = Statement { sql: sql.into(), binds: vec![bind.clone(), bind.clone()] };
        let outcome = both.ask(&statement, &template, (10, 1 << 20)).await;
        assert!(Both::check(outcome, &format!("{bind:?}")).is_ok(), "{bind:?}");
    }
    // More binds than a byte of the bitmap has bits, NULL at each place.
    for nulls in 0..20 {
        let sql = format!("SELECT CONCAT_WS(','{}) AS v, '' AS kind", ", ?".repeat(20));
        let binds = (0..20).map(|at| if at == nulls { Scalar::Null } else { Scalar::Int(at) });
        let statement = Statement { sql: sql.into(), binds: binds.collect() };
        let outcome = both.ask(&statement, &template, (10, 1 << 20)).await;
        assert!(Both::check(outcome, "nulls").is_ok());
    }
}

#[tokio::test]
async fn results_of_every_size_end_the_same_way_and_leave_the_connection_usable() {
    let Some((mut both, _turn)) = both("wire_sizes").await else { return };
    let numbers = read_of(vec![column("seq", Type::Bigint)]);
    let long = read_of(vec![column("v", Type::Str { chars_max: None })]);
    let mut ask = async |sql: &str, template: &Arc<Template>, limits| {
        let outcomes = both.ask(&Statement::plain(sql), template, limits).await;
        Both::check(outcomes, sql)
    };
    for (sql, limits, is_good) in [
        ("SELECT seq FROM seq_1_to_5 WHERE seq > 9", (10, 1 << 20), true),
        ("SELECT seq FROM seq_1_to_10", (10, 1 << 20), true),
        ("SELECT seq FROM seq_1_to_11", (10, 1 << 20), false),
        ("SELECT seq FROM seq_1_to_900", (10, 1 << 20), false),
        ("SELECT seq FROM seq_1_to_5000", (5000, 1 << 20), true),
        ("SELECT seq FROM seq_1_to_5000", (5000, 1000), false),
        ("SELECT seq AS other FROM seq_1_to_2", (10, 1 << 20), false),
        ("SELECT seq FROM nowhere", (10, 1 << 20), false),
        ("SELECT seq FROM", (10, 1 << 20), false),
        (
            "SELECT seq FROM seq_1_to_9 WHERE seq < 9 OR (SELECT seq FROM seq_1_to_9) = 1",
            (10, 1 << 20),
            false,
        ),
        ("DO 1", (10, 1 << 20), true),
    ] {
        assert_eq!(ask(sql, &numbers, limits).await.is_ok(), is_good, "{sql}");
    }
    for (bytes, limit, is_good) in [
        (4096 - 4, 1 << 20, true),
        (64 << 10, 1 << 20, true),
        (1_000_000, 1 << 20, true),
        (1 << 20, 1 << 20, false),
        (9 << 20, 10 << 20, true),
    ] {
        let sql = format!("SELECT REPEAT('x', {bytes}) AS v FROM seq_1_to_1");
        assert_eq!(ask(&sql, &long, (10, limit)).await.is_ok(), is_good, "{bytes}");
    }
}

#[tokio::test]
async fn many_columns_are_found_by_name_with_each_of_them_null_in_turn() {
    let Some((mut both, _turn)) = both("wire_columns").await else { return };
    let names: Vec<String> = (0..130).map(|at| format!("c{at}")).collect();
    let columns = names.iter().rev().map(|name| column(name, Type::Int)).collect();
    let template = read_of(columns);
    for null in 0..130 {
        let value = |at: usize| if at == null { "NULL".to_owned() } else { at.to_string() };
        let list: Vec<String> = (0..130).map(|at| format!("{} AS c{at}", value(at))).collect();
        let sql = format!("SELECT {}", list.join(", "));
        let outcomes = both.ask(&Statement::plain(sql), &template, (10, 1 << 20)).await;
        assert!(Both::check(outcomes, "columns").is_ok());
    }
}

#[tokio::test]
async fn columns_that_change_under_a_prepared_statement_are_read_as_they_are_now() {
    let Some((mut both, _turn)) = both("wire_altered").await else { return };
    let template = read_of(vec![column("a", Type::Bigint), column("b", Type::Bigint)]);
    both.driver.run_text("CREATE TABLE t (a INT, b INT)").await.expect("made");
    both.driver.run_text("INSERT INTO t VALUES (1, 2)").await.expect("filled");
    let statement = Statement::plain("SELECT * FROM t");
    for change in [
        "DO 1",
        "ALTER TABLE t MODIFY a BIGINT UNSIGNED",
        "ALTER TABLE t MODIFY a INT AFTER b",
        "ALTER TABLE t ADD c INT FIRST",
        "ALTER TABLE t DROP b",
        "ALTER TABLE t ADD b DECIMAL(5,0) DEFAULT 7",
    ] {
        both.driver.run_text(change).await.expect("changed");
        for _ in 0..2 {
            let outcomes = both.ask(&statement, &template, (10, 1 << 20)).await;
            drop(Both::check(outcomes, change));
        }
    }
}

#[tokio::test]
async fn more_statements_than_are_kept_are_prepared_again_and_closed_on_the_server() {
    let Some((mut both, _turn)) = both("wire_statements").await else { return };
    let template = read_of(vec![column("v", Type::Bigint)]);
    for round in 0..3 {
        for number in 0..40 {
            let statement = Statement::plain(format!("SELECT {number} AS v"));
            let outcomes = both.ask(&statement, &template, (10, 1 << 20)).await;
            assert!(Both::check(outcomes, "statements").is_ok(), "{round}");
        }
    }
    let template = read_of(vec![column("VARIABLE_VALUE", Type::Str { chars_max: None })]);
    let sql = "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS \
               WHERE VARIABLE_NAME IN ('Com_stmt_close', 'Com_stmt_prepare') ORDER BY VARIABLE_NAME";
    let mut rows = Rows::new(shape(&template, 10, 1 << 20));
    assert!(both.own.fetch(&Statement::plain(sql), &template, &mut rows).is_ok());
    // 120 and this one were prepared; what the 16 that are kept have no room for was closed.
    let body = String::from_utf8_lossy(&rows.finish().body).into_owned();
    assert!(body.contains("105") && body.contains("121"), "{body:?}");
}

#[tokio::test]
async fn good_bye_and_a_ping_are_understood_by_the_server() {
    let Some((mut both, _turn)) = both("wire_quit").await else { return };
    both.own.session.ping();
    let ping = both.own.session.outbox();
    both.own.socket.write_all(&ping).expect("sent");
    both.own.receive().expect("answered");
    assert_eq!(both.own.session.pinged(), Some(true));
    let farewell = both.own.session.quit();
    both.own.socket.write_all(&farewell).expect("sent");
    assert!(both.own.receive().is_err(), "the server closes");
}
