//! `games`: which games there are.

use std::time::Duration;

use gateway_protocol::{GameId, OpId};

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
}
