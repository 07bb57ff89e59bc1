//! Claims nonces of hellos with every other instance.
//!
//! A frontend thread has checked the hello and its own book of nonces; what is left is to ask Redis, which
//! takes a round trip. A hello comes once in a connection's life, so claims have a queue of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::BackendError;
use crate::cache::{Cache, NonceError};
use crate::queue::{Receiver, Reply};

/// Claims that wait at once, and as many under way: a thousand game servers that come back together.
pub const CLAIM_COUNT_MAX: usize = 1024;

/// A nonce to be claimed.
#[derive(Debug)]
pub struct Claim {
    /// The nonce, under its key's id.
    pub nonce: Vec<u8>,
    /// How long its hello could be played again.
    pub ttl: Duration,
    /// The way back: false when another instance has it already.
    pub reply: Reply<Result<bool, NonceError>>,
}

/// Answers claims until every sender is gone.
pub async fn run_claims(cache: Arc<Cache<BackendError>>, mut claims: Receiver<Claim>) {
    let places = Arc::new(Semaphore::new(CLAIM_COUNT_MAX));
    while let Some(claim) = claims.take().await {
        // Closed never: nobody else holds it.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let cache = Arc::clone(&cache);
        tokio::spawn(async move {
            let answer = cache.claim_nonce(&claim.nonce, claim.ttl).await;
            // Nobody waits any more when the connection has gone.
            let _nobody = claim.reply.send(answer);
            drop(place);
        });
    }
}
