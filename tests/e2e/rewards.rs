//! The stored procedures of game1: daily rewards, on the databases that have procedures.

use gateway_tests::{Credential, Database, Gateway, Setup, Transport, run};
use serde_json::{Value, json};

gateway_tests::on_every_server! {
    reward_is_claimed_once_a_day_and_paid_into_the_wallet,
    status_is_cached_until_the_next_claim,
    claims_of_one_player_at_once_are_one_claim,
}

// Of the stand-in `backend/dictionary.rs` asks the same.
gateway_tests::on_mysql_only! {
    dictionary_of_the_database_agrees_with_the_calls,
}

fn call(gateway: &Gateway<'_>, operation: &str, params: &Value) -> (u16, Value) {
    let who = Credential::with_roles(&["game_server", "admin"]);
    let answer = Transport::Http.call(gateway, &who, "game1", operation, params);
    (answer.code, answer.body)
}

fn claim(request: &str, player: i64, day: &str) -> Value {
    json!({ "request_id": request, "player_id": player, "day": day })
}

/// What the calendar shows as taken.
fn taken(reply: &Value) -> Vec<i64> {
    let days = reply["calendar"].as_array().expect("rows").iter();
    days.filter(|day| day["taken"] == true).map(|day| day["day_no"].as_i64().unwrap()).collect()
}

fn reward_is_claimed_once_a_day_and_paid_into_the_wallet(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let claimed = |request: &str, day: &str| {
        let (code, reply) = call(gateway, "reward.claim", &claim(request, 1001, day));
        (code, reply["streak"].clone(), reply["gems"].clone(), reply["balance"].clone(), reply)
    };
    let (code, streak, gems, balance, first) = claimed("r1", "2026-03-01");
    assert_eq!((code, streak, gems, balance), (0, json!(1), json!(10), json!("1010")), "{first}");
    assert_eq!((first["outcome"].clone(), taken(&first)), (json!(0), vec![1]));
    assert_eq!(first["calendar"][6], json!({ "day_no": 7, "gems": 100, "taken": false }));
    assert_eq!(claimed("r1", "2026-03-01").4, first, "the first answer again");
    assert_eq!(claimed("r2", "2026-03-01").0, 2164, "the day is taken");
    assert_eq!(claimed("r2", "2026-02-28").0, 2164, "and so is every day before it");
    let second = claimed("r2", "2026-03-02");
    assert_eq!((second.0, second.1, second.3), (0, json!(2), json!("1025")), "the key is free");
    let after_a_gap = claimed("r3", "2026-03-09");
    assert_eq!((after_a_gap.1, taken(&after_a_gap.4)), (json!(1), vec![1]));
    assert_eq!(call(gateway, "reward.claim", &claim("r4", 7, "2026-03-01")).0, 2101);
    let ledger = call(gateway, "currency.history", &json!({ "player_id": 1001 })).1;
    let amounts: Vec<&Value> =
        ledger["items"].as_array().unwrap().iter().map(|row| &row["amount"]).collect();
    let expected = ["10", "15", "10", "1000"].map(|amount| json!(amount));
    assert!(amounts.into_iter().eq(&expected), "each claim once, and the seed: {ledger}");
}

fn status_is_cached_until_the_next_claim(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let status = |day: &str| {
        let params = json!({ "player_id": 1002, "day": day });
        let (code, reply) = call(gateway, "reward.status", &params);
        assert_eq!(code, 0, "{reply}");
        let told = ["streak", "last_day", "may_claim"].map(|name| reply[name].clone());
        (told, taken(&reply))
    };
    assert_eq!(status("2026-03-01"), ([json!(0), Value::Null, json!(true)], vec![]));
    for (request, day) in [("s1", "2026-03-01"), ("s2", "2026-03-02")] {
        assert_eq!(call(gateway, "reward.claim", &claim(request, 1002, day)).0, 0);
    }
    let told = ([json!(2), json!("2026-03-02"), json!(false)], vec![1, 2]);
    assert_eq!(status("2026-03-02"), told, "what was cached is stale at once");
    let mut http = gateway.http();
    let target = "/v1/game1/players/1002/reward?day=2026-03-02";
    let headers = Credential::player(1002).headers();
    let reply = http.get(target, &headers);
    let tag = reply.header("etag").expect("a cached read has one").to_owned();
    let again = format!("{headers}If-None-Match: {tag}\r\n");
    assert_eq!(http.get(target, &again).status, 304);
    assert_eq!(http.get(target, &Credential::player(1003).headers()).status, 403);
}

/// `gateway check --database` looks the procedures up.
fn dictionary_of_the_database_agrees_with_the_calls(database: Database) {
    let Some(setup) = database.setup() else { return };
    let config = setup.config_path().display().to_string();
    let output = run(&["check", "--config", &config, "--database"]);
    let (told, complaint) = (output.stdout, output.stderr);
    assert!(told.contains("2 games") && !told.contains("reward/"), "{told}{complaint}");
}

fn claims_of_one_player_at_once_are_one_claim(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let codes: Vec<u16> = std::thread::scope(|scope| {
        let claim = |number: usize| {
            let params = claim(&format!("at-once-{number}"), 1005, "2026-03-01");
            scope.spawn(move || call(gateway, "reward.claim", &params).0)
        };
        let claims: Vec<_> = (0..8).map(claim).collect();
        claims.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |code| codes.iter().filter(|one| **one == code).count();
    assert_eq!((count(0), count(2164)), (1, 7), "{codes:?}");
}
