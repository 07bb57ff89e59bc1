//! A game with a mirror has its operations on both databases, under one contract.

use super::*;
use crate::catalog::MirroredGame;

/// What a load of `game1` on one dialect with a mirror on another refuses, as `gateway check` tells it too.
#[track_caller]
fn told(files: &[(&str, &str)], pair: [Dialect; 2], disabled: &[&str]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), files);
    let [dialect, mirror] = pair;
    let id = GameId::new("game1").unwrap();
    let disabled = disabled.iter().map(|op| OpId::new(op).unwrap()).collect();
    let mirrors = [MirroredGame { id: id.clone(), dialect, mirror, disabled }];
    let shown = |findings: Vec<Finding>| -> Vec<String> {
        findings.iter().map(|one| format!("{one}; {}", one.fix)).collect()
    };
    let loaded = Catalog::load_mirrored(root.path(), &[(id.clone(), dialect)], &mirrors);
    let checked =
        survey(root.path(), &[(id.clone(), dialect), (id, mirror)]).with_mirrors(&mirrors);
    let refused = shown(loaded.err().unwrap_or_default());
    assert_eq!(shown(checked.findings), refused, "check says what a start says");
    refused
}

/// Every two dialects that are not one.
fn pairs() -> impl Iterator<Item = [Dialect; 2]> {
    let all = Dialect::ALL;
    all.into_iter().flat_map(move |one| all.map(|other| [one, other])).filter(|[a, b]| a != b)
}

#[test]
fn operation_that_either_database_lacks_is_refused_whichever_of_two_dialects_they_are() {
    for pair in pairs() {
        for (here, there, whose) in [(pair[0], pair[1], "mirror"), (pair[1], pair[0], "database")] {
            let only = format!("-- @dialects {here}\n{READ}");
            let files = [("_base/x.sql", READ), ("_base/t/only.sql", &*only)];
            let expected = format!(
                "_base/t/only.sql:1:14: error[mirror]: `t.only` of game1 is on {here} and not on {there}, \
                 the dialect of the game's {whose}; add {there} to `@dialects`, and write \
                 `_base/t/only.{there}.sql` if it needs a statement of its own, or turn it off with \
                 `games.game1.disabled_operations` for as long as the game has a mirror"
            );
            assert_eq!(told(&files, pair, &[]), [expected]);
            assert_eq!(told(&files, pair, &["t.only"]), [""; 0], "it is turned off");
            assert_eq!(told(&files, [here, here], &[]), [""; 0], "both are of one dialect");
        }
    }
}

#[test]
fn operation_that_has_nothing_but_a_file_for_one_dialect_is_refused_with_both_files_to_write() {
    let pair = [Dialect::Sqlite, Dialect::Mysql];
    let found = told(&[("game1/t/only.mysql.sql", READ)], pair, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    let fix = "write its contract to `game1/t/only.sql` and the statement to `game1/t/only.sqlite.sql`, or turn";
    assert!(found[0].contains(fix), "{found:?}");
}

/// No file can put a procedure on SQLite.
#[test]
fn call_that_sqlite_cannot_have_is_to_be_turned_off_and_nothing_else() {
    let call = "-- @kind call writes\n-- @dialects oracle, mysql\n-- @param id int\n-- @allow admin\n\
                -- @stale_ok nothing is cached\nCALL p(:id)\n";
    let found = told(&[("_base/x.sql", call)], [Dialect::Sqlite, Dialect::Mysql], &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("; turn it off with `games.game1.disabled_operations`"), "{found:?}");
    assert_eq!(
        told(&[("_base/x.sql", call)], [Dialect::Oracle, Dialect::Mysql], &[]),
        [""; 0],
        "both have it"
    );
}

#[test]
fn operation_that_has_another_contract_on_the_mirror_is_refused_at_the_file_that_says_so() {
    let own = "-- @param id int max=5\nSELECT t.a FROM t WHERE t.id = :id\n";
    for pair in [[Dialect::Mysql, Dialect::Sqlite], [Dialect::Sqlite, Dialect::Mysql]] {
        let found = told(&[("_base/x.sql", READ), ("_base/x.mysql.sql", own)], pair, &[]);
        let [one, other] = pair;
        let expected = format!(
            "_base/x.mysql.sql:1:1: error[mirror]: `x` of game1 has another @param on {one} than on {other}"
        );
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
    }
}

/// What is wrong with a body is told once, and not as an operation that is not there.
#[test]
fn body_that_the_mirrors_dialect_lacks_is_told_as_that_alone() {
    let contract = "-- @kind many\n-- @param id int\n-- @result a int\n-- @allow admin\n";
    let body = "SELECT t.a FROM t WHERE t.id = :id\n";
    let files = [("_base/x.sql", contract), ("_base/x.sqlite.sql", body)];
    let found = told(&files, [Dialect::Sqlite, Dialect::Mysql], &[]);
    assert!(found.len() == 1 && found[0].contains("error[body-missing]"), "{found:?}");
}
