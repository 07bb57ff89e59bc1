//! HTTP/1.1 without hyper: the same answers as with it, whatever arrives in whatever pieces.

use gateway_tests::{ADMIN_KEY, Credential, Gateway, Http, Response, Setup};
use serde_json::json;

pub(crate) const PLAYER: &str = "/v1/game1/players/1001";

/// A field that hyper has to look at, and that changes nothing.
const NOT_PLAIN: &str = "TE: trailers\r\n";

/// Requests after which a thread knows what they look like.
pub(crate) const ALIKE: usize = 20;

pub(crate) fn admin() -> String {
    Credential::ApiKey(ADMIN_KEY.to_owned()).headers()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{}\r\n", admin())
}

fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
        admin()
    )
}

/// What of a reply does not depend on when it was made.
fn lasting(reply: &Response) -> (u16, Vec<(String, String)>, String) {
    let changes = |name: &str| ["date", "x-request-id"].contains(&name);
    let mut headers = reply.headers.clone();
    assert_eq!(headers.iter().filter(|(name, _)| changes(name)).count(), 2, "{headers:?}");
    headers.retain(|(name, _)| !changes(name));
    headers.sort();
    (reply.status, headers, reply.text())
}

#[track_caller]
fn read_player(http: &mut Http, id: &str) {
    let reply = http.read().expect("a reply");
    assert_eq!((reply.status, &reply.json()["player_id"]), (200, &json!(id)), "{}", reply.text());
}

/// A gateway for which every kind of answer can be asked.
pub(crate) fn gateway() -> Gateway<'static> {
    let old = "-- @desc one player, as it was called\n-- @kind one\n-- @param player_id bigint\n\
               -- @result player_id bigint\n-- @allow public\n-- @deprecated ask player.get\n\
               -- @http GET /v1/{game}/old/{player_id}\n-- @cache l1=10m tag=player:{player_id}\n\
               SELECT p.player_id FROM player p WHERE p.player_id = :player_id\n";
    let maybe = "-- @desc one player, or none\n-- @kind optional\n-- @param player_id bigint\n\
                 -- @result player_id bigint\n-- @allow public\n-- @http GET /v1/{game}/maybe/{player_id}\n\
                 -- @cache l1=10m negative=10m tag=player:{player_id}\n\
                 SELECT p.player_id FROM player p WHERE p.player_id = :player_id\n";
    Setup::sqlite()
        .set("/server/http/cors/origins", json!(["https://shop.example"]))
        .own_templates()
        .template("_base/player/old.sql", old)
        .template("_base/player/maybe.sql", maybe)
        .start()
}

/// Requests without a body: method, target, further lines of the head.
fn heads(admin: &str, etag: &str) -> Vec<(&'static str, &'static str, String)> {
    let player = Credential::player(1001).headers();
    vec![
        ("GET", PLAYER, admin.to_owned()),
        ("GET", PLAYER, format!("{admin}X-Request-Id: abc-123\r\n")),
        ("GET", PLAYER, format!("{admin}X-Request-Id: not fit\r\n")),
        ("GET", PLAYER, format!("{admin}If-None-Match: {etag}\r\n")),
        ("GET", PLAYER, format!("{admin}If-None-Match: \"x\"\r\nIf-None-Match: *\r\n")),
        ("GET", PLAYER, format!("{admin}If-None-Match: \"x\"\r\n")),
        ("GET", PLAYER, format!("{admin}Origin: https://shop.example\r\n")),
        ("GET", PLAYER, format!("{admin}Origin: https://evil.example\r\n")),
        ("GET", PLAYER, format!("{admin}X-Deadline-Ms: 500\r\n")),
        ("GET", PLAYER, format!("{admin}X-Deadline-Ms: x\r\n")),
        ("GET", PLAYER, format!("{admin}X-Dry-Run: true\r\n")),
        ("GET", PLAYER, format!("{admin}X-Dry-Run: maybe\r\n")),
        ("GET", PLAYER, format!("{admin}Idempotency-Key: a\r\n")),
        ("GET", PLAYER, format!("{admin}If-Match: \"1\"\r\n")),
        ("GET", PLAYER, player.clone()),
        ("GET", "/v1/game1/players/1002", player),
        ("GET", PLAYER, String::new()),
        ("GET", PLAYER, "X-API-Key: wrong\r\n".to_owned()),
        ("GET", PLAYER, "Authorization: Basic YTpi\r\n".to_owned()),
        ("GET", PLAYER, "Authorization: \r\n".to_owned()),
        ("GET", PLAYER, "Authorization: Bearer nothing\r\n".to_owned()),
        ("GET", PLAYER, format!("{admin}Authorization: Bearer a.b.c\r\n")),
        ("GET", "/v1/game1/players/5", admin.to_owned()),
        ("GET", "/v1/game1/maybe/5", format!("If-None-Match: {etag}\r\n")),
        ("GET", "/v1/game1/maybe/1001", String::new()),
        ("GET", "/v1/game1/players/one", admin.to_owned()),
        ("GET", "/v1/game1/players/%31001", admin.to_owned()),
        ("GET", "/v1/game1/players/1001?surplus=1", admin.to_owned()),
        ("GET", "/v1/game1/players/1001?a=%zz", admin.to_owned()),
        ("GET", "/v1/game1/players/1001/", admin.to_owned()),
        ("GET", "/v1/game1/nothing", admin.to_owned()),
        ("GET", "/v1/game9/players/1001", admin.to_owned()),
        ("GET", "/", admin.to_owned()),
        ("GET", "/v1/game1/call/player.get", admin.to_owned()),
        ("GET", "/v1/game1/batch", admin.to_owned()),
        ("GET", "/v1/game1/old/1001", String::new()),
        ("GET", "/v1/game1/players:top?server_id=1", String::new()),
        (
            "GET",
            "/v1/game1/players?server_id=3&limit=2&vip_levels=2&vip_levels=12",
            admin.to_owned(),
        ),
        ("HEAD", PLAYER, admin.to_owned()),
        ("HEAD", "/v1/game1/players/5", admin.to_owned()),
        ("PUT", PLAYER, admin.to_owned()),
        ("DELETE", "/v1/game1/players/1001?version=77", admin.to_owned()),
    ]
}

#[test]
fn answers_are_the_same_with_and_without_hyper() {
    let gateway = gateway();
    let admin = admin();
    let etag = gateway.http().get(PLAYER, &admin).header("etag").expect("a tag").to_owned();
    let heads = heads(&admin, &etag);
    let bodies = [
        ("/v1/game1/call/player.get", "{\"player_id\":1001}"),
        ("/v1/game1/call/player.get", "{\"player_id\":0}"),
        ("/v1/game1/call/player.get", "{"),
        ("/v1/game1/call/player.get", ""),
        ("/v1/game1/call/nothing", "{}"),
        ("/v1/game1/batch", "[{\"operation\":\"player.get\",\"params\":{\"player_id\":1001}}]"),
        ("/v1/game1/batch", "[1]"),
    ];
    let (mut plain, mut hyper) = (gateway.http(), gateway.http());
    let mut compare = |method: &str, target: &str, headers: &str, body: &str| {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{headers}");
        let ask = |http: &mut Http, more: &str| {
            assert!(http.send_bytes(format!("{head}{more}\r\n{body}").as_bytes()));
            let reply = if method == "HEAD" { http.read_head() } else { http.read() };
            reply.unwrap_or_else(|| panic!("{head}: no reply"))
        };
        // The first fills the cache, and makes the credential known.
        ask(&mut hyper, NOT_PLAIN);
        let (own, theirs) = (ask(&mut plain, ""), ask(&mut hyper, NOT_PLAIN));
        assert_eq!(lasting(&own), lasting(&theirs), "{head}");
        for _ in 0..if method == "GET" { ALIKE } else { 0 } {
            let again = ask(&mut plain, "");
            assert_eq!(lasting(&again), lasting(&theirs), "again: {head}");
        }
        let echoed = |reply: &Response| {
            reply.header("x-request-id").filter(|id| *id == "abc-123").map(str::to_owned)
        };
        assert_eq!(echoed(&own), echoed(&theirs), "{head}");
    };
    for (method, target, headers) in &heads {
        compare(method, target, headers, "");
    }
    for (target, body) in bodies {
        let length = format!("Content-Length: {}\r\n", body.len());
        for kind in ["", "Content-Type: application/json\r\n", "Content-Type: text/plain\r\n"] {
            compare("POST", target, &format!("{admin}{kind}{length}"), body);
        }
    }
}

#[test]
fn request_that_arrives_in_pieces_is_answered_wherever_it_is_cut() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    for request in [get(PLAYER), post("/v1/game1/call/player.get", "{\"player_id\":1001}")] {
        for cut in 1..request.len() {
            let (one, other) = request.split_at(cut);
            assert!(http.send_bytes(one.as_bytes()) && http.send_bytes(other.as_bytes()));
            read_player(&mut http, "1001");
        }
        assert!(request.bytes().all(|byte| http.send_bytes(&[byte])));
        read_player(&mut http, "1001");
    }
    // More than a first buffer holds, and the beginning of the next one with its end.
    let long =
        get(PLAYER).replace("\r\n\r\n", &format!("\r\nX-Long: {}\r\n\r\n", "a".repeat(5000)));
    let both = long.repeat(2);
    for cut in [1023, 1024, 1025, long.len() - 1, long.len(), long.len() + 1, both.len() - 1] {
        let (one, other) = both.split_at(cut);
        assert!(http.send_bytes(one.as_bytes()) && http.send_bytes(other.as_bytes()));
        read_player(&mut http, "1001");
        read_player(&mut http, "1001");
    }
}

#[test]
fn hits_misses_and_refusals_that_arrive_together_are_answered_in_order() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    assert_eq!(http.get(PLAYER, &admin()).status, 200);
    let all = [
        get(PLAYER),
        get("/v1/game1/players/1002"),
        get(PLAYER),
        get("/v1/game1/nothing"),
        post("/v1/game1/call/player.get", "{\"player_id\":1003}"),
        get("/v1/game1/players/1002"),
    ];
    for _ in 0..100 {
        assert!(http.send_bytes(all.concat().as_bytes()));
        for id in ["1001", "1002", "1001"] {
            read_player(&mut http, id);
        }
        assert_eq!(http.read().expect("a refusal").code(), 2001);
        for id in ["1003", "1002"] {
            read_player(&mut http, id);
        }
    }
}

#[test]
fn request_that_is_not_plain_takes_the_connection_to_hyper_with_all_that_is_behind_it() {
    let gateway = Setup::sqlite().start();
    let chunked = format!(
        "POST /v1/game1/call/player.get HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n12\r\n{{\"player_id\":1002}}\r\n0\r\n\r\n",
        admin()
    );
    let last = get("/v1/game1/players/1004").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let all = [get(PLAYER), chunked, get("/v1/game1/players/1003"), last].concat();
    for cut in (1..all.len()).step_by(7).chain([all.len()]) {
        let mut http = gateway.http();
        let (one, other) = all.split_at(cut);
        assert!(http.send_bytes(one.as_bytes()) && http.send_bytes(other.as_bytes()));
        for id in ["1001", "1002", "1003", "1004"] {
            read_player(&mut http, id);
        }
        assert!(http.read().is_none(), "it asked to be closed");
    }
}

#[test]
fn bytes_behind_a_plain_request_that_are_none_are_refused_after_its_answer() {
    let gateway = Setup::sqlite().start();
    for junk in [
        "\0\u{1}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /x HTTP/1.1\r\nNo colon\r\n\r\n",
    ] {
        let mut http = gateway.http();
        assert!(http.send_bytes(format!("{}{junk}", get(PLAYER)).as_bytes()));
        read_player(&mut http, "1001");
        assert_eq!(http.read().expect("a refusal").code(), 1101, "{junk:?}");
        assert!(http.read().is_none());
    }
}

#[test]
fn long_head_whose_lines_end_otherwise_is_left_to_hyper_and_not_waited_with() {
    let gateway = Setup::sqlite().start();
    for end in ["\r\n\r\n", "\n\n", "\n\r\n", "\r\n\n"] {
        for bytes in [10, 1100, 12_000] {
            let mut http = gateway.http();
            let head =
                format!("GET {PLAYER} HTTP/1.1\r\nHost: a\r\n{}X: {}", admin(), "a".repeat(bytes));
            assert!(http.send_bytes(format!("{head}{end}").as_bytes()));
            read_player(&mut http, "1001");
        }
    }
}

#[test]
fn client_that_ends_its_side_gets_the_answers_that_it_asked_for() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    assert!(http.send_bytes([get(PLAYER), get("/v1/game1/players/1002")].concat().as_bytes()));
    http.half_close();
    read_player(&mut http, "1001");
    read_player(&mut http, "1002");
    assert!(http.read().is_none());
    // In the middle of the next one.
    let mut http = gateway.http();
    assert!(http.send_bytes(format!("{}GET /v1/ga", get(PLAYER)).as_bytes()));
    http.half_close();
    read_player(&mut http, "1001");
    assert!(http.read().is_none());
}

#[test]
fn head_at_its_limit_passes_and_one_byte_more_is_refused() {
    let gateway = Setup::sqlite().set("/server/http/header_bytes_max", json!(8192)).start();
    let padded = |bytes: usize| {
        let head = get(PLAYER);
        let pad = "a".repeat(bytes - head.len() - "\r\nX: ".len());
        head.replace("\r\n\r\n", &format!("\r\nX: {pad}\r\n\r\n"))
    };
    let mut http = gateway.http();
    for _ in 0..2 {
        assert_eq!(padded(8192).len(), 8192);
        assert!(http.send_bytes(padded(8192).as_bytes()));
        read_player(&mut http, "1001");
    }
    assert!(http.send_bytes(padded(8193).as_bytes()));
    let reply = http.read().expect("a refusal");
    assert_eq!((reply.status, reply.code()), (431, 1102));
}

#[test]
fn client_that_reads_nothing_is_closed_and_no_more_is_served_for_it() {
    let gateway = Setup::sqlite().set("/server/http/write_timeout", json!("500ms")).start();
    let mut http = gateway.http();
    assert_eq!(http.get(PLAYER, &admin()).status, 200);
    let before = gateway.resident_bytes();
    // Some 100 MB of answers.
    let many = get(PLAYER).repeat(1_000);
    let was_cut = (0..150).any(|_| !http.send_bytes(many.as_bytes()));
    assert!(was_cut, "all of it was taken");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes wait for a client that does not read");
    assert_eq!(gateway.http().get(PLAYER, &admin()).status, 200);
}

#[test]
fn silent_connection_is_closed_after_the_idle_timeout_and_not_while_it_asks() {
    let gateway = Setup::sqlite().set("/server/http/idle_timeout", json!("1s")).start();
    let mut http = gateway.http();
    for _ in 0..3 {
        assert_eq!(http.get(PLAYER, &admin()).status, 200);
    }
    assert!(http.read().is_none(), "nobody asks any more");
}

#[test]
fn every_answer_is_counted_with_its_operation_and_logged() {
    let gateway = Setup::sqlite().set("/logging/requests", json!("all")).start();
    let mut http = gateway.http();
    let count = || gateway.metric("gateway_requests_total", &["operation=\"player.get\""]);
    let before = count();
    for number in 0..150 {
        let reply = http.get(PLAYER, &format!("{}X-Request-Id: own-{number}\r\n", admin()));
        assert_eq!(reply.header("x-request-id"), Some(&*format!("own-{number}")));
    }
    assert!((count() - before - 150.0).abs() < 0.5, "{before} {}", count());
    let log = || gateway.log();
    gateway_tests::wait_until("the last is in the log", || log().contains("own-149").then_some(()));
    let lines = log();
    assert!((0..150).all(|number| lines.contains(&format!("\"own-{number}\""))), "{lines}");
}
