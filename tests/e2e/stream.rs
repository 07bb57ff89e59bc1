//! Orders of a game with `queue: stream`, on two gateways with one Redis and one database.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gateway_tests::{
    Credential, Database, Gateway, Redis, Server, Setup, Signal, Transport, wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_server! {
    order_of_one_gateway_is_known_recognised_and_paid_at_the_other,
    order_that_waits_is_journalled_at_every_gateway_until_the_database_has_it,
    killed_owners_streams_are_taken_over_and_every_acknowledged_order_is_there_once,
    owner_that_sleeps_past_its_lease_neither_loses_nor_doubles_when_it_wakes_up,
}

/// Has game1's orders go through streams.
fn streamed<'a>(setup: Setup<'a>, redis: &Redis, node: u32) -> Setup<'a> {
    setup
        .set("/queue", json!({ "url": redis.url(), "lease": "1s", "streams": 4 }))
        .set("/games/game1/queue", json!("stream"))
        .set("/runtime/node", json!(node))
}

/// Two gateways that own two streams each.
fn with_two(database: Database, check: impl FnOnce(&mut Gateway<'_>, &Gateway<'_>, &Server)) {
    let (Some(server), Some(redis)) = (database.shared(), Redis::start_durable()) else { return };
    let mut first = streamed(Setup::on(server), &redis, 0).start();
    wait_until("the first owns every stream", || (owned(&first) == 4).then_some(()));
    let second = streamed(Setup::beside(&first), &redis, 1).start();
    wait_until("each owns its share", || (owned(&first) == 2 && owned(&second) == 2).then_some(()));
    check(&mut first, &second, server);
}

#[expect(clippy::cast_possible_truncation, reason = "a small count")]
fn owned(gateway: &Gateway<'_>) -> i64 {
    gateway.metric("gateway_streams_owned", &[]) as i64
}

fn call(gateway: &Gateway<'_>, operation: &str, params: &Value) -> (u16, Value) {
    let who = Credential::with_roles(&["game_server", "admin"]);
    let answer = Transport::Http.call(gateway, &who, "game1", operation, params);
    (answer.code, answer.body)
}

fn order(number: usize) -> Value {
    json!({ "order_no": format!("STR-{number:08}"), "player_id": 1001 + number % 9,
        "product_id": "gems_60", "qty": 1, "amount": "5.99", "currency": "CNY", "channel": "web" })
}

/// The orders of these tests that are in the database, in order.
fn stored(server: &Server, schema: &str) -> Vec<String> {
    let sql = "SELECT order_no FROM game_order WHERE order_no LIKE 'STR-%' ORDER BY order_no";
    server.query(schema, sql).lines().map(str::to_owned).collect()
}

/// Gives orders to a gateway while something is done, and returns those that it acknowledged.
fn orders_while(gateway: &Gateway<'_>, done: impl FnOnce(&AtomicUsize)) -> Vec<String> {
    let (is_over, count, kept) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::default());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (is_over, count, kept) = (&is_over, &count, &kept);
            scope.spawn(move || {
                for number in (thread..).step_by(4) {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let order = order(number);
                    if call(gateway, "order.create", &order).0 == 0 {
                        let text = order["order_no"].as_str().unwrap().to_owned();
                        let mut kept: std::sync::MutexGuard<'_, Vec<String>> = kept.lock().unwrap();
                        kept.push(text);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        done(&count);
        is_over.store(true, Ordering::Relaxed);
    });
    let mut kept = kept.into_inner().unwrap();
    kept.sort_unstable();
    kept
}

fn reaches(what: &str, count: &AtomicUsize, least: usize) {
    wait_until(what, || (count.load(Ordering::Relaxed) >= least).then_some(()));
}

fn order_of_one_gateway_is_known_recognised_and_paid_at_the_other(database: Database) {
    with_two(database, |first, second, server| {
        for gateway in [&*first, second, &*first] {
            let (code, body) = call(gateway, "order.create", &order(1));
            let expected = json!({ "state": "journalled", "key": "STR-00000001" });
            assert_eq!((code, body), (0, expected));
        }
        let mut other = order(1);
        other["qty"] = json!(2);
        assert_eq!(call(second, "order.create", &other).0, 2020);
        // The payment waits for its order, whoever applies that.
        let payment = json!({ "payment_id": "PAY-00000001", "order_no": "STR-00000001",
            "player_id": 1002, "amount": "5.99", "currency": "CNY" });
        assert_eq!(call(second, "order.pay", &payment).0, 0);
        let (code, body) = call(second, "order.get", &json!({ "order_no": "STR-00000001" }));
        assert_eq!((code, &body["state"]), (0, &json!("committed")), "{body}");
        assert_eq!(stored(server, &first.schemas().unwrap().name("game1")), ["STR-00000001"]);
    });
}

fn order_that_waits_is_journalled_at_every_gateway_until_the_database_has_it(database: Database) {
    with_two(database, |first, second, server| {
        let schema = first.schemas().unwrap().name("game1");
        let lock = server.lock(&schema, "gateway_request");
        assert_eq!(call(second, "order.create", &order(1)).0, 0);
        let number = json!({ "order_no": "STR-00000001" });
        for gateway in [&*first, second] {
            let (code, body) = call(gateway, "order.get", &number);
            assert_eq!((code, &body["state"]), (0, &json!("journalled")), "{body}");
        }
        drop(lock);
        wait_until("it is committed", || {
            (call(second, "order.get", &number).1["state"] == "committed").then_some(())
        });
    });
}

fn killed_owners_streams_are_taken_over_and_every_acknowledged_order_is_there_once(
    database: Database,
) {
    with_two(database, |first, second, server| {
        let schema = first.schemas().unwrap().name("game1");
        let kept = orders_while(second, |count| {
            reaches("orders flow", count, 60);
            first.kill();
            reaches("orders flow on", count, 200);
        });
        wait_until("the other owns every stream", || (owned(second) == 4).then_some(()));
        wait_until("every acknowledged order is there", || {
            (stored(server, &schema).len() >= kept.len()).then_some(())
        });
        assert_eq!(stored(server, &schema), kept);
        assert!(second.metric("gateway_stream_dead_total", &[]) < 1.0);
    });
}

fn owner_that_sleeps_past_its_lease_neither_loses_nor_doubles_when_it_wakes_up(database: Database) {
    with_two(database, |first, second, server| {
        let schema = first.schemas().unwrap().name("game1");
        let kept = orders_while(second, |count| {
            reaches("orders flow", count, 60);
            first.signal(Signal::Stop);
            wait_until("the other owns every stream", || (owned(second) == 4).then_some(()));
            first.signal(Signal::Continue);
            // What it had is the other's; its share of them it gets from there.
            wait_until("each owns its share", || {
                (owned(first) == 2 && owned(second) == 2).then_some(())
            });
            let now = count.load(Ordering::Relaxed);
            reaches("orders flow on", count, now + 100);
        });
        wait_until("every acknowledged order is there", || {
            (stored(server, &schema).len() >= kept.len()).then_some(())
        });
        assert_eq!(stored(server, &schema), kept);
        let dead = |gateway: &Gateway<'_>| gateway.metric("gateway_stream_dead_total", &[]);
        assert!(dead(first) < 1.0 && dead(second) < 1.0);
    });
}
