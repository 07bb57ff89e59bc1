//! Signals, and changes of the files that a snapshot is built from.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Shared;
use crate::observe::{Event, emit};

/// How long files must have been at rest before they are read: editors and deployments write several,
/// one after the other.
const SETTLE: Duration = Duration::from_millis(300);

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
}

/// Waits for SIGTERM or SIGINT; SIGHUP reloads meanwhile.
pub(super) async fn until_told_to_stop(shared: &Shared, mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hang_up.recv() => {
                shared.reload().await;
            }
        }
    }
}

/// Reloads when the configuration file or a template changed and then came to rest.
pub(super) async fn watch_files(shared: Arc<Shared>) {
    // One waiting word is enough: it says that something changed.
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full: the reader already knows.
            let _known = changed.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return emit(&Event::WatchFailed { error: &error }),
    };
    let mut watched = Vec::new();
    loop {
        let wanted = shared.reloader.lock().await.watched();
        for path in wanted.iter().filter(|path| !watched.contains(*path)) {
            if let Err(error) = watcher.watch(Path::new(path), RecursiveMode::Recursive) {
                emit(&Event::WatchFailed { error: &error });
            }
        }
        watched = wanted;
        if changes.recv().await.is_none() {
            return;
        }
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok() {}
        shared.reload().await;
    }
}
