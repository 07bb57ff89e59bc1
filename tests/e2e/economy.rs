//! The sample games' writes: what moves items, money and orders, with its guards, on every database.

use std::fs;

use gateway_tests::{
    ADMIN_KEY, Credential, Database, Gateway, Setup, Transport, sql_templates, wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_database! {
    transfer_moves_items_once_and_a_refused_one_moves_none,
    games_replace_one_step_of_a_transfer_by_their_own_guard,
    crafting_takes_every_material_or_none,
    wallet_never_goes_below_zero_and_its_ledger_tells_every_change,
    mail_reaches_everybody_but_who_has_it_and_its_gift_is_taken_once,
    newest_save_of_a_character_wins_in_whatever_order_they_come,
    order_is_made_paid_and_given_back_each_once,
}

gateway_tests::on_every_server! {
    queued_order_is_answered_with_202_and_found_where_it_says_before_and_after_it_is_applied,
}

/// A player of game1 that may trade: its level is 64.
const TRADER: i64 = 1010;

/// One call over HTTP by somebody who may do all of it: code and body.
fn call(gateway: &Gateway<'_>, game: &str, operation: &str, params: &Value) -> (u16, Value) {
    let who = if operation == "order.refund" {
        Credential::ApiKey(ADMIN_KEY.to_owned())
    } else {
        Credential::with_roles(&["game_server", "admin"])
    };
    let answer = Transport::Http.call(gateway, &who, game, operation, params);
    (answer.code, answer.body)
}

#[track_caller]
fn ok(gateway: &Gateway<'_>, game: &str, operation: &str, params: &Value) -> Value {
    let (code, body) = call(gateway, game, operation, params);
    assert_eq!(code, 0, "{operation} {params}: {body}");
    body
}

/// How many of a type a player has.
fn held(gateway: &Gateway<'_>, game: &str, player: i64, item_type: i64) -> i64 {
    let bag = ok(gateway, game, "item.list_by_player", &json!({ "player_id": player }));
    let mut items = bag.as_array().unwrap().iter();
    items
        .find(|item| item["item_type"] == item_type)
        .map_or(0, |item| item["qty"].as_i64().unwrap())
}

fn transfer_moves_items_once_and_a_refused_one_moves_none(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let count = |player| held(gateway, "game1", player, 1);
    let (from, to) = (count(TRADER), count(1002));
    let transfer = |request: &str, to: i64, qty: i64| json!({ "request_id": request, "from_player": TRADER, "to_player": to, "item_type": 1, "qty": qty });
    for _ in 0..3 {
        ok(gateway, "game1", "item.transfer", &transfer("t1", 1002, 2));
    }
    assert_eq!((count(TRADER), count(1002)), (from - 2, to + 2), "once, however often it is sent");
    let refused = |params: &Value| call(gateway, "game1", "item.transfer", params).0;
    assert_eq!(refused(&transfer("t1", 1002, 3)), 2020, "the key belongs to other parameters");
    assert_eq!(refused(&transfer("t2", 1002, 9999)), 2103);
    assert_eq!(refused(&transfer("t3", TRADER, 1)), 2102);
    assert_eq!(refused(&transfer("t4", 7, 1)), 2101);
    assert_eq!((count(TRADER), count(1002)), (from - 2, to + 2));
    let ledger = ok(gateway, "game1", "item.history", &json!({ "player_id": TRADER }));
    assert_eq!(ledger["items"].as_array().unwrap().len(), 1, "{ledger}");
    assert_eq!(ledger["items"][0]["qty"], -2);
}

fn games_replace_one_step_of_a_transfer_by_their_own_guard(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let transfer = |item_type: i64| {
        json!({ "request_id": format!("t{item_type}"), "from_player": 1001, "to_player": 1002,
                "item_type": item_type, "qty": 1 })
    };
    // Player 1001 is of level 1: too low for game1. In game2 items of type 3 are bound.
    assert_eq!(call(gateway, "game1", "item.transfer", &transfer(1)).0, 2106);
    assert_eq!(call(gateway, "game2", "item.transfer", &transfer(3)).0, 2125);
    assert_eq!(call(gateway, "game2", "item.transfer", &transfer(1)).0, 0);
    let grant = |qty: i64| json!({ "request_id": format!("g{qty}"), "player_id": 1001, "item_type": 700, "qty": qty });
    ok(gateway, "game2", "item.grant", &grant(999));
    assert_eq!(call(gateway, "game2", "item.grant", &grant(1)).0, 2124, "the stack is full");
    assert_eq!(held(gateway, "game2", 1001, 700), 999);
}

fn crafting_takes_every_material_or_none(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let count = |item_type| held(gateway, "game1", 1001, item_type);
    let (one, two) = (count(1), count(2));
    let craft = |request: &str, qty: i64| {
        json!({ "request_id": request, "player_id": 1001, "item_type": 800,
                "materials": [{ "item_type": 1, "qty": 1 }, { "item_type": 2, "qty": qty }] })
    };
    assert_eq!(call(gateway, "game1", "item.craft", &craft("c1", two + 1)).0, 2103);
    assert_eq!((count(1), count(2), count(800)), (one, two, 0));
    ok(gateway, "game1", "item.craft", &craft("c2", two));
    assert_eq!((count(1), count(2), count(800)), (one - 1, 0, 1));
}

fn wallet_never_goes_below_zero_and_its_ledger_tells_every_change(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let own = |request: &str, amount: i64| {
        json!({ "request_id": request, "player_id": 1001, "currency": "gems", "amount": amount,
                "reason": "test" })
    };
    let debit = |request, amount| call(gateway, "game1", "currency.debit", &own(request, amount));
    assert_eq!(debit("d1", 400), (0, json!({ "balance": "600" })));
    assert_eq!(debit("d1", 400), (0, json!({ "balance": "600" })), "the first answer again");
    assert_eq!(debit("d2", 601).0, 2151);
    let credit = ok(gateway, "game1", "currency.credit", &own("c1", 50));
    assert_eq!(credit, json!({ "balance": "650" }));
    let history = ok(gateway, "game1", "currency.history", &json!({ "player_id": 1001 }));
    let amounts: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|it| &it["amount"]).collect();
    assert_eq!(amounts, ["50", "-400", "1000"]);
}

fn mail_reaches_everybody_but_who_has_it_and_its_gift_is_taken_once(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let send = |request: &str, players: [i64; 2]| {
        let mails = players.map(|id| json!({ "player_id": id, "item_type": 900, "qty": 3 }));
        let params = json!({ "request_id": request, "campaign": "spring", "title": "Hello", "mails": mails });
        ok(gateway, "game1", "mail.send_many", &params)
    };
    let both = send("m1", [1001, 1002]);
    let ids = [&both["rows"][0]["id"], &both["rows"][1]["id"]];
    assert!(ids[0].is_string() && ids[1].is_string() && ids[0] != ids[1], "{both}");
    let rows = ids.map(|id| json!({ "affected": 1, "id": id }));
    assert_eq!(both, json!({ "affected": 2, "rows": rows }));
    let one = send("m2", [1001, 1003]);
    let done = json!({ "affected": 1, "id": one["rows"][1]["id"] });
    let taken = json!({ "code": 2162, "message": "MAIL_SENT" });
    assert_eq!(one, json!({ "affected": 1, "rows": [taken, done] }));
    let mails = ok(gateway, "game1", "mail.list_by_player", &json!({ "player_id": 1001 }));
    assert_eq!(&mails["items"][0]["mail_id"], ids[0]);
    let claim = |request: &str| {
        let mail = &mails["items"][0]["mail_id"];
        call(
            gateway,
            "game1",
            "mail.claim",
            &json!({ "request_id": request, "player_id": 1001, "mail_id": mail }),
        )
    };
    assert_eq!(claim("k1"), (0, json!({ "item_type": 900, "qty": 3 })));
    assert_eq!(claim("k2").0, 2163);
    assert_eq!(held(gateway, "game1", 1001, 900), 3);
}

fn newest_save_of_a_character_wins_in_whatever_order_they_come(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let save = |character: i64, seq: i64, level: i64, name: &str| {
        let params = json!({ "player_id": 1001, "character_id": character, "save_seq": seq, "server_id": 1,
                "char_name": name, "class_id": 1, "char_level": level, "experience": 5 });
        call(gateway, "game1", "character.save", &params)
    };
    assert_eq!(save(77, 5, 30, "Late"), (0, json!({ "updated": 0, "created": 1 })));
    assert_eq!(save(77, 4, 20, "Late"), (0, json!({ "updated": 0, "created": 0 })));
    assert_eq!(save(77, 6, 40, "Late"), (0, json!({ "updated": 1, "created": 0 })));
    assert_eq!(save(78, 1, 1, "Late").0, 2112, "the name is taken");
    let get = json!({ "player_id": 1001, "character_id": 77 });
    let character = ok(gateway, "game1", "character.get", &get);
    assert_eq!((&character["char_level"], &character["save_seq"]), (&json!(40), &json!(6)));
}

fn order_is_made_paid_and_given_back_each_once(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let order = json!({ "order_no": "NEW-00000001", "player_id": 1001, "product_id": "gems_60", "qty": 1,
            "amount": "5.99", "currency": "CNY", "channel": "web" });
    let number = json!({ "order_no": "NEW-00000001" });
    for _ in 0..2 {
        ok(gateway, "game1", "order.create", &order);
    }
    wait_until("the order is in the database", || {
        let (code, body) = call(gateway, "game1", "order.get", &number);
        (code == 0 && body["status"] == 0).then_some(())
    });
    let pay = |payment: &str, amount: &str| {
        let params = json!({ "payment_id": payment, "order_no": "NEW-00000001", "player_id": 1001,
                "amount": amount, "currency": "CNY" });
        call(gateway, "game1", "order.pay", &params).0
    };
    assert_eq!(pay("PAY-00000001", "5.98"), 2136);
    assert_eq!((pay("PAY-00000002", "5.99"), pay("PAY-00000002", "5.99")), (0, 0));
    assert_eq!(pay("PAY-00000003", "5.99"), 2135, "paid already");
    let refund = |request: &str| {
        let params =
            json!({ "request_id": request, "order_no": "NEW-00000001", "player_id": 1001 });
        call(gateway, "game1", "order.refund", &params)
    };
    let back = json!({ "payment_id": "PAY-00000002", "amount": "5.99", "currency": "CNY" });
    assert_eq!(refund("r1"), (0, back));
    assert_eq!(refund("r2").0, 2138);
    assert_eq!(ok(gateway, "game1", "order.get", &number)["status"], 3);
    let entries = ok(gateway, "game1", "order.list_entries", &number);
    assert_eq!(entries.as_array().unwrap().len(), 2, "{entries}");
}

/// The row of a session that has not committed keeps the applier waiting, and is not to be seen by a read.
fn queued_order_is_answered_with_202_and_found_where_it_says_before_and_after_it_is_applied(
    database: Database,
) {
    let Some(server) = database.shared() else { return };
    let gateway = Setup::on(server).start();
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.hold(
        &schema,
        "BEGIN; INSERT INTO game_order (order_id, order_no, player_id, product_id, qty, amount, currency,
         channel, status, version, created_at)
         VALUES (1, 'WAIT-0000001', 1001, 'x', 1, 1, 'CNY', 'web', 0, 1, '2026-01-01')",
    );
    let who = Credential::with_roles(&["game_server", "admin"]).headers();
    let order = json!({ "order_no": "WAIT-0000001", "player_id": 1001, "product_id": "gems_60", "qty": 1,
        "amount": "5.99", "currency": "CNY", "channel": "web" });
    let mut http = gateway.http();
    let taken = http.send_json("POST", "/v1/game1/orders", &who, &order);
    let key = json!({ "state": "journalled", "key": "WAIT-0000001" });
    assert_eq!((taken.status, taken.json()), (202, key), "{}", taken.text());
    let place = taken.header("location").expect("where to look").to_owned();
    assert_eq!(place, "/v1/game1/orders/WAIT-0000001");

    let waits = http.get(&place, &who);
    let state = waits.json();
    assert_eq!((waits.status, &state["state"]), (200, &json!("journalled")), "{state}");
    assert_eq!(state["order_no"], "WAIT-0000001");
    let waiting = gateway.metric("gateway_journal_backlog_records", &["\"journalled\""]);
    assert!(waiting >= 1.0, "{waiting}");

    drop(lock);
    let found = wait_until("the order is committed", || {
        let found = http.get(&place, &who);
        assert_eq!(found.status, 200, "it is never away: {}", found.text());
        (found.json()["state"] == "committed").then(|| found.json())
    });
    assert_eq!((&found["amount"], &found["version"]), (&json!("5.99"), &json!(1)));
    assert_eq!(http.get("/v1/game1/orders/WAIT-0000002", &who).code(), 2131, "nobody's order");
}

#[test]
fn location_of_an_order_can_be_followed_whatever_is_in_its_number_and_is_left_out_where_no_path_could_hold_it()
 {
    let file = sql_templates().join("_base/order/create.sql");
    let text = fs::read_to_string(file).unwrap().replace(" pattern=[0-9A-Za-z_-]{8,32}", "");
    let gateway = Setup::sqlite().own_templates().template("_base/order/create.sql", &text).start();
    let who = Credential::with_roles(&["game_server", "admin"]).headers();
    let mut http = gateway.http();
    for (number, place) in [
        ("a/b?c=1&d#e% +é", Some("/v1/game1/orders/a%2Fb%3Fc%3D1%26d%23e%25%20%2B%C3%A9")),
        ("..", None),
        (".", None),
    ] {
        let order = json!({ "order_no": number, "player_id": 1001, "product_id": "gems_60", "qty": 1,
            "amount": "5.99", "currency": "CNY", "channel": "web" });
        let taken = http.send_json("POST", "/v1/game1/orders", &who, &order);
        assert_eq!((taken.status, &taken.json()["key"]), (202, &json!(number)), "{}", taken.text());
        assert_eq!(taken.header("location"), place);
        let Some(place) = place else { continue };
        let found = http.get(place, &who);
        assert_eq!((found.status, &found.json()["order_no"]), (200, &json!(number)));
    }
}

#[test]
fn order_whose_number_is_the_word_of_another_route_is_told_without_a_place_to_look() {
    let folder = sql_templates();
    let create = fs::read_to_string(folder.join("_base/order/create.sql")).unwrap();
    let create = create.replace(" pattern=[0-9A-Za-z_-]{8,32}", "");
    let search = fs::read_to_string(folder.join("_base/order/search.sql")).unwrap();
    let search = search.replace("GET /v1/{game}/orders\n", "GET /v1/{game}/orders/search\n");
    let gateway = Setup::sqlite()
        .own_templates()
        .template("_base/order/create.sql", &create)
        .template("_base/order/search.sql", &search)
        .start();
    let who = Credential::with_roles(&["game_server", "admin"]).headers();
    let mut http = gateway.http();
    for (number, place) in [("search", None), ("searches", Some("/v1/game1/orders/searches"))] {
        let order = json!({ "order_no": number, "player_id": 1001, "product_id": "gems_60", "qty": 1,
            "amount": "5.99", "currency": "CNY", "channel": "web" });
        let taken = http.send_json("POST", "/v1/game1/orders", &who, &order);
        assert_eq!((taken.status, taken.header("location")), (202, place), "{}", taken.text());
    }
}
