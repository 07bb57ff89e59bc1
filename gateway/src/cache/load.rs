//! A read that missed L1: join or start a flight, ask Redis, ask the database, fill.
//!
//! The order of the steps is what keeps it true: generations in process first, then those in Redis
//! with the entry, then the database, then the fills, which carry the generations of before.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::flight::Role;
use super::generation::View;
use super::l1::jittered_ms;
use super::l2::{LookUp, Stamp};
use super::{Cache, Key, Stored, Tag};
use crate::catalog::CachePolicy;

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Its key.
    pub key: &'a Key,
    /// Its tags, from [`read_tags`](super::read_tags); `None`: the result is fetched and not kept.
    pub tags: Option<&'a [Tag]>,
    /// How long it is kept.
    pub policy: &'a CachePolicy,
}

/// Where a result came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Memory of this process.
    L1,
    /// Redis.
    L2,
    /// A fetch of our own.
    Miss,
    /// Somebody else's fetch that we waited for.
    Joined,
}

/// What Redis said before the fetch.
enum Word {
    /// There is no Redis: this process knows of every write.
    Alone,
    /// No other writer in flight: the result may be kept, under these generations.
    Open(Stamp),
    /// A writer is in flight somewhere: the result may not be kept.
    Closed,
    /// Redis does not answer: the result may be kept as long as a blind instance keeps it.
    Unknown,
}

impl<E> Cache<E> {
    /// Answers a read that missed L1.
    ///
    /// - `fetch`: asks the database (the primary); called at most once, and not at all when somebody
    ///   else's fetch or an entry answers.
    ///
    /// Wrap it in the request's deadline: dropped while others wait, one of them takes over.
    ///
    /// # Errors
    ///
    /// What `fetch` failed with, its own or the one it waited for. Failures are not kept.
    pub async fn load<F, Fut>(
        &self,
        request: Load<'_>,
        fetch: F,
    ) -> Result<(Arc<Stored>, Outcome), Arc<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Stored, E>>,
    {
        let Some(tags) = request.tags else {
            let stored = fetch().await.map_err(Arc::new)?;
            return Ok((Arc::new(stored), Outcome::Miss));
        };
        loop {
            let started_ms = self.now_ms();
            let view = self.shared.generations.view(tags);
            let lead = match self.flights.join(request.key, &view) {
                Role::Lead(lead) => lead,
                Role::Wait(wait) => match wait.await {
                    Some(result) => return result.map(|stored| (stored, Outcome::Joined)),
                    None => continue,
                },
            };
            // Again, now that nobody else fetches: a flight may have landed since the first look.
            if let Some(stored) = self.shared.l1.get(request.key.as_ref(), started_ms) {
                lead.land(Ok(Arc::clone(&stored)));
                return Ok((stored, Outcome::L1));
            }
            let result = self.lead(request, tags, view, started_ms, fetch).await;
            lead.land(match &result {
                Ok((stored, _)) => Ok(Arc::clone(stored)),
                Err(error) => Err(Arc::clone(error)),
            });
            return result;
        }
    }

    /// Whether a read that missed L1 would have to ask the database at this moment: nobody fetches the same, and no
    /// Redis may have it. A fetch whose job waits for the backend has not begun, and is not known here.
    ///
    /// Cost: with a Redis none; otherwise some allocations and a lock that flights share.
    pub fn has_only_database(&self, key: &Key, tags: Option<&[Tag]>) -> bool {
        // What is not kept is in neither, and nobody joins its fetch.
        let Some(tags) = tags else { return true };
        if self.has_l2() {
            return false;
        }
        let view = self.shared.generations.view(tags);
        // In this order: a flight that has landed meanwhile has left its result.
        !self.flights.is_under_way(key.clone(), view)
            && self.shared.l1.read(key.as_ref(), self.now_ms(), |_| ()).is_none()
    }

    /// What the leader of a flight does.
    async fn lead<F, Fut>(
        &self,
        request: Load<'_>,
        tags: &[Tag],
        view: View,
        started_ms: u64,
        fetch: F,
    ) -> Result<(Arc<Stored>, Outcome), Arc<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Stored, E>>,
    {
        let word = match self.ask(request, tags, &view).await {
            Ok(word) => word,
            Err((stored, left)) => {
                let ttl = lives(request.policy, &stored).0.min(left);
                self.shared.l1.fill(request.key, &stored, view, started_ms, ttl);
                return Ok((stored, Outcome::L2));
            }
        };
        let stored = Arc::new(fetch().await.map_err(Arc::new)?);
        let (l1_ttl, l2_ttl) = lives(request.policy, &stored);
        let l1_ttl = match word {
            Word::Alone | Word::Open(_) => l1_ttl,
            Word::Unknown => l1_ttl.min(self.shared.blind_ttl),
            Word::Closed => Duration::ZERO,
        };
        self.shared.l1.fill(request.key, &stored, view, started_ms, l1_ttl);
        if let (Some(l2), Word::Open(stamp)) = (&self.shared.l2, word) {
            let ttl_ms = jittered_ms(l2_ttl, request.key.as_ref().hash ^ started_ms);
            if ttl_ms > 0 {
                l2.fill(request.key.as_ref(), &stored, &stamp, ttl_ms);
            }
        }
        Ok((stored, Outcome::Miss))
    }

    /// Asks Redis for the entry and for leave to keep what is fetched; `Err`: the entry, and how
    /// long it is good for.
    async fn ask(
        &self,
        request: Load<'_>,
        tags: &[Tag],
        view: &View,
    ) -> Result<Word, (Arc<Stored>, Duration)> {
        let Some(l2) = &self.shared.l2 else { return Ok(Word::Alone) };
        if !view.is_open() {
            return Ok(Word::Closed);
        }
        match l2.look_up(request.key.as_ref(), tags).await {
            Some(LookUp::Hit { stored, left }) => Err((Arc::new(stored), left)),
            Some(LookUp::Miss(stamp)) => Ok(Word::Open(stamp)),
            Some(LookUp::Closed) => Ok(Word::Closed),
            None => Ok(Word::Unknown),
        }
    }
}

/// How long a result lives in L1 and in L2.
fn lives(policy: &CachePolicy, stored: &Stored) -> (Duration, Duration) {
    match stored {
        Stored::Present(_) => (policy.l1_ttl, policy.l2_ttl),
        Stored::Absent => {
            // A level that keeps nothing keeps no "no such row" either.
            let at = |ttl: Duration| if ttl.is_zero() { ttl } else { policy.negative_ttl };
            (at(policy.l1_ttl), at(policy.l2_ttl))
        }
    }
}
