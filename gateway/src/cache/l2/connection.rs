//! The one place that makes connections to Redis.
//!
//! Another topology (cluster, sentinel) is another variant of [`Server`]; nothing else would know. A
//! cluster also needs scripts and look-ups cut by slot: see `script.rs` and `entry.rs`.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client};
use tokio::time::timeout;

use super::L2Error;
use crate::config::RedisConfig;

/// Longest time to connect, all its round trips together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where Redis is.
#[derive(Debug)]
pub(super) enum Server {
    /// One node.
    Single(Client),
}

impl Server {
    /// Reads the address; connects to nothing.
    pub(super) fn open(config: &RedisConfig) -> Result<Self, L2Error> {
        // Seen here only to be parsed; errors do not repeat it.
        Ok(Self::Single(Client::open(config.url.expose())?))
    }

    /// A connection whose round trips take at most `round_trip`.
    pub(super) async fn connect(
        &self,
        round_trip: Duration,
    ) -> Result<MultiplexedConnection, L2Error> {
        let Self::Single(client) = self;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(round_trip));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        Ok(timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_late| {
            Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
        })?)
    }

    /// A connection of its own, subscribed to `channel`.
    pub(super) async fn subscribe(
        &self,
        channel: &str,
    ) -> Result<(PubSubSink, PubSubStream), L2Error> {
        let Self::Single(client) = self;
        let connecting = async {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(channel).await?;
            Ok((sink, stream))
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected,
            Err(_late) => Err(L2Error::Timeout(CONNECT_TIMEOUT)),
        }
    }
}
