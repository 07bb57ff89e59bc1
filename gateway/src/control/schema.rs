//! Whether the databases have the schema that the templates come with.
//!
//! Looked at after the start and after each reload, aside: a database that is away, or behind, is shown and
//! told, and blocks nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use super::statements::{self, PreparedStatements};
use crate::backend::{
    MigrateError, MigrateMode, MigrationState, MigrationStep, migrate, read_schema,
};
use crate::config::{Config, ConnectionConfig};
use crate::observe::{Event, emit};

/// How long one database may take to answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Before another look, while a database is not current.
const PAUSE: Duration = Duration::from_secs(15);

/// Between two questions whether a database is up again.
const UP_PAUSE: Duration = Duration::from_millis(500);

/// What is known of one database's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SchemaState {
    /// It has every migration.
    Current,
    /// It lacks these.
    Pending(Vec<String>),
    /// It could not be looked at, or its history is faulty; in words.
    Unknown(String),
}

/// The states by the connections' names.
pub(super) type SchemaStates = BTreeMap<Box<str>, SchemaState>;

impl SchemaState {
    /// As `/readyz` shows it.
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Current => json!({ "state": "current" }),
            Self::Pending(files) => json!({ "state": "pending", "files": files }),
            Self::Unknown(fault) => json!({ "state": "unknown", "fault": fault }),
        }
    }
}

/// Looks at every database that a game uses: now, after each reload, and again after a while as long as one
/// is not current. Tells what is missing, once.
pub(super) async fn watch(shared: Arc<Shared>) {
    loop {
        let config = Arc::clone(&shared.core.snapshot.load().config);
        let states = states(&config).await;
        let before = shared.schemas.swap(Arc::new(states.clone()));
        for (pool, state) in states.iter().filter(|(pool, state)| before.get(*pool) != Some(state))
        {
            if let SchemaState::Pending(files) = state {
                emit(&Event::SchemaPending { pool, files: &files.join(", ") });
            }
        }
        let is_current = |name: &str| states.get(name) == Some(&SchemaState::Current);
        let all_prepared = prepare(&shared, is_current).await;
        let is_settled =
            all_prepared && states.values().all(|state| *state == SchemaState::Current);
        let reloaded = shared.reloaded.notified();
        if is_settled {
            reloaded.await;
        } else {
            // Whatever ends the wait, the next look is the same.
            tokio::select! {
                () = reloaded => {}
                () = tokio::time::sleep(PAUSE) => {}
                () = came_up(&shared, &states) => {}
            }
        }
    }
}

/// Has the statements prepared of those databases that are current and were not asked since the last reload.
/// Returns whether all of these answered.
async fn prepare(shared: &Shared, is_current: impl Fn(&str) -> bool) -> bool {
    let snapshot = shared.core.snapshot.load_full();
    let mut is_whole = true;
    for connection in &snapshot.config.database.connections {
        let known = shared.prepared.load();
        let is_known = known.get(&connection.name);
        let is_known = is_known.is_some_and(|own| own.generation == snapshot.generation);
        if is_known || !is_current(&connection.name) {
            continue;
        }
        let Some(prepared) = statements::prepare(&snapshot, connection).await else {
            is_whole = false;
            continue;
        };
        let mut next = PreparedStatements::clone(&known);
        next.insert(connection.name.clone(), prepared);
        shared.prepared.store(Arc::new(next));
    }
    is_whole
}

/// Waits until a database that could not be looked at, and is down, answers its pool again.
async fn came_up(shared: &Shared, states: &SchemaStates) {
    let unknown = |pool: &str| matches!(states.get(pool), Some(SchemaState::Unknown(_)));
    let mut down: Vec<Box<str>> = Vec::new();
    loop {
        for (pool, stats) in shared.pools.stats() {
            if stats.up && down.contains(&pool) {
                return;
            }
            if !stats.up && unknown(&pool) && !down.contains(&pool) {
                down.push(pool);
            }
        }
        tokio::time::sleep(UP_PAUSE).await;
    }
}

async fn states(config: &Config) -> SchemaStates {
    let mut states = SchemaStates::new();
    for connection in &config.database.connections {
        let name = &connection.name;
        let users = config.games.iter().filter(|game| {
            game.database == *name || game.mirror.as_ref().is_some_and(|mirror| mirror == name)
        });
        let games: Vec<&str> = users.map(|game| game.id.as_str()).collect();
        if games.is_empty() {
            continue;
        }
        let looked = tokio::time::timeout(LOOK_TIMEOUT, state(config, connection, &games)).await;
        let state = match looked {
            Ok(Ok(state)) => state,
            Ok(Err(fault)) => SchemaState::Unknown(fault),
            Err(_late) => SchemaState::Unknown("the database did not answer".into()),
        };
        states.insert(connection.name.clone(), state);
    }
    states
}

async fn state(
    config: &Config,
    connection: &ConnectionConfig,
    games: &[&str],
) -> Result<SchemaState, String> {
    let files = read_schema(&config.templates, games, connection.dialect)
        .map_err(|fault| fault.to_string())?;
    let steps = migrate(connection, &files, MigrateMode::Status).await;
    let steps = steps.map_err(|error| match error {
        MigrateError::Database { source, .. } => {
            format!("the database could not be asked: {source}")
        }
        other => other.to_string(),
    })?;
    let pending = steps.iter().filter(|step| step.state == MigrationState::Pending);
    let name = |step: &MigrationStep| format!("{}/{:04}_{}", step.scope, step.number, step.name);
    let files: Vec<String> = pending.map(name).collect();
    Ok(if files.is_empty() { SchemaState::Current } else { SchemaState::Pending(files) })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;
    use crate::config::Env;

    #[tokio::test]
    async fn database_that_is_away_is_told_as_that_and_not_as_one_that_cannot_be_migrated() {
        // Nobody listens there any more.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "database: {{connections: {{main: {{type: mysql, host: 127.0.0.1, port: {}, \
             username: u, password: '', database: d}}}}}}\n\
             games: {{game1: {{database: main}}}}\n\
             templates: {}/../sql-templates\n",
            address.port(),
            env!("CARGO_MANIFEST_DIR"),
        );
        let (config, _) = Config::parse(&text, Path::new(""), &Env::process()).unwrap();
        let states = states(&config).await;
        let SchemaState::Unknown(fault) = &states["main"] else { panic!("{states:?}") };
        assert!(fault.starts_with("the database could not be asked: "), "{fault}");
        assert!(fault.contains("refused"), "{fault}");
    }
}
