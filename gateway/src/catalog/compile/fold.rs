//! Which statements can be sent once for many runs: an `INSERT … VALUES (…)` of one row.
//!
//! Folded, a statement tells only how many rows it touched in all. So only those fold of which every run is
//! known to touch one row: no `INSERT IGNORE`, no `ON CONFLICT DO NOTHING`, no condition on the update of an
//! upsert. What a tuple could see of the tuples before it (a subquery, the last id) does not fold either.
//!
//! Oracle takes no second tuple, and needs none: there the one row's statement is run with an array of binds, and
//! says for each run what it did. What folds is the same, less what Oracle does not know.

use super::body::push_text;
use crate::catalog::lexer::{self, Token, TokenKind};
use crate::catalog::{Dialect, Fold, Piece, Source};

/// What makes the number of rows, or a tuple's values, depend on other tuples.
const TAIL_WORDS: [&str; 5] = ["nothing", "where", "returning", "select", "row_count"];
const TUPLE_WORDS: [&str; 6] =
    ["select", "last_insert_id", "last_insert_rowid", "row_count", "found_rows", "changes"];

/// Cuts a plan's pieces; `None` when runs of it do not fold.
pub(super) fn fold(pieces: &[Piece], dialect: Dialect) -> Option<Fold> {
    let (text, sources) = flat(pieces)?;
    let tokens = lexer::lex(&text, dialect, 1).ok()?;
    let (open, close) = tuple(&tokens)?;
    let (before, rest) = tokens.split_at_checked(open)?;
    let (tuple, after) = rest.split_at_checked(close + 1 - open)?;
    let is_bind = |token: &Token<'_>| token.kind == TokenKind::Bind;
    let has_word = |tokens: &[Token<'_>], words: &[&str]| {
        tokens.iter().any(|token| words.iter().any(|word| token.is_word(word)))
    };
    let next = after.iter().find(|token| token.is_code());
    let goes_on = match dialect {
        Dialect::Oracle => next.is_some(),
        Dialect::Mysql | Dialect::Sqlite => next.is_some_and(|token| token.is_punct(",")),
    };
    if before.iter().chain(after).any(is_bind)
        || goes_on
        || has_word(after, &TAIL_WORDS)
        || has_word(tuple, &TUPLE_WORDS)
    {
        return None;
    }
    let mut cut = Vec::new();
    let mut sources = sources.into_iter();
    for token in tuple {
        if is_bind(token) {
            cut.push(Piece::Bind(sources.next()?));
        } else {
            push_text(&mut cut, token.text);
        }
    }
    Some(Fold { before: joined(before), tuple: cut, after: joined(after) })
}

/// The pieces as one text with `:b` at each bind, and the binds in order.
fn flat(pieces: &[Piece]) -> Option<(String, Vec<Source>)> {
    let (mut text, mut sources) = (String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Bind(source) => {
                text.push_str(":b");
                sources.push(source.clone());
            }
            Piece::List(_) | Piece::Optional { .. } | Piece::Keyset | Piece::Sort => return None,
        }
    }
    Some((text, sources))
}

/// Where the parentheses behind `VALUES` open and close.
fn tuple(tokens: &[Token<'_>]) -> Option<(usize, usize)> {
    let mut code = tokens.iter().enumerate().filter(|(_, token)| token.is_code());
    let (_, verb) = code.next()?;
    if !verb.is_word("insert") && !verb.is_word("replace") {
        return None;
    }
    let (mut depth, mut after_or) = (0_u32, false);
    for (_, token) in code.by_ref() {
        // `INSERT OR REPLACE` touches its row; `OR IGNORE` perhaps not.
        if after_or && !token.is_word("replace") {
            return None;
        }
        after_or = depth == 0 && token.is_word("or");
        if depth == 0 && (token.is_word("ignore") || token.is_word("select")) {
            return None;
        }
        depth += u32::from(token.is_punct("("));
        depth = depth.saturating_sub(u32::from(token.is_punct(")")));
        if depth == 0 && (token.is_word("values") || token.is_word("value")) {
            break;
        }
    }
    let (open, _) = code.next().filter(|(_, token)| token.is_punct("("))?;
    let mut depth = 1_u32;
    for (index, token) in code {
        depth += u32::from(token.is_punct("("));
        depth -= u32::from(token.is_punct(")"));
        if depth == 0 {
            return Some((open, index));
        }
    }
    None
}

fn joined(tokens: &[Token<'_>]) -> Box<str> {
    tokens.iter().map(|token| token.text).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a statement in which each `?` is a bind; `None`: it does not fold.
    fn cut(sql: &str, dialect: Dialect) -> Option<(String, usize, String)> {
        let mut pieces = Vec::new();
        for (index, part) in sql.split('?').enumerate() {
            if index > 0 {
                pieces.push(Piece::Bind(Source::Slot(index)));
            }
            push_text(&mut pieces, part);
        }
        let fold = fold(&pieces, dialect)?;
        let binds = fold.tuple.iter().filter(|piece| matches!(piece, Piece::Bind(_))).count();
        Some((fold.before.into(), binds, fold.after.into()))
    }

    #[test]
    fn insert_of_one_row_is_cut_before_and_behind_its_parentheses() {
        let sql =
            "INSERT INTO t (a, b)\nVALUES (?, (? + 1))\nON DUPLICATE KEY UPDATE b = VALUES(b)";
        let parts = (
            "INSERT INTO t (a, b)\nVALUES ".into(),
            2,
            "\nON DUPLICATE KEY UPDATE b = VALUES(b)".into(),
        );
        assert_eq!(cut(sql, Dialect::Mysql), Some(parts));
        for sql in [
            "REPLACE INTO t VALUES (?, ';)')",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t (a) VALUES (?) AS new ON DUPLICATE KEY UPDATE a = new.a",
        ] {
            assert!(cut(sql, Dialect::Mysql).is_some(), "{sql}");
        }
        let upsert = "INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET b = excluded.b";
        assert!(cut(upsert, Dialect::Sqlite).is_some());
        assert!(cut("INSERT OR REPLACE INTO t VALUES (?)", Dialect::Sqlite).is_some());
    }

    #[test]
    fn statement_whose_runs_cannot_be_told_apart_does_not_fold() {
        for sql in [
            "INSERT IGNORE INTO t VALUES (?)",
            "INSERT INTO t VALUES (?), (?)",
            "INSERT INTO t SELECT a FROM s WHERE b = ?",
            "REPLACE INTO t SELECT a FROM s WHERE b = ?",
            "INSERT INTO t SET a = ?",
            "INSERT INTO t VALUES ((SELECT MAX(a) + 1 FROM t), ?)",
            "INSERT INTO t VALUES (LAST_INSERT_ID(), ?)",
            "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = ?",
            "INSERT INTO t VALUES (?) RETURNING a",
            "UPDATE t SET a = ? WHERE b = 1",
        ] {
            assert_eq!(cut(sql, Dialect::Mysql), None, "{sql}");
        }
        for sql in [
            "INSERT OR IGNORE INTO t VALUES (?)",
            "INSERT INTO t VALUES (?) ON CONFLICT DO NOTHING",
            "INSERT INTO t VALUES (?) ON CONFLICT (a) DO UPDATE SET b = 1 WHERE t.b < excluded.b",
        ] {
            assert_eq!(cut(sql, Dialect::Sqlite), None, "{sql}");
        }
    }

    #[test]
    fn insert_of_one_row_folds_on_oracle_and_nothing_that_it_does_not_know() {
        let parts = ("INSERT INTO t (a, b) VALUES ".into(), 2, String::new());
        assert_eq!(cut("INSERT INTO t (a, b) VALUES (?, ? + 1)", Dialect::Oracle), Some(parts));
        for sql in [
            "INSERT INTO t VALUES (?), (?)",
            "INSERT INTO t VALUES (?) RETURNING a INTO ?",
            "INSERT INTO t VALUES (?) LOG ERRORS",
            "INSERT ALL INTO t VALUES (?) INTO t VALUES (?) SELECT 1 FROM dual",
            "INSERT ALL INTO t VALUES (?) SELECT 1 FROM dual",
            "MERGE INTO t USING dual ON (a = ?) WHEN NOT MATCHED THEN INSERT (a) VALUES (?)",
        ] {
            assert_eq!(cut(sql, Dialect::Oracle), None, "{sql}");
        }
    }
}
