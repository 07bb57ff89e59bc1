//! Waiting for a condition, with a bound; and ports that are free.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// How long a test waits for what has to happen; generous, because the machine may be busy.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `probe` gives something.
///
/// - `what`: what is waited for, for the failure's text.
///
/// # Panics
///
/// When it has not happened within [`LIMIT`].
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test thread waits for a condition, with a bound")]
pub fn wait_until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "still not true after {LIMIT:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// An address of 127.0.0.1 that nothing listens on now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}
