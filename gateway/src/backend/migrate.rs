//! Migrations: the schema's files, applied once each, in order, under a lock.
//!
//! `<templates>/<scope>/schema/<dialect>/NNNN_name.sql`, numbered from 0001 without a gap; the scope is
//! `_base` or a game. What was applied stands in the table `gateway_migration` of the same database.
//!
//! In SQLite a run is one transaction: all or nothing. MySQL ends a transaction at every `CREATE` and
//! `ALTER`, so a file is written down before its first statement and marked done after its last one. One that
//! was begun and not done blocks every later run, until a person has looked: nobody else can know how far
//! it came.

use std::fmt;

use super::connection::{Connection, Statement, TextRow};
use super::migration::Migration;
use super::script::{self, ScriptFault};
use crate::catalog::Scalar;
use crate::config::{ConnectionConfig, Dialect, Endpoint};

/// How long a run waits for another one's lock.
const LOCK_SECONDS: u64 = 60;

/// One name a database, whatever else uses named locks on the server.
const MYSQL_LOCK: &str = "SELECT GET_LOCK(CONCAT('gateway_migration.', MD5(DATABASE())), ?)";
const MYSQL_HISTORY: &str = "CREATE TABLE IF NOT EXISTS gateway_migration (\
    scope VARCHAR(64) NOT NULL, number INT NOT NULL, name VARCHAR(200) NOT NULL, \
    checksum CHAR(64) NOT NULL, applied_at DATETIME(6) NULL, PRIMARY KEY (scope, number))";
const SQLITE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS gateway_migration (\
    scope TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, \
    checksum TEXT NOT NULL, applied_at TEXT NULL, PRIMARY KEY (scope, number))";
const MYSQL_HAS_HISTORY: &str = "SELECT COUNT(*) FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_name = 'gateway_migration'";
const SQLITE_HAS_HISTORY: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'gateway_migration'";
const READ_HISTORY: &str = "SELECT scope, number, name, checksum, applied_at IS NULL FROM gateway_migration ORDER BY scope, number";
const BEGIN_FILE: &str = "INSERT INTO gateway_migration (scope, number, name, checksum, applied_at) VALUES (?, ?, ?, ?, NULL)";
const MYSQL_END_FILE: &str =
    "UPDATE gateway_migration SET applied_at = UTC_TIMESTAMP(6) WHERE scope = ? AND number = ?";
const SQLITE_END_FILE: &str = "UPDATE gateway_migration \
    SET applied_at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now') WHERE scope = ? AND number = ?";

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
/// [`MigrateError`]. In SQLite nothing of the run stands then; in MySQL the files before the failed one do.
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
    let mut run = Run { connection, name: &config.name, dialect: config.dialect };
    let done = run.go(migrations, mode).await;
    // The lock of MySQL is the connection's, so closing it gives it back.
    run.connection.close(std::time::Duration::from_secs(1)).await;
    done
}

/// A run on its connection.
struct Run<'a> {
    connection: Connection,
    name: &'a str,
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
        if self.dialect == Dialect::Sqlite {
            return match self.connection.run_text("BEGIN IMMEDIATE").await {
                Ok(()) => Ok(()),
                Err(sqlx::Error::Database(_)) => Err(self.locked()),
                Err(source) => Err(self.failed(source)),
            };
        }
        let seconds = i64::try_from(LOCK_SECONDS).unwrap_or(i64::MAX);
        let question = Statement { sql: MYSQL_LOCK.into(), binds: vec![Scalar::Int(seconds)] };
        let answer = self.ask(question).await?;
        if first(&answer) == Some("1") { Ok(()) } else { Err(self.locked()) }
    }

    async fn apply_all(
        &mut self,
        migrations: &[Migration],
    ) -> Result<Vec<MigrationStep>, MigrateError> {
        let create = if self.dialect == Dialect::Sqlite { SQLITE_HISTORY } else { MYSQL_HISTORY };
        self.connection.run_text(create).await.map_err(|source| self.failed(source))?;
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
        let key = || {
            let scope = Scalar::Str((&*migration.scope).into());
            vec![scope, Scalar::Int(i64::from(migration.number))]
        };
        let mut binds = key();
        binds.push(Scalar::Str((&*migration.name).into()));
        binds.push(Scalar::Str((&*migration.checksum).into()));
        self.ask(Statement { sql: BEGIN_FILE.into(), binds }).await?;
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
        let end = if self.dialect == Dialect::Sqlite { SQLITE_END_FILE } else { MYSQL_END_FILE };
        self.ask(Statement { sql: end.into(), binds: key() }).await.map(drop)
    }

    async fn history(&mut self) -> Result<Vec<Entry>, MigrateError> {
        let has = match self.dialect {
            Dialect::Sqlite => SQLITE_HAS_HISTORY,
            _ => MYSQL_HAS_HISTORY,
        };
        let count = self.ask(Statement::plain(has)).await?;
        if first(&count) == Some("0") {
            return Ok(Vec::new());
        }
        let rows = self.ask(Statement::plain(READ_HISTORY)).await?;
        Ok(rows.into_iter().filter_map(entry).collect())
    }

    async fn ask(&mut self, statement: Statement<'_>) -> Result<Vec<TextRow>, MigrateError> {
        let answer = self.connection.fetch_texts(&statement).await;
        answer.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: sqlx::Error) -> MigrateError {
        MigrateError::Database { connection: self.name.into(), source }
    }

    fn locked(&self) -> MigrateError {
        MigrateError::Locked { connection: self.name.into() }
    }
}

/// What the history says of one file.
#[derive(Debug)]
struct Entry {
    scope: String,
    number: u32,
    name: String,
    checksum: String,
    dirty: bool,
}

fn entry(row: TextRow) -> Option<Entry> {
    let mut texts = row.into_iter();
    Some(Entry {
        scope: texts.next()??,
        number: texts.next()??.parse().ok()?,
        name: texts.next()??,
        checksum: texts.next()??,
        dirty: texts.next()?? != "0",
    })
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
