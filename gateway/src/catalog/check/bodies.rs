//! The bodies of one operation on two dialects: what both do must be the same.
//!
//! Read from the tokens alone, by our own lexer: what a parser of SQL would add is little, and it does not read
//! all that both databases take. Asked by `gateway check` only: a game is on one dialect, and is served whatever
//! the other's body says.

use std::collections::BTreeSet;

use super::phrases::database;
use super::portability::bodies;
use crate::catalog::compile::chunks;
use crate::catalog::contract::{Decl, Key};
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::lexer::{self, Token, TokenKind};
use crate::catalog::resolve::Resolved;
use crate::catalog::statement::{Code, Output, Statement};
use crate::catalog::{Dialect, Output as CatalogOutput};

/// Compares an operation's body with that on another dialect.
///
/// - `own`: the one whose text is its own; findings are told at its place.
pub(crate) fn compare(own: &Resolved, other: &Resolved, findings: &mut Findings) {
    let (ours, theirs) = (facts(own), facts(other));
    let mut pair = Pair { own: own.dialect, other: other.dialect, findings, has_merge: false };
    pair.has_merge = ours.iter().chain(&theirs).any(|facts| facts.verb == "merge");
    pair.steps(&ours, &theirs);
    for own in &ours {
        if let Some(other) = theirs.iter().find(|other| other.step == own.step) {
            pair.statements(own, other);
        }
    }
}

/// What a statement does.
#[derive(Debug, Default)]
struct Facts {
    /// The step's name; empty where there is only one statement.
    step: Box<str>,
    /// Its kind, condition, codes and `when`.
    header: String,
    place: Option<Place>,
    verb: String,
    binds: BTreeSet<String>,
    /// Binds on lines that a request can leave out.
    optional: BTreeSet<String>,
    written: BTreeSet<String>,
    read: BTreeSet<String>,
    columns: Vec<String>,
    locks: BTreeSet<&'static str>,
    order: Vec<String>,
}

impl Facts {
    fn is_write(&self) -> bool {
        self.verb != "select"
    }

    /// A procedure's name is no table, and rows are an argument on Oracle only.
    fn of_call(&mut self, resolved: &Resolved) {
        self.written.clear();
        for entry in resolved.all(Key::Out) {
            if let Decl::Output(decl) = &*entry.decl
                && matches!(decl.output, CatalogOutput::Rows { .. })
            {
                self.binds.remove(decl.output.name());
            }
        }
    }
}

/// The facts of each statement of an operation, in order.
fn facts(resolved: &Resolved) -> Vec<Facts> {
    let steps = chunks(resolved, &mut Findings::default()).unwrap_or_default();
    let bodies = bodies(resolved);
    let mut all = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.iter().enumerate() {
        let Ok(tokens) = lexer::lex(&body.text, resolved.dialect, body.first_line) else {
            continue;
        };
        let mut facts = of_statement(&tokens);
        facts.place = Some(body.place());
        if facts.verb == "call" {
            facts.of_call(resolved);
        }
        if let Some(step) = steps.get(index) {
            facts.step = step.name.clone();
            facts.header = header(&step.header);
            facts.place = Some(step.place.clone());
        }
        all.push(facts);
    }
    all
}

/// What a step's line says behind its name.
fn header(text: &str) -> String {
    text.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn of_statement(tokens: &[Token<'_>]) -> Facts {
    let mut marked: Vec<(Token<'_>, bool)> = Vec::with_capacity(tokens.len());
    for line in tokens.split_inclusive(|t| t.kind == TokenKind::Space && t.text.ends_with('\n')) {
        let is_marker = |token: &Token<'_>| {
            token.kind == TokenKind::LineComment && token.text.trim_start_matches('-').trim() == "?"
        };
        let optional = line.iter().any(is_marker);
        marked.extend(line.iter().map(|token| (*token, optional)));
    }
    let statement = Statement::new(marked.into_iter());
    let mut facts = Facts { verb: statement.verb(), ..Facts::default() };
    for code in statement.code.iter().filter(|code| code.token.kind == TokenKind::Bind) {
        let name = code.token.text.trim_start_matches(':').to_owned();
        if code.optional {
            facts.optional.insert(name.clone());
        }
        facts.binds.insert(name);
    }
    facts.written = statement.tables_written().into_iter().collect();
    let named = named_queries(&statement);
    let is_table = |name: &String| name != "dual" && !named.contains(name);
    facts.read = statement.tables_read().into_iter().filter(is_table).collect();
    facts.columns = statement
        .outputs()
        .into_iter()
        .filter_map(|output| match output {
            Output::Named { name, .. } => Some(name),
            Output::Star | Output::Unnamed(_) => None,
        })
        .collect();
    facts.locks = locks(&statement);
    facts.order = order(&statement);
    facts
}

/// How it locks what it reads.
pub(crate) fn locks(statement: &Statement<'_>) -> BTreeSet<&'static str> {
    const LOCKS: [(&[&str], &str); 6] = [
        (&["for", "update"], "FOR UPDATE"),
        (&["for", "share"], "FOR SHARE"),
        (&["lock", "in", "share"], "FOR SHARE"),
        (&["skip", "locked"], "SKIP LOCKED"),
        (&["update", "nowait"], "NOWAIT"),
        (&["update", "wait"], "WAIT"),
    ];
    let stands = |words: &[&str]| {
        statement
            .code
            .windows(words.len())
            .any(|some| some.iter().zip(words).all(|(code, word)| code.token.is_word(word)))
    };
    LOCKS.into_iter().filter(|(words, _)| stands(words)).map(|(_, name)| name).collect()
}

/// The columns of the last `ORDER BY`, without their tables, with ` desc` where they go down.
pub(crate) fn order(statement: &Statement<'_>) -> Vec<String> {
    const ENDS: [&str; 6] = ["limit", "offset", "fetch", "for", "union", "lock"];
    // What NULLs do is not the same by itself, and not said on both.
    const SILENT: [&str; 4] = ["asc", "nulls", "first", "last"];
    let code = &statement.code;
    let begins = |at: &usize| {
        code.get(*at).is_some_and(|code| code.depth == 0 && code.token.is_word("order"))
            && code.get(at + 1).is_some_and(|code| code.token.is_word("by"))
    };
    let Some(start) = (0..code.len()).rev().find(begins) else { return Vec::new() };
    let mut columns: Vec<Vec<String>> = vec![Vec::new()];
    for Code { token, depth, .. } in code.iter().skip(start + 2) {
        let is_any = |words: &[&str]| *depth == 0 && words.iter().any(|word| token.is_word(word));
        if is_any(&ENDS) {
            break;
        }
        if *depth == 0 && token.is_punct(",") {
            columns.push(Vec::new());
            continue;
        }
        let Some(column) = columns.last_mut().filter(|_| !is_any(&SILENT)) else { continue };
        if token.is_punct(".") {
            column.pop();
        } else if is_any(&["desc"]) {
            column.push(" desc".to_owned());
        } else {
            column.push(token.text.trim_matches(['"', '`']).to_ascii_lowercase());
        }
    }
    columns.into_iter().map(|words| words.concat()).collect()
}

/// The names that a `WITH` clause gives to queries: no tables.
fn named_queries(statement: &Statement<'_>) -> Vec<String> {
    let verb = statement.verb_index().unwrap_or(0);
    let top: Vec<&Code<'_>> =
        statement.code.iter().take(verb).filter(|code| code.depth == 0).collect();
    let begins = |token: &Token<'_>| {
        token.is_word("with") || token.is_word("recursive") || token.is_punct(",")
    };
    let names = top.windows(2).filter_map(|two| match two {
        [before, name] if begins(&before.token) && !begins(&name.token) => Some(name),
        _ => None,
    });
    names.map(|name| name.token.text.trim_matches(['"', '`']).to_ascii_lowercase()).collect()
}

struct Pair<'f> {
    own: Dialect,
    other: Dialect,
    findings: &'f mut Findings,
    /// Whether one of them has a MERGE, which on Oracle needs a lock where an upsert of MySQL needs none.
    has_merge: bool,
}

impl Pair<'_> {
    fn tell(&mut self, facts: &Facts, message: String, fix: &str) {
        if let Some(place) = &facts.place {
            self.findings.error(Rule::Bodies, place, message, fix);
        }
    }

    /// Those that write are the same, in the same order; one that reads may be there for its lock alone.
    fn steps(&mut self, ours: &[Facts], theirs: &[Facts]) {
        fn written(all: &[Facts]) -> Vec<&str> {
            all.iter().filter(|facts| facts.is_write()).map(|facts| &*facts.step).collect()
        }
        let (own, other) = (written(ours), written(theirs));
        if let Some(first) = ours.first().filter(|_| own != other) {
            let message = format!(
                "it writes in the steps {} on {}, and {} on {}",
                own.join(", "),
                database(self.own),
                other.join(", "),
                database(self.other)
            );
            self.tell(first, message, "give both the same steps in the same order");
        }
        for (all, others, on, not_on) in
            [(ours, theirs, self.own, self.other), (theirs, ours, self.other, self.own)]
        {
            for facts in all.iter().filter(|facts| !facts.is_write() && facts.locks.is_empty()) {
                if others.iter().all(|other| other.step != facts.step) {
                    let (on, not_on) = (database(on), database(not_on));
                    let message = format!("step `{}` is on {on}, and not on {not_on}", facts.step);
                    self.tell(facts, message, "write it for both, or remove it");
                }
            }
        }
    }

    fn statements(&mut self, own: &Facts, other: &Facts) {
        let upserts = ["insert", "replace", "merge"];
        let is_upsert = |verb: &str| upserts.contains(&verb);
        if own.verb != other.verb && !(is_upsert(&own.verb) && is_upsert(&other.verb)) {
            let message = format!(
                "`{}` on {}, and `{}` on {}",
                own.verb.to_ascii_uppercase(),
                database(self.own),
                other.verb.to_ascii_uppercase(),
                database(self.other)
            );
            self.tell(own, message, "let both do the same");
        }
        if own.header != other.header {
            let message = format!(
                "the step is `{}` on {}, and `{}` on {}",
                own.header,
                database(self.own),
                other.header,
                database(self.other)
            );
            self.tell(own, message, "write the same kind, condition, codes and `when`");
        }
        self.sets(own, "binds", (&own.binds, &other.binds));
        self.sets(own, "has on optional lines", (&own.optional, &other.optional));
        self.sets(own, "writes", (&own.written, &other.written));
        self.sets(own, "reads", (&own.read, &other.read));
        self.lists(own, "selects", (&own.columns, &other.columns));
        self.lists(own, "is ordered by", (&own.order, &other.order));
        // A writer on SQLite is alone.
        let locks = self.own != Dialect::Sqlite && self.other != Dialect::Sqlite;
        if locks && !self.has_merge && own.locks != other.locks {
            let shown = |locks: &BTreeSet<&str>| match locks.len() {
                0 => "nothing".to_owned(),
                _ => locks.iter().copied().collect::<Vec<_>>().join(" "),
            };
            let message = format!(
                "it locks with {} on {}, and with {} on {}",
                shown(&own.locks),
                database(self.own),
                shown(&other.locks),
                database(self.other)
            );
            self.tell(own, message, "lock the same rows in the same way");
        }
    }

    fn sets(
        &mut self,
        own: &Facts,
        what: &str,
        (ours, theirs): (&BTreeSet<String>, &BTreeSet<String>),
    ) {
        for (only, on) in
            [(ours.difference(theirs), self.own), (theirs.difference(ours), self.other)]
        {
            for name in only {
                let message = format!("it {what} `{name}` on {} only", database(on));
                self.tell(own, message, "let both bodies agree");
            }
        }
    }

    fn lists(&mut self, own: &Facts, what: &str, (ours, theirs): (&[String], &[String])) {
        if ours != theirs {
            let shown = |names: &[String]| match names.len() {
                0 => "nothing".to_owned(),
                _ => names.join(", "),
            };
            let message = format!(
                "it {what} {} on {}, and {} on {}",
                shown(ours),
                database(self.own),
                shown(theirs),
                database(self.other)
            );
            self.tell(own, message, "write both in the same order");
        }
    }
}
