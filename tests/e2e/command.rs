//! The other subcommands: what a DBA, an operator and a game developer run by hand.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use gateway_tests::{Database, Setup, binary, run, run_with, sql_templates, wait_until};
use serde_json::{Value, json};

#[test]
fn check_finds_nothing_in_the_shipped_templates() {
    let templates = sql_templates().display().to_string();
    run(&["check", "--templates", &templates]).succeeded();
}

gateway_tests::on_every_server! {
    check_with_a_database_finds_nothing_in_the_shipped_templates,
}

fn check_with_a_database_finds_nothing_in_the_shipped_templates(database: Database) {
    let Some(server) = database.shared() else { return };
    let setup = Setup::on(server);
    setup.write_config();
    let config = setup.config_path().display().to_string();
    let checked = run_with(server.library_folder(), &["check", "--database", "--config", &config]);
    checked.succeeded();
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
        "-- @kind one\n-- @encrypt nickname\n-- @result nickname string\n-- @allow admin\nSELECT p.nickname FROM player p WHERE p.player_id = 1\n",
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
        run(&["which", game, operation, "--dialect", "sqlite", "--templates", &templates])
            .succeeded()
    };
    let text = which("game2", "item.list_by_player");
    assert!(
        text.contains("game2/item/list_by_player.sql")
            && text.contains("_base/item/list_by_player.sql"),
        "{text}"
    );
    assert!(which("game1", "item.grant").contains("grant.sqlite.sql"));
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
        .set("/templates", json!("no-such-templates"))
        .set("/database/connections/game2/path", json!("no-such-folder/game2.db"))
        .set("/auth", json!({}))
        .set("/surplus", json!(1));
    setup.write_config();
    let path = setup.config_path().display().to_string();
    for arguments in [vec!["serve", "--config", &path], vec!["config", "check", &path]] {
        let output = run(&arguments);
        assert_eq!(output.status, Some(78), "{arguments:?}: {}", output.text());
        let words = [
            "frame_bytes_max",
            "nowhere",
            "no-such-templates",
            "no-such-folder",
            "`auth` has no way to authenticate",
            "surplus",
        ];
        for word in words {
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
fn every_line_that_the_demo_prints_works_and_its_folder_is_gone_after_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let log = folder.path().join("demo.log");
    let process = Command::new(binary())
        .args(["demo", "--players", "50", "--templates"])
        .arg(sql_templates())
        .args(["--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut demo = Demo(process);
    let mut printed = Vec::new();
    for line in BufReader::new(demo.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let is_last = line.starts_with("listening ");
        printed.push(line);
        if is_last {
            break;
        }
    }
    let told = || format!("{printed:#?}\n{}", std::fs::read_to_string(&log).unwrap());
    let listening = printed.last().unwrap_or_else(|| panic!("it ended: {}", told()));
    assert!(listening.starts_with("listening "), "{}", told());
    let tcp = listening.split("tcp=").nth(1).unwrap().split(' ').next().unwrap();

    let curls: Vec<_> = printed.iter().filter(|line| line.starts_with("curl ")).collect();
    assert!(curls.len() >= 5 && gateway_tests::is_installed("curl"), "{}", told());
    for line in curls {
        let line = line.replacen("curl ", "curl --fail-with-body --silent --show-error ", 1);
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let body = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {body}{}", told());
        assert!(!line.contains("/players/") || body.contains("Player1001"), "{line}: {body}");
    }

    let call = printed.iter().find_map(|line| line.split_once(" -- call ")).unwrap().1;
    let mut arguments = vec!["call"];
    if !call.contains("--address") {
        arguments.extend(["--address", tcp]);
    }
    arguments.extend(call.split(' '));
    assert!(run(&arguments).succeeded().contains("Player1001"));

    gateway_tests::send_signal(demo.0.id(), gateway_tests::Signal::Drain);
    assert_eq!(demo.0.wait().unwrap().code(), Some(0), "{}", told());
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "demo.log")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A large seed takes a while; who does not want to wait for it leaves nothing behind.
#[test]
fn demo_that_is_ended_while_it_seeds_removes_its_folder() {
    let folder = tempfile::TempDir::new().unwrap();
    let process = Command::new(binary())
        .args(["demo", "--players", "5000000", "--templates"])
        .arg(sql_templates())
        .args(["--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut demo = Demo(process);
    let left = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    // Every migration is in its database by now; rows come next.
    wait_until("the seed begins", || left().any(|own| own.join("game2.db").exists()).then_some(()));
    assert!(demo.0.try_wait().unwrap().is_none(), "it still seeds");
    gateway_tests::send_signal(demo.0.id(), gateway_tests::Signal::Drain);
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
    assert_eq!(left().count(), 0);
}

/// The annotated file is what operators copy: with its secrets set, it must start as it is.
#[test]
fn shipped_configuration_starts_without_its_databases() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = sql_templates().join("../config/gateway.yaml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let text = text
        .replace("\":8080\"", "\"127.0.0.1:0\"")
        .replace("\":8081\"", "\"127.0.0.1:0\"")
        .replace("127.0.0.1:8082", "127.0.0.1:0")
        .replace("../sql-templates", &sql_templates().display().to_string());
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(binary());
    command.arg("serve").arg("--config").arg(&path).stdout(Stdio::piped());
    for name in [
        "GAME1_DB_PASSWORD",
        "GAME2_DB_PASSWORD",
        "REDIS_PASSWORD",
        "GATEWAY_JWT_SECRET",
        "GAME1_SERVER_KEY",
        "GAME2_SERVER_KEY",
        "GATEWAY_CURSOR_SECRET",
    ] {
        command.env(name, "a-secret-of-forty-characters-for-a-test-0");
    }
    let mut gateway = command.spawn().unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let listens = lines.any(|line| line.unwrap().starts_with("listening "));
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(listens, "it ended before it listened");
}

#[test]
fn second_gateway_on_the_same_ports_is_refused() {
    let gateway = Setup::sqlite().start();
    let second = Setup::beside(&gateway)
        .set("/server/tcp/address", json!(gateway.tcp_address().to_string()))
        .set("/server/http/address", json!(gateway.http_address().to_string()));
    second.write_config();
    let output = run(&["serve", "--config", &second.config_path().display().to_string()]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    for words in ["another process listens there", "server.reuse_port: true"] {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}

/// Sharing is for those who all agreed to it.
#[test]
fn second_gateway_that_would_share_is_refused_by_one_that_would_not() {
    let gateway = Setup::sqlite().start();
    let second = Setup::beside(&gateway)
        .set("/server/reuse_port", json!(true))
        .set("/server/tcp/address", json!(gateway.tcp_address().to_string()))
        .set("/server/http/address", json!(gateway.http_address().to_string()));
    second.write_config();
    let output = run(&["serve", "--config", &second.config_path().display().to_string()]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    assert!(output.stderr.contains("another process listens there"), "{}", output.stderr);
}

#[test]
fn database_that_was_seeded_is_not_seeded_again() {
    let setup = Setup::sqlite();
    setup.write_config();
    let path = setup.config_path().display().to_string();
    let output = run(&["migrate", "--config", &path, "--seed", "10"]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    assert!(output.stderr.contains("only an empty database is seeded"), "{}", output.stderr);
    assert!(!output.stderr.contains("UNIQUE"), "the driver's words: {}", output.stderr);
}
