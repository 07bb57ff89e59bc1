//! Broken bytes on TCP: each gets its code, and the gateway serves the next good request.

use gateway_tests::{
    ADMIN_KEY, BATCH, CALL, Codec, Credential, Frame, Gateway, PING, PONG, REPLY, Setup, frame,
    wait_until,
};
use serde_json::json;

fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

/// A new connection is served: nothing that happened before hurts others.
#[track_caller]
fn serves(gateway: &Gateway<'_>) {
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    assert_eq!(wire.ok("player.get", &json!({ "player_id": 1001 }))["nickname"], "Player1001");
}

/// The bytes are answered with one REPLY of that code and id 0, and the connection is closed.
#[track_caller]
fn closes(gateway: &Gateway<'_>, bytes: &[u8], code: u16) {
    for says_hello in [false, true] {
        let mut wire = gateway.tcp();
        if says_hello {
            wire.hello("game1", &admin());
        }
        wire.send_bytes(bytes);
        let reply = wire.expect_frame();
        assert_eq!((reply.kind, reply.id, reply.number), (REPLY, 0, code), "{}", reply.value());
        wire.expect_closed();
    }
    serves(gateway);
}

/// The frame is answered with a REPLY of that code and its own id, and the connection lives.
#[track_caller]
fn refuses(gateway: &Gateway<'_>, frame: &Frame, code: u16) {
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let reply = wire.exchange(frame);
    assert_eq!((reply.kind, reply.id), (REPLY, frame.id), "{}", reply.value());
    assert_eq!(reply.number, code, "{}", reply.value());
    assert_eq!(wire.ok("player.get", &json!({ "player_id": 1001 }))["nickname"], "Player1001");
}

#[test]
fn length_under_12_is_malformed() {
    let gateway = Setup::sqlite().start();
    for length in [0_u32, 1, 11] {
        let mut bytes = frame(PING, 1, vec![]).bytes();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        closes(&gateway, &bytes, 1101);
    }
}

#[test]
fn length_over_the_limit_is_refused_before_the_payload_comes() {
    let gateway = Setup::sqlite().set("/server/tcp/frame_bytes_max", json!(4096)).start();
    for length in [4097_u32, u32::MAX] {
        let mut header = frame(CALL, 1, vec![]).bytes();
        header[..4].copy_from_slice(&length.to_be_bytes());
        closes(&gateway, &header, 1102);
    }
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let pong = wire.exchange(&frame(PING, 1, vec![7; 4096 - 12]));
    assert_eq!((pong.kind, pong.payload.len()), (PONG, 4096 - 12));
}

#[test]
fn foreign_version_is_refused_and_closed() {
    let gateway = Setup::sqlite().start();
    for version in [0, 2, 255] {
        closes(&gateway, &Frame { version, ..frame(PING, 1, vec![]) }.bytes(), 1103);
    }
}

#[test]
fn bytes_of_another_protocol_are_refused_and_closed() {
    let gateway = Setup::sqlite().start();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03____",
    ] {
        let mut wire = gateway.tcp();
        wire.send_bytes(bytes);
        let reply = wire.expect_frame();
        assert_eq!((reply.kind, reply.id), (REPLY, 0));
        // Their first four bytes are a length of more than a gigabyte, or of 369 MB.
        assert_eq!(reply.number, 1102, "{}", reply.value());
        wire.expect_closed();
    }
    serves(&gateway);
}

#[test]
fn unknown_kind_is_refused_and_the_connection_lives() {
    let gateway = Setup::sqlite().start();
    for kind in [0, 12, 255] {
        refuses(&gateway, &frame(kind, 900, vec![]), 1104);
    }
}

#[test]
fn refusal_of_a_frame_has_its_codec_where_that_can_be_read_and_else_the_connections_last() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Json);
    let mut check = |frame: Frame, codec: u8, code: u16| {
        let reply = wire.exchange(&frame);
        assert_eq!((reply.codec, reply.number), (codec, code), "{}", reply.value());
        assert_eq!(reply.value()["code"], code);
    };
    for codec in [0, 1] {
        check(Frame { codec, ..frame(77, 900, vec![]) }, codec, 1104);
        check(Frame { codec, flags: 128, ..frame(CALL, 901, vec![]) }, codec, 1103);
    }
    check(Frame { codec: 9, ..frame(CALL, 902, vec![]) }, 1, 1103);

    // A version that nobody knows may have its codec elsewhere; a length that is refused comes alone.
    let foreign = Frame { version: 2, ..frame(CALL, 903, vec![]) }.bytes();
    for (bytes, code) in [(&foreign[..], 1103), (&[0xff; 4], 1102), (&[0; 4], 1101)] {
        for codec in [Codec::Json, Codec::Msgpack] {
            let mut wire = gateway.connect("game1", &admin(), codec);
            wire.send_bytes(bytes);
            let reply = wire.expect_frame();
            let expected = u8::from(matches!(codec, Codec::Json));
            assert_eq!((reply.codec, reply.id, reply.number), (expected, 0, code));
            assert_eq!(reply.value()["code"], code);
            wire.expect_closed();
        }
    }
    let counted = || gateway.metric("gateway_requests_total", &["category=\"frame\""]);
    wait_until("each is counted", || (counted() > 10.5).then_some(()));
}

#[test]
fn unknown_flag_of_a_call_is_refused() {
    let gateway = Setup::sqlite().start();
    let payload = Codec::Msgpack.encode(&json!(["player.get", { "player_id": 1001 }]));
    for flags in [4, 128] {
        let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
        let reply = wire.exchange(&Frame { flags, ..frame(CALL, 900, payload.clone()) });
        assert_eq!((reply.kind, reply.number), (REPLY, 1103), "{}", reply.value());
    }
    serves(&gateway);
}

#[test]
fn dry_run_changes_nothing_and_is_refused_for_a_read() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let delete = wire.request(CALL, &json!(["player.delete", { "player_id": 1001, "version": 1 }]));
    assert_eq!(wire.exchange(&Frame { flags: 1, ..delete }).number, 0);
    let get = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
    let reply = wire.exchange(&Frame { flags: 1, ..get });
    assert_eq!((reply.kind, reply.number), (REPLY, 1103), "{}", reply.value());
    assert_eq!(wire.ok("player.get", &json!({ "player_id": 1001 }))["version"], 1);
}

#[test]
fn bad_payload_in_a_good_frame_is_refused_and_the_connection_lives() {
    let gateway = Setup::sqlite().start();
    let msgpack: &[&[u8]] = &[
        b"",
        b"\xc1",                                    // never used
        b"\x92\xaaplayer.get",                      // an array of two with one
        b"\x92\xaaplayer.get\x81",                  // a map of one with none
        b"\x92\xaaplayer.get\x80\x80",              // something behind the end
        b"\x92\xaaplayer.get\xdf\xff\xff\xff\xff",  // a map of four billion
        b"\xdd\xff\xff\xff\xff",                    // an array of four billion
        b"\x92\xdb\xff\xff\xff\xffabc",             // a text of four billion
        b"\x92\xa3\xff\xfe\xfd\x80",                // not UTF-8
        b"\x92\xaaplayer.get\x81\x01\x01",          // a key that is a number
        b"\x92\xaaplayer.get\x81\xa1a\xd4\x01\x00", // an extension type
        b"\x07",
        b"\x92\x07\x80",
        b"\x92\xaaplayer.get\x93\x01\x02\x03",
        b"\x94\xa1a\xa1b\xa1c\x80",
    ];
    for payload in msgpack {
        refuses(&gateway, &frame(CALL, 900, payload.to_vec()), 1101);
    }
    let json: &[&[u8]] = &[
        b"",
        b"[",
        b"[\"player.get\", {]",
        b"[\"player.get\", {}] x",
        b"[\"player.get\", {\"a\": \"\xff\xfe\"}]",
        b"[\"player.get\", {\"a\": \"\\ud800\"}]",
        b"[\"player.get\", {'a': 1}]",
        b"[\"player.get\", {\"a\": NaN}]",
        b"{\"op\": \"player.get\"}",
        b"null",
    ];
    for payload in json {
        let call = Frame { codec: 1, ..frame(CALL, 900, payload.to_vec()) };
        refuses(&gateway, &call, 1101);
    }
}

#[test]
fn nesting_of_ten_thousand_is_refused_in_both_codecs() {
    let gateway = Setup::sqlite().start();
    let depth = 10_000;
    let mut payload = b"\x92\xaaplayer.get\x81\xa9player_id".to_vec();
    payload.extend(vec![0x91; depth]);
    payload.push(1);
    refuses(&gateway, &frame(CALL, 900, payload), 1101);

    let text =
        format!("[\"player.get\", {{\"player_id\": {}1{}}}]", "[".repeat(depth), "]".repeat(depth));
    refuses(&gateway, &Frame { codec: 1, ..frame(CALL, 900, text.into_bytes()) }, 1101);
    let open = format!("[\"player.get\", {}", "[".repeat(depth)).into_bytes();
    refuses(&gateway, &Frame { codec: 1, ..frame(CALL, 901, open) }, 1101);
}

#[test]
fn unknown_codec_is_refused() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let reply = wire.exchange(&Frame { codec: 2, ..frame(CALL, 900, vec![0x90]) });
    assert_eq!(reply.kind, REPLY);
    assert_eq!(reply.number, 1103, "{}", reply.value());
    serves(&gateway);
}

#[test]
fn call_with_the_connections_own_id_is_refused() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let payload = Codec::Msgpack.encode(&json!(["player.get", { "player_id": 1001 }]));
    let reply = wire.exchange(&frame(CALL, 0, payload));
    assert_eq!((reply.kind, reply.id, reply.number), (REPLY, 0, 1101), "{}", reply.value());
    serves(&gateway);
}

#[test]
fn frame_that_comes_byte_by_byte_is_served() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let call = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
    for byte in call.bytes() {
        wire.send_bytes(&[byte]);
    }
    assert_eq!(wire.expect_frame().value()["nickname"], "Player1001");
}

#[test]
fn client_that_stops_in_the_middle_of_a_frame_is_closed_and_others_are_served() {
    let gateway = Setup::sqlite().start();
    let call = frame(CALL, 5, Codec::Msgpack.encode(&json!(["player.get", { "player_id": 1001 }])));
    for length in [1, 3, 4, 15, 16, call.bytes().len() - 1] {
        let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
        wire.send_bytes(&call.bytes()[..length]);
        wire.half_close();
        // Half a frame is malformed or merely ended; either way nothing was called.
        if let Some(reply) = wire.read() {
            assert_eq!((reply.kind, reply.id, reply.number), (REPLY, 0, 1101));
            wire.expect_closed();
        }
    }
    serves(&gateway);
}

#[test]
fn client_that_sends_no_more_still_gets_what_it_asked_for() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let call = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
    wire.send(&call);
    wire.half_close();
    assert_eq!(wire.expect_frame().value()["nickname"], "Player1001");
    wire.expect_closed();
}

#[test]
fn client_that_says_nothing_is_closed_after_the_hello_timeout() {
    let gateway = Setup::sqlite().set("/server/tcp/hello_timeout", json!("100ms")).start();
    let mut silent = gateway.tcp();
    let mut half = gateway.tcp();
    half.send_bytes(&[0, 0, 0]);
    for wire in [&mut silent, &mut half] {
        while let Some(frame) = wire.read() {
            assert_eq!((frame.kind, frame.id), (REPLY, 0), "{}", frame.value());
        }
    }
    serves(&gateway);
}

#[test]
fn connection_silent_for_two_heartbeats_is_closed() {
    let gateway = Setup::sqlite().set("/server/tcp/heartbeat", json!("1s")).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    while let Some(frame) = wire.read() {
        assert!([PING, REPLY, gateway_tests::GOAWAY].contains(&frame.kind), "{frame:?}");
    }
    serves(&gateway);
}

#[test]
fn client_that_takes_no_replies_is_closed_and_costs_no_memory_without_bound() {
    let gateway = Setup::sqlite().set("/server/tcp/write_timeout", json!("500ms")).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let call =
        wire.request(CALL, &json!(["player.search", { "server_id": 3, "limit": 100 }])).bytes();
    let block = call.repeat(100);
    let before = gateway.resident_bytes();
    // About 60 MB of requests for 9 GB of replies; the gateway has to stop reading long before.
    let mut refused = false;
    for _ in 0..10_000 {
        if wire.try_send(&block).is_err() {
            refused = true;
            break;
        }
    }
    assert!(refused, "the gateway took 60 MB of requests whose replies nobody reads");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "grown by {grown} bytes");
    serves(&gateway);
}

/// A row of 900 kB that is kept in L1.
const LONG: &str = "-- @desc a long text\n-- @kind one\n-- @param id bigint\n-- @result id bigint, text string\n\
                    -- @allow admin\n-- @cache l1=10m tag=long:{id}\n\
                    SELECT :id AS id, hex(zeroblob(450000)) AS text\n";

#[test]
fn batches_of_long_cached_answers_hold_no_more_memory_than_their_replies() {
    let gateway = Setup::sqlite().own_templates().template("_base/long/get.sql", LONG).start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let length = |answer: &serde_json::Value| answer["text"].as_str().map(str::len);
    assert_eq!(length(&wire.ok("long.get", &json!({ "id": 1 }))), Some(900_000));
    let call = json!(["long.get", { "id": 1 }]);
    let one = wire.request(BATCH, &json!([call])).bytes();
    let full = wire.request(BATCH, &json!(vec![call; 100]));
    let before = gateway.peak_bytes();

    wire.send_bytes(&one.repeat(100));
    for _ in 0..100 {
        assert_eq!(length(&wire.expect_frame().value()[0][1]), Some(900_000));
    }
    let answers = wire.exchange(&full).value();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|it| it[0].clone()).collect();
    let refused = vec![json!(2024); 96];
    assert_eq!(codes, [vec![json!(0); 4], refused.clone()].concat(), "4 MiB are a batch's");

    let calls = vec![json!({ "operation": "long.get", "params": { "id": 1 } }); 100];
    let reply =
        gateway.http().send_json("POST", "/v1/game1/batch", &admin().headers(), &json!(calls));
    let answers = reply.json();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
    assert_eq!(codes, [vec![json!(0); 4], refused].concat());
    let grown = gateway.peak_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "grown by {grown} bytes");
}

#[test]
fn valid_frame_with_any_bit_flipped_never_ends_the_gateway() {
    let gateway = Setup::sqlite().start();
    let call = frame(CALL, 5, Codec::Msgpack.encode(&json!(["player.get", { "player_id": 1001 }])))
        .bytes();
    for bit in 0..call.len() * 8 {
        let mut bytes = call.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
        // The gateway may close before it has read everything.
        let _sent = wire.try_send(&bytes);
        wire.half_close_if_open();
        while wire.read().is_some() {}
    }
    serves(&gateway);
}
