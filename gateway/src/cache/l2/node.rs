//! This instance's number in the ids that it gives out, leased in Redis: no two living instances have the same.

use std::time::Duration;

use redis::Script;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

use super::connection::Server;
use super::{L2Error, Names};
use crate::cache::l1::millis;
use crate::config::RedisConfig;
use crate::observe::Event;
use crate::queue::Watch;

/// How long a number is kept for an instance that says nothing.
const LIFE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 2500 });
/// How much later a lease ends that was renewed, at least; an answer may be late by as much.
const RENEWED: Duration = Duration::from_millis(if cfg!(test) { 250 } else { 1250 });
/// Between two looks at a number that another instance has.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Keys: the number. Arguments: who, for how long. Returns who has it, and for how many milliseconds yet.
const TAKE: &str = r"
local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    holder = ARGV[1]
end
return {holder, math.max(0, redis.call('PTTL', KEYS[1]))}
";

/// Keys: the number. Arguments: who.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// Why a number is not this instance's.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Another instance has it, and lives.
    #[error(
        "number {node} is the gateway's at {holder}, which is running: each needs one of its own"
    )]
    Taken {
        /// The number.
        node: u16,
        /// Host and admin port of the other one.
        holder: Box<str>,
    },
    /// Redis does not tell.
    #[error("redis does not tell who has number {node}")]
    Untold {
        /// The number.
        node: u16,
        /// Why.
        #[source]
        source: L2Error,
    },
}

/// The lease of a number.
#[derive(Debug)]
pub struct NodeLease {
    server: Server,
    timeout: Duration,
    name: String,
    node: u16,
    who: Box<str>,
}

impl NodeLease {
    /// Takes the configuration; connects to nothing.
    ///
    /// - `who`: this instance, the same after a restart and another one than all others.
    ///
    /// # Errors
    ///
    /// [`L2Error`] when the address is none.
    pub fn new(config: &RedisConfig, node: u16, who: &str) -> Result<Self, L2Error> {
        let names = Names { namespace: config.namespace.clone() };
        Ok(Self {
            server: Server::open(config)?,
            timeout: config.timeout,
            name: names.node(node),
            node,
            who: who.into(),
        })
    }

    /// Takes the number. One whose holder is silent is waited for, and is this instance's when its lease has ended;
    /// one whose holder renews it meanwhile is not.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub async fn take(&self) -> Result<(), NodeError> {
        let untold = |source| NodeError::Untold { node: self.node, source };
        let mut connection = self.server.connect(self.timeout).await.map_err(untold)?;
        let mut ends_before = None;
        loop {
            let asked = Instant::now();
            let (holder, left) = self.ask(&mut connection).await.map_err(untold)?;
            if *holder == *self.who {
                return Ok(());
            }
            // A lease ends when it was to end, or was renewed; a slow answer is no renewal.
            let ends = asked + Duration::from_millis(left);
            if ends_before.is_some_and(|before| ends > before + RENEWED) {
                return Err(NodeError::Taken { node: self.node, holder: holder.into() });
            }
            ends_before.get_or_insert(ends);
            sleep(LOOK_PAUSE).await;
        }
    }

    async fn ask(&self, connection: &mut MultiplexedConnection) -> Result<(String, u64), L2Error> {
        let take = Script::new(TAKE);
        let mut take = take.key(&self.name);
        take.arg(&*self.who).arg(millis(LIFE));
        Ok(take.invoke_async(connection).await?)
    }

    /// Keeps the number until `stop` is true, and gives it back then. Tells when another instance has it, which may
    /// come about while Redis is away.
    pub async fn keep(&self, mut stop: Watch<bool>, tell: impl Fn(&Event<'_>)) {
        let mut connection = None;
        let mut told = None;
        loop {
            tokio::select! {
                biased;
                () = stop.until(|stop| *stop) => break,
                () = sleep(RENEWAL) => {}
            }
            match self.renew(&mut connection).await {
                Ok(holder) if *holder == *self.who => told = None,
                Ok(holder) => {
                    if told.as_ref() != Some(&holder) {
                        let text = format!(
                            "runtime.node: number {} is the gateway's at {holder}, too: THEY MAY GIVE OUT THE SAME IDS",
                            self.node
                        );
                        tell(&Event::ConfigWarning { text: &text });
                    }
                    told = Some(holder);
                }
                // Whoever waits for Redis to come back asks again.
                Err(_) => connection = None,
            }
        }
        let released = async {
            let mut connection = self.server.connect(self.timeout).await?;
            let release = Script::new(RELEASE);
            let mut release = release.key(&self.name);
            release.arg(&*self.who);
            Ok::<(), L2Error>(release.invoke_async(&mut connection).await?)
        };
        // Redis away: the lease ends by itself.
        let _released = released.await.is_ok();
    }

    async fn renew(
        &self,
        connection: &mut Option<MultiplexedConnection>,
    ) -> Result<String, L2Error> {
        let mut own = match connection.take() {
            Some(own) => own,
            None => self.server.connect(self.timeout).await?,
        };
        let (holder, _) = self.ask(&mut own).await?;
        *connection = Some(own);
        Ok(holder)
    }
}
