//! Signals, and changes of the files that a snapshot is built from.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Shared, WatchPath};
use crate::observe::{Event, emit};

/// How long files must have been at rest before they are read: editors and deployments write several,
/// one after the other.
const SETTLE: Duration = Duration::from_millis(300);

/// How long they may keep the reload waiting, when they are never at rest.
const SETTLE_MAX: Duration = Duration::from_secs(3);
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

/// Reloads when the configuration file or a template changed and then came to rest.
pub(super) async fn watch_files(shared: Arc<Shared>) {
    // One waiting word is enough: it says that something changed.
    let (word, mut changes) = mpsc::channel(1);
    let paths = Arc::new(ArcSwap::from_pointee(Vec::<WatchPath>::new()));
    let concerned = Arc::clone(&paths);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(&event, &concerned.load())) {
            // Full: the reader already knows.
            let _known = word.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return emit(&Event::WatchFailed { error: &error }),
    };
    loop {
        let wanted = shared.reloader.lock().await.watched();
        let before = paths.swap(Arc::new(wanted.clone()));
        let new: Vec<_> = wanted.iter().filter(|path| !before.contains(path)).collect();
        for path in &new {
            let mode = match path.file {
                Some(_) => RecursiveMode::NonRecursive,
                None => RecursiveMode::Recursive,
            };
            if let Err(error) = watcher.watch(&path.folder, mode) {
                emit(&Event::WatchFailed { error: &error });
            }
        }
        // What changed between its reading and the watch on it was told to nobody: read it again.
        if new.is_empty() {
            if changes.recv().await.is_none() {
                return;
            }
            let at_rest = async { while timeout(SETTLE, changes.recv()).await.is_ok() {} };
            let _never_at_rest = timeout(SETTLE_MAX, at_rest).await.is_err();
        }
        shared.reload().await;
    }
}

fn is_change(event: &notify::Event, watched: &[WatchPath]) -> bool {
    let concerns = |path: &PathBuf| watched.iter().any(|watched| watched.concerns(path));
    !event.kind.is_access() && (event.need_rescan() || event.paths.iter().any(concerns))
}
