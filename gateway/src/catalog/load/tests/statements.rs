//! Keys, parameters, bodies, columns and pages of one template.

use super::*;

#[test]
fn keys_that_are_missing_or_misplaced_are_findings() {
    with(READ, "-- @kind many\n", "", &[Rule::KeyMissing]);
    with(READ, "-- @allow admin\n", "", &[Rule::KeyMissing]);
    with(READ, "-- @result a int\n", "", &[Rule::KeyMissing]);
    with(PAGE, "-- @page keyset = t.a DESC, b default=5 max=10\n", "", &[Rule::KeyMissing]);
    with(READ, "FROM t", "-- @limit 5\nFROM t", &[Rule::KeyMisplaced]);
    with(READ, "@kind", "@kidn", &[Rule::KeyUnknown]);
    with(READ, "-- @allow admin\n", "-- @allow admin\n-- @allow gm\n", &[Rule::KeyDuplicate]);
    with(READ, "many", "one\n-- @limit 5", &[Rule::KeyValue]);
    with(READ, "many", "many\n-- @invalidate a", &[Rule::KeyValue]);
    with(WRITE, "exec", "exec\n-- @cache l1=1s", &[Rule::KeyValue]);
    with(READ, "many", "many\n-- @page keyset = a", &[Rule::KeyValue]);
    with(READ, "many", "many\n-- @include a = b(id)", &[Rule::KeyValue, Rule::Include]);
}

#[test]
fn keys_that_nothing_runs_are_refused_as_not_built() {
    for key in ["shard id", "route replica max_lag=2s", "encrypt id"] {
        with(WRITE, "exec", &format!("exec\n-- @{key}"), &[Rule::NotBuilt]);
    }
    with(READ, "many", "many\n-- @cache l1=1s stale=5s tag=a", &[Rule::NotBuilt]);
    with(WRITE, "exec", "exec\n-- @route primary", &[]);
}

#[test]
fn parameters_declared_and_used_agree() {
    with(READ, ":id", "1", &[Rule::ParamUnused]);
    with(READ, ":id", ":id AND t.x = :y", &[Rule::ParamUndeclared]);
    with(READ, ":id", ":id AND t.x = :_later", &[Rule::ParamUndeclared]);
    with(READ, ":id", ":id AND t.x = :step.col", &[Rule::ParamUndeclared]);
    with(READ, ":id", ":id AND t.x = ?", &[Rule::Placeholder]);
    with(READ, ":id", ":id AND t.x = :_now", &[]);
    with(
        READ,
        "-- @param id int",
        "-- @param id int\n-- @param limit int",
        &[Rule::ParamLimit, Rule::ParamUnused],
    );
    with(
        READ,
        "-- @param id int",
        "-- @param id int\n-- @param sort int",
        &[Rule::ParamLimit, Rule::ParamUnused],
    );
    with(READ, ":id", "1 -- :id", &[Rule::ParamUnused]);
}

#[test]
fn parameter_that_only_the_header_uses_counts_as_used() {
    for key in ["require id > 0 else 2100 BAD", "cache l1=1s tag=a:{id}", "allow b(id = claim.sub)"]
    {
        let text = READ.replacen(":id", "1", 1).replacen("many", &format!("many\n-- @{key}"), 1);
        let text =
            if key.starts_with("allow") { text.replacen("-- @allow admin\n", "", 1) } else { text };
        one(&text, &[]);
    }
}

#[test]
fn templates_have_at_most_64_parameters() {
    let text = |count: usize| {
        let params: Vec<String> = (0..count).map(|i| format!("-- @param p{i} int\n")).collect();
        let params = params.concat();
        let binds: Vec<String> = (0..count).map(|i| format!(":p{i}")).collect();
        format!(
            "-- @kind many\n{params}-- @result a int\n-- @allow x\nSELECT a FROM t WHERE a IN ({})",
            binds.join(",")
        )
    };
    one(&text(64), &[]);
    one(&text(65), &[Rule::ParamLimit]);
}

#[test]
fn markers_must_be_those_of_the_language() {
    with(READ, "WHERE", "--? x\nWHERE", &[Rule::Marker, Rule::Placeholder]);
    with(READ, ":id", ":id -- ?", &[Rule::OptionalLine]);
    with(READ, ":id", ":id -- ? why", &[Rule::Marker]);
    with(READ, ":id", ":id -- #keyste", &[Rule::Marker]);
    with(READ, "t.a FROM", "/* #srot */ t.a FROM", &[Rule::Marker]);
    with(READ, ":id", ":id AND t.b = 2--1", &[Rule::Marker]);
    with(READ, ":id", ":id -- a comment", &[]);
    with(READ, ":id", ":id AND t.b = 'x", &[Rule::Lex]);
}

#[test]
fn optional_lines_go_as_a_whole() {
    let line = |line: &str, rules: &[Rule]| {
        let text =
            READ.replacen("-- @param id int", "-- @param id int\n-- @param o int optional", 1);
        one(&text.replacen(":id\n", &format!(":id\n{line}\n"), 1), rules);
    };
    line("AND t.o = :o -- ?", &[]);
    line("AND (t.o = :o -- ?\n)", &[Rule::OptionalLine]);
    line("ORDER BY :o -- ?", &[Rule::OptionalLine]);
    line("AND t.o = 5 -- ?", &[Rule::ParamUnused, Rule::OptionalLine]);
}

#[test]
fn lists_stand_alone_in_an_in() {
    let list = |condition: &str, param: &str, rules: &[Rule]| {
        let text = READ.replacen("id int", param, 1);
        one(&text.replacen("t.id = :id", condition, 1), rules);
    };
    list("t.id IN (:id)", "id list(int)", &[]);
    list("t.id IN (:id)", "id list(int) optional", &[Rule::List]);
    list("t.id IN (:id, 5)", "id list(int)", &[Rule::List]);
    list("t.id = :id", "id list(int)", &[Rule::List]);
    list("t.id = (:id)", "id list(int)", &[Rule::List]);
    list("t.id IN (:id) IS NULL", "id list(int)", &[Rule::List]);
    list("t.id IN (:id) = 0", "id list(int)", &[Rule::List]);
}

#[test]
fn lists_together_fit_into_one_statement() {
    let lists = |first: u32, second: u32| {
        READ.replacen(
            "-- @param id int",
            &format!(
                "-- @param id list(int) max_items={first}\n-- @param b list(int) max_items={second}"
            ),
            1,
        )
        .replacen("t.id = :id", "t.id IN (:id) AND t.b IN (:b)", 1)
    };
    let on =
        |dialect, text: &str, rules: &[Rule]| check_on(dialect, &[("_base/x.sql", text)], rules);
    // 16384 and 16384 placeholders; 16384 and 8192.
    on(Dialect::Sqlite, &lists(10_000, 10_000), &[Rule::List]);
    on(Dialect::Sqlite, &lists(10_000, 8_192), &[]);
    on(Dialect::Mysql, &lists(10_000, 10_000), &[]);
    let step = "-- @kind tx\n-- @param a list(int) max_items=10000\n-- @allow admin\n-- @step s exec\n\
         DELETE FROM t WHERE a IN (:a) AND b IN (:a)\n";
    on(Dialect::Sqlite, step, &[Rule::List]);
}

#[test]
fn lists_that_may_not_be_empty_are_those_of_writes_and_not_in() {
    let nonempty = |text: &str| template(text, Dialect::Mysql).plan.nonempty;
    let read = READ.replacen("id int", "id list(int)", 1);
    assert_eq!(nonempty(&read.replacen("= :id", "IN (:id)", 1)), 0);
    assert_eq!(nonempty(&read.replacen("= :id", "NOT IN (:id)", 1)), 1);
    let write = WRITE.replacen("id int", "id list(int)", 1);
    assert_eq!(nonempty(&write.replacen("= :id", "IN (:id)", 1)), 1);
    for (condition, expected) in [
        ("NOT t.id IN (:id)", 1),
        ("NOT (t.a = 1 OR t.id IN (:id))", 1),
        ("NOT EXISTS (SELECT u.a FROM u WHERE u.b = 1\n AND u.id IN (:id))", 1),
        ("NOT (t.a = 1) AND t.id IN (:id)", 0),
        ("t.a IS NOT NULL AND (t.b = 1 OR t.id IN (:id))", 0),
        ("EXISTS (SELECT u.a FROM u WHERE NOT u.b AND u.id IN (:id))", 0),
    ] {
        assert_eq!(nonempty(&read.replacen("t.id = :id", condition, 1)), expected, "{condition}");
    }
}

#[test]
fn statement_is_one_and_of_its_kind() {
    with(READ, ":id\n", ":id;\n", &[]);
    with(READ, ":id\n", ":id; DELETE FROM t\n", &[Rule::Statement]);
    with(READ, "many", "exec", &[Rule::Statement, Rule::KeyValue]);
    with(WRITE, "exec", "many\n-- @result a int", &[Rule::ResultColumns, Rule::Statement]);
    with(
        WRITE,
        "UPDATE t SET a = 1 WHERE id = :id",
        "DROP TABLE t -- :id",
        &[Rule::ParamUnused, Rule::Statement],
    );
    for (resolution, rules) in [
        ("OR ROLLBACK", &[Rule::Statement][..]),
        ("or /* any */ fail", &[Rule::Statement]),
        ("OR IGNORE", &[]),
    ] {
        let conflict = WRITE.replacen("UPDATE t", &format!("UPDATE {resolution} t"), 1);
        check_on(Dialect::Sqlite, &[("_base/t.sql", &*conflict)], rules);
    }
    let like = READ.replacen("id int", "id string(5) like=prefix", 1);
    one(&like.replacen("= :id", "LIKE :id", 1), &[]);
    one(&like, &[Rule::Statement]);
    one(&like.replacen("= :id", "LIKE :id ESCAPE '!'", 1), &[Rule::Statement]);
    one(&like.replacen("= :id", "LIKE UPPER(:id) ESCAPE '!'", 1), &[Rule::Statement]);
    one(&like.replacen("= :id", "LIKE TRIM(:id)", 1), &[Rule::Statement]);
    let folded = like.replacen("t.id = :id", "(LOWER(t.id) LIKE LOWER(:id))", 1);
    let folded = template(&folded, Dialect::Oracle);
    let sql = &folded.plan.fixed.as_ref().unwrap().sql;
    assert!(sql.ends_with(r"(LOWER(t.id) LIKE LOWER(:b1) ESCAPE '\')"), "{sql}");
    one("-- @kind many\n-- @allow a\n-- @result a int\n", &[Rule::BodyMissing]);
}

#[test]
fn columns_declared_and_selected_agree() {
    with(READ, "t.a FROM", "t.a, t.b FROM", &[Rule::ResultColumns]);
    with(READ, "a int\n", "a int, b int\n", &[Rule::ResultColumns]);
    with(READ, "a int\n", "a int, a int\n", &[Rule::ResultColumns]);
    with(READ, "t.a FROM", "t.* FROM", &[Rule::ResultColumns]);
    with(READ, "t.a FROM", "COUNT(*) FROM", &[Rule::ResultColumns]);
    with(READ, "t.a FROM", "COUNT(*) AS A FROM", &[]);
    with(READ, "t.a FROM", "t.a, t.b AS a FROM", &[Rule::ResultColumns]);
    with(READ, "many", "many\n-- @version b", &[Rule::ResultColumns]);
}

#[test]
fn pages_have_a_keyset_a_marker_and_no_limit_of_their_own() {
    with(PAGE, "AND 1 = 1 -- #keyset", "AND 1 = 1", &[Rule::Page]);
    with(PAGE, "AND 1 = 1 -- #keyset", "AND t.x = 1 -- #keyset", &[Rule::Page]);
    with(PAGE, "t.a DESC, b\n", "t.a DESC, b\nLIMIT 5", &[Rule::Page, Rule::Order]);
    with(PAGE, "ORDER BY t.a DESC, b", "ORDER BY t.a, b", &[Rule::Order]);
    with(PAGE, "ORDER BY t.a DESC, b", "ORDER BY t.a DESC, b ASC", &[]);
    with(PAGE, "keyset = t.a DESC, b", "keyset = t.c DESC, b", &[Rule::Order, Rule::Order]);
    with(PAGE, "keyset = t.a DESC, b", "keyset = @sort", &[Rule::Order]);
    with(READ, ":id\n", ":id\nAND 1 = 1 -- #keyset\n", &[Rule::Page]);
}

#[test]
fn orders_are_chosen_by_an_enum_of_their_names() {
    with(SEARCH, "enum(newest,level) default=newest", "enum(newest,level)", &[]);
    with(
        SEARCH,
        "enum(newest,level) default=newest",
        "enum(newest,level) optional",
        &[Rule::Order],
    );
    with(SEARCH, "enum(newest,level)", "enum(newest,level,name)", &[Rule::Order]);
    with(SEARCH, "enum(newest,level)", "enum(newest,name)", &[Rule::Order]);
    with(SEARCH, "/* #sort */ ", "", &[Rule::Order]);
    with(READ, ":id\n", ":id\nORDER BY /* #sort */ t.a\n", &[Rule::Order]);
}
