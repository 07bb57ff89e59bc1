//! Every setting as it is in effect: what `print` shows, what `diff` compares, what the sample must hold.
//!
//! The reader records each key it asks for, written or not, so none of the three has a list of its own.

use std::fmt::{self, Write};

use super::Secret;

/// When a changed setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At the next reload.
    Reload,
    /// At the next start of the process.
    Restart,
}

impl Effect {
    /// In the sample's words: `reloads`, `needs a restart`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reload => "reloads",
            Self::Restart => "needs a restart",
        }
    }
}

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(super) path: Vec<Segment>,
    /// Line where it is written, from 1; 0 for a default.
    pub(super) line: u32,
    pub(super) value: Shown,
    pub(super) effect: Effect,
    /// `default 15s; a duration of 1s to 5m; reloads`: what the sample says of it.
    pub(super) note: Box<str>,
}

/// One step of a key path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A key of ours.
    Key(&'static str),
    /// A name that the operator chose: of a game, a connection, a role.
    Name(Box<str>),
    /// An item of a list, from 0.
    Item(usize),
}

impl Segment {
    /// The key or name; empty for an item.
    fn name(&self) -> &str {
        match self {
            Self::Key(key) => key,
            Self::Name(name) => name,
            Self::Item(_) => "",
        }
    }
}

/// A value in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Off.
    Null,
    /// A number, a truth value, or a text that YAML may not take for something else.
    Plain(Box<str>),
    /// Any text.
    Text(Box<str>),
    /// A list of texts.
    Texts(Vec<Box<str>>),
    /// A section without keys.
    EmptyMap,
    /// A secret: compared, never shown.
    Secret(Secret),
}

/// The path as faults write it: `auth.api_keys[0].id`.
pub(super) fn path_text(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Item(index) => append(&mut text, format_args!("[{index}]")),
            Segment::Key(_) | Segment::Name(_) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(segment.name());
            }
        }
    }
    text
}

/// Every section that is written, sound or not: its path, and the line of its key.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections(pub(super) Vec<(String, u32)>);

/// Where sections stand is for faults: a configuration is the same with them elsewhere.
impl PartialEq for Sections {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The line where a setting is written, or else the innermost written section around it; 0 for neither.
pub(super) fn line_of(settings: &[Setting], sections: &Sections, key: &str) -> u32 {
    let own = settings.iter().find(|it| it.line > 0 && path_text(&it.path) == key);
    if let Some(setting) = own {
        return setting.line;
    }
    let mut path = key;
    loop {
        if let Some((_, line)) = sections.0.iter().find(|(own, _)| own == path) {
            return *line;
        }
        let Some((outer, _)) = path.rsplit_once(['.', '[']) else { return 0 };
        path = outer;
    }
}

impl Shown {
    /// Without its quotes, for a note.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Plain(text) | Self::Text(text) => text.to_string(),
            Self::Texts(texts) => format!("[{}]", texts.join(", ")),
            Self::Null | Self::EmptyMap | Self::Secret(_) => "none".to_owned(),
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => push_quoted(out, text),
            Self::Texts(texts) => {
                out.push('[');
                for (index, text) in texts.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    push_quoted(out, text);
                }
                out.push(']');
            }
            Self::EmptyMap => out.push_str("{}"),
            Self::Secret(_) => out.push_str("\"***\""),
        }
    }
}

/// Appends formatted text.
pub(super) fn append(out: &mut String, text: fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a `String` cannot fail");
}

/// A double-quoted YAML scalar; it is the same as JSON's but for the escapes below.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // `$` begins a reference to the environment when it is read again.
            '$' => out.push_str("$$"),
            c if c.is_control() => append(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes the settings as one YAML document; those of one section come together, in any order given.
pub(super) fn print(settings: &[Setting]) -> String {
    let settings: Vec<&Setting> = settings.iter().collect();
    let mut out = String::new();
    print_level(&mut out, &settings, 0);
    out
}

fn print_level(out: &mut String, settings: &[&Setting], depth: usize) {
    let mut done: Vec<&Segment> = Vec::new();
    for segment in settings.iter().filter_map(|setting| setting.path.get(depth)) {
        if done.contains(&segment) {
            continue;
        }
        done.push(segment);
        let members: Vec<&Setting> =
            settings.iter().copied().filter(|s| s.path.get(depth) == Some(segment)).collect();
        let leaf = members.iter().find(|setting| setting.path.len() == depth + 1);
        let indent = "  ".repeat(depth);
        match (segment, leaf) {
            (Segment::Item(_), _) => {
                let mut item = String::new();
                print_level(&mut item, &members, depth + 1);
                append(out, format_args!("{indent}- {}", item.trim_start()));
            }
            (Segment::Key(_) | Segment::Name(_), Some(leaf)) => {
                append(out, format_args!("{indent}{}: ", segment.name()));
                leaf.value.write(out);
                out.push('\n');
            }
            (Segment::Key(_) | Segment::Name(_), None) => {
                append(out, format_args!("{indent}{}:\n", segment.name()));
                print_level(out, &members, depth + 1);
            }
        }
    }
}

/// What differs between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys that take effect with this reload, in the file's order.
    pub reloaded: Vec<Box<str>>,
    /// Keys that keep their old value until a restart.
    pub restart: Vec<Box<str>>,
}

impl Changes {
    /// Whether nothing changed.
    pub const fn is_empty(&self) -> bool {
        self.reloaded.is_empty() && self.restart.is_empty()
    }
}

/// Compares two configurations setting by setting; added and removed ones count as changed.
pub(super) fn diff(old: &[Setting], new: &[Setting]) -> Changes {
    let by_path = |settings: &'_ [Setting]| -> std::collections::HashMap<String, Shown> {
        settings.iter().map(|s| (path_text(&s.path), s.value.clone())).collect()
    };
    let (old_values, new_values) = (by_path(old), by_path(new));
    let mut changes = Changes::default();
    let mut note = |setting: &Setting, path: String| match setting.effect {
        Effect::Reload => changes.reloaded.push(path.into()),
        Effect::Restart => changes.restart.push(path.into()),
    };
    for setting in new {
        let path = path_text(&setting.path);
        if old_values.get(&path) != Some(&setting.value) {
            note(setting, path);
        }
    }
    for setting in old {
        let path = path_text(&setting.path);
        if !new_values.contains_key(&path) {
            note(setting, path);
        }
    }
    changes
}

/// The settings of `new`, with those of `running` in the place of all that wait for a restart.
pub(super) fn reloaded_over(new: Vec<Setting>, running: &[Setting]) -> Vec<Setting> {
    let waits = |setting: &Setting| setting.effect == Effect::Restart;
    let gone: Vec<Setting> = {
        let is_gone = |old: &&Setting| waits(old) && !new.iter().any(|one| one.path == old.path);
        running.iter().filter(is_gone).cloned().collect()
    };
    // In the order of `new`: what did not change is then equal to what runs.
    new.into_iter()
        .filter_map(|setting| {
            if !waits(&setting) {
                return Some(setting);
            }
            running.iter().find(|old| old.path == setting.path).cloned()
        })
        .chain(gone)
        .collect()
}
