//! The signals that stop and reload the gateway.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shared;

/// The signals that the gateway acts upon.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on they do not end the process but wait for [`Control::run`](super::Control::run).
    /// Call within the control thread's runtime.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; SIGHUP says nothing to a command.
    pub async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for SIGTERM or SIGINT; SIGHUP reloads meanwhile.
pub(super) async fn until_told_to_stop(shared: &Arc<Shared>, mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hang_up.recv() => {
                let shared = Arc::clone(shared);
                // Not waited for: the word to stop is heard meanwhile.
                drop(tokio::spawn(async move { shared.reload().await }));
            }
        }
    }
}
