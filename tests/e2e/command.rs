//! The other subcommands: what a DBA, an operator and a game developer run by hand.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use gateway_tests::{ADMIN_KEY, Setup, binary, run, sql_templates, wait_until};
use serde_json::{Value, json};

#[test]
fn check_finds_nothing_in_the_shipped_templates() {
    let templates = sql_templates().display().to_string();
    run(&["check", "--templates", &templates]).succeeded();
}

#[test]
fn check_with_a_database_finds_nothing_in_the_shipped_templates() {
    let Some(server) = gateway_tests::shared_mariadb() else { return };
    let setup = Setup::mariadb(server);
    run(&["check", "--database", "--config", &setup.config_path().display().to_string()])
        .succeeded();
}

/// One fault for each rule: the file's text, and a word of the finding.
const PLANTED: &[(&str, &str, &str)] = &[
    (
        "a parameter that is used and not declared",
        "-- @kind one\n-- @result nickname string\n-- @allow admin\nSELECT p.nickname FROM player p WHERE p.player_id = :player_id\n",
        "player_id",
    ),
    (
        "a parameter that is declared and not used",
        "-- @kind many\n-- @param player_id bigint\n-- @param more int\n-- @result nickname string\n-- @allow admin\nSELECT p.nickname FROM player p WHERE p.player_id = :player_id\n",
        "more",
    ),
    (
        "an update without a firm predicate",
        "-- @kind exec\n-- @param player_id bigint optional\n-- @param gold bigint\n-- @allow admin\n-- @invalidate player:{player_id}\nUPDATE player SET gold = :gold\nWHERE player_id = :player_id -- ?\n",
        "condition",
    ),
    (
        "a delete of everything",
        "-- @kind exec\n-- @allow admin\n-- @stale_ok a test\nDELETE FROM player\n",
        "condition",
    ),
    (
        "a write that leaves cached reads stale",
        "-- @kind exec\n-- @param player_id bigint\n-- @allow admin\nUPDATE player SET gold = 0 WHERE player_id = :player_id\n",
        "player.get",
    ),
    (
        "a function that differs between databases",
        "-- @kind exec\n-- @param player_id bigint\n-- @allow admin\n-- @invalidate player:{player_id}\nUPDATE player SET last_login_at = NOW() WHERE player_id = :player_id\n",
        "_now",
    ),
    (
        "a misspelt key",
        "-- @kind one\n-- @cahce l1=1m\n-- @result nickname string\n-- @allow admin\nSELECT p.nickname FROM player p WHERE p.player_id = 1\n",
        "cahce",
    ),
    (
        "a key that nothing runs yet",
        "-- @kind tx\n-- @allow admin\n-- @step one exec\nUPDATE player SET gold = 0 WHERE player_id = 1\n",
        "not built",
    ),
    (
        "nobody who may call",
        "-- @kind one\n-- @result nickname string\nSELECT p.nickname FROM player p WHERE p.player_id = 1\n",
        "allow",
    ),
    (
        "rows without a declared form",
        "-- @kind many\n-- @allow admin\nSELECT p.nickname FROM player p WHERE p.player_id = 1\n",
        "result",
    ),
    (
        "two statements",
        "-- @kind exec\n-- @allow admin\n-- @stale_ok a test\nDELETE FROM player WHERE player_id = 1; DELETE FROM player WHERE player_id = 2\n",
        "statement",
    ),
    (
        "a code that belongs to another name",
        "-- @kind one else 2101 SOMETHING_ELSE\n-- @result nickname string\n-- @allow admin\nSELECT p.nickname FROM player p WHERE p.player_id = 1\n",
        "2101",
    ),
];

#[test]
fn check_finds_each_planted_fault_with_its_file_and_line() {
    for (fault, text, word) in PLANTED {
        let setup = Setup::sqlite().own_templates().template("_base/player/planted.sql", text);
        let templates = setup.folder.path().join("templates").display().to_string();
        let output = run(&["check", "--templates", &templates]);
        assert_eq!(output.status, Some(1), "{fault}: {}", output.text());
        let told = output.text();
        assert!(told.contains("planted.sql:") && told.contains(word), "{fault}: {told}");

        let output = run(&["check", "--templates", &templates, "--format", "json"]);
        assert_eq!(output.status, Some(1), "{fault}");
        let findings: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| {
            panic!("{fault}: {error}: {}", output.stdout);
        });
        assert!(findings.to_string().contains("planted.sql"), "{fault}: {findings}");
    }
}

#[test]
fn which_tells_where_keys_and_bodies_come_from() {
    let templates = sql_templates().display().to_string();
    let which = |game: &str, operation: &str| {
        run(&["which", game, operation, "--dialect", "mysql", "--templates", &templates])
            .succeeded()
    };
    let text = which("game2", "item.list_by_player");
    assert!(
        text.contains("game2/item/list_by_player.sql")
            && text.contains("_base/item/list_by_player.sql"),
        "{text}"
    );
    assert!(which("game1", "item.grant").contains("grant.mysql.sql"));
    let text = which("game1", "item.list_by_player");
    assert!(!text.contains("game2"), "{text}");
}

#[test]
fn render_writes_sql_with_literals_that_cannot_break_out() {
    let templates = sql_templates().display().to_string();
    let text = run(&[
        "render",
        "game1",
        "player.search",
        "--dialect",
        "mysql",
        "--templates",
        &templates,
        "server_id=3",
        "name_prefix=O'Brien\\",
        "vip_levels=1,2",
    ])
    .succeeded();
    assert!(text.contains("FROM") && text.contains('3'), "{text}");
    assert!(!text.contains("O'Brien"), "{text}");
    let output = run(&[
        "render",
        "game1",
        "player.search",
        "--dialect",
        "mysql",
        "--templates",
        &templates,
        "server_id=x",
    ]);
    assert_ne!(output.status, Some(0), "{}", output.text());
}

#[test]
fn faulty_configuration_ends_with_78_and_lists_every_fault() {
    let setup = Setup::sqlite()
        .set("/server/tcp/frame_bytes_max", json!(7))
        .set("/games/game1/database", json!("nowhere"))
        .set("/surplus", json!(1));
    setup.write_config();
    let path = setup.config_path().display().to_string();
    for arguments in [vec!["serve", "--config", &path], vec!["config", "check", &path]] {
        let output = run(&arguments);
        assert_eq!(output.status, Some(78), "{arguments:?}: {}", output.text());
        for word in ["frame_bytes_max", "nowhere", "surplus"] {
            assert!(output.text().contains(word), "{word} is missing: {}", output.text());
        }
    }
}

#[test]
fn configuration_is_printed_without_secrets() {
    let setup = Setup::sqlite();
    setup.write_config();
    let text = run(&["config", "print", &setup.config_path().display().to_string()]).succeeded();
    assert!(text.contains("frame_bytes_max") && text.contains("***"), "{text}");
    assert!(!text.contains(gateway_tests::GAME_SERVER_SECRET), "{text}");
}

#[test]
fn migrate_applies_each_file_once_and_refuses_one_that_changed() {
    let setup = Setup::sqlite().own_templates();
    setup.write_config();
    let path = setup.config_path().display().to_string();
    run(&["migrate", "--config", &path]).succeeded();
    run(&["migrate", "--config", &path]).succeeded();
    let file = setup.folder.path().join("templates/_base/schema/sqlite/0001_tables.sql");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + "\n-- changed\n").unwrap();
    let output = run(&["migrate", "--config", &path]);
    assert_ne!(output.status, Some(0), "{}", output.text());
    assert!(output.text().contains("0001"), "{}", output.text());
}

#[test]
fn call_tries_an_operation_from_the_shell() {
    let gateway = Setup::sqlite().start();
    let address = gateway.tcp_address().to_string();
    let call = |operation: &str, parameter: &str| {
        run(&["call", "--address", &address, "--key", ADMIN_KEY, "game1", operation, parameter])
    };
    let body: Value =
        serde_json::from_str(&call("player.get", "player_id=1001").succeeded()).unwrap();
    assert_eq!(body["nickname"], "Player1001");
    let output = call("player.get", "player_id=5");
    assert_ne!(output.status, Some(0));
    assert!(output.text().contains("2101"), "{}", output.text());
}

#[test]
fn unknown_subcommand_is_told_how_to_use_it() {
    let output = run(&["serfe"]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("Usage"), "{}", output.stderr);
}

/// Kills the demo at the end of its test.
struct Demo(std::process::Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn demo_prints_a_curl_line_that_works() {
    if !gateway_tests::is_installed("curl")
        || std::net::TcpListener::bind("127.0.0.1:8081").is_err()
    {
        // The demo's ports are fixed, so that its printed lines are; here somebody else has one.
        return;
    }
    let process = Command::new(binary())
        .args(["demo", "--players", "50"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut demo = Demo(process);
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let line = wait_until("a curl line is printed", || {
        let line = lines.next()?.unwrap();
        line.trim_start().starts_with("curl ").then(|| line.trim().to_owned())
    });
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{line}");
    let body = String::from_utf8(output.stdout).unwrap();
    assert!(body.contains("Player") || body.contains("player"), "{line}: {body}");
}
