//! Whether two templates of one operation, for two dialects, have one contract.

use super::Template;

/// What two compiled forms of an operation have to have in common while its game may be moved from one
/// database to the other: everything that a request, a reply, a cached entry or a queued record depends on. Returns the
/// directives that they differ in.
pub(crate) fn disagreements(own: &Template, other: &Template) -> Vec<&'static str> {
    let (write, others) = (&own.write, &other.write);
    let compared = [
        ("@kind", own.kind == other.kind && own.not_found == other.not_found),
        ("@param", own.slots == other.slots && write.batch_slot == others.batch_slot),
        ("@result", own.columns == other.columns && own.row_count_max == other.row_count_max),
        (
            "@version",
            own.version_column == other.version_column && write.version_slot == others.version_slot,
        ),
        ("@allow", own.allow == other.allow),
        ("@http", own.http == other.http && own.http_cache == other.http_cache),
        ("@cache", own.cache == other.cache),
        ("@invalidate", own.invalidate == other.invalidate),
        ("@page", own.page == other.page),
        ("@order", own.orders == other.orders),
        ("@require", own.requires == other.requires),
        ("@include", own.includes == other.includes),
        ("@mask", own.masked == other.masked),
        ("@audit", own.audit == other.audit),
        ("@return", write.returns == others.returns),
        ("@out", own.outputs == other.outputs),
        ("@idempotent", write.idempotent == others.idempotent),
        ("@async", write.asynchronous == others.asynchronous),
        ("@lane", write.lane == others.lane),
        ("@current", write.current == others.current),
        ("@status", write.status == others.status),
        (
            "the use of :_id",
            own.uses_id() == other.uses_id() && own.uses_row_ids() == other.uses_row_ids(),
        ),
    ];
    compared.into_iter().filter(|(_, is_equal)| !is_equal).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Dialect;
    use crate::catalog::load::tests::template;

    const GET: &str = "-- @kind one\n-- @param id int\n-- @result id int\n-- @result name string(9)\n\
        -- @allow public\nSELECT p.id, p.name FROM p WHERE p.id = :id\n";

    #[track_caller]
    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(GET.contains(from), "{from}");
        let own = template(GET, Dialect::Mysql);
        let other = template(&GET.replace(from, to), Dialect::Sqlite);
        assert_eq!(disagreements(&own, &other), expected, "{from} as {to}");
    }

    #[test]
    fn dialects_that_share_a_contract_agree_and_each_directive_that_differs_is_named() {
        check("SELECT", "SELECT /* in its own words */", &[]);
        check("@param id int", "@param id bigint", &["@param"]);
        check("string(9)", "string(8)", &["@result"]);
        check("@allow public", "@allow gm", &["@allow"]);
        check("@kind one", "@kind optional", &["@kind"]);
        check("@allow public", "@allow public\n-- @cache l1=1s tag=p:{id}", &["@cache"]);
    }
}
