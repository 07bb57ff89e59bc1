//! Credentials: every way in which one can be bad, on both protocols, and what a good one may do.

use gateway_tests::{
    ADMIN_KEY, Algorithm, Codec, Credential, GameServer, REPLY, Setup, Signal, Token, Transport,
    WELCOME, api_key_hash, call_everywhere, wait_until,
};
use serde_json::{Value, json};

const PLAYER: &str = "/v1/game1/players/1001";

fn own() -> Value {
    json!({ "player_id": 1001 })
}

#[test]
fn token_of_each_algorithm_is_accepted() {
    let gateway = Setup::sqlite().start();
    for algorithm in Algorithm::ALL {
        let token = Token::new("1001", &["player"]).signed_with(algorithm).sign();
        let answer =
            call_everywhere(&gateway, &Credential::Bearer(token), "game1", "player.get", &own());
        assert_eq!(answer.code, 0, "{algorithm:?}: {}", answer.body);
    }
}

#[test]
fn bad_token_is_refused_with_the_code_of_its_fault_over_every_transport() {
    let gateway = Setup::sqlite().start();
    let good = || Token::new("1001", &["player"]);
    let signed = good().sign();
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let another = Token::new("1002", &["player"]).sign();
    let swapped = format!("{}.{signature}", another.rsplit_once('.').unwrap().0);
    let mut unknown_key = good();
    unknown_key.key_id = Some("nobody".to_owned());
    let mut no_key = good();
    no_key.key_id = None;
    let cases: &[(&str, String, u16)] = &[
        ("expired", good().expires_in(-5).sign(), 3002),
        ("not valid yet", good().valid_in(3600).sign(), 3005),
        ("without an end", good().claim("exp", Value::Null).sign(), 3005),
        ("an end that is a text", good().claim("exp", json!("tomorrow")).sign(), 3005),
        ("another issuer", good().claim("iss", json!("elsewhere")).sign(), 3005),
        ("no issuer", good().claim("iss", Value::Null).sign(), 3005),
        ("another audience", good().claim("aud", json!("elsewhere")).sign(), 3005),
        ("no audience", good().claim("aud", Value::Null).sign(), 3005),
        ("an unknown key", unknown_key.sign(), 3005),
        ("no key named", no_key.sign(), 3005),
        ("another one's signature", swapped, 3003),
        ("no signature", format!("{head}."), 3003),
        ("alg none", good().unsigned(), 3005),
        ("a public key as a shared secret", good().confused(), 3005),
        ("two parts", head.to_owned(), 3003),
        ("no token at all", "x".to_owned(), 3003),
        (
            "too long",
            format!("{}.{}.{}", "a".repeat(4000), "b".repeat(4000), "c".repeat(4000)),
            3003,
        ),
    ];
    for (fault, token, code) in cases {
        let who = Credential::Bearer(token.clone());
        let answer = call_everywhere(&gateway, &who, "game1", "player.get", &own());
        assert_eq!((answer.code, answer.status), (*code, Some(401)), "{fault}: {answer:?}");
    }
    let fine = Credential::Bearer(signed);
    assert_eq!(call_everywhere(&gateway, &fine, "game1", "player.get", &own()).code, 0);
}

#[test]
fn call_without_a_credential_is_refused() {
    let gateway = Setup::sqlite().start();
    let answer = Transport::Http.call(&gateway, &Credential::None, "game1", "player.get", &own());
    assert_eq!((answer.code, answer.status), (3001, Some(401)));
    for (header, code) in [
        ("Authorization: Basic dXNlcjpwYXNz\r\n", 3005),
        ("Authorization: Bearer\r\n", 3003),
        ("Authorization: \r\n", 3003),
    ] {
        let reply = gateway.http().get(PLAYER, header);
        assert_eq!((reply.status, reply.code()), (401, code), "{header:?}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
}

#[test]
fn bad_api_key_is_refused_over_every_transport() {
    let gateway = Setup::sqlite().start();
    let wrong = ADMIN_KEY.replace(".A", ".B");
    let keys =
        [".", "x", "tests-admin", "tests-admin.", "nobody.AAAA", &wrong, &format!("{ADMIN_KEY}A")];
    for key in keys {
        let who = Credential::ApiKey(key.to_owned());
        let answer = call_everywhere(&gateway, &who, "game1", "player.get", &own());
        assert_eq!((answer.code, answer.status), (3003, Some(401)), "{key}: {answer:?}");
    }
}

#[test]
fn expired_api_key_is_refused() {
    let key = "old.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    let entry = json!({
        "id": "old", "hash": api_key_hash(key), "roles": ["admin"], "games": ["game1"], "expires": "2020-01-01",
    });
    let mut setup = Setup::sqlite();
    setup.config["auth"]["api_keys"].as_array_mut().unwrap().push(entry);
    let gateway = setup.start();
    let who = Credential::ApiKey(key.to_owned());
    assert_eq!(call_everywhere(&gateway, &who, "game1", "player.get", &own()).code, 3002);
}

#[test]
fn credential_of_one_game_never_reaches_another() {
    let gateway = Setup::sqlite().start();
    let token = Token::new("1001", &["admin", "player"]).claim("games", json!(["game1"])).sign();
    let who = Credential::Bearer(token);
    assert_eq!(call_everywhere(&gateway, &who, "game1", "player.get", &own()).code, 0);
    let answer = call_everywhere(&gateway, &who, "game2", "player.get", &own());
    assert_eq!((answer.code, answer.status), (3103, Some(403)));
    for games in [json!([]), json!("*"), json!(["*"]), Value::Null] {
        let token = Token::new("1001", &["admin"]).claim("games", games.clone()).sign();
        let answer = Transport::Http.call(
            &gateway,
            &Credential::Bearer(token),
            "game1",
            "player.get",
            &own(),
        );
        assert_eq!(answer.code, 3103, "games {games}");
    }
}

#[test]
fn role_that_is_not_named_may_not_call() {
    let gateway = Setup::sqlite().start();
    for roles in [&["gm"][..], &["game_server"], &["player"], &["public"], &["no_such_role"], &[]] {
        let who = Credential::with_roles(roles);
        let delete = json!({ "player_id": 1001, "version": 1 });
        let answer = call_everywhere(&gateway, &who, "game1", "player.delete", &delete);
        assert_eq!((answer.code, answer.status), (3101, Some(403)), "{roles:?}");
    }
}

#[test]
fn role_inherits_what_the_configuration_says() {
    let gateway = Setup::sqlite().start();
    let search = json!({ "server_id": 1 });
    for (role, code) in [("gm", 0), ("admin", 0), ("game_server", 3101)] {
        let who = Credential::with_roles(&[role]);
        assert_eq!(
            call_everywhere(&gateway, &who, "game1", "player.search", &search).code,
            code,
            "{role}"
        );
    }
}

#[test]
fn player_reaches_only_its_own_rows() {
    let gateway = Setup::sqlite().start();
    let who = Credential::player(1001);
    for operation in [
        "player.get",
        "player.profile",
        "item.list_by_player",
        "character.list_by_player",
        "order.list_by_player",
    ] {
        assert_eq!(
            call_everywhere(&gateway, &who, "game1", operation, &own()).code,
            0,
            "{operation}"
        );
        let other = json!({ "player_id": 1002 });
        let answer = call_everywhere(&gateway, &who, "game1", operation, &other);
        assert_eq!((answer.code, answer.status), (3102, Some(403)), "{operation}");
    }
    let odd = Credential::Bearer(Token::new("1001x", &["player"]).sign());
    assert_eq!(call_everywhere(&gateway, &odd, "game1", "player.get", &own()).code, 3102);
}

#[test]
fn refusal_tells_nothing_of_the_key_and_the_log_nothing_of_the_credential() {
    let gateway = Setup::sqlite().start();
    let token = Token::new("1001", &["player"]).claim("iss", json!("elsewhere")).sign();
    let reply = gateway.http().get(PLAYER, &Credential::Bearer(token.clone()).headers());
    assert_eq!(reply.status, 401);
    let key = Credential::ApiKey(ADMIN_KEY.to_owned());
    assert_eq!(gateway.http().get(PLAYER, &key.headers()).status, 200);
    let signature = token.rsplit('.').next().unwrap();
    let secret = ADMIN_KEY.split('.').nth(1).unwrap();
    wait_until("the requests are in the log", || {
        (gateway.log().matches("player.get").count() >= 2).then_some(())
    });
    for hidden in [signature, secret] {
        assert!(!gateway.log().contains(hidden) && !reply.text().contains(hidden));
    }
}

/// However the requests fall on threads and seconds, each has its line or is among those told as left out.
#[test]
fn flood_of_refused_callers_gets_few_lines_and_the_log_tells_how_many_went_without() {
    let gateway = Setup::sqlite()
        .set("/logging/requests", json!("errors"))
        .set("/logging/failures_per_second", json!(5))
        .start();
    let mut http = gateway.http();
    for _ in 0..500 {
        assert_eq!(http.get(PLAYER, "X-API-Key: nobody.nothing\r\n").code(), 3003);
    }
    let (lines, left_out) = wait_until("all are told", || {
        let log = gateway.log();
        let told = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused: Vec<Value> = told.filter(|line| line["code"] == 3003).collect();
        let lines = refused.iter().filter(|line| line["event"] == "request").count();
        let left_out: u64 = refused
            .iter()
            .filter(|line| line["event"] == "lines_left_out" && line["lines"] == "request")
            .filter_map(|line| line["count"].as_u64())
            .sum();
        (lines as u64 + left_out >= 500).then_some((lines as u64, left_out))
    });
    assert_eq!(lines + left_out, 500);
    assert!(left_out > 0, "{lines} lines");
}

#[test]
fn game_server_is_welcome_with_its_code_and_may_call() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.game_server("game1");
    assert_eq!(wire.ok("player.get", &own())["nickname"], "Player1001");
    assert_eq!(wire.call("player.delete", &json!({ "player_id": 1001, "version": 1 })).0, 3101);
}

#[test]
fn bad_hello_of_a_game_server_is_refused_and_closed() {
    let gateway = Setup::sqlite().start();
    let refused = |fault: &str, server: &GameServer, mac: &[u8], code: u16| {
        let mut wire = gateway.tcp();
        let reply = wire.try_hello_mac(server, mac);
        assert_eq!(reply.kind, REPLY, "{fault}");
        assert_eq!(reply.number, code, "{fault}: {}", reply.value());
        wire.expect_closed();
    };
    let good = || GameServer::new("game1");
    let changed = |change: &dyn Fn(&mut GameServer)| {
        let mut server = good();
        change(&mut server);
        server
    };
    let signed_wrong = changed(&|it| it.secret = "x".repeat(48));
    refused("another secret", &signed_wrong, &signed_wrong.mac(), 3003);
    let server = good();
    let mut flipped = server.mac();
    flipped[31] ^= 1;
    refused("a flipped bit", &server, &flipped, 3003);
    refused("a short code", &server, &server.mac()[..31], 3003);
    refused("no code", &server, &[], 3003);
    let mac = server.mac();
    let lifted = GameServer { game: "game2".to_owned(), ..server };
    refused("another game under the code", &lifted, &mac, 3003);
    // A second or two of leeway for a machine that is slow between the signing and the check.
    for (seconds, code) in [(-61, 3002), (-3600, 3002), (63, 3005), (3600, 3005)] {
        let server = changed(&|it| it.time += seconds);
        refused("another time", &server, &server.mac(), code);
    }
    let server = changed(&|it| it.nonce.truncate(15));
    refused("a short nonce", &server, &server.mac(), 3003);
    let server = changed(&|it| it.key_id = "nobody".to_owned());
    refused("an unknown key", &server, &server.mac(), 3003);
    let server = GameServer::new("game9");
    refused("an unknown game", &server, &server.mac(), 3103);

    let server = good();
    assert_eq!(gateway.tcp().try_hello_mac(&server, &server.mac()).kind, WELCOME);
    refused("the same nonce again", &server, &server.mac(), 3005);
}

#[test]
fn nonce_used_at_one_instance_is_known_at_another_through_redis() {
    let Some(redis) = gateway_tests::shared_redis() else { return };
    let gateway = Setup::sqlite().redis(redis).start();
    let beside = Setup::beside(&gateway).start();
    let server = GameServer::new("game1");
    assert_eq!(gateway.tcp().try_hello_mac(&server, &server.mac()).kind, WELCOME);
    let reply = beside.tcp().try_hello_mac(&server, &server.mac());
    assert_eq!((reply.kind, reply.number), (REPLY, 3005), "{}", reply.value());
}

#[test]
fn game_server_key_of_one_game_never_reaches_another() {
    let gateway = Setup::sqlite().set("/auth/game_servers/0/games", json!(["game1"])).start();
    let server = GameServer::new("game2");
    let reply = gateway.tcp().try_hello_mac(&server, &server.mac());
    assert_eq!((reply.kind, reply.number), (REPLY, 3103));
    let mut wire = gateway.game_server("game1");
    let call = wire.request(gateway_tests::CALL, &json!(["game2", "player.get", own()]));
    assert_eq!(wire.exchange(&call).number, 3103);
}

#[test]
fn credential_taken_out_of_the_configuration_ends_on_live_connections_too() {
    let mut gateway = Setup::sqlite().start();
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let mut wire = gateway.connect("game1", &admin, Codec::Msgpack);
    assert_eq!(wire.call("player.get", &own()).0, 0);
    gateway.write_config("/auth/api_keys", json!([]));
    gateway.signal(Signal::Reload);
    let code = wait_until("the key is revoked", || {
        let (code, _) = wire.call("player.get", &own());
        (code != 0).then_some(code)
    });
    assert_eq!(code, 3004);
    assert_eq!(gateway.http().get(PLAYER, &admin.headers()).status, 401);
}

#[test]
fn token_that_was_verified_before_ends_when_it_expires() {
    let gateway = Setup::sqlite().start();
    let token = Credential::Bearer(Token::new("1001", &["player"]).expires_in(3).sign());
    let mut http = gateway.http();
    let mut served = 0;
    let code = wait_until("the token ends", || {
        let reply = http.get(PLAYER, &token.headers());
        if reply.status == 200 {
            served += 1;
            return None;
        }
        Some(reply.code())
    });
    assert_eq!(code, 3002);
    assert!(served > 0, "it was good at first");
}
