//! `games`: which games there are.

use std::time::Duration;

use gateway_protocol::{GameId, OpId};

use super::QueueKind;
use super::reader::{Fallback, Section, live};

/// `games.<id>`. Everything here reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameConfig {
    /// Its id: in requests, and the folder of its templates.
    pub id: GameId,
    /// `name`: for people.
    pub name: Box<str>,
    /// `database`: the connection's name.
    pub database: Box<str>,
    /// `enabled`: default true; a disabled game answers 2002.
    pub enabled: bool,
    /// `disabled_operations`: kill switches; each answers 2003.
    pub disabled_operations: Vec<OpId>,
    /// `deadline`: the longest a request of this game may take; default 5 s.
    pub deadline: Duration,
    /// `queue`: where its queued writes go: `journal` (default) or `stream`.
    pub queue: QueueKind,
    /// `mirror`: the connection that is made like `database`, on the way from one to the other; default none.
    pub mirror: Option<Box<str>>,
}

impl GameConfig {
    /// Reads `games.<name>`; `None` when it has no id, which is then a fault already.
    pub(super) fn read(name: &str, section: &mut Section<'_>) -> Option<Self> {
        let expected = "1 to 64 of a-z, 0-9 and `_`, starting with a letter";
        let default = GameId::new(name)
            .map_or(Fallback::Required, |id| Fallback::Derived(id, "the section's name"));
        let id = section.parsed(live("id"), default, expected, &|text| GameId::new(text).ok());
        let default = Fallback::Derived(name.into(), "the section's name");
        Some(Self {
            name: section.text(live("name"), default, "a text"),
            database: section.text(
                live("database"),
                Fallback::Required,
                "the name of one of `database.connections`",
            ),
            enabled: section.flag(live("enabled"), true),
            disabled_operations: section.texts(
                live("disabled_operations"),
                Vec::new(),
                "operations such as player.get",
                &|text| OpId::new(text).ok(),
            ),
            deadline: section.duration(
                live("deadline"),
                Duration::from_secs(5),
                Duration::from_millis(10)..=Duration::from_mins(10),
            ),
            queue: section
                .choice(
                    live("queue"),
                    Fallback::Default(QueueKind::Journal),
                    &[("journal", QueueKind::Journal), ("stream", QueueKind::Stream)],
                )
                .unwrap_or_default(),
            mirror: section.parsed(
                live("mirror"),
                Fallback::Absent,
                "the name of another of `database.connections`",
                &|text| (!text.is_empty()).then(|| Box::from(text)),
            ),
            id: id?,
        })
    }
}
