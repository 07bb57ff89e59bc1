//! A connection that is made anew when it is lost, not more often than it makes sense.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::StreamError;

/// Longest time to connect, all its round trips together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Makes a connection whose round trips take at most `round_trip`.
pub(super) async fn connect(
    client: &Client,
    round_trip: Duration,
) -> Result<MultiplexedConnection, StreamError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(round_trip));
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let connected = timeout(CONNECT_TIMEOUT, connecting).await;
    Ok(connected
        .unwrap_or_else(|_late| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))?)
}

/// A connection that many use.
#[derive(Debug, Default)]
pub(super) struct Link(Mutex<State>);

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    not_before: Option<Instant>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("is_up", &self.connection.is_some()).finish_non_exhaustive()
    }
}

impl Link {
    /// The connection, made if there is none.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; for a moment after a failure at once.
    pub(super) async fn get(
        &self,
        client: &Client,
        round_trip: Duration,
    ) -> Result<MultiplexedConnection, StreamError> {
        let mut state = self.0.lock().await;
        if let Some(connection) = &state.connection {
            return Ok(connection.clone());
        }
        if state.not_before.is_some_and(|at| at > Instant::now()) {
            return Err(StreamError::Away);
        }
        let connected = connect(client, round_trip).await;
        match &connected {
            Ok(connection) => state.connection = Some(connection.clone()),
            Err(_) => state.not_before = Some(Instant::now() + RETRY_PAUSE),
        }
        connected
    }

    /// It failed: the next one who asks makes another.
    pub(super) async fn forget(&self) {
        self.0.lock().await.connection = None;
    }
}
