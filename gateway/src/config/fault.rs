//! What is wrong with a configuration file, told so that it can be mended without the manual.

use std::fmt;

/// Longest part of a value that a fault repeats, in characters.
const VALUE_CHARS_MAX: usize = 80;

/// One fault of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Line in the file, from 1; 0 when it concerns the file as a whole.
    pub line: u32,
    /// The key with its sections: `server.tcp.heartbeat`, `auth.api_keys[0].id`; empty for the whole file.
    pub key: Box<str>,
    /// What is wrong.
    pub kind: FaultKind,
}

/// The kinds of faults. None of them carries a secret's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(Box<str>),
    /// The text is not YAML, or YAML that this file may not use (anchors, tags, several documents).
    #[error("{0}")]
    Syntax(Box<str>),
    /// A key written twice in one section.
    #[error("is written twice, first in line {first_line}")]
    DuplicateKey {
        /// Where it stands first.
        first_line: u32,
    },
    /// A key that the section does not have.
    #[error("is not a key here{}", hint(.nearest.as_deref()))]
    UnknownKey {
        /// The known key that looks most like it.
        nearest: Option<Box<str>>,
    },
    /// A key that has no default.
    #[error("is missing: it needs {expected}")]
    Missing {
        /// Form and range.
        expected: Box<str>,
    },
    /// A value of the wrong form or outside its range.
    #[error("is {value}, but has to be {expected}")]
    Invalid {
        /// The value as written, shortened.
        value: Box<str>,
        /// Form and range.
        expected: Box<str>,
    },
    /// A reference that leads nowhere, or a secret that is not what it has to be.
    #[error("{0}")]
    Secret(Box<str>),
    /// Settings that do not go together.
    #[error("{0}")]
    Conflict(Box<str>),
    /// A setting whose behaviour this version does not have.
    #[error("is not built in this version: {0}")]
    NotBuilt(Box<str>),
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.line, &self.key)?;
        fmt::Display::fmt(&self.kind, f)
    }
}

impl std::error::Error for ConfigFault {}

/// Something that works and should not stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Line in the file, from 1; 0 for the file as a whole.
    pub line: u32,
    /// The key with its sections.
    pub key: Box<str>,
    /// What is doubtful, without a secret's value.
    pub text: Box<str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.line, &self.key)?;
        f.write_str(&self.text)
    }
}

fn place(f: &mut fmt::Formatter<'_>, line: u32, key: &str) -> fmt::Result {
    if line > 0 {
        write!(f, "line {line}: ")?;
    }
    if key.is_empty() { Ok(()) } else { write!(f, "`{key}` ") }
}

/// A value as a fault repeats it: quoted, one line, shortened.
pub(super) fn quoted(value: &str) -> Box<str> {
    let mut text: String =
        value.chars().take(VALUE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if value.chars().nth(VALUE_CHARS_MAX).is_some() {
        text.push('…');
    }
    format!("\"{text}\"").into()
}

/// The one of `known` that looks most like `written`; `None` when none is near.
pub(super) fn nearest<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let near_max = (written.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|key| (distance(written, key), key))
        .filter(|(steps, key)| *steps <= near_max && *steps < key.len())
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, key)| key)
}

/// Edits (insert, delete, replace) that lead from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let above = *cell;
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_key_is_led_to_the_nearest_one_and_a_strange_one_to_none() {
        let known = ["heartbeat", "address", "max_connections"];
        assert_eq!(nearest("hartbeat", known), Some("heartbeat"));
        assert_eq!(nearest("adress", known), Some("address"));
        assert_eq!(nearest("max_conections", known), Some("max_connections"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn distance_counts_single_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn quoted_value_at_the_limit_is_whole_and_one_more_is_cut() {
        assert_eq!(*quoted(&"a".repeat(80)), *format!("\"{}\"", "a".repeat(80)));
        assert_eq!(*quoted(&"a".repeat(81)), *format!("\"{}…\"", "a".repeat(80)));
        assert_eq!(&*quoted("a\nb"), "\"a\\nb\"");
    }
}
