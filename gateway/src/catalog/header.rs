//! The header of a template file: `-- @key value` lines, and where the body begins.
//!
//! The header is every line before the first line of SQL (or `-- @step`). A line of it is blank, a
//! comment, or a key. A value ends with its line; what needs more room repeats the key. Every key
//! behind the header, and every comment that only looks like one, is a finding: a contract that is
//! not read must not pass for one that is.

use std::sync::Arc;

use super::contract::Key;
use super::finding::{Findings, Place, Rule};

/// A key of a header as it stands in its file.
#[derive(Clone, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) key: Key,
    /// The value, trimmed; empty when there is none.
    pub(crate) value: &'a str,
    /// Where the value begins (or the key, without one).
    pub(crate) place: Place,
}

/// A file cut into header and body.
#[derive(Debug)]
pub(crate) struct Cut<'a> {
    pub(crate) lines: Vec<Line<'a>>,
    /// The keys that misspelt lines are taken for.
    pub(crate) faulty: Vec<Key>,
    /// The SQL and the number of its first line; `None` when the file is contract only.
    pub(crate) body: Option<(&'a str, u32)>,
}

/// Reads the header of a file's text.
pub(crate) fn cut<'a>(file: &Arc<str>, text: &'a str, findings: &mut Findings) -> Cut<'a> {
    let (mut lines, mut faulty) = (Vec::new(), Vec::new());
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut number = 1;
    loop {
        if rest.is_empty() {
            return Cut { lines, faulty, body: None };
        }
        let (line, tail) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = line.trim();
        if trimmed.starts_with("/*") && !trimmed.starts_with("/*+") && !trimmed.starts_with("/*!") {
            let Some((skipped, after)) = whole_comment(rest) else {
                return Cut { lines, faulty, body: Some(body(rest, number)) };
            };
            rest = after;
            number += skipped;
            continue;
        }
        if !trimmed.is_empty() && !trimmed.starts_with("--") || is_step(trimmed) {
            return Cut { lines, faulty, body: Some(body(rest, number)) };
        }
        let place =
            Place { file: Arc::clone(file), line: number, column: column_of(line, trimmed) };
        if let Some(line) = key_line(trimmed, &place, &mut faulty, findings) {
            lines.push(line);
        }
        rest = tail;
        number += 1;
    }
}

/// What begins a step, behind a comment's dashes.
pub(crate) const STEP: &str = "@step";

/// Whether a comment's text (with its dashes) begins a step of a `tx`.
pub(crate) fn is_step(comment: &str) -> bool {
    let Some(text) = comment.strip_prefix("--") else { return false };
    let text = text.trim_start();
    text.strip_prefix(STEP)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']))
}

fn body(rest: &str, first_line: u32) -> (&str, u32) {
    (rest.trim_end(), first_line)
}

/// A block comment alone on its lines: how many lines it takes, and what follows them.
fn whole_comment(rest: &str) -> Option<(u32, &str)> {
    let (comment, after) = rest.split_once("*/")?;
    let (remainder, tail) = after.split_once('\n').unwrap_or((after, ""));
    let line_count = comment.matches('\n').count() + 1;
    remainder.trim().is_empty().then(|| (u32::try_from(line_count).unwrap_or(u32::MAX), tail))
}

fn column_of(line: &str, part: &str) -> u32 {
    let before = line.len() - line.trim_start().len();
    let column = line.get(..before).map_or(0, |text| text.chars().count());
    debug_assert!(part.len() <= line.len());
    u32::try_from(column).map_or(u32::MAX, |column| column + 1)
}

/// The key on a header line; `None` for a plain comment, a blank line, or a fault.
///
/// - `faulty`: takes the key that a misspelt one looks most like.
fn key_line<'a>(
    comment: &'a str,
    place: &Place,
    faulty: &mut Vec<Key>,
    findings: &mut Findings,
) -> Option<Line<'a>> {
    let text = comment.strip_prefix("--")?;
    let inner = text.trim_start();
    let named = inner.strip_prefix('@')?;
    if inner.len() == text.len() {
        let fix = format!("write `-- {inner}`");
        findings.error(Rule::Marker, place, "a space is missing after `--`", fix);
        faulty.extend(named.split_whitespace().next().and_then(Key::from_name));
        return None;
    }
    let name_bytes =
        named.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(named.len());
    let (name, rest) = named.split_at_checked(name_bytes)?;
    let value = rest.trim();
    let Some(key) = Key::from_name(name) else {
        let nearest = Key::nearest(name);
        faulty.extend(nearest);
        let fix = nearest.map_or_else(
            || String::from("remove the line"),
            |key| format!("did you mean `@{}`?", key.name()),
        );
        findings.error(Rule::KeyUnknown, place, format!("there is no key `@{name}`"), fix);
        return None;
    };
    let before = comment.len() - rest.trim_start().len();
    let offset = comment.get(..before).map_or(0, |text| text.chars().count());
    let column = place.column.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX));
    let column = if value.is_empty() { place.column } else { column };
    Some(Line { key, value, place: Place { column, ..place.clone() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, keys: &[(&str, &str)], body: Option<(&str, u32)>, faults: &[Rule]) {
        let mut findings = Findings::default();
        let cut = cut(&"a.sql".into(), text, &mut findings);
        let found: Vec<_> = cut.lines.iter().map(|line| (line.key.name(), line.value)).collect();
        assert_eq!(found, keys, "{text}");
        assert_eq!(cut.body, body, "{text}");
        let rules: Vec<_> = findings.0.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, faults, "{text}");
    }

    #[test]
    fn header_ends_at_the_first_line_of_sql() {
        check(
            "-- @kind one\n\n-- a comment\n/* two\n lines */\n--   @limit   5  \r\nSELECT 1\n-- @kind many\n",
            &[("kind", "one"), ("limit", "5")],
            Some(("SELECT 1\n-- @kind many", 7)),
            &[],
        );
    }

    #[test]
    fn header_ends_at_a_step_and_a_hint_is_body() {
        check(
            "-- @audit\n-- @step a exec\nX",
            &[("audit", "")],
            Some(("-- @step a exec\nX", 2)),
            &[],
        );
        check("/*+ hint */ SELECT 1", &[], Some(("/*+ hint */ SELECT 1", 1)), &[]);
        check("/* a */ SELECT 1", &[], Some(("/* a */ SELECT 1", 1)), &[]);
    }

    #[test]
    fn file_of_comments_only_has_no_body() {
        check("\u{feff}-- @kind one\n-- nothing more\n", &[("kind", "one")], None, &[]);
        check("", &[], None, &[]);
    }

    #[test]
    fn misspelt_and_tight_keys_are_findings() {
        check("-- @cahce l1=1s", &[], None, &[Rule::KeyUnknown]);
        check("--@cache l1=1s", &[], None, &[Rule::Marker]);
        check("-- @ cache", &[], None, &[Rule::KeyUnknown]);
    }

    #[test]
    fn place_of_a_key_is_where_its_value_begins() {
        let mut findings = Findings::default();
        let cut = cut(&"a.sql".into(), "\n  -- @kind   one", &mut findings);
        assert_eq!((cut.lines[0].place.line, cut.lines[0].place.column), (2, 14));
    }
}
