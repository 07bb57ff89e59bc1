//! Waiting for a condition, with a bound; and ports that are free.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
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

/// Ports that tests listen on: below those that Linux gives to outgoing connections (32768 and up), which
/// would take a port between the look at it and its use.
const PORT_FIRST: u32 = 10_000;
const PORT_COUNT: u32 = 22_000;

/// Ports that were given out by this program.
static PORTS_GIVEN: AtomicU32 = AtomicU32::new(0);

/// An address of 127.0.0.1 that nothing listens on now, given out once.
pub fn free_address() -> SocketAddr {
    // Programs that run at the same time begin at different places.
    let first = std::process::id().wrapping_mul(97);
    for _ in 0..PORT_COUNT {
        let next = first.wrapping_add(PORTS_GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORT_FIRST + next % PORT_COUNT).expect("a port");
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener.local_addr().expect("its address");
        }
    }
    panic!("no port is free");
}
