//! Reload: as a whole or not at all, and nobody notices but by what changed.

use std::sync::atomic::{AtomicBool, Ordering};

use gateway_tests::{
    ADMIN_KEY, CALL, Codec, Credential, Database, Gateway, Setup, Signal, copy_folder, wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_database! {
    statement_that_the_database_refuses_is_told_at_the_start_and_after_a_reload_and_stops_nothing,
}

const PLAYER: &str = "/v1/game1/players/1001";

fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

/// The code of one call now; 0 is served.
fn code(gateway: &Gateway<'_>, game: &str, operation: &str, params: &Value) -> u16 {
    let target = format!("/v1/{game}/call/{operation}");
    let reply = gateway.http().send_json("POST", &target, &admin().headers(), params);
    if reply.status == 200 { 0 } else { reply.code() }
}

const NEW_OPERATION: &str = "-- @desc   The newest operation.\n\
    -- @kind   one\n\
    -- @param  player_id bigint\n\
    -- @result nickname string\n\
    -- @allow  admin\n\
    SELECT p.nickname\nFROM   player p\nWHERE  p.player_id = :player_id\n";

#[test]
fn new_operation_is_served_after_a_reload_and_the_catalogs_hash_changes() {
    let gateway = Setup::sqlite().own_templates().start();
    let params = json!({ "player_id": 1001 });
    let hash = || gateway.tcp().hello("game1", &admin())["catalog"].clone();
    let before = hash();
    assert_eq!(code(&gateway, "game1", "player.newest", &params), 2001);
    gateway.write_template("_base/player/newest.sql", NEW_OPERATION);
    gateway.signal(Signal::Reload);
    wait_until("the operation is there", || {
        (code(&gateway, "game1", "player.newest", &params) == 0).then_some(())
    });
    assert_ne!(hash(), before);
}

#[test]
fn changed_configuration_is_taken_without_a_signal() {
    let mut gateway = Setup::sqlite().start();
    assert_eq!(code(&gateway, "game1", "player.get", &json!({ "player_id": 1001 })), 0);
    gateway.write_config("/games/game1/enabled", json!(false));
    wait_until("the game is off", || {
        (code(&gateway, "game1", "player.get", &json!({ "player_id": 1001 })) == 2002).then_some(())
    });
}

#[test]
fn game_and_operation_are_switched_off_and_on_while_others_go_on() {
    let mut gateway = Setup::sqlite().start();
    let params = json!({ "player_id": 1001 });
    let becomes = |gateway: &Gateway<'_>, operation: &str, expected: u16| {
        gateway.signal(Signal::Reload);
        wait_until(&format!("{operation} answers {expected}"), || {
            (code(gateway, "game1", operation, &params) == expected).then_some(())
        });
    };
    gateway.write_config("/games/game1/disabled_operations", json!(["player.get"]));
    becomes(&gateway, "player.get", 2003);
    assert_eq!(code(&gateway, "game1", "item.list_by_player", &params), 0);
    assert_eq!(code(&gateway, "game2", "player.get", &params), 0);
    gateway.write_config("/games/game1/disabled_operations", json!([]));
    becomes(&gateway, "player.get", 0);
    gateway.write_config("/games/game1/enabled", json!(false));
    becomes(&gateway, "player.get", 2002);
    assert_eq!(code(&gateway, "game2", "player.get", &params), 0);
    gateway.write_config("/games/game1/enabled", json!(true));
    becomes(&gateway, "player.get", 0);
}

#[test]
fn faulty_template_leaves_everything_as_it_was_and_is_visible_until_it_is_mended() {
    let gateway = Setup::sqlite().own_templates().start();
    let params = json!({ "player_id": 1001 });
    gateway.write_template("_base/player/newest.sql", NEW_OPERATION);
    gateway.write_template("_base/player/broken.sql", "-- @kind one\n-- @cahce l1=1s\nSELECT 1\n");
    gateway.signal(Signal::Reload);
    wait_until("the refusal is in the log", || gateway.log().contains("broken.sql").then_some(()));
    assert_eq!(
        code(&gateway, "game1", "player.newest", &params),
        2001,
        "nothing of a faulty set is taken"
    );
    assert_eq!(code(&gateway, "game1", "player.get", &params), 0);
    let ready = gateway.admin("/readyz");
    assert_eq!(ready.status, 200, "the last good catalog serves");
    assert!(ready.text().contains("reload"), "{}", ready.text());

    std::fs::remove_file(gateway.folder().join("templates/_base/player/broken.sql")).unwrap();
    gateway.signal(Signal::Reload);
    wait_until("the mended set is taken", || {
        (code(&gateway, "game1", "player.newest", &params) == 0).then_some(())
    });
}

#[test]
fn files_that_are_again_as_what_serves_are_told_in_the_log_after_their_refusal() {
    let gateway = Setup::sqlite().own_templates().start();
    let mended = || gateway.log().contains("reload_mended");
    gateway.write_template("_base/player/broken.sql", "-- @kind one\n-- @cahce l1=1s\nSELECT 1\n");
    gateway.signal(Signal::Reload);
    wait_until("the refusal is in the log", || gateway.log().contains("broken.sql").then_some(()));
    assert!(!mended());
    std::fs::remove_file(gateway.folder().join("templates/_base/player/broken.sql")).unwrap();
    gateway.signal(Signal::Reload);
    wait_until("the log says that it is mended", || mended().then_some(()));
    assert_eq!(gateway.admin("/readyz").json()["reload"]["state"], "unchanged");
    assert_eq!(gateway.admin("/readyz").json()["generation"], 1);
}

#[test]
fn faulty_configuration_leaves_everything_as_it_was() {
    let mut gateway = Setup::sqlite().start();
    let params = json!({ "player_id": 1001 });
    gateway.write_config("/games/game1/databse", json!("game1"));
    gateway.write_config("/games/game1/enabled", json!(false));
    gateway.signal(Signal::Reload);
    wait_until("the refusal is in the log", || gateway.log().contains("databse").then_some(()));
    assert_eq!(code(&gateway, "game1", "player.get", &params), 0);
    assert!(gateway.is_running());
}

#[test]
fn warning_of_a_reload_is_told_once() {
    let mut gateway = Setup::sqlite().start();
    let told = |gateway: &Gateway<'_>| {
        gateway.log().matches("`admin.token` is a secret written in the file").count()
    };
    assert_eq!(told(&gateway), 0);
    gateway.write_config("/admin/token", json!("a-token-of-the-tests-of-32-bytes"));
    gateway.signal(Signal::Reload);
    wait_until("the warning is in the log", || (told(&gateway) == 1).then_some(()));
    gateway.write_config("/games/game1/enabled", json!(false));
    gateway.signal(Signal::Reload);
    let params = json!({ "player_id": 1001 });
    wait_until("a second reload is in effect", || {
        (code(&gateway, "game1", "player.get", &params) == 2002).then_some(())
    });
    assert_eq!(told(&gateway), 1);
}

#[test]
fn no_request_fails_while_snapshots_are_swapped() {
    let gateway = Setup::sqlite().own_templates().start();
    let ended = AtomicBool::new(false);
    let text =
        std::fs::read_to_string(gateway.folder().join("templates/_base/player/get.sql")).unwrap();
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
            let mut count = 0;
            while !ended.load(Ordering::Acquire) {
                for player_id in 1001..1021 {
                    let call =
                        wire.request(CALL, &json!(["player.get", { "player_id": player_id }]));
                    let reply = wire.exchange(&call);
                    assert_eq!(reply.number, 0, "{}", reply.value());
                    assert_eq!(reply.value()["player_id"], player_id);
                    count += 1;
                }
            }
            count
        });
        for round in 0..10 {
            let hash = || gateway.tcp().hello("game1", &admin())["catalog"].clone();
            let before = hash();
            let changed = text.replace("Called at every login", &format!("Round {round}"));
            gateway.write_template("_base/player/get.sql", &changed);
            gateway.signal(Signal::Reload);
            wait_until("the snapshot is swapped", || (hash() != before).then_some(()));
        }
        ended.store(true, Ordering::Release);
        assert!(calling.join().unwrap() > 0);
    });
}

#[test]
fn answer_tells_the_template_that_served_it() {
    let gateway = Setup::sqlite().start();
    let mut wire = gateway.connect("game1", &admin(), Codec::Msgpack);
    let call = wire.request(CALL, &json!(["player.get", { "player_id": 1001 }]));
    let meta = wire.exchange(&gateway_tests::Frame { flags: 2, ..call }).value()[0].clone();
    let version = meta["template"].as_str().unwrap_or_default().to_owned();
    assert!(version.len() == 16 && version.bytes().all(|byte| byte.is_ascii_hexdigit()), "{meta}");
    gateway.http().get(PLAYER, &admin().headers());
    wait_until("the log names the template", || gateway.log().contains(&version).then_some(()));
}

/// A volume of a `ConfigMap`: every entry is a link by way of `..data`, which one rename points elsewhere.
#[test]
fn templates_behind_links_are_served_and_a_swap_of_the_links_is_taken_without_a_signal() {
    use std::os::unix::fs::symlink;
    let setup = Setup::sqlite().own_templates();
    let (copy, mount) = (setup.folder.path().join("templates"), setup.folder.path().join("mount"));
    std::fs::create_dir(&mount).unwrap();
    copy_folder(&copy, &mount.join("..first"));
    copy_folder(&copy, &mount.join("..second"));
    std::fs::write(mount.join("..second/_base/player/newest.sql"), NEW_OPERATION).unwrap();
    symlink("..first", mount.join("..data")).unwrap();
    for name in ["_base", "game1", "game2"] {
        symlink(format!("..data/{name}"), mount.join(name)).unwrap();
    }
    let gateway = setup.set("/templates", json!(mount)).start();
    let params = json!({ "player_id": 1001 });
    assert_eq!(code(&gateway, "game1", "player.get", &params), 0);
    assert_eq!(code(&gateway, "game1", "player.newest", &params), 2001);
    symlink("..second", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    wait_until("the new operation is there", || {
        (code(&gateway, "game1", "player.newest", &params) == 0).then_some(())
    });
}

/// A statement that the database does not take is no reason to keep the others from the players.
fn statement_that_the_database_refuses_is_told_at_the_start_and_after_a_reload_and_stops_nothing(
    database: Database,
) {
    let Some(setup) = database.setup() else { return };
    let planted = |column: &str| {
        format!(
            "-- @desc Planted.\n-- @kind one\n-- @param player_id bigint\n-- @result {column} int\n\
             -- @allow admin\nSELECT p.{column} FROM player p WHERE p.player_id = :player_id\n"
        )
    };
    let setup = setup.own_templates().template("game1/player/planted.sql", &planted("nosuch"));
    let gateway = setup.start();
    let statements = |gateway: &Gateway<'_>| {
        let ready = gateway.admin("/readyz");
        assert_eq!(ready.status, 200);
        ready.json()["databases"]["game1"]["statements"].clone()
    };
    let told = wait_until("the statements are prepared", || {
        let told = statements(&gateway);
        told.is_object().then_some(told)
    });
    assert_eq!(told["refused_count"], 1, "{told}");
    assert_eq!(told["refused"][0]["operation"], "game1 player.planted");
    assert!(told["refused"][0]["fault"].as_str().unwrap().contains("nosuch"), "{told}");
    assert!(told["count"].as_u64().unwrap() > 40, "{told}");
    // The log is written by a thread of its own, a moment later.
    let count = || gateway.log().matches("statement_refused").count();
    wait_until("the log tells of it", || (count() > 0).then_some(()));
    assert_eq!(count(), 1, "{}", gateway.log());
    assert_eq!(code(&gateway, "game1", "player.get", &json!({ "player_id": 1001 })), 0);

    gateway.write_template("game1/player/planted.sql", &planted("vip_level"));
    gateway.signal(Signal::Reload);
    wait_until("the mended one is taken", || {
        (statements(&gateway)["refused_count"] == 0).then_some(())
    });

    gateway.write_template("game1/player/planted.sql", &planted("later"));
    gateway.signal(Signal::Reload);
    wait_until("the newest one is refused", || {
        (statements(&gateway)["refused_count"] == 1).then_some(())
    });
    gateway.sql("game1", "ALTER TABLE player ADD later INTEGER");
    let told = wait_until("what is mended in the database is seen without a reload", || {
        Some(statements(&gateway)).filter(|told| told["refused_count"] == 0)
    });
    assert!(told["count"].as_u64().unwrap() > 40 && told["asked_at"].is_string(), "{told}");
}
