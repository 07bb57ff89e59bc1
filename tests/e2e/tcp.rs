//! The game servers' protocol as it is meant to be used.

use std::collections::BTreeSet;

use gateway_tests::{
    ADMIN_KEY, BATCH, CALL, Codec, Credential, Database, Frame, HELLO, PING, PONG, REPLY, Setup,
    WELCOME, frame, wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_server! {
    deadline_of_a_call_is_kept_and_told,
}

fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

#[test]
fn hello_is_answered_with_what_the_client_has_to_know() {
    let gateway = Setup::sqlite().start();
    for codec in [Codec::Msgpack, Codec::Json] {
        let mut wire = gateway.tcp();
        wire.codec = codec;
        let welcome = wire.hello("game1", &admin());
        for member in ["heartbeat_ms", "frame_bytes_max", "inflight_max"] {
            assert!(welcome[member].as_u64().is_some_and(|it| it > 0), "{member}: {welcome}");
        }
        for member in ["server", "version", "catalog"] {
            assert!(welcome.get(member).is_some(), "{member}: {welcome}");
        }
        assert_eq!(welcome["frame_bytes_max"], 1 << 20);
    }
}

#[test]
fn call_before_hello_is_refused_with_a_missing_credential() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.tcp();
    let call = wire.request(CALL, &json!(["game1", "player.get", { "player_id": 1001 }]));
    let reply = wire.exchange(&call);
    assert_eq!((reply.kind, reply.number), (REPLY, 3001), "{}", reply.value());
}

#[test]
fn reply_has_the_codec_of_its_request_on_one_connection() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    for codec in [Codec::Json, Codec::Msgpack, Codec::Json] {
        wire.codec = codec;
        let call = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
        let reply = wire.exchange(&call);
        assert_eq!((reply.codec, reply.number), (codec.number(), 0));
        assert_eq!(reply.value()["nickname"], "Player1001");
    }
}

#[test]
fn ping_is_echoed_also_when_empty() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    for payload in [vec![], vec![0xc1, 0xff, 0], vec![9; 1000]] {
        let pong = wire.exchange(&frame(PING, 77, payload.clone()));
        assert_eq!((pong.kind, pong.id, pong.payload), (PONG, 77, payload));
    }
}

#[test]
fn pipelined_calls_are_all_answered_under_their_ids() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let mut bytes = Vec::new();
    let mut waiting = BTreeSet::new();
    for number in 0..500 {
        let player_id = 1001 + number % 300;
        let call = wire.request(CALL, &json!(["player.get", { "player_id": player_id }]));
        waiting.insert((call.id, player_id));
        bytes.extend(call.bytes());
    }
    wire.send_bytes(&bytes);
    while !waiting.is_empty() {
        let reply = wire.expect_frame();
        let player_id = reply.value()["player_id"].as_i64().unwrap();
        assert!(waiting.remove(&(reply.id, player_id)), "{} {player_id}", reply.id);
    }
}

#[test]
fn more_calls_than_may_be_in_flight_are_served_later_and_not_refused() {
    let gateway = Setup::sqlite().set("/server/tcp/inflight_max", json!(2)).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let mut bytes = Vec::new();
    for player_id in 1001..1101 {
        bytes.extend(
            wire.request(CALL, &json!(["item.list_by_player", { "player_id": player_id }])).bytes(),
        );
    }
    wire.send_bytes(&bytes);
    let ids: BTreeSet<_> = (0..100)
        .map(|_| {
            let reply = wire.expect_frame();
            assert_eq!((reply.kind, reply.number), (REPLY, 0), "{}", reply.value());
            reply.id
        })
        .collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn call_names_another_game_when_its_credential_has_it() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let call = wire.request(CALL, &json!(["game2", "item.list_by_player", { "player_id": 1001 }]));
    assert!(wire.exchange(&call).value()[0].get("bind_type").is_some());
    assert!(
        wire.ok("item.list_by_player", &json!({ "player_id": 1001 }))[0].get("bind_type").is_none()
    );
}

#[test]
fn batch_answers_each_call_in_order_also_those_that_fail() {
    let gateway = Setup::sqlite().start();
    for codec in [Codec::Msgpack, Codec::Json] {
        let mut wire = gateway.connect("game1", &admin(), codec);
        let calls = json!([
            ["player.get", { "player_id": 1001 }],
            ["player.get", { "player_id": 5 }],
            ["player.nothing", {}],
            ["player.get", { "player_id": "x" }],
            ["player.count", { "server_id": 3 }],
        ]);
        let batch = wire.request(BATCH, &calls);
        let reply = wire.exchange(&batch);
        assert_eq!((reply.kind, reply.id, reply.number), (REPLY, batch.id, 0));
        let answers = reply.value();
        let codes: Vec<_> = answers.as_array().unwrap().iter().map(|it| it[0].clone()).collect();
        assert_eq!(codes, [json!(0), json!(2101), json!(2001), json!(2011), json!(0)]);
        assert_eq!(answers[0][1]["nickname"], "Player1001");
        assert_eq!(answers[4][1]["player_count"], 30);
    }
}

#[test]
fn batch_at_the_limit_passes_and_one_call_more_is_refused() {
    let gateway = Setup::sqlite().set("/limits/batch_items_max", json!(3)).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let batch =
        |count: usize| Value::from(vec![json!(["player.get", { "player_id": 1001 }]); count]);
    let full = wire.request(BATCH, &batch(3));
    assert_eq!(wire.exchange(&full).value().as_array().unwrap().len(), 3);
    let over = wire.request(BATCH, &batch(4));
    let reply = wire.exchange(&over);
    assert!([1101, 1102].contains(&reply.number), "{}", reply.value());
    let empty = wire.request(BATCH, &batch(0));
    assert_eq!(wire.exchange(&empty).value(), json!([]));
}

#[test]
fn batch_of_cached_answers_is_answered_and_counted_as_its_calls_are() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    // More than are looked up at once.
    let calls: Vec<Value> = (1001..=1040).map(|id| json!({ "player_id": id })).collect();
    let answers: Vec<Value> = calls.iter().map(|call| wire.ok("player.get", call)).collect();
    let expected: Vec<Value> = answers.iter().map(|answer| json!([0, answer])).collect();
    let batch: Vec<Value> = calls.iter().map(|call| json!(["player.get", call])).collect();
    let hits = || {
        let labels = ["operation=\"player.get\"", "outcome=\"l1\""];
        gateway.metric("gateway_cache_lookups_total", &labels)
    };
    let before = hits();
    for _ in 0..70 {
        let request = wire.request(BATCH, &json!(batch));
        let reply = wire.exchange(&request);
        assert_eq!((reply.kind, reply.id, reply.number), (REPLY, request.id, 0));
        assert_eq!(reply.value(), json!(expected));
    }
    wait_until("every call is counted", || (hits() - before >= 2800.0).then_some(()));
    let answered = gateway.metric("gateway_requests_total", &["operation=\"player.get\""]);
    assert!(
        (hits() - before - 2800.0).abs() < 0.5 && (answered - 2840.0).abs() < 0.5,
        "{answered}"
    );
    // One call that is none of them leaves the others as they are.
    for (other, code) in [(json!({ "player_id": 5 }), 2101), (json!({ "player_id": "x" }), 2011)] {
        let mut mixed = batch.clone();
        mixed.insert(20, json!(["player.get", other]));
        let request = wire.request(BATCH, &json!(mixed));
        let answers = wire.exchange(&request).value();
        let mut answers = answers.as_array().unwrap().clone();
        assert_eq!(answers.remove(20)[0], code);
        assert_eq!(answers, expected);
    }
    // A call of three names its game, which no call of a batch may; nor may anything follow the last one.
    let mut named = batch.clone();
    named[39] = json!(["game1", "player.get", { "player_id": 1001 }]);
    let request = wire.request(BATCH, &json!(named));
    let refused = wire.exchange(&request);
    assert_eq!(refused.number, 1101, "{}", refused.value());
    let mut longer = wire.request(BATCH, &json!(batch));
    longer.payload.push(0xc0);
    let refused = wire.exchange(&longer);
    assert_eq!(refused.number, 1101, "{}", refused.value());
}

#[test]
fn call_that_wants_meta_gets_the_template_that_served_it() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let call = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
    let reply = wire.exchange(&Frame { flags: 2, ..call });
    assert_eq!((reply.number, reply.flags & 2), (0, 2));
    let [meta, result] = reply.value().as_array().unwrap().clone().try_into().unwrap();
    assert!(meta.get("template").is_some() && meta.get("cache").is_some(), "{meta}");
    assert_eq!(result["nickname"], "Player1001");
}

#[test]
fn hello_on_a_live_connection_renews_the_credential() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &Credential::player(1002), Codec::Msgpack);
    let own = json!({ "player_id": 1001 });
    assert_eq!(wire.call("player.get", &own).0, 3102);
    wire.hello("game1", &Credential::player(1001));
    assert_eq!(wire.call("player.get", &own).0, 0);
}

#[test]
fn hello_that_fails_is_answered_and_closed() {
    let gateway = Setup::sqlite().start();
    for auth in [json!({}), json!({ "api_key": "x" }), json!({ "jwt": 7 }), json!(null)] {
        let mut wire = gateway.tcp();
        let hello =
            wire.request(HELLO, &json!({ "client": "tests", "game": "game1", "auth": auth }));
        let reply = wire.exchange(&hello);
        assert_eq!(reply.kind, REPLY, "{auth}");
        assert!(reply.number == 1101 || reply.number / 1000 == 3, "{auth}: {}", reply.value());
        wire.expect_closed();
    }
}

#[test]
fn connection_over_the_limit_is_closed_and_served_again_when_another_leaves() {
    let setup = Setup::sqlite().set("/server/tcp/max_connections", json!(2));
    let gateway = setup.start();
    let first = gateway.connect("game1", &admin(), Codec::Msgpack);
    let _second = gateway.connect("game1", &admin(), Codec::Msgpack);
    let mut third = gateway.tcp();
    // It may be answered with 1001 or simply closed; it is not served.
    let hello = third.request(
        HELLO,
        &json!({ "client": "tests", "game": "game1", "auth": admin().hello_auth() }),
    );
    if third.try_send(&hello.bytes()).is_ok()
        && let Some(reply) = third.read()
    {
        assert_eq!((reply.kind, reply.number), (REPLY, 1001), "{}", reply.value());
    }
    drop(first);
    wait_until("a place is free", || {
        let mut wire = gateway.tcp();
        wire.try_send(&hello.bytes()).ok()?;
        (wire.read()?.kind == WELCOME).then_some(())
    });
}

fn deadline_of_a_call_is_kept_and_told(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = Setup::on(server).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.lock(&schema, "player");
    let call = wire.request(CALL, &json!(["player.count", { "server_id": 1 }]));
    let reply = wire.exchange(&Frame { number: 200, ..call });
    assert!([1003, 1304].contains(&reply.number), "{}", reply.value());
    drop(lock);
    assert_eq!(wire.ok("player.count", &json!({ "server_id": 1 }))["player_count"], 30);
}

/// A template whose one row has a text of 2 MB.
const LARGE: &str = "\
-- @desc   A row with a long text.
-- @kind   one
-- @result data string
-- @allow  admin
SELECT hex(zeroblob(1000000)) AS data;
";

#[test]
fn answers_that_nobody_reads_are_kept_up_to_a_bound_and_what_a_read_found_beyond_it_is_refused() {
    let gateway = Setup::sqlite().own_templates().template("_base/player/large.sql", LARGE).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    for _ in 0..100 {
        let call = wire.request(CALL, &json!(["player.large", {}]));
        wire.send(&call);
    }
    // Nothing is read until all of them are answered.
    wait_until("every call is answered", || {
        let done = gateway.metric("gateway_requests_total", &["player.large"]);
        (done >= 100.0).then_some(())
    });
    let (mut kept, mut refused) = (0, 0);
    for _ in 0..100 {
        let reply = wire.expect_frame();
        match reply.number {
            0 => kept += reply.bytes().len(),
            1001 => refused += 1,
            // On a machine with much else to do some find no connection in time.
            1301 => {}
            other => panic!("{other}: {}", reply.value()),
        }
    }
    assert!(refused > 0, "all of {kept} bytes were kept");
    assert!(kept > 64 << 20, "{kept} bytes");
    // What was in the kernel's hands and in the one write under way comes on top.
    assert!(kept < 96 << 20, "{kept} bytes");
    assert_eq!(wire.call("player.get", &json!({ "player_id": 1001 })).0, 0, "it goes on");
}
