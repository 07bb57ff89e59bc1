//! Orders that leave through Redis streams, for instances whose disk is not trusted to survive.
//!
//! ```text
//! frontend ──offer──▶ queue ──▶ Producer: one pipeline, answered when Redis answered ──▶ acknowledged
//!                                   │ N streams a game, by lane
//!                    backend/apply ◀┘ Owned: one owner a stream ──▶ transaction with its token ──▶ settled
//! ```
//! What an acknowledgement promises is what Redis promises: with `appendonly yes` and `appendfsync always` the
//! order is on its disk. `docs/stream.md` says what a failover can still lose.
//!
//! A stream has one owner at a time: a lease in Redis says who, and a token that grows with each taking over
//! stands in the game's database, where the transaction of an owner that was replaced is refused.
//!
//! Invariant: nothing is acknowledged before Redis answered; an entry leaves its stream only after the
//! transaction that applied it was committed, or as a dead letter.

mod error;
mod letters;
mod link;
mod names;
mod owner;
mod producer;
mod script;
mod stats;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::Client;
use redis::aio::MultiplexedConnection;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

pub use error::StreamError;
pub use letters::{StreamBacklog, StreamLetter, Tried};
pub use owner::{Incoming, Owned};
pub use producer::Producer;

use crate::cache::QueuedState;
use crate::config::QueueConfig;
use crate::identity::Lane;
use crate::journal::{AcceptReply, Draft, JournalError};
use crate::observe::Metrics;
use crate::queue::{self, Refused, Sender};
use link::Link;
use names::Names;
use script::Scripts;
use stats::Stats;

/// Between two looks at a lane that is waited for, first and longest.
const LANE_PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// The streams of all games, as one instance sees them. Shared.
pub struct Streams {
    client: Client,
    names: Names,
    scripts: Scripts,
    config: QueueConfig,
    /// This instance, as an owner and a consumer: random.
    instance: Box<str>,
    /// `None` once nothing more is taken in.
    appends: ArcSwapOption<Sender<Append>>,
    /// For look-ups, and for who becomes an owner.
    link: Link,
    stats: Stats,
}

/// An order on its way.
#[derive(Debug)]
pub(in crate::stream) struct Append {
    draft: Box<Draft>,
    reply: AcceptReply,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// It waits, or is dead.
    Queued(QueuedState),
    /// It was applied, lately.
    Applied,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the server's address nor a connection: both may show a password.
        f.debug_struct("Streams").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Streams {
    /// Takes the configuration; connects to nothing. The producer is to be run.
    ///
    /// # Errors
    ///
    /// [`StreamError`] when `queue.url` is no address, or there are no random numbers.
    pub fn new(config: &QueueConfig) -> Result<(Arc<Self>, Producer), StreamError> {
        let (sender, receiver) = queue::bounded(config.queue_max as usize);
        let instance = getrandom::u64().map_err(StreamError::Random)?;
        let streams = Arc::new(Self {
            // Seen here only to be parsed; errors do not repeat it.
            client: Client::open(config.url.expose())?,
            names: Names { namespace: config.namespace.clone() },
            scripts: Scripts::new(),
            config: config.clone(),
            instance: format!("{instance:016x}").into(),
            appends: ArcSwapOption::from_pointee(sender),
            link: Link::default(),
            stats: Stats::default(),
        });
        let producer = Producer::new(Arc::clone(&streams), receiver);
        Ok((streams, producer))
    }

    /// Asks to keep an order; the answer comes when Redis has it, or refused. Never waits.
    pub fn offer(&self, draft: Draft, reply: AcceptReply) {
        let append = Append { draft: Box::new(draft), reply };
        let refused = match &*self.appends.load() {
            None => Some((append, JournalError::Ended)),
            Some(appends) => {
                appends.offer(append).err().map(|Refused(it)| (it, JournalError::QueueFull))
            }
        };
        if let Some((append, error)) = refused {
            self.answer(append.reply, Err(error));
        }
    }

    /// Takes nothing more in. The producer ends when what was taken is answered.
    pub fn stop(&self) {
        self.appends.store(None);
    }

    /// What is known of a request: it waits, was applied lately, or is dead. `None`: nothing, or Redis is away.
    pub async fn state_of(&self, request: &[u8; 16]) -> Option<StreamState> {
        let mut get = redis::cmd("HGET");
        get.arg(self.names.request(request)).arg("s");
        let text = self.ask::<Option<String>>(&get).await.ok()??;
        if text == "a" {
            return Some(StreamState::Applied);
        }
        QueuedState::decode(&text).map(StreamState::Queued)
    }

    /// Returns when every order of the lane that is acknowledged now is applied or dead, on whichever instance.
    ///
    /// Asks again and again; while Redis is away, too: nobody else knows. Whoever calls puts a deadline around it.
    pub async fn lane_settled(&self, lane: Lane) {
        let mut get = redis::cmd("HMGET");
        get.arg(self.names.lane(lane)).arg("last").arg("done");
        let (mut pause, longest) = LANE_PAUSE;
        let mut until = None;
        loop {
            // A lane is gone from Redis when nothing of it waits.
            if let Ok(found) = self.ask::<(Option<u64>, Option<u64>)>(&get).await {
                let (Some(last), done) = found else { return };
                if done.unwrap_or(0) >= *until.get_or_insert(last) {
                    return;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// When the oldest order of a game that waits was asked for, in Unix microseconds; `None`: none waits.
    ///
    /// # Errors
    ///
    /// [`StreamError`].
    pub async fn oldest_micros(&self, game: &str) -> Result<Option<i64>, StreamError> {
        let mut oldest = None;
        for index in 0..self.count(game).await? {
            let name = self.names.stream(game, index);
            let mut range = redis::cmd("XRANGE");
            range.arg(&name).arg("-").arg("+").arg("COUNT").arg(1);
            let found: redis::streams::StreamRangeReply = self.ask(&range).await?;
            for entry in &found.ids {
                let asked = owner::record(&name, entry)?.payload.now_micros;
                oldest = Some(oldest.map_or(asked, |other: i64| other.min(asked)));
            }
        }
        Ok(oldest)
    }

    /// What marks a game's orders in its database.
    ///
    /// # Errors
    ///
    /// [`StreamError`].
    pub async fn ids(&self, game: &str) -> Result<Vec<i64>, StreamError> {
        let count = self.count(game).await?;
        Ok((0..count).map(|index| mark_id(&self.names.stream(game, index))).collect())
    }

    /// How many streams a game has: what was configured when its first order came.
    ///
    /// # Errors
    ///
    /// [`StreamError`].
    pub async fn count(&self, game: &str) -> Result<u32, StreamError> {
        let mut connection = self.connection().await?;
        let counted = self.count_on(&mut connection, game).await;
        self.settle(counted).await
    }

    async fn count_on(
        &self,
        connection: &mut MultiplexedConnection,
        game: &str,
    ) -> Result<u32, StreamError> {
        let name = self.names.count(game);
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(&name).arg(self.config.stream_count).arg("NX").ignore();
        pipeline.cmd("GET").arg(&name);
        let (count,): (u32,) = pipeline.query_async(connection).await?;
        Ok(count.max(1))
    }

    /// Registers the figures.
    pub fn register_metrics(self: &Arc<Self>, metrics: &Metrics) {
        stats::register(self, metrics);
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StreamError> {
        self.link.get(&self.client, self.config.timeout).await
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StreamError> {
        let mut connection = self.connection().await?;
        let answered = command.query_async(&mut connection).await;
        self.settle(answered.map_err(StreamError::from)).await
    }

    /// After a failure the next one connects anew.
    async fn settle<T>(&self, outcome: Result<T, StreamError>) -> Result<T, StreamError> {
        if outcome.is_err() {
            self.link.forget().await;
        }
        outcome
    }

    fn answer(&self, reply: AcceptReply, answer: Result<crate::journal::Accepted, JournalError>) {
        self.stats.outcomes.answered(match &answer {
            Ok(accepted) => Ok(accepted.repeated),
            Err(error) => Err(error.code()),
        });
        // Nobody may wait any more: the order is kept all the same.
        let _heard = reply.send(answer).is_ok();
    }
}

/// Which of `count` streams an order goes to: one and the same for a lane.
fn index_of(draft: &Draft, count: u32) -> u32 {
    let own = draft.key.request.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let hash = draft.lane.map_or(own, |Lane(lane)| lane);
    u32::try_from(hash % u64::from(count.max(1))).unwrap_or(0)
}

/// The number under which a stream's orders are marked in databases: what a journal's id is to its records.
fn mark_id(stream: &str) -> i64 {
    let hash = Sha256::digest(stream.as_bytes());
    hash.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes))
}
