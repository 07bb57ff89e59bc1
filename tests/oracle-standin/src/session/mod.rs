//! A session: one connection to PostgreSQL, its transaction, and a bound on the time of each call.
//!
//! PostgreSQL aborts a transaction at any error and Oracle does not: each statement of a transaction runs behind a
//! savepoint, that its failure goes back to. A query outside a transaction needs none.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

mod calls;
mod transaction;

pub use calls::Canceller;

use crate::connection::Target;
use crate::error::OracleError;
use crate::value::{Kind, Value};
use calls::{bounded, run_once, translate_connect};
use transaction::Transaction;

/// Most prepared statements of a session.
const PREPARED_MAX: usize = 200;

/// What a session is set up with: types, functions and views that Oracle has and PostgreSQL has not.
const SETUP: &str = concat!(include_str!("../setup.sql"), include_str!("../procedures.sql"));

/// Says whether [`SETUP`] of this text is there. The advisory lock lets one session set up.
const SETUP_KEY: i64 = 0x0A_5A_1D;

/// What a statement does, as far as transactions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads only: no transaction is begun for it.
    Read,
    /// Changes or locks rows: belongs to a transaction.
    Write,
    /// Changes the schema: commits before and after, as Oracle does.
    Schema,
}

/// A statement to run, in PostgreSQL's dialect.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// Its text.
    pub sql: &'a str,
    /// What its parameters are declared as.
    pub kinds: &'a [Kind],
    /// What it does.
    pub effect: Effect,
    /// Longest wait for a lock: `FOR UPDATE WAIT n`.
    pub wait_seconds: Option<u32>,
}

/// Rows, or how many were changed.
#[derive(Debug)]
pub struct Answer {
    /// Rows that came back.
    pub rows: Vec<Row>,
    /// Rows changed.
    pub count: u64,
}

/// Who may end a session's transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Commits {
    /// The client, and any block.
    #[default]
    Anybody,
    /// The client alone.
    Client,
}

/// A connection to PostgreSQL. Blocking: its runtime runs while a call does.
#[derive(Debug)]
pub struct Session {
    runtime: Runtime,
    client: Client,
    prepared: HashMap<(String, Vec<Kind>), Statement>,
    transaction: Transaction,
    /// `SET LOCAL lock_timeout` is in force.
    has_lock_timeout: bool,
    timeout: Option<Duration>,
    lost: bool,
    /// `DDL_LOCK_TIMEOUT`: how long a change of the schema waits for a lock. None: as long as it takes.
    pub schema_wait_seconds: Option<u32>,
    /// Minutes east of UTC of the session's time zone.
    pub offset_minutes: i16,
    /// Whether blocks may end a transaction: `DISABLE COMMIT IN PROCEDURE`.
    pub commits: Commits,
    /// What the server knows of module, action and client.
    told: BTreeMap<&'static str, String>,
    /// Some of it was told in the open transaction.
    told_in_transaction: bool,
}

impl Session {
    /// Logs on and sets the session up.
    ///
    /// # Errors
    /// ORA-01017, ORA-12514, ORA-12541 and their likes.
    pub fn connect(
        target: &Target,
        user: &str,
        password: &str,
        within: Duration,
    ) -> Result<Self, OracleError> {
        let broken = |error| OracleError::new(12500, format_args!("no runtime: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let user = user.trim_matches('"').to_lowercase();
        let mut config = Config::new();
        config.host(&target.host).port(target.port).dbname(&target.service);
        config.user(&user).password(password).connect_timeout(within);
        if user.is_empty() {
            return Err(OracleError::new(1017, "invalid username/password; logon denied"));
        }
        let connected = runtime.block_on(async { timeout(within, config.connect(NoTls)).await });
        let (client, connection) = match connected {
            Ok(Ok(pair)) => pair,
            Ok(Err(error)) => return Err(translate_connect(&error)),
            Err(_) => return Err(OracleError::new(12170, "TNS:Connect timeout occurred")),
        };
        runtime.spawn(async move {
            // The end of the connection is seen by the calls that are made on it.
            drop(connection.await);
        });
        let mut session = Self {
            runtime,
            client,
            prepared: HashMap::new(),
            transaction: Transaction::None,
            has_lock_timeout: false,
            timeout: Some(within),
            lost: false,
            schema_wait_seconds: None,
            offset_minutes: 0,
            commits: Commits::default(),
            told: BTreeMap::new(),
            told_in_transaction: false,
        };
        session.set_up(&user)?;
        Ok(session)
    }

    fn set_up(&mut self, user: &str) -> Result<(), OracleError> {
        let version = version();
        let known = format!(
            "SELECT 1 WHERE to_regclass('oracle_standin.{version}') IS NOT NULL AND to_regnamespace('\"{user}\"') IS NOT NULL"
        );
        if self.simple(&known)? == 0 {
            self.simple(&format!("BEGIN; SELECT pg_advisory_xact_lock({SETUP_KEY})"))?;
            if self.simple(&format!(
                "SELECT 1 WHERE to_regclass('oracle_standin.{version}') IS NOT NULL"
            ))? == 0
            {
                self.simple(&format!("{SETUP}; CREATE TABLE oracle_standin.{version} ()"))?;
            }
            self.simple(&format!("CREATE SCHEMA IF NOT EXISTS \"{user}\"; COMMIT"))?;
        }
        self.simple(&format!(
            "SET client_min_messages = error; SET search_path = \"{user}\", oracle_standin, pg_catalog; \
             SET TIME ZONE 'UTC'; SET bytea_output = hex; SET datestyle = 'ISO, YMD'; SET extra_float_digits = 3"
        ))?;
        Ok(())
    }

    /// How a running call is cancelled.
    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.client.cancel_token())
    }

    /// Bounds the calls that follow.
    pub const fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Whether the connection is gone.
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether a transaction is open.
    pub const fn in_transaction(&self) -> bool {
        !matches!(self.transaction, Transaction::None)
    }

    /// Gives the connection up, as when it was lost.
    pub const fn lose(&mut self) {
        self.lost = true;
    }

    /// Runs statements of the dialect that take no parameters; returns how many rows came back.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn simple(&mut self, sql: &str) -> Result<usize, OracleError> {
        let client = &self.client;
        let messages = bounded(&self.runtime, self.timeout, client, client.simple_query(sql));
        let messages = self.checked(messages, false)?;
        let is_row = |message: &&tokio_postgres::SimpleQueryMessage| {
            matches!(message, tokio_postgres::SimpleQueryMessage::Row(_))
        };
        Ok(messages.iter().filter(is_row).count())
    }

    /// Describes a statement without running it: the columns of its rows.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn describe(&mut self, command: &Command<'_>) -> Result<Statement, OracleError> {
        self.guarded(&Command { effect: Effect::Read, ..*command }, |session, prefix| {
            session.run_prefix(prefix)?;
            session.prepare(command)
        })
    }

    /// Waits, as a call that takes long does: within its time, and until it is cancelled.
    ///
    /// # Errors
    /// ORA-01013, ORA-03156, or the connection is lost.
    pub fn sleep(&mut self, time: Duration) -> Result<(), OracleError> {
        let sql = format!("SELECT pg_sleep({})", time.as_secs_f64());
        let command = Command { sql: &sql, kinds: &[], effect: Effect::Read, wait_seconds: None };
        self.run(&command, &[]).map(drop)
    }

    /// Runs a statement once.
    ///
    /// # Errors
    /// What PostgreSQL says; the transaction is where it was before the statement.
    pub fn run(
        &mut self,
        command: &Command<'_>,
        values: &[Value],
    ) -> Result<(Answer, Statement), OracleError> {
        let (mut answers, statement) = self.run_all(command, &[values.to_vec()])?;
        let answer = answers.pop().unwrap_or(Answer { rows: Vec::new(), count: 0 });
        Ok((answer, statement))
    }

    /// Runs a statement once for each set of values, all or none.
    ///
    /// # Errors
    /// What PostgreSQL says of the first that failed; the transaction is where it was before.
    pub fn run_all(
        &mut self,
        command: &Command<'_>,
        sets: &[Vec<Value>],
    ) -> Result<(Vec<Answer>, Statement), OracleError> {
        if command.effect == Effect::Schema {
            self.commit()?;
            if let Some(seconds) = self.schema_wait_seconds {
                self.simple(&format!(
                    "SET lock_timeout = {}",
                    seconds.saturating_mul(1000).max(1)
                ))?;
                let done = self.run_guarded(command, sets);
                if !self.lost {
                    self.simple("SET lock_timeout = 0")?;
                }
                return done;
            }
        }
        self.run_guarded(command, sets)
    }

    fn run_guarded(
        &mut self,
        command: &Command<'_>,
        sets: &[Vec<Value>],
    ) -> Result<(Vec<Answer>, Statement), OracleError> {
        self.guarded(command, |session, prefix| {
            let key = (command.sql.to_owned(), command.kinds.to_vec());
            let Some(statement) = session.prepared.get(&key).cloned() else {
                session.run_prefix(prefix)?;
                let statement = session.prepare(command)?;
                return Ok((session.run_prepared("", &statement, sets, command)?, statement));
            };
            match session.run_prepared(prefix, &statement, sets, command) {
                Err(error) if error.has_state(&["0A000"]) => {
                    session.prepared.remove(&key);
                    Err(error)
                }
                other => Ok((other?, statement)),
            }
        })
    }

    /// Tells the server about module, action and client, if anything changed.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn tell(&mut self, told: BTreeMap<&'static str, String>) -> Result<(), OracleError> {
        if told == self.told {
            return Ok(());
        }
        let quoted = |text: &str| text.replace('\'', "''");
        let part =
            |name: &str| told.get(name).map(|text| text.replace('|', "/")).unwrap_or_default();
        let shown = [part("module"), part("action"), part("client_identifier")].join("|");
        let mut sql = format!("SET application_name = '{}'", quoted(&shown));
        for (name, text) in &told {
            // Writing to a String does not fail.
            let _written = write!(sql, "; SET standin.{name} = '{}'", quoted(text));
        }
        self.simple(&sql)?;
        // What is set in a transaction is undone with it, and told again then.
        self.told_in_transaction |= self.in_transaction();
        self.told = told;
        Ok(())
    }

    fn run_prefix(&mut self, prefix: &str) -> Result<(), OracleError> {
        if prefix.is_empty() { Ok(()) } else { self.simple(prefix).map(drop) }
    }

    fn prepare(&mut self, command: &Command<'_>) -> Result<Statement, OracleError> {
        let key = (command.sql.to_owned(), command.kinds.to_vec());
        if let Some(statement) = self.prepared.get(&key) {
            return Ok(statement.clone());
        }
        let types: Vec<_> = command.kinds.iter().map(|kind| kind.postgres()).collect();
        let client = &self.client;
        let prepared =
            bounded(&self.runtime, self.timeout, client, client.prepare_typed(command.sql, &types));
        let statement = self.checked(prepared, command.wait_seconds.is_some())?;
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        self.prepared.insert(key, statement.clone());
        Ok(statement)
    }

    fn run_prepared(
        &mut self,
        prefix: &str,
        statement: &Statement,
        sets: &[Vec<Value>],
        command: &Command<'_>,
    ) -> Result<Vec<Answer>, OracleError> {
        let client = &self.client;
        let work = async {
            // All is sent before the first answer is awaited.
            let first = async {
                if prefix.is_empty() { Ok(()) } else { client.batch_execute(prefix).await }
            };
            let each = join_all(sets.iter().map(|values| run_once(client, statement, values)));
            let (first, each) = tokio::join!(first, each);
            first?;
            each.into_iter().collect::<Result<Vec<_>, _>>()
        };
        let result = bounded(&self.runtime, self.timeout, client, work);
        self.checked(result, command.wait_seconds.is_some())
    }
}

/// What sets a database up before anyone logs on: databases made from it need no more.
pub fn setup_script() -> String {
    format!("BEGIN; {SETUP}; CREATE TABLE oracle_standin.{} (); COMMIT;", version())
}

/// A name for the text of [`SETUP`], so that a database set up by another text is set up anew.
fn version() -> String {
    let hash = SETUP.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("setup_{hash:016x}")
}
