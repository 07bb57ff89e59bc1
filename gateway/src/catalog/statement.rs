//! What a statement does, read from its tokens: its verb, its tables, its columns, its predicate.
//!
//! This is no parser. It knows as much of SQL's shape as the rules need, and where it cannot tell, it says
//! so ([`Output::Unnamed`]) and lets the rule decide.

use super::lexer::{Token, TokenKind};

/// Words that end a `WHERE`.
const ENDS: [&str; 9] =
    ["group", "order", "having", "limit", "fetch", "for", "union", "returning", "offset"];

/// A token of code (no white space, no comment) and what is known of its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code<'a> {
    pub(crate) token: Token<'a>,
    /// Parentheses around it.
    pub(crate) depth: u32,
    /// Whether it stands on a line that a request can leave out.
    pub(crate) optional: bool,
}

/// What a column of a select list is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// By its alias or its own name, lower case; and its text without the alias.
    Named { name: String, sql: String },
    /// `*` or `t.*`.
    Star,
    /// An expression without an alias.
    Unnamed(String),
}

/// A statement's code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statement<'a> {
    pub(crate) code: Vec<Code<'a>>,
}

impl<'a> Statement<'a> {
    /// Gives each token of code its depth.
    ///
    /// - `tokens`: with whether each stands on an optional line.
    pub(crate) fn new(tokens: impl Iterator<Item = (Token<'a>, bool)>) -> Self {
        let mut depth = 0_u32;
        let mut code = Vec::new();
        for (token, optional) in tokens.filter(|(token, _)| token.is_code()) {
            if token.is_punct(")") {
                depth = depth.saturating_sub(1);
            }
            code.push(Code { token, depth, optional });
            if token.is_punct("(") {
                depth += 1;
            }
        }
        Self { code }
    }

    /// The statement's verb, past a `WITH` clause: index into the code.
    pub(crate) fn verb_index(&self) -> Option<usize> {
        const VERBS: [&str; 6] = ["select", "insert", "update", "delete", "replace", "merge"];
        let first = self.code.first()?;
        if !first.token.is_word("with") {
            return (first.token.kind == TokenKind::Word).then_some(0);
        }
        self.code
            .iter()
            .position(|code| code.depth == 0 && VERBS.iter().any(|verb| code.token.is_word(verb)))
    }

    /// The verb in lower case; empty when there is none.
    pub(crate) fn verb(&self) -> String {
        let verb = self.verb_index().and_then(|index| self.code.get(index));
        verb.map(|code| code.token.text.to_ascii_lowercase()).unwrap_or_default()
    }

    /// SQLite's `INSERT OR ROLLBACK` and `UPDATE OR FAIL`: the word behind `OR`, where what fails is not undone
    /// as one statement.
    pub(crate) fn conflict_that_leaves_half(&self) -> Option<&'static str> {
        let verb_index = self.verb_index()?;
        let word = self.code.get(verb_index + 2)?;
        self.code.get(verb_index + 1).filter(|code| code.token.is_word("or"))?;
        ["ROLLBACK", "FAIL"].into_iter().find(|bad| word.token.is_word(bad))
    }

    /// Oracle's `INSERT ALL INTO … INTO … SELECT …`.
    fn is_insert_all(&self) -> bool {
        let next = self.verb_index().and_then(|index| self.code.get(index + 1));
        self.verb() == "insert"
            && next.is_some_and(|code| code.token.is_word("all") || code.token.is_word("first"))
    }

    /// The tables that it writes, lower case, without schema or quotes.
    pub(crate) fn tables_written(&self) -> Vec<String> {
        let Some(verb_index) = self.verb_index() else { return Vec::new() };
        let mut tables = Vec::new();
        let after = |index: usize, words: &[&str]| {
            let mut at = index + 1;
            while self.code.get(at).is_some_and(|code| words.iter().any(|w| code.token.is_word(w)))
            {
                at += 1;
            }
            at
        };
        let noise = [
            "into",
            "from",
            "ignore",
            "low_priority",
            "quick",
            "delayed",
            "high_priority",
            "or",
            "only",
            "replace",
            "rollback",
            "abort",
            "fail",
        ];
        if self.is_insert_all() {
            let into = self.code.iter().enumerate().filter(|(_, code)| code.token.is_word("into"));
            tables.extend(into.filter_map(|(index, _)| Some(self.table_at(index + 1)?.0)));
        } else if self.verb() != "select" {
            tables.extend(self.table_at(after(verb_index, &noise)).map(|(name, _)| name));
        }
        // An upsert, or a MERGE with several targets, still names its table behind the verb only;
        // MySQL's multi-table UPDATE and DELETE name theirs in joins.
        if matches!(self.verb().as_str(), "update" | "delete") {
            tables.extend(self.tables_read());
        }
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// The tables in its `FROM`, `JOIN` and `USING` clauses, at any depth.
    pub(crate) fn tables_read(&self) -> Vec<String> {
        let mut tables = Vec::new();
        for (index, code) in self.code.iter().enumerate() {
            let from = code.token.is_word("from") && !self.is_inside_call(index);
            if !(from || code.token.is_word("join") || code.token.is_word("using")) {
                continue;
            }
            let mut at = index + 1;
            while let Some((name, next)) = self.table_at(at) {
                tables.push(name);
                match self.comma_after(next, code.depth) {
                    Some(comma) => at = comma + 1,
                    None => break,
                }
            }
        }
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// `EXTRACT(YEAR FROM x)`, `TRIM(' ' FROM x)`: no table follows.
    fn is_inside_call(&self, index: usize) -> bool {
        const CALLS: [&str; 4] = ["extract", "trim", "substring", "overlay"];
        let Some(depth) = self.code.get(index).map(|code| code.depth) else { return false };
        let open = self
            .code
            .iter()
            .take(index)
            .rposition(|code| code.depth + 1 == depth && code.token.is_punct("("));
        let before = open.and_then(|open| self.code.get(open.checked_sub(1)?));
        before.is_some_and(|code| CALLS.iter().any(|call| code.token.is_word(call)))
    }

    /// The name at `index` (`schema.table`) and the index behind it.
    fn table_at(&self, index: usize) -> Option<(String, usize)> {
        let name = |index: usize| {
            let token = self.code.get(index)?.token;
            matches!(token.kind, TokenKind::Word | TokenKind::Quoted).then(|| unquoted(token.text))
        };
        let (mut found, mut at) = (name(index)?, index + 1);
        while self.code.get(at).is_some_and(|code| code.token.is_punct(".")) {
            found = name(at + 1)?;
            at += 2;
        }
        Some((found, at))
    }

    /// The comma that goes on with a `FROM` list, past an alias.
    fn comma_after(&self, from: usize, depth: u32) -> Option<usize> {
        let index = (from..self.code.len().min(from + 3)).find(|index| {
            self.code
                .get(*index)
                .is_some_and(|code| code.token.is_punct(",") && code.depth == depth)
        })?;
        let plain = (from..index).all(|index| {
            self.code
                .get(index)
                .is_some_and(|c| matches!(c.token.kind, TokenKind::Word | TokenKind::Quoted))
        });
        plain.then_some(index)
    }

    /// The columns of its first select list.
    pub(crate) fn outputs(&self) -> Vec<Output> {
        let Some(verb) = self.verb_index().filter(|_| self.verb() == "select") else {
            return Vec::new();
        };
        let mut items: Vec<Vec<Token<'a>>> = vec![Vec::new()];
        for code in self.code.iter().skip(verb + 1) {
            let top = code.depth == 0;
            if top
                && (code.token.is_word("from")
                    || code.token.is_word("union")
                    || code.token.is_word("where"))
            {
                break;
            }
            if top && code.token.is_punct(",") {
                items.push(Vec::new());
            } else if let Some(item) = items.last_mut() {
                let modifier = item.is_empty()
                    && ["distinct", "all", "sql_no_cache", "straight_join"]
                        .iter()
                        .any(|w| code.token.is_word(w));
                if !modifier {
                    item.push(code.token);
                }
            }
        }
        items.iter().map(|item| output(item)).collect()
    }

    /// Whether its `WHERE` (or, of a `MERGE`, its `ON`) has a condition that no request can leave out.
    pub(crate) fn has_firm_predicate(&self) -> bool {
        let firm: Vec<&Code<'_>> = self.code.iter().filter(|code| !code.optional).collect();
        let from = self.verb_index().unwrap_or(0);
        let Some(start) = firm.iter().position(|code| {
            code.depth == 0 && code.token.is_word("where") && self.position(code) >= from
        }) else {
            return false;
        };
        let predicate: Vec<Token<'_>> = firm
            .iter()
            .skip(start + 1)
            .take_while(|code| code.depth > 0 || !ENDS.iter().any(|end| code.token.is_word(end)))
            .map(|code| code.token)
            .collect();
        if has_trivial_alternative(&firm, start) {
            return false;
        }
        let mut depth = 0_u32;
        let conjuncts = predicate.split(|token| {
            if token.is_punct("(") {
                depth += 1;
            } else if token.is_punct(")") {
                depth = depth.saturating_sub(1);
            }
            depth == 0 && token.is_word("and")
        });
        let mut any = false;
        for conjunct in conjuncts {
            any |= !is_trivial(conjunct);
        }
        any
    }

    fn position(&self, wanted: &Code<'_>) -> usize {
        let at = (wanted.token.line, wanted.token.column);
        let found = self.code.iter().position(|code| (code.token.line, code.token.column) == at);
        found.unwrap_or(0)
    }
}

/// `WHERE a = :a OR 1 = 1` at the top: true for every row whatever stands beside it.
fn has_trivial_alternative(firm: &[&Code<'_>], start: usize) -> bool {
    let top: Vec<Token<'_>> = firm.iter().skip(start + 1).map(|code| code.token).collect();
    let mut depth = 0_u32;
    let alternatives: Vec<&[Token<'_>]> = top
        .split(|token| {
            if token.is_punct("(") {
                depth += 1;
            } else if token.is_punct(")") {
                depth = depth.saturating_sub(1);
            }
            depth == 0 && token.is_word("or")
        })
        .collect();
    alternatives.len() > 1 && alternatives.into_iter().any(is_trivial)
}

/// `1 = 1`, `TRUE`, nothing at all: no condition on a row.
fn is_trivial(conjunct: &[Token<'_>]) -> bool {
    let names_something = conjunct.iter().any(|token| {
        matches!(token.kind, TokenKind::Quoted)
            || (token.kind == TokenKind::Word && !token.is_word("true") && !token.is_word("not"))
    });
    !names_something
}

/// What an item of a select list is called.
pub(crate) fn output(item: &[Token<'_>]) -> Output {
    let is_name = |token: &Token<'_>| matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
    let Some((last, before)) = item.split_last() else { return Output::Unnamed(String::new()) };
    if last.is_punct("*") && before.last().is_none_or(|token| token.is_punct(".")) {
        return Output::Star;
    }
    let named = |sql: &[Token<'_>]| Output::Named { name: unquoted(last.text), sql: joined(sql) };
    if !is_name(last) || last.is_word("end") || last.is_word("null") {
        return Output::Unnamed(joined(item));
    }
    match before.split_last() {
        None => named(item),
        Some((dot, _)) if dot.is_punct(".") => named(item),
        Some((word, expression)) if word.is_word("as") => named(expression),
        Some((other, _))
            if other.is_punct(")")
                || is_name(other)
                || other.kind == TokenKind::Number
                || matches!(other.kind, TokenKind::Text | TokenKind::Bind) =>
        {
            named(before)
        }
        Some(_) => Output::Unnamed(joined(item)),
    }
}

/// Tokens as one text without white space, lower case: for comparing expressions.
pub(crate) fn joined(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text.to_ascii_lowercase()).collect()
}

/// A name in lower case, without its quotes.
pub(crate) fn unquoted(name: &str) -> String {
    name.trim_matches(|c| matches!(c, '"' | '`' | '[' | ']')).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Dialect;
    use crate::catalog::lexer::lex;

    fn statement(sql: &str) -> Statement<'_> {
        let tokens = lex(sql, Dialect::Mysql, 1).unwrap();
        let mut optional_lines = Vec::new();
        for token in &tokens {
            if token.text.trim_end() == "-- ?" {
                optional_lines.push(token.line);
            }
        }
        Statement::new(tokens.into_iter().map(move |token| {
            let optional = optional_lines.contains(&token.line);
            (token, optional)
        }))
    }

    #[track_caller]
    fn outputs(sql: &str, expected: &[&str]) {
        let names: Vec<String> = statement(sql)
            .outputs()
            .into_iter()
            .map(|output| match output {
                Output::Named { name, .. } => name,
                Output::Star => "*".into(),
                Output::Unnamed(_) => "?".into(),
            })
            .collect();
        assert_eq!(names, expected, "{sql}");
    }

    #[test]
    fn select_lists_give_the_names_of_their_columns() {
        outputs(
            "SELECT DISTINCT p.Id, p.name AS Nick, COUNT(*) total, `Q` FROM p",
            &["id", "nick", "total", "q"],
        );
        outputs(
            "SELECT 1 AS one, (SELECT a FROM b) two, CASE WHEN x THEN y END AS three",
            &["one", "two", "three"],
        );
        outputs(
            "SELECT *, p.*, COUNT(*), a + b, CASE x WHEN 1 THEN 2 END FROM p",
            &["*", "*", "?", "?", "?"],
        );
        outputs("WITH c AS (SELECT z FROM t) SELECT a, b FROM c", &["a", "b"]);
        outputs("SELECT a FROM x UNION SELECT b FROM y", &["a"]);
        outputs("UPDATE t SET a = 1", &[]);
    }

    #[track_caller]
    fn tables(sql: &str, read: &[&str], written: &[&str]) {
        let statement = statement(sql);
        assert_eq!(statement.tables_read(), read, "{sql}");
        assert_eq!(statement.tables_written(), written, "{sql}");
    }

    #[test]
    fn tables_are_those_of_from_join_and_the_verb() {
        tables("SELECT a FROM s.P p, q AS x, r JOIN `t` ON 1 = 1", &["p", "q", "r", "t"], &[]);
        tables("SELECT EXTRACT(YEAR FROM d) FROM t WHERE x IN (SELECT y FROM u)", &["t", "u"], &[]);
        tables("INSERT IGNORE INTO a (x) SELECT y FROM b", &["b"], &["a"]);
        tables("UPDATE a SET x = 1 WHERE y = 2", &[], &["a"]);
        tables("DELETE FROM a WHERE y IN (SELECT y FROM b)", &["a", "b"], &["a", "b"]);
        tables("REPLACE INTO a VALUES (1)", &[], &["a"]);
        tables(
            "INSERT ALL INTO a VALUES (1) INTO s.b VALUES (2) SELECT 1 FROM dual",
            &["dual"],
            &["a", "b"],
        );
        tables(
            "INSERT FIRST WHEN x = 1 THEN INTO a ELSE INTO b SELECT x FROM c",
            &["c"],
            &["a", "b"],
        );
        tables("INSERT OR REPLACE INTO a VALUES (1)", &[], &["a"]);
        tables("MERGE INTO a USING b ON (a.x = b.x)", &["b"], &["a"]);
        tables("WITH c AS (SELECT z FROM t) SELECT a FROM c", &["c", "t"], &[]);
    }

    #[track_caller]
    fn firm(sql: &str, expected: bool) {
        assert_eq!(statement(sql).has_firm_predicate(), expected, "{sql}");
    }

    #[test]
    fn predicate_is_firm_if_a_condition_always_stays() {
        firm("UPDATE t SET a = 1 WHERE id = :id", true);
        firm("UPDATE t SET a = 1\nWHERE 1 = 1\nAND id = :id -- ?\nAND b = 2", true);
        firm("DELETE FROM t WHERE (a = 1 OR b = 2)", true);
        firm("WITH c AS (SELECT 1 WHERE a = 1) DELETE FROM t WHERE id = :id", true);
    }

    #[test]
    fn predicate_is_not_firm_if_every_condition_can_go_or_says_nothing() {
        firm("DELETE FROM t", false);
        firm("DELETE FROM t WHERE 1 = 1", false);
        firm("DELETE FROM t\nWHERE 1 = 1\nAND id = :id -- ?", false);
        firm("DELETE FROM t\nWHERE TRUE AND NOT 0\nAND id = :id -- ?", false);
        firm("DELETE FROM t WHERE id = :id OR 1 = 1", false);
        firm("DELETE FROM t WHERE 1 = 1 ORDER BY id LIMIT 5", false);
        firm("WITH c AS (SELECT 1 WHERE a = 1) DELETE FROM t", false);
    }
}
