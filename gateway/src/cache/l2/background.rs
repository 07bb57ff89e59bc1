//! What runs beside the requests: the sweeper, the search for Redis, the subscription.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::message::MESSAGE_TAGS_MAX;
use super::{L2, L2Error, subscribe};
use crate::cache::{Cache, Shared, Tag};
use crate::observe::Event;

/// From one sweep to the next.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// Entries looked at in one sweep: a million in less than a minute, and each sweep within a few ms.
const SWEEP_COUNT: usize = 2048;
/// Pauses between attempts to reach Redis, the first and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(2);

/// The `maxmemory-policy` under which Redis forgets nothing before its time.
const SAFE_POLICY: &str = "noeviction";

/// The cache's tasks; they end when this is dropped.
#[derive(Debug)]
#[must_use = "the tasks end when this is dropped"]
pub struct Background(Vec<JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl<E> Cache<E> {
    /// Starts the cache's tasks on a tokio runtime: sweeping, and with Redis connecting to it,
    /// finding it again, hearing of other instances' writes.
    pub fn spawn(&self, handle: &Handle) -> Background {
        let mut tasks = vec![handle.spawn(sweep(Arc::clone(&self.shared)))];
        if self.shared.l2.is_some() {
            tasks.push(handle.spawn(keep_up(Arc::clone(&self.shared))));
            tasks.push(handle.spawn(listen(Arc::clone(&self.shared))));
        }
        Background(tasks)
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now_ms = shared.clock.now_ms();
        shared.reopen_abandoned(now_ms);
        shared.l1.sweep(now_ms, SWEEP_COUNT);
    }
}

async fn listen(shared: Arc<Shared>) {
    if let Some(l2) = &shared.l2 {
        subscribe::listen(&shared, l2).await;
    }
}

/// Looks for Redis whenever it is down, one attempt at a time.
async fn keep_up(shared: Arc<Shared>) {
    let Some(l2) = &shared.l2 else { return };
    loop {
        let mut pause = RETRY_FIRST;
        while !l2.link.is_up() {
            if let Err(error) = l2.revive().await {
                l2.go_down(&error);
                sleep(pause).await;
                pause = (pause * 2).min(RETRY_LAST);
            }
        }
        l2.went_down.notified().await;
    }
}

impl L2 {
    /// Connects anew, meets the server, delivers what is owed; then Redis is up.
    async fn revive(&self) -> Result<(), L2Error> {
        let mut connections = Vec::with_capacity(self.connection_count);
        for _ in 0..self.connection_count {
            connections.push(self.meet().await?);
        }
        let Some(mut connection) = connections.first().cloned() else { return Ok(()) };
        self.warn_of_eviction(&mut connection).await;
        self.connections.store(Arc::new(connections));
        let mut delivered = 0;
        loop {
            if let Some(is_news) = self.link.go_up() {
                self.timeouts.store(0, std::sync::atomic::Ordering::Relaxed);
                if is_news {
                    (self.events)(&Event::RedisUp { pending_tags: delivered });
                }
                return Ok(());
            }
            let owed = self.link.take_owed();
            if let Err(error) = self.deliver(&mut connection, &owed).await {
                self.link.owe(&owed);
                return Err(error);
            }
            delivered += owed.len();
        }
    }

    /// Tells when Redis may throw away what has no time to live there: tags' generations, nonces, who has which
    /// node number. A server that does not tell its policy is taken at its word.
    async fn warn_of_eviction(&self, connection: &mut MultiplexedConnection) {
        let mut asked = redis::cmd("CONFIG");
        asked.arg("GET").arg("maxmemory-policy");
        let told: Result<Vec<String>, _> = asked.query_async(connection).await;
        if let Some(policy) = told.ok().and_then(|pair| pair.into_iter().nth(1))
            && policy != SAFE_POLICY
        {
            (self.events)(&Event::RedisEvicts { policy: &policy });
        }
    }

    /// A connection to a server that the namespace's epoch is of.
    async fn meet(&self) -> Result<MultiplexedConnection, L2Error> {
        let mut connection = self.server.connect(self.timeout).await?;
        let server: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run = server.lines().find_map(|line| line.strip_prefix("run_id:"));
        // A server that does not tell its run is a new one each time.
        let run =
            run.map_or_else(|| super::random().map(|run| run.to_string()), |run| Ok(run.into()))?;
        self.scripts.meet(self, &run)?.invoke_async::<()>(&mut connection).await?;
        Ok(connection)
    }

    async fn deliver(
        &self,
        connection: &mut MultiplexedConnection,
        owed: &[Tag],
    ) -> Result<(), L2Error> {
        for tags in owed.chunks(MESSAGE_TAGS_MAX) {
            // The writer's name is nobody's: writers in flight stay.
            self.scripts.end(self, tags, super::random()?)?.invoke_async::<()>(connection).await?;
        }
        Ok(())
    }
}
