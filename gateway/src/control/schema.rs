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
use crate::backend::{MigrateMode, MigrationState, MigrationStep, migrate, read_schema};
use crate::config::{Config, ConnectionConfig};
use crate::observe::{Event, emit};

/// How long one database may take to answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Before another look, while a database is not current.
const PAUSE: Duration = Duration::from_secs(15);

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
            // Woken or not, the next look is the same.
            drop(tokio::time::timeout(PAUSE, reloaded).await);
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

async fn states(config: &Config) -> SchemaStates {
    let mut states = SchemaStates::new();
    for connection in &config.database.connections {
        let users = config.games.iter().filter(|game| game.database == connection.name);
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
    let steps = steps.map_err(|error| error.to_string())?;
    let pending = steps.iter().filter(|step| step.state == MigrationState::Pending);
    let name = |step: &MigrationStep| format!("{}/{:04}_{}", step.scope, step.number, step.name);
    let files: Vec<String> = pending.map(name).collect();
    Ok(if files.is_empty() { SchemaState::Current } else { SchemaState::Pending(files) })
}
