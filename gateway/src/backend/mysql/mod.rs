//! MySQL and MariaDB: a session, its binds and its rows.
//!
//! The session's `sql_mode` is the gateway's own, whatever the server's is: strict, so that nothing is
//! cut or zeroed silently, and equal on every server, so that a template means the same everywhere.
//! Times are UTC. The driver asks for found rows: `affected` counts what a statement matched.

mod ahead;
mod nodelay;
mod procedure;
mod value;
pub(super) mod wire;

use std::sync::Arc;
use std::task::Context;

use sqlx::encode::IsNull;
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlQueryResult, MySqlRow,
    MySqlSslMode, MySqlTypeInfo,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, ConnectOptions, Connection as _, Decode, Encode,
    Executor, MySql, MySqlConnection, Row, SqlSafeStr, Statement as _, Type, TypeInfo, ValueRef,
};

use super::connection::{Committed, Described, NamedRow, Sink, Statement};
use super::fault::Failure;
use super::intake::{Intake, run_all};
use super::procedure::Answer;
use super::{moment, upsert};
use crate::catalog::{Isolation, Scalar};
use crate::config::{ConnectionConfig, Endpoint, Tls};
use ahead::{Ahead, ROLLBACK};
use value::{form, push, text};

/// What every session begins with. MySQL 8 rounds a moment to its column's digits; it is told to cut, as
/// MariaDB and SQLite do.
const SESSION_SETUP: &str = "SET NAMES utf8mb4, SESSION time_zone = '+00:00', \
    SESSION autocommit = 1, SESSION completion_type = 0, \
    SESSION sql_mode = CONCAT('ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,STRICT_ALL_TABLES,\
    NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT', \
    IF(VERSION() NOT LIKE '%MariaDB%' AND VERSION() REGEXP '^([89]|[1-9][0-9])[.]', \
    ',TIME_TRUNCATE_FRACTIONAL', ''))";

/// The connection's number on the server, and a decimal, whose type binds need (see [`DecimalBind`]).
const SESSION_QUESTION: &str = "SELECT CONNECTION_ID(), CAST(0 AS DECIMAL(1,0))";

/// No connection has that number.
const ER_NO_SUCH_THREAD: u16 = 1094;

/// A connection to MySQL or MariaDB.
#[derive(Debug)]
pub(super) struct Session {
    driver: MySqlConnection,
    options: Arc<MySqlConnectOptions>,
    server_number: u64,
    decimal_type: MySqlTypeInfo,
    ahead: Ahead,
}

impl Session {
    /// Connects and sets the session up.
    pub(super) async fn open(config: &ConnectionConfig) -> Result<Self, sqlx::Error> {
        let options = Arc::new(options(config)?);
        let mut driver = Box::pin(options.connect()).await?;
        nodelay::set(options.get_port()).await;
        driver.execute(SESSION_SETUP).await?;
        let row = driver.fetch_one(sqlx::query(SESSION_QUESTION).persistent(false)).await?;
        let server_number =
            <u64 as Decode<MySql>>::decode(row.try_get_raw(0)?).map_err(sqlx::Error::Decode)?;
        let decimal_type = row.try_get_raw(1)?.type_info().into_owned();
        Ok(Self { driver, options, server_number, decimal_type, ahead: Ahead::default() })
    }

    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        if self.ahead.leave() {
            return self.run(ROLLBACK, |_| {}).await;
        }
        self.driver.ping().await
    }

    /// Begins a transaction, if that was not done ahead.
    pub(super) async fn begin(&mut self, isolation: Option<Isolation>) -> Result<(), sqlx::Error> {
        if let Some(sql) = self.ahead.begin(isolation) {
            self.run(AssertSqlSafe(sql), |_| {}).await?;
        }
        self.ahead.enter(isolation);
        Ok(())
    }

    /// Commits, and perhaps begins the next transaction.
    pub(super) async fn commit(&mut self) -> Result<Committed, sqlx::Error> {
        let (sql, next) = self.ahead.commit();
        let mut done_count = 0;
        match self.run(sql, |_| done_count += 1).await {
            Ok(()) => self.ahead.stand(next),
            // The COMMIT was answered; what is said of what comes behind it does not undo it.
            Err(error) if done_count > 0 => return Ok(Committed::Lost(error)),
            Err(error) => return Err(error),
        }
        Ok(Committed::Well)
    }

    pub(super) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        self.ahead.rollback();
        self.run(ROLLBACK, |_| {}).await
    }

    /// What is not part of a transaction must not become part of one that was begun ahead.
    async fn settle(&mut self) -> Result<(), sqlx::Error> {
        if self.ahead.leave() { self.run(ROLLBACK, |_| {}).await } else { Ok(()) }
    }

    /// Runs a text; `done` hears of each of its statements.
    async fn run(
        &mut self,
        sql: impl SqlSafeStr,
        mut done: impl FnMut(&MySqlQueryResult),
    ) -> Result<(), sqlx::Error> {
        let mut stream = self.driver.fetch_many(sqlx::raw_sql(sql));
        run_all(|context| stream.as_mut().poll_next(context), &mut done).await
    }

    pub(super) async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Failure> {
        self.settle().await?;
        let query = self.query(statement)?;
        let mut affected = 0;
        let mut stream = self.driver.fetch_many(query);
        let next = |context: &mut Context<'_>| stream.as_mut().poll_next(context);
        run_all(next, |done: &MySqlQueryResult| affected += done.rows_affected()).await?;
        if affected > 1 && upsert::is_of_one_row(&statement.sql) {
            return Ok(1);
        }
        Ok(affected)
    }

    pub(super) async fn fetch(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        self.settle().await?;
        let query = self.query(statement)?;
        let mut stream = self.driver.fetch_many(query);
        let mut places = Vec::new();
        let next = |context: &mut Context<'_>| stream.as_mut().poll_next(context);
        Intake::all(next, |row| push(rows, row, &mut places)).await
    }

    /// Calls a procedure; what it gives goes to `answer`.
    pub(super) async fn call(
        &mut self,
        statement: &Statement<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<(), Failure> {
        self.settle().await?;
        let query = self.query(statement)?;
        let mut stream = self.driver.fetch_many(query);
        procedure::take(|context| stream.as_mut().poll_next(context), answer).await
    }

    /// Begins a transaction that takes no writes.
    pub(super) async fn begin_reading(&mut self) -> Result<(), sqlx::Error> {
        self.settle().await?;
        self.run("START TRANSACTION READ ONLY", |_| {}).await?;
        self.ahead.enter(None);
        Ok(())
    }

    pub(super) async fn run_text(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.settle().await?;
        self.run(AssertSqlSafe(sql), |_| {}).await
    }

    pub(super) async fn fetch_named(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<Vec<NamedRow>, sqlx::Error> {
        self.settle().await?;
        let query = self.query(statement)?.persistent(false);
        let rows = self.driver.fetch_all(query).await?;
        let named = |row: &MySqlRow| {
            let value = |(index, column): (usize, &sqlx::mysql::MySqlColumn)| {
                Ok((column.name().to_owned(), text(row.try_get_raw(index)?)?))
            };
            row.columns().iter().enumerate().map(value).collect()
        };
        rows.iter().map(named).collect()
    }

    pub(super) async fn describe(&mut self, sql: &str) -> Result<Vec<Described>, sqlx::Error> {
        self.settle().await?;
        let prepared = self.driver.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
        let describe = |column: &sqlx::mysql::MySqlColumn| Described {
            name: column.name().to_owned(),
            native: column.type_info().name().to_owned(),
            form: form(column.type_info()),
        };
        Ok(prepared.columns().iter().map(describe).collect())
    }

    pub(super) fn kill_order(&self) -> KillOrder {
        KillOrder { options: Arc::clone(&self.options), server_number: self.server_number }
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.driver.close().await
    }

    fn query(
        &self,
        statement: &Statement<'_>,
    ) -> Result<sqlx::query::Query<'static, MySql, MySqlArguments>, sqlx::Error> {
        let arguments = arguments(&statement.binds, &self.decimal_type)?;
        Ok(sqlx::query_with(AssertSqlSafe(Arc::clone(&statement.sql)), arguments))
    }
}

/// An order to stop what runs on a connection, to be given over another one.
#[derive(Debug)]
pub(super) struct KillOrder {
    options: Arc<MySqlConnectOptions>,
    server_number: u64,
}

impl KillOrder {
    /// An order for a connection of whichever driver.
    pub(super) fn of(config: &ConnectionConfig, server_number: u64) -> Result<Self, sqlx::Error> {
        Ok(Self { options: Arc::new(options(config)?), server_number })
    }

    /// Connects, kills, closes. A statement that is over already is no error.
    pub(super) async fn run(self) -> Result<(), sqlx::Error> {
        let mut driver = Box::pin(self.options.connect()).await?;
        let kill = format!("KILL QUERY {}", self.server_number);
        match driver.execute(sqlx::raw_sql(AssertSqlSafe(kill))).await {
            Ok(_) => {}
            // The connection is gone, and its statement with it.
            Err(sqlx::Error::Database(error)) if is_numbered(&*error, ER_NO_SUCH_THREAD) => {}
            Err(error) => return Err(error),
        }
        driver.close().await
    }
}

fn is_numbered(error: &dyn DatabaseError, number: u16) -> bool {
    error.try_downcast_ref::<MySqlDatabaseError>().is_some_and(|error| error.number() == number)
}

fn options(config: &ConnectionConfig) -> Result<MySqlConnectOptions, sqlx::Error> {
    let Endpoint::Server { host, port, username, password, database, tls } = &config.endpoint
    else {
        return Err(sqlx::Error::Configuration("MySQL needs a host, not a path".into()));
    };
    let ssl_mode = match tls {
        Tls::Off => MySqlSslMode::Disabled,
        Tls::Required => MySqlSslMode::Required,
        Tls::Verify => MySqlSslMode::VerifyIdentity,
    };
    Ok(MySqlConnectOptions::new()
        .host(host)
        .port(*port)
        .username(username)
        // The driver needs it to log in; it prints it nowhere.
        .password(password.expose())
        .database(database)
        .ssl_mode(ssl_mode)
        .statement_cache_capacity(config.statement_count_max as usize)
        // One statement of ours sets all of this, instead of one of the driver's before it.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .set_names(false)
        .timezone(None)
        .disable_statement_logging())
}

fn arguments(
    binds: &[Scalar<'_>],
    decimal_type: &MySqlTypeInfo,
) -> Result<MySqlArguments, sqlx::Error> {
    let mut arguments = MySqlArguments::default();
    arguments.reserve(binds.len(), binds.len() * 16);
    for bind in binds {
        add(&mut arguments, bind, decimal_type).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn add(
    arguments: &mut MySqlArguments,
    bind: &Scalar<'_>,
    decimal_type: &MySqlTypeInfo,
) -> Result<(), BoxDynError> {
    const OUT_OF_RANGE: &str = "a date is outside the years 0001 to 9999";
    match bind {
        Scalar::Null => arguments.add(None::<i64>),
        Scalar::Bool(value) => arguments.add(*value),
        Scalar::Int(value) => arguments.add(*value),
        Scalar::Float(value) => arguments.add(*value),
        Scalar::Decimal(text) => arguments.add(DecimalBind { text, ty: decimal_type }),
        Scalar::Str(text) | Scalar::Json(text) => arguments.add(&**text),
        Scalar::Bytes(bytes) => arguments.add(&**bytes),
        Scalar::Date(days) => arguments.add(moment::date_from_days(*days).ok_or(OUT_OF_RANGE)?),
        Scalar::Timestamp(micros) => {
            arguments.add(moment::moment_from_micros(*micros).ok_or(OUT_OF_RANGE)?)
        }
        Scalar::List(_) => Err("a list is bound item by item".into()),
    }
}

/// A decimal, bound as one. As text the server would compare it with a DECIMAL column as floats, where
/// digits after the sixteenth are lost. The driver's own decimal types are of other crates, and the type it
/// is bound as cannot be made, only taken from a result; hence [`SESSION_QUESTION`].
struct DecimalBind<'a> {
    text: &'a str,
    ty: &'a MySqlTypeInfo,
}

impl Type<MySql> for DecimalBind<'_> {
    fn type_info() -> MySqlTypeInfo {
        <str as Type<MySql>>::type_info()
    }
}

impl Encode<'_, MySql> for DecimalBind<'_> {
    fn encode_by_ref(&self, out: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        <&str as Encode<'_, MySql>>::encode_by_ref(&self.text, out)
    }

    fn produces(&self) -> Option<MySqlTypeInfo> {
        Some(self.ty.clone())
    }
}
