//! The calls: every operation of the sample games at least once with success, and the ways in which they refuse.

use serde_json::{Value, json};

use super::run::{Run, Who};

/// Of level 64: may trade in game1.
const TRADER: i64 = 1010;

/// Letters of four scripts, with what SQL and JSON take for something else.
const NAME: &str = "Zo\u{eb} \u{540d}\u{524d} O'Brien \"%_\\\u{1f409}";

/// Reads of every kind and type, of what the seed has.
const READS: &[(&str, &str)] = &[
    ("player.get", r#"{"player_id": 1005}"#),
    ("player.get_many", r#"{"player_ids": [1001, 1005, 1300, 1]}"#),
    ("player.profile", r#"{"player_id": 1001}"#),
    ("player.search", r#"{"server_id": 3, "sort": "level", "limit": 7}"#),
    ("player.search", r#"{"server_id": 3, "name_prefix": "PLAYER10", "level_min": 5}"#),
    ("player.count", r#"{"server_id": 3}"#),
    ("player.top", r#"{"server_id": 3}"#),
    ("character.list_by_player", r#"{"player_id": 1001}"#),
    ("character.search", r#"{"server_id": 3, "class_ids": [1, 2, 3]}"#),
    ("item.list_by_player", r#"{"player_id": 1004}"#),
    ("item.search", r#"{"item_type": 2, "limit": 5}"#),
    ("order.get", r#"{"order_no": "SO1001-0001"}"#),
    ("order.get_by_id", r#"{"order_id": 100100001}"#),
    ("order.list_entries", r#"{"order_no": "SO1001-0001"}"#),
    ("currency.list_by_player", r#"{"player_id": 1001}"#),
    ("currency.history", r#"{"player_id": 1001}"#),
    ("order.list_by_player", r#"{"player_id": 1001}"#),
    ("order.search", r#"{"status": 1, "created_from": "2026-01-02T00:00:00Z", "limit": 3}"#),
    (
        "order.count",
        r#"{"status": 1, "created_from": "2026-01-01T00:00:00Z", "created_before": "2026-01-03T00:02:00+00:00"}"#,
    ),
    ("auth_token.list_by_player", r#"{"player_id": 1001}"#),
    ("auth_token.search", r#"{"expires_before": "2031-01-01T00:00:00Z", "limit": 3}"#),
];

/// Plays all of it in one game.
pub(super) fn play(run: &mut Run<'_>, game: &str) {
    for (operation, params) in READS {
        run.call(Who::Admin, game, operation, &serde_json::from_str(params).unwrap());
    }
    players(run, game);
    characters(run, game);
    items(run, game);
    economy(run, game);
    tokens(run, game);
    mails(run, game);
    orders(run, game);
}

/// Every page, from the first to the last.
fn pages(run: &mut Run<'_>, game: &str, operation: &str, params: &Value) -> Vec<Value> {
    let mut params = params.clone();
    let mut rows = Vec::new();
    loop {
        let page = run.ok_as(Who::Admin, game, operation, &params);
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        match page.get("next") {
            None | Some(Value::Null) => return rows,
            Some(next) => params["cursor"] = next.clone(),
        }
        assert!(rows.len() < 1000, "{operation} never ends");
    }
}

fn players(run: &mut Run<'_>, game: &str) {
    for id in [json!(1001), json!("1005"), json!(1050), json!(5), json!(0), json!("x")] {
        run.call(Who::Admin, game, "player.get", &json!({ "player_id": id }));
    }
    run.ok(game, "player.get_many", &json!({ "player_ids": [1001, 1005, 1300, 1, 1001] }));
    run.ok(game, "player.get_many", &json!({ "player_ids": [] }));
    run.ok_as(Who::Player, game, "player.profile", &json!({ "player_id": 1001 }));
    run.call(Who::Player, game, "player.profile", &json!({ "player_id": 1002 }));
    for params in [
        json!({ "server_id": 3, "limit": 7 }),
        json!({ "server_id": 3, "limit": 11, "sort": "level", "level_min": 20 }),
        json!({ "server_id": 3, "name_prefix": "pLaYeR10", "vip_levels": [0, 2, 4, 6, 8] }),
        json!({ "server_id": 3, "name_prefix": "%" }),
        json!({ "server_id": 3, "vip_levels": [] }),
    ] {
        pages(run, game, "player.search", &params);
    }
    run.ok_as(Who::Admin, game, "player.count", &json!({ "server_id": 3, "level_min": 30 }));
    run.call(Who::Admin, game, "player.top", &json!({ "server_id": 3 }));

    let new = json!({ "account_name": NAME, "nickname": NAME, "server_id": 77 });
    run.ok(game, "player.insert", &new);
    let again = json!({ "account_name": "other", "nickname": NAME, "server_id": 77 });
    run.call(Who::Game, game, "player.insert", &again);
    let found = pages(run, game, "player.search", &json!({ "server_id": 77 }));
    let id = found[0]["player_id"].clone();
    let own = json!({ "player_id": id });
    run.ok(game, "player.get", &own);
    let change = |version: i64, name: &str, value: Value| {
        let mut params = json!({ "player_id": id, "version": version });
        params[name] = value;
        params
    };
    run.ok(game, "player.update", &change(1, "gold", json!("9007199254740993")));
    run.call(Who::Game, game, "player.update", &change(1, "gold", json!(1)));
    run.call(Who::Game, game, "player.update", &change(2, "nickname", json!("player1001")));
    run.ok(game, "player.update", &change(2, "experience", json!(i64::MAX)));
    run.ok(game, "player.record_login", &own);
    let row = run.ok(game, "player.get", &own);
    run.call(Who::Game, game, "player.delete", &json!({ "player_id": id, "version": 1 }));
    run.call(Who::Admin, game, "player.delete", &json!({ "player_id": id, "version": 1 }));
    let delete = json!({ "player_id": id, "version": row["version"] });
    run.ok_as(Who::Admin, game, "player.delete", &delete);
    run.call(Who::Game, game, "player.get", &own);
}

fn characters(run: &mut Run<'_>, game: &str) {
    let own = json!({ "player_id": 1001 });
    run.ok(game, "character.list_by_player", &own);
    for id in [100_101, 7] {
        let one = json!({ "player_id": 1001, "character_id": id });
        run.call(Who::Game, game, "character.get", &one);
    }
    run.ok(game, "character.get_many", &json!({ "character_ids": [100_201, 100_101, 9] }));
    for params in [
        json!({ "server_id": 3, "limit": 7 }),
        json!({ "server_id": 3, "sort": "level", "class_ids": [1, 2, 3], "limit": 9 }),
        json!({ "server_id": 3, "name_prefix": "HERO1003_", "level_min": 1 }),
    ] {
        pages(run, game, "character.search", &params);
    }
    let new = json!({ "player_id": 1001, "server_id": 78, "char_name": NAME, "class_id": 3 });
    run.ok(game, "character.insert", &new);
    run.call(Who::Game, game, "character.insert", &new);
    let found = pages(run, game, "character.search", &json!({ "server_id": 78 }));
    let id = &found[0]["character_id"];
    let update = |version: i64| {
        json!({ "player_id": 1001, "character_id": id, "version": version, "char_level": 50,
            "experience": "12345678901234" })
    };
    run.ok(game, "character.update", &update(1));
    run.call(Who::Game, game, "character.update", &update(1));
    run.ok(game, "character.list_by_player", &own);
    let delete = json!({ "player_id": 1001, "character_id": id, "version": 2 });
    run.ok(game, "character.delete", &delete);
    run.call(Who::Game, game, "character.delete", &delete);
    let save = |character: i64, seq: i64, level: i64| {
        json!({ "player_id": 1001, "character_id": character, "save_seq": seq, "server_id": 1,
            "char_name": "Saved", "class_id": 1, "char_level": level, "experience": 5 })
    };
    for (seq, level) in [(5, 30), (4, 20), (6, 40), (6, 50)] {
        run.ok(game, "character.save", &save(77, seq, level));
    }
    run.call(Who::Game, game, "character.save", &save(78, 1, 1));
    run.ok(game, "character.get", &json!({ "player_id": 1001, "character_id": 77 }));
}

fn items(run: &mut Run<'_>, game: &str) {
    let bag = json!({ "player_id": 1004 });
    run.ok(game, "item.list_by_player", &bag);
    for id in [10_040_001, 10_040_007, 3] {
        run.call(Who::Game, game, "item.get", &json!({ "player_id": 1004, "item_id": id }));
    }
    let ids = json!({ "player_id": 1004, "item_ids": [10_040_002, 10_040_001, 9] });
    run.ok(game, "item.get_many", &ids);
    pages(run, game, "item.search", &json!({ "item_type": 2, "qty_min": 60, "limit": 50 }));
    let new = |item_type: i64| json!({ "player_id": 1004, "item_type": item_type, "qty": 3, "expires_at": "2031-05-06T07:08:09.123456Z" });
    run.ok(game, "item.insert", &new(500));
    run.call(Who::Game, game, "item.insert", &new(500));
    run.call(
        Who::Game,
        game,
        "item.insert",
        &json!({ "player_id": 1004, "item_type": 501, "qty": 0 }),
    );
    let update = |version: i64| json!({ "player_id": 1004, "item_id": 10_040_001, "version": version, "qty": 8 });
    run.ok(game, "item.update", &update(1));
    run.call(Who::Game, game, "item.update", &update(1));
    run.ok(game, "item.list_by_player", &bag);
    let delete = json!({ "player_id": 1004, "item_id": 10_040_001, "version": 2 });
    run.ok(game, "item.delete", &delete);
    run.call(Who::Game, game, "item.delete", &delete);
}

fn economy(run: &mut Run<'_>, game: &str) {
    let counted = |request: &str, item_type: i64, qty: i64| json!({ "request_id": request, "player_id": TRADER, "item_type": item_type, "qty": qty });
    for params in
        [counted("g1", 1, 40), counted("g1", 1, 40), counted("g1", 1, 41), counted("g2", 900, 5)]
    {
        run.call(Who::Game, game, "item.grant", &params);
    }
    run.ok(game, "item.consume", &counted("c1", 900, 2));
    run.call(Who::Game, game, "item.consume", &counted("c2", 900, 999));
    let craft = |request: &str, qty: i64| {
        json!({ "request_id": request, "player_id": TRADER, "item_type": 800,
            "materials": [{ "item_type": 1, "qty": 1 }, { "item_type": 900, "qty": qty }] })
    };
    run.call(Who::Game, game, "item.craft", &craft("k1", 999));
    run.ok(game, "item.craft", &craft("k2", 1));
    let transfer = |request: &str, to: i64, qty: i64| json!({ "request_id": request, "from_player": TRADER, "to_player": to, "item_type": 1, "qty": qty });
    for params in [
        transfer("t1", 1002, 2),
        transfer("t1", 1002, 2),
        transfer("t1", 1002, 3),
        transfer("t2", 1002, 999),
        transfer("t3", TRADER, 1),
        transfer("t4", 7, 1),
    ] {
        run.call(Who::Game, game, "item.transfer", &params);
    }
    run.ok(game, "item.transfer", &transfer("t5", 1003, 1));
    pages(run, game, "item.history", &json!({ "player_id": TRADER, "limit": 3 }));
    run.ok(game, "item.list_by_player", &json!({ "player_id": TRADER }));

    let money = |request: &str, currency: &str, amount: i64| {
        json!({ "request_id": request, "player_id": 1001, "currency": currency, "amount": amount,
            "reason": "alike" })
    };
    run.ok(game, "currency.debit", &money("d1", "gems", 400));
    run.ok(game, "currency.debit", &money("d1", "gems", 400));
    run.call(Who::Game, game, "currency.debit", &money("d2", "gems", 601));
    run.call(Who::Game, game, "currency.debit", &money("d3", "shells", 1));
    run.ok(game, "currency.credit", &money("p1", "gems", 1_000_000_000_000));
    run.ok(game, "currency.credit", &money("p2", "shells", 7));
    run.ok(game, "currency.list_by_player", &json!({ "player_id": 1001 }));
    pages(run, game, "currency.history", &json!({ "player_id": 1001, "limit": 2 }));
}

fn tokens(run: &mut Run<'_>, game: &str) {
    let hash = |number: i64| format!("{number:064x}");
    let of = |number: i64| json!({ "player_id": 1001, "token_hash": hash(number) });
    for number in [1001, 1] {
        run.call(Who::Game, game, "auth_token.get", &of(number));
    }
    let new = json!({ "player_id": 1001, "token_hash": hash(0xabc), "device": NAME,
        "expires_at": "2032-02-29T23:59:59.999999Z" });
    run.ok(game, "auth_token.insert", &new);
    run.call(Who::Game, game, "auth_token.insert", &new);
    let many = json!({ "player_id": 1001, "token_hashes": [hash(0xabc), hash(1001), hash(2)] });
    run.ok(game, "auth_token.get_many", &many);
    let mut later = of(0xabc);
    later["version"] = json!(1);
    later["expires_at"] = json!("2033-01-01T08:00:00+08:00");
    run.ok(game, "auth_token.update", &later);
    run.call(Who::Game, game, "auth_token.update", &later);
    run.ok(game, "auth_token.list_by_player", &json!({ "player_id": 1001 }));
    let search = json!({ "expires_before": "2034-01-01T00:00:00Z", "limit": 100 });
    pages(run, game, "auth_token.search", &search);
    run.ok(game, "auth_token.revoke_all", &json!({ "player_id": 1001 }));
    run.ok(game, "auth_token.get", &of(1001));
    run.ok(game, "auth_token.delete", &of(0xabc));
    run.ok(game, "auth_token.delete", &of(0xabc));
}

fn mails(run: &mut Run<'_>, game: &str) {
    let send = |request: &str, players: &[i64]| {
        let mails: Vec<Value> = players
            .iter()
            .map(|id| json!({ "player_id": id, "item_type": 900, "qty": 3 }))
            .collect();
        json!({ "request_id": request, "campaign": "spring", "title": NAME, "mails": mails })
    };
    run.ok(game, "mail.send_many", &send("m1", &[1001, 1002]));
    run.ok(game, "mail.send_many", &send("m1", &[1001, 1002]));
    run.ok(game, "mail.send_many", &send("m2", &[1001, 1003, 1003]));
    let mails = pages(run, game, "mail.list_by_player", &json!({ "player_id": 1001 }));
    let claim = |request: &str| json!({ "request_id": request, "player_id": 1001, "mail_id": mails[0]["mail_id"] });
    run.ok_as(Who::Player, game, "mail.claim", &claim("r1"));
    run.call(Who::Game, game, "mail.claim", &claim("r2"));
}

/// Stored procedures: values, days, truths and rows, refusals by a value and by what is raised.
pub(super) fn rewards(run: &mut Run<'_>, game: &str) {
    let status = |player: i64, day: &str| json!({ "player_id": player, "day": day });
    let claim = |request: &str, player: i64, day: &str| json!({ "request_id": request, "player_id": player, "day": day });
    run.ok(game, "reward.status", &status(1001, "2026-03-01"));
    for (request, day) in
        [("w1", "2026-03-01"), ("w1", "2026-03-01"), ("w2", "2026-03-02"), ("w3", "2026-03-09")]
    {
        run.ok(game, "reward.claim", &claim(request, 1001, day));
        run.ok_as(Who::Player, game, "reward.status", &status(1001, day));
    }
    run.call(Who::Game, game, "reward.claim", &claim("w4", 1001, "2026-03-09"));
    run.call(Who::Game, game, "reward.claim", &claim("w3", 1001, "2026-03-10"));
    run.call(Who::Game, game, "reward.claim", &claim("w5", 7, "2026-03-09"));
    run.call(Who::Player, game, "reward.claim", &claim("w6", 1002, "2026-03-09"));
    run.call(Who::Game, game, "reward.claim", &claim("w7", 1001, "2026-02-30"));
    run.ok(game, "reward.status", &status(1001, "2026-03-11"));
}

fn orders(run: &mut Run<'_>, game: &str) {
    let number = json!({ "order_no": "ALIKE-000001" });
    let order = json!({ "order_no": "ALIKE-000001", "player_id": 1001, "product_id": NAME, "qty": 2,
        "amount": "9999999999.90", "currency": "CNY", "channel": "web" });
    run.ok(game, "order.create", &order);
    run.wait((game, "order.get", &number), |order| order["state"] == "committed");
    run.ok(game, "order.create", &order);
    let mut other = order.clone();
    other["qty"] = json!(3);
    run.call(Who::Game, game, "order.create", &other);
    let row = run.ok(game, "order.get", &number);
    let id = &row["order_id"];
    run.call(Who::Game, game, "order.get", &json!({ "order_no": "ALIKE-000002" }));
    run.ok_as(Who::Admin, game, "order.get_by_id", &json!({ "order_id": id }));
    run.ok_as(Who::Admin, game, "order.get_by_id", &json!({ "order_id": 1 }));
    run.ok(game, "order.get_many", &json!({ "order_ids": [id, 100_100_001, 100_100_002] }));
    let pay = |payment: &str, amount: &str| {
        json!({ "payment_id": payment, "order_no": "ALIKE-000001", "player_id": 1001,
            "amount": amount, "currency": "CNY" })
    };
    run.call(Who::Game, game, "order.pay", &pay("PAY-ALIKE-1", "1.00"));
    run.ok(game, "order.pay", &pay("PAY-ALIKE-2", "9999999999.90"));
    run.ok(game, "order.pay", &pay("PAY-ALIKE-2", "9999999999.90"));
    run.call(Who::Game, game, "order.pay", &pay("PAY-ALIKE-3", "9999999999.90"));
    let refund = |request: &str| json!({ "request_id": request, "order_no": "ALIKE-000001", "player_id": 1001 });
    run.ok_as(Who::Admin, game, "order.refund", &refund("b1"));
    run.call(Who::Admin, game, "order.refund", &refund("b2"));
    run.ok(game, "order.list_entries", &number);
    pages(
        run,
        game,
        "order.list_by_player",
        &json!({ "player_id": 1001, "statuses": [1, 2, 3], "limit": 1 }),
    );
    let from = json!({ "status": 1, "created_from": "2026-01-02T00:00:00Z",
        "created_before": "2026-01-03T08:02:00+08:00", "channel": "web", "limit": 20 });
    pages(run, game, "order.search", &from);
    let count = json!({ "status": 1, "created_from": "2026-01-01T00:00:00Z",
        "created_before": "2026-01-03T00:02:00Z" });
    run.ok_as(Who::Admin, game, "order.count", &count);
    let seeded = run.ok(game, "order.get", &json!({ "order_no": "SO1004-0001" }));
    let update = json!({ "order_no": "SO1004-0001", "version": seeded["version"], "status": 4 });
    run.call(Who::Game, game, "order.update", &update);
    run.call(Who::Game, game, "order.update", &update);
    let seeded = run.ok(game, "order.get", &json!({ "order_no": "SO1004-0001" }));
    let delete = json!({ "order_no": "SO1004-0001", "version": seeded["version"] });
    run.call(Who::Admin, game, "order.delete", &delete);
    run.call(Who::Admin, game, "order.delete", &delete);
}
