//! What is told of an order on its way to the database: journalled, committed, or dead, on every instance.

use gateway_tests::{
    Caller, Credential, Database, Gateway, Outcome, Response, Server, Setup, sample, shared_redis,
    sql_templates, wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_server! {
    order_is_told_as_journalled_until_it_is_in_the_database_on_both_instances,
    order_that_cannot_be_applied_is_told_as_dead_with_the_reason_and_others_go_on,
    payment_that_overtakes_its_order_waits_for_it,
    order_sent_to_two_instances_is_in_the_database_once,
    order_that_waits_is_told_while_its_database_is_away_and_committed_after,
}

fn game() -> String {
    Credential::with_roles(&["game_server"]).headers()
}

/// Creates an order over HTTP.
fn create(gateway: &Gateway<'_>, order: &Value) -> Response {
    gateway.http().send_json("POST", "/v1/game1/orders", &game(), order)
}

/// What is told of an order.
#[track_caller]
fn told(gateway: &Gateway<'_>, target: &str) -> Value {
    let reply = gateway.http().get(target, &game());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// A gateway on a database and a Redis, and a second one beside it.
fn two_instances<'s>(server: &'s Server, setup: Setup<'s>) -> Option<[Gateway<'s>; 2]> {
    let first = setup.redis(shared_redis()?).start();
    let templates = first.config["templates"].clone();
    let second = Setup::beside(&first).set("/templates", templates).start();
    assert!(first.schemas().is_some_and(|schemas| std::ptr::eq(schemas.server(), server)));
    Some([first, second])
}

fn order_is_told_as_journalled_until_it_is_in_the_database_on_both_instances(database: Database) {
    let Some(server) = database.shared() else { return };
    let Some([first, second]) = two_instances(server, Setup::on(server)) else { return };
    let schema = first.schemas().unwrap().name(sample::GAME);
    // Another session has written the same number and not committed: the applier waits, readers see nothing.
    let open = "START TRANSACTION; INSERT INTO game_order (order_id, order_no, player_id, product_id, qty, \
        amount, currency, channel, status, version, created_at) \
        VALUES (7, 'state-000001', 1001, 'x', 1, 1, 'CNY', 'x', 0, 1, NOW())";
    let held = server.hold(&schema, open);
    let reply = create(&first, &sample::order("state-000001", 1001, 3));
    assert_eq!(
        (reply.status, reply.json()),
        (202, json!({ "state": "journalled", "key": "state-000001" }))
    );
    let target = reply.header("location").expect("where to look").to_owned();
    let body = told(&first, &target);
    assert_eq!((&body["state"], &body["order_no"]), (&json!("journalled"), &json!("state-000001")));
    wait_until("the other instance is told", || {
        let reply = second.http().get(&target, &game());
        (reply.status == 200 && reply.json()["state"] == "journalled").then_some(())
    });
    drop(held);
    for gateway in [&first, &second] {
        let body = wait_until("the order is in the database", || {
            let body = told(gateway, &target);
            (body["state"] == "committed").then_some(body)
        });
        assert_eq!((&body["qty"], &body["player_id"]), (&json!(3), &json!("1001")));
    }
    let again = create(&first, &sample::order("state-000001", 1001, 3));
    assert_eq!(
        again.json(),
        json!({ "state": "journalled", "key": "state-000001" }),
        "as at first"
    );
}

/// The shipped order, but only of players that exist; one failure is enough.
fn order_of_a_player() -> String {
    let path = sql_templates().join("_base/order/create.sql");
    let shipped = std::fs::read_to_string(path).unwrap();
    let (head, body) = shipped.split_once("VALUES (").unwrap();
    let values = body.trim_end().trim_end_matches(')');
    head.replace("affected = 1", "affected = 1 else 2101 PLAYER_NOT_FOUND [404]")
        .replace("dead=10", "dead=1")
        + &format!("SELECT {values}\nFROM   player p\nWHERE  p.player_id = :player_id\n")
}

fn order_that_cannot_be_applied_is_told_as_dead_with_the_reason_and_others_go_on(
    database: Database,
) {
    let Some(server) = database.shared() else { return };
    let setup =
        Setup::on(server).own_templates().template("_base/order/create.sql", &order_of_a_player());
    let Some([first, second]) = two_instances(server, setup) else { return };
    let mut caller = Caller::new(first.tcp_address(), sample::GAME);
    for (number, player) in [("dead-000001", 9), ("dead-000002", 1001), ("dead-000003", 9)] {
        let outcome = caller.call(sample::ORDER_CREATE, &sample::order(number, player, 1));
        assert_eq!(outcome.code(), Some(0), "{outcome:?}");
    }
    sample::wait_applied(&first);
    for gateway in [&first, &second] {
        for number in ["dead-000001", "dead-000003"] {
            let body = wait_until("the instance is told", || {
                let reply = gateway.http().get(&format!("/v1/game1/orders/{number}"), &game());
                (reply.status == 200).then(|| reply.json())
            });
            let told = json!({
                "state": body["state"], "order_no": body["order_no"], "code": body["code"],
                "message": body["message"],
            });
            let dead = json!({
                "state": "dead", "order_no": number, "code": 2101, "message": "PLAYER_NOT_FOUND",
            });
            assert_eq!(told, dead, "{body}");
        }
        let body = told(gateway, "/v1/game1/orders/dead-000002");
        assert_eq!(body["state"], "committed");
        let none = gateway.http().get("/v1/game1/orders/dead-000004", &game());
        assert_eq!((none.status, none.code()), (404, 2131));
    }
    let dead = first.metric("gateway_journal_backlog_records", &["state=\"dead\""]);
    assert!((dead - 2.0).abs() < 0.1, "{dead}");
}

fn payment_that_overtakes_its_order_waits_for_it(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = Setup::on(server).start();
    let mut caller = Caller::new(gateway.tcp_address(), sample::GAME);
    for index in 0..50 {
        let number = format!("lane-{index:06}");
        let order = sample::order(&number, 1001 + index % 3, 1);
        let pay = json!({
            "payment_id": format!("PAY-{number}"), "order_no": number,
            "player_id": 1001 + index % 3, "amount": "5.99", "currency": "CNY",
        });
        // The order has its acknowledgement, and is hardly ever in the database when the payment comes.
        assert_eq!(caller.call(sample::ORDER_CREATE, &order).code(), Some(0));
        let outcome = caller.call("order.pay", &pay);
        assert!(matches!(outcome, Outcome::Done { .. }), "{number}: {outcome:?}");
    }
}

/// Both instances take the order into their journals: only one can bring it into the database.
fn order_sent_to_two_instances_is_in_the_database_once(database: Database) {
    let Some(server) = database.shared() else { return };
    let Some(both) = two_instances(server, Setup::on(server)) else { return };
    std::thread::scope(|scope| {
        for gateway in &both {
            scope.spawn(move || {
                let mut caller = Caller::new(gateway.tcp_address(), sample::GAME);
                for index in 0..200 {
                    let order = sample::order(&format!("twice-{index:06}"), 1001 + index % 7, 1);
                    let outcome = caller.call(sample::ORDER_CREATE, &order);
                    assert_eq!(outcome.code(), Some(0), "{outcome:?}");
                }
            });
        }
    });
    both.iter().for_each(sample::wait_applied);
    let schema = both[0].schemas().unwrap().name(sample::GAME);
    let rows = server.query(&schema, &sample::orders_sql("twice-"));
    assert_eq!(rows.lines().count(), 200, "{rows}");
    for gateway in &both {
        let dead = gateway.metric("gateway_journal_backlog_records", &["state=\"dead\""]);
        assert!(dead < 0.5, "{dead} records were given up");
    }
}

fn order_that_waits_is_told_while_its_database_is_away_and_committed_after(database: Database) {
    let Some(server) = database.start() else { return };
    let gateway = Setup::on(&server).start();
    let number = "away-000001";
    assert_eq!(told(&gateway, "/v1/game1/players/1001")["player_id"], "1001");
    server.kill();
    let reply = create(&gateway, &sample::order(number, 1001, 1));
    assert_eq!(reply.status, 202, "{}", reply.text());
    let target = reply.header("location").expect("where to look").to_owned();
    let body = told(&gateway, &target);
    assert_eq!((&body["state"], &body["order_no"]), (&json!("journalled"), &json!(number)));
    // What nobody has sent is not known, and the database cannot be asked.
    let other = gateway.http().get("/v1/game1/orders/away-000002", &game());
    assert_eq!((other.status, other.code()), (503, 1302), "{}", other.text());
    server.restart();
    wait_until("it is committed", || {
        let reply = gateway.http().get(&target, &game());
        (reply.status == 200 && reply.json()["state"] == "committed").then_some(())
    });
}
