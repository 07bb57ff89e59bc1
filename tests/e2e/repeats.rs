//! Writes that are tried, repeated, compared by version, or queued: what their replies say of it.

use gateway_tests::{
    ADMIN_KEY, CALL, Codec, Credential, Frame, Gateway, Setup, shared_redis, wait_until,
};
use serde_json::json;

const PLAYER: &str = "/v1/game1/players/1001";
const GRANT: &str = "/v1/game1/call/player.grant";

const GRANT_SQL: &str = "-- @desc Grants gold.
-- @kind exec affected = 1 else 2990 STALE_GRANT [412]
-- @param request_id string(64)
-- @param player_id bigint
-- @param version bigint
-- @version version
-- @current player.get(player_id)
-- @idempotent key=request_id ttl=1h
-- @invalidate player:{player_id}
-- @stale_ok a test
-- @allow admin
UPDATE player SET gold = gold + 5, version = version + 1
WHERE player_id = :player_id AND version = :version
";

const QUEUED_SQL: &str = "-- @desc Grants gold, later.
-- @kind exec
-- @param order_no string(64)
-- @param player_id bigint
-- @param qty int min=1
-- @idempotent key=order_no ttl=1h
-- @async
-- @lane player_id
-- @invalidate player:{player_id}
-- @stale_ok a test
-- @allow admin
UPDATE player SET gold = gold + :qty WHERE player_id = :player_id
";

fn start() -> Gateway<'static> {
    let setup = Setup::sqlite().own_templates();
    let setup = setup.template("game1/player/grant.sql", GRANT_SQL);
    let setup = setup.template("game1/player/queue_grant.sql", QUEUED_SQL);
    setup.start()
}

fn admin() -> String {
    format!("X-API-Key: {ADMIN_KEY}\r\n")
}

#[test]
fn write_by_header_is_tried_done_repeated_and_refused_with_the_row_that_stands() {
    let gateway = start();
    let mut http = gateway.http();
    let etag = http.get(PLAYER, &admin()).header("etag").expect("an ETag").to_owned();
    let headers = |key: &str| format!("{}Idempotency-Key: {key}\r\nIf-Match: {etag}\r\n", admin());
    let player = json!({ "player_id": 1001 });

    let tried =
        http.send_json("POST", GRANT, &format!("{}X-Dry-Run: true\r\n", headers("a")), &player);
    assert_eq!((tried.status, tried.json()), (200, json!({ "affected": 1 })));
    assert_eq!(tried.header("x-dry-run"), Some("true"));
    assert_eq!(http.get(PLAYER, &admin()).header("etag"), Some(&*etag), "nothing happened");

    let done = http.send_json("POST", GRANT, &headers("a"), &player);
    assert_eq!((done.status, done.json()), (200, json!({ "affected": 1 })));
    assert_eq!((done.header("x-dry-run"), done.header("idempotency-replayed")), (None, None));
    let again = http.send_json("POST", GRANT, &headers("a"), &player);
    assert_eq!((again.status, again.json()), (200, json!({ "affected": 1 })));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = http.send_json("POST", GRANT, &headers("a"), &json!({ "player_id": 1002 }));
    assert_eq!((other.status, other.code()), (422, 2020));
    let twice = json!({ "player_id": 1001, "version": 1 });
    assert_eq!(http.send_json("POST", GRANT, &headers("b"), &twice).code(), 2014);

    let stale = http.send_json("POST", GRANT, &headers("b"), &player);
    assert_eq!((stale.status, stale.code()), (412, 2990), "{}", stale.json());
    let current = &stale.json()["details"]["current"];
    assert_eq!((&current["player_id"], &current["version"]), (&json!("1001"), &json!(2)));
    let weak = format!("{}Idempotency-Key: c\r\nIf-Match: W/{etag}\r\n", admin());
    let weak = http.send_json("POST", GRANT, &weak, &player);
    assert_eq!((weak.status, weak.code()), (412, 2023));
}

#[test]
fn write_by_frame_says_in_flags_and_meta_what_it_was() {
    let gateway = start();
    for codec in [Codec::Msgpack, Codec::Json] {
        let who = Credential::ApiKey(ADMIN_KEY.to_owned());
        let mut wire = gateway.connect("game1", &who, codec);
        let version = wire.ok("player.get", &json!({ "player_id": 1001 }))["version"].clone();
        let key = format!("key-{version}");
        let params = json!({ "request_id": key, "player_id": 1001, "version": version });
        let mut call = |flags| {
            let frame = wire.request(CALL, &json!(["player.grant", params]));
            let reply = wire.exchange(&Frame { flags, ..frame });
            assert_eq!(reply.number, 0, "{}", reply.value());
            (reply.flags, reply.value())
        };
        let (flags, tried) = call(3);
        assert_eq!((flags, &tried[0]["dry_run"]), (2, &json!(true)));
        assert_eq!(tried[1], json!({ "affected": 1 }));
        assert_eq!(call(0), (0, json!({ "affected": 1 })));
        assert_eq!(call(0), (1, json!({ "affected": 1 })));
        let (flags, again) = call(2);
        assert_eq!((flags, again[0].get("dry_run")), (3, None));
    }
}

#[test]
fn queued_write_is_accepted_with_its_key_and_recognised_when_it_comes_again() {
    let gateway = start();
    let mut http = gateway.http();
    let queue = "/v1/game1/call/player.queue_grant";
    let order = json!({ "order_no": "o-1", "player_id": 1001, "qty": 5 });
    let answer = json!({ "state": "journalled", "key": "o-1" });
    let first = http.send_json("POST", queue, &admin(), &order);
    assert_eq!((first.status, first.json()), (202, answer.clone()));
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = http.send_json("POST", queue, &admin(), &order);
    assert_eq!((again.status, again.json()), (202, answer.clone()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = json!({ "order_no": "o-1", "player_id": 1001, "qty": 6 });
    let other = http.send_json("POST", queue, &admin(), &other);
    assert_eq!((other.status, other.code()), (422, 2020));
    let bad = json!({ "order_no": "o-2", "player_id": 1001, "qty": 0 });
    assert_eq!(http.send_json("POST", queue, &admin(), &bad).code(), 2012);
    let batch = json!([{ "operation": "player.queue_grant", "params": order }]);
    let batch = http.send_json("POST", "/v1/game1/batch", &admin(), &batch);
    assert_eq!(batch.json(), json!([{ "code": 0, "body": answer }]));

    let tried = format!("{}X-Dry-Run: true\r\n", admin());
    let order = json!({ "order_no": "o-3", "player_id": 1001, "qty": 5 });
    let tried = http.send_json("POST", queue, &tried, &order);
    assert_eq!((tried.status, tried.json()), (200, json!({ "affected": 1 })));
}

#[test]
fn refused_write_shows_the_row_that_stands_only_to_those_who_may_read_it() {
    let text = GRANT_SQL.replace("@allow admin", "@allow admin, player");
    let setup = Setup::sqlite().own_templates().template("game1/player/grant.sql", &text);
    let gateway = setup.start();
    let stale = json!({ "request_id": "a", "player_id": 1001, "version": 99 });
    let refuse = |who: &Credential| {
        let reply = gateway.http().send_json("POST", GRANT, &who.headers(), &stale);
        assert_eq!((reply.status, reply.code()), (412, 2990), "{}", reply.text());
        reply.json()
    };
    let own = refuse(&Credential::player(1001));
    assert_eq!(own["details"]["current"]["player_id"], "1001");
    let another = refuse(&Credential::player(1002));
    assert_eq!(another["details"].get("current"), None, "{another}");
    // Nor does the answer tell whether there is such a row.
    let nobody = json!({ "request_id": "b", "player_id": 999_999, "version": 99 });
    let headers = Credential::player(1002).headers();
    let reply = gateway.http().send_json("POST", GRANT, &headers, &nobody);
    assert_eq!((reply.status, reply.code()), (412, 2990), "{}", reply.text());
}

#[test]
fn queued_write_that_is_applied_is_seen_in_cached_reads_of_every_instance() {
    let Some(redis) = shared_redis() else { return };
    let setup = Setup::sqlite().own_templates();
    let gateway = setup.template("game1/player/queue_grant.sql", QUEUED_SQL).redis(redis).start();
    let beside = Setup::beside(&gateway).start();
    let gold = |gateway: &Gateway<'_>| gateway.http().get(PLAYER, &admin()).json()["gold"].clone();
    let before: i64 = gold(&gateway).as_str().unwrap().parse().unwrap();
    for round in 1..=10 {
        assert_eq!(gold(&gateway), gold(&beside));
        let order = json!({ "order_no": format!("o-{round}"), "player_id": 1001, "qty": 1 });
        let queue = "/v1/game1/call/player.queue_grant";
        assert_eq!(gateway.http().send_json("POST", queue, &admin(), &order).status, 202);
        wait_until("the order is applied", || {
            let waiting =
                gateway.metric("gateway_journal_backlog_records", &[r#"state="journalled""#]);
            (waiting < 1.0).then_some(())
        });
        let expected = json!((before + round).to_string());
        assert_eq!(gold(&gateway), expected, "at once where it was applied");
        wait_until("the other instance sees it", || (gold(&beside) == expected).then_some(()));
    }
}
