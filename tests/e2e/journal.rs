//! The journal of a whole process: what an end leaves is applied after the next start, and what could not be is
//! told at the start, not found out later.

use std::fs;
use std::path::PathBuf;

use gateway_tests::{
    Caller, Database, Gateway, Outcome, Server, Setup, Signal, run, sample, wait_until,
};
use serde_json::json;

gateway_tests::on_every_server! {
    orders_that_wait_at_the_end_are_applied_after_the_next_start,
    damage_in_the_middle_of_the_journal_refuses_the_start_and_names_the_repair,
    template_under_which_waiting_orders_could_not_be_applied_is_refused_by_reload_and_start,
    applied_order_keeps_its_parameters_whatever_is_sent_under_its_key_after_a_restart,
}

/// How a group on disk begins.
const GROUP_MAGIC: &[u8] = b"GWJGRP01";

/// Length of a group's header.
const GROUP_HEADER_BYTES: usize = 64;

fn start(server: &Server) -> Gateway<'_> {
    Setup::on(server)
        .own_templates()
        .set("/database/connections/game1/connect_timeout", json!("500ms"))
        .set("/database/connections/game1/health_interval", json!("1s"))
        .start()
}

/// Puts orders into the journal, one group each. Their database is to be away.
fn queue(gateway: &Gateway<'_>, count: u64) {
    let mut caller = Caller::new(gateway.tcp_address(), sample::GAME);
    for index in 0..count {
        let order = sample::order(&format!("queue-{index:06}"), 1001, 1);
        let outcome = caller.call(sample::ORDER_CREATE, &order);
        assert_eq!(outcome.code(), Some(0), "{outcome:?}");
    }
    assert_eq!(sample::backlog(gateway), count);
}

/// Ends the gateway in order.
fn end(gateway: &mut Gateway<'_>) {
    gateway.signal(Signal::Drain);
    let status = gateway.wait_exit();
    assert!(status.success(), "{status}");
}

/// Starts it, which has to fail; what it said this time.
fn refused(gateway: &mut Gateway<'_>) -> String {
    let before = gateway.log().len();
    gateway.launch();
    let status = gateway.wait_exit();
    assert!(!status.success(), "it started");
    gateway.log().split_off(before)
}

#[track_caller]
fn check_applied(server: &Server, gateway: &Gateway<'_>, count: u64) {
    sample::wait_applied(gateway);
    let schema = gateway.schemas().unwrap().name(sample::GAME);
    let rows = server.query(&schema, &sample::orders_sql("queue-"));
    assert_eq!(rows.lines().count() as u64, count, "{rows}");
}

/// The segment with the most in it.
fn segment(gateway: &Gateway<'_>) -> (PathBuf, Vec<u8>) {
    let files = fs::read_dir(gateway.folder().join("journal")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let segments = paths.filter(|path| path.extension().is_some_and(|it| it == "segment"));
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    segments.map(read).max_by_key(|(_, bytes)| groups(bytes).len()).unwrap()
}

/// Where groups begin.
fn groups(segment: &[u8]) -> Vec<usize> {
    let sectors = (0..segment.len()).step_by(512);
    sectors.filter(|at| segment[*at..].starts_with(GROUP_MAGIC)).collect()
}

fn orders_that_wait_at_the_end_are_applied_after_the_next_start(database: Database) {
    let Some(server) = database.start() else { return };
    let mut gateway = start(&server);
    server.kill();
    queue(&gateway, 40);
    end(&mut gateway);
    gateway.restart();
    assert_eq!(sample::backlog(&gateway), 40, "without its database it starts, and keeps them");
    server.restart();
    check_applied(&server, &gateway, 40);
}

fn damage_in_the_middle_of_the_journal_refuses_the_start_and_names_the_repair(database: Database) {
    let Some(server) = database.start() else { return };
    let mut gateway = start(&server);
    server.kill();
    queue(&gateway, 20);
    end(&mut gateway);
    let (path, good) = segment(&gateway);
    let groups = groups(&good);
    assert!(groups.len() >= 20, "{groups:?}");
    let mut damaged = good.clone();
    damaged[groups[9] + GROUP_HEADER_BYTES + 20] ^= 4;
    fs::write(&path, &damaged).unwrap();
    let told = refused(&mut gateway);
    for words in ["gateway journal repair", path.file_name().unwrap().to_str().unwrap(), "damaged"]
    {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    assert_eq!(fs::read(&path).unwrap(), damaged, "it is left as it was found");

    // Nothing is thrown away until somebody says so; then exactly what cannot be read.
    let config = gateway.folder().join("gateway.yaml").display().to_string();
    assert_ne!(run(&["journal", "repair", "--config", &config]).status, Some(0));
    refused(&mut gateway);
    run(&["journal", "repair", "--cut", "--config", &config]).succeeded();
    server.restart();
    gateway.restart();
    check_applied(&server, &gateway, 19);
}

fn template_under_which_waiting_orders_could_not_be_applied_is_refused_by_reload_and_start(
    database: Database,
) {
    const ORDER: &str = "_base/order/create.sql";
    let Some(server) = database.start() else { return };
    let mut gateway = start(&server);
    server.kill();
    queue(&gateway, 3);
    let text = fs::read_to_string(gateway.folder().join("templates").join(ORDER)).unwrap();
    let other = text.replace("qty int min=1 max=999", "qty bigint min=1 max=999");
    assert_ne!(text, other);
    gateway.write_template(ORDER, &other);
    gateway.signal(Signal::Reload);
    let reason = "game1 order.create: 3 orders in the journal were taken under its contract";
    wait_until("the reload is refused", || gateway.log().contains(reason).then_some(()));
    assert_eq!(gateway.admin("/readyz").status, 200, "the old templates go on");

    end(&mut gateway);
    let told = refused(&mut gateway);
    assert!(told.contains(reason), "{told}");
    gateway.write_template(ORDER, &text);
    server.restart();
    gateway.restart();
    check_applied(&server, &gateway, 3);
    gateway.write_template(ORDER, &other);
    gateway.signal(Signal::Reload);
    wait_until("nothing waits, so the reload is done", || {
        let ready = gateway.admin("/readyz").text();
        (!ready.contains("order.create")).then_some(())
    });
}

/// After a start the journal does not know the keys of orders that were applied before. Such a key with other
/// parameters may be taken once more; it is the database that recognises it then.
fn applied_order_keeps_its_parameters_whatever_is_sent_under_its_key_after_a_restart(
    database: Database,
) {
    let Some(server) = database.shared() else { return };
    let mut gateway = start(server);
    queue_one(&gateway, 1);
    check_applied(server, &gateway, 1);
    end(&mut gateway);
    gateway.restart();
    queue_one(&gateway, 1);
    let mut caller = Caller::new(gateway.tcp_address(), sample::GAME);
    let other = sample::order("queue-000000", 1001, 2);
    let outcome = caller.call(sample::ORDER_CREATE, &other);
    let is_taken = matches!(outcome, Outcome::Done { .. });
    assert!(is_taken || outcome.code() == Some(sample::KEY_REUSED), "{outcome:?}");
    check_applied(server, &gateway, 1);
    let schema = gateway.schemas().unwrap().name(sample::GAME);
    let row = format!("queue-000000\t{}\n", sample::order_row(1001, 1));
    assert_eq!(server.query(&schema, &sample::orders_sql("queue-")), row);
    let dead = gateway.metric("gateway_journal_backlog_records", &["state=\"dead\""]);
    assert_eq!(dead > 0.5, is_taken, "{dead} dead letters: what was taken and not done is one");
}

fn queue_one(gateway: &Gateway<'_>, qty: i64) {
    let mut caller = Caller::new(gateway.tcp_address(), sample::GAME);
    let outcome = caller.call(sample::ORDER_CREATE, &sample::order("queue-000000", 1001, qty));
    assert_eq!(outcome.code(), Some(0), "{outcome:?}");
}
