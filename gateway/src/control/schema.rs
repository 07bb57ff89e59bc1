//! Whether the databases have the schema that the templates come with.
//!
//! Looked at after the start and after each reload, aside, and every few seconds while something is missing: a database
//! that is away, or behind, is shown and told, and blocks nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Shared;
use super::statements::{self, PreparedStatements};
use crate::backend::{
    MigrateError, MigrateMode, MigrationState, MigrationStep, migrate, read_schema,
};
use crate::catalog::format_timestamp;
use crate::config::{Config, ConnectionConfig};
use crate::observe::{Event, emit};
use crate::snapshot::Snapshot;

/// How long one database may take to answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Before the second look at a database that is not current. Each pause is twice the one before.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause before another look at a schema.
const SCHEMA_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause before the statements that a database refused are asked about again.
const STATEMENTS_PAUSE_MAX: Duration = Duration::from_secs(15);

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

/// A look at a database's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    state: SchemaState,
    /// Microseconds since 1970.
    at_micros: i64,
}

/// The last looks by the connections' names; one that is not there was not looked at yet.
pub(super) type SchemaStates = BTreeMap<Box<str>, Looked>;

impl Looked {
    /// As `/readyz` shows it.
    pub(super) fn shown(&self) -> Value {
        let at = moment(self.at_micros);
        match &self.state {
            SchemaState::Current => json!({ "state": "current", "looked_at": at }),
            SchemaState::Pending(files) => {
                json!({ "state": "pending", "files": files, "looked_at": at })
            }
            SchemaState::Unknown(fault) => {
                json!({ "state": "unknown", "fault": fault, "looked_at": at })
            }
        }
    }
}

/// A moment as `/readyz` shows it.
pub(super) fn moment(micros: i64) -> String {
    format_timestamp(micros, 0).as_str().to_owned()
}

/// Now, in microseconds since 1970.
pub(super) fn now_micros() -> i64 {
    let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// Looks at every database that a game uses: now, after each reload, and again and again while one is not current or
/// refuses statements. Each for itself: one that does not answer keeps nobody waiting for the others.
pub(super) async fn watch(shared: Arc<Shared>) {
    loop {
        let snapshot = shared.core.snapshot.load_full();
        let used: Vec<&ConnectionConfig> = used(&snapshot.config).collect();
        shared.schemas.rcu(|states| {
            let mut states = SchemaStates::clone(states);
            states.retain(|name, _| used.iter().any(|connection| connection.name == *name));
            states
        });
        // Dropped, and so ended, when the next one is made.
        let mut tasks = JoinSet::new();
        for connection in used {
            let (shared, snapshot) = (Arc::clone(&shared), Arc::clone(&snapshot));
            let connection = connection.clone();
            tasks.spawn(async move { look_after(&shared, &snapshot, &connection).await });
        }
        shared.reloaded.notified().await;
    }
}

/// The connections that a game is on, or has as its mirror.
fn used(config: &Config) -> impl Iterator<Item = &ConnectionConfig> {
    let all = config.database.connections.iter();
    all.filter(|connection| !games_of(config, connection).is_empty())
}

fn games_of<'c>(config: &'c Config, connection: &ConnectionConfig) -> Vec<&'c str> {
    let name = &connection.name;
    let games = config.games.iter().filter(|game| {
        game.database == *name || game.mirror.as_ref().is_some_and(|mirror| mirror == name)
    });
    games.map(|game| game.id.as_str()).collect()
}

/// Looks at one database until it is current and takes every statement.
async fn look_after(shared: &Shared, snapshot: &Snapshot, connection: &ConnectionConfig) {
    let mut pause = PAUSE_MIN;
    loop {
        let state = look(&snapshot.config, connection).await;
        let is_new = enter(shared, connection, &state);
        let is_current = state == SchemaState::Current;
        if is_current && prepare(shared, snapshot, connection).await {
            return;
        }
        let longest = if is_current { STATEMENTS_PAUSE_MAX } else { SCHEMA_PAUSE_MAX };
        pause = if is_new { PAUSE_MIN } else { (pause * 2).min(longest) };
        // Whatever ends the wait, the next look is the same.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = came_up(shared, &connection.name), if matches!(state, SchemaState::Unknown(_)) => {}
        }
    }
}

/// Shows what a look found, and tells what is missing, once. Returns whether it is another than before.
fn enter(shared: &Shared, connection: &ConnectionConfig, state: &SchemaState) -> bool {
    let looked = Looked { state: state.clone(), at_micros: now_micros() };
    let before = shared.schemas.rcu(|states| {
        let mut states = SchemaStates::clone(states);
        states.insert(connection.name.clone(), looked.clone());
        states
    });
    if before.get(&connection.name).is_some_and(|before| before.state == *state) {
        return false;
    }
    if let SchemaState::Pending(files) = state {
        emit(&Event::SchemaPending { pool: &connection.name, files: &files.join(", ") });
    }
    true
}

/// Has the statements of a database prepared: all that were not asked about since the last reload, then those that were
/// refused. Returns whether it took all of them.
async fn prepare(shared: &Shared, snapshot: &Snapshot, connection: &ConnectionConfig) -> bool {
    let known = shared.prepared.load();
    let before = known.get(&connection.name).filter(|one| one.generation == snapshot.generation);
    let Some(prepared) = statements::prepare(snapshot, connection, before).await else {
        return false;
    };
    let is_whole = prepared.is_whole();
    shared.prepared.rcu(|known| {
        let mut next = PreparedStatements::clone(known);
        next.insert(connection.name.clone(), prepared.clone());
        next
    });
    is_whole
}

/// Waits until a database that is down answers its pool again; for ever, if it is up.
async fn came_up(shared: &Shared, name: &str) {
    let mut is_down = false;
    loop {
        let up = shared.pools.stats().into_iter().find(|(pool, _)| **pool == *name);
        let is_up = up.is_some_and(|(_, stats)| stats.up);
        if is_up && is_down {
            return;
        }
        is_down |= !is_up;
        tokio::time::sleep(UP_PAUSE).await;
    }
}

async fn look(config: &Config, connection: &ConnectionConfig) -> SchemaState {
    let games = games_of(config, connection);
    match tokio::time::timeout(LOOK_TIMEOUT, state(config, connection, &games)).await {
        Ok(Ok(state)) => state,
        Ok(Err(fault)) => SchemaState::Unknown(fault),
        Err(_late) => SchemaState::Unknown("the database did not answer".into()),
    }
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
        let state = look(&config, &config.database.connections[0]).await;
        let SchemaState::Unknown(fault) = &state else { panic!("{state:?}") };
        assert!(fault.starts_with("the database could not be asked: "), "{fault}");
        assert!(fault.contains("refused"), "{fault}");
    }
}
