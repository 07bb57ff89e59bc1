//! A game on its way from one database to another, with the commands that an operator gives.

use std::fs;

use gateway_tests::{Gateway, Output, Server, Setup, run, shared_mariadb, wait_until};
use serde_json::{Value, json};

use crate::letters;

/// The first game on MySQL with a mirror on SQLite: both have the schema, the owner has rows. Without what needs
/// procedures, which SQLite has not.
pub(crate) fn mirrored(setup: Setup<'_>) -> Setup<'_> {
    let path = setup.folder.path().join("mirror.db");
    let templates = setup.folder.path().join("templates");
    let setup = if templates.exists() { setup } else { setup.own_templates() };
    for folder in ["game1/reward", "game1/schema"] {
        fs::remove_dir_all(templates.join(folder)).expect("it was copied");
    }
    let setup = setup
        .set("/database/connections/copy", json!({ "type": "sqlite", "path": path }))
        .set("/games/game1/mirror", json!("copy"));
    setup.write_config();
    run(&["migrate", "--config", &setup.config_path().display().to_string()]).succeeded();
    setup
}

/// The same, on a server whose schema was made with everything.
fn mirrored_on(server: &Server) -> Setup<'_> {
    let setup = Setup::on(server);
    let name = setup.schemas().expect("it is on a server").name("game1");
    server.query(&name, "DROP TABLE daily_reward");
    server.query(&name, "DROP TABLE reward_calendar");
    mirrored(setup)
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
    let setup = mirrored_on(server);
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

/// A template that one of both has not would be missed only when the game is switched. Whichever of the two is the
/// database: of the first game MySQL has procedures, and SQLite has none.
#[test]
fn operations_that_one_of_both_databases_lacks_are_told_by_check_start_and_reload_alike() {
    let copy = json!({
        "type": "mysql", "host": "127.0.0.1", "username": "gateway", "password": "env",
        "database": "copy",
    });
    let setup = Setup::sqlite().own_templates();
    let contract = "-- @kind many\n-- @allow admin\n-- @result nickname string\n";
    let body = "SELECT p.nickname FROM player p WHERE p.player_id = 1\n";
    let setup = setup.template("_base/player/first.sqlite.sql", &format!("{contract}{body}"));
    let setup = setup.set("/database/connections/copy", copy);
    let mut gateway = setup.start();
    let path = gateway.folder().join("gateway.yaml").display().to_string();
    let check = || run(&["check", "--config", &path]);
    check().succeeded();
    gateway.write_config("/games/game1/mirror", json!("copy"));
    let missing = [
        "`player.first` of game1 is on sqlite and not on mysql, the dialect of the game's mirror",
        "`reward.claim` of game1 is on mysql and not on sqlite, the dialect of the game's database",
        "`_base/player/first.mysql.sql`",
    ];
    let told = |text: &str| missing.iter().all(|one| text.contains(one));
    let output = check();
    assert!(output.status == Some(1) && told(&output.stdout), "{}", output.text());
    wait_until("the reload is refused", || told(&gateway.log()).then_some(()));
    let output = run(&["serve", "--config", &path]);
    assert!(output.status == Some(78) && told(&output.stderr), "{}", output.text());
    let disabled = json!(["player.first", "reward.claim", "reward.status"]);
    gateway.write_config("/games/game1/disabled_operations", disabled);
    check().succeeded();
}

fn switch(gateway: &Gateway<'_>, arguments: &[&str]) -> Output {
    let config = gateway.folder().join("gateway.yaml").display().to_string();
    let mut line = vec!["switch", "game1"];
    line.extend(arguments);
    line.extend(["--config", &config, "--by", "tests"]);
    run(&line)
}

fn state(gateway: &Gateway<'_>) -> Value {
    let told = switch(gateway, &["status", "--format", "json"]).succeeded();
    serde_json::from_str(&told).unwrap()
}

/// The commands in their order, beside a gateway that serves and copies, and is killed on the way.
#[test]
fn mirror_backfill_and_retire_beside_a_gateway_that_writes_copies_and_is_killed() {
    let Some(server) = shared_mariadb() else { return };
    let mut gateway = mirrored_on(server).start();
    let refused = switch(&gateway, &["backfill"]);
    assert!(refused.stderr.contains("there is no mirror yet"), "{}", refused.text());
    let script = switch(&gateway, &["mirror", "copy", "--print-sql"]).succeeded();
    assert!(script.starts_with("DELIMITER //") && script.contains("CREATE TRIGGER"), "{script}");
    assert_eq!(state(&gateway)["state"], Value::Null, "a script changes nothing");
    switch(&gateway, &["mirror", "copy"]).succeeded();
    grant(&gateway, 1..40);
    let told = switch(&gateway, &["backfill"]).succeeded();
    assert!(told.contains("gateway reconcile game1"), "{told}");
    let script = switch(&gateway, &["flip", "--print-sql"]).succeeded();
    assert!(script.starts_with("CREATE TRIGGER gateway_ins_"), "{script}");
    gateway.kill();
    gateway.launch();
    gateway.wait_ready();
    grant(&gateway, 40..80);
    wait_until("what was written is copied", || {
        (state(&gateway)["outbox_rows"] == 0).then_some(())
    });
    let known = state(&gateway);
    assert_eq!(known["state"]["phase"], "mirrored", "{known}");
    assert_eq!((&known["refused"], &known["missing_triggers"]), (&json!([]), &json!(0)), "{known}");
    let config = gateway.folder().join("gateway.yaml").display().to_string();
    run(&["reconcile", "game1", "--config", &config]).succeeded();
    wait_until("the figures are told", || {
        let copied = gateway.metric("gateway_switch_copied_rows_total", &["game1"]);
        (copied > 0.0 && gateway.metric("gateway_switch_copier", &["game1"]) > 0.0).then_some(())
    });
    let held = switch(&gateway, &["copy"]);
    assert!(held.stderr.contains("copies game1"), "{}", held.text());
    let refused = switch(&gateway, &["retire", "copy"]);
    assert!(refused.stderr.contains("--yes"), "{}", refused.text());
    let refused = switch(&gateway, &["flip", "--pause-max", "99ms"]);
    assert!(refused.stderr.contains("100ms to 1m"), "{}", refused.text());
    let told = switch(&gateway, &["retire", "copy", "--yes"]).succeeded();
    let own = "still has it in its configuration: gateway on ";
    assert!(told.contains(own) && told.contains(&format!("process {}\n", gateway.pid())), "{told}");
    assert_eq!(state(&gateway)["state"]["phase"], "single");
    let told = switch(&gateway, &["retire", "copy", "--yes"]).succeeded();
    assert!(told.starts_with("`copy` is no mirror of game1 already: `game1` is alone"), "{told}");
    assert!(told.contains(own), "who still has it is told again: {told}");
    gateway.write_config("/games/game1/mirror", Value::Null);
    let told = switch(&gateway, &["retire", "copy", "--yes"]).succeeded();
    assert!(told.contains("by tests; nothing is left to do"), "{told}");
    let audit = fs::read_to_string(gateway.folder().join("audit.log.commands")).unwrap();
    let steps = ["switch.mirror", "switch.backfill", "switch.retire"];
    assert!(steps.iter().all(|step| audit.matches(step).count() >= 2), "{audit}");
}

/// Everything else is as it has to be: what is held against the flip is one order that cannot be applied.
#[test]
fn dead_letter_of_a_running_gateway_keeps_the_game_where_it_is_until_it_is_dropped() {
    let Some(server) = shared_mariadb() else { return };
    let setup = Setup::on(server).own_templates();
    let setup = setup.template("_base/order/create.sql", &letters::order_of_a_player(2));
    let name = setup.schemas().expect("it is on a server").name("game1");
    server.query(&name, "DROP TABLE daily_reward");
    server.query(&name, "DROP TABLE reward_calendar");
    let mut gateway = mirrored(setup).start();
    switch(&gateway, &["mirror", "copy"]).succeeded();
    switch(&gateway, &["backfill"]).succeeded();
    letters::create(&gateway, "letter-0001", letters::STRANGER);
    wait_until("it is dead", || (letters::state(&gateway, "letter-0001") == "dead").then_some(()));
    make_ready(&gateway);
    let held = |gateway: &Gateway<'_>| {
        let known = state(gateway);
        let checks = known["checks"].as_array().unwrap().iter();
        let held = checks.filter(|check| !check["fault"].is_null());
        held.map(|check| check["check"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_until("only the letter is held against it", || {
        (held(&gateway) == ["letters"]).then_some(())
    });
    let shown = switch(&gateway, &["status"]).succeeded();
    assert!(
        shown.contains(", 1 dead letters\n") && shown.contains("flip      NO: letters: "),
        "{shown}"
    );
    let refused = switch(&gateway, &["flip", "copy"]);
    let own = format!("process {} has 1", gateway.pid());
    assert_eq!(refused.status, Some(1), "{}", refused.text());
    assert!(
        refused.stderr.contains("letters: ") && refused.stderr.contains(&own),
        "{}",
        refused.text()
    );
    // A gateway that was killed keeps its word, and the next process takes it over.
    gateway.kill();
    assert!(held(&gateway).contains(&"letters".to_owned()));
    gateway.launch();
    gateway.wait_ready();
    let own = format!("process {} has 1", gateway.pid());
    wait_until("it says so again", || {
        switch(&gateway, &["flip", "copy"]).stderr.contains(&own).then_some(())
    });
    let admin = format!("http://{}", gateway.admin_address());
    let listed = gateway.admin("/journal").json();
    let sequence = listed["dead"][0]["sequence"].to_string();
    run(&["journal", "drop", &sequence, "--admin", &admin]).succeeded();
    wait_until("nothing is held against it", || held(&gateway).is_empty().then_some(()));
    let told = switch(&gateway, &["flip", "copy"]).succeeded();
    assert!(told.contains("game1 is on `copy`") && !told.contains("forced"), "{told}");
}

/// Compares all rows and enough answers of the game.
fn make_ready(gateway: &Gateway<'_>) {
    let config = gateway.folder().join("gateway.yaml").display().to_string();
    run(&["reconcile", "game1", "--config", &config]).succeeded();
    switch(gateway, &["verify", "--sample", "100%"]).succeeded();
    wait_until("enough answers are compared", || {
        let mut wire = gateway.game_server("game1");
        for player in 1001..=1120 {
            wire.ok("order.list_by_player", &json!({ "player_id": player }));
        }
        let told = switch(gateway, &["verify", "--format", "json"]).succeeded();
        let found: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(found["different"], 0, "{found}");
        (found["compared"].as_u64()? >= 100).then_some(())
    });
}

/// Grants an item to a player for each number, through the gateway.
fn grant(gateway: &Gateway<'_>, numbers: std::ops::Range<u32>) {
    let mut wire = gateway.game_server("game1");
    for number in numbers {
        let params = json!({
            "request_id": format!("switch-{number}"), "player_id": 1001 + number, "item_type": 7,
            "qty": 1, "reason": "switch",
        });
        let (code, reply) = wire.call("item.grant", &params);
        assert_eq!(code, 0, "{reply}");
    }
}
