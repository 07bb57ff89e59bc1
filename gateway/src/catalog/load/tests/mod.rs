//! Whole template folders, good and with one fault planted: each rule finds its own and nothing else.

mod bodies;
mod faults;
mod mirrors;
mod portability;
mod relations;
mod statements;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use gateway_protocol::{GameId, OpId};

use super::survey;
use crate::catalog::{Catalog, Dialect, Finding, Rule, Scalar, Severity, Template};

pub(crate) const PLAYER_GET: &str = "\
-- @desc   One player by id. Called at every login.
-- @kind   one   else 2101 PLAYER_NOT_FOUND
-- @param  player_id bigint min=1 sample=1001
-- @result player_id bigint as string, nickname string, player_level int, vip_level int,
-- @result status int, version bigint, last_login_at timestamp(3)
-- @version version
-- @allow  game_server, admin, player(player_id = claim.sub)
-- @http   GET /v1/{game}/players/{player_id}
-- @cache  l1=10m l2=1h negative=15s tag=player:{player_id}
SELECT p.player_id, p.nickname, p.player_level, p.vip_level, p.status, p.version, p.last_login_at
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9
";

pub(crate) const TRANSFER: &str = "\
-- @desc       Move an item between players, all or nothing.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      from_player bigint
-- @param      to_player bigint
-- @param      item_type int
-- @param      qty int min=1 max=9999
-- @require    from_player <> to_player else 2102 SAME_PLAYER
-- @allow      game_server
-- @http       POST /v1/{game}/items:transfer
-- @idempotent key=request_id ttl=24h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_items:{from_player}, player_items:{to_player}
-- @audit

-- @step ledger exec affected = 1
INSERT INTO item_ledger (request_id, from_player, to_player, item_type, qty, created_at)
VALUES (:request_id, :from_player, :to_player, :item_type, :qty, :_now)

-- @step debit exec affected = 1 else 2103 ITEM_NOT_ENOUGH
UPDATE player_item SET qty = qty - :qty, version = version + 1
WHERE  player_id = :from_player AND item_type = :item_type AND qty >= :qty

-- @step credit exec
UPDATE player_item SET qty = qty + :qty, version = version + 1
WHERE  player_id = :to_player AND item_type = :item_type

-- @step grant exec affected = 1 when credit.affected = 0
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :to_player, :item_type, :qty, :_now, 1)
";

pub(crate) const SEARCH: &str = "\
-- @desc   Search characters. Lines ending in \"-- ?\" apply only when their parameter is given.
-- @kind   page
-- @param  server_id int
-- @param  name_prefix string(32) optional like=prefix
-- @param  level_min int optional
-- @param  class_ids list(int) optional max_items=50
-- @param  sort enum(newest,level) default=newest
-- @order  newest = c.created_at DESC, c.character_id DESC
-- @order  level  = c.char_level DESC, c.character_id DESC
-- @result character_id bigint as string, player_id bigint as string, char_name string, char_level int,
-- @result class_id int, created_at timestamp(3)
-- @page   keyset = @sort default=20 max=100
-- @allow  admin, gm
-- @http   GET /v1/{game}/characters
SELECT c.character_id, c.player_id, c.char_name, c.char_level, c.class_id, c.created_at
FROM   game_character c
WHERE  c.server_id = :server_id
  AND  c.char_name LIKE :name_prefix   -- ?
  AND  c.char_level >= :level_min      -- ?
  AND  c.class_id IN (:class_ids)      -- ?
  AND  1 = 1                           -- #keyset
ORDER BY /* #sort */ c.created_at DESC, c.character_id DESC
";

/// A read that has nothing wrong with it.
pub(crate) const READ: &str = "-- @kind many\n-- @param id int\n-- @result a int\n-- @allow admin\n\
                SELECT t.a FROM t WHERE t.id = :id\n";
/// A write that has nothing wrong with it.
pub(crate) const WRITE: &str = "-- @kind exec\n-- @param id int\n-- @allow admin\n\
                 UPDATE t SET a = 1 WHERE id = :id\n";
/// A page with a fixed order that has nothing wrong with it.
const PAGE: &str = "-- @kind page\n-- @param id int\n-- @result a int, b int\n-- @allow admin\n\
                -- @page keyset = t.a DESC, b default=5 max=10\n\
                SELECT t.a, t.b FROM t WHERE t.id = :id\nAND 1 = 1 -- #keyset\n\
                ORDER BY t.a DESC, b\n";

pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

pub(crate) fn games(pairs: &[(&str, Dialect)]) -> Vec<(GameId, Dialect)> {
    pairs.iter().map(|(game, dialect)| (GameId::new(game).unwrap(), *dialect)).collect()
}

pub(crate) fn load_on(files: &[(&str, &str)], dialect: Dialect) -> Result<Catalog, Vec<Finding>> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), files);
    Catalog::load(root.path(), &games(&[("game1", dialect)]))
}

/// The errors of a load on MySQL.
#[track_caller]
pub(crate) fn check(files: &[(&str, &str)], expected: &[Rule]) {
    check_on(Dialect::Mysql, files, expected);
}

#[track_caller]
pub(crate) fn check_on(dialect: Dialect, files: &[(&str, &str)], expected: &[Rule]) {
    let findings = load_on(files, dialect).err().unwrap_or_default();
    let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
    let mut rules: Vec<_> = errors.iter().map(|finding| finding.rule).collect();
    let mut expected = expected.to_vec();
    rules.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rules, expected, "{errors:#?}");
}

/// One base template.
#[track_caller]
pub(crate) fn one(text: &str, expected: &[Rule]) {
    check(&[("_base/x.sql", text)], expected);
}

/// A good template with a piece of it replaced.
#[track_caller]
pub(crate) fn with(text: &str, old: &str, new: &str, expected: &[Rule]) {
    assert!(text.contains(old), "{old}");
    one(&text.replacen(old, new, 1), expected);
}

pub(crate) fn template(text: &str, dialect: Dialect) -> Arc<Template> {
    let catalog = load_on(&[("_base/x.sql", text)], dialect).expect("it loads");
    Arc::clone(catalog.template("game1", "x").unwrap())
}

#[test]
fn examples_of_the_language_load_on_every_dialect() {
    for dialect in Dialect::ALL {
        let files = [("_base/player/get.sql", PLAYER_GET), ("_base/character/search.sql", SEARCH)];
        let catalog = load_on(&files, dialect).expect("they load");
        assert_eq!(catalog.warnings, []);
        let get = catalog.template("game1", "player.get").unwrap();
        assert_eq!(get.slots.len(), 1);
        assert_eq!((get.columns.len(), get.version_column, get.row_count_max), (7, Some(5), 1));
        assert_eq!(get.allow[2].claims, [(0, "sub".into())]);
        let search = catalog.template("game1", "character.search").unwrap();
        let page = search.page.as_ref().unwrap();
        assert_eq!((page.cursor_slot, page.limit_slot, page.count_max), (5, 6, 100));
        assert_eq!(search.slots[6].default, Some(Scalar::Int(20)));
        assert_eq!(search.orders[1].columns[0].column, 3);
        assert!(catalog.template("game1", "player.put").is_none());
        assert!(catalog.template("game2", "player.get").is_none());
    }
}

#[test]
fn base_templates_of_these_tests_have_nothing_wrong() {
    for text in [READ, WRITE, PAGE] {
        for dialect in Dialect::ALL {
            check_on(dialect, &[("_base/x.sql", text)], &[]);
        }
    }
}

#[test]
fn search_renders_the_lines_that_were_given() {
    use crate::catalog::{BindRef, Shape, Source};
    let search = template(SEARCH, Dialect::Sqlite);
    let barest = Shape { given: 1, ..Shape::default() };
    let rendered = search.plan.render(Dialect::Sqlite, &barest).unwrap();
    let text: Vec<&str> = rendered.sql.lines().skip(2).map(str::trim_end).collect();
    assert_eq!(
        text,
        ["WHERE  c.server_id = ?", "ORDER BY c.created_at DESC, c.character_id DESC", "LIMIT ?"]
    );
    assert_eq!(rendered.binds[..], [BindRef::Source(Source::Slot(0)), BindRef::PageLimit]);
    let fullest =
        Shape { given: 0b1111, list_lens: [(3, 3)].into_iter().collect(), order: 1, seek: true };
    let rendered = search.plan.render(Dialect::Sqlite, &fullest).unwrap();
    let text: Vec<&str> = rendered.sql.lines().skip(3).map(str::trim).collect();
    assert_eq!(
        text,
        [
            r"AND  c.char_name LIKE ? ESCAPE '\'",
            "AND  c.char_level >= ?",
            "AND  c.class_id IN (?, ?, ?, ?)",
            "AND (c.char_level < ? OR (c.char_level = ? AND c.character_id < ?))",
            "ORDER BY c.char_level DESC, c.character_id DESC",
            "LIMIT ?",
        ]
    );
    assert_eq!(crate::catalog::combinations(&search, &search.plan).len(), 8 * 2 * 2);
}

#[test]
fn body_for_a_dialect_that_no_game_uses_is_checked_too() {
    let files = |oracle: &'static str| [("_base/x.sql", READ), ("_base/x.oracle.sql", oracle)];
    check(&files("SELECT t.a FROM t WHERE t.id = :id"), &[]);
    check(&files("SELECT t.a FROM t WHERE t.id = 1"), &[Rule::ParamUnused]);
    check(&files("SELECT t.a, t.b FROM t WHERE t.id = :id"), &[Rule::ResultColumns]);
    check(&files("-- @dialects mysql, sqlite\nSELECT t.b FROM t"), &[]);
}

#[test]
fn bodies_are_chosen_from_the_most_specific_file() {
    let body = |word: &str| READ.replacen("FROM t", &format!("FROM {word} t"), 1);
    let sql = |word: &str| format!("SELECT t.a FROM {word} t WHERE t.id = :id");
    let all = [
        ("_base/x.sql", body("base")),
        ("_base/x.mysql.sql", sql("base_mysql")),
        ("game1/x.sql", sql("game")),
        ("game1/x.mysql.sql", sql("game_mysql")),
    ];
    for (count, expected) in [(4, "game_mysql"), (3, "game"), (2, "base_mysql"), (1, "base")] {
        let files: Vec<(&str, &str)> =
            all.iter().take(count).map(|(a, b)| (*a, b.as_str())).collect();
        let catalog = load_on(&files, Dialect::Mysql).unwrap();
        let text = &catalog.template("game1", "x").unwrap().plan.fixed.as_ref().unwrap().sql;
        assert!(text.contains(&format!("FROM {expected} t")), "{text}");
    }
    check(
        &[("_base/x.sql", READ.split("SELECT").next().unwrap()), ("_base/x.sqlite.sql", &sql("t"))],
        &[Rule::BodyMissing],
    );
}

#[test]
fn operation_exists_only_on_its_dialects() {
    let text = READ.replacen("many", "many\n-- @dialects sqlite", 1);
    let exists = |dialect| {
        let catalog = load_on(&[("_base/x.sql", &text)], dialect).unwrap();
        catalog.template("game1", "x").is_some()
    };
    assert!(exists(Dialect::Sqlite) && !exists(Dialect::Mysql));
}

#[test]
fn versions_and_hashes_change_with_the_text_and_not_with_the_place() {
    let loaded = |text: &str| {
        let catalog = load_on(&[("_base/x.sql", text)], Dialect::Mysql).unwrap();
        (catalog.template("game1", "x").unwrap().version, catalog.hash)
    };
    let first = loaded(READ);
    assert_eq!(first.1.len(), 64);
    assert_eq!(loaded(READ), first);
    assert_eq!(loaded(&READ.replacen("-- @allow", "\n-- a comment\n-- @allow", 1)), first);
    for (old, new) in [("admin", "gm"), ("t.a FROM", "t.a  FROM"), ("id int", "id bigint")] {
        let other = loaded(&READ.replacen(old, new, 1));
        assert!(other.0 != first.0 && other.1 != first.1, "{new}");
    }
}

#[test]
fn games_have_their_own_templates_and_dialects() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &[("_base/x.sql", READ), ("game2/y.sql", READ)]);
    let pairs = games(&[("game2", Dialect::Sqlite), ("game1", Dialect::Mysql)]);
    let catalog = Catalog::load(root.path(), &pairs).unwrap();
    let names = |game: &str| -> Vec<String> {
        let game = catalog.game(game).unwrap();
        game.templates().iter().map(|one| one.op.to_string()).collect()
    };
    assert_eq!((names("game1"), names("game2")), (vec!["x".into()], vec!["x".into(), "y".into()]));
    assert_eq!(catalog.game("game2").unwrap().position("y"), Some(1));
    assert_eq!(catalog.template("game2", "x").unwrap().dialect, Dialect::Sqlite);
    assert_eq!(catalog.games().len(), 2);
}

#[test]
fn every_finding_says_how_to_mend_it() {
    let broken = TRANSFER.replace("exec", "some").replace("qty int", "qty rows(a int)");
    for text in [&broken, "-- @kidn\nSELECT ?", "-- @kind page\nDELETE FROM t"] {
        let findings = load_on(&[("_base/x.sql", text)], Dialect::Mysql).unwrap_err();
        assert!(!findings.is_empty());
        assert!(
            findings.iter().all(|finding| !finding.fix.is_empty() && !finding.message.is_empty())
        );
    }
}
