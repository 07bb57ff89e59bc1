//! Takes jobs from the queue and runs each as a task of its own.
//!
//! The number of tasks is bounded: while [`Dispatch::running_count_max`] run, nothing is taken, the queue
//! fills, and the frontends refuse (1001).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use super::BackendError;
use super::fetch::Fetcher;
use crate::auth::Principal;
use crate::bind::Bound;
use crate::cache::{Key, Stored};
use crate::observe::CacheOutcome;
use crate::queue::{Receiver, Reply};
use crate::snapshot::Operation;

/// A request that L1 did not answer.
#[derive(Debug)]
pub struct Job {
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
    /// The way back.
    pub reply: Reply<Result<Fetched, Arc<BackendError>>>,
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
    /// Runs until every sender is gone and every job is answered.
    pub async fn run(self, mut jobs: Receiver<Job>) {
        let places = Arc::new(Semaphore::new(self.running_count_max));
        while let Some(job) = jobs.take().await {
            // Closed never: nobody else holds it.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let fetcher = Arc::clone(&self.fetcher);
            tokio::spawn(async move {
                let Job { operation, bound, key, asker, deadline, reply } = job;
                let answer = fetcher.fetch(&operation, bound, key, &asker, deadline).await;
                // Nobody waits any more when the connection has gone.
                let _nobody = reply.send(answer);
                drop(place);
            });
        }
        let all = u32::try_from(self.running_count_max).unwrap_or(u32::MAX);
        let _all_done = places.acquire_many(all).await;
    }
}
