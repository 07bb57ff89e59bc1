//! Orders while the database hangs or is away, and while the disk is full: acknowledged or refused, never lost.

use std::collections::BTreeSet;
use std::process::Command;

use gateway_tests::{
    Caller, Database, Gateway, Outcome, Server, Setup, Signal, is_installed, sample, wait_until,
};
use serde_json::json;

gateway_tests::on_every_server! {
    orders_are_acknowledged_while_the_database_hangs_and_none_is_lost,
    orders_beyond_the_bound_are_refused_while_the_database_is_away_and_taken_when_it_is_back,
    full_disk_refuses_orders_and_takes_them_again_when_there_is_room,
}

const BACKLOG_FULL: u16 = 1503;
const DISK_FULL: u16 = 1501;

fn setup(server: &Server) -> Setup<'_> {
    Setup::on(server)
        .set("/logging/requests", json!("errors"))
        .set("/database/connections/game1/connect_timeout", json!("500ms"))
        .set("/database/connections/game1/health_interval", json!("1s"))
}

fn order(index: i64) -> serde_json::Value {
    sample::order(&format!("backlog-{index:06}"), 1001 + index % 10, 1)
}

fn caller(gateway: &Gateway<'_>) -> Caller {
    Caller::new(gateway.tcp_address(), sample::GAME)
}

/// The database has exactly these orders, once each.
#[track_caller]
fn check(server: &Server, gateway: &Gateway<'_>, expected: impl IntoIterator<Item = i64>) {
    let schema = gateway.schemas().unwrap().name(sample::GAME);
    let rows = server.query(&schema, &sample::orders_sql("backlog-"));
    let mut found: Vec<&str> = rows.lines().map(|row| row.split('\t').next().unwrap()).collect();
    found.sort_unstable();
    let expected: BTreeSet<String> =
        expected.into_iter().map(|index| format!("backlog-{index:06}")).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
}

fn orders_are_acknowledged_while_the_database_hangs_and_none_is_lost(database: Database) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).start();
    let mut caller = caller(&gateway);
    for index in 0..600 {
        // Some are applied by then, some are on their way, and a batch is at work.
        if index == 300 {
            // A gateway on a busy machine may not have had its first connection yet.
            wait_until("some are applied", || (sample::backlog(&gateway) < 300).then_some(()));
            server.signal(Signal::Stop);
        }
        let outcome = caller.call(sample::ORDER_CREATE, &order(index));
        assert_eq!(outcome.code(), Some(0), "{index}: {outcome:?}");
    }
    wait_until("the batch is given up", || gateway.log().contains("batch_failed").then_some(()));
    let outcome = caller.call(sample::ORDER_CREATE, &order(600));
    assert_eq!(outcome.code(), Some(0), "{outcome:?}");
    assert!(sample::backlog(&gateway) >= 300, "{}", sample::backlog(&gateway));
    server.signal(Signal::Continue);
    sample::wait_applied(&gateway);
    check(&server, &gateway, 0..=600);
}

fn orders_beyond_the_bound_are_refused_while_the_database_is_away_and_taken_when_it_is_back(
    database: Database,
) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).set("/journal/records_max", json!(50)).start();
    let mut caller = caller(&gateway);
    server.kill();
    for index in 0..50 {
        let outcome = caller.call(sample::ORDER_CREATE, &order(index));
        assert_eq!(outcome.code(), Some(0), "{index}: {outcome:?}");
    }
    for index in 50..60 {
        let outcome = caller.call(sample::ORDER_CREATE, &order(index));
        assert_eq!(outcome.code(), Some(BACKLOG_FULL), "{index}: {outcome:?}");
    }
    let repeat = caller.call(sample::ORDER_CREATE, &order(7));
    assert_eq!(repeat.code(), Some(0), "what was taken is known: {repeat:?}");
    let reused = caller.call(sample::ORDER_CREATE, &sample::order("backlog-000007", 1008, 2));
    assert_eq!(reused.code(), Some(sample::KEY_REUSED), "{reused:?}");
    server.restart();
    sample::wait_applied(&gateway);
    check(&server, &gateway, 0..50);
    assert_eq!(caller.settle(sample::ORDER_CREATE, &order(50)).outcome.code(), Some(0));
    sample::wait_applied(&gateway);
    check(&server, &gateway, 0..51);
}

/// Limits the length of a running gateway's files from now on.
fn limit_files(gateway: &Gateway<'_>, bytes: u64) {
    let pid = gateway.pid().to_string();
    let limit = format!("--fsize={bytes}:");
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(status.success(), "{status}");
}

/// A limit of the length of files stands for the full disk: it needs no rights, and a write beyond it fails in
/// the same place. But it also ends segments that are made already, the one in use and the one ahead: of the
/// order that meets such an end nobody knows whether it is there, and it is asked for again.
fn full_disk_refuses_orders_and_takes_them_again_when_there_is_room(database: Database) {
    const ROOM: u64 = 1 << 30;
    let Some(server) = database.shared() else { return };
    if !is_installed("prlimit") {
        return;
    }
    let gateway = setup(server).file_bytes_max(ROOM).start();
    let mut caller = caller(&gateway);
    assert_eq!(caller.call(sample::ORDER_CREATE, &order(0)).code(), Some(0));
    // A little is left in the two segments that are there; there will be no third.
    limit_files(&gateway, 256 << 10);
    let mut acknowledged = BTreeSet::from([0]);
    let (mut next, mut refusals, mut unknown) = (1, 0, Vec::new());
    while refusals < 20 {
        assert!(next < 20_000, "the disk never gets full");
        match caller.call(sample::ORDER_CREATE, &order(next)) {
            Outcome::Done { .. } => {
                acknowledged.insert(next);
            }
            Outcome::Refused { code: DISK_FULL, .. } => refusals += 1,
            Outcome::Unknown => unknown.push(next),
            other @ Outcome::Refused { .. } => panic!("{next}: {other:?}"),
        }
        next += 1;
    }
    assert!(unknown.len() <= 2, "{unknown:?}");
    limit_files(&gateway, ROOM);
    for index in unknown.into_iter().chain([next]) {
        assert_eq!(caller.settle(sample::ORDER_CREATE, &order(index)).outcome.code(), Some(0));
        acknowledged.insert(index);
    }
    sample::wait_applied(&gateway);
    check(server, &gateway, acknowledged);
}
