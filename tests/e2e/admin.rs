//! The operators' port, the metrics and the logs.

use std::collections::BTreeSet;

use gateway_tests::{
    ADMIN_KEY, Codec, Credential, Gateway, Http, Setup, Signal, Transport, wait_until,
};
use serde_json::{Value, json};

const PLAYER: &str = "/v1/game1/players/1001";

fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

#[test]
fn health_tells_life_and_readiness_with_every_dependency() {
    let gateway = Setup::sqlite().start();
    assert_eq!(gateway.admin("/livez").status, 200);
    let ready = gateway.admin("/readyz");
    assert_eq!(ready.status, 200);
    let body = ready.json();
    let text = body.to_string();
    assert!(text.contains("game1") && text.contains("game2"), "{text}");
    assert_eq!(gateway.admin("/nothing").status, 404);
}

#[test]
fn admin_paths_are_not_on_the_web_port_and_calls_are_not_on_the_admin_port() {
    let gateway = Setup::sqlite().start();
    for path in ["/metrics", "/readyz", "/livez"] {
        assert_eq!(gateway.http().get(path, &admin().headers()).status, 404, "{path}");
    }
    assert_eq!(Http::connect(gateway.admin_address()).get(PLAYER, &admin().headers()).status, 404);
}

#[test]
fn admin_token_is_asked_for_everywhere_but_at_the_health_checks() {
    let token = "an-admin-token-of-the-tests-of-48-bytes-or-more!";
    let gateway = Setup::sqlite().set("/admin/token", json!(token)).start();
    for path in ["/livez", "/readyz"] {
        assert_eq!(gateway.admin(path).status, 200, "{path}");
    }
    assert_eq!(gateway.admin("/metrics").status, 401);
    let get =
        |headers: &str| Http::connect(gateway.admin_address()).get("/metrics", headers).status;
    assert_eq!(get("Authorization: Bearer wrong\r\n"), 401);
    assert_eq!(get(&format!("Authorization: Bearer {token}\r\n")), 200);
}

#[test]
fn admin_token_of_a_reload_is_asked_for_and_the_one_before_is_worth_nothing() {
    let mut gateway = Setup::sqlite().start();
    let get = |gateway: &Gateway<'_>, token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        Http::connect(gateway.admin_address()).get("/metrics", &header).status
    };
    assert_eq!(gateway.admin("/metrics").status, 200, "none is configured");
    for (new, old) in [("the-first", "none"), ("the-second", "the-first")] {
        let token = format!("{new}-of-the-tests-of-32-bytes");
        gateway.write_config("/admin/token", json!(token));
        gateway.signal(Signal::Reload);
        wait_until("the token is asked for", || {
            (gateway.admin("/metrics").status == 401 && get(&gateway, &token) == 200).then_some(())
        });
        assert_eq!(get(&gateway, &format!("{old}-of-the-tests-of-32-bytes")), 401);
    }
}

#[test]
fn metrics_are_well_formed_and_count_what_happened() {
    let gateway = Setup::sqlite().start();
    for _ in 0..5 {
        assert_eq!(gateway.http().get(PLAYER, &admin().headers()).status, 200);
    }
    assert_eq!(gateway.http().get("/v1/game1/players/5", &admin().headers()).status, 404);
    let _open = gateway.connect("game1", &admin(), Codec::Msgpack);

    let text = gateway.admin("/metrics").text();
    let mut typed = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(
                typed.insert(rest.split(' ').next().unwrap().to_owned()),
                "typed twice: {line}"
            );
        } else if !line.starts_with('#') && !line.is_empty() {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(typed.iter().any(|name| name.starts_with("gateway_")), "{typed:?}");
    let requests = gateway.metric("gateway_requests_total", &["player.get"]);
    assert!((requests - 6.0).abs() < f64::EPSILON, "{requests}\n{text}");
    for hidden in ["1001", "Player", ADMIN_KEY] {
        // A code may be a label: orders are counted by it.
        let is_in =
            |line: &str| line.contains(&format!("\"{hidden}")) && !line.contains("{outcome=");
        assert!(!text.lines().any(is_in), "a label holds {hidden}");
    }
}

#[test]
fn log_is_one_json_object_a_line_whatever_clients_send() {
    let gateway = Setup::sqlite().start();
    let mut http = gateway.http();
    http.get(
        "/v1/game1/players?server_id=1&name_prefix=a%0a%7b%22level%22%3a%22fake%22%7d%1b%5b31m",
        &admin().headers(),
    );
    let odd = "X-Request-Id: \x7f\t\"}{\r\n";
    let _odd = gateway.http().get(PLAYER, &format!("{}{odd}", admin().headers()));
    Transport::TcpJson.call(&gateway, &admin(), "game1", "a\n{\"fake\":1}", &json!({}));
    assert_eq!(http.get(PLAYER, &admin().headers()).status, 200);
    wait_until("the last request is logged", || gateway.log().contains("player.get").then_some(()));
    let log = gateway.log();
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let entry: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry.get("fake").is_none() && entry["level"] != "fake", "{line}");
    }
    let objects = log.lines().filter(|line| line.starts_with('{')).count();
    assert!(objects > 0, "{log}");
    assert!(!log.contains('\u{1b}'), "an escape sequence of a client reached the console");
}

#[test]
fn log_level_changes_live() {
    let mut gateway = Setup::sqlite().set("/logging/level", json!("error")).start();
    assert_eq!(gateway.http().get(PLAYER, &admin().headers()).status, 200);
    gateway.write_config("/logging/level", json!("info"));
    gateway.signal(Signal::Reload);
    wait_until("requests are logged", || {
        gateway.http().get(PLAYER, &admin().headers());
        gateway.log().contains("player.get").then_some(())
    });
}

#[test]
fn audited_operation_is_on_record_before_its_reply_and_masked_values_are_nowhere() {
    let gateway = Setup::sqlite().set("/logging/level", json!("debug")).start();
    let game = Credential::with_roles(&["game_server"]);
    let audit = gateway.folder().join("audit.log");
    for count in 1..=3_usize {
        let revoke = json!({ "player_id": 1000 + count });
        assert_eq!(
            Transport::Http.call(&gateway, &game, "game1", "auth_token.revoke_all", &revoke).code,
            0
        );
        let text = std::fs::read_to_string(&audit).unwrap();
        assert_eq!(text.lines().count(), count, "{text}");
        let record: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let told = record.to_string();
        for part in ["game1", "auth_token.revoke_all", "jwt:staff-1", &(1000 + count).to_string()] {
            assert!(told.contains(part), "{part} is missing: {told}");
        }
    }
    let hash = format!("{:064x}", 1001);
    let get = json!({ "player_id": 1001, "token_hash": hash });
    assert_eq!(Transport::Http.call(&gateway, &game, "game1", "auth_token.get", &get).code, 0);
    let bad = json!({ "player_id": 1001, "token_hash": hash, "surplus": 1 });
    assert_eq!(Transport::Http.call(&gateway, &game, "game1", "auth_token.get", &bad).code, 2013);
    wait_until("the requests are logged", || {
        gateway.log().contains("auth_token.get").then_some(())
    });
    assert!(!gateway.log().contains(&hash), "a masked value is in the log");
    assert!(!std::fs::read_to_string(&audit).unwrap().contains(&hash));
}

#[test]
fn audit_that_cannot_be_written_leaves_the_operation_unconfirmed() {
    // The audit log is beyond the limit of a file already: every record is refused, as on a full disk.
    let limit = 4 << 20;
    let level = "-- @desc Level of a player.\n-- @kind one\n-- @param player_id bigint\n\
                 -- @result player_level int\n-- @allow game_server\n-- @audit\n\
                 SELECT p.player_level FROM player p WHERE p.player_id = :player_id\n";
    let setup = Setup::sqlite().own_templates().file_bytes_max(limit);
    let setup = setup.template("_base/player/level.sql", level);
    let audit = setup.folder.path().join("audit.log");
    let first = format!("{{\"seq\":1,\"params\":\"{}\"}}\n", "x".repeat(5 << 20));
    std::fs::write(&audit, &first).unwrap();
    let gateway = setup.start();
    let game = Credential::with_roles(&["game_server"]);
    let revoke = json!({ "player_id": 1001 });
    for _ in 0..2 {
        let answer =
            Transport::Http.call(&gateway, &game, "game1", "auth_token.revoke_all", &revoke);
        assert_eq!((answer.code, answer.status), (1305, Some(504)), "{answer:?}");
    }
    // Of a read nothing is unknown: it changed nothing, and is not answered.
    let answer = Transport::Http.call(&gateway, &game, "game1", "player.level", &revoke);
    assert_eq!((answer.code, answer.status), (1099, Some(500)), "{answer:?}");
    wait_until("the log says so", || gateway.log().contains("audit").then_some(()));
    assert_eq!(gateway.http().get(PLAYER, &admin().headers()).status, 200);
    assert_eq!(std::fs::read(&audit).unwrap().len(), first.len(), "nothing of a record stays");
}

#[test]
fn audit_log_that_is_a_device_is_refused_at_the_start() {
    let setup = Setup::sqlite().set("/logging/audit_file", json!("/dev/zero"));
    setup.write_config();
    let output =
        gateway_tests::run(&["serve", "--config", &setup.config_path().display().to_string()]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    assert!(output.text().contains("/dev/zero"), "{}", output.text());
}
