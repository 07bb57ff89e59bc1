//! What the bodies of one operation do on two dialects.

use super::*;

/// The messages about the bodies of `game1`'s operations, on MySQL.
fn told(files: &[(&str, &str)]) -> Vec<String> {
    told_on(Dialect::Mysql, files)
}

fn told_on(dialect: Dialect, files: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), files);
    let survey = survey(root.path(), &games(&[("game1", dialect)]));
    assert_eq!(survey.findings, [], "before they are compared");
    let findings = survey.with_bodies().findings;
    assert!(findings.iter().all(|one| one.rule == Rule::Bodies && !one.fix.is_empty()));
    findings.iter().map(|one| format!("{} {}", one.place, one.message)).collect()
}

const LIST: &str = "-- @kind many\n-- @param id int\n-- @param b int optional\n-- @result a int, c int\n\
                    -- @allow admin\nSELECT t.a, t.c FROM t\nWHERE t.id = :id\nAND t.b = :b -- ?\n\
                    ORDER BY t.a DESC, t.c\n";
const SAME: &str = "SELECT u.a, u.c FROM t u\nWHERE u.id = :id\nAND u.b = :b -- ?\n\
                    ORDER BY u.a DESC, u.c ASC\n";

#[track_caller]
fn list(old: &str, new: &str, expected: &[&str]) {
    assert!(SAME.contains(old), "{old}");
    let oracle = SAME.replacen(old, new, 1);
    assert_eq!(told(&[("_base/x.sql", LIST), ("_base/x.oracle.sql", &oracle)]), expected);
}

#[test]
fn bodies_that_do_the_same_in_other_words_are_content() {
    list("SELECT", "SELECT", &[]);
    list("SELECT u.a, u.c FROM t u", "SELECT NVL(u.a, 0) AS a, u.c FROM s.t u", &[]);
    list("u.c ASC", "u.c NULLS FIRST", &[]);
    let with = "WITH u (a, c, id, b) AS (SELECT t.a, t.c, t.id, t.b FROM t), v AS (SELECT 1 AS one FROM dual)\n\
                SELECT u.a, u.c FROM u";
    list("SELECT u.a, u.c FROM t u", with, &[]);
}

#[test]
fn what_a_read_does_on_one_dialect_only_is_told_at_its_body() {
    let at = "_base/x.oracle.sql:1:1";
    let one = |message: &str| format!("{at} {message}");
    list("u.a, u.c FROM", "u.c, u.a FROM", &[&one("it selects c, a on Oracle, and a, c on MySQL")]);
    list(" DESC", "", &[&one("it is ordered by a, c on Oracle, and a desc, c on MySQL")]);
    list(
        "\nORDER BY u.a DESC, u.c ASC",
        "",
        &[&one("it is ordered by nothing on Oracle, and a desc, c on MySQL")],
    );
    list(
        "u.c ASC",
        "LOWER(u.c)",
        &[&one("it is ordered by a desc, lower(c) on Oracle, and a desc, c on MySQL")],
    );
    list("= :b -- ?", "= :b", &[&one("it has on optional lines `b` on MySQL only")]);
    list("= :id", "= :id AND u.d < :_now", &[&one("it binds `_now` on Oracle only")]);
    list("FROM t u", "FROM t u JOIN v ON v.id = u.id", &[&one("it reads `v` on Oracle only")]);
    let locks = "it locks with FOR UPDATE SKIP LOCKED on Oracle, and with nothing on MySQL";
    list("c ASC", "c ASC FOR UPDATE SKIP LOCKED", &[&one(locks)]);
}

#[test]
fn game_on_the_dialect_that_has_its_own_body_is_told_the_same() {
    let oracle = SAME.replacen(" DESC", "", 1);
    let files = [("_base/x.sql", LIST), ("_base/x.oracle.sql", oracle.as_str())];
    assert_eq!(told_on(Dialect::Oracle, &files), told(&files));
    let alone = LIST.replacen("SELECT", "-- nothing\nSELECT", 1);
    assert_eq!(told_on(Dialect::Oracle, &[("_base/x.oracle.sql", alone.as_str())]), [""; 0]);
    let narrowed = LIST.replacen("-- @allow", "-- @dialects mysql\n-- @allow", 1);
    assert_eq!(told(&[("_base/x.sql", &narrowed), ("_base/x.oracle.sql", &oracle)]), [""; 0]);
}

#[test]
fn writes_do_the_same_to_the_same_tables() {
    let upsert = "-- @kind exec\n-- @param id int\n-- @allow admin\n\
                  INSERT INTO t (id) VALUES (:id) ON DUPLICATE KEY UPDATE a = 1\n";
    let both =
        |oracle: &str| told(&[("_base/x.mysql.sql", upsert), ("_base/x.oracle.sql", oracle)]);
    let header = "-- @kind exec\n-- @param id int\n-- @allow admin\n";
    let merge = format!(
        "{header}MERGE INTO t USING dual ON (t.id = :id) WHEN MATCHED THEN UPDATE SET a = 1\n\
         WHEN NOT MATCHED THEN INSERT (id) VALUES (:id)\n"
    );
    assert_eq!(both(&merge), [""; 0]);
    assert_eq!(both(&merge.replacen("INTO t", "INTO t2 t", 1)).len(), 2);
    let update = format!("{header}UPDATE t SET a = 1 WHERE id = :id\n");
    assert_eq!(
        both(&update),
        ["_base/x.oracle.sql:4:1 `UPDATE` on Oracle, and `INSERT` on MySQL",]
    );
}

#[test]
fn steps_are_the_same_but_for_what_is_read_to_lock() {
    let steps = "-- @kind tx\n-- @param id int\n-- @allow admin\n\
                 -- @step before optional\nSELECT t.a FROM t WHERE t.id = :id FOR UPDATE\n\
                 -- @step change exec affected = 1 when before.affected = 1\n\
                 UPDATE t SET a = 1 WHERE id = :id\n\
                 -- @step note exec\nINSERT INTO u (id) VALUES (:id)\n";
    let own = steps.split_once("-- @step").unwrap().1;
    let own = format!("-- @step{own}");
    let both = |old: &str, new: &str| {
        assert!(own.contains(old), "{old}");
        let oracle = own.replacen(old, new, 1);
        told(&[("_base/x.sql", steps), ("_base/x.oracle.sql", &oracle)])
    };
    let first = "_base/x.oracle.sql:1:1";
    assert_eq!(both("@step", "@step"), [""; 0]);
    assert_eq!(both("note", "remark").len(), 1);
    assert_eq!(
        both(" FOR UPDATE", ""),
        [format!("{first} it locks with nothing on Oracle, and with FOR UPDATE on MySQL")]
    );
    assert_eq!(
        both("affected = 1 when", "affected >= 1 when"),
        [
            "_base/x.oracle.sql:3:1 the step is `exec affected >= 1 when before.affected = 1` on Oracle, \
          and `exec affected = 1 when before.affected = 1` on MySQL"
        ]
    );
    let coded = "exec affected = 1 else 2100 LOST when";
    assert_eq!(both("exec affected = 1 when", coded).len(), 1);
    let lock =
        "-- @step lock optional\nSELECT p.id FROM p WHERE p.id = :id FOR UPDATE\n-- @step before";
    assert_eq!(both("-- @step before", lock), [""; 0]);
    let unlocked = lock.replace("FOR UPDATE", "");
    assert_eq!(
        both("-- @step before", &unlocked),
        [format!("{first} step `lock` is on Oracle, and not on MySQL")]
    );
}

/// MySQL and SQLite share the statement that Oracle's differs from: one mistake.
#[test]
fn body_that_two_dialects_share_is_compared_with_a_third_ones_once() {
    let root = tempfile::tempdir().unwrap();
    let oracle = SAME.replacen("u.a, u.c FROM", "u.c, u.a FROM", 1);
    write(root.path(), &[("_base/x.sql", LIST), ("_base/x.oracle.sql", &oracle)]);
    let pairs = Dialect::ALL.map(|dialect| ("game1", dialect));
    let findings = survey(root.path(), &games(&pairs)).with_bodies().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].message.contains("it selects c, a on Oracle, and a, c on "),
        "{findings:?}"
    );
}
