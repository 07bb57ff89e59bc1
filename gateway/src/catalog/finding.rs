//! What is wrong with a template: where, which rule, and how to mend it.

use std::fmt;
use std::sync::Arc;

/// A place in a template file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path below the template folder, with `/`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The start of a file.
    pub fn start(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 1, column: 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The catalog is not loaded.
    Error,
    /// The catalog is loaded; somebody should look.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The rule that a finding breaks. Its [`id`](Rule::id) is stable: scripts may filter by it. `Database` and
/// `Scan` are rule 5's: a statement that a database refuses, and one that reads a whole large table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it, `id` gives the text and `ALL` the list")]
pub enum Rule {
    File,
    Lex,
    Marker,
    Placeholder,
    KeyUnknown,
    KeyDuplicate,
    KeyMissing,
    KeyValue,
    KeyMisplaced,
    NotBuilt,
    Override,
    BodyMissing,
    Statement,
    ParamUndeclared,
    ParamUnused,
    ParamLimit,
    OptionalLine,
    List,
    Page,
    Order,
    ResultColumns,
    Allow,
    Http,
    Cache,
    Include,
    Code,
    Step,
    Write,
    Predicate,
    Stale,
    Portability,
    Bodies,
    Mirror,
    Syntax,
    Database,
    Scan,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 36] = [
        Self::File,
        Self::Lex,
        Self::Marker,
        Self::Placeholder,
        Self::KeyUnknown,
        Self::KeyDuplicate,
        Self::KeyMissing,
        Self::KeyValue,
        Self::KeyMisplaced,
        Self::NotBuilt,
        Self::Override,
        Self::BodyMissing,
        Self::Statement,
        Self::ParamUndeclared,
        Self::ParamUnused,
        Self::ParamLimit,
        Self::OptionalLine,
        Self::List,
        Self::Page,
        Self::Order,
        Self::ResultColumns,
        Self::Allow,
        Self::Http,
        Self::Cache,
        Self::Include,
        Self::Code,
        Self::Step,
        Self::Write,
        Self::Predicate,
        Self::Stale,
        Self::Portability,
        Self::Bodies,
        Self::Mirror,
        Self::Syntax,
        Self::Database,
        Self::Scan,
    ];

    /// The rule's name in output.
    pub const fn id(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Lex => "lex",
            Self::Marker => "marker",
            Self::Placeholder => "placeholder",
            Self::KeyUnknown => "key-unknown",
            Self::KeyDuplicate => "key-duplicate",
            Self::KeyMissing => "key-missing",
            Self::KeyValue => "key-value",
            Self::KeyMisplaced => "key-misplaced",
            Self::NotBuilt => "not-built",
            Self::Override => "override",
            Self::BodyMissing => "body-missing",
            Self::Statement => "statement",
            Self::ParamUndeclared => "param-undeclared",
            Self::ParamUnused => "param-unused",
            Self::ParamLimit => "param-limit",
            Self::OptionalLine => "optional-line",
            Self::List => "list",
            Self::Page => "page",
            Self::Order => "order",
            Self::ResultColumns => "result-columns",
            Self::Allow => "allow",
            Self::Http => "http",
            Self::Cache => "cache",
            Self::Include => "include",
            Self::Code => "code",
            Self::Step => "step",
            Self::Write => "write",
            Self::Predicate => "predicate",
            Self::Stale => "stale",
            Self::Portability => "portability",
            Self::Bodies => "bodies",
            Self::Mirror => "mirror",
            Self::Syntax => "syntax",
            Self::Database => "database",
            Self::Scan => "scan",
        }
    }
}

/// One thing that is wrong, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// Whether the catalog can be used all the same.
    pub severity: Severity,
    /// Which rule.
    pub rule: Rule,
    /// What is wrong, lower case, without a full stop.
    pub message: Box<str>,
    /// What to write instead, lower case, without a full stop.
    pub fix: Box<str>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (severity, rule) = (self.severity.name(), self.rule.id());
        write!(f, "{}: {severity}[{rule}]: {}", self.place, self.message)
    }
}

/// The findings of one load, as they come.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn error(
        &mut self,
        rule: Rule,
        place: &Place,
        message: impl Into<Box<str>>,
        fix: impl Into<Box<str>>,
    ) {
        self.push(Severity::Error, rule, place, (message.into(), fix.into()));
    }

    pub(crate) fn warning(
        &mut self,
        rule: Rule,
        place: &Place,
        message: impl Into<Box<str>>,
        fix: impl Into<Box<str>>,
    ) {
        self.push(Severity::Warning, rule, place, (message.into(), fix.into()));
    }

    fn push(&mut self, severity: Severity, rule: Rule, place: &Place, text: (Box<str>, Box<str>)) {
        let (message, fix) = text;
        self.0.push(Finding { place: place.clone(), severity, rule, message, fix });
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// In the order of their places, each once: a file that several games share is told once.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort_unstable();
        self.0.dedup();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_ids_of_their_own() {
        let mut ids: Vec<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Rule::ALL.len());
    }

    #[test]
    fn findings_are_sorted_by_place_and_told_once() {
        let file: Arc<str> = "a.sql".into();
        let at = |line| Place { file: Arc::clone(&file), line, column: 1 };
        let mut findings = Findings::default();
        findings.warning(Rule::File, &at(9), "later", "fix");
        assert!(!findings.has_errors());
        findings.error(Rule::File, &at(2), "earlier", "fix");
        findings.error(Rule::File, &at(2), "earlier", "fix");
        assert!(findings.has_errors());
        let lines: Vec<_> = findings.into_sorted().iter().map(|one| one.place.line).collect();
        assert_eq!(lines, [2, 9]);
    }
}
