//! What is posted of a pool's line, and that it never stays: on SQLite files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::super::pool::{Pool, Prospect};
use super::super::testing::{far, pool, until};
use super::pool::{small, take};
use crate::config::{ConnectionConfig, Standing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_line_has_no_place_until_somebody_leaves_it_and_is_no_wait_that_was_too_long() {
    let (_folder, config) = small(1);
    let pool = pool(ConnectionConfig { acquire_waiting_max: 2, ..config });
    assert_eq!(pool.prospect(), Prospect::Burst);
    let lease = pool.acquire(far()).await.expect("one");
    let first = tokio::spawn(take(pool.clone()));
    until(|| pool.stats().waiting == 1).await;
    assert_eq!(pool.prospect(), Prospect::Burst, "there is a place");
    let second = tokio::spawn(take(pool.clone()));
    until(|| pool.stats().waiting == 2).await;
    assert_eq!(pool.prospect(), Prospect::Full);
    pool.count_refused(pool.prospect());
    assert_eq!(pool.stats().timeouts_total, 0);
    second.abort();
    until(|| pool.prospect() == Prospect::Burst).await;
    drop(lease);
    assert!(first.await.expect("no panic"));
}

/// Callers who stand in line only with a prospect, like those whom frontends let pass.
#[derive(Default)]
struct Callers {
    served: AtomicU32,
    refused: AtomicU32,
    have_left: AtomicBool,
}

impl Callers {
    /// That many of them, who come again at once.
    fn come(pool: &Pool, count: usize) -> Arc<Self> {
        let callers = Arc::new(Self::default());
        for _ in 0..count {
            tokio::spawn(Arc::clone(&callers).press(pool.clone()));
        }
        callers
    }

    async fn press(self: Arc<Self>, pool: Pool) {
        while !self.have_left.load(Ordering::Relaxed) {
            let prospect = pool.prospect();
            if prospect.is_refusal() {
                pool.count_refused(prospect);
                self.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            } else if let Ok(_lease) = pool.acquire(far()).await {
                self.served.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_that_does_not_end_has_no_prospect_and_has_one_again_when_it_ended_and_nobody_came() {
    let (_folder, config) = small(1);
    let after = Duration::from_millis(50);
    let pool = pool(ConnectionConfig {
        standing: Standing { timeout: Duration::from_millis(2), after },
        ..config
    });
    let callers = Callers::come(&pool, 16);
    until(|| callers.refused.load(Ordering::Relaxed) >= 100).await;
    assert!(pool.stats().timeouts_total >= 100, "they count as timeouts");
    let served = callers.served.load(Ordering::Relaxed);
    until(|| callers.served.load(Ordering::Relaxed) >= served + 20).await;
    callers.have_left.store(true, Ordering::Relaxed);
    until(|| Arc::strong_count(&callers) == 1).await;
    assert!(!pool.prospect().is_refusal(), "nobody waits");
    tokio::time::sleep(after * 2).await;
    assert!(pool.acquire(far()).await.is_ok());
    assert_eq!(pool.prospect(), Prospect::Burst, "of the time between nothing is known");
}

/// Connections that do not come back say nothing of the line; those who wait leave it when their time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_whose_connections_hang_has_a_prospect_again_when_those_in_it_have_left() {
    let (_folder, config) = small(1);
    let pool = pool(ConnectionConfig {
        standing: Standing { timeout: Duration::from_millis(1), after: Duration::from_millis(20) },
        acquire_timeout: Duration::from_millis(200),
        ..config
    });
    let callers = Callers::come(&pool, 8);
    until(|| pool.prospect() == Prospect::None).await;
    let hangs = loop {
        if let Ok(lease) = pool.acquire_promised(far()).await {
            break lease;
        }
    };
    until(|| pool.prospect() == Prospect::None).await;
    callers.have_left.store(true, Ordering::Relaxed);
    until(|| !pool.prospect().is_refusal()).await;
    drop(hangs);
}
