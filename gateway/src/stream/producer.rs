//! Takes what has arrived, sends it in one pipeline, and answers when Redis has answered.
//!
//! Redis syncs its file once for everything that came with one pipeline, before it answers any of it: the group
//! commit of the journal's thread, done by the other side.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, RedisResult, Value};
use tokio::time::Instant;

use super::{Append, StreamError, Streams, index_of, link, names};
use crate::cache::QueuedState;
use crate::journal::{Accepted, JournalError};
use crate::observe::{Event, emit};
use crate::queue::Receiver;

/// Most orders of one pipeline.
const GROUP_MAX: usize = 512;
/// Between two attempts to connect; orders that come meanwhile are refused at once.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// What Redis has to be set to, so that an acknowledgement is worth something.
const DURABLE: [(&str, &str); 3] =
    [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")];

/// Sends orders to Redis. One task.
#[derive(Debug)]
pub struct Producer {
    streams: Arc<Streams>,
    appends: Receiver<Append>,
    connected: Option<Connected>,
    retry_at: Option<Instant>,
    /// What was said of the server's settings; said again when it changes.
    told: Vec<String>,
}

struct Connected {
    connection: MultiplexedConnection,
    /// How many streams each game has.
    counts: HashMap<Box<str>, u32>,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Producer {
    pub(super) const fn new(streams: Arc<Streams>, appends: Receiver<Append>) -> Self {
        Self { streams, appends, connected: None, retry_at: None, told: Vec::new() }
    }

    /// Runs until the streams are stopped and what was taken in is answered.
    pub async fn run(mut self) {
        // A server that does not keep its word is told of before the first order.
        self.connect().await;
        while let Some(first) = self.appends.take().await {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Some(next) = self.appends.try_take()
            {
                group.push(next);
            }
            self.append(group).await;
        }
    }

    async fn connect(&mut self) {
        if self.connected.is_some() || self.retry_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        match self.try_connect().await {
            Ok(connection) => {
                self.connected = Some(Connected { connection, counts: HashMap::new() });
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn try_connect(&mut self) -> Result<MultiplexedConnection, StreamError> {
        let mut connection =
            link::connect(&self.streams.client, self.streams.config.timeout).await?;
        self.streams.scripts.append.load_async(&mut connection).await?;
        let faults = durability(&mut connection).await;
        if faults != self.told {
            for fault in &faults {
                emit(&Event::ConfigWarning { text: fault });
            }
            self.told = faults;
        }
        Ok(connection)
    }

    fn failed(&mut self, error: &StreamError) {
        if self.retry_at.is_none() || self.connected.is_some() {
            emit(&Event::JournalFailed { what: "the queue", error });
        }
        self.connected = None;
        self.retry_at = Some(Instant::now() + RETRY_PAUSE);
    }

    /// Sends a group and answers it.
    async fn append(&mut self, group: Vec<Append>) {
        self.connect().await;
        let streams = Arc::clone(&self.streams);
        let (pipeline, mut connection) = match self.pipeline(&group).await {
            Ok(ready) => ready,
            Err(error) => {
                // Nothing was sent.
                if let Some(error) = error {
                    self.failed(&error);
                }
                for append in group {
                    streams.answer(append.reply, Err(JournalError::Away));
                }
                return;
            }
        };
        let sent = pipeline.query_async::<Vec<RedisResult<Value>>>(&mut connection).await;
        let mut results = match sent {
            Ok(results) => results,
            Err(error) => {
                let cause = Arc::new(io::Error::other(error.to_string()));
                self.failed(&error.into());
                for append in group {
                    let error = JournalError::SyncFailed(Arc::clone(&cause));
                    streams.answer(append.reply, Err(error));
                }
                return;
            }
        };
        self.retry_at = None;
        let is_replicated = streams.config.replica_count == 0
            || results.pop().is_some_and(|answer| {
                let count = answer.and_then(|value| Ok(u32::from_redis_value(value)?));
                count.is_ok_and(|count| count >= streams.config.replica_count)
            });
        for (append, result) in group.into_iter().zip(results) {
            let answer = match result.and_then(|value| Ok(<(u8, u64)>::from_redis_value(value)?)) {
                Ok(answer) => judged(answer, is_replicated),
                Err(error) => {
                    let answer = refused(&error);
                    if !matches!(answer, JournalError::DiskFull(_)) {
                        self.failed(&error.into());
                    }
                    Err(answer)
                }
            };
            streams.answer(append.reply, answer);
        }
    }

    /// Puts a group together. `None` as an error: there is no connection, which was told.
    async fn pipeline(
        &mut self,
        group: &[Append],
    ) -> Result<(redis::Pipeline, MultiplexedConnection), Option<StreamError>> {
        let streams = &self.streams;
        let Some(Connected { connection, counts }) = &mut self.connected else { return Err(None) };
        let mut pipeline = redis::Pipeline::with_capacity(group.len() + 1);
        pipeline.ignore_errors();
        for Append { draft, .. } in group {
            let game = &draft.payload.game;
            let count = match counts.entry(game.clone()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => {
                    let count = streams.count_on(connection, game).await?;
                    if count != streams.config.stream_count {
                        let text = format!(
                            "queue.streams: {game} has {count} streams since its first order, and keeps them"
                        );
                        emit(&Event::ConfigWarning { text: &text });
                    }
                    *place.insert(count)
                }
            };
            let stream = streams.names.stream(game, index_of(draft, count));
            let state = QueuedState::Journalled { since_micros: draft.payload.now_micros };
            let command = pipeline.cmd("EVALSHA").arg(streams.scripts.append.get_hash());
            command.arg(if draft.lane.is_some() { 5 } else { 4 });
            command.arg(streams.names.request(&draft.key.request));
            command.arg(&stream).arg(names::counter(&stream)).arg(names::dead(&stream));
            if let Some(lane) = draft.lane {
                command.arg(streams.names.lane(lane));
            }
            command.arg(&draft.key.params[..]).arg(draft.encode());
            command.arg(streams.config.records_max).arg(state.encode());
        }
        if streams.config.replica_count > 0 {
            let patience = streams.config.timeout.as_millis() / 2;
            pipeline.cmd("WAIT").arg(streams.config.replica_count);
            pipeline.arg(u64::try_from(patience).unwrap_or(1).max(1));
        }
        Ok((pipeline, connection.clone()))
    }
}

/// What the script says of an order.
fn judged((code, sequence): (u8, u64), is_replicated: bool) -> Result<Accepted, JournalError> {
    match code {
        0 | 1 if !is_replicated => {
            let cause = io::Error::other("fewer replicas than `queue.replicas` have it");
            Err(JournalError::SyncFailed(Arc::new(cause)))
        }
        0 | 1 => Ok(Accepted { sequence, repeated: code == 1 }),
        2 => Err(JournalError::KeyReused { sequence }),
        _ => Err(JournalError::BacklogFull { bound: "queue.records_max" }),
    }
}

/// Redis did not run the script: nothing was kept.
fn refused(error: &RedisError) -> JournalError {
    match error.code() {
        Some("OOM" | "MISCONF") => {
            JournalError::DiskFull(Arc::new(io::Error::other(error.to_string())))
        }
        _ => JournalError::Away,
    }
}

/// What of the server's settings makes an acknowledgement worth less, in words.
async fn durability(connection: &mut MultiplexedConnection) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, wanted) in DURABLE {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        let found = get.query_async::<Vec<String>>(connection).await;
        match found.ok().and_then(|found| found.into_iter().nth(1)) {
            Some(value) if value == wanted => {}
            Some(value) => faults.push(format!(
                "queue.url: redis has `{name} {value}` and not `{wanted}`: ACKNOWLEDGED ORDERS CAN BE LOST"
            )),
            None => faults.push(format!(
                "queue.url: redis does not tell its `{name}`; without `{wanted}` acknowledged orders can be lost"
            )),
        }
    }
    faults
}
