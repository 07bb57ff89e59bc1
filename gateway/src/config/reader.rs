//! Reads the keys of one section, typed and bounded, and records each of them.
//!
//! A section's file says of every key its name, default and range, once; what is wrong is recorded and
//! reading goes on with a stand-in, so one pass finds every fault. Keys that nobody asked for are
//! faults when the section ends.
//!
//! Invariant: a stand-in never leaves `Config::parse`: a single fault and the whole configuration is dropped.

use super::fault::{FaultKind, nearest, quoted};
use super::reading::Reading;
use super::reference::expand;
use super::setting::{Effect, Segment, Setting, Shown, path_text};
use super::yaml::{Entry, Node, NodeValue};

/// A key and when a change of it takes effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
}

/// A key whose change takes effect at a reload.
pub(super) const fn live(name: &'static str) -> Key {
    Key { name, effect: Effect::Reload }
}

/// A key whose change takes effect at a restart.
pub(super) const fn restart(name: &'static str) -> Key {
    Key { name, effect: Effect::Restart }
}

/// What a key is without a value.
#[derive(Debug)]
pub(super) enum Fallback<T> {
    /// A fault.
    Required,
    /// Nothing: the feature is off.
    Absent,
    /// A fixed default.
    Default(T),
    /// A default that follows from another setting, and in which way.
    Derived(T, &'static str),
}

/// How a scalar is read and shown.
pub(super) struct Form<'f, T> {
    /// In words, with the range: `a duration of 1s to 5m`.
    pub(super) expected: String,
    /// Text to value; `None` when it does not fit.
    pub(super) parse: &'f dyn Fn(&str) -> Option<T>,
    /// Value to text.
    pub(super) show: &'f dyn Fn(&T) -> Shown,
}

/// One mapping while it is read.
#[derive(Debug)]
pub(super) struct Section<'r> {
    pub(super) reading: &'r Reading<'r>,
    path: Vec<Segment>,
    line: u32,
    entries: &'r [Entry],
    asked: Vec<&'static str>,
}

/// Reads the whole file's mapping with `read`.
pub(super) fn read_root<'r, T>(
    reading: &'r Reading<'r>,
    root: &'r Node,
    read: impl FnOnce(&mut Section<'r>) -> T,
) -> T {
    Section::over(reading, Vec::new(), Some(root), read)
}

impl<'r> Section<'r> {
    fn over<T>(
        reading: &'r Reading<'r>,
        path: Vec<Segment>,
        node: Option<&'r Node>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut section = Self { reading, path, line: 0, entries: &[], asked: Vec::new() };
        if let Some(node) = node {
            section.line = node.line;
            match &node.value {
                NodeValue::Map(entries) => section.entries = entries,
                other => section.wrong(node.line, &section.path, other, "a section"),
            }
        }
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    fn refuse_unknown(&self) {
        let unknown = self.entries.iter().filter(|e| !self.asked.contains(&e.key.as_str()));
        for entry in unknown {
            let hint = nearest(&entry.key, self.asked.iter().copied());
            let mut key = path_text(&self.path);
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(&entry.key);
            self.reading.fault(
                entry.line,
                key,
                FaultKind::UnknownKey { nearest: hint.map(Into::into) },
            );
        }
    }

    /// The key path of a key of this section.
    pub(super) fn key(&self, name: &'static str) -> String {
        path_text(&self.child(Segment::Key(name)))
    }

    /// Line of the section, from 1; 0 when it is not written.
    pub(super) const fn line(&self) -> u32 {
        self.line
    }

    /// The key path of this section.
    pub(super) fn path(&self) -> String {
        path_text(&self.path)
    }

    pub(super) fn child(&self, segment: Segment) -> Vec<Segment> {
        let mut path = self.path.clone();
        path.push(segment);
        path
    }

    /// The entry of a key; `None` when it is not written or null.
    pub(super) fn entry(&mut self, name: &'static str) -> Option<&'r Entry> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.entries.iter().find(|e| e.key == name && e.node.value != NodeValue::Null)
    }

    /// Whether the key is written and not null.
    pub(super) fn has(&mut self, name: &'static str) -> bool {
        self.entry(name).is_some()
    }

    /// A fault of the whole section.
    pub(super) fn fault(&self, kind: FaultKind) {
        self.reading.fault(self.line, self.path(), kind);
    }

    /// A fault of one key, at its line, or the section's when it is not written.
    pub(super) fn key_fault(&mut self, name: &'static str, kind: FaultKind) {
        let line = self.entry(name).map_or(self.line, |entry| entry.line);
        self.reading.fault(line, self.key(name), kind);
    }

    /// Takes keys for known that cannot be read yet, because another key decides what they mean.
    pub(super) fn pass_over(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    /// Refuses a key that people may try here, in words better than "unknown".
    pub(super) fn refuse(&mut self, name: &'static str, kind: FaultKind) {
        if self.has(name) {
            self.key_fault(name, kind);
        }
    }

    fn wrong(&self, line: u32, path: &[Segment], found: &NodeValue, expected: &str) {
        let value = match found {
            NodeValue::Null => "empty".into(),
            NodeValue::Text(text) => quoted(text),
            NodeValue::List(_) => "a list".into(),
            NodeValue::Map(_) => "a section".into(),
        };
        let kind = FaultKind::Invalid { value, expected: expected.into() };
        self.reading.fault(line, path_text(path), kind);
    }

    pub(super) fn record(
        &self,
        path: Vec<Segment>,
        line: u32,
        value: Shown,
        key: (Effect, String),
    ) {
        let (effect, note) = key;
        let note = format!("{note}; {}", effect.words()).into();
        self.reading.record(Setting { path, line, value, effect, note });
    }

    /// Reads a scalar; every typed reader below ends here.
    ///
    /// Returns `None` when it is absent, or when a fault was recorded.
    pub(super) fn scalar<T>(
        &mut self,
        key: Key,
        fallback: Fallback<T>,
        form: &Form<'_, T>,
    ) -> Option<T> {
        let entry = self.entry(key.name);
        let path = self.child(Segment::Key(key.name));
        let (default, origin) = match fallback {
            Fallback::Required => (None, "required".to_owned()),
            Fallback::Absent => (None, "default none".to_owned()),
            Fallback::Derived(value, words) => (Some(value), format!("default {words}")),
            Fallback::Default(value) => {
                let origin = format!("default {}", (form.show)(&value).plain());
                (Some(value), origin)
            }
        };
        let required = origin == "required";
        let value = match entry {
            Some(entry) => self.parse(&path, &entry.node, form),
            None => default,
        };
        if entry.is_none() && required {
            let kind = FaultKind::Missing { expected: form.expected.as_str().into() };
            self.reading.fault(self.line, path_text(&path), kind);
        }
        let shown = value.as_ref().map_or(Shown::Null, form.show);
        let note = format!("{origin}; {}", form.expected);
        self.record(path, entry.map_or(0, |e| e.line), shown, (key.effect, note));
        value
    }

    fn parse<T>(&self, path: &[Segment], node: &Node, form: &Form<'_, T>) -> Option<T> {
        let NodeValue::Text(written) = &node.value else {
            self.wrong(node.line, path, &node.value, &form.expected);
            return None;
        };
        match expand(written, self.reading.env) {
            Ok(text) => {
                let value = (form.parse)(&text.value);
                if value.is_none() {
                    self.wrong(node.line, path, &node.value, &form.expected);
                }
                value
            }
            Err(reason) => {
                self.reading.fault(node.line, path_text(path), FaultKind::Secret(reason.into()));
                None
            }
        }
    }

    /// A list of texts, each of the form that `parse` takes; faulty ones are left out.
    pub(super) fn texts<T: ToString>(
        &mut self,
        key: Key,
        default: Vec<T>,
        expected: &str,
        parse: &dyn Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let show =
            |values: &[T]| Shown::Texts(values.iter().map(|v| v.to_string().into()).collect());
        let entry = self.entry(key.name);
        let path = self.child(Segment::Key(key.name));
        let origin = show(&default).plain();
        let form = Form {
            expected: expected.to_owned(),
            parse,
            show: &|value: &T| Shown::Text(value.to_string().into()),
        };
        let values = match entry.map(|e| (&e.node.value, e.line)) {
            None => default,
            Some((NodeValue::List(items), _)) => {
                let item = |(index, node)| {
                    let mut path = path.clone();
                    path.push(Segment::Item(index));
                    self.parse(&path, node, &form)
                };
                items.iter().enumerate().filter_map(item).collect()
            }
            Some((other, line)) => {
                self.wrong(line, &path, other, &format!("a list of {expected}"));
                Vec::new()
            }
        };
        let note = format!("default {origin}; a list of {expected}");
        self.record(path, entry.map_or(0, |e| e.line), show(&values), (key.effect, note));
        values
    }

    /// A section that always is: without it, its keys have their defaults.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let path = self.child(Segment::Key(name));
        let entry = self.entry(name);
        if let Some(entry) = entry {
            self.reading.record_section(&path, entry.line);
        }
        Self::over(self.reading, path, entry.map(|entry| &entry.node), read)
    }

    /// A section that switches something on; `None` when it is not written.
    pub(super) fn optional_section<T>(
        &mut self,
        key: Key,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let path = self.child(Segment::Key(key.name));
        let Some(entry) = self.entry(key.name) else {
            self.record(path, 0, Shown::Null, (key.effect, "default none".to_owned()));
            return None;
        };
        self.reading.record_section(&path, entry.line);
        Some(Self::over(self.reading, path, Some(&entry.node), read))
    }

    /// Sections under names that the operator chooses, in the order written.
    pub(super) fn named<T>(
        &mut self,
        key: Key,
        mut read: impl FnMut(&str, &mut Self) -> T,
    ) -> Vec<T> {
        let path = self.child(Segment::Key(key.name));
        let mut values = Vec::new();
        let entry = self.entry(key.name);
        if let Some(entry) = entry {
            self.reading.record_section(&path, entry.line);
        }
        match entry.map(|e| &e.node.value) {
            Some(NodeValue::Map(entries)) => {
                for entry in entries {
                    let mut path = path.clone();
                    path.push(Segment::Name(entry.key.as_str().into()));
                    self.reading.record_section(&path, entry.line);
                    let named_well = is_name(&entry.key);
                    if !named_well {
                        let kind = FaultKind::Syntax(NAME_FORM.into());
                        self.reading.fault(entry.line, path_text(&path), kind);
                    }
                    // A name without keys is a section whose keys have their defaults.
                    let node = (entry.node.value != NodeValue::Null).then_some(&entry.node);
                    // One of a bad name is read for its faults alone, under a name that goes anywhere.
                    let name = if named_well { &*entry.key } else { STAND_IN };
                    let value = Self::over(self.reading, path, node, |section| {
                        section.line = entry.line;
                        read(name, section)
                    });
                    values.extend(named_well.then_some(value));
                }
            }
            Some(other) => {
                self.wrong(entry.map_or(0, |e| e.line), &path, other, "a section");
            }
            None => {}
        }
        if values.is_empty() {
            self.record(path, 0, Shown::EmptyMap, (key.effect, "default none".to_owned()));
        }
        values
    }

    /// A list of sections, in the order written.
    pub(super) fn items<T>(&mut self, key: Key, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let path = self.child(Segment::Key(key.name));
        let mut values = Vec::new();
        let entry = self.entry(key.name);
        if let Some(entry) = entry {
            self.reading.record_section(&path, entry.line);
        }
        match entry.map(|e| &e.node.value) {
            Some(NodeValue::List(items)) => {
                for (index, node) in items.iter().enumerate() {
                    let mut path = path.clone();
                    path.push(Segment::Item(index));
                    self.reading.record_section(&path, node.line);
                    values.push(Self::over(self.reading, path, Some(node), &mut read));
                }
            }
            Some(other) => {
                self.wrong(entry.map_or(0, |e| e.line), &path, other, "a list of sections");
            }
            None => {}
        }
        if values.is_empty() {
            let line = entry.map_or(0, |e| e.line);
            self.record(path, line, Shown::Texts(vec![]), (key.effect, "default []".to_owned()));
        }
        values
    }
}

/// Stands for a name that cannot be one.
const STAND_IN: &str = "unnamed";

const NAME_FORM: &str = "is not a name: 1 to 64 of a-z, 0-9, `_` and `-`, starting with a letter";

/// Whether a text may name a connection, a game's section or a role: it becomes a label and a path.
pub(super) fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    text.len() <= 64
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text.bytes().all(good)
}
