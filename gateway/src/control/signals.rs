//! Signals, and changes of the files that a snapshot is built from.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Shared;
use crate::observe::{Event, emit};

/// How long files must have been at rest before they are read: editors and deployments write several,
/// one after the other.
const SETTLE: Duration = Duration::from_millis(300);

/// Waits for SIGTERM or SIGINT; SIGHUP reloads meanwhile.
pub(super) async fn until_told_to_stop(shared: &Shared) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => {
                shared.reload().await;
            }
        }
    }
}

/// Reloads when the configuration file or a template changed and then came to rest.
pub(super) async fn watch_files(shared: Arc<Shared>) {
    // One waiting word is enough: it says that something changed.
    let (teller, mut changes) = mpsc::channel(1);
    let started = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full: the reader already knows.
            let _known = teller.try_send(());
        }
    });
    let mut watcher = match started {
        Ok(watcher) => watcher,
        Err(error) => return emit(&Event::WatchFailed { error: &error }),
    };
    let mut followed = Vec::new();
    loop {
        let wanted = shared.reloader.lock().await.watched();
        for path in wanted.iter().filter(|path| !followed.contains(*path)) {
            if let Err(error) = watcher.watch(Path::new(path), RecursiveMode::Recursive) {
                emit(&Event::WatchFailed { error: &error });
            }
        }
        followed = wanted;
        if changes.recv().await.is_none() {
            return;
        }
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok() {}
        shared.reload().await;
    }
}
