//! Mistakes that people make when they write a template: each is told once, with what to write.

use super::*;

/// What is told of files, on MySQL: `place rule: message; fix`.
fn told(files: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), files);
    let pairs = games(&[("game1", Dialect::Mysql), ("game1", Dialect::Sqlite)]);
    let findings = survey(root.path(), &pairs).findings;
    let shown =
        |one: &Finding| format!("{} {}: {}; {}", one.place, one.rule.id(), one.message, one.fix);
    findings.iter().map(shown).collect()
}

#[track_caller]
fn check(text: &str, old: &str, new: &str, expected: &str) {
    assert!(text.contains(old), "{old}");
    assert_eq!(told(&[("_base/x.sql", &text.replacen(old, new, 1))]), [expected]);
}

#[test]
fn file_with_nothing_in_it_is_one_fault() {
    for text in ["", "\n\n", "-- notes\n"] {
        let expected = "_base/x.sql:1:1 file: there is neither a contract nor a statement in it; \
                        write a contract (`-- @kind …`) and a statement, or remove the file";
        assert_eq!(told(&[("_base/x.sql", text)]), [expected]);
    }
}

#[test]
fn override_of_an_operation_that_is_not_there_is_one_fault() {
    let expected = "game1/t/gte.sql:1:1 file: it changes `t.gte`, and _base has no such operation; \
                    mend the file's name, or write a whole operation: @kind, @allow and a statement";
    let cache = "-- @cache l1=1m tag=t:{id}\n";
    assert_eq!(told(&[("_base/t/get.sql", READ), ("game1/t/gte.sql", cache)]), [expected]);
    assert_eq!(told(&[("_base/t/get.sql", READ), ("game1/t/get.sql", cache)]), [""; 0]);
}

#[test]
fn contract_without_a_statement_is_told_once_and_one_that_a_dialect_lacks_with_the_file_to_write() {
    let (contract, body) = READ.split_once("SELECT").unwrap();
    let expected = "_base/x.sql:1:1 body-missing: `x` has no statement; \
                    write it below the header: the contract is there, and no SQL";
    assert_eq!(told(&[("_base/x.sql", contract)]), [expected]);
    let body = format!("SELECT{body}");
    let expected = "game1/t/x.sql:1:1 body-missing: `t.x` has no body for sqlite; \
                    add `game1/t/x.sqlite.sql`, or name its dialects with @dialects";
    assert_eq!(told(&[("game1/t/x.sql", contract), ("game1/t/x.mysql.sql", &body)]), [expected]);
}

#[test]
fn parameter_in_quotes_is_refused_also_where_the_header_uses_it() {
    let tagged = WRITE.replace("@allow", "@invalidate t:{id}\n-- @allow");
    check(
        &tagged,
        "= :id",
        "= ':id'",
        "_base/x.sql:5:31 placeholder: `':id'` is a text, not the parameter; write `:id` without quotes",
    );
    for text in ["= ':other' AND id = :id", "= ': id' AND id = :id", "= '12:id' AND id = :id"] {
        let written = tagged.replace("= :id", text);
        assert_eq!(told(&[("_base/x.sql", &written)]), [""; 0], "{text}");
    }
}

#[test]
fn key_without_a_space_before_it_is_one_fault() {
    check(
        READ,
        "-- @allow admin",
        "--@allow admin",
        "_base/x.sql:4:1 marker: a space is missing after `--`; write `-- @allow admin`",
    );
}

#[test]
fn codes_and_lists_are_told_with_what_to_write() {
    check(
        WRITE,
        "exec",
        "exec affected = 1 else NOT_FOUND",
        "_base/x.sql:1:33 key-value: @kind: expected a number, got `NOT_FOUND`; \
         write a code of 2100 to 2999 and its name: `else 2101 PLAYER_NOT_FOUND`",
    );
    check(
        READ,
        "a int",
        "a int b int",
        "_base/x.sql:3:18 key-value: @result: did not expect `b`; put a `,` before it, or remove it",
    );
}

#[test]
fn role_that_looks_like_one_of_the_others_is_a_warning() {
    let files = ["_base/a.sql", "_base/b.sql", "_base/c.sql"].map(|file| (file, READ));
    let with = |role: &str| {
        let odd = READ.replace("@allow admin", &format!("@allow {role}"));
        told(&[&files[..], &[("_base/x.sql", &odd)]].concat())
    };
    let expected =
        "_base/x.sql:4:11 allow: no other operation names the role `amdin`; did you mean `admin`?";
    assert_eq!(with("amdin"), [expected]);
    assert_eq!(with("shop"), [""; 0]);
    // Two files are no custom that a third one could miss.
    let odd = READ.replace("@allow admin", "@allow amdin");
    assert_eq!(told(&[files[0], files[1], ("_base/x.sql", &odd)]), [""; 0]);
}

#[test]
fn ends_of_a_script_are_told_as_that_and_a_second_statement_as_one() {
    let at = "_base/x.sql:5:35 statement:";
    for ends in [";;\n", ";\n/\n", "; ; -- done\n"] {
        let expected =
            format!("{at} more than one `;` ends it, or a `/`; end it with one `;`, or with none");
        check(READ, ":id\n", &format!(":id{ends}"), &expected);
    }
    let expected = format!(
        "{at} a second statement begins here; keep one statement; several are the steps of a @kind tx"
    );
    check(READ, ":id\n", ":id; DELETE FROM t;\n", &expected);
    assert_eq!(told(&[("_base/x.sql", &READ.replace(":id\n", ":id;\n"))]), [""; 0]);
}

#[test]
fn name_that_is_no_operations_is_told_with_the_one_that_was_meant_or_the_dialects_that_have_it() {
    let root = tempfile::tempdir().unwrap();
    let only = READ.replacen("--", "-- @dialects oracle, mysql\n--", 1);
    let broken = READ.replace("@kind", "@kid");
    let files = [("_base/t/get.sql", READ), ("game1/t/only.sql", &only), ("_base/b.sql", &broken)];
    write(root.path(), &files);
    let pairs = games(&[("game1", Dialect::Sqlite)]);
    let survey = survey(root.path(), &pairs);
    let told = |op: &str| survey.absence(&pairs[0].0, &OpId::new(op).unwrap(), Dialect::Sqlite);
    assert_eq!(told("t.gte"), "game1 has no operation t.gte: did you mean t.get?");
    assert_eq!(told("elsewhere"), "game1 has no operation elsewhere");
    assert_eq!(told("t.only"), "game1 has t.only on oracle and mysql only, not on sqlite");
    assert_eq!(told("b"), "game1 has no good operation b on sqlite");
}
