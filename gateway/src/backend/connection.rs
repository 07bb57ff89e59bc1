//! One connection to one database, whichever driver, and what may be asked of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::BackendError;
use super::fault::Failure;
#[cfg(feature = "mysql")]
use super::mysql;
#[cfg(feature = "oracle")]
use super::oracle;
pub(super) use super::sink::Sink;
#[cfg(feature = "sqlite")]
use super::sqlite;
use crate::catalog::{Isolation, Scalar, Template};
use crate::config::{ConnectionConfig, Dialect};

#[cfg(not(any(feature = "mysql", feature = "oracle", feature = "sqlite")))]
compile_error!("the gateway needs a database: enable the features `mysql`, `oracle`, `sqlite`");

/// SQL and its binds, ready for a driver.
///
/// Invariant: `sql` is a template's text; nothing of a request is in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement<'a> {
    /// With one `?` for each bind; a template's for Oracle with `:b1`, `:b2`, ….
    pub sql: Arc<str>,
    /// In their order; no lists.
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
    expect(dead_code, reason = "SQLite and Oracle have some of these forms only")
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
    /// The database does not know: an expression of SQLite; Oracle's `DATE`, a day or a moment by its hour.
    Unknown,
}

/// For whom statements are run. Oracle shows it to DBAs and ends by itself what takes too long.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "oracle"), expect(dead_code, reason = "only Oracle is told"))]
pub(super) struct Purpose<'p> {
    /// Until when somebody waits for them.
    pub limit: Instant,
    /// The game.
    pub game: &'p str,
    /// Its operation.
    pub op: &'p str,
    /// The request's id; empty where there is none.
    pub request: &'p str,
}

impl<'p> Purpose<'p> {
    /// To run a template.
    pub(super) fn of(template: &'p Template, request: &'p str, limit: Instant) -> Self {
        Self { limit, game: template.game.as_str(), op: template.op.as_str(), request }
    }
}

/// What became of each of several rows: how many it touched, or why it was refused.
pub(super) type RowOutcomes = Vec<Result<u64, BackendError>>;

/// A row of a small result that the gateway itself reads: texts, NULL as `None`.
pub(super) type TextRow = Vec<Option<String>>;
/// The same with the columns' names.
pub(super) type NamedRow = Vec<(String, Option<String>)>;

/// What is left of a connection after a COMMIT that took effect.
#[derive(Debug)]
pub(super) enum Committed {
    /// It is well.
    Well,
    /// It was lost behind the COMMIT.
    #[cfg(feature = "mysql")]
    Lost(sqlx::Error),
}

/// A connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// To MySQL or MariaDB.
    #[cfg(feature = "mysql")]
    Mysql(Box<mysql::Session>),
    /// To an Oracle.
    #[cfg(feature = "oracle")]
    Oracle(Box<oracle::Session>),
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
            #[cfg(feature = "oracle")]
            // Beside a thread's turn an allocation is nothing, and the others' futures stay small.
            Connection::Oracle($session) => Box::pin(async { $call }).await,
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
            #[cfg(feature = "oracle")]
            Dialect::Oracle => {
                Ok(Self::Oracle(Box::new(Box::pin(oracle::Session::open(config)).await?)))
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                Ok(Self::Sqlite(Box::new(Box::pin(sqlite::Session::open(config)).await?)))
            }
            #[cfg(not(all(feature = "mysql", feature = "oracle", feature = "sqlite")))]
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

    /// Runs a statement for each of several rows, in one round trip. A row that is refused takes no other along.
    /// Only Oracle has that.
    ///
    /// - `statement`: with the binds of all rows, one row after the other.
    /// - `runs`: how many rows.
    ///
    /// # Errors
    ///
    /// [`Failure`] of them all: the connection, a lock, the statement itself.
    pub(super) async fn execute_array(
        &mut self,
        statement: &Statement<'_>,
        runs: usize,
    ) -> Result<RowOutcomes, Failure> {
        #[cfg(feature = "oracle")]
        if let Self::Oracle(session) = self {
            return Box::pin(session.execute_array(statement, runs)).await;
        }
        let count = statement.binds.len();
        let fault = format!("{} has no arrays of {runs} rows, {count} binds", self.dialect());
        Err(Failure::Refused(BackendError::Query { source: sqlx::Error::InvalidArgument(fault) }))
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

    /// Begins a transaction that may write. One round trip at most.
    ///
    /// - `isolation`: `None`: the session's own. SQLite has one only, the strictest.
    ///
    /// # Errors
    ///
    /// The driver's; there is no transaction then.
    pub(super) async fn begin(&mut self, isolation: Option<Isolation>) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(session) => session.begin(isolation).await,
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => Box::pin(session.begin(isolation)).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(session) => session.begin(isolation).await,
        }
    }

    /// Commits.
    ///
    /// # Errors
    ///
    /// The driver's; whether the transaction is open still, or was committed, is unknown then.
    pub(super) async fn commit(&mut self) -> Result<Committed, sqlx::Error> {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(session) => session.commit().await,
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => Box::pin(session.commit()).await.map(|()| Committed::Well),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(session) => session.commit().await,
        }
    }

    /// Rolls back.
    ///
    /// # Errors
    ///
    /// The driver's; that there was nothing to roll back, too.
    pub(super) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(session) => session.rollback().await,
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => Box::pin(session.rollback()).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(session) => session.rollback().await,
        }
    }

    /// Says for whom the next statements are; `None`: for the gateway itself.
    pub(super) fn serve(&mut self, purpose: Option<&Purpose<'_>>) {
        match self {
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => session.serve(purpose),
            // The others show nobody and wait as long as they are let.
            _ => {
                let _ = purpose;
            }
        }
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
            #[cfg(feature = "oracle")]
            Self::Oracle(_) => Dialect::Oracle,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// How to stop what runs on it, from outside.
    pub(super) fn cancel(&self) -> Cancel {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(session) => Cancel::Mysql(session.kill_order()),
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => Cancel::Oracle(session.break_order()),
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
    /// A word to Oracle's client library, which passes it on.
    #[cfg(feature = "oracle")]
    Oracle(oracle::BreakOrder),
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
            #[cfg(feature = "oracle")]
            Self::Oracle(order) => order.run().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(interrupt) => {
                interrupt.raise();
                Ok(())
            }
        }
    }
}
