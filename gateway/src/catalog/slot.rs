//! A declared parameter.

use super::{Scalar, Type};

/// `@param`: one declared input.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub ty: Type,
    /// Whether a call without it is refused (2010).
    pub required: bool,
    /// `default=`: bound when the caller gives nothing.
    pub default: Option<Scalar<'static>>,
    /// `min=`, in the type of the slot.
    pub min: Option<Scalar<'static>>,
    /// `max=`.
    pub max: Option<Scalar<'static>>,
    /// `pattern=`: the whole text must match.
    pub pattern: Option<Pattern>,
    /// `max_items=` of a list.
    pub item_count_max: Option<u32>,
    /// `like=prefix`: wildcards in the value are escaped and `%` is appended at bind.
    pub like_prefix: bool,
    /// `sample=`: a value for documentation, `gateway check --database` and the demo.
    pub sample: Option<Box<str>>,
}

impl Slot {
    /// A required one without limits.
    pub fn new(name: impl Into<Box<str>>, ty: Type) -> Self {
        Self {
            name: name.into(),
            ty,
            required: true,
            default: None,
            min: None,
            max: None,
            pattern: None,
            item_count_max: None,
            like_prefix: false,
            sample: None,
        }
    }
}

/// A compiled `pattern=`.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex_lite::Regex);

/// The pattern `(?s).+` as it is kept: any text but an empty one, which Oracle would keep as NULL.
const NOT_EMPTY: &str = "^(?:(?s).+)$";

impl Pattern {
    /// Whether it matches the whole of a text.
    pub fn matches(&self, text: &str) -> bool {
        if self.0.as_str() == NOT_EMPTY {
            // It stands at every name, and the expression is not needed to see it.
            return !text.is_empty();
        }
        self.0.find(text).is_some_and(|found| found.range() == (0..text.len()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}
