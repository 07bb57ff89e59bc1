//! A session: one connection to PostgreSQL, its transaction, and a bound on the time of each call.
//!
//! PostgreSQL aborts a transaction at any error and Oracle does not: each statement of a transaction runs behind a
//! savepoint, that its failure goes back to. A query outside a transaction needs none.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{CancelToken, Client, Config, NoTls, Row, Statement};

use crate::connection::Target;
use crate::error::OracleError;
use crate::sqlstate;
use crate::value::{Kind, Value};

/// How long a cancelled call may take to end before the connection is given up.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// Most prepared statements of a session.
const PREPARED_MAX: usize = 200;

/// What a session is set up with: types, functions and views that Oracle has and PostgreSQL has not.
const SETUP: &str = include_str!("setup.sql");

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
    /// Minutes east of UTC of the session's time zone.
    pub offset_minutes: i16,
    /// What the server knows of module, action and client.
    told: BTreeMap<&'static str, String>,
    /// Some of it was told in the open transaction.
    told_in_transaction: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// Begun; nothing happened before its first statement.
    Fresh,
    /// Begun; the savepoint of the last statement stands.
    Saved,
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
            offset_minutes: 0,
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
        Canceller(self.client.cancel_token())
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
        }
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

    /// Commits, if there is something to commit.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn commit(&mut self) -> Result<(), OracleError> {
        self.end_transaction("COMMIT")
    }

    /// Rolls back, if there is something to roll back.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn rollback(&mut self) -> Result<(), OracleError> {
        self.end_transaction("ROLLBACK")
    }

    /// Asks the server for an answer.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn ping(&mut self) -> Result<(), OracleError> {
        self.simple("").map(drop)
    }

    /// Begins a transaction with an isolation of its own, in place of the next statement.
    ///
    /// # Errors
    /// ORA-01453: one is open already.
    pub fn begin(&mut self, modes: &str) -> Result<(), OracleError> {
        if self.in_transaction() {
            return Err(OracleError::new(
                1453,
                "SET TRANSACTION must be first statement of transaction",
            ));
        }
        self.simple(&format!("BEGIN {modes}"))?;
        self.transaction = Transaction::Fresh;
        Ok(())
    }

    /// Runs `SAVEPOINT x` or `ROLLBACK TO x` of the client's own.
    ///
    /// # Errors
    /// ORA-01086: no such savepoint.
    pub fn savepoint(&mut self, sql: &str) -> Result<(), OracleError> {
        let begin = match self.transaction {
            Transaction::None => "BEGIN; ",
            Transaction::Fresh => "",
            Transaction::Saved => "RELEASE SAVEPOINT standin; ",
        };
        self.simple(&format!("{begin}SAVEPOINT standin"))?;
        self.transaction = Transaction::Saved;
        if let Err(error) = self.simple(&format!("RELEASE SAVEPOINT standin; {sql}")) {
            self.simple("ROLLBACK TO SAVEPOINT standin")?;
            return Err(if error.has_state(&["3B001"]) {
                OracleError::new(1086, "savepoint never established in this session or is invalid")
            } else {
                error
            });
        }
        self.transaction = Transaction::Fresh;
        Ok(())
    }

    fn end_transaction(&mut self, sql: &str) -> Result<(), OracleError> {
        if self.lost {
            return Err(sqlstate::not_connected());
        }
        if !self.in_transaction() {
            return Ok(());
        }
        self.transaction = Transaction::None;
        self.has_lock_timeout = false;
        if std::mem::take(&mut self.told_in_transaction) && sql != "COMMIT" {
            self.told.clear();
        }
        self.simple(sql).map(drop)
    }

    /// Runs `run` so that its failure leaves the transaction as it was. It is given what is to be run before.
    fn guarded<T>(
        &mut self,
        command: &Command<'_>,
        run: impl FnOnce(&mut Self, &str) -> Result<T, OracleError>,
    ) -> Result<T, OracleError> {
        if self.lost {
            return Err(sqlstate::not_connected());
        }
        let before = self.transaction;
        let mut prefix = match (before, command.effect) {
            (Transaction::None, Effect::Write) => "BEGIN".to_owned(),
            (Transaction::None, _) => String::new(),
            (Transaction::Fresh, _) => "SAVEPOINT standin".to_owned(),
            (Transaction::Saved, _) => "RELEASE SAVEPOINT standin; SAVEPOINT standin".to_owned(),
        };
        if !prefix.is_empty() {
            self.transaction =
                if before == Transaction::None { Transaction::Fresh } else { Transaction::Saved };
            match command.wait_seconds {
                Some(seconds) => {
                    // Writing to a String does not fail.
                    let _written =
                        write!(prefix, "; SET LOCAL lock_timeout = {}", seconds.max(1) * 1000);
                    self.has_lock_timeout = true;
                }
                None if self.has_lock_timeout => {
                    prefix.push_str("; SET LOCAL lock_timeout = 0");
                    self.has_lock_timeout = false;
                }
                None => {}
            }
        }
        let result = run(self, &prefix);
        if result.is_err() && !self.lost {
            match (before, self.transaction) {
                (_, Transaction::None) => {}
                (Transaction::None, _) => self.rollback()?,
                _ => {
                    self.simple("ROLLBACK TO SAVEPOINT standin")?;
                }
            }
        }
        result
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

    fn checked<T>(&mut self, result: Result<T, Trouble>, waits: bool) -> Result<T, OracleError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(Trouble::TimedOut) => return Err(OracleError::new(3156, "OCI call timed out")),
            Err(Trouble::Silent) => {
                self.lost = true;
                return Err(OracleError::new(12161, "TNS:internal error: partial data received"));
            }
            Err(Trouble::Postgres(error)) => error,
        };
        let was_lost = self.lost;
        self.lost |= self.client.is_closed();
        let Some(told) = error.as_db_error() else {
            if !error.is_closed() && !self.client.is_closed() {
                return Err(OracleError::new(600, format_args!("internal error code ({error})")));
            }
            self.lost = true;
            return Err(if was_lost { sqlstate::not_connected() } else { sqlstate::lost() });
        };
        let error = sqlstate::translate(told, waits);
        self.lost |= error.ends_session();
        Err(error)
    }
}

/// Why a call has no result.
enum Trouble {
    /// Cancelled at its time's end.
    TimedOut,
    /// Not even the cancelling was answered.
    Silent,
    Postgres(tokio_postgres::Error),
}

/// Runs until done, or cancels at the time's end.
fn bounded<T>(
    runtime: &Runtime,
    within: Option<Duration>,
    client: &Client,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Trouble> {
    runtime.block_on(async {
        let mut work = Box::pin(work);
        let Some(within) = within else { return work.await.map_err(Trouble::Postgres) };
        if let Ok(done) = timeout(within, &mut work).await {
            return done.map_err(Trouble::Postgres);
        }
        let token = client.cancel_token();
        // Without an answer the connection is given up below, whether or not this reached the server.
        drop(timeout(CANCEL_GRACE, token.cancel_query(NoTls)).await);
        match timeout(CANCEL_GRACE, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if error.code().is_some_and(|code| code.code() == "57014") => {
                Err(Trouble::TimedOut)
            }
            Ok(Err(error)) => Err(Trouble::Postgres(error)),
            Err(_) => Err(Trouble::Silent),
        }
    })
}

/// Sends the statement at once when first polled, so that those polled together are in flight together.
async fn run_once(
    client: &Client,
    statement: &Statement,
    values: &[Value],
) -> Result<Answer, tokio_postgres::Error> {
    if statement.columns().is_empty() {
        let count = client.execute_raw(statement, values).await?;
        return Ok(Answer { rows: Vec::new(), count });
    }
    let parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        values.iter().map(|value| value as _).collect();
    let rows = client.query(statement, &parameters).await?;
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    Ok(Answer { rows, count })
}

/// Cancels what a session runs, from any thread.
#[derive(Clone)]
pub struct Canceller(CancelToken);

impl std::fmt::Debug for Canceller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Canceller")
    }
}

impl Canceller {
    /// Asks the server to cancel; it may have nothing to cancel any more.
    ///
    /// # Errors
    /// The request could not be sent.
    pub fn cancel(&self) -> Result<(), OracleError> {
        let failed = |what: String| {
            OracleError::new(3113, format_args!("end-of-file on communication channel ({what})"))
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let sent =
            runtime.block_on(async { timeout(CANCEL_GRACE, self.0.cancel_query(NoTls)).await });
        match sent {
            Ok(result) => result.map_err(|error| failed(error.to_string())),
            Err(elapsed) => Err(failed(elapsed.to_string())),
        }
    }
}

fn translate_connect(error: &tokio_postgres::Error) -> OracleError {
    error.as_db_error().map_or_else(
        || OracleError::new(12541, format_args!("TNS:no listener ({error})")),
        |told| sqlstate::translate(told, false),
    )
}

/// A name for the text of [`SETUP`], so that a database set up by another text is set up anew.
fn version() -> String {
    let hash = SETUP.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("setup_{hash:016x}")
}
