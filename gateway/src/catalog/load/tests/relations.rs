//! What a header names, templates among others, and overrides.

use super::*;

#[test]
fn access_rules_name_single_parameters() {
    with(READ, "admin", "player(id = claim.sub)", &[]);
    with(READ, "admin", "player(who = claim.sub)", &[Rule::ParamUndeclared]);
    with(READ, "admin", "public(id = claim.sub)", &[Rule::Allow]);
    with(READ, "admin", "public\n-- @mask id", &[]);
    with(READ, "admin", "admin\n-- @mask who", &[Rule::ParamUndeclared]);
    with(READ, ":id", ":id AND t.x = :_claim.sub", &[]);
    let public = READ.replacen("admin", "admin, public", 1);
    one(&public.replacen(":id", ":id AND t.x = :_claim.sub", 1), &[Rule::Allow]);
    let optional = READ.replacen("id int", "id int optional", 1);
    one(&optional.replacen("admin", "player(id = claim.sub)", 1), &[Rule::Allow]);
}

#[test]
fn routes_name_required_parameters_and_are_unique() {
    let route = |route: &str| READ.replacen("many", &format!("many\n-- @http {route}"), 1);
    one(&route("GET /v1/{game}/x/{id}"), &[]);
    one(&route("GET /v1/{game}/x/{who}"), &[Rule::Http]);
    with(WRITE, "exec", "exec\n-- @http GET /v1/{game}/x/{id}", &[Rule::Http]);
    let other = READ.replace("id", "key_no");
    let other = |route: &str| other.replacen("many", &format!("many\n-- @http {route}"), 1);
    let both = |first: &str, second: &str, rules: &[Rule]| {
        check(&[("_base/a.sql", &route(first)), ("_base/b.sql", &other(second))], rules);
    };
    both("GET /v1/{game}/x/{id}", "GET /v1/{game}/x/{key_no}", &[Rule::Http]);
    both("GET /v1/{game}/x/{id}", "POST /v1/{game}/x/{key_no}", &[]);
    both("GET /v1/{game}/x/{id}", "GET /v1/{game}/x/{key_no}:top", &[]);
}

#[test]
fn caching_is_safe_to_share() {
    let cached = |tag: &str| READ.replacen("many", &format!("many\n-- @cache l1=1s {tag}"), 1);
    one(&cached("tag=a:{id}"), &[]);
    one(&cached("tag=a:{who}"), &[Rule::ParamUndeclared]);
    one(&cached("tag=a:{id}").replacen("id int", "id int optional", 1), &[Rule::Cache]);
    one(&cached("").replacen(":id", ":id AND t.x = :_trace", 1), &[Rule::Cache]);
    let warned = load_on(
        &[("_base/x.sql", &cached("").replacen(":id", ":id AND t.x < :_now", 1))],
        Dialect::Mysql,
    );
    let warnings = warned.unwrap().warnings;
    assert_eq!((warnings.len(), warnings[0].rule), (1, Rule::Cache));
    with(READ, "many", "many\n-- @http_cache public 30s", &[Rule::Http]);
    let public = READ.replacen("admin", "public", 1);
    one(&public.replacen("many", "many\n-- @http_cache public 30s", 1), &[]);
    let personal = public.replacen(":id", ":id AND t.x = :_caller", 1);
    one(&personal.replacen("many", "many\n-- @http_cache public 30s", 1), &[Rule::Http]);
}

#[test]
fn requirements_compare_values_of_one_type() {
    let require = |text: &str, rules: &[Rule]| {
        let read = READ.replacen("-- @param id int", "-- @param id int\n-- @param s string(5)", 1);
        let read = read.replacen(":id", ":id AND t.s = :s", 1);
        one(&read.replacen("many", &format!("many\n-- @require {text} else 2100 BAD"), 1), rules);
    };
    require("id > 5", &[]);
    require("id <> id", &[]);
    require("id = s", &[Rule::KeyValue]);
    require("id = who", &[Rule::ParamUndeclared]);
    require("who = 5", &[Rule::ParamUndeclared]);
}

#[test]
fn codes_have_one_name_and_one_status() {
    let one_of = |not_found: &str| READ.replacen("many", &format!("one else {not_found}"), 1);
    let both = |first: &str, second: &str, rules: &[Rule]| {
        check(&[("_base/a.sql", &one_of(first)), ("_base/b.sql", &one_of(second))], rules);
    };
    both("2100 A", "2100 A", &[]);
    both("2100 A", "2101 B", &[]);
    both("2100 A", "2100 B", &[Rule::Code]);
    both("2100 A", "2101 A", &[Rule::Code]);
    both("2100 A", "2100 A [410]", &[Rule::Code]);
}

#[test]
fn includes_are_reads_of_the_game_without_circles() {
    let parent =
        |include: &str| READ.replacen("many", &format!("one\n-- @include i = {include}"), 1);
    let both = |include: &str, target: &str, rules: &[Rule]| {
        check(&[("_base/a.sql", &parent(include)), ("_base/b.sql", target)], rules);
    };
    both("b(id)", READ, &[]);
    both("b(id = id)", READ, &[]);
    both("b()", READ, &[Rule::Include]);
    both("b(id, who = id)", READ, &[Rule::Include]);
    both("b(who)", READ, &[Rule::ParamUndeclared]);
    both("c(id)", READ, &[Rule::Include]);
    both("b(id)", WRITE, &[Rule::Include]);
    both("b(id)", &READ.replacen("id int", "id date", 1), &[Rule::Include]);
    both("b(id)", &parent("a(id)"), &[Rule::Include, Rule::Include]);
    both("a(id)", READ, &[Rule::Include]);
    both("b(id)", &READ.replacen("many", "mnay", 1), &[Rule::KeyValue]);
    let clash = parent("b(id)").replacen("@include i", "@include a", 1);
    check(&[("_base/a.sql", &clash), ("_base/b.sql", READ)], &[Rule::Include]);
}

#[test]
fn writes_and_pages_have_a_firm_predicate() {
    with(WRITE, " WHERE id = :id", "\nWHERE 1 = 1\nAND id = :id", &[]);
    let optional = WRITE.replacen("id int", "id int optional", 1);
    one(
        &optional.replacen(" WHERE id = :id", "\nWHERE 1 = 1\nAND id = :id -- ?", 1),
        &[Rule::Predicate],
    );
    one(
        &WRITE.replacen("UPDATE t SET a = 1 WHERE id = :id", "DELETE FROM t WHERE :id = 1", 1),
        &[Rule::Predicate],
    );
    with(WRITE, "UPDATE t SET a = 1 WHERE id = :id", "INSERT INTO t (id) VALUES (:id)", &[]);
    let page = PAGE.replacen("id int", "id int optional", 1);
    one(&page.replacen("t.id = :id", "1 = 1\nAND t.id = :id -- ?", 1), &[Rule::Predicate]);
}

#[test]
fn writes_invalidate_what_is_cached_of_their_tables() {
    let cached = READ.replacen("many", "many\n-- @cache l1=1s tag=t:{id}", 1);
    let write = |key: &str| WRITE.replacen("exec", &format!("exec\n{key}"), 1);
    let both = |read: &str, key: &str, rules: &[Rule]| {
        check(&[("_base/r.sql", read), ("_base/w.sql", &write(key))], rules);
    };
    both(&cached, "", &[Rule::Stale]);
    both(&cached, "-- @invalidate t:{id}\n", &[]);
    both(&cached, "-- @invalidate u:{id}\n", &[Rule::Stale]);
    both(&cached, "-- @stale_ok a counter that may lag\n", &[]);
    both(&cached.replacen("many", "many\n-- @stale_ok a ranking", 1), "", &[]);
    both(&cached.replacen("FROM t ", "FROM u t ", 1), "", &[]);
    both(READ, "", &[]);
}

#[test]
fn override_narrows_and_does_not_widen() {
    let base = "-- @kind many\n-- @param id int\n-- @param n list(int) max_items=10\n\
            -- @param s string(5) pattern=a+\n-- @result a int, b bigint as string\n-- @limit 10\n\
            -- @cache l1=10s scope=principal\n-- @allow admin, player(id = claim.sub)\n\
            SELECT a, b FROM t WHERE id = :id AND n IN (:n) AND s = :s\n";
    let over = |over: &str, rules: &[Rule]| {
        check(&[("_base/x.sql", base), ("game1/x.sql", over)], rules);
    };
    let widened = [Rule::Override];
    over("-- @extends\n-- @limit 5", &[]);
    over("-- @limit 11", &widened);
    over("-- @allow admin", &[]);
    over("-- @allow admin, gm", &widened);
    over("-- @allow player", &widened);
    over("-- @allow player(id = claim.sub, s = claim.x)", &[]);
    over("-- @param id bigint", &widened);
    over("-- @param id int optional", &[Rule::Override, Rule::Allow]);
    over("-- @param n list(int) max_items=11", &widened);
    over("-- @param n list(int) max_items=9", &[]);
    over("-- @param s string(5) pattern=b+", &widened);
    over("-- @kind optional", &[Rule::Override, Rule::KeyValue]);
    over("-- @cache l1=11s scope=principal", &widened);
    over("-- @cache l1=9s scope=global", &widened);
    over("-- @cache l1=9s scope=principal", &[]);
    over("-- @result a bigint, b bigint as string", &widened);
    over("-- @result a int\nSELECT a FROM t WHERE id = :id AND n IN (:n) AND s = :s", &[]);
    over("-- @require id > 0 else 2100 BAD", &[]);
}

#[test]
fn extends_needs_something_below_it() {
    check(&[("game1/x.sql", &READ.replacen("many", "many\n-- @extends", 1))], &[Rule::Override]);
    one(&READ.replacen("many", "many\n-- @extends", 1), &[Rule::Override]);
    check(
        &[("_base/x.sql", WRITE), ("game1/x.sql", "-- @replace step a")],
        &[Rule::KeyValue, Rule::Override],
    );
}
