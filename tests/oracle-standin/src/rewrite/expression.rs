//! Expressions, wherever they stand: functions, operators and values that PostgreSQL calls otherwise.

use super::lexer::Token;
use crate::error::OracleError;

/// Words of Oracle that are values or calls without parentheses, and what they are here.
const VALUES: &[(&str, &str)] = &[
    ("SYSDATE", "oracle_standin.sysdate()"),
    ("SYSTIMESTAMP", "clock_timestamp()"),
    ("CURRENT_DATE", "clock_timestamp()::timestamp(0)"),
    ("CURRENT_TIMESTAMP", "clock_timestamp()"),
    ("LOCALTIMESTAMP", "clock_timestamp()::timestamp"),
    ("UID", "1::numeric"),
    ("USER", "upper(current_schema())"),
    ("SESSIONTIMEZONE", "current_setting('TimeZone')"),
    ("DBTIMEZONE", "'+00:00'"),
];

/// Functions whose names differ, or mean something else in PostgreSQL.
const FUNCTIONS: &[(&str, &str)] = &[
    ("NVL", "coalesce"),
    ("TO_DATE", "oracle_standin.ora_to_date"),
    ("TO_TIMESTAMP", "oracle_standin.ora_to_timestamp"),
    ("TO_TIMESTAMP_TZ", "oracle_standin.ora_to_timestamp_tz"),
    ("TO_CHAR", "oracle_standin.ora_to_char"),
    ("TO_NUMBER", "oracle_standin.ora_to_number"),
    ("TO_CLOB", "oracle_standin.ora_to_clob"),
    ("SUBSTR", "oracle_standin.ora_substr"),
    ("SUBSTRB", "oracle_standin.ora_substr"),
    ("TRUNC", "oracle_standin.ora_trunc"),
    ("LENGTHB", "octet_length"),
    ("SYS_EXTRACT_UTC", "oracle_standin.sys_extract_utc"),
    ("EMPTY_CLOB", "oracle_standin.empty_clob"),
    ("EMPTY_BLOB", "oracle_standin.empty_blob"),
];

/// Words that PostgreSQL keeps for itself and Oracle leaves to names.
const RESERVED_ELSEWHERE: &[&str] = &[
    "LIMIT",
    "DO",
    "ANALYZE",
    "ANALYSE",
    "VERBOSE",
    "PLACING",
    "FREEZE",
    "ILIKE",
    "ISNULL",
    "NOTNULL",
    "SIMILAR",
    "VARIADIC",
    "ARRAY",
    "ASYMMETRIC",
    "SYMMETRIC",
    "OVERLAPS",
    "TABLESAMPLE",
    "WINDOW",
    "LOCALTIME",
    "SESSION_USER",
    "CURRENT_ROLE",
    "CURRENT_CATALOG",
    "DEFERRABLE",
    "INITIALLY",
    "COLLATION",
    "CONCURRENTLY",
];

/// Quotes the names that PostgreSQL would take for keywords.
pub fn names(tokens: Vec<Token>) -> Vec<Token> {
    tokens
        .into_iter()
        .map(|token| match token {
            Token::Word(word)
                if RESERVED_ELSEWHERE.contains(&word.to_ascii_uppercase().as_str()) =>
            {
                Token::Quoted(word.to_ascii_uppercase())
            }
            other => other,
        })
        .collect()
}

/// The operator that takes NULL for the empty text.
const CONCATENATION: &str = "|||";

/// Rewrites every expression of a statement.
///
/// # Errors
/// ORA-00938: a function has not enough arguments.
pub fn rewrite(tokens: Vec<Token>) -> Result<Vec<Token>, OracleError> {
    short_lists(&tokens)?;
    let tokens = likes(casts(decode(tokens)?)?);
    let mut made = Vec::with_capacity(tokens.len());
    let mut rest = names(tokens).into_iter().peekable();
    while let Some(token) = rest.next() {
        let after_dot = made.last().is_some_and(|last: &Token| last.is_symbol("."));
        let Token::Word(word) = &token else {
            symbol_or_value(&mut made, token);
            continue;
        };
        let upper = word.to_ascii_uppercase();
        if after_dot && matches!(upper.as_str(), "NEXTVAL" | "CURRVAL") {
            sequence(&mut made, &upper);
            continue;
        }
        let calls = rest.peek().is_some_and(|next| next.is_symbol("("));
        let dotted = after_dot || rest.peek().is_some_and(|next| next.is_symbol("."));
        if dotted {
            made.push(token);
        } else if calls {
            let renamed = FUNCTIONS.iter().find(|(name, _)| *name == upper);
            made.push(renamed.map_or(token, |(_, name)| Token::Made((*name).to_owned())));
        } else if upper == "DATE" && matches!(rest.peek(), Some(Token::Text(_))) {
            made.push(Token::Made("timestamp(0)".to_owned()));
        } else {
            let value = VALUES.iter().find(|(name, _)| *name == upper);
            made.push(value.map_or(token, |(_, value)| Token::Made((*value).to_owned())));
        }
    }
    Ok(made)
}

/// Whether a token is a value whose type PostgreSQL would take from the other side of an operator.
const fn is_of_any_type(token: &Token) -> bool {
    matches!(token, Token::Text(_) | Token::Bind(_))
}

fn symbol_or_value(made: &mut Vec<Token>, token: Token) {
    let is_text = || Token::Made("::text".to_owned());
    if token.is_symbol("||") {
        if made.last().is_some_and(is_of_any_type) {
            made.push(is_text());
        }
        made.push(Token::Made(CONCATENATION.to_owned()));
    } else if token.is_symbol("/") {
        // Integers are divided as numbers are.
        made.extend([Token::Symbol("*"), Token::Made("1.0".to_owned()), token]);
    } else {
        let is_joined = matches!(made.last(), Some(Token::Made(last)) if last == CONCATENATION);
        let is_joined = is_joined && is_of_any_type(&token);
        made.push(token);
        if is_joined {
            made.push(is_text());
        }
    }
}

/// Turns `owner . s .`, already made, into a call for the sequence's value.
fn sequence(made: &mut Vec<Token>, function: &str) {
    made.pop();
    let mut name = Vec::new();
    if let Some(last) = made.pop() {
        name.push(last);
    }
    while made.last().is_some_and(|last| last.is_symbol(".")) && made.len() > 1 {
        made.pop();
        if let Some(owner) = made.pop() {
            name.insert(0, owner);
        }
    }
    let quoted: Vec<String> = name
        .into_iter()
        .map(|token| match token {
            Token::Word(word) => word.to_lowercase(),
            other => super::part(vec![other]).sql,
        })
        .collect();
    let name = quoted.join(".").replace('\'', "''");
    made.push(Token::Made(format!("{}('{name}')::numeric", function.to_lowercase())));
}

/// `DECODE(e, a, x, …, y)` becomes a CASE that takes NULL for equal to NULL.
fn decode(tokens: Vec<Token>) -> Result<Vec<Token>, OracleError> {
    let Some(start) = (0..tokens.len()).rev().find(|index| is_call(&tokens, *index, "DECODE"))
    else {
        return Ok(tokens);
    };
    let (arguments, end) = arguments(&tokens, start + 1)?;
    let [subject, rest @ ..] = arguments.as_slice() else {
        return Err(OracleError::new(938, "not enough arguments for function"));
    };
    if rest.len() < 2 {
        return Err(OracleError::new(938, "not enough arguments for function"));
    }
    let made = |text: &str| Token::Made(text.to_owned());
    let mut case = vec![made("(CASE")];
    for pair in rest.chunks(2) {
        match pair {
            [value, result] => {
                case.push(made("WHEN ("));
                case.extend_from_slice(subject);
                case.push(made(") IS NOT DISTINCT FROM ("));
                case.extend_from_slice(value);
                case.push(made(") THEN"));
                case.extend_from_slice(result);
            }
            [otherwise] => {
                case.push(made("ELSE"));
                case.extend_from_slice(otherwise);
            }
            _ => {}
        }
    }
    case.push(made("END)"));
    let mut whole: Vec<Token> = tokens.get(..start).unwrap_or_default().to_vec();
    whole.extend(case);
    whole.extend_from_slice(tokens.get(end + 1..).unwrap_or_default());
    decode(whole)
}

/// Most expressions of one list.
const LIST_MAX: usize = 1000;

/// # Errors
/// ORA-01795: a list is longer than Oracle takes.
fn short_lists(tokens: &[Token]) -> Result<(), OracleError> {
    for (index, _) in tokens.iter().enumerate().filter(|(_, token)| token.is("IN")) {
        let opens = tokens.get(index + 1).is_some_and(|token| token.is_symbol("("));
        if opens && arguments(tokens, index + 1)?.0.len() > LIST_MAX {
            return Err(OracleError::new(1795, "maximum number of expressions in a list is 1000"));
        }
    }
    Ok(())
}

/// `CAST(e AS type)`: the type is one of a column's.
fn casts(mut tokens: Vec<Token>) -> Result<Vec<Token>, OracleError> {
    for index in
        (0..tokens.len()).rev().filter(|index| is_call(&tokens, *index, "CAST")).collect::<Vec<_>>()
    {
        let end = closing(&tokens, index + 1)?;
        let before = |at: &usize| tokens.get(*at).is_some_and(|token| token.is("AS"));
        let place = (index..end).rev().find(before);
        let place = place.ok_or_else(|| OracleError::new(905, "missing keyword"))?;
        let (data_type, used) =
            super::ddl::data_type(tokens.get(place + 1..end).unwrap_or_default())?;
        if place + 1 + used == end {
            tokens.splice(place + 1..end, [Token::Made(data_type)]);
        }
    }
    Ok(tokens)
}

/// What ends the pattern of a LIKE, besides a comma or a closing parenthesis.
const PATTERN_ENDS: &[&str] = &[
    "AND",
    "OR",
    "ESCAPE",
    "GROUP",
    "ORDER",
    "HAVING",
    "FETCH",
    "OFFSET",
    "FOR",
    "UNION",
    "MINUS",
    "EXCEPT",
    "INTERSECT",
    "THEN",
    "WHEN",
    "ELSE",
    "END",
    "RETURNING",
    "LIMIT",
];

/// A LIKE without ESCAPE has no escape in Oracle, and a backslash in PostgreSQL.
fn likes(tokens: Vec<Token>) -> Vec<Token> {
    let mut made = Vec::with_capacity(tokens.len());
    // Depths at which a pattern is open.
    let mut open: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    for token in tokens {
        let ends = token.is_symbol(",") || token.is_symbol(")") || token.is_any(PATTERN_ENDS);
        if ends && open.last() == Some(&depth) {
            open.pop();
            if !token.is("ESCAPE") {
                made.push(Token::Made("ESCAPE ''".to_owned()));
            }
        }
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        } else if token.is("LIKE") {
            open.push(depth);
        }
        made.push(token);
    }
    made.extend(open.iter().map(|_| Token::Made("ESCAPE ''".to_owned())));
    made
}

/// Whether a call of that function starts at this token.
pub fn is_call(tokens: &[Token], index: usize, name: &str) -> bool {
    tokens.get(index).is_some_and(|token| token.is(name))
        && tokens.get(index + 1).is_some_and(|token| token.is_symbol("("))
        && !index
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .is_some_and(|token| token.is_symbol("."))
}

/// The arguments between parentheses, of which the first is at `open`; and where the closing one is.
///
/// # Errors
/// ORA-00907: it is missing.
pub fn arguments(tokens: &[Token], open: usize) -> Result<(Vec<Vec<Token>>, usize), OracleError> {
    let end = closing(tokens, open)?;
    let inner = tokens.get(open + 1..end).unwrap_or_default();
    Ok((split(inner), end))
}

/// Where the parenthesis closes that opens at `open`.
///
/// # Errors
/// ORA-00907: nowhere.
pub fn closing(tokens: &[Token], open: usize) -> Result<usize, OracleError> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Ok(index);
            }
        }
    }
    Err(OracleError::new(907, "missing right parenthesis"))
}

/// Splits at the commas that are in no parentheses.
pub fn split(tokens: &[Token]) -> Vec<Vec<Token>> {
    let mut depth = 0_usize;
    let mut parts = vec![Vec::new()];
    for token in tokens {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        } else if token.is_symbol(",") && depth == 0 {
            parts.push(Vec::new());
            continue;
        }
        if let Some(last) = parts.last_mut() {
            last.push(token.clone());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn functions_and_values_are_renamed_but_columns_of_their_names_are_not() {
        check(
            "SELECT NVL(a, 0), t.nvl, SYSDATE FROM t",
            "SELECT coalesce ( a , 0 ) , t . nvl , oracle_standin.sysdate() FROM t",
        );
        check("SELECT DATE '2026-01-02' FROM dual", "SELECT timestamp(0) '2026-01-02' FROM dual");
        check("SELECT limit, x.\"do\" FROM t", "SELECT \"limit\" , x . \"=do\" FROM t");
    }

    #[test]
    fn pattern_has_no_escape_but_the_one_that_is_given() {
        check(
            "SELECT a FROM t WHERE (a LIKE :p || '%') AND b NOT LIKE 'x\\_' OR c LIKE 'y' ESCAPE '!'",
            "SELECT a FROM t WHERE ( a LIKE $1 ::text ||| '%' ::text ESCAPE '' ) AND b NOT LIKE 'x\\_' ESCAPE '' OR c LIKE 'y' ESCAPE '!'",
        );
    }

    #[test]
    fn list_of_more_than_1000_is_refused() {
        let list =
            |count: usize| format!("SELECT a FROM t WHERE a IN (1{})", ", 1".repeat(count - 1));
        let of = |count| super::super::program(&list(count)).action.map(drop);
        assert_eq!((of(1000), of(1001).unwrap_err().code), (Ok(()), 1795));
    }

    #[test]
    fn casts_name_types_of_columns() {
        check(
            "SELECT CAST(CAST(a AS DATE) AS TIMESTAMP), CAST(:b AS NUMBER(10,2)) FROM t",
            "SELECT CAST ( CAST ( a AS timestamp(0) ) AS timestamp(6) ) , CAST ( $1 AS numeric(10,2) ) FROM t",
        );
    }

    #[test]
    fn sequences_are_asked_by_call() {
        check("SELECT s.NEXTVAL FROM dual", "SELECT nextval('s')::numeric FROM dual");
        check("SELECT Own.S.CURRVAL FROM dual", "SELECT currval('own.s')::numeric FROM dual");
    }

    #[test]
    fn empty_text_is_null_and_concatenation_skips_it() {
        check("SELECT a || '' FROM t", "SELECT a ||| NULL ::text FROM t");
        check("SELECT 7 / 2 FROM dual", "SELECT 7 * 1.0 / 2 FROM dual");
    }

    #[test]
    fn decode_is_a_case_that_finds_null() {
        check(
            "SELECT DECODE(a, NULL, 'n', 1, DECODE(b, 2, 'x'), 'z') FROM t",
            "SELECT (CASE WHEN ( a ) IS NOT DISTINCT FROM ( NULL ) THEN 'n' WHEN ( a ) IS NOT DISTINCT FROM ( 1 ) THEN \
             (CASE WHEN ( b ) IS NOT DISTINCT FROM ( 2 ) THEN 'x' END) ELSE 'z' END) FROM t",
        );
    }
}
