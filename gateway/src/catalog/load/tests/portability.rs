//! What one dialect reads differently from others, or not at all.

use super::*;

/// How many portability findings a base template has on a dialect; it has no others, and all are errors.
#[track_caller]
fn told(text: &str, dialect: Dialect) -> usize {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &[("_base/x.sql", text)]);
    let found = survey(root.path(), &games(&[("game1", dialect)])).findings;
    let is_ours = |one: &Finding| one.rule == Rule::Portability && one.severity == Severity::Error;
    assert!(found.iter().all(is_ours), "{found:#?}");
    found.len()
}

#[test]
fn what_oracle_cannot_read_is_told_of_a_game_on_oracle() {
    let oracle = [
        READ.replacen("t.id = :id", "t.level = :id", 1),
        READ.replacen(":id", ":id AND t.s <> ''", 1),
        READ.replacen(":id", ":id FETCH FIRST 1 ROWS ONLY FOR UPDATE", 1),
        READ.replacen("id int", "id list(int) max_items=1001", 1).replacen(
            "t.id = :id",
            "LOWER(t.id) IN (:id)",
            1,
        ),
        READ.replacen("id int", "id list(int) max_items=1001", 1).replacen(
            "t.id = :id",
            "1 + t.id IN (:id)",
            1,
        ),
        WRITE.replacen("SET a = 1", "SET comment = 1", 1),
    ];
    for text in &oracle {
        assert_eq!(told(text, Dialect::Oracle), 1, "{text}");
        let narrowed = text.replacen("-- @allow", "-- @dialects mysql, sqlite\n-- @allow", 1);
        assert_eq!(told(&narrowed, Dialect::Oracle), 0, "{narrowed}");
    }
    let listed = |count: &str, condition: &str| {
        let text = READ.replacen("id int", &format!("id list(int) max_items={count}"), 1);
        told(&text.replacen("t.id = :id", condition, 1), Dialect::Oracle)
    };
    assert_eq!(listed("1000", "LOWER(t.id) IN (:id)"), 0);
    // More of them are several lists.
    assert_eq!(listed("10000", "t.id IN (:id)"), 0);
    assert_eq!(listed("1001", "t.a > 5 AND \"T\".id NOT IN (:id)"), 0);
}

/// `sql` as the one fault of a read or a write on Oracle.
#[track_caller]
fn oracle(text: &str, old: &str, new: &str) {
    assert!(text.contains(old), "{old}");
    assert_eq!(told(text, Dialect::Oracle), 0, "{text}");
    let text = text.replacen(old, new, 1);
    assert_eq!(told(&text, Dialect::Oracle), 1, "{text}");
    assert_eq!(told(&text, Dialect::Sqlite), 0, "{text}");
}

#[test]
fn shape_of_a_statement_that_oracle_does_not_take_is_told() {
    oracle(READ, "FROM t", "FROM t AS t");
    oracle(READ, "FROM t", "FROM s.t AS t");
    oracle(READ, "FROM t", "FROM u, t AS t");
    oracle(READ, "FROM t", "FROM (SELECT a, id FROM u) AS t");
    oracle(READ, "FROM t", "FROM u JOIN t AS t ON t.id = u.id");
    oracle(READ, "t.a FROM t", "(SELECT 1) AS a FROM t");
    oracle(READ, ":id", ":id LIMIT 5");
    oracle(READ, ":id", ":id AND EXISTS (SELECT 1 FROM u WHERE u.id = t.id LIMIT 1)");
    oracle(READ, "t.a FROM", &format!("t.{} AS a FROM", "x".repeat(129)));
    oracle(WRITE, "UPDATE t SET", "UPDATE t JOIN u ON u.id = t.id SET");
    let insert =
        WRITE.replacen("UPDATE t SET a = 1 WHERE id = :id", "INSERT INTO t (id) VALUES (:id)", 1);
    oracle(&insert, "(:id)", "(:id), (:id)");
    oracle(&insert, "(:id)", "(:id) ON DUPLICATE KEY UPDATE a = 1");
}

#[test]
fn what_oracle_takes_is_not_told() {
    for (text, old, new) in [
        (READ, "FROM t", "FROM t x, (SELECT 1 AS one FROM dual) u, t"),
        (READ, "t.a FROM", "CAST(t.a AS NUMBER(10)) AS a FROM"),
        (READ, "t.a FROM", "(SELECT MAX(u.a) FROM u) AS a FROM"),
        (READ, ":id", ":id AND EXTRACT(YEAR FROM t.b) = 2026"),
        (READ, ":id", ":id FOR UPDATE SKIP LOCKED"),
        (READ, ":id", ":id FETCH FIRST 5 ROWS ONLY"),
        (READ, ":id", ":id AND t.b > t.c + INTERVAL '1' DAY"),
        (READ, "SELECT", "WITH u AS (SELECT 1 AS a FROM dual) SELECT"),
    ] {
        let text = text.replacen(old, new, 1);
        assert_eq!(told(&text, Dialect::Oracle), 0, "{text}");
    }
    let own =
        "SELECT t.a FROM t WHERE t.id = :id AND (rownum, level) IN (SELECT u.rowid, user FROM u)\n";
    check_on(Dialect::Oracle, &[("_base/x.sql", READ), ("_base/x.oracle.sql", own)], &[]);
    let files =
        [("_base/x.sql", READ), ("_base/x.oracle.sql", "SELECT `t`.a FROM t WHERE id = :id")];
    check_on(Dialect::Oracle, &files, &[Rule::Portability]);
}

#[test]
fn what_a_dialect_cannot_read_is_not_told_of_games_on_others() {
    for other in [Dialect::Mysql, Dialect::Sqlite] {
        assert_eq!(told(&WRITE.replacen("SET a = 1", "SET share = 1", 1), other), 0, "{other}");
    }
    let rank = WRITE.replacen("SET a = 1", "SET rank = 1", 1);
    assert_eq!((told(&rank, Dialect::Mysql), told(&rank, Dialect::Sqlite)), (1, 0));
    let range = READ.replacen("t.id = :id", "(t.id, t.a) < (:id, 1)", 1);
    assert_eq!((told(&range, Dialect::Mysql), told(&range, Dialect::Sqlite)), (1, 0));
}

#[test]
fn clock_of_the_database_is_told_on_every_dialect() {
    for clock in ["NOW()", "SYSDATE", "current_timestamp", "datetime('now')"] {
        let text = READ.replacen(":id", &format!(":id AND t.x < {clock}"), 1);
        assert_eq!(told(&text, Dialect::Sqlite), 1, "{clock}");
    }
    assert_eq!(told(&READ.replacen(":id", ":id AND t.now < 5", 1), Dialect::Sqlite), 0);
}

#[test]
fn step_that_an_override_replaces_is_not_asked_about() {
    let base = "-- @kind tx\n-- @allow admin\n-- @step a exec\nINSERT INTO t (b) VALUES ('')\n";
    let over = "-- @replace step a\n\n-- @step a exec\nINSERT INTO t (b) VALUES (NULL)\n";
    assert_eq!(told(base, Dialect::Oracle), 1);
    check_on(Dialect::Oracle, &[("_base/x.sql", base), ("_base/x.oracle.sql", over)], &[]);
    let worse = over.replace("NULL", "SYSDATE");
    let files = [("_base/x.sql", base), ("_base/x.oracle.sql", &worse)];
    check_on(Dialect::Oracle, &files, &[Rule::Portability]);
}
