//! One call: bounded in time, cancelled from any thread, and its errors told as Oracle's.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{CancelToken, Client, NoTls, Statement};

use super::{Answer, Session};
use crate::error::OracleError;
use crate::sqlstate;
use crate::value::Value;

/// How long a cancelled call may take to end before the connection is given up.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

impl Session {
    /// Tells what went wrong as Oracle would, and whether the connection is gone with it.
    pub(super) fn checked<T>(
        &mut self,
        result: Result<T, Trouble>,
        waits: bool,
    ) -> Result<T, OracleError> {
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
pub(super) enum Trouble {
    /// Cancelled at its time's end.
    TimedOut,
    /// Not even the cancelling was answered.
    Silent,
    /// What PostgreSQL, or the way to it, said.
    Postgres(tokio_postgres::Error),
}

/// Runs until done, or cancels at the time's end.
pub(super) fn bounded<T>(
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
pub(super) async fn run_once(
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
    pub(super) const fn new(token: CancelToken) -> Self {
        Self(token)
    }

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

/// Why a connection was not made.
pub(super) fn translate_connect(error: &tokio_postgres::Error) -> OracleError {
    error.as_db_error().map_or_else(
        || OracleError::new(12541, format_args!("TNS:no listener ({error})")),
        |told| sqlstate::translate(told, false),
    )
}
