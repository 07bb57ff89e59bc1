//! The transaction of `gold.transfer` without a gateway: the same statements over single sqlx connections.
//! What a game server's own code would do, and the floor for the gateway's own cost.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Executor};

use crate::failure::Failure;
use crate::report::{Report, histogram};
use crate::{ByHandArgs, cpu};

const LEDGER: &str = "INSERT INTO gold_ledger (request_id, from_player, to_player, amount, created_at) \
    VALUES (?, ?, ?, ?, NOW(6))";
const DEBIT: &str = "UPDATE players SET gold = gold - ? WHERE id = ? AND gold >= ?";
const CREDIT: &str = "UPDATE players SET gold = gold + ? WHERE id = ?";
const AFTER: &str = "SELECT p.gold FROM players p WHERE p.id = ?";

/// Runs the measurement: one connection a task, one thread.
pub(crate) fn run(args: &ByHandArgs) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, measure(args))
}

struct Count {
    is_counting: Cell<bool>,
    is_over: Cell<bool>,
    done: Cell<u64>,
    errors: Cell<u64>,
    latency: RefCell<Histogram<u64>>,
}

async fn measure(args: &ByHandArgs) -> anyhow::Result<Report> {
    let options = MySqlConnectOptions::new()
        .host(&args.address.ip().to_string())
        .port(args.address.port())
        .username(&args.username)
        .password(&args.password)
        .database(&args.database)
        .disable_statement_logging();
    let count = Rc::new(Count {
        is_counting: Cell::new(false),
        is_over: Cell::new(false),
        done: Cell::new(0),
        errors: Cell::new(0),
        latency: RefCell::new(histogram()?),
    });
    let mut tasks = Vec::with_capacity(args.connections);
    for index in 0..args.connections {
        let connection = Box::pin(options.connect()).await.context("the database")?;
        let (count, args) = (Rc::clone(&count), args.clone());
        tasks.push(tokio::task::spawn_local(drive(connection, args, count, index as u64)));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let own = [std::process::id()];
    let cpu_before = cpu::seconds_of(&own)?;
    let started = Instant::now();
    count.is_counting.set(true);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    count.is_counting.set(false);
    let (elapsed, cpu_after) = (started.elapsed(), cpu::seconds_of(&own)?);
    count.is_over.set(true);
    for task in tasks {
        task.await??;
    }
    let latency = count.latency.borrow().clone();
    Ok(Report {
        answers: count.done.get(),
        errors: Some((Failure::Code(1), count.errors.get()))
            .filter(|(_, count)| *count > 0)
            .into_iter()
            .collect(),
        elapsed,
        cpu_seconds: cpu_after.zip(cpu_before).map(|(after, before)| after - before),
        grown_bytes: None,
        latency,
    })
}

async fn drive(
    mut connection: MySqlConnection,
    args: ByHandArgs,
    count: Rc<Count>,
    index: u64,
) -> anyhow::Result<()> {
    let mut seed = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut number = 0_u64;
    while !count.is_over.get() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        number += 1;
        let from = args.first + i64::try_from((seed >> 33) % args.count.unsigned_abs().max(1))?;
        let other = from - args.first + 1 + i64::try_from(number % 97)?;
        let to = args.first + other % args.count.max(2);
        let begun = Instant::now();
        let request = format!("{}{index:08x}{number:08x}", args.prefix);
        let done = transfer(&mut connection, &request, from, to).await;
        if done.is_err() {
            connection.execute("ROLLBACK").await?;
        }
        if count.is_counting.get() {
            count.done.set(count.done.get() + 1);
            count.errors.set(count.errors.get() + u64::from(done.is_err()));
            let nanos = u64::try_from(begun.elapsed().as_nanos())?;
            count.latency.borrow_mut().saturating_record(nanos);
        }
    }
    Ok(())
}

async fn transfer(
    connection: &mut MySqlConnection,
    request: &str,
    from: i64,
    to: i64,
) -> anyhow::Result<i64> {
    const AMOUNT: i64 = 1;
    connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
    connection.execute("START TRANSACTION").await?;
    let ledger = sqlx::query(LEDGER).bind(request).bind(from).bind(to).bind(AMOUNT);
    let ledger = ledger.execute(&mut *connection).await?.rows_affected();
    let debit = sqlx::query(DEBIT).bind(AMOUNT).bind(from).bind(AMOUNT);
    let debit = debit.execute(&mut *connection).await?.rows_affected();
    let credit = sqlx::query(CREDIT).bind(AMOUNT).bind(to);
    let credit = credit.execute(&mut *connection).await?.rows_affected();
    anyhow::ensure!((ledger, debit, credit) == (1, 1, 1), "a guard does not hold");
    let gold: i64 = sqlx::query_scalar(AFTER).bind(from).fetch_one(&mut *connection).await?;
    connection.execute("COMMIT").await?;
    Ok(gold)
}
