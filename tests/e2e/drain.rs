//! Leaving: what is in flight is finished, what comes later is turned away.

use std::time::{Duration, Instant};

use gateway_tests::{
    ADMIN_KEY, CALL, Codec, Credential, Database, GOAWAY, REPLY, Setup, Signal, wait_until,
};
use serde_json::json;

// It needs a table that readers wait for, and no reader of an Oracle waits for a writer.
gateway_tests::on_mysql_only! {
    calls_in_flight_are_finished_and_later_ones_are_refused,
    http_answer_in_flight_says_that_it_is_the_last,
}
gateway_tests::on_every_server! {
    drain_ends_at_its_timeout_even_when_a_call_does_not,
}

/// Longest time from the word to the end, with a drain of a second and a call that does not end: what each thread is given
/// on top of it, and a busy machine.
const END_MAX: Duration = Duration::from_secs(30);

fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

#[test]
fn gateway_told_to_end_says_goaway_closes_and_exits_with_0() {
    let mut gateway = Setup::sqlite().set("/server/drain_timeout", json!("10m")).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    assert_eq!(wire.call("player.get", &json!({ "player_id": 1001 })).0, 0);
    let mut json_wire = gateway.connect("game1", &admin(), Codec::Json);
    let mut http = gateway.http();
    assert_eq!(http.get("/v1/game1/players/1001", &admin().headers()).status, 200);
    let mut begun = gateway.http();
    assert_eq!(begun.get("/v1/game1/players/1001", &admin().headers()).status, 200);
    assert!(begun.send_bytes(b"GET /v1/game1/pl"));
    gateway.signal(Signal::Drain);
    for (wire, codec) in [(&mut wire, 0), (&mut json_wire, 1)] {
        let goaway = wire.expect_frame();
        assert_eq!((goaway.kind, goaway.id, goaway.codec), (GOAWAY, 0, codec));
        assert!(goaway.value().get("reason").is_some());
        wire.expect_closed();
    }
    assert!(http.read().is_none(), "an idle connection is closed");
    assert!(begun.read().is_none(), "what was not asked to its end is not waited for");
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

fn calls_in_flight_are_finished_and_later_ones_are_refused(database: Database) {
    let Some(server) = database.shared() else { return };
    let mut gateway = Setup::on(server).set("/server/drain_timeout", json!("30s")).start();
    let schema = gateway.schemas().unwrap().name("game1");
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let lock = server.lock(&schema, "player");
    let call = wire.request(CALL, &json!(["player.count", { "server_id": 1 }]));
    wire.send(&call);
    wait_until("the call is with the database", || {
        (server.waiting_count(&schema) == 1).then_some(())
    });
    gateway.signal(Signal::Drain);
    assert_eq!(wire.expect_frame().kind, GOAWAY);
    let late = wire.request(CALL, &json!(["item.list_by_player", { "player_id": 1001 }]));
    let refused = wire.exchange(&late);
    assert_eq!((refused.kind, refused.id, refused.number), (REPLY, late.id, 1002));
    assert_eq!(gateway.admin("/readyz").status, 503);
    drop(lock);
    let reply = wire.expect_frame();
    assert_eq!((reply.id, reply.number), (call.id, 0), "{}", reply.value());
    wire.expect_closed();
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

fn drain_ends_at_its_timeout_even_when_a_call_does_not(database: Database) {
    let Some(server) = database.shared() else { return };
    let mut gateway = Setup::on(server)
        .set("/server/drain_timeout", json!("1s"))
        .set("/database/connections/game1/query_timeout", json!("60s"))
        .set("/games/game1/deadline", json!("60s"))
        .start();
    let schema = gateway.schemas().unwrap().name("game1");
    let mut wire =
        gateway.connect("game1", &Credential::with_roles(&["game_server"]), Codec::Msgpack);
    // A writer waits for another one of its row everywhere.
    let lock = server.hold(&schema, "BEGIN; UPDATE player SET gold = gold WHERE player_id = 1001");
    let call = wire.request(CALL, &json!(["player.record_login", { "player_id": 1001 }]));
    wire.send(&call);
    wait_until("the call is with the database", || {
        (server.waiting_count(&schema) == 1).then_some(())
    });
    let told = Instant::now();
    gateway.signal(Signal::Drain);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(told.elapsed() < END_MAX, "{:?}", told.elapsed());
    wait_until("the database has nothing of it left to do", || {
        (server.waiting_count(&schema) == 0).then_some(())
    });
    drop(lock);
}

#[test]
fn gateway_restarted_on_its_own_ports_serves_again() {
    let mut gateway = Setup::sqlite().start();
    let mut again = Setup::beside(&gateway);
    for pointer in ["/server/tcp/address", "/server/http/address", "/admin/address"] {
        let address = gateway.config.pointer(pointer).unwrap().clone();
        again = again.set(pointer, address);
    }
    let _open = gateway.connect("game1", &admin(), Codec::Msgpack);
    gateway.signal(Signal::Drain);
    gateway.wait_exit();
    let again = again.start();
    assert_eq!(again.http().get("/v1/game1/players/1001", &admin().headers()).status, 200);
}

fn http_answer_in_flight_says_that_it_is_the_last(database: Database) {
    let Some(server) = database.shared() else { return };
    let mut gateway = Setup::on(server).set("/server/drain_timeout", json!("30s")).start();
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.lock(&schema, "player");
    let headers = admin().headers();
    let late = format!("GET /v1/game1/nothing HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    // By the gateway's own reader, and by hyper, which a `TE` leads to.
    let (mut plain, mut hyper) = (gateway.http(), gateway.http());
    for (http, server_id, more) in [(&mut plain, 1, ""), (&mut hyper, 2, "TE: trailers\r\n")] {
        let body = format!("{{\"server_id\":{server_id}}}");
        let length = body.len();
        let request = format!(
            "POST /v1/game1/call/player.count HTTP/1.1\r\nHost: a\r\n{headers}{more}\
             Content-Length: {length}\r\n\r\n{body}{late}"
        );
        assert!(http.send_bytes(request.as_bytes()));
    }
    wait_until("the calls are with the database", || {
        (server.waiting_count(&schema) == 2).then_some(())
    });
    gateway.signal(Signal::Drain);
    wait_until("it drains", || (gateway.admin("/readyz").status == 503).then_some(()));
    drop(lock);
    for http in [&mut plain, &mut hyper] {
        let reply = http.read().expect("the answer");
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
        assert!(http.read().is_none(), "nothing more is served");
    }
    assert_eq!(gateway.wait_exit().code(), Some(0));
}
