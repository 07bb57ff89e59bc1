//! Queries: row limits, set operators, derived tables and row locks.

use super::expression;
use super::lexer::Token;
use super::{Action, Program, part};
use crate::error::OracleError;
use crate::session::Effect;

/// Words that end the conditions of a query block, at its own depth.
const BLOCK_ENDS: &[&str] = &["UNION", "MINUS", "INTERSECT", "EXCEPT", "FOR"];

/// Rewrites a query.
///
/// # Errors
/// What is not understood.
pub fn rewrite(mut tokens: Vec<Token>, program: &mut Program) -> Result<Action, OracleError> {
    let locks = lock_clause(&mut tokens, program)?;
    let tokens = expression::rewrite(shape(tokens)?)?;
    let effect = if locks { Effect::Write } else { Effect::Read };
    Ok(Action::Run(vec![part(tokens)], effect))
}

/// What a query block looks like: limits, set operators, names of derived tables.
///
/// # Errors
/// What is not understood.
pub fn shape(tokens: Vec<Token>) -> Result<Vec<Token>, OracleError> {
    let mut made = Vec::with_capacity(tokens.len());
    let mut rest = row_numbers(tokens)?.into_iter().peekable();
    while let Some(token) = rest.next() {
        let next = rest.peek();
        let counts = matches!(token, Token::Bind(_))
            && next.is_some_and(|next| next.is_any(&["ROWS", "ROW"]));
        let subtracts =
            token.is("MINUS") && next.is_some_and(|next| next.is("SELECT") || next.is_symbol("("));
        if counts {
            made.extend([
                Token::Made("((".to_owned()),
                token,
                Token::Made(")::bigint)".to_owned()),
            ]);
        } else if subtracts {
            made.push(Token::Word("EXCEPT".to_owned()));
        } else {
            made.push(token);
        }
    }
    name_derived_tables(made)
}

/// Derived tables need a name in PostgreSQL.
fn name_derived_tables(mut tokens: Vec<Token>) -> Result<Vec<Token>, OracleError> {
    let opens = |tokens: &[Token], index: usize| {
        tokens.get(index).is_some_and(|token| token.is_symbol("("))
            && tokens.get(index + 1).is_some_and(|token| token.is_any(&["SELECT", "WITH"]))
            && index
                .checked_sub(1)
                .and_then(|before| tokens.get(before))
                .is_some_and(|token| token.is_any(&["FROM", "JOIN"]))
    };
    for index in (0..tokens.len()).rev() {
        if !opens(&tokens, index) {
            continue;
        }
        let end = expression::closing(&tokens, index)?;
        let is_alias = |token: &Token| match token {
            Token::Word(word) => {
                !KEYWORDS_AFTER_TABLE.contains(&word.to_ascii_uppercase().as_str())
            }
            token => token.is_name(),
        };
        if !tokens.get(end + 1).is_some_and(is_alias) {
            tokens.insert(end + 1, Token::Made(format!("AS derived_{index}")));
        }
    }
    Ok(tokens)
}

/// What may follow a table that has no alias.
const KEYWORDS_AFTER_TABLE: &[&str] = &[
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "FETCH",
    "OFFSET",
    "FOR",
    "UNION",
    "MINUS",
    "EXCEPT",
    "INTERSECT",
    "JOIN",
    "LEFT",
    "RIGHT",
    "FULL",
    "INNER",
    "CROSS",
    "NATURAL",
    "ON",
    "USING",
    "LIMIT",
    "CONNECT",
    "START",
];

/// ROWNUM: a limit where it is compared in a condition, a running number where it is selected.
///
/// Oracle counts before it sorts, PostgreSQL's limit counts after; who sorts and limits in one block gets the first
/// of the sorted rows here, and any rows there.
fn row_numbers(mut tokens: Vec<Token>) -> Result<Vec<Token>, OracleError> {
    while let Some(index) = find_row_number(&tokens) {
        if is_selected(&tokens, index) {
            if let Some(token) = tokens.get_mut(index) {
                *token = Token::Made("(row_number() OVER ())".to_owned());
            }
            continue;
        }
        let limit = take_limit(&mut tokens, index)?;
        let end = block_end(&tokens, index, BLOCK_ENDS);
        tokens.splice(end..end, limit);
    }
    Ok(tokens)
}

/// Where ROWNUM stands next.
pub fn find_row_number(tokens: &[Token]) -> Option<usize> {
    tokens.iter().position(|token| token.is("ROWNUM"))
}

/// Whether a FROM of the same block follows: then it stands in the list of columns.
fn is_selected(tokens: &[Token], index: usize) -> bool {
    let end = block_end(tokens, index, &["FROM", "UNION", "MINUS", "INTERSECT"]);
    tokens.get(end).is_some_and(|token| token.is("FROM"))
}

/// Replaces `ROWNUM <= n` by TRUE; returns the limit that it means.
///
/// # Errors
/// Any other comparison.
pub fn take_limit(tokens: &mut Vec<Token>, index: usize) -> Result<Vec<Token>, OracleError> {
    let not_imitated = || OracleError::not_imitated("ROWNUM in any but `ROWNUM <= n`");
    let operator = tokens.get(index + 1).cloned().ok_or_else(not_imitated)?;
    let less = match operator {
        Token::Symbol("<=" | "=") => "",
        Token::Symbol("<") => " - 1",
        _ => return Err(not_imitated()),
    };
    let end = block_end(
        tokens,
        index,
        &[
            "AND",
            "OR",
            "GROUP",
            "ORDER",
            "FETCH",
            "FOR",
            "UNION",
            "MINUS",
            "INTERSECT",
            "RETURNING",
            "RETURN",
        ],
    );
    let value: Vec<Token> =
        tokens.splice(index..end, [Token::Made("TRUE".to_owned())]).skip(2).collect();
    let mut limit = vec![Token::Made("LIMIT ((".to_owned())];
    limit.extend(value);
    limit.push(Token::Made(format!(")::bigint{less})")));
    Ok(limit)
}

/// Where the block that a token stands in ends: at one of these words, at the parenthesis around it, or at the end.
fn block_end(tokens: &[Token], index: usize, words: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(index) {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            if depth == 0 {
                return at;
            }
            depth -= 1;
        } else if depth == 0 && token.is_any(words) {
            return at;
        }
    }
    tokens.len()
}

/// Reads `FOR UPDATE [OF …] [NOWAIT | WAIT n | SKIP LOCKED]`; returns whether there is one.
fn lock_clause(tokens: &mut Vec<Token>, program: &mut Program) -> Result<bool, OracleError> {
    let is_clause = |index: &usize| {
        tokens.get(*index).is_some_and(|token| token.is("FOR"))
            && tokens.get(*index + 1).is_some_and(|token| token.is("UPDATE"))
    };
    let Some(start) = (0..tokens.len()).rev().find(is_clause) else { return Ok(false) };
    if let Some(of) = tokens.iter().skip(start).position(|token| token.is("OF")) {
        let of = start + of;
        let end = block_end(tokens, of, &["NOWAIT", "WAIT", "SKIP"]);
        let columns = expression::split(tokens.get(of + 1..end).unwrap_or_default());
        // Oracle names columns, PostgreSQL their tables; a column without its table locks all of them.
        let mut tables: Vec<Token> = Vec::new();
        for column in columns {
            let [table, Token::Symbol("."), ..] = column.as_slice() else {
                tables.clear();
                break;
            };
            if !tables.contains(table) {
                if !tables.is_empty() {
                    tables.push(Token::Symbol(","));
                }
                tables.push(table.clone());
            }
        }
        if !tables.is_empty() {
            tables.insert(0, Token::Word("OF".to_owned()));
        }
        tokens.splice(of..end, tables);
    }
    take_wait(tokens, program)?;
    Ok(true)
}

/// Takes `WAIT n` from the end of a statement.
fn take_wait(tokens: &mut Vec<Token>, program: &mut Program) -> Result<(), OracleError> {
    if let [.., wait, Token::Number(seconds)] = tokens.as_slice()
        && wait.is("WAIT")
    {
        let seconds = seconds
            .parse()
            .map_err(|_no_number| OracleError::new(30005, "missing or invalid WAIT interval"))?;
        tokens.truncate(tokens.len() - 2);
        if seconds == 0 {
            tokens.push(Token::Word("NOWAIT".to_owned()));
        } else {
            program.wait_seconds = Some(seconds);
        }
    }
    Ok(())
}

/// `LOCK TABLE t IN … MODE [NOWAIT | WAIT n]`.
///
/// # Errors
/// A wait that is no number.
pub fn rewrite_lock(mut tokens: Vec<Token>, program: &mut Program) -> Result<Action, OracleError> {
    take_wait(&mut tokens, program)?;
    Ok(Action::Run(vec![part(expression::names(tokens))], Effect::Write))
}

#[cfg(test)]
mod tests {
    use super::super::program;
    use super::super::tests::check;
    use super::*;

    #[test]
    fn rows_are_limited_where_oracle_counts_them() {
        check(
            "SELECT a FROM t WHERE ROWNUM <= 10",
            "SELECT a FROM t WHERE TRUE LIMIT (( 10 )::bigint)",
        );
        check(
            "SELECT a FROM (SELECT a FROM t ORDER BY b) WHERE rownum < :n AND c = 1",
            "SELECT a FROM ( SELECT a FROM t ORDER BY b ) AS derived_3 WHERE TRUE AND c = 1 LIMIT (( $1 )::bigint - 1)",
        );
        check(
            "SELECT * FROM (SELECT x.*, ROWNUM rn FROM (SELECT a FROM t) x WHERE ROWNUM <= :hi) WHERE rn > :lo",
            "SELECT * FROM ( SELECT x . * , (row_number() OVER ()) rn FROM ( SELECT a FROM t ) x WHERE TRUE \
             LIMIT (( $1 )::bigint) ) AS derived_3 WHERE rn > $2",
        );
        check(
            "SELECT a FROM t ORDER BY a OFFSET :skip ROWS FETCH NEXT :n ROWS ONLY",
            "SELECT a FROM t ORDER BY a OFFSET (( $1 )::bigint) ROWS FETCH NEXT (( $2 )::bigint) ROWS ONLY",
        );
        assert_eq!(program("SELECT a FROM t WHERE ROWNUM > 5").action.unwrap_err().code, 3001);
    }

    #[test]
    fn minus_is_an_operator_between_queries_only() {
        check("SELECT a FROM t MINUS SELECT a FROM u", "SELECT a FROM t EXCEPT SELECT a FROM u");
        check("SELECT minus FROM t", "SELECT minus FROM t");
    }

    #[test]
    fn locks_of_rows_wait_as_they_are_told() {
        let of = |sql: &str| {
            let program = program(sql);
            let Ok(Action::Run(parts, effect)) = program.action else { panic!("{sql}") };
            assert_eq!(effect, Effect::Write);
            (parts[0].sql.clone(), program.wait_seconds)
        };
        let end = |clause: &str| format!("SELECT a FROM t p FOR UPDATE{clause}");
        assert_eq!(of("SELECT a FROM t p FOR UPDATE"), (end(""), None));
        assert_eq!(of("SELECT a FROM t p FOR UPDATE NOWAIT"), (end(" NOWAIT"), None));
        assert_eq!(of("SELECT a FROM t p FOR UPDATE WAIT 3"), (end(""), Some(3)));
        assert_eq!(
            of("SELECT a FROM t p FOR UPDATE OF p.a, p.b SKIP LOCKED"),
            (end(" OF p SKIP LOCKED"), None)
        );
        assert_eq!(of("SELECT a FROM t p FOR UPDATE OF a WAIT 0"), (end(" NOWAIT"), None));
        assert_eq!(of("LOCK TABLE t IN EXCLUSIVE MODE WAIT 9").1, Some(9));
    }
}
