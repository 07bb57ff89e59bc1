//! Plain reads that the threads do which received them: the same answers as the backend's, the same codes when the database is in
//! trouble, and connections that are counted, closed and replaced like its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Database, Gateway, Response, Server, Setup, Signal, wait_until};
use serde_json::json;

use crate::faults::{self, COUNT, admin, ask, recovers};

gateway_tests::on_mysql_only! {
    plain_reads_are_answered_alike_with_and_without_connections_of_the_frontends_own,
    connections_that_the_server_ends_cost_no_read_an_error,
    database_that_is_killed_is_told_as_unreachable_and_read_again_when_it_is_back,
    database_that_hangs_is_told_at_the_deadline_and_read_again_when_it_goes_on,
    query_past_its_deadline_is_stopped_on_the_server_and_its_connection_not_used_again,
    statement_that_the_server_refuses_leaves_the_connection_in_use,
    reload_with_another_user_reaches_the_frontends_connections,
    reload_takes_the_frontends_connections_away_and_gives_them_back,
    frontends_have_half_of_the_connections_at_most,
    connection_that_nobody_reads_on_is_given_up,
    reads_of_more_callers_than_can_be_served_are_refused_and_the_others_go_on,
}

const CONNECTION: &str = "/database/connections/game1";

/// For callers to be refused.
const ENOUGH: Duration = Duration::from_mins(1);

/// One thread of frontends, so that a connection that is there is the one that is used.
fn setup(server: &Server) -> Setup<'_> {
    faults::setup(server).set("/runtime/frontend_threads", json!(1))
}

/// The frontends' connections to game1's database.
fn own(gateway: &Gateway<'_>) -> f64 {
    gateway.metric("gateway_pool_connections", &["pool=\"game1\"", "state=\"frontend\""])
}

/// Reads that were done on them.
fn reads(gateway: &Gateway<'_>) -> f64 {
    gateway.metric("gateway_pool_frontend_reads_total", &["pool=\"game1\""])
}

/// Reads until the frontend does it on a connection of its own.
#[track_caller]
fn warm(gateway: &Gateway<'_>) {
    wait_until("a frontend reads", || {
        let before = reads(gateway);
        assert_eq!(ask(gateway, COUNT).status, 200);
        (reads(gateway) > before).then_some(())
    });
}

fn plain_reads_are_answered_alike_with_and_without_connections_of_the_frontends_own(
    database: Database,
) {
    let Some(server) = database.shared() else { return };
    let with = setup(server).start();
    let without = setup(server).set(&format!("{CONNECTION}/frontend_reads"), json!(false)).start();
    warm(&with);
    for target in [
        COUNT,
        "/v1/game1/players:count?server_id=999",
        "/v1/game1/players:count?server_id=x",
        "/v1/game1/players:count",
        "/v1/game1/players/1001",
        "/v1/game1/players/1",
        "/v1/game1/players?server_id=3&limit=3",
    ] {
        let (one, other) = (ask(&with, target), ask(&without, target));
        assert_eq!((one.status, one.header("x-cache")), (other.status, other.header("x-cache")));
        let text = |reply: &Response| {
            let mut body = reply.json();
            if let Some(error) = body.as_object_mut() {
                error.remove("trace");
            }
            body
        };
        assert_eq!(text(&one), text(&other), "{target}");
    }
    assert!(own(&with) >= 1.0);
    assert!(own(&without) < 1.0, "they were not asked for");
}

fn connections_that_the_server_ends_cost_no_read_an_error(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = setup(server).start();
    let schema = gateway.schemas().unwrap().name("game1");
    for _ in 0..3 {
        warm(&gateway);
        server.end_connections(&schema);
        for _ in 0..3 {
            assert_eq!(ask(&gateway, COUNT).status, 200);
        }
    }
}

fn database_that_is_killed_is_told_as_unreachable_and_read_again_when_it_is_back(
    database: Database,
) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).start();
    warm(&gateway);
    server.kill();
    for _ in 0..5 {
        let reply = ask(&gateway, COUNT);
        assert_eq!((reply.status, reply.code()), (503, 1302), "{}", reply.text());
    }
    server.restart();
    recovers(&gateway);
    warm(&gateway);
}

fn database_that_hangs_is_told_at_the_deadline_and_read_again_when_it_goes_on(database: Database) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).start();
    warm(&gateway);
    server.signal(Signal::Stop);
    let reply = ask(&gateway, COUNT);
    assert_eq!((reply.status, reply.code()), (504, 1304), "{}", reply.text());
    wait_until("the database is known to be away", || {
        let reply = ask(&gateway, COUNT);
        let told = (reply.status, reply.code());
        assert!([(503, 1301), (503, 1302), (504, 1304)].contains(&told), "{}", reply.text());
        (told == (503, 1302)).then_some(())
    });
    server.signal(Signal::Continue);
    recovers(&gateway);
    warm(&gateway);
}

fn query_past_its_deadline_is_stopped_on_the_server_and_its_connection_not_used_again(
    database: Database,
) {
    let Some(server) = database.shared() else { return };
    let gateway = setup(server).start();
    warm(&gateway);
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.lock(&schema, "player");
    let reply = ask(&gateway, COUNT);
    assert_eq!((reply.status, reply.code()), (504, 1304), "{}", reply.text());
    wait_until("nothing runs on the server any more", || {
        (server.waiting_count(&schema) == 0).then_some(())
    });
    let hurried = gateway.http().get(COUNT, &format!("{}x-deadline-ms: 100\r\n", admin()));
    assert_eq!(hurried.status, 504, "{}", hurried.text());
    drop(lock);
    recovers(&gateway);
    warm(&gateway);
}

fn statement_that_the_server_refuses_leaves_the_connection_in_use(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = setup(server).start();
    warm(&gateway);
    let made = || gateway.metric("gateway_pool_connects_total", &["pool=\"game1\"", "made"]);
    let before = made();
    gateway.sql("game1", "ALTER TABLE player RENAME TO player_gone");
    for _ in 0..3 {
        let reply = ask(&gateway, COUNT);
        assert_eq!((reply.status, reply.code()), (500, 1303), "{}", reply.text());
        assert!(!reply.text().contains("player_gone"), "{}", reply.text());
    }
    wait_until("the log tells the database's words", || {
        gateway.log().contains("1146").then_some(())
    });
    gateway.sql("game1", "ALTER TABLE player_gone RENAME TO player");
    assert_eq!(ask(&gateway, COUNT).status, 200);
    assert!(made() <= before, "a connection was made anew");
}

fn reload_with_another_user_reaches_the_frontends_connections(database: Database) {
    let Some(server) = database.shared() else { return };
    let mut gateway = setup(server).start();
    warm(&gateway);
    let schema = gateway.schemas().unwrap().name("game1");
    let user = format!("u{}", schema.chars().rev().take(20).collect::<String>());
    for sql in [
        format!("CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY 'another'"),
        // The tests' user may grant nothing, and write everything.
        format!(
            "INSERT INTO mysql.db (Host, Db, User, Select_priv, Insert_priv, Update_priv, Delete_priv) \
             VALUES ('%', '{schema}', '{user}', 'Y', 'Y', 'Y', 'Y'); FLUSH PRIVILEGES"
        ),
    ] {
        server.query(&schema, &sql);
    }
    gateway.write_config(&format!("{CONNECTION}/username"), json!(user));
    gateway.write_config(&format!("{CONNECTION}/password"), json!("another"));
    gateway.signal(Signal::Reload);
    let of_others = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{schema}' AND USER <> '{user}' \
         AND ID <> CONNECTION_ID()"
    );
    wait_until("every connection is the other user's", || {
        assert_eq!(ask(&gateway, COUNT).status, 200);
        let is_over = server.query(&schema, &of_others).trim() == "0";
        (is_over && own(&gateway) >= 1.0).then_some(())
    });
    server.query(&schema, &format!("DROP USER '{user}'@'%'"));
}

fn reload_takes_the_frontends_connections_away_and_gives_them_back(database: Database) {
    let Some(server) = database.shared() else { return };
    let mut gateway = setup(server).start();
    warm(&gateway);
    for wanted in [false, true] {
        gateway.write_config(&format!("{CONNECTION}/frontend_reads"), json!(wanted));
        gateway.signal(Signal::Reload);
        wait_until("they are as wanted", || {
            assert_eq!(ask(&gateway, COUNT).status, 200);
            ((own(&gateway) >= 1.0) == wanted).then_some(())
        });
    }
}

fn frontends_have_half_of_the_connections_at_most(database: Database) {
    let Some(server) = database.shared() else { return };
    for (most, share) in [(1, 0.0), (2, 1.0), (5, 2.0)] {
        let gateway = setup(server)
            .set(&format!("{CONNECTION}/max_open_conns"), json!(most))
            .set(&format!("{CONNECTION}/min_idle_conns"), json!(most))
            .set(&format!("{CONNECTION}/acquire_timeout"), json!("5s"))
            .set("/games/game1/deadline", json!("10s"))
            .start();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..40 {
                        assert_eq!(ask(&gateway, COUNT).status, 200);
                        assert!(own(&gateway) <= share);
                    }
                });
            }
        });
        let open = gateway.metric("gateway_pool_connections", &["pool=\"game1\""]);
        assert!(open <= f64::from(most), "{open} of {most}");
        if share > 0.0 {
            wait_until("they have their share", || {
                assert_eq!(ask(&gateway, COUNT).status, 200);
                (own(&gateway) >= 1.0).then_some(())
            });
        }
    }
}

fn connection_that_nobody_reads_on_is_given_up(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway =
        setup(server).set(&format!("{CONNECTION}/conn_max_idle_time"), json!("1s")).start();
    for _ in 0..2 {
        warm(&gateway);
        wait_until("it is given up", || (own(&gateway) < 1.0).then_some(()));
    }
}

/// By `acquire_timeout` alone none of them would be refused for half a minute.
fn reads_of_more_callers_than_can_be_served_are_refused_and_the_others_go_on(database: Database) {
    let Some(server) = database.shared() else { return };
    let key = |name: &str| format!("{CONNECTION}/{name}");
    let gateway = setup(server)
        .set(&key("max_open_conns"), json!(2))
        .set(&key("acquire_timeout"), json!("30s"))
        .set(&key("acquire_standing_timeout"), json!("1ms"))
        .set(&key("acquire_standing_after"), json!("2s"))
        .set("/games/game1/deadline", json!("30s"))
        .start();
    warm(&gateway);
    // Two milliseconds a row: the database is what is waited for, on whatever machine.
    gateway.sql("game1", "ALTER TABLE player RENAME TO player_all");
    gateway.sql("game1", "CREATE VIEW player AS SELECT * FROM player_all WHERE SLEEP(0.002) = 0");
    let (refused, answered) = (AtomicU32::new(0), AtomicU32::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                while refused.load(Ordering::Relaxed) < 100 && begun.elapsed() < ENOUGH {
                    let reply = ask(&gateway, COUNT);
                    match reply.status {
                        200 if refused.load(Ordering::Relaxed) > 0 => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        200 => {}
                        _ => {
                            assert_eq!((reply.status, reply.code()), (503, 1301));
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(refused.load(Ordering::Relaxed) >= 100, "{refused:?} were refused");
    assert!(answered.load(Ordering::Relaxed) > 0, "none was answered beside those refused");
    // One alone never waits.
    for _ in 0..20 {
        assert_eq!(ask(&gateway, COUNT).status, 200);
    }
}
