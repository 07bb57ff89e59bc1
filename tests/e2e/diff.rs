//! `gateway diff`: one operation, answered by a game's database and by its mirror.

use gateway_tests::{Server, Setup, run, shared_mariadb};
use serde_json::{Value, json};

use super::switch::mirrored;

/// What the operations here read and write.
const TABLES: &str = "player,player_item,item_ledger";

/// The first game on MySQL, and its mirror on SQLite with the same rows.
fn filled(setup: Setup<'_>) -> Setup<'_> {
    let setup = mirrored(setup);
    let config = setup.config_path().display().to_string();
    let reconcile = ["reconcile", "game1", "--config", &config, "--tables", TABLES];
    let copied = run(&[&reconcile[..], &["--repair", "owner-to-mirror"]].concat());
    assert_eq!(copied.status, Some(1), "{}", copied.text());
    setup
}

fn diff(setup: &Setup<'_>, arguments: &[&str]) -> gateway_tests::Output {
    let config = setup.config_path().display().to_string();
    let mut line = vec!["diff", "game1"];
    line.extend(arguments);
    line.extend(["--config", &config]);
    run(&line)
}

fn on_the_owner(server: &Server, setup: &Setup<'_>, sql: &str) -> String {
    let database = &setup.config["database"]["connections"]["game1"]["database"];
    server.query(database.as_str().expect("a name"), sql)
}

#[test]
fn answers_stand_side_by_side_with_what_differs_and_no_values_unless_they_are_asked_for() {
    let Some(server) = shared_mariadb() else { return };
    let setup = filled(Setup::on(server));
    let same = diff(&setup, &["player.get", "player_id=1001"]);
    assert_eq!(same.status, Some(0), "{}", same.text());
    assert!(same.stdout.starts_with("game1 player.get: the same\n"), "{}", same.stdout);
    on_the_owner(server, &setup, "UPDATE player SET nickname = 'somebody' WHERE player_id = 1001");
    let other = diff(&setup, &["player.get", "player_id=1001"]);
    assert_eq!(other.status, Some(1), "{}", other.text());
    assert!(other.stdout.contains("1 row different in nickname"), "{}", other.stdout);
    assert!(other.stdout.contains("\n* nickname"), "{}", other.stdout);
    assert!(!other.stdout.contains("somebody"), "{}", other.stdout);
    let shown = diff(&setup, &["player.get", "player_id=1001", "--show-values"]);
    assert!(shown.stdout.contains("\"somebody\""), "{}", shown.stdout);
    let json = diff(&setup, &["player.get", "player_id=1001", "--format", "json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let different = json!([{ "owner_row": 0, "mirror_row": 0, "columns": ["nickname"] }]);
    assert_eq!((&json["verdict"], &json["different"]), (&json!("different"), &different), "{json}");
    assert_eq!(json["mirror"]["values"], Value::Null, "{json}");
}

#[test]
fn row_that_one_side_lacks_is_told() {
    let Some(server) = shared_mariadb() else { return };
    let setup = filled(Setup::on(server));
    on_the_owner(server, &setup, "DELETE FROM player WHERE player_id = 1001");
    let missing = diff(&setup, &["player.get", "player_id=1001"]);
    assert_eq!(missing.status, Some(1), "{}", missing.text());
    assert!(missing.stdout.contains("1 row on the mirror only"), "{}", missing.stdout);
}

#[test]
fn write_needs_the_word_that_it_is_undone_and_changes_nothing() {
    let Some(server) = shared_mariadb() else { return };
    let setup = filled(Setup::on(server));
    let grant =
        ["item.grant", "request_id=diff-1", "player_id=1001", "item_type=7", "qty=1", "reason=x"];
    let refused = diff(&setup, &grant);
    assert_eq!(refused.status, Some(2), "{}", refused.text());
    assert!(refused.stderr.contains("--dry-run"), "{}", refused.stderr);
    let done = diff(&setup, &[&grant[..], &["--dry-run"]].concat());
    assert_eq!(done.status, Some(0), "{}", done.text());
    let config = setup.config_path().display().to_string();
    run(&["reconcile", "game1", "--config", &config, "--tables", TABLES]).succeeded();
    let keys = "SELECT COUNT(*) FROM item_ledger WHERE request_id = 'diff-1'";
    assert_eq!(on_the_owner(server, &setup, keys).trim(), "0");
}

#[test]
fn what_cannot_be_compared_ends_with_2_and_its_reason() {
    let setup = Setup::sqlite();
    setup.write_config();
    let refused = diff(&setup, &["player.get", "player_id=1001"]);
    assert_eq!(refused.status, Some(2), "{}", refused.text());
    assert!(refused.stderr.contains("games.game1.mirror"), "{}", refused.stderr);
    let setup = mirrored(Setup::sqlite());
    let refused = diff(&setup, &["player.nosuch"]);
    assert_eq!(refused.status, Some(2), "{}", refused.text());
    assert!(
        refused.stderr.contains("game1 has no operation player.nosuch\n"),
        "{}",
        refused.stderr
    );
    let refused = diff(&setup, &["player.get", "player_id=x"]);
    assert_eq!(refused.status, Some(2), "{}", refused.text());
    let refused = diff(&setup, &["player.get", "--mirror", "nosuch"]);
    assert!(refused.stderr.contains("no connection `nosuch`"), "{}", refused.stderr);
}
