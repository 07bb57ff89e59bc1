//! `events`: what writes tell of (`@emit`).

use std::time::Duration;

use super::reader::{Section, live};

/// `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsConfig {
    /// `keep`: how long an event can be read; default 1 d.
    pub keep: Duration,
}

impl EventsConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let day = Duration::from_hours(24);
        Self { keep: section.duration(live("keep"), day, Duration::from_mins(1)..=30 * day) }
    }
}
