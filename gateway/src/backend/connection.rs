//! One connection to one database, whichever driver, and what may be asked of it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sqlx::Either;

use super::BackendError;
use super::cell::Cell;
use super::fault::Failure;
#[cfg(feature = "mysql")]
use super::mysql;
#[cfg(feature = "sqlite")]
use super::sqlite;
use crate::catalog::{Isolation, Scalar};
use crate::config::{ConnectionConfig, Dialect};

#[cfg(not(any(feature = "mysql", feature = "sqlite")))]
compile_error!("the gateway needs a database: enable the feature `mysql`, `sqlite` or both");

/// Rows that are read and dropped after a result turned out to be of no use, so that its connection
/// can be kept. More than that, and closing it is cheaper.
const DRAIN_ROWS_MAX: u32 = 1000;

/// SQL and its binds, ready for a driver.
///
/// Invariant: `sql` is a template's text; nothing of a request is in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement<'a> {
    /// With one `?` for each bind.
    pub sql: Arc<str>,
    /// In the order of the `?`; no lists.
    pub binds: Vec<Scalar<'a>>,
}

impl Statement<'_> {
    /// A statement without binds.
    pub(super) fn plain(sql: impl Into<Arc<str>>) -> Self {
        Self { sql: sql.into(), binds: Vec::new() }
    }
}

/// A column of a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// As the database names it.
    pub name: String,
    /// Its type in the database's words.
    pub native: String,
    /// The form of its values.
    pub form: Form,
}

/// The form that a column's values have, as far as a database knows before it has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "mysql"),
    expect(dead_code, reason = "SQLite has some of these forms only")
)]
pub(super) enum Form {
    Integer,
    Float,
    Decimal,
    Text,
    Bytes,
    Date,
    Moment,
    /// One that has no form on the wire.
    Other,
    /// The database does not know: an expression of SQLite.
    Unknown,
}

/// A row of a small result that the gateway itself reads: texts, NULL as `None`.
pub(super) type TextRow = Vec<Option<String>>;
/// The same with the columns' names.
pub(super) type NamedRow = Vec<(String, Option<String>)>;

/// What takes a result's rows in.
pub(super) trait Sink {
    /// Where the columns that it wants stand, in a result with columns of these names.
    ///
    /// # Errors
    ///
    /// [`BackendError::Column`] for the first one that is not there.
    fn positions<'n>(
        &self,
        names: &(impl Iterator<Item = &'n str> + Clone),
    ) -> Result<Vec<usize>, BackendError>;

    /// Takes a row. `read` gives the value of a wanted column, by its index among those.
    ///
    /// # Errors
    ///
    /// What makes the whole result useless.
    fn push<'r>(
        &mut self,
        read: impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<(), BackendError>;
}

/// A result on its way: what made it useless, and how many rows were dropped since.
#[derive(Debug, Default)]
pub(super) struct Intake {
    failure: Option<BackendError>,
    dropped: u32,
}

impl Intake {
    /// Takes a whole result in by `push`; rows behind one that it refuses are dropped.
    ///
    /// - `next`: the driver's next row, or count.
    ///
    /// # Errors
    ///
    /// What made the result useless; [`Failure::Unread`] when too many rows were dropped.
    pub(super) async fn all<Q, R>(
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Either<Q, R>, sqlx::Error>>>,
        mut push: impl FnMut(&R) -> Result<(), BackendError>,
    ) -> Result<(), Failure> {
        let mut intake = Self::default();
        while let Some(item) = poll_fn(&mut next).await {
            if let Either::Right(row) = item? {
                intake.row(|| push(&row))?;
            }
        }
        intake.failure.map_or(Ok(()), |failure| Err(Failure::Refused(failure)))
    }

    fn row(&mut self, push: impl FnOnce() -> Result<(), BackendError>) -> Result<(), Failure> {
        if self.failure.is_none() {
            self.failure = push().err();
            return Ok(());
        }
        self.dropped += 1;
        match self.failure.take_if(|_| self.dropped > DRAIN_ROWS_MAX) {
            Some(failure) => Err(Failure::Unread(failure)),
            None => Ok(()),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// To MySQL or MariaDB.
    #[cfg(feature = "mysql")]
    Mysql(Box<mysql::Session>),
    /// To an SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(Box<sqlite::Session>),
}

/// Runs one method on whichever session there is.
macro_rules! either {
    ($connection:expr, $session:ident => $call:expr) => {
        match $connection {
            #[cfg(feature = "mysql")]
            Connection::Mysql($session) => $call,
            #[cfg(feature = "sqlite")]
            Connection::Sqlite($session) => $call,
        }
    };
}

impl Connection {
    /// Connects and sets the session up. The caller bounds the time.
    ///
    /// # Errors
    ///
    /// The driver's; [`sqlx::Error::Configuration`] for a dialect that this build does not have.
    pub(super) async fn open(config: &ConnectionConfig) -> Result<Self, sqlx::Error> {
        match config.dialect {
            #[cfg(feature = "mysql")]
            Dialect::Mysql => {
                Ok(Self::Mysql(Box::new(Box::pin(mysql::Session::open(config)).await?)))
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                Ok(Self::Sqlite(Box::new(Box::pin(sqlite::Session::open(config)).await?)))
            }
            other => Err(sqlx::Error::Configuration(
                format!("this build has no driver for {other}").into(),
            )),
        }
    }

    /// Asks the database whether it is there.
    ///
    /// # Errors
    ///
    /// The driver's; the connection is of no use then.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        either!(self, session => session.ping().await)
    }

    /// Runs a statement that returns no rows. Returns how many rows it matched; 1 for an upsert of
    /// one row.
    ///
    /// # Errors
    ///
    /// [`Failure`], which also says what became of the connection.
    pub(super) async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Failure> {
        either!(self, session => session.execute(statement).await)
    }

    /// Runs a statement and gives its rows to `rows`.
    ///
    /// # Errors
    ///
    /// [`Failure`]; `rows` is of no use then.
    pub(super) async fn fetch(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        either!(self, session => session.fetch(statement, rows).await)
    }

    /// Runs a statement as text, without preparing it: what the prepared protocol does not take.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub(super) async fn run_text(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        either!(self, session => session.run_text(sql).await)
    }

    /// Begins a transaction that may write. One round trip.
    ///
    /// - `isolation`: `None`: the session's own. SQLite has one only, the strictest, and takes its one place
    ///   for a writer here, not in the middle.
    ///
    /// # Errors
    ///
    /// The driver's; there is no transaction then.
    pub(super) async fn begin(&mut self, isolation: Option<Isolation>) -> Result<(), sqlx::Error> {
        if self.dialect() == Dialect::Sqlite {
            return self.run_text("BEGIN IMMEDIATE").await;
        }
        let level = match isolation {
            None => return self.run_text("START TRANSACTION").await,
            Some(Isolation::ReadCommitted) => "READ COMMITTED",
            Some(Isolation::RepeatableRead) => "REPEATABLE READ",
            Some(Isolation::Serializable) => "SERIALIZABLE",
        };
        // Of the next transaction only. Two statements of one text: one round trip.
        self.run_text(&format!("SET TRANSACTION ISOLATION LEVEL {level}; START TRANSACTION")).await
    }

    /// Runs a statement whose result is small and the gateway's own business.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub(super) async fn fetch_texts(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<Vec<TextRow>, sqlx::Error> {
        let rows = self.fetch_named(statement).await?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(|(_, text)| text).collect()).collect())
    }

    /// As [`Connection::fetch_texts`], with the columns' names.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub(super) async fn fetch_named(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<Vec<NamedRow>, sqlx::Error> {
        either!(self, session => session.fetch_named(statement).await)
    }

    /// Prepares a statement and says which columns it has.
    ///
    /// # Errors
    ///
    /// The driver's: what is wrong with the statement.
    pub(super) async fn describe(&mut self, sql: &str) -> Result<Vec<Described>, sqlx::Error> {
        either!(self, session => session.describe(sql).await)
    }

    /// Which dialect it speaks.
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => Dialect::Mysql,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// How to stop what runs on it, from outside.
    pub(super) fn cancel(&self) -> Cancel {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(session) => Cancel::Mysql(session.kill_order()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(session) => Cancel::Sqlite(session.interrupt()),
        }
    }

    /// Says good-bye and closes; gives up after `limit`.
    pub(super) async fn close(self, limit: Duration) {
        let farewell = async {
            // A connection that cannot be closed well is closed all the same, by dropping it.
            either!(self, session => session.close().await.is_ok())
        };
        if tokio::time::timeout(limit, farewell).await.is_err() {
            tracing::debug!("a connection did not close in time and was dropped");
        }
    }
}

/// How to stop what runs on a connection.
#[derive(Debug)]
pub(super) enum Cancel {
    /// `KILL QUERY` over another connection.
    #[cfg(feature = "mysql")]
    Mysql(mysql::KillOrder),
    /// A flag that SQLite looks at while it works.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Interrupt),
}

impl Cancel {
    /// Stops it. The caller bounds the time.
    ///
    /// # Errors
    ///
    /// The driver's: the statement may still run.
    pub(super) async fn run(self) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(order) => Box::pin(order.run()).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(interrupt) => {
                interrupt.raise();
                Ok(())
            }
        }
    }
}
