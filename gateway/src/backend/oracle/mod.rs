//! Oracle: a session, its binds and its rows.
//!
//! The driver blocks, so each connection has a thread of its own ([`worker`]), which this side sends orders to,
//! one at a time, and awaits. The session is the gateway's own, whatever the server's and the client's settings
//! are: its zone, its formats of numbers and dates, binary comparison.
//!
//! Oracle begins a transaction with the first change and knows no other mode; so a statement that stands alone is
//! committed by the thread, right behind it, and one of a transaction is not.

mod bind;
mod describe;
mod fault;
mod label;
mod mailbox;
mod procedure;
mod text;
mod threads;
mod value;
mod worker;

use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::BackendError;
use super::connection::{Described, NamedRow, Purpose, RowOutcomes, Sink, Statement};
use super::fault::Failure;
use crate::catalog::{Isolation, Scalar, format_timestamp};
use crate::config::{ConnectionConfig, Endpoint, Zone};
pub(super) use fault::{Number, OracleFault};
use label::Label;
use text::numbered;
pub use threads::break_off;
use value::{Row, Value};
use worker::{Answer, Login, Order, Page, Sql, Task};

/// How much longer a call may take than whoever asked waits: their time is over first, and they break it off.
const GRACE: Duration = Duration::from_millis(250);
/// Longest time of a call that only looks whether the database is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Rows that the gateway's own small results may have.
const OWN_ROWS_MAX: u32 = 99;
/// A call took longer than its time limit.
const DPI_CALL_TIMEOUT: i32 = 1067;

/// A connection to an Oracle.
#[derive(Debug)]
pub(super) struct Session {
    orders: mailbox::Sender<Order>,
    /// Only to break off what runs on it: it is the thread's.
    driver: Weak<oracle::Connection>,
    zone: Zone,
    query_timeout: Duration,
    /// Until when whoever is served now waits.
    limit: Option<Instant>,
    /// Who that is, until the thread knows.
    label: Option<Label>,
    in_transaction: bool,
}

impl Session {
    /// Connects and sets the session up.
    pub(super) async fn open(config: &ConnectionConfig) -> Result<Self, sqlx::Error> {
        let Endpoint::Oracle { connect, username, password, time_zone } = &config.endpoint else {
            return Err(sqlx::Error::Configuration("Oracle needs a host, not a path".into()));
        };
        let login = Login {
            connect: connect.clone(),
            username: username.clone(),
            password: password.clone(),
            zone: time_zone.clone(),
            statement_count_max: config.statement_count_max,
            connect_timeout: config.connect_timeout,
        };
        let (orders, opening) = worker::start(&config.name, login)?;
        let driver = opening.await.map_err(|_gone| gone())?.map_err(OracleFault::of_connect)?;
        Ok(Self {
            orders,
            driver,
            zone: time_zone.clone(),
            query_timeout: config.query_timeout,
            limit: None,
            label: None,
            in_transaction: false,
        })
    }

    /// Says for whom the next statements are; `None`: for the gateway itself.
    pub(super) fn serve(&mut self, purpose: Option<&Purpose<'_>>) {
        self.limit = purpose.map(|purpose| purpose.limit);
        self.label = purpose.map(Label::of);
    }

    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.limit = Some(Instant::now() + PING_TIMEOUT);
        let answered = self.ask(Task::Ping).await;
        self.limit = None;
        answered
    }

    pub(super) async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Failure> {
        let (sql, alone) = (sql(statement), !self.in_transaction);
        Ok(self.ask(|answer| Task::Execute { sql, alone, answer }).await?)
    }

    /// Runs a statement for each of `runs` rows. Each has an outcome of its own.
    pub(super) async fn execute_array(
        &mut self,
        statement: &Statement<'_>,
        runs: usize,
    ) -> Result<RowOutcomes, Failure> {
        let sql = sql(statement);
        let outcomes = self.ask(|answer| Task::ExecuteArray { sql, runs, answer }).await?;
        let told = |outcome: Result<u64, OracleFault>| match outcome {
            Ok(count) => Ok(Ok(count)),
            Err(fault) => match Failure::from(sqlx::Error::from(fault)) {
                // The transaction is over, or about to be: no row's own affair.
                Failure::Refused(error) if !matches!(error, BackendError::Locked { .. }) => {
                    Ok(Err(error))
                }
                failure => Err(failure),
            },
        };
        outcomes.into_iter().map(told).collect()
    }

    pub(super) async fn fetch(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        let (rows_max, sql) = (rows.row_count_max(), sql(statement));
        let alone = !self.in_transaction;
        let asked = self.ask(|answer| Task::Fetch { sql, alone, rows_max, answer }).await;
        let page = asked.map_err(late_or)?;
        let names = page.names.iter().map(|name| &**name);
        let places = rows.positions(&names).map_err(Failure::Refused)?;
        let mut take = |group: Vec<Row>| {
            group.iter().try_for_each(|Row(row)| {
                rows.push(|column| {
                    let place = *places.get(column).ok_or("no place for the column")?;
                    row.get(place).ok_or("no such column")?.cell(&self.zone)
                })
            })
        };
        // One that is refused ends it, here and on the thread, and the connection is well.
        take(page.rows).map_err(Failure::Refused)?;
        let Some(mut rest) = page.rest else { return Ok(()) };
        while let Some(group) = rest.recv().await {
            take(group.map_err(|fault| late_or(fault.into()))?).map_err(Failure::Refused)?;
        }
        Ok(())
    }

    pub(super) async fn run_text(&mut self, text: &str) -> Result<(), sqlx::Error> {
        let (text, alone) = (text.into(), !self.in_transaction);
        self.ask(|answer| Task::Run { text, alone, answer }).await
    }

    /// Begins a transaction. Oracle has two levels: what is more than `READ COMMITTED` is `SERIALIZABLE`.
    pub(super) async fn begin(&mut self, isolation: Option<Isolation>) -> Result<(), sqlx::Error> {
        self.in_transaction = true;
        match isolation {
            // Every transaction is that, and begins by itself.
            None | Some(Isolation::ReadCommitted) => Ok(()),
            Some(Isolation::RepeatableRead | Isolation::Serializable) => {
                self.run_text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").await
            }
        }
    }

    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.ask(Task::Commit).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        self.ask(Task::Rollback).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(super) async fn fetch_named(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<Vec<NamedRow>, sqlx::Error> {
        let (sql, alone) = (sql(statement), !self.in_transaction);
        let rows_max = OWN_ROWS_MAX;
        let Page { names, mut rows, rest } =
            self.ask(|answer| Task::Fetch { sql, alone, rows_max, answer }).await?;
        if let Some(mut rest) = rest {
            while let Some(group) = rest.recv().await {
                rows.extend(group?);
            }
        }
        let named = |Row(row): Row| {
            let texts = row.into_iter().map(|value| shown(value, &self.zone));
            names.iter().map(ToString::to_string).zip(texts).collect()
        };
        Ok(rows.into_iter().map(named).collect())
    }

    pub(super) async fn describe(&mut self, sql: &str) -> Result<Vec<Described>, sqlx::Error> {
        let text = sql.into();
        self.ask(|answer| Task::Describe { text, answer }).await
    }

    pub(super) fn break_order(&self) -> BreakOrder {
        BreakOrder { driver: Weak::clone(&self.driver) }
    }

    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        self.ask(Task::Close).await
    }

    /// Has the thread do something and waits for its answer. Dropped meanwhile, the thread is still at it.
    async fn ask<T>(&mut self, task: impl FnOnce(Answer<T>) -> Task) -> Result<T, sqlx::Error> {
        let (answer, answered) = oneshot::channel();
        let label = self.label.take();
        let order = Order { label, patience: self.patience(), task: task(answer) };
        self.orders.send(order).map_err(|_busy_or_gone| gone())?;
        Ok(answered.await.map_err(|_gone| gone())??)
    }

    /// How long a call may take.
    fn patience(&self) -> Duration {
        let left = self.limit.map(|limit| limit.saturating_duration_since(Instant::now()));
        left.unwrap_or(self.query_timeout) + GRACE
    }
}

/// An order to stop what runs on a connection.
#[derive(Debug)]
pub(super) struct BreakOrder {
    driver: Weak<oracle::Connection>,
}

impl BreakOrder {
    /// Breaks it off; what was under way fails with ORA-01013. The call itself may block, so it has a thread.
    pub(super) async fn run(self) -> Result<(), sqlx::Error> {
        let broken = tokio::task::spawn_blocking(move || match self.driver.upgrade() {
            Some(driver) => driver.break_execution().map_err(OracleFault::from),
            // Its thread is at its end, and the connection with it.
            None => Ok(()),
        });
        Ok(broken.await.map_err(|_panicked| gone())??)
    }
}

/// A statement as the thread takes it.
fn sql(statement: &Statement<'_>) -> Sql {
    let binds = statement.binds.iter().cloned().map(Scalar::into_owned).collect();
    Sql { text: numbered(&statement.sql), binds }
}

/// The thread is at its end.
const fn gone() -> sqlx::Error {
    sqlx::Error::WorkerCrashed
}

/// A read that took too long has changed nothing, whatever became of its connection.
fn late_or(error: sqlx::Error) -> Failure {
    let fault = error.as_database_error().and_then(|error| error.try_downcast_ref::<OracleFault>());
    match fault.map(OracleFault::number) {
        Some(Number::Dpi(DPI_CALL_TIMEOUT)) => Failure::Unread(BackendError::TimedOut),
        _ => error.into(),
    }
}

/// A value of a small result as text.
fn shown(value: Value, zone: &Zone) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::Decimal(text) | Value::Text(text) | Value::Strange(text) => Some(text.into()),
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Date(local) | Value::Local(local) => {
            zone.moment(local).map(|micros| format_timestamp(micros, 6).as_str().to_owned())
        }
        Value::Moment(micros) => Some(format_timestamp(micros, 6).as_str().to_owned()),
    }
}
