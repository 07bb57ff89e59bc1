//! Which statements of MySQL count one row twice.
//!
//! `INSERT … ON DUPLICATE KEY UPDATE` counts a row that it updated as two, and `REPLACE` one that it
//! replaced; for a caller both are one.

use super::script::{Token, Tokens};
use crate::config::Dialect;

/// Whether the statement is an upsert whose `VALUES` has one row, or that `SET`s one.
///
/// Cost: reads the statement up to a second row; asked only when the database counted more than one.
pub(super) fn is_of_one_row(sql: &str) -> bool {
    let mut tokens = Tokens::new(sql, Dialect::Mysql);
    let Some(first) = tokens.next() else { return false };
    let replaces = first.is("REPLACE");
    if !replaces && !first.is("INSERT") {
        return false;
    }
    let (mut depth, mut row_count, mut in_values, mut sets) = (0_u32, 0_u32, false, false);
    let mut updates = false;
    for token in tokens {
        match token {
            Token::Symbol('(') => {
                row_count += u32::from(in_values && depth == 0);
                if row_count > 1 {
                    return false;
                }
                depth += 1;
            }
            Token::Symbol(')') => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            token if token.is("VALUES") || token.is("VALUE") => in_values |= !updates,
            token if token.is("SET") => sets = true,
            token if token.is("SELECT") || token.is("TABLE") => return false,
            token if token.is("ON") || token.is("AS") => {
                in_values = false;
                updates |= token.is("ON");
            }
            _ => {}
        }
    }
    (replaces || updates) && (row_count == 1 || (sets && row_count == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upserts_of_one_row_are_told_from_the_others() {
        for sql in [
            "INSERT INTO t (a, b) VALUES (?, (1 + 2)) ON DUPLICATE KEY UPDATE b = VALUES(b)",
            "insert into t set a = ? on duplicate key update b = 'x), (y'",
            "INSERT INTO t (a) VALUES (?) AS new ON DUPLICATE KEY UPDATE a = new.a + VALUES(a)",
            "REPLACE INTO t (a) VALUES ('(), ()')",
        ] {
            assert!(is_of_one_row(sql), "{sql}");
        }
        for sql in [
            "INSERT INTO t (a) VALUES (?), (?) ON DUPLICATE KEY UPDATE a = 1",
            "INSERT INTO t (a) SELECT a FROM s ON DUPLICATE KEY UPDATE a = 1",
            "REPLACE INTO t SELECT * FROM s",
            "INSERT INTO t (a) VALUES (?)",
            "UPDATE t SET a = 'ON DUPLICATE KEY UPDATE' WHERE b IN (1)",
            "",
        ] {
            assert!(!is_of_one_row(sql), "{sql}");
        }
    }
}
