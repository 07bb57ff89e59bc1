//! Signals, and changes of the files that a snapshot is built from.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{Shared, Sources};
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
    let (changed, mut changes) = mpsc::channel(1);
    let sources = Arc::new(ArcSwap::from_pointee(Sources::default()));
    let concerned = Arc::clone(&sources);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let sources = concerned.load();
        let concerns = |event: notify::Event| {
            !event.kind.is_access() && event.paths.iter().any(|path| sources.concern(path))
        };
        if event.is_ok_and(concerns) {
            // Full: the reader already knows.
            let _known = changed.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return emit(&Event::WatchFailed { error: &error }),
    };
    loop {
        let wanted = shared.reloader.lock().await.sources.clone();
        if wanted != **sources.load() {
            for (folder, is_deep) in wanted.folders() {
                let mode =
                    if is_deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
                if let Err(error) = watcher.watch(folder, mode) {
                    emit(&Event::WatchFailed { error: &error });
                }
            }
            sources.store(Arc::new(wanted));
        }
        if changes.recv().await.is_none() {
            return;
        }
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok() {}
        shared.reload().await;
    }
}
