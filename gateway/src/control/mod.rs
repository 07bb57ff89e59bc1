//! What operators do to a running gateway: reload it, ask it how it is, stop it.
//!
//! One thread with a runtime of its own; nothing here is on a request's path.

mod admin;
mod gauges;
mod reload;
mod signals;
mod status;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::backend::Pools;
use crate::config::AdminConfig;
use crate::pipeline::Core;
use crate::queue;

pub use gauges::register_metrics;
pub use reload::{
    LoadFaults, Loaded, Origin, ReloadOutcome, Reloader, WatchPath, game_dialects, watch_paths,
};

/// The control thread's work.
#[derive(Debug)]
pub struct Control {
    /// What the threads share.
    pub core: Arc<Core>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// Builds new snapshots.
    pub reloader: Reloader,
    /// How it ends.
    pub stop: ControlStop,
}

/// How the control thread says that the process is to stop, and is told that it has stopped serving.
#[derive(Debug)]
pub struct ControlStop {
    /// Answered when the process is told to stop.
    pub told: queue::Reply<()>,
    /// `true` once every connection is gone: the admin port stays until then, so that whoever asks learns
    /// that the gateway drains.
    pub drained: queue::Watch<bool>,
}

/// What the parts of this module share.
#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    pools: Arc<Pools>,
    reloader: Mutex<Reloader>,
    last: arc_swap::ArcSwap<ReloadOutcome>,
    admin: AdminConfig,
}

impl Shared {
    /// Reloads, one at a time, and remembers how it went.
    async fn reload(&self) -> Arc<ReloadOutcome> {
        let mut reloader = self.reloader.lock().await;
        let outcome = Arc::new(reloader.reload(&self.core, &self.pools));
        self.last.store(Arc::clone(&outcome));
        outcome
    }
}

impl Control {
    /// Serves the signals until the process is told to stop, and the admin port until it has drained.
    ///
    /// # Errors
    ///
    /// When signals or the admin port cannot be used.
    pub async fn run(self, admin: TcpListener) -> io::Result<()> {
        let config = self.core.snapshot.load().config.admin.clone();
        let shared = Arc::new(Shared {
            core: self.core,
            pools: self.pools,
            reloader: Mutex::new(self.reloader),
            last: arc_swap::ArcSwap::from_pointee(ReloadOutcome::NotYet),
            admin: config,
        });
        admin.set_nonblocking(true)?;
        let admin = tokio::net::TcpListener::from_std(admin)?;
        tokio::spawn(admin::serve(Arc::clone(&shared), admin));
        tokio::spawn(signals::watch_files(Arc::clone(&shared)));
        let outcome = signals::until_told_to_stop(&shared).await;
        let ControlStop { told, mut drained } = self.stop;
        if told.send(()).is_ok() {
            drained.until(|drained| *drained).await;
        }
        outcome
    }
}
