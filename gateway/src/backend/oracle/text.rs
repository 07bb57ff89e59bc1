//! SQL of the gateway's own for Oracle, and its own SQL in Oracle's form.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::script::{Token, Tokens};
use crate::config::{Dialect, Zone};

/// What every session begins with: nothing of it depends on the server's or the client's own settings then.
pub(super) fn session_setup(zone: &Zone) -> String {
    format!(
        "ALTER SESSION SET TIME_ZONE = '{zone}' NLS_NUMERIC_CHARACTERS = '.,' \
         NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS' \
         NLS_TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6' \
         NLS_TIMESTAMP_TZ_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM' \
         NLS_SORT = BINARY NLS_COMP = BINARY"
    )
}

/// SQL with `:b1`, `:b2`, … at its binds. A template's has them; the gateway's own is written with `?` for every
/// dialect.
pub(super) fn numbered(sql: &Arc<str>) -> Arc<str> {
    if !sql.contains('?') || sql.contains(":b1") {
        return Arc::clone(sql);
    }
    let (mut numbered, mut copied, mut count) = (String::with_capacity(sql.len() + 64), 0, 0);
    let mut tokens = Tokens::new(sql, Dialect::Oracle);
    while let Some(token) = tokens.next() {
        if token == Token::Symbol('?') {
            count += 1;
            numbered.push_str(sql.get(copied..tokens.at() - 1).unwrap_or(""));
            copied = tokens.at();
            // Writing to a String cannot fail.
            let _written = write!(numbered, ":b{count}");
        }
    }
    numbered.push_str(sql.get(copied..).unwrap_or(""));
    numbered.into()
}

/// How a statement is looked at without being run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadAs<'s> {
    /// As one that finds no rows: its columns are told.
    NoRows(Cow<'s, str>),
    /// By its plan: only its faults are.
    Plan(Cow<'s, str>),
}

/// Wraps a statement so that nothing of it happens.
pub(super) fn read_as(sql: &str) -> ReadAs<'_> {
    let mut words = Tokens::new(sql, Dialect::Oracle);
    let reads = words.next().is_some_and(|first| first.is("SELECT") || first.is("WITH"));
    if !reads {
        return ReadAs::Plan(format!("EXPLAIN PLAN FOR {sql}").into());
    }
    let body = lock_clause(sql).and_then(|at| sql.get(..at)).unwrap_or(sql);
    ReadAs::NoRows(format!("SELECT * FROM (\n{body}\n) WHERE 1 = 0").into())
}

/// Where `FOR UPDATE` stands, which a subquery must not have.
fn lock_clause(sql: &str) -> Option<usize> {
    let mut tokens = Tokens::new(sql, Dialect::Oracle);
    let (mut depth, mut before) = (0_i32, None);
    while let Some(token) = tokens.next() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 && token.is("UPDATE") && before.is_some() {
            return before;
        }
        before = (depth == 0 && token.is("FOR")).then(|| tokens.at() - "FOR".len());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_of_the_gateways_own_statements_are_numbered_and_a_templates_stay_as_they_are() {
        let check = |sql: &str, expected: &str| assert_eq!(&*numbered(&sql.into()), expected);
        check("SELECT a FROM t WHERE b = ? AND c < ?", "SELECT a FROM t WHERE b = :b1 AND c < :b2");
        check("SELECT '?' FROM t WHERE b = :b1", "SELECT '?' FROM t WHERE b = :b1");
        check("INSERT INTO t VALUES ('?', ?) -- ?", "INSERT INTO t VALUES ('?', :b1) -- ?");
        check("SELECT 1 FROM dual", "SELECT 1 FROM dual");
    }

    #[test]
    fn statement_is_looked_at_without_being_run() {
        let rows = |sql: &str| format!("SELECT * FROM (\n{sql}\n) WHERE 1 = 0");
        let check = |sql: &str, expected: String| {
            assert_eq!(read_as(sql), ReadAs::NoRows(expected.into()));
        };
        check("SELECT a FROM t -- why", rows("SELECT a FROM t -- why"));
        check("SELECT a FROM t WHERE b = :b1 FOR UPDATE", rows("SELECT a FROM t WHERE b = :b1 "));
        check("with x as (select 1 a from dual) select a from x", {
            rows("with x as (select 1 a from dual) select a from x")
        });
        check("SELECT 'FOR UPDATE' a FROM t", rows("SELECT 'FOR UPDATE' a FROM t"));
        let plan = ReadAs::Plan("EXPLAIN PLAN FOR DELETE FROM t".into());
        assert_eq!(read_as("DELETE FROM t"), plan);
    }

    #[test]
    fn session_is_set_up_in_the_connections_zone() {
        let zone = Zone::parse("Asia/Shanghai").expect("a zone");
        assert!(session_setup(&zone).contains("TIME_ZONE = 'Asia/Shanghai' NLS"));
        assert!(session_setup(&Zone::default()).contains("TIME_ZONE = '+00:00' "));
    }
}
