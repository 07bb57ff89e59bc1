//! Rule 4: what one dialect reads differently from others, or not at all.
//!
//! A body is asked about the dialect that it is resolved for: those of the games that are looked at, and no
//! other. Whoever wants to know of another asks for it (`gateway check --game game1=oracle`).

use super::words::{MYSQL_WORDS, ORACLE_VALUES, ORACLE_WORDS};
use super::{oracle, phrases};
use crate::catalog::compile::chunks;
use crate::catalog::contract::{Decl, Key};
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::lexer::{self, Token, TokenKind};
use crate::catalog::resolve::Resolved;
use crate::catalog::tree::Body;
use crate::catalog::{Dialect, Kind};

/// The database's clock: two databases, and a retry, would see different times.
const CLOCK_WORDS: [&str; 5] =
    ["sysdate", "systimestamp", "current_timestamp", "current_date", "current_time"];
/// The same as functions.
const CLOCK_CALLS: [&str; 8] = [
    "now",
    "curdate",
    "curtime",
    "utc_timestamp",
    "utc_date",
    "utc_time",
    "localtime",
    "localtimestamp",
];

/// Asks about the statement of an operation, or each of its steps.
pub(crate) fn check(resolved: &Resolved, findings: &mut Findings) {
    let dialect = resolved.dialect;
    for body in bodies(resolved) {
        let Ok(tokens) = lexer::lex(&body.text, dialect, body.first_line) else { continue };
        let code: Vec<Token<'_>> = tokens.into_iter().filter(Token::is_code).collect();
        let mut rule = Portability { body: &body, dialect, findings, code: &code };
        rule.names();
        rule.literals();
        rule.ranges();
        rule.clocks();
        rule.locks();
        phrases::check(&body, dialect, &code, findings);
        if dialect == Dialect::Oracle {
            oracle::check(&body, &code, findings);
        }
    }
}

/// What is run: of a `tx` the steps, those of overrides in the places of others.
pub(super) fn bodies(resolved: &Resolved) -> Vec<Body> {
    let is_tx = resolved
        .one(Key::Kind)
        .is_some_and(|entry| matches!(&*entry.decl, Decl::Kind(decl) if decl.kind == Kind::Tx));
    if !is_tx {
        return resolved.body.clone().into_iter().collect();
    }
    // What is wrong with the steps themselves is told where they are compiled.
    let chunks = chunks(resolved, &mut Findings::default()).unwrap_or_default();
    chunks.into_iter().map(|chunk| chunk.body).collect()
}

struct Portability<'a, 'f> {
    body: &'a Body,
    dialect: Dialect,
    findings: &'f mut Findings,
    code: &'a [Token<'a>],
}

impl Portability<'_, '_> {
    fn token(&self, index: usize) -> Option<&Token<'_>> {
        self.code.get(index)
    }

    /// - `dialect`: the one that this is a fault in.
    fn tell(&mut self, dialect: Dialect, index: usize, message: String, fix: &str) {
        let Some(token) = self.code.get(index).filter(|_| self.dialect == dialect) else { return };
        let place = Place { line: token.line, column: token.column, ..self.body.place() };
        self.findings.error(Rule::Portability, &place, message, fix);
    }

    /// Reserved words where only a name can stand.
    fn names(&mut self) {
        for index in 0..self.code.len() {
            let Some(token) = self.token(index).filter(|token| token.kind == TokenKind::Word)
            else {
                continue;
            };
            let word = token.text.to_ascii_lowercase();
            let before = index.checked_sub(1).and_then(|index| self.token(index));
            let after = self.token(index + 1);
            let is_member = before.is_some_and(|token| token.is_punct("."));
            // `CAST(a AS NUMBER(10))`, `CAST(a AS DATE)`: a type.
            let is_type = after.is_some_and(|token| token.is_punct("(") || token.is_punct(")"))
                && ["number", "date", "raw", "long"].contains(&word.as_str());
            let is_alias = before.is_some_and(|token| token.is_word("as")) && !is_type;
            let is_set = after.is_some_and(|token| token.is_punct("="))
                && before.is_some_and(|token| token.is_word("set") || token.is_punct(","));
            let is_list = before.is_some_and(|token| token.is_punct("(") || token.is_punct(","))
                && after.is_some_and(|token| token.is_punct(",") || token.is_punct(")"));
            let fix = "choose another name, or write a body for the dialect";
            let is_value = self.body.dialect == Some(Dialect::Oracle)
                && ORACLE_VALUES.contains(&word.as_str());
            if (is_member || is_alias || is_set || is_list)
                && ORACLE_WORDS.contains(&word.as_str())
                && !is_value
            {
                self.tell(Dialect::Oracle, index, format!("`{word}` is reserved in Oracle"), fix);
            }
            if (is_alias || is_set || is_list) && MYSQL_WORDS.contains(&word.as_str()) {
                self.tell(Dialect::Mysql, index, format!("`{word}` is reserved in MySQL"), fix);
            }
        }
    }

    /// `''` is NULL in Oracle.
    fn literals(&mut self) {
        for index in 0..self.code.len() {
            if self.token(index).is_some_and(|t| t.kind == TokenKind::Text && t.text == "''") {
                let fix = "compare with IS NULL, or write a body for the dialect";
                self.tell(Dialect::Oracle, index, "'' is NULL in Oracle".to_owned(), fix);
            }
        }
    }

    /// `(a, b) < (x, y)`: Oracle has no such thing, and MySQL reads as many rows as with OFFSET.
    fn ranges(&mut self) {
        for index in 0..self.code.len() {
            let compares = self.token(index).is_some_and(|token| {
                ["<", ">", "<=", ">="].iter().any(|sign| token.is_punct(sign))
            });
            let around = index
                .checked_sub(1)
                .and_then(|before| self.token(before))
                .is_some_and(|t| t.is_punct(")"))
                && self.token(index + 1).is_some_and(|token| token.is_punct("("));
            if compares && around && self.has_comma_within(index + 1) {
                let fix = "write `a < x OR (a = x AND b < y)`";
                for dialect in [Dialect::Oracle, Dialect::Mysql] {
                    let message =
                        format!("a range over row values is none in {dialect}, or a slow one");
                    self.tell(dialect, index, message, fix);
                }
            }
        }
    }

    /// Whether the parenthesis at `open` has a comma at its own level.
    fn has_comma_within(&self, open: usize) -> bool {
        let mut depth = 0_u32;
        for token in self.code.iter().skip(open) {
            if token.is_punct("(") {
                depth += 1;
            } else if token.is_punct(")") {
                depth = depth.saturating_sub(1);
            } else if depth == 1 && (token.is_punct(",") || token.is_word("select")) {
                return token.is_punct(",");
            }
            if depth == 0 {
                return false;
            }
        }
        false
    }

    fn clocks(&mut self) {
        for index in 0..self.code.len() {
            let Some(token) = self.token(index).filter(|token| token.kind == TokenKind::Word)
            else {
                continue;
            };
            let word = token.text.to_ascii_lowercase();
            let is_member = index
                .checked_sub(1)
                .and_then(|before| self.token(before))
                .is_some_and(|token| token.is_punct(".") || token.is_word("as"));
            let is_call = self.token(index + 1).is_some_and(|token| token.is_punct("("));
            let reads_clock = CLOCK_WORDS.contains(&word.as_str())
                || (is_call && CLOCK_CALLS.contains(&word.as_str()))
                || (is_call
                    && self.token(index + 2).is_some_and(|t| t.text.eq_ignore_ascii_case("'now'")));
            if reads_clock && !is_member {
                let place = Place { line: token.line, column: token.column, ..self.body.place() };
                let message =
                    format!("`{word}` is the database's clock: a retry sees another time");
                self.findings.error(Rule::Portability, &place, message, "bind `:_now`");
            }
        }
    }

    /// Oracle cannot lock what `FETCH FIRST` cut.
    fn locks(&mut self) {
        let pair = |first: &str, second: &str| {
            self.code.windows(2).position(|two| match two {
                [a, b] => a.is_word(first) && b.is_word(second),
                _ => false,
            })
        };
        let cut = pair("fetch", "first").or_else(|| pair("fetch", "next"));
        let lock = pair("for", "update");
        if let Some(index) = cut.filter(|_| lock.is_some()) {
            let fix = "lock by key, or write a body for the dialect";
            let message = "FETCH FIRST with FOR UPDATE is ORA-02014 in Oracle".to_owned();
            self.tell(Dialect::Oracle, index, message, fix);
        }
    }
}
