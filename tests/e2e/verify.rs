//! Shadow reads: a running gateway has a share of its reads answered by the mirror, too, and compares.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Gateway, Output, Server, Setup, run, shared_mariadb, wait_until};
use serde_json::{Value, json};

/// A game on one schema of a server, with its mirror on another one.
struct Mirrored<'s> {
    gateway: Gateway<'s>,
    server: &'s Server,
    owner: String,
    mirror: String,
}

impl Drop for Mirrored<'_> {
    fn drop(&mut self) {
        self.server.query("", &format!("DROP DATABASE {}", self.mirror));
    }
}

impl<'s> Mirrored<'s> {
    /// Starts a gateway whose first game has a mirror, and copies everything.
    ///
    /// - `before`: run on both schemas first.
    fn start(server: &'s Server, before: &str) -> Self {
        Self::of(Setup::on(server), server, before)
    }

    fn of(setup: Setup<'s>, server: &'s Server, before: &str) -> Self {
        let mut connection = setup.config["database"]["connections"]["game1"].clone();
        let owner = connection["database"].as_str().unwrap().to_owned();
        let mirror = format!("{owner}_mirror");
        server.query("", &format!("CREATE DATABASE {mirror} CHARACTER SET utf8mb4"));
        connection["database"] = json!(mirror);
        let setup = setup
            .set("/database/connections/copy", connection)
            .set("/games/game1/mirror", json!("copy"));
        setup.write_config();
        run(&["migrate", "--config", &setup.config_path().display().to_string()]).succeeded();
        for schema in [&owner, &mirror] {
            server.query(schema, before);
        }
        let world = Self { gateway: setup.start(), server, owner, mirror };
        world.switch(&["mirror", "copy"]).succeeded();
        world.switch(&["backfill"]).succeeded();
        world
    }

    fn switch(&self, arguments: &[&str]) -> Output {
        let config = self.gateway.folder().join("gateway.yaml").display().to_string();
        let mut line = vec!["switch", "game1"];
        line.extend(arguments);
        line.extend(["--config", &config, "--by", "tests"]);
        run(&line)
    }

    /// What `verify` says.
    fn found(&self) -> Value {
        let told = self.switch(&["verify", "--format", "json"]).succeeded();
        serde_json::from_str(&told).unwrap()
    }

    /// Waits until the gateway has heard that reads are compared: then they are.
    fn wait_compared(&self, more_than: u64, read: impl Fn()) -> Value {
        wait_until("reads are compared", || {
            read();
            let found = self.found();
            (found["compared"].as_u64()? > more_than).then_some(found)
        })
    }
}

/// Each of the differences that two databases may have, on the mirror of one player each; everything is read.
#[test]
fn planted_divergences_are_found_and_nothing_else_is() {
    let Some(server) = shared_mariadb() else { return };
    let nullable = "ALTER TABLE player MODIFY nickname VARCHAR(32) NULL; \
        UPDATE player SET nickname = '' WHERE player_id = 1005; \
        UPDATE game_order SET amount = 12.34 WHERE player_id = 1006 ORDER BY order_id LIMIT 1";
    let world = Mirrored::start(server, nullable);
    let first = "SELECT MIN(order_id) FROM game_order WHERE player_id = 1006";
    let order: i64 = server.query(&world.owner, first).trim().parse().unwrap();
    server.query(
        &world.mirror,
        &format!(
            "UPDATE player SET vip_level = vip_level + 1 WHERE player_id = 1002; \
             DELETE FROM player_item WHERE player_id = 1003 LIMIT 1; \
             UPDATE player SET last_login_at = TIMESTAMPADD(HOUR, 8, last_login_at) WHERE player_id = 1004; \
             UPDATE player SET nickname = NULL WHERE player_id = 1005; \
             UPDATE game_order SET amount = ROUND(amount, 1) WHERE order_id = {order}"
        ),
    );
    world.switch(&["verify", "--sample", "100%"]).succeeded();
    // Uncached, so that each of these is answered by the database.
    world.wait_compared(0, || {
        let mut wire = world.gateway.game_server("game1");
        wire.ok("order.list_by_player", &json!({ "player_id": 1299 }));
    });
    let mut wire = world.gateway.game_server("game1");
    for player in 1001..=1100 {
        for operation in ["player.get", "item.list_by_player", "order.list_by_player"] {
            wire.ok(operation, &json!({ "player_id": player }));
        }
    }
    let found = wait_until("everything that was read is compared", || {
        let found = world.found();
        let operations = found["operations"].as_array()?;
        let is_done = operations.iter().all(|one| one["compared"].as_u64() >= Some(100));
        (operations.len() == 3 && is_done).then_some(found)
    });
    let mut mismatches: Vec<String> = found["mismatches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            format!("{} {}: {}", text("operation"), text("params"), text("fault"))
        })
        .collect();
    mismatches.sort_unstable();
    assert_eq!(
        mismatches,
        [
            "item.list_by_player player_id=\"1003\": 1 row missing on the mirror",
            "order.list_by_player player_id=\"1006\" limit=\"20\": 1 row different in amount",
            "player.get player_id=\"1002\": 1 row different in vip_level",
            "player.get player_id=\"1004\": 1 row different in last_login_at",
            "player.get player_id=\"1005\": 1 row different in nickname",
        ],
        "{found}"
    );
    assert_eq!((&found["different"], &found["sample_ppm"]), (&json!(5), &json!(1_000_000)));
    let compared = world.gateway.metric("gateway_shadow_compared_total", &["game1", "player.get"]);
    let differed =
        world.gateway.metric("gateway_shadow_mismatched_total", &["game1", "player.get"]);
    assert!((compared, differed) == (100.0, 3.0), "{compared} {differed}");
    world.switch(&["verify", "--sample", "0"]).succeeded();
    assert_eq!(world.found()["sample_ppm"], json!(0));
    let audit = std::fs::read_to_string(world.gateway.folder().join("audit.log.commands")).unwrap();
    assert!(audit.matches("switch.verify").count() >= 4, "{audit}");
}

/// Rows that change all the time are behind on the mirror for a moment, which is no divergence.
#[test]
fn writers_at_full_load_make_no_mismatch() {
    let Some(server) = shared_mariadb() else { return };
    let world = Mirrored::start(server, "SELECT 1");
    world.switch(&["verify", "--sample", "100%"]).succeeded();
    world.wait_compared(0, || {
        let mut wire = world.gateway.game_server("game1");
        wire.ok("order.list_by_player", &json!({ "player_id": 1299 }));
    });
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (world, is_over) = (&world, &is_over);
            scope.spawn(move || {
                let mut wire = world.gateway.game_server("game1");
                for number in 0_u32.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let params = json!({
                        "request_id": format!("load-{writer}-{number}"),
                        // Of rows that change at every look nothing can be decided: each player has a spell, and rests.
                        "player_id": 1001 + (25 * writer + number / 40) % 50,
                        "item_type": 7, "qty": 1, "reason": "load",
                    });
                    wire.ok("item.grant", &params);
                }
            });
        }
        let mut wire = world.gateway.game_server("game1");
        let compared = |op| world.gateway.metric("gateway_shadow_compared_total", &["game1", op]);
        let is_enough =
            || compared("order.list_by_player") > 100.0 && compared("item.list_by_player") > 3.0;
        // Five seconds; longer where that is too short to compare enough.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5)
            || (begun.elapsed() < Duration::from_mins(1) && !is_enough())
        {
            for player in 1001..=1050 {
                wire.ok("item.list_by_player", &json!({ "player_id": player }));
                wire.ok("order.list_by_player", &json!({ "player_id": player }));
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let stopped = world.switch(&["verify", "--sample", "1%", "--for", "1s"]);
    assert_eq!(stopped.status, Some(0), "{}", stopped.text());
    let compared = |op| world.gateway.metric("gateway_shadow_compared_total", &["game1", op]);
    let mismatched = |op| world.gateway.metric("gateway_shadow_mismatched_total", &["game1", op]);
    for (op, least) in [("item.list_by_player", 3.0), ("order.list_by_player", 100.0)] {
        assert!(compared(op) > least, "{op}: {}", compared(op));
        assert!(mismatched(op) < 0.5, "{op}: {} {}", mismatched(op), world.gateway.log());
    }
    assert_eq!(world.found()["sample_ppm"], json!(0), "its time is over");
}

/// What cannot be compared is told with its reason, and is no mismatch; what is bound is the same on both sides.
#[test]
fn operation_without_one_answer_is_told_and_not_compared() {
    let Some(server) = shared_mariadb() else { return };
    let contract =
        "-- @kind many\n-- @allow game_server\n-- @result player_id bigint, at timestamp(6)\n";
    let first = "SELECT p.player_id, p.created_at AS at FROM player p LIMIT 2\n";
    let now = "SELECT p.player_id, :_now AS at FROM player p WHERE p.player_id = 1001\n";
    let setup = Setup::on(server).own_templates();
    let setup = setup.template("game1/player/any.sql", &format!("{contract}{first}"));
    let setup = setup.template("game1/player/today.sql", &format!("{contract}{now}"));
    let world = Mirrored::of(setup, server, "SELECT 1");
    world.switch(&["verify", "--sample", "100%"]).succeeded();
    let found = world.wait_compared(0, || {
        let mut wire = world.gateway.game_server("game1");
        wire.ok("player.any", &json!({}));
        wire.ok("player.today", &json!({}));
    });
    let operations = found["operations"].as_array().unwrap();
    let of = |name: &str| operations.iter().find(|one| one["operation"] == name).unwrap();
    let reason = of("player.any")["not_compared"].as_str().unwrap_or_default();
    assert!(reason.contains("no ORDER BY"), "{found}");
    assert_eq!(
        (&of("player.any")["compared"], &found["different"]),
        (&json!(0), &json!(0)),
        "{found}"
    );
    assert!(of("player.today")["compared"].as_u64().unwrap() > 0, "{found}");
    let people = world.switch(&["verify"]).succeeded();
    assert!(people.contains("not compared: it has a limit and no ORDER BY"), "{people}");
    let told = world.gateway.log().matches("its answers cannot be compared").count();
    assert_eq!(told, 1, "{}", world.gateway.log());
}

#[test]
fn reads_are_compared_only_when_everything_is_copied() {
    let Some(server) = shared_mariadb() else { return };
    let setup = super::switch::mirrored(Setup::on(server));
    let config = setup.config_path().display().to_string();
    let verify = |more: &[&str]| {
        run(&[&["switch", "game1", "verify", "--config", &config, "--by", "tests"], more].concat())
    };
    let refused = verify(&["--sample", "5%"]);
    assert_eq!(refused.status, Some(1), "{}", refused.text());
    assert!(refused.stderr.contains("mirrored"), "{}", refused.stderr);
    let told = verify(&[]).succeeded();
    assert!(told.contains("nothing is compared"), "{told}");
    assert_eq!(verify(&["--for", "10m"]).status, Some(2), "without a share");
}
