//! What a call and an idle connection cost beyond the bare driver, on the stand-in. Run by hand, on a quiet machine:
//! `cargo test --release -p gateway --lib oracle::speed -- --ignored --nocapture --test-threads 1`
//!
//! Both ways run in this process over the same library, whose own cost is in both and goes out of the difference; so
//! the bare driver's session is told the same: a time limit of its calls, its module, action and client. Short
//! blocks of calls take turns: what else the machine does falls on all ways alike, and quartiles leave out the worst.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use oracle::sql_type::OracleType;

use super::super::super::connection::{Connection, Purpose, Statement};
use super::super::super::encode::{Rows, Shape};
use super::super::super::standin::Standin;
use super::super::super::testing::far;
use crate::catalog::{Column, Kind, Scalar, Type};
use crate::config::{ConnectionConfig, Endpoint};

/// Calls of a block, and blocks of each way.
const CALLS: u32 = 50;
const ROUNDS: usize = 200;
/// Idle connections.
const CONNECTIONS: usize = 400;
const BARE_CONNECTIONS: usize = 100;
/// What is to be reached. Of a call the figure moves with what else the machine does: what is asserted is that of the
/// calmest moments.
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

/// A way to make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the driver, over a session of which nothing is set.
    Plain,
    /// By the driver, over one that is set up as the gateway's.
    Bare,
    /// Through the gateway's connection.
    Here,
    /// By the driver, with another client identifier for each call.
    BareTold,
    /// Through the gateway's connection, for another request each.
    HereTold,
}

impl Way {
    const ALL: [Self; 5] = [Self::Plain, Self::Bare, Self::Here, Self::BareTold, Self::HereTold];
}

/// A connection for each way.
struct Bench<'c> {
    plain: oracle::Connection,
    bare: oracle::Connection,
    here: Connection,
    columns: &'c [Column],
    /// Calls so far, which number the requests.
    count: u64,
}

impl Bench<'_> {
    async fn call(&mut self, way: Way) {
        self.count += 1;
        match way {
            Way::Plain => bare_call(&self.plain, 1),
            Way::Bare => bare_call(&self.bare, 1),
            Way::Here => call(&mut self.here, self.columns, "req-1").await,
            Way::BareTold => {
                let request = format!("req-{}", self.count);
                self.bare.set_client_identifier(&request).expect("told");
                bare_call(&self.bare, 1);
            }
            Way::HereTold => {
                call(&mut self.here, self.columns, &format!("req-{}", self.count)).await;
            }
        }
    }

    /// Microseconds of CPU that each of a block of calls takes.
    async fn block(&mut self, way: Way) -> f64 {
        // What another way told the session is told anew.
        self.call(way).await;
        let before = cpu();
        for _ in 0..CALLS {
            self.call(way).await;
        }
        cpu().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(CALLS)
    }
}

fn bare(config: &ConnectionConfig) -> oracle::Connection {
    let Endpoint::Oracle { connect, username, password, .. } = &config.endpoint else {
        panic!("an Oracle")
    };
    let mut connector = oracle::Connector::new(&**username, password.expose(), &**connect);
    connector.stmt_cache_size(config.statement_count_max);
    connector.connect().expect("it answers")
}

/// The same, and told what the gateway tells its own.
fn set_up(config: &ConnectionConfig) -> oracle::Connection {
    let connection = bare(config);
    connection.set_call_timeout(Some(Duration::from_mins(1))).expect("set");
    connection.set_module("gateway").expect("set");
    connection.set_action("game1.thing.get").expect("set");
    connection.set_client_identifier("req-1").expect("set");
    connection
}

fn bare_call(connection: &oracle::Connection, id: i64) {
    let mut statement =
        connection.statement(SQL).fetch_array_size(3).prefetch_rows(3).build().expect("prepared");
    statement.bind(1, &(&id, &OracleType::Int64)).expect("bound");
    let rows = statement.query_as::<(i64, String, String)>(&[]).expect("run");
    assert_eq!(rows.filter_map(Result::ok).count(), 1);
}

async fn call(connection: &mut Connection, columns: &[Column], request: &str) {
    let shape = Shape {
        kind: Kind::One,
        columns,
        version_column: None,
        row_count_max: 1,
        bytes_max: 4096,
        keyset: &[],
    };
    let mut rows = Rows::new(shape);
    let purpose = Purpose { limit: far(), game: "game1", op: "thing.get", request };
    connection.serve(Some(&purpose));
    let statement = Statement { sql: SQL.into(), binds: vec![Scalar::Int(1)] };
    connection.fetch(&statement, &mut rows).await.expect("run");
    assert!(!rows.finish().body.is_empty());
}

/// The least, the lower quartile and the median.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 4], values[values.len() / 2]]
}

fn columns() -> [Column; 3] {
    [
        ("id", Type::Bigint),
        ("name", Type::Str { chars_max: None }),
        ("amount", Type::Decimal { precision: 12, scale: 2 }),
    ]
    .map(|(name, ty)| Column {
        name: name.into(),
        ty,
        json_string: false,
        empty_as_null: false,
    })
}

async fn bench<'c>(config: &ConnectionConfig, columns: &'c [Column]) -> Bench<'c> {
    let plain = bare(config);
    for sql in [
        "CREATE TABLE thing (id NUMBER(19) PRIMARY KEY, name VARCHAR2(40), amount NUMBER(12,2))",
        "INSERT INTO thing VALUES (1, 'a name', 12.5)",
    ] {
        plain.execute(sql, &[]).expect(sql);
    }
    plain.commit().expect("committed");
    let here = Connection::open(config).await.expect("it answers");
    Bench { plain, bare: set_up(config), here, columns, count: 0 }
}

#[tokio::test]
#[ignore = "a measurement, for a release build and a quiet machine"]
async fn call_costs_little_cpu_beyond_the_bare_driver_on_the_stand_in() {
    let Some(standin) = Standin::get() else { return };
    let columns = columns();
    let mut bench = bench(&standin.database("ora_speed_call"), &columns).await;
    let mut costs = Way::ALL.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for place in 0..Way::ALL.len() {
            // There and back, so that no way always comes behind the same one.
            let place = if round % 2 == 0 { place } else { Way::ALL.len() - 1 - place };
            costs[place].push(bench.block(Way::ALL[place]).await);
        }
    }
    println!("us of CPU a call: least, lower quartile, median of {ROUNDS} blocks of {CALLS}");
    for (way, costs) in Way::ALL.iter().zip(&costs) {
        println!("{:9} {:6.1?}", format!("{way:?}"), spread(costs.clone()));
    }
    println!(
        "beyond the bare driver: between the leasts, the lower quartiles, the medians; the median round"
    );
    let beyond = |name: &str, one: Way, other: Way| {
        let (one, other) = (&costs[one as usize], &costs[other as usize]);
        let (more, less) = (spread(one.clone()), spread(other.clone()));
        let [least, quartile, middle] = [0, 1, 2].map(|place| more[place] - less[place]);
        let rounds = one.iter().zip(other).map(|(one, other)| one - other).collect();
        let round = spread(rounds)[2];
        println!("{name:14} {least:6.1} {quartile:6.1} {middle:6.1} {round:6.1}");
        least
    };
    beyond("a request each", Way::HereTold, Way::BareTold);
    let calmest = beyond("a call", Way::Here, Way::Bare);
    println!("goal: {CALL_MICROS_MAX} us");
    assert!(calmest <= CALL_MICROS_MAX, "{calmest:.1} us");
}

/// For a counter of instructions or system calls: `SPEED_WAY=here SPEED_CALLS=2000`, and the same with another count.
/// The difference is that of so many calls.
#[tokio::test]
#[ignore = "a run for a profiler"]
async fn calls_of_one_way_on_the_stand_in() {
    let Some(standin) = Standin::get() else { return };
    let told = |name: &str, or: &str| std::env::var(name).unwrap_or_else(|_unset| or.into());
    let wanted = told("SPEED_WAY", "here").to_lowercase();
    let way = Way::ALL.into_iter().find(|way| format!("{way:?}").to_lowercase() == wanted);
    let columns = columns();
    let mut bench = bench(&standin.database("ora_speed_one"), &columns).await;
    let way = way.expect("a way");
    for _ in 0..told("SPEED_CALLS", "200").parse::<u32>().expect("a count") {
        bench.call(way).await;
    }
}

#[tokio::test]
#[ignore = "a measurement, for a release build and a quiet machine"]
async fn idle_connection_costs_little_memory_beyond_the_bare_driver_on_the_stand_in() {
    let Some(standin) = Standin::get() else { return };
    let config = standin.database("ora_speed_idle");
    let mut connections = vec![Connection::open(&config).await.expect("it answers")];
    let start = resident_kib();
    let opened: Vec<_> = (0..BARE_CONNECTIONS).map(|_| bare(&config)).collect();
    let middle = resident_kib();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(&config).await.expect("it answers"));
    }
    let end = resident_kib();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let each = |kib: f64, count: usize| kib / count as f64;
    let (without, with) = (each(middle - start, BARE_CONNECTIONS), each(end - middle, CONNECTIONS));
    println!("KiB an idle connection, bare: {without:.1}, here: {with:.1}");
    println!("adapter: {:.1} KiB a connection; goal: {CONNECTION_KIB_MAX}", with - without);
    drop(opened);
    assert!(with - without <= CONNECTION_KIB_MAX, "{:.1} KiB", with - without);
}
