//! Which dialects the games' templates are needed in.

use gateway_protocol::GameId;

use crate::catalog::{Finding, MirroredGame};
use crate::config::{Config, Dialect, GameConfig};

/// The games, each with the dialect of its database.
pub fn game_dialects(config: &Config) -> Vec<(GameId, Dialect)> {
    let games = config.games.iter();
    games.filter_map(|game| Some((game.id.clone(), dialect_of(config, &game.database)?))).collect()
}

/// The games that have a mirror.
pub fn mirrored_games(config: &Config) -> Vec<MirroredGame> {
    let mirrored = |game: &GameConfig| {
        Some(MirroredGame {
            id: game.id.clone(),
            dialect: dialect_of(config, &game.database)?,
            mirror: dialect_of(config, game.mirror.as_ref()?)?,
            disabled: game.disabled_operations.clone(),
        })
    };
    config.games.iter().filter_map(mirrored).collect()
}

fn dialect_of(config: &Config, connection: &str) -> Option<Dialect> {
    config.database.connection(connection).map(|found| found.dialect)
}

/// A finding and what to do about it.
pub(super) fn told(finding: &Finding) -> String {
    format!("{finding}\n    fix: {}", finding.fix)
}
