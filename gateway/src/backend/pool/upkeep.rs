//! What a pool does when nobody asks: pings, retires, keeps some idle, looks whether the database is back.
//!
//! There is a round at least every `health_interval`, and one whenever something changed that calls for it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Lease, Shared};

/// Bound of one ping; the lease's own is shorter.
const PING_DEADLINE: Duration = Duration::from_secs(2);

/// Starts the task. It ends when the pool is closed, or nobody holds it any more.
pub(super) fn start(shared: &Arc<Shared>) {
    shared.runtime.spawn(keep_up(Arc::downgrade(shared), Arc::clone(&shared.changed)));
}

async fn keep_up(pool: Weak<Shared>, changed: Arc<Notify>) {
    while let Some(wake_at) = pool.upgrade().and_then(|shared| round(&shared)) {
        // Woken by a change or by time: the next round is the same.
        drop(tokio::time::timeout_at(wake_at.into(), changed.notified()).await);
    }
}

/// Does a round. Returns when the next one is; `None` when the pool is closed.
fn round(shared: &Arc<Shared>) -> Option<Instant> {
    let round = shared.lock().upkeep(Instant::now());
    shared.close_all(round.retired);
    shared.open_many(round.opening);
    for open in round.due {
        let mut lease = Lease::new(Arc::clone(shared), open);
        shared.runtime.spawn(async move {
            // It goes back, or to its end, by itself.
            lease.answers(Instant::now() + PING_DEADLINE).await
        });
    }
    (!round.closed).then_some(round.wake_at)
}
