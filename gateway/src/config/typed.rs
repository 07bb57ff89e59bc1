//! The typed keys of a section: durations, counts, sizes, words, texts, paths, secrets.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use super::fault::FaultKind;
use super::reader::{Fallback, Form, Key, Section};
use super::reference::read_secret;
use super::setting::{Segment, Shown, path_text};
use super::unit::{self, show_bytes, show_duration};

impl Section<'_> {
    /// A duration with a unit.
    pub(super) fn duration(
        &mut self,
        key: Key,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let (least, most) = (show_duration(range.start()), show_duration(range.end()));
        let form = Form {
            expected: format!("{least} to {most}"),
            parse: &|text| unit::duration(text).filter(|value| range.contains(value)),
            show: &|value| Shown::Plain(show_duration(value).into()),
        };
        self.scalar(key, Fallback::Default(default), &form).unwrap_or(default)
    }

    /// A whole number.
    pub(super) fn count<T: Count>(
        &mut self,
        key: Key,
        fallback: Fallback<T>,
        range: RangeInclusive<T>,
    ) -> T {
        let stand_in = *range.start();
        let form = Form {
            expected: format!("{} to {}", range.start(), range.end()),
            parse: &|text| whole(text).filter(|value| range.contains(value)),
            show: &|value: &T| Shown::Plain(value.to_string().into()),
        };
        self.scalar(key, fallback, &form).unwrap_or(stand_in)
    }

    /// A size in bytes.
    pub(super) fn bytes<T: Count>(&mut self, key: Key, default: T, range: RangeInclusive<T>) -> T {
        let shown = |value: &T| (*value).try_into().map_or_else(|_| value.to_string(), show_bytes);
        let form = Form {
            expected: format!("{} to {}", shown(range.start()), shown(range.end())),
            parse: &|text| {
                unit::bytes(text)
                    .and_then(|bytes| T::try_from(bytes).ok())
                    .filter(|value| range.contains(value))
            },
            show: &|value| Shown::Plain(shown(value).into()),
        };
        self.scalar(key, Fallback::Default(default), &form).unwrap_or(default)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: Key, default: bool) -> bool {
        let form = Form {
            expected: "true or false".to_owned(),
            parse: &|text| text.parse().ok(),
            show: &|value: &bool| Shown::Plain(value.to_string().into()),
        };
        self.scalar(key, Fallback::Default(default), &form).unwrap_or(default)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy + PartialEq>(
        &mut self,
        key: Key,
        fallback: Fallback<T>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let form = Form {
            expected: names.join(" | "),
            parse: &|text| words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value),
            show: &|value| {
                let name = words.iter().find(|(_, other)| other == value).map(|(name, _)| *name);
                name.map_or(Shown::Null, |name| Shown::Text(name.into()))
            },
        };
        self.scalar(key, fallback, &form)
    }

    /// A text that is not empty; `expected` says what it is. A faulty or absent one is empty.
    pub(super) fn text(
        &mut self,
        key: Key,
        fallback: Fallback<Box<str>>,
        expected: &str,
    ) -> Box<str> {
        self.parsed(key, fallback, expected, &|text| (!text.is_empty()).then(|| text.into()))
            .unwrap_or_default()
    }

    /// A text of some form of its own; `expected` says which.
    pub(super) fn parsed<T: ToString>(
        &mut self,
        key: Key,
        fallback: Fallback<T>,
        expected: &str,
        parse: &dyn Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let form = Form {
            expected: expected.to_owned(),
            parse,
            show: &|value| Shown::Text(value.to_string().into()),
        };
        self.scalar(key, fallback, &form)
    }

    /// A path, from the configuration file's folder where it is relative.
    pub(super) fn path_of(&mut self, key: Key, fallback: Fallback<Box<str>>) -> Option<PathBuf> {
        let written = self.text(key, fallback, "a path");
        (!written.is_empty()).then(|| self.reading.base_dir.join(&*written))
    }

    /// A secret of at least `bytes_min` bytes; `None` when it is absent or faulty.
    pub(super) fn secret(&mut self, key: Key, bytes_min: usize) -> Option<Secret> {
        self.read_secret(key, false, bytes_min)
    }

    /// The same, of a key that has to be written.
    pub(super) fn required_secret(&mut self, key: Key, bytes_min: usize) -> Option<Secret> {
        self.read_secret(key, true, bytes_min)
    }

    fn read_secret(&mut self, key: Key, required: bool, bytes_min: usize) -> Option<Secret> {
        let entry = self.entry(key.name);
        let path = self.child(Segment::Key(key.name));
        let bound = match bytes_min {
            0 | 1 => String::new(),
            least => format!(", {least} bytes or more"),
        };
        let expected = format!("`${{NAME}}` or `file:PATH`{bound}");
        let value =
            entry.and_then(|entry| read_secret(self.reading, &path, &entry.node, bytes_min));
        if entry.is_none() && required {
            let kind = FaultKind::Missing { expected: expected.as_str().into() };
            self.reading.fault(self.line(), path_text(&path), kind);
        }
        let origin = if required { "required" } else { "default none" };
        let shown = value.clone().map_or(Shown::Null, Shown::Secret);
        self.record(
            path,
            entry.map_or(0, |e| e.line),
            shown,
            (key.effect, format!("{origin}; {expected}")),
        );
        value
    }
}

/// Reads decimal digits only: no sign, no space, no underscore.
fn whole<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse::<u64>().ok())?.and_then(|number| T::try_from(number).ok())
}

/// Whole numbers that settings are made of: `u16`, `u32`, `u64`, `usize`.
pub(super) trait Count: Copy + PartialOrd + Display + TryFrom<u64> + TryInto<u64> {}

impl<T: Copy + PartialOrd + Display + TryFrom<u64> + TryInto<u64>> Count for T {}
