//! Databases that stop, hang, refuse or are full: each has its code, within the deadline, and the next good
//! request is served.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use gateway_tests::{
    ADMIN_KEY, Credential, Database, Gateway, Response, Server, Setup, Signal, run, wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_server! {
    database_that_is_killed_is_told_as_unreachable_and_used_again_when_it_is_back,
    schema_that_could_not_be_looked_at_is_looked_at_again_when_its_database_is_back,
    database_that_hangs_is_told_within_the_deadline_and_used_again_when_it_goes_on,
    write_to_a_database_that_hangs_has_an_unknown_outcome_and_happens_once_or_not_at_all,
    guarded_write_to_a_database_that_hangs_before_its_commit_changes_nothing,
    slow_query_is_cancelled_on_the_server_at_its_deadline,
    write_that_waits_for_a_lock_is_told_at_its_deadline_that_it_changed_nothing,
    statement_that_the_database_refuses_is_told_without_its_words,
    connection_that_the_server_closes_is_replaced_without_an_error_for_a_read,
    gateway_starts_without_its_database_and_serves_when_it_comes,
}

// They need a table that readers wait for, and no reader of an Oracle waits for a writer.
gateway_tests::on_mysql_only! {
    pool_that_is_full_refuses_what_it_cannot_queue_and_serves_again_after,
}

/// Uncached, on game1's table `player`.
pub(crate) const COUNT: &str = "/v1/game1/players:count?server_id=3";

/// The deadline of these tests' gateways, and what a reply after it may be late by on a busy machine.
const DEADLINE: &str = "1s";
const LATE: Duration = Duration::from_secs(5);

pub(crate) fn admin() -> String {
    Credential::ApiKey(ADMIN_KEY.to_owned()).headers()
}

pub(crate) fn setup(server: &Server) -> Setup<'_> {
    Setup::on(server)
        .set("/games/game1/deadline", json!(DEADLINE))
        .set("/games/game2/deadline", json!(DEADLINE))
        .set("/database/connections/game1/query_timeout", json!("800ms"))
        .set("/database/connections/game1/connect_timeout", json!("500ms"))
        .set("/database/connections/game1/acquire_timeout", json!("500ms"))
        .set("/database/connections/game1/health_interval", json!("1s"))
}

/// A request is answered, and not so late that it has been forgotten.
#[track_caller]
pub(crate) fn ask(gateway: &Gateway<'_>, target: &str) -> Response {
    let started = Instant::now();
    let reply = gateway.http().get(target, &admin());
    assert!(started.elapsed() < LATE, "{target} took {:?}", started.elapsed());
    reply
}

#[track_caller]
pub(crate) fn recovers(gateway: &Gateway<'_>) {
    wait_until("the database is used again", || (ask(gateway, COUNT).status == 200).then_some(()));
}

fn database_that_is_killed_is_told_as_unreachable_and_used_again_when_it_is_back(
    database: Database,
) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).start();
    assert_eq!(ask(&gateway, COUNT).status, 200);
    let player = "/v1/game1/players/1001";
    assert_eq!(ask(&gateway, player).status, 200);
    server.kill();
    for _ in 0..5 {
        let reply = ask(&gateway, COUNT);
        assert_eq!((reply.status, reply.code()), (503, 1302), "{}", reply.text());
        for hidden in ["127.0.0.1", "mysql", "MariaDB", "refused", "os error"] {
            assert!(!reply.text().contains(hidden), "{}", reply.text());
        }
    }
    assert_eq!(ask(&gateway, player).header("x-cache"), Some("l1"), "what is cached is served");
    let ready = gateway.admin("/readyz");
    assert_eq!(ready.status, 200, "one dead database does not take the instance out");
    server.restart();
    recovers(&gateway);
}

fn schema_that_could_not_be_looked_at_is_looked_at_again_when_its_database_is_back(
    database: Database,
) {
    let Some(server) = database.start() else { return };
    let mut gateway = setup(&server).start();
    let schema = |gateway: &Gateway<'_>| {
        gateway.admin("/readyz").json()["databases"]["game1"]["schema"].clone()
    };
    wait_until("the schema was looked at", || {
        (schema(&gateway)["state"] == "current").then_some(())
    });
    server.kill();
    gateway.write_config("/logging/slow_query", json!("150ms"));
    gateway.signal(Signal::Reload);
    let fault =
        wait_until("the look has failed", || schema(&gateway)["fault"].as_str().map(str::to_owned));
    assert!(fault.starts_with("the database could not be asked: "), "{fault}");
    server.restart();
    wait_until("the schema is known again", || {
        (schema(&gateway)["state"] == "current").then_some(())
    });
}

/// The look at another database that takes a connection and says nothing lasts 10 s each time.
#[test]
fn schema_that_migrate_mends_is_seen_within_seconds_beside_a_database_that_hangs() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let mysql = json!({
        "type": "mysql", "host": "127.0.0.1", "port": port, "username": "u", "password": "p",
        "database": "d",
    });
    let setup = Setup::sqlite().set("/database/connections/game2", mysql);
    let path = setup.folder.path().join("empty.db");
    let setup = setup.set("/database/connections/game1/path", json!(path));
    let mut alone = setup.config.clone();
    let other = setup.folder.path().join("other.db");
    alone["database"]["connections"]["game2"] = json!({ "type": "sqlite", "path": other });
    let config = setup.folder.path().join("alone.yaml");
    std::fs::write(&config, alone.to_string()).expect("written");
    let gateway = setup.start();
    let schema = || gateway.admin("/readyz").json()["databases"]["game1"]["schema"].clone();
    let first = wait_until("it is looked at", || Some(schema()).filter(Value::is_object));
    assert_eq!(first["state"], "pending", "{first}");
    let later = wait_until("it is looked at again", || {
        Some(schema()).filter(|later| later["looked_at"] != first["looked_at"])
    });
    assert_eq!((&later["state"], &later["files"]), (&first["state"], &first["files"]));
    run(&["migrate", "--config", &config.display().to_string()]).succeeded();
    let mended = Instant::now();
    wait_until("it is seen", || (schema()["state"] == "current").then_some(()));
    assert!(mended.elapsed() < Duration::from_secs(9), "{:?}", mended.elapsed());
    let statements = wait_until("the statements are prepared", || {
        let told = gateway.admin("/readyz").json()["databases"]["game1"]["statements"].clone();
        Some(told).filter(Value::is_object)
    });
    assert_eq!(statements["refused_count"], 0, "{statements}");
    let hung = gateway.admin("/readyz").json()["databases"]["game2"]["schema"].clone();
    assert_ne!(hung["state"], "current", "{hung}");
}

fn database_that_hangs_is_told_within_the_deadline_and_used_again_when_it_goes_on(
    database: Database,
) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).start();
    assert_eq!(ask(&gateway, COUNT).status, 200);
    server.signal(Signal::Stop);
    // The query that was sent timed out. Its connection is not used again, and no new one can be made: as
    // long as others seem to live, they are busy; then there is none.
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
}

fn write_to_a_database_that_hangs_has_an_unknown_outcome_and_happens_once_or_not_at_all(
    database: Database,
) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).start();
    let target = "/v1/game1/players/1001";
    assert_eq!(ask(&gateway, target).status, 200);
    server.signal(Signal::Stop);
    let login = format!("{target}/logins");
    let reply = {
        let server = Credential::with_roles(&["game_server"]).headers();
        gateway.http().send_json("POST", &login, &server, &json!({}))
    };
    assert_eq!((reply.status, reply.code()), (504, 1305), "{}", reply.text());
    server.signal(Signal::Continue);
    recovers(&gateway);
    let schema = gateway.schemas().unwrap().name("game1");
    wait_until("the gateway tells what is stored", || {
        let stored = server.query(&schema, "SELECT version FROM player WHERE player_id = 1001");
        let row = ask(&gateway, target).json();
        let told = row["version"].as_i64()?.to_string();
        (told == stored.trim() && ["1", "2"].contains(&told.as_str())).then_some(())
    });
}

fn guarded_write_to_a_database_that_hangs_before_its_commit_changes_nothing(database: Database) {
    let Some(server) = database.start() else { return };
    let gateway = setup(&server).start();
    let target = "/v1/game1/players/1001";
    assert_eq!(ask(&gateway, target).status, 200);
    server.signal(Signal::Stop);
    let body = json!({ "version": 1, "gold": 7 });
    let reply = gateway.http().send_json("PATCH", target, &admin(), &body);
    assert_eq!((reply.status, reply.code()), (504, 1304), "{}", reply.text());
    server.signal(Signal::Continue);
    recovers(&gateway);
    let schema = gateway.schemas().unwrap().name("game1");
    wait_until("nothing runs on the server any more", || {
        (server.waiting_count(&schema) == 0).then_some(())
    });
    let stored = server.query(&schema, "SELECT gold, version FROM player WHERE player_id = 1001");
    assert_eq!(stored.trim(), "0\t1");
}

fn slow_query_is_cancelled_on_the_server_at_its_deadline(database: Database) {
    let Some(server) = database.shared().filter(|server| server.makes_readers_wait()) else {
        return;
    };
    let gateway = setup(server).start();
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.lock(&schema, "player");
    let reply = ask(&gateway, COUNT);
    assert_eq!((reply.status, reply.code()), (504, 1304), "{}", reply.text());
    wait_until("nothing runs on the server any more", || {
        (server.waiting_count(&schema) == 0).then_some(())
    });
    drop(lock);
    recovers(&gateway);
}

fn write_that_waits_for_a_lock_is_told_at_its_deadline_that_it_changed_nothing(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = setup(server).start();
    let schema = gateway.schemas().unwrap().name("game1");
    let target = "/v1/game1/players/1001";
    assert_eq!(ask(&gateway, target).status, 200);
    let lock = server.lock(&schema, "player");
    let reply =
        gateway.http().send_json("PATCH", target, &admin(), &json!({ "version": 1, "gold": 7 }));
    assert_eq!((reply.status, reply.code()), (504, 1304), "{}", reply.text());
    drop(lock);
    recovers(&gateway);
    let stored = server.query(&schema, "SELECT gold, version FROM player WHERE player_id = 1001");
    assert_eq!(stored.trim(), "0\t1");
}

fn pool_that_is_full_refuses_what_it_cannot_queue_and_serves_again_after(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = setup(server)
        .set("/database/connections/game1/max_open_conns", json!(1))
        .set("/database/connections/game1/acquire_waiting_max", json!(1))
        .set("/database/connections/game1/acquire_timeout", json!("5s"))
        .set("/database/connections/game1/query_timeout", json!("30s"))
        .set("/games/game1/deadline", json!("30s"))
        .start();
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.lock(&schema, "player");
    std::thread::scope(|scope| {
        let holds = scope.spawn(|| gateway.http().get(COUNT, &admin()).status);
        wait_until("the only connection is taken", || {
            (server.waiting_count(&schema) == 1).then_some(())
        });
        let others: Vec<_> = (4..10)
            .map(|id| {
                let gateway = &gateway;
                let target = format!("/v1/game1/players:count?server_id={id}");
                scope.spawn(move || gateway.http().get(&target, &admin()))
            })
            .collect();
        // One may wait for the connection until its time is over; the rest is refused at once.
        let replies: Vec<Response> = others.into_iter().map(|it| it.join().unwrap()).collect();
        for reply in &replies {
            assert_eq!((reply.status, reply.code()), (503, 1301), "{}", reply.text());
        }
        // The other game has a pool of its own.
        let other_game = COUNT.replace("game1", "game2");
        assert_eq!(gateway.http().get(&other_game, &admin()).status, 200);
        drop(lock);
        assert_eq!(holds.join().unwrap(), 200);
    });
    recovers(&gateway);
}

fn statement_that_the_database_refuses_is_told_without_its_words(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = setup(server).start();
    gateway.sql("game1", "ALTER TABLE player RENAME TO player_gone");
    let reply = ask(&gateway, COUNT);
    assert_eq!((reply.status, reply.code()), (500, 1303), "{}", reply.text());
    assert!(
        !reply.text().contains("player_gone") && !reply.text().contains("exist"),
        "{}",
        reply.text()
    );
    let number = if database == Database::Oracle { "ORA-00942" } else { "1146" };
    wait_until("the log tells the database's words", || {
        gateway.log().contains(number).then_some(())
    });
    gateway.sql("game1", "ALTER TABLE player_gone RENAME TO player");
    recovers(&gateway);
}

fn connection_that_the_server_closes_is_replaced_without_an_error_for_a_read(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = setup(server).start();
    assert_eq!(ask(&gateway, COUNT).status, 200);
    let schema = gateway.schemas().unwrap().name("game1");
    server.end_connections(&schema);
    assert_eq!(ask(&gateway, COUNT).status, 200);
}

fn gateway_starts_without_its_database_and_serves_when_it_comes(database: Database) {
    let Some(server) = database.start() else { return };
    let setup = setup(&server);
    server.kill();
    let gateway = setup.start();
    let reply = ask(&gateway, COUNT);
    assert_eq!((reply.status, reply.code()), (503, 1302), "{}", reply.text());
    server.restart();
    recovers(&gateway);
}

#[test]
fn result_over_the_row_limit_is_an_error_and_never_cut() {
    let two = "-- @desc   More than its limit.\n\
        -- @kind   many\n\
        -- @param  server_id int\n\
        -- @result player_id bigint\n\
        -- @allow  admin\n\
        -- @limit  LIMIT\n\
        SELECT p.player_id\nFROM   player p\nWHERE  p.server_id = :server_id\n";
    let gateway = Setup::sqlite()
        .own_templates()
        .template("_base/player/thirty.sql", &two.replace("LIMIT", "30"))
        .template("_base/player/less.sql", &two.replace("LIMIT", "29"))
        .start();
    let call = |operation: &str| {
        let target = format!("/v1/game1/call/{operation}");
        gateway.http().send_json("POST", &target, &admin(), &json!({ "server_id": 3 }))
    };
    assert_eq!(call("player.thirty").json().as_array().map(Vec::len), Some(30));
    let reply = call("player.less");
    assert_eq!((reply.status, reply.code()), (422, 2024));
}

#[test]
fn result_over_the_byte_limit_is_an_error() {
    let gateway = Setup::sqlite().set("/limits/result_bytes_max", json!(1024)).start();
    let reply = gateway.http().get("/v1/game1/players?server_id=3&limit=100", &admin());
    assert_eq!((reply.status, reply.code()), (422, 2024), "{}", reply.text());
    assert_eq!(gateway.http().get("/v1/game1/players/1001", &admin()).status, 200);
}
