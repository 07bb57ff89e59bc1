//! The files that a snapshot was built from, and the reload that a change of them asks for.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Origin, Shared};
use crate::config::Config;
use crate::observe::{Event, emit};

/// How long files must have been at rest before they are read: editors and deployments write several,
/// one after the other.
const SETTLE: Duration = Duration::from_millis(300);

/// How long they may keep the reload waiting, when they are never at rest.
const SETTLE_MAX: Duration = Duration::from_secs(3);

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

/// Something that a snapshot was built from, and that is watched for changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchPath {
    /// The folder, absolute.
    pub folder: PathBuf,
    /// The file in it; `None`: everything below the folder.
    pub file: Option<OsString>,
}

impl WatchPath {
    fn folder(path: &Path) -> Self {
        Self { folder: absolute(path), file: None }
    }

    /// A file is watched through its folder: editors replace it.
    fn file(path: &Path) -> Self {
        let path = absolute(path);
        let folder = path.parent().unwrap_or(&path).to_path_buf();
        Self { folder, file: path.file_name().map(OsString::from) }
    }

    /// Whether a change at `path` may be one of what is watched. Logs and databases may lie beside a
    /// configuration and change all the time.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        let Some(file) = &self.file else { return path.starts_with(&self.folder) };
        let is_own = |name: &OsStr| {
            // Kubernetes swaps a link `..data` that the file lies behind.
            name == file || name.as_encoded_bytes().starts_with(b"..")
        };
        path.parent() == Some(&*self.folder) && path.file_name().is_some_and(is_own)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_no_folder| path.to_path_buf())
}

/// What a snapshot depends on.
pub fn watch_paths(origin: &Origin, config: &Config) -> Vec<WatchPath> {
    let mut paths = vec![WatchPath::folder(&config.templates)];
    if let Origin::File(path) = origin {
        paths.push(WatchPath::file(path));
    }
    if let Some(jwks) = config.auth.jwt.as_ref().and_then(|jwt| jwt.jwks_file.as_deref()) {
        paths.push(WatchPath::file(jwks));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_told_from_what_lies_beside_it() {
        let file = WatchPath::file(Path::new("/etc/gateway/gateway.yaml"));
        assert!(file.concerns(Path::new("/etc/gateway/gateway.yaml")));
        assert!(file.concerns(Path::new("/etc/gateway/..data")));
        for other in ["/etc/gateway/gateway.log", "/etc/gateway", "/etc/gateway/a/gateway.yaml"] {
            assert!(!file.concerns(Path::new(other)), "{other}");
        }
        let folder = WatchPath::folder(Path::new("/etc/gateway/templates"));
        assert!(folder.concerns(Path::new("/etc/gateway/templates/game1/player/get.sql")));
        assert!(!folder.concerns(Path::new("/etc/gateway/templates.old/get.sql")));
    }
}
