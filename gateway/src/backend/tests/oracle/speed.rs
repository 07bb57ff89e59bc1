//! What a call and an idle connection cost beyond the bare driver, on the stand-in. Run by hand, on a quiet machine:
//! `cargo test --release -p gateway --lib oracle::speed -- --ignored --nocapture`
//!
//! Both ways run in this process over the same library, whose own cost is in both and goes out of the difference.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use oracle::sql_type::OracleType;

use super::super::super::connection::{Connection, Purpose, Statement};
use super::super::super::encode::{Rows, Shape};
use super::super::super::standin::Standin;
use super::super::super::testing::far;
use crate::catalog::{Column, Kind, Scalar, Type};
use crate::config::{ConnectionConfig, Endpoint};

/// Calls of a run, and runs of each way.
const CALLS: u32 = 5_000;
const ROUNDS: usize = 7;
/// Idle connections.
const CONNECTIONS: usize = 400;
const BARE_CONNECTIONS: usize = 100;
/// What is to be reached. Of a call the figure moves with what else the machine does, so it is told and not asserted.
const CALL_MICROS_MAX: f64 = 15.0;
const CONNECTION_KIB_MAX: f64 = 64.0;

const SQL: &str = "SELECT id, name, amount FROM thing WHERE id = :b1";

/// CPU that this process has used.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("Linux");
    let time = |value: nix::sys::time::TimeVal| {
        let (seconds, micros) = (value.tv_sec(), value.tv_usec());
        Duration::from_micros(u64::try_from(seconds * 1_000_000 + micros).expect("positive"))
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// Memory that this process has, in KiB.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a figure");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

fn bare(config: &ConnectionConfig) -> oracle::Connection {
    let Endpoint::Oracle { connect, username, password, .. } = &config.endpoint else {
        panic!("an Oracle")
    };
    let mut connector = oracle::Connector::new(&**username, password.expose(), &**connect);
    connector.stmt_cache_size(config.statement_count_max);
    connector.connect().expect("it answers")
}

fn bare_call(connection: &oracle::Connection, id: i64) {
    let mut statement =
        connection.statement(SQL).fetch_array_size(3).prefetch_rows(3).build().expect("prepared");
    statement.bind(1, &(&id, &OracleType::Int64)).expect("bound");
    let rows = statement.query_as::<(i64, String, String)>(&[]).expect("run");
    assert_eq!(rows.filter_map(Result::ok).count(), 1);
}

async fn call(connection: &mut Connection, columns: &[Column], id: i64) {
    let shape = Shape {
        kind: Kind::One,
        columns,
        version_column: None,
        row_count_max: 1,
        bytes_max: 4096,
        keyset: &[],
    };
    let mut rows = Rows::new(shape);
    let purpose = Purpose { limit: far(), game: "game1", op: "thing.get", request: "req-1" };
    connection.serve(Some(&purpose));
    let statement = Statement { sql: SQL.into(), binds: vec![Scalar::Int(id)] };
    connection.fetch(&statement, &mut rows).await.expect("run");
    assert!(!rows.finish().body.is_empty());
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test]
#[ignore = "a measurement, for a release build and a quiet machine"]
async fn call_and_idle_connection_cost_little_beyond_the_bare_driver_on_the_stand_in() {
    let Some(standin) = Standin::get() else { return };
    let config = standin.database("ora_speed");
    let direct = bare(&config);
    for sql in [
        "CREATE TABLE thing (id NUMBER(19) PRIMARY KEY, name VARCHAR2(40), amount NUMBER(12,2))",
        "INSERT INTO thing VALUES (1, 'a name', 12.5)",
    ] {
        direct.execute(sql, &[]).expect(sql);
    }
    direct.commit().expect("committed");
    let columns = [
        ("id", Type::Bigint),
        ("name", Type::Str { chars_max: None }),
        ("amount", Type::Decimal { precision: 12, scale: 2 }),
    ]
    .map(|(name, ty)| Column {
        name: name.into(),
        ty,
        json_string: false,
        empty_as_null: false,
    });
    let mut adapted = Connection::open(&config).await.expect("it answers");
    let (mut bare_costs, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = cpu();
        for _ in 0..CALLS {
            bare_call(&direct, 1);
        }
        let between = cpu();
        for _ in 0..CALLS {
            call(&mut adapted, &columns, 1).await;
        }
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(CALLS);
        bare_costs.push(each(between.saturating_sub(before)));
        costs.push(each(cpu().saturating_sub(between)));
    }
    println!("us of CPU a call, bare: {bare_costs:.1?}");
    println!("us of CPU a call, here: {costs:.1?}");
    let differences = costs.iter().zip(&bare_costs).map(|(one, other)| one - other).collect();
    let call_micros = median(differences);

    let start = resident_kib();
    let opened: Vec<_> = (0..BARE_CONNECTIONS).map(|_| bare(&config)).collect();
    let middle = resident_kib();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(&config).await.expect("it answers"));
    }
    let end = resident_kib();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let each = |kib: f64, count: usize| kib / count as f64;
    let (without, with) = (each(middle - start, BARE_CONNECTIONS), each(end - middle, CONNECTIONS));
    println!("KiB an idle connection, bare: {without:.1}, here: {with:.1}");
    println!("adapter: {call_micros:.1} us a call, {:.1} KiB a connection", with - without);
    drop(opened);
    println!("goals: {CALL_MICROS_MAX} us, {CONNECTION_KIB_MAX} KiB");
    assert!(with - without <= CONNECTION_KIB_MAX, "{:.1} KiB", with - without);
}
