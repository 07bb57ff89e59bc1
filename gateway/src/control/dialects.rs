//! Which dialects the games' templates are needed in.

use gateway_protocol::GameId;

use crate::catalog::Finding;
use crate::config::{Config, Dialect};

/// The games, each with the dialect of its database.
pub fn game_dialects(config: &Config) -> Vec<(GameId, Dialect)> {
    let games = config.games.iter();
    games.filter_map(|game| Some((game.id.clone(), dialect_of(config, &game.database)?))).collect()
}

/// The games that have a mirror, each with its dialect.
pub fn mirror_dialects(config: &Config) -> Vec<(GameId, Dialect)> {
    let mirrored = config.games.iter().filter_map(|game| Some((game, game.mirror.as_ref()?)));
    mirrored
        .filter_map(|(game, mirror)| Some((game.id.clone(), dialect_of(config, mirror)?)))
        .collect()
}

fn dialect_of(config: &Config, connection: &str) -> Option<Dialect> {
    config.database.connection(connection).map(|found| found.dialect)
}

/// A finding and what to do about it.
pub(super) fn told(finding: &Finding) -> String {
    format!("{finding}\n    fix: {}", finding.fix)
}
