//! MySQL and MariaDB: a session, its binds and its rows.
//!
//! The session's `sql_mode` is the gateway's own, whatever the server's is: strict, so that nothing is
//! cut or zeroed silently, and equal on every server, so that a template means the same everywhere.
//! Times are UTC. The driver asks for found rows: `affected` counts what a statement matched.

use std::sync::Arc;
use std::task::Context;

use sqlx::encode::IsNull;
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlRow, MySqlSslMode, MySqlTypeInfo,
    MySqlValueRef,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, ConnectOptions, Connection as _, Decode, Encode,
    Executor, MySql, MySqlConnection, Row, SqlSafeStr, Statement as _, Type, TypeInfo, ValueRef,
};

use super::cell::Cell;
use super::connection::{Described, Form, Intake, NamedRow, Sink, Statement};
use super::fault::Failure;
use super::{BackendError, moment, upsert};
use crate::catalog::{Scalar, format_date, format_timestamp};
use crate::config::{ConnectionConfig, Endpoint, Tls};

/// What every session begins with. MySQL 8 rounds a moment to its column's digits; it is told to cut, as
/// MariaDB and SQLite do.
const SESSION_SETUP: &str = "SET NAMES utf8mb4, SESSION time_zone = '+00:00', \
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
}

impl Session {
    /// Connects and sets the session up.
    pub(super) async fn open(config: &ConnectionConfig) -> Result<Self, sqlx::Error> {
        let options = Arc::new(options(config)?);
        let mut driver = Box::pin(options.connect()).await?;
        driver.execute(SESSION_SETUP).await?;
        let row = driver.fetch_one(sqlx::query(SESSION_QUESTION).persistent(false)).await?;
        let server_number =
            <u64 as Decode<MySql>>::decode(row.try_get_raw(0)?).map_err(sqlx::Error::Decode)?;
        let decimal_type = row.try_get_raw(1)?.type_info().into_owned();
        Ok(Self { driver, options, server_number, decimal_type })
    }

    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.driver.ping().await
    }

    pub(super) async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Failure> {
        let query = self.query(statement)?;
        let affected = self.driver.execute(query).await?.rows_affected();
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
        let query = self.query(statement)?;
        let mut stream = self.driver.fetch_many(query);
        let mut places = Vec::new();
        let next = |context: &mut Context<'_>| stream.as_mut().poll_next(context);
        Intake::all(next, |row| push(rows, row, &mut places)).await
    }

    pub(super) async fn run_text(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.driver.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
    }

    pub(super) async fn fetch_named(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<Vec<NamedRow>, sqlx::Error> {
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

/// Where a declared column is, and how its values are read.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: usize,
    native: Native,
}

/// How a column's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Native {
    Signed,
    Unsigned,
    /// 32 bits.
    Single,
    Float,
    Decimal,
    Text,
    Bytes,
    Date,
    Moment,
    Other,
}

impl Native {
    fn of(ty: &MySqlTypeInfo) -> Self {
        match ty.name() {
            "BIT" => Self::Unsigned,
            "FLOAT" => Self::Single,
            "DOUBLE" => Self::Float,
            "DECIMAL" => Self::Decimal,
            "DATE" => Self::Date,
            "DATETIME" | "TIMESTAMP" => Self::Moment,
            "JSON" | "ENUM" | "SET" => Self::Text,
            "TIME" | "GEOMETRY" | "NULL" => Self::Other,
            // Not by name: TINYINT(1) is `BOOLEAN` with and without a sign, and a text with a binary
            // collation is named as bytes.
            _ if <u64 as Type<MySql>>::compatible(ty) => Self::Unsigned,
            _ if <i64 as Type<MySql>>::compatible(ty) => Self::Signed,
            _ if <str as Type<MySql>>::compatible(ty) => Self::Text,
            _ if <[u8] as Type<MySql>>::compatible(ty) => Self::Bytes,
            _ => Self::Other,
        }
    }
}

fn push(rows: &mut impl Sink, row: &MySqlRow, places: &mut Vec<Place>) -> Result<(), BackendError> {
    if places.is_empty() {
        let columns = row.columns();
        for index in rows.positions(&columns.iter().map(sqlx::Column::name))? {
            let native =
                columns.get(index).map_or(Native::Other, |column| Native::of(column.type_info()));
            places.push(Place { index, native });
        }
    }
    rows.push(|column| {
        let place = places.get(column).ok_or("no place for the column")?;
        let value = row.try_get_raw(place.index).map_err(|error| error.to_string())?;
        read(value, place.native).map_err(|error| error.to_string().into())
    })
}

fn read(value: MySqlValueRef<'_>, native: Native) -> Result<Cell<'_>, BoxDynError> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    Ok(match native {
        Native::Signed => Cell::Int(Decode::<MySql>::decode(value)?),
        Native::Unsigned => Cell::UInt(Decode::<MySql>::decode(value)?),
        Native::Single => Cell::Float(widen(Decode::<MySql>::decode(value)?)),
        Native::Float => Cell::Float(Decode::<MySql>::decode(value)?),
        Native::Decimal => Cell::Decimal(Decode::<MySql>::decode(value)?),
        Native::Text => Cell::Text(Decode::<MySql>::decode(value)?),
        Native::Bytes => Cell::Bytes(Decode::<MySql>::decode(value)?),
        Native::Date => Cell::Date(moment::days_from_date(Decode::<MySql>::decode(value)?)),
        Native::Moment => Cell::Moment(moment::micros_from_moment(Decode::<MySql>::decode(value)?)),
        Native::Other => {
            return Err(
                format!("the database's type {} has no form here", value.type_info()).into()
            );
        }
    })
}

/// The 64-bit number that is written like the 32-bit one: 0.1 stays 0.1, as it was stored.
fn widen(single: f32) -> f64 {
    single.to_string().parse().unwrap_or_else(|_| f64::from(single))
}

/// The form of a prepared column's values.
fn form(ty: &MySqlTypeInfo) -> Form {
    match Native::of(ty) {
        Native::Signed | Native::Unsigned => Form::Integer,
        Native::Single | Native::Float => Form::Float,
        Native::Decimal => Form::Decimal,
        Native::Text => Form::Text,
        Native::Bytes => Form::Bytes,
        Native::Date => Form::Date,
        Native::Moment => Form::Moment,
        Native::Other if ty.is_null() => Form::Unknown,
        Native::Other => Form::Other,
    }
}

/// A value of a small result as text.
fn text(value: MySqlValueRef<'_>) -> Result<Option<String>, sqlx::Error> {
    let native = Native::of(&value.type_info());
    let cell = read(value, native).map_err(sqlx::Error::Decode)?;
    Ok(match cell {
        Cell::Null => None,
        Cell::Int(value) => Some(value.to_string()),
        Cell::UInt(value) => Some(value.to_string()),
        Cell::Float(value) => Some(value.to_string()),
        Cell::Decimal(text) | Cell::Text(text) => Some(text.to_owned()),
        Cell::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Cell::Date(days) => Some(format_date(days).as_str().to_owned()),
        Cell::Moment(micros) => Some(format_timestamp(micros, 6).as_str().to_owned()),
    })
}
