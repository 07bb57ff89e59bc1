//! The pool's limits and its line, on SQLite files: no server is needed to wait for a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::super::BackendError;
use super::super::connection::Statement;
use super::super::pool::Pool;
use super::super::testing::{far, heard, pool, sqlite_config, until};
use crate::config::{ConnectionConfig, Endpoint, Standing};

/// A pool of that many connections, in a folder that lives as long as the test.
pub(super) fn small(open_count_max: u32) -> (tempfile::TempDir, ConnectionConfig) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ConnectionConfig { open_count_max, ..sqlite_config(folder.path()) };
    (folder, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_that_comes_back_is_lent_again_without_another_being_made() {
    let (_folder, config) = small(4);
    let pool = pool(config);
    for _ in 0..10 {
        let lease = pool.acquire(far()).await.expect("one");
        assert_eq!((pool.stats().open, pool.stats().leased, pool.stats().idle), (1, 1, 0));
        drop(lease);
    }
    assert_eq!((pool.stats().idle, pool.stats().connects_total), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_at_its_size_lends_and_one_more_waits_too_long() {
    let (_folder, config) = small(2);
    let pool = pool(ConnectionConfig { acquire_timeout: Duration::from_millis(500), ..config });
    let first = pool.acquire(far()).await.expect("one");
    let second = pool.acquire(far()).await.expect("two");
    let third = pool.acquire(far()).await;
    assert!(matches!(third, Err(BackendError::PoolExhausted { .. })), "{third:?}");
    assert_eq!((pool.stats().timeouts_total, pool.stats().waiting), (1, 0));
    drop((first, second));
    assert!(pool.acquire(far()).await.is_ok());
    assert_eq!(pool.stats().connects_total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_at_its_length_waits_and_one_more_is_refused_at_once() {
    let (_folder, config) = small(1);
    let pool = pool(ConnectionConfig { acquire_waiting_max: 2, ..config });
    let lease = pool.acquire(far()).await.expect("one");
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(take(pool.clone()))).collect();
    until(|| pool.stats().waiting == 2).await;
    let refused = pool.acquire(far()).await;
    assert!(matches!(refused, Err(BackendError::PoolExhausted { .. })));
    drop(lease);
    for waiter in waiting {
        assert!(waiter.await.expect("no panic"));
    }
}

/// Takes a connection for some milliseconds, again and again, until the pool closes. Returns how often it was refused.
async fn press(pool: Pool, stays: bool, refused: Arc<AtomicU32>) -> (u32, u32) {
    let (mut served, mut sent_away) = (0, 0);
    loop {
        let lease =
            if stays { pool.acquire_promised(far()).await } else { pool.acquire(far()).await };
        match lease {
            Ok(_lease) => {
                served += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(BackendError::PoolExhausted { .. }) => {
                sent_away += 1;
                refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_closed) => return (served, sent_away),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_that_does_not_end_sends_away_who_waited_too_long_and_never_promised_work() {
    let (_folder, config) = small(1);
    let pool = pool(ConnectionConfig {
        standing: Standing { timeout: Duration::from_millis(5), after: Duration::from_millis(50) },
        ..config
    });
    let refused = Arc::new(AtomicU32::new(0));
    let press = |stays| tokio::spawn(press(pool.clone(), stays, Arc::clone(&refused)));
    let callers: Vec<_> = (0..8).map(|_| press(false)).collect();
    let promised = press(true);
    until(|| refused.load(Ordering::Relaxed) >= 100).await;
    pool.close(far()).await;
    let (served, sent_away) = promised.await.expect("no panic");
    assert!(served > 0 && sent_away == 0, "{served} {sent_away}");
    assert!(pool.stats().timeouts_total >= 100, "they count as timeouts");
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.expect("no panic").0;
    }
    assert!(answered > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn burst_that_passes_in_time_is_waited_for_however_late_its_last_one_is_served() {
    let (_folder, config) = small(1);
    let pool = pool(ConnectionConfig {
        standing: Standing { timeout: Duration::from_millis(1), after: Duration::from_mins(1) },
        ..config
    });
    let burst: Vec<_> = (0..16)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let lease = pool.acquire(far()).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
                lease.is_ok()
            })
        })
        .collect();
    for one in burst {
        assert!(one.await.expect("no panic"));
    }
}

pub(super) async fn take(pool: Pool) -> bool {
    pool.acquire(far()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_are_served_in_the_order_they_came() {
    let (_folder, config) = small(1);
    let pool = pool(config);
    let lease = pool.acquire(far()).await.expect("one");
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for number in 0..8 {
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        let earlier = pool.stats().waiting;
        let watched = pool.clone();
        waiting.push(tokio::spawn(async move {
            let lease = pool.acquire(far()).await.expect("one");
            order.lock().expect("no panic").push(number);
            drop(lease);
        }));
        until(|| watched.stats().waiting == earlier + 1).await;
    }
    drop(lease);
    for waiter in waiting {
        waiter.await.expect("no panic");
    }
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_leaves_the_line_leaves_nothing_behind() {
    let (_folder, config) = small(1);
    let pool = pool(config);
    let lease = pool.acquire(far()).await.expect("one");
    for _ in 0..50 {
        let waiter = tokio::spawn(take(pool.clone()));
        until(|| pool.stats().waiting == 1).await;
        waiter.abort();
        assert!(waiter.await.is_err());
    }
    assert_eq!(pool.stats().waiting, 0);
    drop(lease);
    assert!(pool.acquire(far()).await.is_ok());
}

/// The grant and the leaving meet in every order; a connection that is lost there is lost for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_given_to_one_who_leaves_goes_to_the_next() {
    let (_folder, config) = small(2);
    let pool = pool(config);
    for round in 0..300_u64 {
        let mut waiting: Vec<_> = (0..6).map(|_| tokio::spawn(take(pool.clone()))).collect();
        if round % 3 == 0 {
            tokio::task::yield_now().await;
        }
        waiting.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
        for waiter in waiting.drain(..) {
            drop(waiter.await);
        }
    }
    until(|| pool.stats().leased == 0 && pool.stats().waiting == 0).await;
    let both = (pool.acquire(far()).await, pool.acquire(far()).await);
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(pool.stats().connects_total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_in_the_past_is_refused_and_one_in_line_is_kept() {
    let (_folder, config) = small(1);
    let pool = pool(config);
    let past = pool.acquire(Instant::now()).await;
    assert!(matches!(past, Err(BackendError::Deadline)));
    let lease = pool.acquire(far()).await.expect("one");
    let short = pool.acquire(Instant::now() + Duration::from_millis(30)).await;
    assert!(matches!(short, Err(BackendError::Deadline)));
    assert_eq!((pool.stats().waiting, pool.stats().timeouts_total), (0, 0));
    drop(lease);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_dropped_in_the_middle_of_a_statement_never_comes_back() {
    let (_folder, config) = small(1);
    let pool = pool(config);
    let mut lease = pool.acquire(far()).await.expect("one");
    // Runs for ever, and so ends only if it is stopped.
    let endless = Statement::plain(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    );
    let cut = tokio::time::timeout(Duration::from_millis(50), lease.execute(&endless)).await;
    assert!(cut.is_err());
    drop(lease);
    let mut next = pool.acquire(far()).await.expect("a new one");
    assert_eq!(pool.stats().connects_total, 2);
    assert!(next.execute(&Statement::plain("SELECT 1")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smaller_pool_closes_idle_ones_now_and_lent_ones_when_they_come_back() {
    let (_folder, config) = small(4);
    let pool = pool(config.clone());
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(pool.acquire(far()).await.expect("one"));
    }
    leases.truncate(2);
    until(|| pool.stats().idle == 2).await;
    pool.reconfigure(ConnectionConfig { open_count_max: 1, idle_count_max: 1, ..config.clone() });
    assert_eq!((pool.stats().open, pool.stats().idle), (2, 0));
    leases.truncate(1);
    assert_eq!((pool.stats().open, pool.stats().idle), (1, 0));
    leases.clear();
    assert_eq!((pool.stats().open, pool.stats().idle), (1, 1));
    pool.reconfigure(config);
    let both = (pool.acquire(far()).await, pool.acquire(far()).await);
    assert!(both.0.is_ok() && both.1.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_endpoint_replaces_every_connection() {
    let (folder, config) = small(2);
    let pool = pool(config.clone());
    let (lent, idle) = (pool.acquire(far()).await, pool.acquire(far()).await);
    drop(idle);
    let moved = Endpoint::File(folder.path().join("other.db"));
    pool.reconfigure(ConnectionConfig { endpoint: moved, ..config });
    assert_eq!((pool.stats().open, pool.stats().idle), (1, 0));
    drop(lent);
    assert_eq!(pool.stats().open, 0);
    let mut lease = pool.acquire(far()).await.expect("one");
    let file = Statement::plain("SELECT file FROM pragma_database_list WHERE name = 'main'");
    let rows = lease.fetch_texts(&file).await.expect("one row");
    assert!(rows[0][0].as_ref().expect("a path").ends_with("other.db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_idle_ones_are_opened_at_start_and_the_unused_are_closed() {
    let (_folder, config) = small(4);
    let config = ConnectionConfig { idle_count_min: 2, ..config };
    let pool = pool(config.clone());
    until(|| pool.stats().idle == 2).await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(pool.acquire(far()).await.expect("one"));
    }
    leases.clear();
    assert_eq!(pool.stats().idle, 4);
    pool.reconfigure(ConnectionConfig { idle_time: Duration::from_millis(1), ..config });
    until(|| pool.stats().idle == 2).await;
    assert_eq!(pool.stats().open, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_over_its_lifetime_is_replaced() {
    let (_folder, config) = small(1);
    let (lifetime, health_interval) = (Duration::from_millis(30), Duration::from_millis(30));
    let pool = pool(ConnectionConfig { lifetime, health_interval, ..config });
    drop(pool.acquire(far()).await);
    until(|| pool.stats().open == 0).await;
    assert!(pool.acquire(far()).await.is_ok());
    assert_eq!(pool.stats().connects_total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_that_cannot_be_opened_is_down_once_and_up_once() {
    let (folder, config) = small(2);
    let missing = folder.path().join("missing");
    let endpoint = Endpoint::File(missing.join("test.db"));
    let (sink, heard) = heard();
    let pool = Pool::new(ConnectionConfig { endpoint, ..config }, Handle::current(), sink);
    for _ in 0..20 {
        let refused = pool.acquire(far()).await;
        assert!(matches!(refused, Err(BackendError::Unreachable { .. })), "{refused:?}");
    }
    // Twenty requests are no twenty attempts.
    assert!(pool.stats().connect_failures_total < 10, "{:?}", pool.stats());
    assert!(!pool.stats().up);
    std::fs::create_dir(&missing).expect("a folder");
    until(|| pool.stats().up).await;
    assert!(pool.acquire(far()).await.is_ok());
    assert_eq!(*heard.lock().expect("no panic"), ["down", "up"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_pool_refuses_and_waits_for_what_is_lent() {
    let (_folder, config) = small(1);
    let pool = pool(config);
    let lease = pool.acquire(far()).await.expect("one");
    let waiter = tokio::spawn(take(pool.clone()));
    until(|| pool.stats().waiting == 1).await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close(far()).await }
    });
    assert!(!waiter.await.expect("no panic"));
    assert!(matches!(pool.acquire(far()).await, Err(BackendError::Unreachable { .. })));
    assert!(!closing.is_finished());
    drop(lease);
    closing.await.expect("no panic");
    assert_eq!(pool.stats().open, 0);
}
