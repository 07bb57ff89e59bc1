//! One table of requests that are refused, run over every transport: the code, and on HTTP the status.

use std::collections::BTreeSet;

use gateway_tests::{
    ADMIN_KEY, CALL, Codec, Credential, Frame, Setup, Transport, call_everywhere, frame, wait_until,
};
use serde_json::{Value, json};

/// Game, operation, parameters; the code and HTTP's status.
type Case = (&'static str, &'static str, &'static str, u16, u16);

const CASES: &[Case] = &[
    // Route.
    ("game9", "player.get", r#"{"player_id": 1001}"#, 2000, 404),
    ("GAME1", "player.get", r#"{"player_id": 1001}"#, 2000, 404),
    ("game1", "player.nothing", "{}", 2001, 404),
    ("game1", "player", "{}", 2001, 404),
    ("game1", "schema.mysql.seed", "{}", 2001, 404),
    ("game2", "player.top", r#"{"server_id": 1}"#, 2001, 404),
    // Missing.
    ("game1", "player.get", "{}", 2010, 400),
    ("game1", "player.get", r#"{"player_id": null}"#, 2010, 400),
    ("game1", "player.update", r#"{"player_id": 1001}"#, 2010, 400),
    // Types.
    ("game1", "player.get", r#"{"player_id": "one"}"#, 2011, 400),
    ("game1", "player.get", r#"{"player_id": ""}"#, 2011, 400),
    ("game1", "player.get", r#"{"player_id": 1001.5}"#, 2011, 400),
    ("game1", "player.get", r#"{"player_id": 1e3}"#, 2011, 400),
    ("game1", "player.get", r#"{"player_id": true}"#, 2011, 400),
    ("game1", "player.get", r#"{"player_id": [1001]}"#, 2011, 400),
    ("game1", "player.get", r#"{"player_id": {"a": 1}}"#, 2011, 400),
    ("game1", "player.get_many", r#"{"player_ids": 1001}"#, 2011, 400),
    ("game1", "player.get_many", r#"{"player_ids": [1001, "x"]}"#, 2011, 400),
    ("game1", "player.get_many", r#"{"player_ids": [1001, [1002]]}"#, 2011, 400),
    ("game1", "order.get", r#"{"order_no": 7}"#, 2011, 400),
    ("game1", "player.search", r#"{"server_id": 1, "name_prefix": ["a"]}"#, 2011, 400),
    // Ranges.
    ("game1", "player.get", r#"{"player_id": 0}"#, 2012, 400),
    ("game1", "player.get", r#"{"player_id": -1}"#, 2012, 400),
    ("game1", "player.search", r#"{"server_id": 2147483648}"#, 2012, 400),
    ("game1", "player.search", r#"{"server_id": 1, "limit": 0}"#, 2012, 400),
    ("game1", "player.search", r#"{"server_id": 1, "limit": 101}"#, 2012, 400),
    ("game1", "player.search", r#"{"server_id": 1, "sort": "oldest"}"#, 2012, 400),
    (
        "game1",
        "order.count",
        r#"{"status": 5, "created_from": "2026-01-01T00:00:00Z", "created_before": "2026-01-02T00:00:00Z"}"#,
        2012,
        400,
    ),
    (
        "game1",
        "player.search",
        r#"{"server_id": 1, "name_prefix": "123456789012345678901234567890123"}"#,
        2012,
        400,
    ),
    // Unknown.
    ("game1", "player.get", r#"{"player_id": 1001, "Player_id": 1}"#, 2013, 400),
    ("game1", "player.get", r#"{"player_id": 1001, "_now": "2026-01-01T00:00:00Z"}"#, 2013, 400),
    ("game1", "player.get", r#"{"player_id": 1001, "cursor": "a"}"#, 2013, 400),
    (
        "game1",
        "player.insert",
        r#"{"account_name": "a", "nickname": "b", "server_id": 1, "_id": 5}"#,
        2013,
        400,
    ),
    // Twice.
    ("game1", "player.get", r#"{"player_id": 1001, "player_id": 1001}"#, 2014, 400),
    // Cursors.
    ("game1", "player.search", r#"{"server_id": 1, "cursor": "AAAA"}"#, 2015, 400),
    ("game1", "player.search", r#"{"server_id": 1, "cursor": "not base64 !"}"#, 2015, 400),
    // What templates declare.
    ("game1", "player.get", r#"{"player_id": 5}"#, 2101, 404),
    ("game1", "item.get", r#"{"player_id": 1001, "item_id": 10020001}"#, 2121, 404),
    ("game1", "order.get", r#"{"order_no": "SO0-0000"}"#, 2131, 404),
    (
        "game1",
        "order.count",
        r#"{"status": 1, "created_from": "2026-01-02T00:00:00Z", "created_before": "2026-01-02T00:00:00Z"}"#,
        2134,
        422,
    ),
];

#[test]
fn refused_request_has_the_same_code_over_every_transport_and_the_next_one_is_served() {
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let game = Credential::with_roles(&["game_server", "admin"]);
    let mut wrong = Vec::new();
    for (name, operation, params, code, status) in CASES {
        // A name given twice is not a JSON value: it goes out as text, below.
        if *code == 2014 {
            continue;
        }
        let who = if *operation == "player.insert" || *operation == "player.update" {
            &game
        } else {
            &admin
        };
        let params: Value = serde_json::from_str(params).unwrap();
        let answer = call_everywhere(&gateway, who, name, operation, &params);
        if (answer.code, answer.status) != (*code, Some(*status)) {
            wrong
                .push(format!("{name} {operation} {params}: {code} {status} expected, {answer:?}"));
        }
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{operation} {params}: no message in {}", answer.body);
        for word in ["SELECT", "sqlite", "no such table", ".rs"] {
            assert!(!message.contains(word), "{operation} {params} tells the inside: {message}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let good = json!({ "player_id": 1001 });
    assert_eq!(call_everywhere(&gateway, &admin, "game1", "player.get", &good).code, 0);
}

#[test]
fn parameter_given_twice_is_refused_over_every_transport() {
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let twice = br#"{"player_id": 1001, "player_id": 1002}"#;
    let target = "/v1/game1/call/player.get";
    let reply = gateway.http().request("POST", target, &admin.headers(), twice);
    assert_eq!((reply.status, reply.code()), (400, 2014));
    let reply = gateway.http().get("/v1/game1/players/1001?player_id=1001", &admin.headers());
    assert_eq!((reply.status, reply.code()), (400, 2014));

    let mut wire = gateway.connect("game1", &admin, Codec::Json);
    let payload = br#"["player.get", {"player_id": 1001, "player_id": 1002}]"#.to_vec();
    let reply = wire.exchange(&Frame { codec: 1, ..frame(CALL, 500, payload) });
    assert_eq!((reply.id, reply.number), (500, 2014));

    // MessagePack: an array of a name and a map of two entries with one key.
    let mut payload = vec![0x92, 0xaa];
    payload.extend(b"player.get");
    payload.push(0x82);
    for number in [1, 2] {
        payload.push(0xa9);
        payload.extend(b"player_id");
        payload.push(number);
    }
    let reply = wire.exchange(&frame(CALL, 501, payload));
    assert_eq!((reply.id, reply.number), (501, 2014));
}

#[test]
fn number_beyond_64_bits_is_refused_and_never_rounded() {
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    for (number, code) in [
        ("9223372036854775808", 2012),
        ("18446744073709551616", 1101),
        ("-9223372036854775809", 1101),
        ("1e400", 1101),
    ] {
        let body = format!(r#"{{"player_id": {number}}}"#);
        let target = "/v1/game1/call/player.get";
        let reply = gateway.http().request("POST", target, &admin.headers(), body.as_bytes());
        assert_eq!((reply.status, reply.code()), (400, code), "{number}: {}", reply.text());
    }
}

#[test]
fn cursor_of_other_filters_or_order_or_game_or_of_somebodys_own_making_is_refused() {
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let search =
        |params: &Value| Transport::Http.call(&gateway, &admin, "game1", "player.search", params);
    let first = search(&json!({ "server_id": 1, "limit": 5 })).body;
    let cursor = first["next"].as_str().unwrap().to_owned();
    assert_eq!(search(&json!({ "server_id": 1, "limit": 5, "cursor": cursor })).code, 0);
    assert_eq!(search(&json!({ "server_id": 1, "limit": 9, "cursor": cursor })).code, 0);
    let other = json!({ "server_id": 2, "limit": 5, "cursor": cursor });
    assert_eq!(search(&other).code, 2015, "{other}");
    let other = json!({ "server_id": 1, "limit": 5, "sort": "level", "cursor": cursor });
    assert_eq!(search(&other).code, 2015, "{other}");
    let flipped: String = cursor
        .chars()
        .rev()
        .enumerate()
        .map(|(i, c)| if i == 3 { next_letter(c) } else { c })
        .collect();
    let flipped: String = flipped.chars().rev().collect();
    assert_eq!(search(&json!({ "server_id": 1, "limit": 5, "cursor": flipped })).code, 2015);
    let other = Transport::Http.call(
        &gateway,
        &admin,
        "game2",
        "player.search",
        &json!({ "server_id": 1, "limit": 5, "cursor": cursor }),
    );
    assert_eq!(other.code, 2015);
}

/// Another letter of the cursor's alphabet.
const fn next_letter(letter: char) -> char {
    if letter == 'A' { 'B' } else { 'A' }
}

#[test]
fn every_refusal_in_the_table_is_a_distinct_sentence_for_its_client() {
    // Two causes with one code have to be told apart by the message: it names the parameter.
    let gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let mut named = BTreeSet::new();
    for (operation, params, parameter) in [
        ("player.get", json!({ "player_id": "x" }), "player_id"),
        ("player.search", json!({ "server_id": "x" }), "server_id"),
        ("player.search", json!({ "server_id": 1, "surplus": 1 }), "surplus"),
    ] {
        let answer = Transport::Http.call(&gateway, &admin, "game1", operation, &params);
        let message = answer.body["message"].as_str().unwrap().to_owned();
        assert!(message.contains(parameter), "{message}");
        named.insert(message);
    }
    assert_eq!(named.len(), 3);
}

#[test]
fn bytes_that_are_no_request_are_answered_with_a_problem_behind_what_is_owed() {
    let gateway = Setup::sqlite().start();
    for first in [
        String::new(),
        format!(
            "GET /v1/game1/players/1001 HTTP/1.1\r\nHost: a\r\n{}\r\n",
            format_args!("X-API-Key: {ADMIN_KEY}\r\n")
        ),
    ] {
        let mut http = gateway.http();
        assert!(http.send_bytes(format!("{first}no such thing\r\n\r\n").as_bytes()));
        if !first.is_empty() {
            assert_eq!(http.read().expect("the answer").status, 200);
        }
        let reply = http.read().expect("a refusal");
        assert_eq!((reply.status, reply.code()), (400, 1101));
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert!(http.read().is_none());
    }
    let counted = || gateway.metric("gateway_requests_total", &["category=\"frame\""]);
    wait_until("both are counted", || (counted() > 1.5).then_some(()));
}
