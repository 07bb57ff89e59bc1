//! A second opinion on a statement's syntax, from a parser that does not know everything.
//!
//! What it cannot read is a warning at most: databases take more than it does.

use sqlparser::dialect::{MySqlDialect, OracleDialect, SQLiteDialect};
use sqlparser::parser::Parser;

use super::combinations;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::lexer;
use crate::catalog::{Dialect, Plan, Template};

/// Parses the fullest and the barest text of one of a template's statements.
pub(crate) fn check(template: &Template, plan: &Plan, place: &Place, findings: &mut Findings) {
    // A name and its arguments, which were read already.
    if template.procedure.is_some() {
        return;
    }
    let shapes = combinations(template, plan);
    for shape in [shapes.last(), shapes.first()].into_iter().flatten() {
        let Ok(rendered) = plan.render(template.dialect, shape) else { continue };
        if is_beyond(&rendered.sql, template.dialect) {
            return;
        }
        let parsed = match template.dialect {
            Dialect::Oracle => Parser::parse_sql(&OracleDialect {}, &rendered.sql),
            Dialect::Mysql => Parser::parse_sql(&MySqlDialect {}, &rendered.sql),
            Dialect::Sqlite => Parser::parse_sql(&SQLiteDialect {}, &rendered.sql),
        };
        if let Err(error) = parsed {
            let message = format!("the {} text may have a fault: {error}", template.dialect);
            let fix = "try it with `gateway render` in an SQL editor";
            findings.warning(Rule::Syntax, place, message, fix);
            return;
        }
    }
}

/// Sound SQL that the parser is known not to read: it would be a warning at each look.
fn is_beyond(sql: &str, dialect: Dialect) -> bool {
    // Words in a row; `*`: any one token.
    const BEYOND: [(Dialect, &[&str]); 8] = [
        (Dialect::Oracle, &["insert", "all"]),
        (Dialect::Oracle, &["insert", "first"]),
        (Dialect::Oracle, &["returning"]),
        (Dialect::Oracle, &["update", "wait"]),
        (Dialect::Oracle, &["log", "errors"]),
        (Dialect::Oracle, &["partition", "("]),
        (Dialect::Mysql, &["partition", "("]),
        (Dialect::Mysql, &["in", "share", "mode"]),
    ];
    let Ok(tokens) = lexer::lex(sql, dialect, 1) else { return false };
    let code: Vec<_> = tokens.into_iter().filter(lexer::Token::is_code).collect();
    let is = |token: &lexer::Token<'_>, word: &&str| {
        *word == "*" || token.is_word(word) || token.is_punct(word)
    };
    let stands = |words: &[&str]| {
        code.windows(words.len()).any(|some| some.iter().zip(words).all(|(a, b)| is(a, b)))
    };
    BEYOND.iter().any(|(of, words)| *of == dialect && stands(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_is_known_not_to_read_is_left_out_on_its_own_dialect() {
        let beyond = [
            (Dialect::Oracle, "INSERT ALL INTO t (a) VALUES (:b1) SELECT 1 FROM dual"),
            (Dialect::Oracle, "SELECT a FROM t WHERE b = :b1 FOR UPDATE WAIT 3"),
            (Dialect::Mysql, "SELECT a FROM t WHERE b = ? LOCK IN SHARE MODE"),
        ];
        for (dialect, sql) in beyond {
            assert!(is_beyond(sql, dialect), "{sql}");
        }
        assert!(!is_beyond("SELECT a FROM t WHERE b = ? FOR UPDATE", Dialect::Mysql));
        assert!(!is_beyond("SELECT partition FROM t LOCK IN SHARE MODE", Dialect::Sqlite));
    }
}
