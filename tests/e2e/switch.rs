//! A game on its way from one database to another, with the commands that an operator gives.

use gateway_tests::{Output, Setup, run, shared_mariadb};
use serde_json::{Value, json};

/// The first game on MySQL with a mirror on SQLite: both have the schema, the owner has rows.
fn mirrored(setup: Setup<'_>) -> Setup<'_> {
    let path = setup.folder.path().join("mirror.db");
    let setup = setup
        .set("/database/connections/copy", json!({ "type": "sqlite", "path": path }))
        .set("/games/game1/mirror", json!("copy"));
    setup.write_config();
    run(&["migrate", "--config", &setup.config_path().display().to_string()]).succeeded();
    setup
}

fn reconcile(setup: &Setup<'_>, more: &[&str]) -> (Output, Value) {
    let config = setup.config_path().display().to_string();
    let mut arguments = vec!["reconcile", "game1", "--config", &config, "--format", "json"];
    arguments.extend(more);
    let output = run(&arguments);
    let report = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

#[test]
fn reconcile_finds_every_row_that_a_new_mirror_lacks_and_copies_them() {
    let Some(server) = shared_mariadb() else { return };
    let setup = mirrored(Setup::mariadb(server));
    let (output, report) = reconcile(&setup, &["--tables", "player"]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    assert_eq!(report["tables"][0]["missing_count"], json!(300));
    let (output, _) = reconcile(&setup, &["--repair", "owner-to-mirror"]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    let (output, report) = reconcile(&setup, &[]);
    assert_eq!(output.status, Some(0), "{}", output.text());
    assert_eq!(report["divergences"], json!(0));
    let tables = report["tables"].as_array().unwrap();
    let rows = |table: &Value| table["rows"].as_u64().unwrap();
    assert!(tables.len() >= 10 && tables.iter().map(rows).sum::<u64>() > 1000, "{report}");
    assert!(tables.iter().any(|table| table["table"] == "gateway_request"), "{report}");
}

#[test]
fn reconcile_without_a_mirror_says_what_to_do() {
    let setup = Setup::sqlite();
    setup.write_config();
    let (output, _) = reconcile(&setup, &[]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("games.game1.mirror"), "{}", output.stderr);
}

/// A template that the mirror's dialect does not have would be missed only when the game is switched.
#[test]
fn templates_that_the_mirror_has_no_body_of_are_found_at_load() {
    let contract = "-- @kind many\n-- @allow admin\n-- @result nickname string\n";
    let setup = Setup::sqlite().own_templates();
    let setup = setup.template("game1/player/first.sql", contract);
    let body = "SELECT p.nickname FROM player p WHERE p.player_id = 1\n";
    let setup = setup.template("game1/player/first.sqlite.sql", body);
    let setup = setup.set(
        "/database/connections/copy",
        json!({
            "type": "mysql", "host": "127.0.0.1", "username": "gateway", "password": "env",
            "database": "copy",
        }),
    );
    setup.write_config();
    let check = || run(&["check", "--config", &setup.config_path().display().to_string()]);
    check().succeeded();
    let setup = setup.set("/games/game1/mirror", json!("copy"));
    setup.write_config();
    let output = run(&["check", "--config", &setup.config_path().display().to_string()]);
    assert_eq!(output.status, Some(1), "{}", output.text());
    assert!(output.stdout.contains("player/first"), "{}", output.text());
}
