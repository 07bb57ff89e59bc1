//! Takes jobs from the queue and runs each as a task of its own.
//!
//! The number of tasks is bounded: while [`Dispatch::running_count_max`] run, nothing is taken, the queue
//! fills, and the frontends refuse (1001).

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;

use super::fetch::{Asked, Fetcher};
use super::{BackendError, Prospect};
use crate::auth::Principal;
use crate::bind::Bound;
use crate::cache::{Key, NonceError, Stored};
use crate::observe::CacheOutcome;
use crate::queue::{Receiver, Reply, Watch};
use crate::snapshot::Operation;

/// What frontends hand over.
#[derive(Debug)]
pub enum Job {
    /// An operation to run.
    Run(Box<Run>),
    /// A hello's nonce to claim where other instances see it.
    Nonce(NonceClaim),
    /// A refused attempt at an audited operation, to write down.
    Refused(Box<RefusedAttempt>),
}

/// A request that L1 did not answer.
#[derive(Debug)]
pub struct Run {
    /// What to run.
    pub operation: Arc<Operation>,
    /// With which parameters.
    pub bound: Bound<'static>,
    /// Where the answer is kept; `None`: nowhere.
    pub key: Option<Key>,
    /// Who asks, and under which id.
    pub asker: Asker,
    /// When it must be answered.
    pub deadline: Instant,
    /// A write is done, answered and undone.
    pub dry_run: bool,
    /// The way back.
    pub reply: Reply<Result<Fetched, Arc<BackendError>>>,
}

/// Who does reads on the calling thread, instead of the backend.
pub trait DirectReads: Debug {
    /// Whether it would take a call of an operation now that is not in the cache.
    ///
    /// - `prospect`: what the database's pool has for it.
    fn has_room(&self, operation: &Operation, prospect: Prospect) -> bool;

    /// Takes a read over, or gives it back.
    ///
    /// # Errors
    ///
    /// The read, for the backend.
    fn take(&self, run: Box<Run>) -> Result<(), Box<Run>>;
}

/// A nonce that no instance may accept twice.
#[derive(Debug)]
pub struct NonceClaim {
    /// The nonce and whose it is.
    pub nonce: Box<[u8]>,
    /// How long it must be known.
    pub ttl: Duration,
    /// Whether the nonce is new as far as anybody knows.
    pub reply: Reply<Result<bool, NonceError>>,
}

/// An attempt that `@allow` refused.
#[derive(Debug)]
pub struct RefusedAttempt {
    /// What was asked for.
    pub operation: Arc<Operation>,
    /// The parameters; `None` when it was refused before they were read.
    pub bound: Option<Bound<'static>>,
    /// Who asked.
    pub asker: Asker,
    /// The code it was refused with.
    pub code: u16,
    /// When.
    pub time: SystemTime,
}

/// Who asks, and under which id.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The principal; nobody's without a credential.
    pub principal: Arc<Principal>,
    /// The request's id.
    pub trace: Box<str>,
    /// The client's address.
    pub peer: SocketAddr,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What was found.
    pub stored: Arc<Stored>,
    /// Where.
    pub outcome: CacheOutcome,
    /// A write's first answer, given again: its key was known.
    pub replayed: bool,
}

/// The loop between the queue and the tasks.
#[derive(Debug)]
pub struct Dispatch {
    /// Runs one job.
    pub fetcher: Arc<Fetcher>,
    /// Tasks at once, at most.
    pub running_count_max: usize,
}

impl Dispatch {
    /// Runs until every sender is gone, or `stop` is true; then answers what was taken over.
    pub async fn run(self, mut jobs: Receiver<Job>, mut stop: Watch<bool>) {
        let places = Arc::new(Semaphore::new(self.running_count_max));
        let mut is_open = true;
        loop {
            let job = tokio::select! {
                biased;
                () = stop.until(|stop| *stop), if is_open => {
                    is_open = false;
                    jobs.close();
                    continue;
                }
                job = jobs.take() => job,
            };
            let Some(job) = job else { break };
            // Closed never: nobody else holds it.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let fetcher = Arc::clone(&self.fetcher);
            tokio::spawn(async move {
                // Boxed: the runtime moves what it is given several times, and this is some kilobytes.
                Box::pin(work(&fetcher, job)).await;
                drop(place);
            });
        }
        let all = u32::try_from(self.running_count_max).unwrap_or(u32::MAX);
        let _all_done = places.acquire_many(all).await;
    }
}

/// Does one job. Nobody waits for its answer any more when the connection has gone.
async fn work(fetcher: &Fetcher, job: Job) {
    match job {
        Job::Run(run) => {
            let Run { operation, bound, key, asker, deadline, dry_run, reply } = *run;
            // It may have waited in the queue for longer than it had.
            let answer = if Instant::now() >= deadline {
                Err(Arc::new(BackendError::Deadline))
            } else {
                let asked = Asked { operation: &operation, asker: &asker, deadline, dry_run };
                fetcher.fetch(asked, bound, key).await
            };
            let _nobody = reply.send(answer);
        }
        Job::Nonce(NonceClaim { nonce, ttl, reply }) => {
            let _nobody = reply.send(fetcher.claim_nonce(&nonce, ttl).await);
        }
        Job::Refused(attempt) => fetcher.refused(*attempt).await,
    }
}
