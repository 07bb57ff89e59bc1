//! HTTP requests that look like ones before: nothing that changes their meaning is overlooked.

use gateway_tests::{Setup, Signal};
use serde_json::json;

use crate::http_plain::{ALIKE, PLAYER, admin, gateway};

#[test]
fn tag_that_was_sent_for_a_row_that_is_not_there_counts_for_one_that_is() {
    let gateway = gateway();
    let mut http = gateway.http();
    let maybe = |id: u32| format!("/v1/game1/maybe/{id}");
    let etag = http.get(&maybe(1001), "").header("etag").expect("a tag").to_owned();
    let held = format!("If-None-Match: {etag}\r\n");
    for _ in 0..=ALIKE {
        let reply = http.get(&maybe(5), &held);
        assert_eq!((reply.status, reply.text()), (200, "null".into()));
        let reply = http.get(&maybe(1001), &held);
        assert_eq!(reply.status, 304);
    }
}

#[test]
fn route_of_a_text_goes_before_one_with_braces_however_often_that_was_asked_for() {
    let template = |path: &str, text: &str| {
        let (param, value) = match path {
            "{name}" => ("-- @param name string(32)\n", ":name"),
            _ => ("", "'-'"),
        };
        format!(
            "-- @desc a name\n-- @kind one\n{param}-- @result name string\n-- @result found string\n-- @allow public\n\
             -- @http GET /v1/{{game}}/named/{path}\n-- @cache l1=10m\nSELECT {value} AS name, '{text}' AS found\n"
        )
    };
    let gateway = Setup::sqlite()
        .own_templates()
        .template("_base/named/any.sql", &template("{name}", "any"))
        .template("_base/named/top.sql", &template("top", "top"))
        .start();
    let mut http = gateway.http();
    // Under the other route's key in memory, so that whoever takes that one finds something.
    for _ in 0..2 {
        assert_eq!(http.get("/v1/game1/named/%74op", "").json()["found"], json!("any"));
    }
    for (name, found) in [("one", "any"), ("top", "top"), ("two", "any"), ("tops", "any")] {
        for _ in 0..=ALIKE {
            let reply = http.get(&format!("/v1/game1/named/{name}"), "");
            assert_eq!((reply.status, &reply.json()["found"]), (200, &json!(found)), "{name}");
        }
    }
}

#[test]
fn caller_whose_key_is_taken_away_is_refused_on_the_connection_on_which_all_looked_alike() {
    let mut gateway = gateway();
    let mut http = gateway.http();
    for _ in 0..=ALIKE {
        assert_eq!(http.get(PLAYER, &admin()).status, 200);
    }
    gateway.write_config("/auth/api_keys", json!([]));
    gateway.signal(Signal::Reload);
    let code = gateway_tests::wait_until("the key is revoked", || {
        let reply = http.get(PLAYER, &admin());
        (reply.status != 200).then(|| reply.code())
    });
    assert_eq!(code, 3003);
}
