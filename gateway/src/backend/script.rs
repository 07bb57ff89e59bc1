//! The lexical form of SQL: enough to cut a script into statements and to see which words one has.
//!
//! Strings, quoted names and comments are passed over whole, by the rules of the dialect.
//! Nothing here understands SQL beyond that.

use super::compound::Compound;
use crate::config::Dialect;

/// A piece of SQL that is neither space nor comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, a name or a number.
    Word(&'a str),
    /// A string or a quoted name, with its quotes; or a comment that MySQL executes.
    Quoted(&'a str),
    /// Any other character.
    Symbol(char),
}

impl Token<'_> {
    /// Whether it is that keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// A statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The line it begins on, from 1.
    pub line: usize,
    /// Its text, without the `;`.
    pub text: &'a str,
}

/// Why a script cannot be cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct ScriptFault {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub fault: &'static str,
}

/// Reads SQL token by token.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
    open: Option<&'static str>,
}

impl<'a> Tokens<'a> {
    /// Begins at the start of `sql`.
    pub(super) const fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self { sql, at: 0, dialect, open: None }
    }

    /// What was begun and never ended, once the tokens are over.
    pub(super) const fn unended(&self) -> Option<&'static str> {
        self.open
    }

    /// Where the next token is looked for, in bytes.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or("")
    }

    /// Passes over spaces and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let length = if self.is_executed(trimmed) {
                return;
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                self.length_to(comment, "*/", "a comment is never closed").map(|to| to + 2)
            } else if self.is_line_comment(trimmed) {
                Some(trimmed.find('\n').unwrap_or(trimmed.len()))
            } else {
                return;
            };
            self.at += length.unwrap_or(trimmed.len());
        }
    }

    /// `/*! … */` is a comment to others and SQL to MySQL; so is `/*M! … */` to MariaDB.
    fn is_executed(&self, text: &str) -> bool {
        self.dialect == Dialect::Mysql && (text.starts_with("/*!") || text.starts_with("/*M!"))
    }

    /// MySQL wants a space after `--`, and has `#` besides.
    fn is_line_comment(&self, text: &str) -> bool {
        match self.dialect {
            Dialect::Mysql => {
                let after = text.strip_prefix("--").map(|rest| rest.chars().next());
                text.starts_with('#') || after.is_some_and(|next| next.is_none_or(is_blank))
            }
            _ => text.starts_with("--"),
        }
    }

    /// Bytes of Oracle's `q'[…]'` or `nq'!…!'` at the start of `text`.
    fn oracle_quoted_bytes(&mut self, text: &str) -> Option<usize> {
        let opened = text.trim_start_matches(['n', 'N']);
        let opens = self.dialect == Dialect::Oracle && text.len() - opened.len() < 2;
        let inside = opens.then(|| opened.strip_prefix(['q', 'Q'])?.strip_prefix('\''))??;
        let open = inside.chars().next()?;
        let close = match open {
            '[' => ']',
            '(' => ')',
            '{' => '}',
            '<' => '>',
            other => other,
        };
        let end = inside.get(open.len_utf8()..)?.find(&format!("{close}'"));
        if end.is_none() {
            self.open = Some("a string or quoted name is never closed");
        }
        let before = text.len() - inside.len() + open.len_utf8();
        Some(end.map_or(text.len(), |end| before + end + close.len_utf8() + 1))
    }

    fn length_to(&mut self, text: &str, end: &str, fault: &'static str) -> Option<usize> {
        let found = text.find(end).map(|to| to + end.len());
        if found.is_none() {
            self.open = Some(fault);
        }
        found
    }

    /// Bytes of the quoted text at the start of `text`, quotes and all. A doubled quote is one of the text;
    /// in MySQL's strings so is one after a backslash.
    fn quoted_bytes(&mut self, text: &str, quote: char) -> usize {
        let close = if quote == '[' { ']' } else { quote };
        let escapes = self.dialect == Dialect::Mysql && quote != '`';
        let mut characters = text.char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character == '\\' && escapes {
                characters.next();
            } else if character == close
                && characters.next_if(|(_, next)| *next == close && quote != '[').is_none()
            {
                return at + close.len_utf8();
            }
        }
        self.open = Some("a string or quoted name is never closed");
        text.len()
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let quotes = match self.dialect {
            Dialect::Sqlite => "'\"`[",
            Dialect::Mysql => "'\"`",
            Dialect::Oracle => "'\"",
        };
        let (length, token): (usize, fn(&'a str) -> Token<'a>) =
            if let Some(length) = self.oracle_quoted_bytes(rest) {
                (length, Token::Quoted)
            } else if self.is_executed(rest) {
                let length = self.length_to(rest, "*/", "a comment is never closed");
                (length.unwrap_or(rest.len()), Token::Quoted)
            } else if quotes.contains(first) {
                (self.quoted_bytes(rest, first), Token::Quoted)
            } else if is_word(first) {
                (rest.find(|next| !is_word(next)).unwrap_or(rest.len()), Token::Word)
            } else {
                self.at += first.len_utf8();
                return Some(Token::Symbol(first));
            };
        self.at += length;
        rest.get(..length).map(token)
    }
}

const fn is_blank(character: char) -> bool {
    character.is_ascii_whitespace() || character.is_ascii_control()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '@')
}

/// Cuts a script into its statements. Empty ones are left out.
///
/// # Errors
///
/// [`ScriptFault`] for what it would cut wrongly: a string, a comment or a body that never ends, `DELIMITER`, and for
/// the statements of transactions, which are the migration's own.
pub(super) fn split(sql: &str, dialect: Dialect) -> Result<Vec<Part<'_>>, ScriptFault> {
    let mut tokens = Tokens::new(sql, dialect);
    let mut parts = Vec::new();
    loop {
        tokens.skip_blank();
        let start = tokens.at();
        let Some((end, ended)) = statement_end(&mut tokens, start)? else { break };
        let text = sql.get(start..end).unwrap_or("").trim_end();
        if !text.is_empty() {
            parts.push(Part { line: line_of(sql, start), text });
        }
        if !ended {
            break;
        }
    }
    match tokens.unended() {
        Some(fault) => {
            let line = parts.last().map_or(1, |part| part.line);
            Err(ScriptFault { line, fault })
        }
        None => Ok(parts),
    }
}

/// Where the statement ends, and whether a `;` ended it; `None` when there is none.
fn statement_end(
    tokens: &mut Tokens<'_>,
    start: usize,
) -> Result<Option<(usize, bool)>, ScriptFault> {
    let mut words = Opening::default();
    loop {
        let Some(token) = tokens.next() else {
            if !words.compound.is_whole() && tokens.unended().is_none() {
                let fault = "a body is never closed: its BEGIN has no END";
                return Err(ScriptFault { line: line_of(tokens.sql, start), fault });
            }
            let end = tokens.at();
            return Ok((end > start).then_some((end, false)));
        };
        if let Some(fault) = words.take(token, tokens.dialect) {
            return Err(ScriptFault { line: line_of(tokens.sql, start), fault });
        }
        if token == Token::Symbol('/') && is_alone(tokens) {
            return Ok(Some((tokens.at() - 1, true)));
        }
        if token == Token::Symbol(';') && !words.in_body() {
            return Ok(Some((tokens.at() - 1, true)));
        }
    }
}

/// Whether the character just read is a line's only one. Oracle's blocks end at such a `/`, since they have `;` within.
fn is_alone(tokens: &Tokens<'_>) -> bool {
    let is_line = |part: &str| part.trim().is_empty();
    let (before, after) = (tokens.sql.get(..tokens.at() - 1), tokens.sql.get(tokens.at()..));
    tokens.dialect == Dialect::Oracle
        && before.is_some_and(|text| is_line(text.rsplit('\n').next().unwrap_or("")))
        && after.is_some_and(|text| is_line(text.split('\n').next().unwrap_or("")))
}

/// What the words so far say of a statement.
#[derive(Debug, Default)]
struct Opening {
    count: usize,
    creates: bool,
    stored: bool,
    body: Body,
    /// Of a stored program of MySQL.
    compound: Compound,
    block: Block,
}

/// Whether a statement is a block of Oracle's, which a `/` ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Block {
    #[default]
    No,
    /// `CREATE OR REPLACE …`, so far.
    Perhaps,
    Yes,
}

/// Where in the body of an SQLite trigger a statement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    /// There is none.
    #[default]
    None,
    /// Within.
    Open,
    /// Within, right after a `;`.
    Between,
    /// `END` came right after a `;`: the next one ends the statement.
    Closed,
}

/// What Oracle creates by blocks, and what stands between `CREATE` and these.
const ORACLE_BLOCKS: [&str; 5] = ["TRIGGER", "PROCEDURE", "FUNCTION", "PACKAGE", "TYPE"];
const ORACLE_BETWEEN: [&str; 7] =
    ["OR", "REPLACE", "EDITIONABLE", "NONEDITIONABLE", "IF", "NOT", "EXISTS"];
/// What only the client SQL*Plus knows.
const SQLPLUS_WORDS: [&str; 8] =
    ["PROMPT", "WHENEVER", "SPOOL", "EXIT", "DEFINE", "EXEC", "EXECUTE", "REM"];

impl Opening {
    /// Looks at the next token; says what is wrong with it.
    fn take(&mut self, token: Token<'_>, dialect: Dialect) -> Option<&'static str> {
        self.count += 1;
        if dialect == Dialect::Oracle {
            return self.take_oracle(token);
        }
        if self.count == 1 {
            self.creates = token.is("CREATE");
            if token.is("DELIMITER") {
                return Some(
                    "DELIMITER is the mysql client's own word; leave it out, a body ends at its END",
                );
            }
            let transaction = ["BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "END"];
            if transaction.iter().any(|keyword| token.is(keyword)) {
                return Some("transactions are the migration's own; leave this statement out");
            }
        }
        let kinds = ["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"];
        self.stored |= self.creates && self.count <= 8 && kinds.iter().any(|kind| token.is(kind));
        if self.stored && dialect == Dialect::Mysql {
            self.compound.take(token);
        } else if self.stored && token.is("BEGIN") && self.body == Body::None {
            self.body = Body::Open;
        } else {
            self.body = match (self.body, token) {
                (Body::None, _) => Body::None,
                (Body::Between, token) if token.is("END") => Body::Closed,
                (Body::Closed, Token::Symbol(';')) => Body::Closed,
                (_, Token::Symbol(';')) => Body::Between,
                _ => Body::Open,
            };
        }
        None
    }

    fn take_oracle(&mut self, token: Token<'_>) -> Option<&'static str> {
        let is_any = |words: &[&str]| words.iter().any(|word| token.is(word));
        self.block = match self.block {
            _ if self.count == 1 && is_any(&["BEGIN", "DECLARE"]) => Block::Yes,
            _ if self.count == 1 && token.is("CREATE") => Block::Perhaps,
            Block::Perhaps if is_any(&ORACLE_BLOCKS) => Block::Yes,
            Block::Perhaps if !is_any(&ORACLE_BETWEEN) => Block::No,
            block => block,
        };
        if self.count > 1 {
            return None;
        }
        if is_any(&["COMMIT", "ROLLBACK", "SAVEPOINT"]) {
            return Some("transactions are the migration's own; leave this statement out");
        }
        is_any(&SQLPLUS_WORDS).then_some("this is SQL*Plus' own word; leave it out")
    }

    /// Whether a `;` now belongs to a body.
    fn in_body(&self) -> bool {
        self.block == Block::Yes
            || self.compound.is_open()
            || matches!(self.body, Body::Open | Body::Between)
    }
}

/// The line that a byte is on, from 1.
fn line_of(sql: &str, at: usize) -> usize {
    sql.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, sql: &str, expected: &[&str]) {
        let parts = split(sql, dialect).expect("a good script");
        let texts: Vec<&str> = parts.iter().map(|part| part.text).collect();
        assert_eq!(texts, expected);
    }

    #[track_caller]
    fn check_fault(dialect: Dialect, sql: &str, line: usize, words: &str) {
        let fault = split(sql, dialect).expect_err("a bad script");
        assert!(fault.line == line && fault.fault.contains(words), "{fault}");
    }

    #[test]
    fn semicolons_in_strings_names_and_comments_cut_nothing() {
        for dialect in [Dialect::Mysql, Dialect::Sqlite] {
            check(
                dialect,
                "A ';' 'it''s;';\n-- no; not here\nB \"x;y\" `z;` /* ; */ C;;\n ; D",
                &["A ';' 'it''s;'", "B \"x;y\" `z;` /* ; */ C", "D"],
            );
        }
    }

    #[test]
    fn dialects_differ_in_backslashes_hashes_and_brackets() {
        check(Dialect::Mysql, r"A 'x\';y'; B", &[r"A 'x\';y'", "B"]);
        check(Dialect::Sqlite, r"A 'x\'; B", &[r"A 'x\'", "B"]);
        check(Dialect::Mysql, "A # no; \n; B", &["A # no;", "B"]);
        check(Dialect::Sqlite, "A [x;y]; B", &["A [x;y]", "B"]);
        check(Dialect::Mysql, "/*!40101 SET x = 1; */; B", &["/*!40101 SET x = 1; */", "B"]);
        check(Dialect::Sqlite, "/*!40101 SET x = 1; */; B", &["B"]);
        check(Dialect::Mysql, "SELECT 1--1; B", &["SELECT 1--1", "B"]);
        check(Dialect::Sqlite, "SELECT 1--1; B\n; C", &["SELECT 1--1; B", "C"]);
    }

    #[test]
    fn statements_know_their_lines() {
        let parts = split("\n-- one\nA;\n\nB", Dialect::Mysql).expect("good");
        assert_eq!(parts.iter().map(|part| part.line).collect::<Vec<_>>(), [3, 5]);
    }

    #[test]
    fn trigger_of_sqlite_is_one_statement_up_to_its_end() {
        let trigger = "CREATE TRIGGER t AFTER UPDATE ON a BEGIN\n UPDATE a SET x = CASE 1 WHEN 1 THEN 2 \
                       END WHERE y;\n DELETE FROM b; END";
        check(Dialect::Sqlite, &format!("{trigger}; C"), &[trigger, "C"]);
    }

    #[test]
    fn body_of_mysql_is_one_statement_up_to_the_end_of_its_begin() {
        let body = "CREATE DEFINER = 'a'@'b' PROCEDURE p(IN a INT, OUT b INT)\nmain: BEGIN\n\
                    DECLARE c INT DEFAULT CASE a WHEN 1 THEN 2 ELSE 3 END;\n\
                    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK TO s; RESIGNAL; END;\n\
                    IF a > 1 THEN SET b = IF(a, 1, 2); ELSEIF a THEN BEGIN SELECT ';'; END; END IF;\n\
                    CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE;\n\
                    WHILE a DO SET a = a - 1; END WHILE; l: LOOP LEAVE l; END LOOP l;\n\
                    REPEAT SET a = t.end + t.begin; UNTIL a END REPEAT; -- END;\nEND main";
        check(Dialect::Mysql, &format!("{body};\nB;\n"), &[body, "B"]);
        let trigger = "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET NEW.x = 1; END";
        check(Dialect::Mysql, &format!("{trigger}; {body}"), &[trigger, body]);
        let plain = "CREATE PROCEDURE p() SELECT CASE 1 WHEN 1 THEN 2 END";
        check(
            Dialect::Mysql,
            &format!("{plain}; CREATE TABLE t (a INT); B"),
            &[plain, "CREATE TABLE t (a INT)", "B"],
        );
    }

    #[test]
    fn blocks_of_oracle_end_at_a_line_with_a_slash_and_nothing_else() {
        let trigger = "CREATE OR REPLACE TRIGGER t BEFORE INSERT ON a FOR EACH ROW\nBEGIN\n\
                       :NEW.x := 4 / 2;\n  :NEW.y := ';';\nEND;";
        let block = "DECLARE n NUMBER;\nBEGIN\n  n := 1;\nEND;";
        let script =
            format!("CREATE TABLE type (x NUMBER);\n{trigger}\n/\nA; B\n /\n/\n{block}\n/\n");
        let parts = ["CREATE TABLE type (x NUMBER)", trigger, "A", "B", block];
        check(Dialect::Oracle, &script, &parts);
        check(
            Dialect::Oracle,
            "A q'[it's; so]' NQ'!;!' 'x';\nB",
            &["A q'[it's; so]' NQ'!;!' 'x'", "B"],
        );
        check(
            Dialect::Oracle,
            "CREATE INDEX function ON a (b); C",
            &["CREATE INDEX function ON a (b)", "C"],
        );
    }

    #[test]
    fn what_would_be_cut_wrongly_is_refused_with_its_line() {
        check_fault(Dialect::Mysql, "A;\nDELIMITER //\n", 2, "DELIMITER");
        check_fault(Dialect::Mysql, "A;\nCREATE PROCEDURE p() BEGIN SELECT 1;", 2, "never closed");
        check_fault(Dialect::Mysql, "CREATE PROCEDURE p() BEGIN IF a THEN B; END IF;", 1, "no END");
        check_fault(Dialect::Sqlite, "A;\nBEGIN; B; COMMIT;", 2, "transactions");
        check_fault(Dialect::Sqlite, "A;\nB 'x", 2, "never closed");
        check_fault(Dialect::Mysql, "A; /* x", 1, "never closed");
        check_fault(Dialect::Oracle, "A;\nB q'[x;", 2, "never closed");
        check_fault(Dialect::Oracle, "A;\nCOMMIT;", 2, "transactions");
        check_fault(Dialect::Oracle, "WHENEVER SQLERROR EXIT;\nA;", 1, "SQL*Plus");
    }

    #[test]
    fn every_prefix_of_a_script_is_cut_or_refused() {
        let script = "CREATE TRIGGER t BEGIN 'é''\\'; END; /* é */ -- x\n [a] `b` \"c\" # d\n E;";
        for (end, _) in script.char_indices() {
            for dialect in Dialect::ALL {
                let (prefix, _) = script.split_at(end);
                if let Ok(parts) = split(prefix, dialect) {
                    assert!(parts.iter().all(|part| prefix.contains(part.text)));
                }
            }
        }
    }
}
