//! SQLite: a session, its binds and its rows.
//!
//! SQLite has five kinds of values; the others are stored in forms that compare as the values do.
//! Schemas declare the column on the left, and templates need to know nothing of the form:
//!
//! | type | column | stored |
//! |---|---|---|
//! | `bool` | `INTEGER` | 0 or 1 |
//! | `int`, `bigint` | `INTEGER` | as it is |
//! | `decimal(p,s)` | `TEXT` | canonical: padded to its scale, no exponent. Equal texts are equal numbers; order and sums need a `CAST` |
//! | `float` | `REAL` | as it is |
//! | `string`, `enum`, `json` | `TEXT` | as it is |
//! | `bytes` | `BLOB` | as it is |
//! | `date` | `TEXT` | `YYYY-MM-DD` |
//! | `timestamp(f)` | `TEXT` | `YYYY-MM-DDTHH:MM:SS.ffffffZ`, always six digits, so that texts sort as moments |
//!
//! `strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')` writes that form; `CURRENT_TIMESTAMP` does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::{Duration, Instant};

use sqlx::error::BoxDynError;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteQueryResult, SqliteRow,
    SqliteSynchronous, SqliteTypeInfo, SqliteValueRef,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, ConnectOptions, Connection as _, Decode, Executor, Row,
    SqlSafeStr, Sqlite, SqliteConnection, Statement as _, TypeInfo, ValueRef,
};

use super::BackendError;
use super::cell::Cell;
use super::connection::{Committed, Described, Form, NamedRow, Sink, Statement};
use super::fault::Failure;
use super::intake::{Intake, run_all};
use crate::catalog::{Isolation, Scalar, format_date, format_timestamp, has_date, has_timestamp};
use crate::config::{ConnectionConfig, Endpoint};

/// How many steps of its machine SQLite takes between two looks at [`Interrupt`]: well under a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;
/// Another connection is at work.
const SQLITE_BUSY: &str = "5";
/// Between two attempts to open a file that is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Rows between the driver's thread and the reader.
const ROWS_AHEAD: usize = 64;

/// A connection to an SQLite file.
#[derive(Debug)]
pub(super) struct Session {
    driver: SqliteConnection,
    interrupt: Interrupt,
}

impl Session {
    /// Opens the file, which is made when it is not there, and sets the session up.
    pub(super) async fn open(config: &ConnectionConfig) -> Result<Self, sqlx::Error> {
        let Endpoint::File(path) = &config.endpoint else {
            return Err(sqlx::Error::Configuration("SQLite needs a path, not a host".into()));
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(config.query_timeout)
            .statement_cache_capacity(config.statement_count_max as usize)
            .row_buffer_size(ROWS_AHEAD)
            .thread_name(|number| format!("sqlite-{number:03}"))
            .disable_statement_logging();
        let mut driver = connect(&options, config.connect_timeout).await?;
        let interrupt = Interrupt::default();
        let looked_at = interrupt.clone();
        driver
            .lock_handle()
            .await?
            .set_progress_handler(STEPS_PER_LOOK, move || !looked_at.is_raised());
        Ok(Self { driver, interrupt })
    }

    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.driver.ping().await
    }

    pub(super) async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Failure> {
        let mut affected = 0;
        let mut stream = self.driver.fetch_many(query(statement)?);
        let next = |context: &mut Context<'_>| stream.as_mut().poll_next(context);
        run_all(next, |done: &SqliteQueryResult| affected += done.rows_affected()).await?;
        Ok(affected)
    }

    pub(super) async fn fetch(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        let mut stream = self.driver.fetch_many(query(statement)?);
        let mut places = Vec::new();
        let next = |context: &mut Context<'_>| stream.as_mut().poll_next(context);
        Intake::all(next, |row| push(rows, row, &mut places)).await
    }

    /// Begins a transaction. It takes the one place for a writer here, not in the middle.
    pub(super) async fn begin(&mut self, _: Option<Isolation>) -> Result<(), sqlx::Error> {
        self.run_text("BEGIN IMMEDIATE").await
    }

    pub(super) async fn commit(&mut self) -> Result<Committed, sqlx::Error> {
        self.run_text("COMMIT").await.map(|()| Committed::Well)
    }

    pub(super) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        self.run_text("ROLLBACK").await
    }

    pub(super) async fn run_text(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.driver.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
    }

    pub(super) async fn fetch_named(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<Vec<NamedRow>, sqlx::Error> {
        let query = query(statement)?.persistent(false);
        let rows = self.driver.fetch_all(query).await?;
        let named = |row: &SqliteRow| {
            let value = |(index, column): (usize, &sqlx::sqlite::SqliteColumn)| {
                Ok((column.name().to_owned(), text(row.try_get_raw(index)?)?))
            };
            row.columns().iter().enumerate().map(value).collect()
        };
        rows.iter().map(named).collect()
    }

    pub(super) async fn describe(&mut self, sql: &str) -> Result<Vec<Described>, sqlx::Error> {
        let prepared = self.driver.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
        let describe = |column: &sqlx::sqlite::SqliteColumn| Described {
            name: column.name().to_owned(),
            native: column.type_info().name().to_owned(),
            form: form(column.type_info()),
        };
        Ok(prepared.columns().iter().map(describe).collect())
    }

    pub(super) fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.driver.close().await
    }
}

/// Opens the file. A new file is set to WAL by its first connection, and SQLite tells others that come at that
/// moment that it is busy, whatever they are ready to wait; so they come again.
async fn connect(
    options: &SqliteConnectOptions,
    patience: Duration,
) -> Result<SqliteConnection, sqlx::Error> {
    let limit = Instant::now() + patience;
    loop {
        match options.connect().await {
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(SQLITE_BUSY) && Instant::now() < limit =>
            {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            connected => return connected,
        }
    }
}

/// Stops what SQLite does on one connection, for good.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The statement under way fails at SQLite's next look, and every later one.
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn query(
    statement: &Statement<'_>,
) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(statement.binds.len(), 0);
    for bind in &statement.binds {
        add(&mut arguments, bind).map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_with(AssertSqlSafe(Arc::clone(&statement.sql)), arguments))
}

fn add(arguments: &mut SqliteArguments, bind: &Scalar<'_>) -> Result<(), BoxDynError> {
    match bind {
        Scalar::Null => arguments.add(None::<i64>),
        Scalar::Bool(value) => arguments.add(i64::from(*value)),
        Scalar::Int(value) => arguments.add(*value),
        Scalar::Float(value) => arguments.add(*value),
        Scalar::Decimal(text) | Scalar::Str(text) | Scalar::Json(text) => arguments.add(&**text),
        Scalar::Bytes(bytes) => arguments.add(&**bytes),
        Scalar::Date(days) if has_date(*days) => arguments.add(format_date(*days).as_str()),
        Scalar::Timestamp(micros) if has_timestamp(*micros) => {
            arguments.add(format_timestamp(*micros, 6).as_str())
        }
        Scalar::Date(_) | Scalar::Timestamp(_) => {
            Err("a date is outside the years 0001 to 9999".into())
        }
        Scalar::List(_) => Err("a list is bound item by item".into()),
    }
}

fn push(
    rows: &mut impl Sink,
    row: &SqliteRow,
    places: &mut Vec<usize>,
) -> Result<(), BackendError> {
    if places.is_empty() {
        *places = rows.positions(&row.columns().iter().map(sqlx::Column::name))?;
    }
    rows.push(|column| {
        let place = *places.get(column).ok_or("no place for the column")?;
        let value = row.try_get_raw(place).map_err(|error| error.to_string())?;
        read(value).map_err(|error| error.to_string().into())
    })
}

/// A value, by the kind that SQLite says it has: in SQLite that is the value's affair, not the column's.
fn read(value: SqliteValueRef<'_>) -> Result<Cell<'_>, BoxDynError> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let kind = value.type_info().into_owned();
    Ok(match kind.name() {
        "INTEGER" => Cell::Int(Decode::<Sqlite>::decode(value)?),
        "REAL" => Cell::Float(Decode::<Sqlite>::decode(value)?),
        "TEXT" => Cell::Text(Decode::<Sqlite>::decode(value)?),
        _ => Cell::Bytes(Decode::<Sqlite>::decode(value)?),
    })
}

/// The form of a prepared column's values, by the column's declaration. Dates and moments are texts.
fn form(ty: &SqliteTypeInfo) -> Form {
    match ty.name() {
        "INTEGER" | "BOOLEAN" => Form::Integer,
        "REAL" => Form::Float,
        "TEXT" | "DATE" | "DATETIME" => Form::Text,
        "BLOB" => Form::Bytes,
        _ => Form::Unknown,
    }
}

/// A value of a small result as text.
fn text(value: SqliteValueRef<'_>) -> Result<Option<String>, sqlx::Error> {
    Ok(match read(value).map_err(sqlx::Error::Decode)? {
        Cell::Int(value) => Some(value.to_string()),
        Cell::Float(value) => Some(value.to_string()),
        Cell::Text(text) => Some(text.to_owned()),
        Cell::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}
