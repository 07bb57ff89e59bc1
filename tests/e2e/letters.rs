//! Dead letters of a running gateway: listed, shown, tried again and dropped, over the admin port and by command.

use gateway_tests::{
    Credential, Gateway, Http, Response, Setup, run, sample, sql_templates, wait_until,
};
use serde_json::{Value, json};

/// A player that there is not, until a test makes it.
pub(crate) const STRANGER: i64 = 999_999;

/// The shipped order, but only of players that exist, given up after `dead` failures, with the channel masked.
pub(crate) fn order_of_a_player(dead: u32) -> String {
    let path = sql_templates().join("_base/order/create.sql");
    let shipped = std::fs::read_to_string(path).unwrap();
    let (head, body) = shipped.split_once("VALUES (").unwrap();
    let values = body.trim_end().trim_end_matches(')');
    head.replace("affected = 1", "affected = 1 else 2101 PLAYER_NOT_FOUND [404]")
        .replace("dead=10", &format!("dead={dead}"))
        .replace("-- @lane ", "-- @mask channel\n-- @lane ")
        + &format!("SELECT {values}\nFROM   player p\nWHERE  p.player_id = :player_id\n")
}

fn setup() -> Setup<'static> {
    Setup::sqlite().own_templates().template("_base/order/create.sql", &order_of_a_player(2))
}

pub(super) fn game() -> String {
    Credential::with_roles(&["game_server"]).headers()
}

pub(crate) fn create(gateway: &Gateway<'_>, order_no: &str, player: i64) {
    let order = sample::order(order_no, player, 1);
    let reply = gateway.http().send_json("POST", "/v1/game1/orders", &game(), &order);
    assert_eq!(reply.status, 202, "{}", reply.text());
}

/// What is told of an order.
pub(crate) fn state(gateway: &Gateway<'_>, order_no: &str) -> Value {
    let reply = gateway.http().get(&format!("/v1/game1/orders/{order_no}"), &game());
    if reply.status == 200 { reply.json()["state"].clone() } else { json!(reply.status) }
}

fn post(gateway: &Gateway<'_>, target: &str) -> Response {
    let mut http = Http::connect(gateway.admin_address());
    http.request("POST", target, "X-Operator: alice\r\n", b"")
}

/// Waits until so many letters lie there; their sequences and keys, in order.
fn letters(gateway: &Gateway<'_>, count: usize) -> Vec<(u64, String)> {
    wait_until("the letters lie there", || {
        let listed = gateway.admin("/journal").json();
        let dead = listed["dead"].as_array().unwrap();
        let letter =
            |it: &Value| (it["sequence"].as_u64().unwrap(), it["key"].as_str().unwrap().to_owned());
        (dead.len() == count).then(|| dead.iter().map(letter).collect())
    })
}

/// Runs `gateway journal … --admin`.
fn command(gateway: &Gateway<'_>, line: &str) -> gateway_tests::Output {
    let admin = format!("http://{}", gateway.admin_address());
    let words = ["journal"].into_iter().chain(line.split(' ')).chain(["--admin", &admin]);
    run(&words.collect::<Vec<_>>())
}

#[test]
fn dead_letter_is_listed_and_applied_when_it_is_tried_again_after_its_cause_is_mended() {
    let gateway = setup().start();
    create(&gateway, "letter-0001", STRANGER);
    let [(sequence, key)] = &letters(&gateway, 1)[..] else { panic!("one letter") };
    assert_eq!(key, "letter-0001");
    let listed = gateway.admin("/journal").json();
    assert_eq!(
        (
            &listed["backlog"]["dead"],
            &listed["backlog"]["records"],
            &listed["dead"][0]["dead"]["code"]
        ),
        (&json!(1), &json!(0), &json!(2101)),
        "{listed}"
    );
    let shown = gateway.admin(&format!("/journal/{sequence}")).json();
    assert_eq!(shown["params"]["player_id"], json!(STRANGER.to_string()), "{shown}");
    assert_eq!(shown["params"]["channel"], json!("***"), "{shown}");

    // The cause is still there: it dies again, as a new record.
    let tried = post(&gateway, &format!("/journal/{sequence}/retry"));
    assert_eq!(tried.status, 200, "{}", tried.text());
    let again = tried.json()["sequence"].as_u64().unwrap();
    assert!(again > *sequence);
    assert_eq!(letters(&gateway, 1)[0].0, again);
    assert_eq!(state(&gateway, "letter-0001"), "dead");

    let mended = format!("UPDATE player SET player_id = {STRANGER} WHERE player_id = 1100");
    gateway.sql("game1", &mended);
    let output = command(&gateway, &format!("retry {again}"));
    assert!(output.succeeded().contains("waits again"));
    wait_until("it is applied", || (state(&gateway, "letter-0001") == "committed").then_some(()));
    assert!(letters(&gateway, 0).is_empty());
    assert_eq!(gateway.admin(&format!("/journal/{again}")).status, 404);
    let log = gateway.log();
    assert!(log.contains("journal_handled") && log.contains("alice at 127.0.0.1"), "{log}");
}

#[test]
fn letter_of_a_guard_says_what_it_counted_and_every_list_the_value_of_its_lane() {
    let silent = order_of_a_player(2).replace(" else 2101 PLAYER_NOT_FOUND [404]", "");
    let gateway =
        Setup::sqlite().own_templates().template("_base/order/create.sql", &silent).start();
    create(&gateway, "letter-0001", STRANGER);
    letters(&gateway, 1);
    let letter = &gateway.admin("/journal").json()["dead"][0];
    assert_eq!((&letter["dead"]["code"], &letter["lane_value"]), (&json!(1303), &json!("999999")));
    let counted = "counted 0, its guard wants = 1";
    assert!(letter["dead"]["detail"].as_str().unwrap().contains(counted), "{letter}");
    // Clients are told no more than before.
    let told = gateway.http().get("/v1/game1/orders/letter-0001", &game()).text();
    assert!(told.contains("1303") && !told.contains("counted"), "{told}");
    let listed = command(&gateway, "list --operator bob").succeeded();
    assert!(listed.contains(counted) && listed.contains("lane=\"999999\""), "{listed}");
    let sequence = letters(&gateway, 1)[0].0;
    command(&gateway, &format!("drop {sequence} --operator bob")).succeeded();
    assert!(gateway.log().contains("bob at 127.0.0.1"), "{}", gateway.log());
    let refused = command(&gateway, "list --operator two\u{a0}words");
    assert!(refused.stderr.contains("--operator"), "{}", refused.text());
}

#[test]
fn dead_letter_behind_later_records_of_its_lane_is_tried_again_only_when_forced() {
    let gateway = setup().start();
    create(&gateway, "letter-0001", STRANGER);
    let first = letters(&gateway, 1)[0].0;
    create(&gateway, "letter-0002", STRANGER);
    letters(&gateway, 2);
    let refused = post(&gateway, &format!("/journal/{first}/retry"));
    assert_eq!(refused.status, 409, "{}", refused.text());
    let output = command(&gateway, &format!("retry {first}"));
    assert_eq!(output.status, Some(1));
    assert!(output.stderr.contains("--force"), "{}", output.stderr);
    let output = command(&gateway, &format!("retry {first} --force"));
    assert!(output.succeeded().contains("waits again"));
}

#[test]
fn dropped_letter_is_forgotten_and_its_order_may_come_again() {
    let gateway = setup().start();
    create(&gateway, "letter-0001", STRANGER);
    let sequence = letters(&gateway, 1)[0].0;
    let listed = command(&gateway, "list").succeeded();
    assert!(listed.contains("letter-0001") && listed.contains("2101"), "{listed}");
    let shown = command(&gateway, &format!("show {sequence}")).succeeded();
    assert!(shown.contains("channel = ***") && shown.contains("qty = 1"), "{shown}");
    command(&gateway, &format!("drop {sequence}")).succeeded();
    assert!(letters(&gateway, 0).is_empty());
    assert_eq!(state(&gateway, "letter-0001"), json!(404));
    assert_eq!(command(&gateway, &format!("drop {sequence}")).status, Some(1));
    create(&gateway, "letter-0001", STRANGER);
    assert!(letters(&gateway, 1)[0].0 > sequence);
}

#[test]
fn command_on_the_folder_of_a_running_gateway_says_what_to_type() {
    let gateway = setup().start();
    let config = gateway.folder().join("gateway.yaml").display().to_string();
    let output = run(&["journal", "--config", &config, "list"]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    let typed = format!("gateway journal list --admin http://{}", gateway.admin_address());
    assert!(output.stderr.contains(&typed), "{}", output.stderr);
    for (method, path) in [
        ("POST", "/journal"),
        ("GET", "/journal/1/retry"),
        ("POST", "/journal/x/drop"),
        ("GET", "/journalx"),
    ] {
        let mut http = Http::connect(gateway.admin_address());
        assert_eq!(http.request(method, path, "", b"").status, 404, "{method} {path}");
    }
    assert_eq!(post(&gateway, "/journal/7/drop").status, 404);
}

#[test]
fn journal_asks_for_the_token_where_there_is_one() {
    let token = "an-admin-token-of-the-tests-of-48-bytes-or-more!";
    let gateway = Setup::sqlite().set("/admin/token", json!(token)).start();
    assert_eq!(gateway.admin("/journal").status, 401);
    assert_eq!(post(&gateway, "/journal/1/drop").status, 401);
    let output = command(&gateway, "list");
    assert!(output.stderr.contains("GATEWAY_ADMIN_TOKEN"), "{}", output.text());
    let output = command(&gateway, &format!("list --token {token}"));
    assert_eq!(output.succeeded(), "0 dead, 0 waiting\n");
}
