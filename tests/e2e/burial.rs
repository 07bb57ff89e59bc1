//! Orders that operators give up on a running gateway: which wait and why, and that none is both given up and applied.

use std::io::Write as _;
use std::net::TcpStream;

use gateway_tests::{Credential, Gateway, Http, Setup, run, sample, sql_templates, wait_until};
use serde_json::{Value, json};

/// A player that there is not, until a test makes it.
const STRANGER: i64 = 999_999;

/// Words that a shell would take apart and a URL would not carry.
const REASON: &str = "ticket 42: refund & close 100%";

/// The shipped order, but only of players that exist, tried for as good as ever.
fn order_of_a_player() -> String {
    let path = sql_templates().join("_base/order/create.sql");
    let shipped = std::fs::read_to_string(path).unwrap();
    let (head, body) = shipped.split_once("VALUES (").unwrap();
    let values = body.trim_end().trim_end_matches(')');
    head.replace("affected = 1", "affected = 1 else 2101 PLAYER_NOT_FOUND [404]")
        .replace("dead=10", "dead=1000")
        + &format!("SELECT {values}\nFROM   player p\nWHERE  p.player_id = :player_id\n")
}

fn start() -> Gateway<'static> {
    let order = order_of_a_player();
    Setup::sqlite().own_templates().template("_base/order/create.sql", &order).start()
}

fn game() -> String {
    Credential::with_roles(&["game_server"]).headers()
}

fn create(gateway: &Gateway<'_>, order_no: &str) {
    let order = sample::order(order_no, STRANGER, 1);
    let reply = gateway.http().send_json("POST", "/v1/game1/orders", &game(), &order);
    assert_eq!(reply.status, 202, "{}", reply.text());
}

/// What is told of an order.
fn state(gateway: &Gateway<'_>, order_no: &str) -> Value {
    let reply = gateway.http().get(&format!("/v1/game1/orders/{order_no}"), &game());
    if reply.status == 200 { reply.json()["state"].clone() } else { json!(reply.status) }
}

/// Makes the player whose orders wait.
fn mend(gateway: &Gateway<'_>) {
    let sql = format!("UPDATE player SET player_id = {STRANGER} WHERE player_id = 1100");
    gateway.sql("game1", &sql);
}

fn command(gateway: &Gateway<'_>, line: &[&str]) -> gateway_tests::Output {
    let admin = format!("http://{}", gateway.admin_address());
    run(&[&["journal"], line, &["--admin", &admin, "--operator", "alice"]].concat())
}

#[test]
fn order_that_fails_says_why_it_waits_and_is_given_up_at_an_operators_word() {
    let gateway = start();
    for order_no in ["burial-0001", "burial-0002"] {
        create(&gateway, order_no);
    }
    let listed = wait_until("it failed", || {
        let listed = gateway.admin("/journal").json();
        (listed["waiting"][0]["waits"]["tries"].as_u64() >= Some(2)).then_some(listed)
    });
    let (first, second) = (&listed["waiting"][0], &listed["waiting"][1]);
    assert_eq!(first["waits"]["last"]["code"], json!(2101), "{first}");
    assert_eq!(
        second["waits"],
        json!({ "state": "behind", "behind": first["sequence"],
        "next_s": null, "tries": 0, "last": null })
    );
    let printed = command(&gateway, &["list"]).succeeded();
    assert!(printed.contains("last 2101 PLAYER_NOT_FOUND"), "{printed}");
    assert!(printed.contains(&format!("behind record {} of its lane", first["sequence"])));

    let sequence = first["sequence"].to_string();
    command(&gateway, &["bury", &sequence, "--reason", REASON]).succeeded();
    assert_eq!(state(&gateway, "burial-0001"), "dead");
    let letter = gateway.admin(&format!("/journal/{sequence}")).json()["dead"].clone();
    assert_eq!(letter["code"], json!(1504), "{letter}");
    let detail = letter["detail"].as_str().unwrap();
    assert!(detail.starts_with("alice at 127.0.0.1:") && detail.contains(REASON), "{detail}");
    // Clients are not told what operators said.
    let told = gateway.http().get("/v1/game1/orders/burial-0001", &game()).text();
    assert!(told.contains("1504") && !told.contains("ticket"), "{told}");
    let log = gateway.log();
    assert!(log.contains("\"action\":\"bury\"") && log.contains(REASON), "{log}");

    mend(&gateway);
    wait_until("its lane goes on", || {
        (state(&gateway, "burial-0002") == "committed").then_some(())
    });
    assert_eq!(state(&gateway, "burial-0001"), "dead");
    let again = command(&gateway, &["bury", &sequence, "--reason", "twice"]);
    assert!(again.stderr.contains("waits no more"), "{}", again.text());
    // What is no good word is refused.
    let admin = |target: &str| {
        Http::connect(gateway.admin_address()).request("POST", target, "", b"").status
    };
    for bad in ["", "?reason=", "?reason=%0a", "?reason=%ff"] {
        assert_eq!(admin(&format!("/journal/{sequence}/bury{bad}")), 400, "{bad}");
    }
    assert_eq!(admin("/journal/77/bury?reason=x"), 404);
    let config = gateway.folder().join("gateway.yaml").display().to_string();
    let stopped = run(&["journal", "--config", &config, "bury", "1", "--reason", "x"]);
    assert!(stopped.stderr.contains("only a running gateway"), "{}", stopped.text());
}

#[test]
fn gateway_killed_while_orders_are_given_up_has_each_one_either_dead_or_applied() {
    let mut gateway = start();
    let orders: Vec<String> = (0..30).map(|number| format!("burial-{number:04}")).collect();
    for order_no in &orders {
        create(&gateway, order_no);
    }
    let mut told = Vec::new();
    for round in 0..3_usize {
        wait_until("they are tried", || {
            let listed = gateway.admin("/journal").json();
            listed["waiting"][0]["waits"]["tries"].as_u64().filter(|tries| *tries > 0)
        });
        let listed = gateway.admin("/journal").json();
        let waiting: Vec<Value> = listed["waiting"].as_array().unwrap().clone();
        let target =
            |entry: &Value| format!("/journal/{}/bury?reason=round+{round}", entry["sequence"]);
        // One that is answered for, and several that nobody waits for.
        let mut http = Http::connect(gateway.admin_address());
        assert_eq!(http.request("POST", &target(&waiting[3]), "", b"").status, 200);
        told.push(waiting[3]["key"].as_str().unwrap().to_owned());
        let mut open = Vec::new();
        for entry in waiting.iter().skip(4).take(round * 2 + 1) {
            let mut stream = TcpStream::connect(gateway.admin_address()).unwrap();
            let request = format!("POST {} HTTP/1.1\r\nHost: x\r\n\r\n", target(entry));
            stream.write_all(request.as_bytes()).unwrap();
            open.push(stream);
        }
        gateway.kill();
        gateway.restart();
    }
    mend(&gateway);
    sample::wait_applied(&gateway);
    let dead: Vec<String> = gateway.admin("/journal?limit=1000").json()["dead"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["key"].as_str().unwrap().to_owned())
        .collect();
    for order_no in &orders {
        // A row in the database would be told as `committed`.
        let expected = if dead.contains(order_no) { "dead" } else { "committed" };
        assert_eq!(state(&gateway, order_no), expected, "{order_no}");
    }
    assert!(told.iter().all(|order_no| dead.contains(order_no)), "{told:?} {dead:?}");
}
