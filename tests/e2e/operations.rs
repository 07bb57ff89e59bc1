//! The sample games: what each kind of operation answers, over every transport, on every database.

use gateway_tests::{ADMIN_KEY, Credential, Database, Gateway, Setup, Transport, call_everywhere};
use serde_json::{Value, json};

gateway_tests::on_every_database! {
    affected_is_the_same_count_on_every_database,
    duplicate_row_answers_with_the_code_that_the_template_declares,
    list_of_a_thousand_items_and_one_of_more_find_what_they_name_on_every_database,
}

/// An operator of every game.
fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

/// What the game itself may do, over HTTP.
fn game() -> Credential {
    Credential::with_roles(&["game_server"])
}

#[track_caller]
fn ok(gateway: &Gateway<'_>, who: &Credential, operation: &str, params: &Value) -> Value {
    let answer = call_everywhere(gateway, who, "game1", operation, params);
    assert_eq!(answer.code, 0, "{operation} {params}: {}", answer.body);
    answer.body
}

/// One call over HTTP, for what must not be done three times.
#[track_caller]
fn once(gateway: &Gateway<'_>, operation: &str, params: &Value) -> (u16, Value) {
    let answer = Transport::Http.call(gateway, &game(), "game1", operation, params);
    (answer.code, answer.body)
}

#[test]
fn player_of_the_seed_is_told_in_full_and_in_declared_order() {
    let gateway = Setup::sqlite().start();
    let body = ok(&gateway, &admin(), "player.get", &json!({ "player_id": 1001 }));
    let expected = json!({
        "player_id": "1001", "account_name": "account1001", "nickname": "Player1001", "server_id": 1,
        "player_level": 1, "vip_level": 0, "experience": "0", "gold": "0", "status": 1, "version": 1,
        "created_at": "2026-01-01T00:00:00.000000Z", "last_login_at": "2026-03-01T00:00:00.000000Z",
    });
    assert_eq!(body, expected);
    let names: Vec<_> = body.as_object().unwrap().keys().collect();
    let declared: Vec<_> = expected.as_object().unwrap().keys().collect();
    assert_eq!(names, declared);
}

#[test]
fn big_number_is_an_integer_in_messagepack_and_a_string_in_json() {
    let gateway = Setup::sqlite().start();
    let params = json!({ "player_id": 1001 });
    let forms = Transport::ALL.map(|transport| {
        transport.call(&gateway, &admin(), "game1", "player.get", &params).body["player_id"].clone()
    });
    assert_eq!(forms, [json!(1001), json!("1001"), json!("1001")]);
}

#[test]
fn big_number_as_a_string_is_taken_as_the_number() {
    let gateway = Setup::sqlite().start();
    let body = ok(&gateway, &admin(), "player.get", &json!({ "player_id": "1001" }));
    assert_eq!(body["nickname"], "Player1001");
}

#[test]
fn optional_answers_null_where_there_is_no_row() {
    let gateway = Setup::sqlite().start();
    let none = ok(&gateway, &admin(), "order.get_by_id", &json!({ "order_id": 1 }));
    assert_eq!(none, Value::Null);
    let some = ok(&gateway, &admin(), "order.get_by_id", &json!({ "order_id": 100_100_001 }));
    assert_eq!(some["amount"], "5.99");
}

#[test]
fn batch_get_leaves_out_what_is_not_there_and_takes_an_empty_list() {
    let gateway = Setup::sqlite().start();
    let ids = json!({ "player_ids": [1003, 1001, 5, 1002] });
    let found = ok(&gateway, &admin(), "player.get_many", &ids);
    let names: Vec<_> = found.as_array().unwrap().iter().map(|row| &row["nickname"]).collect();
    assert_eq!(names, ["Player1001", "Player1002", "Player1003"]);
    assert_eq!(ok(&gateway, &admin(), "player.get_many", &json!({ "player_ids": [] })), json!([]));
}

#[test]
fn profile_carries_characters_and_items_of_the_player() {
    let gateway = Setup::sqlite().start();
    let body =
        ok(&gateway, &Credential::player(1001), "player.profile", &json!({ "player_id": 1001 }));
    assert_eq!(body["nickname"], "Player1001");
    let own = json!({ "player_id": 1001 });
    for (member, operation) in
        [("characters", "character.list_by_player"), ("items", "item.list_by_player")]
    {
        let list = ok(&gateway, &admin(), operation, &own);
        assert!(!list.as_array().unwrap().is_empty(), "{operation}");
        assert_eq!(body[member], list, "{member}");
    }
}

/// Every page of an operation, in order.
fn pages(gateway: &Gateway<'_>, operation: &str, params: &Value) -> Vec<Vec<Value>> {
    let mut params = params.clone();
    let mut pages = Vec::new();
    loop {
        let page = ok(gateway, &admin(), operation, &params);
        pages.push(page["items"].as_array().unwrap().clone());
        match page.get("next") {
            None | Some(Value::Null) => return pages,
            Some(next) => params["cursor"] = next.clone(),
        }
        assert!(pages.len() < 100, "{operation} never ends");
    }
}

#[test]
fn pages_show_every_row_once_and_in_order_whatever_their_size() {
    let gateway = Setup::sqlite().start();
    for (limit, sort) in
        [(1, "newest"), (7, "level"), (29, "level"), (30, "newest"), (100, "level")]
    {
        let params = json!({ "server_id": 3, "limit": limit, "sort": sort });
        let pages = pages(&gateway, "player.search", &params);
        let rows: Vec<Value> = pages.concat();
        assert_eq!(rows.len(), 30, "{params}");
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "{params}");
        let key = |row: &Value| {
            let id: i64 = row["player_id"].as_str().unwrap().parse().unwrap();
            let first = if sort == "level" {
                format!("{:09}", row["player_level"].as_i64().unwrap())
            } else {
                row["created_at"].as_str().unwrap().to_owned()
            };
            (first, id)
        };
        let keys: Vec<_> = rows.iter().map(key).collect();
        assert!(keys.windows(2).all(|pair| pair[0] > pair[1]), "{params}: {keys:?}");
    }
}

#[test]
fn optional_lines_apply_only_when_their_parameter_is_given() {
    let gateway = Setup::sqlite().start();
    let all = json!({ "server_id": 3, "limit": 100 });
    let count = |extra: Value| {
        let mut params = all.clone();
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        pages(&gateway, "player.search", &params).concat().len()
    };
    assert_eq!(count(json!({})), 30);
    assert_eq!(count(json!({ "level_min": null })), 30);
    assert_eq!(count(json!({ "name_prefix": "Player1003" })), 1);
    assert_eq!(count(json!({ "name_prefix": "player1003" })), 1);
    assert_eq!(
        count(json!({ "vip_levels": [2] })),
        pages(&gateway, "player.search", &all)
            .concat()
            .iter()
            .filter(|row| row["vip_level"] == 2)
            .count()
    );
    assert_eq!(count(json!({ "vip_levels": [] })), 0);
    for wildcard in ["%", "_", "Player10_3", "\\"] {
        assert_eq!(count(json!({ "name_prefix": wildcard })), 0, "{wildcard}");
    }
}

#[test]
fn count_agrees_with_the_search() {
    let gateway = Setup::sqlite().start();
    let params = json!({ "server_id": 3, "level_min": 50 });
    let total = ok(&gateway, &admin(), "player.count", &params)["player_count"].clone();
    let found = pages(&gateway, "player.search", &params).concat().len();
    assert_eq!(total, json!(found));
}

#[test]
fn row_is_inserted_found_changed_and_deleted() {
    let gateway = Setup::sqlite().start();
    let insert = json!({ "account_name": "new", "nickname": "Nobody's; DROP--", "server_id": 77 });
    let (code, body) = once(&gateway, "player.insert", &insert);
    assert_eq!((code, &body["affected"]), (0, &json!(1)), "{body}");

    let found = ok(&gateway, &admin(), "player.search", &json!({ "server_id": 77 }));
    let id = found["items"][0]["player_id"].as_str().unwrap().to_owned();
    assert!(id.parse::<i64>().unwrap() > 1 << 40, "{id} is not time-ordered");
    let get = || ok(&gateway, &admin(), "player.get", &json!({ "player_id": id }));
    assert_eq!((&get()["nickname"], &get()["version"]), (&insert["nickname"], &json!(1)));

    let update = json!({ "player_id": id, "version": 1, "player_level": 9 });
    assert_eq!(once(&gateway, "player.update", &update), (0, json!({ "affected": 1 })));
    assert_eq!((&get()["player_level"], &get()["version"]), (&json!(9), &json!(2)));
    assert_eq!(get()["nickname"], insert["nickname"], "what is not given stays");
    let (code, stale) = once(&gateway, "player.update", &update);
    assert_eq!(code, 2023, "{stale}");
    assert_eq!(stale["details"]["current"], get(), "the row that stands is told");

    let delete = json!({ "player_id": id, "version": 2 });
    let deleted = Transport::Http.call(&gateway, &admin(), "game1", "player.delete", &delete);
    assert_eq!(deleted.body, json!({ "affected": 1 }));
    let gone =
        call_everywhere(&gateway, &admin(), "game1", "player.get", &json!({ "player_id": id }));
    assert_eq!((gone.code, gone.status), (2101, Some(404)));
}

fn affected_is_the_same_count_on_every_database(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let affected = |operation: &str, params: Value| {
        let (code, body) = once(gateway, operation, &params);
        assert_eq!(code, 0, "{operation}: {body}");
        body["affected"].as_i64().unwrap()
    };
    let own = json!({ "player_id": 1001 });
    assert_eq!(affected("auth_token.revoke_all", own.clone()), 1);
    assert_eq!(affected("auth_token.revoke_all", own), 0);
    // A row that is there counts once, though MySQL itself says 2 for an upsert.
    for item_type in [1, 500] {
        let request = format!("grant-{item_type}");
        let grant =
            json!({ "request_id": request, "player_id": 1001, "item_type": item_type, "qty": 1 });
        assert_eq!(affected("item.grant", grant), 1, "{item_type}");
    }
    let update =
        |version| json!({ "player_id": 1001, "item_id": 10_010_001, "version": version, "qty": 3 });
    assert_eq!(affected("item.update", update(2)), 1);
    assert_eq!(once(gateway, "item.update", &update(2)).0, 2023);
    let touch = json!({ "player_id": 1001, "token_hash": format!("{:064x}", 1001) });
    assert_eq!(affected("auth_token.delete", touch.clone()), 1);
    assert_eq!(affected("auth_token.delete", touch), 0);
}

fn duplicate_row_answers_with_the_code_that_the_template_declares(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let again = json!({ "account_name": "x", "nickname": "Player1001", "server_id": 1 });
    let answer = call_everywhere(gateway, &game(), "game1", "player.insert", &again);
    assert_eq!((answer.code, answer.status), (2104, Some(409)));
    assert_eq!(answer.body["message"], "NAME_TAKEN");
    let taken = json!({ "player_id": 1011, "version": 1, "nickname": "player1001" });
    let answer = call_everywhere(gateway, &game(), "game1", "player.update", &taken);
    assert_eq!(answer.code, 2104);
}

/// Oracle takes 1,000 items of a list at most (ORA-01795): longer ones are several there.
fn list_of_a_thousand_items_and_one_of_more_find_what_they_name_on_every_database(
    database: Database,
) {
    let template = |condition: &str| {
        format!(
            "-- @kind many\n-- @param server_id int\n-- @param player_ids list(bigint) max_items=2001\n\
             -- @result player_id int\n-- @allow admin\n-- @limit 100\n\
             -- @timeout 30s\n\
             SELECT p.player_id FROM player p\n\
             WHERE p.player_id {condition} (:player_ids) AND p.server_id = :server_id\n\
             ORDER BY p.player_id\n"
        )
    };
    let Some(setup) = database.setup() else { return };
    // The stand-in's library, built for debugging, takes its time over two thousand binds.
    let setup = setup.set("/games/game1/deadline", json!("30s"));
    let setup = setup.own_templates().template("_base/player/among.sql", &template("IN"));
    let gateway = setup.template("_base/player/others.sql", &template("NOT IN")).start();
    // Server 1 has 1001, 1011, … 1291; 1002 is on another, in whichever part of the list it stands.
    let here: Vec<i64> = (0..30).map(|index| 1001 + 10 * index).collect();
    let places = [0, 998, 999, 1000, 1001, 1998, 1999, 2000];
    let call = |operation: &str, ids: &[i64]| {
        let params = json!({ "server_id": 1, "player_ids": ids });
        Transport::Http.call(&gateway, &admin(), "game1", operation, &params)
    };
    for count in [999, 1000, 1001, 1002, 2000, 2001] {
        let mut ids: Vec<i64> = (1_000_000..).take(count).collect();
        ids[1] = 1002;
        let late = ids.len() - 4;
        ids[late] = 1002;
        let mut named = Vec::new();
        for (place, id) in places.into_iter().zip(&here).filter(|(place, _)| *place < count) {
            ids[place] = *id;
            named.push(*id);
        }
        let rows = |ids: &[i64]| ids.iter().map(|id| json!({ "player_id": id })).collect::<Value>();
        let found = call("player.among", &ids);
        assert_eq!((found.code, found.body), (0, rows(&named)), "{count} items");
        let others: Vec<i64> = here.iter().filter(|id| !named.contains(id)).copied().collect();
        let found = call("player.others", &ids);
        assert_eq!((found.code, found.body), (0, rows(&others)), "not in {count} items");
    }
    assert_eq!(call("player.among", &vec![1001; 2002]).code, 2012);
}

#[test]
fn override_of_a_game_shows_in_that_game_only() {
    let gateway = Setup::sqlite().start();
    let own = json!({ "player_id": 1001 });
    let bag = |game| call_everywhere(&gateway, &admin(), game, "item.list_by_player", &own).body;
    assert_eq!(bag("game1")[2].get("bind_type"), None);
    assert_eq!(bag("game2")[2]["bind_type"], 1);

    let top = json!({ "server_id": 1 });
    let public = |game| Transport::Http.call(&gateway, &Credential::None, game, "player.top", &top);
    assert_eq!(public("game1").body["items"].as_array().unwrap().len(), 10);
    assert_eq!(public("game2").code, 2001);

    let gm = Credential::with_roles(&["gm"]);
    let search = |game| call_everywhere(&gateway, &gm, game, "player.search", &top).code;
    assert_eq!((search("game1"), search("game2")), (0, 3101));
    let wide = json!({ "server_id": 1, "limit": 51 });
    let search = |game| call_everywhere(&gateway, &admin(), game, "player.search", &wide).code;
    assert_eq!((search("game1"), search("game2")), (0, 2012));
}

#[test]
fn cursor_continues_on_the_other_instance_with_the_same_secret() {
    let gateway = Setup::sqlite().start();
    let beside = Setup::beside(&gateway).start();
    let first = ok(&gateway, &admin(), "player.search", &json!({ "server_id": 3, "limit": 29 }));
    let next = json!({ "server_id": 3, "limit": 29, "cursor": first["next"] });
    assert_eq!(ok(&beside, &admin(), "player.search", &next)["items"].as_array().unwrap().len(), 1);
}
