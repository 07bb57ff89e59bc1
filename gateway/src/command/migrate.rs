//! `gateway migrate`: brings the databases of all games, or of one, to the schema of the templates.

use std::path::Path;

use gateway_protocol::GameId;

use crate::backend::{
    MigrateError, MigrateMode, Migration, MigrationFault, MigrationStep, migrate, read_migrations,
};
use crate::config::{Config, ConnectionConfig, GameConfig};

/// The folder that every game's schema begins with.
const BASE: &str = "_base";

/// What was done to one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The connection's name in the configuration.
    pub connection: Box<str>,
    /// Every file of its schema, in order.
    pub steps: Vec<MigrationStep>,
}

/// Why the command failed. Databases before the failed one are done.
#[derive(Debug, thiserror::Error)]
pub enum MigrateCommandError {
    /// The files cannot be used.
    #[error("the schema's files are faulty")]
    Files(#[from] MigrationFault),
    /// A database cannot be brought to them.
    #[error("a database could not be migrated")]
    Database(#[from] MigrateError),
    /// There is no such game.
    #[error("there is no game `{0}`")]
    NoGame(GameId),
    /// A game's connection is not configured.
    #[error("game `{game}` names the connection `{connection}`, which is not configured")]
    NoConnection {
        /// The game.
        game: GameId,
        /// What it names.
        connection: Box<str>,
    },
}

/// Applies the shared schema and then each game's own to the database that the game names; where games share
/// a database, the shared one once. Every file is read before the first database is touched.
///
/// - `only`: this game's database; games that share it are migrated with it.
///
/// Runs on a tokio runtime.
///
/// # Errors
///
/// [`MigrateCommandError`].
pub async fn run(
    config: &Config,
    only: Option<&GameId>,
    mode: MigrateMode,
) -> Result<Vec<Migrated>, MigrateCommandError> {
    let mut done = Vec::new();
    for (connection, migrations) in plan(config, only)? {
        let steps = migrate(connection, &migrations, mode).await?;
        done.push(Migrated { connection: connection.name.clone(), steps });
    }
    Ok(done)
}

/// The databases to migrate, each with its files in the order to apply.
fn plan<'c>(
    config: &'c Config,
    only: Option<&GameId>,
) -> Result<Vec<(&'c ConnectionConfig, Vec<Migration>)>, MigrateCommandError> {
    if let Some(id) = only
        && !config.games.iter().any(|game| game.id == *id)
    {
        return Err(MigrateCommandError::NoGame(id.clone()));
    }
    for game in &config.games {
        if !config.database.connections.iter().any(|connection| connection.name == game.database) {
            let (game, connection) = (game.id.clone(), game.database.clone());
            return Err(MigrateCommandError::NoConnection { game, connection });
        }
    }
    let mut plan = Vec::new();
    for connection in &config.database.connections {
        let games: Vec<&GameConfig> =
            config.games.iter().filter(|game| game.database == connection.name).collect();
        let wanted = match only {
            Some(id) => games.iter().any(|game| game.id == *id),
            None => !games.is_empty(),
        };
        if wanted {
            plan.push((connection, files(&config.templates, connection, &games)?));
        }
    }
    Ok(plan)
}

fn files(
    templates: &Path,
    connection: &ConnectionConfig,
    games: &[&GameConfig],
) -> Result<Vec<Migration>, MigrationFault> {
    let mut migrations = read_migrations(templates, BASE, connection.dialect)?;
    for game in games {
        migrations.extend(read_migrations(templates, game.id.as_str(), connection.dialect)?);
    }
    Ok(migrations)
}
