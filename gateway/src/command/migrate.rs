//! `gateway migrate`: brings the databases of all games, or of one, to the schema of the templates.

use std::path::Path;

use gateway_protocol::GameId;

use crate::backend::{
    MigrateError, MigrateMode, Migration, MigrationFault, MigrationStep, migrate, read_schema,
};
use crate::config::{Config, ConnectionConfig, GameConfig};

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

/// Applies the gateway's own tables, the shared schema and then each game's own to the database that the game names; where games share
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
    let plan = plan(&config.templates, &config.database.connections, &config.games, only)?;
    for (connection, migrations) in plan {
        let steps = migrate(connection, &migrations, mode).await?;
        done.push(Migrated { connection: connection.name.clone(), steps });
    }
    Ok(done)
}

/// The databases to migrate, each with its files in the order to apply.
fn plan<'c>(
    templates: &Path,
    connections: &'c [ConnectionConfig],
    games: &[GameConfig],
    only: Option<&GameId>,
) -> Result<Vec<(&'c ConnectionConfig, Vec<Migration>)>, MigrateCommandError> {
    if let Some(id) = only
        && !games.iter().any(|game| game.id == *id)
    {
        return Err(MigrateCommandError::NoGame(id.clone()));
    }
    for game in games {
        for name in databases(game) {
            if !connections.iter().any(|connection| connection.name == *name) {
                let (game, connection) = (game.id.clone(), name.clone());
                return Err(MigrateCommandError::NoConnection { game, connection });
            }
        }
    }
    let mut plan = Vec::new();
    for connection in connections {
        let is_used = |game: &&GameConfig| databases(game).any(|name| *name == connection.name);
        let users: Vec<&GameConfig> = games.iter().filter(is_used).collect();
        let wanted = match only {
            Some(id) => users.iter().any(|game| game.id == *id),
            None => !users.is_empty(),
        };
        if wanted {
            let games: Vec<&str> = users.iter().map(|game| game.id.as_str()).collect();
            plan.push((connection, read_schema(templates, &games, connection.dialect)?));
        }
    }
    Ok(plan)
}

/// The connections that hold a game's schema: its database, and its mirror where it has one.
fn databases(game: &GameConfig) -> impl Iterator<Item = &Box<str>> {
    std::iter::once(&game.database).chain(&game.mirror)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::config::{Dialect, Endpoint, QueueKind, Standing};

    fn connection(name: &str) -> ConnectionConfig {
        ConnectionConfig {
            name: name.into(),
            dialect: Dialect::Sqlite,
            endpoint: Endpoint::File(format!("{name}.db").into()),
            apply_batch_count_max: 1,
            frontend_reads: true,
            open_count_max: 1,
            idle_count_min: 0,
            idle_count_max: 1,
            lifetime: Duration::from_secs(1),
            idle_time: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            acquire_timeout: Duration::from_secs(1),
            acquire_waiting_max: 1,
            standing: Standing { timeout: Duration::from_secs(1), after: Duration::from_secs(1) },
            query_timeout: Duration::from_secs(1),
            statement_count_max: 1,
            health_interval: Duration::from_secs(1),
        }
    }

    fn game(id: &str, database: &str) -> GameConfig {
        GameConfig {
            id: GameId::new(id).expect("a name"),
            name: id.into(),
            database: database.into(),
            enabled: true,
            disabled_operations: Vec::new(),
            deadline: Duration::from_secs(1),
            queue: QueueKind::Journal,
            mirror: None,
        }
    }

    /// What would be migrated, in short: `connection: files`.
    fn planned(games: &[GameConfig], only: Option<&str>) -> Result<Vec<String>, String> {
        let templates = tempfile::tempdir().expect("a folder");
        for scope in ["_base", "game1", "game2"] {
            let folder = templates.path().join(scope).join("schema/sqlite");
            fs::create_dir_all(&folder).expect("made");
            fs::write(folder.join("0001_a.sql"), "").expect("written");
        }
        let connections = [connection("one"), connection("two"), connection("unused")];
        let only = only.map(|id| GameId::new(id).expect("a name"));
        let plan = plan(templates.path(), &connections, games, only.as_ref());
        let line = |(connection, files): &(&ConnectionConfig, Vec<Migration>)| {
            let mut files: Vec<&str> = files.iter().map(|file| &*file.scope).collect();
            files.dedup();
            format!("{}: {}", connection.name, files.join(" "))
        };
        plan.map(|plan| plan.iter().map(line).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn games_that_share_a_database_share_its_base_schema() {
        let shared = [game("game1", "one"), game("game2", "one")];
        assert_eq!(planned(&shared, None).expect("good"), ["one: _gateway _base game1 game2"]);
        let apart = [game("game1", "one"), game("game2", "two")];
        assert_eq!(
            planned(&apart, None).expect("good"),
            ["one: _gateway _base game1", "two: _gateway _base game2"]
        );
        assert_eq!(planned(&apart, Some("game2")).expect("good"), ["two: _gateway _base game2"]);
        let mirrored = [GameConfig { mirror: Some("two".into()), ..game("game1", "one") }];
        assert_eq!(
            planned(&mirrored, None).expect("good"),
            ["one: _gateway _base game1", "two: _gateway _base game1"]
        );
    }

    #[test]
    fn unknown_games_and_connections_are_named() {
        let refused = planned(&[game("game1", "three")], None).expect_err("no such connection");
        assert!(refused.contains("`game1`") && refused.contains("`three`"));
        let refused = planned(&[game("game1", "one")], Some("game9")).expect_err("no such game");
        assert!(refused.contains("`game9`"));
    }
}
