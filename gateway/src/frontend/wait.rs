//! Waits for an answer, and not for ever.

use std::time::Duration;

use crate::error::Error;
use crate::reply::{Reply, Waiting};

/// How much longer than its deadline a read is waited for: the backend keeps the deadline, too, and knows
/// better what came in between.
const READ_GRACE: Duration = Duration::from_millis(50);

/// The same for a write, whose outcome is worth knowing: its statement may have to be stopped, and Redis
/// told of it.
const WRITE_GRACE: Duration = Duration::from_secs(3);

/// Waits for an answer until its deadline; a backend that hangs holds nobody longer.
///
/// # Errors
///
/// As [`Waiting::wait`]; [`Waiting::late`] when the time is over.
pub(super) async fn wait_for(waiting: Waiting) -> Result<Reply, Error> {
    let Some(deadline) = waiting.deadline() else { return waiting.wait().await };
    let grace = match waiting.is_write() {
        // The journal knows nothing that would be worth a longer wait.
        _ if waiting.is_offered() => Duration::ZERO,
        true => WRITE_GRACE,
        false => READ_GRACE,
    };
    let late = waiting.late();
    let until = monoio::time::Instant::from_std(deadline + grace);
    monoio::time::timeout_at(until, waiting.wait()).await.unwrap_or(Err(late))
}
