//! Connections that are silent give up their task, and stay what they were.

use gateway_tests::{
    ADMIN_KEY, CALL, Codec, Credential, GOAWAY, Gateway, PING, PONG, Setup, Signal, wait_until,
};
use serde_json::{Value, json};

const PLAYER: &str = "/v1/game1/players/1001";

fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

fn setup() -> Setup<'static> {
    Setup::sqlite().set("/server/park_after", json!("1s"))
}

fn parked(gateway: &Gateway<'_>, transport: &str) -> f64 {
    let label = format!("transport=\"{transport}\"");
    gateway.metric("gateway_connections_parked", &[&label])
}

fn open(gateway: &Gateway<'_>, transport: &str) -> f64 {
    let label = format!("transport=\"{transport}\"");
    gateway.metric("gateway_connections_open", &[&label])
}

fn wait_for_parked(gateway: &Gateway<'_>, transport: &str, count: f64) {
    wait_until("so many are parked", || {
        ((parked(gateway, transport) - count).abs() < 0.5).then_some(())
    });
}

/// What waits for sockets, with a ring and without.
const DRIVERS: [&str; 2] = ["preferred", "off"];

#[test]
fn parked_game_server_is_still_logged_in_and_served_again_and_again() {
    for driver in DRIVERS {
        let gateway = setup().set("/runtime/io_uring", json!(driver)).start();
        let mut wires: Vec<_> = [Codec::Msgpack, Codec::Json]
            .into_iter()
            .map(|codec| gateway.connect("game1", &admin(), codec))
            .collect();
        for _ in 0..2 {
            wait_for_parked(&gateway, "tcp", 2.0);
            assert!((open(&gateway, "tcp") - 2.0).abs() < 0.5, "a parked connection is open");
            for wire in &mut wires {
                let (code, row) = wire.call("player.get", &json!({ "player_id": 1001 }));
                assert_eq!((code, &row["nickname"]), (0, &json!("Player1001")), "{row}");
            }
        }
    }
}

#[test]
fn parked_web_client_is_served_again_and_again() {
    for driver in DRIVERS {
        let gateway = setup().set("/runtime/io_uring", json!(driver)).start();
        let mut http = gateway.http();
        for _ in 0..2 {
            assert_eq!(http.get(PLAYER, &admin().headers()).status, 200);
            wait_for_parked(&gateway, "http", 1.0);
        }
        // What hyper is to serve finds its way there, too.
        let body = r#"{"player_id":1001}"#;
        let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let head = format!(
            "POST /v1/game1/call/player.get HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            admin().headers()
        );
        assert!(http.send_bytes(head.as_bytes()) && http.send_bytes(chunks.as_bytes()));
        assert_eq!(http.read().map(|response| response.status), Some(200));
    }
}

#[test]
fn frame_that_arrives_in_pieces_wakes_a_parked_connection_and_is_served_whole() {
    let gateway = setup().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    wait_for_parked(&gateway, "tcp", 1.0);
    let call = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
    let bytes = call.bytes();
    let (first, rest) = bytes.split_at(3);
    wire.send_bytes(first);
    wait_for_parked(&gateway, "tcp", 0.0);
    // Half a frame is no silence: it is not parked again before the rest has come.
    wire.send_bytes(rest);
    assert_eq!(wire.expect_frame().number, 0);
}

#[test]
fn ping_of_a_parked_connection_is_answered_and_does_not_keep_it_awake() {
    let gateway = Setup::sqlite().set("/server/park_after", json!("5s")).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    wait_for_parked(&gateway, "tcp", 1.0);
    for _ in 0..3 {
        let sign = wire.request(PING, &Value::Null);
        let pong = wire.exchange(&sign);
        assert_eq!((pong.kind, pong.id), (PONG, sign.id));
        let began = std::time::Instant::now();
        wait_for_parked(&gateway, "tcp", 1.0);
        assert!(began.elapsed().as_secs() < 5, "it was taken for a request");
    }
}

#[test]
fn parked_connection_is_closed_when_its_limit_of_silence_is_over() {
    let gateway = setup()
        .set("/server/tcp/heartbeat", json!("2s"))
        .set("/server/http/idle_timeout", json!("4s"))
        .start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let mut http = gateway.http();
    assert_eq!(http.get(PLAYER, &admin().headers()).status, 200);
    for transport in ["tcp", "http"] {
        wait_for_parked(&gateway, transport, 1.0);
    }
    while let Some(frame) = wire.read() {
        assert_eq!(frame.kind, PING, "{frame:?}");
    }
    assert!(http.read().is_none(), "nobody asks any more");
    for transport in ["tcp", "http"] {
        wait_for_parked(&gateway, transport, 0.0);
        wait_until("none is open", || (open(&gateway, transport) < 0.5).then_some(()));
    }
}

#[test]
fn parked_connection_that_its_client_closes_is_no_more_and_its_place_is_free() {
    let gateway = setup()
        .set("/server/tcp/max_connections", json!(1))
        .set("/runtime/frontend_threads", json!(1))
        .start();
    for _ in 0..3 {
        let wire = gateway.connect("game1", &admin(), Codec::Msgpack);
        wait_for_parked(&gateway, "tcp", 1.0);
        drop(wire);
        wait_until("none is open", || (open(&gateway, "tcp") < 0.5).then_some(()));
        wait_for_parked(&gateway, "tcp", 0.0);
    }
}

#[test]
fn parked_clients_are_told_to_leave_when_the_gateway_ends() {
    for driver in DRIVERS {
        let mut gateway = setup()
            .set("/runtime/io_uring", json!(driver))
            .set("/server/drain_timeout", json!("10m"))
            .start();
        let mut wires: Vec<_> =
            (0..20).map(|_| gateway.connect("game1", &admin(), Codec::Msgpack)).collect();
        let mut http = gateway.http();
        assert_eq!(http.get(PLAYER, &admin().headers()).status, 200);
        wait_for_parked(&gateway, "tcp", 20.0);
        wait_for_parked(&gateway, "http", 1.0);
        gateway.signal(Signal::Drain);
        for wire in &mut wires {
            assert_eq!(wire.expect_frame().kind, GOAWAY);
            wire.expect_closed();
        }
        assert!(http.read().is_none(), "an idle connection is closed");
        assert_eq!(gateway.wait_exit().code(), Some(0));
    }
}

#[test]
fn credential_that_a_reload_revokes_is_refused_to_a_connection_that_was_parked() {
    let mut gateway = setup().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    wait_for_parked(&gateway, "tcp", 1.0);
    gateway.write_config("/auth/api_keys", json!([]));
    gateway.signal(Signal::Reload);
    wait_until("the key is gone", || {
        (gateway.http().get(PLAYER, &admin().headers()).status == 401).then_some(())
    });
    let (code, reply) = wire.call("player.get", &json!({ "player_id": 1001 }));
    assert!([3002, 3004].contains(&code), "{code} {reply}");
}

#[test]
fn requests_keep_a_connection_awake_and_many_at_once_wake_all_that_are_parked() {
    let gateway = setup().start();
    let mut wires: Vec<_> =
        (0..300).map(|_| gateway.connect("game1", &admin(), Codec::Msgpack)).collect();
    wait_for_parked(&gateway, "tcp", 300.0);
    let calls: Vec<_> = wires
        .iter_mut()
        .map(|wire| {
            let call = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
            wire.send(&call);
            call.id
        })
        .collect();
    for (wire, id) in wires.iter_mut().zip(calls) {
        let reply = wire.expect_frame();
        assert_eq!((reply.id, reply.number), (id, 0));
    }
    let awake = &mut wires[0];
    wait_until("all but one are parked", || {
        assert_eq!(awake.call("player.get", &json!({ "player_id": 1001 })).0, 0);
        ((parked(&gateway, "tcp") - 299.0).abs() < 0.5).then_some(())
    });
}

#[test]
fn ring_of_few_entries_serves_many_more_connections_than_it_has() {
    let gateway = setup()
        .set("/runtime/ring_entries", json!(256))
        .set("/runtime/frontend_threads", json!(1))
        .start();
    // Every table of the thread grows with them, several times, and then with those that take the places of others.
    let connect = |count| (0..count).map(|_| gateway.connect("game1", &admin(), Codec::Msgpack));
    let mut wires: Vec<_> = connect(1_000).collect();
    for _ in 0..2 {
        let calls: Vec<_> = wires
            .iter_mut()
            .enumerate()
            .map(|(place, wire)| {
                // A player of its own: an answer that went to another connection would be seen.
                let player = 1001 + place % 5;
                let call = wire.request(CALL, &json!(["player.get", { "player_id": player }]));
                wire.send(&call);
                (call.id, format!("Player{player}"))
            })
            .collect();
        for (wire, (id, name)) in wires.iter_mut().zip(calls) {
            let reply = wire.expect_frame();
            assert_eq!((reply.id, reply.number), (id, 0));
            assert!(
                reply.bytes().windows(name.len()).any(|part| part == name.as_bytes()),
                "{name}"
            );
        }
        let mut place = 0;
        wires.retain(|_| {
            place += 1;
            place % 2 == 0
        });
        wait_until("half of them have left", || {
            ((open(&gateway, "tcp") - 500.0).abs() < 0.5).then_some(())
        });
        wires.extend(connect(500));
    }
    assert!((open(&gateway, "tcp") - 1_000.0).abs() < 0.5);
}
