//! What the machine allows, read and judged by the table of `kernel-tuning/`.
//!
//! `table` is that table, built in; `read` finds a check's value, `cards` those of network cards, `judge` says
//! whether it will do. `kernel-tuning/tune check` does the same as a script: one table, two readers, and tests
//! that they agree.
//!
//! Invariant: nothing here changes the machine, but [`raise_open_files`] this process' own limit.

mod cards;
mod judge;
mod limit;
mod needs;
mod read;
mod table;

use std::path::Path;

use serde::Serialize;

use self::judge::judge;
use self::read::look;

pub use limit::raise_open_files;
pub use needs::needs;
pub use table::{Check, How, PROFILES, Profile, checks};

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It should be changed.
    Change,
    /// The machine does not have it: nothing to do.
    Absent,
    /// It cannot be told.
    Unknown,
}

impl State {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Change => "change",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// One check of one machine.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which.
    pub check: Check,
    /// What became of it.
    pub state: State,
    /// What was found; empty: nothing.
    pub found: String,
    /// What it should be, `at-least 4096`.
    pub wanted: String,
}

/// A value by the name of its check.
pub type Named = (&'static str, String);

/// What is asked of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where its files are: `/`, or a folder that stands for it.
    pub root: &'a Path,
    /// Which size of machine is meant.
    pub profile: &'a Profile,
    /// What is wanted in place of the profile's values.
    pub wanted: &'a [Named],
    /// What the kernel said when it was asked, for checks that read no file.
    pub probed: &'a [Named],
}

impl Question<'_> {
    /// Examines every check that `picks` picks.
    pub fn examine(&self, picks: impl Fn(&Check) -> bool) -> Vec<Finding> {
        checks().into_iter().filter(picks).map(|check| self.one(check)).collect()
    }

    fn one(&self, check: Check) -> Finding {
        let own = self.wanted.iter().find(|(id, _)| *id == check.id);
        let value = own.map_or_else(|| self.profile.value(&check), |(_, value)| value.as_str());
        let seen = look(self.root, &check, self.probed);
        let state = match (seen.text.is_empty(), check.way()) {
            (true, "probe") => State::Unknown,
            (true, _) => State::Absent,
            (false, _) => judge(check.how, value, &seen, self.root),
        };
        let wanted = [check.how.name(), value].join(" ").trim_end().to_owned();
        Finding { check, state, found: seen.text, wanted }
    }
}
