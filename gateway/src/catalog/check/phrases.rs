//! What one dialect says and another does not know, as a table: the words, what is wrong with them, what to write.

use crate::catalog::Dialect;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::lexer::{Token, TokenKind};
use crate::catalog::tree::Body;

/// A phrase that a dialect does not know, or reads differently.
struct Phrase {
    dialect: Dialect,
    /// Words and signs in a row. `#`: a number or a bind.
    words: &'static [&'static str],
    fix: &'static str,
}

const fn oracle(words: &'static [&'static str], fix: &'static str) -> Phrase {
    Phrase { dialect: Dialect::Oracle, words, fix }
}

const fn mysql(words: &'static [&'static str], fix: &'static str) -> Phrase {
    Phrase { dialect: Dialect::Mysql, words, fix }
}

const PHRASES: [Phrase; 57] = [
    oracle(&["limit", "#"], "write `FETCH FIRST 1 ROWS ONLY`"),
    oracle(&["on", "duplicate", "key"], "write MERGE"),
    oracle(&["on", "conflict"], "write MERGE"),
    oracle(&["replace", "into"], "write MERGE"),
    oracle(&["insert", "ignore"], "write MERGE … WHEN NOT MATCHED"),
    oracle(&["insert", "or"], "write MERGE"),
    oracle(&["with", "recursive"], "write WITH alone"),
    oracle(&["for", "share"], "write FOR UPDATE, or nothing: Oracle has no shared locks of rows"),
    oracle(
        &["lock", "in", "share"],
        "write FOR UPDATE, or nothing: Oracle has no shared locks of rows",
    ),
    oracle(&["except"], "write MINUS"),
    oracle(
        &["interval", "#"],
        "quote the number: `INTERVAL '1' DAY`; of a bind, `:days * INTERVAL '1' DAY`",
    ),
    oracle(&["use", "index"], "write a hint: `/*+ INDEX(t name) */`"),
    oracle(&["force", "index"], "write a hint: `/*+ INDEX(t name) */`"),
    oracle(&["straight_join"], "write a hint: `/*+ ORDERED */`"),
    oracle(&["sql_no_cache"], "remove it"),
    oracle(&["=", "true"], "compare with 1"),
    oracle(&["=", "false"], "compare with 0"),
    oracle(&["is", "true"], "compare with 1"),
    oracle(&["is", "false"], "compare with 0"),
    oracle(&["<=>"], "write `(a = b OR (a IS NULL AND b IS NULL))`"),
    oracle(&["&&"], "write AND"),
    oracle(&["%"], "write MOD(a, b)"),
    oracle(&["if", "("], "write CASE WHEN … THEN … ELSE … END"),
    oracle(&["ifnull", "("], "write COALESCE or NVL"),
    oracle(&["group_concat", "("], "write LISTAGG"),
    oracle(&["string_agg", "("], "write LISTAGG"),
    oracle(&["substring", "("], "write SUBSTR"),
    oracle(&["char_length", "("], "write LENGTH"),
    oracle(&["locate", "("], "write INSTR"),
    oracle(&["rand", "("], "write DBMS_RANDOM.VALUE"),
    oracle(&["date_add", "("], "add an interval: `+ INTERVAL '1' DAY`"),
    oracle(&["date_sub", "("], "take an interval: `- INTERVAL '1' DAY`"),
    oracle(&["datediff", "("], "subtract the dates"),
    oracle(&["date_format", "("], "write TO_CHAR"),
    oracle(&["str_to_date", "("], "write TO_TIMESTAMP"),
    oracle(&["from_unixtime", "("], "bind a timestamp"),
    oracle(&["unix_timestamp", "("], "bind a timestamp"),
    oracle(&["last_insert_id", "("], "bind `:_id`"),
    oracle(&["json_extract", "("], "write JSON_VALUE or JSON_QUERY"),
    oracle(&["concat_ws", "("], "write `a || ',' || b`"),
    mysql(&["||"], "write CONCAT(a, b): `||` is OR there"),
    mysql(&["merge", "into"], "write INSERT … ON DUPLICATE KEY UPDATE"),
    mysql(&["on", "conflict"], "write ON DUPLICATE KEY UPDATE"),
    mysql(&["insert", "or"], "write INSERT IGNORE, or ON DUPLICATE KEY UPDATE"),
    mysql(&["insert", "all"], "write several rows behind one VALUES"),
    mysql(&["fetch", "first"], "write LIMIT"),
    mysql(&["fetch", "next"], "write LIMIT"),
    mysql(&["rownum"], "write LIMIT"),
    mysql(&["connect", "by"], "write WITH RECURSIVE"),
    mysql(&["minus", "select"], "write EXCEPT, or NOT EXISTS"),
    mysql(&["nextval"], "bind `:_id`"),
    mysql(&["nvl", "("], "write COALESCE"),
    mysql(&["decode", "("], "write CASE WHEN … THEN … END"),
    mysql(&["to_char", "("], "write DATE_FORMAT or CAST"),
    mysql(&["to_date", "("], "bind a date"),
    mysql(&["to_timestamp", "("], "bind a timestamp"),
    mysql(&["listagg", "("], "write GROUP_CONCAT"),
];

/// - `code`: of one statement.
pub(super) fn check(body: &Body, dialect: Dialect, code: &[Token<'_>], findings: &mut Findings) {
    for phrase in PHRASES.iter().filter(|phrase| phrase.dialect == dialect) {
        for (index, tokens) in code.windows(phrase.words.len()).enumerate() {
            let before = index.checked_sub(1).and_then(|index| code.get(index));
            // A column or an alias may be called so.
            let is_name = before.is_some_and(|token| token.is_punct(".") || token.is_word("as"))
                && phrase.words != ["nextval"];
            if is_name || !tokens.iter().zip(phrase.words).all(|(token, word)| is(token, word)) {
                continue;
            }
            let Some(token) = tokens.first() else { continue };
            let place = Place { line: token.line, column: token.column, ..body.place() };
            let message = format!("{} has no {}", database(dialect), shown(phrase.words));
            findings.error(Rule::Portability, &place, message, phrase.fix);
        }
    }
}

fn is(token: &Token<'_>, word: &str) -> bool {
    match word {
        "#" => matches!(token.kind, TokenKind::Number | TokenKind::Bind),
        _ => token.is_word(word) || token.is_punct(word),
    }
}

/// The phrase as people write it: `ON DUPLICATE KEY`, `IFNULL(…)`.
fn shown(words: &[&str]) -> String {
    let name = words.iter().filter(|word| **word != "(").map(|word| match *word {
        "#" => "n".to_owned(),
        word => word.to_ascii_uppercase(),
    });
    let name = name.collect::<Vec<_>>().join(" ");
    let call = if words.ends_with(&["("]) { "(…)" } else { "" };
    format!("`{name}{call}`")
}

/// The database's name as its makers write it.
pub(super) const fn database(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Oracle => "Oracle",
        Dialect::Mysql => "MySQL",
        Dialect::Sqlite => "SQLite",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::lexer;

    fn told(dialect: Dialect, sql: &str) -> Vec<String> {
        let body =
            Body { file: "a.sql".into(), text: sql.into(), first_line: 1, dialect: Some(dialect) };
        let tokens = lexer::lex(sql, dialect, 1).unwrap();
        let code: Vec<Token<'_>> = tokens.into_iter().filter(Token::is_code).collect();
        let mut findings = Findings::default();
        check(&body, dialect, &code, &mut findings);
        findings.0.iter().map(|finding| finding.message.to_string()).collect()
    }

    #[test]
    fn each_phrase_is_found_once_on_its_dialect_and_on_no_other() {
        for phrase in &PHRASES {
            let sql = phrase.words.join(" ").replace('#', "5");
            let told_here = told(phrase.dialect, &sql);
            assert_eq!(told_here.len(), 1, "{sql}");
            assert_eq!(told(Dialect::Sqlite, &sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn phrase_is_told_as_people_write_it() {
        let sql = "SELECT IFNULL(a, 1) FROM t WHERE b = :b LIMIT :n";
        assert_eq!(
            told(Dialect::Oracle, sql),
            ["Oracle has no `LIMIT n`", "Oracle has no `IFNULL(…)`"]
        );
        assert_eq!(told(Dialect::Mysql, "SELECT a || b FROM t"), ["MySQL has no `||`"]);
    }

    #[test]
    fn names_and_texts_are_no_phrases() {
        let sql = "SELECT t.rownum, t.minus, a AS nvl, 'ON CONFLICT' AS b FROM t -- LIMIT 5";
        assert_eq!(told(Dialect::Mysql, sql), [""; 0]);
        assert_eq!(told(Dialect::Oracle, "SELECT t.limit, '`' FROM t"), [""; 0]);
    }
}
