//! Migrations: the schema's files, applied once each, in order, under a lock.
//!
//! `<templates>/<scope>/schema/<dialect>/NNNN_name.sql`, numbered from 0001 without a gap; the scope is
//! `_base` or a game. What was applied stands in the table `gateway_migration` of the same database.
//!
//! In SQLite a run is one transaction: all or nothing. MySQL and Oracle end a transaction at every `CREATE` and
//! `ALTER`, so a file is written down before its first statement and marked done after its last one. One that
//! was begun and not done blocks every later run, until a person has looked: nobody else can know how far
//! it came.

use std::fmt;

use super::BackendError;
use super::connection::{Connection, Statement, TextRow};
use super::fault::Failure;
use super::history::{self, Entry};
use super::migration::Migration;
use super::script::{self, ScriptFault};
use crate::catalog::Scalar;
use crate::config::{ConnectionConfig, Dialect, Endpoint};

/// How long a run waits for another one's lock.
const LOCK_SECONDS: u64 = 60;

/// What was applied, and what was begun.
const HISTORY_TABLE: &str = "gateway_migration";
/// One name a database, whatever else uses named locks on the server.
const MYSQL_LOCK: &str = "SELECT GET_LOCK(CONCAT('gateway_migration.', MD5(DATABASE())), ?)";
/// Oracle's has no named locks for everybody: who holds this table runs. On a connection of its own, since every
/// `CREATE` commits, which gives a lock back.
const ORACLE_LOCK_TABLE: &str = "gateway_migration_lock";
const ORACLE_CREATE_LOCK: &str = "CREATE TABLE gateway_migration_lock (id NUMBER(1))";
const ORACLE_LOCK: &str = "LOCK TABLE gateway_migration_lock IN EXCLUSIVE MODE WAIT 60";

/// What a run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateMode {
    /// Apply what is not applied yet.
    Apply,
    /// Say what would be applied, and change nothing. What would be refused is refused.
    Status,
}

/// What became of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// It had been applied before.
    Present,
    /// It was applied now.
    Applied,
    /// It is not applied; the run was asked for the status only.
    Pending,
}

/// One file of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStep {
    /// `_base`, or the game.
    pub scope: Box<str>,
    /// Its number, from 1.
    pub number: u32,
    /// Its name, without number and ending.
    pub name: Box<str>,
    /// What became of it.
    pub state: MigrationState,
}

/// `_base 0001 tables: applied`.
impl fmt::Display for MigrationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            MigrationState::Present => "present",
            MigrationState::Applied => "applied",
            MigrationState::Pending => "pending",
        };
        write!(f, "{} {:04} {}: {state}", self.scope, self.number, self.name)
    }
}

/// Why a run was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached, or did not take a statement of the run's own.
    #[error("the database `{connection}` cannot be migrated")]
    Database {
        /// The connection's name in the configuration.
        connection: Box<str>,
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// Another run holds the lock.
    #[error("another migration of `{connection}` is running; nothing was done")]
    Locked {
        /// The connection's name in the configuration.
        connection: Box<str>,
    },
    /// An applied file was changed.
    #[error(
        "{file} was changed after it was applied: restore it, and put the change into a new file"
    )]
    Changed {
        /// Scope, number and name.
        file: Box<str>,
    },
    /// An applied file is gone.
    #[error("{file} was applied, and there is no such file any more: restore it")]
    Gone {
        /// Scope, number and name.
        file: Box<str>,
    },
    /// A file stands before an applied one.
    #[error("{file} is not applied, but a later file is: give it a number after the last one")]
    Late {
        /// Scope, number and name.
        file: Box<str>,
    },
    /// A file was begun and not finished.
    #[error(
        "{file} was begun and not finished: bring the schema by hand to where the file begins and DELETE its \
         row from gateway_migration (scope '{scope}', number {number}), or to where it ends and SET applied_at; \
         then run this again"
    )]
    Dirty {
        /// Scope, number and name.
        file: Box<str>,
        /// Its scope.
        scope: Box<str>,
        /// Its number.
        number: u32,
    },
    /// A file cannot be cut into statements.
    #[error("{file} cannot be cut into statements")]
    Script {
        /// Scope, number and name.
        file: Box<str>,
        /// Where, and why.
        #[source]
        fault: ScriptFault,
    },
    /// A statement of a file failed.
    #[error("{file}, line {line}: the statement failed{}", if *.dirty { ", and those before it stand" } else { "; nothing of this run was applied" })]
    Statement {
        /// Scope, number and name.
        file: Box<str>,
        /// The line that the statement begins on.
        line: usize,
        /// Whether statements before it stand: see [`MigrateError::Dirty`] for what to do.
        dirty: bool,
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
}

/// Applies migrations to a database, or says which would be.
///
/// - `migrations`: in the order to apply; of one scope in the order of their numbers, as
///   [`super::read_migrations`] gives them.
///
/// # Errors
///
/// [`MigrateError`]. In SQLite nothing of the run stands then; elsewhere the files before the failed one do.
pub async fn migrate(
    config: &ConnectionConfig,
    migrations: &[Migration],
    mode: MigrateMode,
) -> Result<Vec<MigrationStep>, MigrateError> {
    let absent = matches!(&config.endpoint, Endpoint::File(path) if !path.exists());
    if absent && mode == MigrateMode::Status {
        return compare(migrations, &[]);
    }
    // A writer may have to wait for the lock as long as for MySQL's.
    let patient = ConnectionConfig {
        query_timeout: std::time::Duration::from_secs(LOCK_SECONDS),
        ..config.clone()
    };
    let failed = |source| MigrateError::Database { connection: config.name.clone(), source };
    let connection = Connection::open(&patient).await.map_err(failed)?;
    let mut run = Run { connection, keeper: None, config: &patient, dialect: config.dialect };
    let done = run.go(migrations, mode).await;
    // The lock of MySQL and Oracle is the connection's, so closing it gives it back.
    for connection in [Some(run.connection), run.keeper].into_iter().flatten() {
        connection.close(std::time::Duration::from_secs(1)).await;
    }
    done
}

/// A run on its connection.
struct Run<'a> {
    connection: Connection,
    /// Holds Oracle's lock.
    keeper: Option<Connection>,
    config: &'a ConnectionConfig,
    dialect: Dialect,
}

impl Run<'_> {
    async fn go(
        &mut self,
        migrations: &[Migration],
        mode: MigrateMode,
    ) -> Result<Vec<MigrationStep>, MigrateError> {
        if mode == MigrateMode::Status {
            let history = self.history().await?;
            return compare(migrations, &history);
        }
        self.lock().await?;
        let done = self.apply_all(migrations).await;
        if self.dialect == Dialect::Sqlite {
            let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
            let ended = self.connection.run_text(end).await;
            // A rollback that fails is one that SQLite did already.
            if done.is_ok() {
                ended.map_err(|source| self.failed(source))?;
            }
        }
        done
    }

    /// Keeps every other run out, until the end of this one.
    async fn lock(&mut self) -> Result<(), MigrateError> {
        match self.dialect {
            Dialect::Sqlite => match self.connection.run_text("BEGIN IMMEDIATE").await {
                Ok(()) => Ok(()),
                Err(sqlx::Error::Database(_)) => Err(self.locked()),
                Err(source) => Err(self.failed(source)),
            },
            Dialect::Mysql => {
                let seconds = i64::try_from(LOCK_SECONDS).unwrap_or(i64::MAX);
                let binds = vec![Scalar::Int(seconds)];
                let answer = self.ask(Statement { sql: MYSQL_LOCK.into(), binds }).await?;
                if first(&answer) == Some("1") { Ok(()) } else { Err(self.locked()) }
            }
            Dialect::Oracle => self.lock_oracle().await,
        }
    }

    async fn lock_oracle(&mut self) -> Result<(), MigrateError> {
        self.create(ORACLE_LOCK_TABLE, ORACLE_CREATE_LOCK).await?;
        let keeper = Connection::open(self.config).await.map_err(|source| self.failed(source))?;
        let keeper = self.keeper.insert(keeper);
        let begun = keeper.begin(None).await;
        let held = match begun {
            Ok(()) => keeper.run_text(ORACLE_LOCK).await,
            Err(error) => Err(error),
        };
        held.map_err(|source| match Failure::from(source) {
            Failure::Refused(BackendError::Locked { .. } | BackendError::TimedOut) => self.locked(),
            Failure::Lost(source) => self.failed(source),
            Failure::Refused(error) | Failure::Unread(error) => {
                self.failed(sqlx::Error::Protocol(error.to_string()))
            }
        })
    }

    /// Makes a table that is not there yet, though another run may be just as far.
    async fn create(&mut self, table: &str, sql: &str) -> Result<(), MigrateError> {
        let mut refusal = None;
        loop {
            if self.has(table).await? {
                return Ok(());
            }
            if let Some(source) = refusal {
                return Err(self.failed(source));
            }
            refusal = self.connection.run_text(sql).await.err();
        }
    }

    async fn has(&mut self, table: &str) -> Result<bool, MigrateError> {
        let count = self.ask(history::count_tables(self.dialect, table)).await?;
        Ok(first(&count) != Some("0"))
    }

    async fn apply_all(
        &mut self,
        migrations: &[Migration],
    ) -> Result<Vec<MigrationStep>, MigrateError> {
        self.create(HISTORY_TABLE, history::create(self.dialect)).await?;
        // Read under the lock: what another run did meanwhile is seen.
        let history = self.history().await?;
        let mut steps = compare(migrations, &history)?;
        // Every file is cut before the first one is applied.
        for migration in migrations {
            cut(migration, self.dialect)?;
        }
        for (migration, step) in migrations.iter().zip(&mut steps) {
            if step.state == MigrationState::Pending {
                self.apply(migration).await?;
                step.state = MigrationState::Applied;
            }
        }
        Ok(steps)
    }

    async fn apply(&mut self, migration: &Migration) -> Result<(), MigrateError> {
        self.ask(history::begin_file(self.dialect, migration)).await?;
        for part in cut(migration, self.dialect)? {
            self.connection.run_text(part.text).await.map_err(|source| {
                MigrateError::Statement {
                    file: migration.to_string().into(),
                    line: part.line,
                    dirty: self.dialect != Dialect::Sqlite,
                    source,
                }
            })?;
        }
        self.ask(history::end_file(self.dialect, migration)).await.map(drop)
    }

    async fn history(&mut self) -> Result<Vec<Entry>, MigrateError> {
        if !self.has(HISTORY_TABLE).await? {
            return Ok(Vec::new());
        }
        let rows = self.ask(history::read(self.dialect)).await?;
        Ok(rows.into_iter().filter_map(history::entry).collect())
    }

    async fn ask(&mut self, statement: Statement<'_>) -> Result<Vec<TextRow>, MigrateError> {
        let answer = self.connection.fetch_texts(&statement).await;
        answer.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: sqlx::Error) -> MigrateError {
        MigrateError::Database { connection: self.config.name.clone(), source }
    }

    fn locked(&self) -> MigrateError {
        MigrateError::Locked { connection: self.config.name.clone() }
    }
}

fn first(rows: &[TextRow]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}

fn cut(migration: &Migration, dialect: Dialect) -> Result<Vec<script::Part<'_>>, MigrateError> {
    script::split(&migration.sql, dialect)
        .map_err(|fault| MigrateError::Script { file: migration.to_string().into(), fault })
}

/// Compares the files with the history.
///
/// # Errors
///
/// [`MigrateError::Dirty`], [`MigrateError::Changed`], [`MigrateError::Gone`], [`MigrateError::Late`].
fn compare(
    migrations: &[Migration],
    history: &[Entry],
) -> Result<Vec<MigrationStep>, MigrateError> {
    let scopes = |scope: &str| migrations.iter().any(|migration| *migration.scope == *scope);
    for entry in history.iter().filter(|entry| scopes(&entry.scope)) {
        let file = || format!("{}/{:04}_{}.sql", entry.scope, entry.number, entry.name).into();
        let known = migrations
            .iter()
            .find(|migration| *migration.scope == *entry.scope && migration.number == entry.number);
        match known {
            _ if entry.dirty => {
                let (scope, number) = (entry.scope.as_str().into(), entry.number);
                return Err(MigrateError::Dirty { file: file(), scope, number });
            }
            None => return Err(MigrateError::Gone { file: file() }),
            Some(known) if *known.checksum != *entry.checksum => {
                return Err(MigrateError::Changed { file: file() });
            }
            Some(_) => {}
        }
    }
    let mut steps = Vec::with_capacity(migrations.len());
    for migration in migrations {
        let mut same = history.iter().filter(|entry| *entry.scope == *migration.scope);
        let present = same.clone().any(|entry| entry.number == migration.number);
        if !present && same.any(|entry| entry.number > migration.number) {
            return Err(MigrateError::Late { file: migration.to_string().into() });
        }
        steps.push(MigrationStep {
            scope: migration.scope.clone(),
            number: migration.number,
            name: migration.name.clone(),
            state: if present { MigrationState::Present } else { MigrationState::Pending },
        });
    }
    Ok(steps)
}
