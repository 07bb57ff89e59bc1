//! The cache's promises, seen from outside: who hits, who does not, and that nobody sees an old row.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{
    ADMIN_KEY, Codec, Credential, Database, Gateway, Redis, Setup, Signal, Transport, shared_redis,
    wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_server! {
    gateway_killed_in_the_middle_of_a_write_leaves_nothing_stale,
}

// They need a table that readers wait for, and no reader of an Oracle waits for a writer.
gateway_tests::on_mysql_only! {
    storm_of_misses_on_one_key_is_one_query,
}

const PLAYER: &str = "/v1/game1/players/1001";

fn admin() -> String {
    Credential::ApiKey(ADMIN_KEY.to_owned()).headers()
}

/// Where a GET was answered from.
#[track_caller]
fn outcome(gateway: &Gateway<'_>, target: &str) -> String {
    let reply = gateway.http().get(target, &admin());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-cache").expect("X-Cache").to_owned()
}

/// The player's gold, as an instance tells it.
#[track_caller]
fn gold(gateway: &Gateway<'_>) -> i64 {
    let reply = gateway.http().get(PLAYER, &admin());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["gold"].as_str().unwrap().parse().unwrap()
}

/// Changes the player through an instance, whatever its version is.
#[track_caller]
fn set_gold(gateway: &Gateway<'_>, gold: i64) {
    let mut http = gateway.http();
    let version = http.get(PLAYER, &admin()).json()["version"].clone();
    let reply =
        http.send_json("PATCH", PLAYER, &admin(), &json!({ "version": version, "gold": gold }));
    assert_eq!((reply.status, &reply.json()["affected"]), (200, &json!(1)), "{}", reply.text());
}

#[test]
fn read_is_a_miss_once_and_then_a_hit_in_every_codec() {
    let gateway = Setup::sqlite().start();
    assert_eq!(outcome(&gateway, PLAYER), "miss");
    assert_eq!(outcome(&gateway, PLAYER), "l1");
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let json = gateway.http().get(PLAYER, &admin.headers()).json();
    for codec in [Codec::Msgpack, Codec::Json] {
        let mut wire = gateway.connect("game1", &admin, codec);
        let body = wire.ok("player.get", &json!({ "player_id": 1001 }));
        assert_eq!(body["nickname"], json["nickname"]);
    }
    // Changed behind the gateway's back: it does not ask the database, in no codec.
    gateway.sql("game1", "UPDATE player SET nickname = 'Changed' WHERE player_id = 1001;");
    for transport in Transport::ALL {
        let body = transport
            .call(&gateway, &admin, "game1", "player.get", &json!({ "player_id": 1001 }))
            .body;
        assert_eq!(body["nickname"], "Player1001", "{transport:?}");
    }
}

#[test]
fn entry_of_one_player_is_never_served_to_another() {
    let gateway = Setup::sqlite().start();
    let get = |who: &Credential, id: i64| {
        gateway.http().get(&format!("/v1/game1/players/{id}"), &who.headers())
    };
    let (first, second) = (Credential::player(1001), Credential::player(1002));
    assert_eq!(get(&first, 1001).status, 200);
    assert_eq!(get(&first, 1001).header("x-cache"), Some("l1"));
    assert_eq!(get(&second, 1001).code(), 3102);
    assert_eq!(get(&Credential::None, 1001).code(), 3001);
    assert_eq!(get(&second, 1002).json()["nickname"], "Player1002");
    let foreign =
        gateway_tests::Token::new("1001", &["player"]).claim("games", json!(["game2"])).sign();
    assert_eq!(get(&Credential::Bearer(foreign), 1001).code(), 3103);
}

#[test]
fn result_that_uses_the_caller_is_each_callers_own() {
    let whoami = "-- @desc  Who calls, as the database sees it.\n\
        -- @kind  one\n\
        -- @param player_id bigint\n\
        -- @result player_id bigint as string, caller string, subject string\n\
        -- @allow game_server, gm, player\n\
        -- @cache l1=10m l2=1h tag=player:{player_id}\n\
        SELECT p.player_id, :_caller AS caller, :_claim.sub AS subject\n\
        FROM   player p\n\
        WHERE  p.player_id = :player_id\n";
    let gateway =
        Setup::sqlite().own_templates().template("_base/player/whoami.sql", whoami).start();
    let ask = |subject: &str| {
        let token = gateway_tests::Token::new(subject, &["player"]).sign();
        let who = Credential::Bearer(token);
        Transport::Http
            .call(&gateway, &who, "game1", "player.whoami", &json!({ "player_id": 1001 }))
            .body
    };
    for _ in 0..2 {
        for subject in ["1", "2", "11"] {
            let body = ask(subject);
            assert_eq!(
                (&body["subject"], &body["caller"]),
                (&json!(subject), &json!(format!("jwt:{subject}")))
            );
        }
    }
}

#[test]
fn games_do_not_share_entries() {
    let gateway = Setup::sqlite().start();
    gateway.sql("game2", "UPDATE player SET nickname = 'Second' WHERE player_id = 1001;");
    let name = |game: &str| {
        let reply = gateway.http().get(&format!("/v1/{game}/players/1001"), &admin());
        reply.json()["nickname"].as_str().unwrap().to_owned()
    };
    for _ in 0..2 {
        assert_eq!((name("game1").as_str(), name("game2").as_str()), ("Player1001", "Second"));
    }
}

#[test]
fn write_is_seen_by_every_cached_read_of_its_rows_at_once() {
    let gateway = Setup::sqlite().start();
    let targets = [
        PLAYER,
        "/v1/game1/players/1001/profile",
        "/v1/game1/players:batch_get?player_ids=1001&player_ids=1002",
        "/v1/game1/players:top?server_id=1&limit=50",
    ];
    for target in targets {
        outcome(&gateway, target);
        assert_eq!(outcome(&gateway, target), "l1", "{target}");
    }
    let update = json!({ "version": 1, "nickname": "Renamed", "player_level": 999 });
    assert_eq!(gateway.http().send_json("PATCH", PLAYER, &admin(), &update).status, 200);
    for target in targets {
        let reply = gateway.http().get(target, &admin());
        assert!(reply.text().contains("Renamed"), "{target}: {}", reply.text());
    }
    // Another player's entry is still there.
    let other = "/v1/game1/players/1003";
    outcome(&gateway, other);
    set_gold(&gateway, 5);
    assert_eq!(outcome(&gateway, other), "l1");
}

#[test]
fn missing_row_is_remembered_and_forgotten_when_it_is_written() {
    let gateway = Setup::sqlite().start();
    let target = "/v1/game1/players/1001/items/77";
    let ask = || gateway.http().get(target, &admin());
    assert_eq!((ask().code(), ask().code()), (2121, 2121));
    assert_eq!(ask().header("x-cache"), Some("l1"));
    // Behind the gateway's back first, to see that it is remembered; then any write of the player's items.
    let insert = "INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version) \
        VALUES (77, 1001, 900, 1, '2026-01-01T00:00:00.000000Z', 1);";
    gateway.sql("game1", insert);
    assert_eq!(ask().code(), 2121);
    let game = Credential::with_roles(&["game_server"]);
    let consume = json!({ "request_id": "c1", "player_id": 1001, "item_type": 1, "qty": 1 });
    assert_eq!(Transport::Http.call(&gateway, &game, "game1", "item.consume", &consume).code, 0);
    assert_eq!(ask().status, 200);
}

fn storm_of_misses_on_one_key_is_one_query(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = Setup::on(server).start();
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.lock(&schema, "player");
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..30)
            .map(|_| {
                scope.spawn(|| gateway.http().get(PLAYER, &admin()).json()["nickname"].clone())
            })
            .collect();
        wait_until("one query waits", || (server.waiting_count(&schema) > 0).then_some(()));
        // Another query on the same table: once it waits too, the thirty had their chance.
        let other = scope.spawn(|| gateway.http().get("/v1/game1/players/1002", &admin()).status);
        wait_until("the other query waits", || (server.waiting_count(&schema) >= 2).then_some(()));
        assert_eq!(server.waiting_count(&schema), 2, "thirty misses are one query");
        drop(lock);
        assert_eq!(other.join().unwrap(), 200);
        asking.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|name| name == "Player1001"), "{answers:?}");
}

#[test]
fn entry_is_shared_with_another_instance_through_redis() {
    let Some(redis) = shared_redis() else { return };
    let gateway = Setup::sqlite().redis(redis).start();
    let beside = Setup::beside(&gateway).start();
    assert_eq!(outcome(&gateway, PLAYER), "miss");
    // The fill of L2 may end after the reply.
    wait_until("the entry is in Redis", || (outcome(&beside, PLAYER) != "miss").then_some(()));
    assert_eq!(outcome(&beside, PLAYER), "l1");
}

#[test]
fn write_at_one_instance_is_seen_at_the_other() {
    let Some(redis) = shared_redis() else { return };
    let gateway = Setup::sqlite().redis(redis).start();
    let beside = Setup::beside(&gateway).start();
    for round in 1..=20 {
        let (writer, reader) =
            if round % 2 == 0 { (&gateway, &beside) } else { (&beside, &gateway) };
        assert_eq!(gold(reader), gold(writer));
        set_gold(writer, round);
        assert_eq!(gold(writer), round, "the writer sees its own write at once");
        wait_until("the other instance sees it", || (gold(reader) == round).then_some(()));
    }
}

#[test]
fn redis_that_is_away_costs_time_and_never_an_answer() {
    let Some(mut redis) = Redis::start() else { return };
    let gateway = Setup::sqlite().redis(&redis).start();
    assert_eq!(gold(&gateway), 0);
    redis.signal(Signal::Stop);
    set_gold(&gateway, 1);
    assert_eq!(gold(&gateway), 1);
    redis.signal(Signal::Continue);
    redis.kill();
    set_gold(&gateway, 2);
    assert_eq!(gold(&gateway), 2);
    assert_eq!(gateway.admin("/readyz").status, 200, "the gateway is ready without Redis");
    redis.restart();
    set_gold(&gateway, 3);
    assert_eq!(gold(&gateway), 3);
    let beside = Setup::beside(&gateway).start();
    // Another player each time: what an instance has asked for once is in its own L1.
    let mut player_id = 1001;
    wait_until("Redis is used again", || {
        player_id += 1;
        let target = format!("/v1/game1/players/{player_id}");
        outcome(&gateway, &target);
        (outcome(&beside, &target) == "l2").then_some(())
    });
}

#[test]
fn redis_that_hangs_delays_reads_and_writes_within_their_deadline_and_is_used_again() {
    let Some(redis) = Redis::start() else { return };
    let gateway = Setup::sqlite().redis(&redis).set("/games/game1/deadline", json!("2s")).start();
    let beside = Setup::beside(&gateway).start();
    redis.signal(Signal::Stop);
    let begun = Instant::now();
    for player_id in 1001..1021 {
        outcome(&gateway, &format!("/v1/game1/players/{player_id}"));
    }
    set_gold(&gateway, 7);
    assert_eq!(gold(&gateway), 7);
    // Twenty reads and a write, of which only the first few may have waited for Redis.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // A hello with a nonce is good without Redis too.
    gateway.game_server("game1").ok("player.get", &json!({ "player_id": 1001 }));
    redis.signal(Signal::Continue);
    wait_until("the other instance hears of the write", || (gold(&beside) == 7).then_some(()));
    let mut player_id = 1030;
    wait_until("Redis is used again", || {
        player_id += 1;
        let target = format!("/v1/game1/players/{player_id}");
        outcome(&gateway, &target);
        (outcome(&beside, &target) == "l2").then_some(())
    });
}

/// The promise to other instances: what they have may be old until the word of the write arrives, and
/// never longer than an entry lives blind when no word can.
#[test]
fn instance_cut_off_from_redis_serves_an_old_row_no_longer_than_its_blind_ttl() {
    let Some(mut redis) = Redis::start() else { return };
    let gateway = Setup::sqlite().redis(&redis).set("/cache/l1_blind_ttl", json!("500ms")).start();
    let beside = Setup::beside(&gateway).start();
    assert_eq!((gold(&gateway), gold(&beside)), (0, 0));
    redis.kill();
    // The other instance has to have seen that it is blind before the bound counts for it.
    wait_until("both know that Redis is away", || {
        let knows = |one: &Gateway<'_>| one.admin("/readyz").json()["redis"]["subscribed"] == false;
        (knows(&gateway) && knows(&beside)).then_some(())
    });
    for round in 1..=5 {
        set_gold(&gateway, round);
        let written = Instant::now();
        wait_until("the other instance tells the new row", || {
            (gold(&beside) == round).then_some(())
        });
        // A second more for a busy machine.
        assert!(written.elapsed() < Duration::from_millis(1500), "{:?}", written.elapsed());
    }
    redis.restart();
    set_gold(&gateway, 6);
    wait_until("the other instance tells the last row", || (gold(&beside) == 6).then_some(()));
}

#[test]
fn reader_never_goes_back_while_redis_comes_and_goes() {
    let Some(mut redis) = Redis::start() else { return };
    let gateway = Setup::sqlite().redis(&redis).set("/cache/l1_blind_ttl", json!("200ms")).start();
    let beside = Setup::beside(&gateway).start();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A value that an instance has shown is never followed by an older one from the same instance's
        // writer: gold only grows.
        let watch = scope.spawn(|| {
            let mut last = 0;
            while !ended.load(Ordering::Acquire) {
                let now = gold(&gateway);
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
            last
        });
        for round in 1..=40 {
            match round {
                8 | 28 => redis.kill(),
                16 | 34 => redis.restart(),
                20 => redis.signal(Signal::Stop),
                24 => redis.signal(Signal::Continue),
                _ => {}
            }
            set_gold(&gateway, round);
            assert_eq!(gold(&gateway), round, "its own write");
        }
        wait_until("the other instance arrives", || (gold(&beside) == 40).then_some(()));
        ended.store(true, Ordering::Release);
        assert_eq!(watch.join().unwrap(), 40);
    });
}

fn gateway_killed_in_the_middle_of_a_write_leaves_nothing_stale(database: Database) {
    let (Some(server), Some(redis)) = (database.shared(), shared_redis()) else { return };
    let mut gateway = Setup::on(server).redis(redis).start();
    let beside = Setup::beside(&gateway).start();
    let schema = gateway.schemas().unwrap().name("game1");
    assert_eq!((gold(&gateway), gold(&beside)), (0, 0));
    let lock = server.lock(&schema, "player");
    let mut http = gateway.http();
    let patch = json!({ "version": 1, "gold": 7 }).to_string();
    let request = format!(
        "PATCH {PLAYER} HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{patch}",
        admin(),
        patch.len()
    );
    assert!(http.send_bytes(request.as_bytes()));
    wait_until("the write waits", || (server.waiting_count(&schema) == 1).then_some(()));
    gateway.signal(Signal::Kill);
    gateway.wait_exit();
    drop(lock);
    // The statement was with the server already: it may have been carried out or not. Whatever the
    // database says now is what the other instance says in the end, and goes on saying.
    let stored = || -> i64 {
        server
            .query(&schema, "SELECT gold FROM player WHERE player_id = 1001")
            .trim()
            .parse()
            .unwrap()
    };
    wait_until("the server is done with it", || (server.waiting_count(&schema) == 0).then_some(()));
    wait_until("the other instance tells what is stored", || {
        (gold(&beside) == stored()).then_some(())
    });
}

#[test]
fn template_that_changed_does_not_serve_the_old_entry() {
    let gateway = Setup::sqlite().own_templates().start();
    assert_eq!(outcome(&gateway, PLAYER), "miss");
    let text =
        std::fs::read_to_string(gateway.folder().join("templates/_base/player/get.sql")).unwrap();
    let changed = text.replace("p.nickname,", "UPPER(p.nickname) AS nickname,");
    assert_ne!(changed, text);
    gateway.write_template("_base/player/get.sql", &changed);
    gateway.signal(Signal::Reload);
    wait_until("the changed template serves", || {
        let body = gateway.http().get(PLAYER, &admin()).json();
        (body["nickname"] == "PLAYER1001").then_some(())
    });
}
