//! The keys that a header may have, and how those of an override meet those of its base.

/// A key of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Desc,
    Kind,
    Param,
    Result,
    Out,
    Version,
    Return,
    Include,
    Allow,
    Http,
    Cache,
    Invalidate,
    Page,
    Order,
    Require,
    Guard,
    On,
    Idempotent,
    Async,
    Lane,
    Retry,
    Current,
    Status,
    Route,
    Shard,
    Timeout,
    Limit,
    Mask,
    Encrypt,
    Audit,
    Emit,
    Extends,
    Replace,
    HttpCache,
    Dialects,
    Deprecated,
    StaleOk,
    ScanOk,
}

/// What happens when a more specific file has the key too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Stands once in a file; the most specific wins.
    Single,
    /// Stands once for each name; the most specific of each name wins.
    Named,
    /// Stands as often as needed; the most specific file that has it wins with all of its lines.
    Group,
    /// Stands as often as needed; every file's lines count.
    Additive,
}

impl Key {
    /// Every key, in the order in which `gateway which` shows them.
    pub(crate) const ALL: [Self; 38] = [
        Self::Desc,
        Self::Kind,
        Self::Param,
        Self::Result,
        Self::Out,
        Self::Version,
        Self::Return,
        Self::Include,
        Self::Allow,
        Self::Http,
        Self::Cache,
        Self::Invalidate,
        Self::Page,
        Self::Order,
        Self::Require,
        Self::Guard,
        Self::On,
        Self::Idempotent,
        Self::Async,
        Self::Lane,
        Self::Retry,
        Self::Current,
        Self::Status,
        Self::Route,
        Self::Shard,
        Self::Timeout,
        Self::Limit,
        Self::Mask,
        Self::Encrypt,
        Self::Audit,
        Self::Emit,
        Self::Extends,
        Self::Replace,
        Self::HttpCache,
        Self::Dialects,
        Self::Deprecated,
        Self::StaleOk,
        Self::ScanOk,
    ];

    /// Its name in a header, without the `@`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Desc => "desc",
            Self::Kind => "kind",
            Self::Param => "param",
            Self::Result => "result",
            Self::Out => "out",
            Self::Version => "version",
            Self::Return => "return",
            Self::Include => "include",
            Self::Allow => "allow",
            Self::Http => "http",
            Self::Cache => "cache",
            Self::Invalidate => "invalidate",
            Self::Page => "page",
            Self::Order => "order",
            Self::Require => "require",
            Self::Guard => "guard",
            Self::On => "on",
            Self::Idempotent => "idempotent",
            Self::Async => "async",
            Self::Lane => "lane",
            Self::Retry => "retry",
            Self::Current => "current",
            Self::Status => "status",
            Self::Route => "route",
            Self::Shard => "shard",
            Self::Timeout => "timeout",
            Self::Limit => "limit",
            Self::Mask => "mask",
            Self::Encrypt => "encrypt",
            Self::Audit => "audit",
            Self::Emit => "emit",
            Self::Extends => "extends",
            Self::Replace => "replace",
            Self::HttpCache => "http_cache",
            Self::Dialects => "dialects",
            Self::Deprecated => "deprecated",
            Self::StaleOk => "stale_ok",
            Self::ScanOk => "scan_ok",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The key that was probably meant: same letters in another order, or one or two of them off.
    pub(crate) fn nearest(name: &str) -> Option<Self> {
        let candidate = Self::ALL.into_iter().min_by_key(|key| distance(key.name(), name))?;
        (distance(candidate.name(), name) <= 2).then_some(candidate)
    }

    /// How an override's line meets its base's.
    pub(crate) const fn merge(self) -> Merge {
        match self {
            Self::Param
            | Self::Out
            | Self::Order
            | Self::On
            | Self::Return
            | Self::Include
            | Self::Replace => Merge::Named,
            Self::Result => Merge::Group,
            // What protects adds up: an override cannot lose a condition, a tag or a mask.
            Self::Invalidate
            | Self::Require
            | Self::Guard
            | Self::Mask
            | Self::Encrypt
            | Self::Emit => Merge::Additive,
            _ => Merge::Single,
        }
    }
}

/// Levenshtein distance of two short texts.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (slot, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let here = (diagonal + usize::from(a != b)).min(before + 1).min(*slot + 1);
            diagonal = *slot;
            *slot = here;
            before = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_name_and_only_by_it() {
        for key in Key::ALL {
            assert_eq!(Key::from_name(key.name()), Some(key));
        }
        assert_eq!(Key::from_name("Kind"), None);
        assert_eq!(Key::from_name(""), None);
    }

    #[test]
    fn misspelt_key_gets_the_one_that_was_meant() {
        assert_eq!(Key::nearest("cahce"), Some(Key::Cache));
        assert_eq!(Key::nearest("params"), Some(Key::Param));
        assert_eq!(Key::nearest("transaction"), None);
    }
}
