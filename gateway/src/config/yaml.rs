//! A YAML text as a tree that remembers the line of every node.
//!
//! Scalars stay text here: what they mean is decided by the key that reads them, so `no`, `1e3` and
//! `0123` never become something that was not written.
//!
//! Invariant: no anchors, aliases, merge keys or tags, one document, bounded size and depth; so a
//! tree is never larger than its text.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::fault::{ConfigFault, FaultKind};
use super::setting::append;

/// Longest configuration file, in bytes.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of sections and lists.
pub(super) const DEPTH_MAX: usize = 16;

/// A node and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Line in the file, from 1.
    pub(super) line: u32,
    /// What it is.
    pub(super) value: NodeValue,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeValue {
    /// Nothing: `key:`, `~` or `null`.
    Null,
    /// A scalar, as written and without its quotes.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written, keys unique.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// The key's line, from 1.
    pub(super) line: u32,
    /// Its value.
    pub(super) node: Node,
}

/// Reads a text; an empty one is an empty mapping.
///
/// # Errors
///
/// Every doubled key, and the first thing that is not YAML or not allowed here.
pub(super) fn parse(text: &str) -> Result<Node, Vec<ConfigFault>> {
    if text.len() > FILE_BYTES_MAX {
        let reason = format!("the file has {} bytes, {FILE_BYTES_MAX} at most", text.len());
        return Err(vec![syntax(0, "", reason)]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => tree.take(event, span),
            Err(error) => Err(syntax(line_of(error.marker().line()), "", error.info().to_owned())),
        };
        if let Err(fault) = step {
            tree.faults.push(fault);
            return Err(tree.faults);
        }
    }
    if tree.faults.is_empty() {
        Ok(tree.root.unwrap_or(Node { line: 1, value: NodeValue::Map(Vec::new()) }))
    } else {
        Err(tree.faults)
    }
}

fn line_of(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

fn syntax(line: u32, key: &str, reason: impl Into<Box<str>>) -> ConfigFault {
    ConfigFault { line, key: key.into(), kind: FaultKind::Syntax(reason.into()) }
}

/// The tree while it grows.
#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    root: Option<Node>,
    document_count: u32,
    faults: Vec<ConfigFault>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    line: u32,
    form: OpenForm,
}

enum OpenForm {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, lines: HashMap<String, u32>, key: Option<(String, u32)> },
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), ConfigFault> {
        let line = line_of(span.start.line());
        match event {
            Event::DocumentStart(_) => {
                self.document_count += 1;
                if self.document_count > 1 {
                    return Err(self.refuse(line, "the file holds one document, not several"));
                }
                Ok(())
            }
            Event::Alias(_) => Err(self.refuse(line, NO_ANCHORS)),
            Event::Scalar(text, style, anchor, tag) => {
                self.check_plainness(line, anchor, tag.is_some())?;
                self.scalar(line, text.into_owned(), style)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_plainness(line, anchor, tag.is_some())?;
                self.begin(line, OpenForm::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_plainness(line, anchor, tag.is_some())?;
                let form = OpenForm::Map { entries: Vec::new(), lines: HashMap::new(), key: None };
                self.begin(line, form)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.end();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn check_plainness(&self, line: u32, anchor: usize, tagged: bool) -> Result<(), ConfigFault> {
        if anchor != 0 {
            return Err(self.refuse(line, NO_ANCHORS));
        }
        if tagged {
            return Err(self.refuse(line, "tags (`!!str` and the like) are not supported"));
        }
        Ok(())
    }

    fn scalar(&mut self, line: u32, text: String, style: ScalarStyle) -> Result<(), ConfigFault> {
        let here = self.path();
        if let Some(Open { form: OpenForm::Map { key: key @ None, lines, .. }, .. }) =
            self.open.last_mut()
        {
            if text == "<<" && style == ScalarStyle::Plain {
                return Err(syntax(line, &here, "merge keys (`<<`) are not supported"));
            }
            if let Some(first_line) = lines.insert(text.clone(), line) {
                let path = if here.is_empty() { text.clone() } else { format!("{here}.{text}") };
                let kind = FaultKind::DuplicateKey { first_line };
                self.faults.push(ConfigFault { line, key: path.into(), kind });
            }
            *key = Some((text, line));
            return Ok(());
        }
        let is_null = style == ScalarStyle::Plain
            && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        let value = if is_null { NodeValue::Null } else { NodeValue::Text(text) };
        self.place(Node { line, value });
        Ok(())
    }

    fn begin(&mut self, line: u32, form: OpenForm) -> Result<(), ConfigFault> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.refuse(line, "nested too deep, 16 levels at most"));
        }
        if matches!(self.open.last(), Some(Open { form: OpenForm::Map { key: None, .. }, .. })) {
            return Err(self.refuse(line, "a key has to be a text"));
        }
        self.open.push(Open { line, form });
        Ok(())
    }

    fn end(&mut self) {
        let Some(Open { line, form }) = self.open.pop() else { return };
        let value = match form {
            OpenForm::List(items) => NodeValue::List(items),
            OpenForm::Map { entries, .. } => NodeValue::Map(entries),
        };
        self.place(Node { line, value });
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.form) {
            None => self.root = Some(node),
            Some(OpenForm::List(items)) => items.push(node),
            Some(OpenForm::Map { entries, key, .. }) => {
                if let Some((key, line)) = key.take() {
                    entries.push(Entry { key, line, node });
                }
            }
        }
    }

    fn refuse(&self, line: u32, reason: &str) -> ConfigFault {
        syntax(line, &self.path(), reason)
    }

    /// The key path of what is read now.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.form {
                OpenForm::List(items) => append(&mut path, format_args!("[{}]", items.len())),
                OpenForm::Map { key: Some((key, _)), .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                OpenForm::Map { key: None, .. } => {}
            }
        }
        path
    }
}

const NO_ANCHORS: &str = "anchors and aliases are not supported: write the value out";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(text: &str, expected: &[&str]) {
        let faults = parse(text).expect_err("the text is refused");
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn nodes_know_their_lines_and_scalars_stay_text() {
        let root = parse("a: no\nb:\n  - 0123\n  - ~\nc: {d: \"~\"}\n").unwrap();
        let NodeValue::Map(entries) = root.value else { panic!("a mapping") };
        assert_eq!(entries.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(entries[0].node.value, NodeValue::Text("no".into()));
        let NodeValue::List(items) = &entries[1].node.value else { panic!("a list") };
        assert_eq!(items[0], Node { line: 3, value: NodeValue::Text("0123".into()) });
        assert_eq!(items[1], Node { line: 4, value: NodeValue::Null });
        let NodeValue::Map(inner) = &entries[2].node.value else { panic!("a mapping") };
        assert_eq!(inner[0].node.value, NodeValue::Text("~".into()));
    }

    #[test]
    fn empty_text_is_an_empty_mapping() {
        for text in ["", "\n", "# nothing\n", "\u{feff}"] {
            assert_eq!(parse(text).unwrap().value, NodeValue::Map(vec![]), "{text:?}");
        }
    }

    #[test]
    fn every_doubled_key_is_told_with_its_first_line() {
        check_refused(
            "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n",
            &[
                "line 4: `b.c` is written twice, first in line 3",
                "line 5: `a` is written twice, first in line 1",
            ],
        );
    }

    #[test]
    fn anchors_aliases_merge_keys_tags_and_second_documents_are_refused() {
        check_refused("a: &x 1\n", &[&format!("line 1: `a` {NO_ANCHORS}")]);
        check_refused("<<: {b: 1}\n", &["line 1: merge keys (`<<`) are not supported"]);
        check_refused(
            "a: !!str 1\n",
            &["line 1: `a` tags (`!!str` and the like) are not supported"],
        );
        check_refused("a: 1\n---\nb: 2\n", &["line 2: the file holds one document, not several"]);
        check_refused("? [a]\n: 1\n", &["line 1: a key has to be a text"]);
    }

    #[test]
    fn nesting_at_the_limit_passes_and_one_level_more_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        let told = parse(&nested(DEPTH_MAX + 1)).unwrap_err()[0].to_string();
        assert!(told.contains("nested too deep"), "{told}");
        assert!(parse(&nested(100_000)).is_err());
    }

    #[test]
    fn file_at_the_size_limit_passes_and_one_byte_more_is_refused() {
        let text = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
        assert!(parse(&text(FILE_BYTES_MAX)).is_ok());
        assert!(parse(&text(FILE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn every_prefix_and_every_bit_flip_of_a_file_is_read_or_refused_without_a_panic() {
        let text =
            "a:\n  b: [1, {c: 'x'}, \"y\\n\"]\n  d: |\n    t\n  - e\n? k\n: v\n*a &b !c %d\n";
        for end in 0..text.len() {
            drop(parse(text.get(..end).expect("the text is ASCII")));
        }
        for index in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[index] ^= 1 << bit;
                drop(parse(std::str::from_utf8(&bytes).unwrap()));
            }
        }
    }
}
