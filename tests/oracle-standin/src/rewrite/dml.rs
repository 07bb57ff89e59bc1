//! INSERT, UPDATE, DELETE and MERGE.

use super::lexer::Token;
use super::{Action, Part, Program, expression, kind, part, query};
use crate::error::OracleError;
use crate::session::Effect;

/// Rewrites a statement that changes rows.
///
/// # Errors
/// What is not understood.
pub fn rewrite(mut tokens: Vec<Token>, program: &mut Program) -> Result<Action, OracleError> {
    take_returning(&mut tokens, program);
    let parts = match program.kind {
        kind::INSERT if tokens.get(1).is_some_and(|token| token.is("ALL")) => insert_all(&tokens)?,
        kind::INSERT => vec![finish(tokens)?],
        kind::MERGE => vec![finish(merge(&tokens)?)?],
        kind::UPDATE => vec![finish(update(&tokens)?)?],
        _ => vec![finish(delete(tokens)?)?],
    };
    Ok(Action::Run(parts, Effect::Write))
}

fn finish(tokens: Vec<Token>) -> Result<Part, OracleError> {
    Ok(part(expression::rewrite(query::shape(tokens)?)?))
}

/// Where one of these words stands in no parentheses.
fn find(tokens: &[Token], from: usize, words: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && index >= from && token.is_any(words) {
            return Some(index);
        }
    }
    None
}

fn made(text: &str) -> Token {
    Token::Made(text.to_owned())
}

fn slice(tokens: &[Token], from: usize, to: usize) -> Vec<Token> {
    tokens.get(from..to).unwrap_or_default().to_vec()
}

/// `RETURNING a, b INTO :x, :y`: the binds are the client's, the rest PostgreSQL knows.
fn take_returning(tokens: &mut Vec<Token>, program: &mut Program) {
    let Some(start) = find(tokens, 1, &["RETURNING", "RETURN"]) else { return };
    let Some(into) = find(tokens, start, &["INTO"]) else { return };
    let binds = tokens.iter().skip(into).filter_map(|token| match token {
        Token::Bind(occurrence) => Some(*occurrence),
        _ => None,
    });
    program.returning = binds.collect();
    tokens.truncate(into);
    if let Some(word) = tokens.get_mut(start) {
        *word = Token::Word("RETURNING".to_owned());
    }
}

/// `a.x = …, (a.y, z) = …`: PostgreSQL's columns to set have no table before them.
fn assignments(tokens: &[Token]) -> Vec<Token> {
    let mut result = Vec::new();
    for (index, assignment) in expression::split(tokens).into_iter().enumerate() {
        if index > 0 {
            result.push(Token::Symbol(","));
        }
        let equals = find_symbol(&assignment, "=").unwrap_or(assignment.len());
        let (target, value) = assignment.split_at(equals);
        let is_tuple = target.first().is_some_and(|token| token.is_symbol("("));
        if is_tuple {
            let inner = slice(target, 1, target.len().saturating_sub(1));
            result.push(Token::Symbol("("));
            result.extend(columns(&inner));
            result.push(Token::Symbol(")"));
        } else {
            result.extend(target.last().cloned());
        }
        result.extend_from_slice(value);
    }
    result
}

/// A list of columns without their tables.
fn columns(tokens: &[Token]) -> Vec<Token> {
    let mut result = Vec::new();
    for column in expression::split(tokens) {
        if !result.is_empty() {
            result.push(Token::Symbol(","));
        }
        result.extend(column.last().cloned());
    }
    result
}

fn find_symbol(tokens: &[Token], symbol: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && token.is_symbol(symbol) {
            return Some(index);
        }
    }
    None
}

fn update(tokens: &[Token]) -> Result<Vec<Token>, OracleError> {
    let set =
        find(tokens, 1, &["SET"]).ok_or_else(|| OracleError::new(971, "missing SET keyword"))?;
    let end = find(tokens, set, &["WHERE", "RETURNING"]).unwrap_or(tokens.len());
    let mut result = slice(tokens, 0, set + 1);
    result.extend(assignments(&slice(tokens, set + 1, end)));
    let table = slice(tokens, 1, set);
    result.extend(limited(slice(tokens, end, tokens.len()), &table)?);
    Ok(result)
}

fn delete(mut tokens: Vec<Token>) -> Result<Vec<Token>, OracleError> {
    if !tokens.get(1).is_some_and(|token| token.is("FROM")) {
        tokens.insert(1, Token::Word("FROM".to_owned()));
    }
    let end = find(&tokens, 1, &["WHERE", "RETURNING"]).unwrap_or(tokens.len());
    let table = slice(&tokens, 2, end);
    let mut result = slice(&tokens, 0, end);
    result.extend(limited(slice(&tokens, end, tokens.len()), &table)?);
    Ok(result)
}

/// `WHERE … ROWNUM <= n`, of a statement that PostgreSQL cannot limit: the rows are chosen by a query.
fn limited(mut condition: Vec<Token>, table: &[Token]) -> Result<Vec<Token>, OracleError> {
    let Some(index) = query::find_row_number(&condition) else { return Ok(condition) };
    let limit = query::take_limit(&mut condition, index)?;
    let end = find(&condition, 0, &["RETURNING"]).unwrap_or(condition.len());
    let alias = slice(table, table.len().saturating_sub(1), table.len());
    let mut result = vec![made("WHERE")];
    result.extend(alias.clone());
    result.push(made(". ctid IN ( SELECT"));
    result.extend(alias);
    result.push(made(". ctid FROM"));
    result.extend_from_slice(table);
    result.extend(slice(&condition, 0, end));
    result.extend(limit);
    result.push(made(")"));
    result.extend(slice(&condition, end, condition.len()));
    Ok(result)
}

/// MERGE: conditions of a branch stand before its THEN, and its columns without their table.
fn merge(tokens: &[Token]) -> Result<Vec<Token>, OracleError> {
    let starts: Vec<usize> = (0..tokens.len())
        .filter(|index| {
            tokens.get(*index).is_some_and(|token| token.is("WHEN"))
                && tokens.get(index + 1).is_some_and(|token| token.is_any(&["MATCHED", "NOT"]))
        })
        .collect();
    let first = *starts.first().ok_or_else(|| OracleError::new(905, "missing keyword"))?;
    let mut result = slice(tokens, 0, first);
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(tokens.len());
        result.extend(branch(&slice(tokens, *start, end))?);
    }
    Ok(result)
}

fn branch(tokens: &[Token]) -> Result<Vec<Token>, OracleError> {
    let then =
        find(tokens, 0, &["THEN"]).ok_or_else(|| OracleError::new(905, "missing keyword"))?;
    if find(tokens, then, &["DELETE"]).is_some() {
        return Err(OracleError::not_imitated("DELETE WHERE of MERGE"));
    }
    let condition = find(tokens, then, &["WHERE"]).unwrap_or(tokens.len());
    let mut result = slice(tokens, 0, then);
    if condition < tokens.len() {
        result.push(made("AND ("));
        result.extend(slice(tokens, condition + 1, tokens.len()));
        result.push(made(")"));
    }
    if let Some(set) = find(tokens, then, &["SET"]).filter(|set| *set < condition) {
        result.extend(slice(tokens, then, set + 1));
        result.extend(assignments(&slice(tokens, set + 1, condition)));
        return Ok(result);
    }
    result.extend(slice(tokens, then, then + 2));
    let mut rest = then + 2;
    if tokens.get(rest).is_some_and(|token| token.is_symbol("(")) {
        let end = expression::closing(tokens, rest)?;
        result.push(Token::Symbol("("));
        result.extend(columns(&slice(tokens, rest + 1, end)));
        rest = end;
    }
    result.extend(slice(tokens, rest, condition));
    Ok(result)
}

/// `INSERT ALL INTO … INTO … SELECT … FROM dual`: an INSERT each. The query may choose no columns of its own.
fn insert_all(tokens: &[Token]) -> Result<Vec<Part>, OracleError> {
    let end = find(tokens, 2, &["SELECT"])
        .ok_or_else(|| OracleError::new(928, "missing SELECT keyword"))?;
    let from_dual =
        matches!(tokens.get(end + 2..), Some([from, dual]) if from.is("FROM") && dual.is("DUAL"));
    if !from_dual {
        return Err(OracleError::not_imitated("INSERT ALL from a query other than of dual"));
    }
    let mut parts = Vec::new();
    let mut start = 2;
    while start < end {
        let next = find(tokens, start + 1, &["INTO"]).filter(|next| *next < end).unwrap_or(end);
        let mut insert = vec![Token::Word("INSERT".to_owned())];
        insert.extend(slice(tokens, start, next));
        parts.push(finish(insert)?);
        start = next;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::program;
    use super::super::tests::check;
    use super::*;

    #[test]
    fn columns_to_set_lose_their_table() {
        check(
            "UPDATE t p SET p.a = p.a - :n, (p.b, c) = (SELECT 1, 2 FROM dual) WHERE p.id = :id",
            "UPDATE t p SET a = p . a - $1 , ( b , c ) = ( SELECT 1 , 2 FROM dual ) WHERE p . id = $2",
        );
        check("DELETE t WHERE a = 1", "DELETE FROM t WHERE a = 1");
    }

    #[test]
    fn statements_limited_by_rownum_choose_their_rows() {
        check(
            "DELETE FROM t WHERE b < :1 AND ROWNUM <= :2",
            "DELETE FROM t WHERE t . ctid IN ( SELECT t . ctid FROM t WHERE b < $1 AND TRUE LIMIT (( $2 )::bigint) )",
        );
    }

    #[test]
    fn returned_values_go_into_the_binds_behind_into() {
        let program = program("UPDATE t SET a = :v WHERE id = :id RETURNING a, b INTO :x, :y");
        assert_eq!(program.binds, ["V", "ID", "X", "Y"]);
        assert_eq!(program.returning, [2, 3]);
        let Ok(Action::Run(parts, Effect::Write)) = program.action else { panic!() };
        assert_eq!(parts[0].sql, "UPDATE t SET a = $1 WHERE id = $2 RETURNING a , b");
        assert_eq!(parts[0].parameters, [0, 1]);
    }

    #[test]
    fn merge_tells_its_conditions_before_then() {
        check(
            "MERGE INTO t d USING (SELECT :id id, :v v FROM dual) s ON (d.id = s.id) \
             WHEN MATCHED THEN UPDATE SET d.v = s.v, d.n = CASE WHEN s.v > 1 THEN 1 END WHERE d.v < s.v \
             WHEN NOT MATCHED THEN INSERT (d.id, d.v) VALUES (s.id, s.v)",
            "MERGE INTO t d USING ( SELECT $1 id , $2 v FROM dual ) s ON ( d . id = s . id ) \
             WHEN MATCHED AND ( d . v < s . v ) THEN UPDATE SET v = s . v , n = CASE WHEN s . v > 1 THEN 1 END \
             WHEN NOT MATCHED THEN INSERT ( id , v ) VALUES ( s . id , s . v )",
        );
    }

    #[test]
    fn insert_all_is_an_insert_each() {
        check(
            "INSERT ALL INTO t (a) VALUES (:1) INTO u (b, c) VALUES (:2, 3) SELECT 1 FROM dual",
            "INSERT INTO t ( a ) VALUES ( $1 )\nINSERT INTO u ( b , c ) VALUES ( $1 , 3 )",
        );
    }
}
