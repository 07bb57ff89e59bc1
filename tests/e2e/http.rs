//! HTTP: routes, broken requests, headers that browsers and caches need.

use std::process::Command;

use gateway_tests::{ADMIN_KEY, Credential, Gateway, Setup, is_installed};
use serde_json::json;

const PLAYER: &str = "/v1/game1/players/1001";

fn admin() -> String {
    Credential::ApiKey(ADMIN_KEY.to_owned()).headers()
}

#[track_caller]
fn serves(gateway: &Gateway<'_>) {
    let reply = gateway.http().get(PLAYER, &admin());
    assert_eq!((reply.status, &reply.json()["nickname"]), (200, &json!("Player1001")));
}

#[test]
fn routes_take_parameters_from_path_query_and_body() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    let reply = http.get(PLAYER, &admin());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["nickname"], "Player1001");

    let reply = http.get(
        "/v1/game1/players?server_id=3&limit=2&vip_levels=2&vip_levels=12&sort=level",
        &admin(),
    );
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = http.get("/v1/game1/players:batch_get?player_ids=1001&player_ids=1002", &admin());
    assert_eq!(reply.json().as_array().map(Vec::len), Some(2));
    let reply = http.get("/v1/game1/players:batch_get?player_ids=1001", &admin());
    assert_eq!(reply.json().as_array().map(Vec::len), Some(1), "one value is a list of one");
    let reply = http.get("/v1/game1/players?server_id=3&name_prefix=Player%31003", &admin());
    assert_eq!(reply.json()["items"].as_array().map(Vec::len), Some(1));

    let body = json!({ "version": 1, "player_level": 42 });
    let reply = http.send_json("PATCH", PLAYER, &admin(), &body);
    assert_eq!((reply.status, &reply.json()["affected"]), (200, &json!(1)));
    assert_eq!(http.get(PLAYER, &admin()).json()["player_level"], 42);
    let reply = http.request("DELETE", "/v1/game1/players/1001?version=2", &admin(), b"");
    assert_eq!((reply.status, &reply.json()["affected"]), (200, &json!(1)));
    assert_eq!(http.get(PLAYER, &admin()).code(), 2101);
}

#[test]
fn refusal_is_problem_json_with_code_and_message() {
    let gateway = Setup::sqlite().start();
    let reply = gateway.http().get("/v1/game1/players/5", &admin());
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.json()["code"], 2101);
    assert_eq!(reply.json()["message"], "PLAYER_NOT_FOUND");
    assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()));
}

#[test]
fn request_that_no_route_takes_is_refused_with_its_code() {
    let gateway = Setup::sqlite().start();
    let cases: &[(&str, &str, u16, u16)] = &[
        ("GET", "/", 404, 2001),
        ("GET", "/v1/game1/nothing", 404, 2001),
        ("GET", "/v1/game1/players/1001/", 404, 2001),
        ("GET", "/v1/game9/players/1001", 404, 2000),
        ("GET", "/v1/game1/players/1001/characters/..%2f..", 400, 2011),
        ("PUT", "/v1/game1/players/1001", 405, 2004),
        ("BREW", "/v1/game1/players/1001", 405, 2004),
        ("GET", "/v1/game1/call/player.get", 405, 2004),
        ("GET", "/v1/game1/players/one", 400, 2011),
        ("GET", "/v1/game1/players/0", 400, 2012),
        ("GET", "/v1/game1/players/1001?surplus=1", 400, 2013),
        ("GET", "/v1/game1/players?server_id=1&server_id=2", 400, 2014),
        ("GET", "/v1/game1/players", 400, 2010),
        ("GET", "/v1/game1/players?server_id=%ff", 400, 1101),
        ("GET", "/v1/game1/players?server_id=1&name_prefix=%zz", 400, 1101),
    ];
    let mut wrong = Vec::new();
    for (method, target, status, code) in cases {
        let reply = gateway.http().request(method, target, &admin(), b"");
        if (reply.status, reply.code()) != (*status, *code) {
            wrong.push(format!("{method} {target}: {status} {code} expected, {}", reply.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let reply = gateway.http().request("PUT", PLAYER, &admin(), b"");
    let allow = reply.header("allow").unwrap_or_default().to_owned();
    assert!(["GET", "PATCH", "DELETE"].iter().all(|method| allow.contains(method)), "{allow}");
}

#[test]
fn broken_body_is_refused_as_malformed() {
    let gateway = Setup::sqlite().start();
    let deep = format!("{{\"player_id\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies: &[&[u8]] = &[
        b"{",
        b"[]",
        b"7",
        b"null",
        b"{\"player_id\": 1001} x",
        b"{\"player_id\": 01}",
        b"{\"player_id\": \"\xff\"}",
        b"\xef\xbb\xbf{\"player_id\": 1001}",
        b"{player_id: 1001}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let reply = gateway.http().request("POST", "/v1/game1/call/player.get", &admin(), body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!((reply.status, reply.code()), (400, 1101), "{shown}: {}", reply.text());
    }
    serves(&gateway);
}

#[test]
fn body_at_the_limit_passes_and_one_byte_more_is_refused_before_it_is_read() {
    let gateway = Setup::sqlite().set("/server/http/body_bytes_max", json!(2048)).start();
    let padded = |bytes: usize| {
        let mut body = br#"{"player_id": 1001}"#.to_vec();
        body.resize(bytes, b' ');
        body
    };
    let target = "/v1/game1/call/player.get";
    assert_eq!(gateway.http().request("POST", target, &admin(), &padded(2048)).status, 200);
    // The last one is more than a socket's buffers hold: the client still writes when the answer comes.
    for bytes in [2049, 100_000, 8 << 20] {
        let reply = gateway.http().request("POST", target, &admin(), &padded(bytes));
        assert_eq!((reply.status, reply.code()), (413, 1102), "{bytes}");
    }

    let mut http = gateway.http();
    let announced = format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
        admin()
    );
    assert!(http.send_bytes(announced.as_bytes()));
    assert_eq!(http.read().expect("an answer before the body").status, 413);

    let mut http = gateway.http();
    let chunked = format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        admin()
    );
    assert!(http.send_bytes(chunked.as_bytes()));
    for _ in 0..3 {
        if !http.send_bytes(format!("400\r\n{}\r\n", " ".repeat(0x400)).as_bytes()) {
            break;
        }
    }
    assert_eq!(http.read().expect("an answer before the end").status, 413);
    serves(&gateway);
}

#[test]
fn header_over_the_limit_is_refused() {
    let gateway = Setup::sqlite().start();
    for bytes in [20_000, 2_000_000] {
        let mut http = gateway.http();
        let head = format!(
            "GET {PLAYER} HTTP/1.1\r\nHost: a\r\n{}X-Long: {}\r\n\r\n",
            admin(),
            "a".repeat(bytes)
        );
        let _taken = http.send_bytes(head.as_bytes());
        // 431 is HTTP's own word for it.
        let reply = http.read().expect("an answer to the flood");
        assert_eq!((reply.status, reply.code()), (431, 1102));
    }
    serves(&gateway);
}

#[test]
fn request_that_two_readers_could_read_differently_is_refused() {
    let gateway = Setup::sqlite().start();
    let good = format!("GET {PLAYER} HTTP/1.1\r\nHost: a\r\n{}\r\n", admin());
    let heads = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4, 5\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ];
    for head in heads {
        let mut http = gateway.http();
        let request = format!(
            "POST /v1/game1/call/player.get HTTP/1.1\r\nHost: a\r\n{}{head}\r\n0\r\n\r\n{good}",
            admin()
        );
        assert!(http.send_bytes(request.as_bytes()));
        let reply = http.read().unwrap_or_else(|| panic!("{head:?}: closed without a word"));
        assert_eq!(reply.status, 400, "{head:?}: {}", reply.text());
        assert!(http.read().is_none(), "{head:?}: the bytes behind it were served as a request");
    }
    serves(&gateway);
}

#[test]
fn bytes_that_are_no_request_are_refused_and_closed() {
    let gateway = Setup::sqlite().start();
    let junk: &[&[u8]] = &[
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ];
    for bytes in junk {
        let mut http = gateway.http();
        assert!(http.send_bytes(bytes));
        http.half_close();
        assert_eq!(http.read().expect("an answer").status, 400, "{bytes:?}");
        assert!(http.read().is_none(), "{bytes:?}");
    }
    serves(&gateway);
}

#[test]
fn client_that_is_too_slow_is_closed_in_header_and_in_body() {
    let gateway = Setup::sqlite().set("/server/http/read_timeout", json!("500ms")).start();
    let starts = [
        "GET /v1/game1/players/1001 HT".to_owned(),
        format!(
            "POST /v1/game1/call/player.get HTTP/1.1\r\nHost: a\r\n{}Content-Length: 20\r\n\r\n{{",
            admin()
        ),
    ];
    for start in starts {
        let mut http = gateway.http();
        assert!(http.send_bytes(start.as_bytes()));
        if let Some(reply) = http.read() {
            assert!((400..504).contains(&reply.status), "{start}: {}", reply.status);
            assert!(http.read().is_none(), "{start}");
        }
    }
    serves(&gateway);
}

#[test]
fn client_that_sends_no_more_still_gets_its_reply() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    assert!(
        http.send_bytes(format!("GET {PLAYER} HTTP/1.1\r\nHost: a\r\n{}\r\n", admin()).as_bytes())
    );
    http.half_close();
    assert_eq!(http.read().expect("the reply").json()["nickname"], "Player1001");
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    let request = |id| format!("GET /v1/game1/players/{id} HTTP/1.1\r\nHost: a\r\n{}\r\n", admin());
    let requests: Vec<String> = (1001..1031).map(request).collect();
    assert!(http.send_bytes(requests.concat().as_bytes()));
    for id in 1001..1031 {
        assert_eq!(http.read().expect("a reply").json()["player_id"], id.to_string());
    }
}

#[test]
fn connection_that_asks_to_be_closed_is_closed() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    let reply = http.get(PLAYER, &format!("{}Connection: close\r\n", admin()));
    assert_eq!(reply.status, 200);
    assert!(http.read().is_none());
}

#[test]
fn headers_that_mean_nothing_to_an_operation_are_refused_and_it_does_not_run() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    for header in ["X-Dry-Run: true", "Idempotency-Key: a", "If-Match: \"1\""] {
        let headers = format!("{}{header}\r\n", admin());
        let read = http.get(PLAYER, &headers);
        assert_eq!((read.status, &read.json()["code"]), (400, &json!(1103)), "{header}");
        let batch = json!([{ "operation": "player.get", "params": { "player_id": 1001 } }]);
        let reply = http.send_json("POST", "/v1/game1/batch", &headers, &batch);
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(1103)), "{header}");
    }
}

#[test]
fn etag_answers_304_until_the_row_changes() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    let reply = http.get(PLAYER, &admin());
    let etag = reply.header("etag").expect("an ETag").to_owned();
    assert!(etag.starts_with('"') || etag.starts_with("W/\""), "{etag}");
    assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
    let conditions = [
        etag.clone(),
        format!("\"x\", {etag}"),
        "*".to_owned(),
        format!("W/{}", etag.trim_start_matches("W/")),
    ];
    for condition in conditions {
        let reply = http.get(PLAYER, &format!("{}If-None-Match: {condition}\r\n", admin()));
        assert_eq!((reply.status, reply.body.len()), (304, 0), "{condition}");
        assert_eq!(reply.header("etag"), Some(&*etag));
    }
    let reply = http.send_json("PATCH", PLAYER, &admin(), &json!({ "version": 1, "gold": 5 }));
    assert_eq!(reply.json()["affected"], 1);
    let reply = http.get(PLAYER, &format!("{}If-None-Match: {etag}\r\n", admin()));
    assert_eq!((reply.status, &reply.json()["gold"]), (200, &json!("5")));
}

#[test]
fn public_operation_needs_no_credential_and_a_cdn_may_keep_it() {
    let gateway = Setup::sqlite().start();
    let reply = gateway.http().get("/v1/game1/players:top?server_id=1", "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let control = reply.header("cache-control").unwrap_or_default().to_owned();
    assert!(control.contains("public") && control.contains("max-age=30"), "{control}");
    let private = gateway.http().get("/v1/game1/orders/100100001", &admin());
    assert_ne!(
        private.header("cache-control"),
        Some("public"),
        "an uncached operation is nobody's"
    );
}

#[test]
fn cross_origin_page_is_let_in_only_when_it_is_listed() {
    let origin = "https://shop.example";
    let gateway = Setup::sqlite().set("/server/http/cors/origins", json!([origin])).start();
    let ask = |origin: &str| {
        let headers = format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: authorization\r\n"
        );
        gateway.http().request("OPTIONS", PLAYER, &headers, b"")
    };
    let reply = ask(origin);
    assert!([200, 204].contains(&reply.status), "{}", reply.status);
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
    let methods = reply.header("access-control-allow-methods").unwrap_or_default().to_owned();
    assert!(methods.contains("PATCH"), "{methods}");
    assert_eq!(ask("https://evil.example").header("access-control-allow-origin"), None);

    let reply = gateway.http().get(PLAYER, &format!("{}Origin: {origin}\r\n", admin()));
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
    assert!(reply.header("vary").is_some_and(|it| it.to_ascii_lowercase().contains("origin")));
    let readable = reply.header("access-control-expose-headers").unwrap_or_default().to_owned();
    for name in ["etag", "location", "retry-after", "x-deprecated", "x-request-id", "x-template"] {
        assert!(readable.split(", ").any(|it| it == name), "{name} in {readable}");
    }
}

#[test]
fn batch_answers_each_call_in_order() {
    let gateway = Setup::sqlite().start();
    let calls = json!([
        { "operation": "player.get", "params": { "player_id": 1001 } },
        { "operation": "player.get", "params": { "player_id": 5 } },
        { "operation": "player.nothing", "params": {} },
    ]);
    let reply = gateway.http().send_json("POST", "/v1/game1/batch", &admin(), &calls);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answers = reply.json();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
    assert_eq!(codes, [json!(0), json!(2101), json!(2001)]);
    assert_eq!(answers[0]["body"]["nickname"], "Player1001");
}

#[test]
fn request_id_of_the_client_is_echoed_when_it_is_fit_and_never_breaks_a_header() {
    let gateway = Setup::sqlite().start();
    let reply = gateway.http().get(PLAYER, &format!("{}X-Request-Id: abc-123\r\n", admin()));
    assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()));
    let long = "x".repeat(5000);
    let reply = gateway.http().get(PLAYER, &format!("{}X-Request-Id: {long}\r\n", admin()));
    assert!(reply.header("x-request-id").is_some_and(|id| id.len() <= 256));
}

#[test]
fn http2_is_served_without_tls_by_prior_knowledge() {
    if !is_installed("curl") {
        return;
    }
    let gateway = Setup::sqlite().start();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "60"])
        .args(["--write-out", "\n%{http_version} %{http_code}", "--header"])
        .arg(format!("X-API-Key: {ADMIN_KEY}"))
        .arg(format!("http://{}{PLAYER}", gateway.http_address()))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, last) = text.rsplit_once('\n').unwrap();
    assert_eq!(last, "2 200", "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(body.contains("Player1001"), "{body}");
}
