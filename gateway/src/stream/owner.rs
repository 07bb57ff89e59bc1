//! The ownership of one stream: its lease, its token, and what its owner does with entries.
//!
//! An owner that meets any failure of Redis gives up, and whoever takes the stream over next reads everything
//! that is not settled again; that it may have been applied already, its key's row in the database tells.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamRangeReply, StreamReadReply};
use tokio::time::Instant;

use super::{StreamError, Streams, link, mark_id, names};
use crate::cache::QueuedState;
use crate::journal::{Cause, Draft, Record};
use crate::queue::{self, Signal, Watch};

/// How long one look waits for entries.
const BLOCK: Duration = Duration::from_millis(500);

/// A stream that this instance owns.
#[derive(Debug)]
pub struct Owned {
    streams: Arc<Streams>,
    name: Box<str>,
    /// Instance and token, as the lease holds them.
    lease: String,
    token: i64,
    connection: MultiplexedConnection,
    lost: Signal<bool>,
    is_lost: Watch<bool>,
}

impl Streams {
    /// Takes a stream over, if nobody else owns it.
    ///
    /// # Errors
    ///
    /// [`StreamError`].
    pub async fn take(
        self: &Arc<Self>,
        game: &str,
        index: u32,
    ) -> Result<Option<Arc<Owned>>, StreamError> {
        let name = self.names.stream(game, index);
        let mut shared = self.connection().await?;
        let mut take = self.scripts.take.prepare_invoke();
        take.key(names::owner(&name)).key(names::token(&name));
        take.arg(&*self.instance).arg(millis(self.config.lease));
        let answered = take.invoke_async::<i64>(&mut shared).await;
        let token = self.settle(answered.map_err(StreamError::from)).await?;
        if token == 0 {
            return Ok(None);
        }
        let connection = link::connect(&self.client, self.config.timeout).await?;
        let (lost, is_lost) = queue::signal(false);
        self.stats.owned.add(1);
        Ok(Some(Arc::new(Owned {
            streams: Arc::clone(self),
            lease: format!("{} {token}", self.instance),
            name: name.into(),
            token,
            connection,
            lost,
            is_lost,
        })))
    }

    /// How long an owner may be silent.
    pub const fn lease(&self) -> Duration {
        self.config.lease
    }
}

impl Owned {
    /// The stream's name.
    pub const fn name(&self) -> &str {
        &self.name
    }

    /// The token that this owner's transactions carry.
    pub const fn token(&self) -> i64 {
        self.token
    }

    /// What marks the stream's records in databases.
    pub fn id(&self) -> i64 {
        mark_id(&self.name)
    }

    /// Keeps the lease until it is lost: refused, or not to be renewed in time.
    pub async fn keep_lease(&self) {
        let life = self.streams.config.lease;
        let mut good_until = Instant::now() + life;
        let mut is_lost = self.is_lost.clone();
        loop {
            tokio::select! {
                () = is_lost.until(|lost| *lost) => return,
                () = tokio::time::sleep(life / 3) => {}
            }
            let begun = Instant::now();
            match self.renew().await {
                Ok(true) => good_until = begun + life,
                Ok(false) => return self.lose(),
                // What is left of the lease is for what is under way.
                Err(_) if Instant::now() + life / 3 >= good_until => return self.lose(),
                Err(_) => {}
            }
        }
    }

    async fn renew(&self) -> Result<bool, StreamError> {
        let mut renew = self.streams.scripts.renew.prepare_invoke();
        renew.key(names::owner(&self.name)).arg(&self.lease).arg(millis(self.streams.config.lease));
        Ok(renew.invoke_async::<u8>(&mut self.connection.clone()).await? == 1)
    }

    /// Says that the stream is not this owner's any more.
    pub fn lose(&self) {
        self.lost.set(true);
    }

    /// Becomes true when the stream is not this owner's any more.
    pub fn lost(&self) -> Watch<bool> {
        self.is_lost.clone()
    }

    /// Gives the stream back, so that another instance need not wait for the lease's end.
    pub async fn release(&self) {
        self.lose();
        let mut release = self.streams.scripts.release.prepare_invoke();
        release.key(names::owner(&self.name)).arg(&self.lease);
        // Redis away: the lease ends by itself.
        let _released = release.invoke_async::<()>(&mut self.connection.clone()).await.is_ok();
    }

    /// Reads the stream from its beginning: everything that is not settled, in order.
    ///
    /// # Errors
    ///
    /// [`StreamError`].
    pub async fn incoming(self: &Arc<Self>) -> Result<Incoming, StreamError> {
        // Of its own: it waits for entries, and others would wait behind it.
        let patience = BLOCK + self.streams.config.timeout;
        let connection = link::connect(&self.streams.client, patience).await?;
        Ok(Incoming { owned: Arc::clone(self), connection, behind: 0 })
    }

    /// Reads entries again.
    ///
    /// # Errors
    ///
    /// [`StreamError`].
    pub async fn read(&self, wanted: &[u64]) -> Result<Vec<Record>, StreamError> {
        let mut pipeline = redis::Pipeline::with_capacity(wanted.len());
        for sequence in wanted {
            let id = id_of(*sequence);
            pipeline.cmd("XRANGE").arg(&*self.name).arg(&id).arg(&id);
        }
        let found: Vec<StreamRangeReply> =
            pipeline.query_async(&mut self.connection.clone()).await?;
        found.iter().flat_map(|range| &range.ids).map(|entry| record(&self.name, entry)).collect()
    }

    /// Takes applied records out of the stream: their transaction is committed.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; they are then handed out again, to whoever owns the stream next.
    pub async fn applied(&self, records: &[&Record]) -> Result<(), StreamError> {
        let streams = &self.streams;
        let mut done = streams.scripts.done.prepare_invoke();
        done.key(names::owner(&self.name)).key(&*self.name);
        done.arg(&self.lease).arg(millis(streams.config.key_life));
        for record in records {
            let lane = record.lane.map(|lane| streams.names.lane(lane));
            done.key(streams.names.request(&record.key.request));
            done.arg(record.sequence).arg(u8::from(lane.is_some()));
            done.key(lane.unwrap_or_default());
        }
        let is_own = done.invoke_async::<u8>(&mut self.connection.clone()).await? == 1;
        self.owned_or(is_own)
    }

    /// Moves a record to the stream's dead letters.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; it then still waits.
    pub async fn bury(&self, record: &Record, cause: &Cause) -> Result<(), StreamError> {
        let streams = &self.streams;
        let Cause { code, message, detail, since_micros } = cause;
        let (code, since_micros) = (*code, *since_micros);
        let dead = QueuedState::Dead { since_micros, code, message: message.clone() };
        let lane = record.lane.map(|lane| streams.names.lane(lane));
        let mut bury = streams.scripts.bury.prepare_invoke();
        bury.key(names::owner(&self.name)).key(&*self.name).key(names::dead(&self.name));
        bury.key(streams.names.request(&record.key.request));
        bury.arg(&self.lease).arg(record.sequence).arg(u8::from(lane.is_some()));
        bury.key(lane.unwrap_or_default());
        bury.arg(record.draft().encode()).arg(code).arg(&**message).arg(since_micros);
        bury.arg(dead.encode()).arg(&**detail);
        let is_own = bury.invoke_async::<u8>(&mut self.connection.clone()).await? == 1;
        streams.stats.dead.add(u64::from(is_own));
        self.owned_or(is_own)
    }

    fn owned_or(&self, is_own: bool) -> Result<(), StreamError> {
        if is_own {
            return Ok(());
        }
        self.lose();
        Err(StreamError::NotOwner { stream: self.name.clone() })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.streams.stats.owned.add(-1);
    }
}

/// What a stream holds, in the order of its numbers.
#[derive(Debug)]
pub struct Incoming {
    owned: Arc<Owned>,
    connection: MultiplexedConnection,
    /// The last number that was read.
    behind: u64,
}

impl Incoming {
    /// The next records; none when there were none for a while.
    ///
    /// A plain read, not a consumer group's: of two that read, because one does not know yet that it was
    /// replaced, neither takes anything away from the other.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; this is of no use then.
    pub async fn next(&mut self, count_max: usize) -> Result<Vec<Record>, StreamError> {
        let name = &*self.owned.name;
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(count_max).arg("BLOCK").arg(millis(BLOCK));
        read.arg("STREAMS").arg(name).arg(id_of(self.behind));
        let found: Option<StreamReadReply> = read.query_async(&mut self.connection).await?;
        let entries = found.iter().flat_map(|found| &found.keys).flat_map(|key| &key.ids);
        let records: Vec<Record> =
            entries.map(|entry| record(name, entry)).collect::<Result<_, _>>()?;
        self.behind = records.last().map_or(self.behind, |record| record.sequence);
        Ok(records)
    }
}

/// An entry as the record that it holds.
pub(super) fn record(stream: &str, entry: &StreamId) -> Result<Record, StreamError> {
    let read = || {
        let sequence = entry.id.strip_suffix("-0")?.parse().ok()?;
        let Draft { key, lane, payload } = Draft::decode(&entry.get::<Vec<u8>>("d")?)?;
        Some(Record { sequence, key, lane, payload })
    };
    read().ok_or_else(|| StreamError::Foreign { stream: stream.into(), id: (&*entry.id).into() })
}

fn id_of(sequence: u64) -> String {
    format!("{sequence}-0")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
