//! Dead letters of a game with `queue: stream`, by the same commands and the same port as those of the journal.

use gateway_tests::{Gateway, Http, Redis, Response, Setup, run, shared_mariadb, wait_until};
use serde_json::{Value, json};

use crate::letters::{STRANGER, create, order_of_a_player, state};

/// A gateway whose orders of players that there are not die.
fn with_letters(check: impl FnOnce(&Gateway<'_>, &mut Redis)) {
    let (Some(server), Some(mut redis)) = (shared_mariadb(), Redis::start_durable()) else {
        return;
    };
    let gateway = Setup::on(server)
        .own_templates()
        .template("_base/order/create.sql", &order_of_a_player(2))
        .set("/queue", json!({ "url": redis.url(), "lease": "1s", "streams": 4 }))
        .set("/games/game1/queue", json!("stream"))
        .start();
    check(&gateway, &mut redis);
}

fn becomes(gateway: &Gateway<'_>, order_no: &str, wanted: &Value) {
    wait_until("the order has that state", || (state(gateway, order_no) == *wanted).then_some(()));
}

/// All letters that lie in the streams.
fn letters(gateway: &Gateway<'_>) -> Vec<Value> {
    let listed = gateway.admin("/journal").json();
    let streams = listed["streams"].as_array().expect("it has streams");
    streams.iter().flat_map(|stream| stream["letters"].as_array().unwrap().clone()).collect()
}

fn command(gateway: &Gateway<'_>, line: &[&str]) -> gateway_tests::Output {
    let admin = format!("http://{}", gateway.admin_address());
    run(&[&["journal"], line, &["--admin", &admin, "--operator", "carol"]].concat())
}

fn post(gateway: &Gateway<'_>, target: &str) -> Response {
    Http::connect(gateway.admin_address()).request("POST", target, "", b"")
}

#[test]
fn letter_of_a_stream_is_listed_shown_tried_again_and_dropped() {
    with_letters(|gateway, redis| {
        create(gateway, "stream-0001", STRANGER);
        becomes(gateway, "stream-0001", &json!("dead"));
        let [letter] = &letters(gateway)[..] else { panic!("one letter") };
        let id = letter["id"].as_str().unwrap();
        assert!(id.starts_with("game1."), "{id}");
        assert_eq!(
            (&letter["dead"]["code"], &letter["key"]),
            (&json!(2101), &json!("stream-0001"))
        );
        assert_eq!(letter["lane_value"], json!(STRANGER.to_string()));
        let listed = command(gateway, &["list"]).succeeded();
        assert!(listed.contains(id) && listed.contains("1 dead, 0 waiting in streams"), "{listed}");
        let shown = command(gateway, &["show", id]).succeeded();
        assert!(shown.contains("channel = ***") && shown.contains("qty = 1"), "{shown}");
        wait_until("the metric counts it", || {
            let labels = ["game=\"game1\"", "state=\"dead\""];
            (gateway.metric("gateway_stream_backlog_records", &labels) > 0.0).then_some(())
        });

        // Behind a later order of its player it needs force.
        create(gateway, "stream-0002", STRANGER);
        becomes(gateway, "stream-0002", &json!("dead"));
        assert_eq!(post(gateway, &format!("/journal/{id}/retry")).status, 409);
        let mended = format!("UPDATE player SET player_id = {STRANGER} WHERE player_id = 1100");
        gateway.sql("game1", &mended);
        let tried = command(gateway, &["retry", id, "--force"]).succeeded();
        assert!(tried.contains("waits again"), "{tried}");
        becomes(gateway, "stream-0001", &json!("committed"));

        let [left] = &letters(gateway)[..] else { panic!("one letter") };
        let id = left["id"].as_str().unwrap();
        command(gateway, &["drop", id]).succeeded();
        becomes(gateway, "stream-0002", &json!(404));
        assert!(letters(gateway).is_empty());
        assert_eq!(command(gateway, &["drop", id]).status, Some(1));
        for (target, status) in [
            ("/journal/game1.0.77/drop", 404),
            ("/journal/game1.0/drop", 404),
            ("/journal/game1.0.77/bury?reason=x", 404),
        ] {
            assert_eq!(post(gateway, target).status, status, "{target}");
        }
        let log = gateway.log();
        assert!(log.contains("journal_handled") && log.contains("carol at 127.0.0.1"), "{log}");

        // Redis away: of the journal is told all the same.
        redis.kill();
        let listed = gateway.admin("/journal").json();
        assert!(listed["streams_error"].is_string() && listed["backlog"].is_object(), "{listed}");
        assert_eq!(post(gateway, &format!("/journal/{id}/drop")).status, 503);
    });
}
