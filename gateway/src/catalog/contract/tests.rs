//! Header lines that are well formed, and those that are not.

use super::*;
use crate::catalog::header;

/// The rules that one header breaks, and the text of the first fault.
fn faults(text: &str) -> (Vec<Rule>, String) {
    let mut findings = Findings::default();
    let cut = header::cut(&"a.sql".into(), text, &mut findings);
    read(&cut.lines, &mut Vec::new(), &mut findings);
    let first = findings.0.first().map(ToString::to_string).unwrap_or_default();
    (findings.0.iter().map(|finding| finding.rule).collect(), first)
}

#[track_caller]
fn check(good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(faults(&format!("-- @{text}")), (vec![], String::new()), "{text}");
    }
    for text in bad {
        assert_eq!(faults(&format!("-- @{text}")).0, [Rule::KeyValue], "{text}");
    }
}

#[test]
fn kinds_are_those_of_the_language() {
    check(
        &[
            "kind one",
            "kind one else 2101 A_B [404]",
            "kind optional",
            "kind many",
            "kind page",
            "kind exec",
            "kind tx isolation=serializable",
            "kind batch",
            "kind call reads",
            "kind call writes isolation=serializable",
        ],
        &[
            "kind",
            "kind two",
            "kind one else 2099 A",
            "kind one else 3000 A",
            "kind one else 2101",
            "kind one else 2101 lower",
            "kind one else 2101 A [200]",
            "kind many else 2101 A",
            "kind tx isolation=none",
            "kind call",
            "kind call reads isolation=serializable",
        ],
    );
}

#[test]
fn params_take_the_options_of_their_type() {
    check(
        &[
            "param a int",
            "param a int required",
            "param a int optional",
            "param a int min=1 max=9",
            "param a string(9) pattern=^[a-z]+$ sample='a b'",
            "param a string(9) optional like=prefix",
            "param a list(int) max_items=10000",
            "param a int default=5",
            "param a rows(b int, c date)",
        ],
        &[
            "param",
            "param a",
            "param 1 int",
            "param a string",
            "param a int maximum=1",
            "param a int min=1 min=2",
            "param a int pattern=x",
            "param a string(9) pattern=[",
            "param a string(9) min=1",
            "param a int like=prefix",
            "param a string(9) like=suffix",
            "param a int max_items=1",
            "param a list(int) max_items=10001",
            "param a list(int) max_items=0",
            "param a int required optional",
            "param a int required default=1",
            "param a list(int) default=1",
        ],
    );
}

#[test]
fn results_say_their_form() {
    check(
        &["result a bigint as string, b string empty as null,", "result a decimal(3,1)"],
        &[
            "result",
            "result a",
            "result a int as string",
            "result a int empty as null",
            "result a string null as empty",
            "result a list(int)",
        ],
    );
}

#[test]
fn access_names_roles_claims_and_routes() {
    check(
        &[
            "allow public",
            "allow a, b(x = claim.sub, y=claim.z)",
            "http GET /v1/{game}/a/{b}/c",
            "http POST /v1/{game}/items:transfer",
            "http POST /v1/{game}/items/{id}:use",
        ],
        &[
            "allow",
            "allow Admin",
            "allow a(x = sub)",
            "allow a()",
            "http /v1/{game}/a",
            "http FETCH /v1/{game}/a",
            "http GET /v2/{game}/a",
            "http GET /v1/{game}",
            "http GET /v1/{game}/a//b",
            "http GET /v1/{game}/a/",
            "http GET /v1/{game}/{a}{b}",
            "http GET /v1/{game}/a/{b}/{b}",
            "http GET /v1/{game}/{1}",
            "http POST /v1/{game}/call/a",
            "http POST /v1/{game}/batch",
            "http GET /v1/{game}/a b",
            "http GET /v1/{game}/x{a}",
        ],
    );
}

#[test]
fn caching_has_times_tags_and_a_scope() {
    check(
        &[
            "cache l1=10m l2=1h negative=15s tag=player:{id}",
            "cache l1=1s tag=a tag=b:{x},c",
            "cache l2=1s scope=principal",
            "invalidate a:{x}, b",
            "http_cache public 30s",
            "cache l1=1s stale=30s",
        ],
        &[
            "cache",
            "cache tag=a",
            "cache l1=0s",
            "cache l1=31d",
            "cache l1=1s scope=role",
            "cache l1=1s ttl=5s",
            "cache l1=1s tag=",
            "cache l1=1s tag={a",
            "invalidate",
            "invalidate a b",
            "invalidate {a}",
            "http_cache private 30s",
            "http_cache public",
            "http_cache public 2d",
        ],
    );
}

#[test]
fn orders_and_pages_name_columns() {
    check(
        &[
            "page keyset = c.a DESC, b  default=5 max=50",
            "page keyset=@sort",
            "order a = c.x ASC, y DESC",
            "page keyset = a max=10",
        ],
        &[
            "page",
            "page keyset = ",
            "page keyset = a default=9 max=5",
            "page keyset = a max=10001",
            "page keyset = a default=0",
            "page default=5",
            "order a",
            "order a = lower(b)",
            "page keyset = a, a",
        ],
    );
}

#[test]
fn rules_and_relations_name_parameters_and_codes() {
    check(
        &[
            "require a <> b else 2102 SAME",
            "require a >= 5 else 2102 SMALL [400]",
            "require a = 'x y' else 2102 A",
            "on duplicate_key else 2104 TAKEN [409]",
            "include items = item.list(player_id)",
            "include items = item.list(owner = player_id, b)",
            "include all = item.all()",
        ],
        &[
            "require a b else 2102 A",
            "require a = else 2102 A",
            "require a = b",
            "on deadlock else 2104 A",
            "on duplicate_key 2104 A",
            "include item.list(a)",
            "include x = item.list",
            "include x = Item(a)",
        ],
    );
}

#[test]
fn writes_declare_their_key_lane_guard_and_reply() {
    check(
        &[
            "kind exec affected = 1",
            "kind exec affected >= 1 else 2105 STALE [412]",
            "kind batch affected <> 0 else 2105 STALE",
            "kind tx isolation=read_committed",
            "idempotent key=request_id ttl=90d",
            "async",
            "async max=10000 linger=10s dead=1000 priority=high",
            "retry 100 on=lock_timeout",
            "return x = debit.affected",
            "return x = after.gold",
            "return id = _id",
            "current player.get(player_id)",
            "status order.get(order_no = request_id)",
            "param a rows(b int, c date) max_items=10000",
        ],
        &[
            "kind exec affected",
            "kind exec rows = 1",
            "kind exec affected = 1 else STALE",
            "kind tx affected = 1",
            "kind many affected = 1",
            "idempotent key=a ttl=91d",
            "idempotent key=a ttl=0s",
            "async max=10001",
            "async linger=11s",
            "async dead=1001",
            "async dead=0",
            "async priority=low",
            "retry 101",
            "return x = 5",
            "return x = now",
            "current player.get",
            "current",
            "status x = order.get(a)",
            "param a rows(b int) optional",
            "param a rows(b int) sample=5",
            "param a rows(b int) default=5",
            "param a rows(b int) max_items=10001",
            "param a rows(b int, b int)",
        ],
    );
}

#[test]
fn what_is_not_built_is_read_all_the_same() {
    check(
        &[
            "idempotent key=request_id ttl=24h",
            "async max=500 linger=5ms dead=10",
            "async",
            "lane a",
            "retry 3 on=deadlock,lock_timeout",
            "route primary",
            "route replica max_lag=2s",
            "shard a",
            "encrypt a, b",
            "emit player.changed",
            "emit player.level.changed player_id, _id",
            "return x = debit.affected",
            "replace step debit",
        ],
        &[
            "idempotent",
            "idempotent ttl=24h",
            "idempotent key=a ttl=x",
            "async max=0",
            "async most=1",
            "lane",
            "retry",
            "retry 3 on=rain",
            "retry 0",
            "route",
            "route nearest",
            "replica max_lag",
            "shard",
            "encrypt",
            "emit",
            "emit changed",
            "emit player.changed player_id level",
            "emit player.changed (player_id)",
            "return x",
            "return x = debit",
            "replace debit",
        ]
        .map(|text| if text == "replica max_lag" { "route replica max_lag" } else { text }),
    );
}

#[test]
fn single_keys_and_bounds_are_checked() {
    check(
        &[
            "desc Some text.",
            "version version",
            "timeout 2s",
            "limit 100000",
            "mask a, b",
            "audit",
            "extends",
            "extends _base",
            "dialects mysql, sqlite",
            "deprecated use x",
            "stale_ok a reason",
            "scan_ok a reason",
        ],
        &[
            "desc",
            "version",
            "version a b",
            "timeout 0s",
            "timeout 2h",
            "limit 0",
            "limit 100001",
            "mask",
            "audit yes",
            "extends game1",
            "dialects",
            "dialects db2",
            "deprecated",
            "stale_ok",
            "scan_ok",
        ],
    );
}

#[test]
fn single_keys_stand_once_and_named_ones_once_a_name() {
    assert_eq!(faults("-- @limit 1\n-- @limit 2").0, [Rule::KeyDuplicate]);
    assert_eq!(faults("-- @param a int\n-- @param a int").0, [Rule::KeyDuplicate]);
    assert_eq!(
        faults("-- @param a int\n-- @param b int\n-- @result a int\n-- @result b int").0,
        []
    );
}

#[test]
fn fault_is_told_at_the_column_where_it_is() {
    let (_, first) = faults("-- @param  a  varchar(5)");
    assert!(first.starts_with("a.sql:1:15: error[key-value]: @param: there is no type"), "{first}");
}
