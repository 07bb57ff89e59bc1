//! What the shape of a statement may not be on Oracle. Written for 12.1 and later; what only 23ai takes (rows behind
//! VALUES, a SELECT without FROM) is told, too.

use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::lexer::{Token, TokenKind};
use crate::catalog::tree::Body;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// - `code`: of one statement.
pub(super) fn check(body: &Body, code: &[Token<'_>], findings: &mut Findings) {
    let mut shape = Shape { body, code, findings };
    for index in 0..code.len() {
        shape.long_name(index);
        shape.backtick(index);
        shape.table_alias(index);
        shape.rows(index);
        shape.select(index);
        shape.join_that_writes(index);
    }
}

struct Shape<'a, 'f> {
    body: &'a Body,
    code: &'a [Token<'a>],
    findings: &'f mut Findings,
}

impl Shape<'_, '_> {
    fn tell(&mut self, index: usize, message: String, fix: &str) {
        let Some(token) = self.code.get(index) else { return };
        let place = Place { line: token.line, column: token.column, ..self.body.place() };
        self.findings.error(Rule::Portability, &place, message, fix);
    }

    fn is_word(&self, index: usize, words: &[&str]) -> bool {
        self.code.get(index).is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    fn is_punct(&self, index: usize, sign: &str) -> bool {
        self.code.get(index).is_some_and(|token| token.is_punct(sign))
    }

    fn is_name(&self, index: usize) -> bool {
        let named = |token: &Token<'_>| matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
        self.code.get(index).is_some_and(named)
    }

    fn long_name(&mut self, index: usize) {
        let Some(token) = self.code.get(index).filter(|_| self.is_name(index)) else { return };
        let name = token.text.trim_matches('"');
        if name.len() > NAME_BYTES_MAX {
            let short: String = name.chars().take(20).collect();
            let message = format!("`{short}…` is longer than {NAME_BYTES_MAX} bytes");
            self.tell(index, message, "choose a shorter name");
        }
    }

    fn backtick(&mut self, index: usize) {
        let is_first = self.code.iter().take(index).all(|token| !token.text.contains('`'));
        if is_first && self.code.get(index).is_some_and(|token| token.text.starts_with('`')) {
            let fix = "write the name alone, or in double quotes and in capitals";
            self.tell(index, "a backtick quotes nothing in Oracle".to_owned(), fix);
        }
    }

    /// `FROM t AS x`, `FROM (SELECT …) AS x`: an alias of a table stands without AS.
    fn table_alias(&mut self, index: usize) {
        if !self.is_word(index, &["as"]) {
            return;
        }
        let Some(mut at) = index.checked_sub(1) else { return };
        if self.is_punct(at, ")") {
            let Some(open) = self.opening(at) else { return };
            at = open;
        } else if self.is_name(at) {
            while at >= 2 && self.is_punct(at - 1, ".") {
                at -= 2;
            }
        } else {
            return;
        }
        let is_table = at.checked_sub(1).is_some_and(|before| {
            self.is_word(before, &["from", "join", "update", "into", "using"])
                || (self.is_punct(before, ",") && self.is_in_from(before))
        });
        if is_table {
            let message = "AS before a table's alias is ORA-00933 in Oracle".to_owned();
            self.tell(index, message, "write the alias alone: `FROM player p`");
        }
    }

    /// Whether the comma at `index` stands in a `FROM` list: the nearest clause before it, at its depth, is FROM.
    fn is_in_from(&self, index: usize) -> bool {
        const CLAUSES: [&str; 9] =
            ["select", "from", "where", "group", "order", "having", "set", "values", "with"];
        let mut depth = 0_i32;
        for at in (0..index).rev() {
            depth += i32::from(self.is_punct(at, ")")) - i32::from(self.is_punct(at, "("));
            if depth < 0 {
                return false;
            }
            if depth == 0 && self.is_word(at, &CLAUSES) {
                return self.is_word(at, &["from"]);
            }
        }
        false
    }

    /// The parenthesis that the one at `close` closes.
    fn opening(&self, close: usize) -> Option<usize> {
        let mut depth = 0_u32;
        for at in (0..=close).rev() {
            if self.is_punct(at, ")") {
                depth += 1;
            } else if self.is_punct(at, "(") {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        None
    }

    /// `VALUES (…), (…)`.
    fn rows(&mut self, index: usize) {
        if !self.is_word(index, &["values"]) || !self.is_punct(index + 1, "(") {
            return;
        }
        let mut depth = 0_u32;
        let close = (index + 1..self.code.len()).find(|at| {
            depth += u32::from(self.is_punct(*at, "("));
            depth -= u32::from(self.is_punct(*at, ")"));
            depth == 0
        });
        if let Some(comma) = close.map(|close| close + 1).filter(|next| self.is_punct(*next, ",")) {
            let fix = "write INSERT ALL … SELECT 1 FROM dual, or a step `each`";
            self.tell(
                comma,
                "several rows behind VALUES are ORA-00933 before 23ai".to_owned(),
                fix,
            );
        }
    }

    /// A SELECT without FROM.
    fn select(&mut self, index: usize) {
        if !self.is_word(index, &["select"]) {
            return;
        }
        let mut depth = 0_i32;
        for at in index + 1..self.code.len() {
            depth += i32::from(self.is_punct(at, "(")) - i32::from(self.is_punct(at, ")"));
            let ends =
                depth < 0 || (depth == 0 && self.is_word(at, &["union", "minus", "intersect"]));
            if ends {
                break;
            }
            if depth == 0 && self.is_word(at, &["from"]) {
                return;
            }
        }
        let message = "a SELECT without FROM is ORA-00923 before 23ai".to_owned();
        self.tell(index, message, "add `FROM dual`");
    }

    /// `UPDATE a JOIN b …`, `DELETE a FROM a JOIN b …`.
    fn join_that_writes(&mut self, index: usize) {
        let joins = index == 0 && self.is_word(0, &["update", "delete"]);
        let mut depth = 0_i32;
        let joined = |at: &usize| {
            depth += i32::from(self.is_punct(*at, "(")) - i32::from(self.is_punct(*at, ")"));
            depth == 0 && self.is_word(*at, &["join"])
        };
        if let Some(at) = (0..self.code.len()).filter(|_| joins).find(joined) {
            let fix = "write MERGE, or a subquery: `WHERE id IN (SELECT …)`";
            self.tell(at, "Oracle does not write through a join".to_owned(), fix);
        }
    }
}
